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
//! - With `intercept`, features and targets are centred and N − 1 samples counted: an intercept
//!   with a flat prior integrated out. For targets far from zero, the paper's model has none.
//!
//! Cost after the decomposition: O(D) a target for each of about 50 values of t.

mod curves;
mod decided;
mod evidence;
mod grid;
mod influence;
pub mod reference;
mod roots;
mod rounding;
mod search;
mod sweeps;
mod warning;

use ndarray::{Array1, Array2, ArrayView1};

use crate::decomp::{CentredTargets, Prepared};
use crate::error::{Error, Result};
use crate::linalg::blas::dot;
use crate::linalg::memory::zeros;
use crate::stats::{Held, Precision};
use crate::threads::Context;

use super::{Detail, Metric, Needs, Outcome};
use curves::{Curve, Tridiagonal};
use decided::decided;
use evidence::Target;
use influence::influence;
use rounding::rounding;
use search::{Location, Optimum, maximise};
use warning::Warning;

/// The row of the table.
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
                keep_coef: given.flag("keep_coef")?,
                skip_constant: given.flag("skip_constant")?,
            };
            Ok((logme, given.flag("influence")?))
        })?;
        let prepared = inputs.prepared()?;
        let found = logme.find(prepared, context)?;
        let mut outcome = logme.outcome(prepared, &found, context)?;
        let rows = if with_influence { influence(inputs, &found, context)? } else { None };
        outcome.details.extend(rows.map(|rows| ("influence", Detail::Numbers(rows))));
        Ok(outcome)
    },
};

/// LogME with its options.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogMe {
    /// Integrate out an intercept with a flat prior.
    pub intercept: bool,
    /// Return the posterior means.
    pub keep_coef: bool,
    /// Leave out targets that do not vary, with a warning.
    pub skip_constant: bool,
}

impl LogMe {
    /// The score. Details: `alpha`, `beta`, `converged`, `iterations` by target, and `coef` (C, D)
    /// with `offset` (C,) if asked for; `kept`, the targets' numbers, where some were left out.
    ///
    /// # Errors
    /// [`Error::ZeroTarget`], [`Error::ConstantTarget`] with an intercept, [`Error::NothingVaries`]
    /// if all targets were left out; what the decomposition can fail with.
    pub fn compute(self, prepared: &Prepared<'_>, context: &Context<'_>) -> Result<Outcome> {
        self.outcome(prepared, &self.find(prepared, context)?, context)
    }

    /// Return the maximum for every target that is scored.
    ///
    /// The tridiagonal form is searched first. Where it cannot decide, the spectrum is, and has the
    /// last word, unless its maximum lies within the range of the form, which has that one more
    /// exactly.
    fn find(self, prepared: &Prepared<'_>, context: &Context<'_>) -> Result<Vec<Maximum>> {
        let targets = self.targets(prepared)?;
        let (shown, lo) = self.search_form(prepared, &targets, context)?;
        let open: Vec<Target> = targets
            .iter()
            .zip(&shown)
            .filter(|(_, shown)| !matches!(shown, Shown::Maximum(_)))
            .map(|(target, _)| *target)
            .collect();
        let mut by_spectrum = Vec::new().into_iter();
        let mut dropped = false;
        if !open.is_empty() {
            context.check()?;
            let curve = prepared.spectrum()?;
            dropped = curve.dropped;
            let range = self.range(prepared, curve);
            by_spectrum = maximise(curve, &open, range, context)?.into_iter();
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

    /// Return what the tridiagonal form shows of each target, and the least t that it was searched
    /// for.
    fn search_form(
        self,
        prepared: &Prepared<'_>,
        targets: &[Target],
        context: &Context<'_>,
    ) -> Result<(Vec<Shown>, f64)> {
        if prepared.from_samples {
            return Ok((vec![Shown::Nothing; targets.len()], 0.0));
        }
        let curve = Tridiagonal::new(prepared.decomp(context)?);
        let range = self.range(prepared, &curve);
        let optima = maximise(&curve, targets, range, context)?;
        let decided = decided(prepared, &curve, targets, &optima, range.0)?;
        let shown = |(best, decided)| {
            if decided { Shown::Maximum(best) } else { Shown::Candidate(best) }
        };
        Ok((optima.into_iter().zip(decided).map(shown).collect(), range.0))
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
            let mean = Array1::from(prepared.mean());
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
            outcome.warnings.push(Warning::LeftOut { n_targets: n_left_out }.to_string());
        }
        Ok(outcome)
    }

    /// Return the targets to score.
    fn targets(self, prepared: &Prepared<'_>) -> Result<Vec<Target>> {
        let centred = CentredTargets::new(prepared.stats);
        let n_samples = prepared.stats.n_samples as f64;
        let columns = centred.mean.iter().zip(&centred.square).enumerate();
        let varies =
            |(_, (_, square)): &(usize, (&f64, &f64))| !self.skip_constant || **square > 0.0;
        let target = |(column, (mean, square)): (usize, (&f64, &f64))| {
            let (intercept, mean, square) = (self.intercept, *mean, *square);
            let target = Target { column, n_samples, intercept, mean, square };
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
        let mean = prepared.mean();
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

/// Return the posterior means, (C, D); zero where the features say nothing.
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
        _ => target.effective() / best.evidence.q,
    });
    let alpha = maxima.iter().map(|Maximum { target, best, .. }| match best.location {
        Location::NoSignal => f64::INFINITY,
        _ => best.t * (target.effective() / best.evidence.q),
    });
    // Single precision is asked for, with its errors; only double promises digits.
    let promised = prepared.stats.precision == Precision::Double;
    let count_above = |limit: f64| rounding.iter().filter(|error| **error > limit).count();
    let lost = if promised { count_above(1e-6) } else { 0 };
    let exact = !promised || count_above(EXACT) == 0;
    let mut warnings = Vec::new();
    if matches!(&prepared.stats.held, Held::Labels(labels) if labels.classes.len() == 1) {
        warnings.push(Warning::SingleClass.to_string());
    }
    for (n_targets, warning) in [
        (count(Location::Rising), Warning::Unbounded { n_targets: count(Location::Rising) }),
        (count(Location::LowerEnd), Warning::Interpolates { n_targets: count(Location::LowerEnd) }),
        (lost, Warning::LostDigits { n_targets: lost }),
    ] {
        if n_targets > 0 {
            warnings.push(warning.to_string());
        }
    }
    Outcome {
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
    }
}
