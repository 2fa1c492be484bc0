//! What a change may do to its shard: find, put, remove. Room and accounts are in room.rs, victims in evict.rs, pins and
//! expiry in upkeep.rs.
//!
//! Invariants: I1: `reserve` comes before `put`, and after it nothing fails. I2: an entry that leaves goes into the bag,
//! and its cost leaves the accounts in the same step. I3: the entry that a change is about to replace (`spare`) is
//! not evicted to make room for it.

use std::cell::RefCell;

use super::Core;
use super::blob::{Blob, BlobRef, Kind as BlobKind};
use super::collect::wake_of;
use super::interest::Touch;
use super::section::{Declared, Log};
use super::shard::{Cost, Kept, ShardState};
use crate::ValueType;
use crate::clock::UnixMillis;
use crate::effect::Delta;
use crate::eviction::{Policy, with_frequency};
use crate::expiry::Timer;
use crate::feed::event;
use crate::feed::log::Changelog;
use crate::hash::KeyHash;
use crate::memory::{Kind as Bytes, Resource};
use crate::order::OrderedIndex;
use crate::removal::{Bag, Dead, RemovalCause};
use crate::stats::Counter;

/// What `put` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    Inserted,
    Replaced,
}

/// Whether anybody is told of the entry that a new one replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announce {
    /// The value changed.
    Replaced,
    /// The entry was only rebuilt: a deadline or a decoded object was added.
    Rebuilt,
}

/// A locked shard under change.
pub(crate) struct ShardWrite<'a> {
    pub(crate) core: &'a Core,
    pub(super) state: &'a mut ShardState,
    pub(super) bag: &'a mut Bag,
    /// What this change, and others under the same locks, tell of themselves.
    pub(super) feed: &'a Changelog,
    pub(super) shard: usize,
    pub(super) db: u16,
    pub(super) now_ms: Option<u64>,
    /// Whether wheel, ring or ghosts may have changed since the accounts were settled.
    pub(super) dirty: bool,
    /// What the section that this change belongs to remembers of it.
    pub(super) log: Option<&'a RefCell<Log>>,
    pub(super) declared: Option<&'a Declared>,
}

impl<'a> ShardWrite<'a> {
    pub(super) fn new(
        core: &'a Core,
        state: &'a mut ShardState,
        shard: usize,
        db: u16,
        bag: &'a mut Bag,
        (log, feed): (Option<&'a RefCell<Log>>, &'a Changelog),
    ) -> Self {
        Self { core, state, bag, feed, shard, db, now_ms: None, dirty: false, log, declared: None }
    }

    /// The present time, read once a change.
    #[inline]
    pub(crate) fn now_ms(&mut self) -> u64 {
        *self.now_ms.get_or_insert_with(|| self.core.now_ms())
    }

    pub(crate) fn state(&mut self) -> &mut ShardState {
        self.state
    }

    /// Turns to another (physical) database of the same shard.
    pub(crate) fn set_db(&mut self, db: u16) {
        self.db = db;
    }

    pub(crate) fn db(&self) -> u16 {
        self.db
    }

    // ---- finding

