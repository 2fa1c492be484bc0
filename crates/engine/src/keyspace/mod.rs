//! The keyspace: shards, their locks, and the way of one read and one write.
//!
//! ```text
//! key --hash--> shard --lock--> table of the database --> blob --> live? --> value out
//!                                                            `-- past its deadline, invalidated: not there
//! write: closure over ShardWrite; refused for want of room -> evict here, then elsewhere -> the closure runs again
//! after the lock: dead entries are announced and dropped (removal.rs, burial.rs)
//! ```
//! Invariants: I1: a closure that is refused has changed nothing but what eviction and expiry did. I2: at most one
//! shard is locked at a time, except by `read_many`, `write_pair`, `write_many` and sections, which lock in ascending order. I3: no
//! user code runs under a lock but the closures of `get_with` and transactions, and those are marked (local.rs). I4: inside a
//! section (section.rs) every door leads to the states that it holds, and locks nothing.

mod apply;
pub(crate) mod blob;
mod burial;
pub(crate) mod collect;
mod databases;
mod evict;
mod grave;
mod handle;
mod held;
pub(crate) mod index;
pub(crate) mod interest;
mod left;
mod limits;
pub(crate) mod meta;
mod record;
mod room;
pub(crate) mod rope;
pub(crate) mod section;
pub(crate) mod shard;
mod slot;
pub(crate) mod upkeep;
pub(crate) mod write;

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use std::collections::BTreeMap;

use self::blob::BlobRef;
use self::grave::Grave;
pub(crate) use self::handle::CoreHandle;
pub(crate) use self::left::Left;
use self::meta::Freshness;
use self::shard::{Shard, ShardState};
use self::write::ShardWrite;
use crate::collections::rules::Rules;
use crate::config::{Settings, TimeSource};
use crate::error::OpError;
use crate::eviction::Policy;
use crate::feed::Feed;
use crate::feed::log::Changelog;
use crate::hash::{KeyHash, KeyHasher};
use crate::local;
#[cfg(any(test, fuzzing))]
use crate::memory::RESOURCES;
use crate::memory::{Amounts, Budget, Kind as Bytes, MemoryUsage};
use crate::order::OrderedIndex;
use crate::pubsub::PubSub;
use crate::random::{Random, mix};
use crate::removal::{Bag, RemovalCause};
use crate::stats::{Counter, Counters, Operation};
use crate::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Why a write could not go on.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The operation itself refuses.
    Op(OpError),
    /// There is no room in this shard; `progress` tells whether evicting here freed some. The entry at address `spare`
    /// may not be evicted elsewhere either: the change is about to read or replace it.
    NoRoom { need: Amounts, progress: bool, spare: Option<usize> },
}

impl Refusal {
    /// The same for want of this much.
    pub(crate) fn needing(self, need: Amounts) -> Self {
        match self {
            Self::NoRoom { progress, spare, .. } => Self::NoRoom { need, progress, spare },
            op @ Self::Op(_) => op,
        }
    }
}

impl From<OpError> for Refusal {
    fn from(error: OpError) -> Self {
        Self::Op(error)
    }
}

