//! Sorted sets: ZADD, ZREM, ZSCORE, ZRANK, ZINCRBY and their like.
//!
//! ```text
//! sorted_set.rs           the handle, by member          sorted_set/ranges.rs   ZRANGE, ZCOUNT, ZREMRANGEBY*, ZSCAN
//! sorted_set/algebra.rs   ZUNION, ZINTER, ZDIFF          sorted_set/pop.rs      ZPOPMIN, ZMPOP, ZRANDMEMBER
//! sorted_set/iter.rs      walks over a captured root
//! ```
//! Members are encoded before a lock is taken and decoded after it was released. Reads of many members walk a captured root
//! outside of the lock.

mod algebra;
mod iter;
mod pop;
mod ranges;

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;

pub use algebra::{Aggregate, CombineOptions};
pub use iter::ScoredMembers;
pub use pop::ScoreEnd;
pub use ranges::ScoredPage;

use super::beside::change_many;
use super::place::{change, read};
use super::{At, Engine, Key, Owned, Place, check_value};
use crate::collections::packed::Packed;
use crate::collections::sorted_set::{Added, Decision, SortedSet as Body, ZAddOptions};
use crate::effect::Delta;
use crate::error::OpError;
use crate::feed::event;
use crate::keyspace::collect::{Absent, Change};
use crate::typed::{Arg, CodecError, Element, decode};

/// What a change reserves for one member beside its bytes.
const MEMBER_BYTES: usize = 64;

/// A sorted set under a key; see [`Engine::sorted_set`].
///
/// The handle is made without a look-up and keeps nothing but the key. A set that becomes empty is deleted, and one that does
/// not exist reads as an empty one. Members are in order of their scores, members of one score in order of their bytes.
///
/// # Examples
/// ```
/// let engine = larder::Engine::new();
/// let board = engine.sorted_set::<String>("board");
/// board.add("ann", 70.0)?;
/// board.add("bob", 90.0)?;
/// assert_eq!(board.rank("bob")?, Some(1));
/// assert_eq!(board.range(larder::SortedRange::ranks(0..1).rev())?, [("bob".to_owned(), 90.0)]);
/// # Ok::<(), larder::OpError>(())
/// ```
pub struct SortedSet<M = Bytes, P = Owned> {
    pub(super) place: P,
    member: PhantomData<fn() -> M>,
}

impl<M, P: Clone> Clone for SortedSet<M, P> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), member: PhantomData }
    }
}

impl<M, P: fmt::Debug> fmt::Debug for SortedSet<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SortedSet").field("place", &self.place).finish()
    }
}

/// How many members [`SortedSet::add_all`] added, and to how many it gave another score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddCount {
    /// New members.
    pub inserted: u64,
    /// Members with another score than before.
    pub updated: u64,
}

impl Engine {
    /// Returns a handle to a sorted set.
    ///
    /// **Complexity** O(1), no look-up.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.sorted_set::<u64>("ages").add(7, 41.0)?;
    /// assert_eq!(engine.sorted_set::<u64>("ages").score(7)?, Some(41.0));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn sorted_set<'a, M: Element>(&'a self, key: impl Into<Key<'a>>) -> SortedSet<M, At<'a>> {
        SortedSet { place: At::new(self, key), member: PhantomData }
    }
}

impl<M: Element> SortedSet<M, At<'_>> {
    /// Returns the same handle with an engine and a key of its own, to be kept.
    ///
    /// **Complexity** O(1), a copy of the key.
    ///
    /// # Examples
    /// ```
    /// struct Game {
    ///     board: larder::SortedSet<u32>,
    /// }
    /// let game = Game { board: larder::Engine::new().sorted_set("board").into_owned() };
    /// assert!(game.board.is_empty()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn into_owned(self) -> SortedSet<M, Owned> {
        SortedSet { place: self.place.into_owned(), member: PhantomData }
    }
}

