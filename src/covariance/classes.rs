//! Covariances within and between classes.
//!
//! With `n_c` rows in class c, their mean `μ_c` (D,), all N rows in C classes and their mean μ:
//!
//!   within W = (1/N) `Σ_c` `Σ_(x in c)` (x − `μ_c`)(x − `μ_c`)ᵀ
//!   between B = (1/N) `Σ_c` `n_c` (`μ_c` − μ)(`μ_c` − μ)ᵀ
//!   per class `Σ_c` = (1/`n_c`) `Σ_(x in c)` (x − `μ_c`)(x − `μ_c`)ᵀ
//!
//! so that W + B is the covariance, W = `Σ_c` (`n_c`/N) `Σ_c`, and the H-score is tr((W + B)⁺ B).
//! The pooled covariance is N/(N − C) W.
//!
//! From rows, all but B is taken in a second pass, about the mean of each row's class. Statistics know
//! W only relative to W + B, and so lose digits of it where classes are far apart.

use crate::error::{Error, Result};
use crate::input::{Block, Label, Response, Rows, check_finite};
use crate::linalg::blas::{axpy, gram_add, scale};
use crate::linalg::lapack::check_order;
use crate::linalg::memory::{Gather, copied, reserved, zeros};
use crate::stats::{Held, LARGEST, Labels, Precision, Second, Stats, sample_mean};
use crate::threads::{self, Context};

use super::estimate::{into_covariance, mirror, stats_of};
use super::{Centre, Shrinkage, check, covariance};

/// Covariances within and between classes, each (D, D), row-major and symmetric.
#[derive(Debug, Clone)]
pub struct ClassCovariances {
    /// The classes, sorted, with their numbers of rows.
    pub classes: Vec<(Label, u64)>,
    /// D.
    pub n_features: usize,
    /// W.
    pub within: Vec<f64>,
    /// B.
    pub between: Vec<f64>,
    /// `Σ_c` one after the other, (C, D, D), where asked for.
    pub per_class: Option<Vec<f64>>,
}

/// The covariances of the classes that were accumulated.
///
/// ```
/// use ndarray::array;
/// use transferability::covariance::class_covariances;
/// use transferability::input::{Block, Response};
/// use transferability::stats::{Precision, Stats};
/// use transferability::threads::Context;
///
/// let rows = array![[0.0], [2.0], [10.0], [12.0]];
/// let labels = Response::Labels { ids: &[1, 1, 2, 2], names: None };
/// let context = Context::serial();
/// let mut stats = Stats::empty(Precision::Double).with_class_scatters();
/// stats.push(&Block::new(&rows, labels, None)?, &context)?;
/// let found = class_covariances(&stats, true, &context)?;
/// assert!((found.within[0] - 1.0).abs() < 1e-13 && (found.between[0] - 25.0).abs() < 1e-13);
/// let per_class = found.per_class.unwrap();
/// assert!(per_class.iter().all(|variance| (variance - 1.0).abs() < 1e-13));
/// # Ok::<(), transferability::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::NoData`], [`Error::OutOfRange`], [`Error::OutOfMemory`]; [`Error::Missing`] without class
/// labels, and with `per_class` without statistics of every class.
pub fn class_covariances(
    stats: &Stats,
    per_class: bool,
    context: &Context<'_>,
) -> Result<ClassCovariances> {
    check(stats, Centre::Mean)?;
    let classes = stats.classes()?.ok_or(Error::Missing { what: "class labels" })?;
    let n_features = stats.n_features;
    let between = between(stats, context)?;
    if per_class {
        let (within, stack) = stack(stats, context)?;
        return Ok(ClassCovariances {
            classes,
            n_features,
            within,
            between,
            per_class: Some(stack),
        });
    }
    let mut within = covariance(stats, Centre::Mean, Shrinkage::None, context)?.matrix;
    axpy(-1.0, &between, &mut within);
    let variances = within.iter_mut().step_by(n_features + 1);
    variances.for_each(|variance| *variance = variance.max(0.0));
    Ok(ClassCovariances { classes, n_features, within, between, per_class: None })
}

/// W and the covariance of each class, from the statistics of every class.
fn stack(stats: &Stats, context: &Context<'_>) -> Result<(Vec<f64>, Vec<f64>)> {
    let classes = stats.needed_by_class()?;
    let square = stats.n_features * stats.n_features;
    let mut within = zeros(square, "the covariance within classes")?;
    let mut stack = zeros(classes.len() * square, "the covariances of the classes")?;
    for (of, out) in classes.into_iter().zip(stack.chunks_exact_mut(square)) {
        out.copy_from_slice(&covariance(of, Centre::Mean, Shrinkage::None, context)?.matrix);
        axpy(of.n_samples as f64 / stats.n_samples as f64, out, &mut within);
    }
    Ok((within, stack))
}

