//! The decomposition of the features for a recipe, and the fixed-point iteration of one target.
//! Symbols: `mod.rs`.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};

use super::recipe::{Constants, Recipe, Start};
use crate::error::{Error, Result};
use crate::linalg::blas;
use crate::linalg::lapack::{check_order, thin_svd};
use crate::linalg::memory::zeros;

/// `thuml/LogME` drops singular values up to this absolute size when it takes them from `FᵀF`.
const THUML_CUT: f64 = 1e-10;

/// `FᵀF`, both triangles.
fn gram(features: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    let d = features.ncols();
    check_order(d)?;
    let rows = features.as_standard_layout();
    let gram = zeros::<f64>(d.saturating_mul(d), "the product of the features")?;
    let mut gram = Array2::from_shape_vec((d, d), gram).expect("just made");
    let (rows, upper) = (rows.as_slice(), gram.as_slice_mut());
    blas::gram_add(rows.expect("standard layout"), d, upper.expect("just made"));
    if gram.diag().iter().any(|square| !square.is_finite()) {
        let largest = features.fold(0.0, |largest: f64, value| largest.max(value.abs()));
        return Err(Error::OutOfRange { name: "features", largest, problem: "overflow" });
    }
    for i in 1..d {
        for j in 0..i {
            gram[[i, j]] = gram[[j, i]];
        }
    }
    Ok(gram)
}

/// The decomposition of F with the targets in its basis; k of the D directions.
pub(super) struct Spectrum {
    pub(super) eigenvalues: Array1<f64>, // s (k,)
    pub(super) basis: Array2<f64>,       // v (D, k)
    pub(super) moments: Array2<f64>,     // r (k, C)
    /// x (k, C); `None` where the recipe takes m² and res from m itself.
    coordinates: Option<Array2<f64>>,
}

pub(super) struct Fit {
    pub(super) evidence: f64,
    pub(super) alpha: f64,
    pub(super) beta: f64,
    /// The t that the posterior mean belongs to.
    pub(super) ratio: f64,
    pub(super) iterations: usize,
}

impl Spectrum {
    pub(super) fn new(
        features: ArrayView2<'_, f64>,
        targets: ArrayView2<'_, f64>,
        recipe: Recipe,
    ) -> Result<Self> {
        let (n, d) = features.dim();
        if recipe == Recipe::TransformerRanker || (recipe == Recipe::ThumlFixedPoint && n <= d) {
            let (u, sigma, vt) = thin_svd(features.to_owned())?;
            let coordinates = u.t().dot(&targets);
            return Ok(Self::from_coordinates(sigma, vt, coordinates));
        }
        // A singular value decomposition of FᵀF, not an eigendecomposition: its directions without
        // variance get rounding noise of either sign, here made positive, and thuml keeps them.
        // Column-major as NumPy passes it: LAPACK's U and V differ where rounding does.
        let (u, eigenvalues, vt) = thin_svd(gram(features)?.reversed_axes())?;
        let moments = vt.dot(&features.t().dot(&targets));
        if recipe != Recipe::ThumlFixedPoint {
            return Ok(Self { eigenvalues, basis: u, moments, coordinates: None });
        }
        let sigma = eigenvalues.mapv(f64::sqrt);
        let k = sigma.iter().filter(|&&sigma| sigma > THUML_CUT).count();
        let sigma = sigma.slice_move(s![..k]);
        let coordinates = moments.slice_move(s![..k, ..]) / sigma.view().insert_axis(Axis(1));
        Ok(Self::from_coordinates(sigma, vt.slice_move(s![..k, ..]), coordinates))
    }

    fn from_coordinates(sigma: Array1<f64>, vt: Array2<f64>, coordinates: Array2<f64>) -> Self {
        let moments = &coordinates * &sigma.view().insert_axis(Axis(1));
        let eigenvalues = sigma.mapv(|sigma| sigma * sigma);
        Self { eigenvalues, basis: vt.reversed_axes(), moments, coordinates: Some(coordinates) }
    }

    pub(super) fn fit(
        &self,
        column: usize,
        features: ArrayView2<'_, f64>,
        target: ArrayView1<'_, f64>,
        constants: &Constants,
        start: Start,
    ) -> Fit {
        let (n, d) = (features.nrows() as f64, features.ncols() as f64);
        let s = &self.eigenvalues;
        let tolerance = start.tolerance.unwrap_or(constants.tolerance);
        let (mut t, mut iterations) = (start.ratio, 0);
        loop {
            iterations += 1;
            let gamma = s.iter().map(|s| s / (s + t)).sum::<f64>();
            let (norm, residual) = self.norm_and_residual(t, column, features, target);
            let alpha = gamma / (norm + constants.update_eps);
            let beta = (n - gamma) / (residual + constants.update_eps);
            let change = (alpha / beta - t).abs() / t;
            let done = if constants.strict { change < tolerance } else { change <= tolerance };
            if !done && iterations < start.max_iterations {
                t = alpha / beta;
                continue;
            }
            let logs = s.iter().map(|s| (alpha + beta * s).ln()).sum::<f64>();
            let evidence = d / 2.0 * alpha.ln() + n / 2.0 * beta.ln()
                - 0.5 * logs
                - beta / 2.0 * (residual + constants.evidence_eps)
                - alpha / 2.0 * (norm + constants.evidence_eps)
                - constants.log_two_pi(n);
            return Fit { evidence: evidence / n, alpha, beta, ratio: t, iterations };
        }
    }

    /// m² and res at t.
    fn norm_and_residual(
        &self,
        t: f64,
        column: usize,
        features: ArrayView2<'_, f64>,
        target: ArrayView1<'_, f64>,
    ) -> (f64, f64) {
        let s = &self.eigenvalues;
        let Some(coordinates) = &self.coordinates else {
            let mean = self.basis.dot(&(&self.moments.column(column) / &(s + t)));
            let residual = &target - &features.dot(&mean);
            return (mean.dot(&mean), residual.dot(&residual));
        };
        let (mut norm, mut inside, mut explained) = (0.0, 0.0, 0.0);
        for (s, x) in s.iter().zip(coordinates.column(column)) {
            let squared = x * x;
            norm += s * squared / ((t + s) * (t + s));
            inside += squared / ((1.0 + s / t) * (1.0 + s / t));
            explained += squared;
        }
        (norm, inside + (target.dot(&target) - explained))
    }
}
