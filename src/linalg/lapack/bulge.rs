//! The second stage of a two-stage reduction: from a band to tridiagonal form, B = Q₂TQ₂ᵀ, by
//! chasing bulges.
//!
//! Sweep s makes column s tridiagonal by a reflector of its b rows below the diagonal. From there the
//! reflector of block k acts on both sides of the diagonal block Dₖ (b, b) and fills Oₖ (b, b) below
//! it. Only the first column of Oₖ is annihilated, by the reflector of block k + 1; the others are
//! left to the next sweeps (Murata and Horikoshi 1975; Schwarz 1968). A block and its successor fit
//! into the first cache.
//!
//! Columns beyond the matrix are zero and stay zero, so that every block is whole. Both triangles of
//! Dₖ are kept: it is read by columns, and nothing but its last column is ever copied.
#![allow(clippy::inline_always)] // into functions that are compiled for several machines
#![allow(clippy::needless_range_loop)] // a column of a block and a number of a vector
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use multiversion::multiversion;

use crate::error::{Error, Result};
use crate::threads::Context;

use super::super::memory::{Gather, zeros};
use super::lanes::{add_scaled, dot, is_fused, opaque};

/// Sweeps that follow each other closely, on one thread: a block stays in its cache meanwhile.
const GROUP: usize = 16;
/// Threads that chase: beyond these, groups wait for one another.
const THREADS: usize = 8;

/// The band with b subdiagonals, and room for the bulges.
pub(super) struct Band<const B: usize> {
    /// Entry (i, j) is at [`Self::at`].
    values: Vec<f64>,
    order: usize,
}

impl<const B: usize> Band<B> {
    /// From one column to the next, at the same row.
    const STRIDE: usize = 3 * B;

    fn at(row: usize, column: usize) -> usize {
        column * Self::STRIDE + row + B
    }

    /// Takes the band from the column-major lower triangle of a matrix.
    pub(super) fn new(matrix: &[f64], order: usize) -> Result<Self> {
        let len = Self::at(order + 2 * B, order + 2 * B);
        let mut values = zeros::<f64>(len, "the band of a reduction")?;
        for (j, column) in matrix.chunks_exact(order.max(1)).enumerate() {
            for i in j..order.min(j + B + 1) {
                values[Self::at(i, j)] = column[i];
                if i < j + B {
                    values[Self::at(j, i)] = column[i];
                }
            }
        }
        Ok(Self { values, order })
    }

    /// Reduces the band to tridiagonal form; returns the diagonal and what is below it. The
    /// reflectors of sweep s are written into the strictly upper part of column n − 1 − s of the
    /// column-major matrix: n − 1 − s numbers, b of each block. The first number of a reflector,
    /// which is 1, is replaced by its factor τ.
    pub(super) fn reduce(
        mut self,
        matrix: &mut [f64],
        context: &Context<'_>,
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        let n = self.order;
        let n_groups = n.saturating_sub(2).div_ceil(GROUP);
        assert!(matrix.len() == n * n && self.values.len() == Self::at(n + 2 * B, n + 2 * B));
        let chase = Chase::<B> {
            band: self.values.as_mut_ptr(),
            matrix: matrix.as_mut_ptr(),
            order: n,
            next: AtomicUsize::new(0),
            done: (0..n_groups)
                .map(|_| AtomicUsize::new(0))
                .gathered("the sweeps of a reduction")?,
            stopped: AtomicBool::new(false),
        };
        context.map(THREADS.min(n_groups), |_| chase.run(context))?;
        let diagonal = (0..n).map(|i| self.values[Self::at(i, i)]);
        let below = (1..n).map(|i| self.values[Self::at(i, i - 1)]);
        Ok((diagonal.gathered("a tridiagonal form")?, below.gathered("a tridiagonal form")?))
    }
}

/// A chase by several threads. Each takes the next group of sweeps that nobody has taken. Every sweep
/// follows the one before it at a distance of two blocks. What is computed does not depend on who
/// computes it.
struct Chase<const B: usize> {
    band: *mut f64,
    matrix: *mut f64,
    order: usize,
    /// The next group.
    next: AtomicUsize,
    /// The number of blocks that the last sweep of each group has left behind.
    done: Vec<AtomicUsize>,
    stopped: AtomicBool,
}

