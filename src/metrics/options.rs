//! Options of metrics: names with values, read once into the typed options of a metric.
//!
//! A metric reads its options before anything else, in one closure:
//!
//! ```text
//! let Knn { k, cosine } = options.read(|given| {
//!     Ok(Knn { k: given.count("k", 1..)?.unwrap_or(5), cosine: given.flag("cosine")? })
//! })?;
//! ```
//!
//! A value of the wrong type or outside its range is [`Error::BadOption`], which states the values
//! allowed; an option that the closure did not ask for is [`Error::UnknownOption`].

use std::fmt::{self, Display};
use std::ops::{Bound, RangeBounds};

use crate::error::{Error, Result};

/// The value of an option of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    /// On or off.
    Flag(bool),
    /// A number; counts are whole numbers.
    Number(f64),
    /// Several numbers.
    Numbers(Vec<f64>),
    /// A choice by its name.
    Text(Box<str>),
}

impl Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Numbers(numbers) => write!(f, "{numbers:?}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// Options by name.
#[derive(Debug, Clone, Default)]
pub struct Options(pub Vec<(Box<str>, OptionValue)>);

/// Reads the options of one metric.
pub struct OptionReader<'a> {
    metric: &'static str,
    given: &'a [(Box<str>, OptionValue)],
    known: Vec<&'static str>,
}

impl<'a> OptionReader<'a> {
    pub(super) fn new(metric: &'static str, options: &'a Options) -> Self {
        Self { metric, given: &options.0, known: Vec::new() }
    }

    /// Reads all options; those that `read` does not ask for are errors.
    pub(super) fn read<T>(mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let options = read(&mut self)?;
        match self.given.iter().find(|(name, _)| !self.known.contains(&&**name)) {
            None => Ok(options),
            Some((option, _)) => Err(Error::UnknownOption {
                metric: self.metric,
                option: option.clone(),
                known: self.known.join(", ").into(),
            }),
        }
    }

    /// Refuses every option.
    pub(super) fn none(self) -> Result<()> {
        self.read(|_| Ok(()))
    }

    /// The value of an option, of any type.
    pub(super) fn value(&mut self, name: &'static str) -> Option<&'a OptionValue> {
        self.known.push(name);
        self.given.iter().find(|(given, _)| **given == *name).map(|(_, value)| value)
    }

    /// The error of a value that is not `expected`.
    pub(super) fn refuse(
        &self,
        option: &'static str,
        value: &OptionValue,
        expected: impl Into<Box<str>>,
    ) -> Error {
        let (metric, value) = (self.metric, value.to_string().into());
        Error::BadOption { metric, option, value, expected: expected.into() }
    }

    /// A flag; false if absent.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool> {
        match self.value(name) {
            None => Ok(false),
            Some(OptionValue::Flag(flag)) => Ok(*flag),
            Some(other) => Err(self.refuse(name, other, "true or false")),
        }
    }

    /// A finite number within a range.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        range: impl RangeBounds<f64>,
    ) -> Result<Option<f64>> {
        match self.value(name) {
            None => Ok(None),
            Some(OptionValue::Number(x)) if x.is_finite() && range.contains(x) => Ok(Some(*x)),
            Some(other) => Err(self.refuse(name, other, format!("a number{}", words(&range)))),
        }
    }

    /// Finite numbers within a range, at least one.
    pub(super) fn numbers(
        &mut self,
        name: &'static str,
        range: impl RangeBounds<f64>,
    ) -> Result<Option<Vec<f64>>> {
        let allowed = |x: &f64| x.is_finite() && range.contains(x);
        match self.value(name) {
            None => Ok(None),
            Some(OptionValue::Numbers(all)) if !all.is_empty() && all.iter().all(allowed) => {
                Ok(Some(all.clone()))
            }
            Some(other) => {
                Err(self.refuse(name, other, format!("one or more numbers{}", words(&range))))
            }
        }
    }

    /// A whole number within a range, at most 2⁵³.
    pub(super) fn count(
        &mut self,
        name: &'static str,
        range: impl RangeBounds<usize>,
    ) -> Result<Option<usize>> {
        const EXACT: f64 = 9_007_199_254_740_992.0; // 2⁵³: floats hold every whole number up to here
        let whole = |x: f64| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // whole and in range
            let count = || x as usize;
            ((0.0..=EXACT).contains(&x) && x.fract() == 0.0).then(count)
        };
        match self.value(name) {
            None => Ok(None),
            Some(value) => match value {
                OptionValue::Number(x) => whole(*x).filter(|count| range.contains(count)),
                _ => None,
            }
            .map(Some)
            .ok_or_else(|| {
                let most = match range.end_bound() {
                    Bound::Unbounded => ", at most 2^53",
                    _ => "",
                };
                self.refuse(name, value, format!("a whole number{}{most}", words(&range)))
            }),
        }
    }

    /// A choice by its name.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let chosen = match value {
            OptionValue::Text(text) => choices.iter().find(|(choice, _)| *choice == &**text),
            _ => None,
        };
        chosen.map(|(_, choice)| Some(*choice)).ok_or_else(|| {
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
            self.refuse(name, value, names.join(" or "))
        })
    }
}

/// A range as it reads after "a number": " above 0, at most 1".
fn words<T: Display>(range: &impl RangeBounds<T>) -> String {
    let lower = match range.start_bound() {
        Bound::Included(least) => format!(" of at least {least}"),
        Bound::Excluded(below) => format!(" above {below}"),
        Bound::Unbounded => String::new(),
    };
    let upper = match range.end_bound() {
        Bound::Included(most) => format!(" at most {most}"),
        Bound::Excluded(above) => format!(" below {above}"),
        Bound::Unbounded => String::new(),
    };
    let comma = if lower.is_empty() || upper.is_empty() { "" } else { "," };
    format!("{lower}{comma}{upper}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str, value: OptionValue) -> Options {
        Options(vec![(name.into(), value)])
    }

    #[test]
    fn a_range_reads_as_words() {
        assert_eq!(words(&(0.0..=1.0)), " of at least 0, at most 1");
        assert_eq!(words(&(Bound::Excluded(0.0), Bound::Excluded(1.5))), " above 0, below 1.5");
        assert_eq!(words(&(1_usize..)), " of at least 1");
        assert_eq!(words(&(..=2.0)), " at most 2");
    }

    #[test]
    fn errors_state_what_is_allowed() {
        let fraction = options("k", OptionValue::Number(2.5));
        let error = OptionReader::new("knn", &fraction).read(|given| given.count("k", 1..));
        let text = "knn: option k is 2.5; give a whole number of at least 1, at most 2^53";
        assert_eq!(error.unwrap_err().to_string(), text);
        let choice = options("covariance", OptionValue::Text("round".into()));
        let choices = [("full", 1), ("diagonal", 2)];
        let error =
            OptionReader::new("gbc", &choice).read(|given| given.choice("covariance", &choices));
        let text = "gbc: option covariance is \"round\"; give \"full\" or \"diagonal\"";
        assert_eq!(error.unwrap_err().to_string(), text);
    }

    #[test]
    fn values_at_the_ends_of_a_range_are_read() {
        for (value, expected) in [
            (0.0, Some(0)),
            (3.0, Some(3)),
            (9_007_199_254_740_992.0, Some(1 << 53)),
            (9_007_199_254_740_994.0, None),
            (-1.0, None),
            (f64::NAN, None),
        ] {
            let given = options("n", OptionValue::Number(value));
            let read = OptionReader::new("m", &given).read(|given| given.count("n", ..));
            assert_eq!(read.ok().flatten(), expected, "{value}");
        }
    }
}
