//! Linear discriminants of samples in few dimensions, as scikit-learn's two solvers have them.
//!
//! For Z (N, q) of mean zero, class means M (C, q), counts n_c, W the rows less their class's mean:
//!
//! - shrunk, s > 1e-10: S = (1 − s) WᵀW/N + s tr(WᵀW/N)/q I, T likewise from ZᵀZ; the discriminants
//!   are the generalised eigenvectors of (T − S, S), and the classifier's weights M S⁻¹;
//! - else: the whitening of W/√N by SVD, then the principal directions of √n_c M there. Before it
//!   settled on N, scikit-learn divided by N − C.

use ndarray::{Array1, Array2, Axis, s};

use crate::error::{Error, Result};
use crate::linalg::blas::{matrix_product, product_into, scale};
use crate::linalg::exponential::{exp_below, largest};
use crate::linalg::lapack::{TridiagonalForm, thin_svd};
use crate::linalg::memory::{Gather, copied_matrix, zero_matrix, zeros};
use crate::threads::Context;

/// scikit-learn's tolerance of singular values.
const RANK: f64 = 1e-4;

const WHAT: &str = "a linear classifier";

const ALIKE: &str = "the rows of each class are all alike; use more rows a class";

/// Discriminants and a classifier.
pub(super) struct Discriminant {
    /// (q, at most C − 1).
    pub(super) directions: Array2<f64>,
    /// (C, q).
    weights: Array2<f64>,
    /// (C,).
    intercepts: Vec<f64>,
}

impl Discriminant {
    pub(super) fn new(
        z: &Array2<f64>,
        codes: &[u32],
        n_classes: usize,
        shrinkage: Option<f64>,
        context: &Context<'_>,
    ) -> Result<Self> {
        let (n, q) = z.dim();
        let mut means = zero_matrix((n_classes, q), WHAT)?;
        let mut counts = Array1::from(zeros::<f64>(n_classes, WHAT)?);
        for (row, code) in z.rows().into_iter().zip(codes) {
            means.row_mut(*code as usize).scaled_add(1.0, &row);
            counts[*code as usize] += 1.0;
        }
        means /= &counts.view().insert_axis(Axis(1));
        let mut within = copied_matrix(z.view(), WHAT)?;
        for (mut row, code) in within.rows_mut().into_iter().zip(codes) {
            row -= &means.row(*code as usize);
        }
        let log_share = counts.iter().map(|count| (count / n as f64).ln()).gathered(WHAT)?;
        let most = (n_classes - 1).min(q);
        match shrinkage {
            Some(s) => Self::shrunk(z, &within, (&means, &log_share), (s, most), context),
            None => Self::whitened(within, &means, &counts, &log_share),
        }
    }

    fn shrunk(
        z: &Array2<f64>,
        within: &Array2<f64>,
        (means, log_share): (&Array2<f64>, &[f64]),
        (shrinkage, most): (f64, usize),
        context: &Context<'_>,
    ) -> Result<Self> {
        let q = z.ncols();
        let shrink = |rows: &Array2<f64>| {
            let mut cov = matrix_product(rows.t(), rows.view(), WHAT)?;
            cov /= rows.nrows() as f64;
            let level = cov.diag().sum() / q as f64;
            cov *= 1.0 - shrinkage;
            cov.diag_mut().mapv_inplace(|v| v + shrinkage * level);
            Ok::<_, Error>(cov)
        };
        let (own, all) = (shrink(within)?, shrink(z)?);
        let (variances, mut root) = symmetric(&own, context)?;
        if variances.iter().any(|v| *v <= 0.0) {
            return Err(super::failed(ALIKE));
        }
        root *= &variances.mapv_into(|v| 1.0 / v.sqrt()); // own⁻¹ = root rootᵀ
        let between = matrix_product(root.t(), (all - own).view(), WHAT)?;
        let turned = matrix_product(between.view(), root.view(), WHAT)?;
        let (_, turn) = symmetric(&turned, context)?;
        let directions = matrix_product(root.view(), turn.slice(s![.., ..most]), WHAT)?;
        let white = matrix_product(means.view(), root.view(), WHAT)?;
        let weights = matrix_product(white.view(), root.t(), WHAT)?;
        let squares = weights.rows().into_iter().zip(means.rows()).map(|(w, mean)| w.dot(&mean));
        let intercepts = log_share.iter().zip(squares).map(|(log, square)| log - square / 2.0);
        Ok(Self { directions, intercepts: intercepts.gathered(WHAT)?, weights })
    }

