//! Streams: XADD, XLEN, XRANGE, XREVRANGE, XREAD, XDEL, XDELEX, XTRIM, XSETID.
//!
//! ```text
//! stream.rs           the handle: add, read, remove, trim     stream/options.rs   what may be asked of XADD and XTRIM
//! stream/groups.rs    XGROUP, XREADGROUP, XACK, XACKDEL       stream/claims.rs    XPENDING, XCLAIM, XAUTOCLAIM
//! stream/info.rs      XINFO
//! ```
//! Reads of many entries walk a captured root. What a change cuts off (trimmed blocks, a whole group) is dropped after its
//! lock was released.

mod claims;
mod groups;
mod info;
mod options;

use std::ops::{Bound, RangeBounds, RangeInclusive};

pub use claims::{AutoClaimed, ClaimOptions, PendingEntry, PendingQuery, PendingSummary};
pub use groups::{GroupOptions, GroupPosition, GroupReadOptions, StreamGroup};
pub use info::{ConsumerDetails, ConsumerInfo, GroupDetails, GroupInfo, StreamDetails, StreamInfo};
pub use options::{AddOptions, StreamMeta, Trim};

use super::beside::change_many;
use super::place::{capture, change, read};
use super::{At, Engine, Key, Owned, Place};
use crate::collections::stream::deleting::{EntryRemoval, References, Removal};
use crate::collections::stream::delta::StreamDelta;
use crate::collections::stream::fields::{StreamEntry, StreamFields};
use crate::collections::stream::id::{NewId, StreamId};
use crate::collections::stream::log::{Entries, Log};
use crate::collections::stream::{NewMeta, Stream as Body, check_fields};
use crate::effect::Delta;
use crate::error::OpError;
use crate::feed::event;
use crate::keyspace::collect::{Absent, Change};

/// What a change reserves for one entry beside its fields and values.
const ENTRY_BYTES: usize = 64;
/// What it reserves for a stream that it may make.
const STREAM_BYTES: usize = 512;

/// A stream under a key; see [`Engine::stream`].
///
/// The handle is made without a look-up and keeps nothing but the key. A stream that has lost all its entries stays; one
/// that does not exist reads as an empty one.
///
/// # Examples
/// ```
/// let engine = larder::Engine::new();
/// let log = engine.stream("log");
/// let first = log.add([("level", "info"), ("text", "started")])?;
/// log.add([("level", "warn"), ("text", "slow")])?;
/// let texts: Vec<_> = log.range(first..)?.map(|entry| entry.fields.get("text").map(<[u8]>::to_vec)).collect();
/// assert_eq!(texts, [Some(b"started".to_vec()), Some(b"slow".to_vec())]);
/// # Ok::<(), larder::OpError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Stream<P = Owned> {
    pub(super) place: P,
}

/// Tells a change of the stream.
fn emit(change: &mut Change<'_, Body>, delta: impl FnOnce() -> StreamDelta) {
    change.emit(|| Delta::Stream(delta()));
}

/// Tells several changes, which are collected only if somebody records them.
fn emit_all(change: &mut Change<'_, Body>, collect: impl FnOnce(&Body, &mut Vec<StreamDelta>)) {
    let mut deltas = Vec::new();
    if change.is_recorded() {
        collect(change.body, &mut deltas);
    } else {
        deltas.push(change.body.meta());
    }
    for delta in deltas {
        emit(change, || delta);
    }
}

/// Whether a group has this consumer.
fn has_consumer(body: &Body, group: &[u8], consumer: &[u8]) -> bool {
    body.group(group).is_some_and(|group| group.number_of(consumer).is_some())
}

/// Asks for the event of a consumer that came to be on the way.
fn note_consumer(change: &Change<'_, Body>, was_there: bool, group: &[u8], consumer: &[u8]) {
    if !was_there && has_consumer(change.body, group, consumer) {
        change.note(event::XGROUP_CREATECONSUMER);
    }
}

/// The ids of a range, both ends included; an impossible one is empty.
fn inclusive(range: &impl RangeBounds<StreamId>) -> RangeInclusive<StreamId> {
    let start = match range.start_bound() {
        Bound::Included(&id) => Some(id),
        Bound::Excluded(id) => id.next(),
        Bound::Unbounded => Some(StreamId::MIN),
    };
    let end = match range.end_bound() {
        Bound::Included(&id) => Some(id),
        Bound::Excluded(id) => id.previous(),
        Bound::Unbounded => Some(StreamId::MAX),
    };
    match (start, end) {
        (Some(start), Some(end)) => start..=end,
        _ => StreamId::MAX..=StreamId::MIN,
    }
}

