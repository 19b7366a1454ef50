//! Where parallel work runs: on the caller's thread, or on a pool that the caller owns.
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

    /// Σ over parts i = 0..n of what `fill(i, …)` adds to a new or a reset one, added in this order.
    ///
    /// At most one part a thread and the total are alive at once.
    ///
    /// # Errors
    /// The error of the first part that failed.
    pub fn sum<T: Send>(
        &self,
        n: usize,
        new: impl Fn() -> Result<T>,
        reset: impl Fn(&mut T) + Sync,
        fill: impl Fn(usize, &mut T) -> Result<()> + Sync,
        add: impl Fn(&mut T, &T) -> Result<()>,
    ) -> Result<Option<T>> {
        let mut total: Option<T> = None;
        let mut parts: Vec<T> = Vec::new();
        for start in (0..n).step_by(self.n_threads()) {
            let width = self.n_threads().min(n - start);
            let used = parts.len();
            while parts.len() < width {
                parts.push(new()?);
            }
            self.for_each_mut(&mut parts[..width], |i, part| {
                if i < used {
                    reset(part);
                }
                fill(start + i, part)
            })?;
            let rest = width - usize::from(total.is_none());
            let sum = total.get_or_insert_with(|| parts.remove(0));
            parts[..rest].iter().try_for_each(|part| add(sum, part))?;
        }
        Ok(total)
    }
}
