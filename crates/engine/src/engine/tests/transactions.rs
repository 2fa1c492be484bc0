//! Transactions: all or nothing for every type, who may touch what, and what others see.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;

use crate::{
    Delta, Effect, End, Engine, ManualClock, OpError, Policy, RemovalCause, SetOptions, Ttl, Tx, UnixMillis,
};

const KEYS: [&str; 8] = ["string", "number", "list", "hash", "set", "zset", "stream", "gone"];

fn clock() -> ManualClock {
    ManualClock::new(UnixMillis(1_000_000))
}

fn engine() -> Engine {
    Engine::builder().clock(clock()).seed(1).shards(4).record_effects(true).build().unwrap()
}

/// One value of every type under `KEYS`, the last key apart.
fn filled(engine: &Engine, large: bool) {
    let count = if large { 700 } else { 3 };
    engine.set("string", "before").unwrap();
    engine.expire("string", Duration::from_secs(60)).unwrap();
    engine.set("number", "7").unwrap();
    for i in 0..count {
        engine.list::<u64>("list").push_back(i).unwrap();
        engine.hash::<u64, u64>("hash").set(i, i).unwrap();
        engine.set_of::<String>("set").add(format!("m{i}")).unwrap();
        engine.sorted_set::<u64>("zset").add(i, 1.5 * f64::from(u32::try_from(i).unwrap())).unwrap();
        engine.stream("stream").add([("n", i.to_string())]).unwrap();
    }
}

/// A change of the `nth` kind.
fn change(tx: &Tx<'_>, nth: usize, with: u64) -> Result<(), OpError> {
    match nth {
        0 => tx.set("string", format!("after {with}"))?,
        1 => drop(tx.append("string", "x".repeat(100))?),
        2 => drop(tx.incr("number")?),
        3 => drop(tx.list::<u64>("list").push_front(with)?),
        4 => drop(tx.list::<u64>("list").pop_back()?),
        5 => drop(tx.hash::<u64, u64>("hash").set(with, 0)?),
        6 => drop(tx.set_of::<String>("set").add(format!("n{with}"))?),
        7 => drop(tx.set_of::<String>("set").pop()?),
        8 => drop(tx.sorted_set::<u64>("zset").add(with, 0.5)?),
        9 => drop(tx.sorted_set::<u64>("zset").pop_min()?),
        10 => drop(tx.stream("stream").add([("n", "new")])?),
        11 => drop(tx.remove(KEYS[usize::try_from(with % 8).unwrap()])?),
        12 => drop(tx.rename(KEYS[usize::try_from(with % 7).unwrap()], "gone")),
        13 => drop(tx.expire("list", Duration::from_secs(1 + with))?),
        14 => drop(tx.persist("string")?),
        15 => drop(tx.set_many(&[("gone", "here"), ("number", "8")])?),
        16 => drop(tx.copy("zset", tx, "gone", true)),
        17 => drop(tx.bitmap("string").set(with % 10_000, true)),
        18 => drop(tx.set_with("string", "short", SetOptions::new().ttl(Duration::from_millis(1)))?),
        19 => drop(tx.incr_by_float("number", "0.25")),
        _ => rarer_change(tx, nth, with)?,
    }
    Ok(())
}

/// How many kinds of changes there are.
const CHANGES: usize = 42;

