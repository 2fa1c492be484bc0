//! Entries are removed by id, and what groups still remember of them.

use std::sync::Arc;

use super::Stream;
use super::id::StreamId;

/// What removing an entry does to the groups in which it is pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum References {
    /// `KEEPREF`: it stays pending there, without an entry.
    #[default]
    Keep,
    /// `DELREF`: it is pending nowhere any more.
    Delete,
    /// `ACKED`: it is removed only if every group has read it and it is pending nowhere; without groups it stays.
    Acknowledged,
}

/// What became of an entry that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryRemoval {
    /// There is no such entry, or it is not pending (`-1`).
    NotFound,
    /// It was removed (`1`).
    Removed,
    /// It was not removed, as a group still needs it (`2`).
    Referenced,
}

/// What one removal changed.
#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) outcome: EntryRemoval,
    /// The entry is gone from the log.
    pub(crate) entry: bool,
    /// The groups in which it is pending no more.
    pub(crate) groups: Vec<Arc<[u8]>>,
}

impl Stream {
    /// Removes an entry; `false` if it is not there.
    pub(crate) fn remove(&mut self, id: StreamId) -> bool {
        let root = &mut *self.0;
        let removed = root.log.remove(id);
        if removed {
            root.max_deleted_id = root.max_deleted_id.max(id);
        }
        removed
    }

    /// Removes an entry and, as told, what groups remember of it.
    pub(crate) fn remove_with(&mut self, id: StreamId, references: References) -> Removal {
        let none = |outcome| Removal { outcome, entry: false, groups: Vec::new() };
        if references == References::Acknowledged && self.0.log.contains(id) && self.is_referenced(id) {
            return none(EntryRemoval::Referenced);
        }
        let groups = if references == References::Delete { self.forget(id) } else { Vec::new() };
        let entry = self.remove(id);
        let outcome = if entry { EntryRemoval::Removed } else { EntryRemoval::NotFound };
        Removal { outcome, entry, groups }
    }

    /// Acknowledges an entry in a group, then removes it as told. `None` without such a group.
    pub(crate) fn acknowledge_and_remove(
        &mut self,
        group: &[u8],
        id: StreamId,
        references: References,
    ) -> Option<Removal> {
        if !self.edit_group(group, |group| group.acknowledge(id))? {
            return Some(Removal { outcome: EntryRemoval::NotFound, entry: false, groups: Vec::new() });
        }
        let mut removal = self.remove_with(id, references);
        if removal.outcome == EntryRemoval::NotFound {
            removal.outcome = EntryRemoval::Removed;
        }
        removal.groups.push(group.into());
        Some(removal)
    }

    /// Whether a group has still to read the entry, or has it pending; also if there is no group at all, as documented. (Redis
    /// 8.2 answers otherwise for a stream that has lost its last group; this engine does not remember that it had one.)
    fn is_referenced(&self, id: StreamId) -> bool {
        self.group_count() == 0
            || self.groups().any(|(_, group)| group.last_delivered < id || group.pending(id).is_some())
    }

    fn forget(&mut self, id: StreamId) -> Vec<Arc<[u8]>> {
        let pending = self.groups().filter(|(_, group)| group.pending(id).is_some());
        let groups: Vec<Arc<[u8]>> = pending.map(|(name, _)| Arc::clone(name)).collect();
        for name in &groups {
            self.edit_group(name, |group| group.acknowledge(id));
        }
        groups
    }
}
