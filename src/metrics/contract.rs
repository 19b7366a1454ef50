//! The contract of a metric: its row in the table, its inputs and its outcome.

use ndarray::{Array2, ArrayView2};

use crate::decomp::Prepared;
use crate::error::{Error, Result};
use crate::input::{Block, Response, Rows};
use crate::linalg::memory::{Gather, copied, table};
use crate::threads::Context;

use super::options::OptionReader;

/// An input that a metric reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Statistics of the features, [`crate::stats::Stats`], from one pass over the samples.
    Stats,
    /// Statistics that also hold the scatter of every class.
    ClassScatters,
    /// Statistics of the source model's outputs in place of the features.
    SourceStats,
    /// The features and labels, row by row.
    Samples,
    /// The source model's class probabilities of the samples.
    SourceProbs,
    /// The class that the source model predicts for each sample.
    SourceLabels,
    /// Embeddings of the labels by several models.
    LabelEmbeddings,
}

impl Needs {
    /// The name of the input in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::ClassScatters => "class_scatters",
            Self::SourceStats => "source_stats",
            Self::Samples => "samples",
            Self::SourceProbs => "source_probs",
            Self::SourceLabels => "source_labels",
            Self::LabelEmbeddings => "label_embeddings",
        }
    }
}

/// A metric: one row of the table.
pub struct Metric {
    /// The name by which it is requested.
    pub name: &'static str,
    /// The name in papers and reports.
    pub title: &'static str,
    /// The quantity that it measures, in one sentence.
    pub summary: &'static str,
    /// The inputs that it reads beside the labels.
    pub needs: &'static [Needs],
    /// Tasks it is defined for; "unlabelled" is one.
    pub tasks: &'static [&'static str],
    /// Whether a matrix of order min(N, D) is decomposed, so that LAPACK limits it.
    pub decomposes: bool,
    /// Time, for N samples, D features, C targets.
    pub cost: &'static str,
    /// The publication.
    pub source: &'static str,
    /// The kernel: reads its options, then its inputs.
    pub(super) compute: fn(&Inputs<'_>, OptionReader<'_>, &Context<'_>) -> Result<Outcome>,
}

/// The inputs of a call; [`Metric::needs`] lists those that a metric reads.
#[derive(Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// The statistics, with the decompositions made so far.
    pub prepared: Option<&'a Prepared<'a>>,
    /// The features, one row a sample.
    pub samples: Option<&'a Block<'a>>,
    /// The labels or targets.
    pub response: Option<Response<'a>>,
    /// The source model's class probabilities, (N, `C_source`).
    pub source_probs: Option<&'a dyn Rows>,
    /// The source model's predicted classes, (N,), from 0.
    pub source_labels: Option<&'a [i64]>,
    /// The group of each row, (N,), any integers, for metrics that leave out whole groups.
    pub groups: Option<&'a [i64]>,
    /// Label embeddings: names with (N, D2) matrices.
    pub embeddings: &'a [(Box<str>, &'a (dyn Rows + Send))],
}

impl<'a> Inputs<'a> {
    /// The statistics; [`Error::Missing`] without them, as of all these accessors.
    pub(super) fn prepared(&self) -> Result<&'a Prepared<'a>> {
        self.prepared.ok_or(Error::Missing { what: "the statistics of the features" })
    }

    /// The samples.
    pub(super) fn samples(&self) -> Result<&'a Block<'a>> {
        self.samples.ok_or(Error::Missing { what: "the features themselves" })
    }

    /// The samples, for a metric that counts every row once: weights other than 1 are refused.
    pub(super) fn samples_counted_once(&self, metric: &'static str) -> Result<&'a Block<'a>> {
        let block = self.samples()?;
        if block.features.n_rows() == 0 {
            return Err(Error::Empty { name: "features", axis: "rows" });
        }
        let weights = block.weights.unwrap_or_default();
        if let Some(row) = weights.iter().position(|weight| *weight != 1) {
            let weight = weights[row];
            let problem = format!(
                "sample_weight[{row}] is {weight}, and this metric counts every row once; repeat rows \
                 instead"
            );
            return Err(Error::metric(metric, problem));
        }
        Ok(block)
    }

