//! Which magnitudes are taken: the one place that decides it.
//!
//! | of | magnitudes | because |
//! |---|---|---|
//! | features of a row, x − s | 1e150 at most | squares are within float64 |
//! | all features, L ≥ max \|x − s\| | n D L² is within float64 | so are all sums of squares |
//! | targets, y and y − p | 1e150 at most, and 1e-140 at least where they vary | squares are normal |
//! | all targets of a column | Σ w (y − p)² is within float64 | |
//! | features that are scored | 1e-110 to 1e110, or all zero | so are products of two squares |
//! | features of a covariance | 1e-150 to 1e150, or all zero; n D L² as above | squares are normal |
//!
//! The largest magnitude of an array counts: smaller ones beside it may be of any size, since their
//! squares are below the rounding of the largest. Fourth moments are held in a unit of their own
//! (`fourth.rs`). What reads them without it checks that they are finite.

use crate::error::{Error, Result};

use super::{Held, Stats};

/// The largest feature or target of a row, about its shift.
pub(crate) const LARGEST: f64 = 1e150;
/// Targets that vary are at least this large about their shift.
pub(super) const SMALLEST_TARGET: f64 = 1e-140;

const SCORED: (f64, f64) = (1e-110, 1e110);
const OF_COVARIANCE: (f64, f64) = (1e-150, LARGEST);

/// Refuses magnitudes up to `largest` if they are outside these bounds; zeros are taken.
pub(super) fn check_between(
    name: &'static str,
    largest: f64,
    (least, most): (f64, f64),
) -> Result<()> {
    let problem = match largest {
        largest if largest > most || largest.is_nan() => "overflow",
        largest if largest > 0.0 && largest < least => "underflow",
        _ => return Ok(()),
    };
    Err(Error::OutOfRange { name, largest, problem })
}

impl Stats {
    /// The largest |s|.
    fn offset(&self) -> f64 {
        self.shift.iter().fold(0.0, |most: f64, s| most.max(s.abs()))
    }

    /// Refuses features that no metric takes.
    pub(crate) fn check_scored(&self) -> Result<()> {
        check_between("features", self.largest.max(self.offset()), SCORED)
    }

    /// Refuses features whose squares about the mean, or about zero, leave the range of float64.
    pub(crate) fn check_covariance(&self, about_zero: bool) -> Result<()> {
        let offset = if about_zero { self.offset() } else { 0.0 };
        check_between("features", self.largest.max(offset), OF_COVARIANCE)?;
        self.check_squares(0, self.largest + offset)
    }

    /// Checks that n D `largest`² is within float64, for the samples here and `more`.
    pub(super) fn check_squares(&self, more: u64, largest: f64) -> Result<()> {
        let n = (self.n_samples + more) as f64;
        if (n * self.n_features as f64 * largest * largest).is_finite() {
            return Ok(());
        }
        Err(Error::OutOfRange { name: "features", largest, problem: "overflow" })
    }

    /// Checks that sums of squares stay within float64 when `added` is brought about the shifts of
    /// these statistics and added. Products of two columns are no larger.
    pub(super) fn check_sum(&self, added: &Self) -> Result<()> {
        let moved = self.shift.iter().zip(&added.shift).map(|(own, other)| (own - other).abs());
        let moved = moved.fold(0.0, f64::max);
        added.check_squares(self.n_samples, self.largest.max(added.largest + moved))?;
        let Held::Targets(theirs) = &added.held else { return Ok(()) };
        let n = added.n_samples as f64;
        for (k, square) in theirs.square.iter().enumerate() {
            let (before, shift) = match &self.held {
                Held::Targets(ours) => (ours.square[k], ours.shift[k]),
                _ => (0.0, theirs.shift[k]),
            };
            // ‖t + δ‖ ≤ ‖t‖ + √n |δ|
            let moved = square.max(0.0).sqrt() + n.sqrt() * (theirs.shift[k] - shift).abs();
            if !(before + moved * moved).is_finite() {
                let largest = (moved / n.sqrt()).max(shift.abs());
                return Err(Error::OutOfRange { name: "targets", largest, problem: "overflow" });
            }
        }
        Ok(())
    }
}
