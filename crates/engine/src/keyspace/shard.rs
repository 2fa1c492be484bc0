//! One shard: the tables of all databases, their timers, the eviction state and the accounts, under one lock.
//!
//! ```text
//! Shard (own cache lines) = RwLock<ShardState> + where the first table lies (for prefetching)
//! ShardState = table of database 0 | tables of the others | wheel | ring, ghosts, clock | ledgers
//! ```
//! Invariants: I1: `bytes[kind]` is the sum of what the entries and structures of that kind are charged, and the byte
//! ledger's `used` is the sum over kinds. I2: the entry ledger's `used` is the number of entries. I3: every entry
//! with a deadline has a timer at or before it. I4: `changing` is set while a change is under way: found set by the next
//! caller, a panic interrupted a change, and the shard is served no more.

use std::sync::atomic::{AtomicUsize, Ordering};

use std::collections::BTreeMap;

use super::blob::{BlobRef, Idle, Kind, ValueRef};
use super::index::{ShardIndex, Whereabouts};
use super::interest::Interest;
use crate::clock::UnixMillis;
use crate::collections::Held;
#[cfg(any(test, fuzzing))]
use crate::collections::rules::LimitsHad;
use crate::collections::rules::{EncodingLimits, Rules};
use crate::eviction::{AccessClock, GhostTable, Ring};
use crate::expiry::{ExpiryWheel, Timer};
use crate::hash::KeyHash;
use crate::memory::{AllocatorModel, Amounts, KINDS, Kind as Bytes, Ledger};
use crate::random::Random;
use crate::sync::{Mutex, RwLock};
use crate::typed::FlightEntry;

/// What one entry costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    pub(crate) blob: u64,
    pub(crate) object: u64,
    pub(crate) weight: u64,
}

impl Cost {
    #[inline]
    pub(crate) fn of(blob: BlobRef<'_>, model: AllocatorModel) -> Self {
        let mut cost = Self { blob: model.charge(blob.size()), object: 0, weight: 0 };
        if blob.kind() == Kind::Large {
            if let ValueRef::Large(rope) = blob.value() {
                cost.blob += rope.charged(model);
            }
        }
        if let ValueRef::Collection(held) = blob.value() {
            cost.blob += model.charge(size_of::<Held>()) + held.body.charged(model);
        }
        if let Some(object) = blob.object() {
            cost.object = model.charge(object.allocation_bytes()).saturating_add(object.weight());
        }
        if let Some(weight) = blob.weight() {
            cost.weight = u64::from(weight);
        }
        cost
    }

    #[inline]
    pub(crate) fn bytes(self) -> u64 {
        self.blob.saturating_add(self.object)
    }

    pub(crate) fn amounts(self) -> Amounts {
        Amounts { bytes: self.bytes(), entries: 1, weight: self.weight }
    }
}

/// The expiry of an entry that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    deadline_ms: u64,
    pub(crate) idle: Option<Idle>,
}

impl Kept {
    #[inline]
    pub(crate) fn of(blob: BlobRef<'_>) -> Option<Self> {
        blob.deadline_ms().map(|deadline_ms| Self { deadline_ms, idle: blob.idle() })
    }

    /// The deadline that no read moves, if there is one.
    pub(crate) fn hard_ms(self) -> Option<u64> {
        match self.idle {
            Some(idle) => Some(idle.hard_ms).filter(|&hard| hard != UnixMillis::MAX.0),
            None => Some(self.deadline_ms),
        }
    }
}

/// Accounts of one shard.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) bytes: Ledger,
    pub(crate) entries: Ledger,
    pub(crate) weight: Ledger,
    pub(crate) kinds: [u64; KINDS],
}

impl Accounts {
    #[inline]
    pub(crate) fn kind(&self, kind: Bytes) -> u64 {
        self.kinds[kind as usize]
    }

    /// What all entries of the shard cost in bytes.
    #[inline]
    pub(crate) fn entry_bytes(&self) -> u64 {
        self.kind(Bytes::Blobs) + self.kind(Bytes::Objects)
    }
}

