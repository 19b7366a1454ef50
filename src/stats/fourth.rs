//! Fourth moments of the features, for shrinkage that is estimated from them.
//!
//! With q = ‖x − s‖², rows held as a scatter keep Σ w q (x − s) and Σ w q². Moving the shift by −d, so
//! that x − s grows by d, with S = Σ w (x − s)(x − s)ᵀ and c = Σ w (x − s):
//!
//!   Σ w q'        = tr S + 2 d·c + n d·d
//!   Σ w q' (x−s') = Σ w q (x − s) + 2 S d + (d·d) c + d Σ w q'
//!   Σ w q'²       = Σ w q² + 4 d·Σ w q (x − s) + 4 dᵀSd + 2 (d·d) tr S + 4 (d·d) d·c + n (d·d)²

use crate::linalg::blas::{axpy, dot};

use super::lanes::{add_scaled, sum_of_squares};
use super::{Second, Stats};

/// Σ w q (x − s), (D,), and Σ w q²; nothing while rows are held.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fourth {
    pub(super) cubic: Vec<f64>,
    pub(super) quartic: f64,
}

impl Fourth {
    pub(super) fn new(n_features: usize) -> Self {
        Self { cubic: vec![0.0; n_features], quartic: 0.0 }
    }

    pub(super) fn reset(&mut self) {
        self.cubic.fill(0.0);
        self.quartic = 0.0;
    }

    pub(super) fn add_row(&mut self, weight: f64, x: &[f64]) {
        let q = sum_of_squares(x);
        add_scaled(weight * q, x, &mut self.cubic);
        self.quartic += weight * q * q;
    }

    pub(super) fn add(&mut self, other: &Self) {
        axpy(1.0, &other.cubic, &mut self.cubic);
        self.quartic += other.quartic;
    }

    pub(super) fn n_numbers(&self) -> usize {
        self.cubic.len()
    }

    /// About another shift: x − s grows by d; `sum` is c and `scatter` S, both about the old one.
    pub(super) fn moved(&self, d: &[f64], sum: &[f64], scatter: &[f64], n_samples: f64) -> Self {
        let order = d.len();
        let mut s_d = vec![0.0; order];
        for (i, row) in scatter.chunks_exact(order).enumerate() {
            s_d[i] += dot(&row[i..], &d[i..]);
            axpy(d[i], &row[i + 1..], &mut s_d[i + 1..]);
        }
        let trace: f64 = scatter.iter().step_by(order + 1).sum();
        let (d_d, d_c) = (dot(d, d), dot(d, sum));
        let square = trace + 2.0 * d_c + n_samples * d_d;
        let quartic = self.quartic
            + 4.0 * (dot(d, &self.cubic) + dot(d, &s_d) + d_d * d_c)
            + 2.0 * d_d * trace
            + n_samples * d_d * d_d;
        let mut cubic = self.cubic.clone();
        axpy(2.0, &s_d, &mut cubic);
        axpy(d_d, sum, &mut cubic);
        axpy(square, d, &mut cubic);
        Self { cubic, quartic }
    }
}

impl Stats {
    /// Σ w ‖x − μ‖⁴.
    #[must_use]
    pub fn fourth_moment(&self) -> f64 {
        self.centred_fourth().1
    }

    /// Σ w q (x − μ), (D,), and Σ w q², for q = ‖x − μ‖².
    pub(crate) fn centred_fourth(&self) -> (Vec<f64>, f64) {
        let offset = self.mean_about_shift();
        let d: Vec<f64> = offset.iter().map(|offset| -offset).collect();
        let fourth = match &self.second {
            Second::Rows { values, weights } => {
                let (mut fourth, mut row) = (Fourth::new(d.len()), d.clone());
                for (values, weight) in values.chunks_exact(d.len().max(1)).zip(weights) {
                    row.copy_from_slice(values);
                    axpy(1.0, &d, &mut row);
                    fourth.add_row(*weight, &row);
                }
                fourth
            }
            Second::Scatter(scatter) => {
                self.fourth.moved(&d, &self.sum, scatter, self.n_samples as f64)
            }
        };
        (fourth.cubic, fourth.quartic)
    }
}
