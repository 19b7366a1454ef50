//! Moments of the features and the targets together, of degree two in each, for alignments whose
//! estimate is without bias.
//!
//! With z = x − s, t = y − p, q = ‖z‖² and r = ‖t‖², rows held as a scatter keep Σ w q r, Σ w r z and
//! Σ w q t. Moving the shift of the features by −d, so that z grows by d, with C = Σ w z tᵀ:
//!
//!   Σ w q' r  = Σ w q r + 2 d·Σ w r z + (d·d) Σ w r
//!   Σ w q' t  = Σ w q t + 2 Cᵀd + (d·d) Σ w t
//!   Σ w r z'  = Σ w r z + (Σ w r) d
//!
//! and the same with z and t in exchanged roles for the shift of the targets. While there are no more
//! targets than features, the second and fourth moments of the targets are held too: Σ w t tᵀ is then
//! no larger than the scatter.

use crate::error::Result;
use crate::linalg::blas::{axpy, dot, gram_add, transposed_product_add};
use crate::linalg::memory::{Gather, copied, zeros};
use crate::threads::Context;

use super::fourth::Fourth;
use super::response::{Labels, Targets};
use super::{Held, Second, Stats, move_products};

const WHAT: &str = "the joint moments";

/// Σ w q r, Σ w r z, (D,), and Σ w q t, (K,).
#[derive(Debug, Clone)]
pub(crate) struct Joint {
    pub(super) quartic: f64,
    pub(super) features: Vec<f64>,
    pub(super) targets: Vec<f64>,
    /// Of the targets alone, while K ≤ D.
    pub(super) own: Option<Own>,
}

/// Σ w t tᵀ, (K, K), upper triangle, with Σ w r t and Σ w r².
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(super) products: Vec<f64>,
    pub(super) fourth: Fourth,
}

/// Moments about both means.
pub(crate) struct CentredJoint {
    /// Σ w ‖x − μ‖² ‖y − ȳ‖².
    pub(crate) quartic: f64,
    /// |ỸᵀỸ|_F/Σ w ‖y − ȳ‖² and Σ w ‖y − ȳ‖⁴/(Σ w ‖y − ȳ‖²)², while K ≤ D.
    pub(crate) own: Option<(f64, f64)>,
}

impl Joint {
    pub(super) fn new(n_features: usize, n_targets: usize) -> Result<Self> {
        let own = if n_targets > n_features {
            None
        } else {
            let products = zeros(n_targets * n_targets, "the products of the targets")?;
            Some(Own { products, fourth: Fourth::new(n_targets)? })
        };
        let (features, targets) = (zeros(n_features, WHAT)?, zeros(n_targets, WHAT)?);
        Ok(Self { quartic: 0.0, features, targets, own })
    }

    pub(super) fn try_clone(&self) -> Result<Self> {
        let copy = |own: &Own| {
            let products = copied(&own.products, "the products of the targets")?;
            Ok(Own { products, fourth: own.fourth.try_clone()? })
        };
        Ok(Self {
            quartic: self.quartic,
            features: copied(&self.features, WHAT)?,
            targets: copied(&self.targets, WHAT)?,
            own: self.own.as_ref().map(copy).transpose()?,
        })
    }

    /// Of classes as one column of targets, t of each class; `None` where the class squares are not
    /// held. With q summed over a class, `Σ_c` t_c² q_c, `Σ_c` t_c² `s_c` and `Σ_c` t_c q_c.
    pub(super) fn of_classes(
        numbers: &[f64],
        labels: &Labels,
        n_features: usize,
    ) -> Result<Option<Self>> {
        let Some(squares) = &labels.squares else { return Ok(None) };
        let mut joint = Self::new(n_features, 1)?;
        let sums = labels.sums.chunks_exact(n_features);
        for (((t, q), sum), count) in numbers.iter().zip(squares).zip(sums).zip(&labels.counts) {
            joint.quartic += t * t * q;
            joint.targets[0] += t * q;
            axpy(t * t, sum, &mut joint.features);
            if let Some(own) = &mut joint.own {
                let weight = *count as f64;
                own.products[0] += weight * own.fourth.add_row(weight, &[*t]);
            }
        }
        Ok(Some(joint))
    }

    pub(super) fn reset(&mut self) {
        self.quartic = 0.0;
        self.features.fill(0.0);
        self.targets.fill(0.0);
        if let Some(own) = &mut self.own {
            own.products.fill(0.0);
            own.fourth.reset();
        }
    }

    /// Adds a row z with its q, and t.
    pub(super) fn add_row(&mut self, weight: f64, z: &[f64], q: f64, t: &[f64]) {
        let r = match &mut self.own {
            Some(own) => own.fourth.add_row(weight, t),
            None => dot(t, t),
        };
        self.quartic += weight * q * r;
        axpy(weight * r, z, &mut self.features);
        axpy(weight * q, t, &mut self.targets);
    }

    /// Adds the products of rows √w t, (n, K).
    pub(super) fn add_products(&mut self, rows: &[f64]) {
        if let Some(own) = &mut self.own {
            gram_add(rows, self.targets.len(), &mut own.products);
        }
    }

