//! Statistics as plain moments, for sums that are accumulated on other devices, in other processes or
//! by other libraries.

use crate::error::{Error, Result};
use crate::input::Label;
use crate::linalg::lapack::check_order;
use crate::linalg::memory::{Gather, reserved, zeros};
use crate::threads::Context;

use super::check::TOLERANCE;
use super::fourth::Fourth;
use super::joint::{Joint, Own};
use super::response::{Labels, Targets};
use super::{Held, Precision, Second, Stats};

const CLASSES: &str = "the moments of the classes";

/// Sums over rows x (D,) of weights w, about a shift s (D,).
#[derive(Debug, Clone, Default)]
pub struct Moments {
    /// Precision of the products that were summed.
    pub precision: Precision,
    /// Σ w.
    pub n_samples: u64,
    /// s, (D,).
    pub shift: Vec<f64>,
    /// Σ w (x − s), (D,).
    pub sum: Vec<f64>,
    /// Σ w (x − s)(x − s)ᵀ, (D, D), symmetric.
    pub scatter: Vec<f64>,
    /// Σ w ‖x − s‖² (x − s), (D,).
    pub cubic: Vec<f64>,
    /// Σ w ‖x − s‖⁴.
    pub quartic: f64,
    /// The largest |x − s|.
    pub largest: f64,
    /// The moments of the labels or targets.
    pub responses: Responses,
    /// The moments of each class, if class scatters are held.
    pub by_class: Option<Vec<(Label, Moments)>>,
}

/// Sums over classes, or over targets y (K,) about a shift p (K,).
#[derive(Debug, Clone, Default)]
pub enum Responses {
    /// Nothing.
    #[default]
    Nothing,
    /// Classes, sorted when they come from [`Stats`].
    Labels {
        /// The classes, distinct.
        classes: Vec<Label>,
        /// Σ w by class, (C,).
        counts: Vec<u64>,
        /// Σ w (x − s) by class, (C, D).
        sums: Vec<f64>,
        /// Σ w ‖x − s‖² by class, (C,); without it, scores that need it are errors.
        squares: Option<Vec<f64>>,
    },
    /// Targets.
    Targets {
        /// p, (K,).
        shift: Vec<f64>,
        /// Σ w (y − p), (K,).
        sum: Vec<f64>,
        /// Σ w (y − p)², (K,).
        square: Vec<f64>,
        /// Σ w (x − s)(y − p)ᵀ, (D, K).
        cross: Vec<f64>,
        /// Without them, scores that need them are errors; left out where they exceed float64.
        joint: Option<JointMoments>,
    },
}

/// Sums over targets and features of degree two in each, with q = ‖x − s‖² and r = ‖y − p‖².
#[derive(Debug, Clone, Default)]
pub struct JointMoments {
    /// Σ w q r.
    pub quartic: f64,
    /// Σ w r (x − s), (D,).
    pub features: Vec<f64>,
    /// Σ w q (y − p), (K,).
    pub targets: Vec<f64>,
    /// Of the targets alone, for K ≤ D.
    pub own: Option<TargetMoments>,
}

/// Second and fourth moments of targets alone, with r = ‖y − p‖².
#[derive(Debug, Clone, Default)]
pub struct TargetMoments {
    /// Σ w (y − p)(y − p)ᵀ, (K, K), symmetric.
    pub products: Vec<f64>,
    /// Σ w r (y − p), (K,).
    pub cubic: Vec<f64>,
    /// Σ w r².
    pub quartic: f64,
}

impl From<Joint> for JointMoments {
    fn from(joint: Joint) -> Self {
        let Joint { quartic, features, targets, own } = joint;
        let k = targets.len();
        let own = own.map(|Own { mut products, fourth }| {
            mirror(&mut products, k);
            let (cubic, quartic) = fourth.into_sums();
            TargetMoments { products, cubic, quartic }
        });
        Self { quartic, features, targets, own }
    }
}

impl From<JointMoments> for Joint {
    fn from(moments: JointMoments) -> Self {
        let JointMoments { quartic, features, targets, own } = moments;
        let own = own.map(|TargetMoments { products, cubic, quartic }| Own {
            products, // of which the lower triangle is not read
            fourth: Fourth::of_sums(cubic, quartic),
        });
        Self { quartic, features, targets, own }
    }
}

