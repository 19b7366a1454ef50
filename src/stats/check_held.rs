//! Consistency checks of labels, targets and the statistics of every class (`check.rs`).

use std::collections::HashMap;

use crate::error::Result;
use crate::input::Label;
use crate::linalg::blas::{axpy, dot};
use crate::linalg::memory::{Gather, copied, table, zeros};

use super::check::TOLERANCE;
use super::joint::{Joint, Own};
use super::range::LARGEST;
use super::response::{Labels, Targets};
use super::{Held, Second, Stats};

const WHAT: &str = "the check of statistics";

/// Whether a sum is further from another than allowed, or infinitely far.
fn differ(a: f64, b: f64, allowed: f64) -> bool {
    let difference = (a - b).abs();
    difference > allowed || !difference.is_finite()
}

impl Targets {
    /// The rounding error that moving the shift may have left in the square of a constant column.
    pub(super) fn noise(&self, k: usize, n: f64) -> f64 {
        1e-9 * n * (1.0 + self.shift[k] * self.shift[k])
    }
}

impl Stats {
    /// Compares the sums with those of the rows.
    pub(super) fn of_row_sums(&self, values: &[f64], weights: &[f64]) -> Result<Option<String>> {
        let n = self.n_samples as f64;
        let mut total = zeros(self.n_features, WHAT)?;
        for (row, weight) in values.chunks_exact(self.n_features).zip(weights) {
            axpy(*weight, row, &mut total);
        }
        let allowed = self.relative_noise() * n * self.largest;
        let differs = |(total, sum): (&f64, &f64)| differ(*total, *sum, allowed);
        if let Some(j) = total.iter().zip(&self.sum).position(differs) {
            return Ok(Some(format!(
                "sum[{j}] is {:e}, and the rows add up to {:e}",
                self.sum[j], total[j]
            )));
        }
        let Held::Targets(targets) = &self.held else { return Ok(None) };
        let n_targets = targets.shift.len();
        for k in 0..n_targets {
            let (mut sum, mut square, mut largest) = (0.0, 0.0, 1.0 + targets.shift[k].abs());
            for (y, weight) in targets.rows[k..].iter().step_by(n_targets).zip(weights) {
                sum += weight * y;
                square += weight * y * y;
                largest = y.abs().max(largest);
            }
            let allowed = 1e-9 * n * largest;
            for (name, total, held, allowed) in [
                ("target_sum", sum, targets.sum[k], allowed),
                ("target_square", square, targets.square[k], allowed * largest),
            ] {
                if differ(total, held, allowed) {
                    return Ok(Some(format!(
                        "{name}[{k}] is {held:e}, and the rows add up to {total:e}"
                    )));
                }
            }
        }
        Ok(None)
    }

