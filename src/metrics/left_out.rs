//! Groups of rows that are left out together, such as the rows of a patient or a video.

use ndarray::Array2;

use crate::error::{Error, Result};
use crate::linalg::memory::{Gather, append, filled, table, zeros};

use super::{Detail, Inputs, OptionReader};

const GROUPS: &str = "the groups of the rows";

/// The rows that a metric leaves out to predict one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum LeaveOut {
    /// The row itself.
    #[default]
    Row,
    /// All rows of its group; and whether the score of each group is asked for too.
    Group { scored: bool },
}

impl LeaveOut {
    /// Reads the options `leave_out` and `by_group`.
    pub(super) fn read(given: &mut OptionReader<'_>) -> Result<Self> {
        let scored = given.flag("by_group")?;
        let choices = [("row", Self::Row), ("group", Self::Group { scored })];
        Ok(given.choice("leave_out", &choices)?.unwrap_or_default())
    }

    /// The groups whose scores are asked for.
    pub(super) fn scored(self, groups: Option<&RowGroups>) -> Option<&RowGroups> {
        groups.filter(|_| self == Self::Group { scored: true })
    }

    /// The groups of these of the samples; none where rows are left out one by one.
    pub(super) fn groups(
        self,
        metric: &'static str,
        inputs: &Inputs<'_>,
        samples: &[usize],
    ) -> Result<Option<RowGroups>> {
        if self == Self::Row {
            return Ok(None);
        }
        let Some(ids) = inputs.groups else {
            let problem = "leave_out is \"group\", and there are no groups; give groups, the group \
                           of each row";
            return Err(Error::metric(metric, problem));
        };
        let (actual, expected) = (ids.len(), inputs.samples()?.features.n_rows());
        if actual != expected {
            return Err(Error::Shape { name: "groups", axis: "rows", actual, expected });
        }
        let groups = RowGroups::new(samples.iter().map(|place| ids[*place]))?;
        if groups.rows.len() < 2 {
            let problem = format!(
                "groups has the same group in all {} rows, so that nothing is left without it; give \
                 at least two groups, or leave_out=\"row\"",
                samples.len()
            );
            return Err(Error::metric(metric, problem));
        }
        Ok(Some(groups))
    }
}

/// A partition of rows into groups.
pub(super) struct RowGroups {
    /// The group of each row, in the order of their ids.
    pub(super) codes: Vec<u32>,
    /// The rows of each group, ascending; groups are in the order of their ids.
    pub(super) rows: Vec<Vec<usize>>,
}

impl RowGroups {
    fn new(ids: impl ExactSizeIterator<Item = i64> + Clone) -> Result<Self> {
        let mut known = ids.clone().gathered(GROUPS)?;
        known.sort_unstable();
        known.dedup();
        let mut code_of = table(known.len(), GROUPS)?;
        code_of.extend(known.iter().copied().zip(0_u32..));
        let codes = ids.map(|id| code_of[&id]).gathered(GROUPS)?;
        let mut rows = known.iter().map(|_| Vec::new()).gathered(GROUPS)?;
        for (row, code) in codes.iter().enumerate() {
            append(&mut rows[*code as usize], row, GROUPS)?;
        }
        Ok(Self { codes, rows })
    }

    /// The number of rows of the largest group.
    pub(super) fn largest(&self) -> usize {
        self.rows.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The warning "1 class occurs in a single group, `effect`", if any class does.
    pub(super) fn lone_classes(
        &self,
        classes: &[u32],
        n_classes: usize,
        effect: &str,
    ) -> Result<Option<String>> {
        let mut seen: Vec<Option<u32>> = filled(None, n_classes, GROUPS)?;
        let mut is_alone = filled(true, n_classes, GROUPS)?;
        for (class, group) in classes.iter().zip(&self.codes) {
            let class = *class as usize;
            is_alone[class] &= *seen[class].get_or_insert(*group) == *group;
        }
        Ok(match is_alone.iter().filter(|alone| **alone).count() {
            0 => None,
            1 => Some(format!("1 class occurs in a single group, {effect}")),
            n => Some(format!("{n} classes occur in a single group each, {effect}")),
        })
    }
}

/// The score of each group and class or target, where it is asked for: the share of its rows that are
/// right, or R² of the predictions of its rows.
pub(super) struct GroupScores<'a> {
    groups: Option<&'a RowGroups>,
    n_targets: usize,
    /// Whether `sums` are of squared errors.
    of_errors: bool,
    /// Σ w of the right rows or Σ w e², (groups, targets).
    sums: Vec<f64>,
    /// Σ w or Σ w (y − ȳ)², (groups, targets).
    whole: Vec<f64>,
    /// Σ w and ȳ so far, (groups, targets).
    means: Vec<(f64, f64)>,
}

