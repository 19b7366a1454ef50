//! Every allocation is made to fail, one after the other, as SQLite tests itself: each failure is
//! [`Error::OutOfMemory`], and after all of them the same call passes with the same bits.
//!
//! The allocator of this test refuses the n-th request for [`LARGE`] bytes or more on the threads that
//! it watches: that of the test and those of its pool. The shapes are such that a vector of N, D or C
//! numbers is large in one of them. Smaller requests, those that rayon makes for its own queues among
//! them, are of a size that the data do not decide. An allocation that cannot report failure ends the
//! process; with `EXHAUSTION_TRACE=1` the test prints where each refusal comes from.
#![allow(unsafe_code)] // an allocator
#![allow(clippy::unwrap_used, clippy::cast_possible_wrap)] // small numbers, known-good calls

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Debug;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ndarray::Array2;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use transferability::covariance::{self, Centre, RateConvention, Shrinkage};
use transferability::decomp::Prepared;
use transferability::error::{Error, Result};
use transferability::input::{Block, Response, Rows};
use transferability::metrics::logme::reference::{Recipe, Start, fixed_point};
use transferability::metrics::{Inputs, METRICS, Needs, OptionValue, Options, compute};
use transferability::stats::{Precision, Stats};
use transferability::threads::Context;

const LARGE: usize = 4096;
const NEVER: usize = usize::MAX;

struct Failing;

/// The number of large requests that are granted before one is refused.
static LEFT: AtomicUsize = AtomicUsize::new(NEVER);

thread_local! {
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
}

fn is_refused(layout: Layout) -> bool {
    if layout.size() < LARGE || !IS_WATCHED.get() {
        return false;
    }
    // 0 is refused, and then all are granted.
    let next =
        |left| if left == NEVER { None } else { Some(if left == 0 { NEVER } else { left - 1 }) };
    let refused = LEFT.fetch_update(SeqCst, SeqCst, next) == Ok(0);
    if refused && std::env::var_os("EXHAUSTION_TRACE").is_some() {
        eprintln!("{} bytes\n{}", layout.size(), std::backtrace::Backtrace::force_capture());
    }
    refused
}

// SAFETY: the system's allocator, or null, which the trait allows.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for the caller.
        if is_refused(layout) { null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for the caller.
        if is_refused(layout) { null_mut() } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let wanted = Layout::from_size_align(size, layout.align());
        if size > layout.size() && wanted.is_ok_and(is_refused) {
            return null_mut();
        }
        // SAFETY: as for the caller.
        unsafe { System.realloc(start, layout, size) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as for the caller.
        unsafe { System.dealloc(start, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// The watch over this thread, alone among the tests, which share the count. It ends with the test: what
/// the harness then allocates is its own.
struct Watch {
    _alone: MutexGuard<'static, ()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        LEFT.store(NEVER, SeqCst);
        IS_WATCHED.set(false);
    }
}

fn watch() -> Watch {
    static ONE: Mutex<()> = Mutex::new(());
    let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    IS_WATCHED.set(true);
    Watch { _alone: alone }
}

/// All numbers of a result, each to its last bit.
fn text_of(found: &impl Debug) -> String {
    without_refusals(|| format!("{found:?}"))
}

fn without_refusals<T>(call: impl FnOnce() -> T) -> T {
    let left = LEFT.swap(NEVER, SeqCst);
    let result = call();
    LEFT.store(left, SeqCst);
    result
}

/// Refuse the first large request of a call, then the second, and so on until the call passes; return
/// how many were refused.
fn exhaust<T: PartialEq + Debug>(name: &str, call: impl Fn() -> Result<T>) -> usize {
    if std::env::var_os("EXHAUSTION_TRACE").is_some() {
        eprintln!("{name}");
    }
    let expected = call().unwrap_or_else(|error| panic!("{name}: {error}"));
    for n in 0.. {
        LEFT.store(n, SeqCst);
        let found = call();
        let passed = LEFT.swap(NEVER, SeqCst) != NEVER;
        match found {
            Ok(found) => {
                assert!(passed, "{name}: request {n} was refused, and the call passed");
                assert_eq!(found, expected, "{name}");
                return n;
            }
            Err(Error::OutOfMemory { bytes, .. }) => assert!(bytes > 0, "{name}, request {n}"),
            Err(error) => panic!("{name}, request {n}: {error}"),
        }
    }
    unreachable!()
}

struct Data {
    features: Array2<f64>,
    labels: Vec<i64>,
    targets: Array2<f64>,
    groups: Vec<i64>,
    source_probs: Array2<f64>,
    source_labels: Vec<i64>,
    embeddings: Vec<Array2<f64>>,
}

fn data(n: usize, d: usize, n_classes: usize) -> Data {
    let mut rng = StdRng::seed_from_u64(7);
    let labels: Vec<i64> = (0..n).map(|i| (i * 7 % n_classes) as i64).collect();
    let mut uniform = |n, d| Array2::from_shape_simple_fn((n, d), || rng.random::<f64>());
    let mut features = uniform(n, d);
    for (mut row, label) in features.rows_mut().into_iter().zip(&labels) {
        row[usize::try_from(*label).unwrap() % d] += 2.0;
    }
    let mut source_probs = uniform(n, 12);
    for mut row in source_probs.rows_mut() {
        let sum = row.sum();
        row /= sum;
    }
    let source_labels = (0..n).map(|i| (i * 5 % 11) as i64).collect();
    let groups = (0..n).map(|i| (i / 2 % (n / 4)) as i64).collect();
    let targets = uniform(n, 3);
    let embeddings = vec![uniform(n, 8), uniform(n, 8)];
    Data { features, labels, targets, groups, source_probs, source_labels, embeddings }
}

impl Data {
    fn labels(&self) -> Response<'_> {
        Response::Labels { ids: &self.labels, names: None }
    }

    fn targets(&self) -> Response<'_> {
        Response::Targets(self.targets.view())
    }

    fn nothing(&self) -> Response<'_> {
        Response::Nothing(self.labels.len())
    }
}

