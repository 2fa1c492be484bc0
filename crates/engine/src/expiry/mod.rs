//! Active expiry: which keys may be past their deadline, without looking at all of them.
//!
//! The deadline inside an entry is the truth; readers hide a key past it at once. What lives here only
//! reminds the engine to go and look, so that memory comes back and removals are announced on time.
//!
//! ```text
//!   wheel.rs    when: ticks, levels, cascade, clocks that jump     ExpiryWheel
//!   buckets.rs  where: lists of timers, occupancy bitmaps, sweep   Buckets
//!   slab.rs     bytes: 64-byte chunks stored without holes         Slab
//! ```
//!
//! One wheel belongs to one shard and is touched only under that shard's write lock. Nothing here reads a
//! clock or draws a random number.

mod buckets;
mod slab;
mod wheel;

#[cfg(test)]
mod tests;

pub(crate) use wheel::{ExpiryWheel, Verdict};

/// Bits of the key's hash that a timer keeps.
const HASH_BITS: u32 = 48;

/// A reminder to look at one key: 48 bits of its hash and its database, in 8 bytes.
///
/// It names a key only nearly: two keys may share a timer's bits, so the callback that is shown one finds
/// the entries that match and asks their deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timer(u64);

impl Timer {
    /// Makes a timer of the low 48 bits of `hash` and the database `db`.
    pub(crate) const fn new(hash: u64, db: u16) -> Self {
        // `u64::from` is not const; widening loses nothing.
        Self(hash << (u64::BITS - HASH_BITS) | db as u64)
    }

    /// The low 48 bits of the hash it was made of.
    pub(crate) const fn hash48(self) -> u64 {
        self.0 >> (u64::BITS - HASH_BITS)
    }

    /// The database it was made of.
    pub(crate) const fn db(self) -> u16 {
        let [low, high, ..] = self.0.to_le_bytes();
        u16::from_le_bytes([low, high])
    }
}
