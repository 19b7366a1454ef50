//! Whether rows can have these sums of products: their Gram matrix must be positive semidefinite.
//!
//! With z = x − s, q = ‖z‖², t = y − p and r = ‖t‖², what a scatter is held with are entries of
//!
//!   M = Σ w v vᵀ,  v = (z, q, t, r),
//!
//! and the sums m_c = Σ w v of every class, or of all rows as one class. Rows exist only if
//! W = M − Σ_c m_c m_cᵀ/n_c has no direction of negative squares. Rounding is allowed for: with
//! eᵢ² = Mᵢᵢ (1 + [`TOLERANCE`]) + noise, 1 is put on the diagonal of Mᵢⱼ/(eᵢ eⱼ), and a Cholesky
//! factor must exist. The place where it breaks off says which sums are wrong. Cost (D + K)³/3.
//!
//! q and r are left out where they are not held, or where their squares leave the range of float64.
//! Without the products of targets with one another, each target is a border of its own: D² K.

use crate::error::Result;
use crate::linalg::blas::{axpy, dot, gram_add};
use crate::linalg::lapack::Cholesky;
use crate::linalg::memory::{Gather, reserved, zeros};
use crate::threads::Context;

use super::check::TOLERANCE;
use super::fourth::Fourth;
use super::joint::{Joint, Own};
use super::response::Targets;
use super::{Held, Second, Stats};

const WHAT: &str = "the products of features and targets";

impl Fourth {
    /// Whether the sums are there, and within float64.
    fn is_usable(&self) -> bool {
        const SMALLEST: f64 = 1e-250; // squares of the third moments stay in the normal range
        self.unit > 0.0 && self.quartic > SMALLEST && self.is_finite()
    }

    fn is_finite(&self) -> bool {
        self.quartic.is_finite() && self.cubic.iter().all(|sum| sum.is_finite())
    }
}

impl Joint {
    fn is_finite(&self) -> bool {
        let sums = self.features.iter().chain(&self.targets);
        self.quartic.is_finite() && sums.copied().all(f64::is_finite)
    }
}

/// The places of z, q, t and r, and M.
struct Gram<'a> {
    n_features: usize,
    order: usize,
    /// The fourth moments of the features, where q is a part of v.
    fourth: Option<&'a Fourth>,
    targets: Option<(&'a Targets, &'a Own)>,
    /// The joint moments, where r is a part of v.
    joint: Option<&'a Joint>,
    upper: Vec<f64>,
}

impl<'a> Gram<'a> {
    fn new(stats: &'a Stats, scatter: &[f64]) -> Result<Self> {
        let d = stats.n_features;
        // Only where the products of q with all else are held.
        let fourth = Some(&stats.fourth).filter(|fourth| match &stats.held {
            Held::Nothing => fourth.is_usable(),
            Held::Labels(labels) => labels.squares.is_some() && fourth.is_usable(),
            Held::Targets(targets) => {
                targets.joint.as_ref().is_some_and(Joint::is_finite) && fourth.is_usable()
            }
        });
        let targets = match &stats.held {
            Held::Targets(targets) => {
                let own = targets.joint.as_ref().and_then(|joint| joint.own.as_ref());
                own.map(|own| (targets, own))
            }
            _ => None,
        };
        let with_r = |own: &Own| fourth.is_some() && own.fourth.is_usable();
        let joint = targets.filter(|(_, own)| with_r(own));
        let joint = joint.and_then(|(targets, _)| targets.joint.as_ref());
        let k = targets.map_or(0, |(targets, _)| targets.shift.len());
        let order = d + usize::from(fourth.is_some()) + k + usize::from(joint.is_some());
        let upper = zeros(order * order, WHAT)?;
        let mut gram = Self { n_features: d, order, fourth, targets, joint, upper };
        gram.fill(scatter);
        Ok(gram)
    }

    /// The place of the first target.
    fn first_target(&self) -> usize {
        self.n_features + usize::from(self.fourth.is_some())
    }

