//! One pass over the rows of a block: read, check, shift, and either keep or multiply.
//!
//! The rows are cut into chunks by the shape alone. Each chunk goes, panel by panel, through a
//! serial symmetric product into an accumulator of its own; accumulators are added in order. At
//! most one accumulator a thread and the total are alive, (threads + 1)·D² numbers.

use crate::error::{Error, Result};
use crate::input::{Block, Rows, check_finite};
use crate::linalg::blas::{axpy, gram_add, scale, transposed_product_add};
use crate::linalg::lapack::check_order;
use crate::linalg::memory::{Gather, copied, zeros};
use crate::threads::{self, Context, PartialSum};

use super::fourth::Fourth;
use super::lanes::{add_scaled, centre};
use super::range::{LARGEST, check_between};
use super::response::ResponseSums;
use super::single::Single;
use super::{Held, Precision, Second, Stats, largest_of};

const SUMS: &str = "the sums of the columns";
/// Numbers of a panel: 5 MB of float64, so that it is converted once and read from cache.
const PANEL: usize = 5 << 17;
/// Numbers of the rows that are converted before they are rounded to float32: 128 KB.
const GROUP: usize = 1 << 14;

/// The statistics of some rows of a block about `shift`; `held` has their responses row by row.
pub(super) fn block_stats(
    block: &Block<'_>,
    rows: &[usize],
    shift: Vec<f64>,
    mut held: Held,
    keep_rows: bool,
    precision: Precision,
    context: &Context<'_>,
) -> Result<Stats> {
    let weights = rows.iter().map(|i| block.weight(*i)).gathered("the weights of the rows")?;
    let n_samples = rows.iter().map(|i| block.count(*i)).sum();
    let pass =
        Pass { features: block.features, rows, shift: &shift, weights: &weights, held: &held };
    let (second, sum, largest, fourth) = if keep_rows {
        let (values, sum, largest) = pass.read(context)?;
        (Second::Rows { values, weights }, sum, largest, Fourth::default())
    } else {
        let total = pass.scatter(precision, context)?;
        held.hold_sums(total.responses);
        (Second::Scatter(total.scatter), total.sum, total.largest, total.fourth)
    };
    check_between("features", largest, (0.0, LARGEST))?;
    Ok(Stats {
        precision,
        n_features: shift.len(),
        n_samples,
        shift,
        sum,
        largest,
        second,
        fourth,
        held,
        by_class: None,
    })
}

/// The rows of a pass, with their shift, weights and responses.
pub(super) struct Pass<'a> {
    pub(super) features: &'a dyn Rows,
    pub(super) rows: &'a [usize],
    pub(super) shift: &'a [f64],
    pub(super) weights: &'a [f64],
    pub(super) held: &'a Held,
}

/// Sums over the rows of a chunk.
pub(super) struct Sums {
    /// Without what `single` has.
    pub(super) scatter: Vec<f64>,
    /// Products in float32, for single precision.
    single: Option<Single>,
    pub(super) responses: ResponseSums,
    pub(super) sum: Vec<f64>,
    pub(super) fourth: Fourth,
    pub(super) largest: f64,
    /// Memory for a panel of rows, which later chunks reuse.
    panel: Vec<f64>,
}

impl Sums {
    /// The sums of statistics that hold this scatter, without responses.
    pub(super) fn of(stats: &Stats, scatter: &[f64]) -> Result<Self> {
        let scatter = copied(scatter, "a scatter matrix")?;
        let (sum, fourth) = (copied(&stats.sum, SUMS)?, stats.fourth.try_clone()?);
        let (responses, largest) = (ResponseSums::new(0, &Held::Nothing)?, stats.largest);
        Ok(Self { scatter, single: None, responses, sum, fourth, largest, panel: Vec::new() })
    }

    /// Zeros, for chunks of at most `n_rows`.
    fn new(n_rows: usize, n_cols: usize, held: &Held, precision: Precision) -> Result<Self> {
        let (scatter, single) = match precision {
            Precision::Double => (zeros(n_cols * n_cols, "a scatter matrix")?, None),
            Precision::Single => (Vec::new(), Some(Single::new(n_rows, n_cols)?)),
        };
        Ok(Self {
            scatter,
            single,
            responses: ResponseSums::new(n_cols, held)?,
            sum: zeros(n_cols, SUMS)?,
            fourth: Fourth::new(n_cols)?,
            largest: 0.0,
            panel: Vec::new(),
        })
    }

