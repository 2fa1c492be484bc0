//! Waiting for elements of lists.

use std::time::Duration;

use bytes::Bytes;

use super::super::list::List;
use super::super::{Engine, Key, Place};
use super::Waiter;
use super::blocked::any_waits;
use super::request::{Delivery, Kind, Request};
use crate::effect::End;
use crate::error::OpError;
use crate::typed::{Element, decode};

type Keys = [Box<[u8]>];

fn decode_at<T: Element>(keys: &Keys, at: usize, bytes: &[u8]) -> Result<T, OpError> {
    decode(bytes).map_err(|source| OpError::codec(keys.get(at).map_or(&[], |key| key), source))
}

fn decode_all<T: Element>(keys: &Keys, at: usize, elements: &[Bytes]) -> Result<Vec<T>, OpError> {
    elements.iter().map(|element| decode_at(keys, at, element)).collect()
}

/// What a waiter says if it gets something else than it asked for.
pub(super) fn never<R>() -> Result<R, OpError> {
    Err(OpError::InvalidArgument("the delivery is not of the kind that was asked for"))
}

fn one<T: Element>(keys: &Keys, delivery: Delivery) -> Result<T, OpError> {
    match delivery {
        Delivery::Elements(at, elements) => match &*elements {
            [element, ..] => decode_at(keys, at, element),
            [] => never(),
        },
        Delivery::Moved(element) => decode_at(keys, 0, &element),
        Delivery::Members(..) | Delivery::Entries(_) => never(),
    }
}

fn many<T: Element>(keys: &Keys, delivery: Delivery) -> Result<Vec<T>, OpError> {
    any(keys, delivery).map(|(_, elements)| elements)
}

fn any<T: Element>(keys: &Keys, delivery: Delivery) -> Result<(usize, Vec<T>), OpError> {
    match delivery {
        Delivery::Elements(at, elements) => Ok((at, decode_all(keys, at, &elements)?)),
        _ => never(),
    }
}

/// A count of zero would wait for nothing.
fn check_count(count: usize) -> Result<(), OpError> {
    if count == 0 { Err(OpError::InvalidArgument("a count of zero elements")) } else { Ok(()) }
}

