//! The global maximum of the evidence over t = α/β, for many targets.
//!
//! The evidence can have several local maxima in ln t:
//!
//! 1. Evaluate it on a grid and keep the cells that may hold the maximum (`grid.rs`).
//! 2. Bracket a root of the derivative in each such cell and refine it (`roots.rs`).
//! 3. Compare the best root with the two ends: t → ∞ in closed form, and the lower end of the range.
//!
//! Two maxima in one fine cell are taken for one. (Maxima as close as 0.7 e-folds occur, once in some
//! ten thousand random targets; a fine cell is an eighth of an e-fold.)

use crate::error::{Error, Result};
use crate::linalg::memory::{Gather, grow};
use crate::threads::Context;

use super::curves::{Curve, Sums};
use super::evidence::{Evidence, Target};
use super::grid::{Coarse, Grid, LEVEL, Node, SEARCH};
use super::roots::{Bracket, Sample, refine, sample_nodes};
use super::sweeps::LANES;

/// Where the maximum lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Location {
    /// At a finite t > 0.
    Interior,
    /// At t = ∞: the features have no signal for this target.
    NoSignal,
    /// At the lower end of the range, where the evidence has levelled off.
    LowerEnd,
    /// At the lower end of the range, and still rising towards t = 0.
    Rising,
}

/// The maximum of the evidence of one target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Optimum {
    pub(super) location: Location,
    pub(super) t: f64,
    pub(super) evidence: Evidence,
    pub(super) sums: Sums,
    /// Evaluations of the derivative.
    pub(super) evaluations: usize,
}

impl Optimum {
    /// The limit t = ∞.
    fn without_signal(target: &Target) -> Self {
        let q = target.whole();
        let value = target.value(q, 0.0);
        Self {
            location: Location::NoSignal,
            t: f64::INFINITY,
            evidence: Evidence { value, q, r: 0.0, gap: target.mean, spread: 1.0 },
            sums: Sums::default(),
            evaluations: 0,
        }
    }

    /// The same with the maximum at a sample.
    fn at(self, location: Location, sample: Sample) -> Self {
        let Sample { t, evidence, sums, .. } = sample;
        Self { location, t, evidence, sums, ..self }
    }

    /// Whether it is above the lower end of the range.
    pub(super) fn within(&self) -> bool {
        matches!(self.location, Location::Interior | Location::NoSignal)
    }
}

