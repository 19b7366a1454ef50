//! Rows that repeat: one row with the sum of their weights.
//!
//! Two rows are the same if their responses are, and if the root mean square over the columns of
//!
//!   |xⱼ − x'ⱼ| / (σⱼ + max(|xⱼ − mⱼ|, |x'ⱼ − mⱼ|))
//!
//! is at most [`SAME`], for the median mⱼ of a column and the median σⱼ of the distances from it that
//! are not zero, or a scale of most columns if that is larger: a column that is zero in all rows but
//! for rounding has no scale of its own. Medians, because one row may be far from all others.
//!
//! Rows are sorted by one projection, so that only neighbours are compared: N D plus the comparisons.

use crate::error::{Error, Result};
use crate::linalg::memory::{Gather, copied, reserved};

use super::{Held, Second, Stats};

/// Relative difference of rows that are the same: rounding of float32 products.
const SAME: f64 = 1e-5;
const COLUMNS: &str = "the medians of the columns";

/// The median and the scale of every column.
struct Columns {
    median: Vec<f64>,
    scale: Vec<f64>,
}

impl Columns {
    /// Of row-major values with `n_cols` columns.
    fn new(values: &[f64], n_cols: usize) -> Result<Self> {
        const MOST: usize = 10; // one column in ten may have a larger scale
        let mut column = reserved(values.len() / n_cols, "a column of the rows")?;
        let (mut median, mut scale) = (reserved(n_cols, COLUMNS)?, reserved(n_cols, COLUMNS)?);
        for j in 0..n_cols {
            column.clear();
            column.extend(values[j..].iter().step_by(n_cols));
            let middle = quantile(&mut column, 2);
            for x in &mut column {
                *x = (*x - middle).abs();
            }
            column.retain(|x| *x > 0.0);
            median.push(middle);
            scale.push(quantile(&mut column, 2));
        }
        let mut all = scale.iter().copied().filter(|scale: &f64| *scale > 0.0).gathered(COLUMNS)?;
        let common = quantile(&mut all, MOST);
        for scale in &mut scale {
            *scale = scale.max(common);
        }
        Ok(Self { median, scale })
    }

    /// The difference of two entries of a column, relative to their distance from its median.
    fn difference(&self, j: usize, a: f64, b: f64) -> f64 {
        let far = (a - self.median[j]).abs().max((b - self.median[j]).abs());
        let size = self.scale[j] + far;
        if size > 0.0 { (a - b).abs() / size } else { 0.0 }
    }

    /// Whether two rows are the same.
    fn same(&self, a: &[f64], b: &[f64]) -> bool {
        let limit = SAME * SAME * a.len() as f64;
        let mut sum = 0.0;
        for (j, (a, b)) in a.iter().zip(b).enumerate() {
            sum += self.difference(j, *a, *b).powi(2);
            if sum > limit {
                return false;
            }
        }
        true
    }

    /// The projection of a row on signs that look random, and the most by which a row that is the
    /// same may differ in it (Cauchy–Schwarz).
    fn project(&self, row: &[f64]) -> (f64, f64) {
        let (mut along, mut square, mut bits) = (0.0, 0.0, 0x9E37_79B9_7F4A_7C15_u64);
        for (j, x) in row.iter().enumerate() {
            bits = bits.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
            let z = if self.scale[j] > 0.0 { (x - self.median[j]) / self.scale[j] } else { 0.0 };
            along += if bits >> 63 == 0 { z } else { -z };
            square += (1.0 + z.abs()).powi(2);
        }
        // The other row may be as far as 1 + SAME √D times this one in a column.
        let reach = SAME * (row.len() as f64 * square).sqrt();
        (along, 2.0 * reach)
    }
}

/// The value that one in `share` of the values exceeds; 0 of none.
fn quantile(values: &mut [f64], share: usize) -> f64 {
    let place = values.len() - values.len() / share;
    let place = place.min(values.len().saturating_sub(1));
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(place, f64::total_cmp).1
}

