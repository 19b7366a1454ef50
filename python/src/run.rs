//! Run core jobs without the GIL, on a thread pool of this process, and stop them on Ctrl-C.

use std::any::Any;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use rayon::ThreadPool;
use transferability::error::{Error, Result};
use transferability::linalg::reserve_buffers;
use transferability::threads::Context;

use crate::errors::{CoreError, named};
use crate::kept::hold_reserve;

/// Interval at which signals are checked.
const INTERVAL: Duration = Duration::from_millis(50);
/// Multiplications, about half a millisecond, below which a thread pool costs more than it gains.
const SMALL: f64 = 2e7;

/// A flag that stops the jobs it was passed to, between their tiles. Other threads than the main
/// one need it, because Python delivers signals to the main thread only.
#[pyclass(module = "transferability._core", frozen)]
#[derive(Default)]
pub(crate) struct Stop {
    pub(crate) flag: Arc<AtomicBool>,
}

#[pymethods]
impl Stop {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Stops the jobs.
    fn set(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }
}

/// Runs a job without the GIL. `work` is its size in multiplications: small jobs, and all jobs with
/// one thread, stay on the calling thread; others run on the pool of this process. All stop when `stop`
/// is set or a signal handler raises. A panic becomes an `InternalError`.
pub(crate) fn run<T: Send>(
    py: Python<'_>,
    n_threads: usize,
    work: f64,
    stop: &AtomicBool,
    job: impl FnOnce(&Context<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    hold_reserve();
    // With the interpreter attached, so that no fork of Python finds the lock of the pools taken.
    let pool = if work < SMALL || n_threads <= 1 { None } else { pool(py, n_threads)? };
    let result = py.detach(|| {
        if let Some(pool) = pool {
            return on_pool(pool, stop, job);
        }
        let _buffers = reserve_buffers(1).map_err(CoreError)?;
        on_this_thread(stop, job)
    })?;
    match result {
        Ok(result) => Ok(result.map_err(CoreError)?),
        Err(panic) => Err(named("InternalError", describe(&*panic))),
    }
}

type Guarded<T> = std::thread::Result<Result<T>>;

fn guarded<T>(job: impl FnOnce() -> Result<T>) -> Guarded<T> {
    catch_unwind(AssertUnwindSafe(job))
}

fn describe(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    format!("internal error, please report it: {message}")
}

/// Runs pending signal handlers and returns the exception that they raise; none outside the main
/// thread.
#[allow(clippy::redundant_closure_for_method_calls)] // the method alone is bound to one lifetime
fn signal() -> Option<PyErr> {
    Python::attach(|py| py.check_signals()).err()
}

fn on_this_thread<T>(
    stop: &AtomicBool,
    job: impl FnOnce(&Context<'_>) -> Result<T>,
) -> PyResult<Guarded<T>> {
    let looked = Mutex::new((Instant::now(), None));
    let interrupted = || {
        if stop.load(Ordering::Relaxed) {
            return true;
        }
        let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.1.is_none() && looked.0.elapsed() > INTERVAL {
            *looked = (Instant::now(), signal());
        }
        looked.1.is_some()
    };
    let result = guarded(|| job(&Context::new(None, &interrupted)));
    let signal = looked.into_inner().unwrap_or_else(PoisonError::into_inner).1;
    match (result, signal) {
        (Ok(Err(Error::Interrupted)), Some(signal)) => Err(signal),
        (result, _) => Ok(result),
    }
}

fn on_pool<T: Send>(
    pool: &ThreadPool,
    stop: &AtomicBool,
    job: impl FnOnce(&Context<'_>) -> Result<T> + Send,
) -> PyResult<Guarded<T>> {
    let signalled = AtomicBool::new(false);
    let interrupted = || stop.load(Ordering::Relaxed) || signalled.load(Ordering::Relaxed);
    let (done, finished) = channel();
    pool.in_place_scope(|scope| {
        scope.spawn(|_| {
            let result = guarded(|| job(&Context::new(Some(pool), &interrupted)));
            let _ = done.send(result); // the receiver outlives the scope
        });
        let mut signal = None;
        loop {
            match finished.recv_timeout(INTERVAL) {
                Ok(Ok(Err(Error::Interrupted))) if signal.is_some() => {
                    return Err(signal.take().expect("checked by the guard"));
                }
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) if signal.is_none() => {
                    signal = self::signal();
                    signalled.store(signal.is_some(), Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(named("InternalError", "a worker thread died".to_owned()));
                }
            }
        }
    })
}

/// Pools of a process, by the number of threads that was asked for.
type Pools = Vec<(usize, Option<&'static ThreadPool>)>;

/// Returns the pool for this many threads, built once a process. Where the system has fewer threads
/// or less address space to give, the pool is smaller, or there is none, with a warning. A forked
/// child does not inherit threads, so it builds new pools; those of its parent are leaked in the
/// child.
fn pool(py: Python<'_>, n_threads: usize) -> PyResult<Option<&'static ThreadPool>> {
    static POOLS: Mutex<(u32, Pools)> = Mutex::new((0, Vec::new()));
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if pools.0 != std::process::id() {
        *pools = (std::process::id(), Vec::new());
    }
    if let Some((_, pool)) = pools.1.iter().find(|(asked, _)| *asked == n_threads) {
        return Ok(*pool);
    }
    let mut size = n_threads;
    let pool = loop {
        match build(size) {
            Ok(pool) => break Some(pool),
            Err(_) if size > 2 => size = size.div_ceil(2),
            Err(_) => break None,
        }
    };
    pools.1.push((n_threads, pool));
    drop(pools);
    let found = pool.map_or(1, ThreadPool::current_num_threads);
    if found < n_threads {
        warn_of_fewer(py, n_threads, found)?;
    }
    Ok(pool)
}

/// Starts a pool with the buffers of its threads, for the life of the process.
fn build(n_threads: usize) -> std::result::Result<&'static ThreadPool, String> {
    let buffers = reserve_buffers(n_threads).map_err(|error| error.to_string())?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .thread_name(|i| format!("transferability-{i}"))
        .start_handler(|_| transferability::linalg::warm_up())
        .build()
        .map_err(|error| error.to_string())?;
    std::mem::forget(buffers);
    Ok(Box::leak(Box::new(pool)))
}

fn warn_of_fewer(py: Python<'_>, asked: usize, found: usize) -> PyResult<()> {
    let message = format!(
        "the system let this process start {found} of {asked} threads (a limit of threads or of \
         address space); results are the same, slower; pass n_threads={found} to say so"
    );
    let message = CString::new(message).unwrap_or_default();
    let errors = py.import("transferability.errors")?;
    PyErr::warn(py, &errors.getattr("TransferabilityWarning")?, &message, 2)
}
