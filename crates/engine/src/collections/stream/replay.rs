//! A stream as the keyspace sees it: what it costs, its digest, and its changes applied and told.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::delta::StreamDelta;
use super::group::{Consumer, Group, Pending};
use super::id::StreamId;
use super::log::{Entries, TrimTo, Trimming};
use super::{Root, Stream};
use crate::clock::UnixMillis;
use crate::collections::Body;
use crate::collections::rules::Rules;
use crate::effect::Delta;
use crate::engine::{Encoding, ValueType};
use crate::memory::AllocatorModel;

impl Body for Stream {
    const TYPE: ValueType = ValueType::Stream;

    fn empty(rules: &Rules) -> Self {
        Self::new(rules.model)
    }

    fn is_vacant(&self) -> bool {
        false
    }

    fn encoding(&self) -> Encoding {
        Encoding::Stream
    }

    fn charged(&self, model: AllocatorModel) -> u64 {
        let root = &*self.0;
        model.charge(size_of::<Root>()) + root.log.charged() + root.groups.charged() + root.groups_charged
    }

    fn digest(&self) -> u64 {
        let mut hash = 0;
        let mut mix = |bytes: &[u8]| hash = xxh3_64_with_seed(bytes, hash);
        for entry in Entries::new(self.0.log.clone(), StreamId::MIN..=StreamId::MAX, false) {
            mix(entry.id.to_string().as_bytes());
            mix(entry.fields.packed());
        }
        let root = &*self.0;
        mix(format!("{} {} {}", root.last_id, root.max_deleted_id, root.entries_added).as_bytes());
        for (name, group) in self.groups() {
            mix(name);
            mix(&xxh3_64(&group_digest(group)).to_le_bytes());
        }
        hash
    }

    fn apply(&mut self, delta: &Delta, rules: &Rules) {
        if let Delta::Stream(delta) = delta {
            self.apply_one(delta, rules);
        }
    }

    fn deltas(&self, emit: &mut dyn FnMut(Delta)) {
        let mut emit = |delta| emit(Delta::Stream(delta));
        for entry in Entries::new(self.0.log.clone(), StreamId::MIN..=StreamId::MAX, false) {
            emit(StreamDelta::Add { id: entry.id, fields: entry.fields });
        }
        emit(self.meta());
        for (name, group) in self.groups() {
            emit(group_put(name, group));
            for consumer in group.consumers() {
                emit(consumer_put(name, consumer));
            }
            for pending in group.pending_from(StreamId::MIN) {
                emit(pending_put(name, group, pending));
            }
        }
    }

    fn free_some(&mut self, nodes: usize) -> bool {
        let root = &mut *self.0;
        if !root.log.free_some(nodes) {
            return false;
        }
        let freed = root.groups.update_last(|group| {
            let was = group.charged();
            (group.free_some(nodes), was - group.charged())
        });
        let Some((done, bytes)) = freed else { return true };
        root.groups_charged -= bytes;
        if done {
            root.groups.pop();
        }
        root.groups.len() == 0
    }

    #[cfg(any(test, fuzzing))]
    fn validate_between(&self, _narrowest: &Rules, _widest: &Rules) {
        let root = &*self.0;
        root.log.validate();
        root.groups.validate();
        for (_, group) in root.groups.iter() {
            group.validate();
        }
        assert!(root.log.last_id() <= Some(root.last_id), "I1: no entry is above the last id");
        let charged: u64 = root.groups.iter().map(|(_, group)| group.charged()).sum();
        assert_eq!(charged, root.groups_charged, "I2: what the groups cost");
    }

    arm!(Stream);
}

fn group_digest(group: &Group) -> Vec<u8> {
    let mut text = format!("{} {:?}", group.last_delivered, group.entries_read).into_bytes();
    for consumer in group.consumers() {
        text.extend(format!(" {:?} {:?} ", consumer.seen_ms, consumer.active_ms).bytes());
        text.extend_from_slice(&consumer.name);
    }
    for pending in group.pending_from(StreamId::MIN) {
        text.extend(format!(" {} {} {} ", pending.id, pending.delivered_ms, pending.count).bytes());
        text.extend_from_slice(&group.consumer(pending.consumer).name);
    }
    text
}

/// What is to be recorded of a group.
pub(crate) fn group_put(name: &[u8], group: &Group) -> StreamDelta {
    StreamDelta::GroupPut {
        group: name.into(),
        last_delivered_id: group.last_delivered,
        entries_read: group.entries_read,
    }
}

/// What is to be recorded of a consumer.
pub(crate) fn consumer_put(group: &[u8], consumer: &Consumer) -> StreamDelta {
    StreamDelta::ConsumerPut {
        group: group.into(),
        consumer: consumer.name.as_ref().into(),
        seen: UnixMillis(consumer.seen_ms),
        active: consumer.active_ms.map(UnixMillis),
    }
}

/// What is to be recorded of a pending entry.
pub(crate) fn pending_put(name: &[u8], group: &Group, pending: &Pending) -> StreamDelta {
    StreamDelta::PendingPut {
        group: name.into(),
        id: pending.id,
        consumer: group.consumer(pending.consumer).name.as_ref().into(),
        delivered: UnixMillis(pending.delivered_ms),
        count: pending.count,
    }
}

impl Stream {
    /// What is to be recorded of the stream itself.
    pub(crate) fn meta(&self) -> StreamDelta {
        StreamDelta::Meta {
            last_id: self.0.last_id,
            entries_added: self.0.entries_added,
            max_deleted_id: self.0.max_deleted_id,
        }
    }

    fn apply_one(&mut self, delta: &StreamDelta, rules: &Rules) {
        match delta {
            StreamDelta::Add { id, fields } => {
                if *id > self.0.last_id && !fields.is_empty() {
                    self.add(*id, fields, rules);
                }
            }
            StreamDelta::Remove { id } => {
                self.remove(*id);
            }
            StreamDelta::TrimBefore { id } => {
                self.trim(&Trimming { to: TrimTo::Id(*id), approximate: false, limit: 0 });
            }
            StreamDelta::Meta { last_id, entries_added, max_deleted_id } => {
                let root = &mut *self.0;
                root.last_id = (*last_id).max(root.log.last_id().unwrap_or_default());
                root.entries_added = *entries_added;
                root.max_deleted_id = *max_deleted_id;
            }
            StreamDelta::GroupPut { group, last_delivered_id, entries_read } => {
                self.create_group(group, *last_delivered_id, *entries_read);
                self.edit_group(group, |group| {
                    group.last_delivered = *last_delivered_id;
                    group.entries_read = *entries_read;
                });
            }
            StreamDelta::GroupRemove { group } => {
                self.remove_group(group);
            }
            StreamDelta::ConsumerPut { group, consumer, seen, active } => {
                self.edit_group(group, |group| {
                    let number = group.see(consumer, seen.0);
                    group.set_active(number, active.map(|active| active.0));
                });
            }
            StreamDelta::ConsumerRemove { group, consumer } => {
                self.edit_group(group, |group| group.remove_consumer(consumer));
            }
            StreamDelta::PendingPut { group, id, consumer, delivered, count } => {
                self.edit_group(group, |group| {
                    let number =
                        group.number_of(consumer).unwrap_or_else(|| group.see(consumer, delivered.0));
                    let (id, count) = (*id, *count);
                    group.put(Pending { id, consumer: number, delivered_ms: delivered.0, count });
                });
            }
            StreamDelta::PendingRemove { group, id } => {
                self.edit_group(group, |group| group.acknowledge(*id));
            }
        }
    }
}
