//! NumPy arrays as inputs of the core, without a copy.

use std::sync::Arc;

use half::f16;
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyString;
use transferability::input::{Block, Response, Rows};
use transferability::memory::{append, reserved, shared};

use crate::errors::{CoreError, named};

/// Defines the enum of arrays by dtype; extraction tries the dtypes in this order.
macro_rules! features {
    ($($variant:ident($type:ty)),* $(,)?) => {
        /// A 2-D array of any supported dtype.
        pub(crate) enum Features<'py> { $($variant(PyReadonlyArray2<'py, $type>)),* }

        impl<'py> Features<'py> {
            fn of_known_dtype(object: Borrowed<'_, 'py, PyAny>) -> Option<Self> {
                $(if let Ok(array) = object.extract() { return Some(Self::$variant(array)); })*
                None
            }

            pub(crate) fn rows(&self) -> Box<dyn Rows + Send + '_> {
                match self { $(Self::$variant(array) => Box::new(array.as_array())),* }
            }
        }
    };
}
features!(
    F32(f32),
    F64(f64),
    F16(f16),
    I64(i64),
    I32(i32),
    I16(i16),
    I8(i8),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    Bool(bool),
);

impl<'a, 'py> FromPyObject<'a, 'py> for Features<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Self::of_known_dtype(object).ok_or_else(|| {
            let what = object.cast::<PyUntypedArray>().map_or_else(
                |_| object.get_type().to_string(),
                |array| format!("{}-D {}", array.ndim(), array.dtype()),
            );
            named("DtypeError", format!("features must be a 2-D array of real numbers, got {what}"))
        })
    }
}

const CLASSES: &str = "the names of the classes";

/// The name of a class.
///
/// Text of Python may have characters beyond Unicode, which NumPy makes of any 32 bits. Its UTF-8 is
/// none then, and `PyString::to_str` does not look.
pub(crate) fn class_name(text: &Bound<'_, PyAny>) -> PyResult<Arc<str>> {
    let bytes = text.cast::<PyString>()?.encode_utf8()?;
    let text = std::str::from_utf8(bytes.as_bytes())
        .map_err(|_| named("DataError", format!("{CLASSES} hold text that is not Unicode")))?;
    Ok(shared(text, CLASSES).map_err(CoreError)?)
}

/// What a Python sequence or dict lists, each as `one` reads it.
pub(crate) fn listed<'py, T>(
    items: &Bound<'py, PyAny>,
    what: &'static str,
    one: impl Fn(Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    let mut found = reserved(items.len()?, what).map_err(CoreError)?;
    for item in items.try_iter()? {
        append(&mut found, one(item?)?, what).map_err(CoreError)?;
    }
    Ok(found)
}

/// The labels or targets of rows, and their weights.
pub(crate) struct Scored<'py> {
    response: Kind<'py>,
    weights: Option<PyReadonlyArray1<'py, i64>>,
}

enum Kind<'py> {
    Nothing,
    Labels { ids: PyReadonlyArray1<'py, i64>, names: Option<Vec<Arc<str>>> },
    Targets(PyReadonlyArray2<'py, f64>),
}

impl<'py> Scored<'py> {
    pub(crate) fn labels(
        ids: PyReadonlyArray1<'py, i64>,
        names: Option<&Bound<'py, PyAny>>,
        weights: Option<PyReadonlyArray1<'py, i64>>,
    ) -> PyResult<Self> {
        let names = names.map(|names| listed(names, CLASSES, |name| class_name(&name)));
        Ok(Self { response: Kind::Labels { ids, names: names.transpose()? }, weights })
    }

    pub(crate) fn targets(
        targets: PyReadonlyArray2<'py, f64>,
        weights: Option<PyReadonlyArray1<'py, i64>>,
    ) -> Self {
        Self { response: Kind::Targets(targets), weights }
    }

    pub(crate) fn nothing(weights: Option<PyReadonlyArray1<'py, i64>>) -> Self {
        Self { response: Kind::Nothing, weights }
    }

    /// Borrows the labels or targets; without any, as a response of `n_rows` rows.
    pub(crate) fn response(&self, n_rows: usize) -> PyResult<Response<'_>> {
        Ok(match &self.response {
            Kind::Nothing => Response::Nothing(n_rows),
            Kind::Labels { ids, names } => {
                Response::Labels { ids: contiguous(ids, "labels")?, names: names.as_deref() }
            }
            Kind::Targets(targets) => Response::Targets(targets.as_array()),
        })
    }

    pub(crate) fn block<'a>(&'a self, features: &'a dyn Rows) -> PyResult<Block<'a>> {
        let response = self.response(features.n_rows())?;
        let weights = self.weights.as_ref().map(|weights| contiguous(weights, "sample_weight"));
        Ok(Block::new(features, response, weights.transpose()?).map_err(CoreError)?)
    }
}

pub(crate) fn contiguous<'a>(
    array: &'a PyReadonlyArray1<'_, i64>,
    name: &str,
) -> PyResult<&'a [i64]> {
    array.as_slice().map_err(|_| named("DataError", format!("{name} must be contiguous")))
}

/// The least and the largest class id, of at least one.
#[pyfunction]
pub(crate) fn span(ids: PyReadonlyArray1<'_, i64>) -> PyResult<(i64, i64)> {
    let ids = ids.as_array();
    let (least, most) =
        ids.iter().fold((i64::MAX, i64::MIN), |(a, b), id| (a.min(*id), b.max(*id)));
    if ids.is_empty() {
        return Err(named("DataError", "labels is empty".to_owned()));
    }
    Ok((least, most))
}
