//! Retries: a job that fails is tried again later, after spans that grow, and ends among the dead letters if it fails too often.
//!
//! ```text
//! push -> delayed queue -> take -> succeed
//!              ^             '---> fail: tries + 1, after base * 2^tries, with jitter ---> tries_max: q:dead
//!              '------------------------------------------------------- replay ----------------'
//! ```
//! Jitter spreads what failed together, as when a database went away, so that it does not come back together. It is drawn from
//! a seed and the job's number: the same run gives the same delays.
//!
//! Promise: at least once; a job is in the queue, in one worker's hand, among the dead letters, or done, and never in two of them. A
//! worker that dies counts as a failure, so a job that kills its workers does not go round for ever.

use std::time::Duration;

use larder::{End, Engine, OpError, Tx};
use larder_examples::random::Rng;
use serde::{Deserialize, Serialize};

use crate::delayed::DelayedQueue;

/// A job, and how often it was tried in vain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    number: i64,
    pub(crate) tries: u32,
    pub(crate) what: String,
}

/// A job that failed too often, and how it failed at last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeadLetter {
    pub(crate) attempt: Attempt,
    pub(crate) error: String,
}

/// When a job is tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) base: Duration,
    pub(crate) longest: Duration,
    pub(crate) tries_max: u32,
    pub(crate) seed: u64,
}

impl Backoff {
    /// Returns how long a job rests after so many tries in vain: between half of the span and all of it.
    fn rest(&self, attempt: &Attempt) -> Duration {
        let doublings = attempt.tries.saturating_sub(1).min(31);
        let span = self.base.saturating_mul(1 << doublings).min(self.longest);
        let job = attempt.number.unsigned_abs().rotate_left(32);
        span.mul_f64(0.5 + 0.5 * Rng::new(self.seed ^ job ^ u64::from(attempt.tries)).unit())
    }
}

#[derive(Debug, Clone)]
pub(crate) struct RetryQueue {
    engine: Engine,
    queue: DelayedQueue<Attempt>,
    backoff: Backoff,
    numbers: String,
    dead: String,
}

impl RetryQueue {
    pub(crate) fn new(engine: &Engine, name: &str, ttl: Duration, backoff: Backoff) -> Self {
        Self {
            engine: engine.clone(),
            queue: DelayedQueue::new(engine, name, ttl),
            backoff,
            numbers: format!("{name}:numbers"),
            dead: format!("{name}:dead"),
        }
    }

    pub(crate) fn push(&self, what: &str) -> Result<(), OpError> {
        let [due, bell] = self.queue.keys();
        self.engine.transaction([due, bell, &self.numbers], |tx| {
            let attempt = Attempt { number: tx.incr(&self.numbers)?, tries: 0, what: what.to_owned() };
            self.queue.push_in(tx, Duration::ZERO, &attempt)
        })
    }

    /// Takes a job that is due, waiting for one if there is none.
    pub(crate) fn take(&self, worker: &str, timeout: Duration) -> Result<Option<Attempt>, OpError> {
        self.queue.take(worker, timeout)
    }

    pub(crate) fn succeed(&self, worker: &str, attempt: &Attempt) -> Result<bool, OpError> {
        self.queue.finish(worker, attempt)
    }

    /// Says that a job failed. `false` if this worker was taken for dead: then that was counted as a failure already.
    pub(crate) fn fail(&self, worker: &str, attempt: &Attempt, error: &str) -> Result<bool, OpError> {
        let [due, bell] = self.queue.keys();
        self.queue.finish_with(worker, attempt, &[due, bell, &self.dead], |tx| {
            self.try_again(tx, attempt.clone(), error)
        })
    }

    fn try_again(&self, tx: &Tx<'_>, mut attempt: Attempt, error: &str) -> Result<(), OpError> {
        attempt.tries += 1;
        if attempt.tries < self.backoff.tries_max {
            return self.queue.push_in(tx, self.backoff.rest(&attempt), &attempt);
        }
        let letter = DeadLetter { attempt, error: error.to_owned() };
        tx.list::<DeadLetter>(&self.dead).push_back(letter).map(drop)
    }

    /// Lets the jobs of dead workers be tried again, or not; returns how many.
    pub(crate) fn reclaim(&self) -> Result<usize, OpError> {
        let keys = |_: &[Attempt]| {
            let [due, bell] = self.queue.keys();
            [due, bell, &self.dead].map(str::to_owned).to_vec()
        };
        self.queue.crew().reclaim(keys, |tx, attempt| self.try_again(tx, attempt, "its worker died"))
    }

    /// Returns the dead letters, oldest first.
    pub(crate) fn dead_letters(&self) -> Result<Vec<DeadLetter>, OpError> {
        self.engine.list::<DeadLetter>(&self.dead).range(0, -1)
    }

