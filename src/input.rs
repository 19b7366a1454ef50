//! The input of the core: rows of features in any layout and number format, with labels or targets.
//!
//! Features are read row by row into float64, each number once, so that an array that another
//! thread changes meanwhile gives a wrong score at worst, never undefined behaviour.

use std::sync::Arc;

use half::{f16, slice::HalfFloatSliceExt};
use ndarray::{ArrayBase, ArrayView2, Axis, Data, Ix2};

use crate::error::{Error, Result};

/// Rows that can be read as float64, whatever they are stored as.
pub trait Rows: Sync {
    /// `n_samples`.
    fn n_rows(&self) -> usize;
    /// `n_features`.
    fn n_cols(&self) -> usize;
    /// Writes row `i`, converted, into `out` of length `n_cols`.
    fn read_row(&self, i: usize, out: &mut [f64]);
    /// The relative precision of the stored numbers.
    fn epsilon(&self) -> f64 {
        f64::EPSILON
    }
}

/// A number format that features may be stored in.
pub trait Element: Copy + Sync {
    /// The relative precision of the format.
    const EPSILON: f64 = f64::EPSILON;
    /// Converts one value.
    fn to_f64(self) -> f64;
    /// Converts a contiguous run.
    fn convert(source: &[Self], out: &mut [f64]) {
        for (out, value) in out.iter_mut().zip(source) {
            *out = value.to_f64();
        }
    }
}

macro_rules! elements {
    ($($type:ty),*) => {$(
        impl Element for $type {
            #[allow(clippy::cast_lossless)] // one macro for types with and without `From`
            fn to_f64(self) -> f64 { self as f64 }
        }
    )*};
}
elements!(f64, i8, i16, i32, i64, u8, u16, u32, u64);

impl Element for bool {
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl Element for f32 {
    const EPSILON: f64 = 1.0 / 8_388_608.0; // 2^-23

    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Element for f16 {
    const EPSILON: f64 = 1.0 / 1024.0; // 2^-10

    fn to_f64(self) -> f64 {
        f16::to_f64(self)
    }

    fn convert(source: &[Self], out: &mut [f64]) {
        const RUN: usize = 256; // the hardware converts runs, to float32
        let mut wide = [0.0_f32; RUN];
        for (source, out) in source.chunks(RUN).zip(out.chunks_mut(RUN)) {
            let wide = &mut wide[..source.len()];
            source.convert_to_f32_slice(wide);
            f32::convert(wide, out);
        }
    }
}

impl<T: Element, S: Data<Elem = T> + Sync> Rows for ArrayBase<S, Ix2> {
    fn epsilon(&self) -> f64 {
        T::EPSILON
    }

    fn n_rows(&self) -> usize {
        self.nrows()
    }

    fn n_cols(&self) -> usize {
        self.ncols()
    }

    fn read_row(&self, i: usize, out: &mut [f64]) {
        let row = self.index_axis(Axis(0), i);
        if let Some(contiguous) = row.as_slice() {
            T::convert(contiguous, out);
        } else {
            for (out, value) in out.iter_mut().zip(row.iter()) {
                *out = value.to_f64();
            }
        }
    }
}

/// Refuses NaN and infinity in the values of a row; `row` is its index for the error.
pub(crate) fn check_finite(name: &'static str, row: usize, values: &[f64]) -> Result<()> {
    const LANES: usize = 8; // side by side, or each step would wait for the last
    let mut probe = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    let mut total: f64 = chunks.remainder().iter().map(|v| v * 0.0).sum();
    for chunk in chunks {
        for (probe, value) in probe.iter_mut().zip(chunk) {
            *probe += value * 0.0; // NaN for infinities too
        }
    }
    total += probe.iter().sum::<f64>();
    if !total.is_nan() {
        return Ok(());
    }
    let column = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
    Err(Error::NotFinite { name, row, column, value: values[column] })
}

/// The name of a class: an integer, or a string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// An integer id (booleans are 0 and 1).
    Int(i64),
    /// A name.
    Text(Arc<str>),
}

impl std::fmt::Display for Label {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(id) => write!(out, "{id}"),
            Self::Text(name) => write!(out, "{name:?}"),
        }
    }
}

