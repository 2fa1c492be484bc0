//! What happens when user code misbehaves: re-entry, panics, listeners that call back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::{Budget, Clock, Engine, OpError, Policy, RemovalCause, SetOptions, UnixMillis};

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| String::new(), |text| (*text).to_owned()),
    }
}

#[test]
fn reentry_panics_with_its_reason_and_the_engine_works_on() {
    let engine = Engine::builder().shards(1).ordered_index(true).build().unwrap();
    let other = Engine::new();
    engine.set("k", "v").unwrap();
    let calls: &[&dyn Fn()] = &[
        &|| drop(engine.get_with("k", |_| ())),
        &|| drop(engine.get("other")),
        &|| drop(engine.set("k", "w")),
        &|| drop(engine.set_many(&[("k", "w")])),
        &|| drop(engine.rename("k", "l")),
        &|| drop(engine.swap_databases(0, 1)),
        &|| drop(engine.scan_prefix("k", 1)),
        &|| drop(engine.scan(0, &crate::ScanOptions::new())),
        &|| assert!(!engine.maintain(Budget::default()).due),
        &|| assert_eq!(engine.stats().keys, 1),
        &|| assert!(engine.memory_usage().total() > 0),
        &|| engine.invalidate_tag("t"),
        &|| engine.invalidate_connection(1),
        &|| engine.invalidate_slot(1),
        &|| engine.invalidate_copies(),
        &|| assert!(engine.keyspace("other").is_ok()),
        &|| drop(other.get("k")),
        &|| drop(other.typed::<u64>().get_or_insert_with("k", || Ok::<_, ()>(1))),
    ];
    for (i, call) in calls.iter().enumerate() {
        let panic = catch_unwind(AssertUnwindSafe(|| drop(engine.get_with("k", |_| call()))));
        let message = message(panic.expect_err("a call inside get_with panics"));
        assert!(message.contains("must not call any engine"), "call {i}: {message}");
        assert_eq!(engine.get("k").unwrap().unwrap(), "v", "call {i}");
    }
    // Caught inside, it is refused again and again until the closure ends.
    let both = engine.get_with("k", |_| {
        [(); 2].map(|()| catch_unwind(AssertUnwindSafe(|| drop(engine.get("k")))).is_err())
    });
    assert_eq!(both, Ok(Some([true; 2])));
    engine.set("k", "w").unwrap();
    engine.validate();
}

#[test]
fn a_panic_of_a_reading_closure_harms_nothing() {
    let engine = Engine::new();
    engine.set("k", "v").unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(engine.get_with("k", |_| panic!("mine"))))).is_err());
    engine.set("k", "w").unwrap();
    assert_eq!(engine.get("k").unwrap().unwrap(), "w");
}

/// A clock that panics when it is told to.
#[derive(Clone, Default)]
struct Moody(Arc<AtomicBool>);

impl Clock for Moody {
    fn now(&self) -> UnixMillis {
        assert!(!self.0.load(Ordering::Relaxed), "the clock is broken");
        UnixMillis(1_000_000)
    }
}

#[test]
fn a_panic_inside_a_change_poisons_its_shard_and_no_other() {
    let clock = Moody::default();
    let engine = Engine::builder().clock(clock.clone()).shards(8).build().unwrap();
    let keys: Vec<String> = (0..64).map(|i| format!("k{i}")).collect();
    for key in &keys {
        engine.set_with(key, "v", SetOptions::new().ttl(Duration::from_secs(1))).unwrap();
    }
    clock.0.store(true, Ordering::Relaxed);
    // The deadline of the key is looked at under the lock, in the middle of the change.
    assert!(catch_unwind(AssertUnwindSafe(|| drop(engine.append(&keys[0], "x")))).is_err());
    clock.0.store(false, Ordering::Relaxed);
    let shard = |key: &String| engine.core.shard_of(engine.core.hash(key.as_bytes()));
    let poisoned = shard(&keys[0]);
    for key in &keys {
        let (get, set) = (engine.get(key), engine.set(key, "w"));
        if shard(key) == poisoned {
            assert!(matches!((get, set), (Err(OpError::Poisoned), Err(OpError::Poisoned))), "{key}");
        } else {
            assert!(get.unwrap().is_some() && set.is_ok(), "{key}");
        }
    }
    let healthy = keys.iter().find(|key| shard(key) != poisoned).unwrap();
    assert_eq!(engine.set_many(&[(healthy, "x"), (&keys[0], "x")]), Err(OpError::Poisoned));
    assert_eq!(engine.get(healthy).unwrap().unwrap(), "w", "a refused batch stores nothing");
    assert_eq!(engine.rename(healthy, &keys[0]), Err(OpError::Poisoned));
    assert_eq!(engine.rename(&keys[0], healthy), Err(OpError::Poisoned));
    assert_eq!(engine.set(healthy, "y"), Ok(()), "the healthy end of a pair stays healthy");
    assert_eq!(engine.len(), Err(OpError::Poisoned));
    assert!(engine.stats().keys > 0 && engine.memory_usage().total() > 0);
    assert_eq!(engine.swap_databases(0, 1), Ok(()));
}

