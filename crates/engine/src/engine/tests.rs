//! The engine against a naive model, and small tests by name.
//!
//! ```text
//! steps  generated operations        world  an engine beside its model: run, compare, validate
//! model  one ordered map             strings, keys, copies  every operation on both
//! exact, limits  the properties      doors  what every collection gets from the keyspace
//! the rest: one rule a test, by name
//! ```

mod batch;
mod beside;
mod bitmaps;
mod copies;
mod derived;
mod doors;
mod encodings;
mod ends;
mod exact;
mod failures;
mod growth;
mod hashes;
mod keys;
mod limits;
mod lists;
mod model;
mod redis;
mod sets;
mod sorted_sets;
mod sorts;
mod steps;
mod streams;
mod strings;
mod time;
mod transactions;
mod walks;
mod world;
