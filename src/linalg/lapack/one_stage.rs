//! The tridiagonal form of a symmetric matrix in one stage, T = QᵀAQ, by `?sytrd`.
//!
//! A large matrix takes its panels one by one (`?latrd`), as `?sytrd` does inside: each makes some columns
//! tridiagonal and returns W with which the rest becomes A − V Wᵀ − W Vᵀ. So it can be interrupted, and
//! threads share the updates.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

use cblas_sys::CBLAS_TRANSPOSE::{CblasNoTrans, CblasTrans};

use crate::error::Result;
use crate::threads::Context;

use super::super::memory::zeros;
use super::blocks::{Block, product_add};
use super::tridiagonal::FORM;
use super::{checked, int};

/// The order from which on panels are taken one by one; the rest of lower order is reduced by one call.
const LARGE: usize = 1024;
/// Columns of the rest that are updated at a time.
const UPDATED: usize = 256;

unsafe extern "C" {
    fn dlatrd_(
        uplo: *const c_char,
        n: *const c_int,
        nb: *const c_int,
        a: *mut f64,
        lda: *const c_int,
        e: *mut f64,
        tau: *mut f64,
        w: *mut f64,
        ldw: *const c_int,
    );
}

/// T and the reflectors of Q.
pub(super) struct OneStage {
    pub(super) diagonal: Vec<f64>,
    pub(super) off_diagonal: Vec<f64>,
    pub(super) tau: Vec<f64>,
}

/// Columns of a panel of a matrix of order m. Every column reads the whole matrix, which takes
/// milliseconds from order 2,048 on, and a panel is not interrupted.
fn panel_width(m: usize) -> usize {
    match m {
        0..=2048 => 32,
        2049..=4096 => 16,
        _ => 8,
    }
}

/// Reduces the matrix whose column-major lower triangle is given, and leaves the reflectors below the
/// diagonal.
pub(super) fn reduce(matrix: &mut [f64], order: usize, context: &Context<'_>) -> Result<OneStage> {
    assert_eq!(matrix.len(), order * order);
    let beside = order.saturating_sub(1).max(1);
    let mut diagonal = zeros::<f64>(order, FORM)?;
    let (mut off_diagonal, mut tau) = (zeros::<f64>(beside, FORM)?, zeros::<f64>(beside, FORM)?);
    let mut w = Vec::new();
    let mut start = 0;
    while order - start >= LARGE {
        context.check()?;
        let m = order - start;
        let width = panel_width(m);
        if w.is_empty() {
            w = zeros::<f64>(order * 32, "the workspace of a tridiagonal reduction")?;
        }
        let block = &mut matrix[start * order + start..];
        assert!(block.len() == (m - 1) * order + m && w.len() >= m * width && m > width);
        // SAFETY: the block is m × m, its columns `order` numbers apart; `width` numbers of the two
        // outputs are written, and m × width of the workspace, as asserted.
        unsafe {
            dlatrd_(
                c"L".as_ptr(),
                &int(m),
                &int(width),
                block.as_mut_ptr(),
                &int(order),
                off_diagonal[start..start + width].as_mut_ptr(),
                tau[start..start + width].as_mut_ptr(),
                w.as_mut_ptr(),
                &int(m),
            );
        }
        let (panel, rest) = matrix[start * order..].split_at_mut(width * order);
        subtract(panel, &w, (order, start, width), rest, context)?;
        for (j, column) in panel.chunks_exact_mut(order).enumerate() {
            diagonal[start + j] = column[start + j];
            column[start + j + 1] = off_diagonal[start + j];
        }
        start += width;
    }
    let m = order - start;
    let lwork = 64 * m.max(1);
    let mut work = zeros::<f64>(lwork, "the workspace of a tridiagonal reduction")?;
    let mut info = 0;
    let last = if m == 0 { &mut [] } else { &mut matrix[start * order + start..] };
    // SAFETY: the last block is m × m, its columns `order` numbers apart; the outputs hold m and m − 1
    // numbers, the workspace lwork.
    unsafe {
        lapack_sys::dsytrd_(
            c"L".as_ptr(),
            &int(m),
            last.as_mut_ptr(),
            &int(order),
            diagonal[start..].as_mut_ptr(),
            off_diagonal[start..].as_mut_ptr(),
            tau[start..].as_mut_ptr(),
            work.as_mut_ptr(),
            &int(lwork),
            &raw mut info,
        );
    }
    checked("dsytrd", info, m)?;
    off_diagonal.truncate(order.saturating_sub(1));
    Ok(OneStage { diagonal, off_diagonal, tau })
}

/// Subtracts V Wᵀ + W Vᵀ from the lower triangle of the rest, for the V that a panel of columns holds
/// below its triangle and W (m, width), by parts that the order alone decides.
fn subtract(
    panel: &[f64],
    w: &[f64],
    (order, start, width): (usize, usize, usize),
    rest: &mut [f64],
    context: &Context<'_>,
) -> Result<()> {
    let (m, next) = (order - start, start + width);
    context.for_each_chunk(rest, UPDATED * order, |i, part| {
        let at = next + i * UPDATED;
        let v = (CblasNoTrans, Block { values: &panel[at..], stride: order });
        let w = (CblasNoTrans, Block { values: &w[at - start..], stride: m });
        let (across_v, across_w) = ((CblasTrans, v.1), (CblasTrans, w.1));
        let sizes = (order - at, part.len() / order, width);
        product_add(-1.0, v, across_w, (&mut part[at..], order), sizes);
        product_add(-1.0, w, across_v, (&mut part[at..], order), sizes);
        Ok(())
    })
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact values
mod tests {
    use super::super::cholesky::tests::stopped_after;
    use super::*;

    #[test]
    fn panels_reduce_as_one_call_does() {
        let order = LARGE + 150;
        let number = |i: usize, j: usize| ((i * j) as f64 * 0.618 + (i + j) as f64).sin();
        let matrix: Vec<f64> = (0..order * order)
            .map(|at| number((at / order).min(at % order), (at / order).max(at % order)))
            .collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let parallel = Context::new(Some(&pool), &|| false);
        let (mut one, mut many) = (matrix.clone(), matrix.clone());
        let found = reduce(&mut one, order, &Context::serial()).unwrap();
        let again = reduce(&mut many, order, &parallel).unwrap();
        assert!(one == many && found.diagonal == again.diagonal, "bits depend on threads");
        // The trace, the Frobenius norm and QᵀAQ = T on a vector keep.
        let trace: f64 = matrix.iter().step_by(order + 1).sum();
        let squares: f64 = matrix.iter().map(|a| a * a).sum();
        let of_t: f64 = found.diagonal.iter().sum();
        let square = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>();
        let squares_of_t = square(&found.diagonal) + 2.0 * square(&found.off_diagonal);
        assert!((trace - of_t).abs() < 1e-12 * squares.sqrt());
        assert!((squares - squares_of_t).abs() < 1e-12 * squares);
        let stopped = stopped_after(3, |context| reduce(&mut matrix.clone(), order, context));
        assert_eq!(stopped, Some(crate::error::Error::Interrupted));
    }
}
