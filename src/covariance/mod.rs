//! Covariance, its shrinkage, its spectrum and coding rates, from statistics.
//!
//! With n rows x (D,), their mean μ and a centre m, which is μ, or 0 for features that are centred
//! already:
//!
//!   M = (1/n) Σ (x − m)(x − m)ᵀ,  (D, D);   shrunk: (1 − a) M + a (tr M/D) I
//!
//! All of it follows from [`Stats`], so that it streams and merges, and weights count as repeated
//! rows.
//!
//! ```
//! use ndarray::array;
//! use transferability::covariance::{Centre, Shrinkage, covariance, spectrum};
//! use transferability::input::{Block, Response};
//! use transferability::stats::{Precision, Stats};
//! use transferability::threads::Context;
//!
//! let features = array![[1.0, 2.0], [-1.0, 2.5], [3.0, 0.5], [0.0, 1.0], [2.0, -1.0]];
//! let features = features.view();
//! let context = Context::serial();
//! let mut stats = Stats::empty(Precision::Double);
//! stats.push(&Block::new(&features, Response::Nothing(5), None)?, &context)?;
//!
//! let plain = covariance(&stats, Centre::Mean, Shrinkage::None, &context)?;
//! let shrunk = covariance(&stats, Centre::Mean, Shrinkage::LedoitWolf, &context)?;
//! assert_eq!(plain.matrix.len(), 4); // (D, D), row-major
//! assert!(0.0 < shrunk.shrinkage && shrunk.shrinkage < 1.0);
//! assert!((plain.trace() - shrunk.trace()).abs() < 1e-14); // shrinkage keeps the trace
//! let eigenvalues = spectrum(&stats, Centre::Mean, &context)?;
//! assert!((plain.trace() - eigenvalues.iter().sum::<f64>()).abs() < 1e-14);
//! # Ok::<(), transferability::error::Error>(())
//! ```

mod classes;
mod coding_rate;
mod discriminant;
mod estimate;
mod rate;
mod recentred;
mod shrinkage;
mod spectrum;

pub use classes::{ClassCovariances, class_covariances, class_covariances_of, class_means};
pub use coding_rate::{
    CodingRate, CodingRateReduction, RateConvention, coding_rate, coding_rate_reduction,
};
pub use discriminant::{Discriminant, discriminant};
pub use estimate::{Covariance, covariance, covariance_of, shrinkage};
pub use shrinkage::Shrinkage;
pub use spectrum::spectrum;

pub(crate) use coding_rate::ClassRates;
pub(crate) use rate::Rate;
pub(crate) use recentred::Recentred;

use crate::error::{Error, Result};
use crate::input::check_addressable;
use crate::linalg::blas::scale;
use crate::linalg::lapack::{check_order, check_svd_order};
use crate::linalg::memory::copied;
use crate::stats::Stats;

/// The point that second moments are taken about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Centre {
    /// The mean of the features.
    #[default]
    Mean,
    /// Zero: the features count as centred, as they are.
    Zero,
}

impl Centre {
    /// s − centre, (D,), for the shift s of the statistics.
    pub(crate) fn to_shift(self, stats: &Stats) -> Result<Vec<f64>> {
        match self {
            Self::Mean => {
                let mut offset = stats.mean_about_shift()?;
                scale(-1.0, &mut offset);
                Ok(offset)
            }
            Self::Zero => copied(&stats.shift, "the centre of the features"),
        }
    }
}

/// Refuses statistics of no rows, and magnitudes whose squares leave the range of float64.
fn check(stats: &Stats, centre: Centre) -> Result<()> {
    if stats.is_empty() {
        return Err(Error::NoData);
    }
    stats.check_covariance(centre == Centre::Zero)
}

/// Check that LAPACK can decompose features of this shape, before a row of them is read.
///
/// # Errors
/// [`Error::Unaddressable`], [`Error::TooLarge`].
pub fn check_shape((n_rows, n_cols): (usize, usize)) -> Result<()> {
    check_addressable((n_rows, n_cols))?;
    check_order(n_rows.min(n_cols))
}

/// Check as [`check_shape`] for a spectrum, for which fewer rows than columns are decomposed as they are.
///
/// # Errors
/// [`Error::Unaddressable`], [`Error::TooLarge`].
pub fn check_spectrum_shape((n_rows, n_cols): (usize, usize)) -> Result<()> {
    check_addressable((n_rows, n_cols))?;
    if n_rows <= n_cols { check_svd_order(n_rows) } else { check_order(n_cols) }
}
