//! The lock.
//!
//! ```text
//! lock:x          the holder's token; expires after the TTL
//! lock:x:tokens   the last token that was given out; grows only, never expires
//! lock:x:freed    a list with at most one ring in it: somebody let go, try again
//! ```
//! Promise: at any moment of the engine's clock at most one guard is good. It is good until its TTL is over, counted from its
//! last renewal. A holder that is killed delays others by one TTL at most; one that stalls finds out at its next renewal.
//!
//! Renew between steps of the work, not from a timer thread: a timer would go on renewing for a holder that is stuck.
//! Waiting is not fair: whoever comes at the right moment may overtake those who wait. Keep these keys out of an engine
//! that evicts.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use larder::{End, Engine, OpError, Ttl};

/// A lock on a name. Clones are the same lock.
#[derive(Debug, Clone)]
pub(crate) struct Lock {
    engine: Engine,
    held: String,
    tokens: String,
    freed: String,
    ttl: Duration,
}

impl Lock {
    pub(crate) fn new(engine: &Engine, name: &str, ttl: Duration) -> Self {
        Self {
            engine: engine.clone(),
            held: format!("lock:{name}"),
            tokens: format!("lock:{name}:tokens"),
            freed: format!("lock:{name}:freed"),
            ttl,
        }
    }

    /// Takes the lock if it is free.
    pub(crate) fn try_acquire(&self) -> Result<Option<Guard>, OpError> {
        let token = self.engine.transaction([&self.held, &self.tokens], |tx| -> Result<_, OpError> {
            if tx.exists(&self.held)? {
                return Ok(None);
            }
            let token = tx.incr(&self.tokens)?;
            tx.typed::<i64>().with_ttl(self.ttl).set(&self.held, token)?;
            Ok(Some(token))
        })?;
        Ok(token.map(|token| Guard { lock: self.clone(), token }))
    }

    /// Takes the lock, waiting for at most `patience` until it is free.
    pub(crate) fn acquire(&self, patience: Duration) -> Result<Option<Guard>, OpError> {
        let end = self.engine.now().saturating_add(patience);
        loop {
            if let Some(guard) = self.try_acquire()? {
                return Ok(Some(guard));
            }
            let left = end.saturating_since(self.engine.now());
            if left.is_zero() {
                return Ok(None);
            }
            // Nobody rings when a holder's time runs out: wait no longer than that.
            let held = match self.engine.ttl(&self.held)? {
                Ttl::After(held) => held,
                Ttl::Absent => continue,
                Ttl::Never => left,
            };
            self.engine.list::<u8>(&self.freed).pop_blocking(End::Head, Some(left.min(held)))?;
        }
    }
}

/// The lock, held. Dropping it lets go, also when its holder panics.
#[derive(Debug)]
pub(crate) struct Guard {
    lock: Lock,
    token: i64,
}

impl Guard {
    /// Returns the fencing token: send it along with every write to what the lock protects.
    pub(crate) fn token(&self) -> i64 {
        self.token
    }

    /// Starts the TTL anew, or tells that the lock is lost.
    pub(crate) fn renew(&self) -> Result<(), LockError> {
        let Lock { engine, held, ttl, .. } = &self.lock;
        engine.transaction([held], |tx| {
            let holder = tx.typed::<i64>().get_with(held, |token| *token)?;
            if holder != Some(self.token) {
                return Err(LockError::Lost);
            }
            tx.expire(held, *ttl)?;
            Ok(())
        })
    }

