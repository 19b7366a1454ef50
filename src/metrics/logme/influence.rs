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
//! Hampel, J. American Statistical Association 69, 1974, of a profiled likelihood. Rows go to the
//! basis of the tridiagonal form: N D² for all, then N D for each target.

use crate::decomp::Side;
use crate::error::Result;
use crate::input::Rows;
use crate::linalg::blas::{dot, product_into};
use crate::linalg::lapack::zeros;
use crate::threads::Context;

use super::super::Inputs;
use super::super::centred::{Answers, CentredRows, chunks};
use super::super::leverage::{Shifted, transposed};
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
    // (order, 2 · targets): m and v of every target beside each other.
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
            let columns = solved.chunks_exact_mut(2 * n_targets);
            for ((row, m), v) in columns.zip(&m).zip(&v) {
                row[k] = *m;
                row[n_targets + k] = *v;
            }
            one.shifted = Some(shifted);
        }
        asked.push(one);
    }
    let mut basis = zeros::<f64>(order * order, "the basis of a tridiagonal form")?;
    let mut parts: Vec<&mut [f64]> = basis.chunks_mut(128 * order).collect();
    context.for_each_mut(&mut parts, |part, rows| {
        for (i, row) in rows.chunks_exact_mut(order).enumerate() {
            row[part * 128 + i] = 1.0;
        }
        decomp.form.rotate(rows)
    })?;
    let answers = Answers::new(inputs, &rows)?;
    let n_columns = prepared.stats.n_targets();
    let chunks = chunks(rows.n_rows(), ((1 << 19) / order).clamp(32, 256));
    let parts = context.map(chunks.len(), |chunk| {
        of_rows(&rows, chunks[chunk].clone(), &basis, &solved, &asked, &answers, n_columns)
    })?;
    Ok(Some(parts.into_iter().flatten().collect()))
}

fn of_rows(
    rows: &CentredRows<'_>,
    range: std::ops::Range<usize>,
    basis: &[f64],
    solved: &[f64],
    asked: &[Asked],
    answers: &Answers<'_>,
    n_columns: usize,
) -> Result<Vec<f64>> {
    let (n, order, n_targets) = (range.len(), basis.len().isqrt(), asked.len());
    let mut centred = zeros::<f64>(n * order, "a panel of rows")?;
    for (i, row) in range.clone().zip(centred.chunks_exact_mut(order)) {
        rows.read_row(i, row);
    }
    let mut panel = zeros::<f64>(n * order, "a panel of rows")?;
    product_into(&centred, basis, &mut panel, n, order);
    let mut along = zeros::<f64>(n * 2 * n_targets, "a panel of predictions")?;
    product_into(&panel, solved, &mut along, n, 2 * n_targets);
    let mut y = zeros::<f64>(n * n_columns, "a panel of targets")?;
    for (i, y) in range.zip(y.chunks_exact_mut(n_columns)) {
        answers.read(rows, i, y);
    }
    let across = transposed(&panel, order)?;
    let (mut forward, mut reach) = (vec![0.0; n], vec![0.0; n]);
    let mut total = vec![0.0; n];
    for (k, one) in asked.iter().enumerate() {
        reach.fill(0.0);
        if let Some(shifted) = &one.shifted {
            shifted.squares(&across, &mut forward, &mut reach);
        }
        let found = along.chunks_exact(2 * n_targets).zip(y.chunks_exact(n_columns)).zip(&reach);
        for (total, ((along, y), reach)) in total.iter_mut().zip(found) {
            let residual = y[one.column] - one.level - along[k];
            let mut leverage = *reach;
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
