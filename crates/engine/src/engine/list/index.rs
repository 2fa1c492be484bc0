//! Lists by index.

use std::ops::Range;

use super::{Body, COPIED_MAX, ELEMENT_BYTES, List, ListElements};
use crate::collections::Body as _;
use crate::collections::rules::Rules;
use crate::effect::{Delta, End};
use crate::engine::Place;
use crate::engine::check_value;
use crate::engine::place::{change, read};
use crate::error::OpError;
use crate::feed::event;
use crate::keyspace::collect::Absent;
use crate::typed::{Arg, Element};
use crate::value::Value;

/// The place of an index that may count from the end.
fn resolve(index: i64, len: usize) -> Option<usize> {
    let at = match usize::try_from(index) {
        Ok(at) => at,
        Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
    };
    (at < len).then_some(at)
}

/// The places from `start` to `stop`, both included and cut to what there is.
pub(super) fn resolve_range(start: i64, stop: i64, len: usize) -> Range<usize> {
    let place = |index: i64| match usize::try_from(index) {
        Ok(at) => Some(at),
        Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let start = place(start).unwrap_or(0);
    let end = place(stop).map_or(0, |stop| stop.saturating_add(1).min(len));
    if start < end { start..end } else { 0..0 }
}

impl<T: Element, P: Place> List<T, P> {
    /// Returns the element at an index; -1 is the last one.
    ///
    /// **Command** `LINDEX`. **Complexity** O(log n + b), n elements, b elements of one chunk of 8 KiB.
    ///
    /// # Errors
    /// [`OpError::WrongType`], [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// list.extend_back([1, 2, 3])?;
    /// assert_eq!((list.get(0)?, list.get(-1)?, list.get(3)?), (Some(1), Some(3), None));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn get(&self, index: i64) -> Result<Option<T>, OpError> {
        let found = read(&self.place, |body: &Body, _| {
            resolve(index, body.len()).and_then(|at| body.get(at)).map(Value::copy)
        })?;
        found.flatten().map(|element| self.decode(&element)).transpose()
    }

    /// Returns the elements from `start` to `stop`, both included; negative indices count from the end.
    ///
    /// **Command** `LRANGE`. **Complexity** O(log n + m), m elements returned; the lock is held for O(log n).
    ///
    /// # Errors
    /// [`OpError::WrongType`], [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// list.extend_back([1, 2, 3, 4])?;
    /// assert_eq!(list.range(1, -2)?, [2, 3]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn range(&self, start: i64, stop: i64) -> Result<Vec<T>, OpError> {
        self.iter_range(start, stop)?.collect()
    }

    /// Walks over all elements as they are now.
    ///
    /// **Command** `LRANGE` from 0 to -1. **Complexity** O(1) to begin, O(n) for the walk; it blocks nobody.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// list.extend_back([1, 2, 3])?;
    /// let backwards: Vec<u32> = list.iter()?.rev().collect::<Result<_, _>>()?;
    /// assert_eq!(backwards, [3, 2, 1]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn iter(&self) -> Result<ListElements<T>, OpError> {
        self.iter_range(0, -1)
    }

    /// Walks over the elements from `start` to `stop` as they are now.
    ///
    /// **Command** `LRANGE`. **Complexity** O(log n) to begin, O(m) for the walk over m elements; it blocks nobody.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// list.extend_back([1, 2, 3])?;
    /// assert_eq!(list.iter_range(-2, -1)?.len(), 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn iter_range(&self, start: i64, stop: i64) -> Result<ListElements<T>, OpError> {
        let part = read(&self.place, |body: &Body, _| {
            let range = resolve_range(start, stop, body.len());
            if range.len() > COPIED_MAX && !body.is_small() {
                return (body.clone(), range);
            }
            let len = range.len();
            (body.copied(range), 0..len)
        })?;
        let (body, range) = part.unwrap_or_else(|| (Body::empty(&Rules::default()), 0..0));
        Ok(ListElements::new(self.key(), body.into_elements(range)))
    }

    /// Puts an element in the place of the one at an index; -1 is the last one.
    ///
    /// **Command** `LSET`. **Complexity** O(log n + b), n elements, b bytes of one chunk of 8 KiB.
    ///
    /// # Errors
    /// [`OpError::NoSuchKey`] if there is no list, [`OpError::OutOfRange`] if it has no such index; else as
    /// [`push_back`](Self::push_back).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// list.extend_back([1, 2, 3])?;
    /// list.set(-1, 30)?;
    /// assert_eq!(list.range(0, -1)?, [1, 2, 30]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set(&self, index: i64, element: impl Arg<T>) -> Result<(), OpError> {
        let set = element.with(|bytes| {
            check_value(bytes.len())?;
            change(&self.place, Absent::Skip, bytes.len() + ELEMENT_BYTES, |change| {
                let (body, rules, _) = change.parts();
                let body: &mut Body = body;
                let at = resolve(index, body.len()).ok_or(OpError::OutOfRange { offset: index })?;
                body.set(at, bytes, rules);
                change.emit(|| Delta::ListSet { index: at as u64, element: bytes.into() });
                Ok(())
            })
        });
        set.map_err(|source| self.codec(source))??.ok_or(OpError::NoSuchKey)
    }

    /// Keeps the elements from `start` to `stop`, both included, and removes all others.
    ///
    /// **Command** `LTRIM`. **Complexity** O(log n + b), n elements, b bytes of one chunk; what was cut off is freed outside
    /// of the lock, in O(m).
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let recent = engine.list::<u32>("recent");
    /// recent.extend_front([1, 2, 3, 4])?;
    /// recent.trim(0, 2)?;
    /// assert_eq!(recent.range(0, -1)?, [4, 3, 2]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn trim(&self, start: i64, stop: i64) -> Result<(), OpError> {
        let gone = change(&self.place, Absent::Skip, 0, |change| {
            change.name(event::LTRIM);
            change.note(event::LTRIM);
            let (body, rules, _) = change.parts();
            let body: &mut Body = body;
            let (len, kept) = (body.len(), resolve_range(start, stop, body.len()));
            let tail = body.cut(kept.end..len, rules);
            let head = body.cut(0..kept.start, rules);
            for (end, part) in [(End::Tail, &tail), (End::Head, &head)] {
                if part.len() > 0 {
                    change.emit(|| Delta::ListPop { end, count: part.len() as u64 });
                }
            }
            Ok((head, tail))
        })?;
        // Both parts are freed here, where no lock is held.
        drop(gone);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_count_from_both_ends() {
        let cases = [(0, Some(0)), (2, Some(2)), (3, None), (-1, Some(2)), (-3, Some(0)), (-4, None)];
        for (index, at) in cases {
            assert_eq!(resolve(index, 3), at, "{index}");
        }
        assert_eq!((resolve(i64::MIN, 3), resolve(i64::MAX, 3), resolve(0, 0)), (None, None, None));
    }

    #[test]
    fn ranges_are_cut_to_the_list() {
        let cases = [
            ((0, -1), 0..3),
            ((0, 2), 0..3),
            ((0, 99), 0..3),
            ((-99, 0), 0..1),
            ((1, 1), 1..2),
            ((-2, -1), 1..3),
            ((2, 1), 0..0),
            ((3, 5), 0..0),
            ((0, -4), 0..0),
            ((i64::MIN, i64::MAX), 0..3),
            ((i64::MAX, i64::MIN), 0..0),
        ];
        for ((start, stop), range) in cases {
            assert_eq!(resolve_range(start, stop, 3), range, "{start} {stop}");
        }
        assert_eq!(resolve_range(0, -1, 0), 0..0);
    }
}
