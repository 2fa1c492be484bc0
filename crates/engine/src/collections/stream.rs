//! Streams: an append-only log of entries with ids, and groups of consumers that read it.
//!
//! ```text
//! Stream -> Root { log: tree of packed blocks, last_id, entries_added, max_deleted_id, groups: name -> Group }
//! Group  -> last delivered id, entries read, pending entries by id and by consumer, consumers
//! ```
//! Invariants: I1: every id in the log is at most `last_id`. I2: `groups_charged` is the sum of what the groups say they
//! cost; the names and the groups' own size are charged by the tree that holds them. I3: policy (which ids are taken, what
//! a group may read, who may claim) lives in this folder's `reading`, `claiming` and `deleting`, once.
//!
//! Costs, n entries, b bytes of a block, p pending entries of a group: add O(log n); look up, remove O(log n + b); trim
//! O(log n + b); read k entries O(log n + k); acknowledge, claim O(log p); clone O(1).
//!
//! What it does not do: blocking, which is the business of whoever waits; and it never goes away by itself: a stream
//! without entries is still a stream.

pub(crate) mod block;
pub(crate) mod claiming;
pub(crate) mod deleting;
pub(crate) mod delta;
pub(crate) mod fields;
pub(crate) mod group;
pub(crate) mod id;
pub(crate) mod log;
mod names;
mod nodes;
pub(crate) mod reading;
pub(crate) mod replay;
mod sorted;
mod varint;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::rules::Rules;
use crate::error::OpError;
use crate::memory::AllocatorModel;
use fields::StreamFields;
use group::Group;
use id::{NewId, StreamId};
use log::{Log, Trimming};
use names::Names;

/// The most bytes of fields and values in one entry, as in Redis.
const ENTRY_BYTES_MAX: usize = 1 << 30;

#[derive(Debug, Clone)]
pub(crate) struct Stream(Box<Root>);

#[derive(Debug, Clone)]
struct Root {
    log: Log,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
    groups: Names<Group>,
    groups_charged: u64,
    model: AllocatorModel,
}

/// What `XSETID` sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewMeta {
    pub(crate) last_id: StreamId,
    pub(crate) entries_added: Option<u64>,
    pub(crate) max_deleted_id: Option<StreamId>,
}

/// What trimming did.
#[derive(Debug)]
pub(crate) struct Trimmed {
    pub(crate) removed: u64,
    /// Every lower id is gone.
    pub(crate) before: StreamId,
    /// To be dropped outside of any lock.
    pub(crate) dropped: Option<Log>,
}

impl Stream {
    pub(crate) fn new(model: AllocatorModel) -> Self {
        Self(Box::new(Root {
            log: Log::new(model),
            last_id: StreamId::MIN,
            max_deleted_id: StreamId::MIN,
            entries_added: 0,
            groups: Names::new(model),
            groups_charged: 0,
            model,
        }))
    }

    pub(crate) fn log(&self) -> &Log {
        &self.0.log
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.log.len()
    }

    pub(crate) fn last_id(&self) -> StreamId {
        self.0.last_id
    }

    pub(crate) fn max_deleted_id(&self) -> StreamId {
        self.0.max_deleted_id
    }

    pub(crate) fn entries_added(&self) -> u64 {
        self.0.entries_added
    }

    pub(crate) fn first_entry_id(&self) -> Option<StreamId> {
        self.0.log.first_id()
    }

    pub(crate) fn last_entry_id(&self) -> Option<StreamId> {
        self.0.log.last_id()
    }

    /// Blocks, and the nodes that a radix tree over them would have.
    pub(crate) fn node_counts(&self) -> (u64, u64) {
        (self.0.log.block_count() as u64, self.0.log.radix_nodes())
    }

    /// The id that a new entry gets, or why it gets none.
    pub(crate) fn resolve(&self, wanted: NewId, now_ms: u64) -> Result<StreamId, OpError> {
        let last = self.0.last_id;
        if last == StreamId::MAX {
            return Err(OpError::InvalidArgument(
                "The stream has exhausted the last possible ID, unable to add more items",
            ));
        }
        let id = match wanted {
            NewId::Auto if now_ms > last.ms => StreamId::new(now_ms, 0),
            NewId::Auto => last.next().expect("it is not the highest"),
            NewId::Sequence(ms) if ms == last.ms => {
                let seq = last.seq.checked_add(1);
                // Redis words it so.
                StreamId { ms, seq: seq.ok_or(OpError::InvalidArgument(TOO_LARGE))? }
            }
            NewId::Sequence(ms) => StreamId::new(ms, 0),
            NewId::Exact(id) => id,
        };
        if wanted == NewId::Exact(StreamId::MIN) {
            return Err(OpError::InvalidArgument("The ID specified in XADD must be greater than 0-0"));
        }
        if id <= last {
            return Err(OpError::InvalidArgument(
                "The ID specified in XADD is equal or smaller than the target stream top item",
            ));
        }
        Ok(id)
    }

