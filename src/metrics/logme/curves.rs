//! The inner products that the evidence needs, at any t, from either decomposition.

use crate::decomp::{Decomp, Side, Spectrum};
use crate::error::Result;
use crate::linalg::memory::Gather;

use super::evidence::{Point, log_determinant};
use super::sweeps::{
    Factors, LANES, Lanes, backward, dots, factorise, forward, forward_each, product, products,
};

/// The column of a target and a t, for each lane; unused lanes repeat one.
pub(super) type Pairs = [(usize, f64); LANES];

/// Sums at each t, and the inner products of each column at each t.
pub(super) type ValuesAt = ([Sums; LANES], Vec<[Point; LANES]>);

const POINTS: &str = "the inner products of the targets";
const MEAN: &str = "a posterior mean";

/// Sums over all eigenvalues λ at one t.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    /// Σ ln(1 + λ/t).
    pub(super) log_determinant: f64,
    /// Σ 1/(λ + t).
    pub(super) inverse: f64,
    /// Σ λ/(λ + t).
    pub(super) dof: f64,
}

/// A decomposition that gives the evidence at any t.
pub(super) trait Curve: Sync {
    /// Sums over all eigenvalues at each t.
    fn sums_at(&self, ts: &Lanes) -> Result<[Sums; LANES]>;
    /// A bound above all eigenvalues, and one below those that are not noise.
    fn extent(&self) -> (f64, f64);
    /// The noise that t must stay above, if any.
    fn noise(&self) -> Option<f64>;
    /// The rounding to expect in the evidence at the lower end t.
    fn blur(&self, t: f64) -> f64;
    /// Sums, and the inner products that the evidence needs, for each column at the same ts.
    fn values_at(&self, ts: &Lanes, columns: &[usize]) -> Result<ValuesAt>;
    /// All inner products and sums.
    fn at(&self, pairs: &Pairs) -> Result<[(Point, Sums); LANES]>;
    /// The posterior mean of a column, as coefficients of the basis and of μ.
    fn posterior(&self, column: usize, t: f64, r: f64) -> Result<(Vec<f64>, f64)>;
}

/// The tridiagonal form: an LDLᵀ factorisation of T + tI and two solves at each t.
pub(super) struct Tridiagonal<'a> {
    pub(super) decomp: &'a Decomp,
    /// A bound below all eigenvalues, if they are clear of noise.
    least: Option<f64>,
}

impl<'a> Tridiagonal<'a> {
    pub(super) fn new(decomp: &'a Decomp) -> Self {
        Self { decomp, least: decomp.least_above(1e3 * decomp.noise) }
    }

    /// A number above all eigenvalues.
    fn scale(&self) -> f64 {
        if self.decomp.bound > 0.0 { self.decomp.bound } else { 1.0 }
    }

    fn factors(&self, ts: &Lanes) -> Result<Factors> {
        factorise(&self.decomp.form, self.scale(), ts)
    }

    fn sums(&self, factors: &Factors, ts: &Lanes) -> [Sums; LANES] {
        let order = self.decomp.order() as f64;
        std::array::from_fn(|lane| {
            let t = ts[lane];
            let log_determinant = factors.log[lane] - order * (t / self.scale()).ln();
            let (mut log_determinant, mut inverse, mut n) =
                (log_determinant, factors.trace[lane], order);
            if let Some(added) = self.decomp.added {
                log_determinant -= (added / t).ln_1p();
                inverse -= 1.0 / (added + t);
                n -= 1.0;
            }
            Sums { log_determinant, inverse, dof: n - t * inverse }
        })
    }

