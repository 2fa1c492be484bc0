//! What a thread knows of itself: whether it is inside a closure under a shard lock, and its number.
//!
//! Invariants: I1: while a closure runs under a shard lock the mark is set, and every entry into any engine
//! panics; the mark is taken back on unwinding. I2: two living threads never have the same number; a number is
//! given on only after its thread's destructors ran, under the registry's lock.

use std::cell::Cell;

use parking_lot::Mutex;

use crate::sync;

/// Threads beyond this many share the last stripe.
pub(crate) const THREADS_MAX: usize = 1_024;
const UNKNOWN: usize = usize::MAX;

sync::thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
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

/// Refuses to enter an engine from inside a closure that runs under a shard lock.
#[inline]
pub(crate) fn check_entry() {
    if INSIDE.with(Cell::get) {
        refuse();
    }
}

#[cold]
fn refuse() -> ! {
    panic!(
        "an engine was called from inside a closure that sees data in place (get_with, for_each_entry): such a \
         closure runs under a shard lock and must not call any engine; copy what it needs and call afterwards"
    );
}

/// The mark of a closure under a lock, taken back on drop.
#[derive(Debug)]
pub(crate) struct Inside(());

impl Inside {
    #[inline]
    pub(crate) fn enter() -> Self {
        INSIDE.with(|inside| inside.set(true));
        Self(())
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        INSIDE.with(|inside| inside.set(false));
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
