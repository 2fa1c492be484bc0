//! The handle of decoded values.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::{Element, Object, decode, encode_into};
use crate::engine::store::{Incoming, SetOptions, SetOutcome, redraft};
use crate::engine::{CacheOptions, Engine, Lookup};
use crate::error::OpError;
use crate::keyspace::blob::{Blob, BlobRef, ValueRef};
use crate::keyspace::meta::CacheToken;
use crate::keyspace::rope::Rope;
use crate::keyspace::write::Announce;
use crate::local::Inside;
use crate::stats::Counter;
use crate::value::integer_text;

/// How a handle weighs a value, in bytes beyond the value's own size.
type Weigher<T> = Arc<dyn Fn(&T) -> u64 + Send + Sync>;

/// Values of one type, kept decoded; see [`Engine::typed`].
///
/// A hit decodes nothing. What another path stored as bytes under the same key is decoded once and then kept; what this
/// handle stored is encoded when another path asks for bytes.
pub struct Typed<T> {
    pub(super) engine: Engine,
    pub(super) ttl: Option<Duration>,
    weigher: Option<Weigher<T>>,
    values: PhantomData<fn() -> T>,
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            ttl: self.ttl,
            weigher: self.weigher.clone(),
            values: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("type", &std::any::type_name::<T>())
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// What a read under the lock found.
enum Seen<R> {
    Done(R),
    /// Bytes without an object of this type: a copy of them, to be decoded outside the lock.
    Bytes(Source),
    /// An object of another type, without bytes.
    Other(&'static str),
}

/// Bytes to decode, and what they were when the entry is looked at again.
enum Source {
    Small(Vec<u8>),
    Large(Arc<Rope>),
}

impl Source {
    fn of(blob: BlobRef<'_>) -> Option<Self> {
        match blob.value() {
            ValueRef::Bytes(bytes) => Some(Self::Small(bytes.to_vec())),
            ValueRef::Int(number) => Some(Self::Small(integer_text(number).as_bytes().to_vec())),
            ValueRef::Large(rope) => Some(Self::Large(Arc::clone(rope))),
            ValueRef::Object(_) | ValueRef::Collection(_) => None,
        }
    }

    fn decode<T: Element>(&self) -> Result<T, super::CodecError> {
        match self {
            Self::Small(bytes) => decode(bytes),
            Self::Large(rope) => rope.as_slice().map_or_else(|| decode(&rope.to_vec()), decode),
        }
    }

    /// Whether the entry still holds these very bytes. Content is compared, not an address that may have been used
    /// again.
    fn is_still(&self, blob: BlobRef<'_>) -> bool {
        match (self, blob.value()) {
            (Self::Small(bytes), ValueRef::Bytes(now)) => bytes == now,
            (Self::Small(bytes), ValueRef::Int(now)) => bytes == integer_text(now).as_bytes(),
            (Self::Large(rope), ValueRef::Large(now)) => Arc::ptr_eq(rope, now),
            _ => false,
        }
    }
}

impl<T: Element> Typed<T> {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, ttl: None, weigher: None, values: PhantomData }
    }

    /// Lets what this handle stores expire after `span`, unless a call says otherwise.
    #[must_use]
    pub fn with_ttl(mut self, span: Duration) -> Self {
        self.ttl = Some(span);
        self
    }

    /// Weighs a value by `weigher`: the bytes that it owns beyond `size_of::<T>()`. The default is the length of its
    /// encoded form, found by encoding it at every store; a weigher that knows better is also faster.
    #[must_use]
    pub fn with_weigher(mut self, weigher: impl Fn(&T) -> u64 + Send + Sync + 'static) -> Self {
        self.weigher = Some(Arc::new(weigher));
        self
    }

