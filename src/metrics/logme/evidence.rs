//! The log evidence of one target at one ratio t = α/β, from a few inner products.
//!
//! With w₀ = (S + tI)⁻¹b and v = (S + tI)⁻¹μ, profiling β out:
//!
//!   r = N (ȳ − μᵀw₀) / (1 + N μᵀv)          (0 with intercept)
//!   q(t) = min_w |y − Fw|² + t|w|² = [ỹᵀỹ − w₀ᵀb] + (ȳ − μᵀw₀) r,     β = n/q
//!   2n · L(t) = −Σᵢ ln(1 + λᵢ/t) − ln(1 + N μᵀv) + n ln(n/q) − n − n ln 2π
//!   m = w₀ + r v
//!   2n · dL/d ln t = Σᵢ λᵢ/(λᵢ + t) + N t vᵀv/(1 + N μᵀv) − n t |m|²/q
//!
//! n is N, or N − 1 with an intercept (flat prior), where the two terms in μ are absent. The
//! derivative uses dq/dt = |m|² (q is a minimum over w) and d(μᵀv)/dt = −vᵀv.
//!
//! Rows that repeat (`exact.rs`) are one observation: with d distinct rows n is d, or d − 1, and
//! weights are relative to their mean, N/d, so that q is (d/N) of that above and β = (N/d) n/q. If
//! every row occurs equally often, L is that of the distinct rows. Without repeats d = N.

/// ȳ − μᵀw₀ is rounding noise below this fraction of Σ |μᵢ w₀ᵢ|.
const GAP_NOISE: f64 = 1e-14;

/// Inner products of the solves at one t.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Point {
    /// ỹᵀỹ − w₀ᵀb.
    pub(super) residual: f64,
    /// μᵀw₀.
    pub(super) mean_w: f64,
    /// μᵀv.
    pub(super) mean_v: f64,
    /// w₀ᵀw₀.
    pub(super) ww: f64,
    /// w₀ᵀv.
    pub(super) wv: f64,
    /// vᵀv.
    pub(super) vv: f64,
    /// Σ |μᵢ w₀ᵢ| over eigenvectors, where known: the size to which the rounding of μᵀw₀ is
    /// relative.
    pub(super) mean_w_size: f64,
}

/// One column of the labels or targets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Its number among the columns.
    pub(super) column: usize,
    /// N.
    pub(super) n_samples: f64,
    /// d, the distinct rows: N unless rows repeat.
    pub(super) n_distinct: f64,
    /// Whether an intercept with a flat prior is integrated out.
    pub(super) intercept: bool,
    /// ȳ.
    pub(super) mean: f64,
    /// ỹᵀỹ.
    pub(super) square: f64,
}

/// The log evidence and its parts at one t.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    /// L(t), in nats per sample.
    pub(super) value: f64,
    /// q(t).
    pub(super) q: f64,
    /// The factor of v in m.
    pub(super) r: f64,
    /// ȳ − μᵀw₀.
    pub(super) gap: f64,
    /// 1 + N μᵀv.
    pub(super) spread: f64,
}

impl Target {
    /// n: the distinct rows, less one with an intercept.
    pub(super) fn effective(&self) -> f64 {
        if self.intercept { self.n_distinct - 1.0 } else { self.n_distinct }
    }

    /// Whether rows repeat.
    pub(super) fn repeats(&self) -> bool {
        self.n_distinct < self.n_samples
    }

    /// β at this q.
    pub(super) fn precision(&self, q: f64) -> f64 {
        // The ratio is exactly 1 without repeats.
        self.effective() * (self.n_samples / self.n_distinct) / q
    }

    /// |y|², or |ỹ|² with an intercept: q at t = ∞.
    pub(super) fn whole(&self) -> f64 {
        if self.intercept {
            self.square
        } else {
            self.square + self.n_samples * self.mean * self.mean
        }
    }

    /// L from q and the log determinant terms.
    pub(super) fn value(&self, q: f64, log_determinant: f64) -> f64 {
        let n = self.effective();
        (n * self.precision(q).ln() - log_determinant - n - n * std::f64::consts::TAU.ln())
            / (2.0 * n)
    }

    /// L and its parts from the inner products and Σ ln(1 + λ/t) at one t.
    pub(super) fn evidence(&self, point: &Point, log_determinant: f64) -> Evidence {
        if self.intercept {
            let q = point.residual.max(0.0);
            let value = self.value(q, log_determinant);
            return Evidence { value, q, r: 0.0, gap: 0.0, spread: 1.0 };
        }
        let mut gap = self.mean - point.mean_w;
        if gap.abs() <= GAP_NOISE * point.mean_w_size {
            gap = 0.0; // an exact fit
        }
        let spread = 1.0 + self.n_samples * point.mean_v.max(0.0);
        let r = self.n_samples * gap / spread;
        let q = point.residual.max(0.0) + gap * r;
        Evidence { value: self.value(q, log_determinant + spread.ln()), q, r, gap, spread }
    }

    /// 2n · dL/d ln t; `dof` is Σ λ/(λ + t).
    pub(super) fn slope(&self, t: f64, point: &Point, evidence: &Evidence, dof: f64) -> f64 {
        let (dof, fit) = self.slope_parts(t, point, evidence, dof);
        dof - fit
    }

    /// The degrees of freedom of the fit, with those of the mean, and n t |m|²/q, which is n where the
    /// fit is exact.
    pub(super) fn slope_parts(
        &self,
        t: f64,
        point: &Point,
        evidence: &Evidence,
        dof: f64,
    ) -> (f64, f64) {
        let r = evidence.r;
        let m_square = point.ww + 2.0 * r * point.wv + r * r * point.vv;
        let fit = self.effective() * t * m_square / evidence.q;
        if self.intercept {
            return (dof, fit);
        }
        let spread = 1.0 + self.n_samples * point.mean_v.max(0.0);
        (dof + self.n_samples * t * point.vv / spread, fit)
    }
}

/// Σ ln(1 + λ/t), four factors to a logarithm.
pub(super) fn log_determinant(eigenvalues: &[f64], t: f64) -> f64 {
    let fours = eigenvalues.chunks_exact(4);
    let tail: f64 = fours.remainder().iter().map(|value| (value / t).ln_1p()).sum();
    let factor = |value: f64| 1.0 + value / t;
    let logs = fours.map(|v| {
        if v[3] / t < 1e-3 {
            v.iter().map(|value| (value / t).ln_1p()).sum() // 1 + x would round x away
        } else {
            (factor(v[0]) * factor(v[1]) * (factor(v[2]) * factor(v[3]))).ln()
        }
    });
    logs.sum::<f64>() + tail
}
