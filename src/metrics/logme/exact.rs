//! Rows that repeat, where the features can fit all others: what bounds the evidence of an exact fit.
//!
//! Two equal rows with equal labels are a direction in sample space, their difference, in which
//! features and labels are both zero. Its density is √(β/2π), so that a fit without error has
//!
//!   2n · dL/d ln t → rank − n < 0  for t → 0,
//!
//! and the evidence grows without bound, though it has learnt nothing from that direction. Such
//! directions are not counted as observations: n is the number of distinct rows d (`evidence.rs`),
//! and rank = n bounds the evidence.
//!
//! How d is found:
//!
//! - N ≤ D, the rows are held: they are compared ([`crate::stats::Stats::distinct`]), and rows that
//!   repeat become one row with a weight. That has full rank again, so that nothing else changes.
//!   Rows of one image with two classes stay apart. A target in which they do not differ, such as
//!   another class, is fitted exactly by as many directions as there are rows with different
//!   features: d is that number, for this target.
//! - N > D: from a decomposition, for a target that is fitted exactly. d − 1 is the rank, if rows limit
//!   it and not columns, which three signs tell: the rank, at one scale of the columns, is below the
//!   number of columns that vary; d is at least half of N; and the features fit the squares of the
//!   rows' norms too ([`Prepared::fits_all`]). The third decides with one of the others, or the two
//!   others where norms tell nothing. Else the labels are a linear function of the features of
//!   distinct rows, or d cannot be told; the evidence is unbounded, which is a named condition.
//!
//! Rows within rounding of each other count as equal: [`least_shift`] is above the squares of their
//! differences.

use crate::decomp::{Prepared, rounding_noise};
use crate::error::Result;
use crate::linalg::memory::reserved;
use crate::threads::Context;

use super::curves::{Curve, Pairs};
use super::evidence::Target;
use super::grid::SEARCH;
use super::sweeps::LANES;

/// The least t at which rounding in a form of this order, or in features that are the same to seven
/// digits, is a thousandth of t at most.
pub(super) fn least_shift(prepared: &Prepared<'_>, curve: &dyn Curve) -> f64 {
    1e3 * rounding_noise(prepared.stats, prepared.stats.n_features) * curve.extent().0
}

/// The number of distinct rows for each target that the features of distinct rows can only just fit,
/// seen at this t; none for others.
pub(super) fn count_distinct(
    prepared: &Prepared<'_>,
    curve: &dyn Curve,
    (targets, t): (&[Target], f64),
    context: &Context<'_>,
) -> Result<Vec<Option<f64>>> {
    let mut differing = None; // held rows with different features: those with equal labels are merged
    let mut counts = reserved(targets.len(), SEARCH)?;
    for group in targets.chunks(LANES) {
        let pairs: Pairs = std::array::from_fn(|lane| (group[lane.min(group.len() - 1)].column, t));
        for (target, (point, sums)) in group.iter().zip(curve.at(&pairs)?) {
            let evidence = target.evidence(&point, sums.log_determinant);
            let (dof, fit) = target.slope_parts(t, &point, &evidence, sums.dof);
            let (counted, rank, n) = (whole(dof), whole(sums.dof), target.effective());
            let is_exact = fit >= 0.5 * n; // |y − Fm|² ≤ t|m|²
            let may_repeat = counted < n && !all_differ(target, rank);
            let distinct = counted + f64::from(u8::from(target.intercept));
            let repeats = if !(is_exact && may_repeat) {
                false
            } else if prepared.stats.holds_rows() {
                let n_rows = match differing {
                    Some(n_rows) => n_rows,
                    None => prepared.stats.n_distinct_features()?,
                };
                differing = Some(n_rows);
                (n_rows as f64 - distinct).abs() < 0.5
            } else {
                rows_repeat(prepared, rank, n, context)?
            };
            counts.push(repeats.then_some(distinct));
        }
    }
    Ok(counts)
}

/// Whether there are as many directions as centred samples, so that no row repeats. Where means are zero,
/// one direction less can fit the target, and that is no observation either.
fn all_differ(target: &Target, rank: f64) -> bool {
    const MEAN_NOISE: f64 = 1e-26; // a sum of squares of rounding errors
    let of_mean = target.n_samples * target.mean * target.mean;
    rank + 1.0 >= target.n_samples && of_mean > MEAN_NOISE * target.square
}

