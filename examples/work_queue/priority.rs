//! The priority queue: the most urgent job first, jobs of equal urgency by arrival.
//!
//! ```text
//! q:waiting   sorted set: job -> urgency * 2^44 + number        q:numbers   the last number        q:bell   see bell.rs
//! ```
//! A sorted set orders equal scores by bytes, not by arrival, so the number of the job is a part of its score. A double holds
//! whole numbers up to 2^53: 256 urgencies of 2^44 jobs each.
//!
//! Promise: at least once, `finish` says `true` exactly once (see crew.rs). A job that is put back has its old place.

use std::time::Duration;

use larder::{Engine, OpError, Tx};
use serde::{Deserialize, Serialize};

use crate::bell::Bell;
use crate::crew::Crew;

const JOBS_AN_URGENCY: f64 = (1_u64 << 44) as f64;

/// A job and its rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ranked {
    /// 0 is the most urgent.
    pub(crate) urgency: u8,
    number: i64,
    pub(crate) what: String,
}

impl Ranked {
    fn score(&self) -> f64 {
        f64::from(self.urgency) * JOBS_AN_URGENCY + self.number as f64
    }
}

#[derive(Debug, Clone)]
pub(crate) struct PriorityQueue {
    engine: Engine,
    waiting: String,
    numbers: String,
    bell: Bell,
    crew: Crew,
}

impl PriorityQueue {
    pub(crate) fn new(engine: &Engine, name: &str, ttl: Duration) -> Self {
        Self {
            engine: engine.clone(),
            waiting: format!("{name}:waiting"),
            numbers: format!("{name}:numbers"),
            bell: Bell::new(engine, name),
            crew: Crew::new(engine, name, ttl),
        }
    }

    pub(crate) fn push(&self, urgency: u8, what: &str) -> Result<(), OpError> {
        self.engine.transaction([self.waiting.as_str(), &self.numbers, self.bell.key()], |tx| {
            let job = Ranked { urgency, number: tx.incr(&self.numbers)?, what: what.to_owned() };
            self.add(tx, &job)
        })
    }

    fn add(&self, tx: &Tx<'_>, job: &Ranked) -> Result<(), OpError> {
        tx.sorted_set::<Ranked>(&self.waiting).add(job, job.score())?;
        self.bell.ring(tx)
    }

    /// Takes the most urgent job, waiting for one if there is none.
    pub(crate) fn take(&self, worker: &str, timeout: Duration) -> Result<Option<Ranked>, OpError> {
        self.crew.until(worker, timeout, |span| {
            let job = self.try_take(worker)?;
            if job.is_none() {
                self.bell.wait(span)?;
            }
            Ok(job)
        })
    }

    fn try_take(&self, worker: &str) -> Result<Option<Ranked>, OpError> {
        let hand = self.crew.hand(worker);
        self.engine.transaction([self.waiting.as_str(), &hand, self.bell.key()], |tx| {
            let waiting = tx.sorted_set::<Ranked>(&self.waiting);
            let Some((job, _)) = waiting.pop_min()? else { return Ok(None) };
            self.crew.give(tx, worker, &job)?;
            if !waiting.is_empty()? {
                self.bell.ring(tx)?;
            }
            Ok(Some(job))
        })
    }

    /// Ends a job; `false` if this worker was taken for dead and the job is another's by now.
    pub(crate) fn finish(&self, worker: &str, job: &Ranked) -> Result<bool, OpError> {
        self.engine.transaction([self.crew.hand(worker)], |tx| self.crew.finish(tx, worker, job))
    }

