//! Blocking: BLPOP, BLMOVE, BLMPOP, BZPOPMIN, BZMPOP, XREAD BLOCK, XREADGROUP BLOCK.
//!
//! ```text
//! caller:  try -> nothing -> lock the shards of all keys -> type? -> into every key's queue -> unlock -> wait
//! pusher:  change under the lock -> key has a queue: Bag::ready -> unlock -> serve -> the pusher's call returns
//! serve:   for each ready key, one thread a shard: first waiter -> its attempt -> done: event, out of all queues; next
//! ```
//! lists.rs, sorted_sets.rs, streams.rs: the faces; request.rs: what is asked and what it gives; blocked.rs: the cell.
//!
//! Invariants: I1: a waiter's result is set once, with its cell locked: served, or taken out, never both. I2: locks are taken
//! in the order: turn of a shard, cell, shard; never backwards. I3: who waits for a key is served in the order of coming;
//! a caller that comes while others of its kind wait queues up behind them. I4: whoever puts a waiter into the queues has
//! looked, under the same locks, whether there is something already: no wake-up is lost. I5: a thread that serves does not
//! serve inside of that: what becomes ready meanwhile (a move into another list) waits in the thread's own list. I6: nor
//! does it run others' code: listeners and handlers hear of what attempts removed when the service is over, with no lock held.
//!
//! As in Redis: an attempt is for the key that became ready, whatever the other keys hold; a key that came to hold another type
//! leaves its waiters blocked, but for readers of a group, who get [`OpError::StreamGone`]; a group that is destroyed gives
//! [`OpError::NoSuchGroup`]; a target of another type gives [`OpError::WrongType`]. Service is over when the pusher's call
//! returns, after the whole of its transaction. Inside a transaction nobody waits: the calls find something there, or their
//! time is over. A panic of a removal listener that hears of what an attempt removed ends there; one of an attempt itself reaches
//! the waiter as [`OpError::Poisoned`]. Looked at inside a transaction, a waiter that is just being served has nothing yet; dropped
//! there, it leaves the queues after its end.
//!
//! Costs: a blocking call that finds something: its plain form, and one load. To block: O(k log n) for k keys with queues of
//! n. To serve: two locks beside the operation. It counts no bytes, knows no runtime and starts no thread.

mod blocked;
mod lists;
mod request;
mod sorted_sets;
mod streams;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) use blocked::Blocked;
use blocked::Served;
use request::{Delivery, Request};
pub(crate) use request::{Kind, Kinds};

use super::Engine;
use crate::config::TimeSource;
use crate::error::OpError;
use crate::keyspace::Left;
use crate::keyspace::interest::Ready;
use crate::panics::Panics;
use crate::removal::Dead;
use crate::sync::{EventListener, Listener, thread_local};

/// How long a caller sleeps before it looks at a clock that was given, which does not wake anybody.
const GLANCE: Duration = Duration::from_millis(1);
/// No sleep is longer, so that no sum of times overflows.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);

thread_local! {
    /// What this thread does while it serves (I5).
    static SERVICE: RefCell<Option<Service>> = const { RefCell::new(None) };
}

/// A service under way.
#[derive(Debug)]
struct Service {
    /// What is still to be served.
    ready: VecDeque<Ready>,
    /// What attempts removed, and others' code is to hear of or to drop (I6).
    dead: Vec<Dead>,
}

/// Serves those who wait for these keys; called with no shard locked.
#[inline]
pub(crate) fn serve(ready: Vec<Ready>) {
    if !ready.is_empty() {
        serve_all(ready);
    }
}

/// Whether this thread serves, so that code of others has to wait.
pub(crate) fn is_serving() -> bool {
    SERVICE.try_with(|service| service.borrow().is_some()).unwrap_or(false)
}

/// Keeps a dead entry until this thread's service is over; gives it back if there is none.
pub(crate) fn put_off(dead: Dead) -> Option<Dead> {
    let mut dead = Some(dead);
    let _ = SERVICE.try_with(|service| {
        if let Some(service) = &mut *service.borrow_mut() {
            service.dead.extend(dead.take());
        }
    });
    dead
}

