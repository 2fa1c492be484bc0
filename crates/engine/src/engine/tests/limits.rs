//! Engines with limits: keys may vanish, but only as the policy allows, and nothing is ever wrong.

use proptest::prelude::*;

use super::steps::{Step, step};
use super::world::World;
use crate::{Builder, Engine, OpError, Policy};

/// What is limited, and how tightly.
#[derive(Debug, Clone, Copy)]
enum Limit {
    /// 1 MiB, for values of up to 60,000 bytes.
    Loose,
    /// 200 KiB, for the same.
    Tight,
    Entries(u64),
    Weight(u64),
}

impl Limit {
    fn builder(self) -> Builder {
        match self {
            Self::Loose => Engine::builder().max_memory(1 << 20),
            Self::Tight => Engine::builder().max_memory(200 << 10),
            Self::Entries(entries) => Engine::builder().max_entries(entries),
            Self::Weight(weight) => Engine::builder()
                .max_weight(weight, |key, value| u32::try_from(key.len() + value.len()).unwrap_or(u32::MAX)),
        }
    }

    fn used(self, engine: &Engine) -> u64 {
        match self {
            Self::Loose | Self::Tight => engine.memory_usage().total(),
            Self::Entries(_) => engine.stats().keys,
            Self::Weight(_) => engine.core.budget(crate::memory::Resource::Weight).granted(),
        }
    }

    fn limit(self) -> u64 {
        match self {
            Self::Loose => 1 << 20,
            Self::Tight => 200 << 10,
            Self::Entries(limit) | Self::Weight(limit) => limit,
        }
    }

    fn set(self, engine: &Engine, limit: u64) {
        match self {
            Self::Loose | Self::Tight => engine.set_max_memory(Some(limit)),
            Self::Entries(_) => engine.set_max_entries(Some(limit)),
            Self::Weight(_) => engine.set_max_weight(Some(limit)).unwrap(),
        }
    }
}

fn limits() -> impl Strategy<Value = Limit> {
    prop_oneof![
        1 => Just(Limit::Loose),
        3 => Just(Limit::Tight),
        1 => (1..12u64).prop_map(Limit::Entries),
        1 => (5_000..200_000u64).prop_map(Limit::Weight),
    ]
}

/// What changes at run time, now and then.
#[derive(Debug, Clone)]
enum Turn {
    Step(Step),
    Policy(Policy),
    /// The limit in percent of the first one.
    Lower(u64),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        40 => step(60_000).prop_map(Turn::Step),
        1 => prop::sample::select(&Policy::ALL[..]).prop_map(Turn::Policy),
        1 => (70..101u64).prop_map(Turn::Lower),
    ]
}

/// Whether a lowered limit can be met at once: not by a policy that may take nobody, nor past pinned keys.
fn can_shed(world: &World) -> bool {
    let policy = world.engine().policy();
    let pinned = world.model.entries.values().any(|entry| entry.pins > 0);
    policy != Policy::NoEviction && !policy.is_volatile() && !pinned
}

fn run(limit: Limit, policy: Policy, shards: usize, ordered: bool, turns: &[Turn]) {
    let mut world = World::new(limit.builder().policy(policy).shards(shards), ordered, true);
    let mut most = limit.limit();
    for turn in turns {
        let held = limit.used(world.engine()) <= most;
        match turn {
            Turn::Step(step) => world.run(step),
            Turn::Policy(policy) => {
                world.engine().set_policy(*policy);
                world.settle();
            }
            Turn::Lower(percent) => {
                most = (limit.limit() * percent / 100).max(1);
                limit.set(world.engine(), most);
                world.settle();
            }
        }
        let used = limit.used(world.engine());
        let lowered = matches!(turn, Turn::Lower(_) | Turn::Policy(_));
        // Under NoEviction EXPIRE may go past the limit.
        let keeps = held && world.engine().policy() != Policy::NoEviction;
        let must_hold = if lowered { can_shed(&world) } else { keeps };
        if must_hold {
            assert!(used <= most, "{used} of {most} used after {turn:?}");
        }
    }
}

proptest! {
    #[test]
    fn limits_hold_and_nothing_is_wrong(
        limit in limits(),
        policy in prop::sample::select(&Policy::ALL[..]),
        shards in prop::sample::select(vec![1usize, 2, 8]),
        ordered in any::<bool>(),
        turns in prop::collection::vec(turn(), 1..200),
    ) {
        run(limit, policy, shards, ordered, &turns);
    }
}

