//! The fixed-point iterations of the published LogME implementations, quirks included.
//!
//! These are not the metric: `logme` returns the true maximum of the evidence. This module
//! reproduces the numbers of three libraries, to compare with results that were computed with them.
//!
//! For features F (N, D) and one target y (N,), with the singular values σᵢ and the singular vectors
//! uᵢ, vᵢ of F, sᵢ = σᵢ², rᵢ = vᵢᵀFᵀy, xᵢ = uᵢᵀy = rᵢ/σᵢ, and α, β the precisions of prior and noise:
//!
//! ```text
//! t        = α / β
//! γ        = Σᵢ sᵢ / (sᵢ + t)                                     effective parameters
//! m        = Σᵢ vᵢ rᵢ / (sᵢ + t)                                  posterior mean, (D,)
//! m²       = |m|²       = Σᵢ sᵢ xᵢ² / (sᵢ + t)²
//! res      = |y − Fm|²  = Σᵢ xᵢ² / (1 + sᵢ/t)² + |y|² − Σᵢ xᵢ²
//! α, β     = γ / (m² + ε), (N − γ) / (res + ε)                    repeat until t hardly moves
//! evidence = ½ [ D ln α + N ln β − Σᵢ ln(α + β sᵢ) − β (res + ε') − α (m² + ε') − N ln 2π ] / N
//! ```
//!
//! (You et al., ICML 2021, Algorithm 1; You et al., JMLR 2022, Algorithm 3.) m², res and m belong to
//! the t *before* the last update, α and β to the one after it. The recipes differ in the numbers of
//! `recipe.rs` and in where the sums over i end, which is the worst of the quirks: with a thin SVD
//! and N < D they have N terms and not D, and the evidence is too large by (D − N) ln α / 2N.
//!
//! Time O(N D min(N, D) + C N D), with [`Recipe::ThumlIcml`] and [`Recipe::Tllib`]
//! O(N D² + D³ + C N D per iteration); memory O(min(N, D) D), with those two O(D²).

mod recipe;
mod spectrum;

use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::error::{Error, Result};
use crate::linalg::blas::matrix_product;
use crate::linalg::memory::Gather;
use crate::threads::Context;

pub use recipe::{Recipe, Start};
use spectrum::{Fit, Spectrum};

const FITS: &str = "the fixed points of the targets";

/// Per target, in the order of the targets' columns.
#[derive(Debug, Clone)]
pub struct FixedPoint {
    /// Log evidence per sample (C,), in nats. Not finite where the implementation divides by zero.
    pub evidence: Array1<f64>,
    /// Precision of the prior (C,).
    pub alpha: Array1<f64>,
    /// Precision of the noise (C,).
    pub beta: Array1<f64>,
    /// Posterior means (C, D).
    pub weights: Array2<f64>,
    /// Iterations used (C,).
    pub iterations: Vec<usize>,
}

/// Runs a recipe on every column of `targets` (N, C).
///
/// # Errors
/// [`Error::Shape`], [`Error::Empty`] and [`Error::NotFinite`] for invalid arrays,
/// [`Error::OutOfRange`] where `FᵀF` overflows, [`Error::Lapack`] where the decomposition fails.
pub fn fixed_point(
    features: ArrayView2<'_, f64>,
    targets: ArrayView2<'_, f64>,
    recipe: Recipe,
    start: Start,
    context: &Context<'_>,
) -> Result<FixedPoint> {
    check(features, targets)?;
    let constants = recipe.constants();
    let spectrum = Spectrum::new(features, targets, recipe)?;
    let fit = |column: usize, ratio: f64| {
        let start = Start { ratio, ..start };
        spectrum.fit(column, features, targets.column(column), &constants, start)
    };
    let n_targets = targets.ncols();
    let fits: Vec<Fit> = if constants.warm_start {
        let mut ratio = start.ratio;
        let warm = |column| {
            let fit = fit(column, ratio)?;
            ratio = fit.alpha / fit.beta;
            Ok(fit)
        };
        (0..n_targets).map(warm).gathered_ok(FITS)?
    } else {
        context.map(n_targets, |column| fit(column, start.ratio))?
    };
    let mut scaled = spectrum.moments; // (k, C)
    for (mut column, fit) in scaled.axis_iter_mut(Axis(1)).zip(&fits) {
        column.zip_mut_with(&spectrum.eigenvalues, |r, s| *r /= s + fit.ratio);
    }
    let each = |of: fn(&Fit) -> f64| fits.iter().map(of).gathered(FITS).map(Array1::from);
    Ok(FixedPoint {
        evidence: each(|fit| fit.evidence)?,
        alpha: each(|fit| fit.alpha)?,
        beta: each(|fit| fit.beta)?,
        weights: matrix_product(scaled.t(), spectrum.basis.t(), FITS)?,
        iterations: fits.iter().map(|fit| fit.iterations).gathered(FITS)?,
    })
}

