//! OpenBLAS's scratch buffers, reserved before it is called.
//!
//! Every thread inside OpenBLAS uses a buffer of [`BYTES`] of address space. OpenBLAS maps one more
//! when all are in use and keeps it for ever. Where the system refuses, as under a limit of the
//! address space, it tries again without end. So threads reserve their buffers first: as many as are
//! reserved at once are mapped, each after a trial has shown that its address space is available.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::error::Result;

/// Buffers that are reserved now.
static RESERVED: AtomicUsize = AtomicUsize::new(0);

/// A reservation of buffers, until it is dropped.
#[derive(Debug)]
pub struct Buffers(usize);

impl Drop for Buffers {
    fn drop(&mut self) {
        RESERVED.fetch_sub(self.0, SeqCst);
    }
}

/// Reserve the buffers of `n` threads that will call OpenBLAS at the same time.
///
/// # Errors
/// [`crate::error::Error::OutOfMemory`] if the system does not have the address space.
pub fn reserve_buffers(n: usize) -> Result<Buffers> {
    let wanted = RESERVED.fetch_add(n, SeqCst) + n;
    let buffers = Buffers(n); // dropped, and so taken back, if the next line fails
    mapped::ensure(wanted)?;
    Ok(buffers)
}

#[cfg(all(openblas_static, unix))]
mod mapped {
    use std::ffi::{c_int, c_void};
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

    use super::super::forks::prepare;
    use crate::error::{Error, Result};

    /// `BUFFER_SIZE` of OpenBLAS on x86-64, the largest of any platform.
    const BYTES: usize = 128 << 20;
    /// Room for what other threads allocate between a trial and OpenBLAS's own request.
    const SPARE: usize = 8 << 20;
    /// More than OpenBLAS has places for.
    const MOST: usize = 1024;

    /// The number of buffers that OpenBLAS has mapped, and their addresses.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    static ADDRESSES: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];

    unsafe extern "C" {
        fn blas_memory_alloc(place: c_int) -> *mut c_void;
        fn blas_memory_free(buffer: *mut c_void);
    }

    /// Make OpenBLAS map buffers until it has `wanted`.
    pub(super) fn ensure(wanted: usize) -> Result<()> {
        if wanted <= COUNT.load(SeqCst) {
            return Ok(());
        }
        if wanted > MOST {
            return Err(out_of_memory());
        }
        let _lock = Lock::take();
        // OpenBLAS gives buffers that are mapped and idle before it maps another. So those have to be
        // held until an unknown address comes.
        let mut held = Held(Vec::with_capacity(wanted));
        while COUNT.load(SeqCst) < wanted {
            try_to_map()?;
            prepare(|| drop(Held(vec![allocate()])));
            let buffer = allocate();
            if buffer.is_null() {
                return Err(out_of_memory());
            }
            held.0.push(buffer);
            let count = COUNT.load(SeqCst);
            let known = &ADDRESSES[..count];
            if known.iter().all(|address| address.load(SeqCst) != buffer.addr()) {
                ADDRESSES[count].store(buffer.addr(), SeqCst);
                COUNT.store(count + 1, SeqCst);
            }
        }
        Ok(())
    }

    fn allocate() -> *mut c_void {
        // SAFETY: the argument is not used. The buffer is freed by `Held`.
        unsafe { blas_memory_alloc(0) }
    }

    /// Buffers that are given back to OpenBLAS when dropped. It keeps them mapped.
    struct Held(Vec<*mut c_void>);

    impl Drop for Held {
        fn drop(&mut self) {
            for buffer in self.0.iter().filter(|buffer| !buffer.is_null()) {
                // SAFETY: allocated above, freed once.
                unsafe { blas_memory_free(*buffer) };
            }
        }
    }

    fn out_of_memory() -> Error {
        Error::OutOfMemory { what: "a buffer of OpenBLAS for a thread", bytes: BYTES }
    }

    /// Map as much memory as OpenBLAS will, in the same way, and unmap it.
    fn try_to_map() -> Result<()> {
        // SAFETY: a new private mapping at an address of the system's choice, unmapped at once.
        unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let kind = libc::MAP_PRIVATE | libc::MAP_ANON;
            let start = libc::mmap(null_mut(), BYTES + SPARE, access, kind, -1, 0);
            if start == libc::MAP_FAILED {
                return Err(out_of_memory());
            }
            libc::munmap(start, BYTES + SPARE);
        }
        Ok(())
    }

    /// A lock that holds the process's number: a forked child takes over that of a thread that it did
    /// not inherit.
    static HOLDER: AtomicU32 = AtomicU32::new(0);

    struct Lock;

    impl Lock {
        fn take() -> Self {
            let me = std::process::id();
            loop {
                let holder = HOLDER.load(SeqCst);
                let is_free = holder != me;
                if is_free && HOLDER.compare_exchange(holder, me, SeqCst, SeqCst).is_ok() {
                    return Self;
                }
                std::thread::yield_now();
            }
        }
    }

    impl Drop for Lock {
        fn drop(&mut self) {
            HOLDER.store(0, SeqCst);
        }
    }
}

/// A dynamically linked OpenBLAS may hide its allocator, and other systems refuse in other ways.
#[cfg(not(all(openblas_static, unix)))]
mod mapped {
    use crate::error::Result;

    #[allow(clippy::unnecessary_wraps)] // the signature of the other module
    pub(super) fn ensure(_: usize) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_counted_and_given_back() {
        let both = (reserve_buffers(2).unwrap(), reserve_buffers(1).unwrap());
        assert!(RESERVED.load(SeqCst) >= 3); // other tests have some, too
        drop(both);
        // Thousands one after the other, where as many at once are refused.
        (0..10_000).for_each(|_| drop(reserve_buffers(1).unwrap()));
        assert!(RESERVED.load(SeqCst) < 10_000);
    }

    #[test]
    fn too_many_are_refused_and_do_not_count() {
        assert!(reserve_buffers(100_000).is_err() || cfg!(not(openblas_static)));
        assert!(reserve_buffers(1).is_ok());
    }
}
