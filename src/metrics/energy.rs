//! Energy: the mean of ln Σ exp of the features over the rows where it is lowest.
//!
//! For rows f (D,):  e = ln Σⱼ exp fⱼ;  score = mean of e over the max(1, ⌊share · N⌋) lowest rows
//! (or the highest), in nats; higher is better. Labels are not read.
//!
//! Source: Gholami et al., "ETran: Energy-Based Transferability Estimation", ICCV 2023. The share of
//! the authors' code is 0.005: it is called with 0.5 and computes int(0.5 · 10) · N / 1000, so it
//! averages half a percent of the rows. Below 200 rows that is no row and NaN; here it is one row.
//!
//! Cost: one pass over the samples, N·D; N numbers.

use std::ops::Bound::{Excluded, Included};

use crate::error::Result;
use crate::input::check_finite;
use crate::linalg::memory::{joined, reserved, zeros};
use crate::threads::Context;

use super::{Detail, Inputs, Metric, Needs, OptionReader, Outcome};

pub(super) const METRIC: Metric = Metric {
    name: "energy",
    title: "Energy",
    summary: "mean log-sum-exp of the features over the rows where it is lowest",
    needs: &[Needs::Samples],
    tasks: &["classification", "regression", "multilabel", "unlabelled"],
    decomposes: false,
    cost: "N D",
    source: "Gholami et al., ICCV 2023 (ETran)",
    compute: score,
};

/// Rows of one parallel task.
const RUN: usize = 512;
/// Tolerance for a product share · N that rounds to just below a whole number.
const ROUNDING: f64 = 1e-9;

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    let (share, highest) = options.read(|given| {
        let share = given.number("share", (Excluded(0.0), Included(1.0)))?.unwrap_or(0.005);
        Ok((share, given.flag("highest")?))
    })?;
    let features = inputs.samples_counted_once("energy")?.features;
    let (n_rows, n_cols) = (features.n_rows(), features.n_cols());
    let runs = context.map(n_rows.div_ceil(RUN), |run| {
        let mut row = zeros::<f64>(n_cols, "a row of features")?;
        let mut energies = reserved(RUN, "the energies of the rows")?;
        for i in run * RUN..n_rows.min((run + 1) * RUN) {
            features.read_row(i, &mut row);
            check_finite("features", i, &row)?;
            energies.push(log_sum_exp(&row));
        }
        Ok(energies)
    })?;
    let mut energies = joined(runs, "the energies of the rows")?;
    energies.sort_unstable_by(f64::total_cmp);
    if highest {
        energies.reverse();
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the floor, below N
    let count = ((share * n_rows as f64 + ROUNDING) as usize).clamp(1, n_rows);
    let value = energies[..count].iter().map(|e| e / count as f64).sum();
    let details = vec![("n_rows", Detail::Number(count as f64))];
    Ok(Outcome { details, ..Outcome::new(value, Vec::new()) })
}

fn log_sum_exp(row: &[f64]) -> f64 {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + row.iter().map(|f| (f - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_exponentials_does_not_overflow() {
        let ln_2 = std::f64::consts::LN_2;
        assert!((log_sum_exp(&[0.0, 0.0]) - ln_2).abs() < 1e-15);
        assert!((log_sum_exp(&[1e4, 1e4]) - 1e4 - ln_2).abs() < 1e-11);
        assert!((log_sum_exp(&[-1e300, -1e4]) + 1e4).abs() < 1e-11);
    }
}
