//! Second pass over the samples: rows centred at the mean of the statistics.

use crate::error::{Error, Result};
use crate::input::{Response, Rows};
use crate::linalg::blas::axpy;
use crate::linalg::memory::{Gather, filled, zeros};
use crate::stats::Stats;

use super::Inputs;

/// The rows x − μ of weight at least 1, with their weights.
pub(super) struct CentredRows<'a> {
    features: &'a dyn Rows,
    shift: &'a [f64],
    /// μ − s; subtracted after the shift s, so that neither rounds away the other.
    offset: Vec<f64>,
    /// The index of each row among the samples.
    pub(super) places: Vec<usize>,
    pub(super) weights: Vec<f64>,
}

impl<'a> CentredRows<'a> {
    pub(super) fn new(inputs: &Inputs<'a>) -> Result<Self> {
        let (stats, block): (&'a Stats, _) = (inputs.prepared()?.stats, inputs.samples()?);
        stats.check_samples(block)?;
        let n_rows = block.features.n_rows();
        let occurs = |i: &usize| block.count(*i) > 0;
        let places = (0..n_rows).filter(occurs).gathered("the numbers of the rows")?;
        let weights = places.iter().map(|i| block.weight(*i));
        let weights = weights.gathered("the weights of the rows")?;
        let (features, shift, offset) = (block.features, &*stats.shift, stats.mean_about_shift()?);
        Ok(Self { features, shift, offset, places, weights })
    }

    /// Some of the rows, (rows, D).
    pub(super) fn panel(&self, rows: impl ExactSizeIterator<Item = usize>) -> Result<Vec<f64>> {
        let mut panel = zeros::<f64>(rows.len() * self.n_cols(), "a panel of rows")?;
        for (i, row) in rows.zip(panel.chunks_exact_mut(self.n_cols())) {
            self.read_row(i, row);
        }
        Ok(panel)
    }

    /// The class code of each of these rows; only classes that these rows have are numbered.
    pub(super) fn codes(&self, inputs: &Inputs<'_>) -> Result<Vec<u32>> {
        let (codes, n_classes) = inputs.labels()?;
        let mut occurs = filled(false, n_classes, "the classes")?;
        self.places.iter().for_each(|place| occurs[codes[*place] as usize] = true);
        let mut next = 0..;
        let places: Vec<u32> = occurs
            .iter()
            .map(|occurs| if *occurs { next.next().unwrap_or(0) } else { 0 })
            .gathered("the classes")?;
        let codes = self.places.iter().map(|place| places[codes[*place] as usize]);
        codes.gathered("the classes of the rows")
    }
}

impl Rows for CentredRows<'_> {
    fn n_rows(&self) -> usize {
        self.places.len()
    }

    fn n_cols(&self) -> usize {
        self.shift.len()
    }

    fn read_row(&self, i: usize, out: &mut [f64]) {
        self.features.read_row(self.places[i], out);
        axpy(-1.0, self.shift, out);
        axpy(-1.0, &self.offset, out);
    }
}

/// The responses of the rows: class codes or target values.
pub(super) enum Answers<'a> {
    Codes(Vec<u32>),
    Values(ndarray::ArrayView2<'a, f64>),
}

impl<'a> Answers<'a> {
    pub(super) fn new(inputs: &Inputs<'a>, rows: &CentredRows<'_>) -> Result<Self> {
        match inputs.samples()?.response {
            Response::Labels { .. } => Ok(Self::Codes(rows.codes(inputs)?)),
            Response::Targets(_) => Ok(Self::Values(inputs.targets()?)),
            Response::Nothing(_) => Err(Error::Missing { what: "labels" }),
        }
    }

    /// Writes y of the i-th centred row.
    pub(super) fn read(&self, rows: &CentredRows<'_>, i: usize, out: &mut [f64]) {
        match self {
            Self::Codes(codes) => {
                out.fill(0.0);
                out[codes[i] as usize] = 1.0;
            }
            Self::Values(values) => {
                out.iter_mut().zip(values.row(rows.places[i])).for_each(|(out, y)| *out = *y);
            }
        }
    }
}

/// The warning "1 class has a single sample, `effect`", if any class has.
pub(super) fn lone_samples(counts: &[f64], effect: &str) -> Option<String> {
    match counts.iter().filter(|count| **count < 2.0).count() {
        0 => None,
        1 => Some(format!("1 class has a single sample, {effect}")),
        n => Some(format!("{n} classes have a single sample each, {effect}")),
    }
}
