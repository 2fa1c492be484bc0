//! Who is subscribed to what, and the way of a message (the picture and the invariants are in the module above).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use crossbeam_utils::CachePadded;
use hashbrown::HashTable;

use super::mailbox::{Kind, Mailbox, Put};
use super::{Received, SubscriberOptions};
use crate::error::OpError;
use crate::glob;
use crate::hash::KeyHasher;
use crate::random::mix;
use crate::sync::{Mutex, RwLock};

/// Parts of a registry; publishers of channels in different ones share nothing.
const STRIPES: usize = 64;
/// Where the number of a stripe is in the hash: apart from the bits that a table uses.
const STRIPE_SHIFT: u32 = 40;

/// Subscribers of one name.
#[derive(Debug, Default)]
struct Members(HashTable<Arc<Mailbox>>);

impl Members {
    fn add(&mut self, mailbox: &Arc<Mailbox>) {
        self.0.insert_unique(mix(mailbox.id), Arc::clone(mailbox), |member| mix(member.id));
    }

    fn remove(&mut self, mailbox: &Mailbox) {
        if let Ok(member) = self.0.find_entry(mix(mailbox.id), |member| member.id == mailbox.id) {
            member.remove();
        }
    }

    #[cfg(any(test, fuzzing))]
    fn contains(&self, mailbox: &Mailbox) -> bool {
        self.0.find(mix(mailbox.id), |member| member.id == mailbox.id).is_some()
    }
}

#[derive(Debug)]
struct Channel {
    name: Bytes,
    /// The lock is the line in which publishers stand (I1).
    line: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Stripe {
    channels: RwLock<HashTable<Channel>>,
    /// The line for channels that have no subscribers of their own.
    line: Mutex<()>,
}

/// Channels, or shard channels, by name.
struct Registry {
    hasher: KeyHasher,
    stripes: Box<[CachePadded<Stripe>]>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("stripes", &self.stripes.len()).finish_non_exhaustive()
    }
}

impl Registry {
    fn new(seed: u64) -> Self {
        let stripes = (0..STRIPES).map(|_| CachePadded::new(Stripe::default())).collect();
        Self { hasher: KeyHasher::new(seed), stripes }
    }

    fn locate(&self, name: &[u8]) -> (u64, &Stripe) {
        let hash = self.hasher.hash(name).0;
        let number = usize::try_from((hash >> STRIPE_SHIFT) % STRIPES as u64).expect("I1: fewer than 65");
        (hash, &self.stripes[number])
    }

    fn add(&self, name: &Bytes, mailbox: &Arc<Mailbox>) {
        let (hash, stripe) = self.locate(name);
        if let Some(channel) = stripe.channels.read().find(hash, |channel| channel.name == *name) {
            channel.line.lock().add(mailbox);
            return;
        }
        let mut channels = stripe.channels.write();
        if let Some(channel) = channels.find(hash, |channel| channel.name == *name) {
            channel.line.lock().add(mailbox);
            return;
        }
        let mut members = Members::default();
        members.add(mailbox);
        let channel = Channel { name: name.clone(), line: Mutex::new(members) };
        channels.insert_unique(hash, channel, |channel| self.hasher.hash(&channel.name).0);
    }

    fn remove(&self, name: &[u8], mailbox: &Mailbox) {
        let (hash, stripe) = self.locate(name);
        if let Some(channel) = stripe.channels.read().find(hash, |channel| channel.name == name) {
            let members = &mut *channel.line.lock();
            members.remove(mailbox);
            if !members.0.is_empty() {
                return;
            }
        }
        let mut channels = stripe.channels.write();
        if let Ok(channel) = channels.find_entry(hash, |channel| channel.name == name) {
            // Somebody may have come in between.
            let empty = channel.get().line.lock().0.is_empty();
            if empty {
                channel.remove();
            }
        }
    }

    fn count(&self, name: &[u8]) -> usize {
        let (hash, stripe) = self.locate(name);
        let channels = stripe.channels.read();
        channels.find(hash, |channel| channel.name == name).map_or(0, |channel| channel.line.lock().0.len())
    }

    fn names(&self, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let mut names = Vec::new();
        for stripe in &self.stripes {
            let channels = stripe.channels.read();
            let wanted = channels.iter().filter(|channel| {
                pattern.is_none_or(|pattern| glob::matches(pattern, &channel.name))
                    && !channel.line.lock().0.is_empty()
            });
            names.extend(wanted.map(|channel| channel.name.clone()));
        }
        names.sort_unstable();
        names
    }
}

/// All subscriptions of an engine.
#[derive(Debug)]
pub(crate) struct Broker {
    channels: Registry,
    shards: Registry,
    /// In byte order, which is the order in which they are served.
    patterns: RwLock<BTreeMap<Bytes, Members>>,
    pattern_count: AtomicUsize,
    /// Everybody, to be told of the engine's end.
    mailboxes: Mutex<BTreeMap<u64, Weak<Mailbox>>>,
    next_id: AtomicU64,
}

