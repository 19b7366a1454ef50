//! The rounding error to expect in the evidence. Over 400 lines with the tests of its bounds.
//!
//! With Δ = Σ ln(1 + λᵢ/t), σ = 1 + N μᵀv, ρ = ỹᵀỹ − w₀ᵀb, g = ȳ − μᵀw₀ and r = N g/σ (`evidence.rs`),
//!
//!   2n L = −Δ − ln σ + n ln(n/q) − n − n ln 2π,    q = ρ + g r.
//!
//! Steps, each a function below:
//!
//! 1. δΔ, the error of the determinant.
//! 2. δρ, that of the residual.
//! 3. δσ/σ, that of the spread.
//! 4. δg, that of the gap.
//! 5. δq = δρ + 2|r| δg + g r δσ/σ, because q is stationary in r.
//! 6. 2n δL = δΔ + ε(δσ/σ) + n ε(δq/q), where ε(x) bounds the change of a logarithm by a relative
//!    change x of its argument: [`of_logarithm`]. A residual known to δq/q ≥ 1 may be zero, and then
//!    no number bounds the evidence.
//!
//! Steps 1 to 5 are to first order, at the t of the maximum, where the evidence is stationary. They are
//! made of one of three decompositions:
//!
//! - the tridiagonal form ([`of_form`]): absolute noise ν in all eigenvalues;
//! - an SVD of samples: a change δX of the samples with |δX| = u s₁, for u the unit rounding of a
//!   decomposition and s₁ the largest singular value. Singular vectors are tilted, and singular
//!   values off, by u s₁ relative to their own size s;
//! - an SVD of a factor of the scatter: the same, and besides, entries of the scatter are off by u Eᵢ Eⱼ
//!   and those of b by u Eᵢ |ỹ|, for columns of sizes E. Along v, that error grows by `amplified` =
//!   |E v|/s. A factor of columns of very different sizes may lose more; then its residual contradicts
//!   the triangular factor (`misfit`, `decomp/spectrum.rs`).

use crate::decomp::{Prepared, Side, Spectrum, rounding as unit_of};
use crate::error::Result;
use crate::linalg::memory::Gather;
use crate::threads::Context;

use super::curves::{Curve, Tridiagonal};
use super::evidence::{Evidence, Target};
use super::find::{Maximum, Source};
use super::grid::SEARCH;
use super::search::{Location, Optimum};

/// A residual whose rounding is below this fraction of its target is an exact fit.
const EXACT: f64 = 1e-22;

/// Changes of an estimate by less than this fraction do not matter.
const NEGLIGIBLE: f64 = 1e-3;

/// Return one estimate for each target, in nats per sample.
pub(super) fn rounding(
    prepared: &Prepared<'_>,
    maxima: &[Maximum],
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    let curve = if maxima.iter().any(|one| one.source == Source::Form) {
        Some(Tridiagonal::new(prepared.decomp(context)?))
    } else {
        None
    };
    let one = |Maximum { target, best, source }: &Maximum| {
        let error = match (&curve, source) {
            (Some(curve), Source::Form) => of_form(curve, target, best),
            _ => of_spectrum(prepared.spectrum(context)?, target, best)?,
        };
        Ok(error / (2.0 * target.effective()))
    };
    maxima.iter().map(one).gathered_ok(SEARCH)
}

/// ε(x): the largest |ln a − ln a'| for |a − a'| ≤ x a'.
///
/// The larger change is that downwards, −ln(1 − x) = x + x²/2 + …. x alone is as good an estimate
/// as long as x/2 is negligible. From x = 1 on, a may be zero.
fn of_logarithm(x: f64) -> f64 {
    if x <= NEGLIGIBLE {
        x
    } else if x < 1.0 {
        -(-x).ln_1p()
    } else {
        f64::INFINITY
    }
}

/// The errors of the terms of 2n L.
struct Errors {
    /// δΔ.
    determinant: f64,
    /// n δρ/q; zero where it is part of `rest`.
    residual: f64,
    /// δσ/σ.
    spread: f64,
    /// n/q times the other terms of δq.
    rest: f64,
}

