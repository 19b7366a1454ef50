//! Inner products that need no decomposition, of features in units of their total spread.
//!
//! With S = XᵀX, x = X/√tr S, u = μ/√tr S and b = xᵀỹ for every target:
//! |S|_F/tr S, uᵀxᵀx u, bᵀb and bᵀu. Cost D² + C·D from a scatter; where rows are held, the cost
//! of the tridiagonal form, which other metrics share.

use crate::error::Result;
use crate::linalg::blas::{axpy, dot, scale};
use crate::linalg::lapack::TridiagonalForm;
use crate::linalg::memory::{Gather, copied, zeros};
use crate::stats::Second;
use crate::threads::Context;

use super::{CentredTargets, Prepared};

const WHAT: &str = "the products with the targets";

/// All zero for features that do not vary.
#[derive(Default)]
pub(crate) struct Products {
    /// tr S.
    pub(crate) trace: f64,
    /// |S|_F/tr S, between 1/√rank and 1.
    pub(crate) norm: f64,
    /// uᵀxᵀx u.
    pub(crate) mean_spread: f64,
    /// bᵀb, (C,).
    pub(crate) squares: Vec<f64>,
    /// bᵀu, (C,).
    pub(crate) along_mean: Vec<f64>,
}

/// The trace of S and (|S|_F/tr S)² less 1/D, from a tridiagonal form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    /// tr S.
    pub(crate) trace: f64,
    /// Σ (λ/tr S − 1/D)² over all D eigenvalues, which is 0 for a multiple of the identity.
    pub(crate) unequal: f64,
}

impl Prepared<'_> {
    pub(crate) fn products(&self, context: &Context<'_>) -> Result<Products> {
        match &self.stats.second {
            Second::Scatter(scatter) => self.primal_products(scatter),
            Second::Rows { .. } => self.dual_products(context),
        }
    }

    fn primal_products(&self, scatter: &[f64]) -> Result<Products> {
        let (offset, n) = (self.stats.mean_about_shift()?, self.stats.n_samples as f64);
        let order = offset.len();
        let variances = scatter.iter().step_by(order + 1).zip(&offset).map(|(s, d)| s - n * d * d);
        let trace: f64 = variances.sum();
        let targets = CentredTargets::new(self.stats)?;
        if trace <= 0.0 {
            return Products::nothing(targets.len());
        }
        let (mut mean, unit) = (self.stats.mean()?, 1.0 / trace.sqrt());
        scale(unit, &mut mean);
        let (mut square, mut mean_spread, mut row) = (0.0, 0.0, zeros(order, WHAT)?);
        for (i, held) in scatter.chunks_exact(order).enumerate() {
            let row = &mut row[..order - i];
            row.copy_from_slice(&held[i..]);
            axpy(-n * offset[i], &offset[i..], row);
            scale(1.0 / trace, row);
            let diagonal = row[0];
            square += 2.0 * dot(row, row) - diagonal * diagonal;
            mean_spread += mean[i] * (2.0 * dot(row, &mean[i..]) - diagonal * mean[i]);
        }
        let mut b = targets.primal(self.stats, &offset)?;
        scale(unit, &mut b);
        Ok(Products {
            trace,
            norm: square.sqrt(),
            mean_spread: mean_spread.max(0.0),
            squares: b.chunks_exact(order).map(|b| dot(b, b)).gathered(WHAT)?,
            along_mean: b.chunks_exact(order).map(|b| dot(b, &mean)).gathered(WHAT)?,
        })
    }

    fn dual_products(&self, context: &Context<'_>) -> Result<Products> {
        let decomp = self.decomp(context)?;
        let Spread { trace, unequal } = self.spread(context)?;
        let n_targets = decomp.targets.len();
        if trace <= 0.0 {
            return Products::nothing(n_targets);
        }
        let unit = 1.0 / trace;
        let mut mean = copied(decomp.mean_vector(), WHAT)?;
        scale(unit, &mut mean);
        let vectors = || (0..n_targets).map(|target| decomp.target_vector(target));
        let squares = vectors().map(|vector| quadratic(&decomp.form, vector, unit));
        Ok(Products {
            trace,
            norm: (unequal + 1.0 / self.stats.n_features as f64).sqrt(),
            mean_spread: dot(&mean, &mean),
            squares: squares.gathered(WHAT)?,
            along_mean: vectors().map(|vector| dot(vector, &mean)).gathered(WHAT)?,
        })
    }

    /// Of the eigenvalues of S.
    pub(crate) fn spread(&self, context: &Context<'_>) -> Result<Spread> {
        let decomp = self.decomp(context)?;
        let TridiagonalForm { diagonal, off_diagonal, .. } = &decomp.form;
        let added = decomp.added.unwrap_or(0.0);
        let trace = diagonal.iter().sum::<f64>() - added;
        if trace <= 0.0 {
            return Ok(Spread { trace: 0.0, unequal: 0.0 });
        }
        let equal = 1.0 / self.stats.n_features as f64;
        let off: f64 = off_diagonal.iter().map(|off| 2.0 * (off / trace).powi(2)).sum();
        // On the dual side, D − N further eigenvalues are 0, and one was added.
        let others = self.stats.n_features as f64 - diagonal.len() as f64;
        let on: f64 = diagonal.iter().map(|d| (d / trace - equal).powi(2)).sum();
        let replaced = match decomp.added {
            Some(added) => equal * equal * (others + 1.0) - (added / trace - equal).powi(2),
            None => 0.0,
        };
        Ok(Spread { trace, unequal: (off + on + replaced).max(0.0) })
    }
}

impl Products {
    fn nothing(n_targets: usize) -> Result<Self> {
        let (squares, along_mean) = (zeros(n_targets, WHAT)?, zeros(n_targets, WHAT)?);
        Ok(Self { squares, along_mean, ..Self::default() })
    }
}

/// vᵀTv times `unit`.
fn quadratic(form: &TridiagonalForm, v: &[f64], unit: f64) -> f64 {
    let on: f64 = form.diagonal.iter().zip(v).map(|(d, v)| d * unit * v * v).sum();
    let off = form.off_diagonal.iter().zip(v.windows(2));
    on + off.map(|(off, v)| 2.0 * (off * unit) * v[0] * v[1]).sum::<f64>()
}
