//! Counts, order, gaps, ends, tasks; the model is in `model.rs`.

mod model;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use crate::{Engine, OpError, Received, SlowSubscriber, Subscriber, SubscriberOptions};

fn text(item: &Received) -> String {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    match item {
        Received::Message { channel, payload } => format!("{}={}", text(channel), text(payload)),
        Received::PatternMessage { pattern, channel, payload } => {
            format!("{}:{}={}", text(pattern), text(channel), text(payload))
        }
        Received::ShardMessage { channel, payload } => format!("shard {}={}", text(channel), text(payload)),
        Received::Lagged { missed } => format!("lagged {missed}"),
    }
}

fn waiting(subscriber: &Subscriber) -> Vec<String> {
    subscriber.try_iter().map(|item| text(&item)).collect()
}

fn publish_numbers(engine: &Engine, channel: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        engine.publish(channel, number.to_string()).unwrap();
    }
}

#[test]
fn every_matching_subscription_counts_and_receives() {
    let engine = Engine::new();
    assert_eq!(engine.publish("news", "nobody"), Ok(0));
    let (both, other) = (engine.subscriber(Default::default()), engine.subscriber(Default::default()));
    both.subscribe("news").unwrap();
    assert_eq!(both.psubscribe_many(["n*", "?ews", "x*"]), Ok(3));
    other.psubscribe("n*").unwrap();
    other.ssubscribe("news").unwrap();
    assert_eq!(engine.select(3).unwrap().publish("news", "1"), Ok(4));
    assert_eq!(engine.publish_shard("news", "2"), Ok(1));
    assert_eq!(engine.publish("none", "3"), Ok(2));
    assert_eq!(waiting(&both), ["news=1", "?ews:news=1", "n*:news=1", "n*:none=3"]);
    assert_eq!(waiting(&other), ["n*:news=1", "shard news=2", "n*:none=3"]);
    assert_eq!((engine.pattern_count(), engine.channel_subscribers("news")), (3, 1));
    assert_eq!((both.subscription_count(), both.shard_subscription_count()), (4, 0));
    assert_eq!((other.subscription_count(), other.shard_subscription_count()), (1, 1));
    engine.validate();
}

#[test]
fn what_is_unsubscribed_comes_no_more_and_what_waits_stays() {
    let engine = Engine::new();
    let subscriber = engine.subscriber(Default::default());
    subscriber.subscribe_many(["b", "a", "c"]).unwrap();
    engine.publish("a", "1").unwrap();
    assert!(subscriber.unsubscribe("a") && !subscriber.unsubscribe("a") && !subscriber.unsubscribe("none"));
    assert_eq!(engine.publish("a", "2"), Ok(0));
    assert_eq!(engine.channels(None), ["b", "c"]);
    assert_eq!(engine.channels(Some(b"[a-b]")), ["b"]);
    assert_eq!(subscriber.unsubscribe_all(), ["b", "c"]);
    assert_eq!(subscriber.unsubscribe_all(), [""; 0]);
    assert_eq!(waiting(&subscriber), ["a=1"]);
    assert_eq!(engine.channels(None), [""; 0]);
    engine.validate();
}

#[test]
fn a_subscriber_that_is_dropped_is_gone() {
    let engine = Engine::new();
    let (first, second) = (engine.subscriber(Default::default()), engine.subscriber(Default::default()));
    for subscriber in [&first, &second] {
        subscriber.subscribe("a").unwrap();
        subscriber.psubscribe("a").unwrap();
        subscriber.ssubscribe("a").unwrap();
    }
    drop(first);
    assert_eq!((engine.publish("a", ""), engine.publish_shard("a", "")), (Ok(2), Ok(1)));
    drop(second);
    assert_eq!((engine.publish("a", ""), engine.publish_shard("a", "")), (Ok(0), Ok(0)));
    assert_eq!(
        (engine.pattern_count(), engine.channels(None).len(), engine.shard_channels(None).len()),
        (0, 0, 0)
    );
    engine.validate();
}

