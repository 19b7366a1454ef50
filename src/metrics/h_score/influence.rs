//! Influence of every row on the H-score: N times the derivative by the weight of the row.
//!
//! With weights w on the rows, H = tr(S⁻¹B), S = Σ w xxᵀ over the centred rows x (D,) and
//! B = Σ_c b_c b_cᵀ/n_c. A row of class c adds w xxᵀ to S, w x to b_c and w to n_c; that the mean
//! moves too has no effect of first order, as the centred rows sum to zero. With δ_k = b_k/n_k and
//! v_k = S⁻¹δ_k (D,), one for every class k:
//!
//!   ψ = N [2 xᵀv_c − δ_cᵀv_c − Σ_k n_k (xᵀv_k)²]
//!
//! Source: the influence function of Hampel, J. American Statistical Association 69, 1974.
//! Cost: C D² for the v_k and N C D for the rows.

use crate::decomp::{CentredTargets, Prepared};
use crate::error::Result;
use crate::input::Rows;
use crate::linalg::blas::{dot, product_into, scale};
use crate::linalg::memory::{Gather, joined, zeros};
use crate::threads::{Context, chunks};

use super::super::Inputs;
use super::super::centred::CentredRows;
use super::super::leverage::transposed;

/// The least pivot of S at unit diagonal. Below it, rounding decides which directions count.
const LEAST_PIVOT: f64 = 1e-12;

const INFLUENCES: &str = "the influences of the rows";

/// ψ of every row that counts, without shrinkage; none where S is singular or nearly so.
pub(super) fn influence(inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Option<Vec<f64>>> {
    let prepared = inputs.prepared()?;
    let stats = prepared.stats;
    if stats.holds_rows() || !prepared.factor(context)?.is_regular(LEAST_PIVOT) {
        return Ok(None);
    }
    let Some(counts) = stats.class_counts()? else { return Ok(None) };
    let (solved, own) = solved_means(prepared, &counts, context)?;
    let rows = CentredRows::new(inputs)?;
    let codes = rows.codes(inputs)?;
    let (n_samples, n_classes) = (stats.n_samples as f64, counts.len());
    let chunks = chunks(rows.n_rows(), ((1 << 19) / stats.n_features).clamp(32, 256))?;
    let parts = context.map(chunks.len(), |chunk| {
        let range = chunks[chunk].clone();
        let centred = rows.panel(range.clone())?;
        let mut along = zeros::<f64>(range.len() * n_classes, "products with the class means")?;
        product_into(&centred, &solved, &mut along, range.len(), n_classes);
        let psi = |(i, along): (usize, &[f64])| {
            let c = codes[i] as usize;
            let spread: f64 = counts.iter().zip(along).map(|(n, along)| n * along * along).sum();
            n_samples * (2.0 * along[c] - own[c] - spread)
        };
        range.zip(along.chunks_exact(n_classes)).map(psi).gathered(INFLUENCES)
    })?;
    joined(parts, INFLUENCES).map(Some)
}

/// The v_k as columns, (D, C), and δ_kᵀv_k, (C,).
fn solved_means(
    prepared: &Prepared<'_>,
    counts: &[f64],
    context: &Context<'_>,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let (stats, n_features) = (prepared.stats, prepared.stats.n_features);
    let targets = CentredTargets::new(stats)?;
    let mut means = targets.primal(stats, &stats.mean_about_shift()?)?;
    means.chunks_exact_mut(n_features).zip(counts).for_each(|(b, n)| scale(1.0 / n, b));
    let solved = prepared.factor(context)?.solve(&means)?;
    let rows = means.chunks_exact(n_features).zip(solved.chunks_exact(n_features));
    let own = rows.map(|(mean, v)| dot(mean, v)).gathered(INFLUENCES)?;
    Ok((transposed(&solved, n_features)?, own))
}
