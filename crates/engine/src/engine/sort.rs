//! SORT: the elements of a list, set or sorted set in the order of their numbers, of their texts, or of other keys' values.
//!
//! ```text
//! capture the collection -> weigh each element (BY) -> sort -> window (LIMIT) -> fetch (GET) -> hand out, or store
//! ```
//! All of it runs outside of the locks. Without patterns, what is stored is the sorted form of the collection at the moment of
//! storing. The keys that patterns name are read one by one: a writer may come between two of them, and between the last one
//! and the storing.

mod pattern;

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;

use super::{Engine, ValueType, check_key};
use crate::collections::list::List;
use crate::collections::rules::Rules;
use crate::collections::{Body, Collection};
use crate::effect::End;
use crate::error::OpError;
use crate::feed::event;
use crate::value::Value;
use pattern::{Pattern, text_of, weight_of};

const SORTED: [ValueType; 3] = [ValueType::List, ValueType::Set, ValueType::SortedSet];

/// How to sort, and what to tell of the elements; see [`Engine::sort`].
///
/// A pattern names a key for each element: `*` stands for the element, and `->field` at its end for a field of a hash.
#[derive(Debug, Clone, Copy, Default)]
pub struct SortOptions<'a> {
    by: Option<&'a [u8]>,
    get: &'a [&'a [u8]],
    limit: Option<(i64, i64)>,
    descending: bool,
    alphabetical: bool,
}

impl<'a> SortOptions<'a> {
    /// Numbers, ascending, all of them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sorts by the values of other keys, zero or the empty text where there is none. A pattern without `*` leaves the order
    /// of a list or sorted set as it is (`BY nosort`).
    #[must_use]
    pub fn by(self, pattern: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { by: Some(pattern.as_ref()), ..self }
    }

    /// Tells the values of other keys in place of each element, one for each pattern; `#` is the element itself.
    #[must_use]
    pub fn get(self, patterns: &'a [&'a [u8]]) -> Self {
        Self { get: patterns, ..self }
    }

    /// Tells `count` elements from `offset` on, all of them for a negative count.
    #[must_use]
    pub fn limit(self, offset: i64, count: i64) -> Self {
        Self { limit: Some((offset, count)), ..self }
    }

    /// Largest first.
    #[must_use]
    pub fn descending(self, descending: bool) -> Self {
        Self { descending, ..self }
    }

    /// Compares bytes, not numbers; up to the first zero byte, unless the result is stored.
    #[must_use]
    pub fn alphabetical(self, alphabetical: bool) -> Self {
        Self { alphabetical, ..self }
    }

    /// Whether nothing but the collection itself is looked at.
    fn is_pure(&self) -> bool {
        let by = self.by.map(Pattern::parse);
        let constant = |pattern| matches!(pattern, Pattern::Itself | Pattern::Nothing);
        by.is_none_or(constant) && self.get.iter().copied().map(Pattern::parse).all(constant)
    }

    fn window(&self, len: usize) -> Range<usize> {
        let (offset, count) = self.limit.unwrap_or((0, -1));
        let start = usize::try_from(offset.max(0)).unwrap_or(usize::MAX).min(len);
        let end = usize::try_from(count).map_or(len, |count| start.saturating_add(count).min(len));
        start..end
    }
}

/// What an element is sorted by.
enum Weight {
    Number(f64),
    Text(Option<Value>),
    /// The element's own text.
    Own,
}

/// Elements in one allocation.
#[derive(Default)]
struct Elements {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Elements {
    fn push(&mut self, element: &[u8]) {
        self.bytes.extend_from_slice(element);
        self.ends.push(self.bytes.len());
    }

    fn span(&self, at: usize) -> Range<usize> {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[at]
    }

