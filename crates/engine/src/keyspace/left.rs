//! Watches and waiters that were dropped where no engine may be entered: inside a transaction, or a closure under a shard lock.
//! A `Drop` cannot refuse, so they leave their keys later: at the end of the transaction, else with the next write of the engine.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Core;
use crate::engine::wait::Blocked;
use crate::local;

/// One that is to leave.
#[derive(Debug)]
pub(crate) enum Left {
    /// A watch: its database, its keys and its flag.
    Watch(u16, Vec<Box<[u8]>>, Arc<AtomicBool>),
    /// A waiter; what was delivered to it goes back.
    Waiter(Arc<Blocked>),
}

impl Core {
    /// Lets a watch or a waiter go, now or as soon as that is possible.
    pub(crate) fn let_go(&self, left: Left) {
        if local::in_section() {
            self.left.lock().push(left);
            self.feed.stir();
            return;
        }
        match left {
            Left::Watch(db, keys, flag) => self.unwatch(db, &keys, &flag),
            Left::Waiter(blocked) => blocked.end(),
        }
    }

    /// Lets those go that could not go when they were dropped; no lock is held.
    pub(crate) fn let_go_late(&self) {
        let left = std::mem::take(&mut *self.left.lock());
        left.into_iter().for_each(|left| self.let_go(left));
    }

    fn unwatch(&self, db: u16, keys: &[Box<[u8]>], flag: &Arc<AtomicBool>) {
        for key in keys {
            // Of a poisoned shard nobody reads the registry any more.
            let _ = self.write(db, key, |write, hash| {
                write.state().interest.unwatch(hash, db, key, flag);
                Ok(())
            });
        }
    }
}
