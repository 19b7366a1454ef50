//! Forks while other threads are inside OpenBLAS.
//!
//! Every call of OpenBLAS takes a buffer under one lock. If another thread has that lock at the moment of
//! a fork, the child inherits a lock that nobody will release, and its first product hangs: one fork in a
//! hundred under load. So the lock is taken before a fork, as handlers of `pthread_atfork` are meant to,
//! and released on both sides. It is a private variable of OpenBLAS. A hidden function in the place of
//! `pthread_mutex_lock` sees its address on the first call. In this library OpenBLAS alone calls that
//! function (Rust's locks are futexes; libgfortran locks only for input and output, and gets a lock that
//! works). OpenBLAS's own fork handler ends its threads, of which there are none, and leaves this lock.
#![allow(unsafe_code)]

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod guarded {
    use std::ffi::c_int;
    use std::ptr::null_mut;
    use std::sync::Once;
    use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};

    type Lock = libc::pthread_mutex_t;

    /// The lock of OpenBLAS's buffers, once it is known.
    static OF_BUFFERS: AtomicPtr<Lock> = AtomicPtr::new(null_mut());
    /// Whether the next lock that is taken is that of the buffers.
    static IS_NEXT: AtomicBool = AtomicBool::new(false);

    #[cfg(target_arch = "x86_64")]
    std::arch::global_asm!(
        ".globl pthread_mutex_lock",
        ".hidden pthread_mutex_lock",
        "pthread_mutex_lock:",
        "jmp {}",
        sym take,
    );
    #[cfg(target_arch = "aarch64")]
    std::arch::global_asm!(
        ".globl pthread_mutex_lock",
        ".hidden pthread_mutex_lock",
        "pthread_mutex_lock:",
        "b {}",
        sym take,
    );

    /// Take a lock as `pthread_mutex_lock` does, which cannot be called by that name here. The C library
    /// waits no longer than to the year 2242, the last that every kernel counts in nanoseconds.
    ///
    /// # Safety
    /// As for `pthread_mutex_lock`.
    unsafe extern "C" fn take(lock: *mut Lock) -> c_int {
        if IS_NEXT.load(SeqCst) && IS_NEXT.swap(false, SeqCst) {
            OF_BUFFERS.store(lock, SeqCst);
        }
        let never = libc::timespec { tv_sec: 1 << 33, tv_nsec: 0 };
        loop {
            // SAFETY: the caller's promise on the lock.
            let result = unsafe { libc::pthread_mutex_timedlock(lock, &raw const never) };
            // OpenBLAS goes on whatever is returned, so only with the lock.
            if result != libc::ETIMEDOUT {
                return result;
            }
        }
    }

    extern "C" fn before() {
        let lock = OF_BUFFERS.load(SeqCst);
        if !lock.is_null() {
            // SAFETY: a lock of OpenBLAS, which lives as long as this library.
            unsafe { take(lock) };
        }
    }

    extern "C" fn after() {
        let lock = OF_BUFFERS.load(SeqCst);
        if !lock.is_null() {
            // SAFETY: this thread, which is the child's as well, has taken it in `before`.
            unsafe { libc::pthread_mutex_unlock(lock) };
        }
    }

    /// Prepare for forks. `first_call` takes a buffer of OpenBLAS for the first time.
    pub(crate) fn prepare(first_call: impl FnOnce()) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            IS_NEXT.store(true, SeqCst);
            first_call();
            IS_NEXT.store(false, SeqCst);
            // SAFETY: the handlers live as long as this library.
            unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after)) };
        });
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_lock_of_the_buffers_is_known_and_forks_leave_it_free() {
            let _buffers = crate::linalg::reserve_buffers(1).unwrap();
            let lock = OF_BUFFERS.load(SeqCst);
            assert!(!lock.is_null());
            before();
            // SAFETY: a lock that this thread has.
            assert_eq!(unsafe { libc::pthread_mutex_trylock(lock) }, libc::EBUSY);
            after();
            crate::linalg::warm_up(); // takes it
        }
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod guarded {
    /// Other systems are as safe as they are.
    pub(crate) fn prepare(first_call: impl FnOnce()) {
        first_call();
    }
}

pub(super) use guarded::prepare;
