//! Linear discriminant analysis: Gaussian classes of one covariance, for `lda` and `sfda`.
//!
//! With class means δ_c about the overall mean, class sizes `n_c` of n rows, the scatter within
//! classes W = Σ w (x − δ_c)(x − δ_c)ᵀ (D, D) and a shrinkage a in (0, 1]:
//!
//!   Σ      = (1 − a) W/n + a tr(W)/(n D) I
//!   p(c|x) ∝ exp( xᵀ Σ⁻¹ δ_c − ½ δ_cᵀ Σ⁻¹ δ_c + ln `n_c`/n )
//!
//! For N > D, W = S − Σ `n_c` δ_c δ_cᵀ of the statistics; where that difference cancels, and after
//! rows were changed, W is summed over the samples again. For N ≤ D everything is done in
//! coordinates (N,) of the rows along an orthonormal basis of their span, found by a QR
//! factorisation: δ_c and x have no part outside it, and D stays that of the features.
//!
//! Cost N·D² (N²·D for N ≤ D) + min(N, D)³/3 + N·min(N, D)·C. Memory min(N, D)·D.

mod posterior;
mod spread;
mod table;

use ndarray::Array2;

use crate::error::{Error, Result};
use crate::input::Rows;
use crate::linalg::blas::{axpy, gram_add, outer_add, scale, symmetric_times};
use crate::linalg::lapack::row_coordinates;
use crate::linalg::memory::{Gather, copied, filled, zeros};
use crate::stats::{Held, Precision};
use crate::threads::{Context, chunks};

use super::Inputs;
use super::centred::CentredRows;
pub(super) use posterior::Read;
use table::{Classes, Table};

/// The fraction of variance within classes at which the difference W keeps 13 digits of a column.
const CANCELS: f64 = 1e-3;

const VECTOR: &str = "a vector of a discriminant";

/// Rows, classes, and the moments of the classes.
pub(super) struct Problem<'a> {
    metric: &'static str,
    pub(super) classes: Classes,
    table: Table<'a>,
    /// δ_c, (C, r).
    pub(super) means: Vec<f64>,
    /// W, (r, r), upper triangle.
    within: Vec<f64>,
    /// Whether W is a difference.
    difference: bool,
    /// Where the power method starts: n Σ 1, (r,).
    start: Vec<f64>,
    /// D.
    n_features: usize,
}

impl<'a> Problem<'a> {
    pub(super) fn new(
        metric: &'static str,
        inputs: &Inputs<'a>,
        context: &Context<'_>,
    ) -> Result<Self> {
        let prepared = inputs.prepared()?;
        let (stats, rows) = (prepared.stats, CentredRows::new(inputs)?);
        let codes = rows.codes(inputs)?;
        let Held::Labels(labels) = &stats.held else {
            return Err(Error::Missing { what: "class labels" });
        };
        let order = labels.sorted()?;
        if order.len() < 2 {
            let problem = "the labels hold a single class; give at least two classes";
            return Err(Error::metric(metric, problem));
        }
        if stats.n_samples < 3 {
            let (what, n_samples) = ("a linear discriminant", stats.n_samples);
            return Err(Error::TooFewSamples { what, n_samples, minimum: 3 });
        }
        let weights = copied(&rows.weights, "the weights of the rows")?;
        let classes = Classes { codes, weights, counts: labels.sorted_counts()? };
        let n_features = stats.n_features;
        if stats.holds_rows() {
            return Self::of_few(metric, classes, &rows, context);
        }
        let mut means = zeros::<f64>(order.len() * n_features, "the class means")?;
        let offset = stats.mean_about_shift()?;
        for (mean, c) in means.chunks_exact_mut(n_features).zip(&order) {
            mean.copy_from_slice(&labels.sums[c * n_features..(c + 1) * n_features]);
            scale(1.0 / labels.counts[*c] as f64, mean);
            axpy(-1.0, &offset, mean);
        }
        let mut within = prepared.centred_scatter()?;
        let whole = diagonal(&within, n_features)?;
        for (mean, n) in means.chunks_exact(n_features).zip(&classes.counts) {
            context.check()?;
            outer_add(-n, mean, &mut within);
        }
        let left = diagonal(&within, n_features)?;
        let cancels = |(left, whole): (&f64, &f64)| *left < CANCELS * whole;
        let ones = filled(1.0, n_features, VECTOR)?;
        let start = symmetric_times(&within, &ones, VECTOR)?;
        let table = Table { rows: Box::new(rows), mix: None };
        let mut problem =
            Self { metric, classes, table, means, within, difference: true, start, n_features };
        if stats.precision == Precision::Single || left.iter().zip(&whole).any(cancels) {
            problem.sum_within(context)?;
            problem.start = symmetric_times(&problem.within, &ones, VECTOR)?;
        }
        Ok(problem)
    }

