//! Walks over a captured sorted set.

use std::fmt;
use std::marker::PhantomData;

use crate::collections::sorted_set::Walk;
use crate::error::OpError;
use crate::typed::{CodecError, Element, decode};

/// Members with their scores as they were when the walk began, from both ends; see
/// [`SortedSet::iter`](super::SortedSet::iter).
///
/// It holds no lock. What is written meanwhile it does not see.
pub struct ScoredMembers<M> {
    key: Box<[u8]>,
    walk: Option<Walk>,
    reverse: bool,
    member: PhantomData<fn() -> M>,
}

impl<M: Element> ScoredMembers<M> {
    pub(in crate::engine) fn new(key: &[u8], walk: Option<Walk>, reverse: bool) -> Self {
        Self { key: key.into(), walk, reverse, member: PhantomData }
    }

    /// Shows the stored bytes of the members that are left, with their scores, without decoding them.
    ///
    /// **Complexity** O(m), m members.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<u32>("board");
    /// board.add(7, 1.0)?;
    /// board.iter()?.for_each_bytes(|member, score| assert_eq!((member, score), (&b"7"[..], 1.0)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn for_each_bytes(mut self, mut visit: impl FnMut(&[u8], f64)) {
        while self.step(false, &mut visit).is_some() {}
    }

    fn step<R>(&mut self, back: bool, f: impl FnOnce(&[u8], f64) -> R) -> Option<R> {
        let walk = self.walk.as_mut()?;
        if back == self.reverse { walk.next_with(f) } else { walk.next_back_with(f) }
    }

    fn told(&self, (decoded, score): (Result<M, CodecError>, f64)) -> Result<(M, f64), OpError> {
        Ok((decoded.map_err(|source| OpError::codec(&self.key, source))?, score))
    }

    fn left(&self) -> usize {
        let left = self.walk.as_ref().map_or(0, Walk::len);
        usize::try_from(left).unwrap_or(usize::MAX)
    }
}

impl<M> fmt::Debug for ScoredMembers<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.walk.as_ref().map_or(0, Walk::len);
        f.debug_struct("ScoredMembers").field("left", &left).finish_non_exhaustive()
    }
}

impl<M: Element> Iterator for ScoredMembers<M> {
    type Item = Result<(M, f64), OpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoded = self.step(false, |member, score| (decode(member), score))?;
        Some(self.told(decoded))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left(), Some(self.left()))
    }
}

impl<M: Element> DoubleEndedIterator for ScoredMembers<M> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let decoded = self.step(true, |member, score| (decode(member), score))?;
        Some(self.told(decoded))
    }
}

impl<M: Element> ExactSizeIterator for ScoredMembers<M> {}
