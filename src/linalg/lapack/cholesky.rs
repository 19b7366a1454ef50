//! Cholesky factorisations, plain and with complete pivoting.
#![allow(unsafe_code)]

use std::ffi::CStr;

use cblas_sys::CBLAS_TRANSPOSE::{CblasNoTrans, CblasTrans};

use crate::error::{Error, Result};
use crate::threads::Context;

use super::super::blas::scale;
use super::super::memory::{Gather, zeros};
use super::blocks::{Block, product_add};
use super::{check_order, checked, int};

/// The order from which on factorisations are made in blocks, of tens of milliseconds each, so that they
/// can be interrupted and share their work among threads.
const LARGE: usize = 1024;
/// Columns of a block.
const WIDTH: usize = 256;
/// Columns of a block of a factorisation with pivoting.
const PIVOTED: usize = 64;
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
    let mut parts: Vec<&mut [f64]> = vectors.chunks_mut(width.saturating_mul(order)).collect();
    context.for_each_mut(&mut parts, |_, part| {
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
fn subtract_products(
    columns: &[f64],
    (order, width): (usize, usize),
    (next, rest): (usize, &mut [f64]),
    context: &Context<'_>,
) -> Result<()> {
    let mut parts: Vec<&mut [f64]> = rest.chunks_mut(WIDTH * order).collect();
    context.for_each_mut(&mut parts, |i, part| {
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
    pub(crate) fn new(
        mut matrix: Vec<f64>,
        order: usize,
        tolerance: f64,
        context: &Context<'_>,
    ) -> Result<Self> {
        assert_eq!(matrix.len(), order * order);
        check_order(order)?;
        let (places, rank) = if order < LARGE {
            factor_pivoted(&mut matrix, order, tolerance)?
        } else {
            factor_pivoted_blocks(&mut matrix, order, tolerance, context)?
        };
        Ok(Self { lower: matrix, places, rank })
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

/// Replaces the column-major lower triangle of A by L (`?pstrf`); returns the place in A of each row of
/// L, and the rank.
fn factor_pivoted(matrix: &mut [f64], order: usize, tolerance: f64) -> Result<(Vec<usize>, usize)> {
    assert_eq!(matrix.len(), order * order);
    let mut places = vec![0; order];
    let mut work = zeros::<f64>(2 * order, "the workspace of a factorisation")?;
    let (n, mut rank, mut info) = (int(order), 0, 0);
    // SAFETY: matrix is order × order, places holds order and work 2 · order numbers.
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
    Ok((places.collect(), rank.unsigned_abs() as usize))
}

/// The same in blocks of columns, after each of which the rest is updated. Within a block, the pivots
/// are those of the rest less the squares of the block's columns.
fn factor_pivoted_blocks(
    matrix: &mut [f64],
    order: usize,
    tolerance: f64,
    context: &Context<'_>,
) -> Result<(Vec<usize>, usize)> {
    let mut places = (0..order).gathered("the pivots of a factorisation")?;
    let mut squares = zeros::<f64>(order, "the workspace of a factorisation")?;
    for start in (0..order).step_by(PIVOTED) {
        context.check()?;
        let end = order.min(start + PIVOTED);
        squares[start..].fill(0.0);
        for j in start..end {
            let pivots = (j..order).map(|i| (i, matrix[i * order + i] - squares[i]));
            // The first of the largest; NaN is not larger than anything.
            let (at, pivot) = pivots
                .fold((j, f64::NEG_INFINITY), |most, own| if own.1 > most.1 { own } else { most });
            let is_enough = pivot > if j == 0 { 0.0 } else { tolerance };
            if !is_enough {
                return Ok((places, j));
            }
            exchange(matrix, order, j, at);
            squares.swap(j, at);
            places.swap(j, at);
            let (before, from) = matrix.split_at_mut(j * order);
            let column = &mut from[j..order];
            column[0] = pivot.sqrt();
            let (root, below) = (column[0], &mut column[1..]);
            if j > start && !below.is_empty() {
                let (first, sizes) = (start * order + j, (below.len(), 1, j - start));
                let above = Block { values: &before[first + 1..], stride: order };
                let row = Block { values: &before[first..], stride: order };
                let into = (&mut *below, order);
                product_add(-1.0, (CblasNoTrans, above), (CblasTrans, row), into, sizes);
            }
            scale(1.0 / root, below);
            let rest = squares[j + 1..].iter_mut().zip(&*below);
            rest.for_each(|(square, l)| *square += l * l);
        }
        let (columns, rest) = matrix[start * order..].split_at_mut((end - start) * order);
        subtract_products(columns, (order, end - start), (end, rest), context)?;
    }
    Ok((places, order))
}

/// Exchanges rows and columns j ≤ p of the column-major lower triangle of a symmetric matrix, whose
/// columns before j are those of a factor. The diagonal of j is not kept.
fn exchange(matrix: &mut [f64], order: usize, j: usize, p: usize) {
    if j == p {
        return;
    }
    matrix[p * order + p] = matrix[j * order + j];
    for c in 0..j {
        matrix.swap(c * order + j, c * order + p);
    }
    for i in j + 1..p {
        matrix.swap(j * order + i, i * order + p);
    }
    let (before, from) = matrix.split_at_mut(p * order);
    before[j * order + p + 1..(j + 1) * order].swap_with_slice(&mut from[p + 1..order]);
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
pub(crate) fn scale_to_unit_diagonal(matrix: &mut [f64], order: usize) -> Vec<f64> {
    let scale: Vec<f64> = matrix.iter().step_by(order + 1).map(|s| s.max(0.0).sqrt()).collect();
    for (i, row) in matrix.chunks_exact_mut(order).enumerate() {
        for j in i..order {
            let scales = scale[i] * scale[j];
            row[j] = if scales > 0.0 { row[j] / scale[i] / scale[j] } else { 0.0 };
        }
    }
    scale
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact values
mod tests {
    use super::*;
    use crate::linalg::blas::row_gram_add;

    /// A positive semidefinite matrix of this rank.
    fn matrix(order: usize, rank: usize) -> Vec<f64> {
        let number = |i: usize, k: usize| ((i as f64 + 1.3) * (k as f64 + 0.7) * 0.618).sin();
        let rows: Vec<f64> = (0..order * rank).map(|at| number(at / rank, at % rank)).collect();
        let mut products = vec![0.0; order * order];
        row_gram_add(&rows, rank, 0..rank, &mut products, &Context::serial()).unwrap();
        products
    }

    /// The largest difference of L Lᵀ from the rows and columns `places` of A, beside its trace.
    fn error(a: &[f64], order: usize, lower: &[f64], places: &[usize], rank: usize) -> f64 {
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
    fn blocks_find_the_pivots_of_one_call() {
        let order = LARGE + 100;
        for rank in [150, order] {
            let mut a = matrix(order, rank);
            let sizes = (0..order).map(|i| 1.0 + ((i * 613) % order) as f64);
            a.iter_mut().step_by(order + 1).zip(sizes).for_each(|(entry, size)| {
                if rank == order {
                    *entry += size;
                }
            });
            let tolerance = 1e-9 * a.iter().step_by(order + 1).sum::<f64>();
            let tolerance = if rank == order { 0.0 } else { tolerance };
            let mut whole = a.clone();
            let (places, found) = factor_pivoted(&mut whole, order, tolerance).unwrap();
            let context = Context::serial();
            let blocks = PivotedCholesky::new(a.clone(), order, tolerance, &context).unwrap();
            assert_eq!((blocks.rank, found), (rank, rank));
            assert_eq!(blocks.places[..rank], places[..rank]);
            assert!(error(&a, order, &blocks.lower, &blocks.places, rank) < 1e-12);
        }
        let nothing =
            PivotedCholesky::new(vec![0.0; order * order], order, 0.0, &Context::serial());
        assert_eq!(nothing.unwrap().rank, 0);
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
    fn a_factorisation_stops_between_its_blocks() {
        let order = LARGE + 300;
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let ask = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 3;
        let context = Context::new(None, &ask);
        let stopped = Cholesky::new(matrix(order, order), order, &context).err();
        assert_eq!(stopped, Some(Error::Interrupted));
        let stopped = PivotedCholesky::new(matrix(order, 90), order, 0.0, &context).err();
        assert_eq!(stopped, Some(Error::Interrupted));
    }
}
