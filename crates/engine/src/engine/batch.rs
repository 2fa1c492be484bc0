//! Batch functions: a closure over every key of a pattern, on several threads, without a lock.
//!
//! ```text
//! page of a shard --read lock: copy or capture--> Entry, Entry .. --unlock--> worker: closure(entry) --> next page
//!        ^ taken in turn by the workers, shard after shard
//! ```
//! Invariants: I1: an entry is its key's value at one moment; different keys are captured at different moments. I2: a key that
//! is there from the beginning to the end is met once; one that comes or goes meanwhile may be. I3: no lock is held while a closure
//! runs, so it may call the engine. I4: after an error or a panic no further entry is begun.
//!
//! Cost: a page looks at its shard's whole index, once for every [`PAGE`] keys in it; a small string is copied, a large one and a
//! collection are captured in O(1). A capture makes writers copy what they change for as long as the closure holds it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Engine, HashEntries, ListElements, ScoredMembers, SetMembers, StreamEntries, ValueType};
use crate::StreamId;
use crate::clock::UnixMillis;
use crate::collections::sorted_set::Walk;
use crate::collections::{Body, Collection};
use crate::error::OpError;
use crate::glob;
use crate::keyspace::blob::{BlobRef, ValueRef};
use crate::sync::Mutex;
use crate::typed::{Arg, Element, decode};
use crate::value::{Taken, Value};

/// About how many keys a worker takes at once.
const PAGE: usize = 1_024;

/// A key and what it held when it was captured: what a batch function sees.
pub struct Entry {
    engine: Engine,
    key: Box<[u8]>,
    value_type: ValueType,
    deadline: Option<UnixMillis>,
    now_ms: u64,
    content: Content,
}

enum Content {
    String(Taken),
    Collection(Collection),
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &format_args!("\"{}\"", self.key.escape_ascii()))
            .field("value_type", &self.value_type)
            .finish_non_exhaustive()
    }
}

impl Entry {
    fn of(engine: &Engine, blob: BlobRef<'_>, now_ms: u64) -> Self {
        let content = match blob.value() {
            ValueRef::Collection(held) => Content::Collection(held.body.clone()),
            string => Content::String(Taken::from(string)),
        };
        let hard = blob.idle().map_or(blob.deadline_ms(), |idle| Some(idle.hard_ms));
        let deadline = hard.map(UnixMillis).filter(|&hard| hard != UnixMillis::MAX);
        let value_type = ValueType::of(blob);
        Self { engine: engine.clone(), key: blob.key().into(), value_type, deadline, now_ms, content }
    }

    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Returns the type of the value.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// Returns when the key expires; `None` if it lives for ever.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixMillis> {
        self.deadline
    }

    /// Returns a handle of the database that the key lies in, as it is now.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the bytes of a string.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`] for a typed value that cannot be encoded.
    pub fn string(&self) -> Result<Value, OpError> {
        match &self.content {
            Content::String(Taken::Value(value)) => Ok(value.clone()),
            Content::String(Taken::Large(rope)) => Ok(Value::from_rope(rope.clone())),
            Content::String(Taken::Object(object)) => {
                let bytes = object.encode().map_err(|error| OpError::codec(&self.key, error))?;
                Ok(Value::from_vec(bytes))
            }
            _ => Err(self.wrong_type(ValueType::String)),
        }
    }

    /// Returns a string as the value that it stands for.
    ///
    /// # Errors
    /// As [`string`](Self::string), and [`OpError::Codec`] for bytes that are no `T`.
    pub fn value<T: Element>(&self) -> Result<T, OpError> {
        let bytes = self.string()?;
        decode(&bytes).map_err(|error| OpError::codec(&self.key, error))
    }

    /// Walks over the elements of a list.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    pub fn list<T: Element>(&self) -> Result<ListElements<T>, OpError> {
        let body: crate::collections::list::List = self.body()?;
        let len = body.len();
        Ok(ListElements::new(&self.key, body.into_elements(0..len)))
    }

    /// Walks over the members of a set.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    pub fn set<M: Element>(&self) -> Result<SetMembers<M>, OpError> {
        Ok(SetMembers::of(&self.key, self.body()?))
    }

    /// Walks over the fields and values of a hash.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    pub fn hash<F: Element, V: Element>(&self) -> Result<HashEntries<F, V>, OpError> {
        Ok(HashEntries::of(self.body()?, self.now_ms, &self.key))
    }

    /// Returns one field of a hash.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`] for bytes that are no `V`.
    pub fn field<F: Element, V: Element>(&self, field: impl Arg<F>) -> Result<Option<V>, OpError> {
        let codec = |error| OpError::codec(&self.key, error);
        let Content::Collection(Collection::Hash(body)) = &self.content else {
            return Err(self.wrong_type(ValueType::Hash));
        };
        let found = field.with(|field| body.get(field, self.now_ms).map(|entry| decode(entry.value)));
        found.map_err(codec)?.transpose().map_err(codec)
    }

    /// Walks over the members of a sorted set, from the lowest score on.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    pub fn sorted_set<M: Element>(&self) -> Result<ScoredMembers<M>, OpError> {
        let body: crate::collections::sorted_set::SortedSet = self.body()?;
        let len = body.len();
        Ok(ScoredMembers::new(&self.key, Some(Walk::new(body.order().clone(), 0..len)), false))
    }

    /// Walks over the entries of a stream.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    pub fn stream(&self) -> Result<StreamEntries, OpError> {
        let body: crate::collections::stream::Stream = self.body()?;
        Ok(StreamEntries::new(body.log().clone(), StreamId::MIN..=StreamId::MAX, false))
    }

    fn body<B: Body>(&self) -> Result<B, OpError> {
        let found = match &self.content {
            Content::Collection(body) => B::of(body).cloned(),
            Content::String(_) => None,
        };
        found.ok_or_else(|| self.wrong_type(B::TYPE))
    }

    fn wrong_type(&self, expected: ValueType) -> OpError {
        OpError::wrong_type(&self.key, expected, self.value_type)
    }
}

