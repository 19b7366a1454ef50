//! Taking a part away again: the statistics of a, less those of a part b of its rows.
//!
//! Where both hold their rows, the rows of b are found among those of a and taken out, and nothing
//! is rounded. Otherwise b is brought about the shift of a (`merge.rs`), and every sum is a
//! difference: n = n_a − n_b, c = c_a − c_b, S = S_a − S_b and so on.
//!
//! **What that costs.** With u = 2⁻⁵³, an entry of S_a is off by a few u times the root of
//! S_a,ii S_a,jj, so are those of S_b, before and after they are moved, and the difference keeps
//! these errors while its own columns are smaller: R_jj = S_jj − c_j²/n about the mean that is left.
//! With A_j = S_a,jj + S_b,jj + S'_b,jj and m = max_j A_j/R_jj, the entries of R are known to m·u of
//! their columns' scales, where those of one pass are known to u: log₁₀ m digits are lost. TransRate
//! of features that repeat each other magnifies u most, to 1e-11, so m ≤ 100 leaves every score nine
//! digits. Beyond that, and for targets likewise, subtraction is refused with the column and m. One
//! of k equal shards has m ≈ (k + 2)/(k − 1). A column that is constant in what is left, and was not
//! in b, has R_jj = 0 and is refused too: its rounding would pass for signal. So are, for the same
//! reason, as few samples as features: their scatter has directions of exactly zero, and the few
//! rows are soon accumulated again.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::input::Label;
use crate::linalg::blas::axpy;
use crate::threads::Context;

use super::response::Labels;
use super::{Held, Second, Stats};

/// m: how much larger what cancels may be than what is left.
const LARGEST_LOSS: f64 = 100.0;
/// The same for fourth moments, which nothing magnifies: ten digits are left.
const LARGEST_FOURTH_LOSS: f64 = 1e6;

impl Stats {
    /// The statistics of the rows that are left without those of `part`.
    ///
    /// # Errors
    /// [`Error::NotAPart`] if `part` has what these do not, nothing would be left, or too few
    /// digits would be; [`Error::Shape`], [`Error::MixedResponse`], [`Error::MixedLabels`],
    /// [`Error::MixedPrecision`], [`Error::MixedClassScatters`], [`Error::OutOfMemory`],
    /// [`Error::Interrupted`].
    pub fn without(self, part: Self, context: &Context<'_>) -> Result<Self> {
        if part.is_empty() {
            return Ok(self);
        }
        self.check_alike(&part)?;
        if part.n_samples >= self.n_samples {
            return refused(format!(
                "they count {} samples, of {}; at least one must be left",
                part.n_samples, self.n_samples
            ));
        }
        if let (Held::Labels(ours), Held::Labels(theirs)) = (&self.held, &part.held) {
            ours.check_part(theirs)?;
        }
        if self.holds_rows() && part.holds_rows() {
            return self.without_rows(part, context);
        }
        let (n, d) = (self.n_samples - part.n_samples, self.n_features);
        if n <= d as u64 {
            return refused(format!(
                "{n} samples of {d} features would be left, which statistics hold as rows, and \
                 these rows are summed up already; accumulate the rest again"
            ));
        }
        let left = self.less(part, context)?;
        if left.is_indefinite()? {
            return refused(
                "they are of other rows: some direction would have less than 0 left".into(),
            );
        }
        Ok(left)
    }

    /// Of one class on its own, the same without what `without` checked of the whole.
    fn class_without(self, part: Self, context: &Context<'_>) -> Result<Self> {
        if self.holds_rows() && part.holds_rows() {
            return self.without_rows(part, context);
        }
        self.less(part, context)
    }

    /// Of the scatters.
    fn less(mut self, mut part: Self, context: &Context<'_>) -> Result<Self> {
        self.hold_scatter(context)?;
        part.hold_scatter(context)?;
        let mut cancelled = self.squares();
        axpy(1.0, &part.squares(), &mut cancelled);
        let mut of_targets = self.held.squares();
        axpy(1.0, &part.held.squares(), &mut of_targets);
        let by_class = self.classes_without(part.by_class.take(), context)?;
        part.move_shift(&self.shift);
        part.held.move_target_shift(&self.held, &part.sum, part.n_samples);
        axpy(1.0, &part.squares(), &mut cancelled);
        axpy(1.0, &part.held.squares(), &mut of_targets);

        let fourth = self.fourth.quartic + part.fourth.quartic;
        if let (Second::Scatter(total), Second::Scatter(part)) = (&mut self.second, &part.second) {
            axpy(-1.0, part, total);
        }
        axpy(-1.0, &part.fourth.cubic, &mut self.fourth.cubic);
        self.fourth.quartic -= part.fourth.quartic;
        axpy(-1.0, &part.sum, &mut self.sum);
        self.n_samples -= part.n_samples;
        self.held = self.held.less(part.held, self.n_features);
        self.by_class = by_class;
        self.check_digits(&cancelled, &of_targets, fourth)?;
        Ok(self)
    }

