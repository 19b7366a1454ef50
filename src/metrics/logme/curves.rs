//! The inner products that the evidence needs, at any t, from either decomposition.
//!
//! Solving with a tridiagonal matrix is a chain of dependent operations, so [`LANES`] pairs of a
//! target and a t go through it side by side.

use crate::decomp::{Decomp, Side, Spectrum};

use super::evidence::{Point, log_determinant};

/// How many pairs are solved side by side.
pub(super) const LANES: usize = 8;
pub(super) type Lanes = [f64; LANES];

/// A target and a t, for each lane; unused lanes repeat one.
pub(super) type Pairs = [(usize, f64); LANES];

/// Sums over all eigenvalues λ at one t.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    /// Σ ln(1 + λ/t).
    pub(super) log_determinant: f64,
    /// Σ 1/(λ + t).
    pub(super) inverse: f64,
    /// Σ λ/(λ + t).
    pub(super) dof: f64,
}

/// A decomposition, as the search over t sees it.
pub(super) trait Curve: Sync {
    /// Sums over all eigenvalues at each t.
    fn sums_at(&self, ts: &Lanes) -> [Sums; LANES];
    /// A bound above all eigenvalues, and one below those that are not noise.
    fn extent(&self) -> (f64, f64);
    /// The noise that t must stay above, if any.
    fn noise(&self) -> Option<f64>;
    /// The rounding to expect in the evidence at the lower end t.
    fn blur(&self, t: f64) -> f64;
    /// The inner products that the evidence itself needs.
    fn value_at(&self, pairs: &Pairs) -> [Point; LANES];
    /// All inner products.
    fn at(&self, pairs: &Pairs) -> [Point; LANES];
    /// The posterior mean as coefficients of the basis and of μ.
    fn posterior(&self, target: usize, t: f64, r: f64) -> (Vec<f64>, f64);
}

/// The tridiagonal form: an LDLᵀ factorisation of T + tI and two solves at each t.
pub(super) struct Tridiagonal<'a> {
    pub(super) decomp: &'a Decomp,
    /// A bound below all eigenvalues, if they are clear of noise.
    least: Option<f64>,
}

/// The factors and half-solved vectors of every row: T + tI = L P Lᵀ.
struct Swept {
    /// 1/pivot.
    inverse: Vec<Lanes>,
    /// Below the diagonal of L.
    multiplier: Vec<Lanes>,
    /// L⁻¹y and L⁻¹u, for the target's vector y and the mean's u.
    y: Vec<Lanes>,
    u: Vec<Lanes>,
}

impl<'a> Tridiagonal<'a> {
    pub(super) fn new(decomp: &'a Decomp) -> Self {
        Self { decomp, least: decomp.least_above(1e3 * decomp.noise) }
    }

    /// One pass down: yᵀ(T + tI)⁻¹y, uᵀ(T + tI)⁻¹y and uᵀ(T + tI)⁻¹u. What a pass back up needs is
    /// written to `swept`.
    fn sweep(&self, pairs: &Pairs, mut swept: Option<&mut Swept>) -> [Lanes; 3] {
        let form = &self.decomp.form;
        let vectors: [&[f64]; LANES] = pairs.map(|(target, _)| self.decomp.target_vector(target));
        let mean = self.decomp.mean_vector();
        let (mut y, mut u, mut multiplier, mut carried) =
            ([0.0; LANES], [0.0; LANES], [0.0; LANES], [0.0; LANES]);
        let [mut yy, mut uy, mut uu] = [[0.0; LANES]; 3];
        for (i, diagonal) in form.diagonal.iter().enumerate() {
            let off = form.off_diagonal.get(i).copied().unwrap_or(0.0);
            let mut inverse = [0.0; LANES];
            for lane in 0..LANES {
                y[lane] = vectors[lane][i] - multiplier[lane] * y[lane];
                u[lane] = mean[i] - multiplier[lane] * u[lane];
                inverse[lane] = 1.0 / (diagonal + pairs[lane].1 - carried[lane]);
            }
            for lane in 0..LANES {
                let scaled = y[lane] * inverse[lane];
                yy[lane] += y[lane] * scaled;
                uy[lane] += u[lane] * scaled;
                uu[lane] += u[lane] * (u[lane] * inverse[lane]); // u may be of the size of T
                multiplier[lane] = off * inverse[lane];
                carried[lane] = off * multiplier[lane];
            }
            if let Some(swept) = &mut swept {
                swept.inverse.push(inverse);
                swept.multiplier.push(multiplier);
                swept.y.push(y);
                swept.u.push(u);
            }
        }
        [yy, uy, uu]
    }

