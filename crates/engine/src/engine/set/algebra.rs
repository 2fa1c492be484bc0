//! Several sets: intersection, union and difference, read or stored, and members moved.
//!
//! The sets are captured at one moment and combined outside of any lock. What is stored was computed from the sets as they
//! are when it is stored.

use super::{Body, MEMBER_BYTES, Set, SetMembers, add, remove};
use crate::collections::packed::Packed;
use crate::collections::rules::Rules;
use crate::collections::set::algebra::{intersect, subtract};
use crate::collections::{Body as _, Collection};
use crate::engine::{Key, Place, ValueType, check_key};
use crate::error::OpError;
use crate::feed::event::{self, Event};
use crate::typed::{Arg, Element};
use crate::value::Value;

const SETS: &[ValueType] = &[ValueType::Set];

impl<M: Element, P: Place> Set<M, P> {
    /// This set and the others, captured at one moment.
    fn captured<'k>(
        &self,
        others: impl IntoIterator<Item: Into<Key<'k>>>,
    ) -> Result<Vec<Option<Body>>, OpError> {
        let others: Vec<Key<'k>> = others.into_iter().map(Into::into).collect();
        let mut keys = vec![self.key()];
        keys.extend(others.iter().map(Key::as_bytes));
        self.place.engine().capture_many::<Body>(&keys)
    }

    /// Returns the members that this set and all others have.
    ///
    /// **Command** `SINTER`. **Complexity** O(n k), n members of the smallest set, k sets.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; a step of the walk gives [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let mine = engine.set_of::<u32>("mine");
    /// mine.add_many([1, 2, 3])?;
    /// engine.set_of::<u32>("yours").add_many([2, 3, 4])?;
    /// assert_eq!(mine.intersection(["yours"])?.collect::<Result<Vec<_>, _>>()?, [2, 3]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn intersection<'k>(
        &self,
        others: impl IntoIterator<Item: Into<Key<'k>>>,
    ) -> Result<SetMembers<M>, OpError> {
        let sets = self.captured(others)?;
        let mut found = Packed::new();
        intersect(&lent(&sets), |member| {
            found.push(member);
            true
        });
        Ok(SetMembers::of(self.key(), Body::Packed(found)))
    }

    /// Returns how many members this set and all others have in common, counting no further than `limit`.
    ///
    /// **Command** `SINTERCARD`. **Complexity** O(n k), n members of the smallest set, k sets.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let mine = engine.set_of::<u32>("mine");
    /// mine.add_many([1, 2, 3])?;
    /// engine.set_of::<u32>("yours").add_many([2, 3, 4])?;
    /// assert_eq!((mine.intersection_len(["yours"], None)?, mine.intersection_len(["yours"], Some(1))?), (2, 1));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn intersection_len<'k>(
        &self,
        others: impl IntoIterator<Item: Into<Key<'k>>>,
        limit: Option<u64>,
    ) -> Result<u64, OpError> {
        let sets = self.captured(others)?;
        let mut count = 0;
        if limit != Some(0) {
            intersect(&lent(&sets), |_| {
                count += 1;
                limit != Some(count)
            });
        }
        Ok(count)
    }

    /// Returns the members that this set or any of the others has.
    ///
    /// **Command** `SUNION`. **Complexity** O(n), n members of all sets, those of the largest one apart.
    ///
    /// # Errors
    /// As [`intersection`](Self::intersection).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let mine = engine.set_of::<u32>("mine");
    /// mine.add_many([1, 2])?;
    /// engine.set_of::<u32>("yours").add_many([2, 3])?;
    /// assert_eq!(mine.union(["yours"])?.collect::<Result<Vec<_>, _>>()?, [1, 2, 3]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn union<'k>(
        &self,
        others: impl IntoIterator<Item: Into<Key<'k>>>,
    ) -> Result<SetMembers<M>, OpError> {
        let sets = self.captured(others)?;
        let rules = self.place.engine().core.rules();
        Ok(SetMembers::of(self.key(), Body::union(&lent(&sets), &rules)))
    }

    /// Returns the members of this set that none of the others has.
    ///
    /// **Command** `SDIFF`. **Complexity** O(n k), n members of this set, k sets.
    ///
    /// # Errors
    /// As [`intersection`](Self::intersection).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let mine = engine.set_of::<u32>("mine");
    /// mine.add_many([1, 2, 3])?;
    /// engine.set_of::<u32>("yours").add_many([2])?;
    /// assert_eq!(mine.difference(["yours"])?.collect::<Result<Vec<_>, _>>()?, [1, 3]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn difference<'k>(
        &self,
        others: impl IntoIterator<Item: Into<Key<'k>>>,
    ) -> Result<SetMembers<M>, OpError> {
        let sets = self.captured(others)?;
        let mut found = Packed::new();
        subtract(&lent(&sets), |member| found.push(member));
        Ok(SetMembers::of(self.key(), Body::Packed(found)))
    }

    /// Stores under this key the members that all sources have, in place of whatever it held; returns how many.
    ///
    /// **Command** `SINTERSTORE`. **Complexity** O(n k), n members of the smallest set, k sets.
    ///
    /// # Errors
    /// [`OpError::WrongType`] for a source, [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_of::<u32>("mine").add_many([1, 2, 3])?;
    /// engine.set_of::<u32>("yours").add_many([2, 3, 4])?;
    /// assert_eq!(engine.set_of::<u32>("ours").store_intersection(["mine", "yours"])?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn store_intersection<'k>(
        &self,
        sources: impl IntoIterator<Item: Into<Key<'k>>>,
    ) -> Result<u64, OpError> {
        self.store(sources, event::SINTERSTORE, Body::intersection)
    }

    /// Stores under this key the members that any source has, in place of whatever it held; returns how many.
    ///
    /// **Command** `SUNIONSTORE`. **Complexity** O(n), n members of all sets, those of the largest one apart.
    ///
    /// # Errors
    /// As [`store_intersection`](Self::store_intersection).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_of::<u32>("mine").add_many([1, 2])?;
    /// engine.set_of::<u32>("yours").add_many([2, 3])?;
    /// assert_eq!(engine.set_of::<u32>("all").store_union(["mine", "yours"])?, 3);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn store_union<'k>(&self, sources: impl IntoIterator<Item: Into<Key<'k>>>) -> Result<u64, OpError> {
        self.store(sources, event::SUNIONSTORE, Body::union)
    }

    /// Stores under this key the members of the first source that no other has, in place of whatever it held; returns how many.
    ///
    /// **Command** `SDIFFSTORE`. **Complexity** O(n k), n members of the first set, k sets; O(m), m members of the others, if
    /// they are few.
    ///
    /// # Errors
    /// As [`store_intersection`](Self::store_intersection).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_of::<u32>("mine").add_many([1, 2, 3])?;
    /// engine.set_of::<u32>("yours").add_many([2])?;
    /// assert_eq!(engine.set_of::<u32>("rest").store_difference(["mine", "yours"])?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn store_difference<'k>(
        &self,
        sources: impl IntoIterator<Item: Into<Key<'k>>>,
    ) -> Result<u64, OpError> {
        self.store(sources, event::SDIFFSTORE, Body::difference)
    }

    fn store<'k>(
        &self,
        sources: impl IntoIterator<Item: Into<Key<'k>>>,
        event: Event,
        combine: impl Fn(&[Option<&Body>], &Rules) -> Body,
    ) -> Result<u64, OpError> {
        let sources: Vec<Key<'k>> = sources.into_iter().map(Into::into).collect();
        self.place.engine().derive(&sources, SETS, (self.key(), event), |captured, rules| {
            let sets: Vec<Option<&Body>> =
                captured.iter().map(|one| one.as_ref().and_then(Body::of)).collect();
            let result = combine(&sets, rules);
            let len = result.len() as u64;
            Ok(((len > 0).then_some(Collection::Set(result)), len))
        })
    }

    /// Moves a member to another set; returns whether it was in this one.
    ///
    /// **Command** `SMOVE`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::WrongType`] for either key (for the other one only if this one exists), [`OpError::OutOfMemory`];
    /// [`OpError::Codec`] if the member cannot be encoded.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let todo = engine.set_of::<String>("todo");
    /// todo.add("wash")?;
    /// assert_eq!((todo.move_to("done", "wash")?, todo.move_to("done", "wash")?), (true, false));
    /// assert!(engine.set_of::<String>("done").contains("wash")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn move_to<'k>(&self, to: impl Into<Key<'k>>, member: impl Arg<M>) -> Result<bool, OpError> {
        let to = to.into();
        check_key(to.as_bytes())?;
        self.with(member, |member| {
            if to.as_bytes() == self.key() {
                return self.contains_bytes(member);
            }
            let moved = self.place.engine().move_between::<Body, Value, ()>(
                (self.key(), to.as_bytes()),
                None,
                |source| source.contains(member).then_some(member.len() + MEMBER_BYTES),
                |source| remove(source, member).then(|| Value::copy(member)),
                |target, member| {
                    let (body, rules, _) = target.parts();
                    body.prepare(&member, 1, rules);
                    add(target, &member);
                },
            )?;
            Ok(moved.is_some())
        })
    }
}

fn lent(sets: &[Option<Body>]) -> Vec<Option<&Body>> {
    sets.iter().map(Option::as_ref).collect()
}
