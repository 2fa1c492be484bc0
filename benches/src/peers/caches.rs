//! Caches that evict: quick_cache, moka, mini-moka and foyer, each with `Bytes` and foldhash.

use super::keys::head;
use super::{Face, Setup, Store};
use bytes::Bytes;
use foldhash::fast::FixedState;
use std::sync::Arc;

/// What stands for "no limit" where a limit has to be given; small enough that nothing is sized by it.
const NO_LIMIT: u64 = 1 << 32;

fn limit_of(setup: &Setup) -> u64 {
    setup.limit.unwrap_or(NO_LIMIT)
}

/// quick_cache: sharded Clock-Pro under locks.
pub(super) struct QuickCache {
    cache: Arc<quick_cache::sync::Cache<Bytes, Bytes, quick_cache::UnitWeighter, FixedState>>,
}

impl QuickCache {
    pub(super) fn new(setup: &Setup) -> QuickCache {
        let limit = limit_of(setup);
        let items = setup.limit.or(setup.expected).unwrap_or(1 << 20) as usize;
        let cache = quick_cache::sync::Cache::with(
            items,
            limit,
            quick_cache::UnitWeighter,
            FixedState::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        if let Some(room) = setup.expected {
            cache.reserve(room as usize);
        }
        QuickCache { cache: Arc::new(cache) }
    }
}

impl Store for QuickCache {
    const NAME: &'static str = "quick_cache";
    const FACES: &'static [(Face, &'static str)] = &[(Face::Owned, Self::NAME)];
    const BOUNDED: bool = true;

    fn fork(&self) -> Option<Self> {
        Some(QuickCache { cache: Arc::clone(&self.cache) })
    }

    fn get(&mut self, key: &[u8]) -> Option<u64> {
        self.cache.get(key).map(|value| head(&value))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.cache.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }

    fn settle(&mut self) -> u64 {
        self.cache.len() as u64
    }
}

/// moka: W-TinyLFU with buffered reads and writes.
pub(super) struct Moka {
    cache: moka::sync::Cache<Bytes, Bytes, FixedState>,
}

impl Moka {
    pub(super) fn new(setup: &Setup) -> Moka {
        let cache = moka::sync::Cache::builder()
            .max_capacity(limit_of(setup))
            .initial_capacity(setup.expected.unwrap_or(0) as usize)
            .build_with_hasher(FixedState::default());
        Moka { cache }
    }
}

impl Store for Moka {
    const NAME: &'static str = "moka";
    const FACES: &'static [(Face, &'static str)] = &[(Face::Owned, Self::NAME)];
    const BOUNDED: bool = true;

    fn fork(&self) -> Option<Self> {
        Some(Moka { cache: self.cache.clone() })
    }

    fn get(&mut self, key: &[u8]) -> Option<u64> {
        self.cache.get(key).map(|value| head(&value))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.cache.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }

    fn settle(&mut self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }
}

/// mini-moka: moka's small sibling. It can be asked only with a whole key, so a read first makes a `Bytes` of
/// the slice; that is part of its price.
pub(super) struct MiniMoka {
    cache: mini_moka::sync::Cache<Bytes, Bytes, FixedState>,
}

impl MiniMoka {
    pub(super) fn new(setup: &Setup) -> MiniMoka {
        let cache = mini_moka::sync::Cache::builder()
            .max_capacity(limit_of(setup))
            .initial_capacity(setup.expected.unwrap_or(0) as usize)
            .build_with_hasher(FixedState::default());
        MiniMoka { cache }
    }
}

impl Store for MiniMoka {
    const NAME: &'static str = "mini-moka";
    const FACES: &'static [(Face, &'static str)] = &[(Face::Owned, Self::NAME)];
    const BOUNDED: bool = true;

    fn fork(&self) -> Option<Self> {
        Some(MiniMoka { cache: self.cache.clone() })
    }

    fn get(&mut self, key: &[u8]) -> Option<u64> {
        self.cache.get(&Bytes::copy_from_slice(key)).map(|value| head(&value))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.cache.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }

    fn settle(&mut self) -> u64 {
        mini_moka::sync::ConcurrentCacheExt::sync(&self.cache);
        self.cache.entry_count()
    }
}

/// foyer's in-memory cache with S3-FIFO; a hit is a counted handle, which is its own kind of owned value.
pub(super) struct Foyer {
    cache: foyer::Cache<Bytes, Bytes, FixedState>,
}

impl Foyer {
    pub(super) fn new(setup: &Setup) -> Foyer {
        let cache = foyer::CacheBuilder::new(limit_of(setup) as usize)
            .with_eviction_config(foyer::S3FifoConfig::default())
            .with_hash_builder(FixedState::default())
            .build();
        Foyer { cache }
    }
}

impl Store for Foyer {
    const NAME: &'static str = "foyer";
    const FACES: &'static [(Face, &'static str)] = &[(Face::Owned, Self::NAME)];
    const BOUNDED: bool = true;

    fn fork(&self) -> Option<Self> {
        Some(Foyer { cache: self.cache.clone() })
    }

    fn get(&mut self, key: &[u8]) -> Option<u64> {
        self.cache.get(key).map(|entry| head(entry.value()))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.cache.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }

    fn settle(&mut self) -> u64 {
        self.cache.entries() as u64
    }
}
