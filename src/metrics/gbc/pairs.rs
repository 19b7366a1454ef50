//! The overlaps of spherical Gaussians, all pairs by products of tiles of their means.
//!
//! With σ² = (σ_a² + σ_b²)/2 and ρ = σ_a² σ_b² / σ⁴ ≤ 1,
//!
//!   exp(−D_B) = exp(−|m_a − m_b|² / 8σ²) ρ^(times/4),    |m_a − m_b|² = |m_a|² + |m_b|² − 2 m_aᵀm_b
//!
//! The three terms round to within 2 (k + 2) u (|m_a|² + |m_b|²), u = 2⁻⁵³ (Higham, "Accuracy and
//! Stability of Numerical Algorithms", 2002, eq. (3.5)). Where that is more than [`EXACT`] of 8σ², and
//! the overlap is more than [`NEGLIGIBLE`] of the sums that it belongs to, the means are subtracted
//! instead.
//!
//! Every tile serves its rows and its columns. Cost: C² k / 2 in products and C²/2 exponentials; the
//! sums of tiles take C²/64 bytes.

use crate::error::Result;
use crate::linalg::blas::{dot, product_into};
use crate::linalg::exponential::exp_in_place;
use crate::linalg::memory::{Gather, zeros};
use crate::threads::{Context, chunks};

const OVERLAPS: &str = "sums of overlaps";

/// Classes along a side of a tile.
const TILE: usize = 256;
/// The error of the exponent that is accepted, and so the relative error of an overlap.
const EXACT: f64 = 4e-13;
/// The share of a sum below which all overlaps together do not matter.
const NEGLIGIBLE: f64 = 1e-14;

/// Gaussians of covariance σ² I.
pub(super) struct Spherical {
    /// (C, k).
    means: Vec<f64>,
    k: usize,
    /// |m|², (C,).
    squares: Vec<f64>,
    /// σ², (C,).
    variances: Vec<f64>,
    /// The number of dimensions that ln det counts: k, or 1.
    times: usize,
}

impl Spherical {
    pub(super) fn new(means: Vec<f64>, variances: Vec<f64>, times: usize) -> Result<Self> {
        let k = means.len() / variances.len().max(1);
        let square = |c: usize| dot(&means[c * k..(c + 1) * k], &means[c * k..(c + 1) * k]);
        let squares = (0..variances.len()).map(square).gathered(OVERLAPS)?;
        Ok(Self { means, k, squares, variances, times })
    }

    /// Return the sum of the overlaps of each class with all others, (C,).
    pub(super) fn overlaps(&self, context: &Context<'_>) -> Result<Vec<f64>> {
        let largest = self.squares.iter().fold(0.0_f64, |a, b| a.max(*b));
        let least = self.variances.iter().fold(f64::INFINITY, |a, b| a.min(*b));
        let worst = self.rounding(2.0 * largest, least);
        let sums = self.sums(None, context)?;
        if worst <= EXACT {
            return Ok(sums);
        }
        // Each overlap, and each sum, is off by a factor of at most exp(worst).
        let share = NEGLIGIBLE / sums.len() as f64 * (-2.0 * worst).exp();
        let least = sums.iter().map(|sum| share * sum).gathered(OVERLAPS)?;
        self.sums(Some(&least), context)
    }

    /// The rounding of the exponent by products, from |m_a|² + |m_b|² and σ².
    fn rounding(&self, squares: f64, variance: f64) -> f64 {
        (self.k + 2) as f64 * f64::EPSILON * squares / (8.0 * variance)
    }