    /// Finds a live entry; a dead one is removed on the way.
    #[inline]
    pub(crate) fn find(&mut self, hash: KeyHash, key: &[u8]) -> Option<BlobRef<'_>> {
        let blob = self.state.find(self.db, hash, key)?;
        if !blob.is_plain() && !self.keep_live(hash, key) {
            return None;
        }
        // Found anew, because the check may have removed it.
        self.state.find(self.db, hash, key)
    }

    #[cold]
    fn keep_live(&mut self, hash: KeyHash, key: &[u8]) -> bool {
        let now = self.now_ms();
        let Some(blob) = self.state.find(self.db, hash, key) else { return false };
        match self.core.death(blob, || now) {
            Some(cause) => {
                self.remove(hash, key, cause);
                false
            }
            None => !blob.meta().is_some_and(super::meta::CacheMeta::is_negative),
        }
    }

    /// The expiry, address and cost of an entry: what a change needs to know before it reserves.
    #[inline]
    pub(crate) fn existing(&mut self, hash: KeyHash, key: &[u8]) -> Option<Existing> {
        // A negative copy is not there for readers, but a write replaces it.
        let live = self.find(hash, key).is_some();
        let blob = self.state.find(self.db, hash, key)?;
        Some(Existing {
            live,
            address: blob.address(),
            kept: Kept::of(blob).filter(|_| live),
            cost: Cost::of(blob, self.core.settings.model),
        })
    }

    // ---- changing

    /// Replaces the value of a plain entry by another plain one, in one look-up: the usual SET. `false` if there is
    /// more to it, and then nothing was done.
    #[inline]
    pub(crate) fn replace_plain(&mut self, hash: KeyHash, blob: &mut Option<Blob>) -> bool {
        let (core, db) = (self.core, self.db);
        let Some(new) = blob.as_ref().map(Blob::get).filter(|new| new.is_plain()) else { return false };
        let told = !self.state.flights.is_empty() || !self.state.interest.is_empty();
        if told || self.is_recording() || self.log.is_some() {
            return false;
        }
        let ShardState { first, others, accounts, clock, .. } = &mut *self.state;
        let table = if db == 0 { Some(first) } else { others.get_mut(usize::from(db) - 1) };
        let Some(slot) = table.and_then(|table| table.find_mut(hash, new.key())) else { return false };
        let old = slot.blob();
        if !old.is_plain() || old.pinned() || old.kind() == BlobKind::Collection {
            return false;
        }
        let model = core.settings.model;
        let (old_cost, new_cost) = (Cost::of(old, model), Cost::of(new, model));
        if old_cost != new_cost {
            let grows = new_cost.blob >= old_cost.blob
                && new_cost.object == old_cost.object
                && new_cost.weight == old_cost.weight;
            if !grows || old.in_ring() {
                return false;
            }
            let more = new_cost.blob - old_cost.blob;
            if !accounts.bytes.reserve(more, core.budget(Resource::Bytes)) {
                return false;
            }
            accounts.kinds[Bytes::Blobs as usize] += more;
            accounts.bytes.charge(more, core.budget(Resource::Bytes));
        }
        let stamp = old.access();
        new.set_in_ring(old.in_ring());
        new.set_access(clock.next(core.policy().stamping(), stamp, || core.seconds()).unwrap_or(stamp));
        if let Some(blob) = blob.take() {
            let dead = slot.replace(blob, hash);
            self.bag.push(Dead { blob: dead, cause: Some(RemovalCause::Replaced), database: db });
        }
        core.counters.add(Counter::Updates, 1);
        true
    }

    /// Puts an entry in; room was reserved (I1). What it replaces goes into the bag.
    pub(crate) fn put(&mut self, hash: KeyHash, blob: Blob, announce: Announce) -> Put {
        self.put_recorded(hash, blob, announce, None)
    }

    /// As `put`, with the deltas that make an empty collection into this one, if they are at hand.
    pub(super) fn put_recorded(
        &mut self,
        hash: KeyHash,
        mut blob: Blob,
        announce: Announce,
        deltas: Option<Vec<Delta>>,
    ) -> Put {
        self.save(hash, blob.get().key());
        if let Some(held) = blob.collection_mut() {
            self.state.stamps += 1;
            held.stamp = self.state.stamps;
        }
        if self.is_recording() {
            self.record_put(hash, blob.get(), announce, deltas);
        }
        let db = self.db;
        let old = self.state.table(db).and_then(|table| table.find(hash, blob.get().key()));
        let touch = match (announce, old) {
            (Announce::Replaced, _) => Some(Touch::Put),
            (_, Some(old)) if old.deadline_ms() != blob.get().deadline_ms() => Some(Touch::Deadline),
            // The same value in another form.
            _ => None,
        };
        match touch {
            Some(touch) => self.touched(blob.get().key(), touch),
            None => self.detach_flights(blob.get().key()),
        }
        let old = self.state.table(db).and_then(|table| table.find(hash, blob.get().key()));
        if let Some(old) = old {
            let old_deadline = old.deadline_ms();
            let cost = Cost::of(old, self.core.settings.model);
            self.replace(hash, blob, cost, old_deadline, announce);
            Put::Replaced
        } else {
            self.insert(hash, blob);
            Put::Inserted
        }
    }

    pub(super) fn replace(
        &mut self,
        hash: KeyHash,
        blob: Blob,
        old_cost: Cost,
        old_deadline: Option<u64>,
        announce: Announce,
    ) {
        self.dirty = true;
        let (db, model) = (self.db, self.core.settings.model);
        let new_cost = Cost::of(blob.get(), model);
        let new_deadline = blob.get().deadline_ms();
        let new_wake = wake_of(blob.get());
        let stamping = self.core.policy().stamping();
        let table = self.state.table_mut(db);
        let slot = table
            .and_then(|table| table.find_mut(hash, blob.get().key()))
            .expect("I1: the entry was just found");
        let was = slot.blob();
        let old_wake = wake_of(was);
        let (stamp, in_ring, pinned) = (was.access(), was.in_ring(), was.pinned());
        blob.get().set_in_ring(in_ring);
        blob.get().set_pinned(pinned);
        blob.get().set_access(stamp);
        let dead = slot.replace(blob, hash);
        if announce == Announce::Replaced {
            let slot = self.state.find(db, hash, dead.get().key()).expect("I1: the entry was just replaced");
            if let Some(stamp) = self.state.clock.next(stamping, stamp, || self.core.seconds()) {
                slot.set_access(stamp);
            }
            self.core.counters.add(Counter::Updates, 1);
        }
        if in_ring {
            self.state.ring.cost = self.state.ring.cost - old_cost.bytes() + new_cost.bytes();
        }
        self.exchange_entry(old_cost, new_cost);
        self.state.volatile -= usize::from(old_deadline.is_some());
        self.state.volatile += usize::from(new_deadline.is_some());
        if let Some(deadline) = new_deadline {
            if old_deadline.is_none_or(|old| old > deadline) {
                self.state.wheel.arm(Timer::new(hash.low48(), db), deadline);
            }
        }
        self.follow_wake(hash, old_wake, new_wake);
        let cause = (announce == Announce::Replaced).then_some(RemovalCause::Replaced);
        self.bag.push(Dead { blob: dead, cause, database: db });
    }

    pub(super) fn insert(&mut self, hash: KeyHash, blob: Blob) {
        self.dirty = true;
        let (db, model, core) = (self.db, self.core.settings.model, self.core);
        let cost = Cost::of(blob.get(), model);
        let policy = core.policy();
        let stamping = policy.stamping();
        let timer = Timer::new(hash.low48(), db);
        if policy == Policy::Admission {
            self.state.clock.count_insertion();
        }
        let mut stamp = self.state.clock.first(stamping, core.seconds());
        if policy == Policy::Admission {
            if self.state.ghosts.take(hash.low48()) {
                stamp = with_frequency(stamp, 1);
            } else {
                blob.get().set_in_ring(true);
                self.state.ring.push(timer);
                self.state.ring.cost += cost.bytes();
                self.state.ring.entries += 1;
            }
        }
        blob.get().set_access(stamp);
        if let Some(deadline) = blob.get().deadline_ms() {
            self.state.volatile += 1;
            self.state.wheel.arm(timer, deadline);
        }
        self.follow_wake(hash, None, wake_of(blob.get()));
        if let Some(order) = &core.order {
            order.insert(db, blob.get().key());
            self.charge(Bytes::Order, OrderedIndex::entry_bytes(blob.get().key().len(), model));
        }
        self.charge_entry(cost);
        let accounts = &mut self.state.accounts;
        accounts.entries.charge(1, core.budget(Resource::Entries));
        self.add_to_table(hash, blob);
        core.counters.add(Counter::Insertions, 1);
        if policy == Policy::Admission {
            self.fill();
        }
    }

    pub(super) fn add_to_table(&mut self, hash: KeyHash, blob: Blob) {
        let (db, model, core) = (self.db, self.core.settings.model, self.core);
        let list_before = self.state.list_bytes();
        let table = self.state.table_or_new(db);
        let before = table.allocated_bytes();
        table.insert_new(hash, blob, &core.hasher);
        let after = table.allocated_bytes();
        if after != before {
            if db == 0 {
                let place = table.whereabouts();
                core.shards[self.shard].set_whereabouts(place);
            }
            let list_after = self.state.list_bytes();
            let was = model.charge(before) + model.charge(list_before);
            self.exchange(Bytes::Index, was, model.charge(after) + model.charge(list_after));
            self.resize_ghosts();
        }
        self.state.clock.resize(self.state.len());
    }

    /// Removes a key; it goes into the bag.
    pub(crate) fn remove(&mut self, hash: KeyHash, key: &[u8], cause: RemovalCause) -> bool {
        if matches!(cause, RemovalCause::Deleted | RemovalCause::Replaced) {
            self.save(hash, key);
        }
        let db = self.db;
        let table = self.state.table_mut(db);
        let Some(blob) = table.and_then(|table| table.remove(hash, key)) else { return false };
        self.after_removal(blob, db, cause);
        true
    }

    /// Takes a key out without telling anybody: its value has gone elsewhere.
    pub(crate) fn remove_silently(&mut self, hash: KeyHash, key: &[u8]) {
        self.save(hash, key);
        let db = self.db;
        let table = self.state.table_mut(db);
        if let Some(blob) = table.and_then(|table| table.remove(hash, key)) {
            self.account_removal(blob.get(), db, None);
            self.core.counters.add(Counter::Deletions, 1);
            self.bag.push(Dead { blob, cause: None, database: db });
        }
    }

    /// Marks an access by a change that keeps the entry.
    pub(crate) fn touch(&mut self, hash: KeyHash, key: &[u8]) {
        if let Some(blob) = self.state.find(self.db, hash, key) {
            self.core.touch(self.state, blob);
        }
    }

    pub(super) fn after_removal(&mut self, blob: Blob, db: u16, cause: RemovalCause) {
        self.account_removal(blob.get(), db, Some(cause));
        let counter = match cause {
            RemovalCause::Replaced => Counter::Updates,
            RemovalCause::Deleted => Counter::Deletions,
            RemovalCause::Expired => Counter::Expirations,
            RemovalCause::Invalidated => Counter::Invalidations,
            RemovalCause::Evicted if self.core.policy() != Policy::Admission => Counter::EvictionsPolicy,
            RemovalCause::Evicted if blob.get().in_ring() => Counter::EvictionsRing,
            RemovalCause::Evicted => Counter::EvictionsMain,
        };
        self.core.counters.add(counter, 1);
        let from_main = cause == RemovalCause::Evicted && !blob.get().in_ring();
        if self.core.policy() == Policy::Admission && !from_main {
            // A key that was deleted or invalidated and comes back is no newcomer (and its old ring item, if there is
            // one, must not push it out early); only a victim of main has had its chance.
            self.state.ghosts.remember(self.core.hash(blob.get().key()).low48());
        }
        if cause == RemovalCause::Expired {
            let deadline = blob.get().deadline_ms().unwrap_or(u64::MAX);
            let lag = self.now_ms().saturating_sub(deadline);
            self.core.counters.expired_late(lag);
        }
        self.bag.push(Dead { blob, cause: Some(cause), database: db });
    }

    /// Takes an entry off the accounts; without a cause it goes elsewhere, as the operation calls it.
    pub(super) fn account_removal(&mut self, blob: BlobRef<'_>, db: u16, cause: Option<RemovalCause>) {
        self.dirty = true;
        let (core, model) = (self.core, self.core.settings.model);
        let cost = Cost::of(blob, model);
        // Taken away by a call, or by itself.
        let called = matches!(cause, None | Some(RemovalCause::Deleted | RemovalCause::Replaced));
        if called {
            self.touched_in(db, blob.key(), Touch::Removed);
        } else {
            self.touched_by_itself(db, blob.key(), Touch::Removed);
        }
        if blob.in_ring() {
            self.state.ring.cost -= cost.bytes();
            self.state.ring.entries -= 1;
            if self.state.ring.is_littered() {
                self.sweep_ring();
            }
        }
        if blob.pinned() {
            self.state.pins.remove(&(db, blob.key().into()));
        }
        self.state.volatile -= usize::from(blob.deadline_ms().is_some());
        self.state.timed_bodies -= usize::from(wake_of(blob).is_some());
        if self.is_recording() {
            let event = cause.map_or_else(|| self.feed.named().unwrap_or(event::DEL), event::of_removal);
            self.record_removal(db, blob, event, !called);
        }
        if let Some(order) = &core.order {
            order.remove(db, blob.key());
            self.discharge(Bytes::Order, OrderedIndex::entry_bytes(blob.key().len(), model));
        }
        self.discharge_entry(cost);
        let accounts = &mut self.state.accounts;
        accounts.entries.discharge(1, core.budget(Resource::Entries));
    }

    /// Moves or sets the deadline of an entry that has a field for it; `None` if it has none.
    pub(crate) fn move_deadline(&mut self, hash: KeyHash, key: &[u8], deadline_ms: u64) -> Option<()> {
        self.save(hash, key);
        let blob = self.state.find(self.db, hash, key)?;
        let old = blob.deadline_ms()?;
        blob.set_deadline_ms(deadline_ms);
        let value_type = ValueType::of(blob);
        self.touched(key, Touch::Deadline);
        if self.is_recording() {
            self.record_as(value_type, key, Delta::Deadline(Some(UnixMillis(deadline_ms))));
        }
        if deadline_ms < old {
            self.dirty = true;
            self.state.wheel.arm(Timer::new(hash.low48(), self.db), deadline_ms);
        }
        Some(())
    }

    /// Changes a large string in place and keeps the accounts; room was reserved.
    pub(crate) fn change_large<R>(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        change: impl FnOnce(&mut super::rope::Rope) -> R,
    ) -> Option<R> {
        self.save(hash, key);
        self.touched(key, Touch::Changed);
        let (db, model) = (self.db, self.core.settings.model);
        let slot = self.state.table_mut(db)?.find_mut(hash, key)?;
        let before = Cost::of(slot.blob(), model);
        let in_ring = slot.blob().in_ring();
        let result = slot.with_large(|root| change(std::sync::Arc::make_mut(root)))?;
        let after = Cost::of(slot.blob(), model);
        if in_ring {
            self.state.ring.cost = self.state.ring.cost - before.bytes() + after.bytes();
        }
        self.exchange_entry(before, after);
        self.core.counters.add(Counter::Updates, 1);
        Some(result)
    }

    // ---- single flight

    /// A write to a key detaches the loads under way for it: their result is not installed.
    #[inline]
    pub(crate) fn detach_flights(&mut self, key: &[u8]) {
        self.detach_flights_in(self.db, key);
    }

    #[inline]
    pub(super) fn detach_flights_in(&mut self, db: u16, key: &[u8]) {
        if !self.state.flights.is_empty() {
            self.state.flights.retain(|flight| !flight.is_for(db, key));
        }
    }
}

/// What a change needs to know of the entry that it may replace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Existing {
    /// Whether readers see it (a negative copy is there, and not seen).
    pub(crate) live: bool,
    pub(crate) address: usize,
    /// The expiry that KEEPTTL keeps.
    pub(crate) kept: Option<Kept>,
    pub(crate) cost: Cost,
}
