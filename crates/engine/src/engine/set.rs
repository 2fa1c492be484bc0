//! Sets: SADD, SREM, SISMEMBER, SPOP, SRANDMEMBER, SSCAN, SMOVE, SINTER and their like.
//!
//! ```text
//! set.rs      the handle: one member, several, how many    set/walk.rs   walks and pages over a captured root, by chance
//! set/algebra.rs   several sets: intersection, union, difference, moves
//! ```
//! Members are encoded before a lock is taken and decoded after it was released. What takes long (many members popped at
//! once, algebra) works on captured roots outside of the lock, and what comes out is put in place if nobody wrote meanwhile.

mod algebra;
mod walk;

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;

pub use walk::{RandomMembers, SetMembers, SetPage};

use super::beside::change_many;
use super::place::{change, read};
use super::{At, Engine, Key, Owned, Place, check_value};
use crate::collections::Body as _;
use crate::collections::packed::Packed;
use crate::collections::rules::Rules;
use crate::collections::set::Set as Body;
use crate::effect::Delta;
use crate::error::OpError;
use crate::feed::event;
use crate::keyspace::collect::{Absent, Change};
use crate::typed::{Arg, Element, decode};
use crate::value::Value;

/// What a change reserves for one member beside its bytes.
const MEMBER_BYTES: usize = 64;
/// Up to so many members are popped under the lock; for more the choice is made on a captured root.
const POPPED_MAX: usize = 128;
/// How often popping many is tried on a captured root before it is done under the lock.
const OPTIMISTIC_TRIES: u32 = 8;

/// A set under a key: different members of type `M`, in no order.
///
/// Made by [`Engine::set_of`], without a look-up: a key that does not exist reads as an empty set, and a set that becomes empty
/// is deleted. Every method is atomic.
///
/// # Examples
/// ```
/// let engine = larder::Engine::new();
/// let tags = engine.set_of::<String>("tags");
/// assert!(tags.add("rust")?);
/// assert!(!tags.add("rust")?);
/// assert!(tags.contains("rust")?);
/// assert_eq!(tags.len()?, 1);
/// # Ok::<(), larder::OpError>(())
/// ```
pub struct Set<M = Bytes, P = Owned> {
    place: P,
    member: PhantomData<fn() -> M>,
}

impl<M, P: Clone> Clone for Set<M, P> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), member: PhantomData }
    }
}

impl<M, P: fmt::Debug> fmt::Debug for Set<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Set").field("place", &self.place).finish()
    }
}

impl Engine {
    /// Returns a handle to a set.
    ///
    /// **Complexity** O(1), no look-up. (`set` is the command `SET`.)
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let visitors = engine.set_of::<u64>("visitors");
    /// visitors.add_many([7, 9, 7])?;
    /// assert_eq!(visitors.len()?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn set_of<'a, M: Element>(&'a self, key: impl Into<Key<'a>>) -> Set<M, At<'a>> {
        Set { place: At::new(self, key), member: PhantomData }
    }
}

impl<M: Element> Set<M, At<'_>> {
    /// Returns the same handle with a key and an engine of its own, to be kept.
    #[must_use]
    pub fn into_owned(self) -> Set<M, Owned> {
        Set { place: self.place.into_owned(), member: PhantomData }
    }
}

fn add(change: &mut Change<'_, Body>, member: &[u8]) -> bool {
    let (body, rules, _) = change.parts();
    let is_new = body.add(member, rules);
    if is_new {
        change.emit(|| Delta::SetAdd { member: member.into() });
    }
    is_new
}

fn remove(change: &mut Change<'_, Body>, member: &[u8]) -> bool {
    let found = change.body.remove(member);
    if found {
        change.emit(|| Delta::SetRemove { member: member.into() });
    }
    found
}

/// Takes a set whole, with all that is in it.
fn take_all(change: &mut Change<'_, Body>) -> Body {
    let empty = Body::empty(change.rules());
    change.emit(|| Delta::Delete);
    std::mem::replace(change.body, empty)
}

/// Takes members out; the set that is left begins anew if most of it went.
fn take(change: &mut Change<'_, Body>, members: &Packed) {
    for member in members.iter() {
        remove(change, member);
    }
    let (body, rules, _) = change.parts();
    settle(body, members.len(), rules);
}

/// Redis moves what is left into a new set when it is at most a fifth of what was popped.
fn settle(body: &mut Body, popped: usize, rules: &Rules) {
    if body.len().saturating_mul(5) <= popped {
        body.settled(rules);
    }
}

/// What came of an attempt to pop many members.
enum Popped {
    /// These, from a set that is kept, or all of a set.
    Members(Packed),
    Whole(Body),
    /// Another one wrote meanwhile.
    Again,
}

impl<M: Element, P: Place> Set<M, P> {
    fn key(&self) -> &[u8] {
        self.place.key()
    }

