//! Recording what a change does: under the shard's lock, in the order of the changes, into the log of these locks.

use super::blob::{BlobRef, ValueRef};
use super::meta::CacheMeta;
use super::write::{Announce, ShardWrite};
use crate::ValueType;
use crate::clock::UnixMillis;
use crate::effect::Delta;
use crate::feed::event::{self, Event};
use crate::feed::log::Changelog;
use crate::hash::KeyHash;
use crate::value::integer_text;

impl ShardWrite<'_> {
    /// Whether changes are recorded; it stays as it is for as long as the locks are held.
    #[inline]
    pub(crate) fn is_recording(&self) -> bool {
        self.feed.is_recording()
    }

    /// Gives what the operation changes from here on Redis's name for it, in place of the one that its deltas have.
    #[inline]
    pub(crate) fn name(&self, event: Event) {
        self.feed.name(event);
    }

    /// Lets changes be told as keyspace events no more, or again.
    pub(crate) fn mute(&self, on: bool) {
        self.feed.mute(on);
    }

    /// Tells of a keyspace event that no change stands for.
    pub(crate) fn notice(&self, key: &[u8], event: Event) {
        if self.is_recording() {
            self.feed.notice(self.core.logical(self.db), key, event);
        }
    }

    /// Records a change of a key of the present database.
    pub(crate) fn record(&self, key: &[u8], delta: Delta) {
        self.feed.change(self.core.logical(self.db), key, None, delta);
    }

    /// Records what came about by expiry or eviction: it stays true if the section around it goes back, unless the section
    /// will put this very key back.
    pub(super) fn record_by_itself(&self, physical: u16, key: &[u8], record: impl FnOnce(&Changelog, u16)) {
        if self.log.is_none() || self.restores(physical, key) {
            record(self.feed, self.core.logical(physical));
        } else {
            let log = Changelog::new(self.is_recording());
            record(&log, self.logical_outside(physical));
            self.core.commit(&log);
        }
    }

    /// The same where the delta does not say what type of value it changes.
    pub(super) fn record_as(&self, value_type: ValueType, key: &[u8], delta: Delta) {
        self.feed.change(self.core.logical(self.db), key, Some(value_type), delta);
    }

    /// Records that an entry goes.
    pub(super) fn record_removal(&self, physical: u16, blob: BlobRef<'_>, event: Event, by_itself: bool) {
        // Nobody was told of a known absence.
        if is_negative(blob) {
            return;
        }
        let value_type = Some(ValueType::of(blob));
        let record = |log: &Changelog, database| {
            log.change_as(event, database, blob.key(), value_type, Delta::Delete);
        };
        if by_itself {
            self.record_by_itself(physical, blob.key(), record);
        } else {
            record(self.feed, self.core.logical(physical));
        }
    }

    pub(super) fn record_all(&self, key: &[u8], deltas: Option<Vec<Delta>>) {
        let expired = self.feed.take_expired();
        for (index, delta) in deltas.into_iter().flatten().enumerate() {
            if index < expired {
                let database = self.core.logical(self.db);
                self.feed.change_as(event::HEXPIRED, database, key, None, delta);
            } else {
                self.record(key, delta);
            }
        }
        self.record_note(key);
    }

    /// Tells what the change under way asked for.
    pub(super) fn record_note(&self, key: &[u8]) {
        if let Some(event) = self.feed.take_note() {
            self.notice(key, event);
        }
    }

    /// Records what a key holds after it was changed in place.
    pub(crate) fn record_entry(&self, hash: KeyHash, key: &[u8]) {
        if let Some(blob) = self.state.find(self.db, hash, key) {
            self.record_value(blob, None);
        }
    }

    /// Records that a key holds this value now; of an entry that was only rebuilt, the deadline alone.
    pub(super) fn record_put(
        &self,
        hash: KeyHash,
        blob: BlobRef<'_>,
        announce: Announce,
        deltas: Option<Vec<Delta>>,
    ) {
        let key = blob.key();
        let old = self.state.find(self.db, hash, key);
        if announce == Announce::Rebuilt {
            if old.and_then(BlobRef::deadline_ms) != blob.deadline_ms() {
                self.record_as(ValueType::of(blob), key, Delta::Deadline(told_deadline(blob)));
            }
            return;
        }
        let was_there = old.filter(|&old| !is_negative(old));
        if is_negative(blob) {
            // It takes the place of a value, or of nothing.
            if let Some(old) = was_there {
                self.record_removal(self.db, old, event::DEL, false);
            }
            return;
        }
        if was_there.is_none() {
            self.notice(key, event::NEW);
        }
        self.record_value(blob, deltas);
    }

    fn record_value(&self, blob: BlobRef<'_>, deltas: Option<Vec<Delta>>) {
        let (key, deadline) = (blob.key(), told_deadline(blob));
        let value = match blob.value() {
            ValueRef::Bytes(bytes) => bytes.into(),
            ValueRef::Int(number) => integer_text(number).as_bytes().into(),
            ValueRef::Large(rope) => match rope.as_slice() {
                Some(bytes) => bytes.into(),
                // A string with gaps is told in pieces: the gaps may be much longer.
                None => {
                    let event = self.feed.named().unwrap_or(event::SET);
                    self.name(event);
                    self.record(key, Delta::SetString { value: [].into(), deadline });
                    let last = rope.len() - 1;
                    self.record(key, Delta::Patch { offset: last as u64, bytes: [0].into() });
                    for (at, bytes) in rope.pieces(0..rope.len()) {
                        self.record(key, Delta::Patch { offset: at as u64, bytes: bytes.into() });
                    }
                    return;
                }
            },
            // Encoding would run its owner's code under the lock; whoever asks for the delta does it.
            ValueRef::Object(object) => {
                self.feed.object(self.core.logical(self.db), key, object.clone(), deadline);
                return;
            }
            ValueRef::Collection(held) => {
                let value_type = held.body.value_type();
                let create = Delta::Create { value_type, deadline };
                match deltas {
                    Some(deltas) => {
                        // It came by what was put into it first.
                        let event = self.feed.named().or_else(|| deltas.first().map(event::of_delta));
                        let database = self.core.logical(self.db);
                        match event {
                            Some(event) => self.feed.change_as(event, database, key, None, create),
                            None => self.record(key, create),
                        }
                        self.record_all(key, Some(deltas));
                    }
                    None => {
                        if self.feed.named().is_none() {
                            self.name(event::of_delta(&create));
                        }
                        self.record(key, create);
                        held.body.deltas(&mut |delta| self.record(key, delta));
                    }
                }
                return;
            }
        };
        self.record(key, Delta::SetString { value, deadline });
    }
}

/// When an entry is told to expire: one that reads move, as the deadline that they never pass.
fn told_deadline(blob: BlobRef<'_>) -> Option<UnixMillis> {
    let hard = blob.idle().map_or(blob.deadline_ms(), |idle| Some(idle.hard_ms));
    hard.filter(|&hard| hard != UnixMillis::MAX.0).map(UnixMillis)
}

fn is_negative(blob: BlobRef<'_>) -> bool {
    blob.meta().is_some_and(CacheMeta::is_negative)
}
