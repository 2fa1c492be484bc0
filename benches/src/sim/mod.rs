//! Caches under one face for the hit-ratio bench: simulated policies, peers, and larder itself.
//!
//! A contestant answers one question per access: hit or not? On a miss it loads, that is, it stores the
//! entry if its policy wants to. Nothing else is measured here, above all no time.
//!
//! I1. An entry's deadline comes with the access that stores it and is the same for every contestant; an
//!     access at or after it is a miss (see the trace's module).
//! I2. Weights are what the access says: 1 where entries are counted, bytes where bytes are.
//! I3. An entry heavier than the whole capacity is never stored.
//! I4. Every contestant is deterministic: seeded or fixed hashes, one shard where shards can be chosen,
//!     background work run to the end after every access.

pub mod belady;
mod fifo;
mod larder;
mod lru;
mod peers;
mod queues;
mod s3fifo;
mod sieve;
mod wtinylfu;

use crate::trace::Access;

/// A cache, seen from its hits.
pub trait Policy {
    /// Makes one access and says whether it was a hit; stores the entry if it was not.
    fn access(&mut self, access: &Access) -> bool;
}

/// What a contestant may know before the first access.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Keys are `0..keys`.
    pub keys: usize,
    /// Limit, in entries or bytes.
    pub capacity: u64,
    /// About how many entries the capacity holds.
    pub items: usize,
    /// Whether the limit is in bytes.
    pub is_weighed: bool,
    /// Seed for what draws lots.
    pub seed: u64,
}

/// Where a contestant comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The engine under one of its policies.
    Larder,
    /// Another crate.
    Peer,
    /// A textbook policy, simulated here.
    Simulated,
}

/// Builds a contestant's cache.
type Build = fn(&Setup) -> Box<dyn Policy>;

/// The same with captured choices.
type BoxedBuild = Box<dyn Fn(&Setup) -> Box<dyn Policy>>;

/// The simulated policies.
const SIMULATED: [(&str, Build); 5] = [
    ("LRU", |setup| Box::new(lru::Lru::new(setup))),
    ("FIFO", |setup| Box::new(fifo::Fifo::new(setup))),
    ("S3-FIFO", |setup| Box::new(s3fifo::S3Fifo::new(setup))),
    ("SIEVE", |setup| Box::new(sieve::Sieve::new(setup))),
    ("W-TinyLFU", |setup| Box::new(wtinylfu::WTinyLfu::new(setup))),
];

/// One row of the tables.
pub struct Contestant {
    /// Name in the tables.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    build: BoxedBuild,
}

impl Contestant {
    /// Counts the hits of a run over the accesses, from empty.
    pub fn hits(&self, setup: &Setup, accesses: &[Access]) -> u64 {
        let mut policy = (self.build)(setup);
        let mut hits = 0;
        for access in accesses {
            let size = if setup.is_weighed { access.size } else { 1 };
            hits += u64::from(policy.access(&Access { size, ..*access }));
        }
        hits
    }
}

/// Everybody who runs, in the order of the tables.
pub fn contestants() -> Vec<Contestant> {
    let mut all = larder::contestants();
    let listed = |origin, list: &[(&str, Build)]| -> Vec<Contestant> {
        let row = |&(name, build): &(&str, Build)| Contestant {
            name: name.to_owned(),
            origin,
            build: Box::new(build),
        };
        list.iter().map(row).collect()
    };
    all.extend(listed(Origin::Peer, &peers::PEERS));
    all.extend(listed(Origin::Simulated, &SIMULATED));
    all
}

/// What the unit tests of the policies share.
#[cfg(test)]
mod testing {
    use super::{Policy, Setup};
    use crate::trace::{Access, NEVER_MS, Random};

    /// Keys below this.
    const KEYS: u32 = 16;

    pub(super) fn setup(capacity: u64) -> Setup {
        Setup { keys: KEYS as usize, capacity, items: 16, is_weighed: false, seed: 1 }
    }

    pub(super) fn from_keys(keys: &[u32]) -> Vec<Access> {
        let access = |(now_ms, &key)| Access { key, size: 1, now_ms, deadline_ms: NEVER_MS };
        (0..).zip(keys).map(access).collect()
    }

    /// Indices of the accesses that hit.
    pub(super) fn hits(policy: &mut impl Policy, keys: &[u32]) -> Vec<usize> {
        let accesses = from_keys(keys);
        (0..accesses.len()).filter(|&index| policy.access(&accesses[index])).collect()
    }

    /// A trace and a capacity: some with sizes, some with TTLs, some with both.
    pub(super) fn random_trace(seed: u64) -> (Vec<Access>, u64) {
        let mut random = Random::new(seed);
        let (with_size, with_ttl) = (seed % 2 == 1, seed % 4 >= 2);
        let mut versions = [0_u64; KEYS as usize];
        let mut accesses = Vec::new();
        for now_ms in 0..400 {
            let key = random.below(u64::from(KEYS)).min(random.below(u64::from(KEYS)));
            let version = &mut versions[key as usize];
            if *version <= now_ms {
                *version = if with_ttl { now_ms + 1 + random.below(60) } else { NEVER_MS };
            }
            let key = u32::try_from(key).expect("small");
            let size = if with_size { 1 + key * 5 % 7 } else { 1 };
            accesses.push(Access { key, size, now_ms, deadline_ms: *version });
        }
        (accesses, 2 + random.below(12))
    }
}
