//! Redis's names for what happens to a key, and the class of each: what `notify-keyspace-events` chooses by.
//!
//! A delta has a name of its own (`of_delta`): what the plain operation is called that makes such a change. An operation that
//! Redis calls otherwise says so to the log before it changes anything.

use crate::ValueType;
use crate::collections::stream::delta::StreamDelta;
use crate::effect::{Delta, End};
use crate::removal::RemovalCause;

/// A class of events: a letter of `notify-keyspace-events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Class {
    /// `g`.
    Generic = 1,
    /// `$`.
    String = 1 << 1,
    /// `l`.
    List = 1 << 2,
    /// `s`.
    Set = 1 << 3,
    /// `h`.
    Hash = 1 << 4,
    /// `z`.
    SortedSet = 1 << 5,
    /// `x`.
    Expired = 1 << 6,
    /// `e`.
    Evicted = 1 << 7,
    /// `t`.
    Stream = 1 << 8,
    /// `n`.
    New = 1 << 9,
    /// `m`.
    Miss = 1 << 10,
    /// What Redis tells nobody.
    Silent = 1 << 31,
}

/// A name and its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: &'static str,
    pub(crate) class: Class,
}

macro_rules! events {
    ($($class:ident { $($constant:ident $name:literal)* })*) => {
        $($(pub(crate) const $constant: Event = Event { name: $name, class: Class::$class };)*)*
    };
}

events! {
    Generic {
        DEL "del"
        EXPIRE "expire"
        PERSIST "persist"
        RENAME_FROM "rename_from"
        RENAME_TO "rename_to"
        COPY_TO "copy_to"
        MOVE_FROM "move_from"
        MOVE_TO "move_to"
    }
    Expired { EXPIRED "expired" }
    Evicted { EVICTED "evicted" }
    New { NEW "new" }
    Miss { KEYMISS "keymiss" }
    Silent {
        SWAPPED "swapdb"
        UNCHANGED "set"
        XPENDING "xpending"
    }
    String {
        SET "set"
        APPEND "append"
        SETRANGE "setrange"
        INCRBY "incrby"
        INCRBYFLOAT "incrbyfloat"
        SETBIT "setbit"
        PFADD "pfadd"
    }
    List {
        LPUSH "lpush"
        RPUSH "rpush"
        LPOP "lpop"
        RPOP "rpop"
        LSET "lset"
        LINSERT "linsert"
        LREM "lrem"
        LTRIM "ltrim"
        SORTSTORE "sortstore"
    }
    Set {
        SADD "sadd"
        SREM "srem"
        SPOP "spop"
        SINTERSTORE "sinterstore"
        SUNIONSTORE "sunionstore"
        SDIFFSTORE "sdiffstore"
    }
    Hash {
        HSET "hset"
        HDEL "hdel"
        HINCRBY "hincrby"
        HINCRBYFLOAT "hincrbyfloat"
        HEXPIRE "hexpire"
        HPERSIST "hpersist"
        HEXPIRED "hexpired"
    }
    SortedSet {
        ZADD "zadd"
        ZINCR "zincr"
        ZREM "zrem"
        ZPOPMIN "zpopmin"
        ZPOPMAX "zpopmax"
        ZREMRANGEBYRANK "zremrangebyrank"
        ZREMRANGEBYSCORE "zremrangebyscore"
        ZREMRANGEBYLEX "zremrangebylex"
        ZUNIONSTORE "zunionstore"
        ZINTERSTORE "zinterstore"
        ZDIFFSTORE "zdiffstore"
        ZRANGESTORE "zrangestore"
        GEOSEARCHSTORE "geosearchstore"
    }
    Stream {
        XADD "xadd"
        XDEL "xdel"
        XTRIM "xtrim"
        XSETID "xsetid"
        XGROUP_CREATE "xgroup-create"
        XGROUP_SETID "xgroup-setid"
        XGROUP_DESTROY "xgroup-destroy"
        XGROUP_CREATECONSUMER "xgroup-createconsumer"
        XGROUP_DELCONSUMER "xgroup-delconsumer"
    }
}

