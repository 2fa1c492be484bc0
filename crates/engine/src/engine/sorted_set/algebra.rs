//! Union, intersection and difference of sorted sets, and of sets as if their members had the score 1.
//!
//! Everything is computed from captured roots outside of the locks. Where scores are added, the sources are taken in ascending
//! order of their sizes, as Redis takes them, since sums of floats depend on their order.

use std::borrow::Cow;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::super::{Engine, Key, ValueType};
use super::Body;
use crate::collections::set::Set;
use crate::collections::{Body as _, Collection};
use crate::error::OpError;
use crate::feed::event::{self, Event};
use crate::typed::{Element, decode};

/// The types that may take part.
const ADMITTED: [ValueType; 2] = [ValueType::SortedSet, ValueType::Set];

/// What becomes of the scores that a member has in several sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Aggregate {
    /// They are added (`SUM`); plus and minus infinity give 0.
    #[default]
    Sum,
    /// The lowest counts (`MIN`).
    Min,
    /// The highest counts (`MAX`).
    Max,
}

impl Aggregate {
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            Self::Sum => or_zero(one + other),
            Self::Min if other < one => other,
            Self::Max if other > one => other,
            Self::Min | Self::Max => one,
        }
    }
}

/// What is not a number counts as zero, as in Redis.
fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// How the scores of several sets are combined.
///
/// # Examples
/// ```
/// use larder::{Aggregate, CombineOptions};
/// let options = CombineOptions::new().weights([1.0, 0.5]).aggregate(Aggregate::Max);
/// assert_ne!(options, CombineOptions::new());
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use]
pub struct CombineOptions {
    weights: Vec<f64>,
    aggregate: Aggregate,
}

impl CombineOptions {
    /// Adds scores as they are.
    pub fn new() -> Self {
        Self::default()
    }

    /// Multiplies the scores of each set by its weight first (Redis: `WEIGHTS`); there must be one for each key.
    pub fn weights(mut self, weights: impl IntoIterator<Item = f64>) -> Self {
        self.weights = weights.into_iter().collect();
        self
    }

    /// Says what becomes of several scores (Redis: `AGGREGATE`).
    pub fn aggregate(mut self, aggregate: Aggregate) -> Self {
        self.aggregate = aggregate;
        self
    }

    fn check(&self, keys: usize) -> Result<(), OpError> {
        if self.weights.is_empty() || self.weights.len() == keys {
            Ok(())
        } else {
            Err(OpError::InvalidArgument("there must be one weight for each key"))
        }
    }
}

/// What is computed.
#[derive(Debug, Clone, Copy)]
enum Operation<'o> {
    Union(&'o CombineOptions),
    Inter(&'o CombineOptions),
    Diff,
}

impl Operation<'_> {
    /// Redis's name for storing its result.
    fn event(self) -> Event {
        match self {
            Self::Union(_) => event::ZUNIONSTORE,
            Self::Inter(_) => event::ZINTERSTORE,
            Self::Diff => event::ZDIFFSTORE,
        }
    }
}

/// A set that takes part, with its weight.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    body: Option<&'a Collection>,
    weight: f64,
}

type Scored<'a> = (f64, Cow<'a, [u8]>);

impl<'a> Source<'a> {
    fn len(self) -> u64 {
        match self.body {
            Some(Collection::SortedSet(body)) => body.len(),
            Some(Collection::Set(body)) => body.len() as u64,
            _ => 0,
        }
    }

    /// The weighted score of a member.
    fn score(self, member: &[u8]) -> Option<f64> {
        let score = match self.body? {
            Collection::SortedSet(body) => body.score(member)?,
            Collection::Set(body) => body.contains(member).then_some(1.0)?,
            _ => return None,
        };
        Some(score * self.weight)
    }

    fn contains(self, member: &[u8]) -> bool {
        self.score(member).is_some()
    }

    /// Shows every member with its weighted score, until `visit` returns `false`.
    fn visit(self, mut visit: impl FnMut(Cow<'a, [u8]>, f64) -> bool) {
        match self.body {
            Some(Collection::SortedSet(body)) => body.order().visit(0..body.len(), false, |member, score| {
                visit(Cow::Borrowed(member), or_zero(score * self.weight))
            }),
            Some(Collection::Set(body)) => visit_set(body, |member| visit(member, or_zero(self.weight))),
            _ => {}
        }
    }
}

fn visit_set<'a>(body: &'a Set, mut visit: impl FnMut(Cow<'a, [u8]>) -> bool) {
    for member in body.members() {
        if !visit(Cow::Owned(member.as_bytes().to_vec())) {
            return;
        }
    }
}

fn sources<'a>(bodies: &'a [Option<Collection>], options: Option<&CombineOptions>) -> Vec<Source<'a>> {
    let weight = |at: usize| options.and_then(|options| options.weights.get(at)).copied().unwrap_or(1.0);
    bodies.iter().enumerate().map(|(at, body)| Source { body: body.as_ref(), weight: weight(at) }).collect()
}

