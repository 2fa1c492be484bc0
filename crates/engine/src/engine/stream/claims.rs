//! Pending entries: XPENDING, XCLAIM, XAUTOCLAIM.

use std::ops::RangeBounds;
use std::sync::Arc;
use std::time::Duration;

use super::super::Place;
use super::super::place::capture;
use super::groups::{NAMED_BYTES, PENDING_BYTES, StreamGroup, consumer_delta, pending_deltas};
use super::{emit_all, has_consumer, inclusive, note_consumer};
use crate::clock::UnixMillis;
use crate::collections::stream::Stream as Body;
use crate::collections::stream::claiming::{Claimed, Claiming};
use crate::collections::stream::delta::StreamDelta;
use crate::collections::stream::fields::StreamEntry;
use crate::collections::stream::group::{Group, Pending};
use crate::collections::stream::id::StreamId;
use crate::collections::stream::replay::group_put;
use crate::error::OpError;
use crate::keyspace::collect::Change;

/// How many entries are claimed by [`StreamGroup::auto_claim`] at once, by default.
const AUTO_CLAIM_COUNT: usize = 100;

/// What is pending in a group, in sum; see [`StreamGroup::pending_summary`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PendingSummary {
    /// How many entries.
    pub count: u64,
    /// The lowest and the highest id.
    pub bounds: Option<(StreamId, StreamId)>,
    /// The consumers that have some, by name, with how many.
    pub consumers: Vec<(Arc<[u8]>, u64)>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingEntry {
    /// Its id.
    pub id: StreamId,
    /// Who has it.
    pub consumer: Arc<[u8]>,
    /// When it was last delivered.
    pub delivered: UnixMillis,
    /// How long ago that was.
    pub idle: Duration,
    /// How often it was delivered.
    pub deliveries: u64,
}

impl PendingEntry {
    pub(super) fn new(group: &Group, pending: &Pending, now: UnixMillis) -> Self {
        let delivered = UnixMillis(pending.delivered_ms);
        Self {
            id: pending.id,
            consumer: Arc::clone(&group.consumer(pending.consumer).name),
            delivered,
            idle: now.saturating_since(delivered),
            deliveries: pending.count,
        }
    }
}

/// Which pending entries are asked for; see [`StreamGroup::pending`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// let query = larder::PendingQuery::new().consumer("ann").min_idle(Duration::from_secs(60)).count(10);
/// assert_ne!(query, larder::PendingQuery::new());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingQuery {
    ids: (StreamId, StreamId),
    count: usize,
    consumer: Option<Box<[u8]>>,
    min_idle: Duration,
}

impl Default for PendingQuery {
    fn default() -> Self {
        let ids = (StreamId::MIN, StreamId::MAX);
        Self { ids, count: usize::MAX, consumer: None, min_idle: Duration::ZERO }
    }
}

impl PendingQuery {
    /// Asks for all of them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for ids in a range.
    #[must_use]
    pub fn ids(mut self, ids: impl RangeBounds<StreamId>) -> Self {
        self.ids = inclusive(&ids).into_inner();
        self
    }

    /// Asks for at most so many.
    #[must_use]
    pub fn count(mut self, entries: usize) -> Self {
        self.count = entries;
        self
    }

    /// Asks for those of one consumer.
    #[must_use]
    pub fn consumer(mut self, consumer: impl AsRef<[u8]>) -> Self {
        self.consumer = Some(consumer.as_ref().into());
        self
    }

    /// Asks for those that were delivered so long ago.
    #[must_use]
    pub fn min_idle(mut self, idle: Duration) -> Self {
        self.min_idle = idle;
        self
    }
}

/// How entries are claimed; see [`StreamGroup::claim`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// let options = larder::ClaimOptions::new(Duration::from_secs(60)).retry_count(1).force();
/// assert_ne!(options, larder::ClaimOptions::new(Duration::ZERO));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimOptions {
    min_idle: Duration,
    delivered: Delivery,
    retry_count: Option<u64>,
    force: bool,
    last_id: Option<StreamId>,
    count: usize,
}

/// When a claimed entry shall have been delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Ago(Duration),
    At(UnixMillis),
}

