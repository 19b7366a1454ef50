//! Python bindings of the transferability core: convert, call, convert.

mod arrays;
mod covariance;
mod errors;
mod inputs;
mod kept;
mod outcome;
mod reference;
mod run;
mod state;
mod stats;

use pyo3::prelude::*;

/// The native core. Its functions take checked NumPy arrays; the package around it is the API.
#[pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;
    use pyo3::types::PyDict;

    use crate::errors::CoreError;

    #[pymodule_export]
    use super::arrays::span;
    #[pymodule_export]
    use super::covariance::{
        check_shape, class_covariances, class_covariances_of, class_means, coding_rate,
        coding_rate_reduction, covariance_of, discriminant, of as covariance, spectrum,
    };
    #[pymodule_export]
    use super::kept::release_memory;
    #[pymodule_export]
    use super::outcome::{Outcome, Requests, metric_table};
    #[pymodule_export]
    use super::reference::fixed_point;
    #[pymodule_export]
    use super::run::Stop;
    #[pymodule_export]
    use super::state::{digest, from_bytes, from_moments, moments, to_bytes};
    #[pymodule_export]
    use super::stats::{Stats, compute};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        let _buffers = transferability::linalg::reserve_buffers(1).map_err(CoreError)?;
        transferability::linalg::warm_up();
        Ok(())
    }

    /// Return the version of this package and its linear algebra library.
    #[pyfunction]
    fn show_config(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let blas = transferability::linalg::openblas();
        let config = PyDict::new(py);
        config.set_item("version", env!("CARGO_PKG_VERSION"))?;
        config.set_item("blas", blas.config)?;
        config.set_item("blas_core", blas.core)?;
        config.set_item("blas_static", blas.is_static)?;
        Ok(config)
    }
}
