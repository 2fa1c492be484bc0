//! Key hashing: seeded xxh3, with disjoint bits for shard, bucket and tag.
//!
//! ```text
//!  63            50 49                              19 18       12 11        0
//! +----------------+----------------------------------+-----------+-----------+
//! | shard (top n)  | bucket bits of very large tables  | tag       | bucket    |
//! +----------------+----------------------------------+-----------+-----------+
//!                                                      <-- kept in the slot -->
//! ```
//! The secret is drawn from the engine's seed, so colliding keys cannot be prepared without knowing it.

use xxhash_rust::xxh3::xxh3_64_with_secret;

use crate::random::Random;

/// Hash bits that a slot keeps beside its pointer.
pub(crate) const KEPT_BITS: u32 = 19;
const KEPT_MASK: u64 = (1 << KEPT_BITS) - 1;
/// Where the table's seven tag bits begin. Tables of more than `1 << TAG_SHIFT` buckets share some of them
/// with the bucket number, which costs a false match now and then and no correctness.
const TAG_SHIFT: u32 = KEPT_BITS - 7;
const SECRET_BYTES: usize = 192;

/// The 64-bit hash of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyHash(pub(crate) u64);

impl KeyHash {
    /// The bits that the slot keeps.
    #[inline]
    pub(crate) fn kept(self) -> u64 {
        self.0 & KEPT_MASK
    }

    /// What the table is asked with: bucket bits below, tag in the top seven bits.
    #[inline]
    pub(crate) fn table(self) -> u64 {
        (self.0 & (u64::MAX >> 14)) | ((self.0 >> TAG_SHIFT) << 57)
    }

    /// The table hash as far as the kept bits tell it: exact for tables of up to `1 << KEPT_BITS` buckets.
    #[inline]
    pub(crate) fn table_from_kept(kept: u64) -> u64 {
        kept | ((kept >> TAG_SHIFT) << 57)
    }

    /// The low 48 bits, by which timers and the eviction ring remember a key.
    #[inline]
    pub(crate) fn low48(self) -> u64 {
        self.0 & 0xffff_ffff_ffff
    }

    /// The shard among `1 << bits`.
    #[inline]
    pub(crate) fn shard(self, bits: u32) -> usize {
        // A shift by 64 would overflow; the double shift makes zero bits give shard zero.
        usize::try_from((self.0 >> 1) >> (63 - bits)).expect("I1: at most 16 shard bits")
    }
}

/// The engine's hash function.
#[derive(Clone)]
pub(crate) struct KeyHasher {
    secret: [u8; SECRET_BYTES],
}

impl std::fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHasher(secret not shown)")
    }
}

impl KeyHasher {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x6c61_7264_6572_2d68);
        let mut secret = [0; SECRET_BYTES];
        for chunk in secret.chunks_exact_mut(8) {
            chunk.copy_from_slice(&random.next().to_le_bytes());
        }
        Self { secret }
    }

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(xxh3_64_with_secret(key, &self.secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_bits_rebuild_the_table_hash() {
        let hasher = KeyHasher::new(7);
        for i in 0..10_000u64 {
            let hash = hasher.hash(&i.to_le_bytes());
            let rebuilt = KeyHash::table_from_kept(hash.kept());
            assert_eq!(rebuilt >> 57, hash.table() >> 57, "tag");
            assert_eq!(rebuilt & KEPT_MASK, hash.table() & KEPT_MASK, "bucket");
        }
    }

    #[test]
    fn shards_are_in_range_and_all_used() {
        let hasher = KeyHasher::new(7);
        assert_eq!(hasher.hash(b"any").shard(0), 0);
        let mut seen = [0u32; 16];
        for i in 0..10_000u64 {
            seen[hasher.hash(&i.to_le_bytes()).shard(4)] += 1;
        }
        assert!(seen.iter().all(|&n| n > 400), "{seen:?}");
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(KeyHasher::new(1).hash(b"k"), KeyHasher::new(2).hash(b"k"));
        assert_eq!(KeyHasher::new(1).hash(b"k"), KeyHasher::new(1).hash(b"k"));
    }
}
