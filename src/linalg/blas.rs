//! Products of matrices and vectors, by BLAS. Matrices are row-major slices. Of a symmetric matrix
//! only the upper triangle (row-major) is written and read, which LAPACK calls the lower one.
#![allow(unsafe_code)]

use std::ops::Range;

use cblas_sys::{
    CBLAS_DIAG::CblasNonUnit,
    CBLAS_LAYOUT::CblasRowMajor,
    CBLAS_SIDE::{CblasLeft, CblasRight},
    CBLAS_TRANSPOSE::{self, CblasNoTrans, CblasTrans},
    CBLAS_UPLO::CblasUpper,
};
use ndarray::{Array2, ArrayView2};

use crate::error::{Error, Result};
use crate::threads::Context;

use super::memory::{copied_matrix, zero_matrix, zeros};

/// Lengths are below 2³¹ because every matrix order is checked against
/// [`super::lapack::MAX_ORDER`] and every panel is cut to fit.
fn int(n: usize) -> i32 {
    i32::try_from(n).expect("BLAS dimensions are checked at the edge")
}

/// Symmetric rank-k update of gram (n, n), rows of `a` being `lda` numbers apart: `gram += aᵀ a`
/// for a (k, n), or `gram += a aᵀ` for a (n, k) where `op` is not a transposition.
fn rank_k_add(
    op: CBLAS_TRANSPOSE,
    a: &[f64],
    lda: usize,
    gram: &mut [f64],
    (n, k): (usize, usize),
) {
    let (rows, cols) = if matches!(op, CblasTrans) { (k, n) } else { (n, k) };
    assert!(gram.len() == n * n && (rows == 0 || (rows - 1) * lda + cols <= a.len()));
    // SAFETY: sizes asserted above; gram is a unique borrow.
    unsafe {
        cblas_sys::cblas_dsyrk(
            CblasRowMajor,
            CblasUpper,
            op,
            int(n),
            int(k),
            1.0,
            a.as_ptr(),
            int(lda),
            1.0,
            gram.as_mut_ptr(),
            int(n),
        );
    }
}

/// `gram += panelᵀ panel`: (cols, cols) from (rows, cols).
pub(crate) fn gram_add(panel: &[f64], cols: usize, gram: &mut [f64]) {
    rank_k_add(CblasTrans, panel, cols, gram, (cols, panel.len() / cols));
}

/// `gram += R[:, columns] R[:, columns]ᵀ` for row-major R with `cols` columns: (rows, rows). Large ones
/// are summed in pieces of about a tenth of a second, between which the caller may stop.
pub(crate) fn row_gram_add(
    rows: &[f64],
    cols: usize,
    columns: Range<usize>,
    gram: &mut [f64],
    context: &Context<'_>,
) -> Result<()> {
    const PIECE: usize = 4_000_000_000; // multiplications, of which symmetry saves half
    let n = rows.len() / cols;
    assert!(columns.end <= cols);
    let width = (PIECE / (n * n).max(1)).max(1).next_multiple_of(64);
    columns.clone().step_by(width).try_for_each(|start| {
        context.check()?;
        let width = width.min(columns.end - start);
        rank_k_add(CblasNoTrans, &rows[start..], cols, gram, (n, width));
        Ok(())
    })
}

/// `gram += P[:, columns]ᵀ P[:, columns]` for a row-major panel P with `cols` columns.
pub(crate) fn column_gram_add(panel: &[f64], cols: usize, columns: Range<usize>, gram: &mut [f64]) {
    assert!(columns.end <= cols);
    let sizes = (columns.len(), panel.len() / cols);
    rank_k_add(CblasTrans, &panel[columns.start..], cols, gram, sizes);
}

/// `gram += panelᵀ panel` in single precision.
pub(crate) fn gram_add_single(panel: &[f32], cols: usize, gram: &mut [f32]) {
    assert_eq!(gram.len(), cols * cols);
    let rows = panel.len() / cols;
    // SAFETY: the panel holds rows × cols numbers, and gram cols × cols, as asserted.
    unsafe {
        cblas_sys::cblas_ssyrk(
            CblasRowMajor,
            CblasUpper,
            CblasTrans,
            int(cols),
            int(rows),
            1.0,
            panel.as_ptr(),
            int(cols),
            1.0,
            gram.as_mut_ptr(),
            int(cols),
        );
    }
}

/// How BLAS reads an array as row-major: as it is or transposed, and the distance of its rows.
type Layout = (CBLAS_TRANSPOSE, usize);