#[test]
fn a_poisoned_shard_is_not_due_for_ever() {
    let clock = Moody::default();
    let now = Arc::new(AtomicU64::new(1_000));
    let ticking = Ticking(clock.clone(), Arc::clone(&now));
    let engine = Engine::builder().clock(ticking).shards(1).build().unwrap();
    engine.set_with("k", "v", SetOptions::new().ttl(Duration::from_secs(1))).unwrap();
    clock.0.store(true, Ordering::Relaxed);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(engine.append("k", "x")))).is_err());
    clock.0.store(false, Ordering::Relaxed);
    now.store(10_000, Ordering::Relaxed);
    assert!(!engine.maintain(Budget::default()).due);
}

/// A clock with both: a time that moves and a mood.
struct Ticking(Moody, Arc<AtomicU64>);

impl Clock for Ticking {
    fn now(&self) -> UnixMillis {
        self.0.now();
        UnixMillis(self.1.load(Ordering::Relaxed))
    }
}

#[test]
fn a_weigher_runs_outside_the_locks() {
    let engine = Arc::new(OnceLock::<Engine>::new());
    let inner = Arc::clone(&engine);
    let made = Engine::builder()
        .shards(1)
        .max_weight(1_000_000, move |key, value| {
            // It calls the engine, and it panics: under a lock either would be the end of the shard.
            if let Some(engine) = inner.get() {
                engine.peek("other").unwrap();
            }
            assert_ne!(key, b"bad");
            u32::try_from(key.len() + value.len()).unwrap()
        })
        .build()
        .unwrap();
    let engine = engine.get_or_init(|| made);
    let calls: [&dyn Fn(&str); 9] = [
        &|key| engine.set(key, "v").unwrap(),
        &|key| assert!(engine.set_with(key, "v", SetOptions::new().return_old()).is_ok()),
        &|key| assert!(engine.append(key, "v").is_ok()),
        &|key| assert!(engine.set_range(key, 1, "v").is_ok()),
        &|key| assert!(engine.incr(key).is_ok()),
        &|key| assert!(engine.incr_by_float(key, "1").is_ok()),
        &|key| engine.set_many(&[(key, "v")]).unwrap(),
        &|key| assert!(engine.typed::<u64>().get_or_insert_with(key, || Ok::<_, ()>(1)).is_ok()),
        &|key| assert!(engine.typed::<u64>().update(key, |_| Some(1)).is_ok()),
    ];
    for (i, call) in calls.iter().enumerate() {
        call("good");
        engine.remove("good").unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| call("bad"))).is_err(), "call {i}");
        assert_eq!(engine.exists("bad"), Ok(false), "call {i} poisons nothing");
    }
    engine.validate();
}

#[test]
fn a_listener_may_call_the_engine() {
    let slot = Arc::new(OnceLock::<Engine>::new());
    let inner = Arc::clone(&slot);
    let made = Engine::builder()
        .shards(1)
        .max_entries(4)
        .policy(Policy::AllKeysLru)
        .on_removal(move |removal| {
            let engine = inner.get().unwrap();
            if removal.cause == RemovalCause::Evicted && removal.database == 0 {
                engine.select(1).unwrap().incr("evicted").unwrap();
                assert!(engine.peek(removal.key).unwrap().is_none(), "told after it went");
                assert_eq!(removal.value().unwrap(), b"v");
            }
        })
        .build()
        .unwrap();
    let engine = slot.get_or_init(|| made);
    for i in 0..100 {
        engine.set(format!("k{i}"), "v").unwrap();
    }
    assert!(engine.stats().evicted_keys() >= 90);
    assert!(engine.stats().keys <= 4);
    engine.validate();
}

#[test]
fn a_listener_that_panics_leaves_a_working_engine() {
    let angry = Arc::new(AtomicBool::new(true));
    let mood = Arc::clone(&angry);
    let engine = Engine::builder()
        .shards(1)
        .on_removal(move |_| assert!(!mood.load(Ordering::Relaxed), "not this one"))
        .build()
        .unwrap();
    engine.set("k", "v").unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| engine.remove("k"))).is_err());
    assert_eq!(engine.exists("k"), Ok(false), "the change was done before");
    angry.store(false, Ordering::Relaxed);
    engine.set("k", "w").unwrap();
    engine.validate();
}
