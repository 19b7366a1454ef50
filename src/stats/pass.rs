//! One pass over the rows of a block: read, check, shift, and either keep or multiply.
//!
//! The rows are cut into chunks by the shape alone. Each chunk goes, panel by panel, through a
//! serial symmetric product into an accumulator of its own; accumulators are added in order. At
//! most one accumulator a thread and the total are alive, (threads + 1)·D² numbers.

use crate::error::{Error, Result};
use crate::input::{Block, Rows, check_finite};
use crate::linalg::blas::{axpy, gram_add, gram_single, scale, transposed_product_add};
use crate::linalg::lapack::check_order;
use crate::linalg::memory::{copied, zeros};
use crate::threads::{self, Context, PartialSum};

use super::fourth::Fourth;
use super::lanes::{add_scaled, centre};
use super::response::ResponseSums;
use super::{Held, Precision, Second, Stats};

/// The largest |x − s|: its square, times any N, stays below 1e308.
const LARGEST: f64 = 1e150;
/// Numbers of a panel: 5 MB of float64, so that it is converted once and read from cache.
const PANEL: usize = 5 << 17;

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
    let weights: Vec<f64> = rows.iter().map(|i| block.weight(*i)).collect();
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
    if largest > LARGEST {
        return Err(Error::OutOfRange { name: "features", largest, problem: "overflow" });
    }
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
    pub(super) scatter: Vec<f64>,
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
        let (sum, fourth) = (stats.sum.clone(), stats.fourth.clone());
        let (responses, largest) = (ResponseSums::new(0, &Held::Nothing)?, stats.largest);
        Ok(Self { scatter, responses, sum, fourth, largest, panel: Vec::new() })
    }

    fn new(n_cols: usize, held: &Held) -> Result<Self> {
        Ok(Self {
            scatter: zeros(n_cols * n_cols, "a scatter matrix")?,
            responses: ResponseSums::new(n_cols, held)?,
            sum: vec![0.0; n_cols],
            fourth: Fourth::new(n_cols),
            largest: 0.0,
            panel: Vec::new(),
        })
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
            return Ok(f64::INFINITY); // a difference of finite values, which is refused later
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
        let mut parts: Vec<(&mut [f64], f64)> =
            values.chunks_mut(ROWS * n_cols).map(|part| (part, 0.0)).collect();
        context.for_each_mut(&mut parts, |p, (part, largest)| {
            for (r, out) in part.chunks_exact_mut(n_cols).enumerate() {
                *largest = largest.max(self.row(p * ROWS + r, out)?);
            }
            Ok(())
        })?;
        let largest = parts.iter().fold(0.0_f64, |a, (_, b)| a.max(*b));
        let mut sum = vec![0.0; n_cols];
        for (row, weight) in values.chunks_exact(n_cols).zip(self.weights) {
            axpy(*weight, row, &mut sum);
        }
        Ok((values, sum, largest))
    }

    /// The scatter of all rows.
    pub(super) fn scatter(&self, precision: Precision, context: &Context<'_>) -> Result<Sums> {
        let n_cols = self.shift.len();
        check_order(n_cols)?;
        let chunks = chunks(self.rows.len(), n_cols);
        context.sum(
            chunks.len(),
            || Sums::new(n_cols, self.held),
            |i, sums| self.add_chunk(sums, chunks[i].clone(), precision, context),
        )
    }

    fn add_chunk(
        &self,
        sums: &mut Sums,
        chunk: std::ops::Range<usize>,
        precision: Precision,
        context: &Context<'_>,
    ) -> Result<()> {
        let n_cols = self.shift.len();
        let panel_rows = (PANEL / n_cols).clamp(64, 1024).min(chunk.len());
        let mut panel = std::mem::take(&mut sums.panel);
        if panel.len() < panel_rows * n_cols {
            panel = zeros(panel_rows * n_cols, "a panel of rows")?;
        }
        let mut single = Single::new(precision, panel.len(), n_cols)?;
        for start in chunk.clone().step_by(panel_rows) {
            context.check()?;
            let end = chunk.end.min(start + panel_rows);
            let panel = &mut panel[..(end - start) * n_cols];
            for (i, x) in (start..end).zip(panel.chunks_exact_mut(n_cols)) {
                sums.largest = sums.largest.max(self.row(i, x)?);
                let weight = self.weights[i];
                let square = sums.fourth.add_row(weight, x);
                if let Held::Labels(labels) = self.held {
                    let class = labels.codes[i] as usize;
                    let place = class * n_cols..(class + 1) * n_cols;
                    add_scaled(weight, x, &mut sums.responses.cross[place]);
                    sums.responses.squares[class] += weight * square;
                } else {
                    add_scaled(weight, x, &mut sums.sum);
                }
                if let (Held::Targets(targets), Some(joint)) =
                    (self.held, &mut sums.responses.joint)
                {
                    let n_targets = targets.shift.len();
                    let y = &targets.rows[i * n_targets..(i + 1) * n_targets];
                    joint.add_row(weight, x, square, y);
                }
                if weight > 1.0 {
                    scale(weight.sqrt(), x);
                }
            }
            if let Held::Targets(targets) = self.held {
                let n_targets = targets.shift.len();
                let mut y = targets.rows[start * n_targets..end * n_targets].to_vec();
                for (y, weight) in y.chunks_exact_mut(n_targets).zip(&self.weights[start..end]) {
                    scale(weight.sqrt(), y);
                }
                transposed_product_add(panel, &y, &mut sums.responses.cross, n_cols, n_targets);
                sums.responses.joint.iter_mut().for_each(|joint| joint.add_products(&y));
            }
            match &mut single {
                None => gram_add(panel, n_cols, &mut sums.scatter),
                Some(single) => single.gram_add(panel, n_cols, &mut sums.scatter),
            }
        }
        if let Held::Labels(_) = self.held {
            for class in sums.responses.cross.chunks_exact(n_cols) {
                axpy(1.0, class, &mut sums.sum);
            }
        }
        sums.panel = panel;
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
    const RUN: usize = 1 << 17;
    let rows = (RUN / order).max(1);
    let mut runs: Vec<(&mut [f64], &[f64])> =
        total.chunks_mut(rows * order).zip(part.chunks(rows * order)).collect();
    context.for_each_mut(&mut runs, |run, (total, part)| {
        let pairs = total.chunks_exact_mut(order).zip(part.chunks_exact(order));
        for (i, (total, part)) in (run * rows..).zip(pairs) {
            add_scaled(1.0, &part[i..], &mut total[i..]);
        }
        Ok(())
    })
}