    /// Returns the handle of the bytes behind these values.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn object(&self, key: &[u8], value: Arc<T>) -> Result<Object, OpError> {
        let weight = match &self.weigher {
            Some(weigher) => weigher(&value),
            None => encoded_bytes(&*value).map_err(|error| OpError::codec(key, error))?,
        };
        Ok(Object::new(value, weight))
    }

    /// A value on its way in: decoded, and encoded as well where its bytes are recorded.
    pub(super) fn incoming(&self, key: &[u8], value: Arc<T>) -> Result<Incoming<'static>, OpError> {
        let object = self.object(key, value)?;
        if !self.engine.core.settings.record_effects {
            return Ok(Incoming::Object(object));
        }
        let bytes = object.encode().map_err(|error| OpError::codec(key, error))?;
        Ok(Incoming::Both(bytes, object))
    }

    /// Stores a value.
    ///
    /// **Command** `SET`. **Complexity** O(n), n the size of the value (to weigh it).
    ///
    /// # Errors
    /// As [`Engine::set`]; [`OpError::Codec`] for a value that cannot be encoded.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.typed::<(u32, String)>().set("k", (7, "seven".into()))?;
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set(&self, key: impl AsRef<[u8]>, value: T) -> Result<(), OpError> {
        let key = key.as_ref();
        let incoming = self.incoming(key, Arc::new(value))?;
        if self.ttl.is_some() {
            let options = SetOptions::new().or_ttl(self.ttl);
            return self.engine.store_with(key, &incoming, &options, None).map(|_| ());
        }
        self.engine.store(key, &incoming, None)
    }

    /// Stores a value under conditions and with an expiry.
    ///
    /// **Command** `SET` with options. **Complexity** as [`set`](Self::set).
    ///
    /// # Errors
    /// As [`set`](Self::set), and [`OpError::InvalidExpiry`].
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, SetOptions};
    /// let numbers = Engine::new().typed::<u64>();
    /// assert!(numbers.set_with("k", 1, SetOptions::new().if_absent())?.is_stored());
    /// assert!(!numbers.set_with("k", 2, SetOptions::new().if_absent())?.is_stored());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_with(
        &self,
        key: impl AsRef<[u8]>,
        value: T,
        options: SetOptions,
    ) -> Result<SetOutcome, OpError> {
        let key = key.as_ref();
        let incoming = self.incoming(key, Arc::new(value))?;
        self.engine.store_with(key, &incoming, &options.or_ttl(self.ttl), None)
    }

    /// Returns a value.
    ///
    /// **Command** `GET`. **Complexity** O(1) for a decoded value.
    ///
    /// # Errors
    /// [`OpError::Codec`] if the bytes under the key are no `T`, [`OpError::WrongType`] if a decoded value of another
    /// type is there that cannot be read as a `T`.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "42")?;
    /// assert_eq!(engine.typed::<u64>().get("k")?.as_deref(), Some(&42));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[inline]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Arc<T>>, OpError> {
        let key = key.as_ref();
        let seen = self.engine.core.with_entry(self.engine.db, key, |blob| match blob.object() {
            Some(object) => object.downcast_arc::<T>().map_or_else(|| see_bytes(blob), Seen::Done),
            None => see_bytes(blob),
        })?;
        match seen {
            None => Ok(None),
            Some(Seen::Done(value)) => Ok(Some(value)),
            Some(seen) => self.convert(key, seen),
        }
    }

    /// Shows a value to `f` in place, without a reference count, and returns what `f` returns.
    ///
    /// **Command** `GET`. **Complexity** O(1) for a decoded value. `f` runs under the shard's read lock: keep it short.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Panics
    /// If `f` calls any engine.
    ///
    /// # Examples
    /// ```
    /// let names = larder::Engine::new().typed::<Vec<String>>();
    /// names.set("k", vec!["Ann".into()])?;
    /// assert_eq!(names.get_with("k", |v| v[0].len())?, Some(3));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[inline]
    pub fn get_with<R>(&self, key: impl AsRef<[u8]>, f: impl FnOnce(&T) -> R) -> Result<Option<R>, OpError> {
        let key = key.as_ref();
        let mut f = Some(f);
        let seen = self.engine.core.with_entry(self.engine.db, key, |blob| {
            match blob.object().and_then(|object| object.downcast_ref::<T>()) {
                Some(value) => {
                    let _inside = Inside::enter();
                    Seen::Done(f.take().map(|f| f(value)))
                }
                None => see_bytes(blob),
            }
        })?;
        let seen = match seen {
            None => return Ok(None),
            Some(Seen::Done(result)) => return Ok(result),
            Some(Seen::Bytes(source)) => Seen::Bytes(source),
            Some(Seen::Other(name)) => Seen::Other(name),
        };
        let value = self.convert(key, seen)?;
        let _inside = Inside::enter();
        Ok(value.and_then(|value| f.take().map(|f| f(&value))))
    }

    /// Makes a `T` of what the entry holds instead of one, and keeps it there.
    #[cold]
    fn convert(&self, key: &[u8], seen: Seen<Arc<T>>) -> Result<Option<Arc<T>>, OpError> {
        let source = match seen {
            Seen::Done(value) => return Ok(Some(value)),
            Seen::Bytes(source) => source,
            Seen::Other(found) => {
                // An object of another type: its bytes may still be a T (an integer read as another one, a newtype).
                self.engine.ensure_bytes(key)?;
                let bytes = self.engine.core.peek_entry(self.engine.db, key, Source::of)?;
                match bytes {
                    None => return Ok(None),
                    Some(None) => {
                        let expected = std::any::type_name::<T>();
                        return Err(OpError::WrongType { key: crate::error::shown(key), expected, found });
                    }
                    Some(Some(source)) => source,
                }
            }
        };
        let value = Arc::new(source.decode::<T>().map_err(|error| OpError::codec(key, error))?);
        self.engine.core.counters.add(Counter::Decodes, 1);
        match self.attach(key, &source, &value) {
            // Without room for the object the read still answers.
            Ok(()) | Err(OpError::OutOfMemory { .. }) => Ok(Some(value)),
            Err(error) => Err(error),
        }
    }

    /// Adds the decoded object to the entry, if that still holds the bytes that were decoded.
    fn attach(&self, key: &[u8], source: &Source, value: &Arc<T>) -> Result<(), OpError> {
        let object = self.object(key, Arc::clone(value))?;
        self.engine.core.write(self.engine.db, key, |write, hash| {
            let Some(blob) = write.find(hash, key).filter(|&blob| source.is_still(blob)) else {
                return Ok(());
            };
            let mut scratch = Vec::new();
            let mut draft = redraft(blob, key, &mut scratch);
            draft.object = Some(object.clone());
            let new = Blob::new(draft);
            let old = write.existing(hash, key);
            write.reserve(new.get(), old.as_ref())?;
            write.core.freshness.retain_tags(crate::engine::tags_of(new.get()));
            write.put(hash, new, Announce::Rebuilt);
            Ok(())
        })
    }

    /// Replaces a value by what `f` makes of it: `None` deletes the key. Returns the value that is there now.
    ///
    /// `f` runs outside every lock and may call the engine; if another writer came between, it runs again with the new
    /// value (optimistic, so keep it free of side effects). The expiry is kept.
    ///
    /// **Complexity** as [`get`](Self::get) and [`set`](Self::set), once a run of `f`.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`set`](Self::set).
    ///
    /// # Examples
    /// ```
    /// let lists = larder::Engine::new().typed::<Vec<u32>>();
    /// lists.update("k", |old| Some([old.map_or(&[][..], |v| v), &[7]].concat()))?;
    /// assert_eq!(lists.get("k")?.unwrap().as_slice(), [7]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn update(
        &self,
        key: impl AsRef<[u8]>,
        mut f: impl FnMut(Option<&T>) -> Option<T>,
    ) -> Result<Option<Arc<T>>, OpError> {
        let key = key.as_ref();
        loop {
            let old = self.get(key)?;
            let new = f(old.as_deref()).map(Arc::new);
            if self.swap(key, old.as_ref(), new.as_ref())? {
                return Ok(new);
            }
        }
    }

    /// Puts `new` in the place of `old`, if that is still there.
    fn swap(&self, key: &[u8], old: Option<&Arc<T>>, new: Option<&Arc<T>>) -> Result<bool, OpError> {
        let incoming = new.map(|new| self.incoming(key, Arc::clone(new))).transpose()?;
        let times = SetOptions::new().or_ttl(self.ttl);
        let weight_new = self.engine.fresh_weight(key);
        self.engine.core.write(self.engine.db, key, |write, hash| {
            let now = write.now_ms();
            let existing = write.existing(hash, key);
            let found = write.find(hash, key);
            // The Arc that we hold keeps its address taken, so the same address means the same value. A value that
            // could not be kept decoded (for want of room) is compared by its bytes.
            let same = match (found, old) {
                (None, None) => true,
                (Some(blob), Some(old)) => {
                    match blob.object().and_then(|object| object.downcast_ref::<T>()) {
                        Some(value) => std::ptr::eq(value, &raw const **old),
                        None => Source::of(blob).is_some_and(|source| {
                            let bytes = super::encode(&**old);
                            bytes.is_ok_and(|bytes| {
                                Source::Small(bytes).is_still(blob) || source.equals_encoded(&**old)
                            })
                        }),
                    }
                }
                (None, Some(_)) | (Some(_), None) => false,
            };
            if !same {
                return Ok(false);
            }
            let Some(incoming) = &incoming else {
                // Nothing for nothing; a negative copy, which nobody sees, stays.
                if old.is_some() {
                    write.remove(hash, key, crate::RemovalCause::Deleted);
                }
                return Ok(true);
            };
            let kept = found.map(|blob| (blob.deadline_ms(), blob.idle(), blob.weight()));
            let (deadline, idle, weight) = match kept {
                Some(kept) => kept,
                None => {
                    let (deadline, idle) = write.core.times(&times, || now, None)?;
                    (deadline, idle, weight_new)
                }
            };
            let mut draft = incoming.draft(key);
            (draft.deadline_ms, draft.idle) = (deadline, idle);
            draft.weight = weight;
            let blob = Blob::new(draft);
            write.reserve(blob.get(), existing.as_ref())?;
            write.put(hash, blob, Announce::Replaced);
            Ok(true)
        })
    }

    /// Deletes a key; tells whether it existed.
    ///
    /// **Command** `DEL`. **Complexity** O(1); the value is dropped outside the lock.
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// assert!(!larder::Engine::new().typed::<u8>().remove("k")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool, OpError> {
        self.engine.remove(key)
    }

    /// Stores a copy of remote data if its token is still good; see [`Engine::insert_if`].
    ///
    /// **Complexity** as [`set`](Self::set), and O(t), t the tags.
    ///
    /// # Errors
    /// As [`Engine::insert_if`].
    ///
    /// # Examples
    /// ```
    /// use larder::{CacheOptions, Engine, Origin};
    /// let engine = Engine::new();
    /// let token = engine.cache_token("k", Origin::default());
    /// assert!(engine.typed::<u64>().insert_if(token, "k", 42, &CacheOptions::new())?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn insert_if(
        &self,
        token: CacheToken,
        key: impl AsRef<[u8]>,
        value: T,
        options: &CacheOptions<'_>,
    ) -> Result<bool, OpError> {
        let key = key.as_ref();
        let incoming = self.incoming(key, Arc::new(value))?;
        self.engine.insert_copy(token, key, &incoming, options)
    }

    /// Reads a copy of remote data and tells how fresh it is; see [`Engine::lookup`].
    ///
    /// **Complexity** as [`get`](Self::get).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, Lookup};
    /// assert!(matches!(Engine::new().typed::<u64>().lookup("k")?, Lookup::Miss));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn lookup(&self, key: impl AsRef<[u8]>) -> Result<Lookup<Arc<T>>, OpError> {
        let key = key.as_ref();
        let found = self.engine.look(key, |blob| match blob.object() {
            Some(object) => object.downcast_arc::<T>().map_or_else(|| see_bytes(blob), Seen::Done),
            None => see_bytes(blob),
        })?;
        let value = found.map(|seen| self.convert(key, seen)).transpose()?;
        Ok(match value {
            Lookup::Hit(Some(value)) => Lookup::Hit(value),
            Lookup::Stale(Some(value)) => Lookup::Stale(value),
            Lookup::Negative => Lookup::Negative,
            Lookup::Hit(None) | Lookup::Stale(None) | Lookup::Miss => Lookup::Miss,
        })
    }
}

