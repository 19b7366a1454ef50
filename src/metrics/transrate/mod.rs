//! TransRate: the mutual information of features and labels, by coding rates.
//!
//!   TrR = (R(F) − Σ_c v_c R(F_c)) / r,   R(Z) = ½ ln det(I + ZᵀZ/(n eps τ)),
//!
//! for the rows F (N, D) about their mean, the rows F_c (`n_c`, D) of class c *about that same mean*,
//! n the rows of Z, and eps the distortion. Nats; higher is better.
//!
//! Source: Huang, Huang, Rong, Yang, Wei, "Frustratingly Easy Transferability Estimation", ICML 2022,
//! eq. (2) and (3). Three versions are in circulation, and their values do not compare:
//!
//! | variant | rows | v_c | τ | r | as in |
//! |---|---|---|---|---|---|
//! | paper | as they are | 1/C | 1 | 1 | the paper's listing, tllib |
//! | trace | as they are | `n_c`/N | ‖F‖² | 1 | the torch re-implementation of secret-hammer |
//! | official | divided by their norms | `n_c`/N | 1 | rank F | the authors' repository |
//!
//! Departures: C counts the classes that occur (an absent one divides by zero elsewhere), all is
//! computed in float64, and a row at the mean stays zero where "official" elsewhere divides by zero.
//! The rank counts eigenvalues of FᵀF above D machine epsilons of the largest.
//!
//! Cost: min(N, D)³/3, and per class `n_c` D min(`n_c`, D) + min(`n_c`, D)³/3; "official" goes through
//! the rows once more. Memory: C·D² numbers for classes of more rows than features, otherwise N·D.

mod official;

use crate::covariance::{Centre, ClassRates, Recentred};
use crate::error::{Error, Result};
use crate::linalg::memory::Gather;
use crate::stats::{Held, Stats};
use crate::threads::Context;

use super::{Detail, Inputs, Metric, Needs, OptionReader, Outcome};

const NAME: &str = "transrate";

const RATES: &str = "the rates of the classes";

pub(super) const METRIC: Metric = Metric {
    name: NAME,
    title: "TransRate",
    summary: "coding rate of all features minus the mean coding rate within classes",
    needs: &[Needs::Stats, Needs::ClassScatters],
    tasks: &["classification"],
    decomposes: true,
    cost: "N D min(N, D) + C min(N/C, D)^3, memory C D^2",
    source: "Huang et al., ICML 2022",
    compute: score,
};

/// The version of the table above.
#[derive(Clone, Copy)]
enum Variant {
    Paper,
    Trace,
    Official,
}

impl Variant {
    const NAMES: [(&str, Self); 3] =
        [("paper", Self::Paper), ("official", Self::Official), ("trace", Self::Trace)];
}

/// The statistics, the point that rates are taken about, and the weights of the classes.
struct Terms<'a> {
    stats: &'a Stats,
    /// s − point, for the shift s of the statistics.
    to_shift: Vec<f64>,
    /// Whether v is 1/C, and not `n_c`/N.
    plain_mean: bool,
    eps_tau: f64,
}

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    let (variant, eps) = options.read(|given| {
        let variant = given.choice("variant", &Variant::NAMES)?.unwrap_or(Variant::Paper);
        Ok((variant, given.number("eps", 1e-30..=1e30)?.unwrap_or(1e-4)))
    })?;
    let stats = inputs.prepared()?.stats;
    match variant {
        Variant::Paper => {
            let to_shift = Centre::Mean.to_shift(stats)?;
            Terms { stats, to_shift, plain_mean: true, eps_tau: eps }.outcome(1, context)
        }
        Variant::Trace => {
            let recentred = Recentred { stats, to_shift: Centre::Mean.to_shift(stats)? };
            let square = recentred.square();
            let tau = if square > 0.0 { square } else { 1.0 };
            let (to_shift, eps_tau) = (recentred.to_shift, eps * tau);
            Terms { stats, to_shift, plain_mean: false, eps_tau }.outcome(1, context)
        }
        Variant::Official => {
            let stats = official::unit_rows(inputs, stats, context)?;
            let about_zero = Recentred { stats: &stats, to_shift: Centre::Zero.to_shift(&stats)? };
            let rank = official::rank(&about_zero, context)?;
            let to_shift = about_zero.to_shift;
            let terms = Terms { stats: &stats, to_shift, plain_mean: false, eps_tau: eps };
            let mut outcome = terms.outcome(rank.max(1), context)?;
            outcome.details.push(("rank", Detail::Number(rank as f64)));
            Ok(outcome)
        }
    }
}

impl Terms<'_> {
    fn outcome(&self, divisor: usize, context: &Context<'_>) -> Result<Outcome> {
        let stats = self.stats;
        let Held::Labels(labels) = &stats.held else {
            return Err(Error::Missing { what: "statistics of every class" });
        };
        let rates = ClassRates::new(stats, &self.to_shift, self.eps_tau, context)?;
        let (n, n_classes, total) = (stats.n_samples() as f64, rates.classes.len(), rates.total);
        let counts = labels.sorted_counts()?;
        let share = |count: &f64| if self.plain_mean { 1.0 / n_classes as f64 } else { count / n };
        let weights = counts.iter().map(share).gathered(RATES)?;
        let divisor = divisor as f64;
        let rounding = rates.rounding(&weights) / divisor;
        let value = rates.difference(&weights) / divisor;
        let mut warnings = Vec::new();
        if n_classes == 1 {
            warnings.push(
                "labels hold a single class: the score is 0, and says nothing about separating \
                 classes"
                    .to_owned(),
            );
        } else if total.value == 0.0 {
            warnings.push(
                "the features are the same in all rows, or tiny beside eps: the score is 0"
                    .to_owned(),
            );
        }
        let lone = labels.counts.iter().filter(|count| **count == 1).count();
        if lone > 0 && n_classes > 1 {
            warnings.push(format!(
                "{lone} of {n_classes} classes have a single row, whose rate says how far it is \
                 from the mean and nothing of how the class spreads; give at least two rows a class"
            ));
        }
        if rounding > 1e-6 * value.abs().max(1.0) {
            warnings.push(format!(
                "rounding may change the score by about {rounding:.0e}: features are large beside \
                 the distortion eps, and some directions are resolved to a few digits only; scale \
                 the features down, raise eps or use precision=\"double\""
            ));
        }
        let per_target = rates.classes.iter().map(|rate| rate.value / divisor).gathered(RATES)?;
        let details = vec![
            ("rate", Detail::Number(total.value / divisor)),
            ("weights", Detail::Numbers(weights)),
            ("rounding", Detail::Number(rounding)),
        ];
        Ok(Outcome { details, warnings, ..Outcome::new(value, per_target) })
    }
}
