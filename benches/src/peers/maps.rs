//! Plain maps: two that cannot be shared (the floor) and two concurrent ones. None evicts.

use super::keys::head;
use super::{Face, Setup, Store};
use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const SEED: u64 = 0x6c61_7264_6572;

fn hash(key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, SEED)
}

/// Key and value in one block of fixed size, so that a pointer to it is 8 bytes.
struct Blob {
    key_len: u32,
    value_len: u32,
    bytes: [u8; Blob::MOST],
}

impl Blob {
    /// Room for the longest key and a value of 100 bytes.
    const MOST: usize = 124;

    fn new(key: &[u8], value: &[u8]) -> Box<Blob> {
        let mut bytes = [0; Blob::MOST];
        bytes[..key.len()].copy_from_slice(key);
        bytes[key.len()..key.len() + value.len()].copy_from_slice(value);
        Box::new(Blob { key_len: key.len() as u32, value_len: value.len() as u32, bytes })
    }

    fn key(&self) -> &[u8] {
        &self.bytes[..self.key_len as usize]
    }

    fn value(&self) -> &[u8] {
        &self.bytes[self.key_len as usize..][..self.value_len as usize]
    }
}

/// The engine's shape without its protection.
pub(super) struct UnprotectedTable {
    table: HashTable<Box<Blob>>,
}

impl UnprotectedTable {
    pub(super) fn new(setup: &Setup) -> UnprotectedTable {
        assert!(setup.value_len + 24 <= Blob::MOST, "the unprotected table holds values of up to 100 bytes");
        UnprotectedTable { table: HashTable::with_capacity(setup.expected.unwrap_or(0) as usize) }
    }
}

impl Store for UnprotectedTable {
    const NAME: &'static str = "unprotected-table";
    const FACES: &'static [(Face, &'static str)] = &[(Face::Owned, Self::NAME)];
    const BOUNDED: bool = false;

    fn fork(&self) -> Option<Self> {
        None
    }

    fn get(&mut self, key: &[u8]) -> Option<u64> {
        self.table.find(hash(key), |blob| blob.key() == key).map(|blob| head(blob.value()))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        let hashed = hash(key);
        let blob = Blob::new(key, value);
        match self.table.find_mut(hashed, |held| held.key() == key) {
            Some(held) => *held = blob,
            None => {
                self.table.insert_unique(hashed, blob, |held| hash(held.key()));
            }
        }
    }

    fn settle(&mut self) -> u64 {
        self.table.len() as u64
    }
}

/// `hashbrown::HashMap` of `Bytes`.
pub(super) struct UnprotectedMap {
    map: hashbrown::HashMap<Bytes, Bytes, FixedState>,
}

impl UnprotectedMap {
    pub(super) fn new(setup: &Setup) -> UnprotectedMap {
        let room = setup.expected.unwrap_or(0) as usize;
        UnprotectedMap { map: hashbrown::HashMap::with_capacity_and_hasher(room, FixedState::default()) }
    }
}

impl Store for UnprotectedMap {
    const NAME: &'static str = "unprotected-map";
    const FACES: &'static [(Face, &'static str)] =
        &[(Face::Owned, Self::NAME), (Face::InPlace, "unprotected-map, by reference")];
    const BOUNDED: bool = false;

    fn fork(&self) -> Option<Self> {
        None
    }

    fn get(&mut self, key: &[u8]) -> Option<u64> {
        self.map.get(key).cloned().map(|value| head(&value))
    }

    fn view(&mut self, key: &[u8]) -> Option<u64> {
        self.map.get(key).map(|value| head(value))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.map.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }

    fn settle(&mut self) -> u64 {
        self.map.len() as u64
    }
}

/// dashmap: a sharded map under locks.
pub(super) struct Dash {
    map: Arc<dashmap::DashMap<Bytes, Bytes, FixedState>>,
}

impl Dash {
    pub(super) fn new(setup: &Setup) -> Dash {
        let room = setup.expected.unwrap_or(0) as usize;
        Dash { map: Arc::new(dashmap::DashMap::with_capacity_and_hasher(room, FixedState::default())) }
    }
}

impl Store for Dash {
    const NAME: &'static str = "dashmap";
    const FACES: &'static [(Face, &'static str)] =
        &[(Face::Owned, Self::NAME), (Face::InPlace, "dashmap, by guard")];
    const BOUNDED: bool = false;

    fn fork(&self) -> Option<Self> {
        Some(Dash { map: Arc::clone(&self.map) })
    }

    fn get(&mut self, key: &[u8]) -> Option<u64> {
        self.map.get(key).map(|guard| guard.value().clone()).map(|value| head(&value))
    }

    fn view(&mut self, key: &[u8]) -> Option<u64> {
        self.map.get(key).map(|guard| head(guard.value()))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.map.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }

    fn settle(&mut self) -> u64 {
        self.map.len() as u64
    }
}

/// papaya: a map with lock-free reads.
pub(super) struct Papaya {
    map: Arc<papaya::HashMap<Bytes, Bytes, FixedState>>,
}

impl Papaya {
    pub(super) fn new(setup: &Setup) -> Papaya {
        let room = setup.expected.unwrap_or(0) as usize;
        Papaya { map: Arc::new(papaya::HashMap::with_capacity_and_hasher(room, FixedState::default())) }
    }
}

impl Store for Papaya {
    const NAME: &'static str = "papaya";
    const FACES: &'static [(Face, &'static str)] =
        &[(Face::Owned, Self::NAME), (Face::InPlace, "papaya, by guard")];
    const BOUNDED: bool = false;

    fn fork(&self) -> Option<Self> {
        Some(Papaya { map: Arc::clone(&self.map) })
    }

    fn get(&mut self, key: &[u8]) -> Option<u64> {
        self.map.pin().get(key).cloned().map(|value| head(&value))
    }

    fn view(&mut self, key: &[u8]) -> Option<u64> {
        self.map.pin().get(key).map(|value| head(value))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.map.pin().insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }

    fn settle(&mut self) -> u64 {
        self.map.len() as u64
    }
}
