//! Who is served, in which order, and what becomes of what nobody took.

mod stress;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::{
    AddOptions, End, Engine, GroupOptions, GroupPosition, GroupReadOptions, ManualClock, OpError, ScoreEnd,
    StreamId, StreamMeta, Waiter,
};

fn engine() -> Engine {
    Engine::builder().seed(1).clock(ManualClock::default()).build().expect("valid")
}

fn pop(engine: &Engine, key: &str) -> Waiter<u32> {
    engine.list::<u32>(key).pop_async(End::Head)
}

fn push(engine: &Engine, key: &str, element: u32) {
    engine.list::<u32>(key).push_back(element).expect("a list");
    engine.validate();
}

/// What came by now.
fn got<R>(waiter: &mut Waiter<R>) -> Option<R> {
    waiter.poll_result().map(|result| result.expect("no error"))
}

#[test]
fn callers_are_served_in_the_order_of_their_coming_and_before_the_push_returns() {
    let engine = engine();
    let mut waiters: Vec<_> = (0..3).map(|_| pop(&engine, "k")).collect();
    engine.validate();
    assert_eq!(engine.list::<u32>("k").extend_back([1, 2]), Ok(2), "it was a list of two for a moment");
    assert!(!engine.exists("k").unwrap());
    let results: Vec<_> = waiters.iter_mut().map(got).collect();
    assert_eq!(results, [Some(1), Some(2), None]);
    push(&engine, "k", 3);
    assert_eq!(got(&mut waiters[2]), Some(3));
    assert_eq!(got(&mut waiters[2]), None, "a result is taken once");
    push(&engine, "k", 4);
    assert_eq!(engine.list::<u32>("k").len(), Ok(1), "nobody waits any more");
}

#[test]
fn of_several_keys_the_one_that_became_ready_is_taken_whatever_the_others_hold() {
    let engine = engine();
    let mut waiter = engine.pop_from_lists_async::<u32, _>(&["a", "b", "a"], End::Tail, 2);
    engine.set("a", "a string by now").unwrap();
    engine.validate();
    assert!(waiter.poll_result().is_none());
    engine.list::<u32>("b").extend_back([1, 2, 3]).unwrap();
    assert_eq!(got(&mut waiter), Some((1, vec![3, 2])));
    engine.validate();
    let late = engine.pop_from_lists_async::<u32, _>(&["none", "a", "b"], End::Tail, 1);
    assert!(matches!(late.wait(None), Err(OpError::WrongType { .. })), "as the plain form");
    let none: [&str; 0] = [];
    assert!(engine.pop_from_lists_async::<u32, _>(&none, End::Head, 1).wait(None).is_err());
}

#[test]
fn what_was_not_taken_goes_back_where_it_came_from() {
    let engine = engine();
    for end in [End::Head, End::Tail] {
        let waiter = engine.pop_from_lists_async::<u32, _>(&["k"], end, 2);
        engine.list::<u32>("k").extend_back([1, 2, 3]).unwrap();
        assert_eq!(engine.list::<u32>("k").len(), Ok(1));
        drop(waiter);
        assert_eq!(engine.list::<u32>("k").range(0, -1).unwrap(), [1, 2, 3], "{end:?}");
        engine.remove("k").unwrap();
    }
    let (first, mut second) = (pop(&engine, "k"), pop(&engine, "k"));
    push(&engine, "k", 7);
    drop(first);
    assert_eq!(got(&mut second), Some(7), "the next one gets it");
    let waiter = engine.sorted_set::<String>("z").pop_async(ScoreEnd::Highest);
    let set = engine.sorted_set::<String>("z");
    set.add("m", 1.5).unwrap();
    assert_eq!(set.len(), Ok(0));
    drop(waiter);
    assert_eq!(set.score("m"), Ok(Some(1.5)));
    let waiter = engine.sorted_set::<String>("y").pop_async(ScoreEnd::Highest);
    engine.sorted_set::<String>("y").add("m", 1.5).unwrap();
    engine.sorted_set::<String>("y").add("m", 9.0).unwrap();
    drop(waiter);
    assert_eq!(engine.sorted_set::<String>("y").score("m"), Ok(Some(9.0)), "the later score stands");
    engine.validate();
}

#[test]
fn a_cancelled_caller_leaves_every_queue_and_gets_what_had_come() {
    let engine = engine();
    let waiter = engine.pop_from_lists_async::<u32, _>(&["a", "b", "c"], End::Head, 1);
    assert_eq!(waiter.cancel(), Ok(None));
    engine.validate();
    push(&engine, "b", 1);
    assert_eq!(engine.list::<u32>("b").len(), Ok(1));
    let waiter = pop(&engine, "x");
    push(&engine, "x", 2);
    assert_eq!(waiter.cancel(), Ok(Some(2)));
    engine.validate();
}

