//! Centred targets: a 0/1 column for every class, or the real targets.

use crate::error::{Error, Result};
use crate::linalg::blas::axpy;
use crate::linalg::memory::{Gather, zeros};
use crate::stats::{Held, Second, Stats};

const TARGETS: &str = "the squares of the targets";

/// Means and centred squares of the target columns, classes in sorted order.
pub(crate) struct CentredTargets {
    /// ȳ, (C,).
    pub(crate) mean: Vec<f64>,
    /// ỹᵀỹ, (C,).
    pub(crate) square: Vec<f64>,
}

impl CentredTargets {
    pub(crate) fn new(stats: &Stats) -> Result<Self> {
        let n = stats.n_samples as f64;
        match &stats.held {
            Held::Nothing => Ok(Self { mean: vec![], square: vec![] }),
            Held::Labels(labels) => {
                let mut mean = labels.sorted_counts()?;
                let square = mean.iter().map(|c| c * (n - c) / n).gathered(TARGETS)?;
                for c in &mut mean {
                    *c /= n;
                }
                Ok(Self { mean, square })
            }
            Held::Targets(targets) => {
                let offset = targets.sum.iter().map(|sum| sum / n);
                let mean = targets.shift.iter().zip(offset).map(|(p, d)| p + d);
                let centred = |(square, sum): (&f64, &f64)| (square - sum * sum / n).max(0.0);
                let square = targets.square.iter().zip(&targets.sum).map(centred);
                Ok(Self { mean: mean.gathered(TARGETS)?, square: square.gathered(TARGETS)? })
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.mean.len()
    }

    /// b = Xᵀỹ for every target, one after the other, from sums; `offset` is μ − s.
    pub(crate) fn primal(&self, stats: &Stats, offset: &[f64]) -> Result<Vec<f64>> {
        let n_features = offset.len();
        let mut vectors = zeros::<f64>(self.len() * n_features, "the products with the targets")?;
        let columns = vectors.chunks_exact_mut(n_features);
        match &stats.held {
            Held::Nothing => {}
            Held::Labels(labels) => {
                for (b, c) in columns.zip(labels.sorted()?) {
                    b.copy_from_slice(&labels.sums[c * n_features..(c + 1) * n_features]);
                    axpy(-(labels.counts[c] as f64), offset, b);
                }
            }
            Held::Targets(targets) => {
                for (k, b) in columns.enumerate() {
                    for (b, row) in b.iter_mut().zip(targets.cross.chunks_exact(self.len())) {
                        *b = row[k];
                    }
                    axpy(-targets.sum[k], offset, b);
                }
            }
        }
        Ok(vectors)
    }

    /// √w ỹ for every target, one after the other, of the rows that the statistics hold.
    pub(super) fn dual(&self, stats: &Stats) -> Result<Vec<f64>> {
        let Second::Rows { weights, .. } = &stats.second else { return Ok(Vec::new()) };
        self.of_rows(stats, &stats.held, weights)
    }

    /// √w ỹ for every target, one after the other, of rows with these weights and responses.
    pub(super) fn of_rows(&self, stats: &Stats, rows: &Held, weights: &[f64]) -> Result<Vec<f64>> {
        let n_rows = weights.len();
        let mut vectors = zeros::<f64>(self.len() * n_rows, "the centred targets")?;
        let columns = vectors.chunks_exact_mut(n_rows.max(1));
        match (rows, &stats.held) {
            (Held::Nothing, Held::Nothing) => {}
            (Held::Labels(rows), Held::Labels(labels)) => {
                for ((y, c), mean) in columns.zip(labels.sorted()?).zip(&self.mean) {
                    let own = rows.classes.iter().position(|class| *class == labels.classes[c]);
                    for ((y, code), weight) in y.iter_mut().zip(&rows.codes).zip(weights) {
                        let indicator = f64::from(u8::from(Some(*code as usize) == own));
                        *y = weight.sqrt() * (indicator - mean);
                    }
                }
            }
            (Held::Targets(rows), Held::Targets(targets)) => {
                for (k, y) in columns.enumerate() {
                    let offset = targets.sum[k] / stats.n_samples as f64;
                    let rows = rows.rows.chunks_exact(self.len());
                    for ((y, row), weight) in y.iter_mut().zip(rows).zip(weights) {
                        *y = weight.sqrt() * (row[k] - offset);
                    }
                }
            }
            _ => return Err(Error::NoData),
        }
        Ok(vectors)
    }
}
