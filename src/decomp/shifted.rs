//! One shift of the tridiagonal form: an LDLᵀ factorisation, and solves of O(order) a vector.

use crate::linalg::lapack::TridiagonalForm;

/// T + tI = L P Lᵀ.
pub(super) struct Shifted {
    /// 1/pivot.
    inverse: Vec<f64>,
    /// Below the diagonal of L, at the row above it.
    multiplier: Vec<f64>,
}

impl Shifted {
    /// None where t is too small for T + tI to be positive definite in floating point.
    pub(super) fn new(form: &TridiagonalForm, t: f64) -> Option<Self> {
        let order = form.order();
        let (mut inverse, mut multiplier) = (Vec::with_capacity(order), Vec::with_capacity(order));
        let mut carried = 0.0;
        for (i, diagonal) in form.diagonal.iter().enumerate() {
            let off = form.off_diagonal.get(i).copied().unwrap_or(0.0);
            let pivot = diagonal + t - carried;
            if pivot <= 0.0 {
                return None;
            }
            inverse.push(1.0 / pivot);
            multiplier.push(off / pivot);
            carried = off * (off / pivot);
        }
        Some(Self { inverse, multiplier })
    }

    /// vᵀa and |t a|² for a = (T + tI)⁻¹v; a itself is of the size of 1/t, and its square may not
    /// be a number.
    pub(super) fn solve(&self, vector: &[f64], t: f64) -> (f64, f64) {
        let (mut solved, mut y, mut below) = (Vec::with_capacity(vector.len()), 0.0, 0.0);
        let mut product = 0.0;
        for ((value, multiplier), inverse) in vector.iter().zip(&self.multiplier).zip(&self.inverse)
        {
            y = value - below * y;
            product += y * (y * inverse);
            solved.push(y);
            below = *multiplier;
        }
        let (mut a, mut square) = (0.0, 0.0);
        let rows = solved.iter().zip(&self.multiplier).zip(&self.inverse);
        for ((y, multiplier), inverse) in rows.rev() {
            a = y * inverse - multiplier * a;
            square += (t * a) * (t * a);
        }
        (product, square)
    }
}
