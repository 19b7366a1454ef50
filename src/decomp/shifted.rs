//! The LDLᵀ factorisation of T + tI for a tridiagonal T, and solves of O(order) a vector.
//!
//! T + tI = L diag(d) Lᵀ with L unit lower bidiagonal:
//!
//!   dₖ = Tₖₖ + t − ℓₖ₋₁ Tₖ,ₖ₋₁,    ℓₖ = Tₖ₊₁,ₖ / dₖ
//!
//! `metrics/logme/sweeps.rs` factorises at several t side by side and multiplies by 1/dₖ instead of
//! dividing by dₖ, which rounds differently.

use crate::error::Result;
use crate::linalg::blas::scale;
use crate::linalg::lapack::TridiagonalForm;
use crate::linalg::memory::{copied, reserved};

const WHAT: &str = "the factors of a tridiagonal form";

/// The factors of T + tI.
pub(crate) struct Shifted {
    /// 1/dₖ, (order,).
    inverse: Vec<f64>,
    /// ℓₖ, the entries of L below its diagonal, (order − 1,).
    pub(crate) below: Vec<f64>,
}

impl Shifted {
    /// Factorise T + tI. None where it is not positive definite in floating point, or where t is
    /// at most `noise` times the largest eigenvalue.
    pub(crate) fn new(form: &TridiagonalForm, t: f64, noise: f64) -> Result<Option<Self>> {
        if t <= noise * form.largest_row() {
            return Ok(None);
        }
        let order = form.order();
        let (mut inverse, mut below) = (reserved(order, WHAT)?, reserved(order, WHAT)?);
        let mut carried = 0.0;
        for (k, diagonal) in form.diagonal.iter().enumerate() {
            let pivot = diagonal + t - carried;
            if pivot.is_nan() || pivot <= 0.0 {
                return Ok(None);
            }
            inverse.push(1.0 / pivot);
            if let Some(off) = form.off_diagonal.get(k) {
                below.push(off / pivot);
                carried = off * below[k];
            }
        }
        Ok(Some(Self { inverse, below }))
    }

    /// Replace v by (T + tI)⁻¹v.
    pub(crate) fn solve(&self, v: &mut [f64]) {
        self.forward(v);
        v.iter_mut().zip(&self.inverse).for_each(|(v, inverse)| *v *= inverse);
        self.backward(v);
    }

    /// Replace v by L⁻¹v.
    fn forward(&self, v: &mut [f64]) {
        for k in 1..v.len() {
            v[k] -= self.below[k - 1] * v[k - 1];
        }
    }

    /// Replace v by L⁻ᵀv.
    fn backward(&self, v: &mut [f64]) {
        for k in (1..v.len()).rev() {
            v[k - 1] -= self.below[k - 1] * v[k];
        }
    }

    /// Return vᵀa and |t a|² for a = (T + tI)⁻¹v. (a is of the size of 1/t: its square may overflow.)
    pub(super) fn product_and_square(&self, v: &[f64], t: f64) -> Result<(f64, f64)> {
        let mut a = copied(v, WHAT)?;
        self.forward(&mut a);
        let mut product = 0.0;
        for (a, inverse) in a.iter_mut().zip(&self.inverse) {
            product += *a * (*a * inverse);
            *a *= inverse;
        }
        self.backward(&mut a);
        Ok((product, a.iter().rev().map(|a| (t * a) * (t * a)).sum()))
    }

    /// The diagonal of (T + tI)⁻¹, (order,).
    pub(crate) fn inverse_diagonal(&self) -> Result<Vec<f64>> {
        let mut diagonal = copied(&self.inverse, WHAT)?;
        for k in (1..diagonal.len()).rev() {
            diagonal[k - 1] += self.below[k - 1].powi(2) * diagonal[k];
        }
        Ok(diagonal)
    }