/// `c = op(a) op(b) + beta c` for op(a) (m, k), op(b) (k, n) and row-major c (m, n).
///
/// # Safety
/// The pointers lead to as many numbers as the sizes and layouts say, and m, n and k are positive.
unsafe fn dgemm(
    (a, (op_a, lda)): (*const f64, Layout),
    (b, (op_b, ldb)): (*const f64, Layout),
    beta: f64,
    c: &mut [f64],
    (m, n, k): (usize, usize, usize),
) {
    assert_eq!(c.len(), m * n);
    // SAFETY: the caller's for a and b; c is a unique borrow of m × n numbers.
    unsafe {
        cblas_sys::cblas_dgemm(
            CblasRowMajor,
            op_a,
            op_b,
            int(m),
            int(n),
            int(k),
            1.0,
            a,
            int(lda),
            b,
            int(ldb),
            beta,
            c.as_mut_ptr(),
            int(n),
        );
    }
}

/// `c += op(a) b` for row-major a, b (k, n) and c (m, n); op(a) is a (m, k), or aᵀ with a (k, m).
fn product_add(
    op: CBLAS_TRANSPOSE,
    a: &[f64],
    b: &[f64],
    c: &mut [f64],
    (m, n, k): (usize, usize, usize),
) {
    assert!(a.len() == m * k && b.len() == k * n);
    let lda = if matches!(op, CblasTrans) { m } else { k };
    let (a, b) = ((a.as_ptr(), (op, lda)), (b.as_ptr(), (CblasNoTrans, n)));
    // SAFETY: sizes asserted above.
    unsafe { dgemm(a, b, 1.0, c, (m, n, k)) };
}

/// `c += aᵀ b` for row-major a (k, m), b (k, n), c (m, n).
pub(crate) fn transposed_product_add(a: &[f64], b: &[f64], c: &mut [f64], m: usize, n: usize) {
    if m * n > 0 {
        product_add(CblasTrans, a, b, c, (m, n, a.len() / m));
    }
}

/// `c += a b` for row-major a (m, k), b (k, n), c (m, n).
pub(crate) fn product_into(a: &[f64], b: &[f64], c: &mut [f64], m: usize, n: usize) {
    if m * n > 0 {
        product_add(CblasNoTrans, a, b, c, (m, n, a.len() / m));
    }
}

/// The layout of a matrix; none for a view whose rows and columns both have gaps.
fn layout(a: &ArrayView2<'_, f64>) -> Option<Layout> {
    let ((rows, cols), strides) = (a.dim(), a.strides());
    let apart = |stride: isize, least: usize| usize::try_from(stride).ok().filter(|s| *s >= least);
    let by_row = if rows <= 1 { Some(cols.max(1)) } else { apart(strides[0], cols.max(1)) };
    let by_column = if cols <= 1 { Some(rows.max(1)) } else { apart(strides[1], rows.max(1)) };
    match (by_row, by_column) {
        (Some(stride), _) if cols <= 1 || strides[1] == 1 => Some((CblasNoTrans, stride)),
        (_, Some(stride)) if rows <= 1 || strides[0] == 1 => Some((CblasTrans, stride)),
        _ => None,
    }
}

/// The product of two matrices of any layout, (m, k) and (k, n), row-major.
pub(crate) fn matrix_product(
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    what: &'static str,
) -> Result<Array2<f64>> {
    let ((m, k), n) = (a.dim(), b.ncols());
    assert_eq!(k, b.nrows());
    if m * n * k == 0 {
        return zero_matrix((m, n), what); // nothing has strides
    }
    let (Some(layout_a), Some(layout_b)) = (layout(&a), layout(&b)) else {
        let (a, b) = (copied_matrix(a, what)?, copied_matrix(b, what)?);
        return matrix_product(a.view(), b.view(), what);
    };
    let mut c = zeros::<f64>(m * n, what)?;
    // SAFETY: the views hold m × k and k × n numbers in these layouts.
    unsafe { dgemm((a.as_ptr(), layout_a), (b.as_ptr(), layout_b), 0.0, &mut c, (m, n, k)) };
    Array2::from_shape_vec((m, n), c).map_err(|_| Error::NoData)
}

/// `c += a b` for symmetric a (m, m), of which the upper triangle is read, and row-major b, c (m, n).
pub(crate) fn symmetric_product_add(a: &[f64], b: &[f64], c: &mut [f64], m: usize, n: usize) {
    assert!(a.len() == m * m && b.len() == m * n && c.len() == m * n);
    if m * n == 0 {
        return;
    }
    // SAFETY: sizes asserted above; c is a unique borrow.
    unsafe {
        cblas_sys::cblas_dsymm(
            CblasRowMajor,
            CblasLeft,
            CblasUpper,
            int(m),
            int(n),
            1.0,
            a.as_ptr(),
            int(m),
            b.as_ptr(),
            int(n),
            1.0,
            c.as_mut_ptr(),
            int(n),
        );
    }
}

/// `a = a u` for row-major a (m, n) and the upper triangle of u (n, n).
pub(crate) fn triangular_product(a: &mut [f64], u: &[f64], n: usize) {
    let m = a.len() / n.max(1);
    assert!(a.len() == m * n && u.len() == n * n);
    if m * n == 0 {
        return;
    }
    // SAFETY: sizes asserted above; a is a unique borrow.
    unsafe {
        cblas_sys::cblas_dtrmm(
            CblasRowMajor,
            CblasRight,
            CblasUpper,
            CblasNoTrans,
            CblasNonUnit,
            int(m),
            int(n),
            1.0,
            u.as_ptr(),
            int(n),
            a.as_mut_ptr(),
            int(n),
        );
    }
}

