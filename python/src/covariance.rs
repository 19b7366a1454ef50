//! Covariance matrices, spectra and coding rates, as NumPy arrays that own the core's memory.

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::prelude::*;
use transferability::covariance::{self, Centre, Covariance, Shrinkage};
use transferability::error::Result;
use transferability::threads::Context;

use crate::arrays::Features;
use crate::errors::named;
use crate::run::run;
use crate::stats::Stats;

type Shrunk<'py> = (Bound<'py, PyArray2<f64>>, f64);

/// Reads the shrinkage, which the package has checked: none, by a name, or a number.
fn shrinkage(value: Option<&Bound<'_, PyAny>>) -> PyResult<Shrinkage> {
    let Some(value) = value else { return Ok(Shrinkage::None) };
    if let Ok(a) = value.extract::<f64>() {
        return Ok(Shrinkage::Fixed(a));
    }
    match &*value.extract::<String>()? {
        "ledoit-wolf" => Ok(Shrinkage::LedoitWolf),
        "oas" => Ok(Shrinkage::Oas),
        other => Err(named("DataError", format!("there is no shrinkage {other:?}"))),
    }
}

fn centre(assume_centered: bool) -> Centre {
    if assume_centered { Centre::Zero } else { Centre::Mean }
}

/// Computes from statistics, on the threads that `count` multiplications of order D ask for.
fn of_stats<T: Send>(
    py: Python<'_>,
    stats: &Stats,
    n_threads: usize,
    job: impl FnOnce(&transferability::stats::Stats, &Context<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let inner = &*stats.read(py);
    let d = inner.n_features() as f64;
    let work = d * d * (inner.n_samples() as f64).min(d);
    run(py, n_threads, work, stats.stop(), |context| job(inner, context))
}

/// The covariance of the features, (D, D), and its shrinkage.
#[pyfunction]
#[pyo3(name = "covariance")]
pub(crate) fn of<'py>(
    py: Python<'py>,
    stats: &Stats,
    by: Option<&Bound<'py, PyAny>>,
    assume_centered: bool,
    n_threads: usize,
) -> PyResult<Shrunk<'py>> {
    let (by, centre) = (shrinkage(by)?, centre(assume_centered));
    let found = of_stats(py, stats, n_threads, |stats, context| {
        covariance::covariance(stats, centre, by, context)
    })?;
    to_python(py, found)
}

/// The eigenvalues of the covariance, (min(N, D),), descending.
#[pyfunction]
pub(crate) fn spectrum<'py>(
    py: Python<'py>,
    stats: &Stats,
    assume_centered: bool,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let centre = centre(assume_centered);
    let found = of_stats(py, stats, n_threads, |stats, context| {
        covariance::spectrum(stats, centre, context)
    })?;
    Ok(found.into_pyarray(py))
}

/// The covariance of these rows, (D, D), and its shrinkage, in one pass.
#[pyfunction]
pub(crate) fn covariance_of<'py>(
    py: Python<'py>,
    features: Features<'py>,
    by: Option<&Bound<'py, PyAny>>,
    assume_centered: bool,
    n_threads: usize,
) -> PyResult<Shrunk<'py>> {
    let (by, centre) = (shrinkage(by)?, centre(assume_centered));
    let rows = features.rows();
    let (n, d) = (rows.n_rows() as f64, rows.n_cols() as f64);
    let stop = std::sync::atomic::AtomicBool::default();
    let found = run(py, n_threads, n * d * d, &stop, |context| {
        covariance::covariance_of(&*rows, centre, by, context)
    })?;
    to_python(py, found)
}

fn to_python(py: Python<'_>, found: Covariance) -> PyResult<Shrunk<'_>> {
    let d = found.n_features;
    let matrix = Array2::from_shape_vec((d, d), found.matrix);
    let matrix = matrix.map_err(|error| named("InternalError", error.to_string()))?;
    Ok((matrix.into_pyarray(py), found.shrinkage))
}