    /// From yᵀ(T + tI)⁻¹y, uᵀ(T + tI)⁻¹y and uᵀ(T + tI)⁻¹u, for the target's vector y and the mean's u.
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

impl Curve for Tridiagonal<'_> {
    fn sums_at(&self, ts: &Lanes) -> Result<[Sums; LANES]> {
        Ok(self.sums(&self.factors(ts)?, ts))
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

    fn values_at(&self, ts: &Lanes, targets: &[usize]) -> Result<ValuesAt> {
        let factors = self.factors(ts)?;
        let u = forward(&factors, self.decomp.mean_vector())?;
        let uu = product(&factors, &u, &u);
        let points = targets.iter().map(|target| {
            let (yy, uy) = products(&factors, &u, self.decomp.target_vector(*target));
            std::array::from_fn(|lane| {
                self.point((*target, ts[lane]), [yy[lane], uy[lane], uu[lane]])
            })
        });
        Ok((self.sums(&factors, ts), points.gathered(POINTS)?))
    }

    fn at(&self, pairs: &Pairs) -> Result<[(Point, Sums); LANES]> {
        let ts = pairs.map(|(_, t)| t);
        let factors = self.factors(&ts)?;
        let sums = self.sums(&factors, &ts);
        let mut h = forward(&factors, self.decomp.mean_vector())?;
        let vectors = pairs.map(|(target, _)| self.decomp.target_vector(target));
        let mut a = forward_each(&factors, &vectors)?;
        let (yy, uy, uu) =
            (product(&factors, &a, &a), product(&factors, &h, &a), product(&factors, &h, &h));
        backward(&factors, &mut h);
        backward(&factors, &mut a);
        // On the dual side a is of the size of 1/t, whose square may be out of range: t·a is not.
        if self.decomp.side == Side::Dual {
            for a in &mut a {
                for lane in 0..LANES {
                    a[lane] *= ts[lane];
                }
            }
        }
        let (aa, ah, hh) = (dots(&a, &a), dots(&a, &h), dots(&h, &h));
        Ok(std::array::from_fn(|lane| {
            let point = self.point(pairs[lane], [yy[lane], uy[lane], uu[lane]]);
            let t = ts[lane];
            let point = match self.decomp.side {
                Side::Primal => Point { ww: aa[lane], wv: ah[lane], vv: hh[lane], ..point },
                Side::Dual => {
                    let vv = ((point.mean_v - hh[lane]) / t).max(0.0);
                    Point { ww: yy[lane] - aa[lane] / t, wv: ah[lane] / t, vv, ..point }
                }
            };
            (point, sums[lane])
        }))
    }

    fn posterior(&self, target: usize, t: f64, r: f64) -> Result<(Vec<f64>, f64)> {
        let (factor, along_mean) = match self.decomp.side {
            Side::Primal => (r, 0.0),
            Side::Dual => (-r / t, r / t),
        };
        let factors = self.factors(&[t; LANES])?;
        let solve = |vector: &[f64]| -> Result<Vec<Lanes>> {
            let mut solved = forward(&factors, vector)?;
            backward(&factors, &mut solved);
            Ok(solved)
        };
        let a = solve(self.decomp.target_vector(target))?;
        let h = solve(self.decomp.mean_vector())?;
        let m = a.iter().zip(&h).map(|(a, h)| a[0] + factor * h[0]);
        Ok((m.gathered(MEAN)?, along_mean))
    }
}

/// Eigenvalues and eigenvectors: sums over the spectrum at each t, without cancellation.
impl Curve for Spectrum {
    fn sums_at(&self, ts: &Lanes) -> Result<[Sums; LANES]> {
        Ok(ts.map(|t| Sums {
            log_determinant: log_determinant(&self.values, t),
            inverse: self.values.iter().map(|value| 1.0 / (value + t)).sum(),
            dof: self.values.iter().map(|value| value / (value + t)).sum(),
        }))
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

    fn values_at(&self, ts: &Lanes, targets: &[usize]) -> Result<ValuesAt> {
        let points = targets.iter().map(|target| ts.map(|t| self.point(*target, t)));
        Ok((self.sums_at(ts)?, points.gathered(POINTS)?))
    }

    fn at(&self, pairs: &Pairs) -> Result<[(Point, Sums); LANES]> {
        let sums = self.sums_at(&pairs.map(|(_, t)| t))?;
        let one = |lane: usize| (self.point(pairs[lane].0, pairs[lane].1), sums[lane]);
        Ok(std::array::from_fn(one))
    }

    fn posterior(&self, target: usize, t: f64, r: f64) -> Result<(Vec<f64>, f64)> {
        let along_mean = if self.mean_outside > 0.0 { r / t } else { 0.0 };
        let along = self.target_scores(target).iter().zip(&self.mean);
        let e = self
            .values
            .iter()
            .zip(along)
            .map(|(value, (x, u))| (value.sqrt() * x + r * u) / (value + t) - along_mean * u);
        Ok((e.gathered(MEAN)?, along_mean))
    }
}

impl Spectrum {
    /// All inner products of a target at one t.
    pub(super) fn point(&self, target: usize, t: f64) -> Point {
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
            point.mean_w_size += (u * w).abs();
            point.mean_v += u * v;
            point.ww += w * w;
            point.wv += w * v;
            point.vv += v * v;
        }
        point
    }
}
