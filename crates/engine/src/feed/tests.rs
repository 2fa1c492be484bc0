//! Subscribers and handlers: order, lag, ends, and what writers and listeners on many threads see.

mod events;
mod threads;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer};

use super::{ChangeFilter, Changes, Delivery};
use crate::{CacheOptions, Delta, Engine, ManualClock, OpError, SetOptions, ValueType};

/// What waits, without the deliveries' envelope.
fn drain(changes: &mut Changes) -> Vec<Delivery> {
    std::iter::from_fn(|| changes.try_recv()).collect()
}

/// Event and key of each change that waits.
fn names(changes: &mut Changes) -> Vec<String> {
    let name = |delivery: Delivery| match delivery {
        Delivery::Change(change) => format!("{} {}", change.event, change.key.escape_ascii()),
        Delivery::Lagged { missed } => format!("lagged {missed}"),
    };
    drain(changes).into_iter().map(name).collect()
}

fn all() -> ChangeFilter {
    ChangeFilter::new().every_database().capacity(1 << 20)
}

#[test]
fn changes_come_numbered_in_their_order() {
    let engine = Engine::builder().seed(1).shards(4).build().unwrap();
    engine.set("before", "1").unwrap();
    let mut changes = engine.changes(ChangeFilter::new());
    engine.set("a", "1").unwrap();
    engine.set_many(&[("b", "1"), ("c", "2"), ("d", "3"), ("e", "4")]).unwrap();
    engine.list::<String>("l").push_back("x").unwrap();
    engine.remove("before").unwrap();
    let got: Vec<_> = drain(&mut changes)
        .iter()
        .map(|one| (one.change().unwrap().sequence, one.change().unwrap().batch))
        .collect();
    assert_eq!(got, [(1, 1), (2, 2), (3, 2), (4, 2), (5, 2), (6, 6), (7, 6), (8, 8)]);
    assert_eq!(changes.waiting(), 0);
}

#[test]
fn filters_choose_by_key_type_event_and_database() {
    let engine = Engine::new();
    let other = engine.select(1).unwrap();
    let mut by_prefix = engine.changes(ChangeFilter::new().prefix("user:"));
    let mut by_glob = engine.changes(ChangeFilter::new().matching("*:[12]"));
    let mut by_type =
        engine.changes(ChangeFilter::new().value_type(ValueType::Hash).value_type(ValueType::List));
    let mut by_event = engine.changes(ChangeFilter::new().event("del"));
    let mut elsewhere = other.changes(ChangeFilter::new());
    let mut everywhere = engine.changes(ChangeFilter::new().every_database());
    engine.set("user:1", "1").unwrap();
    engine.hash::<String, String>("user:3").set("f", "v").unwrap();
    engine.list::<String>("job:2").push_back("x").unwrap();
    other.set("user:1", "1").unwrap();
    engine.remove("user:3").unwrap();
    engine.swap_databases(0, 1).unwrap();
    assert_eq!(names(&mut by_prefix), ["set user:1", "hset user:3", "hset user:3", "del user:3"]);
    assert_eq!(names(&mut by_glob), ["set user:1", "rpush job:2", "rpush job:2"]);
    let of_types = ["hset user:3", "hset user:3", "rpush job:2", "rpush job:2", "del user:3"];
    assert_eq!(names(&mut by_type), of_types);
    assert_eq!(names(&mut by_event), ["del user:3"]);
    assert_eq!(names(&mut elsewhere), ["set user:1"]);
    assert_eq!(names(&mut everywhere).last().unwrap(), "swapdb ");
}

#[test]
fn what_does_not_fit_is_counted_in_its_place() {
    let engine = Engine::new();
    let mut changes = engine.changes(ChangeFilter::new().capacity(2));
    let set = |key: &str| engine.set(key, "v").unwrap();
    ["a", "b", "c", "d"].into_iter().for_each(set);
    assert_eq!(changes.try_recv().unwrap().change().unwrap().sequence, 1);
    ["e", "f"].into_iter().for_each(set);
    assert_eq!(names(&mut changes), ["set b", "lagged 2", "set e", "lagged 1"]);
    set("g");
    assert_eq!(names(&mut changes), ["set g"]);
}