// SAFETY: sweep s alone writes column n − 1 − s of the matrix, and a block of the band is changed only
// while no other thread is at it or next to it ([`Chase::block`]).
unsafe impl<const B: usize> Sync for Chase<B> {}

impl<const B: usize> Chase<B> {
    /// Takes groups until there are none left.
    fn run(&self, context: &Context<'_>) -> Result<()> {
        loop {
            let group = self.next.fetch_add(1, Ordering::Relaxed);
            if group >= self.done.len() {
                return Ok(());
            }
            if let Err(error) = context.check() {
                self.stopped.store(true, Ordering::Relaxed);
                return Err(error);
            }
            chase(self, group);
            if self.stopped.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
        }
    }

    /// The number of blocks of a sweep.
    fn n_blocks(&self, sweep: usize) -> usize {
        (self.order - 1 - sweep).div_ceil(B)
    }

    /// Waits until the group before has left block k + 1, and so the columns of block k of the first
    /// sweep of this one; `false` where the chase was stopped.
    fn may_enter(&self, group: usize, k: usize) -> bool {
        const SPINS: usize = 1 << 10;
        if group == 0 {
            return true;
        }
        let needed = (k + 2).min(self.n_blocks(group * GROUP - 1));
        let mut spins = 0;
        while self.done[group - 1].load(Ordering::Acquire) < needed {
            if self.stopped.load(Ordering::Relaxed) {
                return false;
            }
            spins += 1;
            if spins % SPINS == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        true
    }
}

/// One group of sweeps: block k of its j-th sweep at time k + 2j.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn chase<const B: usize>(all: &Chase<B>, group: usize) {
    if is_fused!() {
        chase_with::<B, true>(all, group);
    } else {
        chase_with::<B, false>(all, group);
    }
}

#[inline(always)]
fn chase_with<const B: usize, const FUSED: bool>(all: &Chase<B>, group: usize) {
    let (n, first) = (all.order, group * GROUP);
    let n_sweeps = GROUP.min(n - 2 - first);
    let mut reflectors = [([0.0; B], 0.0); GROUP];
    let n_times = (0..n_sweeps).map(|j| all.n_blocks(first + j) + 2 * j).max().unwrap_or(0);
    for time in 0..n_times {
        if time < all.n_blocks(first) && !all.may_enter(group, time) {
            return;
        }
        for (j, (v, tau)) in reflectors[..n_sweeps.min(time / 2 + 1)].iter_mut().enumerate() {
            let (sweep, k) = (first + j, time - 2 * j);
            let n_blocks = all.n_blocks(sweep);
            if k >= n_blocks {
                continue;
            }
            let (row, rows) = (sweep + 1 + k * B, n - 1 - sweep);
            if k == 0 {
                let start = Band::<B>::at(sweep + 1, sweep);
                // SAFETY: b numbers of column `sweep`, which is in no block of this sweep or a later
                // one, and which the sweeps before have left.
                let column = unsafe { &mut *all.band.add(start).cast::<[f64; B]>() };
                (*v, *tau) = reflector(column);
            }
            let len = B.min(n - row);
            // SAFETY: column `rows` < n of the matrix has n numbers; this sweep alone writes it.
            let kept =
                unsafe { std::slice::from_raw_parts_mut(all.matrix.add(rows * n + k * B), len) };
            kept.copy_from_slice(&v[..len]);
            kept[0] = *tau;
            let (start, len) = (Band::<B>::at(row, row), (B - 1) * Band::<B>::STRIDE + 2 * B);
            // SAFETY: the band has 2b columns more than the matrix. The sweep before is at block
            // k + 2 or later, whose part of memory starts 2b − 1 columns of 3b + 1 numbers behind
            // this one, more than this length; the next sweep waits for this one.
            let block = unsafe { std::slice::from_raw_parts_mut(all.band.add(start), len) };
            (*v, *tau) = step::<B, FUSED>(block, v, *tau, k + 1 < n_blocks);
            if j + 1 == n_sweeps {
                all.done[group].store(k + 1, Ordering::Release);
            }
        }
    }
}

