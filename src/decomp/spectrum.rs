//! Eigenvalues with the targets and the mean along the eigenvectors: X = U diag(√λ) Vᵀ, λ > 0.
//!
//! By thin SVD of the rows themselves, held or given again, or of a factor of the scatter. It sees
//! directions down to 1e-32 of the largest eigenvalue, where a tridiagonal form sees 1e-15, and
//! costs several times as much; metrics ask for it only where that form cannot decide.

use ndarray::{Array1, Array2, ArrayView2};

use crate::error::{Error, Result};
use crate::input::Block;
use crate::linalg::blas::{axpy, product_into, scale};
use crate::linalg::lapack::{thin_svd, zeros};
use crate::stats::{Held, Second, Stats};

use super::targets::CentredTargets;
use super::{Prepared, ScaledFactor};

/// The positive part of the spectrum, of order k, ascending.
pub(crate) struct Spectrum {
    /// λ, (k,).
    pub(crate) values: Vec<f64>,
    /// Uᵀỹ for every target, one after the other, (C, k).
    pub(crate) scores: Vec<f64>,
    /// |ỹ|² outside the span of U, (C,); exactly 0 where it is rounding noise.
    pub(crate) outside: Vec<f64>,
    /// How much of that may be rounding, (C,); 0 where nothing can be outside, because there are as
    /// many directions as centred samples.
    pub(crate) outside_noise: Vec<f64>,
    /// Whether directions were too small beside the largest to be seen at all.
    pub(crate) dropped: bool,
    /// Where scores are quotients of b, and `outside` a difference of squares: |E v|/√λ, (k,), for
    /// columns of sizes E. The rounding of b, relative to |ỹ| E, comes out that much larger.
    pub(crate) amplified: Option<Vec<f64>>,
    /// Vᵀμ, (k,).
    pub(crate) mean: Vec<f64>,
    /// |μ|² outside the span of V; exactly 0 where it is rounding noise.
    pub(crate) mean_outside: f64,
    /// V, (k, D).
    basis: Vec<f64>,
}

/// Parts computed as a sum of squares of rounding errors are noise below this fraction.
const SQUARE_NOISE: f64 = 1e-26;

fn unless_noise(part: f64, noise: f64) -> f64 {
    if part <= noise { 0.0 } else { part }
}

impl Spectrum {
    /// From the statistics alone: the held rows, or a factor of the scatter.
    pub(super) fn of_stats(stats: &Stats, factor: Option<&ScaledFactor>) -> Result<Self> {
        let centred = CentredTargets::new(stats);
        let Some(factor) = factor else {
            let Second::Rows { values, weights } = &stats.second else { return Err(Error::NoData) };
            let mut x = zeros(values.len(), "the centred rows")?;
            x.copy_from_slice(values);
            let offset = stats.mean_about_shift();
            for (row, weight) in x.chunks_exact_mut(offset.len()).zip(weights) {
                axpy(-1.0, &offset, row);
                scale(weight.sqrt(), row);
            }
            return Self::of_rows(stats, x, &centred.dual(stats)?);
        };
        let n_features = stats.n_features;
        let b = centred.primal(stats, &stats.mean_about_shift())?;
        let root = factor.root()?;
        let root = Array2::from_shape_vec((n_features, root.len() / n_features), root);
        let (v, s, _) = thin_svd(root.map_err(|_| Error::NoData)?)?;
        let rank = rank(&s, n_features);
        let v = v.slice_move(ndarray::s![.., ..rank]);
        let b =
            ArrayView2::from_shape((centred.len(), n_features), &b).map_err(|_| Error::NoData)?;
        let scores = b.dot(&v) / s.slice(ndarray::s![..rank]);
        let reach = |(v, s): (ndarray::ArrayView1<'_, f64>, &f64)| {
            v.iter().zip(factor.scale()).map(|(v, e)| (v * e).powi(2)).sum::<f64>().sqrt() / s
        };
        let amplified: Vec<f64> = v.columns().into_iter().zip(&s).map(reach).collect();
        let spanned = rank as u64 + 1 >= stats.n_samples;
        let outside = scores.rows().into_iter().zip(&centred.square).map(|(x, square)| {
            let of_scores = x.iter().zip(&amplified).map(|(x, a)| x.abs() * a).sum::<f64>();
            let noise = rounding(rank) * (square.sqrt() + of_scores).powi(2);
            let part = square - x.dot(&x);
            if spanned { (0.0, 0.0) } else { (unless_noise(part, noise), noise) }
        });
        let (parts, noise) = outside.unzip();
        let dropped = rank < factor.rank();
        let outside = Outside { parts, noise, dropped };
        let amplified = amplified.into_iter().rev().collect();
        Ok(Self::new(stats, &s, &scores, outside, Some(amplified), &v.reversed_axes()))
    }

