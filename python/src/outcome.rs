//! Outcomes and the table of metrics as Python dictionaries.

use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use transferability::metrics::{Detail, METRICS, OptionValue, Options, Outcome};

use crate::errors::named;

/// `{"value", "per_target", "details", "warnings", "exact"}`.
pub(crate) fn to_dict(py: Python<'_>, outcome: Outcome) -> PyResult<Bound<'_, PyDict>> {
    let details = PyDict::new(py);
    for (name, detail) in outcome.details {
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
    let result = PyDict::new(py);
    result.set_item("value", outcome.value)?;
    result.set_item("per_target", PyArray1::from_vec(py, outcome.per_target))?;
    result.set_item("details", details)?;
    result.set_item("warnings", outcome.warnings)?;
    result.set_item("exact", outcome.exact)?;
    Ok(result)
}

/// Metric names with their options.
pub(crate) fn requests(
    requests: Vec<(String, Bound<'_, PyDict>)>,
) -> PyResult<Vec<(Box<str>, Options)>> {
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
    requests.into_iter().map(one).collect()
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
    let row = |metric: &transferability::metrics::Metric| {
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
