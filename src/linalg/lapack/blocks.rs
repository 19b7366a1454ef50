//! Products of blocks of column-major matrices, and blocks of reflectors: what a blocked reduction is
//! made of. A block is the slice that starts with its first number, and the distance of its columns.
#![allow(unsafe_code)]

use cblas_sys::{CBLAS_LAYOUT::CblasColMajor, CBLAS_TRANSPOSE};

use crate::error::Result;

use super::super::memory::zeros;
use super::{checked, int};

const WORKSPACE: &str = "the workspace of a factorisation";

/// A block (rows, columns) of a column-major matrix, whose columns are `stride` numbers apart.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) values: &'a [f64],
    pub(super) stride: usize,
}

/// Whether the block holds this many rows and columns.
fn holds(len: usize, stride: usize, (rows, columns): (usize, usize)) -> bool {
    rows <= stride && (columns == 0 || (columns - 1) * stride + rows <= len)
}

/// `c += factor · op(a) op(b)` for op(a) (m, k), op(b) (k, n) and c (m, n).
pub(super) fn product_add(
    factor: f64,
    (op_a, a): (CBLAS_TRANSPOSE, Block<'_>),
    (op_b, b): (CBLAS_TRANSPOSE, Block<'_>),
    (c, stride): (&mut [f64], usize),
    (m, n, k): (usize, usize, usize),
) {
    let shape = |op, rows, columns| match op {
        CBLAS_TRANSPOSE::CblasNoTrans => (rows, columns),
        _ => (columns, rows),
    };
    assert!(holds(a.values.len(), a.stride, shape(op_a, m, k)));
    assert!(holds(b.values.len(), b.stride, shape(op_b, k, n)));
    assert!(holds(c.len(), stride, (m, n)));
    if m * n * k == 0 {
        return;
    }
    // SAFETY: the blocks hold what is read, as asserted; c is a unique borrow.
    unsafe {
        cblas_sys::cblas_dgemm(
            CblasColMajor,
            op_a,
            op_b,
            int(m),
            int(n),
            int(k),
            factor,
            a.values.as_ptr(),
            int(a.stride),
            b.values.as_ptr(),
            int(b.stride),
            1.0,
            c.as_mut_ptr(),
            int(stride),
        );
    }
}

/// Replaces a block (rows, columns) by R and the reflectors of its QR factorisation, and writes the
/// triangular factor T (k, k) of their product H₁⋯Hₖ = I − V T Vᵀ, k = min(rows, columns), into `t`,
/// whose columns are `columns` numbers apart (`?geqrf`, `?larft`).
pub(super) fn factorise(
    block: &mut [f64],
    stride: usize,
    (rows, columns): (usize, usize),
    t: &mut [f64],
) -> Result<()> {
    let k = rows.min(columns);
    assert!(holds(block.len(), stride, (rows, columns)) && t.len() == columns * columns);
    let mut tau = zeros::<f64>(k.max(1), WORKSPACE)?;
    let mut work = zeros::<f64>(32 * columns.max(1), WORKSPACE)?;
    let (m, n, lda, mut info) = (int(rows), int(columns), int(stride), 0);
    // SAFETY: the block is rows × columns with leading dimension `stride`, as asserted; tau holds k
    // numbers, the workspace 32 · columns.
    unsafe {
        lapack_sys::dgeqrf_(
            &raw const m,
            &raw const n,
            block.as_mut_ptr(),
            &raw const lda,
            tau.as_mut_ptr(),
            work.as_mut_ptr(),
            &int(work.len()),
            &raw mut info,
        );
    }
    checked("dgeqrf", info, rows)?;
    // SAFETY: the block holds k reflectors of `rows` numbers and tau their factors; T is k × k with
    // leading dimension `columns`.
    unsafe {
        lapack_sys::dlarft_(
            c"F".as_ptr(),
            c"C".as_ptr(),
            &raw const m,
            &int(k),
            block.as_ptr(),
            &raw const lda,
            tau.as_ptr(),
            t.as_mut_ptr(),
            &raw const n,
        );
    }
    Ok(())
}

/// Replaces every column of c (rows, columns) by Hc, or Hᵀc where `transposed`, for H = I − V T Vᵀ of
/// k reflectors (`?larfb`). The columns of c are `stride` numbers apart, those of T `t_stride`.
pub(super) fn reflect(
    transposed: bool,
    v: Block<'_>,
    (t, t_stride): (&[f64], usize),
    (c, stride): (&mut [f64], usize),
    (rows, columns, k): (usize, usize, usize),
    work: &mut [f64],
) {
    assert!(holds(v.values.len(), v.stride, (rows, k)) && holds(t.len(), t_stride, (k, k)));
    assert!(holds(c.len(), stride, (rows, columns)) && work.len() >= columns * k);
    if rows * columns * k == 0 {
        return;
    }
    let trans = if transposed { c"T" } else { c"N" };
    // SAFETY: V is rows × k and T k × k, c is rows × columns and the workspace columns × k, as
    // asserted; c and the workspace are unique borrows.
    unsafe {
        lapack_sys::dlarfb_(
            c"L".as_ptr(),
            trans.as_ptr(),
            c"F".as_ptr(),
            c"C".as_ptr(),
            &int(rows),
            &int(columns),
            &int(k),
            v.values.as_ptr(),
            &int(v.stride),
            t.as_ptr(),
            &int(t_stride),
            c.as_mut_ptr(),
            &int(stride),
            work.as_mut_ptr(),
            &int(columns),
        );
    }
}
