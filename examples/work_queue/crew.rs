//! Who works, and what each of them has in hand: the part that keeps the job of a killed worker from being lost.
//!
//! ```text
//! q:crew       set of the workers' names          q:alive:w   expires unless worker w's heart beats
//! q:hand:w     list of what w took and has not finished
//! ```
//! A job goes into its worker's hand in the same step in which it leaves its queue, and out of it in the step that finishes it.
//! So it is always in exactly one place. When a heart stops, anybody may put back what was in that hand.
//!
//! Promise: every job is taken until one worker finished it: at least once, and `finish` says `true` exactly once. A worker that
//! stalls longer than its heart may is taken for dead; its late `finish` says `false`.
//!
//! A worker is one thread with a name of its own. Names are few and used again, so the set of them is never cleaned.

use std::time::Duration;

use larder::{Element, Engine, OpError, SetOptions, Tx};

/// The workers of one queue.
#[derive(Debug, Clone)]
pub(crate) struct Crew {
    engine: Engine,
    queue: String,
    names: String,
    ttl: Duration,
}

impl Crew {
    /// A worker counts as dead when its heart did not beat for `ttl`.
    pub(crate) fn new(engine: &Engine, queue: &str, ttl: Duration) -> Self {
        Self { engine: engine.clone(), queue: queue.to_owned(), names: format!("{queue}:crew"), ttl }
    }

    /// Shows that a worker lives. Taking a job does it too; call it in the middle of jobs that take long.
    pub(crate) fn beat(&self, worker: &str) -> Result<(), OpError> {
        // The name first: whoever has something in hand is known.
        self.engine.set_of::<String>(&self.names).add(worker)?;
        self.engine.set_with(self.alive(worker), "", SetOptions::new().ttl(self.ttl))?;
        Ok(())
    }

    /// Calls `attempt` until it finds something or the time is over, with a beating heart. It is told how long it may wait.
    pub(crate) fn until<T>(
        &self,
        worker: &str,
        timeout: Duration,
        mut attempt: impl FnMut(Duration) -> Result<Option<T>, OpError>,
    ) -> Result<Option<T>, OpError> {
        let end = self.engine.now().saturating_add(timeout);
        loop {
            self.beat(worker)?;
            let left = end.saturating_since(self.engine.now());
            let found = attempt(left.min(self.ttl / 3))?;
            if found.is_some() || left.is_zero() {
                return Ok(found);
            }
        }
    }

    fn alive(&self, worker: &str) -> String {
        format!("{}:alive:{worker}", self.queue)
    }

    /// The key of a worker's hand, which the transactions below have to declare.
    pub(crate) fn hand(&self, worker: &str) -> String {
        format!("{}:hand:{worker}", self.queue)
    }

    /// Gives a worker a job, in the transaction that takes it out of its queue.
    pub(crate) fn give<T: Element>(&self, tx: &Tx<'_>, worker: &str, job: &T) -> Result<(), OpError> {
        tx.list::<T>(self.hand(worker)).push_back(job).map(drop)
    }

    /// Takes a finished job out of its worker's hand; `false` if it was put back meanwhile.
    pub(crate) fn finish<T: Element>(&self, tx: &Tx<'_>, worker: &str, job: &T) -> Result<bool, OpError> {
        Ok(tx.list::<T>(self.hand(worker)).remove(1, job)? > 0)
    }

    /// Puts back what dead workers have in hand, and returns how many jobs that were. `put_back` gets them one by one, the
    /// last one first; `keys_of` says which keys it needs for that.
    pub(crate) fn reclaim<T: Element + PartialEq>(
        &self,
        keys_of: impl Fn(&[T]) -> Vec<String>,
        put_back: impl Fn(&Tx<'_>, T) -> Result<(), OpError>,
    ) -> Result<usize, OpError> {
        let mut count = 0;
        for worker in self.engine.set_of::<String>(&self.names).iter()? {
            let worker = worker?;
            let (alive, hand) = (self.alive(&worker), self.hand(&worker));
            let jobs = self.engine.list::<T>(&hand).range(0, -1)?;
            if jobs.is_empty() || self.engine.exists(&alive)? {
                continue;
            }
            let mut keys = keys_of(&jobs);
            keys.extend([alive.clone(), hand.clone()]);
            count += self.engine.transaction(keys, |tx| -> Result<_, OpError> {
                // It was only stalled, or another caller was faster: the next round will see.
                if tx.exists(&alive)? || tx.list::<T>(&hand).range(0, -1)? != jobs {
                    return Ok(0);
                }
                tx.remove(&hand)?;
                let count = jobs.len();
                jobs.into_iter().rev().try_for_each(|job| put_back(tx, job))?;
                Ok(count)
            })?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{TTL, world};

    /// What may happen between the look at a hand and the transaction that empties it: `keys_of` runs just there.
    fn reclaim_while(happens: impl Fn(&Crew)) -> (Result<usize, OpError>, Vec<u32>) {
        let (clock, engine) = world();
        let crew = Crew::new(&engine, "q", TTL);
        crew.beat("ann").unwrap();
        engine.transaction([crew.hand("ann")], |tx| crew.give(tx, "ann", &7_u32)).unwrap();
        clock.advance(TTL);
        let keys_of = |_: &[u32]| {
            happens(&crew);
            vec!["back".to_owned()]
        };
        let count = crew.reclaim(keys_of, |tx, job| tx.list::<u32>("back").push_back(job).map(drop));
        (count, engine.list::<u32>("back").range(0, -1).unwrap())
    }

    #[test]
    fn the_jobs_of_a_dead_worker_come_back() {
        assert_eq!(reclaim_while(|_| ()), (Ok(1), vec![7]));
    }

    #[test]
    fn a_worker_that_wakes_at_the_last_moment_keeps_its_job() {
        assert_eq!(reclaim_while(|crew| crew.beat("ann").unwrap()), (Ok(0), vec![]));
    }

    #[test]
    fn a_job_that_is_finished_at_the_last_moment_does_not_come_back() {
        let finish = |crew: &Crew| {
            let finished = crew.engine.transaction([crew.hand("ann")], |tx| crew.finish(tx, "ann", &7_u32));
            assert_eq!(finished, Ok(true));
        };
        assert_eq!(reclaim_while(finish), (Ok(0), vec![]));
    }

    #[test]
    fn two_that_reclaim_at_once_put_a_job_back_once() {
        let reclaim = |crew: &Crew| {
            let count = crew.reclaim(
                |_: &[u32]| vec!["back".to_owned()],
                |tx, job: u32| tx.list::<u32>("back").push_back(job).map(drop),
            );
            assert_eq!(count, Ok(1));
        };
        assert_eq!(reclaim_while(reclaim), (Ok(0), vec![7]));
    }
}
