//! Cholesky factorisations, plain and with complete pivoting.
#![allow(unsafe_code)]

use std::ffi::CStr;

use crate::error::{Error, Result};

use super::super::memory::{Gather, filled, zeros};
use super::{check_order, checked, int};

/// Replaces every vector b (one after the other in `vectors`) by A⁻¹b for a positive definite A whose
/// row-major upper triangle is given (`?posv`); `false`, with nothing solved, where A is not.
pub(crate) fn solve_positive(
    mut matrix: Vec<f64>,
    order: usize,
    vectors: &mut [f64],
) -> Result<bool> {
    assert!(matrix.len() == order * order && vectors.len().is_multiple_of(order.max(1)));
    check_order(order)?;
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

/// A = L Lᵀ of a positive definite matrix (`?potrf`).
pub(crate) struct Cholesky {
    /// L column by column, (order, order), the lower triangle.
    lower: Vec<f64>,
    order: usize,
}

impl Cholesky {
    /// Factors the matrix whose row-major upper triangle is given; `None` if a pivot is not
    /// positive.
    pub(crate) fn new(matrix: Vec<f64>, order: usize) -> Result<Option<Self>> {
        Ok(Self::factor(matrix, order)?.ok())
    }

    /// As [`Cholesky::new`], or the place of the first pivot that is not positive.
    pub(crate) fn factor(
        mut matrix: Vec<f64>,
        order: usize,
    ) -> Result<std::result::Result<Self, usize>> {
        assert_eq!(matrix.len(), order * order);
        check_order(order)?;
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
            return Ok(Err(info.unsigned_abs() as usize - 1));
        }
        checked("dpotrf", info, order)?;
        Ok(Ok(Self { lower: matrix, order }))
    }

    /// The pivots, whose product is the determinant.
    pub(crate) fn pivots(&self) -> impl Iterator<Item = f64> + '_ {
        self.lower.iter().step_by(self.order + 1).map(|l| l * l)
    }

    /// Replaces x (order,) by L⁻¹x.
    pub(crate) fn solve_lower(&self, x: &mut [f64]) -> Result<()> {
        assert_eq!(x.len(), self.order);
        solve_triangular(c"N", &self.lower, (self.order, self.order), x)
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
        check_order(order)?;
        let mut places = filled(0, order, "the pivots of a factorisation")?;
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
        let places = places.gathered("the pivots of a factorisation")?;
        Ok(Self { lower: matrix, places, rank: rank.unsigned_abs() as usize })
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
        solve_triangular(c"N", &self.lower, (self.rank, self.places.len()), vectors)
    }

    /// The same with L⁻ᵀx.
    pub(crate) fn solve_upper(&self, vectors: &mut [f64]) -> Result<()> {
        solve_triangular(c"T", &self.lower, (self.rank, self.places.len()), vectors)
    }
}

/// Replaces every x (rank,) of `vectors` by L⁻¹x ("N") or L⁻ᵀx ("T"), with the leading rows and
/// columns of L (order, order), column-major (`?trtrs`).
fn solve_triangular(
    trans: &CStr,
    lower: &[f64],
    (rank, order): (usize, usize),
    vectors: &mut [f64],
) -> Result<()> {
    if rank == 0 || vectors.is_empty() {
        assert!(vectors.is_empty());
        return Ok(());
    }
    assert!(rank <= order && lower.len() == order * order && vectors.len().is_multiple_of(rank));
    let mut info = 0;
    // SAFETY: L is order × order, and the vectors hold rank × columns numbers, as asserted.
    unsafe {
        lapack_sys::dtrtrs_(
            c"L".as_ptr(),
            trans.as_ptr(),
            c"N".as_ptr(),
            &int(rank),
            &int(vectors.len() / rank),
            lower.as_ptr(),
            &int(order),
            vectors.as_mut_ptr(),
            &int(rank),
            &raw mut info,
        );
    }
    checked("dtrtrs", info, rank)
}

/// Divides row and column j of a row-major upper triangle by the root eⱼ of its diagonal entry, and
/// returns e (order,). Rows and columns of eⱼ = 0 become zero, their diagonal included.
pub(crate) fn scale_to_unit_diagonal(matrix: &mut [f64], order: usize) -> Result<Vec<f64>> {
    let scale = matrix.iter().step_by(order + 1).map(|s| s.max(0.0).sqrt());
    let scale = scale.gathered("the scales of the columns")?;
    for (i, row) in matrix.chunks_exact_mut(order).enumerate() {
        for j in i..order {
            let scales = scale[i] * scale[j];
            row[j] = if scales > 0.0 { row[j] / scale[i] / scale[j] } else { 0.0 };
        }
    }
    Ok(scale)
}
