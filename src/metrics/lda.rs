//! LDA: the mean posterior of the true class under linear discriminant analysis.
//!
//! Gaussian classes of one covariance, shrunk towards a multiple of the identity (formula in
//! `discriminant/`), fitted to the samples and evaluated on the same samples:
//!
//!   (1/N) Σᵢ p(yᵢ | xᵢ),  in (0, 1]; higher is better
//!
//! Source: Gholami, Akbari, Wang, Behnam, Zhou, "`ETran`: Energy-Based Transferability Estimation",
//! ICCV 2023, the classification score S_cls. The shrinkage is that of SFDA by default (Shao et al.,
//! "Not All Models Are Equal", ECCV 2022): a = max(exp(−5 σ), 1e-10), σ the spread of the covariance
//! within classes. It depends on the scale of the features, as in their codes; `shrinkage` as
//! a number does not.
//!
//! Departures:
//! - `ETran`'s code passes Σ⁻¹(Sb), which is not symmetric, to a solver for symmetric matrices. The
//!   eigenvectors that it returns are orthonormal, and Σ drops out: it scores distances to the
//!   class means. Here Σ is in, as in the paper.
//! - W = 0 is the limit, with a warning, not 0/0.

use std::ops::Bound::{Excluded, Included};

use crate::error::Result;
use crate::linalg::memory::Gather;
use crate::threads::Context;

use super::centred::lone_samples;
use super::discriminant::{Problem, Read};
use super::{Detail, Inputs, Metric, Needs, OptionReader, Outcome};

const SCORES: &str = "the scores of the classes";

pub(super) const METRIC: Metric = Metric {
    name: "lda",
    title: "LDA",
    summary: "mean posterior of the true class under linear discriminant analysis",
    needs: &[Needs::Stats, Needs::Samples],
    tasks: &["classification"],
    decomposes: true,
    cost: "N D min(N, D) + N C min(N, D)",
    source: "Gholami et al., ICCV 2023 (ETran, classification score)",
    compute: score,
};

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    let shrinkage =
        options.read(|given| given.number("shrinkage", (Excluded(0.0), Included(1.0))))?;
    let mut problem = Problem::new("lda", inputs, context)?;
    let shrinkage = shrinkage.map_or_else(|| problem.adaptive_shrinkage(context), Ok)?;
    let (own, collapsed) = problem.each(shrinkage, Read::Own, context)?;
    outcome(&problem, &own, shrinkage, collapsed)
}

/// The outcome of `lda` and `sfda` from the posterior of the true class of every row.
pub(super) fn outcome(
    problem: &Problem<'_>,
    own: &[f64],
    shrinkage: f64,
    collapsed: bool,
) -> Result<Outcome> {
    const ALL: f64 = 1.0 - 1e-9; // indistinguishable from 1
    let classes = &problem.classes;
    let sums = classes.sums(own)?;
    let value = sums.iter().sum::<f64>() / classes.n_samples();
    let per_target = sums.iter().zip(&classes.counts).map(|(sum, n)| sum / n).gathered(SCORES)?;
    let saturated = per_target.iter().map(|value| *value > ALL).gathered(SCORES)?;
    let effect = "which is its own class mean and says nothing about variation";
    let mut warnings: Vec<String> = lone_samples(&classes.counts, effect).into_iter().collect();
    if collapsed {
        warnings.push(
            "the features do not vary within classes: the score is the limit of no variation, \
             in which classes of different means are told apart for certain"
                .into(),
        );
    }
    if saturated.iter().all(|saturated| *saturated) {
        warnings.push(format!(
            "the posterior is 1 on all {} samples: models that score 1 cannot be told apart; use \
             more samples per feature",
            classes.n_samples()
        ));
    }
    let details =
        vec![("shrinkage", Detail::Number(shrinkage)), ("saturated", Detail::Flags(saturated))];
    Ok(Outcome { details, warnings, ..Outcome::new(value, per_target) })
}