#[test]
fn a_key_of_another_type_leaves_its_waiters_blocked_and_serves_those_of_its_own() {
    let engine = engine();
    let mut scored = engine.sorted_set::<u32>("k").pop_async(ScoreEnd::Lowest);
    let mut list = pop(&engine, "k");
    let mut stream = engine.stream("k").read_async(StreamId::MIN, 10);
    engine.set("k", "text").unwrap();
    engine.remove("k").unwrap();
    push(&engine, "k", 1);
    assert_eq!(got(&mut list), Some(1));
    engine.stream("k").add([("f", "v")]).unwrap();
    assert_eq!(got(&mut stream).map(|entries| entries.len()), Some(1));
    engine.remove("k").unwrap();
    assert!(scored.poll_result().is_none());
    engine.sorted_set::<u32>("k").add(5, 2.0).unwrap();
    assert_eq!(got(&mut scored), Some((5, 2.0)));
    engine.validate();
}

#[test]
fn moves_pass_an_element_on_along_a_chain() {
    let engine = engine();
    let mut hops: Vec<_> = (0..20)
        .rev()
        .map(|n| engine.list::<u32>(&format!("l{n}")).move_async(format!("l{}", n + 1), End::Head, End::Tail))
        .collect();
    let mut last = pop(&engine, "l20");
    push(&engine, "l0", 9);
    assert!(hops.iter_mut().all(|hop| got(hop) == Some(9)));
    assert_eq!(got(&mut last), Some(9));
    assert!(engine.is_empty().unwrap());
    let mut around = engine.list::<u32>("l0").move_async("l0", End::Head, End::Tail);
    push(&engine, "l0", 1);
    assert_eq!((got(&mut around), engine.list::<u32>("l0").len()), (Some(1), Ok(1)));
}

#[test]
fn a_target_of_another_type_is_an_error_and_the_next_one_is_served() {
    let engine = engine();
    engine.set("text", "v").unwrap();
    let mut refused = engine.list::<u32>("k").move_async("text", End::Head, End::Head);
    let mut next = pop(&engine, "k");
    push(&engine, "k", 1);
    assert!(matches!(refused.poll_result(), Some(Err(OpError::WrongType { .. }))));
    assert_eq!(got(&mut next), Some(1));
    let mut waiter = engine.list::<u32>("k").move_async("b", End::Head, End::Head);
    engine.set("k", "v").unwrap();
    assert!(waiter.poll_result().is_none(), "the type of the source does not matter");
    engine.remove("k").unwrap();
    push(&engine, "k", 2);
    assert_eq!(got(&mut waiter), Some(2));
}

#[test]
fn readers_of_a_stream_all_get_what_is_added_and_nothing_else_wakes_them() {
    let engine = engine();
    let stream = engine.stream("s");
    let add = |ms| {
        let options = AddOptions::new().id(StreamId::new(ms, 0));
        stream.add_with(&options, [("f", "v")]).unwrap()
    };
    add(1);
    let after = stream.info().unwrap().unwrap().last_id;
    let (mut a, mut b) =
        (stream.read_async(after, 10), engine.read_streams_async(&[("t", after), ("s", after)], 1));
    stream.remove([StreamId::new(1, 0)]).unwrap();
    stream.set_last_id(StreamMeta::new(StreamId::new(5, 0))).unwrap();
    stream.group("g").create(StreamId::MIN).unwrap();
    assert!(a.poll_result().is_none() && b.poll_result().is_none());
    let id = add(7);
    assert_eq!(Some(got(&mut a).unwrap()[0].id), id);
    let read = got(&mut b).unwrap();
    assert_eq!((read[0].0, read[0].1.len()), (1, 1));
    engine.validate();
}

/// A stream with a group that has read all there is, and a waiting reader of it.
fn grouped(engine: &Engine) -> Waiter<Vec<crate::StreamEntry>> {
    let stream = engine.stream("s");
    stream.add([("f", "v")]).unwrap();
    stream.group("g").create(GroupPosition::End).unwrap();
    stream.group("g").read_async("ann", GroupReadOptions::new())
}

