//! Ridge probe: leave-one-out accuracy or R² of ridge regression on the features.
//!
//! Columns standardised (mean 0, mean square 1; constant ones 0), targets y (a 0/1 column for every
//! class), an intercept that is not penalised, and ridges λ on a grid. For every λ and row i, the
//! model that minimises Σⱼ (yⱼ − xⱼᵀw − b)² + N λ |w|² over all rows but i predicts row i. These N
//! fits follow from one: with h the leverage of a row,
//!
//!   eᵢ = (yᵢ − ŷᵢ) / (1 − hᵢ),    hᵢ = 1/N + xᵢᵀ (S + NλI)⁻¹ xᵢ
//!
//! Classes: λ of the least Σ e² over rows and classes; the score is the share of rows whose own class
//! has the largest y − e. Targets: λ of the least Σ e² for each; the score is the mean over
//! targets of R² = 1 − Σ e² / Σ (y − ȳ)², at most 1; uninformative features get about
//! 1 − (N/(N−1))². Higher is better.
//!
//! With the option `leave_out` = "group", the model that predicts row i is fitted to all rows but
//! those of its group g: e_g = (I − H_gg)⁻¹(y − ŷ)_g, with H the hat matrix (`groups.rs`). λ and the
//! score are those of the same e.
//!
//! Source: Allen, "The relationship between variable selection and data augmentation and a method for
//! prediction", Technometrics 16 (1974): the leave-one-out residual (PRESS). Scaling of the
//! columns is that of all rows, as is N in Nλ. The same for several rows: Cook, Weisberg, "Residuals and
//! Influence in Regression", 1982, eq. (3.2.6).
//!
//! S = XᵀX goes once to tridiagonal form and every row to its basis (`../leverage.rs`); for N ≤ D the
//! same with K = XXᵀ, where 1 − h and y − ŷ come without cancellation. Cost N·D² for the rows and
//! N·D·C for each λ; with more classes than half the features N·D² for each λ and N·D·C once (`many.rs`).

mod groups;
mod many;
mod pass;
mod rest;
mod sides;

use std::ops::Bound::{Excluded, Unbounded};

use crate::error::{Error, Result};
use crate::linalg::memory::{Gather, append};
use crate::stats::Held;
use crate::threads::Context;

use super::centred::lone_samples;
use super::left_out::LeaveOut;
use super::{Detail, Inputs, Metric, Needs, OptionReader, Outcome};
use pass::{Errors, left_out_errors};

pub(super) const METRIC: Metric = Metric {
    name: "ridge_probe",
    title: "Ridge probe",
    summary: "leave-one-out accuracy (classes) or R² (targets) of ridge regression on the features",
    needs: &[Needs::Stats, Needs::Samples],
    tasks: &["classification", "regression", "multilabel"],
    decomposes: true,
    cost: "10 N min(N, D) min(N, D, C) + N C min(N, D)",
    source: "Allen, Technometrics 1974 (leave-one-out residuals)",
    compute: score,
};

/// The default grid of λ.
const RIDGES: [f64; 10] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3];

const SCORES: &str = "the scores of the targets";

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    let (ridges, leave_out, with_influence) = options.read(|given| {
        let ridges = given.numbers("ridges", (Excluded(0.0), Unbounded))?;
        let ridges = ridges.unwrap_or_else(|| RIDGES.to_vec());
        Ok((ridges, LeaveOut::read(given)?, given.flag("influence")?))
    })?;
    let stats = inputs.prepared()?.stats;
    let labels = match &stats.held {
        Held::Labels(labels) => Some(labels),
        _ => None,
    };
    if labels.is_some_and(|labels| labels.classes.len() < 2) {
        let problem = "the labels hold a single class; give at least two classes";
        return Err(Error::metric("ridge_probe", problem));
    }
    if stats.n_samples < 3 {
        let (what, n_samples) = ("leaving one sample out", stats.n_samples);
        return Err(Error::TooFewSamples { what, n_samples, minimum: 3 });
    }
    let errors = left_out_errors(inputs, leave_out, &ridges, with_influence, context)?;
    let mut outcome = match labels {
        Some(labels) => of_classes(&errors, &labels.sorted_counts()?, &ridges)?,
        None => of_targets(&errors, &ridges)?,
    };
    if leave_out != LeaveOut::Row {
        outcome.warnings = errors.warnings; // in place of those of classes of a single row
    }
    if stats.largest <= 0.0 {
        outcome.warnings.push(
            "every feature is the same in all rows: the probe knows nothing but the labels' shares"
                .to_owned(),
        );
    }
    let width = errors.squares.len() / ridges.len();
    let left_out = errors.squares.chunks_exact(width).filter(|e| e[0].is_infinite()).count();
    if left_out > 0 {
        outcome.warnings.push(format!(
            "{left_out} of {} ridges are too small for the precision of the products and were \
             left out",
            ridges.len()
        ));
    }
    if let Some(hits) = errors.hits {
        // The influence of each row on the score with the models held fixed.
        let influence = hits.iter().map(|hit| hit - outcome.value);
        let influence = influence.gathered("the influences of the rows")?;
        outcome.details.push(("influence", Detail::Numbers(influence)));
    }
    outcome.details.extend(errors.by_group);
    outcome.details.push(("ridges", Detail::Numbers(ridges)));
    Ok(outcome)
}

/// Accuracy at the ridge of the least error over all classes.
fn of_classes(errors: &Errors, counts: &[f64], ridges: &[f64]) -> Result<Outcome> {
    let value = errors.right.iter().sum::<f64>() / counts.iter().sum::<f64>();
    let per_target =
        errors.right.iter().zip(counts).map(|(right, n)| right / n).gathered(SCORES)?;
    let details = vec![("ridge", Detail::Number(ridges[errors.best]))];
    let warnings = lone_samples(counts, "which cannot be predicted once it is left out");
    let warnings = warnings.into_iter().collect();
    Ok(Outcome { details, warnings, ..Outcome::new(value, per_target) })
}

/// R² of every target at its own best ridge.
fn of_targets(errors: &Errors, ridges: &[f64]) -> Result<Outcome> {
    let n_targets = errors.whole.len();
    let (mut per_target, mut chosen) = (Vec::new(), Vec::new());
    for (k, whole) in errors.whole.iter().enumerate() {
        if *whole <= 0.0 {
            return Err(Error::metric(
                "ridge_probe",
                format!(
                    "target column {k} is constant ({:?}), so there is nothing to predict; drop it",
                    errors.mean[k]
                ),
            ));
        }
        let squares = errors.squares[k..].iter().step_by(n_targets).copied().gathered(SCORES)?;
        let best = least(&squares);
        append(&mut per_target, 1.0 - squares[best] / whole, SCORES)?;
        append(&mut chosen, ridges[best], SCORES)?;
    }
    let value = per_target.iter().sum::<f64>() / n_targets as f64;
    let details = vec![("ridge", Detail::Numbers(chosen))];
    Ok(Outcome { details, ..Outcome::new(value, per_target) })
}

/// The total over all targets of each ridge.
fn totals(squares: &[f64], n_targets: usize) -> Result<Vec<f64>> {
    squares.chunks_exact(n_targets).map(|row| row.iter().sum()).gathered(SCORES)
}

/// The index of the first minimum.
fn least(values: &[f64]) -> usize {
    (0..values.len()).fold(0, |best, i| if values[i] < values[best] { i } else { best })
}
