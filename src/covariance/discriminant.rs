//! The eigenvalues of linear discriminant analysis: how far means lie apart, beside a covariance.

use crate::error::{Error, Result};
use crate::linalg::blas::{gram_add, row_gram_add};
use crate::linalg::lapack::{Cholesky, TridiagonalForm, check_order};
use crate::linalg::memory::{Gather, copied, zeros};
use crate::threads::{Context, chunks};

/// The part of the ridge below which eigenvalues of W less than zero change none of Σ by 1e-9.
const NOTHING: f64 = 1e-9;

/// What is found of a covariance Σ and offsets.
#[derive(Debug, Clone, PartialEq)]
pub struct Discriminant {
    /// The min(C, D) largest eigenvalues of Σ⁻¹OᵀO, descending.
    pub eigenvalues: Vec<f64>,
    /// The smallest eigenvalue of Σ, if it was asked for.
    pub smallest: Option<f64>,
}

/// The eigenvalues of Σ⁻¹OᵀO for offsets O (C, D), row-major, and Σ = max(W, 0) + ridge I, where the upper
/// triangle of W (D, D) is read, and eigenvalues of W below zero count as zero. `smallest` asks for that
/// of Σ, too; without it, eigenvalues of W between −ridge and zero count as they are.
///
/// They are the eigenvalues of L⁻¹OᵀOL⁻ᵀ, or of its smaller twin OL⁻ᵀL⁻¹Oᵀ, for Σ = LLᵀ. Where rounding
/// has left no such L, or eigenvalues of W below zero, Σ is taken apart by its eigenvectors.
/// Cost: D³/3 + C D² + min(C, D)² max(C, D).
///
/// ```
/// use transferability::covariance::discriminant;
/// use transferability::threads::Context;
///
/// let within = [3.0, 0.0, 0.0, 1.0];
/// let found = discriminant(&within, &[2.0, 0.0, 0.0, 1.0], 1.0, true, &Context::serial())?;
/// assert!((found.eigenvalues[0] - 1.0).abs() < 1e-15);
/// assert!((found.eigenvalues[1] - 0.5).abs() < 1e-15);
/// assert!((found.smallest.unwrap() - 2.0).abs() < 1e-15);
/// # Ok::<(), transferability::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::TooLarge`], [`Error::OutOfMemory`]; [`Error::Interrupted`].
///
/// # Panics
/// If W is not square, or the offsets do not have its number of columns.
pub fn discriminant(
    within: &[f64],
    offsets: &[f64],
    ridge: f64,
    smallest: bool,
    context: &Context<'_>,
) -> Result<Discriminant> {
    let d = within.len().isqrt();
    assert!(within.len() == d * d && offsets.len().is_multiple_of(d.max(1)), "shapes differ");
    check_order(d)?;
    let mut whitened = copied(offsets, "offsets between means")?;
    let least = if smallest {
        reduce(copied(within, "a covariance")?, d, context)?.eigenvalues()?.last().copied()
    } else {
        None
    };
    let is_positive = least.is_none_or(|least| least >= -NOTHING * ridge);
    let factor = if is_positive { factor(within, ridge, context)? } else { None };
    if let Some(factor) = factor {
        factor.solve_lower_each(&mut whitened, context)?;
    } else {
        whiten_by_vectors(within, ridge, &mut whitened, context)?;
    }
    let smallest = least.map(|least| least.max(0.0) + ridge);
    Ok(Discriminant { eigenvalues: squares_of_singular(&whitened, d, context)?, smallest })
}

/// The factor of W + ridge I; none where it is not positive definite in float64.
fn factor(within: &[f64], ridge: f64, context: &Context<'_>) -> Result<Option<Cholesky>> {
    let d = within.len().isqrt();
    let mut with_ridge = copied(within, "a covariance")?;
    with_ridge.iter_mut().step_by(d + 1).for_each(|entry| *entry += ridge);
    Cholesky::new(with_ridge, d, context)
}

fn reduce(matrix: Vec<f64>, order: usize, context: &Context<'_>) -> Result<TridiagonalForm> {
    TridiagonalForm::reduce_with(matrix, order, &mut [], context)
}

/// Replaces every offset o by diag(Σ)^(-1/2) Vᵀo, for the eigenvalues and eigenvectors V of W.
fn whiten_by_vectors(
    within: &[f64],
    ridge: f64,
    offsets: &mut [f64],
    context: &Context<'_>,
) -> Result<()> {
    let d = within.len().isqrt();
    let form = TridiagonalForm::reduce(copied(within, "a covariance")?, d, context)?;
    let (values, vectors) = form.largest(d, context)?;
    let roots = values.iter().map(|value| (value.max(0.0) + ridge).sqrt());
    let roots = roots.gathered("the eigenvalues of a covariance")?;
    context.for_each_chunk(offsets, d, |_, row| {
        let along = vectors.chunks_exact(d).zip(&roots);
        let scores = along.map(|(vector, root)| crate::linalg::blas::dot(vector, row) / root);
        let scores = scores.gathered("an offset between means")?;
        row.copy_from_slice(&scores);
        Ok(())
    })
}

