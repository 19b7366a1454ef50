//! Memory for numbers that is zero, and reserved without being touched.
#![allow(unsafe_code)]

use ndarray::{Array2, ArrayView2};

use crate::error::{Error, Result};

pub(crate) use crate::memory::{
    Gather, append, check_room, copied, enter, filled, grow, joined, reserved, table,
};

/// Types of which all-zero bytes are a valid value.
///
/// # Safety
/// A value of the type may be read from memory in which every byte is zero.
pub(crate) unsafe trait Zero: Copy {}
// SAFETY: all-zero bytes are the number +0.0 of IEEE 754.
unsafe impl Zero for f64 {}
// SAFETY: as for f64.
unsafe impl Zero for f32 {}

/// Return a vector of `len` zeros.
///
/// The system maps large vectors page by page as they are first written, by the thread that writes.
pub(crate) fn zeros<T: Zero>(len: usize, what: &'static str) -> Result<Vec<T>> {
    let failed = || Error::OutOfMemory { what, bytes: len.saturating_mul(size_of::<T>()) };
    if len == 0 {
        return Ok(Vec::new());
    }
    let layout = std::alloc::Layout::array::<T>(len).map_err(|_| failed())?;
    // SAFETY: the layout has a size above zero: len > 0, and f64 and f32 are not zero-sized. Zeroed
    // memory holds `len` values of T, as `Zero` promises. The box frees it with the same layout.
    unsafe {
        let start = std::alloc::alloc_zeroed(layout).cast::<T>();
        if start.is_null() {
            return Err(failed());
        }
        ask_for_huge_pages(start.cast(), layout.size());
        Ok(Box::from_raw(std::ptr::slice_from_raw_parts_mut(start, len)).into_vec())
    }
}

/// Ask for 2 MB pages, because a first pass over 40 MB in pages of 4 KB spends more time in the
/// kernel than in products. A refusal changes nothing.
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

/// Return a matrix of zeros, row-major.
pub(crate) fn zero_matrix(shape: (usize, usize), what: &'static str) -> Result<Array2<f64>> {
    let values = zeros(shape.0.saturating_mul(shape.1), what)?;
    Array2::from_shape_vec(shape, values).map_err(|_| Error::NoData)
}

/// Return a row-major copy of a matrix.
pub(crate) fn copied_matrix(a: ArrayView2<'_, f64>, what: &'static str) -> Result<Array2<f64>> {
    let values = a.iter().copied().gathered(what)?;
    Array2::from_shape_vec(a.dim(), values).map_err(|_| Error::NoData)
}
