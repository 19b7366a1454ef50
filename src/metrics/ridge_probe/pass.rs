//! Leave-one-out residuals.
//!
//! With λ' = Nλ, rows x standardised, ỹ = y − ȳ, b = Xᵀỹ:
//!
//! - from S: y − ŷ = ỹ − xᵀ(S + λ'I)⁻¹b and 1 − h = 1 − 1/N − xᵀ(S + λ'I)⁻¹x;
//! - from K, for unit vectors u: y − ŷ = λ' uᵀ(K + λ'I)⁻¹ỹ and
//!   1 − h = λ' uᵀ(K + λ'I)⁻¹u − λ'/((κ + λ') N).
//!
//! A row of weight w counts as √w times the row in K, and is left out once.

use crate::decomp::{CentredTargets, Shifted};
use crate::error::{Error, Result};
use crate::input::Rows;
use crate::linalg::blas::{product_into, scale};
use crate::linalg::memory::{Gather, copied, joined, reserved, zeros};
use crate::stats::Precision;
use crate::threads::{Context, chunks};

use super::super::centred::{Answers, CentredRows};
use super::super::left_out::LeaveOut;
use super::super::leverage::transposed;
use super::super::{Detail, Inputs};
use super::sides::Side;

const SUMS: &str = "the errors of the targets";
const HITS: &str = "the hits of the rows";

/// Sums over the rows, each left out once, alone or with its group.
pub(super) struct Errors {
    /// Σ w e², (ridges, targets), or over all classes, (ridges,); infinite for ridges that are too small
    /// for the precision.
    pub(super) squares: Vec<f64>,
    /// The ridge of the least error over all classes; 0 for targets.
    pub(super) best: usize,
    /// Σ w of the rows whose class was predicted there, (classes,); 0 for targets.
    pub(super) right: Vec<f64>,
    /// Σ w (y − ȳ)², (targets,).
    pub(super) whole: Vec<f64>,
    /// ȳ, (targets,).
    pub(super) mean: Vec<f64>,
    /// 1 for every row whose class was predicted at the ridge of the least error, else 0; if asked for.
    pub(super) hits: Option<Vec<f64>>,
    /// The detail `by_group` at the ridge of the least error, where it is asked for and groups were left
    /// out: the score of each group and class or target, (groups, targets).
    pub(super) by_group: Option<(&'static str, Detail)>,
    /// Warnings about the groups.
    pub(super) warnings: Vec<String>,
}

/// The residuals of all rows at all ridges.
pub(super) fn left_out_errors(
    inputs: &Inputs<'_>,
    leave_out: LeaveOut,
    ridges: &[f64],
    with_hits: bool,
    context: &Context<'_>,
) -> Result<Errors> {
    let prepared = inputs.prepared()?;
    let (stats, rows) = (prepared.stats, CentredRows::new(inputs)?);
    let groups = leave_out.groups("ridge_probe", inputs, &rows.places)?;
    let answers = Answers::new(inputs, &rows)?;
    let centred = CentredTargets::new(stats)?;
    let n = stats.n_samples as f64;
    let side = if stats.holds_rows() {
        Side::few(&rows, &answers, &centred.mean, context)?
    } else {
        let b = centred.primal(stats, &stats.mean_about_shift()?)?;
        Side::many(prepared.centred_scatter()?, b, n, context)?
    };
    context.check()?;
    // The rounding of S relative to its largest eigenvalue, with a margin.
    let noise = match (stats.precision, side.added) {
        (Precision::Single, None) => 1e-5,
        _ => 1e-14,
    };
    let shifted = ridges.iter().map(|ridge| Shifted::new(&side.form, n * ridge, noise));
    let shifted = shifted.gathered_ok("the factors of the ridges")?;
    if shifted.iter().all(Option::is_none) {
        let smallest = noise * side.form.largest_row() / n;
        return Err(Error::metric(
            "ridge_probe",
            format!("all ridges are below {smallest:.1e}, where rounding decides; use larger ones"),
        ));
    }
    let mut pass =
        Pass { rows, answers, mean: &centred.mean, n, side, ridges, shifted, weights: Vec::new() };
    let has_classes = matches!(pass.answers, Answers::Codes(_));
    let has_many_classes = has_classes && groups.is_none() && pass.has_many_classes();
    if !has_many_classes {
        pass.weights =
            context.map(ridges.len(), |l| pass.side.weights(pass.shifted[l].as_ref()))?;
    }
    if let Some(groups) = groups {
        let mean = copied(&centred.mean, SUMS)?;
        let facts = (centred.square, mean);
        let errors = pass.leave_groups_out(&groups, leave_out, facts, context)?;
        return Ok(Errors { hits: errors.hits.filter(|_| with_hits), ..errors });
    }
    let Found { squares, best, right, hits } = match &pass.answers {
        Answers::Codes(codes) if has_many_classes => pass.of_many_classes(codes, context)?,
        Answers::Codes(_) => pass.of_classes(with_hits, context)?,
        Answers::Values(_) => Found { squares: pass.sums(context)?.0, ..Found::default() },
    };
    let as_number = |hit: &bool| f64::from(u8::from(*hit));
    let hits = (with_hits && !hits.is_empty()).then(|| hits.iter().map(as_number).gathered(HITS));
    let hits = hits.transpose()?;
    let (by_group, warnings) = (None, Vec::new());
    let (whole, mean) = (centred.square, centred.mean);
    Ok(Errors { squares, best, right, whole, mean, hits, by_group, warnings })
}

/// The result of a pass over the rows.
#[derive(Default)]
pub(super) struct Found {
    /// As in [`Errors`], and the next two.
    pub(super) squares: Vec<f64>,
    pub(super) best: usize,
    pub(super) right: Vec<f64>,
    /// Whether the class of each row was predicted at the best ridge; empty for targets, or where it was
    /// not asked for.
    pub(super) hits: Vec<bool>,
}

/// The second pass over the rows, with everything that it reads.
pub(super) struct Pass<'a, 'b> {
    pub(super) rows: CentredRows<'a>,
    pub(super) answers: Answers<'b>,
    pub(super) mean: &'a [f64],
    pub(super) n: f64,
    pub(super) side: Side,
    pub(super) ridges: &'a [f64],
    pub(super) shifted: Vec<Option<Shifted>>,
    /// The coefficients of each ridge; empty for many classes.
    pub(super) weights: Vec<Vec<f64>>,
}

impl Pass<'_, '_> {
    /// The rows of a panel.
    pub(super) fn together(&self) -> usize {
        ((1 << 19) / self.side.form.order()).clamp(32, 256)
    }

