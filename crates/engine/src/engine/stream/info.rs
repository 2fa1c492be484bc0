//! What streams, groups and consumers say of themselves: XINFO.

use std::sync::Arc;
use std::time::Duration;

use super::super::Place;
use super::Stream;
use super::claims::PendingEntry;
use super::groups::StreamGroup;
use crate::clock::UnixMillis;
use crate::collections::stream::Stream as Body;
use crate::collections::stream::fields::StreamEntry;
use crate::collections::stream::group::{Consumer, Group};
use crate::collections::stream::id::StreamId;
use crate::collections::stream::log::Entries;
use crate::error::OpError;

/// What a stream says of itself; see [`Stream::info`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Entries.
    pub length: u64,
    /// Blocks in which they are kept.
    pub blocks: u64,
    /// Nodes that Redis's radix tree would have over these blocks.
    pub radix_nodes: u64,
    /// The last id that was given.
    pub last_id: StreamId,
    /// The highest id of an entry that was removed, `0-0` if none was.
    pub max_deleted_id: StreamId,
    /// Entries ever added.
    pub entries_added: u64,
    /// Groups.
    pub groups: u64,
    /// The first entry.
    pub first_entry: Option<StreamEntry>,
    /// The last entry.
    pub last_entry: Option<StreamEntry>,
}

/// What a group says of itself; see [`StreamGroup::info`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupInfo {
    /// Its name.
    pub name: Arc<[u8]>,
    /// Consumers.
    pub consumers: u64,
    /// Entries that were delivered and not acknowledged.
    pub pending: u64,
    /// The last id that was delivered.
    pub last_delivered_id: StreamId,
    /// How many of all the entries ever added were read, where that is known.
    pub entries_read: Option<u64>,
    /// How many entries are still to be delivered, where that can be told; negative where `ENTRIESREAD` said too much.
    pub lag: Option<i64>,
}

/// What a consumer says of itself; see [`StreamGroup::consumers`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// Its name.
    pub name: Arc<[u8]>,
    /// Entries that were delivered to it and not acknowledged.
    pub pending: u64,
    /// When it last asked for entries.
    pub seen: UnixMillis,
    /// How long ago that was.
    pub idle: Duration,
    /// When it last got something, if ever.
    pub active: Option<UnixMillis>,
}

/// All about a stream; see [`Stream::details`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamDetails {
    /// What it says of itself.
    pub info: StreamInfo,
    /// Its first entries.
    pub entries: Vec<StreamEntry>,
    /// Its groups, by name.
    pub groups: Vec<GroupDetails>,
}

/// All about a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDetails {
    /// What it says of itself.
    pub info: GroupInfo,
    /// Its first pending entries.
    pub pending: Vec<PendingEntry>,
    /// Its consumers, by name.
    pub consumers: Vec<ConsumerDetails>,
}

/// All about a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerDetails {
    /// What it says of itself.
    pub info: ConsumerInfo,
    /// The first entries that are pending with it.
    pub pending: Vec<PendingEntry>,
}

fn stream_info(body: &Body) -> StreamInfo {
    let entry = |id: Option<StreamId>| id.and_then(|id| body.log().get(id));
    let (blocks, radix_nodes) = body.node_counts();
    StreamInfo {
        length: body.len(),
        blocks,
        radix_nodes,
        last_id: body.last_id(),
        max_deleted_id: body.max_deleted_id(),
        entries_added: body.entries_added(),
        groups: body.group_count(),
        first_entry: entry(body.first_entry_id()),
        last_entry: entry(body.last_entry_id()),
    }
}

fn group_info(body: &Body, name: &Arc<[u8]>, group: &Group) -> GroupInfo {
    GroupInfo {
        name: Arc::clone(name),
        consumers: group.consumer_count(),
        pending: group.pending_count(),
        last_delivered_id: group.last_delivered,
        entries_read: group.entries_read,
        lag: body.lag(group),
    }
}

fn consumer_info(consumer: &Consumer, now: UnixMillis) -> ConsumerInfo {
    let seen = UnixMillis(consumer.seen_ms);
    ConsumerInfo {
        name: Arc::clone(&consumer.name),
        pending: consumer.pending,
        seen,
        idle: now.saturating_since(seen),
        active: consumer.active_ms.map(UnixMillis),
    }
}