impl Engine {
    /// Returns a handle to a stream.
    ///
    /// **Complexity** O(1), no look-up.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert!(engine.stream("s").is_empty()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn stream<'a>(&'a self, key: impl Into<Key<'a>>) -> Stream<At<'a>> {
        Stream { place: At::new(self, key) }
    }

    /// Reads what came into several streams after given ids; all of them at one moment. There is one item a stream, `None`
    /// where there is nothing new. It does not wait for anything to come.
    ///
    /// **Command** `XREAD`. **Complexity** O(m log n) for m streams of n entries, and O(k) for the k entries that are read.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::StreamId;
    /// let engine = larder::Engine::new();
    /// let id = engine.stream("a").add([("f", "v")])?;
    /// let mut news = engine.read_streams(&[("a", StreamId::MIN), ("b", StreamId::MIN)])?;
    /// assert!(news[1].is_none());
    /// assert_eq!(news[0].take().unwrap().next().unwrap().id, id);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn read_streams<K: AsRef<[u8]>>(
        &self,
        after: &[(K, StreamId)],
    ) -> Result<Vec<Option<StreamEntries>>, OpError> {
        let keys: Vec<&[u8]> = after.iter().map(|(key, _)| key.as_ref()).collect();
        let captured: Vec<Option<Body>> = self.capture_many(&keys)?;
        let news = captured.into_iter().zip(after).map(|(body, (_, after))| {
            let body = body.filter(|body| body.last_entry_id() > Some(*after))?;
            let start = after.next()?;
            Some(StreamEntries::new(body.log().clone(), start..=StreamId::MAX, false))
        });
        Ok(news.collect())
    }
}

impl Stream<At<'_>> {
    /// Returns a handle that keeps its own copy of the key, and the engine.
    #[must_use]
    pub fn into_owned(self) -> Stream<Owned> {
        Stream { place: self.place.into_owned() }
    }
}