    pub(super) fn chunks(&self) -> Result<Vec<std::ops::Range<usize>>> {
        chunks(self.rows.n_rows(), self.together())
    }

    /// The ridges with their coefficients.
    fn models(&self) -> Vec<(usize, &[f64])> {
        self.weights.iter().map(|weights| &**weights).enumerate().collect()
    }

    /// The ridge of the least error over all classes, and the rows whose class is predicted there.
    fn of_classes(&self, with_hits: bool, context: &Context<'_>) -> Result<Found> {
        let n_classes = self.mean.len();
        let (squares, right) = self.sums(context)?;
        let squares = super::totals(&squares, n_classes)?;
        let best = super::least(&squares);
        let right = copied(&right[best * n_classes..(best + 1) * n_classes], SUMS)?;
        let chunks = if with_hits { self.chunks()? } else { Vec::new() };
        let hits =
            context.map(chunks.len(), |chunk| self.hits(chunks[chunk].clone(), best, context))?;
        Ok(Found { squares, best, right, hits: joined(hits, HITS)? })
    }

    /// Whether the class of each row is predicted at a ridge.
    fn hits(
        &self,
        range: std::ops::Range<usize>,
        ridge: usize,
        context: &Context<'_>,
    ) -> Result<Vec<bool>> {
        let mut hits = reserved(range.len(), HITS)?;
        self.visit(range, &[(ridge, &*self.weights[ridge])], context, |_, i, y, errors| {
            hits.push(self.is_found(i, y, errors).is_some());
        })?;
        Ok(hits)
    }

    /// The class of a row, where it is that of the largest prediction y − e.
    pub(super) fn is_found(&self, i: usize, y: &[f64], errors: &[f64]) -> Option<usize> {
        let Answers::Codes(codes) = &self.answers else { return None };
        let predicted = |c: usize| y[c] - errors[c];
        let largest = (0..y.len()).fold(0, |a, b| if predicted(b) > predicted(a) { b } else { a });
        (largest == codes[i] as usize).then_some(largest)
    }

