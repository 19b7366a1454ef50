//! The dual side, for few rows: the Gram matrix K = XXᵀ, (N, N), of the centred rows times √w.
//!
//! Rows are held about the shift; with r = x − s and d = μ − s,
//! `K_ij` = √(`w_i` `w_j`) (`r_i`·`r_j` − `r_i`·d − `r_j`·d + d·d).
//!
//! The rows of X sum to zero, so K has the eigenvalue 0 with the vector √w/√n, to which all
//! right-hand sides are orthogonal. Its eigenvalue is replaced by the mean eigenvalue, so that K
//! can be positive definite; [`Rows::gram`] returns that value, which determinants must leave out.

use crate::error::Result;
use crate::linalg::blas::{axpy, dot, outer_add, product_into, row_gram_add};
use crate::linalg::memory::{Gather, copied, zeros};
use crate::threads::Context;

/// Held rows, (N, D), and the offset of their mean from the shift.
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f64],
    pub(super) weights: &'a [f64],
    pub(super) offset: &'a [f64],
}

/// R Rᵀ, upper triangle, of row-major R with `n_cols` columns. The inner dimension is cut by the shape
/// alone, and summed in order.
pub(crate) fn row_products(rows: &[f64], n_cols: usize, context: &Context<'_>) -> Result<Vec<f64>> {
    const SMALL: usize = 50_000_000; // multiplications: about a millisecond
    let n_rows = rows.len() / n_cols;
    let count = if n_rows * n_rows * n_cols < SMALL { 1 } else { 2 * n_cols.div_ceil(4096) };
    let width = n_cols.div_ceil(count);
    context.sum(
        count,
        || zeros::<f64>(n_rows * n_rows, "the products of the rows"),
        |i, gram| row_gram_add(rows, n_cols, i * width..n_cols.min((i + 1) * width), gram, context),
    )
}

impl Rows<'_> {
    /// K, upper triangle, and the eigenvalue that was added to it.
    pub(super) fn gram(&self, context: &Context<'_>) -> Result<(Vec<f64>, f64)> {
        let (n_rows, n_cols) = (self.weights.len(), self.offset.len());
        let mut gram = row_products(self.values, n_cols, context)?;
        let rows = self.values.chunks_exact(n_cols);
        let along = rows.map(|row| dot(row, self.offset)).gathered("products with the mean")?;
        let d = dot(self.offset, self.offset);
        let root = self.weights.iter().map(|weight| weight.sqrt());
        let root = root.gathered("the roots of the weights")?;
        for (i, row) in gram.chunks_exact_mut(n_rows).enumerate() {
            for j in i..n_rows {
                row[j] = root[i] * root[j] * (row[j] - along[i] - along[j] + d);
            }
        }
        let trace: f64 = gram.iter().step_by(n_rows + 1).sum();
        let added = trace / n_rows as f64;
        let share = added / self.weights.iter().sum::<f64>();
        outer_add(share, &root, &mut gram);
        Ok((gram, added))
    }

    /// X v.
    pub(super) fn product(&self, v: &[f64]) -> Result<Vec<f64>> {
        let shared = dot(self.offset, v);
        let rows = self.values.chunks_exact(self.offset.len()).zip(self.weights);
        let along = rows.map(|(row, weight)| weight.sqrt() * (dot(row, v) - shared));
        along.gathered("products with the mean")
    }

    /// Xᵀ v for each v (N,) of `vectors`, (`n_vectors`, D).
    pub(super) fn transposed_product(&self, vectors: &[f64]) -> Result<Vec<f64>> {
        let (n_rows, n_cols) = (self.weights.len(), self.offset.len());
        let n_vectors = vectors.len() / n_rows;
        let mut weighted = copied(vectors, "the weighted targets")?;
        for v in weighted.chunks_exact_mut(n_rows) {
            v.iter_mut().zip(self.weights).for_each(|(v, weight)| *v *= weight.sqrt());
        }
        let mut result = zeros(n_vectors * n_cols, "products with the targets")?;
        product_into(&weighted, self.values, &mut result, n_vectors, n_cols);
        for (row, v) in result.chunks_exact_mut(n_cols).zip(weighted.chunks_exact(n_rows)) {
            axpy(-v.iter().sum::<f64>(), self.offset, row);
        }
        Ok(result)
    }
}
