//! Hashes: a typed handle to one, its reads and its writes.
//!
//! ```text
//! hash.rs        HGET HMGET HEXISTS HLEN HSTRLEN, HSET HMSET HSETNX HDEL HGETDEL HINCRBY HINCRBYFLOAT
//! hash/expiry.rs HEXPIRE and its kin, HTTL and its kin, HPERSIST HGETEX HSETEX
//! hash/walk.rs   HGETALL HKEYS HVALS HSCAN HRANDFIELD: over a captured root, outside of any lock
//! ```
//! A field past its deadline is not there for any of them. Those that a write meets are taken out at its end, a few at a time;
//! the rest goes with maintenance.

mod expiry;
mod walk;

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;

use super::beside::change_many;
use super::place::{self, At, Key, Owned, Place};
use super::{Engine, check_value};
use crate::clock::UnixMillis;
use crate::collections::Body as _;
use crate::collections::hash::{Entry, Hash as Body, is_live};
use crate::collections::packed::Packed;
use crate::collections::string::long_double::{FloatSumError, LongDouble, add_texts};
use crate::collections::string::number::parse_i64;
use crate::effect::Delta;
use crate::error::OpError;
use crate::feed::event;
use crate::keyspace::collect::{Absent, Change};
use crate::typed::{Arg, Element, decode};
use crate::value::{Value, integer_text};

pub use expiry::{Expiry, FieldExpiry, FieldPersist, FieldSetOptions, FieldTtl};
pub use walk::{HashEntries, HashFields, HashPage, HashValues, RandomEntries};

/// What a new field may take beside its bytes.
const FIELD_ROOM_BYTES: usize = 64;
/// Fields past their deadline that a write takes out on its way.
const SWEEP: usize = 16;

/// A hash: fields of type `F` with values of type `V` under one key, each field with a deadline of its own if it has one.
///
/// Made by [`Engine::hash`], without a look-up: the key need not exist. Every method is atomic.
///
/// # Examples
/// ```
/// let engine = larder::Engine::new();
/// let user = engine.hash::<String, String>("user:7");
/// user.set("name", "Ann")?;
/// user.set_many([("mail", "ann@example.org"), ("lang", "en")])?;
/// assert_eq!(user.get("name")?.as_deref(), Some("Ann"));
/// assert_eq!(user.len()?, 3);
/// # Ok::<(), larder::OpError>(())
/// ```
pub struct Hash<F = Bytes, V = Bytes, P = Owned> {
    place: P,
    types: PhantomData<fn() -> (F, V)>,
}

impl<F, V, P: Clone> Clone for Hash<F, V, P> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), types: PhantomData }
    }
}

impl<F, V, P: fmt::Debug> fmt::Debug for Hash<F, V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hash").field(&self.place).finish()
    }
}

impl Engine {
    /// Returns a handle to the hash under a key.
    ///
    /// **Complexity** O(1), no look-up.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set("apples", 3)?;
    /// assert_eq!(stock.get("apples")?, Some(3));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn hash<'a, F: Element, V: Element>(&'a self, key: impl Into<Key<'a>>) -> Hash<F, V, At<'a>> {
        Hash { place: At::new(self, key), types: PhantomData }
    }
}

impl<F: Element, V: Element> Hash<F, V, At<'_>> {
    /// Returns the same handle with a key and an engine of its own, to be kept.
    #[must_use]
    pub fn into_owned(self) -> Hash<F, V, Owned> {
        Hash { place: self.place.into_owned(), types: PhantomData }
    }
}

