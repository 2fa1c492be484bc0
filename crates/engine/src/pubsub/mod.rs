//! Publish and subscribe in-process: channels, glob patterns, shard channels.
//!
//! ```text
//! publish(channel, bytes)
//!   stripe of the channel's hash --read lock--> channel --its line: a lock--> members   one order a channel
//!                                          `--> nobody there: the stripe's line
//!   in that line: every member's mailbox, then the patterns that match (read lock) and their members' mailboxes
//! after the locks: wake those who sleep, detach those who were disconnected
//!
//! mailbox: [lagged 3][message][message]...   bounded; `Lagged` stands where the missed messages would have stood
//! ```
//! Invariants: I1: messages of a channel enter all mailboxes in one order. A channel comes and goes only under the write lock of its
//! stripe, which waits for every delivery of the stripe, so no message overtakes another by taking the other line. I2: locks are
//! taken in this order: subscriptions of a subscriber, stripe, line, patterns, mailbox; under none of them one of the keyspace, so that
//! a transaction, which holds shards, may subscribe. I3: a publisher waits for other publishers of the
//! channel and never for a subscriber; a waker, which is user code, runs outside of every lock. I4: what a subscriber is subscribed
//! to and the registry say the same whenever its subscriptions are unlocked. I5: a mailbox holds no more than its limits
//! allow, and every message that was not kept is counted in the `Lagged` in its place. I6: a message is copied once, when its
//! first receiver is found; all mailboxes share it.
//!
//! Costs: publish O(n + p): n receivers, p patterns anybody is subscribed to. Subscribe and unsubscribe O(1) for a channel, O(log p)
//! for a pattern. Publishers of different channels share read locks only. An engine that nobody subscribed to has no registry,
//! and publishing there costs a load.
//!
//! A slow subscriber: [`SlowSubscriber`] says whether its oldest message goes, the newest is not kept, or it is disconnected. The count that
//! `publish` returns is Redis's: of matching subscriptions, whether or not there was room.
//!
//! Not done: the memory of mailboxes does not count against the engine's limit; each has limits of its own. Messages are not
//! kept for those who subscribe later: that is what streams are for. Channels are the engine's: databases do not divide them.

mod broker;
mod mailbox;
mod options;
mod subscriber;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

pub(crate) use self::broker::Broker;
pub(crate) use self::mailbox::Kind;
pub use self::options::{SlowSubscriber, SubscriberOptions};
pub use self::subscriber::{Ready, Receive, ReceivedItems, Subscriber};
use crate::engine::{Engine, check_key, check_value};
use crate::error::OpError;
use crate::keyspace::Core;

/// What a subscriber receives.
///
/// All subscribers share the bytes of a message: cloning one copies nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// A message on a channel that was subscribed to.
    Message {
        /// The channel.
        channel: Bytes,
        /// What was published.
        payload: Bytes,
    },
    /// A message on a channel that a pattern matches.
    PatternMessage {
        /// The pattern that was subscribed to.
        pattern: Bytes,
        /// The channel.
        channel: Bytes,
        /// What was published.
        payload: Bytes,
    },
    /// A message on a shard channel.
    ShardMessage {
        /// The shard channel.
        channel: Bytes,
        /// What was published.
        payload: Bytes,
    },
    /// Messages that would have stood here were not kept: the subscriber was too slow.
    Lagged {
        /// How many.
        missed: u64,
    },
}

impl Received {
    /// Returns what was published; nothing for [`Received::Lagged`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let news = engine.subscriber(Default::default());
    /// news.subscribe("news")?;
    /// engine.publish("news", "rain")?;
    /// assert_eq!(news.try_recv().unwrap().payload().unwrap(), "rain");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn payload(&self) -> Option<&Bytes> {
        match self {
            Self::Message { payload, .. }
            | Self::PatternMessage { payload, .. }
            | Self::ShardMessage { payload, .. } => Some(payload),
            Self::Lagged { .. } => None,
        }
    }

    /// Returns the channel it was published on; nothing for [`Received::Lagged`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let news = engine.subscriber(Default::default());
    /// news.psubscribe("news.*")?;
    /// engine.publish("news.art", "new")?;
    /// assert_eq!(news.try_recv().unwrap().channel().unwrap(), "news.art");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn channel(&self) -> Option<&Bytes> {
        match self {
            Self::Message { channel, .. }
            | Self::PatternMessage { channel, .. }
            | Self::ShardMessage { channel, .. } => Some(channel),
            Self::Lagged { .. } => None,
        }
    }
}