impl Broker {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            channels: Registry::new(seed),
            shards: Registry::new(!seed),
            patterns: RwLock::new(BTreeMap::new()),
            pattern_count: AtomicUsize::new(0),
            mailboxes: Mutex::new(BTreeMap::new()),
            next_id: AtomicU64::new(0),
        }
    }

    pub(super) fn admit(&self, options: SubscriberOptions) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::new(self.next_id.fetch_add(1, Ordering::Relaxed), options));
        self.mailboxes.lock().insert(mailbox.id, Arc::downgrade(&mailbox));
        mailbox
    }

    /// Takes a subscriber out for good.
    pub(super) fn dismiss(&self, mailbox: &Mailbox) {
        mailbox.close();
        self.detach(mailbox);
        self.mailboxes.lock().remove(&mailbox.id);
    }

    /// The engine is gone: nobody will publish any more.
    pub(super) fn close(&self) {
        let mailboxes = std::mem::take(&mut *self.mailboxes.lock());
        for mailbox in mailboxes.values().filter_map(Weak::upgrade) {
            mailbox.close();
            mailbox.wake();
        }
    }

    // ---- subscriptions

    /// Subscribes; tells whether that is new.
    pub(super) fn subscribe(&self, mailbox: &Arc<Mailbox>, kind: Kind, name: &[u8]) -> Result<bool, OpError> {
        let subscriptions = &mut *mailbox.subscriptions.lock();
        // One that is closed after this look is detached by whoever closed it, who waits for this lock.
        if mailbox.is_closed() {
            return Err(OpError::Disconnected);
        }
        if subscriptions.of(kind).contains(name) {
            return Ok(false);
        }
        let name = Bytes::copy_from_slice(name);
        match kind {
            Kind::Channel => self.channels.add(&name, mailbox),
            Kind::Shard => self.shards.add(&name, mailbox),
            Kind::Pattern => {
                let mut patterns = self.patterns.write();
                patterns.entry(name.clone()).or_default().add(mailbox);
                self.pattern_count.store(patterns.len(), Ordering::Release);
            }
        }
        subscriptions.of_mut(kind).add(name);
        Ok(true)
    }

    /// Unsubscribes; tells whether it was subscribed. No message comes by that way afterwards.
    pub(super) fn unsubscribe(&self, mailbox: &Mailbox, kind: Kind, name: &[u8]) -> bool {
        let subscriptions = &mut *mailbox.subscriptions.lock();
        let removed = subscriptions.of_mut(kind).remove(name);
        if removed {
            self.forget(mailbox, kind, name);
        }
        removed
    }

    /// Unsubscribes from everything of a kind; returns what that was, in the order of subscription.
    pub(super) fn unsubscribe_all(&self, mailbox: &Mailbox, kind: Kind) -> Vec<Bytes> {
        let subscriptions = &mut *mailbox.subscriptions.lock();
        let names: Vec<Bytes> = std::mem::take(subscriptions.of_mut(kind)).iter().cloned().collect();
        for name in &names {
            self.forget(mailbox, kind, name);
        }
        names
    }

    fn detach(&self, mailbox: &Mailbox) {
        for kind in Kind::ALL {
            self.unsubscribe_all(mailbox, kind);
        }
    }

    fn forget(&self, mailbox: &Mailbox, kind: Kind, name: &[u8]) {
        match kind {
            Kind::Channel => self.channels.remove(name, mailbox),
            Kind::Shard => self.shards.remove(name, mailbox),
            Kind::Pattern => {
                let patterns = &mut *self.patterns.write();
                if let Some(members) = patterns.get_mut(name) {
                    members.remove(mailbox);
                    if members.0.is_empty() {
                        patterns.remove(name);
                    }
                }
                self.pattern_count.store(patterns.len(), Ordering::Release);
            }
        }
    }

    // ---- counts

    pub(super) fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Bytes> {
        match kind {
            Kind::Channel => self.channels.names(pattern),
            Kind::Shard => self.shards.names(pattern),
            Kind::Pattern => self.patterns.read().keys().cloned().collect(),
        }
    }

    pub(super) fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        match kind {
            Kind::Channel => self.channels.count(name),
            Kind::Shard => self.shards.count(name),
            Kind::Pattern => self.patterns.read().get(name).map_or(0, |members| members.0.len()),
        }
    }

    pub(super) fn pattern_count(&self) -> usize {
        self.pattern_count.load(Ordering::Acquire)
    }

    // ---- messages

    /// How many a message on a channel would reach now.
    pub(super) fn receivers(&self, channel: &[u8]) -> usize {
        let patterns = self.patterns.read();
        let matching = patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel));
        let by_pattern: usize = matching.map(|(_, members)| members.0.len()).sum();
        self.subscribers(Kind::Channel, channel) + by_pattern
    }

    pub(super) fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let mut delivery = Delivery::new(message);
        let (hash, stripe) = self.channels.locate(channel);
        let channels = stripe.channels.read();
        if let Some(found) = channels.find(hash, |found| found.name == channel) {
            let members = found.line.lock();
            delivery.give_all(&members, |payload| Received::Message { channel: found.name.clone(), payload });
            self.give_to_patterns(&mut delivery, &found.name);
        } else if self.pattern_count() > 0 {
            let name = Bytes::copy_from_slice(channel);
            let _line = stripe.line.lock();
            self.give_to_patterns(&mut delivery, &name);
        }
        drop(channels);
        self.finish(delivery)
    }

    fn give_to_patterns(&self, delivery: &mut Delivery<'_>, channel: &Bytes) {
        if self.pattern_count() == 0 {
            return;
        }
        let patterns = self.patterns.read();
        for (pattern, members) in patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel)) {
            delivery.give_all(members, |payload| Received::PatternMessage {
                pattern: pattern.clone(),
                channel: channel.clone(),
                payload,
            });
        }
    }

    pub(super) fn publish_shard(&self, channel: &[u8], message: &[u8]) -> usize {
        let mut delivery = Delivery::new(message);
        let (hash, stripe) = self.shards.locate(channel);
        let channels = stripe.channels.read();
        if let Some(found) = channels.find(hash, |found| found.name == channel) {
            let members = found.line.lock();
            delivery.give_all(&members, |payload| Received::ShardMessage {
                channel: found.name.clone(),
                payload,
            });
        }
        drop(channels);
        self.finish(delivery)
    }

    /// What is left to do outside of the locks (I3).
    fn finish(&self, delivery: Delivery<'_>) -> usize {
        for mailbox in &delivery.disconnected {
            self.detach(mailbox);
            mailbox.wake();
        }
        for mailbox in delivery.asleep.iter().chain(&delivery.more_asleep) {
            mailbox.wake();
        }
        delivery.receivers
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        let mailboxes: Vec<_> = self.mailboxes.lock().values().filter_map(Weak::upgrade).collect();
        let mut counts = [0; 3];
        for mailbox in &mailboxes {
            mailbox.validate();
            let subscriptions = &*mailbox.subscriptions.lock();
            for (kind, count) in Kind::ALL.into_iter().zip(&mut counts) {
                *count += subscriptions.of(kind).len();
                for name in subscriptions.of(kind).iter() {
                    assert!(self.is_registered(mailbox, kind, name), "I4: {kind:?} {name:?} is registered");
                }
            }
        }
        let total =
            |kind| self.names(kind, None).iter().map(|name| self.subscribers(kind, name)).sum::<usize>();
        assert_eq!(Kind::ALL.map(total), counts, "I4: nobody else is registered");
        assert_eq!(self.pattern_count(), self.patterns.read().len());
    }

    #[cfg(any(test, fuzzing))]
    fn is_registered(&self, mailbox: &Mailbox, kind: Kind, name: &[u8]) -> bool {
        let in_registry = |registry: &Registry| {
            let (hash, stripe) = registry.locate(name);
            let channels = stripe.channels.read();
            channels
                .find(hash, |channel| channel.name == name)
                .is_some_and(|channel| channel.line.lock().contains(mailbox))
        };
        match kind {
            Kind::Channel => in_registry(&self.channels),
            Kind::Shard => in_registry(&self.shards),
            Kind::Pattern => self.patterns.read().get(name).is_some_and(|members| members.contains(mailbox)),
        }
    }
}

