//! Accounting: what every shard uses, and the budget that all shards share.
//!
//! ```text
//! Budget    limit 64 MiB, granted 63.9 MiB      one for bytes, one for entries, one for weight
//!              ^ take / give, one step at a time
//! Ledger    used 250 KiB <= granted 256 KiB     one a shard, changed under its lock
//! ```
//! Invariants: I1: in every shard `used <= granted`, unless a write that may not be refused (EXPIRE) or a lowered
//! limit has gone past it. I2: the budget's `granted` is the sum over the shards plus the fixed part. I3: a `take`
//! never brings `granted` above the limit. So what is used never exceeds the limit; what is granted and unused is
//! bounded by the step, of which there is one a shard: together at most 1 % of the limit.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes an allocation of a given size really costs.
///
/// The engine charges what it asks for by this model; the size of the pages that the allocator holds back is
/// outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AllocatorModel {
    /// glibc's malloc: eight bytes of header, rounded up to sixteen, at least thirty-two.
    #[default]
    Glibc,
    /// Exactly what was asked for.
    Requested,
    /// Size classes in steps of one eighth of a power of two, as jemalloc and mimalloc have them.
    SizeClasses,
}

impl AllocatorModel {
    /// Returns the cost of one allocation of `bytes` bytes; zero for zero.
    #[must_use]
    #[inline]
    pub fn charge(self, bytes: usize) -> u64 {
        if bytes == 0 {
            return 0;
        }
        let bytes = bytes as u64;
        match self {
            Self::Requested => bytes,
            Self::Glibc => ((bytes + 8 + 15) & !15).max(32),
            Self::SizeClasses => {
                let step = (bytes.next_power_of_two() / 8).max(8);
                bytes.div_ceil(step) * step
            }
        }
    }
}

/// What bytes are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Blobs,
    Objects,
    Index,
    Wheel,
    Eviction,
    Order,
}

pub(crate) const KINDS: usize = 6;

/// A resource that a limit can bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Bytes,
    Entries,
    Weight,
}

pub(crate) const RESOURCES: [Resource; 3] = [Resource::Bytes, Resource::Entries, Resource::Weight];

/// Amounts of the three resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amounts {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) weight: u64,
}

impl Amounts {
    #[inline]
    pub(crate) fn get(self, resource: Resource) -> u64 {
        match resource {
            Resource::Bytes => self.bytes,
            Resource::Entries => self.entries,
            Resource::Weight => self.weight,
        }
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            entries: self.entries.saturating_add(other.entries),
            weight: self.weight.saturating_add(other.weight),
        }
    }

    /// What is needed beyond `other`, per resource.
    #[inline]
    pub(crate) fn beyond(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            entries: self.entries.saturating_sub(other.entries),
            weight: self.weight.saturating_sub(other.weight),
        }
    }
}

/// The share of one resource that all shards together may use.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: AtomicU64,
    granted: AtomicU64,
    /// How much a shard takes at once.
    step: AtomicU64,
    shards: u64,
}

/// No limit. Far enough from the end of the range that sums cannot wrap.
const UNLIMITED: u64 = u64::MAX / 2;
/// The step while there is no limit.
const STEP_UNLIMITED: u64 = 1 << 20;
/// A step is at most this share of the limit, divided by the shards.
const STEP_SHARE: u64 = 200;

impl Budget {
    pub(crate) fn new(limit: Option<u64>, shards: usize) -> Self {
        let budget = Self {
            limit: AtomicU64::new(UNLIMITED),
            granted: AtomicU64::new(0),
            step: AtomicU64::new(STEP_UNLIMITED),
            shards: shards as u64,
        };
        budget.set_limit(limit);
        budget
    }

