//! Token bucket: a burst of so many, and then a steady rate.
//!
//! ```text
//! now                      full again                now + capacity * refill
//!  |-- missing tokens ------|-- tokens that are there -|
//! ```
//! The bucket is one number: the moment at which it will be full again. Taking a token moves that moment by one `refill`; it
//! cannot lie further away than an empty bucket needs. The key expires at that very moment, so a full bucket takes no memory.
//! Promise: in any span no more than `capacity + span / refill` tokens go out, and `retry_after` is exact: not before it, and
//! then surely, unless others took what came.

use std::time::Duration;

use larder::{Engine, OpError, SetOptions, Tx, UnixMillis};

use crate::Decision;

#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    engine: Engine,
    name: String,
    capacity: u32,
    refill: Duration,
}

impl TokenBucket {
    /// Gives each caller a bucket of `capacity` tokens, full at first; one token comes back each `refill`, of whole milliseconds.
    pub(crate) fn new(engine: &Engine, name: &str, capacity: u32, refill: Duration) -> Self {
        Self { engine: engine.clone(), name: format!("bucket:{name}"), capacity, refill }
    }

    /// Takes tokens, all or none.
    pub(crate) fn take(&self, caller: &str, tokens: u32) -> Result<Decision, OpError> {
        let key = self.key(caller);
        self.engine.transaction([&key], |tx| self.take_in(tx, &key, tokens))
    }

    /// The key of a caller's bucket, for a transaction that takes from it among other things.
    pub(crate) fn key(&self, caller: &str) -> String {
        format!("{}:{caller}", self.name)
    }

    /// The same as a part of a larger transaction.
    pub(crate) fn take_in(&self, tx: &Tx<'_>, key: &str, tokens: u32) -> Result<Decision, OpError> {
        if tokens > self.capacity {
            return Err(OpError::InvalidArgument("more tokens than the bucket ever holds"));
        }
        let now = tx.now();
        // A bucket that is full has no key.
        let full_at = tx.typed::<u64>().get_with(key, |at| UnixMillis(*at))?.unwrap_or(now);
        let full_after = full_at.saturating_add(self.refill.saturating_mul(tokens));
        let latest = now.saturating_add(self.refill.saturating_mul(self.capacity));
        if full_after > latest {
            return Ok(Decision::Denied { retry_after: full_after.saturating_since(latest) });
        }
        tx.typed::<u64>().set_with(key, full_after.0, SetOptions::new().expire_at(full_after))?;
        Ok(Decision::Allowed)
    }

    pub(crate) fn refill(&self) -> Duration {
        self.refill
    }
}

#[cfg(test)]
mod tests {
    use larder::ManualClock;
    use larder_examples::random::Rng;

    use super::*;

    #[test]
    fn it_agrees_with_a_bucket_that_is_counted_naively() {
        const CAPACITY: u32 = 8;
        const REFILL_MS: u64 = 50;
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        let bucket = TokenBucket::new(&engine, "api", CAPACITY, Duration::from_millis(REFILL_MS));
        let mut random = Rng::new(1);
        // The model counts in parts of a token: REFILL_MS parts are one.
        let full = u64::from(CAPACITY) * REFILL_MS;
        let mut parts = full;
        let mut denied = 0;
        for _ in 0..2_000 {
            let step = random.below(3 * REFILL_MS);
            clock.advance(Duration::from_millis(step));
            parts = full.min(parts + step);
            let tokens = u32::try_from(1 + random.below(3)).unwrap();
            let cost = u64::from(tokens) * REFILL_MS;
            match bucket.take("ann", tokens).unwrap() {
                Decision::Allowed => parts = parts.checked_sub(cost).expect("there were enough"),
                Decision::Denied { retry_after } => {
                    assert_eq!(retry_after, Duration::from_millis(cost - parts));
                    denied += 1;
                }
            }
        }
        assert!((300..1_700).contains(&denied), "{denied}");
    }

    #[test]
    fn retry_after_is_exact_and_a_full_bucket_takes_no_memory() {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        let bucket = TokenBucket::new(&engine, "api", 3, Duration::from_millis(100));
        assert_eq!(bucket.take("ann", 3), Ok(Decision::Allowed));
        let Ok(Decision::Denied { retry_after }) = bucket.take("ann", 2) else { panic!("it is empty") };
        assert_eq!(retry_after, Duration::from_millis(200));
        clock.advance(retry_after - Duration::from_millis(1));
        assert!(matches!(bucket.take("ann", 2), Ok(Decision::Denied { .. })));
        clock.advance(Duration::from_millis(1));
        assert_eq!(bucket.take("ann", 2), Ok(Decision::Allowed));
        clock.advance(Duration::from_millis(300));
        assert_eq!(engine.exists(bucket.key("ann")), Ok(false));
        assert!(bucket.take("ann", 4).is_err(), "it would never fit");
    }
}