/// `c = a bᵀ` in single precision for row-major a (m, width), b (n, width), c (m, n).
pub(crate) fn outer_product_single(a: &[f32], b: &[f32], c: &mut [f32], width: usize) {
    let (m, n) = (a.len() / width, b.len() / width);
    assert!(a.len() == m * width && b.len() == n * width && c.len() == m * n);
    // SAFETY: sizes asserted above; c is a unique borrow.
    unsafe {
        cblas_sys::cblas_sgemm(
            CblasRowMajor,
            CblasNoTrans,
            CblasTrans,
            int(m),
            int(n),
            int(width),
            1.0,
            a.as_ptr(),
            int(width),
            b.as_ptr(),
            int(width),
            0.0,
            c.as_mut_ptr(),
            int(n),
        );
    }
}

/// Σ aᵢ bᵢ, with four partial sums so that it vectorises.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a4.zip(b4) {
        for i in 0..4 {
            sums[i] += x[i] * y[i];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + tail
}

/// `x *= factor`.
pub(crate) fn scale(factor: f64, x: &mut [f64]) {
    for x in x {
        *x *= factor;
    }
}

/// `y += factor · x`.
pub(crate) fn axpy(factor: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// `upper += factor · v vᵀ` for the upper triangle of a symmetric matrix (n, n) and v (n,).
pub(crate) fn outer_add(factor: f64, v: &[f64], upper: &mut [f64]) {
    for (i, row) in upper.chunks_exact_mut(v.len().max(1)).enumerate() {
        axpy(factor * v[i], &v[i..], &mut row[i..]);
    }
}

/// A v for the upper triangle of a symmetric A (n, n) and v (n,).
pub(crate) fn symmetric_times(upper: &[f64], v: &[f64], what: &'static str) -> Result<Vec<f64>> {
    let mut product = zeros::<f64>(v.len(), what)?;
    for (i, row) in upper.chunks_exact(v.len().max(1)).enumerate() {
        product[i] += dot(&row[i..], &v[i..]);
        axpy(v[i], &row[i + 1..], &mut product[i + 1..]);
    }
    Ok(product)
}

/// vᵀA v for the upper triangle of a symmetric A (n, n) and v (n,).
pub(crate) fn quadratic(upper: &[f64], v: &[f64]) -> f64 {
    let row = |(i, row): (usize, &[f64])| v[i] * (2.0 * dot(&row[i..], &v[i..]) - row[i] * v[i]);
    upper.chunks_exact(v.len().max(1)).enumerate().map(row).sum()
}

#[cfg(test)]
mod tests {
    use ndarray::{array, s};

    use super::*;

    #[test]
    #[allow(clippy::float_cmp)] // small whole numbers are exact
    fn upper_triangles_stand_for_symmetric_matrices() {
        let mut upper = [1.0, 2.0, 3.0, f64::NAN, 4.0, 5.0, f64::NAN, f64::NAN, 6.0];
        let v = [1.0, -1.0, 2.0];
        assert_eq!(symmetric_times(&upper, &v, "a product").unwrap(), [5.0, 8.0, 10.0]);
        assert_eq!(quadratic(&upper, &v), 17.0);
        outer_add(2.0, &v, &mut upper);
        let of_upper = [0, 1, 2, 4, 5, 8].map(|at| upper[at]);
        assert_eq!(of_upper, [3.0, 0.0, 7.0, 6.0, 1.0, 14.0]);
        assert!(
            [3, 6, 7].iter().all(|at| upper[*at].is_nan()),
            "the lower triangle is not touched"
        );
    }

    #[test]
    fn products_of_any_layout_are_those_of_their_entries() {
        let whole = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 10.0], [-1.0, 0.5, 2.0]];
        let views = [
            whole.view(),
            whole.t(),
            whole.slice(s![..;2, ..]),
            whole.slice(s![.., ..;2]),
            whole.slice(s![..;-1, ..]),
            whole.slice(s![..1, ..]),
            whole.slice(s![.., 1..2]),
            whole.slice(s![.., ..0]),
            whole.slice(s![..0, ..]),
        ];
        for (a, b) in views.iter().flat_map(|a| views.iter().map(move |b| (a, b))) {
            if a.ncols() != b.nrows() {
                continue;
            }
            let found = matrix_product(a.view(), b.view(), "a product").unwrap();
            assert_eq!(found.dim(), (a.nrows(), b.ncols()));
            for ((i, j), entry) in found.indexed_iter() {
                let expected: f64 = (0..a.ncols()).map(|k| a[[i, k]] * b[[k, j]]).sum();
                assert!((entry - expected).abs() < 1e-12, "{entry} is not {expected}");
            }
        }
    }
}