fn check(features: ArrayView2<'_, f64>, targets: ArrayView2<'_, f64>) -> Result<()> {
    let (actual, expected) = (targets.nrows(), features.nrows());
    if actual != expected {
        return Err(Error::Shape { name: "targets", axis: "rows", actual, expected });
    }
    let (n_rows, n_cols) = features.dim();
    if n_rows.max(n_cols) > i32::MAX.unsigned_abs() as usize {
        return Err(Error::Unaddressable { n_rows, n_cols });
    }
    for (name, array) in [("features", features), ("targets", targets)] {
        if array.is_empty() {
            return Err(Error::Empty { name, axis: "rows or no columns" });
        }
        if let Some(((row, column), &value)) = array.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(Error::NotFinite { name, row, column, value });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::s;

    /// A smooth, well-conditioned problem: features (n, d) and one indicator a class.
    fn problem(n: usize, d: usize) -> (Array2<f64>, Array2<f64>) {
        let features =
            Array2::from_shape_fn((n, d), |(i, j)| ((7 * i + 13 * i * j + j) as f64).sin());
        let labels = features.column(0).mapv(|x| if x > 0.0 { 1.0 } else { 0.0 });
        let targets =
            Array2::from_shape_fn(
                (n, 2),
                |(i, c)| if c == 1 { labels[i] } else { 1.0 - labels[i] },
            );
        (features, targets)
    }

    fn run(features: &Array2<f64>, targets: &Array2<f64>, recipe: Recipe) -> FixedPoint {
        let (features, targets) = (features.view(), targets.view());
        fixed_point(features, targets, recipe, Start::default(), &Context::serial()).unwrap()
    }

    #[test]
    fn recipes_agree_where_none_of_their_quirks_counts() {
        let (features, targets) = problem(90, 7);
        let right = run(&features, &targets, Recipe::Tllib);
        for recipe in [Recipe::ThumlFixedPoint, Recipe::ThumlIcml, Recipe::TransformerRanker] {
            let other = run(&features, &targets, recipe);
            for (a, b) in right.evidence.iter().zip(&other.evidence) {
                assert!((a - b).abs() < 1e-3, "{recipe:?}: {a} {b}");
            }
            for (a, b) in right.weights.iter().zip(&other.weights) {
                assert!((a - b).abs() < 1e-2, "{recipe:?}: {a} {b}");
            }
        }
    }

    #[test]
    fn fewer_rows_than_features_inflate_the_thin_recipes() {
        let (features, targets) = problem(12, 40);
        let right = run(&features, &targets, Recipe::ThumlIcml);
        let thuml = run(&features, &targets, Recipe::ThumlFixedPoint);
        for ((right, thuml), alpha) in right.evidence.iter().zip(&thuml.evidence).zip(&thuml.alpha)
        {
            let excess = (40.0 - 12.0) * alpha.ln() / 24.0;
            assert!((thuml - excess - right).abs() < 0.05, "{thuml} {excess} {right}");
        }
    }

    #[test]
    fn only_the_first_class_of_the_warm_start_is_that_of_the_cold_one() {
        let (features, targets) = problem(50, 6);
        let cold = run(&features, &targets, Recipe::ThumlFixedPoint);
        let warm = run(&features, &targets, Recipe::TransformerRanker);
        assert!((cold.alpha[0] - warm.alpha[0]).abs() <= 1e-12 * cold.alpha[0]);
        assert!((cold.alpha[1] - warm.alpha[1]).abs() > 1e-6 * cold.alpha[1]);
        assert!(warm.iterations[1] <= cold.iterations[1]);
    }

    #[test]
    fn bad_arrays_are_named() {
        let (mut features, targets) = problem(10, 3);
        let run = |features: &Array2<f64>, targets: ArrayView2<'_, f64>| {
            let start = Start::default();
            fixed_point(features.view(), targets, Recipe::Tllib, start, &Context::serial())
        };
        assert!(matches!(run(&features, targets.slice(s![1.., ..])), Err(Error::Shape { .. })));
        assert!(matches!(run(&features, targets.slice(s![.., ..0])), Err(Error::Empty { .. })));
        assert!(matches!(run(&(&features * 1e200), targets.view()), Err(Error::OutOfRange { .. })));
        features[[4, 2]] = f64::NAN;
        let error = run(&features, targets.view()).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 4, column: 2, .. }));
    }
}