/// Applies the reflector v, τ to D on both sides and to O on the right; annihilates the first column
/// of O by the reflector that is returned, and applies this one to the other columns. The block
/// starts with the first entry of D; O lies below.
#[inline(always)]
fn step<const B: usize, const FUSED: bool>(
    block: &mut [f64],
    v: &[f64; B],
    tau: f64,
    has_next: bool,
) -> ([f64; B], f64) {
    let (stride, v) = (Band::<B>::STRIDE, *v);
    // The last column of D above its diagonal is new: so far there was only the last row.
    for i in 0..B - 1 {
        block[(B - 1) * stride + i] = block[i * stride + B - 1];
    }
    // D v and O v.
    let (mut w, mut y) = ([0.0; B], [0.0; B]);
    for j in 0..B {
        let factor = opaque(v[j]);
        add_scaled::<B, FUSED>(factor, part(block, j * stride), &mut w);
        if has_next {
            add_scaled::<B, FUSED>(factor, part(block, j * stride + B), &mut y);
        }
    }
    // HDH = D − v wᵀ − w vᵀ with w = τDv − v (τvᵀτDv)/2.
    for w in &mut w {
        *w *= tau;
    }
    let half = -0.5 * tau * dot(&v, &w);
    add_scaled::<B, FUSED>(half, &v, &mut w);
    for j in 0..B {
        let column: &mut [f64; B] = part_mut(block, j * stride);
        let mut changed = *column;
        add_scaled::<B, FUSED>(opaque(-w[j]), &v, &mut changed);
        add_scaled::<B, FUSED>(-v[j], &w, &mut changed);
        *column = changed;
    }
    if !has_next {
        return ([0.0; B], 0.0);
    }
    for y in &mut y {
        *y *= tau;
    }
    let column: &mut [f64; B] = part_mut(block, B);
    add_scaled::<B, FUSED>(-v[0], &y, column);
    let (next, next_tau) = reflector(column);
    for j in 1..B {
        let column: &mut [f64; B] = part_mut(block, j * stride + B);
        let mut changed = *column;
        add_scaled::<B, FUSED>(opaque(-v[j]), &y, &mut changed);
        let factor = -next_tau * dot(&next, &changed);
        add_scaled::<B, FUSED>(factor, &next, &mut changed);
        *column = changed;
    }
    (next, next_tau)
}

#[inline(always)]
fn part<const B: usize>(block: &[f64], at: usize) -> &[f64; B] {
    (&block[at..at + B]).try_into().expect("b numbers")
}

#[inline(always)]
fn part_mut<const B: usize>(block: &mut [f64], at: usize) -> &mut [f64; B] {
    (&mut block[at..at + B]).try_into().expect("b numbers")
}

/// The reflector H = I − τ v vᵀ, v₀ = 1, with Hx = (β, 0, …, 0), which replaces x.
///
/// Where squares would leave the range of numbers, x is scaled first: v and τ do not depend on it.
#[inline(always)]
fn reflector<const B: usize>(x: &mut [f64; B]) -> ([f64; B], f64) {
    const SMALLEST: f64 = 1e-280;
    const LARGEST: f64 = 1e280;
    let mut square = dot(x, x);
    let mut scale = 1.0;
    if !(SMALLEST..LARGEST).contains(&square) {
        scale = x.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        if scale == 0.0 {
            return (*x, 0.0);
        }
        for x in x.iter_mut() {
            *x /= scale;
        }
        square = dot(x, x);
    }
    let first = x[0];
    let rest = {
        let mut tail = *x;
        tail[0] = 0.0;
        dot(&tail, &tail)
    };
    let mut v = *x;
    let (mut beta, mut tau) = (first, 0.0);
    if rest > 0.0 {
        beta = -square.sqrt().copysign(first);
        tau = (beta - first) / beta;
        let inverse = 1.0 / (first - beta);
        for v in &mut v {
            *v *= inverse;
        }
    }
    v[0] = 1.0;
    *x = [0.0; B];
    x[0] = beta * scale;
    (v, tau)
}
