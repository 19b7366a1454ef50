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
mod influence;
pub mod reference;
mod rounding;
mod search;
mod sweeps;
mod warning;

use ndarray::Array2;

use crate::decomp::{CentredTargets, Prepared};
use crate::error::{Error, Result};
use crate::linalg::blas::dot;
use crate::linalg::lapack::zeros;
use crate::stats::{Held, Precision};
use crate::threads::Context;

use super::{Detail, Metric, Needs, Outcome};
use curves::{Curve, Tridiagonal};
use decided::decided;
use evidence::Target;
use influence::influence;
use rounding::rounding;
use search::{Optimum, Place, search};
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
        let rows = if with_influence { influence(inputs, &found, logme, context)? } else { None };
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

    /// The maximum for every target.
    fn find(self, prepared: &Prepared<'_>, context: &Context<'_>) -> Result<Found> {
        let targets = self.targets(prepared)?;
        let n_targets = targets.len();
        let mut optima = vec![None; n_targets];
        let (mut by_form, mut lo) = (Vec::new(), 0.0);
        if !prepared.from_samples {
            let curve = Tridiagonal::new(prepared.decomp(context)?);
            let range = self.range(prepared, &curve);
            let found = search(&curve, &targets, range, context)?;
            let decided = decided(prepared, &curve, &targets, &found, range.0)?;
            optima = found.iter().zip(decided).map(|(best, yes)| yes.then_some(*best)).collect();
            (by_form, lo) = (found, range.0);
        }
        // What the tridiagonal form could not decide, the spectrum does; where that lies within the
        // form's range, the form has it more exactly.
        let mut rest: Vec<usize> = (0..n_targets).filter(|i| optima[*i].is_none()).collect();
        if !rest.is_empty() {
            context.check()?;
            let curve = prepared.spectrum()?;
            let chosen: Vec<_> = rest.iter().map(|i| targets[*i]).collect();
            let found = search(curve, &chosen, self.range(prepared, curve), context)?;
            let mut by_spectrum = Vec::new();
            for (i, best) in rest.iter().zip(found) {
                let of_form =
                    by_form.get(*i).filter(|form| form.within() && best.t >= lo && !curve.dropped);
                optima[*i] = Some(*of_form.unwrap_or(&best));
                if of_form.is_none() {
                    by_spectrum.push(*i);
                }
            }
            rest = by_spectrum;
        }
        let optima = optima.into_iter().flatten().collect();
        Ok(Found { targets, optima, by_spectrum: rest })
    }

    fn outcome(
        self,
        prepared: &Prepared<'_>,
        found: &Found,
        context: &Context<'_>,
    ) -> Result<Outcome> {
        let Found { targets, optima, by_spectrum: rest } = found;
        let n_targets = targets.len();
        let rounding = rounding(prepared, targets, optima, rest, context)?;
        let mut outcome = outcome(prepared, targets, optima, rounding);
        if self.keep_coef {
            let coef = coefficients(prepared, targets, optima, rest, context)?;
            let mean = ndarray::Array1::from(prepared.mean());
            let offset = if self.intercept {
                targets
                    .iter()
                    .zip(coef.rows())
                    .map(|((_, target), m)| target.mean - m.dot(&mean))
                    .collect()
            } else {
                vec![0.0; n_targets]
            };
            outcome.details.push(("coef", Detail::Matrix(coef)));
            outcome.details.push(("offset", Detail::Numbers(offset)));
        }
        let n_left_out = prepared.stats.n_targets() - n_targets;
        if n_left_out > 0 {
            let kept = targets.iter().map(|(number, _)| *number).collect();
            outcome.details.push(("kept", Detail::Counts(kept)));
            outcome.warnings.push(Warning::LeftOut { n_targets: n_left_out }.to_string());
        }
        Ok(outcome)
    }

    /// The targets to score, with their numbers.
    fn targets(self, prepared: &Prepared<'_>) -> Result<Vec<(usize, Target)>> {
        let centred = CentredTargets::new(prepared.stats);
        let n_samples = prepared.stats.n_samples as f64;
        let columns = centred.mean.iter().zip(&centred.square).enumerate();
        let varies =
            |(_, (_, square)): &(usize, (&f64, &f64))| !self.skip_constant || **square > 0.0;
        let target = |(column, (mean, square)): (usize, (&f64, &f64))| {
            let target =
                Target { n_samples, intercept: self.intercept, mean: *mean, square: *square };
            if target.whole() > 0.0 {
                Ok((column, target))
            } else if self.intercept {
                Err(Error::ConstantTarget { column, value: *mean })
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

/// The maximum of the evidence for every target.
struct Found {
    /// The targets that are scored, with their numbers.
    targets: Vec<(usize, Target)>,
    optima: Vec<Optimum>,
    /// Places of those that the spectrum decided.
    by_spectrum: Vec<usize>,
}

/// The posterior means, (C, D); zero where the features say nothing.
fn coefficients(
    prepared: &Prepared<'_>,
    targets: &[(usize, Target)],
    optima: &[Optimum],
    by_spectrum: &[usize],
    context: &Context<'_>,
) -> Result<Array2<f64>> {
    let n_features = prepared.stats.n_features;
    let coef = zeros(optima.len() * n_features, "the coefficients")?;
    let mut coef =
        Array2::from_shape_vec((optima.len(), n_features), coef).map_err(|_| Error::NoData)?;
    let informed = |i: &usize| optima[*i].place != Place::NoSignal;
    let by_form: Vec<usize> =
        (0..optima.len()).filter(|i| informed(i) && !by_spectrum.contains(i)).collect();
    let by_spectrum: Vec<usize> = by_spectrum.iter().copied().filter(informed).collect();
    let mut fill = |chosen: &[usize], means: Vec<f64>| {
        for (i, m) in chosen.iter().zip(means.chunks_exact(n_features)) {
            coef.row_mut(*i).assign(&ndarray::ArrayView1::from(m));
        }
    };
    let posteriors = |curve: &dyn Curve, chosen: &[usize]| -> (Vec<f64>, Vec<f64>) {
        let posterior = |i: &usize| {
            let Optimum { t, evidence, .. } = optima[*i];
            curve.posterior(targets[*i].0, t, evidence.r)
        };
        let (along, along_mean): (Vec<Vec<f64>>, _) = chosen.iter().map(posterior).unzip();
        (along.concat(), along_mean)
    };
    if !by_form.is_empty() {
        let decomp = prepared.decomp(context)?;
        let curve = Tridiagonal::new(decomp);
        let (along, along_mean) = posteriors(&curve, &by_form);
        fill(&by_form, decomp.to_features(prepared.stats, along, &along_mean)?);
    }
    if !by_spectrum.is_empty() {
        let spectrum = prepared.spectrum()?;
        let (along, along_mean) = posteriors(spectrum, &by_spectrum);
        fill(&by_spectrum, spectrum.to_features(prepared, &along, &along_mean)?);
    }
    Ok(coef)
}

fn outcome(
    prepared: &Prepared<'_>,
    targets: &[(usize, Target)],
    optima: &[Optimum],
    rounding: Vec<f64>,
) -> Outcome {
    const EXACT: f64 = 1e-9;
    let count = |place| optima.iter().filter(|best| best.place == place).count();
    let per_target: Vec<f64> = optima
        .iter()
        .map(|best| if best.place == Place::Rising { f64::INFINITY } else { best.evidence.value })
        .collect();
    let beta = targets.iter().zip(optima).map(|((_, target), best)| match best.place {
        Place::LowerEnd | Place::Rising => f64::INFINITY,
        _ => target.effective() / best.evidence.q,
    });
    let alpha = targets.iter().zip(optima).map(|((_, target), best)| match best.place {
        Place::NoSignal => f64::INFINITY,
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
        (count(Place::Rising), Warning::Unbounded { n_targets: count(Place::Rising) }),
        (count(Place::LowerEnd), Warning::Interpolates { n_targets: count(Place::LowerEnd) }),
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
            ("iterations", Detail::Counts(optima.iter().map(|best| best.evaluations).collect())),
        ],
        per_target,
        warnings,
        exact,
    }
}
