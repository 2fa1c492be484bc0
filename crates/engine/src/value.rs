//! A value that was read: copied when small, shared when large.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::collections::string::number::{NumberText, format_i64};
use crate::keyspace::blob::ValueRef;
use crate::keyspace::rope::Rope;

/// Values up to this many bytes are copied into the [`Value`] itself.
const INLINE_BYTES: usize = 46;

/// The bytes of a string value.
///
/// It derefs to `[u8]`. Up to 46 bytes lie inside it, longer ones in an allocation of their own; a value of more
/// than 4 KiB is shared with the engine, not copied.
#[derive(Clone)]
pub struct Value(Repr);

#[derive(Clone)]
enum Repr {
    Inline { bytes: [u8; INLINE_BYTES], len: u8 },
    Boxed(Box<[u8]>),
    Shared(Arc<Rope>),
}

impl Value {
    #[inline]
    pub(crate) fn copy(bytes: &[u8]) -> Self {
        match u8::try_from(bytes.len()) {
            Ok(len) if bytes.len() <= INLINE_BYTES => {
                let mut inline = [0; INLINE_BYTES];
                inline[..bytes.len()].copy_from_slice(bytes);
                Self(Repr::Inline { bytes: inline, len })
            }
            _ => Self(Repr::Boxed(bytes.into())),
        }
    }

    pub(crate) fn from_vec(bytes: Vec<u8>) -> Self {
        if bytes.len() <= INLINE_BYTES { Self::copy(&bytes) } else { Self(Repr::Boxed(bytes.into())) }
    }

    pub(crate) fn from_rope(rope: Arc<Rope>) -> Self {
        if rope.as_slice().is_some() { Self(Repr::Shared(rope)) } else { Self::from_vec(rope.to_vec()) }
    }

    /// Returns the bytes.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { bytes, len } => &bytes[..usize::from(*len)],
            Repr::Boxed(bytes) => bytes,
            Repr::Shared(rope) => rope.as_slice().unwrap_or_default(),
        }
    }

    /// Returns the bytes as text.
    ///
    /// # Errors
    /// If they are not UTF-8.
    pub fn as_str(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(self.as_bytes())
    }
}

impl Deref for Value {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Borrow<[u8]> for Value {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<Value> for Vec<u8> {
    fn from(value: Value) -> Self {
        match value.0 {
            Repr::Boxed(bytes) => bytes.into_vec(),
            Repr::Inline { .. } | Repr::Shared(_) => value.as_bytes().to_vec(),
        }
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Value {
    fn eq(&self, other: &T) -> bool {
        self.as_bytes() == other.as_ref()
    }
}

impl Eq for Value {}

impl std::hash::Hash for Value {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

/// What a locked entry yields without user code and without copying much.
pub(crate) enum Taken {
    Value(Value),
    Large(Arc<Rope>),
    Object(crate::typed::Object),
    /// Not a string at all.
    Collection(crate::engine::ValueType),
}

impl Taken {
    #[inline]
    pub(crate) fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Bytes(bytes) => Self::Value(Value::copy(bytes)),
            ValueRef::Int(number) => Self::Value(Value::copy(format_i64(number).as_bytes())),
            ValueRef::Large(rope) => Self::Large(Arc::clone(rope)),
            ValueRef::Object(object) => Self::Object(object.clone()),
            ValueRef::Collection(held) => Self::Collection(held.body.value_type()),
        }
    }
}

/// Text of an integer, for showing it as bytes.
pub(crate) fn integer_text(number: i64) -> NumberText {
    format_i64(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_reads_back() {
        for len in [0, 1, 45, 46, 47, 5_000] {
            let bytes = vec![b'x'; len];
            assert_eq!(Value::copy(&bytes), bytes);
            assert_eq!(Vec::from(Value::from_vec(bytes.clone())), bytes);
            let mut rope = Rope::from_vec(bytes.clone());
            assert_eq!(Value::from_rope(Arc::new(rope.clone())), bytes);
            rope.append(b"more");
            assert_eq!(Value::from_rope(Arc::new(rope)), [&bytes[..], b"more"].concat());
        }
    }

    #[test]
    fn debug_shows_text_and_escapes_the_rest() {
        assert_eq!(format!("{:?}", Value::copy(b"a\x00b")), "\"a\\x00b\"");
    }
}