    /// Gives up to `count` dead letters all of their tries again, when what made them fail was repaired; returns how many.
    pub(crate) fn replay(&self, count: usize) -> Result<usize, OpError> {
        let [due, bell] = self.queue.keys();
        self.engine.transaction([due, bell, &self.dead], |tx| {
            let letters = tx.list::<DeadLetter>(&self.dead).pop_many(End::Head, count)?.unwrap_or_default();
            for DeadLetter { attempt, .. } in &letters {
                self.queue.push_in(tx, Duration::ZERO, &Attempt { tries: 0, ..attempt.clone() })?;
            }
            Ok(letters.len())
        })
    }
}

#[cfg(test)]
mod tests {
    use larder::Clock;

    use super::*;
    use crate::tests::{TTL, world};

    const BACKOFF: Backoff =
        Backoff { base: Duration::from_secs(1), longest: Duration::from_secs(10), tries_max: 6, seed: 1 };

    #[test]
    fn a_job_that_fails_rests_longer_each_time_and_dies_at_last() {
        let (clock, engine) = world();
        let queue = RetryQueue::new(&engine, "q", Duration::from_secs(3_600), BACKOFF);
        queue.push("mail").unwrap();
        let mut failed_at = Vec::new();
        while queue.dead_letters().unwrap().is_empty() {
            let Some(attempt) = queue.take("ann", Duration::ZERO).unwrap() else {
                clock.advance(Duration::from_millis(1));
                continue;
            };
            assert_eq!(queue.fail("ann", &attempt, "no route"), Ok(true));
            failed_at.push(clock.now());
        }
        let rests: Vec<_> = failed_at.windows(2).map(|pair| pair[1].saturating_since(pair[0])).collect();
        assert_eq!(rests.len(), 5);
        for (rest, span) in rests.iter().zip([1, 2, 4, 8, 10].map(Duration::from_secs)) {
            assert!(*rest >= span / 2 && *rest <= span + Duration::from_millis(1), "{rests:?}");
        }
        let letters = queue.dead_letters().unwrap();
        assert_eq!((letters[0].attempt.tries, letters[0].error.as_str()), (6, "no route"));

        // Repaired: the letter goes back with all of its tries.
        assert_eq!(queue.replay(10), Ok(1));
        let attempt = queue.take("ann", Duration::ZERO).unwrap().unwrap();
        assert_eq!((attempt.tries, attempt.what.as_str()), (0, "mail"));
        assert_eq!(queue.succeed("ann", &attempt), Ok(true));
        assert!(queue.dead_letters().unwrap().is_empty());
    }

    #[test]
    fn what_failed_together_does_not_come_back_together() {
        let rest = |number, seed| {
            Backoff { seed, ..BACKOFF }.rest(&Attempt { number, tries: 1, what: String::new() })
        };
        let mut rests: Vec<_> = (1..=100).map(|number| rest(number, 1)).collect();
        assert!(rests.iter().zip(1..).all(|(&first, number)| first == rest(number, 1)), "seeded");
        assert_ne!(rest(1, 1), rest(1, 2));
        rests.sort_unstable();
        // Spread over the whole half second: no tenth of it is empty.
        let tenth = |rest: &Duration| (*rest - BACKOFF.base / 2).as_millis() / 50;
        assert!((0..10).all(|part| rests.iter().any(|rest| tenth(rest) == part)), "{rests:?}");
    }

    #[test]
    fn a_job_that_kills_its_workers_ends_among_the_dead_letters() {
        let (clock, engine) = world();
        let queue = RetryQueue::new(&engine, "q", TTL, BACKOFF);
        queue.push("poison").unwrap();
        let mut killed = 0;
        while queue.dead_letters().unwrap().is_empty() {
            if queue.take(&format!("worker {killed}"), Duration::ZERO).unwrap().is_some() {
                // And that worker is never seen again.
                killed += 1;
            }
            clock.advance(TTL);
            queue.reclaim().unwrap();
        }
        assert_eq!((killed, queue.dead_letters().unwrap()[0].error.as_str()), (6, "its worker died"));
    }

    #[test]
    fn a_stalled_worker_fails_its_job_once_and_not_twice() {
        let (clock, engine) = world();
        let queue = RetryQueue::new(&engine, "q", TTL, BACKOFF);
        queue.push("mail").unwrap();
        let attempt = queue.take("ann", Duration::ZERO).unwrap().unwrap();
        clock.advance(TTL);
        assert_eq!(queue.reclaim(), Ok(1));
        assert_eq!(queue.fail("ann", &attempt, "late"), Ok(false));
        assert_eq!(queue.succeed("ann", &attempt), Ok(false));
        clock.advance(TTL);
        assert_eq!(queue.take("bob", Duration::ZERO).unwrap().map(|attempt| attempt.tries), Some(1));
        assert_eq!(queue.take("bob", Duration::ZERO), Ok(None));
    }
}
