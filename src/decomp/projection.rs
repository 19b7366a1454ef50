//! Projection of any vectors on the span of the features, for metrics whose targets the statistics do
//! not hold.
//!
//! With X̂ the features at mean 0 and variance 1 (constant columns are zero), P = X̂(X̂ᵀX̂ + NρI)⁺X̂ᵀ:
//! the projection on their span for ρ = 0, else the hat matrix of a ridge of ρ a sample. A vector y
//! gets coordinates z so that yᵀ(I − P)y' is yᵀy' − zᵀz', or zᵀz' itself:
//!
//! - N > D: L⁻¹b̂ from b = Xᵀy, with L the factor of the scatter at unit diagonal ([`ScaledFactor`]).
//! - N ≤ D, ρ not tiny: √(Nρ) L⁻¹y with LLᵀ = K̂ + NρI, K̂ = X̂X̂ᵀ, and nothing cancels.
//! - N ≤ D otherwise: by thin SVD X̂ = U diag(s) Vᵀ, s/√(s² + Nρ) Uᵀy.
//! - N − 1 directions and ρ = 0: nothing is left of any centred y.
//!
//! A scatter resolves directions down to 1e-14 of a column's variance; smaller ones do not count.

use ndarray::Array2;

use crate::error::{Error, Result};
use crate::linalg::blas::product_into;
use crate::linalg::lapack::{PivotedCholesky, thin_svd};
use crate::linalg::memory::{filled, zeros};
use crate::stats::{Second, centred_rows};
use crate::threads::Context;

use super::{Prepared, ScaledFactor, centred_scatter, dual};

/// A map from vectors to coordinates along, or off, the features.
pub(crate) enum Projection {
    /// From b = Xᵀy: along the features.
    Products(ScaledFactor),
    /// From y: √(Nρ) and L, off the features.
    Off(f64, PivotedCholesky),
    /// From y: U, scaled, (N, rank), along the features.
    Basis(Vec<f64>),
    /// The features have N − 1 directions.
    Everything,
}

impl Projection {
    /// Decompose these features with this ridge.
    pub(crate) fn new(prepared: &Prepared<'_>, ridge: f64, context: &Context<'_>) -> Result<Self> {
        let stats = prepared.stats;
        let offset = stats.mean_about_shift()?;
        let (values, weights) = match &stats.second {
            Second::Scatter(scatter) => {
                let scatter = centred_scatter(scatter, stats.n_samples, &offset)?;
                let factor = ScaledFactor::with_ridge(scatter, stats.precision, ridge, context)?;
                let all = ridge == 0.0 && factor.rank() as u64 + 1 >= stats.n_samples;
                return Ok(if all { Self::Everything } else { Self::Products(factor) });
            }
            Second::Rows { values, weights } => (values, weights),
        };
        let n_rows = weights.len();
        let rows = standardised_rows(values, weights, &offset)?;
        let none = zeros(offset.len(), "the scales of the columns")?;
        let unweighted = filled(1.0, n_rows, "the weights of the rows")?;
        let rows_of = dual::Rows { values: &rows, weights: &unweighted, offset: &none };
        let (mut gram, _) = rows_of.gram(context)?;
        context.check()?;
        let largest = gram.iter().step_by(n_rows + 1).fold(0.0_f64, |a, b| a.max(*b));
        let penalty = stats.n_samples as f64 * ridge;
        // Where rows are dependent, a smaller penalty has fewer than nine digits above rounding.
        if penalty > 0.0 && penalty >= 1e-5 * largest {
            gram.iter_mut().step_by(n_rows + 1).for_each(|square| *square += penalty);
            let factor = PivotedCholesky::new(gram, n_rows, 0.0, context)?;
            if factor.pivots().len() < n_rows {
                return Err(Error::Lapack { routine: "dpstrf", info: 1, order: n_rows });
            }
            return Ok(Self::Off(penalty.sqrt(), factor));
        }
        let cut = 8.0 * n_rows as f64 * f64::EPSILON * largest; // smaller squares are rounding
        // K̂ has an eigenvalue added along the ones, so that full rank is N.
        let is_full = |gram| -> Result<bool> {
            Ok(PivotedCholesky::new(gram, n_rows, cut, context)?.pivots().len() == n_rows)
        };
        if penalty == 0.0 && is_full(gram)? {
            return Ok(Self::Everything);
        }
        let rows =
            Array2::from_shape_vec((n_rows, offset.len()), rows).map_err(|_| Error::NoData)?;
        let (u, s, _) = thin_svd(rows)?;
        let rank = s.iter().take_while(|s| **s * **s > cut).count();
        let share = s.mapv_into(|s| s / (s * s + penalty).sqrt());
        let mut basis = zeros(n_rows * rank, "a basis of the features")?;
        for (out, u) in basis.chunks_exact_mut(rank.max(1)).zip(u.rows()) {
            for ((out, u), share) in out.iter_mut().zip(u).zip(&share) {
                *out = u * share;
            }
        }
        let all = penalty == 0.0 && rank + 1 >= n_rows;
        Ok(if all { Self::Everything } else { Self::Basis(basis) })
    }

    /// The number of directions of the features; none where the projection does not show it.
    pub(crate) fn rank(&self, n_samples: usize) -> Option<usize> {
        match self {
            Self::Products(factor) => Some(factor.rank()),
            Self::Basis(basis) => Some(basis.len() / n_samples),
            Self::Everything => Some(n_samples - 1),
            Self::Off(..) => None,
        }
    }

