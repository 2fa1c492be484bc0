//! Lists by value: finding, removing, inserting beside.
//!
//! A large list is searched in a captured root, outside of the lock. What was found holds if the root is still the same one
//! when the lock has been taken; otherwise the search begins anew, and after a few times it is done under the lock.

use super::{Body, ELEMENT_BYTES, List};
use crate::collections::rules::Rules;
use crate::effect::Delta;
use crate::engine::place::{change, read};
use crate::engine::{Place, check_value};
use crate::error::OpError;
use crate::keyspace::collect::Absent;
use crate::typed::{Arg, Element};

/// How often a list is searched outside of the lock before it is searched inside.
const OPTIMISTIC_TRIES: u32 = 8;

/// What came of an insertion beside another element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It was done; the list has this length now.
    Done(u64),
    /// No element of the list equals the pivot.
    NoPivot,
    /// There is no list.
    NoList,
}

/// Which occurrences of an element [`List::positions`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionOptions {
    rank: i64,
    count: usize,
    max_len: usize,
}

impl PositionOptions {
    /// Every occurrence, from the first on.
    #[must_use]
    pub fn new() -> Self {
        Self { rank: 1, count: usize::MAX, max_len: usize::MAX }
    }

    /// Begins with the occurrence of this rank: 2 is the second from the head, -1 the last, from which the search goes
    /// towards the head. Zero is refused when it is used.
    #[must_use]
    pub fn rank(self, rank: i64) -> Self {
        Self { rank, ..self }
    }

    /// Stops after so many occurrences.
    #[must_use]
    pub fn count(self, count: usize) -> Self {
        Self { count, ..self }
    }

    /// Compares so many elements at most.
    #[must_use]
    pub fn max_len(self, max_len: usize) -> Self {
        Self { max_len, ..self }
    }
}

impl Default for PositionOptions {
    fn default() -> Self {
        Self::new()
    }
}

fn positions(body: &Body, wanted: &[u8], options: PositionOptions) -> Vec<u64> {
    let len = body.len();
    let skipped = usize::try_from(options.rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let hits = |elements: &mut dyn Iterator<Item = (usize, &[u8])>| {
        let hits = elements.take(options.max_len).filter(|(_, element)| *element == wanted);
        hits.map(|(at, _)| at as u64).skip(skipped).take(options.count).collect()
    };
    if options.rank > 0 {
        hits(&mut body.elements(0..len).enumerate())
    } else {
        hits(&mut body.elements(0..len).rev().enumerate().map(|(at, element)| (len - 1 - at, element)))
    }
}

/// The ascending places of up to `count` elements equal to this one, counted from the head or, if negative, from the tail.
fn places(body: &Body, wanted: &[u8], count: i64) -> Vec<usize> {
    let most = match usize::try_from(count.unsigned_abs()) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(most) => most,
    };
    let all = body.elements(0..usize::MAX);
    if count >= 0 {
        let hits = all.enumerate().filter(|(_, element)| *element == wanted);
        return hits.map(|(at, _)| at).take(most).collect();
    }
    let hits = all.rev().enumerate().filter(|(_, element)| *element == wanted);
    let mut found: Vec<usize> = hits.map(|(back, _)| body.len() - 1 - back).take(most).collect();
    found.reverse();
    found
}

fn place(body: &Body, pivot: &[u8]) -> Option<usize> {
    body.elements(0..usize::MAX).position(|element| element == pivot)
}

/// A removal by value that was worked out in a captured root.
struct Plan {
    root: Body,
    gone: Vec<usize>,
    without: Body,
}

impl Plan {
    fn new(root: Body, element: &[u8], count: i64, rules: &Rules) -> Self {
        let gone = places(&root, element, count);
        let mut without = root.clone();
        without.remove_all(&gone, rules);
        Self { root, gone, without }
    }
}

impl<T: Element, P: Place> List<T, P> {
    /// The root of a large list; `Some(None)` for a small one, which is searched under the lock.
    fn large(&self) -> Result<Option<Option<Body>>, OpError> {
        read(&self.place, |body: &Body, _| (!body.is_small()).then(|| body.clone()))
    }

