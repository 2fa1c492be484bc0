//! The delayed queue: a job waits until its time has come, then in line.
//!
//! ```text
//! push_after -> q:due (sorted set: job -> due time) --its time has come--> q:waiting -> as in simple.rs
//! ```
//! There is no timer thread: a worker that looks for a job moves what is due into the line first, and sleeps until the next due
//! time at most. `q:bell` wakes one when something is due earlier than that.
//!
//! Promise: never before its time; at least once, `finish` says `true` exactly once (see crew.rs). Equal jobs are one
//! job while they are not due: pushing it again gives it another time.

use std::time::Duration;

use larder::{Element, Engine, OpError, RankRange, SortedRange, Tx, UnixMillis};

use crate::bell::Bell;
use crate::crew::Crew;
use crate::simple::SimpleQueue;

/// How many jobs become ready in one step: other users of the keys wait meanwhile.
const AT_ONCE: u64 = 100;

#[derive(Debug, Clone)]
pub(crate) struct DelayedQueue<T> {
    engine: Engine,
    due: String,
    bell: Bell,
    line: SimpleQueue<T>,
}

impl<T: Element + PartialEq> DelayedQueue<T> {
    pub(crate) fn new(engine: &Engine, name: &str, ttl: Duration) -> Self {
        Self {
            engine: engine.clone(),
            due: format!("{name}:due"),
            bell: Bell::new(engine, name),
            line: SimpleQueue::new(engine, name, ttl),
        }
    }

    pub(crate) fn push_after(&self, delay: Duration, job: &T) -> Result<(), OpError> {
        self.engine.transaction(self.keys(), |tx| self.push_in(tx, delay, job))
    }

    /// The keys that a larger transaction declares in order to push.
    pub(crate) fn keys(&self) -> [&str; 2] {
        [&self.due, self.bell.key()]
    }

    pub(crate) fn push_in(&self, tx: &Tx<'_>, delay: Duration, job: &T) -> Result<(), OpError> {
        tx.sorted_set::<T>(&self.due).add(job, score(tx.now().saturating_add(delay)))?;
        self.bell.ring(tx)
    }

    /// Takes the job that is due for longest, waiting for one if there is none.
    pub(crate) fn take(&self, worker: &str, timeout: Duration) -> Result<Option<T>, OpError> {
        self.crew().until(worker, timeout, |span| {
            let next_due = self.promote()?;
            let job = self.try_take(worker)?;
            if job.is_none() {
                self.bell.wait(next_due.map_or(span, |next_due| next_due.min(span)))?;
            }
            Ok(job)
        })
    }

    fn try_take(&self, worker: &str) -> Result<Option<T>, OpError> {
        let hand = self.crew().hand(worker);
        self.engine.transaction([self.line.key(), &hand, self.bell.key()], |tx| {
            let line = tx.list::<T>(self.line.key());
            let Some(job) = line.pop_front()? else { return Ok(None) };
            self.crew().give(tx, worker, &job)?;
            if !line.is_empty()? {
                self.bell.ring(tx)?;
            }
            Ok(Some(job))
        })
    }

    /// Puts what is due into the line; returns how long it is until the next one is.
    fn promote(&self) -> Result<Option<Duration>, OpError> {
        self.engine.transaction([&self.due, self.line.key()], |tx| {
            let (due, now) = (tx.sorted_set::<T>(&self.due), score(tx.now()));
            for (job, _) in due.range(SortedRange::scores(..=now).limit(0, AT_ONCE))? {
                due.remove(&job)?;
                self.line.push_in(tx, &job)?;
            }
            let next = due.range(RankRange::from(..1))?.pop();
            Ok(next.map(|(_, at)| Duration::from_secs_f64((at - now).max(0.0) / 1_000.0)))
        })
    }

    pub(crate) fn finish(&self, worker: &str, job: &T) -> Result<bool, OpError> {
        self.line.finish(worker, job)
    }

