//! The contestants behind one face.
//!
//! A `Store` is one thread's handle on a contestant; `Contestant` is the same thing with its type hidden, a
//! call a whole slice, so that every inner loop is compiled for its contestant. Each peer gets what suits it
//! best: `Bytes` for keys and values, foldhash where it takes a hasher, its own default number of shards
//! (kevy-embedded, whose default is one lock over everything, gets the eight that quick_cache takes on two
//! cores).
//!
//! - Every `set` starts from two byte slices and makes what the contestant keeps.
//! - Every `get` reads the first eight bytes of the value, so nobody is spared the value's memory.
//! - A contestant that can hold to a limit runs with one, in entries.
//!
//! The floor is `unprotected-table`: a `hashbrown::HashTable` of 8-byte pointers to blobs of key and value
//! under xxh3, which is the engine's own shape without locks, limits, deadlines and statistics.
//! `unprotected-map` is `hashbrown::HashMap<Bytes, Bytes>`. Neither can be shared between threads.

mod caches;
pub mod contest;
#[cfg(feature = "kevy")]
mod kevy;
pub mod keys;
mod larder;
mod maps;
pub mod run;
pub mod skiplist;

use keys::Op;
use run::{Contestant, Runner};

/// A way of reading a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Returns a value that outlives the call.
    Owned,
    /// Shows the value where it lies, under a lock or guard.
    InPlace,
    /// Copies the value into the caller's buffer.
    Copied,
    /// Reads sixteen keys in one call.
    Many,
}

/// How a contestant is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Most entries it may hold; none is unlimited, as far as the contestant can be.
    pub limit: Option<u64>,
    /// Entries to make room for at once.
    pub expected: Option<u64>,
    /// Bytes of a value.
    pub value_len: usize,
    /// Whether every entry gets a deadline of its own, an hour or more away.
    pub ttl: bool,
}

/// One thread's handle on a contestant. Every read returns the first eight bytes of the value it found.
pub trait Store: Send + Sized + 'static {
    /// What tables call it.
    const NAME: &'static str;
    /// Ways of reading and their names in tables; the first is the main one.
    const FACES: &'static [(Face, &'static str)];
    /// Whether it can be told to evict.
    const BOUNDED: bool;

    /// Returns another handle on the same data, for another thread.
    fn fork(&self) -> Option<Self>;

    /// Reads a key into a value of the caller's own.
    fn get(&mut self, key: &[u8]) -> Option<u64>;

    /// Reads a key in place.
    fn view(&mut self, key: &[u8]) -> Option<u64> {
        self.get(key)
    }

    /// Copies a value into a buffer that the handle keeps.
    fn copy(&mut self, key: &[u8]) -> Option<u64> {
        self.get(key)
    }

    /// Reads many keys at once and reports each in order.
    fn get_many(&mut self, keys: &[Op], mut found: impl FnMut(usize, Option<u64>)) {
        for (position, op) in keys.iter().enumerate() {
            found(position, self.get(op.key()));
        }
    }

    /// Writes a key.
    fn set(&mut self, key: &[u8], value: &[u8]);

    /// Finishes what the contestant has put off, and returns how many entries it holds.
    fn settle(&mut self) -> u64;
}

/// Names of everything that can be built, in the order of the tables.
pub const ROSTER: &[&str] = &[
    "larder",
    "quick_cache",
    "moka",
    "mini-moka",
    "foyer",
    "dashmap",
    "papaya",
    #[cfg(feature = "kevy")]
    "kevy-embedded",
    "unprotected-map",
    "unprotected-table",
];

/// Says who is missing and why.
pub fn left_out() -> Option<&'static str> {
    let reason = "kevy-embedded is left out: 7.0.0 declares Rust 1.97; add `--features kevy`, and on an \
                  older compiler `--ignore-rust-version`, with which it builds on 1.95.";
    (!cfg!(feature = "kevy")).then_some(reason)
}

/// Builds a contestant by its name.
pub fn build(name: &str, setup: &Setup) -> Option<Box<dyn Contestant>> {
    Some(match name {
        "larder" => Box::new(Runner::new(larder::Bytes::new(setup))),
        "larder-typed" => Box::new(Runner::new(larder::Typed::new(setup))),
        "quick_cache" => Box::new(Runner::new(caches::QuickCache::new(setup))),
        "moka" => Box::new(Runner::new(caches::Moka::new(setup))),
        "mini-moka" => Box::new(Runner::new(caches::MiniMoka::new(setup))),
        "foyer" => Box::new(Runner::new(caches::Foyer::new(setup))),
        "dashmap" => Box::new(Runner::new(maps::Dash::new(setup))),
        "papaya" => Box::new(Runner::new(maps::Papaya::new(setup))),
        #[cfg(feature = "kevy")]
        "kevy-embedded" => Box::new(Runner::new(kevy::Kevy::new(setup))),
        "unprotected-map" => Box::new(Runner::new(maps::UnprotectedMap::new(setup))),
        "unprotected-table" => Box::new(Runner::new(maps::UnprotectedTable::new(setup))),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::keys::{KeyShape, Kind};
    use super::*;
    use std::time::Duration;

    const SETUP: Setup = Setup { limit: Some(4_000), expected: None, value_len: 100, ttl: false };

    #[test]
    fn everyone_finds_what_was_stored() {
        for name in ROSTER.iter().chain(["larder-typed"].iter()) {
            let mut contestant = build(name, &SETUP).expect("the roster lists what can be built");
            contestant.fill(0..1_000, KeyShape::Mixed, 100);
            assert_eq!(contestant.settle(), 1_000, "{name}");
            let stream: Vec<Op> = (0..1_000).map(|i| Op::new(Kind::Get, i, KeyShape::Mixed)).collect();
            let absent: Vec<Op> = (1_000..2_000).map(|i| Op::new(Kind::Get, i, KeyShape::Mixed)).collect();
            for (face, label) in contestant.faces() {
                for (ops, hit_share) in [(&stream, 1.0), (&absent, 0.0)] {
                    let plan = run::Plan {
                        streams: std::slice::from_ref(ops),
                        offset: 0,
                        length: Duration::from_millis(1),
                        value_len: 100,
                    };
                    let slice = contestant.slice(*face, &plan).expect("one thread always runs");
                    assert!(slice.gets >= 16, "{label} made no reads");
                    assert_eq!(slice.hit_share(), hit_share, "{label}");
                }
            }
        }
    }

    #[test]
    fn limits_hold() {
        for name in ROSTER {
            let mut contestant = build(name, &SETUP).expect("the roster lists what can be built");
            contestant.fill(0..40_000, KeyShape::Mixed, 100);
            let held = contestant.settle();
            let most = if contestant.bounded() { 4_800 } else { 40_000 };
            assert!(held <= most && held >= 1_000, "{name} holds {held}");
        }
    }

    #[test]
    fn two_threads_share_what_can_be_shared() {
        let streams: Vec<Vec<Op>> =
            (0..2).map(|_| (0..512).map(|i| Op::new(Kind::Get, i, KeyShape::Mixed)).collect()).collect();
        let plan =
            run::Plan { streams: &streams, offset: 0, length: Duration::from_millis(1), value_len: 100 };
        for name in ROSTER {
            let mut contestant = build(name, &SETUP).expect("the roster lists what can be built");
            contestant.fill(0..512, KeyShape::Mixed, 100);
            let slice = contestant.slice(Face::Owned, &plan);
            assert_eq!(slice.is_some(), contestant.shareable(), "{name}");
            assert!(slice.is_none_or(|s| s.threads == 2 && s.hit_share() == 1.0), "{name}");
        }
    }
}
