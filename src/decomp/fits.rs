//! Linear fits of the targets with an intercept, by least squares or ridge.
//!
//! For a target with ỹ = y − ȳ and b = Xᵀỹ, and weights w = (S + tI)⁻¹b:
//!
//!   explained = bᵀw            (at t = 0, |Pỹ|² with P the projector on the span of X)
//!   error     = |ỹ − Xw|²      = ỹᵀỹ − bᵀw − t wᵀw
//!
//! Least squares, t = 0. The units of the columns do not matter. The rank is that of the scatter at
//! unit diagonal: pivots of 8 D ε and less are rounding (`factor.rs`), and so are, where rows are held,
//! singular values of max(N, D) ε times the largest. [`Route`] is the decision between
//!
//! - nothing to compute, because the rank is N − 1 and every target is reproduced;
//! - the factor of the scatter: explained = zᵀz for z = L⁻¹E⁻¹b;
//! - a spectrum, of samples given again or of held rows with unit columns: explained = |Uᵀỹ|².
//!
//! Ridge, t > 0: the tridiagonal form, unless its rounding is too large; then the spectrum. With
//! a = (K + tI)⁻¹ỹ on the dual side, explained = ỹᵀỹ − t ỹᵀa, error = t²aᵀa and wᵀw = ỹᵀa − t aᵀa.
//!
//! Rounding is estimated to first order.

use std::borrow::Cow;

use crate::error::Result;
use crate::linalg::blas::dot;
use crate::linalg::memory::{Gather, joined, zeros};
use crate::stats::{Second, Stats, centred_rows};
use crate::threads::Context;

use super::shifted::Shifted;
use super::{CentredTargets, Decomp, Prepared, ScaledFactor, Side, Spectrum, rounding_noise};

/// The fit of one target.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Fit {
    pub(crate) explained: f64,
    pub(crate) error: f64,
    /// wᵀw; 0 for least squares by a factor, where no metric asks for it.
    pub(crate) weight: f64,
    /// The rounding error to expect in the explained part.
    pub(crate) rounding: f64,
}

/// The fits of all targets.
pub(crate) struct Fits {
    pub(crate) targets: Vec<Fit>,
    /// Independent directions of the features; counted at t = 0 only.
    pub(crate) rank: Option<usize>,
    /// The features have a direction for every sample: nothing is left of any target.
    pub(crate) saturated: bool,
}

