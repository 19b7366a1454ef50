//! Allocation that reports failure as an error instead of aborting the process.
//!
//! Whatever grows with the rows, the columns, the classes or the targets is made by one of these, or
//! by `linalg::memory::zeros`. Memory of a size that the data do not decide may be made by `Vec`.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use crate::error::{Error, Result};

/// Return an empty vector with room for `len` items; `what` names it in [`Error::OutOfMemory`].
///
/// # Errors
/// [`Error::OutOfMemory`], as of all these functions.
pub fn reserved<T>(len: usize, what: &'static str) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    vector
        .try_reserve_exact(len)
        .map_err(|_| Error::OutOfMemory { what, bytes: len.saturating_mul(size_of::<T>()) })?;
    Ok(vector)
}

/// Return a vector of `len` times one value.
///
/// # Errors
/// As [`reserved`].
pub fn filled<T: Copy>(value: T, len: usize, what: &'static str) -> Result<Vec<T>> {
    let mut vector = reserved(len, what)?;
    vector.resize(len, value);
    Ok(vector)
}

/// Return a copy of a vector.
///
/// # Errors
/// As [`reserved`].
pub fn copied<T: Copy>(values: &[T], what: &'static str) -> Result<Vec<T>> {
    let mut copy = reserved(values.len(), what)?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// Return the parts of a vector as one vector.
///
/// # Errors
/// As [`reserved`].
pub fn joined<T: Copy>(parts: Vec<Vec<T>>, what: &'static str) -> Result<Vec<T>> {
    let mut whole = reserved(parts.iter().map(Vec::len).sum(), what)?;
    for part in &parts {
        whole.extend_from_slice(part);
    }
    Ok(whole)
}

/// Make room for `more` items at the end of a vector.
///
/// # Errors
/// As [`reserved`].
pub fn grow<T>(vector: &mut Vec<T>, more: usize, what: &'static str) -> Result<()> {
    vector.try_reserve(more).map_err(|_| {
        let len = vector.len().saturating_add(more);
        Error::OutOfMemory { what, bytes: len.saturating_mul(size_of::<T>()) }
    })
}

/// Add an item to a vector whose length is not known beforehand.
///
/// # Errors
/// As [`reserved`].
pub fn append<T>(vector: &mut Vec<T>, item: T, what: &'static str) -> Result<()> {
    if vector.len() == vector.capacity() {
        grow(vector, 1, what)?; // doubles it, as `Vec::push` does
    }
    vector.push(item);
    Ok(())
}

/// Collecting that reports failure as an error.
pub trait Gather: Iterator + Sized {
    /// Return the items as a vector, in memory that is reserved by their greatest number.
    ///
    /// # Errors
    /// As [`reserved`].
    fn gathered(self, what: &'static str) -> Result<Vec<Self::Item>> {
        let (least, most) = self.size_hint();
        let mut vector = reserved(most.unwrap_or(least), what)?;
        if most.is_some() {
            vector.extend(self); // within what is reserved, and faster than one by one
            return Ok(vector);
        }
        for item in self {
            append(&mut vector, item, what)?;
        }
        Ok(vector)
    }

    /// Return what the items hold as a vector, or the first error among them.
    ///
    /// # Errors
    /// As [`reserved`], or that of an item.
    fn gathered_ok<T>(self, what: &'static str) -> Result<Vec<T>>
    where
        Self: Iterator<Item = Result<T>>,
    {
        let (least, most) = self.size_hint();
        let mut vector = reserved(most.unwrap_or(least), what)?;
        for item in self {
            append(&mut vector, item?, what)?;
        }
        Ok(vector)
    }
}

impl<I: Iterator> Gather for I {}

/// Return an empty table with room for `len` entries.
///
/// # Errors
/// As [`reserved`].
pub fn table<K: Eq + Hash, V>(len: usize, what: &'static str) -> Result<HashMap<K, V>> {
    let mut table = HashMap::new();
    let bytes = len.saturating_mul(size_of::<(K, V)>());
    table.try_reserve(len).map_err(|_| Error::OutOfMemory { what, bytes })?;
    Ok(table)
}

/// Add an entry to a table of which the number of entries is not known beforehand.
///
/// # Errors
/// As [`reserved`].
pub fn enter<K: Eq + Hash, V, S: BuildHasher>(
    table: &mut HashMap<K, V, S>,
    key: K,
    value: V,
    what: &'static str,
) -> Result<()> {
    let bytes = 2 * table.len().saturating_mul(size_of::<(K, V)>());
    table.try_reserve(1).map_err(|_| Error::OutOfMemory { what, bytes })?;
    table.insert(key, value);
    Ok(())
}

/// Check that memory for `len` items is to be had now, before work that needs it begins.
///
/// # Errors
/// As [`reserved`].
pub fn check_room<T>(len: usize, what: &'static str) -> Result<()> {
    const SMALL: usize = 1 << 20; // which is asked for soon enough
    if len.saturating_mul(size_of::<T>()) > SMALL {
        // A compiler may remove an allocation that is freed unused, and with it the failure.
        std::hint::black_box(reserved::<T>(len, what)?);
    }
    Ok(())
}
