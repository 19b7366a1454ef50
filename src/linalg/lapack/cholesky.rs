//! Cholesky factorisations, and what they solve.
#![allow(unsafe_code)]

use std::ffi::CStr;

use cblas_sys::CBLAS_TRANSPOSE::{CblasNoTrans, CblasTrans};

use crate::error::Result;
use crate::threads::Context;

use super::blocks::{Block, product_add};
use super::{check_order, checked, int};

/// The order from which on factorisations are made in blocks, of tens of milliseconds each, so that they
/// can be interrupted and share their work among threads.
pub(super) const LARGE: usize = 1024;
/// Columns of a block.
const WIDTH: usize = 256;
/// Multiplications of one call, about a tenth of a second.
const CALL: usize = 2_000_000_000;

/// Replaces every vector b (one after the other in `vectors`) by A⁻¹b for a positive definite A whose
/// row-major upper triangle is given (`?potrf`, `?potrs`); `false`, with nothing solved, where A is not.
pub(crate) fn solve_positive(
    mut matrix: Vec<f64>,
    order: usize,
    vectors: &mut [f64],
    context: &Context<'_>,
) -> Result<bool> {
    assert!(matrix.len() == order * order && vectors.len().is_multiple_of(order.max(1)));
    check_order(order)?;
    if vectors.is_empty() {
        return Ok(true);
    }
    if factor_lower(&mut matrix, order, context)?.is_some() {
        return Ok(false);
    }
    let width = (CALL / (order * order)).max(1);
    context.for_each_chunk(vectors, width.saturating_mul(order), |_, part| {
        let (n, count, mut info) = (int(order), int(part.len() / order), 0);
        // SAFETY: the matrix is order × order and the part holds order × count numbers, column-major.
        unsafe {
            lapack_sys::dpotrs_(
                c"L".as_ptr(),
                &raw const n,
                &raw const count,
                matrix.as_ptr(),
                &raw const n,
                part.as_mut_ptr(),
                &raw const n,
                &raw mut info,
            );
        }
        checked("dpotrs", info, order)
    })?;
    Ok(true)
}

/// Replaces the column-major lower triangle of A (order, order) by L, A = L Lᵀ; returns the place of the
/// first pivot that is not positive, if there is one.
fn factor_lower(matrix: &mut [f64], order: usize, context: &Context<'_>) -> Result<Option<usize>> {
    if order < LARGE {
        return factor_block(matrix, order, order);
    }
    for start in (0..order).step_by(WIDTH) {
        let width = WIDTH.min(order - start);
        let next = start + width;
        let (columns, rest) = matrix[start * order..].split_at_mut(width * order);
        if let Some(place) = factor_block(&mut columns[start..], order, width)? {
            return Ok(Some(start + place));
        }
        if next == order {
            break;
        }
        let (n_below, last) = (order - next, (width - 1) * order);
        assert!(columns.len() == last + order);
        // SAFETY: rows `start` and rows `next` of the columns begin two blocks, (width, width) and
        // (n_below, width), that share no number; the columns are `order` numbers apart.
        unsafe {
            let first = columns.as_mut_ptr();
            cblas_sys::cblas_dtrsm(
                cblas_sys::CBLAS_LAYOUT::CblasColMajor,
                cblas_sys::CBLAS_SIDE::CblasRight,
                cblas_sys::CBLAS_UPLO::CblasLower,
                CblasTrans,
                cblas_sys::CBLAS_DIAG::CblasNonUnit,
                int(n_below),
                int(width),
                1.0,
                first.add(start),
                int(order),
                first.add(next),
                int(order),
            );
        }
        subtract_products(columns, (order, width), (next, rest), context)?;
    }
    Ok(None)
}

/// `?potrf` of the lower triangle (order, order) at the start of a block with this stride; the place of
/// the first pivot that is not positive.
fn factor_block(block: &mut [f64], stride: usize, order: usize) -> Result<Option<usize>> {
    assert!(order <= stride && (order == 0 || (order - 1) * stride + order <= block.len()));
    let (n, mut info) = (int(order), 0);
    // SAFETY: the block holds order columns of order numbers, `stride` numbers apart.
    unsafe {
        lapack_sys::dpotrf_(
            c"L".as_ptr(),
            &raw const n,
            block.as_mut_ptr(),
            &int(stride.max(1)),
            &raw mut info,
        );
    }
    if info > 0 {
        return Ok(Some(info.unsigned_abs() as usize - 1));
    }
    checked("dpotrf", info, order)?;
    Ok(None)
}

