//! Loading through the cache: single flight for threads and tasks alike.
//!
//! The caller leads. A leader that panics, or whose future is dropped, wakes the waiters, and one of them leads with the
//! loader that it brought itself. An error goes to everybody who waited for that flight and is never kept.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::flight::{Flight, FlightEntry, Outcome};
use super::{Element, Typed};
use crate::engine::store::SetOptions;
use crate::error::{LoadError, OpError};
use crate::keyspace::blob::Blob;
use crate::keyspace::write::Announce;
use crate::stats::Counter;
use crate::sync::Listener;

/// What joining a flight came to.
enum Joined<T, E> {
    /// The value is there by now.
    Present,
    /// This caller leads.
    Leads(Arc<Flight<T, E>>),
    /// Somebody else leads.
    Waits(Arc<Flight<T, E>>),
}

/// A leader's duty: dropped without a landing, it lands the flight as gone.
struct Leader<'a, T: Element, E: Send + Sync + 'static> {
    typed: &'a Typed<T>,
    key: &'a [u8],
    flight: Arc<Flight<T, E>>,
    landed: bool,
}

impl<T: Element, E: Send + Sync + 'static> Leader<'_, T, E> {
    fn land(mut self, result: Result<T, E>) -> Result<Arc<T>, LoadError<E>> {
        let counters = &self.typed.engine.core.counters;
        match result {
            Ok(value) => {
                counters.add(Counter::Loads, 1);
                let value = Arc::new(value);
                // A panic of the user's Serialize, weigher or listener in here counts as one of the loader.
                let installed = self.typed.install(self.key, &self.flight, &value);
                self.landed = true;
                self.flight.land(Outcome::Done(Arc::clone(&value)));
                match installed {
                    // A value that finds no room is not kept; whoever asked for it gets it.
                    Ok(()) | Err(OpError::OutOfMemory { .. }) => Ok(value),
                    Err(error) => Err(LoadError::Op(error)),
                }
            }
            Err(error) => {
                self.landed = true;
                counters.add(Counter::LoadFailures, 1);
                let error = Arc::new(error);
                self.typed.leave(self.key, &self.flight);
                self.flight.land(Outcome::Failed(Arc::clone(&error)));
                Err(LoadError::Loader(error))
            }
        }
    }
}

impl<T: Element, E: Send + Sync + 'static> Drop for Leader<'_, T, E> {
    fn drop(&mut self) {
        if !self.landed {
            self.typed.engine.core.counters.add(Counter::LoadFailures, 1);
            self.typed.leave(self.key, &self.flight);
            self.flight.land(Outcome::Gone);
        }
    }
}

impl<T: Element> Typed<T> {
    /// Returns a value, loading and storing it if it is not there. Of callers that miss the same key at the same time,
    /// one loads and all get its result; a write to the key meanwhile keeps the result from being stored.
    ///
    /// A loader's error goes to everybody who waited for it, and is not kept: the next caller loads anew. A loader that
    /// panics leaves nothing stuck. A value that finds no room is returned all the same.
    ///
    /// **Complexity** O(1) on a hit.
    ///
    /// # Errors
    /// [`LoadError::Loader`] with the loader's error; [`LoadError::Recursive`] if the loader asks for its own key;
    /// [`LoadError::Op`] as [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let users = larder::Engine::new().typed::<String>();
    /// let load = || Ok::<_, std::io::Error>("Ann".to_owned());
    /// assert_eq!(*users.get_or_insert_with("user:1", load)?, "Ann");
    /// # Ok::<(), larder::LoadError<std::io::Error>>(())
    /// ```
    pub fn get_or_insert_with<E: Send + Sync + 'static>(
        &self,
        key: impl AsRef<[u8]>,
        load: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, LoadError<E>> {
        let key = key.as_ref();
        loop {
            if let Some(value) = self.get(key)? {
                return Ok(value);
            }
            match self.join::<E>(key)? {
                Joined::Present => {}
                Joined::Leads(flight) => {
                    let leader = Leader { typed: self, key, flight, landed: false };
                    let result = {
                        let _loading = leader.flight.loading();
                        load()
                    };
                    return leader.land(result);
                }
                Joined::Waits(flight) => {
                    self.check_recursion(&flight)?;
                    let listener = flight.listen();
                    if flight.outcome().is_none() {
                        listener.wait();
                    }
                    if let Some(result) = landed(&flight) {
                        return result;
                    }
                }
            }
        }
    }

