//! What the table holds: a blob's address and 19 bits of its key's hash in eight bytes.
//!
//! ```text
//!  63        48 47                                       3 2   0
//! +------------+------------------------------------------+-----+
//! | hash 0..16 | address of the blob (8-aligned)           |16-18|
//! +------------+------------------------------------------+-----+
//! ```
//! I1: a user-space address on the supported machines fits 48 bits; a larger one is refused with a panic, never
//! truncated. I2: the slot owns its blob. The hash bits let a table of up to 2^19 buckets grow without reading a
//! single blob, and spare most look-ups of other keys the comparison.
#![expect(unsafe_code, reason = "a tagged pointer; the safe face is Slot")]

use std::mem::ManuallyDrop;
use std::num::NonZero;
use std::ptr::NonNull;
use std::sync::Arc;

use super::blob::{Blob, BlobRef};
use super::rope::Rope;
use crate::collections::Held;
use crate::hash::KeyHash;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("larder keeps hash bits in the upper 16 bits of its pointers: it needs a 64-bit target");

const ADDRESS_MASK: usize = 0x0000_ffff_ffff_fff8;

/// An owned, tagged entry of the table.
pub(crate) struct Slot {
    tagged: NonNull<u8>,
}

// SAFETY: a slot is a blob with some bits beside its address, and a blob is Send.
unsafe impl Send for Slot {}
// SAFETY: as above; a blob is Sync.
unsafe impl Sync for Slot {}

impl Slot {
    #[inline]
    pub(crate) fn new(blob: Blob, hash: KeyHash) -> Self {
        let kept = usize::try_from(hash.kept()).expect("I3: 19 bits");
        let tag = (kept << 48) | (kept >> 16);
        let raw = blob.into_raw();
        assert!(raw.as_ptr().addr() & !ADDRESS_MASK == 0, "I1: a blob's address fits 48 bits");
        let tagged = raw.map_addr(|address| address | tag);
        Self { tagged }
    }

    /// The hash bits that the slot keeps.
    #[inline]
    pub(crate) fn kept(&self) -> u64 {
        let address = self.tagged.as_ptr().addr();
        ((address >> 48) | ((address & 7) << 16)) as u64
    }

    #[inline]
    fn untagged(&self) -> NonNull<u8> {
        self.tagged.map_addr(|address| {
            NonZero::new(address.get() & ADDRESS_MASK).expect("I2: an allocation is not at address zero")
        })
    }

    /// Where the blob lies: for comparisons and prefetching.
    #[inline]
    pub(crate) fn address(&self) -> usize {
        self.untagged().as_ptr().addr()
    }

    #[inline]
    pub(crate) fn blob(&self) -> BlobRef<'_> {
        // SAFETY: the slot owns the blob (I2), so it lives as long as the borrow of the slot.
        unsafe { BlobRef::from_raw(self.untagged()) }
    }

    #[inline]
    pub(crate) fn into_blob(self) -> Blob {
        let slot = ManuallyDrop::new(self);
        // SAFETY: the slot owned the blob (I2) and is forgotten, so it is given back once.
        unsafe { Blob::from_raw(slot.untagged()) }
    }

    /// Shows the root of a large string to `change`; `None` if the value is none.
    pub(crate) fn with_large<R>(&mut self, change: impl FnOnce(&mut Arc<Rope>) -> R) -> Option<R> {
        // SAFETY: the slot owns the blob (I2); it is borrowed exclusively, and the second owner is forgotten.
        let mut blob = ManuallyDrop::new(unsafe { Blob::from_raw(self.untagged()) });
        blob.large_mut().map(change)
    }

    /// Shows a collection to `change`; `None` if the value is none.
    pub(crate) fn with_collection<R>(&mut self, change: impl FnOnce(&mut Held) -> R) -> Option<R> {
        // SAFETY: the slot owns the blob (I2); it is borrowed exclusively, and the second owner is forgotten.
        let mut blob = ManuallyDrop::new(unsafe { Blob::from_raw(self.untagged()) });
        blob.collection_mut().map(change)
    }

    /// Puts another blob of the same key into the slot and returns the old one.
    #[inline]
    pub(crate) fn replace(&mut self, blob: Blob, hash: KeyHash) -> Blob {
        std::mem::replace(self, Self::new(blob, hash)).into_blob()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: the slot owned the blob (I2), and this is its end.
        drop(unsafe { Blob::from_raw(self.untagged()) });
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.blob().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::blob::{Content, Draft};
    use super::*;
    use crate::hash::KeyHasher;

    #[test]
    fn tag_and_blob_survive_each_other() {
        let hasher = KeyHasher::new(3);
        for i in 0..1_000u64 {
            let key = i.to_le_bytes();
            let hash = hasher.hash(&key);
            let mut slot = Slot::new(Blob::new(Draft::new(&key, Content::Raw(b"one"))), hash);
            assert_eq!(slot.kept(), hash.kept());
            assert_eq!(slot.blob().key(), key);
            let old = slot.replace(Blob::new(Draft::new(&key, Content::Int(2))), hash);
            assert_eq!(old.get().key(), key);
            assert_eq!(slot.kept(), hash.kept());
            assert_eq!(slot.into_blob().get().key(), key);
        }
    }
}