/// Everything that a shard's lock protects.
#[derive(Debug)]
pub(crate) struct ShardState {
    pub(super) first: ShardIndex,
    pub(super) clock: AccessClock,
    pub(super) changing: bool,
    pub(super) others: Vec<ShardIndex>,
    pub(crate) accounts: Accounts,
    pub(super) wheel: ExpiryWheel,
    pub(super) ring: Ring,
    pub(super) ghosts: GhostTable,
    /// Runners-up of the last sample, for the policies that keep them.
    pub(super) pool: [Timer; super::evict::POOL],
    pub(super) random: Random,
    /// Entry bytes when something was last evicted: while the shard stays near it, it counts as full.
    pub(super) full_bytes: u64,
    /// Entries with a deadline.
    pub(crate) volatile: usize,
    /// Entries in which something expires by itself: hashes with field deadlines.
    pub(super) timed_bodies: usize,
    /// The stamp of the last change of a collection.
    pub(super) stamps: u64,
    pub(crate) rules: Rules,
    #[cfg(any(test, fuzzing))]
    limits_had: LimitsHad,
    pub(super) pins: BTreeMap<(u16, Box<[u8]>), u32>,
    pub(crate) flights: Vec<FlightEntry>,
    pub(crate) interest: Interest,
    /// Where the sweep for invalidated copies goes on: database and kept hash bits.
    pub(super) dead_sweep: Option<(u16, u64)>,
    /// The invalidation clock when that sweep began, and when the last one that is complete did.
    pub(super) sweep_began_at: u32,
    pub(super) swept_at: u32,
}

impl ShardState {
    pub(crate) fn new(seed: u64, now_ms: u64, phase: u64, rules: Rules) -> Self {
        Self {
            first: ShardIndex::new(),
            clock: AccessClock::default(),
            changing: false,
            others: Vec::new(),
            accounts: Accounts::default(),
            wheel: ExpiryWheel::new(now_ms, phase),
            ring: Ring::default(),
            ghosts: GhostTable::default(),
            pool: super::evict::NO_POOL,
            random: Random::new(seed),
            full_bytes: u64::MAX,
            volatile: 0,
            timed_bodies: 0,
            stamps: 0,
            rules,
            #[cfg(any(test, fuzzing))]
            limits_had: LimitsHad::only(rules.limits),
            pins: BTreeMap::new(),
            flights: Vec::new(),
            interest: Interest::default(),
            dead_sweep: None,
            sweep_began_at: 0,
            swept_at: 0,
        }
    }

    /// The table of a database; one that was never written to is empty.
    #[inline]
    pub(crate) fn table(&self, db: u16) -> Option<&ShardIndex> {
        if db == 0 { Some(&self.first) } else { self.others.get(usize::from(db) - 1) }
    }

    /// The same, to take something out of it.
    #[inline]
    pub(super) fn table_mut(&mut self, db: u16) -> Option<&mut ShardIndex> {
        if db == 0 { Some(&mut self.first) } else { self.others.get_mut(usize::from(db) - 1) }
    }

    /// The table of a database, made if need be.
    #[inline]
    pub(super) fn table_or_new(&mut self, db: u16) -> &mut ShardIndex {
        if db == 0 {
            return &mut self.first;
        }
        let index = usize::from(db) - 1;
        if self.others.len() <= index {
            self.others.resize_with(index + 1, ShardIndex::new);
        }
        &mut self.others[index]
    }

    /// The bytes of the list of tables, the tables' own apart.
    pub(super) fn list_bytes(&self) -> usize {
        self.others.capacity() * size_of::<ShardIndex>()
    }

    /// The bytes that the list of tables will ask for to hold this database's, zero if it does.
    pub(super) fn list_growth_bytes(&self, db: u16) -> usize {
        if usize::from(db) <= self.others.capacity() {
            return 0;
        }
        usize::from(db).max(2 * self.others.capacity()).max(4) * size_of::<ShardIndex>()
    }

