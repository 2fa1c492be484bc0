//! What follows a change, outside of every lock: dead entries are announced and dropped, those who waited are served, those who
//! listen are told.
//!
//! Invariants: I1: whatever a listener or a value's `Drop` does, everything else of the same change still happens; the first panic
//! goes on after it. I2: while this thread serves those who wait, listeners and handlers are put off until it has ended
//! (engine/wait): locks of the service are held meanwhile.

use super::Core;
use crate::engine::wait;
use crate::panics::Panics;
use crate::removal::{Bag, Dead, Removal};

impl Core {
    /// Announces and drops what left, serves those who waited for what came and tells those who listen, outside every lock.
    #[inline]
    pub(crate) fn bury(&self, bag: Bag) {
        if !bag.is_empty() || bag.is_ready() {
            self.bury_all([bag]);
        }
        self.deliver();
    }

    /// The same for what left several shards in one change.
    pub(crate) fn bury_each(&self, bags: impl IntoIterator<Item = Bag>) {
        self.bury_all(bags);
        self.deliver();
    }

    fn bury_all(&self, bags: impl IntoIterator<Item = Bag>) {
        let (mut panics, mut ready) = (Panics::default(), Vec::new());
        for mut bag in bags {
            bag.drain().for_each(|dead| self.bury_one(dead, &mut panics));
            ready.append(&mut bag.take_ready());
        }
        if panics.is_empty() {
            wait::serve(ready);
        } else {
            panics.catch(|| wait::serve(ready));
            panics.catch(|| self.deliver());
            panics.resume();
        }
    }

    #[inline]
    fn bury_one(&self, mut dead: Dead, panics: &mut Panics) {
        let blob = dead.blob.get();
        if let Some(meta) = blob.meta() {
            self.freshness.release_tags(meta.tags());
        }
        let is_heard = dead.cause.is_some() && self.settings.listener.is_some();
        if is_heard || blob.object().is_some() {
            // Code of others: now, unless locks are held.
            if let Some(dead) = wait::put_off(dead) {
                self.announce(dead, panics);
            }
            return;
        }
        self.inter(&mut dead.blob);
    }

    /// Runs the listener for a dead entry, and drops that.
    #[inline(never)]
    pub(crate) fn announce(&self, mut dead: Dead, panics: &mut Panics) {
        panics.catch(|| {
            if let (Some(cause), Some(listener)) = (dead.cause, &self.settings.listener) {
                let (blob, database) = (dead.blob.get(), self.logical(dead.database));
                listener(&Removal { key: blob.key(), cause, database, blob });
            }
            self.inter(&mut dead.blob);
            drop(dead);
        });
    }
}
