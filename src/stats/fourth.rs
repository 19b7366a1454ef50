//! Fourth moments of the features, for shrinkage that is estimated from them.
//!
//! With q = ‖x − s‖², rows held as a scatter keep Σ w q (x − s) and Σ w q². They are held in units of a
//! power of two near the first q, or near a later one that is far larger, so that they stay in the range
//! of float64 wherever squares do.
//! Moving the shift by −d, so that x − s grows by d, with S = Σ w (x − s)(x − s)ᵀ and
//! c = Σ w (x − s):
//!
//!   Σ w q'        = tr S + 2 d·c + n d·d
//!   Σ w q' (x−s') = Σ w q (x − s) + 2 S d + (d·d) c + d Σ w q'
//!   Σ w q'²       = Σ w q² + 4 d·Σ w q (x − s) + 4 dᵀSd + 2 (d·d) tr S + 4 (d·d) d·c + n (d·d)²

use crate::error::Result;
use crate::linalg::blas::{axpy, dot, scale, symmetric_times};
use crate::linalg::memory::{Gather, copied, zeros};

use super::lanes::{add_scaled, sum_of_squares};
use super::{Second, Stats};

const WHAT: &str = "the third moments";

/// Σ w q (x − s), (D,), and Σ w q²; nothing while rows are held.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fourth {
    /// u, a power of two; 0 while every q is 0.
    pub(super) unit: f64,
    /// Σ w (q/u) (x − s), (D,).
    pub(super) cubic: Vec<f64>,
    /// Σ w (q/u)².
    pub(super) quartic: f64,
}

/// Moments of p = ‖x − μ‖²/u about its mean.
pub(crate) struct Norms {
    /// Σ w (p − p̄)².
    pub(crate) square: f64,
    /// Σ w p², to which rounding is relative.
    pub(crate) scale: f64,
    /// Σ w p (x − μ), (D,).
    pub(crate) b: Vec<f64>,
    /// u.
    pub(crate) unit: f64,
}

/// The most that q/u may be: 2⁶⁴.
const FURTHEST: f64 = 18_446_744_073_709_551_616.0;

/// The largest power of two that is at most q, but no subnormal number; 0 for 0.
fn power_of_two(q: f64) -> f64 {
    if q > 0.0 { q.log2().floor().exp2().max(f64::MIN_POSITIVE) } else { 0.0 }
}

impl Fourth {
    pub(super) fn new(n_features: usize) -> Result<Self> {
        Ok(Self { unit: 0.0, cubic: zeros(n_features, WHAT)?, quartic: 0.0 })
    }

    pub(super) fn try_clone(&self) -> Result<Self> {
        Ok(Self { cubic: copied(&self.cubic, WHAT)?, ..*self })
    }

    /// From Σ w q (x − s) and Σ w q².
    pub(super) fn of_sums(cubic: Vec<f64>, quartic: f64) -> Self {
        Self { unit: 1.0, cubic, quartic }
    }

    /// Σ w q (x − s) and Σ w q²; either may leave the range of float64.
    pub(super) fn into_sums(mut self) -> (Vec<f64>, f64) {
        let (unit, quartic) = (self.unit, self.in_unit(1.0));
        scale(unit, &mut self.cubic);
        (self.cubic, quartic)
    }

    /// Σ w (q/`unit`)².
    pub(crate) fn in_unit(&self, unit: f64) -> f64 {
        let ratio = self.unit / unit;
        self.quartic * ratio * ratio
    }

    /// Σ w (q/`unit`) (x − s)·v/`unit`.
    pub(crate) fn along(&self, v: &[f64], unit: f64) -> f64 {
        dot(&self.cubic, v) * (self.unit / unit) / unit
    }

    pub(super) fn reset(&mut self) {
        self.unit = 0.0;
        self.cubic.fill(0.0);
        self.quartic = 0.0;
    }

