//! What a subscriber is made with: how much waits for it, and what happens when that is too much.

/// Messages that wait for a subscriber unless it says otherwise.
const CAPACITY: usize = 1_024;
/// Bytes of them.
const CAPACITY_BYTES: usize = 8 << 20;

/// What happens to a subscriber whose queue is full. Publishers never wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SlowSubscriber {
    /// Its oldest messages make room for the new one.
    #[default]
    DropOldest,
    /// The new message is not kept.
    DropNewest,
    /// It loses all of its subscriptions: it receives what waits for it, then how much it missed, then nothing
    /// more. This is what Redis does.
    Disconnect,
}

/// How a subscriber is made.
///
/// # Examples
/// ```
/// use larder::{Received, SlowSubscriber, SubscriberOptions};
/// let engine = larder::Engine::new();
/// let options = SubscriberOptions::new().capacity(2).when_full(SlowSubscriber::DropNewest);
/// let subscriber = engine.subscriber(options);
/// subscriber.subscribe("c")?;
/// (0..5).try_for_each(|i| engine.publish("c", i.to_string()).map(drop))?;
/// assert_eq!(subscriber.len(), 3);
/// assert!(matches!(subscriber.try_iter().last(), Some(Received::Lagged { missed: 3 })));
/// # Ok::<(), larder::OpError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct SubscriberOptions {
    pub(super) capacity: usize,
    pub(super) capacity_bytes: usize,
    pub(super) when_full: SlowSubscriber,
}

impl Default for SubscriberOptions {
    fn default() -> Self {
        Self { capacity: CAPACITY, capacity_bytes: CAPACITY_BYTES, when_full: SlowSubscriber::default() }
    }
}

impl SubscriberOptions {
    /// Starts from 1,024 messages of 8 MiB together, the oldest of which make room.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many messages wait at most; at least one may.
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = messages.max(1);
        self
    }

    /// Sets how many bytes the messages that wait have at most: payload, channel and pattern. A message that is larger by itself
    /// is missed.
    pub fn capacity_bytes(mut self, bytes: usize) -> Self {
        self.capacity_bytes = bytes;
        self
    }

    /// Sets what happens when it is full.
    pub fn when_full(mut self, policy: SlowSubscriber) -> Self {
        self.when_full = policy;
        self
    }
}