fn rarer_change(tx: &Tx<'_>, nth: usize, with: u64) -> Result<(), OpError> {
    let key = KEYS[usize::try_from(with % 8).unwrap()];
    let short = Duration::from_secs(with % 20);
    let effect = |key: &str, delta| Effect { database: 0, key: key.as_bytes().into(), delta };
    match nth {
        20 => drop(tx.invalidate(key)?),
        21 => drop(tx.pin(key)?),
        22 => drop(tx.unpin(key)?),
        23 => tx.apply(&effect("list", Delta::ListPush { end: End::Head, element: (*b"1").into() }))?,
        24 => tx.apply(&effect("set", Delta::SetAdd { member: (*b"applied").into() }))?,
        25 => tx.apply(&effect("string", Delta::Patch { offset: with * 50, bytes: (*b"patch").into() }))?,
        26 => tx.apply(&effect(key, Delta::Deadline(Some(UnixMillis(1_000_000 + with * 100)))))?,
        27 => tx.apply(&effect(key, Delta::Delete))?,
        28 => drop(tx.set_range("string", with * 100, "range")?),
        29 => tx.typed::<u64>().set("number", with)?,
        30 => drop(tx.typed::<u64>().get(key)),
        31 => drop(tx.bitmap("gone").combine(crate::BitOperation::Not, &["string"])?),
        32 => drop(tx.sort_store("list", crate::SortOptions::new().descending(true), "gone")?),
        33 => drop(tx.list::<u64>("list").move_to("gone", End::Head, End::Tail)?),
        34 => drop(tx.hash::<u64, u64>("hash").expire([with % 5], short, crate::ExpireCondition::Always)?),
        35 => drop(tx.set_of::<String>("set").store_union(["set", "gone"])?),
        36 => drop(tx.store_sorted_union("gone", &["zset", "set"], &crate::CombineOptions::new())?),
        37 => drop(tx.hyperloglog::<u64>("gone").add(with)?),
        38 => drop(tx.stream("stream").group("g").create(crate::GroupPosition::End)?),
        39 => drop(tx.stream("stream").group("g").read("c")?),
        40 => drop(tx.move_to(key, &tx.select(1)?)),
        _ => drop(tx.list::<u64>("list").pop_async(End::Tail)),
    }
    Ok(())
}

#[test]
fn a_transfer_is_seen_whole_or_not_at_all() {
    let engine = engine();
    engine.set("ann", "50").unwrap();
    let transfer = |amount| {
        engine.transaction(["ann", "bob"], |tx| {
            tx.incr_by("bob", amount)?;
            if tx.decr_by("ann", amount)? < 0 { Err(OpError::Overflow) } else { Ok(()) }
        })
    };
    assert_eq!(transfer(20), Ok(()));
    assert_eq!(transfer(40), Err(OpError::Overflow));
    assert_eq!(engine.get("ann").unwrap().unwrap(), "30");
    assert_eq!(engine.get("bob").unwrap().unwrap(), "20");
    engine.validate();
}

#[test]
fn a_panic_takes_everything_back_and_goes_on() {
    for large in [false, true] {
        let engine = engine();
        filled(&engine, large);
        let (digest, bytes) = (engine.state_digest().unwrap(), engine.memory_usage().blobs);
        drop(engine.take_effects());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            engine.transaction(KEYS, |tx| -> Result<(), OpError> {
                for nth in 0..CHANGES {
                    let _ = change(tx, nth, 5);
                }
                panic!("in the middle");
            })
        }));
        assert_eq!(*outcome.unwrap_err().downcast::<&str>().unwrap(), "in the middle");
        assert_eq!(engine.state_digest().unwrap(), digest);
        assert!(
            engine.memory_usage().blobs <= bytes,
            "the bytes are as before, less what a copy does not keep spare"
        );
        assert_eq!(engine.take_effects(), [], "nobody hears of it");
        engine.validate();
        engine.set("string", "and on").unwrap();
    }
}

#[test]
fn an_expiry_comes_back_with_its_entry() {
    let clock = clock();
    let engine = Engine::builder().clock(clock.clone()).build().unwrap();
    engine.set_with("k", "v", SetOptions::new().ttl(Duration::from_secs(10))).unwrap();
    let _ = engine.transaction(["k"], |tx| {
        tx.persist("k")?;
        tx.set("k", "w")?;
        Err::<(), _>(OpError::NoSuchKey)
    });
    assert_eq!(engine.ttl("k").unwrap(), Ttl::After(Duration::from_secs(10)));
    clock.advance(Duration::from_secs(11));
    assert!(!engine.exists("k").unwrap());
    engine.validate();
}

