//! The global maximum of the evidence over t = α/β, for many targets.
//!
//! The evidence can have several local maxima in ln t, so it is evaluated on a grid first: every
//! term is a logistic function of ln t, which takes four e-folds from a tenth to nine tenths, and
//! the grid is one e-fold apart. (On 2,241 random spectra over nine decades, 579 of them with
//! several maxima, grids of up to 1.5 e-folds found the global one every time.) Each local maximum of the grid is then refined as a root of
//! the derivative, by the Illinois variant of false position inside a bracket, and the best is
//! compared with the limit t → ∞.

use crate::error::Result;
use crate::threads::Context;

use super::curves::{Curve, LANES, Pairs};
use super::evidence::{Evidence, Target};

/// Distance of grid points, in ln t.
const STEP: f64 = 1.0;
/// Where a root is close enough, in ln t.
const CLOSE: f64 = 1e-9;
/// Where a root is close enough, by what the evidence could still gain, relative to
/// max(1, |evidence|); it is quadratic in ln t, so that t is known to about 1e-8.
const GAIN: f64 = 1e-16;
/// Evaluations after which a bracket cannot be narrowed by any rule; a root takes about 8.
const ENOUGH: usize = 200;
/// Differences of evidence that may be rounding, likewise.
const LEVEL: f64 = 1e-12;

/// Where the maximum lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At a finite t > 0.
    Interior,
    /// At t = ∞: the features say nothing about this target.
    NoSignal,
    /// At the lower end of the range, where the evidence has levelled off.
    LowerEnd,
    /// At the lower end of the range, and still rising towards t = 0.
    Rising,
}

/// The maximum of the evidence of one target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Optimum {
    pub(super) place: Place,
    pub(super) t: f64,
    pub(super) evidence: Evidence,
    /// Evaluations of the derivative.
    pub(super) evaluations: usize,
}

/// Searches lo ≤ t ≤ hi for the chosen targets, given by their number and what they are.
pub(super) fn search(
    curve: &dyn Curve,
    targets: &[(usize, Target)],
    (lo, hi): (f64, f64),
    context: &Context<'_>,
) -> Result<Vec<Optimum>> {
    let mut grid = vec![lo];
    while grid[grid.len() - 1] < hi {
        grid.push(lo * (STEP * grid.len() as f64).exp());
    }
    let values = on_grid(curve, targets, &grid, context)?;
    let mut optima = Vec::new();
    let mut roots = Vec::new();
    for (place, ((number, target), values)) in
        targets.iter().zip(values.chunks(grid.len())).enumerate()
    {
        let whole = target.whole();
        let limit = Evidence { value: target.value(whole, 0.0), q: whole, r: 0.0 };
        optima.push(Optimum {
            place: Place::NoSignal,
            t: f64::INFINITY,
            evidence: limit,
            evaluations: 0,
        });
        let candidates = candidates(values, limit.value);
        roots.extend(candidates.into_iter().map(|i| Root::new(place, *number, *target, &grid, i)));
    }
    let mut groups: Vec<&mut [Root]> = roots.chunks_mut(LANES).collect();
    context.for_each_mut(&mut groups, |_, group| {
        refine(curve, group);
        Ok(())
    })?;
    for root in &roots {
        let best = &mut optima[root.place];
        let evaluations = best.evaluations + root.evaluations;
        if let Some(found) = root.found
            && best.place != Place::Rising
            && (found.evidence.value > best.evidence.value || found.place == Place::Rising)
        {
            *best = found;
        }
        best.evaluations = evaluations;
    }
    Ok(optima)
}

