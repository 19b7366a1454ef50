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
mod grid;
mod influence;
pub mod reference;
mod roots;
mod rounding;
mod search;
mod sweeps;

use ndarray::{Array1, Array2, ArrayView1};

use crate::decomp::{CentredTargets, Prepared, Side, Spectrum};
use crate::error::{Error, Result};
use crate::input::Block;
use crate::linalg::blas::dot;
use crate::linalg::memory::zeros;
use crate::stats::{Held, Precision, Second, Stats};
use crate::threads::Context;

use super::{Detail, Inputs, Metric, Needs, Outcome};
use curves::{Curve, Tridiagonal};
use decided::decided;
use evidence::Target;
use influence::{Standardised, influence};
use rounding::rounding;
use search::{Location, Optimum, maximise};

pub(super) const METRIC: Metric = Metric {
    name: "logme",
    title: "LogME",
    summary: "log maximum evidence of a Bayesian linear model from features to targets",
    needs: &[Needs::Stats],
    tasks: &["classification", "regression", "multilabel"],
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
        let mean = prepared.stats.mean();
        let mut moved = Vec::new();
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
    /// rows leave K without full rank, so that only then rows are compared.
    fn distinct(prepared: &Prepared<'_>, context: &Context<'_>) -> Result<Option<Stats>> {
        const SAME: f64 = 1e-10; // the square of a difference within rounding
        let Second::Rows { weights, .. } = &prepared.stats.second else { return Ok(None) };
        let may_repeat = prepared.from_samples || weights.iter().any(|weight| *weight > 1.0) || {
            let decomp = prepared.decomp(context)?;
            decomp.form.count_below(SAME * decomp.bound) > 0
        };
        if may_repeat { prepared.stats.distinct() } else { Ok(None) }
    }

    /// Return the maximum for every target that is scored.
    ///
    /// The tridiagonal form is searched first. Where it cannot decide, the spectrum is searched
    /// too, and its maximum is taken, unless that lies within the range of the form: then the
    /// maximum of the form is taken, which is more exact.
    fn find(self, prepared: &Prepared<'_>, context: &Context<'_>) -> Result<Vec<Maximum>> {
        let mut targets = self.targets(prepared)?;
        let (shown, lo) = self.search_form(prepared, &mut targets, context)?;
        let mut open: Vec<&mut Target> = targets
            .iter_mut()
            .zip(&shown)
            .filter(|(_, shown)| !matches!(shown, Shown::Maximum(_)))
            .map(|(target, _)| target)
            .collect();
        let mut by_spectrum = Vec::new().into_iter();
        let mut dropped = false;
        if !open.is_empty() {
            context.check()?;
            let curve = prepared.spectrum()?;
            dropped = curve.dropped;
            by_spectrum = self.search_spectrum(prepared, curve, &mut open, context)?.into_iter();
        }
        let decide = |(target, shown): (Target, Shown)| {
            let (best, source) = match shown {
                Shown::Maximum(form) => (form, Source::Form),
                Shown::Candidate(form) => {
                    let best = by_spectrum.next()?;
                    // Without signal both have the same limit, and the spectrum its error.
                    let signal = best.location != Location::NoSignal;
                    if form.within() && best.t >= lo && !dropped && signal {
                        (form, Source::Form)
                    } else {
                        (best, Source::Spectrum)
                    }
                }
                Shown::Nothing => (by_spectrum.next()?, Source::Spectrum),
            };
            Some(Maximum { target, best, source })
        };
        Ok(targets.into_iter().zip(shown).filter_map(decide).collect())
    }

    /// Search the tridiagonal form; return its result for each target, and the least t searched.
    ///
    /// Targets that are fitted exactly because rows repeat are searched again with those counted
    /// once.
    fn search_form(
        self,
        prepared: &Prepared<'_>,
        targets: &mut [Target],
        context: &Context<'_>,
    ) -> Result<(Vec<Shown>, f64)> {
        if prepared.from_samples {
            return Ok((vec![Shown::Nothing; targets.len()], 0.0));
        }
        let curve = Tridiagonal::new(prepared.decomp(context)?);
        let range = self.range(prepared, &curve);
        let mut optima = maximise(&curve, targets, range, context)?;
        let rising = optima.iter().any(|best| best.location == Location::Rising);
        if rising && curve.decomp.side == Side::Primal {
            let counts = exact::count_distinct(prepared, &curve, targets, range.0)?;
            let again = count_again(targets, &counts);
            if !again.is_empty() {
                let found = maximise(&curve, &again, range, context)?;
                let places = counts.iter().enumerate().filter(|(_, count)| count.is_some());
                places.zip(found).for_each(|((place, _), found)| optima[place] = found);
            }
        }
        let decided = decided(prepared, &curve, targets, &optima, range.0)?;
        let shown = |(best, decided)| {
            if decided { Shown::Maximum(best) } else { Shown::Candidate(best) }
        };
        Ok((optima.into_iter().zip(decided).map(shown).collect(), range.0))
    }

    /// Search the spectrum; return its maximum for each target.
    fn search_spectrum(
        self,
        prepared: &Prepared<'_>,
        curve: &Spectrum,
        targets: &mut [&mut Target],
        context: &Context<'_>,
    ) -> Result<Vec<Optimum>> {
        let range = self.range(prepared, curve);
        let mut all: Vec<Target> = targets.iter().map(|target| **target).collect();
        let lo = exact::least_shift(prepared, curve);
        let counts = exact::count_distinct(prepared, curve, &all, lo)?;
        let exact = count_again(&mut all, &counts);
        if exact.is_empty() {
            return maximise(curve, &all, range, context);
        }
        targets.iter_mut().zip(&all).for_each(|(target, counted)| **target = *counted);
        // Directions below are those of rows that are equal to within rounding.
        let lo = if curve.extent().1 > lo { range.0 } else { lo };
        let mut found = maximise(curve, &exact, (lo, range.1), context)?.into_iter();
        let others: Vec<Target> = all
            .iter()
            .zip(&counts)
            .filter(|(_, count)| count.is_none())
            .map(|(target, _)| *target)
            .collect();
        let mut others = maximise(curve, &others, range, context)?.into_iter();
        let one = |count: &Option<f64>| if count.is_some() { found.next() } else { others.next() };
        Ok(counts.iter().filter_map(one).collect())
    }

    fn outcome(
        self,
        prepared: &Prepared<'_>,
        maxima: &[Maximum],
        context: &Context<'_>,
    ) -> Result<Outcome> {
        let rounding = rounding(prepared, maxima, context)?;
        let mut outcome = outcome(prepared, maxima, rounding);
        if self.keep_coef {
            let coef = coefficients(prepared, maxima, context)?;
            let mean = Array1::from(prepared.stats.mean());
            let offset = |(one, m): (&Maximum, ArrayView1<'_, f64>)| {
                if self.intercept { one.target.mean - m.dot(&mean) } else { 0.0 }
            };
            let offset = maxima.iter().zip(coef.rows()).map(offset).collect();
            outcome.details.push(("coef", Detail::Matrix(coef)));
            outcome.details.push(("offset", Detail::Numbers(offset)));
        }
        let n_left_out = prepared.stats.n_targets() - maxima.len();
        if n_left_out > 0 {
            let kept = maxima.iter().map(|one| one.target.column).collect();
            outcome.details.push(("kept", Detail::Counts(kept)));
            outcome.warnings.push(super::left_out(n_left_out));
        }
        Ok(outcome)
    }

    /// Return the targets to score.
    fn targets(self, prepared: &Prepared<'_>) -> Result<Vec<Target>> {
        let centred = CentredTargets::new(prepared.stats);
        let n_samples = prepared.stats.n_samples as f64;
        let n_distinct = match &prepared.stats.second {
            Second::Rows { weights, .. } => weights.len() as f64,
            Second::Scatter(_) => n_samples,
        };
        let columns = centred.mean.iter().zip(&centred.square).enumerate();
        let varies =
            |(_, (_, square)): &(usize, (&f64, &f64))| !self.skip_constant || **square > 0.0;
        let target = |(column, (mean, square)): (usize, (&f64, &f64))| {
            let (intercept, mean, square) = (self.intercept, *mean, *square);
            let target = Target { column, n_samples, n_distinct, intercept, mean, square };
            if target.whole() > 0.0 {
                Ok(target)
            } else if self.intercept {
                Err(Error::ConstantTarget { column, value: mean })
            } else {
                Err(Error::ZeroTarget { column })
            }
        };
        let targets: Vec<_> = columns.filter(varies).map(target).collect::<Result<_>>()?;
        if targets.is_empty() { Err(Error::NothingVaries) } else { Ok(targets) }
    }

    /// The range of t to search: down to where noise would be a thousandth of it, or, without
    /// noise, to far below the least eigenvalue; up to where the features cannot matter any more.
    fn range(self, prepared: &Prepared<'_>, curve: &dyn Curve) -> (f64, f64) {
        const FAR_BELOW: f64 = 1e-30; // a residual may be 1e-26 of its target
        const FAR: f64 = 1e6; // what is left of the features' effect there is its square, 1e-12
        let mean = prepared.stats.mean();
        let of_mean =
            if self.intercept { 0.0 } else { prepared.stats.n_samples as f64 * dot(&mean, &mean) };
        let (largest, least) = curve.extent();
        let lo = match curve.noise() {
            Some(noise) if noise > 0.0 => 1e3 * noise,
            _ if least > 0.0 => FAR_BELOW * least,
            _ => FAR_BELOW * of_mean,
        };
        if lo > 0.0 { (lo, FAR * (largest + of_mean)) } else { (1.0, FAR) }
    }
}