    /// Replace each column v of `vectors`, (order, n) row-major, by d^(−½) L⁻¹v: products of the results
    /// are those of (T + tI)⁻¹.
    pub(crate) fn whiten(&self, vectors: &mut [f64], n: usize) {
        for k in 1..self.inverse.len() {
            let (before, row) = vectors[(k - 1) * n..(k + 1) * n].split_at_mut(n);
            row.iter_mut().zip(&*before).for_each(|(v, f)| *v -= self.below[k - 1] * f);
        }
        for (row, inverse) in vectors.chunks_exact_mut(n).zip(&self.inverse) {
            let root = inverse.sqrt();
            scale(root, row);
        }
    }

    /// Write vᵀ(T + tI)⁻¹v = Σ fₖ²/dₖ with f = L⁻¹v, a sum of positive terms, to `out` (n,), for each
    /// column v of `vectors`, (order, n) row-major; `forward` (n,) is scratch memory.
    pub(crate) fn squares(&self, vectors: &[f64], forward: &mut [f64], out: &mut [f64]) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::Context;

    /// T of order 3 with T + 0.7 I = [[2.7, …]]; its solves are checked by multiplying back.
    fn form() -> TridiagonalForm {
        let matrix = vec![2.0, 0.5, 0.3, 0.0, 1.0, 0.2, 0.0, 0.0, 3.0];
        TridiagonalForm::reduce(matrix, 3, &Context::serial()).unwrap()
    }

    #[test]
    fn every_solve_belongs_to_the_same_inverse() {
        let (form, t, v) = (form(), 0.7, [1.0, -2.0, 0.5]);
        let shifted = Shifted::new(&form, t, 1e-14).unwrap().unwrap();
        let mut a = v;
        shifted.solve(&mut a);
        let (d, off) = (&form.diagonal, &form.off_diagonal);
        let back = [
            (d[0] + t) * a[0] + off[0] * a[1],
            off[0] * a[0] + (d[1] + t) * a[1] + off[1] * a[2],
            off[1] * a[1] + (d[2] + t) * a[2],
        ];
        back.iter().zip(v).for_each(|(back, v)| assert!((back - v).abs() < 1e-14));
        let expected: f64 = v.iter().zip(&a).map(|(v, a)| v * a).sum();
        let (mut forward, mut out) = ([0.0], [0.0]);
        shifted.squares(&v, &mut forward, &mut out);
        assert!((out[0] - expected).abs() < 1e-14);
        let mut white = [1.0, 2.0, -2.0, 0.0, 0.5, -1.0]; // v, and another vector beside it
        shifted.whiten(&mut white, 2);
        let between: f64 = white.chunks_exact(2).map(|f| f[0] * f[1]).sum();
        let other = [2.0, 0.0, -1.0];
        let solved: f64 = other.iter().zip(&a).map(|(u, a)| u * a).sum();
        assert!((between - solved).abs() < 1e-14);
        let (product, square) = shifted.product_and_square(&v, t).unwrap();
        assert!((product - expected).abs() < 1e-14);
        assert!((square - t * t * a.iter().map(|a| a * a).sum::<f64>()).abs() < 1e-14);
        let trace: f64 = shifted.inverse_diagonal().unwrap().iter().sum();
        let units = (0..3).map(|k| {
            let mut unit = [0.0; 3];
            unit[k] = 1.0;
            shifted.solve(&mut unit);
            unit[k]
        });
        assert!((trace - units.sum::<f64>()).abs() < 1e-14);
    }

    #[test]
    fn shifts_below_the_noise_or_the_spectrum_have_no_factors() {
        assert!(Shifted::new(&form(), 1e-20, 1e-14).unwrap().is_none());
        let matrix = vec![1.0, 2.0, 0.0, 1.0]; // eigenvalues −1 and 3
        let indefinite = TridiagonalForm::reduce(matrix, 2, &Context::serial()).unwrap();
        assert!(Shifted::new(&indefinite, 0.9, 0.0).unwrap().is_none());
        assert!(Shifted::new(&indefinite, 1.1, 0.0).unwrap().is_some());
    }
}
