//! The feed: who is told of changes, in the order in which they were committed.
//!
//! ```text
//! change --> Changelog (one a set of locks) --commit, under the locks--> Feed: number, filter --+--> Queue --> Changes::recv
//!                                                                                         +--> Queue --> handler
//! unlock --> deliver: wake readers, run handlers, publish keyspace events                 +--> effects --> take_effects
//!                                                                                         +--> events  --> publish
//! ```
//! Invariants: I1: sequence numbers are given under one mutex while the shard locks of the change are held, so the order of a
//! key is the order of its commits, and what was committed together has numbers in a row. I2: whether a change is recorded is
//! asked once, after its locks were taken: a listener hears all of a change or nothing of it, and nothing it misses is hidden
//! from a read that begins after it was registered. I3: a queue that is full drops the newest and counts them; the count is told
//! in their place. No writer waits for a reader. I4: under a lock nothing of a user's is run or dropped: readers are woken,
//! handlers run and values encoded after the unlock. I5: readers are woken before handlers run, so that a handler that panics
//! keeps nobody asleep.
//!
//! Lock order: shards, then the feed, then a queue. None of the two is held while anything else is waited for.
//!
//! Cost: nobody listens: one relaxed load a change. Somebody listens: the change is copied (a string with its value), then
//! O(l) for l listeners, each a filter and, where it matches, a pointer into a queue. Changes share one copy among all listeners.
//!
//! Not done: what was changed while nobody listened has no number and cannot be asked for; nothing is kept on disk.

mod change;
mod changes;
pub(crate) mod event;
mod filter;
mod flags;
mod handler;
pub(crate) mod log;
mod queue;
mod spread;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

pub use change::{Change, Delivery};
pub use changes::Changes;
pub use filter::ChangeFilter;
pub(crate) use flags::Flags;
pub use handler::HandlerGuard;

use self::handler::Handler;
use self::log::{Changelog, Entry};
use self::queue::Queue;
use self::spread::Told;
use crate::effect::Effect;
use crate::engine::wait;
use crate::keyspace::Core;
use crate::local;
use crate::sync::{Event, Mutex};

/// One who is told: what of, where it waits, and how he gets it.
#[derive(Debug)]
pub(crate) struct Listener {
    filter: ChangeFilter,
    queue: Queue,
    means: Means,
}

#[derive(Debug)]
enum Means {
    /// He comes for it, and is woken.
    Reader(Event),
    /// It is brought to him.
    Handler(Handler),
}

/// What an engine knows of those who listen.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Whether changes are recorded at all.
    recording: AtomicBool,
    /// Whether something was committed that was not delivered yet.
    outstanding: AtomicBool,
    /// The keyspace events that are asked for.
    flags: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    sequence: u64,
    keeps_effects: bool,
    effects: Vec<Arc<Change>>,
    /// Replaced as a whole, so that deliveries may walk it without the mutex.
    listeners: Arc<[Arc<Listener>]>,
    told: VecDeque<Told>,
    /// Whether a thread is publishing; it takes what others add.
    publishing: bool,
}

impl Feed {
    pub(crate) fn new(keeps_effects: bool) -> Self {
        let inner = Inner {
            sequence: 0,
            keeps_effects,
            effects: Vec::new(),
            listeners: Arc::default(),
            told: VecDeque::new(),
            publishing: false,
        };
        Self {
            recording: AtomicBool::new(keeps_effects),
            outstanding: AtomicBool::new(false),
            flags: AtomicU32::new(0),
            inner: Mutex::new(inner),
        }
    }

    #[inline]
    pub(crate) fn is_recording(&self) -> bool {
        self.recording.load(Ordering::Relaxed)
    }

    /// Sees to it that the next delivery looks.
    pub(crate) fn stir(&self) {
        self.outstanding.store(true, Ordering::Release);
    }

    /// Adds or takes out listeners.
    fn change_listeners(&self, change: impl FnOnce(&mut Vec<Arc<Listener>>)) {
        let mut inner = self.inner.lock();
        let mut listeners = inner.listeners.to_vec();
        change(&mut listeners);
        let old = std::mem::replace(&mut inner.listeners, listeners.into());
        self.reconsider(&inner);
        drop(inner);
        // The last reference to a queue may be here, with values whose drop is a user's (I4).
        drop(old);
    }

    fn reconsider(&self, inner: &Inner) {
        let on = inner.keeps_effects || !inner.listeners.is_empty() || self.flags().are_on();
        self.recording.store(on, Ordering::Relaxed);
    }

