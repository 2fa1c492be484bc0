//! Errors of the engine: small enums with structured fields.
//!
//! A refused operation has changed nothing. Text for the wire is composed elsewhere, from these fields.

use std::fmt;
use std::sync::Arc;

use crate::collections::Held;
use crate::engine::ValueType;
use crate::typed::CodecError;

/// The longest key and the longest value, in bytes (Redis's `proto-max-bulk-len` default, 512 MiB).
pub const LENGTH_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Tells why an operation was refused. Nothing has been changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpError {
    /// The key holds another type than the operation needs (Redis: `WRONGTYPE`).
    WrongType {
        /// The key, cut to its first 64 bytes.
        key: Box<[u8]>,
        /// The type that the operation needs.
        expected: &'static str,
        /// The type that was found.
        found: &'static str,
    },
    /// The value is not a 64-bit integer in Redis's text form.
    NotAnInteger,
    /// The value, or the increment, is not a finite decimal number.
    NotAFloat,
    /// The score given to a sorted set, or the sum that it would become, is not a number.
    ScoreNotANumber,
    /// The result would leave the range of a 64-bit integer, or would not be a finite number.
    Overflow,
    /// A key is longer than [`LENGTH_BYTES_MAX`].
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A value is longer than [`LENGTH_BYTES_MAX`], or would become so.
    ValueTooLong {
        /// The length that it would have.
        bytes: usize,
    },
    /// The limit leaves no room and the policy allows no (further) eviction (Redis: `OOM`).
    OutOfMemory {
        /// Bytes (or entries, or weight) that the write needed.
        needed: u64,
        /// The limit that refused it.
        limit: u64,
    },
    /// There is no database with this number.
    NoSuchDatabase {
        /// The number asked for.
        index: u16,
        /// How many numbered databases the engine has.
        databases: u16,
    },
    /// The key does not exist, and the operation needs it (Redis: `ERR no such key`).
    NoSuchKey,
    /// The stream has no consumer group of this name, or does not exist (Redis: `NOGROUP`).
    NoSuchGroup {
        /// The key, cut to its first 64 bytes.
        key: Box<[u8]>,
        /// The group's name, cut to its first 64 bytes.
        group: Box<[u8]>,
    },
    /// The stream whose group a blocked caller was reading is no more, or another type has taken its place (Redis:
    /// `UNBLOCKED`).
    StreamGone {
        /// The key, cut to its first 64 bytes.
        key: Box<[u8]>,
    },
    /// Source and target of the operation are the same object.
    SameObject,
    /// An expiry lies outside the representable range (Redis: `ERR invalid expire time`).
    InvalidExpiry,
    /// An offset is negative or out of range.
    OutOfRange {
        /// The offset as it was given.
        offset: i64,
    },
    /// The value could not be encoded, or the stored bytes could not be decoded.
    Codec {
        /// The key, cut to its first 64 bytes.
        key: Box<[u8]>,
        /// The type and what was wrong.
        source: CodecError,
    },
    /// The key holds a string that is no HyperLogLog (Redis: `WRONGTYPE Key is not a valid HyperLogLog string value.`).
    NotHyperLogLog {
        /// The key, cut to its first 64 bytes.
        key: Box<[u8]>,
    },
    /// The key holds a HyperLogLog whose registers make no sense (Redis: `INVALIDOBJ`).
    CorruptHyperLogLog {
        /// The key, cut to its first 64 bytes.
        key: Box<[u8]>,
    },
    /// An argument is outside what the operation accepts.
    InvalidArgument(&'static str),
    /// The operation needs a part that was not enabled when the engine was built.
    NotEnabled(&'static str),
    /// A transaction touched a key that it did not declare.
    UndeclaredKey {
        /// The key, cut to its first 64 bytes.
        key: Box<[u8]>,
    },
    /// A transaction over declared keys did what concerns the whole engine; [`Engine::exclusive`](crate::Engine::exclusive) may.
    NeedsExclusive,
    /// The operation waits for others, which cannot be done inside a transaction.
    InsideTransaction,
    /// The subscriber fell behind and was disconnected, or its engine is gone.
    Disconnected,
    /// A panic interrupted a change of this shard; the engine serves it no more.
    Poisoned,
}

impl OpError {
    pub(crate) fn wrong_type(key: &[u8], expected: ValueType, found: ValueType) -> Self {
        Self::WrongType { key: shown(key), expected: expected.name(), found: found.name() }
    }

    /// The key holds a collection where a string is needed.
    #[cold]
    pub(crate) fn not_a_string(key: &[u8], found: &Held) -> Self {
        Self::wrong_type(key, ValueType::String, found.body.value_type())
    }

    #[cold]
    pub(crate) fn no_such_group(key: &[u8], group: &[u8]) -> Self {
        Self::NoSuchGroup { key: shown(key), group: shown(group) }
    }

    pub(crate) fn codec(key: &[u8], source: CodecError) -> Self {
        Self::Codec { key: shown(key), source }
    }
}

/// The part of a key that an error carries.
pub(crate) fn shown(key: &[u8]) -> Box<[u8]> {
    key.iter().copied().take(64).collect()
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongType { key, expected, found } => {
                write!(f, "key '{}' holds {found}, the operation needs {expected}", key.escape_ascii())
            }
            Self::NotAnInteger => f.write_str("value is not an integer or out of range"),
            Self::NotAFloat => f.write_str("value is not a valid float"),
            Self::ScoreNotANumber => f.write_str("resulting score is not a number (NaN)"),
            Self::Overflow => f.write_str("increment or decrement would overflow"),
            Self::KeyTooLong { bytes } => {
                write!(f, "key of {bytes} bytes is longer than {LENGTH_BYTES_MAX} bytes")
            }
            Self::ValueTooLong { bytes } => {
                write!(f, "value of {bytes} bytes is longer than {LENGTH_BYTES_MAX} bytes")
            }
            Self::OutOfMemory { needed, limit } => {
                write!(f, "no room for {needed} more under the limit of {limit}")
            }
            Self::NoSuchDatabase { index, databases } => {
                write!(f, "database {index} is out of range, there are {databases}")
            }
            Self::NoSuchKey => f.write_str("no such key"),
            Self::NoSuchGroup { key, group } => {
                write!(f, "key '{}' has no consumer group '{}'", key.escape_ascii(), group.escape_ascii())
            }
            Self::StreamGone { key } => write!(f, "the stream '{}' is no more", key.escape_ascii()),
            Self::SameObject => f.write_str("source and destination objects are the same"),
            Self::InvalidExpiry => f.write_str("invalid expire time"),
            Self::OutOfRange { offset } => write!(f, "offset {offset} is out of range"),
            Self::Codec { key, source } => write!(f, "key '{}': {source}", key.escape_ascii()),
            Self::NotHyperLogLog { key } => {
                write!(f, "key '{}' holds a string that is no HyperLogLog", key.escape_ascii())
            }
            Self::CorruptHyperLogLog { key } => {
                write!(f, "key '{}' holds a corrupt HyperLogLog", key.escape_ascii())
            }
            Self::InvalidArgument(what) => write!(f, "invalid argument: {what}"),
            Self::NotEnabled(what) => write!(f, "not enabled: {what}"),
            Self::UndeclaredKey { key } => {
                write!(f, "key '{}' is not among those that the transaction declared", key.escape_ascii())
            }
            Self::NeedsExclusive => {
                f.write_str("the operation concerns the whole engine and needs an exclusive transaction")
            }
            Self::InsideTransaction => {
                f.write_str("the operation waits for others, not inside a transaction")
            }
            Self::Disconnected => f.write_str("the subscriber is disconnected"),
            Self::Poisoned => {
                f.write_str("a panic interrupted a change; the engine serves this shard no more")
            }
        }
    }
}

