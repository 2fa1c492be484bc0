//! Counters: integers lie in the entry as such and are changed in place; floats are added in decimal.

use super::Engine;
use super::store::redraft;
use crate::collections::string::long_double::{FloatSumError, add_texts};
use crate::collections::string::number::parse_i64;
use crate::error::OpError;
use crate::feed::event;
use crate::keyspace::blob::{Blob, Content, Draft, ValueRef};
use crate::keyspace::interest::Touch;
use crate::keyspace::write::Announce;
use crate::stats::Counter;
use crate::value::Value;

impl Engine {
    /// Adds one to a counter; an absent key counts as 0. The expiry is kept.
    ///
    /// **Command** `INCR`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::NotAnInteger`], [`OpError::Overflow`], [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert_eq!((engine.incr("n")?, engine.incr("n")?), (1, 2));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn incr(&self, key: impl AsRef<[u8]>) -> Result<i64, OpError> {
        self.incr_by(key, 1)
    }

    /// Takes one off a counter.
    ///
    /// **Command** `DECR`. **Complexity** O(1).
    ///
    /// # Errors
    /// As [`incr`](Self::incr).
    ///
    /// # Examples
    /// ```
    /// assert_eq!(larder::Engine::new().decr("n")?, -1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn decr(&self, key: impl AsRef<[u8]>) -> Result<i64, OpError> {
        self.incr_by(key, -1)
    }

    /// Takes `by` off a counter.
    ///
    /// **Command** `DECRBY`. **Complexity** O(1).
    ///
    /// # Errors
    /// As [`incr`](Self::incr); [`OpError::Overflow`] for `i64::MIN`, which has no opposite.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(larder::Engine::new().decr_by("n", 5)?, -5);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn decr_by(&self, key: impl AsRef<[u8]>, by: i64) -> Result<i64, OpError> {
        self.incr_by(key, by.checked_neg().ok_or(OpError::Overflow)?)
    }

    /// Adds `by` to a counter.
    ///
    /// **Command** `INCRBY`. **Complexity** O(1).
    ///
    /// # Errors
    /// As [`incr`](Self::incr).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("n", "10")?;
    /// assert_eq!(engine.incr_by("n", 5)?, 15);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn incr_by(&self, key: impl AsRef<[u8]>, by: i64) -> Result<i64, OpError> {
        let key = key.as_ref();
        super::check_key(key)?;
        let weight = self.fresh_weight(key);
        loop {
            let sum = self.core.write(self.db, key, |write, hash| {
                write.name(event::INCRBY);
                write.save(hash, key);
                let Some(blob) = write.find(hash, key) else {
                    let old = write.existing(hash, key);
                    let blob = Blob::new(self.fresh_draft(key, Content::Int(by), weight, write.now_ms())?);
                    write.reserve(blob.get(), old.as_ref())?;
                    write.put(hash, blob, Announce::Replaced);
                    return Ok(Some(by));
                };
                let now = match blob.value() {
                    ValueRef::Int(number) => number,
                    ValueRef::Bytes(bytes) => parse_i64(bytes).ok_or(OpError::NotAnInteger)?,
                    ValueRef::Large(_) => return Err(OpError::NotAnInteger.into()),
                    ValueRef::Collection(held) => return Err(OpError::not_a_string(key, held).into()),
                    ValueRef::Object(_) => return Ok(None),
                };
                let sum = now.checked_add(by).ok_or(OpError::Overflow)?;
                if matches!(blob.value(), ValueRef::Int(_))
                    && blob.object().is_none()
                    && blob.meta().is_none()
                {
                    blob.set_integer(sum);
                    if write.is_recording() {
                        write.record_entry(hash, key);
                    }
                    write.touched(key, Touch::Changed);
                    write.touch(hash, key);
                    write.core.counters.add(Counter::Updates, 1);
                    return Ok(Some(sum));
                }
                let mut scratch = Vec::new();
                let mut draft = redraft(blob, key, &mut scratch);
                (draft.content, draft.object, draft.meta) = (Content::Int(sum), None, None);
                let blob = Blob::new(draft);
                let old = write.existing(hash, key);
                write.reserve(blob.get(), old.as_ref())?;
                write.put(hash, blob, Announce::Replaced);
                Ok(Some(sum))
            })?;
            match sum {
                Some(sum) => return Ok(sum),
                None => self.ensure_bytes(key)?,
            }
        }
    }

    /// Adds to a number with a fraction and returns the sum's text; an absent key counts as 0. The expiry is kept.
    ///
    /// **Command** `INCRBYFLOAT`. **Complexity** O(1). The sum is computed as Redis computes it, in 80-bit floating
    /// point, and written with at most 17 decimals, so `0.1 + 0.2` is `0.3`.
    ///
    /// # Errors
    /// [`OpError::NotAFloat`] if value or increment is none, [`OpError::Overflow`] if the sum is not finite.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("x", "10.50")?;
    /// assert_eq!(engine.incr_by_float("x", "0.1")?, "10.6");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn incr_by_float(&self, key: impl AsRef<[u8]>, by: impl AsRef<[u8]>) -> Result<Value, OpError> {
        let (key, by) = (key.as_ref(), by.as_ref());
        super::check_key(key)?;
        let weight = self.fresh_weight(key);
        let add = |text: &[u8]| {
            add_texts(text, by).map_err(|error| match error {
                FloatSumError::NotAFloat => OpError::NotAFloat,
                FloatSumError::NotFinite => OpError::Overflow,
            })
        };
        loop {
            let sum = self.core.write(self.db, key, |write, hash| {
                write.name(event::INCRBYFLOAT);
                let Some(blob) = write.find(hash, key) else {
                    let sum = add(b"0")?;
                    let old = write.existing(hash, key);
                    let content = Content::Raw(sum.as_bytes());
                    let blob = Blob::new(self.fresh_draft(key, content, weight, write.now_ms())?);
                    write.reserve(blob.get(), old.as_ref())?;
                    write.put(hash, blob, Announce::Replaced);
                    return Ok(Some(sum));
                };
                let sum = match blob.value() {
                    ValueRef::Int(number) => add(crate::value::integer_text(number).as_bytes())?,
                    ValueRef::Bytes(bytes) => add(bytes)?,
                    ValueRef::Large(_) => return Err(OpError::NotAFloat.into()),
                    ValueRef::Collection(held) => return Err(OpError::not_a_string(key, held).into()),
                    ValueRef::Object(_) => return Ok(None),
                };
                let mut scratch = Vec::new();
                let mut draft = redraft(blob, key, &mut scratch);
                (draft.content, draft.object, draft.meta) = (Content::Raw(sum.as_bytes()), None, None);
                let blob = Blob::new(draft);
                let old = write.existing(hash, key);
                write.reserve(blob.get(), old.as_ref())?;
                write.put(hash, blob, Announce::Replaced);
                Ok(Some(sum))
            })?;
            match sum {
                Some(sum) => return Ok(Value::from_vec(sum.into_bytes())),
                None => self.ensure_bytes(key)?,
            }
        }
    }

    /// The weight of a key that an operation other than SET makes; asked for before the lock is taken, because the
    /// weigher is the user's.
    pub(crate) fn fresh_weight(&self, key: &[u8]) -> Option<u32> {
        self.core.settings.weigher.as_ref().map(|weigher| weigher(key, &[]))
    }

    /// A draft of such a key.
    pub(super) fn fresh_draft<'a>(
        &self,
        key: &'a [u8],
        content: Content<'a>,
        weight: Option<u32>,
        now_ms: u64,
    ) -> Result<Draft<'a>, OpError> {
        let mut draft = Draft::new(key, content);
        (draft.deadline_ms, draft.idle) = self.core.times(&super::SetOptions::new(), || now_ms, None)?;
        draft.weight = weight;
        Ok(draft)
    }
}