    fn fill(&mut self, scatter: &[f64]) {
        let (d, order, first) = (self.n_features, self.order, self.first_target());
        let rows = self.upper.chunks_exact_mut(order).zip(scatter.chunks_exact(d)).enumerate();
        for (i, (row, scatter)) in rows {
            row[i..d].copy_from_slice(&scatter[i..]);
            if let Some(fourth) = self.fourth {
                row[d] = fourth.cubic[i];
            }
            if let Some((targets, own)) = self.targets {
                let k = targets.shift.len();
                row[first..first + k].copy_from_slice(&targets.cross[i * k..(i + 1) * k]);
                if let Some(joint) = self.joint {
                    row[order - 1] = joint.features[i] / own.fourth.unit;
                }
            }
        }
        let Some((targets, own)) = self.targets else {
            if let Some(fourth) = self.fourth {
                self.upper[order * order - 1] = fourth.quartic;
            }
            return;
        };
        let (k, joint) = (targets.shift.len(), targets.joint.as_ref());
        if let (Some(fourth), Some(of_both)) = (self.fourth, joint) {
            let row = &mut self.upper[d * order..(d + 1) * order];
            row[d] = fourth.quartic;
            for (entry, sum) in row[first..first + k].iter_mut().zip(&of_both.targets) {
                *entry = sum / fourth.unit;
            }
            if self.joint.is_some() {
                row[order - 1] = of_both.quartic / fourth.unit / own.fourth.unit;
            }
        }
        for (i, products) in own.products.chunks_exact(k).enumerate() {
            let row = &mut self.upper[(first + i) * order..(first + i + 1) * order];
            row[first + i..first + k].copy_from_slice(&products[i..]);
            if self.joint.is_some() {
                row[order - 1] = own.fourth.cubic[i];
            }
        }
        if self.joint.is_some() {
            self.upper[order * order - 1] = own.fourth.quartic;
        }
    }

    /// m of every class, or of all rows: (C, order), with their counts.
    fn sums(&self, stats: &Stats) -> Result<(Vec<f64>, Vec<f64>)> {
        let unit = self.fourth.map_or(1.0, |fourth| fourth.unit);
        if let Held::Labels(labels) = &stats.held {
            let mut sums = reserved(labels.classes.len() * self.order, WHAT)?;
            for (c, sum) in labels.sums.chunks_exact(self.n_features).enumerate() {
                sums.extend_from_slice(sum);
                let squares = labels.squares.as_ref().filter(|_| self.fourth.is_some());
                sums.extend(squares.map(|squares| squares[c] / unit));
            }
            let counts = labels.counts.iter().map(|count| *count as f64).gathered(WHAT)?;
            return Ok((sums, counts));
        }
        let mut sums = reserved(self.order, WHAT)?;
        sums.extend_from_slice(&stats.sum);
        sums.extend(self.fourth.map(|_| stats.square() / unit));
        if let Some((targets, own)) = self.targets {
            sums.extend_from_slice(&targets.sum);
            let total: f64 = targets.square.iter().sum();
            sums.extend(self.joint.map(|_| total / own.fourth.unit));
        }
        Ok((sums, vec![stats.n_samples as f64]))
    }

    /// e, (order,).
    fn scales(&self, stats: &Stats) -> Result<Vec<f64>> {
        let n = stats.n_samples as f64;
        let mut noise = reserved(self.order, WHAT)?;
        noise.resize(self.n_features, stats.noise());
        noise.extend(self.fourth.map(|fourth| {
            let q = self.n_features as f64 * stats.largest * stats.largest / fourth.unit;
            stats.relative_noise() * n * q * q
        }));
        if let Some((targets, own)) = self.targets {
            noise.extend((0..targets.shift.len()).map(|k| targets.noise(k, n)));
            noise.extend(self.joint.map(|_| {
                let r = targets.shift.iter().map(|p| 1.0 + p * p).sum::<f64>() / own.fourth.unit;
                stats.relative_noise() * n * r * r
            }));
        }
        let squares = self.upper.iter().step_by(self.order + 1);
        squares.zip(noise).map(|(square, noise)| scale_of(*square, noise)).gathered(WHAT)
    }
}

