//! A subscriber's queue, and the list of what it is subscribed to.
//!
//! ```text
//! items:  Lagged{2}  message  message  Lagged{5}  message        never two `Lagged` side by side
//!         ^ the oldest made room       ^ the newest were not kept
//! ```
//! Invariants: M1: `messages` and `bytes` are those of the messages in `items`, and within the limits. M2: `missed` is the sum of all
//! `Lagged` ever put. M3: whoever listens does so from a moment at which the queue was empty and open, and `asleep` says so
//! until a message comes; the publisher that takes `asleep` back wakes all listeners.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{Received, SlowSubscriber, SubscriberOptions};
use crate::sync::{Event, EventListener, Mutex};

/// A queue that was longer than this gives its memory back when it is empty.
const KEPT_ITEMS: usize = 1_024;

/// What can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Channel,
    Pattern,
    Shard,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Channel, Self::Pattern, Self::Shard];
}

/// What a message that was put calls for, once the locks are released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Nothing,
    Wake,
    /// It was one too many: detach the subscriber, and wake it.
    Disconnect,
}

/// What there is to receive.
#[derive(Debug)]
pub(super) enum Next {
    Item(Received),
    /// Nothing, and nothing will come.
    End,
    /// Nothing yet.
    Wait(EventListener),
}

#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) id: u64,
    options: SubscriberOptions,
    queue: Mutex<Queue>,
    pub(super) subscriptions: Mutex<Subscriptions>,
    arrived: Event,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Received>,
    messages: usize,
    bytes: usize,
    missed: u64,
    closed: bool,
    asleep: bool,
}

impl Mailbox {
    pub(super) fn new(id: u64, options: SubscriberOptions) -> Self {
        Self {
            id,
            options,
            queue: Mutex::new(Queue::default()),
            subscriptions: Mutex::new(Subscriptions::default()),
            arrived: Event::new(),
        }
    }

    /// Puts a message; `None` if the mailbox is closed, which makes it no receiver.
    pub(super) fn put(&self, message: Received) -> Option<Put> {
        let queue = &mut *self.queue.lock();
        if queue.closed {
            return None;
        }
        let bytes = weight(&message);
        let wake = if std::mem::take(&mut queue.asleep) { Put::Wake } else { Put::Nothing };
        if self.fits(queue, bytes) {
            queue.push(message, bytes);
            return Some(wake);
        }
        match self.options.when_full {
            // One that never fits drives nobody out.
            SlowSubscriber::DropOldest if bytes <= self.options.capacity_bytes => {
                let mut missed = 0;
                while !self.fits(queue, bytes) && queue.pop_into(&mut missed) {}
                queue.missed_first(missed);
                queue.push(message, bytes);
            }
            SlowSubscriber::DropOldest | SlowSubscriber::DropNewest => queue.missed_last(),
            SlowSubscriber::Disconnect => {
                queue.missed_last();
                queue.closed = true;
                return Some(Put::Disconnect);
            }
        }
        Some(wake)
    }

    fn fits(&self, queue: &Queue, bytes: usize) -> bool {
        queue.messages < self.options.capacity
            && queue.bytes.saturating_add(bytes) <= self.options.capacity_bytes
    }

    pub(super) fn take(&self) -> Option<Received> {
        self.queue.lock().pop()
    }

    /// Takes an item, or says what to wait for.
    pub(super) fn next(&self) -> Next {
        let queue = &mut *self.queue.lock();
        match queue.pop() {
            Some(item) => Next::Item(item),
            None if queue.closed => Next::End,
            None => Next::Wait(self.listen(queue)),
        }
    }

    /// What to wait for until there is something to receive, or nothing ever; `None` if that is so already.
    pub(super) fn listen_for_more(&self) -> Option<EventListener> {
        let queue = &mut *self.queue.lock();
        if queue.items.is_empty() && !queue.closed { Some(self.listen(queue)) } else { None }
    }

