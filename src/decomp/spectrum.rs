//! The spectrum X = U diag(√λ) Vᵀ, λ > 0, with the targets and the mean along the eigenvectors.
//!
//! By thin SVD of the rows themselves, held or given again, or of a factor of the scatter. It sees
//! directions down to 1e-32 of the largest eigenvalue, where a tridiagonal form sees 1e-15, and
//! costs several times as much; metrics ask for it only where that form cannot decide.
//!
//! Steps of its error analysis, with u the unit rounding of a decomposition ([`rounding`]) and s = √λ:
//!
//! 1. A singular value is noise up to max(N, D) ε s₁: [`rank`]. Directions that are lost because they
//!    are small beside others, and not because they are none, are found at one scale of the columns:
//!    [`scaled_rank`].
//! 2. Singular vectors of samples are tilted by u s₁/s: [`tilt`]. The part |ỹ|² − |Uᵀỹ|² of a target is
//!    computed as a sum of squares and moves by the square of that tilt: [`noise_of_samples`].
//! 3. A factor knows b = Xᵀỹ to u |ỹ| E, for columns of sizes E, and x = vᵀb/s amplifies that by
//!    a = |E v|/s: [`amplification`]. The part is a difference of squares: [`noise_of_factor`].
//! 4. A part below its noise is exactly 0: [`unless_noise`].
//! 5. Columns of very different sizes are rows of very different sizes in the factor, whose SVD may
//!    then lose more than step 3 allows for. The triangular factor itself does not, and its
//!    residual shows the loss: [`misfit`]. It is infinite where that residual is rounding, but the
//!    part that the SVD leaves is not. The loss is reported as an error, and changes no value.
//!
//! `metrics/logme/rounding.rs` continues with the evidence.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::error::{Error, Result};
use crate::input::Block;
use crate::linalg::blas::{axpy, matrix_product, product_into, scale};
use crate::linalg::lapack::thin_svd;
use crate::linalg::memory::{Gather, append, reserved, zeros};
use crate::stats::{Held, Precision, Second, Stats, centred_rows};

use super::targets::CentredTargets;
use super::{Prepared, ScaledFactor};

/// The positive part of the spectrum, of order k, ascending.
#[derive(Clone)]
pub(crate) struct Spectrum {
    /// λ, (k,).
    pub(crate) values: Vec<f64>,
    /// Uᵀỹ for every target, one after the other, (C, k).
    pub(crate) scores: Vec<f64>,
    /// |ỹ|² outside the span of U, (C,); exactly 0 where it is rounding noise.
    pub(crate) outside: Vec<f64>,
    /// The part of that which may be rounding, (C,); 0 where nothing can be outside, because there are as
    /// many directions as centred samples.
    pub(crate) outside_noise: Vec<f64>,
    /// Whether directions were too small beside the largest to be seen at all.
    pub(crate) dropped: bool,
    /// Where scores are quotients of b, and `outside` a difference of squares: |E v|/√λ, (k,), for
    /// columns of sizes E. The rounding of b, relative to |ỹ| E, comes out that much larger.
    pub(crate) amplified: Option<Vec<f64>>,
    /// How far `outside` is from the residual of the factor, beyond the noise of both, (C,); 0 for an SVD
    /// of samples.
    pub(crate) misfit: Vec<f64>,
    /// Vᵀμ, (k,).
    pub(crate) mean: Vec<f64>,
    /// |μ|² outside the span of V; exactly 0 where it is rounding noise.
    pub(crate) mean_outside: f64,
    /// V, (k, D).
    pub(crate) basis: Vec<f64>,
}

/// A sum of squares of rounding errors is below this fraction of the whole.
const SQUARE_NOISE: f64 = 1e-26;

/// A mean is rounding where its square is below this fraction of the variance: (10 ε)².
const MEAN_NOISE: f64 = 5e-30;

const SPECTRUM: &str = "a spectrum of the features";

