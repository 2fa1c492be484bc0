//! Applying recorded changes: no clock, no chance, no options, no refusal.
//!
//! An entry past its deadline is still changed, because the recorder will say when it went; what is applied may take an engine
//! past its limit, and the next write makes room.

use std::sync::Arc;

use super::blob::{Blob, BlobRef, Content, Draft, ValueRef};
use super::collect::wake_of;
use super::interest::Touch;
use super::rope::{DENSE_BYTES_MAX, Rope};
use super::shard::Cost;
use super::write::{Announce, ShardWrite};
use crate::clock::UnixMillis;
use crate::collections::{Collection, Held};
use crate::effect::Delta;
use crate::engine::store::{content_of, grown_content_of, redraft};
use crate::error::LENGTH_BYTES_MAX;
use crate::hash::KeyHash;
use crate::removal::RemovalCause;
use crate::value::integer_text;

impl ShardWrite<'_> {
    /// Applies one change of a key of the present database.
    pub(crate) fn apply(&mut self, hash: KeyHash, key: &[u8], delta: &Delta, weight: Option<u32>) {
        match delta {
            Delta::Delete | Delta::SetOpaque { .. } => {
                self.detach_flights(key);
                self.remove(hash, key, RemovalCause::Deleted);
            }
            Delta::SetString { value, deadline } => {
                self.apply_put(hash, key, content_of(value), (*deadline, weight));
            }
            Delta::Create { value_type, deadline } => {
                if let Some(body) = Collection::empty(*value_type, &self.state.rules) {
                    let held = Box::new(Held { stamp: 0, body });
                    self.apply_put(hash, key, Content::Collection(held), (*deadline, weight));
                }
            }
            Delta::Deadline(deadline) => self.apply_deadline(hash, key, *deadline),
            Delta::Patch { offset, bytes } => self.apply_patch(hash, key, *offset, bytes),
            Delta::SwapDatabases { .. } => {}
            inside => self.apply_inside(hash, key, inside),
        }
    }

    fn apply_put(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        content: Content<'_>,
        (deadline, weight): (Option<UnixMillis>, Option<u32>),
    ) {
        let mut draft = Draft::new(key, content);
        (draft.deadline_ms, draft.weight) = (deadline.map(|deadline| deadline.0), weight);
        // The deltas of what is inside follow one by one and are recorded as they come.
        self.put_recorded(hash, Blob::new(draft), Announce::Replaced, Some(Vec::new()));
    }

    fn apply_deadline(&mut self, hash: KeyHash, key: &[u8], deadline: Option<UnixMillis>) {
        let deadline = deadline.map(|deadline| deadline.0);
        let Some(blob) = self.state.find(self.db, hash, key) else { return };
        if let (Some(deadline), Some(_), None) = (deadline, blob.deadline_ms(), blob.idle()) {
            self.move_deadline(hash, key, deadline);
            return;
        }
        let mut scratch = Vec::new();
        let mut draft = redraft(blob, key, &mut scratch);
        (draft.deadline_ms, draft.idle) = (deadline, None);
        let blob = Blob::new(draft);
        self.put(hash, blob, Announce::Rebuilt);
    }

    fn apply_patch(&mut self, hash: KeyHash, key: &[u8], offset: u64, bytes: &[u8]) {
        let Ok(offset) = usize::try_from(offset) else { return };
        let end = offset.saturating_add(bytes.len());
        if end > LENGTH_BYTES_MAX {
            return;
        }
        let old = self.state.find(self.db, hash, key);
        if let Some(ValueRef::Large(_)) = old.filter(|old| old.object().is_none()).map(BlobRef::value) {
            let model = self.core.settings.model;
            self.change_large(hash, key, |rope| rope.write(offset, bytes, model));
            if self.is_recording() {
                self.record(key, Delta::Patch { offset: offset as u64, bytes: bytes.into() });
            }
            return;
        }
        let mut value = match old.map(BlobRef::value) {
            Some(ValueRef::Bytes(bytes)) => bytes.to_vec(),
            Some(ValueRef::Int(number)) => integer_text(number).as_bytes().to_vec(),
            Some(ValueRef::Large(rope)) => rope.to_vec(),
            Some(ValueRef::Object(_) | ValueRef::Collection(_)) => return,
            None => Vec::new(),
        };
        let deadline = old.and_then(BlobRef::deadline_ms).map(UnixMillis);
        let weight = old.and_then(BlobRef::weight);
        if end > DENSE_BYTES_MAX {
            // The rope leaves out what the patch leaves out.
            let mut rope = Rope::from_vec(value);
            rope.write(offset, bytes, self.core.settings.model);
            self.apply_put(hash, key, Content::Large(Arc::new(rope)), (deadline, weight));
            return;
        }
        if value.len() < end {
            value.resize(end, 0);
        }
        value[offset..end].copy_from_slice(bytes);
        self.apply_put(hash, key, grown_content_of(&value), (deadline, weight));
    }

    fn apply_inside(&mut self, hash: KeyHash, key: &[u8], delta: &Delta) {
        self.save(hash, key);
        let (db, model, rules, stamp) =
            (self.db, self.core.settings.model, self.state.rules, self.state.stamps + 1);
        let Some(slot) = self.state.table_mut(db).and_then(|table| table.find_mut(hash, key)) else { return };
        let (in_ring, was) = (slot.blob().in_ring(), wake_of(slot.blob()));
        let before = Cost::of(slot.blob(), model);
        let applied = slot.with_collection(|held| {
            held.stamp = stamp;
            held.body.apply(delta, &rules);
        });
        if applied.is_none() {
            return;
        }
        let (after, wake) = (Cost::of(slot.blob(), model), wake_of(slot.blob()));
        self.state.stamps = stamp;
        self.dirty = true;
        if in_ring {
            self.state.ring.cost = self.state.ring.cost - before.bytes() + after.bytes();
        }
        self.exchange_entry(before, after);
        self.follow_wake(hash, was, wake);
        self.touched(key, Touch::Grown);
        if self.is_recording() {
            self.record(key, delta.clone());
        }
    }
}
