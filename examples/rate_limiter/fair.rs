//! A fair queue before a token bucket that many share: turns go by arrival, not by who asks most often.
//!
//! ```text
//! fair:x:line    list of tickets, first come first      fair:x:alive   hash ticket -> 1; a field expires after the patience
//! fair:x:last    the last ticket that was given out     the bucket     see token_bucket
//! ```
//! Whoever is refused by a plain bucket tries again, and who tries more often wins. Here every caller draws a ticket and asks
//! with it. Promise: tokens go to tickets in the order of their drawing. A caller that was killed in the line does not stop it: a ticket
//! that did not ask for longer than the patience is passed over when it comes to the head.
//!
//! Cost: O(n) a question, n the tickets before it.

use std::time::Duration;

use larder::{Engine, FieldSetOptions, OpError};

use crate::Decision;
use crate::token_bucket::TokenBucket;

/// The one bucket that all share.
const SHARED: &str = "all";

#[derive(Debug, Clone)]
pub(crate) struct FairLimiter {
    engine: Engine,
    bucket: TokenBucket,
    bucket_key: String,
    line: String,
    alive: String,
    last: String,
    patience: Duration,
}

/// A place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A token is taken; the ticket is used up.
    Go,
    /// It is not this ticket's turn. Ask again after this time, which is always less than the patience.
    Wait(Duration),
    /// The ticket did not ask for too long, or was used before.
    PassedOver,
}

impl FairLimiter {
    pub(crate) fn new(engine: &Engine, name: &str, bucket: TokenBucket, patience: Duration) -> Self {
        Self {
            engine: engine.clone(),
            bucket_key: bucket.key(SHARED),
            bucket,
            line: format!("fair:{name}:line"),
            alive: format!("fair:{name}:alive"),
            last: format!("fair:{name}:last"),
            patience,
        }
    }

    /// Draws a ticket.
    pub(crate) fn join(&self) -> Result<Ticket, OpError> {
        self.engine.transaction([&self.line, &self.alive, &self.last], |tx| {
            let ticket = tx.incr(&self.last)?;
            tx.list::<i64>(&self.line).push_back(ticket)?;
            let sign = FieldSetOptions::new().expire(self.patience);
            tx.hash::<i64, u8>(&self.alive).set_with([(ticket, 1)], sign)?;
            Ok(Ticket(ticket))
        })
    }

    /// Asks whether it is this ticket's turn, and shows that its caller is still there.
    pub(crate) fn poll(&self, ticket: Ticket) -> Result<Turn, OpError> {
        self.engine.transaction([&self.line, &self.alive, &self.bucket_key], |tx| {
            let (line, alive) = (tx.list::<i64>(&self.line), tx.hash::<i64, u8>(&self.alive));
            while line.get(0)?.map(|head| alive.contains(head)).transpose()? == Some(false) {
                line.pop_front()?;
            }
            let Some(ahead) = line.position(ticket.0)? else { return Ok(Turn::PassedOver) };
            if ahead == 0 {
                if let Decision::Denied { retry_after } = self.bucket.take_in(tx, &self.bucket_key, 1)? {
                    alive.set_with([(ticket.0, 1)], FieldSetOptions::new().expire(self.patience))?;
                    return Ok(self.wait(retry_after));
                }
                line.pop_front()?;
                alive.remove(ticket.0)?;
                return Ok(Turn::Go);
            }
            alive.set_with([(ticket.0, 1)], FieldSetOptions::new().expire(self.patience))?;
            let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
            Ok(self.wait(self.bucket.refill().saturating_mul(ahead)))
        })
    }

    /// Nobody shall be passed over who asks as often as told.
    fn wait(&self, span: Duration) -> Turn {
        Turn::Wait(span.min(self.patience / 2))
    }
}

#[cfg(test)]
mod tests {
    use larder::ManualClock;

    use super::*;

    const REFILL: Duration = Duration::from_millis(100);
    const PATIENCE: Duration = Duration::from_secs(1);

    fn world() -> (ManualClock, FairLimiter) {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        let bucket = TokenBucket::new(&engine, "t", 1, REFILL);
        (clock, FairLimiter::new(&engine, "t", bucket, PATIENCE))
    }

    #[test]
    fn a_greedy_caller_starves_nobody() {
        let (clock, limiter) = world();
        // Four callers want three turns each. The greedy one asks before and after everybody else, all the time.
        let mut wants = [3; 4];
        let mut tickets: Vec<_> = (0..4).map(|caller| (caller, limiter.join().unwrap())).collect();
        let mut turns = Vec::new();
        while !tickets.is_empty() {
            let mut rejoin = None;
            for place in [0].into_iter().chain(0..tickets.len()).chain([0]) {
                let Some(&(caller, ticket)) = tickets.get(place) else { continue };
                if limiter.poll(ticket).unwrap() == Turn::Go {
                    turns.push(caller);
                    tickets.remove(place);
                    wants[caller] -= 1;
                    rejoin = (wants[caller] > 0).then_some(caller);
                    break;
                }
            }
            if let Some(caller) = rejoin {
                tickets.push((caller, limiter.join().unwrap()));
                tickets.sort_unstable_by_key(|(caller, _)| *caller);
            }
            clock.advance(Duration::from_millis(10));
        }
        assert_eq!(turns, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn a_caller_killed_in_the_line_is_passed_over_and_a_patient_one_is_not() {
        let (clock, limiter) = world();
        let [first, killed, last] = [(); 3].map(|()| limiter.join().unwrap());
        assert_eq!(limiter.poll(first), Ok(Turn::Go));
        // The second is never seen again; the last asks just as often as it is told to.
        let mut waited = Duration::ZERO;
        loop {
            match limiter.poll(last).unwrap() {
                Turn::Wait(span) => {
                    assert!(!span.is_zero() && span < PATIENCE);
                    clock.advance(span);
                    waited += span;
                }
                Turn::Go => break,
                Turn::PassedOver => panic!("it asked as often as it was told to"),
            }
        }
        assert!(waited >= PATIENCE && waited < PATIENCE + REFILL, "{waited:?}");
        assert_eq!(limiter.poll(killed), Ok(Turn::PassedOver), "its stalled caller is told");
        assert_eq!(limiter.poll(last), Ok(Turn::PassedOver), "a ticket is good for one turn");
    }
}
