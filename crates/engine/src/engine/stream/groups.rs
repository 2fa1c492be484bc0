//! Consumer groups: XGROUP, XREADGROUP, XACK, XACKDEL.

use super::super::beside::change_many;
use super::super::place::{change, read};
use super::super::{Key, Place};
use super::{Stream, emit, emit_all, emit_removal, has_consumer, note_consumer};
use crate::collections::stream::Stream as Body;
use crate::collections::stream::deleting::{EntryRemoval, References};
use crate::collections::stream::delta::StreamDelta;
use crate::collections::stream::fields::{StreamEntry, StreamFields};
use crate::collections::stream::group::Group;
use crate::collections::stream::id::StreamId;
use crate::collections::stream::log::Entries;
use crate::collections::stream::reading::Reading;
use crate::collections::stream::replay::{consumer_put, group_put, pending_put};
use crate::error::OpError;
use crate::feed::event;
use crate::keyspace::collect::{Absent, Change};

/// What a change reserves for a group or a consumer, besides its name.
pub(super) const NAMED_BYTES: usize = 512;
/// What it reserves for a pending entry.
pub(super) const PENDING_BYTES: usize = 128;

/// From where a group reads on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupPosition {
    /// After this id; `0-0` for the whole stream.
    After(StreamId),
    /// After what is in the stream now (`$`).
    End,
}

impl From<StreamId> for GroupPosition {
    fn from(id: StreamId) -> Self {
        Self::After(id)
    }
}

impl GroupPosition {
    fn resolve(self, body: &Body) -> StreamId {
        match self {
            Self::After(id) => id,
            Self::End => body.last_id(),
        }
    }
}

/// How a group is made; see [`StreamGroup::create_with`].
///
/// # Examples
/// ```
/// let options = larder::GroupOptions::new().make_stream().entries_read(3);
/// assert_ne!(options, larder::GroupOptions::new());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupOptions {
    make_stream: bool,
    entries_read: Option<u64>,
}

impl GroupOptions {
    /// Makes the options of a plain `XGROUP CREATE`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty stream if there is none (`MKSTREAM`).
    #[must_use]
    pub fn make_stream(mut self) -> Self {
        self.make_stream = true;
        self
    }

    /// Says how many entries the group has read, so that its lag can be told (`ENTRIESREAD`).
    #[must_use]
    pub fn entries_read(mut self, entries: u64) -> Self {
        self.entries_read = Some(entries);
        self
    }
}

/// How a group is read; see [`StreamGroup::read_with`].
///
/// # Examples
/// ```
/// let options = larder::GroupReadOptions::new().count(10).no_ack();
/// assert_ne!(options, larder::GroupReadOptions::new());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupReadOptions {
    count: Option<usize>,
    no_ack: bool,
}

impl GroupReadOptions {
    /// Makes the options of a plain `XREADGROUP`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Delivers at most so many entries (`COUNT`).
    #[must_use]
    pub fn count(mut self, entries: usize) -> Self {
        self.count = Some(entries);
        self
    }

    /// What is delivered needs no acknowledgement (`NOACK`).
    #[must_use]
    pub fn no_ack(mut self) -> Self {
        self.no_ack = true;
        self
    }
}

/// A consumer group of a stream; see [`Stream::group`].
///
/// Each entry is delivered to one consumer of the group, and is pending with it until it is acknowledged.
///
/// # Examples
/// ```
/// use larder::StreamId;
/// let engine = larder::Engine::new();
/// let jobs = engine.stream("jobs");
/// jobs.add([("task", "wash")])?;
/// let workers = jobs.group("workers");
/// workers.create(StreamId::MIN)?;
/// let got = workers.read("ann")?;
/// assert_eq!(workers.acknowledge([got[0].id])?, 1);
/// # Ok::<(), larder::OpError>(())
/// ```
#[derive(Debug, Clone)]
pub struct StreamGroup<'a, P> {
    pub(in crate::engine) place: &'a P,
    pub(in crate::engine) name: Key<'a>,
}

impl<P: Place> Stream<P> {
    /// Returns a handle to a consumer group of the stream.
    ///
    /// **Complexity** O(1), no look-up.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// assert!(stream.group("g").read("ann").is_err(), "there is no such group yet");
    /// ```
    #[must_use]
    pub fn group<'a>(&'a self, name: impl Into<Key<'a>>) -> StreamGroup<'a, P> {
        StreamGroup { place: &self.place, name: name.into() }
    }
}