    fn with<R>(
        &self,
        member: impl Arg<M>,
        f: impl FnOnce(&[u8]) -> Result<R, OpError>,
    ) -> Result<R, OpError> {
        let done = member.with(|bytes| check_value(bytes.len()).and_then(|()| f(bytes)));
        done.map_err(|source| OpError::codec(self.key(), source))?
    }

    fn change<R>(
        &self,
        absent: Absent,
        room: usize,
        f: impl FnMut(&mut Change<'_, Body>) -> Result<R, OpError>,
    ) -> Result<Option<R>, OpError> {
        change(&self.place, absent, room, f)
    }

    /// All of an argument list, encoded before any lock is taken.
    fn encoded<A: Arg<M>>(&self, members: impl IntoIterator<Item = A>) -> Result<Packed, OpError> {
        let mut encoded = Packed::new();
        for member in members {
            self.with(member, |bytes| {
                encoded.push(bytes);
                Ok(())
            })?;
        }
        Ok(encoded)
    }

    fn decoded(&self, bytes: &[u8]) -> Result<M, OpError> {
        decode(bytes).map_err(|source| OpError::codec(self.key(), source))
    }

    /// Adds a member; returns whether it is new.
    ///
    /// **Command** `SADD`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`], [`OpError::OutOfMemory`]; [`OpError::Codec`] if the member cannot be encoded.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let primes = engine.set_of::<u32>("primes");
    /// assert_eq!((primes.add(7)?, primes.add(7)?), (true, false));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn add(&self, member: impl Arg<M>) -> Result<bool, OpError> {
        self.with(member, |member| {
            let room = member.len() + MEMBER_BYTES;
            let added = self.change(Absent::Create, room, |change| {
                let (body, rules, _) = change.parts();
                body.prepare(member, 1, rules);
                Ok(add(change, member))
            })?;
            Ok(added.unwrap_or(false))
        })
    }

