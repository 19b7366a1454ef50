//! How much each row moves the score: N times the derivative of LogME by the weight of the row.
//!
//! With weights w on the rows, n L is Σᵢ wᵢ ln N(yᵢ; xᵢᵀm, 1/β) plus terms in α and m, less half of
//! ln det A, A = αI + β Σ wᵢ xᵢxᵢᵀ. At the maximum nothing moves to first order with α, β and m, so
//! that for a row i, with n effective samples, r the residual and h the leverage at t = α/β,
//!
//!   ψᵢ = N dL/dwᵢ = (N/n) [½ (ln β − ln 2π − β rᵢ² − hᵢ) − L],    hᵢ = xᵢᵀ (G + tI)⁻¹ xᵢ
//!
//! G is S and x − μ stands for x with an intercept; without, G = S + N μμᵀ and, from z = x − μ and
//! v = (S + tI)⁻¹μ,
//!
//!   hᵢ = zᵀ(S + tI)⁻¹z + 2 zᵀv + μᵀv − N (zᵀv + μᵀv)²/(1 + N μᵀv).
//!
//! (1/N) Σ (wᵢ − 1) ψᵢ is the change of the score to first order. Source: the influence function of
//! Hampel, J. American Statistical Association 69, 1974, of a profiled likelihood. Only
//! the mean over targets is asked for, and zᵀ(S + tI)⁻¹z is linear in its matrix: one sum of inverses, D²
//! for each target, serves all rows by one triangular product, N D².

use crate::decomp::Side;
use crate::error::Result;
use crate::input::Rows;
use crate::linalg::blas::{dot, product_into, triangular_product};
use crate::linalg::lapack::zeros;
use crate::threads::Context;

use super::super::Inputs;
use super::super::centred::{Answers, CentredRows, chunks};
use super::super::leverage::{Shifted, transposed, weighted_inverse};
use super::curves::{Curve, Tridiagonal};
use super::search::Place;
use super::{Found, LogMe};

/// What a target asks of the rows.
struct Asked {
    /// Its place among the columns of the labels or targets.
    column: usize,
    intercept: bool,
    /// T + tI; none where the features say nothing.
    shifted: Option<Shifted>,
    /// ȳ with an intercept, else μᵀm: what is added to zᵀm.
    level: f64,
    /// μᵀv.
    mean_v: f64,
    /// 1/(1 + N μᵀv), times N.
    share: f64,
    beta: f64,
    value: f64,
    /// N/n.
    scale: f64,
}

/// ψ of every row, the mean over targets; none where the tridiagonal form did not decide, or the
/// maximum lies at no finite noise.
pub(super) fn influence(
    inputs: &Inputs<'_>,
    found: &Found,
    logme: LogMe,
    context: &Context<'_>,
) -> Result<Option<Vec<f64>>> {
    let prepared = inputs.prepared()?;
    let within = found.optima.iter().all(super::Optimum::within);
    if prepared.from_samples || !found.by_spectrum.is_empty() || !within {
        return Ok(None);
    }
    let decomp = prepared.decomp(context)?;
    if decomp.side == Side::Dual {
        return Ok(None);
    }
    let (rows, order, n_targets) = (CentredRows::new(inputs)?, decomp.order(), found.targets.len());
    let curve = Tridiagonal::new(decomp);
    let mut asked = Vec::with_capacity(n_targets);
    // (2 · targets, order): m of every target, then v.
    let mut solved = zeros::<f64>(order * 2 * n_targets, "the posterior means")?;
    for (k, ((column, target), best)) in found.targets.iter().zip(&found.optima).enumerate() {
        let n = target.n_samples;
        let mut one = Asked {
            column: *column,
            intercept: logme.intercept,
            shifted: None,
            level: if logme.intercept { target.mean } else { 0.0 },
            mean_v: 0.0,
            share: n,
            beta: target.effective() / best.evidence.q,
            value: best.evidence.value,
            scale: n / target.effective(),
        };
        if best.place != Place::NoSignal {
            let shifted = Shifted::new(&decomp.form, best.t, 0.0);
            let (m, _) = curve.posterior(*column, best.t, best.evidence.r);
            let mut v = decomp.mean_vector().to_vec();
            let Some(shifted) = shifted else { return Ok(None) };
            shifted.solve(&mut v);
            if !logme.intercept {
                one.level = dot(decomp.mean_vector(), &m);
                one.mean_v = dot(decomp.mean_vector(), &v).max(0.0);
                one.share = n / (1.0 + n * one.mean_v);
            }
            solved[k * order..][..order].copy_from_slice(&m);
            solved[(n_targets + k) * order..][..order].copy_from_slice(&v);
            one.shifted = Some(shifted);
        }
        asked.push(one);
    }
    // m and v in the basis of the features, a column each.
    decomp.form.rotate_back(&mut solved)?;
    let solved = transposed(&solved, order)?;
    let terms: Vec<(&Shifted, f64)> = asked
        .iter()
        .filter_map(|one| Some((one.shifted.as_ref()?, one.scale / (2 * n_targets) as f64)))
        .collect();
    let inverse = weighted_inverse(&decomp.form, &terms, context)?;
    let answers = Answers::new(inputs, &rows)?;
    let n_columns = prepared.stats.n_targets();
    let chunks = chunks(rows.n_rows(), ((1 << 19) / order).clamp(32, 256));
    let parts = context.map(chunks.len(), |chunk| {
        of_rows(&rows, chunks[chunk].clone(), &inverse, &solved, &asked, &answers, n_columns)
    })?;
    Ok(Some(parts.into_iter().flatten().collect()))
}

fn of_rows(
    rows: &CentredRows<'_>,
    range: std::ops::Range<usize>,
    inverse: &[f64],
    solved: &[f64],
    asked: &[Asked],
    answers: &Answers<'_>,
    n_columns: usize,
) -> Result<Vec<f64>> {
    let (n, order, n_targets) = (range.len(), inverse.len().isqrt(), asked.len());
    let mut centred = zeros::<f64>(n * order, "a panel of rows")?;
    for (i, row) in range.clone().zip(centred.chunks_exact_mut(order)) {
        rows.read_row(i, row);
    }
    let mut along = zeros::<f64>(n * 2 * n_targets, "a panel of predictions")?;
    product_into(&centred, solved, &mut along, n, 2 * n_targets);
    let mut y = zeros::<f64>(n * n_columns, "a panel of targets")?;
    for (i, y) in range.zip(y.chunks_exact_mut(n_columns)) {
        answers.read(rows, i, y);
    }
    let mut reach = centred.clone();
    triangular_product(&mut reach, inverse, order);
    let rows = centred.chunks_exact(order).zip(reach.chunks_exact(order));
    let mut total: Vec<f64> = rows.map(|(x, reach)| -dot(x, reach)).collect();
    for (k, one) in asked.iter().enumerate() {
        let found = along.chunks_exact(2 * n_targets).zip(y.chunks_exact(n_columns));
        for (total, (along, y)) in total.iter_mut().zip(found) {
            let residual = y[one.column] - one.level - along[k];
            let mut leverage = 0.0; // but for zᵀ(S + tI)⁻¹z, of which all have their sum
            if !one.intercept {
                let along_v = along[n_targets + k];
                let both = along_v + one.mean_v;
                leverage += along_v + both - one.share * both * both;
            }
            let own = one.beta.ln() - std::f64::consts::TAU.ln();
            let term = (own - one.beta * residual * residual - leverage) / 2.0 - one.value;
            *total += one.scale * term / n_targets as f64;
        }
    }
    Ok(total)
}