impl PartialSum for Sums {
    fn reset(&mut self) {
        for (i, row) in self.scatter.chunks_exact_mut(self.sum.len()).enumerate() {
            row[i..].fill(0.0);
        }
        self.responses.reset();
        self.sum.fill(0.0);
        self.fourth.reset();
        self.largest = 0.0;
    }

    fn add(&mut self, other: &Self, context: &Context<'_>) -> Result<()> {
        add_upper(&other.scatter, &mut self.scatter, self.sum.len(), context)?;
        self.responses.add(&other.responses, context)?;
        axpy(1.0, &other.sum, &mut self.sum);
        self.fourth.add(&other.fourth);
        self.largest = self.largest.max(other.largest);
        Ok(())
    }
}

/// Buffers for float32 products.
struct Single {
    panel: Vec<f32>,
    gram: Vec<f32>,
}

impl Single {
    fn new(precision: Precision, panel: usize, n_cols: usize) -> Result<Option<Self>> {
        Ok(match precision {
            Precision::Double => None,
            Precision::Single => Some(Self {
                panel: zeros(panel, "a panel of rows")?,
                gram: zeros(n_cols * n_cols, "a single-precision scatter matrix")?,
            }),
        })
    }

    /// Scales the panel to magnitudes below 2 on the way, by a power of two, so that squares keep
    /// to the range of float32.
    #[allow(clippy::cast_possible_truncation)] // the point of single precision
    fn gram_add(&mut self, panel: &[f64], n_cols: usize, scatter: &mut [f64]) {
        let largest = panel.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
        if largest == 0.0 {
            return;
        }
        let unit = largest.log2().floor().exp2();
        let narrow = &mut self.panel[..panel.len()];
        for (narrow, x) in narrow.iter_mut().zip(panel) {
            *narrow = (*x / unit) as f32;
        }
        gram_single(narrow, n_cols, &mut self.gram);
        for (sum, part) in scatter.iter_mut().zip(&self.gram) {
            *sum += f64::from(*part) * (unit * unit);
        }
    }
}

/// Cuts n rows into chunks by the shape alone: one where the product is small, else an even number
/// of about 2,500 rows each, at least two.
fn chunks(n_rows: usize, n_cols: usize) -> Vec<std::ops::Range<usize>> {
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
