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

    /// Return what the system has, if need be after it got back what is kept.
    fn ask_system(&self, get: impl Fn() -> *mut u8) -> *mut u8 {
        let start = get();
        match start.is_null().then(|| self.lock()).flatten() {
            None => start,
            Some(mut kept) => {
                kept.clear();
                get()
            }
        }
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
        self.take(layout).unwrap_or_else(|| self.ask_system(fresh))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let fresh = || {
            // SAFETY: as for `alloc`.
            unsafe { System.alloc_zeroed(layout) }
        };
        let Some(start) = self.take(layout) else { return self.ask_system(fresh) };
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
        self.ask_system(|| {
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
