//! A blocked caller: what it asks for, and what came of it.
//!
//! ```text
//! Waiting --attempt--> Landed(result) --take--> Over
//!         `--retire-----------------------------^
//! ```
//! Invariants: I1: while it is Waiting it is listed under all of its keys, but for the moment in which it is listed. I2: who
//! turns Waiting into anything else takes it off the lists; that is one thread. I3: an attempt runs with the state locked, so
//! whoever retires a waiter waits for an attempt under way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::request::{Delivery, Kind, Request};
use super::serve;
use crate::engine::Engine;
use crate::error::OpError;
use crate::hash::KeyHash;
use crate::keyspace::Core;
use crate::keyspace::interest::Ready;
use crate::local;
use crate::sync::{Event, Mutex};

/// The tickets of all engines: their order is all that matters.
static TICKETS: AtomicU64 = AtomicU64::new(1);

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// The waiter has its result.
    Done,
    /// There was nothing for it.
    Nothing,
    /// It does not wait any more.
    Over,
}

#[derive(Debug)]
enum State {
    Waiting,
    Landed(Result<Delivery, OpError>),
    Over,
}

/// A blocked caller.
#[derive(Debug)]
pub(crate) struct Blocked {
    ticket: u64,
    engine: Engine,
    keys: Box<[Box<[u8]>]>,
    request: Request,
    state: Mutex<State>,
    pub(super) landed: Event,
}

impl Blocked {
    pub(super) fn new<K: AsRef<[u8]>>(engine: &Engine, keys: &[K], request: Request) -> Self {
        Self {
            ticket: TICKETS.fetch_add(1, Ordering::Relaxed),
            engine: engine.clone(),
            keys: keys.iter().map(|key| key.as_ref().into()).collect(),
            request,
            state: Mutex::new(State::Waiting),
            landed: Event::new(),
        }
    }