/// Step 4.
fn unless_noise(part: f64, noise: f64) -> f64 {
    if part <= noise { 0.0 } else { part }
}

impl Spectrum {
    /// From the statistics alone: the held rows, or a factor of the scatter.
    pub(super) fn of_stats(stats: &Stats, factor: Option<&ScaledFactor>) -> Result<Self> {
        let centred = CentredTargets::new(stats)?;
        let Some(factor) = factor else {
            let Second::Rows { values, weights } = &stats.second else { return Err(Error::NoData) };
            let x = centred_rows(values, weights, &stats.mean_about_shift()?)?;
            return Self::of_rows(stats, x, &centred.dual(stats)?);
        };
        let n_features = stats.n_features;
        let b = centred.primal(stats, &stats.mean_about_shift()?)?;
        let residuals = centred.square.iter().zip(b.chunks_exact(n_features));
        let residuals = residuals.map(|(square, b)| factor.residual(*square, b));
        let residuals = residuals.gathered_ok(SPECTRUM)?;
        let root = factor.root()?;
        let root = Array2::from_shape_vec((n_features, root.len() / n_features), root);
        let (v, s, _) = thin_svd(root.map_err(|_| Error::NoData)?)?;
        let rank = rank(&s, n_features);
        let v = v.slice_move(ndarray::s![.., ..rank]);
        let b =
            ArrayView2::from_shape((centred.len(), n_features), &b).map_err(|_| Error::NoData)?;
        let mut scores = matrix_product(b, v.view(), SPECTRUM)?;
        scores /= &s.slice(ndarray::s![..rank]);
        let amplified = v.columns().into_iter().zip(&s);
        let mut amplified =
            amplified.map(|(v, s)| amplification(v, factor, *s)).gathered(SPECTRUM)?;
        let spanned = rank as u64 + 1 >= stats.n_samples;
        let mut outside = Outside { dropped: rank < factor.rank(), ..Outside::default() };
        let targets = scores.rows().into_iter().zip(&centred.square).zip(residuals);
        for ((x, square), residual) in targets {
            let noise = noise_of_factor(*square, x, &amplified);
            let part = square - x.dot(&x);
            let misfit = match stats.precision {
                Precision::Double => misfit(part, noise, residual),
                Precision::Single => 0.0, // neither promises digits
            };
            if spanned {
                outside.push(0.0, 0.0, 0.0)?;
            } else {
                outside.push(unless_noise(part, noise), noise, misfit)?;
            }
        }
        amplified.reverse();
        Self::new(stats, &s, &scores, outside, Some(amplified), &v.reversed_axes())
    }

    /// From the samples given again.
    pub(crate) fn of_samples(stats: &Stats, block: &Block<'_>) -> Result<Self> {
        Self::of_scaled_samples(stats, block, None)
    }

