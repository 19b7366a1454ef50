//! The authors' variant of TransRate: unit rows about the mean, and their rank.

use crate::covariance::Recentred;
use crate::error::{Error, Result};
use crate::input::{Block, Rows};
use crate::linalg::blas::{axpy, dot, scale};
use crate::linalg::lapack::TridiagonalForm;
use crate::stats::{Precision, Stats};
use crate::threads::Context;

use super::NAME;
use crate::metrics::Inputs;

/// Rows about their mean, divided by their norms; a row within rounding of the mean is zero.
struct UnitRows<'a> {
    rows: &'a dyn Rows,
    shift: &'a [f64],
    offset: Vec<f64>,
    /// Norms up to here are rounding.
    floor: f64,
}

impl Rows for UnitRows<'_> {
    fn n_rows(&self) -> usize {
        self.rows.n_rows()
    }

    fn n_cols(&self) -> usize {
        self.rows.n_cols()
    }

    fn read_row(&self, i: usize, out: &mut [f64]) {
        self.rows.read_row(i, out);
        axpy(-1.0, self.shift, out);
        axpy(-1.0, &self.offset, out);
        let norm = dot(out, out).sqrt();
        if norm > self.floor || norm.is_nan() {
            scale(1.0 / norm, out);
        } else {
            out.fill(0.0);
        }
    }
}

/// The statistics of unit rows, from the samples.
pub(super) fn unit_rows(
    inputs: &Inputs<'_>,
    stats: &Stats,
    context: &Context<'_>,
) -> Result<Stats> {
    let samples = inputs.samples().map_err(|_| Error::NotInStatistics {
        metric: NAME,
        problem: "variant \"official\" divides every row by its norm, which statistics do not hold \
                  and variants \"paper\" and \"trace\" do not need",
    })?;
    stats.check_samples(samples)?;
    let n_features = stats.n_features() as f64;
    let rows = UnitRows {
        rows: samples.features,
        shift: &stats.shift,
        offset: stats.mean_about_shift()?,
        floor: 16.0 * f64::EPSILON * n_features.sqrt() * stats.largest,
    };
    let block = Block::new(&rows, samples.response.reborrow(), samples.weights)?;
    let mut stats = Stats::empty(Precision::Double).with_class_scatters();
    stats.push(&block, context)?;
    Ok(stats)
}

/// Return the numerical rank: the number of eigenvalues above D roundings of the largest.
pub(super) fn rank(recentred: &Recentred<'_>, context: &Context<'_>) -> Result<usize> {
    let (products, order) = recentred.products(context)?;
    let form = TridiagonalForm::reduce(products, order, context)?;
    let largest = form.largest(1, context)?.0[0];
    if largest <= 0.0 {
        return Ok(0);
    }
    let tolerance = recentred.to_shift.len() as f64 * f64::EPSILON;
    Ok(order - form.count_below(tolerance * largest))
}
