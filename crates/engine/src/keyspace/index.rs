//! The table of one database in one shard: slots by key.
//!
//! This face is narrow on purpose: find, insert, replace, remove, sample, scan. A lock-free index can take its
//! place without a change above it, and this one then stays as its oracle.
//!
//! Invariants: I1: a key occurs at most once. I2: each slot's kept bits are those of its key's hash.
//! Costs: find O(1), about one table line and one blob line; growing never reads a blob as long as the table has
//! at most 2^19 buckets; `page` O(table) per call.

use hashbrown::HashTable;

use super::blob::{Blob, BlobRef};
use super::slot::Slot;
use crate::hash::{KEPT_BITS, KeyHash, KeyHasher};

/// A slot as `HashTable` lays it out, plus its control byte.
const BUCKET_BYTES: usize = size_of::<Slot>() + 1;
/// Control bytes beyond the buckets, and the alignment that hashbrown may add before them.
const TABLE_EXTRA_BYTES: usize = 32;

/// Keys to entries.
#[derive(Debug, Default)]
pub(crate) struct ShardIndex {
    table: HashTable<Slot>,
}

/// Where a batch may expect a key, for prefetching: only ever a hint.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Whereabouts {
    /// Address of the first control byte, zero if unknown.
    pub(crate) control: usize,
    /// Buckets minus one.
    pub(crate) mask: usize,
}

impl ShardIndex {
    pub(crate) const fn new() -> Self {
        Self { table: HashTable::new() }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes that the table has asked of the allocator.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.table.allocation_size()
    }

    /// The bytes that the table will ask for if so many more keys make it grow, zero if there is room.
    #[inline]
    pub(crate) fn growth_bytes(&self, keys: usize) -> usize {
        let wanted = self.table.len() + keys;
        if wanted <= self.table.capacity() {
            return 0;
        }
        let mut buckets = (self.table.num_buckets() * 2).max(4);
        // Seven eighths of the buckets are used; of four, three.
        while (buckets - buckets.div_ceil(8)) < wanted {
            buckets *= 2;
        }
        buckets * BUCKET_BYTES + TABLE_EXTRA_BYTES
    }

    #[inline]
    fn slot(&self, hash: KeyHash, key: &[u8]) -> Option<&Slot> {
        let kept = hash.kept();
        self.table.find(hash.table(), |slot| slot.kept() == kept && slot.blob().key() == key)
    }

