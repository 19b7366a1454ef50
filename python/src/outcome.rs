//! Requests, outcomes and the table of metrics for Python.

use std::sync::{Mutex, PoisonError};

use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use transferability::metrics::{self, Detail, METRICS, OptionValue, Options};

use crate::errors::{CoreError, named};

type Unpacked = (Py<PyArray1<f64>>, Py<PyDict>);
type Parts = (Vec<f64>, Vec<(&'static str, Detail)>);

/// The result of a metric. Its arrays and details become Python objects when they are asked for.
#[pyclass(module = "transferability._core", frozen)]
pub(crate) struct Outcome {
    /// The score.
    #[pyo3(get)]
    value: f64,
    /// Whether one-pass statistics carried enough digits.
    #[pyo3(get)]
    exact: bool,
    /// Warnings, in whole sentences.
    #[pyo3(get)]
    warnings: Vec<String>,
    parts: Mutex<Option<Parts>>,
    unpacked: PyOnceLock<Unpacked>,
}

#[pymethods]
impl Outcome {
    /// The parts of the score by class or target, and the details by name; the same objects in
    /// every call.
    fn unpack<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyArray1<f64>>, Bound<'py, PyDict>)> {
        let (per_target, details) = self.unpacked.get_or_try_init(py, || {
            let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (per_target, details) = parts.unwrap_or_default();
            let details = to_dict(py, details)?.unbind();
            Ok::<_, PyErr>((PyArray1::from_vec(py, per_target).unbind(), details))
        })?;
        Ok((per_target.bind(py).clone(), details.bind(py).clone()))
    }
}

impl Outcome {
    pub(crate) fn new(outcome: metrics::Outcome) -> Self {
        Self {
            value: outcome.value,
            exact: outcome.exact,
            warnings: outcome.warnings,
            parts: Mutex::new(Some((outcome.per_target, outcome.details))),
            unpacked: PyOnceLock::new(),
        }
    }
}

fn to_dict<'py>(
    py: Python<'py>,
    named: Vec<(&'static str, Detail)>,
) -> PyResult<Bound<'py, PyDict>> {
    let details = PyDict::new(py);
    for (name, detail) in named {
        match detail {
            Detail::Number(v) => details.set_item(name, v)?,
            Detail::Count(v) => details.set_item(name, v)?,
            Detail::Flag(v) => details.set_item(name, v)?,
            Detail::Numbers(v) => details.set_item(name, PyArray1::from_vec(py, v))?,
            Detail::Counts(v) => details
                .set_item(name, PyArray1::from_iter(py, v.into_iter().map(|count| count as u64)))?,
            Detail::Flags(v) => details.set_item(name, PyArray1::from_vec(py, v))?,
            Detail::Matrix(m) => details.set_item(name, PyArray2::from_owned_array(py, m))?,
            Detail::Named(v) => {
                let named = PyDict::new(py);
                v.iter().try_for_each(|(key, value)| named.set_item(&**key, value))?;
                details.set_item(name, named)?;
            }
        }
    }
    Ok(details)
}

/// Metrics with their options, read once for any number of calls.
#[pyclass(module = "transferability._core", frozen)]
pub(crate) struct Requests(pub(crate) Vec<(Box<str>, Options)>);

#[pymethods]
impl Requests {
    #[new]
    fn new(requests: Vec<(String, Bound<'_, PyDict>)>) -> PyResult<Self> {
        let one = |(metric, options): (String, Bound<'_, PyDict>)| {
            let mut pairs = Vec::new();
            for (name, value) in options {
                let name: String = name.extract()?;
                if !value.is_none() {
                    pairs.push((name.clone().into_boxed_str(), option(&metric, &name, &value)?));
                }
            }
            Ok((metric.into_boxed_str(), Options(pairs)))
        };
        requests.into_iter().map(one).collect::<PyResult<_>>().map(Self)
    }

    /// Raises if every metric decomposes features and LAPACK cannot decompose those of this shape.
    fn check_shape(&self, n_rows: usize, n_cols: usize) -> PyResult<()> {
        Ok(metrics::check_shape(&self.0, (n_rows, n_cols)).map_err(CoreError)?)
    }
}

fn option(metric: &str, name: &str, value: &Bound<'_, PyAny>) -> PyResult<OptionValue> {
    if let Ok(flag) = value.extract::<bool>() {
        return Ok(OptionValue::Flag(flag));
    }
    if let Ok(number) = value.extract::<f64>() {
        return Ok(OptionValue::Number(number));
    }
    if let Ok(numbers) = value.extract::<Vec<f64>>() {
        return Ok(OptionValue::Numbers(numbers));
    }
    let kinds = "a number, a list of numbers, a string or a bool";
    let refused = |_| named("DtypeError", format!("option {name:?} of {metric} must be {kinds}"));
    Ok(OptionValue::Text(value.extract::<String>().map_err(refused)?.into_boxed_str()))
}

/// One dictionary for every metric.
#[pyfunction]
pub(crate) fn metric_table(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let row = |metric: &metrics::Metric| {
        let row = PyDict::new(py);
        row.set_item("name", metric.name)?;
        row.set_item("title", metric.title)?;
        row.set_item("summary", metric.summary)?;
        let needs: Vec<&str> = metric.needs.iter().map(|needs| needs.name()).collect();
        row.set_item("needs", needs)?;
        row.set_item("tasks", metric.tasks)?;
        row.set_item("cost", metric.cost)?;
        row.set_item("source", metric.source)?;
        Ok(row)
    };
    METRICS.iter().map(row).collect()
}
