//! A subscriber: subscriptions, and the ways to receive: waiting, looking, in a loop, in a task.
//!
//! Every method takes `&self`: one thread may receive while another subscribes. Several threads may receive; each item goes to
//! one of them. Nothing here needs a runtime: the futures are woken by the publisher.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use super::mailbox::{Kind, Mailbox, Next};
use super::{Broker, Received, SubscriberOptions};
use crate::clock::{Clock, SystemClock};
use crate::engine::check_key;
use crate::error::OpError;
use crate::local;
use crate::sync::{EventListener, Listener};

/// Receives what is published on the channels it is subscribed to. Dropping it ends its subscriptions.
///
/// # Examples
/// ```
/// let engine = larder::Engine::new();
/// let subscriber = engine.subscriber(Default::default());
/// subscriber.subscribe("news")?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| engine.publish("news", "rain"));
///     assert_eq!(subscriber.recv().unwrap().payload().unwrap(), "rain");
/// });
/// # Ok::<(), larder::OpError>(())
/// ```
#[derive(Debug)]
pub struct Subscriber {
    broker: Arc<Broker>,
    mailbox: Arc<Mailbox>,
    /// What the stream waits for between two polls.
    listener: Option<EventListener>,
}

impl Subscriber {
    pub(super) fn new(broker: Arc<Broker>, options: SubscriberOptions) -> Self {
        let mailbox = broker.admit(options);
        Self { broker, mailbox, listener: None }
    }

    // ---- subscribing

