//! Consistency checks of statistics that were read from a file or given as moments.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::input::Label;
use crate::linalg::blas::dot;
use crate::linalg::lapack::{Cholesky, scale_to_unit_diagonal};
use crate::linalg::memory::copied;

use super::joint::{Joint, Own};
use super::response::{Labels, Targets};
use super::{Held, Precision, Second, Stats};

/// The tolerated contradiction of sums, relative to the sizes of their columns. Sums in float32 over
/// thousands of rows stay below it: each row rounds by 6e-8 of the sum so far.
pub(super) const TOLERANCE: f64 = 1e-3;

impl Stats {
    /// The first contradiction between counts, or between sums by the Cauchy–Schwarz inequality.
    /// Lengths must be right and numbers finite.
    pub(super) fn inconsistency(&self) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let n = self.n_samples;
        if n == 0 || n > 1 << 53 || i32::try_from(self.n_features).is_err() {
            return Some(format!("{n} samples of {} features cannot be", self.n_features));
        }
        if self.largest < 0.0 {
            return Some(format!("the largest magnitude is {}", self.largest));
        }
        self.of_second().or_else(|| self.of_held()).or_else(|| self.of_classes())
    }

    fn of_second(&self) -> Option<String> {
        match &self.second {
            Second::Rows { values, weights } => {
                let n_rows = weights.len();
                if n_rows == 0 || n_rows > self.n_features {
                    return Some(format!("{n_rows} rows of {} features", self.n_features));
                }
                if let Some(weight) = weights.iter().find(|w| **w < 1.0 || w.fract() != 0.0) {
                    return Some(format!("a row has weight {weight}"));
                }
                let total: f64 = weights.iter().sum(); // of counts, exact below 2^53
                if (total - self.n_samples as f64).abs() > 0.5 {
                    return Some(format!("weights of {total} for {} samples", self.n_samples));
                }
                let beyond = values.iter().find(|value| value.abs() > self.largest);
                beyond.map(|value| format!("a value of {value} beyond {}", self.largest))
            }
            Second::Scatter(scatter) => self.of_scatter(scatter),
        }
    }

    /// The largest rounding error that moving the shift may have left in a square.
    fn noise(&self) -> f64 {
        let relative = if self.precision == Precision::Single { 1e-4 } else { 1e-9 };
        relative * self.n_samples as f64 * self.largest * self.largest
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
        let trace: f64 = (0..d).map(square).sum();
        let quartic = self.fourth.in_unit(1.0); // beyond float64 where nothing else may be
        if quartic.is_finite()
            && trace > 0.0
            && !within(trace * trace, n * (quartic + noise * noise))
        {
            let least = trace * trace / n;
            return Some(format!(
                "quartic is {quartic:e}, of {least:e} or more for a scatter of trace {trace:e}"
            ));
        }
        None
    }

    /// Whether the scatter is indefinite beyond rounding; D³/3.
    pub(super) fn is_indefinite(&self) -> Result<bool> {
        let Second::Scatter(scatter) = &self.second else { return Ok(false) };
        let d = self.n_features;
        let mut unit = copied(scatter, "a copy of the scatter")?;
        scale_to_unit_diagonal(&mut unit, d);
        unit.iter_mut().step_by(d + 1).for_each(|entry| *entry = 1.0 + TOLERANCE);
        Ok(Cholesky::new(unit, d)?.is_none())
    }

    fn of_held(&self) -> Option<String> {
        match &self.held {
            Held::Nothing => None,
            Held::Targets(targets) => self.of_targets(targets),
            Held::Labels(labels) => {
                let distinct: HashSet<&Label> = labels.classes.iter().collect();
                let n_text = distinct.iter().filter(|c| matches!(c, Label::Text(_))).count();
                let n = labels.classes.len();
                if distinct.len() < n || (n_text != 0 && n_text != n) {
                    return Some("classes repeat, or are of two kinds".into());
                }
                let total = labels.counts.iter().fold(0_u64, |a, b| a.saturating_add(*b));
                if labels.counts.contains(&0) || total != self.n_samples {
                    return Some(format!("classes of {total} for {} samples", self.n_samples));
                }
                let Second::Rows { weights, .. } = &self.second else {
                    return self.of_class_sums(labels);
                };
                let mut counts = vec![0.0; n];
                for (code, weight) in labels.codes.iter().zip(weights) {
                    counts[*code as usize] += weight;
                }
                let differs =
                    counts.iter().zip(&labels.counts).any(|(a, b)| (a - *b as f64).abs() > 0.5);
                differs.then(|| "the rows of a class do not add up to its count".into())
            }
        }
    }

    fn of_class_sums(&self, labels: &Labels) -> Option<String> {
        let (n, d, noise) = (self.n_samples as f64, self.n_features, self.noise());
        let Second::Scatter(scatter) = &self.second else { return None };
        for j in 0..d {
            let square = (scatter[j * (d + 1)] + noise) * (1.0 + TOLERANCE);
            let of_class = |c: usize| labels.sums[c * d + j];
            let total: f64 = (0..labels.counts.len()).map(of_class).sum();
            if (total - self.sum[j]).abs() > TOLERANCE * (n * square).sqrt() {
                return Some(format!(
                    "class_sums[:, {j}] add up to {total:e}, and sum[{j}] is {:e}",
                    self.sum[j]
                ));
            }
            let mut counts = labels.counts.iter().enumerate();
            let beyond = |(c, count): (usize, &u64)| of_class(c).powi(2) > *count as f64 * square;
            if let Some(c) = counts.position(beyond) {
                let (sum, count) = (of_class(c), labels.counts[c]);
                return Some(format!(
                    "class_sums[{c}, {j}] is {sum:e}, too much for {count} samples"
                ));
            }
        }
        self.of_class_squares(labels)
    }

    fn of_class_squares(&self, labels: &Labels) -> Option<String> {
        let (squares, d) = (labels.squares.as_ref()?, self.n_features);
        let (trace, noise) = (self.square(), self.noise() * d as f64);
        let total: f64 = squares.iter().sum();
        if (total - trace).abs() > TOLERANCE * trace + noise {
            return Some(format!(
                "class_squares add up to {total:e}, and the scatter has trace {trace:e}"
            ));
        }
        let sums = labels.sums.chunks_exact(d).zip(&labels.counts);
        let least = sums.map(|(sum, count)| dot(sum, sum) / *count as f64);
        let beyond = |(least, square): (f64, &f64)| least > square * (1.0 + TOLERANCE) + noise;
        let c = least.zip(squares).position(beyond)?;
        Some(format!("class_squares[{c}] is {:e}, too little for class_sums[{c}]", squares[c]))
    }

    fn of_targets(&self, targets: &Targets) -> Option<String> {
        let (n, d, k) = (self.n_samples as f64, self.n_features, targets.shift.len());
        if k == 0 {
            return Some("there is no column of targets".into());
        }
        let within = |square: f64, bound: f64| square <= bound * (1.0 + TOLERANCE);
        // The rounding error that moving the shift may have left in a constant column.
        let noise = |k: usize| 1e-9 * n * (1.0 + targets.shift[k] * targets.shift[k]);
        for (k, (square, sum)) in targets.square.iter().zip(&targets.sum).enumerate() {
            if *square < -noise(k) || !within(sum * sum, n * (square + noise(k))) {
                return Some(format!(
                    "target_sum[{k}] is {sum:e}, too much for {n} samples with squares of \
                     {square:e}"
                ));
            }
        }
        let Second::Scatter(scatter) = &self.second else { return None };
        let beyond = |i: &usize| {
            let (j, k) = (i / k, i % k);
            let squares = (scatter[j * (d + 1)] + self.noise()) * (targets.square[k] + noise(k));
            !within(targets.cross[*i].powi(2), squares)
        };
        let Some(i) = (0..d * k).find(beyond) else { return self.of_joint(targets) };
        let (cross, j, k) = (targets.cross[i], i / k, i % k);
        Some(format!("cross[{j}, {k}] is {cross:e}, too much for its column and target"))
    }

    /// Of the joint moments, by the Cauchy–Schwarz inequality, where nothing left the range of float64.
    fn of_joint(&self, targets: &Targets) -> Option<String> {
        let Joint { quartic, own, .. } = targets.joint.as_ref()?;
        let (q, r) = (self.square(), targets.square.iter().sum::<f64>());
        let noise = TOLERANCE * (q + self.noise()) * (r + TOLERANCE);
        if *quartic < -noise {
            return Some(format!("joint_quartic is {quartic:e}, and must be 0 or more"));
        }
        let Some(Own { products, fourth }) = own else { return None };
        let trace: f64 = products.iter().step_by(targets.shift.len() + 1).sum();
        let slack = TOLERANCE * (1.0 + r.abs() + targets.shift.iter().map(|p| p * p).sum::<f64>());
        if (trace - r).abs() > slack {
            return Some(format!(
                "target_products has trace {trace:e}, and target_square adds up to {r:e}"
            ));
        }
        let most = self.fourth.in_unit(1.0).sqrt() * fourth.in_unit(1.0).sqrt();
        if most.is_finite() && *quartic > most * (1.0 + TOLERANCE) + noise {
            return Some(format!(
                "joint_quartic is {quartic:e}, of at most {most:e} for quartic and target_quartic"
            ));
        }
        None
    }

    fn of_classes(&self) -> Option<String> {
        let classes = self.by_class.as_ref()?;
        let Held::Labels(labels) = &self.held else {
            return (!classes.is_empty()).then(|| "classes on their own without labels".into());
        };
        let mut counts: HashMap<&Label, u64> =
            labels.classes.iter().zip(labels.counts.iter().copied()).collect();
        for (class, stats) in classes {
            let alike = stats.n_features == self.n_features && stats.precision == self.precision;
            if counts.remove(class) != Some(stats.n_samples) || !alike {
                return Some("a class on its own is not that of the labels".into());
            }
            if !matches!(stats.held, Held::Nothing) || stats.by_class.is_some() {
                return Some("a class on its own holds classes or targets".into());
            }
            if let Some(problem) = stats.inconsistency() {
                return Some(problem);
            }
        }
        (!counts.is_empty()).then(|| "some classes are not on their own".into())
    }
}
