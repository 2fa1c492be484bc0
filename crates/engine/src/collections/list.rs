//! Lists: one packed block while small, a counted tree of packed chunks when large.
//!
//! ```text
//! Small  [len element nel][len element nel] ..                       up to list-max-listpack-size
//! Large  Tree -> chunk, chunk, chunk ..        each filled up to the same size; a larger element has a chunk of its own
//! ```
//! Invariants: I1: a small list is within the limit. I2: so is every chunk, unless it holds one element alone; no chunk is
//! empty. I3: a large list of one chunk is above half the limit, so that a list whose size goes to and fro is not converted
//! each time. I4: captures do not change: chunks are copied before they are (cow::tree).
//!
//! Costs, n elements, b bytes of a chunk: push and pop at an end O(log n); get, set, insert O(log n + b); cut of any range
//! O(log n + b), whatever it holds: the part cut off is a list of its own. Pushing at an end fills chunks to the brim; a chunk
//! in the middle that was emptied to a quarter is joined with a neighbour.
//!
//! It finds no elements by value (its owner walks a capture), and knows no negative index.

mod chunks;
mod elements;
#[cfg(test)]
mod tests;

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::cow::tree::{Leaf, Tree};
use super::packed::Packed;
use super::{Body, Rules};
use crate::effect::{Delta, End};
use crate::engine::{Encoding, ValueType};
use crate::memory::AllocatorModel;
use crate::random::mix;
use chunks::Chunks;
pub(crate) use elements::{Elements, OwnedElements};

#[derive(Debug, Clone)]
pub(crate) enum List {
    Small(Packed),
    Large(Box<Chunks>),
}

/// How much a small list or a chunk may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    bytes: usize,
    entries: usize,
}

/// The bytes of a chunk where the limit counts elements.
const COUNTED_BYTES_MAX: usize = 8 * 1024;

impl Limit {
    fn of(rules: &Rules) -> Self {
        let setting = rules.limits.list_max_listpack_size;
        match usize::try_from(setting) {
            Ok(entries) => Self { bytes: COUNTED_BYTES_MAX, entries: entries.max(1) },
            // -1 is 4 KiB, and each step down doubles it.
            Err(_) => Self { bytes: 2_048 << setting.unsigned_abs().min(5), entries: usize::MAX },
        }
    }

    fn fits(self, bytes: usize, entries: usize) -> bool {
        bytes <= self.bytes && entries <= self.entries
    }

    /// Whether one more element goes into this block.
    fn takes(self, block: &Packed, element: &[u8]) -> bool {
        self.fits(block.content_bytes() + Packed::entry_bytes(element.len()), block.len() + 1)
    }

    fn holds(self, block: &Packed) -> bool {
        self.fits(block.content_bytes(), block.len())
    }

    /// Whether a block is within this fraction of the limit.
    fn holds_within(self, block: &Packed, part: usize, of: usize) -> bool {
        block.content_bytes() <= self.bytes / of * part && block.len() <= self.entries / of * part
    }
}

impl Leaf for Packed {
    type Mark = ();

    fn len(&self) -> usize {
        Self::len(self)
    }

    fn mark(&self) {}

    fn heap_bytes(&self, charge: &mut dyn FnMut(usize)) {
        charge(Self::heap_bytes(self));
    }
}

