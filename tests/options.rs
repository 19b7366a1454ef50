//! Every option of every metric is of one kind, in a range, and an error elsewhere.
//!
//! The names of the options come from the errors of the metrics themselves.

#![allow(clippy::unwrap_used)] // known-good calls

use transferability::error::Error;
use transferability::metrics::{Inputs, METRICS, OptionValue, Options, compute};
use transferability::threads::Context;

/// The error of a metric with one option and no input: of the option, if it is wrong.
fn error(metric: &str, option: &str, value: OptionValue) -> Error {
    let options = Options(vec![(option.into(), value)]);
    let request = [(metric.into(), options)];
    let mut results = compute(&Inputs::default(), &request, &Context::serial());
    results.pop().unwrap().unwrap_err()
}

fn options_of(metric: &str) -> Vec<String> {
    let unknown = error(metric, "no_such_option", OptionValue::Flag(true));
    let Error::UnknownOption { metric: name, option, known } = &unknown else {
        panic!("{metric} took an option that no metric has: {unknown}");
    };
    assert_eq!((*name, &**option), (metric, "no_such_option"));
    assert!(unknown.to_string().contains(metric), "{unknown}");
    known.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn is_refused(metric: &str, option: &str, value: &OptionValue) -> bool {
    let error = error(metric, option, value.clone());
    let refused = matches!(error, Error::BadOption { .. });
    if refused {
        let text = error.to_string();
        for part in [metric, option, &value.to_string(), "; give "] {
            assert!(text.contains(part), "{text:?} does not state {part:?}");
        }
    } else {
        assert!(matches!(error, Error::Missing { .. }), "{metric}, {option}: {error}");
    }
    refused
}

#[test]
fn values_of_a_wrong_type_or_outside_the_range_are_errors() {
    let mut n_options = 0;
    for metric in METRICS {
        for option in options_of(metric.name) {
            n_options += 1;
            let refused = |value: OptionValue| is_refused(metric.name, &option, &value);
            for value in [
                OptionValue::Number(f64::NAN),
                OptionValue::Number(f64::INFINITY),
                OptionValue::Number(-1.0),
                OptionValue::Text("no such choice".into()),
                OptionValue::Text("0.5".into()),
                OptionValue::Numbers(vec![]),
                OptionValue::Numbers(vec![1.0, -1.0]),
            ] {
                assert!(refused(value.clone()), "{}: {option} took {value}", metric.name);
            }
            let kinds = [
                !refused(OptionValue::Flag(true)),
                !refused(OptionValue::Number(0.5)) || !refused(OptionValue::Number(7.0)),
                !refused(OptionValue::Numbers(vec![0.5, 7.0])),
            ];
            let n_kinds = kinds.iter().filter(|taken| **taken).count();
            assert!(n_kinds <= 1, "{}: {option} takes several kinds of values", metric.name);
        }
    }
    assert!(n_options >= 20, "{n_options} options were found");
}

#[test]
fn counts_are_whole() {
    for (metric, option) in [("knn", "k"), ("parc", "seed"), ("ncti", "n_components")] {
        assert!(is_refused(metric, option, &OptionValue::Number(3.5)));
        assert!(is_refused(metric, option, &OptionValue::Number(1e300)));
        assert!(!is_refused(metric, option, &OptionValue::Number(3.0)));
    }
}

#[test]
fn options_with_several_kinds_take_each() {
    for value in [OptionValue::Text("oas".into()), OptionValue::Number(0.5)] {
        assert!(!is_refused("h_score", "shrinkage", &value));
    }
    assert!(is_refused("h_score", "shrinkage", &OptionValue::Number(1.5)));
}
