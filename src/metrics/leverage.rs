//! A weighted sum of inverses (S + λₖI)⁻¹ as one matrix, for the leverages of many rows.

use crate::decomp::Shifted;
use crate::error::Result;
use crate::linalg::blas::scale;
use crate::linalg::lapack::TridiagonalForm;
use crate::linalg::memory::{Gather, zeros};
use crate::threads::Context;

/// Rows that are rotated at a time.
const ROWS: usize = 128;

/// An upper triangle U, (order, order), with zᵀUz = Σ wₖ zᵀ(S + λₖI)⁻¹z, for T = QᵀSQ and pairs of
/// T + λₖI and wₖ. With one matrix for all λₖ, z is not rotated, and the cost for z does not depend
/// on their number.
pub(super) fn weighted_inverse(
    form: &TridiagonalForm,
    terms: &[(&Shifted, f64)],
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    let order = form.order();
    let diagonals = terms.iter().map(|(one, _)| one.inverse_diagonal());
    let diagonals = diagonals.gathered_ok("the sum of inverses")?;
    let mut half = zeros::<f64>(order * order, "the sum of inverses")?;
    let in_parts = |matrix: &mut [f64], each: &(dyn Fn(usize, &mut [f64]) + Sync)| {
        context.for_each_chunk(matrix, ROWS * order, |part, rows| {
            for (j, row) in rows.chunks_exact_mut(order).enumerate() {
                each(part * ROWS + j, row);
            }
            form.rotate_back(rows, context)
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
    for start in (0..order).step_by(BLOCK) {
        let columns = start..order.min(start + BLOCK);
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
    fn one_matrix_serves_all_shifts() {
        let (order, scatter) = (3, vec![2.0, 0.5, 0.3, 0.0, 1.0, 0.2, 0.0, 0.0, 3.0]);
        let form = TridiagonalForm::reduce(scatter, order, &Context::serial()).unwrap();
        let shifted = [0.7, 5.0, 1e200].map(|t| Shifted::new(&form, t, 1e-14).unwrap().unwrap());
        let terms: Vec<(&Shifted, f64)> = shifted.iter().zip([2.0, 0.5, 3.0]).collect();
        let found = weighted_inverse(&form, &terms, &Context::serial()).unwrap();
        let z = [1.0, -2.0, 0.5];
        let mut rotated = z;
        form.rotate(&mut rotated, &Context::serial()).unwrap();
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
