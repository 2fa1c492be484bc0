//! Deadlines of single fields.

use std::time::Duration;

use super::{Body, FIELD_ROOM_BYTES, Hash, in_pairs, live, put, remove, room, time_of};
use crate::Ttl;
use crate::clock::UnixMillis;
use crate::collections::packed::Packed;
use crate::effect::Delta;
use crate::engine::expiry::ExpireCondition;
use crate::engine::place::Place;
use crate::error::OpError;
use crate::feed::event;
use crate::keyspace::collect::{Absent, Change};
use crate::typed::{Arg, Element};
use crate::value::Value;

/// What the first deadline of a small hash may take: the column of all fields.
const COLUMN_ROOM_BYTES: usize = 4_096;

/// When something expires: at a point in time, or after a while.
///
/// Both a [`UnixMillis`] and a [`Duration`] become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// At this time.
    At(UnixMillis),
    /// So much later than now.
    After(Duration),
}

impl From<UnixMillis> for Expiry {
    fn from(at: UnixMillis) -> Self {
        Self::At(at)
    }
}

impl From<Duration> for Expiry {
    fn from(span: Duration) -> Self {
        Self::After(span)
    }
}

impl Expiry {
    fn deadline_ms(self, now_ms: u64) -> Result<u64, OpError> {
        let deadline_ms = match self {
            Self::At(at) => Some(at.0),
            Self::After(span) => {
                u64::try_from(span.as_millis()).ok().and_then(|span| now_ms.checked_add(span))
            }
        };
        deadline_ms.filter(|&at| at <= UnixMillis::MAX.0).ok_or(OpError::InvalidExpiry)
    }
}

/// What becomes of a field's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldTtl {
    /// It stays as it is.
    #[default]
    Keep,
    /// It goes: the field lives for ever (Redis: `PERSIST`).
    Never,
    /// It is this from now on.
    Expire(Expiry),
}

impl FieldTtl {
    fn resolve(self, now_ms: u64) -> Result<Resolved, OpError> {
        Ok(match self {
            Self::Keep => Resolved::Keep,
            Self::Never => Resolved::Now(None),
            Self::Expire(expiry) => Resolved::Now(Some(expiry.deadline_ms(now_ms)?)),
        })
    }
}

#[derive(Clone, Copy)]
enum Resolved {
    Keep,
    Now(Option<u64>),
}

/// What an expiry did to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldExpiry {
    /// There is no such field (Redis: -2).
    NoField,
    /// The condition was not met (0).
    Unmet,
    /// The field has the deadline now (1).
    Set,
    /// The deadline had passed already, and the field is gone (2).
    Deleted,
}

/// What taking away a deadline did to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldPersist {
    /// There is no such field (Redis: -2).
    NoField,
    /// It had no deadline (-1).
    NoDeadline,
    /// It lives for ever now (1).
    Persisted,
}

/// How [`Hash::set_with`] sets fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct FieldSetOptions {
    fields: Condition,
    key: Condition,
    keep_ttl: bool,
    expiry: Option<Expiry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Condition {
    #[default]
    Always,
    Absent,
    Present,
}

impl FieldSetOptions {
    /// Sets unconditionally; the deadlines of the fields go.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets only if none of the fields exists (Redis: `FNX`).
    pub fn if_none_exists(mut self) -> Self {
        self.fields = Condition::Absent;
        self
    }

    /// Sets only if all of the fields exist (Redis: `FXX`).
    pub fn if_all_exist(mut self) -> Self {
        self.fields = Condition::Present;
        self
    }

    /// Sets only if the key does not exist (Valkey: `NX`).
    pub fn if_key_absent(mut self) -> Self {
        self.key = Condition::Absent;
        self
    }

    /// Sets only if the key exists (Valkey: `XX`).
    pub fn if_key_present(mut self) -> Self {
        self.key = Condition::Present;
        self
    }

    /// Leaves each field the deadline that it has (Redis: `KEEPTTL`).
    pub fn keep_ttl(mut self) -> Self {
        self.keep_ttl = true;
        self
    }

    /// Gives every field this deadline (Redis: `EX`, `PX`, `EXAT`, `PXAT`).
    pub fn expire(mut self, expiry: impl Into<Expiry>) -> Self {
        self.expiry = Some(expiry.into());
        self
    }
}

