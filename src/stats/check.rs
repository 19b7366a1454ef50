//! Consistency checks of statistics that were read from a file or given as moments: whether rows can
//! have them.
//!
//! Here are the counts, and each sum by itself (Cauchy–Schwarz); in `check_held.rs` the labels,
//! targets and classes; in `gram.rs` all sums together.

use crate::error::Result;
use crate::threads::Context;

use super::fourth::Fourth;
use super::{Precision, Second, Stats};

/// The tolerated contradiction of sums, relative to the sizes of their columns. Sums in float32 over
/// thousands of rows stay below it: each row rounds by 6e-8 of the sum so far.
pub(super) const TOLERANCE: f64 = 1e-3;

impl Stats {
    /// What no rows can have: the one place that decides it, for statistics from a file and for
    /// moments. Lengths must be right, and numbers finite but for fourth moments.
    pub(super) fn impossible(&self, context: &Context<'_>) -> Result<Option<String>> {
        if let Some(problem) = self.inconsistency()? {
            return Ok(Some(problem));
        }
        if let Some(problem) = self.negative_squares(context)? {
            return Ok(Some(problem));
        }
        for (_, stats) in self.by_class.iter().flatten() {
            if let Some(problem) = stats.impossible(context)? {
                return Ok(Some(format!("of a class on its own, {problem}")));
            }
        }
        Ok(None)
    }

    /// The first contradiction between counts, or between sums by the Cauchy–Schwarz inequality.
    fn inconsistency(&self) -> Result<Option<String>> {
        if self.is_empty() {
            return Ok(None);
        }
        let n = self.n_samples;
        if n == 0 || n > 1 << 53 || i32::try_from(self.n_features).is_err() {
            return Ok(Some(format!("{n} samples of {} features cannot be", self.n_features)));
        }
        if self.largest < 0.0 {
            return Ok(Some(format!("the largest magnitude is {}", self.largest)));
        }
        if self.check_squares(0, self.largest).is_err() {
            let (d, largest) = (self.n_features, self.largest);
            return Ok(Some(format!(
                "squares of {n} samples of {d} features up to {largest:e} overflow float64"
            )));
        }
        for check in [Self::of_second, Self::of_held, Self::of_classes] {
            if let Some(problem) = check(self)? {
                return Ok(Some(problem));
            }
        }
        Ok(None)
    }

    fn of_second(&self) -> Result<Option<String>> {
        match &self.second {
            Second::Rows { values, weights } => {
                let n_rows = weights.len();
                if n_rows == 0 || n_rows > self.n_features {
                    return Ok(Some(format!("{n_rows} rows of {} features", self.n_features)));
                }
                if let Some(weight) = weights.iter().find(|w| **w < 1.0 || w.fract() != 0.0) {
                    return Ok(Some(format!("a row has weight {weight}")));
                }
                let total: f64 = weights.iter().sum(); // of counts, exact below 2^53
                if (total - self.n_samples as f64).abs() > 0.5 {
                    return Ok(Some(format!("weights of {total} for {} samples", self.n_samples)));
                }
                if let Some(value) = values.iter().find(|value| value.abs() > self.largest) {
                    return Ok(Some(format!("a value of {value} beyond {}", self.largest)));
                }
                self.of_row_sums(values, weights)
            }
            Second::Scatter(scatter) => Ok(self.of_scatter(scatter)),
        }
    }

    /// Rounding that moving the shift may have left, relative to the largest terms of a sum.
    pub(super) fn relative_noise(&self) -> f64 {
        if self.precision == Precision::Single { 1e-4 } else { 1e-9 }
    }

    /// The largest error that moving the shift and underflow may have left in a sum of squares.
    pub(super) fn noise(&self) -> f64 {
        let one = self.relative_noise() * self.largest * self.largest + f64::MIN_POSITIVE;
        self.n_samples as f64 * one
    }

