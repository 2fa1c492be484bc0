//! Walks over whole sets, pages of them, and members by chance: over a captured root, so that they block nobody and see one
//! moment.

use std::fmt;
use std::marker::PhantomData;

use super::{Body, Set};
use crate::collections::packed::Packed;
use crate::collections::set::OwnedMembers;
use crate::engine::place::{Place, capture, read};
use crate::engine::scan::ScanOptions;
use crate::error::{OpError, shown};
use crate::random::Random;
use crate::typed::{Element, decode};
use crate::value::Value;

/// A walk over the members of a set as they were when it began, or over a result; no lock is held.
pub struct SetMembers<M> {
    /// For errors, cut as they show it.
    key: Box<[u8]>,
    members: OwnedMembers,
    member: PhantomData<fn() -> M>,
}

impl<M> SetMembers<M> {
    pub(in crate::engine) fn of(key: &[u8], body: Body) -> Self {
        Self { key: shown(key), members: body.into_members(), member: PhantomData }
    }

    /// Lends the stored bytes of the next member, without decoding them; `None` at the end.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let fruits = engine.set_of::<String>("fruits");
    /// fruits.add("apple")?;
    /// let mut members = fruits.iter()?;
    /// assert_eq!((members.next_with(<[u8]>::len), members.next_with(<[u8]>::len)), (Some(5), None));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn next_with<R>(&mut self, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.members.next().map(|member| f(member.as_bytes()))
    }
}

impl<M> fmt::Debug for SetMembers<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetMembers").field("left", &self.members.left()).finish_non_exhaustive()
    }
}

impl<M: Element> Iterator for SetMembers<M> {
    type Item = Result<M, OpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoded = self.next_with(|bytes| decode(bytes))?;
        Some(decoded.map_err(|source| OpError::codec(&self.key, source)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.members.left(), Some(self.members.left()))
    }
}

impl<M: Element> ExactSizeIterator for SetMembers<M> {}

/// Members by chance, each draw with the same chance for all, from a set as it was when it was captured; endless unless it is
/// empty.
pub struct RandomMembers<M> {
    key: Box<[u8]>,
    body: Option<Body>,
    random: Random,
    member: PhantomData<fn() -> M>,
}

impl<M> RandomMembers<M> {
    /// Returns whether there is nothing to draw from.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert!(engine.set_of::<String>("fruits").random_repeating()?.is_empty());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.len() == 0)
    }

    /// Lends the stored bytes of one more member, without decoding them; `None` for an empty set.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let fruits = engine.set_of::<String>("fruits");
    /// fruits.add("apple")?;
    /// assert_eq!(fruits.random_repeating()?.next_with(<[u8]>::len), Some(5));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn next_with<R>(&mut self, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let member = self.body.as_ref()?.random(&mut self.random)?;
        Some(f(member.as_bytes()))
    }
}

impl<M> fmt::Debug for RandomMembers<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.body.as_ref().map_or(0, Body::len);
        f.debug_struct("RandomMembers").field("of", &of).finish_non_exhaustive()
    }
}

impl<M: Element> Iterator for RandomMembers<M> {
    type Item = Result<M, OpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoded = self.next_with(|bytes| decode(bytes))?;
        Some(decoded.map_err(|source| OpError::codec(&self.key, source)))
    }
}

/// Part of a scan over a set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetPage<M> {
    /// Where to go on; 0 when the scan is complete.
    pub cursor: u64,
    /// The members of this page, in no particular order.
    pub members: Vec<M>,
}