/// Return the maximum of each target over lo ≤ t ≤ hi and t = ∞.
pub(super) fn maximise(
    curve: &dyn Curve,
    targets: &[Target],
    range: (f64, f64),
    context: &Context<'_>,
) -> Result<Vec<Optimum>> {
    // A grid between other ends has no points, or no end.
    if !(range.0 > 0.0 && range.0 < range.1 && range.1.is_finite()) {
        return Err(Error::Undefined { metric: "logme" });
    }
    let grid = Grid::new(curve, targets, range)?;
    let mut optima = targets.iter().map(Optimum::without_signal).gathered(SEARCH)?;
    let limits = optima.iter().map(|best| best.evidence.value).gathered(SEARCH)?;

    let Coarse { at_lower_end, cells } = grid.coarse(&limits, context)?;
    let cells = grid.fine(&cells, context)?;
    // The derivative at the lower ends and at both ends of the cells, each once.
    let ends = at_lower_end.iter().map(|target| Node { target: *target, point: 0 });
    let mut nodes = ends.gathered(SEARCH)?;
    grow(&mut nodes, 2 * cells.len(), SEARCH)?;
    nodes.extend(cells.iter().flat_map(|cell| [*cell, cell.next()]));
    nodes.sort_unstable();
    nodes.dedup();
    let samples = sample_nodes(&grid, &nodes, context)?;
    let sample = |node: Node| nodes.binary_search(&node).ok().map(|i| samples[i]);
    for node in &nodes {
        optima[node.target].evaluations += 1;
    }

    let bracket = |cell: Node| Bracket::new(cell.target, sample(cell)?, sample(cell.next())?);
    let mut brackets = cells.into_iter().filter_map(bracket).gathered(SEARCH)?;
    let mut groups = brackets.chunks_mut(LANES).gathered(SEARCH)?;
    context.for_each_mut(&mut groups, |_, group| refine(&grid, group))?;
    for bracket in &brackets {
        let best = &mut optima[bracket.target];
        best.evaluations += bracket.evaluations;
        if bracket.best.evidence.value > best.evidence.value {
            *best = best.at(Location::Interior, bracket.best);
        }
    }
    for target in at_lower_end {
        let Some(end) = sample(Node { target, point: 0 }) else { continue };
        let (best, target) = (&mut optima[target], &targets[target]);
        let noisy = curve.noise().is_some_and(|noise| noise > 0.0);
        let blur = curve.blur(range.0) + 4.0 * f64::EPSILON * target.square / end.evidence.q;
        // A maximum on the plateau is its rounding; noise may hide that the plateau is higher.
        let allowed = if noisy || best.t < 1e-6 * curve.extent().1 { blur } else { 0.0 };
        let allowed = allowed.max(LEVEL * end.evidence.value.abs().max(1.0));
        if let Some(location) = end.at_lower_end(target, blur)
            && (location == Location::Rising || end.evidence.value >= best.evidence.value - allowed)
        {
            *best = best.at(location, end);
        }
    }
    Ok(optima)
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact values
pub(super) mod tests {
    use super::*;
    use crate::decomp::Spectrum;

    /// A target with an intercept, of N rows, with scores x along directions λ and |ỹ|² outside.
    fn known(values: &[f64], scores: &[f64], outside: f64, n_samples: u32) -> (Spectrum, Target) {
        let square = scores.iter().map(|x| x * x).sum::<f64>() + outside;
        let spectrum = Spectrum::known(values, scores, outside);
        let n_samples = f64::from(n_samples);
        let n_distinct = n_samples;
        (spectrum, Target { column: 0, n_samples, n_distinct, intercept: true, mean: 0.0, square })
    }

    /// One direction.
    pub(in super::super) fn one_direction(
        value: f64,
        score: f64,
        outside: f64,
        n_samples: u32,
    ) -> (Spectrum, Target) {
        known(&[value], &[score], outside, n_samples)
    }

    /// Directions twelve e-folds apart, with a local maximum each.
    pub(in super::super) fn two_directions() -> (Spectrum, Target) {
        known(&[1e-3, 1e3], &[1.0, 10.0], 2e-4, 4)
    }

    fn maximum((spectrum, target): &(Spectrum, Target)) -> Optimum {
        maximise(spectrum, &[*target], (1e-12, 1e12), &Context::serial()).unwrap()[0]
    }

    #[test]
    fn one_direction_has_its_maximum_in_closed_form() {
        // dL/dt = 0 at t = oλ/((n − 1) x² − o), for n = N − 1 and o outside.
        for (value, score, outside, n_samples) in
            [(3.0, 4.0, 5.0, 20), (1e-4, 1.0, 1e-3, 5), (7.0, 1.0, 2.0, 8)]
        {
            let case = one_direction(value, score, outside, n_samples);
            let best = maximum(&case);
            let n = case.1.effective();
            let t = outside * value / ((n - 1.0) * score * score - outside);
            assert_eq!(best.location, Location::Interior);
            assert!((best.t / t).ln().abs() < 1e-7, "{} is not {t}", best.t);
            let q = outside + score * score * t / (value + t);
            let expected = case.1.value(q, (value / t).ln_1p());
            assert!((best.evidence.value - expected).abs() < 1e-14);
        }
    }

    #[test]
    fn without_enough_signal_the_maximum_is_the_limit() {
        // (n − 1) x² ≤ o: the derivative has no root.
        let case = one_direction(3.0, 1.0, 25.0, 20);
        let best = maximum(&case);
        assert_eq!(best.location, Location::NoSignal);
        assert_eq!(best.evidence.q, 26.0);
    }

    #[test]
    fn an_exact_fit_rises_to_the_lower_end() {
        let best = maximum(&one_direction(3.0, 4.0, 0.0, 20));
        assert_eq!(best.location, Location::Rising);
        assert_eq!(best.t, 1e-12);
    }

    #[test]
    fn the_highest_of_several_maxima_is_found() {
        let case = two_directions();
        let (spectrum, target) = &case;
        let value = |t: f64| {
            let (sums, points) = spectrum.values_at(&[t; LANES], &[0]).unwrap();
            target.evidence(&points[0][0], sums[0].log_determinant).value
        };
        let grid: Vec<f64> =
            (0..50_000).map(|i| value((f64::from(i) * 1e-3 - 25.0).exp())).collect();
        let peaks = grid.windows(3).filter(|v| v[1] > v[0] && v[1] > v[2]).count();
        assert_eq!(peaks, 2, "the case has two maxima");
        let highest = grid.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        let best = maximum(&case).evidence.value;
        assert!(best >= highest && best - highest < 1e-6, "{best} is not {highest}");
    }
}
