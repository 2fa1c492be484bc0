//! What larder's integration tests share: calls as data, somebody who makes them, a judge of concurrent
//! ones, and an allocator that counts.
//!
//! ```text
//! operation.rs  Operation: one call of the engine, as data; strategies for proptest
//! generate.rs   Generator: the same operations, endless, from a seed
//! linear/       concurrent histories, and the search for an order that explains them
//! subject.rs    Subject: an engine, its clock, its handles; apply(operation) -> Outcome; state()
//! sheet.rs      Sheet: the typed value that operations store, and what it owns on the heap
//! allocator.rs  CountingAllocator: what this thread has asked for and not given back
//! resp.rs       Reply: RESP as bytes and as a tree
//! servers.rs    Server, Connection: a real redis-server or valkey-server to compare with (Unix)
//! ```
//! Unpublished, and for integration tests, benchmarks and fuzzing only: a unit test of the engine sees another copy of
//! the engine than this crate does.

mod allocator;
mod generate;
pub mod linear;
mod operation;
pub mod resp;
#[cfg(unix)]
pub mod servers;
mod sheet;
mod subject;

pub use allocator::{CountingAllocator, Held};
pub use generate::Generator;
pub use operation::{Condition, DATABASES, Expiry, Key, NAMED, Operation, Payload, Profile};
pub use sheet::Sheet;
pub use subject::{Outcome, State, Subject};
