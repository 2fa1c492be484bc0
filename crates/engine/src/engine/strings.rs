//! Reading strings: owned, in place, into a buffer; with an expiry changed or the key deleted on the way.

use std::time::Duration;

use super::store::{SetOptions, SetOutcome, redraft};
use super::{Engine, ValueType};
use crate::clock::UnixMillis;
use crate::error::OpError;
use crate::keyspace::blob::{Blob, Idle, ValueRef};
use crate::keyspace::meta::CacheMeta;
use crate::keyspace::write::Announce;
use crate::local::{self, Inside};
use crate::stats::{Counter, Operation};
use crate::value::{Taken, Value, integer_text};

impl Engine {
    /// Returns a value: copied when small, shared with the engine when larger than 4 KiB.
    ///
    /// **Command** `GET`. **Complexity** O(n), n the bytes of the key and of a small value.
    ///
    /// # Errors
    /// [`OpError::Codec`] if the entry is a decoded object that cannot be encoded.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert_eq!(engine.get("k")?.unwrap(), "v");
    /// assert!(engine.get("other")?.is_none());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[inline]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, OpError> {
        self.get_bytes(key.as_ref())
    }

    /// The hit of a small value is written out here rather than through a closure, so that its bytes are copied once,
    /// into the caller's value.
    #[inline]
    fn get_bytes(&self, key: &[u8]) -> Result<Option<Value>, OpError> {
        let core = &*self.core;
        let _measured = core.measure(Operation::Read);
        let hash = core.hash(key);
        let taken = if local::in_section() {
            match self.take_held(key)? {
                Some(taken) => taken,
                None => return Ok(None),
            }
        } else {
            let state = core.lock_shared(hash)?;
            let found = state.find(core.physical(self.db), hash, key).filter(|&blob| core.is_live(blob));
            let Some(blob) = found else {
                core.counters.add(Counter::Misses, 1);
                drop(state);
                core.tell_of_miss(self.db, key);
                return Ok(None);
            };
            core.touch(&state, blob);
            core.counters.add(Counter::Hits, 1);
            if let ValueRef::Bytes(bytes) = blob.value() {
                return Ok(Some(Value::copy(bytes)));
            }
            Taken::from(blob.value())
        };
        self.finish(key, taken).map(Some)
    }

    /// What a key holds, inside a transaction.
    #[cold]
    fn take_held(&self, key: &[u8]) -> Result<Option<Taken>, OpError> {
        self.core.with_entry(self.db, key, |blob| Taken::from(blob.value()))
    }

    /// Makes a value of what could not be finished under the lock.
    #[cold]
    pub(crate) fn finish(&self, key: &[u8], taken: Taken) -> Result<Value, OpError> {
        if matches!(taken, Taken::Object(_)) {
            // Best effort: without room for the bytes the read still answers.
            match self.ensure_bytes(key) {
                Ok(()) | Err(OpError::OutOfMemory { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        taken.into_value(key)
    }

    /// Shows a value to `f` in place, without a copy, and returns what `f` returns.
    ///
    /// **Command** `GET`. **Complexity** O(n), n the bytes of the key. `f` runs under the shard's read lock: keep it
    /// short. (A value above 4 KiB that APPEND has made of pieces is joined first, and then shown outside the lock.)
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Panics
    /// If `f` calls any engine.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "value")?;
    /// assert_eq!(engine.get_with("k", |bytes| bytes.len())?, Some(5));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[inline]
    pub fn get_with<R>(
        &self,
        key: impl AsRef<[u8]>,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, OpError> {
        let key = key.as_ref();
        let mut f = Some(f);
        let seen = self.core.with_entry(self.db, key, |blob| {
            let mut show = |bytes: &[u8]| {
                let _inside = Inside::enter();
                f.take().map(|f| f(bytes))
            };
            match blob.value() {
                ValueRef::Bytes(bytes) => Ok(show(bytes)),
                ValueRef::Int(number) => Ok(show(integer_text(number).as_bytes())),
                ValueRef::Large(rope) => match rope.as_slice() {
                    Some(bytes) => Ok(show(bytes)),
                    None => Err(Taken::Large(rope.clone())),
                },
                ValueRef::Object(_) | ValueRef::Collection(_) => Err(Taken::from(blob.value())),
            }
        })?;
        match (seen, f) {
            (None, _) => Ok(None),
            (Some(Ok(result)), _) => Ok(result),
            (Some(Err(taken)), Some(f)) => {
                let value = self.finish(key, taken)?;
                let _inside = Inside::enter();
                Ok(Some(f(&value)))
            }
            (Some(Err(_)), None) => unreachable!("a closure that has run has returned its result"),
        }
    }

    /// Copies a value into a buffer, whose former content goes; tells whether the key exists.
    ///
    /// **Command** `GET`. **Complexity** O(n), n the bytes of key and value. Allocates only if the buffer is too small.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// let mut buffer = Vec::new();
    /// assert!(engine.get_into("k", &mut buffer)?);
    /// assert_eq!(buffer, b"v");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[inline]
    pub fn get_into(&self, key: impl AsRef<[u8]>, buffer: &mut Vec<u8>) -> Result<bool, OpError> {
        buffer.clear();
        let found = self.get_with(key, |bytes| buffer.extend_from_slice(bytes))?;
        Ok(found.is_some())
    }

    /// Returns a value without leaving a trace: no access mark, no count.
    ///
    /// **Complexity** O(n), n the bytes of key and value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert_eq!(engine.peek("k")?.unwrap(), "v");
    /// assert_eq!(engine.stats().hits, 0);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn peek(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, OpError> {
        let key = key.as_ref();
        let taken = self.core.peek_entry(self.db, key, |blob| Taken::from(blob.value()))?;
        taken.map(|taken| taken.into_value(key)).transpose()
    }

    /// Stores a value and returns the one that was there; an expiry is gone.
    ///
    /// **Command** `GETSET`. **Complexity** O(n), n the bytes of key and values.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert!(engine.get_set("k", "1")?.is_none());
    /// assert_eq!(engine.get_set("k", "2")?.unwrap(), "1");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn get_set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Option<Value>, OpError> {
        match self.set_with(key, value, SetOptions::new().return_old())? {
            SetOutcome::Stored { old } | SetOutcome::Refused { old } => Ok(old),
        }
    }

    /// Deletes a key and returns the value that it had.
    ///
    /// **Command** `GETDEL`. **Complexity** O(n), n the bytes of key and value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert_eq!(engine.get_del("k")?.unwrap(), "v");
    /// assert!(!engine.exists("k")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn get_del(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, OpError> {
        let key = key.as_ref();
        loop {
            // Without room for the bytes of an object they are made after it was taken out.
            let room = match self.ensure_bytes(key) {
                Ok(()) => true,
                Err(OpError::OutOfMemory { .. }) => false,
                Err(error) => return Err(error),
            };
            let taken = self.core.write(self.db, key, |write, hash| {
                let Some(blob) = write.find(hash, key) else { return Ok(Some(None)) };
                let taken = Taken::from(blob.value());
                if room && matches!(taken, Taken::Object(_)) {
                    return Ok(None);
                }
                if let Taken::Collection(found) = taken {
                    return Err(OpError::wrong_type(key, ValueType::String, found).into());
                }
                write.remove(hash, key, crate::RemovalCause::Deleted);
                Ok(Some(Some(taken)))
            })?;
            if let Some(taken) = taken {
                let counter = if taken.is_some() { Counter::Hits } else { Counter::Misses };
                self.core.counters.add(counter, 1);
                if taken.is_none() {
                    self.core.tell_of_miss(self.db, key);
                }
                return taken.map(|taken| taken.into_value(key)).transpose();
            }
        }
    }

    /// Returns a value and sets its expiry anew: a TTL, a point in time, or none
    /// ([`SetOptions::no_expiry`]); conditions among the options are ignored.
    ///
    /// **Command** `GETEX`. **Complexity** O(n), n the bytes of key and value.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`OpError::InvalidExpiry`].
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, SetOptions, Ttl};
    /// let engine = Engine::new();
    /// engine.set("k", "v")?;
    /// engine.get_ex("k", SetOptions::new().ttl(std::time::Duration::from_secs(9)))?;
    /// assert!(matches!(engine.ttl("k")?, Ttl::After(_)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn get_ex(&self, key: impl AsRef<[u8]>, options: SetOptions) -> Result<Option<Value>, OpError> {
        let key = key.as_ref();
        let value = self.get(key)?;
        if value.is_some() && options != SetOptions::new() {
            self.core.write(self.db, key, |write, hash| {
                let now = write.now_ms();
                let kept = write.existing(hash, key).and_then(|old| old.kept);
                let (deadline, idle) = write.core.times(&options, || now, kept)?;
                self.rebuild_times(write, hash, key, deadline, idle, now)
            })?;
        }
        Ok(value)
    }

    /// Gives an entry these times; one whose deadline has passed is deleted. Tells whether there was an entry.
    pub(super) fn rebuild_times(
        &self,
        write: &mut crate::keyspace::write::ShardWrite<'_>,
        hash: crate::hash::KeyHash,
        key: &[u8],
        deadline: Option<u64>,
        idle: Option<Idle>,
        now: u64,
    ) -> Result<bool, crate::keyspace::Refusal> {
        let old = write.existing(hash, key).filter(|old| old.live);
        let Some(blob) = write.find(hash, key) else { return Ok(false) };
        if deadline.is_some_and(|deadline| deadline <= now) {
            write.remove(hash, key, crate::RemovalCause::Deleted);
            return Ok(true);
        }
        let had = blob.deadline_ms();
        if let (Some(deadline), Some(_), None, None) = (deadline, had, idle, blob.idle()) {
            write.move_deadline(hash, key, deadline);
            return Ok(true);
        }
        if deadline.is_none() && had.is_none() {
            return Ok(true);
        }
        let mut scratch = Vec::new();
        let mut draft = redraft(blob, key, &mut scratch);
        (draft.deadline_ms, draft.idle) = (deadline, idle);
        let new = Blob::new(draft);
        // Not refused for want of room: EXPIRE works under noeviction, too. What it takes is taken from the limit all
        // the same, so the next write makes room for it.
        if write.core.policy() != crate::Policy::NoEviction {
            write.reserve(new.get(), old.as_ref())?;
        }
        write.core.freshness.retain_tags(new.get().meta().map_or(0, CacheMeta::tags));
        write.put(hash, new, Announce::Rebuilt);
        Ok(true)
    }

    /// Returns the bytes of a value, 0 for an absent key.
    ///
    /// **Command** `STRLEN`. **Complexity** O(1).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "value")?;
    /// assert_eq!(engine.strlen("k")?, 5);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn strlen(&self, key: impl AsRef<[u8]>) -> Result<u64, OpError> {
        let key = key.as_ref();
        let bytes = self.core.with_entry(self.db, key, |blob| match blob.value() {
            ValueRef::Bytes(bytes) => Ok(bytes.len()),
            ValueRef::Int(number) => Ok(integer_text(number).as_bytes().len()),
            ValueRef::Large(rope) => Ok(rope.len()),
            ValueRef::Object(_) | ValueRef::Collection(_) => Err(Taken::from(blob.value())),
        })?;
        Ok(match bytes {
            None => 0,
            Some(Ok(bytes)) => bytes as u64,
            Some(Err(taken)) => self.finish(key, taken)?.len() as u64,
        })
    }

    /// Replaces a value by what `f` makes of it: `None` deletes the key.
    ///
    /// **Complexity** O(n), n the bytes of key and values. `f` runs outside every lock and may call the engine; if
    /// another writer came between, it runs again with the new value (optimistic, so keep it free of side effects).
    /// The expiry is kept. Returns the value that is there now.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let longer = |old: Option<&[u8]>| Some([old.unwrap_or(b""), b"x"].concat());
    /// engine.update("k", longer)?;
    /// assert_eq!(engine.update("k", longer)?.unwrap(), "xx");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn update(
        &self,
        key: impl AsRef<[u8]>,
        mut f: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<Value>, OpError> {
        let key = key.as_ref();
        loop {
            let old = self.get(key)?;
            let new = f(old.as_deref());
            let done = match (&old, &new) {
                (None, None) => true,
                (Some(old), None) => self.remove_if_equal(key, old)?,
                (None, Some(new)) => self.set_with(key, new, SetOptions::new().if_absent())?.is_stored(),
                (Some(old), Some(new)) => self.compare_and_set(key, old, new)?,
            };
            if done {
                return Ok(new.map(Value::from_vec));
            }
        }
    }

    /// Deletes a key if its value has these bytes; tells whether it did (Redis: `DELIFEQ`).
    ///
    /// **Complexity** O(n), n the bytes of key and value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("lock", "mine")?;
    /// assert!(!engine.remove_if_equal("lock", "yours")?);
    /// assert!(engine.remove_if_equal("lock", "mine")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove_if_equal(
        &self,
        key: impl AsRef<[u8]>,
        expected: impl AsRef<[u8]>,
    ) -> Result<bool, OpError> {
        let (key, expected) = (key.as_ref(), expected.as_ref());
        loop {
            self.ensure_bytes(key)?;
            let removed = self.core.write(self.db, key, |write, hash| {
                let Some(blob) = write.find(hash, key) else { return Ok(Some(false)) };
                let same = match blob.value() {
                    ValueRef::Bytes(bytes) => Some(bytes == expected),
                    ValueRef::Int(number) => Some(integer_text(number).as_bytes() == expected),
                    ValueRef::Large(rope) => Some(rope.equals(expected)),
                    ValueRef::Collection(held) => return Err(OpError::not_a_string(key, held).into()),
                    ValueRef::Object(_) => None,
                };
                match same {
                    None => Ok(None),
                    Some(false) => Ok(Some(false)),
                    Some(true) => Ok(Some(write.remove(hash, key, crate::RemovalCause::Deleted))),
                }
            })?;
            if let Some(removed) = removed {
                return Ok(removed);
            }
        }
    }

    /// The deadline of a live key.
    pub(super) fn deadline(&self, key: &[u8]) -> Result<Option<Option<UnixMillis>>, OpError> {
        let deadline = self.core.peek_entry(self.db, key, |blob| blob.deadline_ms())?;
        Ok(deadline.map(|deadline| deadline.map(UnixMillis)))
    }

    /// Stores a value that expires after `span`.
    ///
    /// **Command** `SETEX`, `PSETEX`. **Complexity** O(n), n the bytes of key and value.
    ///
    /// # Errors
    /// As [`set`](Self::set), and [`OpError::InvalidExpiry`] for a span below a millisecond.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_ex("k", std::time::Duration::from_secs(60), "v")?;
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_ex(
        &self,
        key: impl AsRef<[u8]>,
        span: Duration,
        value: impl AsRef<[u8]>,
    ) -> Result<(), OpError> {
        self.set_with(key, value, SetOptions::new().ttl(span)).map(|_| ())
    }

    /// Stores a value only if the key does not exist; tells whether it did.
    ///
    /// **Command** `SETNX`. **Complexity** O(n), n the bytes of key and value.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert!(engine.set_if_absent("k", "1")? && !engine.set_if_absent("k", "2")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_if_absent(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool, OpError> {
        Ok(self.set_with(key, value, SetOptions::new().if_absent())?.is_stored())
    }
}
