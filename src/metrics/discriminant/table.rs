//! Rows of a discriminant: as they are, or moved towards a point of their class.

use crate::error::Result;
use crate::input::Rows;
use crate::linalg::blas::{axpy, scale};
use crate::linalg::memory::zeros;

/// Rows with their classes.
pub(in crate::metrics) struct Classes {
    pub(in crate::metrics) codes: Vec<u32>,
    pub(in crate::metrics) weights: Vec<f64>,
    /// `n_c`.
    pub(in crate::metrics) counts: Vec<f64>,
}

impl Classes {
    /// The sum over rows of w f(row), by class.
    pub(in crate::metrics) fn sums(&self, values: &[f64]) -> Result<Vec<f64>> {
        let mut sums = zeros::<f64>(self.counts.len(), "the sums of the classes")?;
        for ((code, weight), value) in self.codes.iter().zip(&self.weights).zip(values) {
            sums[*code as usize] += weight * value;
        }
        Ok(sums)
    }

    pub(in crate::metrics) fn n_samples(&self) -> f64 {
        self.counts.iter().sum()
    }
}

/// Rows (N, r), or rows moved towards a point of their class.
pub(in crate::metrics) struct Table<'a> {
    pub(super) rows: Box<dyn Rows + 'a>,
    /// The share that a row keeps, (N,), and the point of each class that gives the rest, (C, r).
    pub(super) mix: Option<(Vec<f64>, Vec<f64>)>,
}

impl Table<'_> {
    pub(super) fn read(&self, i: usize, code: usize, out: &mut [f64]) {
        self.rows.read_row(i, out);
        if let Some((stay, points)) = &self.mix {
            scale(stay[i], out);
            axpy(1.0 - stay[i], &points[code * out.len()..(code + 1) * out.len()], out);
        }
    }
}
