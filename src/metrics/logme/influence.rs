//! The influence function of LogME: N times the derivative of the score by the weight of a row.
//!
//! With weights w on the rows, n L is Σᵢ wᵢ ln N(yᵢ; xᵢᵀm, 1/β) plus terms in α and m, less half of
//! ln det A, A = αI + β Σ wᵢ xᵢxᵢᵀ. At the maximum it is stationary in α, β and m (envelope
//! theorem), so that for a row i, with n effective samples, r the residual and h the leverage at t
//! = α/β,
//!
//!   ψᵢ = N dL/dwᵢ = (N/n) [½ (ln β − ln 2π − β rᵢ² − hᵢ) − L],    hᵢ = xᵢᵀ (G + tI)⁻¹ xᵢ
//!
//! G is S and x − μ stands for x with an intercept; without, G = S + N μμᵀ and, from z = x − μ and
//! v = (S + tI)⁻¹μ,
//!
//!   hᵢ = zᵀ(S + tI)⁻¹z + 2 zᵀv + μᵀv − N (zᵀv + μᵀv)²/(1 + N μᵀv).
//!
//! With z-scored features the mean and the scales depend on the weights too. A weight moves ln σⱼ by
//! (zⱼ² − 1)/2N and the mean of z by z/N, so that, with A/β = S + tI and N ȳ the sum of residuals,
//!
//!   ψᵢ gains −Σⱼ gⱼ (zᵢⱼ² − 1) − (N/n) β ȳ zᵢᵀm,    gⱼ = (1/2n) [α mⱼ² − 1 + t (S + tI)⁻¹ⱼⱼ],
//!
//! the last term without an intercept only.
//!
//! The score moves by (1/N) Σ (wᵢ − 1) ψᵢ to first order. Source: the influence function of Hampel,
//! J. American Statistical Association 69, 1974, of a profiled likelihood.
//!
//! Only the mean over targets is returned, and zᵀ(S + tI)⁻¹z is linear in its matrix, so that one sum of
//! inverses serves all targets. It comes from one of two decompositions:
//!
//! - N > D, the tridiagonal form: D² for each target, and one triangular product, N D².
//! - else, or where the form did not decide, the spectrum X = U diag(√λ) Vᵀ of the samples: the sum is
//!   diagonal in the coordinates Vᵀz, N D min(N, D).

use std::ops::Range;

use crate::decomp::{Prepared, Shifted, Side, Spectrum};
use crate::error::Result;
use crate::input::Rows;
use crate::linalg::blas::{dot, product_into, triangular_product};
use crate::linalg::memory::{Gather, copied, joined, reserved, zeros};
use crate::threads::{Context, chunks};

use super::super::Inputs;
use super::super::centred::{Answers, CentredRows};
use super::super::leverage::{transposed, weighted_inverse};
use super::curves::{Curve, Tridiagonal};
use super::evidence::{Evidence, Target, log_determinant};
use super::find::{Maximum, Source};
use super::search::{Location, Optimum};

/// The tolerated relative and absolute difference between two computations of one evidence. Beyond
/// it, influences from one computation do not belong to the score of the other.
const SAME: f64 = 1e-7;

const TERMS: &str = "the terms of the influences";

/// The constants of a target that all rows share.
struct Terms {
    /// Its number among the columns of the labels or targets.
    column: usize,
    intercept: bool,
    /// ȳ.
    mean: f64,
    /// ȳ with an intercept, else μᵀm, which is added to zᵀm.
    level: f64,
    /// μᵀv.
    mean_v: f64,
    /// N/(1 + N μᵀv).
    share: f64,
    beta: f64,
    value: f64,
    /// N/n.
    scale: f64,
}

impl Terms {
    /// The terms without signal: m = 0 and v = 0.
    fn without_signal(Maximum { target, best, .. }: &Maximum) -> Self {
        Self {
            column: target.column,
            intercept: target.intercept,
            mean: target.mean,
            level: if target.intercept { target.mean } else { 0.0 },
            mean_v: 0.0,
            share: target.n_samples,
            beta: target.effective() / best.evidence.q,
            value: best.evidence.value,
            scale: target.n_samples / target.effective(),
        }
    }

