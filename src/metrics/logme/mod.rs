//! LogME: the log maximum evidence of a Bayesian linear model from features to targets.
//!
//! For a target column y (N,), features F (N, D): y ~ N(Fw, β⁻¹I), w ~ N(0, α⁻¹I). The score is
//!
//!   (1/C) Σ over targets of  max over α, β of  (1/N) ln p(y | F, α, β)
//!
//! in nats per sample; higher is better; a density, so it may be positive. Classification has one
//! 0/1 column for every class that occurs. `evidence.rs` has the formula, `search.rs` the maximum.
//!
//! Source: You, Liu, Wang, Long, "LogME: Practical Assessment of Pre-trained Models for Transfer
//! Learning", ICML 2021, eqs. (2)–(4); extended in "Ranking and Tuning Pre-trained Models", JMLR 2022.
//!
//! Departures from the authors' code, all in `reference/` for those who need its numbers:
//! - The global maximum, by search over t = α/β, not up to 11 steps of a fixed point from 1, 1.
//! - The determinant over all D directions: theirs counts D ln α with only rank(F) other terms.
//! - No absolute 1e-5 beside αs and residuals: a common factor of the features changes nothing.
//! - Classes that occur, not 0..=max(labels).
//! - The limits α → ∞ (no signal) in closed form, and β → ∞ (exact fits) as named conditions.
//! - Rows that repeat are one observation where the features can fit all others (`exact.rs`).
//! - With `intercept`, features and targets are centred and N − 1 samples counted: an intercept
//!   with a flat prior integrated out. For targets far from zero, the paper's model has none.
//!
//! Cost after the decomposition: O(D) a target for each of about 50 values of t.

mod curves;
mod decided;
mod evidence;
mod exact;
mod find;
mod grid;
mod influence;
pub mod reference;
mod roots;
mod rounding;
mod search;
mod sweeps;

use ndarray::{Array1, Array2, ArrayView1};

use crate::decomp::Prepared;
use crate::error::{Error, Result};
use crate::input::Block;
use crate::linalg::memory::{Gather, joined, reserved, zeros};
use crate::stats::{Held, Precision, Second, Stats};
use crate::threads::Context;

use super::{Detail, Inputs, Metric, Needs, Outcome};
use curves::{Curve, Tridiagonal};
use evidence::Target;
use find::{Maximum, Source};
use influence::{Standardised, influence};
use rounding::rounding;
use search::Location;

/// Numbers of an outcome, one a target.
const RESULTS: &str = "the results of the targets";

pub(super) const METRIC: Metric = Metric {
    name: "logme",
    title: "LogME",
    summary: "log maximum evidence of a Bayesian linear model from features to targets",
    needs: &[Needs::Stats],
    tasks: &["classification", "regression", "multilabel"],
    decomposes: true,
    cost: "N D min(N, D) + min(N, D)^3 + C min(N, D)",
    source: "You et al., ICML 2021",
    compute: |inputs, options, context| {
        let (logme, with_influence) = options.read(|given| {
            let logme = LogMe {
                intercept: given.flag("intercept")?,
                standardize: given.flag("standardize")?,
                keep_coef: given.flag("keep_coef")?,
                skip_constant: given.flag("skip_constant")?,
            };
            Ok((logme, given.flag("influence")?))
        })?;
        let prepared = inputs.prepared()?;
        let of_rows = with_influence.then_some(inputs);
        if logme.standardize {
            return logme.score_standardised(prepared, inputs.samples, of_rows, context);
        }
        logme.score(prepared, of_rows, None, context)
    },
};

/// LogME with its options.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools)] // options
pub struct LogMe {
    /// Integrate out an intercept with a flat prior.
    pub intercept: bool,
    /// Score z-scored features: columns at mean 0 and variance 1.
    pub standardize: bool,
    /// Return the posterior means.
    pub keep_coef: bool,
    /// Leave out targets that do not vary, with a warning.
    pub skip_constant: bool,
}

impl LogMe {
    /// The score. Details: `alpha`, `beta`, `converged`, `iterations` by target, and `coef` (C, D)
    /// with `offset` (C,) if asked for; `kept`, the targets' numbers, where some were left out;
    /// `distinct_rows`, where rows that repeat were counted once.
    ///
    /// # Errors
    /// [`Error::ZeroTarget`], [`Error::ConstantTarget`] with an intercept, [`Error::NothingVaries`]
    /// if all targets were left out; the errors of the decomposition.
    pub fn compute(self, prepared: &Prepared<'_>, context: &Context<'_>) -> Result<Outcome> {
        if self.standardize {
            return self.score_standardised(prepared, None, None, context);
        }
        self.score(prepared, None, None, context)
    }

