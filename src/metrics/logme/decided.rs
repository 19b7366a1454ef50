//! Whether the tridiagonal form has shown the maximum, or the spectrum has to.

use crate::decomp::{Prepared, Side};
use crate::error::Result;
use crate::stats::Precision;

use super::curves::{Curve, Tridiagonal};
use super::evidence::Target;
use super::search::Optimum;
use super::sweeps::LANES;

/// One answer a target. Not if it lies at the lower end of the range, unless the residual is
/// rounding, so that statistics show no more, and a spectrum would be large. And not if directions
/// that the form hides below that end could lift the evidence above it: there, the determinant of
/// what the form shows and the residual that all directions together leave bound the evidence.
pub(super) fn decided(
    prepared: &Prepared<'_>,
    curve: &Tridiagonal<'_>,
    targets: &[(usize, Target)],
    optima: &[Optimum],
    lo: f64,
) -> Result<Vec<bool>> {
    const SMALL: usize = 512; // orders of which a spectrum takes little time and memory
    let at_end = |best: &Optimum| !best.within();
    let hides = prepared.stats.precision == Precision::Double && curve.decomp.hides_below(lo);
    if curve.noise().is_none() || !(hides || optima.iter().any(at_end)) {
        return Ok(vec![true; optima.len()]);
    }
    if curve.decomp.side == Side::Dual {
        return Ok(optima.iter().map(|best| !hides && !at_end(best)).collect());
    }
    let factor = prepared.factor()?;
    let n_features = prepared.stats.n_features;
    let b = curve.decomp.targets.primal(prepared.stats, &prepared.stats.mean_about_shift())?;
    let determinant = curve.sums_at(&[lo; LANES])[0].log_determinant;
    let decided = |((number, target), best): (&(usize, Target), &Optimum)| {
        let b = &b[number * n_features..(number + 1) * n_features];
        let (residual, noise) = factor.residual(target.square, b)?;
        let is_rounding = residual <= noise;
        let bounded = || target.value(residual - noise, determinant) <= best.evidence.value;
        Ok(if at_end(best) {
            is_rounding && n_features > SMALL
        } else {
            !hides || (!is_rounding && bounded())
        })
    };
    targets.iter().zip(optima).map(decided).collect()
}
