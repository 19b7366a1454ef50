//! Mergeable sufficient statistics of a feature matrix and its labels or targets.
//!
//! For rows x (D,) with weights w, about a stored shift s (D,):
//!
//! | held | shape | when |
//! |---|---|---|
//! | n = Σ w, Σ w (x − s) | 1, (D,) | always |
//! | the rows x − s, their weights and responses | (N, D) | while N ≤ D |
//! | scatter Σ w (x − s)(x − s)ᵀ | (D, D), upper triangle | once N > D |
//! | classes and their counts | (C,) | labels |
//! | class sums Σ w (x − s), class squares Σ w ‖x − s‖² | (C, D), (C,) | labels, once N > D |
//! | Σ w (y − p), Σ w (y − p)² about a shift p | (K,) | targets |
//! | Σ w (x − s)(y − p)ᵀ | (D, K) | targets, once N > D |
//! | Σ w ‖x − s‖² (x − s), Σ w ‖x − s‖⁴ | (D,), 1 | once N > D |
//! | moments of the features with the targets (`joint.rs`) | D + K, K² if K ≤ D | targets, once N > D |
//! | the same again for each class | C times the above | labels, where asked for |
//!
//! So the second moments never take more than min(N, D)·D numbers. The shift is the mean of a
//! sample of the first block, and exactly the value of a column that is constant there: raw second
//! moments would lose every digit at offset/std = 1e8, these lose none.
//!
//! Time N·D² for the scatter, N·D while rows are kept; merging costs D² (`merge.rs`).

mod by_class;
mod bytes;
mod check;
mod check_held;
mod columns;
mod convert;
mod distinct;
mod fields;
mod file;
mod fourth;
mod gram;
mod joint;
mod lanes;
mod merge;
mod moments;
mod pass;
mod range;
mod response;
mod single;
mod standardise;

use ndarray::ArrayView2;

use crate::error::{Error, Result};
use crate::input::{Block, Label, Response, Rows, check_finite};
use crate::linalg::blas::{axpy, scale};
use crate::linalg::lapack::check_order;
use crate::linalg::memory::{Gather, check_room, copied, zeros};
use crate::threads::Context;

pub(crate) use fourth::Norms;
pub use moments::{JointMoments, Moments, Responses, TargetMoments};
pub(crate) use range::LARGEST;
pub(crate) use response::{Held, Labels};

/// Numbers held beside the features in one run over the rows: 2 MB.
const RUN: usize = 1 << 18;
const MEAN: &str = "the mean of the features";

/// Precision of the products of features, once there are more samples than features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// float64 products.
    #[default]
    Double,
    /// float32 products of shifted features, summed across chunks of rows in float64: up to twice as
    /// fast, and blind to directions whose variance is 1e-7 of the largest (`single.rs`).
    Single,
}

/// Mergeable statistics of a feature matrix and its labels or targets.
#[derive(Debug, Clone)]
pub struct Stats {
    pub(crate) precision: Precision,
    pub(crate) n_features: usize,
    pub(crate) n_samples: u64,
    pub(crate) shift: Vec<f64>,
    pub(crate) sum: Vec<f64>,
    /// The largest |x − s|; squares outside the range of float64 are refused.
    pub(crate) largest: f64,
    pub(crate) second: Second,
    pub(crate) fourth: fourth::Fourth,
    pub(crate) held: Held,
    /// The statistics of every class, in order of appearance, where that was asked for.
    by_class: Option<Vec<(Label, Self)>>,
}

/// The rows themselves while there are few, their scatter afterwards.
#[derive(Debug, Clone)]
pub(crate) enum Second {
    /// x − s, (N, D) row-major, and the weights, (N,).
    Rows { values: Vec<f64>, weights: Vec<f64> },
    /// Σ w (x − s)(x − s)ᵀ, (D, D), upper triangle.
    Scatter(Vec<f64>),
}

