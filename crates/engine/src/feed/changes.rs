//! A subscriber: the reading end of a queue.
//!
//! ```text
//! recv: pop? -> listen -> pop? -> wait -> pop? ...        the second look closes the gap before the listening
//! ```
//! Invariant: an end (`None` of `recv`) comes only after all that was queued, and only when the engine is gone.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::{ChangeFilter, Delivery, Listener, Means, Queue};
use crate::clock::{Clock, SystemClock};
use crate::keyspace::Core;
use crate::local;
use crate::sync::{Event, EventListener, Listener as _};

/// A subscriber of the change feed, made by [`Engine::changes`](crate::Engine::changes): an iterator for threads, a
/// [`Stream`] for tasks.
///
/// Dropping it ends the subscription. It does not keep the engine alive: when the last handle is gone the iterator ends, after
/// what still waits.
#[derive(Debug)]
#[must_use = "a subscriber that is dropped hears nothing"]
pub struct Changes {
    core: Weak<Core>,
    listener: Arc<Listener>,
    waiting: Option<EventListener>,
}

impl Changes {
    pub(crate) fn new(core: &Arc<Core>, database: u16, filter: ChangeFilter) -> Self {
        let filter = filter.for_database(database);
        let queue = Queue::new(filter.waiting_max());
        let listener = Arc::new(Listener { filter, queue, means: Means::Reader(Event::new()) });
        core.feed.add(&listener);
        Self { core: Arc::downgrade(core), listener, waiting: None }
    }

    /// Returns how many changes wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.listener.queue.len()
    }

    /// Takes the next delivery, if one waits.
    pub fn try_recv(&mut self) -> Option<Delivery> {
        self.listener.queue.pop()
    }

    /// Waits for the next delivery; `None` when the engine is gone.
    ///
    /// # Panics
    /// From inside a closure that sees data in place, as every call of an engine.
    pub fn recv(&mut self) -> Option<Delivery> {
        loop {
            match self.look() {
                Ok(delivery) => return delivery,
                Err(wake) => wake.wait(),
            }
        }
    }

    /// Waits for the next delivery, at most for `timeout` of the machine's time; `None` when it has passed or the engine is gone.
    ///
    /// # Panics
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Option<Delivery> {
        let ends = SystemClock.elapsed().saturating_add(timeout);
        loop {
            match self.look() {
                Ok(delivery) => return delivery,
                Err(wake) => {
                    let left = ends.saturating_sub(SystemClock.elapsed());
                    if left.is_zero() || wake.wait_timeout(left).is_none() {
                        return self.try_recv();
                    }
                }
            }
        }
    }

    /// Waits for the next delivery as a task does; `None` when the engine is gone. Dropping the future loses nothing.
    pub async fn recv_async(&mut self) -> Option<Delivery> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// The next delivery or the end, or else what to wait for.
    fn look(&mut self) -> Result<Option<Delivery>, EventListener> {
        local::check_entry(local::OUTSIDE);
        if let Some(delivery) = self.try_recv() {
            return Ok(Some(delivery));
        }
        let Means::Reader(event) = &self.listener.means else { return Ok(None) };
        let wake = event.listen();
        let closed = self.listener.queue.is_closed();
        match self.try_recv() {
            None if !closed => Err(wake),
            delivery => Ok(delivery),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        loop {
            if self.waiting.is_none() {
                match self.look() {
                    Ok(delivery) => return Poll::Ready(delivery),
                    Err(wake) => self.waiting = Some(wake),
                }
            }
            if let Some(waiting) = &mut self.waiting {
                if Pin::new(waiting).poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.waiting = None;
            }
        }
    }
}

impl Iterator for Changes {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        self.recv()
    }
}

impl Stream for Changes {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.poll(context)
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            core.feed.remove(&self.listener);
        }
    }
}
