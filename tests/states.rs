//! Laws of statistics in other forms: bytes are read back to the bit, damaged bytes are errors, and
//! moments hold all that a score needs.
#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, clippy::float_cmp)] // small numbers, known-good calls, equal bits

use std::sync::Arc;

use ndarray::{Array2, s};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};
use transferability::decomp::Prepared;
use transferability::error::Error;
use transferability::input::{Block, Label, Response};
use transferability::metrics::logme::LogMe;
use transferability::metrics::{Detail, Inputs, Options, Outcome, compute};
use transferability::stats::{Moments, Precision, Responses, Stats};
use transferability::threads::Context;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Ids,
    Names,
    Targets,
    Nothing,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Ids), Just(Kind::Names), Just(Kind::Targets), Just(Kind::Nothing)]
}

fn shape() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![(30_usize..90, 2_usize..9), (8_usize..30, 8_usize..40)]
}

struct Data {
    features: Array2<f64>,
    labels: Vec<i64>,
    targets: Array2<f64>,
    weights: Vec<i64>,
    kind: Kind,
    classes: bool,
    precision: Precision,
}

fn data((n, d): (usize, usize), kind: Kind, offset: f64, seed: u64) -> Data {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut normal = |shape| {
        Array2::from_shape_simple_fn(shape, || {
            (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
        })
    };
    let labels: Vec<i64> = (0..n).map(|i| (i * 7 % 3) as i64).collect();
    let (centres, mut features) = (normal((3, d)), normal((n, d)));
    let targets = features.dot(&normal((d, 2))) + normal((n, 2)) + 3.0;
    for (mut row, label) in features.rows_mut().into_iter().zip(&labels) {
        row += &centres.row(usize::try_from(*label).unwrap());
    }
    features += offset;
    let weights = vec![1; n];
    Data { features, labels, targets, weights, kind, classes: false, precision: Precision::Double }
}

impl Data {
    fn stats(&self, range: std::ops::Range<usize>) -> Stats {
        let names = ["ant", "bee", "fly"].map(Arc::from);
        let features = self.features.slice(s![range.clone(), ..]);
        let ids = &self.labels[range.clone()];
        let response = match self.kind {
            Kind::Ids => Response::Labels { ids, names: None },
            Kind::Names => Response::Labels { ids, names: Some(&names) },
            Kind::Targets => Response::Targets(self.targets.slice(s![range.clone(), ..])),
            Kind::Nothing => Response::Nothing(range.len()),
        };
        let mut stats = Stats::empty(self.precision);
        if self.classes {
            stats = stats.with_class_scatters();
        }
        let block = Block::new(&features, response, Some(&self.weights[range])).unwrap();
        stats.push(&block, &Context::serial()).unwrap();
        stats
    }

    fn whole(&self) -> Stats {
        self.stats(0..self.labels.len())
    }
}

fn logme(stats: &Stats) -> Result<Outcome, Error> {
    LogMe::default().compute(&Prepared::new(stats)?, &Context::serial())
}

/// CKA, of two targets or three classes.
fn cka(stats: &Stats) -> f64 {
    let prepared = Prepared::new(stats).unwrap();
    let inputs = Inputs { prepared: Some(&prepared), ..Inputs::default() };
    let request = [("cka".into(), Options::default())];
    compute(&inputs, &request, &Context::serial()).pop().unwrap().unwrap().value
}

fn merged(mut a: Stats, b: Stats) -> Stats {
    a.merge(b, &Context::serial()).unwrap();
    a
}

/// The largest error that LogME states. Where only the rows tell that a fit leaves no residual, sums of
/// products resolve its score to a few digits, say so, and state no bound.
fn rounding(outcome: &Outcome) -> f64 {
    let stated = outcome.details.iter().find_map(|(name, detail)| match detail {
        Detail::Numbers(numbers) if *name == "rounding" => Some(numbers),
        _ => None,
    });
    let largest = stated.unwrap().iter().copied().fold(0.0, f64::max);
    if largest.is_finite() {
        return largest;
    }
    assert!(outcome.warnings.concat().contains("few digits"), "{outcome:?}");
    1e-6
}

/// Equal to 1e-9, of scores and of everything about classes, where the score states no larger error.
fn close(a: &Stats, b: &Stats) -> Result<(), TestCaseError> {
    prop_assert_eq!((a.n_samples(), a.classes()), (b.n_samples(), b.classes()));
    let fourth = a.fourth_moment().unwrap() / b.fourth_moment().unwrap();
    prop_assert!((fourth - 1.0).abs() < 1e-9, "fourth moments {fourth}");
    if a.n_targets() > 0 {
        let (a, b) = (logme(a).unwrap(), logme(b).unwrap());
        let tolerance = 1e-9 + rounding(&a) + rounding(&b);
        let (a, b) = (a.value, b.value);
        prop_assert!(a == b || (a - b).abs() <= tolerance * b.abs().max(1.0), "{a} {b}");
    }
    if a.n_targets() > 0 {
        let (a, b) = (cka(a), cka(b));
        prop_assert!((a - b).abs() <= 1e-9, "CKA {a} {b}");
    }
    match (a.by_class().unwrap(), b.by_class().unwrap()) {
        (Some(a), Some(b)) => {
            prop_assert_eq!(a.len(), b.len());
            for (a, b) in a.iter().zip(b) {
                prop_assert_eq!(a.n_samples(), b.n_samples());
                let (a, b) = (a.fourth_moment().unwrap(), b.fourth_moment().unwrap());
                prop_assert!((a - b).abs() <= 1e-9 * b, "fourth moments of a class {a} {b}");
            }
        }
        (None, None) => {}
        _ => prop_assert!(false, "classes of one only"),
    }
    Ok(())
}

/// With the checksum that belongs to it.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 32;
    let seal = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&seal);
    bytes
}

