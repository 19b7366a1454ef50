//! Linear CKA: the alignment of the centred Gram matrices of features and targets.
//!
//! With X (N, D) the centred features and Ỹ (N, K) the centred targets, or 0/1 columns of the
//! classes, the biased estimator is
//!
//!   CKA = |XᵀỸ|²_F / (|XᵀX|_F |ỸᵀỸ|_F)
//!
//! in [0, 1]; higher is better. It does not change when features or targets are shifted, rotated or
//! scaled as a whole. For features that are independent of the targets it is about D/N more than 0,
//! so the default is the estimator without this bias, `unbiased.rs`.
//!
//! Source: Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019,
//! eqs. (2) and (3) with linear kernels; centred kernel alignment of Cortes et al., JMLR 2012.
//! Cost after the statistics: D² + C D; where rows are held, N²D, and N³ for the biased estimator.
//! Targets beyond D columns need |ỸᵀỸ|_F, which statistics do not hold: N K min(N, K) from the
//! targets themselves.

mod unbiased;

use ndarray::ArrayView2;

use crate::decomp::{CentredTargets, Prepared};
use crate::error::{Error, Result};
use crate::linalg::blas::{axpy, dot, gram_add, row_gram_add, scale};
use crate::linalg::lapack::check_order;
use crate::linalg::memory::{Gather, zeros};
use crate::stats::{Held, Second, Stats, as_rows};
use crate::threads::Context;

use super::{Inputs, Metric, Needs, OptionReader, Outcome};

pub(super) const METRIC: Metric = Metric {
    name: "cka",
    title: "CKA",
    summary: "alignment of the products of features with those of the targets (linear CKA)",
    needs: &[Needs::Stats],
    tasks: &["classification", "regression", "multilabel"],
    decomposes: true,
    cost: "N D min(N, D) + C D",
    source: "Kornblith et al., ICML 2019; Song et al., JMLR 2012",
    compute: score,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Estimator {
    Unbiased,
    Biased,
}

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    let choices = [("unbiased", Estimator::Unbiased), ("biased", Estimator::Biased)];
    let estimator = options.read(|given| given.choice("estimator", &choices))?;
    let prepared = inputs.prepared()?;
    let centred = CentredTargets::new(prepared.stats)?;
    if centred.square.iter().sum::<f64>() <= 0.0 {
        return Err(nothing_varies(inputs));
    }
    let (value, warning) = match estimator {
        Some(Estimator::Biased) => biased(inputs, prepared, &centred, context)?,
        _ => unbiased::score(inputs, prepared, &centred, context)?,
    };
    let warnings = warning.into_iter().collect();
    Ok(Outcome { warnings, ..Outcome::new(value, Vec::new()) })
}

/// The score, with a warning about the features.
type Value = (f64, Option<String>);

fn biased(
    inputs: &Inputs<'_>,
    prepared: &Prepared<'_>,
    centred: &CentredTargets,
    context: &Context<'_>,
) -> Result<Value> {
    let total: f64 = centred.square.iter().sum();
    let norm = match prepared.stats.class_counts()? {
        Some(counts) => norm_of_indicators(&counts),
        None if centred.len() == 1 => total,
        None => total * TargetMoments::new(inputs, prepared.stats, centred, context)?.norm,
    };
    let products = prepared.products(context)?;
    if products.norm <= 0.0 {
        return Ok((0.0, Some(super::FLAT.into())));
    }
    let joint: f64 = products.squares.iter().map(|square| square / norm).sum();
    Ok(((joint / products.norm).clamp(0.0, 1.0), None))
}

fn nothing_varies(inputs: &Inputs<'_>) -> Error {
    let single = inputs.prepared.is_some_and(|prepared| prepared.stats.holds_classes());
    let what =
        if single { "labels hold a single class" } else { "every target is the same in all rows" };
    let remedy = "so there is nothing to align with; give rows in which it varies";
    Error::metric("cka", format!("{what}, {remedy}"))
}

