//! Statistics as plain moments, for those who accumulate them elsewhere: on other devices, in
//! other processes, in other libraries.

use crate::error::{Error, Result};
use crate::input::Label;
use crate::linalg::lapack::{MAX_ORDER, zeros};
use crate::threads::Context;

use super::fourth::Fourth;
use super::response::{Labels, Targets};
use super::{Held, Precision, Second, Stats};

/// By how much moments may contradict each other, relative to the sizes of their columns: products
/// of float32 round at 6e-8.
const TOLERANCE: f64 = 1e-5;

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
    /// What the rows are scored against.
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
        /// Which.
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
                let labels = Labels { classes, counts, codes: Vec::new(), sums };
                Held::Labels(labels.without_absent(d))
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
        match stats.inconsistency() {
            Some(problem) => Err(Error::Moments { problem }),
            None => Ok(stats),
        }
    }
}

impl Moments {
    /// Refuses what the moments of rows cannot be, by the inequality of Cauchy and Schwarz.
    fn check(&self) -> Result<()> {
        let (d, n) = (self.shift.len(), self.n_samples as f64);
        if d == 0 || d > MAX_ORDER {
            return Err(Error::TooLarge { order: d, limit: MAX_ORDER });
        }
        if self.n_samples == 0 || self.n_samples > 1 << 53 {
            return refused(format!("n_samples is {}; it must be 1 to 2^53", self.n_samples));
        }
        numbers("shift", &self.shift, d)?;
        numbers("sum", &self.sum, d)?;
        numbers("scatter", &self.scatter, d * d)?;
        numbers("cubic", &self.cubic, d)?;
        numbers("quartic", &[self.quartic], 1)?;
        numbers("largest", &[self.largest], 1)?;
        let squares: Vec<f64> = self.scatter.iter().step_by(d + 1).copied().collect();
        // What float32 cannot hold beside the largest is 0 there and not in the sums.
        let largest = squares.iter().fold(0.0_f64, |a, b| a.max(*b));
        let lost = if self.precision == Precision::Single { 1e-30 * largest } else { 0.0 };
        let within = |square: f64, bound: f64| square <= bound * (1.0 + TOLERANCE) + n * lost;
        for (j, square) in squares.iter().enumerate() {
            let sum = self.sum[j];
            if *square < 0.0 || !within(*square, n * self.largest * self.largest) {
                let largest = self.largest;
                return refused(format!(
                    "scatter[{j}, {j}] is {square:e}, which {n} samples of at most {largest:e} \
                     about the shift do not have"
                ));
            }
            if !within(sum * sum, n * square) {
                return refused(format!(
                    "sum[{j}] is {sum:e}, but {n} samples with a sum of squares of {square:e} \
                     (scatter[{j}, {j}]) reach {:e} at most",
                    (n * square).sqrt()
                ));
            }
        }
        for i in 0..d {
            for j in 0..i {
                let (a, b) = (self.scatter[i * d + j], self.scatter[j * d + i]);
                let bound = squares[i] * squares[j];
                if (a - b) * (a - b) > TOLERANCE * TOLERANCE * bound + n * lost {
                    return refused(format!("scatter[{i}, {j}] is {a:e} and its mirror {b:e}"));
                }
                if !within(a * a, bound) {
                    let reach = bound.sqrt();
                    return refused(format!("scatter[{i}, {j}] is {a:e}, of at most {reach:e}"));
                }
            }
        }
        let trace: f64 = squares.iter().sum();
        if !within(trace * trace, n * self.quartic) {
            return refused(format!(
                "quartic is {:e}, but with a trace of {trace:e} over {n} samples it is {:e} or more",
                self.quartic,
                trace * trace / n
            ));
        }
        self.responses.check(self, &squares, within)
    }
}

impl Responses {
    fn check(
        &self,
        moments: &Moments,
        squares: &[f64],
        within: impl Fn(f64, f64) -> bool,
    ) -> Result<()> {
        let (d, n) = (squares.len(), moments.n_samples as f64);
        match self {
            Self::Nothing => Ok(()),
            Self::Labels { classes, counts, sums } => {
                same("class_counts", counts.len(), classes.len())?;
                numbers("class_sums", sums, d * classes.len())?;
                for (j, square) in squares.iter().enumerate() {
                    let of_class = |c: usize| sums[c * d + j];
                    let differs = (0..counts.len()).map(of_class).sum::<f64>() - moments.sum[j];
                    if !within(differs * differs, TOLERANCE * TOLERANCE * n * square) {
                        return refused(format!("class_sums[:, {j}] do not add up to sum[{j}]"));
                    }
                    let mut classes = counts.iter().enumerate();
                    let beyond = |(c, count): (usize, &u64)| {
                        !within(of_class(c) * of_class(c), *count as f64 * square)
                    };
                    if let Some(c) = classes.position(beyond) {
                        let (sum, count) = (of_class(c), counts[c]);
                        return refused(format!(
                            "class_sums[{c}, {j}] is {sum:e}, too much for {count} samples"
                        ));
                    }
                }
                Ok(())
            }
            Self::Targets { shift, sum, square, cross } => {
                let k = shift.len();
                numbers("target_shift", shift, k)?;
                numbers("target_sum", sum, k)?;
                numbers("target_square", square, k)?;
                numbers("cross", cross, d * k)?;
                if let Some(k) = (0..k).find(|k| !within(sum[*k] * sum[*k], n * square[*k])) {
                    let square = square[k];
                    return refused(format!(
                        "target_sum[{k}] is {:e}, too much for {n} samples with a sum of squares \
                         of {square:e}",
                        sum[k]
                    ));
                }
                let beyond = |i: &usize| !within(cross[*i].powi(2), squares[i / k] * square[i % k]);
                let Some(i) = (0..d * k).find(beyond) else { return Ok(()) };
                refused(format!(
                    "cross[{}, {}] is {:e}, too much for its column and target",
                    i / k,
                    i % k,
                    cross[i]
                ))
            }
        }
    }
}

fn refused(problem: String) -> Result<()> {
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
