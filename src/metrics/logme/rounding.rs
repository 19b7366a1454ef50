//! The rounding error to expect in the evidence, to first order.

use crate::decomp::{Prepared, Side, Spectrum, rounding as rounding_of};
use crate::error::Result;
use crate::threads::Context;

use super::curves::{Curve, Tridiagonal};
use super::evidence::{Evidence, Target};
use super::search::{Optimum, Place};

/// A residual whose rounding is below this fraction of its target is an exact fit.
const EXACT: f64 = 1e-22;

/// One estimate a target.
pub(super) fn rounding(
    prepared: &Prepared<'_>,
    targets: &[(usize, Target)],
    optima: &[Optimum],
    by_spectrum: &[usize],
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    let curve = if by_spectrum.len() < optima.len() {
        Some(Tridiagonal::new(prepared.decomp(context)?))
    } else {
        None
    };
    let one = |(i, ((number, target), best)): (usize, (&(usize, Target), &Optimum))| {
        if best.place == Place::NoSignal {
            return Ok(0.0);
        }
        let error = match &curve {
            Some(curve) if !by_spectrum.contains(&i) => of_form(curve, target, best),
            _ => of_spectrum(prepared.spectrum()?, *number, target, best),
        };
        Ok(error / (2.0 * target.effective()))
    };
    targets.iter().zip(optima).enumerate().map(one).collect()
}

/// Noise in the matrix moves the determinant by Σ noise/(λ + t). It moves the residual by
/// noise · |m|² on the primal side, where the residual is a difference as well, and relatively by
/// noise/(λ + t) on the dual side, where it is a product.
fn of_form(curve: &Tridiagonal<'_>, target: &Target, best: &Optimum) -> f64 {
    let (t, n, noise) = (best.t, target.effective(), curve.decomp.noise);
    let Evidence { q, r, gap, spread, .. } = best.evidence;
    if best.place == Place::Rising {
        return f64::INFINITY; // the residual is rounding
    }
    let of_solve = noise / (curve.extent().1 + t);
    let of_residual = match curve.decomp.side {
        Side::Primal => noise * best.sums.dof / t + 2.0 * n * f64::EPSILON * target.square / q,
        Side::Dual => n * of_solve,
    };
    let error = noise * best.sums.inverse + of_residual;
    if target.intercept {
        return error;
    }
    // The same for μᵀv, relative to the spread, and for μᵀw₀ in the gap.
    let mean_v = (spread - 1.0) / target.n_samples;
    let (of_spread, of_gap) = match curve.decomp.side {
        Side::Primal => (noise / t, noise / t * (mean_v * best.sums.dof * q / n).sqrt()),
        Side::Dual => {
            let square = curve.decomp.mean_square;
            let uu = (square - t * mean_v).max(0.0);
            let noise = (2.0 * f64::EPSILON * square + of_solve * uu) / t;
            let residual = (q - gap * r).max(0.0);
            (target.n_samples * noise / spread, of_solve * (uu * residual / t).sqrt())
        }
    };
    let of_gap = of_gap + 2.0 * f64::EPSILON * target.mean.abs();
    error + of_spread + n * (2.0 * r.abs() * of_gap + gap * r * of_spread) / q
}

/// An SVD is that of a matrix off by the rounding of its largest singular value, and a factor of the
/// scatter comes from entries off by that of their columns' sizes E, as b is by that of |y| E. So
/// directions are tilted, and eigenvalues off, by the rounding of the largest relative to their own
/// size, and for a factor by `amplified` as well. With w₀ = (S + tI)⁻¹b, v = (S + tI)⁻¹μ and the
/// residuals e = y − Xw₀, a change δX of the samples moves the residual by 2 eᵀδX w₀, μᵀv by
/// 2 (Xv)ᵀδX v and μᵀw₀ by vᵀδXᵀe − (Xv)ᵀδX w₀; for a factor the scores stand on their own.
fn of_spectrum(spectrum: &Spectrum, number: usize, target: &Target, best: &Optimum) -> f64 {
    let (t, n) = (best.t, target.effective());
    let Evidence { q, r, gap, spread, .. } = best.evidence;
    let noise = spectrum.outside_noise[number];
    if spectrum.dropped {
        return f64::INFINITY;
    }
    if best.place == Place::Rising {
        return if noise > EXACT * target.square { f64::INFINITY } else { 0.0 };
    }
    let ulp = rounding_of(spectrum.values.len());
    let largest = spectrum.values.last().copied().unwrap_or(0.0).sqrt();
    let outside = spectrum.outside[number];
    let root = target.square.sqrt();
    let (mut determinant, mut of_scores, mut tilted) = (0.0, 0.0, 0.0);
    let (mut w, mut v, mut e) = (Size::default(), Size::default(), outside);
    for (i, (value, x)) in spectrum.values.iter().zip(spectrum.target_scores(number)).enumerate() {
        let share = t / (value + t);
        let tilt = largest / value.sqrt();
        let amplified = spectrum.amplified.as_ref().map_or(0.0, |amplified| amplified[i]);
        let of_value = 2.0 * tilt + amplified * amplified;
        determinant += ulp * of_value * (1.0 - share);
        of_scores += 2.0 * ulp * x.abs() * root * (of_value + amplified) * share
            + ulp * x * x * of_value * share * (1.0 - share);
        tilted += ulp * x.abs() * tilt * share;
        e += (x * share).powi(2);
        w.add(value.sqrt() * x / (value + t), *value, amplified);
        v.add(spectrum.mean[i] / (value + t), *value, amplified);
    }
    let ulp_of_largest = ulp * largest;
    let of_outside = noise + 2.0 * (outside * noise).sqrt();
    let (of_residual, of_gap) = if spectrum.amplified.is_some() {
        let of_s = ulp_of_largest * (v.norm() * w.through() + w.norm() * v.through());
        (of_scores, of_s + ulp * v.reach * (w.reach + 2.0 * root))
    } else {
        (
            2.0 * ulp_of_largest * e.sqrt() * w.norm() + tilted * tilted,
            ulp_of_largest * (v.norm() * e.sqrt() + v.through() * w.norm()),
        )
    };
    let of_residual = of_residual + of_outside;
    if target.intercept {
        return determinant + n * of_residual / q;
    }
    let square = spectrum.mean.iter().map(|u| u * u).sum::<f64>() + spectrum.mean_outside;
    let of_mean = ulp * (square * spectrum.mean_outside).sqrt() / t;
    let of_v = 2.0 * ulp_of_largest * v.norm() * v.through() + ulp * v.reach * v.reach;
    let of_spread = target.n_samples * (of_v + of_mean) / spread;
    let of_gap = of_gap + 2.0 * f64::EPSILON * target.mean.abs();
    let of_q = of_residual + 2.0 * r.abs() * of_gap + gap * r * of_spread;
    determinant + of_spread + n * of_q / q
}

/// Sizes of a vector z = V e: |z|, |Gᵀz| and a bound on |Ez|.
#[derive(Default)]
struct Size {
    square: f64,
    through: f64,
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
