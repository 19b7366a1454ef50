//! Merging two states: bring both about one shift, then add.
//!
//! With δ = s' − s and c = Σ w (x − s'), moving the shift of n samples from s' to s gives
//!   Σ w (x − s)          = c + n δ
//!   Σ w (x − s)(x − s)ᵀ  = Σ w (x − s')(x − s')ᵀ + δ cᵀ + c δᵀ + n δ δᵀ
//! a class sum gains `n_c` δ, a class square 2 δ·`c_c` + `n_c` δ·δ, and products with targets gain δ (Σ w (y − p))ᵀ; the shift of the
//! targets moves likewise. Cost D² + C·D.

use crate::error::{Error, Result};
use crate::linalg::blas::{axpy, dot};
use crate::linalg::memory::{Gather, enter, grow, reserved, table, zeros};
use crate::threads::Context;

use super::pass::{Pass, Sums, add_upper};
use super::response::ResponseSums;
use super::{Held, Second, Stats, as_rows, move_products};

const CLASSES: &str = "the statistics of the classes";
const SHIFT: &str = "the move of a shift";

/// What [`Stats::prepare`] found and made room for, so that adding cannot fail.
struct Plan {
    /// What replaces the rows of `self`, unless all rows can be held.
    sums: Option<Sums>,
    /// The place of each class of `other` among ours.
    places: Vec<u32>,
    /// Of each class of `other` on its own: the place among ours and its plan; none if it is new.
    classes: Vec<Option<(usize, Plan)>>,
}

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
        let plan = self.prepare(&mut other, context)?;
        self.absorb(other, plan, &context.uninterrupted())
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

    /// Brings `other` to our form, rows or scatter, and about our shift, and makes room for it. All
    /// steps that can fail or be interrupted are here. Where one does, `self` is as before.
    fn prepare(&mut self, other: &mut Self, context: &Context<'_>) -> Result<Plan> {
        let mut sums = self.sums_beside(other, context)?;
        let beside = sums.as_mut().map(|sums| &mut sums.responses);
        let places = self.held.make_room(&other.held, self.n_features, beside)?;
        other.move_shift(&self.shift)?;
        let square = other.square();
        other.held.move_target_shift(&self.held, &other.sum, square, other.n_samples)?;
        let mut classes = Vec::new();
        if let (Some(ours), Some(theirs)) = (&mut self.by_class, &mut other.by_class) {
            grow(ours, theirs.len(), CLASSES)?;
            let mut known = table(ours.len(), CLASSES)?;
            for (place, (class, _)) in ours.iter().enumerate() {
                enter(&mut known, class.clone(), place, CLASSES)?;
            }
            classes = reserved(theirs.len(), CLASSES)?;
            for (class, theirs) in theirs {
                let plan = |place: &usize| Ok((*place, ours[*place].1.prepare(theirs, context)?));
                classes.push(known.get(class).map(plan).transpose()?);
            }
        }
        Ok(Plan { sums, places, classes })
    }

    /// Checks magnitudes, and makes room for the rows of `other`, or brings it to a scatter unless all
    /// rows can be held; returns what then replaces the rows of `self`.
    fn sums_beside(&mut self, other: &mut Self, context: &Context<'_>) -> Result<Option<Sums>> {
        self.check_sum(other)?;
        let n_rows = self.n_rows_held().zip(other.n_rows_held()).map(|(a, b)| a + b);
        if n_rows.is_none_or(|n_rows| n_rows > self.n_features) {
            other.hold_scatter(context)?;
            return self.sums(context);
        }
        if let (
            Second::Rows { values, weights },
            Second::Rows { values: more, weights: more_weights },
        ) = (&mut self.second, &other.second)
        {
            grow(values, more.len(), "the rows")?;
            grow(weights, more_weights.len(), "the weights of the rows")?;
        }
        Ok(None)
    }

    /// Adds statistics by a plan. Allocates nothing that depends on the data.
    fn absorb(&mut self, mut other: Self, plan: Plan, context: &Context<'_>) -> Result<()> {
        if let Some(sums) = plan.sums {
            self.replace_rows(sums);
        }
        if let (Some(ours), Some(theirs)) = (&mut self.by_class, other.by_class.take()) {
            for ((class, stats), plan) in theirs.into_iter().zip(plan.classes) {
                match plan {
                    Some((place, plan)) => ours[place].1.absorb(stats, plan, context)?,
                    None => ours.push((class, stats)),
                }
            }
        }
        self.add(other, &plan.places, context)
    }

    /// `self += other`, both about the same shifts and both held as rows or both as scatter.
    fn add(&mut self, other: Self, places: &[u32], context: &Context<'_>) -> Result<()> {
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
        self.held.add(other.held, places, self.n_features, context)?;
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
        let zero = zeros(self.n_features, SHIFT)?;
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
    fn move_shift(&mut self, shift: &[f64]) -> Result<()> {
        if self.shift == shift {
            return Ok(());
        }
        let d = self.shift.iter().zip(shift).map(|(old, new)| old - new).gathered(SHIFT)?;
        let n = self.n_samples as f64;
        match &mut self.second {
            Second::Rows { values, .. } => {
                values.chunks_exact_mut(d.len()).for_each(|row| axpy(1.0, &d, row));
            }
            Second::Scatter(scatter) => {
                self.fourth = self.fourth.moved(&d, &self.sum, scatter, n)?;
                move_products(scatter, &d, &self.sum, n);
            }
        }
        self.held.follow_shift(&d)?;
        axpy(n, &d, &mut self.sum);
        self.largest += d.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        self.shift.copy_from_slice(shift);
        Ok(())
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
    fn follow_shift(&mut self, d: &[f64]) -> Result<()> {
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
                    joint.move_features(d, &targets.cross, &targets.sum, total)?;
                }
                for (row, d) in targets.cross.chunks_exact_mut(n_targets).zip(d) {
                    axpy(*d, &targets.sum, row);
                }
            }
        }
        Ok(())
    }

    /// Brings targets about the shift of another state; `sum` is Σ w (x − s) and `square`
    /// Σ w ‖x − s‖² of the `n_samples`.
    fn move_target_shift(
        &mut self,
        other: &Self,
        sum: &[f64],
        square: f64,
        n_samples: u64,
    ) -> Result<()> {
        let (Self::Targets(targets), Self::Targets(other)) = (self, other) else { return Ok(()) };
        let n = n_samples as f64;
        let n_targets = targets.shift.len();
        let d = targets.shift.iter().zip(&other.shift).map(|(old, new)| old - new);
        let d = d.gathered(SHIFT)?;
        targets.rows.chunks_exact_mut(n_targets).for_each(|row| axpy(1.0, &d, row));
        if let Some(mut joint) = targets.joint.take() {
            joint.move_targets(&d, targets, sum, square, n)?;
            targets.joint = Some(joint);
        }
        for (row, sum) in targets.cross.chunks_exact_mut(n_targets).zip(sum) {
            axpy(*sum, &d, row);
        }
        for (k, d) in d.iter().enumerate() {
            targets.square[k] += d * (2.0 * targets.sum[k] + n * d);
            targets.sum[k] += n * d;
        }
        targets.shift.copy_from_slice(&other.shift);
        Ok(())
    }

    fn add(
        &mut self,
        other: Self,
        places: &[u32],
        n_features: usize,
        context: &Context<'_>,
    ) -> Result<()> {
        match (self, other) {
            (Self::Labels(labels), Self::Labels(other)) => {
                labels.unite(&other, places, n_features);
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
