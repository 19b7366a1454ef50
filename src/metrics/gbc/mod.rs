//! GBC: how much the Gaussians of the classes overlap.
//!
//!   GBC = − Σ_{i≠j} exp(−D_B(i, j)),
//!   D_B = ⅛ (m_i − m_j)ᵀ Σ⁻¹ (m_i − m_j) + ½ ln(det Σ / √(det Σ_i det Σ_j)),  Σ = (Σ_i + Σ_j)/2,
//!
//! over ordered pairs of classes, with means m (k,) and population covariances Σ (k, k) of the rows
//! along the first k principal components of all rows. −C(C − 1) ≤ GBC ≤ 0; higher is better.
//!
//! Source: Pándy, Agostinelli, Uijlings, Ferrari, Mensink, "Transferability Estimation using
//! Bhattacharyya Class Separability", CVPR 2022, eq. (3) and (4); k = 64 and spherical covariances as
//! there. Variances are at least 1e-4, as in the authors' code:
//!
//! | covariance | `Σ_c` |
//! |---|---|
//! | spherical | mean of the floored variances along the components, times I |
//! | diagonal | the floored variances along the components |
//! | full | the covariance, its eigenvalues floored |
//! | google | as spherical, but with ln of the one variance for ln det `Σ_c`, as the authors' code has it |
//!
//! "google" leaves out the k-th power that belongs to the determinant; "spherical" has it.
//! Components of a variance below 1e-12 of the largest (1e-6 in single precision) are left out.
//!
//! Cost: for the components min(N, D)³; D² k a class of more rows than features, else `n_c` D k; then
//! C² k, and C² k³ for full covariances. Memory: C·D² numbers for classes of more rows than features.

mod gaussian;
mod pairs;

use crate::decomp::Prepared;
use crate::error::Result;
use crate::linalg::blas::{row_gram_add, transposed_product_add};
use crate::linalg::lapack::TridiagonalForm;
use crate::linalg::memory::{Gather, reserved, zeros};
use crate::stats::{Precision, Second, centred_rows};
use crate::threads::Context;

use self::gaussian::{Gaussian, Kind};
use self::pairs::Spherical;
use super::{Detail, Inputs, Metric, Needs, OptionReader, Outcome};

const NAME: &str = "gbc";

const MEANS: &str = "the means of the classes";

pub(super) const METRIC: Metric = Metric {
    name: NAME,
    title: "GBC",
    summary: "minus the overlap of the classes as Gaussians (Bhattacharyya coefficients)",
    needs: &[Needs::Stats, Needs::ClassScatters],
    tasks: &["classification"],
    decomposes: false,
    cost: "N D min(N, D) + min(N, D)^3 + C^2, memory C D^2",
    source: "Pandy et al., CVPR 2022",
    compute: score,
};

/// Directions along which classes are compared.
pub(super) struct Axes {
    /// (D, k) row-major; none for the axes of the features themselves.
    basis: Option<Vec<f64>>,
    k: usize,
}

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    let (kind, n_components) = options.read(|given| {
        let kind = given.choice("covariance", &Kind::NAMES)?.unwrap_or(Kind::Spherical);
        Ok((kind, given.count("n_components", 1..)?))
    })?;
    let prepared = inputs.prepared()?;
    let stats = prepared.stats;
    let classes = stats.needed_by_class()?;
    let axes = match n_components {
        Some(n_components) => principal(prepared, n_components, context)?,
        None => Axes { basis: None, k: stats.n_features() },
    };
    let gaussians = context
        .map(classes.len(), |c| Gaussian::of_class(classes[c], stats, (&axes, kind), context))?;
    let mut overlaps = match kind {
        Kind::Spherical => spherical(&gaussians, axes.k, context)?,
        Kind::Google => spherical(&gaussians, 1, context)?,
        Kind::Diagonal | Kind::Full => overlaps(&gaussians, context)?,
    };
    for overlap in &mut overlaps {
        *overlap = -*overlap;
    }
    let value: f64 = overlaps.iter().sum::<f64>() + 0.0; // no negative zero
    let n_pairs = (classes.len() * (classes.len() - 1)) as f64;
    // Terms are at most 1, and sums of them round to no more than their number.
    debug_assert!((-n_pairs..=0.0).contains(&value), "GBC {value} is outside [-{n_pairs}, 0]");
    let mut warnings = Vec::new();
    if classes.len() == 1 {
        warnings.push(
            "labels hold a single class: there is no pair to tell apart, and the score of 0 says \
             nothing"
                .to_owned(),
        );
    }
    let lone = classes.iter().filter(|c| c.n_samples() == 1).count();
    if lone > 0 && classes.len() > 1 {
        warnings.push(format!(
            "{lone} of {} classes have a single row, for which the variance is the floor of 1e-4; \
             give at least two rows a class",
            classes.len()
        ));
    }
    if axes.k == 0 {
        warnings.push(
            "the features are the same in all rows: classes coincide and the score is its lowest"
                .to_owned(),
        );
    }
    let details = vec![("n_components", Detail::Number(axes.k as f64))];
    Ok(Outcome { details, warnings, ..Outcome::new(value, overlaps) })
}

