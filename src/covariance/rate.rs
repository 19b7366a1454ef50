//! The coding rate of some rows about any point, from their statistics.
//!
//! For rows Z (n, D) about the point, weights w and a scale τ:
//!
//!   R(Z) = ½ ln det(I + K/t),  t = n eps τ,  K = ZᵀZ (D, D) or ZZᵀ (n, n), whichever is held.
//!
//! By Cholesky: order³/3, after n²D for the products of held rows. Its rounding error
//! follows from the pivots p: with M = I + K/t, entries are right relative to √(`M_ii` `M_jj`), so that
//! ½ Σ `M_ii`/`p_i` roundings is the size of the error. It grows where features are large (K/t
//! beyond 1e10) and dependent. There the singular values of the rows, or of the scatter's factor,
//! are used instead: they show a missing direction at any scale.

use ndarray::Array2;

use crate::decomp::ScaledFactor;
use crate::error::{Error, Result};
use crate::linalg::blas::scale;
use crate::linalg::lapack::{Cholesky, singular_values};
use crate::stats::Second;

use super::Recentred;

/// The rounding error from which singular values are computed instead. They take about fifty times as
/// long, so the limit is higher for large matrices, whose rates are large and whose errors cancel.
fn visible(order: usize, rate: f64) -> f64 {
    if order <= 128 { 1e-10 } else { 1e-9 * rate.max(1.0) }
}

/// A rate and its rounding error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) value: f64,
    pub(crate) rounding: f64,
}

impl Recentred<'_> {
    /// R at t = n eps τ.
    pub(crate) fn rate(&self, eps_tau: f64) -> Result<Rate> {
        let t = self.n() * eps_tau;
        let (mut matrix, order) = self.products()?;
        let mut diagonal = vec![0.0; order];
        for (i, row) in matrix.chunks_exact_mut(order).enumerate() {
            scale(1.0 / t, &mut row[i..]);
            row[i] += 1.0;
            diagonal[i] = row[i];
        }
        if let Some(factor) = Cholesky::new(matrix, order)? {
            let value = factor.pivots().map(f64::ln).sum::<f64>() / 2.0;
            let inflation: f64 = diagonal.iter().zip(factor.pivots()).map(|(m, p)| m / p).sum();
            // The identity alone has an inflation of `order` and no error.
            let rounding = self.unit() * (inflation - order as f64).max(0.0) / 2.0;
            let rate = Rate { value, rounding };
            if rounding <= visible(order, value) || self.is_single() {
                return Ok(rate);
            }
        }
        self.rate_by_singular_values(t)
    }

    fn rate_by_singular_values(&self, t: f64) -> Result<Rate> {
        let n_features = self.to_shift.len();
        let (root, hidden) = match &self.stats.second {
            Second::Rows { .. } => (self.rows()?, 0.0),
            Second::Scatter(_) => {
                let scatter = self.scatter()?;
                let squares: Vec<f64> = scatter.iter().step_by(n_features + 1).copied().collect();
                let root = ScaledFactor::new(scatter, self.stats.precision)?.root()?;
                let rank = root.len() / n_features;
                // The part that the factor's tolerance drops of columns that it treats as dependent.
                let largest = squares.iter().fold(0.0, |a: f64, b| a.max(*b));
                let part = 8.0 * n_features as f64 * f64::EPSILON * largest / t;
                let constant = squares.iter().filter(|square| **square <= 0.0).count();
                (root, (n_features - constant - rank) as f64 * part.ln_1p() / 2.0)
            }
        };
        let shape = match &self.stats.second {
            Second::Rows { weights, .. } => (weights.len(), n_features),
            Second::Scatter(_) => (n_features, root.len() / n_features),
        };
        let root = Array2::from_shape_vec(shape, root).map_err(|_| Error::NoData)?;
        let singular = singular_values(root)?;
        let largest = singular.first().copied().unwrap_or(0.0);
        let floor = shape.0.max(shape.1) as f64 * f64::EPSILON * largest;
        let counted = singular.iter().filter(|s| **s > floor);
        let value = counted.map(|s| (s * (s / t)).ln_1p()).sum::<f64>() / 2.0;
        Ok(Rate { value, rounding: hidden })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Block, Response};
    use crate::stats::{Precision, Stats};
    use crate::threads::Context;
    use ndarray::{ArrayView2, array};

    fn stats(features: ArrayView2<'_, f64>) -> Stats {
        let mut stats = Stats::empty(Precision::Double);
        let block = Block::new(&features, Response::Nothing(features.nrows()), None).unwrap();
        stats.push(&block, &Context::serial()).unwrap();
        stats
    }

    /// ½ ln det(I + ZᵀZ/t) of two columns.
    fn expected(features: ArrayView2<'_, f64>, t: f64) -> f64 {
        let k = features.t().dot(&features) / t;
        ((1.0 + k[[0, 0]]) * (1.0 + k[[1, 1]]) - k[[0, 1]] * k[[1, 0]]).ln() / 2.0
    }

    #[test]
    fn rows_and_scatters_have_the_rate_of_the_definition() {
        let tall = array![[1.0, 2.0], [0.5, -1.0], [3.0, 0.0], [-2.0, 1.0]];
        for features in [tall.view(), tall.slice(ndarray::s![..2, ..])] {
            let stats = stats(features);
            let recentred = Recentred { stats: &stats, to_shift: stats.shift.clone() }; // about zero
            let t = 0.3 * features.nrows() as f64;
            let rate = recentred.rate(0.3).unwrap();
            assert!((rate.value - expected(features, t)).abs() < 1e-14);
            assert!(rate.rounding < 1e-14);
            let again = recentred.rate_by_singular_values(t).unwrap();
            assert!((again.value - rate.value).abs() < 1e-14);
        }
    }
}
