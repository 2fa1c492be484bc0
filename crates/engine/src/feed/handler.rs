//! Handlers: functions that are run for changes, by the threads that made them.
//!
//! ```text
//! deliver --> run: idle? pop -> running -> handler(engine, delivery) -> pop ... -> nothing left: idle
//!             running? leave it: whoever runs takes what was queued meanwhile
//! ```
//! Invariants: I1: one call of a handler at a time, in the order of the queue. I2: no lock is held during a call, so it may use the
//! engine; what it changes comes to it later, in the same loop, not inside the call. I3: a panic goes on into the thread that ran the
//! handler, whose own change is committed; the handler stays and is called for the next delivery. I4: after the guard is dropped no
//! call begins; one that is under way ends.

use std::fmt;
use std::sync::{Arc, Weak};

use super::{ChangeFilter, Delivery, Listener, Means, Queue};
use crate::engine::Engine;
use crate::keyspace::Core;
use crate::sync::Mutex;

type Function = Box<dyn FnMut(&Engine, &Delivery) + Send>;

pub(super) struct Handler {
    core: Weak<Core>,
    database: u16,
    /// The function, unless it is being run.
    state: Mutex<State>,
}

enum State {
    Idle(Function),
    Running,
    Gone,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Handler {
    /// Calls the function for all that waits, unless another call of it is under way.
    pub(super) fn run(&self, queue: &Queue) {
        // The caller is inside a call of this engine, so it is there.
        let Some(core) = self.core.upgrade() else { return };
        let engine = Engine::of_core(core, self.database);
        loop {
            let mut call = {
                let mut state = self.state.lock();
                if !matches!(*state, State::Idle(_)) {
                    return;
                }
                let Some(delivery) = queue.pop() else { return };
                let State::Idle(function) = std::mem::replace(&mut *state, State::Running) else { return };
                Call { handler: self, function: Some(function), delivery }
            };
            if let Some(function) = &mut call.function {
                function(&engine, &call.delivery);
            }
        }
    }

    /// Lets no call begin any more.
    fn end(&self) {
        let old = std::mem::replace(&mut *self.state.lock(), State::Gone);
        // What the function owns is the user's: dropped under no lock.
        drop(old);
    }
}

/// A call under way; gives the function back however it ends.
struct Call<'a> {
    handler: &'a Handler,
    function: Option<Function>,
    delivery: Delivery,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut state = self.handler.state.lock();
        if matches!(*state, State::Running) {
            if let Some(function) = self.function.take() {
                *state = State::Idle(function);
            }
        }
    }
}

/// Keeps a handler registered, made by [`Engine::on`](crate::Engine::on); dropping it removes the handler.
///
/// After the drop no call begins. One that is under way on another thread ends.
#[must_use = "a handler whose guard is dropped is not called"]
pub struct HandlerGuard {
    core: Weak<Core>,
    listener: Arc<Listener>,
}

impl HandlerGuard {
    pub(crate) fn new(
        core: &Arc<Core>,
        database: u16,
        filter: ChangeFilter,
        function: impl FnMut(&Engine, &Delivery) + Send + 'static,
    ) -> Self {
        let filter = filter.for_database(database);
        let queue = Queue::new(filter.waiting_max());
        let state = Mutex::new(State::Idle(Box::new(function)));
        let handler = Handler { core: Arc::downgrade(core), database, state };
        let listener = Arc::new(Listener { filter, queue, means: Means::Handler(handler) });
        core.feed.add(&listener);
        Self { core: Arc::downgrade(core), listener }
    }

    /// Leaves the handler registered for as long as the engine lives.
    pub fn keep(mut self) {
        self.core = Weak::new();
    }
}

impl fmt::Debug for HandlerGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerGuard").finish_non_exhaustive()
    }
}

impl Drop for HandlerGuard {
    fn drop(&mut self) {
        let Some(core) = self.core.upgrade() else { return };
        core.feed.remove(&self.listener);
        if let Means::Handler(handler) = &self.listener.means {
            handler.end();
        }
    }
}