/// Subtract C Cᵀ from the lower triangle of the columns from `next` on, `rest`, for some columns C
/// (order, width), by parts that the order alone decides.
pub(super) fn subtract_products(
    columns: &[f64],
    (order, width): (usize, usize),
    (next, rest): (usize, &mut [f64]),
    context: &Context<'_>,
) -> Result<()> {
    context.for_each_chunk(rest, WIDTH * order, |i, part| {
        let at = next + i * WIDTH;
        let from = Block { values: &columns[at..], stride: order };
        let sizes = (order - at, part.len() / order, width);
        let into = (&mut part[at..], order);
        product_add(-1.0, (CblasNoTrans, from), (CblasTrans, from), into, sizes);
        Ok(())
    })
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
    pub(crate) fn new(
        matrix: Vec<f64>,
        order: usize,
        context: &Context<'_>,
    ) -> Result<Option<Self>> {
        Ok(Self::factor(matrix, order, context)?.ok())
    }

    /// As [`Cholesky::new`], or the place of the first pivot that is not positive.
    pub(crate) fn factor(
        mut matrix: Vec<f64>,
        order: usize,
        context: &Context<'_>,
    ) -> Result<std::result::Result<Self, usize>> {
        assert_eq!(matrix.len(), order * order);
        check_order(order)?;
        Ok(match factor_lower(&mut matrix, order, context)? {
            Some(place) => Err(place),
            None => Ok(Self { lower: matrix, order }),
        })
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

    /// The same for every x of `vectors`, one after the other, in parts that the order alone decides.
    pub(crate) fn solve_lower_each(
        &self,
        vectors: &mut [f64],
        context: &Context<'_>,
    ) -> Result<()> {
        const MOST: usize = 64;
        let width = (CALL / (self.order * self.order).max(1)).clamp(1, MOST);
        context.for_each_chunk(vectors, width * self.order.max(1), |_, part| {
            solve_triangular(c"N", &self.lower, (self.order, self.order), part)
        })
    }
}

/// Replaces every x (rank,) of `vectors` by L⁻¹x ("N") or L⁻ᵀx ("T"), with the leading rows and
/// columns of L (order, order), column-major (`?trtrs`).
pub(super) fn solve_triangular(
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

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact values
pub(super) mod tests {
    use super::*;
    use crate::error::Error;
    use crate::linalg::blas::row_gram_add;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The error of a computation that is asked to stop after so many polls.
    pub(in super::super) fn stopped_after<T>(
        polls: usize,
        run: impl FnOnce(&Context<'_>) -> Result<T>,
    ) -> Option<Error> {
        let asked = AtomicUsize::new(0);
        run(&Context::new(None, &|| asked.fetch_add(1, Ordering::Relaxed) >= polls)).err()
    }

    /// A positive semidefinite matrix of this rank.
    pub(in super::super) fn matrix(order: usize, rank: usize) -> Vec<f64> {
        let number = |i: usize, k: usize| ((i as f64 + 1.3) * (k as f64 + 0.7) * 0.618).sin();
        let rows: Vec<f64> = (0..order * rank).map(|at| number(at / rank, at % rank)).collect();
        let mut products = vec![0.0; order * order];
        row_gram_add(&rows, rank, 0..rank, &mut products, &Context::serial()).unwrap();
        products
    }

    /// The largest difference of L Lᵀ from the rows and columns `places` of A, beside its trace.
    pub(in super::super) fn error(
        a: &[f64],
        order: usize,
        lower: &[f64],
        places: &[usize],
        rank: usize,
    ) -> f64 {
        let trace: f64 = a.iter().step_by(order + 1).sum();
        let mut worst = 0.0_f64;
        for i in (0..order).step_by(37) {
            for j in (0..=i).step_by(11) {
                let product: f64 =
                    (0..rank.min(j + 1)).map(|k| lower[k * order + i] * lower[k * order + j]).sum();
                let (row, column) = (places[i].min(places[j]), places[i].max(places[j]));
                worst = worst.max((product - a[row * order + column]).abs());
            }
        }
        worst / trace
    }

    #[test]
    fn blocks_factor_as_one_call_does() {
        let order = LARGE + 300;
        let mut a = matrix(order, 200);
        a.iter_mut().step_by(order + 1).for_each(|entry| *entry += 1.0);
        let (mut whole, places) = (a.clone(), (0..order).collect::<Vec<_>>());
        assert_eq!(factor_block(&mut whole, order, order), Ok(None));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let parallel = Context::new(Some(&pool), &|| false);
        let one = Cholesky::new(a.clone(), order, &Context::serial()).unwrap().unwrap();
        let many = Cholesky::new(a.clone(), order, &parallel).unwrap().unwrap();
        assert!(one.lower == many.lower, "the bits depend on the threads");
        for lower in [&whole, &one.lower] {
            assert!(error(&a, order, lower, &places, order) < 1e-15);
        }
        a[700 * (order + 1)] = -1.0;
        assert_eq!(Cholesky::factor(a, order, &parallel).unwrap().err(), Some(700));
    }

    #[test]
    fn many_vectors_are_solved_in_parts() {
        let (order, count) = (600, 12_000); // two parts
        let mut a = matrix(order, 50);
        a.iter_mut().step_by(order + 1).for_each(|entry| *entry += 1.0);
        let mut solved: Vec<f64> = (0..count).flat_map(|k| vec![(k % 7) as f64; order]).collect();
        assert!(solve_positive(a, order, &mut solved, &Context::serial()).unwrap());
        for k in 7..count {
            let (own, same) = (&solved[k * order..][..order], &solved[(k - 7) * order..][..order]);
            let pairs = own.iter().zip(same);
            assert!(pairs.clone().all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs().max(1.0)));
        }
    }

    #[test]
    fn parts_of_many_vectors_are_solved_as_each_alone() {
        let (order, count) = (90, 150); // three parts
        let mut a = matrix(order, 50);
        a.iter_mut().step_by(order + 1).for_each(|entry| *entry += 1.0);
        let factor = Cholesky::new(a, order, &Context::serial()).unwrap().unwrap();
        let vectors: Vec<f64> = (0..order * count).map(|at| ((at * 31) % 97) as f64).collect();
        let mut solved = vectors.clone();
        factor.solve_lower_each(&mut solved, &Context::serial()).unwrap();
        for (own, x) in solved.chunks(order).zip(vectors.chunks(order)) {
            let mut alone = x.to_vec();
            factor.solve_lower(&mut alone).unwrap();
            let pairs = own.iter().zip(&alone);
            assert!(pairs.clone().all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs().max(1.0)));
        }
    }

    #[test]
    fn a_factorisation_stops_between_its_blocks() {
        let order = LARGE + 300;
        let stopped =
            stopped_after(4, |context| Cholesky::new(matrix(order, order), order, context));
        assert_eq!(stopped, Some(Error::Interrupted));
    }
}
