//! Who goes when room is needed: the admission ring, samples, and the search when a sample held nobody.
//!
//! Invariants: I1: a pinned entry, one that a transaction is about, and the one that a change is about to
//! replace (`spare`), are never chosen. I2: an entry
//! that is dead anyway is the first to go, and counts as expired or invalidated, not as evicted. I3: the ring mark of an
//! entry and `ring.cost` change together.

use super::blob::BlobRef;
use super::shard::{Cost, ShardState};
use super::upkeep::EXPIRE_STEP;
use super::write::ShardWrite;
use crate::eviction::{Policy, frequency, worth};
use crate::expiry::Timer;
use crate::hash::KeyHash;
use crate::memory::{Amounts, Resource};
use crate::removal::RemovalCause;

/// Victims that one lock hold takes.
pub(super) const EVICT_STEP: usize = 16;
/// Runners-up of a sample that are offered again next time.
pub(super) const POOL: usize = 8;
/// A pool without anybody: there is no such database.
pub(super) const NO_POOL: [Timer; POOL] = [Timer::new(0, u16::MAX); POOL];
/// Ring items that one search for a victim looks at.
const RING_STEP: usize = 64;

impl ShardWrite<'_> {
    /// Evicts until the shard could give this much back, a step's worth at most.
    pub(super) fn evict_for(&mut self, need: Amounts, spare: Option<usize>) {
        self.sweep_timers(EXPIRE_STEP);
        self.settle();
        for _ in 0..EVICT_STEP {
            let accounts = &self.state.accounts;
            let enough = accounts.bytes.spare() >= need.bytes
                && accounts.entries.spare() >= need.entries
                && accounts.weight.spare() >= need.weight;
            if enough || !self.evict_one(spare) {
                break;
            }
            self.settle();
        }
    }

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
    pub(super) fn evict_one(&mut self, spare: Option<usize>) -> bool {
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

    pub(super) fn evict(&mut self, victim: Victim) {
        let table = self.state.table_mut(victim.db);
        let blob = table
            .and_then(|table| table.remove_at(victim.hash, victim.address))
            .expect("I2: the victim was just seen");
        self.after_removal(blob, victim.db, victim.cause);
    }

    /// The least worthy of a sample that `admits`, over all databases by their size.
    pub(super) fn sampled_victim(
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
        let mut candidates = Candidates { write: self, policy, spare, now, db, best: None, pool: Vec::new() };
        table.sample(random, self.core.samples(), |blob| {
            if admits(blob) {
                candidates.offer(blob);
            }
        });
        for timer in self.state.pool {
            candidates.offer_named(timer);
        }
        let (best, pool) = candidates.decide();
        self.state.pool = pool;
        best
    }

    /// When a sample held nobody: the volatile keys by their timers, or everybody.
    pub(super) fn searched_victim(&mut self, policy: Policy, spare: Option<usize>) -> Option<Victim> {
        let now = self.now_ms();
        let timers: Vec<Timer> = if policy == Policy::VolatileTtl {
            let mut timers = Vec::new();
            self.state.wheel.soonest(self.core.samples() * 2, &mut timers);
            timers
        } else if policy.is_volatile() {
            let random = &mut self.state.random;
            let wheel = &self.state.wheel;
            (0..self.core.samples()).filter_map(|_| wheel.sample(random.next())).collect()
        } else {
            Vec::new()
        };
        let mut candidates =
            Candidates { write: self, policy, spare, now, db: 0, best: None, pool: Vec::new() };
        timers.into_iter().for_each(|timer| candidates.offer_named(timer));
        if candidates.best.is_none() && (self.state.volatile > 0 || !policy.is_volatile()) {
            // Rare: stale timers only, or pins everywhere.
            for (db, table) in self.state.tables() {
                candidates.db = db;
                table.iter().for_each(|blob| candidates.offer(blob));
            }
        }
        candidates.best.map(|(_, victim)| victim)
    }

    pub(super) fn admission_victim(&mut self, spare: Option<usize>) -> Option<Victim> {
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
            if blob.pinned() || Some(blob.address()) == spare || self.guards(timer.db(), blob) {
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

    pub(super) fn victim(&self, blob: BlobRef<'_>, db: u16, cause: RemovalCause) -> Victim {
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

    pub(super) fn resize_ghosts(&mut self) {
        self.dirty = true;
        let percent = usize::from(self.core.settings.admission.ghost_percent);
        let room: usize = self.state.tables().map(|(_, table)| table.capacity()).sum();
        let wanted = if self.wants_ghosts() { room * percent / 100 } else { 0 };
        self.state.ghosts.resize(wanted);
    }

    /// Moves what is over the ring's share to main, as long as this shard has not been full (eviction I4).
    pub(super) fn fill(&mut self) {
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

    pub(super) fn ring_is_over(&self) -> bool {
        let percent = u64::from(self.core.settings.admission.ring_percent);
        let ring = &self.state.ring;
        ring.entries > 0
            && ring.cost.saturating_mul(100) >= self.state.accounts.entry_bytes().saturating_mul(percent)
    }

    /// Takes the ring mark off the entry that an item names, if it is there.
    pub(super) fn leave_ring(&mut self, timer: Timer) {
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

    pub(super) fn sweep_ring(&mut self) {
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
}

/// Whether a policy keeps the runners-up of a sample (Redis's eviction pool): they are looked at anew every time, so one
/// that was used meanwhile is no longer a candidate.
fn pools(policy: Policy) -> bool {
    matches!(
        policy,
        Policy::AllKeysLru
            | Policy::AllKeysLfu
            | Policy::VolatileLru
            | Policy::VolatileLfu
            | Policy::VolatileTtl
    )
}

/// An entry chosen to go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Victim {
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
    /// All that were offered, for policies that keep the runners-up for next time.
    pool: Vec<(i64, Victim)>,
}

impl Candidates<'_, '_> {
    fn offer(&mut self, blob: BlobRef<'_>) {
        let write = self.write;
        let death = write.core.death(blob, || self.now);
        let protected = blob.pinned() || Some(blob.address()) == self.spare || write.guards(self.db, blob);
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
        if pools(self.policy) {
            self.pool.push((worth, write.victim(blob, self.db, RemovalCause::Evicted)));
        }
    }

    /// Offers the entry that 48 hash bits and a database name, if it is there.
    fn offer_named(&mut self, timer: Timer) {
        let table = self.write.state.table(timer.db());
        let blob = table.and_then(|table| table.find_by_low48(timer.hash48(), &self.write.core.hasher));
        if let Some(blob) = blob {
            self.db = timer.db();
            self.offer(blob);
        }
    }

    /// The victim, and the runners-up for next time.
    fn decide(mut self) -> (Option<Victim>, [Timer; POOL]) {
        let best = self.best.map(|(_, victim)| victim);
        self.pool.retain(|(_, other)| best.is_some_and(|best| best.address != other.address));
        // Among equals by hash, which the seed determines; an address would differ from run to run.
        let name = |victim: Victim| Timer::new(victim.hash.low48(), victim.db);
        self.pool.sort_unstable_by_key(|&(worth, victim)| (worth, name(victim)));
        self.pool.dedup_by_key(|(_, victim)| victim.address);
        let mut names = NO_POOL;
        names.iter_mut().zip(&self.pool).for_each(|(place, &(_, victim))| *place = name(victim));
        (best, names)
    }
}