/// The engine behind its handles.
pub(crate) struct Core {
    pub(crate) shards: Box<[CachePadded<Shard>]>,
    pub(crate) hasher: KeyHasher,
    pub(crate) settings: Settings,
    pub(crate) counters: Counters,
    pub(crate) freshness: Freshness,
    pub(crate) order: Option<OrderedIndex>,
    pub(crate) pubsub: PubSub,
    bytes: Budget,
    entries: Budget,
    weight: Budget,
    policy: AtomicU8,
    samples: AtomicUsize,
    /// Logical to physical numbers of the numbered databases; SWAPDB exchanges two.
    map: Box<[AtomicU16]>,
    names: Mutex<BTreeMap<String, u16>>,
    /// Where the search for room elsewhere, and maintenance, go on.
    rotor: AtomicUsize,
    pub(crate) maintain_rotor: AtomicUsize,
    chance: AtomicU64,
    pub(crate) feed: Feed,
    pub(crate) grave: Grave,
    /// The rules that every shard has a copy of.
    rules: RwLock<Rules>,
    seconds: AtomicU64,
    /// Callers that are blocked.
    pub(crate) waiting: AtomicUsize,
    /// Watches and waiters that could not leave when they were dropped.
    left: Mutex<Vec<Left>>,
    fixed_bytes: u64,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(settings: Settings) -> Self {
        let count = 1usize << settings.shard_bits;
        let now_ms = settings.clock.now().0;
        let rules = Rules { limits: settings.limits, model: settings.model, seed: mix(!settings.seed) };
        let shards: Box<[_]> = (0..count as u64)
            .map(|i| {
                let phase = mix(settings.seed ^ i) % 4_096;
                CachePadded::new(Shard::new(ShardState::new(
                    mix(settings.seed.wrapping_add(i)),
                    now_ms,
                    phase,
                    rules,
                )))
            })
            .collect();
        let model = settings.model;
        let freshness = Freshness::new(now_ms);
        let map: Box<[_]> = (0..settings.databases).map(AtomicU16::new).collect();
        let fixed_bytes = model.charge(size_of_val(&*shards))
            + model.charge(align_of::<Self>().max(2 * size_of::<usize>()) + size_of::<Self>())
            + model.charge(size_of_val(&*map))
            + freshness.fixed_bytes(model);
        let core = Self {
            bytes: Budget::new(settings.max_memory, count),
            entries: Budget::new(settings.max_entries, count),
            weight: Budget::new(settings.max_weight, count),
            policy: AtomicU8::new(settings.policy as u8),
            samples: AtomicUsize::new(settings.samples),
            hasher: KeyHasher::new(settings.seed),
            counters: Counters::new(settings.measure_latency),
            freshness,
            order: settings.ordered_index.then(OrderedIndex::new),
            pubsub: PubSub::new(mix(settings.seed)),
            map,
            names: Mutex::new(BTreeMap::new()),
            rotor: AtomicUsize::new(0),
            maintain_rotor: AtomicUsize::new(0),
            chance: AtomicU64::new(settings.seed),
            feed: Feed::new(settings.record_effects),
            grave: Grave::default(),
            rules: RwLock::new(rules),
            seconds: AtomicU64::new(now_ms / 1_000),
            waiting: AtomicUsize::new(0),
            left: Mutex::new(Vec::new()),
            fixed_bytes,
            shards,
            settings,
        };
        core.bytes.take_anyway(fixed_bytes);
        core
    }

    #[inline]
    pub(crate) fn now_ms(&self) -> u64 {
        if let Some(frozen) = local::frozen_ms() {
            return frozen;
        }
        let now = self.settings.clock.now().0;
        let seconds = now / 1_000;
        if self.seconds.load(Ordering::Relaxed) != seconds {
            self.seconds.store(seconds, Ordering::Relaxed);
        }
        now
    }

    /// The second in which the clock was last read; with a clock that was given, the present one.
    #[inline]
    pub(crate) fn seconds(&self) -> u64 {
        match &self.settings.clock {
            TimeSource::System(_) => self.seconds.load(Ordering::Relaxed),
            TimeSource::Given(clock) => clock.now().0 / 1_000,
        }
    }

    #[inline]
    /// How many entries a sampling policy compares.
    pub(crate) fn samples(&self) -> usize {
        self.samples.load(Ordering::Relaxed)
    }

    pub(crate) fn set_samples(&self, samples: usize) {
        self.samples.store(samples, Ordering::Relaxed);
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy::from_number(self.policy.load(Ordering::Relaxed))
    }