    /// Return the coordinates of each of `vectors`, b (D,) or y (N,), one after the other.
    pub(crate) fn coordinates(&self, vectors: &[f64], n_samples: usize) -> Result<Vec<f64>> {
        match self {
            Self::Products(factor) => factor.scores(vectors),
            Self::Off(root, cholesky) => {
                let mut solved = zeros(vectors.len(), "the coordinates of the targets")?;
                let order = n_samples.max(1);
                for (z, y) in solved.chunks_exact_mut(order).zip(vectors.chunks_exact(order)) {
                    for (z, place) in z.iter_mut().zip(cholesky.pivots()) {
                        *z = root * y[*place];
                    }
                }
                cholesky.solve_lower(&mut solved)?;
                Ok(solved)
            }
            Self::Basis(basis) => {
                let (n, rank) = (vectors.len() / n_samples, basis.len() / n_samples);
                let mut result = zeros(n * rank, "the coordinates of the targets")?;
                product_into(vectors, basis, &mut result, n, rank);
                Ok(result)
            }
            Self::Everything => Ok(Vec::new()),
        }
    }
}

/// Return the rows about their mean, times √w, with columns at variance 1; constant ones zero.
fn standardised_rows(values: &[f64], weights: &[f64], offset: &[f64]) -> Result<Vec<f64>> {
    let n_cols = offset.len();
    let mut rows = centred_rows(values, weights, offset)?;
    let mut square = zeros::<f64>(n_cols, "the scales of the columns")?;
    for row in rows.chunks_exact(n_cols) {
        square.iter_mut().zip(row).for_each(|(square, x)| *square += x * x);
    }
    let n = weights.iter().sum::<f64>();
    for s in &mut square {
        *s = if *s > 0.0 { (n / *s).sqrt() } else { 0.0 };
    }
    for row in rows.chunks_exact_mut(n_cols) {
        row.iter_mut().zip(&square).for_each(|(x, factor)| *x *= factor);
    }
    Ok(rows)
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact values
mod tests {
    use ndarray::array;

    use super::*;
    use crate::input::{Block, Response};
    use crate::linalg::blas::dot;
    use crate::stats::{Precision, Stats};

    fn stats(features: &Array2<f64>) -> Stats {
        let view = features.view();
        let block = Block::new(&view, Response::Nothing(features.nrows()), None).unwrap();
        let mut stats = Stats::empty(Precision::Double);
        stats.push(&block, &Context::serial()).unwrap();
        stats
    }

    /// yᵀ(I − P)y from the coordinates of a centred y; on the primal side from b = Xᵀy.
    fn left(features: &Array2<f64>, y: &[f64], ridge: f64) -> (f64, &'static str) {
        let stats = stats(features);
        let prepared = Prepared::new(&stats).unwrap();
        let projection = Projection::new(&prepared, ridge, &Context::serial()).unwrap();
        let coordinates = |v: &[f64]| projection.coordinates(v, features.nrows()).unwrap();
        let along = |z: Vec<f64>| dot(y, y) - dot(&z, &z);
        match &projection {
            Projection::Products(_) => {
                let b = features.t().dot(&ndarray::ArrayView1::from(y));
                (along(coordinates(&b.to_vec())), "products")
            }
            Projection::Off(..) => {
                let z = coordinates(y);
                (dot(&z, &z), "off")
            }
            Projection::Basis(_) => (along(coordinates(y)), "basis"),
            Projection::Everything => (0.0, "everything"),
        }
    }

    /// Orthogonal centred columns, and y = x₁ + 3 x₂ + e with e ⊥ both, |e|² = 20.
    fn known() -> (Array2<f64>, Vec<f64>) {
        let features = array![[1.0, 3.0], [1.0, -3.0], [-1.0, 3.0], [-1.0, -3.0], [0.0, 0.0]];
        let e = [1.0, 1.0, 1.0, 1.0, -4.0];
        let y = (0..5).map(|i| features[[i, 0]] + 3.0 * features[[i, 1]] + e[i]).collect();
        (features, y)
    }

    #[test]
    fn few_and_many_rows_leave_the_same() {
        // A ridge of ρ leaves Nρ/(N + Nρ) of the part along a standardised column.
        let (features, y) = known();
        let mut wide = Array2::zeros((5, 6)); // columns of zeros change nothing
        wide.slice_mut(ndarray::s![.., 1..3]).assign(&features);
        let inside = 4.0 + 9.0 * 36.0;
        for (ridge, route) in [(0.0, "basis"), (1e-7, "basis"), (0.5, "off")] {
            let expected = 20.0 + inside * ridge / (1.0 + ridge);
            let (found, by) = left(&features, &y, ridge);
            assert_eq!(by, "products");
            assert!((found - expected).abs() < 1e-12 * inside, "{found} is not {expected}");
            let (found, by) = left(&wide, &y, ridge);
            assert_eq!(by, route);
            assert!((found - expected).abs() < 1e-12 * inside, "{found} is not {expected}");
        }
    }

    #[test]
    fn nothing_is_left_where_all_directions_are_the_features() {
        let features = array![[1.0, 0.0, 2.0], [0.0, 1.0, -1.0], [3.0, 1.0, 0.5]];
        let (found, by) = left(&features, &[1.0, 2.0, -3.0], 0.0);
        assert_eq!((found, by), (0.0, "everything"));
    }

    #[test]
    fn standardised_rows_have_variance_one_or_zero() {
        let values = [2.0, 5.0, 4.0, 5.0, 9.0, 5.0];
        let rows = standardised_rows(&values, &[1.0, 2.0, 1.0], &[4.75, 5.0]).unwrap();
        let square = |j: usize| rows.iter().skip(j).step_by(2).map(|x| x * x).sum::<f64>();
        assert!((square(0) - 4.0).abs() < 1e-14, "Σ w = 4 rows of variance 1");
        assert_eq!(square(1), 0.0);
    }
}