proptest! {
    #[test]
    fn what_is_delivered_and_missed_adds_up(
        capacity in 1usize..6,
        steps in prop::collection::vec(prop_oneof![3 => Just(true), 2 => Just(false)], 1..120),
    ) {
        let engine = Engine::new();
        let mut changes = engine.changes(ChangeFilter::new().capacity(capacity));
        let (mut written, mut heard, mut last) = (0u64, 0u64, 0u64);
        let mut take = |delivery: Delivery| match delivery {
            Delivery::Change(change) => {
                heard += 1;
                // What lies between two numbers was missed, and was said to be missed before.
                assert_eq!(change.sequence, heard, "a gap that nobody told of");
                last = change.sequence;
            }
            Delivery::Lagged { missed } => {
                assert!(missed > 0);
                heard += missed;
            }
        };
        for write in steps {
            if write {
                engine.set("k", written.to_string()).unwrap();
                written += 1;
            } else if let Some(delivery) = changes.try_recv() {
                take(delivery);
            }
        }
        drain(&mut changes).into_iter().for_each(&mut take);
        prop_assert_eq!(heard, written);
        prop_assert!(last <= written);
    }
}

/// One operation of a family, chosen by numbers.
fn operate(engine: &Engine, what: u8, key: u8, by: u8) {
    let (key, element) = (format!("k{}", key % 6), format!("e{}", by % 5));
    let list = engine.list::<String>(&key);
    let sorted = engine.sorted_set::<String>(&key);
    let hash = engine.hash::<String, String>(&key);
    let set = engine.set_of::<String>(&key);
    // Errors are wrong types: they change nothing, and that is told to nobody.
    let _ = match what % 24 {
        0 | 1 => engine.set(&key, &element),
        2 => engine.incr(&key).map(|_| ()),
        3 => engine.append(&key, &element).map(|_| ()),
        4 => engine.remove(&key).map(|_| ()),
        5 | 6 => list.push_front(element).map(|_| ()),
        7 => list.push_back(element).map(|_| ()),
        8 => list.pop_front().map(|_| ()),
        9 | 10 => hash.set(&element, element.clone()).map(|_| ()),
        11 => hash.remove(&element).map(|_| ()),
        12 | 13 => set.add(element).map(|_| ()),
        14 => set.remove(element).map(|_| ()),
        15 | 16 => sorted.add(element, f64::from(by)).map(|_| ()),
        17 => sorted.remove(element).map(|_| ()),
        18 => engine.rename(&key, format!("k{}", by % 6)).map(|_| ()),
        19 => engine.copy(&key, engine, format!("k{}", by % 6), true).map(|_| ()),
        20 => engine.expire(&key, Duration::from_secs(u64::from(by))).map(|_| ()),
        21 => engine.typed::<(u8, String)>().set(&key, (by, element)),
        22 => engine.set_range(&key, u64::from(by) * 700, &element).map(|_| ()),
        _ => engine.flush(),
    };
}

proptest! {
    #[test]
    fn what_is_delivered_makes_the_same_state(
        steps in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 1..200),
        pauses in prop::collection::vec(any::<bool>(), 200),
    ) {
        let clock = ManualClock::default();
        let leader = Engine::builder().clock(clock.clone()).seed(1).shards(4).build().unwrap();
        let follower = Engine::builder().clock(clock.clone()).seed(2).shards(2).build().unwrap();
        let mut changes = leader.changes(all());
        let mut sequence = 0;
        for ((what, key, by), pause) in steps.into_iter().zip(pauses) {
            operate(&leader, what, key, by);
            if pause {
                clock.advance(Duration::from_millis(u64::from(by) * 50));
                leader.maintain(crate::Budget::default());
            }
            for delivery in drain(&mut changes) {
                let change = delivery.change().unwrap();
                sequence += 1;
                prop_assert_eq!(change.sequence, sequence);
                follower.apply(&change.effect()).unwrap();
            }
            prop_assert_eq!(leader.state_digest().unwrap(), follower.state_digest().unwrap());
        }
        leader.validate();
        follower.validate();
    }
}