    fn add(&self, listener: &Arc<Listener>) {
        self.change_listeners(|listeners| listeners.push(Arc::clone(listener)));
    }

    fn remove(&self, listener: &Arc<Listener>) {
        self.change_listeners(|listeners| listeners.retain(|one| !Arc::ptr_eq(one, listener)));
        listener.queue.close();
    }

    /// Numbers what one set of locks changed and hands it to those who listen.
    fn commit(&self, entries: Vec<Entry>) {
        let flags = self.flags();
        let mut inner = self.inner.lock();
        let batch = inner.sequence + 1;
        // Whoever is not concerned costs no delivery.
        let mut waits = false;
        for entry in entries {
            match entry {
                Entry::Change { mut change, told } => {
                    inner.sequence += 1;
                    (change.sequence, change.batch) = (inner.sequence, batch);
                    if told && flags.admit(change.class) {
                        inner.told.push_back(Told::of(&change));
                    }
                    waits |= inner.hand_out(change);
                }
                Entry::Notice(told) => {
                    if flags.admit(told.event.class) {
                        inner.told.push_back(told);
                    }
                }
            }
        }
        waits |= !inner.told.is_empty();
        drop(inner);
        if waits {
            self.outstanding.store(true, Ordering::Release);
        }
    }

    /// Wakes and runs those who have something; no lock is held.
    #[cold]
    fn deliver(&self, core: &Core) {
        // Inside a transaction locks are held; whoever ends it delivers.
        // So does whoever serves those who wait, at the end of that.
        if local::in_section() || wait::is_serving() {
            return;
        }
        while self.outstanding.swap(false, Ordering::AcqRel) {
            // A panic on the way leaves the rest to the next writer.
            let again = Again(&self.outstanding);
            core.let_go_late();
            let listeners = Arc::clone(&self.inner.lock().listeners);
            for listener in listeners.iter() {
                if let Means::Reader(event) = &listener.means {
                    if listener.queue.take_news() {
                        event.notify(usize::MAX);
                    }
                }
            }
            self.publish(core);
            for listener in listeners.iter() {
                if let Means::Handler(handler) = &listener.means {
                    handler.run(&listener.queue);
                }
            }
            std::mem::forget(again);
        }
    }
}

/// Says again that something waits, unless it is forgotten.
struct Again<'a>(&'a AtomicBool);

impl Drop for Again<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Inner {
    /// Gives a change to those whose filter admits it; whether there is anyone.
    fn hand_out(&mut self, change: Change) -> bool {
        let first = self.listeners.iter().position(|listener| listener.filter.admits(&change));
        if first.is_none() && !self.keeps_effects {
            return false;
        }
        let change = Arc::new(change);
        if let Some(first) = first {
            self.listeners[first].queue.push(&change);
            let others = self.listeners.iter().skip(first + 1);
            others.filter(|listener| listener.filter.admits(&change)).for_each(|one| one.queue.push(&change));
        }
        if self.keeps_effects {
            self.effects.push(change);
        }
        first.is_some()
    }
}

impl Drop for Feed {
    /// The engine is gone: readers get what is left and then an end.
    fn drop(&mut self) {
        for listener in self.inner.lock().listeners.iter() {
            listener.queue.close();
            if let Means::Reader(event) = &listener.means {
                event.notify(usize::MAX);
            }
        }
    }
}

impl Core {
    /// Whether changes are recorded; to be asked once a set of locks, after they were taken (I2).
    #[inline]
    pub(crate) fn is_recording(&self) -> bool {
        self.feed.is_recording()
    }

    /// Hands on what was changed under locks that are still held: the one way out.
    #[inline]
    pub(crate) fn commit(&self, log: &Changelog) {
        if log.is_recording() {
            let entries = log.take();
            if !entries.is_empty() {
                self.feed.commit(entries);
            }
        }
    }

    /// Wakes readers, publishes keyspace events and runs handlers. No lock is held by the caller.
    #[inline]
    pub(crate) fn deliver(&self) {
        if self.feed.outstanding.load(Ordering::Relaxed) {
            self.feed.deliver(self);
        }
    }

    pub(crate) fn take_effects(&self) -> Vec<Effect> {
        let changes = std::mem::take(&mut self.feed.inner.lock().effects);
        changes.into_iter().map(change::into_effect).collect()
    }
}
