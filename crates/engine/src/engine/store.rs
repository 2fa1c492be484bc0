//! SET and its conditions: the one way in which a string value comes in.
//!
//! The blob is built outside the lock; under it the conditions are checked, room is reserved and the pointer is
//! swapped. With KEEPTTL, or an old value to return, the entry that is replaced is read under the same lock.

use std::sync::Arc;
use std::time::Duration;

use super::{Engine, ValueType, check_key, check_value};
use crate::clock::UnixMillis;
use crate::collections::string::number::parse_i64;
use crate::error::OpError;
use crate::feed::event;
use crate::keyspace::blob::{Blob, BlobRef, Content, Draft, Idle, ValueRef};
use crate::keyspace::meta::CacheMeta;
use crate::keyspace::rope::Rope;
use crate::keyspace::shard::Kept;
use crate::keyspace::write::Announce;
use crate::keyspace::{Core, Refusal};
use crate::stats::Counter;
use crate::typed::Object;
use crate::value::{Taken, Value};

/// Values longer than this are kept in an allocation of their own, which readers share.
pub(crate) const INLINE_BYTES_MAX: usize = 4 * 1024;
/// No integer's text is longer.
const INTEGER_TEXT_MAX: usize = 20;

/// When a stored value expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Expiry {
    /// As the engine's default says, else never.
    #[default]
    Default,
    /// Never, whatever the default.
    Never,
    /// As the value that it replaces.
    Keep,
    After(Duration),
    At(UnixMillis),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Condition {
    #[default]
    Always,
    IfAbsent,
    IfPresent,
    IfEqual(Box<[u8]>),
    IfNotEqual(Box<[u8]>),
}

/// Conditions and expiry of a [`set_with`](Engine::set_with).
///
/// # Examples
/// ```
/// use larder::{Engine, SetOptions, SetOutcome};
/// use std::time::Duration;
/// let engine = Engine::new();
/// let lock = SetOptions::new().if_absent().ttl(Duration::from_secs(30));
/// assert_eq!(engine.set_with("lock", "me", lock.clone())?, SetOutcome::Stored { old: None });
/// assert_eq!(engine.set_with("lock", "you", lock)?, SetOutcome::Refused { old: None });
/// # Ok::<(), larder::OpError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct SetOptions {
    expiry: Expiry,
    idle: Option<Duration>,
    condition: Condition,
    return_old: bool,
}

impl SetOptions {
    /// Stores always, with the engine's default expiry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the value expire after `span` (Redis: `EX`, `PX`), less the engine's jitter.
    pub fn ttl(mut self, span: Duration) -> Self {
        self.expiry = Expiry::After(span);
        self
    }

    /// Lets the value expire at a point in time (Redis: `EXAT`, `PXAT`); one that has passed deletes the key.
    pub fn expire_at(mut self, at: UnixMillis) -> Self {
        self.expiry = Expiry::At(at);
        self
    }

    /// Keeps the expiry of the value that is replaced (Redis: `KEEPTTL`).
    pub fn keep_ttl(mut self) -> Self {
        self.expiry = Expiry::Keep;
        self
    }

    /// Lets the value live for ever, even if the engine has a default time to live.
    pub fn no_expiry(mut self) -> Self {
        self.expiry = Expiry::Never;
        self
    }

    /// Lets the value expire when it was not read for `span`; a TTL still ends it at the latest.
    pub fn idle(mut self, span: Duration) -> Self {
        self.idle = Some(span);
        self
    }

    /// Stores only if the key does not exist (Redis: `NX`).
    pub fn if_absent(mut self) -> Self {
        self.condition = Condition::IfAbsent;
        self
    }

    /// Stores only if the key exists (Redis: `XX`).
    pub fn if_present(mut self) -> Self {
        self.condition = Condition::IfPresent;
        self
    }

    /// Stores only if the present value has these bytes (Redis: `IFEQ`).
    pub fn if_equal(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.condition = Condition::IfEqual(bytes.as_ref().into());
        self
    }