/// The covariances of the classes of these rows.
///
/// In two passes over the rows and the memory of [`super::covariance_of`]; with `per_class` twice C·D²
/// numbers more.
///
/// ```
/// use ndarray::array;
/// use transferability::covariance::class_covariances_of;
/// use transferability::input::Response;
/// use transferability::threads::Context;
///
/// let rows = array![[0.0], [2.0], [10.0], [12.0]];
/// let labels = Response::Labels { ids: &[1, 1, 2, 2], names: None };
/// let found = class_covariances_of(&rows, labels, false, &Context::serial())?;
/// assert!((found.within[0] - 1.0).abs() < 1e-15);
/// assert!((found.between[0] - 25.0).abs() < 1e-13);
/// # Ok::<(), transferability::error::Error>(())
/// ```
///
/// # Errors
/// As [`class_covariances`], and those of the input: [`Error::NotFinite`], [`Error::Shape`].
pub fn class_covariances_of(
    features: &dyn Rows,
    labels: Response<'_>,
    per_class: bool,
    context: &Context<'_>,
) -> Result<ClassCovariances> {
    check_order(features.n_cols())?; // before a row is read
    let block = Block::new(features, labels.reborrow(), None)?;
    let rows = (0..features.n_rows()).gathered("the numbers of the rows")?;
    let Held::Labels(held) = Held::of_block(&block, &rows, &Held::Nothing)? else {
        return Err(Error::Missing { what: "class labels" });
    };
    let residuals = Residuals::new(features, &held, context)?;
    let n_features = features.n_cols();
    let (within, stack) = if per_class {
        let mut stats = Stats::empty(Precision::Double).with_class_scatters();
        stats.push(&Block::new(&residuals, labels.reborrow(), None)?, context)?;
        check(&stats, Centre::Mean)?;
        let (within, stack) = stack(&stats, context)?;
        (within, Some(stack))
    } else {
        let stats = stats_of(&residuals, context)?;
        (into_covariance(stats, Centre::Mean, Shrinkage::None, context)?.matrix, None)
    };
    let counts =
        held.counts.iter().map(|count| *count as f64).gathered("the counts of the classes")?;
    let between = outer(residuals.offsets, &counts, n_features, context)?;
    let order = held.sorted()?;
    let classes = order.iter().map(|c| (held.classes[*c].clone(), held.counts[*c]));
    let classes = classes.gathered("the classes")?;
    Ok(ClassCovariances { classes, n_features, within, between, per_class: stack })
}

/// B of the classes that were accumulated.
fn between(stats: &Stats, context: &Context<'_>) -> Result<Vec<f64>> {
    let (offsets, counts) = class_offsets(stats)?;
    outer(offsets, &counts, stats.n_features, context)
}

/// `μ_c` − s for a point s that all classes share, (C, D), classes sorted.
///
/// ```
/// use ndarray::array;
/// use transferability::covariance::class_means;
/// use transferability::input::{Block, Response};
/// use transferability::stats::{Precision, Stats};
/// use transferability::threads::Context;
///
/// let rows = array![[0.0], [2.0], [10.0], [12.0]];
/// let labels = Response::Labels { ids: &[1, 1, 2, 2], names: None };
/// let context = Context::serial();
/// let mut stats = Stats::empty(Precision::Double);
/// stats.push(&Block::new(&rows, labels, None)?, &context)?;
/// let means = class_means(&stats)?;
/// assert!((means[1] - means[0] - 10.0).abs() < 1e-13);
/// # Ok::<(), transferability::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::NoData`], [`Error::OutOfRange`], [`Error::OutOfMemory`]; [`Error::Missing`] without class
/// labels.
pub fn class_means(stats: &Stats) -> Result<Vec<f64>> {
    check(stats, Centre::Mean)?;
    let (offsets, _) = class_offsets(stats)?;
    let Held::Labels(labels) = &stats.held else {
        return Err(Error::Missing { what: "class labels" });
    };
    let n_features = stats.n_features;
    let mut sorted = reserved(offsets.len(), "the class means")?;
    for c in labels.sorted()? {
        sorted.extend_from_slice(&offsets[c * n_features..(c + 1) * n_features]);
    }
    Ok(sorted)
}