impl ClaimOptions {
    /// Claims only what was idle for at least so long.
    #[must_use]
    pub fn new(min_idle: Duration) -> Self {
        Self {
            min_idle,
            delivered: Delivery::Ago(Duration::ZERO),
            retry_count: None,
            force: false,
            last_id: None,
            count: AUTO_CLAIM_COUNT,
        }
    }

    /// Lets the entries have been delivered so long ago (`IDLE`).
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.delivered = Delivery::Ago(idle);
        self
    }

    /// Lets the entries have been delivered then (`TIME`); a time to come counts as now.
    #[must_use]
    pub fn delivered_at(mut self, time: UnixMillis) -> Self {
        self.delivered = Delivery::At(time);
        self
    }

    /// Sets how often they were delivered (`RETRYCOUNT`).
    #[must_use]
    pub fn retry_count(mut self, deliveries: u64) -> Self {
        self.retry_count = Some(deliveries);
        self
    }

    /// Makes entries pending that are not, if they are in the stream (`FORCE`).
    #[must_use]
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// Moves the group's last delivered id up to this one (`LASTID`).
    #[must_use]
    pub fn last_id(mut self, id: StreamId) -> Self {
        self.last_id = Some(id);
        self
    }

    /// Claims at most so many; of meaning for [`StreamGroup::auto_claim`] only, and 100 by default (`COUNT`).
    #[must_use]
    pub fn count(mut self, entries: usize) -> Self {
        self.count = entries;
        self
    }

    fn resolve(&self, just_id: bool, now_ms: u64) -> Claiming {
        let delivered_ms = match self.delivered {
            Delivery::At(time) => time.0.min(now_ms),
            Delivery::Ago(idle) => u64::try_from(idle.as_millis())
                .ok()
                .and_then(|idle| now_ms.checked_sub(idle))
                .unwrap_or(now_ms),
        };
        Claiming {
            min_idle_ms: u64::try_from(self.min_idle.as_millis()).unwrap_or(u64::MAX),
            delivered_ms,
            retry_count: self.retry_count,
            force: self.force,
            just_id,
            now_ms,
        }
    }
}

/// What [`StreamGroup::auto_claim`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AutoClaimed<T> {
    /// Where to go on; `0-0` at the end.
    pub next: StreamId,
    /// What was claimed.
    pub claimed: Vec<T>,
    /// What was pending but is no longer in the stream; it is pending no more.
    pub deleted: Vec<StreamId>,
}

