//! Entry points of fuzzing. Each takes any bytes, and panics where the core breaks a promise.
//!
//! Two engines share them: `tests/fuzz/` in `cargo test` (seeded, seconds), and the program `campaign`
//! (seeded, any number of inputs). `README.md` has the commands.

pub mod campaign;
pub mod draw;
pub mod forge;
pub mod law;
pub mod rows;
pub mod state;
pub mod uses;

/// What is fed with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The content of a state file, which is sealed before it is read.
    State,
    /// A state file as it is: mark, version, length, content, seal.
    File,
    /// The content of a state file; what is accepted goes through everything that reads statistics.
    Metrics,
    /// Arrays of rows, their labels, weights and splits, as the input layer takes them.
    Rows,
}

/// What became of an input that did no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A named error.
    Refused,
    /// A result.
    Used,
}

impl Target {
    /// All targets.
    pub const ALL: [Self; 4] = [Self::State, Self::File, Self::Metrics, Self::Rows];

    /// The name, which is that of its corpus.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::File => "file",
            Self::Metrics => "metrics",
            Self::Rows => "rows",
        }
    }

    /// Runs one input.
    ///
    /// # Panics
    /// Where a promise is broken; the message says which.
    pub fn run(self, data: &[u8]) -> Outcome {
        match self {
            Self::State => state::load(&state::wrapped(data)).0,
            Self::File => state::load(data).0,
            Self::Metrics => state::use_all(data),
            Self::Rows => rows::run(data),
        }
    }
}
