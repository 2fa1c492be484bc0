//! Rate limiters that a service can copy: fixed window, sliding window, token bucket, and a fair queue before a bucket.
//!
//! | module | memory a caller | exact | lets a burst through |
//! |---|---|---|---|
//! | `fixed_window` | a counter | within a window | twice the limit around the end of a window |
//! | `sliding_window` | one number a request in the window | in every window | the limit |
//! | `token_bucket` | one number | yes | what the bucket holds, then its rate |
//! | `fair` | a ticket a waiter | yes | as the bucket; turns go by arrival |
//!
//! Each decision is one transaction over the caller's keys: no two threads are let through on the same permit. Keys end by
//! themselves when they say nothing any more.
//!
//! ```text
//! cargo run --release --example rate_limiter
//! cargo test --example rate_limiter
//! ```

mod fair;
mod fixed_window;
mod sliding_window;
mod token_bucket;

use std::error::Error;
use std::thread;
use std::time::Duration;

use larder::Engine;

use crate::fair::{FairLimiter, Turn};
use crate::fixed_window::FixedWindow;
use crate::sliding_window::SlidingWindow;
use crate::token_bucket::TokenBucket;

/// What a limiter says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed,
    /// A request is refused; it is worth trying again after this time (`Retry-After`).
    Denied {
        retry_after: Duration,
    },
}

const MILLI: fn(u64) -> Duration = Duration::from_millis;

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::new();

    let fixed = FixedWindow::new(&engine, "api", 3, MILLI(200));
    print("fixed window, 3 in 200 ms", 5, || fixed.check("ann"))?;

    let sliding = SlidingWindow::new(&engine, "search", 3, MILLI(200));
    print("sliding window, 3 in 200 ms", 5, || sliding.check("ann"))?;

    let bucket = TokenBucket::new(&engine, "mail", 3, MILLI(50));
    print("token bucket of 3, one more each 50 ms", 5, || bucket.take("ann", 1))?;
    if let Decision::Denied { retry_after } = bucket.take("ann", 2)? {
        thread::sleep(retry_after);
        println!("  for two tokens Ann waits {retry_after:?} as told: {:?}", bucket.take("ann", 2)?);
    }

    let fair =
        FairLimiter::new(&engine, "printer", TokenBucket::new(&engine, "printer", 1, MILLI(40)), MILLI(900));
    println!("fair queue before a bucket of 1, one more each 40 ms");
    // Ann asks all the time, Bob and Eve as often as they are told to; Zoe takes a ticket and is never seen again.
    let mut waiting = vec![("Ann", fair.join()?), ("Bob", fair.join()?), ("Eve", fair.join()?)];
    let _zoe = fair.join()?;
    waiting.push(("Dan", fair.join()?));
    while let Some(&(first, ticket)) = waiting.first() {
        // Everybody else asks as well, before it is their turn; it gains them nothing.
        for &(_, ticket) in waiting.iter().skip(1).rev() {
            assert!(matches!(fair.poll(ticket)?, Turn::Wait(_)), "overtaken");
        }
        match fair.poll(ticket)? {
            Turn::Go => {
                println!("  {first}'s turn");
                waiting.remove(0);
            }
            Turn::Wait(span) => thread::sleep(span.min(MILLI(20))),
            Turn::PassedOver => return Err("only Zoe is gone".into()),
        }
    }
    println!("  (Zoe took a ticket before Dan and was never seen again: she was passed over.)");
    Ok(())
}

fn print<E>(name: &str, times: u32, mut check: impl FnMut() -> Result<Decision, E>) -> Result<(), E> {
    println!("{name}");
    for request in 1..=times {
        match check()? {
            Decision::Allowed => println!("  request {request}: allowed"),
            Decision::Denied { retry_after } => println!("  request {request}: again in {retry_after:?}"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! What all limiters have in common: exactness when many threads ask at once.

    use std::sync::Barrier;

    use larder::{ManualClock, OpError};

    use super::*;

    const THREADS: usize = 6;
    const LIMIT: u64 = 100;
    const WINDOW: Duration = Duration::from_secs(60);

    /// Lets several threads ask at once, far too often; returns how many were let through.
    fn storm(check: impl Fn() -> Result<Decision, OpError> + Sync) -> usize {
        let start = Barrier::new(THREADS);
        let allowed = || {
            start.wait();
            (0..LIMIT).filter(|_| check().unwrap() == Decision::Allowed).count()
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(allowed)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        })
    }

    #[test]
    fn threads_that_ask_at_once_get_exactly_what_there_is() {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        let limit = usize::try_from(LIMIT).unwrap();
        let fixed = FixedWindow::new(&engine, "fixed", LIMIT, WINDOW);
        let sliding = SlidingWindow::new(&engine, "sliding", LIMIT, WINDOW);
        let bucket = TokenBucket::new(&engine, "bucket", 100, WINDOW / 100);
        for _ in 0..3 {
            assert_eq!(storm(|| fixed.check("ann")), limit);
            assert_eq!(storm(|| sliding.check("ann")), limit);
            assert_eq!(storm(|| bucket.take("ann", 1)), limit);
            clock.advance(WINDOW);
        }
    }

    #[test]
    fn callers_do_not_share_limits_and_leave_no_keys() {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        let fixed = FixedWindow::new(&engine, "fixed", 1, WINDOW);
        let sliding = SlidingWindow::new(&engine, "sliding", 1, WINDOW);
        let bucket = TokenBucket::new(&engine, "bucket", 1, WINDOW);
        for caller in ["ann", "bob"] {
            assert_eq!(fixed.check(caller), Ok(Decision::Allowed));
            assert_eq!(sliding.check(caller), Ok(Decision::Allowed));
            assert_eq!(bucket.take(caller, 1), Ok(Decision::Allowed));
        }
        assert_eq!(engine.len(), Ok(6));
        clock.advance(WINDOW);
        while engine.maintain(larder::Budget::default()).due {}
        assert_eq!(engine.len(), Ok(0));
    }

    #[test]
    fn a_caller_killed_between_two_requests_has_used_what_it_used() {
        let engine = Engine::builder().clock(ManualClock::default()).build().unwrap();
        let bucket = TokenBucket::new(&engine, "bucket", 2, WINDOW);
        let killed = thread::spawn({
            let bucket = bucket.clone();
            move || {
                assert_eq!(bucket.take("ann", 1), Ok(Decision::Allowed));
                panic!("killed in the middle of its work (this panic is part of the test)");
            }
        });
        assert!(killed.join().is_err());
        assert_eq!(bucket.take("ann", 1), Ok(Decision::Allowed));
        assert_eq!(bucket.take("ann", 1), Ok(Decision::Denied { retry_after: WINDOW }));
    }
}
