//! The first stage of a two-stage reduction: from a symmetric matrix to a band, A = Q₁BQ₁ᵀ.
//!
//! A panel of b columns is made upper triangular below the band by a QR factorisation, whose
//! reflectors H = I − V T Vᵀ then act on both sides of the rest of the matrix, A (m, m):
//!
//! HᵀAH = A − V Zᵀ − Z Vᵀ, with Y = A V T and Z = Y − V (TᵀVᵀY)/2.
//!
//! Both Y and the difference are products of matrices. They are cut into parts by the order alone,
//! and the next panel is factored as soon as its columns are there, beside the other parts.

use cblas_sys::CBLAS_TRANSPOSE::{self, CblasNoTrans, CblasTrans};

use crate::error::Result;
use crate::threads::Context;

use super::super::memory::zeros;
use super::blocks::{Block, factorise, product_add, reflect};
use super::tiles::{WIDTH, product_subtract, symmetric_product_add};

/// b.
const B: usize = WIDTH;
/// Rows of Y in one part.
const PRODUCTS: usize = 256;
/// Columns of the difference in one part, a multiple of b.
const DIFFERENCES: usize = 128;
/// Memory that a reduction works in.
const WORKSPACE: &str = "the workspace of a reduction to a band";

/// The reflectors of a panel, which act on the rows and columns from `start` on.
struct Panel {
    start: usize,
    /// V, (m, b) row by row; of fewer than b reflectors the other columns are zero.
    v: Vec<f64>,
    /// T, (b, b) column by column.
    t: Vec<f64>,
    /// V T, (m, b) row by row.
    scaled: Vec<f64>,
}

impl Panel {
    fn new(order: usize) -> Result<Self> {
        let t = zeros::<f64>(B * B, WORKSPACE)?;
        let (v, scaled) = (zeros(B * order, WORKSPACE)?, zeros(B * order, WORKSPACE)?);
        Ok(Self { start: 0, v, t, scaled })
    }

    /// Factors the rows from `start` on of b columns of the matrix.
    fn factorise(&mut self, columns: &mut [f64], order: usize, start: usize) -> Result<()> {
        let m = order - start;
        self.start = start;
        self.t.fill(0.0);
        factorise(&mut columns[start..], order, (m, B), &mut self.t)?;
        self.v.truncate(0);
        self.v.resize(B * m, 0.0);
        for (j, column) in columns.chunks_exact(order).enumerate().take(m) {
            self.v[j * B + j] = 1.0;
            let below = self.v[j..].iter_mut().step_by(B).zip(&column[start..]).skip(j + 1);
            below.for_each(|(out, v)| *out = *v);
        }
        self.scaled.truncate(0);
        self.scaled.resize(B * m, 0.0);
        let (t, v) = ((CblasTrans, &self.t[..]), (CblasNoTrans, &self.v[..]));
        narrow_product_add(1.0, t, v, &mut self.scaled, (m, B));
        Ok(())
    }
}

/// `c += factor · op(a) op(b)` for c (32, columns) and op(a) (32, k), all with 32 rows in memory.
fn narrow_product_add(
    factor: f64,
    (op_a, a): (CBLAS_TRANSPOSE, &[f64]),
    (op_b, b): (CBLAS_TRANSPOSE, &[f64]),
    c: &mut [f64],
    (columns, k): (usize, usize),
) {
    let (a, b) = (Block { values: a, stride: B }, Block { values: b, stride: B });
    product_add(factor, (op_a, a), (op_b, b), (c, B), (B, columns, k));
}