impl Stats {
    /// An empty accumulator.
    #[must_use]
    pub fn empty(precision: Precision) -> Self {
        Self {
            precision,
            n_features: 0,
            n_samples: 0,
            shift: Vec::new(),
            sum: Vec::new(),
            largest: 0.0,
            second: Second::Rows { values: Vec::new(), weights: Vec::new() },
            fourth: fourth::Fourth::default(),
            held: Held::Nothing,
            by_class: None,
        }
    }

    /// The same accumulator, which also keeps the statistics of every class: up to C·D² numbers more.
    #[must_use]
    pub fn with_class_scatters(mut self) -> Self {
        self.by_class = Some(Vec::new());
        self
    }

    /// An empty accumulator of the same kind.
    fn empty_like(&self) -> Self {
        let empty = Self::empty(self.precision);
        if self.by_class.is_some() { empty.with_class_scatters() } else { empty }
    }

    /// The statistics of each class, classes sorted; `None` unless they were asked for.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn by_class(&self) -> Result<Option<Vec<&Self>>> {
        let Some(classes) = &self.by_class else { return Ok(None) };
        let mut classes = classes.iter().gathered("the classes")?;
        classes.sort_unstable_by(|a, b| a.0.cmp(&b.0)); // no two are equal
        classes.into_iter().map(|(_, stats)| stats).gathered("the classes").map(Some)
    }

    /// Whether separate statistics of every class are held.
    #[must_use]
    pub fn holds_class_scatters(&self) -> bool {
        self.by_class.is_some()
    }

    /// The same for what needs them.
    ///
    /// # Errors
    /// [`Error::Missing`] where they were not asked for, or the statistics have no classes;
    /// [`Error::OutOfMemory`].
    pub(crate) fn needed_by_class(&self) -> Result<Vec<&Self>> {
        let classes = self.by_class()?.filter(|classes| !classes.is_empty());
        classes.ok_or(Error::Missing { what: "statistics of every class" })
    }

    /// Adds a block of rows. On an error nothing has changed.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the row within the block, [`Error::Shape`] if the number of
    /// features or targets differs from earlier blocks, [`Error::MixedResponse`],
    /// [`Error::OutOfRange`], [`Error::OutOfMemory`], [`Error::Interrupted`].
    pub fn push(&mut self, block: &Block<'_>, context: &Context<'_>) -> Result<()> {
        let (n_rows, n_cols) = (block.features.n_rows(), block.features.n_cols());
        self.check_columns(n_cols)?;
        if block.weights.is_none() && n_rows > n_cols {
            check_order(n_cols)?; // of the scatter that these rows become
        }
        // Everything else that is allocated is smaller than this.
        check_room::<f64>(n_rows.min(n_cols).saturating_mul(n_cols), "the statistics")?;
        let width = match block.response {
            Response::Labels { .. } => 1,
            Response::Targets(targets) => targets.ncols(),
            Response::Nothing(_) => 0,
        };
        let run = (RUN / (width + 3)).max(1024);
        if n_rows <= run {
            return self.push_rows(block, 0..n_rows, context);
        }
        let mut added = self.empty_like();
        for start in (0..n_rows).step_by(run) {
            added.push_rows(block, start..n_rows.min(start + run), context)?;
        }
        self.merge(added, context)
    }

    fn push_rows(
        &mut self,
        block: &Block<'_>,
        range: std::ops::Range<usize>,
        context: &Context<'_>,
    ) -> Result<()> {
        let rows = range.filter(|i| block.count(*i) > 0).gathered("the numbers of the rows")?;
        let Some(first) = rows.first() else { return Ok(()) };
        let shift = if self.is_empty() {
            sample_mean(block.features, &rows, *first)?
        } else {
            copied(&self.shift, MEAN)?
        };
        let keep_rows = self.n_rows_held().is_some_and(|n| n + rows.len() <= shift.len());
        let held = Held::of_block(block, &rows, &self.held)?;
        let stats = if self.by_class.is_some() {
            by_class::block_stats(block, &rows, shift, held, keep_rows, self.precision, context)?
        } else {
            pass::block_stats(block, &rows, shift, held, keep_rows, self.precision, context)?
        };
        self.merge(stats, context)
    }

    /// A copy of the statistics of the features alone, or the named error where memory cannot be had.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn without_responses(&self) -> Result<Self> {
        let second = match &self.second {
            Second::Rows { values, weights } => Second::Rows {
                values: copied(values, "a copy of the rows")?,
                weights: copied(weights, "a copy of the weights")?,
            },
            Second::Scatter(scatter) => Second::Scatter(copied(scatter, "a copy of the scatter")?),
        };
        Ok(Self {
            precision: self.precision,
            n_features: self.n_features,
            n_samples: self.n_samples,
            shift: copied(&self.shift, MEAN)?,
            sum: copied(&self.sum, MEAN)?,
            largest: self.largest,
            second,
            fourth: self.fourth.try_clone()?,
            held: Held::Nothing,
            by_class: None,
        })
    }

    /// An independent copy, or the named error where memory cannot be had.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn try_clone(&self) -> Result<Self> {
        let by_class = self.by_class.as_ref().map(|classes| {
            let one = |(class, stats): &(Label, Self)| Ok((class.clone(), stats.try_clone()?));
            classes.iter().map(one).gathered_ok("the statistics of the classes")
        });
        let (held, by_class) = (self.held.try_clone()?, by_class.transpose()?);
        Ok(Self { held, by_class, ..self.without_responses()? })
    }

    /// Σ w: rows, counted as often as their weight says.
    #[must_use]
    pub fn n_samples(&self) -> u64 {
        self.n_samples
    }

    /// D; 0 before the first block.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// The classes that occur, sorted, with their counts; `None` unless labels were accumulated.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn classes(&self) -> Result<Option<Vec<(Label, u64)>>> {
        let Held::Labels(labels) = &self.held else { return Ok(None) };
        let named = |c: usize| (labels.classes[c].clone(), labels.counts[c]);
        labels.sorted()?.into_iter().map(named).gathered("the classes").map(Some)
    }

    /// The counts of the classes that occur, sorted by class; `None` without labels.
    pub(crate) fn class_counts(&self) -> Result<Option<Vec<f64>>> {
        let Held::Labels(labels) = &self.held else { return Ok(None) };
        labels.sorted_counts().map(Some)
    }

    /// Whether labels were accumulated.
    pub(crate) fn holds_classes(&self) -> bool {
        matches!(self.held, Held::Labels(_))
    }

    /// Columns of the targets, or the number of classes that occur.
    #[must_use]
    pub fn n_targets(&self) -> usize {
        self.held.width()
    }

    /// Precision of the products.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether the rows are still held, rather than their scatter.
    #[must_use]
    pub fn holds_rows(&self) -> bool {
        matches!(self.second, Second::Rows { .. })
    }

    /// Bytes held.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        let second = match &self.second {
            Second::Rows { values, weights } => values.len() + weights.len(),
            Second::Scatter(scatter) => scatter.len(),
        };
        let classes = self.by_class.iter().flatten().map(|(_, stats)| stats.n_bytes());
        let sums = self.shift.len() + self.sum.len() + self.fourth.n_numbers();
        size_of::<f64>() * (second + sums) + self.held.n_bytes() + classes.sum::<usize>()
    }

    /// μ − s, (D,).
    pub(crate) fn mean_about_shift(&self) -> Result<Vec<f64>> {
        self.sum.iter().map(|sum| sum / self.n_samples as f64).gathered(MEAN)
    }

    /// The mean of the features, μ (D,); empty before the first block.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn mean(&self) -> Result<Vec<f64>> {
        let n = self.n_samples as f64;
        self.shift.iter().zip(&self.sum).map(|(s, sum)| s + sum / n).gathered(MEAN)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.n_features == 0
    }

    fn n_rows_held(&self) -> Option<usize> {
        match &self.second {
            Second::Rows { weights, .. } => Some(weights.len()),
            Second::Scatter(_) => None,
        }
    }

    /// Refuses samples that these statistics were not made of, by their number and columns.
    pub(crate) fn check_samples(&self, block: &Block<'_>) -> Result<()> {
        let (actual, expected) = (block.n_samples(), self.n_samples);
        if actual != expected {
            return Err(Error::OtherSamples { actual, expected });
        }
        self.check_columns(block.features.n_cols())
    }

    fn check_columns(&self, actual: usize) -> Result<()> {
        let expected = self.n_features;
        if self.is_empty() || actual == expected {
            return Ok(());
        }
        Err(Error::Shape { name: "features", axis: "columns", actual, expected })
    }
}

