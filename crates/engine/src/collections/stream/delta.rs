//! What changed in a stream, in absolute terms.

use super::fields::StreamFields;
use super::id::StreamId;
use crate::clock::UnixMillis;

/// A change of a stream. Applying one twice in a row gives what applying it once gives.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StreamDelta {
    /// This entry was added: its id is the last one now, and one more entry was ever added.
    Add {
        /// Its id.
        id: StreamId,
        /// Its fields.
        fields: StreamFields,
    },
    /// The entry with this id is gone.
    Remove {
        /// Which.
        id: StreamId,
    },
    /// The entries with lower ids are gone.
    TrimBefore {
        /// The lowest id that may have stayed.
        id: StreamId,
    },
    /// The stream says this of itself now.
    Meta {
        /// The last id that was given.
        last_id: StreamId,
        /// How many entries were ever added.
        entries_added: u64,
        /// The highest id of an entry that was removed.
        max_deleted_id: StreamId,
    },
    /// A group exists, and has read this far.
    GroupPut {
        /// Its name.
        group: Box<[u8]>,
        /// The last id that was delivered.
        last_delivered_id: StreamId,
        /// How many of all the entries ever added were read, where that is known.
        entries_read: Option<u64>,
    },
    /// A group is gone.
    GroupRemove {
        /// Its name.
        group: Box<[u8]>,
    },
    /// A group has this consumer.
    ConsumerPut {
        /// The group.
        group: Box<[u8]>,
        /// The consumer's name.
        consumer: Box<[u8]>,
        /// When it last asked.
        seen: UnixMillis,
        /// When it last got something, if ever.
        active: Option<UnixMillis>,
    },
    /// A consumer is gone, with what was pending with it.
    ConsumerRemove {
        /// The group.
        group: Box<[u8]>,
        /// The consumer's name.
        consumer: Box<[u8]>,
    },
    /// An entry is pending with this consumer.
    PendingPut {
        /// The group.
        group: Box<[u8]>,
        /// The entry's id.
        id: StreamId,
        /// The consumer's name.
        consumer: Box<[u8]>,
        /// When it was last delivered.
        delivered: UnixMillis,
        /// How often it was delivered.
        count: u64,
    },
    /// An entry is no longer pending.
    PendingRemove {
        /// The group.
        group: Box<[u8]>,
        /// The entry's id.
        id: StreamId,
    },
}
