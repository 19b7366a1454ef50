//! Statistics of z-scored features: every column at mean 0 and variance 1, constant ones zero.
//!
//! With z = (x − μ)/σ, the scatter of z is Sⱼₖ/(σⱼσₖ), and every sum with the responses is that of x
//! about its mean over σⱼ. Nothing is read again. A column is constant if its variance is rounding of
//! its mean: σ² ≤ N ε σ² + (N μ ε)², the rule of scikit-learn's `StandardScaler`.

use crate::error::Result;
use crate::linalg::blas::{axpy, outer_add};
use crate::linalg::memory::{Gather, filled, zeros};

use super::{Held, Second, Stats, centred_rows};

const SCALES: &str = "the scales of the columns";

impl Stats {
    /// The statistics of z-scored features, and 1/σ of every column, 0 for a constant one.
    pub(crate) fn standardised(&self) -> Result<(Self, Vec<f64>)> {
        let (offset, n) = (self.mean_about_shift()?, self.n_samples as f64);
        let order = offset.len();
        let mut stats = self.without_responses()?;
        let square = match &mut stats.second {
            Second::Rows { values, weights } => {
                let unit = filled(1.0, weights.len(), "the weights of the rows")?;
                *values = centred_rows(values, &unit, &offset)?;
                let mut square = zeros::<f64>(order, SCALES)?;
                for (row, weight) in values.chunks_exact(order).zip(&*weights) {
                    square.iter_mut().zip(row).for_each(|(square, x)| *square += weight * x * x);
                }
                square
            }
            Second::Scatter(scatter) => {
                outer_add(-n, &offset, scatter);
                scatter.iter().step_by(order + 1).copied().gathered(SCALES)?
            }
        };
        let inverse = square
            .iter()
            .zip(self.mean()?)
            .map(|(square, mean)| {
                let variance = square / n;
                let rounding = n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2);
                if variance > rounding { 1.0 / variance.sqrt() } else { 0.0 }
            })
            .gathered(SCALES)?;
        match &mut stats.second {
            Second::Rows { values, .. } => values.chunks_exact_mut(order).for_each(|row| {
                row.iter_mut().zip(&inverse).for_each(|(x, inverse)| *x *= inverse);
            }),
            Second::Scatter(scatter) => {
                for (i, row) in scatter.chunks_exact_mut(order).enumerate() {
                    for (x, inverse_j) in row[i..].iter_mut().zip(&inverse[i..]) {
                        *x = (*x * inverse[i]) * inverse_j;
                    }
                }
            }
        }
        stats.held = match &self.held {
            Held::Nothing => Held::Nothing,
            Held::Labels(labels) => {
                let mut labels = labels.try_clone()?;
                for (sums, count) in labels.sums.chunks_exact_mut(order).zip(&labels.counts) {
                    axpy(-(*count as f64), &offset, sums);
                    sums.iter_mut().zip(&inverse).for_each(|(x, inverse)| *x *= inverse);
                }
                labels.squares = None;
                Held::Labels(labels)
            }
            Held::Targets(targets) => {
                let mut targets = targets.try_clone()?;
                let width = targets.shift.len();
                for (j, row) in targets.cross.chunks_exact_mut(width).enumerate() {
                    for (x, sum) in row.iter_mut().zip(&targets.sum) {
                        *x = (*x - offset[j] * sum) * inverse[j];
                    }
                }
                targets.joint = None;
                Held::Targets(targets)
            }
        };
        stats.shift.fill(0.0);
        stats.sum.fill(0.0);
        stats.largest = if inverse.iter().any(|inverse| *inverse > 0.0) { 1.0 } else { 0.0 };
        stats.fourth = super::fourth::Fourth::default();
        Ok((stats, inverse))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use crate::input::{Block, Response};
    use crate::stats::{Precision, Second, Stats};
    use crate::threads::Context;

    #[test]
    fn columns_have_mean_zero_and_variance_one() {
        for n_cols in [3, 9] {
            let features = Array2::from_shape_fn((7, n_cols), |(i, j)| {
                if j == 1 { 4.0 } else { ((3 * i * i + j) as f64).sin() * (j + 1) as f64 + 1e6 }
            });
            let targets = Array2::from_shape_fn((7, 1), |(i, _)| (i * i) as f64);
            let view = features.view();
            let block = Block::new(&view, Response::Targets(targets.view()), None).unwrap();
            let mut stats = Stats::empty(Precision::Double);
            stats.push(&block, &Context::serial()).unwrap();
            let (found, inverse) = stats.standardised().unwrap();
            assert!(found.mean().unwrap().iter().all(|mean| *mean == 0.0) && inverse[1] == 0.0);
            let diagonal: Vec<f64> = match &found.second {
                Second::Scatter(scatter) => scatter.iter().step_by(n_cols + 1).copied().collect(),
                Second::Rows { values, .. } => (0..n_cols)
                    .map(|j| values[j..].iter().step_by(n_cols).map(|x| x * x).sum())
                    .collect(),
            };
            for (j, square) in diagonal.iter().enumerate() {
                let expected = if j == 1 { 0.0 } else { 7.0 };
                assert!((square - expected).abs() < 1e-9, "{j}: {square}");
            }
        }
    }
}
