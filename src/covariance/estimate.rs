//! The covariance matrix, shrunk or not, in the memory of the scatter.
//!
//! Ledoit and Wolf's E (`shrinkage.rs`) about zero, with z = x − μ, S the scatter of z, and
//! v = Σ‖z‖² z, has no terms that cancel:
//!
//!   n Σ‖x‖⁴ − |Σ xxᵀ|²_F = n Σ‖z‖⁴ − |S|²_F + 2n (‖μ‖² tr S + μᵀSμ + 2 μᵀv)
//!
//! so that features far from zero keep their digits.

use crate::decomp::Spread;
use crate::error::{Error, Result};
use crate::input::{Block, Response, Rows};
use crate::linalg::blas::{axpy, dot, quadratic, scale};
use crate::linalg::lapack::check_order;
use crate::linalg::memory::Gather;
use crate::stats::{Precision, Second, Stats};
use crate::threads::Context;

use super::{Centre, Shrinkage, check};

/// A covariance matrix.
#[derive(Debug, Clone)]
pub struct Covariance {
    /// (D, D), row-major and symmetric.
    pub matrix: Vec<f64>,
    /// D.
    pub n_features: usize,
    /// The shrinkage that was applied, from 0 to 1.
    pub shrinkage: f64,
}

impl Covariance {
    /// The sum of the variances.
    #[must_use]
    pub fn trace(&self) -> f64 {
        self.matrix.iter().step_by(self.n_features + 1).sum()
    }
}

/// The covariance of the features that were accumulated, divided by n.
///
/// ```
/// use ndarray::array;
/// use transferability::covariance::{Centre, Shrinkage, covariance};
/// use transferability::input::{Block, Response};
/// use transferability::stats::{Precision, Stats};
/// use transferability::threads::Context;
///
/// let (first, second) = (array![[1.0, 1.0], [1.0, 1.0]], array![[0.0, 2.0], [0.0, 2.0]]);
/// let context = Context::serial();
/// let mut stats = Stats::empty(Precision::Double);
/// stats.push(&Block::new(&first, Response::Nothing(2), None)?, &context)?;
/// stats.push(&Block::new(&second, Response::Nothing(2), None)?, &context)?;
/// let found = covariance(&stats, Centre::Mean, Shrinkage::None, &context)?;
/// assert_eq!(found.matrix, [0.25, -0.25, -0.25, 0.25]);
/// # Ok::<(), transferability::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::NoData`]; [`Error::OutOfRange`] where squares, or fourth powers for Ledoit and Wolf's
/// estimate, leave the range of float64; [`Error::BadOption`] for a fixed shrinkage that is not from
/// 0 to 1; [`Error::OutOfMemory`], [`Error::Interrupted`].
pub fn covariance(
    stats: &Stats,
    centre: Centre,
    by: Shrinkage,
    context: &Context<'_>,
) -> Result<Covariance> {
    into_covariance(stats.without_responses()?, centre, by, context)
}

/// The shrinkage of [`covariance`] alone.
///
/// ```
/// use ndarray::array;
/// use transferability::covariance::{Centre, Shrinkage, shrinkage};
/// use transferability::input::{Block, Response};
/// use transferability::stats::{Precision, Stats};
/// use transferability::threads::Context;
///
/// let rows = array![[1.0, 2.0], [0.0, 1.5], [2.0, -1.0], [1.0, 1.0]];
/// let context = Context::serial();
/// let mut stats = Stats::empty(Precision::Double);
/// stats.push(&Block::new(&rows, Response::Nothing(4), None)?, &context)?;
/// let a = shrinkage(&stats, Centre::Mean, Shrinkage::LedoitWolf, &context)?;
/// assert!((a - 0.744).abs() < 5e-4);
/// # Ok::<(), transferability::error::Error>(())
/// ```
///
/// # Errors
/// As [`covariance`].
pub fn shrinkage(
    stats: &Stats,
    centre: Centre,
    by: Shrinkage,
    context: &Context<'_>,
) -> Result<f64> {
    let (.., a) = shrunk_scatter(stats.without_responses()?, centre, by, context)?;
    Ok(a)
}

/// The covariance of these rows, in one pass. Memory: the result, and (D, D) numbers a thread.
///
/// ```
/// use ndarray::array;
/// use transferability::covariance::{Centre, Shrinkage, covariance_of};
/// use transferability::threads::Context;
///
/// let rows = array![[1.0_f32, 1.0], [1.0, 1.0], [0.0, 2.0], [0.0, 2.0]];
/// let found = covariance_of(&rows, Centre::Mean, Shrinkage::Fixed(0.2), &Context::serial())?;
/// assert_eq!(found.matrix, [0.25, -0.2, -0.2, 0.25]);
/// # Ok::<(), transferability::error::Error>(())
/// ```
///
/// # Errors
/// As [`covariance`], and [`Error::NotFinite`].
pub fn covariance_of(
    features: &dyn Rows,
    centre: Centre,
    by: Shrinkage,
    context: &Context<'_>,
) -> Result<Covariance> {
    check_order(features.n_cols())?; // before a row is read
    into_covariance(stats_of(features, context)?, centre, by, context)
}

/// The statistics of rows without labels.
pub(super) fn stats_of(features: &dyn Rows, context: &Context<'_>) -> Result<Stats> {
    let mut stats = Stats::empty(Precision::Double);
    stats.push(&Block::new(features, Response::Nothing(features.n_rows()), None)?, context)?;
    Ok(stats)
}

