//! Energy: the mean of ln Σ exp of the features over the rows where it is lowest.
//!
//! For rows f (D,):  e = ln Σⱼ exp fⱼ;  score = mean of e over the max(1, ⌊share · N⌋) lowest rows
//! (or the highest), in nats; higher is better. Labels are not read.
//!
//! Source: Gholami et al., "ETran: Energy-Based Transferability Estimation", ICCV 2023. The share of
//! the authors' code is 0.005: it is called with 0.5 and computes int(0.5 · 10) · N / 1000, so it
//! averages half a percent of the rows, and none (NaN) below 200 rows, where here it is one.
//!
//! Cost: one pass over the samples, N·D; N numbers.

use crate::error::{Error, Result};
use crate::input::check_finite;
use crate::linalg::memory::zeros;
use crate::threads::Context;

use super::{Detail, Inputs, Metric, Needs, Options, Outcome};

/// The row of the table.
pub(super) const METRIC: Metric = Metric {
    name: "energy",
    title: "Energy",
    summary: "mean log-sum-exp of the features over the rows where it is lowest",
    needs: &[Needs::Samples],
    tasks: &["classification", "regression", "multilabel", "unlabelled"],
    cost: "N D",
    source: "Gholami et al., ICCV 2023 (ETran)",
    compute,
};

/// Rows a task of the pass.
const RUN: usize = 512;
/// A product share · N that is a whole number may come out this much below it.
const ROUNDING: f64 = 1e-9;

fn compute(inputs: &Inputs<'_>, options: &Options, context: &Context<'_>) -> Result<Outcome> {
    options.check("energy", &["share", "highest"])?;
    let features = inputs.samples()?.features;
    let (n_rows, n_cols) = (features.n_rows(), features.n_cols());
    let share = options.number("share").unwrap_or(0.005);
    if !(share > 0.0 && share <= 1.0) {
        let problem = format!("share is {share}; give a share of the rows above 0, at most 1");
        return Err(Error::Metric { metric: "energy", problem });
    }
    let runs = context.map(n_rows.div_ceil(RUN), |run| {
        let mut row = zeros::<f64>(n_cols, "a row of features")?;
        let mut energies = Vec::with_capacity(RUN);
        for i in run * RUN..n_rows.min((run + 1) * RUN) {
            features.read_row(i, &mut row);
            check_finite("features", i, &row)?;
            energies.push(log_sum_exp(&row));
        }
        Ok(energies)
    })?;
    let mut energies = runs.concat();
    energies.sort_unstable_by(f64::total_cmp);
    if options.flag("highest") {
        energies.reverse();
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the floor, below N
    let count = ((share * n_rows as f64 + ROUNDING) as usize).clamp(1, n_rows);
    let value = energies[..count].iter().map(|e| e / count as f64).sum();
    let details = vec![("n_rows", Detail::Number(count as f64))];
    Ok(Outcome { value, per_target: Vec::new(), details, warnings: Vec::new(), exact: true })
}

fn log_sum_exp(row: &[f64]) -> f64 {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + row.iter().map(|f| (f - largest).exp()).sum::<f64>().ln()
}
