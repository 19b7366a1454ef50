//! The coding rate of some rows about any point, from their statistics.
//!
//! For rows Z (n, D) about the point, weights w and a scale τ:
//!
//!   R(Z) = ½ ln det(I + K/t),  t = n eps τ,  K = ZᵀZ (D, D) or ZZᵀ (n, n), whichever is held.
//!
//! Of a scatter, K is taken apart: with the scatter S about the mean of the rows, and the mean less
//! the point δ,
//!
//!   det(I + K/t) = det M · (1 + δᵀM⁻¹δ/(eps τ)),  M = I + S/t,
//!
//! so that a point far from the rows costs no digits.
//!
//! By Cholesky: order³/3, after n²D for the products of held rows. Its rounding error follows from the
//! pivots p: entries of K are right relative to those of the products that are held, H, so that
//! ½ Σ (1 + `H_ii`/t)/`p_i` roundings is the size of the error. It grows where features are large (K/t
//! beyond 1e10) and dependent. There the singular values of the rows, or of the scatter's factor,
//! are used instead: they show a missing direction at any scale.

use ndarray::Array2;

use crate::decomp::ScaledFactor;
use crate::error::{Error, Result};
use crate::linalg::blas::{axpy, dot, scale};
use crate::linalg::lapack::{Cholesky, singular_values};
use crate::linalg::memory::{Gather, zeros};
use crate::stats::Second;
use crate::threads::Context;

use super::{Centre, Recentred};

const SQUARES: &str = "the squares of the columns";

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

/// ln(1 + r²), also where r² leaves the range of float64.
fn ln_1p_square(r: f64) -> f64 {
    if r > 1e100 { 2.0 * r.ln() } else { (r * r).ln_1p() }
}