    /// Adds a row x − s; returns its q.
    pub(super) fn add_row(&mut self, weight: f64, x: &[f64]) -> f64 {
        let q = sum_of_squares(x);
        if q > 0.0 {
            // Also where rows after a very small one are larger, or (q/u)² would leave float64.
            if q > self.unit * FURTHEST {
                self.set_unit(power_of_two(q));
            }
            let share = q / self.unit;
            add_scaled(weight * share, x, &mut self.cubic);
            self.quartic += weight * share * share;
        }
        q
    }

    pub(super) fn add(&mut self, other: &Self) {
        if other.unit > self.unit {
            self.set_unit(other.unit);
        }
        if other.unit > 0.0 {
            axpy(other.unit / self.unit, &other.cubic, &mut self.cubic);
            self.quartic += other.in_unit(self.unit);
        }
    }

    fn set_unit(&mut self, unit: f64) {
        let ratio = self.unit / unit;
        scale(ratio, &mut self.cubic);
        self.quartic *= ratio * ratio;
        self.unit = unit;
    }

    pub(super) fn n_numbers(&self) -> usize {
        self.cubic.len()
    }

    /// About another shift: x − s grows by d; `sum` is c and `scatter` S, both about the old one.
    pub(super) fn moved(
        &self,
        d: &[f64],
        sum: &[f64],
        scatter: &[f64],
        n_samples: f64,
    ) -> Result<Self> {
        let order = d.len();
        let trace: f64 = scatter.iter().step_by(order + 1).sum();
        let (d_d, d_c) = (dot(d, d), dot(d, sum));
        let square = trace + 2.0 * d_c + n_samples * d_d;
        let mut moved = self.try_clone()?;
        let unit = self.unit.max(power_of_two(d_d));
        if unit <= 0.0 {
            return Ok(moved);
        }
        moved.set_unit(unit);
        // In the unit from the start: S d may leave the range of float64.
        let d_unit = d.iter().map(|d| d / unit).gathered(WHAT)?;
        let s_d = symmetric_times(scatter, &d_unit, WHAT)?;
        let share = d_d / unit;
        moved.quartic += 4.0 * ((dot(d, &moved.cubic) + dot(d, &s_d)) / unit + share * d_c / unit)
            + 2.0 * share * (trace / unit)
            + n_samples * share * share;
        axpy(2.0, &s_d, &mut moved.cubic);
        axpy(share, sum, &mut moved.cubic);
        axpy(square / unit, d, &mut moved.cubic);
        Ok(moved)
    }
}

impl Stats {
    /// Σ w ‖x − μ‖⁴.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::error::Error::OutOfMemory).
    pub fn fourth_moment(&self) -> Result<f64> {
        self.fourth_moment_in(1.0)
    }

    /// Σ w (‖x − μ‖²/`unit`)².
    pub(crate) fn fourth_moment_in(&self, unit: f64) -> Result<f64> {
        Ok(self.centred_fourth()?.in_unit(unit))
    }

    /// The moments of ‖x − μ‖², in a unit of its own.
    pub(crate) fn centred_norms(&self) -> Result<Norms> {
        let Fourth { unit, cubic, quartic } = self.centred_fourth()?;
        let (n, unit) = (self.n_samples as f64, unit.max(f64::MIN_POSITIVE));
        let total = (self.square() - dot(&self.sum, &self.sum) / n) / unit;
        Ok(Norms { square: quartic - total * (total / n), scale: quartic, b: cubic, unit })
    }

    /// The fourth moments about the mean.
    pub(crate) fn centred_fourth(&self) -> Result<Fourth> {
        let mut d = self.mean_about_shift()?;
        scale(-1.0, &mut d);
        match &self.second {
            Second::Rows { values, weights } => {
                let (mut fourth, mut row) = (Fourth::new(d.len())?, zeros(d.len(), WHAT)?);
                for (values, weight) in values.chunks_exact(d.len().max(1)).zip(weights) {
                    row.copy_from_slice(values);
                    axpy(1.0, &d, &mut row);
                    fourth.add_row(*weight, &row);
                }
                Ok(fourth)
            }
            Second::Scatter(scatter) => {
                self.fourth.moved(&d, &self.sum, scatter, self.n_samples as f64)
            }
        }
    }
}
