//! The global maximum of the evidence over t = α/β, for many targets.
//!
//! The evidence can have several local maxima in ln t, so it is evaluated on a grid first: every
//! term is a logistic function of ln t, which takes four e-folds from a tenth to nine tenths, and
//! the grid is one e-fold apart. Intervals that may hold the global maximum are cut in eight, and
//! those of the parts that still may are bracketed by the signs of the derivative at their ends.
//! Its roots are found by the Illinois variant of false position, and the best is compared with the
//! two ends: t → ∞ in closed form, and the lower end of the range. (Maxima as close as 0.7 e-folds
//! occur, once in some ten thousand random targets.)

use crate::error::Result;
use crate::threads::Context;

use super::curves::{Curve, Pairs, Sums};
use super::evidence::{Evidence, Target};
use super::sweeps::LANES;

/// Distance of grid points, in ln t.
const STEP: f64 = 1.0;
/// Parts that an interval of the grid is cut into: what is inside fills the lanes but one.
const PARTS: usize = LANES;
/// Where a root is close enough, in ln t.
const CLOSE: f64 = 1e-9;
/// Where a root is close enough, by what the evidence could still gain, relative to
/// max(1, |evidence|); it is quadratic in ln t, so that t is known to about 1e-8.
const GAIN: f64 = 1e-16;
/// Evaluations after which a bracket cannot be narrowed by any rule; a root takes about 4.
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
    pub(super) sums: Sums,
    /// Evaluations of the derivative.
    pub(super) evaluations: usize,
}

impl Optimum {
    /// Whether it is not at the lower end of the range.
    pub(super) fn within(&self) -> bool {
        matches!(self.place, Place::Interior | Place::NoSignal)
    }
}

/// A target's place in the search, and a point of the fine grid.
type At = (usize, usize);

/// What is searched: targets, by their number in the curve and what they are, over the fine grid.
struct Search<'a> {
    curve: &'a dyn Curve,
    targets: &'a [(usize, Target)],
    grid: Vec<f64>,
}

/// Searches lo ≤ t ≤ hi for the chosen targets.
pub(super) fn search(
    curve: &dyn Curve,
    targets: &[(usize, Target)],
    (lo, hi): (f64, f64),
    context: &Context<'_>,
) -> Result<Vec<Optimum>> {
    let mut grid = vec![lo];
    while grid[grid.len() - 1] < hi || grid.len() % PARTS != 1 {
        grid.push(lo * (STEP * grid.len() as f64 / PARTS as f64).exp());
    }
    let search = Search { curve, targets, grid };

    let whole: Vec<f64> = targets.iter().map(|(_, target)| target.whole()).collect();
    let mut optima: Vec<Optimum> = targets
        .iter()
        .zip(&whole)
        .map(|((_, target), whole)| Optimum {
            place: Place::NoSignal,
            t: f64::INFINITY,
            evidence: Evidence {
                value: target.value(*whole, 0.0),
                q: *whole,
                r: 0.0,
                gap: target.mean,
                spread: 1.0,
            },
            sums: Sums::default(),
            evaluations: 0,
        })
        .collect();

    let (ends, intervals) = search.coarse(&optima, context)?;
    let parts = search.fine(&intervals, context)?;
    // The derivative at the lower ends and at both ends of the parts, each once.
    let mut at: Vec<At> = ends.iter().map(|place| (*place, 0)).collect();
    at.extend(parts.iter().flat_map(|(place, k)| [(*place, *k), (*place, k + 1)]));
    at.sort_unstable();
    at.dedup();
    let samples = search.samples(&at, context)?;
    let sample = |at_k: At| at.binary_search(&at_k).ok().map(|i| samples[i]);
    for (place, _) in &at {
        optima[*place].evaluations += 1;
    }

    let mut roots: Vec<Root> = parts
        .into_iter()
        .filter_map(|(place, k)| {
            let (a, b) = (sample((place, k))?, sample((place, k + 1))?);
            let turns = a.slope >= 0.0 && b.slope <= 0.0 && a.slope > b.slope;
            turns.then(|| Root::new(place, a, b))
        })
        .collect();
    let mut groups: Vec<&mut [Root]> = roots.chunks_mut(LANES).collect();
    context.for_each_mut(&mut groups, |_, group| {
        search.refine(group);
        Ok(())
    })?;
    for root in &roots {
        let best = &mut optima[root.place];
        best.evaluations += root.evaluations;
        if root.best.evidence.value > best.evidence.value {
            let Sample { t, evidence, sums, .. } = root.best;
            *best = Optimum { place: Place::Interior, t, evidence, sums, ..*best };
        }
    }
    for place in ends {
        let Some(end) = sample((place, 0)) else { continue };
        let best = &mut optima[place];
        let target = &targets[place].1;
        let noisy = curve.noise().is_some_and(|noise| noise > 0.0);
        let blur = curve.blur(lo) + 4.0 * f64::EPSILON * target.square / end.evidence.q;
        let found = end.at_lower_end(target, blur);
        // A maximum on the plateau is its rounding; noise may hide that the plateau is higher.
        let allowed = if noisy || best.t < 1e-6 * curve.extent().1 { blur } else { 0.0 };
        let allowed = allowed.max(LEVEL * end.evidence.value.abs().max(1.0));
        if let Some(found) = found
            && (found == Place::Rising || end.evidence.value >= best.evidence.value - allowed)
        {
            let Sample { t, evidence, sums, .. } = end;
            *best = Optimum { place: found, t, evidence, sums, ..*best };
        }
    }
    Ok(optima)
}