#[test]
fn all_receivers_share_one_copy() {
    let engine = Engine::new();
    let subscribers: Vec<_> = (0..3).map(|_| engine.subscriber(Default::default())).collect();
    for subscriber in &subscribers {
        subscriber.subscribe("a").unwrap();
        subscriber.psubscribe("*").unwrap();
    }
    let message = "some bytes of a message".to_owned();
    assert_eq!(engine.publish("a", &message), Ok(6));
    let mut places: Vec<_> = subscribers
        .iter()
        .flat_map(Subscriber::try_iter)
        .map(|item| item.payload().unwrap().as_ptr().addr())
        .collect();
    assert_eq!(places.len(), 6);
    places.dedup();
    assert_eq!(places.len(), 1);
    assert_ne!(places[0], message.as_ptr().addr());
}

#[test]
fn the_oldest_make_room_and_the_gap_comes_first() {
    let engine = Engine::new();
    let subscriber = engine.subscriber(SubscriberOptions::new().capacity(3));
    subscriber.subscribe("c").unwrap();
    publish_numbers(&engine, "c", 0..5);
    assert_eq!((subscriber.len(), subscriber.missed()), (4, 2));
    assert_eq!(subscriber.try_recv(), Some(Received::Lagged { missed: 2 }));
    publish_numbers(&engine, "c", 5..6);
    assert_eq!(waiting(&subscriber), ["lagged 1", "c=3", "c=4", "c=5"]);
    assert_eq!(subscriber.missed(), 3);
    engine.validate();
}

#[test]
fn the_newest_are_not_kept_and_the_gap_stays_in_its_place() {
    let engine = Engine::new();
    let options = SubscriberOptions::new().capacity(2).when_full(SlowSubscriber::DropNewest);
    let subscriber = engine.subscriber(options);
    subscriber.subscribe("c").unwrap();
    publish_numbers(&engine, "c", 0..4);
    assert_eq!(subscriber.try_recv().as_ref().map(text).unwrap(), "c=0");
    publish_numbers(&engine, "c", 4..7);
    assert_eq!(waiting(&subscriber), ["c=1", "lagged 2", "c=4", "lagged 2"]);
    engine.validate();
}

#[test]
fn one_that_is_disconnected_says_so_at_its_end() {
    let engine = Engine::new();
    let options = SubscriberOptions::new().capacity(1).when_full(SlowSubscriber::Disconnect);
    let subscriber = engine.subscriber(options);
    subscriber.subscribe_many(["c", "d"]).unwrap();
    subscriber.psubscribe("c*").unwrap();
    // The pattern is one message too many: it still counts, as a client counts whose buffer overflows.
    assert_eq!(engine.publish("c", "0"), Ok(2));
    assert!(subscriber.is_closed());
    assert_eq!(
        (engine.publish("c", "1"), engine.channels(None).len(), engine.pattern_count()),
        (Ok(0), 0, 0)
    );
    assert_eq!(subscriber.subscribe("c"), Err(OpError::Disconnected));
    assert_eq!(subscriber.iter().map(|item| text(&item)).collect::<Vec<_>>(), ["c=0", "lagged 1"]);
    assert_eq!(subscriber.recv_timeout(Duration::MAX), None);
    assert!(subscriber.wait_timeout(Duration::MAX));
    engine.validate();
}

#[test]
fn bytes_are_a_limit_too() {
    let engine = Engine::new();
    let subscriber = engine.subscriber(SubscriberOptions::new().capacity_bytes(10));
    subscriber.subscribe("c").unwrap();
    engine.publish("c", "1234").unwrap();
    engine.publish("c", "5678").unwrap();
    engine.publish("c", "0123456789").unwrap();
    assert_eq!(subscriber.len(), 3, "one that never fits drives nobody out");
    engine.publish("c", "x").unwrap();
    assert_eq!(waiting(&subscriber), ["lagged 1", "c=5678", "lagged 1", "c=x"]);
    engine.validate();
}

