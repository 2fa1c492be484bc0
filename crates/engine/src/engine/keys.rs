//! Whole keys: deleting, renaming, copying, moving, asking what they are.

use std::fmt;

use super::store::redraft;
use super::{Engine, check_key};
use crate::error::OpError;
use crate::eviction::{decayed, frequency, idle_seconds, stamp_idle_for};
use crate::feed::event;
use crate::keyspace::blob::{Blob, BlobRef, Kind, ValueRef};
use crate::keyspace::index::ShardIndex;
use crate::keyspace::meta::CacheMeta;
use crate::keyspace::write::{Announce, ShardWrite};
use crate::keyspace::{Pair, Refusal};
use crate::removal::RemovalCause;

/// Entries that one lock hold takes out of a database that is flushed.
const FLUSH_STEP: usize = 256;
/// Redis keeps strings up to this many bytes beside their header, and calls that `embstr`.
const EMBSTR_BYTES_MAX: usize = 44;

/// The type of a value, by Redis's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueType {
    /// `string`: bytes, integers and decoded objects; bitmaps and HyperLogLogs too.
    String,
    /// `list`.
    List,
    /// `set`.
    Set,
    /// `zset`; geo sets too.
    SortedSet,
    /// `hash`.
    Hash,
    /// `stream`.
    Stream,
}

impl ValueType {
    pub(crate) fn of(blob: BlobRef<'_>) -> Self {
        match blob.value() {
            ValueRef::Collection(held) => held.body.value_type(),
            _ => Self::String,
        }
    }

    /// Returns the name that `TYPE` gives.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a value is kept, by Redis's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// `int`: a 64-bit integer.
    Int,
    /// `embstr`: a short string in one allocation with its key.
    Embstr,
    /// `raw`: a longer string, or one that was appended to.
    Raw,
    /// `object`: a decoded value without bytes; larder's own.
    Object,
    /// `listpack`: a small collection in one packed block.
    Listpack,
    /// `intset`: a small set of integers, sorted.
    Intset,
    /// `quicklist`: a large list.
    Quicklist,
    /// `hashtable`: a large set or hash.
    Hashtable,
    /// `skiplist`: a large sorted set (Redis's word; here it is a counted tree).
    Skiplist,
    /// `stream`.
    Stream,
}

impl Encoding {
    fn of(blob: BlobRef<'_>) -> Self {
        match (blob.kind(), blob.value()) {
            (_, ValueRef::Collection(held)) => held.body.encoding(),
            (Kind::Int, _) => Self::Int,
            (Kind::Raw, ValueRef::Bytes(bytes)) if bytes.len() <= EMBSTR_BYTES_MAX => Self::Embstr,
            (Kind::Object, _) => Self::Object,
            _ => Self::Raw,
        }
    }

    /// Returns the name that `OBJECT ENCODING` gives.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Embstr => "embstr",
            Self::Raw => "raw",
            Self::Object => "object",
            Self::Listpack => "listpack",
            Self::Intset => "intset",
            Self::Quicklist => "quicklist",
            Self::Hashtable => "hashtable",
            Self::Skiplist => "skiplist",
            Self::Stream => "stream",
        }
    }
}

impl Engine {
    /// Deletes a key; tells whether it existed.
    ///
    /// **Command** `DEL`, `UNLINK`. **Complexity** O(1); the value is dropped outside the lock.
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert!(engine.remove("k")? && !engine.remove("k")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool, OpError> {
        let key = key.as_ref();
        self.core.write(self.db, key, |write, hash| {
            write.detach_flights(key);
            let live = write.existing(hash, key).is_some_and(|old| old.live);
            write.remove(hash, key, RemovalCause::Deleted);
            Ok(live)
        })
    }

    /// Deletes keys, one after the other; returns how many existed.
    ///
    /// **Command** `DEL`, `UNLINK`. **Complexity** O(k), k the keys.
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("a", "1")?;
    /// assert_eq!(engine.del(&["a", "b"])?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn del<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<u64, OpError> {
        keys.iter().try_for_each(|key| self.core.check_declared(self.db, key.as_ref()))?;
        keys.iter().try_fold(0, |count, key| Ok(count + u64::from(self.remove(key)?)))
    }

