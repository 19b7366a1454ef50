//! CKA from HSIC₁, the estimate of the Hilbert–Schmidt independence criterion without bias.
//!
//! For n rows with Gram matrices K of the features and L of the targets, and with K̃, L̃ the same with
//! zeros on the diagonal,
//!
//!   n(n−3) HSIC₁(K, L) = tr K̃L̃ + 1ᵀK̃1·1ᵀL̃1/((n−1)(n−2)) − 2/(n−2) 1ᵀK̃L̃1
//!   CKA = HSIC₁(K, L)/√(HSIC₁(K, K) HSIC₁(L, L))
//!
//! in [−1, 1]; below 0 only by chance. HSIC₁ is the inner product of the U-centred matrices
//!
//!   `Ã_ij` = `K_ij` − (`r_i` + `r_j`)/(n−2) + t/((n−1)(n−2)) for i ≠ j,   r = K̃1, t = 1ᵀK̃1,
//!
//! so HSIC₁(K, K) ≥ 0 and shifts of features or targets change nothing. While rows are held, it is
//! computed so. With both about their means, K1 = L1 = 0, and then
//!
//!   n(n−3) HSIC₁(K, L) = |XᵀỸ|²_F − n/(n−2) Σ ‖x‖²‖ỹ‖² + tr K·tr L/((n−1)(n−2))
//!
//! which statistics have. For classes Σ ‖x‖²‖ỹ‖² = Σ_c l_c q_c with q_c the class squares and
//! l_c = ‖ỹ‖² = (1 − p_c)² + Σ_{d≠c} p_d², p_c = n_c/n. A row of weight w counts as w rows.
//!
//! HSIC₁(K, K) = 0 where `Ã` = 0: no row differs, a single one does, or all pairs are as far apart as
//! orthogonal rows. Features of this kind score 0, with a warning; labels or targets are refused.
//!
//! Source: Song et al., "Feature Selection via Dependence Maximization", JMLR 2012, theorem 2; its use
//! for CKA: Nguyen et al., "Do Wide and Deep Networks Learn the Same Things?", ICLR 2021, eq. (3);
//! U-centring: Székely and Rizzo, Ann. Statist. 2014. Departure: Nguyen et al. average HSIC₁ over
//! minibatches; statistics of minibatches merge to that of all rows.

use crate::decomp::{CentredTargets, Prepared, row_products};
use crate::error::{Error, Result};
use crate::linalg::blas::{dot, scale};
use crate::linalg::lapack::check_order;
use crate::linalg::memory::{Gather, filled, reserved, zeros};
use crate::metrics::{FLAT, Inputs};
use crate::stats::{Held, Precision, Second, Stats, centred_rows};
use crate::threads::Context;

use super::{TargetMoments, Value, norm_of_indicators};

const NO_PAIRS: &str = "the features differ in one row only, or every two rows are equally far \
                        apart but for their lengths: the score is 0";

const UNRESOLVED: &str = "a few rows are so far from the others that products in float32 leave no \
                          digit of the unbiased estimate: the score is 0; check these rows, or set \
                          precision to \"double\"";

/// n(n−3) HSIC₁ of features with targets, of features, and of targets; the units cancel.
struct Hsic {
    joint: f64,
    features: f64,
    targets: f64,
    /// The rounding error of the value, relative; 0 where products of rows do not cancel.
    rounding: f64,
    /// Of the products.
    precision: Precision,
}

pub(super) fn score(
    inputs: &Inputs<'_>,
    prepared: &Prepared<'_>,
    centred: &CentredTargets,
    context: &Context<'_>,
) -> Result<Value> {
    let stats = prepared.stats;
    if stats.n_samples < 4 {
        let n = stats.n_samples;
        let problem = format!(
            "the unbiased estimator needs at least 4 samples, got {n}; give more rows, or set \
             estimator to \"biased\""
        );
        return Err(Error::metric("cka", problem));
    }
    if stats.class_counts()?.is_some_and(|counts| no_pairs(&counts)) {
        let problem = "every row has a class of its own, or all rows but one are of one class, where \
                       the unbiased estimator is 0/0; give two rows or more of each class, or set \
                       estimator to \"biased\"";
        return Err(Error::metric("cka", problem));
    }
    let hsic = match &stats.second {
        Second::Rows { values, weights } => Hsic::of_rows(stats, values, weights, context)?,
        Second::Scatter(_) => Hsic::of_sums(inputs, prepared, centred, context)?,
    };
    let Some(hsic) = hsic else { return Ok((0.0, Some(FLAT.into()))) };
    if hsic.targets <= 0.0 {
        let problem = "the targets, or one of two sets of features, differ in one row only, or every \
                       two rows are equally far apart but for their lengths, where the unbiased \
                       estimator is 0/0; give more rows, or set estimator to \"biased\"";
        return Err(Error::metric("cka", problem));
    }
    if hsic.features <= 0.0 {
        let single = hsic.precision == Precision::Single;
        return Ok((0.0, Some(if single { UNRESOLVED } else { NO_PAIRS }.into())));
    }
    let value = hsic.joint / hsic.features.sqrt() / hsic.targets.sqrt();
    let (digits, tolerated) = match hsic.precision {
        Precision::Double => (16.0, 1e-6),
        Precision::Single => (7.0, 1e-3),
    };
    let warning = (hsic.rounding > tolerated).then(|| {
        let lost = (digits + hsic.rounding.log10()).min(digits);
        format!(
            "a few rows are so far from the others that statistics lose about {lost:.0} of \
             {digits:.0} digits of the unbiased estimate; check these rows, or set estimator to \
             \"biased\""
        )
    });
    Ok((value.clamp(-1.0, 1.0), warning))
}

