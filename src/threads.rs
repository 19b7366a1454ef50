//! Parallel execution: on the caller's thread, or on a thread pool that the caller owns.
//!
//! The core never builds a pool and never uses rayon's global one (it hangs in a forked child).
//! Every function that may run in parallel takes a [`Context`]. Work is split by the shape of the
//! data, never by the number of threads, and results are combined in a fixed order, so the bits of
//! a result do not depend on how many threads there are.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::memory::Gather;

/// The name of what a parallel job returns.
const RESULTS: &str = "the results of the parts of a job";

/// A thread pool, or the calling thread, and the caller's request to stop.
pub struct Context<'a> {
    pool: Option<&'a rayon::ThreadPool>,
    interrupted: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Context<'a> {
    /// Runs everything on the calling thread and is never interrupted.
    #[must_use]
    pub fn serial() -> Context<'static> {
        Context { pool: None, interrupted: &|| false }
    }

    /// Runs on `pool` if there is one; `interrupted` is asked between tiles.
    #[must_use]
    pub fn new(
        pool: Option<&'a rayon::ThreadPool>,
        interrupted: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self { pool, interrupted }
    }

    /// The same place, for work that must not be interrupted.
    pub(crate) fn uninterrupted(&self) -> Self {
        Self { pool: self.pool, interrupted: &|| false }
    }

    /// The number of tasks that run at once.
    fn n_threads(&self) -> usize {
        self.pool.map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// [`Error::Interrupted`] if the caller asked to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if (self.interrupted)() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// `[f(0), …, f(n - 1)]`, in this order, or the error of the first task that failed.
    pub(crate) fn map<T: Send>(
        &self,
        n: usize,
        f: impl Fn(usize) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let guarded = |i| self.check().and_then(|()| f(i));
        match self.pool {
            Some(pool) if n > 1 => {
                // Room for all results first: rayon's own collecting cannot report that there is none.
                let mut results = (0..n).map(|_| None).gathered(RESULTS)?;
                pool.install(|| {
                    let each = results.par_iter_mut().enumerate();
                    each.for_each(|(i, result)| *result = Some(guarded(i)));
                });
                let all = results.into_iter().map(|result| result.unwrap_or(Err(Error::NoData)));
                all.gathered_ok(RESULTS)
            }
            _ => (0..n).map(guarded).gathered_ok(RESULTS),
        }
    }

    /// Calls `f(i, &mut items[i])` for every item; the error is that of the first task that failed.
    pub(crate) fn for_each_mut<T: Send>(
        &self,
        items: &mut [T],
        f: impl Fn(usize, &mut T) -> Result<()> + Sync,
    ) -> Result<()> {
        let guarded = |(i, item): (usize, &mut T)| self.check().and_then(|()| f(i, item));
        match self.pool {
            Some(pool) if items.len() > 1 => {
                pool.install(|| first_error(items.par_iter_mut().enumerate().map(guarded)))
            }
            _ => items.iter_mut().enumerate().try_for_each(guarded),
        }
    }

    /// Calls `f(i, chunk)` for every chunk of `size` items, the last of which may be shorter; the error
    /// is that of the first task that failed. Makes no list of the chunks.
    pub(crate) fn for_each_chunk<T: Send>(
        &self,
        items: &mut [T],
        size: usize,
        f: impl Fn(usize, &mut [T]) -> Result<()> + Sync,
    ) -> Result<()> {
        let size = size.max(1);
        let guarded = |(i, chunk): (usize, &mut [T])| self.check().and_then(|()| f(i, chunk));
        match self.pool {
            Some(pool) if items.len() > size => {
                pool.install(|| first_error(items.par_chunks_mut(size).enumerate().map(guarded)))
            }
            _ => items.chunks_mut(size).enumerate().try_for_each(guarded),
        }
    }

    /// Computes `total += part`, in parallel. An empty part adds nothing.
    pub(crate) fn add(&self, part: &[f64], total: &mut [f64]) -> Result<()> {
        const RUN: usize = 1 << 18;
        if part.is_empty() {
            return Ok(());
        }
        self.for_each_chunk(total, RUN, |run, total| {
            total.iter_mut().zip(&part[run * RUN..]).for_each(|(total, part)| *total += part);
            Ok(())
        })
    }

    /// Return the sum of n parts; `fill(i, …)` adds part i to a sum that is zero.
    ///
    /// Parts are added in the order of i. At most one part a thread and the total are alive at once;
    /// `zero` makes each of them, and later parts reuse their memory.
    /// [`Error::NoData`] for n = 0.
    pub(crate) fn sum<T: PartialSum>(
        &self,
        n: usize,
        zero: impl Fn() -> Result<T>,
        fill: impl Fn(usize, &mut T) -> Result<()> + Sync,
    ) -> Result<T> {
        let mut total: Option<T> = None;
        let mut parts: Vec<T> = Vec::new(); // as many as threads
        for start in (0..n).step_by(self.n_threads()) {
            let width = self.n_threads().min(n - start);
            let used = parts.len();
            while parts.len() < width {
                parts.push(zero()?);
            }
            self.for_each_mut(&mut parts[..width], |i, part| {
                if i < used {
                    part.reset();
                }
                fill(start + i, part)
            })?;
            let rest = width - usize::from(total.is_none());
            let sum = total.get_or_insert_with(|| parts.remove(0));
            parts[..rest].iter().try_for_each(|part| sum.add(part, self))?;
        }
        total.ok_or(Error::NoData)
    }
}

/// The error of the first task that failed, in their order.
fn first_error(results: impl ParallelIterator<Item = Result<()>>) -> Result<()> {
    let errors = results.filter_map(Result::err);
    errors.reduce_with(|first, _| first).map_or(Ok(()), Err) // of neighbours, in order
}

/// Ranges of at most `size` items that cover `n` of them.
pub(crate) fn chunks(n: usize, size: usize) -> Result<Vec<std::ops::Range<usize>>> {
    let starts = (0..n).step_by(size.max(1));
    starts.map(|start| start..n.min(start + size)).gathered("the ranges of a job")
}

/// A sum over some of the rows, which can be added to that over others.
pub(crate) trait PartialSum: Send {
    /// Sets the sum to zero and keeps its memory.
    fn reset(&mut self);

    /// Adds the sum over other rows.
    fn add(&mut self, other: &Self, context: &Context<'_>) -> Result<()>;
}

impl PartialSum for Vec<f64> {
    fn reset(&mut self) {
        self.fill(0.0);
    }

    fn add(&mut self, other: &Self, context: &Context<'_>) -> Result<()> {
        context.add(other, self)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact values
mod tests {
    use super::*;

    #[test]
    fn sums_reuse_memory_and_do_not_depend_on_the_number_of_threads() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let parallel = Context::new(Some(&pool), &|| false);
        let sum = |context: &Context<'_>| {
            let fill = |i: usize, part: &mut Vec<f64>| {
                assert_eq!(part[1], 0.0, "a part starts from zero");
                part[0] += 0.1_f64.powi(i32::try_from(i).unwrap());
                part[1] += i as f64;
                Ok(())
            };
            context.sum(8, || Ok(vec![0.0; 2]), fill).unwrap()
        };
        assert_eq!(sum(&Context::serial()), sum(&parallel));
        assert_eq!(sum(&parallel)[1], 28.0);
        let nothing = parallel.sum(0, || Ok(vec![0.0; 2]), |_, _| Ok(()));
        assert_eq!(nothing, Err(Error::NoData));
    }
}