/// Set the number of distinct rows of each target that has a count, and return those.
fn count_again(targets: &mut [Target], counts: &[Option<f64>]) -> Vec<Target> {
    let counted = targets.iter_mut().zip(counts).filter_map(|(target, count)| {
        target.n_distinct = (*count)?;
        Some(*target)
    });
    counted.collect()
}

/// The result of the tridiagonal form for a target.
#[derive(Debug, Clone, Copy)]
enum Shown {
    /// Its maximum.
    Maximum(Optimum),
    /// A maximum that the spectrum has to confirm.
    Candidate(Optimum),
    /// Nothing: it was not searched.
    Nothing,
}

/// The decomposition that a maximum is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Form,
    Spectrum,
}

/// The maximum of the evidence of one target.
#[derive(Debug, Clone, Copy)]
struct Maximum {
    target: Target,
    best: Optimum,
    source: Source,
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
        let chosen: Vec<usize> = (0..maxima.len())
            .filter(|i| maxima[*i].source == source)
            .filter(|i| maxima[*i].best.location != Location::NoSignal)
            .collect();
        if chosen.is_empty() {
            continue;
        }
        let posteriors = |curve: &dyn Curve| -> (Vec<f64>, Vec<f64>) {
            let posterior = |i: &usize| {
                let Maximum { target, best, .. } = &maxima[*i];
                curve.posterior(target.column, best.t, best.evidence.r)
            };
            let (along, along_mean): (Vec<Vec<f64>>, _) = chosen.iter().map(posterior).unzip();
            (along.concat(), along_mean)
        };
        let means = match source {
            Source::Form => {
                let decomp = prepared.decomp(context)?;
                let (along, along_mean) = posteriors(&Tridiagonal::new(decomp));
                decomp.to_features(prepared.stats, along, &along_mean)?
            }
            Source::Spectrum => {
                let spectrum = prepared.spectrum()?;
                let (along, along_mean) = posteriors(spectrum);
                spectrum.to_features(prepared, &along, &along_mean)?
            }
        };
        for (i, m) in chosen.iter().zip(means.chunks_exact(n_features)) {
            coef.row_mut(*i).assign(&ArrayView1::from(m));
        }
    }
    Ok(coef)
}

