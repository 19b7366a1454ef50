//! The same statistics of the features in another order of the columns.

use crate::error::{Error, Result};
use crate::linalg::memory::{Gather, copied, filled, reserved, zeros};

use super::fourth::Fourth;
use super::{Held, Second, Stats};

impl Stats {
    /// The statistics whose column j is column `order[j]` of these, as if every block of rows had
    /// come in that order: no number changes, each takes another place. Cost D² + (N + C) D.
    ///
    /// # Errors
    /// [`Error::Shape`] if `order` is no permutation of the columns, [`Error::OutOfMemory`].
    pub fn reordered(&self, order: &[usize]) -> Result<Self> {
        let d = self.n_features;
        let mut seen = filled(false, d, "the columns")?;
        for column in order {
            if let Some(seen) = seen.get_mut(*column) {
                *seen = true;
            }
        }
        if order.len() != d || !seen.iter().all(|seen| *seen) {
            let actual = seen.iter().filter(|seen| **seen).count();
            return Err(Error::Shape { name: "order", axis: "columns", actual, expected: d });
        }
        let second = match &self.second {
            Second::Rows { values, weights } => {
                let weights = copied(weights, "a copy of the weights")?;
                Second::Rows { values: rows_in_order(values, order)?, weights }
            }
            Second::Scatter(scatter) => Second::Scatter(scatter_in_order(scatter, order)?),
        };
        let mut held = self.held.try_clone()?;
        match &mut held {
            Held::Nothing => {}
            Held::Labels(labels) => labels.sums = rows_in_order(&labels.sums, order)?,
            Held::Targets(targets) if targets.cross.is_empty() => {}
            Held::Targets(targets) => {
                let k = targets.shift.len();
                let row = |column: &usize| &targets.cross[column * k..(column + 1) * k];
                let mut cross = reserved(targets.cross.len(), "a copy of the statistics")?;
                for column in order {
                    cross.extend_from_slice(row(column));
                }
                targets.cross = cross;
                if let Some(joint) = &mut targets.joint {
                    joint.features = rows_in_order(&joint.features, order)?;
                }
            }
        }
        let by_class = self.by_class.as_ref().map(|classes| {
            let one =
                |(class, stats): &(_, Self)| Ok((Clone::clone(class), stats.reordered(order)?));
            classes.iter().map(one).gathered_ok("the statistics of the classes")
        });
        Ok(Self {
            precision: self.precision,
            n_features: d,
            n_samples: self.n_samples,
            shift: rows_in_order(&self.shift, order)?,
            sum: rows_in_order(&self.sum, order)?,
            largest: self.largest,
            second,
            fourth: Fourth {
                unit: self.fourth.unit,
                cubic: rows_in_order(&self.fourth.cubic, order)?,
                quartic: self.fourth.quartic,
            },
            held,
            by_class: by_class.transpose()?,
        })
    }
}

/// Row-major rows of `order.len()` numbers, each in that order; none stay none.
fn rows_in_order(rows: &[f64], order: &[usize]) -> Result<Vec<f64>> {
    let mut moved = reserved(rows.len(), "a copy of the statistics")?;
    for row in rows.chunks_exact(order.len().max(1)) {
        moved.extend(order.iter().map(|column| row[*column]));
    }
    Ok(moved)
}

/// The upper triangle of a symmetric matrix, its rows and columns in this order.
fn scatter_in_order(scatter: &[f64], order: &[usize]) -> Result<Vec<f64>> {
    let d = order.len();
    let mut moved = zeros(d * d, "a scatter matrix")?;
    for (i, row) in moved.chunks_exact_mut(d).enumerate() {
        for (j, entry) in row.iter_mut().enumerate().skip(i) {
            let (a, b) = (order[i].min(order[j]), order[i].max(order[j]));
            *entry = scatter[a * d + b];
        }
    }
    Ok(moved)
}
