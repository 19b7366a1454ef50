//! Everything that reads statistics, on statistics from any source.
//!
//! Whatever the numbers are, there is a finite result or an error that names the problem: no panic, no
//! NaN, no memory that the size of the statistics does not explain. `logme` alone may be infinite: its
//! evidence is unbounded where features explain the targets exactly.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use transferability::covariance::{
    Centre, RateConvention, Shrinkage, class_covariances, class_means, coding_rate,
    coding_rate_reduction, covariance, shrinkage, spectrum,
};
use transferability::decomp::Prepared;
use transferability::error::{Error, Kind, Result};
use transferability::input::{Block, Response, Rows};
use transferability::metrics::{Inputs, METRICS, OptionValue, Options, Outcome, compute};
use transferability::stats::Stats;
use transferability::threads::Context;

type Request = (Box<str>, Options);

/// Every metric without options, and then with each of its options.
struct Requests {
    plain: Vec<Request>,
    with_option: Vec<Request>,
}

impl Requests {
    fn known() -> &'static Self {
        static KNOWN: OnceLock<Requests> = OnceLock::new();
        KNOWN.get_or_init(|| {
            let names = || METRICS.iter().map(|metric| metric.name);
            let plain = names().map(|name| (name.into(), Options::default())).collect();
            Self { plain, with_option: names().flat_map(with_each_option).collect() }
        })
    }
}

/// The error of a metric with one option, without inputs.
fn error_of(metric: &str, option: &str, value: OptionValue) -> Option<Error> {
    let request = [(metric.into(), Options(vec![(option.into(), value)]))];
    compute(&Inputs::default(), &request, &Context::serial()).pop()?.err()
}

/// A metric with each of its options, at values that it takes. Names and choices come from its errors.
fn with_each_option(metric: &'static str) -> Vec<Request> {
    let unknown = error_of(metric, "no such option", OptionValue::Flag(true));
    let Some(Error::UnknownOption { known, .. }) = unknown else { return Vec::new() };
    let mut requests = Vec::new();
    for option in known.split(", ").filter(|option| !option.is_empty()) {
        let refused = error_of(metric, option, OptionValue::Text("no such choice".into()));
        let expected = match refused {
            Some(Error::BadOption { expected, .. }) => expected,
            _ => "".into(),
        };
        let choices = expected.split('"').skip(1).step_by(2);
        let mut values: Vec<OptionValue> =
            choices.map(|name| OptionValue::Text(name.into())).collect();
        values.extend([OptionValue::Flag(true), OptionValue::Numbers(vec![1e-3, 1.0, 1e3])]);
        values.extend([0.0, 0.5, 1.0, 2.0, 3.0, 1e-12, 1e12].map(OptionValue::Number));
        for value in values {
            let bad = error_of(metric, option, value.clone());
            if !matches!(bad, Some(Error::BadOption { .. })) {
                requests.push((metric.into(), Options(vec![(option.into(), value)])));
            }
        }
    }
    requests
}

/// The result, unless it is an error that names the problem.
///
/// # Panics
/// On an error that small statistics do not explain.
pub fn named<T>(what: &str, result: Result<T>) -> Option<T> {
    match result {
        Ok(result) => Some(result),
        Err(error) => {
            let expected = matches!(error.kind(), Kind::Data | Kind::Numerical);
            assert!(expected && !error.to_string().is_empty(), "{what}: {error:?}");
            None
        }
    }
}

/// Checks that all numbers are finite.
///
/// # Panics
/// If one is not.
pub fn finite<'a>(what: &str, numbers: impl IntoIterator<Item = &'a f64>) {
    for number in numbers {
        assert!(number.is_finite(), "{what} is {number}");
    }
}

fn check_outcome(request: &Request, outcome: &Outcome) {
    let (name, Options(options)) = request;
    let fine = |value: f64| value.is_finite() || (&**name == "logme" && !value.is_nan());
    assert!(outcome.of_parts || fine(outcome.value), "{name} {options:?} is {}", outcome.value);
    for part in &outcome.per_target {
        assert!(fine(*part), "{name} {options:?}: a part is {part}");
    }
}