/// The evidence of every target at every grid point, (targets, grid).
fn on_grid(
    curve: &dyn Curve,
    targets: &[(usize, Target)],
    grid: &[f64],
    context: &Context<'_>,
) -> Result<Vec<f64>> {
    const RUN: usize = 16; // groups of lanes to a task
    let determinants = context.map(grid.len().div_ceil(LANES), |group| {
        let ts = std::array::from_fn(|lane| grid[(group * LANES + lane).min(grid.len() - 1)]);
        Ok(curve.sums_at(&ts).map(|sums| sums.log_determinant))
    })?;
    let determinants = determinants.as_flattened();
    let total = targets.len() * grid.len();
    let runs = context.map(total.div_ceil(RUN * LANES), |run| {
        let range = run * RUN * LANES..total.min((run + 1) * RUN * LANES);
        let mut values = Vec::with_capacity(range.len());
        for first in range.clone().step_by(LANES) {
            let at = |lane: usize| (first + lane).min(total - 1);
            let pairs: Pairs = std::array::from_fn(|lane| {
                (targets[at(lane) / grid.len()].0, grid[at(lane) % grid.len()])
            });
            let points = curve.value_at(&pairs);
            values.extend((first..range.end.min(first + LANES)).zip(&points).map(|(k, point)| {
                targets[k / grid.len()].1.evidence(point, determinants[k % grid.len()]).value
            }));
        }
        Ok(values)
    })?;
    Ok(runs.concat())
}

/// The local maxima of the grid that may be the global one. Where the evidence has levelled off
/// towards either end, the wiggles of the plateau are rounding: the lower end alone stands for the
/// one, the limit at infinity for the other.
fn candidates(values: &[f64], limit: f64) -> Vec<usize> {
    let last = values.len() - 1;
    let highest = values.iter().fold(limit, |a, b| a.max(*b));
    let rounding = LEVEL * highest.abs().max(1.0);
    if values[0] >= highest - rounding && values[0] > limit + rounding {
        return vec![0];
    }
    let peak = |i: &usize| {
        let left = if *i == 0 { f64::NEG_INFINITY } else { values[i - 1] };
        let right = if *i == last { f64::NEG_INFINITY } else { values[i + 1] };
        let stands_out = values[*i] > left.min(right) + rounding;
        values[*i] >= left && values[*i] > right && stands_out && values[*i] > limit + rounding
    };
    // Rising towards t = 0 counts however low it starts: it may have no end.
    let rises = |i: &usize| *i == 0 && values[0] > values[1.min(last)] + rounding;
    (0..=last).filter(|i| peak(i) || rises(i)).collect()
}

/// Refines up to [`LANES`] roots side by side.
fn refine(curve: &dyn Curve, roots: &mut [Root]) {
    loop {
        let open: Vec<usize> = (0..roots.len()).filter(|i| roots[*i].found.is_none()).collect();
        if open.is_empty() {
            return;
        }
        let pairs: Pairs = std::array::from_fn(|lane| {
            let root = &roots[open[lane.min(open.len() - 1)]];
            (root.number, root.next)
        });
        let points = curve.at(&pairs);
        let sums = curve.sums_at(&pairs.map(|(_, t)| t));
        for ((i, point), sums) in open.into_iter().zip(points).zip(sums) {
            let root = &mut roots[i];
            let t = root.next;
            let evidence = root.target.evidence(&point, sums.log_determinant);
            let slope = root.target.slope(t, &point, &evidence, sums.dof);
            root.take(Sample { x: t.ln(), t, evidence, slope });
        }
    }
}

/// The evidence and its derivative at one t.
#[derive(Debug, Clone, Copy)]
struct Sample {
    x: f64,
    t: f64,
    evidence: Evidence,
    slope: f64,
}

/// A local maximum on its way: where to evaluate next, and what is known.
struct Root {
    /// The target's place in the search, its number in the curve, and what it is.
    place: usize,
    number: usize,
    target: Target,
    /// Neighbours on the grid; none at its ends.
    below: Option<f64>,
    above: Option<f64>,
    /// Where to evaluate next.
    next: f64,
    evaluations: usize,
    /// Ends of the bracket: a, whose slope points to b; and the slopes that the Illinois rule halves.
    a: Option<Sample>,
    b: Option<Sample>,
    weights: (f64, f64),
    last_was_b: Option<bool>,
    found: Option<Optimum>,
}