    pub(super) fn of_held(&self) -> Result<Option<String>> {
        let labels = match &self.held {
            Held::Nothing => return Ok(None),
            Held::Targets(targets) => return Ok(self.of_targets(targets)),
            Held::Labels(labels) => labels,
        };
        let (order, n) = (labels.sorted()?, labels.classes.len());
        let n_text = labels.classes.iter().filter(|c| matches!(c, Label::Text(_))).count();
        let repeats = order.windows(2).any(|two| labels.classes[two[0]] == labels.classes[two[1]]);
        if repeats || (n_text != 0 && n_text != n) {
            return Ok(Some("classes repeat, or are of two kinds".into()));
        }
        let total = labels.counts.iter().fold(0_u64, |a, b| a.saturating_add(*b));
        if labels.counts.contains(&0) || total != self.n_samples {
            return Ok(Some(format!("classes of {total} for {} samples", self.n_samples)));
        }
        let Second::Rows { weights, .. } = &self.second else {
            return Ok(self.of_class_sums(labels));
        };
        let mut counts = zeros::<f64>(n, WHAT)?;
        for (code, weight) in labels.codes.iter().zip(weights) {
            counts[*code as usize] += weight;
        }
        let differs = counts.iter().zip(&labels.counts).any(|(a, b)| (a - *b as f64).abs() > 0.5);
        Ok(differs.then(|| "the rows of a class do not add up to its count".into()))
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
        let noise = |k: usize| targets.noise(k, n);
        for (k, (shift, square)) in targets.shift.iter().zip(&targets.square).enumerate() {
            let largest = (square.max(0.0) / n).sqrt().max(shift.abs());
            if largest > 4.0 * LARGEST {
                // Merging may have moved the shift.
                return Some(format!(
                    "targets in column {k} reach {largest:e}, beyond {LARGEST:e}"
                ));
            }
        }
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
        let joint = targets.joint.as_ref()?;
        let Joint { quartic, own, .. } = joint;
        let n = self.n_samples as f64;
        let (q, r) = (self.square(), targets.square.iter().sum::<f64>());
        let noise = TOLERANCE * (q + self.noise()) * (r + TOLERANCE);
        if *quartic < -noise {
            return Some(format!("joint_quartic is {quartic:e}, and must be 0 or more"));
        }
        if let Some(problem) = self.of_joint_sums(targets, joint) {
            return Some(problem);
        }
        let Some(Own { products, fourth }) = own else { return None };
        let diagonal = || products.iter().step_by(targets.shift.len() + 1);
        let trace: f64 = diagonal().sum();
        let slack = TOLERANCE * (1.0 + r.abs() + targets.shift.iter().map(|p| p * p).sum::<f64>());
        if (trace - r).abs() > slack {
            return Some(format!(
                "target_products has trace {trace:e}, and target_square adds up to {r:e}"
            ));
        }
        let differs = |(product, square): (&f64, &f64)| differ(*product, *square, slack);
        if let Some(k) = diagonal().zip(&targets.square).position(differs) {
            return Some(format!(
                "target_products[{k}, {k}] is {:e}, and target_square[{k}] {:e}",
                products[k * (targets.shift.len() + 1)],
                targets.square[k]
            ));
        }
        let rounding = (0..targets.shift.len()).map(|k| targets.noise(k, n)).sum::<f64>();
        let (names, size) = (["target_quartic", "target_cubic"], r.max(0.0) + rounding);
        if let Some(problem) = fourth.beyond(names, size, [r.max(0.0), rounding]) {
            return Some(problem);
        }
        let most = self.fourth.root() * fourth.root();
        if most.is_finite() && *quartic > most * (1.0 + TOLERANCE) + noise {
            return Some(format!(
                "joint_quartic is {quartic:e}, of at most {most:e} for quartic and target_quartic"
            ));
        }
        None
    }

    /// Each joint moment by the largest ‖x − s‖² and |x − s|, where the bound is within float64.
    fn of_joint_sums(&self, targets: &Targets, joint: &Joint) -> Option<String> {
        let (n, largest) = (self.n_samples as f64, self.largest);
        let one = self.n_features as f64 * largest * largest;
        let size = |k: usize| targets.square[k].max(0.0) + targets.noise(k, n);
        let total: f64 = (0..targets.shift.len()).map(size).sum();
        let beyond = |sum: f64, bound: f64| {
            let bound = bound * (1.0 + TOLERANCE);
            bound.is_finite() && (sum.abs() > bound || sum.is_nan())
        };
        if beyond(joint.quartic, one * total) {
            return Some(format!(
                "joint_quartic is {:e}, of at most {:e}",
                joint.quartic,
                one * total
            ));
        }
        if let Some(j) = joint.features.iter().position(|sum| beyond(*sum, largest * total)) {
            let (sum, most) = (joint.features[j], largest * total);
            return Some(format!("joint_features[{j}] is {sum:e}, of at most {most:e}"));
        }
        let most = |k: usize| one * (n * size(k)).sqrt();
        let k = (0..targets.shift.len()).find(|k| beyond(joint.targets[*k], most(*k)))?;
        Some(format!("joint_targets[{k}] is {:e}, of at most {:e}", joint.targets[k], most(k)))
    }

