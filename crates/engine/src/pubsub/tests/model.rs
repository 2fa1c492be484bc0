//! A naive broker: lists that are walked, and queues that keep every message with a mark on those that were missed.

use proptest::prelude::*;

use super::text;
use crate::{Engine, OpError, SlowSubscriber, Subscriber, SubscriberOptions};

const SUBSCRIBERS: usize = 3;
/// Channels and patterns alike.
const NAMES: [&str; 7] = ["a", "b", "ab", "", "*", "a*", "[ab]"];

#[derive(Debug, Clone, Copy)]
enum Op {
    Subscribe(usize, usize, usize),
    Unsubscribe(usize, usize, usize),
    UnsubscribeAll(usize, usize),
    Publish(usize, usize),
    PublishShard(usize, usize),
    Receive(usize),
    /// Another comes in its place.
    Replace(usize, SubscriberOptions),
}

fn op() -> impl Strategy<Value = Op> {
    let (who, kind, name) = (0..SUBSCRIBERS, 0..3usize, 0..NAMES.len());
    let policies = vec![SlowSubscriber::DropOldest, SlowSubscriber::DropNewest, SlowSubscriber::Disconnect];
    let options =
        (1..5usize, 0..16usize, prop::sample::select(policies)).prop_map(|(count, bytes, policy)| {
            SubscriberOptions::new().capacity(count).capacity_bytes(bytes).when_full(policy)
        });
    prop_oneof![
        5 => (who.clone(), kind.clone(), name.clone()).prop_map(|(who, kind, name)| Op::Subscribe(who, kind, name)),
        2 => (who.clone(), kind.clone(), name.clone()).prop_map(|(who, kind, name)| Op::Unsubscribe(who, kind, name)),
        1 => (who.clone(), kind).prop_map(|(who, kind)| Op::UnsubscribeAll(who, kind)),
        6 => (name.clone(), 0..6usize).prop_map(|(name, bytes)| Op::Publish(name, bytes)),
        3 => (name, 0..6usize).prop_map(|(name, bytes)| Op::PublishShard(name, bytes)),
        4 => who.clone().prop_map(Op::Receive),
        1 => (who, options).prop_map(|(who, options)| Op::Replace(who, options)),
    ]
}

#[derive(Debug, Clone)]
struct Entry {
    shown: String,
    bytes: usize,
    missed: bool,
}

#[derive(Debug, Default)]
struct Model {
    options: SubscriberOptions,
    names: [Vec<&'static str>; 3],
    queue: Vec<Entry>,
    closed: bool,
}

impl Model {
    fn new(options: SubscriberOptions) -> Self {
        Self { options, ..Self::default() }
    }

    fn overfull(&self) -> bool {
        let kept = || self.queue.iter().filter(|entry| !entry.missed);
        kept().count() > self.options.capacity
            || kept().map(|entry| entry.bytes).sum::<usize>() > self.options.capacity_bytes
    }

    fn put(&mut self, shown: String, bytes: usize) -> usize {
        if self.closed {
            return 0;
        }
        self.queue.push(Entry { shown, bytes, missed: false });
        while self.overfull() {
            let oldest =
                self.options.when_full == SlowSubscriber::DropOldest && bytes <= self.options.capacity_bytes;
            let victim = if oldest {
                self.queue.iter_mut().find(|entry| !entry.missed)
            } else {
                self.queue.last_mut()
            };
            victim.unwrap().missed = true;
            self.closed = self.options.when_full == SlowSubscriber::Disconnect;
        }
        1
    }

    /// How many subscriptions a message reaches.
    fn publish(&mut self, kind: usize, channel: &str, payload: &str) -> usize {
        let mut reached = 0;
        let prefix = if kind == 2 { "shard " } else { "" };
        if self.names[kind].contains(&channel) {
            reached += self.put(format!("{prefix}{channel}={payload}"), channel.len() + payload.len());
        }
        if kind == 0 {
            let mut patterns = self.names[1].clone();
            patterns.sort_unstable();
            patterns.retain(|pattern| crate::glob_matches(pattern.as_bytes(), channel.as_bytes()));
            for pattern in patterns {
                let bytes = pattern.len() + channel.len() + payload.len();
                reached += self.put(format!("{pattern}:{channel}={payload}"), bytes);
            }
        }
        if self.closed {
            self.names = Default::default();
        }
        reached
    }

    fn receive(&mut self) -> Option<String> {
        let missed = self.queue.iter().take_while(|entry| entry.missed).count();
        let count = missed.max(1).min(self.queue.len());
        let gone: Vec<Entry> = self.queue.drain(..count).collect();
        if missed > 0 {
            Some(format!("lagged {missed}"))
        } else {
            gone.first().map(|entry| entry.shown.clone())
        }
    }