    /// The terms at an evidence, with μᵀm and μᵀv.
    fn at(self, target: &Target, evidence: &Evidence, mean_m: f64, mean_v: f64) -> Self {
        let (beta, value) = (target.effective() / evidence.q, evidence.value);
        if self.intercept {
            return Self { beta, value, ..self };
        }
        let (n, mean_v) = (target.n_samples, mean_v.max(0.0));
        Self { beta, value, level: mean_m, mean_v, share: n / (1.0 + n * mean_v), ..self }
    }
}

/// Coordinates of rows, and in them Σ over targets of N/(2 C n) (S + tI)⁻¹.
enum Coordinates {
    /// z itself, (D,), with the upper triangle (D, D) of U for which zᵀUz is the sum.
    Features(Vec<f64>),
    /// Vᵀz, (k,), with V, (D, k), and the diagonal of the sum, (k,).
    Directions { basis: Vec<f64>, diagonal: Vec<f64> },
}

/// The posterior of all targets, ready for rows.
struct Posterior {
    coordinates: Coordinates,
    /// m of every target, then v, in these coordinates, (order, 2 · targets).
    solved: Vec<f64>,
    terms: Vec<Terms>,
    /// gⱼ, the mean over targets, (D,); none for features as they are.
    scales: Option<Vec<f64>>,
}

/// The z-scored features that were scored: their statistics and 1/σ of every column.
#[derive(Clone, Copy)]
pub(super) struct Standardised<'a> {
    pub(super) prepared: &'a Prepared<'a>,
    pub(super) inverse: &'a [f64],
}

/// Return ψ of every row, the mean over targets.
///
/// None where a maximum lies at no finite noise, where rows that repeat count once, or where the spectrum of the samples gives another
/// evidence than the score.
pub(super) fn influence(
    inputs: &Inputs<'_>,
    standard: Option<Standardised<'_>>,
    maxima: &[Maximum],
    context: &Context<'_>,
) -> Result<Option<Vec<f64>>> {
    if !maxima.iter().all(|one| one.best.within() && !one.target.repeats()) {
        return Ok(None);
    }
    let found = match of_form(inputs, standard, maxima, context)? {
        Some(found) => Some(found),
        None => of_spectrum(inputs, standard, maxima, context)?,
    };
    let Some(posterior) = found else { return Ok(None) };
    let rows = CentredRows::new(inputs)?;
    let answers = Answers::new(inputs, &rows)?;
    let n_columns = inputs.prepared()?.stats.n_targets();
    let chunks = chunks(rows.n_rows(), ((1 << 19) / rows.n_cols()).clamp(32, 256))?;
    let parts = context.map(chunks.len(), |chunk| {
        let inverse = standard.map(|standard| standard.inverse);
        posterior.of_rows(&rows, inverse, chunks[chunk].clone(), &answers, n_columns)
    })?;
    joined(parts, "the influences of the rows").map(Some)
}

