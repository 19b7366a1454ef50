//! Eigenvalues with the targets and the mean along the eigenvectors: X = U diag(√λ) Vᵀ, λ > 0.
//!
//! Costs more than the tridiagonal form alone (its eigenvectors, or an SVD of the samples), and is
//! made only where that form cannot decide: optima among eigenvalues that are rounding noise.

use ndarray::{Array2, ArrayView2};

use crate::error::{Error, Result};
use crate::input::Block;
use crate::linalg::blas::{axpy, dot, product_into};
use crate::linalg::lapack::{thin_svd, zeros};
use crate::stats::{Held, Stats};
use crate::threads::Context;

use super::{Decomp, Prepared, Side};

/// The positive part of the spectrum, of order k.
pub(crate) struct Spectrum {
    /// λ, (k,).
    pub(crate) values: Vec<f64>,
    /// Those of the λ that belong in determinants: without the one added to K.
    pub(crate) determinant: Vec<f64>,
    /// Uᵀỹ for every target, one after the other, (C, k).
    pub(crate) scores: Vec<f64>,
    /// |ỹ|² outside the span of U, (C,); exactly 0 where it is rounding noise.
    pub(crate) outside: Vec<f64>,
    /// Vᵀμ, (k,).
    pub(crate) mean: Vec<f64>,
    /// |μ|² outside the span of V; exactly 0 where it is rounding noise.
    pub(crate) mean_outside: f64,
    basis: Basis,
}

/// The vectors that the k directions stand for, one after the other.
enum Basis {
    /// Eigenvectors of T, (k, order).
    Tridiagonal { side: Side, vectors: Vec<f64> },
    /// V, (k, D).
    Features(Vec<f64>),
}

/// Parts of |ỹ|² or |μ|² that were computed as a difference are noise below this fraction.
const DIFFERENCE_NOISE: f64 = 1e-14;
/// Parts computed as a sum of squares of rounding errors are noise below this fraction.
const SQUARE_NOISE: f64 = 1e-26;

fn unless_noise(part: f64, whole: f64, noise: f64) -> f64 {
    if part <= noise * whole { 0.0 } else { part }
}

impl Spectrum {
    /// From the eigenvectors of the tridiagonal form.
    pub(super) fn of_decomp(decomp: &Decomp) -> Result<Self> {
        let order = decomp.order();
        let (mut values, mut vectors) = decomp.form.eigenvectors()?;
        let null = values.iter().take_while(|value| **value <= 4.0 * decomp.noise).count();
        values.drain(..null);
        let determinant = decomp.eigenvalues.clone();
        let kernel: Vec<f64> = vectors.drain(..null * order).collect();
        let along =
            |v: &[f64]| -> Vec<f64> { vectors.chunks_exact(order).map(|w| dot(w, v)).collect() };
        let in_kernel =
            |v: &[f64]| kernel.chunks_exact(order).map(|w| dot(w, v).powi(2)).sum::<f64>();

        let (mut scores, mut outside) = (Vec::new(), Vec::new());
        for (target, square) in decomp.targets.square.iter().enumerate() {
            let v = decomp.target_vector(target);
            let mut score = along(v);
            outside.push(match decomp.side {
                Side::Primal => {
                    score.iter_mut().zip(&values).for_each(|(x, value)| *x /= value.sqrt());
                    unless_noise(square - dot(&score, &score), *square, DIFFERENCE_NOISE)
                }
                Side::Dual => unless_noise(in_kernel(v), *square, SQUARE_NOISE),
            });
            scores.extend(score);
        }
        let v = decomp.mean_vector();
        let mut mean = along(v);
        let mean_outside = match decomp.side {
            Side::Primal => unless_noise(in_kernel(v), decomp.mean_square, SQUARE_NOISE),
            Side::Dual => {
                mean.iter_mut().zip(&values).for_each(|(u, value)| *u /= value.sqrt());
                let outside = decomp.mean_square - dot(&mean, &mean);
                unless_noise(outside, decomp.mean_square, DIFFERENCE_NOISE)
            }
        };
        let basis = Basis::Tridiagonal { side: decomp.side, vectors };
        Ok(Self { values, determinant, scores, outside, mean, mean_outside, basis })
    }

