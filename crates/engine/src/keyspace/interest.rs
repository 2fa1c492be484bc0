//! Who is interested in a key of this shard: those that watch it, and those that wait for something to come.
//!
//! ```text
//! (logical database, key) -> watchers: flags            any touch sets them, at once and under the lock
//!                            queue: ticket -> waiter    a touch that may bring something puts the key into the bag
//! ```
//! The bag goes out after the locks, and with it the readiness: engine/wait serves the queue then.
//!
//! Invariants: I1: an entry has a watcher or a waiter. I2: a waiter that is listed under one of its keys is listed under all
//! of them, once no call is under way. I3: the queue is in the order of the tickets, which is the order of service. I4:
//! databases are logical ones, as in Redis: SWAPDB exchanges the keys below those who wait for them.
//!
//! Costs: a change of a key while nobody is interested in any: one load and one branch. Otherwise O(1) to find the key, O(w)
//! for its w watchers, O(log n) to join and to leave a queue of n. The registry is not counted in the engine's bytes: it
//! belongs to those who wait.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

use super::Core;
use super::section::Log;
use super::shard::ShardState;
use super::write::ShardWrite;
use crate::engine::Engine;
use crate::engine::wait::{Blocked, Kind, Kinds};
use crate::hash::KeyHash;

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    /// It holds another value.
    Put,
    /// What it holds was changed, in a way that may be what somebody waits for.
    Grown,
    /// What it holds was changed, and there is nothing to wait for in it.
    Changed,
    /// It is gone.
    Removed,
    /// It will expire at another time.
    Deadline,
}

impl Touch {
    /// Whether it may be what somebody in a queue waits for: of a key that is gone only readers of a group hear.
    fn readies(self, queued: &[usize; Kind::COUNT]) -> bool {
        match self {
            Self::Put | Self::Grown => queued.iter().any(|&count| count > 0),
            Self::Removed => queued[Kind::Group as usize] > 0,
            Self::Changed | Self::Deadline => false,
        }
    }
}

/// A key for which something may have come, on its way out of the lock.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The engine, with the logical database.
    pub(crate) engine: Engine,
    pub(crate) key: Box<[u8]>,
    /// Whether only one kind of waiters is asked.
    pub(crate) only: Option<Kind>,
}

/// Who is to be told of a change: at once, or when the section that made it commits.
#[derive(Debug, Default)]
pub(super) struct Told {
    flags: Vec<Arc<AtomicBool>>,
    ready: Vec<Ready>,
}

impl Told {
    /// Marks the watchers; the shards are still locked.
    pub(super) fn mark(&mut self) {
        for flag in self.flags.drain(..) {
            flag.store(true, Ordering::Release);
        }
    }

    /// The keys for which something may have come, in the order in which it came.
    pub(super) fn take_ready(&mut self) -> Vec<Ready> {
        std::mem::take(&mut self.ready)
    }
}

/// A key that somebody is interested in.
#[derive(Debug)]
struct Interested {
    hash: KeyHash,
    db: u16,
    key: Box<[u8]>,
    watchers: Vec<Arc<AtomicBool>>,
    queue: BTreeMap<u64, Arc<Blocked>>,
    /// How many of the queue are of which kind.
    queued: [usize; Kind::COUNT],
}

impl Interested {
    fn is_for(&self, db: u16, key: &[u8]) -> bool {
        self.db == db && *self.key == *key
    }

    fn ready(&self) -> Option<Ready> {
        let (_, first) = self.queue.first_key_value()?;
        Some(Ready { engine: first.engine().clone(), key: self.key.clone(), only: None })
    }
}

/// The keys of a shard that somebody is interested in.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    keys: HashTable<Interested>,
}

impl Interest {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn find(&self, hash: KeyHash, db: u16, key: &[u8]) -> Option<&Interested> {
        self.keys.find(hash.table(), |entry| entry.is_for(db, key))
    }

    fn entry(&mut self, hash: KeyHash, db: u16, key: &[u8]) -> &mut Interested {
        let found = self.keys.entry(hash.table(), |entry| entry.is_for(db, key), |entry| entry.hash.table());
        match found {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => {
                let (watchers, queue, queued) = (Vec::new(), BTreeMap::new(), [0; Kind::COUNT]);
                let entry = Interested { hash, db, key: key.into(), watchers, queue, queued };
                slot.insert(entry).into_mut()
            }
        }
    }

    /// Changes an entry, which goes if nobody is interested any more (I1).
    fn edit(&mut self, hash: KeyHash, db: u16, key: &[u8], edit: impl FnOnce(&mut Interested)) {
        let found = self.keys.find_entry(hash.table(), |entry| entry.is_for(db, key));
        if let Ok(mut slot) = found {
            edit(slot.get_mut());
            if slot.get().watchers.is_empty() && slot.get().queue.is_empty() {
                slot.remove();
            }
        }
    }

    pub(crate) fn watch(&mut self, hash: KeyHash, db: u16, key: &[u8], flag: &Arc<AtomicBool>) {
        let watchers = &mut self.entry(hash, db, key).watchers;
        if !watchers.iter().any(|other| Arc::ptr_eq(other, flag)) {
            watchers.push(Arc::clone(flag));
        }
    }

    pub(crate) fn unwatch(&mut self, hash: KeyHash, db: u16, key: &[u8], flag: &Arc<AtomicBool>) {
        self.edit(hash, db, key, |entry| entry.watchers.retain(|other| !Arc::ptr_eq(other, flag)));
    }