/// Numbers of the classes in this order.
fn in_order(values: Option<Vec<f64>>, order: &[usize]) -> Result<Option<Vec<f64>>> {
    values.map(|values| order.iter().map(|c| values[*c]).gathered(CLASSES)).transpose()
}

/// Copies the upper triangle to the lower one.
fn mirror(matrix: &mut [f64], order: usize) {
    for i in 0..order {
        for j in 0..i {
            matrix[i * order + j] = matrix[j * order + i];
        }
    }
}

impl Stats {
    /// The moments; rows that are held are multiplied out.
    ///
    /// # Errors
    /// [`Error::NoData`], [`Error::OutOfMemory`], [`Error::Interrupted`].
    pub fn into_moments(mut self, context: &Context<'_>) -> Result<Moments> {
        if self.is_empty() {
            return Err(Error::NoData);
        }
        self.hold_scatter(context)?;
        let Second::Scatter(mut scatter) = self.second else { return Err(Error::NoData) };
        let d = self.n_features;
        mirror(&mut scatter, d);
        let responses = match self.held {
            Held::Nothing => Responses::Nothing,
            Held::Labels(labels) => {
                let order = labels.sorted()?;
                let mut sums = reserved(labels.sums.len(), "the class sums")?;
                for c in &order {
                    sums.extend_from_slice(&labels.sums[c * d..(c + 1) * d]);
                }
                Responses::Labels {
                    classes: order.iter().map(|c| labels.classes[*c].clone()).gathered(CLASSES)?,
                    counts: order.iter().map(|c| labels.counts[*c]).gathered(CLASSES)?,
                    sums,
                    squares: in_order(labels.squares, &order)?,
                }
            }
            Held::Targets(Targets { shift, sum, square, cross, joint, .. }) => {
                let joint = joint.map(JointMoments::from).filter(JointMoments::is_finite);
                Responses::Targets { shift, sum, square, cross, joint }
            }
        };
        let one = |(class, stats): (Label, Self)| Ok((class, stats.into_moments(context)?));
        let by_class =
            self.by_class.map(|classes| classes.into_iter().map(one).gathered_ok(CLASSES));
        let (cubic, quartic) = self.fourth.into_sums();
        Ok(Moments {
            precision: self.precision,
            n_samples: self.n_samples,
            shift: self.shift,
            sum: self.sum,
            scatter,
            cubic,
            quartic,
            largest: self.largest,
            responses,
            by_class: by_class.transpose()?,
        })
    }

    /// The statistics with these moments; they hold the scatter, however few the rows were.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Moments`] for moments that no rows have: not finite, not
    /// symmetric, or against each other by more than the rounding of float32; [`Error::OutOfMemory`],
    /// [`Error::Interrupted`].
    pub fn from_moments(moments: Moments, context: &Context<'_>) -> Result<Self> {
        let stats = Self::of_moments(moments)?;
        match stats.impossible(context)? {
            Some(problem) => refused(problem),
            None => Ok(stats),
        }
    }

    /// The statistics with these moments, which have the right lengths and are finite.
    fn of_moments(moments: Moments) -> Result<Self> {
        moments.check()?;
        let d = moments.shift.len();
        let mut scatter = zeros(d * d, "a scatter matrix")?;
        for i in 0..d {
            for j in i..d {
                let (above, below) = (moments.scatter[i * d + j], moments.scatter[j * d + i]);
                scatter[i * d + j] = above + (below - above) / 2.0; // the same where they are
            }
        }
        let held = match moments.responses {
            Responses::Nothing => Held::Nothing,
            Responses::Labels { classes, counts, sums, squares } => {
                let present = (0..counts.len()).filter(|c| counts[*c] > 0).gathered(CLASSES)?;
                let mut held = reserved(present.len() * d, "the class sums")?;
                for c in &present {
                    held.extend_from_slice(&sums[c * d..(c + 1) * d]);
                }
                Held::Labels(Labels {
                    classes: present.iter().map(|c| classes[*c].clone()).gathered(CLASSES)?,
                    counts: present.iter().map(|c| counts[*c]).gathered(CLASSES)?,
                    codes: Vec::new(),
                    sums: held,
                    squares: in_order(squares, &present)?,
                })
            }
            Responses::Targets { shift, sum, square, cross, joint } => {
                let joint = joint.map(Joint::from);
                Held::Targets(Targets { shift, sum, square, rows: Vec::new(), cross, joint })
            }
        };
        let one = |(class, moments): (Label, Moments)| Ok((class, Self::of_moments(moments)?));
        let present = |(_, moments): &(Label, Moments)| moments.n_samples > 0;
        let by_class = moments
            .by_class
            .map(|classes| classes.into_iter().filter(present).map(one).gathered_ok(CLASSES));
        Ok(Self {
            precision: moments.precision,
            n_features: d,
            n_samples: moments.n_samples,
            shift: moments.shift,
            sum: moments.sum,
            largest: moments.largest,
            second: Second::Scatter(scatter),
            fourth: Fourth::of_sums(moments.cubic, moments.quartic),
            held,
            by_class: by_class.transpose()?,
        })
    }
}