impl Root {
    fn new(place: usize, number: usize, target: Target, grid: &[f64], i: usize) -> Self {
        Self {
            place,
            number,
            target,
            below: i.checked_sub(1).map(|i| grid[i]),
            above: grid.get(i + 1).copied(),
            next: grid[i],
            evaluations: 0,
            a: None,
            b: None,
            weights: (0.0, 0.0),
            last_was_b: None,
            found: None,
        }
    }

    fn end(&mut self, sample: Sample, place: Place) {
        let Sample { t, evidence, .. } = sample;
        self.found = Some(Optimum { place, t, evidence, evaluations: 0 });
    }

    /// Takes the sample at `next` and decides what comes after it.
    fn take(&mut self, c: Sample) {
        self.evaluations += 1;
        if self.evaluations > ENOUGH {
            return self.end(c, Place::Interior);
        }
        match (self.a, self.b) {
            (None, _) => self.start(c),
            (Some(a), None) => {
                // The grid is no higher at the other end, so the slope changes sign on the way.
                if a.slope * c.slope > 0.0 && (c.x - a.x).abs() > CLOSE {
                    self.next = f64::midpoint(a.x, c.x).exp();
                } else {
                    self.b = Some(c);
                    self.weights = (a.slope, c.slope);
                    self.step(a, c);
                }
            }
            (Some(a), Some(b)) => self.narrow(a, b, c),
        }
    }

    /// The first sample, on the grid: which way does it point?
    fn start(&mut self, c: Sample) {
        // What a step of the grid gains at this slope.
        let gain = c.slope * STEP / (2.0 * self.target.effective());
        if self.below.is_none() && gain.abs() <= LEVEL * c.evidence.value.abs().max(1.0) {
            return self.end(c, Place::LowerEnd);
        }
        let other = if c.slope > 0.0 { self.above } else { self.below };
        match other {
            // Flat, or rising as t falls; a slope of less than a quarter of a direction is flat.
            None if c.slope <= 0.0 => {
                let place = if c.slope > -0.25 { Place::LowerEnd } else { Place::Rising };
                self.end(c, place);
            }
            Some(other) if c.slope.abs() > 0.0 => {
                self.a = Some(c);
                self.next = other;
            }
            _ => self.end(c, Place::Interior),
        }
    }

    /// Replaces the end of the bracket that c agrees with; twice the same end in a row halves the
    /// other's weight.
    fn narrow(&mut self, a: Sample, b: Sample, c: Sample) {
        let replaces_b = c.slope * b.slope > 0.0;
        let (a, b) = if replaces_b { (a, c) } else { (c, b) };
        let again = if self.last_was_b == Some(replaces_b) { 0.5 } else { 1.0 };
        self.weights = if replaces_b {
            (again * self.weights.0, c.slope)
        } else {
            (c.slope, again * self.weights.1)
        };
        self.last_was_b = Some(replaces_b);
        (self.a, self.b) = (Some(a), Some(b));
        // The evidence cannot rise by more than this between c and the root.
        let gain = (c.slope * (a.x - b.x)).abs() / (2.0 * self.target.effective());
        if gain <= GAIN * c.evidence.value.abs().max(1.0) {
            self.end(c, Place::Interior);
        } else {
            self.step(a, b);
        }
    }

    /// The next t: where the line through the weighted slopes is zero.
    fn step(&mut self, a: Sample, b: Sample) {
        let (wa, wb) = self.weights;
        let x = (a.x * wb - b.x * wa) / (wb - wa);
        let (low, high) = (a.x.min(b.x), a.x.max(b.x));
        if high - low < CLOSE {
            let best = if a.evidence.value >= b.evidence.value { a } else { b };
            return self.end(best, Place::Interior);
        }
        self.next = if x > low && x < high { x } else { f64::midpoint(low, high) }.exp();
    }
}
