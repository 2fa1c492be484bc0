//! What goes: the removal event, and the bag that takes dead entries out of the critical section.
//!
//! Invariant: nothing that a user's code could observe (a listener, the `Drop` of a decoded object) runs under a
//! lock: a removed entry goes into the bag, and the bag is emptied after the lock is released.

use crate::keyspace::blob::{Blob, BlobRef, ValueRef};
use crate::keyspace::interest::Ready;

/// Why an entry went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemovalCause {
    /// Another value took its place.
    Replaced,
    /// A call deleted it.
    Deleted,
    /// Its time was over.
    Expired,
    /// It made room.
    Evicted,
    /// It was a cached copy, and it or its origin was invalidated.
    Invalidated,
}

/// An entry that has gone, as a listener sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Removal<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Why it went.
    pub cause: RemovalCause,
    /// The number of its database, as it was when the entry went.
    pub database: u16,
    pub(crate) blob: BlobRef<'a>,
}

impl Removal<'_> {
    /// Returns the value's bytes, `None` for a decoded object that was never encoded, and for
    /// a collection.
    #[must_use]
    pub fn value(&self) -> Option<Vec<u8>> {
        match self.blob.value() {
            ValueRef::Bytes(bytes) => Some(bytes.to_vec()),
            ValueRef::Int(number) => Some(number.to_string().into_bytes()),
            ValueRef::Large(rope) => Some(rope.to_vec()),
            ValueRef::Object(_) | ValueRef::Collection(_) => None,
        }
    }

    /// Returns the decoded object, if the entry had one of this type.
    #[must_use]
    pub fn object<T: crate::Element>(&self) -> Option<std::sync::Arc<T>> {
        self.blob.object().and_then(|object| object.downcast_arc())
    }
}

/// An entry on its way out.
#[derive(Debug)]
pub(crate) struct Dead {
    pub(crate) blob: Blob,
    /// Nobody is told of a blob that was only rebuilt (a deadline added, an object attached).
    pub(crate) cause: Option<RemovalCause>,
    pub(crate) database: u16,
}

/// Entries that leave in one operation; most leave at most one. And the keys for which somebody waits and something came.
#[derive(Debug, Default)]
pub(crate) struct Bag {
    first: Option<Dead>,
    more: Vec<Dead>,
    ready: Vec<Ready>,
}

impl Bag {
    #[inline]
    pub(crate) fn push(&mut self, dead: Dead) {
        if self.first.is_none() {
            self.first = Some(dead);
        } else {
            self.more.push(dead);
        }
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Dead> {
        self.first.iter_mut().chain(&mut self.more)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Notes a key for which somebody waits.
    pub(crate) fn ready(&mut self, ready: Ready) {
        let again = |other: &Ready| other.key == ready.key && other.engine.db == ready.engine.db;
        if !self.ready.last().is_some_and(again) {
            self.ready.push(ready);
        }
    }

    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn take_ready(&mut self) -> Vec<Ready> {
        std::mem::take(&mut self.ready)
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Dead> {
        self.first.take().into_iter().chain(self.more.drain(..))
    }
}