impl<M: Element, P: Place> Set<M, P> {
    /// Walks over all members, as they are now; later changes do not show. Integers of a small set ascend; else there is no
    /// order.
    ///
    /// **Command** `SMEMBERS`. **Complexity** O(1) for the capture (O(n) bytes of a small set), O(1) a step.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; a step gives [`OpError::Codec`] for what cannot be decoded.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let primes = engine.set_of::<u32>("primes");
    /// primes.add_many([5, 2, 3])?;
    /// assert_eq!(primes.iter()?.collect::<Result<Vec<_>, _>>()?, [2, 3, 5]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn iter(&self) -> Result<SetMembers<M>, OpError> {
        let body = capture::<Body>(&self.place)?.unwrap_or(Body::Packed(Packed::new()));
        Ok(SetMembers::of(self.key(), body))
    }

    /// Returns a page of members and the cursor of the next one; begin with cursor 0 and go on until it is 0 again.
    ///
    /// **Command** `SSCAN`. **Complexity** O(c) a call, c the count; a small set comes as one page. Every member that is there
    /// from the first call to the last is returned; one that comes or goes meanwhile may be.
    ///
    /// # Errors
    /// [`OpError::WrongType`], [`OpError::Codec`]; [`OpError::InvalidArgument`] for a count of 0.
    ///
    /// # Examples
    /// ```
    /// use larder::ScanOptions;
    /// let engine = larder::Engine::new();
    /// let fruits = engine.set_of::<String>("fruits");
    /// fruits.add_many(["apple", "pear"])?;
    /// let page = fruits.scan(0, &ScanOptions::new().matching("a*"))?;
    /// assert_eq!((page.cursor, page.members), (0, vec!["apple".to_owned()]));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn scan(&self, cursor: u64, options: &ScanOptions) -> Result<SetPage<M>, OpError> {
        let count = options.page_len()?;
        let mut page = SetPage { cursor: 0, members: Vec::new() };
        let Some(body) = capture::<Body>(&self.place)? else { return Ok(page) };
        let mut failed = None;
        page.cursor = body.scan(cursor, count, |member| {
            if options.admits(member) {
                match self.decoded(member) {
                    Ok(member) => page.members.push(member),
                    Err(error) => failed = Some(error),
                }
            }
        });
        failed.map_or(Ok(page), Err)
    }

    /// Returns a member by chance, each with the same one; `None` for an empty set.
    ///
    /// **Command** `SRANDMEMBER`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`], [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let lots = engine.set_of::<u32>("lots");
    /// lots.add(7)?;
    /// assert_eq!((lots.random()?, lots.len()?), (Some(7), 1));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn random(&self) -> Result<Option<M>, OpError> {
        let mut random = self.place.engine().core.chance();
        let draw = |body: &Body, _| body.random(&mut random).map(|member| Value::copy(member.as_bytes()));
        let drawn = read(&self.place, draw)?;
        drawn.flatten().map(|member| self.decoded(&member)).transpose()
    }

    /// Returns `count` different members by chance, every choice with the same one; all if there are no more.
    ///
    /// **Command** `SRANDMEMBER` with a count above 0. **Complexity** O(k log k), k the count, for few of a large set; else
    /// O(n).
    ///
    /// # Errors
    /// As [`iter`](Self::iter).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let lots = engine.set_of::<u32>("lots");
    /// lots.add_many([1, 2, 3])?;
    /// assert_eq!((lots.random_many(2)?.len(), lots.random_many(9)?.len()), (2, 3));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn random_many(&self, count: usize) -> Result<SetMembers<M>, OpError> {
        let Some(body) = capture::<Body>(&self.place)? else { return self.nothing() };
        if count >= body.len() {
            return Ok(SetMembers::of(self.key(), body));
        }
        let sample = body.sample(count, &mut self.place.engine().core.chance());
        Ok(SetMembers::of(self.key(), Body::Packed(sample)))
    }

    /// Returns members by chance, again and again, each draw with the same chance for all of them: take as many as you need.
    ///
    /// **Command** `SRANDMEMBER` with a count below 0. **Complexity** O(1) for the capture and for each.
    ///
    /// # Errors
    /// As [`iter`](Self::iter).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let lots = engine.set_of::<u32>("lots");
    /// assert_eq!(lots.random_repeating()?.take(5).count(), 0);
    /// lots.add(7)?;
    /// assert_eq!(lots.random_repeating()?.take(5).count(), 5);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn random_repeating(&self) -> Result<RandomMembers<M>, OpError> {
        let (body, random) = (capture::<Body>(&self.place)?, self.place.engine().core.chance());
        Ok(RandomMembers { key: shown(self.key()), body, random, member: PhantomData })
    }

    pub(super) fn nothing(&self) -> Result<SetMembers<M>, OpError> {
        Ok(SetMembers::of(self.key(), Body::Packed(Packed::new())))
    }
}
