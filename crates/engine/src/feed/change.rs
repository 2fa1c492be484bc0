//! A change as a listener gets it.
//!
//! A typed value that has no bytes yet travels as the object that it is, and is encoded where somebody asks for the delta: under
//! no lock, on the asker's thread, once for all listeners.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::event::{Class, Event};
use crate::ValueType;
use crate::clock::UnixMillis;
use crate::effect::{Delta, Effect};
use crate::typed::Object;

/// A change of one key, and its place in the order of all changes.
pub struct Change {
    /// The number of the change: one more than that of the change before it, be that one delivered to this listener or not.
    pub sequence: u64,
    /// The number of the first change that was committed together with this one: changes of one operation, or of one transaction,
    /// have the same, and their numbers lie in a row.
    pub batch: u64,
    /// The number of the database.
    pub database: u16,
    /// The key; empty where two databases changed places.
    pub key: Box<[u8]>,
    /// The type of the value that was changed, or has gone; `None` where two databases changed places.
    pub value_type: Option<ValueType>,
    /// Redis's name for what happened: `set`, `lpush`, `del`, `expired` ... One operation may make several changes of a name.
    pub event: &'static str,
    pub(super) class: Class,
    delta: OnceLock<Delta>,
    /// What the delta is encoded from, where nobody encoded it.
    object: Option<(Object, Option<UnixMillis>)>,
}

impl Change {
    pub(super) fn new(
        database: u16,
        key: Box<[u8]>,
        value_type: Option<ValueType>,
        event: Event,
        delta: Delta,
    ) -> Self {
        let Event { name: event, class } = event;
        let delta = OnceLock::from(delta);
        Self { sequence: 0, batch: 0, database, key, value_type, event, class, delta, object: None }
    }

    /// The same where the key holds a typed value now that has no bytes.
    pub(super) fn of_object(
        database: u16,
        key: Box<[u8]>,
        event: Event,
        object: Object,
        deadline: Option<UnixMillis>,
    ) -> Self {
        let Event { name: event, class } = event;
        let value_type = Some(ValueType::String);
        let (delta, object) = (OnceLock::new(), Some((object, deadline)));
        Self { sequence: 0, batch: 0, database, key, value_type, event, class, delta, object }
    }

    /// Returns what changed.
    ///
    /// O(1), but for a typed value that nobody has encoded yet: the first call encodes it, with the `Serialize` of its type. A
    /// value that refuses is [`Delta::SetOpaque`].
    pub fn delta(&self) -> &Delta {
        self.delta.get_or_init(|| match &self.object {
            Some((object, deadline)) => match object.encode() {
                Ok(value) => Delta::SetString { value: value.into(), deadline: *deadline },
                Err(_) => Delta::SetOpaque { deadline: *deadline },
            },
            None => unreachable!("I1: a change has a delta or an object"),
        })
    }

    /// The delta, if it needs no encoding.
    pub(super) fn known_delta(&self) -> Option<&Delta> {
        self.delta.get()
    }

    /// Returns the effect to apply to another engine.
    #[must_use]
    pub fn effect(&self) -> Effect {
        Effect { database: self.database, key: self.key.clone(), delta: self.delta().clone() }
    }
}

/// The effect of a change; no copy is made where nobody else has the change.
pub(super) fn into_effect(change: Arc<Change>) -> Effect {
    change.delta();
    match Arc::try_unwrap(change) {
        Ok(Change { database, key, delta, .. }) => {
            let delta = delta.into_inner().expect("I1: the delta was just made");
            Effect { database, key, delta }
        }
        Err(shared) => shared.effect(),
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("sequence", &self.sequence)
            .field("batch", &self.batch)
            .field("database", &self.database)
            .field("key", &format_args!("\"{}\"", self.key.escape_ascii()))
            .field("value_type", &self.value_type)
            .field("event", &self.event)
            .field("delta", &self.delta.get())
            .finish_non_exhaustive()
    }
}

/// What a listener gets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Delivery {
    /// A change.
    Change(Arc<Change>),
    /// The queue was full: this many changes that the filter admits were dropped here.
    Lagged {
        /// How many.
        missed: u64,
    },
}

impl Delivery {
    /// Returns the change, if it is one.
    #[must_use]
    pub fn change(&self) -> Option<&Change> {
        match self {
            Self::Change(change) => Some(change),
            Self::Lagged { .. } => None,
        }
    }
}