impl<P: Place> Stream<P> {
    /// Adds an entry under the next free id, and makes the stream if there is none.
    ///
    /// **Command** `XADD key *`. **Complexity** O(log n) for n entries.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::InvalidArgument`] for an entry without fields, one of more than a GiB, and where no
    /// id is left; [`OpError::OutOfMemory`].
    ///
    /// # Panics
    /// Never: without options the stream is made.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// let first = stream.add([("sensor", "7"), ("temp", "21.5")])?;
    /// assert!(stream.add([("sensor", "8"), ("temp", "19.0")])? > first);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn add(&self, fields: impl Into<StreamFields>) -> Result<StreamId, OpError> {
        let added = self.add_with(&AddOptions::new(), fields)?;
        Ok(added.expect("without options the stream is made"))
    }

    /// Adds an entry, with a choice of its id, and trims the stream; `None` if there is no stream and none is to be made.
    ///
    /// **Command** `XADD`. **Complexity** O(log n) for n entries, and what trimming costs.
    ///
    /// # Errors
    /// As [`Stream::add`]; [`OpError::InvalidArgument`] also for an id that is not above the last one.
    ///
    /// # Examples
    /// ```
    /// use larder::{AddOptions, StreamId, Trim};
    /// let engine = larder::Engine::new();
    /// let options = AddOptions::new().id(StreamId::new(5, 1)).trim(Trim::to_length(1_000).approximate());
    /// assert_eq!(engine.stream("s").add_with(&options, [("f", "v")])?, Some(StreamId::new(5, 1)));
    /// assert!(engine.stream("s").add_with(&options, [("f", "v")]).is_err(), "ids ascend");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn add_with(
        &self,
        options: &AddOptions,
        fields: impl Into<StreamFields>,
    ) -> Result<Option<StreamId>, OpError> {
        let fields = fields.into();
        check_fields(&fields)?;
        let room = fields.payload() + fields.len() * 4 + ENTRY_BYTES + STREAM_BYTES;
        let absent = if options.existing_only { Absent::Skip } else { Absent::Create };
        let added = change(&self.place, absent, room, |change: &mut Change<'_, Body>| {
            let now_ms = if options.id == NewId::Auto { change.now_ms() } else { 0 };
            let id = change.body.resolve(options.id, now_ms)?;
            let (body, rules, _) = change.parts();
            body.add(id, &fields, rules);
            emit(change, || StreamDelta::Add { id, fields: fields.clone() });
            change.wake_readers();
            let dropped = options.trim.map(|trim| trim_body(change, trim).1);
            Ok((id, dropped))
        })?;
        Ok(added.map(|(id, _dropped)| id))
    }

    /// Returns the number of entries.
    ///
    /// **Command** `XLEN`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.stream("s").add([("f", "v")])?;
    /// assert_eq!(engine.stream("s").len()?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn len(&self) -> Result<u64, OpError> {
        Ok(read(&self.place, |body: &Body, _| body.len())?.unwrap_or(0))
    }

    /// Returns whether there is no entry.
    ///
    /// **Command** `XLEN`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// assert!(larder::Engine::new().stream("s").is_empty()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool, OpError> {
        Ok(self.len()? == 0)
    }

    /// Returns whether there is such a stream, with or without entries.
    ///
    /// **Command** `EXISTS`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let id = engine.stream("s").add([("f", "v")])?;
    /// engine.stream("s").remove([id])?;
    /// assert!(engine.stream("s").exists()?, "without entries it is still there");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn exists(&self) -> Result<bool, OpError> {
        Ok(read(&self.place, |_: &Body, _| ())?.is_some())
    }

    /// Returns the entry with this id.
    ///
    /// **Command** `XRANGE key id id`. **Complexity** O(log n + b) for n entries, b bytes of a block (about 4 KiB).
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let id = engine.stream("s").add([("f", "v")])?;
    /// let entry = engine.stream("s").get(id)?.unwrap();
    /// assert_eq!(entry.fields.get("f"), Some(&b"v"[..]));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn get(&self, id: StreamId) -> Result<Option<StreamEntry>, OpError> {
        Ok(read(&self.place, |body: &Body, _| body.log().get(id))?.flatten())
    }

    /// Walks over the entries whose ids lie in a range, as they are now: later changes do not show, and nobody is blocked.
    ///
    /// **Command** `XRANGE`. **Complexity** O(log n) for n entries, then O(1) an entry.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::{AddOptions, StreamId};
    /// let engine = larder::Engine::new();
    /// for ms in 1..=3 {
    ///     engine.stream("s").add_with(&AddOptions::new().id(StreamId::new(ms, 0)), [("f", "v")])?;
    /// }
    /// let ids: Vec<u64> = engine.stream("s").range(StreamId::new(2, 0)..)?.map(|entry| entry.id.ms).collect();
    /// assert_eq!(ids, [2, 3]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn range(&self, ids: impl RangeBounds<StreamId>) -> Result<StreamEntries, OpError> {
        self.walk(&ids, false)
    }

    /// Walks over the entries whose ids lie in a range, from the last one back.
    ///
    /// **Command** `XREVRANGE`. **Complexity** O(log n) for n entries, then O(1) an entry.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.stream("s").add([("f", "1")])?;
    /// let last = engine.stream("s").add([("f", "2")])?;
    /// assert_eq!(engine.stream("s").range_reversed(..)?.next().unwrap().id, last);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn range_reversed(&self, ids: impl RangeBounds<StreamId>) -> Result<StreamEntries, OpError> {
        self.walk(&ids, true)
    }

    fn walk(&self, ids: &impl RangeBounds<StreamId>, backwards: bool) -> Result<StreamEntries, OpError> {
        let range = inclusive(ids);
        let log = read(&self.place, |body: &Body, _| body.log().clone())?;
        Ok(log.map_or_else(StreamEntries::default, |log| StreamEntries::new(log, range, backwards)))
    }

    /// Removes entries; returns how many there were.
    ///
    /// **Command** `XDEL`. **Complexity** O(log n + b) an id, for n entries and b bytes of a block.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let id = engine.stream("s").add([("f", "v")])?;
    /// assert_eq!(engine.stream("s").remove([id, id])?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove(&self, ids: impl IntoIterator<Item = StreamId>) -> Result<u64, OpError> {
        let ids: Vec<StreamId> = ids.into_iter().collect();
        let touches = |_: &Body| ids.len() as u64;
        let removed = change_many(&self.place, Absent::Skip, 0, touches, |change: &mut Change<'_, Body>| {
            let mut removed = 0;
            for &id in &ids {
                if change.body.remove(id) {
                    emit(change, || StreamDelta::Remove { id });
                    removed += 1;
                }
            }
            Ok(removed)
        });
        Ok(removed?.unwrap_or(0))
    }

    /// Removes entries, and says what becomes of them where groups still know them; tells what became of each.
    ///
    /// **Command** `XDELEX` (Redis 8.2). **Complexity** O(log n + b) an id, and O(g log p) for g groups with p pending
    /// entries.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::{EntryRemoval, References, StreamId};
    /// let engine = larder::Engine::new();
    /// let id = engine.stream("s").add([("f", "v")])?;
    /// let removed = engine.stream("s").remove_with(References::Delete, [id, StreamId::MAX])?;
    /// assert_eq!(removed, [EntryRemoval::Removed, EntryRemoval::NotFound]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove_with(
        &self,
        references: References,
        ids: impl IntoIterator<Item = StreamId>,
    ) -> Result<Vec<EntryRemoval>, OpError> {
        let ids: Vec<StreamId> = ids.into_iter().collect();
        let touches = |_: &Body| ids.len() as u64;
        let removed = change_many(&self.place, Absent::Skip, 0, touches, |change: &mut Change<'_, Body>| {
            let mut outcomes = Vec::with_capacity(ids.len());
            for &id in &ids {
                let removal = change.body.remove_with(id, references);
                emit_removal(change, id, &removal);
                outcomes.push(removal.outcome);
            }
            Ok(outcomes)
        });
        Ok(removed?.unwrap_or_else(|| vec![EntryRemoval::NotFound; ids.len()]))
    }

    /// Removes the oldest entries; returns how many.
    ///
    /// **Command** `XTRIM`. **Complexity** O(log n + b) for n entries and b bytes of a block; approximate trimming besides
    /// O(1) for each block that it drops.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::Trim;
    /// let engine = larder::Engine::new();
    /// for _ in 0..10 {
    ///     engine.stream("s").add([("f", "v")])?;
    /// }
    /// assert_eq!(engine.stream("s").trim(Trim::to_length(4))?, 6);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn trim(&self, trim: Trim) -> Result<u64, OpError> {
        let trimmed = change(&self.place, Absent::Skip, 0, |change| Ok(trim_body(change, trim)))?;
        Ok(trimmed.map_or(0, |(removed, _dropped)| removed))
    }

    /// Sets the last id, and what else the stream says of itself.
    ///
    /// **Command** `XSETID`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::NoSuchKey`]; [`OpError::InvalidArgument`] for an id below the last entry's or below the given one of a
    /// removed entry, and a number of entries below the present one; [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::{StreamId, StreamMeta};
    /// let engine = larder::Engine::new();
    /// engine.stream("s").add([("f", "v")])?;
    /// engine.stream("s").set_last_id(StreamMeta::new(StreamId::MAX).entries_added(7))?;
    /// assert!(engine.stream("s").add([("f", "v")]).is_err(), "no id is left");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_last_id(&self, meta: StreamMeta) -> Result<(), OpError> {
        let StreamMeta { last_id, entries_added, max_deleted_id } = meta;
        let set = change(&self.place, Absent::Skip, 0, |change: &mut Change<'_, Body>| {
            change.body.set_meta(&NewMeta { last_id, entries_added, max_deleted_id })?;
            change.name(event::XSETID);
            let meta = change.body.meta();
            emit(change, || meta);
            Ok(())
        });
        set?.ok_or(OpError::NoSuchKey)
    }

    fn capture(&self) -> Result<Option<Body>, OpError> {
        capture(&self.place)
    }
}