#[test]
fn what_was_pinned_and_tagged_is_so_again() {
    let engine = Engine::builder().clock(clock()).max_entries(4).shards(1).build().unwrap();
    engine.set("k", "v").unwrap();
    assert!(engine.pin("k").unwrap());
    let _ = engine.transaction(["k"], |tx| {
        tx.remove("k")?;
        Err::<(), _>(OpError::NoSuchKey)
    });
    for i in 0..50 {
        engine.set(format!("other{i}"), "v").unwrap();
    }
    assert!(engine.exists("k").unwrap(), "the pin is back");
    assert!(engine.unpin("k").unwrap());
    engine.validate();
}

#[test]
fn other_keys_are_refused_even_in_a_locked_shard() {
    let engine = Engine::builder().shards(1).build().unwrap();
    engine.set("other", "1").unwrap();
    engine
        .transaction(["k"], |tx| {
            let refused = |result: Result<(), OpError>| {
                assert_eq!(result, Err(OpError::UndeclaredKey { key: b"other".as_slice().into() }));
            };
            refused(tx.get("other").map(drop));
            refused(tx.set("other", "2").map(drop));
            refused(tx.incr("other").map(drop));
            refused(tx.remove("other").map(drop));
            refused(tx.exists("other").map(drop));
            refused(tx.set_many(&[("k", "1"), ("other", "2")]).map(drop));
            refused(tx.list::<u8>("other").push_back(1).map(drop));
            refused(tx.list::<u8>("other").len().map(drop));
            refused(tx.rename("k", "other").map(drop));
            refused(tx.set_of::<u8>("other").store_union(["k"]).map(drop));
            refused(tx.lookup("other").map(drop));
            refused(tx.select(0)?.get("other").map(drop));
            assert_eq!(tx.select(1)?.get("k"), Err(OpError::UndeclaredKey { key: b"k".as_slice().into() }));
            Ok::<_, OpError>(())
        })
        .unwrap();
    assert_eq!(engine.get("other").unwrap().unwrap(), "1");
}

#[test]
fn what_concerns_the_whole_engine_needs_an_exclusive_one() {
    let engine = Engine::builder().shards(8).build().unwrap();
    engine.set_many(&[("a", "1"), ("b", "2")]).unwrap();
    engine
        .transaction(["a"], |tx| {
            assert_eq!(tx.flush(), Err(OpError::NeedsExclusive));
            assert_eq!(tx.len(), Err(OpError::NeedsExclusive));
            assert_eq!(tx.keys("*"), Err(OpError::NeedsExclusive));
            assert_eq!(tx.swap_databases(0, 1), Err(OpError::NeedsExclusive));
            assert_eq!(tx.transaction(["a"], |_| Ok::<_, OpError>(())), Err(OpError::InsideTransaction));
            let load = tx.typed::<String>().get_or_insert_with("a2", || Ok::<_, String>(String::new()));
            assert!(load.is_err());
            Ok::<_, OpError>(())
        })
        .unwrap();
    let digest = engine.state_digest().unwrap();
    let refused = engine.exclusive(|tx| {
        assert_eq!(tx.len()?, 2);
        tx.swap_databases(0, 1)?;
        assert_eq!(tx.len()?, 0);
        tx.set("c", "3")?;
        tx.swap_databases(1, 2)?;
        tx.flush_all()?;
        assert_eq!(tx.scan(0, &crate::ScanOptions::new())?.keys.len(), 0);
        tx.set_max_memory(Some(1 << 30));
        assert!(tx.memory_usage().fixed > 0 && tx.stats().keys == 0);
        Err::<(), _>(OpError::NoSuchKey)
    });
    assert_eq!(refused, Err(OpError::NoSuchKey));
    assert_eq!(engine.state_digest().unwrap(), digest);
    engine.validate();
}