/// A message on its way.
#[derive(Debug)]
struct Delivery<'a> {
    message: &'a [u8],
    /// The copy that all receivers share (I6).
    payload: Option<Bytes>,
    receivers: usize,
    asleep: Option<Arc<Mailbox>>,
    more_asleep: Vec<Arc<Mailbox>>,
    disconnected: Vec<Arc<Mailbox>>,
}

impl<'a> Delivery<'a> {
    fn new(message: &'a [u8]) -> Self {
        Self {
            message,
            payload: None,
            receivers: 0,
            asleep: None,
            more_asleep: Vec::new(),
            disconnected: Vec::new(),
        }
    }

    fn give_all(&mut self, members: &Members, form: impl Fn(Bytes) -> Received) {
        for mailbox in &members.0 {
            let payload = self.payload.get_or_insert_with(|| Bytes::copy_from_slice(self.message));
            let Some(put) = mailbox.put(form(payload.clone())) else { continue };
            self.receivers += 1;
            match put {
                Put::Nothing => {}
                Put::Wake if self.asleep.is_none() => self.asleep = Some(Arc::clone(mailbox)),
                Put::Wake => self.more_asleep.push(Arc::clone(mailbox)),
                Put::Disconnect => self.disconnected.push(Arc::clone(mailbox)),
            }
        }
    }
}
