//! H-score: the share of the features' variance that lies between the classes, invariant to linear
//! maps.
//!
//! With n_c rows in class c, δ_c (D,) the class mean less the mean, S = XᵀX the scatter of the
//! centred features, and b_c = n_c δ_c:
//!
//!   H = tr(cov(f)⁻¹ cov(E[f|y])) = Σ_c n_c δ_cᵀ S⁺ δ_c = Σ_c b_cᵀS⁺b_c / n_c
//!
//! so that H is the sum over classes of the share |P 1_c|²/n_c that the projector P on the span of
//! the centred features keeps of the class indicator: 0 ≤ H ≤ min(C − 1, rank). Higher is better.
//!
//! With shrinkage a, the features' covariance alone is shrunk, and divided by N where the other is
//! by N − 1:
//!
//!   H_a = (1 − a) tr(Σ_a⁻¹ cov(E[f|y])),  Σ_a = (1 − a) S/N + a m I,  m = tr S/(N D)
//!       = N/(N − 1) Σ_c b_cᵀ(S + tI)⁻¹b_c / n_c,  t = a/(1 − a) · tr S/D
//!
//! Ledoit and Wolf's a from Σ‖x − μ‖⁴, and Chen et al.'s ("OAS"), with f = |S|²_F/(tr S)²:
//!
//!   a = min(1, [N Σ‖x − μ‖⁴/(tr S)² − f] / [N (f − 1/D)]),   a = min(1, (f + 1)/[(N + 1)(f − 1/D)])
//!
//! Sources: Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer
//! Learning", ICIP 2019; Ibrahim, Ponomareva, Mazumder, "Newer is not always better", ECML-PKDD
//! 2022; Ledoit, Wolf, J. Multivariate Analysis 88, 2004; Chen, Wiesel, Eldar, Hero, IEEE Trans.
//! Signal Processing 58, 2010, as scikit-learn has it.
//!
//! Departures: the rank is determined with columns at unit variance; the authors' pseudo-inverse
//! cuts at 1e-15 of the largest eigenvalue. Cost after the statistics: min(N, D)³ + C D².

mod influence;

use crate::decomp::{Fit, Prepared, Spread};
use crate::error::{Error, Result};
use crate::linalg::memory::Gather;
use crate::stats::Stats;
use crate::threads::Context;

use super::{Detail, Digits, Metric, Needs, OptionReader, OptionValue, Outcome};
use influence::influence;

pub use crate::covariance::Shrinkage;

pub(super) const METRIC: Metric = Metric {
    name: "h_score",
    title: "H-score",
    summary: "share of the features' spread that lies between the classes, summed over directions",
    needs: &[Needs::Stats],
    tasks: &["classification"],
    decomposes: true,
    cost: "N D min(N, D) + min(N, D)^3 + C D^2",
    source: "Bao et al., ICIP 2019",
    compute: |inputs, options, context| {
        let (shrinkage, with_influence) =
            options.read(|given| Ok((read_shrinkage(given)?, given.flag("influence")?)))?;
        let mut outcome = h_score(inputs.prepared()?, shrinkage, context)?;
        if with_influence && shrinkage == Shrinkage::None {
            let rows = influence(inputs, context)?;
            outcome.details.extend(rows.map(|rows| ("influence", Detail::Numbers(rows))));
        }
        Ok(outcome)
    },
};

/// The row of the table for its own name.
pub(super) const REGULARIZED: Metric = Metric {
    name: "regularized_h_score",
    title: "Regularised H-score",
    summary: "H-score with Ledoit-Wolf shrinkage of the features' covariance",
    needs: &[Needs::Stats],
    tasks: &["classification"],
    decomposes: true,
    cost: "N D min(N, D) + min(N, D)^3 + C min(N, D)",
    source: "Ibrahim et al., ECML-PKDD 2022",
    compute: |inputs, options, context| {
        options.none()?;
        h_score(inputs.prepared()?, Shrinkage::LedoitWolf, context)
    },
};

