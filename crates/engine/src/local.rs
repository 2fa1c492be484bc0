//! What a thread knows of itself: whether it is inside a closure under a shard lock or inside a transaction, and its number.
//!
//! ```text
//! place: OUTSIDE --transaction--> id of the section --get_with--> INSIDE --> back on drop
//! ```
//! Invariants: I1: while a closure runs under a shard lock the place is `INSIDE`, and every entry into any engine panics; inside
//! a transaction only handles that carry its id enter. Both are taken back on unwinding. I2: two living threads never have the
//! same number; a number is given on only after its thread's destructors ran, under the registry's lock.

use std::cell::Cell;

use parking_lot::Mutex;

use crate::sync;

/// Threads beyond this many share the last stripe.
pub(crate) const THREADS_MAX: usize = 1_024;
const UNKNOWN: usize = usize::MAX;

/// No engine of this thread holds a lock.
pub(crate) const OUTSIDE: u64 = 0;
const INSIDE: u64 = u64::MAX;
/// Time goes on.
const FLOWING: u64 = u64::MAX;

sync::thread_local! {
    static PLACE: Cell<u64> = const { Cell::new(OUTSIDE) };
    static FROZEN_MS: Cell<u64> = const { Cell::new(FLOWING) };
}

std::thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
    static GIVER: Giver = const { Giver };
}

static FREE: Mutex<Numbers> = Mutex::new(Numbers { next: 0, free: Vec::new() });

struct Numbers {
    next: usize,
    free: Vec<usize>,
}

/// Gives the thread's number back when the thread ends.
struct Giver;

impl Drop for Giver {
    fn drop(&mut self) {
        let number = NUMBER.with(|number| number.replace(THREADS_MAX));
        if number < THREADS_MAX {
            FREE.lock().free.push(number);
        }
    }
}

/// The number of this thread, `THREADS_MAX` for those that share.
#[inline]
pub(crate) fn thread_number() -> usize {
    let number = NUMBER.with(Cell::get);
    if number == UNKNOWN { register() } else { number }
}

#[cold]
fn register() -> usize {
    // A thread whose destructors have run already counts with those that share.
    let alive = GIVER.try_with(|_| ()).is_ok();
    let number = if alive {
        let numbers = &mut *FREE.lock();
        numbers.free.pop().unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next - 1
        })
    } else {
        THREADS_MAX
    };
    let number = number.min(THREADS_MAX);
    NUMBER.with(|cell| cell.set(number));
    number
}

/// Refuses to enter an engine from where its handle has no business: from inside a closure under a shard lock, and with a
/// handle of another section than the one that this thread is in.
#[inline]
pub(crate) fn check_entry(section: u64) {
    let place = PLACE.with(Cell::get);
    if place != section {
        refuse(place, section);
    }
}

/// Refuses only what comes from inside a closure under a shard lock: for what touches no shard, takes no shard's lock and
/// wakes nobody, so that it does no harm inside a transaction either.
pub(crate) fn check_no_closure() {
    let place = PLACE.with(Cell::get);
    if place == INSIDE {
        refuse(place, OUTSIDE);
    }
}

#[cold]
fn refuse(place: u64, section: u64) -> ! {
    match (place, section) {
        (INSIDE, _) => panic!(
            "an engine was called from inside a closure that sees data in place (get_with, for_each_entry): such a \
             closure runs under a shard lock and must not call any engine; copy what it needs and call afterwards"
        ),
        (_, OUTSIDE) => panic!(
            "an engine was called from inside a transaction: the closure runs under the locks of its keys and must \
             use what it was given (tx.get, tx.list ..), no other handle of any engine"
        ),
        _ => panic!(
            "a handle made inside a transaction was used after its end or on another thread: make handles that \
             are kept from the engine, outside"
        ),
    }
}

/// Whether a handle of this section may enter an engine.
pub(crate) fn is_at(section: u64) -> bool {
    PLACE.with(Cell::get) == section
}

/// Whether this thread is inside a transaction.
#[inline]
pub(crate) fn in_section() -> bool {
    PLACE.with(Cell::get) != OUTSIDE
}

/// The moment at which a transaction of this thread began.
#[inline]
pub(crate) fn frozen_ms() -> Option<u64> {
    let frozen = FROZEN_MS.with(Cell::get);
    if frozen == FLOWING { None } else { Some(frozen) }
}

/// The mark of a closure under a lock, taken back on drop.
#[derive(Debug)]
pub(crate) struct Inside {
    before: u64,
}

impl Inside {
    #[inline]
    pub(crate) fn enter() -> Self {
        Self { before: PLACE.with(|place| place.replace(INSIDE)) }
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        PLACE.with(|place| place.set(self.before));
    }
}

/// The mark of a transaction, with its frozen time; taken back on drop.
#[derive(Debug)]
pub(crate) struct InSection(());

impl InSection {
    /// Enters section `id` from outside of any.
    pub(crate) fn enter(id: u64, now_ms: u64) -> Self {
        PLACE.with(|place| place.set(id));
        FROZEN_MS.with(|frozen| frozen.set(now_ms));
        Self(())
    }
}

impl Drop for InSection {
    fn drop(&mut self) {
        PLACE.with(|place| place.set(OUTSIDE));
        FROZEN_MS.with(|frozen| frozen.set(FLOWING));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_among_the_living() {
        let own = thread_number();
        let barrier = std::sync::Barrier::new(8);
        let mut numbers: Vec<usize> = std::thread::scope(|scope| {
            let spawn = |_| {
                scope.spawn(|| {
                    let number = thread_number();
                    barrier.wait();
                    number
                })
            };
            let threads: Vec<_> = (0..8).map(spawn).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        numbers.push(own);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 9);
    }
}
