//! Which of these pre-trained models will work best on my data? Transferability metrics from one
//! pass over the features, without fine-tuning.
//!
//! Data flows one way, and each module names only those to its left:
//! `error → memory → threads → linalg → input → stats → decomp → covariance → metrics`.
//!
//! ```
//! use ndarray::array;
//! use transferability::decomp::Prepared;
//! use transferability::input::{Block, Response};
//! use transferability::metrics::logme::LogMe;
//! use transferability::stats::{Precision, Stats};
//! use transferability::threads::Context;
//!
//! let features = array![[1.0_f32, 0.2], [0.9, -0.1], [-1.1, 0.3], [-0.8, 0.0]];
//! let features = features.view();
//! let labels = Response::Labels { ids: &[7, 7, 9, 9], names: None };
//! let context = Context::serial();
//!
//! let mut stats = Stats::empty(Precision::Double);
//! stats.push(&Block::new(&features, labels, None)?, &context)?;
//! let outcome = LogMe::default().compute(&Prepared::new(&stats)?, &context)?;
//! let nothing = -(std::f64::consts::PI.ln() + 1.0) / 2.0; // the score of features of zeros
//! assert!(outcome.value > nothing && outcome.per_target.len() == 2);
//! # Ok::<(), transferability::error::Error>(())
//! ```

pub mod covariance;
pub mod decomp;
pub mod error;
pub mod input;
pub mod linalg;
pub mod memory;
pub mod metrics;
pub mod stats;
pub mod threads;
