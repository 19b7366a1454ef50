//! The warnings of LogME.

use std::fmt;

/// A reason to doubt a value that is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Warning {
    /// All labels are equal.
    SingleClass,
    /// The features reproduce targets to rounding with fewer directions than samples.
    Unbounded {
        /// How many targets.
        n_targets: usize,
    },
    /// As many independent directions as samples: every target can be reproduced.
    Interpolates {
        /// How many targets.
        n_targets: usize,
    },
    /// Targets that do not vary were left out.
    LeftOut {
        /// How many targets.
        n_targets: usize,
    },
    /// One-pass statistics resolve the evidence to less than six digits.
    LostDigits {
        /// How many targets.
        n_targets: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SingleClass => write!(
                f,
                "labels hold a single class: the score is defined, but says nothing about \
                 separating classes"
            ),
            Self::Unbounded { n_targets } => write!(
                f,
                "the features reproduce {n_targets} target(s) to within rounding, with fewer \
                 directions than samples: the evidence is unbounded and the score is inf (repeated \
                 rows with equal labels can do this: drop them)"
            ),
            Self::Interpolates { n_targets } => write!(
                f,
                "the features have a direction for every sample and {n_targets} target(s) are best \
                 explained without noise: the score is the limit of zero noise; use more samples"
            ),
            Self::LeftOut { n_targets } => {
                write!(f, "{n_targets} target(s) are the same in all rows and were left out")
            }
            Self::LostDigits { n_targets } => write!(
                f,
                "{n_targets} target(s) depend on directions or residuals that are resolved to a few \
                 digits only (method=\"svd\" on the samples resolves more than one-pass statistics)"
            ),
        }
    }
}