    fn whitened(
        mut within: Array2<f64>,
        means: &Array2<f64>,
        counts: &Array1<f64>,
        log_share: &[f64],
    ) -> Result<Self> {
        let (n, n_classes) = (within.nrows(), counts.len());
        let scale = Array1::from(deviations(&within)?);
        within /= &scale;
        within /= (n as f64).sqrt();
        let (_, sizes, axes) = thin_svd(within)?;
        let rank = sizes.iter().take_while(|size| **size > RANK).count();
        if rank == 0 {
            return Err(super::failed(ALIKE));
        }
        let mut whiten = copied_matrix(axes.slice(s![..rank, ..]).t(), WHAT)?;
        whiten /= &scale.view().insert_axis(Axis(1));
        whiten /= &sizes.slice(s![..rank]);
        let mut weighted = matrix_product(means.view(), whiten.view(), WHAT)?;
        for (mut mean, count) in weighted.rows_mut().into_iter().zip(counts) {
            mean *= count.sqrt();
        }
        weighted /= ((n_classes - 1) as f64).sqrt();
        let (_, sizes, axes) = thin_svd(weighted)?;
        let first = sizes.first().copied().unwrap_or(0.0);
        let rank = sizes.iter().take_while(|size| **size > RANK * first).count();
        let directions = matrix_product(whiten.view(), axes.slice(s![..rank, ..]).t(), WHAT)?;
        let placed = matrix_product(means.view(), directions.view(), WHAT)?;
        let squares = placed.rows().into_iter().map(|mean| mean.dot(&mean));
        let intercepts = log_share.iter().zip(squares).map(|(log, square)| log - square / 2.0);
        let intercepts = intercepts.gathered(WHAT)?;
        let weights = matrix_product(placed.view(), directions.t(), WHAT)?;
        Ok(Self { directions, weights, intercepts })
    }

    /// The classifier's weights as columns, (q, C).
    pub(super) fn columns(&self) -> Result<Vec<f64>> {
        let (n_classes, q) = self.weights.dim();
        let mut columns = zeros::<f64>(n_classes * q, "the weights of a classifier")?;
        for (c, row) in self.weights.rows().into_iter().enumerate() {
            columns[c..].iter_mut().step_by(n_classes).zip(row).for_each(|(out, w)| *out = *w);
        }
        Ok(columns)
    }

    /// Write the probability of every class for rows of Z, (rows, C), given [`Self::columns`].
    pub(super) fn posterior(&self, z: &[f64], columns: &[f64], p: &mut [f64]) {
        let (n_classes, q) = self.weights.dim();
        for row in p.chunks_exact_mut(n_classes) {
            row.iter_mut().zip(&self.intercepts).for_each(|(p, intercept)| *p = *intercept);
        }
        product_into(z, columns, p, z.len() / q, n_classes);
        for row in p.chunks_exact_mut(n_classes) {
            let sum = exp_below(largest(row), row);
            scale(1.0 / sum, row);
        }
    }
}

/// The standard deviation of each column, and 1 where it is 0, by Welford's updates.
fn deviations(rows: &Array2<f64>) -> Result<Vec<f64>> {
    let mut mean = zeros::<f64>(rows.ncols(), WHAT)?;
    let mut squares = zeros::<f64>(rows.ncols(), WHAT)?;
    for (i, row) in rows.rows().into_iter().enumerate() {
        for ((x, mean), square) in row.iter().zip(&mut mean).zip(&mut squares) {
            let apart = x - *mean;
            *mean += apart / (i + 1) as f64;
            *square = (x - *mean).mul_add(apart, *square);
        }
    }
    for square in &mut squares {
        let deviation = (*square / rows.nrows() as f64).sqrt();
        *square = if deviation == 0.0 { 1.0 } else { deviation };
    }
    Ok(squares)
}

/// Eigenvalues, descending, and eigenvectors in columns.
fn symmetric(a: &Array2<f64>, context: &Context<'_>) -> Result<(Array1<f64>, Array2<f64>)> {
    let order = a.nrows();
    let form = TridiagonalForm::reduce(a.iter().copied().gathered(WHAT)?, order, context)?;
    let (values, vectors) = form.largest(order, context)?;
    let vectors = Array2::from_shape_vec((order, order), vectors).map_err(|_| Error::NoData)?;
    Ok((Array1::from(values), vectors.reversed_axes()))
}
