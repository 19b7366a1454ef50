//! The Gaussian of a class along some axes, and the Bhattacharyya distance of two.

use crate::error::{Error, Result};
use crate::linalg::blas::{
    axpy, dot, gram_add, outer_add, product_into, scale, symmetric_product_add,
    transposed_product_add,
};
use crate::linalg::lapack::{Cholesky, TridiagonalForm, check_order};
use crate::linalg::memory::{Gather, copied, zeros};
use crate::stats::{Second, Stats};
use crate::threads::Context;

use super::Axes;
use super::pairs::log_ratio;

/// The least variance, in the features' own unit, as in the authors' code.
const FLOOR: f64 = 1e-4;

const GAUSSIAN: &str = "the Gaussian of a class";

/// The form of the covariance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Spherical,
    Diagonal,
    Full,
    Google,
}

impl Kind {
    pub(super) const NAMES: [(&str, Self); 4] = [
        ("spherical", Self::Spherical),
        ("diagonal", Self::Diagonal),
        ("full", Self::Full),
        ("google", Self::Google),
    ];
}

/// A Gaussian of k dimensions.
pub(super) struct Gaussian {
    /// About the mean of all rows, (k,).
    mean: Vec<f64>,
    spread: Spread,
}

enum Spread {
    /// σ².
    Spherical(f64),
    Diagonal(Vec<f64>),
    /// Σ (k, k), upper triangle, and ln det Σ.
    Full(Vec<f64>, f64),
}

impl Gaussian {
    /// Of a class among all rows, along axes.
    pub(super) fn of_class(
        class: &Stats,
        all: &Stats,
        (axes, kind): (&Axes, Kind),
        context: &Context<'_>,
    ) -> Result<Self> {
        let k = axes.k;
        let n = class.n_samples() as f64;
        let full = kind == Kind::Full;
        if full {
            check_order(k)?;
        }
        let (mean_about_shift, second) = match &class.second {
            Second::Rows { values, weights } => of_rows(values, weights, axes, full)?,
            Second::Scatter(scatter) => of_scatter(class, scatter, axes, full)?,
        };
        // From the class's shift to the mean of all: (s_c − s) − (μ − s).
        let offset = all.mean_about_shift()?;
        let moved = class
            .shift
            .iter()
            .zip(&all.shift)
            .zip(&offset)
            .map(|((c, s), d)| (c - s) - d)
            .gathered(GAUSSIAN)?;
        let mut mean = axes.along(&moved)?;
        axpy(1.0, &mean_about_shift, &mut mean);
        let spread = if full {
            Spread::floored(second, k, n, context)?
        } else {
            let variances = second.iter().map(|sum| (sum / n).max(FLOOR)).gathered(GAUSSIAN)?;
            if kind == Kind::Diagonal {
                Spread::Diagonal(variances)
            } else {
                let variance = variances.iter().sum::<f64>() / (k as f64).max(1.0);
                Spread::Spherical(variance.max(FLOOR))
            }
        };
        Ok(Self { mean, spread })
    }

    /// The mean and σ² of a spherical covariance.
    pub(super) fn spherical(&self) -> Option<(&[f64], f64)> {
        match &self.spread {
            Spread::Spherical(variance) => Some((&self.mean, *variance)),
            _ => None,
        }
    }

    /// `D_B` ≥ 0 of diagonal or full covariances.
    pub(super) fn distance(&self, other: &Self, context: &Context<'_>) -> Result<f64> {
        let apart = self.mean.iter().zip(&other.mean).map(|(a, b)| a - b);
        let mut apart = apart.gathered(GAUSSIAN)?;
        let (square, log) = match (&self.spread, &other.spread) {
            (Spread::Diagonal(a), Spread::Diagonal(b)) => {
                let pairs = a.iter().zip(b);
                let square = |((a, b), x): ((&f64, &f64), &f64)| x * x / f64::midpoint(*a, *b);
                let squares: f64 = pairs.clone().zip(&apart).map(square).sum();
                (squares, pairs.map(|(a, b)| log_ratio(*a, *b)).sum())
            }
            (Spread::Full(a, log_a), Spread::Full(b, log_b)) => {
                let mean =
                    a.iter().zip(b).map(|(a, b)| f64::midpoint(*a, *b)).gathered(GAUSSIAN)?;
                let order = apart.len();
                let failed = Error::Lapack { routine: "dpotrf", info: 1, order };
                let factor = Cholesky::new(mean, order, context)?.ok_or(failed)?;
                factor.solve_lower(&mut apart)?;
                let log: f64 = factor.pivots().map(f64::ln).sum();
                (dot(&apart, &apart), log - f64::midpoint(*log_a, *log_b))
            }
            _ => unreachable!("all classes have one kind of covariance, spherical ones in `pairs`"),
        };
        Ok((square / 8.0 + log / 2.0).max(0.0))
    }
}

