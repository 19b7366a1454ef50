//! The Python class of mergeable statistics, and the computation of metrics.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::sync::RwLockExt;
use pyo3::types::{PyDict, PyList};
use transferability::decomp::Prepared;
use transferability::error::Error;
use transferability::metrics;
use transferability::stats::{Precision, Stats as Core};

use crate::arrays::{Features, Scored};
use crate::errors::{CoreError, named};
use crate::inputs::InputArrays;
use crate::outcome::{Outcome, Requests};
use crate::run::{Stop, run};
use crate::state::{counts, names};

type Summary<'py> = (u64, usize, Option<Bound<'py, PyList>>, Option<Bound<'py, PyList>>);

/// Mergeable statistics of features and labels or targets.
#[pyclass(module = "transferability._core", frozen)]
pub(crate) struct Stats {
    /// Locked by the calling thread only: workers of the pool must not wait for a lock.
    inner: RwLock<Core>,
    stop: Arc<AtomicBool>,
}

#[pymethods]
impl Stats {
    #[new]
    #[pyo3(signature = (precision = "double", stop = None, class_scatters = false))]
    fn new(precision: &str, stop: Option<&Stop>, class_scatters: bool) -> PyResult<Self> {
        let precision = match precision {
            "double" => Precision::Double,
            "single" => Precision::Single,
            other => {
                let message = format!("precision must be \"double\" or \"single\", got {other:?}");
                return Err(named("DataError", message));
            }
        };
        let stop = stop.map(|stop| stop.flag.clone()).unwrap_or_default();
        let empty = Core::empty(precision);
        let empty = if class_scatters { empty.with_class_scatters() } else { empty };
        Ok(Self { inner: RwLock::new(empty), stop })
    }

    /// Adds rows with class ids, which are indices into `names` if there are names.
    fn update_labels(
        &self,
        py: Python<'_>,
        features: Features<'_>,
        labels: PyReadonlyArray1<'_, i64>,
        names: Option<Bound<'_, PyAny>>,
        weights: Option<PyReadonlyArray1<'_, i64>>,
        n_threads: usize,
    ) -> PyResult<()> {
        self.push(py, &features, &Scored::labels(labels, names.as_ref(), weights)?, n_threads)
    }

    /// Adds rows with targets.
    fn update_targets(
        &self,
        py: Python<'_>,
        features: Features<'_>,
        targets: PyReadonlyArray2<'_, f64>,
        weights: Option<PyReadonlyArray1<'_, i64>>,
        n_threads: usize,
    ) -> PyResult<()> {
        self.push(py, &features, &Scored::targets(targets, weights), n_threads)
    }

    /// Adds rows without labels.
    fn update(
        &self,
        py: Python<'_>,
        features: Features<'_>,
        weights: Option<PyReadonlyArray1<'_, i64>>,
        n_threads: usize,
    ) -> PyResult<()> {
        self.push(py, &features, &Scored::nothing(weights), n_threads)
    }

    /// Returns the statistics of both sets of rows; neither input changes.
    fn merge(&self, py: Python<'_>, other: &Self, n_threads: usize) -> PyResult<Self> {
        let (mut inner, other) = (self.cloned(py)?, other.cloned(py)?);
        let work = (inner.n_features() as f64).powi(3);
        let inner = run(py, n_threads, work, &self.stop, move |context| {
            inner.merge(other, context)?;
            Ok(inner)
        })?;
        Ok(Self { inner: RwLock::new(inner), stop: self.stop.clone() })
    }

    /// Returns the statistics with the integer classes as one column of targets.
    fn to_targets(&self, py: Python<'_>) -> PyResult<Self> {
        let inner = RwLock::new(self.cloned(py)?.into_targets().map_err(CoreError)?);
        Ok(Self { inner, stop: self.stop.clone() })
    }

    /// Returns the statistics whose column j is column `order[j]` of these.
    fn reordered(&self, py: Python<'_>, order: Vec<usize>) -> PyResult<Self> {
        let inner = &*self.read(py);
        let moved = py.detach(|| inner.reordered(&order)).map_err(CoreError)?;
        Ok(Self { inner: RwLock::new(moved), stop: self.stop.clone() })
    }

