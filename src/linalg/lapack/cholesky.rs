//! Cholesky factors, plain and with complete pivoting.
#![allow(unsafe_code)]

use std::ffi::c_char;

use crate::error::{Error, Result};

use super::super::memory::zeros;
use super::{MAX_ORDER, checked, int};

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
