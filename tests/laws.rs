//! Laws that hold for every input: how the rows are cut and merged, ordered, scaled or rotated
//! changes nothing.
//!
//! Tolerances: where an outcome states a larger rounding error than the tolerance, that is it (the
//! interpolating N = D + 1 with an intercept, which one-pass statistics resolve badly). Else two ways to sum the same N·D numbers differ by rounding, a few ulp of the largest
//! eigenvalue; the ratio t = α/β of random data is above 1e-4 of it, so scores agree to about
//! 1e-16/1e-4 = 1e-12. 1e-10 leaves room for the offset of 1e6 standard deviations, which costs
//! the *data* six digits of their differences when it is added.
#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, clippy::float_cmp)] // small numbers, known-good calls, equal bits

use std::sync::Arc;

use ndarray::{Array1, Array2, Axis, concatenate, s};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use transferability::decomp::Prepared;
use transferability::error::Error;
use transferability::input::{Block, Response};
use transferability::metrics::logme::LogMe;
use transferability::metrics::{Detail, Outcome};
use transferability::stats::{Precision, Stats};
use transferability::threads::Context;

const TOLERANCE: f64 = 1e-10;

/// Features that carry some signal about the labels and targets.
struct Data {
    features: Array2<f64>,
    labels: Vec<i64>,
    targets: Array2<f64>,
}