impl Errors {
    /// Step 6.
    fn total(&self, n: f64) -> f64 {
        let of_q = (self.residual + self.rest) / n;
        if of_logarithm(of_q) > of_q || of_logarithm(self.spread) > self.spread {
            return self.determinant + of_logarithm(self.spread) + n * of_logarithm(of_q);
        }
        self.determinant + self.residual + self.spread + self.rest
    }
}

/// Noise ν in the eigenvalues of the tridiagonal form, of which t is at least a thousandfold:
///
/// 1. δΔ = Σ ν/(λ + t).
/// 2. Primal, where ρ is a difference: δρ = ν |m|² + 2ε ỹᵀỹ, with |m|² = q Σ λ/(λ + t)/(n t) at the
///    maximum. Dual, where ρ is a product: δρ = q ν/(λₙ + t), for the least eigenvalue λₙ.
/// 3. and 4. [`spread_and_gap_of_form`].
fn of_form(curve: &Tridiagonal<'_>, target: &Target, best: &Optimum) -> f64 {
    if best.location == Location::NoSignal {
        return 0.0;
    }
    if best.location == Location::Rising {
        return f64::INFINITY; // the residual is rounding
    }
    let (t, n, noise) = (best.t, target.effective(), curve.decomp.noise);
    let Evidence { q, r, gap, .. } = best.evidence;
    let determinant = noise * best.sums.inverse;
    let residual = match curve.decomp.side {
        Side::Primal => noise * best.sums.dof / t + 2.0 * n * f64::EPSILON * target.square / q,
        Side::Dual => n * (noise / (curve.extent().1 + t)),
    };
    if target.intercept {
        return Errors { determinant, residual, spread: 0.0, rest: 0.0 }.total(n);
    }
    let (spread, of_gap) = spread_and_gap_of_form(curve, target, best);
    let rest = n * (2.0 * r.abs() * of_gap + gap * r * spread) / q;
    Errors { determinant, residual, spread, rest }.total(n)
}

/// δσ/σ and δg:
///
/// - primal: δσ/σ = ν/t and δg = (ν/t) √(μᵀv Σ λ/(λ + t) q/n) + 2ε|ȳ|;
/// - dual, where μᵀv = (μᵀμ − cᵀ(K + tI)⁻¹c)/t is a difference and κ = ν/(λₙ + t):
///   δσ/σ = N (2ε μᵀμ + κ cᵀ(K + tI)⁻¹c)/(t σ) and δg = κ √(cᵀ(K + tI)⁻¹c ρ/t) + 2ε|ȳ|.
fn spread_and_gap_of_form(curve: &Tridiagonal<'_>, target: &Target, best: &Optimum) -> (f64, f64) {
    let (t, n, noise) = (best.t, target.effective(), curve.decomp.noise);
    let Evidence { q, r, gap, spread, .. } = best.evidence;
    let mean_v = (spread - 1.0) / target.n_samples;
    let (of_spread, of_gap) = match curve.decomp.side {
        Side::Primal => (noise / t, noise / t * (mean_v * best.sums.dof * q / n).sqrt()),
        Side::Dual => {
            let of_solve = noise / (curve.extent().1 + t);
            let square = curve.decomp.mean_square;
            let uu = (square - t * mean_v).max(0.0);
            let noise = (2.0 * f64::EPSILON * square + of_solve * uu) / t;
            let residual = (q - gap * r).max(0.0);
            (target.n_samples * noise / spread, of_solve * (uu * residual / t).sqrt())
        }
    };
    (of_spread, of_gap + 2.0 * f64::EPSILON * target.mean.abs())
}

