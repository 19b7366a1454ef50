//! The tridiagonal form of a symmetric matrix.
#![allow(unsafe_code)]

use crate::error::Result;
use crate::threads::Context;

use super::super::memory::{copied, filled, reserved, zeros};
use super::one_stage::{self, OneStage};
use super::two_stage::{TwoStage, has_registers};
use super::{check_order, checked, int};

/// The order from which on two stages are faster than one, by a sixth with ten vectors.
const TWO_STAGES: usize = 1024;
/// Vectors are few if there are at most order/16 of them. Two stages take twice as long for each, and
/// with order/10 of them as long as one stage altogether at order 1,024.
const FEW: usize = 16;
/// The most vectors that one task takes to T's basis.
const VECTORS: usize = 64;
/// Multiplications of one call on vectors, about a tenth of a second.
const CALL: usize = 1_000_000_000;

pub(super) const FORM: &str = "a tridiagonal form";

/// The tridiagonal form T = QᵀAQ of a symmetric matrix, with Q kept as reflectors.
pub(crate) struct TridiagonalForm {
    pub(crate) diagonal: Vec<f64>,
    pub(crate) off_diagonal: Vec<f64>,
    basis: Basis,
}

/// The reflectors whose product is Q.
enum Basis {
    /// Of `?sytrd`: reflectors (order, order) below the diagonal, and their factors.
    OneStage { reflectors: Vec<f64>, tau: Vec<f64> },
    /// Of a reduction by way of a band.
    TwoStage(TwoStage),
}

impl TridiagonalForm {
    /// Reduces the symmetric matrix of this order whose row-major upper triangle is given, in one stage.
    pub(crate) fn reduce(
        mut matrix: Vec<f64>,
        order: usize,
        context: &Context<'_>,
    ) -> Result<Self> {
        assert_eq!(matrix.len(), order * order);
        check_order(order)?;
        // A row-major upper triangle is a column-major lower one.
        let OneStage { diagonal, off_diagonal, tau } =
            one_stage::reduce(&mut matrix, order, context)?;
        Ok(Self { diagonal, off_diagonal, basis: Basis::OneStage { reflectors: matrix, tau } })
    }

    /// Reduces the matrix, and replaces every vector v (one after the other in `vectors`) by Qᵀv. Large
    /// matrices with few vectors are reduced in two stages where the machine has AVX-512. This is
    /// decided by the order and the number of vectors alone.
    pub(crate) fn reduce_with(
        matrix: Vec<f64>,
        order: usize,
        vectors: &mut [f64],
        context: &Context<'_>,
    ) -> Result<Self> {
        let is_large = order >= TWO_STAGES && vectors.len() <= matrix.len() / FEW;
        let form = if is_large && has_registers() {
            Self::reduce_in_two_stages(matrix, order, context)?
        } else {
            Self::reduce(matrix, order, context)?
        };
        context.check()?;
        // Parts of one size, cut by the number of vectors alone.
        let n_vectors = vectors.len() / order.max(1);
        let size = n_vectors.div_ceil(n_vectors.div_ceil(VECTORS).max(1)).max(1) * order.max(1);
        context.for_each_chunk(vectors, size, |_, part| form.rotate(part, context))?;
        Ok(form)
    }

    /// Reduces the matrix in two stages, by way of a band.
    pub(super) fn reduce_in_two_stages(
        matrix: Vec<f64>,
        order: usize,
        context: &Context<'_>,
    ) -> Result<Self> {
        assert_eq!(matrix.len(), order * order);
        check_order(order)?;
        let (diagonal, off_diagonal, basis) = TwoStage::reduce(matrix, order, context)?;
        Ok(Self { diagonal, off_diagonal, basis: Basis::TwoStage(basis) })
    }

    pub(crate) fn order(&self) -> usize {
        self.diagonal.len()
    }

    /// Replaces every vector v (one after the other in `vectors`) by Qᵀv.
    pub(crate) fn rotate(&self, vectors: &mut [f64], context: &Context<'_>) -> Result<()> {
        self.apply(vectors, false, context)
    }

    /// Replaces every vector v by Qv.
    pub(crate) fn rotate_back(&self, vectors: &mut [f64], context: &Context<'_>) -> Result<()> {
        self.apply(vectors, true, context)
    }

    fn apply(&self, vectors: &mut [f64], back: bool, context: &Context<'_>) -> Result<()> {
        let order = self.order();
        if vectors.is_empty() || order == 0 {
            return Ok(());
        }
        assert_eq!(vectors.len() % order, 0);
        match &self.basis {
            Basis::OneStage { reflectors, tau } => {
                let width = (CALL / (order * order)).max(1);
                vectors.chunks_mut(width.saturating_mul(order)).try_for_each(|part| {
                    context.check()?;
                    apply_reflectors(reflectors, tau, part, back)
                })
            }
            Basis::TwoStage(basis) => basis.rotate(vectors, back, context),
        }
    }