/// Gives a member a score as the options say; tells what was done and the score that the member has then.
fn put(
    change: &mut Change<'_, Body>,
    member: &[u8],
    score: f64,
    options: ZAddOptions,
    increment: bool,
) -> Result<(Added, f64), OpError> {
    let (body, rules, _) = change.parts();
    let found = body.find(member);
    let (added, score) = match options.decide(found.map(|(_, score)| score), score, increment)? {
        Decision::Insert(score) => (Added::Inserted, score),
        Decision::Update(score) => (Added::Updated, score),
        Decision::Keep(score) => return Ok((Added::Unchanged, score)),
        Decision::Refuse => return Ok((Added::Refused, score)),
    };
    body.put_found(found, member, score, rules);
    change.emit(|| Delta::SortedSetPut { member: member.into(), score });
    Ok((added, score))
}

/// Takes a member out, if it is there.
fn take(change: &mut Change<'_, Body>, member: &[u8]) -> bool {
    let found = change.body.remove(member).is_some();
    if found {
        change.emit(|| Delta::SortedSetRemove { member: member.into() });
    }
    found
}

/// Members of an argument list, encoded before any lock is taken.
fn encode_all<M: Element>(key: &[u8], members: impl IntoIterator<Item: Arg<M>>) -> Result<Packed, OpError> {
    let mut encoded = Packed::new();
    for member in members {
        push_encoded::<M>(key, &mut encoded, &member)?;
    }
    Ok(encoded)
}

fn push_encoded<M: Element>(key: &[u8], encoded: &mut Packed, member: &impl Arg<M>) -> Result<(), OpError> {
    let pushed = member.with(|bytes| check_value(bytes.len()).map(|()| encoded.push(bytes)));
    pushed.map_err(|source| OpError::codec(key, source))?
}

impl<M: Element, P: Place> SortedSet<M, P> {
    fn key(&self) -> &[u8] {
        self.place.key()
    }

    fn codec(&self, source: CodecError) -> OpError {
        OpError::codec(self.key(), source)
    }

    fn decode(&self, bytes: &[u8]) -> Result<M, OpError> {
        decode(bytes).map_err(|source| self.codec(source))
    }

    /// Runs `f` over the set and a member's bytes, under the read lock.
    fn look<R>(
        &self,
        member: &impl Arg<M>,
        f: impl FnOnce(&Body, &[u8]) -> Option<R>,
    ) -> Result<Option<R>, OpError> {
        let seen = member.with(|member| read(&self.place, |body: &Body, _| f(body, member)));
        Ok(seen.map_err(|source| self.codec(source))??.flatten())
    }

    fn put_one(
        &self,
        member: &impl Arg<M>,
        score: f64,
        options: ZAddOptions,
        increment: bool,
    ) -> Result<(Added, f64), OpError> {
        let put = member.with(|bytes| {
            check_value(bytes.len())?;
            change(&self.place, Absent::Create, bytes.len() + MEMBER_BYTES, |change| {
                if increment {
                    change.name(event::ZINCR);
                }
                put(change, bytes, score, options, increment)
            })
        });
        Ok(put.map_err(|source| self.codec(source))??.unwrap_or((Added::Refused, score)))
    }