    pub(super) fn add(&mut self, other: &Self, context: &Context<'_>) -> Result<()> {
        match (&mut self.own, &other.own) {
            (Some(own), Some(other)) => {
                context.add(&other.products, &mut own.products)?;
                own.fourth.add(&other.fourth);
            }
            (own, _) => *own = None,
        }
        self.quartic += other.quartic;
        axpy(1.0, &other.features, &mut self.features);
        axpy(1.0, &other.targets, &mut self.targets);
        Ok(())
    }

    pub(super) fn n_numbers(&self) -> usize {
        let own = self.own.as_ref().map_or(0, |own| own.products.len() + own.fourth.n_numbers());
        self.features.len() + self.targets.len() + own
    }

    /// z grows by d; all other sums, C among them, are those before.
    pub(super) fn move_features(
        &mut self,
        d: &[f64],
        cross: &[f64],
        sum: &[f64],
        r: f64,
    ) -> Result<()> {
        self.quartic += 2.0 * dot(d, &self.features) + dot(d, d) * r;
        let mut along = zeros(sum.len(), WHAT)?;
        transposed_product_add(d, cross, &mut along, 1, sum.len());
        axpy(2.0, &along, &mut self.targets);
        axpy(dot(d, d), sum, &mut self.targets);
        axpy(r, d, &mut self.features);
        Ok(())
    }

    /// t grows by e; `sum` is Σ w z, and all sums are those before.
    pub(super) fn move_targets(
        &mut self,
        e: &[f64],
        held: &Targets,
        sum: &[f64],
        q: f64,
        n_samples: f64,
    ) -> Result<()> {
        self.quartic += 2.0 * dot(e, &self.targets) + dot(e, e) * q;
        for (feature, row) in self.features.iter_mut().zip(held.cross.chunks_exact(e.len())) {
            *feature += 2.0 * dot(row, e);
        }
        axpy(dot(e, e), sum, &mut self.features);
        axpy(q, e, &mut self.targets);
        if let Some(own) = &mut self.own {
            own.fourth = own.fourth.moved(e, &held.sum, &own.products, n_samples)?;
            move_products(&mut own.products, e, &held.sum, n_samples);
        }
        Ok(())
    }
}

impl Stats {
    /// Σ w ‖x − s‖².
    pub(super) fn square(&self) -> f64 {
        let d = self.n_features;
        match &self.second {
            Second::Scatter(scatter) => scatter.iter().step_by(d + 1).sum(),
            Second::Rows { values, weights } => {
                let rows = values.chunks_exact(d.max(1)).zip(weights);
                rows.map(|(row, weight)| weight * dot(row, row)).sum()
            }
        }
    }

    /// Σ w ‖x − μ‖² of each class, sorted by class; `None` where it is not held.
    pub(crate) fn class_squares(&self) -> Result<Option<Vec<f64>>> {
        let Held::Labels(labels) = &self.held else { return Ok(None) };
        let Some(squares) = &labels.squares else { return Ok(None) };
        let offset = self.mean_about_shift()?;
        let d = offset.len();
        let centred = |c: usize| {
            let along = dot(&offset, &labels.sums[c * d..(c + 1) * d]);
            let moved = labels.counts[c] as f64 * dot(&offset, &offset) - 2.0 * along;
            (squares[c] + moved).max(0.0)
        };
        labels.sorted()?.into_iter().map(centred).gathered("the class squares").map(Some)
    }

    /// The joint moments about both means; `None` where they are not held.
    pub(crate) fn centred_joint(&self) -> Result<Option<CentredJoint>> {
        let Held::Targets(held) = &self.held else { return Ok(None) };
        let Some(joint) = &held.joint else { return Ok(None) };
        // Without the products of the targets, which do not change.
        let (features, targets) = (copied(&joint.features, WHAT)?, copied(&joint.targets, WHAT)?);
        let own = joint.own.as_ref();
        let mut joint = Joint { quartic: joint.quartic, features, targets, own: None };
        let n = self.n_samples as f64;
        let back = |sum: &f64| -sum / n;
        let d = self.sum.iter().map(back).gathered(WHAT)?;
        let e = held.sum.iter().map(back).gathered(WHAT)?;
        let (q, r) = (self.square(), held.square.iter().sum::<f64>());
        joint.move_features(&d, &held.cross, &held.sum, r)?;
        // About the mean of the features Σ w z is 0, so that C about both means needs no z.
        joint.quartic += 2.0 * dot(&e, &joint.targets) + dot(&e, &e) * (q - n * dot(&d, &d));
        let total = r - n * dot(&e, &e);
        let own = own.map(|own| {
            let fourth = own.fourth.moved(&e, &held.sum, &own.products, n)?.in_unit(total);
            let mut square = 0.0;
            for (k, row) in own.products.chunks_exact(e.len()).enumerate() {
                let entry = |(j, product): (usize, &f64)| (product - n * e[k] * e[k + j]) / total;
                let entries = row[k..].iter().enumerate().map(entry);
                let twice = entries.map(|entry| 2.0 * entry * entry).sum::<f64>();
                square += twice - entry((0, &row[k])).powi(2);
            }
            Ok((square.max(0.0).sqrt(), fourth))
        });
        Ok(Some(CentredJoint { quartic: joint.quartic, own: own.transpose()? }))
    }
}
