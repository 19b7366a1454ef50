//! The decomposition of the features for a recipe, and the fixed-point iteration of one target.
//! Symbols: `mod.rs`.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};

use super::recipe::{Constants, Recipe, Start};
use crate::error::{Error, Result};
use crate::linalg::blas;
use crate::linalg::blas::matrix_product;
use crate::linalg::lapack::{check_order, thin_svd};
use crate::linalg::memory::{Gather, copied_matrix, zero_matrix};

/// `thuml/LogME` drops singular values up to this absolute size when it takes them from `FᵀF`.
const THUML_CUT: f64 = 1e-10;

const WHAT: &str = "the decomposition of a fixed point";

/// `FᵀF`, both triangles.
fn gram(features: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    let d = features.ncols();
    check_order(d)?;
    let own;
    let rows = if let Some(rows) = features.as_slice() {
        rows
    } else {
        own = copied_matrix(features, "a copy of the features")?;
        own.as_slice().expect("just made")
    };
    let mut gram = zero_matrix((d, d), "the product of the features")?;
    let upper = gram.as_slice_mut();
    blas::gram_add(rows, d, upper.expect("just made"));
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

/// A copy of a matrix by column where it is by column, and by row elsewhere: LAPACK rounds these apart.
fn in_its_layout(features: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    if features.t().is_standard_layout() && !features.is_standard_layout() {
        return Ok(copied_matrix(features.t(), WHAT)?.reversed_axes());
    }
    copied_matrix(features, WHAT)
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
            let (u, sigma, vt) = thin_svd(in_its_layout(features)?)?;
            let coordinates = matrix_product(u.t(), targets, WHAT)?;
            return Self::from_coordinates(sigma, vt, coordinates);
        }
        // A singular value decomposition of FᵀF, not an eigendecomposition: its directions without
        // variance get rounding noise of either sign, here made positive, and thuml keeps them.
        // Column-major as NumPy passes it: LAPACK's U and V differ where rounding does.
        let (u, eigenvalues, vt) = thin_svd(gram(features)?.reversed_axes())?;
        let moments = matrix_product(features.t(), targets, WHAT)?;
        let moments = matrix_product(vt.view(), moments.view(), WHAT)?;
        if recipe != Recipe::ThumlFixedPoint {
            return Ok(Self { eigenvalues, basis: u, moments, coordinates: None });
        }
        let sigma = eigenvalues.mapv_into(f64::sqrt);
        let k = sigma.iter().filter(|&&sigma| sigma > THUML_CUT).count();
        let sigma = sigma.slice_move(s![..k]);
        let mut coordinates = moments.slice_move(s![..k, ..]);
        coordinates /= &sigma.view().insert_axis(Axis(1));
        Self::from_coordinates(sigma, vt.slice_move(s![..k, ..]), coordinates)
    }

    fn from_coordinates(
        sigma: Array1<f64>,
        vt: Array2<f64>,
        coordinates: Array2<f64>,
    ) -> Result<Self> {
        let mut moments = copied_matrix(coordinates.view(), WHAT)?;
        moments *= &sigma.view().insert_axis(Axis(1));
        let eigenvalues = sigma.mapv_into(|sigma| sigma * sigma);
        Ok(Self { eigenvalues, basis: vt.reversed_axes(), moments, coordinates: Some(coordinates) })
    }

    pub(super) fn fit(
        &self,
        column: usize,
        features: ArrayView2<'_, f64>,
        target: ArrayView1<'_, f64>,
        constants: &Constants,
        start: Start,
    ) -> Result<Fit> {
        let (n, d) = (features.nrows() as f64, features.ncols() as f64);
        let s = &self.eigenvalues;
        let tolerance = start.tolerance.unwrap_or(constants.tolerance);
        let (mut t, mut iterations) = (start.ratio, 0);
        loop {
            iterations += 1;
            let gamma = s.iter().map(|s| s / (s + t)).sum::<f64>();
            let (norm, residual) = self.norm_and_residual(t, column, features, target)?;
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
            return Ok(Fit { evidence: evidence / n, alpha, beta, ratio: t, iterations });
        }
    }

    /// m² and res at t.
    fn norm_and_residual(
        &self,
        t: f64,
        column: usize,
        features: ArrayView2<'_, f64>,
        target: ArrayView1<'_, f64>,
    ) -> Result<(f64, f64)> {
        let s = &self.eigenvalues;
        let Some(coordinates) = &self.coordinates else {
            let moments = self.moments.column(column);
            let along = moments.iter().zip(s).map(|(r, s)| r / (s + t)).gathered(WHAT)?;
            let along = Array1::from(along);
            let mean = self.basis.rows().into_iter().map(|row| row.dot(&along)).gathered(WHAT)?;
            let mean = Array1::from(mean);
            let fitted = features.rows().into_iter().map(|row| row.dot(&mean));
            let residual =
                target.iter().zip(fitted).map(|(y, fitted)| y - fitted).gathered(WHAT)?;
            let residual = Array1::from(residual);
            return Ok((mean.dot(&mean), residual.dot(&residual)));
        };
        let (mut norm, mut inside, mut explained) = (0.0, 0.0, 0.0);
        for (s, x) in s.iter().zip(coordinates.column(column)) {
            let squared = x * x;
            norm += s * squared / ((t + s) * (t + s));
            inside += squared / ((1.0 + s / t) * (1.0 + s / t));
            explained += squared;
        }
        Ok((norm, inside + (target.dot(&target) - explained)))
    }
}
