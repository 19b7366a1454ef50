//! The tridiagonal form of a symmetric matrix.
#![allow(unsafe_code)]

use std::ffi::c_char;

use crate::error::Result;

use super::super::memory::zeros;
use super::{check_order, checked, int};

/// The tridiagonal form T = QᵀAQ of a symmetric matrix (`?sytrd`), with Q kept as reflectors.
pub(crate) struct TridiagonalForm {
    pub(crate) diagonal: Vec<f64>,
    pub(crate) off_diagonal: Vec<f64>,
    reflectors: Vec<f64>,
    tau: Vec<f64>,
}

impl TridiagonalForm {
    /// Reduces the symmetric matrix of this order whose row-major upper triangle is given.
    pub(crate) fn reduce(mut matrix: Vec<f64>, order: usize) -> Result<Self> {
        assert_eq!(matrix.len(), order * order);
        check_order(order)?;
        let mut diagonal = vec![0.0; order];
        let mut off_diagonal = vec![0.0; order.saturating_sub(1).max(1)];
        let mut tau = off_diagonal.clone();
        let lwork = 64 * order.max(1);
        let mut work = zeros::<f64>(lwork, "the workspace of a tridiagonal reduction")?;
        let (n, mut info) = (int(order), 0);
        // SAFETY: matrix is order × order with leading dimension order; the outputs hold order and
        // order - 1 numbers, the workspace lwork; a row-major upper triangle is a column-major
        // lower one.
        unsafe {
            lapack_sys::dsytrd_(
                c"L".as_ptr(),
                &raw const n,
                matrix.as_mut_ptr(),
                &raw const n,
                diagonal.as_mut_ptr(),
                off_diagonal.as_mut_ptr(),
                tau.as_mut_ptr(),
                work.as_mut_ptr(),
                &int(lwork),
                &raw mut info,
            );
        }
        checked("dsytrd", info, order)?;
        off_diagonal.truncate(order.saturating_sub(1));
        Ok(Self { diagonal, off_diagonal, reflectors: matrix, tau })
    }

    pub(crate) fn order(&self) -> usize {
        self.diagonal.len()
    }

    /// Replaces every vector v (one after the other in `vectors`) by Qᵀv.
    pub(crate) fn rotate(&self, vectors: &mut [f64]) -> Result<()> {
        self.apply(c"T".as_ptr(), vectors)
    }

    /// Replaces every vector v by Qv.
    pub(crate) fn rotate_back(&self, vectors: &mut [f64]) -> Result<()> {
        self.apply(c"N".as_ptr(), vectors)
    }

    fn apply(&self, trans: *const c_char, vectors: &mut [f64]) -> Result<()> {
        let order = self.order();
        if vectors.is_empty() || order == 0 {
            return Ok(());
        }
        assert_eq!(vectors.len() % order, 0);
        let columns = vectors.len() / order;
        let lwork = 64 * columns + 65 * 64;
        let mut work = zeros::<f64>(lwork, "the workspace of a basis change")?;
        let (n, m, mut info) = (int(order), int(columns), 0);
        // SAFETY: reflectors and tau are those that dsytrd returned for this order with uplo = L;
        // vectors hold order × columns numbers, column-major; the workspace is at least columns ×
        // 64 + 65 × 64.
        unsafe {
            lapack_sys::dormtr_(
                c"L".as_ptr(),
                c"L".as_ptr(),
                trans,
                &raw const n,
                &raw const m,
                self.reflectors.as_ptr(),
                &raw const n,
                self.tau.as_ptr(),
                vectors.as_mut_ptr(),
                &raw const n,
                work.as_mut_ptr(),
                &int(lwork),
                &raw mut info,
            );
        }
        checked("dormtr", info, order)
    }

    /// The `count` largest eigenvalues, descending, and their vectors one after the other
    /// (`?stevr`), in the basis of the matrix that was reduced. Cost of a vector: order².
    pub(crate) fn largest(&self, count: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        let order = self.order();
        assert!(count <= order);
        if count == 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut diagonal = self.diagonal.clone();
        let mut off_diagonal = self.off_diagonal.clone();
        off_diagonal.push(0.0);
        let mut values = vec![0.0; order];
        let mut vectors = zeros::<f64>(order * count, "the principal directions")?;
        let mut support = vec![0; 2 * count];
        let mut work = zeros::<f64>(20 * order, "the workspace of an eigendecomposition")?;
        let mut counts = vec![0; 10 * order];
        let (n, mut found, mut info) = (int(order), 0, 0);
        // SAFETY: n and n - 1 numbers on and beside the diagonal, room for n values, count vectors
        // of n and their 2 · count supports, and the workspaces of 20 n and 10 n that are asked for.
        unsafe {
            lapack_sys::dstevr_(
                c"V".as_ptr(),
                c"I".as_ptr(),
                &raw const n,
                diagonal.as_mut_ptr(),
                off_diagonal.as_mut_ptr(),
                &0.0,
                &0.0,
                &int(order - count + 1),
                &raw const n,
                &0.0,
                &raw mut found,
                values.as_mut_ptr(),
                vectors.as_mut_ptr(),
                &raw const n,
                support.as_mut_ptr(),
                work.as_mut_ptr(),
                &int(work.len()),
                counts.as_mut_ptr(),
                &int(counts.len()),
                &raw mut info,
            );
        }
        checked("dstevr", info, order)?;
        checked("dstevr", i32::from(found != int(count)), order)?;
        values.truncate(count);
        values.reverse();
        let ascending = vectors.chunks_exact(order);
        let mut descending: Vec<f64> = ascending.rev().flatten().copied().collect();
        self.rotate_back(&mut descending)?;
        Ok((values, descending))
    }

    /// All eigenvalues, descending (`?sterf`). Cost: order².
    pub(crate) fn eigenvalues(&self) -> Result<Vec<f64>> {
        let (n, mut info) = (int(self.order()), 0);
        let mut values = self.diagonal.clone();
        let mut off_diagonal = self.off_diagonal.clone();
        // SAFETY: n numbers on and n - 1 beside the diagonal; for n = 0 neither is read.
        unsafe {
            lapack_sys::dsterf_(
                &raw const n,
                values.as_mut_ptr(),
                off_diagonal.as_mut_ptr(),
                &raw mut info,
            );
        }
        checked("dsterf", info, self.order())?;
        values.reverse();
        Ok(values)
    }

    /// The largest sum of magnitudes of a row, which no eigenvalue exceeds (Gershgorin).
    pub(crate) fn largest_row(&self) -> f64 {
        let off = |i: usize| self.off_diagonal.get(i).map_or(0.0, |off| off.abs());
        let row = |(i, d): (usize, &f64)| d.abs() + off(i) + if i > 0 { off(i - 1) } else { 0.0 };
        self.diagonal.iter().enumerate().map(row).fold(0.0, f64::max)
    }

    /// The number of eigenvalues below a level, from its Sturm sequence: the negative pivots of
    /// T − level I.
    pub(crate) fn count_below(&self, level: f64) -> usize {
        let (mut count, mut carried) = (0, 0.0);
        for (i, diagonal) in self.diagonal.iter().enumerate() {
            let mut pivot = diagonal - level - carried;
            if pivot == 0.0 {
                pivot = -f64::MIN_POSITIVE; // an eigenvalue at the level counts
            }
            count += usize::from(pivot < 0.0);
            carried = self.off_diagonal.get(i).map_or(0.0, |off| off * (off / pivot));
        }
        count
    }
}