#[test]
fn a_transaction_is_one_batch_and_none_if_it_goes_back() {
    let engine = Engine::builder().seed(1).shards(4).build().unwrap();
    let mut changes = engine.changes(ChangeFilter::new());
    let done: Result<(), OpError> = engine.transaction(["a", "b", "c"], |tx| {
        tx.set("a", "1")?;
        tx.hash::<String, String>("b").set("f", "v")?;
        tx.rename("a", "c")
    });
    done.unwrap();
    let heard: Vec<_> = drain(&mut changes).iter().map(|one| one.change().unwrap().batch).collect();
    assert_eq!(heard, [1; 5]);
    let refused: Result<(), OpError> = engine.transaction(["a", "b"], |tx| {
        tx.set("a", "2")?;
        tx.remove("b")?;
        Err(OpError::Overflow)
    });
    assert!(refused.is_err());
    assert!(names(&mut changes).is_empty());
    let heard = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&heard);
    let _guard = engine.on(ChangeFilter::new().prefix("t"), move |engine, _| {
        // No lock of the transaction is held any more.
        engine.set("heard", "v").unwrap();
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let inside = Arc::clone(&heard);
    let done: Result<(), OpError> = engine.transaction(["t1", "t2"], |tx| {
        tx.set("t1", "1")?;
        tx.set("t2", "2")?;
        assert_eq!(inside.load(Ordering::Relaxed), 0);
        Ok(())
    });
    done.unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 2);
    engine.validate();
}

/// A type that refuses to be written.
#[derive(Debug, Deserialize)]
struct Unwritable(#[expect(dead_code, reason = "read by serde alone")] u8);

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("never"))
    }
}

#[test]
fn typed_values_that_were_there_before_are_encoded_when_asked_for() {
    let engine = Engine::new();
    let pairs = engine.typed::<(u32, String)>();
    pairs.set("old", (1, "one".into())).unwrap();
    let never = engine.typed::<Unwritable>().with_weigher(|_| 0);
    never.set("never", Unwritable(1)).unwrap();
    let mut changes = engine.changes(ChangeFilter::new());
    engine.rename("old", "new").unwrap();
    pairs.set("two", (2, "two".into())).unwrap();
    engine.rename("never", "nowhere").unwrap();
    let follower = Engine::new();
    follower.set("nowhere", "something").unwrap();
    let deliveries = drain(&mut changes);
    for delivery in &deliveries {
        follower.apply(&delivery.change().unwrap().effect()).unwrap();
    }
    let followers = follower.typed::<(u32, String)>();
    assert_eq!(followers.get("new").unwrap().as_deref(), Some(&(1, "one".to_owned())));
    assert_eq!(followers.get("two").unwrap().as_deref(), Some(&(2, "two".to_owned())));
    let opaque =
        deliveries.iter().filter(|one| matches!(one.change().unwrap().delta(), Delta::SetOpaque { .. }));
    assert_eq!(opaque.count(), 1);
    assert!(!follower.exists("nowhere").unwrap());
    // A listener changes no outcome: what could be stored before can be stored now.
    never.set("never", Unwritable(2)).unwrap();
}

#[test]
fn a_known_absence_is_a_deletion_or_nothing() {
    let engine = Engine::new();
    engine.set("k", "v").unwrap();
    let mut changes = engine.changes(ChangeFilter::new());
    let absent = |key: &str| {
        let token = engine.cache_token(key, crate::Origin::default());
        engine.insert_if(token, key, "", &CacheOptions::new().negative()).unwrap()
    };
    absent("k");
    absent("other");
    let told = names(&mut changes);
    assert!(told.iter().all(|one| one == "del k"), "{told:?}");
    engine.set("other", "v").unwrap();
    assert_eq!(names(&mut changes), ["set other"]);
}

#[test]
fn a_subscriber_outlives_the_engine_and_ends() {
    let engine = Engine::new();
    let mut changes = engine.changes(ChangeFilter::new());
    engine.set("k", "v").unwrap();
    drop(engine);
    assert!(changes.next().is_some());
    assert!(changes.next().is_none());
    assert!(changes.recv_timeout(Duration::from_secs(60)).is_none(), "an end does not wait");
}

#[test]
fn nothing_is_recorded_when_nobody_listens_any_more() {
    let engine = Engine::new();
    let mut first = engine.changes(ChangeFilter::new());
    drop(engine.changes(ChangeFilter::new()));
    engine.set("k", "v").unwrap();
    assert_eq!(names(&mut first), ["set k"]);
    drop(first);
    assert!(!engine.core.is_recording());
    engine.set_keyspace_events("Kx").unwrap();
    assert!(engine.core.is_recording());
    engine.set_keyspace_events("x").unwrap();
    assert!(!engine.core.is_recording());
    let recorder = Engine::builder().record_effects(true).build().unwrap();
    drop(recorder.changes(ChangeFilter::new()));
    recorder.set("k", "v").unwrap();
    assert_eq!(recorder.take_effects().len(), 1);
}

