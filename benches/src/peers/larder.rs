//! The engine itself, as bytes and as typed values. Limits, statistics and deadlines are as a user gets them:
//! the default policy, everything on.

use super::keys::{Op, head};
use super::{Face, Setup, Store};
use ::larder::{Engine, SetOptions};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const IS_STRING: &str = "the benchmark stores nothing but strings and stays below every limit";

fn engine(setup: &Setup) -> Engine {
    let mut builder = Engine::builder();
    if let Some(limit) = setup.limit {
        builder = builder.max_entries(limit);
    }
    if let Some(expected) = setup.expected {
        builder = builder.expected_keys(expected);
    }
    builder.build().expect("limits above zero make a valid configuration")
}

/// A handle on an engine that stores byte strings. Each thread has one; on lines of its own, or the buffers' lengths
/// would be shared.
#[repr(align(128))]
pub(super) struct Bytes {
    engine: Engine,
    buffer: Vec<u8>,
    ttl: bool,
}

impl Bytes {
    pub(super) fn new(setup: &Setup) -> Bytes {
        Bytes { engine: engine(setup), buffer: Vec::with_capacity(setup.value_len), ttl: setup.ttl }
    }
}

impl Store for Bytes {
    const NAME: &'static str = "larder";
    const FACES: &'static [(Face, &'static str)] = &[
        (Face::Owned, Self::NAME),
        (Face::InPlace, "larder get_with"),
        (Face::Copied, "larder get_into"),
        (Face::Many, "larder get_many of 16"),
    ];
    const BOUNDED: bool = true;

    fn fork(&self) -> Option<Self> {
        Some(Bytes {
            engine: self.engine.clone(),
            buffer: Vec::with_capacity(self.buffer.capacity()),
            ttl: self.ttl,
        })
    }

    fn get(&mut self, key: &[u8]) -> Option<u64> {
        self.engine.get(key).expect(IS_STRING).map(|value| head(&value))
    }

    fn view(&mut self, key: &[u8]) -> Option<u64> {
        self.engine.get_with(key, head).expect(IS_STRING)
    }

    fn copy(&mut self, key: &[u8]) -> Option<u64> {
        let found = self.engine.get_into(key, &mut self.buffer).expect(IS_STRING);
        found.then(|| head(&self.buffer))
    }

    fn get_many(&mut self, keys: &[Op], mut found: impl FnMut(usize, Option<u64>)) {
        for (position, value) in self.engine.get_many(keys).expect(IS_STRING).into_iter().enumerate() {
            found(position, value.map(|value| head(&value)));
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        if self.ttl {
            // Deadlines spread over an hour, as jittered ones would.
            let ttl = Duration::from_millis(3_600_000 + head(value) % 3_600_000);
            self.engine.set_with(key, value, SetOptions::new().ttl(ttl)).expect(IS_STRING);
        } else {
            self.engine.set(key, value).expect(IS_STRING);
        }
    }

    fn settle(&mut self) -> u64 {
        self.engine.len().expect("no shard is poisoned")
    }
}

/// What the typed rows store: about 100 bytes when encoded.
#[derive(Serialize, Deserialize)]
struct Profile {
    id: u64,
    name: String,
    address: String,
    visits: u32,
    scores: Vec<u32>,
}

impl Profile {
    fn new(id: u64) -> Profile {
        Profile {
            id,
            name: format!("customer {id:016x}"),
            address: format!("{id:016x}@customers.example.org"),
            visits: 3,
            scores: vec![100_000, 200_000, 300_000],
        }
    }
}

/// A handle on an engine that stores decoded values.
pub(super) struct Typed {
    engine: Engine,
    profiles: ::larder::Typed<Profile>,
}

impl Typed {
    pub(super) fn new(setup: &Setup) -> Typed {
        let engine = engine(setup);
        Typed { profiles: engine.typed::<Profile>(), engine }
    }
}

impl Store for Typed {
    const NAME: &'static str = "larder-typed";
    const FACES: &'static [(Face, &'static str)] =
        &[(Face::InPlace, "larder typed get_with"), (Face::Owned, "larder typed get")];
    const BOUNDED: bool = true;

    fn fork(&self) -> Option<Self> {
        Some(Typed { engine: self.engine.clone(), profiles: self.profiles.clone() })
    }

    fn get(&mut self, key: &[u8]) -> Option<u64> {
        self.profiles.get(key).expect(IS_STRING).map(|profile| profile.id)
    }

    fn view(&mut self, key: &[u8]) -> Option<u64> {
        self.profiles.get_with(key, |profile| profile.id).expect(IS_STRING)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.profiles.set(key, Profile::new(head(value))).expect(IS_STRING);
    }

    fn settle(&mut self) -> u64 {
        self.engine.len().expect("no shard is poisoned")
    }
}
