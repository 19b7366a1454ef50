//! The ridge models of the rows outside a large group, on the side of S.
//!
//! Their scatter is T less that of the group or, where they are fewer than its rows, the sum over them,
//! so that the difference is never of two larger numbers that nearly agree.

use crate::error::Result;
use crate::linalg::blas::{
    axpy, dot, gram_add, outer_add, product_into, scale, transposed_product_add,
};
use crate::linalg::lapack::solve_positive;
use crate::linalg::memory::{Gather, copied, zeros};
use crate::threads::Context;

use super::super::left_out::RowGroups;
use super::groups::Part;
use super::pass::Pass;

const SUMS: &str = "the sums over a group";
const ROWS: &str = "the rows of a group";
const TARGETS: &str = "a row of targets";

/// Moments of some rows about their mean, in T's basis.
struct Rest {
    /// Σ w (z − z̄)(z − z̄)ᵀ, (order, order), upper triangle.
    scatter: Vec<f64>,
    /// z̄, (order,).
    mean: Vec<f64>,
    /// Σ w (y − ȳ)(z − z̄)ᵀ, (targets, order).
    cross: Vec<f64>,
    /// The mean of y less that of all rows, (targets,).
    target_mean: Vec<f64>,
}

/// The coefficients of a model, (targets, order), and its constants, (targets,).
type Fit = (Vec<f64>, Vec<f64>);

impl Rest {
    /// From the sums of [`Pass::add_rows`].
    fn new(mut scatter: Vec<f64>, order: usize, n_targets: usize) -> Result<Self> {
        let (_, rest) = scatter.split_at(order * order);
        let (mean, rest) = rest.split_at(order);
        let (cross, rest) = rest.split_at(n_targets * order);
        let (mut mean, mut cross) = (copied(mean, SUMS)?, copied(cross, SUMS)?);
        let (mut target_mean, weight) = (copied(&rest[..n_targets], SUMS)?, rest[n_targets]);
        scatter.truncate(order * order);
        scale(1.0 / weight, &mut mean);
        scale(1.0 / weight, &mut target_mean);
        outer_add(-weight, &mean, &mut scatter);
        for (b, y) in cross.chunks_exact_mut(order).zip(&target_mean) {
            axpy(-weight * y, &mean, b);
        }
        Ok(Self { scatter, mean, cross, target_mean })
    }

    /// The ridge model; `None` if the scatter plus λ'I is not positive definite in floating point.
    fn fit(&self, shift: f64, context: &Context<'_>) -> Result<Option<Fit>> {
        let order = self.mean.len();
        let mut matrix = copied(&self.scatter, "the scatter of the other groups")?;
        matrix.iter_mut().step_by(order + 1).for_each(|entry| *entry += shift);
        let mut solved = copied(&self.cross, "the coefficients of a ridge")?;
        if !solve_positive(matrix, order, &mut solved, context)? {
            return Ok(None);
        }
        let constants = solved.chunks_exact(order).zip(&self.target_mean);
        let constants = constants.map(|(w, y)| y - dot(w, &self.mean));
        let constants = constants.gathered("the coefficients of a ridge")?;
        Ok(Some((solved, constants)))
    }
}