    /// The same for tasks: `load` gives a future. It needs no particular runtime, mixes with the blocking form, and a
    /// caller that is dropped while it leads hands over to one that waits.
    ///
    /// **Complexity** O(1) on a hit.
    ///
    /// # Errors
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    ///
    /// # Examples
    /// ```
    /// # fn block_on<F: Future>(f: F) -> F::Output {
    /// #     let mut f = std::pin::pin!(f);
    /// #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     loop { if let std::task::Poll::Ready(out) = f.as_mut().poll(&mut cx) { return out } }
    /// # }
    /// let users = larder::Engine::new().typed::<String>();
    /// let load = || async { Ok::<_, std::io::Error>("Ann".to_owned()) };
    /// assert_eq!(*block_on(users.get_or_insert_with_async("user:1", load))?, "Ann");
    /// # Ok::<(), larder::LoadError<std::io::Error>>(())
    /// ```
    pub async fn get_or_insert_with_async<E, F, L>(
        &self,
        key: impl AsRef<[u8]>,
        load: L,
    ) -> Result<Arc<T>, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<T, E>>,
        L: FnOnce() -> F,
    {
        let key = key.as_ref();
        loop {
            if let Some(value) = self.get(key)? {
                return Ok(value);
            }
            match self.join::<E>(key)? {
                Joined::Present => {}
                Joined::Leads(flight) => {
                    let leader = Leader { typed: self, key, flight, landed: false };
                    let future = {
                        let _loading = leader.flight.loading();
                        load()
                    };
                    let result = Marked { flight: &leader.flight, future: pin!(future) }.await;
                    return leader.land(result);
                }
                Joined::Waits(flight) => {
                    self.check_recursion(&flight)?;
                    let listener = flight.listen();
                    if flight.outcome().is_none() {
                        listener.await;
                    }
                    if let Some(result) = landed(&flight) {
                        return result;
                    }
                }
            }
        }
    }

    fn check_recursion<E>(&self, flight: &Flight<T, E>) -> Result<(), LoadError<E>> {
        if flight.is_loading_here() {
            return Err(LoadError::Recursive);
        }
        self.engine.core.counters.add(Counter::LoadWaits, 1);
        Ok(())
    }

    fn join<E: Send + Sync + 'static>(&self, key: &[u8]) -> Result<Joined<T, E>, OpError> {
        crate::engine::check_key(key)?;
        if self.engine.core.is_within() {
            // Whoever leads elsewhere may need the very locks that the transaction holds.
            return Err(OpError::InsideTransaction);
        }
        self.engine.core.write(self.engine.db, key, |write, hash| {
            if write.find(hash, key).is_some() {
                return Ok(Joined::Present);
            }
            let db = write.db();
            let flights = &mut write.state().flights;
            if let Some(flight) = flights.iter().find_map(|entry| entry.of::<T, E>(db, key)) {
                return Ok(Joined::Waits(flight));
            }
            let flight = Arc::new(Flight::new());
            flights.push(FlightEntry::new(db, key, Arc::clone(&flight)));
            Ok(Joined::Leads(flight))
        })
    }

    /// Takes a flight off its shard's list; tells whether it was still there.
    fn leave<E: Send + Sync + 'static>(&self, key: &[u8], flight: &Arc<Flight<T, E>>) {
        // Of a poisoned shard nobody reads the list any more.
        let _ = self.engine.core.write(self.engine.db, key, |write, _| {
            write.state().flights.retain(|entry| !entry.is(flight));
            Ok(())
        });
    }

    /// Stores what was loaded, unless the flight was detached by a write to the key.
    fn install<E: Send + Sync + 'static>(
        &self,
        key: &[u8],
        flight: &Arc<Flight<T, E>>,
        value: &Arc<T>,
    ) -> Result<(), OpError> {
        let prepared = self.incoming(key, Arc::clone(value));
        let prepared = match prepared {
            Ok(incoming) => incoming,
            Err(error) => {
                self.leave(key, flight);
                return Err(error);
            }
        };
        let times = SetOptions::new().or_ttl(self.ttl);
        let weight = self.engine.weigh(key, &prepared);
        let stored = self.engine.core.write(self.engine.db, key, |write, hash| {
            // SWAPDB during the load has given the flight's database another name; then nothing is kept.
            let db = write.db();
            let attached = write.state().flights.iter().any(|entry| entry.is(flight) && entry.is_in(db));
            if !attached {
                write.state().flights.retain(|entry| !entry.is(flight));
                return Ok(());
            }
            let now = write.now_ms();
            let old = write.existing(hash, key);
            let mut draft = prepared.draft(key);
            (draft.deadline_ms, draft.idle) = write.core.times(&times, || now, None)?;
            draft.weight = weight;
            let blob = Blob::new(draft);
            write.reserve(blob.get(), old.as_ref())?;
            write.put(hash, blob, Announce::Replaced);
            Ok(())
        });
        // `put` has detached every flight of the key, this one included; a refused one is taken off here.
        if stored.is_err() {
            self.leave(key, flight);
        }
        stored
    }
}

/// The result of a flight that has landed; `None` if its leader has gone.
fn landed<T, E>(flight: &Flight<T, E>) -> Option<Result<Arc<T>, LoadError<E>>> {
    match flight.outcome()? {
        Outcome::Done(value) => Some(Ok(value)),
        Outcome::Failed(error) => Some(Err(LoadError::Loader(error))),
        Outcome::Gone => None,
    }
}

/// A loader's future that marks its flight while it is polled, so that recursion is noticed.
struct Marked<'a, T, E, F> {
    flight: &'a Flight<T, E>,
    future: Pin<&'a mut F>,
}

impl<T, E, F: Future> Future for Marked<'_, T, E, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _loading = self.flight.loading();
        self.future.as_mut().poll(context)
    }
}
