//! `Stats`: the mergeable statistics.

use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use transferability::decomp::Prepared;
use transferability::input::Label;
use transferability::metrics;
use transferability::stats::{Precision, Stats as Core};

use crate::arrays::{Features, Scored};
use crate::errors::{CoreError, named};
use crate::outcome;
use crate::run::run;

/// Mergeable statistics of features and labels or targets.
#[pyclass(module = "transferability._core")]
pub(crate) struct Stats {
    inner: Core,
}

#[pymethods]
impl Stats {
    #[new]
    #[pyo3(signature = (precision = "double"))]
    fn new(precision: &str) -> PyResult<Self> {
        let precision = match precision {
            "double" => Precision::Double,
            "single" => Precision::Single,
            other => {
                let message = format!("precision must be \"double\" or \"single\", got {other:?}");
                return Err(named("DataError", message));
            }
        };
        Ok(Self { inner: Core::empty(precision) })
    }

    /// Adds rows with their class ids; ids index `names` where given.
    fn update_labels(
        &mut self,
        py: Python<'_>,
        features: Features<'_>,
        labels: PyReadonlyArray1<'_, i64>,
        names: Option<Vec<String>>,
        weights: Option<PyReadonlyArray1<'_, i64>>,
        n_threads: usize,
    ) -> PyResult<()> {
        self.update(py, &features, &Scored::labels(&labels, names, weights.as_ref()), n_threads)
    }

    /// Adds rows with their targets.
    fn update_targets(
        &mut self,
        py: Python<'_>,
        features: Features<'_>,
        targets: PyReadonlyArray2<'_, f64>,
        weights: Option<PyReadonlyArray1<'_, i64>>,
        n_threads: usize,
    ) -> PyResult<()> {
        self.update(py, &features, &Scored::targets(targets, weights.as_ref()), n_threads)
    }

    /// The statistics of the rows of both; neither changes.
    fn merge(&self, py: Python<'_>, other: &Self, n_threads: usize) -> PyResult<Self> {
        let work = (self.inner.n_features() as f64).powi(3);
        let (mut inner, other) = (self.inner.clone(), other.inner.clone());
        let inner = run(py, n_threads, work, move |context| {
            inner.merge(other, context)?;
            Ok(inner)
        })?;
        Ok(Self { inner })
    }

    /// One outcome, or one exception, for every (metric, options).
    fn compute<'py>(
        &self,
        py: Python<'py>,
        requests: Vec<(String, Bound<'py, PyDict>)>,
        n_threads: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let requests = outcome::requests(requests)?;
        let outcomes = run(py, n_threads, self.work(), |context| {
            let prepared = Prepared::new(&self.inner)?;
            Ok(metrics::compute(&prepared, &requests, context))
        })?;
        outcome_list(py, outcomes)
    }

    /// The same from an SVD of the samples that the statistics were made of.
    #[allow(clippy::too_many_arguments)] // one for each part of a block
    fn compute_svd<'py>(
        &self,
        py: Python<'py>,
        features: Features<'_>,
        labels: Option<PyReadonlyArray1<'_, i64>>,
        names: Option<Vec<String>>,
        targets: Option<PyReadonlyArray2<'_, f64>>,
        requests: Vec<(String, Bound<'py, PyDict>)>,
        n_threads: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let requests = outcome::requests(requests)?;
        let scored = match (labels, targets) {
            (Some(labels), None) => Scored::labels(&labels, names, None),
            (None, Some(targets)) => Scored::targets(targets, None),
            _ => return Err(named("DataError", "give labels or targets, not both".to_owned())),
        };
        let rows = features.rows();
        let block = scored.block(&*rows)?;
        let outcomes = run(py, n_threads, 4.0 * self.work(), |context| {
            let prepared = Prepared::from_samples(&self.inner, &block)?;
            Ok(metrics::compute(&prepared, &requests, context))
        })?;
        outcome_list(py, outcomes)
    }

    /// An independent copy.
    fn copy(&self) -> Self {
        Self { inner: self.inner.clone() }
    }

    #[getter]
    fn n_samples(&self) -> u64 {
        self.inner.n_samples()
    }

    #[getter]
    fn n_features(&self) -> usize {
        self.inner.n_features()
    }

    #[getter]
    fn n_targets(&self) -> usize {
        self.inner.n_targets()
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.inner.n_bytes()
    }

    /// The classes that occur, sorted.
    #[getter]
    fn classes<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let Some(classes) = self.inner.classes() else { return Ok(None) };
        let list = PyList::empty(py);
        for (class, _) in classes {
            match class {
                Label::Int(id) => list.append(id)?,
                Label::Text(name) => list.append(&*name)?,
            }
        }
        Ok(Some(list))
    }

    #[getter]
    fn class_counts(&self) -> Option<Vec<u64>> {
        self.inner.classes().map(|classes| classes.into_iter().map(|(_, count)| count).collect())
    }

    #[getter]
    fn precision(&self) -> &'static str {
        match self.inner.precision() {
            Precision::Double => "double",
            Precision::Single => "single",
        }
    }

    #[getter]
    fn holds(&self) -> &'static str {
        if self.inner.holds_rows() { "rows" } else { "scatter" }
    }

    fn __repr__(&self) -> String {
        let (n, d) = (self.inner.n_samples(), self.inner.n_features());
        format!("Stats(n_samples={n}, n_features={d}, holds={:?})", self.holds())
    }
}

impl Stats {
    fn update(
        &mut self,
        py: Python<'_>,
        features: &Features<'_>,
        scored: &Scored<'_>,
        n_threads: usize,
    ) -> PyResult<()> {
        let rows = features.rows();
        let block = scored.block(&*rows)?;
        let (n, d) = (block.features.n_rows() as f64, block.features.n_cols() as f64);
        run(py, n_threads, n * d * n.min(d), |context| self.inner.push(&block, context))
    }

    /// Multiplications of a decomposition.
    fn work(&self) -> f64 {
        let order = self.inner.n_samples().min(self.inner.n_features() as u64) as f64;
        order * order * (order + 100.0 * self.inner.n_targets() as f64 / order.max(1.0))
    }
}

fn outcome_list(
    py: Python<'_>,
    outcomes: Vec<transferability::error::Result<metrics::Outcome>>,
) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for outcome in outcomes {
        match outcome {
            Ok(outcome) => list.append(outcome::to_dict(py, outcome)?)?,
            Err(transferability::error::Error::Interrupted) => {
                return Err(CoreError(transferability::error::Error::Interrupted).into());
            }
            Err(error) => list.append(PyErr::from(CoreError(error)).into_value(py))?,
        }
    }
    Ok(list)
}
