//! What a change may do to its shard: find, reserve, put, remove, evict, expire; all accounts in one place.
//!
//! Invariants: I1: `reserve` comes before `put`, and after it nothing fails. I2: an entry that leaves goes into the bag,
//! and its cost leaves the accounts in the same step. I3: the entry that a change is about to replace (`spare`) is
//! not evicted to make room for it.

use super::blob::{Blob, BlobRef};
use super::shard::{Cost, Kept, ShardState};
use super::{Core, Refusal};
use crate::eviction::{Policy, frequency, with_frequency, worth};
use crate::expiry::{Timer, Verdict};
use crate::hash::KeyHash;
use crate::memory::{Amounts, Kind as Bytes, RESOURCES, Resource};
use crate::order::OrderedIndex;
use crate::removal::{Bag, Dead, RemovalCause};
use crate::stats::Counter;

/// Victims that one lock hold takes.
const EVICT_STEP: usize = 16;
/// Ring items that one search for a victim looks at.
const RING_STEP: usize = 64;
/// Timers that one lock hold meets.
pub(crate) const EXPIRE_STEP: u32 = 64;
/// What the first table of a database in a shard asks for at the most.
const FIRST_TABLE_BYTES: usize = 256;
/// Timers that a writer meets on its way.
const EXPIRE_SLICE: u32 = 8;

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
    state: &'a mut ShardState,
    bag: &'a mut Bag,
    shard: usize,
    db: u16,
    now_ms: Option<u64>,
    /// Whether wheel, ring or ghosts may have changed since the accounts were settled.
    dirty: bool,
}

