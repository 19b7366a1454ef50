//! Coding rates, in nats, in the two conventions that are in use.
//!
//! For n rows Z (n, D) and a distortion ε, R(Z) = ½ ln det(I + ZᵀZ/t), with
//!
//! | convention | Z | t | class rates are averaged with weights |
//! |---|---|---|---|
//! | `TransRate` | about the mean of all rows | n ε | 1/C |
//! | `Mcr2` | as they are | n ε²/D | `n_c`/N |
//!
//! A class's rate R(`Z_c`) has its own `n_c` for n, and the same point for its rows. The reduction is
//! R(Z) less the average rate of the classes.
//!
//! Sources: Huang, Huang, Rong, Yang, Wei, "Frustratingly Easy Transferability Estimation", ICML
//! 2022; Yu, Chan, You, Song, Ma, "Learning Diverse and Discriminative Representations via the
//! Principle of Maximal Coding Rate Reduction", `NeurIPS` 2020, eq. (7) and (9).

use crate::error::{Error, Result};
use crate::input::Label;
use crate::linalg::memory::Gather;
use crate::stats::Stats;
use crate::threads::Context;

use super::{Centre, Rate, Recentred, check};

const RATES: &str = "the rates of the classes";

/// Which of the two definitions of the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateConvention {
    /// Of `TransRate`'s paper and code.
    TransRate,
    /// Of maximal coding rate reduction, for rows of unit norm.
    Mcr2,
}

impl RateConvention {
    fn centre(self) -> Centre {
        match self {
            Self::TransRate => Centre::Mean,
            Self::Mcr2 => Centre::Zero,
        }
    }

    /// t/n.
    fn scale(self, eps: f64, n_features: usize) -> Result<f64> {
        let scale = match self {
            Self::TransRate => eps,
            Self::Mcr2 => eps * eps / n_features as f64,
        };
        if eps > 0.0 && (1e-60..=1e60).contains(&scale) {
            return Ok(scale);
        }
        let (metric, option) = ("coding rate", "eps");
        let (value, expected) = (format!("{eps}").into(), "a number from 1e-25 to 1e25".into());
        Err(Error::BadOption { metric, option, value, expected })
    }
}

/// A coding rate, and the size of its rounding error.
#[derive(Debug, Clone, Copy)]
pub struct CodingRate {
    /// In nats.
    pub value: f64,
    /// About the size of its rounding error.
    pub rounding: f64,
}

/// The coding rate of all rows, of each class, and their difference.
#[derive(Debug, Clone)]
pub struct CodingRateReduction {
    /// Of all rows.
    pub total: f64,
    /// Of the rows of each class, classes sorted.
    pub per_class: Vec<(Label, f64)>,
    /// The total less the average rate of the classes.
    pub difference: f64,
    /// About the size of the rounding error of the difference.
    pub rounding: f64,
}

/// The coding rate of the features that were accumulated.
///
/// ```
/// use ndarray::array;
/// use transferability::covariance::{RateConvention, coding_rate};
/// use transferability::input::{Block, Response};
/// use transferability::stats::{Precision, Stats};
/// use transferability::threads::Context;
///
/// let (rows, context) = (array![[2.0], [-2.0]], Context::serial());
/// let mut stats = Stats::empty(Precision::Double);
/// stats.push(&Block::new(&rows, Response::Nothing(2), None)?, &context)?;
/// let rate = coding_rate(&stats, 0.5, RateConvention::Mcr2, &context)?;
/// assert!((rate.value - (1.0_f64 + 4.0 / 0.25).ln() / 2.0).abs() < 1e-15);
/// # Ok::<(), transferability::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::NoData`], [`Error::OutOfRange`], [`Error::BadOption`], [`Error::TooLarge`],
/// [`Error::OutOfMemory`].
pub fn coding_rate(
    stats: &Stats,
    eps: f64,
    convention: RateConvention,
    context: &Context<'_>,
) -> Result<CodingRate> {
    check(stats, convention.centre())?;
    context.check()?;
    let scale = convention.scale(eps, stats.n_features)?;
    let recentred = Recentred { stats, to_shift: convention.centre().to_shift(stats)? };
    let Rate { value, rounding } = recentred.rate(scale, context)?;
    Ok(CodingRate { value, rounding })
}

