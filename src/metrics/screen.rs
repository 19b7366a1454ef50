//! Products of rows with the vectors of many classes in float32, with a bound on their error.
//!
//! For rows x (order,), vectors w (C, order) and constants b (C,), the product of (x/s, 1) and
//! (s w, b)/unit, as computed in float32, is off by at most γ |(x/s, 1)| |(s w, b)|/unit, with
//! γ = n u/(1 − n u), n = order + 3, u = 2⁻²⁴ (Higham, "Accuracy and Stability of Numerical Algorithms",
//! 2002, eq. (3.5)). Classes that this leaves open are for float64. s and unit are powers of 2.
//!
//! Memory: 4 C·order bytes.

use crate::error::Result;
use crate::linalg::blas::{dot, outer_product_single};
use crate::linalg::memory::{Gather, reserved, zeros};
use crate::threads::{Context, chunks};

/// Classes of a product.
pub(super) const BLOCK: usize = 512;

/// The vectors of all classes in float32.
pub(super) struct Screen {
    /// (s w, b)/unit, (classes, order + 1).
    vectors: Vec<f32>,
    scale: f64,
    pub(super) unit: f64,
    /// The classes of each block.
    pub(super) blocks: Vec<std::ops::Range<usize>>,
    /// The length of the longest vector of each block.
    lengths: Vec<f64>,
    width: usize,
}

impl Screen {
    /// From w (C, order) and b (C,), for rows of lengths up to about `scale`.
    pub(super) fn new(
        vectors: &[f64],
        constants: &[f64],
        scale: f64,
        context: &Context<'_>,
    ) -> Result<Self> {
        let order = vectors.len() / constants.len();
        let (width, scale) = (order + 1, power_of_2(scale));
        let blocks = chunks(constants.len(), BLOCK)?;
        let vector = |k: usize| &vectors[k * order..(k + 1) * order];
        let length = |k: usize| (dot(vector(k), vector(k)).sqrt() * scale).hypot(constants[k]);
        let lengths = blocks.iter().map(|block| block.clone().map(length).fold(0.0, f64::max));
        let mut lengths = lengths.gathered("the lengths of vectors")?;
        let unit = power_of_2(lengths.iter().fold(f64::MIN_POSITIVE, |a, b| a.max(*b)));
        let mut single = zeros::<f32>(constants.len() * width, "vectors in float32")?;
        context.for_each_chunk(&mut single, BLOCK * width, |block, part| {
            for (k, row) in (block * BLOCK..).zip(part.chunks_exact_mut(width)) {
                for (out, w) in row.iter_mut().zip(vector(k)) {
                    *out = single_of(w * scale / unit);
                }
                row[order] = single_of(constants[k] / unit);
            }
            Ok(())
        })?;
        // Numbers that underflow in float32 are not lost: 1e-30 is far above their sum.
        for length in &mut lengths {
            *length = *length / unit + 1e-30;
        }
        Ok(Self { vectors: single, scale, unit, blocks, lengths, width })
    }

    /// Rows (n, order) as (x/s, 1) in float32, and their lengths.
    pub(super) fn rows(&self, rows: &[f64]) -> Result<(Vec<f32>, Vec<f64>)> {
        let order = self.width - 1;
        let n_rows = rows.len() / order;
        let mut single = zeros::<f32>(n_rows * self.width, "rows in float32")?;
        let mut lengths = reserved(n_rows, "the lengths of vectors")?;
        for (out, x) in single.chunks_exact_mut(self.width).zip(rows.chunks_exact(order)) {
            out.iter_mut().zip(x).for_each(|(out, x)| *out = single_of(x / self.scale));
            out[order] = 1.0;
            lengths.push((dot(x, x).sqrt() / self.scale).hypot(1.0));
        }
        Ok((single, lengths))
    }

    /// Write the products of the first rows of [`Self::rows`] with a block to `out`, (rows, classes), in
    /// `unit`s.
    pub(super) fn products(&self, rows: &[f32], block: usize, out: &mut [f32]) {
        let classes = &self.blocks[block];
        let vectors = &self.vectors[classes.start * self.width..classes.end * self.width];
        let n_rows = out.len() / classes.len();
        outer_product_single(&rows[..n_rows * self.width], vectors, out, self.width);
    }

    /// The bound on the error of products with a block, for a row of this length, in `unit`s.
    pub(super) fn margin(&self, length: f64, block: usize) -> f64 {
        let n_terms = (self.width + 2) as f64 * f64::from(f32::EPSILON / 2.0);
        n_terms / (1.0 - n_terms) * length * self.lengths[block]
    }

    /// Move a row to another place.
    pub(super) fn move_row(&self, rows: &mut [f32], from: usize, to: usize) {
        rows.copy_within(from * self.width..(from + 1) * self.width, to * self.width);
    }
}

/// The least power of 2 that is not smaller.
fn power_of_2(x: f64) -> f64 {
    x.max(f64::MIN_POSITIVE).log2().ceil().exp2()
}

#[allow(clippy::cast_possible_truncation)] // rounding that the bound counts
fn single_of(value: f64) -> f32 {
    value as f32
}

/// The largest of some numbers.
pub(super) fn largest(values: &[f32]) -> f32 {
    const LANES: usize = 32; // side by side
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for values in whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| a.max(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_within_the_margin() {
        let next = |i: usize| ((i * i % 10_007) as f64 * 0.618).sin();
        for (order, size) in [(1, 1.0), (7, 1e80), (300, 1e-90)] {
            let vectors: Vec<f64> = (0..600 * order).map(|i| next(i) / size).collect();
            let constants: Vec<f64> = (0..600).map(|k| 40.0 * next(3 * k)).collect();
            let rows: Vec<f64> = (0..5 * order).map(|i| size * next(i + 11)).collect();
            let length = size * (order as f64).sqrt();
            let screen = Screen::new(&vectors, &constants, length, &Context::serial()).unwrap();
            let (single, lengths) = screen.rows(&rows).unwrap();
            for (block, classes) in screen.blocks.iter().enumerate() {
                let mut out = vec![0.0; 5 * classes.len()];
                screen.products(&single, block, &mut out);
                for (i, found) in out.chunks_exact(classes.len()).enumerate() {
                    let x = &rows[i * order..(i + 1) * order];
                    let margin = screen.margin(lengths[i], block) * screen.unit;
                    for (k, found) in classes.clone().zip(found) {
                        let w = &vectors[k * order..(k + 1) * order];
                        let error = f64::from(*found) * screen.unit - (dot(x, w) + constants[k]);
                        assert!(error.abs() <= margin, "{order} {size}: {error} > {margin}");
                    }
                }
            }
        }
    }
}
