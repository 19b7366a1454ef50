//! The spread of a scatter as SFDA's authors estimate it.
//!
//! Power iteration for the largest eigenvalue: from x = A1 (the sums of the rows of A), three times
//! y = Ax/|Ax|, x = Ay/|Ay|; then xᵀAy, which is |Ay|. Where A1 is only rounding (rows that sum to
//! zero, as after layer norm) that result would be arbitrary, and the largest eigenvalue itself is
//! returned.

use crate::error::Result;
use crate::linalg::blas::{dot, scale, symmetric_times};
use crate::linalg::lapack::TridiagonalForm;
use crate::linalg::memory::copied;
use crate::threads::Context;

use super::VECTOR;

const STEPS: usize = 3;
/// |A1| below this fraction of |A| is rounding.
const NOISE: f64 = 1e-12;

/// The spread of A, upper triangle, from `start` = A1.
pub(super) fn spread(matrix: &[f64], start: &[f64], context: &Context<'_>) -> Result<f64> {
    let order = start.len();
    let mut square = 0.0;
    for (i, row) in matrix.chunks_exact(order.max(1)).enumerate() {
        square += 2.0 * dot(&row[i..], &row[i..]) - row[i] * row[i];
    }
    if dot(start, start).sqrt() <= NOISE * square.sqrt() {
        return largest_eigenvalue(matrix, order, context);
    }
    let unit = |mut v: Vec<f64>| {
        let length = dot(&v, &v).sqrt();
        scale(1.0 / length, &mut v);
        v
    };
    let mut x = unit(copied(start, VECTOR)?);
    let mut y = copied(&x, VECTOR)?;
    for _ in 0..STEPS {
        y = unit(symmetric_times(matrix, &x, VECTOR)?);
        x = unit(symmetric_times(matrix, &y, VECTOR)?);
    }
    Ok(dot(&x, &symmetric_times(matrix, &y, VECTOR)?))
}

/// The largest eigenvalue, by bisection with Sturm counts.
fn largest_eigenvalue(matrix: &[f64], order: usize, context: &Context<'_>) -> Result<f64> {
    let form = TridiagonalForm::reduce(copied(matrix, "a copy of a scatter")?, order, context)?;
    let (mut low, mut high) = (0.0, form.largest_row());
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if form.count_below(middle) == order { high = middle } else { low = middle }
    }
    Ok(high)
}

#[cfg(test)]
mod tests {
    use super::spread;
    use crate::threads::Context;

    #[test]
    fn the_spread_of_a_multiple_of_one_is_that_multiple() {
        let matrix = [3.0, 0.0, 0.0, 3.0];
        assert!((spread(&matrix, &[3.0, 3.0], &Context::serial()).unwrap() - 3.0).abs() < 1e-15);
    }

    #[test]
    fn rows_that_sum_to_zero_give_the_largest_eigenvalue() {
        let matrix = [2.0, -2.0, 0.0, 2.0]; // eigenvalues 0 and 4
        assert!((spread(&matrix, &[0.0, 0.0], &Context::serial()).unwrap() - 4.0).abs() < 1e-14);
    }
}
