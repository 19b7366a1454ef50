//! The only callers of BLAS and LAPACK, and the only unsafe code.
//!
//! OpenBLAS runs on one thread per call; parallelism comes from [`crate::threads::Context`].

pub(crate) mod blas;
mod buffers;
pub(crate) mod exponential;
#[cfg(all(openblas_static, unix))]
mod forks;
pub(crate) mod lapack;
pub(crate) mod memory;
mod openblas;
#[cfg(openblas_of_scipy)]
mod scipy_openblas;

pub use buffers::{Buffers, reserve_buffers};
pub use openblas::{OpenBlas, openblas, warm_up};