/// More rows than columns, fewer, and many classes: rows, columns and classes are many in one each.
fn shapes() -> [(&'static str, Data); 3] {
    [("tall", data(1100, 24, 24)), ("wide", data(40, 560, 8)), ("classes", data(1200, 6, 560))]
}

fn stats_of<'a>(features: &'a dyn Rows, response: Response<'a>, by_class: bool) -> Result<Stats> {
    let empty = Stats::empty(Precision::Double);
    let mut stats = if by_class { empty.with_class_scatters() } else { empty };
    stats.push(&Block::new(features, response, None)?, &Context::serial())?;
    Ok(stats)
}

/// Options of a metric beside none at all, so that each of its paths runs.
fn options_of(metric: &str) -> Vec<Vec<(&'static str, OptionValue)>> {
    let text = |name, value: &str| (name, OptionValue::Text(value.into()));
    let flag = |name| (name, OptionValue::Flag(true));
    let number = |name, value| (name, OptionValue::Number(value));
    match metric {
        "logme" => vec![vec![flag("influence")], vec![flag("standardize"), flag("keep_coef")]],
        "h_score" => vec![vec![text("shrinkage", "ledoit-wolf")], vec![flag("influence")]],
        "leep" | "nce" => vec![vec![flag("influence")]],
        "lin_mse" | "emms" => vec![vec![number("ridge", 0.1)]],
        "cka" => vec![vec![text("estimator", "biased")]],
        "gbc" => vec![vec![text("covariance", "full"), number("n_components", 5.0)]],
        "transrate" => vec![vec![text("variant", "official")]],
        "knn" => vec![vec![text("leave_out", "group"), flag("by_group")], vec![flag("influence")]],
        "ridge_probe" => {
            vec![vec![text("leave_out", "group"), flag("by_group")], vec![flag("influence")]]
        }
        _ => vec![],
    }
}