#[test]
fn a_subscriber_ends_with_its_engine() {
    let engine = Engine::new();
    let subscriber = engine.subscriber(Default::default());
    subscriber.subscribe("c").unwrap();
    engine.publish("c", "1").unwrap();
    let other = engine.clone();
    drop(engine);
    assert!(!subscriber.is_closed());
    let ended = std::thread::scope(|scope| {
        let reader = scope.spawn(|| (&subscriber).into_iter().map(|item| text(&item)).collect::<Vec<_>>());
        other.publish("c", "2").unwrap();
        drop(other);
        reader.join().unwrap()
    });
    assert_eq!(ended, ["c=1", "c=2"]);
    assert_eq!(subscriber.subscribe("d"), Err(OpError::Disconnected));
}

#[test]
fn closures_under_a_lock_neither_publish_nor_wait() {
    let engine = Engine::new();
    engine.set("k", "v").unwrap();
    let subscriber = engine.subscriber(Default::default());
    let acts: [&dyn Fn(); 4] = [
        &|| drop(engine.publish("c", "")),
        &|| drop(engine.publish_shard("c", "")),
        &|| drop(subscriber.subscribe("c")),
        &|| drop(subscriber.recv_timeout(Duration::ZERO)),
    ];
    for act in acts {
        let inside = std::panic::AssertUnwindSafe(|| engine.get_with("k", |_| act()));
        assert!(std::panic::catch_unwind(inside).is_err());
    }
    assert_eq!(engine.publish("c", ""), Ok(0));
}

#[test]
fn subscriptions_change_inside_a_transaction_and_stay() {
    let engine = Engine::new();
    let subscriber = engine.subscriber(Default::default());
    let refused = engine.exclusive(|tx| {
        assert_eq!((subscriber.subscribe("c"), subscriber.psubscribe("x*")), (Ok(true), Ok(true)));
        assert!(subscriber.punsubscribe("x*"));
        assert_eq!((tx.publish("c", "1"), tx.publish("x", "1")), (Ok(1), Ok(0)));
        Err::<(), _>(OpError::NoSuchKey)
    });
    assert_eq!((refused, engine.publish("c", "2")), (Err(OpError::NoSuchKey), Ok(1)));
    assert_eq!(subscriber.try_iter().count(), 1);
}

#[test]
fn names_that_are_too_long_are_refused() {
    let engine = Engine::new();
    let long = vec![b'x'; crate::LENGTH_BYTES_MAX + 1];
    let subscriber = engine.subscriber(Default::default());
    assert!(matches!(subscriber.subscribe(&long), Err(OpError::KeyTooLong { .. })));
    assert!(matches!(engine.publish(&long, ""), Err(OpError::KeyTooLong { .. })));
    assert!(matches!(engine.publish("c", &long), Err(OpError::ValueTooLong { .. })));
}

// ---- tasks

/// Counts how often it was woken, and does something at each time.
struct Alarm<F: Fn() + Send + Sync> {
    rung: AtomicUsize,
    act: F,
}

impl<F: Fn() + Send + Sync + 'static> Wake for Alarm<F> {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        (self.act)();
    }
}

fn alarm<F: Fn() + Send + Sync + 'static>(act: F) -> (Arc<Alarm<F>>, Waker) {
    let alarm = Arc::new(Alarm { rung: AtomicUsize::new(0), act });
    (Arc::clone(&alarm), Waker::from(alarm))
}

#[test]
fn a_task_is_woken_once_for_what_it_waits_for() {
    let engine = Engine::new();
    let subscriber = engine.subscriber(Default::default());
    subscriber.subscribe("c").unwrap();
    let (alarm, waker) = alarm(|| {});
    let mut context = Context::from_waker(&waker);
    let mut receive = pin!(subscriber.recv_async());
    assert!(receive.as_mut().poll(&mut context).is_pending());
    engine.publish("other", "").unwrap();
    assert_eq!(alarm.rung.load(Ordering::SeqCst), 0);
    publish_numbers(&engine, "c", 0..3);
    assert_eq!(alarm.rung.load(Ordering::SeqCst), 1, "later messages find nobody asleep");
    let Poll::Ready(Some(item)) = receive.as_mut().poll(&mut context) else { panic!("a message is there") };
    assert_eq!(text(&item), "c=0");
    assert_eq!(waiting(&subscriber), ["c=1", "c=2"]);
}