impl Moments {
    /// Checks lengths, finiteness and symmetry.
    fn check(&self) -> Result<()> {
        let d = self.shift.len();
        if d == 0 {
            return Err(Error::Empty { name: "shift", axis: "features" });
        }
        check_order(d)?;
        numbers("shift", &self.shift, d)?;
        numbers("sum", &self.sum, d)?;
        numbers("scatter", &self.scatter, d * d)?;
        numbers("cubic", &self.cubic, d)?;
        numbers("quartic", &[self.quartic], 1)?;
        numbers("largest", &[self.largest], 1)?;
        match &self.responses {
            Responses::Nothing => {}
            Responses::Labels { classes, counts, sums, squares } => {
                same("class_counts", counts.len(), classes.len())?;
                numbers("class_sums", sums, d * classes.len())?;
                if let Some(squares) = squares {
                    numbers("class_squares", squares, classes.len())?;
                }
            }
            Responses::Targets { shift, sum, square, cross, joint } => {
                let k = shift.len();
                numbers("target_shift", shift, k)?;
                numbers("target_sum", sum, k)?;
                numbers("target_square", square, k)?;
                numbers("cross", cross, d * k)?;
                if let Some(joint) = joint {
                    joint.check(d, k)?;
                }
            }
        }
        symmetric("scatter", &self.scatter, d)
    }
}

impl JointMoments {
    /// Whether all are within float64: their fourth powers leave it where squares do not.
    fn is_finite(&self) -> bool {
        let own = self.own.iter().flat_map(|own| own.cubic.iter().chain([&own.quartic]));
        let sums = self.features.iter().chain(&self.targets).chain([&self.quartic]);
        own.chain(sums).all(|sum| sum.is_finite())
    }

    fn check(&self, d: usize, k: usize) -> Result<()> {
        numbers("joint_quartic", &[self.quartic], 1)?;
        numbers("joint_features", &self.features, d)?;
        numbers("joint_targets", &self.targets, k)?;
        let Some(own) = &self.own else { return Ok(()) };
        numbers("target_products", &own.products, k * k)?;
        numbers("target_cubic", &own.cubic, k)?;
        numbers("target_quartic", &[own.quartic], 1)?;
        symmetric("target_products", &own.products, k)
    }
}

fn refused<T>(problem: String) -> Result<T> {
    Err(Error::Moments { problem })
}

fn same(name: &'static str, actual: usize, expected: usize) -> Result<()> {
    if actual == expected {
        return Ok(());
    }
    Err(Error::Shape { name, axis: "numbers", actual, expected })
}

/// Checks that a matrix of products equals its transpose, to within rounding of the squares.
fn symmetric(name: &str, matrix: &[f64], order: usize) -> Result<()> {
    let square = |j: usize| matrix[j * (order + 1)].abs();
    for i in 0..order {
        for j in 0..i {
            let (a, b) = (matrix[i * order + j], matrix[j * order + i]);
            if (a - b).abs() > TOLERANCE * (square(i) * square(j)).sqrt() {
                return refused(format!("{name}[{i}, {j}] is {a:e} and its mirror {b:e}"));
            }
        }
    }
    Ok(())
}

/// Checks that there are `expected` values, all finite.
fn numbers(name: &'static str, values: &[f64], expected: usize) -> Result<()> {
    same(name, values.len(), expected)?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(i) => refused(format!("{name} holds {} at {i}", values[i])),
        None => Ok(()),
    }
}
