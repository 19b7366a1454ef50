//! The OpenBLAS of the package scipy-openblas32, under the names by which BLAS and LAPACK are
//! called.
//!
//! NumPy and SciPy use this build on macOS, Windows and musl. Its symbols begin with `scipy_`, so
//! that the libraries of several packages in one process do not clash. Here `dgemm_` jumps to
//! `scipy_dgemm_`, with all arguments in place.
#![allow(unsafe_code)]

/// The jump of the processor.
#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    () => {
        "jmp "
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    () => {
        "b "
    };
}

/// The names of the object format: what C prepends, what makes a name private to this library, and
/// what marks a function of another one.
#[cfg(target_vendor = "apple")]
macro_rules! spell {
    (prefix) => {
        "_"
    };
    (private) => {
        ".private_extern "
    };
    (elsewhere) => {
        ""
    };
}
#[cfg(target_os = "windows")]
macro_rules! spell {
    (prefix) => {
        ""
    };
    (private) => {
        ".globl "
    }; // only what is listed is exported
    (elsewhere) => {
        ""
    };
}
#[cfg(not(any(target_vendor = "apple", target_os = "windows")))]
macro_rules! spell {
    (prefix) => {
        ""
    };
    (private) => {
        ".hidden "
    };
    (elsewhere) => {
        "@PLT"
    };
}

macro_rules! rename {
    ($($name:literal)*) => {$(
        std::arch::global_asm!(
            ".p2align 4",
            concat!(".globl ", spell!(prefix), $name),
            concat!(spell!(private), spell!(prefix), $name),
            concat!(spell!(prefix), $name, ":"),
            concat!(jump!(), spell!(prefix), "scipy_", $name, spell!(elsewhere)),
        );
    )*};
}

// `tests/layers.rs` holds this list against the calls.
rename! {
    "cblas_dgemm" "cblas_dsymm" "cblas_dsyrk" "cblas_dtrmm" "cblas_dtrsm" "cblas_sgemm" "cblas_ssyrk"
    "dgeqrf_" "dgesdd_" "dlarfb_" "dlarft_" "dlatrd_" "dormtr_" "dpotrf_" "dpotrs_" "dpstrf_"
    "dsterf_" "dstevr_" "dsytrd_" "dtrtrs_"
    "openblas_get_config" "openblas_get_corename" "openblas_set_num_threads"
}
