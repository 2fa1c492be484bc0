//! How transactions, waits and watches end when something goes wrong on the way: drops in odd places, panics of others' code,
//! what a rollback must not forget.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::{
    ChangeFilter, Clock, Delta, Effect, End, Engine, ManualClock, OpError, Policy, SetOptions, UnixMillis,
    Waiter,
};

fn pop(engine: &Engine, key: &str) -> Waiter<u32> {
    engine.list::<u32>(key).pop_async(End::Head)
}

fn push(engine: &Engine, key: &str, element: u32) {
    engine.list::<u32>(key).push_back(element).unwrap();
}

/// Runs a test that would wait for ever if it failed.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    match is_done.recv_timeout(Duration::from_secs(20)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a deadlock"),
        _ => thread.join().unwrap(),
    }
}

/// Lets another thread come as far as it can.
fn pause() {
    let (_open, nothing) = mpsc::channel::<()>();
    let _ = nothing.recv_timeout(Duration::from_millis(100));
}

fn refuse<R>(_: R) -> Result<(), OpError> {
    Err(OpError::NoSuchKey)
}

fn nobody_is_interested(engine: &Engine) -> bool {
    engine.validate();
    engine.core.shards.iter().all(|shard| shard.state.read().interest.is_empty())
        && engine.core.waiting.load(Ordering::Relaxed) == 0
}

#[test]
fn what_is_dropped_inside_a_closure_leaves_the_queues_after_it() {
    let engine = Engine::builder().shards(4).build().unwrap();
    let both = || (engine.watch(&["k", "l"]).unwrap(), pop(&engine, "l"));
    engine.set("k", "v").unwrap();
    let owned = both();
    engine
        .transaction(["k"], move |tx| {
            let _owned = &owned;
            tx.set("k", "w")
        })
        .unwrap();
    assert!(nobody_is_interested(&engine), "after a transaction");
    let owned = both();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        engine.transaction(["k"], move |_| -> Result<(), OpError> {
            let _owned = &owned;
            panic!("its own")
        })
    }));
    assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "its own");
    assert!(nobody_is_interested(&engine), "after a panic");
    let owned = both();
    engine.get_with("k", move |_| drop(owned)).unwrap();
    engine.set("other", "v").unwrap();
    assert!(nobody_is_interested(&engine), "after the next write");
}

#[test]
fn what_was_delivered_to_a_waiter_that_is_dropped_inside_a_closure_goes_back() {
    let engine = Engine::builder().shards(4).build().unwrap();
    let served = || {
        let waiter = pop(&engine, "l");
        push(&engine, "l", 7);
        waiter
    };
    engine.set("k", "v").unwrap();
    let waiter = served();
    engine
        .transaction(["k"], move |tx| {
            drop(waiter);
            tx.set("k", "w")
        })
        .unwrap();
    let list = engine.list::<u32>("l");
    assert_eq!(list.range(0, -1).unwrap(), [7]);
    list.pop_front().unwrap();
    let waiter = served();
    engine.get_with("k", move |_| drop(waiter)).unwrap();
    engine.set("k", "v").unwrap();
    assert_eq!(list.range(0, -1).unwrap(), [7]);
    engine.validate();
}

#[test]
fn what_a_waiter_took_in_a_transaction_that_was_taken_back_goes_back_once() {
    let engine = Engine::new();
    push(&engine, "l", 7);
    for looks in [false, true] {
        let mut kept = None;
        let back = engine.transaction(["l"], |tx| refuse(kept.replace(pop(tx, "l")).is_none()));
        assert_eq!(back, Err(OpError::NoSuchKey));
        let mut waiter = kept.unwrap();
        if looks {
            assert_eq!(waiter.poll_result(), None);
        }
        drop(waiter);
        assert_eq!(engine.list::<u32>("l").range(0, -1).unwrap(), [7]);
    }
}

/// Somebody who serves holds the waiter's cell and waits for the shard that the transaction has.
#[test]
fn a_waiter_that_is_looked_at_inside_a_transaction_does_not_wait_for_who_serves_it() {
    in_time(|| {
        let engine = Engine::builder().shards(64).build().unwrap();
        let mut waiter = engine.list::<u32>("from").move_async("to", End::Head, End::Tail);
        thread::scope(|scope| {
            engine
                .transaction(["to"], |_| {
                    scope.spawn(|| push(&engine, "from", 1));
                    pause();
                    assert!(waiter.poll_result().is_none());
                    Ok::<_, OpError>(())
                })
                .unwrap();
        });
        assert_eq!(waiter.poll_result(), Some(Ok(1)));
        let waiter = engine.list::<u32>("from").move_async("to", End::Head, End::Tail);
        let other = engine.clone();
        let mut pusher = None;
        let thread = &mut pusher;
        engine
            .transaction(["to"], move |_| {
                *thread = Some(thread::spawn(move || push(&other, "from", 2)));
                pause();
                drop(waiter);
                Ok::<_, OpError>(())
            })
            .unwrap();
        pusher.unwrap().join().unwrap();
        engine.validate();
    });
}