impl<P: Place> StreamGroup<'_, P> {
    pub(super) fn now(&self) -> UnixMillis {
        UnixMillis(self.place.engine().core.now_ms())
    }

    /// Tells how much is pending, and with whom.
    ///
    /// **Command** `XPENDING key group`. **Complexity** O(c) for c consumers, on a captured root.
    ///
    /// # Errors
    /// [`OpError::NoSuchGroup`]; [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::StreamId;
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// let id = stream.add([("f", "v")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// stream.group("g").read("ann")?;
    /// let summary = stream.group("g").pending_summary()?;
    /// assert_eq!((summary.count, summary.bounds), (1, Some((id, id))));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pending_summary(&self) -> Result<PendingSummary, OpError> {
        let body: Option<Body> = capture(self.place)?;
        let group = body.as_ref().and_then(|body| body.group(self.name.as_bytes()));
        let group = group.ok_or_else(|| self.missing())?;
        let busy = group.consumers().filter(|consumer| consumer.pending > 0);
        Ok(PendingSummary {
            count: group.pending_count(),
            bounds: group.pending_bounds(),
            consumers: busy.map(|consumer| (Arc::clone(&consumer.name), consumer.pending)).collect(),
        })
    }

    /// Lists pending entries.
    ///
    /// **Command** `XPENDING key group start end count`. **Complexity** O(log p + k) for p pending entries of which k are
    /// looked at, on a captured root.
    ///
    /// # Errors
    /// [`OpError::NoSuchGroup`]; [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::{PendingQuery, StreamId};
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// stream.add([("f", "v")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// stream.group("g").read("ann")?;
    /// let pending = stream.group("g").pending(&PendingQuery::new().consumer("ann"))?;
    /// assert_eq!(pending[0].deliveries, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pending(&self, query: &PendingQuery) -> Result<Vec<PendingEntry>, OpError> {
        let body: Option<Body> = capture(self.place)?;
        let group = body.as_ref().and_then(|body| body.group(self.name.as_bytes()));
        let group = group.ok_or_else(|| self.missing())?;
        let now = self.now();
        let (start, end) = query.ids;
        let wanted = |pending: &Pending| {
            query.min_idle.is_zero()
                || now.saturating_since(UnixMillis(pending.delivered_ms)) >= query.min_idle
        };
        let all: &mut dyn Iterator<Item = &Pending> = match &query.consumer {
            None => &mut group.pending_from(start),
            Some(name) => match group.number_of(name) {
                Some(number) => &mut group.owned_from(number, start),
                None => return Ok(Vec::new()),
            },
        };
        let found = all.take_while(|pending| pending.id <= end).filter(|pending| wanted(pending));
        Ok(found.take(query.count).map(|pending| PendingEntry::new(group, pending, now)).collect())
    }

    /// Hands pending entries over to a consumer, which is made if it is needed; returns those that it got. Entries that are
    /// no longer in the stream are pending no more.
    ///
    /// **Command** `XCLAIM`. **Complexity** O(log n + b + log p) an id, for n entries, b bytes of a block, p pending entries.
    ///
    /// # Errors
    /// [`OpError::NoSuchGroup`]; [`OpError::WrongType`]; [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// use larder::{ClaimOptions, StreamId};
    /// use std::time::Duration;
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// let id = stream.add([("f", "v")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// stream.group("g").read("ann")?;
    /// assert_eq!(stream.group("g").claim("bob", [id], &ClaimOptions::new(Duration::ZERO))?[0].id, id);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn claim(
        &self,
        consumer: impl AsRef<[u8]>,
        ids: impl IntoIterator<Item = StreamId>,
        options: &ClaimOptions,
    ) -> Result<Vec<StreamEntry>, OpError> {
        let ids: Vec<StreamId> = ids.into_iter().collect();
        Ok(entries_of(&self.claim_named(consumer.as_ref(), &ids, options, false)?))
    }

    /// Hands pending entries over to a consumer without counting that as a delivery; returns the ids that it got.
    ///
    /// **Command** `XCLAIM .. JUSTID`. **Complexity** as [`StreamGroup::claim`].
    ///
    /// # Errors
    /// As [`StreamGroup::claim`].
    ///
    /// # Examples
    /// ```
    /// use larder::{ClaimOptions, StreamId};
    /// use std::time::Duration;
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// let id = stream.add([("f", "v")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// stream.group("g").read("ann")?;
    /// assert_eq!(stream.group("g").claim_ids("bob", [id], &ClaimOptions::new(Duration::ZERO))?, [id]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn claim_ids(
        &self,
        consumer: impl AsRef<[u8]>,
        ids: impl IntoIterator<Item = StreamId>,
        options: &ClaimOptions,
    ) -> Result<Vec<StreamId>, OpError> {
        let ids: Vec<StreamId> = ids.into_iter().collect();
        Ok(self.claim_named(consumer.as_ref(), &ids, options, true)?.ids)
    }

    fn claim_named(
        &self,
        consumer: &[u8],
        ids: &[StreamId],
        options: &ClaimOptions,
        just_id: bool,
    ) -> Result<Claimed, OpError> {
        let name = self.name.as_bytes();
        let touches = |_: &Body, _: &Group| ids.len() as u64;
        self.change_entries(claim_room(ids.len(), consumer), touches, |change| {
            let claiming = options.resolve(just_id, change.now_ms());
            let moved = options
                .last_id
                .filter(|last| change.body.group(name).is_some_and(|g| *last > g.last_delivered));
            let was_there = has_consumer(change.body, name, consumer);
            let claimed = change.body.claim(name, consumer, ids, &claiming)?;
            note_consumer(change, was_there, name, consumer);
            if let Some(last) = moved {
                change.body.edit_group(name, |group| group.last_delivered = last);
                emit_all(change, |body, deltas| deltas.extend(body.group(name).map(|g| group_put(name, g))));
            }
            emit_claimed(change, name, consumer, &claimed);
            Some(claimed)
        })
    }

    /// Hands over to a consumer what is pending from an id on and was idle for long, as far as one call goes: at most
    /// [`ClaimOptions::count`] entries, out of ten times as many that are looked at.
    ///
    /// **Command** `XAUTOCLAIM`. **Complexity** O(log p) and, for each of the k entries looked at, O(log n + b).
    ///
    /// # Errors
    /// [`OpError::NoSuchGroup`]; [`OpError::WrongType`]; [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// use larder::{ClaimOptions, StreamId};
    /// use std::time::Duration;
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// let id = stream.add([("f", "v")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// stream.group("g").read("ann")?;
    /// let got = stream.group("g").auto_claim("bob", StreamId::MIN, &ClaimOptions::new(Duration::ZERO))?;
    /// assert_eq!((got.claimed[0].id, got.next), (id, StreamId::MIN));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn auto_claim(
        &self,
        consumer: impl AsRef<[u8]>,
        start: StreamId,
        options: &ClaimOptions,
    ) -> Result<AutoClaimed<StreamEntry>, OpError> {
        let claimed = self.claim_idle(consumer.as_ref(), start, options, false)?;
        Ok(AutoClaimed { next: claimed.next, claimed: entries_of(&claimed), deleted: claimed.gone })
    }

    /// The same without counting that as a delivery, and with the ids alone.
    ///
    /// **Command** `XAUTOCLAIM .. JUSTID`. **Complexity** as [`StreamGroup::auto_claim`].
    ///
    /// # Errors
    /// As [`StreamGroup::auto_claim`].
    ///
    /// # Examples
    /// ```
    /// use larder::{ClaimOptions, StreamId};
    /// use std::time::Duration;
    /// let engine = larder::Engine::new();
    /// let stream = engine.stream("s");
    /// let id = stream.add([("f", "v")])?;
    /// stream.group("g").create(StreamId::MIN)?;
    /// stream.group("g").read("ann")?;
    /// let got = stream.group("g").auto_claim_ids("bob", StreamId::MIN, &ClaimOptions::new(Duration::ZERO))?;
    /// assert_eq!(got.claimed, [id]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn auto_claim_ids(
        &self,
        consumer: impl AsRef<[u8]>,
        start: StreamId,
        options: &ClaimOptions,
    ) -> Result<AutoClaimed<StreamId>, OpError> {
        let claimed = self.claim_idle(consumer.as_ref(), start, options, true)?;
        Ok(AutoClaimed { next: claimed.next, claimed: claimed.ids, deleted: claimed.gone })
    }

    fn claim_idle(
        &self,
        consumer: &[u8],
        start: StreamId,
        options: &ClaimOptions,
        just_id: bool,
    ) -> Result<Claimed, OpError> {
        let name = self.name.as_bytes();
        let touches =
            |_: &Body, group: &Group| group.pending_count().min((options.count as u64).saturating_mul(10));
        self.change_entries(claim_room(0, consumer), touches, |change| {
            let claiming = options.resolve(just_id, change.now_ms());
            let was_there = has_consumer(change.body, name, consumer);
            let claimed = change.body.auto_claim(name, consumer, start, options.count, &claiming)?;
            note_consumer(change, was_there, name, consumer);
            emit_claimed(change, name, consumer, &claimed);
            Some(claimed)
        })
    }
}

/// Only a forced claim makes new pending entries.
fn claim_room(new: usize, consumer: &[u8]) -> usize {
    new.saturating_mul(PENDING_BYTES).saturating_add(NAMED_BYTES + 2 * consumer.len())
}

fn entries_of(claimed: &Claimed) -> Vec<StreamEntry> {
    claimed.ids.iter().filter_map(|&id| claimed.log.get(id)).collect()
}

fn emit_claimed(change: &mut Change<'_, Body>, name: &[u8], consumer: &[u8], claimed: &Claimed) {
    if !claimed.consumer_seen && claimed.gone.is_empty() {
        return;
    }
    emit_all(change, |body, deltas| {
        let Some(group) = body.group(name) else { return };
        if claimed.consumer_seen {
            deltas.extend(consumer_delta(body, name, consumer));
        }
        deltas.extend(pending_deltas(name, group, &claimed.ids));
        deltas.extend(claimed.gone.iter().map(|&id| StreamDelta::PendingRemove { group: name.into(), id }));
    });
}