impl<'a> GroupScores<'a> {
    /// No rows; of nothing without groups.
    pub(super) fn new(
        groups: Option<&'a RowGroups>,
        n_targets: usize,
        of_errors: bool,
    ) -> Result<Self> {
        let n = groups.map_or(0, |groups| groups.rows.len()).saturating_mul(n_targets);
        let means = filled((0.0, 0.0), if of_errors { n } else { 0 }, GROUPS)?;
        let (sums, whole) = (zeros(n, GROUPS)?, zeros(n, GROUPS)?);
        Ok(Self { groups, n_targets, of_errors, sums, whole, means })
    }

    fn place(&self, row: usize, target: usize) -> Option<usize> {
        Some(self.groups?.codes[row] as usize * self.n_targets + target)
    }

    /// Adds a row of this weight, right or not.
    pub(super) fn add_vote(&mut self, row: usize, target: usize, weight: f64, right: bool) {
        let Some(place) = self.place(row, target) else { return };
        self.whole[place] += weight;
        self.sums[place] += if right { weight } else { 0.0 };
    }

    /// Adds Σ w e² of the group of a row.
    pub(super) fn add_square(&mut self, row: usize, target: usize, square: f64) {
        if let Some(place) = self.place(row, target) {
            self.sums[place] += square;
        }
    }

    /// Adds a target of this weight to the variation in its group, which is 0 for equal ones.
    pub(super) fn add_target(&mut self, row: usize, target: usize, weight: f64, y: f64) {
        let Some(place) = self.place(row, target) else { return };
        let (total, mean) = &mut self.means[place];
        *total += weight;
        let before = y - *mean;
        *mean += before * (weight / *total);
        self.whole[place] += weight * before * (y - *mean); // 0 for the first, whose mean is y
    }

    /// The detail `by_group`, (groups, targets), NaN where a group has none; nothing without groups.
    pub(super) fn into_detail(self) -> Result<Option<(&'static str, Detail)>> {
        let Some(groups) = self.groups else { return Ok(None) };
        let shape = (groups.rows.len(), self.n_targets);
        let score = |(sum, whole): (&f64, &f64)| match (*whole > 0.0, self.of_errors) {
            (false, _) => f64::NAN,
            (true, false) => sum / whole,
            (true, true) => 1.0 - sum / whole,
        };
        let scores = self.sums.iter().zip(&self.whole).map(score).gathered(GROUPS)?;
        let all = Array2::from_shape_vec(shape, scores).map_err(|_| Error::NoData)?;
        Ok(Some(("by_group", Detail::Matrix(all))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_in_the_order_of_their_ids_and_rows_in_theirs() {
        let groups = RowGroups::new([7, -2, 7, 3].into_iter()).unwrap();
        assert_eq!(groups.codes, [2, 0, 2, 1]);
        assert_eq!(groups.rows, [vec![1], vec![3], vec![0, 2]]);
        assert_eq!(groups.largest(), 2);
    }

    #[test]
    fn classes_of_one_group_are_counted() {
        let groups = RowGroups::new([0, 0, 1, 1].into_iter()).unwrap();
        assert_eq!(groups.lone_classes(&[0, 1, 0, 1], 2, "x").unwrap(), None);
        let one = groups.lone_classes(&[0, 1, 1, 0], 2, "x").unwrap();
        assert_eq!(one, None);
        let one = groups.lone_classes(&[0, 1, 0, 0], 2, "x").unwrap();
        assert_eq!(one.as_deref(), Some("1 class occurs in a single group, x"));
    }

    #[test]
    fn a_group_without_variation_has_no_r2() {
        let groups = RowGroups::new([0, 0, 1, 1].into_iter()).unwrap();
        let mut scores = GroupScores::new(Some(&groups), 1, true).unwrap();
        for (row, y) in [0.1, 0.1, 1.0, 3.0].into_iter().enumerate() {
            scores.add_target(row, 0, 1.0, y);
            scores.add_square(row, 0, 0.5);
        }
        let Some((_, Detail::Matrix(found))) = scores.into_detail().unwrap() else {
            panic!("no scores")
        };
        assert!(found[[0, 0]].is_nan());
        assert!((found[[1, 0]] - 0.5).abs() < 1e-15); // 1 − (0.5 + 0.5) / 2
    }
}
