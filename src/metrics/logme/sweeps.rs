//! Sweeps through the tridiagonal form at [`LANES`] values of t side by side: a chain of dependent
//! operations from row to row, which lanes fill.
//!
//! Nothing here is fused or reordered, so every machine computes the same bits.

use multiversion::multiversion;

use crate::error::Result;
use crate::linalg::lapack::TridiagonalForm;
use crate::linalg::memory::reserved;

const FACTORS: &str = "the factors of a tridiagonal form";
const SOLVED: &str = "the solutions of a tridiagonal form";

/// Number of values of t that are evaluated side by side.
pub(super) const LANES: usize = 8;
pub(super) type Lanes = [f64; LANES];

/// T + tI = L P Lᵀ, row by row, at each t.
#[derive(Default)]
pub(super) struct Factors {
    /// 1/pivot.
    inverse: Vec<Lanes>,
    /// Below the diagonal of L, at the row above it.
    multiplier: Vec<Lanes>,
    /// Σ ln of the pivots over a scale.
    pub(super) log: Lanes,
    /// tr (T + tI)⁻¹.
    pub(super) trace: Lanes,
}

/// The pivots of T + tI, whose product is its determinant, while Σ p'/p is the trace of its inverse.
/// They are multiplied over `scale`, a number above all eigenvalues.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn factorise(form: &TridiagonalForm, scale: f64, ts: &Lanes) -> Result<Factors> {
    const RUN: usize = 16; // pivots to a logarithm: each at least 1e-13 of the scale
    let order = form.diagonal.len();
    let mut inverse = reserved(order, FACTORS)?;
    let mut multiplier = reserved(order, FACTORS)?;
    let over = 1.0 / scale;
    let [mut log, mut trace, mut below, mut carried] = [[0.0; LANES]; 4];
    let [mut product, mut slope] = [[1.0; LANES], [0.0; LANES]];
    for (i, diagonal) in form.diagonal.iter().enumerate() {
        let off = form.off_diagonal.get(i).copied().unwrap_or(0.0);
        let mut reciprocal = [0.0; LANES];
        for lane in 0..LANES {
            let pivot = diagonal + ts[lane] - carried[lane];
            reciprocal[lane] = 1.0 / pivot;
            slope[lane] = 1.0 + below[lane] * below[lane] * slope[lane];
            trace[lane] += slope[lane] * reciprocal[lane];
            product[lane] *= pivot * over;
            below[lane] = off * reciprocal[lane];
            carried[lane] = off * below[lane];
        }
        inverse.push(reciprocal);
        multiplier.push(below);
        if i % RUN == RUN - 1 || i + 1 == order {
            for lane in 0..LANES {
                log[lane] += product[lane].ln();
                product[lane] = 1.0;
            }
        }
    }
    Ok(Factors { inverse, multiplier, log, trace })
}

/// L⁻¹v for one vector in all lanes.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn forward(factors: &Factors, vector: &[f64]) -> Result<Vec<Lanes>> {
    let (mut y, mut below) = ([0.0; LANES], [0.0; LANES]);
    let mut solved = reserved(vector.len(), SOLVED)?;
    for (value, multiplier) in vector.iter().zip(&factors.multiplier) {
        for lane in 0..LANES {
            y[lane] = value - below[lane] * y[lane];
        }
        solved.push(y);
        below = *multiplier;
    }
    Ok(solved)
}

/// L⁻¹v for a vector in each lane.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn forward_each(factors: &Factors, vectors: &[&[f64]; LANES]) -> Result<Vec<Lanes>> {
    let (mut y, mut below) = ([0.0; LANES], [0.0; LANES]);
    let mut solved = reserved(factors.multiplier.len(), SOLVED)?;
    for (i, multiplier) in factors.multiplier.iter().enumerate() {
        for lane in 0..LANES {
            y[lane] = vectors[lane][i] - below[lane] * y[lane];
        }
        solved.push(y);
        below = *multiplier;
    }
    Ok(solved)
}

/// From L⁻¹u and L⁻¹y: uᵀ(T + tI)⁻¹y.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn product(factors: &Factors, u: &[Lanes], y: &[Lanes]) -> Lanes {
    let mut sum = [0.0; LANES];
    for ((u, y), inverse) in u.iter().zip(y).zip(&factors.inverse) {
        for lane in 0..LANES {
            sum[lane] += u[lane] * (y[lane] * inverse[lane]); // u may be of the size of T
        }
    }
    sum
}

/// For one vector in all lanes, without keeping L⁻¹y: yᵀ(T + tI)⁻¹y, and uᵀ(T + tI)⁻¹y from L⁻¹u.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn products(factors: &Factors, u: &[Lanes], vector: &[f64]) -> (Lanes, Lanes) {
    let [mut yy, mut uy, mut y, mut below] = [[0.0; LANES]; 4];
    let rows = factors.inverse.iter().zip(&factors.multiplier).zip(u).zip(vector);
    for (((inverse, multiplier), u), value) in rows {
        for lane in 0..LANES {
            y[lane] = value - below[lane] * y[lane];
            let scaled = y[lane] * inverse[lane];
            yy[lane] += y[lane] * scaled;
            uy[lane] += u[lane] * scaled;
        }
        below = *multiplier;
    }
    (yy, uy)
}

/// From L⁻¹y to (T + tI)⁻¹y, in place.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn backward(factors: &Factors, y: &mut [Lanes]) {
    let mut a = [0.0; LANES];
    let rows = factors.inverse.iter().zip(&factors.multiplier).zip(y);
    for ((inverse, multiplier), y) in rows.rev() {
        for lane in 0..LANES {
            a[lane] = y[lane] * inverse[lane] - multiplier[lane] * a[lane];
        }
        *y = a;
    }
}

/// aᵀh in each lane.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn dots(a: &[Lanes], h: &[Lanes]) -> Lanes {
    let mut sum = [0.0; LANES];
    for (a, h) in a.iter().zip(h) {
        for lane in 0..LANES {
            sum[lane] += a[lane] * h[lane];
        }
    }
    sum
}
