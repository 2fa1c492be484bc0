//! Interleavings tried out by a scheduler: `RUSTFLAGS="--cfg shuttle" cargo test -p larder --test models`.
//!
//! The real engine runs on shuttle's locks and events, so what is explored is the order of its critical sections and waits.
//! `LARDER_MODEL_RUNS` sets how many interleavings each model tries (default 300); a failure prints a schedule that replays it.
#![cfg(shuttle)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use larder::{Engine, LoadError, ManualClock};
use shuttle::thread;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let runs = std::env::var("LARDER_MODEL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(300);
    shuttle::check_random(model, runs);
}

fn engine() -> Engine {
    Engine::builder().shards(2).clock(ManualClock::default()).seed(1).build().expect("a valid configuration")
}

fn join<T>(threads: Vec<thread::JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
}

#[test]
fn a_missing_key_is_loaded_once() {
    explore(|| {
        let (values, loads) = (engine().typed::<u32>(), Arc::new(AtomicU32::new(0)));
        let threads = (0..3)
            .map(|_| {
                let (values, loads) = (values.clone(), Arc::clone(&loads));
                thread::spawn(move || {
                    let load = || {
                        thread::yield_now();
                        Ok::<_, ()>(loads.fetch_add(1, Ordering::Relaxed) + 7)
                    };
                    *values.get_or_insert_with("k", load).expect("the loader succeeds")
                })
            })
            .collect();
        assert_eq!(join(threads), [7, 7, 7]);
        assert_eq!(loads.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_panicking_leader_hands_over_and_an_error_is_not_kept() {
    explore(|| {
        let (values, turns) = (engine().typed::<u32>(), Arc::new(AtomicU32::new(0)));
        let threads = (0..3)
            .map(|_| {
                let (values, turns) = (values.clone(), Arc::clone(&turns));
                thread::spawn(move || {
                    let load = || match turns.fetch_add(1, Ordering::Relaxed) {
                        0 => panic!("the first loader fails"),
                        1 => Err("the second one refuses"),
                        n => Ok(n),
                    };
                    catch_unwind(AssertUnwindSafe(|| {
                        values.get_or_insert_with("k", load).map(|value| *value)
                    }))
                })
            })
            .collect();
        let mut panics = 0;
        for outcome in join(threads) {
            match outcome {
                Err(_) => panics += 1,
                Ok(Ok(value)) => assert!(value >= 2),
                Ok(Err(LoadError::Loader(error))) => assert_eq!(*error, "the second one refuses"),
                Ok(Err(other)) => panic!("unexpected: {other:?}"),
            }
        }
        assert_eq!(panics, 1, "the panic reaches its own caller, and nobody else");
        assert_eq!(*values.get_or_insert_with("k", || Ok::<_, ()>(9)).expect("nothing is stuck") % 9, {
            let kept = values.get("k").expect("readable").map_or(0, |value| *value);
            kept % 9
        });
    });
}

#[test]
fn a_load_never_overwrites_a_write_that_came_between() {
    explore(|| {
        let engine = engine();
        let values = engine.typed::<u32>();
        let loader = {
            let values = values.clone();
            thread::spawn(move || {
                let load = || {
                    thread::yield_now();
                    Ok::<_, ()>(1)
                };
                values.get_or_insert_with("k", load).map(|value| *value).expect("the loader succeeds")
            })
        };
        let writer = thread::spawn(move || engine.set("k", "2").expect("room"));
        let seen = loader.join().expect("no panic");
        writer.join().expect("no panic");
        assert!(seen == 1 || seen == 2);
        assert_eq!(values.get("k").expect("readable").as_deref(), Some(&2), "the write is the last word");
    });
}

#[test]
fn locks_of_several_shards_are_taken_in_one_order() {
    explore(|| {
        let engine = engine();
        engine.set_many(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]).expect("room");
        let acts: [fn(&Engine); 4] = [
            |engine| drop(engine.rename("a", "b")),
            |engine| drop(engine.rename("b", "a")),
            |engine| engine.set_many(&[("d", "5"), ("c", "6"), ("b", "7")]).expect("room"),
            |engine| engine.swap_databases(0, 1).expect("both are there"),
        ];
        let threads = acts
            .into_iter()
            .map(|act| {
                let engine = engine.clone();
                thread::spawn(move || act(&engine))
            })
            .collect();
        join::<()>(threads);
        let other = engine.select(1).expect("there are sixteen");
        let keys = engine.len().expect("no poison") + other.len().expect("no poison");
        assert!((3..=7).contains(&keys), "{keys}");
    });
}

#[test]
fn two_writers_never_exceed_the_limit_together() {
    explore(|| {
        let engine = Engine::builder().shards(2).max_entries(3).seed(1).clock(ManualClock::default()).build();
        let engine = engine.expect("a valid configuration");
        let threads = (0..3)
            .map(|writer| {
                let engine = engine.clone();
                thread::spawn(move || {
                    for i in 0..3 {
                        engine.set(format!("{writer}:{i}"), "v").expect("the policy evicts");
                    }
                })
            })
            .collect();
        join::<()>(threads);
        assert!(engine.len().expect("no poison") <= 3);
    });
}

#[test]
fn a_fill_that_raced_an_invalidation_is_not_kept() {
    use larder::{CacheOptions, Origin};
    explore(|| {
        let (engine, drawn) = (engine(), Arc::new(AtomicU32::new(0)));
        let filler = {
            let (engine, drawn) = (engine.clone(), Arc::clone(&drawn));
            thread::spawn(move || {
                let token = engine.cache_token("k", Origin::default());
                drawn.store(1, Ordering::SeqCst);
                thread::yield_now();
                engine.insert_if(token, "k", "old", &CacheOptions::new()).expect("room")
            })
        };
        thread::yield_now();
        let began_before = drawn.load(Ordering::SeqCst) == 1;
        engine.invalidate("k").expect("no poison");
        let stored = filler.join().expect("no panic");
        let there = engine.get("k").expect("readable").is_some();
        assert!(stored || !there, "a refused fill leaves nothing");
        assert!(!(began_before && there), "a fill that began before the invalidation is not there after it");
    });
}

/// Every message reaches a subscriber that waits for it, in one order, whoever sleeps and whoever publishes.
#[test]
fn a_waiting_subscriber_misses_no_message_and_no_end() {
    explore(|| {
        let engine = engine();
        let (own, pattern) = (engine.subscriber(Default::default()), engine.subscriber(Default::default()));
        own.subscribe("c").expect("open");
        pattern.psubscribe("*").expect("open");
        let read = |subscriber: larder::Subscriber| {
            thread::spawn(move || {
                let payloads = std::iter::from_fn(|| subscriber.recv()).map(|item| item.payload().cloned());
                payloads.collect::<Vec<_>>()
            })
        };
        let readers = vec![read(own), read(pattern)];
        let publishers = (0..2)
            .map(|publisher| {
                let engine = engine.clone();
                thread::spawn(move || {
                    for number in 0..2 {
                        assert_eq!(engine.publish("c", format!("{publisher} {number}")), Ok(2));
                    }
                })
            })
            .collect();
        join::<()>(publishers);
        drop(engine);
        let seen = join(readers);
        assert_eq!(seen[0].len(), 4);
        assert_eq!(seen[0], seen[1], "one order for all");
    });
}

/// A channel comes and goes under its publishers; those who stay see one order, and counts are exact.
#[test]
fn a_channel_that_comes_and_goes_breaks_no_order() {
    explore(|| {
        let engine = engine();
        let patterns = [engine.subscriber(Default::default()), engine.subscriber(Default::default())];
        for pattern in &patterns {
            pattern.psubscribe("*").expect("open");
        }
        let guest = {
            let engine = engine.clone();
            thread::spawn(move || {
                let mut received = 0;
                for _ in 0..2 {
                    let guest = engine.subscriber(Default::default());
                    guest.subscribe("c").expect("open");
                    thread::yield_now();
                    guest.unsubscribe("c");
                    received += guest.try_iter().count();
                }
                received
            })
        };
        let publishers = (0..2)
            .map(|publisher| {
                let engine = engine.clone();
                let publish =
                    move |number| engine.publish("c", format!("{publisher} {number}")).expect("short");
                thread::spawn(move || (0..2).map(publish).sum::<usize>())
            })
            .collect();
        let counted: usize = join(publishers).into_iter().sum();
        let received = guest.join().expect("no panic");
        let [first, second] = patterns.map(|pattern| pattern.try_iter().collect::<Vec<_>>());
        assert_eq!(first, second);
        assert_eq!((first.len(), counted), (4, 8 + received));
    });
}

/// A subscriber that falls behind is taken out whole, also while it subscribes to more.
#[test]
fn a_disconnected_subscriber_leaves_nothing_behind() {
    use larder::{SlowSubscriber, SubscriberOptions};
    explore(|| {
        let engine = engine();
        let options = SubscriberOptions::new().capacity(1).when_full(SlowSubscriber::Disconnect);
        let slow = Arc::new(engine.subscriber(options));
        slow.subscribe("c").expect("open");
        let publisher = {
            let engine = engine.clone();
            thread::spawn(move || (0..2).map(|_| engine.publish("c", "").expect("short")).sum::<usize>())
        };
        let subscribing = {
            let slow = Arc::clone(&slow);
            thread::spawn(move || drop(slow.psubscribe("x").and_then(|_| slow.ssubscribe("y"))))
        };
        assert_eq!(publisher.join().expect("no panic"), 2);
        subscribing.join().expect("no panic");
        assert!(slow.is_closed());
        assert_eq!(
            (engine.channels(None).len(), engine.pattern_count(), engine.shard_channels(None).len()),
            (0, 0, 0)
        );
        assert_eq!(slow.iter().count(), 2, "a message and the gap");
    });
}

/// Two that wait, one that gives up, two that push: whoever waits to the end is served, and nothing is lost or doubled.
#[test]
fn blocked_callers_are_served_once_each_and_cancelling_loses_nothing() {
    use larder::End;
    explore(|| {
        let engine = engine();
        let quitter = engine.list::<u32>("k").pop_async(End::Head);
        let waits = |engine: Engine| {
            thread::spawn(move || engine.list::<u32>("k").pop_blocking(End::Head, None).expect("a list"))
        };
        let first = waits(engine.clone());
        let pushes = |engine: Engine, element| {
            thread::spawn(move || drop(engine.list::<u32>("k").push_back(element).expect("a list")))
        };
        let (one, two) = (pushes(engine.clone(), 1), pushes(engine.clone(), 2));
        let gives_up = thread::spawn(move || drop(quitter));
        join(vec![one, two, gives_up]);
        let served = first.join().expect("no panic").expect("without a timeout something comes");
        let rest = engine.list::<u32>("k").range(0, -1).expect("a list");
        let mut all = [vec![served], rest].concat();
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
    });
}

/// A move passes on to one that waits for the target, while somebody waits for both keys.
#[test]
fn moves_and_callers_with_several_keys_meet() {
    use larder::End;
    explore(|| {
        let engine = engine();
        let mover = engine.clone();
        let mover = thread::spawn(move || {
            mover.list::<u32>("a").move_blocking("d", End::Head, End::Tail, None).expect("lists")
        });
        let either = engine.clone();
        let either = thread::spawn(move || {
            either.pop_from_lists_blocking::<u32, _>(&["d", "a"], End::Head, 1, None).expect("lists")
        });
        let pushes = |key: &'static str, element| {
            let engine = engine.clone();
            thread::spawn(move || drop(engine.list::<u32>(key).push_back(element).expect("a list")))
        };
        join(vec![pushes("a", 1), pushes("d", 2), pushes("a", 3)]);
        let moved = mover.join().expect("no panic").expect("something came");
        let (_, popped) = either.join().expect("no panic").expect("something came");
        let mut all = popped.clone();
        for key in ["a", "d"] {
            all.extend(engine.list::<u32>(key).range(0, -1).expect("a list"));
        }
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3], "moved {moved}, popped {popped:?}");
    });
}