impl Search<'_> {
    /// Places where the lower end may be the maximum, and the intervals of the coarse grid that may
    /// hold it, by the points they start at.
    fn coarse(
        &self,
        limits: &[Optimum],
        context: &Context<'_>,
    ) -> Result<(Vec<usize>, Vec<Interval>)> {
        let n_coarse = self.grid.len().div_ceil(PARTS);
        let places: Vec<usize> = (0..self.targets.len()).collect();
        let tasks: Vec<Task<'_>> = places
            .chunks(Task::MOST)
            .flat_map(|places| {
                (0..n_coarse).step_by(LANES).map(move |i| {
                    let count = LANES.min(n_coarse - i);
                    Task { first: i * PARTS, step: PARTS, count, places }
                })
            })
            .collect();
        let mut values = vec![0.0; places.len() * n_coarse];
        for (task, found) in tasks.iter().zip(self.values(&tasks, context)?) {
            for (place, found) in task.places.iter().zip(found) {
                let start = place * n_coarse + task.first / PARTS;
                values[start..start + task.count].copy_from_slice(&found[..task.count]);
            }
        }
        let (mut ends, mut intervals) = (Vec::new(), Vec::new());
        for (place, values) in values.chunks(n_coarse).enumerate() {
            let limit = limits[place].evidence.value;
            let highest = values.iter().fold(limit, |a, b| a.max(*b));
            let rounding = LEVEL * highest.abs().max(1.0);
            // Rising towards t = 0 counts however low it starts: it may have no end.
            let blur = self.curve.blur(self.grid[0]);
            if values[0] > limit + rounding - blur || values[0] > values[1] + rounding {
                ends.push(place);
            }
            let chosen = may_exceed(values, highest + rounding);
            intervals.extend(chosen.map(|i| Interval {
                place,
                start: i * PARTS,
                highest,
                ends: [values[i], values[i + 1]],
            }));
        }
        Ok((ends, intervals))
    }

    /// The parts of the intervals that may hold the maximum.
    fn fine(&self, intervals: &[Interval], context: &Context<'_>) -> Result<Vec<At>> {
        let mut order: Vec<&Interval> = intervals.iter().collect();
        order.sort_by_key(|interval| interval.start); // stable: places stay in order
        let places: Vec<usize> = order.iter().map(|interval| interval.place).collect();
        let mut tasks = Vec::new();
        let mut first = 0;
        for same in order.chunk_by(|a, b| a.start == b.start) {
            for places in places[first..first + same.len()].chunks(Task::MOST) {
                tasks.push(Task { first: same[0].start + 1, step: 1, count: PARTS - 1, places });
            }
            first += same.len();
        }
        let values = self.values(&tasks, context)?.concat();

        let mut highest: Vec<f64> = vec![f64::NEG_INFINITY; self.targets.len()];
        for (interval, values) in order.iter().zip(&values) {
            let best = &mut highest[interval.place];
            *best = values[..PARTS - 1].iter().fold(best.max(interval.highest), |a, b| a.max(*b));
        }
        let mut parts = Vec::new();
        for (interval, values) in order.iter().zip(&values) {
            let [first, last] = interval.ends;
            let mut all = [first; PARTS + 1];
            all[1..PARTS].copy_from_slice(&values[..PARTS - 1]);
            all[PARTS] = last;
            let chosen = may_exceed(&all, highest[interval.place]);
            parts.extend(chosen.map(|part| (interval.place, interval.start + part)));
        }
        Ok(parts)
    }

    /// The evidence of each target of each task at its points.
    fn values(&self, tasks: &[Task<'_>], context: &Context<'_>) -> Result<Vec<Vec<[f64; LANES]>>> {
        context.map(tasks.len(), |task| {
            let Task { first, step, count, places } = tasks[task];
            let ts = std::array::from_fn(|lane| self.grid[first + step * lane.min(count - 1)]);
            let numbers: Vec<usize> = places.iter().map(|place| self.targets[*place].0).collect();
            let (sums, found) = self.curve.values_at(&ts, &numbers);
            let values = places.iter().zip(found).map(|(place, found)| {
                let target = &self.targets[*place].1;
                std::array::from_fn(|lane| {
                    target.evidence(&found[lane], sums[lane].log_determinant).value
                })
            });
            Ok(values.collect())
        })
    }

    fn pairs(&self, group: &[At]) -> Pairs {
        lanes(group).map(|(place, k)| (self.targets[place].0, self.grid[k]))
    }

    /// The evidence and its derivative at each point.
    fn samples(&self, at: &[At], context: &Context<'_>) -> Result<Vec<Sample>> {
        let groups: Vec<&[At]> = at.chunks(LANES).collect();
        let samples = context.map(groups.len(), |group| {
            let places: Vec<usize> = groups[group].iter().map(|(place, _)| *place).collect();
            Ok(self.sampled(&places, &self.pairs(groups[group])))
        })?;
        Ok(samples.concat())
    }

    /// The same for up to [`LANES`] pairs, given the targets' places.
    fn sampled(&self, places: &[usize], pairs: &Pairs) -> Vec<Sample> {
        let points = self.curve.at(pairs);
        let sample = |(lane, place): (usize, &usize)| {
            let (t, target, (point, sums)) =
                (pairs[lane].1, &self.targets[*place].1, &points[lane]);
            let evidence = target.evidence(point, sums.log_determinant);
            let slope = target.slope(t, point, &evidence, sums.dof);
            Sample { x: t.ln(), t, evidence, sums: *sums, slope }
        };
        places.iter().enumerate().map(sample).collect()
    }

    /// Refines up to [`LANES`] roots side by side.
    fn refine(&self, roots: &mut [Root]) {
        loop {
            let mut open: Vec<&mut Root> = roots.iter_mut().filter(|root| !root.done).collect();
            if open.is_empty() {
                return;
            }
            let places: Vec<usize> = open.iter().map(|root| root.place).collect();
            let pairs = lanes(&open.iter().map(|root| (root.place, root.next)).collect::<Vec<_>>())
                .map(|(place, t)| (self.targets[place].0, t));
            for (root, sample) in open.iter_mut().zip(self.sampled(&places, &pairs)) {
                root.take(sample, self.targets[root.place].1.effective());
            }
        }
    }
}

