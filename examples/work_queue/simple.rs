//! The simple queue: first in, first out, and a worker that finds nothing sleeps until something comes.
//!
//! ```text
//! push -> q:waiting --BLMOVE--> q:hand:w -> finish
//!              ^------ reclaim -----'
//! ```
//! A blocking move takes a job and notes who has it in one step; a plain blocking pop would lose it with its worker.
//!
//! Promise: at least once. With `finish_with` the job's result is written exactly once, however often the job was begun: result
//! and end of the job are one transaction, and that of a worker that was taken for dead does not take place.

use std::marker::PhantomData;
use std::time::Duration;

use larder::{Element, End, Engine, OpError, Tx};

use crate::crew::Crew;

#[derive(Debug, Clone)]
pub(crate) struct SimpleQueue<T> {
    engine: Engine,
    waiting: String,
    crew: Crew,
    jobs: PhantomData<fn() -> T>,
}

impl<T: Element + PartialEq> SimpleQueue<T> {
    /// Workers whose heart did not beat for `ttl` count as dead.
    pub(crate) fn new(engine: &Engine, name: &str, ttl: Duration) -> Self {
        Self {
            engine: engine.clone(),
            waiting: format!("{name}:waiting"),
            crew: Crew::new(engine, name, ttl),
            jobs: PhantomData,
        }
    }

    pub(crate) fn push(&self, job: &T) -> Result<(), OpError> {
        self.engine.list::<T>(&self.waiting).push_back(job).map(drop)
    }

    /// Takes the oldest job, waiting for one if there is none.
    pub(crate) fn take(&self, worker: &str, timeout: Duration) -> Result<Option<T>, OpError> {
        let (waiting, hand) = (self.engine.list::<T>(&self.waiting), self.crew.hand(worker));
        self.crew
            .until(worker, timeout, |span| waiting.move_blocking(&hand, End::Head, End::Tail, Some(span)))
    }

    /// Ends a job; `false` if this worker was taken for dead and the job is another's by now.
    pub(crate) fn finish(&self, worker: &str, job: &T) -> Result<bool, OpError> {
        self.finish_with(worker, job, &[], |_| Ok(()))
    }