#[test]
fn handles_know_whether_they_are_inside() {
    let (engine, other) = (Engine::new(), Engine::new());
    let message = |body: &dyn Fn(&Tx<'_>)| {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            engine.transaction(["k"], |tx| {
                body(tx);
                Ok::<_, OpError>(())
            })
        }));
        caught.unwrap_err().downcast::<&str>().map(|text| *text).unwrap_or_default()
    };
    assert!(message(&|_| drop(engine.get("k"))).contains("from inside a transaction"));
    assert!(message(&|_| drop(other.get("k"))).contains("from inside a transaction"));
    engine.set("k", "v").unwrap();
    assert!(message(&|tx| drop(tx.get_with("k", |_| tx.get("k")))).contains("sees data in place"));
    let leaked = engine.transaction(["k"], |tx| Ok::<_, OpError>((**tx).clone())).unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| leaked.get("k").map(drop)));
    assert!(caught.unwrap_err().downcast::<&str>().unwrap().contains("after its end"));
    assert_eq!(engine.get("k").unwrap().unwrap(), "v", "nothing is left behind on this thread");
}

#[test]
fn a_panic_inside_an_operation_poisons_as_ever() {
    struct Bad;
    impl serde::Serialize for Bad {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("in Serialize")
        }
    }
    // User code runs outside of the operation itself, so that even this leaves a sound shard.
    let engine = engine();
    engine.set("k", "v").unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        engine.transaction(["k"], |tx| {
            tx.set("k", "w")?;
            let encoded = rmp_serde::to_vec(&Bad).map_err(|_| OpError::NoSuchKey)?;
            tx.set("k", encoded).map(drop)
        })
    }));
    assert!(caught.is_err());
    assert_eq!(engine.get("k").unwrap().unwrap(), "v");
}

#[test]
fn time_stands_still_inside() {
    let clock = clock();
    let engine = Engine::builder().clock(clock.clone()).build().unwrap();
    engine.set_with("k", "v", SetOptions::new().ttl(Duration::from_secs(1))).unwrap();
    engine
        .transaction(["k"], |tx| {
            clock.advance(Duration::from_secs(5));
            assert_eq!(tx.now(), UnixMillis(1_000_000));
            assert!(tx.exists("k")?);
            assert_eq!(tx.ttl("k")?, Ttl::After(Duration::from_secs(1)));
            Ok::<_, OpError>(())
        })
        .unwrap();
    assert!(!engine.exists("k").unwrap());
}

#[test]
fn expiry_on_the_way_stays_and_is_told() {
    let clock = clock();
    let engine = Engine::builder().clock(clock.clone()).record_effects(true).build().unwrap();
    engine.set_with("old", "v", SetOptions::new().ttl(Duration::from_secs(1))).unwrap();
    clock.advance(Duration::from_secs(2));
    drop(engine.take_effects());
    let _ = engine.transaction(["old", "new"], |tx| {
        tx.set("old", "w")?;
        tx.set("new", "x")?;
        Err::<(), _>(OpError::NoSuchKey)
    });
    let effects = engine.take_effects();
    assert_eq!(effects.len(), 1, "{effects:?}");
    assert_eq!((&*effects[0].key, &effects[0].delta), (&b"old"[..], &Delta::Delete));
    engine.validate();
}

#[test]
fn room_is_made_without_waiting_and_never_from_the_own_keys() {
    for policy in [Policy::AllKeysLru, Policy::Admission, Policy::AllKeysRandom, Policy::NoEviction] {
        let engine = Engine::builder().shards(4).seed(3).max_entries(40).policy(policy).build().unwrap();
        for i in 0..40 {
            engine.set(format!("fill{i}"), "v").unwrap();
        }
        let keys: Vec<String> = (0..30).map(|i| format!("own{i}")).collect();
        let outcome = engine.transaction(keys.iter().map(String::as_str), |tx| {
            keys.iter().try_for_each(|key| tx.set(key, "v"))?;
            for key in &keys {
                assert!(tx.exists(key)?, "{policy:?}: its own keys stay");
            }
            Ok::<_, OpError>(())
        });
        match policy {
            Policy::NoEviction => assert!(matches!(outcome, Err(OpError::OutOfMemory { .. }))),
            _ => assert_eq!(outcome, Ok(()), "{policy:?}"),
        }
        engine.validate();
        let expected = if policy == Policy::NoEviction { 40 } else { engine.len().unwrap().min(40) };
        assert_eq!(engine.len().unwrap(), expected);
    }
}