impl Stats {
    /// The statistics with rows that repeat as one row, if there are any; none for a scatter.
    ///
    /// `n_samples` stays; the number of rows that are held is that of distinct rows.
    pub(crate) fn distinct(&self) -> Result<Option<Self>> {
        let Second::Rows { values, weights } = &self.second else { return Ok(None) };
        let first = self.first_of_repeats(values, &Answers::new(&self.held)?)?;
        let repeats = first.iter().enumerate().any(|(i, first)| i != *first);
        if !repeats && weights.iter().all(|weight| *weight <= 1.0) {
            return Ok(None);
        }
        self.merged(&first).map(Some)
    }

    /// The number of held rows with different features, whatever their responses; 0 of a scatter.
    pub(crate) fn n_distinct_features(&self) -> Result<usize> {
        let Second::Rows { values, .. } = &self.second else { return Ok(0) };
        let first = self.first_of_repeats(values, &Answers::Nothing)?;
        Ok(first.iter().enumerate().filter(|(i, first)| i == *first).count())
    }

    /// The row that each held row repeats, or itself.
    fn first_of_repeats(&self, values: &[f64], answers: &Answers<'_>) -> Result<Vec<usize>> {
        let n_cols = self.n_features;
        let n_rows = values.len() / n_cols;
        let columns = Columns::new(values, n_cols)?;
        let row = |i: usize| &values[i * n_cols..(i + 1) * n_cols];
        let keys =
            (0..n_rows).map(|i| columns.project(row(i))).gathered("projections of the rows")?;
        let mut order = (0..n_rows).gathered("the order of the rows")?;
        order.sort_unstable_by(|a, b| keys[*a].0.total_cmp(&keys[*b].0).then(a.cmp(b)));
        // The first row, in this order, that each row repeats.
        let mut first = (0..n_rows).gathered("the numbers of the rows")?;
        for (place, i) in order.iter().enumerate() {
            if first[*i] != *i {
                continue;
            }
            let (along, reach) = keys[*i];
            for other in order[place + 1..].iter().take_while(|k| keys[**k].0 - along <= reach) {
                if first[*other] == *other
                    && answers.same(*i, *other)
                    && columns.same(row(*i), row(*other))
                {
                    first[*other] = *i;
                }
            }
        }
        Ok(first)
    }

    /// The statistics with every row added to the row that it repeats, as weighted means.
    fn merged(&self, first: &[usize]) -> Result<Self> {
        let Second::Rows { values, weights } = &self.second else { return Err(Error::NoData) };
        let n_cols = self.n_features;
        let kept = (0..first.len()).filter(|i| first[*i] == *i).gathered("the distinct rows")?;
        let mut total = copied(weights, "the weights of the rows")?;
        for (i, first) in first.iter().enumerate().filter(|(i, first)| i != *first) {
            total[*first] += weights[i];
        }
        let mean = |values: &[f64], n_cols: usize| {
            let mut merged = copied(values, "the merged rows")?;
            for (i, first) in first.iter().enumerate().filter(|(i, first)| i != *first) {
                let share = weights[i] / total[*first];
                for j in 0..n_cols {
                    let difference = values[i * n_cols + j] - values[first * n_cols + j];
                    merged[first * n_cols + j] += share * difference; // exact for equal rows
                }
            }
            let mut distinct = reserved(kept.len() * n_cols, "the distinct rows")?;
            for i in &kept {
                distinct.extend_from_slice(&merged[i * n_cols..(i + 1) * n_cols]);
            }
            Ok::<_, Error>(distinct)
        };
        let second = Second::Rows {
            values: mean(values, n_cols)?,
            weights: kept.iter().map(|i| total[*i]).gathered("the weights of the rows")?,
        };
        let held = match &self.held {
            Held::Nothing => Held::Nothing,
            Held::Labels(labels) => {
                let mut labels = labels.try_clone()?;
                let codes = kept.iter().map(|i| labels.codes[*i]);
                labels.codes = codes.gathered("the classes of the rows")?;
                Held::Labels(labels)
            }
            Held::Targets(targets) => {
                let mut targets = targets.try_clone()?;
                targets.rows = mean(&targets.rows, targets.shift.len())?;
                Held::Targets(targets)
            }
        };
        Ok(Self { second, held, ..self.without_responses()? })
    }
}

