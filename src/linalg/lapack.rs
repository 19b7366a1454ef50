//! The LAPACK routines this crate calls, each behind a safe function with checked sizes.
//!
//! ndarray-linalg where its driver is the right one (thin SVD); `lapack-sys` where it is not: its
//! `eigh` is `?syev`, five times slower than what the tridiagonal form needs.
#![allow(unsafe_code)]

use std::ffi::c_char;

use ndarray::{Array1, Array2};
use ndarray_linalg::{JobSvd, SVDDC};

use crate::error::{Error, Result};

/// n² stays below 2³¹, which LAPACK counts in.
pub(crate) const MAX_ORDER: usize = 46_300;

fn int(n: usize) -> i32 {
    i32::try_from(n).expect("matrix orders are checked against MAX_ORDER")
}

fn checked(routine: &'static str, info: i32, order: usize) -> Result<()> {
    if info == 0 { Ok(()) } else { Err(Error::Lapack { routine, info, order }) }
}

/// An empty vector with room for `len`, or the named error where memory cannot be had.
pub(crate) fn reserved<T>(len: usize, what: &'static str) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    vector
        .try_reserve_exact(len)
        .map_err(|_| Error::OutOfMemory { what, bytes: len.saturating_mul(size_of::<T>()) })?;
    Ok(vector)
}

/// Numbers whose zero is all bits zero.
pub(crate) trait Zero: Copy {}
impl Zero for f64 {}
impl Zero for f32 {}

/// A vector of `len` zeros, or the named error where memory cannot be had. The system gives large
/// ones page by page as they are first written, by whichever thread that is.
pub(crate) fn zeros<T: Zero>(len: usize, what: &'static str) -> Result<Vec<T>> {
    let failed = || Error::OutOfMemory { what, bytes: len.saturating_mul(size_of::<T>()) };
    if len == 0 {
        return Ok(Vec::new());
    }
    let layout = std::alloc::Layout::array::<T>(len).map_err(|_| failed())?;
    // SAFETY: the layout is that of len > 0 numbers of T, for which zero bits are a value; the box
    // frees it with the same layout.
    unsafe {
        let start = std::alloc::alloc_zeroed(layout).cast::<T>();
        if start.is_null() {
            return Err(failed());
        }
        ask_for_huge_pages(start.cast(), layout.size());
        Ok(Box::from_raw(std::ptr::slice_from_raw_parts_mut(start, len)).into_vec())
    }
}