/// Reduces a symmetric matrix, whose column-major lower triangle is given, to a band of b
/// subdiagonals. The reflectors are left below the band, and their factors T returned, b² numbers a
/// panel. The upper triangle is used as scratch.
pub(super) fn reduce(matrix: &mut [f64], order: usize, context: &Context<'_>) -> Result<Vec<f64>> {
    let count = order.saturating_sub(2) / B; // of one row is nothing to annihilate
    let mut factors = zeros::<f64>(count * B * B, "the reflectors of a reduction to a band")?;
    if count == 0 {
        return Ok(factors);
    }
    let (mut panel, mut next) = (Panel::new(order)?, Panel::new(order)?);
    let mut y = zeros::<f64>(B * order, WORKSPACE)?;
    let mut left = zeros::<f64>(2 * B * order.next_multiple_of(B), WORKSPACE)?;
    let mut right = zeros::<f64>(2 * B * order, WORKSPACE)?;
    panel.factorise(&mut matrix[..B * order], order, B)?;
    for (step, factor) in factors.chunks_exact_mut(B * B).enumerate() {
        factor.copy_from_slice(&panel.t);
        let start = panel.start;
        let m = order - start;
        let y = &mut y[..B * m];
        multiply(&panel, &matrix[start * order + start..], order, y, context)?;
        complete(&panel, y);
        write_factors(&panel.v, y, &mut left, &mut right);
        // The next panel comes first, and is factored while the others are computed.
        let (first, rest) = matrix[start * order..].split_at_mut(B.min(m) * order);
        let mut parts = vec![(0, first, (step + 1 < count).then_some(&mut next))];
        let others = rest.chunks_mut(DIFFERENCES * order).enumerate();
        parts.extend(others.map(|(i, columns)| (B + i * DIFFERENCES, columns, None)));
        let left = left.as_chunks().0;
        context.for_each_mut(&mut parts, |_, (at, columns, next)| {
            let below = (&mut columns[start + *at..], order);
            product_subtract(below, m - *at, &left[2 * *at..], &right[2 * B * *at..]);
            match next {
                Some(next) => next.factorise(columns, order, start + B),
                None => Ok(()),
            }
        })?;
        drop(parts);
        std::mem::swap(&mut panel, &mut next);
    }
    Ok(factors)
}

/// Computes Y (m, b), row by row, for the symmetric A (m, m) whose columns are `stride` numbers apart.
fn multiply(
    panel: &Panel,
    a: &[f64],
    stride: usize,
    y: &mut [f64],
    context: &Context<'_>,
) -> Result<()> {
    y.fill(0.0);
    let u = panel.scaled.as_chunks().0;
    context.for_each_chunk(y, PRODUCTS * B, |part, y| {
        symmetric_product_add((a, stride), u, y.as_chunks_mut().0, part * PRODUCTS);
        Ok(())
    })
}

/// Replaces Y by Z.
fn complete(panel: &Panel, y: &mut [f64]) {
    let m = y.len() / B;
    let (mut product, mut half) = ([0.0; B * B], [0.0; B * B]);
    let v = (CblasNoTrans, &panel.v[..]);
    narrow_product_add(1.0, v, (CblasTrans, y), &mut product, (B, m));
    let t = (CblasTrans, &panel.t[..]);
    narrow_product_add(0.5, t, (CblasNoTrans, &product), &mut half, (B, B));
    narrow_product_add(-1.0, (CblasTrans, &half), v, y, (m, B));
}

/// Writes the factors of the difference V Zᵀ + Z Vᵀ: (V, Z) in tiles of b rows, column by column, and
/// (Z, V) row by row.
fn write_factors(v: &[f64], z: &[f64], left: &mut [f64], right: &mut [f64]) {
    let tiles = left.chunks_exact_mut(2 * B * B).zip(v.chunks(B * B).zip(z.chunks(B * B)));
    for (tile, (v, z)) in tiles {
        let (of_v, of_z) = tile.split_at_mut(B * B);
        for (out, rows) in [(of_v, v), (of_z, z)] {
            for (i, row) in rows.chunks_exact(B).enumerate() {
                out[i..].iter_mut().step_by(B).zip(row).for_each(|(out, x)| *out = *x);
            }
        }
    }
    let rows = v.chunks_exact(B).zip(z.chunks_exact(B));
    for (out, (v, z)) in right.chunks_exact_mut(2 * B).zip(rows) {
        out[..B].copy_from_slice(z);
        out[B..].copy_from_slice(v);
    }
}

/// Replaces every vector v (one after the other in `vectors`) by Q₁ᵀv, or by Q₁v where `back`, with
/// the reflectors and factors that [`reduce`] left.
pub(super) fn rotate(
    (matrix, factors): (&[f64], &[f64]),
    order: usize,
    vectors: &mut [f64],
    back: bool,
    context: &Context<'_>,
) -> Result<()> {
    let columns = vectors.len() / order;
    let mut work = zeros::<f64>(columns * B, "the workspace of a basis change")?;
    let mut apply = |(step, t): (usize, &[f64])| {
        context.check()?;
        let start = (step + 1) * B;
        let v = Block { values: &matrix[step * B * order + start..], stride: order };
        let shape = (order - start, columns, B.min(order - start));
        reflect(!back, v, (t, B), (&mut vectors[start..], order), shape, &mut work);
        Ok(())
    };
    let mut steps = factors.chunks_exact(B * B).enumerate();
    if back { steps.rev().try_for_each(&mut apply) } else { steps.try_for_each(&mut apply) }
}
