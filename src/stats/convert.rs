//! Classes as targets: the statistics of regression on the numbers that name the classes.
//!
//! With class numbers y_c, counts n_c and class sums `s_c` = Σ w (x − s), about a shift p:
//!   Σ w (y − p)           = `Σ_c` n_c (y_c − p)
//!   Σ w (y − p)²          = `Σ_c` n_c (y_c − p)²
//!   Σ w (x − s)(y − p)    = `Σ_c` (y_c − p) `s_c`
//! p is the class number that is nearest to the mean of the targets. So a target that does not vary is
//! exactly 0, differences of numbers below 2^53 are exact, and numbers far from 0 lose no digits.
//! Cost C·D; the rows and the scatter are untouched.

use crate::error::{Error, Result};
use crate::input::Label;
use crate::linalg::blas::axpy;
use crate::linalg::memory::{Gather, zeros};

use super::joint::Joint;
use super::response::{Labels, Targets};
use super::{Held, Stats};

impl Stats {
    /// The statistics of the same rows with the class ids as one column of targets. They equal those
    /// of the ids pushed as targets, up to rounding. Statistics of every class are dropped.
    ///
    /// # Errors
    /// [`Error::MixedResponse`] unless integer classes are held; [`Error::OutOfMemory`].
    pub fn into_targets(mut self) -> Result<Self> {
        let Held::Labels(labels) = &self.held else {
            return Err(Error::MixedResponse { holds: self.held.name(), brings: "targets" });
        };
        self.held = Held::Targets(targets_of(labels, self.n_features)?);
        if self.by_class.is_some() {
            self.by_class = Some(Vec::new());
        }
        Ok(self)
    }
}

fn targets_of(labels: &Labels, n_features: usize) -> Result<Targets> {
    let number = |class: &Label| match class {
        Label::Int(id) => Ok(*id as f64),
        Label::Text(_) => Err(Error::MixedLabels),
    };
    let numbers: Vec<f64> = labels.classes.iter().map(number).gathered_ok("the classes")?;
    let shift = central(&numbers, &labels.counts).ok_or(Error::NoData)?;
    let differences = numbers.iter().map(|number| number - shift).gathered("the classes")?;
    let (mut sum, mut square) = (0.0, 0.0);
    for (d, count) in differences.iter().zip(&labels.counts) {
        sum += *count as f64 * d;
        square += *count as f64 * d * d;
    }
    let mut cross = Vec::new();
    if !labels.sums.is_empty() {
        cross = zeros(n_features, "the products with the targets")?;
        for (class_sum, d) in labels.sums.chunks_exact(n_features).zip(&differences) {
            axpy(*d, class_sum, &mut cross);
        }
    }
    let target = |code: &u32| differences[*code as usize];
    let rows = labels.codes.iter().map(target).gathered("the targets")?;
    let joint = Joint::of_classes(&differences, labels, n_features)?;
    Ok(Targets { shift: vec![shift], sum: vec![sum], square: vec![square], rows, cross, joint })
}

/// The number that is nearest to the mean, of numbers that occur as often as `counts` says.
fn central(numbers: &[f64], counts: &[u64]) -> Option<f64> {
    let first = numbers.first()?;
    let (mut total, mut n) = (0.0, 0.0);
    for (number, count) in numbers.iter().zip(counts) {
        total += *count as f64 * (number - first);
        n += *count as f64;
    }
    let mean = first + total / n;
    numbers.iter().copied().min_by(|a, b| (a - mean).abs().total_cmp(&(b - mean).abs()))
}