    /// Ends a job and does what follows from it, in one step.
    pub(crate) fn finish_with(
        &self,
        worker: &str,
        job: &T,
        keys: &[&str],
        then: impl FnOnce(&Tx<'_>) -> Result<(), OpError>,
    ) -> Result<bool, OpError> {
        self.line.finish_with(worker, job, keys, then)
    }

    /// Puts the jobs of dead workers back: they are due at once.
    pub(crate) fn reclaim(&self) -> Result<usize, OpError> {
        self.crew().reclaim(
            |_| self.keys().map(str::to_owned).to_vec(),
            |tx, job: T| self.push_in(tx, Duration::ZERO, &job),
        )
    }

    pub(crate) fn crew(&self) -> &Crew {
        self.line.crew()
    }
}

/// Milliseconds are whole numbers far below 2^53: a score holds them exactly.
fn score(at: UnixMillis) -> f64 {
    at.0 as f64
}

#[cfg(test)]
mod tests {
    use std::thread;

    use larder::Clock;

    use super::*;
    use crate::tests::{TTL, world};

    #[test]
    fn jobs_come_when_they_are_due_and_not_before() {
        let (clock, engine) = world();
        let queue = DelayedQueue::<String>::new(&engine, "q", TTL);
        let start = clock.now();
        for (after_ms, job) in [(30, "c"), (10, "a"), (20, "b")] {
            queue.push_after(Duration::from_millis(after_ms), &job.to_owned()).unwrap();
        }
        let mut seen = Vec::new();
        for _ in 0..=40 {
            while let Some(job) = queue.take("ann", Duration::ZERO).unwrap() {
                assert_eq!(queue.finish("ann", &job), Ok(true));
                seen.push((clock.now().0 - start.0, job));
            }
            clock.advance(Duration::from_millis(1));
        }
        assert_eq!(seen, [(10, "a".to_owned()), (20, "b".to_owned()), (30, "c".to_owned())]);
    }

    #[test]
    fn a_sleeping_worker_wakes_for_a_job_that_is_due_earlier_than_what_it_waits_for() {
        let engine = Engine::new();
        let queue = DelayedQueue::<String>::new(&engine, "q", Duration::from_secs(900));
        queue.push_after(Duration::from_secs(600), &"late".to_owned()).unwrap();
        let taken = thread::scope(|scope| {
            let worker = scope.spawn(|| queue.take("ann", Duration::from_secs(60)).unwrap());
            // It sleeps by now, or looks first: both must do.
            thread::sleep(Duration::from_millis(20));
            queue.push_after(Duration::from_millis(1), &"soon".to_owned()).unwrap();
            worker.join().unwrap()
        });
        assert_eq!(taken.as_deref(), Some("soon"));
    }

    #[test]
    fn a_sleeping_worker_wakes_at_the_due_time_without_being_told() {
        let engine = Engine::new();
        let queue = DelayedQueue::<u32>::new(&engine, "q", Duration::from_secs(900));
        queue.push_after(Duration::from_millis(30), &1).unwrap();
        let start = engine.now();
        assert_eq!(queue.take("ann", Duration::from_secs(60)), Ok(Some(1)));
        let slept = engine.now().saturating_since(start);
        assert!(slept < Duration::from_secs(50), "it slept for {slept:?}");
    }

    #[test]
    fn a_worker_killed_with_a_due_job_does_not_take_it_along() {
        let (clock, engine) = world();
        let queue = DelayedQueue::<u32>::new(&engine, "q", TTL);
        queue.push_after(TTL, &7).unwrap();
        assert_eq!(queue.take("ann", Duration::ZERO), Ok(None));
        clock.advance(TTL);
        // Ann takes it and is never seen again.
        assert_eq!(queue.take("ann", Duration::ZERO), Ok(Some(7)));
        assert_eq!(queue.take("bob", Duration::ZERO), Ok(None));
        clock.advance(TTL);
        assert_eq!(queue.reclaim(), Ok(1));
        assert_eq!(queue.take("bob", Duration::ZERO), Ok(Some(7)));
        assert_eq!((queue.finish("bob", &7), queue.finish("ann", &7)), (Ok(true), Ok(false)));
    }
}