fn data(n: usize, d: usize, n_classes: usize, offset: f64, seed: u64) -> Data {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut normal = |shape| {
        Array2::from_shape_simple_fn(shape, || {
            (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
        })
    };
    let centres = normal((n_classes, d));
    let mut features = normal((n, d));
    let targets = features.dot(&normal((d, 2))) + normal((n, 2)) + 3.0;
    let labels: Vec<i64> = (0..n).map(|i| (i * 7 % n_classes) as i64).collect();
    for (mut row, label) in features.rows_mut().into_iter().zip(&labels) {
        row += &(&centres.row(usize::try_from(*label).unwrap()) * 0.7);
    }
    features += offset;
    Data { features, labels: labels.iter().map(|label| 3 * label - 2).collect(), targets }
}

#[derive(Clone, Copy, Debug)]
enum Against {
    Labels,
    Targets,
}

impl Data {
    fn rows(&self, range: std::ops::Range<usize>, against: Against) -> Stats {
        let mut stats = Stats::empty(Precision::Double);
        self.push(&mut stats, range, against, None);
        stats
    }

    fn push(
        &self,
        stats: &mut Stats,
        range: std::ops::Range<usize>,
        against: Against,
        weights: Option<&[i64]>,
    ) {
        let features = self.features.slice(s![range.clone(), ..]);
        let response = match against {
            Against::Labels => Response::Labels { ids: &self.labels[range], names: None },
            Against::Targets => Response::Targets(self.targets.slice(s![range, ..])),
        };
        let block = Block::new(&features, response, weights).unwrap();
        stats.push(&block, &Context::serial()).unwrap();
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn score(&self, against: Against) -> Outcome {
        logme(&self.rows(0..self.len(), against), against)
    }

    fn map(&self, features: Array2<f64>) -> Self {
        Self { features, labels: self.labels.clone(), targets: self.targets.clone() }
    }
}

fn logme(stats: &Stats, against: Against) -> Outcome {
    let logme = LogMe {
        intercept: matches!(against, Against::Targets),
        keep_coef: true,
        ..LogMe::default()
    };
    logme.compute(&Prepared::new(stats).unwrap(), &Context::serial()).unwrap()
}

fn merged(mut a: Stats, b: Stats) -> Stats {
    a.merge(b, &Context::serial()).unwrap();
    a
}

/// Equal to the tolerance, or to the rounding error that the outcomes themselves state.
fn close(a: &Outcome, b: &Outcome) -> bool {
    let stated = rounding(a) + rounding(b);
    a.value == b.value
        || (a.value - b.value).abs() <= stated.max(TOLERANCE * a.value.abs().max(1.0))
}

fn rounding(outcome: &Outcome) -> f64 {
    let numbers = outcome.details.iter().find_map(|(name, detail)| match detail {
        Detail::Numbers(numbers) if *name == "rounding" => Some(numbers),
        _ => None,
    });
    numbers.unwrap().iter().fold(0.0, |a, b| a.max(*b))
}

fn against() -> impl Strategy<Value = Against> {
    prop_oneof![Just(Against::Labels), Just(Against::Targets)]
}

fn shape() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![(30_usize..90, 2_usize..12), (8_usize..30, 8_usize..60)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_and_merge_order_gives_the_same_score(
        (n, d) in shape(), against in against(), offset in prop_oneof![Just(0.0), Just(1e6)],
        cuts in (0_usize..=100, 0_usize..=100), seed in 0_u64..1000,
    ) {
        let data = data(n, d, 3, offset, seed);
        let whole = data.score(against);
        let cut = |part: usize| part * n / 100;
        let (a, b) = (cut(cuts.0.min(cuts.1)), cut(cuts.0.max(cuts.1)));
        let part = |range| data.rows(range, against);
        let left = merged(merged(part(0..a), part(a..b)), part(b..n));
        let right = merged(part(b..n), merged(part(a..b), part(0..a)));
        let mut streamed = Stats::empty(Precision::Double);
        (0..n).for_each(|i| data.push(&mut streamed, i..i + 1, against, None));
        for stats in [left, right, streamed] {
            prop_assert_eq!(stats.n_samples(), n as u64);
            prop_assert_eq!(stats.holds_rows(), n <= d);
            let outcome = logme(&stats, against);
            prop_assert!(close(&outcome, &whole), "{} {}", outcome.value, whole.value);
        }
    }

    #[test]
    fn weights_count_repeated_rows((n, d) in shape(), against in against(), seed in 0_u64..1000) {
        let data = data(n, d, 3, 2.0, seed);
        let weights: Vec<i64> = (0..n).map(|i| (i % 3) as i64).collect();
        let mut weighted = Stats::empty(Precision::Double);
        data.push(&mut weighted, 0..n, against, Some(&weights));
        let mut repeated = Stats::empty(Precision::Double);
        for (i, weight) in weights.iter().enumerate() {
            (0..*weight).for_each(|_| data.push(&mut repeated, i..i + 1, against, None));
        }
        prop_assert_eq!(weighted.n_samples(), repeated.n_samples());
        prop_assert_eq!(weighted.classes(), repeated.classes());
        let (a, b) = (logme(&weighted, against), logme(&repeated, against));
        prop_assert!(close(&a, &b), "{a:?} {b:?}");
    }

    #[test]
    fn the_order_of_rows_and_the_names_of_classes_do_not_matter((n, d) in shape(), against in against(), seed in 0_u64..1000) {
        let original = data(n, d, 4, 0.0, seed);
        let mut order: Vec<usize> = (0..n).collect();
        let mut rng = StdRng::seed_from_u64(seed);
        order.sort_by_cached_key(|_| rng.random::<u64>());
        let shuffled = Data {
            features: original.features.select(Axis(0), &order),
            labels: order.iter().map(|i| 100 - 9 * original.labels[*i]).collect(),
            targets: original.targets.select(Axis(0), &order),
        };
        prop_assert!(close(&original.score(against), &shuffled.score(against)));
    }

    #[test]
    fn scaling_rotating_and_duplicating_features_changes_nothing((n, d) in shape(), against in against(), power in -5_i32..6, seed in 0_u64..1000) {
        let data = data(n, d, 3, 1.0, seed);
        let score = data.score(against);
        prop_assert!(close(&data.map(&data.features * 10_f64.powi(power)).score(against), &score));
        let twice = concatenate![Axis(1), data.features, data.features];
        prop_assert!(close(&data.map(twice).score(against), &score));
        // A Householder reflection is orthogonal.
        let v: Array1<f64> = (0..d).map(|i| 1.0 / (1.0 + i as f64)).collect();
        let reflected = &data.features
            - &(data.features.dot(&v).insert_axis(Axis(1)) * &v * (2.0 / v.dot(&v)));
        prop_assert!(close(&data.map(reflected).score(against), &score));
    }

    #[test]
    fn the_svd_of_the_samples_agrees((n, d) in shape(), intercept in any::<bool>(), seed in 0_u64..1000) {
        let data = data(n, d, 3, 5.0, seed);
        let stats = data.rows(0..n, Against::Targets);
        let features = data.features.view();
        let block = Block::new(&features, Response::Targets(data.targets.view()), None).unwrap();
        let logme = LogMe { intercept, keep_coef: true, ..LogMe::default() };
        let serial = Context::serial();
        let fast = logme.compute(&Prepared::new(&stats).unwrap(), &serial).unwrap();
        let svd = logme.compute(&Prepared::from_samples(&stats, &block).unwrap(), &serial).unwrap();
        prop_assert!(close(&fast, &svd));
        let coef = |outcome: &Outcome| outcome.details.iter().find_map(|(name, detail)| match detail {
            Detail::Matrix(m) if *name == "coef" => Some(m.clone()),
            _ => None,
        }).unwrap();
        if rounding(&fast) > TOLERANCE {
            return Ok(());
        }
        let (a, b) = (coef(&fast), coef(&svd));
        let scale = b.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
        let worst = (&a - &b).iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        prop_assert!(worst < 1e-6 * scale, "{worst:e} {:?} {:?}", &fast.details[..4], &svd.details[..3]);
    }
}

/// Fourth moments and the statistics of each class follow any split, offset and order too.
#[test]
fn fourth_moments_and_classes_merge_exactly() {
    for (n, d, offset) in [(60, 7, 0.0), (60, 7, 1e4), (20, 30, 1e4)] {
        let data = data(n, d, 3, offset, 11);
        let part = |range| {
            let mut stats = Stats::empty(Precision::Double).with_class_scatters();
            data.push(&mut stats, range, Against::Labels, None);
            stats
        };
        let whole = part(0..n);
        let merged = merged(merged(part(n / 3..n / 2), part(n / 2..n)), part(0..n / 3));
        let mean = data.features.mean_axis(Axis(0)).unwrap();
        let fourth: f64 = data
            .features
            .rows()
            .into_iter()
            .map(|row| row.iter().zip(&mean).map(|(x, m)| (x - m).powi(2)).sum::<f64>().powi(2))
            .sum();
        for stats in [&whole, &merged] {
            assert!(
                (stats.fourth_moment().unwrap() / fourth - 1.0).abs() < 1e-9,
                "{n} x {d} + {offset}"
            );
            let classes = stats.by_class().unwrap().unwrap();
            let counts: Vec<u64> = classes.iter().map(|class| class.n_samples()).collect();
            let expected: Vec<u64> =
                stats.classes().unwrap().unwrap().iter().map(|(_, n)| *n).collect();
            assert_eq!(counts, expected);
            let total: f64 = classes.iter().map(|class| class.fourth_moment().unwrap()).sum();
            assert!(total > 0.0 && total < stats.fourth_moment().unwrap());
        }
        for (a, b) in
            whole.by_class().unwrap().unwrap().iter().zip(merged.by_class().unwrap().unwrap())
        {
            assert!((a.fourth_moment().unwrap() / b.fourth_moment().unwrap() - 1.0).abs() < 1e-9);
        }
    }
    // The scatter of all rows is then the sum of the large classes' and of the other rows'.
    let mut uneven = data(90, 7, 3, 5.0, 2);
    uneven.labels = (0..18).flat_map(|i| [0, 1, 1, 1, i % 13]).collect();
    let mut classes = Stats::empty(Precision::Double).with_class_scatters();
    uneven.push(&mut classes, 0..90, Against::Labels, None);
    let plain = uneven.rows(0..90, Against::Labels);
    assert!(close(&logme(&classes, Against::Labels), &logme(&plain, Against::Labels)));
    assert!(
        (classes.fourth_moment().unwrap() / plain.fourth_moment().unwrap() - 1.0).abs() < 1e-12
    );
    let plain = data(9, 2, 3, 0.0, 1).rows(0..9, Against::Labels);
    let mut classes = Stats::empty(Precision::Double).with_class_scatters();
    data(9, 2, 3, 0.0, 1).push(&mut classes, 0..9, Against::Labels, None);
    assert_eq!(classes.merge(plain, &Context::serial()).unwrap_err(), Error::MixedClassScatters);
}

/// Reordered columns are those of rows whose features came in that order, to the last bit where rows
/// are held, and the way back restores every number.
#[test]
fn the_order_of_the_columns_can_be_changed_afterwards() {
    for (n, d) in [(60, 7), (5, 9)] {
        let data = data(n, d, 3, 2.0, 4);
        let order: Vec<usize> = (0..d).map(|j| (j * 2 + 3) % d).collect();
        let mut back = vec![0; d];
        order.iter().enumerate().for_each(|(j, column)| back[*column] = j);
        let moved = data.map(data.features.select(Axis(1), &order));
        for against in [Against::Labels, Against::Targets] {
            let of = |data: &Data| {
                let mut stats = Stats::empty(Precision::Double).with_class_scatters();
                data.push(&mut stats, 0..n, against, None);
                stats
            };
            let (stats, expected) = (of(&data), of(&moved));
            let reordered = stats.reordered(&order).unwrap();
            assert_eq!(reordered.reordered(&back).unwrap().digest(), stats.digest());
            assert_ne!(reordered.digest(), stats.digest());
            assert!(!stats.holds_rows() || reordered.digest() == expected.digest());
            assert!(close(&logme(&reordered, against), &logme(&expected, against)));
            assert!(
                (reordered.fourth_moment().unwrap() / expected.fourth_moment().unwrap() - 1.0)
                    .abs()
                    < 1e-12
            );
            for wrong in [
                &order[1..],
                &[vec![0], order[1..].to_vec()].concat(),
                &[vec![d], order[1..].to_vec()].concat(),
            ] {
                let error = stats.reordered(wrong).unwrap_err();
                assert!(matches!(error, Error::Shape { name: "order", .. }), "{error:?}");
            }
        }
    }
    assert!(
        Stats::empty(Precision::Double).reordered(&[]).unwrap().digest()
            == Stats::empty(Precision::Double).digest()
    );
}

/// Two maxima less than an e-fold apart or of nearly equal height, plateaus that are the maximum, and
/// ends that one-pass statistics resolve as noise: rare in random data, and each once found wrong.
#[test]
fn rare_curves_give_the_same_by_both_methods() {
    let cases = [
        (10, 23, 651, false),
        (21, 42, 397, false),
        (21, 50, 557, false),
        (21, 23, 386, false),
        (12, 10, 518, true),
        (15, 14, 215, true),
    ];
    for (n, d, seed, intercept) in cases {
        let data = data(n, d, 3, 5.0, seed);
        let stats = data.rows(0..n, Against::Targets);
        let features = data.features.view();
        let block = Block::new(&features, Response::Targets(data.targets.view()), None).unwrap();
        let logme = LogMe { intercept, ..LogMe::default() };
        let serial = Context::serial();
        let fast = logme.compute(&Prepared::new(&stats).unwrap(), &serial).unwrap();
        let svd = logme.compute(&Prepared::from_samples(&stats, &block).unwrap(), &serial).unwrap();
        for (a, b) in fast.per_target.iter().zip(&svd.per_target) {
            assert!((a - b).abs() < TOLERANCE, "{n} x {d}, seed {seed}: {a} {b}");
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    // Large enough for several chunks on both sides.
    for (n, d) in [(20_000, 64), (600, 700)] {
        let data = data(n, d, 5, 1.0, 1);
        let features = data.features.view();
        let block =
            Block::new(&features, Response::Labels { ids: &data.labels, names: None }, None)
                .unwrap();
        let score = |pool: Option<&rayon::ThreadPool>| {
            let never = || false;
            let context = Context::new(pool, &never);
            let mut stats = Stats::empty(Precision::Double);
            stats.push(&block, &context).unwrap();
            let logme = LogMe::default();
            logme.compute(&Prepared::new(&stats).unwrap(), &context).unwrap().per_target
        };
        let serial = score(None);
        for n_threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            assert_eq!(score(Some(&pool)), serial, "{n_threads} threads at {n} x {d}");
        }
    }
}

#[test]
fn a_failed_update_changes_nothing() {
    let mut data = data(40, 6, 3, 0.0, 3);
    let mut stats = data.rows(0..30, Against::Labels);
    let before = logme(&stats, Against::Labels).value;
    data.features[[35, 2]] = f64::NAN;
    let features = data.features.slice(s![30.., ..]);
    let block =
        Block::new(&features, Response::Labels { ids: &data.labels[30..], names: None }, None)
            .unwrap();
    let error = stats.push(&block, &Context::serial()).unwrap_err();
    assert!(
        matches!(error, Error::NotFinite { name: "features", row: 5, column: 2, .. }),
        "{error}"
    );
    assert!(stats.n_samples() == 30 && logme(&stats, Against::Labels).value == before);
    let stop = || true;
    let good = data.features.slice(s![..30, ..]);
    let block =
        Block::new(&good, Response::Labels { ids: &data.labels[..30], names: None }, None).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let error = stats.push(&block, &Context::new(Some(&pool), &stop)).unwrap_err();
    assert_eq!(error, Error::Interrupted);
    assert!(stats.n_samples() == 30 && logme(&stats, Against::Labels).value == before);
}

#[test]
fn named_and_numbered_classes_merge_by_their_names() {
    let data = data(24, 3, 2, 0.0, 4);
    let ids: Vec<i64> = (0..12).map(|i| i % 2).collect();
    let half = |rows: std::ops::Range<usize>, names: [&str; 2]| {
        let names = names.map(Arc::from);
        let features = data.features.slice(s![rows, ..]);
        let response = Response::Labels { ids: &ids, names: Some(&names) };
        let mut stats = Stats::empty(Precision::Double);
        stats.push(&Block::new(&features, response, None).unwrap(), &Context::serial()).unwrap();
        stats
    };
    let both = merged(half(0..12, ["cat", "dog"]), half(12..24, ["dog", "ant"]));
    let counts: Vec<u64> =
        both.classes().unwrap().unwrap().into_iter().map(|(_, count)| count).collect();
    assert_eq!(counts, [6, 6, 12]); // ant, cat, dog
    let mut named = half(0..12, ["cat", "dog"]);
    let error = named.merge(data.rows(0..5, Against::Labels), &Context::serial()).unwrap_err();
    assert_eq!(error, Error::MixedLabels);
    let error = named.merge(data.rows(0..5, Against::Targets), &Context::serial()).unwrap_err();
    assert!(matches!(error, Error::MixedResponse { .. }));
}
