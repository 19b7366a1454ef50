//! LEEP: how well a source model's class probabilities predict the labels, through the empirical
//! probability of each label given each source class.
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
//! Source: Nguyen, Hassner, Seeger, Archambeau, ICML 2020.
//! Departures from the published code, which is NaN there: source classes without mass are left
//! out. Rows are checked, and may be logits if that is said. Only the entry of a row's own label is
//! computed, so that the cost is N·C_source + C·C_source and not N·C·C_source.

use super::source_terms::{Classes, Normalize};
use super::{Inputs, Metric, Needs, Options, Outcome};
use crate::error::{Error, Result};
use crate::input::{Rows, check_finite};
use crate::linalg::{blas::dot, memory::zeros};
use crate::threads::Context;

/// The row of the table.
pub(super) const METRIC: Metric = Metric {
    name: "leep",
    title: "LEEP",
    summary: "log likelihood of the labels through the source model's class probabilities",
    needs: &[Needs::SourceProbs],
    tasks: &["classification"],
    cost: "(N + C) C_source",
    source: "Nguyen et al., ICML 2020",
    compute,
};

/// Rows of one class that are one task at least; more where that would make more than this many
/// tasks beside one a class.
const RUN: usize = 256;
const MOST_TASKS: usize = 64;

fn compute(inputs: &Inputs<'_>, options: &Options, context: &Context<'_>) -> Result<Outcome> {
    options.check("leep", &["from_logits", "normalize"])?;
    let normalize = Normalize::read("leep", options)?;
    let classes = Classes::new(inputs)?;
    let rows = inputs.source_probs()?;
    let (actual, expected) = (rows.n_rows(), classes.codes.len());
    if actual != expected {
        return Err(Error::Shape { name: "source_probs", axis: "rows", actual, expected });
    }
    if rows.n_cols() == 0 {
        return Err(Error::Empty { name: "source_probs", axis: "columns" });
    }
    let probs = Probabilities { rows, from_logits: options.flag("from_logits") };
    let order = classes.order();
    let tasks = tasks(&classes, order.len());

    let mut joint = joint(&probs, &order, &tasks, context).map_err(|error| match error {
        Error::OutOfMemory { .. } | Error::Interrupted => error,
        _ => probs.first_problem().unwrap_or(error),
    })?;
    let n_source = condition(&mut joint, &tasks, rows.n_cols());
    let terms = context.map(tasks.len(), |number| {
        let task = &tasks[number];
        let conditional = &joint[task.first * rows.n_cols()..][..rows.n_cols()];
        let mut row = zeros(rows.n_cols(), "a row of source_probs")?;
        let mut sum = 0.0;
        for i in &order[task.rows.clone()] {
            probs.read(*i, &mut row);
            sum += dot(conditional, &row).ln();
        }
        Ok(sum)
    })?;
    let mut sums = vec![0.0; classes.counts.len()];
    for (task, term) in tasks.iter().zip(terms) {
        sums[task.class] += term;
    }
    classes.outcome("leep", &sums, normalize, n_source)
}

/// Rows of one class, as a range of the rows in order of their classes.
struct Task {
    class: usize,
    /// The number of the class's first task, whose slot holds the class's sums in the end.
    first: usize,
    rows: std::ops::Range<usize>,
}

/// Splits each class by the shape of the data alone.
fn tasks(classes: &Classes, n_samples: usize) -> Vec<Task> {
    let run = RUN.max(n_samples.div_ceil(MOST_TASKS));
    let mut tasks = Vec::new();
    let mut start = 0;
    for (class, count) in classes.counts.iter().enumerate() {
        let first = tasks.len();
        let rows = start..start + count;
        tasks.extend(rows.clone().step_by(run).map(|begin| Task {
            class,
            first,
            rows: begin..rows.end.min(begin + run),
        }));
        start = rows.end;
    }
    tasks
}

