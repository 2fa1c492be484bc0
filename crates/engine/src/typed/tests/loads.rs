//! Single flight between threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::{Engine, LoadError, OpError, Ttl};

/// Runs `load` once `waiters` others wait for it.
fn wait_for_waiters(engine: &Engine, waiters: u64) {
    while engine.stats().load_waits < waiters {
        std::thread::yield_now();
    }
}

#[test]
fn eight_threads_load_once() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    let (loads, barrier) = (AtomicU32::new(0), Barrier::new(8));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let value = numbers.get_or_insert_with("k", || {
                    loads.fetch_add(1, Ordering::Relaxed);
                    wait_for_waiters(&engine, 7);
                    Ok::<_, ()>(7)
                });
                assert_eq!(*value.unwrap(), 7);
            });
        }
    });
    assert_eq!(loads.into_inner(), 1);
    let stats = engine.stats();
    assert_eq!((stats.loads, stats.load_waits, stats.load_failures), (1, 7, 0));
    assert_eq!(engine.get("k").unwrap().unwrap(), "7");
}

#[test]
fn an_error_goes_to_all_who_waited_and_is_not_kept() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    let barrier = Barrier::new(4);
    let loads = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                let result = numbers.get_or_insert_with("k", || {
                    loads.fetch_add(1, Ordering::Relaxed);
                    wait_for_waiters(&engine, 3);
                    Err("down")
                });
                assert!(matches!(result, Err(LoadError::Loader(error)) if *error == "down"));
            });
        }
    });
    assert_eq!(loads.into_inner(), 1);
    assert_eq!(engine.exists("k"), Ok(false));
    assert_eq!(*numbers.get_or_insert_with("k", || Ok::<_, &str>(2)).unwrap(), 2);
}

#[test]
fn a_panicking_loader_hands_over_and_leaves_nothing_stuck() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    let (begun, wait_begun) = channel();
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            catch_unwind(AssertUnwindSafe(|| {
                numbers.get_or_insert_with("k", || -> Result<u64, ()> {
                    begun.send(()).unwrap();
                    wait_for_waiters(&engine, 1);
                    panic!("the loader's")
                })
            }))
            .is_err()
        });
        wait_begun.recv().unwrap();
        assert_eq!(*numbers.get_or_insert_with("k", || Ok::<_, ()>(5)).unwrap(), 5, "the waiter leads");
        assert!(leader.join().unwrap());
    });
    assert_eq!(engine.stats().load_failures, 1);
    let panics = catch_unwind(AssertUnwindSafe(|| {
        numbers.get_or_insert_with("other", || -> Result<u64, ()> { panic!("again") })
    }));
    assert!(panics.is_err());
    assert_eq!(*numbers.get_or_insert_with("other", || Ok::<_, ()>(6)).unwrap(), 6);
}

/// Its encoding panics, so that it cannot be stored.
#[derive(Deserialize)]
struct Unwilling(u64);

impl Serialize for Unwilling {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, 13, "not this one");
        self.0.serialize(serializer)
    }
}

#[test]
fn a_panic_while_the_result_is_stored_leaves_nobody_waiting() {
    let engine = Engine::new();
    let values = engine.typed::<Unwilling>();
    let (begun, wait_begun) = channel();
    let (waiting, theirs) = (engine.clone(), values.clone());
    let leader = std::thread::spawn(move || {
        let load = || {
            begun.send(()).unwrap();
            wait_for_waiters(&waiting, 1);
            Ok::<_, ()>(Unwilling(13))
        };
        catch_unwind(AssertUnwindSafe(|| drop(theirs.get_or_insert_with("k", load)))).is_err()
    });
    wait_begun.recv().unwrap();
    let (done, wait_done) = channel();
    // A thread of its own: were it left waiting, the test would fail and not hang.
    std::thread::spawn(move || {
        let value = values.get_or_insert_with("k", || Ok::<_, ()>(Unwilling(14)));
        done.send(value.unwrap().0).unwrap();
    });
    assert_eq!(wait_done.recv_timeout(Duration::from_secs(30)), Ok(14), "the waiter leads");
    assert!(leader.join().unwrap());
}