    #[inline]
    pub(crate) fn find(&self, db: u16, hash: KeyHash, key: &[u8]) -> Option<BlobRef<'_>> {
        self.table(db)?.find(hash, key)
    }

    pub(crate) fn clock(&self) -> &AccessClock {
        &self.clock
    }

    /// The tables that are there, with their databases.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (u16, &ShardIndex)> {
        std::iter::once(&self.first)
            .chain(&self.others)
            .enumerate()
            .map(|(db, table)| (u16::try_from(db).expect("I5: databases are numbered by u16"), table))
    }

    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.others.iter().map(ShardIndex::len).sum::<usize>()
    }

    /// When a timer may be due, at the earliest.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.wheel.next_due_ms()
    }

    /// Whether so many timers belong to keys that are gone that dropping them is worth a sweep.
    pub(super) fn timers_are_littered(&self) -> bool {
        self.wheel.len() > 2 * (self.volatile + self.timed_bodies) + 32
    }

    /// Whether there is something to clean beside due timers.
    pub(crate) fn has_work(&self, invalidations: u32) -> bool {
        self.swept_at != invalidations
            || self.timers_are_littered()
            || self.tables().any(|(_, table)| table.is_sparse())
    }

    pub(crate) fn timers(&self) -> usize {
        self.wheel.len()
    }

    /// Changes when collections change their encoding; those that are there follow when they change.
    pub(crate) fn set_limits(&mut self, limits: EncodingLimits) {
        self.rules.limits = limits;
        #[cfg(any(test, fuzzing))]
        self.limits_had.add(limits);
    }

    /// Checks I1 to I3 by counting anew.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, hasher: &crate::hash::KeyHasher, model: AllocatorModel) {
        let mut cost = Cost::default();
        let (mut entries, mut volatile, mut ring_entries, mut ring_cost) = (0, 0, 0, 0);
        let mut timed_bodies = 0;
        let least = Rules { limits: self.limits_had.least, ..self.rules };
        let most = Rules { limits: self.limits_had.most, ..self.rules };
        let mut index_bytes = model.charge(self.list_bytes());
        for (_, table) in self.tables() {
            #[cfg(test)]
            table.validate(hasher);
            #[cfg(not(test))]
            let _ = hasher;
            index_bytes += model.charge(table.allocated_bytes());
            for blob in table.iter() {
                let one = Cost::of(blob, model);
                cost.blob += one.blob;
                cost.object += one.object;
                cost.weight += one.weight;
                entries += 1;
                volatile += usize::from(blob.deadline_ms().is_some());
                if let ValueRef::Large(rope) = blob.value() {
                    rope.validate();
                }
                if let ValueRef::Collection(held) = blob.value() {
                    held.body.validate_between(&least, &most);
                    timed_bodies += usize::from(held.body.next_deadline_ms().is_some());
                }
                if blob.in_ring() {
                    ring_entries += 1;
                    ring_cost += one.bytes();
                }
            }
        }
        self.interest.validate();
        let accounts = &self.accounts;
        assert_eq!(accounts.kind(Bytes::Blobs), cost.blob, "I1: blobs");
        assert_eq!(accounts.kind(Bytes::Objects), cost.object, "I1: objects");
        assert_eq!(accounts.kind(Bytes::Index), index_bytes, "I1: index");
        assert_eq!(accounts.kinds.iter().sum::<u64>(), accounts.bytes.used(), "I1: sum of kinds");
        assert_eq!(accounts.entries.used(), entries, "I2");
        assert_eq!(accounts.weight.used(), cost.weight, "I2: weight");
        assert_eq!(self.volatile, volatile, "I3: count of volatile entries");
        assert_eq!(self.timed_bodies, timed_bodies, "I3: count of bodies with deadlines");
        assert!(self.wheel.len() >= volatile.max(timed_bodies), "I3: every volatile entry has a timer");
        assert_eq!((self.ring.entries, self.ring.cost), (ring_entries, ring_cost), "eviction I1");
        assert!(self.ring.len() >= ring_entries, "eviction I1: an item for every entry in the ring");
    }
}

/// A shard on cache lines of its own.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) state: RwLock<ShardState>,
    /// Held by the one thread that serves those who wait for this shard's keys; never taken with a shard's lock held.
    pub(crate) serving: Mutex<()>,
    control: AtomicUsize,
    mask: AtomicUsize,
}

impl Shard {
    pub(crate) fn new(state: ShardState) -> Self {
        Self {
            state: RwLock::new(state),
            serving: Mutex::new(()),
            control: AtomicUsize::new(0),
            mask: AtomicUsize::new(0),
        }
    }

    /// Where the table of database 0 lay when it last grew: a hint for prefetching.
    #[inline]
    pub(crate) fn whereabouts(&self) -> Whereabouts {
        Whereabouts { control: self.control.load(Ordering::Relaxed), mask: self.mask.load(Ordering::Relaxed) }
    }

    pub(crate) fn set_whereabouts(&self, place: Whereabouts) {
        self.control.store(place.control, Ordering::Relaxed);
        self.mask.store(place.mask, Ordering::Relaxed);
    }
}