    /// A number that the seed and the calls so far determine.
    pub(crate) fn chance(&self) -> Random {
        Random::new(mix(self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)))
    }

    /// Measures an operation until the guard is dropped, if the engine was built to measure.
    #[inline]
    pub(crate) fn measure(&self, operation: Operation) -> Option<Measured<'_>> {
        let measures = self.counters.measures_latency();
        measures.then(|| Measured { core: self, operation, begun: self.settings.clock.elapsed() })
    }

    // ---- reading

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        self.hasher.hash(key)
    }

    #[inline]
    pub(crate) fn shard_of(&self, hash: KeyHash) -> usize {
        hash.shard(self.settings.shard_bits)
    }

    /// Shows a shard under its read lock.
    #[inline]
    pub(crate) fn read<R>(&self, shard: usize, f: impl FnOnce(&ShardState) -> R) -> Result<R, OpError> {
        if local::in_section() {
            return self.read_held(&[shard], |states| f(states[0]));
        }
        let state = self.shards[shard].state.read();
        if state.changing { Err(OpError::Poisoned) } else { Ok(f(&state)) }
    }

    /// Shows several shards, ascending and each once, at one moment.
    pub(crate) fn read_many<R>(
        &self,
        shards: &[usize],
        f: impl FnOnce(&[&ShardState]) -> R,
    ) -> Result<R, OpError> {
        debug_assert!(shards.is_sorted_by(|a, b| a < b), "I2: ascending, each once");
        if local::in_section() {
            return self.read_held(shards, f);
        }
        let locks: Vec<_> = shards.iter().map(|&shard| self.shards[shard].state.read()).collect();
        let states: Vec<&ShardState> = locks.iter().map(|lock| &**lock).collect();
        if states.iter().any(|state| state.changing) { Err(OpError::Poisoned) } else { Ok(f(&states)) }
    }

    /// Shows a shard for statistics, poisoned or not.
    ///
    /// # Panics
    /// Inside a transaction that does not hold it: there another shard may not be waited for.
    pub(crate) fn inspect<R>(&self, shard: usize, f: impl FnOnce(&ShardState) -> R) -> R {
        if local::in_section() {
            return self
                .read_held(&[shard], |states| f(states[0]))
                .unwrap_or_else(|_| panic!("inside a transaction statistics need Engine::exclusive"));
        }
        f(&self.shards[shard].state.read())
    }

    /// Whether an entry may be served: within its time, and fresh.
    #[inline]
    pub(crate) fn is_live(&self, blob: BlobRef<'_>) -> bool {
        blob.is_plain() || self.is_live_slow(blob)
    }

    fn is_live_slow(&self, blob: BlobRef<'_>) -> bool {
        self.death(blob, || self.now_ms()).is_none() && !blob.meta().is_some_and(meta::CacheMeta::is_negative)
    }

    /// Why an entry is dead, if it is.
    #[inline]
    pub(crate) fn death(&self, blob: BlobRef<'_>, now_ms: impl FnOnce() -> u64) -> Option<RemovalCause> {
        if blob.is_plain() {
            return None;
        }
        if blob.deadline_ms().is_some_and(|deadline| deadline <= now_ms()) {
            return Some(RemovalCause::Expired);
        }
        blob.meta().filter(|&meta| !self.freshness.is_fresh(meta)).map(|_| RemovalCause::Invalidated)
    }

    /// Marks an access: stamp, and the deadline of an entry with time-to-idle.
    #[inline]
    pub(crate) fn touch(&self, state: &ShardState, blob: BlobRef<'_>) {
        let stamping = self.policy().stamping();
        if let Some(stamp) = state.clock().next(stamping, blob.access(), || self.seconds()) {
            blob.set_access(stamp);
        }
        if let Some(idle) = blob.idle() {
            // The later of two racing readers may lose by a moment; the deadline never passes the hard one. A clock that
            // went back does not bring it nearer: its timer would come too late.
            let moved = self.now_ms().saturating_add(idle.idle_ms).min(idle.hard_ms);
            if blob.deadline_ms().is_none_or(|deadline| deadline < moved) {
                blob.set_deadline_ms(moved);
            }
        }
    }

    /// Finds a live entry, counts the hit or miss, marks the access and shows it to `f`, all under the read lock.
    #[inline]
    pub(crate) fn with_entry<R>(
        &self,
        db: u16,
        key: &[u8],
        f: impl FnOnce(BlobRef<'_>) -> R,
    ) -> Result<Option<R>, OpError> {
        self.with_hashed(db, self.hash(key), key, f)
    }

    /// The same with the hash at hand.
    #[inline]
    pub(crate) fn with_hashed<R>(
        &self,
        db: u16,
        hash: KeyHash,
        key: &[u8],
        f: impl FnOnce(BlobRef<'_>) -> R,
    ) -> Result<Option<R>, OpError> {
        let _measured = self.measure(Operation::Read);
        if local::in_section() {
            self.check_declared(db, key)?;
            let shard = self.shard_of(hash);
            let seen = self.read_held(&[shard], |states| {
                let found = self.hit(states[0], (db, hash, key));
                found.map(f)
            })?;
            if seen.is_none() {
                self.tell_of_miss(db, key);
            }
            return Ok(seen);
        }
        let state = self.lock_shared(hash)?;
        if let Some(blob) = self.hit(&state, (db, hash, key)) {
            return Ok(Some(f(blob)));
        }
        drop(state);
        self.tell_of_miss(db, key);
        Ok(None)
    }

    /// Finds a live entry, marks the access and counts the hit or miss.
    #[inline]
    fn hit<'s>(&self, state: &'s ShardState, (db, hash, key): (u16, KeyHash, &[u8])) -> Option<BlobRef<'s>> {
        let found = state.find(self.physical(db), hash, key).filter(|&blob| self.is_live(blob));
        match found {
            Some(blob) => {
                self.touch(state, blob);
                self.counters.add(Counter::Hits, 1);
            }
            None => self.counters.add(Counter::Misses, 1),
        }
        found
    }

    /// The read lock of a key's shard, for the shortest ways; never inside of a section.
    #[inline]
    pub(crate) fn lock_shared(&self, hash: KeyHash) -> Result<RwLockReadGuard<'_, ShardState>, OpError> {
        debug_assert!(!local::in_section(), "I4: a section holds its states already");
        let state = self.shards[self.shard_of(hash)].state.read();
        if state.changing { Err(OpError::Poisoned) } else { Ok(state) }
    }

    /// The same without a trace: no access mark, no count.
    pub(crate) fn peek_entry<R>(
        &self,
        db: u16,
        key: &[u8],
        f: impl FnOnce(BlobRef<'_>) -> R,
    ) -> Result<Option<R>, OpError> {
        let hash = self.hash(key);
        self.check_declared(db, key)?;
        self.read(self.shard_of(hash), |state| {
            let blob = state.find(self.physical(db), hash, key);
            blob.filter(|&blob| self.is_live(blob)).map(f)
        })
    }

    // ---- writing

    /// Runs a change of one key's shard. The closure may run several times: each time it was refused for want of
    /// room, room has been made; a refused run has changed nothing.
    #[inline]
    pub(crate) fn write<R>(
        &self,
        db: u16,
        key: &[u8],
        mut change: impl FnMut(&mut ShardWrite<'_>, KeyHash) -> Result<R, Refusal>,
    ) -> Result<R, OpError> {
        let hash = self.hash(key);
        let shard = self.shard_of(hash);
        if local::in_section() {
            self.check_declared(db, key)?;
            return self.write_held(&[shard], db, |writes| change(&mut writes[0], hash));
        }
        self.write_outside(shard, db, |write| change(write, hash))
    }

    /// The same for a shard that is known.
    pub(crate) fn write_in<R>(
        &self,
        shard: usize,
        db: u16,
        mut change: impl FnMut(&mut ShardWrite<'_>) -> Result<R, Refusal>,
    ) -> Result<R, OpError> {
        if local::in_section() {
            return self.write_held(&[shard], db, |writes| change(&mut writes[0]));
        }
        self.write_outside(shard, db, change)
    }

    #[inline]
    fn write_outside<R>(
        &self,
        shard: usize,
        db: u16,
        mut change: impl FnMut(&mut ShardWrite<'_>) -> Result<R, Refusal>,
    ) -> Result<R, OpError> {
        let _measured = self.measure(Operation::Write);
        loop {
            let mut bag = Bag::default();
            let outcome = self.write_shard(shard, db, &mut bag, &mut change);
            self.bury(bag);
            self.grave_slice();
            if let Some(done) = self.answer(outcome)? {
                return Ok(done);
            }
        }
    }

    /// What a run of a change means for its caller: done, refused for good, or (`None`) to be run again, because room
    /// has been made.
    fn answer<R>(&self, outcome: Result<R, Refusal>) -> Result<Option<R>, OpError> {
        match outcome {
            Ok(done) => Ok(Some(done)),
            Err(Refusal::Op(error)) => Err(error),
            Err(Refusal::NoRoom { progress: true, .. }) => Ok(None),
            Err(Refusal::NoRoom { need, spare, .. }) => self.make_room(need, spare).map(|()| None),
        }
    }

    fn write_shard<R>(
        &self,
        shard: usize,
        db: u16,
        bag: &mut Bag,
        change: impl FnOnce(&mut ShardWrite<'_>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let mut state = self.shards[shard].state.write();
        let log = Changelog::new(self.is_recording());
        let outcome = self.change(&mut state, shard, self.physical(db), (bag, &log), change);
        self.commit(&log);
        outcome
    }

    /// Runs a change on a locked shard. Should it panic, `changing` stays set.
    fn change<R>(
        &self,
        state: &mut RwLockWriteGuard<'_, ShardState>,
        shard: usize,
        db: u16,
        (bag, log): (&mut Bag, &Changelog),
        change: impl FnOnce(&mut ShardWrite<'_>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        if state.changing {
            return Err(OpError::Poisoned.into());
        }
        state.changing = true;
        let mut write = ShardWrite::new(self, state, shard, db, bag, (None, log));
        let outcome = change(&mut write);
        write.settle();
        state.changing = false;
        outcome
    }

    /// Runs a change over two keys' shards, both locked, the lower first.
    pub(crate) fn write_pair<R>(
        &self,
        from: (u16, &[u8]),
        to: (u16, &[u8]),
        mut change: impl FnMut(Pair<'_, '_, '_>) -> Result<R, Refusal>,
    ) -> Result<R, OpError> {
        let shards = [from.1, to.1].map(|key| self.shard_of(self.hash(key)));
        if local::in_section() {
            self.check_declared(from.0, from.1)?;
            self.check_declared(to.0, to.1)?;
            return self.pair_held(shards, [from.0, to.0], change);
        }
        loop {
            let mut bags = [Bag::default(), Bag::default()];
            let outcome = self.pair_once(shards, [from.0, to.0], &mut bags, &mut change);
            self.bury_each(bags);
            if let Some(done) = self.answer(outcome)? {
                return Ok(done);
            }
        }
    }

    fn pair_once<R>(
        &self,
        shards: [usize; 2],
        dbs: [u16; 2],
        bags: &mut [Bag; 2],
        change: &mut impl FnMut(Pair<'_, '_, '_>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let [from_bag, to_bag] = bags;
        let [from, to] = shards;
        if from == to {
            let mut state = self.shards[from].state.write();
            let dbs = dbs.map(|db| self.physical(db));
            let log = Changelog::new(self.is_recording());
            let outcome = self.change(&mut state, from, dbs[0], (from_bag, &log), |write| {
                change(Pair::Same { write, from: dbs[0], to: dbs[1] })
            });
            self.commit(&log);
            return outcome;
        }
        let lower = self.shards[from.min(to)].state.write();
        let upper = self.shards[from.max(to)].state.write();
        let (mut from_state, mut to_state) = if from < to { (lower, upper) } else { (upper, lower) };
        let dbs = dbs.map(|db| self.physical(db));
        let log = Changelog::new(self.is_recording());
        let outcome = self.change(&mut from_state, from, dbs[0], (from_bag, &log), |source| {
            self.change(&mut to_state, to, dbs[1], (to_bag, &log), |target| {
                change(Pair::Two { source, target })
            })
        });
        self.commit(&log);
        outcome
    }

    #[cold]
    fn pair_held<R>(
        &self,
        [from, to]: [usize; 2],
        dbs: [u16; 2],
        mut change: impl FnMut(Pair<'_, '_, '_>) -> Result<R, Refusal>,
    ) -> Result<R, OpError> {
        let dbs = dbs.map(|db| self.physical(db));
        if from == to {
            return self.write_held(&[from], 0, |writes| {
                change(Pair::Same { write: &mut writes[0], from: dbs[0], to: dbs[1] })
            });
        }
        self.write_held(&[from.min(to), from.max(to)], 0, |writes| {
            let [lower, upper] = writes else { unreachable!("two shards were asked for") };
            let (source, target) = if from < to { (lower, upper) } else { (upper, lower) };
            source.set_db(dbs[0]);
            target.set_db(dbs[1]);
            change(Pair::Two { source, target })
        })
    }

    /// Runs a change over several shards, ascending and without repetition, all of them locked.
    pub(crate) fn write_many<R>(
        &self,
        db: u16,
        shards: &[usize],
        mut change: impl FnMut(&mut [ShardWrite<'_>]) -> Result<R, Refusal>,
    ) -> Result<R, OpError> {
        debug_assert!(shards.is_sorted_by(|a, b| a < b), "I2: ascending, each once");
        if local::in_section() {
            return self.write_held(shards, db, change);
        }
        loop {
            let mut bags: Vec<Bag> = shards.iter().map(|_| Bag::default()).collect();
            let outcome = self.many_once(db, shards, &mut bags, &mut change);
            self.bury_each(bags);
            if let Some(done) = self.answer(outcome)? {
                return Ok(done);
            }
        }
    }

    fn many_once<R>(
        &self,
        db: u16,
        shards: &[usize],
        bags: &mut [Bag],
        change: &mut impl FnMut(&mut [ShardWrite<'_>]) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let mut states: Vec<_> = shards.iter().map(|&shard| self.shards[shard].state.write()).collect();
        if states.iter().any(|state| state.changing) {
            return Err(OpError::Poisoned.into());
        }
        states.iter_mut().for_each(|state| state.changing = true);
        let (db, log) = (self.physical(db), Changelog::new(self.is_recording()));
        let mut writes: Vec<ShardWrite<'_>> = states
            .iter_mut()
            .zip(shards)
            .zip(bags)
            .map(|((state, &shard), bag)| ShardWrite::new(self, state, shard, db, bag, (None, &log)))
            .collect();
        let outcome = change(&mut writes);
        writes.iter_mut().for_each(ShardWrite::settle);
        drop(writes);
        states.iter_mut().for_each(|state| state.changing = false);
        self.commit(&log);
        outcome
    }

    // ---- whole engine

    pub(crate) fn memory_usage(&self) -> MemoryUsage {
        let mut usage =
            MemoryUsage { fixed: self.fixed_bytes, limit: self.bytes.limit(), ..MemoryUsage::default() };
        for shard in 0..self.shards.len() {
            self.inspect(shard, |state| {
                let accounts = &state.accounts;
                usage.blobs += accounts.kind(Bytes::Blobs);
                usage.objects += accounts.kind(Bytes::Objects);
                usage.index += accounts.kind(Bytes::Index);
                usage.wheel += accounts.kind(Bytes::Wheel);
                usage.eviction += accounts.kind(Bytes::Eviction);
                usage.ordered_index += accounts.kind(Bytes::Order);
            });
        }
        usage.retired = self.grave.bytes();
        usage
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) {
        let mut used = [0; 3];
        for shard in 0..self.shards.len() {
            self.inspect(shard, |state| {
                state.validate(&self.hasher, self.settings.model);
                let accounts = &state.accounts;
                used[0] += accounts.bytes.used();
                used[1] += accounts.entries.used();
                used[2] += accounts.weight.used();
            });
        }
        used[0] += self.fixed_bytes + self.grave.bytes();
        crate::engine::wait::validate(self);
        for (resource, used) in RESOURCES.into_iter().zip(used) {
            assert!(used <= self.budget(resource).granted(), "{resource:?}: used {used} is granted");
        }
    }
}

/// An operation under measurement.
pub(crate) struct Measured<'a> {
    core: &'a Core,
    operation: Operation,
    begun: Duration,
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        let span = self.core.settings.clock.elapsed().saturating_sub(self.begun);
        self.core.counters.took(self.operation, span);
    }
}

/// The two ends of a change over two keys.
pub(crate) enum Pair<'a, 'b, 'c> {
    /// Both keys lie in one shard, perhaps in two databases.
    Same {
        /// The shard.
        write: &'a mut ShardWrite<'b>,
        /// The source's physical database.
        from: u16,
        /// The target's physical database.
        to: u16,
    },
    /// Each key has a shard of its own.
    Two {
        /// The source's shard.
        source: &'a mut ShardWrite<'b>,
        /// The target's shard.
        target: &'a mut ShardWrite<'c>,
    },
}
