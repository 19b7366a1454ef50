//! Orthonormal bases: thin SVD, and coordinates of rows by QR.
#![allow(unsafe_code)]

use std::ffi::CStr;

use ndarray::{Array1, Array2, ShapeBuilder};

use crate::error::{Error, Result};
use crate::threads::Context;

use super::super::memory::{copied_matrix, filled, zeros};
use super::blocks::{Block, factorise, reflect};
use super::{check_order, checked, int};

const VECTORS: &str = "a singular value decomposition";
const WORKSPACE: &str = "the workspace of a singular value decomposition";

/// The number of rows from which on their coordinates are found in blocks.
const LARGE: usize = 1024;

/// The thin SVD a = U diag(s) Vᵀ: U (m, k), s (k,) descending, Vᵀ (k, n), k = min(m, n).
///
/// `?gesdd` asks for 4k² + 7k doubles, and counts them in 32 bits.
pub(crate) fn thin_svd(a: Array2<f64>) -> Result<(Array2<f64>, Array1<f64>, Array2<f64>)> {
    let (m, n) = a.dim();
    let k = m.min(n);
    let shaped = |shape: (usize, usize), is_rows: bool, values: Vec<f64>| {
        Array2::from_shape_vec(shape.set_f(!is_rows), values).map_err(|_| Error::NoData)
    };
    if k == 0 {
        return Ok((
            shaped((m, 0), true, vec![])?,
            Array1::from(vec![]),
            shaped((0, n), true, vec![])?,
        ));
    }
    check_svd(&a)?;
    let a = contiguous(a)?;
    let is_rows = a.is_standard_layout();
    let mut decomposed = Decomposed::new(a, c"S")?;
    let (left, right) =
        (std::mem::take(&mut decomposed.left), std::mem::take(&mut decomposed.right));
    // In rows, a is its own transpose: V diag(s) Uᵀ.
    let (u, vt) = if is_rows { (right, left) } else { (left, right) };
    let (u, vt) = (shaped((m, k), is_rows, u)?, shaped((k, n), is_rows, vt)?);
    Ok((u, Array1::from(decomposed.values), vt))
}

/// The singular values of a, min(m, n) of them, descending.
pub(crate) fn singular_values(a: Array2<f64>) -> Result<Vec<f64>> {
    if a.is_empty() {
        return Ok(Vec::new());
    }
    check_svd(&a)?;
    Ok(Decomposed::new(contiguous(a)?, c"N")?.values)
}

/// The matrix itself where it is contiguous by row or by column, or a copy by row.
fn contiguous(a: Array2<f64>) -> Result<Array2<f64>> {
    if a.is_standard_layout() || a.t().is_standard_layout() {
        return Ok(a);
    }
    copied_matrix(a.view(), VECTORS)
}

/// What `?gesdd` makes of a matrix that it reads column by column.
struct Decomposed {
    /// U, (rows, k) column by column; empty unless asked for.
    left: Vec<f64>,
    values: Vec<f64>,
    /// Vᵀ, (k, columns) column by column; empty unless asked for.
    right: Vec<f64>,
}

impl Decomposed {
    /// Decompose a matrix, or its transpose where that is column by column in memory. `job` is "S" for
    /// singular vectors and "N" without.
    fn new(a: Array2<f64>, job: &CStr) -> Result<Self> {
        let (rows, columns) = if a.is_standard_layout() { (a.ncols(), a.nrows()) } else { a.dim() };
        let k = rows.min(columns);
        let with = if job == c"S" { k } else { 0 };
        let (mut a, offset) = a.into_raw_vec_and_offset();
        assert!(a.len() == rows * columns && offset.unwrap_or(0) == 0);
        let mut all = Self {
            left: zeros(rows * with, VECTORS)?,
            values: zeros(k, VECTORS)?,
            right: zeros(with * columns, VECTORS)?,
        };
        let mut integers = filled(0, 8 * k, WORKSPACE)?;
        let (m, n, ldvt, mut info) =
            (int(rows), int(columns), int(if with > 0 { k } else { columns }), 0);
        let mut call = |work: &mut [f64], lwork: i32| {
            // SAFETY: a is m × n, column by column; U, s and Vᵀ have the sizes above, the workspace of
            // integers 8k. The other has the size that the first call asked for, in which no matrix
            // is touched.
            unsafe {
                lapack_sys::dgesdd_(
                    job.as_ptr(),
                    &raw const m,
                    &raw const n,
                    a.as_mut_ptr(),
                    &raw const m,
                    all.values.as_mut_ptr(),
                    all.left.as_mut_ptr(),
                    &raw const m,
                    all.right.as_mut_ptr(),
                    &raw const ldvt,
                    work.as_mut_ptr(),
                    &raw const lwork,
                    integers.as_mut_ptr(),
                    &raw mut info,
                );
            }
            checked("dgesdd", info, k)
        };
        let mut wanted = [0.0];
        call(&mut wanted, -1)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a size below 2^31
        let len = (wanted[0] as usize).max(1);
        call(&mut zeros::<f64>(len, WORKSPACE)?, int(len))?;
        Ok(all)
    }
}