// Reads.
impl<F: Element, V: Element, P: Place> Hash<F, V, P> {
    /// Returns the value of a field.
    ///
    /// **Command** `HGET`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set("apples", 3)?;
    /// assert_eq!((stock.get("apples")?, stock.get("pears")?), (Some(3), None));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn get(&self, field: impl Arg<F>) -> Result<Option<V>, OpError> {
        let value = self.with(field, |field| {
            self.read(|body, now| body.get(field, now).map(|entry| Value::copy(entry.value)))
        })?;
        value.flatten().map(|value| self.decoded(&value)).transpose()
    }

    /// Returns the values of several fields, in their order.
    ///
    /// **Command** `HMGET`. **Complexity** O(k), k the fields asked for.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set("apples", 3)?;
    /// assert_eq!(stock.get_many(["apples", "pears"])?, [Some(3), None]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn get_many<A: Arg<F>>(
        &self,
        fields: impl IntoIterator<Item = A>,
    ) -> Result<Vec<Option<V>>, OpError> {
        let fields = self.packed(fields)?;
        let read = |body: &Body, now| -> Vec<Option<Value>> {
            let value = |field| body.get(field, now).map(|entry| Value::copy(entry.value));
            fields.iter().map(value).collect()
        };
        let values = self.read(read)?.unwrap_or_else(|| vec![None; fields.len()]);
        self.decoded_all(values)
    }

    /// Returns whether there is a field.
    ///
    /// **Command** `HEXISTS`. **Complexity** O(1).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set("apples", 3)?;
    /// assert!(stock.contains("apples")? && !stock.contains("pears")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn contains(&self, field: impl Arg<F>) -> Result<bool, OpError> {
        self.with(field, |field| Ok(self.read(|body, now| body.get(field, now).is_some())?.unwrap_or(false)))
    }

    /// Returns how many fields there are.
    ///
    /// **Command** `HLEN`. **Complexity** O(1); O(n) while fields past their deadline wait for their removal, which are not
    /// counted.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set_many([("apples", 3), ("pears", 4)])?;
    /// assert_eq!(stock.len()?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn len(&self) -> Result<u64, OpError> {
        let counted = self.read(|body, now| {
            let due = body.is_due(now);
            (if due { None } else { Some(body.len()) }, due.then(|| body.clone()), now)
        })?;
        // Counting what is live is long, so it looks at a capture.
        Ok(counted.map_or(0, |(len, capture, now)| {
            len.or_else(|| capture.map(|body| body.live_len(now))).unwrap_or(0) as u64
        }))
    }

    /// Returns whether there is no field.
    ///
    /// **Complexity** as [`len`](Self::len).
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert!(engine.hash::<String, u32>("stock").is_empty()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool, OpError> {
        Ok(self.len()? == 0)
    }

    /// Returns the length in bytes of a field's value, 0 for a field that is not there.
    ///
    /// **Command** `HSTRLEN`. **Complexity** O(1).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let user = engine.hash::<String, String>("user:7");
    /// user.set("name", "Ann")?;
    /// assert_eq!((user.value_len("name")?, user.value_len("mail")?), (3, 0));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn value_len(&self, field: impl Arg<F>) -> Result<u64, OpError> {
        self.with(field, |field| {
            let len = self.read(|body, now| body.get(field, now).map_or(0, |entry| entry.value.len()))?;
            Ok(len.unwrap_or(0) as u64)
        })
    }
}

