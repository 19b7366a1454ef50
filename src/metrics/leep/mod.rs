//! LEEP: the mean log likelihood of the labels under the source model's class probabilities and the
//! empirical conditional probability of each label given each source class.
//!
//! For probabilities P (N, `C_source`), rows summing to 1, and labels `y_i` of C classes that occur:
//!
//! ```text
//! J(y, z) = Σ_{i: y_i = y} P_iz                    (C, C_source), N times the joint probability
//! Q(y|z)  = J(y, z)/Σ_y J(y, z)                    for source classes z of positive mass
//! LEEP    = (1/N) Σ_i ln Σ_z Q(y_i|z) P_iz         nats a sample, -H(Y) ≤ LEEP ≤ 0
//! ```
//!
//! The lower bound: Q is one step of expectation maximisation for the mixture Σ_z Q(y|z) P_iz from
//! Q(y|z) = p(y), whose likelihood is -H(Y), and no such step lowers the likelihood.
//!
//! With the option `influence` and without `normalize`, also N times the derivative by the weight of
//! every row. A row adds its own logarithm, and moves Q through the joint probabilities. With
//! e_i = Σ_z Q(y_i|z) P_iz and R(y, z) = Σ_{j: y_j = y} P_jz/e_j (C, C_source), where
//! M(z) = Σ_y J(y, z):
//!
//! ```text
//! ψ_i = ln e_i - LEEP + Σ_z P_iz/M(z) [R(y_i, z) - Σ_y Q(y|z) R(y, z)]
//! ```
//!
//! Source: Nguyen, Hassner, Seeger, Archambeau, ICML 2020. Departures from the published code,
//! which is NaN there: source classes without mass are left out. Rows are checked, and may be
//! logits (option `from_logits`). Only the entry of a row's own label is computed, so that the cost
//! is N·C_source + C·C_source and not N·C·C_source.

mod probabilities;

use super::source_terms::{Classes, Normalize};
use super::{Detail, Inputs, Metric, Needs, OptionReader, Outcome};
use crate::error::{Error, Result};
use crate::linalg::blas::{dot, scale};
use crate::linalg::memory::{Gather, append, joined, zeros};
use crate::threads::Context;
use probabilities::Probabilities;

pub(super) const METRIC: Metric = Metric {
    name: "leep",
    title: "LEEP",
    summary: "log likelihood of the labels through the source model's class probabilities",
    needs: &[Needs::SourceProbs],
    tasks: &["classification"],
    decomposes: false,
    cost: "(N + C) C_source",
    source: "Nguyen et al., ICML 2020",
    compute: score,
};

/// The least number of rows of a parallel task.
const RUN: usize = 256;
/// The largest number of tasks beside one for each class.
const MOST_TASKS: usize = 64;

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    let (from_logits, normalize, with_influence) = options.read(|given| {
        Ok((given.flag("from_logits")?, Normalize::read(given)?, given.flag("influence")?))
    })?;
    let classes = Classes::new(inputs)?;
    let rows = inputs.source_probs()?;
    let (actual, expected) = (rows.n_rows(), classes.codes.len());
    if actual != expected {
        return Err(Error::Shape { name: "source_probs", axis: "rows", actual, expected });
    }
    if rows.n_cols() == 0 {
        return Err(Error::Empty { name: "source_probs", axis: "columns" });
    }
    let probs = Probabilities { rows, from_logits };
    let order = classes.order()?;
    let tasks = tasks(&classes, order.len())?;

    let read = |place: usize, row: &mut [f64]| {
        probs.read(order[place], row);
        probs.check(order[place], row)
    };
    let joint = class_sums(rows.n_cols(), &tasks, read, context);
    let mut conditional = joint.map_err(|error| match error {
        Error::OutOfMemory { .. } | Error::Interrupted => error,
        _ => match probs.first_problem() {
            Ok(problem) => problem.unwrap_or(error),
            Err(no_memory) => no_memory,
        },
    })?;
    let mass = condition(&mut conditional, &tasks, rows.n_cols())?;
    let fitted = Fitted { probs, order, tasks, conditional, mass };
    let logs = fitted.logs(context)?;
    let mut sums = zeros::<f64>(classes.counts.len(), "the likelihoods of the classes")?;
    for (task, logs) in fitted.tasks.iter().zip(&logs) {
        sums[task.class] += logs.iter().sum::<f64>();
    }
    let n_source = fitted.mass.iter().filter(|mass| **mass > 0.0).count();
    let mut outcome = classes.outcome("leep", &sums, normalize, n_source)?;
    if with_influence && normalize == Normalize::No {
        let influence =
            fitted.influence(&joined(logs, "the likelihoods")?, outcome.value, context)?;
        outcome.details.push(("influence", Detail::Numbers(influence)));
    }
    Ok(outcome)
}

/// P with its conditional probabilities.
struct Fitted<'a> {
    probs: Probabilities<'a>,
    /// The rows of P, class by class.
    order: Vec<usize>,
    tasks: Vec<Task>,
    /// Q in the slots of the classes' first tasks, (tasks, `C_source`).
    conditional: Vec<f64>,
    /// M, (`C_source`,).
    mass: Vec<f64>,
}