/// e for a sum of squares.
fn scale_of(square: f64, noise: f64) -> f64 {
    (square.max(0.0) * (1.0 + TOLERANCE) + noise).sqrt()
}

/// a/e, and 0 where e is: no row differs from the shift there.
fn over(a: f64, scale: f64) -> f64 {
    if scale > 0.0 { a / scale } else { 0.0 }
}

impl Stats {
    /// What no rows can have, if the Gram matrix of a scatter has a direction of negative squares.
    /// Each sum must be within its own bound already (`check.rs`).
    pub(super) fn negative_squares(&self, context: &Context<'_>) -> Result<Option<String>> {
        const TOGETHER: usize = 1024; // classes of a product, between which it can be interrupted
        let Second::Scatter(scatter) = &self.second else { return Ok(None) };
        let mut gram = Gram::new(self, scatter)?;
        let (order, first) = (gram.order, gram.first_target());
        let scales = gram.scales(self)?;
        let (mut sums, counts) = gram.sums(self)?;
        for (sum, count) in sums.chunks_exact_mut(order).zip(counts) {
            for (sum, scale) in sum.iter_mut().zip(&scales) {
                *sum = over(*sum / count.sqrt(), *scale);
            }
        }
        let mut between = zeros(order * order, WHAT)?;
        for classes in sums.chunks(TOGETHER * order) {
            context.check()?;
            gram_add(classes, order, &mut between);
        }
        let mut within = std::mem::take(&mut gram.upper);
        for (i, row) in within.chunks_exact_mut(order).enumerate() {
            for j in i..order {
                let product = if i == j { 1.0 } else { over(over(row[j], scales[i]), scales[j]) };
                row[j] = product - between[i * order + j];
            }
        }
        drop(between);
        match Cholesky::factor(within, order, context)? {
            Ok(factor) => self.beyond_its_square(&factor, &gram, (&sums, &scales), context),
            Err(place) if place < self.n_features => {
                let about = match self.held {
                    Held::Labels(_) => "class means",
                    _ => "mean",
                };
                Ok(Some(format!(
                    "scatter has a direction in which squares about the {about} add up to less \
                     than 0"
                )))
            }
            Err(place) if place < first => Ok(Some(format!(
                "quartic is {:e}, too little for cubic and the scatter",
                self.fourth.in_unit(1.0)
            ))),
            Err(place) if place + 1 < order || gram.joint.is_none() => Ok(Some(format!(
                "target_products[{0}, {0}] is too little for cross and the scatter",
                place - first
            ))),
            Err(_) => Ok(Some(
                "target_quartic is too little for target_products and the joint moments".into(),
            )),
        }
    }

    /// The first target that features explain beyond its own square, where the products of targets
    /// with one another are not held.
    fn beyond_its_square(
        &self,
        factor: &Cholesky,
        gram: &Gram<'_>,
        (sums, scales): (&[f64], &[f64]),
        context: &Context<'_>,
    ) -> Result<Option<String>> {
        let (Held::Targets(targets), None) = (&self.held, gram.targets) else { return Ok(None) };
        let (k, n, order) = (targets.shift.len(), self.n_samples as f64, gram.order);
        let mut column = zeros(order, WHAT)?;
        for target in 0..k {
            context.check()?;
            let scale = scale_of(targets.square[target], targets.noise(target, n));
            let sum = over(targets.sum[target] / n.sqrt(), scale);
            for (i, entry) in column[..self.n_features].iter_mut().enumerate() {
                *entry = over(over(targets.cross[i * k + target], scales[i]), scale);
            }
            if let (Some(fourth), Some(joint)) = (gram.fourth, &targets.joint) {
                let product = joint.targets[target] / fourth.unit;
                column[order - 1] = over(over(product, scales[order - 1]), scale);
            }
            axpy(-sum, sums, &mut column);
            factor.solve_lower(&mut column)?;
            if dot(&column, &column) > 1.0 - sum * sum {
                return Ok(Some(format!(
                    "cross[:, {target}] is too much for a target_square of {:e}",
                    targets.square[target]
                )));
            }
        }
        Ok(None)
    }
}
