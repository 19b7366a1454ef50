//! Taking rows away where both states hold theirs: nothing is rounded.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::input::Label;
use crate::linalg::blas::axpy;
use crate::threads::Context;

use super::subtract::refused;
use super::{Held, Second, Stats};

/// The same row about two shifts, or by way of a third, differs by a few roundings of the largest
/// of its column.
const SAME: f64 = 32.0 * f64::EPSILON;

impl Stats {
    /// As [`Stats::without`], both holding rows.
    pub(super) fn without_rows(mut self, mut part: Self, context: &Context<'_>) -> Result<Self> {
        let mut reach = differences(&self.shift, &part.shift);
        let by_class = self.classes_without(part.by_class.take(), context)?;
        part.move_shift(&self.shift);
        part.held.move_target_shift(&self.held, &part.sum, part.n_samples);
        let left = {
            let (Some((ours, weights)), Some((theirs, wanted))) = (self.rows(), part.rows()) else {
                return Err(Error::NoData); // `without` brings two that hold rows
            };
            widen(&mut reach, ours);
            widen(&mut reach, theirs);
            let responses = Responses::new(&self.held, &part.held);
            let d = self.n_features;
            let mut left = weights.to_vec();
            for (r, (row, wanted)) in theirs.chunks_exact(d).zip(wanted).enumerate() {
                context.check()?;
                let mut wanted = *wanted;
                for (i, (own, left)) in ours.chunks_exact(d).zip(&mut left).enumerate() {
                    if *left > 0.0 && same(own, row, &reach) && responses.same(i, r) {
                        let taken = wanted.min(*left);
                        *left -= taken;
                        wanted -= taken;
                    }
                }
                if wanted > 0.0 {
                    return refused(format!("their row {r} is not among the rows held"));
                }
            }
            left
        };
        self.by_class = by_class;
        Ok(self.with_weights(&left))
    }

    fn rows(&self) -> Option<(&[f64], &[f64])> {
        let Second::Rows { values, weights } = &self.second else { return None };
        Some((values, weights))
    }

    /// The held rows with other weights; those of weight 0 go.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // weights are counts
    fn with_weights(mut self, weights: &[f64]) -> Self {
        let d = self.n_features;
        let kept: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0.0).collect();
        let kept_of = |values: &[f64], width: usize| -> Vec<f64> {
            kept.iter().flat_map(|i| values[i * width..(i + 1) * width].to_vec()).collect()
        };
        let values = self.rows().map(|(values, _)| kept_of(values, d)).unwrap_or_default();
        self.sum.fill(0.0);
        for (row, i) in values.chunks_exact(d).zip(&kept) {
            axpy(weights[*i], row, &mut self.sum);
        }
        self.held = match self.held {
            Held::Nothing => Held::Nothing,
            Held::Labels(mut labels) => {
                labels.counts.fill(0);
                labels.codes = kept.iter().map(|i| labels.codes[*i]).collect();
                for (code, i) in labels.codes.iter().zip(&kept) {
                    labels.counts[*code as usize] += weights[*i] as u64;
                }
                Held::Labels(labels.without_absent(d))
            }
            Held::Targets(mut targets) => {
                let k = targets.shift.len();
                targets.rows = kept_of(&targets.rows, k);
                targets.sum.fill(0.0);
                targets.square.fill(0.0);
                for (row, i) in targets.rows.chunks_exact(k).zip(&kept) {
                    axpy(weights[*i], row, &mut targets.sum);
                    for (square, y) in targets.square.iter_mut().zip(row) {
                        *square += weights[*i] * y * y;
                    }
                }
                Held::Targets(targets)
            }
        };
        let weights: Vec<f64> = kept.iter().map(|i| weights[*i]).collect();
        self.n_samples = weights.iter().sum::<f64>() as u64;
        self.second = Second::Rows { values, weights };
        self
    }
}

/// Whether rows have the same response.
enum Responses<'a> {
    Nothing,
    /// Codes of both, and the place here of each class of the part.
    Labels(&'a [u32], &'a [u32], Vec<Option<u32>>),
    /// Targets of both, and the largest of each column.
    Targets(&'a [f64], &'a [f64], Vec<f64>),
}

impl<'a> Responses<'a> {
    /// Targets are about the same shift.
    fn new(ours: &'a Held, theirs: &'a Held) -> Self {
        match (ours, theirs) {
            (Held::Labels(ours), Held::Labels(theirs)) => {
                let places: HashMap<&Label, u32> = ours.classes.iter().zip(0..).collect();
                let places = theirs.classes.iter().map(|class| places.get(class).copied());
                Self::Labels(&ours.codes, &theirs.codes, places.collect())
            }
            (Held::Targets(ours), Held::Targets(theirs)) => {
                let mut reach = ours.shift.iter().map(|shift| shift.abs()).collect::<Vec<_>>();
                widen(&mut reach, &ours.rows);
                widen(&mut reach, &theirs.rows);
                Self::Targets(&ours.rows, &theirs.rows, reach)
            }
            _ => Self::Nothing,
        }
    }

    fn same(&self, i: usize, r: usize) -> bool {
        match self {
            Self::Nothing => true,
            Self::Labels(ours, theirs, places) => places[theirs[r] as usize] == Some(ours[i]),
            Self::Targets(ours, theirs, reach) => {
                let k = reach.len();
                same(&ours[i * k..(i + 1) * k], &theirs[r * k..(r + 1) * k], reach)
            }
        }
    }
}

fn differences(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).collect()
}

/// Raises each to the largest magnitude of its column.
fn widen(reach: &mut [f64], rows: &[f64]) {
    for row in rows.chunks_exact(reach.len()) {
        for (reach, x) in reach.iter_mut().zip(row) {
            *reach = reach.max(x.abs());
        }
    }
}

fn same(a: &[f64], b: &[f64], reach: &[f64]) -> bool {
    a.iter().zip(b).zip(reach).all(|((a, b), reach)| (a - b).abs() <= SAME * reach)
}