    pub(super) fn of_classes(&self) -> Result<Option<String>> {
        let Some(classes) = &self.by_class else { return Ok(None) };
        let Held::Labels(labels) = &self.held else {
            let lone = || "classes on their own without labels".into();
            return Ok((!classes.is_empty()).then(lone));
        };
        let mut counts: HashMap<&Label, u64> = table(labels.classes.len(), WHAT)?;
        counts.extend(labels.classes.iter().zip(labels.counts.iter().copied()));
        for (class, stats) in classes {
            let alike = stats.n_features == self.n_features && stats.precision == self.precision;
            if counts.remove(class) != Some(stats.n_samples) || !alike {
                return Ok(Some("a class on its own is not that of the labels".into()));
            }
            if !matches!(stats.held, Held::Nothing) || stats.by_class.is_some() {
                return Ok(Some("a class on its own holds classes or targets".into()));
            }
        }
        if !counts.is_empty() {
            return Ok(Some("some classes are not on their own".into()));
        }
        self.of_class_parts(labels, classes)
    }

    /// Compares the sums of the classes on their own with those by class, and their squares with those
    /// of all rows.
    fn of_class_parts(&self, labels: &Labels, classes: &[(Label, Self)]) -> Result<Option<String>> {
        let (d, mut by_class) = (self.n_features, copied(&labels.sums, WHAT)?);
        if let Second::Rows { values, weights } = &self.second {
            by_class = zeros(labels.classes.len() * d, WHAT)?;
            let rows = values.chunks_exact(d).zip(weights).zip(&labels.codes);
            for ((row, weight), code) in rows {
                let place = *code as usize * d;
                axpy(*weight, row, &mut by_class[place..place + d]);
            }
        }
        let mut places: HashMap<&Label, usize> = table(labels.classes.len(), WHAT)?;
        places.extend(labels.classes.iter().zip(0..));
        let (mut squares, mut noise) = (zeros::<f64>(d, WHAT)?, 0.0);
        for (class, stats) in classes {
            let Some(place) = places.get(class) else { return Ok(None) };
            let (n, place) = (stats.n_samples as f64, place * d);
            let of_class = &by_class[place..place + d];
            let own = stats.column_squares()?;
            for j in 0..d {
                let moved = stats.shift[j] - self.shift[j];
                let sum = stats.sum[j] + n * moved;
                let square = own[j] + moved * (2.0 * stats.sum[j] + n * moved);
                let size = stats.largest.max(self.largest) + moved.abs();
                let rounding = self.relative_noise() * n * size;
                let allowed = rounding + TOLERANCE * (n * square.max(0.0)).sqrt();
                if differ(sum, of_class[j], allowed) {
                    return Ok(Some(format!(
                        "the rows of class {class} on its own add up to {sum:e} in column {j}, and \
                         those of all classes to {:e}",
                        of_class[j]
                    )));
                }
                squares[j] += square;
                noise = rounding.mul_add(size, noise);
            }
        }
        let total = self.column_squares()?;
        let differs =
            |j: &usize| differ(squares[*j], total[*j], TOLERANCE * total[*j].abs() + noise);
        let found = (0..d).find(differs).map(|j| {
            format!(
            "squares in column {j} of classes on their own add up to {:e}, and those of all rows to \
             {:e}",
            squares[j], total[j]
            )
        });
        Ok(found)
    }

    /// Σ w (x − s)² of every column.
    fn column_squares(&self) -> Result<Vec<f64>> {
        let d = self.n_features;
        match &self.second {
            Second::Scatter(scatter) => scatter.iter().step_by(d + 1).copied().gathered(WHAT),
            Second::Rows { values, weights } => {
                let mut squares = zeros::<f64>(d, WHAT)?;
                for (row, weight) in values.chunks_exact(d).zip(weights) {
                    for (square, x) in squares.iter_mut().zip(row) {
                        *square += weight * x * x;
                    }
                }
                Ok(squares)
            }
        }
    }
}
