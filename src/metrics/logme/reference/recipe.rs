//! The published implementations, and the constants in which they differ.

/// A published implementation to reproduce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// `thuml/LogME`, `LogME.fit` (its default).
    ThumlFixedPoint,
    /// `thuml/LogME`, `LogME._fit_icml`.
    ThumlIcml,
    /// `thuml/Transfer-Learning-Library`, `log_maximum_evidence`.
    Tllib,
    /// `flairNLP/transformer-ranker`, `estimators.LogME`.
    TransformerRanker,
}

/// Options of the iteration (transformer-ranker exposes them; the others never change them).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Start {
    /// α/β before the first iteration.
    pub ratio: f64,
    /// At least 1; 11 in all implementations.
    pub max_iterations: usize,
    /// Relative change of α/β that ends the iteration; `None`: the recipe's own.
    pub tolerance: Option<f64>,
}

impl Default for Start {
    fn default() -> Self {
        Self { ratio: 1.0, max_iterations: 11, tolerance: None }
    }
}

pub(super) struct Constants {
    /// ε of the updates and ε' of the evidence.
    pub(super) update_eps: f64,
    pub(super) evidence_eps: f64,
    pub(super) tolerance: f64,
    /// Whether a change equal to the tolerance goes on.
    pub(super) strict: bool,
    /// Whether a target starts where the one before it ended.
    pub(super) warm_start: bool,
    /// Whether N/2 · ln 2π is rounded to float32 on the way.
    single_constant: bool,
}

impl Recipe {
    /// From the name that the binding uses.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "thuml_fixed_point" => Some(Self::ThumlFixedPoint),
            "thuml_icml" => Some(Self::ThumlIcml),
            "tllib" => Some(Self::Tllib),
            "transformer_ranker" => Some(Self::TransformerRanker),
            _ => None,
        }
    }

    pub(super) fn constants(self) -> Constants {
        let thuml = Constants {
            update_eps: 1e-5,
            evidence_eps: 0.0,
            tolerance: 1e-3,
            strict: false,
            warm_start: false,
            single_constant: false,
        };
        match self {
            Self::ThumlFixedPoint => thuml,
            Self::ThumlIcml => {
                Constants { evidence_eps: 1e-5, tolerance: 1e-2, strict: true, ..thuml }
            }
            Self::Tllib => Constants { update_eps: 0.0, tolerance: 1e-2, strict: true, ..thuml },
            Self::TransformerRanker => {
                Constants { warm_start: true, single_constant: true, ..thuml }
            }
        }
    }
}

impl Constants {
    /// N/2 · ln 2π.
    #[allow(clippy::cast_possible_truncation)] // the float32 rounding is the quirk
    pub(super) fn log_two_pi(&self, n: f64) -> f64 {
        let two_pi = std::f64::consts::TAU;
        if self.single_constant {
            let log = f64::from(two_pi as f32).ln() as f32;
            f64::from((n / 2.0) as f32 * log)
        } else {
            n / 2.0 * two_pi.ln()
        }
    }
}
