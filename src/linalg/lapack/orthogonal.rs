//! Orthonormal bases: thin SVD, and coordinates of rows by QR.
#![allow(unsafe_code)]

use ndarray::{Array1, Array2};
use ndarray_linalg::{JobSvd, SVDDC};

use crate::error::{Error, Result};
use crate::threads::Context;

use super::super::memory::{reserved, zeros};
use super::blocks::{Block, factorise, reflect};
use super::{check_order, checked, int};

/// The number of rows from which on their coordinates are found in blocks.
const LARGE: usize = 1024;

/// The thin SVD a = U diag(s) Vᵀ: U (m, k), s (k,) descending, Vᵀ (k, n), k = min(m, n).
///
/// `?gesdd` asks for 4k² + 7k doubles, and counts them in 32 bits.
pub(crate) fn thin_svd(a: Array2<f64>) -> Result<(Array2<f64>, Array1<f64>, Array2<f64>)> {
    let order = a.nrows().min(a.ncols());
    if order == 0 {
        let (m, n) = a.dim();
        return Ok((Array2::zeros((m, 0)), Array1::zeros(0), Array2::zeros((0, n))));
    }
    check_svd(&a)?;
    // ndarray-linalg aborts where it cannot allocate U, Vᵀ and the workspace, so try it first.
    let numbers = (a.nrows() + a.ncols()) * order + 5 * order * order;
    drop(reserved::<f64>(numbers, "a singular value decomposition")?);
    let failed = |info| Error::Lapack { routine: "dgesdd", info, order };
    let (u, s, vt) = a.svddc(JobSvd::Some).map_err(|_| failed(1))?;
    match (u, vt) {
        (Some(u), Some(vt)) => Ok((u, s, vt)),
        _ => Err(failed(-1)),
    }
}

/// The singular values of a, min(m, n) of them, descending.
pub(crate) fn singular_values(a: Array2<f64>) -> Result<Vec<f64>> {
    let order = a.nrows().min(a.ncols());
    if order == 0 {
        return Ok(Vec::new());
    }
    check_svd(&a)?;
    drop(reserved::<f64>(a.len() + 8 * order, "singular values")?);
    let failed = |_| Error::Lapack { routine: "dgesdd", info: 1, order };
    Ok(a.svddc(JobSvd::None).map_err(failed)?.1.to_vec())
}

/// Refuses sizes that `?gesdd` cannot address.
fn check_svd(a: &Array2<f64>) -> Result<()> {
    const LIMIT: usize = 23_000;
    let order = a.nrows().min(a.ncols());
    if order > LIMIT {
        return Err(Error::TooLarge { order, limit: LIMIT });
    }
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
        let mut parts: Vec<&mut [f64]> = rest.chunks_mut(APPLIED * n).collect();
        context.for_each_mut(&mut parts, |_, part| {
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
