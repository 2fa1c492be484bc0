//! SIEVE: one queue that hits never reorder, and a hand that walks from the back to the front, clearing the
//! visited mark of those who have one and evicting the first who has none. It stays where it evicted.

use super::queues::Queues;
use super::{Policy, Setup};
use crate::trace::Access;

/// SIEVE (Zhang et al., NSDI 2024).
pub(super) struct Sieve {
    queue: Queues<1>,
    visited: Vec<bool>,
    /// Where the next search starts; the back if nowhere.
    hand: Option<u32>,
    capacity: u64,
}

impl Sieve {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            queue: Queues::new(setup.keys),
            visited: vec![false; setup.keys],
            hand: None,
            capacity: setup.capacity,
        }
    }

    fn remove(&mut self, key: u32) {
        if self.hand == Some(key) {
            self.hand = self.queue.before(key);
        }
        self.queue.remove(key);
    }

    fn evict(&mut self) {
        loop {
            let at = self.hand.or_else(|| self.queue.back(0)).expect("asked of a queue with weight");
            if !self.visited[at as usize] {
                self.hand = Some(at);
                return self.remove(at);
            }
            self.visited[at as usize] = false;
            self.hand = self.queue.before(at);
        }
    }
}

impl Policy for Sieve {
    fn access(&mut self, access: &Access) -> bool {
        if self.queue.list_of(access.key).is_some() {
            if !self.queue.is_expired(access) {
                self.visited[access.key as usize] = true;
                return true;
            }
            self.remove(access.key);
        }
        let size = u64::from(access.size);
        if size <= self.capacity {
            while self.queue.weight_of(0) + size > self.capacity {
                self.evict();
            }
            self.visited[access.key as usize] = false;
            self.queue.push(0, access);
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
        // 1 2 3, 1 marked. 4: the hand clears 1, evicts 2 and rests on 3. 5 evicts 3. 6 evicts 4, not 1.
        assert_eq!(hits(&mut Sieve::new(&setup(3)), &[1, 2, 3, 1, 4, 5, 6, 1, 5, 6, 4]), [3, 7, 8, 9]);
    }

    #[test]
    fn agrees_with_a_plain_vector() {
        for seed in 0..40 {
            let (trace, capacity) = random_trace(seed);
            // Oldest first; the hand is an index into it.
            let mut order: Vec<(Access, bool)> = Vec::new();
            let mut hand = 0;
            let mut sieve = Sieve::new(&Setup { capacity, ..setup(0) });
            for access in &trace {
                let found = order.iter().position(|(held, _)| held.key == access.key);
                let is_hit = found.is_some_and(|at| access.now_ms < order[at].0.deadline_ms);
                assert_eq!(sieve.access(access), is_hit, "seed {seed} at {}", access.now_ms);
                match found {
                    Some(at) if is_hit => {
                        order[at].1 = true;
                        continue;
                    }
                    Some(at) => {
                        order.remove(at);
                        hand -= usize::from(at < hand);
                        hand = if hand >= order.len() { 0 } else { hand };
                    }
                    None => {}
                }
                if u64::from(access.size) > capacity {
                    continue;
                }
                let weight = |order: &[(Access, bool)]| {
                    order.iter().map(|(held, _)| u64::from(held.size)).sum::<u64>()
                };
                while weight(&order) + u64::from(access.size) > capacity {
                    if order[hand].1 {
                        order[hand].1 = false;
                        hand += 1;
                    } else {
                        order.remove(hand);
                    }
                    hand = if hand >= order.len() { 0 } else { hand };
                }
                order.push((*access, false));
            }
        }
    }
}
