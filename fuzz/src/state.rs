//! State files: reading any bytes, and using what is accepted.

use sha2::{Digest, Sha256};
use transferability::error::Error;
use transferability::stats::Stats;
use transferability::threads::Context;

use super::Outcome;
use super::uses::{Beside, use_stats};

/// Mark, version and length.
const HEAD: usize = 20;
const SEAL: usize = 32;

/// The content as a state file: with head, length and the checksum that belongs to it.
#[must_use]
pub fn wrapped(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + content.len() + SEAL);
    bytes.extend_from_slice(b"\x89TXS\r\n\x1a\n");
    bytes.extend_from_slice(&2_u32.to_le_bytes());
    bytes.extend_from_slice(&((HEAD + content.len() + SEAL) as u64).to_le_bytes());
    bytes.extend_from_slice(content);
    let seal = Sha256::digest(&bytes);
    bytes.extend_from_slice(&seal);
    bytes
}

/// The content of a state file.
///
/// # Panics
/// If the bytes are none.
#[must_use]
pub fn content(bytes: &[u8]) -> &[u8] {
    &bytes[HEAD..bytes.len() - SEAL]
}

/// Reads a state file. What is accepted is written as the same bytes.
///
/// # Panics
/// Where a promise is broken.
pub fn load(bytes: &[u8]) -> (Outcome, Option<Stats>) {
    match Stats::from_bytes(bytes, &Context::serial()) {
        Ok((stats, notes)) => {
            let again = stats.to_bytes(notes).expect("what was read can be written");
            assert!(again == bytes, "an accepted file is written with other bytes");
            (Outcome::Used, Some(stats))
        }
        Err(error @ Error::StateFile { .. }) => {
            assert!(!error.to_string().is_empty());
            (Outcome::Refused, None)
        }
        Err(error) => panic!("a file is refused by another error: {error:?}"),
    }
}

/// Reads the content of a state file, and does all that can be done with what is accepted.
///
/// # Panics
/// Where a promise is broken.
pub fn use_all(content: &[u8]) -> Outcome {
    let (outcome, stats) = load(&wrapped(content));
    if let Some(stats) = stats {
        use_stats(&stats, Beside::default(), content);
    }
    outcome
}
