//! The eigenvalues of the covariance.
//!
//! Where rows are held, from the singular values of the rows about the centre, which shows
//! eigenvalues down to 1e-32 of the largest. From a scatter, by its tridiagonal form: a scatter
//! knows them to 1e-16 of the largest, and so do its eigenvalues. Cost: min(N, D)² D.

use std::iter::repeat;

use ndarray::Array2;

use crate::error::{Error, Result};
use crate::linalg::lapack::{TridiagonalForm, singular_values};
use crate::linalg::memory::Gather;
use crate::stats::{Precision, Stats};
use crate::threads::Context;

use super::{Centre, Recentred, check};

/// The min(N, D) largest eigenvalues of the covariance, descending.
///
/// Those that are rounding are exactly 0: up to max(N, D) roundings of the largest singular value
/// where rows are held, and of the largest eigenvalue where the scatter is.
///
/// ```
/// use ndarray::array;
/// use transferability::covariance::{Centre, spectrum};
/// use transferability::input::{Block, Response};
/// use transferability::stats::{Precision, Stats};
/// use transferability::threads::Context;
///
/// let rows = array![[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]];
/// let context = Context::serial();
/// let mut stats = Stats::empty(Precision::Double);
/// stats.push(&Block::new(&rows, Response::Nothing(4), None)?, &context)?;
/// let eigenvalues = spectrum(&stats, Centre::Mean, &context)?;
/// assert!((eigenvalues[0] - 4.5).abs() < 1e-14 && (eigenvalues[1] - 0.5).abs() < 1e-14);
/// # Ok::<(), transferability::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::NoData`], [`Error::OutOfRange`], [`Error::TooLarge`], [`Error::OutOfMemory`].
pub fn spectrum(stats: &Stats, centre: Centre, context: &Context<'_>) -> Result<Vec<f64>> {
    check(stats, centre)?;
    context.check()?;
    let recentred = Recentred { stats, to_shift: centre.to_shift(stats)? };
    let (n, n_features) = (stats.n_samples as f64, stats.n_features);
    let count = usize::try_from(stats.n_samples).unwrap_or(usize::MAX).min(n_features);
    if stats.holds_rows() {
        let rows = recentred.rows()?;
        let n_rows = rows.len() / n_features;
        let rows = Array2::from_shape_vec((n_rows, n_features), rows);
        let singular = singular_values(rows.map_err(|_| Error::NoData)?)?;
        let largest = singular.first().copied().unwrap_or(0.0);
        let floor = n_rows.max(n_features) as f64 * f64::EPSILON * largest;
        let square = |s: &f64| if *s > floor { s * s / n } else { 0.0 };
        // A row of weight k counts k times, and adds one direction.
        let values = singular.iter().map(square).chain(repeat(0.0));
        return values.take(count).gathered("the eigenvalues of a covariance");
    }
    let scatter = recentred.scatter()?;
    let form = TridiagonalForm::reduce_with(scatter, n_features, &mut [], context)?;
    let values = form.eigenvalues()?;
    let unit = match stats.precision {
        Precision::Double => f64::EPSILON * n_features as f64,
        Precision::Single => 4.0 * f64::from(f32::EPSILON),
    };
    let floor = unit * values.first().copied().unwrap_or(0.0);
    let values = values.iter().map(|v| if *v > floor { v / n } else { 0.0 });
    values.take(count).gathered("the eigenvalues of a covariance")
}