    /// The `count` largest eigenvalues, descending, and their vectors one after the other
    /// (`?stevr`), in the basis of the matrix that was reduced. Cost of a vector: order².
    pub(crate) fn largest(
        &self,
        count: usize,
        context: &Context<'_>,
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        let order = self.order();
        assert!(count <= order);
        if count == 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut diagonal = copied(&self.diagonal, FORM)?;
        let mut off_diagonal = zeros::<f64>(order, FORM)?;
        off_diagonal[..order - 1].copy_from_slice(&self.off_diagonal);
        let mut values = zeros::<f64>(order, FORM)?;
        let mut vectors = zeros::<f64>(order * count, "the principal directions")?;
        let mut support = filled(0, 2 * count, "the supports of the directions")?;
        let mut work = zeros::<f64>(20 * order, "the workspace of an eigendecomposition")?;
        let mut counts = filled(0, 10 * order, "the workspace of an eigendecomposition")?;
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
        let mut descending = reserved(vectors.len(), "the principal directions")?;
        vectors.chunks_exact(order).rev().for_each(|v| descending.extend_from_slice(v));
        self.rotate_back(&mut descending, context)?;
        Ok((values, descending))
    }

    /// All eigenvalues, descending (`?sterf`). Cost: order².
    pub(crate) fn eigenvalues(&self) -> Result<Vec<f64>> {
        let (n, mut info) = (int(self.order()), 0);
        let mut values = copied(&self.diagonal, FORM)?;
        let mut off_diagonal = copied(&self.off_diagonal, FORM)?;
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

/// Replaces every vector v by Qᵀv, or by Qv where `back`, for the reflectors of `?sytrd` (`?ormtr`).
fn apply_reflectors(
    reflectors: &[f64],
    tau: &[f64],
    vectors: &mut [f64],
    back: bool,
) -> Result<()> {
    let order = reflectors.len().isqrt();
    let columns = vectors.len() / order;
    let lwork = 64 * columns + 65 * 64;
    let mut work = zeros::<f64>(lwork, "the workspace of a basis change")?;
    let (n, m, mut info) = (int(order), int(columns), 0);
    let trans = if back { c"N" } else { c"T" };
    // SAFETY: reflectors and tau are those that dsytrd returned for this order with uplo = L;
    // vectors hold order × columns numbers, column-major; the workspace is at least columns ×
    // 64 + 65 × 64.
    unsafe {
        lapack_sys::dormtr_(
            c"L".as_ptr(),
            c"L".as_ptr(),
            trans.as_ptr(),
            &raw const n,
            &raw const m,
            reflectors.as_ptr(),
            &raw const n,
            tau.as_ptr(),
            vectors.as_mut_ptr(),
            &raw const n,
            work.as_mut_ptr(),
            &int(lwork),
            &raw mut info,
        );
    }
    checked("dormtr", info, order)
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // the same bits
mod tests {
    use super::*;

    /// A symmetric matrix and some vectors.
    fn problem(order: usize, count: usize) -> (Vec<f64>, Vec<f64>) {
        let number = |i: usize, j: usize| ((i * 7 + j * 13) % 101) as f64 / 101.0 - 0.5;
        let entry = |at: usize| number((at / order).min(at % order), (at / order).max(at % order));
        let matrix = (0..order * order).map(entry).collect();
        (matrix, (0..count * order).map(|at| number(at / order, at % order)).collect())
    }

    fn reduce(order: usize, count: usize) -> (TridiagonalForm, Vec<f64>) {
        let (matrix, mut vectors) = problem(order, count);
        let context = Context::serial();
        let form = TridiagonalForm::reduce_with(matrix, order, &mut vectors, &context).unwrap();
        (form, vectors)
    }

    #[test]
    fn small_matrices_and_many_vectors_take_one_stage() {
        for (order, count) in [(1, 1), (100, 3), (100, 200)] {
            let (form, vectors) = reduce(order, count);
            let (matrix, mut expected) = problem(order, count);
            let one = TridiagonalForm::reduce(matrix, order, &Context::serial()).unwrap();
            one.rotate(&mut expected, &Context::serial()).unwrap();
            assert_eq!(form.diagonal, one.diagonal);
            assert_eq!(form.off_diagonal, one.off_diagonal);
            // The same bits where all vectors are one part; products of other sizes round otherwise.
            let tolerance = if count <= VECTORS { 0.0 } else { 1e-14 };
            let pairs = vectors.iter().zip(&expected);
            let error = pairs.fold(0.0_f64, |largest, (a, b)| largest.max((a - b).abs()));
            assert!(error <= tolerance, "{order} {count}: {error:e}");
        }
        let (form, _) = reduce(TWO_STAGES, TWO_STAGES / FEW + 1);
        assert!(matches!(form.basis, Basis::OneStage { .. }));
    }

    #[test]
    fn large_matrices_with_few_vectors_take_two_stages() {
        let (form, vectors) = reduce(TWO_STAGES, 2);
        assert_eq!(matches!(form.basis, Basis::TwoStage(_)), has_registers());
        let (matrix, expected) = problem(TWO_STAGES, 2);
        // vᵀAv = (Qᵀv)ᵀT(Qᵀv).
        for (v, rotated) in expected.chunks_exact(TWO_STAGES).zip(vectors.chunks_exact(TWO_STAGES))
        {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let product: Vec<f64> =
                matrix.chunks_exact(TWO_STAGES).map(|row| dot(row, v)).collect();
            let of_diagonal: f64 = rotated.iter().zip(&form.diagonal).map(|(r, d)| r * r * d).sum();
            let beside = rotated.windows(2).zip(&form.off_diagonal);
            let found = of_diagonal + 2.0 * beside.map(|(r, off)| r[0] * r[1] * off).sum::<f64>();
            let size = form.largest_row() * dot(v, v);
            assert!((found - dot(v, &product)).abs() <= 1e-13 * size, "{found}");
        }
    }
}
