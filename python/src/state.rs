//! Statistics as bytes and as moments.

use std::sync::atomic::AtomicBool;

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use transferability::error::Error;
use transferability::input::Label;
use transferability::memory::Gather;
use transferability::stats::{
    JointMoments, Moments, Precision, Responses, Stats as Core, TargetMoments,
};

use crate::arrays::{class_name, listed};
use crate::errors::{CoreError, named};
use crate::run::run;
use crate::stats::{Stats, precision_name};

const MOMENTS: &str = "the moments";

/// The statistics as bytes, with notes.
#[pyfunction]
pub(crate) fn to_bytes<'py>(
    py: Python<'py>,
    stats: &Stats,
    notes: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let stats = stats.read(py);
    let bytes = py.detach(|| stats.to_bytes(notes)).map_err(CoreError)?;
    // Room that the interpreter cannot find is an error, where `PyBytes::new` would panic.
    let len = bytes.len();
    let copied = PyBytes::new_with(py, len, |room| {
        room.copy_from_slice(&bytes);
        Ok(())
    });
    let what = "the statistics as bytes";
    Ok(copied.map_err(|_| CoreError(Error::OutOfMemory { what, bytes: len }))?)
}

/// The statistics and the notes in bytes that `to_bytes` wrote.
#[pyfunction]
#[pyo3(signature = (data, *, trusted = false))]
pub(crate) fn from_bytes<'a>(
    py: Python<'_>,
    data: &'a [u8],
    trusted: bool,
) -> PyResult<(Stats, &'a str)> {
    let (core, notes) = run(py, 1, 0.0, &AtomicBool::new(false), |context| {
        if trusted { Core::from_trusted_bytes(data) } else { Core::from_bytes(data, context) }
    })?;
    Ok((Stats::wrap(core), notes))
}

/// The SHA-256 of the statistics, without notes.
#[pyfunction]
pub(crate) fn digest<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyBytes>> {
    let stats = stats.read(py);
    Ok(PyBytes::new(py, &py.detach(|| stats.digest()).map_err(CoreError)?))
}

/// The moments, as arrays by name; without the labels and every class with `of_features`.
#[pyfunction]
#[pyo3(signature = (stats, n_threads, of_features = false))]
pub(crate) fn moments<'py>(
    py: Python<'py>,
    stats: &Stats,
    n_threads: usize,
    of_features: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let copy = if of_features {
        let inner = &*stats.read(py);
        py.detach(|| inner.without_responses()).map_err(CoreError)?
    } else {
        stats.cloned(py)?
    };
    let work = (copy.n_features() as f64).powi(3);
    let moments = run(py, n_threads, work, stats.stop(), |context| copy.into_moments(context))?;
    to_dict(py, moments)
}

/// The statistics with these moments, in the form that `moments` returns.
#[pyfunction]
pub(crate) fn from_moments(moments: &Bound<'_, PyDict>) -> PyResult<Stats> {
    let (py, moments) = (moments.py(), from_dict(moments)?);
    let never = AtomicBool::new(false);
    Ok(Stats::wrap(run(py, 1, 0.0, &never, |context| Core::from_moments(moments, context))?))
}

fn to_dict(py: Python<'_>, moments: Moments) -> PyResult<Bound<'_, PyDict>> {
    let d = moments.shift.len();
    let dict = PyDict::new(py);
    dict.set_item("precision", precision_name(moments.precision))?;
    dict.set_item("n_samples", moments.n_samples)?;
    for (key, values) in [("shift", moments.shift), ("sum", moments.sum), ("cubic", moments.cubic)]
    {
        dict.set_item(key, values.into_pyarray(py))?;
    }
    dict.set_item("scatter", matrix(py, moments.scatter, d)?)?;
    dict.set_item("quartic", moments.quartic)?;
    dict.set_item("largest", moments.largest)?;
    match moments.responses {
        Responses::Nothing => {}
        Responses::Labels { classes, counts, sums, squares } => {
            dict.set_item("classes", names(py, &classes)?)?;
            dict.set_item("class_counts", counts.into_pyarray(py))?;
            dict.set_item("class_sums", matrix(py, sums, d)?)?;
            if let Some(squares) = squares {
                dict.set_item("class_squares", squares.into_pyarray(py))?;
            }
        }
        Responses::Targets { shift, sum, square, cross, joint } => {
            if let Some(joint) = joint {
                set_joint(&dict, joint)?;
            }
            dict.set_item("cross", matrix(py, cross, shift.len())?)?;
            for (key, values) in
                [("target_shift", shift), ("target_sum", sum), ("target_square", square)]
            {
                dict.set_item(key, values.into_pyarray(py))?;
            }
        }
    }
    if let Some(classes) = moments.by_class {
        let by_class = PyDict::new(py);
        for (class, moments) in classes {
            by_class.set_item(name(py, &class)?, to_dict(py, moments)?)?;
        }
        dict.set_item("by_class", by_class)?;
    }
    Ok(dict)
}

fn set_joint(dict: &Bound<'_, PyDict>, joint: JointMoments) -> PyResult<()> {
    let py = dict.py();
    dict.set_item("joint_quartic", joint.quartic)?;
    dict.set_item("joint_features", joint.features.into_pyarray(py))?;
    let k = joint.targets.len();
    dict.set_item("joint_targets", joint.targets.into_pyarray(py))?;
    let Some(own) = joint.own else { return Ok(()) };
    dict.set_item("target_products", matrix(py, own.products, k)?)?;
    dict.set_item("target_cubic", own.cubic.into_pyarray(py))?;
    dict.set_item("target_quartic", own.quartic)
}

fn matrix(py: Python<'_>, values: Vec<f64>, n_cols: usize) -> PyResult<Bound<'_, PyAny>> {
    let n_rows = values.len() / n_cols.max(1);
    let matrix = Array2::from_shape_vec((n_rows, n_cols), values);
    let matrix = matrix.map_err(|error| named("InternalError", error.to_string()))?;
    Ok(matrix.into_pyarray(py).into_any())
}

/// The name of a class as an integer or a string.
#[allow(unsafe_code)]
fn name<'py>(py: Python<'py>, class: &Label) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a new object, or null with a MemoryError set, where conversions of pyo3 would panic.
    unsafe {
        let name = match class {
            Label::Int(id) => ffi::PyLong_FromLongLong(*id),
            Label::Text(name) => {
                ffi::PyUnicode_FromStringAndSize(name.as_ptr().cast(), name.len().cast_signed())
            }
        };
        Bound::from_owned_ptr_or_err(py, name)
    }
}

