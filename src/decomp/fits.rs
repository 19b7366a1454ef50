//! Linear fits of the targets with an intercept, by least squares or ridge: what each leaves.
//!
//! For a target with ỹ = y − ȳ and b = Xᵀỹ, and weights w = (S + tI)⁻¹b:
//!
//!   explained = bᵀw            (at t = 0, |Pỹ|² with P the projector on the span of X)
//!   error     = |ỹ − Xw|²      = ỹᵀỹ − bᵀw − t wᵀw
//!
//! At t = 0 the units of the columns do not matter, and the rank is that of the scatter at unit
//! diagonal: pivots of 8 D ε and less are rounding (`factor.rs`), and so are, where rows are held,
//! singular values of max(N, D) ε times the largest. At t > 0, with a = (K + tI)⁻¹ỹ on the dual
//! side, explained = ỹᵀỹ − t ỹᵀa, error = t²aᵀa and wᵀw = ỹᵀa − t aᵀa.
//!
//! Rounding is estimated to first order, and where it is too large the spectrum is used instead.

use crate::error::Result;
use crate::linalg::blas::{axpy, dot, scale};
use crate::linalg::lapack::zeros;
use crate::stats::{Second, Stats};
use crate::threads::Context;

use super::shifted::Shifted;
use super::{CentredTargets, Prepared, Side, Spectrum, rounding_noise};

/// One entry for each target.
pub(crate) struct Fits {
    pub(crate) explained: Vec<f64>,
    pub(crate) error: Vec<f64>,
    /// wᵀw; empty at t = 0.
    pub(crate) weight: Vec<f64>,
    /// How far rounding may have moved the explained part.
    pub(crate) rounding: Vec<f64>,
    /// Independent directions of the features; counted at t = 0 only.
    pub(crate) rank: Option<usize>,
    /// The features have a direction for every sample: nothing is left of any target.
    pub(crate) saturated: bool,
}

/// What rounding may be of ỹᵀỹ; a spectrum of a large order takes seconds, so there it may be more.
const FINE: f64 = 1e-9;
const COARSE: f64 = 1e-6;
const SMALL: usize = 512;
/// Targets that are solved for at a time.
const RUN: usize = 16;

impl Prepared<'_> {
    /// Fits without penalty.
    pub(crate) fn least_squares(&self, context: &Context<'_>) -> Result<Fits> {
        let targets = CentredTargets::new(self.stats);
        match &self.stats.second {
            Second::Scatter(_) => self.primal_least_squares(&targets, context),
            Second::Rows { values, weights } => {
                let decomp = self.decomp(context)?;
                let n_rows = weights.len();
                if decomp.least_above(1e3 * decomp.noise).is_some() {
                    return Ok(Fits::exact(&targets, n_rows - 1));
                }
                let scaled = unit_columns(self.stats, values, weights)?;
                let spectrum = Spectrum::of_rows(self.stats, scaled, &targets.dual(self.stats)?)?;
                let rank = spectrum.values.len();
                let saturated = rank + 1 >= n_rows;
                if saturated {
                    return Ok(Fits::exact(&targets, rank));
                }
                let fits = Fits::of_spectrum(&spectrum, &targets.square, 0.0, 0.0);
                Ok(Fits { rank: Some(rank), ..fits })
            }
        }
    }

    fn primal_least_squares(
        &self,
        targets: &CentredTargets,
        context: &Context<'_>,
    ) -> Result<Fits> {
        let factor = self.factor()?;
        let (rank, order) = (factor.rank(), self.stats.n_features);
        if rank as u64 + 1 >= self.stats.n_samples {
            return Ok(Fits::exact(targets, rank));
        }
        if self.from_samples && self.spectrum()?.values.len() == rank {
            let fits = Fits::of_spectrum(self.spectrum()?, &targets.square, 0.0, 0.0);
            return Ok(Fits { rank: Some(rank), ..fits });
        }
        let b = targets.primal(self.stats, &self.stats.mean_about_shift())?;
        let noise = 4.0 * rounding_noise(self.stats, order); // of products, and of factoring them
        let inverse: Vec<f64> = factor.pivots().map(|pivot| 1.0 / pivot).collect();
        let parts = context.map(targets.len().div_ceil(RUN), |part| {
            let chosen = part * RUN..targets.len().min((part + 1) * RUN);
            let z = factor.scores(&b[chosen.start * order..chosen.end * order])?;
            let one = |(i, target): (usize, usize)| {
                let (z, square) = (&z[i * rank..(i + 1) * rank], targets.square[target]);
                let grown = z.iter().zip(&inverse).map(|(z, p)| z * z * p).sum::<f64>();
                // A pivot p is off by ε, and b by ε ỹ relative to its column.
                let rounding = noise * (grown + 2.0 * (square * grown).sqrt());
                (dot(z, z).min(square), rounding)
            };
            Ok(chosen.enumerate().map(one).collect::<Vec<_>>())
        })?;
        let (explained, rounding): (Vec<f64>, Vec<f64>) = parts.into_iter().flatten().unzip();
        let error = targets.square.iter().zip(&explained).map(|(square, x)| square - x).collect();
        let (rank, saturated) = (Some(rank), false);
        Ok(Fits { explained, error, weight: Vec::new(), rounding, rank, saturated })
    }

    /// Fits with the penalty t wᵀw, t > 0.
    pub(crate) fn ridge(&self, t: f64, context: &Context<'_>) -> Result<Fits> {
        let decomp = self.decomp(context)?;
        let square = &decomp.targets.square;
        let n_targets = square.len();
        let by_spectrum = || -> Result<Fits> {
            let noise = rounding_noise(self.stats, self.stats.n_features);
            Ok(Fits::of_spectrum(self.spectrum()?, square, t, noise))
        };
        if self.from_samples {
            return by_spectrum();
        }
        if let Some(shifted) = Shifted::new(&decomp.form, t) {
            let parts = context.map(n_targets.div_ceil(RUN), |part| {
                let chosen = part * RUN..n_targets.min((part + 1) * RUN);
                let one = |target| {
                    let square = square[target];
                    let (product, ta) = shifted.solve(decomp.target_vector(target), t);
                    match decomp.side {
                        Side::Primal => {
                            let weight = ta / t / t;
                            let error = (square - product - ta / t).max(0.0);
                            (product, error, weight, decomp.noise * weight)
                        }
                        Side::Dual => {
                            let explained = (square - t * product).max(0.0);
                            let weight = (product - ta / t).max(0.0);
                            (explained, ta, weight, decomp.noise * (ta / t))
                        }
                    }
                };
                Ok(chosen.map(one).collect::<Vec<_>>())
            })?;
            let fits = Fits::of_parts(parts.concat());
            let limit = if decomp.order() <= SMALL { FINE } else { COARSE };
            if fits
                .rounding
                .iter()
                .zip(square)
                .all(|(rounding, square)| *rounding <= limit * square)
            {
                return Ok(fits);
            }
            let spectral = by_spectrum()?;
            let total = |fits: &Fits| fits.rounding.iter().sum::<f64>();
            return Ok(if total(&spectral) <= total(&fits) { spectral } else { fits });
        }
        by_spectrum()
    }
}

