//! Whether statistics that came from elsewhere can be those of any rows at all.

use std::collections::{HashMap, HashSet};

use crate::input::Label;

use super::{Held, Second, Stats};

impl Stats {
    /// What contradicts itself in counts and lengths; every number is known to be finite.
    pub(super) fn inconsistency(&self) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let n = self.n_samples;
        if n == 0 || n > 1 << 53 || i32::try_from(self.n_features).is_err() {
            return Some(format!("{n} samples of {} features cannot be", self.n_features));
        }
        if self.largest < 0.0 {
            return Some(format!("the largest magnitude is {}", self.largest));
        }
        self.of_second().or_else(|| self.of_held()).or_else(|| self.of_classes())
    }

    fn of_second(&self) -> Option<String> {
        match &self.second {
            Second::Rows { values, weights } => {
                let n_rows = weights.len();
                if n_rows == 0 || n_rows > self.n_features {
                    return Some(format!("{n_rows} rows of {} features", self.n_features));
                }
                if let Some(weight) = weights.iter().find(|w| **w < 1.0 || w.fract() != 0.0) {
                    return Some(format!("a row has weight {weight}"));
                }
                let total: f64 = weights.iter().sum(); // exact below 2^53
                if total != self.n_samples as f64 {
                    return Some(format!("weights of {total} for {} samples", self.n_samples));
                }
                let beyond = values.iter().find(|value| value.abs() > self.largest);
                beyond.map(|value| format!("a value of {value} beyond {}", self.largest))
            }
            Second::Scatter(_) => None,
        }
    }

    fn of_held(&self) -> Option<String> {
        match &self.held {
            Held::Nothing => None,
            Held::Targets(targets) => {
                targets.shift.is_empty().then(|| "there is no column of targets".into())
            }
            Held::Labels(labels) => {
                let distinct: HashSet<&Label> = labels.classes.iter().collect();
                let n_text = distinct.iter().filter(|c| matches!(c, Label::Text(_))).count();
                let n = labels.classes.len();
                if distinct.len() < n || (n_text != 0 && n_text != n) {
                    return Some("classes repeat, or are of two kinds".into());
                }
                let total = labels.counts.iter().fold(0_u64, |a, b| a.saturating_add(*b));
                if labels.counts.contains(&0) || total != self.n_samples {
                    return Some(format!("classes of {total} for {} samples", self.n_samples));
                }
                let Second::Rows { weights, .. } = &self.second else { return None };
                let mut counts = vec![0.0; n];
                for (code, weight) in labels.codes.iter().zip(weights) {
                    counts[*code as usize] += weight;
                }
                let differs = counts.iter().zip(&labels.counts).any(|(a, b)| *a != *b as f64);
                differs.then(|| "the rows of a class do not add up to its count".into())
            }
        }
    }

    fn of_classes(&self) -> Option<String> {
        let classes = self.by_class.as_ref()?;
        let Held::Labels(labels) = &self.held else {
            return (!classes.is_empty()).then(|| "classes on their own without labels".into());
        };
        let mut counts: HashMap<&Label, u64> =
            labels.classes.iter().zip(labels.counts.iter().copied()).collect();
        for (class, stats) in classes {
            let alike = stats.n_features == self.n_features && stats.precision == self.precision;
            if counts.remove(class) != Some(stats.n_samples) || !alike {
                return Some("a class on its own is not that of the labels".into());
            }
            if !matches!(stats.held, Held::Nothing) || stats.by_class.is_some() {
                return Some("a class on its own holds classes or targets".into());
            }
            if let Some(problem) = stats.inconsistency() {
                return Some(problem);
            }
        }
        (!counts.is_empty()).then(|| "some classes are not on their own".into())
    }
}
