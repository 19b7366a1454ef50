//! The rounding error to expect in the evidence, to first order.

use crate::decomp::{Prepared, Side};
use crate::error::Result;
use crate::threads::Context;

use super::evidence::{Target, degrees_of_freedom};
use super::search::{Optimum, Place};

/// One estimate a target; infinite where the tridiagonal form could not decide. Noise in the matrix
/// moves the determinant by Σ noise/(λ + t). It moves the residual by noise · |m|² on the primal
/// side, where the residual is a difference as well, and relatively by noise/(λ + t) on the
/// dual side, where it is a product.
pub(super) fn rounding(
    prepared: &Prepared<'_>,
    targets: &[(usize, Target)],
    optima: &[Optimum],
    by_spectrum: &[usize],
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    if prepared.from_samples {
        return Ok(vec![0.0; targets.len()]);
    }
    let decomp = prepared.decomp(context)?;
    let one = |((_, target), best): (&(usize, Target), &Optimum)| {
        if best.place == Place::NoSignal {
            return 0.0;
        }
        let (t, q) = (best.t, best.evidence.q);
        let eigenvalues = &decomp.eigenvalues;
        let in_directions = eigenvalues.iter().map(|value| decomp.noise / (value + t));
        let (fit, difference) = match decomp.side {
            Side::Primal => (
                decomp.noise * degrees_of_freedom(eigenvalues, t) / t,
                2.0 * target.effective() * f64::EPSILON * target.square / q,
            ),
            Side::Dual => {
                let least = eigenvalues.first().copied().unwrap_or(0.0);
                (target.effective() * decomp.noise / (least + t), 0.0)
            }
        };
        (in_directions.sum::<f64>() + fit + difference) / (2.0 * target.effective())
    };
    let mut rounding: Vec<f64> = targets.iter().zip(optima).map(one).collect();
    for i in by_spectrum {
        rounding[*i] = f64::INFINITY;
    }
    Ok(rounding)
}