impl<F: Element, V: Element, P: Place> Hash<F, V, P> {
    /// Lets fields expire, under a condition; a deadline that has passed takes the field out. Tells for each what it did.
    ///
    /// **Command** `HPEXPIRE`, `HPEXPIREAT` with `NX`, `XX`, `GT`, `LT`. **Complexity** O(k), k the fields.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`]; [`OpError::InvalidExpiry`] for a time beyond [`UnixMillis::MAX`].
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, ExpireCondition, FieldExpiry};
    /// use std::time::Duration;
    /// let engine = Engine::new();
    /// let user = engine.hash::<String, String>("user:7");
    /// user.set("token", "abc")?;
    /// let told = user.expire(["token", "other"], Duration::from_secs(60), ExpireCondition::Always)?;
    /// assert_eq!(told, [FieldExpiry::Set, FieldExpiry::NoField]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn expire<A: Arg<F>>(
        &self,
        fields: impl IntoIterator<Item = A>,
        expiry: impl Into<Expiry>,
        condition: ExpireCondition,
    ) -> Result<Vec<FieldExpiry>, OpError> {
        let fields = self.packed(fields)?;
        let at = expiry.into().deadline_ms(self.now_ms())?;
        let told = self.change_many(Absent::Skip, times_room(&fields), fields.len(), |change| {
            Ok(fields.iter().map(|field| expire(change, field, at, condition)).collect())
        })?;
        Ok(told.unwrap_or_else(|| vec![FieldExpiry::NoField; fields.len()]))
    }

    /// Takes the deadlines of fields away; tells for each what it did.
    ///
    /// **Command** `HPERSIST`. **Complexity** O(k), k the fields.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let user = engine.hash::<String, String>("user:7");
    /// user.set("token", "abc")?;
    /// assert_eq!(user.persist(["token"])?, [larder::FieldPersist::NoDeadline]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn persist<A: Arg<F>>(
        &self,
        fields: impl IntoIterator<Item = A>,
    ) -> Result<Vec<FieldPersist>, OpError> {
        let fields = self.packed(fields)?;
        let told = self.change_many(Absent::Skip, times_room(&fields), fields.len(), |change| {
            let one = |field| match live(change, field).map(|entry| entry.deadline_ms) {
                None => FieldPersist::NoField,
                Some(None) => FieldPersist::NoDeadline,
                Some(Some(_)) => {
                    set_deadline(change, field, None);
                    FieldPersist::Persisted
                }
            };
            Ok(fields.iter().map(one).collect())
        })?;
        Ok(told.unwrap_or_else(|| vec![FieldPersist::NoField; fields.len()]))
    }

    /// Returns how long a field will live.
    ///
    /// **Command** `HPTTL`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// use larder::Ttl;
    /// let engine = larder::Engine::new();
    /// let user = engine.hash::<String, String>("user:7");
    /// user.set("name", "Ann")?;
    /// assert_eq!((user.ttl("name")?, user.ttl("other")?), (Ttl::Never, Ttl::Absent));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn ttl(&self, field: impl Arg<F>) -> Result<Ttl, OpError> {
        Ok(self.ttls([field])?.pop().unwrap_or(Ttl::Absent))
    }

    /// Returns how long several fields will live, in their order.
    ///
    /// **Command** `HTTL`, `HPTTL`. **Complexity** O(k), k the fields.
    ///
    /// # Errors
    /// As [`ttl`](Self::ttl).
    ///
    /// # Examples
    /// ```
    /// use larder::Ttl;
    /// let engine = larder::Engine::new();
    /// let user = engine.hash::<String, String>("user:7");
    /// user.set("name", "Ann")?;
    /// assert_eq!(user.ttls(["name", "other"])?, [Ttl::Never, Ttl::Absent]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn ttls<A: Arg<F>>(&self, fields: impl IntoIterator<Item = A>) -> Result<Vec<Ttl>, OpError> {
        let fields = self.packed(fields)?;
        let ttls = self.read(|body, now| {
            let ttl = |field| match body.get(field, now).map(|entry| entry.deadline_ms) {
                None => Ttl::Absent,
                Some(None) => Ttl::Never,
                Some(Some(at)) => Ttl::After(Duration::from_millis(at.saturating_sub(now))),
            };
            fields.iter().map(ttl).collect()
        })?;
        Ok(ttls.unwrap_or_else(|| vec![Ttl::Absent; fields.len()]))
    }

    /// Returns when fields expire: `None` for one that is not there, `Some(None)` for one that lives for ever.
    ///
    /// **Command** `HPEXPIRETIME`. **Complexity** O(k), k the fields.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, FieldSetOptions, UnixMillis};
    /// let engine = Engine::new();
    /// let user = engine.hash::<String, String>("user:7");
    /// let at = UnixMillis(4_000_000_000_000);
    /// user.set_with([("token", "abc")], FieldSetOptions::new().expire(at))?;
    /// assert_eq!(user.expire_times(["token", "other"])?, [Some(Some(at)), None]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn expire_times<A: Arg<F>>(
        &self,
        fields: impl IntoIterator<Item = A>,
    ) -> Result<Vec<Option<Option<UnixMillis>>>, OpError> {
        let fields = self.packed(fields)?;
        let times = self.read(|body, now| {
            let time = |field| body.get(field, now).map(|entry| entry.deadline_ms.map(UnixMillis));
            fields.iter().map(time).collect()
        })?;
        Ok(times.unwrap_or_else(|| vec![None; fields.len()]))
    }

    /// Returns the values of fields and changes when they expire.
    ///
    /// **Command** `HGETEX`. **Complexity** O(k), k the fields.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`OpError::InvalidExpiry`].
    ///
    /// # Examples
    /// ```
    /// use larder::FieldTtl;
    /// let engine = larder::Engine::new();
    /// let user = engine.hash::<String, String>("user:7");
    /// user.set("name", "Ann")?;
    /// let values = user.get_and_expire(["name", "mail"], FieldTtl::Never)?;
    /// assert_eq!(values, [Some("Ann".to_owned()), None]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn get_and_expire<A: Arg<F>>(
        &self,
        fields: impl IntoIterator<Item = A>,
        ttl: FieldTtl,
    ) -> Result<Vec<Option<V>>, OpError> {
        let Resolved::Now(deadline) = ttl.resolve(self.now_ms())? else { return self.get_many(fields) };
        let fields = self.packed(fields)?;
        let values = self.change_many(Absent::Skip, times_room(&fields), fields.len(), |change| {
            let mut values = Vec::with_capacity(fields.len());
            for field in &fields {
                values.push(live(change, field).map(|entry| Value::copy(entry.value)));
                match deadline {
                    Some(at) => {
                        expire(change, field, at, ExpireCondition::Always);
                    }
                    None => persist(change, field),
                }
            }
            Ok(values)
        })?;
        self.decoded_all(values.unwrap_or_else(|| vec![None; fields.len()]))
    }

    /// Gives several fields their values at once, under a condition and with a deadline; tells whether it did.
    ///
    /// A deadline that has passed takes the fields out.
    ///
    /// **Command** `HSETEX`. **Complexity** O(k), k the pairs.
    ///
    /// # Errors
    /// As [`set`](Self::set); [`OpError::InvalidExpiry`].
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, FieldSetOptions};
    /// let engine = Engine::new();
    /// let user = engine.hash::<String, String>("user:7");
    /// let new = FieldSetOptions::new().if_none_exists().expire(std::time::Duration::from_secs(60));
    /// assert!(user.set_with([("token", "abc")], new)?);
    /// assert!(!user.set_with([("token", "def"), ("lang", "en")], new)?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_with<A: Arg<F>, B: Arg<V>>(
        &self,
        pairs: impl IntoIterator<Item = (A, B)>,
        options: FieldSetOptions,
    ) -> Result<bool, OpError> {
        let at = options.expiry.map(|expiry| expiry.deadline_ms(self.now_ms())).transpose()?;
        let pairs = self.packed_pairs(pairs)?;
        let needs_key = options.key == Condition::Present || options.fields == Condition::Present;
        let absent = if needs_key { Absent::Skip } else { Absent::Create };
        let room = room(&pairs).saturating_add(if at.is_some() { COLUMN_ROOM_BYTES } else { 0 });
        let stored = self.change_many(absent, room, pairs.len() / 2, |change| {
            if !is_met(change, &pairs, options) {
                return Ok(false);
            }
            if at.is_some() {
                change.note(event::HEXPIRE);
            }
            for (field, value) in in_pairs(&pairs) {
                let now = change.now_ms();
                let kept = || change.body.get(field, now).and_then(|entry| entry.deadline_ms);
                let deadline = if options.keep_ttl { kept() } else { at };
                if deadline.is_some_and(|at| at <= now) {
                    remove(change, field);
                } else {
                    put(change, field, value, deadline);
                }
            }
            Ok(true)
        })?;
        Ok(stored.unwrap_or(false))
    }

    fn now_ms(&self) -> u64 {
        self.place.engine().core.now_ms()
    }
}