/// `μ_c` − s for the shift s, (C, D), and `n_c`, classes as held.
fn class_offsets(stats: &Stats) -> Result<(Vec<f64>, Vec<f64>)> {
    let Held::Labels(labels) = &stats.held else {
        return Err(Error::Missing { what: "class labels" });
    };
    let n_features = stats.n_features;
    let mut sums = match &stats.second {
        Second::Scatter(_) => copied(&labels.sums, "class sums")?,
        Second::Rows { values, weights } => {
            let mut sums = zeros(labels.classes.len() * n_features, "class sums")?;
            let rows = values.chunks_exact(n_features).zip(weights);
            for ((row, weight), code) in rows.zip(&labels.codes) {
                let start = *code as usize * n_features;
                axpy(*weight, row, &mut sums[start..start + n_features]);
            }
            sums
        }
    };
    let counts =
        labels.counts.iter().map(|count| *count as f64).gathered("the counts of the classes")?;
    for (sum, count) in sums.chunks_exact_mut(n_features).zip(&counts) {
        scale(1.0 / count, sum);
    }
    Ok((sums, counts))
}

/// B from `μ_c` − s, (C, D), for any point s.
fn outer(
    mut offsets: Vec<f64>,
    counts: &[f64],
    n_features: usize,
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    const TOGETHER: usize = 1536; // classes of a product, between which it can be interrupted
    let n: f64 = counts.iter().sum();
    let mut mean = zeros(n_features, "the mean of the features")?;
    for (offset, count) in offsets.chunks_exact(n_features).zip(counts) {
        axpy(count / n, offset, &mut mean);
    }
    for (offset, count) in offsets.chunks_exact_mut(n_features).zip(counts) {
        axpy(-1.0, &mean, offset);
        scale((count / n).sqrt(), offset);
    }
    let mut between = zeros(n_features * n_features, "the covariance between classes")?;
    for classes in offsets.chunks(TOGETHER * n_features) {
        context.check()?;
        gram_add(classes, n_features, &mut between);
    }
    mirror(&mut between, n_features, context)?;
    Ok(between)
}

/// Rows less the mean of their class.
struct Residuals<'a> {
    features: &'a dyn Rows,
    codes: &'a [u32],
    shift: Vec<f64>,
    /// `μ_c` − s, (C, D); subtracted after the shift s, so that neither rounds away the other.
    offsets: Vec<f64>,
}

impl<'a> Residuals<'a> {
    /// Takes the class means in a pass over the rows.
    fn new(features: &'a dyn Rows, labels: &'a Labels, context: &Context<'_>) -> Result<Self> {
        const ROWS: usize = 2048;
        let (n_rows, n_features) = (features.n_rows(), features.n_cols());
        let rows = (0..n_rows).gathered("the numbers of the rows")?;
        let shift = sample_mean(features, &rows, 0)?;
        let chunks = threads::chunks(n_rows, ROWS.max(n_rows.div_ceil(64)))?;
        let zero = || zeros(labels.classes.len() * n_features, "class sums");
        let mut offsets = context.sum(chunks.len(), zero, |i, sums: &mut Vec<f64>| {
            let mut row = zeros(n_features, "a row of features")?;
            for r in chunks[i].clone() {
                features.read_row(r, &mut row);
                check_finite("features", r, &row)?;
                axpy(-1.0, &shift, &mut row);
                let start = labels.codes[r] as usize * n_features;
                axpy(1.0, &row, &mut sums[start..start + n_features]);
            }
            Ok(())
        })?;
        for (offset, count) in offsets.chunks_exact_mut(n_features).zip(&labels.counts) {
            scale(1.0 / *count as f64, offset);
        }
        // The rows of a class may be far from those of others, and near one another.
        if let Some(offset) = offsets.iter().find(|x| x.is_nan() || x.abs() > LARGEST) {
            let largest = if offset.is_nan() { f64::INFINITY } else { offset.abs() };
            return Err(Error::OutOfRange { name: "features", largest, problem: "overflow" });
        }
        Ok(Self { features, codes: &labels.codes, shift, offsets })
    }
}

impl Rows for Residuals<'_> {
    fn n_rows(&self) -> usize {
        self.features.n_rows()
    }

    fn n_cols(&self) -> usize {
        self.shift.len()
    }

    fn read_row(&self, i: usize, out: &mut [f64]) {
        let start = self.codes[i] as usize * out.len();
        self.features.read_row(i, out);
        axpy(-1.0, &self.shift, out);
        axpy(-1.0, &self.offsets[start..start + out.len()], out);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[test]
    fn products_of_many_classes_can_be_interrupted_between_some_of_them() {
        let polls = |n_classes: usize| {
            let polls = AtomicUsize::new(0);
            let poll = || polls.fetch_add(1, Relaxed) == usize::MAX;
            let offsets = (0..2 * n_classes).map(|i| (i as f64).sin()).collect();
            let counts = vec![3.0; n_classes];
            outer(offsets, &counts, 2, &Context::new(None, &poll)).unwrap();
            polls.load(Relaxed)
        };
        assert_eq!(polls(5000) - polls(1000), 3);
    }
}
