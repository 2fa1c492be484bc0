//! Single flight: of many callers that miss the same key, one loads and all get the result.
//!
//! ```text
//! miss -> shard lock -> flight for (database, key, T, E)?  no  -> entry added, this caller leads
//!                                                          yes -> this caller waits for its event
//! leader: done / failed / gone (panicked, dropped) -> outcome set, entry removed, all waiters woken
//! ```
//! Invariants: I1: a flight's entry is in the shard's list from the leader's joining to its landing, unless a write to
//! the key detached it; only a flight still listed installs its value. I2: the outcome is set once, before the event.
//! I3: a leader that ends without an outcome leaves `Gone`, so waiters start anew and one of them leads with a loader of its own.
//! I4: no lock is held while a loader runs or a caller waits.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::sync::Arc;

use crate::sync::{Event, EventListener, Mutex, thread_local};

thread_local! {
    /// The flights whose loaders run on this thread right now, by address: a loader that asks for its own key
    /// would wait for itself.
    static LOADING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// How a flight ended.
#[derive(Debug)]
pub(crate) enum Outcome<T, E> {
    Done(Arc<T>),
    Failed(Arc<E>),
    /// The leader panicked or was dropped.
    Gone,
}

impl<T, E> Clone for Outcome<T, E> {
    fn clone(&self) -> Self {
        match self {
            Self::Done(value) => Self::Done(Arc::clone(value)),
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Gone => Self::Gone,
        }
    }
}

/// One load under way.
#[derive(Debug)]
pub(crate) struct Flight<T, E> {
    outcome: Mutex<Option<Outcome<T, E>>>,
    landed: Event,
}

impl<T, E> Flight<T, E> {
    pub(crate) fn new() -> Self {
        Self { outcome: Mutex::new(None), landed: Event::new() }
    }

    /// Ends the flight and wakes everybody (I2).
    pub(crate) fn land(&self, outcome: Outcome<T, E>) {
        let mut slot = self.outcome.lock();
        if slot.is_none() {
            *slot = Some(outcome);
        }
        drop(slot);
        self.landed.notify(usize::MAX);
    }

    pub(crate) fn outcome(&self) -> Option<Outcome<T, E>> {
        self.outcome.lock().clone()
    }

    /// What to wait for; look at the outcome once more after this call.
    pub(crate) fn listen(&self) -> EventListener {
        self.landed.listen()
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether this thread is running this flight's loader.
    pub(crate) fn is_loading_here(&self) -> bool {
        LOADING.with(|loading| loading.borrow().contains(&self.address()))
    }

    /// Marks that this thread runs the loader, until the guard is dropped.
    pub(crate) fn loading(&self) -> Loading {
        LOADING.with(|loading| loading.borrow_mut().push(self.address()));
        Loading(())
    }
}

/// The mark of a running loader.
#[derive(Debug)]
pub(crate) struct Loading(());

impl Drop for Loading {
    fn drop(&mut self) {
        LOADING.with(|loading| loading.borrow_mut().pop());
    }
}

/// A flight in its shard's list.
#[derive(Debug)]
pub(crate) struct FlightEntry {
    db: u16,
    key: Box<[u8]>,
    types: (TypeId, TypeId),
    flight: Arc<dyn Any + Send + Sync>,
}

impl FlightEntry {
    pub(crate) fn new<T, E>(db: u16, key: &[u8], flight: Arc<Flight<T, E>>) -> Self
    where
        T: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        Self { db, key: key.into(), types: (TypeId::of::<T>(), TypeId::of::<E>()), flight }
    }

    pub(crate) fn is_for(&self, db: u16, key: &[u8]) -> bool {
        self.db == db && *self.key == *key
    }

    pub(crate) fn is_in(&self, db: u16) -> bool {
        self.db == db
    }

    /// The flight, if it is for this key and these types.
    pub(crate) fn of<T, E>(&self, db: u16, key: &[u8]) -> Option<Arc<Flight<T, E>>>
    where
        T: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        if !self.is_for(db, key) || self.types != (TypeId::of::<T>(), TypeId::of::<E>()) {
            return None;
        }
        Arc::clone(&self.flight).downcast().ok()
    }

    pub(crate) fn is<T, E>(&self, flight: &Arc<Flight<T, E>>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.flight), Arc::as_ptr(flight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_set_once_and_wakes_waiters() {
        let flight: Arc<Flight<u32, String>> = Arc::new(Flight::new());
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                let flight = Arc::clone(&flight);
                std::thread::spawn(move || {
                    loop {
                        let listener = flight.listen();
                        if let Some(outcome) = flight.outcome() {
                            return matches!(outcome, Outcome::Done(value) if *value == 7);
                        }
                        crate::sync::Listener::wait(listener);
                    }
                })
            })
            .collect();
        flight.land(Outcome::Done(Arc::new(7)));
        flight.land(Outcome::Gone);
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
    }

    #[test]
    fn entries_tell_keys_and_types_apart() {
        let flight: Arc<Flight<u32, String>> = Arc::new(Flight::new());
        let entry = FlightEntry::new(1, b"k", Arc::clone(&flight));
        assert!(entry.of::<u32, String>(1, b"k").is_some());
        assert!(entry.of::<u64, String>(1, b"k").is_none());
        assert!(entry.of::<u32, String>(2, b"k").is_none());
        assert!(entry.is(&flight) && !entry.is(&Arc::new(Flight::<u32, String>::new())));
    }

    #[test]
    fn a_thread_knows_what_it_loads() {
        let flight: Flight<u32, String> = Flight::new();
        assert!(!flight.is_loading_here());
        let mark = flight.loading();
        assert!(flight.is_loading_here());
        drop(mark);
        assert!(!flight.is_loading_here());
    }
}
