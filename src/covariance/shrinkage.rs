//! How far a covariance is shrunk towards the multiple of the identity with the same trace.
//!
//! With the scatter S = n M (D, D) and f = |S|²_F/(tr S)², Ledoit and Wolf's a and Chen et al.'s:
//!
//!   a = min(1, E/[n (f − 1/D)]),  E = [n Σ‖x − m‖⁴ − |S|²_F]/(tr S)²
//!   a = min(1, (f + 1)/[(n + 1)(f − 1/D)])
//!
//! Sources: Ledoit, Wolf, J. Multivariate Analysis 88, 2004; Chen, Wiesel, Eldar, Hero, IEEE Trans.
//! Signal Processing 58, 2010, without the terms 2/D, as scikit-learn has it.

use crate::decomp::Spread;
use crate::error::{Error, Result};

/// Shrinkage of a covariance towards the multiple of the identity with the same trace.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Shrinkage {
    /// Not at all.
    #[default]
    None,
    /// By Ledoit and Wolf's estimate.
    LedoitWolf,
    /// By the oracle approximating estimate.
    Oas,
    /// By this much, from 0 to 1.
    Fixed(f64),
}

impl Shrinkage {
    /// a, from 0 to 1. `excess` is E, which Ledoit and Wolf's estimate asks for.
    ///
    /// Where every eigenvalue is the same, the covariance is the target of shrinkage itself and a has
    /// no effect: it is 0 for one feature; else 0 by Ledoit and Wolf, and 1 by the other estimate.
    pub(crate) fn coefficient(
        self,
        n_samples: f64,
        n_features: usize,
        spread: Spread,
        excess: impl FnOnce() -> Result<f64>,
    ) -> Result<f64> {
        let flat = spread.trace <= 0.0 || spread.unequal <= 0.0;
        let (over, under) = match self {
            Self::None => return Ok(0.0),
            Self::Fixed(a) if (0.0..=1.0).contains(&a) => return Ok(a),
            Self::Fixed(a) => {
                let (metric, option) = ("covariance", "shrinkage");
                let (value, expected) = (format!("{a}").into(), "a number from 0 to 1".into());
                return Err(Error::BadOption { metric, option, value, expected });
            }
            _ if n_features == 1 => return Ok(0.0),
            Self::LedoitWolf if flat => return Ok(0.0),
            Self::Oas if flat => return Ok(1.0),
            Self::LedoitWolf => (excess()?, n_samples * spread.unequal),
            Self::Oas => {
                let f = spread.unequal + 1.0 / n_features as f64;
                (f + 1.0, (n_samples + 1.0) * spread.unequal)
            }
        };
        Ok(if over <= 0.0 { 0.0 } else { (over / under).min(1.0) })
    }
}
