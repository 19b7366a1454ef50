//! Posterior probabilities of the classes for every row, from the moments of the classes.

use crate::error::{Error, Result};
use crate::linalg::blas::{axpy, dot, product_into};
use crate::linalg::exponential::{exp_below, largest};
use crate::linalg::lapack::solve_positive;
use crate::linalg::memory::{Gather, append, copied, zeros};
use crate::threads::{Context, chunks};

use super::super::leverage::transposed;
use super::super::screen::{BLOCK, Screen, largest as largest_single};
use super::{Problem, diagonal};

/// Sums of squares below this fraction of the total are rounding errors of differences.
const NOTHING: f64 = 1e-24;

const LOGS: &str = "logarithms of posteriors";

impl Problem<'_> {
    /// Of the posterior of the class of every row, and whether features do not vary within classes.
    pub(in crate::metrics) fn each(
        &mut self,
        shrinkage: f64,
        read: Read,
        context: &Context<'_>,
    ) -> Result<(Vec<f64>, bool)> {
        let (order, n) = (self.order(), self.classes.n_samples());
        let squares = self.means.chunks_exact(order).map(|d| dot(d, d));
        let between: f64 = squares.zip(&self.classes.counts).map(|(s, n)| s * n).sum();
        let trace: f64 = diagonal(&self.within, order)?.iter().sum();
        if trace <= NOTHING * (trace + between) {
            let of_class =
                self.without_variation(NOTHING * (trace + between) / n, read, context)?;
            let values = self.classes.codes.iter().map(|c| of_class[*c as usize]);
            return Ok((values.gathered("a number a sample")?, true));
        }
        let mut solved = self.solve(shrinkage, trace, context)?;
        if solved.is_none() && self.difference {
            self.sum_within(context)?;
            let trace = diagonal(&self.within, order)?.iter().sum();
            solved = self.solve(shrinkage, trace, context)?;
        }
        let solved = solved.ok_or_else(|| {
            let problem = "the covariance within classes is singular in float64 at a shrinkage of";
            let remedy = "use more of it, or rescale the features";
            Error::metric(self.metric, format!("{problem} {shrinkage:e}; {remedy}"))
        })?;
        // No row is longer: n_c |x|² is at most this.
        let scale = (trace + between).sqrt();
        Ok((self.posteriors(&solved, scale, read, context)?, false))
    }

    /// Σ⁻¹ δ_c, (C, r); none where Σ is not positive definite in float64.
    fn solve(&self, shrinkage: f64, trace: f64, context: &Context<'_>) -> Result<Option<Vec<f64>>> {
        let (order, n) = (self.order(), self.classes.n_samples());
        let mut matrix = zeros::<f64>(order * order, "the covariance within classes")?;
        axpy((1.0 - shrinkage) / n, &self.within, &mut matrix);
        let added = shrinkage * trace / (n * self.n_features as f64);
        matrix.iter_mut().step_by(order + 1).for_each(|entry| *entry += added);
        let mut solved = copied(&self.means, "the class directions")?;
        Ok(solve_positive(matrix, order, &mut solved, context)?.then_some(solved))
    }

    /// Of the limit of p(c|δ_c) as Σ → 0, (C,): classes with the same mean, in proportion to their
    /// sizes.
    fn without_variation(&self, noise: f64, read: Read, context: &Context<'_>) -> Result<Vec<f64>> {
        let mean = |c: usize| &self.means[c * self.order()..(c + 1) * self.order()];
        let counts = &self.classes.counts;
        context.map(counts.len(), |a| {
            let together = |b: &usize| *b == a || !is_apart(mean(a), mean(*b), noise);
            let logs = (0..counts.len()).filter(together).map(|b| counts[b].ln());
            let mut logs = logs.gathered(LOGS)?;
            let mut softmax = Softmax::new(read);
            softmax.own = counts[a].ln();
            softmax.add(&mut logs)?;
            Ok(softmax.read(counts.len()))
        })
    }

    /// From Σ⁻¹ δ_c, (C, r), for rows of lengths up to `scale`.
    ///
    /// With many classes, products in float32 first leave out those of less than e^(−50) of the posterior
    /// of another; where too many are left, products in float64 take less time.
    fn posteriors(
        &self,
        solved: &[f64],
        scale: f64,
        read: Read,
        context: &Context<'_>,
    ) -> Result<Vec<f64>> {
        const ROWS: usize = 128;
        const MANY: usize = 2 * BLOCK;
        let (order, n_classes) = (self.order(), self.classes.counts.len());
        let n = self.classes.n_samples();
        let blocks = chunks(n_classes, BLOCK)?;
        let across = context.map(blocks.len(), |block| {
            transposed(&solved[blocks[block].start * order..blocks[block].end * order], order)
        })?;
        let pairs = self.means.chunks_exact(order).zip(solved.chunks_exact(order));
        let constant = pairs
            .zip(&self.classes.counts)
            .map(|((mean, solved), count)| (count / n).ln() - dot(mean, solved) / 2.0)
            .gathered(LOGS)?;
        let screen = if n_classes >= MANY {
            Some(Screen::new(solved, &constant, scale, context)?)
        } else {
            None
        };
        let mut values = zeros::<f64>(self.classes.codes.len(), "a number a sample")?;
        context.for_each_chunk(&mut values, ROWS, |part, out| {
            let mut panel = zeros::<f64>(out.len() * order, "a panel of rows")?;
            let codes = &self.classes.codes[part * ROWS..part * ROWS + out.len()];
            for (k, (row, code)) in panel.chunks_exact_mut(order).zip(codes).enumerate() {
                self.table.read(part * ROWS + k, *code as usize, row);
            }
            let log = |k: usize, c: usize| {
                let x = &panel[k * order..(k + 1) * order];
                constant[c] + dot(x, &solved[c * order..(c + 1) * order])
            };
            let softmaxes = codes.iter().map(|_| Softmax::new(read));
            let mut softmaxes = softmaxes.gathered("a panel of rows")?;
            if screen.is_some() {
                let own = softmaxes.iter_mut().zip(codes).enumerate();
                own.for_each(|(k, (softmax, code))| softmax.own = log(k, *code as usize));
            }
            let mut screened = Screened::new(screen.as_ref(), &panel)?;
            let mut logs = zeros::<f64>(out.len() * n_classes.min(BLOCK), "posteriors")?;
            for (block, (classes, across)) in blocks.iter().zip(&across).enumerate() {
                if let Some(near) = screened.near(block, &softmaxes)? {
                    for (k, c) in near {
                        softmaxes[k].add(&mut [log(k, c)])?;
                    }
                    continue;
                }
                let logs = &mut logs[..out.len() * classes.len()];
                let constant = &constant[classes.clone()];
                logs.chunks_exact_mut(classes.len()).for_each(|row| row.copy_from_slice(constant));
                product_into(&panel, across, logs, out.len(), classes.len());
                let rows = logs.chunks_exact_mut(classes.len()).zip(codes);
                for (softmax, (logs, code)) in softmaxes.iter_mut().zip(rows) {
                    let own = (*code as usize).checked_sub(classes.start);
                    if let Some(own) = own.and_then(|own| logs.get(own)) {
                        softmax.own = *own;
                    }
                    softmax.add(logs)?;
                }
            }
            let rows = out.iter_mut().zip(&softmaxes);
            rows.for_each(|(out, softmax)| *out = softmax.read(n_classes));
            Ok(())
        })?;
        Ok(values)
    }
}