impl std::error::Error for OpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Codec { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Tells which setting of the builder is impossible.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The builder method whose value was refused.
    pub setting: &'static str,
    /// What was wrong with the value.
    pub reason: String,
}

impl ConfigError {
    pub(crate) fn new(setting: &'static str, reason: impl Into<String>) -> Self {
        Self { setting, reason: reason.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.reason)
    }
}

impl std::error::Error for ConfigError {}

/// Tells why a load through the cache gave no value.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader failed; every caller of that flight gets the same error, and it is not cached.
    Loader(Arc<E>),
    /// The engine refused the read or the insertion.
    Op(OpError),
    /// The loader asked for the very key that it is loading, which would wait for itself.
    Recursive,
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Loader(error) => Self::Loader(Arc::clone(error)),
            Self::Op(error) => Self::Op(error.clone()),
            Self::Recursive => Self::Recursive,
        }
    }
}

impl<E> From<OpError> for LoadError<E> {
    fn from(error: OpError) -> Self {
        Self::Op(error)
    }
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loader(error) => write!(f, "loader failed: {error}"),
            Self::Op(error) => write!(f, "{error}"),
            Self::Recursive => f.write_str("a loader asked for the key that it is loading"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for LoadError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Loader(error) => Some(error.as_ref()),
            Self::Op(error) => Some(error),
            Self::Recursive => None,
        }
    }
}
