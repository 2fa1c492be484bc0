//! kevy-embedded: Redis types in-process. In memory only, eight shards, no thread of its own.
//!
//! It runs without a limit and stays out of the scenarios at capacity. Under `maxmemory` with `AllKeysLru`,
//! 7.0.0 charges its table's slots to the limit, evicted keys' slots included, and never gives them back: 20
//! B keys and 100 B values under 500 kB are 2,000 entries at first, and none at all after 10,000 inserts.
//! Without a limit its reads also take the shared lock, so this is its best side.

use super::keys::{Op, head};
use super::{Face, Setup, Store};
use kevy_embedded::Config;

/// A handle on one store.
pub(super) struct Kevy {
    store: kevy_embedded::Store,
}

const SHARDS: usize = 8;
const NO_ERROR: &str = "an in-memory store of strings has no reason to fail";

impl Kevy {
    pub(super) fn new(_: &Setup) -> Kevy {
        let config = Config::default().with_shards(SHARDS).with_ttl_reaper_manual();
        Kevy { store: kevy_embedded::Store::open(config).expect(NO_ERROR) }
    }
}

impl Store for Kevy {
    const NAME: &'static str = "kevy-embedded";
    const FACES: &'static [(Face, &'static str)] = &[
        (Face::Owned, Self::NAME),
        (Face::InPlace, "kevy-embedded get_with"),
        (Face::Many, "kevy-embedded mget of 16"),
    ];
    const BOUNDED: bool = false;

    fn fork(&self) -> Option<Self> {
        Some(Kevy { store: self.store.clone() })
    }

    fn get(&mut self, key: &[u8]) -> Option<u64> {
        self.store.get(key).expect(NO_ERROR).map(|value| head(&value))
    }

    fn view(&mut self, key: &[u8]) -> Option<u64> {
        self.store.get_with(key, |value| value.map(head)).expect(NO_ERROR)
    }

    fn get_many(&mut self, keys: &[Op], mut found: impl FnMut(usize, Option<u64>)) {
        let keys: Vec<&[u8]> = keys.iter().map(Op::key).collect();
        for (position, value) in self.store.mget(&keys).expect(NO_ERROR).into_iter().enumerate() {
            found(position, value.map(|value| head(&value)));
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.store.set(key, value).expect(NO_ERROR);
    }

    fn settle(&mut self) -> u64 {
        self.store.dbsize() as u64
    }
}
