//! A short run of the fuzz targets: inputs that once broke a promise, and seeded mutations. `fuzz/` has
//! the targets, the long runs and their counts.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // modules of a crate of its own

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

use fuzz::Target;
use fuzz::campaign::{Campaign, honest};
use fuzz::state::wrapped;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The corpus of a target: the file names say what was found with them.
#[test]
fn the_corpus_breaks_no_promise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for target in Target::ALL {
        let mut n = 0;
        for file in folder.join(target.name()).read_dir().unwrap() {
            let _ = target.run(&std::fs::read(file.unwrap().path()).unwrap());
            n += 1;
        }
        assert!(n > 0, "{target:?} has no corpus");
    }
}

#[test]
fn honest_states_are_used_by_every_target() {
    for content in honest() {
        for (target, input) in [
            (Target::State, &content),
            (Target::Metrics, &content),
            (Target::File, &wrapped(&content)),
        ] {
            assert_eq!(target.run(input), fuzz::Outcome::Used);
        }
    }
}

#[test]
fn forged_states_are_refused_or_read_as_they_are() {
    let [refused, used] = Campaign::new(Target::State, 1).run(30_000);
    assert!(refused > 5_000 && used > 5_000, "{refused} refused, {used} used");
    let [refused, used] = Campaign::new(Target::File, 2).run(10_000);
    assert!(refused > 5_000 && used > 500, "{refused} refused, {used} used");
}

#[test]
fn forged_states_that_are_accepted_give_finite_scores() {
    let [refused, used] = Campaign::new(Target::Metrics, 3).run(2_000);
    assert!(refused > 300 && used > 300, "{refused} refused, {used} used");
}

proptest! {
    // The same rows in every run: `campaign rows` is for others.
    #![proptest_config(ProptestConfig {
        cases: 4000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_rows_in_any_split_keep_the_merge_law(data in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Target::Rows.run(&data);
    }
}
