//! What a blocked caller asks for, what it gets, and how that goes back.

use bytes::Bytes;

use super::super::place::{At, read};
use super::super::{Engine, GroupReadOptions, ScoreEnd};
use crate::collections::list::List as ListBody;
use crate::collections::sorted_set::SortedSet as SortedSetBody;
use crate::collections::stream::Stream as StreamBody;
use crate::collections::stream::fields::StreamEntry;
use crate::collections::stream::id::StreamId;
use crate::collections::stream::log::Entries;
use crate::effect::{Delta, End};
use crate::error::{OpError, shown};
use crate::hash::KeyHash;
use crate::keyspace::Refusal;
use crate::keyspace::collect::{Absent, Room};
use crate::keyspace::write::ShardWrite;

/// What kind of thing a caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    List,
    SortedSet,
    Stream,
    Group,
}

impl Kind {
    pub(crate) const COUNT: usize = 4;
    const ALL: [Self; Self::COUNT] = [Self::List, Self::SortedSet, Self::Stream, Self::Group];

    /// Whether what one of them gets the others do not get: then they are served in turn, and what is not there for the
    /// first is there for none.
    pub(super) fn takes(self) -> bool {
        matches!(self, Self::List | Self::SortedSet)
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(super) const ALL: Self = Self((1 << Kind::COUNT) - 1);

    pub(super) fn of(kind: Kind) -> Self {
        Self(1 << kind as u8)
    }

    pub(crate) fn has(self, kind: Kind) -> bool {
        self.0 & Self::of(kind).0 != 0
    }

    pub(super) fn without(self, kind: Kind) -> Self {
        Self(self.0 & !Self::of(kind).0)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |&kind| self.has(kind))
    }
}

/// What a blocked caller asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// Elements off an end of a list.
    Pop { end: End, count: usize },
    /// An element moved to another list.
    Move { to: Box<[u8]>, from: End, at: End },
    /// Members off an end of a sorted set.
    PopScored { end: ScoreEnd, count: u64 },
    /// Entries of streams after these ids, one a key.
    Read { after: Box<[StreamId]>, count: usize },
    /// Entries that nobody in the group has read.
    ReadGroup { group: Box<[u8]>, consumer: Box<[u8]>, options: GroupReadOptions },
}

/// Entries of some of the streams that were asked for, by their index.
pub(super) type Read = Vec<(usize, Vec<StreamEntry>)>;

/// What a caller gets; nothing of it is decoded yet.
#[derive(Debug)]
pub(super) enum Delivery {
    /// Of which key, and in the order in which they came off the end.
    Elements(usize, Vec<Bytes>),
    Moved(Bytes),
    Members(usize, Vec<(Bytes, f64)>),
    Entries(Read),
}

/// Nothing, if the key holds something else: its waiters stay blocked then, as in Redis.
fn unless_wrong_type<R>(result: Result<Option<R>, OpError>) -> Result<Option<R>, OpError> {
    match result {
        Err(OpError::WrongType { .. }) => Ok(None),
        other => other,
    }
}

