//! The evidence of many targets on a grid in ln t, and the cells that may hold its maximum.
//!
//! Every term of the evidence is a logistic function of ln t, which takes four e-folds from a tenth to
//! nine tenths. Coarse points are one e-fold apart. Coarse cells that may hold the global maximum are
//! cut into eight fine ones.

use crate::error::Result;
use crate::linalg::memory::{Gather, append, filled, joined, zeros};
use crate::threads::Context;

use super::curves::Curve;
use super::evidence::Target;
use super::sweeps::LANES;

/// Distance of coarse points, in ln t.
pub(super) const STEP: f64 = 1.0;
/// Fine cells in a coarse one; its inner points fill the lanes but one.
const PARTS: usize = LANES;
/// Memory of a search: a few numbers a target.
pub(super) const SEARCH: &str = "the search for the maxima of the targets";
/// Differences of evidence that may be rounding, relative to max(1, |evidence|).
pub(super) const LEVEL: f64 = 1e-12;

/// Targets, by their index in `targets`, over the points of the fine grid.
pub(super) struct Grid<'a> {
    pub(super) curve: &'a dyn Curve,
    pub(super) targets: &'a [Target],
    /// t, ascending.
    pub(super) points: Vec<f64>,
}

/// A target at a point of the fine grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node {
    pub(super) target: usize,
    pub(super) point: usize,
}

impl Node {
    /// The same target at the next point.
    pub(super) fn next(self) -> Self {
        Self { point: self.point + 1, ..self }
    }
}

/// A coarse cell that may hold the maximum of a target.
pub(super) struct Cell {
    start: Node,
    /// The highest value of the target on the coarse grid, or at t = ∞.
    highest: f64,
    /// The values at its ends.
    ends: [f64; 2],
}

/// The result of the coarse grid.
pub(super) struct Coarse {
    /// Targets of which the lower end of the range may be the maximum.
    pub(super) at_lower_end: Vec<usize>,
    pub(super) cells: Vec<Cell>,
}

/// Evenly spaced points, at most [`LANES`], and the targets to evaluate there.
#[derive(Clone, Copy)]
struct Task<'a> {
    first: usize,
    step: usize,
    count: usize,
    targets: &'a [usize],
}

impl Task<'_> {
    /// Targets that share a factorisation; more are worth another, on another thread.
    const MOST: usize = 16;
}

impl<'a> Grid<'a> {
    /// Cover lo ≤ t ≤ hi.
    pub(super) fn new(
        curve: &'a dyn Curve,
        targets: &'a [Target],
        (lo, hi): (f64, f64),
    ) -> Result<Self> {
        let mut points = filled(lo, 1, SEARCH)?;
        while points[points.len() - 1] < hi || points.len() % PARTS != 1 {
            let next = lo * (STEP * points.len() as f64 / PARTS as f64).exp();
            append(&mut points, next, SEARCH)?;
        }
        Ok(Self { curve, targets, points })
    }

    /// Evaluate the coarse points; `limits` are the values at t = ∞.
    pub(super) fn coarse(&self, limits: &[f64], context: &Context<'_>) -> Result<Coarse> {
        let n_coarse = self.points.len().div_ceil(PARTS);
        let all = (0..self.targets.len()).gathered(SEARCH)?;
        let tasks: Vec<Task<'_>> = all
            .chunks(Task::MOST)
            .flat_map(|targets| {
                (0..n_coarse).step_by(LANES).map(move |i| {
                    let count = LANES.min(n_coarse - i);
                    Task { first: i * PARTS, step: PARTS, count, targets }
                })
            })
            .gathered(SEARCH)?;
        let mut values = zeros::<f64>(all.len() * n_coarse, SEARCH)?;
        for (task, found) in tasks.iter().zip(self.values(&tasks, context)?) {
            for (target, found) in task.targets.iter().zip(found) {
                let start = target * n_coarse + task.first / PARTS;
                values[start..start + task.count].copy_from_slice(&found[..task.count]);
            }
        }
        let (mut at_lower_end, mut cells) = (Vec::new(), Vec::new());
        for (target, values) in values.chunks(n_coarse).enumerate() {
            let limit = limits[target];
            let highest = values.iter().fold(limit, |a, b| a.max(*b));
            let rounding = LEVEL * highest.abs().max(1.0);
            // Rising towards t = 0 counts however low it starts: it may have no end.
            let blur = self.curve.blur(self.points[0]);
            if values[0] > limit + rounding - blur || values[0] > values[1] + rounding {
                append(&mut at_lower_end, target, SEARCH)?;
            }
            for i in may_exceed(values, highest + rounding) {
                let (start, ends) = (Node { target, point: i * PARTS }, [values[i], values[i + 1]]);
                append(&mut cells, Cell { start, highest, ends }, SEARCH)?;
            }
        }
        Ok(Coarse { at_lower_end, cells })
    }

