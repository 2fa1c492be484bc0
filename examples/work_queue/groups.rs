//! Workers as a consumer group of a stream: entries are leased one by one, and a heartbeat extends the lease of one entry.
//!
//! ```text
//! submit -> stream --read--> pending with ann, delivered 12:00:00 --finish--> acknowledged and removed
//!                               | heartbeat: delivered now       '--idle for a lease: claimed by bob, delivery 2
//! ```
//! The group notes who has what, since when, and how often it was delivered; nothing else is kept. In contrast to crew.rs a lease is
//! of an entry, not of a worker: one worker may hold several and lose one of them. Other groups may read the same stream.
//!
//! Promise: at least once, `finish` says `true` exactly once. An entry that is delivered too often (`Delivered::times`) had
//! better be put aside, as retry.rs does.

use std::time::Duration;

use larder::{
    ClaimOptions, Engine, GroupOptions, GroupPosition, GroupReadOptions, OpError, PendingQuery, Place,
    References, StreamEntry, StreamGroup, StreamId, Tx,
};

/// An entry in a worker's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) id: StreamId,
    pub(crate) what: String,
    /// How often it was delivered, this time included.
    pub(crate) times: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct GroupQueue {
    engine: Engine,
    stream: String,
    group: String,
    lease: Duration,
}

impl GroupQueue {
    /// Joins a group, which is made if it is new; an entry is lost to others after `lease` without a heartbeat.
    pub(crate) fn new(engine: &Engine, stream: &str, group: &str, lease: Duration) -> Result<Self, OpError> {
        let from_the_start = GroupPosition::After(StreamId::MIN);
        engine.stream(stream).group(group).create_with(from_the_start, GroupOptions::new().make_stream())?;
        Ok(Self { engine: engine.clone(), stream: stream.to_owned(), group: group.to_owned(), lease })
    }

    pub(crate) fn submit(&self, what: &str) -> Result<StreamId, OpError> {
        self.engine.stream(&self.stream).add([("what", what)])
    }