impl Pass<'_, '_> {
    /// The errors of one large group by the model of the other rows, on the side of S.
    pub(super) fn errors_by_rest(
        &self,
        group: usize,
        partition: &RowGroups,
        context: &Context<'_>,
    ) -> Result<Part> {
        let (order, n_targets, n_ridges) =
            (self.side.form.order(), self.mean.len(), self.ridges.len());
        let mut part = self.part(&[group], partition)?;
        let rest = self.rest(group, partition, context)?;
        let solved = context.map(n_ridges, |l| {
            let Some(_) = &self.shifted[l] else { return Ok(None) };
            rest.fit(self.n * self.ridges[l], context)
        })?;
        // The coefficients of all ridges side by side, (order, ridges · targets).
        let width = n_ridges * n_targets;
        let mut weights = zeros::<f64>(order * width, "the coefficients of the ridges")?;
        let mut constants = zeros::<f64>(width, "the coefficients of the ridges")?;
        for (l, fit) in solved.iter().enumerate() {
            let Some((coefficients, intercepts)) = fit else {
                self.drop_ridge(&mut part, l);
                continue;
            };
            constants[l * n_targets..(l + 1) * n_targets].copy_from_slice(intercepts);
            for (k, w) in coefficients.chunks_exact(order).enumerate() {
                let column = weights[l * n_targets + k..].iter_mut().step_by(width);
                column.zip(w).for_each(|(out, w)| *out = *w);
            }
        }
        let panels = part.rows.chunks(self.together()).gathered(ROWS)?;
        let predicted = context.map(panels.len(), |p| {
            let panel = self.vectors(panels[p].iter().copied(), context)?;
            let mut found = zeros::<f64>(panels[p].len() * width, "a panel of predictions")?;
            product_into(&panel, &weights, &mut found, panels[p].len(), width);
            Ok(found)
        })?;
        let (mut y, mut e) = (zeros::<f64>(n_targets, TARGETS)?, zeros::<f64>(n_targets, TARGETS)?);
        for (j, found) in predicted.iter().flat_map(|panel| panel.chunks_exact(width)).enumerate() {
            self.answers.read(&self.rows, part.rows[j], &mut y);
            for (l, _) in solved.iter().enumerate().filter(|(_, fit)| fit.is_some()) {
                for (k, e) in e.iter_mut().enumerate() {
                    let at = l * n_targets + k;
                    *e = y[k] - self.mean[k] - constants[at] - found[at];
                }
                self.tally(&mut part, (0, j), l, &y, &e);
            }
        }
        Ok(part)
    }

    /// The sums over the rows outside a group.
    fn rest(&self, group: usize, partition: &RowGroups, context: &Context<'_>) -> Result<Rest> {
        let (order, n_targets) = (self.side.form.order(), self.mean.len());
        let own = &partition.rows[group];
        let is_few = 2 * own.len() > partition.codes.len();
        let others = if is_few {
            let code = partition.codes[own[0]];
            (0..partition.codes.len()).filter(|i| partition.codes[*i] != code).gathered(ROWS)?
        } else {
            Vec::new()
        };
        let rows: &[usize] = if is_few { &others } else { own };
        let parts = rows.chunks(8 * self.together()).gathered(ROWS)?;
        let len = order * order + order + n_targets * order + n_targets + 1;
        let mut sums = context.sum(
            parts.len(),
            || zeros::<f64>(len, SUMS),
            |part, sums| {
                parts[part]
                    .chunks(self.together())
                    .try_for_each(|rows| self.add_rows(rows, sums, context))
            },
        )?;
        if !is_few {
            scale(-1.0, &mut sums);
            let form = &self.side.form;
            for (k, diagonal) in form.diagonal.iter().enumerate() {
                sums[k * order + k] += diagonal;
                if let Some(off) = form.off_diagonal.get(k) {
                    sums[k * order + k + 1] += off;
                }
            }
            let at = order * order + order;
            axpy(1.0, &self.side.targets, &mut sums[at..at + n_targets * order]);
            sums[len - 1] += self.n;
        }
        Rest::new(sums, order, n_targets)
    }

    /// Adds Σ w zzᵀ (order, order), Σ w z (order,), Σ w ỹ zᵀ (targets, order), Σ w ỹ (targets,) and Σ w.
    fn add_rows(&self, rows: &[usize], sums: &mut [f64], context: &Context<'_>) -> Result<()> {
        let (order, n_targets) = (self.side.form.order(), self.mean.len());
        let mut panel = self.vectors(rows.iter().copied(), context)?;
        let (scatter, sums) = sums.split_at_mut(order * order);
        let (sum, sums) = sums.split_at_mut(order);
        let (cross, sums) = sums.split_at_mut(n_targets * order);
        let mut targets = zeros::<f64>(rows.len() * n_targets, "a panel of targets")?;
        for ((i, z), y) in
            rows.iter().zip(panel.chunks_exact_mut(order)).zip(targets.chunks_exact_mut(n_targets))
        {
            let weight = self.rows.weights[*i];
            axpy(weight, z, sum);
            self.answers.read(&self.rows, *i, y);
            y.iter_mut().zip(self.mean).for_each(|(y, mean)| *y -= mean);
            axpy(weight, y, &mut sums[..n_targets]);
            sums[n_targets] += weight;
            scale(weight.sqrt(), z);
            scale(weight.sqrt(), y);
        }
        gram_add(&panel, order, scatter);
        transposed_product_add(&targets, &panel, cross, n_targets, order);
        Ok(())
    }
}
