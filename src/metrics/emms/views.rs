//! The views of the labels, standardised as they are read; the caller's arrays are never written.
//!
//! For a column e (N,) of a view: (e − mean)/(std + 1e-8), with the population's std, as the authors
//! have it; exactly zero where e is constant.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::input::Rows;
use crate::linalg::blas::scale;
use crate::linalg::memory::{Gather, copied, zeros};
use crate::threads::Context;

/// The constant that the authors add to standard deviations.
const EPS: f64 = 1e-8;
/// Below this, EPS takes more than 1e-4 of a column.
const SMALL: f64 = 1e-4;

const COLUMNS: &str = "the scales of label embeddings";

/// A view with the location and scale of its columns.
pub(super) struct View<'a> {
    rows: &'a (dyn Rows + Send),
    /// The first row, from which differences are taken so that offsets cost no digits.
    base: Vec<f64>,
    /// Mean of those differences.
    offset: Vec<f64>,
    /// 1/(std + 1e-8), or 0.
    factor: Vec<f64>,
    /// The number of constant columns.
    pub(super) n_constant: usize,
    /// The number of columns whose std is below [`SMALL`].
    pub(super) n_small: usize,
}

/// Reads and checks all views.
pub(super) fn standardised<'a>(
    embeddings: &'a [(Box<str>, &'a (dyn Rows + Send))],
    n_rows: usize,
    context: &Context<'_>,
) -> Result<Vec<View<'a>>> {
    let shape = (n_rows, embeddings[0].1.n_cols());
    context.map(embeddings.len(), |k| {
        let (name, rows) = &embeddings[k];
        let actual = (rows.n_rows(), rows.n_cols());
        if actual != shape || shape.1 == 0 {
            return Err(Error::metric("emms", format!(
                "label_embeddings[{name:?}] has shape {actual:?}, expected {shape:?}; every view \
                 has one row a sample and as many columns, at least one, as the others"
            )));
        }
        View::new(name, *rows, context)
    })
}

impl<'a> View<'a> {
    fn new(name: &str, rows: &'a (dyn Rows + Send), context: &Context<'_>) -> Result<Self> {
        let (n_rows, n_cols) = (rows.n_rows(), rows.n_cols());
        let mut base = zeros::<f64>(n_cols, COLUMNS)?;
        rows.read_row(0, &mut base);
        let mut offset = zeros::<f64>(n_cols, COLUMNS)?;
        let mut largest = zeros::<f64>(n_cols, COLUMNS)?;
        let mut row = copied(&base, COLUMNS)?;
        for i in 0..n_rows {
            if i % 1024 == 0 {
                context.check()?;
            }
            rows.read_row(i, &mut row);
            for (j, value) in row.iter().enumerate() {
                if !value.is_finite() {
                    return Err(Error::metric(
                        "emms",
                        format!(
                            "label_embeddings[{name:?}][{i}, {j}] is {value}; drop or fill such rows"
                        ),
                    ));
                }
                let difference = value - base[j];
                offset[j] += difference;
                largest[j] = largest[j].max(difference.abs());
            }
        }
        scale(1.0 / n_rows as f64, &mut offset);
        if let Some(j) = largest.iter().position(|value| *value > 1e140) {
            return Err(Error::metric(
                "emms",
                format!(
                    "column {j} of label_embeddings[{name:?}] spans {:e}, whose square leaves the \
                 range of float64; scale it down",
                    largest[j]
                ),
            ));
        }
        let mut square = zeros::<f64>(n_cols, COLUMNS)?;
        for i in 0..n_rows {
            if i % 1024 == 0 {
                context.check()?;
            }
            rows.read_row(i, &mut row);
            for (j, value) in row.iter().enumerate() {
                square[j] += (value - base[j] - offset[j]).powi(2);
            }
        }
        let deviation = |(square, largest): (&f64, &f64)| {
            if *largest > 0.0 { Some((square / n_rows as f64).sqrt()) } else { None }
        };
        let deviations = square.iter().zip(&largest).map(deviation).gathered(COLUMNS)?;
        let n_constant = deviations.iter().filter(|d| d.is_none()).count();
        if n_constant == n_cols {
            return Err(Error::metric(
                "emms",
                format!(
                    "label_embeddings[{name:?}] is the same in all rows, so that any features fit it \
                 perfectly and all weight would go to it; drop this view"
                ),
            ));
        }
        let n_small = deviations.iter().flatten().filter(|d| **d < SMALL).count();
        let factor = deviations.iter().map(|d| d.map_or(0.0, |d| 1.0 / (d + EPS)));
        let factor = factor.gathered(COLUMNS)?;
        Ok(Self { rows, base, offset, factor, n_constant, n_small })
    }

    /// Writes some columns of row i, standardised, into `out`; `row` is space for all columns.
    pub(super) fn read(&self, i: usize, columns: Range<usize>, row: &mut [f64], out: &mut [f64]) {
        self.rows.read_row(i, row);
        for (out, j) in out.iter_mut().zip(columns) {
            *out = (row[j] - self.base[j] - self.offset[j]) * self.factor[j];
        }
    }

    /// Reads row i without standardising it.
    pub(super) fn raw(&self, i: usize, out: &mut [f64]) {
        self.rows.read_row(i, out);
    }

    /// The number of columns.
    pub(super) fn n_cols(&self) -> usize {
        self.base.len()
    }
}
