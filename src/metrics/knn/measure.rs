//! Distances between rows in float64, from their differences, so that the distance of near rows
//! that lie far from zero does not cancel.

use crate::error::{Error, Result};
use crate::input::{Rows, check_finite};
use crate::linalg::blas::{axpy, dot, scale};
use crate::linalg::memory::{Gather, copied, reserved, zeros};
use crate::threads::Context;

/// Rows of one parallel task of [`nearest_of_all`].
const TOGETHER: usize = 32;
/// Rows of a run, and between two checks for an interruption.
const RUN: usize = 256;

/// A distance, Euclidean or 1 − cos, with the shift and scale of the rows it is computed from.
pub(super) struct Measure {
    /// Subtracted, (D,): for Euclidean distances the median over runs of rows of their means, which
    /// is robust to outliers; zero for angles.
    shift: Vec<f64>,
    /// A power of 2 that brings the largest shifted value near 1.
    factor: f64,
    cosine: bool,
}

impl Measure {
    /// Finds shift and scale in one pass over the rows.
    ///
    /// # Errors
    /// [`Error::NotFinite`]; [`Error::Metric`] for a row of zeros, which has no direction.
    pub(super) fn new(features: &dyn Rows, cosine: bool, context: &Context<'_>) -> Result<Self> {
        let (n_rows, n_cols) = (features.n_rows(), features.n_cols());
        let part = |run: usize| {
            let mut row = zeros::<f64>(n_cols, "a row of features")?;
            let (mut sum, mut largest) = (copied(&row, "a row of features")?, 0.0_f64);
            let end = n_rows.min((run + 1) * RUN);
            for i in run * RUN..end {
                features.read_row(i, &mut row);
                check_finite("features", i, &row)?;
                let here = row.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
                if cosine && here == 0.0 {
                    return Err(Error::metric(
                        "knn",
                        format!(
                            "row {i} of the features is zero and has no direction; drop such rows, or \
                         measure with metric=\"l2\""
                        ),
                    ));
                }
                largest = largest.max(here);
                axpy(1.0 / (end - run * RUN) as f64, &row, &mut sum);
            }
            Ok((sum, largest))
        };
        let runs = context.map(n_rows.div_ceil(RUN), part)?;
        let largest = runs.iter().fold(0.0, |most: f64, (_, here)| most.max(*here));
        let mut shift = zeros::<f64>(n_cols, "the middle of the features")?;
        let mut means: Vec<f64> = reserved(runs.len(), "the middle of the features")?;
        for (column, shift) in shift.iter_mut().enumerate() {
            means.clear();
            means.extend(runs.iter().map(|(mean, _)| mean[column]));
            means.sort_unstable_by(f64::total_cmp);
            *shift = means.get(means.len() / 2).copied().unwrap_or(0.0);
        }
        if cosine {
            shift.fill(0.0);
        }
        // No shifted value is larger than twice the largest.
        let exponent = if largest > 0.0 { largest.log2().ceil() + 1.0 } else { 0.0 };
        Ok(Self { shift, factor: (-exponent).clamp(-1020.0, 1020.0).exp2(), cosine })
    }

    /// Reads a row, shifted and scaled, for products: norms are at most √D, or 1 for angles.
    pub(super) fn read_shifted(&self, features: &dyn Rows, i: usize, row: &mut [f64]) {
        self.read(features, i, row);
        if !self.cosine {
            for (x, shift) in row.iter_mut().zip(&self.shift) {
                *x -= shift * self.factor;
            }
        }
    }

    /// Reads a row, scaled; for angles to the length 1.
    pub(super) fn read(&self, features: &dyn Rows, i: usize, row: &mut [f64]) {
        features.read_row(i, row);
        if self.cosine {
            let largest = row.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            scale((-largest.log2().ceil()).clamp(-1020.0, 1020.0).exp2(), row);
            let length = dot(row, row).sqrt();
            for x in row {
                *x /= length;
            }
        } else {
            scale(self.factor, row);
        }
    }

    /// The squared distance of two rows as [`Measure::read`] gives them.
    pub(super) fn square(a: &[f64], b: &[f64]) -> f64 {
        const LANES: usize = 8; // side by side, or each step would wait for the last
        let mut sums = [0.0; LANES];
        let (a8, b8) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let rest = a8.remainder().iter().zip(b8.remainder());
        let mut total: f64 = rest.map(|(x, y)| (x - y) * (x - y)).sum();
        for (x, y) in a8.zip(b8) {
            for lane in 0..LANES {
                sums[lane] += (x[lane] - y[lane]) * (x[lane] - y[lane]);
            }
        }
        total += sums.iter().sum::<f64>();
        total
    }

    /// The distance in units of the features, or 1 − cos, from a squared distance.
    pub(super) fn distance(&self, square: f64) -> f64 {
        if self.cosine { square / 2.0 } else { square.sqrt() / self.factor }
    }
}

/// The k smallest distances, the earlier row first in ties.
pub(super) fn least(mut near: Vec<(f64, u32)>, k: usize) -> Vec<(f64, u32)> {
    near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    near.truncate(k);
    near
}

/// The rows that may be neighbours of a row: all others, or those of other groups.
#[derive(Clone, Copy)]
pub(super) struct Others<'a> {
    /// The group of each row, (N,).
    pub(super) groups: Option<&'a [u32]>,
}

impl Others<'_> {
    /// Whether `other` may be a neighbour of `row`.
    pub(super) fn has(self, row: usize, other: usize) -> bool {
        row != other && self.groups.is_none_or(|groups| groups[row] != groups[other])
    }
}

/// The k nearest others of some rows, by squared distance to all: N·D for each.
pub(super) fn nearest_of_all(
    features: &dyn Rows,
    measure: &Measure,
    rows: &[usize],
    (k, others): (usize, Others<'_>),
    context: &Context<'_>,
) -> Result<Vec<Vec<(f64, u32)>>> {
    let n_cols = features.n_cols();
    let groups = rows.chunks(TOGETHER).gathered("the crowded rows")?;
    let found = context.map(groups.len(), |group| {
        let rows = groups[group];
        let mut own = zeros::<f64>(rows.len() * n_cols, "rows of features")?;
        for (own, row) in own.chunks_exact_mut(n_cols).zip(rows) {
            measure.read(features, *row, own);
        }
        let mut other = zeros::<f64>(n_cols, "a row of features")?;
        let empty = |_: &usize| reserved::<(f64, u32)>(k + 1, "the neighbours");
        let mut near = rows.iter().map(empty).gathered_ok("the neighbours")?;
        for j in 0..features.n_rows() {
            if j % RUN == 0 {
                context.check()?;
            }
            measure.read(features, j, &mut other);
            for ((near, own), row) in near.iter_mut().zip(own.chunks_exact(n_cols)).zip(rows) {
                let square = Measure::square(own, &other);
                let worst = near.last().map_or(f64::INFINITY, |last| last.0);
                if !others.has(*row, j) || (near.len() == k && square >= worst) {
                    continue;
                }
                let place = near.partition_point(|(earlier, _)| *earlier <= square);
                near.insert(place, (square, u32::try_from(j).unwrap_or(u32::MAX)));
                near.truncate(k);
            }
        }
        Ok(near)
    })?;
    found.into_iter().flatten().gathered("the neighbours")
}