impl List {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Small(block) => block.len(),
            Self::Large(chunks) => chunks.tree.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        match self {
            Self::Small(block) => block.get(index),
            Self::Large(chunks) => {
                let (number, offset) = chunks.tree.locate(index)?;
                chunks.tree.leaf(number)?.get(offset)
            }
        }
    }

    /// The element at an end.
    pub(crate) fn at_end(&self, end: End) -> Option<&[u8]> {
        match end {
            End::Head => self.get(0),
            End::Tail => self.get(self.len().checked_sub(1)?),
        }
    }

    /// The elements with these indices, to be walked from both ends; the range is cut to what there is.
    pub(crate) fn elements(&self, range: Range<usize>) -> Elements<'_> {
        Elements::new(self, range)
    }

    /// A small list of the elements with these indices, for walks over a few of them.
    pub(crate) fn copied(&self, range: Range<usize>) -> Self {
        let bytes = self.elements(range.clone()).map(|element| Packed::entry_bytes(element.len())).sum();
        let mut copy = Packed::with_capacity(bytes);
        self.elements(range).for_each(|element| copy.push(element));
        Self::Small(copy)
    }

    /// The same as [`elements`](Self::elements), for as long as one likes.
    pub(crate) fn into_elements(self, range: Range<usize>) -> OwnedElements {
        OwnedElements::new(self, range)
    }

    /// Whether both are one capture's list, unchanged since. Small lists have nothing to tell by.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Large(one), Self::Large(other)) => one.tree.is_same(&other.tree),
            _ => false,
        }
    }

    pub(crate) fn is_small(&self) -> bool {
        matches!(self, Self::Small(_))
    }

    pub(crate) fn push(&mut self, end: End, element: &[u8], rules: &Rules) {
        let limit = Limit::of(rules);
        match (self.with_room(element, limit, rules.model), end) {
            (Self::Small(block), End::Head) => block.push_front(element),
            (Self::Small(block), End::Tail) => block.push(element),
            (Self::Large(chunks), end) => chunks.push(end, element, limit),
        }
    }

    /// Puts an element before the one with this index; behind the last one for `len()` and above.
    pub(crate) fn insert(&mut self, index: usize, element: &[u8], rules: &Rules) {
        let limit = Limit::of(rules);
        match self.with_room(element, limit, rules.model) {
            Self::Small(block) => block.insert(index, element),
            Self::Large(chunks) => chunks.insert(index, element, limit),
        }
    }

    /// Puts an element in the place of another; `false` if there is none.
    pub(crate) fn set(&mut self, index: usize, element: &[u8], rules: &Rules) -> bool {
        if index >= self.len() {
            return false;
        }
        let limit = Limit::of(rules);
        if let Self::Small(block) = self {
            let old = block.get(index).map_or(0, |old| Packed::entry_bytes(old.len()));
            let bytes = block.content_bytes() - old + Packed::entry_bytes(element.len());
            if limit.fits(bytes, block.len()) {
                return block.replace(index, element);
            }
            self.enlarge(rules.model);
        }
        if let Self::Large(chunks) = self {
            chunks.set(index, element, limit);
        }
        self.settle(limit);
        true
    }

    /// Takes the elements with these indices out; the range is cut to what there is. To free them is the caller's affair.
    pub(crate) fn cut(&mut self, range: Range<usize>, rules: &Rules) -> Self {
        let end = range.end.min(self.len());
        let range = range.start.min(end)..end;
        let limit = Limit::of(rules);
        if range.is_empty() {
            return Self::Small(Packed::new());
        }
        if range.len() == self.len() {
            return std::mem::replace(self, Self::Small(Packed::new()));
        }
        let cut = match self {
            Self::Small(block) if range.end == block.len() => Self::Small(block.split_off(range.start)),
            Self::Small(_) => {
                let cut = self.copied(range.clone());
                if let Self::Small(block) = self {
                    block.remove(range);
                }
                cut
            }
            Self::Large(chunks) => Self::Large(Box::new(chunks.cut(range, limit))),
        };
        self.settle(limit);
        cut
    }

    /// Takes one element out; it exists.
    pub(crate) fn remove(&mut self, index: usize, rules: &Rules) {
        let limit = Limit::of(rules);
        match self {
            Self::Small(block) => block.remove(index..index + 1),
            Self::Large(chunks) => chunks.remove(index, limit),
        }
        self.settle(limit);
    }

    /// Takes out the elements with these indices, which ascend.
    pub(crate) fn remove_all(&mut self, indices: &[usize], rules: &Rules) {
        let limit = Limit::of(rules);
        match self {
            Self::Small(block) => *block = without(block, 0, indices),
            Self::Large(chunks) => chunks.remove_all(indices, limit),
        }
        self.settle(limit);
    }

    /// Itself, in a form that may take one more element.
    fn with_room(&mut self, element: &[u8], limit: Limit, model: AllocatorModel) -> &mut Self {
        if let Self::Small(block) = self {
            if !limit.takes(block, element) {
                self.enlarge(model);
            }
        }
        self
    }

    fn enlarge(&mut self, model: AllocatorModel) {
        if let Self::Small(block) = self {
            let mut tree = Tree::new(model);
            if !block.is_empty() {
                tree.push_back(std::mem::take(block));
            }
            *self = Self::Large(Box::new(Chunks { tree }));
        }
    }

    /// I3: back to one block, once half of the limit would do.
    fn settle(&mut self, limit: Limit) {
        let Self::Large(chunks) = self else { return };
        let tree = &mut chunks.tree;
        if tree.leaf_count() <= 1 && tree.first().is_none_or(|chunk| limit.holds_within(chunk, 1, 2)) {
            let block = if tree.is_empty() { Packed::new() } else { tree.take(0) };
            *self = Self::Small(block);
        }
    }
}

