//! What a group reads: new entries, or again those that are pending with a consumer; and how far behind it is.
//!
//! A group counts the entries that it has read, among all that were ever added, so that its lag can be told in O(1). The
//! count is lost (`None`) where entries were removed ahead of it, and found again where it can be derived. The rules are
//! those of Redis 7.0. The numbers may be set to anything (`ENTRIESREAD`, `ENTRIESADDED`), so they wrap around as they do
//! there.

use super::Stream;
use super::group::{Group, Pending};
use super::id::StreamId;
use super::log::Log;
use super::nodes::delta;

/// What a read of new entries delivered.
#[derive(Debug)]
pub(crate) struct Delivered {
    /// Ascending.
    pub(crate) ids: Vec<StreamId>,
    /// The log as it was.
    pub(crate) log: Log,
}

/// How a group is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// At most so many entries.
    pub(crate) count: usize,
    /// What is delivered does not become pending.
    pub(crate) no_ack: bool,
    pub(crate) now_ms: u64,
}

impl Stream {
    /// Whether an entry that was removed one by one lies at or after this id: then nobody can count what lies between.
    fn has_tombstone_from(&self, id: StreamId) -> bool {
        let deleted = self.0.max_deleted_id;
        deleted != StreamId::MIN
            && id <= deleted
            && self.0.log.first_id().is_some_and(|first| first <= deleted)
    }

    /// Which of all the entries ever added the one with this id is, counted from one, where that can be told.
    fn ordinal(&self, id: StreamId) -> Option<u64> {
        let root = &*self.0;
        if root.entries_added == 0 {
            return Some(0);
        }
        let first = root.log.first_id();
        if id == root.last_id || (first.is_none() && id <= root.last_id) {
            return Some(root.entries_added);
        }
        let first = first.filter(|_| id < root.last_id)?;
        let gone = root.entries_added.wrapping_sub(root.log.len());
        let whole_ahead = root.max_deleted_id == StreamId::MIN || root.max_deleted_id < first;
        match id.cmp(&first) {
            _ if !whole_ahead => None,
            std::cmp::Ordering::Less => Some(gone),
            std::cmp::Ordering::Equal => Some(gone.wrapping_add(1)),
            std::cmp::Ordering::Greater => None,
        }
    }

    /// How many entries the group has not read yet, where that can be told.
    pub(crate) fn lag(&self, group: &Group) -> Option<i64> {
        let added = self.0.entries_added;
        if added == 0 {
            return Some(0);
        }
        let counted = group.entries_read.filter(|_| !self.has_tombstone_from(group.last_delivered));
        counted.or_else(|| self.ordinal(group.last_delivered)).map(|read| delta(added, read))
    }

    /// The group's count of read entries after it has read one more, the one with this id.
    fn count_one(&self, read: Option<u64>, id: StreamId) -> Option<u64> {
        match read {
            Some(read) if !self.has_tombstone_from(id) => Some(read.wrapping_add(1)),
            _ if self.0.entries_added > 0 => self.ordinal(id),
            other => other,
        }
    }

    /// Delivers new entries to a consumer, which is made if it is not there. Where there is nothing to deliver, the
    /// consumer is neither made nor seen, as in Redis 7.0. `None` without such a group.
    pub(crate) fn read_new(&mut self, group: &[u8], consumer: &[u8], reading: &Reading) -> Option<Delivered> {
        let found = self.group(group)?;
        let mut read = found.entries_read;
        let mut ids = Vec::new();
        if let Some(from) = found.last_delivered.next() {
            ids.extend(self.0.log.ids(from..=StreamId::MAX).take(reading.count));
        }
        for &id in &ids {
            read = self.count_one(read, id);
        }
        if let Some(&last) = ids.last() {
            self.edit_group(group, |group| {
                let number = group.see(consumer, reading.now_ms);
                group.set_active(number, Some(reading.now_ms));
                group.last_delivered = last;
                group.entries_read = read;
                if !reading.no_ack {
                    group.deliver(number, &ids, reading.now_ms);
                }
            });
        }
        Some(Delivered { ids, log: self.0.log.clone() })
    }

    /// Delivers again what is pending with a consumer, above an id. Each id comes with whether its entry is still there;
    /// only then does the delivery count. `None` without such a group.
    pub(crate) fn read_again(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        after: StreamId,
        reading: &Reading,
    ) -> Option<(Vec<(StreamId, bool)>, Log)> {
        let log = self.0.log.clone();
        let found = self.edit_group(group, |group| {
            let number = group.see(consumer, reading.now_ms);
            let start = after.next().unwrap_or(StreamId::MIN);
            let pending: Vec<Pending> =
                group.owned_from(number, start).take(reading.count).copied().collect();
            let mut found = Vec::with_capacity(pending.len());
            for mut pending in pending {
                let exists = log.contains(pending.id);
                if exists {
                    pending.delivered_ms = reading.now_ms;
                    pending.count = pending.count.saturating_add(1);
                    group.put(pending);
                }
                found.push((pending.id, exists));
            }
            if !found.is_empty() {
                group.set_active(number, Some(reading.now_ms));
            }
            found
        })?;
        Some((found, log))
    }
}