    /// From the samples, by thin SVD of the centred features.
    fn of_samples(stats: &Stats, block: &Block<'_>) -> Result<Self> {
        let (n_rows, n_cols) = (block.features.n_rows(), block.features.n_cols());
        let mean = stats.mean();
        let len = n_rows.saturating_mul(n_cols);
        let mut x = zeros::<f64>(len, "the centred features in float64")?;
        for (i, row) in x.chunks_exact_mut(n_cols).enumerate() {
            block.features.read_row(i, row);
            let root = block.weight(i).sqrt();
            row.iter_mut().zip(&mean).for_each(|(x, mean)| *x = root * (*x - mean));
        }
        let targets = sample_targets(stats, block)?;
        let x = Array2::from_shape_vec((n_rows, n_cols), x).map_err(|_| Error::NoData)?;
        let (u, s, vt) = thin_svd(x)?;
        let tolerance =
            n_rows.max(n_cols) as f64 * f64::EPSILON * s.first().copied().unwrap_or(0.0);
        let rank = s.iter().take_while(|s| **s > tolerance).count();

        let u = u.slice_move(ndarray::s![.., ..rank]);
        let y = ArrayView2::from_shape((targets.len() / n_rows, n_rows), &targets)
            .map_err(|_| Error::NoData)?;
        let scores = y.dot(&u);
        let residual = &y - &scores.dot(&u.t());
        let outside = residual
            .rows()
            .into_iter()
            .zip(y.rows())
            .map(|(r, y)| unless_noise(r.dot(&r), y.dot(&y), SQUARE_NOISE));
        let outside = outside.collect();
        let v = vt.slice_move(ndarray::s![..rank, ..]);
        let mu = ndarray::Array1::from(mean);
        let mean = v.dot(&mu);
        let rest = &mu - &mean.dot(&v);
        let mean_outside = unless_noise(rest.dot(&rest), mu.dot(&mu), SQUARE_NOISE);
        let values: Vec<f64> = s.iter().take(rank).map(|s| s * s).rev().collect();
        Ok(Self {
            determinant: values.clone(),
            values,
            scores: scores
                .rows()
                .into_iter()
                .flat_map(|row| row.to_vec().into_iter().rev())
                .collect(),
            outside,
            mean: mean.iter().rev().copied().collect(),
            mean_outside,
            basis: Basis::Features(
                v.rows().into_iter().rev().flat_map(|row| row.to_vec()).collect(),
            ),
        })
    }

    pub(crate) fn rank(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn target_scores(&self, target: usize) -> &[f64] {
        &self.scores[target * self.rank()..(target + 1) * self.rank()]
    }

    /// V e + f μ for each row e of `along` (n, k) and f of `along_mean` (n,): (n, D).
    pub(crate) fn to_features(
        &self,
        prepared: &Prepared<'_>,
        mut along: Vec<f64>,
        along_mean: &[f64],
        context: &Context<'_>,
    ) -> Result<Vec<f64>> {
        let n = along_mean.len();
        match &self.basis {
            Basis::Features(v) => {
                let mean = prepared.mean();
                let mut result = zeros(n * mean.len(), "the coefficients")?;
                product_into(&along, v, &mut result, n, mean.len());
                for (row, f) in result.chunks_exact_mut(mean.len()).zip(along_mean) {
                    axpy(*f, &mean, row);
                }
                Ok(result)
            }
            Basis::Tridiagonal { side, vectors } => {
                if *side == Side::Dual {
                    for e in along.chunks_exact_mut(self.rank().max(1)) {
                        e.iter_mut().zip(&self.values).for_each(|(e, value)| *e /= value.sqrt());
                    }
                }
                let decomp = prepared.decomp(context)?;
                let mut in_basis = zeros(n * decomp.order(), "the coefficients")?;
                product_into(&along, vectors, &mut in_basis, n, decomp.order());
                decomp.to_features(prepared.stats, in_basis, along_mean)
            }
        }
    }
}

impl<'a> Prepared<'a> {
    /// The same statistics, with the spectrum taken from the samples by thin SVD: more digits
    /// where the scatter has lost them, at several times the cost and N·D more memory.
    ///
    /// # Errors
    /// As [`Prepared::new`]; [`Error::OtherSamples`] or [`Error::Shape`] if the statistics were made of others.
    pub fn from_samples(stats: &'a Stats, block: &Block<'_>) -> Result<Self> {
        if block.n_samples() != stats.n_samples {
            return Err(Error::OtherSamples {
                actual: block.n_samples(),
                expected: stats.n_samples,
            });
        }
        stats.check_columns(block.features.n_cols())?;
        let prepared = Self::new(stats)?;
        let spectrum = Spectrum::of_samples(stats, block);
        spectrum.as_ref().map_err(Clone::clone)?;
        prepared.spectrum.get_or_init(|| spectrum);
        Ok(Self { from_samples: true, ..prepared })
    }
}

/// √w ỹ for every target over the rows of a block, one after the other.
fn sample_targets(stats: &Stats, block: &Block<'_>) -> Result<Vec<f64>> {
    let rows: Vec<usize> = (0..block.features.n_rows()).collect();
    let mut targets = Vec::new();
    let root = |i: usize| block.weight(i).sqrt();
    match (Held::of_block(block, &rows, &stats.held)?, &stats.held) {
        (Held::Labels(block), Held::Labels(labels)) => {
            for c in labels.sorted() {
                let here = block.classes.iter().position(|class| *class == labels.classes[c]);
                let mean = labels.counts[c] as f64 / stats.n_samples as f64;
                targets.extend(block.codes.iter().enumerate().map(|(i, code)| {
                    root(i) * (f64::from(u8::from(Some(*code as usize) == here)) - mean)
                }));
            }
        }
        (Held::Targets(block), Held::Targets(targets_held)) => {
            let n_targets = block.shift.len();
            for k in 0..n_targets {
                let offset = targets_held.sum[k] / stats.n_samples as f64;
                let column = block.rows.iter().skip(k).step_by(n_targets).enumerate();
                targets.extend(column.map(|(i, y)| root(i) * (y - offset)));
            }
        }
        _ => return Err(Error::NoData),
    }
    Ok(targets)
}
