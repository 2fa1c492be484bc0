//! Single flight between tasks, polled by hand, and between tasks and threads.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::{Engine, LoadError};

/// Notes whether it was woken, and wakes the thread that waits.
struct Alarm {
    woken: AtomicBool,
    thread: std::thread::Thread,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn alarm() -> Arc<Alarm> {
    Arc::new(Alarm { woken: AtomicBool::new(false), thread: std::thread::current() })
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let alarm = alarm();
    let waker = Waker::from(Arc::clone(&alarm));
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        while !alarm.woken.swap(false, Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>, alarm: &Arc<Alarm>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(alarm));
    future.poll(&mut Context::from_waker(&waker))
}

/// Pending until the flag is up.
async fn until(flag: &Cell<bool>) {
    poll_fn(|_| if flag.get() { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[test]
fn a_task_loads_and_the_next_one_hits() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    let load = || async { Ok::<_, ()>(1) };
    assert_eq!(*block_on(numbers.get_or_insert_with_async("k", load)).unwrap(), 1);
    let never = || async { Err::<u64, _>(()) };
    assert_eq!(*block_on(numbers.get_or_insert_with_async("k", never)).unwrap(), 1);
    assert!(matches!(block_on(numbers.get_or_insert_with_async("l", never)), Err(LoadError::Loader(_))));
    assert_eq!((engine.stats().loads, engine.stats().load_failures), (1, 1));
}

#[test]
fn tasks_of_one_thread_share_a_load() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    let ready = Cell::new(false);
    let loads = Cell::new(0);
    let (first_alarm, second_alarm) = (alarm(), alarm());
    let load = || async {
        loads.set(loads.get() + 1);
        until(&ready).await;
        Ok::<_, ()>(9)
    };
    let mut first = pin!(numbers.get_or_insert_with_async("k", load));
    let mut second = pin!(numbers.get_or_insert_with_async("k", load));
    assert!(poll(first.as_mut(), &first_alarm).is_pending());
    assert!(poll(second.as_mut(), &second_alarm).is_pending(), "it waits, and is not taken for a recursion");
    ready.set(true);
    let Poll::Ready(value) = poll(first.as_mut(), &first_alarm) else { panic!("the loader is done") };
    assert_eq!(*value.unwrap(), 9);
    assert!(second_alarm.woken.load(Ordering::SeqCst), "the waiter was woken");
    let Poll::Ready(value) = poll(second.as_mut(), &second_alarm) else { panic!("the flight has landed") };
    assert_eq!((*value.unwrap(), loads.get()), (9, 1));
}

#[test]
fn a_cancelled_leader_hands_over_to_a_task() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    let never = Cell::new(false);
    let waiting = alarm();
    let mut leader = Box::pin(numbers.get_or_insert_with_async("k", || async {
        until(&never).await;
        Ok::<_, ()>(1)
    }));
    let mut waiter = pin!(numbers.get_or_insert_with_async("k", || async { Ok::<_, ()>(2) }));
    assert!(poll(leader.as_mut(), &alarm()).is_pending());
    assert!(poll(waiter.as_mut(), &waiting).is_pending());
    drop(leader);
    assert!(waiting.woken.load(Ordering::SeqCst));
    let Poll::Ready(value) = poll(waiter.as_mut(), &waiting) else { panic!("it leads now") };
    assert_eq!(*value.unwrap(), 2);
    assert_eq!(engine.stats().load_failures, 1);
}

#[test]
fn a_cancelled_leader_hands_over_to_a_thread() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    let mut leader = Box::pin(numbers.get_or_insert_with_async("k", std::future::pending::<Result<u64, ()>>));
    assert!(poll(leader.as_mut(), &alarm()).is_pending());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| *numbers.get_or_insert_with("k", || Ok::<_, ()>(3)).unwrap());
        while engine.stats().load_waits == 0 {
            std::thread::yield_now();
        }
        drop(leader);
        assert_eq!(waiter.join().unwrap(), 3);
    });
    assert_eq!(engine.get("k").unwrap().unwrap(), "3");
}

#[test]
fn a_task_waits_for_a_thread() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    let (begun, wait_begun) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let loaded = numbers.get_or_insert_with("k", || {
                begun.send(()).unwrap();
                while engine.stats().load_waits == 0 {
                    std::thread::yield_now();
                }
                Ok::<_, ()>(4)
            });
            assert_eq!(*loaded.unwrap(), 4);
        });
        wait_begun.recv().unwrap();
        let value = block_on(numbers.get_or_insert_with_async("k", || async { Err(()) }));
        assert_eq!(*value.unwrap(), 4);
    });
}

#[test]
fn a_task_that_asks_for_its_own_key_is_told() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    let value = block_on(numbers.get_or_insert_with_async("k", || async {
        let inner = pin!(numbers.get_or_insert_with_async("k", || async { Ok::<_, ()>(1) }));
        assert!(matches!(inner.await, Err(LoadError::Recursive)));
        assert!(matches!(numbers.get_or_insert_with("k", || Ok::<_, ()>(1)), Err(LoadError::Recursive)));
        Ok::<_, ()>(2)
    }));
    assert_eq!(*value.unwrap(), 2);
}

#[test]
fn a_panicking_task_leaves_nothing_stuck() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(block_on(numbers.get_or_insert_with_async("k", || async {
            if engine.len().is_ok() {
                panic!("the task's");
            }
            Ok::<_, ()>(1)
        })));
    }));
    assert!(failed.is_err());
    assert_eq!(*block_on(numbers.get_or_insert_with_async("k", || async { Ok::<_, ()>(2) })).unwrap(), 2);
}