    fn swept(&self, pairs: &Pairs) -> (Swept, [Lanes; 3]) {
        let column = || Vec::with_capacity(self.decomp.order());
        let mut swept = Swept { inverse: column(), multiplier: column(), y: column(), u: column() };
        let products = self.sweep(pairs, Some(&mut swept));
        (swept, products)
    }

    fn point(&self, (target, t): (usize, f64), [yy, uy, uu]: [f64; 3]) -> Point {
        match self.decomp.side {
            Side::Primal => {
                let residual = self.decomp.targets.square[target] - yy;
                Point { residual, mean_w: uy, mean_v: uu, ..Point::default() }
            }
            // w₀ = Xᵀa and v = (μ − Xᵀh)/t, with a = (K + tI)⁻¹ỹ and h = (K + tI)⁻¹Xμ.
            Side::Dual => {
                let mean_v = ((self.decomp.mean_square - uu) / t).max(0.0);
                Point { residual: t * yy, mean_w: uy, mean_v, ..Point::default() }
            }
        }
    }
}

impl Swept {
    /// The pass up: row by row from the last, the lanes of (T + tI)⁻¹y and (T + tI)⁻¹u.
    fn solutions(&self, mut visit: impl FnMut(usize, &Lanes, &Lanes)) {
        let (mut a, mut h) = ([0.0; LANES], [0.0; LANES]);
        for i in (0..self.y.len()).rev() {
            for lane in 0..LANES {
                let (inverse, multiplier) = (self.inverse[i][lane], self.multiplier[i][lane]);
                a[lane] = self.y[i][lane] * inverse - multiplier * a[lane];
                h[lane] = self.u[i][lane] * inverse - multiplier * h[lane];
            }
            visit(i, &a, &h);
        }
    }
}

impl Curve for Tridiagonal<'_> {
    /// From the pivots p of T + tI: Π p is its determinant, and Σ p'/p the trace of its inverse.
    fn sums_at(&self, ts: &Lanes) -> [Sums; LANES] {
        const RUN: usize = 16; // pivots to a logarithm: each at least 1e-13 of the bound
        let (form, bound) = (&self.decomp.form, self.decomp.bound);
        let scale = if bound > 0.0 { 1.0 / bound } else { 1.0 };
        let [mut log, mut inverse, mut multiplier, mut carried] = [[0.0; LANES]; 4];
        let [mut product, mut slope] = [[1.0; LANES], [0.0; LANES]];
        for (i, diagonal) in form.diagonal.iter().enumerate() {
            let off = form.off_diagonal.get(i).copied().unwrap_or(0.0);
            for lane in 0..LANES {
                let pivot = diagonal + ts[lane] - carried[lane];
                let reciprocal = 1.0 / pivot;
                slope[lane] = 1.0 + multiplier[lane] * multiplier[lane] * slope[lane];
                inverse[lane] += slope[lane] * reciprocal;
                product[lane] *= pivot * scale;
                multiplier[lane] = off * reciprocal;
                carried[lane] = off * multiplier[lane];
            }
            if i % RUN == RUN - 1 || i + 1 == form.diagonal.len() {
                for lane in 0..LANES {
                    log[lane] += product[lane].ln();
                    product[lane] = 1.0;
                }
            }
        }
        let order = form.diagonal.len() as f64;
        std::array::from_fn(|lane| {
            let t = ts[lane];
            let (mut log_determinant, mut inverse, mut n) =
                (log[lane] - order * (t * scale).ln(), inverse[lane], order);
            if let Some(added) = self.decomp.added {
                log_determinant -= (added / t).ln_1p();
                inverse -= 1.0 / (added + t);
                n -= 1.0;
            }
            Sums { log_determinant, inverse, dof: n - t * inverse }
        })
    }

    fn extent(&self) -> (f64, f64) {
        (self.decomp.bound, self.least.unwrap_or(0.0))
    }

    fn noise(&self) -> Option<f64> {
        // Without small eigenvalues the dual side has none; the residual of the primal side is a
        // difference all the same.
        (self.decomp.side == Side::Primal || self.least.is_none()).then_some(self.decomp.noise)
    }

    fn blur(&self, t: f64) -> f64 {
        self.decomp.noise / (self.least.unwrap_or(0.0) + t)
    }

    fn value_at(&self, pairs: &Pairs) -> [Point; LANES] {
        let [yy, uy, uu] = self.sweep(pairs, None);
        std::array::from_fn(|lane| self.point(pairs[lane], [yy[lane], uy[lane], uu[lane]]))
    }

    fn at(&self, pairs: &Pairs) -> [Point; LANES] {
        let (swept, [yy, uy, uu]) = self.swept(pairs);
        let [mut aa, mut ah, mut hh] = [[0.0; LANES]; 3];
        // On the dual side a is of the size of 1/t, whose square may be out of range: t·a is not.
        let unit: Lanes = match self.decomp.side {
            Side::Primal => [1.0; LANES],
            Side::Dual => pairs.map(|(_, t)| t),
        };
        swept.solutions(|_, a, h| {
            for lane in 0..LANES {
                let a = unit[lane] * a[lane];
                aa[lane] += a * a;
                ah[lane] += a * h[lane];
                hh[lane] += h[lane] * h[lane];
            }
        });
        std::array::from_fn(|lane| {
            let point = self.point(pairs[lane], [yy[lane], uy[lane], uu[lane]]);
            let t = pairs[lane].1;
            match self.decomp.side {
                Side::Primal => Point { ww: aa[lane], wv: ah[lane], vv: hh[lane], ..point },
                Side::Dual => {
                    let vv = ((point.mean_v - hh[lane]) / t).max(0.0);
                    Point { ww: yy[lane] - aa[lane] / t, wv: ah[lane] / t, vv, ..point }
                }
            }
        })
    }

    fn posterior(&self, target: usize, t: f64, r: f64) -> (Vec<f64>, f64) {
        let (factor, along_mean) = match self.decomp.side {
            Side::Primal => (r, 0.0),
            Side::Dual => (-r / t, r / t),
        };
        let mut e = vec![0.0; self.decomp.order()];
        self.swept(&[(target, t); LANES]).0.solutions(|i, a, h| e[i] = a[0] + factor * h[0]);
        (e, along_mean)
    }
}