    fn listen(&self, queue: &mut Queue) -> EventListener {
        queue.asleep = true;
        self.arrived.listen()
    }

    /// Wakes whoever waits. Runs wakers: call it outside of every lock.
    pub(super) fn wake(&self) {
        self.arrived.notify(usize::MAX);
    }

    /// Takes no more messages.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }

    pub(super) fn len(&self) -> usize {
        self.queue.lock().items.len()
    }

    pub(super) fn missed(&self) -> u64 {
        self.queue.lock().missed
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        let queue = &*self.queue.lock();
        let messages: Vec<usize> = queue.items.iter().filter(|item| !is_lagged(item)).map(weight).collect();
        assert_eq!(queue.messages, messages.len(), "M1: messages");
        assert_eq!(queue.bytes, messages.iter().sum::<usize>(), "M1: bytes");
        assert!(queue.messages <= self.options.capacity, "M1: the limit of messages");
        assert!(queue.bytes <= self.options.capacity_bytes, "M1: the limit of bytes");
        let twice =
            queue.items.iter().zip(queue.items.iter().skip(1)).any(|(a, b)| is_lagged(a) && is_lagged(b));
        assert!(!twice, "two gaps side by side are one");
    }
}

impl Queue {
    fn push(&mut self, message: Received, bytes: usize) {
        self.items.push_back(message);
        self.messages += 1;
        self.bytes += bytes;
    }

    fn pop(&mut self) -> Option<Received> {
        let item = self.items.pop_front()?;
        if !is_lagged(&item) {
            self.messages -= 1;
            self.bytes -= weight(&item);
        }
        if self.items.is_empty() && self.items.capacity() > KEPT_ITEMS {
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// Takes the oldest item out and counts what is missed by that; `false` if there is none.
    fn pop_into(&mut self, missed: &mut u64) -> bool {
        match self.pop() {
            None => return false,
            Some(Received::Lagged { missed: earlier }) => *missed += earlier,
            Some(_) => {
                *missed += 1;
                self.missed += 1;
            }
        }
        true
    }

    /// A gap before all that is there.
    fn missed_first(&mut self, count: u64) {
        match self.items.front_mut() {
            _ if count == 0 => {}
            Some(Received::Lagged { missed }) => *missed += count,
            _ => self.items.push_front(Received::Lagged { missed: count }),
        }
    }

    /// One more message of the gap after all that is there.
    fn missed_last(&mut self) {
        self.missed += 1;
        match self.items.back_mut() {
            Some(Received::Lagged { missed }) => *missed += 1,
            _ => self.items.push_back(Received::Lagged { missed: 1 }),
        }
    }
}

fn is_lagged(item: &Received) -> bool {
    matches!(item, Received::Lagged { .. })
}

fn weight(item: &Received) -> usize {
    match item {
        Received::Message { channel, payload } | Received::ShardMessage { channel, payload } => {
            channel.len().saturating_add(payload.len())
        }
        Received::PatternMessage { pattern, channel, payload } => {
            pattern.len().saturating_add(channel.len()).saturating_add(payload.len())
        }
        Received::Lagged { .. } => 0,
    }
}

/// Names, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Names {
    order: BTreeMap<u64, Bytes>,
    places: BTreeMap<Bytes, u64>,
    next: u64,
}

impl Names {
    /// Adds a name that is not there.
    pub(super) fn add(&mut self, name: Bytes) {
        self.order.insert(self.next, name.clone());
        self.places.insert(name, self.next);
        self.next += 1;
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        match self.places.remove(name) {
            Some(place) => self.order.remove(&place).is_some(),
            None => false,
        }
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.places.contains_key(name)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.order.values()
    }
}

/// What a subscriber is subscribed to.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    channels: Names,
    patterns: Names,
    shards: Names,
}

impl Subscriptions {
    pub(super) fn of(&self, kind: Kind) -> &Names {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shards,
        }
    }

    pub(super) fn of_mut(&mut self, kind: Kind) -> &mut Names {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shards,
        }
    }
}