    /// The score of z-scored features. Coefficients are those of the features as they are.
    fn score_standardised(
        self,
        prepared: &Prepared<'_>,
        samples: Option<&Block<'_>>,
        inputs: Option<&Inputs<'_>>,
        context: &Context<'_>,
    ) -> Result<Outcome> {
        let (stats, inverse) = prepared.stats.standardised()?;
        context.check()?;
        let scaled = prepared.standardised(&stats, &inverse, samples)?;
        let standard = Standardised { prepared: &scaled, inverse: &inverse };
        let mut outcome = self.score(&scaled, inputs, Some(standard), context)?;
        let mean = prepared.stats.mean()?;
        let mut moved = reserved(outcome.per_target.len(), RESULTS)?;
        for (name, detail) in &mut outcome.details {
            match detail {
                Detail::Matrix(coef) if *name == "coef" => {
                    for mut m in coef.rows_mut() {
                        m.iter_mut().zip(&inverse).for_each(|(m, inverse)| *m *= inverse);
                        moved.push(m.iter().zip(&mean).map(|(m, mean)| m * mean).sum::<f64>());
                    }
                }
                Detail::Numbers(offset) if *name == "offset" => {
                    offset.iter_mut().zip(&moved).for_each(|(offset, moved)| *offset -= moved);
                }
                _ => {}
            }
        }
        Ok(outcome)
    }

    /// The score of the features that are decomposed, with the influence of every row of `inputs` if
    /// they are given.
    fn score(
        self,
        prepared: &Prepared<'_>,
        inputs: Option<&Inputs<'_>>,
        standard: Option<Standardised<'_>>,
        context: &Context<'_>,
    ) -> Result<Outcome> {
        if let Some(stats) = Self::distinct(prepared, context)? {
            let prepared = prepared.with_stats(&stats)?;
            return self.outcome(&prepared, &self.find(&prepared, context)?, context);
        }
        let found = self.find(prepared, context)?;
        let mut outcome = self.outcome(prepared, &found, context)?;
        let rows = match inputs {
            Some(inputs) => influence(inputs, standard, &found, context)?,
            None => None,
        };
        outcome.details.extend(rows.map(|rows| ("influence", Detail::Numbers(rows))));
        Ok(outcome)
    }

    /// The statistics of the distinct rows, where rows are held and some repeat (`exact.rs`). Equal
    /// rows leave K without full rank, so that only then rows are compared. Weights may make more
    /// samples than features of few rows: their scatter is that of the samples.
    fn distinct(prepared: &Prepared<'_>, context: &Context<'_>) -> Result<Option<Stats>> {
        const SAME: f64 = 1e-10; // the square of a difference within rounding
        let Second::Rows { weights, .. } = &prepared.stats.second else { return Ok(None) };
        if prepared.stats.n_samples > prepared.stats.n_features as u64 {
            let mut stats = prepared.stats.try_clone()?;
            stats.hold_scatter(context)?;
            return Ok(Some(stats));
        }
        let may_repeat = prepared.from_samples || weights.iter().any(|weight| *weight > 1.0) || {
            let decomp = prepared.decomp(context)?;
            decomp.form.count_below(SAME * decomp.bound) > 0
        };
        if may_repeat { prepared.stats.distinct() } else { Ok(None) }
    }

    fn outcome(
        self,
        prepared: &Prepared<'_>,
        maxima: &[Maximum],
        context: &Context<'_>,
    ) -> Result<Outcome> {
        let rounding = rounding(prepared, maxima, context)?;
        let mut outcome = outcome(prepared, maxima, rounding)?;
        if self.keep_coef {
            let coef = coefficients(prepared, maxima, context)?;
            let mean = Array1::from(prepared.stats.mean()?);
            let offset = |(one, m): (&Maximum, ArrayView1<'_, f64>)| {
                if self.intercept { one.target.mean - m.dot(&mean) } else { 0.0 }
            };
            let offset = maxima.iter().zip(coef.rows()).map(offset).gathered(RESULTS)?;
            outcome.details.push(("coef", Detail::Matrix(coef)));
            outcome.details.push(("offset", Detail::Numbers(offset)));
        }
        let n_targets = prepared.stats.n_targets();
        let n_left_out = n_targets - maxima.len();
        if n_left_out > 0 {
            let kept = maxima.iter().map(|one| one.target.column).gathered(RESULTS)?;
            outcome.details.push(("kept", Detail::Counts(kept)));
            outcome.warnings.push(super::targets_left_out(n_left_out, n_targets));
        }
        Ok(outcome)
    }
}