impl<T: Element, P: Place> List<T, P> {
    /// Takes an element off an end, waiting for one to come if there is none; `None` when the time is over (`timeout` of
    /// `None`: never).
    ///
    /// Callers who wait are served in the order of their coming, and before the call that pushed returns. See [`Waiter`].
    ///
    /// **Command** `BLPOP`, `BRPOP`. **Complexity** O(log n), n elements; O(log w) besides to wait behind w others.
    ///
    /// # Errors
    /// As [`pop_front`](Self::pop_front). A key that comes to hold another type meanwhile is waited for all the same.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let engine = larder::Engine::new();
    /// let jobs = engine.list::<String>("jobs").into_owned();
    /// let worker = std::thread::spawn(move || jobs.pop_blocking(larder::End::Head, None));
    /// engine.list::<String>("jobs").push_back("wash")?;
    /// assert_eq!(worker.join().unwrap()?.as_deref(), Some("wash"));
    /// assert_eq!(engine.list::<u32>("none").pop_blocking(larder::End::Head, Some(Duration::ZERO))?, None);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_blocking(&self, end: End, timeout: Option<Duration>) -> Result<Option<T>, OpError> {
        if !any_waits(self.place.engine(), &[self.place.key()], Kind::List)? {
            let popped = if end == End::Head { self.pop_front() } else { self.pop_back() }?;
            if popped.is_some() {
                return Ok(popped);
            }
        }
        self.pop_async(end).wait(timeout)
    }

    /// Takes an element off an end, when there is one: a future, which takes its place in the queue now.
    ///
    /// **Command** `BLPOP`, `BRPOP`. **Complexity** as [`pop_blocking`](Self::pop_blocking).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let first = engine.list::<u32>("list").pop_async(larder::End::Head);
    /// engine.list::<u32>("list").push_back(7)?;
    /// assert_eq!(first.cancel()?, Some(7), "it had come already");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_async(&self, end: End) -> Waiter<T> {
        Waiter::start(self.place.engine(), &[self.place.key()], Request::Pop { end, count: 1 }, one)
    }

    /// Takes up to `count` elements off an end, the outermost first, waiting if there is none.
    ///
    /// **Command** `BLMPOP` with one key. **Complexity** as [`pop_blocking`](Self::pop_blocking), and O(c) for c elements.
    ///
    /// # Errors
    /// As [`pop_blocking`](Self::pop_blocking); [`OpError::InvalidArgument`] for a count of zero.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// list.extend_back([1, 2, 3])?;
    /// assert_eq!(list.pop_many_blocking(larder::End::Head, 2, None)?, Some(vec![1, 2]));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_many_blocking(
        &self,
        end: End,
        count: usize,
        timeout: Option<Duration>,
    ) -> Result<Option<Vec<T>>, OpError> {
        check_count(count)?;
        if !any_waits(self.place.engine(), &[self.place.key()], Kind::List)? {
            if let Some(popped) = self.pop_many(end, count)? {
                return Ok(Some(popped));
            }
        }
        let request = Request::Pop { end, count };
        Waiter::start(self.place.engine(), &[self.place.key()], request, many).wait(timeout)
    }

    /// Moves an element from an end of this list to an end of another, or of the same one, waiting for one to come if
    /// there is none; returns it, `None` when the time is over.
    ///
    /// **Command** `BLMOVE`, `BRPOPLPUSH`. **Complexity** as [`pop_blocking`](Self::pop_blocking).
    ///
    /// # Errors
    /// As [`move_to`](Self::move_to); a target of another type is an error also when it is found while waiting.
    ///
    /// # Examples
    /// ```
    /// use larder::End;
    /// let engine = larder::Engine::new();
    /// let waiting = engine.list::<String>("waiting");
    /// waiting.push_back("job")?;
    /// assert_eq!(waiting.move_blocking("running", End::Head, End::Tail, None)?.as_deref(), Some("job"));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn move_blocking<'k>(
        &self,
        to: impl Into<Key<'k>>,
        from: End,
        at: End,
        timeout: Option<Duration>,
    ) -> Result<Option<T>, OpError> {
        self.move_async(to, from, at).wait(timeout)
    }

    /// Moves an element to another list, when there is one: a future, which takes its place in the queue now. Once the
    /// element was moved it stays in the other list, also if the future is dropped.
    ///
    /// **Command** `BLMOVE`, `BRPOPLPUSH`. **Complexity** as [`pop_blocking`](Self::pop_blocking).
    ///
    /// # Examples
    /// ```
    /// use larder::End;
    /// let engine = larder::Engine::new();
    /// let waiter = engine.list::<u32>("a").move_async("b", End::Head, End::Tail);
    /// engine.list::<u32>("a").push_back(7)?;
    /// assert_eq!(engine.list::<u32>("b").range(0, -1)?, [7]);
    /// assert_eq!(waiter.cancel()?, Some(7));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn move_async<'k>(&self, to: impl Into<Key<'k>>, from: End, at: End) -> Waiter<T> {
        let request = Request::Move { to: to.into().as_bytes().into(), from, at };
        Waiter::start(self.place.engine(), &[self.place.key()], request, one)
    }
}

impl Engine {
    /// Takes up to `count` elements off an end of the first list that is not empty, waiting if all are; tells which of the
    /// keys that was. Who waits gets them from the key to which something came first.
    ///
    /// **Command** `BLPOP`, `BRPOP`, `BLMPOP`. **Complexity** O(k log w + c), k keys with queues of w, c elements taken.
    ///
    /// # Errors
    /// As [`pop_from_lists`](Self::pop_from_lists); [`OpError::InvalidArgument`] for no keys or a count of zero.
    ///
    /// # Examples
    /// ```
    /// use larder::End;
    /// let engine = larder::Engine::new();
    /// engine.list::<String>("low").push_back("x")?;
    /// let popped = engine.pop_from_lists_blocking::<String, _>(&["high", "low"], End::Head, 1, None)?;
    /// assert_eq!(popped, Some((1, vec!["x".to_owned()])));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_from_lists_blocking<T: Element, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        end: End,
        count: usize,
        timeout: Option<Duration>,
    ) -> Result<Option<(usize, Vec<T>)>, OpError> {
        check_count(count)?;
        self.pop_from_lists_async(keys, end, count).wait(timeout)
    }

    /// Takes elements off the first list to which something comes: a future, which takes its place in the queues now. A count
    /// of zero means one.
    ///
    /// **Command** `BLPOP`, `BRPOP`, `BLMPOP`. **Complexity** as [`pop_from_lists_blocking`](Self::pop_from_lists_blocking).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let waiter = engine.pop_from_lists_async::<u32, _>(&["a", "b"], larder::End::Head, 2);
    /// engine.list::<u32>("b").extend_back([1, 2, 3])?;
    /// assert_eq!(waiter.cancel()?, Some((1, vec![1, 2])));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_from_lists_async<T: Element, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        end: End,
        count: usize,
    ) -> Waiter<(usize, Vec<T>)> {
        Waiter::start(self, keys, Request::Pop { end, count: count.max(1) }, any)
    }
}
