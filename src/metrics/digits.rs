//! Significant digits of a value, from the estimate of its rounding error.

use crate::decomp::Prepared;
use crate::stats::Precision;

/// Whether a value has enough significant digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digits {
    /// Nine digits, or all that a decomposition of the samples can give.
    pub(super) exact: bool,
    few: bool,
}

impl Digits {
    /// Digits relative to max(1, |value|). Single precision promises none, so nothing is missing.
    pub(super) fn of(prepared: &Prepared<'_>, rounding: f64, value: f64) -> Self {
        let promised = prepared.stats.precision == Precision::Double;
        let relative = rounding / value.abs().max(1.0);
        let exact = !promised || prepared.from_samples || relative <= 1e-9;
        Self { exact, few: promised && relative > 1e-6 }
    }

    pub(super) fn warning(self) -> Option<String> {
        self.few.then(|| {
            "the score depends on directions that are resolved to a few digits only (by \
             method=\"svd\" to more than by one-pass statistics); drop features that almost repeat \
             others"
                .into()
        })
    }
}
