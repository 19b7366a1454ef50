//! Core errors as exceptions of `transferability.errors`.

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use transferability::error::{Error, Kind};

/// A core error on its way to Python.
pub(crate) struct CoreError(pub(crate) Error);

impl From<CoreError> for PyErr {
    fn from(CoreError(error): CoreError) -> Self {
        match error.kind() {
            Kind::Data => named("DataError", error.to_string()),
            Kind::Numerical => named("NumericalError", error.to_string()),
            Kind::Memory => named("OutOfMemoryError", error.to_string()),
            Kind::Interrupted => PyKeyboardInterrupt::new_err(()),
        }
    }
}

/// An exception of this class of `transferability.errors`.
pub(crate) fn named(class: &str, message: String) -> PyErr {
    Python::attach(|py| {
        let class = py.import("transferability.errors").and_then(|module| module.getattr(class));
        match class.and_then(|class| class.call1((message,))) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    })
}
