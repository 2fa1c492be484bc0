//! Lists: LPUSH, RPUSH, LPOP, RPOP, LLEN, LINDEX, LSET, LTRIM, LMOVE, LMPOP and their like.
//!
//! ```text
//! list.rs     the handle, its ends, its length      list/index.rs    by index: LINDEX, LRANGE, LSET, LTRIM
//! list/value.rs  by value: LPOS, LREM, LINSERT      list/iter.rs     walks over a captured root
//! ```
//! Elements are encoded before a lock is taken and decoded after it was released. What takes long (a search, a removal by
//! value, many elements popped at once) works on a captured root or on a part that was cut off, outside of the lock.

mod index;
mod iter;
mod value;

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;

pub use iter::ListElements;
pub use value::{Inserted, PositionOptions};

use super::beside::change_many;
use super::place::{change, read};
use super::{At, Engine, Key, Owned, Place, check_key, check_value};
use crate::collections::list::List as Body;
use crate::collections::packed::Packed;
use crate::effect::{Delta, End};
use crate::error::OpError;
use crate::feed::event;
use crate::hash::KeyHash;
use crate::keyspace::collect::{Absent, Change, Room};
use crate::typed::{Arg, CodecError, Element, decode};
use crate::value::Value;

/// What a change reserves for one element beside its bytes.
const ELEMENT_BYTES: usize = 64;
/// Up to so many elements are copied under the read lock; for more the root is captured.
const COPIED_MAX: usize = 128;

/// A list under a key; see [`Engine::list`].
///
/// The handle is made without a look-up and keeps nothing but the key. A list that becomes empty is deleted, and one that
/// does not exist reads as an empty one.
///
/// # Examples
/// ```
/// let engine = larder::Engine::new();
/// let jobs = engine.list::<String>("jobs");
/// jobs.push_back("first")?;
/// jobs.push_back("second")?;
/// assert_eq!(jobs.pop_front()?.as_deref(), Some("first"));
/// assert_eq!(jobs.len()?, 1);
/// # Ok::<(), larder::OpError>(())
/// ```
pub struct List<T = Bytes, P = Owned> {
    pub(super) place: P,
    element: PhantomData<fn() -> T>,
}

impl<T, P: Clone> Clone for List<T, P> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), element: PhantomData }
    }
}

impl<T, P: fmt::Debug> fmt::Debug for List<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("place", &self.place).finish()
    }
}

/// A list of all elements of an argument list, encoded before any lock is taken.
fn encode_all<T: Element>(key: &[u8], elements: impl IntoIterator<Item: Arg<T>>) -> Result<Packed, OpError> {
    let mut encoded = Packed::new();
    for element in elements {
        let pushed = element.with(|bytes| check_value(bytes.len()).map(|()| encoded.push(bytes)));
        pushed.map_err(|source| OpError::codec(key, source))??;
    }
    Ok(encoded)
}

/// Elements that were taken out of a list.
enum Taken {
    Absent,
    One(Value),
    Many(Body),
}

fn push(change: &mut Change<'_, Body>, end: End, element: &[u8]) {
    let (body, rules, _) = change.parts();
    body.push(end, element, rules);
    change.emit(|| Delta::ListPush { end, element: element.into() });
}

/// Takes up to `count` elements off an end, in O(log n).
fn pop(change: &mut Change<'_, Body>, end: End, count: usize) -> Taken {
    let (body, rules, _) = change.parts();
    let len = body.len();
    let count = count.min(len);
    let taken = match (count, body.at_end(end)) {
        (0, _) => return Taken::Many(Body::cut(body, 0..0, rules)),
        (1, Some(element)) => {
            let element = Value::copy(element);
            body.remove(if end == End::Head { 0 } else { len - 1 }, rules);
            Taken::One(element)
        }
        _ => Taken::Many(body.cut(if end == End::Head { 0..count } else { len - count..len }, rules)),
    };
    change.emit(|| Delta::ListPop { end, count: count as u64 });
    taken
}

impl Taken {
    fn one<T: Element>(self, key: &[u8]) -> Result<Option<T>, OpError> {
        Ok(self.all(key, End::Head)?.and_then(|mut all| all.pop()))
    }

