//! The k nearest other rows of every row, exactly: products in float32 leave few candidates, and
//! these are measured in float64.
//!
//! For rows a, b (D,), shifted (`measure.rs`) and scaled by a power of 2, u = 2⁻²⁴:
//!
//!   |a − b|² lies within  c (|a| + |b|)²  of  |a|² + |b|² − 2 a·b  as computed in float32,
//!   c = γ/2 + 8u,  γ = (D + 1) u / (1 − (D + 1) u)
//!
//! γ|a||b| bounds the rounding of a dot product in any order (Higham, "Accuracy and Stability of
//! Numerical Algorithms", 2002, eq. (3.5)), and |a||b| ≤ (|a| + |b|)²/4; the rest is rounding to
//! float32. A row keeps every other whose lower bound is not above the k-th smallest upper bound it
//! has seen, so the nearest k and all ties with them are among its candidates. One more column,
//! √c |a|, makes products give lower bounds. Each block of products serves its rows and its columns.
//!
//! Rows that keep too many (duplicates, many ties) are measured against all others instead.
//!
//! Cost: N²D in float32 products, N k D afterwards; N (D + 12 k + 144) numbers of 4 bytes.

use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::input::Rows;
use crate::linalg::blas::outer_product_single;
use crate::linalg::memory::{Gather, copied, filled, joined, reserved, zeros};
use crate::threads::Context;

use super::measure::{Measure, Others, least, nearest_of_all};
use super::panel::{BLOCK, Panel, single};

/// Products that are compared side by side.
const LANES: usize = 16;
const LISTS: &str = "the candidate neighbours";

/// For every row the k nearest others, of which it has at least k, and how far they are, nearest first, the earlier row first in
/// ties: (N k).
pub(super) fn search(
    features: &dyn Rows,
    (k, others): (usize, Others<'_>),
    measure: &Measure,
    context: &Context<'_>,
) -> Result<Vec<(f64, u32)>> {
    let n_rows = features.n_rows();
    let panel = Panel::new(features, measure, context)?;
    let n_blocks = n_rows.div_ceil(BLOCK);
    let blocks =
        (0..n_blocks).map(|block| Ok(Mutex::new(CandidateLists::new(&panel, block, (k, others))?)));
    let blocks: Vec<Mutex<CandidateLists<'_>>> = blocks.gathered_ok(LISTS)?;
    let mut pairs = reserved(n_blocks.saturating_mul(n_blocks + 1) / 2, "the pairs of blocks")?;
    (0..n_blocks).for_each(|i| pairs.extend((i..n_blocks).map(|j| (i, j))));
    context.map(pairs.len(), |pair| {
        let (i, j) = pairs[pair];
        let (rows, columns) = (panel.block(i), panel.block(j));
        let mut products = zeros::<f32>(rows.1.len() * columns.1.len(), "a block of products")?;
        outer_product_single(rows.0, columns.0, &mut products, panel.width);
        let open = |block: usize| blocks[block].lock().unwrap_or_else(PoisonError::into_inner);
        open(i).look_along_rows(&panel, &products, j);
        if i != j {
            open(j).look_along_columns(&panel, &products, i);
        }
        Ok(())
    })?;
    let found = context.map(n_blocks, |block| {
        let mut lists = blocks[block].lock().unwrap_or_else(PoisonError::into_inner);
        lists.nearest(&panel, features, measure, context)
    })?;
    joined(found, "the neighbours")
}

/// A row that may be among the nearest.
#[derive(Clone, Copy, Default)]
struct Candidate {
    /// Bounds of its squared distance.
    lower: f32,
    upper: f32,
    row: u32,
}

/// The candidate neighbours of the rows of a block.
struct CandidateLists<'a> {
    block: usize,
    k: usize,
    others: Others<'a>,
    /// The largest number of candidates of a row.
    room: usize,
    /// (rows, room).
    candidates: Vec<Candidate>,
    counts: Vec<usize>,
    /// A product p is a candidate if p + bar ≥ half. A bar is half the k-th upper bound less the
    /// row's own half; −∞ once there is no room for all candidates.
    bars: Vec<f32>,
}

