//! Pivoted Cholesky factorisation of the scatter at unit diagonal, whose rank does not depend on the
//! scales of the columns.
//!
//! S = E Ŝ E with Ŝ of unit diagonal, and PᵀŜP = L Lᵀ with complete pivoting. Every entry of a
//! scatter is right relative to the scales of its two columns, and Cholesky keeps that, so a column
//! 1e-9 times as large as another is not lost, as it is in eigenvalues relative to the largest.
//!
//! Cost D³/3, memory D².

use crate::error::Result;
use crate::linalg::blas::dot;
use crate::linalg::lapack::{PivotedCholesky, scale_to_unit_diagonal};
use crate::linalg::memory::{reserved, zeros};
use crate::stats::Precision;
use crate::threads::Context;

/// The factor of a centred scatter.
pub(crate) struct ScaledFactor {
    /// E, the roots of the diagonal; 0 for constant columns.
    pub(super) scale: Vec<f64>,
    cholesky: PivotedCholesky,
    tolerance: f64,
}

impl ScaledFactor {
    /// From the upper triangle of a centred scatter (D, D) of products at this precision.
    pub(crate) fn new(
        scatter: Vec<f64>,
        precision: Precision,
        context: &Context<'_>,
    ) -> Result<Self> {
        Self::with_ridge(scatter, precision, 0.0, context)
    }

    /// Of Ŝ + ridge I in place of Ŝ, over the columns that are not constant.
    pub(super) fn with_ridge(
        mut scatter: Vec<f64>,
        precision: Precision,
        ridge: f64,
        context: &Context<'_>,
    ) -> Result<Self> {
        let order = scatter.len().isqrt();
        let scale = scale_to_unit_diagonal(&mut scatter, order)?;
        for (entry, scale) in scatter.iter_mut().step_by(order + 1).zip(&scale) {
            if *scale > 0.0 {
                *entry += ridge;
            }
        }
        let tolerance = match precision {
            Precision::Double => 8.0 * order as f64 * f64::EPSILON,
            Precision::Single => 8.0 * (order as f64).sqrt() * f64::from(f32::EPSILON),
        };
        let cholesky = PivotedCholesky::new(scatter, order, tolerance, context)?;
        Ok(Self { scale, cholesky, tolerance })
    }

    /// The share of a column below which it counts as dependent on those before it.
    pub(crate) fn tolerance(&self) -> f64 {
        self.tolerance
    }

    /// The residual sum of squares ỹᵀỹ − bᵀS⁺b of a target, given ỹᵀỹ and b = Xᵀỹ, and a bound on
    /// its rounding error. With z = E S⁺b, entries of S and b that are off by the rounding of E Eᵀ
    /// and |ỹ| E move it by (|ỹ| + Σ|z|)².
    pub(crate) fn residual(&self, square: f64, b: &[f64]) -> Result<(f64, f64)> {
        let mut solved = self.scores(b)?;
        let residual = square - dot(&solved, &solved);
        self.cholesky.solve_upper(&mut solved)?;
        let reach = square.sqrt() + solved.iter().map(|z| z.abs()).sum::<f64>();
        Ok((residual, super::rounding(self.scale.len()) * reach * reach))
    }

    /// The number of independent columns.
    pub(crate) fn rank(&self) -> usize {
        self.cholesky.pivots().len()
    }

    /// The number of columns that vary.
    pub(crate) fn n_varying(&self) -> usize {
        self.scale.iter().filter(|scale| **scale > 0.0).count()
    }

    /// The pivots: the share of each independent column that earlier ones do not explain, (rank,),
    /// descending.
    pub(crate) fn pivots(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.rank()).map(|i| self.cholesky.diagonal(i).powi(2))
    }

    /// The independent columns, in the order of the pivots.
    pub(crate) fn columns(&self) -> &[usize] {
        self.cholesky.pivots()
    }

    /// z with zᵀz = bᵀS⁺b for each b (D,) of `vectors`, one after the other, (rank,) each.
    pub(crate) fn scores(&self, vectors: &[f64]) -> Result<Vec<f64>> {
        let mut scores = reserved(vectors.len(), "the coordinates of the targets")?;
        for b in vectors.chunks_exact(self.scale.len()) {
            let scaled =
                |j: &usize| if self.scale[*j] > 0.0 { b[*j] / self.scale[*j] } else { 0.0 };
            scores.extend(self.cholesky.pivots().iter().map(scaled));
        }
        self.cholesky.solve_lower(&mut scores)?;
        Ok(scores)
    }

    /// S⁺b for each b (D,) of `vectors`, one after the other, by the independent columns.
    pub(crate) fn solve(&self, vectors: &[f64]) -> Result<Vec<f64>> {
        let mut scores = self.scores(vectors)?;
        self.cholesky.solve_upper(&mut scores)?;
        let mut solved = zeros::<f64>(vectors.len(), "solutions of the normal equations")?;
        let parts = scores.chunks_exact(self.rank().max(1));
        for (out, part) in solved.chunks_exact_mut(self.scale.len()).zip(parts) {
            for (place, z) in self.cholesky.pivots().iter().zip(part) {
                out[*place] = z / self.scale[*place];
            }
        }
        Ok(solved)
    }

    /// Whether all columns that vary are independent, by pivots of at least `least`.
    pub(crate) fn is_regular(&self, least: f64) -> bool {
        self.rank() == self.n_varying() && self.pivots().all(|pivot| pivot >= least)
    }

    /// G with S = G Gᵀ, (D, rank).
    pub(crate) fn root(&self) -> Result<Vec<f64>> {
        let (order, rank) = (self.scale.len(), self.cholesky.pivots().len());
        let mut root = zeros(order * rank, "a factor of the scatter")?;
        for i in 0..order {
            let (feature, row) = self.cholesky.row(i);
            for (out, l) in root[feature * rank..].iter_mut().zip(row) {
                *out = self.scale[feature] * l;
            }
        }
        Ok(root)
    }
}
