//! Concurrent histories of the engine, each of which some order of its calls explains: `linear` in the test kit.
//!
//! ```text
//! linearizable/single.rs       strings, lists, hashes, sets, sorted sets, streams: calls of one key each, key by key
//! linearizable/several.rs      moves, batches, renames, stored results: calls of several keys
//! linearizable/planted.rs      engines with a bug in front of them, every one of which is found
//! ```
//! `LARDER_HISTORIES` (default 500) is shared out between the tests, `LARDER_SEED` moves them. What promises no single moment is
//! split into calls that do: MGET into reads.

use larder::{EncodingLimits, Engine, ManualClock, OpError};
use larder_testkit::linear::Dice;

#[path = "linearizable/planted.rs"]
mod planted;
#[path = "linearizable/several.rs"]
mod several;
#[path = "linearizable/single.rs"]
mod single;

/// Tests that share the histories.
const TESTS: u64 = 10;

/// What calls return, in the tests' own words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Ret {
    Done,
    Flag(bool),
    Number(i64),
    Text(Option<String>),
    Texts(Vec<Option<String>>),
    Elements(Vec<u32>),
    Pairs(Vec<(u32, i64)>),
    /// The name of the error.
    Refused(String),
}

/// The error's name without its fields.
fn refused(error: &OpError) -> Ret {
    let name = format!("{error:?}");
    Ret::Refused(name.chars().take_while(char::is_ascii_alphanumeric).collect())
}

fn ret<T>(result: Result<T, OpError>, shown: impl FnOnce(T) -> Ret) -> Ret {
    result.map_or_else(|error| refused(&error), shown)
}

fn count(result: Result<u64, OpError>) -> Ret {
    ret(result, |count| Ret::Number(i64::try_from(count).unwrap_or(i64::MAX)))
}

fn flag(result: Result<bool, OpError>) -> Ret {
    ret(result, Ret::Flag)
}

fn text<T: AsRef<[u8]>>(result: Result<Option<T>, OpError>) -> Ret {
    ret(result, |value| Ret::Text(value.map(|value| String::from_utf8_lossy(value.as_ref()).into_owned())))
}

/// One element or none.
fn element(result: Result<Option<u32>, OpError>) -> Ret {
    ret(result, |element| Ret::Elements(element.into_iter().collect()))
}

/// A fresh engine of few shards; in half of the histories its collections change their encoding after two elements.
fn engine(seed: u64) -> Engine {
    let mut dice = Dice::new(seed ^ 0x656e_6769_6e65);
    let builder = Engine::builder().shards(dice.pick(&[1, 2, 8])).seed(seed).clock(ManualClock::default());
    let mut limits = EncodingLimits::default();
    if dice.once_in(2) {
        limits.list_max_listpack_size = 2;
        limits.hash_max_listpack_entries = 2;
        limits.set_max_intset_entries = 2;
        limits.set_max_listpack_entries = 3;
        limits.zset_max_listpack_entries = 2;
        limits.stream_node_max_entries = 2;
    }
    builder.encoding_limits(limits).build().expect("a valid configuration")
}
