//! Changing a collection under its shard's lock.
//!
//! ```text
//! find -> type? -> reserve -> f(&mut Change) -> vacant? remove : settle accounts, timer, stamp -> record the deltas
//! ```
//! Invariants: I1: room is reserved before `f` runs, and `f` runs once; an error of `f` means that it changed nothing. I2: the
//! entry's cost in the accounts equals `Cost::of` before and after. I3: a body whose `next_deadline_ms` is set has a timer at
//! or before it. I4: two states of a key with the same stamp are the same state.
//!
//! The reservation is the caller's guess of what the change adds, not an exact sum: a node that splits may take the shard
//! past its grant by that node, and the next write makes room for it.

mod beside;

use std::cell::Cell;

use super::blob::{Blob, BlobRef, Content, Draft, ValueRef};
use super::interest::Touch;
use super::shard::ShardState;
use super::write::{Announce, Existing, ShardWrite};
use super::{Core, Refusal};
use crate::collections::rules::Rules;
use crate::collections::{Body, Held};
use crate::effect::Delta;
use crate::error::OpError;
use crate::expiry::Timer;
use crate::feed::event::Event;
use crate::feed::log::Changelog;
use crate::hash::KeyHash;
use crate::memory::{Amounts, Kind as Bytes};
use crate::random::Random;
use crate::removal::RemovalCause;
use crate::stats::Counter;
use crate::{SetOptions, ValueType};

pub(crate) use beside::Made;

/// What a change does when the key does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It begins with an empty collection, which is kept if something came into it.
    Create,
    /// It does nothing.
    Skip,
}

/// Room for a change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// About what the change adds.
    pub(crate) bytes: usize,
    /// The weight of a key that it makes.
    pub(crate) weight: Option<u32>,
    /// Whether the room was reserved before, so that the change cannot be refused for want of it.
    pub(crate) reserved: bool,
}

impl Room {
    pub(crate) fn new(bytes: usize, weight: Option<u32>) -> Self {
        Self { bytes, weight, reserved: false }
    }

    pub(crate) fn reserved(self) -> Self {
        Self { reserved: true, ..self }
    }
}

/// A collection under change, and what a change may need.
#[derive(Debug)]
pub(crate) struct Change<'a, B> {
    pub(crate) body: &'a mut B,
    rules: &'a Rules,
    core: &'a Core,
    feed: &'a Changelog,
    now_ms: Cell<Option<u64>>,
    random: &'a mut Random,
    deltas: Option<Vec<Delta>>,
    changed: bool,
    grown: bool,
    stamp: u64,
}

impl<B> Change<'_, B> {
    pub(crate) fn rules(&self) -> &Rules {
        self.rules
    }

    /// The present time; the same for the whole change.
    pub(crate) fn now_ms(&self) -> u64 {
        let now_ms = self.now_ms.get().unwrap_or_else(|| self.core.now_ms());
        self.now_ms.set(Some(now_ms));
        now_ms
    }

    /// Body, rules and chance at once, for changes that need them side by side.
    pub(crate) fn parts(&mut self) -> (&mut B, &Rules, &mut Random) {
        (self.body, self.rules, self.random)
    }

    /// Says that something changed; the delta is made only if somebody records.
    #[inline]
    pub(crate) fn emit(&mut self, delta: impl FnOnce() -> Delta) {
        self.changed = true;
        if let Some(deltas) = &mut self.deltas {
            deltas.push(delta());
        }
    }

    /// Says that the stream got what those who read it may wait for: an entry, or the end of a group. A change of any other
    /// collection may be that by itself.
    #[inline]
    pub(crate) fn wake_readers(&mut self) {
        self.grown = true;
    }

    /// Gives what the operation changes from here on Redis's name for it, in place of the one that its deltas have.
    #[inline]
    pub(crate) fn name(&self, event: Event) {
        self.feed.name(event);
    }

    /// As `emit`, of a field whose time was over; before anything else is emitted.
    pub(crate) fn emit_expired(&mut self, delta: Delta) {
        if self.deltas.is_some() {
            self.feed.expire_one();
        }
        self.emit(|| delta);
    }

    /// Asks for a keyspace event of the key, whether anything changes or not.
    pub(crate) fn note(&self, event: Event) {
        self.feed.note(event);
    }

    /// Whether deltas are recorded, for changes that would have to work to know theirs.
    pub(crate) fn is_recorded(&self) -> bool {
        self.deltas.is_some()
    }
}

/// What a change left behind.
struct Outcome<R> {
    result: Result<R, OpError>,
    changed: bool,
    touch: Touch,
    vacant: bool,
    deltas: Option<Vec<Delta>>,
    now_ms: Option<u64>,
}

