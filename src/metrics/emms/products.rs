//! M_kl = ⟨E_k, (I − P) E_l⟩, (K, K), from one pass over the samples for each panel of columns.
//!
//! A panel holds the same columns of all views, the first axis being the view: (K, …). With Z the
//! coordinates of its columns, M is the sum over panels of ⟨E_k, E_l⟩ − ⟨Z_k, Z_l⟩, or of ⟨Z_k, Z_l⟩
//! where coordinates are those off the features.

use std::ops::Range;

use ndarray::Array2;

use crate::decomp::Projection;
use crate::error::Result;
use crate::input::Rows;
use crate::linalg::blas::{axpy, row_gram_add, transposed_product_add};
use crate::linalg::memory::{joined, zeros};
use crate::stats::Stats;
use crate::threads::{Context, PartialSum};

use super::groups;
use super::views::View;

/// Numbers in the products of a panel, (features or samples) × columns of all views: 16 MB.
const PANEL: usize = 1 << 21;
/// Rows that are read at a time.
const ROWS: usize = 256;

/// M, (K, K).
pub(super) fn left_over(
    stats: &Stats,
    features: &dyn Rows,
    views: &[View<'_>],
    projection: &Projection,
    context: &Context<'_>,
) -> Result<Array2<f64>> {
    let (n_views, n_cols, n_samples) = (views.len(), views[0].n_cols(), features.n_rows());
    let from_products = matches!(projection, Projection::Products(_));
    if from_products
        && let Some(left) = groups::left_over(stats, features, views, projection, context)?
    {
        return Ok(left);
    }
    let order = if from_products { stats.n_features } else { n_samples };
    let width = (PANEL / order / n_views).clamp(1, n_cols);
    let mut gram = vec![0.0; n_views * n_views]; // views are few
    let mut along = vec![0.0; n_views * n_views];
    for start in (0..n_cols).step_by(width) {
        let columns = start..n_cols.min(start + width);
        let vectors = if from_products {
            let panel = Panel { stats, features, views, columns };
            let sums = panel.sums(context)?;
            axpy(1.0, &sums.gram, &mut gram);
            sums.products
        } else {
            let vectors = columns_of(views, columns, n_samples, context)?;
            let length = vectors.len() / n_views;
            row_gram_add(&vectors, length, 0..length, &mut gram, context)?;
            vectors
        };
        let coordinates = coordinates(projection, &vectors, order, n_samples, context)?;
        let length = coordinates.len() / n_views;
        if length > 0 {
            row_gram_add(&coordinates, length, 0..length, &mut along, context)?;
        }
    }
    let off = matches!(projection, Projection::Off(..));
    let upper = |k: usize, l: usize| {
        let place = k.min(l) * n_views + k.max(l);
        if off { along[place] } else { gram[place] - along[place] }
    };
    Ok(Array2::from_shape_fn((n_views, n_views), |(k, l)| upper(k, l)))
}

/// Coordinates of vectors of this order, computed in parallel, a few vectors to a task.
fn coordinates(
    projection: &Projection,
    vectors: &[f64],
    order: usize,
    n_samples: usize,
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    const AT_A_TIME: usize = 32;
    let size = AT_A_TIME * order;
    let parts = context.map(vectors.len().div_ceil(size), |i| {
        let chunk = &vectors[i * size..vectors.len().min((i + 1) * size)];
        projection.coordinates(chunk, n_samples)
    })?;
    joined(parts, "the coordinates of the targets")
}

/// Standardised columns of all views as vectors, (K, width, N).
fn columns_of(
    views: &[View<'_>],
    columns: Range<usize>,
    n_samples: usize,
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    let width = columns.len();
    let mut vectors = zeros(views.len() * width * n_samples, "the label embeddings")?;
    context.for_each_chunk(&mut vectors, width * n_samples, |k, part| {
        let mut row = zeros(views[k].n_cols(), "a label embedding")?;
        let mut values = zeros::<f64>(width, "a label embedding")?;
        for i in 0..n_samples {
            views[k].read(i, columns.clone(), &mut row, &mut values);
            for (out, value) in part[i..].iter_mut().step_by(n_samples).zip(&values) {
                *out = *value;
            }
        }
        Ok(())
    })?;
    Ok(vectors)
}

/// Columns of all views, to be multiplied with the features.
struct Panel<'a> {
    stats: &'a Stats,
    features: &'a dyn Rows,
    views: &'a [View<'a>],
    columns: Range<usize>,
}