#[test]
fn a_dropped_future_loses_nothing() {
    let engine = Engine::new();
    let subscriber = engine.subscriber(Default::default());
    subscriber.subscribe("c").unwrap();
    let mut context = Context::from_waker(Waker::noop());
    for round in 0..3 {
        let mut receive = Box::pin(subscriber.recv_async());
        assert!(receive.as_mut().poll(&mut context).is_pending());
        engine.publish("c", round.to_string()).unwrap();
        drop(receive);
        assert_eq!(waiting(&subscriber), [format!("c={round}")]);
    }
}

#[test]
fn the_stream_goes_on_to_the_end() {
    let engine = Engine::new();
    let mut subscriber = engine.subscriber(Default::default());
    subscriber.subscribe("c").unwrap();
    let (alarm, waker) = alarm(|| {});
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut subscriber).poll_next(&mut context).is_pending());
    publish_numbers(&engine, "c", 0..2);
    assert_eq!(alarm.rung.load(Ordering::SeqCst), 1);
    for number in 0..2 {
        let Poll::Ready(Some(item)) = Pin::new(&mut subscriber).poll_next(&mut context) else { panic!() };
        assert_eq!(text(&item), format!("c={number}"));
    }
    assert!(Pin::new(&mut subscriber).poll_next(&mut context).is_pending());
    drop(engine);
    assert_eq!(alarm.rung.load(Ordering::SeqCst), 2);
    assert_eq!(Pin::new(&mut subscriber).poll_next(&mut context), Poll::Ready(None));
}

#[test]
fn readiness_takes_nothing() {
    let engine = Engine::new();
    let subscriber = engine.subscriber(Default::default());
    subscriber.subscribe("c").unwrap();
    let (alarm, waker) = alarm(|| {});
    let mut context = Context::from_waker(&waker);
    let mut ready = pin!(subscriber.ready());
    assert!(ready.as_mut().poll(&mut context).is_pending());
    assert!(!subscriber.wait_timeout(Duration::from_millis(1)));
    publish_numbers(&engine, "c", 0..1);
    assert_eq!(alarm.rung.load(Ordering::SeqCst), 1);
    assert!(ready.as_mut().poll(&mut context).is_ready());
    assert!(subscriber.wait_timeout(Duration::ZERO));
    assert_eq!(waiting(&subscriber), ["c=0"]);
}

/// An executor may do whatever it likes in a waker: publish, subscribe, unsubscribe.
#[test]
fn wakers_run_outside_of_every_lock() {
    let engine = Engine::new();
    let (first, second) = (engine.subscriber(Default::default()), engine.subscriber(Default::default()));
    first.subscribe("c").unwrap();
    first.psubscribe("*").unwrap();
    second.subscribe("c").unwrap();
    let (alarm, waker) = alarm({
        let (engine, once) = (engine.clone(), AtomicBool::new(false));
        move || {
            if !once.swap(true, Ordering::SeqCst) {
                let third = engine.subscriber(Default::default());
                third.subscribe("c").unwrap();
                third.psubscribe("c*").unwrap();
                assert_eq!(engine.publish("c", "2"), Ok(5));
            }
        }
    });
    let mut context = Context::from_waker(&waker);
    let (mut one, mut two) = (pin!(first.recv_async()), pin!(second.recv_async()));
    assert!(one.as_mut().poll(&mut context).is_pending() && two.as_mut().poll(&mut context).is_pending());
    assert_eq!(engine.publish("c", "1"), Ok(3));
    assert_eq!(alarm.rung.load(Ordering::SeqCst), 2);
    assert_eq!(waiting(&first), ["c=1", "*:c=1", "c=2", "*:c=2"]);
    assert_eq!(waiting(&second), ["c=1", "c=2"]);
}

// ---- threads

const PUBLISHERS: usize = 3;
const MESSAGES: usize = 3_000;
const CHANNELS: [&str; 2] = ["a", "b"];

fn unbounded() -> SubscriberOptions {
    SubscriberOptions::new().capacity(usize::MAX).capacity_bytes(usize::MAX)
}

/// What was received, by channel: (publisher, number).
type Seen = BTreeMap<Bytes, Vec<(usize, usize)>>;