/// The members of the result in order.
fn compute<'a>(operation: Operation<'_>, bodies: &'a [Option<Collection>], seed: u64) -> Vec<Scored<'a>> {
    let mut result = match operation {
        Operation::Union(options) => union(by_size(sources(bodies, Some(options))), options.aggregate, seed),
        Operation::Inter(options) => {
            let mut result = Vec::new();
            intersect(&by_size(sources(bodies, Some(options))), options.aggregate, |score, member| {
                result.push((score, member));
                true
            });
            result
        }
        Operation::Diff => difference(&sources(bodies, None)),
    };
    result.sort_unstable_by(|(score, member), (other, other_member)| {
        score.partial_cmp(other).expect("no score is NaN").then_with(|| member.cmp(other_member))
    });
    result
}

fn by_size(mut sources: Vec<Source<'_>>) -> Vec<Source<'_>> {
    sources.sort_by_key(|source| source.len());
    sources
}

fn union(sources: Vec<Source<'_>>, aggregate: Aggregate, seed: u64) -> Vec<Scored<'_>> {
    let hash = |member: &[u8]| xxh3_64_with_seed(member, seed);
    let mut table: HashTable<Scored<'_>> = HashTable::new();
    for source in sources {
        source.visit(|member, score| {
            let same = |(_, other): &Scored<'_>| *other == member;
            match table.entry(hash(&member), same, |(_, member)| hash(member)) {
                Entry::Occupied(mut there) => there.get_mut().0 = aggregate.of(there.get().0, score),
                Entry::Vacant(place) => {
                    place.insert((score, member));
                }
            }
            true
        });
    }
    table.into_iter().collect()
}

/// Shows every common member, until `visit` returns `false`.
fn intersect<'a>(
    sources: &[Source<'a>],
    aggregate: Aggregate,
    mut visit: impl FnMut(f64, Cow<'a, [u8]>) -> bool,
) {
    let Some((smallest, others)) = sources.split_first() else { return };
    smallest.visit(|member, mut score| {
        for other in others {
            match other.score(&member) {
                Some(value) => score = aggregate.of(score, value),
                None => return true,
            }
        }
        visit(score, member)
    });
}

fn difference<'a>(sources: &[Source<'a>]) -> Vec<Scored<'a>> {
    let mut result = Vec::new();
    if let Some((first, others)) = sources.split_first() {
        first.visit(|member, score| {
            if !others.iter().any(|other| other.contains(&member)) {
                result.push((score, member));
            }
            true
        });
    }
    result
}