/// What metrics read beside statistics.
#[derive(Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The rows themselves.
    pub samples: Option<&'a Block<'a>>,
    /// Their labels or targets.
    pub response: Option<Response<'a>>,
    /// The source model's probabilities.
    pub source_probs: Option<&'a dyn Rows>,
    /// The source model's classes.
    pub source_labels: Option<&'a [i64]>,
    /// Embeddings of the labels.
    pub embeddings: &'a [(Box<str>, &'a (dyn Rows + Send))],
}

/// Does all that can be done with statistics. `entropy` chooses the options of this input.
///
/// # Panics
/// Where a promise is broken.
pub fn use_stats(stats: &Stats, beside: Beside<'_>, entropy: &[u8]) {
    let serial = Context::serial();
    score(stats, beside, entropy);
    if let Some(mean) = named("the mean", stats.mean()) {
        finite("the mean", &mean);
    }
    for centre in [Centre::Mean, Centre::Zero] {
        if let Some(values) = named("spectrum", spectrum(stats, centre, &serial)) {
            finite("spectrum", &values);
        }
        for by in [Shrinkage::None, Shrinkage::LedoitWolf, Shrinkage::Oas, Shrinkage::Fixed(0.5)] {
            if let Some(found) = named("covariance", covariance(stats, centre, by, &serial)) {
                finite("covariance", &found.matrix);
            }
            if let Some(found) = named("shrinkage", shrinkage(stats, centre, by, &serial)) {
                assert!((0.0..=1.0).contains(&found), "{by:?} shrinkage is {found}");
            }
        }
    }
    for convention in [RateConvention::TransRate, RateConvention::Mcr2] {
        for eps in [1e-4, 0.5] {
            let rate = coding_rate(stats, eps, convention, &serial);
            if let Some(rate) = named("coding rate", rate) {
                finite("coding rate", &[rate.value]);
            }
            let reduction = coding_rate_reduction(stats, eps, convention, &serial);
            if let Some(found) = named("coding rate reduction", reduction) {
                finite("coding rate reduction", &[found.total, found.difference]);
            }
        }
    }
    for per_class in [false, true] {
        let found = class_covariances(stats, per_class, &serial);
        if let Some(found) = named("class covariances", found) {
            finite("class covariances", found.within.iter().chain(&found.between));
        }
    }
    if let Some(means) = named("class means", class_means(stats)) {
        finite("class means", &means);
    }
    let order: Vec<usize> = (0..stats.n_features()).rev().collect();
    named("reordering", stats.reordered(&order));
    if let Some(targets) = named("classes as targets", stats.clone().into_targets()) {
        score(&targets, Beside::default(), entropy);
    }
    let mut twice = stats.clone();
    if named("merge", twice.merge(stats.clone(), &serial)).is_some() {
        score(&twice, Beside::default(), entropy);
    }
    if let Some(moments) = named("moments", stats.clone().into_moments(&serial)) {
        named("from moments", Stats::from_moments(moments, &Context::serial()));
    }
}

fn score(stats: &Stats, beside: Beside<'_>, entropy: &[u8]) {
    const WITH_OPTION: usize = 3; // of many, or few inputs a second would be left
    let Some(prepared) = named("statistics", Prepared::new(stats)) else { return };
    // Views do not shorten their lifetimes by themselves.
    let samples = beside.samples.map(|block| Block {
        features: block.features,
        response: block.response.reborrow(),
        weights: block.weights,
    });
    let inputs = Inputs {
        prepared: Some(&prepared),
        samples: samples.as_ref(),
        response: beside.response.as_ref().map(Response::reborrow),
        source_probs: beside.source_probs,
        source_labels: beside.source_labels,
        embeddings: beside.embeddings,
        ..Inputs::default()
    };
    let Requests { plain, with_option } = Requests::known();
    let mut hash = DefaultHasher::new();
    entropy.hash(&mut hash);
    #[allow(clippy::cast_possible_truncation)] // any place will do
    let place = hash.finish() as usize;
    let chosen =
        (0..WITH_OPTION).map(|i| &with_option[(place.wrapping_add(i * 7)) % with_option.len()]);
    let requests: Vec<Request> = plain.iter().chain(chosen).cloned().collect();
    let outcomes = compute(&inputs, &requests, &Context::serial());
    for (request, outcome) in requests.iter().zip(outcomes) {
        if let Some(outcome) = named(&request.0, outcome) {
            check_outcome(request, &outcome);
        }
    }
}