/// What an attempt takes away is a change: its handlers and listeners may look at the waiter, and push what others wait for.
#[test]
fn handlers_and_listeners_of_what_a_waiter_gets_run_outside_of_its_locks() {
    in_time(|| {
        let waiter = Arc::new(Mutex::new(None::<Waiter<u32>>));
        let looked = Arc::new(AtomicBool::new(false));
        let (heard, seen) = (Arc::clone(&waiter), Arc::clone(&looked));
        let engine = Engine::builder()
            .on_removal(move |_| {
                if let Some(mut waiter) = heard.try_lock().filter(|_| !seen.load(Ordering::Relaxed)) {
                    let result = waiter.as_mut().and_then(Waiter::poll_result);
                    seen.fetch_or(result == Some(Ok(1)), Ordering::Relaxed);
                }
            })
            .build()
            .unwrap();
        *waiter.lock() = Some(pop(&engine, "l"));
        push(&engine, "l", 1);
        assert!(looked.load(Ordering::Relaxed), "the listener has the result");
        let (handled, answers) = (Arc::clone(&waiter), Arc::new(Mutex::new(Vec::new())));
        let answer = Arc::clone(&answers);
        let guard = engine.on(ChangeFilter::new().prefix("l").event("del"), move |engine, _| {
            if let Some(mut waiter) = handled.lock().take() {
                answer.lock().push(waiter.poll_result());
                // Another thread pushes to the same shard, and is waited for.
                let other = engine.clone();
                thread::spawn(move || push(&other, "l", 3)).join().unwrap();
            }
        });
        *waiter.lock() = Some(pop(&engine, "l"));
        let mut next = pop(&engine, "l");
        push(&engine, "l", 2);
        assert_eq!(*answers.lock(), [Some(Ok(2))]);
        assert_eq!(next.poll_result(), Some(Ok(3)));
        drop(guard);
        engine.validate();
    });
}

/// A handler that asks and waits for the answer: whom it wakes must be served before it waits.
#[test]
fn a_handler_that_runs_because_of_a_service_may_push_and_wait() {
    in_time(|| {
        let engine = Engine::new();
        let guard = engine.on(ChangeFilter::new().prefix("jobs").event("del"), |engine, _| {
            engine.list::<u32>("questions").push_back(1).unwrap();
            let answer = engine.list::<u32>("answers").pop_blocking(End::Head, Some(Duration::from_secs(5)));
            assert_eq!(answer, Ok(Some(2)));
        });
        let (asker, waits) = (engine.clone(), pop(&engine, "questions"));
        let other = thread::spawn(move || {
            assert_eq!(waits.wait(None), Ok(Some(1)));
            asker.list::<u32>("answers").push_back(2).unwrap();
        });
        let mut waiter = pop(&engine, "jobs");
        push(&engine, "jobs", 9);
        assert_eq!(waiter.poll_result(), Some(Ok(9)));
        other.join().unwrap();
        drop(guard);
    });
}

#[test]
fn an_effect_that_was_applied_inside_a_collection_is_taken_back() {
    let engine = Engine::builder().record_effects(true).build().unwrap();
    push(&engine, "l", 1);
    engine.hash::<String, String>("h").set("f", "v").unwrap();
    let digest = engine.state_digest().unwrap();
    drop(engine.take_effects());
    let delta = Delta::ListPush { end: End::Head, element: (*b"2").into() };
    let effect = Effect { database: 0, key: (*b"l").into(), delta };
    let field = Delta::HashPut { field: (*b"g").into(), value: (*b"w").into(), deadline: None };
    let other = Effect { database: 0, key: (*b"h").into(), delta: field };
    let back = engine.transaction(["l", "h"], |tx| refuse((tx.apply(&effect)?, tx.apply(&other)?)));
    assert_eq!(back, Err(OpError::NoSuchKey));
    engine.validate();
    assert_eq!(engine.state_digest().unwrap(), digest);
    assert_eq!(engine.take_effects(), []);
}