/// Asks for 2 MB pages: a first pass over 40 MB in pages of 4 KB spends more time in the kernel than
/// in products. Where the answer is no, nothing changes.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages(start: *mut u8, bytes: usize) {
    const LARGE: usize = 4 << 20;
    const PAGE: usize = 4096;
    if bytes >= LARGE {
        let skipped = start.align_offset(PAGE);
        let whole_pages = (bytes - skipped) / PAGE * PAGE;
        // SAFETY: a hint about pages inside an allocation that the caller owns; it moves nothing.
        unsafe { libc::madvise(start.add(skipped).cast(), whole_pages, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_: *mut u8, _: usize) {}

/// The tridiagonal form T = QᵀAQ of a symmetric matrix (`?sytrd`), with Q kept as reflectors.
pub(crate) struct TridiagonalForm {
    pub(crate) diagonal: Vec<f64>,
    pub(crate) off_diagonal: Vec<f64>,
    reflectors: Vec<f64>,
    tau: Vec<f64>,
}

impl TridiagonalForm {
    /// Reduces the symmetric matrix of this order whose row-major upper triangle is given.
    pub(crate) fn reduce(mut matrix: Vec<f64>, order: usize) -> Result<Self> {
        assert_eq!(matrix.len(), order * order);
        if order > MAX_ORDER {
            return Err(Error::TooLarge { order, limit: MAX_ORDER });
        }
        let mut diagonal = vec![0.0; order];
        let mut off_diagonal = vec![0.0; order.saturating_sub(1).max(1)];
        let mut tau = off_diagonal.clone();
        let lwork = 64 * order.max(1);
        let mut work = zeros::<f64>(lwork, "the workspace of a tridiagonal reduction")?;
        let (n, mut info) = (int(order), 0);
        // SAFETY: matrix is order × order with leading dimension order; the outputs hold order and
        // order - 1 numbers, the workspace lwork; a row-major upper triangle is a column-major
        // lower one.
        unsafe {
            lapack_sys::dsytrd_(
                c"L".as_ptr(),
                &raw const n,
                matrix.as_mut_ptr(),
                &raw const n,
                diagonal.as_mut_ptr(),
                off_diagonal.as_mut_ptr(),
                tau.as_mut_ptr(),
                work.as_mut_ptr(),
                &int(lwork),
                &raw mut info,
            );
        }
        checked("dsytrd", info, order)?;
        off_diagonal.truncate(order.saturating_sub(1));
        Ok(Self { diagonal, off_diagonal, reflectors: matrix, tau })
    }

    pub(crate) fn order(&self) -> usize {
        self.diagonal.len()
    }

    /// Replaces every vector v (one after the other in `vectors`) by Qᵀv.
    pub(crate) fn rotate(&self, vectors: &mut [f64]) -> Result<()> {
        self.apply(c"T".as_ptr(), vectors)
    }

    /// Replaces every vector v by Qv.
    pub(crate) fn rotate_back(&self, vectors: &mut [f64]) -> Result<()> {
        self.apply(c"N".as_ptr(), vectors)
    }

    fn apply(&self, trans: *const c_char, vectors: &mut [f64]) -> Result<()> {
        let order = self.order();
        if vectors.is_empty() || order == 0 {
            return Ok(());
        }
        assert_eq!(vectors.len() % order, 0);
        let columns = vectors.len() / order;
        let lwork = 64 * columns + 65 * 64;
        let mut work = zeros::<f64>(lwork, "the workspace of a basis change")?;
        let (n, m, mut info) = (int(order), int(columns), 0);
        // SAFETY: reflectors and tau are what dsytrd returned for this order with uplo = L; vectors
        // hold order × columns numbers, column-major; the workspace is at least columns × 64 + 65 × 64.
        unsafe {
            lapack_sys::dormtr_(
                c"L".as_ptr(),
                c"L".as_ptr(),
                trans,
                &raw const n,
                &raw const m,
                self.reflectors.as_ptr(),
                &raw const n,
                self.tau.as_ptr(),
                vectors.as_mut_ptr(),
                &raw const n,
                work.as_mut_ptr(),
                &int(lwork),
                &raw mut info,
            );
        }
        checked("dormtr", info, order)
    }

    /// The `count` largest eigenvalues, descending, and their vectors one after the other
    /// (`?stevr`), in the basis of the matrix that was reduced. Cost of a vector: order².
    pub(crate) fn largest(&self, count: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        let order = self.order();
        assert!(count <= order);
        if count == 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut diagonal = self.diagonal.clone();
        let mut off_diagonal = self.off_diagonal.clone();
        off_diagonal.push(0.0);
        let mut values = vec![0.0; order];
        let mut vectors = zeros::<f64>(order * count, "the principal directions")?;
        let mut support = vec![0; 2 * count];
        let mut work = zeros::<f64>(20 * order, "the workspace of an eigendecomposition")?;
        let mut counts = vec![0; 10 * order];
        let (n, mut found, mut info) = (int(order), 0, 0);
        // SAFETY: n and n - 1 numbers on and beside the diagonal, room for n values, count vectors
        // of n and their 2 · count supports, and the workspaces of 20 n and 10 n that are asked for.
        unsafe {
            lapack_sys::dstevr_(
                c"V".as_ptr(),
                c"I".as_ptr(),
                &raw const n,
                diagonal.as_mut_ptr(),
                off_diagonal.as_mut_ptr(),
                &0.0,
                &0.0,
                &int(order - count + 1),
                &raw const n,
                &0.0,
                &raw mut found,
                values.as_mut_ptr(),
                vectors.as_mut_ptr(),
                &raw const n,
                support.as_mut_ptr(),
                work.as_mut_ptr(),
                &int(work.len()),
                counts.as_mut_ptr(),
                &int(counts.len()),
                &raw mut info,
            );
        }
        checked("dstevr", info, order)?;
        checked("dstevr", i32::from(found != int(count)), order)?;
        values.truncate(count);
        values.reverse();
        let ascending = vectors.chunks_exact(order);
        let mut descending: Vec<f64> = ascending.rev().flatten().copied().collect();
        self.rotate_back(&mut descending)?;
        Ok((values, descending))
    }

    /// The largest sum of magnitudes of a row, which no eigenvalue exceeds.
    pub(crate) fn largest_row(&self) -> f64 {
        let off = |i: usize| self.off_diagonal.get(i).map_or(0.0, |off| off.abs());
        let row = |(i, d): (usize, &f64)| d.abs() + off(i) + if i > 0 { off(i - 1) } else { 0.0 };
        self.diagonal.iter().enumerate().map(row).fold(0.0, f64::max)
    }

    /// How many eigenvalues are below a level: the negative pivots of T − level I (Sylvester).
    pub(crate) fn count_below(&self, level: f64) -> usize {
        let (mut count, mut carried) = (0, 0.0);
        for (i, diagonal) in self.diagonal.iter().enumerate() {
            let mut pivot = diagonal - level - carried;
            if pivot == 0.0 {
                pivot = -f64::MIN_POSITIVE; // an eigenvalue at the level counts
            }
            count += usize::from(pivot < 0.0);
            carried = self.off_diagonal.get(i).map_or(0.0, |off| off * (off / pivot));
        }
        count
    }
}

/// Replaces every vector b (one after the other in `vectors`) by A⁻¹b for a positive definite A whose
/// row-major upper triangle is given (`?posv`); `false`, with nothing solved, where A is not.
pub(crate) fn solve_positive(
    mut matrix: Vec<f64>,
    order: usize,
    vectors: &mut [f64],
) -> Result<bool> {
    assert!(matrix.len() == order * order && vectors.len().is_multiple_of(order.max(1)));
    if order > MAX_ORDER {
        return Err(Error::TooLarge { order, limit: MAX_ORDER });
    }
    if vectors.is_empty() {
        return Ok(true);
    }
    let (n, count, mut info) = (int(order), int(vectors.len() / order), 0);
    // SAFETY: matrix is order × order and vectors hold order × count numbers, column-major; a
    // row-major upper triangle is a column-major lower one.
    unsafe {
        lapack_sys::dposv_(
            c"L".as_ptr(),
            &raw const n,
            &raw const count,
            matrix.as_mut_ptr(),
            &raw const n,
            vectors.as_mut_ptr(),
            &raw const n,
            &raw mut info,
        );
    }
    if info > 0 {
        return Ok(false);
    }
    checked("dposv", info, order).map(|()| true)
}

/// Coordinates (n, n), lower triangular, of row-major rows (n, `n_cols`), n ≤ `n_cols`, in an
/// orthonormal basis of their span, by a QR factorisation of their transpose (`?geqrf`): all
/// lengths and angles between them stay as they are.
pub(crate) fn row_coordinates(mut rows: Vec<f64>, n_cols: usize) -> Result<Vec<f64>> {
    let n_rows = rows.len() / n_cols.max(1);
    assert!(n_rows <= n_cols && rows.len() == n_rows * n_cols);
    if n_rows > MAX_ORDER {
        return Err(Error::TooLarge { order: n_rows, limit: MAX_ORDER });
    }
    let lwork = 64 * n_rows.max(1);
    let mut work = zeros::<f64>(lwork, "the workspace of a factorisation")?;
    let mut tau = zeros::<f64>(n_rows, "the reflections of a factorisation")?;
    // The columns are fewer than 2³¹, which every block of features is checked against.
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

/// A = L Lᵀ of a positive definite matrix (`?potrf`).
pub(crate) struct Cholesky {
    /// L column by column, (order, order), the lower triangle.
    lower: Vec<f64>,
    order: usize,
}

impl Cholesky {
    /// Factors the matrix whose row-major upper triangle is given; `None` if a pivot is not
    /// positive.
    pub(crate) fn new(mut matrix: Vec<f64>, order: usize) -> Result<Option<Self>> {
        assert_eq!(matrix.len(), order * order);
        if order > MAX_ORDER {
            return Err(Error::TooLarge { order, limit: MAX_ORDER });
        }
        let (n, mut info) = (int(order), 0);
        // SAFETY: matrix is order × order; a row-major upper triangle is a column-major lower one.
        unsafe {
            lapack_sys::dpotrf_(
                c"L".as_ptr(),
                &raw const n,
                matrix.as_mut_ptr(),
                &int(order.max(1)),
                &raw mut info,
            );
        }
        if info > 0 {
            return Ok(None);
        }
        checked("dpotrf", info, order)?;
        Ok(Some(Self { lower: matrix, order }))
    }

    /// The pivots, whose product is the determinant.
    pub(crate) fn pivots(&self) -> impl Iterator<Item = f64> + '_ {
        self.lower.iter().step_by(self.order + 1).map(|l| l * l)
    }

    /// Replaces x (order,) by L⁻¹x.
    pub(crate) fn solve_lower(&self, x: &mut [f64]) -> Result<()> {
        assert_eq!(x.len(), self.order);
        if self.order == 0 {
            return Ok(());
        }
        let (n, mut info) = (int(self.order), 0);
        // SAFETY: L is order × order and x holds order numbers, as asserted.
        unsafe {
            lapack_sys::dtrtrs_(
                c"L".as_ptr(),
                c"N".as_ptr(),
                c"N".as_ptr(),
                &raw const n,
                &1,
                self.lower.as_ptr(),
                &raw const n,
                x.as_mut_ptr(),
                &raw const n,
                &raw mut info,
            );
        }
        checked("dtrtrs", info, self.order)
    }
}

/// PᵀAP = L Lᵀ of a positive semidefinite matrix, with complete pivoting (`?pstrf`).
pub(crate) struct PivotedCholesky {
    /// L column by column, (order, order); the columns up to the rank count.
    lower: Vec<f64>,
    /// The place in A of each row of L.
    places: Vec<usize>,
    rank: usize,
}

impl PivotedCholesky {
    /// Factors the matrix whose row-major upper triangle is given, down to pivots of `tolerance`.
    pub(crate) fn new(mut matrix: Vec<f64>, order: usize, tolerance: f64) -> Result<Self> {
        assert_eq!(matrix.len(), order * order);
        if order > MAX_ORDER {
            return Err(Error::TooLarge { order, limit: MAX_ORDER });
        }
        let mut places = vec![0; order];
        let mut work = zeros::<f64>(2 * order, "the workspace of a factorisation")?;
        let (n, mut rank, mut info) = (int(order), 0, 0);
        // SAFETY: matrix is order × order, places holds order and work 2 · order numbers; a
        // row-major upper triangle is a column-major lower one.
        unsafe {
            lapack_sys::dpstrf_(
                c"L".as_ptr(),
                &raw const n,
                matrix.as_mut_ptr(),
                &raw const n,
                places.as_mut_ptr(),
                &raw mut rank,
                &raw const tolerance,
                work.as_mut_ptr(),
                &raw mut info,
            );
        }
        if info < 0 {
            return Err(Error::Lapack { routine: "dpstrf", info, order });
        }
        let places = places.into_iter().map(|place: i32| place.unsigned_abs() as usize - 1);
        Ok(Self { lower: matrix, places: places.collect(), rank: rank.unsigned_abs() as usize })
    }

    /// The places in A of the rows that the rank counts.
    pub(crate) fn pivots(&self) -> &[usize] {
        &self.places[..self.rank]
    }

    /// Row i of L, and its place in A.
    pub(crate) fn row(&self, i: usize) -> (usize, impl Iterator<Item = f64> + '_) {
        let order = self.places.len();
        (self.places[i], (0..self.rank.min(i + 1)).map(move |j| self.lower[j * order + i]))
    }

    /// The i-th diagonal entry of L.
    pub(crate) fn diagonal(&self, i: usize) -> f64 {
        self.lower[i * (self.places.len() + 1)]
    }

    /// Replaces every x (rank,) of `vectors`, one after the other, by L⁻¹x, with the leading rows
    /// and columns of L.
    pub(crate) fn solve_lower(&self, vectors: &mut [f64]) -> Result<()> {
        self.solve(c"N".as_ptr(), vectors)
    }

    /// The same with L⁻ᵀx.
    pub(crate) fn solve_upper(&self, vectors: &mut [f64]) -> Result<()> {
        self.solve(c"T".as_ptr(), vectors)
    }

    fn solve(&self, trans: *const c_char, vectors: &mut [f64]) -> Result<()> {
        if self.rank == 0 || vectors.is_empty() {
            assert!(vectors.is_empty());
            return Ok(());
        }
        assert_eq!(vectors.len() % self.rank, 0);
        let (columns, mut info) = (vectors.len() / self.rank, 0);
        // SAFETY: L holds rank × rank leading numbers with leading dimension order; the vectors
        // hold rank × columns, column-major.
        unsafe {
            lapack_sys::dtrtrs_(
                c"L".as_ptr(),
                trans,
                c"N".as_ptr(),
                &int(self.rank),
                &int(columns),
                self.lower.as_ptr(),
                &int(self.places.len()),
                vectors.as_mut_ptr(),
                &int(self.rank),
                &raw mut info,
            );
        }
        checked("dtrtrs", info, self.rank)
    }
}

/// The thin SVD a = U diag(s) Vᵀ: U (m, k), s (k,) descending, Vᵀ (k, n), k = min(m, n).
///
/// `?gesdd` asks for 4k² + 7k doubles, and counts them in 32 bits.
pub(crate) fn thin_svd(a: Array2<f64>) -> Result<(Array2<f64>, Array1<f64>, Array2<f64>)> {
    const LIMIT: usize = 23_000;
    let order = a.nrows().min(a.ncols());
    if order == 0 {
        let (m, n) = a.dim();
        return Ok((Array2::zeros((m, 0)), Array1::zeros(0), Array2::zeros((0, n))));
    }
    if order > LIMIT {
        return Err(Error::TooLarge { order, limit: LIMIT });
    }
    if a.nrows().max(a.ncols()) > i32::MAX.unsigned_abs() as usize {
        return Err(Error::Unaddressable { n_rows: a.nrows(), n_cols: a.ncols() });
    }
    // What ndarray-linalg will allocate, and would abort for: U, Vᵀ and the workspace.
    let numbers = (a.nrows() + a.ncols()) * order + 5 * order * order;
    drop(reserved::<f64>(numbers, "a singular value decomposition")?);
    let failed = |info| Error::Lapack { routine: "dgesdd", info, order };
    let (u, s, vt) = a.svddc(JobSvd::Some).map_err(|_| failed(1))?;
    match (u, vt) {
        (Some(u), Some(vt)) => Ok((u, s, vt)),
        _ => Err(failed(-1)),
    }
}