/// Where a walk stands, and whether it is to go on.
struct Walker<'a> {
    engine: &'a Engine,
    pattern: &'a [u8],
    /// The shard and the place in it.
    place: Mutex<(usize, u64)>,
    stopped: AtomicBool,
}

impl Walker<'_> {
    /// The next entries; `None` when all were handed out or somebody stopped.
    fn page(&self) -> Result<Option<Vec<Entry>>, OpError> {
        let core = &*self.engine.core;
        let mut place = self.place.lock();
        let (shard, from) = *place;
        if shard == core.shards.len() || self.stopped.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let now_ms = core.now_ms();
        let (next, entries) = core.read(shard, |state| {
            let mut entries = Vec::new();
            let next = state.table(core.physical(self.engine.db)).and_then(|table| {
                table.page(from, PAGE, |blob| {
                    if glob::matches(self.pattern, blob.key()) && core.is_live(blob) {
                        entries.push(Entry::of(self.engine, blob, now_ms));
                    }
                })
            });
            (next, entries)
        })?;
        *place = next.map_or((shard + 1, 0), |from| (shard, from));
        Ok(Some(entries))
    }

    /// A worker's part.
    fn work<E: From<OpError>>(&self, mut each: impl FnMut(&Entry) -> Result<(), E>) -> Result<(), E> {
        // Also when the closure panics, and for errors.
        let stop = Stop(self);
        while let Some(entries) = self.page()? {
            for entry in entries {
                if self.stopped.load(Ordering::Relaxed) {
                    return Ok(());
                }
                each(&entry)?;
            }
        }
        std::mem::forget(stop);
        Ok(())
    }
}

struct Stop<'a, 'w>(&'a Walker<'w>);

impl Drop for Stop<'_, '_> {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}

impl Engine {
    /// Runs a closure for every key that matches a glob, on this thread and `workers - 1` others; a batch function.
    ///
    /// The closure sees each key with its value as it was at one moment, under no lock: it may change whatever it likes. A key
    /// that is there all the time is met once; one that comes or goes meanwhile may be met. The first error stops the walk
    /// and is returned; a panic stops it and goes on here. Inside a transaction there is one worker.
    ///
    /// **Complexity** O(n) for n keys of the database, and the closures; a lock is held for 1,024 keys at a time.
    ///
    /// # Errors
    /// What the closure returns; [`OpError::Poisoned`].
    ///
    /// # Panics
    /// If the closure does.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_many(&[("n:1", "5"), ("n:2", "-5"), ("other", "-5")])?;
    /// engine.for_each("n:*", 2, |entry| {
    ///     if entry.value::<i64>()? < 0 { engine.remove(entry.key())?; }
    ///     Ok::<_, larder::OpError>(())
    /// })?;
    /// assert_eq!(engine.len()?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn for_each<E: From<OpError> + Send>(
        &self,
        pattern: impl AsRef<[u8]>,
        workers: usize,
        each: impl Fn(&Entry) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        self.map_reduce(pattern, workers, |entry| each(entry).map(|()| None::<()>), |(), ()| ()).map(|_| ())
    }

    /// Maps every key that matches a glob to a value, or to none, and combines the values in any order; `None` if there are none.
    ///
    /// Keys are met as by [`for_each`](Self::for_each). Values are combined on the worker that made them, and at the end with those of
    /// the other workers, so `reduce` should not depend on the order.
    ///
    /// **Complexity** as [`for_each`](Self::for_each).
    ///
    /// # Errors
    /// As [`for_each`](Self::for_each).
    ///
    /// # Panics
    /// If a closure does.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_many(&[("n:1", "5"), ("n:2", "7"), ("other", "1")])?;
    /// let sum = engine.map_reduce("n:*", 2, |entry| entry.value::<i64>().map(Some), |a, b| a + b)?;
    /// assert_eq!(sum, Some(12));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn map_reduce<T: Send, E: From<OpError> + Send>(
        &self,
        pattern: impl AsRef<[u8]>,
        workers: usize,
        map: impl Fn(&Entry) -> Result<Option<T>, E> + Sync,
        reduce: impl Fn(T, T) -> T + Sync,
    ) -> Result<Option<T>, E> {
        let walker = Walker {
            engine: self,
            pattern: pattern.as_ref(),
            place: Mutex::new((0, 0)),
            stopped: AtomicBool::new(false),
        };
        let join = |all: Option<T>, one: Option<T>| match (all, one) {
            (Some(all), Some(one)) => Some(reduce(all, one)),
            (all, one) => all.or(one),
        };
        let part = || {
            let mut sum = None;
            walker.work(|entry| {
                let one = map(entry)?;
                sum = join(sum.take(), one);
                Ok::<(), E>(())
            })?;
            Ok::<Option<T>, E>(sum)
        };
        // The handles of a transaction work on its thread alone.
        let others = if self.core.is_within() { 0 } else { workers.saturating_sub(1) };
        if others == 0 {
            return part();
        }
        let results: Vec<Result<Option<T>, E>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..others).map(|_| scope.spawn(part)).collect();
            let own = part();
            let others = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            std::iter::once(own).chain(others).collect()
        });
        results.into_iter().try_fold(None, |all, one| Ok(join(all, one?)))
    }
}
