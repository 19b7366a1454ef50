//! LFC: the correlation between likeness of features and likeness of labels over pairs of samples.
//!
//! With F (N, D) the features as they are, K = FFᵀ (N, N), and M (N, N) with +1 where two samples
//! share their class and −1 where not, LFC is Pearson's correlation of the N² entries of K and M,
//! the diagonal included: in [−1, 1], higher is better.
//!
//! With the mean μ, X = F − 1μᵀ, S = XᵀX, b_c = Xᵀ1_c and n_c rows in class c, and since an affine
//! change of M does not matter,
//!
//!   LFC = Σ_c (b_cᵀb_c + 2 n_c b_cᵀμ) / √[ (|S|²_F + 2N μᵀSμ) · Σ_c n_c² · (1 − Σ_c n_c²/N²) ]
//!
//! so that no N × N matrix is formed.
//!
//! Source: Deshpande et al., "A linearized framework and a new benchmark for model selection for
//! fine-tuning", arXiv 2102.00084, 2021. Some implementations divide by spectral norms of K and M;
//! that is not a correlation. Cost after the statistics: D² + C D; where rows are held, N²D + N³.

use crate::error::Error;

use super::{Metric, Needs, Outcome};

pub(super) const METRIC: Metric = Metric {
    name: "lfc",
    title: "LFC",
    summary: "correlation between products of features and equality of labels over pairs of samples",
    needs: &[Needs::Stats],
    tasks: &["classification"],
    decomposes: true,
    cost: "N D min(N, D) + C D",
    source: "Deshpande et al., 2021",
    compute: |inputs, options, context| {
        options.none()?;
        let prepared = inputs.prepared()?;
        let Some(counts) = prepared.stats.class_counts()? else {
            return Err(Error::Missing { what: "class labels" });
        };
        if counts.len() == 1 {
            let problem = "labels hold a single class, so all pairs are alike and there is nothing \
                           to correlate; give rows of at least two classes";
            return Err(Error::metric("lfc", problem));
        }
        let products = prepared.products(context)?;
        let n = prepared.stats.n_samples as f64;
        let parts = products.squares.iter().zip(&products.along_mean).zip(&counts);
        let joint: f64 = parts.map(|((square, along), count)| square + 2.0 * count * along).sum();
        let of_features = products.norm * products.norm + 2.0 * n * products.mean_spread;
        let alike: f64 = counts.iter().map(|count| count * count).sum();
        let unlike: f64 = counts.iter().map(|count| count * (n - count)).sum();
        let of_labels = alike * (unlike / (n * n));
        let flat = of_features <= 0.0;
        let value = if flat { 0.0 } else { joint / of_features.sqrt() / of_labels.sqrt() };
        let warnings = flat.then(|| super::FLAT.into()).into_iter().collect();
        Ok(Outcome { warnings, ..Outcome::new(value.clamp(-1.0, 1.0), Vec::new()) })
    },
};