    /// From the samples given again, or from their z-scores: statistics of z-scored features, and 1/σ
    /// of every column, say how to scale those of `stats`.
    pub(crate) fn of_scaled_samples(
        stats: &Stats,
        block: &Block<'_>,
        scaled: Option<(&Stats, &[f64])>,
    ) -> Result<Self> {
        stats.check_samples(block)?;
        let (n_rows, n_cols) = (block.features.n_rows(), block.features.n_cols());
        let offset = stats.mean_about_shift()?;
        let mut x = zeros(n_rows * n_cols, "the centred features in float64")?;
        for (i, row) in x.chunks_exact_mut(n_cols).enumerate() {
            block.features.read_row(i, row);
            axpy(-1.0, &stats.shift, row); // exact where μ, rounded to its own size, is not
            axpy(-1.0, &offset, row);
            if let Some((_, inverse)) = scaled {
                row.iter_mut().zip(inverse).for_each(|(x, inverse)| *x *= inverse);
            }
            scale(block.weight(i).sqrt(), row);
        }
        let rows = (0..n_rows).gathered("the numbers of the rows")?;
        let held = Held::of_block(block, &rows, &stats.held)?;
        let weights = rows.iter().map(|i| block.weight(*i)).gathered("the weights of the rows")?;
        let targets = CentredTargets::new(stats)?.of_rows(stats, &held, &weights)?;
        Self::of_rows(scaled.map_or(stats, |(stats, _)| stats), x, &targets)
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
        let scores = matrix_product(y, u.view(), SPECTRUM)?;
        let spanned = rank + 1 >= n_rows;
        let mut residual = matrix_product(scores.view(), u.t(), SPECTRUM)?;
        residual.zip_mut_with(&y, |fitted, y| *fitted = y - *fitted);
        let tilts = s.iter().take(rank).map(|own| tilt(rank, s[0], *own)).gathered(SPECTRUM)?;
        let rows = residual.rows().into_iter().zip(y.rows()).zip(scores.rows());
        let mut outside = Outside { dropped, ..Outside::default() };
        for ((r, y), x) in rows {
            let noise = noise_of_samples(y.dot(&y), x, &tilts);
            if spanned {
                outside.push(0.0, 0.0, 0.0)?;
            } else {
                outside.push(unless_noise(r.dot(&r), noise), noise, 0.0)?;
            }
        }
        Self::new(stats, &s, &scores, outside, None, &vt.slice_move(ndarray::s![..rank, ..]))
    }

    /// Puts the mean along V and everything in ascending order.
    fn new(
        stats: &Stats,
        s: &Array1<f64>,
        scores: &Array2<f64>,
        outside: Outside,
        amplified: Option<Vec<f64>>,
        vt: &Array2<f64>,
    ) -> Result<Self> {
        let mu = Array1::from(stats.mean()?);
        let mean = vt.rows().into_iter().map(|v| v.dot(&mu)).gathered(SPECTRUM)?;
        let mean = Array1::from(mean);
        let along = vt.columns().into_iter().map(|row| row.dot(&mean));
        let rest =
            Array1::from(mu.iter().zip(along).map(|(mu, along)| mu - along).gathered(SPECTRUM)?);
        // The mean of z-scored features is rounding of their size, and no direction.
        let of_mean = MEAN_NOISE * s.dot(s) / stats.n_samples as f64;
        let mut ascending = reserved(scores.len(), SPECTRUM)?;
        scores.rows().into_iter().for_each(|row| ascending.extend(row.iter().rev()));
        let mut basis = reserved(vt.len(), SPECTRUM)?;
        vt.rows().into_iter().rev().for_each(|row| basis.extend(row));
        Ok(Self {
            values: s.iter().take(vt.nrows()).rev().map(|s| s * s).gathered(SPECTRUM)?,
            scores: ascending,
            outside: outside.parts,
            outside_noise: outside.noise,
            dropped: outside.dropped,
            amplified,
            misfit: outside.misfit,
            mean: mean.iter().rev().copied().gathered(SPECTRUM)?,
            mean_outside: unless_noise(rest.dot(&rest), SQUARE_NOISE * mu.dot(&mu) + of_mean),
            basis,
        })
    }

    /// A spectrum with an identity for V, features of mean 0 and one target.
    #[cfg(test)]
    pub(crate) fn known(values: &[f64], scores: &[f64], outside: f64) -> Self {
        let rank = values.len();
        let mut basis = vec![0.0; rank * rank];
        basis.iter_mut().step_by(rank + 1).for_each(|one| *one = 1.0);
        Self {
            values: values.to_vec(),
            scores: scores.to_vec(),
            outside: vec![outside],
            outside_noise: vec![0.0],
            dropped: false,
            amplified: None,
            misfit: vec![0.0],
            mean: vec![0.0; rank],
            mean_outside: 0.0,
            basis,
        }
    }