    /// Puts a waiter into the queue of a key; once, however often it names the key.
    pub(crate) fn enlist(&mut self, hash: KeyHash, db: u16, key: &[u8], waiter: &Arc<Blocked>) {
        let entry = self.entry(hash, db, key);
        if entry.queue.insert(waiter.ticket(), Arc::clone(waiter)).is_none() {
            entry.queued[waiter.kind() as usize] += 1;
        }
    }

    pub(crate) fn delist(&mut self, hash: KeyHash, db: u16, key: &[u8], waiter: &Blocked) {
        self.edit(hash, db, key, |entry| {
            if entry.queue.remove(&waiter.ticket()).is_some() {
                entry.queued[waiter.kind() as usize] -= 1;
            }
        });
    }

    /// How many waiters of a kind a key has.
    pub(crate) fn queued(&self, hash: KeyHash, db: u16, key: &[u8], kind: Kind) -> usize {
        self.find(hash, db, key).map_or(0, |entry| entry.queued[kind as usize])
    }

    /// The first waiter behind a ticket that is of one of these kinds.
    pub(crate) fn next(
        &self,
        hash: KeyHash,
        db: u16,
        key: &[u8],
        (behind, kinds): (u64, Kinds),
    ) -> Option<Arc<Blocked>> {
        let entry = self.find(hash, db, key)?;
        if !kinds.iter().any(|kind| entry.queued[kind as usize] > 0) {
            return None;
        }
        let mut rest = entry.queue.range(behind.checked_add(1)?..);
        rest.find(|(_, waiter)| kinds.has(waiter.kind())).map(|(_, waiter)| Arc::clone(waiter))
    }

    /// Every waiter with the key under which it is listed.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn waiters(&self) -> impl Iterator<Item = (&[u8], &Arc<Blocked>)> {
        self.keys.iter().flat_map(|entry| entry.queue.values().map(|waiter| (&*entry.key, waiter)))
    }

    /// Whether this waiter is listed under this key.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn lists(&self, hash: KeyHash, db: u16, key: &[u8], waiter: &Blocked) -> bool {
        self.find(hash, db, key).is_some_and(|entry| entry.queue.contains_key(&waiter.ticket()))
    }

    /// Checks I1, and the counts of kinds.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) {
        for entry in &self.keys {
            assert!(!entry.watchers.is_empty() || !entry.queue.is_empty(), "I1: nobody is interested");
            let mut queued = [0; Kind::COUNT];
            entry.queue.values().for_each(|waiter| queued[waiter.kind() as usize] += 1);
            assert_eq!(queued, entry.queued, "kinds in the queue of {:?}", entry.key);
        }
    }
}

impl ShardWrite<'_> {
    /// Says that a key of the present database was touched: loads under way for it are detached, its watchers are marked,
    /// and if somebody waits for what may have come, it goes into the bag as ready.
    #[inline]
    pub(crate) fn touched(&mut self, key: &[u8], touch: Touch) {
        self.touched_in(self.db, key, touch);
    }

    #[inline]
    pub(super) fn touched_in(&mut self, db: u16, key: &[u8], touch: Touch) {
        self.detach_flights_in(db, key);
        if !self.state.interest.is_empty() {
            self.tell_interested(db, key, touch, self.log);
        }
    }

    /// The same of what came about by expiry or eviction: it stays true if the section around it goes back, unless the section
    /// will put this very key back.
    pub(super) fn touched_by_itself(&mut self, db: u16, key: &[u8], touch: Touch) {
        self.detach_flights_in(db, key);
        if !self.state.interest.is_empty() {
            let log = self.log.filter(|_| self.restores(db, key));
            self.tell_interested(db, key, touch, log);
        }
    }

    #[cold]
    fn tell_interested(&mut self, db: u16, key: &[u8], touch: Touch, log: Option<&RefCell<Log>>) {
        let (hash, db) = (self.core.hash(key), self.core.logical(db));
        let Some(entry) = self.state.interest.find(hash, db, key) else { return };
        let ready = if touch.readies(&entry.queued) { entry.ready() } else { None };
        if let Some(log) = log {
            let told = &mut log.borrow_mut().told;
            told.flags.extend(entry.watchers.iter().cloned());
            told.ready.extend(ready);
            return;
        }
        for flag in &entry.watchers {
            flag.store(true, Ordering::Release);
        }
        if let Some(ready) = ready {
            self.bag.ready(ready);
        }
    }
}

impl ShardState {
    /// Tells those who are interested in keys of two databases that are about to be exchanged, as Redis does: watchers of
    /// keys that exist in either, and everybody in a queue.
    pub(super) fn tell_swapped(&self, core: &Core, logical: [u16; 2], told: &mut Told) {
        for entry in &self.interest.keys {
            let [a, b] = logical;
            let other = match entry.db {
                db if db == a => b,
                db if db == b => a,
                _ => continue,
            };
            let here = self.find(core.physical(entry.db), entry.hash, &entry.key);
            let there = self.find(core.physical(other), entry.hash, &entry.key);
            if here.is_some() || there.is_some_and(|blob| core.is_live(blob)) {
                told.flags.extend(entry.watchers.iter().cloned());
            }
            told.ready.extend(entry.ready());
        }
    }
}