/// Rows in comparison with all classes in float32.
struct Screened<'a> {
    /// None where too many classes are near.
    screen: Option<&'a Screen>,
    rows: Vec<f32>,
    lengths: Vec<f64>,
    found: Vec<f32>,
}

impl<'a> Screened<'a> {
    fn new(screen: Option<&'a Screen>, panel: &[f64]) -> Result<Self> {
        let (rows, lengths) = match screen {
            Some(screen) => screen.rows(panel)?,
            None => (Vec::new(), Vec::new()),
        };
        let found = zeros::<f32>(lengths.len() * BLOCK, "a block of logarithms")?;
        Ok(Self { screen, rows, lengths, found })
    }

    /// The pairs of a row and a class of a block that may matter, given the classes before it; none where
    /// there are too many, and ever after.
    fn near(&mut self, block: usize, softmaxes: &[Softmax]) -> Result<Option<Vec<(usize, usize)>>> {
        const FAR: f64 = 50.0; // of 1e5 classes, less than 2e-17 together
        const SHARE: usize = 16;
        let Some(screen) = self.screen else { return Ok(None) };
        let classes = &screen.blocks[block];
        let found = &mut self.found[..softmaxes.len() * classes.len()];
        screen.products(&self.rows, block, found);
        let mut near = Vec::new();
        for (k, softmax) in softmaxes.iter().enumerate() {
            let found = &found[k * classes.len()..(k + 1) * classes.len()];
            let level = (softmax.own.max(softmax.largest) - FAR) / screen.unit;
            let least = level - screen.margin(self.lengths[k], block);
            if f64::from(largest_single(found)) >= least {
                let open = classes.clone().zip(found).filter(|(_, x)| f64::from(**x) >= least);
                for (c, _) in open {
                    append(&mut near, (k, c), LOGS)?;
                }
            }
        }
        if near.len() > found.len() / SHARE {
            self.screen = None;
            return Ok(None);
        }
        Ok(Some(near))
    }
}