/// The decomposition that a least squares fit is taken from.
enum Route<'a> {
    /// Every target is reproduced, by this many directions.
    Saturated(usize),
    Factor(&'a ScaledFactor),
    /// The spectrum of the samples, or of held rows with unit columns.
    Spectrum(Cow<'a, Spectrum>),
}

/// Targets that are solved for at a time.
const RUN: usize = 16;

const FITS: &str = "the fits of the targets";

impl Prepared<'_> {
    /// Fit without penalty.
    pub(crate) fn least_squares(&self, context: &Context<'_>) -> Result<Fits> {
        let targets = CentredTargets::new(self.stats)?;
        let (rank, fits) = match self.route(&targets, context)? {
            Route::Saturated(rank) => {
                let exact = |square: &f64| Fit { explained: *square, ..Fit::default() };
                let targets = targets.square.iter().map(exact).gathered(FITS)?;
                return Ok(Fits { targets, rank: Some(rank), saturated: true });
            }
            Route::Factor(factor) => (factor.rank(), self.fit_factor(factor, &targets, context)?),
            Route::Spectrum(spectrum) => {
                (spectrum.values.len(), fit_spectrum(&spectrum, &targets.square, 0.0, 0.0)?)
            }
        };
        Ok(Fits { targets: fits, rank: Some(rank), saturated: false })
    }

    fn route(&self, targets: &CentredTargets, context: &Context<'_>) -> Result<Route<'_>> {
        let Second::Rows { values, weights } = &self.stats.second else {
            let factor = self.factor(context)?;
            let rank = factor.rank();
            return Ok(if rank as u64 + 1 >= self.stats.n_samples {
                Route::Saturated(rank)
            } else if self.from_samples && self.spectrum(context)?.values.len() == rank {
                Route::Spectrum(Cow::Borrowed(self.spectrum(context)?))
            } else {
                Route::Factor(factor)
            });
        };
        let (decomp, n_rows) = (self.decomp(context)?, weights.len());
        if decomp.least_above(1e3 * decomp.noise).is_some() {
            return Ok(Route::Saturated(n_rows - 1));
        }
        let rows = columns_at_one_scale(self.stats, values, weights)?;
        let spectrum = Spectrum::of_rows(self.stats, rows, &targets.dual(self.stats)?)?;
        let rank = spectrum.values.len();
        let saturated = rank + 1 >= n_rows;
        Ok(if saturated { Route::Saturated(rank) } else { Route::Spectrum(Cow::Owned(spectrum)) })
    }

    fn fit_factor(
        &self,
        factor: &ScaledFactor,
        targets: &CentredTargets,
        context: &Context<'_>,
    ) -> Result<Vec<Fit>> {
        let (rank, order) = (factor.rank(), self.stats.n_features);
        let b = targets.primal(self.stats, &self.stats.mean_about_shift()?)?;
        let noise = 4.0 * rounding_noise(self.stats, order); // of products, and of factoring them
        let inverse = factor.pivots().map(|pivot| 1.0 / pivot).gathered(FITS)?;
        let parts = context.map(targets.len().div_ceil(RUN), |part| {
            let chosen = part * RUN..targets.len().min((part + 1) * RUN);
            let z = factor.scores(&b[chosen.start * order..chosen.end * order])?;
            let one = |(i, target): (usize, usize)| {
                let (z, square) = (&z[i * rank..(i + 1) * rank], targets.square[target]);
                let grown = z.iter().zip(&inverse).map(|(z, p)| z * z * p).sum::<f64>();
                // A pivot p is off by ε, and b by ε ỹ relative to its column.
                let rounding = noise * (grown + 2.0 * (square * grown).sqrt());
                let explained = dot(z, z).min(square);
                Fit { explained, error: square - explained, weight: 0.0, rounding }
            };
            Ok(chosen.enumerate().map(one).collect::<Vec<_>>())
        })?;
        joined(parts, FITS)
    }

    /// Fit with the penalty t wᵀw, t > 0.
    pub(crate) fn ridge(&self, t: f64, context: &Context<'_>) -> Result<Fits> {
        /// Rounding of ỹᵀỹ that is not worth a spectrum, which takes seconds for a large order.
        const FINE: f64 = 1e-9;
        const COARSE: f64 = 1e-6;
        const SMALL: usize = 512;
        let decomp = self.decomp(context)?;
        let square = &decomp.targets.square;
        let limit = if decomp.order() <= SMALL { FINE } else { COARSE };
        let by_form = match Shifted::new(&decomp.form, t, 0.0)? {
            Some(shifted) if !self.from_samples => fit_form(decomp, &shifted, t, context)?,
            _ => Vec::new(),
        };
        let is_fine = |(fit, square): (&Fit, &f64)| fit.rounding <= limit * square;
        let targets = if !by_form.is_empty() && by_form.iter().zip(square).all(is_fine) {
            by_form
        } else {
            let noise = rounding_noise(self.stats, self.stats.n_features);
            let by_spectrum = fit_spectrum(self.spectrum(context)?, square, t, noise)?;
            let total = |fits: &[Fit]| fits.iter().map(|fit| fit.rounding).sum::<f64>();
            if by_form.is_empty() || total(&by_spectrum) <= total(&by_form) {
                by_spectrum
            } else {
                by_form
            }
        };
        Ok(Fits { targets, rank: None, saturated: false })
    }
}

/// Fit with a penalty from T + tI = L P Lᵀ.
fn fit_form(decomp: &Decomp, shifted: &Shifted, t: f64, context: &Context<'_>) -> Result<Vec<Fit>> {
    let n_targets = decomp.targets.len();
    let one = |target: usize| {
        let square = decomp.targets.square[target];
        let (product, ta) = shifted.product_and_square(decomp.target_vector(target), t)?;
        Ok(match decomp.side {
            Side::Primal => {
                let weight = ta / t / t;
                let error = (square - product - ta / t).max(0.0);
                Fit { explained: product, error, weight, rounding: decomp.noise * weight }
            }
            Side::Dual => {
                let explained = (square - t * product).max(0.0);
                let weight = (product - ta / t).max(0.0);
                Fit { explained, error: ta, weight, rounding: decomp.noise * (ta / t) }
            }
        })
    };
    let parts = context.map(n_targets.div_ceil(RUN), |part| {
        (part * RUN..n_targets.min((part + 1) * RUN)).map(one).gathered_ok(FITS)
    })?;
    joined(parts, FITS)
}

/// Fit from eigenvalues λ and x = Uᵀỹ: no differences. Where those are of a factor of the scatter,
/// rounding of `noise` is amplified on the way to them.
fn fit_spectrum(spectrum: &Spectrum, square: &[f64], t: f64, noise: f64) -> Result<Vec<Fit>> {
    let one = |(target, square): (usize, &f64)| {
        let scores = spectrum.target_scores(target);
        let error = spectrum.outside[target];
        let mut fit = Fit { error, ..Fit::default() };
        for (i, (value, x)) in spectrum.values.iter().zip(scores).enumerate() {
            let (kept, left) = (value / (value + t), t / (value + t));
            fit.explained += x * x * kept;
            fit.error += x * x * left * left;
            fit.weight += x * x * kept / (value + t);
            if let Some(amplified) = &spectrum.amplified {
                let moved = amplified[i] * (x.abs() * amplified[i] + 2.0 * square.sqrt());
                fit.rounding += noise * kept * x.abs() * moved;
            }
        }
        fit
    };
    square.iter().enumerate().map(one).gathered(FITS)
}

/// Return the centred rows times √w, each column divided by its largest magnitude; constant ones zero.
fn columns_at_one_scale(stats: &Stats, values: &[f64], weights: &[f64]) -> Result<Vec<f64>> {
    let mut x = centred_rows(values, weights, &stats.mean_about_shift()?)?;
    let mut largest = zeros::<f64>(stats.n_features, FITS)?; // squares of columns may be out of range
    for row in x.chunks_exact(stats.n_features) {
        largest.iter_mut().zip(row).for_each(|(largest, x)| *largest = largest.max(x.abs()));
    }
    for row in x.chunks_exact_mut(stats.n_features) {
        for (x, largest) in row.iter_mut().zip(&largest) {
            *x = if *largest > 0.0 { *x / largest } else { 0.0 };
        }
    }
    Ok(x)
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact values
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::input::{Block, Response};
    use crate::stats::Precision;

    fn stats(features: &Array2<f64>, targets: &Array2<f64>) -> Stats {
        let view = features.view();
        let block = Block::new(&view, Response::Targets(targets.view()), None).unwrap();
        let mut stats = Stats::empty(Precision::Double);
        stats.push(&block, &Context::serial()).unwrap();
        stats
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * b.abs().max(1.0)
    }

    /// Orthogonal centred columns of squares 4 and 36, and y = 1 + 2 x₁ + x₂/3 + e, e ⊥ both.
    fn known() -> (Array2<f64>, Array2<f64>) {
        let features = array![[1.0, 3.0], [1.0, -3.0], [-1.0, 3.0], [-1.0, -3.0], [0.0, 0.0]];
        let e = [1.0, 1.0, 1.0, 1.0, -4.0];
        let y = (0..5).map(|i| 1.0 + 2.0 * features[[i, 0]] + features[[i, 1]] / 3.0 + e[i]);
        let targets = Array2::from_shape_vec((5, 1), y.collect()).unwrap();
        (features, targets)
    }

    #[test]
    fn least_squares_of_orthogonal_columns() {
        // b = (8, 12): explained = 8²/4 + 12²/36 = 20, and |e|² = 20 is left.
        let (features, targets) = known();
        let stats = stats(&features, &targets);
        let prepared = Prepared::new(&stats).unwrap();
        let fits = prepared.least_squares(&Context::serial()).unwrap();
        assert_eq!((fits.rank, fits.saturated), (Some(2), false));
        assert!(close(fits.targets[0].explained, 20.0) && close(fits.targets[0].error, 20.0));
    }

    #[test]
    fn ridge_is_the_same_by_every_route() {
        // w = (8/(4 + t), 12/(36 + t)) at t = 4: (1, 0.3).
        let (features, targets) = known();
        let (t, weight, explained) = (4.0, 1.0 + 0.09, 8.0 + 12.0 * 0.3);
        let error = 40.0 - explained - t * weight;
        let stats = stats(&features, &targets);
        let prepared = Prepared::new(&stats).unwrap();
        let square = &CentredTargets::new(&stats).unwrap().square;
        let spectrum = prepared.spectrum(&Context::serial()).unwrap();
        let of_factor = fit_spectrum(spectrum, square, t, 0.0).unwrap();
        let of_form = prepared.ridge(t, &Context::serial()).unwrap().targets;
        let view = features.view();
        let block = Block::new(&view, Response::Targets(targets.view()), None).unwrap();
        let by_samples = Prepared::from_samples(&stats, &block).unwrap();
        let of_samples = by_samples.ridge(t, &Context::serial()).unwrap().targets;
        for fit in [of_factor[0], of_form[0], of_samples[0]] {
            assert!(close(fit.explained, explained), "{fit:?}");
            assert!(close(fit.error, error), "{fit:?}");
            assert!(close(fit.weight, weight), "{fit:?}");
        }
    }

    #[test]
    fn ridge_on_the_dual_side_is_that_of_the_primal() {
        // One row of features per sample and more columns than rows: columns of zeros change nothing.
        let (features, targets) = known();
        let mut wide = Array2::zeros((5, 7));
        wide.slice_mut(ndarray::s![.., 2..4]).assign(&features);
        let (few, many) = (stats(&wide, &targets), stats(&features, &targets));
        assert!(few.holds_rows() && !many.holds_rows());
        let ridge = |stats: &Stats| {
            Prepared::new(stats).unwrap().ridge(4.0, &Context::serial()).unwrap().targets[0]
        };
        let (few, many) = (ridge(&few), ridge(&many));
        assert!(close(few.explained, many.explained) && close(few.error, many.error));
        assert!(close(few.weight, many.weight));
    }

    #[test]
    fn as_many_directions_as_centred_samples_reproduce_everything() {
        let features = array![[1.0, 0.0, 2.0], [0.0, 1.0, -1.0], [3.0, 1.0, 0.5]];
        let targets = array![[1.0], [5.0], [-2.0]];
        let stats = stats(&features, &targets);
        let fits = Prepared::new(&stats).unwrap().least_squares(&Context::serial()).unwrap();
        assert_eq!((fits.rank, fits.saturated), (Some(2), true));
        assert_eq!(fits.targets[0].error, 0.0);
    }

    #[test]
    fn stated_rounding_holds_where_columns_nearly_coincide() {
        // x₂ = x₁ + δ e₂ in integers: S and b are exact, and so is explained = bᵀS⁻¹b in rationals.
        let scale = 1_i128 << 19;
        let x1 = [3, -1, 4, -1, -5_i128].map(|x| x * scale);
        let x2 = [1, -2, 0, 2, -1_i128].iter().zip(x1).map(|(d, x)| x + d).collect::<Vec<_>>();
        let y = [2, 7, -1, -8, 0_i128];
        let dot = |a: &[i128], b: &[i128]| a.iter().zip(b).map(|(a, b)| a * b).sum::<i128>();
        let (s11, s12, s22) = (dot(&x1, &x1), dot(&x1, &x2), dot(&x2, &x2));
        let (b1, b2) = (dot(&x1, &y), dot(&x2, &y));
        let top = s22 * b1 * b1 - 2 * s12 * b1 * b2 + s11 * b2 * b2;
        let explained = top as f64 / (s11 * s22 - s12 * s12) as f64;
        let features =
            Array2::from_shape_fn((5, 2), |(i, j)| if j == 0 { x1[i] } else { x2[i] } as f64);
        let targets = Array2::from_shape_fn((5, 1), |(i, _)| y[i] as f64);
        let stats = stats(&features, &targets);
        let fits = Prepared::new(&stats).unwrap().least_squares(&Context::serial()).unwrap();
        let (fit, error) = (fits.targets[0], (fits.targets[0].explained - explained).abs());
        assert!(error > 1e-9 * explained, "the case loses digits: {error}");
        assert!(error <= fit.rounding, "{error} is more than {}", fit.rounding);
        assert!(fit.rounding < 0.1 * explained, "and the statement says something");
    }
}