    /// Ends a job and does what follows from it, on these keys, in one step: both or neither.
    pub(crate) fn finish_with(
        &self,
        worker: &str,
        job: &T,
        keys: &[&str],
        then: impl FnOnce(&Tx<'_>) -> Result<(), OpError>,
    ) -> Result<bool, OpError> {
        let hand = self.crew.hand(worker);
        let keys = keys.iter().copied().chain([hand.as_str(), self.waiting.as_str()]);
        self.engine.transaction(keys, |tx| {
            let mine = self.crew.finish(tx, worker, job)?;
            if mine {
                then(tx)?;
            }
            Ok(mine)
        })
    }

    /// Puts the jobs of dead workers back, before those that wait; returns how many. Call it now and then, from anywhere.
    pub(crate) fn reclaim(&self) -> Result<usize, OpError> {
        self.crew.reclaim(
            |_| vec![self.waiting.clone()],
            |tx, job: T| tx.list::<T>(&self.waiting).push_front(job).map(drop),
        )
    }

    pub(crate) fn len(&self) -> Result<u64, OpError> {
        self.engine.list::<T>(&self.waiting).len()
    }

    /// Adds a job in a larger transaction, which declares [`key`](Self::key).
    pub(crate) fn push_in(&self, tx: &Tx<'_>, job: &T) -> Result<(), OpError> {
        tx.list::<T>(&self.waiting).push_back(job).map(drop)
    }

    pub(crate) fn key(&self) -> &str {
        &self.waiting
    }

    pub(crate) fn crew(&self) -> &Crew {
        &self.crew
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::tests::{TTL, world};

    #[test]
    fn the_job_of_a_killed_worker_is_done_by_another() {
        let (clock, engine) = world();
        let queue = SimpleQueue::<String>::new(&engine, "q", TTL);
        queue.push(&"a".to_owned()).unwrap();
        queue.push(&"b".to_owned()).unwrap();
        let killed = thread::spawn({
            let queue = queue.clone();
            move || {
                assert_eq!(queue.take("ann", TTL).unwrap().as_deref(), Some("a"));
                panic!("killed in the middle of its job (this panic is part of the test)");
            }
        });
        assert!(killed.join().is_err());
        assert_eq!(queue.reclaim(), Ok(0), "nobody knows yet");
        clock.advance(TTL);
        assert_eq!(queue.reclaim(), Ok(1));
        for job in ["a", "b"] {
            let taken = queue.take("bob", TTL).unwrap().unwrap();
            assert_eq!((taken.as_str(), queue.finish("bob", &taken)), (job, Ok(true)));
        }
        assert_eq!((queue.len(), queue.reclaim()), (Ok(0), Ok(0)));
    }

    #[test]
    fn a_stalled_worker_does_the_job_twice_but_its_result_is_written_once() {
        let (clock, engine) = world();
        let queue = SimpleQueue::<String>::new(&engine, "q", TTL);
        queue.push(&"pay 5".to_owned()).unwrap();
        let pay = |queue: &SimpleQueue<String>, worker: &str, job: &String| {
            queue.finish_with(worker, job, &["paid"], |tx| tx.incr_by("paid", 5).map(drop))
        };
        let (took, has_taken) = mpsc::channel();
        let (wake, woken) = mpsc::channel::<()>();
        let stalled = thread::spawn({
            let queue = queue.clone();
            move || {
                let job = queue.take("ann", TTL).unwrap().unwrap();
                took.send(()).unwrap();
                woken.recv().unwrap();
                pay(&queue, "ann", &job)
            }
        });
        has_taken.recv().unwrap();
        clock.advance(TTL);
        assert_eq!(queue.reclaim(), Ok(1));
        let job = queue.take("bob", TTL).unwrap().unwrap();
        assert_eq!(pay(&queue, "bob", &job), Ok(true));
        wake.send(()).unwrap();
        assert_eq!(stalled.join().unwrap(), Ok(false));
        assert_eq!(engine.get("paid").unwrap().unwrap(), "5");
    }

    #[test]
    fn a_beating_heart_keeps_a_long_job() {
        let (clock, engine) = world();
        let queue = SimpleQueue::<u32>::new(&engine, "q", TTL);
        queue.push(&1).unwrap();
        let job = queue.take("ann", TTL).unwrap().unwrap();
        for _ in 0..5 {
            clock.advance(TTL / 2);
            queue.crew().beat("ann").unwrap();
            assert_eq!(queue.reclaim(), Ok(0));
        }
        assert_eq!(queue.finish("ann", &job), Ok(true));
    }

    #[test]
    fn many_workers_some_of_which_die_finish_every_job_exactly_once() {
        const JOBS: u64 = 300;
        let (clock, engine) = world();
        let queue = SimpleQueue::<u64>::new(&engine, "q", TTL);
        let finished = AtomicU64::new(0);
        thread::scope(|scope| {
            for number in 0..4 {
                let (queue, finished, clock) = (&queue, &finished, &clock);
                scope.spawn(move || {
                    let mut lives = 0;
                    let mut worker = format!("{number}:{lives}");
                    while finished.load(Ordering::Relaxed) < JOBS {
                        let Some(job) = queue.take(&worker, Duration::ZERO).unwrap() else {
                            // The test's time moves when there is nothing to do, so hearts stop and jobs come back.
                            clock.advance(TTL / 10);
                            queue.reclaim().unwrap();
                            continue;
                        };
                        if job % 7 == lives {
                            // Dead: a new worker takes this one's place.
                            lives += 1;
                            worker = format!("{number}:{lives}");
                            continue;
                        }
                        let done = queue.finish_with(&worker, &job, &["sum"], |tx| {
                            tx.incr_by("sum", i64::try_from(job).unwrap()).map(drop)
                        });
                        if done.unwrap() {
                            finished.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            for job in 1..=JOBS {
                queue.push(&job).unwrap();
            }
        });
        assert_eq!(finished.into_inner(), JOBS);
        assert_eq!(engine.get("sum").unwrap().unwrap(), (JOBS * (JOBS + 1) / 2).to_string());
    }
}
