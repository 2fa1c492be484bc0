//! What can be wrong between a value and its stored bytes.

use std::any::type_name;
use std::fmt;

/// Tells which type could not be encoded or decoded, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecError {
    type_name: &'static str,
    fault: Fault,
}

/// Tells what was wrong with a value or with its stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecErrorKind {
    /// The bytes are not an integer as INCR writes it.
    NotAnInteger,
    /// The bytes are an integer that the type cannot hold.
    IntegerOutOfRange,
    /// The bytes are not a float in text form.
    NotAFloat,
    /// The value is NaN, which has no text form.
    NotANumber,
    /// The bytes are not UTF-8.
    NotText,
    /// The type's `Serialize` writes another kind of value than its `Deserialize` asks for.
    FormMismatch,
    /// Containers lie in one another more than 32 deep.
    TooDeep,
    /// The bytes end before the value does.
    Truncated,
    /// Bytes follow the value.
    TrailingBytes,
    /// The bytes are not MessagePack.
    Malformed,
    /// The type's own `Serialize` or `Deserialize` refused; the detail says why.
    Refused,
}

impl CodecError {
    /// Returns the name of the type, as the compiler spells it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }

    /// Returns what was wrong.
    #[must_use]
    pub fn kind(&self) -> CodecErrorKind {
        self.fault.kind
    }

    /// Returns the words of the type's own `Serialize` or `Deserialize`, when it was they that refused.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.fault.detail.as_deref()
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.type_name, self.fault)
    }
}

impl std::error::Error for CodecError {}

impl fmt::Display for CodecErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnInteger => "the stored bytes are not an integer",
            Self::IntegerOutOfRange => "the stored integer is out of range",
            Self::NotAFloat => "the stored bytes are not a float",
            Self::NotANumber => "NaN cannot be stored",
            Self::NotText => "the stored bytes are not UTF-8",
            Self::FormMismatch => "its Serialize and Deserialize disagree about the stored form",
            Self::TooDeep => "it is nested more than 32 deep",
            Self::Truncated => "the stored bytes end too early",
            Self::TrailingBytes => "bytes follow the stored value",
            Self::Malformed => "the stored bytes are not MessagePack",
            Self::Refused => "refused by the type itself",
        })
    }
}

/// An error that does not yet know its type; the form in which serde carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    kind: CodecErrorKind,
    detail: Option<Box<str>>,
}

impl Fault {
    pub(super) fn refused(detail: String) -> Self {
        Self { kind: CodecErrorKind::Refused, detail: Some(detail.into()) }
    }

    #[cold]
    pub(super) fn of_type<T>(self) -> CodecError {
        CodecError { type_name: type_name::<T>(), fault: self }
    }
}

impl From<CodecErrorKind> for Fault {
    fn from(kind: CodecErrorKind) -> Self {
        Self { kind, detail: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            None => write!(f, "{}", self.kind),
            Some(detail) => write!(f, "{}: {detail}", self.kind),
        }
    }
}

impl std::error::Error for Fault {}

impl serde::ser::Error for Fault {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self::refused(message.to_string())
    }
}

impl serde::de::Error for Fault {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self::refused(message.to_string())
    }
}
