//! W-TinyLFU (Einziger et al., ACM ToS 2017): a window LRU of 1 %, a segmented LRU behind it (protected
//! 80 %), and a frequency sketch that decides whether what leaves the window displaces what main would evict.
//!
//! The sketch is a count-min of four 4-bit counters a key, sixteen counters a word, one word or more per
//! expected entry. After ten accesses per expected entry every counter is halved. The window is fixed: the
//! hill climber of later Caffeine versions is not modelled.

use super::queues::Queues;
use super::{Policy, Setup};
use crate::trace::{Access, Random};

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;

/// W-TinyLFU with a fixed window.
pub(super) struct WTinyLfu {
    queues: Queues<3>,
    sketch: Sketch,
    capacity: u64,
    window_capacity: u64,
    protected_capacity: u64,
}

impl WTinyLfu {
    pub(super) fn new(setup: &Setup) -> Self {
        let window_capacity = (setup.capacity / 100).max(1);
        Self {
            queues: Queues::new(setup.keys),
            sketch: Sketch::new(setup.items),
            capacity: setup.capacity,
            window_capacity,
            protected_capacity: (setup.capacity - window_capacity) * 8 / 10,
        }
    }

    fn total_weight(&self) -> u64 {
        (WINDOW..=PROTECTED).map(|list| self.queues.weight_of(list)).sum()
    }

    fn hit(&mut self, key: u32, list: usize) {
        let is_protectable = self.queues.weight(key) <= self.protected_capacity;
        let target = if list == PROBATION && is_protectable { PROTECTED } else { list };
        self.queues.transfer(target, key);
        while self.queues.weight_of(PROTECTED) > self.protected_capacity {
            let demoted = self.queues.back(PROTECTED).expect("a list with weight has a back");
            self.queues.transfer(PROBATION, demoted);
        }
    }

    /// Moves the window's overflow to main, which keeps the more frequent of newcomer and victim.
    fn settle(&mut self) {
        while self.queues.weight_of(WINDOW) > self.window_capacity {
            let newcomer = self.queues.back(WINDOW).expect("a list with weight has a back");
            self.queues.transfer(PROBATION, newcomer);
            while self.total_weight() > self.capacity {
                let victim = self.queues.back(PROBATION).filter(|&key| key != newcomer);
                let victim = victim.or_else(|| self.queues.back(PROTECTED)).unwrap_or(newcomer);
                if victim == newcomer || self.sketch.estimate(newcomer) <= self.sketch.estimate(victim) {
                    self.queues.remove(newcomer);
                    break;
                }
                self.queues.remove(victim);
            }
        }
        // Main may have grown into room that the window left free; it gives that back.
        while self.total_weight() > self.capacity {
            let victim = [PROBATION, PROTECTED, WINDOW].into_iter().find_map(|list| self.queues.back(list));
            self.queues.remove(victim.expect("something weighs"));
        }
    }
}

impl Policy for WTinyLfu {
    fn access(&mut self, access: &Access) -> bool {
        self.sketch.add(access.key);
        match self.queues.list_of(access.key) {
            Some(list) if !self.queues.is_expired(access) => {
                self.hit(access.key, list);
                return true;
            }
            Some(_) => self.queues.remove(access.key),
            None => {}
        }
        if u64::from(access.size) <= self.capacity {
            self.queues.push(WINDOW, access);
            self.settle();
        }
        false
    }
}

/// Approximate, ageing access counts.
struct Sketch {
    words: Vec<u64>,
    added: usize,
    period: usize,
}

impl Sketch {
    const COUNTER_MAX: u64 = 15;
    /// Every counter's upper three bits.
    const HALVED: u64 = 0x7777_7777_7777_7777;

    fn new(items: usize) -> Self {
        Self { words: vec![0; items.max(16).next_power_of_two()], added: 0, period: 10 * items.max(16) }
    }

    /// Word and shift of each of the key's counters; the four never share one.
    fn counters(&self, key: u32) -> [(usize, u64); 4] {
        let (mut random, mask) = (Random::new(u64::from(key)), self.words.len() - 1);
        std::array::from_fn(|row| {
            let hash = random.next();
            (hash as usize & mask, 4 * (4 * row as u64 + (hash >> 62)))
        })
    }

    fn add(&mut self, key: u32) {
        let mut is_added = false;
        for (word, shift) in self.counters(key) {
            if self.words[word] >> shift & Self::COUNTER_MAX < Self::COUNTER_MAX {
                self.words[word] += 1 << shift;
                is_added = true;
            }
        }
        self.added += usize::from(is_added);
        if self.added >= self.period {
            self.added /= 2;
            self.words.iter_mut().for_each(|word| *word = *word >> 1 & Self::HALVED);
        }
    }

    fn estimate(&self, key: u32) -> u64 {
        let counters = self.counters(key);
        counters
            .map(|(word, shift)| self.words[word] >> shift & Self::COUNTER_MAX)
            .into_iter()
            .min()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::testing::{hits, random_trace, setup};

    #[test]
    fn the_sketch_counts_saturates_and_halves() {
        let mut sketch = Sketch::new(1_000);
        for _ in 0..20 {
            sketch.add(1);
        }
        sketch.add(2);
        assert_eq!((sketch.estimate(1), sketch.estimate(2), sketch.estimate(3)), (15, 1, 0));
        let mut key = 10;
        while sketch.added + 1 < sketch.period {
            sketch.add(key);
            key += 1;
        }
        let before = sketch.estimate(1);
        sketch.add(key);
        assert_eq!((before, sketch.estimate(1)), (15, 7));
    }

    #[test]
    fn the_sketch_never_underestimates_before_it_halves() {
        let mut sketch = Sketch::new(64);
        let mut counts = [0_u64; 100];
        let mut random = Random::new(5);
        for _ in 0..600 {
            let key = random.below(100).min(random.below(100));
            sketch.add(u32::try_from(key).expect("small"));
            counts[key as usize] += 1;
        }
        for (key, &count) in (0..).zip(&counts) {
            assert!(sketch.estimate(key) >= count.min(15), "{key}");
        }
    }

    #[test]
    fn by_hand() {
        // Window 1, main 2. 1 and 2 fill main while 3 sits in the window; 4 and 5 each find the window's
        // leaver no more frequent than 1, so main keeps 1 and 2.
        assert_eq!(hits(&mut WTinyLfu::new(&setup(3)), &[1, 2, 3, 4, 5, 1, 2, 5, 3]), [5, 6, 7]);
    }

    #[test]
    fn a_frequent_newcomer_displaces_a_rare_victim() {
        // 3 is seen three times before it leaves the window, so it takes the place of 1.
        assert_eq!(hits(&mut WTinyLfu::new(&setup(3)), &[1, 2, 3, 3, 3, 4, 3, 2, 1]), [3, 4, 6, 7]);
    }

    #[test]
    fn never_holds_more_than_its_capacity() {
        for seed in 0..40 {
            let (trace, capacity) = random_trace(seed);
            let mut cache = WTinyLfu::new(&Setup { capacity, ..setup(0) });
            for access in &trace {
                cache.access(access);
                assert!(cache.total_weight() <= capacity);
                assert!(cache.queues.weight_of(PROTECTED) <= cache.protected_capacity);
            }
        }
    }
}
