//! Residuals of whole groups that were left out.
//!
//! For the rows of a group g, with H the hat matrix of all rows, intercept included,
//!
//!   e_g = (I − H_gg)⁻¹ (y − ŷ)_g,    H = 11ᵀ/N + X (S + λ'I)⁻¹ Xᵀ
//!
//! by one of two systems:
//!
//! - of the order of the group: I − H_gg, from the rows in T's basis. On the side of K the same is
//!   λ'[(K + λ'I)⁻¹]_gg − λ'/((κ + λ')N) 11ᵀ, without cancellation;
//! - on the side of S, of the order of S, for groups of more than half as many rows: the model of the
//!   other rows (`rest.rs`).
//!
//! A row of weight w counts as √w times the row. Memory: the square of the smaller order, a few times
//! for each thread.

use crate::error::Result;
use crate::linalg::blas::{axpy, column_gram_add, product_into};
use crate::linalg::lapack::solve_positive;
use crate::linalg::memory::{Gather, append, copied, filled, zeros};
use crate::threads::Context;

use super::super::centred::Answers;
use super::super::left_out::{GroupScores, LeaveOut, RowGroups};
use super::super::leverage::transposed;
use super::pass::{Errors, Pass};

const GROUPS: &str = "the groups of the rows";
const ERRORS: &str = "the errors of the targets";

/// The errors of some groups.
pub(super) struct Part {
    /// Whose errors, by their numbers.
    groups: Vec<usize>,
    /// Σ w e²: (ridges, classes) over all of these groups, or (groups, ridges, targets). Infinite for
    /// ridges that are too small for the precision.
    squares: Vec<f64>,
    /// The rows of these groups, one group after the other.
    pub(super) rows: Vec<usize>,
    /// Whether the class of each row was predicted at each ridge, (rows, ridges); empty for targets.
    hits: Vec<bool>,
}

impl Pass<'_, '_> {
    /// The errors of all rows, each predicted without its group; `facts` are Σ w (y − ȳ)² and ȳ.
    pub(super) fn leave_groups_out(
        &self,
        groups: &RowGroups,
        leave_out: LeaveOut,
        facts: (Vec<f64>, Vec<f64>),
        context: &Context<'_>,
    ) -> Result<Errors> {
        let order = self.side.form.order();
        let is_large = |group: &usize| {
            self.side.added.is_none() && groups.rows[*group].len() > order.div_ceil(2)
        };
        // In the order of their first rows, so that groups of one row are read in the order of rows.
        let mut all = (0..groups.rows.len()).gathered(GROUPS)?;
        all.sort_unstable_by_key(|group| groups.rows[*group][0]); // a row is of one group
        let small = all.iter().copied().filter(|group| !is_large(group)).gathered(GROUPS)?;
        let batches = self.batches(&small, groups)?;
        let mut parts = context.map(batches.len(), |batch| {
            self.errors_by_block(&small[batches[batch].clone()], groups, context)
        })?;
        for group in all.into_iter().filter(is_large) {
            append(&mut parts, self.errors_by_rest(group, groups, context)?, GROUPS)?;
        }
        self.collect(&parts, groups, leave_out, facts)
    }

    /// Runs of groups whose rows fill a panel.
    fn batches(&self, small: &[usize], groups: &RowGroups) -> Result<Vec<std::ops::Range<usize>>> {
        let (mut batches, mut start, mut n_rows) = (Vec::new(), 0, 0);
        for (place, group) in small.iter().enumerate() {
            let added = groups.rows[*group].len();
            if n_rows > 0 && n_rows + added > self.together() {
                append(&mut batches, start..place, GROUPS)?;
                (start, n_rows) = (place, 0);
            }
            n_rows += added;
        }
        if n_rows > 0 {
            append(&mut batches, start..small.len(), GROUPS)?;
        }
        Ok(batches)
    }

    pub(super) fn part(&self, groups: &[usize], partition: &RowGroups) -> Result<Part> {
        let (n_ridges, n_targets) = (self.ridges.len(), self.mean.len());
        let rows = groups.iter().flat_map(|group| &partition.rows[*group]);
        let rows = rows.copied().gathered("the rows of a group")?;
        let is_classes = matches!(self.answers, Answers::Codes(_));
        let count = if is_classes { 1 } else { groups.len() };
        let squares = zeros::<f64>(count * n_ridges * n_targets, "the errors of the groups")?;
        let n_hits = if is_classes { rows.len() * n_ridges } else { 0 };
        let hits = filled(false, n_hits, "the hits of the rows")?;
        Ok(Part { groups: copied(groups, GROUPS)?, squares, rows, hits })
    }

