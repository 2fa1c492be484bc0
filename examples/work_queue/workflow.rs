//! A workflow: steps that depend on others, each of which becomes ready when the last step that it needs is done.
//!
//! ```text
//! flow:waiting   the ready steps: a simple queue          flow:left   hash: step -> how many that it needs are not done
//! flow:done      set of the steps that are done           flow:next   hash: step -> the steps that need it
//! ```
//! The end of a step, the counts of those that need it, and their entry into the queue are one transaction. A worker that dies
//! before it leaves the step to others; one that dies after it has left nothing undone.
//!
//! Promise: no step begins before all that it needs are done; each is begun at least once and finished exactly once.

use std::collections::BTreeMap;
use std::time::Duration;

use larder::{Engine, OpError};

use crate::simple::SimpleQueue;

#[derive(Debug, Clone)]
pub(crate) struct Workflow {
    engine: Engine,
    ready: SimpleQueue<String>,
    left: String,
    next: String,
    done: String,
}

impl Workflow {
    pub(crate) fn new(engine: &Engine, name: &str, ttl: Duration) -> Self {
        Self {
            engine: engine.clone(),
            ready: SimpleQueue::new(engine, name, ttl),
            left: format!("{name}:left"),
            next: format!("{name}:next"),
            done: format!("{name}:done"),
        }
    }

    /// Starts a workflow of steps, each with the names of those that it needs.
    pub(crate) fn start(&self, steps: &[(&str, &[&str])]) -> Result<(), OpError> {
        check(steps)?;
        let mut next: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (step, needs) in steps {
            needs.iter().for_each(|need| next.entry(need).or_default().push((*step).to_owned()));
        }
        self.engine.transaction([self.ready.key(), &self.left, &self.next], |tx| {
            tx.hash::<String, Vec<String>>(&self.next).set_many(next)?;
            for (step, needs) in steps {
                tx.hash::<String, usize>(&self.left).set(*step, needs.len())?;
                if needs.is_empty() {
                    self.ready.push_in(tx, &(*step).to_owned())?;
                }
            }
            Ok(())
        })
    }

    /// Takes a step that is ready, waiting for one if there is none.
    pub(crate) fn take(&self, worker: &str, timeout: Duration) -> Result<Option<String>, OpError> {
        self.ready.take(worker, timeout)
    }

    /// Ends a step, and makes those ready that needed only this one yet. `false` if this worker was taken for dead.
    pub(crate) fn finish(&self, worker: &str, step: &String) -> Result<bool, OpError> {
        self.ready.finish_with(worker, step, &[&self.left, &self.next, &self.done], |tx| {
            tx.set_of::<String>(&self.done).add(step)?;
            let left = tx.hash::<String, usize>(&self.left);
            let next = tx.hash::<String, Vec<String>>(&self.next).get(step)?.unwrap_or_default();
            for step in next {
                if left.incr_by(&step, -1)? == 0 {
                    self.ready.push_in(tx, &step)?;
                }
            }
            Ok(())
        })
    }

    pub(crate) fn reclaim(&self) -> Result<usize, OpError> {
        self.ready.reclaim()
    }

    pub(crate) fn is_done(&self) -> Result<bool, OpError> {
        self.engine.transaction([&self.left, &self.done], |tx| {
            Ok(tx.set_of::<String>(&self.done).len()? == tx.hash::<String, usize>(&self.left).len()?)
        })
    }
}

