//! Field-value pairs, and an entry as it is handed out.
//!
//! ```text
//! [length][field][length][value] [length][field][length][value] ..      lengths as in varint.rs
//! ```
//! Pairs keep their order, and a field may come twice. One allocation holds all of them, in the layout that a block uses
//! for an entry with names of its own.

use std::fmt;

use super::id::StreamId;
use super::varint::{put_text, take_text};

/// The fields of a stream's entry, in order, with their values.
///
/// # Examples
/// ```
/// use larder::StreamFields;
/// let fields: StreamFields = [("temp", "21"), ("unit", "C")].into();
/// assert_eq!(fields.get("unit"), Some(&b"C"[..]));
/// assert_eq!(fields.len(), 2);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct StreamFields {
    count: usize,
    bytes: Box<[u8]>,
}

impl StreamFields {
    pub(super) fn from_parts(count: usize, bytes: Vec<u8>) -> Self {
        Self { count, bytes: bytes.into() }
    }

    pub(super) fn packed(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns how many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the value of the first field with this name.
    #[must_use]
    pub fn get(&self, field: impl AsRef<[u8]>) -> Option<&[u8]> {
        let field = field.as_ref();
        self.iter().find(|(name, _)| *name == field).map(|(_, value)| value)
    }

    /// Walks over the pairs in order.
    #[must_use]
    pub fn iter(&self) -> StreamPairs<'_> {
        StreamPairs { bytes: &self.bytes, at: 0, left: self.count }
    }

    /// Bytes of fields and values.
    pub(crate) fn payload(&self) -> usize {
        self.iter().map(|(field, value)| field.len() + value.len()).sum()
    }
}

impl fmt::Debug for StreamFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .iter()
            .map(|(field, value)| (field.escape_ascii().to_string(), value.escape_ascii().to_string()));
        f.debug_map().entries(shown).finish()
    }
}

impl<F: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(F, V)> for StreamFields {
    fn from_iter<I: IntoIterator<Item = (F, V)>>(pairs: I) -> Self {
        let (mut count, mut bytes) = (0, Vec::new());
        for (field, value) in pairs {
            put_text(&mut bytes, field.as_ref());
            put_text(&mut bytes, value.as_ref());
            count += 1;
        }
        Self::from_parts(count, bytes)
    }
}

impl<F: AsRef<[u8]>, V: AsRef<[u8]>, const N: usize> From<[(F, V); N]> for StreamFields {
    fn from(pairs: [(F, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<F: AsRef<[u8]>, V: AsRef<[u8]>> From<Vec<(F, V)>> for StreamFields {
    fn from(pairs: Vec<(F, V)>) -> Self {
        pairs.into_iter().collect()
    }
}

impl<F: AsRef<[u8]>, V: AsRef<[u8]>> From<&[(F, V)]> for StreamFields {
    fn from(pairs: &[(F, V)]) -> Self {
        pairs.iter().map(|(field, value)| (field, value)).collect()
    }
}

impl<'a> IntoIterator for &'a StreamFields {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = StreamPairs<'a>;

    fn into_iter(self) -> StreamPairs<'a> {
        self.iter()
    }
}

/// Walks over the pairs of [`StreamFields`].
#[derive(Debug, Clone)]
pub struct StreamPairs<'a> {
    bytes: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Iterator for StreamPairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let field = take_text(self.bytes, &mut self.at);
        Some((field, take_text(self.bytes, &mut self.at)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for StreamPairs<'_> {}

/// An entry of a stream.
///
/// # Examples
/// ```
/// let engine = larder::Engine::new();
/// let stream = engine.stream("s");
/// let id = stream.add([("temp", "21")])?;
/// let entry = stream.get(id)?.unwrap();
/// assert_eq!((entry.id, entry.fields.get("temp")), (id, Some(&b"21"[..])));
/// # Ok::<(), larder::OpError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEntry {
    /// Its id.
    pub id: StreamId,
    /// Its fields and values.
    pub fields: StreamFields,
}