/// Whether distinct rows, and not columns or the labels, are what an exact fit of this rank is owed to.
fn rows_repeat(prepared: &Prepared<'_>, rank: f64, n: f64, context: &Context<'_>) -> Result<bool> {
    const MOST: f64 = 8.0; // copies of a row, on average
    let factor = prepared.factor(context)?;
    if (factor.rank() as f64 - rank).abs() >= 0.5 || MOST * (rank + 1.0) < n {
        return Ok(false);
    }
    let (is_half, is_short) = (2.0 * (rank + 1.0) >= n, factor.rank() < factor.n_varying());
    if !is_half && !is_short {
        return Ok(false);
    }
    Ok(prepared.fits_all(context)?.unwrap_or(is_half && is_short))
}

/// A number of directions, of which the last may be partly below t: then it is not counted.
fn whole(dof: f64) -> f64 {
    (dof + 0.25).floor()
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact values
mod tests {
    use ndarray::{Array2, concatenate, s};

    use super::super::LogMe;
    use super::*;
    use crate::input::{Block, Response};
    use crate::metrics::Detail;
    use crate::stats::{Precision, Stats};
    use crate::threads::Context;

    fn features(n_rows: usize, n_cols: usize) -> Array2<f64> {
        let next = |i: usize, j: usize| ((37 * i * i + 13 * i * j + 7 * j) as f64 * 0.618).sin();
        Array2::from_shape_fn((n_rows, n_cols), |(i, j)| next(i, j))
    }

    /// The score and the number of distinct rows, if some repeat.
    fn score(features: &Array2<f64>, ids: &[i64], intercept: bool) -> (f64, Option<usize>) {
        let view = features.view();
        let block = Block::new(&view, Response::Labels { ids, names: None }, None).unwrap();
        let mut stats = Stats::empty(Precision::Double);
        stats.push(&block, &Context::serial()).unwrap();
        let prepared = Prepared::new(&stats).unwrap();
        let logme = LogMe { intercept, ..LogMe::default() };
        let outcome = logme.compute(&prepared, &Context::serial()).unwrap();
        let distinct = outcome.details.iter().find_map(|(name, detail)| match detail {
            Detail::Count(count) if *name == "distinct_rows" => Some(*count),
            _ => None,
        });
        (outcome.value, distinct)
    }

    #[test]
    fn rows_that_all_occur_equally_often_score_as_one_of_each() {
        // 24 distinct rows: held with 60 columns, and a scatter with 40, of rank 23.
        for n_cols in [60, 40] {
            let once = features(24, n_cols);
            let twice = concatenate![ndarray::Axis(0), once, once];
            let ids: Vec<i64> = (0..48).map(|i| i % 24 / 3 % 2).collect();
            for intercept in [false, true] {
                let (expected, none) = score(&once, &ids[..24], intercept);
                let (found, distinct) = score(&twice, &ids, intercept);
                assert_eq!((none, distinct), (None, Some(24)), "{n_cols}");
                assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn rows_three_times_and_one_column_less_than_rows_are_told() {
        // d = 24: a scatter with rank 23 of 40 columns, and of 23 columns.
        for (n_cols, copies) in [(40, 3), (40, 7), (23, 2)] {
            let once = features(24, n_cols);
            let many = concatenate(ndarray::Axis(0), &vec![once.view(); copies]).unwrap();
            let ids: Vec<i64> = (0..24_i64).map(|i| i / 3 % 2).cycle().take(24 * copies).collect();
            let (expected, _) = score(&once, &ids[..24], true);
            let (found, distinct) = score(&many, &ids, true);
            assert_eq!(distinct, Some(24), "{n_cols} {copies}");
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }

    #[test]
    fn labels_among_dependent_columns_are_no_repeated_rows() {
        // The rank is below the number of columns, and above half of the rows.
        let mut x = features(30, 24);
        let ids: Vec<i64> = (0..30).map(|i| i % 7 % 2).collect();
        x.column_mut(0).assign(&Array2::from_shape_fn((30, 1), |(i, _)| ids[i] as f64).column(0));
        let copy = x.column(3).to_owned();
        x.column_mut(4).assign(&copy);
        assert_eq!(score(&x, &ids, true), (f64::INFINITY, None));
    }

    #[test]
    fn an_exact_fit_of_distinct_rows_stays_unbounded() {
        // One column is the label.
        let mut x = features(30, 20);
        let ids: Vec<i64> = (0..30).map(|i| i % 7 % 2).collect();
        x.column_mut(0).assign(&Array2::from_shape_fn((30, 1), |(i, _)| ids[i] as f64).column(0));
        assert_eq!(score(&x, &ids, true), (f64::INFINITY, None));
        let narrow = x.slice(s![.., ..5]).to_owned();
        assert_eq!(score(&narrow, &ids, true), (f64::INFINITY, None));
    }
}
