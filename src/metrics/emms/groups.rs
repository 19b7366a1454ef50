//! Rows with the same label embeddings, summed as one group: embeddings of class names have only as
//! many different rows as there are classes.
//!
//! With n (G,) the rows of each group, Z (G, rank) the coordinates of the sums of their features, and
//! E_k (G, D2) their embeddings: M_kl = ⟨E_k, Q E_l⟩, Q = diag(n) − Z Zᵀ (G, G). Time N D + G D² +
//! G² D2 K, in place of a product with every column of every view.

use std::hash::{DefaultHasher, Hasher};

use ndarray::Array2;

use crate::decomp::Projection;
use crate::error::Result;
use crate::input::Rows;
use crate::linalg::blas::{axpy, dot, product_into, row_gram_add};
use crate::linalg::memory::{reserved, table, zeros};
use crate::stats::Stats;
use crate::threads::Context;

use super::views::View;

/// The largest number of groups.
const MOST: usize = 1024;

/// M, for [`Projection::Products`]; none where there are more than one group for four rows.
pub(super) fn left_over(
    stats: &Stats,
    features: &dyn Rows,
    views: &[View<'_>],
    projection: &Projection,
    context: &Context<'_>,
) -> Result<Option<Array2<f64>>> {
    let Some((of_row, representatives)) = find(views, features.n_rows(), context)? else {
        return Ok(None);
    };
    let n_groups = representatives.len();
    let mut counts = zeros::<f64>(n_groups, "the groups of equal labels")?;
    for group in &of_row {
        counts[*group] += 1.0;
    }
    let sums = sums(stats, features, &of_row, &counts, context)?;
    let z = projection.coordinates(&sums, features.n_rows())?;
    let mut q = zeros::<f64>(n_groups * n_groups, "the products of groups")?;
    if !z.is_empty() {
        let length = z.len() / n_groups;
        row_gram_add(&z, length, 0..length, &mut q, context)?;
    }
    for i in 0..n_groups {
        for j in i..n_groups {
            let share = if i == j { counts[i] } else { 0.0 } - q[i * n_groups + j];
            q[i * n_groups + j] = share;
            q[j * n_groups + i] = share;
        }
    }
    let n_cols = views[0].n_cols();
    let both = context.map(views.len(), |k| {
        let mut e = zeros(n_groups * n_cols, "the label embeddings")?;
        let mut row = zeros(n_cols, "a label embedding")?;
        for (e, i) in e.chunks_exact_mut(n_cols).zip(&representatives) {
            views[k].read(*i, 0..n_cols, &mut row, e);
        }
        let mut along = zeros(e.len(), "products with label embeddings")?;
        product_into(&q, &e, &mut along, n_groups, n_cols);
        Ok((e, along))
    })?;
    let entry = |(k, l): (usize, usize)| dot(&both[k.min(l)].0, &both[k.max(l)].1);
    Ok(Some(Array2::from_shape_fn((views.len(), views.len()), entry)))
}

/// Σ (x − μ) over the rows of each group, (G, D).
fn sums(
    stats: &Stats,
    features: &dyn Rows,
    of_row: &[usize],
    counts: &[f64],
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    let (n_rows, n_features) = (of_row.len(), stats.n_features);
    // By the shape alone, as in the statistics.
    let size = n_rows.div_ceil((2 * n_rows.div_ceil(5000)).clamp(2, 64));
    let mut sums = context.sum(
        n_rows.div_ceil(size),
        || zeros::<f64>(counts.len() * n_features, "sums of the features by label"),
        |i, sums| {
            let mut x = zeros(n_features, "a row of features")?;
            for i in i * size..n_rows.min((i + 1) * size) {
                features.read_row(i, &mut x);
                axpy(-1.0, &stats.shift, &mut x);
                axpy(1.0, &x, &mut sums[of_row[i] * n_features..][..n_features]);
            }
            context.check()
        },
    )?;
    let offset = stats.mean_about_shift()?;
    for (sum, count) in sums.chunks_exact_mut(n_features).zip(counts) {
        axpy(-count, &offset, sum);
    }
    Ok(sums)
}

/// The group of each row and a row of each group; none if there are too many groups.
fn find(
    views: &[View<'_>],
    n_rows: usize,
    context: &Context<'_>,
) -> Result<Option<(Vec<usize>, Vec<usize>)>> {
    let mut of_row = reserved(n_rows, "the groups of equal labels")?;
    let few = MOST + 1;
    let mut representatives = reserved(few, "the groups of equal labels")?;
    let mut by_hash = table::<u64, Vec<usize>>(few, "the groups of equal labels")?;
    let n_cols = views[0].n_cols();
    let mut row = zeros::<f64>(n_cols, "a label embedding")?;
    let mut other = zeros::<f64>(n_cols, "a label embedding")?;
    for i in 0..n_rows {
        if i % 1024 == 0 {
            context.check()?;
        }
        let mut hasher = DefaultHasher::new();
        for view in views {
            view.raw(i, &mut row);
            for value in &row {
                hasher.write_u64(value.to_bits());
            }
        }
        let candidates = by_hash.entry(hasher.finish()).or_default();
        let mut same = |group: &usize| {
            views.iter().all(|view| {
                view.raw(i, &mut row);
                view.raw(representatives[*group], &mut other);
                row == other
            })
        };
        if let Some(group) = candidates.iter().copied().find(|group| same(group)) {
            of_row.push(group);
            continue;
        }
        let group = representatives.len();
        candidates.push(group);
        representatives.push(i);
        of_row.push(group);
        if group >= MOST || 4 * (group + 1) > n_rows {
            return Ok(None);
        }
    }
    Ok(Some((of_row, representatives)))
}
