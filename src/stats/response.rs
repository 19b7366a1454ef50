//! The statistics of the responses: classes with their counts and sums, or targets with their
//! moments. Held by row while rows are held, as sums once the scatter is.

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::{ArrayView2, Axis};

use crate::error::{Error, Result};
use crate::input::{Block, Label, Response};
use crate::linalg::blas::axpy;
use crate::linalg::memory::{Gather, append, copied, enter, grow, reserved, table, zeros};
use crate::threads::Context;

use super::joint::Joint;
use super::range::{LARGEST, SMALLEST_TARGET};

const CLASSES: &str = "the classes";
const TARGETS: &str = "the sums of the targets";

/// The response part of [`super::Stats`].
#[derive(Debug, Clone)]
pub(crate) enum Held {
    Nothing,
    Labels(Labels),
    Targets(Targets),
}

/// Classes in order of appearance.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    pub(crate) classes: Vec<Label>,
    pub(crate) counts: Vec<u64>,
    /// The class of each row, while rows are held.
    pub(crate) codes: Vec<u32>,
    /// Σ w (x − s) by class, (C, D), once the scatter is held.
    pub(crate) sums: Vec<f64>,
    /// Σ w ‖x − s‖² by class, (C,), once the scatter is held; `None` also for moments without it.
    pub(crate) squares: Option<Vec<f64>>,
}

/// Targets about a shift p (K,).
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    pub(crate) shift: Vec<f64>,
    /// Σ w (y − p), (K,).
    pub(crate) sum: Vec<f64>,
    /// Σ w (y − p)², (K,).
    pub(crate) square: Vec<f64>,
    /// y − p by row, (N, K), while rows are held.
    pub(crate) rows: Vec<f64>,
    /// Σ w (x − s)(y − p)ᵀ, (D, K), once the scatter is held.
    pub(crate) cross: Vec<f64>,
    /// Once the scatter is held; `None` also for moments without it.
    pub(crate) joint: Option<Joint>,
}

/// Sums over rows with responses: of classes, or with targets.
pub(super) struct ResponseSums {
    /// Class sums, (C, D), or products with the targets, (D, K).
    pub(super) cross: Vec<f64>,
    /// Σ w ‖x − s‖² by class, (C,).
    pub(super) squares: Vec<f64>,
    /// With targets.
    pub(super) joint: Option<Joint>,
}

impl ResponseSums {
    /// Zeros for responses of this kind.
    pub(super) fn new(n_features: usize, held: &Held) -> Result<Self> {
        let (squares, joint) = match held {
            Held::Nothing => (Vec::new(), None),
            Held::Labels(labels) => (zeros(labels.classes.len(), CLASSES)?, None),
            Held::Targets(targets) => {
                (Vec::new(), Some(Joint::new(n_features, targets.shift.len())?))
            }
        };
        let cross = zeros(n_features * held.width(), "sums by class or target")?;
        Ok(Self { cross, squares, joint })
    }

    pub(super) fn reset(&mut self) {
        self.cross.fill(0.0);
        self.squares.fill(0.0);
        self.joint.iter_mut().for_each(Joint::reset);
    }

    pub(super) fn add(&mut self, other: &Self, context: &Context<'_>) -> Result<()> {
        axpy(1.0, &other.cross, &mut self.cross);
        axpy(1.0, &other.squares, &mut self.squares);
        match (&mut self.joint, &other.joint) {
            (Some(joint), Some(other)) => joint.add(other, context),
            _ => Ok(()),
        }
    }
}

impl Held {
    /// The responses of the given rows of a block, row by row, about the shift that `earlier`
    /// already has.
    pub(crate) fn of_block(block: &Block<'_>, rows: &[usize], earlier: &Self) -> Result<Self> {
        match (block.response, earlier) {
            (Response::Labels { ids, names }, Self::Nothing | Self::Labels(_)) => {
                Ok(Self::Labels(Labels::of_ids(ids, names, rows, block)?))
            }
            (Response::Targets(targets), Self::Nothing) => {
                let shift = first_and_mean_difference(targets, rows)?;
                Ok(Self::Targets(Targets::of_rows(targets, shift, rows, block)?))
            }
            (Response::Targets(targets), Self::Targets(earlier)) => {
                let (actual, expected) = (targets.ncols(), earlier.shift.len());
                if actual != expected {
                    let (name, axis) = ("targets", "columns");
                    return Err(Error::Shape { name, axis, actual, expected });
                }
                let shift = copied(&earlier.shift, TARGETS)?;
                Ok(Self::Targets(Targets::of_rows(targets, shift, rows, block)?))
            }
            (Response::Nothing(_), Self::Nothing) => Ok(Self::Nothing),
            (response, _) => {
                Err(Error::MixedResponse { holds: earlier.name(), brings: response.name() })
            }
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Labels(_) => "labels",
            Self::Targets(_) => "targets",
        }
    }

