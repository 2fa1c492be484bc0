//! A consumer group: how far it has read, who reads, and what was delivered but not acknowledged.
//!
//! ```text
//! pending    Sorted<Pending>   by id              { id, consumer, delivered_ms, count }
//! owned      Sorted<Owned>     by consumer, id    the same pairs the other way round
//! consumers  Sorted<Consumer>  by number          { number, name, seen_ms, active_ms, pending }
//! names      Names<u64>        by name            number of the consumer
//! ```
//! Invariants: I1: `pending` and `owned` hold the same pairs of id and consumer, and a consumer's `pending` counts its own.
//! I2: `consumers` and `names` hold the same consumers, and every pair names one of them. I3: a number is never used again.
//!
//! Costs, p pending entries: one entry O(log p); a run of entries delivered at once O(log p) for each 2 KiB of them; a
//! consumer with k entries is removed in O(k log p), or O(p) if that is less; clone O(1).

use std::sync::Arc;

use super::id::StreamId;
use super::names::Names;
use super::sorted::{Record, Sorted};
use crate::memory::AllocatorModel;

/// An entry that was delivered and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) id: StreamId,
    /// The number of the consumer that has it.
    pub(crate) consumer: u64,
    pub(crate) delivered_ms: u64,
    pub(crate) count: u64,
}

impl Record for Pending {
    type Mark = StreamId;

    fn mark(&self) -> StreamId {
        self.id
    }
}

#[derive(Debug, Clone, Copy)]
struct Owned(u64, StreamId);

impl Record for Owned {
    type Mark = (u64, StreamId);

    fn mark(&self) -> (u64, StreamId) {
        (self.0, self.1)
    }
}

/// Who reads in the name of a group.
#[derive(Debug, Clone)]
pub(crate) struct Consumer {
    number: u64,
    pub(crate) name: Arc<[u8]>,
    pub(crate) seen_ms: u64,
    /// When it last got entries, if ever.
    pub(crate) active_ms: Option<u64>,
    pub(crate) pending: u64,
}

impl Record for Consumer {
    type Mark = u64;

    fn mark(&self) -> u64 {
        self.number
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) last_delivered: StreamId,
    /// How many of all the entries ever added were read, where that is known.
    pub(crate) entries_read: Option<u64>,
    pending: Sorted<Pending>,
    owned: Sorted<Owned>,
    consumers: Sorted<Consumer>,
    names: Names<u64>,
    next_number: u64,
}

impl Group {
    pub(super) fn new(last_delivered: StreamId, entries_read: Option<u64>, model: AllocatorModel) -> Self {
        Self {
            last_delivered,
            entries_read,
            pending: Sorted::new(model),
            owned: Sorted::new(model),
            consumers: Sorted::new(model),
            names: Names::new(model),
            next_number: 0,
        }
    }

    pub(super) fn charged(&self) -> u64 {
        self.pending.charged() + self.owned.charged() + self.consumers.charged() + self.names.charged()
    }

    pub(crate) fn pending_count(&self) -> u64 {
        self.pending.len() as u64
    }

    pub(crate) fn consumer_count(&self) -> u64 {
        self.names.len() as u64
    }

    pub(crate) fn pending(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(id)
    }

    /// The first and the last pending id.
    pub(crate) fn pending_bounds(&self) -> Option<(StreamId, StreamId)> {
        Some((self.pending.first()?.id, self.pending.last()?.id))
    }

    /// What is pending, from this id on.
    pub(crate) fn pending_from(&self, id: StreamId) -> impl Iterator<Item = &Pending> {
        self.pending.from(id)
    }

    /// What is pending with one consumer, from this id on.
    pub(crate) fn owned_from(&self, consumer: u64, id: StreamId) -> impl Iterator<Item = &Pending> {
        let ids = self.owned.from((consumer, id)).take_while(move |owned| owned.0 == consumer);
        ids.map(|owned| self.pending.get(owned.1).expect("I1: what is owned is pending"))
    }

