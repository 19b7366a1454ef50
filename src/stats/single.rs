//! The scatter of rows by products in float32.
//!
//! Every column is scaled by a power of two near its first number, rounded to float32, and multiplied in
//! panels of p rows. The products of up to k panels are added in float32, then to the total in float64.
//! A number far above the scale of its column sets a new scale; one so far below it that its products
//! underflow does not matter beside the first. With u = 2⁻²⁴, no
//! term of an entry is rounded more than p + k + 2 times: twice as factors, p times within its panel,
//! in whatever order BLAS adds it up, and k times with other panels. To first order therefore
//!
//!   |error in S_ij| ≤ (p + k + 2) u Σ |x_i x_j| ≤ (p + k + 2) u √(S_ii S_jj)
//!
//! for any number of rows, because the groups of k panels are added in float64. Longer sums in float32
//! save time: a group costs D² additions in float64, and p rows D² products.

use crate::error::Result;
use crate::linalg::blas::gram_add_single;
use crate::linalg::memory::zeros;
use crate::threads::Context;

use super::lanes::{add_widened, narrow};
use super::pass::add_upper_by;

/// Rows of a panel, p, at most: one block of the products inside BLAS.
const ROWS: usize = 384;
/// Panels that are added in float32, k: those of a chunk.
const PANELS: usize = 8;
/// How many times larger than the unit of its column a number may be: the square, times p k, is below
/// 2¹²⁷.
const RANGE: f64 = (1_u64 << 40) as f64;

/// Products of rows, which a scatter in float64 does not have yet.
pub(super) struct Single {
    /// Rows that wait for their product, in units of their columns.
    panel: Vec<f32>,
    /// Numbers of the panel that are in use.
    filled: usize,
    /// Panels in the sum of products.
    n_panels: usize,
    /// The upper triangle of the sum of products, in units of both columns.
    gram: Vec<f32>,
    /// A power of two near the first number of each column that is not zero; 0 before it. (D,)
    units: Vec<f64>,
    /// One over each unit; 0 for none. (D,)
    inverses: Vec<f64>,
    /// The largest magnitudes that the units allow, (D,).
    limits: Vec<f64>,
}

impl Single {
    /// Nothing yet, with memory for chunks of this many rows.
    pub(super) fn new(n_rows: usize, n_cols: usize) -> Result<Self> {
        let panel_rows = n_rows.div_ceil(n_rows.div_ceil(ROWS).max(1)); // panels of equal size
        Ok(Self {
            panel: zeros(panel_rows * n_cols, "a panel of rows")?,
            filled: 0,
            n_panels: 0,
            gram: zeros(n_cols * n_cols, "a single-precision scatter matrix")?,
            units: zeros(n_cols, "the units of the columns")?,
            inverses: zeros(n_cols, "the units of the columns")?,
            limits: zeros(n_cols, "the units of the columns")?,
        })
    }

    fn n_cols(&self) -> usize {
        self.units.len()
    }

    /// Adds a row. What no longer fits is moved to `scatter`.
    pub(super) fn add_row(&mut self, x: &[f64], scatter: &mut Vec<f64>) -> Result<()> {
        if !self.write(x) {
            self.set_units(x, scatter)?;
            self.write(x);
        }
        self.filled += x.len();
        if self.filled == self.panel.len() {
            self.multiply();
        }
        if self.n_panels == PANELS {
            self.move_to(scatter, &Context::serial())?;
        }
        Ok(())
    }

    /// Writes a row behind those that wait; whether it keeps to the limits.
    fn write(&mut self, x: &[f64]) -> bool {
        let out = &mut self.panel[self.filled..self.filled + x.len()];
        narrow(x, (&self.inverses, &self.limits), out)
    }

    /// Sets the units of columns whose limit a row exceeds.
    fn set_units(&mut self, x: &[f64], scatter: &mut Vec<f64>) -> Result<()> {
        // Columns without a unit are zero so far.
        let is_above = |x: &f64, limit: f64| x.abs() > limit;
        if x.iter().zip(&self.limits).any(|(x, limit)| *limit > 0.0 && is_above(x, *limit)) {
            self.move_to(scatter, &Context::serial())?;
        }
        for (j, x) in x.iter().enumerate() {
            if is_above(x, self.limits[j]) {
                let unit = x.abs().log2().floor().exp2().max(f64::MIN_POSITIVE); // 1/unit is finite
                (self.units[j], self.inverses[j], self.limits[j]) =
                    (unit, 1.0 / unit, unit * RANGE);
            }
        }
        Ok(())
    }

    /// Adds the products of the rows that wait.
    pub(super) fn multiply(&mut self) {
        if self.filled > 0 {
            let n_cols = self.n_cols();
            gram_add_single(&self.panel[..self.filled], n_cols, &mut self.gram);
            self.filled = 0;
            self.n_panels += 1;
        }
    }

    /// Adds the products to a scatter, which is empty before the first ones, and clears them.
    pub(super) fn move_to(&mut self, scatter: &mut Vec<f64>, context: &Context<'_>) -> Result<()> {
        self.multiply();
        self.add_to(scatter, context)?;
        self.clear();
        Ok(())
    }