    /// The source model's probabilities, (N, `C_source`).
    pub(super) fn source_probs(&self) -> Result<&'a dyn Rows> {
        self.source_probs.ok_or(Error::Missing { what: "source_probs" })
    }

    /// The source model's classes, (N,), from 0.
    pub(super) fn source_labels(&self) -> Result<&'a [i64]> {
        self.source_labels.ok_or(Error::Missing { what: "source_labels" })
    }

    /// The label views, (N, D2) each, with their names.
    pub(super) fn embeddings(&self) -> Result<&'a [(Box<str>, &'a (dyn Rows + Send))]> {
        if self.embeddings.is_empty() {
            return Err(Error::Missing { what: "label_embeddings" });
        }
        Ok(self.embeddings)
    }

    /// The class of each row, numbered from 0 in sorted order of the classes that occur, and the
    /// number of classes.
    pub(super) fn labels(&self) -> Result<(Vec<u32>, usize)> {
        let Some(Response::Labels { ids, names }) = self.response else {
            return Err(Error::Missing { what: "class labels" });
        };
        self.check_rows("labels", ids.len())?;
        let name = |id: &i64| names.and_then(|names| names.get(usize::try_from(*id).ok()?));
        let mut classes = copied(ids, "the labels")?;
        classes.sort_unstable();
        classes.dedup();
        classes.sort_unstable_by(|a, b| name(a).cmp(&name(b)).then(a.cmp(b)));
        let mut places = table(classes.len(), "the classes")?;
        places.extend(classes.iter().copied().zip(0_u32..));
        let codes = ids.iter().map(|id| places[id]).gathered("the classes of the rows")?;
        Ok((codes, classes.len()))
    }

    /// The targets, (N, K).
    pub(super) fn targets(&self) -> Result<ArrayView2<'a, f64>> {
        match self.response {
            Some(Response::Targets(targets)) => {
                self.check_rows("targets", targets.nrows())?;
                Ok(targets)
            }
            _ => Err(Error::Missing { what: "targets" }),
        }
    }

    /// Refuses a response of more or fewer rows than the samples, if they are given.
    fn check_rows(&self, name: &'static str, actual: usize) -> Result<()> {
        let expected = self.samples.map_or(actual, |block| block.features.n_rows());
        if actual == expected {
            return Ok(());
        }
        Err(Error::Shape { name, axis: "rows", actual, expected })
    }
}

/// The result of a metric.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The score; higher is better.
    pub value: f64,
    /// The parts of the score, one a class (sorted) or target column; empty for scores without parts.
    pub per_target: Vec<f64>,
    /// Further results of this metric, by name.
    pub details: Vec<(&'static str, Detail)>,
    /// Warnings to the user, in whole sentences.
    pub warnings: Vec<String>,
    /// Whether one-pass statistics carried enough digits. If not, a decomposition of the samples
    /// carries more.
    pub exact: bool,
    /// Whether the details are all there is, to be made a score by the caller; the value is NaN.
    pub of_parts: bool,
}

/// One further result; arrays have one entry, or one row, for each target or sample.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // the types say it
pub enum Detail {
    Number(f64),
    Count(usize),
    Flag(bool),
    Numbers(Vec<f64>),
    Counts(Vec<usize>),
    Flags(Vec<bool>),
    Matrix(Array2<f64>),
    Named(Vec<(Box<str>, f64)>),
}

impl Outcome {
    /// A score with its parts, without details and warnings.
    pub(super) fn new(value: f64, per_target: Vec<f64>) -> Self {
        let (details, warnings) = (Vec::new(), Vec::new());
        Self { value, per_target, details, warnings, exact: true, of_parts: false }
    }

    /// The parts of a score that the caller makes of those of several models.
    pub(super) fn of_parts(details: Vec<(&'static str, Detail)>) -> Self {
        Self { details, of_parts: true, ..Self::new(f64::NAN, Vec::new()) }
    }
}