    /// From the samples given again.
    fn of_samples(stats: &Stats, block: &Block<'_>) -> Result<Self> {
        let (n_rows, n_cols) = (block.features.n_rows(), block.features.n_cols());
        let offset = stats.mean_about_shift();
        let mut x = zeros(n_rows * n_cols, "the centred features in float64")?;
        for (i, row) in x.chunks_exact_mut(n_cols).enumerate() {
            block.features.read_row(i, row);
            axpy(-1.0, &stats.shift, row); // exact where μ, rounded to its own size, is not
            axpy(-1.0, &offset, row);
            scale(block.weight(i).sqrt(), row);
        }
        Self::of_rows(stats, x, &sample_targets(stats, block)?)
    }

    /// From the centred rows (N, D) and targets (C, N), both times √w.
    pub(super) fn of_rows(stats: &Stats, x: Vec<f64>, targets: &[f64]) -> Result<Self> {
        let n_rows = x.len() / stats.n_features;
        let x = Array2::from_shape_vec((n_rows, stats.n_features), x).map_err(|_| Error::NoData)?;
        let scaled_rank = scaled_rank(&x)?;
        let (u, s, vt) = thin_svd(x)?;
        let rank = rank(&s, n_rows.max(stats.n_features));
        let dropped = scaled_rank.is_some_and(|scaled| rank < scaled);
        let u = u.slice_move(ndarray::s![.., ..rank]);
        let y = ArrayView2::from_shape((targets.len() / n_rows, n_rows), targets)
            .map_err(|_| Error::NoData)?;
        let scores = y.dot(&u);
        let spanned = rank + 1 >= n_rows;
        let residual = &y - &scores.dot(&u.t());
        // Directions are tilted by the rounding of the largest, relative to their own size.
        let tilt: Vec<f64> = s.iter().take(rank).map(|own| rounding(rank) * s[0] / own).collect();
        let rows = residual.rows().into_iter().zip(y.rows()).zip(scores.rows());
        let outside = rows.map(|((r, y), x)| {
            let tilted: f64 = x.iter().zip(&tilt).map(|(x, tilt)| (x * tilt).abs()).sum();
            let noise = (SQUARE_NOISE * y.dot(&y)).max(tilted * tilted);
            if spanned { (0.0, 0.0) } else { (unless_noise(r.dot(&r), noise), noise) }
        });
        let (parts, noise) = outside.unzip();
        let outside = Outside { parts, noise, dropped };
        Ok(Self::new(stats, &s, &scores, outside, None, &vt.slice_move(ndarray::s![..rank, ..])))
    }

    /// Puts the mean along V and everything in ascending order.
    fn new(
        stats: &Stats,
        s: &Array1<f64>,
        scores: &Array2<f64>,
        outside: Outside,
        amplified: Option<Vec<f64>>,
        vt: &Array2<f64>,
    ) -> Self {
        let mu = Array1::from(stats.mean());
        let mean = vt.dot(&mu);
        let rest = &mu - &mean.dot(vt);
        let ascending = |row: ndarray::ArrayView1<'_, f64>| row.to_vec().into_iter().rev();
        Self {
            values: s.iter().take(vt.nrows()).rev().map(|s| s * s).collect(),
            scores: scores.rows().into_iter().flat_map(ascending).collect(),
            outside: outside.parts,
            outside_noise: outside.noise,
            dropped: outside.dropped,
            amplified,
            mean: mean.iter().rev().copied().collect(),
            mean_outside: unless_noise(rest.dot(&rest), SQUARE_NOISE * mu.dot(&mu)),
            basis: vt.rows().into_iter().rev().flat_map(|row| row.to_vec()).collect(),
        }
    }