    /// Adds e of the j-th row of a part, which is in its k-th group.
    pub(super) fn tally(
        &self,
        part: &mut Part,
        (k, j): (usize, usize),
        ridge: usize,
        y: &[f64],
        e: &[f64],
    ) {
        let (n_ridges, i) = (self.ridges.len(), part.rows[j]);
        let k = if part.hits.is_empty() { k } else { 0 };
        let sums = &mut part.squares[(k * n_ridges + ridge) * e.len()..][..e.len()];
        let weight = self.rows.weights[i];
        sums.iter_mut().zip(e).for_each(|(sum, e)| *sum += weight * e * e);
        if !part.hits.is_empty() {
            part.hits[j * n_ridges + ridge] = self.is_found(i, y, e).is_some();
        }
    }

    /// Counts a ridge as too small for the precision.
    pub(super) fn drop_ridge(&self, part: &mut Part, ridge: usize) {
        let (n_ridges, n_targets) = (self.ridges.len(), self.mean.len());
        for sums in part.squares.chunks_exact_mut(n_ridges * n_targets) {
            sums[ridge * n_targets..(ridge + 1) * n_targets].fill(f64::INFINITY);
        }
    }

    /// The errors of groups by systems of their own orders.
    fn errors_by_block(
        &self,
        groups: &[usize],
        partition: &RowGroups,
        context: &Context<'_>,
    ) -> Result<Part> {
        let (order, n_targets) = (self.side.form.order(), self.mean.len());
        let mut part = self.part(groups, partition)?;
        let n = part.rows.len();
        let panel = self.vectors(part.rows.iter().copied(), context)?;
        let across = transposed(&panel, order)?;
        let is_one = |rows: &[usize]| rows.len() == 1 && self.rows.weights[rows[0]] <= 1.0;
        let is_one_by_one = groups.iter().all(|group| is_one(&partition.rows[*group]));
        let white: &[f64] = if is_one_by_one { &[] } else { &across };
        let mut white = copied(white, "a panel of rows")?;
        let (mut forward, mut reach) = (zeros(n, "a panel of rows")?, zeros(n, "a panel of rows")?);
        let mut found = zeros::<f64>(n * n_targets, "a panel of predictions")?;
        let mut y = zeros::<f64>(n_targets, "a row of targets")?;
        for (l, shifted) in self.shifted.iter().enumerate() {
            let Some(shifted) = shifted else {
                self.drop_ridge(&mut part, l);
                continue;
            };
            shifted.squares(&across, &mut forward, &mut reach);
            if !is_one_by_one {
                white.copy_from_slice(&across);
                shifted.whiten(&mut white, n);
            }
            found.fill(0.0);
            product_into(&panel, &self.weights[l], &mut found, n, n_targets);
            let mut start = 0;
            for (k, group) in groups.iter().enumerate() {
                let range = start..start + partition.rows[*group].len();
                start = range.end;
                let errors = &mut found[range.start * n_targets..range.end * n_targets];
                let (first, rows) = (range.start, &part.rows[range.clone()]);
                if is_one(rows) {
                    self.answers.read(&self.rows, rows[0], &mut y);
                    self.residuals(rows[0], self.n * self.ridges[l], reach[first], &y, errors);
                } else if !self.solve_block(l, rows, &white, (first, errors), context)? {
                    self.drop_ridge(&mut part, l);
                    continue;
                }
                for (j, e) in range.zip(errors.chunks_exact(n_targets)) {
                    self.answers.read(&self.rows, part.rows[j], &mut y);
                    self.tally(&mut part, (k, j), l, &y, e);
                }
            }
        }
        Ok(part)
    }

