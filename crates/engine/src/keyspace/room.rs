//! Room for a change: what it needs, the grants of the shard, and the accounts of what is used.
//!
//! Invariants: I1: a reservation that succeeds covers everything that `put` will charge. I2: every byte is charged and taken
//! off through `charge` and `discharge`, so the ledger's `used` is the sum over kinds.

use super::Refusal;
use super::blob::BlobRef;
use super::evict::EVICT_STEP;
use super::index::ShardIndex;
use super::shard::Cost;
use super::upkeep::EXPIRE_STEP;
use super::write::{Existing, ShardWrite};
use crate::eviction::Policy;
use crate::memory::{Amounts, Kind as Bytes, RESOURCES, Resource};
use crate::order::OrderedIndex;

/// What a timer alone in its bucket takes, chunk, head and spare room.
const TIMER_BYTES_MAX: usize = 192;

impl ShardWrite<'_> {
    /// What a key needs beside its own cost: a larger table, a timer, a place in the ring.
    #[inline]
    pub(crate) fn overhead(&self, new_key: bool, deadline: bool, key_bytes: usize) -> u64 {
        self.overhead_of_many(usize::from(new_key), usize::from(deadline), key_bytes)
    }

    /// The same for several keys: how many may be new, how many have a deadline, and how long the keys are together.
    #[inline]
    pub(crate) fn overhead_of_many(&self, new_keys: usize, deadlines: usize, key_bytes: usize) -> u64 {
        let model = self.core.settings.model;
        let mut bytes = 0;
        if new_keys > 0 {
            let table = self.state.table(self.db);
            let growth =
                table.map_or_else(|| ShardIndex::new().growth_bytes(new_keys), |t| t.growth_bytes(new_keys));
            bytes += model.charge(self.state.list_growth_bytes(self.db));
            if growth > 0 {
                bytes += model.charge(growth);
                if self.wants_ghosts() {
                    bytes += model.charge(growth / 2);
                }
            }
            bytes += model.charge(self.state.ring.growth_bytes(new_keys));
            if self.core.order.is_some() {
                // Of several keys each is charged for itself; rounding up takes at most 32 bytes more each.
                let others = (new_keys - 1) as u64;
                bytes += OrderedIndex::entry_bytes(key_bytes, model);
                bytes += others * (OrderedIndex::entry_bytes(0, model) + 32);
            }
        }
        if deadlines > 0 {
            let charge = |size| usize::try_from(model.charge(size)).unwrap_or(usize::MAX);
            let wheel = &self.state.wheel;
            bytes += if deadlines == 1 {
                wheel.allocation_for_arm(charge) as u64
            } else {
                // Lists double at the most, and hold what is new.
                (wheel.heap_bytes(charge) + deadlines * TIMER_BYTES_MAX) as u64
            };
        }
        bytes
    }

    pub(super) fn wants_ghosts(&self) -> bool {
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
    pub(crate) fn try_reserve(&mut self, need: Amounts) -> bool {
        let (core, accounts) = (self.core, &mut self.state.accounts);
        let [bytes, entries, weight] = RESOURCES.map(|resource| core.budget(resource));
        accounts.bytes.reserve(need.bytes, bytes)
            && accounts.entries.reserve(need.entries, entries)
            && accounts.weight.reserve(need.weight, weight)
    }

    #[cold]
    pub(super) fn reserve_by_evicting(&mut self, need: Amounts, spare: Option<usize>) -> Result<(), Refusal> {
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
        // A shard that has lost ground to the others (by deletions, say) is not the one to make room.
        if self.lacks_share(need) {
            return Err(Refusal::NoRoom { need, progress, spare });
        }
        for _ in 0..EVICT_STEP {
            if !self.evict_one(spare) {
                return Err(Refusal::NoRoom { need, progress, spare });
            }
            progress = true;
            self.settle();
            if self.try_reserve(need) {
                return Ok(());
            }
        }
        Err(Refusal::NoRoom { need, progress, spare })
    }

    /// Gives back what this shard was granted beyond a need: it may be all that another shard of a batch lacks.
    pub(crate) fn give_back_beyond(&mut self, need: Amounts) {
        let (core, accounts) = (self.core, &mut self.state.accounts);
        let [bytes, entries, weight] = RESOURCES.map(|resource| core.budget(resource));
        accounts.bytes.give_back(need.bytes, bytes);
        accounts.entries.give_back(need.entries, entries);
        accounts.weight.give_back(need.weight, weight);
    }

    /// Whether this shard uses less than three quarters of an equal share of the limit.
    pub(super) fn is_below_share(&self, resource: Resource) -> bool {
        let Some(limit) = self.core.budget(resource).limit() else { return false };
        let share = limit / self.core.shards.len() as u64;
        let accounts = &self.state.accounts;
        let used = match resource {
            Resource::Bytes => accounts.bytes.used(),
            Resource::Entries => accounts.entries.used(),
            Resource::Weight => accounts.weight.used(),
        };
        used < share / 4 * 3
    }

    /// Whether this shard is below its share of a resource of which it needs more than it was granted.
    pub(super) fn lacks_share(&self, need: Amounts) -> bool {
        let accounts = &self.state.accounts;
        let short = [
            (Resource::Bytes, accounts.bytes.spare()),
            (Resource::Entries, accounts.entries.spare()),
            (Resource::Weight, accounts.weight.spare()),
        ];
        self.core.shards.len() > 1
            && short
                .iter()
                .any(|&(resource, spare)| need.get(resource) > spare && self.is_below_share(resource))
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

    pub(super) fn charge(&mut self, kind: Bytes, bytes: u64) {
        self.state.accounts.kinds[kind as usize] += bytes;
        self.state.accounts.bytes.charge(bytes, self.core.budget(Resource::Bytes));
    }

    pub(super) fn discharge(&mut self, kind: Bytes, bytes: u64) {
        let cell = &mut self.state.accounts.kinds[kind as usize];
        *cell = cell.checked_sub(bytes).expect("I2: no more leaves than was charged");
        self.state.accounts.bytes.discharge(bytes, self.core.budget(Resource::Bytes));
    }

    pub(super) fn recharge(&mut self, kind: Bytes, now: u64) {
        let was = self.state.accounts.kind(kind);
        self.exchange(kind, was, now);
    }

    /// Charges `now` for what was charged `was`: the difference alone, so that what was reserved suffices, and what is
    /// about to be needed is not given back.
    pub(super) fn exchange(&mut self, kind: Bytes, was: u64, now: u64) {
        let accounts = &mut self.state.accounts;
        let cell = &mut accounts.kinds[kind as usize];
        *cell = (*cell + now).checked_sub(was).expect("I2: no more leaves than was charged");
        accounts.bytes.exchange(was, now, self.core.budget(Resource::Bytes));
    }

    pub(super) fn exchange_entry(&mut self, was: Cost, now: Cost) {
        let [bytes, _, weight] = RESOURCES.map(|resource| self.core.budget(resource));
        let accounts = &mut self.state.accounts;
        let kinds = [(Bytes::Blobs, was.blob, now.blob), (Bytes::Objects, was.object, now.object)];
        for (kind, was, now) in kinds {
            let cell = &mut accounts.kinds[kind as usize];
            *cell = (*cell + now).checked_sub(was).expect("I2: no more leaves than was charged");
        }
        accounts.bytes.exchange(was.bytes(), now.bytes(), bytes);
        accounts.weight.exchange(was.weight, now.weight, weight);
    }

    pub(super) fn charge_entry(&mut self, cost: Cost) {
        self.charge(Bytes::Blobs, cost.blob);
        self.charge(Bytes::Objects, cost.object);
        let accounts = &mut self.state.accounts;
        accounts.weight.charge(cost.weight, self.core.budget(Resource::Weight));
    }

    pub(super) fn discharge_entry(&mut self, cost: Cost) {
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

    pub(super) fn settle_all(&mut self) {
        self.dirty = false;
        let model = self.core.settings.model;
        let charge = |size| usize::try_from(model.charge(size)).unwrap_or(usize::MAX);
        self.recharge(Bytes::Wheel, self.state.wheel.heap_bytes(charge) as u64);
        let eviction = model.charge(self.state.ring.allocated_bytes())
            + model.charge(self.state.ghosts.allocated_bytes());
        self.recharge(Bytes::Eviction, eviction);
    }
}
