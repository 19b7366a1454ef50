//! Linear CKA: the alignment of the centred Gram matrices of features and targets.
//!
//! With X (N, D) the centred features and Ỹ (N, K) the centred targets, or 0/1 columns of the
//! classes,
//!
//!   CKA = |XᵀỸ|²_F / (|XᵀX|_F |ỸᵀỸ|_F)
//!
//! in [0, 1]; higher is better. It does not change when features or targets are shifted, rotated or
//! scaled as a whole.
//!
//! Source: Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019,
//! eqs. (2) and (3) with linear kernels; centred kernel alignment of Cortes et al., JMLR 2012.
//! Cost after the statistics: D² + C D; where rows are held, N²D + N³. Several real targets need
//! |ỸᵀỸ|_F, which statistics do not hold: N K min(N, K) from the targets themselves.

use ndarray::ArrayView2;

use crate::decomp::CentredTargets;
use crate::error::{Error, Result};
use crate::linalg::blas::{axpy, gram_add, row_gram_add, scale};
use crate::linalg::lapack::check_order;
use crate::linalg::memory::zeros;

use super::{Inputs, Metric, Needs, Outcome};

pub(super) const METRIC: Metric = Metric {
    name: "cka",
    title: "CKA",
    summary: "alignment of the products of features with those of the targets (linear CKA)",
    needs: &[Needs::Stats],
    tasks: &["classification", "regression", "multilabel"],
    cost: "N D min(N, D) + C D",
    source: "Kornblith et al., ICML 2019",
    compute: |inputs, options, context| {
        options.none()?;
        let prepared = inputs.prepared()?;
        let centred = CentredTargets::new(prepared.stats);
        let total: f64 = centred.square.iter().sum();
        if total <= 0.0 {
            return Err(nothing_varies(inputs));
        }
        let norm = match prepared.stats.class_counts() {
            Some(counts) => norm_of_indicators(&counts),
            None if centred.len() == 1 => total,
            None => {
                let Ok(targets) = inputs.targets() else {
                    let problem =
                        "statistics do not hold the products of several targets with one another";
                    return Err(Error::NotInStatistics { metric: "cka", problem });
                };
                total * norm_of_targets(targets, &centred.mean, total)?
            }
        };
        let products = prepared.products(context)?;
        let flat = products.norm <= 0.0;
        let joint: f64 = products.squares.iter().map(|square| square / norm).sum();
        let value = if flat { 0.0 } else { joint / products.norm };
        let warnings = flat.then(|| super::FLAT.into()).into_iter().collect();
        Ok(Outcome { warnings, ..Outcome::new(value.clamp(0.0, 1.0), Vec::new()) })
    },
};

fn nothing_varies(inputs: &Inputs<'_>) -> Error {
    let single = inputs.prepared.is_some_and(|prepared| prepared.stats.classes().is_some());
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

/// |ỸᵀỸ|_F over its trace, from the smaller side.
fn norm_of_targets(targets: ArrayView2<'_, f64>, mean: &[f64], total: f64) -> Result<f64> {
    let (n_rows, n_targets) = targets.dim();
    let order = n_rows.min(n_targets);
    check_order(order)?;
    let mut gram = zeros::<f64>(order * order, "the products of the targets")?;
    let unit = 1.0 / total.sqrt();
    let read = |rows: ArrayView2<'_, f64>| -> Result<Vec<f64>> {
        let mut panel = zeros::<f64>(rows.len(), "the centred targets")?;
        for (out, row) in panel.chunks_exact_mut(n_targets).zip(rows.rows()) {
            out.iter_mut().zip(row).for_each(|(out, y)| *out = *y);
            axpy(-1.0, mean, out);
            scale(unit, out);
        }
        Ok(panel)
    };
    if n_targets <= n_rows {
        for rows in targets.axis_chunks_iter(ndarray::Axis(0), 1024) {
            gram_add(&read(rows)?, n_targets, &mut gram);
        }
    } else {
        row_gram_add(&read(targets)?, n_targets, 0..n_targets, &mut gram);
    }
    let (mut on, mut off) = (0.0, 0.0);
    for (i, row) in gram.chunks_exact(order).enumerate() {
        on += row[i] * row[i];
        off += row[i + 1..].iter().map(|entry| entry * entry).sum::<f64>();
    }
    Ok((on + 2.0 * off).sqrt())
}