impl Request {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Pop { .. } | Self::Move { .. } => Kind::List,
            Self::PopScored { .. } => Kind::SortedSet,
            Self::Read { .. } => Kind::Stream,
            Self::ReadGroup { .. } => Kind::Group,
        }
    }

    /// The plain form of the operation, over all keys.
    pub(super) fn try_all(&self, engine: &Engine, keys: &[Box<[u8]>]) -> Result<Option<Delivery>, OpError> {
        match self {
            Self::Pop { end, count } => {
                let popped = engine.pop_from_lists::<Bytes, _>(keys, *end, *count)?;
                Ok(popped.map(|(at, elements)| Delivery::Elements(at, elements)))
            }
            Self::Move { to, from, at } => {
                let Some(key) = keys.first() else { return Ok(None) };
                let moved = engine.list::<Bytes>(&**key).move_to(&**to, *from, *at)?;
                Ok(moved.map(Delivery::Moved))
            }
            Self::PopScored { end, count } => {
                let popped = engine.pop_from_sorted_sets::<Bytes, _>(keys, *end, *count)?;
                Ok(popped.map(|(at, members)| Delivery::Members(at, members)))
            }
            Self::Read { after, count } => {
                let after: Vec<(&[u8], StreamId)> =
                    keys.iter().map(|key| &**key).zip(after.iter().copied()).collect();
                let news = engine.read_streams(&after)?.into_iter().enumerate();
                let read: Read =
                    news.filter_map(|(at, news)| Some((at, news?.take(*count).collect()))).collect();
                Ok(Some(read).filter(|read| !read.is_empty()).map(Delivery::Entries))
            }
            Self::ReadGroup { group, consumer, options } => {
                let mut read = Read::new();
                for key in keys {
                    engine.stream(&**key).group(&**group).info()?;
                }
                for (at, key) in keys.iter().enumerate() {
                    let entries = engine.stream(&**key).group(&**group).read_with(consumer, *options)?;
                    if !entries.is_empty() {
                        read.push((at, entries));
                    }
                }
                Ok(Some(read).filter(|read| !read.is_empty()).map(Delivery::Entries))
            }
        }
    }

    /// Whether a key has something for this request, under its shard's lock.
    pub(super) fn is_ready(
        &self,
        write: &mut ShardWrite<'_>,
        hash: KeyHash,
        (index, key): (usize, &[u8]),
    ) -> Result<bool, Refusal> {
        match self {
            Self::Pop { .. } | Self::Move { .. } => Ok(write.collection::<ListBody>(hash, key)?.is_some()),
            Self::PopScored { .. } => Ok(write.collection::<SortedSetBody>(hash, key)?.is_some()),
            Self::Read { after, .. } => {
                let body = write.collection::<StreamBody>(hash, key)?;
                let last = body.and_then(StreamBody::last_entry_id);
                Ok(last.zip(after.get(index)).is_some_and(|(last, after)| last > *after))
            }
            Self::ReadGroup { group, .. } => {
                let body = write.collection::<StreamBody>(hash, key)?;
                let found = body.and_then(|body| Some((body.last_entry_id(), body.group(group)?)));
                let (last, found) = found.ok_or_else(|| OpError::no_such_group(key, group))?;
                Ok(last > Some(found.last_delivered))
            }
        }
    }

    /// Tries to get what came under one key, whatever the others hold.
    pub(super) fn try_key(
        &self,
        engine: &Engine,
        (index, key): (usize, &[u8]),
    ) -> Result<Option<Delivery>, OpError> {
        match self {
            Self::Pop { end, count } => {
                let popped = unless_wrong_type(engine.list::<Bytes>(key).pop_many(*end, *count))?;
                Ok(popped.map(|elements| Delivery::Elements(index, elements)))
            }
            Self::Move { to, from, at } => {
                let moved = engine.list::<Bytes>(key).move_to(&**to, *from, *at);
                match moved {
                    // Of the source: the target's type is for the caller to know.
                    Err(OpError::WrongType { .. }) if engine.list::<Bytes>(key).len().is_err() => Ok(None),
                    moved => Ok(moved?.map(Delivery::Moved)),
                }
            }
            Self::PopScored { end, count } => {
                let popped = engine.sorted_set::<Bytes>(key).pop(*end, *count).map(Some);
                let popped = unless_wrong_type(popped)?.filter(|members| !members.is_empty());
                Ok(popped.map(|members| Delivery::Members(index, members)))
            }
            Self::Read { after, count } => {
                let after = after.get(index).copied().unwrap_or(StreamId::MAX);
                let log = read(&At::new(engine, key), |body: &StreamBody, _| {
                    Some(body.log().clone()).filter(|_| body.last_id() > after)
                });
                let Some(log) = unless_wrong_type(log)?.flatten() else { return Ok(None) };
                let Some(start) = after.next() else { return Ok(None) };
                let entries = Entries::new(log, start..=StreamId::MAX, false).take(*count).collect();
                Ok(Some(Delivery::Entries(vec![(index, entries)])))
            }
            Self::ReadGroup { group, consumer, options } => {
                let seen = read(&At::new(engine, key), |body: &StreamBody, _| {
                    let last = body.group(group)?.last_delivered;
                    Some((body.last_id() > last, body.last_entry_id() > Some(last)))
                });
                let Some(seen) = unless_wrong_type(seen)? else {
                    return Err(OpError::StreamGone { key: shown(key) });
                };
                let (came, stayed) = seen.ok_or_else(|| OpError::no_such_group(key, group))?;
                if !came {
                    return Ok(None);
                }
                let entries = engine.stream(key).group(&**group).read_with(consumer, *options)?;
                // What came and is gone again is told as nothing, as in Redis; what another reader took is not.
                let told = !entries.is_empty() || !stayed;
                Ok(Some(Delivery::Entries(vec![(index, entries)])).filter(|_| told))
            }
        }
    }

    /// Puts back what was delivered and not taken; past the limits, because there was room for it before.
    pub(super) fn give_back(
        &self,
        engine: &Engine,
        keys: &[Box<[u8]>],
        delivery: Delivery,
    ) -> Result<(), OpError> {
        match (self, delivery) {
            (Self::Pop { end, .. }, Delivery::Elements(at, elements)) => {
                let Some(key) = keys.get(at) else { return Ok(()) };
                let room = Room::new(0, engine.fresh_weight(key)).reserved();
                engine.core.write(engine.db, key, |write, hash| {
                    write.change_collection(hash, key, Absent::Create, room, |change| {
                        for element in elements.iter().rev() {
                            let (body, rules, _): (&mut ListBody, _, _) = change.parts();
                            body.push(*end, element, rules);
                            change.emit(|| Delta::ListPush { end: *end, element: (&**element).into() });
                        }
                        Ok(())
                    })
                })?;
                Ok(())
            }
            (Self::PopScored { .. }, Delivery::Members(at, members)) => {
                let Some(key) = keys.get(at) else { return Ok(()) };
                let room = Room::new(0, engine.fresh_weight(key)).reserved();
                engine.core.write(engine.db, key, |write, hash| {
                    write.change_collection(hash, key, Absent::Create, room, |change| {
                        for (member, score) in &members {
                            let (body, rules, _): (&mut SortedSetBody, _, _) = change.parts();
                            if body.find(member).is_none() {
                                body.put_found(None, member, *score, rules);
                                change.emit(|| Delta::SortedSetPut {
                                    member: (&**member).into(),
                                    score: *score,
                                });
                            }
                        }
                        Ok(())
                    })
                })?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
