//! The kernels that LogME's time is made of, at one size each: the pass over the rows, the
//! tridiagonal form (of order 1,024 in two stages), and the search, with the answer checked first.

#![allow(missing_docs)] // criterion's macros

use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::Array2;
use transferability::decomp::Prepared;
use transferability::input::{Block, Response};
use transferability::metrics::logme::LogMe;
use transferability::stats::{Precision, Stats};
use transferability::threads::Context;

const N_CLASSES: usize = 10;

/// Reproducible features in [-1, 1), shifted by class along one axis each, and labels.
fn data(n: usize, d: usize) -> (Array2<f32>, Vec<i64>) {
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut features = Array2::from_shape_simple_fn((n, d), &mut next);
    for (i, mut row) in features.rows_mut().into_iter().enumerate() {
        row[i % N_CLASSES] += 1.0;
    }
    let labels = (0..n).zip((0..10_i64).cycle()).map(|(_, class)| class).collect();
    (features, labels)
}

fn kernels(criterion: &mut Criterion) {
    let serial = Context::serial();
    for (n, d) in [(256, 128), (4096, 256), (256, 1024), (2048, 1024)] {
        let (features, labels) = data(n, d);
        let view = features.view();
        let response = Response::Labels { ids: &labels, names: None };
        let block = Block::new(&view, response, None).expect("good data");
        let accumulate = || {
            let mut stats = Stats::empty(Precision::Double);
            stats.push(&block, &serial).expect("good data");
            stats
        };
        let stats = accumulate();
        let logme = LogMe::default();
        let score =
            |prepared: &Prepared<'_>| logme.compute(prepared, &serial).expect("good data").value;
        let by_svd = Prepared::from_samples(&stats, &block).expect("good data");
        let expected = score(&by_svd);
        let fast = score(&Prepared::new(&stats).expect("good data"));
        assert!((fast - expected).abs() < 1e-9, "{fast} is not {expected}");

        let mut group = criterion.benchmark_group(format!("{n}x{d}"));
        group.sample_size(20);
        group.bench_function("accumulate", |bench| bench.iter(accumulate));
        group.bench_function("decompose and search", |bench| {
            bench.iter(|| score(&Prepared::new(&stats).expect("good data")));
        });
        let prepared = Prepared::new(&stats).expect("good data");
        score(&prepared); // decomposes
        group.bench_function("search", |bench| bench.iter(|| score(&prepared)));
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
