//! NCE: the negative conditional entropy of the labels given the source model's classes.
//!
//! For source classes `z_i` and labels `y_i`, i = 1..N, with n(y, z) the rows of both and n(z) those
//! of z:
//!
//! ```text
//! NCE = -H(Y|Z) = (1/N) Σ_{y, z} n(y, z) ln(n(y, z)/n(z))     nats a sample, -H(Y) ≤ NCE ≤ 0
//! ```
//!
//! NCE + H(Y) is the mutual information of the two. Only pairs that occur are counted: O(N log N)
//! time and O(N) memory, however many classes there are.
//!
//! With the option `influence` and without `normalize`, also N times the derivative by the weight of
//! every row. The frequencies maximise the likelihood, so a row moves its own term alone:
//! ψ_i = ln(n(y_i, z_i)/n(z_i)) - NCE.
//!
//! Source: Tran, Nguyen, Hassner, ICCV 2019. Departures from published code: none in value; it adds
//! 1e-20 inside the logarithm and 1/N once a row, both below rounding.

use super::source_terms::{Classes, Normalize};
use super::{Detail, Inputs, Metric, Needs, OptionReader, Outcome};
use crate::error::{Error, Result};
use crate::linalg::memory::{Gather, append, zeros};
use crate::threads::Context;

pub(super) const METRIC: Metric = Metric {
    name: "nce",
    title: "NCE",
    summary: "negative entropy of the labels given the source model's predicted classes",
    needs: &[Needs::SourceLabels],
    tasks: &["classification"],
    decomposes: false,
    cost: "N log N",
    source: "Tran et al., ICCV 2019",
    compute: score,
};

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    let (normalize, with_influence) =
        options.read(|given| Ok((Normalize::read(given)?, given.flag("influence")?)))?;
    let classes = Classes::new(inputs)?;
    let source = inputs.source_labels()?;
    let (actual, expected) = (source.len(), classes.codes.len());
    if actual != expected {
        return Err(Error::Shape { name: "source_labels", axis: "rows", actual, expected });
    }
    context.check()?;
    let pairs = source.iter().copied().zip(classes.codes.iter().copied());
    let mut pairs: Vec<(i64, u32)> = pairs.gathered("the pairs of classes")?;
    pairs.sort_unstable();
    let mut sums = zeros::<f64>(classes.counts.len(), "the pairs of classes")?;
    let mut n_source = 0;
    let mut logs = Vec::new(); // of every pair that occurs, in order
    for of_source in pairs.chunk_by(|a, b| a.0 == b.0) {
        n_source += 1;
        for same in of_source.chunk_by(|a, b| a.1 == b.1) {
            let (count, of) = (same.len() as f64, of_source.len() as f64);
            let log = (count / of).ln();
            sums[same[0].1 as usize] += count * log;
            append(&mut logs, (same[0], log), "the pairs of classes")?;
        }
    }
    let mut outcome = classes.outcome("nce", &sums, normalize, n_source)?;
    if with_influence && normalize == Normalize::No {
        let influence = source.iter().zip(&classes.codes).map(|(z, y)| {
            let place = logs.partition_point(|(pair, _)| *pair < (*z, *y));
            logs[place].1 - outcome.value
        });
        outcome.details.push((
            "influence",
            Detail::Numbers(influence.gathered("the influences of the rows")?),
        ));
    }
    Ok(outcome)
}