/// From the tridiagonal form of S; none unless it decided all targets.
fn of_form(
    inputs: &Inputs<'_>,
    standard: Option<Standardised<'_>>,
    maxima: &[Maximum],
    context: &Context<'_>,
) -> Result<Option<Posterior>> {
    let prepared = match standard {
        Some(standard) => standard.prepared,
        None => inputs.prepared()?,
    };
    if prepared.from_samples || maxima.iter().any(|one| one.source == Source::Spectrum) {
        return Ok(None);
    }
    let decomp = prepared.decomp(context)?;
    if decomp.side == Side::Dual {
        return Ok(None);
    }
    let (order, n_targets) = (decomp.order(), maxima.len());
    let curve = Tridiagonal::new(decomp);
    let (mut terms, mut shifts) = (reserved(n_targets, TERMS)?, reserved(n_targets, TERMS)?);
    // (2 · targets, order).
    let mut solved = zeros::<f64>(order * 2 * n_targets, "the posterior means")?;
    for (k, one) in maxima.iter().enumerate() {
        let (target, best) = (&one.target, &one.best);
        let mut own = Terms::without_signal(one);
        if best.location != Location::NoSignal {
            let Optimum { t, evidence, .. } = best;
            let Some(shifted) = Shifted::new(&decomp.form, *t, 0.0)? else { return Ok(None) };
            let (m, _) = curve.posterior(target.column, *t, evidence.r)?;
            let mut v = copied(decomp.mean_vector(), TERMS)?;
            shifted.solve(&mut v);
            let along = |vector: &[f64]| dot(decomp.mean_vector(), vector);
            own = own.at(target, evidence, along(&m), along(&v));
            solved[k * order..][..order].copy_from_slice(&m);
            solved[(n_targets + k) * order..][..order].copy_from_slice(&v);
            shifts.push((shifted, own.scale / (2 * n_targets) as f64));
        }
        terms.push(own);
    }
    decomp.form.rotate_back(&mut solved, context)?;
    let scales = if standard.is_some() {
        // Σ w t (S + tI)⁻¹ over the targets with signal, and Σ w α m².
        let signal = maxima.iter().filter(|one| one.best.location != Location::NoSignal);
        let with_t = shifts
            .iter()
            .zip(signal)
            .map(|((shifted, weight), one)| (shifted, weight * one.best.t))
            .gathered(TERMS)?;
        let total: f64 = shifts.iter().map(|(_, weight)| weight).sum();
        let shrunk = weighted_inverse(&decomp.form, &with_t, context)?;
        let diagonal = shrunk.iter().step_by(order + 1).map(|entry| entry - total);
        Some(scale_slopes(diagonal.gathered(TERMS)?, prepared, maxima, &solved))
    } else {
        None
    };
    let solved = transposed(&solved, order)?;
    let shifts = shifts.iter().map(|(one, weight)| (one, *weight)).gathered(TERMS)?;
    let inverse = weighted_inverse(&decomp.form, &shifts, context)?;
    Ok(Some(Posterior { coordinates: Coordinates::Features(inverse), solved, terms, scales }))
}

/// gⱼ from Σ w [t (S + tI)⁻¹ⱼⱼ − 1], (D,), for w = N/(2 C n), and m of every target, one after the other.
fn scale_slopes(
    mut slopes: Vec<f64>,
    prepared: &Prepared<'_>,
    maxima: &[Maximum],
    means: &[f64],
) -> Vec<f64> {
    let order = slopes.len();
    for (Maximum { target, best, .. }, m) in maxima.iter().zip(means.chunks_exact(order)) {
        if best.location != Location::NoSignal {
            let alpha = best.t * target.precision(best.evidence.q);
            let weight = target.n_samples / target.effective() / (2 * maxima.len()) as f64;
            slopes.iter_mut().zip(m).for_each(|(slope, m)| *slope += weight * alpha * m * m);
        }
    }
    let n = prepared.stats.n_samples as f64;
    for slope in &mut slopes {
        *slope /= n;
    }
    slopes
}

