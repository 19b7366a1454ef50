//! The source model's class probabilities, read row by row and checked.

use crate::error::{Error, Result};
use crate::input::{Rows, check_finite};
use crate::linalg::memory::zeros;

/// The rows of P, of logits turned to probabilities.
pub(super) struct Probabilities<'a> {
    pub(super) rows: &'a dyn Rows,
    pub(super) from_logits: bool,
}

impl Probabilities<'_> {
    /// Writes row `i` of P.
    pub(super) fn read(&self, i: usize, row: &mut [f64]) {
        self.rows.read_row(i, row);
        if self.from_logits {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for value in row.iter_mut() {
                *value = (*value - largest).exp();
            }
            let (total, _) = sum_and_least(row); // at least 1, or NaN
            for value in row.iter_mut() {
                *value /= total;
            }
        }
    }

    /// Refuses a row, just read, that is not a probability distribution.
    pub(super) fn check(&self, i: usize, row: &[f64]) -> Result<()> {
        let (total, least) = sum_and_least(row);
        if self.from_logits {
            return if total.is_nan() { Err(self.not_finite(i)?) } else { Ok(()) };
        }
        if !total.is_finite() {
            check_finite("source_probs", i, row)?;
        }
        let refused = |problem| Err(Error::NotProbabilities { metric: "leep", problem });
        if least < 0.0 {
            let column = row.iter().position(|p| *p < 0.0).unwrap_or(0);
            let value = row[column];
            let problem = format!(
                "source_probs[{i}, {column}] is {value:?}, and a probability is at least 0"
            );
            return refused(problem);
        }
        // Probabilities that went through a softmax of their own precision keep half its digits,
        // and those held in float64 may have been computed in float32.
        let tolerance = self.rows.epsilon().sqrt().max(1e-5);
        if (total - 1.0).abs() > tolerance {
            let problem = format!(
                "row {i} of source_probs sums to {total:?}, not to 1 within {tolerance:.1e}: divide \
                 each row by its sum"
            );
            return refused(problem);
        }
        Ok(())
    }

    /// The error of the first invalid row.
    pub(super) fn first_problem(&self) -> Result<Option<Error>> {
        let mut row = zeros(self.rows.n_cols(), "a row of source_probs")?;
        Ok((0..self.rows.n_rows()).find_map(|i| {
            self.read(i, &mut row);
            self.check(i, &row).err()
        }))
    }

    /// The error of a row of logits with a NaN or +inf, or all -inf (a single -inf is probability
    /// zero).
    fn not_finite(&self, row: usize) -> Result<Error> {
        let mut logits = zeros(self.rows.n_cols(), "a row of source_probs")?;
        self.rows.read_row(row, &mut logits);
        let bad = |value: &f64| value.is_nan() || *value == f64::INFINITY;
        let column = logits.iter().position(bad).unwrap_or(0);
        Ok(Error::NotFinite { name: "source_probs", row, column, value: logits[column] })
    }
}

/// The sum and the minimum, in lanes side by side so that they vectorise.
fn sum_and_least(values: &[f64]) -> (f64, f64) {
    const LANES: usize = 8;
    let (mut sums, mut least) = ([0.0; LANES], [f64::INFINITY; LANES]);
    let lower = |a: f64, b: f64| if b < a { b } else { a };
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for i in 0..LANES {
            sums[i] += chunk[i];
            least[i] = lower(least[i], chunk[i]);
        }
    }
    let sum = sums.iter().sum::<f64>() + rest.iter().sum::<f64>();
    (sum, least.iter().chain(rest).copied().fold(f64::INFINITY, lower))
}