/// The items, one for each lane; unused lanes repeat the last.
fn lanes<T: Copy>(items: &[T]) -> [T; LANES] {
    std::array::from_fn(|lane| items[lane.min(items.len() - 1)])
}

/// Evenly spaced points of the fine grid, at most [`LANES`], and the places of the targets to evaluate
/// there.
#[derive(Clone, Copy)]
struct Task<'a> {
    first: usize,
    step: usize,
    count: usize,
    places: &'a [usize],
}

impl Task<'_> {
    /// Targets that are worth factorising again for.
    const MOST: usize = 16;
}

/// An interval of the coarse grid that may hold the maximum.
struct Interval {
    place: usize,
    /// Where it starts on the fine grid.
    start: usize,
    /// The highest value on the coarse grid, or at infinity.
    highest: f64,
    /// The values at its ends.
    ends: [f64; 2],
}

/// The intervals of evenly spaced values in which a smooth function may exceed `highest`: an arc over
/// an interval rises above its ends by an eighth of its second difference, and twice that is allowed.
/// The wiggles of a plateau are rounding and stay below.
fn may_exceed(values: &[f64], highest: f64) -> impl Iterator<Item = usize> {
    const RISE: f64 = 0.25;
    let last = values.len() - 1;
    let bend = move |i: usize| {
        let i = i.clamp(1, last - 1);
        (values[i - 1] - 2.0 * values[i] + values[i + 1]).abs()
    };
    let rises = move |i: &usize| {
        let rise = RISE * bend(*i).max(bend(i + 1));
        values[*i].max(values[i + 1]) + rise >= highest
    };
    (0..last).filter(rises)
}

