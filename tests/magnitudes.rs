//! Magnitudes outside the ranges of `src/stats/range.rs` are refused by name, before anything changes.
#![allow(clippy::unwrap_used)] // small numbers and known-good calls

use ndarray::Array2;
use transferability::covariance::{Centre, Shrinkage, covariance};
use transferability::decomp::Prepared;
use transferability::error::Error;
use transferability::input::{Block, Response};
use transferability::stats::{Precision, Stats};
use transferability::threads::Context;

#[test]
fn sums_of_squares_beyond_float64_are_refused_before_anything_changes() {
    let (large, small) = (Array2::from_elem((2, 1), 1e149), Array2::from_elem((2, 1), 1.0));
    let signs = Array2::from_shape_fn((2, 1), |(i, _)| if i == 0 { 1e149 } else { -1e149 });
    let weights = [1 << 50, 1 << 50]; // 2^51 (1e149)² is 2e313
    let one = Context::serial();
    for (features, targets) in [(&signs, &small), (&small, &signs), (&signs, &large)] {
        let mut stats = Stats::empty(Precision::Double);
        let block = Block::new(features, Response::Targets(targets.view()), None).unwrap();
        stats.push(&block, &one).unwrap();
        let (before, mut alone) = (stats.digest().unwrap(), Stats::empty(Precision::Double));
        let block =
            Block::new(features, Response::Targets(targets.view()), Some(&weights)).unwrap();
        for stats in [&mut stats, &mut alone] {
            assert!(matches!(stats.push(&block, &one), Err(Error::OutOfRange { .. })));
        }
        assert!(stats.digest().unwrap() == before && alone.n_samples() == 0);
    }
}

/// Both ends of the ranges in `src/stats/range.rs`, and numbers just beyond them.
#[test]
fn magnitudes_are_taken_within_their_range_alone() {
    let one = Context::serial();
    let column = |x: f64, y: f64| Array2::from_shape_vec((2, 1), vec![x, y]).unwrap();
    let plain = column(1.0, -1.0);
    let stats = |features: &Array2<f64>, targets: &Array2<f64>, weight: i64| {
        let (weights, mut stats) = ([weight; 2], Stats::empty(Precision::Double));
        let block = Block::new(features, Response::Targets(targets.view()), Some(&weights));
        stats.push(&block.unwrap(), &one).map(|()| stats)
    };
    let taken = |result: Result<(), Error>| match result {
        Ok(()) => true,
        Err(Error::OutOfRange { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    for (x, expected) in
        [(0.0, true), (9e-111, false), (1e-110, true), (1e110, true), (1.1e110, false)]
    {
        let found = stats(&column(x, -x), &plain, 1).unwrap();
        assert!(taken(Prepared::new(&found).map(drop)) == expected, "scored: {x}");
    }
    for (y, expected) in [(9e-141, false), (1e-140, true), (1e150, true), (1.1e150, false)] {
        assert!(taken(stats(&plain, &column(y, -y), 1).map(drop)) == expected, "target: {y}");
    }
    let about = |centre: Centre, features: Array2<f64>, weight: i64| {
        let found = stats(&features, &plain, weight)?;
        let found = covariance(&found, centre, Shrinkage::LedoitWolf, &one)?;
        assert!(found.matrix[0].is_finite());
        Ok(())
    };
    for (x, weight, expected) in [
        (0.0, 1, true),
        (9e-151, 1, false),
        (1e-150, 1, true),
        (1e150, 1, true),
        (1.1e150, 1, false),
        (1e150, 80_000_000, true), // 1.6e308
        (1e150, 90_000_000, false),
    ] {
        assert!(taken(about(Centre::Mean, column(x, -x), weight)) == expected, "{x} {weight}");
        assert!(taken(about(Centre::Zero, column(x, x), weight)) == expected, "{x} {weight}");
    }
    let mut moments = stats(&plain, &plain, 1).unwrap().into_moments(&one).unwrap();
    moments.largest = 1e154;
    assert!(
        Stats::from_moments(moments, &Context::serial())
            .unwrap_err()
            .to_string()
            .contains("overflow float64")
    );
}

/// The rows of a class may be further from the shift of its own statistics than from that of all rows.
#[test]
fn sums_of_a_class_beyond_float64_are_refused() {
    let one = Context::serial();
    let row = |x: f64, id: i64, weight: i64, classes: bool| {
        let mut stats = Stats::empty(Precision::Double);
        if classes {
            stats = stats.with_class_scatters();
        }
        let (features, ids, weights) = (Array2::from_elem((1, 1), x), [id], [weight]);
        let labels = Response::Labels { ids: &ids, names: None };
        stats.push(&Block::new(&features, labels, Some(&weights)).unwrap(), &one).unwrap();
        stats
    };
    for classes in [false, true] {
        let mut stats = row(0.0, 0, 1, classes);
        stats.merge(row(-1e150, 1, 1, classes), &one).unwrap();
        let before = stats.digest().unwrap();
        // 9e7 (1e150)² about the shift of all rows, and four times that about the shift of the class.
        let result = stats.merge(row(1e150, 1, 90_000_000, classes), &one);
        assert_eq!(matches!(result, Err(Error::OutOfRange { .. })), classes, "{result:?}");
        assert_eq!(stats.digest().unwrap() == before, classes);
    }
}

#[test]
fn the_magnitude_that_is_named_is_that_of_a_row() {
    let plain = Array2::from_shape_fn((20, 3), |(i, j)| ((7 * i + 3 * j) as f64).sin());
    let ids: Vec<i64> = (0..20).map(|i| i % 2).collect();
    let named = |features: &Array2<f64>, targets: Option<&Array2<f64>>| {
        let labels = Response::Labels { ids: &ids, names: None };
        let response = targets.map_or(labels, |targets| Response::Targets(targets.view()));
        let block = Block::new(features, response, None).unwrap();
        let mut stats = Stats::empty(Precision::Double);
        match stats.push(&block, &Context::serial()).unwrap_err() {
            Error::OutOfRange { name, largest, problem: "overflow" } => (name, largest),
            error => panic!("{error}"),
        }
    };
    // The sum of differences overflows, a difference does, or a square; late, where the sample has
    // seen it, and in a row of its own.
    for (row, x) in [(0, 1.5e308), (0, -1.2e308), (7, 1.7e308), (19, 1e300), (3, -1e160)] {
        let mut features = plain.clone();
        features.row_mut(row).fill(x);
        let (name, largest) = named(&features, None);
        assert!(name == "features" && (largest / x.abs() - 1.0).abs() < 0.1, "{x}: {largest}");
        let mut targets = Array2::zeros((20, 1));
        targets[[row, 0]] = x;
        let (name, largest) = named(&plain, Some(&targets));
        assert!(name == "targets" && (largest / x.abs() - 1.0).abs() < 0.1, "{x}: {largest}");
    }
    let both = Array2::from_shape_fn((20, 3), |(i, _)| if i < 10 { 1e308 } else { -1.1e308 });
    assert_eq!(named(&both, None), ("features", 1.1e308));
    let targets = both.slice(ndarray::s![.., ..1]).to_owned();
    assert_eq!(named(&plain, Some(&targets)), ("targets", 1.1e308));
}
