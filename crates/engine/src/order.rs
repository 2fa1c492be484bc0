//! The opt-in ordered key index: every key of every database in byte order, for prefix and range scans.
//!
//! A lock-free skip list (crossbeam-skiplist). A writer changes it inside its shard's lock, so per key it follows
//! the table; a reader walks it without any lock and asks the table whether what it meets is still there.
//! Costs: a write O(log n) more; a scan O(log n + what it returns).

use std::ops::Bound;

use crossbeam_skiplist::SkipSet;

use crate::memory::AllocatorModel;

/// A skip-list node beside the key's own bytes: links for an average tower, counters, the database and the box.
const NODE_BYTES: usize = 56;

/// A key with its database; the database comes first in the order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    db: u16,
    key: Box<[u8]>,
}

/// Keys in order.
#[derive(Debug)]
pub(crate) struct OrderedIndex {
    set: SkipSet<Place>,
}

impl OrderedIndex {
    pub(crate) fn new() -> Self {
        Self { set: SkipSet::new() }
    }

    /// What one key is charged: its bytes and an average node.
    pub(crate) fn entry_bytes(key_bytes: usize, model: AllocatorModel) -> u64 {
        model.charge(key_bytes) + model.charge(NODE_BYTES)
    }

    pub(crate) fn insert(&self, db: u16, key: &[u8]) {
        self.set.insert(Place { db, key: key.into() });
    }

    pub(crate) fn remove(&self, db: u16, key: &[u8]) {
        self.set.remove(&Place { db, key: key.into() });
    }

    /// Visits the keys of a database within the bounds, in order, until `visit` returns `false`.
    pub(crate) fn walk(
        &self,
        db: u16,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        mut visit: impl FnMut(&[u8]) -> bool,
    ) {
        let place = |key: &[u8]| Place { db, key: key.into() };
        let lower = match from {
            Bound::Included(key) => Bound::Included(place(key)),
            Bound::Excluded(key) => Bound::Excluded(place(key)),
            Bound::Unbounded => Bound::Included(place(b"")),
        };
        for entry in self.set.range((lower, Bound::Unbounded)) {
            let Place { db: its_db, key } = entry.value();
            let inside = match to {
                Bound::Included(end) => &**key <= end,
                Bound::Excluded(end) => &**key < end,
                Bound::Unbounded => true,
            };
            if *its_db != db || !inside || !visit(key) {
                return;
            }
        }
    }
}

/// The first key behind all keys that begin with `prefix`.
pub(crate) fn prefix_end(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_stay_in_their_database_and_bounds() {
        let order = OrderedIndex::new();
        for key in ["a", "b1", "b2", "b3", "c"] {
            order.insert(1, key.as_bytes());
        }
        order.insert(0, b"b0");
        order.insert(2, b"b9");
        order.remove(1, b"b2");
        let walk = |from, to| {
            let mut keys = Vec::new();
            order.walk(1, from, to, |key| {
                keys.push(String::from_utf8(key.to_vec()).expect("text"));
                true
            });
            keys
        };
        let end = prefix_end(b"b");
        assert_eq!(walk(Bound::Included(b"b"), end.as_ref().map(Vec::as_slice)), ["b1", "b3"]);
        assert_eq!(walk(Bound::Unbounded, Bound::Unbounded), ["a", "b1", "b3", "c"]);
        assert_eq!(walk(Bound::Excluded(b"b1"), Bound::Included(b"c")), ["b3", "c"]);
    }

    #[test]
    fn prefix_ends_carry() {
        assert_eq!(prefix_end(b"ab"), Bound::Excluded(b"ac".to_vec()));
        assert_eq!(prefix_end(b"a\xff"), Bound::Excluded(b"b".to_vec()));
        assert_eq!(prefix_end(b"\xff\xff"), Bound::Unbounded);
        assert_eq!(prefix_end(b""), Bound::Unbounded);
    }
}
