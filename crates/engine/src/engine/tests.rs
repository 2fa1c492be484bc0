//! The engine against a naive model, and small tests by name.
//!
//! ```text
//! steps  generated operations        world  an engine beside its model: run, compare, validate
//! model  one ordered map             strings, keys, copies  every operation on both
//! exact, limits  the properties      the rest: one rule a test, by name
//! ```

mod copies;
mod exact;
mod failures;
mod growth;
mod keys;
mod limits;
mod model;
mod redis;
mod steps;
mod strings;
mod time;
mod walks;
mod world;