/// The evidence and its derivative at one t.
#[derive(Debug, Clone, Copy)]
struct Sample {
    x: f64,
    t: f64,
    evidence: Evidence,
    sums: Sums,
    slope: f64,
}

impl Sample {
    /// What the lower end of the range is, if the evidence does not rise from there.
    fn at_lower_end(&self, target: &Target, blur: f64) -> Option<Place> {
        // What a step of the grid gains at this slope.
        let gain = self.slope * STEP / (2.0 * target.effective());
        let level = gain.abs() <= blur.max(LEVEL * self.evidence.value.abs().max(1.0));
        if self.slope.abs() <= 0.25 && (level || self.slope <= 0.0) {
            Some(Place::LowerEnd) // a slope of less than a quarter of a direction is flat
        } else {
            (self.slope < 0.0).then_some(Place::Rising)
        }
    }
}

/// A local maximum on its way, between two samples whose slopes point to each other.
struct Root {
    /// The target's place in the search.
    place: usize,
    /// Ends of the bracket.
    a: Sample,
    b: Sample,
    /// Their slopes, as the Illinois rule halves them.
    weights: (f64, f64),
    last_was_b: Option<bool>,
    /// Where to evaluate next.
    next: f64,
    evaluations: usize,
    done: bool,
    /// The best sample so far.
    best: Sample,
}

impl Root {
    fn new(place: usize, a: Sample, b: Sample) -> Self {
        let mut root = Self {
            place,
            a,
            b,
            weights: (a.slope, b.slope),
            last_was_b: None,
            next: 0.0,
            evaluations: 0,
            done: false,
            best: if a.evidence.value >= b.evidence.value { a } else { b },
        };
        root.step();
        root
    }

    /// Takes the sample at `next`: it replaces the end of the bracket that it agrees with; twice the
    /// same end in a row halves the other's weight.
    fn take(&mut self, c: Sample, effective: f64) {
        self.evaluations += 1;
        // Between samples that rounding alone tells apart, the later is closer to the root.
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

    /// The next t: where the line through the weighted slopes is zero.
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