/// The labels or targets of one block of rows.
#[derive(Clone, Copy)]
pub enum Response<'a> {
    /// One class a row.
    Labels {
        /// The class ids; any integers, or indices into `names`.
        ids: &'a [i64],
        /// The names that the ids index, no two the same, if classes have names.
        names: Option<&'a [Arc<str>]>,
    },
    /// Real values, (`n_samples`, `n_targets`).
    Targets(ArrayView2<'a, f64>),
    /// Nothing, for this many rows.
    Nothing(usize),
}

impl<'a> Response<'a> {
    /// The same for a shorter lifetime, which array views do not shrink to by themselves.
    #[must_use]
    pub fn reborrow<'b>(&self) -> Response<'b>
    where
        'a: 'b,
    {
        match *self {
            Self::Labels { ids, names } => Response::Labels { ids, names },
            Self::Targets(targets) => Response::Targets(targets.reborrow()),
            Self::Nothing(n_rows) => Response::Nothing(n_rows),
        }
    }

    /// The number of rows described.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        match self {
            Self::Labels { ids, .. } => ids.len(),
            Self::Targets(targets) => targets.nrows(),
            Self::Nothing(n_rows) => *n_rows,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Labels { .. } => "labels",
            Self::Targets(_) => "targets",
            Self::Nothing(_) => "nothing",
        }
    }
}

/// One block of checked input: as many weights and responses as rows, at least one column.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    /// The features.
    pub features: &'a dyn Rows,
    /// Their labels or targets.
    pub response: Response<'a>,
    /// How many times each row counts; `None` is once.
    pub weights: Option<&'a [i64]>,
}

/// Check that features of this shape can be addressed.
///
/// # Errors
/// [`Error::Unaddressable`].
pub(crate) fn check_addressable((n_rows, n_cols): (usize, usize)) -> Result<()> {
    let bytes = n_rows.checked_mul(n_cols).and_then(|n| n.checked_mul(size_of::<f64>()));
    let limit = isize::MAX.unsigned_abs();
    // BLAS counts columns in 32 bits.
    if bytes.is_none_or(|bytes| bytes > limit) || n_cols > i32::MAX.unsigned_abs() as usize {
        return Err(Error::Unaddressable { n_rows, n_cols });
    }
    Ok(())
}

impl<'a> Block<'a> {
    /// Checks that the parts of a block belong together.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::Shape`], [`Error::NegativeWeight`], [`Error::TooManySamples`].
    pub fn new(
        features: &'a dyn Rows,
        response: Response<'a>,
        weights: Option<&'a [i64]>,
    ) -> Result<Self> {
        let expected = features.n_rows();
        if features.n_cols() == 0 {
            return Err(Error::Empty { name: "features", axis: "columns" });
        }
        check_addressable((expected, features.n_cols()))?;
        if response.n_rows() != expected {
            let (name, actual) = (response.name(), response.n_rows());
            return Err(Error::Shape { name, axis: "rows", actual, expected });
        }
        if let Response::Targets(targets) = response
            && targets.ncols() == 0
        {
            return Err(Error::Empty { name: "targets", axis: "columns" });
        }
        if let Some(weights) = weights {
            let actual = weights.len();
            if actual != expected {
                return Err(Error::Shape { name: "sample_weight", axis: "rows", actual, expected });
            }
            if let Some(row) = weights.iter().position(|w| *w < 0) {
                return Err(Error::NegativeWeight { row, value: weights[row] });
            }
            let total: i128 = weights.iter().map(|w| i128::from(*w)).sum();
            if total > 1 << 53 {
                return Err(Error::TooManySamples);
            }
        }
        Ok(Self { features, response, weights })
    }

    /// The sum of the weights, or the number of rows without weights.
    #[must_use]
    pub fn n_samples(&self) -> u64 {
        (0..self.features.n_rows()).map(|row| self.count(row)).sum()
    }

    /// How often a row counts.
    pub(crate) fn count(&self, row: usize) -> u64 {
        self.weights.map_or(1, |weights| weights[row].unsigned_abs())
    }

    /// How often a row counts, as a factor.
    pub(crate) fn weight(&self, row: usize) -> f64 {
        self.count(row) as f64
    }
}
