//! The two products of a reduction to a band, for panels of 32 columns.
//!
//! A general product first copies both factors into another order. With a factor of only 32 or 64
//! columns this takes as long as half of the arithmetic. Here the matrix is read where it is: four of
//! its numbers at a time are multiplied with 32 numbers of the panel each, and the sums are held in
//! the 32 registers of AVX-512.
#![allow(clippy::inline_always)] // into functions that are compiled for several machines
#![allow(clippy::needless_range_loop)] // of rows of two matrices
#![allow(unsafe_code)]

use multiversion::multiversion;
use multiversion::target::target_cfg_f;

use super::lanes::{add_scaled, is_fused};

/// Subdiagonals of the band, and columns of a panel.
pub(super) const WIDTH: usize = 32;
/// Numbers side by side in registers.
type Row = [f64; WIDTH];
/// Rows of the panel that stay in the first cache.
const ROWS: usize = 96;

/// Whether this machine has the registers.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma"))]
pub(super) fn has_registers() -> bool {
    target_cfg_f!(target_feature = "avx512f")
}

/// Adds to `y`, rows `from..` of Y (m, 32), the same rows of A U, for U (m, 32) and the symmetric A
/// (m, m) whose column-major lower triangle is given, its columns `stride` numbers apart.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
pub(super) fn symmetric_product_add(
    a: (&[f64], usize),
    u: &[[f64; WIDTH]],
    y: &mut [[f64; WIDTH]],
    from: usize,
) {
    if is_fused!() {
        multiply::<true>(a, u, y, from);
    } else {
        multiply::<false>(a, u, y, from);
    }
}

#[inline(always)]
fn multiply<const FUSED: bool>(
    (a, stride): (&[f64], usize),
    u: &[Row],
    y: &mut [Row],
    from: usize,
) {
    let (m, to) = (u.len(), from + y.len());
    assert!(0 < m && to <= m && m <= stride && (m - 1) * stride + m <= a.len());
    let at = |row: usize, column: usize| a[row + column * stride..].as_ptr();
    for first in (0..m).step_by(ROWS) {
        let range = (first, m.min(first + ROWS));
        let (fours, ones) = y.as_chunks_mut::<4>();
        let rest = to - ones.len();
        for (i, sums) in fours.iter_mut().enumerate() {
            // SAFETY: rows and columns below m of the lower triangle, as asserted.
            unsafe { multiply_rows::<4, FUSED>(&at, stride, u, from + 4 * i, range, sums) };
        }
        for (i, sums) in ones.as_chunks_mut::<1>().0.iter_mut().enumerate() {
            // SAFETY: the same.
            unsafe { multiply_rows::<1, FUSED>(&at, stride, u, rest + i, range, sums) };
        }
    }
}

/// `sums += A[r..r + N, first..end] U[first..end]`.
///
/// # Safety
/// Rows r..r + N of A and first..end of U exist; `at` points to entries of A.
#[inline(always)]
unsafe fn multiply_rows<const N: usize, const FUSED: bool>(
    at: &impl Fn(usize, usize) -> *const f64,
    stride: usize,
    u: &[Row],
    r: usize,
    (first, end): (usize, usize),
    sums: &mut [Row; N],
) {
    // Left of the diagonal its rows are read, below it its columns.
    let left = end.min(r);
    if first < left {
        let a = (at(r, first), stride, 1);
        // SAFETY: rows r.. and columns first.. of the lower triangle.
        unsafe { accumulate::<N, FUSED>(a, &u[first..left], sums) };
    }
    for i in first.max(r)..end.min(r + N) {
        for (t, sums) in sums.iter_mut().enumerate() {
            // SAFETY: an entry of the lower triangle.
            let entry = unsafe { *at(i.max(r + t), i.min(r + t)) };
            add_scaled::<WIDTH, FUSED>(entry, &u[i], sums);
        }
    }
    let below = first.max(r + N);
    if below < end {
        let a = (at(below, r), 1, stride);
        // SAFETY: columns r.. and rows below.. of the lower triangle.
        unsafe { accumulate::<N, FUSED>(a, &u[below..end], sums) };
    }
}

/// Subtracts L Rᵀ from m rows of column-major columns, `stride` numbers apart: L (m, 64) in tiles of 32
/// rows, column by column, and R (columns, 64) row by row.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
pub(super) fn product_subtract(
    columns: (&mut [f64], usize),
    m: usize,
    left: &[[f64; WIDTH]],
    right: &[f64],
) {
    if is_fused!() {
        subtract::<true>(columns, m, left, right);
    } else {
        subtract::<false>(columns, m, left, right);
    }
}

#[inline(always)]
fn subtract<const FUSED: bool>(
    (columns, stride): (&mut [f64], usize),
    m: usize,
    left: &[Row],
    right: &[f64],
) {
    const K: usize = 2 * WIDTH;
    let n = columns.len().div_ceil(stride);
    assert!(m.div_ceil(WIDTH) * K <= left.len() && n * K <= right.len());
    for (i, tile) in left.chunks_exact(K).take(m.div_ceil(WIDTH)).enumerate() {
        let rows = i * WIDTH..m.min((i + 1) * WIDTH);
        let pairs = columns.chunks_mut(4 * stride).zip(right.chunks(4 * K));
        for (columns, right) in pairs {
            if columns.len() > 3 * stride {
                subtract_tile::<4, FUSED>(columns, stride, rows.clone(), tile, right);
                continue;
            }
            for (column, right) in columns.chunks_mut(stride).zip(right.chunks_exact(K)) {
                subtract_tile::<1, FUSED>(column, stride, rows.clone(), tile, right);
            }
        }
    }
}

/// Subtracts the product of a tile and N rows of R from these rows of N columns.
#[inline(always)]
fn subtract_tile<const N: usize, const FUSED: bool>(
    columns: &mut [f64],
    stride: usize,
    rows: std::ops::Range<usize>,
    tile: &[Row],
    right: &[f64],
) {
    assert!(right.len() >= N * tile.len());
    let mut sums = [[0.0; WIDTH]; N];
    // SAFETY: N rows of R, of as many numbers as the tile has rows.
    unsafe { accumulate::<N, FUSED>((right.as_ptr(), 1, tile.len()), tile, &mut sums) };
    for (t, sums) in sums.iter().enumerate() {
        let column = &mut columns[t * stride + rows.start..t * stride + rows.end];
        if let Some(column) = column.first_chunk_mut::<WIDTH>() {
            for i in 0..WIDTH {
                column[i] -= sums[i];
            }
        } else {
            column.iter_mut().zip(sums).for_each(|(c, sum)| *c -= sum);
        }
    }
}

/// `sums[t] += Σᵢ a[i · step + t · apart] · rows[i]`.
///
/// # Safety
/// All these places can be read.
#[inline(always)]
unsafe fn accumulate<const N: usize, const FUSED: bool>(
    (a, step, apart): (*const f64, usize, usize),
    rows: &[Row],
    sums: &mut [Row; N],
) {
    let mut local = *sums; // in registers
    for (i, row) in rows.iter().enumerate() {
        for (t, sums) in local.iter_mut().enumerate() {
            // SAFETY: promised by the caller.
            let factor = unsafe { *a.add(i * step + t * apart) };
            add_scaled::<WIDTH, FUSED>(factor, row, sums);
        }
    }
    *sums = local;
}
