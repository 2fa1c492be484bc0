//! Recording effects: under the shard's lock, in the order of the changes.

use super::Core;
use super::blob::{BlobRef, ValueRef};
use super::write::{Announce, ShardWrite};
use crate::clock::UnixMillis;
use crate::effect::{Delta, Effect};
use crate::hash::KeyHash;
use crate::value::integer_text;

impl Core {
    /// Whether effects are recorded.
    #[inline]
    pub(crate) fn is_recording(&self) -> bool {
        self.settings.record_effects
    }

    /// Records an effect of a change that stands by itself.
    pub(crate) fn record(&self, effect: Effect) {
        self.effects.lock().push(effect);
    }

    /// Records the effects of a section at once, while its shards are locked.
    pub(crate) fn commit(&self, effects: Vec<Effect>) {
        if !effects.is_empty() {
            self.effects.lock().extend(effects);
        }
    }

    pub(crate) fn take_effects(&self) -> Vec<Effect> {
        std::mem::take(&mut *self.effects.lock())
    }
}

impl ShardWrite<'_> {
    /// Records a change of a key of the present database.
    pub(crate) fn record(&self, key: &[u8], delta: Delta) {
        self.record_in(self.db, key, delta);
    }

    pub(super) fn record_in(&self, physical: u16, key: &[u8], delta: Delta) {
        let database = self.core.logical(physical);
        let effect = Effect { database, key: key.into(), delta };
        match self.log {
            Some(log) => log.borrow_mut().record(effect),
            None => self.core.record(effect),
        }
    }

    /// Records what came about by expiry or eviction: it stays true if the section around it goes back, unless the section
    /// will put this very key back.
    pub(super) fn record_by_itself(&self, physical: u16, key: &[u8], delta: Delta) {
        if self.restores(physical, key) {
            self.record_in(physical, key, delta);
        } else {
            let database = self.core.logical(physical);
            self.core.record(Effect { database, key: key.into(), delta });
        }
    }

    pub(super) fn record_all(&self, key: &[u8], deltas: Option<Vec<Delta>>) {
        for delta in deltas.into_iter().flatten() {
            self.record(key, delta);
        }
    }

    /// Records what a key holds after it was changed in place.
    pub(crate) fn record_entry(&self, hash: KeyHash, key: &[u8]) {
        if let Some(blob) = self.state.find(self.db, hash, key) {
            self.record_put(hash, blob, Announce::Replaced, None);
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
        // A deadline that reads move is told as the one that they never pass.
        let hard = blob.idle().map_or(blob.deadline_ms(), |idle| Some(idle.hard_ms));
        let deadline = hard.filter(|&hard| hard != UnixMillis::MAX.0).map(UnixMillis);
        if announce == Announce::Rebuilt {
            let old = self.state.find(self.db, hash, key).and_then(|old| old.deadline_ms());
            if old != blob.deadline_ms() {
                self.record(key, Delta::Deadline(deadline));
            }
            return;
        }
        let value = match blob.value() {
            ValueRef::Bytes(bytes) => bytes.into(),
            ValueRef::Int(number) => integer_text(number).as_bytes().into(),
            ValueRef::Large(rope) => match rope.as_slice() {
                Some(bytes) => bytes.into(),
                // A string with gaps is told in pieces: the gaps may be much longer.
                None => {
                    self.record(key, Delta::SetString { value: [].into(), deadline });
                    let last = rope.len() - 1;
                    self.record(key, Delta::Patch { offset: last as u64, bytes: [0].into() });
                    for (at, bytes) in rope.pieces(0..rope.len()) {
                        self.record(key, Delta::Patch { offset: at as u64, bytes: bytes.into() });
                    }
                    return;
                }
            },
            // A typed value is encoded before it is stored while effects are recorded; a known absence has no bytes.
            ValueRef::Object(_) => return,
            ValueRef::Collection(held) => {
                self.record(key, Delta::Create { value_type: held.body.value_type(), deadline });
                match deltas {
                    Some(deltas) => self.record_all(key, Some(deltas)),
                    None => held.body.deltas(&mut |delta| self.record(key, delta)),
                }
                return;
            }
        };
        self.record(key, Delta::SetString { value, deadline });
    }
}
