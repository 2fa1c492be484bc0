//! A store that knows the newest token, and refuses what comes with an older one.
//!
//! This is the half of the lock that makes it safe, and it belongs to whatever the lock protects: here a value in the engine,
//! elsewhere a column of the row that is written, or a header that the other service compares.
//!
//! Promise: after a write, or a `fence`, with one token nothing is written with an older one.

use std::error::Error;
use std::fmt;

use larder::{Engine, OpError, Tx};

/// A text that only the holder of the newest token may change.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    engine: Engine,
    text: String,
    newest: String,
}

impl Ledger {
    pub(crate) fn new(engine: &Engine, name: &str) -> Self {
        Self {
            engine: engine.clone(),
            text: format!("ledger:{name}"),
            newest: format!("ledger:{name}:token"),
        }
    }

    pub(crate) fn read(&self) -> Result<Option<String>, OpError> {
        self.engine.get_with(&self.text, |text| String::from_utf8_lossy(text).into_owned())
    }

    /// Writes, unless a newer token was seen. Check and write are one step: a stall cannot come between them.
    pub(crate) fn write(&self, token: i64, text: &str) -> Result<(), WriteError> {
        self.engine.transaction([&self.text, &self.newest], |tx| {
            self.admit(tx, token)?;
            Ok(tx.set(&self.text, text)?)
        })
    }

    /// Shuts older tokens out without writing: for a holder that reads first and computes long.
    pub(crate) fn fence(&self, token: i64) -> Result<(), WriteError> {
        self.engine.transaction([&self.newest], |tx| self.admit(tx, token))
    }

    fn admit(&self, tx: &Tx<'_>, token: i64) -> Result<(), WriteError> {
        let tokens = tx.typed::<i64>();
        let newest = tokens.get_with(&self.newest, |newest| *newest)?.unwrap_or(token);
        if token < newest {
            return Err(WriteError::Stale { token, newest });
        }
        Ok(tokens.set(&self.newest, token)?)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// Somebody with a newer token was here.
    Stale {
        token: i64,
        newest: i64,
    },
    Op(OpError),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { token, newest } => write!(f, "token {token} is older than {newest}"),
            Self::Op(error) => error.fmt(f),
        }
    }
}

impl Error for WriteError {}

impl From<OpError> for WriteError {
    fn from(error: OpError) -> Self {
        Self::Op(error)
    }
}