    /// Puts the jobs of dead workers back; returns how many.
    pub(crate) fn reclaim(&self) -> Result<usize, OpError> {
        self.crew.reclaim(
            |_| vec![self.waiting.clone(), self.bell.key().to_owned()],
            |tx, job: Ranked| self.add(tx, &job),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::tests::{TTL, world};

    #[test]
    fn urgent_jobs_come_first_and_equals_by_arrival() {
        let (_clock, engine) = world();
        let queue = PriorityQueue::new(&engine, "q", TTL);
        // More than ten of one urgency: "10" sorts before "9" as bytes.
        let calm: Vec<_> = (0..12).map(|job| format!("calm {job}")).collect();
        calm.iter().for_each(|what| queue.push(200, what).unwrap());
        queue.push(0, "fire").unwrap();
        let mut order = Vec::new();
        while let Some(job) = queue.take("ann", Duration::ZERO).unwrap() {
            assert_eq!(queue.finish("ann", &job), Ok(true));
            order.push(job.what);
        }
        assert_eq!(order[0], "fire");
        assert_eq!(order[1..], calm);
    }

    #[test]
    fn the_job_of_a_killed_worker_comes_back_to_its_place() {
        let (clock, engine) = world();
        let queue = PriorityQueue::new(&engine, "q", TTL);
        queue.push(1, "first").unwrap();
        queue.push(1, "second").unwrap();
        let killed = thread::spawn({
            let queue = queue.clone();
            move || {
                let _job = queue.take("ann", TTL).unwrap().unwrap();
                panic!("killed in the middle of its job (this panic is part of the test)");
            }
        });
        assert!(killed.join().is_err());
        queue.push(1, "third").unwrap();
        queue.push(0, "urgent").unwrap();
        clock.advance(TTL);
        assert_eq!(queue.reclaim(), Ok(1));
        let order: Vec<_> = (0..4).map(|_| queue.take("bob", TTL).unwrap().unwrap().what).collect();
        assert_eq!(order, ["urgent", "first", "second", "third"]);
    }

    #[test]
    fn several_jobs_that_come_back_at_once_wake_several_workers() {
        let (clock, engine) = world();
        let queue = PriorityQueue::new(&engine, "q", TTL);
        queue.push(1, "first").unwrap();
        queue.push(1, "second").unwrap();
        // Killed with two jobs in hand.
        assert!(queue.take("killed", Duration::ZERO).unwrap().is_some());
        assert!(queue.take("killed", Duration::ZERO).unwrap().is_some());
        clock.advance(TTL);
        let (took, has_taken) = mpsc::channel();
        for worker in ["ann", "bob"] {
            let (queue, took) = (queue.clone(), took.clone());
            // Each takes one job and keeps it.
            thread::spawn(move || took.send(queue.take(worker, 3 * TTL).unwrap().unwrap().what));
        }
        // Both sleep by then; the bell rings once for both jobs, and who wakes first rings for the other.
        thread::sleep(Duration::from_millis(30));
        assert_eq!(queue.reclaim(), Ok(2));
        let mut jobs =
            [(); 2].map(|()| has_taken.recv_timeout(Duration::from_secs(30)).expect("both are woken"));
        jobs.sort_unstable();
        assert_eq!(jobs, ["first", "second"]);
    }

    #[test]
    fn workers_that_sleep_are_woken_and_no_job_is_left_behind() {
        const JOBS: usize = 200;
        // Real time: what is tested is that nobody sleeps while there is work.
        let engine = Engine::new();
        let queue = PriorityQueue::new(&engine, "q", Duration::from_secs(300));
        let done: usize = thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|number| {
                    let queue = &queue;
                    scope.spawn(move || {
                        let worker = number.to_string();
                        let mut done = 0;
                        while let Some(job) = queue.take(&worker, Duration::from_secs(60)).unwrap() {
                            assert_eq!(queue.finish(&worker, &job), Ok(true));
                            if job.what == "stop" {
                                return done;
                            }
                            done += 1;
                        }
                        panic!("slept for a minute beside work");
                    })
                })
                .collect();
            (0..JOBS).for_each(|job| queue.push(u8::try_from(job % 5).unwrap(), "work").unwrap());
            (0..4).for_each(|_| queue.push(255, "stop").unwrap());
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(done, JOBS);
    }
}