/// What is told of an entry that goes. A copy that was invalidated is deleted to everybody else.
pub(crate) fn of_removal(cause: RemovalCause) -> Event {
    match cause {
        RemovalCause::Expired => EXPIRED,
        RemovalCause::Evicted => EVICTED,
        RemovalCause::Deleted | RemovalCause::Replaced | RemovalCause::Invalidated => DEL,
    }
}

/// The name of the plain operation that makes such a change.
pub(crate) fn of_delta(delta: &Delta) -> Event {
    match delta {
        Delta::Delete => DEL,
        Delta::SwapDatabases { .. } => SWAPPED,
        Delta::SetString { .. } | Delta::SetOpaque { .. } => SET,
        Delta::Create { value_type, .. } => of_type(*value_type),
        Delta::Deadline(Some(_)) => EXPIRE,
        Delta::Deadline(None) => PERSIST,
        Delta::Patch { .. } => SETRANGE,
        Delta::HashPut { .. } => HSET,
        Delta::HashDeadline { deadline: Some(_), .. } => HEXPIRE,
        Delta::HashDeadline { deadline: None, .. } => HPERSIST,
        Delta::HashRemove { .. } => HDEL,
        Delta::SetAdd { .. } => SADD,
        Delta::SetRemove { .. } => SREM,
        Delta::SortedSetPut { .. } => ZADD,
        Delta::SortedSetRemove { .. } => ZREM,
        Delta::ListPush { end: End::Head, .. } => LPUSH,
        Delta::ListPush { end: End::Tail, .. } => RPUSH,
        Delta::ListPop { end: End::Head, .. } => LPOP,
        Delta::ListPop { end: End::Tail, .. } => RPOP,
        Delta::ListSet { .. } => LSET,
        Delta::ListInsert { .. } => LINSERT,
        Delta::ListRemove { .. } => LREM,
        Delta::Stream(delta) => of_stream(delta),
    }
}

/// The name under which a collection comes that is put as a whole.
fn of_type(value_type: ValueType) -> Event {
    match value_type {
        ValueType::String => SET,
        ValueType::List => RPUSH,
        ValueType::Set => SADD,
        ValueType::SortedSet => ZADD,
        ValueType::Hash => HSET,
        ValueType::Stream => XADD,
    }
}

fn of_stream(delta: &StreamDelta) -> Event {
    match delta {
        StreamDelta::Add { .. } => XADD,
        StreamDelta::Remove { .. } => XDEL,
        StreamDelta::TrimBefore { .. } => XTRIM,
        StreamDelta::GroupRemove { .. } => XGROUP_DESTROY,
        StreamDelta::ConsumerRemove { .. } => XGROUP_DELCONSUMER,
        // What a group notes of its reading; its commands have names of their own.
        _ => XPENDING,
    }
}

/// The type of value that such a change is made to, where the change itself tells it.
pub(super) fn type_of(delta: &Delta) -> Option<ValueType> {
    Some(match delta {
        Delta::Delete | Delta::Deadline(_) | Delta::SwapDatabases { .. } => return None,
        Delta::SetString { .. } | Delta::SetOpaque { .. } | Delta::Patch { .. } => ValueType::String,
        Delta::Create { value_type, .. } => *value_type,
        Delta::HashPut { .. } | Delta::HashDeadline { .. } | Delta::HashRemove { .. } => ValueType::Hash,
        Delta::SetAdd { .. } | Delta::SetRemove { .. } => ValueType::Set,
        Delta::SortedSetPut { .. } | Delta::SortedSetRemove { .. } => ValueType::SortedSet,
        Delta::ListPush { .. }
        | Delta::ListPop { .. }
        | Delta::ListSet { .. }
        | Delta::ListInsert { .. }
        | Delta::ListRemove { .. } => ValueType::List,
        Delta::Stream(_) => ValueType::Stream,
    })
}

/// Whether a change is one of many that an operation may make to a key, of which Redis tells once.
pub(super) fn is_inside(delta: &Delta) -> bool {
    !matches!(
        delta,
        Delta::Delete
            | Delta::Deadline(_)
            | Delta::SetString { .. }
            | Delta::SetOpaque { .. }
            | Delta::SwapDatabases { .. }
    )
}
