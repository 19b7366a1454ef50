//! Whether the maximum found by the tridiagonal form is that of the evidence, or the spectrum must
//! be searched too.
//!
//! The form searches t ≥ lo, where noise in the eigenvalues is a thousandth of t at most. It may miss
//! a maximum below lo, and it may hide directions of less than lo. With
//!
//! - end: the maximum that the form shows lies at lo;
//! - hides: there are directions of less than lo that the form does not resolve;
//! - rounding: the residual that all directions together leave of the target is rounding;
//! - bounded: with that residual and the determinant at lo, the evidence stays below the maximum that
//!   the form shows (every t < lo has a larger determinant);
//!
//! the answer for a target is
//!
//! | side   | end | hides | decided by the form                                         |
//! |--------|-----|-------|-------------------------------------------------------------|
//! | any    | no  | no    | yes                                                         |
//! | dual   | yes | any   | no                                                          |
//! | dual   | no  | yes   | no                                                          |
//! | primal | yes | any   | if rounding, and the spectrum is large: it shows no more    |
//! | primal | no  | yes   | if not rounding, and bounded                                |
//!
//! A form without noise decides all targets.

use crate::decomp::{Prepared, Side};
use crate::error::Result;
use crate::linalg::memory::{Gather, filled};
use crate::stats::Precision;
use crate::threads::Context;

use super::curves::{Curve, Tridiagonal};
use super::evidence::Target;
use super::grid::SEARCH;
use super::search::Optimum;
use super::sweeps::LANES;

/// The residual of a target after a fit on all directions.
struct Residual {
    is_rounding: bool,
    /// The evidence below lo does not exceed the maximum that the form shows.
    bounds: bool,
}

/// Apply the table; `residual` is computed only where it is asked for.
fn form_decides(
    side: Side,
    at_end: bool,
    hides: bool,
    is_large: bool,
    residual: impl FnOnce() -> Result<Residual>,
) -> Result<bool> {
    match (side, at_end, hides) {
        (_, false, false) => Ok(true),
        (Side::Dual, ..) => Ok(false),
        (Side::Primal, true, _) => Ok(is_large && residual()?.is_rounding),
        (Side::Primal, false, true) => {
            let Residual { is_rounding, bounds } = residual()?;
            Ok(!is_rounding && bounds)
        }
    }
}

/// Return for each target whether the form decides it, given the maxima over t ≥ lo.
pub(super) fn decided(
    prepared: &Prepared<'_>,
    curve: &Tridiagonal<'_>,
    (targets, optima): (&[Target], &[Optimum]),
    lo: f64,
    context: &Context<'_>,
) -> Result<Vec<bool>> {
    const SMALL: usize = 512; // orders of which a spectrum takes little time and memory
    let (side, stats) = (curve.decomp.side, prepared.stats);
    let hides = stats.precision == Precision::Double && curve.decomp.hides_below(lo);
    let needed = hides || optima.iter().any(|best| !best.within());
    if curve.noise().is_none() || !needed {
        return filled(true, optima.len(), SEARCH);
    }
    let (b, determinant) = match side {
        Side::Dual => (Vec::new(), 0.0),
        Side::Primal => (
            curve.decomp.targets.primal(stats, &stats.mean_about_shift()?)?,
            curve.sums_at(&[lo; LANES])?[0].log_determinant,
        ),
    };
    let is_large = stats.n_features > SMALL;
    let one = |(target, best): (&Target, &Optimum)| {
        form_decides(side, !best.within(), hides, is_large, || {
            let b = &b[target.column * stats.n_features..][..stats.n_features];
            let (residual, noise) = prepared.factor(context)?.residual(target.square, b)?;
            let bound = target.value(residual - noise, determinant);
            Ok(Residual { is_rounding: residual <= noise, bounds: bound <= best.evidence.value })
        })
    };
    targets.iter().zip(optima).map(one).gathered_ok(SEARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table() {
        use Side::{Dual, Primal};
        let both = [false, true];
        for (is_rounding, bounds, is_large) in both
            .into_iter()
            .flat_map(|a| both.map(|b| (a, b)))
            .flat_map(|(a, b)| both.map(|c| (a, b, c)))
        {
            let rows = [
                (Primal, false, false, true),
                (Dual, false, false, true),
                (Dual, true, false, false),
                (Dual, true, true, false),
                (Dual, false, true, false),
                (Primal, true, false, is_rounding && is_large),
                (Primal, true, true, is_rounding && is_large),
                (Primal, false, true, !is_rounding && bounds),
            ];
            for (side, at_end, hides, expected) in rows {
                let residual = || Ok(Residual { is_rounding, bounds });
                let found = form_decides(side, at_end, hides, is_large, residual).unwrap();
                assert_eq!(found, expected, "{side:?} {at_end} {hides} {is_rounding} {bounds}");
            }
        }
    }

    #[test]
    fn the_residual_is_computed_only_where_the_table_asks() {
        let refuse = || -> Result<Residual> { panic!("not asked for") };
        assert!(form_decides(Side::Primal, false, false, true, refuse).unwrap());
        assert!(!form_decides(Side::Dual, true, true, true, refuse).unwrap());
        assert!(!form_decides(Side::Primal, true, true, false, refuse).unwrap());
    }
}
