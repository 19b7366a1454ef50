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
use crate::linalg::blas::{product_into, scale};
use crate::linalg::exponential::{exp_below, largest};
use crate::linalg::lapack::{TridiagonalForm, thin_svd};
use crate::linalg::memory::zeros;
use crate::threads::Context;

/// scikit-learn's tolerance of singular values.
const RANK: f64 = 1e-4;

const ALIKE: &str = "the rows of each class are all alike; use more rows a class";

/// Discriminants and a classifier.
pub(super) struct Discriminant {
    /// (q, at most C − 1).
    pub(super) directions: Array2<f64>,
    /// (C, q).
    weights: Array2<f64>,
    /// (C,).
    intercepts: Array1<f64>,
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
        let mut means = Array2::<f64>::zeros((n_classes, q));
        let mut counts = Array1::<f64>::zeros(n_classes);
        for (row, code) in z.rows().into_iter().zip(codes) {
            means.row_mut(*code as usize).scaled_add(1.0, &row);
            counts[*code as usize] += 1.0;
        }
        means /= &counts.view().insert_axis(Axis(1));
        let mut within = z.clone();
        for (mut row, code) in within.rows_mut().into_iter().zip(codes) {
            row -= &means.row(*code as usize);
        }
        let log_share = (&counts / n as f64).mapv(f64::ln);
        let most = (n_classes - 1).min(q);
        match shrinkage {
            Some(s) => Self::shrunk(z, &within, (&means, &log_share), (s, most), context),
            None => Self::whitened(within, &means, &counts, &log_share),
        }
    }

    fn shrunk(
        z: &Array2<f64>,
        within: &Array2<f64>,
        (means, log_share): (&Array2<f64>, &Array1<f64>),
        (shrinkage, most): (f64, usize),
        context: &Context<'_>,
    ) -> Result<Self> {
        let q = z.ncols();
        let shrink = |rows: &Array2<f64>| {
            let mut cov = rows.t().dot(rows) / rows.nrows() as f64;
            let level = cov.diag().sum() / q as f64;
            cov *= 1.0 - shrinkage;
            cov.diag_mut().mapv_inplace(|v| v + shrinkage * level);
            cov
        };
        let (own, all) = (shrink(within), shrink(z));
        let (variances, axes) = symmetric(&own, context)?;
        if variances.iter().any(|v| *v <= 0.0) {
            return Err(super::failed(ALIKE));
        }
        let root = &axes * &variances.mapv(|v| 1.0 / v.sqrt()); // own⁻¹ = root rootᵀ
        let (_, turn) = symmetric(&root.t().dot(&(all - own)).dot(&root), context)?;
        let directions = root.dot(&turn.slice(s![.., ..most]));
        let weights = means.dot(&root).dot(&root.t());
        let squares = (&weights * means).sum_axis(Axis(1));
        Ok(Self { directions, intercepts: log_share - squares / 2.0, weights })
    }

    fn whitened(
        mut within: Array2<f64>,
        means: &Array2<f64>,
        counts: &Array1<f64>,
        log_share: &Array1<f64>,
    ) -> Result<Self> {
        let (n, n_classes) = (within.nrows(), counts.len());
        let scale = within.std_axis(Axis(0), 0.0).mapv(|std| if std == 0.0 { 1.0 } else { std });
        within /= &scale;
        within /= (n as f64).sqrt();
        let (_, sizes, axes) = thin_svd(within)?;
        let rank = sizes.iter().take_while(|size| **size > RANK).count();
        if rank == 0 {
            return Err(super::failed(ALIKE));
        }
        let whiten = axes.slice(s![..rank, ..]).t().to_owned()
            / scale.view().insert_axis(Axis(1))
            / sizes.slice(s![..rank]);
        let weighted = means.dot(&whiten) * counts.mapv(f64::sqrt).insert_axis(Axis(1))
            / ((n_classes - 1) as f64).sqrt();
        let (_, sizes, axes) = thin_svd(weighted)?;
        let first = sizes.first().copied().unwrap_or(0.0);
        let rank = sizes.iter().take_while(|size| **size > RANK * first).count();
        let directions = whiten.dot(&axes.slice(s![..rank, ..]).t());
        let placed = means.dot(&directions);
        let squares = (&placed * &placed).sum_axis(Axis(1));
        let weights = placed.dot(&directions.t());
        Ok(Self { directions, intercepts: log_share - squares / 2.0, weights })
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

/// Eigenvalues, descending, and eigenvectors in columns.
fn symmetric(a: &Array2<f64>, context: &Context<'_>) -> Result<(Array1<f64>, Array2<f64>)> {
    let order = a.nrows();
    let form = TridiagonalForm::reduce(a.iter().copied().collect(), order, context)?;
    let (values, vectors) = form.largest(order, context)?;
    let vectors = Array2::from_shape_vec((order, order), vectors).map_err(|_| Error::NoData)?;
    Ok((Array1::from(values), vectors.reversed_axes()))
}
