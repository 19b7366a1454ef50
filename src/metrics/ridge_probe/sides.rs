//! Tridiagonal form of S = XᵀX of the standardised features or, for N ≤ D, of K = XXᵀ + κ 11ᵀ/N, with the
//! targets. κ, the mean eigenvalue, replaces the eigenvalue 0 of XXᵀ at the vector of ones.

use crate::decomp::Shifted;
use crate::error::Result;
use crate::input::Rows;
use crate::linalg::blas::{outer_add, product_into, row_gram_add, scale};
use crate::linalg::lapack::{TridiagonalForm, check_order};
use crate::linalg::memory::{Gather, zeros};
use crate::threads::{Context, chunks};

use super::super::centred::{Answers, CentredRows};
use super::super::leverage::transposed;

const SCALES: &str = "the scales of the columns";

/// S or K in tridiagonal form, with the targets in its basis.
pub(super) struct Side {
    pub(super) form: TridiagonalForm,
    /// Qᵀb or Qᵀỹ, (targets, order).
    pub(super) targets: Vec<f64>,
    /// From a centred row to its vector, (D, order), on the side of S: Q with its rows divided by
    /// the root mean squares of the columns. A product with it takes half the time of reflections.
    pub(super) basis: Vec<f64>,
    /// κ, on the side of K.
    pub(super) added: Option<f64>,
}

impl Side {
    /// From the scatter (D, D) and b (targets, D).
    pub(super) fn many(
        mut matrix: Vec<f64>,
        b: Vec<f64>,
        n: f64,
        context: &Context<'_>,
    ) -> Result<Self> {
        const ROWS: usize = 128;
        let order = matrix.len().isqrt();
        let inverse = |square: &f64| if *square > 0.0 { 1.0 / (square / n).sqrt() } else { 0.0 };
        let inverse_scale = matrix.iter().step_by(order + 1).map(inverse).gathered(SCALES)?;
        for (i, row) in matrix.chunks_exact_mut(order).enumerate() {
            for (entry, inverse) in row[i..].iter_mut().zip(&inverse_scale[i..]) {
                *entry *= inverse_scale[i] * inverse;
            }
        }
        let form = TridiagonalForm::reduce(matrix, order, context)?;
        let mut basis = zeros::<f64>(order * order, "the basis of a tridiagonal form")?;
        context.for_each_chunk(&mut basis, ROWS * order, |part, rows| {
            for (i, row) in rows.chunks_exact_mut(order).enumerate() {
                row[part * ROWS + i] = inverse_scale[part * ROWS + i];
            }
            form.rotate(rows, context)
        })?;
        // b is made of rows, and goes to the basis as they do.
        let mut targets = zeros::<f64>(b.len(), "the products with the targets")?;
        context.for_each_chunk(&mut targets, ROWS * order, |part, targets| {
            let b = &b[part * ROWS * order..][..targets.len()];
            product_into(b, &basis, targets, b.len() / order, order);
            Ok(())
        })?;
        Ok(Self { form, targets, basis, added: None })
    }

    /// From the rows.
    pub(super) fn few(
        rows: &CentredRows<'_>,
        answers: &Answers<'_>,
        mean: &[f64],
        context: &Context<'_>,
    ) -> Result<Self> {
        let (n_rows, n_cols) = (rows.n_rows(), rows.n_cols());
        check_order(n_rows)?;
        let n: f64 = rows.weights.iter().sum();
        let mut x = zeros::<f64>(n_rows * n_cols, "the standardised features in float64")?;
        let mut squares = zeros::<f64>(n_cols, SCALES)?;
        for (i, row) in x.chunks_exact_mut(n_cols).enumerate() {
            rows.read_row(i, row);
            scale(rows.weights[i].sqrt(), row);
            squares.iter_mut().zip(&*row).for_each(|(sum, x)| *sum += x * x);
        }
        for square in &mut squares {
            *square = if *square > 0.0 { 1.0 / (*square / n).sqrt() } else { 0.0 };
        }
        for row in x.chunks_exact_mut(n_cols) {
            row.iter_mut().zip(&squares).for_each(|(x, inverse)| *x *= inverse);
        }
        let parts = chunks(n_cols, n_cols.div_ceil(8).max(4096))?;
        let mut gram = context.sum(
            parts.len(),
            || zeros::<f64>(n_rows * n_rows, "the products of the rows"),
            |part, gram| row_gram_add(&x, n_cols, parts[part].clone(), gram, context),
        )?;
        drop(x);
        let added = gram.iter().step_by(n_rows + 1).sum::<f64>() / n_rows as f64;
        let root = rows.weights.iter().map(|weight| weight.sqrt());
        let root = root.gathered("the weights of the rows")?;
        outer_add(added / n, &root, &mut gram);
        let mut targets = zeros::<f64>(mean.len() * n_rows, "the centred targets")?;
        let mut y = zeros::<f64>(mean.len(), "a row of targets")?;
        for i in 0..n_rows {
            answers.read(rows, i, &mut y);
            for (k, (y, mean)) in y.iter().zip(mean).enumerate() {
                targets[k * n_rows + i] = root[i] * (y - mean);
            }
        }
        context.check()?;
        let form = TridiagonalForm::reduce(gram, n_rows, context)?;
        form.rotate(&mut targets, context)?;
        Ok(Self { form, targets, basis: vec![], added: Some(added) })
    }

    /// Write (T + λ'I)⁻¹ of a target to `out`, (order,).
    pub(super) fn solve(&self, shifted: &Shifted, target: usize, out: &mut [f64]) {
        out.copy_from_slice(&self.targets[target * out.len()..(target + 1) * out.len()]);
        shifted.solve(out);
    }

    /// (T + λ'I)⁻¹ of every target, (order, targets).
    pub(super) fn weights(&self, shifted: Option<&Shifted>) -> Result<Vec<f64>> {
        let Some(shifted) = shifted else { return Ok(vec![]) };
        let order = self.form.order();
        let mut solved = zeros::<f64>(self.targets.len(), "the coefficients of the ridges")?;
        for (k, out) in solved.chunks_exact_mut(order).enumerate() {
            self.solve(shifted, k, out);
        }
        transposed(&solved, order)
    }
}
