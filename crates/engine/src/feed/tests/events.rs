//! Keyspace events.

use super::*;
use crate::{Received, Subscriber, SubscriberOptions};

/// A subscriber of all that is published.
fn listening(engine: &Engine) -> Subscriber {
    let subscriber = engine.subscriber(SubscriberOptions::default());
    subscriber.psubscribe("__key*").unwrap();
    subscriber
}

/// What was published since: channel and message.
fn told(subscriber: &Subscriber) -> Vec<String> {
    let text = |one: Received| {
        let (channel, payload) = (one.channel()?.escape_ascii().to_string(), one.payload()?);
        Some(format!("{channel} {}", payload.escape_ascii()))
    };
    subscriber.try_iter().filter_map(text).collect()
}

#[test]
fn both_channels_are_told_in_order() {
    let engine = Engine::new();
    let out = listening(&engine);
    engine.set("unheard", "v").unwrap();
    engine.set_keyspace_events("KE$l").unwrap();
    engine.set("k", "v").unwrap();
    engine.list::<String>("l").push_back("x").unwrap();
    engine.remove("k").unwrap();
    engine.set_keyspace_events("En").unwrap();
    engine.select(2).unwrap().set("n", "v").unwrap();
    engine.set_keyspace_events("").unwrap();
    engine.set("unheard", "w").unwrap();
    let expected = [
        "__keyspace@0__:k set",
        "__keyevent@0__:set k",
        "__keyspace@0__:l rpush",
        "__keyevent@0__:rpush l",
        "__keyevent@2__:new n",
    ];
    assert_eq!(told(&out), expected);
}

#[test]
fn expired_and_evicted_keys_are_told() {
    let clock = ManualClock::default();
    let engine = Engine::builder().clock(clock.clone()).max_entries(4).shards(1).seed(1).build().unwrap();
    let out = listening(&engine);
    engine.set_with("lazy", "v", SetOptions::new().ttl(Duration::from_secs(1))).unwrap();
    engine.set_with("due", "v", SetOptions::new().ttl(Duration::from_secs(1))).unwrap();
    engine.set_keyspace_events("Exe").unwrap();
    clock.advance(Duration::from_secs(2));
    // A write meets it on its way; maintenance meets the other.
    engine.append("lazy", "w").unwrap();
    engine.maintain(crate::Budget::default());
    assert_eq!(told(&out), ["__keyevent@0__:expired lazy", "__keyevent@0__:expired due"]);
    (0..8).for_each(|n| engine.set(format!("k{n}"), "v").unwrap());
    let told = told(&out);
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told.iter().all(|one| one.starts_with("__keyevent@0__:evicted ")), "{told:?}");
}