#[cold]
fn serve_all(ready: Vec<Ready>) {
    let mine = SERVICE.with(|service| match &mut *service.borrow_mut() {
        Some(service) => {
            service.ready.extend(ready);
            false
        }
        none => {
            *none = Some(Service { ready: ready.into(), dead: Vec::new() });
            true
        }
    });
    if !mine {
        return;
    }
    let mut panics = Panics::default();
    let mut served: Vec<(Engine, Vec<Dead>)> = Vec::new();
    while let Some(next) = with_service(|service| service.ready.pop_front()).flatten() {
        panics.catch(|| serve_key(&next));
        let mut dead = with_service(|service| std::mem::take(&mut service.dead)).unwrap_or_default();
        match served.iter_mut().find(|(engine, _)| engine.core.is_same(&next.engine.core)) {
            Some((_, others)) => others.append(&mut dead),
            None => served.push((next.engine, dead)),
        }
    }
    drop(SERVICE.with(RefCell::take));
    for (engine, dead) in served {
        // Neither who pushed nor who waited has to do with a listener's panic; the panic hook has reported it.
        dead.into_iter().for_each(|dead| engine.core.announce(dead, &mut Panics::default()));
        panics.catch(|| engine.core.deliver());
    }
    panics.resume();
}

fn with_service<R>(f: impl FnOnce(&mut Service) -> R) -> Option<R> {
    SERVICE.with(|service| service.borrow_mut().as_mut().map(f))
}

/// Lets the waiters of a key try, from the first one on, until there is nothing left for any of them.
fn serve_key(ready: &Ready) {
    let (engine, key) = (&ready.engine, &*ready.key);
    let core = &*engine.core;
    let hash = core.hash(key);
    let shard = core.shard_of(hash);
    let mut served = Vec::new();
    let turn = core.shards[shard].serving.lock();
    let mut kinds = ready.only.map_or(Kinds::ALL, Kinds::of);
    let mut behind = 0;
    loop {
        let next = core.write_in(shard, engine.db, |write| {
            Ok(write.state().interest.next(hash, engine.db, key, (behind, kinds)))
        });
        // Nobody is served from a poisoned shard.
        let Ok(Some(waiter)) = next else { break };
        behind = waiter.ticket();
        match waiter.attempt(key) {
            Served::Done => {
                waiter.leave();
                served.push(waiter);
            }
            // What one of them does not find, the others of its kind do not find either.
            Served::Nothing if waiter.kind().takes() => kinds = kinds.without(waiter.kind()),
            Served::Nothing | Served::Over => {}
        }
    }
    drop(turn);
    // Wakers are code of others: they run outside of every lock.
    let mut panics = Panics::default();
    for waiter in served {
        panics.catch(|| {
            waiter.landed.notify(usize::MAX);
        });
    }
    panics.resume();
}

/// Checks that every waiter is listed under all of its keys, and waits.
#[cfg(any(test, fuzzing))]
pub(crate) fn validate(core: &crate::keyspace::Core) {
    let mut all: Vec<Arc<Blocked>> = Vec::new();
    for shard in &core.shards {
        let state = shard.state.read();
        for (key, waiter) in state.interest.waiters() {
            assert!(waiter.keys().iter().any(|own| **own == *key), "listed under a key of its own");
            all.push(Arc::clone(waiter));
        }
    }
    for waiter in &all {
        assert!(waiter.is_waiting(), "I1: who is served has left the queues");
        for key in waiter.keys() {
            let hash = core.hash(key);
            let state = core.shards[core.shard_of(hash)].state.read();
            assert!(state.interest.lists(hash, waiter.engine().db, key, waiter), "listed under every key");
        }
    }
    all.sort_unstable_by_key(|waiter| waiter.ticket());
    all.dedup_by_key(|waiter| waiter.ticket());
    assert_eq!(
        core.waiting.load(std::sync::atomic::Ordering::Relaxed),
        all.len(),
        "the count of those who wait"
    );
}

/// Makes the result of a caller out of what was delivered for these keys.
type Convert<R> = fn(&[Box<[u8]>], Delivery) -> Result<R, OpError>;

/// A place in the queues of one or more keys, and what comes of it: what the blocking calls wait on, and a future.
///
/// It takes its place when it is made, not when it is first polled, and needs no particular runtime. Whoever has it waits
/// ([`wait`](Self::wait)), polls ([`poll_result`](Self::poll_result)), awaits it, or drops it.
///
/// Dropping it takes it out of the queues. What was delivered to it and not taken goes back: elements of a list to the end
/// from which they came, in their order; members of a sorted set with their scores, unless they were added anew meanwhile.
/// Back means to the present key, past the limits if need be; only if that holds another type by then are they gone. An
/// element that was moved to another list stays there, and entries that a group delivered are pending with the consumer.
///
/// # Examples
/// ```
/// use larder::End;
/// let engine = larder::Engine::new();
/// let jobs = engine.list::<String>("jobs");
/// let mut waiter = jobs.pop_async(End::Head);
/// assert!(waiter.poll_result().is_none());
/// jobs.push_back("wash")?;
/// assert!(jobs.is_empty()?, "it was handed over before the push returned");
/// assert_eq!(waiter.poll_result().unwrap()?, "wash");
/// # Ok::<(), larder::OpError>(())
/// ```
#[must_use = "dropping it takes it out of the queue"]
pub struct Waiter<R> {
    blocked: Arc<Blocked>,
    convert: Convert<R>,
    listener: Option<EventListener>,
}

