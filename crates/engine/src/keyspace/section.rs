//! A section: several shards locked for as long as a closure runs, and the way back from what it changed.
//!
//! ```text
//! Section = guards of its shards, ascending | declared keys | a bag a shard | Log
//! Log     = saved entries, as they were at their first change | database swaps | who is to be told; feed: its changes
//! commit:    changes out, interested parties told -> unlock -> bags buried      (events, blocked callers, dropped values)
//! roll back: saved entries in, changes forgotten  -> unlock -> bags buried, nothing announced but evictions and expiry
//! ```
//! Invariants: I1: shards are locked in ascending order, all of them before the closure begins; another shard is only tried.
//! I2: the first change of a key in a section that can go back saves the entry before (`ShardWrite::save`). I3: a key that is
//! declared or was changed is not evicted by the section. I4: time stands still in it. I5: what expired or was evicted on the
//! way stays so, and is told, whatever becomes of the section.
//!
//! Costs: a lock and a place in three lists a shard; a copy of the entry a changed key (O(1) for a large value).

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;

use super::blob::{Blob, BlobRef};
use super::interest::Told;
use super::shard::ShardState;
use super::write::ShardWrite;
use super::{Core, Refusal, held};
use crate::engine::store::redraft;
use crate::engine::wait::{self, Blocked};
use crate::error::{OpError, shown};
use crate::feed::log::Changelog;
use crate::hash::KeyHash;
use crate::local;
use crate::memory::Amounts;
use crate::panics::Panics;
use crate::pubsub::Kind;
use crate::removal::{Bag, Dead, RemovalCause};
use crate::sync::RwLockWriteGuard;

/// Rounds over all shards in search of room, before a write inside a section is refused.
const ROUNDS: usize = 3;

/// More changed keys than these are not expected, whatever was declared.
const SAVED_EXPECTED_MAX: usize = 64;

static IDS: AtomicU64 = AtomicU64::new(1);

/// What a section may touch.
#[derive(Debug)]
pub(crate) enum Declared {
    /// These keys, sorted, each with the number of its database.
    Keys(Vec<(u16, Box<[u8]>)>),
    /// Whatever lies in its shards.
    Shards,
}

/// An entry as it was before the section changed it.
#[derive(Debug)]
struct Saved {
    hash: KeyHash,
    db: u16,
    entry: Entry,
}

#[derive(Debug)]
enum Entry {
    Absent(Box<[u8]>),
    Present { blob: Blob, pins: u32 },
}

impl Saved {
    fn is_of(&self, db: u16, key: &[u8]) -> bool {
        let own = match &self.entry {
            Entry::Absent(key) => key,
            Entry::Present { blob, .. } => blob.get().key(),
        };
        self.db == db && own == key
    }
}

/// A message that goes out at the commit.
#[derive(Debug)]
struct Message {
    kind: Kind,
    channel: Box<[u8]>,
    payload: Box<[u8]>,
}

/// What a section has done so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    saved: HashTable<Saved>,
    swaps: Vec<(u16, u16)>,
    /// Who hears of it at the commit.
    pub(super) told: Told,
    /// Messages that were published inside.
    messages: Vec<Message>,
    /// Waiters that got something inside.
    deliveries: Vec<Arc<Blocked>>,
    /// Whether the section can go back.
    saves: bool,
    /// For how many keys room is made at the first change: nearly always for all of them.
    expected: usize,
}

impl Log {
    fn knows(&self, hash: KeyHash, db: u16, key: &[u8]) -> bool {
        self.saved.find(hash.0, |saved| saved.is_of(db, key)).is_some()
    }

    /// The number under which users knew a database before the section exchanged any.
    fn before_swaps(&self, logical: u16) -> u16 {
        self.swaps.iter().rev().fold(logical, |db, &(a, b)| match db {
            db if db == a => b,
            db if db == b => a,
            db => db,
        })
    }

    fn save(&mut self, hash: KeyHash, db: u16, entry: Entry) {
        if self.saved.capacity() == 0 {
            self.saved.reserve(self.expected, |saved| saved.hash.0);
        }
        self.saved.insert_unique(hash.0, Saved { hash, db, entry }, |saved| saved.hash.0);
    }
}