    fn get(&self, at: usize) -> &[u8] {
        &self.bytes[self.span(at)]
    }
}

/// The elements of a collection in the order in which it keeps them: those of a window, where nothing is to be sorted.
fn collect(collection: &Collection, unsorted: Option<(Range<usize>, bool)>) -> Elements {
    let mut elements = Elements::default();
    let len = len_of(collection);
    // Seen from the tail, the window lies at the other end.
    let (range, reverse) = match unsorted {
        Some((window, true)) => (len - window.end..len - window.start, true),
        Some((window, false)) => (window, false),
        None => (0..len, false),
    };
    match collection {
        Collection::List(list) if reverse => list.elements(range).rev().for_each(|one| elements.push(one)),
        Collection::List(list) => list.elements(range).for_each(|one| elements.push(one)),
        Collection::SortedSet(set) => {
            set.order().visit(range.start as u64..range.end as u64, reverse, |member, _| {
                elements.push(member);
                true
            });
        }
        Collection::Set(set) => {
            let window = if reverse { len - range.end..len - range.start } else { range };
            let members = set.members().skip(window.start).take(window.len());
            members.for_each(|member| elements.push(member.as_bytes()));
        }
        Collection::Hash(_) | Collection::Stream(_) => {}
    }
    elements
}

fn len_of(collection: &Collection) -> usize {
    match collection {
        Collection::List(list) => list.len(),
        Collection::Set(set) => set.len(),
        Collection::SortedSet(set) => usize::try_from(set.len()).unwrap_or(usize::MAX),
        Collection::Hash(_) | Collection::Stream(_) => 0,
    }
}

/// What is told: an element, or the value of another key.
enum Told {
    Element(usize),
    Value(Option<Value>),
}

struct Sorted {
    elements: Elements,
    told: Vec<Told>,
}

impl Sorted {
    fn into_bytes(self) -> Vec<Option<Bytes>> {
        let Elements { bytes, ends } = self.elements;
        let (bytes, elements) = (Bytes::from(bytes), Elements { bytes: Vec::new(), ends });
        let told = self.told.into_iter().map(|told| match told {
            Told::Element(at) => Some(bytes.slice(elements.span(at))),
            Told::Value(value) => value.map(|value| Bytes::copy_from_slice(&value)),
        });
        told.collect()
    }

    fn into_list(self, rules: &Rules) -> List {
        let mut list = List::empty(rules);
        for told in &self.told {
            let bytes = match told {
                Told::Element(at) => self.elements.get(*at),
                Told::Value(value) => value.as_deref().unwrap_or_default(),
            };
            list.push(End::Tail, bytes, rules);
        }
        list
    }
}

fn compare(elements: &Elements, one: &(usize, Weight), other: &(usize, Weight), stored: bool) -> Ordering {
    let text = |bytes| if stored { bytes } else { text_of(bytes) };
    let own = |row: &(usize, Weight)| elements.get(row.0);
    match (&one.1, &other.1) {
        (Weight::Number(a), Weight::Number(b)) => match a.partial_cmp(b) {
            None | Some(Ordering::Equal) => elements.get(one.0).cmp(elements.get(other.0)),
            Some(order) => order,
        },
        (Weight::Text(a), Weight::Text(b)) => a.as_deref().map(text).cmp(&b.as_deref().map(text)),
        _ => text(own(one)).cmp(text(own(other))),
    }
}

fn sorted(
    engine: &Engine,
    collection: Option<&Collection>,
    options: &SortOptions<'_>,
    stored: bool,
) -> Result<Sorted, OpError> {
    let Some(collection) = collection else {
        return Ok(Sorted { elements: Elements::default(), told: Vec::new() });
    };
    let mut by = options.by.map(Pattern::parse);
    let mut alphabetical = options.alphabetical;
    let mut constant = by.as_ref().is_some_and(|by| matches!(by, Pattern::Itself | Pattern::Nothing));
    if constant && stored && matches!(collection, Collection::Set(_)) {
        // What is stored of a set must not depend on the order in which it happens to lie.
        (by, alphabetical, constant) = (None, true, false);
    }
    let mut window = options.window(len_of(collection));
    if constant {
        let reverse = options.descending && !matches!(collection, Collection::Set(_));
        let elements = collect(collection, Some((window.clone(), reverse)));
        let order: Vec<usize> = (0..window.len()).collect();
        return told(engine, elements, &order, options);
    }
    let elements = collect(collection, None);
    let mut rows = Vec::with_capacity(elements.ends.len());
    for at in 0..elements.ends.len() {
        rows.push((at, weight(engine, elements.get(at), by.as_ref(), alphabetical)?));
    }
    rows.sort_by(|one, other| {
        let order = compare(&elements, one, other, stored);
        if options.descending { order.reverse() } else { order }
    });
    window.end = window.end.min(rows.len());
    let order: Vec<usize> = rows[window].iter().map(|(at, _)| *at).collect();
    told(engine, elements, &order, options)
}

fn weight(
    engine: &Engine,
    element: &[u8],
    by: Option<&Pattern<'_>>,
    alphabetical: bool,
) -> Result<Weight, OpError> {
    let number = |bytes: &[u8]| weight_of(bytes).map(Weight::Number).ok_or(OpError::NotAFloat);
    match (by, alphabetical) {
        (None, true) => Ok(Weight::Own),
        (None, false) => number(element),
        (Some(by), true) => Ok(Weight::Text(by.fetch(engine, element)?)),
        (Some(by), false) => {
            by.fetch(engine, element)?.map_or(Ok(Weight::Number(0.0)), |value| number(&value))
        }
    }
}

fn told(
    engine: &Engine,
    elements: Elements,
    order: &[usize],
    options: &SortOptions<'_>,
) -> Result<Sorted, OpError> {
    if options.get.is_empty() {
        let told = order.iter().map(|&at| Told::Element(at)).collect();
        return Ok(Sorted { elements, told });
    }
    let patterns: Vec<Pattern<'_>> = options.get.iter().copied().map(Pattern::parse).collect();
    let mut told = Vec::with_capacity(order.len().saturating_mul(patterns.len()));
    for &at in order {
        for pattern in &patterns {
            told.push(match pattern {
                Pattern::Itself => Told::Element(at),
                pattern => Told::Value(pattern.fetch(engine, elements.get(at))?),
            });
        }
    }
    Ok(Sorted { elements, told })
}

impl Engine {
    /// Returns the elements of a list, set or sorted set in order, or what other keys say of them; `None` where such a key
    /// does not exist.
    ///
    /// **Command** `SORT_RO`, `SORT` without `STORE`. **Complexity** O(n log n), n elements; outside of the locks.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::NotAFloat`] if something to sort by is no number.
    ///
    /// # Examples
    /// ```
    /// use larder::SortOptions;
    /// let engine = larder::Engine::new();
    /// engine.list::<u32>("list").extend_back([3, 1, 10])?;
    /// let sorted = engine.sort("list", SortOptions::new().descending(true).limit(0, 2))?;
    /// assert_eq!(sorted, [Some("10".into()), Some("3".into())]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn sort(
        &self,
        key: impl AsRef<[u8]>,
        options: SortOptions<'_>,
    ) -> Result<Vec<Option<Bytes>>, OpError> {
        let captured = self.capture_any(&[key.as_ref()], &SORTED)?;
        Ok(sorted(self, captured.first().and_then(Option::as_ref), &options, false)?.into_bytes())
    }

