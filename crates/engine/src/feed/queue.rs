//! A bounded queue of one listener.
//!
//! ```text
//! pop <-- [missed before | change] [0 | change] ... <-- push        `missed`: dropped behind the last item
//! ```
//! Invariants: I1: at most `capacity` changes are held. I2: every change that was pushed is popped, or counted in the `Lagged` that is
//! popped in its place. Cost: O(1) each.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Change, Delivery};
use crate::sync::Mutex;

#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<(u64, Arc<Change>)>,
    missed: u64,
    /// Whether something came since the reader was last woken.
    news: bool,
    closed: bool,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::new(State::default()) }
    }

    pub(super) fn push(&self, change: &Arc<Change>) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        state.news = true;
        if state.items.len() < self.capacity {
            let missed = std::mem::take(&mut state.missed);
            state.items.push_back((missed, Arc::clone(change)));
        } else {
            state.missed += 1;
        }
    }

    pub(super) fn pop(&self) -> Option<Delivery> {
        let mut state = self.state.lock();
        let missed = match state.items.front_mut() {
            Some((missed, _)) => std::mem::take(missed),
            None => std::mem::take(&mut state.missed),
        };
        if missed > 0 {
            return Some(Delivery::Lagged { missed });
        }
        state.items.pop_front().map(|(_, change)| Delivery::Change(change))
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().items.len()
    }

    /// Whether something came since the last call.
    pub(super) fn take_news(&self) -> bool {
        std::mem::take(&mut self.state.lock().news)
    }

    /// Takes no more; what is held can still be popped.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}