    pub(super) fn width(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Labels(labels) => labels.classes.len(),
            Self::Targets(targets) => targets.shift.len(),
        }
    }

    /// An independent copy.
    pub(super) fn try_clone(&self) -> Result<Self> {
        Ok(match self {
            Self::Nothing => Self::Nothing,
            Self::Labels(labels) => Self::Labels(labels.try_clone()?),
            Self::Targets(targets) => Self::Targets(targets.try_clone()?),
        })
    }

    /// Makes room for the responses of `other`, so that adding them allocates nothing, and returns the
    /// places of its classes among ours; `beside` are the sums that are about to be held.
    pub(super) fn make_room(
        &mut self,
        other: &Self,
        n_features: usize,
        beside: Option<&mut ResponseSums>,
    ) -> Result<Vec<u32>> {
        match (self, other) {
            (Self::Labels(labels), Self::Labels(other)) => {
                labels.make_room(other, n_features, beside)
            }
            (Self::Targets(targets), Self::Targets(other)) => {
                grow(&mut targets.rows, other.rows.len(), "the targets")?;
                Ok(Vec::new())
            }
            _ => Ok(Vec::new()),
        }
    }

    pub(super) fn n_bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Labels(l) => {
                let squares = l.squares.as_ref().map_or(0, Vec::len);
                8 * (l.counts.len() + l.sums.len() + squares) + 4 * l.codes.len()
            }
            Self::Targets(t) => {
                let joint = t.joint.as_ref().map_or(0, Joint::n_numbers);
                8 * (3 * t.shift.len() + t.rows.len() + t.cross.len() + joint)
            }
        }
    }
}

impl Labels {
    pub(super) fn try_clone(&self) -> Result<Self> {
        let squares = self.squares.as_ref().map(|squares| copied(squares, "the class squares"));
        Ok(Self {
            classes: self.classes.iter().cloned().gathered("the classes")?,
            counts: copied(&self.counts, "the counts of the classes")?,
            codes: copied(&self.codes, "the classes of the rows")?,
            sums: copied(&self.sums, "the class sums")?,
            squares: squares.transpose()?,
        })
    }

    fn of_ids(
        ids: &[i64],
        names: Option<&[Arc<str>]>,
        rows: &[usize],
        block: &Block<'_>,
    ) -> Result<Self> {
        let codes = reserved(rows.len(), "the classes of the rows")?;
        let mut labels =
            Self { classes: vec![], counts: vec![], codes, sums: vec![], squares: None };
        let mut seen: HashMap<i64, u32> = HashMap::new();
        let mut last = None; // labels often come in runs
        for row in rows {
            let id = ids[*row];
            let known = last.filter(|(last, _)| *last == id).map(|(_, code)| code);
            let code = if let Some(code) = known.or_else(|| seen.get(&id).copied()) {
                code
            } else {
                let code = labels.add_class(class_of(id, names, *row)?)?;
                enter(&mut seen, id, code, CLASSES)?;
                code
            };
            last = Some((id, code));
            labels.codes.push(code);
            labels.counts[code as usize] += block.count(*row);
        }
        Ok(labels)
    }

    fn add_class(&mut self, class: Label) -> Result<u32> {
        append(&mut self.classes, class, CLASSES)?;
        append(&mut self.counts, 0, CLASSES)?;
        Ok(u32::try_from(self.classes.len() - 1).expect("fewer classes than rows in memory"))
    }

    /// The classes' places in sorted order.
    pub(crate) fn sorted(&self) -> Result<Vec<usize>> {
        let mut order = (0..self.classes.len()).gathered(CLASSES)?;
        order.sort_unstable_by(|a, b| self.classes[*a].cmp(&self.classes[*b])); // no two are equal
        Ok(order)
    }

    /// The counts of the classes, sorted by class.
    pub(crate) fn sorted_counts(&self) -> Result<Vec<f64>> {
        self.sorted()?.into_iter().map(|c| self.counts[c] as f64).gathered(CLASSES)
    }

    pub(super) fn check_same_kind(&self, other: &Self) -> Result<()> {
        let named = |classes: &[Label]| matches!(classes.first(), Some(Label::Text(_)));
        if named(&self.classes) == named(&other.classes) { Ok(()) } else { Err(Error::MixedLabels) }
    }

    /// Makes room for the classes of `other`, and returns the place of each: ours, or the next new one.
    fn make_room(
        &mut self,
        other: &Self,
        n_features: usize,
        beside: Option<&mut ResponseSums>,
    ) -> Result<Vec<u32>> {
        let ours = self.classes.len();
        let mut known = table(ours, CLASSES)?;
        for (class, place) in self.classes.iter().zip(0..) {
            enter(&mut known, class, place, CLASSES)?;
        }
        let mut places = reserved(other.classes.len(), CLASSES)?;
        let mut new = 0;
        for class in &other.classes {
            places.push(known.get(class).copied().unwrap_or_else(|| {
                new += 1;
                u32::try_from(ours + new - 1).expect("fewer classes than rows in memory")
            }));
        }
        grow(&mut self.classes, new, CLASSES)?;
        grow(&mut self.counts, new, CLASSES)?;
        grow(&mut self.codes, other.codes.len(), "the classes of the rows")?;
        let (sums, squares) = match beside {
            Some(beside) => (&mut beside.cross, Some(&mut beside.squares)),
            None => (&mut self.sums, self.squares.as_mut()),
        };
        if !sums.is_empty() {
            grow(sums, new.saturating_mul(n_features), "the class sums")?;
        }
        squares.map_or(Ok(()), |squares| grow(squares, new, "the class squares"))?;
        Ok(places)
    }