    /// Stores what [`sort`](Self::sort) returns as a list, the empty text for what does not exist; returns its length. An
    /// empty result deletes the target.
    ///
    /// **Command** `SORT .. STORE`. **Complexity** O(n log n), n elements; outside of the locks.
    ///
    /// # Errors
    /// As [`sort`](Self::sort), and [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// use larder::SortOptions;
    /// let engine = larder::Engine::new();
    /// engine.list::<u32>("list").extend_back([3, 1, 10])?;
    /// assert_eq!(engine.sort_store("list", SortOptions::new(), "sorted")?, 3);
    /// assert_eq!(engine.list::<u32>("sorted").range(0, -1)?, [1, 3, 10]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn sort_store(
        &self,
        key: impl AsRef<[u8]>,
        options: SortOptions<'_>,
        target: impl AsRef<[u8]>,
    ) -> Result<u64, OpError> {
        let (key, target) = (key.as_ref(), target.as_ref());
        check_key(target)?;
        let stored = |collection: Option<&Collection>, rules: &Rules| {
            let list = sorted(self, collection, &options, true)?.into_list(rules);
            let len = list.len() as u64;
            Ok((Some(list.into_collection()), len))
        };
        if options.is_pure() {
            return self.derive(&[key], &SORTED, (target, event::SORTSTORE), |captured, rules| {
                stored(captured.first().and_then(Option::as_ref), rules)
            });
        }
        // Other keys cannot be read under the locks that `derive` may hold: the result is made before it.
        let captured = self.capture_any(&[key], &SORTED)?;
        let (list, len) = stored(captured.first().and_then(Option::as_ref), &self.core.rules())?;
        self.derive::<&[u8], u64>(&[], &SORTED, (target, event::SORTSTORE), |_, _| Ok((list.clone(), len)))
    }
}