/// Class names as a list of integers or strings.
pub(crate) fn names<'py, 'a>(
    py: Python<'py>,
    classes: impl IntoIterator<Item = &'a Label>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    classes.into_iter().try_for_each(|class| list.append(name(py, class)?))?;
    Ok(list)
}

/// The rows of each class, as a list.
#[allow(unsafe_code)]
pub(crate) fn counts<'py>(
    py: Python<'py>,
    classes: &[(Label, u64)],
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (_, count) in classes {
        let count = unsafe {
            // SAFETY: as in `name`.
            Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromUnsignedLongLong(*count))?
        };
        list.append(count)?;
    }
    Ok(list)
}

fn class(value: &Bound<'_, PyAny>) -> PyResult<Label> {
    match value.extract::<i64>() {
        Ok(id) => Ok(Label::Int(id)),
        Err(_) => Ok(Label::Text(class_name(value)?)),
    }
}

fn from_dict(dict: &Bound<'_, PyDict>) -> PyResult<Moments> {
    let get = |key: &str| Ok::<_, PyErr>(dict.get_item(key)?.filter(|value| !value.is_none()));
    let need =
        |key: &str| get(key)?.ok_or_else(|| named("DataError", format!("moments have no {key:?}")));
    let vector = |key: &str| {
        let array = need(key)?.extract::<PyReadonlyArray1<'_, f64>>()?;
        Ok::<_, PyErr>(array.as_array().iter().copied().gathered(MOMENTS).map_err(CoreError)?)
    };
    let matrix = |key: &str| {
        let array = need(key)?.extract::<PyReadonlyArray2<'_, f64>>()?;
        Ok::<_, PyErr>(array.as_array().iter().copied().gathered(MOMENTS).map_err(CoreError)?)
    };
    let responses = if let Some(classes) = get("classes")? {
        let counts: PyReadonlyArray1<'_, u64> = need("class_counts")?.extract()?;
        Responses::Labels {
            classes: listed(&classes, MOMENTS, |value| class(&value))?,
            counts: counts.as_array().iter().copied().gathered(MOMENTS).map_err(CoreError)?,
            sums: matrix("class_sums")?,
            squares: get("class_squares")?.map(|_| vector("class_squares")).transpose()?,
        }
    } else if get("target_shift")?.is_some() {
        let own = || {
            Ok::<_, PyErr>(TargetMoments {
                products: matrix("target_products")?,
                cubic: vector("target_cubic")?,
                quartic: need("target_quartic")?.extract()?,
            })
        };
        let joint = || {
            Ok::<_, PyErr>(JointMoments {
                quartic: need("joint_quartic")?.extract()?,
                features: vector("joint_features")?,
                targets: vector("joint_targets")?,
                own: get("target_products")?.map(|_| own()).transpose()?,
            })
        };
        Responses::Targets {
            joint: get("joint_quartic")?.map(|_| joint()).transpose()?,
            shift: vector("target_shift")?,
            sum: vector("target_sum")?,
            square: vector("target_square")?,
            cross: matrix("cross")?,
        }
    } else {
        Responses::Nothing
    };
    let by_class = get("by_class")?.map(|classes| {
        let classes = classes.cast_into::<PyDict>()?;
        listed(&classes, MOMENTS, |key| {
            let value = classes.as_any().get_item(&key)?;
            Ok((class(&key)?, from_dict(value.cast::<PyDict>()?)?))
        })
    });
    let precision: String = need("precision")?.extract()?;
    Ok(Moments {
        precision: if precision == "single" { Precision::Single } else { Precision::Double },
        n_samples: need("n_samples")?.extract()?,
        shift: vector("shift")?,
        sum: vector("sum")?,
        scatter: matrix("scatter")?,
        cubic: vector("cubic")?,
        quartic: need("quartic")?.extract()?,
        largest: need("largest")?.extract()?,
        responses,
        by_class: by_class.transpose()?,
    })
}