/// Refuse an order of which `?gesdd` cannot count its workspace.
pub(crate) fn check_svd_order(order: usize) -> Result<()> {
    const LIMIT: usize = 23_000;
    if order <= LIMIT { Ok(()) } else { Err(Error::TooLarge { order, limit: LIMIT }) }
}

/// Refuses sizes that `?gesdd` cannot address.
fn check_svd(a: &Array2<f64>) -> Result<()> {
    check_svd_order(a.nrows().min(a.ncols()))?;
    if a.nrows().max(a.ncols()) > i32::MAX.unsigned_abs() as usize {
        return Err(Error::Unaddressable { n_rows: a.nrows(), n_cols: a.ncols() });
    }
    Ok(())
}

/// Replaces columns of n numbers by R of their QR factorisation, in blocks between which it can be
/// interrupted.
fn factorise_blocks(columns: &mut [f64], n: usize, context: &Context<'_>) -> Result<()> {
    const WIDTH: usize = 64;
    const APPLIED: usize = 128;
    let count = columns.len() / n;
    let mut t = zeros::<f64>(WIDTH * WIDTH, "the reflections of a factorisation")?;
    for start in (0..count).step_by(WIDTH) {
        let width = WIDTH.min(count - start);
        let (block, rest) = columns[start * n..].split_at_mut(width * n);
        let t = &mut t[..width * width];
        factorise(&mut block[start..], n, (n - start, width), t)?;
        let (v, t) = (Block { values: &block[start..], stride: n }, &*t);
        context.for_each_chunk(rest, APPLIED * n, |_, part| {
            let n_columns = part.len() / n;
            let mut work = zeros::<f64>(n_columns * width, "the workspace of a factorisation")?;
            let sizes = (n - start, n_columns, width);
            reflect(true, v, (t, width), (&mut part[start..], n), sizes, &mut work);
            Ok(())
        })?;
    }
    Ok(())
}

/// Coordinates (n, n), lower triangular, of row-major rows (n, `n_cols`), n ≤ `n_cols`, in an
/// orthonormal basis of their span, by a QR factorisation of their transpose (`?geqrf`): all
/// lengths and angles between them stay as they are.
pub(crate) fn row_coordinates(
    mut rows: Vec<f64>,
    n_cols: usize,
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    let n_rows = rows.len() / n_cols.max(1);
    assert!(n_rows <= n_cols && rows.len() == n_rows * n_cols);
    check_order(n_rows)?;
    // Every block of features was checked to have fewer than 2³¹ columns. Row-major (n_rows, n_cols) is
    // column-major (n_cols, n_rows).
    if n_rows < LARGE {
        let lwork = 64 * n_rows.max(1);
        let mut work = zeros::<f64>(lwork, "the workspace of a factorisation")?;
        let mut tau = zeros::<f64>(n_rows, "the reflections of a factorisation")?;
        let (m, n, mut info) = (int(n_cols), int(n_rows), 0);
        // SAFETY: the leading dimension is n_cols; tau holds min(n_rows, n_cols) = n_rows numbers and
        // the workspace lwork.
        unsafe {
            lapack_sys::dgeqrf_(
                &raw const m,
                &raw const n,
                rows.as_mut_ptr(),
                &raw const m,
                tau.as_mut_ptr(),
                work.as_mut_ptr(),
                &int(lwork),
                &raw mut info,
            );
        }
        checked("dgeqrf", info, n_rows)?;
    } else {
        factorise_blocks(&mut rows, n_cols, context)?;
    }
    let mut coordinates = zeros::<f64>(n_rows * n_rows, "coordinates of the rows")?;
    let pairs = coordinates.chunks_exact_mut(n_rows.max(1)).zip(rows.chunks_exact(n_cols.max(1)));
    for (i, (out, row)) in pairs.enumerate() {
        out[..=i].copy_from_slice(&row[..=i]);
    }
    Ok(coordinates)
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact values
mod tests {
    use super::*;

    #[test]
    fn coordinates_in_blocks_keep_lengths_and_angles() {
        let (n_rows, n_cols) = (LARGE + 70, LARGE + 200);
        let number = |i: usize, k: usize| ((i as f64 + 1.3) * (k as f64 + 0.7) * 0.618).sin();
        let rows: Vec<f64> =
            (0..n_rows * n_cols).map(|at| number(at / n_cols, at % n_cols)).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let parallel = Context::new(Some(&pool), &|| false);
        let found = row_coordinates(rows.clone(), n_cols, &Context::serial()).unwrap();
        let again = row_coordinates(rows.clone(), n_cols, &parallel).unwrap();
        assert!(found == again, "the bits depend on the threads");
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for i in (0..n_rows).step_by(97) {
            let (row, own) = (&rows[i * n_cols..][..n_cols], &found[i * n_rows..][..n_rows]);
            assert!(own[i + 1..].iter().all(|x| *x == 0.0));
            for j in (0..n_rows).step_by(53) {
                let (other, its) = (&rows[j * n_cols..][..n_cols], &found[j * n_rows..][..n_rows]);
                let difference = (dot(row, other) - dot(own, its)).abs();
                assert!(difference < 1e-12 * n_cols as f64, "{i} {j} {difference:e}");
            }
        }
        let stopped = row_coordinates(rows, n_cols, &Context::new(None, &|| true)).err();
        assert_eq!(stopped, Some(Error::Interrupted));
    }
}