fn read_shrinkage(given: &mut OptionReader<'_>) -> Result<Shrinkage> {
    const EXPECTED: &str = "\"ledoit-wolf\", \"oas\" or a number of at least 0, at most 1";
    let Some(value) = given.value("shrinkage") else { return Ok(Shrinkage::None) };
    match value {
        OptionValue::Text(name) if **name == *"ledoit-wolf" => Ok(Shrinkage::LedoitWolf),
        OptionValue::Text(name) if **name == *"oas" => Ok(Shrinkage::Oas),
        OptionValue::Number(a) if (0.0..=1.0).contains(a) => Ok(Shrinkage::Fixed(*a)),
        other => Err(given.refuse("shrinkage", other, EXPECTED)),
    }
}

/// a, from 0 to 1, by the spread of the eigenvalues, which the decomposition has.
fn estimate(shrinkage: Shrinkage, stats: &Stats, spread: Spread) -> Result<f64> {
    let n = stats.n_samples as f64;
    shrinkage.coefficient(n, stats.n_features, spread, || {
        let fourth = stats.fourth_moment()? / spread.trace / spread.trace;
        if !fourth.is_finite() || fourth * n < 0.5 {
            // (Σ‖x‖²)² ≤ N Σ‖x‖⁴
            let problem = if stats.largest > 1.0 { "overflow" } else { "underflow" };
            let largest = stats.largest;
            return Err(Error::OutOfRange { name: "features", largest, problem });
        }
        Ok(n * fourth - (spread.unequal + 1.0 / stats.n_features as f64))
    })
}

/// The score. Its parts, one a class, add up to it. Details: `shrinkage`; without shrinkage `rank`
/// and `rounding` too; `saturated`.
///
/// # Errors
/// [`Error::OutOfRange`] where fourth powers of the features leave the range of float64;
/// [`Error::Missing`] without labels; the errors of the decomposition.
pub fn h_score(
    prepared: &Prepared<'_>,
    shrinkage: Shrinkage,
    context: &Context<'_>,
) -> Result<Outcome> {
    let Some(counts) = prepared.stats.class_counts()? else {
        return Err(Error::Missing { what: "class labels" });
    };
    let n = prepared.stats.n_samples as f64;
    let (fits, a, flat) = if shrinkage == Shrinkage::None {
        let fits = prepared.least_squares(context)?;
        let flat = fits.rank == Some(0);
        (fits, 0.0, flat)
    } else {
        let spread = prepared.spread(context)?;
        let a = estimate(shrinkage, prepared.stats, spread)?;
        let t = a / (1.0 - a) * (spread.trace / prepared.stats.n_features as f64);
        let penalised = t > 0.0 && t.is_finite();
        let fits = if penalised {
            prepared.ridge(t, context)?
        } else {
            prepared.least_squares(context)?
        };
        (fits, a, spread.trace <= 0.0)
    };
    // At a = 1 the score is 0.
    let factor = match shrinkage {
        Shrinkage::None => 1.0,
        _ => n / (n - 1.0) * f64::from(u8::from(a < 1.0)),
    };
    let fitted = fits.targets.iter().zip(&counts);
    let share = |(fit, count): (&Fit, &f64)| factor * fit.explained.max(0.0) / count;
    let per_target = fitted.clone().map(share).gathered("the scores of the classes")?;
    let rounding = fitted.map(|(fit, count)| factor * fit.rounding / count).sum();

    let mut warnings = Vec::new();
    if counts.len() == 1 {
        warnings.push("labels hold a single class: the score is 0 whatever the features".into());
    } else if flat {
        warnings.push(super::FLAT.into());
    } else if fits.saturated {
        warnings.push(format!(
            "the features have a direction for every sample, where the H-score is always {}: use \
             shrinkage (regularized_h_score), or more samples than features",
            factor * (counts.len() as f64 - 1.0)
        ));
    }
    let mut details = vec![
        ("shrinkage", Detail::Number(a)),
        ("saturated", Detail::Flag(fits.saturated)),
        ("rounding", Detail::Number(rounding)),
    ];
    details.extend(fits.rank.map(|rank| ("rank", Detail::Count(rank))));
    let value = per_target.iter().sum::<f64>();
    let bound = (counts.len() - 1) as f64;
    let value = if shrinkage == Shrinkage::None { value.min(bound) } else { value };
    let digits = Digits::of(prepared, rounding, value);
    warnings.extend(digits.warning());
    let exact = digits.exact;
    Ok(Outcome { details, warnings, exact, ..Outcome::new(value, per_target) })
}