    /// Adds an entry under an id from [`Stream::resolve`].
    pub(crate) fn add(&mut self, id: StreamId, fields: &StreamFields, rules: &Rules) {
        let root = &mut *self.0;
        root.log.append(id, fields, &rules.limits);
        root.last_id = id;
        root.entries_added = root.entries_added.saturating_add(1);
    }

    pub(crate) fn trim(&mut self, trimming: &Trimming) -> Trimmed {
        let (removed, dropped) = self.0.log.trim(trimming);
        let after_last = || self.0.last_id.next().unwrap_or(StreamId::MAX);
        let before = self.0.log.first_id().unwrap_or_else(after_last);
        Trimmed { removed, before, dropped }
    }

    /// Sets what the stream says of itself. As in Redis 7.0, the last id may lie below one that was removed; newer versions
    /// refuse that.
    pub(crate) fn set_meta(&mut self, meta: &NewMeta) -> Result<(), OpError> {
        let refuse = |why| Err(OpError::InvalidArgument(why));
        let root = &mut *self.0;
        if meta.max_deleted_id.is_some_and(|id| meta.last_id < id) {
            return refuse("The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
        }
        if let Some(top) = root.log.last_id() {
            if meta.last_id < top {
                return refuse("The ID specified in XSETID is smaller than the target stream top item");
            }
            if meta.entries_added.is_some_and(|added| added < root.log.len()) {
                return refuse(
                    "The entries_added specified in XSETID is smaller than the target stream length",
                );
            }
        }
        root.last_id = meta.last_id;
        root.entries_added = meta.entries_added.unwrap_or(root.entries_added);
        root.max_deleted_id =
            meta.max_deleted_id.filter(|&id| id != StreamId::MIN).unwrap_or(root.max_deleted_id);
        Ok(())
    }

    pub(crate) fn group_count(&self) -> u64 {
        self.0.groups.len() as u64
    }

    pub(crate) fn group(&self, name: &[u8]) -> Option<&Group> {
        self.0.groups.get(name)
    }

    /// The groups in the order of their names.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Arc<[u8]>, &Group)> {
        self.0.groups.iter()
    }

    /// Makes a group; `false` if there is one with this name.
    pub(crate) fn create_group(&mut self, name: &[u8], last: StreamId, entries_read: Option<u64>) -> bool {
        let root = &mut *self.0;
        if root.groups.get(name).is_some() {
            return false;
        }
        let group = Group::new(last, entries_read, root.model);
        root.groups_charged += group.charged();
        root.groups.insert(name.into(), group);
        true
    }

    /// Takes a group out; it is to be dropped outside of any lock.
    pub(crate) fn remove_group(&mut self, name: &[u8]) -> Option<Group> {
        let group = self.0.groups.remove(name)?;
        self.0.groups_charged -= group.charged();
        Some(group)
    }

    /// Changes a group; `None` if it is not there.
    pub(crate) fn edit_group<R>(&mut self, name: &[u8], change: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let root = &mut *self.0;
        let (result, was, is) = root.groups.update(name, |group| {
            let was = group.charged();
            let result = change(group);
            (result, was, group.charged())
        })?;
        root.groups_charged = root.groups_charged - was + is;
        Some(result)
    }
}

/// Why an entry cannot be kept.
pub(crate) const TOO_LARGE: &str = "Elements are too large to be stored";

/// Refuses entries without fields, and those that Redis refuses for their size.
pub(crate) fn check_fields(fields: &StreamFields) -> Result<(), OpError> {
    if fields.is_empty() {
        return Err(OpError::InvalidArgument("an entry has at least one field"));
    }
    if fields.payload() > ENTRY_BYTES_MAX {
        return Err(OpError::InvalidArgument(TOO_LARGE));
    }
    Ok(())
}