impl Fitted<'_> {
    /// ln e of the rows of every task.
    fn logs(&self, context: &Context<'_>) -> Result<Vec<Vec<f64>>> {
        let width = self.mass.len();
        context.map(self.tasks.len(), |number| {
            let task = &self.tasks[number];
            let conditional = &self.conditional[task.first * width..][..width];
            let mut row = zeros(width, "a row of source_probs")?;
            let log = |i: &usize| {
                self.probs.read(*i, &mut row);
                dot(conditional, &row).ln()
            };
            self.order[task.rows.clone()].iter().map(log).gathered("the likelihoods of the rows")
        })
    }

    /// ψ of every row, from ln e in order of the classes.
    fn influence(&self, logs: &[f64], value: f64, context: &Context<'_>) -> Result<Vec<f64>> {
        let width = self.mass.len();
        let read = |place: usize, row: &mut [f64]| {
            self.probs.read(self.order[place], row);
            scale((-logs[place]).exp(), row);
            Ok(())
        };
        let mut reach = class_sums(width, &self.tasks, read, context)?;
        let slots = || firsts(&self.tasks).map(|number| number * width..(number + 1) * width);
        let mut mean = zeros::<f64>(width, "a row of source_probs")?; // Σ_y Q(y|z) R(y, z)
        for slot in slots() {
            let terms = self.conditional[slot.clone()].iter().zip(&reach[slot]);
            mean.iter_mut().zip(terms).for_each(|(mean, (q, r))| *mean += q * r);
        }
        for slot in slots() {
            for ((r, mean), mass) in reach[slot].iter_mut().zip(&mean).zip(&self.mass) {
                *r = if *mass > 0.0 { (*r - mean) / mass } else { 0.0 };
            }
        }
        let moved = context.map(self.tasks.len(), |number| {
            let task = &self.tasks[number];
            let mut row = zeros(width, "a row of source_probs")?;
            let along = |i: &usize| {
                self.probs.read(*i, &mut row);
                dot(&reach[task.first * width..][..width], &row)
            };
            self.order[task.rows.clone()].iter().map(along).gathered("the influences of the rows")
        })?;
        let mut influence = zeros(self.order.len(), "the influences of the rows")?;
        for ((i, log), moved) in self.order.iter().zip(logs).zip(moved.into_iter().flatten()) {
            influence[*i] = log - value + moved;
        }
        Ok(influence)
    }
}

/// Rows of one class, as a range of the rows in order of their classes.
struct Task {
    class: usize,
    /// The number of the class's first task, whose slot holds the class's sums in the end.
    first: usize,
    rows: std::ops::Range<usize>,
}

/// Splits each class into tasks by the shape of the data alone.
fn tasks(classes: &Classes, n_samples: usize) -> Result<Vec<Task>> {
    let run = RUN.max(n_samples.div_ceil(MOST_TASKS));
    let mut tasks = Vec::new();
    let mut start = 0;
    for (class, count) in classes.counts.iter().enumerate() {
        let first = tasks.len();
        let rows = start..start + count;
        for begin in rows.clone().step_by(run) {
            let rows = begin..rows.end.min(begin + run);
            append(&mut tasks, Task { class, first, rows }, "the rows of the classes")?;
        }
        start = rows.end;
    }
    Ok(tasks)
}

/// The numbers of the classes' first tasks.
fn firsts(tasks: &[Task]) -> impl Iterator<Item = usize> + '_ {
    (0..tasks.len()).filter(|number| tasks[*number].first == *number)
}

/// The sums of each class's rows in the slot of its first task, (tasks, `width`); `read` writes the
/// row at a place in order of the classes.
fn class_sums(
    width: usize,
    tasks: &[Task],
    read: impl Fn(usize, &mut [f64]) -> Result<()> + Sync,
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    let mut sums = zeros(tasks.len().saturating_mul(width), "the joint probabilities")?;
    context.for_each_chunk(&mut sums, width, |number, part| {
        let mut row = zeros(width, "a row of source_probs")?;
        for place in tasks[number].rows.clone() {
            read(place, &mut row)?;
            part.iter_mut().zip(&row).for_each(|(sum, p)| *sum += p);
        }
        Ok(())
    })?;
    for (number, task) in tasks.iter().enumerate().filter(|(number, task)| *number > task.first) {
        let (before, part) = sums.split_at_mut(number * width);
        let first = &mut before[task.first * width..][..width];
        first.iter_mut().zip(part).for_each(|(sum, p)| *sum += *p);
    }
    Ok(sums)
}

/// Turns the joint probabilities J into the conditional Q, zero for source classes without mass,
/// and returns the mass M.
fn condition(joint: &mut [f64], tasks: &[Task], width: usize) -> Result<Vec<f64>> {
    let mut mass = zeros::<f64>(width, "a row of source_probs")?;
    for number in firsts(tasks) {
        mass.iter_mut().zip(&joint[number * width..]).for_each(|(mass, p)| *mass += p);
    }
    for number in firsts(tasks) {
        for (p, mass) in joint[number * width..][..width].iter_mut().zip(&mass) {
            *p = if *mass > 0.0 { *p / mass } else { 0.0 };
        }
    }
    Ok(mass)
}