impl Recentred<'_> {
    /// R at t = n eps τ.
    pub(crate) fn rate(&self, eps_tau: f64, context: &Context<'_>) -> Result<Rate> {
        let t = self.n() * eps_tau;
        let (mut matrix, order, held, mut from_point) = match &self.stats.second {
            Second::Rows { .. } => {
                let (products, order) = self.products(context)?;
                let held = products.iter().step_by(order + 1).copied().gathered(SQUARES)?;
                (products, order, held, None)
            }
            Second::Scatter(_) => {
                let (scatter, held) = self.scatter_about_mean()?;
                (scatter, self.to_shift.len(), held, Some(self.mean_from_point()?))
            }
        };
        for (i, row) in matrix.chunks_exact_mut(order).enumerate() {
            scale(1.0 / t, &mut row[i..]);
            row[i] += 1.0;
        }
        if let Some(factor) = Cholesky::new(matrix, order, context)? {
            let mut value = factor.pivots().map(f64::ln).sum::<f64>() / 2.0;
            let mut terms = 1.0;
            if let Some(offset) = &mut from_point {
                factor.solve_lower(offset)?;
                let r = (dot(offset, offset) / eps_tau).sqrt();
                value += ln_1p_square(r) / 2.0;
                // δᵀM⁻¹δ is as certain as det M.
                terms += if r > 0.0 { 1.0 } else { 0.0 };
            }
            let pairs = held.iter().zip(factor.pivots());
            let inflation: f64 = pairs.map(|(h, p)| (1.0 + h / t) / p).sum();
            // The identity alone has an inflation of `order` and no error.
            let rounding = terms * self.unit() * (inflation - order as f64).max(0.0) / 2.0;
            if value.is_finite() && (rounding <= visible(order, value) || self.is_single()) {
                return Ok(Rate { value, rounding });
            }
        }
        self.rate_by_singular_values(t, context)
    }

    fn rate_by_singular_values(&self, t: f64, context: &Context<'_>) -> Result<Rate> {
        let n_features = self.to_shift.len();
        let (root, shape, unknown) = match &self.stats.second {
            Second::Rows { weights, .. } => (self.rows()?, (weights.len(), n_features), 0.0),
            Second::Scatter(_) => {
                let (root, unknown) = self.root(t, context)?;
                let n_columns = root.len() / n_features;
                (root, (n_features, n_columns), unknown)
            }
        };
        let root = Array2::from_shape_vec(shape, root).map_err(|_| Error::NoData)?;
        let singular = singular_values(root)?;
        let largest = singular.first().copied().unwrap_or(0.0);
        let floor = shape.0.max(shape.1) as f64 * f64::EPSILON * largest;
        let counted = || singular.iter().filter(|s| **s > floor);
        let value = counted().map(|s| ln_1p_square(s / t.sqrt())).sum::<f64>() / 2.0;
        // Every singular value is right to the rounding of the largest.
        let moved = |s: &f64| f64::EPSILON * largest / (s + t / s);
        Ok(Rate { value, rounding: unknown + counted().map(moved).sum::<f64>() })
    }

    /// G with GGᵀ = K of a scatter, (D, ·), and how much of the rate the scatter does not determine.
    fn root(&self, t: f64, context: &Context<'_>) -> Result<(Vec<f64>, f64)> {
        let n_features = self.to_shift.len();
        let (scatter, held) = self.scatter_about_mean()?;
        let squares = scatter.iter().step_by(n_features + 1).copied().gathered(SQUARES)?;
        let factor = ScaledFactor::new(scatter, self.stats.precision, context)?;
        let rank = factor.rank();
        // Of independent columns, from the rounding of the products that are held.
        let pivots = factor.columns().iter().zip(factor.pivots());
        let kept = pivots.map(|(column, pivot)| held[*column] / (t + pivot * squares[*column]));
        let mut unknown = self.unit() * kept.sum::<f64>() / 2.0;
        // The part that the factor's tolerance drops of columns that it treats as dependent.
        let largest = held.iter().fold(0.0, |a: f64, b| a.max(*b));
        let part = factor.tolerance() * largest / t;
        let constant = squares.iter().filter(|square| **square <= 0.0).count();
        unknown += (n_features - constant - rank) as f64 * part.ln_1p() / 2.0;

        let root = factor.root()?;
        let offset = self.mean_from_point()?;
        if offset.iter().all(|d| *d == 0.0) {
            return Ok((root, unknown));
        }
        let mut wider = zeros(n_features * (rank + 1), "a factor of the scatter")?;
        for (i, row) in wider.chunks_exact_mut(rank + 1).enumerate() {
            row[..rank].copy_from_slice(&root[i * rank..(i + 1) * rank]);
            row[rank] = self.n().sqrt() * offset[i];
        }
        Ok((wider, unknown))
    }

    /// The scatter about the mean of the rows, upper triangle, and the diagonal of the one held.
    fn scatter_about_mean(&self) -> Result<(Vec<f64>, Vec<f64>)> {
        let to_shift = Centre::Mean.to_shift(self.stats)?;
        let scatter = Recentred { stats: self.stats, to_shift }.scatter()?;
        let Second::Scatter(held) = &self.stats.second else { return Err(Error::NoData) };
        let held = held.iter().step_by(self.to_shift.len() + 1).copied().gathered(SQUARES)?;
        Ok((scatter, held))
    }

    /// δ, the mean of the rows less the point.
    fn mean_from_point(&self) -> Result<Vec<f64>> {
        let mut offset = self.stats.mean_about_shift()?;
        axpy(1.0, &self.to_shift, &mut offset);
        Ok(offset)
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
            let rate = recentred.rate(0.3, &Context::serial()).unwrap();
            assert!((rate.value - expected(features, t)).abs() < 1e-14);
            assert!(rate.rounding < 1e-14);
            let again = recentred.rate_by_singular_values(t, &Context::serial()).unwrap();
            assert!((again.value - rate.value).abs() < 1e-14);
        }
    }

    #[test]
    fn a_point_far_from_the_rows_costs_no_digits() {
        let rows = array![[1.0, 2.0], [0.5, -1.0], [3.0, 0.0], [-2.0, 1.0]];
        let stats = stats(rows.view());
        let far = 2.0_f64.powi(20);
        let to_shift = stats.shift.iter().map(|s| s + far).collect();
        let rate = Recentred { stats: &stats, to_shift }.rate(0.3, &Context::serial()).unwrap();
        // det(I + ZᵀZ/t) of Z = rows + far, whose terms are exact.
        let z = &rows + far;
        let k = z.t().dot(&z);
        let t = 0.3 * 4.0;
        // det ZᵀZ = Σ over pairs of rows (z_a × z_b)², z_a × z_b = a × b + far (a_0 − b_0 + b_1 − a_1).
        let mut det = 0.0;
        for (i, a) in rows.rows().into_iter().enumerate() {
            for b in rows.rows().into_iter().skip(i + 1) {
                let cross = a[0] * b[1] - a[1] * b[0] + far * (a[0] - b[0] + b[1] - a[1]);
                det += cross * cross;
            }
        }
        let expected = (1.0 + (k[[0, 0]] + k[[1, 1]]) / t + det / t / t).ln() / 2.0;
        assert!((rate.value - expected).abs() < 1e-13, "{} {expected}", rate.value);
        assert!(rate.rounding < 1e-13);
    }

    #[test]
    fn directions_lost_to_single_products_count_as_rounding() {
        // Two columns that differ by far less than their spread, which float32 products do not show.
        let mut rows = ndarray::Array2::zeros((64, 2));
        for (i, mut row) in rows.rows_mut().into_iter().enumerate() {
            let x = 100.0 * (i as f64 - 31.5);
            row[0] = x;
            row[1] = x + if i % 2 == 0 { 0.1 } else { -0.1 };
        }
        let rate = |precision| {
            let mut stats = Stats::empty(precision);
            let block = Block::new(&rows, Response::Nothing(64), None).unwrap();
            stats.push(&block, &Context::serial()).unwrap();
            assert!(!stats.holds_rows());
            let to_shift = stats.mean_about_shift().unwrap().iter().map(|d| -d).collect();
            Recentred { stats: &stats, to_shift }
                .rate_by_singular_values(64.0 * 1e-4, &Context::serial())
                .unwrap()
        };
        let (double, single) = (rate(Precision::Double), rate(Precision::Single));
        let error = (double.value - single.value).abs();
        assert!(error > 1.0 && double.rounding < 1e-3);
        assert!(error < single.rounding, "{error} {}", single.rounding);
    }

    #[test]
    fn logarithms_of_large_squares_are_finite() {
        for r in [0.0, 1e-9, 1.0, 1e90, 1e200_f64] {
            let expected = if r > 1.0 { 2.0 * r.ln() } else { (r * r).ln_1p() };
            assert!((ln_1p_square(r) - expected).abs() <= 1e-15 * expected);
        }
    }
}
