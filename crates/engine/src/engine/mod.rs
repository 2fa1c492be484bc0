//! The engine's handle and its operations, one file a family.
//!
//! ```text
//! strings.rs  GET, GETEX ..           store.rs   SET and its conditions: the one way a value comes in
//! numbers.rs  INCR ..                 ranges.rs  APPEND, GETRANGE, SETRANGE, LCS
//! bitmap.rs, hyperloglog.rs   SETBIT .., PFADD ..   combine.rs  BITOP, PFMERGE: strings made of strings
//! edit.rs     changing a string in place: what ranges, bitmaps and HyperLogLogs are made of
//! many.rs     MGET, MSET ..           keys.rs    DEL, RENAME, COPY, MOVE, OBJECT ..
//! expiry.rs   EXPIRE, TTL ..          scan.rs    SCAN, KEYS, RANDOMKEY, prefix and range scans
//! list.rs, set.rs, sorted_set.rs, hash.rs   the types; geo.rs  places in sorted sets; sort.rs  SORT
//! stream.rs   XADD, XRANGE, XREAD, XTRIM ..; stream/ has the groups: XREADGROUP, XACK, XCLAIM, XINFO ..
//! place.rs    where a handle's collection is: read, capture, change; beside.rs: changes of very many elements
//! multi.rs    several collections at once: captures, STORE, moves
//! transaction.rs   several operations as one; pipelines
//! wait/       blocked callers: BLPOP, XREAD BLOCK ..   watch.rs   WATCH
//! batch.rs    functions over all keys of a pattern, on several threads
//! effects.rs  effects taken and applied, the digest of the state
//! feed.rs     who is told of changes: subscribers, handlers, keyspace events
//! copies.rs   tokens, insert_if, invalidation, pins: what a tier in front of a remote needs
//! service.rs  limits, statistics, maintenance
//! ```
//! An operation parses nothing and knows no wire: it checks, reserves, changes and tells what it did.

mod batch;
mod beside;
mod bitmap;
mod combine;
mod copies;
pub(crate) mod edit;
mod effects;
mod expiry;
mod feed;
mod geo;
mod hash;
mod hyperloglog;
mod keys;
mod list;
mod many;
mod multi;
mod numbers;
pub(crate) mod place;
mod ranges;
mod scan;
pub(crate) mod service;
mod set;
mod sort;
mod sorted_set;
pub(crate) mod store;
mod stream;
mod strings;
mod transaction;
pub(crate) mod wait;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use batch::Entry;
pub use bitmap::{BitFields, Bitmap};
pub(crate) use copies::tags_of;
pub use copies::{CacheOptions, Lookup};
pub use expiry::{ExpireCondition, Ttl};
pub use geo::{Geo, GeoFound, GeoScore, GeoSearch, GeoUnit};
pub use hash::{
    Expiry, FieldExpiry, FieldPersist, FieldSetOptions, FieldTtl, Hash, HashEntries, HashFields, HashPage,
    HashValues, RandomEntries,
};
pub use hyperloglog::{HyperLogLog, RegisterRun};
pub use keys::{Encoding, ValueType};
pub use list::{Inserted, List, ListElements, PositionOptions};
pub use place::{At, Key, Owned, Place};
pub use ranges::{CommonRun, CommonSubsequence};
pub use scan::{ScanOptions, ScanPage};
pub use service::{Budget, Maintenance, Remaining};
pub use set::{RandomMembers, Set, SetMembers, SetPage};
pub use sort::SortOptions;
pub use sorted_set::{AddCount, Aggregate, CombineOptions, ScoreEnd, ScoredMembers, ScoredPage, SortedSet};
pub use store::{SetOptions, SetOutcome};
pub use stream::{
    AddOptions, AutoClaimed, ClaimOptions, ConsumerDetails, ConsumerInfo, GroupDetails, GroupInfo,
    GroupOptions, GroupPosition, GroupReadOptions, PendingEntry, PendingQuery, PendingSummary, Stream,
    StreamDetails, StreamEntries, StreamGroup, StreamInfo, StreamMeta, Trim,
};
pub use transaction::{Pipeline, PipelineResults, Ticket, Tx};
pub use wait::Waiter;
pub use watch::Watch;