/// What new deadlines may take.
fn times_room(fields: &Packed) -> usize {
    COLUMN_ROOM_BYTES + fields.len().saturating_mul(FIELD_ROOM_BYTES)
}

/// Whether the conditions of HSETEX are met.
fn is_met(change: &mut Change<'_, Body>, pairs: &Packed, options: FieldSetOptions) -> bool {
    let now = time_of(change);
    let exists = |field| change.body.get(field, now).is_some();
    let mut fields = in_pairs(pairs).map(|(field, _)| field);
    let fields_fit = match options.fields {
        Condition::Always => true,
        Condition::Absent => !fields.any(exists),
        Condition::Present => fields.all(exists),
    };
    // An absent key begins as an empty body here; one that exists has a field, if perhaps a dead one.
    let key_fits = match options.key {
        Condition::Always | Condition::Present => true,
        Condition::Absent => change.body.len() == 0,
    };
    fields_fit && key_fits
}

fn expire(change: &mut Change<'_, Body>, field: &[u8], at: u64, condition: ExpireCondition) -> FieldExpiry {
    let now = change.now_ms();
    let Some(entry) = change.body.get(field, now) else { return FieldExpiry::NoField };
    if !condition.admits(entry.deadline_ms, at) {
        return FieldExpiry::Unmet;
    }
    if at <= now {
        remove(change, field);
        return FieldExpiry::Deleted;
    }
    set_deadline(change, field, Some(at));
    FieldExpiry::Set
}

fn persist(change: &mut Change<'_, Body>, field: &[u8]) {
    if live(change, field).is_some_and(|entry| entry.deadline_ms.is_some()) {
        set_deadline(change, field, None);
    }
}

fn set_deadline(change: &mut Change<'_, Body>, field: &[u8], deadline_ms: Option<u64>) {
    change.body.set_deadline(field, deadline_ms);
    change.emit(|| Delta::HashDeadline { field: field.into(), deadline: deadline_ms.map(UnixMillis) });
}