#[test]
fn listeners_hear_after_the_end_and_nothing_of_what_was_taken_back() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&heard);
    let engine = Engine::builder()
        .on_removal(move |removal| theirs.lock().push((removal.key.to_vec(), removal.cause)))
        .build()
        .unwrap();
    engine.set_many(&[("a", "1"), ("b", "2")]).unwrap();
    let run = |fails: bool| {
        engine.transaction(["a", "b"], |tx| {
            tx.remove("a")?;
            tx.set("b", "3")?;
            assert!(heard.lock().is_empty(), "not before the end");
            if fails { Err(OpError::NoSuchKey) } else { Ok(()) }
        })
    };
    assert!(run(true).is_err());
    assert!(heard.lock().is_empty());
    run(false).unwrap();
    let mut seen = heard.lock().clone();
    seen.sort_by_key(|(key, _)| key.clone());
    assert_eq!(seen, [(b"a".to_vec(), RemovalCause::Deleted), (b"b".to_vec(), RemovalCause::Replaced)]);
}

#[test]
fn others_never_see_the_middle() {
    let engine = Engine::builder().shards(8).build().unwrap();
    engine.set_many(&[("a", "0"), ("b", "0")]).unwrap();
    let seen_changing = AtomicUsize::new(0);
    let (engine, seen) = (&engine, &seen_changing);
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for i in 0..4_000_u64 {
                let _ = engine.transaction(["a", "b"], |tx| {
                    tx.incr("a")?;
                    tx.incr("b")?;
                    if i % 3 == 0 { Err(OpError::NoSuchKey) } else { Ok(()) }
                });
            }
        });
        scope.spawn(move || {
            let mut last = 0;
            while !writer.is_finished() {
                let pair = engine.transaction(["b", "a"], |tx| {
                    let read = |key| {
                        Ok::<i64, OpError>(tx.get(key)?.map_or(0, |v| v.as_str().unwrap().parse().unwrap()))
                    };
                    Ok::<_, OpError>((read("a")?, read("b")?))
                });
                let (a, b) = pair.unwrap();
                assert_eq!(a, b, "both or none");
                assert!(a >= last, "what was taken back was never seen");
                seen.fetch_add(usize::from(a > last), Ordering::Relaxed);
                last = a;
            }
        });
    });
    assert!(seen_changing.load(Ordering::Relaxed) > 0, "the two threads overlapped");
}

#[test]
fn a_pipeline_locks_a_shard_once_and_keeps_the_order_of_a_key() {
    let engine = Engine::builder().shards(4).build().unwrap();
    let mut pipeline = engine.pipeline();
    let mut tickets = Vec::new();
    for i in 0..64 {
        let key = format!("k{}", i % 8);
        tickets.push(pipeline.add(key.clone(), move |tx| tx.append(&key, format!("{i},"))));
    }
    let failing = pipeline.add("k0", |tx| tx.list::<u8>("k0").len());
    let after = pipeline.add("k0", |tx| tx.strlen("k0"));
    let mut results = pipeline.run().unwrap();
    for ticket in tickets {
        results.take(ticket).unwrap();
    }
    assert!(matches!(results.take(failing), Err(OpError::WrongType { .. })));
    assert!(results.take(after).unwrap() > 0, "one that fails leaves the others alone");
    assert_eq!(engine.get("k0").unwrap().unwrap(), "0,8,16,24,32,40,48,56,");
}

#[test]
fn a_batch_keeps_what_was_done_before_its_error() {
    let engine = engine();
    let failed = engine.batch(&[], None::<&[&str]>, |tx| {
        tx.select(3)?.set("k", "v")?;
        tx.flush()?;
        Err::<(), _>(OpError::NoSuchKey)
    });
    assert_eq!(failed, Err(OpError::NoSuchKey));
    assert_eq!(engine.select(3).unwrap().get("k").unwrap().unwrap(), "v");
    engine.validate();
}