type Act = (&'static str, fn(&Engine));

#[test]
fn readers_of_a_group_hear_when_the_stream_or_the_group_is_gone() {
    let gone: [Act; 8] = [
        ("DEL", |engine| assert!(engine.remove("s").unwrap())),
        ("SET", |engine| drop(engine.set("s", "v"))),
        ("FLUSHDB", |engine| engine.flush().unwrap()),
        ("FLUSHALL", |engine| engine.flush_all().unwrap()),
        ("SWAPDB", |engine| engine.swap_databases(0, 1).unwrap()),
        ("EXPIRE 0", |engine| assert!(engine.expire("s", Duration::ZERO).unwrap())),
        ("RENAME", |engine| {
            engine.list::<u32>("l").push_back(1).unwrap();
            engine.rename("l", "s").unwrap();
        }),
        ("RENAME away", |engine| engine.rename("s", "t").unwrap()),
    ];
    for (name, act) in gone {
        let engine = engine();
        let mut waiter = grouped(&engine);
        let mut reader = engine.stream("s").read_async(StreamId::MAX, 1);
        act(&engine);
        let result = waiter.poll_result();
        assert!(matches!(result, Some(Err(OpError::StreamGone { .. }))), "{name}: {result:?}");
        assert!(reader.poll_result().is_none(), "{name}: who reads without a group waits on");
        engine.validate();
    }
    let engine = engine();
    let mut waiter = grouped(&engine);
    engine.stream("s").group("g").set_position(StreamId::MIN, None).unwrap();
    assert!(waiter.poll_result().is_none());
    assert!(engine.stream("s").group("g").destroy().unwrap());
    assert!(matches!(waiter.poll_result(), Some(Err(OpError::NoSuchGroup { .. }))));
    engine.validate();
}

#[test]
fn a_group_delivers_to_the_first_who_waits_and_keeps_it_pending() {
    let engine = engine();
    let jobs = engine.stream("jobs");
    let group = jobs.group("g");
    group.create_with(GroupPosition::End, GroupOptions::new().make_stream()).unwrap();
    let ann = group.read_async("ann", GroupReadOptions::new());
    let mut bob = group.read_async("bob", GroupReadOptions::new());
    let id = jobs.add([("task", "wash")]).unwrap();
    assert!(bob.poll_result().is_none());
    drop(ann);
    assert_eq!(group.read_again("ann", StreamId::MIN, None).unwrap().len(), 1, "pending with whoever got it");
    jobs.add([("task", "dry")]).unwrap();
    assert_ne!(got(&mut bob).unwrap()[0].id, id);
    assert!(matches!(
        engine.read_groups_async(&["jobs", "none"], "g", "ann", GroupReadOptions::new()).wait(None),
        Err(OpError::NoSuchGroup { .. })
    ));
    engine.validate();
}

#[test]
fn exchanged_databases_bring_what_was_waited_for() {
    let engine = engine();
    let other = engine.select(1).unwrap();
    let (mut here, mut there) = (pop(&engine, "k"), pop(&other, "k"));
    engine.list::<u32>("x").push_back(0).unwrap();
    engine.select(2).unwrap().list::<u32>("k").push_back(3).unwrap();
    engine.swap_databases(1, 2).unwrap();
    assert_eq!((got(&mut here), got(&mut there)), (None, Some(3)));
    engine.rename("x", "k").unwrap();
    assert_eq!(got(&mut here), Some(0));
    engine.validate();
}

#[test]
fn time_runs_on_the_clock_of_the_engine() {
    let clock = ManualClock::default();
    let engine = Engine::builder().clock(clock.clone()).build().unwrap();
    let asked = engine.clone();
    let waiter = std::thread::spawn(move || {
        asked.list::<u32>("k").pop_blocking(End::Head, Some(Duration::from_secs(3_600)))
    });
    while !waiter.is_finished() {
        clock.advance(Duration::from_secs(60));
        std::thread::yield_now();
    }
    assert_eq!(waiter.join().unwrap(), Ok(None));
    engine.validate();
    let real = Engine::new();
    let short = Some(Duration::from_millis(5));
    assert_eq!(real.sorted_set::<u32>("z").pop_blocking(ScoreEnd::Lowest, short), Ok(None));
    assert_eq!(real.list::<u32>("k").move_blocking("l", End::Head, End::Head, short), Ok(None));
    assert!(matches!(real.stream("s").read_blocking(StreamId::MIN, 1, short), Ok(None)));
    assert_eq!(real.list::<u32>("k").pop_many_blocking(End::Head, 3, Some(Duration::ZERO)), Ok(None));
    real.validate();
}

struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_future_is_woken_by_the_push() {
    let engine = engine();
    let woken = Arc::new(Woken(AtomicU32::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut waiter = pop(&engine, "k");
    for _ in 0..3 {
        assert!(Pin::new(&mut waiter).poll(&mut context).is_pending());
    }
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    push(&engine, "k", 1);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert_eq!(Pin::new(&mut waiter).poll(&mut context), Poll::Ready(Ok(1)));
    assert!(matches!(Pin::new(&mut waiter).poll(&mut context), Poll::Ready(Err(_))), "taken before");
    fn is_send<T: Send + Sync + 'static>(_: &T) {}
    is_send(&waiter);
}

/// A removal listener runs after the locks are released and before anybody is served: the moment in which a caller could
/// overtake those who wait.
#[test]
fn a_newcomer_does_not_overtake_those_who_wait() {
    let newcomers = Arc::new(parking_lot::Mutex::new((None::<Engine>, Vec::new())));
    let heard = Arc::clone(&newcomers);
    let engine = Engine::builder()
        .on_removal(move |_| {
            // Not while it makes one: that serves those who wait, and what they take is removed, too.
            if let Some(mut heard) = heard.try_lock() {
                let (engine, waiters) = &mut *heard;
                waiters.extend(engine.as_ref().map(|engine| pop(engine, "k")));
            }
        })
        .build()
        .unwrap();
    engine.set("k", "text").unwrap();
    engine.list::<u32>("l").push_back(1).unwrap();
    engine.remove("k").unwrap();
    let mut first = pop(&engine, "k");
    engine.set("k", "text").unwrap();
    newcomers.lock().0 = Some(engine.clone());
    engine.rename("l", "k").unwrap();
    let (handle, mut waiters) = std::mem::take(&mut *newcomers.lock());
    drop(handle);
    assert_eq!(got(&mut first), Some(1));
    assert!(!waiters.is_empty() && waiters.iter_mut().all(|waiter| waiter.poll_result().is_none()));
    engine.validate();
}

#[test]
fn a_panic_of_a_listener_after_an_attempt_is_neither_the_waiters_nor_the_pushers() {
    let engine = Engine::builder().on_removal(|removal| assert!(removal.key != b"k")).build().unwrap();
    let mut waiter = pop(&engine, "k");
    assert_eq!(engine.list::<u32>("k").push_back(1), Ok(1));
    assert_eq!(waiter.poll_result(), Some(Ok(1)));
    engine.validate();
    assert_eq!(engine.list::<u32>("other").push_back(1), Ok(1));
}

#[test]
fn without_room_for_the_target_the_caller_hears_of_it_and_what_goes_back_finds_room() {
    let engine = Engine::builder().max_entries(2).policy(crate::Policy::NoEviction).build().unwrap();
    engine.set("a", "1").unwrap();
    let waiter = pop(&engine, "k");
    push(&engine, "k", 7);
    engine.set("b", "2").unwrap();
    drop(waiter);
    assert_eq!(engine.list::<u32>("k").range(0, -1).unwrap(), [7], "past the limit, but not lost");
    engine.remove("k").unwrap();
    engine.remove("b").unwrap();
    let mut waiter = engine.list::<u32>("k").move_async("target", End::Head, End::Head);
    push(&engine, "k", 8);
    assert!(matches!(waiter.poll_result(), Some(Err(OpError::OutOfMemory { .. }))));
    assert_eq!(engine.list::<u32>("k").len(), Ok(1));
}

#[test]
fn inside_a_transaction_nobody_waits_and_service_comes_after_the_whole_of_it() {
    let engine = engine();
    let (mut first, mut second) = (pop(&engine, "k"), pop(&engine, "l"));
    let kept = engine
        .transaction(["k", "l"], |tx| {
            let list = tx.list::<u32>("k");
            assert_eq!(list.pop_blocking(End::Head, None)?, None, "its time is over at once");
            list.extend_back([1, 2, 3])?;
            assert!(first.poll_result().is_none(), "not before the end");
            assert_eq!(
                list.pop_blocking(End::Head, None)?,
                Some(1),
                "what is there is there for the transaction"
            );
            drop(list.pop_async(End::Head));
            assert_eq!(list.range(0, -1)?, [2, 3], "it went back");
            assert!(matches!(tx.watch(&["k"]), Err(OpError::InsideTransaction)));
            tx.list::<u32>("l").push_back(9)?;
            Ok::<_, OpError>(list.pop_async(End::Head))
        })
        .unwrap();
    assert_eq!((got(&mut first), got(&mut second)), (Some(3), Some(9)));
    let mut third = pop(&engine, "k");
    drop(kept);
    assert_eq!(got(&mut third), Some(2), "it went back after the end, and on to who waits");
    let mut fourth = pop(&engine, "k");
    let refused = engine.transaction(["k"], |tx| {
        tx.list::<u32>("k").push_back(4)?;
        Err::<(), _>(OpError::Overflow)
    });
    assert_eq!(refused, Err(OpError::Overflow));
    assert!(fourth.poll_result().is_none(), "what was taken back never came");
    push(&engine, "k", 5);
    assert_eq!(got(&mut fourth), Some(5));
    engine.validate();
}
