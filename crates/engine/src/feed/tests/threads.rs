//! Writers, readers and handlers on several threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use super::*;

const WRITERS: u64 = 4;
const WRITES: u64 = 400;

/// Every writer counts its own key up, and one that all share.
fn write(engine: &Engine, writer: u64) {
    for n in 0..WRITES {
        engine.set(format!("own:{writer}"), n.to_string()).unwrap();
        engine.incr("shared").unwrap();
    }
}

/// Reads to the end: numbers rise without gaps but those that are told, each key's values come in their order.
fn follow(mut changes: Changes, follower: Option<&Engine>) -> (u64, u64) {
    let (mut heard, mut missed) = (0, 0);
    let mut shared = 0;
    while let Some(delivery) = changes.recv() {
        match delivery {
            Delivery::Change(change) => {
                heard += 1;
                assert_eq!(change.sequence, heard + missed);
                if *change.key == *b"shared" {
                    let Delta::SetString { value, .. } = change.delta() else {
                        panic!("a counter is a string")
                    };
                    let value: u64 = std::str::from_utf8(value).unwrap().parse().unwrap();
                    assert!(value > shared, "the order of a key is the order of its changes");
                    shared = value;
                }
                if let Some(follower) = follower {
                    follower.apply(&change.effect()).unwrap();
                }
                if heard % 64 == 0 && follower.is_none() {
                    std::thread::yield_now();
                }
            }
            Delivery::Lagged { missed: more } => missed += more,
        }
    }
    (heard, missed)
}

#[test]
fn many_writers_are_heard_in_one_order() {
    let (engine, follower) = (Engine::builder().seed(3).shards(4).build().unwrap(), Engine::new());
    let fast = engine.changes(ChangeFilter::new().capacity(1 << 20));
    let slow = engine.changes(ChangeFilter::new().capacity(8));
    let digest = std::thread::scope(|scope| {
        let slow = scope.spawn(|| follow(slow, None));
        let fast = scope.spawn(|| follow(fast, Some(&follower)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let engine = engine.clone();
                scope.spawn(move || write(&engine, writer))
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let digest = engine.state_digest().unwrap();
        // The last handle: the readers end.
        drop(engine);
        let total = WRITERS * WRITES * 2;
        assert_eq!(fast.join().unwrap(), (total, 0));
        let (heard, missed) = slow.join().unwrap();
        assert_eq!(heard + missed, total);
        digest
    });
    assert_eq!(digest, follower.state_digest().unwrap());
}

#[test]
fn those_who_come_and_go_disturb_nobody() {
    let engine = Engine::builder().seed(3).shards(4).build().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let comers = (0..2).map(|_| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let mut changes = engine.changes(ChangeFilter::new().capacity(16));
                    let mut last = None;
                    for _ in 0..20 {
                        match changes.recv_timeout(Duration::from_millis(2)) {
                            Some(Delivery::Change(change)) => {
                                assert!(last.is_none_or(|last| change.sequence == last + 1));
                                last = Some(change.sequence);
                            }
                            Some(Delivery::Lagged { missed }) => last = last.map(|last| last + missed),
                            None => {}
                        }
                    }
                    // With what still waits for it.
                    drop(changes);
                }
            })
        });
        let comers: Vec<_> = comers.collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn({
                    let engine = &engine;
                    move || write(engine, writer)
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
        comers.into_iter().for_each(|comer| comer.join().unwrap());
    });
    assert!(!engine.core.is_recording());
    engine.validate();
}

#[test]
fn a_batch_is_heard_whole_or_not_at_all() {
    let engine = Engine::builder().seed(3).shards(8).build().unwrap();
    let pairs: Vec<(String, &str)> = (0..16).map(|n| (format!("k{n}"), "v")).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                engine.set_many(&pairs).unwrap();
            }
        });
        for _ in 0..50 {
            let mut changes = engine.changes(ChangeFilter::new().capacity(1 << 12));
            let mut heard = Vec::new();
            while heard.len() < 64 {
                match changes.recv() {
                    Some(Delivery::Change(change)) => heard.push(change),
                    other => panic!("{other:?}"),
                }
            }
            for whole in heard.chunks(16) {
                assert!(whole.iter().all(|one| one.batch == whole[0].sequence), "{whole:?}");
            }
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
}

#[test]
fn writers_do_not_wait_for_a_handler() {
    let engine = Engine::new();
    let (entered, inside) = mpsc::channel();
    let (open, opened) = mpsc::channel::<()>();
    let heard = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&heard);
    let _guard = engine.on(ChangeFilter::new(), move |_, delivery| {
        let change = delivery.change().unwrap();
        assert_eq!(change.sequence, counted.fetch_add(1, Ordering::Relaxed) + 1);
        if *change.key == *b"wait" {
            entered.send(()).unwrap();
            opened.recv().unwrap();
        }
    });
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| engine.set("wait", "v").unwrap());
        inside.recv().unwrap();
        // The handler is under way on the other thread, and holds no lock.
        (0..10).for_each(|n| engine.set(format!("k{n}"), "v").unwrap());
        assert_eq!(heard.load(Ordering::Relaxed), 1);
        open.send(()).unwrap();
        waiting.join().unwrap();
    });
    assert_eq!(heard.load(Ordering::Relaxed), 11, "whoever ran it took what had come meanwhile");
}

#[test]
fn a_guard_may_be_dropped_while_its_handler_runs() {
    let engine = Engine::new();
    let (entered, inside) = mpsc::channel();
    let (open, opened) = mpsc::channel::<()>();
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let guard = engine.on(ChangeFilter::new(), move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        entered.send(()).unwrap();
        opened.recv().unwrap();
    });
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| engine.set("k", "v").unwrap());
        inside.recv().unwrap();
        engine.set("k", "w").unwrap();
        drop(guard);
        open.send(()).unwrap();
        waiting.join().unwrap();
    });
    engine.set("k", "x").unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(Arc::strong_count(&calls), 1);
}

#[test]
fn handlers_on_many_threads_miss_nothing() {
    let engine = Engine::builder().seed(3).shards(4).build().unwrap();
    let filter = || ChangeFilter::new().matching("own:*").capacity(1 << 20);
    let guards: Vec<_> = (0..3)
        .map(|number| {
            engine.on(filter(), move |engine, delivery| {
                assert!(delivery.change().is_some());
                engine.incr(format!("heard:{number}")).unwrap();
            })
        })
        .collect();
    std::thread::scope(|scope| {
        (0..WRITERS).for_each(|writer| {
            let engine = &engine;
            scope.spawn(move || write(engine, writer));
        });
    });
    for number in 0..3 {
        let heard = engine.get(format!("heard:{number}")).unwrap().unwrap();
        assert_eq!(heard, (WRITERS * WRITES).to_string().as_str());
    }
    drop(guards);
}