    fn of_scatter(&self, scatter: &[f64]) -> Option<String> {
        let (n, d, noise) = (self.n_samples as f64, self.n_features, self.noise());
        let within = |square: f64, bound: f64| square <= bound * (1.0 + TOLERANCE);
        let square = |j: usize| scatter[j * (d + 1)];
        for j in 0..d {
            let (sum, square) = (self.sum[j], square(j));
            let largest = self.largest;
            if square < -noise || !within(square, n * largest * largest) {
                return Some(format!(
                    "scatter[{j}, {j}] is {square:e}, which {n} samples of at most {largest:e} \
                     about the shift do not have"
                ));
            }
            if !within(sum * sum, n * (square + noise)) {
                return Some(format!(
                    "sum[{j}] is {sum:e}, too much for {n} samples with squares of {square:e}"
                ));
            }
        }
        for i in 0..d {
            for j in i + 1..d {
                let product = scatter[i * d + j];
                if !within(product * product, (square(i) + noise) * (square(j) + noise)) {
                    return Some(format!(
                        "scatter[{i}, {j}] is {product:e}, too much for squares of {:e} and {:e}",
                        square(i),
                        square(j)
                    ));
                }
            }
        }
        self.of_fourth((0..d).map(square).sum())
    }

    /// Of the fourth moments of a scatter with this trace.
    fn of_fourth(&self, trace: f64) -> Option<String> {
        let (n, noise) = (self.n_samples as f64, self.noise());
        let d = self.n_features as f64;
        let (one, rounding) = (d * self.largest * self.largest, d * noise);
        // In the unit of the sums: their squares may leave the range of float64 where no other sum does.
        let unit = self.fourth.unit.max(f64::MIN_POSITIVE);
        let slack = (one / unit) * (rounding / unit) + f64::MIN_POSITIVE;
        let least = (trace / unit) * (trace / unit);
        if trace > 0.0 && least > n * (self.fourth.quartic + slack) * (1.0 + TOLERANCE) {
            let (quartic, least) = (self.fourth.in_unit(1.0), trace * trace / n);
            return Some(format!(
                "quartic is {quartic:e}, of {least:e} or more for a scatter of trace {trace:e}"
            ));
        }
        self.fourth.beyond(["quartic", "cubic"], one, [trace.max(0.0), rounding])
    }
}

impl Fourth {
    /// At least (Σ w q²)^½, also where Σ w q² was too small for float64.
    pub(super) fn root(&self) -> f64 {
        self.unit.mul_add(self.quartic.max(0.0).sqrt(), f64::MIN_POSITIVE.sqrt())
    }

    /// The first sum that is too large for ‖x − s‖² of at most `one`, which add up to `total` within
    /// `noise`; that much Σ w q² may be below zero where the shift was moved. Bounds are in the unit
    /// of the sums; one that overflows is no bound.
    pub(super) fn beyond(
        &self,
        names: [&str; 2],
        one: f64,
        [total, noise]: [f64; 2],
    ) -> Option<String> {
        let total = total + noise;
        let ([quartic, cubic], unit) = (names, self.unit);
        if unit < 0.0 || (unit == 0.0 && self.quartic != 0.0) {
            return Some(format!("{quartic} has the unit {unit}"));
        }
        let unit = unit.max(f64::MIN_POSITIVE);
        // Products of small squares underflow.
        let most = (one / unit) * (total / unit) * (1.0 + TOLERANCE) + f64::MIN_POSITIVE;
        if !most.is_finite() {
            return None;
        }
        let least = -(one / unit) * (noise / unit) - f64::MIN_POSITIVE;
        if !(least..=most).contains(&self.quartic) {
            let most = most * unit * unit;
            return Some(format!("{quartic} is {:e}, of at most {most:e}", self.in_unit(1.0)));
        }
        let most = one.sqrt() * (total / unit) * (1.0 + TOLERANCE);
        let beyond = |sum: &f64| sum.is_nan() || sum.abs() > most;
        let j = self.cubic.iter().position(beyond)?;
        let (sum, most) = (self.cubic[j] * unit, most * unit);
        Some(format!("{cubic}[{j}] is {sum:e}, of at most {most:e}"))
    }
}
