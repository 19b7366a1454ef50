//! From statistics to one decomposition that every second-order metric shares.
//!
//! With features F (N, D), their mean μ (D,), X = F − 1μᵀ, targets y with mean ȳ and ỹ = y − ȳ:
//!
//! - N > D, the **primal** side: S = XᵀX (D, D), and the vectors b = Xᵀỹ and μ;
//! - N ≤ D, the **dual** side: K = XXᵀ (N, N), and the vectors ỹ and c = Xμ.
//!
//! The matrix is brought once to tridiagonal form, T = QᵀSQ, and the vectors to its basis. Every
//! shifted solve (S + tI)⁻¹ then costs O(order) a vector. Weighted rows count as √w times the
//! centred row, so that both sides hold for them as well.
//!
//! Eigenvalues are never needed one by one: pivots of T + tI give determinants and traces, and their
//! signs count eigenvalues on either side of a level.

mod dual;
mod factor;
mod fits;
mod products;
mod projection;
mod shifted;
mod spectrum;
mod targets;

use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::linalg::blas::{axpy, dot, outer_add, quadratic};
use crate::linalg::lapack::{TridiagonalForm, check_order};
use crate::linalg::memory::{Gather, copied, grow};
use crate::stats::{Norms, Precision, Second, Stats};
use crate::threads::Context;

pub(crate) use dual::row_products;
pub(crate) use factor::ScaledFactor;
pub(crate) use fits::Fit;
pub(crate) use products::Spread;
pub(crate) use projection::Projection;
pub(crate) use shifted::Shifted;
pub(crate) use spectrum::{Spectrum, rounding};
pub(crate) use targets::CentredTargets;

/// Which of the two matrices was decomposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// S = XᵀX, of order D.
    Primal,
    /// K = XXᵀ, of order N.
    Dual,
}

/// Rounding noise in eigenvalues, relative to the largest: of the products and of their reduction.
/// On rank-deficient features of up to 50,000 × 1,024 it measured 2e-16 to 5e-16. On worse ones (ranks
/// of 10 to D − 1, D from 512 to 2,048, N = 2D) it measured up to 5e-16, 7e-16 and 1.1e-15 by one stage
/// and 7e-16, 9e-16 and 1.3e-15 by two, where this is 1.3e-15, 1.8e-15 and 2.5e-15.
/// Single-precision products round at 6e-8 of their size.
pub(crate) fn rounding_noise(stats: &Stats, order: usize) -> f64 {
    match (stats.precision, stats.holds_rows()) {
        (Precision::Single, false) => 4.0 * f64::from(f32::EPSILON),
        _ => 2.0 * f64::EPSILON * (order as f64 / 64.0).max(1.0).sqrt(),
    }
}

/// The tridiagonal form, with the targets and the mean in its basis.
pub(crate) struct Decomp {
    pub(crate) side: Side,
    pub(crate) form: TridiagonalForm,
    /// The eigenvalue that was added to K, to be left out of determinants.
    pub(crate) added: Option<f64>,
    /// No eigenvalue of T is larger.
    pub(crate) bound: f64,
    /// Rounding noise in the eigenvalues, absolute.
    pub(crate) noise: f64,
    /// The least sum of squares of a column that is not constant; infinite on the dual side.
    least_column: f64,
    /// μ, (D,).
    mean: Vec<f64>,
    /// μᵀμ.
    pub(crate) mean_square: f64,
    pub(crate) targets: CentredTargets,
    /// In T's basis, one vector after the other: Qᵀb or Qᵀỹ for every target, then Qᵀμ or Qᵀc.
    pub(crate) vectors: Vec<f64>,
}

