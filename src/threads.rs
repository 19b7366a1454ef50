//! Parallel work: on the caller's thread, or on a pool that the caller owns.
//!
//! The core never builds a pool and never uses rayon's global one (it hangs in a forked child).
//! Every function that may run in parallel takes a [`Context`]. Work is split by the shape of the
//! data, never by the number of threads, and results are combined in a fixed order, so the bits of
//! a result do not depend on how many threads there are.

use rayon::prelude::*;

use crate::error::{Error, Result};

/// A place to run parallel work, and a way to ask whether to stop.
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

    /// The same place, for work that is not to be interrupted.
    #[must_use]
    pub fn uninterrupted(&self) -> Self {
        Self { pool: self.pool, interrupted: &|| false }
    }

    /// How many tasks run at once.
    #[must_use]
    pub fn n_threads(&self) -> usize {
        self.pool.map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// Stops the work if the caller asked for it.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn check(&self) -> Result<()> {
        if (self.interrupted)() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// `[f(0), …, f(n - 1)]`, in this order.
    ///
    /// # Errors
    /// The error of the first task that failed.
    pub fn map<T: Send>(&self, n: usize, f: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
        let guarded = |i| self.check().and_then(|()| f(i));
        match self.pool {
            Some(pool) if n > 1 => pool.install(|| {
                let results: Vec<Result<T>> = (0..n).into_par_iter().map(guarded).collect();
                results.into_iter().collect()
            }),
            _ => (0..n).map(guarded).collect(),
        }
    }

    /// Calls `f(i, &mut items[i])` for every item.
    ///
    /// # Errors
    /// The error of the first task that failed.
    pub fn for_each_mut<T: Send>(
        &self,
        items: &mut [T],
        f: impl Fn(usize, &mut T) -> Result<()> + Sync,
    ) -> Result<()> {
        let guarded = |(i, item): (usize, &mut T)| self.check().and_then(|()| f(i, item));
        match self.pool {
            Some(pool) if items.len() > 1 => pool.install(|| {
                let results: Vec<Result<()>> =
                    items.par_iter_mut().enumerate().map(guarded).collect();
                results.into_iter().collect()
            }),
            _ => items.iter_mut().enumerate().try_for_each(guarded),
        }
    }

    /// Computes `total += part`, in parallel.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn add(&self, part: &[f64], total: &mut [f64]) -> Result<()> {
        const RUN: usize = 1 << 18;
        let mut runs: Vec<(&mut [f64], &[f64])> =
            total.chunks_mut(RUN).zip(part.chunks(RUN)).collect();
        self.for_each_mut(&mut runs, |_, (total, part)| {
            total.iter_mut().zip(*part).for_each(|(total, part)| *total += part);
            Ok(())
        })
    }

    /// Return the sum of n parts; `fill(i, …)` adds part i to a sum that is zero.
    ///
    /// Parts are added in the order of i. At most one part a thread and the total are alive at once;
    /// `zero` makes each of them, and later parts reuse their memory.
    ///
    /// # Errors
    /// The error of the first part that failed; [`Error::NoData`] for n = 0.
    pub fn sum<T: PartialSum>(
        &self,
        n: usize,
        zero: impl Fn() -> Result<T>,
        fill: impl Fn(usize, &mut T) -> Result<()> + Sync,
    ) -> Result<T> {
        let mut total: Option<T> = None;
        let mut parts: Vec<T> = Vec::new();
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

/// A sum over some of the rows, which can be added to that over others.
pub trait PartialSum: Send {
    /// Sets the sum to zero and keeps its memory.
    fn reset(&mut self);

    /// Adds the sum over other rows.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
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
