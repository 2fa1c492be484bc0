//! Large collections that are dead and not freed yet: a million members are given back in steps, by writers on their way and
//! by maintenance, so that no call pays for all of them.
//!
//! Invariants: I1: `bytes` is what the collections here were charged, and the byte budget has granted it. I2: nobody who needs
//! room waits for maintenance: `grave_empty` frees everything first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Core;
use super::blob::Blob;
use crate::collections::Collection;
use crate::memory::Resource;
use crate::sync::Mutex;

/// Collections that were charged less than this are freed at once.
const AT_ONCE_BYTES: u64 = 64 * 1024;
/// Nodes that a write frees on its way.
const SLICE_NODES: usize = 16;

/// The dead, and what they were charged.
#[derive(Debug, Default)]
pub(crate) struct Grave {
    dead: Mutex<VecDeque<(Collection, u64)>>,
    bytes: AtomicU64,
}

impl Grave {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Core {
    /// Takes a large collection out of an entry that is about to be dropped.
    pub(super) fn inter(&self, blob: &mut Blob) {
        let model = self.settings.model;
        let Some(held) = blob.collection_mut() else { return };
        let charged = held.body.charged(model);
        if charged < AT_ONCE_BYTES {
            return;
        }
        let empty = Collection::empty_like(&held.body);
        let body = std::mem::replace(&mut held.body, empty);
        // What the shard no longer uses is still in use here.
        self.budget(Resource::Bytes).take_anyway(charged);
        self.grave.bytes.fetch_add(charged, Ordering::Relaxed);
        self.grave.dead.lock().push_back((body, charged));
    }

    /// Frees a little of what is dead, if anything is.
    #[inline]
    pub(super) fn grave_slice(&self) {
        if self.grave.bytes() > 0 {
            self.grave_free(SLICE_NODES);
        }
    }

    /// Frees about `nodes` nodes; `true` when nothing is left to free.
    #[cold]
    pub(crate) fn grave_free(&self, nodes: usize) -> bool {
        // Taken out, so that nobody waits for the lock while nodes are freed.
        let Some((mut body, charged)) = self.grave.dead.lock().pop_front() else {
            return self.grave.bytes() == 0;
        };
        if body.free_some(nodes) {
            drop(body);
            self.grave.bytes.fetch_sub(charged, Ordering::Relaxed);
            self.budget(Resource::Bytes).give(charged);
        } else {
            self.grave.dead.lock().push_front((body, charged));
        }
        self.grave.bytes() == 0
    }

    /// Frees everything that is dead.
    pub(super) fn grave_empty(&self) {
        loop {
            let Some((body, charged)) = self.grave.dead.lock().pop_front() else { return };
            drop(body);
            self.grave.bytes.fetch_sub(charged, Ordering::Relaxed);
            self.budget(Resource::Bytes).give(charged);
        }
    }
}