    fn unsubscribe(&mut self, kind: usize, name: &str) -> bool {
        let was = self.names[kind].len();
        self.names[kind].retain(|known| *known != name);
        self.names[kind].len() < was
    }
}

/// An operation on both sides; panics where they differ.
fn step(engine: &Engine, pairs: &mut [(Subscriber, Model)], op: Op) {
    match op {
        Op::Subscribe(who, kind, name) => {
            let (subscriber, model) = &mut pairs[who];
            let name = NAMES[name];
            let new = match kind {
                0 => subscriber.subscribe(name),
                1 => subscriber.psubscribe(name),
                _ => subscriber.ssubscribe(name),
            };
            if model.closed {
                assert_eq!(new, Err(OpError::Disconnected));
                return;
            }
            let known = model.names[kind].contains(&name);
            assert_eq!(new, Ok(!known));
            if !known {
                model.names[kind].push(name);
            }
        }
        Op::Unsubscribe(who, kind, name) => {
            let (subscriber, model) = &mut pairs[who];
            let name = NAMES[name];
            let was = match kind {
                0 => subscriber.unsubscribe(name),
                1 => subscriber.punsubscribe(name),
                _ => subscriber.sunsubscribe(name),
            };
            assert_eq!(was, model.unsubscribe(kind, name));
        }
        Op::UnsubscribeAll(who, kind) => {
            let (subscriber, model) = &mut pairs[who];
            let names = match kind {
                0 => subscriber.unsubscribe_all(),
                1 => subscriber.punsubscribe_all(),
                _ => subscriber.sunsubscribe_all(),
            };
            assert_eq!(names, std::mem::take(&mut model.names[kind]));
        }
        Op::Publish(name, bytes) => {
            let payload = "x".repeat(bytes);
            let reached: usize =
                pairs.iter_mut().map(|(_, model)| model.publish(0, NAMES[name], &payload)).sum();
            assert_eq!(engine.publish(NAMES[name], &payload), Ok(reached));
        }
        Op::PublishShard(name, bytes) => {
            let payload = "x".repeat(bytes);
            let reached: usize =
                pairs.iter_mut().map(|(_, model)| model.publish(2, NAMES[name], &payload)).sum();
            assert_eq!(engine.publish_shard(NAMES[name], &payload), Ok(reached));
        }
        Op::Receive(who) => {
            let (subscriber, model) = &mut pairs[who];
            assert_eq!(subscriber.try_recv().as_ref().map(text), model.receive());
        }
        Op::Replace(who, options) => pairs[who] = (engine.subscriber(options), Model::new(options)),
    }
}

/// What can be asked is what the lists say.
fn same_counts(engine: &Engine, pairs: &[(Subscriber, Model)]) {
    for (subscriber, model) in pairs {
        assert_eq!([subscriber.channels(), subscriber.patterns(), subscriber.shard_channels()], model.names);
        assert_eq!(subscriber.subscription_count(), model.names[0].len() + model.names[1].len());
        assert_eq!(subscriber.shard_subscription_count(), model.names[2].len());
        assert_eq!(subscriber.is_closed(), model.closed);
    }
    let count =
        |kind: usize, name| pairs.iter().filter(|(_, model)| model.names[kind].contains(&name)).count();
    let known = |kind: usize| {
        let mut names: Vec<_> = NAMES.into_iter().filter(|name| count(kind, *name) > 0).collect();
        names.sort_unstable();
        names
    };
    assert_eq!((engine.channels(None), engine.shard_channels(None)), (vec_of(&known(0)), vec_of(&known(2))));
    assert_eq!(engine.pattern_count(), known(1).len());
    for name in NAMES {
        assert_eq!(engine.channel_subscribers(name), count(0, name));
        assert_eq!(engine.shard_channel_subscribers(name), count(2, name));
        let matching: Vec<_> = known(0)
            .into_iter()
            .filter(|known| crate::glob_matches(name.as_bytes(), known.as_bytes()))
            .collect();
        assert_eq!(engine.channels(Some(name.as_bytes())), vec_of(&matching));
    }
}

fn vec_of(names: &[&str]) -> Vec<bytes::Bytes> {
    names.iter().map(|name| bytes::Bytes::copy_from_slice(name.as_bytes())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_broker_does_what_lists_would_do(ops in prop::collection::vec(op(), 1..80)) {
        let engine = Engine::builder().seed(7).build().unwrap();
        let options = SubscriberOptions::new();
        let mut pairs: Vec<_> =
            (0..SUBSCRIBERS).map(|_| (engine.subscriber(options), Model::new(options))).collect();
        for op in ops {
            step(&engine, &mut pairs, op);
            same_counts(&engine, &pairs);
            engine.validate();
        }
        for (subscriber, mut model) in pairs {
            while let Some(shown) = model.receive() {
                assert_eq!(subscriber.try_recv().as_ref().map(text), Some(shown));
            }
            assert!(subscriber.is_empty());
        }
        engine.validate();
        assert_eq!(engine.channels(None).len() + engine.shard_channels(None).len() + engine.pattern_count(), 0);
    }
}
