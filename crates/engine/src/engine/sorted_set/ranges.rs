//! Ranges of sorted sets: by rank, by score, by member; counted, read, removed, stored, scanned.

use super::super::beside::change_many;
use super::super::place::{capture, read};
use super::super::{Engine, Key, Place, ScanOptions, ValueType, check_key};
use super::{Body, ScoredMembers, SortedSet};
use crate::collections::sorted_set::{LexRange, ScoreRange, SortedRange, Walk};
use crate::collections::{Body as _, Collection};
use crate::effect::Delta;
use crate::error::OpError;
use crate::feed::event;
use crate::keyspace::collect::{Absent, Change};
use crate::typed::Element;

/// Part of a scan over a sorted set.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScoredPage<M> {
    /// Where to go on; 0 when the scan is complete.
    pub cursor: u64,
    /// The members of this page with their scores, in no particular order.
    pub members: Vec<(M, f64)>,
}

impl<M: Element, P: Place> SortedSet<M, P> {
    fn count_of(&self, range: &SortedRange) -> Result<u64, OpError> {
        let count = read(&self.place, |body: &Body, _| {
            let ranks = range.resolve(body.order());
            ranks.end - ranks.start
        })?;
        Ok(count.unwrap_or(0))
    }

    /// Returns how many members have a score in a range.
    ///
    /// **Command** `ZCOUNT`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// board.add("bob", 90.0)?;
    /// assert_eq!(board.count(80.0..)?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn count(&self, range: impl Into<ScoreRange>) -> Result<u64, OpError> {
        self.count_of(&SortedRange::scores(range.into()))
    }

    /// Returns how many members lie in a range of bytes, all of them having one score.
    ///
    /// **Command** `ZLEXCOUNT`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::LexRange;
    /// let engine = larder::Engine::new();
    /// let words = engine.sorted_set::<String>("words");
    /// words.add("apple", 0.0)?;
    /// words.add("pear", 0.0)?;
    /// assert_eq!(words.count_members(LexRange::of("a".."b"))?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn count_members(&self, range: LexRange) -> Result<u64, OpError> {
        self.count_of(&SortedRange::members(range))
    }

    /// Returns the members that a range selects, with their scores, in its order.
    ///
    /// **Command** `ZRANGE` and its like. **Complexity** O(log n + m), m members selected among n. The lock is held for
    /// O(log n); the members are read from a captured root.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`] if a member is no `M`.
    ///
    /// # Examples
    /// ```
    /// use larder::{RankRange, SortedRange};
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add_all([("ann", 70.0), ("bob", 90.0), ("eve", 80.0)], larder::ZAddOptions::new())?;
    /// assert_eq!(board.range(RankRange::from(0..2))?.len(), 2);
    /// let best = board.range(SortedRange::scores(75.0..).rev().limit(0, 1))?;
    /// assert_eq!(best, [("bob".to_owned(), 90.0)]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn range(&self, range: impl Into<SortedRange>) -> Result<Vec<(M, f64)>, OpError> {
        self.iter_range(range)?.collect()
    }

    /// Returns an iterator over all members with their scores, of this moment; it blocks nobody.
    ///
    /// **Command** `ZRANGE`. **Complexity** O(1), then O(1) a member.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// for member in board.iter()? {
    ///     assert_eq!(member?, ("ann".to_owned(), 70.0));
    /// }
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn iter(&self) -> Result<ScoredMembers<M>, OpError> {
        self.iter_range(SortedRange::ranks(..))
    }

    /// Returns an iterator over the members that a range selects, of this moment; it blocks nobody.
    ///
    /// **Command** `ZRANGE` and its like. **Complexity** O(log n), then O(1) a member.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::SortedRange;
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// assert_eq!(board.iter_range(SortedRange::scores(..70.0))?.len(), 0);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn iter_range(&self, range: impl Into<SortedRange>) -> Result<ScoredMembers<M>, OpError> {
        let range = range.into();
        let walk =
            read(&self.place, |body: &Body, _| Walk::new(body.order().clone(), range.resolve(body.order())))?;
        Ok(ScoredMembers::new(self.key(), walk, range.is_reverse()))
    }

    /// Takes out the members that a range selects, and returns how many they were.
    ///
    /// **Command** `ZREMRANGEBYRANK`, `ZREMRANGEBYSCORE`, `ZREMRANGEBYLEX`. **Complexity** O(m log n), m members taken out of
    /// n.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::ScoreRange;
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add_all([("ann", 70.0), ("bob", 90.0)], larder::ZAddOptions::new())?;
    /// assert_eq!(board.remove_range(ScoreRange::from(..80.0))?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn remove_range(&self, range: impl Into<SortedRange>) -> Result<u64, OpError> {
        let range = range.into();
        let touches = |body: &Body| {
            let ranks = range.resolve(body.order());
            ranks.end - ranks.start
        };
        let removed = change_many(&self.place, Absent::Skip, 0, touches, |change: &mut Change<'_, Body>| {
            change.name(range.removal_event());
            let ranks = range.resolve(change.body.order());
            for _ in ranks.clone() {
                if let Some((member, _)) = change.body.remove_at(ranks.start) {
                    change.emit(|| Delta::SortedSetRemove { member: member.into() });
                }
            }
            Ok(ranks.end - ranks.start)
        })?;
        Ok(removed.unwrap_or(0))
    }

    /// Stores the members that a range selects under another key, in place of what was there, and returns how many they are.
    /// Without any, that key is deleted.
    ///
    /// **Command** `ZRANGESTORE`. **Complexity** O(log n + m), m members selected among n; the new set is built outside of
    /// the locks.
    ///
    /// # Errors
    /// [`OpError::WrongType`] if this key holds something else, [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// use larder::SortedRange;
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add_all([("ann", 70.0), ("bob", 90.0)], larder::ZAddOptions::new())?;
    /// assert_eq!(board.store_range("best", SortedRange::scores(80.0..))?, 1);
    /// assert_eq!(engine.sorted_set::<String>("best").score("bob")?, Some(90.0));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn store_range<'k>(
        &self,
        target: impl Into<Key<'k>>,
        range: impl Into<SortedRange>,
    ) -> Result<u64, OpError> {
        let (target, range) = (target.into(), range.into());
        check_key(target.as_bytes())?;
        let engine: &Engine = self.place.engine();
        let admitted = [ValueType::SortedSet];
        engine.derive(&[self.key()], &admitted, (target.as_bytes(), event::ZRANGESTORE), |bodies, rules| {
            let Some(source) = bodies.first().and_then(Option::as_ref).and_then(Body::of) else {
                return Ok((None, 0));
            };
            let mut selected = Vec::new();
            source.order().visit(range.resolve(source.order()), false, |member, score| {
                selected.push((score, member));
                true
            });
            let stored = Body::from_ascending(selected.iter().copied(), rules);
            let count = stored.len();
            let stored: Collection = stored.into_collection();
            Ok(((count > 0).then_some(stored), count))
        })
    }

    /// Returns a page of members with their scores and the cursor of the next one; begin with cursor 0 and go on until it
    /// is 0 again.
    ///
    /// **Command** `ZSCAN`. **Complexity** O(c log n) a call, c the count and n the members. Every member that is there from
    /// the first call to the last is returned, and once, whatever its score does meanwhile. A small set is returned whole.
    /// Of a set in which many members have one score, a page may be larger than its count.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`] if a member is no `M`.
    ///
    /// # Examples
    /// ```
    /// use larder::ScanOptions;
    /// let engine = larder::Engine::new();
    /// let board = engine.sorted_set::<String>("board");
    /// board.add("ann", 70.0)?;
    /// let page = board.scan(0, &ScanOptions::new().matching("a*"))?;
    /// assert_eq!((page.cursor, page.members.len()), (0, 1));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn scan(&self, cursor: u64, options: &ScanOptions) -> Result<ScoredPage<M>, OpError> {
        let mut members = Vec::new();
        let count = options.page_len()?;
        let Some(body) = capture::<Body>(&self.place)? else { return Ok(ScoredPage { cursor: 0, members }) };
        let mut fault = None;
        let cursor = body.scan(cursor, count, |member, score| {
            if !options.admits(member) {
                return;
            }
            match self.decode(member) {
                Ok(member) => members.push((member, score)),
                Err(error) => fault = Some(error),
            }
        });
        fault.map_or(Ok(ScoredPage { cursor, members }), Err)
    }
}
