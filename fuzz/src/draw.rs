//! Typed values from bytes, so that every engine may change an input anywhere.

/// Reads values from the front of the remaining bytes; zeros follow the last one.
pub struct Draw<'a>(&'a [u8]);

impl<'a> Draw<'a> {
    /// From these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// A number from 0 to n − 1, for n of at most 256.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A multiple of 1/8 from −16 to 16: sums of few such numbers and their squares are exact.
    pub fn small(&mut self) -> f64 {
        f64::from(self.byte().cast_signed()) / 8.0
    }
}