    /// The elements in the order in which they came off the end.
    fn all<T: Element>(self, key: &[u8], end: End) -> Result<Option<Vec<T>>, OpError> {
        let decode = |bytes: &[u8]| decode::<T>(bytes).map_err(|source| OpError::codec(key, source));
        match self {
            Self::Absent => Ok(None),
            Self::One(element) => decode(&element).map(|element| Some(vec![element])),
            Self::Many(part) => {
                let elements = part.elements(0..usize::MAX);
                let decoded: Result<Vec<T>, OpError> = match end {
                    End::Head => elements.map(decode).collect(),
                    End::Tail => elements.rev().map(decode).collect(),
                };
                decoded.map(Some)
            }
        }
    }
}

impl Engine {
    /// Returns a handle to a list.
    ///
    /// **Complexity** O(1), no look-up.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let scores = engine.list::<u64>("scores");
    /// scores.extend_back([3, 1, 2])?;
    /// assert_eq!(scores.range(0, -1)?, [3, 1, 2]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn list<'a, T: Element>(&'a self, key: impl Into<Key<'a>>) -> List<T, At<'a>> {
        List { place: At::new(self, key), element: PhantomData }
    }

    /// Takes up to `count` elements off an end of the first list that is not empty, and tells which of the keys that was.
    ///
    /// **Command** `LMPOP`. **Complexity** O(k + c), k keys looked at and c elements taken; the lock is held for
    /// O(k + log n) of it.
    ///
    /// # Errors
    /// [`OpError::WrongType`] if a key looked at holds something else; [`OpError::Codec`] if an element is no `T`: it is
    /// gone then.
    ///
    /// # Examples
    /// ```
    /// use larder::End;
    /// let engine = larder::Engine::new();
    /// engine.list::<String>("b").extend_back(["x", "y"])?;
    /// let popped = engine.pop_from_lists::<String, _>(&["a", "b"], End::Head, 10)?;
    /// assert_eq!(popped, Some((1, vec!["x".to_owned(), "y".to_owned()])));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_from_lists<T: Element, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        end: End,
        count: usize,
    ) -> Result<Option<(usize, Vec<T>)>, OpError> {
        let Some((first, more)) = keys.split_first() else { return Ok(None) };
        let popped = change(&At::new(self, first.as_ref()), Absent::Skip, 0, |c| Ok(pop(c, end, count)))?;
        let (at, taken) = match popped {
            Some(taken) => (0, taken),
            None if more.is_empty() => return Ok(None),
            None => match self.pop_locked(keys, end, count)? {
                Some(popped) => popped,
                None => return Ok(None),
            },
        };
        Ok(taken.all(keys[at].as_ref(), end)?.map(|elements| (at, elements)))
    }

    /// Looks at all keys at one moment.
    fn pop_locked<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        end: End,
        count: usize,
    ) -> Result<Option<(usize, Taken)>, OpError> {
        let core = &*self.core;
        let hashes: Vec<KeyHash> = keys.iter().map(|key| core.hash(key.as_ref())).collect();
        let shards = self.shards_of(&hashes);
        self.check_declared(keys)?;
        core.write_many(self.db, &shards, |writes| {
            for (index, (key, &hash)) in keys.iter().zip(&hashes).enumerate() {
                let at = shards.binary_search(&core.shard_of(hash)).expect("every key's shard is locked");
                let room = Room::new(0, None);
                let popped =
                    writes[at].change_collection(hash, key.as_ref(), Absent::Skip, room, |change| {
                        Ok(pop(change, end, count))
                    })?;
                if let Some(taken) = popped {
                    return Ok(Some((index, taken)));
                }
            }
            Ok(None)
        })
    }
}

impl<T: Element> List<T, At<'_>> {
    /// Returns the same handle with an engine and a key of its own, to be kept.
    ///
    /// **Complexity** O(1), a copy of the key.
    ///
    /// # Examples
    /// ```
    /// struct Queue {
    ///     jobs: larder::List<String>,
    /// }
    /// let queue = Queue { jobs: larder::Engine::new().list("jobs").into_owned() };
    /// assert!(queue.jobs.is_empty()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn into_owned(self) -> List<T, Owned> {
        List { place: self.place.into_owned(), element: PhantomData }
    }
}

impl<T: Element, P: Place> List<T, P> {
    fn key(&self) -> &[u8] {
        self.place.key()
    }

