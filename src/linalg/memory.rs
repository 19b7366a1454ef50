//! Allocation that reports failure as an error instead of aborting the process.
#![allow(unsafe_code)]

use crate::error::{Error, Result};

/// Return an empty vector with room for `len` items; `what` names it in [`Error::OutOfMemory`].
pub(crate) fn reserved<T>(len: usize, what: &'static str) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    vector
        .try_reserve_exact(len)
        .map_err(|_| Error::OutOfMemory { what, bytes: len.saturating_mul(size_of::<T>()) })?;
    Ok(vector)
}

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

/// Return a vector of `len` times one value.
pub(crate) fn filled<T: Copy>(value: T, len: usize, what: &'static str) -> Result<Vec<T>> {
    let mut vector = reserved(len, what)?;
    vector.resize(len, value);
    Ok(vector)
}

/// Return a copy of a vector.
pub(crate) fn copied<T: Copy>(values: &[T], what: &'static str) -> Result<Vec<T>> {
    let mut copy = reserved(values.len(), what)?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// Return the parts of a vector as one vector.
pub(crate) fn joined<T: Copy>(parts: Vec<Vec<T>>, what: &'static str) -> Result<Vec<T>> {
    let mut whole = reserved(parts.iter().map(Vec::len).sum(), what)?;
    for part in &parts {
        whole.extend_from_slice(part);
    }
    Ok(whole)
}

/// Make room for `more` items at the end of a vector.
pub(crate) fn grow<T>(vector: &mut Vec<T>, more: usize, what: &'static str) -> Result<()> {
    vector.try_reserve(more).map_err(|_| {
        let len = vector.len().saturating_add(more);
        Error::OutOfMemory { what, bytes: len.saturating_mul(size_of::<T>()) }
    })
}

/// Collecting that reports failure as an error.
pub(crate) trait Gather: Iterator + Sized {
    /// Return the items as a vector, in memory that is reserved by their greatest number.
    fn gathered(self, what: &'static str) -> Result<Vec<Self::Item>> {
        let (least, most) = self.size_hint();
        let mut vector = reserved(most.unwrap_or(least), what)?;
        for item in self {
            if vector.len() == vector.capacity() {
                grow(&mut vector, 1, what)?; // only where the greatest number is not known
            }
            vector.push(item);
        }
        Ok(vector)
    }
}

impl<I: Iterator> Gather for I {}

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