impl ShardWrite<'_> {
    /// A live collection of a type, `None` if the key does not exist.
    pub(crate) fn collection<B: Body>(&mut self, hash: KeyHash, key: &[u8]) -> Result<Option<&B>, Refusal> {
        let Some(blob) = self.find(hash, key) else { return Ok(None) };
        Ok(Some(body_of(blob, key)?))
    }

    /// Changes a collection; `f` runs once, after the room for what it adds was found.
    pub(crate) fn change_collection<B: Body, R>(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        absent: Absent,
        room: Room,
        mut f: impl FnMut(&mut Change<'_, B>) -> Result<R, OpError>,
    ) -> Result<Option<R>, Refusal> {
        if let Some(result) = self.change_plain(hash, key, room, &mut f) {
            return result.map(Some).map_err(Refusal::from);
        }
        let exists = match self.find(hash, key) {
            Some(blob) => body_of::<B>(blob, key).map(|_| true)?,
            None => false,
        };
        if !exists {
            return match absent {
                Absent::Skip => Ok(None),
                Absent::Create => self.create(hash, key, room, f).map(Some),
            };
        }
        let old = self.existing(hash, key).expect("I5: the entry was just found");
        if !room.reserved {
            let need = self.need_of(Some(&old), key, room);
            self.reserve_amounts(need, Some(old.address))?;
        }
        let result =
            self.change_found(hash, key, &mut f).expect("I5: the entry was spared, its type checked");
        result.map(Some).map_err(Refusal::from)
    }

    /// The usual case: the entry is there, without a deadline, and the shard has the room. `None` if there is more to it,
    /// and then nothing was done.
    #[inline]
    fn change_plain<B: Body, R>(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        room: Room,
        f: &mut impl FnMut(&mut Change<'_, B>) -> Result<R, OpError>,
    ) -> Option<Result<R, OpError>> {
        let blob = self.state.find(self.db, hash, key)?;
        let has_room = || self.state.accounts.bytes.spare() >= room.bytes as u64 || room.reserved;
        if !blob.is_plain() || !has_room() {
            return None;
        }
        self.change_found(hash, key, f)
    }

    /// Changes an entry for which there is room; `None` if it is no collection of this type.
    fn change_found<B: Body, R>(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        f: &mut impl FnMut(&mut Change<'_, B>) -> Result<R, OpError>,
    ) -> Option<Result<R, OpError>> {
        self.save(hash, key);
        let (core, feed, db, model) = (self.core, self.feed, self.db, self.core.settings.model);
        let ShardState { first, others, random, rules, stamps, clock, .. } = &mut *self.state;
        let table = if db == 0 { Some(first) } else { others.get_mut(usize::from(db) - 1) };
        let slot = table?.find_mut(hash, key)?;
        let stamp = *stamps + 1;
        let now_ms = Cell::new(self.now_ms);
        let (outcome, bytes, wakes) = slot.with_collection(|held| {
            let body = B::of_mut(&mut held.body)?;
            let (before, was) = (body.charged(model), body.next_deadline_ms());
            let deltas = feed.is_recording().then(Vec::new);
            let (was_stamp, changed, grown) = (held.stamp, false, false);
            let change =
                Change { body, rules, core, feed, now_ms, random, deltas, changed, grown, stamp: was_stamp };
            let outcome = run(change, f);
            let body = B::of(&held.body)?;
            let sums = ((before, body.charged(model)), (was, body.next_deadline_ms()));
            if outcome.changed {
                held.stamp = stamp;
            }
            Some((outcome, sums.0, sums.1))
        })??;
        self.now_ms = outcome.now_ms;
        let blob = slot.blob();
        let (in_ring, idles) = (blob.in_ring(), blob.idle().is_some());
        if outcome.changed {
            *stamps = stamp;
            if let Some(access) = clock.next(core.policy().stamping(), blob.access(), || core.seconds()) {
                blob.set_access(access);
            }
        }
        if bytes.0 != bytes.1 {
            if in_ring {
                self.state.ring.cost = self.state.ring.cost - bytes.0 + bytes.1;
            }
            self.exchange(Bytes::Blobs, bytes.0, bytes.1);
        }
        if wakes.0 != wakes.1 {
            self.dirty = true;
            self.follow_wake(hash, wakes.0, wakes.1);
        }
        if outcome.changed {
            if idles {
                self.touch(hash, key);
            }
            self.touched(key, outcome.touch);
            core.counters.add(Counter::Updates, 1);
            self.record_all(key, outcome.deltas);
            if outcome.vacant {
                self.remove(hash, key, RemovalCause::Deleted);
            }
        } else {
            self.record_note(key);
        }
        Some(outcome.result)
    }

    /// Makes sure that an element of about this size can come into a collection that may have to be made, sparing an entry
    /// of this shard that the change is about to read.
    pub(crate) fn reserve_for_element(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        room: Room,
        spare: Option<usize>,
    ) -> Result<(), Refusal> {
        let old = self.existing(hash, key);
        let need = self.need_of(old.as_ref(), key, room);
        // Room for the other key's timer too, should it be in this shard.
        self.reserve_amounts(need.and(Amounts { bytes: 256, ..Amounts::default() }), spare)
    }

    /// What a collection with about this much in it needs, above what is there.
    fn need_of(&self, old: Option<&Existing>, key: &[u8], room: Room) -> Amounts {
        let model = self.core.settings.model;
        let overhead = self.overhead(old.is_none(), true, key.len());
        let bytes = (room.bytes as u64).saturating_add(overhead);
        if old.is_some_and(|old| old.live) {
            return Amounts { bytes, ..Amounts::default() };
        }
        let empty = model.charge(size_of::<Held>()) + model.charge(128 + key.len());
        let need = Amounts {
            bytes: bytes.saturating_add(empty),
            entries: 1,
            weight: u64::from(room.weight.unwrap_or(0)),
        };
        old.map_or(need, |old| need.beyond(old.cost.amounts()))
    }

    fn create<B: Body, R>(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        room: Room,
        mut f: impl FnMut(&mut Change<'_, B>) -> Result<R, OpError>,
    ) -> Result<R, Refusal> {
        let now = self.now_ms();
        let old = self.existing(hash, key);
        let (core, feed) = (self.core, self.feed);
        let (deadline_ms, idle) = core.times(&SetOptions::new(), || now, None)?;
        if !room.reserved {
            let need = self.need_of(old.as_ref(), key, room);
            self.reserve_amounts(need, old.map(|old| old.address))?;
        }
        let ShardState { random, rules, .. } = &mut *self.state;
        let mut body = B::empty(rules);
        let deltas = feed.is_recording().then(Vec::new);
        let now_ms = Cell::new(self.now_ms);
        let (changed, grown) = (false, false);
        let body_now = &mut body;
        let change =
            Change { body: body_now, rules, core, feed, now_ms, random, deltas, changed, grown, stamp: 0 };
        let outcome = run(change, &mut f);
        self.now_ms = outcome.now_ms;
        if outcome.result.is_ok() && outcome.changed && !outcome.vacant {
            let held = Box::new(Held { stamp: 0, body: body.into_collection() });
            let mut draft = Draft::new(key, Content::Collection(held));
            (draft.deadline_ms, draft.idle, draft.weight) = (deadline_ms, idle, room.weight);
            self.put_recorded(hash, Blob::new(draft), Announce::Replaced, outcome.deltas);
        }
        outcome.result.map_err(Refusal::from)
    }

    /// Arms a timer for what expires inside a collection, and counts those that have something.
    pub(super) fn follow_wake(&mut self, hash: KeyHash, was: Option<u64>, wake: Option<u64>) {
        self.state.timed_bodies -= usize::from(was.is_some());
        self.state.timed_bodies += usize::from(wake.is_some());
        if let Some(deadline) = wake.filter(|&wake| was.is_none_or(|was| wake < was)) {
            self.state.wheel.arm(Timer::new(hash.low48(), self.db), deadline);
        }
    }
}

fn run<B: Body, R>(
    mut change: Change<'_, B>,
    f: &mut impl FnMut(&mut Change<'_, B>) -> Result<R, OpError>,
) -> Outcome<R> {
    let result = f(&mut change);
    debug_assert!(result.is_ok() || !change.changed, "I1: a refused change has changed nothing");
    Outcome {
        result,
        changed: change.changed,
        touch: if change.grown || B::TYPE != ValueType::Stream { Touch::Grown } else { Touch::Changed },
        vacant: change.body.is_vacant(),
        deltas: change.deltas,
        now_ms: change.now_ms.get(),
    }
}

/// The body of an entry, or the error that names both types.
pub(crate) fn body_of<'a, B: Body>(blob: BlobRef<'a>, key: &[u8]) -> Result<&'a B, OpError> {
    let found = match blob.value() {
        ValueRef::Collection(held) => match B::of(&held.body) {
            Some(body) => return Ok(body),
            None => held.body.value_type(),
        },
        _ => ValueType::String,
    };
    Err(OpError::wrong_type(key, B::TYPE, found))
}

/// When something inside the value expires by itself.
pub(super) fn wake_of(blob: BlobRef<'_>) -> Option<u64> {
    match blob.value() {
        ValueRef::Collection(held) => held.body.next_deadline_ms(),
        _ => None,
    }
}