    fn codec(&self, source: CodecError) -> OpError {
        OpError::codec(self.key(), source)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, OpError> {
        decode(bytes).map_err(|source| self.codec(source))
    }

    /// Runs `f` over the list: under the read lock while it is small, over a captured root otherwise.
    fn look<R>(&self, f: impl FnOnce(&Body) -> R) -> Result<Option<R>, OpError> {
        let mut f = Some(f);
        let seen = read(&self.place, |body: &Body, _| match f.take() {
            Some(f) if body.is_small() => Ok(f(body)),
            unused => {
                f = unused;
                Err(body.clone())
            }
        })?;
        Ok(seen.and_then(|seen| match seen {
            Ok(result) => Some(result),
            Err(captured) => f.take().map(|f| f(&captured)),
        }))
    }

    fn push_one(&self, end: End, absent: Absent, element: &impl Arg<T>) -> Result<u64, OpError> {
        let pushed = element.with(|bytes| {
            check_value(bytes.len())?;
            change(&self.place, absent, bytes.len() + ELEMENT_BYTES, |change| {
                push(change, end, bytes);
                Ok(change.body.len() as u64)
            })
        });
        Ok(pushed.map_err(|source| self.codec(source))??.unwrap_or(0))
    }

    fn push_all(
        &self,
        end: End,
        absent: Absent,
        elements: impl IntoIterator<Item: Arg<T>>,
    ) -> Result<u64, OpError> {
        let elements: Packed = encode_all(self.key(), elements)?;
        let room = elements.content_bytes() + elements.len() * ELEMENT_BYTES;
        let touches = |_: &Body| elements.len() as u64;
        let len = change_many(&self.place, absent, room, touches, |change| {
            for element in &elements {
                push(change, end, element);
            }
            Ok(change.body.len() as u64)
        })?;
        Ok(len.unwrap_or(0))
    }

    fn pop(&self, end: End, count: usize) -> Result<Taken, OpError> {
        let taken = change(&self.place, Absent::Skip, 0, |change| Ok(pop(change, end, count)))?;
        Ok(taken.unwrap_or(Taken::Absent))
    }

    /// Puts an element behind the last one, making the list if it does not exist; returns the new length.
    ///
    /// **Command** `RPUSH`. **Complexity** O(log n), n elements.
    ///
    /// # Errors
    /// [`OpError::WrongType`], [`OpError::OutOfMemory`], [`OpError::Codec`], [`OpError::ValueTooLong`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<String>("list");
    /// assert_eq!(list.push_back("a")?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn push_back(&self, element: impl Arg<T>) -> Result<u64, OpError> {
        self.push_one(End::Tail, Absent::Create, &element)
    }