/// Return the posterior means, (C, D); zero for targets without signal.
fn coefficients(
    prepared: &Prepared<'_>,
    maxima: &[Maximum],
    context: &Context<'_>,
) -> Result<Array2<f64>> {
    let n_features = prepared.stats.n_features;
    let coef = zeros(maxima.len() * n_features, "the coefficients")?;
    let mut coef =
        Array2::from_shape_vec((maxima.len(), n_features), coef).map_err(|_| Error::NoData)?;
    for source in [Source::Form, Source::Spectrum] {
        let chosen = (0..maxima.len())
            .filter(|i| maxima[*i].source == source)
            .filter(|i| maxima[*i].best.location != Location::NoSignal)
            .gathered(RESULTS)?;
        if chosen.is_empty() {
            continue;
        }
        let posteriors = |curve: &dyn Curve| -> Result<(Vec<f64>, Vec<f64>)> {
            let mut along = reserved(chosen.len(), RESULTS)?;
            let mut along_mean = reserved(chosen.len(), RESULTS)?;
            for i in &chosen {
                let Maximum { target, best, .. } = &maxima[*i];
                let (m, f) = curve.posterior(target.column, best.t, best.evidence.r)?;
                along.push(m);
                along_mean.push(f);
            }
            Ok((joined(along, RESULTS)?, along_mean))
        };
        let means = match source {
            Source::Form => {
                let decomp = prepared.decomp(context)?;
                let (along, along_mean) = posteriors(&Tridiagonal::new(decomp))?;
                decomp.to_features(prepared.stats, along, &along_mean, context)?
            }
            Source::Spectrum => {
                let spectrum = prepared.spectrum(context)?;
                let (along, along_mean) = posteriors(spectrum)?;
                spectrum.to_features(prepared, &along, &along_mean)?
            }
        };
        for (i, m) in chosen.iter().zip(means.chunks_exact(n_features)) {
            coef.row_mut(*i).assign(&ArrayView1::from(m));
        }
    }
    Ok(coef)
}

fn outcome(prepared: &Prepared<'_>, maxima: &[Maximum], rounding: Vec<f64>) -> Result<Outcome> {
    const EXACT: f64 = 1e-9;
    let n_targets = maxima.len();
    let count = |location| maxima.iter().filter(|one| one.best.location == location).count();
    let values = maxima.iter().map(|one| match one.best.location {
        Location::Rising => f64::INFINITY,
        _ => one.best.evidence.value,
    });
    let per_target: Vec<f64> = values.gathered(RESULTS)?;
    let beta = maxima.iter().map(|Maximum { target, best, .. }| match best.location {
        Location::LowerEnd | Location::Rising => f64::INFINITY,
        _ => target.precision(best.evidence.q),
    });
    let alpha = maxima.iter().map(|Maximum { target, best, .. }| match best.location {
        Location::NoSignal => f64::INFINITY,
        _ => best.t * target.precision(best.evidence.q),
    });
    // Single precision promises no digits, so none are reported as lost.
    let promised = prepared.stats.precision == Precision::Double;
    let count_above = |limit: f64| rounding.iter().filter(|error| **error > limit).count();
    let lost = if promised { count_above(1e-6) } else { 0 };
    let exact = !promised || count_above(EXACT) == 0;
    let mut warnings = Vec::new();
    if matches!(&prepared.stats.held, Held::Labels(labels) if labels.classes.len() == 1) {
        warnings.push(super::SINGLE_CLASS.to_owned());
    }
    let unbounded = count(Location::Rising);
    if unbounded > 0 {
        warnings.push(format!(
            "the features reproduce {unbounded} of {n_targets} targets to within rounding, with \
             fewer directions than distinct samples: the evidence is unbounded and the score is \
             inf; see whether they hold the labels"
        ));
    }
    let interpolated = count(Location::LowerEnd);
    if interpolated > 0 {
        warnings.push(format!(
            "the features have a direction for every sample, and the best fit has no noise for \
             {interpolated} of {n_targets} targets: the score is the limit of zero noise; use more \
             samples"
        ));
    }
    if lost > 0 {
        warnings.push(format!(
            "for {lost} of {n_targets} targets the directions or residuals are resolved to a few \
             digits only (method=\"svd\" on the samples resolves more than one-pass statistics)"
        ));
    }
    let value = per_target.iter().sum::<f64>() / per_target.len() as f64;
    let converged = per_target.iter().map(|v| v.is_finite());
    let iterations = maxima.iter().map(|one| one.best.evaluations);
    let mut outcome = Outcome {
        details: vec![
            ("alpha", Detail::Numbers(alpha.gathered(RESULTS)?)),
            ("beta", Detail::Numbers(beta.gathered(RESULTS)?)),
            ("converged", Detail::Flags(converged.gathered(RESULTS)?)),
            ("rounding", Detail::Numbers(rounding)),
            ("iterations", Detail::Counts(iterations.gathered(RESULTS)?)),
        ],
        warnings,
        exact,
        ..Outcome::new(value, per_target)
    };
    let repeating = maxima.iter().map(|one| one.target).filter(Target::repeats);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count
    if let Some(least) = repeating.map(|target| target.n_distinct as usize).min() {
        outcome.details.push(("distinct_rows", Detail::Count(least)));
    }
    Ok(outcome)
}
