//! Posterior probabilities of the classes for every row, from the moments of the classes.

use crate::error::{Error, Result};
use crate::linalg::blas::{axpy, dot, product_into, scale};
use crate::linalg::lapack::solve_positive;
use crate::linalg::memory::{copied, zeros};
use crate::threads::Context;

use super::{Problem, diagonal};

/// Sums of squares below this fraction of the total are rounding errors of differences.
const NOTHING: f64 = 1e-24;

impl Problem<'_> {
    /// f(p(·|x), class of x) for every row, and whether features do not vary within classes.
    pub(in crate::metrics) fn each(
        &mut self,
        shrinkage: f64,
        f: impl Fn(&[f64], usize) -> f64 + Sync,
        context: &Context<'_>,
    ) -> Result<(Vec<f64>, bool)> {
        let (order, n) = (self.order(), self.classes.n_samples());
        let squares: Vec<f64> = self.means.chunks_exact(order).map(|d| dot(d, d)).collect();
        let between: f64 = squares.iter().zip(&self.classes.counts).map(|(s, n)| s * n).sum();
        let trace: f64 = diagonal(&self.within, order).iter().sum();
        if trace <= NOTHING * (trace + between) {
            let table = self.without_variation(NOTHING * (trace + between) / n);
            let of_class: Vec<f64> =
                table.chunks_exact(squares.len()).enumerate().map(|(c, p)| f(p, c)).collect();
            let values = self.classes.codes.iter().map(|c| of_class[*c as usize]).collect();
            return Ok((values, true));
        }
        let mut solved = self.solve(shrinkage, trace)?;
        if solved.is_none() && self.difference {
            self.sum_within(context)?;
            solved = self.solve(shrinkage, diagonal(&self.within, order).iter().sum())?;
        }
        let solved = solved.ok_or_else(|| {
            let problem = "the covariance within classes is singular in float64 at a shrinkage of";
            let remedy = "use more of it, or rescale the features";
            Error::metric(self.metric, format!("{problem} {shrinkage:e}; {remedy}"))
        })?;
        Ok((self.posteriors(&solved, f, context)?, false))
    }

    /// Σ⁻¹ δ_c, (C, r); none where Σ is not positive definite in float64.
    fn solve(&self, shrinkage: f64, trace: f64) -> Result<Option<Vec<f64>>> {
        let (order, n) = (self.order(), self.classes.n_samples());
        let mut matrix = zeros::<f64>(order * order, "the covariance within classes")?;
        axpy((1.0 - shrinkage) / n, &self.within, &mut matrix);
        let added = shrinkage * trace / (n * self.n_features as f64);
        matrix.iter_mut().step_by(order + 1).for_each(|entry| *entry += added);
        let mut solved = copied(&self.means, "the class directions")?;
        Ok(solve_positive(matrix, order, &mut solved)?.then_some(solved))
    }

    /// The limit of p(·|δ_c) as Σ → 0, (C, C): classes with the same mean, in proportion to their
    /// sizes.
    fn without_variation(&self, noise: f64) -> Vec<f64> {
        let mean = |c: usize| &self.means[c * self.order()..(c + 1) * self.order()];
        let counts = &self.classes.counts;
        let mut table = Vec::with_capacity(counts.len() * counts.len());
        for a in 0..counts.len() {
            let apart = |b: usize| {
                mean(a).iter().zip(mean(b)).map(|(x, y)| (x - y) * (x - y)).sum::<f64>() > noise
            };
            let sizes: Vec<f64> =
                (0..counts.len()).map(|b| if apart(b) { 0.0 } else { counts[b] }).collect();
            let all: f64 = sizes.iter().sum();
            table.extend(sizes.iter().map(|size| size / all));
        }
        table
    }

    fn posteriors(
        &self,
        solved: &[f64],
        f: impl Fn(&[f64], usize) -> f64 + Sync,
        context: &Context<'_>,
    ) -> Result<Vec<f64>> {
        const ROWS: usize = 256;
        let (order, n_classes) = (self.order(), self.classes.counts.len());
        let n = self.classes.n_samples();
        let mut across = zeros::<f64>(solved.len(), "the class directions")?;
        for (c, row) in solved.chunks_exact(order).enumerate() {
            across[c..].iter_mut().step_by(n_classes).zip(row).for_each(|(out, w)| *out = *w);
        }
        let pairs = self.means.chunks_exact(order).zip(solved.chunks_exact(order));
        let constant: Vec<f64> = pairs
            .zip(&self.classes.counts)
            .map(|((mean, solved), count)| (count / n).ln() - dot(mean, solved) / 2.0)
            .collect();
        let mut values = zeros::<f64>(self.classes.codes.len(), "a number a sample")?;
        let mut parts: Vec<&mut [f64]> = values.chunks_mut(ROWS).collect();
        context.for_each_mut(&mut parts, |part, out| {
            let mut panel = zeros::<f64>(out.len() * order, "a panel of rows")?;
            let mut logs = zeros::<f64>(out.len() * n_classes, "a panel of posteriors")?;
            let codes = &self.classes.codes[part * ROWS..part * ROWS + out.len()];
            for (k, (row, code)) in panel.chunks_exact_mut(order).zip(codes).enumerate() {
                self.table.read(part * ROWS + k, *code as usize, row);
            }
            logs.chunks_exact_mut(n_classes).for_each(|row| row.copy_from_slice(&constant));
            product_into(&panel, &across, &mut logs, out.len(), n_classes);
            for ((out, row), code) in
                out.iter_mut().zip(logs.chunks_exact_mut(n_classes)).zip(codes)
            {
                softmax(row);
                *out = f(row, *code as usize);
            }
            Ok(())
        })?;
        Ok(values)
    }
}

/// Softmax: exp(v − max v), divided by its sum.
fn softmax(values: &mut [f64]) {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for value in values.iter_mut() {
        *value = (*value - largest).exp();
    }
    let sum: f64 = values.iter().sum();
    scale(1.0 / sum, values);
}
