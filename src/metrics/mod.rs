//! The metrics, one file each, and the one table that says what each needs.
//!
//! A metric is a function of [`Prepared`] statistics; metrics asked for together share their
//! decompositions. To add one: its file, its row in [`METRICS`], its tests, its docs.

pub mod logme;

use std::fmt;

use ndarray::Array2;

use crate::decomp::Prepared;
use crate::error::{Error, Result};
use crate::threads::Context;

/// What a metric reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// One pass over the samples, kept as [`crate::stats::Stats`].
    Stats,
}

/// A row of the table.
pub struct Metric {
    /// The name in `score(metrics=…)` and on the command line.
    pub name: &'static str,
    /// The name in tables for people.
    pub title: &'static str,
    /// What it measures, in one sentence.
    pub summary: &'static str,
    /// What it reads.
    pub needs: Needs,
    /// Tasks it is defined for.
    pub tasks: &'static [&'static str],
    /// Time, for N samples, D features, C targets.
    pub cost: &'static str,
    /// Where it was published.
    pub source: &'static str,
    /// Computes it.
    pub compute: fn(&Prepared<'_>, &Options, &Context<'_>) -> Result<Outcome>,
}

/// Every metric.
pub static METRICS: &[Metric] = &[logme::METRIC];

/// The value of an option of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    /// On or off.
    Flag(bool),
}

/// Options by name.
#[derive(Debug, Clone, Default)]
pub struct Options(pub Vec<(Box<str>, OptionValue)>);

impl Options {
    /// Refuses options that a metric does not have.
    pub(crate) fn check(&self, metric: &'static str, known: &[&str]) -> Result<()> {
        match self.0.iter().find(|(name, _)| !known.contains(&&**name)) {
            Some((option, _)) => Err(Error::BadOption { metric, option: option.clone() }),
            None => Ok(()),
        }
    }

    /// An option that is on or off; off if absent.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|(n, value)| &**n == name && *value == OptionValue::Flag(true))
    }
}

/// What a metric returns.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The score; higher is better.
    pub value: f64,
    /// Its parts, one a class (sorted) or target column.
    pub per_target: Vec<f64>,
    /// What else matters for this metric, by name.
    pub details: Vec<(&'static str, Detail)>,
    /// What the user should know before trusting the value.
    pub warnings: Vec<Warning>,
    /// Whether one-pass statistics carried enough digits; if not, decomposing the samples
    /// themselves gives more.
    pub exact: bool,
}

/// A detail of an outcome.
#[derive(Debug, Clone)]
pub enum Detail {
    /// One number a target.
    Numbers(Vec<f64>),
    /// One count a target.
    Counts(Vec<usize>),
    /// One answer a target.
    Flags(Vec<bool>),
    /// One row a target.
    Matrix(Array2<f64>),
}

/// What the user should know before trusting a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// All labels are equal.
    SingleClass,
    /// The features reproduce targets to rounding with fewer directions than samples.
    Unbounded {
        /// How many targets.
        n_targets: usize,
    },
    /// As many independent directions as samples: every target can be reproduced.
    Interpolates {
        /// How many targets.
        n_targets: usize,
    },
    /// Targets that do not vary were left out.
    LeftOut {
        /// How many targets.
        n_targets: usize,
    },
    /// One-pass statistics resolve the evidence to less than six digits.
    LostDigits {
        /// How many targets.
        n_targets: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SingleClass => write!(
                f,
                "labels hold a single class: the score is defined, but says nothing about \
                 separating classes"
            ),
            Self::Unbounded { n_targets } => write!(
                f,
                "the features reproduce {n_targets} target(s) to within rounding, with fewer \
                 directions than samples: the evidence is unbounded and the score is inf (repeated \
                 rows with equal labels can do this: drop them)"
            ),
            Self::Interpolates { n_targets } => write!(
                f,
                "the features have a direction for every sample and {n_targets} target(s) are best \
                 explained without noise: the score is the limit of zero noise; use more samples"
            ),
            Self::LeftOut { n_targets } => {
                write!(f, "{n_targets} target(s) are the same in all rows and were left out")
            }
            Self::LostDigits { n_targets } => write!(
                f,
                "{n_targets} target(s) depend on directions or residuals that are resolved to a few \
                 digits only (by method=\"svd\" to more than by one-pass statistics)"
            ),
        }
    }
}

/// Computes several metrics that share their decompositions; each answers for itself.
pub fn compute(
    prepared: &Prepared<'_>,
    requests: &[(Box<str>, Options)],
    context: &Context<'_>,
) -> Vec<Result<Outcome>> {
    let one = |(name, options): &(Box<str>, Options)| {
        let Some(metric) = METRICS.iter().find(|metric| metric.name == &**name) else {
            let known: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
            return Err(Error::UnknownMetric {
                name: name.clone(),
                known: known.join(", ").into(),
            });
        };
        (metric.compute)(prepared, options, context)
    };
    requests.iter().map(one).collect()
}
