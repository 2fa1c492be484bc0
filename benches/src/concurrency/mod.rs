//! Contestants of the `concurrency` benchmark: what is done to several keys at once, handed over, and told to others.
//!
//! ```text
//! slices.rs        short slices of many operations each, in turns; threads side by side
//! transactions.rs  2 and 8 keys in a transaction, and without       pipelines.rs  16 operations in one go
//! handover.rs      from a push to the blocked popper                publish.rs    one message, n subscribers
//! feed.rs          what a change feed costs a write
//! ```

pub mod feed;
pub mod handover;
pub mod pipelines;
pub mod publish;
pub mod slices;
pub mod transactions;

use larder::Engine;

/// Keys of a thread.
const KEYS: usize = 1_024;

/// How an engine spreads its keys: the shards of an engine that was told nothing, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// 256 shards: two keys rarely meet in one.
    Spread,
    /// All keys in one shard, and all threads at its lock.
    OneShard,
}

impl Layout {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Spread, Self::OneShard];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread over 256 shards",
            Self::OneShard => "one shard",
        }
    }

    fn engine(self) -> Engine {
        let shards = if self == Self::Spread { 256 } else { 1 };
        Engine::builder().seed(1).shards(shards).build().expect("the settings are valid")
    }
}

/// The keys of a thread, each a counter at zero.
fn counters(engine: &Engine, thread: usize) -> Vec<String> {
    let keys: Vec<String> = (0..KEYS).map(|i| format!("thread:{thread}:counter:{i:04}")).collect();
    keys.iter().for_each(|key| engine.set(key, "0").expect("there is no limit"));
    keys
}

/// The group of `size` keys that the operation with this number works on; `size` divides the number of keys.
fn group(keys: &[String], operation: u64, size: usize) -> &[String] {
    let groups = KEYS / size;
    let place = usize::try_from(operation % groups as u64).expect("below the number of groups") * size;
    &keys[place..place + size]
}

/// The sum of the counters.
fn total(engine: &Engine, keys: &[String]) -> i64 {
    let number = |key: &String| {
        let value = engine.get(key).expect("a string").expect("it was set");
        value.as_str().expect("text").parse::<i64>().expect("a number")
    };
    keys.iter().map(number).sum()
}
