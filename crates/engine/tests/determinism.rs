//! With one seed and one clock every run is the same: outcomes, evictions and their order, state, statistics.
//!
//! The calls are random, and cover eviction, deadlines, typed values, batches, scans and maintenance. What must not
//! matter does not: how a table was laid out by the allocator, what other engines do, when the run takes place.

use std::sync::{Arc, Mutex};

use larder::{AllocatorModel, Builder, Engine, Policy, RemovalCause, Stats};
use larder_testkit::{Generator, Operation, Outcome, Profile, State, Subject};

/// One call of the removal listener.
type Gone = (Vec<u8>, RemovalCause, u16, Option<Vec<u8>>);

struct Observed {
    subject: Subject,
    log: Arc<Mutex<Vec<Gone>>>,
}

impl Observed {
    fn new(builder: Builder) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&log);
        let builder = builder.on_removal(move |removal| {
            let gone = (removal.key.to_vec(), removal.cause, removal.database, removal.value());
            theirs.lock().expect("no listener panics").push(gone);
        });
        let subject = Subject::new(builder, AllocatorModel::Glibc).expect("valid settings");
        Self { subject, log }
    }

    fn gone(&self) -> Vec<Gone> {
        std::mem::take(&mut *self.log.lock().expect("no listener panics"))
    }

    fn end(&self) -> (State, Stats, String) {
        let usage = format!("{:?}", self.subject.engine().memory_usage());
        (self.subject.state(), self.subject.engine().stats(), usage)
    }
}

fn builder(policy: Policy, seed: u64) -> Builder {
    Engine::builder().max_memory(200 << 10).policy(policy).shards(4).seed(seed).ttl_jitter(0.3)
}

/// Feeds the same calls to two engines and compares at every step; returns how many entries were evicted.
fn compare(first: &Observed, second: &Observed, operations: impl Iterator<Item = Operation>) -> usize {
    let mut evicted = 0;
    for (step, operation) in operations.enumerate() {
        let outcomes = [first, second].map(|one| one.subject.apply(&operation));
        assert_eq!(outcomes[0], outcomes[1], "step {step}, {operation:?}");
        let [gone, same] = [first.gone(), second.gone()];
        assert_eq!(gone, same, "removals of step {step}, {operation:?}");
        evicted += gone.iter().filter(|(_, cause, ..)| *cause == RemovalCause::Evicted).count();
    }
    assert_eq!(first.end(), second.end());
    evicted
}

#[test]
fn a_hundred_thousand_calls_give_the_same_run() {
    let first = Observed::new(builder(Policy::Admission, 7));
    // An engine of another seed, used meanwhile, disturbs nobody.
    let other = Observed::new(builder(Policy::Admission, 8));
    let second = Observed::new(builder(Policy::Admission, 7));
    let disturbed =
        Generator::new(1, Profile::default()).take(100_000).enumerate().map(|(step, operation)| {
            if step % 3 == 0 {
                other.subject.apply(&operation);
            }
            operation
        });
    let evicted = compare(&first, &second, disturbed);
    assert!(evicted > 5_000, "the run evicts: {evicted}");
    let stats = first.subject.engine().stats();
    assert!(stats.expired_keys > 500 && stats.insertions > 10_000, "the run is worth its name: {stats:?}");
}

#[test]
fn every_policy_gives_the_same_run() {
    for (seed, policy) in (0..).zip(Policy::ALL) {
        let [first, second] = [(); 2].map(|()| Observed::new(builder(policy, seed)));
        let evicted = compare(&first, &second, Generator::new(seed, Profile::default()).take(12_000));
        assert_eq!(evicted > 50, policy != Policy::NoEviction, "{policy}: {evicted} evicted");
    }
}

#[test]
fn a_run_on_another_thread_is_the_same() {
    let run = || {
        let one = Observed::new(builder(Policy::AllKeysLfu, 3));
        let outcomes: Vec<Outcome> =
            Generator::new(4, Profile::default()).take(8_000).map(|op| one.subject.apply(&op)).collect();
        (outcomes, one.gone(), one.end())
    };
    let here = run();
    let there = std::thread::spawn(run).join().expect("the run does not panic");
    assert!(here == there, "outcomes, removals and state do not depend on the thread");
}

#[test]
fn another_seed_gives_another_run() {
    for policy in [Policy::Admission, Policy::AllKeysRandom, Policy::AllKeysLru] {
        let logs = [1, 2].map(|seed| {
            let one = Observed::new(builder(policy, seed));
            let profile = Profile { names: 2_000, ..Profile::default() };
            Generator::new(4, profile).take(8_000).for_each(|op| drop(one.subject.apply(&op)));
            let gone = one.gone().into_iter().filter(|(_, cause, ..)| *cause == RemovalCause::Evicted);
            gone.map(|(key, ..)| key).collect::<Vec<_>>()
        });
        assert!(logs.iter().all(|log| log.len() > 100));
        assert_ne!(logs[0], logs[1], "{policy}");
    }
}
