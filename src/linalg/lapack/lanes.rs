//! Loops over a fixed count of numbers, which stay in registers.
#![allow(clippy::inline_always)] // into functions that are compiled for several machines

/// Whether a function marked with `multiversion` is compiled for a machine that multiplies and adds
/// in one instruction.
macro_rules! is_fused {
    () => {
        multiversion::target::target_cfg_f!(any(target_feature = "fma", target_arch = "aarch64"))
    };
}
pub(super) use is_fused;

/// `a b + c`, in one rounding where this is one instruction.
#[inline(always)]
pub(super) fn multiply_add<const FUSED: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `y += factor · x`.
#[inline(always)]
pub(super) fn add_scaled<const N: usize, const FUSED: bool>(
    factor: f64,
    x: &[f64; N],
    y: &mut [f64; N],
) {
    for i in 0..N {
        y[i] = multiply_add::<FUSED>(factor, x[i], y[i]);
    }
}

/// xᵀy for N a power of two, by sums of halves.
#[inline(always)]
pub(super) fn dot<const N: usize>(x: &[f64; N], y: &[f64; N]) -> f64 {
    let mut sums = [0.0; N];
    for i in 0..N {
        sums[i] = x[i] * y[i];
    }
    let mut half = N / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

/// A factor that the compiler cannot look behind: it would otherwise vectorise a loop across columns,
/// by gathers and scatters, instead of along them.
#[inline(always)]
pub(super) fn opaque(factor: f64) -> f64 {
    std::hint::black_box(factor)
}
