//! The peers behind the face of the hit-ratio bench.
//!
//! The value is the entry's size and deadline. No peer has a clock that a test can turn, so the adapter
//! checks the deadline: what was found too late is removed and counts as a miss. Only a `get` that returns
//! the value counts as a hit.
//!
//! Peers with background work (moka, mini-moka) run it to the end after every access, which is the best
//! they can do; those with shards (quick_cache, foyer) get one, so that the capacity is exact. A peer that
//! all the same holds more than its capacity may pass the optimum; the bench then fails and says so.

use std::hash::{BuildHasherDefault, Hasher};

use mini_moka::sync::ConcurrentCacheExt as _;

use super::{Policy, Setup};
use crate::trace::{Access, Random};

/// The peers in the order of the tables.
pub(super) const PEERS: [(&str, super::Build); 6] = [
    ("moka", |setup| Box::new(Peer(Moka::new(setup), setup.capacity))),
    ("mini-moka", |setup| Box::new(Peer(MiniMoka::new(setup), setup.capacity))),
    ("quick_cache", |setup| Box::new(Peer(QuickCache::new(setup), setup.capacity))),
    ("foyer s3fifo", |setup| {
        Box::new(Peer(Foyer::new(setup, foyer::S3FifoConfig::default()), setup.capacity))
    }),
    ("foyer lru", |setup| Box::new(Peer(Foyer::new(setup, foyer::LruConfig::default()), setup.capacity))),
    ("foyer lfu", |setup| Box::new(Peer(Foyer::new(setup, foyer::LfuConfig::default()), setup.capacity))),
];

/// What is stored.
#[derive(Debug, Clone, Copy)]
struct Held {
    size: u32,
    deadline_ms: u64,
}

/// What every peer can do.
trait Store {
    fn get(&mut self, key: u32) -> Option<Held>;
    fn insert(&mut self, key: u32, held: Held);
    fn remove(&mut self, key: u32);
    /// Finishes what the peer does in the background.
    fn settle(&mut self) {}
}

/// A peer as a policy, with its capacity.
struct Peer<S>(S, u64);

impl<S: Store> Policy for Peer<S> {
    fn access(&mut self, access: &Access) -> bool {
        let held = self.0.get(access.key);
        let is_hit = held.is_some_and(|held| access.now_ms < held.deadline_ms);
        if !is_hit {
            if held.is_some() {
                self.0.remove(access.key);
            }
            if u64::from(access.size) <= self.1 {
                self.0.insert(access.key, Held { size: access.size, deadline_ms: access.deadline_ms });
            }
        }
        self.0.settle();
        is_hit
    }
}

/// A fixed hash, so that two runs agree.
type FixedHash = BuildHasherDefault<Mixer>;

/// One round of SplitMix64 over integer keys.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = Random::new(self.0 ^ value).next();
    }
}

struct Moka(moka::sync::Cache<u32, Held, FixedHash>);

impl Moka {
    fn new(setup: &Setup) -> Self {
        let builder = moka::sync::Cache::builder().max_capacity(setup.capacity);
        Self(builder.weigher(|_, held: &Held| held.size).build_with_hasher(FixedHash::default()))
    }
}

impl Store for Moka {
    fn get(&mut self, key: u32) -> Option<Held> {
        self.0.get(&key)
    }

    fn insert(&mut self, key: u32, held: Held) {
        self.0.insert(key, held);
    }

    fn remove(&mut self, key: u32) {
        self.0.invalidate(&key);
        self.0.run_pending_tasks();
    }

    fn settle(&mut self) {
        self.0.run_pending_tasks();
    }
}

struct MiniMoka(mini_moka::sync::Cache<u32, Held, FixedHash>);

impl MiniMoka {
    fn new(setup: &Setup) -> Self {
        let builder = mini_moka::sync::Cache::builder().max_capacity(setup.capacity);
        Self(builder.weigher(|_, held: &Held| held.size).build_with_hasher(FixedHash::default()))
    }
}

impl Store for MiniMoka {
    fn get(&mut self, key: u32) -> Option<Held> {
        self.0.get(&key)
    }

    fn insert(&mut self, key: u32, held: Held) {
        self.0.insert(key, held);
    }

    fn remove(&mut self, key: u32) {
        self.0.invalidate(&key);
        self.0.sync();
    }

    fn settle(&mut self) {
        self.0.sync();
    }
}

/// Weighs what quick_cache holds.
#[derive(Debug, Clone, Copy)]
struct BySize;

impl quick_cache::Weighter<u32, Held> for BySize {
    fn weight(&self, _key: &u32, held: &Held) -> u64 {
        u64::from(held.size)
    }
}

struct QuickCache(quick_cache::sync::Cache<u32, Held, BySize, FixedHash>);

impl QuickCache {
    fn new(setup: &Setup) -> Self {
        let options = quick_cache::OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(setup.items)
            .weight_capacity(setup.capacity)
            .build()
            .expect("both capacities are given");
        let lifecycle = quick_cache::sync::DefaultLifecycle::default();
        Self(quick_cache::sync::Cache::with_options(options, BySize, FixedHash::default(), lifecycle))
    }
}

impl Store for QuickCache {
    fn get(&mut self, key: u32) -> Option<Held> {
        self.0.get(&key)
    }

    fn insert(&mut self, key: u32, held: Held) {
        self.0.insert(key, held);
    }

    fn remove(&mut self, key: u32) {
        self.0.remove(&key);
    }
}

struct Foyer(foyer::Cache<u32, Held, FixedHash>);

impl Foyer {
    fn new(setup: &Setup, eviction: impl Into<foyer::EvictionConfig>) -> Self {
        let capacity = usize::try_from(setup.capacity).expect("capacities fit the address space");
        let builder = foyer::CacheBuilder::new(capacity).with_shards(1).with_eviction_config(eviction);
        let builder = builder.with_hash_builder(FixedHash::default());
        Self(builder.with_weighter(|_, held: &Held| held.size as usize).build())
    }
}

impl Store for Foyer {
    fn get(&mut self, key: u32) -> Option<Held> {
        self.0.get(&key).map(|entry| *entry.value())
    }

    fn insert(&mut self, key: u32, held: Held) {
        drop(self.0.insert(key, held));
    }

    fn remove(&mut self, key: u32) {
        drop(self.0.remove(&key));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{random_trace, setup};
    use super::*;

    #[test]
    fn every_peer_repeats_itself_and_respects_deadlines() {
        for (name, build) in PEERS {
            for seed in 0..12 {
                let (trace, _) = random_trace(seed);
                let run = || {
                    let mut policy = build(&Setup { capacity: 1_000, items: 16, ..setup(0) });
                    trace.iter().map(|access| policy.access(access)).collect::<Vec<_>>()
                };
                let hits = run();
                assert_eq!(hits, run(), "{name}, seed {seed}");
                // With room for all, a miss is the first access of a version and nothing else.
                let mut versions = std::collections::HashSet::new();
                for (access, &is_hit) in trace.iter().zip(&hits) {
                    let is_known = !versions.insert((access.key, access.deadline_ms));
                    assert_eq!(is_hit, is_known, "{name}, seed {seed} at {}", access.now_ms);
                }
            }
        }
    }
}