    /// Moves products in float32 to the scatter; no rows are added afterwards.
    fn hold_scatter(&mut self, context: &Context<'_>) -> Result<()> {
        if let Some(mut single) = self.single.take() {
            single.move_to(&mut self.scatter, context)?;
        }
        Ok(())
    }
}

impl Pass<'_> {
    /// Reads the `i`-th row of the pass, checked and shifted; returns its largest magnitude.
    fn row(&self, i: usize, out: &mut [f64]) -> Result<f64> {
        let row = self.rows[i];
        self.features.read_row(row, out);
        let largest = centre(out, self.shift);
        if largest.is_nan() {
            self.features.read_row(row, out);
            check_finite("features", row, out)?;
            // The difference of two finite values is not.
            let largest = largest_of(self.shift, largest_of(out, 0.0));
            return Err(Error::OutOfRange { name: "features", largest, problem: "overflow" });
        }
        Ok(largest)
    }

    /// All rows, shifted, with their weighted sum and largest magnitude.
    fn read(&self, context: &Context<'_>) -> Result<(Vec<f64>, Vec<f64>, f64)> {
        const ROWS: usize = 64;
        let n_cols = self.shift.len();
        let len = self.rows.len().checked_mul(n_cols);
        let len = len.ok_or(Error::OutOfMemory { what: "the rows", bytes: usize::MAX })?;
        let mut values = zeros::<f64>(len, "the rows")?;
        let parts = values.chunks_mut(ROWS * n_cols).map(|part| (part, 0.0_f64));
        let mut parts = parts.gathered("the parts of the rows")?;
        context.for_each_mut(&mut parts, |p, (part, largest)| {
            for (r, out) in part.chunks_exact_mut(n_cols).enumerate() {
                *largest = largest.max(self.row(p * ROWS + r, out)?);
            }
            Ok(())
        })?;
        let largest = parts.iter().fold(0.0_f64, |a, (_, b)| a.max(*b));
        let mut sum = zeros(n_cols, SUMS)?;
        for (row, weight) in values.chunks_exact(n_cols).zip(self.weights) {
            axpy(*weight, row, &mut sum);
        }
        Ok((values, sum, largest))
    }

    /// The scatter of all rows.
    pub(super) fn scatter(&self, precision: Precision, context: &Context<'_>) -> Result<Sums> {
        let n_cols = self.shift.len();
        check_order(n_cols)?;
        let chunks = chunks(self.rows.len(), n_cols)?;
        let longest = chunks.first().map_or(0, std::ops::Range::len);
        let mut sums = context.sum(
            chunks.len(),
            || Sums::new(longest, n_cols, self.held, precision),
            |i, sums| self.add_chunk(sums, chunks[i].clone(), context),
        )?;
        sums.hold_scatter(context)?;
        Ok(sums)
    }

    fn add_chunk(
        &self,
        sums: &mut Sums,
        chunk: std::ops::Range<usize>,
        context: &Context<'_>,
    ) -> Result<()> {
        let n_cols = self.shift.len();
        let panel_rows = match (&sums.single, self.held) {
            (Some(_), Held::Nothing | Held::Labels(_)) => (GROUP / n_cols).max(8),
            _ => (PANEL / n_cols).clamp(64, 1024),
        };
        let panel_rows = panel_rows.min(chunk.len());
        let mut panel = std::mem::take(&mut sums.panel);
        if panel.len() < panel_rows * n_cols {
            panel = zeros(panel_rows * n_cols, "a panel of rows")?;
        }
        for start in chunk.clone().step_by(panel_rows) {
            context.check()?;
            let end = chunk.end.min(start + panel_rows);
            let panel = &mut panel[..(end - start) * n_cols];
            for (i, x) in (start..end).zip(panel.chunks_exact_mut(n_cols)) {
                self.add_row(sums, i, x)?;
            }
            if let Held::Targets(targets) = self.held {
                let n_targets = targets.shift.len();
                let y = &targets.rows[start * n_targets..end * n_targets];
                let mut y = copied(y, "a panel of targets")?;
                for (y, weight) in y.chunks_exact_mut(n_targets).zip(&self.weights[start..end]) {
                    scale(weight.sqrt(), y);
                }
                transposed_product_add(panel, &y, &mut sums.responses.cross, n_cols, n_targets);
                sums.responses.joint.iter_mut().for_each(|joint| joint.add_products(&y));
            }
            if sums.single.is_none() {
                gram_add(panel, n_cols, &mut sums.scatter);
            }
        }
        if let Some(single) = &mut sums.single {
            single.multiply();
        }
        if let Held::Labels(_) = self.held {
            for class in sums.responses.cross.chunks_exact(n_cols) {
                axpy(1.0, class, &mut sums.sum);
            }
        }
        sums.panel = panel;
        Ok(())
    }

    /// Reads the `i`-th row of the pass into `x`, times the root of its weight, and adds it to the
    /// sums; to the scatter only in single precision.
    fn add_row(&self, sums: &mut Sums, i: usize, x: &mut [f64]) -> Result<()> {
        sums.largest = sums.largest.max(self.row(i, x)?);
        let weight = self.weights[i];
        let square = sums.fourth.add_row(weight, x);
        if let Held::Labels(labels) = self.held {
            let class = labels.codes[i] as usize;
            let place = class * x.len()..(class + 1) * x.len();
            add_scaled(weight, x, &mut sums.responses.cross[place]);
            sums.responses.squares[class] += weight * square;
        } else {
            add_scaled(weight, x, &mut sums.sum);
        }
        if let (Held::Targets(targets), Some(joint)) = (self.held, &mut sums.responses.joint) {
            let n_targets = targets.shift.len();
            let y = &targets.rows[i * n_targets..(i + 1) * n_targets];
            joint.add_row(weight, x, square, y);
        }
        if weight > 1.0 {
            scale(weight.sqrt(), x);
        }
        if let Some(single) = &mut sums.single {
            single.add_row(x, &mut sums.scatter)?;
        }
        Ok(())
    }
}

