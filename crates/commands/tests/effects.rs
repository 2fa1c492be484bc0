//! The effects of any commands, applied to an empty engine, give the same state: neither the clock nor chance nor the
//! way of wording a command is left in them.
//!
//! The follower has another seed, another number of shards and other thresholds, so that nothing of the leader's
//! structure counts as state. Histories are random lines of every family, with jumps of the clock and maintenance
//! between them; one that fails is shrunk and printed.

use std::fmt;
use std::time::Duration;

use larder::{Budget, EncodingLimits, Engine, ManualClock};
use larder_commands::generate::{Command, Generator};
use larder_commands::{Session, Tree, execute};
use proptest::collection::vec;
use proptest::prelude::*;

/// More than a history has keys.
const ALL_KEYS: u32 = 100_000;

#[derive(Clone)]
enum Step {
    Line(Command),
    Advance(u32),
    Maintain,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(command) => write!(f, "{command}"),
            Self::Advance(seconds) => write!(f, "(advance {seconds} s)"),
            Self::Maintain => f.write_str("(maintain)"),
        }
    }
}

fn steps(generator: &Generator) -> impl Strategy<Value = Step> + use<> {
    prop_oneof![
        40 => generator.clone().prop_map(Step::Line),
        2 => (0..2_000_000u32).prop_map(Step::Advance),
        1 => Just(Step::Maintain),
    ]
}

/// Half of the histories stay with one family, whose keys then meet more often.
fn histories() -> impl Strategy<Value = Vec<Step>> {
    let everything = Generator::new().malformed(2).with(&["SELECT", "SWAPDB", "FLUSHDB"], 30);
    let everything = everything
        .with(&["MULTI", "EXEC"], 300)
        .with(&["DISCARD", "WATCH", "UNWATCH"], 30)
        .without(&["PFSELFTEST"]);
    let one_family =
        ["string", "list", "hash", "set", "sorted-set", "stream", "bitmap", "geo"].map(|family| {
            let generator =
                Generator::new().families(&[family]).with(&["DEL", "EXPIRE", "RENAME", "COPY"], 20);
            vec(steps(&generator.malformed(0)), 1..120).boxed()
        });
    prop_oneof![
        1 => vec(steps(&everything), 1..160).boxed(),
        1 => proptest::strategy::Union::new(one_family).boxed(),
    ]
}

fn run(engine: &Engine, clock: &ManualClock, session: &mut Session, step: &Step) {
    match step {
        Step::Line(command) => {
            let mut tree = Tree::new();
            execute(engine, session, &command.words(), &mut tree);
        }
        Step::Advance(seconds) => clock.advance(Duration::from_secs(u64::from(*seconds))),
        Step::Maintain => {
            engine.maintain(Budget::keys(ALL_KEYS));
        }
    }
}

fn leader(clock: &ManualClock, small: bool) -> Engine {
    let mut limits = EncodingLimits::default();
    if small {
        limits.list_max_listpack_size = 4;
        limits.hash_max_listpack_entries = 4;
        limits.set_max_intset_entries = 4;
        limits.set_max_listpack_entries = 4;
        limits.zset_max_listpack_entries = 4;
        limits.hll_sparse_max_bytes = 60;
        limits.stream_node_max_entries = 4;
    }
    let builder = Engine::builder().clock(clock.clone()).seed(1).encoding_limits(limits).record_effects(true);
    builder.build().expect("plain settings")
}

proptest! {
    #[test]
    fn effects_make_the_same_state(history in histories(), small in any::<bool>()) {
        let clock = ManualClock::default();
        let leader = leader(&clock, small);
        let builder = Engine::builder().clock(clock.clone()).seed(2).shards(1);
        let follower = builder.build().expect("plain settings");
        let mut session = Session::new();
        for step in &history {
            run(&leader, &clock, &mut session, step);
            for effect in leader.take_effects() {
                follower.apply(&effect).expect("without a limit every effect applies");
            }
            let digest = |engine: &Engine| engine.state_digest().expect("a readable state");
            prop_assert_eq!(digest(&leader), digest(&follower), "after {:?}", step);
        }
    }

    /// Two histories that end in the same state have the same digest: here the second one is the first one's effects,
    /// all at once and long after.
    #[test]
    fn late_effects_make_the_same_state(history in histories()) {
        let clock = ManualClock::default();
        let leader = leader(&clock, true);
        let mut session = Session::new();
        history.iter().for_each(|step| run(&leader, &clock, &mut session, step));
        let follower = Engine::builder().clock(clock).seed(3).build().expect("plain settings");
        for effect in leader.take_effects() {
            follower.apply(&effect).expect("without a limit every effect applies");
        }
        prop_assert_eq!(leader.state_digest().expect("readable"), follower.state_digest().expect("readable"));
    }
}
