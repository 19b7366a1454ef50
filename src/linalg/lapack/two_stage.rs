//! The tridiagonal form of a symmetric matrix in two stages: to a band, and from there by chasing
//! bulges.
//!
//! `?sytrd` reads the matrix from memory for every column, because half of its work is products with
//! single vectors. Here this half, too, is products of matrices; the second stage stays in cache.
//! Every vector that is taken to T's basis passes through two sets of reflectors instead of one.

use crate::error::Result;
use crate::threads::Context;

use super::tiles::WIDTH;
pub(super) use super::tiles::has_registers;
use super::{band, bulge, sweeps};

/// The reflectors of both stages.
pub(super) struct TwoStage {
    /// (order, order): those of the first stage below the band, those of the second above the
    /// diagonal of the column-major matrix.
    reflectors: Vec<f64>,
    /// The triangular factors of the first stage.
    factors: Vec<f64>,
    order: usize,
}

impl TwoStage {
    /// Reduces the matrix whose column-major lower triangle is given; returns the diagonal of T and
    /// what is beside it.
    pub(super) fn reduce(
        mut matrix: Vec<f64>,
        order: usize,
        context: &Context<'_>,
    ) -> Result<(Vec<f64>, Vec<f64>, Self)> {
        let factors = band::reduce(&mut matrix, order, context)?;
        let band = bulge::Band::<WIDTH>::new(&matrix, order)?;
        let (diagonal, below) = band.reduce(&mut matrix, context)?;
        Ok((diagonal, below, Self { reflectors: matrix, factors, order }))
    }