/// |ỸᵀỸ|_F of 0/1 columns: n_c(N − n_c)/N on the diagonal, −n_c n_d/N off it.
fn norm_of_indicators(counts: &[f64]) -> f64 {
    let n: f64 = counts.iter().sum();
    let all: f64 = counts.iter().map(|count| count * count).sum();
    let entries = |count: &f64| {
        let (on, square) = (count * (n - count), count * count);
        on * on + square * (all - square)
    };
    counts.iter().map(entries).sum::<f64>().sqrt() / n
}

/// Moments of several targets, relative to their total square T = tr ỸᵀỸ.
struct TargetMoments {
    /// |ỸᵀỸ|_F/T.
    norm: f64,
    /// Σ w ‖ỹ‖⁴/T².
    fourth: f64,
}

impl TargetMoments {
    /// From the statistics, or else from the targets themselves.
    fn new(
        inputs: &Inputs<'_>,
        stats: &Stats,
        centred: &CentredTargets,
        context: &Context<'_>,
    ) -> Result<Self> {
        let total: f64 = centred.square.iter().sum();
        if let Some((norm, fourth)) = stats.centred_joint()?.and_then(|joint| joint.own) {
            return Ok(Self { norm, fourth });
        }
        if let (Held::Targets(held), Second::Rows { weights, .. }) = (&stats.held, &stats.second) {
            let n = stats.n_samples as f64;
            let mean = held.sum.iter().map(|sum| sum / n).gathered("the mean of the targets")?;
            let rows = as_rows(&held.rows, mean.len());
            return Self::of_rows(rows, Some(weights), (&mean, total), context);
        }
        let Ok(targets) = inputs.targets() else {
            let problem = if centred.len() > stats.n_features {
                "statistics hold the products of targets with one another while there are no more \
                 targets than features, and these have more; give the targets themselves, or fewer \
                 of them"
            } else {
                "the moments hold no target_products, target_cubic and target_quartic, which the \
                 alignment with these targets reads; add them"
            };
            return Err(Error::NotInStatistics { metric: "cka", problem });
        };
        let (actual, expected) = (targets.nrows() as u64, stats.n_samples);
        if actual != expected {
            return Err(Error::OtherSamples { actual, expected });
        }
        Self::of_rows(targets, None, (&centred.mean, total), context)
    }

    /// From rows of targets, the products from the smaller side.
    fn of_rows(
        targets: ArrayView2<'_, f64>,
        weights: Option<&[f64]>,
        (mean, total): (&[f64], f64),
        context: &Context<'_>,
    ) -> Result<Self> {
        let (n_rows, n_targets) = targets.dim();
        let order = n_rows.min(n_targets);
        check_order(order)?;
        let mut gram = zeros::<f64>(order * order, "the products of the targets")?;
        let (unit, mut fourth) = (1.0 / total.sqrt(), 0.0);
        let mut read = |start: usize, rows: ArrayView2<'_, f64>| -> Result<Vec<f64>> {
            let mut panel = zeros::<f64>(rows.len(), "the centred targets")?;
            for (i, (out, row)) in panel.chunks_exact_mut(n_targets).zip(rows.rows()).enumerate() {
                let weight = weights.map_or(1.0, |weights| weights[start + i]);
                out.iter_mut().zip(row).for_each(|(out, y)| *out = *y);
                axpy(-1.0, mean, out);
                scale(unit, out);
                fourth += weight * dot(out, out).powi(2);
                scale(weight.sqrt(), out);
            }
            Ok(panel)
        };
        if n_targets <= n_rows {
            const PANEL: usize = 1024;
            for (i, rows) in targets.axis_chunks_iter(ndarray::Axis(0), PANEL).enumerate() {
                context.check()?;
                gram_add(&read(i * PANEL, rows)?, n_targets, &mut gram);
            }
        } else {
            row_gram_add(&read(0, targets)?, n_targets, 0..n_targets, &mut gram, context)?;
        }
        let (mut on, mut off) = (0.0, 0.0);
        for (i, row) in gram.chunks_exact(order).enumerate() {
            on += row[i] * row[i];
            off += row[i + 1..].iter().map(|entry| entry * entry).sum::<f64>();
        }
        Ok(Self { norm: (on + 2.0 * off).sqrt(), fourth })
    }
}