fn refused(bytes: &[u8]) -> bool {
    matches!(Stats::from_bytes(bytes, &Context::serial()), Err(Error::StateFile { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_give_the_same_statistics_to_the_bit(
        shape in shape(), kind in kind(), classes in any::<bool>(), single in any::<bool>(),
        seed in 0_u64..1000, notes in ".{0,20}",
    ) {
        let mut data = data(shape, kind, 1e6, seed);
        data.classes = classes;
        data.weights = (0..shape.0).map(|i| (i % 3) as i64).collect();
        data.precision = if single { Precision::Single } else { Precision::Double };
        let mut stats = data.whole();
        let bytes = stats.to_bytes(&notes).unwrap();
        let (mut again, notes_again) = Stats::from_bytes(&bytes, &Context::serial()).unwrap();
        prop_assert_eq!(&notes, &notes_again);
        prop_assert_eq!(again.to_bytes(&notes).unwrap(), bytes);
        prop_assert_eq!(again.digest().unwrap(), stats.digest().unwrap());
        prop_assert!(again.holds_rows() == stats.holds_rows() && again.n_bytes() == stats.n_bytes());
        // Nothing that the bytes do not say: they go on alike.
        stats = merged(stats, data.stats(0..7));
        again = merged(again, data.stats(0..7));
        prop_assert_eq!(again.to_bytes("").unwrap(), stats.to_bytes("").unwrap());
        prop_assert_ne!(again.digest().unwrap(), data.whole().digest().unwrap());
        if !matches!(kind, Kind::Nothing) {
            prop_assert_eq!(logme(&again).unwrap().per_target, logme(&stats).unwrap().per_target);
        }
    }

    #[test]
    fn altered_bytes_are_refused(
        shape in shape(), kind in kind(), seed in 0_u64..1000, place in 0.0..1.0, bit in 0..8,
    ) {
        let bytes = data(shape, kind, 0.0, seed).whole().to_bytes("notes").unwrap();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a place in the file
        let place = (place * bytes.len() as f64) as usize;
        let mut altered = bytes.clone();
        altered[place] ^= 1_u8 << bit;
        prop_assert!(refused(&altered));
        prop_assert!(refused(&bytes[..place]));
        prop_assert!(refused(&[&bytes[..], &bytes[..place.max(1)]].concat()));
    }

    /// A checksum is no proof of good will: whatever is read may be wrong, and must be harmless.
    #[test]
    fn forged_bytes_do_no_harm(
        shape in shape(), kind in kind(), classes in any::<bool>(), seed in 0_u64..1000,
        places in prop::collection::vec((0.0..1.0, any::<u64>(), 1_usize..9), 1..4),
    ) {
        let mut data = data(shape, kind, 0.0, seed);
        data.classes = classes;
        let mut bytes = data.whole().to_bytes("notes").unwrap();
        let n = bytes.len();
        for (place, forged, width) in places {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a place in the file
            let place = 20 + (place * (n - 60) as f64) as usize;
            let end = (place + width).min(n - 32);
            bytes[place..end].copy_from_slice(&forged.to_le_bytes()[..end - place]);
        }
        match Stats::from_bytes(&sealed(bytes), &Context::serial()) {
            Ok((stats, _)) => {
                // Then it is consistent enough to be used like any other.
                let again = stats.to_bytes("").unwrap();
                prop_assert_eq!(Stats::from_bytes(&again, &Context::serial()).unwrap().0.to_bytes("").unwrap(), again);
                let mut more = data.whole();
                let _ = more.merge(stats, &Context::serial());
            }
            Err(error) => prop_assert!(matches!(error, Error::StateFile { .. }), "{error}"),
        }
    }

    #[test]
    fn moments_are_all_that_scores_need(
        shape in shape(), kind in kind(), classes in any::<bool>(), seed in 0_u64..1000,
    ) {
        let mut data = data(shape, kind, 100.0, seed);
        data.classes = classes;
        let whole = data.whole();
        let moments = whole.clone().into_moments(&Context::serial()).unwrap();
        let again = Stats::from_moments(moments, &Context::serial()).unwrap();
        prop_assert!(!again.holds_rows());
        close(&again, &whole)?;
        let more = data.stats(0..3);
        close(&merged(again, more.clone()), &merged(whole, more))?;
    }
}

/// Twenty distinct rows of three classes in 31 columns, three of them twice.
#[test]
fn moments_of_a_fit_without_residual_say_what_they_resolve() {
    let data = data((20, 31), Kind::Ids, 100.0, 472);
    let (whole, more) = (data.whole(), data.stats(0..3));
    let moments = whole.clone().into_moments(&Context::serial()).unwrap();
    let (rows, sums) = (
        merged(whole, more.clone()),
        merged(Stats::from_moments(moments, &Context::serial()).unwrap(), more),
    );
    assert!(logme(&rows).unwrap().exact && !logme(&sums).unwrap().exact);
    close(&sums, &rows).unwrap();
}

#[test]
fn an_empty_accumulator_keeps_its_kind() {
    for precision in [Precision::Double, Precision::Single] {
        let empty = Stats::empty(precision).with_class_scatters();
        let (again, _) =
            Stats::from_bytes(&empty.to_bytes("").unwrap(), &Context::serial()).unwrap();
        assert!(again.precision() == precision && again.holds_class_scatters());
        assert!(
            again.n_samples() == 0
                && Stats::empty(precision).into_moments(&Context::serial()).is_err()
        );
    }
}

#[test]
fn files_say_what_is_wrong_with_them() {
    let bytes = data((30, 4), Kind::Names, 0.0, 1).whole().to_bytes("").unwrap();
    let problem =
        |bytes: &[u8]| Stats::from_bytes(bytes, &Context::serial()).unwrap_err().to_string();
    let with = |place: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[place] = value;
        bytes
    };
    assert!(problem(&[]).contains("empty"));
    assert!(problem(b"hello").contains("does not begin as those"));
    assert!(problem(&with(8, 1)).contains("version 1"));
    assert!(problem(&with(8, 3)).contains("version 3"));
    assert!(problem(&bytes[..10]).contains("within its head"));
    assert!(problem(&bytes[..100]).contains(&format!("100 of {} bytes", bytes.len())));
    assert!(problem(&with(60, 200)).contains("checksum"));
}

#[test]
fn moments_that_no_rows_have_are_refused() {
    let data = data((40, 3), Kind::Ids, 0.0, 1);
    let good = data.whole().into_moments(&Context::serial()).unwrap();
    let refused = |spoil: fn(&mut Moments)| {
        let mut moments = good.clone();
        spoil(&mut moments);
        Stats::from_moments(moments, &Context::serial()).unwrap_err().to_string()
    };
    let labels = |moments: &mut Moments,
                  spoil: fn(&mut Vec<Label>, &mut Vec<u64>, &mut Vec<f64>)| {
        let Responses::Labels { classes, counts, sums, squares } = &mut moments.responses else {
            panic!()
        };
        spoil(classes, counts, sums);
        if let Some(squares) = squares {
            squares.resize(classes.len(), 0.0);
        }
    };
    assert!(refused(|m| m.n_samples = 0).contains("0 samples"));
    assert!(refused(|m| m.sum[1] = f64::NAN).contains("sum holds NaN at 1"));
    assert!(refused(|m| m.sum[1] = 1e3).contains("sum[1]"));
    assert!(refused(|m| m.scatter[1] += 1.0).contains("mirror"));
    assert!(refused(|m| m.scatter[4] = -1.0).contains("scatter[1, 1] is -1"));
    // Each pair of columns could be, and the three together cannot.
    let impossible = |m: &mut Moments| {
        for (i, j) in [(0, 1), (0, 2), (1, 2)] {
            let product = -0.9 * (m.scatter[4 * i] * m.scatter[4 * j]).sqrt();
            (m.scatter[3 * i + j], m.scatter[3 * j + i]) = (product, product);
        }
    };
    assert!(refused(impossible).contains("less than 0"));
    let of_targets = self::data((40, 3), Kind::Targets, 0.0, 1).whole();
    let mut moments = of_targets.into_moments(&Context::serial()).unwrap();
    let Responses::Targets { joint: Some(joint), .. } = &mut moments.responses else { panic!() };
    joint.own.as_mut().unwrap().products[2] += 1.0;
    let error = Stats::from_moments(moments, &Context::serial()).unwrap_err().to_string();
    assert!(error.contains("target_products[1, 0]") && error.contains("mirror"), "{error}");
    assert!(refused(|m| m.largest = 0.1).contains("at most 1e-1"));
    assert!(refused(|m| m.quartic = 1.0).contains("quartic is 1"));
    assert!(refused(|m| m.cubic.push(0.0)).contains("cubic has 4 numbers, expected 3"));
    let spoilt = |spoil| {
        let mut moments = good.clone();
        labels(&mut moments, spoil);
        Stats::from_moments(moments, &Context::serial()).unwrap_err().to_string()
    };
    assert!(spoilt(|_, counts, _| counts[0] += 1).contains("41 for 40"));
    assert!(spoilt(|_, _, sums| sums[2] += 1.0).contains("class_sums[:, 2]"));
    let squares = |m: &mut Moments| {
        let Responses::Labels { squares, .. } = &mut m.responses else { panic!() };
        squares.as_mut().unwrap()[1] += 1e3;
    };
    assert!(refused(squares).contains("class_squares add up to"));
    assert!(spoilt(|classes, _, _| classes[0] = classes[1].clone()).contains("repeat"));
    // Classes that do not occur are no contradiction.
    let mut moments = good;
    labels(&mut moments, |classes, counts, sums| {
        classes.push(Label::Int(99));
        counts.push(0);
        sums.extend([0.0; 3]);
    });
    assert_eq!(
        Stats::from_moments(moments, &Context::serial()).unwrap().classes(),
        data.whole().classes()
    );
}

/// Integer classes and the same numbers as targets are one thing to regression: however the rows
/// come, and wherever the numbers lie.
#[test]
fn classes_become_targets_at_any_time() {
    for (shape, offset) in [((60, 5), 0), ((60, 5), 1_000_000), ((12, 30), 0), ((12, 30), -1990)] {
        for (classes, constant) in [(false, false), (true, false), (false, true)] {
            let mut ids = data(shape, Kind::Ids, 1e6, 5);
            let n = shape.0;
            ids.classes = classes;
            ids.weights = (0..n).map(|i| (i % 4) as i64).collect();
            ids.labels
                .iter_mut()
                .for_each(|id| *id = if constant { offset } else { *id * 7 + offset });
            let column = ids.labels.iter().map(|id| *id as f64).collect();
            let targets = Array2::from_shape_vec((n, 1), column).unwrap();
            let ids_of = |range| ids.stats(range);
            let as_targets =
                Data { targets, kind: Kind::Targets, ..data(shape, Kind::Ids, 1e6, 5) };
            let as_targets = Data { weights: ids.weights.clone(), classes, ..as_targets };
            let whole = as_targets.whole();
            let (near, far) = (n / 3, 2 * n / 3);
            for converted in [
                ids.whole().into_targets().unwrap(),
                merged(ids_of(0..far), ids_of(far..n)).into_targets().unwrap(),
                merged(ids_of(0..near).into_targets().unwrap(), as_targets.stats(near..n)),
                merged(as_targets.stats(0..near), ids_of(near..n).into_targets().unwrap()),
            ] {
                assert_eq!(converted.holds_rows(), whole.holds_rows());
                assert_eq!(converted.holds_class_scatters(), classes);
                assert_eq!((converted.n_targets(), converted.classes()), (1, Ok(None)));
                let of = |stats: &Stats| stats.clone().into_moments(&Context::serial()).unwrap();
                let (found, wanted) = (of(&converted), of(&whole));
                let (Responses::Targets { shift, sum, square, .. }, Responses::Targets { .. }) =
                    (&found.responses, &wanted.responses)
                else {
                    panic!("targets are held")
                };
                if constant {
                    assert_eq!((shift[0], sum[0], square[0]), (offset as f64, 0.0, 0.0));
                    continue;
                }
                close(&converted, &whole).unwrap();
            }
        }
    }
    let error = data((12, 3), Kind::Names, 0.0, 6).whole().into_targets().unwrap_err();
    assert_eq!(error, Error::MixedLabels);
    for kind in [Kind::Targets, Kind::Nothing] {
        let error = data((12, 3), kind, 0.0, 6).whole().into_targets().unwrap_err();
        assert!(matches!(error, Error::MixedResponse { .. }));
    }
}

#[test]
fn the_check_of_sums_can_be_interrupted() {
    let stop = Context::new(None, &|| true);
    for kind in [Kind::Ids, Kind::Targets] {
        let whole = data((40, 5), kind, 0.0, 3).whole();
        let bytes = whole.to_bytes("").unwrap();
        assert_eq!(Stats::from_bytes(&bytes, &stop).map(|_| ()), Err(Error::Interrupted));
        let moments = whole.into_moments(&Context::serial()).unwrap();
        assert_eq!(Stats::from_moments(moments, &stop).map(|_| ()), Err(Error::Interrupted));
    }
}

#[test]
fn more_classes_than_there_are_bytes_for_are_refused_before_memory_is_taken() {
    let mut data = data((30, 4), Kind::Ids, 0.0, 1);
    let place = data.whole().to_bytes("").unwrap().len() - 32; // where statistics without them end
    data.classes = true;
    let bytes = data.whole().to_bytes("").unwrap();
    let least = 19; // kind and name of a class, precision, flag and number of features
    let most = (bytes.len() - 32 - place - 8) / least;
    let problem = |count: usize| {
        let mut forged = bytes.clone();
        forged[place..place + 8].copy_from_slice(&(count as u64).to_le_bytes());
        Stats::from_bytes(&sealed(forged), &Context::serial()).unwrap_err().to_string()
    };
    assert!(problem(most + 1).contains("more than it has bytes for"));
    assert!(!problem(most).contains("more than it has bytes for"));
}
