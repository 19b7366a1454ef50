//! Numbers to bytes and back, little-endian. The reader trusts no length.

use crate::error::{Error, Result};
use crate::linalg::memory::reserved;

/// Appends numbers.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn f64s(&mut self, values: &[f64]) {
        for value in values {
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Reads numbers from the front of the remaining bytes.
pub(super) struct Reader<'a>(&'a [u8]);

pub(super) fn refused<T>(problem: String) -> Result<T> {
    Err(Error::StateFile { problem })
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(n) else {
            return refused(format!("{what} would reach beyond its end"));
        };
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self, what: &str, limit: u8) -> Result<u8> {
        let [byte] = self.array(what)?;
        if byte < limit { Ok(byte) } else { refused(format!("{what} is {byte}")) }
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A number of things that take at least `size` bytes each, all of which must be there.
    pub(super) fn length(&mut self, what: &str, size: usize) -> Result<usize> {
        let length = self.u64(what)?;
        match usize::try_from(length) {
            Ok(n) if n.checked_mul(size).is_some_and(|bytes| bytes <= self.0.len()) => Ok(n),
            _ => refused(format!("{what} number {length}, more than it has bytes for")),
        }
    }

    /// UTF-8 after its length.
    pub(super) fn text(&mut self, what: &str) -> Result<&'a str> {
        let n = self.length(what, 1)?;
        let text = std::str::from_utf8(self.take(n, what)?);
        text.map_or_else(|_| refused(format!("{what} is not UTF-8")), Ok)
    }

    /// Makes sure of `n` floats to come.
    pub(super) fn expect(&self, n: usize, what: &str) -> Result<()> {
        if n <= self.0.len() / 8 {
            return Ok(());
        }
        refused(format!("{what} would reach beyond its end"))
    }

    /// `rows` × `cols` numbers, finite unless `any`.
    pub(super) fn f64s(
        &mut self,
        rows: usize,
        cols: usize,
        what: &'static str,
        any: bool,
    ) -> Result<Vec<f64>> {
        let n = rows.saturating_mul(cols);
        self.expect(n, what)?;
        let mut values = reserved(n, what)?;
        let (numbers, rest) = self.0.split_at(8 * n);
        let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().unwrap_or_default());
        values.extend(numbers.chunks_exact(8).map(number));
        self.0 = rest;
        if !any && let Some(i) = values.iter().position(|value| !value.is_finite()) {
            return refused(format!("{what} holds {} at {i}", values[i]));
        }
        Ok(values)
    }

    pub(super) fn f64(&mut self, what: &'static str, any: bool) -> Result<f64> {
        Ok(self.f64s(1, 1, what, any)?[0])
    }

    pub(super) fn end(&self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        refused(format!("{} bytes follow the statistics", self.0.len()))
    }
}