impl Axes {
    /// Vᵀ x.
    fn along(&self, x: &[f64]) -> Result<Vec<f64>> {
        let Some(basis) = &self.basis else { return copied(x, GAUSSIAN) };
        let mut result = zeros(self.k, GAUSSIAN)?;
        if self.k > 0 {
            for (row, x) in basis.chunks_exact(self.k).zip(x) {
                axpy(*x, row, &mut result);
            }
        }
        Ok(result)
    }
}

/// Mean about the shift along the axes, and sums about that mean: of squares (k,), or all (k, k).
fn of_rows(
    values: &[f64],
    weights: &[f64],
    axes: &Axes,
    full: bool,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let k = axes.k;
    let mut along = zeros(weights.len() * k, "a class along the principal components")?;
    match &axes.basis {
        Some(basis) => product_into(values, basis, &mut along, weights.len(), k),
        None => along.copy_from_slice(values),
    }
    let mut mean = zeros::<f64>(k, GAUSSIAN)?;
    if k == 0 {
        return Ok((mean, Vec::new()));
    }
    for (row, weight) in along.chunks_exact(k).zip(weights) {
        axpy(*weight, row, &mut mean);
    }
    scale(1.0 / weights.iter().sum::<f64>(), &mut mean);
    for (row, weight) in along.chunks_exact_mut(k).zip(weights) {
        axpy(-1.0, &mean, row);
        scale(weight.sqrt(), row);
    }
    if full {
        let mut second = zeros(k * k, "the covariance of a class")?;
        gram_add(&along, k, &mut second);
        return Ok((mean, second));
    }
    let mut second = zeros::<f64>(k, GAUSSIAN)?;
    for row in along.chunks_exact(k) {
        second.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x);
    }
    Ok((mean, second))
}

/// As [`of_rows`], from a scatter about the class's shift.
fn of_scatter(
    class: &Stats,
    scatter: &[f64],
    axes: &Axes,
    full: bool,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let (d, k, n) = (class.n_features(), axes.k, class.n_samples() as f64);
    let mean = axes.along(&class.mean_about_shift()?)?;
    let mut second = match &axes.basis {
        Some(basis) => {
            let mut product = zeros(d * k, "a scatter along the principal components")?;
            symmetric_product_add(scatter, basis, &mut product, d, k);
            if full {
                let mut second = zeros(k * k, "the covariance of a class")?;
                transposed_product_add(basis, &product, &mut second, k, k);
                second
            } else {
                let mut second = zeros::<f64>(k, GAUSSIAN)?;
                if k > 0 {
                    for (v, sv) in basis.chunks_exact(k).zip(product.chunks_exact(k)) {
                        second.iter_mut().zip(v).zip(sv).for_each(|((s, v), sv)| *s += v * sv);
                    }
                }
                second
            }
        }
        None if full => copied(scatter, "the covariance of a class")?,
        None => scatter.iter().step_by(d + 1).copied().gathered(GAUSSIAN)?,
    };
    if full {
        outer_add(-n, &mean, &mut second);
    } else {
        second.iter_mut().zip(&mean).for_each(|(sum, m)| *sum -= n * m * m);
    }
    Ok((mean, second))
}

impl Spread {
    /// W max(Λ, floor) Wᵀ from sums about the mean (k, k), upper triangle.
    fn floored(mut sums: Vec<f64>, k: usize, n: f64, context: &Context<'_>) -> Result<Self> {
        if k == 0 {
            return Ok(Self::Full(Vec::new(), 0.0));
        }
        scale(1.0 / n, &mut sums);
        let (values, vectors) = TridiagonalForm::reduce(sums, k, context)?.largest(k, context)?;
        let mut covariance = zeros(k * k, "the covariance of a class")?;
        let mut scaled = vectors;
        let mut log_determinant = 0.0;
        for (vector, value) in scaled.chunks_exact_mut(k).zip(&values) {
            let variance = value.max(FLOOR);
            scale(variance.sqrt(), vector);
            log_determinant += variance.ln();
        }
        gram_add(&scaled, k, &mut covariance);
        Ok(Self::Full(covariance, log_determinant))
    }
}