/// The coding rates of all rows and of every class, from statistics of every class.
///
/// ```
/// use ndarray::array;
/// use transferability::covariance::{RateConvention, coding_rate_reduction};
/// use transferability::input::{Block, Response};
/// use transferability::stats::{Precision, Stats};
/// use transferability::threads::Context;
///
/// let (rows, context) = (array![[2.0, 0.0], [0.0, 2.0]], Context::serial());
/// let labels = Response::Labels { ids: &[1, 2], names: None };
/// let mut stats = Stats::empty(Precision::Double).with_class_scatters();
/// stats.push(&Block::new(&rows, labels, None)?, &context)?;
/// let rates = coding_rate_reduction(&stats, 0.5, RateConvention::Mcr2, &context)?;
/// let (total, of_class) = (17.0_f64.ln(), 33.0_f64.ln() / 2.0);
/// assert!((rates.total - total).abs() < 1e-14 && (rates.per_class[0].1 - of_class).abs() < 1e-14);
/// assert!((rates.difference - (total - of_class)).abs() < 1e-14);
/// # Ok::<(), transferability::error::Error>(())
/// ```
///
/// # Errors
/// As [`coding_rate`], and [`Error::Missing`] for statistics without those of every class.
pub fn coding_rate_reduction(
    stats: &Stats,
    eps: f64,
    convention: RateConvention,
    context: &Context<'_>,
) -> Result<CodingRateReduction> {
    check(stats, convention.centre())?;
    let scale = convention.scale(eps, stats.n_features)?;
    let to_shift = convention.centre().to_shift(stats)?;
    let rates = ClassRates::new(stats, &to_shift, scale, context)?;
    let (n, n_classes) = (stats.n_samples as f64, rates.classes.len() as f64);
    let classes = stats.classes()?.ok_or(Error::Missing { what: "class labels" })?;
    let weights = classes.iter().map(|(_, count)| match convention {
        RateConvention::TransRate => 1.0 / n_classes,
        RateConvention::Mcr2 => *count as f64 / n,
    });
    let weights = weights.gathered(RATES)?;
    Ok(CodingRateReduction {
        total: rates.total.value,
        difference: rates.difference(&weights),
        rounding: rates.rounding(&weights),
        per_class: classes
            .into_iter()
            .zip(&rates.classes)
            .map(|((class, _), rate)| (class, rate.value))
            .gathered(RATES)?,
    })
}

/// The rates of all rows and of every class, classes sorted, about one point.
pub(crate) struct ClassRates {
    pub(crate) total: Rate,
    pub(crate) classes: Vec<Rate>,
}

impl ClassRates {
    /// About the point s − `to_shift`, for the shift s, at t = n `scale`.
    pub(crate) fn new(
        stats: &Stats,
        to_shift: &[f64],
        scale: f64,
        context: &Context<'_>,
    ) -> Result<Self> {
        let classes = stats.needed_by_class()?;
        // A single class is all rows: computed once, so that the difference is exactly zero.
        let n_rates = if classes.len() == 1 { 1 } else { classes.len() + 1 };
        let mut rates = context.map(n_rates, |i| {
            // All rows take longest, so they come first.
            let of = if i == 0 { stats } else { classes[i - 1] };
            // s_c − point = (s_c − s) + (s − point), which keeps the digits of a large offset.
            let moved = of.shift.iter().zip(&stats.shift).map(|(own, shift)| own - shift);
            let to_shift = moved.zip(to_shift).map(|(moved, e)| moved + e).gathered(RATES)?;
            Recentred { stats: of, to_shift }.rate(scale, context)
        })?;
        let total = if classes.len() == 1 { rates[0] } else { rates.remove(0) };
        Ok(Self { total, classes: rates })
    }

    /// The total less the average rate of the classes.
    pub(crate) fn difference(&self, weights: &[f64]) -> f64 {
        if self.classes.len() == 1 {
            return 0.0;
        }
        let classes = self.classes.iter().zip(weights);
        self.total.value - classes.map(|(rate, weight)| weight * rate.value).sum::<f64>()
    }

    /// The rounding error of the difference.
    pub(crate) fn rounding(&self, weights: &[f64]) -> f64 {
        let classes = self.classes.iter().zip(weights);
        self.total.rounding + classes.map(|(rate, weight)| weight * rate.rounding).sum::<f64>()
    }
}
