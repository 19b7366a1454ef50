//! The LAPACK routines this crate calls, each behind a safe function with checked sizes.
//!
//! ndarray-linalg where its driver is the right one (thin SVD); `lapack-sys` where it is not: its
//! `eigh` is `?syev`, five times slower than what the tridiagonal form needs.
#![allow(unsafe_code)]

mod cholesky;
mod orthogonal;
mod tridiagonal;

use crate::error::{Error, Result};

pub(crate) use cholesky::{Cholesky, PivotedCholesky, solve_positive};
pub(crate) use orthogonal::{row_coordinates, thin_svd};
pub(crate) use tridiagonal::TridiagonalForm;

/// n² stays below 2³¹, which LAPACK counts in.
pub(crate) const MAX_ORDER: usize = 46_300;

fn int(n: usize) -> i32 {
    i32::try_from(n).expect("matrix orders are checked against MAX_ORDER")
}

fn checked(routine: &'static str, info: i32, order: usize) -> Result<()> {
    if info == 0 { Ok(()) } else { Err(Error::Lapack { routine, info, order }) }
}

/// An empty vector with room for `len`, or the named error where memory cannot be had.
pub(crate) fn reserved<T>(len: usize, what: &'static str) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    vector
        .try_reserve_exact(len)
        .map_err(|_| Error::OutOfMemory { what, bytes: len.saturating_mul(size_of::<T>()) })?;
    Ok(vector)
}

/// Numbers whose zero is all bits zero.
pub(crate) trait Zero: Copy {}
impl Zero for f64 {}
impl Zero for f32 {}

/// A vector of `len` zeros, or the named error where memory cannot be had. The system gives large
/// ones page by page as they are first written, by whichever thread that is.
pub(crate) fn zeros<T: Zero>(len: usize, what: &'static str) -> Result<Vec<T>> {
    let failed = || Error::OutOfMemory { what, bytes: len.saturating_mul(size_of::<T>()) };
    if len == 0 {
        return Ok(Vec::new());
    }
    let layout = std::alloc::Layout::array::<T>(len).map_err(|_| failed())?;
    // SAFETY: the layout is that of len > 0 numbers of T, for which zero bits are a value; the box
    // frees it with the same layout.
    unsafe {
        let start = std::alloc::alloc_zeroed(layout).cast::<T>();
        if start.is_null() {
            return Err(failed());
        }
        ask_for_huge_pages(start.cast(), layout.size());
        Ok(Box::from_raw(std::ptr::slice_from_raw_parts_mut(start, len)).into_vec())
    }
}

/// Asks for 2 MB pages: a first pass over 40 MB in pages of 4 KB spends more time in the kernel than
/// in products. Where the answer is no, nothing changes.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages(start: *mut u8, bytes: usize) {
    const LARGE: usize = 4 << 20;
    const PAGE: usize = 4096;
    if bytes >= LARGE {
        let skipped = start.align_offset(PAGE);
        let whole_pages = (bytes - skipped) / PAGE * PAGE;
        // SAFETY: a hint about pages inside an allocation that the caller owns; it moves nothing.
        unsafe { libc::madvise(start.add(skipped).cast(), whole_pages, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_: *mut u8, _: usize) {}
