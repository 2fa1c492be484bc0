//! S3-FIFO (Yang et al., SOSP 2023): a small FIFO of a tenth of the capacity in front of a main FIFO, and a
//! ghost FIFO as heavy as the main one.
//!
//! A new key enters the small queue, or the main one if the ghost remembers it. Leaving the small queue, an
//! entry hit twice or more goes to the main queue, any other is evicted into the ghost. The main queue
//! gives an entry as many more rounds as it had hits, three at most.

use super::queues::Queues;
use super::{Policy, Setup};
use crate::trace::Access;

const SMALL: usize = 0;
const MAIN: usize = 1;
const GHOST: usize = 2;

/// Share of the capacity that the small queue gets: one in so many.
const SMALL_SHARE: u64 = 10;
/// Hits that lift an entry from the small queue to the main one.
const PROMOTION_HITS: u8 = 2;
/// Hits are counted up to here.
const HITS_MAX: u8 = 3;

/// S3-FIFO.
pub(super) struct S3Fifo {
    queues: Queues<3>,
    hits: Vec<u8>,
    capacity: u64,
    small_capacity: u64,
}

impl S3Fifo {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            queues: Queues::new(setup.keys),
            hits: vec![0; setup.keys],
            capacity: setup.capacity,
            small_capacity: (setup.capacity / SMALL_SHARE).max(1),
        }
    }

    fn resident_weight(&self) -> u64 {
        self.queues.weight_of(SMALL) + self.queues.weight_of(MAIN)
    }

    fn main_capacity(&self) -> u64 {
        self.capacity - self.small_capacity
    }

    /// Evicts one entry.
    fn evict(&mut self) {
        let is_small_full = self.queues.weight_of(SMALL) >= self.small_capacity;
        if is_small_full || self.queues.back(MAIN).is_none() {
            self.evict_from_small();
        } else {
            self.evict_from_main();
        }
    }

    /// Evicts the first entry of the small queue that does not deserve the main one. If all do, none.
    fn evict_from_small(&mut self) {
        while let Some(key) = self.queues.back(SMALL) {
            if self.hits[key as usize] < PROMOTION_HITS {
                self.queues.transfer(GHOST, key);
                while self.queues.weight_of(GHOST) > self.main_capacity() {
                    let forgotten = self.queues.back(GHOST).expect("a list with weight has a back");
                    self.queues.remove(forgotten);
                }
                return;
            }
            self.hits[key as usize] = 0;
            self.queues.transfer(MAIN, key);
            while self.queues.weight_of(MAIN) > self.main_capacity() {
                self.evict_from_main();
            }
        }
    }

    fn evict_from_main(&mut self) {
        while let Some(key) = self.queues.back(MAIN) {
            let hits = &mut self.hits[key as usize];
            if *hits == 0 {
                return self.queues.remove(key);
            }
            *hits -= 1;
            self.queues.transfer(MAIN, key);
        }
    }
}

impl Policy for S3Fifo {
    fn access(&mut self, access: &Access) -> bool {
        let key = access.key as usize;
        let mut is_remembered = false;
        match self.queues.list_of(access.key) {
            None => {}
            Some(GHOST) => {
                // Taken off before room is made: making room may push it out of the ghost.
                is_remembered = true;
                self.queues.remove(access.key);
            }
            Some(_) if self.queues.is_expired(access) => self.queues.remove(access.key),
            Some(_) => {
                self.hits[key] = (self.hits[key] + 1).min(HITS_MAX);
                return true;
            }
        }
        let size = u64::from(access.size);
        if size <= self.capacity {
            while self.resident_weight() + size > self.capacity {
                self.evict();
            }
            self.hits[key] = 0;
            self.queues.push(if is_remembered { MAIN } else { SMALL }, access);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::testing::{hits, random_trace, setup};

    #[test]
    fn two_hits_lift_an_entry_out_of_a_scan() {
        // Capacity 10, small 1: key 0 has two hits, key 1 one. Ten more keys push both out of the small
        // queue: 0 lives on in main, 1 does not.
        let mut keys = vec![0, 0, 0, 1, 1];
        keys.extend(2..12);
        keys.extend([0, 1]);
        assert_eq!(hits(&mut S3Fifo::new(&setup(10)), &keys), [1, 2, 4, 15]);
    }

    #[test]
    fn the_ghost_sends_a_returning_key_to_main() {
        let mut cache = S3Fifo::new(&setup(10));
        // 0 and 1 are evicted from the small queue by 10 and 11; 0 comes back, into main, and evicts 2.
        let mut keys: Vec<u32> = (0..12).collect();
        keys.push(0);
        assert_eq!(hits(&mut cache, &keys), Vec::<usize>::new());
        assert_eq!(cache.queues.list_of(0), Some(MAIN));
        assert_eq!((cache.queues.list_of(1), cache.queues.list_of(2)), (Some(GHOST), Some(GHOST)));
        assert_eq!(cache.queues.list_of(3), Some(SMALL));
    }

    #[test]
    fn main_gives_rounds_for_hits() {
        let mut cache = S3Fifo::new(&setup(10));
        let access = |key| Access { key, size: 1, now_ms: 0, deadline_ms: 1 };
        for key in [7, 8, 9] {
            cache.queues.push(MAIN, &access(key));
        }
        cache.hits[7] = 2;
        cache.hits[8] = 1;
        for expected in [9, 8, 7] {
            cache.evict_from_main();
            assert_eq!(cache.queues.list_of(expected), None, "{expected}");
        }
    }

    #[test]
    fn never_holds_more_than_its_capacity() {
        for seed in 0..40 {
            let (trace, capacity) = random_trace(seed);
            let mut cache = S3Fifo::new(&Setup { capacity, ..setup(0) });
            for access in &trace {
                cache.access(access);
                assert!(cache.resident_weight() <= capacity);
                assert!(cache.queues.weight_of(GHOST) <= cache.main_capacity());
            }
        }
    }
}