impl<'a> ShardWrite<'a> {
    pub(super) fn new(
        core: &'a Core,
        state: &'a mut ShardState,
        shard: usize,
        db: u16,
        bag: &'a mut Bag,
    ) -> Self {
        Self { core, state, bag, shard, db, now_ms: None, dirty: false }
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

    // ---- room

    /// What a new key needs beside its own cost: a larger table, a timer, a place in the ring.
    pub(crate) fn overhead(&self, new_key: bool, deadline: bool, key_bytes: usize) -> u64 {
        let model = self.core.settings.model;
        let mut bytes = 0;
        if new_key {
            let growth = self.state.table(self.db).map_or(FIRST_TABLE_BYTES, |table| table.growth_bytes());
            bytes += model.charge(self.state.list_growth_bytes(self.db));
            if growth > 0 {
                bytes += model.charge(growth);
                if self.wants_ghosts() {
                    bytes += model.charge(growth / 2);
                }
            }
            bytes += model.charge(self.state.ring.growth_bytes());
            if self.core.order.is_some() {
                bytes += OrderedIndex::entry_bytes(key_bytes, model);
            }
        }
        if deadline {
            let charge = |size| usize::try_from(model.charge(size)).unwrap_or(usize::MAX);
            bytes += self.state.wheel.allocation_for_arm(charge) as u64;
        }
        bytes
    }

    fn wants_ghosts(&self) -> bool {
        self.core.policy() == Policy::Admission && self.core.is_limited()
    }

    /// Makes sure that `blob` can be put in the place of `old` (I1), evicting in this shard if need be.
    #[inline]
    pub(crate) fn reserve(&mut self, blob: BlobRef<'_>, old: Option<&Existing>) -> Result<(), Refusal> {
        let cost = Cost::of(blob, self.core.settings.model);
        let mut need = cost.amounts();
        need.bytes = need.bytes.saturating_add(self.overhead(
            old.is_none(),
            blob.deadline_ms().is_some(),
            blob.key().len(),
        ));
        let need = old.map_or(need, |old| need.beyond(old.cost.amounts()));
        self.reserve_amounts(need, old.map(|old| old.address))
    }

    /// As `reserve`, sparing an entry of this shard that is not the one to be replaced.
    pub(crate) fn reserve_sparing(
        &mut self,
        blob: BlobRef<'_>,
        old: Option<&Existing>,
        spare: Option<usize>,
    ) -> Result<(), Refusal> {
        let mut need = Cost::of(blob, self.core.settings.model).amounts();
        need.bytes =
            need.bytes.saturating_add(self.overhead(true, blob.deadline_ms().is_some(), blob.key().len()));
        self.reserve_amounts(need, spare.or(old.map(|old| old.address)))
    }

    /// Makes sure that this much more can be used, evicting in this shard if need be.
    #[inline]
    pub(crate) fn reserve_amounts(&mut self, need: Amounts, spare: Option<usize>) -> Result<(), Refusal> {
        if self.try_reserve(need) { Ok(()) } else { self.reserve_by_evicting(need, spare) }
    }

    #[inline]
    fn try_reserve(&mut self, need: Amounts) -> bool {
        let (core, accounts) = (self.core, &mut self.state.accounts);
        let [bytes, entries, weight] = RESOURCES.map(|resource| core.budget(resource));
        accounts.bytes.reserve(need.bytes, bytes)
            && accounts.entries.reserve(need.entries, entries)
            && accounts.weight.reserve(need.weight, weight)
    }

    #[cold]
    fn reserve_by_evicting(&mut self, need: Amounts, spare: Option<usize>) -> Result<(), Refusal> {
        self.core.check_fits(need)?;
        let mut progress = self.expire_due() > 0;
        let timers = self.state.timers();
        if self.sweep_timers(EXPIRE_STEP) {
            self.settle();
            progress |= self.state.timers() < timers;
        }
        if progress && self.try_reserve(need) {
            return Ok(());
        }
        for _ in 0..EVICT_STEP {
            if !self.evict_one(spare) {
                return Err(Refusal::NoRoom { need, progress });
            }
            progress = true;
            self.settle();
            if self.try_reserve(need) {
                return Ok(());
            }
        }
        Err(Refusal::NoRoom { need, progress })
    }

    /// Gives the spare grants of this shard back; tells how much that was.
    pub(super) fn give_back_all(&mut self) -> u64 {
        self.settle();
        let core = self.core;
        let accounts = &mut self.state.accounts;
        let [bytes, entries, weight] = RESOURCES.map(|resource| core.budget(resource));
        accounts.bytes.give_back(0, bytes)
            + accounts.entries.give_back(0, entries)
            + accounts.weight.give_back(0, weight)
    }

    // ---- accounts

    fn charge(&mut self, kind: Bytes, bytes: u64) {
        self.state.accounts.kinds[kind as usize] += bytes;
        self.state.accounts.bytes.charge(bytes, self.core.budget(Resource::Bytes));
    }

    fn discharge(&mut self, kind: Bytes, bytes: u64) {
        let cell = &mut self.state.accounts.kinds[kind as usize];
        *cell = cell.checked_sub(bytes).expect("I2: no more leaves than was charged");
        self.state.accounts.bytes.discharge(bytes, self.core.budget(Resource::Bytes));
    }

    fn recharge(&mut self, kind: Bytes, now: u64) {
        let was = self.state.accounts.kind(kind);
        if now > was {
            self.charge(kind, now - was);
        } else if now < was {
            self.discharge(kind, was - now);
        }
    }

    fn charge_entry(&mut self, cost: Cost) {
        self.charge(Bytes::Blobs, cost.blob);
        self.charge(Bytes::Objects, cost.object);
        let accounts = &mut self.state.accounts;
        accounts.weight.charge(cost.weight, self.core.budget(Resource::Weight));
    }

    fn discharge_entry(&mut self, cost: Cost) {
        self.discharge(Bytes::Blobs, cost.blob);
        self.discharge(Bytes::Objects, cost.object);
        let accounts = &mut self.state.accounts;
        accounts.weight.discharge(cost.weight, self.core.budget(Resource::Weight));
    }

    /// Brings the accounts of wheel, ring and ghosts up to date.
    #[inline]
    pub(super) fn settle(&mut self) {
        if self.dirty {
            self.settle_all();
        }
    }

    fn settle_all(&mut self) {
        self.dirty = false;
        let model = self.core.settings.model;
        let charge = |size| usize::try_from(model.charge(size)).unwrap_or(usize::MAX);
        self.recharge(Bytes::Wheel, self.state.wheel.heap_bytes(charge) as u64);
        let eviction = model.charge(self.state.ring.allocated_bytes())
            + model.charge(self.state.ghosts.allocated_bytes());
        self.recharge(Bytes::Eviction, eviction);
    }

    // ---- changing

    /// Replaces the value of a plain entry by another plain one, in one look-up: the usual SET. `false` if there is
    /// more to it, and then nothing was done.
    #[inline]
    pub(crate) fn replace_plain(&mut self, hash: KeyHash, blob: &mut Option<Blob>) -> bool {
        let (core, db) = (self.core, self.db);
        let Some(new) = blob.as_ref().map(Blob::get).filter(|new| new.is_plain()) else { return false };
        if !self.state.flights.is_empty() {
            return false;
        }
        let ShardState { first, others, accounts, clock, .. } = &mut *self.state;
        let table = if db == 0 { Some(first) } else { others.get_mut(usize::from(db) - 1) };
        let Some(slot) = table.and_then(|table| table.find_mut(hash, new.key())) else { return false };
        let old = slot.blob();
        if !old.is_plain() || old.pinned() {
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
        self.detach_flights(blob.get().key());
        let db = self.db;
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

    fn replace(
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
        let stamping = self.core.policy().stamping();
        let table = self.state.table_mut(db);
        let slot = table
            .and_then(|table| table.find_mut(hash, blob.get().key()))
            .expect("I1: the entry was just found");
        let was = slot.blob();
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
        self.discharge_entry(old_cost);
        self.charge_entry(new_cost);
        self.state.volatile -= usize::from(old_deadline.is_some());
        self.state.volatile += usize::from(new_deadline.is_some());
        if let Some(deadline) = new_deadline {
            if old_deadline.is_none_or(|old| old > deadline) {
                self.state.wheel.arm(Timer::new(hash.low48(), db), deadline);
            }
        }
        let cause = (announce == Announce::Replaced).then_some(RemovalCause::Replaced);
        self.bag.push(Dead { blob: dead, cause, database: db });
    }

    fn insert(&mut self, hash: KeyHash, blob: Blob) {
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

    fn add_to_table(&mut self, hash: KeyHash, blob: Blob) {
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
            self.charge(Bytes::Index, model.charge(after) + model.charge(list_after));
            self.discharge(Bytes::Index, model.charge(before) + model.charge(list_before));
            self.resize_ghosts();
        }
        self.state.clock.resize(self.state.len());
    }

    fn resize_ghosts(&mut self) {
        self.dirty = true;
        let percent = usize::from(self.core.settings.admission.ghost_percent);
        let room: usize = self.state.tables().map(|(_, table)| table.capacity()).sum();
        let wanted = if self.wants_ghosts() { room * percent / 100 } else { 0 };
        self.state.ghosts.resize(wanted);
    }

    /// Moves what is over the ring's share to main, as long as this shard has not been full (eviction I4).
    fn fill(&mut self) {
        self.dirty = true;
        let entry_bytes = self.state.accounts.entry_bytes();
        if self.state.full_bytes != u64::MAX && entry_bytes >= self.state.full_bytes / 8 * 7 {
            return;
        }
        self.state.full_bytes = u64::MAX;
        for _ in 0..4 {
            if !self.ring_is_over() {
                return;
            }
            let Some(timer) = self.state.ring.pop() else { return };
            self.leave_ring(timer);
        }
    }

    fn ring_is_over(&self) -> bool {
        let percent = u64::from(self.core.settings.admission.ring_percent);
        let ring = &self.state.ring;
        ring.entries > 0
            && ring.cost.saturating_mul(100) >= self.state.accounts.entry_bytes().saturating_mul(percent)
    }

    /// Takes the ring mark off the entry that an item names, if it is there.
    fn leave_ring(&mut self, timer: Timer) {
        self.dirty = true;
        let table = self.state.table(timer.db());
        let blob = table.and_then(|table| table.find_by_low48(timer.hash48(), &self.core.hasher));
        if let Some(blob) = blob.filter(|blob| blob.in_ring()) {
            blob.set_in_ring(false);
            let cost = Cost::of(blob, self.core.settings.model).bytes();
            self.state.ring.cost -= cost;
            self.state.ring.entries -= 1;
        }
    }

    /// Removes a key; it goes into the bag.
    pub(crate) fn remove(&mut self, hash: KeyHash, key: &[u8], cause: RemovalCause) -> bool {
        let db = self.db;
        let table = self.state.table_mut(db);
        let Some(blob) = table.and_then(|table| table.remove(hash, key)) else { return false };
        self.after_removal(blob, db, cause);
        true
    }

    /// Takes a key out without telling anybody: its value has gone elsewhere.
    pub(crate) fn remove_silently(&mut self, hash: KeyHash, key: &[u8]) {
        let db = self.db;
        let table = self.state.table_mut(db);
        if let Some(blob) = table.and_then(|table| table.remove(hash, key)) {
            self.account_removal(blob.get(), db);
            self.bag.push(Dead { blob, cause: None, database: db });
        }
    }

    /// Marks an access by a change that keeps the entry.
    pub(crate) fn touch(&mut self, hash: KeyHash, key: &[u8]) {
        if let Some(blob) = self.state.find(self.db, hash, key) {
            self.core.touch(self.state, blob);
        }
    }

    fn after_removal(&mut self, blob: Blob, db: u16, cause: RemovalCause) {
        self.account_removal(blob.get(), db);
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

    fn account_removal(&mut self, blob: BlobRef<'_>, db: u16) {
        self.dirty = true;
        let (core, model) = (self.core, self.core.settings.model);
        let cost = Cost::of(blob, model);
        self.detach_flights_in(db, blob.key());
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
        if let Some(order) = &core.order {
            order.remove(db, blob.key());
            self.discharge(Bytes::Order, OrderedIndex::entry_bytes(blob.key().len(), model));
        }
        self.discharge_entry(cost);
        let accounts = &mut self.state.accounts;
        accounts.entries.discharge(1, core.budget(Resource::Entries));
    }

    fn sweep_ring(&mut self) {
        let ShardState { first, others, ring, .. } = &mut *self.state;
        let hasher = &self.core.hasher;
        ring.sweep(|timer| {
            let db = usize::from(timer.db());
            let table = if db == 0 { Some(&*first) } else { others.get(db - 1) };
            table
                .and_then(|table| table.find_by_low48(timer.hash48(), hasher))
                .is_some_and(|blob| blob.in_ring())
        });
    }

    /// Moves or sets the deadline of an entry that has a field for it; `None` if it has none.
    pub(crate) fn move_deadline(&mut self, hash: KeyHash, key: &[u8], deadline_ms: u64) -> Option<()> {
        let blob = self.state.find(self.db, hash, key)?;
        let old = blob.deadline_ms()?;
        blob.set_deadline_ms(deadline_ms);
        if deadline_ms < old {
            self.dirty = true;
            self.state.wheel.arm(Timer::new(hash.low48(), self.db), deadline_ms);
        }
        Some(())
    }

    /// Changes a large string in place and keeps the accounts; room was reserved.
    pub(crate) fn change_large(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        change: impl FnOnce(&mut super::rope::Rope),
    ) -> Option<usize> {
        self.detach_flights(key);
        let (db, model) = (self.db, self.core.settings.model);
        let slot = self.state.table_mut(db)?.find_mut(hash, key)?;
        let before = Cost::of(slot.blob(), model);
        let in_ring = slot.blob().in_ring();
        let bytes = slot.with_large(|root| {
            let rope = std::sync::Arc::make_mut(root);
            change(rope);
            rope.len()
        })?;
        let after = Cost::of(slot.blob(), model);
        if in_ring {
            self.state.ring.cost = self.state.ring.cost - before.bytes() + after.bytes();
        }
        self.discharge_entry(before);
        self.charge_entry(after);
        self.core.counters.add(Counter::Updates, 1);
        Some(bytes)
    }

    // ---- single flight

    /// A write to a key detaches the loads under way for it: their result is not installed.
    #[inline]
    pub(crate) fn detach_flights(&mut self, key: &[u8]) {
        self.detach_flights_in(self.db, key);
    }

    #[inline]
    fn detach_flights_in(&mut self, db: u16, key: &[u8]) {
        if !self.state.flights.is_empty() {
            self.state.flights.retain(|flight| !flight.is_for(db, key));
        }
    }

    // ---- eviction

    /// Evicts a step's worth.
    pub(super) fn evict_some(&mut self) {
        self.sweep_timers(EXPIRE_STEP);
        for _ in 0..EVICT_STEP {
            if !self.evict_one(None) {
                break;
            }
        }
        self.settle();
    }

    /// Evicts one entry, or removes one that is dead anyway; `false` if there is none that may go.
    fn evict_one(&mut self, spare: Option<usize>) -> bool {
        let policy = self.core.policy();
        let victim = match policy {
            Policy::NoEviction => None,
            Policy::Admission => self.admission_victim(spare),
            _ => self.sampled_victim(policy, spare, |_| true).or_else(|| self.searched_victim(policy, spare)),
        };
        let Some(victim) = victim else { return false };
        self.state.full_bytes = self.state.accounts.entry_bytes();
        self.evict(victim);
        true
    }

    fn evict(&mut self, victim: Victim) {
        let table = self.state.table_mut(victim.db);
        let blob = table
            .and_then(|table| table.remove_at(victim.hash, victim.address))
            .expect("I2: the victim was just seen");
        self.after_removal(blob, victim.db, victim.cause);
    }

    /// The least worthy of a sample that `admits`, over all databases by their size.
    fn sampled_victim(
        &mut self,
        policy: Policy,
        spare: Option<usize>,
        admits: impl Fn(BlobRef<'_>) -> bool,
    ) -> Option<Victim> {
        let entries = self.state.len();
        if entries == 0 {
            return None;
        }
        let mut nth = self.state.random.index_below(entries);
        let random = self.state.random.next();
        let now = if self.state.volatile > 0 || self.core.freshness.clock() > 0 { self.now_ms() } else { 0 };
        let (db, table) = self
            .state
            .tables()
            .find(|(_, table)| {
                let here = nth < table.len();
                nth = if here { nth } else { nth - table.len() };
                here
            })
            .expect("I2: nth is below the number of entries");
        let mut candidates = Candidates { write: self, policy, spare, now, db, best: None };
        table.sample(random, self.core.settings.samples, |blob| {
            if admits(blob) {
                candidates.offer(blob);
            }
        });
        candidates.best.map(|(_, victim)| victim)
    }

    /// When a sample held nobody: the volatile keys by their timers, or everybody.
    fn searched_victim(&mut self, policy: Policy, spare: Option<usize>) -> Option<Victim> {
        let now = self.now_ms();
        let timers: Vec<Timer> = if policy == Policy::VolatileTtl {
            let mut timers = Vec::new();
            self.state.wheel.soonest(self.core.settings.samples * 2, &mut timers);
            timers
        } else if policy.is_volatile() {
            let random = &mut self.state.random;
            let wheel = &self.state.wheel;
            (0..self.core.settings.samples).filter_map(|_| wheel.sample(random.next())).collect()
        } else {
            Vec::new()
        };
        let mut candidates = Candidates { write: self, policy, spare, now, db: 0, best: None };
        for timer in timers {
            let table = self.state.table(timer.db());
            if let Some(blob) = table.and_then(|table| table.find_by_low48(timer.hash48(), &self.core.hasher))
            {
                candidates.db = timer.db();
                candidates.offer(blob);
            }
        }
        if candidates.best.is_none() && (self.state.volatile > 0 || !policy.is_volatile()) {
            // Rare: stale timers only, or pins everywhere.
            for (db, table) in self.state.tables() {
                candidates.db = db;
                table.iter().for_each(|blob| candidates.offer(blob));
            }
        }
        candidates.best.map(|(_, victim)| victim)
    }

    fn admission_victim(&mut self, spare: Option<usize>) -> Option<Victim> {
        self.dirty = true;
        for _ in 0..RING_STEP {
            if !self.ring_is_over() {
                break;
            }
            let Some(timer) = self.state.ring.pop() else { break };
            let now = if self.state.volatile > 0 { self.now_ms() } else { 0 };
            let table = self.state.table(timer.db());
            let found = table.and_then(|table| table.find_by_low48(timer.hash48(), &self.core.hasher));
            let Some(blob) = found.filter(|blob| blob.in_ring()) else { continue };
            if let Some(cause) = self.core.death(blob, || now) {
                return Some(self.victim(blob, timer.db(), cause));
            }
            if blob.pinned() || Some(blob.address()) == spare {
                self.state.ring.requeue(timer);
            } else if frequency(blob.access()) > 0 {
                self.leave_ring(timer);
            } else {
                return Some(self.victim(blob, timer.db(), RemovalCause::Evicted));
            }
        }
        let policy = Policy::Admission;
        self.sampled_victim(policy, spare, |blob| !blob.in_ring())
            .or_else(|| self.sampled_victim(policy, spare, |_| true))
            .or_else(|| self.searched_victim(policy, spare))
    }

    fn victim(&self, blob: BlobRef<'_>, db: u16, cause: RemovalCause) -> Victim {
        Victim { hash: self.core.hash(blob.key()), address: blob.address(), db, cause }
    }

    /// Follows a changed policy: what the old one kept for itself is taken down.
    pub(super) fn retune(&mut self) {
        self.dirty = true;
        self.state.full_bytes = u64::MAX;
        if self.core.policy() != Policy::Admission {
            while let Some(timer) = self.state.ring.pop() {
                self.leave_ring(timer);
            }
            self.state.ring.clear();
        }
        self.resize_ghosts();
        self.state.clock.reset();
        self.settle();
    }

    // ---- pins

    /// Protects an entry from eviction until it is unpinned as often, or goes.
    pub(crate) fn pin(&mut self, hash: KeyHash, key: &[u8]) -> bool {
        let db = self.db;
        let Some(blob) = self.find(hash, key) else { return false };
        blob.set_pinned(true);
        *self.state.pins.entry((db, key.into())).or_insert(0) += 1;
        true
    }

    pub(crate) fn unpin(&mut self, hash: KeyHash, key: &[u8]) -> bool {
        let db = self.db;
        let pin = (db, Box::from(key));
        // A dead entry loses its pins here.
        self.find(hash, key);
        let Some(count) = self.state.pins.get_mut(&pin) else { return false };
        *count -= 1;
        if *count == 0 {
            self.state.pins.remove(&pin);
            if let Some(blob) = self.state.find(db, hash, key) {
                blob.set_pinned(false);
            }
        }
        true
    }

    // ---- expiry

    /// Meets a few due timers on a writer's way.
    #[inline]
    pub(crate) fn expire_slice(&mut self) {
        if !self.state.wheel.is_empty() {
            self.sweep_timers(EXPIRE_SLICE);
            if let Some(now) = self.now_ms {
                if self.state.wheel.next_due_ms().is_some_and(|due| due <= now) {
                    self.expire(EXPIRE_SLICE);
                }
            }
        }
    }

    /// Meets a step's worth of due timers; tells how many entries that removed.
    pub(super) fn expire_due(&mut self) -> usize {
        if self.state.wheel.is_empty() { 0 } else { self.expire(EXPIRE_STEP).0 }
    }

    /// Removes entries whose time is over, meeting at most `budget` timers. Returns how many went, how many timers
    /// were met, and whether nothing due is left.
    pub(crate) fn expire(&mut self, budget: u32) -> (usize, u32, bool) {
        self.dirty = true;
        let now = self.now_ms();
        let hasher = &self.core.hasher;
        let mut due: Vec<Timer> = Vec::new();
        let ShardState { first, others, wheel, .. } = &mut *self.state;
        let progress = wheel.advance(now, budget, |timer| {
            let db = usize::from(timer.db());
            let table = if db == 0 { Some(&*first) } else { others.get(db - 1) };
            let blob = table.and_then(|table| table.find_by_low48(timer.hash48(), hasher));
            match blob.and_then(BlobRef::deadline_ms) {
                None => Verdict::Drop,
                Some(deadline) if deadline > now => Verdict::Requeue(deadline),
                Some(_) => {
                    due.push(timer);
                    Verdict::Drop
                }
            }
        });
        let mut removed = 0;
        for timer in due {
            let table = self.state.table(timer.db());
            let blob = table.and_then(|table| table.find_by_low48(timer.hash48(), hasher));
            if let Some(blob) = blob {
                let victim = self.victim(blob, timer.db(), RemovalCause::Expired);
                self.evict(victim);
                removed += 1;
            }
        }
        (removed, progress.met, progress.done)
    }

    /// Drops timers of keys that are gone, if they have become many; a step at a time. Tells whether it looked.
    pub(crate) fn sweep_timers(&mut self, budget: u32) -> bool {
        if !self.state.timers_are_littered() {
            return false;
        }
        self.dirty = true;
        let hasher = &self.core.hasher;
        let ShardState { first, others, wheel, .. } = &mut *self.state;
        wheel.sweep(budget, |timer| {
            let db = usize::from(timer.db());
            let table = if db == 0 { Some(&*first) } else { others.get(db - 1) };
            let blob = table.and_then(|table| table.find_by_low48(timer.hash48(), hasher));
            blob.is_some_and(|blob| blob.deadline_ms().is_some())
        });
        true
    }

    // ---- clearing

    /// Takes up to `count` entries out of a database; tells whether it is empty now.
    pub(crate) fn clear_some(&mut self, count: usize) -> bool {
        let db = self.db;
        let mut out = Vec::new();
        if let Some(table) = self.state.table_mut(db) {
            table.drain_some(count, &mut out);
        }
        for blob in out {
            self.after_removal(blob, db, RemovalCause::Deleted);
        }
        if self.state.table(db).is_some_and(|table| table.len() > 0) {
            return false;
        }
        self.state.flights.retain(|flight| !flight.is_in(db));
        self.shrink_table();
        true
    }

    /// Gives a table's memory back after many removals.
    pub(crate) fn shrink_table(&mut self) {
        let (db, model, core) = (self.db, self.core.settings.model, self.core);
        let Some(table) = self.state.table_mut(db) else { return };
        let before = table.allocated_bytes();
        if table.shrink(&core.hasher) {
            let after = table.allocated_bytes();
            let place = table.whereabouts();
            if db == 0 {
                core.shards[self.shard].set_whereabouts(place);
            }
            self.discharge(Bytes::Index, model.charge(before));
            self.charge(Bytes::Index, model.charge(after));
            self.resize_ghosts();
            self.state.clock.resize(self.state.len());
        }
    }

    /// Does what else there is to clean: invalidated copies, tables that have become too large. Tells whether there
    /// is more.
    pub(crate) fn clean(&mut self, count: usize) -> bool {
        let clock = self.core.freshness.clock();
        let mut more = false;
        if self.state.swept_at != clock {
            if self.state.dead_sweep.is_none() {
                self.state.sweep_began_at = clock;
            }
            more = self.sweep_dead(count);
            if !more {
                self.state.swept_at = self.state.sweep_began_at;
            }
        }
        for db in 0..self.state.tables().count() {
            self.db = u16::try_from(db).expect("I2: databases are numbered by u16");
            if self.state.table(self.db).is_some_and(|table| table.is_sparse()) {
                self.shrink_table();
            }
        }
        more
    }

    /// Looks at one page of a database for copies that were invalidated; tells whether more pages follow.
    fn sweep_dead(&mut self, count: usize) -> bool {
        let now = self.now_ms();
        let (db, from) = self.state.dead_sweep.unwrap_or((0, 0));
        let tables = self.state.tables().count();
        let mut dead = Vec::new();
        let next = self.state.table(db).and_then(|table| {
            table.page(from, count, |blob| {
                if let Some(cause) = self.core.death(blob, || now) {
                    dead.push(self.victim(blob, db, cause));
                }
            })
        });
        dead.into_iter().for_each(|victim| self.evict(victim));
        let next = match next {
            Some(from) => Some((db, from)),
            None if usize::from(db) + 1 < tables => Some((db + 1, 0)),
            None => None,
        };
        self.state.dead_sweep = next;
        next.is_some()
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

/// An entry chosen to go.
#[derive(Debug, Clone, Copy)]
struct Victim {
    hash: KeyHash,
    address: usize,
    db: u16,
    cause: RemovalCause,
}

/// The search for the least worthy entry.
struct Candidates<'a, 'b> {
    write: &'a ShardWrite<'b>,
    policy: Policy,
    spare: Option<usize>,
    now: u64,
    db: u16,
    best: Option<(i64, Victim)>,
}

impl Candidates<'_, '_> {
    fn offer(&mut self, blob: BlobRef<'_>) {
        let write = self.write;
        let death = write.core.death(blob, || self.now);
        let protected = blob.pinned() || Some(blob.address()) == self.spare;
        if protected || (self.policy.is_volatile() && blob.deadline_ms().is_none()) {
            return;
        }
        let settings = &write.core.settings;
        let worth = if death.is_some() {
            i64::MIN
        } else {
            let bytes_count = write.core.budget(Resource::Bytes).limit().is_some();
            let cost = if bytes_count { Cost::of(blob, settings.model).bytes() } else { 1 };
            worth(self.policy, &settings.admission, write.state.clock(), blob, cost, write.core.seconds())
        };
        if self.best.is_none_or(|(least, _)| worth < least) {
            let cause = death.unwrap_or(RemovalCause::Evicted);
            self.best = Some((worth, write.victim(blob, self.db, cause)));
        }
    }
}
