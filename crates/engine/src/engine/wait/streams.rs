//! Waiting for entries of streams.

use std::time::Duration;

use super::super::stream::{GroupReadOptions, Stream, StreamGroup};
use super::super::{Engine, Place};
use super::Waiter;
use super::lists::never;
use super::request::{Delivery, Read, Request};
use crate::collections::stream::fields::StreamEntry;
use crate::collections::stream::id::StreamId;
use crate::error::OpError;

fn all(_: &[Box<[u8]>], delivery: Delivery) -> Result<Read, OpError> {
    match delivery {
        Delivery::Entries(read) => Ok(read),
        _ => never(),
    }
}

fn one(keys: &[Box<[u8]>], delivery: Delivery) -> Result<Vec<StreamEntry>, OpError> {
    Ok(all(keys, delivery)?.pop().map(|(_, entries)| entries).unwrap_or_default())
}

impl<P: Place> Stream<P> {
    /// Reads up to `count` entries that came after an id, waiting for one to come if there is none; `None` when the time is
    /// over (`timeout` of `None`: never). For what comes from now on, read after the last id that [`info`](Self::info) tells.
    ///
    /// All who wait get the entry, in the order of their coming. The result is empty if the entry was removed in the same
    /// transaction.
    ///
    /// **Command** `XREAD BLOCK`. **Complexity** O(log n + k) for k of n entries; O(log w) besides to wait behind w others.
    ///
    /// # Errors
    /// [`OpError::WrongType`]. A key that comes to hold another type meanwhile is waited for all the same.
    ///
    /// # Examples
    /// ```
    /// use larder::StreamId;
    /// let engine = larder::Engine::new();
    /// let id = engine.stream("log").add([("level", "info")])?;
    /// let entries = engine.stream("log").read_blocking(StreamId::MIN, 10, None)?.unwrap();
    /// assert_eq!(entries[0].id, id);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn read_blocking(
        &self,
        after: StreamId,
        count: usize,
        timeout: Option<Duration>,
    ) -> Result<Option<Vec<StreamEntry>>, OpError> {
        self.read_async(after, count).wait(timeout)
    }

    /// Reads entries that come after an id: a future, which takes its place in the queue now.
    ///
    /// **Command** `XREAD BLOCK`. **Complexity** as [`read_blocking`](Self::read_blocking).
    ///
    /// # Examples
    /// ```
    /// use larder::StreamId;
    /// let engine = larder::Engine::new();
    /// let waiter = engine.stream("log").read_async(StreamId::MIN, 10);
    /// engine.stream("log").add([("level", "info")])?;
    /// assert_eq!(waiter.cancel()?.unwrap().len(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn read_async(&self, after: StreamId, count: usize) -> Waiter<Vec<StreamEntry>> {
        let request = Request::Read { after: [after].into(), count };
        Waiter::start(self.place.engine(), &[self.place.key()], request, one)
    }
}

impl<P: Place> StreamGroup<'_, P> {
    /// Delivers entries that nobody in the group has read yet, waiting for one to come if there is none; `None` when the time
    /// is over (`timeout` of `None`: never).
    ///
    /// Callers who wait are served in the order of their coming, and before the call that added returns.
    ///
    /// **Command** `XREADGROUP BLOCK .. >`. **Complexity** O(k + log n + log p) for k of n entries and p pending ones; O(log w)
    /// besides to wait behind w others.
    ///
    /// # Errors
    /// As [`read_with`](Self::read_with); [`OpError::StreamGone`] if the stream is deleted or replaced meanwhile, and
    /// [`OpError::NoSuchGroup`] if the group is destroyed.
    ///
    /// # Examples
    /// ```
    /// use larder::{GroupReadOptions, StreamId};
    /// let engine = larder::Engine::new();
    /// let jobs = engine.stream("jobs");
    /// jobs.add([("task", "wash")])?;
    /// jobs.group("workers").create(StreamId::MIN)?;
    /// let got = jobs.group("workers").read_blocking("ann", GroupReadOptions::new().count(1), None)?;
    /// assert_eq!(got.unwrap().len(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn read_blocking(
        &self,
        consumer: impl AsRef<[u8]>,
        options: GroupReadOptions,
        timeout: Option<Duration>,
    ) -> Result<Option<Vec<StreamEntry>>, OpError> {
        self.read_async(consumer, options).wait(timeout)
    }

    /// Delivers entries that nobody in the group has read yet, when there are some: a future, which takes its place in the
    /// queue now. What was delivered is pending with the consumer, also if the future is dropped.
    ///
    /// **Command** `XREADGROUP BLOCK .. >`. **Complexity** as [`read_blocking`](Self::read_blocking).
    ///
    /// # Examples
    /// ```
    /// use larder::{GroupOptions, GroupPosition, GroupReadOptions};
    /// let engine = larder::Engine::new();
    /// let jobs = engine.stream("jobs");
    /// jobs.group("workers").create_with(GroupPosition::End, GroupOptions::new().make_stream())?;
    /// let waiter = jobs.group("workers").read_async("ann", GroupReadOptions::new());
    /// jobs.add([("task", "wash")])?;
    /// assert_eq!(waiter.cancel()?.unwrap().len(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn read_async(
        &self,
        consumer: impl AsRef<[u8]>,
        options: GroupReadOptions,
    ) -> Waiter<Vec<StreamEntry>> {
        let (group, consumer) = (self.name.as_bytes().into(), consumer.as_ref().into());
        let request = Request::ReadGroup { group, consumer, options };
        Waiter::start(self.place.engine(), &[self.place.key()], request, one)
    }
}

