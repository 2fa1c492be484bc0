//! LRU: a hit moves the entry to the front, the back is evicted.

use super::queues::Queues;
use super::{Policy, Setup};
use crate::trace::Access;

/// Least recently used.
pub(super) struct Lru {
    queue: Queues<1>,
    capacity: u64,
}

impl Lru {
    pub(super) fn new(setup: &Setup) -> Self {
        Self { queue: Queues::new(setup.keys), capacity: setup.capacity }
    }
}

impl Policy for Lru {
    fn access(&mut self, access: &Access) -> bool {
        if self.queue.list_of(access.key).is_some() {
            if !self.queue.is_expired(access) {
                self.queue.transfer(0, access.key);
                return true;
            }
            self.queue.remove(access.key);
        }
        if u64::from(access.size) <= self.capacity {
            self.queue.push(0, access);
        }
        while self.queue.weight_of(0) > self.capacity {
            let victim = self.queue.back(0).expect("a list with weight has a back");
            self.queue.remove(victim);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::testing::{hits, random_trace, setup};

    #[test]
    fn by_hand() {
        // 1 2 3 fill, 1 is renewed, 4 evicts 2, so 2 misses and evicts 3.
        assert_eq!(hits(&mut Lru::new(&setup(3)), &[1, 2, 3, 1, 4, 2, 1, 4, 3]), [3, 6, 7]);
    }

    #[test]
    fn agrees_with_a_plain_vector() {
        for seed in 0..40 {
            let (trace, capacity) = random_trace(seed);
            let mut order: Vec<Access> = Vec::new();
            let mut lru = Lru::new(&Setup { capacity, ..setup(0) });
            for access in &trace {
                let found = order.iter().position(|held| held.key == access.key);
                let held = found.map(|at| order.remove(at)).filter(|held| access.now_ms < held.deadline_ms);
                assert_eq!(lru.access(access), held.is_some(), "seed {seed} at {}", access.now_ms);
                if u64::from(access.size) <= capacity {
                    order.push(held.unwrap_or(*access));
                }
                while order.iter().map(|held| u64::from(held.size)).sum::<u64>() > capacity {
                    order.remove(0);
                }
            }
        }
    }
}