use crate::config::{Builder, Settings};
use crate::error::{LENGTH_BYTES_MAX, OpError};
use crate::keyspace::{Core, CoreHandle};
use crate::typed::{Element, Typed};

/// A data-structure engine, or one database of it.
///
/// A handle is cheap to clone; clones see the same data. Any thread calls any method at any time.
///
/// # Examples
/// ```
/// let engine = larder::Engine::new();
/// engine.set("greeting", "hello")?;
/// assert_eq!(engine.get("greeting")?.unwrap(), "hello");
/// assert_eq!(engine.incr("visits")?, 1);
/// # Ok::<(), larder::OpError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) core: CoreHandle,
    pub(crate) db: u16,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine {
    /// Makes an engine without limits, on the machine's clock.
    ///
    /// # Panics
    /// Never: the default settings are valid.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build().expect("I1: the default settings are valid")
    }

    /// Starts the configuration of an engine.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn from_settings(settings: Settings) -> Self {
        Self { core: CoreHandle::new(Core::new(settings)), db: 0 }
    }

    /// A handle to a database of an engine that is there.
    pub(crate) fn of_core(core: Arc<Core>, db: u16) -> Self {
        Self { core: CoreHandle::of(core), db }
    }

    /// Returns a handle to a numbered database.
    ///
    /// **Command** `SELECT`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::NoSuchDatabase`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.select(3)?.set("k", "v")?;
    /// assert!(engine.get("k")?.is_none());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn select(&self, index: u16) -> Result<Self, OpError> {
        self.core.check_database(index)?;
        Ok(Self { core: self.core.clone(), db: index })
    }

    /// Returns a handle to a named keyspace, making it at the first call: a database beside the numbered ones.
    ///
    /// **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::InvalidArgument`] if there are too many (65,534 databases altogether).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let sessions = engine.keyspace("sessions")?;
    /// sessions.set("k", "v")?;
    /// assert_eq!(engine.keyspace("sessions")?.len()?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn keyspace(&self, name: &str) -> Result<Self, OpError> {
        let db = self.core.named(name)?;
        Ok(Self { core: self.core.clone(), db })
    }

    /// Returns the number of this handle's database; named keyspaces follow the numbered databases.
    #[must_use]
    pub fn database(&self) -> u16 {
        self.db
    }

    /// Returns a handle that keeps values of type `T` decoded.
    ///
    /// **Complexity** O(1), no look-up. Keep the handle: making one costs a reference count.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let scores = engine.typed::<Vec<u32>>();
    /// scores.set("k", vec![1, 2])?;
    /// assert_eq!(scores.get_with("k", |v| v.len())?, Some(2));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn typed<T: Element>(&self) -> Typed<T> {
        Typed::new(self.clone())
    }

    /// Checks every invariant of every structure (tests and fuzzing only).
    #[cfg(any(test, fuzzing))]
    #[allow(clippy::missing_panics_doc, reason = "panicking is its purpose")]
    pub fn validate(&self) {
        self.core.validate();
        self.core.pubsub.validate();
    }
}

/// Refuses keys that are too long.
#[inline]
pub(crate) fn check_key(key: &[u8]) -> Result<(), OpError> {
    if key.len() > LENGTH_BYTES_MAX { Err(OpError::KeyTooLong { bytes: key.len() }) } else { Ok(()) }
}

/// Refuses values that are, or would become, too long.
#[inline]
pub(crate) fn check_value(bytes: usize) -> Result<(), OpError> {
    if bytes > LENGTH_BYTES_MAX { Err(OpError::ValueTooLong { bytes }) } else { Ok(()) }
}
