//! The byte limit: never exceeded at any step, used to its end, and kept by evicting.
//!
//! One exception is meant: without eviction an EXPIRE is not refused, and what it takes goes beyond the limit until the next
//! key goes. So it is left out of the runs under `noeviction`.

#![expect(clippy::cast_possible_truncation, reason = "small numbers, known to fit")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder::{AllocatorModel, Budget, Builder, Engine, ManualClock, OpError, Policy, SetOptions};
use larder_testkit::{Generator, Operation, Outcome, Profile, Subject};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

/// Policies under which any key may go, so that a write is never refused while others are there.
const ALL_KEYS: [Policy; 4] =
    [Policy::AllKeysLru, Policy::AllKeysLfu, Policy::AllKeysRandom, Policy::Admission];

fn engine(limit: u64, policy: Policy) -> Engine {
    Engine::builder().max_memory(limit).policy(policy).seed(5).build().expect("valid settings")
}

fn check(subject: &Subject, step: usize, operation: &Operation) {
    let usage = subject.engine().memory_usage();
    let limit = usage.limit.expect("these engines have a limit");
    assert!(usage.total() <= limit, "step {step}, {operation:?}: {usage:?}");
}

fn may_go_beyond(subject: &Subject, operation: &Operation) -> bool {
    subject.engine().policy() == Policy::NoEviction && matches!(operation, Operation::Expire { .. })
}

fn run(builder: Builder, operations: &[Operation]) {
    let subject = Subject::new(builder, AllocatorModel::Glibc).expect("valid settings");
    for (step, operation) in operations.iter().enumerate() {
        if !may_go_beyond(&subject, operation) {
            subject.apply(operation);
            check(&subject, step, operation);
        }
    }
}

#[test]
fn no_step_of_a_long_run_exceeds_the_limit() {
    for (seed, policy) in (0..).zip(Policy::ALL) {
        for (shards, limit) in [(1, 96 << 10), (4, 256 << 10), (64, MIB)] {
            let operations: Vec<_> = Generator::new(seed, Profile::default()).take(4_000).collect();
            let builder = Engine::builder().max_memory(limit).policy(policy).shards(shards).seed(seed);
            run(builder, &operations);
        }
    }
}

#[test]
fn a_lowered_limit_is_kept_at_once() {
    let profile = Profile { limits: true, extras: false, ..Profile::default() };
    for (seed, policy) in (0..).zip(ALL_KEYS) {
        let operations: Vec<_> = Generator::new(seed, profile).take(8_000).collect();
        let lowered = operations.iter().filter(|op| matches!(op, Operation::SetMaxMemory { .. })).count();
        assert!(lowered > 3, "the run changes the limit");
        run(Engine::builder().max_memory(MIB).policy(policy).shards(4).seed(seed), &operations);
    }
}

/// Keys of a batch share shards, so a batch may have to grow several tables, rings and wheels at once.
#[test]
fn a_batch_that_grows_every_structure_stays_within_the_limit() {
    for policy in ALL_KEYS {
        for ordered in [false, true] {
            let builder = Engine::builder().max_memory(512 << 10).policy(policy).shards(4).seed(1);
            let engine = builder.ordered_index(ordered).build().expect("valid settings");
            for batch in 0..60u32 {
                let pairs: Vec<_> = (0..300u32).map(|i| (format!("{batch}:{i}"), "v".repeat(20))).collect();
                let options = SetOptions::new().ttl(Duration::from_secs(u64::from(batch) * 977 + 1));
                engine.set_many_with(&pairs, &options).expect("room is made");
                let usage = engine.memory_usage();
                assert!(usage.total() <= 512 << 10, "{policy}, batch {batch}: {usage:?}");
                assert_eq!(
                    engine.get(&pairs[299].0).expect("a read").as_deref(),
                    Some("v".repeat(20).as_bytes())
                );
            }
        }
    }
}