    /// Subscribes to a channel; returns whether that is new. Inside a transaction it counts at once, and is not taken back with it.
    ///
    /// **Command** `SUBSCRIBE`. **Complexity** O(log n), n the subscriber's channels.
    ///
    /// # Errors
    /// [`OpError::Disconnected`] if it fell behind and was disconnected, [`OpError::KeyTooLong`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// assert!(subscriber.subscribe("news")?);
    /// assert!(!subscriber.subscribe("news")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn subscribe(&self, channel: impl AsRef<[u8]>) -> Result<bool, OpError> {
        self.add(Kind::Channel, channel.as_ref())
    }

    /// Subscribes to several channels, one after the other; returns how many are new.
    ///
    /// **Command** `SUBSCRIBE`. **Complexity** O(m log n), m the channels given, n all of the subscriber's.
    ///
    /// # Errors
    /// As [`Subscriber::subscribe`]; those before the one that was refused stay.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// assert_eq!(subscriber.subscribe_many(["a", "b", "a"])?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn subscribe_many(&self, channels: impl IntoIterator<Item: AsRef<[u8]>>) -> Result<usize, OpError> {
        self.add_many(Kind::Channel, channels)
    }

    /// Subscribes to all channels that a glob pattern matches; returns whether that is new.
    ///
    /// **Command** `PSUBSCRIBE`. **Complexity** O(log n), n the patterns of all subscribers.
    ///
    /// # Errors
    /// As [`Subscriber::subscribe`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.psubscribe("news.*")?;
    /// assert_eq!(engine.publish("news.art", "new")?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn psubscribe(&self, pattern: impl AsRef<[u8]>) -> Result<bool, OpError> {
        self.add(Kind::Pattern, pattern.as_ref())
    }

    /// Subscribes to several patterns, one after the other; returns how many are new.
    ///
    /// **Command** `PSUBSCRIBE`. **Complexity** O(m log n), m the patterns given, n those of all subscribers.
    ///
    /// # Errors
    /// As [`Subscriber::subscribe_many`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// assert_eq!(subscriber.psubscribe_many(["a*", "b?"])?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn psubscribe_many(&self, patterns: impl IntoIterator<Item: AsRef<[u8]>>) -> Result<usize, OpError> {
        self.add_many(Kind::Pattern, patterns)
    }

    /// Subscribes to a shard channel; returns whether that is new.
    ///
    /// **Command** `SSUBSCRIBE`. **Complexity** O(log n), n the subscriber's shard channels.
    ///
    /// # Errors
    /// As [`Subscriber::subscribe`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.ssubscribe("orders")?;
    /// assert_eq!(engine.publish_shard("orders", "7")?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn ssubscribe(&self, channel: impl AsRef<[u8]>) -> Result<bool, OpError> {
        self.add(Kind::Shard, channel.as_ref())
    }

    /// Subscribes to several shard channels, one after the other; returns how many are new.
    ///
    /// **Command** `SSUBSCRIBE`. **Complexity** O(m log n), m the channels given, n all of the subscriber's.
    ///
    /// # Errors
    /// As [`Subscriber::subscribe_many`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// assert_eq!(subscriber.ssubscribe_many(["a", "b"])?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn ssubscribe_many(&self, channels: impl IntoIterator<Item: AsRef<[u8]>>) -> Result<usize, OpError> {
        self.add_many(Kind::Shard, channels)
    }

    fn add(&self, kind: Kind, name: &[u8]) -> Result<bool, OpError> {
        local::check_no_closure();
        check_key(name)?;
        self.broker.subscribe(&self.mailbox, kind, name)
    }

    fn add_many(&self, kind: Kind, names: impl IntoIterator<Item: AsRef<[u8]>>) -> Result<usize, OpError> {
        let mut new = 0;
        for name in names {
            new += usize::from(self.add(kind, name.as_ref())?);
        }
        Ok(new)
    }

    // ---- unsubscribing

    /// Unsubscribes from a channel; returns whether it was subscribed. What waits already stays.
    ///
    /// **Command** `UNSUBSCRIBE`. **Complexity** O(log n), n the subscriber's channels.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe("news")?;
    /// assert!(subscriber.unsubscribe("news"));
    /// assert_eq!(engine.publish("news", "rain")?, 0);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn unsubscribe(&self, channel: impl AsRef<[u8]>) -> bool {
        self.remove(Kind::Channel, channel.as_ref())
    }

    /// Unsubscribes from all channels; returns them in the order in which they were subscribed to.
    ///
    /// **Command** `UNSUBSCRIBE`. **Complexity** O(n log n), n the subscriber's channels.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe_many(["b", "a"])?;
    /// assert_eq!(subscriber.unsubscribe_all(), ["b", "a"]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn unsubscribe_all(&self) -> Vec<Bytes> {
        self.remove_all(Kind::Channel)
    }

    /// Unsubscribes from a pattern; returns whether it was subscribed.
    ///
    /// **Command** `PUNSUBSCRIBE`. **Complexity** O(log n), n the patterns of all subscribers.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.psubscribe("n*")?;
    /// assert!(subscriber.punsubscribe("n*"));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn punsubscribe(&self, pattern: impl AsRef<[u8]>) -> bool {
        self.remove(Kind::Pattern, pattern.as_ref())
    }

    /// Unsubscribes from all patterns; returns them in the order in which they were subscribed to.
    ///
    /// **Command** `PUNSUBSCRIBE`. **Complexity** O(m log n), m its patterns, n those of all subscribers.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.psubscribe("n*")?;
    /// assert_eq!(subscriber.punsubscribe_all(), ["n*"]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn punsubscribe_all(&self) -> Vec<Bytes> {
        self.remove_all(Kind::Pattern)
    }

    /// Unsubscribes from a shard channel; returns whether it was subscribed.
    ///
    /// **Command** `SUNSUBSCRIBE`. **Complexity** O(log n), n the subscriber's shard channels.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.ssubscribe("orders")?;
    /// assert!(subscriber.sunsubscribe("orders"));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn sunsubscribe(&self, channel: impl AsRef<[u8]>) -> bool {
        self.remove(Kind::Shard, channel.as_ref())
    }

    /// Unsubscribes from all shard channels; returns them in the order in which they were subscribed to.
    ///
    /// **Command** `SUNSUBSCRIBE`. **Complexity** O(n log n), n the subscriber's shard channels.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.ssubscribe("orders")?;
    /// assert_eq!(subscriber.sunsubscribe_all(), ["orders"]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn sunsubscribe_all(&self) -> Vec<Bytes> {
        self.remove_all(Kind::Shard)
    }

    fn remove(&self, kind: Kind, name: &[u8]) -> bool {
        local::check_no_closure();
        self.broker.unsubscribe(&self.mailbox, kind, name)
    }

    fn remove_all(&self, kind: Kind) -> Vec<Bytes> {
        local::check_no_closure();
        self.broker.unsubscribe_all(&self.mailbox, kind)
    }

    // ---- what it is subscribed to

    /// Returns the channels it is subscribed to, in the order of subscription.
    ///
    /// **Complexity** O(n).
    ///
    /// # Examples
    /// ```
    /// let subscriber = larder::Engine::new().subscriber(Default::default());
    /// assert!(subscriber.channels().is_empty());
    /// ```
    #[must_use]
    pub fn channels(&self) -> Vec<Bytes> {
        self.names(Kind::Channel)
    }

    /// Returns the patterns it is subscribed to, in the order of subscription.
    ///
    /// **Complexity** O(n).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.psubscribe("n*")?;
    /// assert_eq!(subscriber.patterns(), ["n*"]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn patterns(&self) -> Vec<Bytes> {
        self.names(Kind::Pattern)
    }

    /// Returns the shard channels it is subscribed to, in the order of subscription.
    ///
    /// **Complexity** O(n).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.ssubscribe("orders")?;
    /// assert_eq!(subscriber.shard_channels(), ["orders"]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn shard_channels(&self) -> Vec<Bytes> {
        self.names(Kind::Shard)
    }

    fn names(&self, kind: Kind) -> Vec<Bytes> {
        self.mailbox.subscriptions.lock().of(kind).iter().cloned().collect()
    }

    /// Returns how many channels and patterns it is subscribed to.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe("news")?;
    /// subscriber.psubscribe("n*")?;
    /// assert_eq!(subscriber.subscription_count(), 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn subscription_count(&self) -> usize {
        let subscriptions = self.mailbox.subscriptions.lock();
        subscriptions.of(Kind::Channel).len() + subscriptions.of(Kind::Pattern).len()
    }

    /// Returns how many shard channels it is subscribed to.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.ssubscribe("orders")?;
    /// assert_eq!((subscriber.subscription_count(), subscriber.shard_subscription_count()), (0, 1));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn shard_subscription_count(&self) -> usize {
        self.mailbox.subscriptions.lock().of(Kind::Shard).len()
    }

    /// Returns how many items wait: messages, and gaps between them.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe("news")?;
    /// engine.publish("news", "rain")?;
    /// assert_eq!(subscriber.len(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.mailbox.len()
    }

    /// Returns whether nothing waits.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// assert!(larder::Engine::new().subscriber(Default::default()).is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many messages were not kept since the beginning.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(larder::SubscriberOptions::new().capacity(1));
    /// subscriber.subscribe("news")?;
    /// engine.publish("news", "rain")?;
    /// engine.publish("news", "sun")?;
    /// assert_eq!(subscriber.missed(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.mailbox.missed()
    }

    /// Returns whether nothing will be published to it any more: it was disconnected, or the engine is gone.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// assert!(!subscriber.is_closed());
    /// drop(engine);
    /// assert!(subscriber.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.mailbox.is_closed()
    }

    // ---- receiving

    /// Receives what is next, waiting for it; `None` when nothing will come any more.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe("news")?;
    /// engine.publish("news", "rain")?;
    /// assert!(subscriber.recv().is_some());
    /// drop(engine);
    /// assert!(subscriber.recv().is_none());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn recv(&self) -> Option<Received> {
        local::check_entry(local::OUTSIDE);
        loop {
            match self.mailbox.next() {
                Next::Item(item) => return Some(item),
                Next::End => return None,
                Next::Wait(listener) => listener.wait(),
            }
        }
    }

    /// Receives what is there already.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let subscriber = larder::Engine::new().subscriber(Default::default());
    /// assert!(subscriber.try_recv().is_none());
    /// ```
    #[must_use]
    pub fn try_recv(&self) -> Option<Received> {
        self.mailbox.take()
    }

    /// Receives what is next, waiting no longer than `timeout`, by the machine's clock; [`Subscriber::is_closed`] tells an end from
    /// a timeout.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// assert!(subscriber.recv_timeout(Duration::from_millis(1)).is_none());
    /// ```
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Received> {
        local::check_entry(local::OUTSIDE);
        let begun = SystemClock.elapsed();
        loop {
            match self.mailbox.next() {
                Next::Item(item) => return Some(item),
                Next::End => return None,
                Next::Wait(listener) => {
                    let passed = SystemClock.elapsed().saturating_sub(begun);
                    let left = timeout.checked_sub(passed)?;
                    if listener.wait_timeout(left).is_none() {
                        return self.mailbox.take();
                    }
                }
            }
        }
    }

    /// Waits until there is something to receive, no longer than `timeout`, and takes nothing; returns whether there is, or
    /// nothing will come any more.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe("news")?;
    /// assert!(!subscriber.wait_timeout(Duration::from_millis(1)));
    /// engine.publish("news", "rain")?;
    /// assert!(subscriber.wait_timeout(Duration::from_secs(1)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        local::check_entry(local::OUTSIDE);
        let begun = SystemClock.elapsed();
        loop {
            let Some(listener) = self.mailbox.listen_for_more() else { return true };
            let passed = SystemClock.elapsed().saturating_sub(begun);
            let Some(left) = timeout.checked_sub(passed) else { return false };
            if listener.wait_timeout(left).is_none() {
                return self.mailbox.listen_for_more().is_none();
            }
        }
    }

    /// Receives what is next, in a task; `None` when nothing will come any more.
    ///
    /// Dropping the future loses nothing. It needs no runtime of any kind. [`Subscriber`] is a stream too.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// # fn block_on<F: Future>(f: F) -> F::Output {
    /// #     let mut f = std::pin::pin!(f);
    /// #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     loop { if let std::task::Poll::Ready(done) = f.as_mut().poll(&mut cx) { return done; } }
    /// # }
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe("news")?;
    /// engine.publish("news", "rain")?;
    /// let item = block_on(async { subscriber.recv_async().await });
    /// assert_eq!(item.unwrap().payload().unwrap(), "rain");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn recv_async(&self) -> Receive<'_> {
        Receive { subscriber: self, listener: None }
    }

    /// Waits in a task until there is something to receive, or nothing will come any more; takes nothing.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// # fn block_on<F: Future>(f: F) -> F::Output {
    /// #     let mut f = std::pin::pin!(f);
    /// #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     loop { if let std::task::Poll::Ready(done) = f.as_mut().poll(&mut cx) { return done; } }
    /// # }
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe("news")?;
    /// engine.publish("news", "rain")?;
    /// block_on(subscriber.ready());
    /// assert_eq!(subscriber.len(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn ready(&self) -> Ready<'_> {
        Ready { subscriber: self, listener: None }
    }

    /// Returns an iterator that waits for each item; it ends when nothing will come any more.
    ///
    /// **Complexity** O(1) an item.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe("news")?;
    /// engine.publish("news", "rain")?;
    /// drop(engine);
    /// assert_eq!(subscriber.iter().count(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn iter(&self) -> ReceivedItems<'_> {
        ReceivedItems { subscriber: self, waits: true }
    }

    /// Returns an iterator over what is there already.
    ///
    /// **Complexity** O(1) an item.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let subscriber = engine.subscriber(Default::default());
    /// subscriber.subscribe("news")?;
    /// engine.publish("news", "rain")?;
    /// assert_eq!(subscriber.try_iter().count(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn try_iter(&self) -> ReceivedItems<'_> {
        ReceivedItems { subscriber: self, waits: false }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.broker.dismiss(&self.mailbox);
    }
}

