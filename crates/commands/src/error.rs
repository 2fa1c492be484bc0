//! What a handler refuses, in the words of the wire.

use std::borrow::Cow;
use std::fmt;

use larder::OpError;

/// An error reply: a code in capitals, a space, a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    text: Cow<'static, [u8]>,
}

impl CommandError {
    /// Makes an error of its full text, code included: `ERR no such key`.
    #[must_use]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: match text.into() {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            },
        }
    }

    /// Makes an error that quotes bytes of the caller's.
    #[must_use]
    pub fn from_bytes(text: Vec<u8>) -> Self {
        Self { text: Cow::Owned(text) }
    }

    /// `ERR syntax error`.
    #[must_use]
    pub fn syntax() -> Self {
        Self::new("ERR syntax error")
    }

    /// `ERR value is not an integer or out of range`.
    #[must_use]
    pub fn not_an_integer() -> Self {
        OpError::NotAnInteger.into()
    }

    /// `ERR value is not a valid float`.
    #[must_use]
    pub fn not_a_float() -> Self {
        OpError::NotAFloat.into()
    }

    /// `ERR wrong number of arguments for '<name>' command`; the name in lower case, `container|subcommand`.
    #[must_use]
    pub fn wrong_arity(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        Self::new(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// `ERR invalid expire time in '<name>' command`.
    #[must_use]
    pub fn invalid_expire(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        Self::new(format!("ERR invalid expire time in '{name}' command"))
    }

    /// Returns the text, code included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

impl From<OpError> for CommandError {
    fn from(error: OpError) -> Self {
        Self::new(crate::reply::wire_text(&error))
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

impl std::error::Error for CommandError {}