    /// Stores unless the present value has these bytes; an absent key counts as different (Redis: `IFNE`).
    pub fn if_not_equal(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.condition = Condition::IfNotEqual(bytes.as_ref().into());
        self
    }

    /// Returns the value that was there (Redis: `GET`).
    pub fn return_old(mut self) -> Self {
        self.return_old = true;
        self
    }

    pub(crate) fn expiring(expiry: Expiry) -> Self {
        Self { expiry, ..Self::default() }
    }

    /// Whether the value that is there is looked at.
    fn needs_string(&self) -> bool {
        self.return_old || matches!(self.condition, Condition::IfEqual(_) | Condition::IfNotEqual(_))
    }

    /// What a batch asks of all its keys: nothing, or presence, or absence. `None` if it asks for more than that.
    #[expect(clippy::option_option, reason = "the outer one says whether the question makes sense")]
    pub(crate) fn presence(&self) -> Option<Option<bool>> {
        match (&self.condition, self.return_old) {
            (Condition::Always, false) => Some(None),
            (Condition::IfAbsent, false) => Some(Some(false)),
            (Condition::IfPresent, false) => Some(Some(true)),
            _ => None,
        }
    }

    /// Whether they say when the value expires.
    pub(crate) fn expires(&self) -> bool {
        matches!(self.expiry, Expiry::After(_) | Expiry::At(_))
    }

    pub(crate) fn or_ttl(mut self, span: Option<Duration>) -> Self {
        if let (Expiry::Default, Some(span)) = (self.expiry, span) {
            self.expiry = Expiry::After(span);
        }
        self
    }
}

/// What a [`set_with`](Engine::set_with) did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetOutcome {
    /// The value is stored.
    Stored {
        /// What was there, if it was asked for.
        old: Option<Value>,
    },
    /// The condition did not hold; nothing has changed.
    Refused {
        /// What is there, if it was asked for.
        old: Option<Value>,
    },
}

impl SetOutcome {
    /// Returns whether the value is stored.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::Stored { .. })
    }
}

/// A value on its way in.
pub(crate) enum Incoming<'a> {
    Bytes(&'a [u8]),
    Object(Object),
    /// Decoded, with its bytes.
    Both(Vec<u8>, Object),
}

impl Incoming<'_> {
    fn content(&self) -> Content<'_> {
        match self {
            Self::Bytes(bytes) => content_of(bytes),
            Self::Both(bytes, _) => content_of(bytes),
            Self::Object(_) => Content::None,
        }
    }

    pub(crate) fn draft<'k>(&'k self, key: &'k [u8]) -> Draft<'k> {
        let mut draft = Draft::new(key, self.content());
        if let Self::Object(object) | Self::Both(_, object) = self {
            draft.object = Some(object.clone());
        }
        draft
    }
}

/// How bytes are kept: as an integer if that gives them back to the letter, inline, or as a large string.
pub(crate) fn content_of(bytes: &[u8]) -> Content<'_> {
    if bytes.len() <= INTEGER_TEXT_MAX {
        if let Some(number) = parse_i64(bytes) {
            return Content::Int(number);
        }
    }
    if bytes.len() <= INLINE_BYTES_MAX {
        Content::Raw(bytes)
    } else {
        Content::Large(Arc::new(Rope::from_vec(bytes.to_vec())))
    }
}

/// The same for a string that APPEND or SETRANGE has made: never an integer.
pub(crate) fn grown_content_of(bytes: &[u8]) -> Content<'_> {
    if bytes.len() <= INLINE_BYTES_MAX {
        Content::Grown(bytes)
    } else {
        Content::Large(Arc::new(Rope::from_vec(bytes.to_vec())))
    }
}

/// A draft of an entry with the same value, expiry and metadata, under this key.
pub(crate) fn redraft<'a>(blob: BlobRef<'a>, key: &'a [u8], bytes: &'a mut Vec<u8>) -> Draft<'a> {
    let content = match blob.value() {
        ValueRef::Bytes(value) => {
            bytes.extend_from_slice(value);
            if blob.kind() == crate::keyspace::blob::Kind::Grown {
                Content::Grown(bytes)
            } else {
                Content::Raw(bytes)
            }
        }
        ValueRef::Int(number) => Content::Int(number),
        ValueRef::Large(rope) => Content::Large(Arc::clone(rope)),
        ValueRef::Collection(held) => Content::Collection(Box::new(held.clone())),
        ValueRef::Object(_) => Content::None,
    };
    Draft {
        key,
        content,
        deadline_ms: blob.deadline_ms(),
        idle: blob.idle(),
        meta: blob.meta(),
        object: blob.object().cloned(),
        weight: blob.weight(),
        access: blob.access(),
    }
}

