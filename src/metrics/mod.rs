//! The metrics, one file each, and their table.
//!
//! A metric is a function of its [`Inputs`] and options (`contract.rs`, `options.rs`). Metrics that
//! are computed together share their decompositions. To add one: its file, its `mod` line and its
//! row in [`METRICS`]; CONTRIBUTING.md has the other steps.

mod centred;
mod cka;
mod contract;
mod digits;
mod discriminant;
mod emms;
mod energy;
mod gbc;
pub mod h_score;
mod knn;
mod lda;
mod leep;
mod left_out;
mod leverage;
mod lfc;
pub mod lin_mse;
pub mod logme;
mod nce;
mod ncti;
mod options;
mod parc;
mod ridge_probe;
mod screen;
mod sfda;
mod source_terms;
mod transrate;

pub use contract::{Detail, Inputs, Metric, Needs, Outcome};
pub use options::{OptionReader, OptionValue, Options};

use crate::error::{Error, Result};
use crate::input::check_addressable;
use crate::linalg::lapack::check_order;
use crate::threads::Context;

use digits::Digits;

/// Every metric.
pub static METRICS: &[Metric] = &[
    logme::METRIC,
    h_score::METRIC,
    h_score::REGULARIZED,
    lin_mse::METRIC,
    lin_mse::LABELS,
    lfc::METRIC,
    cka::METRIC,
    nce::METRIC,
    leep::METRIC,
    lda::METRIC,
    ridge_probe::METRIC,
    sfda::METRIC,
    emms::METRIC,
    transrate::METRIC,
    gbc::METRIC,
    knn::METRIC,
    parc::METRIC,
    energy::METRIC,
    ncti::METRIC,
];

/// The warning of metrics that are 0 for constant features.
const FLAT: &str = "every feature is the same in all rows: the score is 0";
/// The warning for labels of a single class.
const SINGLE_CLASS: &str = "labels hold a single class: the score is defined, but says nothing \
                            about separating classes";

/// The warning for targets that were left out because they do not vary.
fn targets_left_out(n_left_out: usize, n_targets: usize) -> String {
    format!("{n_left_out} of {n_targets} targets were left out: the same in all rows")
}

/// Computes several metrics, which share their decompositions; each has its own result or error.
#[must_use]
pub fn compute(
    inputs: &Inputs<'_>,
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
        let options = OptionReader::new(metric.name, options);
        let outcome = (metric.compute)(inputs, options, context)?;
        if outcome.value.is_nan() && !outcome.of_parts {
            return Err(Error::Undefined { metric: metric.name });
        }
        Ok(outcome)
    };
    requests.iter().map(one).collect()
}

/// Check that LAPACK can decompose features of this shape for one metric at least, or that one need not,
/// before a row of them is read.
///
/// # Errors
/// [`Error::Unaddressable`], [`Error::TooLarge`].
pub fn check_shape(
    requests: &[(Box<str>, Options)],
    (n_rows, n_cols): (usize, usize),
) -> Result<()> {
    let decomposes = |(name, _): &(Box<str>, Options)| {
        METRICS.iter().any(|metric| metric.name == &**name && metric.decomposes)
    };
    check_addressable((n_rows, n_cols))?;
    if !requests.is_empty() && requests.iter().all(decomposes) {
        check_order(n_rows.min(n_cols))
    } else {
        Ok(())
    }
}