// Writes.
impl<F: Element, V: Element, P: Place> Hash<F, V, P> {
    /// Gives a field a value; a deadline that the field had goes. Tells whether the field is new.
    ///
    /// **Command** `HSET`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`]; [`OpError::ValueTooLong`]; [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// assert!(stock.set("apples", 3)?);
    /// assert!(!stock.set("apples", 5)?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set(&self, field: impl Arg<F>, value: impl Arg<V>) -> Result<bool, OpError> {
        let created = self.with_pair(field, value, |field, value| {
            self.change(Absent::Create, pair_room(field, value), |change| Ok(put(change, field, value, None)))
        })?;
        Ok(created.unwrap_or(false))
    }

    /// Gives several fields their values at once; the last one wins where a field comes twice. Returns how many are new.
    ///
    /// **Command** `HSET`, `HMSET`. **Complexity** O(k), k the pairs.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// assert_eq!(stock.set_many([("apples", 3), ("pears", 4)])?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_many<A: Arg<F>, B: Arg<V>>(
        &self,
        pairs: impl IntoIterator<Item = (A, B)>,
    ) -> Result<u64, OpError> {
        let pairs = self.packed_pairs(pairs)?;
        let created = self.change_many(Absent::Create, room(&pairs), pairs.len() / 2, |change| {
            let mut created = 0;
            for (field, value) in in_pairs(&pairs) {
                created += u64::from(put(change, field, value, None));
            }
            Ok(created)
        })?;
        Ok(created.unwrap_or(0))
    }

    /// Gives a field a value if it is not there yet; tells whether it did.
    ///
    /// **Command** `HSETNX`. **Complexity** O(1).
    ///
    /// # Errors
    /// As [`set`](Self::set).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// assert!(stock.set_if_absent("apples", 3)?);
    /// assert!(!stock.set_if_absent("apples", 5)?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_if_absent(&self, field: impl Arg<F>, value: impl Arg<V>) -> Result<bool, OpError> {
        let stored = self.with_pair(field, value, |field, value| {
            self.change(Absent::Create, pair_room(field, value), |change| {
                Ok(live(change, field).is_none() && put(change, field, value, None))
            })
        })?;
        Ok(stored.unwrap_or(false))
    }

    /// Takes a field out; tells whether it was there. The key goes with its last field.
    ///
    /// **Command** `HDEL`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set("apples", 3)?;
    /// assert!(stock.remove("apples")? && !engine.exists("stock")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove(&self, field: impl Arg<F>) -> Result<bool, OpError> {
        let removed =
            self.with(field, |field| self.change(Absent::Skip, 0, |change| Ok(remove(change, field))))?;
        Ok(removed.unwrap_or(false))
    }

    /// Takes several fields out at once; returns how many were there.
    ///
    /// **Command** `HDEL`. **Complexity** O(k), k the fields.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set_many([("apples", 3), ("pears", 4)])?;
    /// assert_eq!(stock.remove_many(["apples", "plums"])?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove_many<A: Arg<F>>(&self, fields: impl IntoIterator<Item = A>) -> Result<u64, OpError> {
        let fields = self.packed(fields)?;
        let removed = self.change_many(Absent::Skip, 0, fields.len(), |change| {
            Ok(fields.iter().map(|field| u64::from(remove(change, field))).sum())
        })?;
        Ok(removed.unwrap_or(0))
    }

    /// Takes a field out and returns its value.
    ///
    /// **Command** `HGETDEL`. **Complexity** O(1).
    ///
    /// # Errors
    /// As [`get`](Self::get). A value that cannot be decoded is gone nevertheless.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set("apples", 3)?;
    /// assert_eq!((stock.take("apples")?, stock.take("apples")?), (Some(3), None));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn take(&self, field: impl Arg<F>) -> Result<Option<V>, OpError> {
        let taken =
            self.with(field, |field| self.change(Absent::Skip, 0, |change| Ok(take(change, field))))?;
        taken.flatten().map(|value| self.decoded(&value)).transpose()
    }

    /// Takes several fields out at once and returns their values, in their order.
    ///
    /// **Command** `HGETDEL`. **Complexity** O(k), k the fields.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set_many([("apples", 3), ("pears", 4)])?;
    /// assert_eq!(stock.take_many(["pears", "plums"])?, [Some(4), None]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn take_many<A: Arg<F>>(
        &self,
        fields: impl IntoIterator<Item = A>,
    ) -> Result<Vec<Option<V>>, OpError> {
        let fields = self.packed(fields)?;
        let taken = self.change_many(Absent::Skip, 0, fields.len(), |change| {
            Ok(fields.iter().map(|field| take(change, field)).collect())
        })?;
        self.decoded_all(taken.unwrap_or_else(|| vec![None; fields.len()]))
    }

    /// Adds to an integer and returns the sum; a field that is not there counts as 0. A deadline stays.
    ///
    /// **Command** `HINCRBY`. **Complexity** O(1).
    ///
    /// # Errors
    /// As [`set`](Self::set); [`OpError::NotAnInteger`] for another value; [`OpError::Overflow`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, i64>("stock");
    /// stock.set("apples", 3)?;
    /// assert_eq!((stock.incr_by("apples", 2)?, stock.incr_by("pears", -1)?), (5, -1));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn incr_by(&self, field: impl Arg<F>, by: i64) -> Result<i64, OpError> {
        self.with(field, |field| {
            let sum = self.change(Absent::Create, field.len() + FIELD_ROOM_BYTES, |change| {
                change.name(event::HINCRBY);
                let old = live(change, field);
                let number = old.map_or(Some(0), |old| parse_i64(old.value)).ok_or(OpError::NotAnInteger)?;
                let deadline = old.and_then(|old| old.deadline_ms);
                let sum = number.checked_add(by).ok_or(OpError::Overflow)?;
                put(change, field, integer_text(sum).as_bytes(), deadline);
                Ok(sum)
            })?;
            Ok(sum.unwrap_or(by))
        })
    }

    /// Adds to a number with a fraction and returns the sum's text; a field that is not there counts as 0. A deadline stays.
    ///
    /// **Command** `HINCRBYFLOAT`. **Complexity** O(1).
    ///
    /// # Errors
    /// As [`set`](Self::set); [`OpError::InvalidArgument`] for an increment that is no finite number; [`OpError::NotAFloat`] for
    /// a value that is none; [`OpError::Overflow`] for a sum that is not finite.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, f64>("stock");
    /// stock.set("flour", 10.5)?;
    /// assert_eq!(stock.incr_by_float("flour", "0.1")?, "10.6");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn incr_by_float(&self, field: impl Arg<F>, by: impl AsRef<[u8]>) -> Result<Value, OpError> {
        let by = by.as_ref();
        if !matches!(LongDouble::parse(by), Some(LongDouble::Finite { .. })) {
            return Err(OpError::InvalidArgument("the increment is not a finite number"));
        }
        self.with(field, |field| {
            let room = field.len() + by.len() + FIELD_ROOM_BYTES;
            let sum = self.change(Absent::Create, room, |change| {
                change.name(event::HINCRBYFLOAT);
                let old = live(change, field);
                let sum = add_texts(old.map_or(b"0", |old| old.value), by).map_err(|error| match error {
                    FloatSumError::NotAFloat => OpError::NotAFloat,
                    FloatSumError::NotFinite => OpError::Overflow,
                })?;
                let deadline = old.and_then(|old| old.deadline_ms);
                put(change, field, sum.as_bytes(), deadline);
                Ok(sum)
            })?;
            Ok(Value::from_vec(sum.unwrap_or_default().into_bytes()))
        })
    }
}

