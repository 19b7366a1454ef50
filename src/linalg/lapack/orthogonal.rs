//! Orthonormal bases: thin SVD, and coordinates of rows by QR.
#![allow(unsafe_code)]

use ndarray::{Array1, Array2};
use ndarray_linalg::{JobSvd, SVDDC};

use crate::error::{Error, Result};

use super::super::memory::{reserved, zeros};
use super::{check_order, checked, int};

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

/// Coordinates (n, n), lower triangular, of row-major rows (n, `n_cols`), n ≤ `n_cols`, in an
/// orthonormal basis of their span, by a QR factorisation of their transpose (`?geqrf`): all
/// lengths and angles between them stay as they are.
pub(crate) fn row_coordinates(mut rows: Vec<f64>, n_cols: usize) -> Result<Vec<f64>> {
    let n_rows = rows.len() / n_cols.max(1);
    assert!(n_rows <= n_cols && rows.len() == n_rows * n_cols);
    check_order(n_rows)?;
    let lwork = 64 * n_rows.max(1);
    let mut work = zeros::<f64>(lwork, "the workspace of a factorisation")?;
    let mut tau = zeros::<f64>(n_rows, "the reflections of a factorisation")?;
    // Every block of features was checked to have fewer than 2³¹ columns.
    let (m, n, mut info) = (int(n_cols), int(n_rows), 0);
    // SAFETY: row-major (n_rows, n_cols) is column-major (n_cols, n_rows) with leading dimension
    // n_cols; tau holds min(n_rows, n_cols) = n_rows numbers and the workspace lwork.
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
    let mut coordinates = zeros::<f64>(n_rows * n_rows, "coordinates of the rows")?;
    let pairs = coordinates.chunks_exact_mut(n_rows.max(1)).zip(rows.chunks_exact(n_cols.max(1)));
    for (i, (out, row)) in pairs.enumerate() {
        out[..=i].copy_from_slice(&row[..=i]);
    }
    Ok(coordinates)
}