/// The shares of several shards together are what a batch needs; none is free for another.
#[test]
fn a_batch_over_many_shards_ends_when_room_is_scarce() {
    for policy in Policy::ALL {
        let engine = Engine::builder().max_memory(160 << 10).policy(policy).shards(8).seed(2).build();
        let engine = engine.expect("valid settings");
        let mut refused = 0;
        for batch in 0..200u32 {
            let pairs: Vec<_> = (0..16u32).map(|i| (format!("{batch}:{i}"), "v".repeat(600))).collect();
            match engine.set_many(&pairs) {
                Ok(()) => {}
                Err(OpError::OutOfMemory { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            assert!(engine.memory_usage().total() <= 160 << 10);
        }
        assert_eq!(
            refused > 0,
            policy == Policy::NoEviction || policy.to_string().starts_with("volatile"),
            "{policy}"
        );
    }
}

#[test]
fn a_small_limit_is_used_to_nine_tenths() {
    for policy in ALL_KEYS {
        let engine = engine(MIB, policy);
        for i in 0..30_000u32 {
            engine.set(format!("key:{i}"), [b'x'; 100]).expect("room is made");
        }
        let usage = engine.memory_usage();
        assert!(usage.total() <= MIB && usage.total() >= MIB / 10 * 9, "{policy}: {usage:?}");
        // What is charged beside keys and values: headers, table, ring, ghosts, the engine itself.
        assert!(engine.len().expect("a count") >= 5_000, "{policy}: {usage:?}");
    }
}

#[test]
fn without_eviction_a_full_engine_refuses_and_keeps_everything() {
    let engine = engine(MIB, Policy::NoEviction);
    let stored = (0..).take_while(|i| engine.set(format!("key:{i}"), [b'x'; 100]).is_ok()).count() as u64;
    let usage = engine.memory_usage();
    assert!(usage.total() <= MIB && usage.total() >= MIB / 10 * 9, "{usage:?}");
    assert_eq!(engine.len(), Ok(stored));
    assert!(matches!(engine.set("one more", [b'x'; 3_000]), Err(OpError::OutOfMemory { .. })));
    engine.del(&(0..100).map(|i| format!("key:{i}")).collect::<Vec<_>>()).expect("never refused");
    engine.set("one more", [b'x'; 3_000]).expect("there is room again");
}

#[test]
fn a_large_write_makes_its_room() {
    for policy in ALL_KEYS {
        let engine = engine(MIB, policy);
        for i in 0..20_000u32 {
            engine.set(format!("key:{i}"), [b'x'; 100]).expect("room is made");
        }
        for round in 0..5u8 {
            let large = vec![round; 300 << 10];
            engine.set("large", &large).expect("room is made");
            assert!(engine.memory_usage().total() <= MIB, "{policy}");
            assert_eq!(engine.get("large").expect("a read").as_deref(), Some(&large[..]));
        }
        assert!(engine.len().expect("a count") > 500, "{policy}: what need not go stays");
        let too_large = vec![0; 2 << 20];
        assert!(matches!(engine.set("larger", &too_large), Err(OpError::OutOfMemory { .. })));
        assert!(engine.len().expect("a count") > 500, "{policy}: what can never fit evicts nobody");
    }
}

/// An append asks for what it may need, not for the largest chunk that there is.
#[test]
fn an_append_to_a_large_string_evicts_little() {
    let engine = engine(MIB, Policy::AllKeysLru);
    engine.set("log", [b'l'; 5_000]).expect("room is made");
    assert_eq!(engine.pin("log"), Ok(true));
    for i in 0..20_000u32 {
        engine.set(format!("key:{i}"), [b'x'; 100]).expect("room is made");
    }
    let before = engine.len().expect("a count");
    engine.append("log", "a line").expect("room is made");
    let after = engine.len().expect("a count");
    assert!(before - after < 150, "one chunk of 8 KiB: {before} keys before, {after} after");
    assert_eq!(engine.strlen("log"), Ok(5_006));
}

#[test]
fn entries_and_weight_are_limits_too() {
    let builder = Engine::builder().max_entries(100).shards(4).seed(1);
    let engine = builder.max_weight(5_000, |_, value| u32::try_from(value.len()).unwrap_or(u32::MAX));
    let engine = engine.build().expect("valid settings");
    for i in 0..2_000u32 {
        engine.set(format!("key:{i}"), vec![b'x'; (i % 200) as usize]).expect("room is made");
        assert!(engine.len().expect("a count") <= 100);
        let weight: usize = engine
            .keys("*")
            .expect("a scan")
            .iter()
            .map(|key| engine.strlen(key).expect("a read") as usize)
            .sum();
        assert!(weight <= 5_000, "weight {weight}");
    }
}

#[test]
fn expired_keys_make_room_before_living_ones() {
    let clock = ManualClock::default();
    let builder = Engine::builder().max_memory(MIB).policy(Policy::NoEviction).clock(clock.clone()).seed(1);
    let engine = builder.build().expect("valid settings");
    let short = SetOptions::new().ttl(Duration::from_secs(10));
    let stored = (0..)
        .take_while(|i| engine.set_with(format!("short:{i}"), [b'x'; 100], short.clone()).is_ok())
        .count();
    assert!(stored > 3_000);
    clock.advance(Duration::from_secs(10));
    // Nobody maintains: the writers find what is due.
    for i in 0..stored / 2 {
        engine.set(format!("key:{i}"), [b'x'; 100]).expect("what is due goes first");
    }
    assert!(engine.memory_usage().total() <= MIB);
    while engine.maintain(Budget::default()).due {}
    assert_eq!(engine.len(), Ok(stored as u64 / 2));
}

#[test]
fn four_writers_never_exceed_the_limit() {
    for policy in [Policy::AllKeysLru, Policy::Admission, Policy::VolatileTtl] {
        let engine = engine(MIB, policy);
        let done = AtomicBool::new(false);
        let (samples, most) = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4u64)
                .map(|writer| {
                    let engine = engine.clone();
                    scope.spawn(move || write_much(&engine, writer))
                })
                .collect();
            let sampler = scope.spawn(|| {
                let (mut samples, mut most) = (0, 0);
                while !done.load(Ordering::Relaxed) {
                    most = most.max(engine.memory_usage().total());
                    samples += 1;
                    std::thread::yield_now();
                }
                (samples, most)
            });
            writers.into_iter().for_each(|writer| writer.join().expect("writers do not panic"));
            done.store(true, Ordering::Relaxed);
            sampler.join().expect("the sampler does not panic")
        });
        let usage = engine.memory_usage();
        assert!(usage.total() <= MIB, "{policy}: {usage:?}");
        // A sample reads shard after shard, so it may see a key on its way twice; never so much as this.
        assert!(samples > 0 && most <= MIB + MIB / 50, "{policy}: {most} at the most in {samples} samples");
    }
}

