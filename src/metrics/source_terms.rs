//! The mean log likelihood that NCE and LEEP share, and its normalisation by the label entropy.
//!
//! Both average ln `q_i`, the log probability of sample i's own class given the source model.
//!
//! With S_c = Σ_{i: y_i = c} ln `q_i`, n_c rows of class c and p_c = n_c/N:
//!
//! ```text
//!                  a class c                  value = Σ_c p_c · its part
//! None             S_c/n_c                    (1/N) Σ_i ln q_i
//! entropy_sum      S_c/n_c - ln p_c           the value + H(Y),      0 … H(Y)
//! entropy_ratio    (S_c/n_c - ln p_c)/H(Y)    1 + the value/H(Y),    0 … 1
//! ```
//!
//! H(Y) = -Σ p_c ln p_c. The value itself is at least -H(Y), so that tasks of few or unequal classes
//! score high whatever the source model does; the corrections are for comparing such tasks: Ibrahim,
//! Ponomareva, Mazumder, ECML-PKDD 2022, "Newer is not always better". Their text names the
//! correction and its purpose; both ways to take the entropy out are offered.

use super::{Detail, Inputs, OptionReader, Outcome};
use crate::error::{Error, Result};
use crate::linalg::memory::{Gather, filled};

const CLASSES: &str = "the counts of the classes";

/// Normalisation by the entropy of the labels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Normalize {
    No,
    Sum,
    Ratio,
}

impl Normalize {
    pub(super) fn read(given: &mut OptionReader<'_>) -> Result<Self> {
        let choices = [("entropy_sum", Self::Sum), ("entropy_ratio", Self::Ratio)];
        Ok(given.choice("normalize", &choices)?.unwrap_or(Self::No))
    }
}

/// The class of each row, and the rows of each class.
pub(super) struct Classes {
    pub(super) codes: Vec<u32>,
    pub(super) counts: Vec<usize>,
}

impl Classes {
    pub(super) fn new(inputs: &Inputs<'_>) -> Result<Self> {
        let (codes, n_classes) = inputs.labels()?;
        let mut counts = filled(0, n_classes, CLASSES)?;
        for code in &codes {
            counts[*code as usize] += 1;
        }
        if codes.is_empty() { Err(Error::NoData) } else { Ok(Self { codes, counts }) }
    }

    /// The rows, class by class.
    pub(super) fn order(&self) -> Result<Vec<usize>> {
        let mut next = self
            .counts
            .iter()
            .scan(0, |start, count| Some(std::mem::replace(start, *start + count)))
            .gathered(CLASSES)?;
        let mut order = filled(0, self.codes.len(), "the order of the rows")?;
        for (row, code) in self.codes.iter().enumerate() {
            let place = &mut next[*code as usize];
            order[*place] = row;
            *place += 1;
        }
        Ok(order)
    }

    /// The outcome from S_c; `n_source` source classes have rows or mass.
    pub(super) fn outcome(
        &self,
        metric: &'static str,
        sums: &[f64],
        normalize: Normalize,
        n_source: usize,
    ) -> Result<Outcome> {
        let n_samples = self.codes.len() as f64;
        let surprise = |count: &usize| (n_samples / *count as f64).ln(); // -ln p_c
        let weighted = |parts: &mut dyn Iterator<Item = f64>| -> f64 {
            parts.zip(&self.counts).map(|(part, n)| part * *n as f64 / n_samples).sum()
        };
        let entropy = weighted(&mut self.counts.iter().map(surprise));
        if normalize == Normalize::Ratio && self.counts.len() == 1 {
            let problem = "normalize=\"entropy_ratio\" divides by the entropy of the labels, which \
                           is 0: they hold a single class";
            return Err(Error::metric(metric, problem));
        }
        let part = |(sum, count): (&f64, &usize)| {
            let mean = sum / *count as f64;
            match normalize {
                Normalize::No => mean,
                Normalize::Sum => mean + surprise(count),
                Normalize::Ratio => (mean + surprise(count)) / entropy,
            }
        };
        let per_target = sums.iter().zip(&self.counts).map(part).gathered(CLASSES)?;
        let mut warnings = Vec::new();
        if self.counts.len() == 1 {
            warnings.push(super::SINGLE_CLASS.into());
        }
        if n_source == 1 {
            warnings.push(
                "the source model puts every row in a single source class, which says nothing \
                 about the labels: the score is what their entropy alone makes it"
                    .into(),
            );
        }
        let details = vec![
            ("label_entropy", Detail::Number(entropy)),
            ("n_source_classes", Detail::Number(n_source as f64)),
        ];
        Ok(Outcome {
            details,
            warnings,
            ..Outcome::new(weighted(&mut per_target.iter().copied()), per_target)
        })
    }
}
