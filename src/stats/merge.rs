//! Merging two states: bring both about one shift, then add.
//!
//! With δ = s' − s and c = Σ w (x − s'), moving the shift of n samples from s' to s gives
//!   Σ w (x − s)          = c + n δ
//!   Σ w (x − s)(x − s)ᵀ  = Σ w (x − s')(x − s')ᵀ + δ cᵀ + c δᵀ + n δ δᵀ
//! a class sum gains `n_c` δ, a class square 2 δ·`c_c` + `n_c` δ·δ, and products with targets gain δ (Σ w (y − p))ᵀ; the shift of the
//! targets moves likewise. Cost D² + C·D.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::input::Label;
use crate::linalg::blas::{axpy, dot};
use crate::linalg::memory::{Gather, grow};
use crate::threads::Context;

use super::pass::{Pass, Sums, add_upper};
use super::response::ResponseSums;
use super::{Held, Second, Stats, as_rows};

impl Stats {
    /// Adds the statistics of other rows. On an error the statistics are unchanged.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::MixedResponse`], [`Error::MixedLabels`],
    /// [`Error::MixedPrecision`], [`Error::TooManySamples`], [`Error::OutOfRange`],
    /// [`Error::OutOfMemory`], [`Error::Interrupted`].
    pub fn merge(&mut self, mut other: Self, context: &Context<'_>) -> Result<()> {
        if self.precision != other.precision {
            return Err(Error::MixedPrecision);
        }
        if other.is_empty() {
            return Ok(());
        }
        if self.is_empty() {
            self.check_sum(&other)?;
            *self = other;
            return Ok(());
        }
        self.check_alike(&other)?;
        if self.n_samples.saturating_add(other.n_samples) > 1 << 53 {
            return Err(Error::TooManySamples);
        }
        self.prepare(&mut other, context)?;
        self.absorb(other, &context.uninterrupted())
    }

    /// Checks that both hold the same kinds of statistics; `other` is not empty.
    fn check_alike(&self, other: &Self) -> Result<()> {
        self.check_columns(other.n_features)?;
        self.held.check_same_kind(&other.held)?;
        if self.by_class.is_some() != other.by_class.is_some() {
            return Err(Error::MixedClassScatters);
        }
        Ok(())
    }

    /// Brings both to the same form, rows or scatter, and makes room for the sums. All steps that can
    /// fail or be interrupted are here. Where one does, `self` is as before.
    fn prepare(&mut self, other: &mut Self, context: &Context<'_>) -> Result<()> {
        let sums = self.sums_beside(other, context)?;
        let mut sums_of_classes = Vec::new();
        if let (Some(ours), Some(theirs)) = (&mut self.by_class, &mut other.by_class) {
            grow(ours, theirs.len(), "the statistics of the classes")?;
            let mut theirs: HashMap<&Label, &mut Self> =
                theirs.iter_mut().map(|(class, stats)| (&*class, stats)).collect();
            for (class, ours) in ours {
                let theirs = theirs.get_mut(class);
                let sums = theirs.map(|theirs| ours.sums_beside(theirs, context)).transpose()?;
                sums_of_classes.push(sums.flatten());
            }
        }
        if let Some(sums) = sums {
            self.replace_rows(sums);
        }
        for ((_, ours), sums) in self.by_class.iter_mut().flatten().zip(sums_of_classes) {
            if let Some(sums) = sums {
                ours.replace_rows(sums);
            }
        }
        Ok(())
    }

    /// Checks magnitudes, makes room for `other`, and brings it to a scatter unless all rows can be
    /// held; returns what then replaces the rows of `self`.
    fn sums_beside(&mut self, other: &mut Self, context: &Context<'_>) -> Result<Option<Sums>> {
        self.check_sum(other)?;
        let n_rows = self.n_rows_held().zip(other.n_rows_held()).map(|(a, b)| a + b);
        let mut sums = None;
        if n_rows.is_none_or(|n_rows| n_rows > self.n_features) {
            other.hold_scatter(context)?;
            sums = self.sums(context)?;
        } else if let (
            Second::Rows { values, weights },
            Second::Rows { values: more, weights: more_weights },
        ) = (&mut self.second, &other.second)
        {
            grow(values, more.len(), "the rows")?;
            grow(weights, more_weights.len(), "the weights of the rows")?;
        }
        let class_sums = sums.as_mut().map(|sums| &mut sums.responses.cross);
        self.held.make_room(&other.held, self.n_features, class_sums)?;
        Ok(sums)
    }