/// Whether |x − y|² is more than some noise; most are found apart by a few coordinates.
fn is_apart(x: &[f64], y: &[f64], noise: f64) -> bool {
    const RUN: usize = 8;
    let mut sum = 0.0;
    x.chunks(RUN).zip(y.chunks(RUN)).any(|(x, y)| {
        sum += x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum::<f64>();
        sum > noise
    })
}

/// What is read of the posterior p of the class of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::metrics) enum Read {
    /// p.
    Own,
    /// A second softmax, exp(p)/Σ exp(p of every class).
    Softened,
}

/// The posterior of one class, from the logarithms of all up to a constant, some at a time: from
/// Σ e^j for e = exp(log − the largest so far).
///
/// Σ exp(p) over the classes is C + Σⱼ (Σ p^j)/j!, which ends below 2e-16 after [`TERMS`] terms.
struct Softmax {
    /// The logarithm of the one class.
    own: f64,
    largest: f64,
    /// Σ e^j for j = 1, 2, … ; the first alone where no more is read.
    sums: [f64; TERMS],
    read: Read,
}

const TERMS: usize = 17;

impl Softmax {
    fn new(read: Read) -> Self {
        Self { own: f64::NEG_INFINITY, largest: f64::NEG_INFINITY, sums: [0.0; TERMS], read }
    }

    fn n_terms(&self) -> usize {
        if self.read == Read::Own { 1 } else { TERMS }
    }

    /// Adds the logarithms of some classes, which are overwritten.
    fn add(&mut self, logs: &mut [f64]) -> Result<()> {
        let (largest, n_terms) = (largest(logs), self.n_terms());
        if largest > self.largest {
            let factor = (self.largest - largest).exp();
            let mut power = 1.0;
            for sum in &mut self.sums[..n_terms] {
                power *= factor;
                *sum *= power;
            }
            self.largest = largest;
        }
        self.sums[0] += exp_below(self.largest, logs);
        if n_terms > 1 {
            let mut powers = copied(logs, LOGS)?;
            for sum in &mut self.sums[1..n_terms] {
                powers.iter_mut().zip(&*logs).for_each(|(power, e)| *power *= e);
                *sum += powers.iter().sum::<f64>();
            }
        }
        Ok(())
    }

    fn read(&self, n_classes: usize) -> f64 {
        let all = self.sums[0];
        let p = (self.own - self.largest).exp() / all;
        if self.read == Read::Own {
            return p;
        }
        let (mut total, mut factor) = (n_classes as f64, 1.0);
        for (j, sum) in self.sums.iter().enumerate() {
            factor /= all * (j + 1) as f64;
            total += sum * factor;
        }
        p.exp() / total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_softmax_of_parts_is_that_of_all() {
        let sizes = [(0.0, 3.0), (-700.0, 40.0), (900.0, 1e-3), (5.0, 300.0)];
        for (offset, spread) in sizes {
            let logs: Vec<f64> =
                (0..50).map(|i| offset + spread * (f64::from(i * i) * 0.618).sin()).collect();
            let largest = logs.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
            let e: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
            let p: Vec<f64> = e.iter().map(|x| x / e.iter().sum::<f64>()).collect();
            let second: f64 = p.iter().map(|p| p.exp()).sum();
            for c in [0, 7, 49] {
                for (read, expected) in [(Read::Own, p[c]), (Read::Softened, p[c].exp() / second)] {
                    for step in [1, 7, 50] {
                        let mut softmax = Softmax::new(read);
                        softmax.own = logs[c];
                        logs.chunks(step).for_each(|part| softmax.add(&mut part.to_vec()).unwrap());
                        let found = softmax.read(logs.len());
                        assert!((found - expected).abs() < 1e-14, "{found} is not {expected}");
                    }
                }
            }
        }
    }
}