/// Trims, and hands back what is to be dropped outside of the lock.
fn trim_body(change: &mut Change<'_, Body>, trim: Trim) -> (u64, Option<Log>) {
    let trimming = trim.resolve(change.rules());
    let trimmed = change.body.trim(&trimming);
    if trimmed.removed > 0 {
        emit(change, || StreamDelta::TrimBefore { id: trimmed.before });
    }
    (trimmed.removed, trimmed.dropped)
}

fn emit_removal(change: &mut Change<'_, Body>, id: StreamId, removal: &Removal) {
    if removal.entry {
        emit(change, || StreamDelta::Remove { id });
    }
    for group in &removal.groups {
        emit(change, || StreamDelta::PendingRemove { group: group.as_ref().into(), id });
    }
}

/// Walks over entries of a stream as it was when the walk began; see [`Stream::range`].
#[derive(Debug, Clone, Default)]
pub struct StreamEntries(Option<Entries>);

impl StreamEntries {
    pub(in crate::engine) fn new(log: Log, range: RangeInclusive<StreamId>, backwards: bool) -> Self {
        Self(Some(Entries::new(log, range, backwards)))
    }
}

impl Iterator for StreamEntries {
    type Item = StreamEntry;

    fn next(&mut self) -> Option<StreamEntry> {
        self.0.as_mut()?.next()
    }
}
