//! The rounding error to expect in the evidence, to first order.

use crate::decomp::{Prepared, Side, Spectrum};
use crate::error::Result;
use crate::threads::Context;

use super::curves::{Curve, Tridiagonal};
use super::evidence::Target;
use super::search::{Optimum, Place};

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
    if best.place == Place::Rising {
        return f64::INFINITY; // the residual is rounding
    }
    let residual = match curve.decomp.side {
        Side::Primal => {
            noise * best.sums.dof / t + 2.0 * n * f64::EPSILON * target.square / best.evidence.q
        }
        Side::Dual => n * noise / (curve.extent().1 + t),
    };
    noise * best.sums.inverse + residual
}

/// A singular value √λ carries the rounding of the largest, so λ that of 2√λ times it, which moves
/// the determinant and the residual. A score that is a quotient of b amplifies the rounding of b.
/// What lies outside the span is a difference, of squares or of vectors.
fn of_spectrum(spectrum: &Spectrum, number: usize, target: &Target, best: &Optimum) -> f64 {
    let (t, q, n) = (best.t, best.evidence.q, target.effective());
    let amplified = spectrum.amplified.as_deref();
    if best.place == Place::Rising {
        return if amplified.is_some() { f64::INFINITY } else { 0.0 };
    }
    let rank = spectrum.values.len() as f64;
    let rounding = 4.0 * f64::EPSILON * (rank / 64.0).max(1.0).sqrt();
    let largest = spectrum.values.last().copied().unwrap_or(0.0).sqrt();
    let root = target.square.sqrt();
    let (mut determinant, mut residual, mut squares) = (0.0, 0.0, target.square);
    for (i, (value, x)) in spectrum.values.iter().zip(spectrum.target_scores(number)).enumerate() {
        let relative = 2.0 * rounding * largest * value.sqrt() / (value + t);
        let square = amplified.map_or(0.0, |amplified| 2.0 * x.abs() * root * amplified[i]);
        determinant += relative;
        residual += (x * x * relative + rounding * square) * t / (value + t);
        squares += square;
    }
    let outside = spectrum.outside[number];
    let outside = if outside <= 0.0 {
        0.0 // as many directions as samples
    } else if amplified.is_some() {
        rounding * squares
    } else {
        rounding * root * outside.sqrt() + rounding * rounding * target.square
    };
    determinant + n * (residual + outside) / q
}