impl Decomp {
    fn new(stats: &Stats, context: &Context<'_>) -> Result<Self> {
        let (offset, mean) = (stats.mean_about_shift()?, stats.mean()?);
        let targets = CentredTargets::new(stats)?;
        let (side, matrix, added, mut vectors) = match &stats.second {
            Second::Scatter(scatter) => {
                let matrix = centred_scatter(scatter, stats.n_samples, &offset)?;
                let mut vectors = targets.primal(stats, &offset)?;
                grow(&mut vectors, mean.len(), "the targets and the mean")?;
                vectors.extend_from_slice(&mean);
                (Side::Primal, matrix, None, vectors)
            }
            Second::Rows { values, weights } => {
                let rows = dual::Rows { values, weights, offset: &offset };
                check_order(weights.len())?;
                let mut vectors = targets.dual(stats)?;
                let along = rows.product(&mean)?;
                grow(&mut vectors, along.len(), "the targets and the mean")?;
                vectors.extend(along);
                let (gram, added) = rows.gram(context)?;
                (Side::Dual, gram, Some(added), vectors)
            }
        };
        context.check()?;
        let order = matrix.len().isqrt();
        let least_column = match side {
            Side::Primal => {
                let columns = matrix.iter().step_by(order + 1).filter(|square| **square > 0.0);
                columns.fold(f64::INFINITY, |a, b| a.min(*b))
            }
            Side::Dual => f64::INFINITY,
        };
        let form = TridiagonalForm::reduce_with(matrix, order, &mut vectors, context)?;
        let bound = form.largest_row();
        let (noise, mean_square) = (rounding_noise(stats, order) * bound, dot(&mean, &mean));
        Ok(Self {
            side,
            form,
            added,
            bound,
            noise,
            least_column,
            mean,
            mean_square,
            targets,
            vectors,
        })
    }

    /// Whether there are directions of less than `level` that the form does not show, or shows
    /// only as noise: small columns beside large ones, or missing rows of full rank.
    pub(crate) fn hides_below(&self, level: f64) -> bool {
        let null = match self.side {
            Side::Primal => self.form.count_below(4.0 * self.noise),
            Side::Dual => 0,
        };
        self.least_column < level || self.form.count_below(level) > null
    }

    /// A bound below all eigenvalues, within a factor of two of the least; none if some are below
    /// `level`.
    pub(crate) fn least_above(&self, level: f64) -> Option<f64> {
        if self.form.count_below(level) > 0 {
            return None;
        }
        let (mut low, mut high) = (level, self.bound);
        for _ in 0..6 {
            // Each step halves the logarithm of their ratio, 1e12 at most.
            let middle = low.sqrt() * high.sqrt();
            if self.form.count_below(middle) > 0 { high = middle } else { low = middle }
        }
        Some(low)
    }

    pub(crate) fn order(&self) -> usize {
        self.form.order()
    }

    /// The vector of a target in T's basis, Qᵀb or Qᵀỹ.
    pub(crate) fn target_vector(&self, target: usize) -> &[f64] {
        &self.vectors[target * self.order()..(target + 1) * self.order()]
    }

    /// The vector of the mean in T's basis, Qᵀμ or Qᵀc.
    pub(crate) fn mean_vector(&self) -> &[f64] {
        self.target_vector(self.targets.len())
    }

    /// From T's basis to the features: Q v on the primal side, XᵀQ v on the dual side, plus f μ, for
    /// each v of `vectors` and f of `along_mean`; (`n_vectors`, D).
    pub(crate) fn to_features(
        &self,
        stats: &Stats,
        mut vectors: Vec<f64>,
        along_mean: &[f64],
        context: &Context<'_>,
    ) -> Result<Vec<f64>> {
        self.form.rotate_back(&mut vectors, context)?;
        let mut result = match &stats.second {
            Second::Scatter(_) => vectors,
            Second::Rows { values, weights } => {
                let offset = stats.mean_about_shift()?;
                dual::Rows { values, weights, offset: &offset }.transposed_product(&vectors)?
            }
        };
        for (row, f) in result.chunks_exact_mut(self.mean.len()).zip(along_mean) {
            axpy(*f, &self.mean, row);
        }
        Ok(result)
    }
}

/// Σ w (x − μ)(x − μ)ᵀ, upper triangle, from that about the shift.
fn centred_scatter(scatter: &[f64], n_samples: u64, offset: &[f64]) -> Result<Vec<f64>> {
    let mut matrix = copied(scatter, "a copy of the scatter")?;
    outer_add(-(n_samples as f64), offset, &mut matrix);
    Ok(matrix)
}

/// The value of a cell, made when it is first asked for. An error is kept as well, unless another attempt may
/// succeed: after an interruption, or where there was no memory.
fn kept<T>(cell: &OnceLock<Result<T>>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if cell.get().is_none() {
        match make() {
            Err(error @ (Error::Interrupted | Error::OutOfMemory { .. })) => return Err(error),
            made => drop(cell.set(made)), // another thread's is the same
        }
    }
    cell.get().map_or(Err(Error::NoData), |made| made.as_ref().map_err(Clone::clone))
}

