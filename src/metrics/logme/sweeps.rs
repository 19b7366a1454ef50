//! Sweeps through the tridiagonal form at [`LANES`] values of t side by side: a chain of dependent
//! operations from row to row, which lanes fill.
//!
//! Nothing here is fused or reordered, so every machine computes the same bits.

use multiversion::multiversion;

use crate::linalg::lapack::TridiagonalForm;

/// Number of values of t that are evaluated side by side.
pub(super) const LANES: usize = 8;
pub(super) type Lanes = [f64; LANES];
/// Vectors that are swept through together.
pub(super) const FOUR: usize = 4;
/// Pivots to a logarithm: each is at least 1e-13 of the scale.
const RUN: usize = 16;

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
pub(super) fn factorise(form: &TridiagonalForm, scale: f64, ts: &Lanes) -> Factors {
    let order = form.diagonal.len();
    let mut inverse = Vec::with_capacity(order);
    let mut multiplier = Vec::with_capacity(order);
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
    Factors { inverse, multiplier, log, trace }
}

/// L⁻¹v for one vector in all lanes.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn forward(factors: &Factors, vector: &[f64]) -> Vec<Lanes> {
    let (mut y, mut below) = ([0.0; LANES], [0.0; LANES]);
    let mut solved = Vec::with_capacity(vector.len());
    for (value, multiplier) in vector.iter().zip(&factors.multiplier) {
        for lane in 0..LANES {
            y[lane] = value - below[lane] * y[lane];
        }
        solved.push(y);
        below = *multiplier;
    }
    solved
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

/// The same for four vectors, one after the other in `vectors`, whose chains fill each other's gaps.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub(super) fn products_of_four(
    factors: &Factors,
    u: &[Lanes],
    vectors: [&[f64]; FOUR],
) -> [(Lanes, Lanes); FOUR] {
    let order = factors.inverse.len();
    let [a, b, c, d] = vectors.map(|vector| &vector[..order]);
    let (mut yy, mut uy, mut y) =
        ([[0.0; LANES]; FOUR], [[0.0; LANES]; FOUR], [[0.0; LANES]; FOUR]);
    let mut below = [0.0; LANES];
    let rows = factors.inverse.iter().zip(&factors.multiplier).zip(u);
    for (((inverse, multiplier), u), values) in rows.zip(a.iter().zip(b).zip(c).zip(d)) {
        let (((a, b), c), d) = values;
        for (k, value) in [*a, *b, *c, *d].into_iter().enumerate() {
            for lane in 0..LANES {
                y[k][lane] = value - below[lane] * y[k][lane];
                let scaled = y[k][lane] * inverse[lane];
                yy[k][lane] += y[k][lane] * scaled;
                uy[k][lane] += u[lane] * scaled;
            }
        }
        below = *multiplier;
    }
    std::array::from_fn(|k| (yy[k], uy[k]))
}

/// Products of a = (T + tI)⁻¹y and h = (T + tI)⁻¹u in each lane, for a vector y of each lane, and u.
pub(super) struct Products {
    /// Σ ln of the pivots over a scale.
    pub(super) log: Lanes,
    /// tr (T + tI)⁻¹.
    pub(super) trace: Lanes,
    pub(super) yy: Lanes,
    pub(super) uy: Lanes,
    pub(super) uu: Lanes,
    /// aᵀa, aᵀh and hᵀh, of a and h times `sizes`.
    pub(super) aa: Lanes,
    pub(super) ah: Lanes,
    pub(super) hh: Lanes,
}

/// A row of the factors, with L⁻¹u and L⁻¹y.
struct Row {
    inverse: Lanes,
    multiplier: Lanes,
    h: Lanes,
    a: Lanes,
}

/// As [`factorise`], with solves on the way: the divisions of one row take as long as all else.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub(super) fn solve_each(
    form: &TridiagonalForm,
    scale: f64,
    ts: &Lanes,
    u: &[f64],
    vectors: &[&[f64]; LANES],
    (size_a, size_h): (&Lanes, &Lanes),
) -> Products {
    let order = form.diagonal.len();
    let vectors = vectors.map(|vector| &vector[..order]);
    let over = 1.0 / scale;
    let mut rows: Vec<Row> = Vec::with_capacity(order);
    let [mut log, mut trace, mut below, mut carried] = [[0.0; LANES]; 4];
    let [mut product, mut slope, mut h, mut a] =
        [[1.0; LANES], [0.0; LANES], [0.0; LANES], [0.0; LANES]];
    let [mut yy, mut uy, mut uu] = [[0.0; LANES]; 3];
    for (i, (diagonal, u)) in form.diagonal.iter().zip(&u[..order]).enumerate() {
        let off = form.off_diagonal.get(i).copied().unwrap_or(0.0);
        let mut inverse = [0.0; LANES];
        for lane in 0..LANES {
            h[lane] = u - below[lane] * h[lane];
            a[lane] = vectors[lane][i] - below[lane] * a[lane];
            let pivot = diagonal + ts[lane] - carried[lane];
            inverse[lane] = 1.0 / pivot;
            slope[lane] = 1.0 + below[lane] * below[lane] * slope[lane];
            trace[lane] += slope[lane] * inverse[lane];
            product[lane] *= pivot * over;
            below[lane] = off * inverse[lane];
            carried[lane] = off * below[lane];
            yy[lane] += a[lane] * (a[lane] * inverse[lane]);
            uy[lane] += h[lane] * (a[lane] * inverse[lane]);
            uu[lane] += h[lane] * (h[lane] * inverse[lane]);
        }
        rows.push(Row { inverse, multiplier: below, h, a });
        if i % RUN == RUN - 1 || i + 1 == order {
            for lane in 0..LANES {
                log[lane] += product[lane].ln();
                product[lane] = 1.0;
            }
        }
    }
    let [mut aa, mut ah, mut hh] = [[0.0; LANES]; 3];
    [h, a] = [[0.0; LANES]; 2];
    for row in rows.iter().rev() {
        for lane in 0..LANES {
            h[lane] = row.h[lane] * row.inverse[lane] - row.multiplier[lane] * h[lane];
            a[lane] = row.a[lane] * row.inverse[lane] - row.multiplier[lane] * a[lane];
            let (x, y) = (size_a[lane] * a[lane], size_h[lane] * h[lane]);
            aa[lane] += x * x;
            ah[lane] += x * y;
            hh[lane] += y * y;
        }
    }
    Products { log, trace, yy, uy, uu, aa, ah, hh }
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
