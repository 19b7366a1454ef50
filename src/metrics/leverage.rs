//! Solves with T + λI, for T tridiagonal: vᵀ(T + λI)⁻¹v for many vectors at a time.
//!
//! T + λI = L diag(d) Lᵀ with L unit lower bidiagonal; with f = L⁻¹v, vᵀ(T + λI)⁻¹v = Σ fₖ²/dₖ, a sum of
//! positive terms. O(order) a vector.

use crate::error::Result;
use crate::linalg::blas::scale;
use crate::linalg::lapack::{TridiagonalForm, zeros};
use crate::threads::Context;

use super::centred::chunks;

/// Rows that are rotated at a time.
const ROWS: usize = 128;

/// The factors of T + λI.
pub(super) struct Shifted {
    /// 1/dₖ, (order,).
    inverse: Vec<f64>,
    /// The entries of L beside its diagonal, (order − 1,).
    below: Vec<f64>,
}

impl Shifted {
    /// None where T + λI is not positive definite, or λ is below the noise in the eigenvalues of T,
    /// which is relative to the largest.
    pub(super) fn new(form: &TridiagonalForm, shift: f64, noise: f64) -> Option<Self> {
        if shift <= noise * form.largest_row() {
            return None;
        }
        let (mut inverse, mut below) = (Vec::new(), Vec::new());
        let mut carried = 0.0;
        for (i, diagonal) in form.diagonal.iter().enumerate() {
            let pivot = diagonal + shift - carried;
            if pivot.is_nan() || pivot <= 0.0 {
                return None;
            }
            inverse.push(1.0 / pivot);
            if i + 1 < form.order() {
                below.push(form.off_diagonal[i] / pivot);
                carried = form.off_diagonal[i] * below[i];
            }
        }
        Some(Self { inverse, below })
    }

    /// (T + λI)⁻¹ v in place.
    pub(super) fn solve(&self, v: &mut [f64]) {
        for i in 1..v.len() {
            v[i] -= self.below[i - 1] * v[i - 1];
        }
        v.iter_mut().zip(&self.inverse).for_each(|(v, inverse)| *v *= inverse);
        for i in (1..v.len()).rev() {
            v[i - 1] -= self.below[i - 1] * v[i];
        }
    }

    /// The diagonal of (T + λI)⁻¹, (order,).
    fn inverse_diagonal(&self) -> Vec<f64> {
        let mut diagonal = self.inverse.clone();
        for i in (1..diagonal.len()).rev() {
            diagonal[i - 1] += self.below[i - 1].powi(2) * diagonal[i];
        }
        diagonal
    }

    /// vᵀ(T + λI)⁻¹v for each column v of `vectors`, (order, n) row-major, into `out` (n,).
    pub(super) fn squares(&self, vectors: &[f64], forward: &mut [f64], out: &mut [f64]) {
        let n = out.len();
        out.fill(0.0);
        forward.fill(0.0);
        for (k, row) in vectors.chunks_exact(n).enumerate() {
            let below = if k > 0 { self.below[k - 1] } else { 0.0 };
            let inverse = self.inverse[k];
            for ((f, v), out) in forward.iter_mut().zip(row).zip(out.iter_mut()) {
                *f = v - below * *f;
                *out += *f * *f * inverse;
            }
        }
    }
}

/// An upper triangle U, (order, order), with zᵀUz = Σ wₖ zᵀ(S + λₖI)⁻¹z, for T = QᵀSQ and pairs of T + λₖI
/// and wₖ. One matrix for all λₖ, so that z need not be rotated, and costs the same for any number.
pub(super) fn weighted_inverse(
    form: &TridiagonalForm,
    terms: &[(&Shifted, f64)],
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    let order = form.order();
    let diagonals: Vec<Vec<f64>> = terms.iter().map(|(one, _)| one.inverse_diagonal()).collect();
    let mut half = zeros::<f64>(order * order, "the sum of inverses")?;
    let in_parts = |matrix: &mut [f64], each: &(dyn Fn(usize, &mut [f64]) + Sync)| {
        let mut parts: Vec<&mut [f64]> = matrix.chunks_mut(ROWS * order).collect();
        context.for_each_mut(&mut parts, |part, rows| {
            for (j, row) in rows.chunks_exact_mut(order).enumerate() {
                each(part * ROWS + j, row);
            }
            form.rotate_back(rows)
        })
    };
    // Left of its diagonal x, row j of an inverse is x, −ℓx, ℓ²x, … ; half of x belongs to each side.
    in_parts(&mut half, &|j, row| {
        for ((one, weight), diagonal) in terms.iter().zip(&diagonals) {
            let mut value = weight * diagonal[j];
            row[j] += value / 2.0;
            for i in (0..j).rev() {
                value *= -one.below[i];
                if value.abs() < f64::MIN_POSITIVE {
                    break;
                }
                row[i] += value;
            }
        }
    })?;
    let mut half = transposed(&half, order)?;
    in_parts(&mut half, &|_, _| ())?;
    for i in 0..order {
        for j in i + 1..order {
            half[i * order + j] += half[j * order + i];
        }
    }
    scale(2.0, &mut half);
    Ok(half)
}

/// (n, order) as (order, n), in blocks that stay in cache.
pub(super) fn transposed(matrix: &[f64], order: usize) -> Result<Vec<f64>> {
    const BLOCK: usize = 32;
    let n = matrix.len() / order;
    let mut result = zeros::<f64>(matrix.len(), "a panel of rows")?;
    for columns in chunks(order, BLOCK) {
        for j in 0..n {
            for k in columns.clone() {
                result[k * n + j] = matrix[j * order + k];
            }
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_those_of_the_solution() {
        let form = TridiagonalForm::reduce(vec![2.0, 0.5, 0.3, 0.0, 1.0, 0.2, 0.0, 0.0, 3.0], 3);
        let form = form.unwrap();
        let shifted = Shifted::new(&form, 0.7, 1e-14).unwrap();
        let v = [1.0, -2.0, 0.5];
        let mut solved = v;
        shifted.solve(&mut solved);
        let expected: f64 = v.iter().zip(&solved).map(|(a, b)| a * b).sum();
        let (mut forward, mut out) = ([0.0], [0.0]);
        shifted.squares(&v, &mut forward, &mut out);
        assert!((out[0] - expected).abs() < 1e-14);
        assert!(Shifted::new(&form, 1e-20, 1e-14).is_none());
    }

    #[test]
    fn one_matrix_serves_all_shifts() {
        let (order, scatter) = (3, vec![2.0, 0.5, 0.3, 0.0, 1.0, 0.2, 0.0, 0.0, 3.0]);
        let form = TridiagonalForm::reduce(scatter, order).unwrap();
        let shifted = [0.7, 5.0, 1e200].map(|t| Shifted::new(&form, t, 1e-14).unwrap());
        let terms: Vec<(&Shifted, f64)> = shifted.iter().zip([2.0, 0.5, 3.0]).collect();
        let found = weighted_inverse(&form, &terms, &Context::serial()).unwrap();
        let z = [1.0, -2.0, 0.5];
        let mut rotated = z;
        form.rotate(&mut rotated).unwrap();
        let (mut forward, mut out, mut expected) = ([0.0], [0.0], 0.0);
        for (one, weight) in &terms {
            one.squares(&rotated, &mut forward, &mut out);
            expected += weight * out[0];
        }
        let mut value = 0.0;
        for i in 0..order {
            for j in i..order {
                value += z[i] * found[i * order + j] * z[j];
            }
        }
        assert!((value - expected).abs() < 1e-14);
    }
}
