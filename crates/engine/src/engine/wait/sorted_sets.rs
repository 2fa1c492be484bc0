//! Waiting for members of sorted sets.

use std::time::Duration;

use super::super::sorted_set::SortedSet;
use super::super::{Engine, Place, ScoreEnd};
use super::Waiter;
use super::blocked::any_waits;
use super::lists::never;
use super::request::{Delivery, Kind, Request};
use crate::error::OpError;
use crate::typed::{Element, decode};

fn any<M: Element>(keys: &[Box<[u8]>], delivery: Delivery) -> Result<(usize, Vec<(M, f64)>), OpError> {
    let Delivery::Members(at, members) = delivery else { return never() };
    let decoded = members.iter().map(|(member, score)| Ok((decode(member)?, *score)));
    let decoded: Result<_, _> = decoded.collect();
    let key = keys.get(at).map_or(&[][..], |key| key);
    Ok((at, decoded.map_err(|source| OpError::codec(key, source))?))
}

fn one<M: Element>(keys: &[Box<[u8]>], delivery: Delivery) -> Result<(M, f64), OpError> {
    let (_, mut members) = any(keys, delivery)?;
    members.pop().map_or_else(never, Ok)
}

impl<M: Element, P: Place> SortedSet<M, P> {
    /// Takes the member at an end out, waiting for one to come if there is none; `None` when the time is over (`timeout` of
    /// `None`: never).
    ///
    /// Callers who wait are served in the order of their coming, and before the call that added returns. See [`Waiter`].
    ///
    /// **Command** `BZPOPMIN`, `BZPOPMAX`. **Complexity** O(log n), n members; O(log w) besides to wait behind w others.
    ///
    /// # Errors
    /// As [`pop_min`](Self::pop_min). A key that comes to hold another type meanwhile is waited for all the same.
    ///
    /// # Examples
    /// ```
    /// use larder::ScoreEnd;
    /// let engine = larder::Engine::new();
    /// let jobs = engine.sorted_set::<String>("jobs");
    /// jobs.add("now", 1.0)?;
    /// assert_eq!(jobs.pop_blocking(ScoreEnd::Lowest, None)?, Some(("now".to_owned(), 1.0)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_blocking(
        &self,
        end: ScoreEnd,
        timeout: Option<Duration>,
    ) -> Result<Option<(M, f64)>, OpError> {
        if !any_waits(self.place.engine(), &[self.place.key()], Kind::SortedSet)? {
            if let Some(popped) = self.pop(end, 1)?.pop() {
                return Ok(Some(popped));
            }
        }
        self.pop_async(end).wait(timeout)
    }

    /// Takes the member at an end out, when there is one: a future, which takes its place in the queue now.
    ///
    /// **Command** `BZPOPMIN`, `BZPOPMAX`. **Complexity** as [`pop_blocking`](Self::pop_blocking).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let waiter = engine.sorted_set::<String>("jobs").pop_async(larder::ScoreEnd::Lowest);
    /// engine.sorted_set::<String>("jobs").add("now", 1.0)?;
    /// assert_eq!(waiter.cancel()?, Some(("now".to_owned(), 1.0)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_async(&self, end: ScoreEnd) -> Waiter<(M, f64)> {
        Waiter::start(self.place.engine(), &[self.place.key()], Request::PopScored { end, count: 1 }, one)
    }
}

impl Engine {
    /// Takes up to `count` members off an end of the first sorted set that is not empty, waiting if all are; tells which of
    /// the keys that was. Who waits gets them from the key to which something came first.
    ///
    /// **Command** `BZPOPMIN`, `BZPOPMAX`, `BZMPOP`. **Complexity** O(k log w + c log n), k keys with queues of w, c members
    /// taken off n.
    ///
    /// # Errors
    /// As [`pop_from_sorted_sets`](Self::pop_from_sorted_sets); [`OpError::InvalidArgument`] for no keys or a count of zero.
    ///
    /// # Examples
    /// ```
    /// use larder::ScoreEnd;
    /// let engine = larder::Engine::new();
    /// engine.sorted_set::<String>("b").add("x", 1.0)?;
    /// let popped = engine.pop_from_sorted_sets_blocking::<String, _>(&["a", "b"], ScoreEnd::Lowest, 5, None)?;
    /// assert_eq!(popped, Some((1, vec![("x".to_owned(), 1.0)])));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[expect(clippy::type_complexity, reason = "the index of a key, and what was popped")]
    pub fn pop_from_sorted_sets_blocking<M: Element, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        end: ScoreEnd,
        count: u64,
        timeout: Option<Duration>,
    ) -> Result<Option<(usize, Vec<(M, f64)>)>, OpError> {
        if count == 0 {
            return Err(OpError::InvalidArgument("a count of zero members"));
        }
        self.pop_from_sorted_sets_async(keys, end, count).wait(timeout)
    }

    /// Takes members off the first sorted set to which something comes: a future, which takes its place in the queues now. A
    /// count of zero means one.
    ///
    /// **Command** `BZPOPMIN`, `BZPOPMAX`, `BZMPOP`. **Complexity** as
    /// [`pop_from_sorted_sets_blocking`](Self::pop_from_sorted_sets_blocking).
    ///
    /// # Examples
    /// ```
    /// use larder::ScoreEnd;
    /// let engine = larder::Engine::new();
    /// let waiter = engine.pop_from_sorted_sets_async::<String, _>(&["a", "b"], ScoreEnd::Highest, 1);
    /// engine.sorted_set::<String>("b").add("x", 1.0)?;
    /// assert_eq!(waiter.cancel()?, Some((1, vec![("x".to_owned(), 1.0)])));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_from_sorted_sets_async<M: Element, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        end: ScoreEnd,
        count: u64,
    ) -> Waiter<(usize, Vec<(M, f64)>)> {
        Waiter::start(self, keys, Request::PopScored { end, count: count.max(1) }, any)
    }
}
