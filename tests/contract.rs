//! What every metric of the table promises about its inputs: weights count repeated rows or are refused,
//! samples and responses that do not belong to the statistics are errors, and an interruption is felt and
//! leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::cast_possible_wrap)] // small numbers, known-good calls

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ndarray::{Array2, Axis};
use transferability::decomp::Prepared;
use transferability::error::{Error, Result};
use transferability::input::{Block, Response, Rows};
use transferability::metrics::{Detail, Inputs, METRICS, Needs, OptionValue, Options, compute};
use transferability::stats::{Precision, Stats};
use transferability::threads::Context;

fn number(i: usize, j: usize) -> f64 {
    ((37 * i * i + 13 * i * j + 7 * j) as f64 * 0.618).sin()
}

/// Features of classes, with two views of the labels.
struct Data {
    features: Array2<f64>,
    ids: Vec<i64>,
    views: [Array2<f64>; 2],
    weights: Option<Vec<i64>>,
}

impl Data {
    fn new(n_rows: usize, n_cols: usize) -> Self {
        let ids: Vec<i64> = (0..n_rows as i64).map(|i| i * 5 % 7 % 3).collect();
        let of_class = |i: usize| if ids[i] == 1 { 5 } else { 0 };
        let views = [
            Array2::from_shape_fn((n_rows, 3), |(i, j)| number(i + 9, j + of_class(i))),
            Array2::from_shape_fn((n_rows, 3), |(i, j)| number(i + 19, j)),
        ];
        let features = Array2::from_shape_fn((n_rows, n_cols), |(i, j)| number(i, j));
        Self { features, ids, views, weights: None }
    }

    /// Every row as often as its weight says.
    fn repeated(&self, weights: &[i64]) -> Self {
        let counts = weights.iter().map(|weight| usize::try_from(*weight).unwrap());
        let rows: Vec<usize> = counts.enumerate().flat_map(|(i, count)| vec![i; count]).collect();
        let select = |rows_of: &Array2<f64>| rows_of.select(Axis(0), &rows);
        Self {
            features: select(&self.features),
            ids: rows.iter().map(|i| self.ids[*i]).collect(),
            views: [select(&self.views[0]), select(&self.views[1])],
            weights: None,
        }
    }

    fn response(&self) -> Response<'_> {
        Response::Labels { ids: &self.ids, names: None }
    }

    fn block(&self) -> Block<'_> {
        Block::new(&self.features, self.response(), self.weights.as_deref()).unwrap()
    }

    fn stats(&self) -> Stats {
        let mut stats = Stats::empty(Precision::Double).with_class_scatters();
        stats.push(&self.block(), &Context::serial()).unwrap();
        stats
    }

    /// The numbers of a metric of these samples, with these statistics and this response.
    fn numbers_with(
        &self,
        (metric, options): &(Box<str>, Options),
        stats: &Stats,
        response: Response<'_>,
    ) -> Result<Vec<f64>> {
        let prepared = Prepared::new(stats)?;
        let view = |k: usize| (k.to_string().into(), &self.views[k] as &(dyn Rows + Send));
        let (block, views): (_, Vec<(Box<str>, _)>) = (self.block(), vec![view(0), view(1)]);
        let inputs = Inputs {
            prepared: Some(&prepared),
            samples: Some(&block),
            response: Some(response.reborrow()),
            embeddings: &views,
            ..Inputs::default()
        };
        let request = [(metric.clone(), options.clone())];
        let outcome = compute(&inputs, &request, &Context::serial()).pop().unwrap()?;
        let details = outcome.details.iter().filter_map(|(name, detail)| match detail {
            Detail::Number(number) if *name != "rounding" => Some(*number),
            _ => None,
        });
        let mut numbers: Vec<f64> = details.chain(outcome.per_target.iter().copied()).collect();
        numbers.extend((!outcome.of_parts).then_some(outcome.value));
        Ok(numbers)
    }

    fn numbers(&self, request: &(Box<str>, Options)) -> Result<Vec<f64>> {
        self.numbers_with(request, &self.stats(), self.response())
    }
}

