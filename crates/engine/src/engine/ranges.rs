//! Parts of strings: APPEND, GETRANGE, SETRANGE, and the longest common subsequence.

use std::cell::Cell;

use super::edit::{Fresh, Plan, StringRef};
use super::{Engine, check_value};
use crate::collections::string::lcs;
use crate::error::OpError;
use crate::feed::event;
use crate::keyspace::blob::ValueRef;
use crate::value::{Taken, Value};

/// One run that two strings share, as byte ranges, ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommonRun {
    /// First and last byte in the first string.
    pub first: (usize, usize),
    /// First and last byte in the second string.
    pub second: (usize, usize),
    /// Its length in bytes.
    pub bytes: usize,
}

/// The longest common subsequence of two strings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommonSubsequence {
    /// Its runs, the last one first, as Redis lists them.
    pub runs: Vec<CommonRun>,
    /// The length of the whole subsequence.
    pub bytes: usize,
}

/// What a string operation does to its value.
enum Edit<'a> {
    Append(&'a [u8]),
    Overwrite { offset: usize, bytes: &'a [u8] },
}

impl<'a> Edit<'a> {
    /// What is written into a string of this length, and where.
    fn place(&self, len: usize) -> (usize, &'a [u8]) {
        match *self {
            Self::Append(bytes) => (len, bytes),
            Self::Overwrite { offset, bytes } => (offset, bytes),
        }
    }

    /// Where the write ends.
    fn end(&self, len: usize) -> usize {
        let (offset, bytes) = self.place(len);
        offset.saturating_add(bytes.len())
    }
}

impl Engine {
    /// Appends to a string, making it if it is absent; returns the new length in bytes. The expiry is kept.
    ///
    /// **Command** `APPEND`. **Complexity** O(n), n the bytes appended (and of the string while it is below 4 KiB).
    ///
    /// # Errors
    /// [`OpError::ValueTooLong`], [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.append("k", "Hello ")?;
    /// assert_eq!(engine.append("k", "World")?, 11);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn append(&self, key: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Result<u64, OpError> {
        self.edit(key.as_ref(), &Edit::Append(bytes.as_ref()))
    }

    /// Overwrites a string from `offset` on, padding it with zero bytes if it is shorter; returns the new length.
    ///
    /// **Command** `SETRANGE`. **Complexity** O(n), n the bytes written and padded (and of the string while it is
    /// below 4 KiB, or while a reader holds the part that is written).
    ///
    /// # Errors
    /// [`OpError::ValueTooLong`], [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "Hello World")?;
    /// engine.set_range("k", 6, "Redis")?;
    /// assert_eq!(engine.get("k")?.unwrap(), "Hello Redis");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_range(
        &self,
        key: impl AsRef<[u8]>,
        offset: u64,
        bytes: impl AsRef<[u8]>,
    ) -> Result<u64, OpError> {
        let bytes = bytes.as_ref();
        if bytes.is_empty() {
            return self.strlen(key);
        }
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        self.edit(key.as_ref(), &Edit::Overwrite { offset, bytes })
    }

    fn edit(&self, key: &[u8], edit: &Edit<'_>) -> Result<u64, OpError> {
        check_value(edit.end(0))?;
        let append = matches!(edit, Edit::Append(_));
        let fresh = if append { (Fresh::AsSet, event::APPEND) } else { (Fresh::Grown, event::SETRANGE) };
        self.edit_string(
            key,
            (fresh.0, &Cell::new(fresh.1)),
            |string| {
                let len = string.map_or(0, StringRef::len);
                let (offset, bytes) = edit.place(len);
                let room = string.map_or(0, |string| string.room(offset, bytes.len()));
                Ok(Plan::Write { len: edit.end(len).max(len), bytes: bytes.len(), room })
            },
            |string| {
                let (offset, bytes) = edit.place(string.len());
                string.write(offset, bytes);
                Ok(string.len() as u64)
            },
        )
    }

    /// Returns part of a string: both ends included, negative ones counted from the end (-1 is the last byte).
    ///
    /// **Command** `GETRANGE`. **Complexity** O(n), n the bytes returned.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "This is a string")?;
    /// assert_eq!(engine.get_range("k", -3, -1)?, "ing");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn get_range(&self, key: impl AsRef<[u8]>, start: i64, end: i64) -> Result<Value, OpError> {
        let key = key.as_ref();
        let taken = self.core.with_entry(self.db, key, |blob| match blob.value() {
            ValueRef::Bytes(bytes) => Ok(Value::copy(&bytes[range(bytes.len(), start, end)])),
            value => Err(Taken::from(value)),
        })?;
        Ok(match taken {
            None => Value::copy(&[]),
            Some(Ok(value)) => value,
            Some(Err(Taken::Large(rope))) => {
                let range = range(rope.len(), start, end);
                let mut out = Vec::with_capacity(range.len());
                rope.copy_range(range.start, range.end, &mut out);
                Value::from_vec(out)
            }
            Some(Err(taken)) => {
                let whole = self.finish(key, taken)?;
                Value::copy(&whole[range(whole.len(), start, end)])
            }
        })
    }

    /// Returns the longest common subsequence of two strings; absent keys count as empty.
    ///
    /// **Command** `LCS`. **Complexity** O(n m) time and 4 n m bytes, n and m the strings' lengths.
    ///
    /// # Errors
    /// [`OpError::InvalidArgument`] if that would be more than 512 MiB.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("a", "ohmytext")?;
    /// engine.set("b", "mynewtext")?;
    /// assert_eq!(engine.lcs("a", "b")?, "mytext");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn lcs(&self, a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> Result<Value, OpError> {
        let (a, b) = self.two_strings(a.as_ref(), b.as_ref())?;
        lcs::subsequence(&a, &b).map(Value::from_vec).map_err(|_| LCS_TOO_LARGE)
    }

    /// Returns the length of the longest common subsequence of two strings.
    ///
    /// **Command** `LCS LEN`. **Complexity** O(n m) time and O(m) memory, n and m the strings' lengths.
    ///
    /// # Errors
    /// [`OpError::InvalidArgument`] if the strings are too long.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("a", "ohmytext")?;
    /// engine.set("b", "mynewtext")?;
    /// assert_eq!(engine.lcs_len("a", "b")?, 6);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn lcs_len(&self, a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> Result<u64, OpError> {
        let (a, b) = self.two_strings(a.as_ref(), b.as_ref())?;
        lcs::length(&a, &b).map(|bytes| bytes as u64).map_err(|_| LCS_TOO_LARGE)
    }

    /// Returns the runs that make up the longest common subsequence, those of at least `bytes_min` bytes.
    ///
    /// **Command** `LCS IDX MINMATCHLEN`. **Complexity** O(n m) time and 4 n m bytes.
    ///
    /// # Errors
    /// As [`lcs`](Self::lcs).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("a", "ohmytext")?;
    /// engine.set("b", "mynewtext")?;
    /// let common = engine.lcs_runs("a", "b", 0)?;
    /// assert_eq!((common.bytes, common.runs[0].first), (6, (4, 7)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn lcs_runs(
        &self,
        a: impl AsRef<[u8]>,
        b: impl AsRef<[u8]>,
        bytes_min: usize,
    ) -> Result<CommonSubsequence, OpError> {
        let (a, b) = self.two_strings(a.as_ref(), b.as_ref())?;
        let found = lcs::matches(&a, &b, bytes_min).map_err(|_| LCS_TOO_LARGE)?;
        Ok(CommonSubsequence {
            runs: found
                .matches
                .iter()
                .map(|run| CommonRun {
                    first: (run.a_start, run.a_start + run.length - 1),
                    second: (run.b_start, run.b_start + run.length - 1),
                    bytes: run.length,
                })
                .collect(),
            bytes: found.length,
        })
    }

    fn two_strings(&self, a: &[u8], b: &[u8]) -> Result<(Value, Value), OpError> {
        let empty = || Value::copy(&[]);
        Ok((self.get(a)?.unwrap_or_else(empty), self.get(b)?.unwrap_or_else(empty)))
    }
}

const LCS_TOO_LARGE: OpError = OpError::InvalidArgument("the strings are too long for LCS");

/// The bytes that GETRANGE names.
fn range(len: usize, start: i64, end: i64) -> std::ops::Range<usize> {
    let place = |index: i64| {
        let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        if index < 0 { len.checked_sub(distance) } else { Some(distance) }
    };
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let start = place(start).unwrap_or(0);
    let end = place(end).unwrap_or(0).min(len.saturating_sub(1));
    if len == 0 || start > end { 0..0 } else { start..end + 1 }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_those_of_redis() {
        let text = "Hello";
        let cut = |start, end| &text[range(text.len(), start, end)];
        assert_eq!(cut(0, 3), "Hell");
        assert_eq!(cut(0, -1), "Hello");
        assert_eq!(cut(-4, -2), "ell");
        assert_eq!(cut(5, 3), "");
        assert_eq!(cut(5, 5000), "");
        assert_eq!(cut(-5000, 10000), "Hello");
        assert_eq!(cut(-1, -5), "");
        assert_eq!(
            cut(0, i64::MIN),
            "H",
            "as Redis: an end before the start of the string is its first byte"
        );
        assert_eq!(&""[range(0, 0, -1)], "");
    }
}