/// From the spectrum of the samples; none where that gives another evidence.
fn of_spectrum(
    inputs: &Inputs<'_>,
    standard: Option<Standardised<'_>>,
    maxima: &[Maximum],
    context: &Context<'_>,
) -> Result<Option<Posterior>> {
    let original = inputs.prepared()?;
    let prepared = standard.map_or(original, |standard| standard.prepared);
    context.check()?;
    let own;
    let spectrum = if prepared.from_samples || prepared.stats.holds_rows() {
        prepared.spectrum(context)?
    } else {
        let scaled = standard.map(|standard| (standard.prepared.stats, standard.inverse));
        own = Spectrum::of_scaled_samples(original.stats, inputs.samples()?, scaled)?;
        &own
    };
    let (rank, n_targets) = (spectrum.values.len(), maxima.len());
    let mut terms = reserved(n_targets, TERMS)?;
    let (mut diagonal, mut kept) = (zeros::<f64>(rank, TERMS)?, zeros::<f64>(rank, TERMS)?);
    let mut solved = zeros::<f64>(rank * 2 * n_targets, "the posterior means")?;
    for (k, one) in maxima.iter().enumerate() {
        let (target, best) = (&one.target, &one.best);
        let mut own = Terms::without_signal(one);
        if best.location != Location::NoSignal {
            let t = best.t;
            let evidence = target
                .evidence(&spectrum.point(target.column, t), log_determinant(&spectrum.values, t));
            let difference = (evidence.value - best.evidence.value).abs();
            if difference.is_nan() || difference > SAME * (1.0 + best.evidence.value.abs()) {
                return Ok(None);
            }
            let weight = own.scale / (2 * n_targets) as f64;
            let along = spectrum.target_scores(target.column).iter().zip(&spectrum.mean);
            let (mut mean_m, mut mean_v) =
                (spectrum.mean_outside * evidence.r / t, spectrum.mean_outside / t);
            for (i, (value, (x, u))) in spectrum.values.iter().zip(along).enumerate() {
                let inverse = 1.0 / (value + t);
                let (m, v) = ((value.sqrt() * x + evidence.r * u) * inverse, u * inverse);
                mean_m += u * m;
                mean_v += u * v;
                diagonal[i] += weight * inverse;
                kept[i] -= weight * value * inverse;
                solved[i * 2 * n_targets + k] = m;
                solved[i * 2 * n_targets + n_targets + k] = v;
            }
            own = own.at(target, &evidence, mean_m, mean_v);
        }
        terms.push(own);
    }
    let n_features = prepared.stats.n_features;
    let scales = if standard.is_some() {
        // t (S + tI)⁻¹ⱼⱼ − 1 = −Σ vⱼ² λ/(λ + t), and m = Σ e v.
        let mut slopes = zeros::<f64>(n_features, TERMS)?;
        for (v, kept) in spectrum.basis.chunks_exact(n_features).zip(&kept) {
            slopes.iter_mut().zip(v).for_each(|(slope, v)| *slope += kept * v * v);
        }
        let along = transposed(&solved, 2 * n_targets)?;
        let along = &along[..rank * n_targets];
        let means = spectrum.to_features(prepared, along, &zeros(n_targets, TERMS)?)?;
        Some(scale_slopes(slopes, prepared, maxima, &means))
    } else {
        None
    };
    let basis = transposed(&spectrum.basis, n_features)?;
    let coordinates = Coordinates::Directions { basis, diagonal };
    Ok(Some(Posterior { coordinates, solved, terms, scales }))
}

impl Posterior {
    /// ψ of the rows of a range, the mean over targets.
    fn of_rows(
        &self,
        rows: &CentredRows<'_>,
        inverse: Option<&[f64]>,
        range: Range<usize>,
        answers: &Answers<'_>,
        n_columns: usize,
    ) -> Result<Vec<f64>> {
        let (n, n_targets) = (range.len(), self.terms.len());
        let mut y = zeros::<f64>(n * n_columns, "a panel of targets")?;
        for (i, y) in range.clone().zip(y.chunks_exact_mut(n_columns)) {
            answers.read(rows, i, y);
        }
        let mut panel = rows.panel(range)?;
        let mut moved = zeros::<f64>(n, TERMS)?; // by the scales
        if let (Some(inverse), Some(scales)) = (inverse, &self.scales) {
            for (row, moved) in panel.chunks_exact_mut(inverse.len()).zip(&mut moved) {
                for ((z, inverse), slope) in row.iter_mut().zip(inverse).zip(scales) {
                    *z *= inverse;
                    if *inverse > 0.0 {
                        *moved -= slope * (*z * *z - 1.0);
                    }
                }
            }
        }
        let (along, mut total) = self.project(panel, n)?;
        total.iter_mut().zip(moved).for_each(|(total, moved)| *total += moved);
        for (k, one) in self.terms.iter().enumerate() {
            let found = along.chunks_exact(2 * n_targets).zip(y.chunks_exact(n_columns));
            for (total, (along, y)) in total.iter_mut().zip(found) {
                let residual = y[one.column] - one.level - along[k];
                let mut leverage = 0.0; // but for zᵀ(S + tI)⁻¹z, which `total` has for all targets
                if !one.intercept {
                    let along_v = along[n_targets + k];
                    let both = along_v + one.mean_v;
                    leverage += along_v + both - one.share * both * both;
                }
                let own = one.beta.ln() - std::f64::consts::TAU.ln();
                let term = (own - one.beta * residual * residual - leverage) / 2.0 - one.value;
                *total += one.scale * term / n_targets as f64;
                if self.scales.is_some() && !one.intercept {
                    let moved = one.scale * one.beta * one.mean * along[k];
                    *total -= moved / n_targets as f64;
                }
            }
        }
        Ok(total)
    }

