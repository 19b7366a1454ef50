//! The arrays of a scoring call beside the statistics, as the `Inputs` of the core.

use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use transferability::decomp::Prepared;
use transferability::error::Result;
use transferability::input::{Block, Response, Rows};
use transferability::metrics::{self, Inputs, Options, Outcome};
use transferability::threads::Context;

use crate::arrays::{Features, Scored, contiguous};

/// Arrays by name: `features`, `labels` with `names`, `targets`, `source_probs`, `source_labels`,
/// `groups`, `label_embeddings`; each may be missing.
pub(crate) struct InputArrays<'py> {
    features: Option<Features<'py>>,
    scored: Scored<'py>,
    source_probs: Option<Features<'py>>,
    source_labels: Option<PyReadonlyArray1<'py, i64>>,
    groups: Option<PyReadonlyArray1<'py, i64>>,
    embeddings: Vec<(String, Features<'py>)>,
}

impl<'py> InputArrays<'py> {
    pub(crate) fn from_dict(given: &Bound<'py, PyDict>) -> PyResult<Self> {
        let get = |name: &str| Ok::<_, PyErr>(given.get_item(name)?.filter(|v| !v.is_none()));
        let features = |name: &str| get(name)?.map(|v| v.extract::<Features<'py>>()).transpose();
        let labels: Option<PyReadonlyArray1<'py, i64>> =
            get("labels")?.map(|v| v.extract()).transpose()?;
        let targets: Option<PyReadonlyArray2<'py, f64>> =
            get("targets")?.map(|v| v.extract()).transpose()?;
        let scored = match (labels, targets) {
            (Some(labels), _) => Scored::labels(labels, get("names")?.as_ref(), None)?,
            (None, Some(targets)) => Scored::targets(targets, None),
            (None, None) => Scored::nothing(None),
        };
        let embeddings = get("label_embeddings")?.map(|v| v.extract()).transpose()?;
        Ok(Self {
            features: features("features")?,
            scored,
            source_probs: features("source_probs")?,
            source_labels: get("source_labels")?.map(|v| v.extract()).transpose()?,
            groups: get("groups")?.map(|v| v.extract()).transpose()?,
            embeddings: embeddings.unwrap_or_default(),
        })
    }

    /// Estimates the multiplications of one pass over the samples.
    pub(crate) fn work(&self) -> f64 {
        let size = |features: &Features<'_>| {
            let rows = features.rows();
            let (n, d) = (rows.n_rows() as f64, rows.n_cols() as f64);
            n * d * n.min(d)
        };
        self.features.iter().chain(&self.source_probs).map(size).sum()
    }

    /// Estimates the multiplications of a comparison of every row with all others.
    pub(crate) fn work_of_pairs(&self) -> f64 {
        self.features
            .iter()
            .map(|features| {
                let rows = features.rows();
                (rows.n_rows() as f64).powi(2) * rows.n_cols() as f64
            })
            .sum()
    }

    /// Borrows all arrays, and calls `f` with them.
    pub(crate) fn borrowed<T>(
        &self,
        f: impl FnOnce(BorrowedInputs<'_>) -> PyResult<T>,
    ) -> PyResult<T> {
        let features = self.features.as_ref().map(Features::rows);
        let source_probs = self.source_probs.as_ref().map(Features::rows);
        let embeddings: Vec<(&str, Box<dyn Rows + Send + '_>)> =
            self.embeddings.iter().map(|(name, view)| (&**name, view.rows())).collect();
        let embeddings: Vec<(Box<str>, &(dyn Rows + Send))> =
            embeddings.iter().map(|(name, view)| ((*name).into(), &**view)).collect();
        let samples = features.as_ref().map(|rows| self.scored.block(&**rows)).transpose()?;
        let n_rows = features.as_ref().or(source_probs.as_ref()).map_or(0, |rows| rows.n_rows());
        let source_labels = self.source_labels.as_ref();
        f(BorrowedInputs {
            response: self.scored.response(n_rows)?,
            samples,
            source_probs: source_probs.as_deref().map(|rows| rows as &(dyn Rows + Send)),
            source_labels: source_labels.map(|a| contiguous(a, "source_labels")).transpose()?,
            groups: self.groups.as_ref().map(|a| contiguous(a, "groups")).transpose()?,
            embeddings: &embeddings,
        })
    }
}

/// The arrays, borrowed for one call of the core.
pub(crate) struct BorrowedInputs<'a> {
    pub(crate) samples: Option<Block<'a>>,
    response: Response<'a>,
    source_probs: Option<&'a (dyn Rows + Send)>,
    source_labels: Option<&'a [i64]>,
    groups: Option<&'a [i64]>,
    embeddings: &'a [(Box<str>, &'a (dyn Rows + Send))],
}

impl BorrowedInputs<'_> {
    pub(crate) fn compute(
        &self,
        prepared: Option<&Prepared<'_>>,
        requests: &[(Box<str>, Options)],
        context: &Context<'_>,
    ) -> Vec<Result<Outcome>> {
        let samples = self.samples.map(|block| Block {
            features: block.features,
            response: block.response.reborrow(),
            weights: block.weights,
        });
        let inputs = Inputs {
            prepared,
            samples: samples.as_ref(),
            response: Some(self.response.reborrow()),
            source_probs: self.source_probs.map(|rows| rows as &dyn Rows),
            source_labels: self.source_labels,
            groups: self.groups,
            embeddings: self.embeddings,
        };
        metrics::compute(&inputs, requests, context)
    }
}