    /// Returns whether a key exists.
    ///
    /// **Command** `EXISTS`. **Complexity** O(1).
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// assert!(!larder::Engine::new().exists("k")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Result<bool, OpError> {
        Ok(self.core.with_entry(self.db, key.as_ref(), |_| ())?.is_some())
    }

    /// Marks keys as used, without reading them; returns how many exist.
    ///
    /// **Command** `TOUCH`. **Complexity** O(k), k the keys.
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("a", "1")?;
    /// assert_eq!(engine.touch(&["a", "b"])?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn touch<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<u64, OpError> {
        keys.iter().try_fold(0, |count, key| Ok(count + u64::from(self.exists(key)?)))
    }

    /// Returns the type of a key's value, `None` if it does not exist.
    ///
    /// **Command** `TYPE`. **Complexity** O(1).
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert_eq!(engine.value_type("k")?.unwrap().name(), "string");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn value_type(&self, key: impl AsRef<[u8]>) -> Result<Option<ValueType>, OpError> {
        let key = key.as_ref();
        let found = self.core.peek_entry(self.db, key, ValueType::of)?;
        if found.is_none() {
            self.core.tell_of_miss(self.db, key);
        }
        Ok(found)
    }

    /// Gives a key another name; a value under the new name is replaced, the expiry goes along.
    ///
    /// **Command** `RENAME`. **Complexity** O(n), n the bytes of key and a small value.
    ///
    /// # Errors
    /// [`OpError::NoSuchKey`]; [`OpError::OutOfMemory`] if the new name needs more room than there is.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("a", "1")?;
    /// engine.rename("a", "b")?;
    /// assert_eq!(engine.get("b")?.unwrap(), "1");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn rename(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<(), OpError> {
        self.transfer(from.as_ref(), to.as_ref(), self.db, Transfer::RENAME).map(|_| ())
    }

    /// Gives a key another name unless that is taken; tells whether it did.
    ///
    /// **Command** `RENAMENX`. **Complexity** as [`rename`](Self::rename).
    ///
    /// # Errors
    /// As [`rename`](Self::rename).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_many(&[("a", "1"), ("b", "2")])?;
    /// assert!(!engine.rename_if_absent("a", "b")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn rename_if_absent(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<bool, OpError> {
        let how = Transfer { replace: false, ..Transfer::RENAME };
        self.transfer(from.as_ref(), to.as_ref(), self.db, how)
    }

    /// Copies a key with its expiry to a name in a database (this handle's or another's); tells whether it did: not
    /// if the source is absent, nor if the target exists and `replace` is off.
    ///
    /// **Command** `COPY`. **Complexity** O(n), n the bytes of key and a small value; a large one is shared.
    ///
    /// # Errors
    /// [`OpError::SameObject`], [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("a", "1")?;
    /// assert!(engine.copy("a", &engine.select(1)?, "a", false)?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn copy(
        &self,
        from: impl AsRef<[u8]>,
        target: &Self,
        to: impl AsRef<[u8]>,
        replace: bool,
    ) -> Result<bool, OpError> {
        let (from, to) = (from.as_ref(), to.as_ref());
        self.check_target(target)?;
        if self.db == target.db && from == to {
            return Err(OpError::SameObject);
        }
        let how = Transfer { replace, keep: true, must_exist: false };
        self.transfer(from, to, target.db, how)
    }

    /// Moves a key to another database; tells whether it did: not if it is absent, nor if it exists there.
    ///
    /// **Command** `MOVE`. **Complexity** O(n), n the bytes of key and a small value.
    ///
    /// # Errors
    /// [`OpError::SameObject`] if it is the same database.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("a", "1")?;
    /// assert!(engine.move_to("a", &engine.select(1)?)?);
    /// assert!(!engine.exists("a")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn move_to(&self, key: impl AsRef<[u8]>, target: &Self) -> Result<bool, OpError> {
        let key = key.as_ref();
        self.check_target(target)?;
        if self.db == target.db {
            return Err(OpError::SameObject);
        }
        let how = Transfer { replace: false, keep: false, must_exist: false };
        self.transfer(key, key, target.db, how)
    }

    fn check_target(&self, target: &Self) -> Result<(), OpError> {
        if self.core.is_same(&target.core) {
            Ok(())
        } else {
            Err(OpError::InvalidArgument("the target is a database of another engine"))
        }
    }

    fn transfer(&self, from: &[u8], to: &[u8], to_db: u16, how: Transfer) -> Result<bool, OpError> {
        check_key(to)?;
        let core = &*self.core;
        let hashes = [core.hash(from), core.hash(to)];
        core.write_pair((self.db, from), (to_db, to), |mut pair| {
            let found = pair.at_source(|source| {
                let address = source.existing(hashes[0], from)?.address;
                let blob = source.find(hashes[0], from)?;
                let mut scratch = Vec::new();
                Some((Blob::new(redraft(blob, to, &mut scratch)), address))
            });
            let Some((new, address)) = found else {
                return if how.must_exist { Err(OpError::NoSuchKey.into()) } else { Ok(false) };
            };
            if from == to && self.db == to_db {
                return Ok(how.replace);
            }
            let goes = pair.at_target(|target| {
                let old = target.existing(hashes[1], to);
                if old.is_some_and(|old| old.live) && !how.replace {
                    return Ok(false);
                }
                // In one shard the source may not be evicted to make room for its own copy.
                target.reserve_sparing(new.get(), old.as_ref(), Some(address)).map(|()| true)
            })?;
            if !goes {
                return Ok(false);
            }
            core.freshness.retain_tags(new.get().meta().map_or(0, CacheMeta::tags));
            let (left, came) = match (how.keep, self.db == to_db) {
                (true, _) => (None, event::COPY_TO),
                (false, true) => (Some(event::RENAME_FROM), event::RENAME_TO),
                (false, false) => (Some(event::MOVE_FROM), event::MOVE_TO),
            };
            pair.at_target(|target| {
                target.name(came);
                // Redis tells first of what has left.
                target.mute(left.is_some());
                target.put(hashes[1], new, Announce::Replaced);
            });
            if let Some(left) = left {
                pair.at_source(|source| {
                    source.name(left);
                    source.remove_silently(hashes[0], from);
                    source.mute(false);
                    source.notice(from, left);
                });
                pair.at_target(|target| target.notice(to, came));
            }
            Ok::<_, Refusal>(true)
        })
    }

    /// Returns how many keys the database has, those past their deadline and not yet removed included.
    ///
    /// **Command** `DBSIZE`. **Complexity** O(s), s the shards.
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// assert_eq!(larder::Engine::new().len()?, 0);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn len(&self) -> Result<u64, OpError> {
        (0..self.core.shards.len()).try_fold(0, |keys, shard| {
            let physical = self.core.physical(self.db);
            let here = self.core.read(shard, |state| state.table(physical).map_or(0, ShardIndex::len))?;
            Ok(keys + here as u64)
        })
    }

    /// Returns whether the database has no key.
    ///
    /// **Complexity** O(s), s the shards.
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// assert!(larder::Engine::new().is_empty()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool, OpError> {
        Ok(self.len()? == 0)
    }

    /// Deletes all keys of the database, shard by shard in steps; keys that come meanwhile may stay.
    ///
    /// **Command** `FLUSHDB`. **Complexity** O(n), n its keys; a lock is held for 256 of them at a time.
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// engine.flush()?;
    /// assert!(engine.is_empty()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn flush(&self) -> Result<(), OpError> {
        self.core.check_exclusive()?;
        self.core.freshness.refuse_fills();
        for shard in 0..self.core.shards.len() {
            while !self.core.write_in(shard, self.db, |write| Ok(write.clear_some(FLUSH_STEP)))? {}
        }
        Ok(())
    }

    /// Deletes all keys of all databases and named keyspaces.
    ///
    /// **Command** `FLUSHALL`. **Complexity** as [`flush`](Self::flush), over all databases.
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.select(5)?.set("k", "v")?;
    /// engine.flush_all()?;
    /// assert!(engine.select(5)?.is_empty()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn flush_all(&self) -> Result<(), OpError> {
        (0..self.core.databases()).try_for_each(|db| Self { core: self.core.clone(), db }.flush())
    }

    /// Exchanges the content of two numbered databases, at once for every handle.
    ///
    /// **Command** `SWAPDB`. **Complexity** O(s), s the shards, all of them locked meanwhile.
    ///
    /// # Errors
    /// [`OpError::NoSuchDatabase`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// engine.swap_databases(0, 1)?;
    /// assert!(engine.select(1)?.exists("k")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn swap_databases(&self, a: u16, b: u16) -> Result<(), OpError> {
        self.core.swap_databases(a, b)
    }

    /// Returns how a value is kept, `None` for an absent key.
    ///
    /// **Command** `OBJECT ENCODING`. **Complexity** O(1).
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("n", "42")?;
    /// assert_eq!(engine.encoding("n")?.unwrap().name(), "int");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn encoding(&self, key: impl AsRef<[u8]>) -> Result<Option<Encoding>, OpError> {
        self.core.peek_entry(self.db, key.as_ref(), Encoding::of)
    }

    /// Returns the access counter of a key under a policy that counts accesses, `None` for an absent key.
    ///
    /// **Command** `OBJECT FREQ`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::NotEnabled`] under a policy that does not count.
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, Policy};
    /// let engine = Engine::builder().max_entries(10).policy(Policy::AllKeysLfu).build()?;
    /// engine.set("k", "v")?;
    /// assert_eq!(engine.frequency("k")?, Some(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn frequency(&self, key: impl AsRef<[u8]>) -> Result<Option<u8>, OpError> {
        let policy = self.core.policy();
        if !policy.counts_accesses() {
            return Err(OpError::NotEnabled("a policy that counts accesses"));
        }
        let key = key.as_ref();
        let hash = self.core.hash(key);
        let core = &*self.core;
        core.check_declared(self.db, key)?;
        core.read(core.shard_of(hash), |state| {
            let blob = state.find(core.physical(self.db), hash, key).filter(|&blob| core.is_live(blob))?;
            Some(if policy == crate::Policy::Admission {
                frequency(blob.access())
            } else {
                decayed(blob.access(), core.now_ms() / 1_000)
            })
        })
    }

    /// Returns how many seconds ago a key was last used, `None` for an absent key.
    ///
    /// **Command** `OBJECT IDLETIME`. **Complexity** O(1). Exact to a second while the engine is used or maintained;
    /// counted modulo 48 days.
    ///
    /// # Errors
    /// [`OpError::NotEnabled`] under a policy that counts accesses and so does not keep times.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert_eq!(engine.idle_time("k")?.unwrap().as_secs(), 0);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn idle_time(&self, key: impl AsRef<[u8]>) -> Result<Option<std::time::Duration>, OpError> {
        if self.core.policy().counts_accesses() {
            return Err(OpError::NotEnabled("a policy that keeps access times"));
        }
        let seconds = self.core.now_ms() / 1_000;
        let stamp = self.core.peek_entry(self.db, key.as_ref(), |blob| blob.access())?;
        Ok(stamp.map(|stamp| std::time::Duration::from_secs(idle_seconds(stamp, seconds))))
    }

    /// Says that a key was last used `idle` ago (Redis: `RESTORE IDLETIME`); tells whether it exists.
    ///
    /// **Complexity** O(1).
    ///
    /// # Errors
    /// As [`idle_time`](Self::idle_time).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// engine.set_idle_time("k", Duration::from_secs(90))?;
    /// assert!(engine.idle_time("k")?.unwrap() >= Duration::from_secs(90));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_idle_time(&self, key: impl AsRef<[u8]>, idle: std::time::Duration) -> Result<bool, OpError> {
        if self.core.policy().counts_accesses() {
            return Err(OpError::NotEnabled("a policy that keeps access times"));
        }
        let stamp = stamp_idle_for(self.core.now_ms() / 1_000, idle.as_secs());
        let set = self.core.peek_entry(self.db, key.as_ref(), |blob| blob.set_access(stamp))?;
        Ok(set.is_some())
    }

    /// Returns how many owners a large value has, 1 for all others; `None` for an absent key.
    ///
    /// **Command** `OBJECT REFCOUNT`. **Complexity** O(1).
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert_eq!(engine.reference_count("k")?, Some(1));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn reference_count(&self, key: impl AsRef<[u8]>) -> Result<Option<usize>, OpError> {
        self.core.peek_entry(self.db, key.as_ref(), |blob| match blob.value() {
            ValueRef::Large(rope) => std::sync::Arc::strong_count(rope),
            ValueRef::Bytes(_) | ValueRef::Int(_) | ValueRef::Object(_) | ValueRef::Collection(_) => 1,
        })
    }

    /// Returns the bytes that a key is charged, `None` if it does not exist.
    ///
    /// **Command** `MEMORY USAGE`. **Complexity** O(1).
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert_eq!(engine.entry_bytes("k")?, Some(32));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn entry_bytes(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>, OpError> {
        let model = self.core.settings.model;
        self.core
            .peek_entry(self.db, key.as_ref(), |blob| crate::keyspace::shard::Cost::of(blob, model).bytes())
    }
}

/// What becomes of source and target.
#[derive(Debug, Clone, Copy)]
struct Transfer {
    replace: bool,
    keep: bool,
    must_exist: bool,
}

impl Transfer {
    const RENAME: Self = Self { replace: true, keep: false, must_exist: true };
}

/// One end of a transfer: what it needs of its shard.
impl Pair<'_, '_, '_> {
    pub(super) fn at_source<R>(&mut self, f: impl FnOnce(&mut ShardWrite<'_>) -> R) -> R {
        match self {
            Self::Same { write, from, .. } => {
                write.set_db(*from);
                f(write)
            }
            Self::Two { source, .. } => f(source),
        }
    }

    pub(super) fn at_target<R>(&mut self, f: impl FnOnce(&mut ShardWrite<'_>) -> R) -> R {
        match self {
            Self::Same { write, to, .. } => {
                write.set_db(*to);
                f(write)
            }
            Self::Two { target, .. } => f(target),
        }
    }
}