/// An engine's broker, made when somebody subscribes. Subscribers end when the engine does.
#[derive(Debug)]
pub(crate) struct PubSub {
    broker: OnceLock<Arc<Broker>>,
    seed: u64,
}

impl PubSub {
    pub(crate) fn new(seed: u64) -> Self {
        Self { broker: OnceLock::new(), seed }
    }

    fn broker(&self) -> &Arc<Broker> {
        self.broker.get_or_init(|| Arc::new(Broker::new(self.seed)))
    }

    /// The broker, if anybody ever subscribed.
    fn known(&self) -> Option<&Broker> {
        self.broker.get().map(Arc::as_ref)
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) {
        if let Some(broker) = self.known() {
            broker.validate();
        }
    }
}

impl Drop for PubSub {
    fn drop(&mut self) {
        if let Some(broker) = self.broker.get() {
            broker.close();
        }
    }
}

impl Core {
    /// Delivers a message to the subscribers of a channel and of the patterns that match it; returns how many. Call it outside of shard
    /// locks: it wakes tasks.
    pub(crate) fn publish_now(&self, channel: &[u8], message: &[u8]) -> usize {
        self.pubsub.known().map_or(0, |broker| broker.publish(channel, message))
    }

    /// Delivers what a transaction published, after it.
    pub(crate) fn publish_held(&self, kind: Kind, channel: &[u8], message: &[u8]) {
        match kind {
            Kind::Shard => self.publish_shard_now(channel, message),
            Kind::Channel | Kind::Pattern => self.publish_now(channel, message),
        };
    }

    /// The same for a shard channel, which no pattern matches.
    pub(crate) fn publish_shard_now(&self, channel: &[u8], message: &[u8]) -> usize {
        self.pubsub.known().map_or(0, |broker| broker.publish_shard(channel, message))
    }
}

