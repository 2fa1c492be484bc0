//! Keyspace events on their way to the channels that Redis publishes them on.
//!
//! ```text
//! commit, under the locks --> told --publish, one thread at a time, no lock--> __keyspace@0__:key   set
//!                                                                              __keyevent@0__:set   key
//! ```
//! Invariant: events go out in the order of the changes. A thread that finds another one publishing leaves its own events to it.

use std::sync::atomic::Ordering;

use super::change::Change;
use super::event::{self, Class, Event};
use super::{Feed, Flags};
use crate::keyspace::Core;
use crate::sync::Mutex;

/// An event to publish.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) database: u16,
    pub(crate) key: Box<[u8]>,
    pub(crate) event: Event,
}

impl Told {
    pub(super) fn of(change: &Change) -> Self {
        let event = Event { name: change.event, class: change.class };
        Self { database: change.database, key: change.key.clone(), event }
    }
}

impl Feed {
    pub(crate) fn flags(&self) -> Flags {
        Flags::from_bits(self.flags.load(Ordering::Relaxed))
    }

    pub(crate) fn set_flags(&self, flags: Flags) {
        let inner = self.inner.lock();
        self.flags.store(flags.bits(), Ordering::Relaxed);
        self.reconsider(&inner);
    }

    /// Whether a key that a read did not find is told.
    #[inline]
    fn tells_of_misses(&self) -> bool {
        self.flags().admit(Class::Miss)
    }

    /// Publishes what waits, unless another thread does.
    pub(super) fn publish(&self, core: &Core) {
        let mut inner = self.inner.lock();
        if inner.publishing || inner.told.is_empty() {
            return;
        }
        inner.publishing = true;
        drop(inner);
        let publishing = Publishing(&self.inner);
        loop {
            let told = {
                let mut inner = self.inner.lock();
                if inner.told.is_empty() {
                    inner.publishing = false;
                    break;
                }
                std::mem::take(&mut inner.told)
            };
            told.iter().for_each(|one| self.send(one, core));
        }
        std::mem::forget(publishing);
    }

    fn send(&self, told: &Told, core: &Core) {
        let (flags, name) = (self.flags(), told.event.name);
        if flags.keyspace() {
            let mut channel = format!("__keyspace@{}__:", told.database).into_bytes();
            channel.extend_from_slice(&told.key);
            core.publish_now(&channel, name.as_bytes());
        }
        if flags.keyevent() {
            core.publish_now(format!("__keyevent@{}__:{name}", told.database).as_bytes(), &told.key);
        }
    }
}

impl Core {
    /// Tells of a key that a read did not find, if that is asked for; no lock is held but those of a transaction.
    #[inline]
    pub(crate) fn tell_of_miss(&self, database: u16, key: &[u8]) {
        if self.feed.tells_of_misses() {
            self.tell_of_miss_now(database, key);
        }
    }

    #[cold]
    fn tell_of_miss_now(&self, database: u16, key: &[u8]) {
        let told = Told { database, key: key.into(), event: event::KEYMISS };
        self.feed.inner.lock().told.push_back(told);
        self.feed.outstanding.store(true, Ordering::Release);
        self.deliver();
    }
}

/// Ends the publishing should a subscriber's waker panic.
struct Publishing<'a>(&'a Mutex<super::Inner>);

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        self.0.lock().publishing = false;
    }
}