/// Steps 1 to 5 from a spectrum, with w₀ = (S + tI)⁻¹b and v = (S + tI)⁻¹μ.
fn of_spectrum(spectrum: &Spectrum, target: &Target, best: &Optimum) -> Result<f64> {
    let (t, n) = (best.t, target.effective());
    let Evidence { q, r, gap, spread, .. } = best.evidence;
    let noise = spectrum.outside_noise[target.column];
    let misfit = spectrum.misfit[target.column];
    if misfit.is_infinite() {
        return Ok(f64::INFINITY);
    }
    if best.location == Location::NoSignal {
        return Ok(0.0);
    }
    if spectrum.dropped {
        return Ok(f64::INFINITY);
    }
    if best.location == Location::Rising {
        return Ok(if noise > EXACT * target.square { f64::INFINITY } else { 0.0 });
    }
    let along = Along::new(spectrum, target, t)?;
    let determinant = along.determinant();
    let (residual, of_gap) = match spectrum.amplified {
        None => (along.residual_of_samples(), along.gap_of_samples()),
        Some(_) => (along.residual_of_factor(), along.gap_of_factor()),
    };
    let of_outside = noise + 2.0 * (along.outside * noise).sqrt();
    let residual = residual + of_outside + misfit;
    let anywhere = n * anywhere(along.outside, noise, misfit);
    if target.intercept {
        let rest = n * residual / q;
        return Ok(Errors { determinant, residual: 0.0, spread: 0.0, rest }.total(n).max(anywhere));
    }
    let of_spread = target.n_samples * along.mean_product(spectrum, t) / spread;
    let of_gap = of_gap + 2.0 * f64::EPSILON * target.mean.abs();
    let of_q = residual + 2.0 * r.abs() * of_gap + gap * r * of_spread;
    let rest = n * of_q / q;
    Ok(Errors { determinant, residual: 0.0, spread: of_spread, rest }.total(n).max(anywhere))
}

/// The error of ln q at any t, and not only at the maximum, from the part of the target outside the
/// directions: q ≥ part. Zero unless the SVD of a factor lost digits of that part.
fn anywhere(part: f64, noise: f64, misfit: f64) -> f64 {
    if misfit > 0.0 && part > 0.0 { of_logarithm((misfit + noise) / part) } else { 0.0 }
}

/// One direction of a spectrum.
struct Direction {
    /// x, the target's score.
    score: f64,
    /// t/(λ + t).
    share: f64,
    /// s₁/s.
    tilt: f64,
    /// |E v|/s; 0 for an SVD of samples.
    amplified: f64,
}

impl Direction {
    /// The relative error of λ in units of u.
    fn of_value(&self) -> f64 {
        2.0 * self.tilt + self.amplified * self.amplified
    }
}

/// A target along the directions of a spectrum, at one t.
struct Along {
    directions: Vec<Direction>,
    /// u.
    unit: f64,
    /// u s₁, the size of δX.
    change: f64,
    /// |ỹ|.
    root: f64,
    /// |ỹ|² outside the directions.
    outside: f64,
    w: Size,
    v: Size,
}

impl Along {
    fn new(spectrum: &Spectrum, target: &Target, t: f64) -> Result<Self> {
        let unit = unit_of(spectrum.values.len());
        let largest = spectrum.values.last().copied().unwrap_or(0.0).sqrt();
        let (mut w, mut v) = (Size::default(), Size::default());
        let scores = spectrum.values.iter().zip(spectrum.target_scores(target.column));
        let direction = |(i, (value, score)): (usize, (&f64, &f64))| {
            let amplified = spectrum.amplified.as_ref().map_or(0.0, |amplified| amplified[i]);
            w.add(value.sqrt() * score / (value + t), *value, amplified);
            v.add(spectrum.mean[i] / (value + t), *value, amplified);
            let (share, tilt) = (t / (value + t), largest / value.sqrt());
            Direction { score: *score, share, tilt, amplified }
        };
        let directions =
            scores.enumerate().map(direction).gathered("the directions of a spectrum")?;
        let (root, outside) = (target.square.sqrt(), spectrum.outside[target.column]);
        Ok(Self { directions, unit, change: unit * largest, root, outside, w, v })
    }