    /// Adds members; returns how many of them are new.
    ///
    /// **Command** `SADD`. **Complexity** O(k), k the members given.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let fruits = engine.set_of::<String>("fruits");
    /// assert_eq!(fruits.add_many(["apple", "pear", "apple"])?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn add_many<A: Arg<M>>(&self, members: impl IntoIterator<Item = A>) -> Result<u64, OpError> {
        let members = self.encoded(members)?;
        let Some(first) = members.get(0) else {
            return self.len().map(|_| 0);
        };
        let room = members.content_bytes().saturating_add(members.len().saturating_mul(MEMBER_BYTES));
        let touches = |_: &Body| members.len() as u64;
        let added = change_many(&self.place, Absent::Create, room, touches, |change| {
            let (body, rules, _) = change.parts();
            body.prepare(first, members.len(), rules);
            Ok(members.iter().filter(|member| add(change, member)).count() as u64)
        })?;
        Ok(added.unwrap_or(0))
    }

    /// Removes a member; returns whether it was there.
    ///
    /// **Command** `SREM`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`] if the member cannot be encoded.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let fruits = engine.set_of::<String>("fruits");
    /// fruits.add("apple")?;
    /// assert_eq!((fruits.remove("apple")?, fruits.remove("apple")?), (true, false));
    /// assert!(!engine.exists("fruits")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove(&self, member: impl Arg<M>) -> Result<bool, OpError> {
        self.with(member, |member| {
            let removed = self.change(Absent::Skip, 0, |change| Ok(remove(change, member)))?;
            Ok(removed.unwrap_or(false))
        })
    }

    /// Removes members; returns how many of them were there.
    ///
    /// **Command** `SREM`. **Complexity** O(k), k the members given.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let fruits = engine.set_of::<String>("fruits");
    /// fruits.add_many(["apple", "pear", "plum"])?;
    /// assert_eq!(fruits.remove_many(["pear", "plum", "grape"])?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove_many<A: Arg<M>>(&self, members: impl IntoIterator<Item = A>) -> Result<u64, OpError> {
        let members = self.encoded(members)?;
        let touches = |_: &Body| members.len() as u64;
        let removed = change_many(&self.place, Absent::Skip, 0, touches, |change| {
            Ok(members.iter().filter(|member| remove(change, member)).count() as u64)
        })?;
        Ok(removed.unwrap_or(0))
    }

    /// Returns whether a member is in the set.
    ///
    /// **Command** `SISMEMBER`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`] if the member cannot be encoded.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let primes = engine.set_of::<u32>("primes");
    /// primes.add(7)?;
    /// assert_eq!((primes.contains(7)?, primes.contains(8)?), (true, false));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn contains(&self, member: impl Arg<M>) -> Result<bool, OpError> {
        self.with(member, |member| self.contains_bytes(member))
    }

    fn contains_bytes(&self, member: &[u8]) -> Result<bool, OpError> {
        let found = read(&self.place, |body: &Body, _| body.contains(member))?;
        Ok(found.unwrap_or(false))
    }

    /// Returns for each of several members whether it is in the set.
    ///
    /// **Command** `SMISMEMBER`. **Complexity** O(k), k the members given.
    ///
    /// # Errors
    /// As [`contains`](Self::contains).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let primes = engine.set_of::<u32>("primes");
    /// primes.add_many([2, 3, 5])?;
    /// assert_eq!(primes.contains_many([3, 4, 5])?, [true, false, true]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn contains_many<A: Arg<M>>(
        &self,
        members: impl IntoIterator<Item = A>,
    ) -> Result<Vec<bool>, OpError> {
        let members = self.encoded(members)?;
        let found = read(&self.place, |body: &Body, _| members.iter().map(|m| body.contains(m)).collect())?;
        Ok(found.unwrap_or_else(|| vec![false; members.len()]))
    }

    /// Returns how many members there are.
    ///
    /// **Command** `SCARD`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let fruits = engine.set_of::<String>("fruits");
    /// assert_eq!(fruits.len()?, 0);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn len(&self) -> Result<u64, OpError> {
        let len = read(&self.place, |body: &Body, _| body.len() as u64)?;
        Ok(len.unwrap_or(0))
    }

    /// Returns whether the set has no members, which is to say that its key does not exist.
    ///
    /// **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert!(engine.set_of::<String>("fruits").is_empty()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool, OpError> {
        Ok(self.len()? == 0)
    }

    /// Takes out a member by chance, each with the same one, and returns it.
    ///
    /// **Command** `SPOP`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`] if the member is no `M`: it is gone then.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let lots = engine.set_of::<u32>("lots");
    /// lots.add(7)?;
    /// assert_eq!((lots.pop()?, lots.pop()?), (Some(7), None));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop(&self) -> Result<Option<M>, OpError> {
        let popped = self.change(Absent::Skip, 0, |change| {
            change.name(event::SPOP);
            let (body, _, random) = change.parts();
            let drawn = body.random(random).map(|member| Value::copy(member.as_bytes()));
            if let Some(member) = &drawn {
                remove(change, member);
            }
            Ok(drawn)
        })?;
        popped.flatten().map(|member| self.decoded(&member)).transpose()
    }

    /// Takes out up to `count` different members by chance, every choice with the same one, and returns them.
    ///
    /// **Command** `SPOP` with a count. **Complexity** O(k), k the members popped, O(n) for more than a third of a set; for
    /// many the lock is held only to put the rest in place.
    ///
    /// # Errors
    /// As [`pop`](Self::pop).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let lots = engine.set_of::<u32>("lots");
    /// lots.add_many([1, 2, 3])?;
    /// assert_eq!((lots.pop_many(2)?.len(), lots.pop_many(2)?.len(), lots.len()?), (2, 1, 0));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_many(&self, count: usize) -> Result<SetMembers<M>, OpError> {
        for _ in 0..OPTIMISTIC_TRIES {
            match self.try_pop(count)? {
                Some(Popped::Again) => {}
                None => return Ok(SetMembers::of(self.key(), Body::Packed(Packed::new()))),
                Some(Popped::Members(members)) => {
                    return Ok(SetMembers::of(self.key(), Body::Packed(members)));
                }
                Some(Popped::Whole(body)) => return Ok(SetMembers::of(self.key(), body)),
            }
        }
        let popped = self.change(Absent::Skip, 0, |change| {
            change.name(event::SPOP);
            let (body, _, random) = change.parts();
            let members = body.sample(count, random);
            take(change, &members);
            Ok(members)
        })?;
        Ok(SetMembers::of(self.key(), Body::Packed(popped.unwrap_or_default())))
    }

    /// One attempt at [`pop_many`](Self::pop_many); `None` for a key that does not exist.
    fn try_pop(&self, count: usize) -> Result<Option<Popped>, OpError> {
        let core = &self.place.engine().core;
        let capture = |body: &Body, _| (count > POPPED_MAX && count < body.len()).then(|| body.clone());
        let Some(capture) = read(&self.place, capture)? else { return Ok(None) };
        // The choice, and the set without what was chosen, while nobody waits.
        let mut prepared = capture.map(|capture| {
            let members = capture.sample(count, &mut core.chance());
            let mut rest = capture.clone();
            members.iter().for_each(|member| {
                rest.remove(member);
            });
            settle(&mut rest, members.len(), &core.rules());
            (capture, rest, members)
        });
        self.change(Absent::Skip, 0, |change| {
            change.name(event::SPOP);
            if count >= change.body.len() {
                return Ok(Popped::Whole(take_all(change)));
            }
            if let Some((capture, rest, members)) = &mut prepared {
                if !change.body.is_same(capture) {
                    return Ok(Popped::Again);
                }
                // What the set was leaves the lock in `prepared`, to be dropped outside.
                std::mem::swap(change.body, rest);
                for member in members.iter() {
                    change.emit(|| Delta::SetRemove { member: member.into() });
                }
                return Ok(Popped::Members(std::mem::take(members)));
            }
            if count > POPPED_MAX {
                // It grew since it was looked at.
                return Ok(Popped::Again);
            }
            let (body, _, random) = change.parts();
            let members = body.sample(count, random);
            take(change, &members);
            Ok(Popped::Members(members))
        })
    }
}
