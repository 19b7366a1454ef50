//! Roots of the derivative of the evidence in ln t, by the Illinois variant of false position.
//!
//! A bracket has a slope ≥ 0 at its left end and ≤ 0 at its right end. Up to [`LANES`] brackets are
//! narrowed side by side.

use super::curves::{Pairs, Sums};
use super::evidence::{Evidence, Target};
use super::grid::{Grid, LEVEL, Node, SEARCH, STEP};
use super::search::Location;
use super::sweeps::LANES;
use crate::error::Result;
use crate::linalg::memory::{Gather, joined};
use crate::threads::Context;

/// A root is close enough if its bracket is shorter than this in ln t.
const CLOSE: f64 = 1e-9;
/// A root is close enough if the evidence can gain no more than this, relative to
/// max(1, |evidence|). The evidence is quadratic in ln t, so that t is known to about 1e-8.
const GAIN: f64 = 1e-16;
/// Evaluations after which a bracket cannot be narrowed by any rule; a root takes about 4.
const ENOUGH: usize = 200;

/// The evidence and its derivative at one t.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// ln t.
    x: f64,
    pub(super) t: f64,
    pub(super) evidence: Evidence,
    pub(super) sums: Sums,
    /// 2n · dL/d ln t.
    pub(super) slope: f64,
}

impl Sample {
    /// Classify the lower end of the range; none if the evidence rises from there with t.
    pub(super) fn at_lower_end(&self, target: &Target, blur: f64) -> Option<Location> {
        // The gain of a step of the grid at this slope.
        let gain = self.slope * STEP / (2.0 * target.effective());
        let level = gain.abs() <= blur.max(LEVEL * self.evidence.value.abs().max(1.0));
        if self.slope.abs() <= 0.25 && (level || self.slope <= 0.0) {
            Some(Location::LowerEnd) // a slope of less than a quarter of a direction is flat
        } else {
            (self.slope < 0.0).then_some(Location::Rising)
        }
    }
}

/// Samples at the nodes of a grid.
pub(super) fn sample_nodes(
    grid: &Grid<'_>,
    nodes: &[Node],
    context: &Context<'_>,
) -> Result<Vec<Sample>> {
    let groups = nodes.chunks(LANES).gathered(SEARCH)?;
    let samples = context.map(groups.len(), |group| {
        let at: Vec<(usize, f64)> =
            groups[group].iter().map(|node| (node.target, grid.points[node.point])).collect();
        sample(grid, &at)
    })?;
    joined(samples, SEARCH)
}

/// Samples of up to [`LANES`] pairs of a target and t.
fn sample(grid: &Grid<'_>, at: &[(usize, f64)]) -> Result<Vec<Sample>> {
    let pairs: Pairs = std::array::from_fn(|lane| {
        let (target, t) = at[lane.min(at.len() - 1)];
        (grid.targets[target].column, t)
    });
    let points = grid.curve.at(&pairs)?;
    let one = |((target, t), (point, sums)): (&(usize, f64), _)| {
        let target = &grid.targets[*target];
        let sums: &Sums = sums;
        let evidence = target.evidence(point, sums.log_determinant);
        let slope = target.slope(*t, point, &evidence, sums.dof);
        Sample { x: t.ln(), t: *t, evidence, sums: *sums, slope }
    };
    Ok(at.iter().zip(points.iter().map(|(point, sums)| (point, sums))).map(one).collect())
}

/// An interval of ln t that holds a local maximum of a target.
pub(super) struct Bracket {
    pub(super) target: usize,
    /// Its ends.
    a: Sample,
    b: Sample,
    /// Their slopes, as the Illinois rule halves them.
    weights: (f64, f64),
    last_was_b: Option<bool>,
    /// The t to evaluate next.
    next: f64,
    pub(super) evaluations: usize,
    done: bool,
    /// The best sample so far.
    pub(super) best: Sample,
}

impl Bracket {
    /// None unless the slopes at the ends point to each other.
    pub(super) fn new(target: usize, a: Sample, b: Sample) -> Option<Self> {
        if !(a.slope >= 0.0 && b.slope <= 0.0 && a.slope > b.slope) {
            return None;
        }
        let mut bracket = Self {
            target,
            a,
            b,
            weights: (a.slope, b.slope),
            last_was_b: None,
            next: 0.0,
            evaluations: 0,
            done: false,
            best: if a.evidence.value >= b.evidence.value { a } else { b },
        };
        bracket.step();
        Some(bracket)
    }