fn seen(items: impl IntoIterator<Item = Received>) -> Seen {
    let mut seen = Seen::new();
    for item in items {
        let payload = std::str::from_utf8(item.payload().unwrap()).unwrap().to_owned();
        let (publisher, number) = payload.split_once(' ').unwrap();
        let entry = seen.entry(item.channel().unwrap().clone()).or_default();
        entry.push((publisher.parse().unwrap(), number.parse().unwrap()));
    }
    seen
}

/// Publishers in several threads, subscribers coming and going: every count is right, nothing comes twice, and all see
/// one order a channel.
#[test]
fn many_threads_agree_on_counts_and_order() {
    let engine = Engine::new();
    let (by_channel, by_pattern) = (engine.subscriber(unbounded()), engine.subscriber(unbounded()));
    by_channel.subscribe_many(CHANNELS).unwrap();
    by_pattern.psubscribe("?").unwrap();
    let (done, visits) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let counted: usize = std::thread::scope(|scope| {
        for guest in 0..2 {
            let (engine, done, visits) = (&engine, &done, &visits);
            scope.spawn(move || {
                let mut round = guest;
                while done.load(Ordering::SeqCst) < PUBLISHERS {
                    let subscriber = engine.subscriber(unbounded());
                    let channel = CHANNELS[round / 2 % 2];
                    let by_name = round % 3 == 0;
                    if by_name { subscriber.subscribe(channel) } else { subscriber.psubscribe(channel) }
                        .unwrap();
                    let mut got: Vec<_> =
                        (0..20).map_while(|_| subscriber.recv_timeout(Duration::from_millis(5))).collect();
                    assert!(if by_name {
                        subscriber.unsubscribe(channel)
                    } else {
                        subscriber.punsubscribe(channel)
                    });
                    got.extend(subscriber.try_iter());
                    assert!(subscriber.is_empty());
                    visits.lock().unwrap().push(seen(got));
                    round += 1;
                }
            });
        }
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let (engine, done) = (&engine, &done);
                scope.spawn(move || {
                    let publish = |number| {
                        let channel = CHANNELS[(publisher + number / 7) % 2];
                        engine.publish(channel, format!("{publisher} {number}")).unwrap()
                    };
                    let counted: usize = (0..MESSAGES).map(publish).sum();
                    done.fetch_add(1, Ordering::SeqCst);
                    counted
                })
            })
            .collect();
        publishers.into_iter().map(|publisher| publisher.join().unwrap()).sum()
    });
    engine.validate();
    let (all, matched) = (seen(by_channel.try_iter()), seen(by_pattern.try_iter()));
    assert_eq!(all, matched, "those who stay see the same in the same order");
    let received = |seen: &Seen| seen.values().map(Vec::len).sum::<usize>();
    assert_eq!(received(&all), PUBLISHERS * MESSAGES);
    for channel in all.values() {
        for publisher in 0..PUBLISHERS {
            let own: Vec<_> =
                channel.iter().filter(|(by, _)| *by == publisher).map(|(_, number)| number).collect();
            assert!(own.is_sorted_by(|a, b| a < b), "a publisher's messages are in order");
        }
    }
    let visits = visits.into_inner().unwrap();
    for (channel, part) in visits.iter().flatten() {
        let whole = &all[channel];
        let from = whole.iter().position(|message| message == &part[0]).unwrap();
        assert_eq!(&whole[from..from + part.len()], part, "a guest sees a stretch of the same order");
    }
    let guests: usize = visits.iter().map(received).sum();
    assert_eq!(counted, received(&all) + received(&matched) + guests, "every count is exact");
    assert!(!visits.is_empty());
}

#[test]
fn several_threads_share_a_subscriber_and_nothing_is_received_twice() {
    let engine = Engine::new();
    let subscriber = engine.subscriber(unbounded());
    subscriber.subscribe("c").unwrap();
    let mut got: Vec<usize> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    subscriber
                        .iter()
                        .map(|item| std::str::from_utf8(item.payload().unwrap()).unwrap().parse().unwrap())
                        .collect::<Vec<usize>>()
                })
            })
            .collect();
        publish_numbers(&engine, "c", 0..1_000);
        drop(engine);
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    });
    got.sort_unstable();
    assert_eq!(got, (0..1_000).collect::<Vec<_>>());
}
