//! The plain model: sorted maps, and Redis's rules written down once more, from the other end.

use std::collections::BTreeMap;

use super::super::claiming::Claiming;
use super::super::deleting::{EntryRemoval, References};
use super::super::id::StreamId;
use super::super::log::{Entries, TrimTo};
use super::super::reading::Reading;
use super::super::{NewMeta, Stream};

pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;
/// A group and a consumer.
pub(super) type Names<'a> = (&'a str, &'a str);

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Group {
    last: StreamId,
    read: Option<u64>,
    /// Consumer, when, how often.
    pending: BTreeMap<StreamId, (String, u64, u64)>,
    /// When it was seen, and when it was active.
    consumers: BTreeMap<String, (u64, Option<u64>)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Model {
    pub(super) entries: BTreeMap<StreamId, Pairs>,
    pub(super) last_id: StreamId,
    pub(super) max_deleted: StreamId,
    pub(super) added: u64,
    pub(super) groups: BTreeMap<String, Group>,
    /// Every id there ever was, to pick from.
    ever: Vec<StreamId>,
}

impl Model {
    pub(super) fn pick(&self, pick: usize) -> StreamId {
        if self.ever.is_empty() || pick == 199 {
            return StreamId::new(7, 7);
        }
        // Mostly of the last ones, which are there still.
        let back = if pick < 150 { pick % 40 } else { pick };
        self.ever[self.ever.len() - 1 - back % self.ever.len()]
    }

    pub(super) fn add(&mut self, id: StreamId, pairs: Pairs) {
        self.entries.insert(id, pairs);
        self.last_id = id;
        self.added += 1;
        self.ever.push(id);
    }

    pub(super) fn remove(&mut self, id: StreamId) -> bool {
        let removed = self.entries.remove(&id).is_some();
        if removed && id > self.max_deleted {
            self.max_deleted = id;
        }
        removed
    }

    fn referenced(&self, id: StreamId) -> bool {
        let needs = |group: &Group| id > group.last || group.pending.contains_key(&id);
        self.groups.is_empty() || self.groups.values().any(needs)
    }

    pub(super) fn remove_with(&mut self, id: StreamId, references: References) -> EntryRemoval {
        match references {
            References::Acknowledged if self.entries.contains_key(&id) && self.referenced(id) => {
                return EntryRemoval::Referenced;
            }
            References::Delete => {
                for group in self.groups.values_mut() {
                    group.pending.remove(&id);
                }
            }
            _ => {}
        }
        if self.remove(id) { EntryRemoval::Removed } else { EntryRemoval::NotFound }
    }

    pub(super) fn acknowledge_and_remove(
        &mut self,
        group: &str,
        id: StreamId,
        references: References,
    ) -> Option<EntryRemoval> {
        if self.groups.get_mut(group)?.pending.remove(&id).is_none() {
            return Some(EntryRemoval::NotFound);
        }
        Some(match self.remove_with(id, references) {
            EntryRemoval::Referenced => EntryRemoval::Referenced,
            _ => EntryRemoval::Removed,
        })
    }

    pub(super) fn excess(&self, to: TrimTo) -> u64 {
        match to {
            TrimTo::Length(length) => (self.entries.len() as u64).saturating_sub(length),
            TrimTo::Id(least) => self.entries.range(..least).count() as u64,
        }
    }

    pub(super) fn drop_first(&mut self, count: u64) {
        for _ in 0..count {
            self.entries.pop_first().expect("as many as were removed");
        }
    }

    pub(super) fn set_meta(&mut self, meta: &NewMeta) -> bool {
        let too_low = meta.max_deleted_id.is_some_and(|id| id > meta.last_id)
            || self.entries.last_key_value().is_some_and(|(&top, _)| meta.last_id < top);
        let too_few = !self.entries.is_empty()
            && meta.entries_added.is_some_and(|added| added < self.entries.len() as u64);
        if too_low || too_few {
            return false;
        }
        self.last_id = meta.last_id;
        self.added = meta.entries_added.unwrap_or(self.added);
        if let Some(id) = meta.max_deleted_id.filter(|&id| id > StreamId::MIN) {
            self.max_deleted = id;
        }
        self.ever.push(meta.last_id);
        true
    }

    pub(super) fn create_group(&mut self, name: &str, last: StreamId, read: Option<u64>) -> bool {
        if self.groups.contains_key(name) {
            return false;
        }
        self.groups.insert(name.into(), Group { last, read, ..Group::default() });
        true
    }

    fn tombstone_from(&self, id: StreamId) -> bool {
        let first = self.entries.keys().next();
        first.is_some_and(|&first| self.max_deleted >= first) && self.max_deleted >= id
    }

    /// The number of an entry among all that were ever added.
    fn ordinal(&self, id: StreamId) -> Option<u64> {
        let first = self.entries.first_key_value().map(|(&first, _)| first);
        let whole = |first: StreamId| self.max_deleted == StreamId::MIN || self.max_deleted < first;
        let gone = || self.added.saturating_sub(self.entries.len() as u64);
        match first {
            _ if self.added == 0 => Some(0),
            _ if id == self.last_id => Some(self.added),
            None if id < self.last_id => Some(self.added),
            Some(first) if id < self.last_id && id < first && whole(first) => Some(gone()),
            Some(first) if id < self.last_id && id == first && whole(first) => Some(gone() + 1),
            _ => None,
        }
    }

    fn lag(&self, group: &Group) -> Option<i64> {
        let read = match group.read {
            _ if self.added == 0 => return Some(0),
            Some(read) if !self.tombstone_from(group.last) => read,
            _ => self.ordinal(group.last)?,
        };
        Some(i64::try_from(i128::from(self.added) - i128::from(read)).expect("small numbers"))
    }

    pub(super) fn read_new(&mut self, names: Names<'_>, reading: &Reading) -> Option<Vec<StreamId>> {
        let mut group = self.groups.get(names.0)?.clone();
        let ids: Vec<StreamId> =
            self.entries.keys().copied().filter(|&id| id > group.last).take(reading.count).collect();
        if !ids.is_empty() {
            group.consumers.insert(names.1.into(), (reading.now_ms, Some(reading.now_ms)));
        }
        for &id in &ids {
            group.read = match group.read {
                Some(read) if !self.tombstone_from(id) => Some(read + 1),
                read if self.added == 0 => read,
                _ => self.ordinal(id),
            };
            group.last = id;
            if !reading.no_ack {
                group.pending.insert(id, (names.1.into(), reading.now_ms, 1));
            }
        }
        self.groups.insert(names.0.into(), group);
        Some(ids)
    }

    pub(super) fn read_again(
        &mut self,
        names: Names<'_>,
        after: StreamId,
        reading: &Reading,
    ) -> Option<Vec<(StreamId, bool)>> {
        let group = self.groups.get_mut(names.0)?;
        let consumer = group.consumers.entry(names.1.into()).or_default();
        consumer.0 = reading.now_ms;
        let mut found = Vec::new();
        let mine = group.pending.iter_mut().filter(|(id, pending)| **id > after && pending.0 == names.1);
        for (&id, pending) in mine.take(reading.count) {
            let exists = self.entries.contains_key(&id);
            if exists {
                *pending = (pending.0.clone(), reading.now_ms, pending.2 + 1);
            }
            found.push((id, exists));
        }
        if !found.is_empty() {
            consumer.1 = Some(reading.now_ms);
        }
        Some(found)
    }

    pub(super) fn acknowledge(&mut self, group: &str, id: StreamId) -> bool {
        self.groups.get_mut(group).is_some_and(|group| group.pending.remove(&id).is_some())
    }

    fn claim_one(group: &mut Group, consumer: &str, id: StreamId, count: u64, claiming: &Claiming) {
        let count = claiming.retry_count.unwrap_or(count + u64::from(!claiming.just_id));
        group.consumers.insert(consumer.into(), (claiming.now_ms, Some(claiming.now_ms)));
        group.pending.insert(id, (consumer.into(), claiming.delivered_ms, count));
    }

    pub(super) fn claim(
        &mut self,
        names: Names<'_>,
        ids: &[StreamId],
        claiming: &Claiming,
    ) -> Option<Vec<StreamId>> {
        let group = self.groups.get_mut(names.0)?;
        let mut claimed = Vec::new();
        for &id in ids {
            let pending = group.pending.get(&id).cloned();
            if !self.entries.contains_key(&id) {
                group.pending.remove(&id);
                continue;
            }
            let count = match pending {
                Some((_, when, _)) if claiming.now_ms - when < claiming.min_idle_ms => continue,
                Some((_, _, count)) => count,
                None if claiming.force => 1,
                None => continue,
            };
            Self::claim_one(group, names.1, id, count, claiming);
            claimed.push(id);
        }
        Some(claimed)
    }

    pub(super) fn auto_claim(
        &mut self,
        names: Names<'_>,
        start: StreamId,
        mut count: usize,
        claiming: &Claiming,
    ) -> Option<(StreamId, Vec<StreamId>, Vec<StreamId>)> {
        let group = self.groups.get_mut(names.0)?;
        let mut attempts = count * 10;
        let (mut claimed, mut gone, mut next) = (Vec::new(), Vec::new(), StreamId::MIN);
        let pending: Vec<_> = group.pending.range(start..).map(|(&id, p)| (id, p.1, p.2)).collect();
        for (id, when, deliveries) in pending {
            if attempts == 0 || count == 0 {
                next = id;
                break;
            }
            attempts -= 1;
            if !self.entries.contains_key(&id) {
                group.pending.remove(&id);
                gone.push(id);
                count -= 1;
            } else if claiming.now_ms - when >= claiming.min_idle_ms {
                Self::claim_one(group, names.1, id, deliveries, claiming);
                claimed.push(id);
                count -= 1;
            }
        }
        Some((next, claimed, gone))
    }

    pub(super) fn remove_consumer(&mut self, names: Names<'_>) -> Option<u64> {
        let group = self.groups.get_mut(names.0)?;
        group.consumers.remove(names.1)?;
        let before = group.pending.len();
        group.pending.retain(|_, pending| pending.0 != names.1);
        Some((before - group.pending.len()) as u64)
    }

    /// Everything that is in the model is in the stream, and nothing else.
    pub(super) fn compare(&self, stream: &Stream) {
        let range = StreamId::MIN..=StreamId::MAX;
        let mut expected = self.entries.iter();
        for entry in Entries::new(stream.log().clone(), range, false) {
            let pairs: Pairs = entry.fields.iter().map(|(a, b)| (a.to_vec(), b.to_vec())).collect();
            assert_eq!(expected.next(), Some((&entry.id, &pairs)));
        }
        assert_eq!(expected.next(), None);
        assert_eq!(stream.len(), self.entries.len() as u64);
        assert_eq!(stream.first_entry_id(), self.entries.keys().next().copied());
        assert_eq!(stream.last_entry_id(), self.entries.keys().next_back().copied());
        let meta = (stream.last_id(), stream.max_deleted_id(), stream.entries_added());
        assert_eq!(meta, (self.last_id, self.max_deleted, self.added));
        for &id in self.ever.iter().rev().take(20) {
            assert_eq!(stream.log().get(id).is_some(), self.entries.contains_key(&id));
        }
        assert_eq!(stream.group_count(), self.groups.len() as u64);
        for (name, expected) in &self.groups {
            let found = stream.group(name.as_bytes()).expect("the group");
            assert_eq!(stream.lag(found), self.lag(expected), "lag of {name}");
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("names are text");
            let group = Group {
                last: found.last_delivered,
                read: found.entries_read,
                pending: found
                    .pending_from(StreamId::MIN)
                    .map(|p| (p.id, (text(&found.consumer(p.consumer).name), p.delivered_ms, p.count)))
                    .collect(),
                consumers: found.consumers().map(|c| (text(&c.name), (c.seen_ms, c.active_ms))).collect(),
            };
            assert_eq!(group, *expected, "group {name}");
        }
    }
}
