//! Cached copies of remote data: tokens, guarded insertion, invalidation, pins. A tier is built on these.
//!
//! ```text
//! token = cache_token(key, origin)   before the remote is asked
//! insert_if(token, key, value)       installed only if nothing that concerns it was invalidated since
//! invalidate(key | tag | prefix | connection | slot | everything)
//! ```

use std::ops::Bound;
use std::time::Duration;

use super::store::{Incoming, SetOptions};
use super::{Engine, check_key, check_value};
use crate::clock::UnixMillis;
use crate::error::OpError;
use crate::hash::KeyHash;
use crate::keyspace::blob::{Blob, BlobRef};
use crate::keyspace::meta::{CacheMeta, CacheToken, Origin};
use crate::keyspace::write::{Announce, ShardWrite};
use crate::order::prefix_end;
use crate::removal::RemovalCause;
use crate::stats::{Counter, Operation};
use crate::value::{Taken, Value};

/// How a cached copy is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct CacheOptions<'a> {
    expiry: super::store::Expiry,
    soft: Option<UnixMillis>,
    negative: bool,
    tags: &'a [&'a [u8]],
}

impl<'a> CacheOptions<'a> {
    /// Keeps the copy until it is invalidated or evicted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the copy expire after `span`.
    pub fn ttl(mut self, span: Duration) -> Self {
        self.expiry = super::store::Expiry::After(span);
        self
    }

    /// Lets the copy expire at a point in time.
    pub fn expire_at(mut self, at: UnixMillis) -> Self {
        self.expiry = super::store::Expiry::At(at);
        self
    }

    /// Calls the copy stale from this point on: still served, and due for a refresh. Kept in steps of 64 ms, rounded
    /// down; a point more than four years after the engine was built means never.
    pub fn stale_at(mut self, at: UnixMillis) -> Self {
        self.soft = Some(at);
        self
    }

    /// Notes that the remote does not have the key; the value is ignored.
    pub fn negative(mut self) -> Self {
        self.negative = true;
        self
    }

    /// Lets [`invalidate_tag`](Engine::invalidate_tag) find the copy by any of these.
    pub fn tags(mut self, tags: &'a [&'a [u8]]) -> Self {
        self.tags = tags;
        self
    }
}

/// What a [`lookup`](Engine::lookup) found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// A fresh value.
    Hit(T),
    /// A value past its soft deadline.
    Stale(T),
    /// The remote is known not to have the key.
    Negative,
    /// Nothing is known.
    Miss,
}

impl<T> Lookup<T> {
    pub(crate) fn map<R>(self, f: impl FnOnce(T) -> R) -> Lookup<R> {
        match self {
            Self::Hit(value) => Lookup::Hit(f(value)),
            Self::Stale(value) => Lookup::Stale(f(value)),
            Self::Negative => Lookup::Negative,
            Self::Miss => Lookup::Miss,
        }
    }
}

impl<T, E> Lookup<Result<T, E>> {
    pub(crate) fn transpose(self) -> Result<Lookup<T>, E> {
        Ok(match self {
            Self::Hit(value) => Lookup::Hit(value?),
            Self::Stale(value) => Lookup::Stale(value?),
            Self::Negative => Lookup::Negative,
            Self::Miss => Lookup::Miss,
        })
    }
}

