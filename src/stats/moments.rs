//! Statistics as plain moments, for those who accumulate them elsewhere: on other devices, in
//! other processes, in other libraries.

use crate::error::{Error, Result};
use crate::input::Label;
use crate::linalg::lapack::MAX_ORDER;
use crate::linalg::memory::zeros;
use crate::threads::Context;

use super::check::TOLERANCE;
use super::fourth::Fourth;
use super::response::{Labels, Targets};
use super::{Held, Precision, Second, Stats};

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
    /// No |x − s| is larger.
    pub largest: f64,
    /// The labels or targets of the rows.
    pub responses: Responses,
    /// The moments of each class, where they are wanted.
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
        /// The classes.
        classes: Vec<Label>,
        /// Σ w by class, (C,).
        counts: Vec<u64>,
        /// Σ w (x − s) by class, (C, D).
        sums: Vec<f64>,
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
    },
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
        for i in 0..d {
            for j in 0..i {
                scatter[i * d + j] = scatter[j * d + i];
            }
        }
        let responses = match self.held {
            Held::Nothing => Responses::Nothing,
            Held::Labels(labels) => {
                let order = labels.sorted();
                let sum = |c: &usize| labels.sums[c * d..(c + 1) * d].iter().copied();
                Responses::Labels {
                    classes: order.iter().map(|c| labels.classes[*c].clone()).collect(),
                    counts: order.iter().map(|c| labels.counts[*c]).collect(),
                    sums: order.iter().flat_map(sum).collect(),
                }
            }
            Held::Targets(Targets { shift, sum, square, cross, .. }) => {
                Responses::Targets { shift, sum, square, cross }
            }
        };
        let one = |(class, stats): (Label, Self)| Ok((class, stats.into_moments(context)?));
        let by_class = self.by_class.map(|classes| classes.into_iter().map(one).collect());
        Ok(Moments {
            precision: self.precision,
            n_samples: self.n_samples,
            shift: self.shift,
            sum: self.sum,
            scatter,
            cubic: self.fourth.cubic,
            quartic: self.fourth.quartic,
            largest: self.largest,
            responses,
            by_class: by_class.transpose()?,
        })
    }

    /// The statistics with these moments; they hold the scatter, however few the rows were.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Moments`] for moments that no rows have: not finite, not
    /// symmetric, or against each other by more than the rounding of float32.
    pub fn from_moments(moments: Moments) -> Result<Self> {
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
            Responses::Labels { classes, counts, sums } => {
                let present: Vec<usize> = (0..counts.len()).filter(|c| counts[*c] > 0).collect();
                let sum = |c: &usize| sums[c * d..(c + 1) * d].to_vec();
                Held::Labels(Labels {
                    classes: present.iter().map(|c| classes[*c].clone()).collect(),
                    counts: present.iter().map(|c| counts[*c]).collect(),
                    codes: Vec::new(),
                    sums: present.iter().flat_map(sum).collect(),
                })
            }
            Responses::Targets { shift, sum, square, cross } => {
                Held::Targets(Targets { shift, sum, square, rows: Vec::new(), cross })
            }
        };
        let one = |(class, moments): (Label, Moments)| Ok((class, Self::from_moments(moments)?));
        let present = |(_, moments): &(Label, Moments)| moments.n_samples > 0;
        let by_class =
            moments.by_class.map(|classes| classes.into_iter().filter(present).map(one).collect());
        let stats = Self {
            precision: moments.precision,
            n_features: d,
            n_samples: moments.n_samples,
            shift: moments.shift,
            sum: moments.sum,
            largest: moments.largest,
            second: Second::Scatter(scatter),
            fourth: Fourth { cubic: moments.cubic, quartic: moments.quartic },
            held,
            by_class: by_class.transpose()?,
        };
        if let Some(problem) = stats.inconsistency() {
            return refused(problem);
        }
        if stats.is_indefinite()? {
            return refused(
                "scatter has a direction in which squares add up to less than 0".into(),
            );
        }
        Ok(stats)
    }
}

impl Moments {
    /// Lengths, finite numbers and symmetry.
    fn check(&self) -> Result<()> {
        let d = self.shift.len();
        if d == 0 {
            return Err(Error::Empty { name: "shift", axis: "features" });
        }
        if d > MAX_ORDER {
            return Err(Error::TooLarge { order: d, limit: MAX_ORDER });
        }
        numbers("shift", &self.shift, d)?;
        numbers("sum", &self.sum, d)?;
        numbers("scatter", &self.scatter, d * d)?;
        numbers("cubic", &self.cubic, d)?;
        numbers("quartic", &[self.quartic], 1)?;
        numbers("largest", &[self.largest], 1)?;
        match &self.responses {
            Responses::Nothing => {}
            Responses::Labels { classes, counts, sums } => {
                same("class_counts", counts.len(), classes.len())?;
                numbers("class_sums", sums, d * classes.len())?;
            }
            Responses::Targets { shift, sum, square, cross } => {
                let k = shift.len();
                numbers("target_shift", shift, k)?;
                numbers("target_sum", sum, k)?;
                numbers("target_square", square, k)?;
                numbers("cross", cross, d * k)?;
            }
        }
        let square = |j: usize| self.scatter[j * (d + 1)].abs();
        for i in 0..d {
            for j in 0..i {
                let (a, b) = (self.scatter[i * d + j], self.scatter[j * d + i]);
                if (a - b).abs() > TOLERANCE * (square(i) * square(j)).sqrt() {
                    return refused(format!("scatter[{i}, {j}] is {a:e} and its mirror {b:e}"));
                }
            }
        }
        Ok(())
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

/// As many as there must be, and finite.
fn numbers(name: &'static str, values: &[f64], expected: usize) -> Result<()> {
    same(name, values.len(), expected)?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(i) => refused(format!("{name} holds {} at {i}", values[i])),
        None => Ok(()),
    }
}