/// Row-major values as an (n, `n_cols`) matrix.
pub(crate) fn as_rows(values: &[f64], n_cols: usize) -> ArrayView2<'_, f64> {
    ArrayView2::from_shape((values.len() / n_cols.max(1), n_cols), values)
        .expect("only whole rows are stored")
}

/// Brings Σ w z zᵀ, upper triangle, to z + d in place of z: it grows by d cᵀ + c dᵀ + n d dᵀ, for c = Σ w z
/// and n = Σ w.
pub(crate) fn move_products(products: &mut [f64], d: &[f64], c: &[f64], n: f64) {
    for (i, row) in products.chunks_exact_mut(d.len()).enumerate() {
        axpy(d[i], &c[i..], &mut row[i..]);
        axpy(c[i] + n * d[i], &d[i..], &mut row[i..]);
    }
}

/// Rows (N, D) about their mean, which is at `offset` (D,), times the roots of their weights.
pub(crate) fn centred_rows(values: &[f64], weights: &[f64], offset: &[f64]) -> Result<Vec<f64>> {
    let mut rows = copied(values, "the centred rows")?;
    for (row, weight) in rows.chunks_exact_mut(offset.len()).zip(weights) {
        axpy(-1.0, offset, row);
        scale(weight.sqrt(), row);
    }
    Ok(rows)
}

