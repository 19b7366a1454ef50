//! SFDA: linear discriminant analysis, fitted again after unsure rows were mixed with other classes.
//!
//! 1. Fit a linear discriminant (`discriminant/`) at the shrinkage a = max(exp(−5 σ), 1e-10), σ the
//!    spread of the covariance within classes by three double steps of the power method.
//! 2. `ConfMix`: with p = softmax(posterior of x) at the class c of x, a second softmax that keeps p
//!    below 1, x ← p x + (1 − p) m_c, m_c being the plain mean of the other classes' means.
//! 3. Fit again to these rows at the same shrinkage; the score is the mean over them of the
//!    posterior of the true class, in (0, 1]; higher is better. (The authors leave out the logarithm.)
//!
//! Source: Shao, Zhao, Ge, Zhang, Yang, Wang, Shan, Luo, "Not All Models Are Equal: Predicting Model
//! Transferability in a Self-challenging Fisher Space", ECCV 2022, sections 4.1 (Reg-FDA, the shrinkage)
//! and 4.2 (`ConfMix`, the score). Steps, floor and shrinkage of the second fit as in the authors' code.
//!
//! Departures: none where the code returns a number, up to rounding (it does not centre); W = 0 is
//! the limit, with a warning, where the code has 0/0. Where the start of the power method is rounding, σ
//! is the largest eigenvalue of the covariance within classes.
//!
//! Not invariant to scale: features in large units have a → 1e-10, and are all told apart at N ≤ D.

use crate::error::Result;
use crate::linalg::blas::{axpy, scale};
use crate::linalg::memory::zeros;
use crate::threads::Context;

use super::discriminant::{Problem, Read};
use super::lda::outcome;
use super::{Detail, Inputs, Metric, Needs, OptionReader, Outcome};

pub(super) const METRIC: Metric = Metric {
    name: "sfda",
    title: "SFDA",
    summary: "mean posterior of the true class after unsure samples were mixed with other classes",
    needs: &[Needs::Stats, Needs::Samples],
    tasks: &["classification"],
    decomposes: true,
    cost: "2 N D min(N, D) + 2 N C min(N, D)",
    source: "Shao et al., ECCV 2022",
    compute: score,
};

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    options.none()?;
    let mut problem = Problem::new("sfda", inputs, context)?;
    let shrinkage = problem.adaptive_shrinkage(context)?;
    let (sure, _) = problem.each(shrinkage, Read::Softened, context)?;
    let certainty = problem.classes.sums(&sure)?.iter().sum::<f64>() / problem.classes.n_samples();

    let points = means_of_others(&problem.means, problem.classes.counts.len())?;
    let mut harder = problem.mixed(sure, points, context)?;
    let (own, collapsed) = harder.each(shrinkage, Read::Own, context)?;
    let mut outcome = outcome(&harder, &own, shrinkage, collapsed)?;
    outcome.details.push(("certainty", Detail::Number(certainty)));
    Ok(outcome)
}

/// For every class, the plain mean of the means of all others, (C, r).
fn means_of_others(means: &[f64], n_classes: usize) -> Result<Vec<f64>> {
    let order = means.len() / n_classes;
    let mut sum = zeros(order, "the means of the other classes")?;
    means.chunks_exact(order).for_each(|mean| axpy(1.0, mean, &mut sum));
    let mut others = zeros::<f64>(means.len(), "the means of the other classes")?;
    for (out, mean) in others.chunks_exact_mut(order).zip(means.chunks_exact(order)) {
        out.copy_from_slice(&sum);
        axpy(-1.0, mean, out);
        scale(1.0 / (n_classes as f64 - 1.0), out);
    }
    Ok(others)
}