/// Whether HSIC₁ of the labels with themselves is 0: every row has a class of its own, or all rows but
/// one are of one class.
fn no_pairs(counts: &[f64]) -> bool {
    let lone = counts.iter().filter(|count| **count < 2.0).count();
    match counts.len() - lone {
        0 => true,
        1 => lone < 2,
        _ => false,
    }
}

impl Hsic {
    /// From held rows; `None` where no feature varies.
    fn of_rows(
        stats: &Stats,
        values: &[f64],
        weights: &[f64],
        context: &Context<'_>,
    ) -> Result<Option<Self>> {
        let n = stats.n_samples as f64;
        let Some(own) = gram(values, weights, &stats.mean_about_shift()?, context)? else {
            return Ok(None);
        };
        let features = UCentred::new(own, weights, n, stats.n_features)?;
        let targets = match &stats.held {
            Held::Nothing => return Err(Error::Missing { what: "labels or targets" }),
            Held::Labels(labels) => {
                let same = |a: &u32, b: &u32| f64::from(u8::from(a == b));
                let order = labels.codes.len();
                let mut gram = reserved(order * order, "the products of the targets")?;
                for a in &labels.codes {
                    gram.extend(labels.codes.iter().map(|b| same(a, b)));
                }
                UCentred::new(gram, weights, n, 1)?
            }
            Held::Targets(held) => {
                let mean =
                    held.sum.iter().map(|sum| sum / n).gathered("the mean of the targets")?;
                let gram = gram(&held.rows, weights, &mean, context)?.unwrap_or_default();
                UCentred::new(gram, weights, n, mean.len())?
            }
        };
        Ok(Some(Self {
            joint: features.inner(&targets),
            features: features.square(),
            targets: targets.square(),
            rounding: 0.0,
            precision: Precision::Double,
        }))
    }

    /// From sums, in units of tr K and tr L; `None` where no feature varies.
    fn of_sums(
        inputs: &Inputs<'_>,
        prepared: &Prepared<'_>,
        centred: &CentredTargets,
        context: &Context<'_>,
    ) -> Result<Option<Self>> {
        let (stats, products) = (prepared.stats, prepared.products(context)?);
        if products.norm <= 0.0 {
            return Ok(None);
        }
        let (n, total) = (stats.n_samples as f64, centred.square.iter().sum::<f64>());
        let fourth = stats.fourth_moment_in(products.trace)?;
        // (Σ‖x‖²)² ≤ N Σ‖x‖⁴, and |x|²|y|² must not leave the range of float64 unseen.
        let size = products.trace * total;
        if !fourth.is_finite() || fourth * n < 0.5 || !(1e-280..1e300).contains(&size) {
            let largest = stats.largest;
            let problem = if size > 1.0 { "overflow" } else { "underflow" };
            return Err(Error::OutOfRange { name: "features", largest, problem });
        }
        let (joint, targets) = if let Some(counts) = stats.class_counts()? {
            let Some(squares) = stats.class_squares()? else {
                let problem = "the moments hold no class_squares, which the unbiased estimator \
                               reads; add them, or set estimator to \"biased\"";
                return Err(Error::NotInStatistics { metric: "cka", problem });
            };
            let lengths = lengths_of_indicators(&counts)?;
            let norm = norm_of_indicators(&counts) / total;
            let weighted = counts.iter().zip(&lengths);
            let fourth = weighted.map(|(count, l)| count * (l / total).powi(2)).sum();
            (dot(&lengths, &squares), TargetMoments { norm, fourth })
        } else {
            let Some(joint) = stats.centred_joint()? else {
                let problem = "the moments hold no joint_quartic, joint_features and \
                               joint_targets, which the unbiased estimator reads; add them, or \
                               set estimator to \"biased\"";
                return Err(Error::NotInStatistics { metric: "cka", problem });
            };
            (joint.quartic, TargetMoments::new(inputs, stats, centred, context)?)
        };
        let precision = stats.precision();
        let of_products = match precision {
            Precision::Double => f64::EPSILON,
            Precision::Single => f64::from(f32::EPSILON),
        };
        let aligned: f64 = products.squares.iter().map(|square| square / total).sum();
        let (joint, _) = of_moments(n, aligned, joint / products.trace / total, 0.0);
        let (features, lost) = of_moments(n, products.norm.powi(2), fourth, 64.0 * of_products);
        let (targets, of_targets) =
            of_moments(n, targets.norm.powi(2), targets.fourth, 64.0 * f64::EPSILON);
        let rounding = 4.0 * (of_products * lost).max(f64::EPSILON * of_targets);
        Ok(Some(Self { joint, features, targets, rounding, precision }))
    }
}