    /// Return zᵀm and zᵀv of every target, (n, 2 · targets), and −Σ N/(2 C n) zᵀ(S + tI)⁻¹z, (n,).
    fn project(&self, centred: Vec<f64>, n: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        let n_columns = 2 * self.terms.len();
        let mut along = zeros::<f64>(n * n_columns, "a panel of predictions")?;
        let total = match &self.coordinates {
            Coordinates::Features(inverse) => {
                product_into(&centred, &self.solved, &mut along, n, n_columns);
                let order = centred.len() / n;
                let mut reach = copied(&centred, "a panel of rows")?;
                triangular_product(&mut reach, inverse, order);
                let rows = centred.chunks_exact(order).zip(reach.chunks_exact(order));
                rows.map(|(x, reach)| -dot(x, reach)).gathered(TERMS)?
            }
            Coordinates::Directions { diagonal, .. } if diagonal.is_empty() => zeros(n, TERMS)?,
            Coordinates::Directions { basis, diagonal } => {
                let mut e = zeros::<f64>(n * diagonal.len(), "a panel of coordinates")?;
                product_into(&centred, basis, &mut e, n, diagonal.len());
                product_into(&e, &self.solved, &mut along, n, n_columns);
                let square =
                    |e: &[f64]| e.iter().zip(diagonal).map(|(e, d)| e * e * d).sum::<f64>();
                e.chunks_exact(diagonal.len()).map(|e| -square(e)).gathered(TERMS)?
            }
        };
        Ok((along, total))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::input::{Block, Response};
    use crate::metrics::logme::LogMe;
    use crate::stats::{Precision, Stats};

    #[test]
    fn both_decompositions_give_the_same_influences() {
        let context = Context::serial();
        let next = |i: usize, j: usize| ((37 * i * i + 13 * i * j + 7 * j) as f64 * 0.618).sin();
        let features = Array2::from_shape_fn((60, 5), |(i, j)| next(i, j) + 1.5);
        let targets =
            Array2::from_shape_fn((60, 2), |(i, k)| features[[i, k]] + 2.0 * next(i, 7 + k));
        let view = features.view();
        let block = Block::new(&view, Response::Targets(targets.view()), None).unwrap();
        let mut stats = Stats::empty(Precision::Double);
        stats.push(&block, &context).unwrap();
        let prepared = Prepared::new(&stats).unwrap();
        let inputs =
            Inputs { prepared: Some(&prepared), samples: Some(&block), ..Inputs::default() };
        let inputs = Inputs { response: Some(Response::Targets(targets.view())), ..inputs };
        let rows = CentredRows::new(&inputs).unwrap();
        let answers = Answers::new(&inputs, &rows).unwrap();
        for intercept in [false, true] {
            let logme = LogMe { intercept, ..LogMe::default() };
            let maxima = logme.find(&prepared, &context).unwrap();
            let [by_form, by_spectrum] = [of_form, of_spectrum].map(|posterior| {
                let posterior = posterior(&inputs, None, &maxima, &context).unwrap().unwrap();
                posterior.of_rows(&rows, None, 0..60, &answers, 2).unwrap()
            });
            for (a, b) in by_form.iter().zip(&by_spectrum) {
                assert!((a - b).abs() <= 1e-9_f64.max(1e-8 * b.abs()), "{a} is not {b}");
            }
            assert!(by_form.iter().any(|a| a.abs() > 0.1));
        }
    }
}
