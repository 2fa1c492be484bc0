//! FIFO: the oldest entry is evicted, hits change nothing.

use super::queues::Queues;
use super::{Policy, Setup};
use crate::trace::Access;

/// First in, first out.
pub(super) struct Fifo {
    queue: Queues<1>,
    capacity: u64,
}

impl Fifo {
    pub(super) fn new(setup: &Setup) -> Self {
        Self { queue: Queues::new(setup.keys), capacity: setup.capacity }
    }
}

impl Policy for Fifo {
    fn access(&mut self, access: &Access) -> bool {
        if self.queue.list_of(access.key).is_some() {
            if !self.queue.is_expired(access) {
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
        // The hit on 1 does not save it from 4.
        assert_eq!(hits(&mut Fifo::new(&setup(3)), &[1, 2, 3, 1, 4, 1, 3, 4]), [3, 6, 7]);
    }

    #[test]
    fn agrees_with_a_plain_vector() {
        for seed in 0..40 {
            let (trace, capacity) = random_trace(seed);
            let mut order: Vec<Access> = Vec::new();
            let mut fifo = Fifo::new(&Setup { capacity, ..setup(0) });
            for access in &trace {
                order.retain(|held| held.key != access.key || access.now_ms < held.deadline_ms);
                let is_hit = order.iter().any(|held| held.key == access.key);
                assert_eq!(fifo.access(access), is_hit, "seed {seed} at {}", access.now_ms);
                if !is_hit && u64::from(access.size) <= capacity {
                    order.push(*access);
                }
                while order.iter().map(|held| u64::from(held.size)).sum::<u64>() > capacity {
                    order.remove(0);
                }
            }
        }
    }
}
