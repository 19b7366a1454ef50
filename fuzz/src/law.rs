//! What must hold for statistics of real rows.
//!
//! The merge law: statistics of parts, merged in another order, are those of all rows. Both are
//! honest, so files and moments of them must be accepted.
//!
//! Tolerance of the merge law: the shift of a column lies within its range r, so that every term of a
//! sum of products is at most rᵢ rⱼ. Two ways to sum and shift N of them differ by at most a few N ε
//! times n rᵢ rⱼ; N is at most 24, and [`ROUNDING`] allows for 200 ε.

use ndarray::{Array2, ArrayView2};
use transferability::stats::{Moments, Precision, Responses, Stats};
use transferability::threads::Context;

use super::rows::Given;
use super::uses::named;

const ROUNDING: f64 = 200.0 * f64::EPSILON;
/// Of products in float32, as `src/stats/check.rs` has it.
const SINGLE: f64 = 1e-4;

/// Checks that statistics of real rows are read back from a file, and from moments.
///
/// # Panics
/// If they are refused, or read as something else.
pub fn check_honest(stats: &Stats) {
    let bytes = stats.to_bytes("").expect("fits");
    let (again, _) = Stats::from_bytes(&bytes, &Context::serial())
        .unwrap_or_else(|error| panic!("honest: {error}"));
    assert!(again.to_bytes("").expect("fits") == bytes, "a file is read as something else");
    let moments = named("moments", stats.clone().into_moments(&Context::serial()));
    if let Some(moments) = moments {
        // Fourth powers leave float64 where squares do not, and moments say so.
        let finite = is_finite(&moments);
        match Stats::from_moments(moments, &Context::serial()) {
            Err(error) => assert!(!finite, "honest moments: {error}"),
            Ok(again) => assert!(again.n_samples() == stats.n_samples()),
        }
    }
}

fn is_finite(moments: &Moments) -> bool {
    let classes = moments.by_class.iter().flatten();
    let fourth = moments.cubic.iter().chain([&moments.quartic]);
    fourth.copied().all(f64::is_finite) && classes.map(|(_, of_class)| of_class).all(is_finite)
}

/// What the tolerance of a column is relative to: its range with the rounding of its numbers, and its
/// largest magnitude.
fn ranges(values: ArrayView2<'_, f64>, counted: &[bool]) -> (Vec<f64>, Vec<f64>) {
    let of = |column: ndarray::ArrayView1<'_, f64>| {
        let counted =
            || column.iter().zip(counted).filter(|(_, counted)| **counted).map(|(x, _)| *x);
        let (least, most) =
            counted().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        let size = least.abs().max(most.abs());
        // Numbers below the normal range are ε times its end apart.
        (most - least + 2.0 * f64::EPSILON * size + f64::MIN_POSITIVE, size)
    };
    values.columns().into_iter().map(of).unzip()
}

/// Checks that merged statistics are those of all rows.
///
/// # Panics
/// If a sum is further away than rounding.
pub fn check_merge(given: &Given, whole: Stats, merged: Stats) {
    assert_eq!(whole.n_samples(), merged.n_samples());
    assert_eq!(whole.classes(), merged.classes());
    let (n, d) = (given.n_rows(), given.features.n_cols());
    let mut values = Array2::zeros((n, d));
    for (i, mut row) in values.rows_mut().into_iter().enumerate() {
        given.features.read_row(i, row.as_slice_mut().expect("standard layout"));
    }
    let weight = |i: usize| given.weights.as_ref().is_none_or(|weights| weights[i] > 0);
    let counted: Vec<bool> = (0..n).map(weight).collect();
    let (x_range, x_size) = ranges(values.view(), &counted);
    let (y_range, y_size) = ranges(given.targets.view(), &counted);
    let rounding = if given.precision == Precision::Single { SINGLE } else { ROUNDING };
    let total = whole.n_samples() as f64;
    let near = |what: &str, a: f64, b: f64, size: f64, rounding: f64| {
        let allowed = rounding * size + f64::MIN_POSITIVE * total;
        // Sizes beyond float64 are no bound.
        assert!(
            (a - b).abs() <= allowed || !allowed.is_finite(),
            "{what}: {a:e} and merged {b:e}, {allowed:e} apart at most"
        );
    };
    let mean = |stats: &Stats| named("the mean", stats.mean());
    let (Some(a), Some(b)) = (mean(&whole), mean(&merged)) else { return };
    for (j, (a, b)) in a.iter().zip(&b).enumerate() {
        near("mean", *a, *b, x_size[j], ROUNDING);
    }
    let of = |stats: Stats| named("moments", stats.into_moments(&Context::serial()));
    let (Some(a), Some(b)) = (of(whole), of(merged)) else { return };
    let centred = |moments: &Moments, i: usize, j: usize| {
        moments.scatter[i * d + j] - moments.sum[i] / total * moments.sum[j]
    };
    for i in 0..d {
        for j in 0..d {
            let size = total * x_range[i] * x_range[j];
            near("scatter", centred(&a, i, j), centred(&b, i, j), size, rounding);
        }
    }
    match (&a.responses, &b.responses) {
        (
            Responses::Labels { counts: n_a, sums: a_sums, .. },
            Responses::Labels { counts: n_b, sums: b_sums, .. },
        ) => {
            assert_eq!(n_a, n_b);
            for (i, (x, y)) in a_sums.iter().zip(b_sums).enumerate() {
                let (count, j) = (n_a[i / d] as f64, i % d);
                let (x, y) = (x / count + a.shift[j], y / count + b.shift[j]);
                near("class means", x, y, x_size[j], ROUNDING);
            }
        }
        (
            Responses::Targets { shift, sum, cross, .. },
            Responses::Targets { shift: b_shift, sum: b_sum, cross: b_cross, .. },
        ) => {
            let k = shift.len();
            for t in 0..k {
                let (x, y) = (shift[t] + sum[t] / total, b_shift[t] + b_sum[t] / total);
                near("target means", x, y, y_size[t], ROUNDING);
                for j in 0..d {
                    let x = cross[j * k + t] - a.sum[j] / total * sum[t];
                    let y = b_cross[j * k + t] - b.sum[j] / total * b_sum[t];
                    near("cross", x, y, total * x_range[j] * y_range[t], rounding);
                }
            }
        }
        (Responses::Nothing, Responses::Nothing) => {}
        _ => panic!("the merge holds another kind of response"),
    }
}