impl Engine {
    /// Publishes a message on a channel; returns how many subscriptions it reached.
    ///
    /// A subscriber of the channel and of two patterns that match counts three times and receives it three times. Whoever is
    /// too slow is counted too. The message is there for every receiver before this returns; inside a transaction it goes out at
    /// the commit, and whoever is subscribed now is counted.
    ///
    /// **Command** `PUBLISH`. **Complexity** O(n + p), n the receivers, p the patterns that anybody is subscribed to.
    ///
    /// # Errors
    /// [`OpError::KeyTooLong`], [`OpError::ValueTooLong`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe("news")?;
    /// subscriber.psubscribe("n*")?;
    /// assert_eq!(engine.publish("news", "rain")?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn publish(&self, channel: impl AsRef<[u8]>, message: impl AsRef<[u8]>) -> Result<usize, OpError> {
        let (channel, message) = checked(channel.as_ref(), message.as_ref())?;
        if self.core.is_within() {
            self.core.publish_later(Kind::Channel, channel, message);
            return Ok(self.core.pubsub.known().map_or(0, |broker| broker.receivers(channel)));
        }
        Ok(self.core.publish_now(channel, message))
    }

    /// Publishes a message on a shard channel; returns how many subscribers it reached.
    ///
    /// Shard channels are apart from the others, and patterns do not match them. In one process they differ in nothing else.
    ///
    /// **Command** `SPUBLISH`. **Complexity** O(n), n the receivers.
    ///
    /// # Errors
    /// [`OpError::KeyTooLong`], [`OpError::ValueTooLong`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.ssubscribe("orders")?;
    /// assert_eq!(engine.publish_shard("orders", "42")?, 1);
    /// assert_eq!(engine.publish("orders", "42")?, 0);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn publish_shard(
        &self,
        channel: impl AsRef<[u8]>,
        message: impl AsRef<[u8]>,
    ) -> Result<usize, OpError> {
        let (channel, message) = checked(channel.as_ref(), message.as_ref())?;
        if self.core.is_within() {
            self.core.publish_later(Kind::Shard, channel, message);
            let broker = self.core.pubsub.known();
            return Ok(broker.map_or(0, |broker| broker.subscribers(Kind::Shard, channel)));
        }
        Ok(self.core.publish_shard_now(channel, message))
    }

    /// Makes a subscriber, which is subscribed to nothing yet.
    ///
    /// It does not keep the engine alive: when the last handle goes, it receives what it has and then nothing more.
    ///
    /// **Complexity** O(log n), n the subscribers.
    ///
    /// # Examples
    /// ```
    /// use larder::{SlowSubscriber, SubscriberOptions};
    /// let engine = larder::Engine::new();
    /// let options = SubscriberOptions::new().capacity(100).when_full(SlowSubscriber::Disconnect);
    /// let subscriber = engine.subscriber(options);
    /// subscriber.subscribe("news")?;
    /// assert_eq!(engine.publish("news", "rain")?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn subscriber(&self, options: SubscriberOptions) -> Subscriber {
        Subscriber::new(Arc::clone(self.core.pubsub.broker()), options)
    }

    /// Returns the channels that have subscribers, in byte order; with a pattern, those that it matches.
    ///
    /// **Command** `PUBSUB CHANNELS`. **Complexity** O(n log n), n the channels.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe_many(["news", "noise", "art"])?;
    /// assert_eq!(engine.channels(Some(b"n*")), ["news", "noise"]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn channels(&self, pattern: Option<&[u8]>) -> Vec<Bytes> {
        self.core.pubsub.known().map_or(Vec::new(), |broker| broker.names(Kind::Channel, pattern))
    }

    /// Returns how many subscribers a channel has; those of patterns do not count.
    ///
    /// **Command** `PUBSUB NUMSUB`. **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe("news")?;
    /// assert_eq!(engine.channel_subscribers("news"), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn channel_subscribers(&self, channel: impl AsRef<[u8]>) -> usize {
        let channel = channel.as_ref();
        self.core.pubsub.known().map_or(0, |broker| broker.subscribers(Kind::Channel, channel))
    }

    /// Returns how many different patterns have subscribers.
    ///
    /// **Command** `PUBSUB NUMPAT`. **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.psubscribe("n*")?;
    /// assert_eq!(engine.pattern_count(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn pattern_count(&self) -> usize {
        self.core.pubsub.known().map_or(0, Broker::pattern_count)
    }

    /// Returns the shard channels that have subscribers, in byte order; with a pattern, those that it matches.
    ///
    /// **Command** `PUBSUB SHARDCHANNELS`. **Complexity** O(n log n), n the shard channels.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.ssubscribe("orders")?;
    /// assert_eq!(engine.shard_channels(None), ["orders"]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn shard_channels(&self, pattern: Option<&[u8]>) -> Vec<Bytes> {
        self.core.pubsub.known().map_or(Vec::new(), |broker| broker.names(Kind::Shard, pattern))
    }

    /// Returns how many subscribers a shard channel has.
    ///
    /// **Command** `PUBSUB SHARDNUMSUB`. **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.ssubscribe("orders")?;
    /// assert_eq!(engine.shard_channel_subscribers("orders"), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn shard_channel_subscribers(&self, channel: impl AsRef<[u8]>) -> usize {
        let channel = channel.as_ref();
        self.core.pubsub.known().map_or(0, |broker| broker.subscribers(Kind::Shard, channel))
    }
}

/// Checks what is to be published.
fn checked<'a>(channel: &'a [u8], message: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), OpError> {
    check_key(channel)?;
    check_value(message.len())?;
    Ok((channel, message))
}
