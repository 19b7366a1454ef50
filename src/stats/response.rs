//! The statistics of the responses: classes with their counts and sums, or targets with their
//! moments. Held by row while rows are held, as sums once the scatter is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ndarray::{ArrayView2, Axis};

use crate::error::{Error, Result};
use crate::input::{Block, Label, Response};
use crate::linalg::blas::axpy;
use crate::linalg::memory::{Gather, copied, grow, reserved, zeros};
use crate::threads::Context;

use super::joint::Joint;
use super::range::{LARGEST, SMALLEST_TARGET};

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
            Held::Labels(labels) => (vec![0.0; labels.classes.len()], None),
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
                let shift = earlier.shift.clone();
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

    /// Makes room for the responses of `other`, so that adding them allocates nothing large;
    /// `class_sums` are those that are about to be held.
    pub(super) fn make_room(
        &mut self,
        other: &Self,
        n_features: usize,
        class_sums: Option<&mut Vec<f64>>,
    ) -> Result<()> {
        match (self, other) {
            (Self::Labels(labels), Self::Labels(other)) => {
                grow(&mut labels.codes, other.codes.len(), "the classes of the rows")?;
                let sums = class_sums.unwrap_or(&mut labels.sums);
                if sums.is_empty() {
                    return Ok(());
                }
                let known: HashSet<&Label> = labels.classes.iter().collect();
                let new = other.classes.iter().filter(|class| !known.contains(class)).count();
                grow(sums, new.saturating_mul(n_features), "the class sums")
            }
            (Self::Targets(targets), Self::Targets(other)) => {
                grow(&mut targets.rows, other.rows.len(), "the targets")
            }
            _ => Ok(()),
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
                let code = labels.add_class(class_of(id, names, *row)?);
                seen.insert(id, code);
                code
            };
            last = Some((id, code));
            labels.codes.push(code);
            labels.counts[code as usize] += block.count(*row);
        }
        Ok(labels)
    }

    fn add_class(&mut self, class: Label) -> u32 {
        self.classes.push(class);
        self.counts.push(0);
        u32::try_from(self.classes.len() - 1).expect("fewer classes than rows in memory")
    }

    /// The classes' places in sorted order.
    pub(crate) fn sorted(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.classes.len()).collect();
        order.sort_by(|a, b| self.classes[*a].cmp(&self.classes[*b]));
        order
    }

    /// The counts of the classes, sorted by class.
    pub(crate) fn sorted_counts(&self) -> Vec<f64> {
        self.sorted().into_iter().map(|c| self.counts[c] as f64).collect()
    }

    pub(super) fn check_same_kind(&self, other: &Self) -> Result<()> {
        let named = |classes: &[Label]| matches!(classes.first(), Some(Label::Text(_)));
        if named(&self.classes) == named(&other.classes) { Ok(()) } else { Err(Error::MixedLabels) }
    }

    /// Adds the classes of `other`, and returns the place of each.
    pub(super) fn unite(&mut self, other: &Self, n_features: usize) -> Vec<u32> {
        let mut places: HashMap<Label, u32> = self.classes.iter().cloned().zip(0..).collect();
        let mut map = Vec::with_capacity(other.classes.len());
        for class in &other.classes {
            let place = places.get(class).copied().unwrap_or_else(|| self.add_class(class.clone()));
            places.insert(class.clone(), place);
            map.push(place);
        }
        if !self.sums.is_empty() {
            self.sums.resize(self.classes.len() * n_features, 0.0);
        }
        if let Some(squares) = &mut self.squares {
            squares.resize(self.classes.len(), 0.0);
        }
        map
    }
}

impl Targets {
    pub(super) fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            shift: self.shift.clone(),
            sum: self.sum.clone(),
            square: self.square.clone(),
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
            sum: vec![0.0; n_targets],
            square: vec![0.0; n_targets],
            rows: reserved(rows.len().saturating_mul(n_targets), "the targets")?,
            cross: Vec::new(),
            joint: None,
            shift,
        };
        let mut largest = vec![0.0_f64; n_targets];
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
                    let (largest, problem) = (value.abs(), "overflow");
                    return Err(Error::OutOfRange { name: "targets", largest, problem });
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
            let (largest, problem) = (first.abs(), "overflow");
            return Err(Error::OutOfRange { name: "targets", largest, problem });
        };
        Err(Error::NotFinite { name: "targets", row: *row, column, value: targets[[*row, column]] })
    };
    (0..targets.ncols()).map(mean).collect()
}
