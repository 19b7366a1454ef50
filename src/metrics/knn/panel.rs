//! The rows in float32, a column longer, so that products bound distances from below (`search.rs`).

use crate::error::{Error, Result};
use crate::input::Rows;
use crate::linalg::memory::{Gather, zeros};
use crate::threads::Context;

use super::measure::Measure;

/// Rows of a block: its products fit in a core's cache, and are large enough to run at full speed.
pub(super) const BLOCK: usize = 512;

/// To the nearest float32.
#[allow(clippy::cast_possible_truncation)] // rounding is the purpose
pub(super) fn single(x: f64) -> f32 {
    x as f32
}

/// The rows in float32, with the terms of the bounds on their distances.
pub(super) struct Panel {
    /// D + 1.
    pub(super) width: usize,
    /// (N, D + 1): the shifted, scaled row, then √c times its norm.
    values: Vec<f32>,
    /// (1 − c) |a|²/2, rounded down, (N,).
    pub(super) half: Vec<f32>,
    /// |a|, (N,).
    pub(super) norms: Vec<f64>,
    pub(super) c: f64,
}

impl Panel {
    pub(super) fn new(
        features: &dyn Rows,
        measure: &Measure,
        context: &Context<'_>,
    ) -> Result<Self> {
        const U: f64 = 0.5 * f32::EPSILON as f64;
        let (n_rows, n_cols) = (features.n_rows(), features.n_cols());
        if n_rows > u32::MAX as usize {
            return Err(Error::Unaddressable { n_rows, n_cols });
        }
        let width = n_cols + 1;
        let gamma = (width as f64 * U).min(0.5) / (1.0 - (width as f64 * U).min(0.5));
        let c = gamma / 2.0 + 8.0 * U;
        let mut values = zeros::<f32>(n_rows.saturating_mul(width), "the features in float32")?;
        let mut halves_and_norms = zeros::<f64>(2 * n_rows, "the norms of the rows")?;
        let mut parts: Vec<_> = values
            .chunks_mut(BLOCK * width)
            .zip(halves_and_norms.chunks_mut(2 * BLOCK))
            .gathered("the blocks of the features")?;
        context.for_each_mut(&mut parts, |block, (values, facts)| {
            let mut row = zeros::<f64>(n_cols, "a row of features")?;
            for (i, (values, facts)) in
                values.chunks_exact_mut(width).zip(facts.chunks_exact_mut(2)).enumerate()
            {
                measure.read_shifted(features, block * BLOCK + i, &mut row);
                let mut square = 0.0;
                for (value, x) in values.iter_mut().zip(&row) {
                    *value = single(*x);
                    square += f64::from(*value) * f64::from(*value);
                }
                facts[1] = square.sqrt();
                facts[0] = (1.0 - c) / 2.0 * square - f64::from(f32::MIN_POSITIVE) * width as f64;
                values[n_cols] = single((c * square).sqrt()).next_up();
            }
            Ok(())
        })?;
        let half = halves_and_norms.iter().step_by(2).map(|half| single(*half).next_down());
        let norms = halves_and_norms.iter().skip(1).step_by(2).copied();
        let half = half.gathered("the norms of the rows")?;
        let norms = norms.gathered("the norms of the rows")?;
        Ok(Self { width, values, half, norms, c })
    }

    /// The rows of a block, and their halves of squares.
    pub(super) fn block(&self, block: usize) -> (&[f32], &[f32]) {
        let start = block * BLOCK;
        let end = self.half.len().min(start + BLOCK);
        (&self.values[start * self.width..end * self.width], &self.half[start..end])
    }
}