    /// Turns the products of a group's rows with the coefficients into e, given the rows whitened as
    /// columns from `first` on; false where I − H is not positive definite in floating point.
    fn solve_block(
        &self,
        ridge: usize,
        rows: &[usize],
        white: &[f64],
        (first, found): (usize, &mut [f64]),
        context: &Context<'_>,
    ) -> Result<bool> {
        let (size, n_targets) = (rows.len(), self.mean.len());
        let columns = white.len() / self.side.form.order();
        let shift = self.n * self.ridges[ridge];
        let root = rows.iter().map(|i| self.rows.weights[*i].sqrt());
        let root = root.gathered("the weights of the rows")?;
        let mut system = zeros::<f64>(size * size, "the system of a group")?;
        column_gram_add(white, columns, first..first + size, &mut system);
        let mut right = zeros::<f64>(size * n_targets, "the residuals of a group")?;
        let mut y = zeros::<f64>(n_targets, "a row of targets")?;
        for (a, i) in rows.iter().enumerate() {
            let row = &mut system[a * size + a..(a + 1) * size];
            for (entry, other) in row.iter_mut().zip(&root[a..]) {
                let weight = root[a] * other;
                *entry = match self.side.added {
                    Some(added) => shift * (*entry - weight / ((added + shift) * self.n)),
                    None => -weight * (*entry + 1.0 / self.n),
                };
            }
            let own = &found[a * n_targets..(a + 1) * n_targets];
            if self.side.added.is_some() {
                for (k, product) in own.iter().enumerate() {
                    right[k * size + a] = shift * product;
                }
            } else {
                row[0] += 1.0;
                self.answers.read(&self.rows, *i, &mut y);
                for (k, product) in own.iter().enumerate() {
                    right[k * size + a] = root[a] * (y[k] - self.mean[k] - product);
                }
            }
        }
        if !solve_positive(system, size, &mut right, context)? {
            return Ok(false);
        }
        for (a, own) in found.chunks_exact_mut(n_targets).enumerate() {
            for (k, e) in own.iter_mut().enumerate() {
                *e = right[k * size + a] / root[a];
            }
        }
        Ok(true)
    }

    /// Sums the errors of the parts, in their order.
    fn collect(
        &self,
        parts: &[Part],
        groups: &RowGroups,
        leave_out: LeaveOut,
        (whole, mean): (Vec<f64>, Vec<f64>),
    ) -> Result<Errors> {
        let (n_ridges, n_targets) = (self.ridges.len(), mean.len());
        let mut squares = zeros::<f64>(n_ridges * n_targets, ERRORS)?;
        for part in parts {
            for sums in part.squares.chunks_exact(squares.len()) {
                axpy(1.0, sums, &mut squares);
            }
        }
        let scored = leave_out.scored(Some(groups));
        let of_errors = !matches!(self.answers, Answers::Codes(_));
        let mut by_group = GroupScores::new(scored, n_targets, of_errors)?;
        let mut right = zeros::<f64>(n_targets, ERRORS)?;
        let (mut best, mut hits, mut warnings) = (0, None, None);
        if let Answers::Codes(codes) = &self.answers {
            squares = super::totals(&squares, n_targets)?;
            best = super::least(&squares);
            let mut found = zeros::<f64>(codes.len(), "the hits of the rows")?;
            for part in parts {
                for (i, hits) in part.rows.iter().zip(part.hits.chunks_exact(n_ridges)) {
                    let (class, weight) = (codes[*i] as usize, self.rows.weights[*i]);
                    if hits[best] {
                        right[class] += weight;
                    }
                    found[*i] = f64::from(u8::from(hits[best]));
                    by_group.add_vote(*i, class, weight, hits[best]);
                }
            }
            let effect = "which cannot be predicted once it is left out";
            warnings = groups.lone_classes(codes, n_targets, effect)?;
            hits = Some(found);
        } else {
            let mut y = zeros::<f64>(n_targets, "a row of targets")?;
            for (i, weight) in self.rows.weights.iter().enumerate() {
                self.answers.read(&self.rows, i, &mut y);
                for (k, y) in y.iter().enumerate() {
                    by_group.add_target(i, k, *weight, *y);
                }
            }
            for k in 0..n_targets {
                let own = squares[k..].iter().step_by(n_targets).copied().gathered(ERRORS)?;
                let best = super::least(&own);
                for part in parts {
                    let each = part.squares.chunks_exact(squares.len());
                    for (group, sums) in part.groups.iter().zip(each) {
                        by_group.add_square(groups.rows[*group][0], k, sums[best * n_targets + k]);
                    }
                }
            }
        }
        let (by_group, warnings) = (by_group.into_detail()?, warnings.into_iter().collect());
        Ok(Errors { squares, best, right, whole, mean, hits, by_group, warnings })
    }
}