/// The mean of up to 128 rows spread over a block, as the first row plus the mean difference
/// from it: a constant column gives exactly its constant. Refuses rows whose differences overflow.
pub(crate) fn sample_mean(features: &dyn Rows, rows: &[usize], first: usize) -> Result<Vec<f64>> {
    const SAMPLE: usize = 128;
    let mut base = zeros(features.n_cols(), MEAN)?;
    features.read_row(first, &mut base);
    check_finite("features", first, &base)?;
    let mut row = copied(&base, MEAN)?;
    let mut difference = zeros::<f64>(base.len(), MEAN)?;
    let mut count = 0.0;
    let sample = || rows.iter().step_by(rows.len().div_ceil(SAMPLE));
    for i in sample() {
        features.read_row(*i, &mut row);
        check_finite("features", *i, &row)?;
        for ((sum, x), x0) in difference.iter_mut().zip(&row).zip(&base) {
            *sum += x - x0;
        }
        count += 1.0;
    }
    let mean = base.iter().zip(&difference).map(|(x0, sum)| x0 + sum / count).gathered(MEAN)?;
    if mean.iter().all(|mean| mean.is_finite()) {
        return Ok(mean);
    }
    let largest = sample().fold(0.0, |most, i| {
        features.read_row(*i, &mut row);
        largest_of(&row, most)
    });
    Err(Error::OutOfRange { name: "features", largest, problem: "overflow" })
}

/// The largest magnitude among these values and one before them.
fn largest_of(values: &[f64], before: f64) -> f64 {
    values.iter().fold(before, |most, value| most.max(value.abs()))
}
