//! Effects: what a write changed, in absolute terms.
//!
//! ```text
//! operation --under the shard's lock--> Effect { database, key, delta } --feed--> take_effects, changes, on
//! Engine::apply(effect) on another engine: no clock, no chance, no option is looked at
//! ```
//! Invariants: I1: the effects of a key are recorded in the order in which its changes were committed. I2: applied in that
//! order to an empty engine, they give the same state. I3: applying an effect cannot fail for any reason but want of memory,
//! and applying it twice in a row gives what applying it once gives, lists and appends excepted.

use crate::clock::UnixMillis;
pub use crate::collections::stream::delta::StreamDelta;
use crate::engine::ValueType;

/// A change of one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The number of the database.
    pub database: u16,
    /// The key.
    pub key: Box<[u8]>,
    /// What changed.
    pub delta: Delta,
}

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The first element (`LEFT`).
    Head,
    /// The last element (`RIGHT`).
    Tail,
}

/// What changed under a key, in absolute terms.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Delta {
    /// The key is gone.
    Delete,
    /// The database (the key is empty) has changed places with this one.
    SwapDatabases {
        /// The other one's number.
        with: u16,
    },
    /// The key holds this string now; the deadline is part of it.
    SetString {
        /// The bytes.
        value: Box<[u8]>,
        /// When it expires.
        deadline: Option<UnixMillis>,
    },
    /// The key holds a typed value that refused to be encoded; the deadline is part of it. Applied, the key is gone.
    SetOpaque {
        /// When it expires.
        deadline: Option<UnixMillis>,
    },
    /// The key holds an empty collection of this type now, whatever it held; what is in it follows.
    Create {
        /// The type.
        value_type: ValueType,
        /// When it expires.
        deadline: Option<UnixMillis>,
    },
    /// The key expires then, or never.
    Deadline(Option<UnixMillis>),
    /// Bytes of a string were overwritten; zero bytes fill a gap before `offset`.
    Patch {
        /// Where.
        offset: u64,
        /// With what.
        bytes: Box<[u8]>,
    },
    /// A field of a hash has this value now.
    HashPut {
        /// The field.
        field: Box<[u8]>,
        /// Its value.
        value: Box<[u8]>,
        /// When it expires.
        deadline: Option<UnixMillis>,
    },
    /// A field of a hash expires then, or never.
    HashDeadline {
        /// The field.
        field: Box<[u8]>,
        /// When.
        deadline: Option<UnixMillis>,
    },
    /// A field of a hash is gone.
    HashRemove {
        /// The field.
        field: Box<[u8]>,
    },
    /// A set has this member.
    SetAdd {
        /// The member.
        member: Box<[u8]>,
    },
    /// A set no longer has this member.
    SetRemove {
        /// The member.
        member: Box<[u8]>,
    },
    /// A member of a sorted set has this score now.
    SortedSetPut {
        /// The member.
        member: Box<[u8]>,
        /// Its score.
        score: f64,
    },
    /// A sorted set no longer has this member.
    SortedSetRemove {
        /// The member.
        member: Box<[u8]>,
    },
    /// A list has a new element at an end.
    ListPush {
        /// Which end.
        end: End,
        /// The element.
        element: Box<[u8]>,
    },
    /// A list lost elements at an end.
    ListPop {
        /// Which end.
        end: End,
        /// How many.
        count: u64,
    },
    /// A list has this element at this index now, in place of another.
    ListSet {
        /// The index, from the head.
        index: u64,
        /// The element.
        element: Box<[u8]>,
    },
    /// A list has a new element before the one at this index.
    ListInsert {
        /// The index, from the head.
        index: u64,
        /// The element.
        element: Box<[u8]>,
    },
    /// A list lost the element at this index.
    ListRemove {
        /// The index, from the head.
        index: u64,
    },
    /// Something changed in a stream.
    Stream(StreamDelta),
}