impl<P: Place> StreamGroup<'_, P> {
    pub(super) fn missing(&self) -> OpError {
        OpError::no_such_group(self.place.key(), self.name.as_bytes())
    }

    /// Changes the stream; an error if there is no stream or, as `f` says by `None`, no group.
    pub(super) fn change_group<R>(
        &self,
        room: usize,
        mut f: impl FnMut(&mut Change<'_, Body>) -> Option<R>,
    ) -> Result<R, OpError> {
        let changed = change(self.place, Absent::Skip, room, |change| Ok(f(change)))?;
        changed.flatten().ok_or_else(|| self.missing())
    }

    /// The same for a change that may touch very many entries; `touches` tells about how many.
    pub(super) fn change_entries<R>(
        &self,
        room: usize,
        touches: impl Fn(&Body, &Group) -> u64,
        mut f: impl FnMut(&mut Change<'_, Body>) -> Option<R>,
    ) -> Result<R, OpError> {
        let touches = |body: &Body| body.group(self.name.as_bytes()).map_or(0, |group| touches(body, group));
        let changed = change_many(self.place, Absent::Skip, room, touches, |change| Ok(f(change)))?;
        changed.flatten().ok_or_else(|| self.missing())
    }

    /// Makes the group, if the stream exists; `false` if there is such a group.
    ///
    /// **Command** `XGROUP CREATE`. **Complexity** O(log g) for g groups.
    ///
    /// # Errors
    /// [`OpError::NoSuchKey`]; [`OpError::WrongType`]; [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// use larder::{GroupPosition, StreamId};
    /// let engine = larder::Engine::new();
    /// engine.stream("s").add([("f", "v")])?;
    /// assert!(engine.stream("s").group("g").create(GroupPosition::End)?);
    /// assert!(!engine.stream("s").group("g").create(StreamId::MIN)?, "it exists");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn create(&self, from: impl Into<GroupPosition>) -> Result<bool, OpError> {
        self.create_with(from, GroupOptions::new())
    }

    /// Makes the group, and the stream where that is wanted; `false` if there is such a group.
    ///
    /// **Command** `XGROUP CREATE`. **Complexity** O(log g) for g groups.
    ///
    /// # Errors
    /// As [`StreamGroup::create`].
    ///
    /// # Examples
    /// ```
    /// use larder::{GroupOptions, GroupPosition};
    /// let engine = larder::Engine::new();
    /// let made = engine.stream("s").group("g").create_with(GroupPosition::End, GroupOptions::new().make_stream())?;
    /// assert!(made && engine.exists("s")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn create_with(
        &self,
        from: impl Into<GroupPosition>,
        options: GroupOptions,
    ) -> Result<bool, OpError> {
        let (from, name) = (from.into(), self.name.as_bytes());
        let absent = if options.make_stream { Absent::Create } else { Absent::Skip };
        let made =
            change(self.place, absent, 2 * NAMED_BYTES + name.len(), |change: &mut Change<'_, Body>| {
                let last = from.resolve(change.body);
                change.name(event::XGROUP_CREATE);
                let made = change.body.create_group(name, last, options.entries_read);
                if made {
                    emit_all(change, |body, deltas| {
                        deltas.extend(body.group(name).map(|g| group_put(name, g)))
                    });
                }
                Ok(made)
            });
        made?.ok_or(OpError::NoSuchKey)
    }

    /// Lets the group read on from somewhere else; `entries_read` says how many entries lie before that, if known.
    ///
    /// **Command** `XGROUP SETID`. **Complexity** O(log g) for g groups.
    ///
    /// # Errors
    /// [`OpError::NoSuchGroup`]; [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::{GroupPosition, StreamId};
    /// let engine = larder::Engine::new();
    /// engine.stream("s").add([("f", "v")])?;
    /// let stream = engine.stream("s");
    /// stream.group("g").create(GroupPosition::End)?;
    /// stream.group("g").set_position(StreamId::MIN, Some(0))?;
    /// assert_eq!(stream.group("g").read("ann")?.len(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_position(
        &self,
        from: impl Into<GroupPosition>,
        entries_read: Option<u64>,
    ) -> Result<(), OpError> {
        let (from, name) = (from.into(), self.name.as_bytes());
        self.change_group(0, |change| {
            change.name(event::XGROUP_SETID);
            let last = from.resolve(change.body);
            change.body.edit_group(name, |group| {
                group.last_delivered = last;
                group.entries_read = entries_read;
            })?;
            emit_all(change, |body, deltas| deltas.extend(body.group(name).map(|g| group_put(name, g))));
            Some(())
        })
    }

    /// Removes the group with all that is pending in it; `false` if there was none.
    ///
    /// **Command** `XGROUP DESTROY`. **Complexity** O(log g) for g groups; what is dropped is dropped outside of the lock.
    ///
    /// # Errors
    /// [`OpError::NoSuchKey`]; [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::GroupPosition;
    /// let engine = larder::Engine::new();
    /// engine.stream("s").add([("f", "v")])?;
    /// engine.stream("s").group("g").create(GroupPosition::End)?;
    /// assert!(engine.stream("s").group("g").destroy()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn destroy(&self) -> Result<bool, OpError> {
        let name = self.name.as_bytes();
        let removed: Option<Option<Group>> =
            change(self.place, Absent::Skip, 0, |change: &mut Change<'_, Body>| {
                let removed = change.body.remove_group(name);
                if removed.is_some() {
                    emit(change, || StreamDelta::GroupRemove { group: name.into() });
                    change.wake_readers();
                }
                Ok(removed)
            })?;
        Ok(removed.ok_or(OpError::NoSuchKey)?.is_some())
    }

    /// Makes a consumer; `false` if there is one of this name. Reading makes consumers too.
    ///
    /// **Command** `XGROUP CREATECONSUMER`. **Complexity** O(log c) for c consumers.
    ///
    /// # Errors
    /// [`OpError::NoSuchGroup`]; [`OpError::WrongType`]; [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// use larder::{GroupOptions, GroupPosition};
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// stream.group("g").create_with(GroupPosition::End, GroupOptions::new().make_stream())?;
    /// assert!(stream.group("g").create_consumer("ann")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn create_consumer(&self, consumer: impl AsRef<[u8]>) -> Result<bool, OpError> {
        let (name, consumer) = (self.name.as_bytes(), consumer.as_ref());
        self.change_group(NAMED_BYTES + 2 * consumer.len(), |change| {
            if change.body.group(name)?.number_of(consumer).is_some() {
                return Some(false);
            }
            change.name(event::XGROUP_CREATECONSUMER);
            let now_ms = change.now_ms();
            change.body.edit_group(name, |group| group.see(consumer, now_ms))?;
            emit_all(change, |body, deltas| deltas.extend(consumer_delta(body, name, consumer)));
            Some(true)
        })
    }

    /// Removes a consumer, and forgets what was pending with it; returns how much that was, zero without such a consumer.
    ///
    /// **Command** `XGROUP DELCONSUMER`. **Complexity** O(k log p) for k of p pending entries, or O(p) if that is less.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// [`OpError::NoSuchGroup`]; [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::StreamId;
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// stream.add([("f", "v")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// stream.group("g").read("ann")?;
    /// assert_eq!(stream.group("g").remove_consumer("ann")?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove_consumer(&self, consumer: impl AsRef<[u8]>) -> Result<u64, OpError> {
        let (name, consumer) = (self.name.as_bytes(), consumer.as_ref());
        let touches = |_: &Body, group: &Group| {
            group.number_of(consumer).map_or(0, |number| group.consumer(number).pending)
        };
        self.change_entries(0, touches, |change| {
            let removed = change.body.edit_group(name, |group| group.remove_consumer(consumer))?;
            if removed.is_some() {
                emit(change, || StreamDelta::ConsumerRemove {
                    group: name.into(),
                    consumer: consumer.into(),
                });
            }
            Some(removed.unwrap_or(0))
        })
    }

    /// Delivers the entries that nobody in the group has read yet; see [`StreamGroup::read_with`].
    ///
    /// **Command** `XREADGROUP .. >`. **Complexity** O(k + log n + log p) for k of n entries and p pending ones.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// As [`StreamGroup::read_with`].
    ///
    /// # Examples
    /// ```
    /// use larder::StreamId;
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// stream.add([("f", "v")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// assert_eq!(stream.group("g").read("ann")?.len(), 1);
    /// assert_eq!(stream.group("g").read("bob")?.len(), 0);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn read(&self, consumer: impl AsRef<[u8]>) -> Result<Vec<StreamEntry>, OpError> {
        self.read_with(consumer, GroupReadOptions::new())
    }

    /// Delivers entries that nobody in the group has read yet, and makes them pending with the consumer, which is made if
    /// there is none of this name and something to deliver. It does not wait for entries to come.
    ///
    /// **Command** `XREADGROUP .. >`. **Complexity** O(k + log n + log p) for k of n entries and p pending ones.
    ///
    /// # Errors
    /// [`OpError::NoSuchGroup`]; [`OpError::WrongType`]; [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// use larder::{GroupReadOptions, StreamId};
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// stream.add([("f", "1")])?;
    /// stream.add([("f", "2")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// assert_eq!(stream.group("g").read_with("ann", GroupReadOptions::new().count(1))?.len(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn read_with(
        &self,
        consumer: impl AsRef<[u8]>,
        options: GroupReadOptions,
    ) -> Result<Vec<StreamEntry>, OpError> {
        let (name, consumer) = (self.name.as_bytes(), consumer.as_ref());
        let count = options.count.unwrap_or(usize::MAX);
        let touches = |body: &Body, group: &Group| {
            let unread = body.lag(group).and_then(|lag| u64::try_from(lag).ok());
            unread.unwrap_or(body.len()).min(count as u64)
        };
        let delivered = self.change_entries(self.room_for(count, consumer)?, touches, |change| {
            let reading = Reading { count, no_ack: options.no_ack, now_ms: change.now_ms() };
            let was_there = has_consumer(change.body, name, consumer);
            let delivered = change.body.read_new(name, consumer, &reading)?;
            note_consumer(change, was_there, name, consumer);
            if delivered.ids.is_empty() {
                return Some(delivered);
            }
            emit_all(change, |body, deltas| {
                let Some(group) = body.group(name) else { return };
                deltas.extend(consumer_delta(body, name, consumer));
                deltas.push(group_put(name, group));
                if !reading.no_ack {
                    deltas.extend(pending_deltas(name, group, &delivered.ids));
                }
            });
            Some(delivered)
        })?;
        let (Some(&first), Some(&last)) = (delivered.ids.first(), delivered.ids.last()) else {
            return Ok(Vec::new());
        };
        Ok(Entries::new(delivered.log, first..=last, false).collect())
    }

    /// Delivers again what is pending with a consumer, above an id; an entry that was removed in the meantime comes without
    /// fields. `count` bounds the number.
    ///
    /// **Command** `XREADGROUP .. id`. **Complexity** O(k (log n + b + log p)) for k of p pending entries, n entries, and b
    /// bytes of a block.
    ///
    /// # Errors
    /// [`OpError::NoSuchGroup`]; [`OpError::WrongType`]; [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// use larder::StreamId;
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// let id = stream.add([("f", "v")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// stream.group("g").read("ann")?;
    /// stream.remove([id])?;
    /// assert_eq!(stream.group("g").read_again("ann", StreamId::MIN, None)?, [(id, None)]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn read_again(
        &self,
        consumer: impl AsRef<[u8]>,
        after: StreamId,
        count: Option<usize>,
    ) -> Result<Vec<(StreamId, Option<StreamFields>)>, OpError> {
        let (name, consumer) = (self.name.as_bytes(), consumer.as_ref());
        let count = count.unwrap_or(usize::MAX);
        let touches = |_: &Body, group: &Group| {
            let pending = group.number_of(consumer).map_or(0, |number| group.consumer(number).pending);
            pending.min(count as u64)
        };
        let (found, log) = self.change_entries(NAMED_BYTES + 2 * consumer.len(), touches, |change| {
            let reading = Reading { count, no_ack: false, now_ms: change.now_ms() };
            let was_there = has_consumer(change.body, name, consumer);
            let (found, log) = change.body.read_again(name, consumer, after, &reading)?;
            note_consumer(change, was_there, name, consumer);
            emit_all(change, |body, deltas| {
                let Some(group) = body.group(name) else { return };
                deltas.extend(consumer_delta(body, name, consumer));
                let existing: Vec<StreamId> = found.iter().filter(|one| one.1).map(|one| one.0).collect();
                deltas.extend(pending_deltas(name, group, &existing));
            });
            Some((found, log))
        })?;
        Ok(found.into_iter().map(|(id, _)| (id, log.get(id).map(|entry| entry.fields))).collect())
    }

    /// Room for so many pending entries, but not for more than there are entries.
    fn room_for(&self, count: usize, consumer: &[u8]) -> Result<usize, OpError> {
        let mut count = count;
        if count > 64 {
            let len = read(self.place, |body: &Body, _| body.len())?.unwrap_or(0);
            count = count.min(usize::try_from(len).unwrap_or(usize::MAX));
        }
        Ok(count.saturating_mul(PENDING_BYTES).saturating_add(NAMED_BYTES + 2 * consumer.len()))
    }

    /// Acknowledges entries, which are pending no more; returns how many were. Zero without such a group.
    ///
    /// **Command** `XACK`. **Complexity** O(log p) an id, for p pending entries.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::StreamId;
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// let id = stream.add([("f", "v")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// stream.group("g").read("ann")?;
    /// assert_eq!(stream.group("g").acknowledge([id, id])?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn acknowledge(&self, ids: impl IntoIterator<Item = StreamId>) -> Result<u64, OpError> {
        let (name, ids) = (self.name.as_bytes(), ids.into_iter().collect::<Vec<_>>());
        let touches = |_: &Body| ids.len() as u64;
        let done = change_many(self.place, Absent::Skip, 0, touches, |change: &mut Change<'_, Body>| {
            let done = change.body.edit_group(name, |group| {
                ids.iter().copied().filter(|&id| group.acknowledge(id)).collect::<Vec<StreamId>>()
            });
            let done = done.unwrap_or_default();
            for &id in &done {
                emit(change, || StreamDelta::PendingRemove { group: name.into(), id });
            }
            Ok(done.len() as u64)
        });
        Ok(done?.unwrap_or(0))
    }

    /// Acknowledges entries and removes them from the stream, if other groups allow it; tells what became of each.
    ///
    /// **Command** `XACKDEL` (Redis 8.2). **Complexity** O(log n + b + g log p) an id, for n entries, b bytes of a block, g
    /// groups with p pending entries each.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::{EntryRemoval, References, StreamId};
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// let id = stream.add([("f", "v")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// stream.group("g").read("ann")?;
    /// assert_eq!(stream.group("g").acknowledge_and_remove(References::Keep, [id])?, [EntryRemoval::Removed]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn acknowledge_and_remove(
        &self,
        references: References,
        ids: impl IntoIterator<Item = StreamId>,
    ) -> Result<Vec<EntryRemoval>, OpError> {
        let (name, ids) = (self.name.as_bytes(), ids.into_iter().collect::<Vec<_>>());
        let touches = |_: &Body| ids.len() as u64;
        let done = change_many(self.place, Absent::Skip, 0, touches, |change: &mut Change<'_, Body>| {
            let mut outcomes = Vec::with_capacity(ids.len());
            for &id in &ids {
                let removal = change.body.acknowledge_and_remove(name, id, references);
                outcomes.push(removal.as_ref().map_or(EntryRemoval::NotFound, |removal| removal.outcome));
                if let Some(removal) = removal {
                    emit_removal(change, id, &removal);
                }
            }
            Ok(outcomes)
        });
        Ok(done?.unwrap_or_else(|| vec![EntryRemoval::NotFound; ids.len()]))
    }
}

/// What is to be recorded of a consumer.
pub(super) fn consumer_delta(body: &Body, group: &[u8], consumer: &[u8]) -> Option<StreamDelta> {
    let found = body.group(group)?;
    Some(consumer_put(group, found.consumer(found.number_of(consumer)?)))
}

/// What is to be recorded of pending entries.
pub(super) fn pending_deltas(
    name: &[u8],
    group: &Group,
    ids: &[StreamId],
) -> impl Iterator<Item = StreamDelta> {
    ids.iter().filter_map(move |&id| group.pending(id).map(|pending| pending_put(name, group, pending)))
}
