//! Every way a call can fail, with the argument's name, the numbers, and what to do.
//!
//! Messages name arguments and options, and no function of a language binding: a binding adds the
//! call that helps.

/// The result of a fallible core function.
pub type Result<T> = std::result::Result<T, Error>;

/// What a failure means to the caller; a language binding has one exception class for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value or a shape is wrong (`ValueError`).
    Data,
    /// A factorisation failed (`RuntimeError`).
    Numerical,
    /// Memory could not be had (`MemoryError`).
    Memory,
    /// The caller asked to stop.
    Interrupted,
}

/// Every way a call can fail.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two lengths that must agree do not.
    #[error("{name} has {actual} {axis}, expected {expected}")]
    Shape {
        /// The argument.
        name: &'static str,
        /// What is counted: "rows", "columns".
        axis: &'static str,
        /// Its count.
        actual: usize,
        /// The count it must have.
        expected: usize,
    },
    /// An axis of length zero.
    #[error("{name} has no {axis}; give at least one")]
    Empty {
        /// The argument.
        name: &'static str,
        /// What is counted.
        axis: &'static str,
    },
    /// Fewer samples than the quantity needs.
    #[error("{what} needs at least {minimum} samples, got {n_samples}")]
    TooFewSamples {
        /// What was asked for.
        what: &'static str,
        /// The samples there are (weights counted).
        n_samples: u64,
        /// The samples needed.
        minimum: u64,
    },
    /// NaN or infinity in the data.
    #[error(
        "{name}[{row}, {column}] is {value}; every value must be finite: drop or impute such rows"
    )]
    NotFinite {
        /// The argument.
        name: &'static str,
        /// Row of the first such value within the block.
        row: usize,
        /// Its column.
        column: usize,
        /// The value itself.
        value: f64,
    },
    /// Magnitudes whose squares leave the range of float64.
    #[error(
        "{name} reach {largest:e} in absolute value; their squares {problem} float64: rescale them"
    )]
    OutOfRange {
        /// The argument.
        name: &'static str,
        /// The largest magnitude.
        largest: f64,
        /// "overflow" or "underflow".
        problem: &'static str,
    },
    /// A target that does not vary, where variation is needed.
    #[error(
        "target column {column} is constant ({value:?}): with an intercept there is nothing to explain; \
         drop the column"
    )]
    ConstantTarget {
        /// The column.
        column: usize,
        /// Its value.
        value: f64,
    },
    /// A target that is zero everywhere.
    #[error(
        "target column {column} is zero everywhere: its evidence is unbounded; drop the column"
    )]
    ZeroTarget {
        /// The column.
        column: usize,
    },
    /// Samples that are not those of the statistics.
    #[error("features have {actual} samples, but the statistics were made of {expected}")]
    OtherSamples {
        /// The samples given.
        actual: u64,
        /// The samples accumulated.
        expected: u64,
    },
    /// Every target was left out because it does not vary.
    #[error("every target is the same in all rows, so there is nothing to predict")]
    NothingVaries,
    /// A negative sample weight.
    #[error("sample_weight[{row}] is {value}; weights count repeated rows and must be 0 or more")]
    NegativeWeight {
        /// The row.
        row: usize,
        /// The weight.
        value: i64,
    },
    /// The sum of the sample weights leaves the range in which counts are exact.
    #[error("sample_weight sums to more than 2^53 samples; use smaller weights")]
    TooManySamples,
    /// A label id outside the list of names.
    #[error("labels[{row}] is {id}, but there are {n_names} class names")]
    UnknownLabel {
        /// The row.
        row: usize,
        /// The id.
        id: i64,
        /// The number of names.
        n_names: usize,
    },
    /// Labels and targets in one accumulator.
    #[error(
        "this Stats holds {holds}, but the update or merge brings {brings}; use one Stats each"
    )]
    MixedResponse {
        /// What it holds.
        holds: &'static str,
        /// What came.
        brings: &'static str,
    },
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
    Unaddressable {
        /// Rows.
        n_rows: usize,
        /// Columns.
        n_cols: usize,
    },
    /// More columns or rows than LAPACK's 32-bit workspace sizes allow.
    #[error(
        "a decomposition of order {order} exceeds {limit}, the largest that LAPACK can address"
    )]
    TooLarge {
        /// min(N, D).
        order: usize,
        /// The largest order.
        limit: usize,
    },
    /// Memory could not be reserved.
    #[error(
        "{what} needs {bytes} bytes, which could not be reserved; use fewer rows or columns at a time"
    )]
    OutOfMemory {
        /// What the memory is for.
        what: &'static str,
        /// How much.
        bytes: usize,
    },
    /// A LAPACK routine failed.
    #[error("LAPACK's {routine} failed with info = {info} on a matrix of order {order}")]
    Lapack {
        /// The routine.
        routine: &'static str,
        /// Its return code.
        info: i32,
        /// The order of the matrix.
        order: usize,
    },
    /// A metric that is not in the table.
    #[error("there is no metric {name:?}; known metrics: {known}")]
    UnknownMetric {
        /// The name asked for.
        name: Box<str>,
        /// All names, comma-separated.
        known: Box<str>,
    },
    /// An option that the metric does not have.
    #[error("{metric} has no option {option:?}; its options: {known}")]
    UnknownOption {
        /// The metric.
        metric: &'static str,
        /// The option.
        option: Box<str>,
        /// The options that it has, comma-separated.
        known: Box<str>,
    },
    /// An option of the wrong type or outside its range.
    #[error("{metric}: option {option} is {value}; give {expected}")]
    BadOption {
        /// The metric.
        metric: &'static str,
        /// The option.
        option: &'static str,
        /// The value given.
        value: Box<str>,
        /// The values allowed.
        expected: Box<str>,
    },
    /// Something a metric needs was not given.
    #[error("{what} are needed and were not given")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
    /// A metric refuses its input.
    #[error("{metric}: {problem}")]
    Metric {
        /// The metric.
        metric: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Rows of the source model's outputs that are no probability distributions.
    #[error("{metric}: {problem}")]
    NotProbabilities {
        /// The metric.
        metric: &'static str,
        /// The row, the numbers, and how to correct them.
        problem: String,
    },
    /// A quantity that statistics do not hold, where the samples were not given.
    #[error("{metric}: {problem}")]
    NotInStatistics {
        /// The metric.
        metric: &'static str,
        /// The quantity.
        problem: &'static str,
    },
    /// Statistics with the classes on their own, and statistics without.
    #[error(
        "one of the two Stats holds class scatters and the other does not; make both with them, or \
         neither"
    )]
    MixedClassScatters,
    /// Bytes that are not, or no longer, the statistics they claim to be.
    #[error("this is no usable file of statistics: {problem}")]
    StateFile {
        /// What is wrong with them.
        problem: String,
    },
    /// Moments that no rows could have.
    #[error("moments: {problem}")]
    Moments {
        /// What is wrong with them.
        problem: String,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Return the class of the error, for the caller.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Lapack { .. } => Kind::Numerical,
            Self::OutOfMemory { .. } => Kind::Memory,
            Self::Interrupted => Kind::Interrupted,
            _ => Kind::Data,
        }
    }
}