    /// Adds the products that are summed to a scatter, which is empty before the first ones.
    pub(super) fn add_to(&self, scatter: &mut Vec<f64>, context: &Context<'_>) -> Result<()> {
        if self.n_panels == 0 {
            return Ok(());
        }
        let n_cols = self.n_cols();
        if scatter.is_empty() {
            *scatter = zeros(n_cols * n_cols, "a scatter matrix")?;
        }
        add_upper_by(&self.gram, scatter, n_cols, context, |part, total| {
            let units = &self.units[n_cols - part.len()..];
            add_widened(units, part, total);
        })
    }

    fn clear(&mut self) {
        if self.n_panels > 0 {
            let n_cols = self.n_cols();
            for (i, row) in self.gram.chunks_exact_mut(n_cols).enumerate() {
                row[i..].fill(0.0);
            }
        }
        (self.filled, self.n_panels) = (0, 0);
    }

    /// Starts anew, and keeps the memory.
    pub(super) fn reset(&mut self) {
        self.clear();
        for numbers in [&mut self.units, &mut self.inverses, &mut self.limits] {
            numbers.fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::{PANELS, ROWS};
    use crate::input::{Block, Response};
    use crate::stats::{Precision, Second, Stats};
    use crate::threads::Context;

    fn scatter(rows: &Array2<f64>, weights: Option<&[i64]>, precision: Precision) -> Vec<f64> {
        let mut stats = Stats::empty(precision);
        let block = Block::new(rows, Response::Nothing(rows.nrows()), weights).unwrap();
        stats.push(&block, &Context::serial()).unwrap();
        let Second::Scatter(scatter) = stats.second else { panic!("more rows than columns") };
        scatter
    }

    /// The largest error of an entry, in units of (p + k + 2) u √(S_ii S_jj).
    fn error(rows: &Array2<f64>, weights: Option<&[i64]>) -> f64 {
        let exact = scatter(rows, weights, Precision::Double);
        let single = scatter(rows, weights, Precision::Single);
        let (d, unit) = (rows.ncols(), (ROWS + PANELS + 2) as f64 * (-24.0_f64).exp2());
        let mut largest = 0.0_f64;
        for i in 0..d {
            for j in i..d {
                let bound = unit * (exact[i * (d + 1)].sqrt() * exact[j * (d + 1)].sqrt());
                let error = (single[i * d + j] - exact[i * d + j]).abs();
                assert!(bound > 0.0 || error == 0.0, "{i} {j}");
                largest = largest.max(if error > 0.0 { error / bound } else { 0.0 });
            }
        }
        largest
    }

    /// Reproducible numbers in [-1, 1).
    fn numbers(n: usize, d: usize) -> Array2<f64> {
        let mut state = 7_u64;
        Array2::from_shape_simple_fn((n, d), || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        })
    }

    #[test]
    fn the_error_is_within_its_bound_however_the_rows_are_cut() {
        // Less than a panel; one chunk of many groups of panels; several chunks.
        for (n, d) in [(60, 5), (20_000, 3), (9000, 80)] {
            let mut rows = numbers(n, d);
            for (j, mut column) in rows.columns_mut().into_iter().enumerate() {
                column *= 10.0_f64.powi(i32::try_from(j % 11).unwrap() - 5);
                column += 1000.0;
            }
            let error = error(&rows, None);
            assert!(error > 0.0 && error < 1.0, "{n} x {d}: {error}");
        }
    }

    #[test]
    fn rows_of_any_size_and_weight_keep_the_bound() {
        let mut rows = numbers(2000, 4);
        for (i, mut row) in rows.rows_mut().into_iter().enumerate() {
            row *= 10.0_f64.powf(i as f64 / 8.0 - 125.0);
        }
        let weights: Vec<i64> =
            (0..2000).map(|i| if i % 3 == 0 { 1 << (i % 40) } else { 1 }).collect();
        for weights in [None, Some(&*weights)] {
            let error = error(&rows, weights);
            assert!(error > 0.0 && error < 1.0, "{error}");
        }
    }

    #[test]
    fn columns_of_any_size_keep_the_bound() {
        for step in [-40.0_f64, 40.0] {
            let mut rows = numbers(2000, 4);
            for (j, mut column) in rows.columns_mut().into_iter().enumerate() {
                column *= 10.0_f64.powf(step * j as f64);
                column[1500] *= 1e30; // one far above the others
            }
            rows.slice_mut(ndarray::s![..300, 2]).fill(0.5); // the first rows at the shift
            let error = error(&rows, None);
            assert!(error > 0.0 && error < 1.0, "{error}");
        }
    }

    #[test]
    #[allow(clippy::float_cmp)] // zeros
    fn constant_columns_are_exactly_zero() {
        let same = Array2::from_elem((500, 3), 0.1);
        assert_eq!(scatter(&same, None, Precision::Single), [0.0; 9]);
        let mut late = same.clone();
        late[[450, 1]] = 0.2;
        let found = scatter(&late, None, Precision::Single);
        assert!(found[4] > 0.0 && found.iter().filter(|x| **x != 0.0).count() == 1);
    }
}
