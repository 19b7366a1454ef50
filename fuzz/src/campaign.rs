//! Seeded mutation of a pool of inputs: what is accepted joins the pool, so that mutations add up.

use std::sync::Arc;

use ndarray::Array2;
use transferability::input::{Block, Response};
use transferability::stats::{Precision, Stats};
use transferability::threads::Context;

use super::forge::{Random, mutated};
use super::state::{content, wrapped};
use super::{Outcome, Target};

/// Inputs beyond which a new one replaces an old one.
const MOST: usize = 512;

/// The inputs of a target, one after the other.
pub struct Campaign {
    target: Target,
    random: Random,
    first: Vec<Vec<u8>>,
    pool: Vec<Vec<u8>>,
}

impl Campaign {
    /// From the same seed come the same inputs.
    #[must_use]
    pub fn new(target: Target, seed: u64) -> Self {
        let first = if target == Target::Rows { Vec::new() } else { honest() };
        Self { target, random: Random(seed), pool: first.clone(), first }
    }

    /// The next input.
    pub fn draw(&mut self) -> Vec<u8> {
        let random = &mut self.random;
        if self.target == Target::Rows {
            let n = random.pick(&[4, 40, 80, 160, 320]);
            let zeros = random.below(8) == 0; // as bytes that were cut off read
            return if zeros { vec![0; n] } else { random.bytes(n) };
        }
        // Half of them close to honest states, half of them further and further away.
        let pool = if random.below(2) == 0 { &self.first } else { &self.pool };
        let place = random.below(pool.len());
        let other = &self.first[random.below(self.first.len())];
        let forged = mutated(&pool[place], other, random);
        if self.target != Target::File {
            return forged;
        }
        let mut bytes = wrapped(&forged);
        match random.below(4) {
            0 => bytes.truncate(random.below(bytes.len())),
            1 => {
                let place = random.below(bytes.len().min(28));
                bytes[place] = random.u64().to_le_bytes()[0];
            }
            2 => {
                let place = random.below(bytes.len());
                bytes[place] ^= 1 << random.below(8);
            }
            _ => {}
        }
        bytes
    }

    /// Keeps an input that was accepted.
    pub fn keep(&mut self, input: Vec<u8>) {
        if matches!(self.target, Target::Rows | Target::File) {
            return;
        }
        if self.pool.len() < MOST {
            self.pool.push(input);
        } else {
            let place = self.random.below(MOST);
            self.pool[place] = input;
        }
    }

    /// Runs `n` inputs; returns how many were refused, and how many used.
    ///
    /// # Panics
    /// At the first input that breaks a promise.
    pub fn run(&mut self, n: usize) -> [usize; 2] {
        let mut counts = [0; 2];
        for _ in 0..n {
            let input = self.draw();
            let outcome = self.target.run(&input);
            counts[usize::from(outcome == Outcome::Used)] += 1;
            if outcome == Outcome::Used {
                self.keep(input);
            }
        }
        counts
    }
}

/// The contents of honest states of every form: classes by number and name, targets, nothing; rows and
/// scatters; classes on their own; both precisions.
///
/// # Panics
/// If one cannot be made.
#[must_use]
pub fn honest() -> Vec<Vec<u8>> {
    let mut found =
        vec![content(&Stats::empty(Precision::Double).to_bytes("").expect("fits")).to_vec()];
    let names: [Arc<str>; 3] = ["ant", "bee", "cat"].map(Arc::from);
    let mut random = Random(1);
    for (n, d) in [(12, 2), (20, 3), (4, 5), (1, 2), (2, 1)] {
        let ids: Vec<i64> = (0..n).map(|i| [7, 8, 9][i % 3] - 7).collect();
        let mut features = Array2::from_shape_simple_fn((n, d), || random.unit() - 0.5);
        for (mut row, id) in features.rows_mut().into_iter().zip(&ids) {
            row[0] += 2.0 + *id as f64;
        }
        let targets = Array2::from_shape_simple_fn((n, 2), || random.unit())
            + features.column(0).insert_axis(ndarray::Axis(1));
        let wide = Array2::from_shape_simple_fn((n, d + 1), || random.unit());
        let weights: Vec<i64> = (0..n).map(|i| [1, 2, 3][i % 3]).collect();
        for response in [
            Response::Labels { ids: &ids, names: None },
            Response::Labels { ids: &ids, names: Some(&names) },
            Response::Targets(targets.view()),
            Response::Targets(wide.view()),
            Response::Nothing(n),
        ] {
            let labelled = matches!(response, Response::Labels { .. });
            for (precision, classes) in [
                (Precision::Double, false),
                (Precision::Single, false),
                (Precision::Double, labelled),
            ] {
                let mut stats = Stats::empty(precision);
                if classes {
                    stats = stats.with_class_scatters();
                }
                let block =
                    Block::new(&features, response.reborrow(), Some(&weights)).expect("good");
                stats.push(&block, &Context::serial()).expect("good rows");
                found.push(content(&stats.to_bytes("{}").expect("fits")).to_vec());
            }
        }
    }
    found
}