/// `total += part` on the upper triangles of matrices of `order`; the rest is zero.
pub(super) fn add_upper(
    part: &[f64],
    total: &mut [f64],
    order: usize,
    context: &Context<'_>,
) -> Result<()> {
    add_upper_by(part, total, order, context, |part, total| add_scaled(1.0, part, total))
}

/// Calls `add(part, total)` on pieces of the upper triangles of matrices of `order`. An empty part adds
/// nothing.
pub(super) fn add_upper_by<T: Sync>(
    part: &[T],
    total: &mut [f64],
    order: usize,
    context: &Context<'_>,
    add: impl Fn(&[T], &mut [f64]) + Sync,
) -> Result<()> {
    const RUN: usize = 1 << 17;
    if part.is_empty() {
        return Ok(());
    }
    let rows = (RUN / order).max(1);
    context.for_each_chunk(total, rows * order, |run, total| {
        let part = &part[run * rows * order..][..total.len()];
        let pairs = total.chunks_exact_mut(order).zip(part.chunks_exact(order));
        for (i, (total, part)) in (run * rows..).zip(pairs) {
            add(&part[i..], &mut total[i..]);
        }
        Ok(())
    })
}

impl PartialSum for Sums {
    fn reset(&mut self) {
        if let Some(single) = &mut self.single {
            single.reset();
        }
        for (i, row) in self.scatter.chunks_exact_mut(self.sum.len()).enumerate() {
            row[i..].fill(0.0);
        }
        self.responses.reset();
        self.sum.fill(0.0);
        self.fourth.reset();
        self.largest = 0.0;
    }

    fn add(&mut self, other: &Self, context: &Context<'_>) -> Result<()> {
        self.hold_scatter(context)?;
        if let Some(single) = &other.single {
            single.add_to(&mut self.scatter, context)?;
        }
        add_upper(&other.scatter, &mut self.scatter, self.sum.len(), context)?;
        self.responses.add(&other.responses, context)?;
        axpy(1.0, &other.sum, &mut self.sum);
        self.fourth.add(&other.fourth);
        self.largest = self.largest.max(other.largest);
        Ok(())
    }
}

/// Cuts n rows into chunks by the shape alone: one where the product is small, else an even number
/// of about 2,500 rows each, at least two.
fn chunks(n_rows: usize, n_cols: usize) -> Result<Vec<std::ops::Range<usize>>> {
    const SMALL: usize = 50_000_000; // multiplications: about a millisecond
    const ROWS: usize = 2500;
    let count = if n_rows.saturating_mul(n_cols).saturating_mul(n_cols) < SMALL {
        1
    } else {
        (2 * n_rows.div_ceil(2 * ROWS)).clamp(2, 64).min(n_rows.div_ceil(64))
    };
    let size = n_rows.div_ceil(count);
    threads::chunks(n_rows, size)
}
