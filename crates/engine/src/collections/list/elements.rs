//! Walking over elements from both ends: over a borrowed list, or over a captured one.

use std::ops::Range;
use std::sync::Arc;

use super::super::cow::tree::{Leaves, Tree};
use super::super::packed::{Iter, Packed, Spot};
use super::List;
use crate::memory::AllocatorModel;

/// The elements of a range, in order.
#[derive(Debug)]
pub(crate) struct Elements<'a> {
    left: usize,
    /// What is left of the outermost blocks; the whole ones lie between.
    ahead: Option<Iter<'a>>,
    between: Option<Leaves<'a, Packed>>,
    behind: Option<Iter<'a>>,
}

/// A block's elements without the first and last few.
fn trimmed(block: &Packed, first: usize, last: usize) -> Iter<'_> {
    let mut elements = block.iter();
    if let Some(skip) = first.checked_sub(1) {
        elements.nth(skip);
    }
    if let Some(skip) = last.checked_sub(1) {
        elements.nth_back(skip);
    }
    elements
}

impl<'a> Elements<'a> {
    pub(super) fn new(list: &'a List, range: Range<usize>) -> Self {
        let end = range.end.min(list.len());
        let start = range.start.min(end);
        let mut elements = Self { left: end - start, ahead: None, between: None, behind: None };
        if start == end {
            return elements;
        }
        match list {
            List::Small(block) => elements.ahead = Some(trimmed(block, start, block.len() - end)),
            List::Large(chunks) => {
                let tree = &chunks.tree;
                let located = tree.locate(start).zip(tree.locate(end - 1));
                let ((first, from), (last, to)) = located.expect("the range was cut to the list");
                let chunk = |number| tree.leaf(number).expect("it was located");
                let unseen = chunk(last).len() - 1 - to;
                if first == last {
                    elements.ahead = Some(trimmed(chunk(first), from, unseen));
                } else {
                    elements.ahead = Some(trimmed(chunk(first), from, 0));
                    elements.between = Some(tree.leaves(first + 1..last));
                    elements.behind = Some(trimmed(chunk(last), 0, unseen));
                }
            }
        }
        elements
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        loop {
            if let Some(element) = self.ahead.as_mut().and_then(Iterator::next) {
                return Some(element);
            }
            match self.between.as_mut().and_then(Iterator::next) {
                Some(chunk) => self.ahead = Some(chunk.iter()),
                None => return self.behind.as_mut()?.next(),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for Elements<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        loop {
            if let Some(element) = self.behind.as_mut().and_then(DoubleEndedIterator::next_back) {
                return Some(element);
            }
            match self.between.as_mut().and_then(DoubleEndedIterator::next_back) {
                Some(chunk) => self.behind = Some(chunk.iter()),
                None => return self.ahead.as_mut()?.next_back(),
            }
        }
    }
}

impl ExactSizeIterator for Elements<'_> {}

/// The elements of a captured list. It keeps the chunks that it stands in, and the tree.
#[derive(Debug, Clone)]
pub(crate) struct OwnedElements {
    tree: Tree<Packed>,
    rest: Range<usize>,
    ahead: Option<(Arc<Packed>, Spot)>,
    /// Where the elements of the chunk begin that are still to come.
    behind: Option<(Arc<Packed>, Vec<Spot>)>,
}

impl OwnedElements {
    pub(super) fn new(list: List, range: Range<usize>) -> Self {
        let end = range.end.min(list.len());
        let tree = match list {
            List::Large(chunks) => chunks.tree,
            List::Small(block) => {
                let mut tree = Tree::new(AllocatorModel::default());
                if !block.is_empty() {
                    tree.push_back(block);
                }
                tree
            }
        };
        Self { tree, rest: range.start.min(end)..end, ahead: None, behind: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Lends the next element.
    pub(crate) fn next_with<R>(&mut self, visit: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if self.rest.is_empty() {
            return None;
        }
        let stands = self.ahead.as_ref().is_some_and(|(chunk, spot)| chunk.read(*spot).is_some());
        if !stands {
            let (number, offset) = self.tree.locate(self.rest.start)?;
            let chunk = Arc::clone(self.tree.shared(number)?);
            let spot = chunk.seek(offset);
            self.ahead = Some((chunk, spot));
        }
        let (chunk, spot) = self.ahead.as_mut()?;
        let (element, next) = chunk.read(*spot)?;
        *spot = next;
        self.rest.start += 1;
        Some(visit(element))
    }

    /// Lends the last element that was not lent yet.
    pub(crate) fn next_back_with<R>(&mut self, visit: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if self.rest.is_empty() {
            return None;
        }
        if self.behind.as_ref().is_none_or(|(_, spots)| spots.is_empty()) {
            let (number, offset) = self.tree.locate(self.rest.end - 1)?;
            let chunk = Arc::clone(self.tree.shared(number)?);
            let mut spots = Vec::with_capacity(offset + 1);
            let mut spot = chunk.first();
            for _ in 0..=offset {
                spots.push(spot);
                spot = chunk.skip(spot, 1);
            }
            self.behind = Some((chunk, spots));
        }
        let (chunk, spots) = self.behind.as_mut()?;
        let (element, _) = chunk.read(spots.pop()?)?;
        self.rest.end -= 1;
        Some(visit(element))
    }
}
