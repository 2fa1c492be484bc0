//! Messages on their way to a session: what `SUBSCRIBE` and its like begin.
//!
//! ```text
//! publish --> subscriber's queue --> poll_pushes(sink)     called by whoever owns the connection when there is something
//!                                `-> execute(..)           before the reply of the next command
//! wait_pushes(timeout) | pushes_ready().await              tells that there is something
//! ```
//! Invariants: P1: what was published before a command is read comes before its reply; after the confirmation that
//! a channel is unsubscribed, no message of it comes. P2: in RESP2 a session with subscriptions executes nothing but what changes them, PING,
//! QUIT and RESET. P3: a session whose messages are not taken in time loses its subscriptions and is quitting, as Redis's
//! `client-output-buffer-limit` does it; whoever owns the connection closes it.
//!
//! A session subscribes on one engine. There is no queue before its first subscription.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use larder::{Engine, Ready, Received, SlowSubscriber, Subscriber, SubscriberOptions};

use crate::error::CommandError;
use crate::reply::ReplySink;
use crate::session::Session;
use crate::table::Found;

/// Bytes of messages that may wait for a session: Redis's hard limit for clients of this sort.
const WAITING_BYTES: usize = 32 << 20;

/// What a subscribed session may say in RESP2.
const ALLOWED: [&str; 9] = [
    "PING",
    "SUBSCRIBE",
    "SSUBSCRIBE",
    "UNSUBSCRIBE",
    "SUNSUBSCRIBE",
    "PSUBSCRIBE",
    "PUNSUBSCRIBE",
    "QUIT",
    "RESET",
];

/// The queue of a session, and how long it may get.
#[derive(Debug)]
pub(crate) struct Pushes {
    subscriber: Option<Subscriber>,
    waiting_bytes: usize,
}

impl Default for Pushes {
    fn default() -> Self {
        Self { subscriber: None, waiting_bytes: WAITING_BYTES }
    }
}

impl Pushes {
    /// The same without subscriptions.
    pub(crate) fn renewed(&self) -> Self {
        Self { subscriber: None, waiting_bytes: self.waiting_bytes }
    }

    /// The subscriber, made when it is first needed.
    pub(crate) fn subscriber(&mut self, engine: &Engine) -> &Subscriber {
        let options = SubscriberOptions::new()
            .capacity(usize::MAX)
            .capacity_bytes(self.waiting_bytes)
            .when_full(SlowSubscriber::Disconnect);
        self.subscriber.get_or_insert_with(|| engine.subscriber(options))
    }

    /// The subscriber, if there ever was a subscription.
    pub(crate) fn known(&self) -> Option<&Subscriber> {
        self.subscriber.as_ref()
    }
}

impl Session {
    /// Returns how many channels, patterns and shard channels it is subscribed to.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        let subscriber = self.pushes.known();
        subscriber.map_or(0, |it| it.subscription_count() + it.shard_subscription_count())
    }

    /// Sets how many bytes of messages may wait for it, from its first subscription on: more of them end the connection
    /// ([`Session::is_quitting`]). The default is 32 MiB.
    pub fn set_waiting_bytes(&mut self, bytes: usize) {
        self.pushes.waiting_bytes = bytes;
    }

    /// Writes the messages that wait for this session; returns how many.
    ///
    /// Call it when [`Session::wait_pushes`] or [`Session::pushes_ready`] says so. [`execute`](crate::execute) does it by itself, before it
    /// writes a reply.
    ///
    /// # Examples
    /// ```
    /// use larder_commands::{RespSink, Session, execute};
    /// let engine = larder::Engine::new();
    /// let (mut session, mut out) = (Session::new(), Vec::new());
    /// execute(&engine, &mut session, &[b"SUBSCRIBE", b"news"], &mut RespSink::new(&mut out));
    /// engine.publish("news", "rain")?;
    /// out.clear();
    /// assert_eq!(session.poll_pushes(&mut RespSink::new(&mut out)), 1);
    /// assert_eq!(out, b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$4\r\nrain\r\n");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn poll_pushes(&mut self, sink: &mut dyn ReplySink) -> usize {
        let Some(subscriber) = self.pushes.known() else { return 0 };
        let mut count = 0;
        sink.set_protocol(self.protocol);
        // As many as there are now: a publisher that never rests shall not keep the session from its other work.
        for item in subscriber.try_iter().take(subscriber.len()) {
            if matches!(item, Received::Lagged { .. }) {
                self.quitting = true;
                return count;
            }
            write(&item, sink);
            count += 1;
        }
        count
    }

    /// Waits until there are pushes to poll, no longer than `timeout`; returns whether there are. Without a subscription none will come, and
    /// it returns at once.
    ///
    /// # Examples
    /// ```
    /// # use larder_commands::{RespSink, Session, execute};
    /// # use std::time::Duration;
    /// # let engine = larder::Engine::new();
    /// # let (mut session, mut out) = (Session::new(), Vec::new());
    /// execute(&engine, &mut session, &[b"SUBSCRIBE", b"news"], &mut RespSink::new(&mut out));
    /// assert!(!session.wait_pushes(Duration::from_millis(1)));
    /// engine.publish("news", "rain")?;
    /// assert!(session.wait_pushes(Duration::from_secs(1)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn wait_pushes(&self, timeout: Duration) -> bool {
        self.pushes.known().is_some_and(|subscriber| subscriber.wait_timeout(timeout))
    }

    /// Returns a future that is ready when there are pushes to poll, and never while the session has no subscription: for the loop
    /// of a server, beside the future that reads the socket. It needs no runtime; dropping it loses nothing.
    ///
    /// # Examples
    /// ```
    /// # use larder_commands::{RespSink, Session, execute};
    /// # use std::{pin::pin, task::{Context, Waker}};
    /// # let engine = larder::Engine::new();
    /// # let (mut session, mut out) = (Session::new(), Vec::new());
    /// execute(&engine, &mut session, &[b"SUBSCRIBE", b"news"], &mut RespSink::new(&mut out));
    /// let mut ready = pin!(session.pushes_ready());
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(ready.as_mut().poll(&mut context).is_pending());
    /// engine.publish("news", "rain")?;
    /// assert!(ready.as_mut().poll(&mut context).is_ready());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pushes_ready(&self) -> PushesReady<'_> {
        PushesReady(self.pushes.known().map(Subscriber::ready))
    }

    /// Refuses what a subscribed session may not say in RESP2 (P2).
    pub(crate) fn check_subscribed(&self, found: &Found) -> Result<(), CommandError> {
        let free = self.pushes.known().is_none() || self.resp3() || self.subscriptions() == 0;
        if free || (found.parent.is_none() && ALLOWED.contains(&found.spec.name)) {
            return Ok(());
        }
        Err(CommandError::new(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context",
            found.full_name()
        )))
    }
}

/// The future of [`Session::pushes_ready`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct PushesReady<'a>(Option<Ready<'a>>);

impl Future for PushesReady<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(ready) => Pin::new(ready).poll(context),
            None => Poll::Pending,
        }
    }
}

fn write(item: &Received, sink: &mut dyn ReplySink) {
    let mut put = |words: &[&[u8]]| {
        sink.push(words.len());
        words.iter().for_each(|word| sink.bulk(word));
    };
    match item {
        Received::Message { channel, payload } => put(&[b"message", channel, payload]),
        Received::PatternMessage { pattern, channel, payload } => {
            put(&[b"pmessage", pattern, channel, payload])
        }
        Received::ShardMessage { channel, payload } => put(&[b"smessage", channel, payload]),
        // A gap ends the connection before it comes here.
        _ => {}
    }
}
