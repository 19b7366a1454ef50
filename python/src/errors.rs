//! Core errors as exceptions of `transferability.errors`.

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use transferability::error::{Error, Kind};

/// A core error on its way to Python.
pub(crate) struct CoreError(pub(crate) Error);

impl From<CoreError> for PyErr {
    fn from(CoreError(error): CoreError) -> Self {
        let class = match error.kind() {
            Kind::Data => "DataError",
            Kind::Numerical => "NumericalError",
            Kind::Memory => "OutOfMemoryError",
            Kind::Interrupted => return PyKeyboardInterrupt::new_err(()),
        };
        named(class, format!("{error}{}", remedy(&error)))
    }
}

/// The call or argument of the Python package that helps, as the end of the message.
fn remedy(error: &Error) -> String {
    match error {
        Error::ConstantTarget { .. } => " or pass intercept=False".into(),
        Error::MixedClassScatters => " (class_scatters=True)".into(),
        Error::NoData => "; call update(features, labels) first".into(),
        Error::NotProbabilities { .. } => "; pass from_logits=True if these are logits".into(),
        Error::NotInStatistics { metric, .. } => {
            format!("; call transferability.{metric} with features and labels")
        }
        _ => String::new(),
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
