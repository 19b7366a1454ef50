//! The fixed-point iterations of other libraries, for `transferability.compat`.

use std::sync::atomic::AtomicBool;

use numpy::{PyArray1, PyArray2, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use transferability::metrics::logme::reference::{self, Recipe, Start};

use crate::errors::named;
use crate::run::run;

/// Runs a recipe on every column of targets (N, C): `{"evidence", "alpha", "beta", "weights",
/// "iterations"}`, per column, weights (C, D).
#[pyfunction]
#[pyo3(signature = (
    features, targets, recipe, n_threads, *,
    initial_ratio = 1.0, max_iterations = None, tolerance = None,
))]
#[allow(clippy::too_many_arguments)] // transformer-ranker's options, by name
pub(crate) fn fixed_point<'py>(
    py: Python<'py>,
    features: PyReadonlyArray2<'py, f64>,
    targets: PyReadonlyArray2<'py, f64>,
    recipe: &str,
    n_threads: usize,
    initial_ratio: f64,
    max_iterations: Option<usize>,
    tolerance: Option<f64>,
) -> PyResult<Bound<'py, PyDict>> {
    let known = Recipe::from_name(recipe);
    let recipe = known.ok_or_else(|| named("DataError", format!("no recipe {recipe:?}")))?;
    let max_iterations = max_iterations.unwrap_or(Start::default().max_iterations);
    let start = Start { ratio: initial_ratio, max_iterations, tolerance };
    let (features, targets) = (features.as_array(), targets.as_array());
    let (n, d) = features.dim();
    let work = n.max(d) as f64 * d as f64 * d as f64;
    let fits = run(py, n_threads, work, &AtomicBool::new(false), |context| {
        reference::fixed_point(features, targets, recipe, start, context)
    })?;
    let result = PyDict::new(py);
    result.set_item("evidence", PyArray1::from_owned_array(py, fits.evidence))?;
    result.set_item("alpha", PyArray1::from_owned_array(py, fits.alpha))?;
    result.set_item("beta", PyArray1::from_owned_array(py, fits.beta))?;
    result.set_item("weights", PyArray2::from_owned_array(py, fits.weights))?;
    result.set_item("iterations", fits.iterations)?;
    Ok(result)
}