    /// Puts an element before the first one, making the list if it does not exist; returns the new length.
    ///
    /// **Command** `LPUSH`. **Complexity** O(log n), n elements.
    ///
    /// # Errors
    /// As [`push_back`](Self::push_back).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<String>("list");
    /// list.push_back("b")?;
    /// assert_eq!(list.push_front("a")?, 2);
    /// assert_eq!(list.range(0, -1)?, ["a", "b"]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn push_front(&self, element: impl Arg<T>) -> Result<u64, OpError> {
        self.push_one(End::Head, Absent::Create, &element)
    }

    /// Puts elements behind the last one, in their order; returns the new length.
    ///
    /// **Command** `RPUSH`. **Complexity** O(m log n), m elements put into a list of n.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// As [`push_back`](Self::push_back); nothing was put in then.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// assert_eq!(list.extend_back([1, 2, 3])?, 3);
    /// assert_eq!(list.range(0, -1)?, [1, 2, 3]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn extend_back(&self, elements: impl IntoIterator<Item: Arg<T>>) -> Result<u64, OpError> {
        self.push_all(End::Tail, Absent::Create, elements)
    }

    /// Puts elements before the first one, one after the other, so that the last one given comes first; returns the new
    /// length.
    ///
    /// **Command** `LPUSH`. **Complexity** O(m log n), m elements put into a list of n.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// As [`push_back`](Self::push_back); nothing was put in then.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// assert_eq!(list.extend_front([1, 2, 3])?, 3);
    /// assert_eq!(list.range(0, -1)?, [3, 2, 1]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn extend_front(&self, elements: impl IntoIterator<Item: Arg<T>>) -> Result<u64, OpError> {
        self.push_all(End::Head, Absent::Create, elements)
    }

    /// Puts elements at an end of a list that exists; returns the new length, zero if there is no list.
    ///
    /// **Command** `LPUSHX`, `RPUSHX`. **Complexity** O(m log n), m elements put into a list of n.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// As [`push_back`](Self::push_back); nothing was put in then.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// assert_eq!(list.extend_existing(larder::End::Tail, [1, 2, 3])?, 0);
    /// assert!(!engine.exists("list")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn extend_existing(
        &self,
        end: End,
        elements: impl IntoIterator<Item: Arg<T>>,
    ) -> Result<u64, OpError> {
        self.push_all(end, Absent::Skip, elements)
    }

    /// Takes the first element off.
    ///
    /// **Command** `LPOP`. **Complexity** O(log n), n elements.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`] if the element is no `T`: it is gone then.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// list.extend_back([1, 2])?;
    /// assert_eq!(list.pop_front()?, Some(1));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_front(&self) -> Result<Option<T>, OpError> {
        self.pop(End::Head, 1)?.one(self.key())
    }

    /// Takes the last element off.
    ///
    /// **Command** `RPOP`. **Complexity** O(log n), n elements.
    ///
    /// # Errors
    /// As [`pop_front`](Self::pop_front).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// list.extend_back([1, 2])?;
    /// assert_eq!(list.pop_back()?, Some(2));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_back(&self) -> Result<Option<T>, OpError> {
        self.pop(End::Tail, 1)?.one(self.key())
    }

    /// Takes up to `count` elements off an end, the outermost first; `None` if there is no list.
    ///
    /// **Command** `LPOP` and `RPOP` with a count. **Complexity** O(c), c elements taken; the lock is held for O(log n).
    ///
    /// # Errors
    /// As [`pop_front`](Self::pop_front).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// list.extend_back([1, 2, 3])?;
    /// assert_eq!(list.pop_many(larder::End::Tail, 2)?, Some(vec![3, 2]));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_many(&self, end: End, count: usize) -> Result<Option<Vec<T>>, OpError> {
        self.pop(end, count)?.all(self.key(), end)
    }

    /// Returns how many elements there are.
    ///
    /// **Command** `LLEN`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert_eq!(engine.list::<String>("none").len()?, 0);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn len(&self) -> Result<u64, OpError> {
        Ok(read(&self.place, |body: &Body, _| body.len() as u64)?.unwrap_or(0))
    }

    /// Returns whether there is no element, and so no list.
    ///
    /// **Command** `LLEN`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert!(engine.list::<String>("none").is_empty()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool, OpError> {
        Ok(self.len()? == 0)
    }

    /// Moves an element from an end of this list to an end of another, or of the same one; returns it.
    ///
    /// **Command** `LMOVE`, `RPOPLPUSH`. **Complexity** O(log n), n elements.
    ///
    /// # Errors
    /// [`OpError::WrongType`] for either key, [`OpError::OutOfMemory`]; [`OpError::Codec`] if the element is no `T`: it was
    /// moved then.
    ///
    /// # Examples
    /// ```
    /// use larder::End;
    /// let engine = larder::Engine::new();
    /// let waiting = engine.list::<String>("waiting");
    /// waiting.push_back("job")?;
    /// assert_eq!(waiting.move_to("running", End::Head, End::Tail)?.as_deref(), Some("job"));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn move_to<'k>(&self, to: impl Into<Key<'k>>, from: End, at: End) -> Result<Option<T>, OpError> {
        let to = to.into();
        check_key(to.as_bytes())?;
        let moved = self.place.engine().move_between::<Body, Value, Value>(
            (self.key(), to.as_bytes()),
            Some([
                if at == End::Head { event::LPUSH } else { event::RPUSH },
                if from == End::Head { event::LPOP } else { event::RPOP },
            ]),
            |source| source.at_end(from).map(|element| element.len() + ELEMENT_BYTES),
            |source| match pop(source, from, 1) {
                Taken::One(element) => Some(element),
                _ => None,
            },
            |target, element| {
                push(target, at, &element);
                element
            },
        )?;
        moved.map(|element| self.decode(&element)).transpose()
    }
}