impl Engine {
    /// Draws the token of a fill, before the remote is asked.
    ///
    /// **Complexity** O(1), without a lock.
    ///
    /// # Examples
    /// ```
    /// use larder::{CacheOptions, Engine, Origin};
    /// let engine = Engine::new();
    /// let token = engine.cache_token("k", Origin::default());
    /// // .. ask the remote ..
    /// assert!(engine.insert_if(token, "k", "v", &CacheOptions::new())?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn cache_token(&self, key: impl AsRef<[u8]>, origin: Origin) -> CacheToken {
        self.core.freshness.token(self.core.hash(key.as_ref()), origin)
    }

    /// Stores a copy, unless the key, its connection, its slot, one of its tags, its prefix or everything was
    /// invalidated since the token was drawn (or the database was flushed); tells whether it did. The check runs inside the shard lock.
    ///
    /// **Complexity** O(n + t), n the bytes of key and value, t the tags.
    ///
    /// # Errors
    /// As [`set`](Self::set); [`OpError::InvalidArgument`] if more than a million different sets of tags are in use.
    ///
    /// # Examples
    /// ```
    /// use larder::{CacheOptions, Engine, Origin};
    /// let engine = Engine::new();
    /// let token = engine.cache_token("k", Origin::default());
    /// engine.invalidate("k")?;
    /// assert!(!engine.insert_if(token, "k", "outdated", &CacheOptions::new())?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn insert_if(
        &self,
        token: CacheToken,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: &CacheOptions<'_>,
    ) -> Result<bool, OpError> {
        let value = if options.negative { &[][..] } else { value.as_ref() };
        check_value(value.len())?;
        self.insert_copy(token, key.as_ref(), &Incoming::Bytes(value), options)
    }

    pub(crate) fn insert_copy(
        &self,
        token: CacheToken,
        key: &[u8],
        value: &Incoming<'_>,
        options: &CacheOptions<'_>,
    ) -> Result<bool, OpError> {
        check_key(key)?;
        let core = &*self.core;
        let now = core.now_ms();
        let times = SetOptions::expiring(options.expiry);
        let (deadline, idle) = core.times(&times, || now, None)?;
        let tags = core
            .freshness
            .acquire_tags(options.tags)
            .ok_or(OpError::InvalidArgument("too many different sets of tags are in use"))?;
        let meta = core.freshness.meta(&token, options.soft.map(|at| at.0), options.negative, tags);
        let mut draft = value.draft(key);
        (draft.deadline_ms, draft.idle, draft.meta) = (deadline, idle, Some(meta));
        draft.weight = self.weigh(key, value);
        let mut blob = Some(Blob::new(draft));
        let stored = core.write(self.db, key, |write, hash| {
            if !core.freshness.admits(&token, hash, tags) || deadline.is_some_and(|deadline| deadline <= now)
            {
                return Ok(false);
            }
            let new = blob.as_ref().expect("I1: a refused run leaves the blob where it is").get();
            let old = write.existing(hash, key);
            write.reserve(new, old.as_ref())?;
            if let Some(blob) = blob.take() {
                write.put(hash, blob, Announce::Replaced);
            }
            write.expire_slice();
            Ok(true)
        });
        if !matches!(stored, Ok(true)) {
            core.freshness.release_tags(tags);
            core.counters.add(Counter::FillsRefused, 1);
        }
        stored
    }

    /// Reads a copy and tells whether it is fresh, stale, known to be absent, or not there.
    ///
    /// **Complexity** O(n), n the bytes of the key and of a small value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// use larder::{CacheOptions, Engine, Lookup, Origin};
    /// let engine = Engine::new();
    /// let token = engine.cache_token("k", Origin::default());
    /// engine.insert_if(token, "k", "", &CacheOptions::new().negative())?;
    /// assert_eq!(engine.lookup("k")?, Lookup::Negative);
    /// assert_eq!(engine.lookup("other")?, Lookup::Miss);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn lookup(&self, key: impl AsRef<[u8]>) -> Result<Lookup<Value>, OpError> {
        let key = key.as_ref();
        let found = self.look(key, |blob| Taken::from(blob.value()))?;
        found.map(|taken| self.finish(key, taken)).transpose()
    }

    pub(crate) fn look<R>(&self, key: &[u8], f: impl FnOnce(BlobRef<'_>) -> R) -> Result<Lookup<R>, OpError> {
        let core = &*self.core;
        let _measured = core.measure(Operation::Read);
        let hash = core.hash(key);
        core.check_declared(self.db, key)?;
        core.read(core.shard_of(hash), |state| {
            let now = core.now_ms();
            let blob = state.find(core.physical(self.db), hash, key);
            let Some(blob) = blob.filter(|&blob| core.death(blob, || now).is_none()) else {
                core.counters.add(Counter::Misses, 1);
                return Lookup::Miss;
            };
            core.touch(state, blob);
            core.counters.add(Counter::Hits, 1);
            match blob.meta() {
                Some(meta) if meta.is_negative() => Lookup::Negative,
                Some(meta) if core.freshness.is_stale(meta, now) => Lookup::Stale(f(blob)),
                _ => Lookup::Hit(f(blob)),
            }
        })
    }

    /// Removes a key and refuses the fills of it that are under way; tells whether it was there.
    ///
    /// **Complexity** O(1).
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert!(engine.invalidate("k")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<bool, OpError> {
        let key = key.as_ref();
        self.core.freshness.invalidate_key(self.core.hash(key));
        self.core.write(self.db, key, |write, hash| Ok(invalidate_in(write, hash, key)))
    }

    /// Invalidates every copy that carries the tag, in every database.
    ///
    /// **Complexity** O(s), s the sets of tags that contain it, whatever the number of copies; their memory comes back
    /// by maintenance or when room is needed.
    ///
    /// # Examples
    /// ```
    /// use larder::{CacheOptions, Engine, Origin};
    /// let engine = Engine::new();
    /// let token = engine.cache_token("k", Origin::default());
    /// engine.insert_if(token, "k", "v", &CacheOptions::new().tags(&[b"red"]))?;
    /// engine.invalidate_tag("red");
    /// assert!(engine.get("k")?.is_none());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn invalidate_tag(&self, tag: impl AsRef<[u8]>) {
        self.core.freshness.invalidate_tag(tag.as_ref());
    }

    /// Removes every key that begins with `prefix`, and refuses all fills under way; returns how many there were.
    ///
    /// **Complexity** O(log n + k) with the ordered index, O(n) without; n the keys, k those removed.
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_many(&[("user:1", "a"), ("user:2", "b"), ("x", "c")])?;
    /// assert_eq!(engine.invalidate_prefix("user:")?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn invalidate_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<u64, OpError> {
        let prefix = prefix.as_ref();
        let core = &*self.core;
        core.check_exclusive()?;
        core.freshness.refuse_fills();
        let mut keys: Vec<Vec<u8>> = Vec::new();
        if let Some(order) = &core.order {
            let end = prefix_end(prefix);
            let end = end.as_ref().map(Vec::as_slice);
            order.walk(core.physical(self.db), Bound::Included(prefix), end, |key| {
                keys.push(key.to_vec());
                true
            });
        } else {
            for shard in 0..core.shards.len() {
                core.read(shard, |state| {
                    let table = state.table(core.physical(self.db));
                    let found = table.into_iter().flat_map(|table| table.iter());
                    keys.extend(
                        found.map(BlobRef::key).filter(|key| key.starts_with(prefix)).map(<[u8]>::to_vec),
                    );
                })?;
            }
        }
        keys.iter().try_fold(0, |count, key| {
            let removed = core.write(self.db, key, |write, hash| Ok(invalidate_in(write, hash, key)))?;
            Ok(count + u64::from(removed))
        })
    }

    /// Invalidates every copy that came over a connection, and its fills under way.
    ///
    /// **Complexity** O(1), whatever the number of copies.
    ///
    /// # Examples
    /// ```
    /// use larder::{CacheOptions, Engine, Origin};
    /// let engine = Engine::new();
    /// let token = engine.cache_token("k", Origin { connection: 7, slot: 0 });
    /// engine.insert_if(token, "k", "v", &CacheOptions::new())?;
    /// engine.invalidate_connection(7);
    /// assert!(engine.get("k")?.is_none());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn invalidate_connection(&self, connection: u16) {
        self.core.freshness.invalidate_connection(connection);
    }

    /// Invalidates every copy of a cluster slot, and its fills under way.
    ///
    /// **Complexity** O(1), whatever the number of copies.
    ///
    /// # Examples
    /// ```
    /// larder::Engine::new().invalidate_slot(16_383);
    /// ```
    pub fn invalidate_slot(&self, slot: u16) {
        self.core.freshness.invalidate_slot(slot);
    }

    /// Invalidates every copy that was stored by [`insert_if`](Self::insert_if), and all fills under way. What was stored by
    /// [`set`](Self::set) and its like stays; [`flush`](Self::flush) removes that.
    ///
    /// **Complexity** O(1), whatever the number of copies.
    ///
    /// # Examples
    /// ```
    /// larder::Engine::new().invalidate_copies();
    /// ```
    pub fn invalidate_copies(&self) {
        self.core.freshness.invalidate_everything();
    }

    /// Protects a key from eviction until it is unpinned as often, or goes for another reason; tells whether it exists.
    ///
    /// **Complexity** O(1).
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("dirty", "v")?;
    /// assert!(engine.pin("dirty")? && engine.unpin("dirty")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pin(&self, key: impl AsRef<[u8]>) -> Result<bool, OpError> {
        let key = key.as_ref();
        self.core.write(self.db, key, |write, hash| Ok(write.pin(hash, key)))
    }

    /// Takes one pin off a key; tells whether it had one.
    ///
    /// **Complexity** O(1).
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// assert!(!larder::Engine::new().unpin("k")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn unpin(&self, key: impl AsRef<[u8]>) -> Result<bool, OpError> {
        let key = key.as_ref();
        self.core.write(self.db, key, |write, hash| Ok(write.unpin(hash, key)))
    }
}

/// Removes an entry, a negative copy included; one that was dead already does not count.
fn invalidate_in(write: &mut ShardWrite<'_>, hash: KeyHash, key: &[u8]) -> bool {
    write.detach_flights(key);
    if write.existing(hash, key).is_none() {
        return false;
    }
    write.save(hash, key);
    write.remove(hash, key, RemovalCause::Invalidated)
}

/// The number of a tag set that an entry carries.
pub(crate) fn tags_of(blob: BlobRef<'_>) -> u32 {
    blob.meta().map_or(0, CacheMeta::tags)
}