/// A watch that began before a write sees it; one that began after it does not.
#[test]
fn a_watch_sees_every_write_after_it() {
    explore(|| {
        let engine = engine();
        let writer = engine.clone();
        let writer = thread::spawn(move || writer.incr("k").expect("an integer"));
        let watch = engine.watch(&["k"]).expect("a key");
        let before = engine.get("k").expect("readable").is_some();
        writer.join().expect("no panic");
        assert!(before || watch.is_changed(), "what was not there yet came after the watch began");
    });
}

/// Crossing pairs, batches in opposite orders, a stored result and a plain writer: whoever took locks in the order of his keys
/// would wait for ever, and the scheduler says so.
#[test]
fn crossing_keys_never_wait_for_each_other() {
    use larder::End;
    explore(|| {
        let engine = engine();
        let (left, right) =
            (engine.list::<u32>("left").into_owned(), engine.list::<u32>("right").into_owned());
        left.push_back(1).expect("room");
        right.push_back(2).expect("room");
        engine.set_of::<u32>("a").add_many([1, 2]).expect("room");
        engine.set_of::<u32>("b").add(3).expect("room");
        let acts: [fn(&Engine); 5] = [
            |engine| assert!(engine.list::<u32>("left").move_to("right", End::Head, End::Tail).is_ok()),
            |engine| assert!(engine.list::<u32>("right").move_to("left", End::Head, End::Tail).is_ok()),
            |engine| {
                engine.set_of::<u32>("a").move_to("b", 1).expect("sets");
                engine.set_many(&[("x", "1"), ("y", "1"), ("z", "1")]).expect("room");
            },
            |engine| {
                engine.set_many(&[("z", "2"), ("y", "2"), ("x", "2")]).expect("room");
                engine.set_of::<u32>("b").store_union(["b", "a"]).expect("sets");
            },
            |engine| assert!(engine.list::<u32>("left").push_front(3).is_ok()),
        ];
        let threads = acts
            .into_iter()
            .map(|act| {
                let engine = engine.clone();
                thread::spawn(move || act(&engine))
            })
            .collect();
        join::<()>(threads);
        let mut elements = left.range(0, -1).expect("a list");
        elements.extend(right.range(0, -1).expect("a list"));
        elements.sort_unstable();
        assert_eq!(elements, [1, 2, 3], "nothing is lost on the way, nothing is there twice");
        let batch = engine.get_many(&["x", "y", "z"]).expect("strings");
        assert!(batch.iter().all(|value| *value == batch[0]), "{batch:?}");
        assert!(engine.set_of::<u32>("b").contains(1).expect("a set"));
    });
}