    /// Computes every request to an outcome or an exception. `given` has the arrays that
    /// metrics read besides the statistics. With `svd`, its features are decomposed in place of the
    /// statistics.
    #[pyo3(signature = (requests, n_threads, given = None, svd = false))]
    fn compute<'py>(
        &self,
        py: Python<'py>,
        requests: &Requests,
        n_threads: usize,
        given: Option<&Bound<'py, PyDict>>,
        svd: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let nothing = PyDict::new(py);
        let given = InputArrays::from_dict(given.unwrap_or(&nothing))?;
        let inner = &*self.read(py);
        let work = count_work(inner) + given.work();
        let outcomes = given.borrowed(|given| {
            run(py, n_threads, work, &self.stop, |context| {
                let prepared = match &given.samples {
                    Some(block) if svd => Prepared::from_samples(inner, block)?,
                    _ => Prepared::new(inner)?,
                };
                Ok(given.compute(Some(&prepared), &requests.0, context))
            })
        })?;
        outcome_list(py, outcomes)
    }

    /// The number of rows and of columns, the classes that occur, sorted, and the rows of each.
    fn summary<'py>(&self, py: Python<'py>) -> PyResult<Summary<'py>> {
        let inner = self.read(py);
        let (rows, columns) = (inner.n_samples(), inner.n_features());
        let classes = inner.classes().map_err(CoreError)?;
        let Some(classes) = classes else { return Ok((rows, columns, None, None)) };
        let names = names(py, classes.iter().map(|(class, _)| class))?;
        Ok((rows, columns, Some(names), Some(counts(py, &classes)?)))
    }

    /// Returns an independent copy.
    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        Ok(Self { inner: RwLock::new(self.cloned(py)?), stop: self.stop.clone() })
    }

    #[getter]
    fn n_samples(&self, py: Python<'_>) -> u64 {
        self.read(py).n_samples()
    }

    #[getter]
    fn n_features(&self, py: Python<'_>) -> usize {
        self.read(py).n_features()
    }

    /// The mean of the features, (D,).
    fn mean<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(self.read(py).mean().map_err(CoreError)?.into_pyarray(py))
    }

    #[getter]
    fn nbytes(&self, py: Python<'_>) -> usize {
        self.read(py).n_bytes()
    }

    #[getter]
    fn precision(&self, py: Python<'_>) -> &'static str {
        precision_name(self.read(py).precision())
    }

    /// Whether separate statistics of every class are held.
    #[getter]
    fn class_scatters(&self, py: Python<'_>) -> bool {
        self.read(py).holds_class_scatters()
    }

    /// The classes that occur, sorted.
    #[getter]
    fn classes<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let classes = self.read(py).classes().map_err(CoreError)?;
        let Some(classes) = classes else { return Ok(None) };
        Ok(Some(names(py, classes.iter().map(|(class, _)| class))?))
    }

    #[getter]
    fn class_counts<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let classes = self.read(py).classes().map_err(CoreError)?;
        classes.map(|classes| counts(py, &classes)).transpose()
    }

    #[getter]
    fn holds(&self, py: Python<'_>) -> &'static str {
        if self.read(py).holds_rows() { "rows" } else { "scatter" }
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (n, d) = (self.n_samples(py), self.n_features(py));
        format!("Stats(n_samples={n}, n_features={d}, holds={:?})", self.holds(py))
    }
}

impl Stats {
    pub(crate) fn wrap(core: Core) -> Self {
        Self { inner: RwLock::new(core), stop: Arc::default() }
    }

    pub(crate) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    pub(crate) fn read<'a>(&'a self, py: Python<'_>) -> RwLockReadGuard<'a, Core> {
        self.inner.read_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy, made without the GIL: it may be of gigabytes.
    pub(crate) fn cloned(&self, py: Python<'_>) -> PyResult<Core> {
        let inner = &*self.read(py);
        Ok(py.detach(|| inner.try_clone()).map_err(CoreError)?)
    }

    fn push(
        &self,
        py: Python<'_>,
        features: &Features<'_>,
        scored: &Scored<'_>,
        n_threads: usize,
    ) -> PyResult<()> {
        let rows = features.rows();
        let block = scored.block(&*rows)?;
        let (n, d) = (block.features.n_rows() as f64, block.features.n_cols() as f64);
        let inner = &mut *self.inner.write_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        run(py, n_threads, n * d * n.min(d), &self.stop, |context| inner.push(&block, context))
    }
}

pub(crate) fn precision_name(precision: Precision) -> &'static str {
    match precision {
        Precision::Double => "double",
        Precision::Single => "single",
    }
}

/// Estimates the multiplications of a decomposition.
fn count_work(stats: &Core) -> f64 {
    let order = stats.n_samples().min(stats.n_features() as u64) as f64;
    order * order * (stats.n_features() as f64).max(order)
        + 100.0 * order * stats.n_targets() as f64
}

/// Computes metrics that read no statistics, such as LEEP: source predictions and labels suffice.
#[pyfunction]
pub(crate) fn compute<'py>(
    py: Python<'py>,
    requests: &Requests,
    n_threads: usize,
    given: &Bound<'py, PyDict>,
    stop: Option<&Stop>,
) -> PyResult<Bound<'py, PyList>> {
    let given = InputArrays::from_dict(given)?;
    let stop = stop.map(|stop| stop.flag.clone()).unwrap_or_default();
    let work = given.work().max(given.work_of_pairs()); // knn and PARC compare pairs
    let outcomes = given.borrowed(|given| {
        run(py, n_threads, work, &stop, |context| Ok(given.compute(None, &requests.0, context)))
    })?;
    outcome_list(py, outcomes)
}

/// Converts outcomes to Python and errors to exceptions; an interruption is raised.
fn outcome_list(
    py: Python<'_>,
    outcomes: Vec<Result<metrics::Outcome, Error>>,
) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for outcome in outcomes {
        match outcome {
            Ok(outcome) => list.append(Outcome::new(outcome))?,
            Err(error @ Error::Interrupted) => return Err(CoreError(error).into()),
            Err(error) => list.append(PyErr::from(CoreError(error)).into_value(py))?,
        }
    }
    Ok(list)
}