/// The responses of held rows.
enum Answers<'a> {
    Nothing,
    Classes(&'a [u32]),
    Targets(&'a [f64], Columns),
}

impl<'a> Answers<'a> {
    fn new(held: &'a Held) -> Result<Self> {
        Ok(match held {
            Held::Nothing => Self::Nothing,
            Held::Labels(labels) => Self::Classes(&labels.codes),
            Held::Targets(targets) => {
                Self::Targets(&targets.rows, Columns::new(&targets.rows, targets.shift.len())?)
            }
        })
    }

    fn same(&self, i: usize, k: usize) -> bool {
        match self {
            Self::Nothing => true,
            Self::Classes(codes) => codes[i] == codes[k],
            Self::Targets(rows, columns) => {
                let n = columns.median.len();
                let differ = |j: usize| columns.difference(j, rows[i * n + j], rows[k * n + j]);
                (0..n).all(|j| differ(j) <= SAME)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact values
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::input::{Block, Response};
    use crate::stats::Precision;
    use crate::threads::Context;

    const N: usize = 12;

    fn features(columns: usize) -> Array2<f64> {
        let next = |i: usize, j: usize| ((37 * i * i + 13 * i * j + 7 * j) as f64 * 0.618).sin();
        Array2::from_shape_fn((N, columns), |(i, j)| next(i, j))
    }

    fn distinct(features: &Array2<f64>, ids: &[i64]) -> Option<usize> {
        let view = features.view();
        let block = Block::new(&view, Response::Labels { ids, names: None }, None).unwrap();
        let mut stats = Stats::empty(Precision::Double);
        stats.push(&block, &Context::serial()).unwrap();
        let found = stats.distinct().unwrap()?;
        assert_eq!(found.n_samples, N as u64);
        let Second::Rows { weights, .. } = &found.second else { panic!("rows are held") };
        assert_eq!(weights.iter().sum::<f64>(), N as f64);
        found.n_rows_held()
    }

    #[test]
    fn equal_rows_of_equal_labels_are_one() {
        let mut x = features(20);
        let ids: Vec<i64> = [0, 1].into_iter().cycle().take(N).collect();
        assert_eq!(distinct(&x, &ids), None);
        for (copy, original, expected) in [(7, 1, 11), (9, 1, 10), (4, 2, 9)] {
            let row = x.row(original).to_owned();
            x.row_mut(copy).assign(&row);
            assert_eq!(distinct(&x, &ids), Some(expected));
        }
        let row = x.row(0).to_owned();
        x.row_mut(11).assign(&row); // of the other class
        assert_eq!(distinct(&x, &ids), Some(9));
    }

    #[test]
    fn rows_within_rounding_are_one_and_small_differences_are_not() {
        let ids = [0; N];
        for (size, expected) in [(1e-7, Some(11)), (1e-6, Some(11)), (1e-3, None)] {
            let mut x = features(20);
            x.column_mut(3).fill(0.0); // a dead unit has no scale of its own
            let row = x.row(1).mapv(|value| value + size * (value + 0.3));
            x.row_mut(7).assign(&row);
            assert_eq!(distinct(&x, &ids), expected, "{size}");
        }
    }

    #[test]
    fn a_row_far_away_or_a_large_column_makes_no_others_the_same() {
        let ids = [0; N];
        let mut x = features(20);
        x.row_mut(5).mapv_inplace(|value| 1e9 * value);
        assert_eq!(distinct(&x, &ids), None);
        let mut x = features(20);
        x.column_mut(5).fill(0.0);
        x[[5, 5]] = 1e12;
        assert_eq!(distinct(&x, &ids), None);
    }
}