    /// Refuses where what cancelled is too much larger than what is left.
    fn check_digits(&self, cancelled: &[f64], of_targets: &[f64], fourth: f64) -> Result<()> {
        let n = self.n_samples as f64;
        let columns = self.squares();
        let left = |square: f64, sum: f64| square - sum * (sum / n);
        let columns = columns.iter().zip(&self.sum).map(|(square, sum)| left(*square, *sum));
        digits("column", cancelled, columns)?;
        if let Held::Targets(targets) = &self.held {
            let columns = targets.square.iter().zip(&targets.sum);
            let columns = columns.map(|(square, sum)| left(*square, *sum));
            digits("target", of_targets, columns)?;
        }
        let left = self.fourth_moment();
        if fourth.is_finite()
            && fourth > 0.0
            && !(0.0..=LARGEST_FOURTH_LOSS).contains(&(fourth / left))
        {
            return refused(format!(
                "sums of fourth powers of {fourth:.3e} cancel to {left:.3e}; if they are of these \
                 rows, too few digits are left: accumulate the rest again"
            ));
        }
        Ok(())
    }

    /// The classes on their own, without those of the part.
    pub(super) fn classes_without(
        &mut self,
        part: Option<Vec<(Label, Self)>>,
        context: &Context<'_>,
    ) -> Result<Option<Vec<(Label, Self)>>> {
        let Some(ours) = self.by_class.take() else { return Ok(None) };
        let mut theirs: HashMap<Label, Self> = part.into_iter().flatten().collect();
        let mut left = Vec::with_capacity(ours.len());
        for (class, stats) in ours {
            match theirs.remove(&class) {
                None => left.push((class, stats)),
                Some(part) if part.n_samples == stats.n_samples => {}
                Some(part) => {
                    let rest = stats.class_without(part, context).map_err(|error| match error {
                        Error::NotAPart { problem } => {
                            Error::NotAPart { problem: format!("in class {class}, {problem}") }
                        }
                        other => other,
                    })?;
                    left.push((class, rest));
                }
            }
        }
        Ok(Some(left))
    }

    /// The squares of the columns about the shift, (D,).
    fn squares(&self) -> Vec<f64> {
        let Second::Scatter(scatter) = &self.second else { return Vec::new() };
        scatter.iter().step_by(self.n_features + 1).copied().collect()
    }
}

impl Labels {
    /// Refuses classes, and counts of them, that are not here.
    fn check_part(&self, part: &Self) -> Result<()> {
        let counts: HashMap<&Label, u64> =
            self.classes.iter().zip(self.counts.iter().copied()).collect();
        for (class, count) in part.classes.iter().zip(&part.counts) {
            let here = counts.get(class).copied().unwrap_or(0);
            if *count > here {
                return refused(format!("they count {count} samples of class {class}, of {here}"));
            }
        }
        Ok(())
    }

    /// The same without classes that do not occur; sums are (C, `n_features`).
    pub(super) fn without_absent(mut self, n_features: usize) -> Self {
        let present: Vec<usize> = (0..self.counts.len()).filter(|c| self.counts[*c] > 0).collect();
        let mut places = vec![0; self.counts.len()];
        for (place, c) in (0..).zip(&present) {
            places[*c] = place;
        }
        self.codes.iter_mut().for_each(|code| *code = places[*code as usize]);
        if !self.sums.is_empty() {
            let sum = |c: &usize| self.sums[c * n_features..(c + 1) * n_features].to_vec();
            self.sums = present.iter().flat_map(sum).collect();
        }
        self.classes = present.iter().map(|c| self.classes[*c].clone()).collect();
        self.counts = present.iter().map(|c| self.counts[*c]).collect();
        self
    }
}

impl Held {
    /// Σ w (y − p)², (K,); nothing for classes, whose counts are exact.
    fn squares(&self) -> Vec<f64> {
        if let Self::Targets(targets) = self { targets.square.clone() } else { Vec::new() }
    }

    /// Without those of a part about the same shifts, both in sums.
    fn less(self, part: Self, n_features: usize) -> Self {
        match (self, part) {
            (Self::Labels(mut labels), Self::Labels(part)) => {
                let places = labels.unite(&part, n_features); // the part has no class of its own
                for (c, place) in places.iter().enumerate() {
                    let place = *place as usize;
                    labels.counts[place] -= part.counts[c];
                    let sum = &mut labels.sums[place * n_features..(place + 1) * n_features];
                    axpy(-1.0, &part.sums[c * n_features..(c + 1) * n_features], sum);
                }
                Self::Labels(labels.without_absent(n_features))
            }
            (Self::Targets(mut targets), Self::Targets(part)) => {
                axpy(-1.0, &part.sum, &mut targets.sum);
                axpy(-1.0, &part.square, &mut targets.square);
                axpy(-1.0, &part.cross, &mut targets.cross);
                Self::Targets(targets)
            }
            (held, _) => held,
        }
    }
}

pub(super) fn refused<T>(problem: String) -> Result<T> {
    Err(Error::NotAPart { problem })
}

/// That A_j ≤ m R_jj for each column.
fn digits(what: &str, cancelled: &[f64], left: impl Iterator<Item = f64>) -> Result<()> {
    for (j, (cancelled, left)) in cancelled.iter().zip(left).enumerate() {
        if *cancelled > 0.0 && !(left > 0.0 && *cancelled <= LARGEST_LOSS * left) {
            return refused(format!(
                "in {what} {j}, sums of squares of {cancelled:.3e} cancel to {left:.3e}, and beyond \
                 {LARGEST_LOSS} to 1 too few digits are left; accumulate the rest again"
            ));
        }
    }
    Ok(())
}
