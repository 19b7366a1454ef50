//! The LAPACK routines this crate calls, each behind a safe function with checked sizes.
//!
//! `lapack-sys` directly: workspaces are our own, so that a refusal of memory is an error. The reduction of large
//! matrices in two stages is our own: LAPACK has no routine for the vectors of its second stage.
#![allow(unsafe_code)]

mod band;
mod blocks;
mod bulge;
mod cholesky;
mod lanes;
mod one_stage;
mod orthogonal;
mod pivoted;
mod sweeps;
mod tiles;
mod tridiagonal;
mod two_stage;

use crate::error::{Error, Result};

pub(crate) use cholesky::{Cholesky, solve_positive};
pub(crate) use orthogonal::{check_svd_order, row_coordinates, singular_values, thin_svd};
pub(crate) use pivoted::{PivotedCholesky, scale_to_unit_diagonal};
pub(crate) use tridiagonal::TridiagonalForm;

/// n² stays below 2³¹, the range of LAPACK's 32-bit sizes.
const MAX_ORDER: usize = 46_300;

fn int(n: usize) -> i32 {
    i32::try_from(n).expect("matrix orders are checked against MAX_ORDER")
}

/// Refuse an order that LAPACK cannot address.
pub(crate) fn check_order(order: usize) -> Result<()> {
    if order <= MAX_ORDER { Ok(()) } else { Err(Error::TooLarge { order, limit: MAX_ORDER }) }
}

fn checked(routine: &'static str, info: i32, order: usize) -> Result<()> {
    if info == 0 { Ok(()) } else { Err(Error::Lapack { routine, info, order }) }
}
