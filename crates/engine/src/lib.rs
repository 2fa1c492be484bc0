//! Redis's data types as an in-process Rust library: a typed cache and data-structure engine.
//!
//! Any thread calls the [`Engine`] directly; there is no event loop, no hidden thread and no network code. A typed hit
//! hands out a reference to the decoded object. Entries have their own time to live, the byte limit is exact, and with
//! a [`ManualClock`] and a seed every run is the same.
//!
//! ```
//! use larder::{Engine, SetOptions};
//! use std::time::Duration;
//!
//! let engine = Engine::builder().max_memory(64 << 20).build()?;
//! engine.set("greeting", "hello")?;
//! engine.set_with("session:7", "Ann", SetOptions::new().ttl(Duration::from_secs(1800)))?;
//! assert_eq!(engine.get("greeting")?.unwrap(), "hello");
//! assert_eq!(engine.incr("visits")?, 1);
//!
//! let points = engine.typed::<(f64, f64)>();
//! points.set("home", (52.5, 13.4))?;
//! assert_eq!(points.get_with("home", |p| p.0)?, Some(52.5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Map of the code
//! ```text
//! engine/      operations, one file a family          typed/     decoded values, single flight
//! keyspace/    shards, locks, entries, accounts       collections/  what values are made of
//! feed/        who is told of changes                 pubsub/    channels, patterns, subscribers
//! expiry/      timing wheels                          eviction/  policies, admission, sampler
//! memory.rs    allocator model, budgets               stats.rs   counters
//! ```
//!
//! # Rules for callbacks
//! Closures that see data in place ([`Engine::get_with`], [`Typed::get_with`]) run under a shard lock: they must not call
//! any engine, and panic if they do. The closure of a [`Engine::transaction`] runs under the locks of its keys and uses the
//! [`Tx`] that it is given, no other handle. Loaders, `update` closures, removal listeners, handlers of [`Engine::on`],
//! `Serialize`, `Deserialize` and `Drop` of your values run outside every lock and may call whatever they like.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod clock;
mod collections;
mod config;
mod effect;
mod engine;
mod error;
mod eviction;
mod expiry;
mod feed;
mod glob;
mod hash;
mod keyspace;
mod local;
mod memory;
#[cfg(feature = "metrics")]
mod metrics;
mod order;
mod panics;
mod prefetch;
mod pubsub;
mod random;
mod removal;
mod stats;
mod sync;
mod typed;
mod value;

#[cfg(feature = "metrics")]
pub use crate::metrics::publish as publish_metrics;
pub use clock::{Clock, ManualClock, SystemClock, UnixMillis};
pub use collections::bits::BitRange;
pub use collections::bits::combine::BitOperation;
pub use collections::bits::field::{BitInteger, BitOverflow};
pub use collections::geo::Position;
pub use collections::rules::EncodingLimits;
pub use collections::sorted_set::{
    Added, LexBound, LexRange, RankRange, ScoreRange, SortedRange, ZAddOptions,
};
pub use collections::stream::deleting::{EntryRemoval, References};
pub use collections::stream::fields::{StreamEntry, StreamFields, StreamPairs};
pub use collections::stream::id::{NewId, StreamId};
pub use collections::stream::log::TrimTo;
pub use config::Builder;
pub use effect::{Delta, Effect, End, StreamDelta};
pub use engine::{
    AddCount, AddOptions, Aggregate, At, AutoClaimed, BitFields, Bitmap, Budget, CacheOptions, ClaimOptions,
    CombineOptions, CommonRun, CommonSubsequence, ConsumerDetails, ConsumerInfo, Encoding, Engine, Entry,
    ExpireCondition, Expiry, FieldExpiry, FieldPersist, FieldSetOptions, FieldTtl, Geo, GeoFound, GeoScore,
    GeoSearch, GeoUnit, GroupDetails, GroupInfo, GroupOptions, GroupPosition, GroupReadOptions, Hash,
    HashEntries, HashFields, HashPage, HashValues, HyperLogLog, Inserted, Key, List, ListElements, Lookup,
    Maintenance, Owned, PendingEntry, PendingQuery, PendingSummary, Pipeline, PipelineResults, Place,
    PositionOptions, RandomEntries, RandomMembers, RegisterRun, Remaining, ScanOptions, ScanPage, ScoreEnd,
    ScoredMembers, ScoredPage, Set, SetMembers, SetOptions, SetOutcome, SetPage, SortOptions, SortedSet,
    Stream, StreamDetails, StreamEntries, StreamGroup, StreamInfo, StreamMeta, Ticket, Trim, Ttl, Tx,
    ValueType, Waiter, Watch,
};
pub use error::{ConfigError, LENGTH_BYTES_MAX, LoadError, OpError};
pub use eviction::{Admission, Policy};
pub use feed::{Change, ChangeFilter, Changes, Delivery, HandlerGuard};
pub use glob::matches as glob_matches;
pub use keyspace::meta::{CacheToken, Origin};
pub use memory::{AllocatorModel, MemoryUsage};
pub use pubsub::{Ready, Receive, Received, ReceivedItems, SlowSubscriber, Subscriber, SubscriberOptions};
pub use removal::{Removal, RemovalCause};
pub use stats::{Latency, Stats};
pub use typed::{Arg, CodecError, CodecErrorKind, Element, Typed};
pub use value::Value;
