//! The input layer: rows of any numbers, their responses and weights, in any split (`law.rs`).

use std::sync::Arc;

use half::f16;
use ndarray::{Array2, Axis, ShapeBuilder, s};
use transferability::covariance::class_covariances_of;
use transferability::error::{Error, Kind};
use transferability::input::{Block, Response, Rows};
use transferability::stats::{Precision, Stats};
use transferability::threads::Context;

use super::Outcome;
use super::draw::Draw;
use super::law::{check_honest, check_merge};
use super::uses::{Beside, finite, named, use_stats};

const MOST_ROWS: usize = 24;

const EXTREME: [f64; 20] = [
    0.0,
    1.0,
    -1.0,
    1e-160,
    1e-140,
    1e-110,
    -1e-110,
    1e-30,
    1e30,
    1e75,
    1e100,
    1e110,
    -1e110,
    1e149,
    1e150,
    1e151,
    1e308,
    5e-324,
    f64::NAN,
    f64::INFINITY,
];
const SCALES: [f64; 8] = [1.0, 1.0, 1.0, 1e-3, 1e-9, 1e6, 1e50, 1e-50];
const IDS: [i64; 12] = [0, 1, 2, 0, 1, 2, 3, -1, 1 << 53, (1 << 53) + 1, i64::MIN, i64::MAX];

/// Which numbers an array holds.
#[derive(Clone, Copy)]
enum Style {
    Small,
    Extreme,
    AnyBits,
    /// Nearly constant, far from zero.
    Offset,
    /// Rows that repeat.
    Repeats,
    Constant,
}

fn numbers(draw: &mut Draw<'_>, (n, k): (usize, usize)) -> Array2<f64> {
    let style = draw.pick(&[
        Style::Small,
        Style::Small,
        Style::Small,
        Style::Extreme,
        Style::AnyBits,
        Style::Offset,
        Style::Repeats,
        Style::Constant,
    ]);
    let scales: Vec<f64> = match style {
        Style::Small | Style::Offset => (0..k).map(|_| draw.pick(&SCALES)).collect(),
        _ => vec![1.0; k],
    };
    let distinct = 1 + draw.below(3);
    let mut values = Array2::zeros((n, k));
    for i in 0..n {
        for j in 0..k {
            values[(i, j)] = match style {
                Style::Small => scales[j] * draw.small(),
                Style::Extreme => draw.pick(&EXTREME),
                Style::AnyBits => f64::from_bits(draw.u64()),
                Style::Offset => scales[j] * (1e6 + 1e-6 * draw.small()),
                Style::Repeats if i >= distinct => values[(i % distinct, j)],
                Style::Constant if i > 0 => values[(0, j)],
                Style::Repeats | Style::Constant => draw.small(),
            };
        }
    }
    values
}

/// The array in one of the formats and orders that arrays have.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // other numbers are as good
fn stored(draw: &mut Draw<'_>, values: Array2<f64>) -> Box<dyn Rows + Send> {
    match draw.below(9) {
        0 => Box::new(values.mapv(|x| x as f32)),
        1 => Box::new(values.mapv(f16::from_f64)),
        2 => Box::new(values.mapv(|x| x as i64)),
        3 => Box::new(values.mapv(|x| x as u8)),
        4 => Box::new(values.mapv(|x| x > 0.0)),
        5 => {
            let mut columns = Array2::zeros(values.dim().f());
            columns.assign(&values);
            Box::new(columns)
        }
        _ => Box::new(values),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Ids,
    Names,
    Targets,
    Nothing,
}

/// One input, typed.
pub struct Given {
    /// The features.
    pub features: Box<dyn Rows + Send>,
    answer: Answer,
    ids: Vec<i64>,
    names: [Arc<str>; 4],
    /// Real targets, (N, K).
    pub targets: Array2<f64>,
    /// How often each row counts.
    pub weights: Option<Vec<i64>>,
    /// Of the products of the features.
    pub precision: Precision,
    classes: bool,
    /// Where the rows are cut.
    cuts: [usize; 2],
    source: Box<dyn Rows + Send>,
    views: [Array2<f64>; 2],
    source_labels: Vec<i64>,
}

impl Given {
    fn draw(draw: &mut Draw<'_>) -> Self {
        let (n, d) = (draw.below(MOST_ROWS + 1), 1 + draw.below(7));
        let answer = draw.pick(&[Answer::Ids, Answer::Names, Answer::Targets, Answer::Nothing]);
        let precision = draw.pick(&[Precision::Double, Precision::Double, Precision::Single]);
        let classes = draw.below(3) == 0;
        let mut cuts = [draw.below(n + 1), draw.below(n + 1)];
        cuts.sort_unstable();
        let weights = match draw.below(8) {
            0..=3 => None,
            7 => Some((0..n).map(|_| draw.pick(&[1, 0, -1, 1 << 40, 1 << 52, i64::MAX])).collect()),
            _ => Some((0..n).map(|_| draw.pick(&[1, 1, 2, 3, 0])).collect()),
        };
        let n_ids = 1 + draw.below(IDS.len());
        let ids = (0..n).map(|_| draw.pick(&IDS[..n_ids])).collect();
        let n_targets = 1 + draw.below(4);
        let targets = numbers(draw, (n, n_targets));
        let features = numbers(draw, (n, d));
        let features = stored(draw, features);
        let n_source = 1 + draw.below(4);
        let probs = Array2::from_shape_simple_fn((n, n_source), || f64::from(draw.byte()) + 1.0);
        let sums = probs.sum_axis(Axis(1)).insert_axis(Axis(1));
        let probs = if draw.below(8) == 0 { numbers(draw, (n, n_source)) } else { probs / sums };
        let source = stored(&mut Draw::new(&[8]), probs);
        let source_labels = (0..n).map(|_| draw.pick(&[0, 1, 2, 0, 1, 2, -1, i64::MAX])).collect();
        let views = [numbers(draw, (n, 2)), numbers(draw, (n, 3))];
        let names: [Arc<str>; 4] = ["ant", "bee", "cat", ""].map(Arc::from);
        Self {
            features,
            answer,
            ids,
            names,
            targets,
            weights,
            precision,
            classes,
            cuts,
            source,
            views,
            source_labels,
        }
    }

    /// N.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.ids.len()
    }

    fn response(&self, range: std::ops::Range<usize>) -> Response<'_> {
        match self.answer {
            Answer::Ids => Response::Labels { ids: &self.ids[range], names: None },
            Answer::Names => Response::Labels { ids: &self.ids[range], names: Some(&self.names) },
            Answer::Targets => Response::Targets(self.targets.slice(s![range, ..])),
            Answer::Nothing => Response::Nothing(range.len()),
        }
    }

    fn empty(&self) -> Stats {
        let empty = Stats::empty(self.precision);
        if self.classes { empty.with_class_scatters() } else { empty }
    }

    /// Adds some of the rows. On an error nothing may have changed.
    fn push(&self, stats: &mut Stats, range: std::ops::Range<usize>) -> Result<(), Error> {
        let rows = Part { rows: &*self.features, start: range.start, n: range.len() };
        let weights = self.weights.as_ref().map(|weights| &weights[range.clone()]);
        let block = Block::new(&rows, self.response(range), weights)?;
        let before = stats.digest().expect("fits");
        let result = stats.push(&block, &Context::serial());
        if result.is_err() {
            assert!(
                stats.digest().expect("fits") == before,
                "a failed update changed the statistics"
            );
        }
        result
    }
}