/// Several shards under lock.
pub(crate) struct Section<'e> {
    core: &'e Core,
    id: u64,
    now_ms: u64,
    shards: Vec<usize>,
    states: Vec<RwLockWriteGuard<'e, ShardState>>,
    bags: Vec<Bag>,
    declared: Declared,
    log: RefCell<Log>,
    /// What goes to the feed at commit.
    feed: Changelog,
}

impl std::fmt::Debug for Section<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Section").field("id", &self.id).field("shards", &self.shards).finish_non_exhaustive()
    }
}

impl<'e> Section<'e> {
    /// Locks these shards, ascending and each once.
    pub(crate) fn lock(
        core: &'e Core,
        shards: Vec<usize>,
        declared: Declared,
        saves: bool,
    ) -> Result<Self, OpError> {
        debug_assert!(shards.is_sorted_by(|a, b| a < b), "I1: ascending, each once");
        let states: Vec<_> = shards.iter().map(|&shard| core.shards[shard].state.write()).collect();
        if states.iter().any(|state| state.changing) {
            return Err(OpError::Poisoned);
        }
        let bags = shards.iter().map(|_| Bag::default()).collect();
        let expected =
            if let Declared::Keys(keys) = &declared { keys.len().min(SAVED_EXPECTED_MAX) } else { 0 };
        let log = RefCell::new(Log { saves, expected, ..Log::default() });
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let feed = Changelog::new(core.is_recording());
        Ok(Self { core, id, now_ms: core.now_ms(), shards, states, bags, declared, log, feed })
    }

    /// Whether a key of a shard of this section is past its deadline and still there.
    pub(crate) fn is_expired(&self, db: u16, key: &[u8]) -> bool {
        let hash = self.core.hash(key);
        let at = self
            .shards
            .binary_search(&self.core.shard_of(hash))
            .expect("the shards of watched keys are locked");
        let blob = self.states[at].find(self.core.physical(db), hash, key);
        blob.is_some_and(|blob| self.core.death(blob, || self.now_ms).is_some())
    }

