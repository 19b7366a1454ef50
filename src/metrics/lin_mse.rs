//! LinMSE and LabMSE: minus the mean squared error of a linear fit to real targets.
//!
//! The fit is from features f (D,), or for LabMSE from the source model's outputs, to targets y
//! (K,), with weights W (D, K) and an intercept v:
//!
//!   −min over W, v of (1/N) Σ_i |y_i − Wᵀf_i − v|² + λ|W|²
//!
//! With b_k = Xᵀỹ_k, S = XᵀX, t = Nλ and w_k = (S + tI)⁻¹b_k, output k has the squared error
//! ỹᵀỹ − b_kᵀw_k − t w_kᵀw_k. In squared units of the targets, at most 0; higher is better.
//!
//! Source: Nguyen et al., "Simple Transferability Estimation for Regression Tasks", UAI 2023,
//! whose definition adds the penalty and sums over outputs (`penalty`, `sum`); its code does
//! neither, and the default is the value of the code.
//!
//! Departures: at λ = 0 the rank does not depend on the columns' units (`decomp/fits.rs`); where the
//! features have a direction for every sample, the error is 0, with a warning. Cost after the
//! statistics: min(N, D)³ + K D² at λ = 0, min(N, D)³ + K min(N, D) else.

use crate::decomp::{CentredTargets, Prepared};
use crate::error::{Error, Result};
use crate::linalg::memory::Gather;
use crate::stats::Held;
use crate::threads::Context;

use super::{Detail, Digits, Metric, Needs, OptionReader, Outcome};

const ERRORS: &str = "the errors of the targets";

pub(super) const METRIC: Metric = Metric {
    name: "lin_mse",
    title: "LinMSE",
    summary: "minus the mean squared error of a linear fit from features to targets",
    needs: &[Needs::Stats],
    tasks: &["regression", "multilabel"],
    decomposes: true,
    cost: "N D min(N, D) + min(N, D)^3 + K D^2",
    source: "Nguyen et al., UAI 2023",
    compute: |inputs, options, context| {
        let fit = options.read(LinMse::read)?;
        fit.compute(inputs.prepared()?, context)
    },
};

/// The row of the table for source outputs.
pub(super) const LABELS: Metric = Metric {
    name: "lab_mse",
    title: "LabMSE",
    summary: "minus the mean squared error of a linear fit from the source model's outputs to targets",
    needs: &[Needs::SourceStats],
    tasks: &["regression", "multilabel"],
    decomposes: true,
    cost: "N Cs min(N, Cs) + min(N, Cs)^3 + K Cs^2",
    source: "Nguyen et al., UAI 2023",
    compute: |inputs, options, context| {
        let fit = options.read(LinMse::read)?;
        let outcome = fit.compute(inputs.prepared()?, context)?;
        Ok(Outcome { exact: true, ..outcome }) // the samples at hand are features, not outputs
    },
};

/// LinMSE with its options.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinMse {
    /// λ, 0 or more.
    pub ridge: f64,
    /// Count the penalty.
    pub penalty: bool,
    /// Sum over outputs instead of their mean.
    pub sum: bool,
    /// Leave out targets that are the same in all rows.
    pub skip_constant: bool,
}

impl LinMse {
    fn read(given: &mut OptionReader<'_>) -> Result<Self> {
        Ok(Self {
            ridge: given.number("ridge", 0.0..)?.unwrap_or(0.0),
            penalty: given.flag("penalty")?,
            sum: given.choice("outputs", &[("mean", false), ("sum", true)])?.unwrap_or(false),
            skip_constant: given.flag("skip_constant")?,
        })
    }

    /// The score; its parts are minus the error of each output, penalty included if counted.
    /// Details: `saturated`, `rounding`; at λ = 0 `rank`; `kept`, the targets' numbers, where some
    /// were left out.
    ///
    /// # Errors
    /// [`Error::Missing`] without targets; [`Error::NothingVaries`] if all were left out;
    /// the errors of the decomposition.
    pub fn compute(self, prepared: &Prepared<'_>, context: &Context<'_>) -> Result<Outcome> {
        let Held::Targets(_) = &prepared.stats.held else {
            return Err(Error::Missing { what: "targets" });
        };
        let n = prepared.stats.n_samples as f64;
        let t = n * self.ridge;
        let fits =
            if t > 0.0 { prepared.ridge(t, context)? } else { prepared.least_squares(context)? };
        let counted = if self.penalty { t } else { 0.0 };
        let errors = fits.targets.iter().map(|fit| (fit.error + counted * fit.weight) / n);
        let errors = errors.map(|error| if error > 0.0 { -error } else { 0.0 }).gathered(ERRORS)?;
        let squares = CentredTargets::new(prepared.stats)?.square;
        let scored = |k: &usize| !self.skip_constant || squares[*k] > 0.0;
        let kept = (0..squares.len()).filter(scored).gathered(ERRORS)?;
        if kept.is_empty() {
            return Err(Error::NothingVaries);
        }
        let per_target = kept.iter().map(|k| errors[*k]).gathered(ERRORS)?;
        let divisor = if self.sum { 1.0 } else { kept.len() as f64 };
        let value = per_target.iter().sum::<f64>() / divisor;
        let rounding = kept.iter().map(|k| fits.targets[*k].rounding).sum::<f64>() / n / divisor;

        let mut warnings = Vec::new();
        if fits.rank == Some(0) {
            warnings.push("every feature is the same in all rows: the fit is the mean".into());
        } else if fits.saturated {
            warnings.push(
                "the fit is saturated: the features have a direction for every sample, which \
                 reproduces any target; use ridge > 0, or more samples than features"
                    .into(),
            );
        }
        let mut details = vec![
            ("saturated", Detail::Flag(fits.saturated)),
            ("rounding", Detail::Number(rounding)),
        ];
        details.extend(fits.rank.map(|rank| ("rank", Detail::Count(rank))));
        if kept.len() < errors.len() {
            warnings.push(super::targets_left_out(errors.len() - kept.len(), errors.len()));
            details.push(("kept", Detail::Counts(kept)));
        }
        let digits = Digits::of(prepared, rounding, value);
        warnings.extend(digits.warning());
        let exact = digits.exact;
        Ok(Outcome { details, warnings, exact, ..Outcome::new(value, per_target) })
    }
}