impl Core {
    /// The deadline and idle time of a new value.
    pub(crate) fn times(
        &self,
        options: &SetOptions,
        now_ms: impl Fn() -> u64,
        kept: Option<Kept>,
    ) -> Result<(Option<u64>, Option<Idle>), OpError> {
        let settings = &self.settings;
        let after = |span: Duration| self.deadline_after(span, now_ms());
        let deadline = match options.expiry {
            Expiry::Default => settings.time_to_live.map(after).transpose()?,
            Expiry::Never => None,
            Expiry::Keep => kept.and_then(Kept::hard_ms),
            Expiry::After(span) => Some(after(span)?),
            Expiry::At(at) if at > UnixMillis::MAX => return Err(OpError::InvalidExpiry),
            Expiry::At(at) => Some(at.0),
        };
        let kept_idle = kept.filter(|_| options.expiry == Expiry::Keep).and_then(|kept| kept.idle);
        let idle_ms = match (options.idle, kept_idle, settings.time_to_idle) {
            (None, Some(kept), _) => kept.idle_ms,
            (Some(idle), ..) | (None, None, Some(idle)) => {
                u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)
            }
            (None, None, None) => return Ok((deadline, None)),
        };
        if idle_ms == 0 {
            return Err(OpError::InvalidExpiry);
        }
        let hard_ms = deadline.unwrap_or(UnixMillis::MAX.0);
        let first = now_ms().saturating_add(idle_ms).min(hard_ms);
        Ok((Some(first), Some(Idle { idle_ms, hard_ms })))
    }

    /// The deadline `span` from now, less the jitter.
    pub(crate) fn deadline_after(&self, span: Duration, now_ms: u64) -> Result<u64, OpError> {
        let span_ms = u64::try_from(span.as_millis()).map_err(|_| OpError::InvalidExpiry)?;
        if span_ms == 0 {
            return Err(OpError::InvalidExpiry);
        }
        let jitter = self.settings.ttl_jitter;
        let less = if jitter > 0.0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a share between 0 and 1 of a positive span; rounding is welcome"
            )]
            let most = (span_ms as f64 * jitter) as u64;
            self.chance().below(most.saturating_add(1)).min(span_ms - 1)
        } else {
            0
        };
        let deadline = now_ms.checked_add(span_ms - less).ok_or(OpError::InvalidExpiry)?;
        if deadline > UnixMillis::MAX.0 { Err(OpError::InvalidExpiry) } else { Ok(deadline) }
    }
}

