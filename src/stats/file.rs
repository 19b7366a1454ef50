//! Serialisation of statistics: the format of a state file.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | the mark, which transfers that change line ends or drop high bits break |
//! | 4 | the version of the format |
//! | 8 | the length of all of it |
//! | 8 + … | the caller's notes, UTF-8, after their length |
//! | … | the statistics (`fields.rs`) |
//! | 32 | the SHA-256 of all bytes before |
//!
//! All numbers are little-endian, floats IEEE, so that a file reads the same everywhere. SHA-256
//! because any tool can check it, and because the same digest orders states by their content
//! (`Stats::digest`), which needs more than the 32 bits of a checksum; it costs 1 ms for 768
//! features. The reader trusts nothing all the same: every length is held against the bytes that
//! are left before anything is allocated, so no file, however made, panics or asks for memory that
//! its own size does not explain.

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::input::Label;
use crate::linalg::memory::reserved;
use crate::threads::Context;

use super::bytes::{Reader, Writer, refused};
use super::{Held, Stats, fields};

const MARK: [u8; 8] = *b"\x89TXS\r\n\x1a\n";
const VERSION: u32 = 2;
const SEAL: usize = 32;
/// Mark, version and length, and the least that can follow.
const HEAD: usize = MARK.len() + 4 + 8;

impl Stats {
    /// The statistics as bytes, with notes that [`Stats::from_bytes`] gives back.
    ///
    /// # Errors
    /// [`crate::error::Error::OutOfMemory`].
    pub fn to_bytes(&self, notes: &str) -> Result<Vec<u8>> {
        let room = room(self) + notes.len() + 4096;
        let mut bytes = reserved::<u8>(room, "the statistics as bytes")?;
        bytes.extend_from_slice(&MARK);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        let mut out = Writer(&mut bytes);
        out.text(notes);
        fields::write(self, &mut out);
        let length = (bytes.len() + SEAL) as u64;
        bytes[HEAD - 8..HEAD].copy_from_slice(&length.to_le_bytes());
        let seal: [u8; SEAL] = Sha256::digest(&bytes).into();
        bytes.extend_from_slice(&seal);
        Ok(bytes)
    }

    /// The statistics of these bytes, bit for bit, and the notes.
    ///
    /// # Errors
    /// [`crate::error::Error::StateFile`] if they are cut short, altered, of a newer version, or something
    /// else; [`crate::error::Error::OutOfMemory`], [`crate::error::Error::Interrupted`].
    pub fn from_bytes<'a>(bytes: &'a [u8], context: &Context<'_>) -> Result<(Self, &'a str)> {
        let (stats, notes) = Self::from_trusted_bytes(bytes)?;
        match stats.impossible(context)? {
            Some(problem) => refused(problem),
            None => Ok((stats, notes)),
        }
    }

    /// As [`Stats::from_bytes`], without the check that rows can have these sums.
    ///
    /// That check takes a factorisation, and protects from bytes that somebody forged and sealed anew. So
    /// this is for bytes that come with as much trust as the program itself. Changes by accident are
    /// detected all the same, by the checksum.
    ///
    /// # Errors
    /// As [`Stats::from_bytes`].
    pub fn from_trusted_bytes(bytes: &[u8]) -> Result<(Self, &str)> {
        let mut reader = Reader::new(unsealed(bytes)?);
        let notes = reader.text("the notes")?;
        let stats = fields::read(&mut reader)?;
        reader.end()?;
        Ok((stats, notes))
    }

    /// The SHA-256 of the statistics, without notes: equal if, and only if, the statistics are.
    ///
    /// # Errors
    /// [`crate::error::Error::OutOfMemory`].
    pub fn digest(&self) -> Result<[u8; SEAL]> {
        let mut bytes = reserved::<u8>(room(self) + 4096, "the statistics as bytes")?;
        fields::write(self, &mut Writer(&mut bytes));
        Ok(Sha256::digest(&bytes).into())
    }
}

/// More bytes than the statistics take in a file, so that writing them allocates nothing.
fn room(stats: &Stats) -> usize {
    stats.n_bytes() + beside(stats)
}

/// Bytes of a file beside the numbers that are held in memory.
fn beside(stats: &Stats) -> usize {
    let name = |label: &Label| match label {
        Label::Int(_) => 16,
        Label::Text(name) => 16 + name.len(),
    };
    let held = match &stats.held {
        // The class of a row takes 4 bytes in memory, and 8 in a file.
        Held::Labels(l) => 4 * l.codes.len() + l.classes.iter().map(name).sum::<usize>(),
        Held::Nothing | Held::Targets(_) => 0,
    };
    let classes = stats.by_class.iter().flatten();
    held + classes.map(|(class, stats)| name(class) + beside(stats) + 512).sum::<usize>()
}

/// The content between the head and the seal of a complete file.
fn unsealed(bytes: &[u8]) -> Result<&[u8]> {
    let n = bytes.len();
    if n == 0 {
        return refused("it is empty".into());
    }
    if bytes[..n.min(MARK.len())] != MARK[..n.min(MARK.len())] {
        return refused("it does not begin as those that this package saves".into());
    }
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
        return refused(format!("it is cut short after {n} bytes, within its head"));
    };
    let mut head = Reader::new(&head[MARK.len()..]);
    let (version, length) = (head.u32("the version")?, head.u64("the length")?);
    if version != VERSION {
        return refused(format!(
            "it is of version {version}, and this release reads version {VERSION}; use the release \
             that wrote it, or a newer one"
        ));
    }
    if (n as u64) < length {
        return refused(format!("it is cut short: {n} of {length} bytes are there"));
    }
    let content = rest.len().checked_sub(SEAL);
    let (Some(content), true) = (content, n as u64 == length) else {
        return refused(format!("it has {n} bytes where {length} are announced; it was altered"));
    };
    let (sealed, seal) = bytes.split_at(HEAD + content);
    if Sha256::digest(sealed).as_slice() != seal {
        return refused("its checksum does not match; it was altered since it was written".into());
    }
    Ok(&sealed[HEAD..])
}