/// Polls for an item; `listener` is what was waited for so far.
fn poll_item(
    mailbox: &Mailbox,
    listener: &mut Option<EventListener>,
    context: &mut Context<'_>,
) -> Poll<Option<Received>> {
    loop {
        if let Some(waiting) = listener {
            match Pin::new(waiting).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => *listener = None,
            }
        }
        match mailbox.next() {
            Next::Item(item) => return Poll::Ready(Some(item)),
            Next::End => return Poll::Ready(None),
            Next::Wait(new) => *listener = Some(new),
        }
    }
}

/// Gives each item as it comes, and ends when nothing will come any more. No runtime is needed.
impl Stream for Subscriber {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        let this = &mut *self;
        poll_item(&this.mailbox, &mut this.listener, context)
    }
}

/// The future of [`Subscriber::recv_async`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Receive<'a> {
    subscriber: &'a Subscriber,
    listener: Option<EventListener>,
}

impl Future for Receive<'_> {
    type Output = Option<Received>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        let this = &mut *self;
        poll_item(&this.subscriber.mailbox, &mut this.listener, context)
    }
}

/// The future of [`Subscriber::ready`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Ready<'a> {
    subscriber: &'a Subscriber,
    listener: Option<EventListener>,
}

impl Future for Ready<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            if let Some(waiting) = &mut this.listener {
                match Pin::new(waiting).poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => this.listener = None,
                }
            }
            match this.subscriber.mailbox.listen_for_more() {
                None => return Poll::Ready(()),
                listener => this.listener = listener,
            }
        }
    }
}

/// The iterator of [`Subscriber::iter`] and [`Subscriber::try_iter`].
#[derive(Debug)]
pub struct ReceivedItems<'a> {
    subscriber: &'a Subscriber,
    waits: bool,
}

impl Iterator for ReceivedItems<'_> {
    type Item = Received;

    fn next(&mut self) -> Option<Received> {
        if self.waits { self.subscriber.recv() } else { self.subscriber.try_recv() }
    }
}

impl<'a> IntoIterator for &'a Subscriber {
    type Item = Received;
    type IntoIter = ReceivedItems<'a>;

    fn into_iter(self) -> ReceivedItems<'a> {
        self.iter()
    }
}