/// As [`covariance`], in the memory of the statistics.
pub(super) fn into_covariance(
    stats: Stats,
    centre: Centre,
    by: Shrinkage,
    context: &Context<'_>,
) -> Result<Covariance> {
    let (n, n_features) = (stats.n_samples as f64, stats.n_features);
    let (mut matrix, trace, a) = shrunk_scatter(stats, centre, by, context)?;
    let (factor, added) = ((1.0 - a) / n, a * (trace / n / n_features as f64));
    context.for_each_chunk(&mut matrix, n_features, |i, row| {
        scale(factor, &mut row[i..]);
        row[i] += added;
        Ok(())
    })?;
    mirror(&mut matrix, n_features, context)?;
    Ok(Covariance { matrix, n_features, shrinkage: a })
}

/// The scatter about the centre, upper triangle, its trace, and the shrinkage.
fn shrunk_scatter(
    mut stats: Stats,
    centre: Centre,
    by: Shrinkage,
    context: &Context<'_>,
) -> Result<(Vec<f64>, f64, f64)> {
    check(&stats, centre)?;
    stats.hold_scatter(context)?;
    let (n, n_features) = (stats.n_samples as f64, stats.n_features);
    let (offset, mean, largest) = (stats.mean_about_shift()?, stats.mean()?, stats.largest);
    let fourth = (by == Shrinkage::LedoitWolf).then(|| stats.centred_fourth()).transpose()?;
    let Second::Scatter(mut matrix) = stats.second else { return Err(Error::NoData) };

    add_outer(&mut matrix, -n, &offset, context)?;
    let own = spread(&matrix, n_features, context)?;
    let (about, moved) = match centre {
        Centre::Mean => (own, 0.0),
        Centre::Zero => {
            let square = dot(&mean, &mean);
            // μᵀSμ may leave the range of float64: μ in units of the norm of all rows.
            let size = (own.trace + n * square).sqrt();
            let in_size = mean.iter().map(|x| x / size).gathered("the mean in its unit")?;
            let along = if fourth.is_some() { quadratic(&matrix, &in_size) } else { 0.0 };
            add_outer(&mut matrix, n, &mean, context)?;
            let about = spread(&matrix, n_features, context)?;
            let unit = about.trace;
            let third = fourth.as_ref().map_or(0.0, |fourth| fourth.along(&mean, unit));
            let moved = square / unit * (own.trace / unit) + along / unit * (size * size / unit);
            (about, 2.0 * n * (moved + 2.0 * third))
        }
    };
    let a = by.coefficient(n, n_features, about, || {
        let ratio = own.trace / about.trace;
        let quartic = fourth.as_ref().ok_or(Error::NoData)?.in_unit(about.trace);
        // (Σ‖z‖²)² ≤ n Σ‖z‖⁴
        if !quartic.is_finite() || n * quartic < 0.5 * ratio * ratio {
            let problem = if largest > 1.0 { "overflow" } else { "underflow" };
            return Err(Error::OutOfRange { name: "features", largest, problem });
        }
        let f = own.unequal + 1.0 / n_features as f64;
        Ok(n * quartic - f * ratio * ratio + moved)
    })?;
    Ok((matrix, about.trace, a))
}

/// Adds factor · v vᵀ to an upper triangle.
fn add_outer(matrix: &mut [f64], factor: f64, v: &[f64], context: &Context<'_>) -> Result<()> {
    context.for_each_chunk(matrix, v.len(), |i, row| {
        axpy(factor * v[i], &v[i..], &mut row[i..]);
        row[i] = row[i].max(0.0);
        Ok(())
    })
}

/// The trace and the spread of the eigenvalues of an upper triangle.
fn spread(matrix: &[f64], order: usize, context: &Context<'_>) -> Result<Spread> {
    let trace: f64 = matrix.iter().step_by(order + 1).sum();
    if trace <= 0.0 || !trace.is_finite() {
        return Ok(Spread { trace, unequal: 0.0 });
    }
    let equal = 1.0 / order as f64;
    let rows = context.map(order, |i| {
        let row = &matrix[i * order + i..(i + 1) * order];
        let off: f64 = row[1..].iter().map(|s| (s / trace) * (s / trace)).sum();
        Ok(2.0 * off + (row[0] / trace - equal).powi(2))
    })?;
    Ok(Spread { trace, unequal: rows.iter().sum() })
}

/// Copies the upper triangle to the lower one, tile by tile, so that both sides stay in cache.
pub(super) fn mirror(matrix: &mut [f64], order: usize, context: &Context<'_>) -> Result<()> {
    const TILE: usize = 64;
    for start in (0..order).step_by(TILE) {
        let end = order.min(start + TILE);
        let (upper, below) = matrix.split_at_mut(end * order);
        let upper = &upper[start * order..];
        context.for_each_chunk(below, TILE * order, |tile, rows| {
            let first = end + tile * TILE;
            for (r, row) in rows.chunks_exact_mut(order).enumerate() {
                for (i, out) in row[start..end].iter_mut().enumerate() {
                    *out = upper[i * order + first + r];
                }
            }
            Ok(())
        })?;
        let within = &mut matrix[start * order..end * order];
        for i in 1..end - start {
            for j in 0..i {
                within[i * order + start + j] = within[j * order + start + i];
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_every_entry() {
        for order in [1, 2, 63, 64, 65, 130, 200] {
            let mut matrix = vec![f64::NAN; order * order];
            for i in 0..order {
                for j in i..order {
                    matrix[i * order + j] = (i * order + j) as f64;
                }
            }
            mirror(&mut matrix, order, &Context::serial()).unwrap();
            for i in 0..order {
                for j in 0..order {
                    let expected = (i.min(j) * order + i.max(j)) as f64;
                    assert!((matrix[i * order + j] - expected).abs() < 0.5, "{order}: {i}, {j}");
                }
            }
        }
    }
}