    pub(crate) fn ticket(&self) -> u64 {
        self.ticket
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn keys(&self) -> &[Box<[u8]>] {
        &self.keys
    }

    pub(crate) fn kind(&self) -> Kind {
        self.request.kind()
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.look(|state| matches!(state, State::Waiting)).unwrap_or(true)
    }

    /// Shows the state; `None` inside a transaction while an attempt is under way, which may wait for a shard that this
    /// thread holds.
    fn look<R>(&self, show: impl FnOnce(&mut State) -> R) -> Option<R> {
        if local::in_section() {
            self.state.try_lock().map(|mut state| show(&mut state))
        } else {
            Some(show(&mut self.state.lock()))
        }
    }

    fn hashes(&self) -> Vec<KeyHash> {
        self.keys.iter().map(|key| self.engine.core.hash(key)).collect()
    }

    /// The caller's first look: a result at once, or a place in the queues.
    pub(super) fn begin(self: &Arc<Self>) {
        let result = match self.first_look() {
            Ok(Some(delivery)) => Ok(delivery),
            Ok(None) => {
                // Inside a transaction nothing can come: the wait is over at once.
                if self.engine.core.is_within() {
                    *self.state.lock() = State::Over;
                }
                return;
            }
            Err(error) => Err(error),
        };
        let is_delivered = result.is_ok();
        *self.state.lock() = State::Landed(result);
        if is_delivered && self.engine.core.is_within() {
            self.engine.core.note_delivery(Arc::clone(self));
        }
    }

    /// The transaction in which it got its result was taken back, and that with it.
    pub(crate) fn void(&self) {
        *self.state.lock() = State::Over;
    }

    fn first_look(self: &Arc<Self>) -> Result<Option<Delivery>, OpError> {
        if self.keys.is_empty() {
            return Err(OpError::InvalidArgument("there is no key to wait for"));
        }
        if self.engine.core.is_within() {
            return self.request.try_all(&self.engine, &self.keys);
        }
        // Whoever takes something lets those go first who wait for it already.
        if !(self.kind().takes() && any_waits(&self.engine, &self.keys, self.kind())?) {
            if let Some(delivery) = self.request.try_all(&self.engine, &self.keys)? {
                return Ok(Some(delivery));
            }
        }
        let ready = self.enlist()?;
        serve(ready);
        Ok(None)
    }

    /// Puts the waiter into the queues of its keys, all locked; returns those that have something for it already.
    fn enlist(self: &Arc<Self>) -> Result<Vec<Ready>, OpError> {
        let (engine, core) = (&self.engine, &*self.engine.core);
        let hashes = self.hashes();
        let shards = engine.shards_of(&hashes);
        let at_of =
            |hash| shards.binary_search(&core.shard_of(hash)).expect("I1: the shard of every key is locked");
        core.waiting.fetch_add(1, Ordering::Relaxed);
        let listed = core.write_many(engine.db, &shards, |writes| {
            let mut ready = Vec::new();
            for (index, (key, &hash)) in self.keys.iter().zip(&hashes).enumerate() {
                if self.request.is_ready(&mut writes[at_of(hash)], hash, (index, key))? {
                    let only = Some(self.kind());
                    ready.push(Ready { engine: engine.clone(), key: key.clone(), only });
                    if self.kind().takes() {
                        break;
                    }
                }
            }
            for (key, &hash) in self.keys.iter().zip(&hashes) {
                writes[at_of(hash)].state().interest.enlist(hash, engine.db, key, self);
            }
            Ok(ready)
        });
        if listed.is_err() {
            core.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        listed
    }

    /// Tries to get what came under one of its keys.
    pub(super) fn attempt(&self, key: &[u8]) -> Served {
        let mut state = self.state.lock();
        if !matches!(*state, State::Waiting) {
            return Served::Over;
        }
        let Some(index) = self.keys.iter().position(|own| **own == *key) else { return Served::Nothing };
        // An attempt runs removal listeners, on the thread of somebody who has nothing to do with them.
        let tried = catch_unwind(AssertUnwindSafe(|| self.request.try_key(&self.engine, (index, key))));
        let result = match tried {
            Ok(Ok(None)) => return Served::Nothing,
            Ok(Ok(Some(delivery))) => Ok(delivery),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(OpError::Poisoned),
        };
        *state = State::Landed(result);
        Served::Done
    }

    /// Takes the result, if it is there.
    pub(super) fn take(&self) -> Option<Result<Delivery, OpError>> {
        self.look(|state| match std::mem::replace(state, State::Over) {
            State::Landed(result) => Some(result),
            other => {
                *state = other;
                None
            }
        })?
    }

    /// Waits no more; a result that is there stays to be taken.
    pub(super) fn retire(&self) {
        if local::in_section() {
            // Only one of the same transaction may; the others are refused here, before their state is waited for.
            let _own: &Core = &self.engine.core;
        }
        let mut state = self.state.lock();
        if matches!(*state, State::Waiting) {
            *state = State::Over;
            drop(state);
            self.leave();
        }
    }

    /// Takes the waiter off the lists of its keys.
    pub(super) fn leave(&self) {
        let (db, core) = (self.engine.db, &*self.engine.core);
        for key in &self.keys {
            // Of a poisoned shard nobody reads the lists any more.
            let _ = core.write(db, key, |write, hash| {
                write.state().interest.delist(hash, db, key, self);
                Ok(())
            });
        }
        core.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Leaves the queues; what was delivered and not taken goes back.
    pub(crate) fn end(&self) {
        self.retire();
        if let Some(Ok(delivery)) = self.take() {
            self.give_back(delivery);
        }
    }

    /// Whether this thread is inside of something that is not where the waiter was made.
    pub(super) fn is_elsewhere(&self) -> bool {
        local::in_section() && !self.engine.core.is_current()
    }

    /// Puts back what nobody took.
    fn give_back(&self, delivery: Delivery) {
        // A handle of a transaction is refused when that has ended, and any other one inside.
        let outside = Engine { core: self.engine.core.within(local::OUTSIDE), db: self.engine.db };
        let engine = if self.engine.core.is_current() { &self.engine } else { &outside };
        if engine.core.is_current() {
            // The key may hold another type by now, or its shard be poisoned: then there is no place for it.
            let _ = self.request.give_back(engine, &self.keys, delivery);
        }
    }
}

/// Whether callers of a kind wait for any of these keys.
pub(super) fn any_waits<K: AsRef<[u8]>>(engine: &Engine, keys: &[K], kind: Kind) -> Result<bool, OpError> {
    let (db, core) = (engine.db, &*engine.core);
    if core.waiting.load(Ordering::Relaxed) == 0 {
        return Ok(false);
    }
    for key in keys {
        let key = key.as_ref();
        let queued =
            core.write(db, key, |write, hash| Ok(write.state().interest.queued(hash, db, key, kind)))?;
        if queued > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
