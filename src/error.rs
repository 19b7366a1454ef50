//! The errors of the core. A message has the argument's name, the numbers and the remedy.
//!
//! Messages name arguments and options, and no function of a language binding, which may append the
//! call that helps.

/// The result of a fallible core function.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of a failure; a language binding has one exception class for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value or a shape is wrong (`ValueError`).
    Data,
    /// A factorisation failed, or sums left the range of float64 (`RuntimeError`).
    Numerical,
    /// Memory could not be reserved (`MemoryError`).
    Memory,
    /// The caller asked to stop.
    Interrupted,
}

/// Every way a call can fail.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the message of a variant shows its fields
pub enum Error {
    /// Two lengths that must agree do not.
    #[error("{name} has {actual} {axis}, expected {expected}")]
    Shape { name: &'static str, axis: &'static str, actual: usize, expected: usize },
    /// An axis of length zero.
    #[error("{name} has no {axis}; give at least one")]
    Empty { name: &'static str, axis: &'static str },
    /// Fewer samples, weights counted, than the quantity needs.
    #[error("{what} needs at least {minimum} samples, got {n_samples}")]
    TooFewSamples { what: &'static str, n_samples: u64, minimum: u64 },
    /// NaN or infinity in the data, at the first such row of the block.
    #[error(
        "{name}[{row}, {column}] is {value}; every value must be finite: drop or impute such rows"
    )]
    NotFinite { name: &'static str, row: usize, column: usize, value: f64 },
    /// Magnitudes whose squares leave the range of float64; `problem` is "overflow" or "underflow".
    #[error(
        "{name} reach {largest:e} in absolute value; their squares {problem} float64: rescale them"
    )]
    OutOfRange { name: &'static str, largest: f64, problem: &'static str },
    /// A target that does not vary, where variation is needed.
    #[error(
        "target column {column} is constant ({value:?}): with an intercept there is nothing to explain; \
         drop the column"
    )]
    ConstantTarget { column: usize, value: f64 },
    /// A target that is zero everywhere.
    #[error(
        "target column {column} is zero everywhere: its evidence is unbounded; drop the column"
    )]
    ZeroTarget { column: usize },
    /// Samples that are not those of the statistics.
    #[error("features have {actual} samples, but the statistics were made of {expected}")]
    OtherSamples { actual: u64, expected: u64 },
    /// Every target was left out because it does not vary.
    #[error("every target is the same in all rows, so there is nothing to predict")]
    NothingVaries,
    /// A negative sample weight.
    #[error("sample_weight[{row}] is {value}; weights count repeated rows and must be 0 or more")]
    NegativeWeight { row: usize, value: i64 },
    /// The sum of the sample weights leaves the range in which counts are exact.
    #[error("sample_weight sums to more than 2^53 samples; use smaller weights")]
    TooManySamples,
    /// A label id outside the list of names.
    #[error("labels[{row}] is {id}, but there are {n_names} class names")]
    UnknownLabel { row: usize, id: i64, n_names: usize },
    /// Labels and targets in one accumulator.
    #[error(
        "this Stats holds {holds}, but the update or merge brings {brings}; use one Stats each"
    )]
    MixedResponse { holds: &'static str, brings: &'static str },
    /// Integer labels and named labels in one accumulator.
    #[error("labels mix integers and strings across blocks; use one kind for all")]
    MixedLabels,
    /// States accumulated at different precisions.
    #[error("cannot merge a single-precision Stats with a double-precision one")]
    MixedPrecision,
    /// Nothing was accumulated yet.
    #[error("this Stats is empty")]
    NoData,
    /// More numbers than can be addressed.
    #[error(
        "features of {n_rows} x {n_cols} hold more numbers than can be addressed; use fewer rows or \
         columns at a time"
    )]
    Unaddressable { n_rows: usize, n_cols: usize },
    /// More columns or rows than LAPACK's 32-bit workspace sizes allow.
    #[error(
        "a decomposition of order {order} exceeds {limit}, the largest that LAPACK can address"
    )]
    TooLarge { order: usize, limit: usize },
    /// Memory could not be reserved.
    #[error(
        "{what} needs {bytes} bytes, which could not be reserved; use fewer rows or columns at a time"
    )]
    OutOfMemory { what: &'static str, bytes: usize },
    /// A LAPACK routine failed.
    #[error("LAPACK's {routine} failed with info = {info} on a matrix of order {order}")]
    Lapack { routine: &'static str, info: i32, order: usize },
    /// A result that is not a number.
    #[error(
        "{metric} is not a number: sums of these features and labels leave the range of float64; \
         rescale them"
    )]
    Undefined { metric: &'static str },
    /// A metric that is not in the table; `known` has all names, comma-separated.
    #[error("there is no metric {name:?}; known metrics: {known}")]
    UnknownMetric { name: Box<str>, known: Box<str> },
    /// An option that the metric does not have; `known` has its options, comma-separated.
    #[error("{metric} has no option {option:?}; its options: {known}")]
    UnknownOption { metric: &'static str, option: Box<str>, known: Box<str> },
    /// An option of the wrong type or outside its range.
    #[error("{metric}: option {option} is {value}; give {expected}")]
    BadOption { metric: &'static str, option: &'static str, value: Box<str>, expected: Box<str> },
    /// Something a metric needs was not given.
    #[error("{what} are needed and were not given")]
    Missing { what: &'static str },
    /// A problem that a metric found in its input, and the remedy.
    #[error("{metric}: {problem}")]
    Metric { metric: &'static str, problem: String },
    /// Rows of the source model's outputs that are no probability distributions.
    #[error("{metric}: {problem}")]
    NotProbabilities { metric: &'static str, problem: String },
    /// A quantity that statistics do not hold, where the samples were not given.
    #[error("{metric}: {problem}")]
    NotInStatistics { metric: &'static str, problem: &'static str },
    /// Statistics with the classes on their own, and statistics without.
    #[error(
        "one of the two Stats holds class scatters and the other does not; make both with them, or \
         neither"
    )]
    MixedClassScatters,
    /// Bytes that are not, or no longer, the statistics they claim to be.
    #[error("this is no usable file of statistics: {problem}")]
    StateFile { problem: String },
    /// Moments that no rows could have.
    #[error("moments: {problem}")]
    Moments { problem: String },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// A problem that a metric found in its input, with the numbers and the remedy.
    pub(crate) fn metric(metric: &'static str, problem: impl Into<String>) -> Self {
        Self::Metric { metric, problem: problem.into() }
    }

    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Lapack { .. } | Self::Undefined { .. } => Kind::Numerical,
            Self::OutOfMemory { .. } => Kind::Memory,
            Self::Interrupted => Kind::Interrupted,
            _ => Kind::Data,
        }
    }
}