    /// Replace the end whose slope has the sign of the sample at `next`. Twice the same end in a row
    /// halves the weight of the other.
    fn take(&mut self, c: Sample, effective: f64) {
        self.evaluations += 1;
        // Between samples that differ by rounding alone, the later is closer to the root.
        let rounding = 4.0 * f64::EPSILON * c.evidence.value.abs().max(1.0);
        if c.evidence.value >= self.best.evidence.value - rounding {
            self.best = c;
        }
        let replaces_b = c.slope < 0.0;
        let again = if self.last_was_b == Some(replaces_b) { 0.5 } else { 1.0 };
        if replaces_b {
            self.b = c;
            self.weights = (again * self.weights.0, c.slope);
        } else {
            self.a = c;
            self.weights = (c.slope, again * self.weights.1);
        }
        self.last_was_b = Some(replaces_b);
        // The evidence cannot rise by more than this between c and the root.
        let gain = c.slope.abs() * (self.b.x - self.a.x) / (2.0 * effective);
        if gain <= GAIN * c.evidence.value.abs().max(1.0) || self.evaluations >= ENOUGH {
            self.done = true;
        } else {
            self.step();
        }
    }

    /// Set the next t: where the line through the weighted slopes is zero.
    fn step(&mut self) {
        let (a, b) = (self.a.x, self.b.x);
        if b - a < CLOSE {
            self.done = true;
            return;
        }
        let (wa, wb) = self.weights;
        let x = (a * wb - b * wa) / (wb - wa);
        self.next = if x > a && x < b { x } else { f64::midpoint(a, b) }.exp();
    }
}

/// Narrow up to [`LANES`] brackets side by side until each holds its root closely enough.
pub(super) fn refine(grid: &Grid<'_>, brackets: &mut [Bracket]) -> Result<()> {
    loop {
        let mut open: Vec<&mut Bracket> = brackets.iter_mut().filter(|one| !one.done).collect();
        if open.is_empty() {
            return Ok(());
        }
        let at: Vec<(usize, f64)> = open.iter().map(|one| (one.target, one.next)).collect();
        for (bracket, sample) in open.iter_mut().zip(sample(grid, &at)?) {
            bracket.take(sample, grid.targets[bracket.target].effective());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::search::tests::one_direction;
    use super::*;

    #[test]
    fn a_bracket_closes_on_the_known_root() {
        // (N − 2) x² t = (λ + t)(|y|² − x²) + … has the one root t = oλ/((n − 1) x² − o).
        let (lambda, x, outside, n_samples) = (3.0, 4.0, 5.0, 20);
        let (spectrum, target) = one_direction(lambda, x, outside, n_samples);
        let targets = [target];
        let grid = Grid::new(&spectrum, &targets, (1e-6, 1e6)).unwrap();
        let ends = sample(&grid, &[(0, 1e-6), (0, 1e6)]).unwrap();
        let mut brackets = [Bracket::new(0, ends[0], ends[1]).unwrap()];
        refine(&grid, &mut brackets).unwrap();
        let root = outside * lambda / ((target.effective() - 1.0) * x * x - outside);
        let found = brackets[0].best;
        assert!((found.t / root).ln().abs() < 1e-7, "{} is not {root}", found.t);
        assert!(brackets[0].evaluations < 30, "{}", brackets[0].evaluations);
        assert!(Bracket::new(0, ends[1], ends[0]).is_none(), "slopes that point apart");
    }

    #[test]
    fn slopes_are_derivatives_of_the_evidence() {
        let (spectrum, target) = one_direction(3.0, 4.0, 5.0, 20);
        let targets = [target];
        let grid = Grid::new(&spectrum, &targets, (1e-6, 1e6)).unwrap();
        let h = 1e-5;
        for x in [-3.0, 0.0, 2.0_f64] {
            let at = [x - h, x, x + h].map(|x| (0, x.exp()));
            let [low, middle, high] = <[Sample; 3]>::try_from(sample(&grid, &at).unwrap()).unwrap();
            let slope = target.effective() * (high.evidence.value - low.evidence.value) / h;
            assert!((middle.slope - slope).abs() < 1e-8, "{} is not {slope}", middle.slope);
        }
    }
}
