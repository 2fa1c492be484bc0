//! The large form: what happens to chunks when elements come and go.

use std::ops::Range;
use std::sync::Arc;

use super::super::cow::tree::Tree;
use super::super::packed::Packed;
use super::{Limit, without};
use crate::effect::End;

/// What an outermost chunk grows by beyond what is pushed.
const AHEAD_BYTES: usize = 1024;

#[derive(Debug, Clone)]
pub(crate) struct Chunks {
    pub(super) tree: Tree<Packed>,
}

impl Chunks {
    pub(super) fn push(&mut self, end: End, element: &[u8], limit: Limit) {
        let count = self.tree.leaf_count();
        let outermost = match end {
            End::Head => 0,
            End::Tail => count.saturating_sub(1),
        };
        if count > 0 {
            let pushed = self.tree.edit(outermost, |chunk| {
                let room = limit.takes(chunk, element);
                if room {
                    chunk.make_room_ahead(element.len(), chunk.content_bytes().min(AHEAD_BYTES));
                }
                match end {
                    // What no more is pushed to needs no slack.
                    _ if !room => chunk.fit(),
                    End::Head => chunk.push_front(element),
                    End::Tail => chunk.push(element),
                }
                room
            });
            if pushed {
                return;
            }
        }
        let place = if end == End::Head { 0 } else { count };
        self.tree.insert(place, Packed::from_iter([element]));
    }

    pub(super) fn insert(&mut self, index: usize, element: &[u8], limit: Limit) {
        let Some((mut number, mut offset)) = self.tree.locate(index).filter(|_| index > 0) else {
            return self.push(if index == 0 { End::Head } else { End::Tail }, element, limit);
        };
        loop {
            let chunk = self.tree.leaf(number).expect("it was located");
            let (takes, len) = (limit.takes(chunk, element), chunk.len());
            if takes {
                return self.tree.edit(number, |chunk| chunk.insert(offset, element));
            }
            if offset == 0 || offset == len {
                return self.insert_between(number + usize::from(offset == len), element, limit);
            }
            let alone = !limit.fits(Packed::entry_bytes(element.len()), 1);
            let half = if alone { offset } else { len / 2 };
            self.split(number, half);
            if offset > half {
                number += 1;
                offset -= half;
            }
        }
    }

    /// Puts an element between two chunks, of which one is known to be full: into the other, or into a chunk of its own.
    fn insert_between(&mut self, number: usize, element: &[u8], limit: Limit) {
        let before = number.checked_sub(1);
        let takes = |at: usize| self.tree.leaf(at).is_some_and(|chunk| limit.takes(chunk, element));
        if before.is_some_and(takes) {
            self.tree.edit(number - 1, |chunk| chunk.push(element));
        } else if takes(number) {
            self.tree.edit(number, |chunk| chunk.push_front(element));
        } else {
            self.tree.insert(number, Packed::from_iter([element]));
        }
    }

    fn split(&mut self, number: usize, at: usize) {
        let right = self.tree.edit(number, |chunk| chunk.split_off(at));
        self.tree.insert(number + 1, right);
    }

    /// Puts an element in the place of another, which exists.
    pub(super) fn set(&mut self, index: usize, element: &[u8], limit: Limit) {
        let (number, offset) = self.tree.locate(index).expect("the caller looked");
        let replaced = self.tree.edit(number, |chunk| {
            chunk.replace(offset, element);
            let fine = chunk.len() == 1 || limit.holds(chunk);
            if !fine {
                chunk.remove(offset..offset + 1);
            }
            fine
        });
        if replaced {
            self.tend(number, limit);
        } else {
            self.insert(index, element, limit);
        }
    }

    pub(super) fn remove(&mut self, index: usize, limit: Limit) {
        let (number, offset) = self.tree.locate(index).expect("the caller looked");
        self.tree.edit(number, |chunk| chunk.remove(offset..offset + 1));
        self.tend(number, limit);
    }

    /// Takes a part out, as a tree of its own; some other part stays.
    pub(super) fn cut(&mut self, range: Range<usize>, limit: Limit) -> Self {
        let (start, end) = (self.tree.locate(range.start), self.tree.locate(range.end - 1));
        if let (Some((number, from)), Some((last, to))) = (start, end) {
            if number == last {
                return self.cut_inside(number, from..to + 1, limit);
            }
        }
        let back = self.part(range.end);
        let cut = self.part(range.start);
        let seam = self.tree.leaf_count();
        self.tree.append(back);
        self.tend(seam, limit);
        self.tend(seam.saturating_sub(1), limit);
        Self { tree: cut }
    }

    /// The same where all of it lies in one chunk, as what is trimmed off a list of fixed length does.
    fn cut_inside(&mut self, number: usize, range: Range<usize>, limit: Limit) -> Self {
        let cut = self.tree.edit(number, |chunk| {
            let cut: Packed = chunk.iter().skip(range.start).take(range.len()).collect();
            chunk.remove(range);
            cut
        });
        self.tend(number, limit);
        let mut tree = Tree::new(self.tree.model());
        tree.push_back(cut);
        Self { tree }
    }

    /// Cuts off the elements from this index on.
    fn part(&mut self, index: usize) -> Tree<Packed> {
        let (number, offset) = self.tree.locate(index).unwrap_or((self.tree.leaf_count(), 0));
        let mut right = self.tree.split_off(number + usize::from(offset > 0));
        if offset > 0 {
            right.push_front(self.tree.edit(number, |chunk| chunk.split_off(offset)));
        }
        right
    }

    pub(super) fn remove_all(&mut self, indices: &[usize], limit: Limit) {
        // From the back, so that what is still to go keeps its index.
        let mut rest = indices;
        while let Some(&last) = rest.last() {
            let (number, offset) = self.tree.locate(last).expect("the caller names elements");
            let start = last - offset;
            let (before, here) = rest.split_at(rest.partition_point(|&index| index < start));
            self.tree.edit(number, |chunk| *chunk = without(chunk, start, here));
            self.tend(number, limit);
            rest = before;
        }
    }

    /// Joins a chunk that has become small with a neighbour, if both together are not nearly full again. The outermost
    /// chunks are left alone: what is popped there goes away by itself.
    fn tend(&mut self, number: usize, limit: Limit) {
        let count = self.tree.leaf_count();
        if number == 0 || number + 1 >= count && count > 2 {
            return;
        }
        let Some(chunk) = self.tree.leaf(number).filter(|chunk| limit.holds_within(chunk, 1, 4)) else {
            return;
        };
        let with = [number - 1, number + 1].into_iter().find(|&neighbour| {
            self.tree.leaf(neighbour).is_some_and(|other| {
                let (bytes, entries) =
                    (chunk.content_bytes() + other.content_bytes(), chunk.len() + other.len());
                Limit { bytes: limit.bytes / 4 * 3, entries: limit.entries / 4 * 3 }.fits(bytes, entries)
            })
        });
        if let Some(neighbour) = with {
            let left = neighbour.min(number);
            let mut right = self.tree.take(left + 1);
            self.tree.edit(left, |chunk| chunk.append(&mut right));
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, limit: Limit) {
        self.tree.validate();
        for chunk in self.tree.leaves(0..usize::MAX) {
            chunk.validate();
            assert!(chunk.len() == 1 || limit.holds(chunk), "I2: {} bytes", chunk.content_bytes());
        }
    }
}

impl Tree<Packed> {
    /// Takes a chunk out, to be changed.
    pub(super) fn take(&mut self, number: usize) -> Packed {
        Arc::try_unwrap(self.remove(number)).unwrap_or_else(|shared| (*shared).clone())
    }
}