/// n(n−3) HSIC₁ from |XᵀỸ|²_F and Σ ‖x‖²‖ỹ‖² in units of tr K·tr L, 0 if within `noise` relative to
/// its terms; and the size of the terms relative to it.
fn of_moments(n: f64, aligned: f64, diagonal: f64, noise: f64) -> (f64, f64) {
    let (own, mean) = (n / (n - 2.0) * diagonal, 1.0 / ((n - 1.0) * (n - 2.0)));
    let value = aligned - own + mean;
    let terms = aligned + own + mean;
    if value.abs() <= noise * terms { (0.0, 0.0) } else { (value, terms / value.abs()) }
}

/// ‖ỹ‖² of a row of each class.
fn lengths_of_indicators(counts: &[f64]) -> Result<Vec<f64>> {
    let n: f64 = counts.iter().sum();
    let all: f64 = counts.iter().map(|count| count * count).sum();
    let length = |count: &f64| ((n - count).powi(2) + (all - count * count)) / (n * n);
    counts.iter().map(length).gathered("the squares of the classes")
}

/// The Gram matrix of rows about their mean, upper triangle, in units of its weighted trace; `None`
/// where that is 0.
fn gram(
    values: &[f64],
    weights: &[f64],
    mean: &[f64],
    context: &Context<'_>,
) -> Result<Option<Vec<f64>>> {
    check_order(weights.len())?;
    let unit = filled(1.0, weights.len(), "the weights of the rows")?;
    let mut rows = centred_rows(values, &unit, mean)?;
    let squares = rows.chunks_exact(mean.len()).zip(weights);
    let trace: f64 = squares.map(|(row, weight)| weight * dot(row, row)).sum();
    if trace <= 0.0 {
        return Ok(None);
    }
    scale(1.0 / trace.sqrt(), &mut rows);
    row_products(&rows, mean.len(), context).map(Some)
}

/// A U-centred Gram matrix of weighted rows, upper triangle; its diagonal is of copies of a row.
struct UCentred<'a> {
    entries: Vec<f64>,
    weights: &'a [f64],
    /// Σ of the squares of the entries' rounding errors.
    noise: f64,
}

impl<'a> UCentred<'a> {
    /// From a Gram matrix of vectors of this width, of which the upper triangle is read.
    fn new(mut entries: Vec<f64>, weights: &'a [f64], n: f64, width: usize) -> Result<Self> {
        let order = weights.len();
        let largest = entries.iter().step_by(order + 1).fold(0.0_f64, |a, b| a.max(*b));
        let mut sums = zeros::<f64>(order, "the sums of the products")?;
        for (i, row) in entries.chunks_exact(order).enumerate() {
            sums[i] += (weights[i] - 1.0) * row[i] + dot(&row[i + 1..], &weights[i + 1..]);
            for (sum, entry) in sums[i + 1..].iter_mut().zip(&row[i + 1..]) {
                *sum += weights[i] * entry;
            }
        }
        let mean = dot(&sums, weights) / ((n - 1.0) * (n - 2.0));
        for (i, row) in entries.chunks_exact_mut(order).enumerate() {
            for (entry, sum) in row[i..].iter_mut().zip(&sums[i..]) {
                *entry += mean - (sums[i] + sum) / (n - 2.0);
            }
        }
        // A sum of products rounds in effect by the square root of their number.
        let rounding = 16.0 * f64::EPSILON * largest * n;
        Ok(Self { entries, weights, noise: rounding * rounding * width as f64 })
    }

    /// Σ over pairs of different rows of the products of entries.
    fn inner(&self, other: &Self) -> f64 {
        let order = self.weights.len();
        let rows = self.entries.chunks_exact(order).zip(other.entries.chunks_exact(order));
        let of_row = |(i, (a, b)): (usize, (&[f64], &[f64]))| {
            let later = a[i + 1..].iter().zip(&b[i + 1..]).zip(&self.weights[i + 1..]);
            let off: f64 = later.map(|((a, b), weight)| weight * a * b).sum();
            self.weights[i] * (2.0 * off + (self.weights[i] - 1.0) * a[i] * b[i])
        };
        rows.enumerate().map(of_row).sum()
    }

    /// The product with itself; 0 if within its rounding error.
    fn square(&self) -> f64 {
        let square = self.inner(self);
        if square <= self.noise { 0.0 } else { square }
    }
}