/// The squares of the min(C, D) singular values of rows (C, D), descending.
fn squares_of_singular(rows: &[f64], d: usize, context: &Context<'_>) -> Result<Vec<f64>> {
    /// Multiplications of one product.
    const CALL: usize = 4_000_000_000;
    let n = rows.len() / d.max(1);
    let order = n.min(d);
    if order == 0 {
        return Ok(Vec::new());
    }
    check_order(order)?;
    let zero = || zeros::<f64>(order * order, "products of offsets");
    let products = if n <= d {
        let mut products = zero()?;
        row_gram_add(rows, d, 0..d, &mut products, context)?;
        products
    } else {
        let parts = chunks(n, (CALL / (d * d)).max(d))?;
        context.sum(parts.len(), zero, |i, products: &mut Vec<f64>| {
            gram_add(&rows[parts[i].start * d..parts[i].end * d], d, products);
            Ok(())
        })?
    };
    if products.iter().any(|product| !product.is_finite()) {
        let largest = rows.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        return Err(Error::OutOfRange { name: "features", largest, problem: "overflow" });
    }
    let mut values = reduce(products, order, context)?.eigenvalues()?;
    for value in &mut values {
        *value = value.max(0.0);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(i: usize, k: usize) -> f64 {
        ((i as f64 + 1.3) * (k as f64 + 0.7) * 0.618).sin()
    }

    fn made(n: usize, d: usize) -> Vec<f64> {
        (0..n * d).map(|at| number(at / d, at % d)).collect()
    }

    fn within(d: usize, rank: usize) -> Vec<f64> {
        let mut products = vec![0.0; d * d];
        row_gram_add(&made(d, rank), rank, 0..rank, &mut products, &Context::serial()).unwrap();
        products
    }

    /// The sum of the eigenvalues is tr(Σ⁻¹OᵀO), that of their squares tr((Σ⁻¹OᵀO)²).
    fn traces(within: &[f64], offsets: &[f64], ridge: f64) -> (f64, f64) {
        let d = within.len().isqrt();
        let mut matrix = within.to_vec();
        matrix.iter_mut().step_by(d + 1).for_each(|entry| *entry += ridge);
        let mut solved = offsets.to_vec();
        let context = Context::serial();
        assert!(crate::linalg::lapack::solve_positive(matrix, d, &mut solved, &context).unwrap());
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (mut sum, mut squares) = (0.0, 0.0);
        for (i, row) in offsets.chunks(d).enumerate() {
            sum += dot(row, &solved[i * d..][..d]);
            for (j, other) in offsets.chunks(d).enumerate() {
                squares += dot(row, &solved[j * d..][..d]) * dot(other, &solved[i * d..][..d]);
            }
        }
        (sum, squares)
    }

    #[test]
    fn eigenvalues_have_the_traces_of_the_matrix() {
        for (n, d) in [(3, 8), (8, 8), (30, 8), (1, 1), (70, 20)] {
            let (within, offsets) = (within(d, d), made(n, d));
            let found = discriminant(&within, &offsets, 0.1, false, &Context::serial()).unwrap();
            let (sum, squares) = traces(&within, &offsets, 0.1);
            assert_eq!(found.eigenvalues.len(), n.min(d));
            assert!(found.eigenvalues.is_sorted_by(|a, b| a >= b));
            let own: f64 = found.eigenvalues.iter().sum();
            let own_squares: f64 = found.eigenvalues.iter().map(|v| v * v).sum();
            assert!((own - sum).abs() <= 1e-11 * sum, "{n} {d}: {own} {sum}");
            assert!((own_squares - squares).abs() <= 1e-10 * squares, "{n} {d}");
        }
    }

    #[test]
    fn both_ways_of_whitening_agree() {
        let (d, n) = (24, 40);
        let (within, offsets) = (within(d, 10), made(n, d));
        let context = Context::serial();
        let found = discriminant(&within, &offsets, 1e-2, false, &context).unwrap(); // by Cholesky
        let mut whitened = offsets.clone();
        whiten_by_vectors(&within, 1e-2, &mut whitened, &context).unwrap();
        let other = squares_of_singular(&whitened, d, &context).unwrap();
        let largest = other[0];
        let pairs = found.eigenvalues.iter().zip(&other);
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() <= 1e-11 * largest));
        let found = discriminant(&within, &offsets, 1e-2, true, &context).unwrap();
        assert!((found.smallest.unwrap() - 1e-2).abs() < 1e-12);
    }

    #[test]
    fn eigenvalues_below_zero_by_rounding_count_as_zero() {
        // With the ridge, the last two are positive.
        for below in [-0.5, -0.99999e-4, -0.5e-4] {
            let within = [1.0, 0.0, 0.0, below];
            let found = discriminant(&within, &[1.0, 1.0], 1e-4, true, &Context::serial()).unwrap();
            let expected = 1.0 / 1.0001 + 1.0 / 1e-4;
            assert!((found.eigenvalues[0] - expected).abs() < 1e-9, "{below}");
            assert!((found.smallest.unwrap() - 1e-4).abs() < 1e-18);
        }
    }

    #[test]
    fn bits_do_not_depend_on_threads_and_it_stops() {
        let (d, n) = (80, 300);
        let (within, offsets) = (within(d, d), made(n, d));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let parallel = Context::new(Some(&pool), &|| false);
        let one = discriminant(&within, &offsets, 0.1, true, &Context::serial());
        assert_eq!(one, discriminant(&within, &offsets, 0.1, true, &parallel));
        let stopped = discriminant(&within, &offsets, 0.1, true, &Context::new(None, &|| true));
        assert_eq!(stopped, Err(Error::Interrupted));
    }
}
