//! Shared parts of the benchmark binaries: peers behind one trait, timing, tables, traces and simulated policies.

pub mod alloc;
pub mod collections;
pub mod concurrency;
pub mod peers;
pub mod report;
pub mod sim;
pub mod stall;
pub mod timing;
pub mod trace;