    pub(crate) fn target_scores(&self, target: usize) -> &[f64] {
        let rank = self.values.len();
        &self.scores[target * rank..(target + 1) * rank]
    }

    /// V e + f μ for each row e of `along` (n, k) and f of `along_mean` (n,): (n, D).
    pub(crate) fn to_features(
        &self,
        prepared: &Prepared<'_>,
        along: &[f64],
        along_mean: &[f64],
    ) -> Result<Vec<f64>> {
        let (n, mean) = (along_mean.len(), prepared.mean());
        let mut result = zeros(n * mean.len(), "the coefficients")?;
        if !self.values.is_empty() {
            product_into(along, &self.basis, &mut result, n, mean.len());
        }
        for (row, f) in result.chunks_exact_mut(mean.len()).zip(along_mean) {
            axpy(*f, &mean, row);
        }
        Ok(result)
    }
}

/// What the directions leave of the targets.
struct Outside {
    parts: Vec<f64>,
    noise: Vec<f64>,
    dropped: bool,
}

/// The rank with all columns at one size, where they differ enough for small ones to be lost.
fn scaled_rank(x: &Array2<f64>) -> Result<Option<usize>> {
    const SPREAD: f64 = 1e6;
    let squares: Vec<f64> = x.columns().into_iter().map(|column| column.dot(&column)).collect();
    let largest = squares.iter().fold(0.0_f64, |a, b| a.max(*b));
    let least = squares.iter().filter(|s| **s > 0.0).fold(largest, |a, b| a.min(*b));
    if largest <= SPREAD * SPREAD * least {
        return Ok(None);
    }
    let mut scaled = zeros(x.len(), "the features at one scale")?;
    for (out, row) in scaled.chunks_exact_mut(x.ncols().max(1)).zip(x.rows()) {
        for ((out, x), square) in out.iter_mut().zip(row).zip(&squares) {
            *out = if *square > 0.0 { x / square.sqrt() } else { 0.0 };
        }
    }
    let scaled = Array2::from_shape_vec(x.dim(), scaled).map_err(|_| Error::NoData)?;
    let (_, s, _) = thin_svd(scaled)?;
    Ok(Some(rank(&s, x.nrows().max(x.ncols()))))
}

/// The relative rounding of a sum or a decomposition of this order.
pub(crate) fn rounding(order: usize) -> f64 {
    4.0 * f64::EPSILON * (order as f64 / 64.0).max(1.0).sqrt()
}

/// How many singular values are more than the rounding of the largest.
fn rank(s: &Array1<f64>, longest: usize) -> usize {
    let tolerance = longest as f64 * f64::EPSILON * s.first().copied().unwrap_or(0.0);
    s.iter().take_while(|s| **s > tolerance).count()
}

impl<'a> Prepared<'a> {
    /// The same statistics, with the spectrum taken from the samples by thin SVD: more digits
    /// where a residual of the scatter has lost them, at several times the cost and N·D more memory.
    ///
    /// # Errors
    /// As [`Prepared::new`]; [`Error::OtherSamples`] or [`Error::Shape`] if the statistics were made
    /// of another number of samples or features.
    pub fn from_samples(stats: &'a Stats, block: &Block<'_>) -> Result<Self> {
        if block.n_samples() != stats.n_samples {
            let (actual, expected) = (block.n_samples(), stats.n_samples);
            return Err(Error::OtherSamples { actual, expected });
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
        (Held::Targets(block), Held::Targets(held)) => {
            let n_targets = block.shift.len();
            for k in 0..n_targets {
                let offset = held.sum[k] / stats.n_samples as f64;
                let column = block.rows.iter().skip(k).step_by(n_targets).enumerate();
                targets.extend(column.map(|(i, y)| root(i) * (y - offset)));
            }
        }
        (Held::Nothing, Held::Nothing) => {}
        _ => return Err(Error::NoData),
    }
    Ok(targets)
}