/// Refuses steps that would never become ready: those that need an unknown one, or each other.
fn check(steps: &[(&str, &[&str])]) -> Result<(), OpError> {
    let mut reachable: Vec<&str> = Vec::new();
    loop {
        let known = reachable.len();
        for (step, needs) in steps {
            if !reachable.contains(step) && needs.iter().all(|need| reachable.contains(need)) {
                reachable.push(step);
            }
        }
        if reachable.len() == steps.len() {
            return Ok(());
        }
        if reachable.len() == known {
            return Err(OpError::InvalidArgument("a step is listed twice, or would never become ready"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread;

    use super::*;
    use crate::tests::{TTL, world};

    const STEPS: [(&str, &[&str]); 6] = [
        ("build", &["fetch"]),
        ("fetch", &[]),
        ("test", &["build"]),
        ("docs", &["fetch"]),
        ("pack", &["build", "docs"]),
        ("ship", &["test", "pack"]),
    ];

    #[test]
    fn a_step_waits_for_all_that_it_needs_although_a_worker_is_killed_in_the_middle() {
        let (clock, engine) = world();
        let flow = Workflow::new(&engine, "f", TTL);
        flow.start(&STEPS).unwrap();
        let mut order: Vec<String> = Vec::new();
        for number in 0.. {
            let worker = number.to_string();
            let Some(step) = flow.take(&worker, Duration::ZERO).unwrap() else { break };
            if number == 1 {
                // Killed with the second step in hand: nothing that needs it is ready until another did it.
                assert_eq!(step, "build");
                assert_eq!(flow.take("other", Duration::ZERO).unwrap().as_deref(), Some("docs"));
                assert_eq!(flow.finish("other", &"docs".to_owned()), Ok(true));
                order.push("docs".to_owned());
                assert_eq!(flow.take("other", Duration::ZERO), Ok(None));
                clock.advance(TTL);
                assert_eq!(flow.reclaim(), Ok(1));
                continue;
            }
            assert_eq!(flow.finish(&worker, &step), Ok(true));
            order.push(step);
        }
        assert_eq!(order, ["fetch", "docs", "build", "test", "pack", "ship"]);
        assert_eq!(flow.is_done(), Ok(true));
    }

    #[test]
    fn the_late_end_of_a_step_does_not_count_twice() {
        let (clock, engine) = world();
        let flow = Workflow::new(&engine, "f", TTL);
        flow.start(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]).unwrap();
        let a = flow.take("stalled", Duration::ZERO).unwrap().unwrap();
        clock.advance(TTL);
        assert_eq!(flow.reclaim(), Ok(1));
        assert_eq!(flow.take("bob", Duration::ZERO).unwrap(), Some(a.clone()));
        assert_eq!(flow.finish("bob", &a), Ok(true));
        assert_eq!(flow.finish("stalled", &a), Ok(false));
        // Counted twice, c would be ready without b.
        assert_eq!(flow.take("bob", Duration::ZERO).unwrap().as_deref(), Some("b"));
        assert_eq!(flow.take("eve", Duration::ZERO), Ok(None));
        assert_eq!((flow.finish("bob", &"b".to_owned()), flow.is_done()), (Ok(true), Ok(false)));
        assert_eq!(flow.take("eve", Duration::ZERO).unwrap().as_deref(), Some("c"));
    }

    #[test]
    fn threads_do_all_steps_in_an_order_that_the_needs_allow() {
        let engine = Engine::new();
        let flow = Workflow::new(&engine, "f", Duration::from_secs(300));
        let order = Mutex::new(Vec::new());
        flow.start(&STEPS).unwrap();
        thread::scope(|scope| {
            for worker in ["1", "2", "3"] {
                let (flow, order) = (&flow, &order);
                scope.spawn(move || {
                    while !flow.is_done().unwrap() {
                        let Some(step) = flow.take(worker, Duration::from_millis(20)).unwrap() else {
                            continue;
                        };
                        order.lock().unwrap().push(step.clone());
                        assert_eq!(flow.finish(worker, &step), Ok(true));
                    }
                });
            }
        });
        let order = order.into_inner().unwrap();
        let at = |step: &str| order.iter().position(|done| done == step).expect("it was done");
        assert_eq!(order.len(), STEPS.len());
        assert!(STEPS.iter().all(|(step, needs)| needs.iter().all(|need| at(need) < at(step))), "{order:?}");
    }

    #[test]
    fn what_would_never_become_ready_is_refused() {
        let (_clock, engine) = world();
        let flow = Workflow::new(&engine, "f", TTL);
        for steps in [&[("a", &["b"][..]), ("b", &["a"])][..], &[("a", &["c"])], &[("a", &[]), ("a", &[])]] {
            assert!(flow.start(steps).is_err());
        }
        assert_eq!(engine.is_empty(), Ok(true));
    }
}