    /// Step 1: δΔ = Σ ε(δλ/λ) λ/(λ + t), with δλ/λ = u (2 s₁/s + amplified²).
    fn determinant(&self) -> f64 {
        let one = |one: &Direction| of_logarithm(self.unit * one.of_value() * (1.0 - one.share));
        self.directions.iter().map(one).sum()
    }

    /// |e|, for the residuals e = ỹ − Xw₀.
    fn left(&self) -> f64 {
        let inside = self.directions.iter().map(|one| (one.score * one.share).powi(2));
        inside.fold(self.outside, |sum, part| sum + part).sqrt()
    }

    /// Step 2 for samples: δρ = 2 eᵀδX w₀ + (Σ |x| u (s₁/s) t/(λ + t))², the last from the tilt.
    fn residual_of_samples(&self) -> f64 {
        let one = |one: &Direction| self.unit * one.score.abs() * one.tilt * one.share;
        let tilted: f64 = self.directions.iter().map(one).sum();
        2.0 * self.change * self.left() * self.w.norm() + tilted * tilted
    }

    /// Step 2 for a factor, of ρ = ỹᵀỹ − Σ x² λ/(λ + t). The scores are quotients x = vᵀb/s, off by
    /// δx = u |ỹ| (2 s₁/s + amplified² + amplified), and λ by δλ: the part Σ x² t/(λ + t) is off by
    /// 2|x| δx t/(λ + t) + x² δλ/λ · λt/(λ + t)².
    fn residual_of_factor(&self) -> f64 {
        let one = |one: &Direction| {
            let Direction { score: x, share, amplified, .. } = one;
            2.0 * self.unit * x.abs() * self.root * (one.of_value() + amplified) * share
                + self.unit * x * x * one.of_value() * share * (1.0 - share)
        };
        self.directions.iter().map(one).sum()
    }

    /// Step 4 for samples: δg = vᵀδXᵀe − (Xv)ᵀδX w₀.
    fn gap_of_samples(&self) -> f64 {
        self.change * (self.v.norm() * self.left() + self.v.through() * self.w.norm())
    }

    /// Step 4 for a factor: δg = vᵀδS w₀ + vᵀδb.
    fn gap_of_factor(&self) -> f64 {
        let Self { w, v, .. } = self;
        let of_s = self.change * (v.norm() * w.through() + w.norm() * v.through());
        of_s + self.unit * v.reach * (w.reach + 2.0 * self.root)
    }

    /// Step 3: δ(μᵀv) = 2 (Xv)ᵀδX v, and the rounding of the part of μ outside the directions.
    fn mean_product(&self, spectrum: &Spectrum, t: f64) -> f64 {
        let v = &self.v;
        let square = spectrum.mean.iter().map(|u| u * u).sum::<f64>() + spectrum.mean_outside;
        let of_mean = self.unit * (square * spectrum.mean_outside).sqrt() / t;
        2.0 * self.change * v.norm() * v.through() + self.unit * v.reach * v.reach + of_mean
    }
}

/// Sizes of a vector z = Σ eᵢ vᵢ.
#[derive(Default)]
struct Size {
    /// |z|².
    square: f64,
    /// |Xz|².
    through: f64,
    /// A bound on |Ez|.
    reach: f64,
}

impl Size {
    fn add(&mut self, e: f64, value: f64, amplified: f64) {
        self.square += e * e;
        self.through += value * e * e;
        self.reach += e.abs() * amplified * value.sqrt();
    }

    fn norm(&self) -> f64 {
        self.square.sqrt()
    }

