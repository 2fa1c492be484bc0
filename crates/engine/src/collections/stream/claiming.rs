//! Pending entries change hands: those named one by one, and those that were idle for long.

use super::Stream;
use super::group::{Group, Pending};
use super::id::StreamId;
use super::log::Log;

/// How many pending entries are looked at for each one that may be claimed.
const ATTEMPTS: usize = 10;

/// How pending entries are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claiming {
    /// Only what was idle for at least so long.
    pub(crate) min_idle_ms: u64,
    /// When they shall have been delivered.
    pub(crate) delivered_ms: u64,
    /// How often they shall have been delivered; once more if `None`.
    pub(crate) retry_count: Option<u64>,
    /// What is not pending becomes so, if the entry is there.
    pub(crate) force: bool,
    /// The delivery is not counted.
    pub(crate) just_id: bool,
    pub(crate) now_ms: u64,
}

/// What a claim did.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) ids: Vec<StreamId>,
    /// Were pending, but their entries are gone: they are pending no more.
    pub(crate) gone: Vec<StreamId>,
    /// Whether the consumer was looked at, or made, at all.
    pub(crate) consumer_seen: bool,
    /// Where to go on; `0-0` at the end.
    pub(crate) next: StreamId,
    /// The log as it was.
    pub(crate) log: Log,
}

/// A claim under way.
struct Claimer<'a> {
    group: &'a mut Group,
    consumer: &'a [u8],
    number: Option<u64>,
    claiming: &'a Claiming,
    claimed: Claimed,
}

impl Claimer<'_> {
    fn gone(&mut self, id: StreamId) {
        if self.group.acknowledge(id) {
            self.claimed.gone.push(id);
        }
    }

    fn is_idle(&self, pending: &Pending) -> bool {
        let Claiming { min_idle_ms, now_ms, .. } = *self.claiming;
        min_idle_ms == 0 || now_ms.saturating_sub(pending.delivered_ms) >= min_idle_ms
    }

    /// Hands an entry over; `count` is how often it was delivered so far.
    fn take(&mut self, id: StreamId, count: u64) {
        let Claiming { delivered_ms, retry_count, just_id, now_ms, .. } = *self.claiming;
        let number = *self.number.get_or_insert_with(|| self.group.see(self.consumer, now_ms));
        let count = retry_count.unwrap_or(if just_id { count } else { count.saturating_add(1) });
        self.group.put(Pending { id, consumer: number, delivered_ms, count });
        self.claimed.ids.push(id);
    }

    fn finish(mut self) -> Claimed {
        if let Some(number) = self.number {
            self.claimed.consumer_seen = true;
            self.group.set_active(number, Some(self.claiming.now_ms));
        }
        self.claimed
    }
}

impl Stream {
    fn claim_with(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        claiming: &Claiming,
        run: impl FnOnce(&mut Claimer<'_>, &Log),
    ) -> Option<Claimed> {
        let log = self.0.log.clone();
        self.edit_group(group, |group| {
            let claimed = Claimed {
                ids: Vec::new(),
                gone: Vec::new(),
                consumer_seen: false,
                next: StreamId::MIN,
                log: log.clone(),
            };
            let mut claimer = Claimer { group, consumer, number: None, claiming, claimed };
            run(&mut claimer, &log);
            claimer.finish()
        })
    }

    /// Claims these entries. `None` without such a group.
    pub(crate) fn claim(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        ids: &[StreamId],
        claiming: &Claiming,
    ) -> Option<Claimed> {
        self.claim_with(group, consumer, claiming, |claimer, log| {
            for &id in ids {
                if !log.contains(id) {
                    claimer.gone(id);
                    continue;
                }
                match claimer.group.pending(id).copied() {
                    Some(pending) if claimer.is_idle(&pending) => claimer.take(id, pending.count),
                    // What is made pending counts as delivered once before.
                    None if claiming.force => claimer.take(id, 1),
                    _ => {}
                }
            }
        })
    }

    /// Claims what is pending from `start` on and idle, at most `count` entries. `None` without such a group.
    pub(crate) fn auto_claim(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        start: StreamId,
        count: usize,
        claiming: &Claiming,
    ) -> Option<Claimed> {
        self.claim_with(group, consumer, claiming, |claimer, log| {
            let attempts = count.saturating_mul(ATTEMPTS);
            let mut seen = Vec::new();
            let mut wanted = count;
            let mut rest = claimer.group.pending_from(start);
            while seen.len() < attempts && wanted > 0 {
                let Some(pending) = rest.next() else { break };
                let exists = log.contains(pending.id);
                if !exists || claimer.is_idle(pending) {
                    wanted -= 1;
                }
                seen.push((*pending, exists));
            }
            let next = rest.next().map_or(StreamId::MIN, |pending| pending.id);
            drop(rest);
            for (pending, exists) in seen {
                if !exists {
                    claimer.gone(pending.id);
                } else if claimer.is_idle(&pending) {
                    claimer.take(pending.id, pending.count);
                }
            }
            claimer.claimed.next = next;
        })
    }
}
