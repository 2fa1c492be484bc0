//! The limits of the whole engine, and room made in other shards than the one that needs it.
//!
//! Invariant: nobody holds a shard while another one makes room for him, sections apart, which only try (section.rs).

use std::sync::atomic::Ordering;

use super::Core;
use crate::collections::rules::{EncodingLimits, Rules};
use crate::error::OpError;
use crate::eviction::Policy;
use crate::memory::{Amounts, Budget, RESOURCES, Resource};
use crate::removal::Bag;
use crate::stats::Counter;

impl Core {
    pub(crate) fn budget(&self, resource: Resource) -> &Budget {
        match resource {
            Resource::Bytes => &self.bytes,
            Resource::Entries => &self.entries,
            Resource::Weight => &self.weight,
        }
    }

    pub(crate) fn is_limited(&self) -> bool {
        RESOURCES.iter().any(|&resource| self.budget(resource).limit().is_some())
    }

    /// Changes a limit; what is over it goes at once, in steps.
    pub(crate) fn set_limit(&self, resource: Resource, limit: Option<u64>) {
        self.budget(resource).set_limit(limit);
        self.retune();
        self.shed();
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        self.policy.store(policy as u8, Ordering::Relaxed);
        self.retune();
        // The ghosts of the new policy may have gone past the limit, and what the old one kept may go now.
        self.shed();
    }

    /// Lets every shard follow a changed policy or limit.
    pub(super) fn retune(&self) {
        for shard in 0..self.shards.len() {
            // A poisoned shard keeps what it has.
            let _ = self.write_in(shard, 0, |write| {
                write.retune();
                Ok(())
            });
        }
    }

    /// The resource of which this much cannot be granted, if there is one.
    pub(super) fn missing(&self, need: Amounts) -> Option<Resource> {
        RESOURCES.into_iter().find(|&resource| {
            let budget = self.budget(resource);
            let need = need.get(resource);
            need > 0 && budget.limit().is_some_and(|limit| budget.granted().saturating_add(need) > limit)
        })
    }

    pub(super) fn refuse(&self, need: Amounts, short: Resource) -> OpError {
        self.counters.add(Counter::Refusals, 1);
        let limit = self.budget(short).limit().unwrap_or(u64::MAX);
        OpError::OutOfMemory { needed: need.get(short), limit }
    }

    /// Frees room in other shards, in steps: spare grants first, then victims.
    pub(super) fn make_room(&self, need: Amounts, spare: Option<usize>) -> Result<(), OpError> {
        let missing = || self.missing(need);
        if missing().is_some() {
            self.grave_empty();
        }
        let count = self.shards.len();
        let mut idle_shards = 0;
        while let Some(short) = missing() {
            let shard = self.rotor.fetch_add(1, Ordering::Relaxed) % count;
            // First round: shards that have their share of the limit. Second round: whoever has anything.
            let anywhere = idle_shards > count;
            let mut bag = Bag::default();
            let freed = self.write_shard(shard, 0, &mut bag, |write| {
                let back = write.give_back_all();
                if missing().is_some() && (anywhere || !write.is_below_share(short)) {
                    write.expire_due();
                    write.evict_for(need, spare);
                }
                Ok(back + write.give_back_all())
            });
            let freed = freed.unwrap_or(0) > 0 || !bag.is_empty();
            self.bury(bag);
            self.grave_empty();
            idle_shards = match (freed, anywhere) {
                (false, _) => idle_shards + 1,
                (true, false) => 0,
                (true, true) => count + 1,
            };
            if idle_shards > 2 * count + 1 {
                return Err(self.refuse(need, short));
            }
        }
        Ok(())
    }

    /// Refuses at once what could not fit even into an empty engine.
    pub(crate) fn check_fits(&self, amounts: Amounts) -> Result<(), OpError> {
        for resource in RESOURCES {
            let Some(limit) = self.budget(resource).limit() else { continue };
            let fixed = if resource == Resource::Bytes { self.fixed_bytes } else { 0 };
            if amounts.get(resource).saturating_add(fixed) > limit {
                self.counters.add(Counter::Refusals, 1);
                return Err(OpError::OutOfMemory { needed: amounts.get(resource), limit });
            }
        }
        Ok(())
    }

    /// Brings everything back under lowered limits, as far as the policy evicts.
    pub(crate) fn shed(&self) {
        let mut idle_shards = 0;
        while RESOURCES.iter().any(|&r| self.budget(r).is_over()) && idle_shards <= self.shards.len() {
            let shard = self.rotor.fetch_add(1, Ordering::Relaxed) % self.shards.len();
            let freed = self.write_in(shard, 0, |write| {
                let (back, entries) = (write.give_back_all(), write.state().len());
                if RESOURCES.iter().any(|&r| self.budget(r).is_over()) {
                    write.expire_due();
                    write.evict_some();
                }
                Ok(back + write.give_back_all() > 0 || write.state().len() < entries)
            });
            let freed = freed.unwrap_or(false);
            self.grave_empty();
            idle_shards = if freed { 0 } else { idle_shards + 1 };
        }
    }

    /// Changes the limits of small encodings, shard by shard.
    pub(crate) fn set_encoding_limits(&self, limits: EncodingLimits) {
        self.rules.write().limits = limits;
        for shard in 0..self.shards.len() {
            // A poisoned shard is served no more, so it needs no limits.
            let _ = self.write_in(shard, 0, |write| {
                write.state().set_limits(limits);
                Ok(())
            });
        }
    }

    /// When collections change their encoding, as it stands now.
    pub(crate) fn rules(&self) -> Rules {
        *self.rules.read()
    }
}
