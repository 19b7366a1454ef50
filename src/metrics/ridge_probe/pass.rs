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
use crate::linalg::memory::zeros;
use crate::stats::Precision;
use crate::threads::{Context, chunks};

use super::super::centred::{Answers, CentredRows};
use super::super::left_out::LeaveOut;
use super::super::leverage::transposed;
use super::super::{Detail, Inputs};
use super::sides::Side;

/// Sums over the rows, each left out once, alone or with its group.
pub(super) struct Errors {
    /// Σ w e², (ridges, targets); infinite for ridges that are too small for the precision.
    pub(super) squares: Vec<f64>,
    /// Σ w of the rows whose class was predicted, (ridges, classes); 0 for targets.
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
    let centred = CentredTargets::new(stats);
    let n = stats.n_samples as f64;
    let side = if stats.holds_rows() {
        Side::few(&rows, &answers, &centred.mean, context)?
    } else {
        let b = centred.primal(stats, &stats.mean_about_shift())?;
        Side::many(prepared.centred_scatter()?, b, n, context)?
    };
    context.check()?;
    // The rounding of S relative to its largest eigenvalue, with a margin.
    let noise = match (stats.precision, side.added) {
        (Precision::Single, None) => 1e-5,
        _ => 1e-14,
    };
    let shifted: Vec<Option<Shifted>> =
        ridges.iter().map(|ridge| Shifted::new(&side.form, n * ridge, noise)).collect();
    if shifted.iter().all(Option::is_none) {
        let smallest = noise * side.form.largest_row() / n;
        return Err(Error::metric(
            "ridge_probe",
            format!("all ridges are below {smallest:.1e}, where rounding decides; use larger ones"),
        ));
    }
    let weights = context.map(ridges.len(), |l| side.weights(shifted[l].as_ref()))?;
    let pass = Pass { rows, answers, mean: &centred.mean, n, side, ridges, shifted, weights };
    if let Some(groups) = groups {
        let mean = centred.mean.clone();
        let facts = (centred.square, mean);
        let errors = pass.leave_groups_out(&groups, leave_out, facts, context)?;
        return Ok(Errors { hits: errors.hits.filter(|_| with_hits), ..errors });
    }
    let (squares, right) = pass.sums(context)?;
    let hits = if with_hits && matches!(pass.answers, Answers::Codes(_)) {
        let best = super::best_of(&squares, centred.mean.len());
        let chunks = pass.chunks();
        let hits = context.map(chunks.len(), |chunk| pass.hits(chunks[chunk].clone(), best))?;
        Some(hits.into_iter().flatten().collect())
    } else {
        None
    };
    let (by_group, warnings) = (None, Vec::new());
    let (whole, mean) = (centred.square, centred.mean);
    Ok(Errors { squares, right, whole, mean, hits, by_group, warnings })
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
    pub(super) weights: Vec<Vec<f64>>,
}

impl Pass<'_, '_> {
    /// The rows of a panel.
    pub(super) fn together(&self) -> usize {
        ((1 << 19) / self.side.form.order()).clamp(32, 256)
    }

    fn chunks(&self) -> Vec<std::ops::Range<usize>> {
        chunks(self.rows.n_rows(), self.together())
    }

    /// 1 for every row whose class is predicted at a ridge, else 0.
    fn hits(&self, range: std::ops::Range<usize>, ridge: usize) -> Result<Vec<f64>> {
        let mut hits = Vec::with_capacity(range.len());
        self.visit(range, ridge..ridge + 1, |_, i, y, errors| {
            hits.push(f64::from(u8::from(self.is_found(i, y, errors).is_some())));
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
        let chunks = self.chunks();
        let len = self.ridges.len() * self.mean.len();
        let mut squares = context.sum(
            chunks.len(),
            || Ok(vec![0.0; 2 * len]),
            |chunk, sums| {
                let (squares, right) = sums.split_at_mut(len);
                self.add(chunks[chunk].clone(), squares, right)
            },
        )?;
        let right = squares.split_off(len);
        Ok((squares, right))
    }

    fn add(
        &self,
        range: std::ops::Range<usize>,
        squares: &mut [f64],
        right: &mut [f64],
    ) -> Result<()> {
        let n_targets = self.mean.len();
        for (l, shifted) in self.shifted.iter().enumerate() {
            if shifted.is_none() {
                squares[l * n_targets..(l + 1) * n_targets].fill(f64::INFINITY);
            }
        }
        self.visit(range, 0..self.shifted.len(), |l, i, y, errors| {
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

    /// Calls `each` with the ridge, the row, its targets and its errors, for ridges that are large enough
    /// for the precision.
    fn visit(
        &self,
        range: std::ops::Range<usize>,
        ridges: std::ops::Range<usize>,
        mut each: impl FnMut(usize, usize, &[f64], &[f64]),
    ) -> Result<()> {
        let (order, n_targets, n) = (self.side.form.order(), self.mean.len(), range.len());
        let panel = self.vectors(range.clone())?;
        let across = transposed(&panel, order)?;
        let (mut forward, mut reach) = (vec![0.0; n], vec![0.0; n]);
        let mut found = zeros::<f64>(n * n_targets, "a panel of predictions")?;
        let mut y = vec![0.0; n_targets];
        for l in ridges {
            let Some(shifted) = &self.shifted[l] else { continue };
            shifted.squares(&across, &mut forward, &mut reach);
            found.fill(0.0);
            product_into(&panel, &self.weights[l], &mut found, n, n_targets);
            for (j, found) in found.chunks_exact_mut(n_targets).enumerate() {
                let i = range.start + j;
                self.answers.read(&self.rows, i, &mut y);
                self.residuals(i, self.n * self.ridges[l], reach[j], &y, found);
                each(l, i, &y, found);
            }
        }
        Ok(())
    }

    /// Rows in T's basis, (n, order).
    pub(super) fn vectors(&self, rows: impl ExactSizeIterator<Item = usize>) -> Result<Vec<f64>> {
        let (order, n) = (self.side.form.order(), rows.len());
        let mut panel = zeros::<f64>(n * order, "a panel of rows")?;
        if self.side.added.is_some() {
            for (i, row) in rows.zip(panel.chunks_exact_mut(order)) {
                row[i] = 1.0;
            }
            self.side.form.rotate(&mut panel)?;
            return Ok(panel);
        }
        let rows = self.rows.panel(rows)?;
        product_into(&rows, &self.side.basis, &mut panel, n, order);
        Ok(panel)
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
            let left = (1.0 - 1.0 / n - reach).max(f64::EPSILON);
            for ((found, y), mean) in found.iter_mut().zip(y).zip(self.mean) {
                *found = (y - mean - *found) / left;
            }
        }
    }
}
