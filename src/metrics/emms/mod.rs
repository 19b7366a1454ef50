//! EMMS: how well features fit a mixture of label embeddings, the mixture chosen by the fit.
//!
//! With E_1 … E_K (N, D2) embeddings of each sample's label by K models, their columns and those of
//! the features X (N, D) standardised, the score is
//!
//!   −(1/(N D2)) min over W (D, D2) and w on the simplex of |X W − Σₖ wₖ E_k|² + N ρ |W|²
//!
//! At most 0, about −1 for features that are unrelated to uncorrelated views; higher is better. For
//! each w the best W is a regression, so with P the projection on the features (for ρ > 0 the hat
//! matrix) the residual sum of squares is wᵀMw, M_kl = ⟨E_k, (I − P) E_l⟩ (K, K): a convex problem,
//! solved exactly (`simplex.rs`), from M that takes one more pass over the samples (`products.rs`).
//!
//! Source: Meng et al., "Foundation Model is Efficient Multimodal Multitask Model Selector",
//! NeurIPS 2023, the regression of section 3.2 and its alternation (algorithms 1 and 2).
//!
//! Departures from the authors' code, which `compat.emms` reproduces:
//! - The minimum over W and w together; theirs stops after one round of alternating least squares
//!   with a projection on the simplex, which does not descend to it however often it is repeated.
//! - Divided by N D2; theirs divides by N and multiplies by D2.
//! - `ridge` ρ, and a flag where the features have N − 1 directions and ρ = 0: everything fits.
//! - A view that is the same in all rows is refused: it would be fitted perfectly, and take all
//!   weight. Single constant columns count as zeros, as in the authors' code.
//!
//! Cost: N D D2 K + N D2 K² after the statistics, and min(N, D)³/3; with few different labels, their
//! number in place of N (`groups.rs`).

mod groups;
mod products;
mod simplex;
mod views;

use ndarray::Array2;

use crate::decomp::Projection;
use crate::error::Result;
use crate::threads::Context;

use super::{Detail, Inputs, Metric, Needs, OptionReader, Outcome};
use simplex::least_on_simplex;
use views::{View, standardised};

pub(super) const METRIC: Metric = Metric {
    name: "emms",
    title: "EMMS",
    summary: "mean squared error of a linear map to the best mixture of label embeddings, negated",
    needs: &[Needs::Stats, Needs::Samples, Needs::LabelEmbeddings],
    tasks: &["classification", "regression", "multilabel", "unlabelled"],
    decomposes: true,
    cost: "N D min(N, D) + min(N, D)^3 + N D D2 K",
    source: "Meng et al., NeurIPS 2023",
    compute: score,
};

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    let ridge = options.read(|given| given.number("ridge", 0.0..=1e100))?.unwrap_or(0.0);
    let (prepared, samples) = (inputs.prepared()?, inputs.samples_counted_once("emms")?);
    prepared.stats.check_samples(samples)?;
    let embeddings = inputs.embeddings()?;
    let n_samples = samples.features.n_rows();
    let views = standardised(embeddings, n_samples, context)?;
    let projection = Projection::new(prepared, ridge, context)?;
    let n_entries = (n_samples * views[0].n_cols()) as f64;
    let left = match projection {
        Projection::Everything => Array2::zeros((views.len(), views.len())),
        _ => products::left_over(prepared.stats, samples.features, &views, &projection, context)?,
    };
    let least = least_on_simplex(&left, n_entries)?;
    let named = |numbers: &mut dyn Iterator<Item = f64>| {
        Detail::Named(embeddings.iter().map(|(name, _)| name.clone()).zip(numbers).collect())
    };
    let saturated = matches!(projection, Projection::Everything);
    let mut details = vec![
        ("weights", named(&mut least.weights.iter().copied())),
        // 0 − x, so that nothing left is 0 and not −0.
        ("alone", named(&mut left.diag().iter().map(|m| 0.0 - m.max(0.0) / n_entries))),
        ("saturated", Detail::Flag(saturated)),
    ];
    let rank = projection.rank(n_samples);
    details.extend(rank.map(|rank| ("rank", Detail::Count(rank))));
    let warnings = warnings(&views, embeddings, saturated, rank);
    Ok(Outcome { details, warnings, ..Outcome::new(0.0 - least.value / n_entries, Vec::new()) })
}

fn warnings(
    views: &[View<'_>],
    embeddings: &[(Box<str>, &(dyn crate::input::Rows + Send))],
    saturated: bool,
    rank: Option<usize>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if saturated {
        warnings.push(
            "the features have a direction for every sample, so that they fit any label \
             embeddings: the EMMS of 0 and its equal weights say nothing; use more samples, or \
             ridge > 0"
                .into(),
        );
    }
    if rank == Some(0) {
        warnings.push("the features are the same in all rows and explain nothing".into());
    }
    if views.len() == 1 {
        warnings.push(
            "label_embeddings holds one view, so that its weight is 1 and EMMS is the error of a \
             linear regression"
                .into(),
        );
    }
    for (view, (name, _)) in views.iter().zip(embeddings) {
        if view.n_constant > 0 {
            let (n, of) = (view.n_constant, view.n_cols());
            warnings.push(format!(
                "{n} of {of} columns of label_embeddings[{name:?}] are the same in all rows and \
                 count as fitted, which favours this view; drop them from all views"
            ));
        }
        if view.n_small > 0 {
            let n = view.n_small;
            warnings.push(format!(
                "{n} columns of label_embeddings[{name:?}] have a standard deviation below 1e-4, \
                 beside which the 1e-8 of the authors' standardisation counts; scale them up"
            ));
        }
    }
    warnings
}