    /// Runs a closure that may use handles of this section.
    pub(crate) fn run<R>(&mut self, body: impl FnOnce() -> R) -> R {
        held::enter(self, body)
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Lets everything stand and be known, and unlocks.
    pub(crate) fn commit(mut self) {
        let mut log = self.log.take();
        self.core.commit(&self.feed);
        log.told.mark();
        for saved in log.saved.drain() {
            if let Entry::Present { blob, .. } = saved.entry {
                self.bags[0].push(Dead { blob, cause: None, database: saved.db });
            }
        }
        let core = self.core;
        // Code of others may panic in each of these.
        let mut panics = Panics::default();
        panics.catch(|| self.unlock());
        for Message { kind, channel, payload } in log.messages {
            panics.catch(|| core.publish_held(kind, &channel, &payload));
        }
        panics.catch(|| wait::serve(log.told.take_ready()));
        panics.resume();
    }

    /// Puts everything back that was changed, and unlocks. A shard whose change was interrupted by a panic stays marked, and
    /// nothing can be put back there.
    pub(crate) fn roll_back(mut self) {
        let mut log = self.log.take();
        for &(a, b) in log.swaps.iter().rev() {
            self.core.exchange_databases(a, b);
        }
        for bag in &mut self.bags {
            bag.silence(self.core, &log);
        }
        // Whatever putting back would tell goes into this log, and is forgotten with it.
        let quiet = (RefCell::new(Log::default()), Changelog::new(false));
        for saved in log.saved.drain() {
            let shard = self.core.shard_of(saved.hash);
            let at =
                self.shards.binary_search(&shard).expect("I2: only keys of the section's shards are saved");
            let state = &mut *self.states[at];
            if state.changing {
                continue;
            }
            let logs = (Some(&quiet.0), &quiet.1);
            let mut write = ShardWrite::new(self.core, state, shard, saved.db, &mut self.bags[at], logs);
            match saved.entry {
                Entry::Absent(key) => write.remove_silently(saved.hash, &key),
                Entry::Present { blob, pins } => write.put_back(saved.hash, blob, pins),
            }
            write.settle();
        }
        // Before others' code: a waiter that it drops must not give back what was put back here.
        log.deliveries.iter().for_each(|blocked| blocked.void());
        self.unlock();
    }

    fn unlock(self) {
        let Self { core, states, bags, .. } = self;
        drop(states);
        core.bury_each(bags);
        core.grave_slice();
    }

    /// The place of this shard among those of the section.
    fn place(&self, shard: usize) -> Result<usize, OpError> {
        self.shards.binary_search(&shard).map_err(|_| OpError::NeedsExclusive)
    }

    fn places(&self, shards: &[usize]) -> Result<Vec<usize>, OpError> {
        shards.iter().map(|&shard| self.place(shard)).collect()
    }

    /// Refuses another engine's call: its shards are not the ones that are locked here.
    fn check(&self, core: &Core) {
        assert!(
            std::ptr::eq(self.core, core),
            "I1: a handle of this section leads to its own engine (local::check_entry)"
        );
    }

    fn read<R>(&self, shards: &[usize], f: impl FnOnce(&[&ShardState]) -> R) -> Result<R, OpError> {
        if let [shard] = *shards {
            return Ok(f(&[&*self.states[self.place(shard)?]]));
        }
        let places = self.places(shards)?;
        let states: Vec<&ShardState> = places.into_iter().map(|at| &*self.states[at]).collect();
        Ok(f(&states))
    }

    fn write<R>(
        &mut self,
        places: &[usize],
        db: u16,
        change: &mut impl FnMut(&mut [ShardWrite<'_>]) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let Self { core, shards, states, bags, log, feed, declared, now_ms, .. } = self;
        feed.operation();
        let outcome = if let [at] = *places {
            // Nearly every operation: it asks the allocator for nothing.
            states[at].changing = true;
            let logs = (Some(&*log), &*feed);
            let mut write = ShardWrite::new(core, &mut states[at], shards[at], db, &mut bags[at], logs);
            (write.now_ms, write.declared) = (Some(*now_ms), Some(&*declared));
            let outcome = change(std::slice::from_mut(&mut write));
            write.settle();
            outcome
        } else {
            let chosen = |at: &usize| places.binary_search(at).is_ok();
            let mut writes = Vec::with_capacity(places.len());
            for (at, (state, bag)) in states.iter_mut().zip(bags).enumerate().filter(|(at, _)| chosen(at)) {
                state.changing = true;
                let mut write = ShardWrite::new(core, state, shards[at], db, bag, (Some(&*log), &*feed));
                (write.now_ms, write.declared) = (Some(*now_ms), Some(&*declared));
                writes.push(write);
            }
            let outcome = change(&mut writes);
            writes.iter_mut().for_each(ShardWrite::settle);
            outcome
        };
        places.iter().for_each(|&at| states[at].changing = false);
        outcome
    }

    /// Frees room: in the section's own shards, and in others that nobody has locked just now.
    fn make_room(&mut self, need: Amounts, spare: Option<usize>) -> Result<(), OpError> {
        let core = self.core;
        if core.missing(need).is_some() {
            core.grave_empty();
        }
        for step in 0..ROUNDS * core.shards.len() {
            let Some(short) = core.missing(need) else { return Ok(()) };
            let shard = step % core.shards.len();
            let free = |write: &mut ShardWrite<'_>| {
                write.give_back_all();
                if core.missing(need).is_some() && (step >= core.shards.len() || !write.is_below_share(short))
                {
                    write.evict_for(need, spare);
                }
                write.give_back_all();
                Ok(())
            };
            if let Ok(at) = self.shards.binary_search(&shard) {
                // Nothing in there refuses.
                let _ = self.write(&[at], 0, &mut |writes: &mut [ShardWrite<'_>]| free(&mut writes[0]));
            } else if let Some(mut state) = core.shards[shard].state.try_write() {
                // A poisoned shard keeps what it has.
                let feed = Changelog::new(core.is_recording());
                let _ = core.change(&mut state, shard, 0, (&mut self.bags[0], &feed), free);
                core.commit(&feed);
            }
        }
        match core.missing(need) {
            None => Ok(()),
            Some(short) => Err(core.refuse(need, short)),
        }
    }
}

impl Core {
    /// Refuses a key that the section of this thread did not declare; outside of any, every key is right.
    #[inline]
    pub(crate) fn check_declared(&self, db: u16, key: &[u8]) -> Result<(), OpError> {
        if local::in_section() { self.check_declared_slow(db, key) } else { Ok(()) }
    }

    #[cold]
    fn check_declared_slow(&self, db: u16, key: &[u8]) -> Result<(), OpError> {
        let declared = held::with(|section| {
            section.check(self);
            match &section.declared {
                Declared::Keys(keys) => {
                    keys.binary_search_by(|(own, name)| (*own, &**name).cmp(&(db, key))).is_ok()
                }
                Declared::Shards => true,
            }
        });
        if declared == Some(true) { Ok(()) } else { Err(OpError::UndeclaredKey { key: shown(key) }) }
    }

    /// Refuses what concerns every shard, unless the section of this thread holds them all; outside of any it may go on.
    pub(crate) fn check_exclusive(&self) -> Result<(), OpError> {
        if !local::in_section() {
            return Ok(());
        }
        let held = held::with(|section| {
            section.check(self);
            section.shards.len()
        });
        if held == Some(self.shards.len()) { Ok(()) } else { Err(OpError::NeedsExclusive) }
    }

    /// Reads shards that the section of this thread holds.
    #[cold]
    pub(super) fn read_held<R>(
        &self,
        shards: &[usize],
        f: impl FnOnce(&[&ShardState]) -> R,
    ) -> Result<R, OpError> {
        let seen = held::with(|section| {
            section.check(self);
            section.read(shards, f)
        });
        seen.expect("I1: a door inside a section is entered once at a time")
    }

    /// Changes shards that the section of this thread holds.
    #[cold]
    pub(super) fn write_held<R>(
        &self,
        shards: &[usize],
        db: u16,
        mut change: impl FnMut(&mut [ShardWrite<'_>]) -> Result<R, Refusal>,
    ) -> Result<R, OpError> {
        let done = held::with(|section| {
            section.check(self);
            let (one, many);
            let places: &[usize] = if let [shard] = *shards {
                one = [section.place(shard)?];
                &one
            } else {
                many = section.places(shards)?;
                &many
            };
            let db = self.physical(db);
            loop {
                match section.write(places, db, &mut change) {
                    Ok(done) => return Ok(done),
                    Err(Refusal::Op(error)) => return Err(error),
                    Err(Refusal::NoRoom { progress: true, .. }) => {}
                    Err(Refusal::NoRoom { need, spare, .. }) => section.make_room(need, spare)?,
                }
            }
        });
        done.expect("I1: a door inside a section is entered once at a time")
    }

    /// Keeps a message until the section of this thread commits.
    pub(crate) fn publish_later(&self, kind: Kind, channel: &[u8], message: &[u8]) {
        let kept = held::with(|section| {
            section.check(self);
            let message = Message { kind, channel: channel.into(), payload: message.into() };
            section.log.borrow_mut().messages.push(message);
        });
        kept.expect("I1: a door inside a section is entered once at a time");
    }

    /// Remembers that a waiter got its result inside the section of this thread.
    pub(crate) fn note_delivery(&self, blocked: Arc<Blocked>) {
        let noted = held::with(|section| section.log.borrow_mut().deliveries.push(blocked));
        noted.expect("I1: a door inside a section is entered once at a time");
    }

    /// Exchanges two databases inside a section that holds every shard.
    pub(super) fn swap_held(&self, a: u16, b: u16) -> Result<(), OpError> {
        let swapped = held::with(|section| {
            section.check(self);
            if section.shards.len() < self.shards.len() {
                return Err(OpError::NeedsExclusive);
            }
            if a == b {
                return Ok(());
            }
            let log = &mut *section.log.borrow_mut();
            section.states.iter().for_each(|state| state.tell_swapped(self, [a, b], &mut log.told));
            section.feed.operation();
            section.feed.swap(a, b);
            log.swaps.push((a, b));
            self.exchange_databases(a, b);
            Ok(())
        });
        swapped.expect("I1: a door inside a section is entered once at a time")
    }
}

impl ShardWrite<'_> {
    /// Saves a key as it is before its first change in a section that can go back (I2).
    #[inline]
    pub(crate) fn save(&self, hash: KeyHash, key: &[u8]) {
        if self.log.is_some() {
            self.save_slow(self.db, hash, key, self.state.find(self.db, hash, key));
        }
    }

    /// The same for an entry that has left its table already.
    pub(super) fn save_gone(&self, db: u16, blob: BlobRef<'_>) {
        if self.log.is_some() {
            self.save_slow(db, self.core.hash(blob.key()), blob.key(), Some(blob));
        }
    }

    #[cold]
    fn save_slow(&self, db: u16, hash: KeyHash, key: &[u8], blob: Option<BlobRef<'_>>) {
        let Some(log) = self.log else { return };
        let mut log = log.borrow_mut();
        if !log.saves || log.knows(hash, db, key) {
            return;
        }
        let entry = match blob {
            None => Entry::Absent(key.into()),
            Some(blob) => {
                let mut scratch = Vec::new();
                let copy = Blob::new(redraft(blob, key, &mut scratch));
                self.core.freshness.retain_tags(copy.get().meta().map_or(0, super::meta::CacheMeta::tags));
                let pins = if blob.pinned() { self.state.pins.get(&(db, key.into())).copied() } else { None };
                let pins = pins.unwrap_or(0);
                Entry::Present { blob: copy, pins }
            }
        };
        log.save(hash, db, entry);
    }

    /// Whether an effect on this key belongs to the section: always if it cannot go back, else if it will put the key back.
    pub(super) fn restores(&self, db: u16, key: &[u8]) -> bool {
        self.log.is_some_and(|log| {
            let log = log.borrow();
            !log.saves || log.knows(self.core.hash(key), db, key)
        })
    }

    /// The number of a database in what is told before the section's own changes.
    pub(super) fn logical_outside(&self, db: u16) -> u16 {
        let logical = self.core.logical(db);
        self.log.map_or(logical, |log| log.borrow().before_swaps(logical))
    }

    /// Whether the section that this change belongs to keeps an entry from being evicted (I3).
    pub(super) fn guards(&self, db: u16, blob: BlobRef<'_>) -> bool {
        let Some(log) = self.log else { return false };
        let key = blob.key();
        let declared = match self.declared {
            Some(Declared::Keys(keys)) => keys
                .binary_search_by(|(own, name)| (*own, &**name).cmp(&(self.core.logical(db), key)))
                .is_ok(),
            _ => false,
        };
        declared || log.borrow().knows(self.core.hash(key), db, key)
    }

    /// Puts an entry back as it was, its stamp included, and tells nobody.
    fn put_back(&mut self, hash: KeyHash, blob: Blob, pins: u32) {
        use super::write::Announce;
        let db = self.db;
        let key: Box<[u8]> = blob.get().key().into();
        let access = blob.get().access();
        match self.state.find(db, hash, &key) {
            Some(old) => {
                let (cost, deadline) =
                    (super::shard::Cost::of(old, self.core.settings.model), old.deadline_ms());
                self.replace(hash, blob, cost, deadline, Announce::Rebuilt);
            }
            None => self.insert(hash, blob),
        }
        if let Some(blob) = self.state.find(db, hash, &key) {
            blob.set_pinned(pins > 0);
            blob.set_access(access);
        }
        if pins > 0 {
            self.state.pins.insert((db, key), pins);
        } else {
            self.state.pins.remove(&(db, key));
        }
    }
}

impl Bag {
    /// Keeps to itself what left because of a change that was taken back, or comes back; other evictions and expiry stay true.
    fn silence(&mut self, core: &Core, log: &Log) {
        for dead in self.iter_mut() {
            let key = dead.blob.get().key();
            if matches!(dead.cause, Some(RemovalCause::Replaced | RemovalCause::Deleted))
                || (dead.cause.is_some() && log.knows(core.hash(key), dead.database, key))
            {
                dead.cause = None;
            }
        }
    }
}