    /// Adds statistics that were brought to the same form.
    fn absorb(&mut self, mut other: Self, context: &Context<'_>) -> Result<()> {
        other.move_shift(&self.shift);
        let square = other.square();
        other.held.move_target_shift(&self.held, &other.sum, square, other.n_samples);
        if let (Some(ours), Some(theirs)) = (&mut self.by_class, other.by_class.take()) {
            let places: HashMap<Label, usize> =
                ours.iter().enumerate().map(|(i, (class, _))| (class.clone(), i)).collect();
            for (class, stats) in theirs {
                match places.get(&class) {
                    Some(place) => ours[*place].1.absorb(stats, context)?,
                    None => ours.push((class, stats)),
                }
            }
        }
        self.add(other, context)
    }

    /// `self += other`, both about the same shifts and both held as rows or both as scatter.
    fn add(&mut self, other: Self, context: &Context<'_>) -> Result<()> {
        match (&mut self.second, other.second) {
            (Second::Rows { values, weights }, Second::Rows { values: more, weights: w }) => {
                values.extend_from_slice(&more);
                weights.extend_from_slice(&w);
            }
            (Second::Scatter(total), Second::Scatter(part)) => {
                add_upper(&part, total, self.n_features, context)?;
                self.fourth.add(&other.fourth);
            }
            _ => unreachable!("merge brings both to the same form"),
        }
        self.held.add(other.held, self.n_features, context)?;
        axpy(1.0, &other.sum, &mut self.sum);
        self.n_samples += other.n_samples;
        self.largest = self.largest.max(other.largest);
        Ok(())
    }

    /// Replaces held rows by their scatter.
    pub(crate) fn hold_scatter(&mut self, context: &Context<'_>) -> Result<()> {
        if let Some(sums) = self.sums(context)? {
            self.replace_rows(sums);
        }
        Ok(())
    }

    /// The sums over the rows that are held, if any are.
    fn sums(&self, context: &Context<'_>) -> Result<Option<Sums>> {
        let Second::Rows { values, weights } = &self.second else { return Ok(None) };
        let rows = (0..weights.len()).gathered("the numbers of the rows")?;
        let zero = vec![0.0; self.n_features];
        let features = as_rows(values, self.n_features);
        let (features, rows, held) = (&features, &*rows, &self.held);
        let pass = Pass { features, rows, shift: &zero, weights, held };
        pass.scatter(self.precision, context).map(Some)
    }

    fn replace_rows(&mut self, sums: Sums) {
        self.second = Second::Scatter(sums.scatter);
        self.fourth = sums.fourth;
        self.held.hold_sums(sums.responses);
    }

    /// Brings the statistics about another shift.
    fn move_shift(&mut self, shift: &[f64]) {
        if self.shift == shift {
            return;
        }
        let d: Vec<f64> = self.shift.iter().zip(shift).map(|(old, new)| old - new).collect();
        let n = self.n_samples as f64;
        match &mut self.second {
            Second::Rows { values, .. } => {
                values.chunks_exact_mut(d.len()).for_each(|row| axpy(1.0, &d, row));
            }
            Second::Scatter(scatter) => {
                let c = &self.sum;
                self.fourth = self.fourth.moved(&d, c, scatter, n);
                for (i, row) in scatter.chunks_exact_mut(d.len()).enumerate() {
                    axpy(d[i], &c[i..], &mut row[i..]);
                    axpy(c[i] + n * d[i], &d[i..], &mut row[i..]);
                }
            }
        }
        self.held.follow_shift(&d);
        axpy(n, &d, &mut self.sum);
        self.largest += d.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        self.shift.copy_from_slice(shift);
    }
}