#[test]
fn a_timeout_ends_a_wait() {
    let engine = Engine::new();
    let mut changes = engine.changes(ChangeFilter::new());
    assert!(changes.recv_timeout(Duration::from_millis(5)).is_none());
    engine.set("k", "v").unwrap();
    assert!(changes.recv_timeout(Duration::ZERO).is_some());
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_task_is_woken_and_may_give_up() {
    let engine = Engine::new();
    let mut changes = engine.changes(ChangeFilter::new());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    {
        let mut given_up = pin!(changes.recv_async());
        assert!(given_up.as_mut().poll(&mut context).is_pending());
    }
    engine.set("k", "v").unwrap();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    let polled = pin!(changes.recv_async()).poll(&mut context);
    assert!(matches!(polled, Poll::Ready(Some(Delivery::Change(_)))));
    let stream = futures_core::Stream::poll_next(pin!(changes), &mut context);
    assert!(stream.is_pending());
}

#[test]
fn a_handler_may_write_and_hears_of_it_later() {
    let engine = Engine::new();
    let depth = AtomicU32::new(0);
    let guard = engine.on(ChangeFilter::new().prefix("n"), move |engine, delivery| {
        assert_eq!(depth.fetch_add(1, Ordering::Relaxed), 0, "one call at a time");
        if delivery.change().is_some() && engine.incr("count").unwrap() < 10 {
            engine.set("n", "again").unwrap();
        }
        depth.fetch_sub(1, Ordering::Relaxed);
    });
    engine.set("n", "first").unwrap();
    assert_eq!(engine.get("count").unwrap().unwrap(), "10");
    drop(guard);
    engine.set("n", "unheard").unwrap();
    assert_eq!(engine.get("count").unwrap().unwrap(), "10");
}

#[test]
fn a_handler_that_panics_keeps_nobody_from_the_rest() {
    let engine = Engine::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut reader = engine.changes(ChangeFilter::new());
    let keys = Arc::clone(&heard);
    let _guard = engine.on(ChangeFilter::new(), move |_, delivery| {
        let key = delivery.change().unwrap().key.to_vec();
        assert_ne!(key, b"bad", "expected by this test");
        keys.lock().unwrap().push(key);
    });
    let write = |key: &'static str| {
        let engine = engine.clone();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| engine.set(key, "v")))
    };
    assert!(write("a").is_ok());
    assert!(write("bad").is_err());
    assert_eq!(engine.get("bad").unwrap().unwrap(), "v", "the change was committed");
    assert!(write("b").is_ok());
    assert_eq!(*heard.lock().unwrap(), [b"a", b"b"]);
    assert_eq!(names(&mut reader), ["set a", "set bad", "set b"]);
    engine.validate();
}

#[test]
fn a_handler_may_drop_its_own_guard() {
    let engine = Engine::new();
    let slot = Arc::new(Mutex::new(None));
    let (own, calls) = (Arc::clone(&slot), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&calls);
    let guard = engine.on(ChangeFilter::new(), move |engine, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        engine.set("from inside", "v").unwrap();
        let guard = own.lock().unwrap().take();
        drop(guard);
    });
    *slot.lock().unwrap() = Some(guard);
    engine.set("k", "v").unwrap();
    engine.set("k", "w").unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert!(!engine.core.is_recording());
    assert_eq!(Arc::strong_count(&calls), 1, "the handler is gone with what it owned");
}

#[test]
fn a_handler_that_falls_behind_is_told() {
    let engine = Engine::new();
    let (heard, missed) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (changes, lost) = (Arc::clone(&heard), Arc::clone(&missed));
    engine
        .on(ChangeFilter::new().prefix("in").capacity(4), move |engine, delivery| match delivery {
            Delivery::Change(change) => {
                changes.fetch_add(1, Ordering::Relaxed);
                if *change.key == *b"in" {
                    (0..10).for_each(|n| engine.set(format!("in:{n}"), "v").unwrap());
                }
            }
            Delivery::Lagged { missed } => {
                lost.fetch_add(u32::try_from(*missed).unwrap(), Ordering::Relaxed);
            }
        })
        .keep();
    engine.set("in", "v").unwrap();
    assert_eq!((heard.load(Ordering::Relaxed), missed.load(Ordering::Relaxed)), (5, 6));
    engine.set_with("in:ttl", "v", SetOptions::new()).unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 6);
}