/// The sum of the overlaps of each class with all others, pair by pair.
fn overlaps(gaussians: &[Gaussian], context: &Context<'_>) -> Result<Vec<f64>> {
    context.map(gaussians.len(), |i| {
        let mut overlap = 0.0;
        for (j, other) in gaussians.iter().enumerate() {
            if j != i {
                context.check()?;
                overlap += (-gaussians[i].distance(other, context)?).exp();
            }
        }
        Ok(overlap)
    })
}

/// The same for spherical covariances, of which ln det counts the variance `times` times.
fn spherical(gaussians: &[Gaussian], times: usize, context: &Context<'_>) -> Result<Vec<f64>> {
    let of_class = gaussians.iter().filter_map(Gaussian::spherical);
    let variances = of_class.clone().map(|(_, variance)| variance).gathered(MEANS)?;
    let n_means = of_class.clone().map(|(mean, _)| mean.len()).sum();
    let mut means = reserved(n_means, MEANS)?;
    of_class.for_each(|(mean, _)| means.extend_from_slice(mean));
    Spherical::new(means, variances, times)?.overlaps(context)
}

/// The first `count` principal components that have a variance.
fn principal(prepared: &Prepared<'_>, count: usize, context: &Context<'_>) -> Result<Axes> {
    let stats = prepared.stats;
    let tolerance = match (stats.precision, stats.holds_rows()) {
        (Precision::Single, false) => 1e-6,
        _ => 1e-12,
    };
    let kept = |values: &[f64]| {
        let largest = values.first().copied().unwrap_or(0.0);
        values.iter().take_while(|value| **value > tolerance * largest).count()
    };
    let n_features = stats.n_features();
    match &stats.second {
        Second::Scatter(_) => {
            let form = &prepared.decomp(context)?.form;
            let (values, vectors) = form.largest(count.min(form.order()), context)?;
            let k = kept(&values);
            let mut basis = zeros(n_features * k, "the principal components")?;
            for (j, vector) in vectors.chunks_exact(n_features).take(k).enumerate() {
                basis.iter_mut().skip(j).step_by(k).zip(vector).for_each(|(out, v)| *out = *v);
            }
            Ok(Axes { basis: Some(basis), k })
        }
        Second::Rows { values: rows, weights } => {
            let x = centred_rows(rows, weights, &stats.mean_about_shift()?)?;
            let n_rows = weights.len();
            let mut gram = zeros(n_rows * n_rows, "the products of the rows")?;
            row_gram_add(&x, n_features, 0..n_features, &mut gram, context)?;
            context.check()?;
            let form = TridiagonalForm::reduce(gram, n_rows, context)?;
            let (values, vectors) = form.largest(count.min(n_rows), context)?;
            let k = kept(&values);
            // V = Xᵀ U / √λ.
            let mut scaled = zeros(n_rows * k, "the principal components")?;
            for (j, (vector, value)) in
                vectors.chunks_exact(n_rows).zip(&values).take(k).enumerate()
            {
                let column = scaled.iter_mut().skip(j).step_by(k);
                column.zip(vector).for_each(|(out, u)| *out = u / value.sqrt());
            }
            let mut basis = zeros(n_features * k, "the principal components")?;
            transposed_product_add(&x, &scaled, &mut basis, n_features, k);
            Ok(Axes { basis: Some(basis), k })
        }
    }
}