impl Fits {
    /// Every target reproduced.
    fn exact(targets: &CentredTargets, rank: usize) -> Self {
        let zero = vec![0.0; targets.len()];
        Self {
            explained: targets.square.clone(),
            error: zero.clone(),
            weight: Vec::new(),
            rounding: zero,
            rank: Some(rank),
            saturated: true,
        }
    }

    /// From eigenvalues λ and x = Uᵀỹ: no differences. Where those are of a factor of the scatter,
    /// rounding of `noise` is amplified on the way to them.
    fn of_spectrum(spectrum: &Spectrum, square: &[f64], t: f64, noise: f64) -> Self {
        let one = |(target, square): (usize, &f64)| {
            let scores = spectrum.target_scores(target);
            let (mut explained, mut error, mut weight) = (0.0, spectrum.outside[target], 0.0);
            let mut rounding = 0.0;
            for (i, (value, x)) in spectrum.values.iter().zip(scores).enumerate() {
                let (kept, left) = (value / (value + t), t / (value + t));
                explained += x * x * kept;
                error += x * x * left * left;
                weight += x * x * kept / (value + t);
                if let Some(amplified) = &spectrum.amplified {
                    let moved = amplified[i] * (x.abs() * amplified[i] + 2.0 * square.sqrt());
                    rounding += noise * kept * x.abs() * moved;
                }
            }
            (explained, error, weight, rounding)
        };
        Self::of_parts(square.iter().enumerate().map(one).collect())
    }

    /// From explained, error, weight and rounding of each target.
    fn of_parts(parts: Vec<(f64, f64, f64, f64)>) -> Self {
        let column = |f: fn(&(f64, f64, f64, f64)) -> f64| parts.iter().map(f).collect();
        Self {
            explained: column(|part| part.0),
            error: column(|part| part.1),
            weight: column(|part| part.2),
            rounding: column(|part| part.3),
            rank: None,
            saturated: false,
        }
    }
}

/// The centred rows times √w, each column of length 1 or 0.
fn unit_columns(stats: &Stats, values: &[f64], weights: &[f64]) -> Result<Vec<f64>> {
    let mut x = zeros(values.len(), "the centred rows")?;
    x.copy_from_slice(values);
    let offset = stats.mean_about_shift();
    let mut largest = vec![0.0_f64; offset.len()]; // squares of columns may be out of range
    for (row, weight) in x.chunks_exact_mut(offset.len()).zip(weights) {
        axpy(-1.0, &offset, row);
        scale(weight.sqrt(), row);
        largest.iter_mut().zip(row).for_each(|(largest, x)| *largest = largest.max(x.abs()));
    }
    for row in x.chunks_exact_mut(offset.len()) {
        for (x, largest) in row.iter_mut().zip(&largest) {
            *x = if *largest > 0.0 { *x / largest } else { 0.0 };
        }
    }
    Ok(x)
}