impl Engine {
    /// Stores a value; an expiry that the key had is gone.
    ///
    /// **Command** `SET`. **Complexity** O(n), n the bytes of key and value.
    ///
    /// # Errors
    /// [`OpError::KeyTooLong`], [`OpError::ValueTooLong`], [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert_eq!(engine.get("k")?.unwrap(), "v");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[inline]
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), OpError> {
        let value = value.as_ref();
        check_value(value.len())?;
        self.store(key.as_ref(), &Incoming::Bytes(value), None)
    }

    /// Stores a value under conditions and with an expiry.
    ///
    /// **Command** `SET` with options. **Complexity** O(n), n the bytes of key and value.
    ///
    /// # Errors
    /// As [`set`](Self::set), and [`OpError::InvalidExpiry`].
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, SetOptions, SetOutcome};
    /// let engine = Engine::new();
    /// engine.set("k", "1")?;
    /// let swapped = engine.set_with("k", "2", SetOptions::new().if_equal("1").return_old())?;
    /// assert!(matches!(swapped, SetOutcome::Stored { old: Some(old) } if old == "1"));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: SetOptions,
    ) -> Result<SetOutcome, OpError> {
        let value = value.as_ref();
        check_value(value.len())?;
        self.store_with(key.as_ref(), &Incoming::Bytes(value), &options, None)
    }

    /// Stores a value only if the present one has the bytes `expected`; tells whether it did.
    ///
    /// **Command** `SET IFEQ`. **Complexity** O(n), n the bytes of key and value. The expiry is kept.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "1")?;
    /// assert!(engine.compare_and_set("k", "1", "2")?);
    /// assert!(!engine.compare_and_set("k", "1", "3")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn compare_and_set(
        &self,
        key: impl AsRef<[u8]>,
        expected: impl AsRef<[u8]>,
        new: impl AsRef<[u8]>,
    ) -> Result<bool, OpError> {
        let options = SetOptions::new().if_equal(expected).keep_ttl();
        Ok(self.set_with(key, new, options)?.is_stored())
    }

    pub(crate) fn weigh(&self, key: &[u8], value: &Incoming<'_>) -> Option<u32> {
        let weigher = self.core.settings.weigher.as_ref()?;
        let bytes = match value {
            Incoming::Bytes(bytes) => bytes,
            Incoming::Object(_) | Incoming::Both(..) => &[][..],
        };
        Some(weigher(key, bytes))
    }

    /// The short way: no condition, nothing to return.
    pub(crate) fn store(
        &self,
        key: &[u8],
        value: &Incoming<'_>,
        meta: Option<CacheMeta>,
    ) -> Result<(), OpError> {
        check_key(key)?;
        let core = &*self.core;
        let settings = &core.settings;
        let mut draft = value.draft(key);
        if settings.time_to_live.is_some() || settings.time_to_idle.is_some() {
            (draft.deadline_ms, draft.idle) = core.times(&SetOptions::new(), || core.now_ms(), None)?;
        }
        draft.meta = meta;
        draft.weight = self.weigh(key, value);
        let mut blob = Some(Blob::new(draft));
        core.write(self.db, key, |write, hash| {
            if write.replace_plain(hash, &mut blob) {
                return Ok(());
            }
            let new = blob.as_ref().expect("I1: a refused run leaves the blob where it is").get();
            let old = write.existing(hash, key);
            write.reserve(new, old.as_ref())?;
            if let Some(blob) = blob.take() {
                write.put(hash, blob, Announce::Replaced);
            }
            write.expire_slice();
            Ok(())
        })
    }

    /// The long way: conditions, KEEPTTL, the old value.
    pub(crate) fn store_with(
        &self,
        key: &[u8],
        value: &Incoming<'_>,
        options: &SetOptions,
        meta: Option<CacheMeta>,
    ) -> Result<SetOutcome, OpError> {
        check_key(key)?;
        let core = &*self.core;
        let weight = self.weigh(key, value);
        if options.needs_string() {
            // A decoded object has bytes to return or to compare only after it was encoded, outside the lock.
            self.ensure_bytes(key)?;
        }
        loop {
            let outcome = core.write(self.db, key, |write, hash| {
                let now = write.now_ms();
                let old = write.existing(hash, key);
                let present = old.filter(|old| old.live);
                let blob = write.find(hash, key);
                let current = blob.map(|blob| Taken::from(blob.value()));
                if let (true, Some(Taken::Collection(found))) = (options.needs_string(), &current) {
                    return Err(OpError::wrong_type(key, ValueType::String, *found).into());
                }
                let kept = blob.and_then(Kept::of);
                let holds = match (&options.condition, &current) {
                    (Condition::Always, _) => Some(true),
                    (Condition::IfAbsent, _) => Some(present.is_none()),
                    (Condition::IfPresent, _) => Some(present.is_some()),
                    (Condition::IfEqual(_), None) => Some(false),
                    (Condition::IfNotEqual(_), None) => Some(true),
                    (Condition::IfEqual(bytes), Some(current)) => current.equals(bytes),
                    (Condition::IfNotEqual(bytes), Some(current)) => current.equals(bytes).map(|same| !same),
                };
                let returned = if options.return_old { current } else { None };
                let Some(holds) = holds.filter(|_| !matches!(returned, Some(Taken::Object(_)))) else {
                    return Ok(None);
                };
                if !holds {
                    return Ok(Some((false, returned)));
                }
                let (deadline, idle) = core.times(options, || now, kept)?;
                if deadline.is_some_and(|deadline| deadline <= now) {
                    write.remove(hash, key, crate::RemovalCause::Deleted);
                    return Ok(Some((true, returned)));
                }
                let mut draft = value.draft(key);
                (draft.deadline_ms, draft.idle, draft.meta, draft.weight) = (deadline, idle, meta, weight);
                let blob = Blob::new(draft);
                write.reserve(blob.get(), old.as_ref())?;
                write.put(hash, blob, Announce::Replaced);
                if options.expires() {
                    write.notice(key, event::EXPIRE);
                }
                write.expire_slice();
                Ok::<_, Refusal>(Some((true, returned)))
            })?;
            let Some((stored, old)) = outcome else {
                // Somebody put a bare object there meanwhile.
                self.ensure_bytes(key)?;
                continue;
            };
            let old = old.map(|old| old.into_value(key)).transpose()?;
            if options.return_old {
                core.counters.add(if old.is_some() { Counter::Hits } else { Counter::Misses }, 1);
            }
            return Ok(if stored { SetOutcome::Stored { old } } else { SetOutcome::Refused { old } });
        }
    }

    /// Encodes the object of an entry that has no bytes, and installs them if the entry is still the same.
    pub(crate) fn ensure_bytes(&self, key: &[u8]) -> Result<(), OpError> {
        let core = &*self.core;
        loop {
            let bare = core.peek_entry(self.db, key, |blob| match blob.value() {
                ValueRef::Object(object) => Some((blob.address(), object.clone())),
                _ => None,
            })?;
            let Some((address, object)) = bare.flatten() else { return Ok(()) };
            let bytes = object.encode().map_err(|error| OpError::codec(key, error))?;
            check_value(bytes.len())?;
            core.counters.add(Counter::Encodes, 1);
            if self.install(key, address, &object, &bytes)? {
                return Ok(());
            }
        }
    }

    /// Gives the entry at `address`, which holds `object`, its bytes; `false` if it is another entry by now.
    fn install(&self, key: &[u8], address: usize, object: &Object, bytes: &[u8]) -> Result<bool, OpError> {
        self.core.write(self.db, key, |write, hash| {
            let Some(blob) = write.find(hash, key) else { return Ok(true) };
            // The object that we hold keeps its address taken, so equal addresses mean the same object.
            let same = blob.object().is_some_and(|found| found.is_same(object));
            if !same || blob.address() != address {
                return Ok(false);
            }
            let mut scratch = Vec::new();
            let mut draft = redraft(blob, key, &mut scratch);
            draft.content = content_of(bytes);
            let new = Blob::new(draft);
            let old = write.existing(hash, key);
            write.reserve(new.get(), old.as_ref())?;
            let tags = new.get().meta().map_or(0, CacheMeta::tags);
            write.core.freshness.retain_tags(tags);
            write.put(hash, new, Announce::Rebuilt);
            Ok(true)
        })
    }
}

impl Taken {
    /// Whether the value has these bytes; unknown for an object that has none.
    fn equals(&self, bytes: &[u8]) -> Option<bool> {
        match self {
            Self::Value(value) => Some(value.as_bytes() == bytes),
            Self::Large(rope) => Some(rope.equals(bytes)),
            Self::Object(_) | Self::Collection(_) => None,
        }
    }

    /// The bytes, outside every lock: a rope in pieces is joined, an object is encoded.
    pub(crate) fn into_value(self, key: &[u8]) -> Result<Value, OpError> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Large(rope) => Ok(Value::from_rope(rope)),
            Self::Collection(found) => Err(OpError::wrong_type(key, ValueType::String, found)),
            Self::Object(object) => {
                let bytes = object.encode().map_err(|error| OpError::codec(key, error))?;
                Ok(Value::from_vec(bytes))
            }
        }
    }
}