    /// The sums; given the `least` overlap that matters to each class, those are computed from
    /// differences where products round.
    fn sums(&self, least: Option<&[f64]>, context: &Context<'_>) -> Result<Vec<f64>> {
        let n_classes = self.variances.len();
        let tiles = chunks(n_classes, TILE)?;
        let across = tiles.iter().map(|tile| self.columns(tile.clone())).gathered_ok(OVERLAPS)?;
        // Of the classes of a row of tiles, and of those after them.
        let parts = context.map(tiles.len(), |i| {
            let rows = tiles[i].clone();
            let mut sums = zeros::<f64>(n_classes - rows.start, OVERLAPS)?;
            let mut tile = zeros::<f64>(rows.len() * TILE, "a tile of overlaps")?;
            for j in i..tiles.len() {
                context.check()?;
                let columns = tiles[j].clone();
                let tile = &mut tile[..rows.len() * columns.len()];
                tile.fill(0.0);
                let means = &self.means[rows.start * self.k..rows.end * self.k];
                if self.k > 0 {
                    product_into(means, &across[j], tile, rows.len(), columns.len());
                }
                for (a, overlaps) in rows.clone().zip(tile.chunks_exact_mut(columns.len())) {
                    self.overlaps_of(a, columns.clone(), overlaps);
                    if let Some(least) = least {
                        self.refine(a, columns.clone(), least, overlaps);
                    }
                    if i == j {
                        overlaps[a - columns.start] = 0.0;
                    } else {
                        let others = &mut sums[columns.start - rows.start..];
                        others.iter_mut().zip(&*overlaps).for_each(|(sum, x)| *sum += x);
                    }
                    sums[a - rows.start] += overlaps.iter().sum::<f64>();
                }
            }
            Ok(sums)
        })?;
        let mut sums = zeros::<f64>(n_classes, OVERLAPS)?;
        for (rows, part) in tiles.iter().zip(&parts) {
            sums[rows.start..].iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        Ok(sums)
    }

    /// The means of some classes as columns, (k, classes).
    fn columns(&self, classes: std::ops::Range<usize>) -> Result<Vec<f64>> {
        let mut columns = zeros::<f64>(self.k * classes.len(), OVERLAPS)?;
        if self.k == 0 {
            return Ok(columns);
        }
        let width = classes.len();
        for (j, c) in classes.enumerate() {
            let mean = &self.means[c * self.k..(c + 1) * self.k];
            columns[j..].iter_mut().step_by(width).zip(mean).for_each(|(out, m)| *out = *m);
        }
        Ok(columns)
    }

    /// Replace products with the mean of class a by overlaps.
    fn overlaps_of(&self, a: usize, others: std::ops::Range<usize>, products: &mut [f64]) {
        let (mut ratios, mut power) = ([0.0; TILE], [1.0; TILE]);
        let (square, variance) = (self.squares[a], self.variances[a]);
        let of_others = self.squares[others.clone()].iter().zip(&self.variances[others]);
        for ((x, ratio), (s, v)) in products.iter_mut().zip(&mut ratios).zip(of_others) {
            let inverse = 2.0 / (variance + v);
            *x = -0.125 * inverse * (square + s - 2.0 * *x).max(0.0);
            *ratio = ((variance * inverse) * (v * inverse)).min(1.0);
        }
        exp_in_place(products);
        let mut exponent = self.times / 4;
        if !self.times.is_multiple_of(4) {
            for ratio in &mut ratios {
                *ratio = ratio.sqrt().sqrt();
            }
            exponent = self.times;
        }
        while exponent > 0 {
            if exponent % 2 == 1 {
                power.iter_mut().zip(&ratios).for_each(|(power, ratio)| *power *= ratio);
            }
            for ratio in &mut ratios {
                *ratio *= *ratio;
            }
            exponent /= 2;
        }
        products.iter_mut().zip(&power).for_each(|(x, power)| *x *= power);
    }

    /// Compute the overlaps of class a that matter, and that products round, from differences.
    fn refine(
        &self,
        a: usize,
        others: std::ops::Range<usize>,
        least: &[f64],
        overlaps: &mut [f64],
    ) {
        let mean = |c: usize| &self.means[c * self.k..(c + 1) * self.k];
        for (b, overlap) in others.zip(overlaps) {
            let variance = f64::midpoint(self.variances[a], self.variances[b]);
            let rounds = self.rounding(self.squares[a] + self.squares[b], variance) > EXACT;
            if !rounds || *overlap < least[a].min(least[b]) {
                continue;
            }
            let apart = |(x, y): (&f64, &f64)| (x - y) * (x - y);
            let square: f64 = mean(a).iter().zip(mean(b)).map(apart).sum();
            let times = self.times as f64;
            let log = times * log_ratio(self.variances[a], self.variances[b]);
            *overlap = (-(square / variance / 8.0 + log / 2.0)).exp();
        }
    }
}

/// ln((a + b)/2) − (ln a + ln b)/2, without the cancellation of near a and b.
pub(super) fn log_ratio(a: f64, b: f64) -> f64 {
    let difference = (a - b) / (a + b);
    if difference.abs() < 0.5 {
        return -(-difference * difference).ln_1p() / 2.0;
    }
    f64::midpoint(a, b).ln() - f64::midpoint(a.ln(), b.ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums over pairs, one by one, by the definition.
    fn one_by_one(means: &[f64], variances: &[f64], times: usize) -> Vec<f64> {
        let k = means.len() / variances.len();
        let overlap = |a: usize, b: usize| {
            let (x, y) = (&means[a * k..(a + 1) * k], &means[b * k..(b + 1) * k]);
            let square: f64 = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
            let mean = f64::midpoint(variances[a], variances[b]);
            let log = times as f64 * log_ratio(variances[a], variances[b]);
            (-(square / mean / 8.0 + log / 2.0)).exp()
        };
        let all = 0..variances.len();
        all.clone().map(|a| all.clone().filter(|b| *b != a).map(|b| overlap(a, b)).sum()).collect()
    }

    fn gaussians(n: usize, k: usize, spread: f64, offset: f64) -> (Vec<f64>, Vec<f64>) {
        let next = |i: usize| ((i * i % 10_007) as f64 * 0.618).sin();
        let means = (0..n * k).map(|i| offset + spread * next(i)).collect();
        let variances = (0..n).map(|c| 1e-4 + (1.0 + next(7 * c)).powi(3)).collect();
        (means, variances)
    }

    #[test]
    fn tiles_are_pairs_one_by_one() {
        for n in [1, 2, 5, 255, 256, 257, 600] {
            for (k, times) in [(1, 1), (3, 3), (8, 8), (64, 64), (64, 1)] {
                for (spread, offset) in [(1.0, 0.0), (30.0, 0.0), (1.0, 1e6), (0.0, 0.0)] {
                    let (means, variances) = gaussians(n, k, spread, offset);
                    let expected = one_by_one(&means, &variances, times);
                    let spherical = Spherical::new(means, variances, times).unwrap();
                    let found = spherical.overlaps(&Context::serial()).unwrap();
                    for (found, expected) in found.iter().zip(&expected) {
                        let error = (found - expected).abs();
                        assert!(
                            error <= 1e-12 * expected.abs() + 1e-300,
                            "{n} {k} {times} {spread} {offset}: {found} is not {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn coincident_classes_overlap_in_full() {
        let spherical = Spherical::new(vec![1e3; 300 * 4], vec![1e-4; 300], 4).unwrap();
        let found = spherical.overlaps(&Context::serial()).unwrap();
        assert!(found.iter().all(|sum| (sum - 299.0).abs() < 1e-10));
    }
}
