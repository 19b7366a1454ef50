//! Cholesky factorisations with complete pivoting.
#![allow(unsafe_code)]

use cblas_sys::CBLAS_TRANSPOSE::{CblasNoTrans, CblasTrans};

use crate::error::{Error, Result};
use crate::threads::Context;

use super::super::blas::scale;
use super::super::memory::{Gather, filled, zeros};
use super::blocks::{Block, product_add};
use super::cholesky::{LARGE, solve_triangular, subtract_products};
use super::{check_order, int};

/// Columns of a block.
const WIDTH: usize = 64;

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
    let mut places = filled(0, order, "the pivots of a factorisation")?;
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
    let places = places.gathered("the pivots of a factorisation")?;
    Ok((places, rank.unsigned_abs() as usize))
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
    for start in (0..order).step_by(WIDTH) {
        context.check()?;
        let end = order.min(start + WIDTH);
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

#[cfg(test)]
mod tests {
    use super::super::cholesky::tests::{error, matrix, stopped_after};
    use super::*;

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
    fn a_factorisation_stops_between_its_blocks() {
        let order = LARGE + 300;
        let stopped = stopped_after(4, |context| {
            PivotedCholesky::new(matrix(order, 90), order, 0.0, context)
        });
        assert_eq!(stopped, Some(Error::Interrupted));
    }
}