    /// Adds the new classes of `other`, whose places [`Self::make_room`] returned.
    pub(super) fn unite(&mut self, other: &Self, places: &[u32], n_features: usize) {
        for (class, place) in other.classes.iter().zip(places) {
            if *place as usize == self.classes.len() {
                self.classes.push(class.clone());
                self.counts.push(0);
            }
        }
        if !self.sums.is_empty() {
            self.sums.resize(self.classes.len() * n_features, 0.0);
        }
        if let Some(squares) = &mut self.squares {
            squares.resize(self.classes.len(), 0.0);
        }
    }
}

impl Targets {
    pub(super) fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            shift: copied(&self.shift, TARGETS)?,
            sum: copied(&self.sum, TARGETS)?,
            square: copied(&self.square, TARGETS)?,
            rows: copied(&self.rows, "the targets")?,
            cross: copied(&self.cross, "the products with the targets")?,
            joint: self.joint.as_ref().map(Joint::try_clone).transpose()?,
        })
    }

    fn of_rows(
        targets: ArrayView2<'_, f64>,
        shift: Vec<f64>,
        rows: &[usize],
        block: &Block<'_>,
    ) -> Result<Self> {
        let n_targets = shift.len();
        let mut held = Self {
            sum: zeros(n_targets, TARGETS)?,
            square: zeros(n_targets, TARGETS)?,
            rows: reserved(rows.len().saturating_mul(n_targets), "the targets")?,
            cross: Vec::new(),
            joint: None,
            shift,
        };
        let mut largest = zeros::<f64>(n_targets, TARGETS)?;
        for row in rows {
            let weight = block.weight(*row);
            for (column, value) in targets.index_axis(Axis(0), *row).iter().enumerate() {
                let (row, value) = (*row, *value);
                if !value.is_finite() {
                    return Err(Error::NotFinite { name: "targets", row, column, value });
                }
                let y = value - held.shift[column];
                // About zero too: LogME without an intercept squares the mean.
                if y.abs() > LARGEST || value.abs() > LARGEST {
                    return Err(too_large(targets, rows, column, held.shift[column]));
                }
                largest[column] = largest[column].max(y.abs());
                held.sum[column] += weight * y;
                held.square[column] += weight * y * y;
                held.rows.push(y);
            }
        }
        if let Some(largest) = largest.into_iter().find(|y| *y > 0.0 && *y < SMALLEST_TARGET) {
            return Err(Error::OutOfRange { name: "targets", largest, problem: "underflow" });
        }
        Ok(held)
    }
}

fn class_of(id: i64, names: Option<&[Arc<str>]>, row: usize) -> Result<Label> {
    let Some(names) = names else { return Ok(Label::Int(id)) };
    let name = usize::try_from(id).ok().and_then(|id| names.get(id));
    let unknown = Error::UnknownLabel { row, id, n_names: names.len() };
    name.map(|name| Label::Text(name.clone())).ok_or(unknown)
}

/// The error of a column of finite targets whose squares, about zero or a shift, overflow.
fn too_large(targets: ArrayView2<'_, f64>, rows: &[usize], column: usize, shift: f64) -> Error {
    let values = rows.iter().map(|row| targets[[*row, column]]);
    let sizes = values.flat_map(|value| [value.abs(), (value - shift).abs()]);
    let largest = sizes.filter(|size| size.is_finite()).fold(0.0, f64::max);
    Error::OutOfRange { name: "targets", largest, problem: "overflow" }
}

/// The column means as first value plus mean difference from it, exact for a constant column.
fn first_and_mean_difference(targets: ArrayView2<'_, f64>, rows: &[usize]) -> Result<Vec<f64>> {
    let mean = |column: usize| {
        let first = targets[[rows[0], column]];
        let differences: f64 = rows.iter().map(|row| targets[[*row, column]] - first).sum();
        let mean = first + differences / rows.len() as f64;
        if mean.is_finite() {
            return Ok(mean);
        }
        let bad = rows.iter().find(|row| !targets[[**row, column]].is_finite());
        let Some(row) = bad else {
            return Err(too_large(targets, rows, column, 0.0));
        };
        Err(Error::NotFinite { name: "targets", row: *row, column, value: targets[[*row, column]] })
    };
    (0..targets.ncols()).map(mean).gathered_ok(TARGETS)
}