#[test]
fn a_value_above_the_limit_is_refused_and_evicts_nothing() {
    for policy in Policy::ALL {
        let engine = Engine::builder().max_memory(200 << 10).policy(policy).shards(2).build().unwrap();
        for i in 0..20 {
            engine.set(format!("k{i}"), vec![b'x'; 4_000]).unwrap();
        }
        let huge = vec![b'x'; 300 << 10];
        assert!(matches!(engine.set("huge", &huge), Err(OpError::OutOfMemory { .. })), "{policy}");
        assert!(matches!(engine.append("k1", &huge), Err(OpError::OutOfMemory { .. })), "{policy}");
        assert_eq!(engine.len(), Ok(20), "{policy}");
        assert_eq!(engine.strlen("k1"), Ok(4_000), "{policy}");
        assert_eq!(engine.stats().evicted_keys(), 0, "{policy}");
    }
}

/// Keys of which the first lies in the one shard and the others in the other.
fn keys_of_two_shards(engine: &Engine) -> (String, Vec<String>) {
    let shard = |key: &String| engine.core.shard_of(engine.core.hash(key.as_bytes()));
    let keys: Vec<String> = (0..200).map(|i| format!("k{i}")).collect();
    let first = keys.iter().find(|key| shard(key) == 0).unwrap().clone();
    (first, keys.into_iter().filter(|key| shard(key) == 1).collect())
}

#[test]
fn a_batch_too_large_for_what_is_left_is_refused_and_does_not_spin() {
    for policy in [Policy::NoEviction, Policy::AllKeysLru, Policy::VolatileLru] {
        let engine = Engine::builder().max_memory(200 << 10).policy(policy).shards(2).build().unwrap();
        engine.set("pinned", vec![b'x'; 100 << 10]).unwrap();
        engine.pin("pinned").unwrap();
        let (a, b) = keys_of_two_shards(&engine);
        let half = vec![b'y'; 60 << 10];
        let refused = engine.set_many(&[(&a, &half), (&b[0], &half)]);
        assert!(matches!(refused, Err(OpError::OutOfMemory { .. })), "{policy}: {refused:?}");
        assert_eq!(engine.get_many(&[&a, &b[0]]).unwrap(), [None, None]);
        engine.validate();
        engine.set(&a, &half).unwrap();
    }
}

#[test]
fn a_batch_finds_its_room_in_every_shard() {
    let engine =
        Engine::builder().max_memory(200 << 10).policy(Policy::AllKeysLru).shards(2).build().unwrap();
    let (a, b) = keys_of_two_shards(&engine);
    // All there is lies in the first shard, the need in the second.
    engine.set(&a, vec![b'x'; 150 << 10]).unwrap();
    engine.set_many(&[(&a, vec![b'y'; 10]), (&b[0], vec![b'y'; 100 << 10])]).unwrap();
    assert_eq!(engine.len(), Ok(2));
    engine.validate();
}

#[test]
fn a_batch_that_evicts_its_own_keys_keeps_the_limit() {
    for policy in [Policy::AllKeysRandom, Policy::Admission, Policy::AllKeysLru] {
        let engine = Engine::builder().max_entries(8).policy(policy).seed(3).shards(1).build().unwrap();
        for round in 0..200 {
            let keys: Vec<String> = (0..6).map(|i| format!("k{}", (round * 7 + i * 3) % 16)).collect();
            let pairs: Vec<_> = keys.iter().map(|key| (key, "v")).collect();
            engine.set_many(&pairs).unwrap();
            assert!(engine.len().unwrap() <= 8, "{policy}");
            assert!(keys.iter().all(|key| engine.exists(key).unwrap()), "{policy}: a batch is whole");
            engine.validate();
        }
    }
}

#[test]
fn a_policy_that_needs_memory_stays_below_the_limit() {
    let engine =
        Engine::builder().max_memory(200 << 10).policy(Policy::AllKeysLru).shards(1).build().unwrap();
    for i in 0..5_000 {
        engine.set(format!("k{i}"), "v").unwrap();
    }
    engine.set_policy(Policy::Admission);
    assert!(engine.memory_usage().total() <= 200 << 10, "{:?}", engine.memory_usage());
    engine.validate();
}

#[test]
fn a_value_that_grows_is_not_evicted_to_make_room_for_itself() {
    for policy in [Policy::AllKeysLru, Policy::AllKeysRandom, Policy::Admission] {
        for shards in [1, 8] {
            let engine = Engine::builder()
                .max_memory(300 << 10)
                .policy(policy)
                .seed(1)
                .shards(shards)
                .build()
                .unwrap();
            for i in 0..40 {
                engine.set(format!("other{i}"), vec![b'x'; 9_000]).unwrap();
                // Another SET may have evicted it, but not its own APPEND or RENAME.
                let before = engine.strlen("grows").unwrap();
                assert_eq!(engine.append("grows", vec![b'y'; 1_000]), Ok(before + 1_000), "{policy}");
                engine.rename("grows", "renamed").unwrap();
                engine.rename("renamed", "grows").unwrap();
            }
            engine.validate();
        }
    }
}