#[test]
fn optimistic_work_is_given_up_if_a_watched_key_was_touched() {
    let clock = clock();
    let engine = Engine::builder().clock(clock.clone()).build().unwrap();
    engine.set_with("short", "v", SetOptions::new().ttl(Duration::from_secs(1))).unwrap();
    engine.set("other", "v").unwrap();
    let run = |meanwhile: &dyn Fn()| {
        let watch = engine.watch(&["short", "k"]).unwrap();
        meanwhile();
        let ran = engine.transaction_unless_changed(&[watch], ["other"], |tx| tx.append("other", "+"));
        ran.unwrap().is_some()
    };
    assert!(run(&|| ()));
    assert!(run(&|| engine.set("elsewhere", "1").unwrap()));
    assert!(!run(&|| engine.set("k", "1").unwrap()));
    assert!(run(&|| {
        // What is taken back was never there.
        let _ = engine.transaction(["k"], |tx| tx.incr("k").and(Err::<(), _>(OpError::NoSuchKey)));
    }));
    assert!(!run(&|| engine.transaction(["k"], |tx| tx.incr("k").map(drop)).unwrap()));
    assert!(!run(&|| clock.advance(Duration::from_secs(2))), "an expiry is a change");
    assert!(run(&|| ()), "one that was gone already is none");
    assert_eq!(engine.get("other").unwrap().unwrap(), "v++++");
    engine.validate();
}

#[test]
fn who_waits_is_served_after_the_whole_transaction() {
    let engine = Engine::new();
    let list = engine.list::<u32>("l");
    let (mut first, mut second) = (list.pop_async(End::Head), list.pop_async(End::Head));
    let refused = engine.transaction(["l"], |tx| {
        tx.list::<u32>("l").push_back(1)?;
        Err::<(), _>(OpError::NoSuchKey)
    });
    assert!(refused.is_err() && first.poll_result().is_none(), "what was taken back wakes nobody");
    engine
        .transaction(["l"], |tx| {
            let list = tx.list::<u32>("l");
            list.push_back(1)?;
            assert!(list.pop_front()?.is_some());
            list.push_back(2)?;
            list.push_front(3)?;
            assert_eq!(list.len()?, 2, "nobody takes from the middle");
            Ok::<_, OpError>(())
        })
        .unwrap();
    assert_eq!((first.poll_result(), second.poll_result()), (Some(Ok(3)), Some(Ok(2))));
    assert!(list.is_empty().unwrap());
    engine.validate();
}