    /// Squares of errors and counts of right rows, (ridges, targets) each.
    fn sums(&self, context: &Context<'_>) -> Result<(Vec<f64>, Vec<f64>)> {
        let chunks = self.chunks()?;
        let len = self.ridges.len() * self.mean.len();
        let mut squares = context.sum(
            chunks.len(),
            || zeros(2 * len, SUMS),
            |chunk, sums| self.add(chunks[chunk].clone(), sums.split_at_mut(len), context),
        )?;
        let right = copied(&squares[len..], SUMS)?;
        squares.truncate(len);
        Ok((squares, right))
    }

    fn add(
        &self,
        range: std::ops::Range<usize>,
        (squares, right): (&mut [f64], &mut [f64]),
        context: &Context<'_>,
    ) -> Result<()> {
        let n_targets = self.mean.len();
        for (l, shifted) in self.shifted.iter().enumerate() {
            if shifted.is_none() {
                squares[l * n_targets..(l + 1) * n_targets].fill(f64::INFINITY);
            }
        }
        self.visit(range, &self.models(), context, |l, i, y, errors| {
            let sums = l * n_targets..(l + 1) * n_targets;
            let weight = self.rows.weights[i];
            for (sum, e) in squares[sums.clone()].iter_mut().zip(errors) {
                *sum += weight * e * e;
            }
            if let Some(own) = self.is_found(i, y, errors) {
                right[sums.start + own] += weight;
            }
        })
    }

    /// Calls `each` with the ridge, the row, its targets and its errors, for those of some ridges, with
    /// their coefficients, that are large enough for the precision.
    pub(super) fn visit(
        &self,
        range: std::ops::Range<usize>,
        models: &[(usize, &[f64])],
        context: &Context<'_>,
        mut each: impl FnMut(usize, usize, &[f64], &[f64]),
    ) -> Result<()> {
        let (order, n_targets, n) = (self.side.form.order(), self.mean.len(), range.len());
        let panel = self.vectors(range.clone(), context)?;
        let across = transposed(&panel, order)?;
        let (mut forward, mut reach) = (zeros(n, "a panel of rows")?, zeros(n, "a panel of rows")?);
        let mut found = zeros::<f64>(n * n_targets, "a panel of predictions")?;
        let mut y = zeros::<f64>(n_targets, "a row of targets")?;
        for (l, weights) in models {
            let Some(shifted) = &self.shifted[*l] else { continue };
            shifted.squares(&across, &mut forward, &mut reach);
            found.fill(0.0);
            product_into(&panel, weights, &mut found, n, n_targets);
            for (j, found) in found.chunks_exact_mut(n_targets).enumerate() {
                let i = range.start + j;
                self.answers.read(&self.rows, i, &mut y);
                self.residuals(i, self.n * self.ridges[*l], reach[j], &y, found);
                each(*l, i, &y, found);
            }
        }
        Ok(())
    }

    /// Rows in T's basis, (n, order).
    pub(super) fn vectors(
        &self,
        rows: impl ExactSizeIterator<Item = usize>,
        context: &Context<'_>,
    ) -> Result<Vec<f64>> {
        let (order, n) = (self.side.form.order(), rows.len());
        let mut panel = zeros::<f64>(n * order, "a panel of rows")?;
        if self.side.added.is_some() {
            for (i, row) in rows.zip(panel.chunks_exact_mut(order)) {
                row[i] = 1.0;
            }
            self.side.form.rotate(&mut panel, context)?;
            return Ok(panel);
        }
        let rows = self.rows.panel(rows)?;
        product_into(&rows, &self.side.basis, &mut panel, n, order);
        Ok(panel)
    }

    /// 1 − h, on the side of S, from vᵀ(T + λ'I)⁻¹v.
    pub(super) fn left(&self, reach: f64) -> f64 {
        (1.0 - 1.0 / self.n - reach).max(f64::EPSILON)
    }

    /// Turns vᵀ(T + λ'I)⁻¹ of the targets into e of row i, given that of v itself.
    pub(super) fn residuals(&self, i: usize, shift: f64, reach: f64, y: &[f64], found: &mut [f64]) {
        let (n, weight) = (self.n, self.rows.weights[i]);
        if let Some(added) = self.side.added {
            let own = shift * reach - shift * weight / ((added + shift) * n);
            let left = 1.0 - 1.0 / weight + own / weight;
            let factor = shift / weight.sqrt() / left.max(f64::MIN_POSITIVE);
            scale(factor, found);
        } else {
            let left = self.left(reach);
            for ((found, y), mean) in found.iter_mut().zip(y).zip(self.mean) {
                *found = (y - mean - *found) / left;
            }
        }
    }
}