#[test]
fn a_write_during_a_load_wins() {
    type Write = fn(&Engine);
    let writes: [(&str, Write); 6] = [
        ("set", |engine| engine.set("k", "1").unwrap()),
        ("typed", |engine| engine.typed::<u64>().set("k", 1).unwrap()),
        ("set and del", |engine| {
            engine.set("k", "1").unwrap();
            engine.remove("k").unwrap();
        }),
        ("del", |engine| drop(engine.remove("k"))),
        ("flush", |engine| engine.flush().unwrap()),
        ("invalidate", |engine| drop(engine.invalidate("k"))),
    ];
    for (name, write) in writes {
        let engine = Engine::new();
        let numbers = engine.typed::<u64>();
        let loaded = numbers.get_or_insert_with("k", || {
            write(&engine);
            Ok::<_, ()>(2)
        });
        assert_eq!(*loaded.unwrap(), 2, "{name}: who asked gets what was loaded");
        let stored = engine.get("k").unwrap().map(Vec::from);
        let want = if name == "set" || name == "typed" { Some(b"1".to_vec()) } else { None };
        assert_eq!(stored, want, "{name}: the outdated value is not kept");
        assert_eq!(
            *numbers.get_or_insert_with("k", || Ok::<_, ()>(3)).unwrap(),
            if stored.is_some() { 1 } else { 3 }
        );
    }
}

#[test]
fn swapdb_during_a_load_leaves_no_flight_behind() {
    let engine = Engine::new();
    let other = engine.select(1).unwrap();
    let loaded = engine.typed::<u64>().get_or_insert_with("k", || {
        engine.swap_databases(0, 1).unwrap();
        Ok::<_, ()>(1)
    });
    assert_eq!(*loaded.unwrap(), 1);
    for (i, engine) in [(2, &engine), (3, &other)] {
        let typed = engine.typed::<u64>();
        assert_eq!(*typed.get_or_insert_with("k", || Ok::<_, ()>(i)).unwrap(), i, "loaded anew");
        assert_eq!(engine.get("k").unwrap().unwrap(), i.to_string(), "and kept");
    }
}

#[test]
fn a_loader_that_asks_for_its_own_key_is_told() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    let value = numbers.get_or_insert_with("k", || {
        let again = numbers.get_or_insert_with("k", || Ok::<u64, String>(1));
        assert!(matches!(again, Err(LoadError::Recursive)));
        // Another key is fine, and another type of the same key, too.
        numbers.get_or_insert_with("other", || Ok::<u64, String>(2)).unwrap();
        Ok::<u64, String>(3)
    });
    assert_eq!(*value.unwrap(), 3);
    assert_eq!(engine.len(), Ok(2));
}

#[test]
fn what_a_handle_loads_gets_its_ttl() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>().with_ttl(Duration::from_secs(60));
    numbers.get_or_insert_with("k", || Ok::<_, ()>(1)).unwrap();
    assert!(matches!(engine.ttl("k"), Ok(Ttl::After(span)) if span > Duration::from_secs(50)));
}

#[test]
fn a_result_that_cannot_be_kept_is_told_to_its_loader() {
    let engine = Engine::new();
    let result = engine.typed::<f64>().get_or_insert_with("k", || Ok::<_, ()>(f64::NAN));
    assert!(matches!(result, Err(LoadError::Op(OpError::Codec { .. }))));
    let large = Engine::builder().max_memory(100 << 10).shards(1).build().unwrap();
    let text = large.typed::<String>().get_or_insert_with("k", || Ok::<_, ()>("x".repeat(200 << 10)));
    assert_eq!(text.unwrap().len(), 200 << 10, "too large to keep, and given all the same");
    assert_eq!(large.exists("k"), Ok(false));
    assert_eq!(*large.typed::<u64>().get_or_insert_with("k", || Ok::<_, ()>(1)).unwrap(), 1);
}
