//! The allocator of this module: the system's, with some freed blocks kept for the next call.
//!
//! The system returns large blocks as they are freed, and maps fresh pages for the next ones. In
//! repeated calls of one shape these page faults take up to a third of the time. So blocks of
//! [`LEAST`] to [`LARGEST`] bytes are kept, at most [`MOST`] bytes of them, and handed out again for
//! exactly the same layout. Smaller ones the system keeps by itself; larger ones are in huge pages.
//!
//! Nothing here waits: where the lock is taken, by another thread or for ever in a forked child, the
//! system serves the request.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, TryLockError};

use pyo3::prelude::*;

const LEAST: usize = 64 << 10;
const LARGEST: usize = 8 << 20;
const MOST: usize = 32 << 20;
const BLOCKS: usize = 64;

#[global_allocator]
static KEPT: Keeping = Keeping(Mutex::new(Kept { blocks: [None; BLOCKS], next: 0, bytes: 0 }));

struct Keeping(Mutex<Kept>);

/// Freed blocks: address and layout. The oldest is at `next`, which is replaced first.
struct Kept {
    blocks: [Option<(usize, Layout)>; BLOCKS],
    next: usize,
    bytes: usize,
}

impl Kept {
    fn take(&mut self, layout: Layout) -> Option<*mut u8> {
        let fits =
            |block: &&mut Option<(usize, Layout)>| block.is_some_and(|(_, own)| own == layout);
        let (address, _) = self.blocks.iter_mut().rev().find(fits)?.take()?;
        self.bytes -= layout.size();
        Some(std::ptr::with_exposed_provenance_mut(address))
    }

    fn keep(&mut self, start: *mut u8, layout: Layout) {
        self.drop_next();
        while self.bytes + layout.size() > MOST {
            self.next = (self.next + 1) % BLOCKS;
            self.drop_next();
        }
        self.blocks[self.next] = Some((start.expose_provenance(), layout));
        self.next = (self.next + 1) % BLOCKS;
        self.bytes += layout.size();
    }

    fn drop_next(&mut self) {
        if let Some((address, layout)) = self.blocks[self.next].take() {
            self.bytes -= layout.size();
            // SAFETY: a kept block came from the system with this layout, and is nobody else's.
            unsafe { System.dealloc(std::ptr::with_exposed_provenance_mut(address), layout) };
        }
    }

    fn clear(&mut self) {
        for _ in 0..BLOCKS {
            self.drop_next();
            self.next = (self.next + 1) % BLOCKS;
        }
    }
}

impl Keeping {
    fn lock(&self) -> Option<MutexGuard<'_, Kept>> {
        match self.0.try_lock() {
            Ok(kept) => Some(kept),
            Err(TryLockError::Poisoned(kept)) => Some(kept.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn take(&self, layout: Layout) -> Option<*mut u8> {
        if !(LEAST..=LARGEST).contains(&layout.size()) {
            return None;
        }
        self.lock()?.take(layout)
    }

    /// Return what the system has for a request of so many bytes, if need be after it got back what is
    /// kept, and for a small one also the reserve.
    fn ask_system(&self, bytes: usize, get: impl Fn() -> *mut u8) -> *mut u8 {
        let mut start = get();
        if start.is_null()
            && let Some(mut kept) = self.lock()
        {
            kept.clear();
            start = get();
        }
        if start.is_null() && bytes <= LEAST && reserve::give_up() { get() } else { start }
    }
}

// SAFETY: every block comes from the system. A kept one has been freed by its owner, is handed out
// once, and only for the layout with which the system made it.
unsafe impl GlobalAlloc for Keeping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let fresh = || {
            // SAFETY: the caller's promise on the layout is the system's condition.
            unsafe { System.alloc(layout) }
        };
        self.take(layout).unwrap_or_else(|| self.ask_system(layout.size(), fresh))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let fresh = || {
            // SAFETY: as for `alloc`.
            unsafe { System.alloc_zeroed(layout) }
        };
        let Some(start) = self.take(layout) else { return self.ask_system(layout.size(), fresh) };
        // SAFETY: the block has this size, and is nobody else's.
        unsafe { start.write_bytes(0, layout.size()) };
        start
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        if (LEAST..=LARGEST).contains(&layout.size())
            && let Some(mut kept) = self.lock()
        {
            kept.keep(start, layout);
            return;
        }
        // SAFETY: the block came from the system with this layout.
        unsafe { System.dealloc(start, layout) };
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.ask_system(size, || {
            // SAFETY: as for `dealloc`; the caller promises a size that is not 0.
            unsafe { System.realloc(start, layout, size) }
        })
    }
}

/// Gives back to the system the memory that is kept between calls.
#[pyfunction]
pub(crate) fn release_memory() {
    if let Some(mut kept) = KEPT.lock() {
        kept.clear();
    }
}

/// Memory that is given up for requests that cannot report failure.
///
/// Whatever the data make large is asked for by functions that report failure. What is left are small
/// requests, after whose refusal Rust ends the process: so [`RESERVE`] bytes of address space are held,
/// given up where the system refuses a small request, and held again before the next call begins.
#[cfg(unix)]
mod reserve {
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicPtr, Ordering::AcqRel, Ordering::Acquire};

    use libc::c_void;

    /// Several times the least that the system's allocator asks the kernel for.
    const RESERVE: usize = 8 << 20;

    static START: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

    /// Give up the reserve; whether there was one.
    pub(super) fn give_up() -> bool {
        let start = START.swap(null_mut(), AcqRel);
        // SAFETY: a mapping of this size that nobody uses, and that no other thread has taken.
        !start.is_null() && unsafe { libc::munmap(start, RESERVE) } == 0
    }

    /// Hold the reserve, where the system has room for it. Where it has none, a call that needs little
    /// passes all the same.
    pub(crate) fn hold() {
        if !START.load(Acquire).is_null() {
            return;
        }
        let kind = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: a new private mapping at an address of the system's choice, of no access.
        let start = unsafe { libc::mmap(null_mut(), RESERVE, libc::PROT_NONE, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return;
        }
        if START.compare_exchange(null_mut(), start, AcqRel, Acquire).is_err() {
            // SAFETY: the mapping of above, which another thread's has made superfluous.
            unsafe { libc::munmap(start, RESERVE) };
        }
    }
}

#[cfg(not(unix))]
mod reserve {
    pub(super) fn give_up() -> bool {
        false
    }

    pub(crate) fn hold() {}
}

pub(crate) use reserve::hold as hold_reserve;