fn write_much(engine: &Engine, writer: u64) {
    for i in 0..8_000u64 {
        let key = format!("{writer}:{}", i * i % 5_000);
        let value = vec![b'x'; (i % 97 * 7) as usize];
        let options = SetOptions::new().ttl(Duration::from_secs(i % 50 + 1));
        let outcome = if i % 64 == 0 {
            let pairs: Vec<_> = (0..20).map(|j| (format!("{writer}:{i}:{j}"), "v")).collect();
            engine.set_many_with(&pairs, &options)
        } else {
            engine.set_with(key, value, options).map(|outcome| outcome.is_stored())
        };
        outcome.expect("every key may go");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// The limit holds, and what was stored is there right after: nobody evicts what he has just put in.
    #[test]
    fn any_run_keeps_the_limit(
        operations in Profile::default().operations(300),
        policy in 0..Policy::ALL.len(),
        shards_log2 in 0..5u32,
    ) {
        let builder = Engine::builder().max_memory(128 << 10).policy(Policy::ALL[policy]);
        let subject = Subject::new(builder.shards(1 << shards_log2).seed(1), AllocatorModel::Glibc)
            .expect("valid settings");
        for (step, operation) in operations.iter().enumerate() {
            if may_go_beyond(&subject, operation) {
                continue;
            }
            let outcome = subject.apply(operation);
            check(&subject, step, operation);
            if let (Operation::Set { key, value }, Outcome::Nothing) = (operation, outcome) {
                let stored = subject.apply(&Operation::Peek { key: *key });
                prop_assert_eq!(stored, Outcome::Bytes(Some(value.bytes())));
            }
        }
    }
}