/// Each task's sums of rows, (tasks, `C_source`); those of a class's later tasks are then added to
/// its first.
fn joint(
    probs: &Probabilities<'_>,
    order: &[usize],
    tasks: &[Task],
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    let width = probs.rows.n_cols();
    let mut joint = zeros(tasks.len().saturating_mul(width), "the joint probabilities")?;
    let mut parts: Vec<&mut [f64]> = joint.chunks_exact_mut(width).collect();
    context.for_each_mut(&mut parts, |number, part| {
        let mut row = zeros(width, "a row of source_probs")?;
        for i in &order[tasks[number].rows.clone()] {
            probs.read(*i, &mut row);
            probs.check(*i, &row)?;
            part.iter_mut().zip(&row).for_each(|(sum, p)| *sum += p);
        }
        Ok(())
    })?;
    for (number, task) in tasks.iter().enumerate().filter(|(number, task)| *number > task.first) {
        let (before, part) = joint.split_at_mut(number * width);
        let sums = &mut before[task.first * width..][..width];
        sums.iter_mut().zip(part).for_each(|(sum, p)| *sum += *p);
    }
    Ok(joint)
}

/// Turns each class's sums into its conditional probabilities, zero for source classes without
/// mass; how many have any.
fn condition(joint: &mut [f64], tasks: &[Task], width: usize) -> usize {
    let mut mass = vec![0.0; width];
    let firsts = |number: &usize| tasks[*number].first == *number;
    for number in (0..tasks.len()).filter(firsts) {
        mass.iter_mut().zip(&joint[number * width..]).for_each(|(mass, p)| *mass += p);
    }
    for number in (0..tasks.len()).filter(firsts) {
        for (p, mass) in joint[number * width..][..width].iter_mut().zip(&mass) {
            *p = if *mass > 0.0 { *p / mass } else { 0.0 };
        }
    }
    mass.iter().filter(|mass| **mass > 0.0).count()
}

/// The rows of P, of logits turned to probabilities.
struct Probabilities<'a> {
    rows: &'a dyn Rows,
    from_logits: bool,
}

impl Probabilities<'_> {
    /// Writes row `i` of P.
    fn read(&self, i: usize, row: &mut [f64]) {
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

    /// Refuses a row just read that is no probability distribution.
    fn check(&self, i: usize, row: &[f64]) -> Result<()> {
        let (total, least) = sum_and_least(row);
        if self.from_logits {
            return if total.is_nan() { Err(self.not_finite(i)) } else { Ok(()) };
        }
        if !total.is_finite() {
            check_finite("source_probs", i, row)?;
        }
        let hint = "; pass from_logits=True if these are logits";
        if least < 0.0 {
            let column = row.iter().position(|p| *p < 0.0).unwrap_or(0);
            let value = row[column];
            let problem = format!(
                "source_probs[{i}, {column}] is {value}, and a probability is at least 0{hint}"
            );
            return Err(Error::Metric { metric: "leep", problem });
        }
        // Probabilities that went through a softmax of their own precision keep half its digits,
        // and those held in float64 may have been computed in float32.
        let tolerance = self.rows.epsilon().sqrt().max(1e-5);
        if (total - 1.0).abs() > tolerance {
            let problem = format!(
                "row {i} of source_probs sums to {total}, not to 1 within {tolerance:.1e}: divide \
                 each row by its sum{hint}"
            );
            return Err(Error::Metric { metric: "leep", problem });
        }
        Ok(())
    }

    /// What is wrong with the first row that is wrong.
    fn first_problem(&self) -> Option<Error> {
        let mut row = vec![0.0; self.rows.n_cols()];
        (0..self.rows.n_rows()).find_map(|i| {
            self.read(i, &mut row);
            self.check(i, &row).err()
        })
    }

    /// Logits may be -inf, a probability of zero, but not all of a row.
    fn not_finite(&self, row: usize) -> Error {
        let mut logits = vec![0.0; self.rows.n_cols()];
        self.rows.read_row(row, &mut logits);
        let bad = |value: &f64| value.is_nan() || *value == f64::INFINITY;
        let column = logits.iter().position(bad).unwrap_or(0);
        Error::NotFinite { name: "source_probs", row, column, value: logits[column] }
    }
}

/// In lanes side by side, or each step would wait for the last.
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
