//! Keeping a shard in order, a step at a time: pins, expiry, stale timers, clearing, invalidated copies, tables that have
//! become too large.
//!
//! Invariant: no function here looks at more than its budget of keys, so no lock is held for long.

use super::blob::BlobRef;
use super::collect::wake_of;
use super::interest::Touch;
use super::shard::{Cost, ShardState};
use super::write::ShardWrite;
use crate::expiry::{Timer, Verdict};
use crate::feed::event;
use crate::hash::KeyHash;
use crate::memory::Kind as Bytes;
use crate::removal::RemovalCause;

/// Timers that one lock hold meets.
pub(crate) const EXPIRE_STEP: u32 = 64;
/// Timers that a writer meets on its way.
const EXPIRE_SLICE: u32 = 8;

/// When something about an entry is due: its own deadline, or one inside it.
fn wake_ms(blob: BlobRef<'_>) -> Option<u64> {
    match (blob.deadline_ms(), wake_of(blob)) {
        (Some(own), Some(inside)) => Some(own.min(inside)),
        (own, inside) => own.or(inside),
    }
}

impl ShardWrite<'_> {
    // ---- pins

    /// Protects an entry from eviction until it is unpinned as often, or goes.
    pub(crate) fn pin(&mut self, hash: KeyHash, key: &[u8]) -> bool {
        let db = self.db;
        if self.find(hash, key).is_none() {
            return false;
        }
        self.save(hash, key);
        let Some(blob) = self.state.find(db, hash, key) else { return false };
        blob.set_pinned(true);
        *self.state.pins.entry((db, key.into())).or_insert(0) += 1;
        true
    }

    pub(crate) fn unpin(&mut self, hash: KeyHash, key: &[u8]) -> bool {
        let db = self.db;
        let pin = (db, Box::from(key));
        // A dead entry loses its pins here.
        if self.find(hash, key).is_some() {
            self.save(hash, key);
        }
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
            match blob.and_then(wake_ms) {
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
            let Some(blob) = blob else { continue };
            if blob.deadline_ms().is_none_or(|deadline| deadline > now) {
                self.expire_inside(timer);
            } else {
                let victim = self.victim(blob, timer.db(), RemovalCause::Expired);
                self.evict(victim);
                removed += 1;
            }
        }
        (removed, progress.met, progress.done)
    }

    /// Removes what is due inside a collection, a step's worth, and arms a timer for the rest.
    fn expire_inside(&mut self, timer: Timer) {
        let now = self.now_ms();
        let (model, rules) = (self.core.settings.model, self.state.rules);
        let hasher = &self.core.hasher;
        let table = self.state.table(timer.db());
        let Some(blob) = table.and_then(|table| table.find_by_low48(timer.hash48(), hasher)) else { return };
        let (key, hash, before): (Box<[u8]>, _, _) =
            (blob.key().into(), hasher.hash(blob.key()), Cost::of(blob, model));
        let (in_ring, was) = (blob.in_ring(), wake_of(blob));
        let here = std::mem::replace(&mut self.db, timer.db());
        let stamp = self.state.stamps + 1;
        let mut deltas = self.is_recording().then(Vec::new);
        let slot = self.state.table_mut(timer.db()).and_then(|table| table.find_mut(hash, &key));
        let slot = slot.expect("I1: the entry was just found");
        let vacant = slot.with_collection(|held| {
            held.stamp = stamp;
            let mut keep = |delta| {
                if let Some(deltas) = &mut deltas {
                    deltas.push(delta);
                }
            };
            held.body.expire_due(now, EXPIRE_STEP as usize, &rules, &mut keep);
            held.body.is_vacant()
        });
        let (after, wake) = (Cost::of(slot.blob(), model), wake_of(slot.blob()));
        self.state.stamps = stamp;
        if in_ring {
            self.state.ring.cost = self.state.ring.cost - before.bytes() + after.bytes();
        }
        self.exchange_entry(before, after);
        // The timer was dropped as it was met, so the rest needs one of its own.
        self.follow_wake(hash, was, None);
        self.follow_wake(hash, None, wake);
        self.touched_by_itself(timer.db(), &key, Touch::Changed);
        self.record_by_itself(timer.db(), &key, |log, database| {
            for delta in deltas.into_iter().flatten() {
                log.change_as(event::HEXPIRED, database, &key, None, delta);
            }
        });
        if vacant == Some(true) {
            self.remove(hash, &key, RemovalCause::Expired);
        }
        self.db = here;
    }

    /// Drops timers of keys that are gone, if they have become many; a step at a time. Tells whether it looked.
    pub(crate) fn sweep_timers(&mut self, budget: u32) -> bool {
        if !self.state.timers_are_littered() {
            return false;
        }
        self.dirty = true;
        let hasher = &self.core.hasher;
        let ShardState { first, others, wheel, .. } = &mut *self.state;
        let swept = wheel.sweep(budget, |timer| {
            let db = usize::from(timer.db());
            let table = if db == 0 { Some(&*first) } else { others.get(db - 1) };
            let blob = table.and_then(|table| table.find_by_low48(timer.hash48(), hasher));
            blob.is_some_and(|blob| wake_ms(blob).is_some())
        });
        if swept.done && self.state.timers_are_littered() {
            self.rearm();
        }
        true
    }

    /// Gives every entry with a deadline one timer: one whose deadline went to and fro has many, and all of them look
    /// needed to the sweep.
    pub(super) fn rearm(&mut self) {
        let hasher = &self.core.hasher;
        let ShardState { first, others, wheel, .. } = &mut *self.state;
        wheel.clear();
        for (db, table) in (0u16..).zip(std::iter::once(&*first).chain(&*others)) {
            for blob in table.iter() {
                if let Some(deadline) = wake_ms(blob) {
                    wheel.arm(Timer::new(hasher.hash(blob.key()).low48(), db), deadline);
                }
            }
        }
    }

    // ---- clearing

    /// Takes up to `count` entries out of a database; tells whether it is empty now.
    pub(crate) fn clear_some(&mut self, count: usize) -> bool {
        let db = self.db;
        let mut out = Vec::new();
        if let Some(table) = self.state.table_mut(db) {
            table.drain_some(count, &mut out);
        }
        // Redis tells nobody of the keys of a database that is cleared.
        self.feed.mute(true);
        for blob in out {
            self.save_gone(db, blob.get());
            self.after_removal(blob, db, RemovalCause::Deleted);
        }
        self.feed.mute(false);
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
            self.exchange(Bytes::Index, model.charge(before), model.charge(after));
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
    pub(super) fn sweep_dead(&mut self, count: usize) -> bool {
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