fn outcome(prepared: &Prepared<'_>, maxima: &[Maximum], rounding: Vec<f64>) -> Outcome {
    const EXACT: f64 = 1e-9;
    let count = |location| maxima.iter().filter(|one| one.best.location == location).count();
    let values = maxima.iter().map(|one| match one.best.location {
        Location::Rising => f64::INFINITY,
        _ => one.best.evidence.value,
    });
    let per_target: Vec<f64> = values.collect();
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
            "the features reproduce {unbounded} target(s) to within rounding, with fewer \
             directions than distinct samples: the evidence is unbounded and the score is inf"
        ));
    }
    let interpolated = count(Location::LowerEnd);
    if interpolated > 0 {
        warnings.push(format!(
            "the features have a direction for every sample and {interpolated} target(s) are best \
             explained without noise: the score is the limit of zero noise; use more samples"
        ));
    }
    if lost > 0 {
        warnings.push(format!(
            "{lost} target(s) depend on directions or residuals that are resolved to a few \
             digits only (method=\"svd\" on the samples resolves more than one-pass statistics)"
        ));
    }
    let mut outcome = Outcome {
        value: per_target.iter().sum::<f64>() / per_target.len() as f64,
        details: vec![
            ("alpha", Detail::Numbers(alpha.collect())),
            ("beta", Detail::Numbers(beta.collect())),
            ("converged", Detail::Flags(per_target.iter().map(|v| v.is_finite()).collect())),
            ("rounding", Detail::Numbers(rounding)),
            ("iterations", Detail::Counts(maxima.iter().map(|one| one.best.evaluations).collect())),
        ],
        per_target,
        warnings,
        exact,
    };
    let repeating = maxima.iter().map(|one| one.target).filter(Target::repeats);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count
    if let Some(least) = repeating.map(|target| target.n_distinct as usize).min() {
        outcome.details.push(("distinct_rows", Detail::Count(least)));
    }
    outcome
}