    #[inline]
    pub(crate) fn find(&self, hash: KeyHash, key: &[u8]) -> Option<BlobRef<'_>> {
        self.slot(hash, key).map(Slot::blob)
    }

    #[inline]
    pub(crate) fn find_mut(&mut self, hash: KeyHash, key: &[u8]) -> Option<&mut Slot> {
        let kept = hash.kept();
        self.table.find_mut(hash.table(), |slot| slot.kept() == kept && slot.blob().key() == key)
    }

    /// The entry whose key hashes to these low 48 bits, as timers and the ring remember it.
    pub(crate) fn find_by_low48(&self, low48: u64, hasher: &KeyHasher) -> Option<BlobRef<'_>> {
        let hash = KeyHash(low48);
        let kept = hash.kept();
        self.table
            .find(hash.table(), |slot| slot.kept() == kept && hasher.hash(slot.blob().key()).low48() == low48)
            .map(Slot::blob)
    }

    /// The address of the blob that probably belongs to this hash, without reading any blob.
    #[inline]
    pub(crate) fn likely_address(&self, hash: KeyHash) -> Option<usize> {
        let kept = hash.kept();
        self.table.find(hash.table(), |slot| slot.kept() == kept).map(Slot::address)
    }

    /// Adds a key that is not in the table.
    pub(crate) fn insert_new(&mut self, hash: KeyHash, blob: Blob, hasher: &KeyHasher) {
        debug_assert!(self.find(hash, blob.get().key()).is_none(), "I1: a key occurs at most once");
        let exact = self.table.num_buckets() < 1 << (KEPT_BITS - 1);
        self.table.insert_unique(hash.table(), Slot::new(blob, hash), |slot| {
            if exact { KeyHash::table_from_kept(slot.kept()) } else { hasher.hash(slot.blob().key()).table() }
        });
    }

    /// Keys that fit before the table grows.
    pub(crate) fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// Removes the entry that lies at this address.
    pub(crate) fn remove_at(&mut self, hash: KeyHash, address: usize) -> Option<Blob> {
        let found = self.table.find_entry(hash.table(), |slot| slot.address() == address);
        found.ok().map(|entry| entry.remove().0.into_blob())
    }

    pub(crate) fn remove(&mut self, hash: KeyHash, key: &[u8]) -> Option<Blob> {
        let kept = hash.kept();
        let found =
            self.table.find_entry(hash.table(), |slot| slot.kept() == kept && slot.blob().key() == key);
        found.ok().map(|entry| entry.remove().0.into_blob())
    }

    /// Whether the table is so empty that shrinking it is worth it.
    pub(crate) fn is_sparse(&self) -> bool {
        let (len, buckets) = (self.table.len(), self.table.num_buckets());
        buckets > 16 && len * 8 <= buckets
    }

    /// Gives memory back after many removals; tells whether it did.
    pub(crate) fn shrink(&mut self, hasher: &KeyHasher) -> bool {
        let buckets = self.table.num_buckets();
        if !self.is_sparse() {
            return false;
        }
        self.table.shrink_to(self.table.len() * 2, |slot| hasher.hash(slot.blob().key()).table());
        self.table.num_buckets() < buckets
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = BlobRef<'_>> {
        self.table.iter().map(Slot::blob)
    }

    /// Visits up to `count` entries that follow a random place in the table, wrapping round.
    ///
    /// Neighbours in the table have nothing in common but hash bits, so they are as good a sample as any.
    pub(crate) fn sample<'a>(&'a self, random: u64, count: usize, mut visit: impl FnMut(BlobRef<'a>)) {
        let buckets = self.table.num_buckets();
        if self.table.is_empty() {
            return;
        }
        let start = usize::try_from(random % buckets as u64).expect("I3: below a usize");
        let mut left = count;
        for step in 0..buckets {
            let bucket = (start + step) & (buckets - 1);
            if let Some(slot) = self.table.get_bucket(bucket) {
                visit(slot.blob());
                left -= 1;
                if left == 0 {
                    return;
                }
            }
        }
    }

    /// One entry, each with the same probability, as long as `random` gives independent numbers.
    pub(crate) fn choose(&self, mut random: impl FnMut() -> u64) -> Option<BlobRef<'_>> {
        if self.table.is_empty() {
            return None;
        }
        let buckets = self.table.num_buckets() as u64;
        // A table is rarely emptier than one in eight; then sixty-four tries fail once in five thousand.
        for _ in 0..64 {
            let bucket = usize::try_from(random() % buckets).expect("I3: below a usize");
            if let Some(slot) = self.table.get_bucket(bucket) {
                return Some(slot.blob());
            }
        }
        let nth = usize::try_from(random() % self.table.len() as u64).expect("I3: below a usize");
        self.table.iter().nth(nth).map(Slot::blob)
    }

    /// Visits at least `count` entries (if there are so many) in the order of their kept hash bits, from `from`
    /// on, and returns where to go on: `None` behind the last. Entries of equal bits come together, so a key
    /// that stays is met exactly once, however often the table grows or shrinks between the calls.
    pub(crate) fn page<'a>(
        &'a self,
        from: u64,
        count: usize,
        mut visit: impl FnMut(BlobRef<'a>),
    ) -> Option<u64> {
        let mut places: Vec<u64> = self.table.iter().map(Slot::kept).filter(|&kept| kept >= from).collect();
        let last = if places.len() > count {
            let (_, &mut last, _) = places.select_nth_unstable(count.max(1) - 1);
            Some(last)
        } else {
            None
        };
        for slot in &self.table {
            let kept = slot.kept();
            if kept >= from && last.is_none_or(|last| kept <= last) {
                visit(slot.blob());
            }
        }
        last.map(|last| last + 1)
    }

    /// Where the table lies, for prefetching. The place of the control bytes is worked out from the address of an
    /// occupied bucket (data lies in reverse before them); should a later hashbrown lay it out otherwise,
    /// prefetches miss and nothing else changes.
    pub(crate) fn whereabouts(&self) -> Whereabouts {
        let buckets = self.table.num_buckets();
        let occupied =
            (0..buckets).find_map(|bucket| self.table.get_bucket(bucket).map(|slot| (bucket, slot)));
        let Some((bucket, slot)) = occupied else { return Whereabouts::default() };
        let address = std::ptr::from_ref(slot).addr();
        Whereabouts { control: address + (bucket + 1) * size_of::<Slot>(), mask: buckets - 1 }
    }

    /// Takes out up to `count` entries, for clearing a table in steps.
    pub(crate) fn drain_some(&mut self, count: usize, out: &mut Vec<Blob>) {
        let mut left = count;
        out.extend(
            self.table
                .extract_if(|_| {
                    let take = left > 0;
                    left -= usize::from(take);
                    take
                })
                .take(count)
                .map(Slot::into_blob),
        );
    }

    #[cfg(test)]
    pub(crate) fn validate(&self, hasher: &KeyHasher) {
        for slot in &self.table {
            let key = slot.blob().key();
            let hash = hasher.hash(key);
            assert_eq!(slot.kept(), hash.kept(), "I2: kept bits are the key's");
            let found = self.find(hash, key).expect("I1: every key is found");
            assert_eq!(found.address(), slot.address(), "I1: a key occurs at most once");
        }
    }
}