#[test]
fn messages_go_out_at_the_commit() {
    let engine = Engine::new();
    let subscriber = engine.subscriber(Default::default());
    subscriber.subscribe("c").unwrap();
    subscriber.psubscribe("?").unwrap();
    subscriber.ssubscribe("s").unwrap();
    let publish = |fails: bool| {
        engine.transaction(["k"], |tx| {
            assert_eq!(
                (tx.publish("c", "1")?, tx.publish_shard("s", "2")?, tx.publish("none", "3")?),
                (2, 1, 0)
            );
            assert!(subscriber.try_recv().is_none(), "not before the end");
            if fails { Err(OpError::NoSuchKey) } else { Ok(()) }
        })
    };
    assert!(publish(true).is_err() && subscriber.try_recv().is_none());
    publish(false).unwrap();
    assert_eq!(subscriber.try_iter().count(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Given up: the state, the bytes and the effects are as if nothing had been. Kept: they are as if the same operations had
    /// been done one by one.
    #[test]
    fn all_or_nothing(
        before in prop::collection::vec((0..CHANGES, 0..2_000u64), 0..12),
        inside in prop::collection::vec((0..CHANGES, 0..2_000u64), 0..24),
        large in any::<bool>(),
    ) {
        let (engine, plain) = (engine(), engine());
        for one in [&engine, &plain] {
            filled(one, large);
            one.exclusive(|tx| before.iter().try_for_each(|&(nth, with)| change(tx, nth, with).or(Ok(())))).unwrap_or_else(|error: OpError| panic!("{error}"));
            drop(one.take_effects());
        }
        let digest = engine.state_digest().unwrap();
        let (bytes, keys) = (engine.memory_usage().blobs, engine.len().unwrap());
        let _ = engine.transaction(KEYS, |tx| {
            for &(nth, with) in &inside {
                let _ = change(tx, nth, with);
            }
            Err::<(), _>(OpError::NoSuchKey)
        });
        engine.validate();
        prop_assert_eq!(engine.state_digest().unwrap(), digest);
        prop_assert!(engine.memory_usage().blobs <= bytes);
        prop_assert_eq!(engine.len().unwrap(), keys);
        prop_assert_eq!(engine.take_effects(), []);

        engine.transaction(KEYS, |tx| {
            for &(nth, with) in &inside {
                let _ = change(tx, nth, with);
            }
            Ok::<_, OpError>(())
        }).unwrap();
        engine.validate();
        let follower = Engine::builder().clock(clock()).build().unwrap();
        filled(&follower, large);
        follower.exclusive(|tx| before.iter().try_for_each(|&(nth, with)| change(tx, nth, with).or(Ok::<(), OpError>(())))).unwrap();
        // Random choices differ from engine to engine; the effects carry them.
        if !before.iter().any(|&(nth, _)| nth == 7) {
            for effect in engine.take_effects() {
                follower.apply(&effect).unwrap();
            }
            prop_assert_eq!(follower.state_digest().unwrap(), engine.state_digest().unwrap());
        }
        for &(nth, with) in &inside {
            let key_lists = [KEYS];
            let _ = plain.batch(&[], Some(&key_lists[0]), |tx| change(tx, nth, with));
        }
        // A move goes to a key that the transaction did not declare.
        if !before.iter().chain(&inside).any(|&(nth, _)| matches!(nth, 7 | 40)) {
            prop_assert_eq!(plain.state_digest().unwrap(), engine.state_digest().unwrap());
        }
    }

    /// While room is short and time goes on: whatever becomes of a transaction, the effects tell the state, and the accounts are
    /// right.
    #[test]
    fn effects_tell_the_state_when_room_is_short(
        steps in prop::collection::vec((prop::collection::vec((0..CHANGES, 0..2_000u64), 0..12), any::<bool>(), 0..3_000u64), 1..6),
        policy in prop::sample::select(vec![Policy::AllKeysLru, Policy::AllKeysLfu, Policy::Admission, Policy::VolatileTtl, Policy::AllKeysRandom, Policy::NoEviction]),
        by_entries in any::<bool>(),
    ) {
        let clock = clock();
        let builder = Engine::builder().clock(clock.clone()).seed(1).shards(4).record_effects(true).policy(policy);
        let builder = if by_entries { builder.max_entries(12) } else { builder.max_memory(90_000) };
        let engine = builder.build().unwrap();
        let follower = Engine::builder().clock(clock.clone()).build().unwrap();
        let watches: Vec<_> = KEYS.iter().map(|key| engine.watch(&[key]).unwrap()).collect();
        for (at, (changes, fails, pause)) in steps.iter().enumerate() {
            for i in 0..6 {
                let _ = engine.set(format!("fill{at}:{i}"), "x".repeat(400));
            }
            let _ = engine.list::<u64>("list").push_back(1);
            let _ = engine.hash::<u64, u64>("hash").set(1, 1);
            let _ = engine.set_with("string", "s", SetOptions::new().ttl(Duration::from_millis(pause / 2 + 1)));
            clock.advance(Duration::from_millis(*pause));
            let _ = engine.transaction(KEYS, |tx| {
                for &(nth, with) in changes {
                    let _ = change(tx, nth, with);
                }
                if *fails { Err(OpError::NoSuchKey) } else { Ok(()) }
            });
            engine.validate();
            for effect in engine.take_effects() {
                follower.apply(&effect).unwrap();
            }
            prop_assert_eq!(follower.state_digest().unwrap(), engine.state_digest().unwrap());
        }
        drop(watches);
        engine.validate();
        prop_assert!(engine.core.shards.iter().all(|shard| shard.state.read().interest.is_empty()));
    }
}