    /// Gives a member a score, adding it if it is not there.
    ///
    /// **Command** `ZADD`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// [`OpError::ScoreNotANumber`], [`OpError::WrongType`], [`OpError::OutOfMemory`], [`OpError::Codec`],
    /// [`OpError::ValueTooLong`].
    ///
    /// # Examples
    /// ```
    /// use larder::Added;
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// assert_eq!(board.add("ann", 70.0)?, Added::Inserted);
    /// assert_eq!(board.add("ann", 75.0)?, Added::Updated);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn add(&self, member: impl Arg<M>, score: f64) -> Result<Added, OpError> {
        self.add_with(member, score, ZAddOptions::new())
    }

    /// Gives a member a score under conditions.
    ///
    /// **Command** `ZADD` with `NX`, `XX`, `GT`, `LT`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Examples
    /// ```
    /// use larder::{Added, ZAddOptions};
    /// let engine = larder::Engine::new();
    /// let best = engine.sorted_set::<String>("best");
    /// best.add("ann", 90.0)?;
    /// assert_eq!(best.add_with("ann", 70.0, ZAddOptions::new().if_greater())?, Added::Refused);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn add_with(&self, member: impl Arg<M>, score: f64, options: ZAddOptions) -> Result<Added, OpError> {
        Ok(self.put_one(&member, score, options, false)?.0)
    }

    /// Gives several members their scores, one after the other, in one step.
    ///
    /// **Command** `ZADD`. **Complexity** O(m log n), m members put into a set of n.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// As [`add`](Self::add); nothing was added then.
    ///
    /// # Examples
    /// ```
    /// use larder::ZAddOptions;
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// let count = board.add_all([("ann", 70.0), ("bob", 90.0), ("ann", 71.0)], ZAddOptions::new())?;
    /// assert_eq!((count.inserted, count.updated), (2, 1));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn add_all<A: Arg<M>>(
        &self,
        members: impl IntoIterator<Item = (A, f64)>,
        options: ZAddOptions,
    ) -> Result<AddCount, OpError> {
        let (mut encoded, mut scores) = (Packed::new(), Vec::new());
        for (member, score) in members {
            if score.is_nan() {
                return Err(OpError::ScoreNotANumber);
            }
            push_encoded::<M>(self.key(), &mut encoded, &member)?;
            scores.push(score);
        }
        let room = encoded.content_bytes() + encoded.len() * MEMBER_BYTES;
        let touches = |_: &Body| encoded.len() as u64;
        let count = change_many(&self.place, Absent::Create, room, touches, |change| {
            let mut count = AddCount::default();
            for (member, &score) in encoded.iter().zip(&scores) {
                match put(change, member, score, options, false)?.0 {
                    Added::Inserted => count.inserted += 1,
                    Added::Updated => count.updated += 1,
                    Added::Unchanged | Added::Refused => {}
                }
            }
            Ok(count)
        })?;
        Ok(count.unwrap_or_default())
    }

    /// Adds to a member's score, which is 0 if it is not there, and returns the new one.
    ///
    /// **Command** `ZINCRBY`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let visits = engine.sorted_set::<String>("visits");
    /// assert_eq!(visits.increment("ann", 2.0)?, 2.0);
    /// assert_eq!(visits.increment("ann", 1.5)?, 3.5);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn increment(&self, member: impl Arg<M>, by: f64) -> Result<f64, OpError> {
        Ok(self.put_one(&member, by, ZAddOptions::new(), true)?.1)
    }

    /// Adds to a member's score under conditions, and returns the new one; `None` if a condition does not hold.
    ///
    /// **Command** `ZADD` with `INCR`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Examples
    /// ```
    /// use larder::ZAddOptions;
    /// let engine = larder::Engine::new();
    /// let visits = engine.sorted_set::<String>("visits");
    /// assert_eq!(visits.increment_with("ann", 2.0, ZAddOptions::new().if_present())?, None);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn increment_with(
        &self,
        member: impl Arg<M>,
        by: f64,
        options: ZAddOptions,
    ) -> Result<Option<f64>, OpError> {
        let (added, score) = self.put_one(&member, by, options, true)?;
        Ok((added != Added::Refused).then_some(score))
    }

    /// Takes a member out; `false` if it was not there.
    ///
    /// **Command** `ZREM`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// [`OpError::WrongType`], [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// assert!(board.remove("ann")?);
    /// assert!(!engine.exists("board")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove(&self, member: impl Arg<M>) -> Result<bool, OpError> {
        let removed =
            member.with(|member| change(&self.place, Absent::Skip, 0, |change| Ok(take(change, member))));
        Ok(removed.map_err(|source| self.codec(source))??.unwrap_or(false))
    }

    /// Takes several members out in one step, and returns how many were there.
    ///
    /// **Command** `ZREM`. **Complexity** O(m log n), m members taken out of a set of n.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// assert_eq!(board.remove_all(["ann", "bob"])?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove_all(&self, members: impl IntoIterator<Item: Arg<M>>) -> Result<u64, OpError> {
        let members = encode_all::<M>(self.key(), members)?;
        let touches = |_: &Body| members.len() as u64;
        let removed = change_many(&self.place, Absent::Skip, 0, touches, |change| {
            Ok(members.iter().map(|member| u64::from(take(change, member))).sum())
        })?;
        Ok(removed.unwrap_or(0))
    }

    /// Returns a member's score.
    ///
    /// **Command** `ZSCORE`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// [`OpError::WrongType`], [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// assert_eq!(board.score("ann")?, Some(70.0));
    /// assert_eq!(board.score("bob")?, None);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn score(&self, member: impl Arg<M>) -> Result<Option<f64>, OpError> {
        self.look(&member, Body::score)
    }

    /// Returns the scores of several members, all of one moment.
    ///
    /// **Command** `ZMSCORE`. **Complexity** O(m log n), m members looked up among n.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// assert_eq!(board.scores(["bob", "ann"])?, [None, Some(70.0)]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn scores(&self, members: impl IntoIterator<Item: Arg<M>>) -> Result<Vec<Option<f64>>, OpError> {
        let members = encode_all::<M>(self.key(), members)?;
        let scores = read(&self.place, |body: &Body, _| {
            members.iter().map(|member| body.score(member)).collect::<Vec<_>>()
        })?;
        Ok(scores.unwrap_or_else(|| vec![None; members.len()]))
    }

    /// Returns how many members have lower scores (or the same, and smaller bytes) than this one.
    ///
    /// **Command** `ZRANK`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// board.add("bob", 90.0)?;
    /// assert_eq!(board.rank("bob")?, Some(1));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn rank(&self, member: impl Arg<M>) -> Result<Option<u64>, OpError> {
        Ok(self.rank_and_score(member)?.map(|(rank, _)| rank))
    }

    /// Returns how many members have higher scores (or the same, and larger bytes) than this one.
    ///
    /// **Command** `ZREVRANK`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// board.add("bob", 90.0)?;
    /// assert_eq!(board.rev_rank("bob")?, Some(0));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn rev_rank(&self, member: impl Arg<M>) -> Result<Option<u64>, OpError> {
        Ok(self.rev_rank_and_score(member)?.map(|(rank, _)| rank))
    }

    /// Returns a member's rank together with its score.
    ///
    /// **Command** `ZRANK` with `WITHSCORE`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// assert_eq!(board.rank_and_score("ann")?, Some((0, 70.0)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn rank_and_score(&self, member: impl Arg<M>) -> Result<Option<(u64, f64)>, OpError> {
        self.look(&member, Body::find)
    }

    /// Returns a member's rank from the highest score, together with its score.
    ///
    /// **Command** `ZREVRANK` with `WITHSCORE`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// assert_eq!(board.rev_rank_and_score("ann")?, Some((0, 70.0)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn rev_rank_and_score(&self, member: impl Arg<M>) -> Result<Option<(u64, f64)>, OpError> {
        self.look(&member, |body, member| {
            let (rank, score) = body.find(member)?;
            Some((body.len() - 1 - rank, score))
        })
    }

    /// Returns how many members there are.
    ///
    /// **Command** `ZCARD`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// assert_eq!(board.len()?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn len(&self) -> Result<u64, OpError> {
        Ok(read(&self.place, |body: &Body, _| body.len())?.unwrap_or(0))
    }

    /// Returns whether there is no member.
    ///
    /// **Command** `ZCARD`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// assert!(larder::Engine::new().sorted_set::<String>("board").is_empty()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool, OpError> {
        Ok(self.len()? == 0)
    }
}