impl Engine {
    /// Reads up to `count` entries of each stream that came after given ids, waiting if there are none; the streams that have
    /// some come by their index. Who waits gets those of the stream to which something came first.
    ///
    /// **Command** `XREAD BLOCK`. **Complexity** O(m (log n + log w) + k) for m streams of n entries with queues of w, and the k
    /// entries that are read.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::InvalidArgument`] for no keys.
    ///
    /// # Examples
    /// ```
    /// use larder::StreamId;
    /// let engine = larder::Engine::new();
    /// engine.stream("b").add([("f", "v")])?;
    /// let after = [("a", StreamId::MIN), ("b", StreamId::MIN)];
    /// let read = engine.read_streams_blocking(&after, 10, None)?.unwrap();
    /// assert_eq!((read.len(), read[0].0), (1, 1));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[expect(clippy::type_complexity, reason = "the index of a stream, and its entries")]
    pub fn read_streams_blocking<K: AsRef<[u8]>>(
        &self,
        after: &[(K, StreamId)],
        count: usize,
        timeout: Option<Duration>,
    ) -> Result<Option<Vec<(usize, Vec<StreamEntry>)>>, OpError> {
        self.read_streams_async(after, count).wait(timeout)
    }

    /// Reads what comes into several streams: a future, which takes its place in the queues now.
    ///
    /// **Command** `XREAD BLOCK`. **Complexity** as [`read_streams_blocking`](Self::read_streams_blocking).
    ///
    /// # Examples
    /// ```
    /// use larder::StreamId;
    /// let engine = larder::Engine::new();
    /// let waiter = engine.read_streams_async(&[("a", StreamId::MIN), ("b", StreamId::MIN)], 10);
    /// engine.stream("b").add([("f", "v")])?;
    /// assert_eq!(waiter.cancel()?.unwrap()[0].0, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn read_streams_async<K: AsRef<[u8]>>(
        &self,
        after: &[(K, StreamId)],
        count: usize,
    ) -> Waiter<Vec<(usize, Vec<StreamEntry>)>> {
        let keys: Vec<&[u8]> = after.iter().map(|(key, _)| key.as_ref()).collect();
        let after = after.iter().map(|&(_, id)| id).collect();
        Waiter::start(self, &keys, Request::Read { after, count }, all)
    }

    /// Delivers to a consumer what nobody in the group has read yet, from several streams that have a group of this name,
    /// when there is something: a future, which takes its place in the queues now.
    ///
    /// **Command** `XREADGROUP BLOCK .. >`. **Complexity** that of [`StreamGroup::read_blocking`] for each stream.
    ///
    /// # Examples
    /// ```
    /// use larder::{GroupReadOptions, StreamId};
    /// let engine = larder::Engine::new();
    /// engine.stream("s").add([("f", "v")])?;
    /// engine.stream("s").group("g").create(StreamId::MIN)?;
    /// let waiter = engine.read_groups_async(&["s"], "g", "ann", GroupReadOptions::new());
    /// assert_eq!(waiter.wait(None)?.unwrap()[0].1.len(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn read_groups_async<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        group: impl AsRef<[u8]>,
        consumer: impl AsRef<[u8]>,
        options: GroupReadOptions,
    ) -> Waiter<Vec<(usize, Vec<StreamEntry>)>> {
        let (group, consumer) = (group.as_ref().into(), consumer.as_ref().into());
        Waiter::start(self, keys, Request::ReadGroup { group, consumer, options }, all)
    }
}
