//! The inner products that the evidence needs, at any t, from either decomposition.
//!
//! Solving with a tridiagonal matrix is a chain of dependent operations, so [`LANES`] pairs of a
//! target and a t go through it side by side.

use crate::decomp::{Decomp, Side, Spectrum};

use super::evidence::Point;

/// How many pairs are solved side by side.
pub(super) const LANES: usize = 8;
type Lanes = [f64; LANES];

/// A target and a t, for each lane; unused lanes repeat one.
pub(super) type Pairs = [(usize, f64); LANES];

/// A decomposition, as the search over t sees it.
pub(super) trait Curve: Sync {
    /// The positive eigenvalues of S, and possibly some zeros.
    fn eigenvalues(&self) -> &[f64];
    /// The noise that t must stay above, if any.
    fn noise(&self) -> Option<f64>;
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

impl Tridiagonal<'_> {
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
    fn eigenvalues(&self) -> &[f64] {
        &self.decomp.eigenvalues
    }

    fn noise(&self) -> Option<f64> {
        let noise = self.decomp.noise;
        // Without small eigenvalues the dual side has none; the residual of the primal side is a
        // difference all the same.
        let least = self.decomp.eigenvalues.first().copied().unwrap_or(0.0);
        (self.decomp.side == Side::Primal || least <= 1e3 * noise).then_some(noise)
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
    fn eigenvalues(&self) -> &[f64] {
        &self.values
    }

    fn noise(&self) -> Option<f64> {
        None
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