    fn through(&self) -> f64 {
        self.through.sqrt()
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact values
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::input::{Block, Response};
    use crate::metrics::logme::LogMe;
    use crate::metrics::{Detail, Outcome};
    use crate::stats::Stats;

    #[test]
    fn a_logarithm_moves_by_more_than_first_order() {
        assert_eq!(of_logarithm(1e-9), 1e-9);
        assert!((of_logarithm(0.5) - std::f64::consts::LN_2).abs() < 1e-15);
        assert_eq!(of_logarithm(1.0), f64::INFINITY);
        assert_eq!(of_logarithm(f64::INFINITY), f64::INFINITY);
        for x in [1e-3, 0.01, 0.3, 0.999_f64] {
            let exact = (1.0 / (1.0 - x)).ln(); // ln a − ln a' at its largest
            assert!(of_logarithm(x) >= exact * (1.0 - NEGLIGIBLE), "{x}");
        }
    }

    #[test]
    fn terms_add_up_to_first_order_and_diverge_with_the_residual() {
        let errors =
            |rest| Errors { determinant: 1e-6, residual: 0.0, spread: 1e-7, rest }.total(10.0);
        assert!((errors(1e-5) - 1.11e-5).abs() < 1e-20);
        assert!((errors(5.0) - (1.1e-6 + 10.0 * std::f64::consts::LN_2)).abs() < 1e-12);
        assert_eq!(errors(10.0), f64::INFINITY);
    }

    /// The evidence of targets y = 3x + e for one column x without intercept, from exact sums of
    /// integers.
    fn exact(x: &[i128], e: &[i128]) -> f64 {
        let dot = |a: &[i128], b: &[i128]| a.iter().zip(b).map(|(a, b)| a * b).sum::<i128>();
        let (xx, xe, ee) = (dot(x, x), dot(x, e), dot(e, e));
        let (n, lambda) = (x.len() as f64, xx as f64);
        let outside = (ee * xx - xe * xe) as f64 / lambda;
        let square = ((3 * xx + xe) as f64).powi(2) / lambda;
        // dL/dt = 0 at t = oλ/((n − 1) x² − o), as in `search.rs`.
        let t = outside * lambda / ((n - 1.0) * square - outside);
        let q = outside + square * t / (lambda + t);
        (n * (n / q).ln() - (lambda / t).ln_1p() - n - n * std::f64::consts::TAU.ln()) / (2.0 * n)
    }

    fn score(x: &[i128], y: &[i128], by_samples: bool) -> Outcome {
        let features = Array2::from_shape_fn((x.len(), 1), |(i, _)| x[i] as f64);
        let targets = Array2::from_shape_fn((y.len(), 1), |(i, _)| y[i] as f64);
        let view = features.view();
        let block = Block::new(&view, Response::Targets(targets.view()), None).unwrap();
        let mut stats = Stats::empty(crate::stats::Precision::Double);
        stats.push(&block, &Context::serial()).unwrap();
        let prepared = if by_samples {
            Prepared::from_samples(&stats, &block).unwrap()
        } else {
            Prepared::new(&stats).unwrap()
        };
        LogMe::default().compute(&prepared, &Context::serial()).unwrap()
    }

    #[test]
    fn stated_errors_hold_against_exact_arithmetic() {
        // y = 3x + e with |e| from a thousandth of |x| to 1e-9 of it: statistics lose all digits.
        let mut lost = 0;
        for power in [10, 14, 18, 22, 26, 30] {
            let size = 1_i128 << power;
            let x: Vec<i128> = (0..12).map(|i| (i * i * 5 % 23 - 9) * size + i * 7 % 11).collect();
            let e: Vec<i128> = (0..12).map(|i| i * 5 % 7 - 3).collect();
            let y: Vec<i128> = x.iter().zip(&e).map(|(x, e)| 3 * x + e).collect();
            let expected = exact(&x, &e);
            for by_samples in [false, true] {
                let outcome = score(&x, &y, by_samples);
                let stated = outcome.details.iter().find_map(|(name, detail)| match detail {
                    Detail::Numbers(numbers) if *name == "rounding" => Some(numbers[0]),
                    _ => None,
                });
                let (stated, error) = (stated.unwrap(), (outcome.value - expected).abs());
                assert!(error <= stated + 1e-13, "{power} {by_samples}: {error} > {stated}");
                lost += usize::from(error > 1e-3);
            }
        }
        assert!(lost > 0, "no case loses digits");
    }
}
