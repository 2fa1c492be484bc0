//! Where a handle's collection is: an engine, a database and a key. The doors through which handles reach their data.
//!
//! ```text
//! List<T, At<'a>> --place--> (engine, key) --read | capture | change--> Core
//! ```
//! A handle is made without a look-up. `read` runs under the shard's read lock, `change` under its write lock; `capture` takes
//! the root out, to be walked outside of any lock.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::{Engine, check_key};
use crate::collections::Body;
use crate::error::OpError;
use crate::keyspace::collect::{Absent, Change, Room, body_of};

/// A key: anything that is text or bytes, borrowed or owned.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key<'a>(Cow<'a, [u8]>);

impl Key<'_> {
    /// Returns the bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl AsRef<[u8]> for Key<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

macro_rules! borrowed_keys {
    ($($form:ty, $bytes:expr;)*) => {$(
        impl<'a> From<&'a $form> for Key<'a> {
            fn from(key: &'a $form) -> Self {
                let bytes: fn(&$form) -> &[u8] = $bytes;
                Self(Cow::Borrowed(bytes(key)))
            }
        }
    )*};
}

borrowed_keys! {
    str, |key| key.as_bytes();
    String, |key| key.as_bytes();
    [u8], |key| key;
    Vec<u8>, |key| key;
    Bytes, |key| key;
}

impl<'a, const N: usize> From<&'a [u8; N]> for Key<'a> {
    fn from(key: &'a [u8; N]) -> Self {
        Self(Cow::Borrowed(key))
    }
}

impl From<String> for Key<'_> {
    fn from(key: String) -> Self {
        Self(Cow::Owned(key.into_bytes()))
    }
}

impl From<Vec<u8>> for Key<'_> {
    fn from(key: Vec<u8>) -> Self {
        Self(Cow::Owned(key))
    }
}

impl From<Bytes> for Key<'_> {
    fn from(key: Bytes) -> Self {
        Self(Cow::Owned(key.into()))
    }
}

mod sealed {
    use super::Engine;

    /// What a place knows.
    pub trait Located {
        /// The engine, with its database.
        fn engine(&self) -> &Engine;
        /// The key.
        fn key(&self) -> &[u8];
    }
}

pub(crate) use sealed::Located;

/// Where a handle's collection is. [`At`] borrows the engine, [`Owned`] keeps it.
pub trait Place: Located {}

/// A place that borrows its engine, and its key where that was borrowed.
#[derive(Debug, Clone)]
pub struct At<'a> {
    engine: &'a Engine,
    key: Key<'a>,
}

impl<'a> At<'a> {
    pub(crate) fn new(engine: &'a Engine, key: impl Into<Key<'a>>) -> Self {
        Self { engine, key: key.into() }
    }

    pub(crate) fn into_owned(self) -> Owned {
        Owned { engine: self.engine.clone(), key: self.key.0.into() }
    }
}

impl Located for At<'_> {
    fn engine(&self) -> &Engine {
        self.engine
    }

    fn key(&self) -> &[u8] {
        &self.key.0
    }
}

impl Place for At<'_> {}

/// A place that owns its key and a handle of its engine: for handles that are kept.
#[derive(Debug, Clone)]
pub struct Owned {
    engine: Engine,
    key: Box<[u8]>,
}

impl Located for Owned {
    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn key(&self) -> &[u8] {
        &self.key
    }
}

impl Place for Owned {}

/// Reads a collection under its shard's read lock, with the present time if the body depends on it; `None` if the key does not exist.
pub(crate) fn read<B: Body, R>(
    place: &impl Place,
    f: impl FnOnce(&B, u64) -> R,
) -> Result<Option<R>, OpError> {
    let (engine, key) = (place.engine(), place.key());
    let core = &*engine.core;
    let seen = core.with_entry(engine.db, key, |blob| {
        let body: &B = body_of(blob, key)?;
        let now_ms = if body.reads_clock() { core.now_ms() } else { 0 };
        Ok(f(body, now_ms))
    });
    seen?.transpose()
}

/// Takes a collection's root, to be walked outside of any lock; `None` if the key does not exist.
pub(crate) fn capture<B: Body>(place: &impl Place) -> Result<Option<B>, OpError> {
    read(place, |body: &B, _| body.clone())
}

/// Changes a collection under its shard's write lock; `room` is about what the change adds in bytes. `None` if the key does
/// not exist and is not to be created. A collection that is left empty goes.
pub(crate) fn change<B: Body, R>(
    place: &impl Place,
    absent: Absent,
    room: usize,
    mut f: impl FnMut(&mut Change<'_, B>) -> Result<R, OpError>,
) -> Result<Option<R>, OpError> {
    let (engine, key) = (place.engine(), place.key());
    check_key(key)?;
    let weight = if absent == Absent::Create { engine.fresh_weight(key) } else { None };
    engine.core.write(engine.db, key, |write, hash| {
        let changed = write.change_collection(hash, key, absent, Room::new(room, weight), &mut f)?;
        write.expire_slice();
        Ok(changed)
    })
}
