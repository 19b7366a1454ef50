//! Covariance matrices, spectra and coding rates, as NumPy arrays that own the core's memory.

use std::sync::atomic::AtomicBool;

use numpy::ndarray::{Array2, Array3};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyList;
use transferability::covariance::{
    self, Centre, ClassCovariances, Covariance, RateConvention, Shrinkage,
};
use transferability::error::Result;
use transferability::memory::Gather;
use transferability::threads::Context;

use crate::arrays::{Features, Scored};
use crate::errors::{CoreError, named};
use crate::run::run;
use crate::state::names;
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

/// Computes from statistics.
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
    let stop = AtomicBool::default();
    let found = run(py, n_threads, n * d * d, &stop, |context| {
        covariance::covariance_of(&*rows, centre, by, context)
    })?;
    to_python(py, found)
}

/// The classes with their counts, the covariances within and between, (D, D), and of each class,
/// (C, D, D), if asked for.
type OfClasses<'py> = (
    Bound<'py, PyList>,
    Vec<u64>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<f64>>,
    Option<Bound<'py, PyArray3<f64>>>,
);

/// The covariances within and between the classes of statistics.
#[pyfunction]
pub(crate) fn class_covariances<'py>(
    py: Python<'py>,
    stats: &Stats,
    per_class: bool,
    n_threads: usize,
) -> PyResult<OfClasses<'py>> {
    let found = of_stats(py, stats, n_threads, |stats, context| {
        covariance::class_covariances(stats, per_class, context)
    })?;
    classes_to_python(py, found)
}

/// The means of the classes about a point that they share, (C, D), classes sorted.
#[pyfunction]
pub(crate) fn class_means<'py>(
    py: Python<'py>,
    stats: &Stats,
    n_threads: usize,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let found = of_stats(py, stats, n_threads, |stats, _| {
        Ok((covariance::class_means(stats)?, stats.n_features()))
    })?;
    let (values, d) = found;
    let means = Array2::from_shape_vec((values.len() / d.max(1), d), values);
    let means = means.map_err(|error| named("InternalError", error.to_string()))?;
    Ok(means.into_pyarray(py))
}

/// The covariances within and between the classes of these rows.
#[pyfunction]
pub(crate) fn class_covariances_of<'py>(
    py: Python<'py>,
    features: Features<'py>,
    labels: PyReadonlyArray1<'py, i64>,
    names: Option<Vec<String>>,
    per_class: bool,
    n_threads: usize,
) -> PyResult<OfClasses<'py>> {
    let (rows, scored) = (features.rows(), Scored::labels(labels, names, None));
    let (n, d) = (rows.n_rows() as f64, rows.n_cols() as f64);
    let response = scored.response(rows.n_rows())?;
    let stop = AtomicBool::default();
    let found = run(py, n_threads, n * d * d, &stop, |context| {
        covariance::class_covariances_of(&*rows, response, per_class, context)
    })?;
    classes_to_python(py, found)
}

/// The min(C, D) eigenvalues of Σ⁻¹OᵀO, descending, for offsets O (C, D) and Σ = max(within, 0) + ridge I,
/// and the smallest of Σ if it is asked for.
#[pyfunction]
pub(crate) fn discriminant<'py>(
    py: Python<'py>,
    within: PyReadonlyArray2<'py, f64>,
    offsets: PyReadonlyArray2<'py, f64>,
    ridge: f64,
    smallest: bool,
    n_threads: usize,
) -> PyResult<(Bound<'py, PyArray1<f64>>, Option<f64>)> {
    let (within, offsets) = (within.as_slice()?, offsets.as_slice()?);
    let d = within.len().isqrt() as f64;
    let work = d * (within.len() + offsets.len()) as f64;
    let found = run(py, n_threads, work, &AtomicBool::default(), |context| {
        covariance::discriminant(within, offsets, ridge, smallest, context)
    })?;
    Ok((found.eigenvalues.into_pyarray(py), found.smallest))
}

fn convention(name: &str) -> PyResult<RateConvention> {
    match name {
        "transrate" => Ok(RateConvention::TransRate),
        "mcr2" => Ok(RateConvention::Mcr2),
        other => Err(named("DataError", format!("there is no convention {other:?}"))),
    }
}

/// The coding rate and its rounding error.
#[pyfunction]
pub(crate) fn coding_rate(
    py: Python<'_>,
    stats: &Stats,
    eps: f64,
    convention: &str,
    n_threads: usize,
) -> PyResult<(f64, f64)> {
    let convention = self::convention(convention)?;
    let found = of_stats(py, stats, n_threads, |stats, context| {
        covariance::coding_rate(stats, eps, convention, context)
    })?;
    Ok((found.value, found.rounding))
}

/// The coding rate of all rows, of every class, classes sorted, their difference, and its rounding
/// error.
#[pyfunction]
pub(crate) fn coding_rate_reduction<'py>(
    py: Python<'py>,
    stats: &Stats,
    eps: f64,
    convention: &str,
    n_threads: usize,
) -> PyResult<(f64, Bound<'py, PyArray1<f64>>, f64, f64)> {
    let convention = self::convention(convention)?;
    let found = of_stats(py, stats, n_threads, |stats, context| {
        covariance::coding_rate_reduction(stats, eps, convention, context)
    })?;
    let per_class =
        found.per_class.iter().map(|(_, rate)| *rate).gathered("the rates of the classes");
    let per_class = per_class.map_err(CoreError)?;
    Ok((found.total, per_class.into_pyarray(py), found.difference, found.rounding))
}

fn to_python(py: Python<'_>, found: Covariance) -> PyResult<Shrunk<'_>> {
    Ok((square(py, found.matrix, found.n_features)?, found.shrinkage))
}

fn classes_to_python(py: Python<'_>, found: ClassCovariances) -> PyResult<OfClasses<'_>> {
    let d = found.n_features;
    let classes = names(py, found.classes.iter().map(|(class, _)| class))?;
    let counts = found.classes.iter().map(|(_, count)| *count).gathered("the classes");
    let counts = counts.map_err(CoreError)?;
    let shape = (counts.len(), d, d);
    let stack = found.per_class.map(|values| Array3::from_shape_vec(shape, values));
    let stack = stack.transpose().map_err(|error| named("InternalError", error.to_string()))?;
    let stack = stack.map(|stack| stack.into_pyarray(py));
    Ok((classes, counts, square(py, found.within, d)?, square(py, found.between, d)?, stack))
}

/// A (d, d) array on this memory.
fn square(py: Python<'_>, values: Vec<f64>, d: usize) -> PyResult<Bound<'_, PyArray2<f64>>> {
    let matrix = Array2::from_shape_vec((d, d), values);
    let matrix = matrix.map_err(|error| named("InternalError", error.to_string()))?;
    Ok(matrix.into_pyarray(py))
}

/// Checks that LAPACK can decompose features of this shape; `of_spectrum` as for their spectrum.
#[pyfunction]
pub(crate) fn check_shape(n_rows: usize, n_cols: usize, of_spectrum: bool) -> PyResult<()> {
    let shape = (n_rows, n_cols);
    let checked = if of_spectrum {
        covariance::check_spectrum_shape(shape)
    } else {
        covariance::check_shape(shape)
    };
    Ok(checked.map_err(CoreError)?)
}