    /// N ≤ D: in coordinates along a basis of the rows.
    fn of_few(
        metric: &'static str,
        classes: Classes,
        rows: &CentredRows<'a>,
        context: &Context<'_>,
    ) -> Result<Self> {
        let (n_rows, n_features) = (rows.n_rows(), rows.n_cols());
        let mut values = zeros::<f64>(n_rows * n_features, "the centred features in float64")?;
        context.for_each_chunk(&mut values, n_features, |i, out| {
            rows.read_row(i, out);
            Ok(())
        })?;
        let row_sums =
            values.chunks_exact(n_features).map(|row| row.iter().sum()).gathered(VECTOR)?;
        context.check()?;
        let values = row_coordinates(values, n_features, context)?;
        let values = Array2::from_shape_vec((n_rows, n_rows), values).map_err(|_| Error::NoData)?;
        let table = Table { rows: Box::new(values), mix: None };
        let mut problem = Self {
            metric,
            classes,
            table,
            means: vec![],
            within: vec![],
            difference: false,
            start: vec![],
            n_features,
        };
        problem.sum_means(context)?;
        problem.sum_within(context)?;
        // W 1 = Σ w (x − δ_c) (x − δ_c)·1, and (x − δ_c)·1 is a difference of sums of rows.
        let of_class = problem.classes.sums(&row_sums)?;
        let mut start = zeros::<f64>(n_rows, VECTOR)?;
        let mut row = zeros::<f64>(n_rows, VECTOR)?;
        for (i, code) in problem.classes.codes.iter().enumerate() {
            let c = *code as usize;
            let along = row_sums[i] - of_class[c] / problem.classes.counts[c];
            problem.table.read(i, c, &mut row);
            axpy(-1.0, &problem.means[c * n_rows..(c + 1) * n_rows], &mut row);
            axpy(problem.classes.weights[i] * along, &row, &mut start);
        }
        problem.start = start;
        Ok(problem)
    }

    /// The problem with every row x of class c replaced by stay x + (1 − stay) point_c, for `stay`
    /// (N,) and `points` (C, r).
    pub(super) fn mixed(
        mut self,
        stay: Vec<f64>,
        points: Vec<f64>,
        context: &Context<'_>,
    ) -> Result<Self> {
        self.table.mix = Some((stay, points));
        self.sum_means(context)?;
        self.sum_within(context)?;
        Ok(self)
    }

    /// r.
    fn order(&self) -> usize {
        self.table.rows.n_cols()
    }

    fn parts(&self) -> Result<Vec<std::ops::Range<usize>>> {
        let n_rows = self.classes.codes.len();
        chunks(n_rows, n_rows.div_ceil(16).max(1024))
    }

    /// δ_c from the rows.
    fn sum_means(&mut self, context: &Context<'_>) -> Result<()> {
        let (order, n_classes) = (self.order(), self.classes.counts.len());
        let parts = self.parts()?;
        self.means = context.sum(
            parts.len(),
            || zeros::<f64>(n_classes * order, "the class means"),
            |part, sums| {
                let mut row = zeros::<f64>(order, VECTOR)?;
                for i in parts[part].clone() {
                    let c = self.classes.codes[i] as usize;
                    self.table.read(i, c, &mut row);
                    let weight = self.classes.weights[i] / self.classes.counts[c];
                    axpy(weight, &row, &mut sums[c * order..(c + 1) * order]);
                }
                Ok(())
            },
        )?;
        Ok(())
    }

    /// W from the rows.
    fn sum_within(&mut self, context: &Context<'_>) -> Result<()> {
        const PANEL: usize = 1 << 19; // 4 MB
        let order = self.order();
        let parts = self.parts()?;
        self.within = context.sum(
            parts.len(),
            || zeros::<f64>(order * order, "the scatter within classes"),
            |part, within| {
                for range in chunks(parts[part].len(), (PANEL / order).clamp(64, 1024))? {
                    context.check()?;
                    let mut panel = zeros::<f64>(range.len() * order, "a panel of rows")?;
                    for (i, row) in range.zip(panel.chunks_exact_mut(order)) {
                        let i = parts[part].start + i;
                        let c = self.classes.codes[i] as usize;
                        self.table.read(i, c, row);
                        axpy(-1.0, &self.means[c * order..(c + 1) * order], row);
                        if self.classes.weights[i] > 1.0 {
                            scale(self.classes.weights[i].sqrt(), row);
                        }
                    }
                    gram_add(&panel, order, within);
                }
                Ok(())
            },
        )?;
        self.difference = false;
        Ok(())
    }

    /// The shrinkage of SFDA, max(exp(−5 σ), 1e-10), σ being the spread of W/n.
    pub(super) fn adaptive_shrinkage(&self, context: &Context<'_>) -> Result<f64> {
        let spread = spread::spread(&self.within, &self.start, context)? / self.classes.n_samples();
        Ok((-5.0 * spread).exp().max(1e-10))
    }
}

fn diagonal(matrix: &[f64], order: usize) -> Result<Vec<f64>> {
    matrix.iter().step_by(order + 1).copied().gathered(VECTOR)
}
