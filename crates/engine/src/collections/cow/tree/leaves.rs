//! Walking over leaves, from both ends.

use std::ops::Range;

use super::children::{Child, Link};
use super::{Leaf, Tree};

/// The leaves with numbers in a range, in order. It goes down the tree once for every run of leaves under one node.
#[derive(Debug)]
pub(crate) struct Leaves<'a, L: Leaf> {
    tree: &'a Tree<L>,
    rest: Range<usize>,
    /// Those under one node from `rest.start` on, and those under one node before `rest.end`; either may be empty.
    ahead: &'a [Child<L>],
    behind: &'a [Child<L>],
}

impl<L: Leaf> Tree<L> {
    /// The leaves with these numbers; the range is cut to what there is.
    pub(crate) fn leaves(&self, numbers: Range<usize>) -> Leaves<'_, L> {
        let end = numbers.end.min(self.leaf_count());
        Leaves { tree: self, rest: numbers.start.min(end)..end, ahead: &[], behind: &[] }
    }

    /// The leaf's siblings and its place among them.
    fn siblings(&self, number: usize) -> (&[Child<L>], usize) {
        let root = self.root.as_ref().expect("a leaf that exists has a tree");
        let (mut run, mut at, mut rest) = (std::slice::from_ref(root), 0, number);
        while let Link::Inner(inner) = &run[at].link {
            at = inner.by_leaf(&mut rest, run[at].sums.leaves);
            run = &inner.children;
        }
        (run, at)
    }
}

fn leaf<L: Leaf>(child: &Child<L>) -> &L {
    match &child.link {
        Link::Leaf(leaf) => leaf,
        Link::Inner(_) => panic!("I1: siblings of a leaf are leaves"),
    }
}

impl<'a, L: Leaf> Iterator for Leaves<'a, L> {
    type Item = &'a L;

    fn next(&mut self) -> Option<&'a L> {
        if self.rest.is_empty() {
            return None;
        }
        if self.ahead.is_empty() {
            let (run, at) = self.tree.siblings(self.rest.start);
            self.ahead = &run[at..];
        }
        let (first, ahead) = self.ahead.split_first()?;
        self.ahead = ahead;
        self.rest.start += 1;
        Some(leaf(first))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.rest.len(), Some(self.rest.len()))
    }
}

impl<'a, L: Leaf> DoubleEndedIterator for Leaves<'a, L> {
    fn next_back(&mut self) -> Option<&'a L> {
        if self.rest.is_empty() {
            return None;
        }
        if self.behind.is_empty() {
            let (run, at) = self.tree.siblings(self.rest.end - 1);
            self.behind = &run[..=at];
        }
        let (last, behind) = self.behind.split_last()?;
        self.behind = behind;
        self.rest.end -= 1;
        Some(leaf(last))
    }
}

impl<L: Leaf> ExactSizeIterator for Leaves<'_, L> {}
