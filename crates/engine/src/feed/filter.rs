//! Which changes a listener hears of, and how many may wait for it.
//!
//! Cost of a question: the cheap conditions first, the glob last. Nothing is allocated.

use crate::ValueType;
use crate::effect::Delta;
use crate::feed::Change;
use crate::glob;

/// How many changes may wait for a listener unless its filter says otherwise.
const CAPACITY: usize = 1_024;

/// Chooses changes: by key, type, operation and database. What is not said is not asked for.
///
/// # Examples
/// ```
/// use larder::{ChangeFilter, Engine, ValueType};
/// let engine = Engine::new();
/// let mut changes = engine.changes(ChangeFilter::new().prefix("user:").value_type(ValueType::Hash));
/// engine.set("user:1", "a string")?;
/// engine.hash::<String, String>("user:2").set("name", "Ann")?;
/// assert_eq!(*changes.try_recv().unwrap().change().unwrap().key, *b"user:2");
/// # Ok::<(), larder::OpError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ChangeFilter {
    prefix: Box<[u8]>,
    pattern: Option<Box<[u8]>>,
    types: Vec<ValueType>,
    events: Vec<Box<str>>,
    every_database: bool,
    database: u16,
    capacity: usize,
}

impl Default for ChangeFilter {
    fn default() -> Self {
        Self::new()
    }
}

impl ChangeFilter {
    /// Admits every change of the database whose handle is asked, and lets 1,024 of them wait.
    pub fn new() -> Self {
        Self {
            prefix: Box::default(),
            pattern: None,
            types: Vec::new(),
            events: Vec::new(),
            every_database: false,
            database: 0,
            capacity: CAPACITY,
        }
    }

    /// Keys that begin with these bytes.
    pub fn prefix(mut self, prefix: impl AsRef<[u8]>) -> Self {
        self.prefix = prefix.as_ref().into();
        self
    }

    /// Keys that match a glob (see [`glob_matches`](crate::glob_matches)).
    pub fn matching(mut self, pattern: impl AsRef<[u8]>) -> Self {
        self.pattern = Some(pattern.as_ref().into());
        self
    }

    /// Values of this type; said several times, of any of these types.
    pub fn value_type(mut self, value_type: ValueType) -> Self {
        self.types.push(value_type);
        self
    }

    /// Changes that Redis calls by this name (`set`, `del`, `expired`, `hset` ...); said several times, by any of them.
    pub fn event(mut self, name: impl Into<Box<str>>) -> Self {
        self.events.push(name.into());
        self
    }

    /// Changes of every database, and those that exchange two databases.
    pub fn every_database(mut self) -> Self {
        self.every_database = true;
        self
    }

    /// How many changes may wait; at least one. Those that come when it is full are counted and told as
    /// [`Lagged`](crate::Delivery::Lagged).
    pub fn capacity(mut self, changes: usize) -> Self {
        self.capacity = changes.max(1);
        self
    }

    pub(super) fn for_database(mut self, database: u16) -> Self {
        self.database = database;
        self
    }

    pub(super) fn waiting_max(&self) -> usize {
        self.capacity
    }

    pub(super) fn admits(&self, change: &Change) -> bool {
        // An exchange of databases concerns every key.
        if change.key.is_empty() && matches!(change.known_delta(), Some(Delta::SwapDatabases { .. })) {
            return self.every_database;
        }
        (self.every_database || self.database == change.database)
            && (self.types.is_empty() || change.value_type.is_some_and(|is| self.types.contains(&is)))
            && (self.events.is_empty() || self.events.iter().any(|name| **name == *change.event))
            && change.key.starts_with(&self.prefix)
            && self.pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, &change.key))
    }
}
