//! Concurrent histories of the engine, each of which some order of its calls explains: `linear` in the test kit.
//!
//! ```text
//! linearizable/single.rs       strings, lists, hashes, sets, sorted sets, streams: calls of one key each, key by key
//! linearizable/several.rs      moves, batches, renames, stored results: calls of several keys
//! linearizable/transactions.rs transactions over several keys and types that commit, fail and panic; bank.rs: a model of some
//! linearizable/planted.rs      engines with a bug in front of them, every one of which is found
//! linearizable/interleaved.rs  the same scripts on a scheduler: RUSTFLAGS="--cfg shuttle" cargo test -p larder --test linearizable
//! ```
//! `LARDER_HISTORIES` (default 500) is shared out between the tests, `LARDER_SEED` moves them. What promises no single moment is
//! split into calls that do: MGET into reads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use larder::{Clock, EncodingLimits, Engine, ManualClock, OpError, UnixMillis};
use larder_testkit::linear::Dice;
#[cfg(not(shuttle))]
use larder_testkit::linear::{Campaign, History, Model, Plan, Slot, Verdict, record};

#[path = "linearizable/bank.rs"]
mod bank;
#[cfg(shuttle)]
#[path = "linearizable/interleaved.rs"]
mod interleaved;
#[cfg(not(shuttle))]
#[path = "linearizable/planted.rs"]
mod planted;
#[path = "linearizable/several.rs"]
mod several;
#[path = "linearizable/single.rs"]
mod single;
#[path = "linearizable/transactions.rs"]
mod transactions;

#[cfg(shuttle)]
use interleaved::campaign;

/// Tests that share the histories.
#[cfg(not(shuttle))]
const TESTS: u64 = 12;

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

/// Records histories of threads on fresh engines and has each judged; tells what was seen.
#[cfg(not(shuttle))]
fn campaign<M: Model<Ret = Ret>>(
    test: &'static str,
    model: M,
    draw: impl Fn(&mut Dice, Slot) -> M::Op,
    run: impl Fn(&Engine, &M::Op) -> Ret + Sync,
    judge: impl Fn(&M, History<M::Op, Ret>) -> Verdict,
) -> String
where
    M::Op: Send,
{
    let report = Campaign::new(test, TESTS).run(
        |seed| {
            let engine = engine(seed);
            record(seed, Plan::draw(&mut Dice::new(seed)), &draw, |op| run(&engine, op))
        },
        |_, history| judge(&model, history),
    );
    format!("{test}: {report}")
}

/// A clock that stands still and now and then lets another thread go on.
///
/// The engine reads it in every write, and in every read of what has a deadline, under the lock of a shard mostly. So calls are
/// interrupted where it hurts, on a machine with one processor too.
struct Stutter {
    clock: ManualClock,
    readings: AtomicU32,
    /// Of so many readings one lets others go on; zero for none.
    yields: u32,
}

impl Clock for Stutter {
    fn now(&self) -> UnixMillis {
        let reading = self.readings.fetch_add(1, Ordering::Relaxed);
        if self.yields > 0 && reading.wrapping_mul(0x9e37_79b1).rotate_left(7) % self.yields == 0 {
            std::thread::yield_now();
        }
        self.clock.now()
    }
}

/// A fresh engine of few shards. In half of the histories collections change their encoding after two elements; in half
/// of them, everything has a deadline, which never comes; in most of them the clock stutters.
fn engine(seed: u64) -> Engine {
    let mut dice = Dice::new(seed ^ 0x656e_6769_6e65);
    let mut limits = EncodingLimits::default();
    if dice.once_in(2) {
        limits.list_max_listpack_size = 2;
        limits.hash_max_listpack_entries = 2;
        limits.set_max_intset_entries = 2;
        limits.set_max_listpack_entries = 3;
        limits.zset_max_listpack_entries = 2;
        limits.stream_node_max_entries = 2;
    }
    let clock = Stutter {
        clock: ManualClock::default(),
        readings: AtomicU32::new(dice.below(1_000)),
        yields: dice.pick(&[0, 1, 2, 2, 5]),
    };
    let mut builder = Engine::builder().shards(dice.pick(&[1, 2, 8])).seed(seed).clock(clock);
    if dice.once_in(2) {
        builder = builder.time_to_live(Duration::from_secs(3_600));
    }
    builder.encoding_limits(limits).build().expect("a valid configuration")
}