/// Sums over rows.
struct Sums {
    /// Ẽᵀ(F − 1sᵀ), (K, width, D).
    products: Vec<f64>,
    /// ⟨Ẽ_k, Ẽ_l⟩, (K, K), upper triangle.
    gram: Vec<f64>,
    /// Ẽᵀ1, (K, width): zero but for rounding.
    sum: Vec<f64>,
}

impl PartialSum for Sums {
    fn reset(&mut self) {
        self.products.fill(0.0);
        self.gram.fill(0.0);
        self.sum.fill(0.0);
    }

    fn add(&mut self, other: &Self, _: &Context<'_>) -> Result<()> {
        axpy(1.0, &other.products, &mut self.products);
        axpy(1.0, &other.gram, &mut self.gram);
        axpy(1.0, &other.sum, &mut self.sum);
        Ok(())
    }
}

impl Panel<'_> {
    /// The sums over all rows, with products taken with the centred features.
    fn sums(&self, context: &Context<'_>) -> Result<Sums> {
        const SMALL: usize = 50_000_000; // multiplications: about a millisecond
        const CHUNK: usize = 5000;
        let (n_rows, n_features) = (self.features.n_rows(), self.stats.n_features);
        let (n_views, n_vectors) = (self.views.len(), self.views.len() * self.columns.len());
        // By the shape alone, as in the statistics.
        let work = n_rows.saturating_mul(n_features).saturating_mul(n_vectors);
        let count = if work < SMALL { 1 } else { (2 * n_rows.div_ceil(CHUNK)).clamp(2, 64) };
        let size = n_rows.div_ceil(count);
        let mut total = context.sum(
            n_rows.div_ceil(size),
            || {
                let products = zeros(n_vectors * n_features, "products with label embeddings")?;
                let sum = zeros(n_vectors, "sums of label embeddings")?;
                Ok(Sums { products, gram: vec![0.0; n_views * n_views], sum })
            },
            |i, part| self.add(part, i * size..n_rows.min((i + 1) * size), context),
        )?;
        let offset = self.stats.mean_about_shift()?;
        for (product, sum) in total.products.chunks_exact_mut(n_features).zip(&total.sum) {
            axpy(-sum, &offset, product);
        }
        Ok(total)
    }

    fn add(&self, sums: &mut Sums, rows: Range<usize>, context: &Context<'_>) -> Result<()> {
        let (n_features, width) = (self.stats.n_features, self.columns.len());
        let mut x = zeros(ROWS * n_features, "a panel of rows")?;
        let mut e = zeros(self.views.len() * ROWS * width, "a panel of label embeddings")?;
        let mut row = zeros(self.views[0].n_cols(), "a label embedding")?;
        for start in rows.clone().step_by(ROWS) {
            context.check()?;
            let end = rows.end.min(start + ROWS);
            let (x, e) = (
                &mut x[..(end - start) * n_features],
                &mut e[..self.views.len() * (end - start) * width],
            );
            for (i, x) in (start..end).zip(x.chunks_exact_mut(n_features)) {
                self.features.read_row(i, x);
                axpy(-1.0, &self.stats.shift, x);
            }
            let views = e.chunks_exact_mut((end - start) * width).zip(self.views).enumerate();
            for (k, (e, view)) in views {
                let sum = &mut sums.sum[k * width..(k + 1) * width];
                for (i, e) in (start..end).zip(e.chunks_exact_mut(width)) {
                    view.read(i, self.columns.clone(), &mut row, e);
                    axpy(1.0, e, sum);
                }
                let products = &mut sums.products[k * width * n_features..][..width * n_features];
                transposed_product_add(e, x, products, width, n_features);
            }
            let length = (end - start) * width;
            row_gram_add(e, length, 0..length, &mut sums.gram, context)?;
        }
        Ok(())
    }
}