impl<'a> CandidateLists<'a> {
    fn new(panel: &Panel, block: usize, (k, others): (usize, Others<'a>)) -> Result<Self> {
        let rows = panel.block(block).1.len();
        let room = k.saturating_mul(4).saturating_add(48);
        let candidates = filled(Candidate::default(), rows.saturating_mul(room), LISTS)?;
        let (counts, bars) = (filled(0, rows, LISTS)?, filled(f32::INFINITY, rows, LISTS)?);
        Ok(Self { block, k, others, room, candidates, counts, bars })
    }

    /// Offers each row of this block the rows of block `other`: `products` is (rows, others).
    fn look_along_rows(&mut self, panel: &Panel, products: &[f32], other: usize) {
        let halves = panel.block(other).1;
        for (i, products) in products.chunks_exact(halves.len()).enumerate() {
            for start in (0..halves.len()).step_by(LANES) {
                let end = halves.len().min(start + LANES);
                let bar = self.bars[i];
                let mut any = false;
                for (product, half) in products[start..end].iter().zip(&halves[start..end]) {
                    any |= product + bar >= *half;
                }
                if any {
                    for (j, product) in (start..end).zip(&products[start..end]) {
                        if product + self.bars[i] >= halves[j] {
                            self.keep(panel, i, other * BLOCK + j, *product);
                        }
                    }
                }
            }
        }
    }

    /// Offers each row of this block the rows of block `other`: `products` is (others, rows).
    fn look_along_columns(&mut self, panel: &Panel, products: &[f32], other: usize) {
        let halves = panel.block(other).1;
        for (j, (products, half)) in products.chunks_exact(self.bars.len()).zip(halves).enumerate()
        {
            for start in (0..products.len()).step_by(LANES) {
                let end = products.len().min(start + LANES);
                let mut any = false;
                for (product, bar) in products[start..end].iter().zip(&self.bars[start..end]) {
                    any |= product + bar >= *half;
                }
                if any {
                    for (i, product) in (start..end).zip(&products[start..end]) {
                        if product + self.bars[i] >= *half {
                            self.keep(panel, i, other * BLOCK + j, *product);
                        }
                    }
                }
            }
        }
    }

    fn keep(&mut self, panel: &Panel, i: usize, row: usize, product: f32) {
        let own = self.block * BLOCK + i;
        if !self.others.has(own, row) {
            return;
        }
        let halves = f64::from(panel.half[own]) + f64::from(panel.half[row]);
        let lower = 2.0 * (halves - f64::from(product));
        let upper = lower
            + 2.0 * panel.c * (panel.norms[own] + panel.norms[row]).powi(2)
            + 4.0 * f64::from(f32::MIN_POSITIVE) * panel.width as f64;
        let (lower, upper) = (single(lower).next_down(), single(upper).next_up());
        self.candidates[i * self.room + self.counts[i]] =
            Candidate { lower, upper, row: u32::try_from(row).unwrap_or(u32::MAX) };
        self.counts[i] += 1;
        if self.counts[i] == self.room {
            self.narrow(panel, i);
            if self.counts[i] > self.room - self.room / 4 {
                self.bars[i] = f32::NEG_INFINITY;
            }
        }
    }

    /// Drops candidates whose lower bound is above the k-th upper bound, and sets the bar to that.
    fn narrow(&mut self, panel: &Panel, i: usize) {
        let count = self.counts[i];
        if count < self.k || self.bars[i] == f32::NEG_INFINITY {
            return;
        }
        let kept = &mut self.candidates[i * self.room..i * self.room + count];
        kept.select_nth_unstable_by(self.k - 1, |a, b| a.upper.total_cmp(&b.upper));
        let limit = kept[self.k - 1].upper;
        let mut left = 0;
        for at in 0..count {
            if kept[at].lower <= limit {
                kept[left] = kept[at];
                left += 1;
            }
        }
        self.counts[i] = left;
        let half = f64::from(panel.half[self.block * BLOCK + i]);
        let bar = 0.5 * f64::from(limit) - half;
        let slack = f64::from(f32::EPSILON) * (f64::from(limit).abs() + 2.0 * half.abs());
        self.bars[i] = single(bar + slack).next_up();
    }

    /// Whether the candidates of a row cannot decide.
    fn is_crowded(&self, i: usize) -> bool {
        self.bars[i] == f32::NEG_INFINITY || self.counts[i] < self.k
    }

    /// The nearest k of every row with their distances, row by row.
    fn nearest(
        &mut self,
        panel: &Panel,
        features: &dyn Rows,
        measure: &Measure,
        context: &Context<'_>,
    ) -> Result<Vec<(f64, u32)>> {
        let n_rows = self.bars.len();
        for i in 0..n_rows {
            self.narrow(panel, i);
        }
        let crowded = (0..n_rows).filter(|i| self.is_crowded(*i)).map(|i| self.block * BLOCK + i);
        let crowded = crowded.gathered("the crowded rows")?;
        let wanted = (self.k, self.others);
        let mut of_all = nearest_of_all(features, measure, &crowded, wanted, context)?.into_iter();
        let mut own = zeros::<f64>(features.n_cols(), "a row of features")?;
        let mut other = copied(&own, "a row of features")?;
        let mut found = reserved(n_rows * self.k, "the neighbours")?;
        for i in 0..n_rows {
            if self.is_crowded(i) {
                found.extend(of_all.next().into_iter().flatten());
                continue;
            }
            measure.read(features, self.block * BLOCK + i, &mut own);
            let kept = &self.candidates[i * self.room..i * self.room + self.counts[i]];
            let mut near = reserved(kept.len(), "the neighbours")?;
            for candidate in kept {
                measure.read(features, candidate.row as usize, &mut other);
                near.push((Measure::square(&own, &other), candidate.row));
            }
            found.extend(least(near, self.k));
        }
        for (square, _) in &mut found {
            *square = measure.distance(*square);
        }
        Ok(found)
    }
}