impl Held {
    fn check_same_kind(&self, other: &Self) -> Result<()> {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => Ok(()),
            (Self::Labels(a), Self::Labels(b)) => a.check_same_kind(b),
            (Self::Targets(a), Self::Targets(b)) => {
                let (actual, expected) = (b.shift.len(), a.shift.len());
                if actual == expected {
                    return Ok(());
                }
                Err(Error::Shape { name: "targets", axis: "columns", actual, expected })
            }
            _ => Err(Error::MixedResponse { holds: self.name(), brings: other.name() }),
        }
    }

    /// Replaces responses held by row by sums.
    pub(super) fn hold_sums(&mut self, sums: ResponseSums) {
        let ResponseSums { cross, squares, joint } = sums;
        match self {
            Self::Nothing => {}
            Self::Labels(labels) => {
                labels.sums = cross;
                labels.squares = Some(squares);
                labels.codes = Vec::new();
            }
            Self::Targets(targets) => {
                targets.cross = cross;
                targets.joint = joint;
                targets.rows = Vec::new();
            }
        }
    }

    /// The features' shift moved by −d: x − s grew by d.
    fn follow_shift(&mut self, d: &[f64]) {
        match self {
            Self::Nothing => {}
            Self::Labels(labels) => {
                let classes = labels.sums.chunks_exact_mut(d.len()).zip(&labels.counts);
                for (c, (sum, count)) in classes.enumerate() {
                    if let Some(squares) = &mut labels.squares {
                        squares[c] += 2.0 * dot(d, sum) + *count as f64 * dot(d, d);
                    }
                    axpy(*count as f64, d, sum);
                }
            }
            Self::Targets(targets) => {
                let n_targets = targets.shift.len();
                if let Some(joint) = &mut targets.joint {
                    let total = targets.square.iter().sum();
                    joint.move_features(d, &targets.cross, &targets.sum, total);
                }
                for (row, d) in targets.cross.chunks_exact_mut(n_targets).zip(d) {
                    axpy(*d, &targets.sum, row);
                }
            }
        }
    }

    /// Brings targets about the shift of another state; `sum` is Σ w (x − s) and `square`
    /// Σ w ‖x − s‖² of the `n_samples`.
    fn move_target_shift(&mut self, other: &Self, sum: &[f64], square: f64, n_samples: u64) {
        let (Self::Targets(targets), Self::Targets(other)) = (self, other) else { return };
        let n = n_samples as f64;
        let n_targets = targets.shift.len();
        let d: Vec<f64> =
            targets.shift.iter().zip(&other.shift).map(|(old, new)| old - new).collect();
        targets.rows.chunks_exact_mut(n_targets).for_each(|row| axpy(1.0, &d, row));
        if let Some(mut joint) = targets.joint.take() {
            joint.move_targets(&d, targets, sum, square, n);
            targets.joint = Some(joint);
        }
        for (row, sum) in targets.cross.chunks_exact_mut(n_targets).zip(sum) {
            axpy(*sum, &d, row);
        }
        for (k, d) in d.iter().enumerate() {
            targets.square[k] += d * (2.0 * targets.sum[k] + n * d);
            targets.sum[k] += n * d;
        }
        targets.shift.clone_from(&other.shift);
    }

    fn add(&mut self, other: Self, n_features: usize, context: &Context<'_>) -> Result<()> {
        match (self, other) {
            (Self::Labels(labels), Self::Labels(other)) => {
                let places = labels.unite(&other, n_features);
                labels.codes.extend(other.codes.iter().map(|c| places[*c as usize]));
                for (c, place) in places.iter().enumerate() {
                    let place = *place as usize;
                    labels.counts[place] += other.counts[c];
                    if !other.sums.is_empty() {
                        let sum = &mut labels.sums[place * n_features..(place + 1) * n_features];
                        axpy(1.0, &other.sums[c * n_features..(c + 1) * n_features], sum);
                    }
                }
                match (&mut labels.squares, other.squares) {
                    (Some(squares), Some(more)) => {
                        let places = places.iter().map(|place| *place as usize);
                        places.zip(more).for_each(|(place, square)| squares[place] += square);
                    }
                    (squares, _) => *squares = None,
                }
            }
            (Self::Targets(targets), Self::Targets(other)) => {
                axpy(1.0, &other.sum, &mut targets.sum);
                axpy(1.0, &other.square, &mut targets.square);
                axpy(1.0, &other.cross, &mut targets.cross);
                targets.rows.extend_from_slice(&other.rows);
                match (&mut targets.joint, &other.joint) {
                    (Some(joint), Some(other)) => joint.add(other, context)?,
                    (joint, _) => *joint = None,
                }
            }
            (Self::Nothing, Self::Nothing) => {}
            _ => unreachable!("merge checks that both are of one kind"),
        }
        Ok(())
    }
}