/// Every metric that reads samples of classes, in its variants that do.
fn of_samples() -> Vec<(Box<str>, Options)> {
    let text =
        |option: &str, value: &str| Options(vec![(option.into(), OptionValue::Text(value.into()))]);
    let reads = |needs: &[Needs]| needs.contains(&Needs::Samples);
    let of_table = METRICS.iter().filter(|metric| reads(metric.needs));
    let of_table = of_table.map(|metric| (metric.name.into(), Options::default()));
    of_table.chain([("transrate".into(), text("variant", "official"))]).collect()
}

/// More rows than columns, and fewer.
const SHAPES: [(usize, usize); 2] = [(12, 40), (40, 6)];

#[test]
fn weights_count_repeated_rows_or_are_refused() {
    let mut refused = Vec::new();
    for (n_rows, n_cols) in SHAPES {
        let data = Data::new(n_rows, n_cols);
        let weights: Vec<i64> = (0..n_rows).map(|i| [1, 2, 0, 1, 3][i % 5]).collect();
        let repeated = data.repeated(&weights);
        let weighted = Data { weights: Some(weights), ..Data::new(n_rows, n_cols) };
        for request in of_samples() {
            let name = &request.0;
            match weighted.numbers(&request) {
                Ok(found) => {
                    let expected = repeated.numbers(&request).unwrap();
                    assert_eq!(found.len(), expected.len(), "{name}");
                    for (found, expected) in found.iter().zip(&expected) {
                        let error = (found - expected).abs();
                        assert!(error <= 1e-10 * expected.abs().max(1.0), "{name}: {error:e}");
                    }
                }
                Err(Error::Metric { metric, problem }) => {
                    assert_eq!(metric, &**name);
                    assert!(problem.contains("sample_weight[1] is 2"), "{problem}");
                    refused.push(metric);
                }
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
    refused.sort_unstable();
    refused.dedup();
    assert_eq!(refused, ["emms", "energy", "knn", "ncti", "parc"]);
}

#[test]
fn weights_of_one_change_nothing() {
    for (n_rows, n_cols) in SHAPES {
        let data = Data::new(n_rows, n_cols);
        let weighted = Data { weights: Some(vec![1; n_rows]), ..Data::new(n_rows, n_cols) };
        for request in of_samples() {
            let (found, expected) = (weighted.numbers(&request), data.numbers(&request));
            assert_eq!(found.unwrap(), expected.unwrap(), "{}", request.0);
        }
    }
}

#[test]
fn samples_that_the_statistics_were_not_made_of_are_refused() {
    for (n_rows, n_cols) in SHAPES {
        let stats = Data::new(n_rows, n_cols).stats();
        for request in of_samples() {
            let needs = METRICS.iter().find(|metric| metric.name == &*request.0).unwrap().needs;
            if needs == [Needs::Samples] {
                continue; // no statistics are read
            }
            for (rows, cols) in [(n_rows - 2, n_cols), (n_rows, n_cols - 2), (n_rows, n_cols + 2)] {
                let other = Data::new(rows, cols);
                let error = other.numbers_with(&request, &stats, other.response()).unwrap_err();
                let named = match error {
                    Error::OtherSamples { actual, expected } => {
                        (actual, expected) == (rows as u64, n_rows as u64)
                    }
                    Error::Shape { name: "features", axis: "columns", actual, expected } => {
                        (actual, expected) == (cols, n_cols)
                    }
                    _ => false,
                };
                assert!(named, "{}: {error}", request.0);
            }
        }
    }
}

#[test]
fn a_response_of_another_number_of_rows_is_refused() {
    let data = Data::new(40, 6);
    let stats = data.stats();
    let ids = &data.ids[..38];
    for request in
        of_samples().into_iter().filter(|(name, _)| !matches!(&**name, "emms" | "energy"))
    {
        let short = Response::Labels { ids, names: None };
        let found = data.numbers_with(&request, &stats, short);
        if &*request.0 == "transrate" {
            found.unwrap(); // reads that of the samples
            continue;
        }
        let (name, axis) = ("labels", "rows");
        let expected = Error::Shape { name, axis, actual: 38, expected: 40 };
        assert_eq!(found.unwrap_err(), expected, "{}", request.0);
    }
}

#[test]
fn metrics_of_samples_alone_refuse_none() {
    let features = Array2::<f64>::zeros((0, 3));
    let nothing = Response::Labels { ids: &[], names: None };
    let block = Block::new(&features, nothing, None).unwrap();
    let inputs = Inputs { samples: Some(&block), response: Some(nothing), ..Inputs::default() };
    for metric in METRICS.iter().filter(|metric| metric.needs == [Needs::Samples]) {
        let request = [(metric.name.into(), Options::default())];
        let found = compute(&inputs, &request, &Context::serial()).pop().unwrap();
        let expected = Error::Empty { name: "features", axis: "rows" };
        assert_eq!(found.unwrap_err(), expected, "{}", metric.name);
    }
}

#[test]
fn targets_that_are_zero_with_both_signs_are_constant() {
    let features = Array2::from_shape_fn((20, 3), |(i, j)| number(i, j));
    let targets = Array2::from_shape_fn((20, 1), |(i, _)| if i % 2 == 0 { 0.0 } else { -0.0 });
    let response = Response::Targets(targets.view());
    let block = Block::new(&features, response, None).unwrap();
    let inputs = Inputs { samples: Some(&block), response: Some(response), ..Inputs::default() };
    let request = [("knn".into(), Options::default())];
    let error = compute(&inputs, &request, &Context::serial()).pop().unwrap().unwrap_err();
    assert!(error.to_string().starts_with("knn: target column 0 is constant"), "{error}");
}

/// Targets of more columns than features, which statistics hold no products of.
fn many_targets(n_rows: usize) -> (Array2<f64>, Array2<f64>) {
    let features = Array2::from_shape_fn((n_rows, 2), |(i, j)| number(i, j));
    (features, Array2::from_shape_fn((n_rows, 3), |(i, j)| number(i, j + 3)))
}

#[test]
fn the_alignment_with_many_targets_can_be_interrupted_between_panels_of_rows() {
    let polls = |n_rows: usize| {
        let (features, targets) = many_targets(n_rows);
        let response = Response::Targets(targets.view());
        let block = Block::new(&features, response, None).unwrap();
        let mut stats = Stats::empty(Precision::Double);
        stats.push(&block, &Context::serial()).unwrap();
        let prepared = Prepared::new(&stats).unwrap();
        let inputs =
            Inputs { prepared: Some(&prepared), response: Some(response), ..Inputs::default() };
        let polls = AtomicUsize::new(0);
        let poll = || polls.fetch_add(1, Relaxed) == usize::MAX;
        let request = [("cka".into(), Options::default())];
        compute(&inputs, &request, &Context::new(None, &poll)).pop().unwrap().unwrap();
        polls.load(Relaxed)
    };
    assert_eq!(polls(5 * 1024) - polls(1024), 4);
}

#[test]
fn what_was_interrupted_can_be_asked_for_again() {
    let data = Data::new(40, 6);
    let stats = data.stats();
    let prepared = Prepared::new(&stats).unwrap();
    let inputs = Inputs { prepared: Some(&prepared), ..Inputs::default() };
    for metric in ["logme", "h_score"] {
        let request = [(metric.into(), Options::default())];
        let compute = |context: &Context<'_>| compute(&inputs, &request, context).pop().unwrap();
        let stopped = compute(&Context::new(None, &|| true));
        assert_eq!(stopped.unwrap_err(), Error::Interrupted, "{metric}");
        assert!(compute(&Context::serial()).unwrap().value > -1.0);
    }
}