// What all of them share.
impl<F: Element, V: Element, P: Place> Hash<F, V, P> {
    fn read<R>(&self, f: impl FnOnce(&Body, u64) -> R) -> Result<Option<R>, OpError> {
        place::read(&self.place, f)
    }

    /// A change, at whose end some fields past their deadline go.
    fn change<R>(
        &self,
        absent: Absent,
        room: usize,
        mut f: impl FnMut(&mut Change<'_, Body>) -> Result<R, OpError>,
    ) -> Result<Option<R>, OpError> {
        place::change(&self.place, absent, room, |change| {
            let result = f(change)?;
            sweep(change);
            Ok(result)
        })
    }

    /// The same for a change of this many fields.
    fn change_many<R>(
        &self,
        absent: Absent,
        room: usize,
        fields: usize,
        mut f: impl FnMut(&mut Change<'_, Body>) -> Result<R, OpError>,
    ) -> Result<Option<R>, OpError> {
        change_many(
            &self.place,
            absent,
            room,
            |_: &Body| fields as u64,
            |change| {
                let result = f(change)?;
                sweep(change);
                Ok(result)
            },
        )
    }

    /// Lends the bytes of one argument.
    fn with<T: Element, R>(
        &self,
        arg: impl Arg<T>,
        f: impl FnOnce(&[u8]) -> Result<R, OpError>,
    ) -> Result<R, OpError> {
        arg.with(|bytes| {
            check_value(bytes.len())?;
            f(bytes)
        })
        .map_err(|error| OpError::codec(self.place.key(), error))?
    }

    /// Lends the bytes of a field and a value.
    fn with_pair<R>(
        &self,
        field: impl Arg<F>,
        value: impl Arg<V>,
        f: impl FnOnce(&[u8], &[u8]) -> Result<R, OpError>,
    ) -> Result<R, OpError> {
        self.with::<F, R>(field, |field| self.with::<V, R>(value, |value| f(field, value)))
    }

    fn packed<A: Arg<F>>(&self, fields: impl IntoIterator<Item = A>) -> Result<Packed, OpError> {
        let mut packed = Packed::new();
        for field in fields {
            self.pack_into(&mut packed, field)?;
        }
        Ok(packed)
    }

    fn packed_pairs<A: Arg<F>, B: Arg<V>>(
        &self,
        pairs: impl IntoIterator<Item = (A, B)>,
    ) -> Result<Packed, OpError> {
        let mut packed = Packed::new();
        for (field, value) in pairs {
            self.pack_into::<F>(&mut packed, field)?;
            self.pack_into::<V>(&mut packed, value)?;
        }
        Ok(packed)
    }

    fn pack_into<T: Element>(&self, packed: &mut Packed, arg: impl Arg<T>) -> Result<(), OpError> {
        self.with(arg, |bytes| {
            packed.push(bytes);
            Ok(())
        })
    }

    fn decoded<T: Element>(&self, bytes: &[u8]) -> Result<T, OpError> {
        decode(bytes).map_err(|error| OpError::codec(self.place.key(), error))
    }

    fn decoded_all(&self, values: Vec<Option<Value>>) -> Result<Vec<Option<V>>, OpError> {
        values.into_iter().map(|value| value.map(|value| self.decoded(&value)).transpose()).collect()
    }
}

/// What these fields and values may take.
fn room(packed: &Packed) -> usize {
    packed.content_bytes().saturating_add(packed.len().saturating_mul(FIELD_ROOM_BYTES))
}

/// The same for one field.
fn pair_room(field: &[u8], value: &[u8]) -> usize {
    field.len() + value.len() + FIELD_ROOM_BYTES
}

/// The entries two by two.
fn in_pairs(packed: &Packed) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut entries = packed.iter();
    std::iter::from_fn(move || entries.next().zip(entries.next()))
}

/// The present time, as far as the body asks for it: any will do where no field has a deadline.
fn time_of(change: &mut Change<'_, Body>) -> u64 {
    if change.body.reads_clock() { change.now_ms() } else { 0 }
}

/// A field that is not past its deadline.
fn live<'c>(change: &'c mut Change<'_, Body>, field: &[u8]) -> Option<Entry<'c>> {
    let now = time_of(change);
    change.body.get(field, now)
}

/// Gives a field a value and a deadline; tells whether it was not there before.
fn put(change: &mut Change<'_, Body>, field: &[u8], value: &[u8], deadline_ms: Option<u64>) -> bool {
    let now = time_of(change);
    let (body, rules, _) = change.parts();
    let had = body.put(field, value, deadline_ms, rules);
    change.emit(|| Delta::HashPut {
        field: field.into(),
        value: value.into(),
        deadline: deadline_ms.map(UnixMillis),
    });
    had.is_none_or(|deadline| !is_live(deadline, now))
}

/// Takes a field out; tells whether it was there.
fn remove(change: &mut Change<'_, Body>, field: &[u8]) -> bool {
    let now = time_of(change);
    let Some(deadline) = change.body.remove(field) else { return false };
    change.emit(|| Delta::HashRemove { field: field.into() });
    is_live(deadline, now)
}

/// Takes a field out, if it is there; its value.
fn take(change: &mut Change<'_, Body>, field: &[u8]) -> Option<Value> {
    let value = live(change, field).map(|entry| Value::copy(entry.value));
    remove(change, field);
    value
}

/// Takes out some of the fields past their deadline.
fn sweep(change: &mut Change<'_, Body>) {
    let now = time_of(change);
    if !change.body.is_due(now) {
        return;
    }
    let mut gone = Vec::new();
    let (body, rules, _) = change.parts();
    body.expire_due(now, SWEEP, rules, &mut |delta| gone.push(delta));
    gone.into_iter().for_each(|delta| change.emit_expired(delta));
}