/// Some rows of an array.
struct Part<'a> {
    rows: &'a dyn Rows,
    start: usize,
    n: usize,
}

impl Rows for Part<'_> {
    fn n_rows(&self) -> usize {
        self.n
    }

    fn n_cols(&self) -> usize {
        self.rows.n_cols()
    }

    fn read_row(&self, i: usize, out: &mut [f64]) {
        self.rows.read_row(self.start + i, out);
    }

    fn epsilon(&self) -> f64 {
        self.rows.epsilon()
    }
}

fn named_view(view: &Array2<f64>) -> (Box<str>, &(dyn Rows + Send)) {
    ("view".into(), view)
}

/// Runs one input.
///
/// # Panics
/// Where a promise is broken.
#[must_use]
pub fn run(data: &[u8]) -> Outcome {
    let given = Given::draw(&mut Draw::new(data));
    let n = given.n_rows();
    let mut whole = given.empty();
    let result = given.push(&mut whole, 0..n);
    let merged = parts(&given, result.as_ref().err());
    if named("update", result).is_none() || whole.n_samples() == 0 {
        return Outcome::Refused;
    }
    let block = Block::new(&*given.features, given.response(0..n), given.weights.as_deref());
    let block = block.expect("it was pushed");
    let views: Vec<(Box<str>, &(dyn Rows + Send))> = given.views.iter().map(named_view).collect();
    let plain = given.weights.is_none(); // the other inputs of metrics have no weights
    let source: &dyn Rows = &*given.source;
    let beside = Beside {
        samples: plain.then_some(&block),
        response: plain.then(|| given.response(0..n)),
        source_probs: plain.then_some(source),
        source_labels: plain.then_some(given.source_labels.as_slice()),
        embeddings: if plain { views.as_slice() } else { &[] },
    };
    check_honest(&whole);
    use_stats(&whole, beside, data);
    for per_class in [false, true] {
        let response = given.response(0..n);
        let of_rows =
            class_covariances_of(&*given.features, response, per_class, &Context::serial());
        if let Some(found) = named("class covariances of rows", of_rows) {
            finite("class covariances of rows", found.within.iter().chain(&found.between));
        }
    }
    if let Some(merged) = merged {
        check_honest(&merged);
        check_merge(&given, whole, merged);
    }
    Outcome::Used
}

/// The statistics of the parts, the last one first; `whole` is the error of all rows together.
fn parts(given: &Given, whole: Option<&Error>) -> Option<Stats> {
    let [a, b] = given.cuts;
    let mut total = given.empty();
    let mut failed = false;
    for range in [b..given.n_rows(), a..b, 0..a] {
        let mut part = given.empty();
        if let Err(error) = given.push(&mut part, range.clone()) {
            // A part may be too small for its squares, where all rows are not.
            let explained = whole.is_some() || matches!(error, Error::OutOfRange { .. });
            assert!(explained, "rows {range:?} alone are refused: {error}");
            failed = true;
        } else if let Err(error) = total.merge(part, &Context::serial()) {
            let explained = matches!(error, Error::TooManySamples | Error::OutOfRange { .. });
            assert!(explained || whole.is_some(), "a merge is refused: {error}");
            failed = true;
        }
    }
    if let Some(error) = whole {
        let of_all = matches!(error, Error::OutOfRange { .. } | Error::TooManySamples);
        assert!(
            failed || of_all || error.kind() != Kind::Data,
            "all rows alone are refused: {error}"
        );
    }
    (!failed && whole.is_none()).then_some(total)
}