    /// Evaluate the points inside the cells, and return where the fine cells start that may hold the
    /// maximum.
    pub(super) fn fine(&self, cells: &[Cell], context: &Context<'_>) -> Result<Vec<Node>> {
        let mut order = cells.iter().gathered(SEARCH)?;
        order.sort_unstable_by_key(|cell| (cell.start.point, cell.start.target)); // each (point, target) occurs once
        let targets = order.iter().map(|cell| cell.start.target).gathered(SEARCH)?;
        let mut tasks = Vec::new();
        let mut first = 0;
        for same in order.chunk_by(|a, b| a.start.point == b.start.point) {
            for targets in targets[first..first + same.len()].chunks(Task::MOST) {
                let start = same[0].start.point + 1;
                let task = Task { first: start, step: 1, count: PARTS - 1, targets };
                append(&mut tasks, task, SEARCH)?;
            }
            first += same.len();
        }
        let values = joined(self.values(&tasks, context)?, SEARCH)?;

        let mut highest = filled(f64::NEG_INFINITY, self.targets.len(), SEARCH)?;
        for (cell, values) in order.iter().zip(&values) {
            let best = &mut highest[cell.start.target];
            *best = values[..PARTS - 1].iter().fold(best.max(cell.highest), |a, b| a.max(*b));
        }
        let mut found = Vec::new();
        for (cell, values) in order.iter().zip(&values) {
            let Cell { start, ends: [first, last], .. } = **cell;
            let mut all = [first; PARTS + 1];
            all[1..PARTS].copy_from_slice(&values[..PARTS - 1]);
            all[PARTS] = last;
            let chosen = may_exceed(&all, highest[start.target]);
            for part in chosen {
                append(&mut found, Node { point: start.point + part, ..start }, SEARCH)?;
            }
        }
        Ok(found)
    }

    /// The evidence of each target of each task at its points.
    fn values(&self, tasks: &[Task<'_>], context: &Context<'_>) -> Result<Vec<Vec<[f64; LANES]>>> {
        context.map(tasks.len(), |task| {
            let Task { first, step, count, targets } = tasks[task];
            let ts = std::array::from_fn(|lane| self.points[first + step * lane.min(count - 1)]);
            let targets: Vec<&Target> = targets.iter().map(|i| &self.targets[*i]).collect();
            let columns: Vec<usize> = targets.iter().map(|target| target.column).collect();
            let (sums, found) = self.curve.values_at(&ts, &columns)?;
            let values = targets.iter().zip(found).map(|(target, found)| {
                std::array::from_fn(|lane| {
                    target.evidence(&found[lane], sums[lane].log_determinant).value
                })
            });
            values.gathered(SEARCH)
        })
    }
}

/// The cells of evenly spaced values in which a smooth function may exceed `highest`: an arc over a
/// cell rises above its ends by an eighth of its second difference, and twice that is allowed. The
/// wiggles of a plateau are rounding and stay below.
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

#[cfg(test)]
mod tests {
    use super::super::search::tests::{one_direction, two_directions};
    use super::*;

    #[test]
    fn points_end_with_a_whole_cell_above_the_range() {
        let (spectrum, target) = one_direction(3.0, 4.0, 5.0, 20);
        let targets = [target];
        for hi in [1.0, 7.0, 1e9] {
            let grid = Grid::new(&spectrum, &targets, (0.5, hi)).unwrap();
            assert_eq!(grid.points.len() % PARTS, 1);
            assert!(grid.points.last().is_some_and(|last| *last >= hi));
            let ratios = grid.points.windows(2).map(|pair| (pair[1] / pair[0]).ln());
            ratios.for_each(|ratio| assert!((ratio - STEP / PARTS as f64).abs() < 1e-12));
        }
    }

    #[test]
    fn a_peak_between_two_points_is_kept_and_a_plateau_is_not() {
        // −(x − 2.5)² at x = 0 … 5 peaks in the cell from 2 to 3, 0.25 above its ends.
        let values: Vec<f64> = (0..6).map(|x| -(f64::from(x) - 2.5).powi(2)).collect();
        // Its neighbours may reach it too, by twice an eighth of the second difference of 2.
        assert_eq!(may_exceed(&values, -0.01).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(may_exceed(&values, 0.3).count(), 0);
        let plateau = [1.0, 1.0 + 1e-15, 1.0, 1.0 - 1e-15, 1.0];
        assert_eq!(may_exceed(&plateau, 1.0 + 1e-12).count(), 0);
    }

    #[test]
    fn the_fine_cell_of_a_known_maximum_is_found() {
        let (spectrum, target) = two_directions();
        let targets = [target];
        let grid = Grid::new(&spectrum, &targets, (1e-9, 1e9)).unwrap();
        let context = Context::serial();
        let coarse = grid.coarse(&[target.value(target.whole(), 0.0)], &context).unwrap();
        let cells = grid.fine(&coarse.cells, &context).unwrap();
        let value = |t: f64| {
            let (sums, points) = spectrum.values_at(&[t; LANES], &[0]).unwrap();
            target.evidence(&points[0][0], sums[0].log_determinant).value
        };
        let best = (0..40_000)
            .map(|i| 1e-9 * (f64::from(i) * 1e-3).exp())
            .fold(1.0, |best, t| if value(t) > value(best) { t } else { best });
        let holds =
            |node: &Node| grid.points[node.point] <= best && best <= grid.points[node.next().point];
        assert!(cells.iter().any(holds));
        assert!(cells.len() < 6, "{cells:?}");
    }
}
