//! The admission ring: new keys in the order in which they came.
//!
//! It remembers a key by 48 hash bits and its database, in eight bytes, like a timer; whether the entry is still
//! there, and still in the ring, is told by the entry's own mark.

use std::collections::VecDeque;

use crate::expiry::Timer;

/// The ring of one shard.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    queue: VecDeque<Timer>,
    /// What the entries that carry the ring mark cost.
    pub(crate) cost: u64,
    /// How many entries carry the ring mark.
    pub(crate) entries: usize,
}

impl Ring {
    pub(crate) fn push(&mut self, key: Timer) {
        self.queue.push_back(key);
    }

    pub(crate) fn pop(&mut self) -> Option<Timer> {
        self.queue.pop_front()
    }

    /// Puts an item back at the end: its entry may not leave now.
    pub(crate) fn requeue(&mut self, key: Timer) {
        self.queue.push_back(key);
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The bytes that so many more items may make the queue ask for.
    pub(crate) fn growth_bytes(&self, items: usize) -> usize {
        let mut capacity = self.queue.capacity();
        if self.queue.len() + items <= capacity {
            return 0;
        }
        while capacity < self.queue.len() + items {
            capacity = (capacity * 2).max(4);
        }
        capacity * size_of::<Timer>()
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        self.queue.capacity() * size_of::<Timer>()
    }

    /// Whether so many items belong to no entry any more that a sweep is worth it.
    pub(crate) fn is_littered(&self) -> bool {
        self.queue.len() > 2 * self.entries + 64
    }

    /// Drops the items that belong to no entry.
    pub(crate) fn sweep(&mut self, keep: impl FnMut(&Timer) -> bool) {
        self.queue.retain(keep);
        if self.queue.capacity() > 4 * self.queue.len() + 64 {
            self.queue.shrink_to(2 * self.queue.len());
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