#[test]
fn a_watch_sees_what_expired_in_a_transaction_that_was_taken_back() {
    let clock = ManualClock::new(UnixMillis(1_000_000));
    let engine = Engine::builder().clock(clock.clone()).shards(1).build().unwrap();
    engine.set_with("k", "v", SetOptions::new().ttl(Duration::from_secs(1))).unwrap();
    let watch = engine.watch(&["k"]).unwrap();
    clock.advance(Duration::from_secs(2));
    let _ = engine.transaction(["k"], |tx| refuse(tx.remove("k")?));
    assert!(watch.is_changed(), "it has gone, whatever became of the transaction");
    assert!(!engine.exists("k").unwrap());
}

#[test]
fn a_watch_sees_what_was_evicted_for_a_transaction_that_was_taken_back() {
    let engine = Engine::builder().shards(1).max_entries(2).policy(Policy::AllKeysLru).build().unwrap();
    engine.set("k", "v").unwrap();
    engine.set("l", "v").unwrap();
    let watch = engine.watch(&["k", "l"]).unwrap();
    let _ = engine.transaction(["new"], |tx| refuse(tx.set("new", "v")?));
    assert_eq!(engine.len(), Ok(1));
    assert!(watch.is_changed());
}

#[test]
fn pins_are_taken_back_with_the_rest() {
    let engine = Engine::builder().shards(1).max_entries(4).policy(Policy::AllKeysLru).build().unwrap();
    engine.set("k", "v").unwrap();
    let _ = engine.transaction(["k"], |tx| refuse(tx.pin("k")?));
    let _ = engine.transaction(["k"], |tx| refuse((tx.set("k", "w")?, tx.pin("k")?)));
    assert_eq!(engine.unpin("k"), Ok(false), "it was never pinned");
    engine.validate();
    engine.pin("k").unwrap();
    let _ = engine.transaction(["k"], |tx| refuse((tx.unpin("k")?, tx.append("k", "x")?)));
    let _ = engine.transaction(["k"], |tx| refuse((tx.append("k", "x")?, tx.pin("k")?)));
    assert_eq!((engine.unpin("k"), engine.unpin("k")), (Ok(true), Ok(false)), "it was pinned once");
    engine.validate();
}

#[test]
fn an_invalidated_key_comes_back_and_nobody_heard_of_it() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let engine = Engine::builder()
        .record_effects(true)
        .on_removal(move |removal| hears.lock().push(removal.cause))
        .build()
        .unwrap();
    engine.set("k", "v").unwrap();
    drop(engine.take_effects());
    let _ = engine.transaction(["k"], |tx| refuse(tx.invalidate("k")?));
    assert_eq!(engine.get("k").unwrap().unwrap(), "v");
    assert_eq!((heard.lock().len(), engine.take_effects()), (0, vec![]));
    engine.validate();
}

#[test]
fn an_entry_that_comes_back_is_told_to_expire_once() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let clock = ManualClock::new(UnixMillis(1_000_000));
    let engine = Engine::builder()
        .clock(clock.clone())
        .record_effects(true)
        .on_removal(move |removal| hears.lock().push(removal.cause))
        .build()
        .unwrap();
    engine.set_with("n", "1", SetOptions::new().ttl(Duration::from_secs(1))).unwrap();
    clock.advance(Duration::from_secs(2));
    drop(engine.take_effects());
    let _ = engine.transaction(["n"], |tx| refuse(tx.incr("n")?));
    engine.maintain(crate::Budget::default());
    assert_eq!((heard.lock().len(), engine.take_effects().len()), (1, 1));
    engine.validate();
}

#[test]
fn an_expiry_between_a_swap_and_its_end_is_told_of_the_right_database() {
    for fails in [false, true] {
        let clock = ManualClock::new(UnixMillis(1_000_000));
        let engine = Engine::builder().clock(clock.clone()).record_effects(true).build().unwrap();
        let follower = Engine::builder().clock(clock.clone()).build().unwrap();
        engine.set_with("k", "v", SetOptions::new().ttl(Duration::from_secs(1))).unwrap();
        engine.select(1).unwrap().set("k", "stays").unwrap();
        clock.advance(Duration::from_secs(2));
        let _ = engine.exclusive(|tx| {
            tx.swap_databases(0, 1)?;
            assert!(!tx.select(1)?.remove("k")?);
            if fails { Err(OpError::NoSuchKey) } else { Ok(()) }
        });
        engine.take_effects().iter().try_for_each(|effect| follower.apply(effect)).unwrap();
        assert_eq!(engine.state_digest(), follower.state_digest(), "fails: {fails}");
    }
}