impl<R> fmt::Debug for Waiter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("blocked", &self.blocked).finish_non_exhaustive()
    }
}

impl<R> Waiter<R> {
    /// Tries, and takes its place in the queues if there is nothing yet.
    fn start<K: AsRef<[u8]>>(engine: &Engine, keys: &[K], request: Request, convert: Convert<R>) -> Self {
        let blocked = Arc::new(Blocked::new(engine, keys, request));
        blocked.begin();
        Self { blocked, convert, listener: None }
    }

    /// Returns the result once it is there; once. `None` before that, and after it.
    ///
    /// **Complexity** O(1), no shard lock.
    #[must_use]
    pub fn poll_result(&mut self) -> Option<Result<R, OpError>> {
        let delivered = self.blocked.take()?;
        Some(delivered.and_then(|delivery| (self.convert)(self.blocked.keys(), delivery)))
    }

    /// Waits for the result, but no longer than `timeout`, `None` for ever; then takes itself out of the queues and returns
    /// `None`. With a clock that was given to the engine the time is measured on that clock.
    ///
    /// # Errors
    /// What the plain form of the operation may give; [`OpError::StreamGone`] and [`OpError::NoSuchGroup`] for readers of a
    /// group that is no more.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let engine = larder::Engine::new();
    /// let waiter = engine.list::<u32>("list").pop_async(larder::End::Head);
    /// assert_eq!(waiter.wait(Some(Duration::from_millis(1)))?, None);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn wait(mut self, timeout: Option<Duration>) -> Result<Option<R>, OpError> {
        self.sleep(timeout);
        self.cancel()
    }

    /// Waits until the result is there, but no longer than `timeout`, and keeps its place in the queues; tells whether it is
    /// there.
    pub fn sleep(&mut self, timeout: Option<Duration>) -> bool {
        if !self.blocked.is_waiting() {
            return true;
        }
        let clock = &self.blocked.engine().core.settings.clock;
        let end = timeout.map(|timeout| clock.elapsed().saturating_add(timeout));
        let slice = if matches!(clock, TimeSource::System(_)) { SLEEP_MAX } else { GLANCE };
        while self.blocked.is_waiting() {
            let listener = self.blocked.landed.listen();
            if !self.blocked.is_waiting() {
                break;
            }
            match end.map(|end| end.saturating_sub(clock.elapsed())) {
                None => listener.wait(),
                Some(Duration::ZERO) => return false,
                Some(left) => drop(listener.wait_timeout(left.min(slice))),
            }
        }
        true
    }

    /// Takes itself out of the queues; returns what was delivered before that, if anything was.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn cancel(mut self) -> Result<Option<R>, OpError> {
        self.blocked.retire();
        self.poll_result().transpose()
    }
}

impl<R> Future for Waiter<R> {
    type Output = Result<R, OpError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Some(result) = self.poll_result() {
                self.listener = None;
                return Poll::Ready(result);
            }
            if !self.blocked.is_waiting() {
                return Poll::Ready(Err(OpError::InvalidArgument("the result was taken before")));
            }
            let mut listener = self.listener.take();
            match &mut listener {
                // Looks once more: the result may have come before the listener did.
                None => listener = Some(self.blocked.landed.listen()),
                Some(waiting) => match Pin::new(waiting).poll(context) {
                    Poll::Ready(()) => listener = None,
                    Poll::Pending => {
                        self.listener = listener;
                        return Poll::Pending;
                    }
                },
            }
            self.listener = listener;
        }
    }
}

impl<R> Drop for Waiter<R> {
    fn drop(&mut self) {
        if self.blocked.is_elsewhere() {
            self.blocked.engine().core.share().let_go(Left::Waiter(Arc::clone(&self.blocked)));
        } else {
            self.blocked.end();
        }
    }
}