/// Transactions with crossing keys, one of which fails half-way, beside a plain writer and a reader of all.
#[test]
fn transactions_are_seen_whole_or_not_at_all() {
    use larder::OpError;
    explore(|| {
        let engine = engine();
        engine.set_many(&[("a", "10"), ("b", "10"), ("c", "10")]).expect("room");
        let acts: [fn(&Engine); 4] = [
            |engine| {
                let moved = engine.transaction(["a", "b"], |tx| {
                    tx.decr_by("a", 3)?;
                    thread::yield_now();
                    tx.incr_by("b", 3)
                });
                moved.expect("declared");
            },
            |engine| {
                let moved = engine.transaction(["b", "c", "a"], |tx| {
                    tx.decr_by("b", 5)?;
                    tx.incr_by("a", 5)?;
                    thread::yield_now();
                    Err::<(), _>(OpError::Overflow)
                });
                assert_eq!(moved, Err(OpError::Overflow));
            },
            |engine| {
                let sum = engine.transaction(["c", "b", "a"], |tx| {
                    let number = |key| Ok::<i64, OpError>(tx.incr_by(key, 0)?);
                    Ok::<_, OpError>(number("a")? + number("b")? + number("c")?)
                });
                assert!(matches!(sum, Ok(30 | 31)), "{sum:?}");
            },
            |engine| assert!(engine.incr("c").is_ok()),
        ];
        let threads = acts
            .into_iter()
            .map(|act| {
                let engine = engine.clone();
                thread::spawn(move || act(&engine))
            })
            .collect();
        join::<()>(threads);
        let left = engine.get_many(&["a", "b", "c"]).expect("strings");
        let left: Vec<String> =
            left.iter().flatten().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        assert_eq!(left, ["7", "13", "11"]);
    });
}