    /// The consumers in the order of their names.
    pub(crate) fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.names.iter().map(|(_, &number)| self.consumer(number))
    }

    pub(crate) fn number_of(&self, name: &[u8]) -> Option<u64> {
        self.names.get(name).copied()
    }

    pub(crate) fn consumer(&self, number: u64) -> &Consumer {
        self.consumers.get(number).expect("I2: a number that a pair or a name has")
    }

    /// The consumer's number; it is made if it is not there, and has been seen now in either case.
    pub(crate) fn see(&mut self, name: &[u8], now_ms: u64) -> u64 {
        if let Some(number) = self.number_of(name) {
            self.change_consumer(number, |consumer| consumer.seen_ms = now_ms);
            return number;
        }
        let number = self.next_number;
        self.next_number += 1;
        let name: Arc<[u8]> = name.into();
        self.names.insert(Arc::clone(&name), number);
        self.consumers.put(Consumer { number, name, seen_ms: now_ms, active_ms: None, pending: 0 });
        number
    }

    pub(crate) fn set_active(&mut self, number: u64, active_ms: Option<u64>) {
        self.change_consumer(number, |consumer| consumer.active_ms = active_ms);
    }

    fn change_consumer(&mut self, number: u64, change: impl FnOnce(&mut Consumer)) {
        self.consumers.update(number, change).expect("I2: a number that a pair or a name has");
    }

    /// Takes a consumer out, with what is pending with it; returns how much that was.
    pub(crate) fn remove_consumer(&mut self, name: &[u8]) -> Option<u64> {
        let number = self.names.remove(name)?;
        let consumer = self.consumers.remove(number).expect("I2: a name's number");
        if consumer.pending > self.pending_count() / 16 {
            self.pending.retain(|pending| pending.consumer != number);
        } else {
            let ids: Vec<StreamId> = self.owned_ids(number);
            for id in ids {
                self.pending.remove(id);
            }
        }
        self.owned.remove_range((number, StreamId::MIN), (number + 1, StreamId::MIN));
        Some(consumer.pending)
    }

    fn owned_ids(&self, consumer: u64) -> Vec<StreamId> {
        let owned = self.owned.from((consumer, StreamId::MIN));
        owned.take_while(|owned| owned.0 == consumer).map(|owned| owned.1).collect()
    }

    /// Makes an entry pending, or changes who has it, since when, and how often it was delivered.
    pub(crate) fn put(&mut self, pending: Pending) {
        let before = self.pending.get(pending.id).map(|before| before.consumer);
        self.pending.put(pending);
        if before == Some(pending.consumer) {
            return;
        }
        if let Some(before) = before {
            self.disown(before, pending.id);
        }
        self.owned.put(Owned(pending.consumer, pending.id));
        self.change_consumer(pending.consumer, |consumer| consumer.pending += 1);
    }

    /// Makes entries pending with one consumer, ascending by id.
    pub(crate) fn deliver(&mut self, consumer: u64, ids: &[StreamId], now_ms: u64) {
        let (Some(&first), Some(&last)) = (ids.first(), ids.last()) else { return };
        let each = ids.iter().map(|&id| Pending { id, consumer, delivered_ms: now_ms, count: 1 });
        if self.pending.from(first).next().is_some_and(|pending| pending.id <= last) {
            each.for_each(|pending| self.put(pending));
            return;
        }
        self.pending.put_all(each.collect());
        self.owned.put_all(ids.iter().map(|&id| Owned(consumer, id)).collect());
        self.change_consumer(consumer, |consumer| consumer.pending += ids.len() as u64);
    }

    /// Takes a pending entry out; `false` if it is not pending.
    pub(crate) fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(id) else { return false };
        self.disown(pending.consumer, id);
        true
    }

    fn disown(&mut self, consumer: u64, id: StreamId) {
        self.owned.remove((consumer, id)).expect("I1: what is pending is owned");
        self.change_consumer(consumer, |consumer| consumer.pending -= 1);
    }

    /// Frees about `nodes` nodes; `true` when nothing is left.
    pub(super) fn free_some(&mut self, nodes: usize) -> bool {
        self.pending.free_some(nodes)
            && self.owned.free_some(nodes)
            && self.names.free_some(nodes)
            && self.consumers.free_some(nodes)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        self.pending.validate();
        self.owned.validate();
        self.consumers.validate();
        self.names.validate();
        assert_eq!(self.pending.len(), self.owned.len(), "I1: as many pairs either way");
        assert_eq!(self.consumers.len(), self.names.len(), "I2: as many consumers as names");
        for owned in self.owned.iter() {
            assert_eq!(self.pending.get(owned.1).map(|p| p.consumer), Some(owned.0), "I1: the same pairs");
        }
        for (name, &number) in self.names.iter() {
            let consumer = self.consumer(number);
            assert_eq!(consumer.name, *name, "I2: name and number agree");
            assert_eq!(consumer.pending, self.owned_ids(number).len() as u64, "I1: pending of a consumer");
            assert!(number < self.next_number, "I3: numbers are given in turn");
        }
    }
}