/// Statistics with their decompositions, each made once, when a metric first asks for it.
pub struct Prepared<'a> {
    pub(crate) stats: &'a Stats,
    decomp: OnceLock<Result<Decomp>>,
    factor: OnceLock<Result<ScaledFactor>>,
    spectrum: OnceLock<Result<Spectrum>>,
    /// Whether the spectrum was taken from the samples themselves.
    pub(crate) from_samples: bool,
    /// Those of the features as they are, where these are of z-scores.
    unscaled: Option<&'a Prepared<'a>>,
}

impl<'a> Prepared<'a> {
    /// Decompositions of these statistics, to be made when first asked for.
    ///
    /// # Errors
    /// [`Error::NoData`], [`Error::TooFewSamples`], [`Error::OutOfRange`] for features beyond 1e-110 to
    /// 1e110.
    pub fn new(stats: &'a Stats) -> Result<Self> {
        if stats.is_empty() {
            return Err(Error::NoData);
        }
        if stats.n_samples < 2 {
            let (what, n_samples) = ("a transferability score", stats.n_samples);
            return Err(Error::TooFewSamples { what, n_samples, minimum: 2 });
        }
        stats.check_scored()?;
        let (decomp, factor, spectrum) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Ok(Self { stats, decomp, factor, spectrum, from_samples: false, unscaled: None })
    }

    /// Other statistics of the same rows, such as their distinct ones, to be decomposed in the same
    /// way: by the rows that they hold where these were taken from the samples.
    pub(crate) fn with_stats<'b>(&self, stats: &'b Stats) -> Result<Prepared<'b>> {
        let from_samples = self.from_samples && stats.holds_rows();
        Ok(Prepared { from_samples, ..Prepared::new(stats)? })
    }

    /// The scatter about the mean, (D, D), upper triangle.
    ///
    /// # Errors
    /// [`Error::NoData`] where rows are held.
    pub(crate) fn centred_scatter(&self) -> Result<Vec<f64>> {
        let Second::Scatter(scatter) = &self.stats.second else { return Err(Error::NoData) };
        centred_scatter(scatter, self.stats.n_samples, &self.stats.mean_about_shift()?)
    }

    pub(crate) fn decomp(&self, context: &Context<'_>) -> Result<&Decomp> {
        kept(&self.decomp, || Decomp::new(self.stats, context))
    }

    /// The factor of the scatter; of nothing where rows are held.
    pub(crate) fn factor(&self, context: &Context<'_>) -> Result<&ScaledFactor> {
        kept(&self.factor, || {
            ScaledFactor::new(self.centred_scatter()?, self.stats.precision, context)
        })
    }

    /// Whether the features of distinct rows fit anything: rows and not columns limit the rank. They
    /// then fit the squares of the rows' norms too, whose moments the scatter brings. None where norms
    /// are linear in the features for another reason: rows of one norm, or of zeros and ones.
    pub(crate) fn fits_all(&self, context: &Context<'_>) -> Result<Option<bool>> {
        const NEAR: f64 = 1e-10; // the square of a difference within rounding of float32
        const FAR: f64 = 1e-3; // what features of rows that are not limited leave at least
        let prepared = self.unscaled.unwrap_or(self);
        let stats = prepared.stats;
        let Norms { square, scale, b, unit } = stats.centred_norms()?;
        let scatter = prepared.centred_scatter()?;
        let mean = stats.mean()?;
        // ‖x − μ‖² is a constant less 2 μᵀ(x − μ), and with Σ xⱼ² = Σ xⱼ a sum more.
        let is_linear = |ones: f64| {
            let c =
                mean.iter().map(|mean| (ones - 2.0 * mean) / unit).gathered("a linear function")?;
            let left = square - 2.0 * dot(&c, &b) + quadratic(&scatter, &c);
            Ok::<_, Error>(left <= 1e-6 * square + 1e-12 * scale)
        };
        if is_linear(0.0)? || is_linear(1.0)? {
            return Ok(None);
        }
        let (residual, noise) = prepared.factor(context)?.residual(square, &b)?;
        let is_single = stats.precision == Precision::Single;
        let near = if is_single { FAR } else { (noise / square).clamp(NEAR, FAR) };
        Ok(Some(residual <= near * square))
    }

    /// The spectrum, from the statistics unless it was made from the samples.
    pub(crate) fn spectrum(&self, context: &Context<'_>) -> Result<&Spectrum> {
        kept(&self.spectrum, || {
            let factor = if self.stats.holds_rows() { None } else { Some(self.factor(context)?) };
            Spectrum::of_stats(self.stats, factor)
        })
    }
}