    /// Replaces every vector v by Qᵀv, or by Qv where `back`.
    pub(super) fn rotate(
        &self,
        vectors: &mut [f64],
        back: bool,
        context: &Context<'_>,
    ) -> Result<()> {
        let sizes = (self.order, WIDTH);
        let first = |vectors: &mut [f64]| {
            band::rotate((&self.reflectors, &self.factors), self.order, vectors, back, context)
        };
        if back {
            sweeps::rotate(&self.reflectors, sizes, vectors, back, context)?;
            first(vectors)
        } else {
            first(vectors)?;
            sweeps::rotate(&self.reflectors, sizes, vectors, back, context)
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact values
mod tests {
    use super::super::TridiagonalForm;
    use super::*;
    use crate::error::Error;
    use crate::linalg::blas::{product_into, transposed_product_add};

    const ORDERS: [usize; 11] = [1, 2, 3, 31, 32, 33, 34, 63, 65, 66, 100];

    /// Reproducible numbers in [-1, 1).
    fn numbers(count: usize) -> Vec<f64> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// XᵀX for X (rows, n) with scaled columns.
    fn scatter(rows: usize, n: usize, scale: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut x = numbers(rows * n);
        for row in x.chunks_exact_mut(n) {
            row.iter_mut().enumerate().for_each(|(j, x)| *x *= scale(j));
        }
        let mut s = vec![0.0; n * n];
        transposed_product_add(&x, &x, &mut s, n, n);
        s
    }

    /// Symmetric matrices of order n, each with its name.
    fn matrices(n: usize) -> Vec<(&'static str, Vec<f64>)> {
        let identity = |size: f64| {
            let mut matrix = vec![0.0; n * n];
            matrix.iter_mut().step_by(n + 1).for_each(|one| *one = size);
            matrix
        };
        let graded = |j: usize| 10_f64.powf(-200.0 + 300.0 * j as f64 / n as f64);
        let mut indefinite = numbers(n * n);
        for i in 0..n {
            for j in 0..i {
                indefinite[i * n + j] = indefinite[j * n + i];
            }
        }
        let tiny: Vec<f64> = indefinite.iter().map(|x| x * 1e-300).collect();
        let huge: Vec<f64> = indefinite.iter().map(|x| x * 1e290).collect();
        vec![
            ("zeros", vec![0.0; n * n]),
            ("the identity", identity(1.0)),
            ("a small multiple of the identity", identity(1e-200)),
            ("ones", vec![1.0; n * n]),
            ("a scatter", scatter(2 * n, n, |_| 1.0)),
            ("rank one", scatter(1, n, |_| 1.0)),
            ("half the rank", scatter(n.div_ceil(2), n, |_| 1.0)),
            ("columns from 1e-200 to 1e100", scatter(2 * n, n, graded)),
            ("columns from 1e100 to 1e-200", scatter(2 * n, n, |j| graded(n - 1 - j))),
            ("some columns constant", scatter(2 * n, n, |j| f64::from(j % 3 != 0))),
            ("the last columns constant", scatter(2 * n, n, |j| f64::from(2 * j < n))),
            ("indefinite", indefinite),
            ("near the smallest numbers", tiny),
            ("near the largest numbers", huge),
        ]
    }

    fn reduce(matrix: &[f64], n: usize, context: &Context<'_>) -> TridiagonalForm {
        TridiagonalForm::reduce_in_two_stages(matrix.to_vec(), n, context).unwrap()
    }

    /// The largest magnitude.
    fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
        values
            .into_iter()
            .fold(0.0, |largest: f64, x| if x.abs() <= largest { largest } else { x.abs() })
    }

    /// The columns of Q, one after the other.
    fn basis(form: &TridiagonalForm, n: usize) -> Vec<f64> {
        let mut columns = vec![0.0; n * n];
        columns.iter_mut().step_by(n + 1).for_each(|one| *one = 1.0);
        form.rotate_back(&mut columns, &Context::serial()).unwrap();
        columns
    }

    #[test]
    fn the_basis_is_orthonormal_and_takes_the_matrix_to_its_form() {
        let of_order = |n| matrices(n).into_iter().map(move |(name, matrix)| (n, name, matrix));
        let large = [
            ("a scatter", scatter(800, 777, |_| 1.0)),
            ("half the rank", scatter(400, 777, |_| 1.0)),
        ];
        let large = large.into_iter().map(|(name, matrix)| (777, name, matrix));
        for (n, name, matrix) in ORDERS.into_iter().flat_map(of_order).chain(large) {
            // Rounding of products of n numbers, each of which went through two sets of reflectors.
            let tolerance = 4.0 * f64::EPSILON * (n as f64).sqrt().max(8.0);
            let form = reduce(&matrix, n, &Context::serial());
            let columns = basis(&form, n);
            let rows: Vec<f64> = (0..n * n).map(|i| columns[i % n * n + i / n]).collect();
            let mut products = vec![0.0; n * n];
            product_into(&columns, &rows, &mut products, n, n);
            products.iter_mut().step_by(n + 1).for_each(|one| *one -= 1.0);
            let error = largest(products);
            assert!(error <= tolerance, "{name}, {n}: |QᵀQ − I| = {error:e}");

            let mut back = columns.clone();
            form.rotate(&mut back, &Context::serial()).unwrap();
            back.iter_mut().step_by(n + 1).for_each(|one| *one -= 1.0);
            let error = largest(back);
            assert!(error <= tolerance, "{name}, {n}: |QᵀQ − I| by reflectors = {error:e}");

            // Of the matrix over its norm, so that products stay in the range of numbers.
            let size = form.largest_row();
            let unit = if size > 0.0 { size } else { 1.0 };
            let scaled: Vec<f64> = matrix.iter().map(|x| x / unit).collect();
            let (mut half, mut found) = (vec![0.0; n * n], vec![0.0; n * n]);
            product_into(&columns, &scaled, &mut half, n, n);
            product_into(&half, &rows, &mut found, n, n);
            for i in 0..n {
                found[i * (n + 1)] -= form.diagonal[i] / unit;
                if i + 1 < n {
                    found[i * (n + 1) + 1] -= form.off_diagonal[i] / unit;
                    found[i * (n + 1) + n] -= form.off_diagonal[i] / unit;
                }
            }
            let error = largest(found);
            assert!(error <= tolerance, "{name}, {n}: |QᵀAQ − T| = {error:e} |A|");
        }
    }

    #[test]
    fn eigenvalues_are_those_of_one_stage() {
        for n in [65, 300] {
            for (name, matrix) in matrices(n) {
                let one = TridiagonalForm::reduce(matrix.clone(), n, &Context::serial()).unwrap();
                let two = reduce(&matrix, n, &Context::serial());
                let (one, two) = (one.eigenvalues().unwrap(), two.eigenvalues().unwrap());
                let size = largest(one.iter().copied());
                let error = largest(one.iter().zip(&two).map(|(one, two)| one - two));
                // The backward error of either is at most of the order of n roundings of |A|.
                let bound = n as f64 * f64::EPSILON * size;
                assert!(error <= bound, "{name}, {n}: {error:e} of {size:e}");
            }
        }
    }

    #[test]
    fn vectors_do_not_depend_on_those_beside_them_or_on_threads() {
        let n = 300;
        let matrix = scatter(2 * n, n, |_| 1.0);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let parallel = Context::new(Some(&pool), &|| false);
        let form = reduce(&matrix, n, &Context::serial());
        for _ in 0..10 {
            let other = reduce(&matrix, n, &parallel);
            assert_eq!(form.diagonal, other.diagonal);
            assert_eq!(form.off_diagonal, other.off_diagonal);
            let mut vectors = numbers(101 * n);
            let mut same = vectors.clone();
            form.rotate(&mut vectors, &Context::serial()).unwrap();
            other.rotate(&mut same, &Context::serial()).unwrap();
            assert_eq!(vectors, same);
        }
        for count in [1, 8, 9, 16, 17, 32, 33, 101] {
            let vectors = numbers(count * n);
            let mut together = vectors.clone();
            form.rotate(&mut together, &Context::serial()).unwrap();
            for (vector, together) in vectors.chunks_exact(n).zip(together.chunks_exact(n)) {
                let mut alone = vector.to_vec();
                form.rotate(&mut alone, &Context::serial()).unwrap();
                let error = largest(alone.iter().zip(together).map(|(a, b)| a - b));
                assert!(error <= 1e-13, "{count}: {error:e}");
            }
        }
    }

    #[test]
    fn the_largest_eigenvectors_are_in_the_basis_of_the_matrix() {
        let n = 200;
        let matrix = scatter(2 * n, n, |j| (j + 1) as f64);
        let form = reduce(&matrix, n, &Context::serial());
        let (values, vectors) = form.largest(3, &Context::serial()).unwrap();
        for (value, vector) in values.iter().zip(vectors.chunks_exact(n)) {
            let mut product = vec![0.0; n];
            product_into(&matrix, vector, &mut product, n, 1);
            let error = largest(product.iter().zip(vector).map(|(p, v)| p - value * v));
            assert!(error <= 1e-13 * values[0], "{error:e} of {:e}", values[0]);
        }
    }

    #[test]
    fn a_reduction_stops_when_asked() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let n = 300;
        let matrix = scatter(2 * n, n, |_| 1.0);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let count = |limit: usize, pool: Option<&rayon::ThreadPool>| {
            let asked = AtomicUsize::new(0);
            let stop = || asked.fetch_add(1, Ordering::Relaxed) >= limit;
            let context = Context::new(pool, &stop);
            let result = TridiagonalForm::reduce_in_two_stages(matrix.clone(), n, &context);
            (result.map(|_| ()), asked.load(Ordering::Relaxed))
        };
        let (result, asked) = count(usize::MAX, None);
        assert_eq!(result, Ok(()));
        for limit in 0..asked {
            assert_eq!(count(limit, None), (Err(Error::Interrupted), limit + 1));
            assert_eq!(count(limit, Some(&pool)).0, Err(Error::Interrupted));
        }
    }
}
