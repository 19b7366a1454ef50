//! OpenBLAS itself: pinned to one thread, warmed up, described.
//!
//! In the static build on Linux, hidden symbols replace OpenBLAS's reading of environment variables,
//! so that it starts with one thread whatever `OPENBLAS_NUM_THREADS` says, and starts none of its own.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};

/// Defines hidden functions that return a constant: hidden, so that they replace OpenBLAS's own
/// in this library and are seen by nobody outside it.
#[cfg(all(openblas_static, target_os = "linux"))]
macro_rules! answer {
    ($($name:literal => $value:literal),* $(,)?) => {$(
        #[cfg(target_arch = "x86_64")]
        std::arch::global_asm!(
            concat!(".globl ", $name), concat!(".hidden ", $name), concat!($name, ":"),
            concat!("mov eax, ", $value), "ret"
        );
        #[cfg(target_arch = "aarch64")]
        std::arch::global_asm!(
            concat!(".globl ", $name), concat!(".hidden ", $name), concat!($name, ":"),
            concat!("mov w0, #", $value), "ret"
        );
    )*};
}
#[cfg(all(openblas_static, target_os = "linux"))]
answer! {
    "openblas_num_threads_env" => "1",
    "openblas_omp_num_threads_env" => "0",
    "openblas_goto_num_threads_env" => "0",
    "openblas_thread_timeout" => "0",
    "openblas_block_factor" => "0",
    "openblas_verbose" => "0",
    "openblas_omp_adaptive_env" => "0",
    "openblas_read_env" => "0",
}
#[cfg(all(openblas_static, target_os = "linux"))]
unsafe extern "C" {
    fn openblas_num_threads_env() -> c_int;
}

unsafe extern "C" {
    fn openblas_set_num_threads(n: c_int);
    fn openblas_get_config() -> *const c_char;
    fn openblas_get_corename() -> *const c_char;
}

/// The OpenBLAS in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBlas {
    /// Version and build options.
    pub config: String,
    /// The kernels it chose for this processor.
    pub core: String,
    /// Whether it is linked statically, private to this library.
    pub is_static: bool,
}

/// Describes the OpenBLAS in use.
#[must_use]
pub fn openblas() -> OpenBlas {
    // SAFETY: both return pointers to static, NUL-terminated strings.
    let (config, core) =
        unsafe { (CStr::from_ptr(openblas_get_config()), CStr::from_ptr(openblas_get_corename())) };
    OpenBlas {
        config: config.to_string_lossy().into_owned(),
        core: core.to_string_lossy().into_owned(),
        is_static: cfg!(openblas_static),
    }
}

/// Pin OpenBLAS to one thread and check that it multiplies. Call once per thread that will do linear
/// algebra, with [`super::reserve_buffers`] held.
///
/// # Panics
/// If OpenBLAS computes a wrong product: a broken build must not go on.
pub fn warm_up() {
    // Named here so that the linker takes the functions above, not OpenBLAS's own.
    #[cfg(all(openblas_static, target_os = "linux"))]
    // SAFETY: one of the constant functions defined above.
    assert_eq!(unsafe { openblas_num_threads_env() }, 1);
    // SAFETY: sets a counter inside OpenBLAS.
    unsafe { openblas_set_num_threads(1) };
    let mut gram = vec![0.0; 64 * 64];
    super::blas::gram_add(&vec![1.0; 64 * 64], 64, &mut gram);
    assert!((gram[0] - 64.0).abs() < 1e-9, "OpenBLAS returned a wrong product");
}