impl Source {
    fn equals_encoded<T: Element>(&self, value: &T) -> bool {
        let Ok(bytes) = super::encode(value) else { return false };
        match self {
            Self::Small(own) => *own == bytes,
            Self::Large(rope) => rope.equals(&bytes),
        }
    }
}

fn see_bytes<R>(blob: BlobRef<'_>) -> Seen<R> {
    match Source::of(blob) {
        Some(source) => Seen::Bytes(source),
        None => Seen::Other(match blob.value() {
            ValueRef::Collection(held) => held.body.value_type().name(),
            _ => blob.object().map_or("", Object::type_name),
        }),
    }
}

/// The length of a value's encoded form.
fn encoded_bytes<T: Element>(value: &T) -> Result<u64, super::CodecError> {
    thread_local! {
        static SCRATCH: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    /// A scratch buffer that has grown beyond this is not kept.
    const SCRATCH_BYTES_MAX: usize = 64 * 1024;
    // A Serialize that stores typed values of its own finds the scratch taken and uses a fresh buffer.
    let mut scratch = SCRATCH
        .with(|scratch| scratch.try_borrow_mut().map(|mut s| std::mem::take(&mut *s)).unwrap_or_default());
    scratch.clear();
    let bytes = encode_into(value, &mut scratch).map(|()| scratch.len() as u64);
    if scratch.capacity() <= SCRATCH_BYTES_MAX {
        SCRATCH.with(|slot| slot.try_borrow_mut().map(|mut slot| *slot = scratch).ok());
    }
    bytes
}