impl Engine {
    fn combine<M: Element, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        operation: Operation<'_>,
    ) -> Result<Vec<(M, f64)>, OpError> {
        let bodies = self.capture_any(keys, &ADMITTED)?;
        let result = compute(operation, &bodies, self.core.rules().seed);
        let decoded = result.iter().map(|(score, member)| Ok((decode(member)?, *score)));
        decoded
            .collect::<Result<_, _>>()
            .map_err(|source| OpError::codec(keys.first().map(AsRef::as_ref).unwrap_or_default(), source))
    }

    fn store_combined<K: AsRef<[u8]>>(
        &self,
        target: &Key<'_>,
        keys: &[K],
        operation: Operation<'_>,
    ) -> Result<u64, OpError> {
        self.derive(keys, &ADMITTED, (target.as_bytes(), operation.event()), |bodies, rules| {
            let result = compute(operation, bodies, rules.seed);
            let stored =
                Body::from_ascending(result.iter().map(|(score, member)| (*score, &**member)), rules);
            let count = stored.len();
            Ok(((count > 0).then(|| stored.into_collection()), count))
        })
    }

    /// Returns the members of all sets with their combined scores, in order. Plain sets take part with scores of 1.
    ///
    /// **Command** `ZUNION`. **Complexity** O(n + m log m), n members looked at, m in the result.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::InvalidArgument`] for another number of weights than of keys; [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// use larder::CombineOptions;
    /// let engine = larder::Engine::new();
    /// engine.sorted_set::<String>("a").add("x", 1.0)?;
    /// engine.sorted_set::<String>("b").add("x", 2.0)?;
    /// let all = engine.sorted_union::<String, _>(&["a", "b"], &CombineOptions::new().weights([1.0, 10.0]))?;
    /// assert_eq!(all, [("x".to_owned(), 21.0)]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn sorted_union<M: Element, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        options: &CombineOptions,
    ) -> Result<Vec<(M, f64)>, OpError> {
        options.check(keys.len())?;
        self.combine(keys, Operation::Union(options))
    }

    /// Returns the members that are in every set, with their combined scores, in order. Plain sets take part with scores of 1.
    ///
    /// **Command** `ZINTER`. **Complexity** O(n k log n + m log m), n members of the smallest of k sets, m in the result.
    ///
    /// # Errors
    /// As [`sorted_union`](Self::sorted_union).
    ///
    /// # Examples
    /// ```
    /// use larder::{Aggregate, CombineOptions};
    /// let engine = larder::Engine::new();
    /// engine.sorted_set::<String>("a").add_all([("x", 1.0), ("y", 5.0)], larder::ZAddOptions::new())?;
    /// engine.sorted_set::<String>("b").add("y", 2.0)?;
    /// let both = engine.sorted_inter::<String, _>(&["a", "b"], &CombineOptions::new().aggregate(Aggregate::Min))?;
    /// assert_eq!(both, [("y".to_owned(), 2.0)]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn sorted_inter<M: Element, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        options: &CombineOptions,
    ) -> Result<Vec<(M, f64)>, OpError> {
        options.check(keys.len())?;
        self.combine(keys, Operation::Inter(options))
    }

    /// Returns the members of the first set that are in none of the others, with their scores, in order.
    ///
    /// **Command** `ZDIFF`. **Complexity** O(n k log n), n members of the first of k sets.
    ///
    /// # Errors
    /// As [`sorted_union`](Self::sorted_union).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.sorted_set::<String>("a").add_all([("x", 1.0), ("y", 5.0)], larder::ZAddOptions::new())?;
    /// engine.sorted_set::<String>("b").add("y", 2.0)?;
    /// assert_eq!(engine.sorted_diff::<String, _>(&["a", "b"])?, [("x".to_owned(), 1.0)]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn sorted_diff<M: Element, K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<(M, f64)>, OpError> {
        self.combine(keys, Operation::Diff)
    }

    /// Returns how many members are in every set; counting ends at `limit`, if there is one.
    ///
    /// **Command** `ZINTERCARD`. **Complexity** O(n k log n), n members of the smallest of k sets.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.sorted_set::<String>("a").add_all([("x", 1.0), ("y", 5.0)], larder::ZAddOptions::new())?;
    /// assert_eq!(engine.sorted_inter_len(&["a", "a"], None)?, 2);
    /// assert_eq!(engine.sorted_inter_len(&["a", "a"], Some(1))?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn sorted_inter_len<K: AsRef<[u8]>>(&self, keys: &[K], limit: Option<u64>) -> Result<u64, OpError> {
        let bodies = self.capture_any(keys, &ADMITTED)?;
        let (mut count, limit) = (0, limit.unwrap_or(u64::MAX));
        if limit > 0 {
            intersect(&by_size(sources(&bodies, None)), Aggregate::Sum, |_, _| {
                count += 1;
                count < limit
            });
        }
        Ok(count)
    }

    /// Stores the union of several sets under a key, in place of what was there, and returns how many members it has.
    /// Without any, that key is deleted.
    ///
    /// **Command** `ZUNIONSTORE`. **Complexity** O(n + m log m), n members looked at, m in the result, which is built
    /// outside of the locks.
    ///
    /// # Errors
    /// As [`sorted_union`](Self::sorted_union), and [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// use larder::CombineOptions;
    /// let engine = larder::Engine::new();
    /// engine.sorted_set::<String>("a").add("x", 1.0)?;
    /// assert_eq!(engine.store_sorted_union("all", &["a", "b"], &CombineOptions::new())?, 1);
    /// assert_eq!(engine.sorted_set::<String>("all").score("x")?, Some(1.0));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn store_sorted_union<'k, K: AsRef<[u8]>>(
        &self,
        target: impl Into<Key<'k>>,
        keys: &[K],
        options: &CombineOptions,
    ) -> Result<u64, OpError> {
        options.check(keys.len())?;
        self.store_combined(&target.into(), keys, Operation::Union(options))
    }

    /// Stores the intersection of several sets under a key, in place of what was there, and returns how many members it has.
    /// Without any, that key is deleted.
    ///
    /// **Command** `ZINTERSTORE`. **Complexity** O(n k log n + m log m), n members of the smallest of k sets, m in the
    /// result, which is built outside of the locks.
    ///
    /// # Errors
    /// As [`sorted_union`](Self::sorted_union), and [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// use larder::CombineOptions;
    /// let engine = larder::Engine::new();
    /// engine.sorted_set::<String>("a").add("x", 1.0)?;
    /// assert_eq!(engine.store_sorted_inter("both", &["a", "b"], &CombineOptions::new())?, 0);
    /// assert!(!engine.exists("both")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn store_sorted_inter<'k, K: AsRef<[u8]>>(
        &self,
        target: impl Into<Key<'k>>,
        keys: &[K],
        options: &CombineOptions,
    ) -> Result<u64, OpError> {
        options.check(keys.len())?;
        self.store_combined(&target.into(), keys, Operation::Inter(options))
    }

    /// Stores the members of the first set that are in none of the others under a key, in place of what was there, and
    /// returns how many they are. Without any, that key is deleted.
    ///
    /// **Command** `ZDIFFSTORE`. **Complexity** O(n k log n), n members of the first of k sets; the result is built outside
    /// of the locks.
    ///
    /// # Errors
    /// As [`sorted_union`](Self::sorted_union), and [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.sorted_set::<String>("a").add("x", 1.0)?;
    /// assert_eq!(engine.store_sorted_diff("rest", &["a", "b"])?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn store_sorted_diff<'k, K: AsRef<[u8]>>(
        &self,
        target: impl Into<Key<'k>>,
        keys: &[K],
    ) -> Result<u64, OpError> {
        self.store_combined(&target.into(), keys, Operation::Diff)
    }
}