    fn let_go(&self) -> Result<(), OpError> {
        let Lock { engine, held, freed, .. } = &self.lock;
        engine.transaction([held, freed], |tx| {
            // Not if somebody else has it by now. One ring is enough, however many wait: who loses the race waits on.
            if tx.remove_if_equal(held, self.token.to_string())? && tx.list::<u8>(freed).is_empty()? {
                tx.list::<u8>(freed).push_back(1)?;
            }
            Ok(())
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // What cannot be freed ends with its TTL.
        let _ = self.let_go();
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LockError {
    /// Its time was over; somebody else may have it.
    Lost,
    Op(OpError),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("the lock is lost: its time was over"),
            Self::Op(error) => error.fmt(f),
        }
    }
}

impl Error for LockError {}

impl From<OpError> for LockError {
    fn from(error: OpError) -> Self {
        Self::Op(error)
    }
}

#[cfg(test)]
mod tests {
    use std::mem;
    use std::sync::mpsc;
    use std::thread;

    use larder::ManualClock;

    use super::*;
    use crate::fenced::{Ledger, WriteError};

    const TTL: Duration = Duration::from_secs(10);

    fn world() -> (ManualClock, Engine) {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        (clock, engine)
    }

    #[test]
    fn a_stalled_holder_cannot_write_after_another_took_the_lock() {
        let (clock, engine) = world();
        let (lock, ledger) = (Lock::new(&engine, "x", TTL), Ledger::new(&engine, "x"));
        let (took, has_taken) = mpsc::channel();
        let (wake, woken) = mpsc::channel::<()>();
        let holder = thread::spawn({
            let (lock, ledger) = (lock.clone(), ledger.clone());
            move || {
                let guard = lock.try_acquire().unwrap().unwrap();
                ledger.write(guard.token(), "first").unwrap();
                took.send(guard.token()).unwrap();
                // In the middle of its work it stalls.
                woken.recv().unwrap();
                (guard.renew(), ledger.write(guard.token(), "late"))
            }
        });
        let old = has_taken.recv().unwrap();
        clock.advance(TTL - Duration::from_millis(1));
        assert!(lock.try_acquire().unwrap().is_none(), "its time is not over yet");
        clock.advance(Duration::from_millis(1));
        let next = lock.try_acquire().unwrap().expect("its time is over");
        assert!(next.token() > old);
        ledger.write(next.token(), "second").unwrap();

        wake.send(()).unwrap();
        let (renewed, written) = holder.join().unwrap();
        assert_eq!(renewed, Err(LockError::Lost));
        assert_eq!(written, Err(WriteError::Stale { token: old, newest: next.token() }));
        assert_eq!(ledger.read().unwrap().as_deref(), Some("second"));
        // The stalled holder's guard was dropped; that freed nobody else's lock.
        assert_eq!(next.renew(), Ok(()));
    }

    #[test]
    fn a_late_write_is_refused_even_before_the_next_holder_wrote() {
        let (clock, engine) = world();
        let (lock, ledger) = (Lock::new(&engine, "x", TTL), Ledger::new(&engine, "x"));
        let stalled = lock.try_acquire().unwrap().unwrap();
        clock.advance(TTL);
        let next = lock.try_acquire().unwrap().unwrap();
        // Told of the new token before it reads: from here on nothing older gets in between.
        ledger.fence(next.token()).unwrap();
        assert!(matches!(ledger.write(stalled.token(), "late"), Err(WriteError::Stale { .. })));
    }

    #[test]
    fn a_killed_holder_delays_others_by_one_ttl() {
        let (clock, engine) = world();
        let lock = Lock::new(&engine, "x", TTL);
        let killed = thread::spawn({
            let lock = lock.clone();
            // Gone without letting go, as a killed process would be.
            move || mem::forget(lock.try_acquire().unwrap().unwrap())
        });
        killed.join().unwrap();
        assert!(lock.acquire(Duration::ZERO).unwrap().is_none());
        clock.advance(TTL);
        assert!(lock.try_acquire().unwrap().is_some());
    }

    #[test]
    fn a_panicking_holder_lets_go_at_once() {
        let (_clock, engine) = world();
        let lock = Lock::new(&engine, "x", TTL);
        let holder = thread::spawn({
            let lock = lock.clone();
            move || {
                let _guard = lock.try_acquire().unwrap().unwrap();
                panic!("killed in the middle of its work (this panic is part of the test)");
            }
        });
        assert!(holder.join().is_err());
        assert!(lock.try_acquire().unwrap().is_some());
    }

    #[test]
    fn renewing_keeps_the_lock_for_as_long_as_it_takes() {
        let (clock, engine) = world();
        let lock = Lock::new(&engine, "x", TTL);
        let guard = lock.try_acquire().unwrap().unwrap();
        for _ in 0..10 {
            clock.advance(TTL / 2);
            assert_eq!(guard.renew(), Ok(()));
            assert!(lock.try_acquire().unwrap().is_none());
        }
    }

    #[test]
    fn work_under_the_lock_is_never_done_by_two_at_a_time() {
        let engine = Engine::new();
        let lock = Lock::new(&engine, "x", Duration::from_secs(600));
        engine.set("count", "0").unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _guard = lock.acquire(Duration::from_secs(60)).unwrap().unwrap();
                        // A read and a write with nothing but the lock to keep others out.
                        let count: u32 =
                            engine.get("count").unwrap().unwrap().as_str().unwrap().parse().unwrap();
                        thread::yield_now();
                        engine.set("count", (count + 1).to_string()).unwrap();
                    }
                });
            }
        });
        assert_eq!(engine.get("count").unwrap().unwrap(), "200");
    }
}
