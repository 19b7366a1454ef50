//! The rows of statistics, or their scatter, about any point.

use crate::error::{Error, Result};
use crate::linalg::blas::{axpy, dot, row_gram_add, scale};
use crate::linalg::lapack::check_order;
use crate::linalg::memory::{copied, zeros};
use crate::stats::{Precision, Second, Stats, move_products};
use crate::threads::Context;

/// The rows of statistics about a point `centre` = s − `to_shift`, for the shift s.
pub(crate) struct Recentred<'a> {
    pub(crate) stats: &'a Stats,
    /// s − centre, (D,).
    pub(crate) to_shift: Vec<f64>,
}

impl Recentred<'_> {
    /// Σ w ‖z‖².
    pub(crate) fn square(&self) -> f64 {
        let e = &self.to_shift;
        match &self.stats.second {
            Second::Rows { values, weights } => {
                let square = |row: &[f64]| row.iter().zip(e).map(|(x, e)| (x + e) * (x + e)).sum();
                let squares = values.chunks_exact(e.len()).map(square);
                weights.iter().zip(squares).map(|(w, square): (_, f64)| w * square).sum()
            }
            Second::Scatter(scatter) => {
                let trace: f64 = scatter.iter().step_by(e.len() + 1).sum();
                trace + 2.0 * dot(&self.stats.sum, e) + self.n() * dot(e, e)
            }
        }
    }

    /// K, upper triangle, and its order.
    pub(crate) fn products(&self, context: &Context<'_>) -> Result<(Vec<f64>, usize)> {
        let n_features = self.to_shift.len();
        match &self.stats.second {
            Second::Rows { weights, .. } => {
                let order = weights.len();
                check_order(order)?;
                let mut products = zeros(order * order, "the products of the rows of a class")?;
                row_gram_add(&self.rows()?, n_features, 0..n_features, &mut products, context)?;
                Ok((products, order))
            }
            Second::Scatter(_) => Ok((self.scatter()?, n_features)),
        }
    }

    /// The rows about the point, times √w.
    pub(super) fn rows(&self) -> Result<Vec<f64>> {
        let Second::Rows { values, weights } = &self.stats.second else {
            return Err(Error::NoData);
        };
        let mut rows = copied(values, "the rows of a class about the mean")?;
        for (row, weight) in rows.chunks_exact_mut(self.to_shift.len()).zip(weights) {
            axpy(1.0, &self.to_shift, row);
            if *weight > 1.0 {
                scale(weight.sqrt(), row);
            }
        }
        Ok(rows)
    }

    /// The scatter about the point.
    pub(super) fn scatter(&self) -> Result<Vec<f64>> {
        let Second::Scatter(scatter) = &self.stats.second else { return Err(Error::NoData) };
        let mut about = copied(scatter, "the scatter of a class about the mean")?;
        move_products(&mut about, &self.to_shift, &self.stats.sum, self.n());
        Ok(about)
    }

    pub(super) fn n(&self) -> f64 {
        self.stats.n_samples() as f64
    }

    pub(super) fn is_single(&self) -> bool {
        self.stats.precision() == Precision::Single && !self.stats.holds_rows()
    }

    pub(super) fn unit(&self) -> f64 {
        if self.is_single() { f64::from(f32::EPSILON) } else { 2.0 * f64::EPSILON }
    }
}