    /// Returns the index of the first element equal to this one.
    ///
    /// **Command** `LPOS`. **Complexity** O(n); a large list is searched outside of the lock.
    ///
    /// # Errors
    /// [`OpError::WrongType`], [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<String>("list");
    /// list.extend_back(["a", "b", "c", "b"])?;
    /// assert_eq!(list.position("b")?, Some(1));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn position(&self, element: impl Arg<T>) -> Result<Option<u64>, OpError> {
        Ok(self.positions(element, PositionOptions::new().count(1))?.first().copied())
    }

    /// Returns the indices of the elements equal to this one, in the order in which they were found.
    ///
    /// **Command** `LPOS` with its options. **Complexity** O(n), or O(m) with a `max_len` of m; a large list is searched
    /// outside of the lock.
    ///
    /// # Errors
    /// [`OpError::InvalidArgument`] for rank zero; [`OpError::WrongType`], [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// use larder::PositionOptions;
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<String>("list");
    /// list.extend_back(["a", "b", "c", "b"])?;
    /// assert_eq!(list.positions("b", PositionOptions::new().rank(-1))?, [3, 1]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn positions(&self, element: impl Arg<T>, options: PositionOptions) -> Result<Vec<u64>, OpError> {
        if options.rank == 0 {
            return Err(OpError::InvalidArgument("a rank of zero"));
        }
        let found = element.with(|bytes| self.look(|body| positions(body, bytes, options)));
        Ok(found.map_err(|source| self.codec(source))??.unwrap_or_default())
    }

    /// Removes elements equal to this one: the first `count` of them, the last ones if `count` is negative, all if it is
    /// zero. Returns how many went.
    ///
    /// **Command** `LREM`. **Complexity** O(n); a large list is worked on outside of the lock.
    ///
    /// # Errors
    /// [`OpError::WrongType`], [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<String>("list");
    /// list.extend_back(["a", "b", "a", "c", "a"])?;
    /// assert_eq!(list.remove(-2, "a")?, 2);
    /// assert_eq!(list.range(0, -1)?, ["a", "b", "c"]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove(&self, count: i64, element: impl Arg<T>) -> Result<u64, OpError> {
        let removed = element.with(|bytes| self.remove_bytes(count, bytes));
        removed.map_err(|source| self.codec(source))?
    }

    fn remove_bytes(&self, count: i64, element: &[u8]) -> Result<u64, OpError> {
        let rules = self.place.engine().core.rules();
        for attempt in 0.. {
            let mut plan = match self.large()? {
                None => return Ok(0),
                Some(root) if attempt < OPTIMISTIC_TRIES => {
                    root.map(|root| Plan::new(root, element, count, &rules))
                }
                Some(_) => None,
            };
            if plan.as_ref().is_some_and(|plan| plan.gone.is_empty()) {
                return Ok(0);
            }
            let removed = change(&self.place, Absent::Skip, 0, |change| {
                let (body, rules, _) = change.parts();
                let body: &mut Body = body;
                let gone = match &mut plan {
                    Some(plan) if plan.root.is_same(body) => {
                        std::mem::swap(body, &mut plan.without);
                        std::mem::take(&mut plan.gone)
                    }
                    Some(_) => return Ok(None),
                    None => {
                        let gone = places(body, element, count);
                        if !gone.is_empty() {
                            body.remove_all(&gone, rules);
                        }
                        gone
                    }
                };
                // Where nobody records, one word says that something changed; there may be very many.
                let told = if change.is_recorded() { gone.len() } else { gone.len().min(1) };
                for &index in gone.iter().rev().take(told) {
                    change.emit(|| Delta::ListRemove { index: index as u64 });
                }
                Ok(Some(gone.len() as u64))
            })?;
            match removed {
                None => return Ok(0),
                Some(Some(count)) => return Ok(count),
                Some(None) => {}
            }
        }
        unreachable!("the attempt under the lock answers")
    }

    /// Puts an element before the first one equal to `pivot`.
    ///
    /// **Command** `LINSERT .. BEFORE`. **Complexity** O(n); a large list is searched outside of the lock.
    ///
    /// # Errors
    /// As [`push_back`](Self::push_back).
    ///
    /// # Examples
    /// ```
    /// use larder::Inserted;
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<String>("list");
    /// list.extend_back(["a", "c"])?;
    /// assert_eq!(list.insert_before("c", "b")?, Inserted::Done(3));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn insert_before(&self, pivot: impl Arg<T>, element: impl Arg<T>) -> Result<Inserted, OpError> {
        self.insert_beside(0, &pivot, &element)
    }

    /// Puts an element behind the first one equal to `pivot`.
    ///
    /// **Command** `LINSERT .. AFTER`. **Complexity** O(n); a large list is searched outside of the lock.
    ///
    /// # Errors
    /// As [`push_back`](Self::push_back).
    ///
    /// # Examples
    /// ```
    /// use larder::Inserted;
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<String>("list");
    /// list.extend_back(["a", "c"])?;
    /// assert_eq!(list.insert_after("d", "e")?, Inserted::NoPivot);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn insert_after(&self, pivot: impl Arg<T>, element: impl Arg<T>) -> Result<Inserted, OpError> {
        self.insert_beside(1, &pivot, &element)
    }

    fn insert_beside(
        &self,
        offset: usize,
        pivot: &impl Arg<T>,
        element: &impl Arg<T>,
    ) -> Result<Inserted, OpError> {
        let pivot = pivot.with(<[u8]>::to_vec).map_err(|source| self.codec(source))?;
        let inserted = element.with(|bytes| {
            check_value(bytes.len())?;
            self.insert_bytes(offset, &pivot, bytes)
        });
        inserted.map_err(|source| self.codec(source))?
    }

    fn insert_bytes(&self, offset: usize, pivot: &[u8], element: &[u8]) -> Result<Inserted, OpError> {
        for attempt in 0.. {
            let known = match self.large()? {
                None => return Ok(Inserted::NoList),
                Some(root) => root.filter(|_| attempt < OPTIMISTIC_TRIES),
            };
            let found = known.map(|root| {
                let at = place(&root, pivot);
                (root, at)
            });
            if matches!(found, Some((_, None))) {
                return Ok(Inserted::NoPivot);
            }
            let inserted = change(&self.place, Absent::Skip, element.len() + ELEMENT_BYTES, |change| {
                let (body, rules, _) = change.parts();
                let body: &mut Body = body;
                let at = match &found {
                    Some((root, at)) if root.is_same(body) => *at,
                    Some(_) => return Ok(None),
                    None => place(body, pivot),
                };
                let Some(at) = at else { return Ok(Some(Inserted::NoPivot)) };
                let index = at + offset;
                body.insert(index, element, rules);
                let len = body.len() as u64;
                change.emit(|| Delta::ListInsert { index: index as u64, element: element.into() });
                Ok(Some(Inserted::Done(len)))
            })?;
            match inserted {
                None => return Ok(Inserted::NoList),
                Some(Some(inserted)) => return Ok(inserted),
                Some(None) => {}
            }
        }
        unreachable!("the attempt under the lock answers")
    }
}
