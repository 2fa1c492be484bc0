//! A counted B+tree of leaves, shared by capture: the order under lists and streams.
//!
//! ```text
//! Tree { root } --> Child { len, leaves, charge, mark, link }         sums of what lies below
//!                                        `-> Arc<Inner> [Child; 1..=32] --> .. --> Arc<L>
//! ```
//! A leaf is plain data with `len` elements and the mark of its first one. Leaves are addressed by their number from the
//! left; `locate` turns the index of an element into (leaf, offset), `seek` a mark into a leaf. How large a leaf may be,
//! and when two leaves become one, is the caller's affair; the tree keeps the nodes above them in order.
//!
//! Invariants: I1: all leaves lie at one depth and none is empty. I2: an inner node has 1 to 32 children, at least 8 if it
//! lies neither on the left nor on the right edge; the root has at least 2. I3: a child's sums and mark are those of the
//! node below it. I4: a node that a capture shares is copied, never changed. I5: marks ascend, where they are in use.
//!
//! Costs, n leaves: `locate`, `seek`, `leaf`, `edit`, `insert`, `remove`, `split_off`, `append` O(log n); clone O(1);
//! the first change of a node after a capture copies it: 32 children, or one leaf. Freeing by slices: `free_some`.
//! Appending and prepending leave full nodes behind, not halves.
//!
//! It knows no elements, only their number; it never merges or splits leaves by itself.

mod children;
mod join;
mod leaves;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::super::meter::ARC_BYTES;
use crate::memory::AllocatorModel;
use children::{Child, Edge, Inner, Link};
pub(crate) use leaves::Leaves;

/// Children of one inner node at most.
const FANOUT: usize = 32;
/// Children of an inner node at least, edges and the root apart. A quarter, not a half, so that a tree that shrinks and
/// grows around one size does not merge and split all the time.
const FANOUT_MIN: usize = FANOUT / 4;

/// A block of elements.
pub(crate) trait Leaf: Clone {
    /// What leaves are ordered by; `()` where only the position counts.
    type Mark: Copy + PartialOrd + std::fmt::Debug;

    /// How many elements it has.
    fn len(&self) -> usize;

    /// The mark of its first element; it has one.
    fn mark(&self) -> Self::Mark;

    /// Names the size of every allocation that it owns.
    fn heap_bytes(&self, charge: &mut dyn FnMut(usize));
}

/// The tree; an empty one owns nothing.
#[derive(Debug)]
pub(crate) struct Tree<L: Leaf> {
    root: Option<Child<L>>,
    model: AllocatorModel,
}

impl<L: Leaf> Clone for Tree<L> {
    /// A capture, in O(1).
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), model: self.model }
    }
}

impl<L: Leaf> Tree<L> {
    pub(crate) fn new(model: AllocatorModel) -> Self {
        Self { root: None, model }
    }

    /// Elements in all leaves.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.root.as_ref().map_or(0, |root| root.sums.len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    #[inline]
    pub(crate) fn leaf_count(&self) -> usize {
        self.root.as_ref().map_or(0, |root| root.sums.leaves)
    }

    pub(crate) fn model(&self) -> AllocatorModel {
        self.model
    }

    /// What nodes and leaves cost, by the model.
    pub(crate) fn charged(&self) -> u64 {
        self.root.as_ref().map_or(0, |root| root.sums.charge)
    }

