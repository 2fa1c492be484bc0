//! A block of commands replies and does under EXEC what it does line by line: the same replies, effects that come to the
//! same, the same state.
//!
//! Two engines of the same seed on the same clock, which stands still during a block. Lines that are refused at queueing abort a
//! block, so that they stay out of it; subscriptions, which reply channel by channel, are not generated.

use std::fmt;
use std::time::Duration;

use larder::{Budget, Engine, ManualClock};
use larder_commands::generate::{Command, Generator};
use larder_commands::{Reply, Session, Tree, execute, table};
use proptest::collection::vec;
use proptest::prelude::*;

/// Shards that hold all keys of a block, or some of it, or only one of many.
const SHARDS: [usize; 3] = [1, 4, 64];

/// More than there are.
const ALL_KEYS: u32 = 100_000;

fn engine(clock: &ManualClock, shards: usize) -> Engine {
    let builder = Engine::builder().clock(clock.clone()).seed(1).shards(shards).record_effects(true);
    builder.build().expect("plain settings")
}

fn ask(engine: &Engine, session: &mut Session, words: &[&[u8]]) -> Reply {
    let mut tree = Tree::new();
    assert!(execute(engine, session, words, &mut tree).is_done(), "the generator makes no line that waits");
    assert!(!tree.is_open());
    tree.take_one().expect("a reply")
}

fn is_queued(command: &Command) -> bool {
    let words = command.words();
    let found = table::resolve(larder_commands::Args::new(&words));
    found.is_some_and(|found| found.spec.accepts(words.len()))
}

/// Lines that print themselves as they are typed, and how long nothing happens after them.
struct Block(Vec<Command>, u32);

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        write!(f, "(advance {} s)", self.1)
    }
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let generator = Generator::new()
        .with(&["SELECT", "SWAPDB", "FLUSHDB", "DBSIZE"], 30)
        .with(&["FLUSHALL"], 5)
        .without(&["PFSELFTEST"]);
    let block = (vec(generator, 0..12), 0..200_000_u32);
    vec(block.prop_map(|(lines, seconds)| Block(lines, seconds)), 1..14)
}

proptest! {
    #[test]
    fn a_block_does_what_its_lines_do(blocks in blocks(), shards in 0..SHARDS.len()) {
        let clock = ManualClock::default();
        let (by_line, by_block) = (engine(&clock, SHARDS[shards]), engine(&clock, SHARDS[shards]));
        let follower = engine(&clock, 2);
        let (mut speaker, mut queuer) = (Session::new(), Session::new());
        for Block(lines, seconds) in &blocks {
            ask(&by_block, &mut queuer, &[b"MULTI"]);
            let mut expected = Vec::new();
            for line in lines.iter().filter(|line| is_queued(line)) {
                expected.push(ask(&by_line, &mut speaker, &line.words()));
                prop_assert_eq!(ask(&by_block, &mut queuer, &line.words()), Reply::Simple("QUEUED".to_owned()));
            }
            let replies = ask(&by_block, &mut queuer, &[b"EXEC"]);
            let Reply::Array(replies) = replies else { panic!("{replies:?}") };
            let queued: Vec<&Command> = lines.iter().filter(|line| is_queued(line)).collect();
            prop_assert_eq!(replies.len(), queued.len());
            for ((line, ours), alone) in queued.iter().zip(&replies).zip(&expected) {
                prop_assert_eq!(ours, alone, "{}", line);
            }
            for effect in by_block.take_effects() {
                follower.apply(&effect).expect("without a limit every effect applies");
            }
            let digest = |engine: &Engine| engine.state_digest().expect("a readable state");
            prop_assert_eq!(digest(&by_block), digest(&by_line));
            prop_assert_eq!(digest(&by_block), digest(&follower));
            clock.advance(Duration::from_secs(u64::from(*seconds)));
            // When a key past its deadline leaves, so that DBSIZE counts it no more, is not part of what is compared.
            for engine in [&by_line, &by_block] {
                while engine.maintain(Budget::keys(ALL_KEYS)).due {}
            }
        }
    }
}