/// A block without the elements whose indices, counted from `start`, are listed.
fn without(block: &Packed, start: usize, indices: &[usize]) -> Packed {
    let mut gone = indices.iter().map(|index| index - start).peekable();
    let mut kept = Packed::with_capacity(block.content_bytes());
    for (_, element) in block.iter().enumerate().filter(|(at, _)| gone.next_if_eq(at).is_none()) {
        kept.push(element);
    }
    kept.fit();
    kept
}

fn index_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Body for List {
    const TYPE: ValueType = ValueType::List;

    fn empty(_: &Rules) -> Self {
        Self::Small(Packed::new())
    }

    fn is_vacant(&self) -> bool {
        self.len() == 0
    }

    fn encoding(&self) -> Encoding {
        if self.is_small() { Encoding::Listpack } else { Encoding::Quicklist }
    }

    fn charged(&self, model: AllocatorModel) -> u64 {
        match self {
            Self::Small(block) => model.charge(block.heap_bytes()),
            Self::Large(chunks) => model.charge(size_of::<Chunks>()) + chunks.tree.charged(),
        }
    }

    fn digest(&self) -> u64 {
        self.elements(0..usize::MAX).fold(0, |digest, element| mix(digest ^ xxh3_64(element)).wrapping_add(1))
    }

    fn apply(&mut self, delta: &Delta, rules: &Rules) {
        match delta {
            Delta::ListPush { end, element } => self.push(*end, element, rules),
            Delta::ListPop { end, count } => {
                let (count, len) = (index_of(*count), self.len());
                let range = match end {
                    End::Head => 0..count,
                    End::Tail => len.saturating_sub(count)..len,
                };
                self.cut(range, rules);
            }
            Delta::ListSet { index, element } => {
                self.set(index_of(*index), element, rules);
            }
            Delta::ListInsert { index, element } => self.insert(index_of(*index), element, rules),
            Delta::ListRemove { index } => {
                let index = index_of(*index);
                self.cut(index..index.saturating_add(1), rules);
            }
            _ => {}
        }
    }

    fn deltas(&self, emit: &mut dyn FnMut(Delta)) {
        for element in self.elements(0..usize::MAX) {
            emit(Delta::ListPush { end: End::Tail, element: element.into() });
        }
    }

    fn free_some(&mut self, nodes: usize) -> bool {
        let done = match self {
            Self::Small(_) => true,
            Self::Large(chunks) => chunks.tree.free_some(nodes),
        };
        if done {
            *self = Self::Small(Packed::new());
        }
        done
    }

    #[cfg(any(test, fuzzing))]
    fn validate_between(&self, narrowest: &Rules, widest: &Rules) {
        let (least, limit) = (Limit::of(narrowest), Limit::of(widest));
        match self {
            Self::Small(block) => {
                block.validate();
                assert!(limit.holds(block), "I1: {} bytes", block.content_bytes());
            }
            Self::Large(chunks) => {
                chunks.validate(limit);
                let first = chunks.tree.first().expect("I2: a large list has a chunk");
                let keeps = chunks.tree.leaf_count() > 1 || !least.holds_within(first, 1, 2);
                assert!(keeps, "I3: one chunk of {} bytes", first.content_bytes());
            }
        }
    }

    arm!(List);
}