    /// Takes an entry whose lease is over, or a new one, waiting for either.
    pub(crate) fn take(&self, worker: &str, timeout: Duration) -> Result<Option<Delivered>, OpError> {
        let stream = self.engine.stream(&self.stream);
        let group = stream.group(&self.group);
        let end = self.engine.now().saturating_add(timeout);
        loop {
            if let Some(entry) = self.claim_idle(&group, worker)? {
                return self.delivered(entry).map(Some);
            }
            let left = end.saturating_since(self.engine.now());
            // A new entry wakes it; that a lease is over does not, so it looks again.
            let span = Some(left.min(self.lease / 4));
            let one = GroupReadOptions::new().count(1);
            if let Some(entry) = group.read_blocking(worker, one, span)?.and_then(|mut entries| entries.pop())
            {
                return self.delivered(entry).map(Some);
            }
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// Claims the first entry whose lease is over. One call looks at a few entries only, and those that are leased count: go
    /// on until the end.
    fn claim_idle<P: Place>(
        &self,
        group: &StreamGroup<'_, P>,
        worker: &str,
    ) -> Result<Option<StreamEntry>, OpError> {
        let idle = ClaimOptions::new(self.lease).count(1);
        let mut from = StreamId::MIN;
        loop {
            let mut found = group.auto_claim(worker, from, &idle)?;
            if let Some(entry) = found.claimed.pop() {
                return Ok(Some(entry));
            }
            if found.next == StreamId::MIN {
                return Ok(None);
            }
            from = found.next;
        }
    }

    fn delivered(&self, entry: StreamEntry) -> Result<Delivered, OpError> {
        let query = PendingQuery::new().ids(entry.id..=entry.id);
        let pending = self.engine.stream(&self.stream).group(&self.group).pending(&query)?;
        let what = String::from_utf8_lossy(entry.fields.get("what").unwrap_or_default()).into_owned();
        Ok(Delivered { id: entry.id, what, times: pending.first().map_or(1, |pending| pending.deliveries) })
    }

    /// Extends a worker's lease of an entry; `false` if it was lost: stop working on it.
    pub(crate) fn heartbeat(&self, worker: &str, id: StreamId) -> Result<bool, OpError> {
        self.if_mine(worker, id, |tx| {
            let now = ClaimOptions::new(Duration::ZERO);
            tx.stream(&self.stream).group(&self.group).claim_ids(worker, [id], &now).map(drop)
        })
    }

    /// Ends an entry; `false` if the lease was lost and the entry is another's by now.
    pub(crate) fn finish(&self, worker: &str, id: StreamId) -> Result<bool, OpError> {
        self.if_mine(worker, id, |tx| {
            let stream = tx.stream(&self.stream);
            stream.group(&self.group).acknowledge_and_remove(References::Acknowledged, [id]).map(drop)
        })
    }

    /// Does something with an entry if it is pending with this worker, in one step: nobody claims it in between.
    fn if_mine(
        &self,
        worker: &str,
        id: StreamId,
        then: impl FnOnce(&Tx<'_>) -> Result<(), OpError>,
    ) -> Result<bool, OpError> {
        self.engine.transaction([&self.stream], |tx| {
            let query = PendingQuery::new().ids(id..=id).consumer(worker);
            let mine = !tx.stream(&self.stream).group(&self.group).pending(&query)?.is_empty();
            if mine {
                then(tx)?;
            }
            Ok(mine)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::tests::{TTL, world};

    #[test]
    fn the_entry_of_a_killed_worker_is_claimed_when_its_lease_is_over() {
        let (clock, engine) = world();
        let queue = GroupQueue::new(&engine, "s", "g", TTL).unwrap();
        let id = queue.submit("print").unwrap();
        let killed = thread::spawn({
            let queue = queue.clone();
            move || {
                let _entry = queue.take("ann", TTL).unwrap().unwrap();
                panic!("killed in the middle of its job (this panic is part of the test)");
            }
        });
        assert!(killed.join().is_err());
        clock.advance(TTL - Duration::from_millis(1));
        assert_eq!(queue.take("bob", Duration::ZERO), Ok(None));
        clock.advance(Duration::from_millis(1));
        let entry = queue.take("bob", Duration::ZERO).unwrap().unwrap();
        assert_eq!(entry, Delivered { id, what: "print".to_owned(), times: 2 });
        assert_eq!(queue.finish("bob", id), Ok(true));
        assert_eq!(engine.stream("s").len(), Ok(0));
    }

    #[test]
    fn heartbeats_extend_a_lease_for_as_long_as_the_work_takes() {
        let (clock, engine) = world();
        let queue = GroupQueue::new(&engine, "s", "g", TTL).unwrap();
        let id = queue.submit("long").unwrap();
        assert_eq!(queue.take("ann", Duration::ZERO).unwrap().unwrap().times, 1);
        for _ in 0..10 {
            clock.advance(TTL / 2);
            assert_eq!(queue.heartbeat("ann", id), Ok(true));
            assert_eq!(queue.take("bob", Duration::ZERO), Ok(None));
        }
        assert_eq!(queue.finish("ann", id), Ok(true));
        assert_eq!(queue.finish("ann", id), Ok(false), "once");
    }

    #[test]
    fn an_abandoned_entry_is_found_behind_many_that_are_worked_on() {
        let (clock, engine) = world();
        let queue = GroupQueue::new(&engine, "s", "g", TTL).unwrap();
        let ids: Vec<_> = (0..50).map(|number: u32| queue.submit(&number.to_string()).unwrap()).collect();
        for _ in &ids {
            queue.take("ann", Duration::ZERO).unwrap().unwrap();
        }
        clock.advance(TTL / 2);
        let (abandoned, busy) = ids.split_last().unwrap();
        assert!(busy.iter().all(|&id| queue.heartbeat("ann", id).unwrap()));
        clock.advance(TTL / 2);
        assert_eq!(queue.take("bob", Duration::ZERO).unwrap().map(|entry| entry.id), Some(*abandoned));
        assert_eq!(queue.take("bob", Duration::ZERO), Ok(None));
    }

    #[test]
    fn a_worker_that_stalled_past_its_lease_is_told_and_finishes_nothing() {
        let (clock, engine) = world();
        let queue = GroupQueue::new(&engine, "s", "g", TTL).unwrap();
        let id = queue.submit("job").unwrap();
        let (took, has_taken) = mpsc::channel();
        let (wake, woken) = mpsc::channel::<()>();
        let stalled = thread::spawn({
            let queue = queue.clone();
            move || {
                queue.take("ann", TTL).unwrap().unwrap();
                took.send(()).unwrap();
                woken.recv().unwrap();
                (queue.heartbeat("ann", id), queue.finish("ann", id))
            }
        });
        has_taken.recv().unwrap();
        clock.advance(TTL);
        assert_eq!(queue.take("bob", Duration::ZERO).unwrap().unwrap().id, id);
        wake.send(()).unwrap();
        assert_eq!(stalled.join().unwrap(), (Ok(false), Ok(false)));
        assert_eq!(queue.finish("bob", id), Ok(true));
    }

    #[test]
    fn every_entry_is_finished_exactly_once_although_workers_stop_in_the_middle() {
        const ENTRIES: usize = 100;
        let (clock, engine) = world();
        let queue = GroupQueue::new(&engine, "s", "g", TTL).unwrap();
        for _ in 0..ENTRIES {
            queue.submit("job").unwrap();
        }
        let mut finished = Vec::new();
        for turn in 0_u64.. {
            let worker = format!("worker {}", turn % 3);
            match queue.take(&worker, Duration::ZERO).unwrap() {
                // Every third job is dropped in the middle, its first time.
                Some(entry) if entry.times == 1 && turn % 3 == 0 => {}
                Some(entry) => {
                    assert_eq!(queue.finish(&worker, entry.id), Ok(true));
                    finished.push(entry.id);
                }
                None if finished.len() == ENTRIES => break,
                None => clock.advance(TTL),
            }
        }
        finished.sort_unstable();
        finished.dedup();
        assert_eq!(finished.len(), ENTRIES);
    }
}