fn group_details(
    body: &Body,
    name: &Arc<[u8]>,
    group: &Group,
    count: usize,
    now: UnixMillis,
) -> GroupDetails {
    let listed = |pending| PendingEntry::new(group, pending, now);
    let consumers = group.consumers().map(|consumer| {
        let number = group.number_of(&consumer.name).expect("I2: a consumer's name has its number");
        let pending = group.owned_from(number, StreamId::MIN).take(count).map(listed).collect();
        ConsumerDetails { info: consumer_info(consumer, now), pending }
    });
    GroupDetails {
        info: group_info(body, name, group),
        pending: group.pending_from(StreamId::MIN).take(count).map(listed).collect(),
        consumers: consumers.collect(),
    }
}

impl<P: Place> Stream<P> {
    /// Tells what the stream says of itself; `None` if it does not exist.
    ///
    /// **Command** `XINFO STREAM`. **Complexity** O(n / 100) for n entries (the radix nodes are counted), on a captured root.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let id = engine.stream("s").add([("f", "v")])?;
    /// assert_eq!(engine.stream("s").info()?.unwrap().last_id, id);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn info(&self) -> Result<Option<StreamInfo>, OpError> {
        Ok(self.capture()?.as_ref().map(stream_info))
    }

    /// Tells all about the stream, with at most `count` entries, and as many pending ones for each group and consumer;
    /// `None` if it does not exist.
    ///
    /// **Command** `XINFO STREAM FULL`. **Complexity** O(n / 100 + k) for n entries and k things told, on a captured root.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.stream("s").add([("f", "v")])?;
    /// assert_eq!(engine.stream("s").details(10)?.unwrap().entries.len(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn details(&self, count: usize) -> Result<Option<StreamDetails>, OpError> {
        let now = UnixMillis(self.place.engine().core.now_ms());
        Ok(self.capture()?.map(|body| {
            let all = StreamId::MIN..=StreamId::MAX;
            let groups = body.groups().map(|(name, group)| group_details(&body, name, group, count, now));
            StreamDetails {
                info: stream_info(&body),
                entries: Entries::new(body.log().clone(), all, false).take(count).collect(),
                groups: groups.collect(),
            }
        }))
    }

    /// Lists the groups by name; `None` if the stream does not exist.
    ///
    /// **Command** `XINFO GROUPS`. **Complexity** O(g) for g groups, on a captured root.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::GroupPosition;
    /// let engine = larder::Engine::new();
    /// engine.stream("s").add([("f", "v")])?;
    /// engine.stream("s").group("g").create(GroupPosition::End)?;
    /// assert_eq!(engine.stream("s").groups()?.unwrap()[0].lag, Some(0));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn groups(&self) -> Result<Option<Vec<GroupInfo>>, OpError> {
        let body = self.capture()?;
        Ok(body.map(|body| body.groups().map(|(name, group)| group_info(&body, name, group)).collect()))
    }
}

impl<P: Place> StreamGroup<'_, P> {
    /// Tells what the group says of itself.
    ///
    /// **Command** `XINFO GROUPS`. **Complexity** O(log g) for g groups.
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
    /// assert_eq!(stream.group("g").info()?.lag, Some(1));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn info(&self) -> Result<GroupInfo, OpError> {
        let name: Arc<[u8]> = self.name.as_bytes().into();
        let info = super::read(self.place, |body: &Body, _| {
            body.group(&name).map(|group| group_info(body, &name, group))
        })?;
        info.flatten().ok_or_else(|| self.missing())
    }

    /// Lists the consumers by name.
    ///
    /// **Command** `XINFO CONSUMERS`. **Complexity** O(c log c) for c consumers, on a captured root.
    ///
    /// # Errors
    /// [`OpError::NoSuchKey`]; [`OpError::NoSuchGroup`]; [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::StreamId;
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// stream.add([("f", "v")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// stream.group("g").read("ann")?;
    /// assert_eq!(stream.group("g").consumers()?[0].pending, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn consumers(&self) -> Result<Vec<ConsumerInfo>, OpError> {
        let body: Body = super::capture(self.place)?.ok_or(OpError::NoSuchKey)?;
        let group = body.group(self.name.as_bytes()).ok_or_else(|| self.missing())?;
        let now = self.now();
        Ok(group.consumers().map(|consumer| consumer_info(consumer, now)).collect())
    }
}