#[test]
fn a_listener_that_panics_at_the_commit_keeps_nothing_from_the_others() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let engine = Engine::builder()
        .shards(64)
        .on_removal(move |removal| {
            hears.lock().push(removal.key.to_vec());
            assert!(!removal.key.starts_with(b"bad"), "in the listener");
        })
        .build()
        .unwrap();
    let keys: Vec<String> =
        (0..8).map(|i| format!("good{i}")).chain((0..8).map(|i| format!("bad{i}"))).collect();
    let set = |key| catch_unwind(AssertUnwindSafe(|| engine.set(key, "v")));
    let fill = || keys.iter().for_each(|key| drop(set(key)));
    let subscriber = engine.subscriber(Default::default());
    subscriber.subscribe("c").unwrap();
    let changes = Mutex::new(engine.changes(ChangeFilter::new()));
    let calls: [&dyn Fn(); 3] = [
        &|| {
            let all = keys.iter().map(String::as_str).chain(["l"]);
            let _: Result<(), OpError> = engine.transaction(all, |tx| {
                keys.iter().try_for_each(|key| tx.remove(key).map(drop))?;
                tx.publish("c", "m")?;
                tx.list::<u32>("l").push_back(1).map(drop)
            });
        },
        &|| {
            let pairs: Vec<_> = keys.iter().map(|key| (key, "w")).collect();
            drop(engine.set_many(&pairs));
        },
        &|| drop(engine.rename("good0", "bad0")),
    ];
    for (at, call) in calls.iter().enumerate() {
        fill();
        while changes.lock().try_recv().is_some() {}
        heard.lock().clear();
        let mut waiter = pop(&engine, "l");
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err(), "call {at}");
        if at == 0 {
            assert_eq!(waiter.poll_result(), Some(Ok(1)));
            assert!(subscriber.try_recv().is_some());
        }
        assert_eq!(
            heard.lock().iter().filter(|key| key.starts_with(b"bad")).count(),
            [8, 8, 1][at],
            "call {at}"
        );
        assert!(changes.lock().try_recv().is_some());
        engine.validate();
    }
}

/// Their own shards come first or last, as the keys fall.
#[test]
fn what_is_refused_for_other_keys_or_shards_has_changed_nothing() {
    for key in ["a", "b", "c", "d", "e", "f"] {
        for ordered in [false, true] {
            let engine = Engine::builder().shards(2).seed(1).ordered_index(ordered).build().unwrap();
            engine.set_many(&[(key, "v"), ("other", "v")]).unwrap();
            let kept = engine.transaction([key], |tx| {
                assert_eq!(tx.flush(), Err(OpError::NeedsExclusive));
                assert_eq!(tx.flush_all(), Err(OpError::NeedsExclusive));
                assert_eq!(tx.invalidate_prefix(""), Err(OpError::NeedsExclusive));
                assert!(matches!(tx.del(&[key, "other"]), Err(OpError::UndeclaredKey { .. })));
                tx.exists(key)
            });
            assert_eq!(kept, Ok(true), "{key}");
        }
    }
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
fn a_panic_inside_a_change_poisons_one_shard_and_the_others_are_taken_back() {
    let clock = Moody::default();
    let engine = Engine::builder().clock(clock.clone()).shards(8).policy(Policy::AllKeysLru).build().unwrap();
    let keys: Vec<String> = (0..32).map(|i| format!("k{i}")).collect();
    keys.iter().for_each(|key| engine.set(key, "v").unwrap());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        engine.transaction(keys.iter().map(String::as_str), |tx| {
            keys[1..].iter().try_for_each(|key| tx.set(key, "w"))?;
            clock.0.store(true, Ordering::Relaxed);
            tx.append(&keys[0], "x").map(drop)
        })
    }));
    clock.0.store(false, Ordering::Relaxed);
    assert!(outcome.is_err());
    let shard = |key: &String| engine.core.shard_of(engine.core.hash(key.as_bytes()));
    for key in &keys {
        match engine.get(key) {
            Err(error) => assert_eq!((error, shard(key)), (OpError::Poisoned, shard(&keys[0]))),
            Ok(value) => assert_eq!(value.unwrap(), "v", "{key}"),
        }
    }
}