fn exhaust_metrics(task: &str, response: impl Fn(&Data) -> Response<'_>) {
    let _guard = watch();
    let mut refused = 0;
    for (shape, data) in shapes() {
        for metric in METRICS.iter().filter(|metric| metric.tasks.contains(&task)) {
            let needs = |what| metric.needs.contains(&what);
            let features: &dyn Rows =
                if needs(Needs::SourceStats) { &data.source_probs } else { &data.features };
            let stats = stats_of(features, response(&data), needs(Needs::ClassScatters)).unwrap();
            let embeddings: Vec<(Box<str>, &(dyn Rows + Send))> = data
                .embeddings
                .iter()
                .zip(["a", "b"])
                .map(|(view, name)| (name.into(), view as &(dyn Rows + Send)))
                .collect();
            let mut all = options_of(metric.name);
            all.push(Vec::new());
            for options in all {
                let name = format!("{} of {shape} features, {options:?}", metric.name);
                let options = options.into_iter().map(|(name, value)| (name.into(), value));
                let request = [(metric.name.into(), Options(options.collect()))];
                let call = || {
                    let prepared = Prepared::new(&stats)?;
                    let block = Block::new(features, response(&data).reborrow(), None)?;
                    let inputs = Inputs {
                        prepared: Some(&prepared),
                        samples: Some(&block),
                        response: Some(response(&data).reborrow()),
                        source_probs: Some(&data.source_probs),
                        source_labels: Some(&data.source_labels),
                        groups: Some(&data.groups),
                        embeddings: &embeddings,
                    };
                    let found = compute(&inputs, &request, &Context::serial()).pop().unwrap()?;
                    Ok(text_of(&found))
                };
                let passes = without_refusals(call);
                if passes.is_ok() {
                    refused += exhaust(&name, call);
                } else {
                    assert!(shape == "classes" || metric.name == "emms", "{name}: {passes:?}");
                }
            }
        }
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn metrics_of_classes_report_every_failure() {
    exhaust_metrics("classification", Data::labels);
}

#[test]
fn metrics_of_targets_report_every_failure() {
    exhaust_metrics("regression", Data::targets);
}

#[test]
fn decompositions_of_samples_report_every_failure() {
    let _guard = watch();
    let mut refused = 0;
    for (shape, data) in shapes() {
        let stats = stats_of(&data.features, data.labels(), false).unwrap();
        let block = Block::new(&data.features, data.labels(), None).unwrap();
        refused += exhaust(&format!("logme by SVD, {shape}"), || {
            let prepared = Prepared::from_samples(&stats, &block)?;
            let inputs = Inputs { prepared: Some(&prepared), ..Inputs::default() };
            let request = [("logme".into(), Options(Vec::new()))];
            let found = compute(&inputs, &request, &Context::serial()).pop().unwrap()?;
            Ok(text_of(&found))
        });
    }
    assert!(refused > 60, "{refused}");
}

/// On two threads the order of requests differs from run to run, and the rule is the same.
#[test]
fn threads_report_every_failure() {
    let _guard = watch();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .start_handler(|_| IS_WATCHED.set(true))
        .build()
        .unwrap();
    let context = Context::new(Some(&pool), &|| false);
    let data = data(1100, 24, 24);
    for name in ["logme", "h_score", "lda", "knn"] {
        let refused = exhaust(&format!("{name} on two threads"), || {
            let mut stats = Stats::empty(Precision::Double);
            let block = Block::new(&data.features, data.labels(), None)?;
            stats.push(&block, &context)?;
            let prepared = Prepared::new(&stats)?;
            let inputs = Inputs {
                prepared: Some(&prepared),
                samples: Some(&block),
                response: Some(data.labels()),
                ..Inputs::default()
            };
            let request = [(name.into(), Options(Vec::new()))];
            Ok(text_of(&compute(&inputs, &request, &context).pop().unwrap()?))
        });
        assert!(refused > 4, "{refused}");
    }
}

/// Change statistics; where that fails, they are those from before. Returns their digest.
fn changed(stats: &mut Stats, change: impl FnOnce(&mut Stats) -> Result<()>) -> Result<[u8; 32]> {
    let before = without_refusals(|| stats.digest().unwrap());
    let result = change(stats);
    let after = without_refusals(|| stats.digest().unwrap());
    assert!(result.is_ok() || before == after, "the statistics changed, and {result:?}");
    result.map(|()| after)
}

#[test]
fn statistics_report_every_failure_and_do_not_change() {
    let _guard = watch();
    let serial = Context::serial();
    let mut refused = 0;
    for (shape, data) in shapes() {
        let moved = data.features.map(|x| x + 0.5);
        for (kind, response) in
            [("labels", data.labels()), ("targets", data.targets()), ("nothing", data.nothing())]
        {
            for by_class in [false, true] {
                if by_class && kind != "labels" {
                    continue;
                }
                let name = |what: &str| format!("{what}, {shape}, {kind}, by class: {by_class}");
                let stats = stats_of(&data.features, response, by_class).unwrap();
                let other = stats_of(&moved, response, by_class).unwrap();
                let bytes = stats.to_bytes("").unwrap();
                refused += exhaust(&name("push"), || {
                    stats_of(&data.features, response, by_class)?.digest()
                });
                refused += exhaust(&name("write"), || stats.to_bytes(""));
                refused += exhaust(&name("read"), || {
                    Stats::from_bytes(&bytes, &Context::serial())?.0.digest()
                });
                refused += exhaust(&name("copy"), || stats.try_clone()?.digest());
                refused += exhaust(&name("moments"), || {
                    let moments = stats.try_clone()?.into_moments(&serial)?;
                    Stats::from_moments(moments, &Context::serial())?.digest()
                });
                refused += exhaust(&name("merge"), || {
                    let mut kept = without_refusals(|| stats.try_clone())?;
                    let other = without_refusals(|| other.try_clone())?;
                    changed(&mut kept, |kept| kept.merge(other, &serial))
                });
                refused += exhaust(&name("another block"), || {
                    let mut kept = without_refusals(|| stats.try_clone())?;
                    let block = Block::new(&data.features, response, None)?;
                    changed(&mut kept, |kept| kept.push(&block, &serial))
                });
            }
        }
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn covariances_report_every_failure() {
    let _guard = watch();
    let (serial, by) = (Context::serial(), Shrinkage::LedoitWolf);
    let mut refused = 0;
    for (shape, data) in shapes() {
        let name = |what: &str| format!("{what}, {shape}");
        let stats = stats_of(&data.features, data.labels(), true).unwrap();
        refused += exhaust(&name("spectrum"), || {
            covariance::spectrum(&stats, Centre::Mean, &serial).map(|found| text_of(&found))
        });
        refused += exhaust(&name("covariance"), || {
            covariance::covariance(&stats, Centre::Zero, by, &serial).map(|found| text_of(&found))
        });
        refused += exhaust(&name("covariance of rows"), || {
            let found = covariance::covariance_of(&data.features, Centre::Mean, by, &serial);
            found.map(|found| text_of(&found))
        });
        refused +=
            exhaust(&name("class means"), || covariance::class_means(&stats).map(|m| text_of(&m)));
        if shape != "wide" {
            refused += exhaust(&name("class covariances"), || {
                let found = covariance::class_covariances_of(
                    &data.features,
                    data.labels(),
                    shape == "tall",
                    &serial,
                );
                found.map(|found| text_of(&found))
            });
        }
        for convention in [RateConvention::TransRate, RateConvention::Mcr2] {
            refused += exhaust(&name("coding rate reduction"), || {
                let found = covariance::coding_rate_reduction(&stats, 1e-4, convention, &serial);
                found.map(|found| text_of(&found))
            });
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn discriminants_report_every_failure() {
    let _guard = watch();
    let serial = Context::serial();
    // Many columns, many means, and a covariance that rounding has left indefinite.
    for (means, d, least) in [(8, 520, 1.0), (700, 24, 1.0), (8, 520, -0.5)] {
        let mut within = Array2::<f64>::eye(d);
        within[[0, 0]] = least;
        let (within, offsets) = (within.into_raw_vec_and_offset().0, data(means, d, 2).features);
        let refused = exhaust(&format!("{means} means, {d} columns, {least}"), || {
            let offsets = offsets.as_slice().unwrap();
            covariance::discriminant(&within, offsets, 0.1, true, &serial).map(|f| text_of(&f))
        });
        assert!(refused > 4, "{refused}");
    }
}

/// From 1,024 columns on, factorisations and reductions take other ways.
#[test]
fn large_orders_report_every_failure() {
    let _guard = watch();
    let (data, serial) = (data(1100, 1024, 4), Context::serial());
    let stats = stats_of(&data.features, data.labels(), false).unwrap();
    let refused = exhaust("spectrum of 1,024 columns", || {
        covariance::spectrum(&stats, Centre::Mean, &serial).map(|found| text_of(&found))
    });
    assert!(refused > 4, "{refused}");
}

#[test]
fn fixed_points_report_every_failure() {
    let _guard = watch();
    for (shape, data) in [("tall", data(1100, 24, 24)), ("wide", data(40, 560, 8))] {
        for recipe in [Recipe::ThumlFixedPoint, Recipe::TransformerRanker] {
            let refused = exhaust(&format!("{recipe:?} of {shape} features"), || {
                let (x, y) = (data.features.view(), data.targets.view());
                let found = fixed_point(x, y, recipe, Start::default(), &Context::serial());
                found.map(|found| text_of(&found))
            });
            assert!(refused > 2, "{refused}");
        }
    }
}