/// Eigenvalues and eigenvectors: sums over the spectrum at each t, without cancellation.
impl Curve for Spectrum {
    fn sums_at(&self, ts: &Lanes) -> [Sums; LANES] {
        ts.map(|t| Sums {
            log_determinant: log_determinant(&self.values, t),
            inverse: self.values.iter().map(|value| 1.0 / (value + t)).sum(),
            dof: self.values.iter().map(|value| value / (value + t)).sum(),
        })
    }

    fn extent(&self) -> (f64, f64) {
        let value = |value: Option<&f64>| value.copied().unwrap_or(0.0);
        (value(self.values.last()), value(self.values.first()))
    }

    fn noise(&self) -> Option<f64> {
        None
    }

    fn blur(&self, _: f64) -> f64 {
        let (largest, least) = self.extent();
        if least > 0.0 { 4.0 * f64::EPSILON * (largest / least).sqrt() } else { 0.0 }
    }

    fn value_at(&self, pairs: &Pairs) -> [Point; LANES] {
        self.at(pairs)
    }

    fn at(&self, pairs: &Pairs) -> [Point; LANES] {
        pairs.map(|(target, t)| {
            let mut point = Point {
                residual: self.outside[target],
                mean_v: self.mean_outside / t,
                vv: self.mean_outside / t / t, // t² may be out of range
                ..Point::default()
            };
            let along = self.target_scores(target).iter().zip(&self.mean);
            for (value, (x, u)) in self.values.iter().zip(along) {
                let inverse = 1.0 / (value + t);
                let (w, v) = (value.sqrt() * x * inverse, u * inverse);
                point.residual += x * x * t * inverse;
                point.mean_w += u * w;
                point.mean_v += u * v;
                point.ww += w * w;
                point.wv += w * v;
                point.vv += v * v;
            }
            point
        })
    }

    fn posterior(&self, target: usize, t: f64, r: f64) -> (Vec<f64>, f64) {
        let along_mean = if self.mean_outside > 0.0 { r / t } else { 0.0 };
        let along = self.target_scores(target).iter().zip(&self.mean);
        let e = self
            .values
            .iter()
            .zip(along)
            .map(|(value, (x, u))| (value.sqrt() * x + r * u) / (value + t) - along_mean * u);
        (e.collect(), along_mean)
    }
}