    /// Whether both are captures of one state: no leaf differs.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self.root.as_ref().map(|root| &root.link), other.root.as_ref().map(|root| &root.link)) {
            (Some(Link::Leaf(one)), Some(Link::Leaf(other))) => Arc::ptr_eq(one, other),
            (Some(Link::Inner(one)), Some(Link::Inner(other))) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }

    /// The leaf with this number.
    pub(crate) fn leaf(&self, number: usize) -> Option<&L> {
        self.shared(number).map(AsRef::as_ref)
    }

    /// The leaf with this number, to be kept for as long as one likes.
    pub(crate) fn shared(&self, number: usize) -> Option<&Arc<L>> {
        let mut child = self.root.as_ref().filter(|root| number < root.sums.leaves)?;
        let mut rest = number;
        loop {
            match &child.link {
                Link::Leaf(leaf) => return Some(leaf),
                Link::Inner(inner) => {
                    let at = inner.by_leaf(&mut rest, child.sums.leaves);
                    child = &inner.children[at];
                }
            }
        }
    }

    pub(crate) fn first(&self) -> Option<&L> {
        self.leaf(0)
    }

    pub(crate) fn last(&self) -> Option<&L> {
        self.leaf(self.leaf_count().checked_sub(1)?)
    }

    /// The leaf that holds the element with this index, and where in it.
    pub(crate) fn locate(&self, index: usize) -> Option<(usize, usize)> {
        let mut child = self.root.as_ref().filter(|root| index < root.sums.len)?;
        let (mut offset, mut number) = (index, 0);
        while let Link::Inner(inner) = &child.link {
            // The last one is asked first: a tree is used at its ends more than inside.
            let last = inner.children.last().expect("I2: a node has a child");
            let before = child.sums.len - last.sums.len;
            if offset >= before {
                offset -= before;
                number += child.sums.leaves - last.sums.leaves;
                child = last;
                continue;
            }
            for below in &inner.children {
                child = below;
                if offset < below.sums.len {
                    break;
                }
                offset -= below.sums.len;
                number += below.sums.leaves;
            }
        }
        Some((number, offset))
    }

    /// The index of the leaf's first element; of the end for a number past the last leaf.
    #[cfg(test)]
    pub(crate) fn start(&self, number: usize) -> usize {
        let Some(mut child) = self.root.as_ref().filter(|root| number < root.sums.leaves) else {
            return self.len();
        };
        let (mut rest, mut start) = (number, 0);
        while let Link::Inner(inner) = &child.link {
            let at = inner.by_leaf(&mut rest, child.sums.leaves);
            start += inner.children[..at].iter().map(|before| before.sums.len).sum::<usize>();
            child = &inner.children[at];
        }
        start
    }

    /// The last leaf whose mark is at most this one.
    pub(crate) fn seek(&self, mark: L::Mark) -> Option<usize> {
        let mut child = self.root.as_ref().filter(|root| root.mark <= mark)?;
        let mut number = 0;
        while let Link::Inner(inner) = &child.link {
            let after = inner.children.partition_point(|below| below.mark <= mark);
            // I3 and the filter above: the first child's mark is its parent's, which is at most `mark`.
            let at = after.saturating_sub(1);
            number += inner.children[..at].iter().map(|before| before.sums.leaves).sum::<usize>();
            child = &inner.children[at];
        }
        Some(number)
    }

    /// Changes a leaf in place, or a copy of it if a capture shares it. A leaf that `change` leaves empty is removed.
    ///
    /// # Panics
    /// If there is no leaf with this number.
    pub(crate) fn edit<R>(&mut self, number: usize, change: impl FnOnce(&mut L) -> R) -> R {
        let root = self.root.as_mut().filter(|root| number < root.sums.leaves);
        let (result, len) =
            root.expect("the caller names a leaf of the tree").edit(number, self.model, change);
        if len == 0 {
            self.remove(number);
        }
        result
    }

    /// Puts a leaf before the one with this number, or behind the last one.
    ///
    /// # Panics
    /// If the leaf is empty (I1), or the number is past the end.
    pub(crate) fn insert(&mut self, number: usize, leaf: L) {
        assert!(leaf.len() > 0, "I1: no leaf is empty");
        let count = self.leaf_count();
        assert!(number <= count, "the caller names a place in the tree");
        let edge = match number {
            _ if number == count => Edge::Right,
            0 => Edge::Left,
            _ => Edge::Inside,
        };
        let leaf = Child::of_leaf(Arc::new(leaf), self.model);
        match &mut self.root {
            None => self.root = Some(leaf),
            Some(root) => {
                if let Some(split) = root.insert(number, leaf, edge, self.model) {
                    self.grow(split);
                }
            }
        }
    }

    pub(crate) fn push_back(&mut self, leaf: L) {
        self.insert(self.leaf_count(), leaf);
    }

    pub(crate) fn push_front(&mut self, leaf: L) {
        self.insert(0, leaf);
    }

    /// Takes a leaf out.
    ///
    /// # Panics
    /// If there is no leaf with this number.
    pub(crate) fn remove(&mut self, number: usize) -> Arc<L> {
        assert!(number < self.leaf_count(), "the caller names a leaf of the tree");
        let mut root = self.root.take().expect("a tree with leaves has a root");
        if let Link::Leaf(leaf) = root.link {
            return leaf;
        }
        let removed = root.remove(number, self.model);
        self.root = Some(root);
        self.shrink();
        removed
    }

    /// Frees about `nodes` nodes from the right; `true` when nothing is left. A subtree that a capture shares is let go
    /// as one node.
    pub(crate) fn free_some(&mut self, nodes: usize) -> bool {
        let mut budget = nodes;
        if self.root.as_mut().is_none_or(|root| root.free(&mut budget, self.model)) {
            self.root = None;
        }
        self.root.is_none()
    }

    /// The root was split: both halves get a new one.
    fn grow(&mut self, right: Child<L>) {
        let left = self.root.take().expect("only a root splits");
        self.root = Some(Child::of_inner(Inner { children: vec![left, right] }, self.model));
    }

    /// A root with one child gives way to it (I2).
    fn shrink(&mut self) {
        while let Some(Child { link: Link::Inner(inner), .. }) = &self.root {
            match inner.children.as_slice() {
                [] => self.root = None,
                [only] => self.root = Some(only.clone()),
                _ => return,
            }
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) {
        if let Some(root) = &self.root {
            if let Link::Inner(inner) = &root.link {
                assert!(inner.children.len() >= 2, "I2: a root has two children");
            }
            root.validate(true, true, self.model);
        }
    }
}