    /// Uᵀỹ of one target, (k,).
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
        let (n, mean) = (along_mean.len(), prepared.stats.mean()?);
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

/// The part of the targets outside the directions.
#[derive(Default)]
struct Outside {
    parts: Vec<f64>,
    noise: Vec<f64>,
    misfit: Vec<f64>,
    dropped: bool,
}

impl Outside {
    fn push(&mut self, part: f64, noise: f64, misfit: f64) -> Result<()> {
        append(&mut self.parts, part, SPECTRUM)?;
        append(&mut self.noise, noise, SPECTRUM)?;
        append(&mut self.misfit, misfit, SPECTRUM)
    }
}

/// Step 1: the rank with all columns at one size; none unless they differ enough for small ones to be
/// lost.
fn scaled_rank(x: &Array2<f64>) -> Result<Option<usize>> {
    const SPREAD: f64 = 1e6;
    let squares = x.columns().into_iter().map(|column| column.dot(&column)).gathered(SPECTRUM)?;
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

/// Step 2: u s₁/s.
fn tilt(rank: usize, largest: f64, own: f64) -> f64 {
    rounding(rank) * largest / own
}

/// Step 2: max(1e-26 |ỹ|², (Σ |x| u s₁/s)²), for |ỹ|² = `square`.
fn noise_of_samples(square: f64, scores: ArrayView1<'_, f64>, tilts: &[f64]) -> f64 {
    let tilted: f64 = scores.iter().zip(tilts).map(|(x, tilt)| (x * tilt).abs()).sum();
    (SQUARE_NOISE * square).max(tilted * tilted)
}

/// Step 3: |E v|/s.
fn amplification(v: ArrayView1<'_, f64>, factor: &ScaledFactor, s: f64) -> f64 {
    v.iter().zip(&factor.scale).map(|(v, e)| (v * e).powi(2)).sum::<f64>().sqrt() / s
}

/// Step 5: how far a part is from the residual of the factor, beyond the noise of both.
fn misfit(part: f64, noise: f64, (residual, residual_noise): (f64, f64)) -> f64 {
    if part > noise && residual <= residual_noise {
        return f64::INFINITY;
    }
    ((part - residual).abs() - noise - residual_noise).max(0.0)
}

/// Step 3: u (|ỹ| + Σ |x| a)².
fn noise_of_factor(square: f64, scores: ArrayView1<'_, f64>, amplified: &[f64]) -> f64 {
    let of_scores = scores.iter().zip(amplified).map(|(x, a)| x.abs() * a).sum::<f64>();
    rounding(scores.len()) * (square.sqrt() + of_scores).powi(2)
}

/// u, the relative rounding of a sum or a decomposition of this order.
pub(crate) fn rounding(order: usize) -> f64 {
    4.0 * f64::EPSILON * (order as f64 / 64.0).max(1.0).sqrt()
}

/// Step 1: the number of singular values above max(N, D) ε s₁.
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
        let prepared = Self::new(stats)?;
        let spectrum = Spectrum::of_samples(stats, block);
        spectrum.as_ref().map_err(Clone::clone)?;
        prepared.spectrum.get_or_init(|| spectrum);
        Ok(Self { from_samples: true, ..prepared })
    }

    /// The statistics of z-scored features, with 1/σ of every column, decomposed in the same way:
    /// by the samples where these were, if they are given again.
    pub(crate) fn standardised<'b>(
        &'b self,
        stats: &'b Stats,
        inverse: &[f64],
        block: Option<&Block<'_>>,
    ) -> Result<Prepared<'b>> {
        let prepared = Prepared { unscaled: Some(self), ..self.with_stats(stats)? };
        let Some(block) = block.filter(|_| self.from_samples && !stats.holds_rows()) else {
            return Ok(prepared);
        };
        let spectrum = Spectrum::of_scaled_samples(self.stats, block, Some((stats, inverse)))?;
        prepared.spectrum.get_or_init(|| Ok(spectrum));
        Ok(Prepared { from_samples: true, ..prepared })
    }
}