    pub(crate) fn set_limit(&self, limit: Option<u64>) {
        let limit = limit.map_or(UNLIMITED, |limit| limit.min(UNLIMITED));
        let step = if limit == UNLIMITED { STEP_UNLIMITED } else { limit / STEP_SHARE / self.shards };
        self.step.store(step.min(STEP_UNLIMITED), Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        Some(self.limit.load(Ordering::Relaxed)).filter(|&limit| limit != UNLIMITED)
    }

    #[inline]
    pub(crate) fn step(&self) -> u64 {
        self.step.load(Ordering::Relaxed)
    }

    pub(crate) fn granted(&self) -> u64 {
        self.granted.load(Ordering::Relaxed)
    }

    /// Takes `amount`, or nothing if the limit forbids it (I3).
    pub(crate) fn take(&self, amount: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let before = self.granted.fetch_add(amount, Ordering::Relaxed);
        if before.saturating_add(amount) <= limit {
            return true;
        }
        self.granted.fetch_sub(amount, Ordering::Relaxed);
        false
    }

    /// Takes `amount` whatever the limit says.
    pub(crate) fn take_anyway(&self, amount: u64) {
        self.granted.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn give(&self, amount: u64) {
        self.granted.fetch_sub(amount, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.granted() > self.limit.load(Ordering::Relaxed)
    }
}

/// What one shard uses of one resource, and what it was granted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ledger {
    used: u64,
    granted: u64,
}

impl Ledger {
    #[inline]
    pub(crate) fn used(self) -> u64 {
        self.used
    }

    /// What is granted and not used.
    #[inline]
    pub(crate) fn spare(self) -> u64 {
        self.granted.saturating_sub(self.used)
    }

    #[cfg(test)]
    pub(crate) fn granted(self) -> u64 {
        self.granted
    }

    /// Makes sure that `amount` more may be used, taking from the budget where needed.
    #[inline]
    pub(crate) fn reserve(&mut self, amount: u64, budget: &Budget) -> bool {
        let wanted = self.used + amount;
        if wanted <= self.granted {
            return true;
        }
        self.reserve_slow(wanted - self.granted, budget)
    }

    #[cold]
    fn reserve_slow(&mut self, missing: u64, budget: &Budget) -> bool {
        let generous = missing + budget.step();
        let taken = if budget.take(generous) {
            generous
        } else if budget.take(missing) {
            missing
        } else {
            return false;
        };
        self.granted += taken;
        true
    }

    #[inline]
    pub(crate) fn charge(&mut self, amount: u64, budget: &Budget) {
        self.used += amount;
        if self.used > self.granted {
            let missing = self.used - self.granted;
            budget.take_anyway(missing);
            self.granted += missing;
        }
    }

    /// Takes `amount` off; what is granted beyond two steps goes back to the budget.
    #[inline]
    pub(crate) fn discharge(&mut self, amount: u64, budget: &Budget) {
        self.used = self.used.checked_sub(amount).expect("I1: no more is taken off than was charged");
        let spare = self.granted - self.used;
        if spare > 2 * budget.step() {
            self.give_back(budget.step(), budget);
        }
    }

    /// Charges `now` in the place of `was`: the difference alone.
    #[inline]
    pub(crate) fn exchange(&mut self, was: u64, now: u64, budget: &Budget) {
        if now > was {
            self.charge(now - was, budget);
        } else if now < was {
            self.discharge(was - now, budget);
        }
    }

    /// Gives back all that is granted beyond `keep` spare.
    pub(crate) fn give_back(&mut self, keep: u64, budget: &Budget) -> u64 {
        let back = (self.granted - self.used).saturating_sub(keep);
        self.granted -= back;
        budget.give(back);
        back
    }
}

/// Bytes by what they are used for, as [`Engine::memory_usage`](crate::Engine::memory_usage) tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MemoryUsage {
    /// Entries: keys, values and their headers, large strings included.
    pub blobs: u64,
    /// Decoded objects: their allocation and the weight that their owner gave.
    pub objects: u64,
    /// Hash tables.
    pub index: u64,
    /// Expiry timers.
    pub wheel: u64,
    /// The admission ring and the ghost tables.
    pub eviction: u64,
    /// The engine itself: shards and their locks, before the first key.
    pub fixed: u64,
    /// The opt-in ordered key index (an estimate: the skip list's towers are random).
    pub ordered_index: u64,
    /// Large collections that were deleted and are not freed yet: writers and maintenance free them in steps.
    pub retired: u64,
    /// The byte limit, if there is one.
    pub limit: Option<u64>,
}

impl MemoryUsage {
    /// Returns the sum of all kinds: what the byte limit bounds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.blobs
            + self.objects
            + self.index
            + self.wheel
            + self.eviction
            + self.fixed
            + self.ordered_index
            + self.retired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_never_grants_more_than_its_limit() {
        let budget = Budget::new(Some(1_000), 4);
        let mut ledgers = [Ledger::default(); 4];
        let mut random = crate::random::Random::new(1);
        for _ in 0..10_000 {
            let ledger = &mut ledgers[random.index_below(4)];
            let amount = random.below(100);
            if random.below(2) == 0 {
                if ledger.reserve(amount, &budget) {
                    ledger.charge(amount, &budget);
                }
            } else {
                ledger.discharge(amount.min(ledger.used()), &budget);
            }
            assert!(budget.granted() <= 1_000, "I3");
            assert_eq!(budget.granted(), ledgers.iter().map(|l| l.granted()).sum::<u64>(), "I2");
            assert!(ledgers.iter().all(|l| l.used() <= l.granted()), "I1");
        }
        for ledger in &mut ledgers {
            while ledger.reserve(1, &budget) {
                ledger.charge(1, &budget);
            }
        }
        let used: u64 = ledgers.iter().map(|l| l.used()).sum();
        assert!(used >= 985, "the limit can be used up but for the steps: {used}");
    }

    #[test]
    fn glibc_model_rounds_as_malloc_does() {
        let model = AllocatorModel::Glibc;
        assert_eq!([1, 24, 25, 40, 41].map(|n| model.charge(n)), [32, 32, 48, 48, 64]);
        assert_eq!(model.charge(0), 0);
    }
}
