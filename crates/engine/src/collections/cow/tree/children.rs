//! The nodes of the tree: what a child says of what lies below it, and how that stays true.

use std::sync::Arc;

use super::{ARC_BYTES, FANOUT, FANOUT_MIN, Leaf};
use crate::memory::AllocatorModel;

/// What lies below a child, the node itself included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) len: usize,
    pub(super) leaves: usize,
    pub(super) charge: u64,
}

#[derive(Debug)]
pub(super) struct Child<L: Leaf> {
    pub(super) sums: Sums,
    pub(super) mark: L::Mark,
    pub(super) link: Link<L>,
}

#[derive(Debug)]
pub(super) enum Link<L: Leaf> {
    Leaf(Arc<L>),
    Inner(Arc<Inner<L>>),
}

#[derive(Debug)]
pub(super) struct Inner<L: Leaf> {
    pub(super) children: Vec<Child<L>>,
}

/// Where in the whole tree a leaf is inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    Left,
    Right,
    Inside,
}

impl<L: Leaf> Clone for Child<L> {
    fn clone(&self) -> Self {
        let link = match &self.link {
            Link::Leaf(leaf) => Link::Leaf(Arc::clone(leaf)),
            Link::Inner(inner) => Link::Inner(Arc::clone(inner)),
        };
        Self { sums: self.sums, mark: self.mark, link }
    }
}

impl<L: Leaf> Clone for Inner<L> {
    fn clone(&self) -> Self {
        Self { children: self.children.clone() }
    }
}

fn leaf_charge<L: Leaf>(leaf: &L, model: AllocatorModel) -> u64 {
    let mut charge = model.charge(ARC_BYTES + size_of::<L>());
    leaf.heap_bytes(&mut |bytes| charge += model.charge(bytes));
    charge
}

impl<L: Leaf> Inner<L> {
    pub(super) fn own_charge(&self, model: AllocatorModel) -> u64 {
        model.charge(ARC_BYTES + size_of::<Self>())
            + model.charge(self.children.capacity() * size_of::<Child<L>>())
    }

    fn sums(&self, model: AllocatorModel) -> Sums {
        let mut sums = Sums { charge: self.own_charge(model), ..Sums::default() };
        for child in &self.children {
            sums.len += child.sums.len;
            sums.leaves += child.sums.leaves;
            sums.charge += child.sums.charge;
        }
        sums
    }

    /// The child below which the leaf lies, of `total` below this node; `rest` becomes the leaf's number below the child.
    /// The last child and nodes over leaves, which is where most changes happen, are told without a search.
    #[inline]
    pub(super) fn by_leaf(&self, rest: &mut usize, total: usize) -> usize {
        let last = self.children.len() - 1;
        if total == last + 1 {
            let at = last.min(*rest);
            *rest -= at;
            return at;
        }
        let before = total - self.children[last].sums.leaves;
        if *rest >= before {
            *rest -= before;
            return last;
        }
        for (at, child) in self.children[..last].iter().enumerate() {
            if *rest < child.sums.leaves {
                return at;
            }
            *rest -= child.sums.leaves;
        }
        last
    }

    /// Puts a child in; the new right sibling, if there was no room.
    fn place(&mut self, at: usize, child: Child<L>, edge: Edge) -> Option<Self> {
        let children = &mut self.children;
        let count = children.len();
        if count < FANOUT {
            if count == children.capacity() {
                children.reserve_exact(count.max(FANOUT_MIN).min(FANOUT - count));
            }
            children.insert(at, child);
            return None;
        }
        // At an edge the full node stays as it is, and the newcomer starts the next one.
        let cut = match edge {
            Edge::Left => 1,
            Edge::Inside => FANOUT / 2,
            Edge::Right => FANOUT,
        };
        let mut right;
        if at < cut {
            right = children.drain(cut - 1..).collect::<Vec<_>>();
            children.insert(at, child);
        } else {
            right = Vec::with_capacity(FANOUT_MIN.max(FANOUT + 1 - cut));
            right.extend(children.drain(cut..));
            right.insert(at - cut, child);
        }
        Some(Self { children: right })
    }

    /// Fills up the child at this place from a neighbour, or merges the two, if it has too few children (I2).
    pub(super) fn mend(&mut self, at: usize, model: AllocatorModel) {
        let starved =
            matches!(&self.children[at].link, Link::Inner(inner) if inner.children.len() < FANOUT_MIN);
        if !starved || self.children.len() == 1 {
            return;
        }
        let left = at.saturating_sub(1);
        let right = self.children.remove(left + 1);
        let (mut both, more) = match (self.children.remove(left).link, right.link) {
            (Link::Inner(left), Link::Inner(right)) => (unshared(left), unshared(right).children),
            _ => panic!("I1: neighbours lie at one depth"),
        };
        let seam = both.children.len();
        both.children.extend(more);
        // Where edges of two trees meet, thin nodes may meet below as well; elsewhere this finds nothing to do.
        both.mend(seam, model);
        both.mend(seam - 1, model);
        for child in Child::pack(both.children, model).into_iter().rev() {
            self.children.insert(left, child);
        }
    }
}

/// The node itself, or a copy of it if it is shared.
pub(super) fn unshared<L: Leaf>(inner: Arc<Inner<L>>) -> Inner<L> {
    Arc::try_unwrap(inner).unwrap_or_else(|shared| (*shared).clone())
}

impl<L: Leaf> Child<L> {
    pub(super) fn of_leaf(leaf: Arc<L>, model: AllocatorModel) -> Self {
        let sums = Sums { len: leaf.len(), leaves: 1, charge: leaf_charge(leaf.as_ref(), model) };
        Self { sums, mark: leaf.mark(), link: Link::Leaf(leaf) }
    }

    pub(super) fn of_inner(inner: Inner<L>, model: AllocatorModel) -> Self {
        let mark = inner.children[0].mark;
        Self { sums: inner.sums(model), mark, link: Link::Inner(Arc::new(inner)) }
    }

    /// One node over all of these children, or two of about one size.
    pub(super) fn pack(mut children: Vec<Self>, model: AllocatorModel) -> Vec<Self> {
        if children.len() <= FANOUT {
            return vec![Self::of_inner(Inner { children }, model)];
        }
        let right = children.split_off(children.len() / 2);
        children.shrink_to_fit();
        vec![Self::of_inner(Inner { children }, model), Self::of_inner(Inner { children: right }, model)]
    }

    /// Changes the leaf with this number below; what `change` returned, and how many elements the leaf has now.
    pub(super) fn edit<R>(
        &mut self,
        number: usize,
        model: AllocatorModel,
        change: impl FnOnce(&mut L) -> R,
    ) -> (R, usize) {
        match &mut self.link {
            Link::Leaf(leaf) => {
                let leaf = Arc::make_mut(leaf);
                let result = change(leaf);
                let len = leaf.len();
                self.sums = Sums { len, leaves: 1, charge: leaf_charge(leaf, model) };
                if len > 0 {
                    self.mark = leaf.mark();
                }
                (result, len)
            }
            Link::Inner(inner) => {
                let mut rest = number;
                // A copy need not have the original's capacity.
                let shared = Arc::strong_count(inner) > 1;
                if shared {
                    self.sums.charge -= inner.own_charge(model);
                }
                let inner = Arc::make_mut(inner);
                if shared {
                    self.sums.charge += inner.own_charge(model);
                }
                let at = inner.by_leaf(&mut rest, self.sums.leaves);
                let child = &mut inner.children[at];
                let was = child.sums;
                let outcome = child.edit(rest, model, change);
                self.sums.len = self.sums.len - was.len + child.sums.len;
                self.sums.charge = self.sums.charge - was.charge + child.sums.charge;
                self.mark = inner.children[0].mark;
                outcome
            }
        }
    }

    /// Puts a leaf before the one with this number; the new right sibling, if this node had to split.
    pub(super) fn insert(
        &mut self,
        number: usize,
        leaf: Self,
        edge: Edge,
        model: AllocatorModel,
    ) -> Option<Self> {
        let Link::Inner(inner) = &mut self.link else {
            // Only a root is a leaf here: the newcomer becomes its neighbour.
            return Some(if number == 0 { std::mem::replace(self, leaf) } else { leaf });
        };
        let inner = Arc::make_mut(inner);
        let split = if matches!(inner.children[0].link, Link::Leaf(_)) {
            inner.place(number, leaf, edge)
        } else {
            let mut rest = number;
            let at = inner.by_leaf(&mut rest, self.sums.leaves);
            let below = inner.children[at].insert(rest, leaf, edge, model);
            below.and_then(|right| inner.place(at + 1, right, edge))
        };
        self.mark = inner.children[0].mark;
        self.sums = inner.sums(model);
        split.map(|right| Self::of_inner(right, model))
    }

    /// Takes the leaf with this number out from below. The node may have no children afterwards.
    pub(super) fn remove(&mut self, number: usize, model: AllocatorModel) -> Arc<L> {
        let Link::Inner(inner) = &mut self.link else { panic!("I1: a leaf is removed from a node above it") };
        let inner = Arc::make_mut(inner);
        let mut rest = number;
        let at = inner.by_leaf(&mut rest, self.sums.leaves);
        let removed = if let Link::Leaf(leaf) = &inner.children[at].link {
            let leaf = Arc::clone(leaf);
            inner.children.remove(at);
            leaf
        } else {
            let removed = inner.children[at].remove(rest, model);
            if inner.children[at].sums.leaves == 0 {
                inner.children.remove(at);
            } else {
                inner.mend(at, model);
            }
            removed
        };
        if let Some(first) = inner.children.first() {
            self.mark = first.mark;
        }
        self.sums = inner.sums(model);
        removed
    }

    /// Frees from the right until the budget is used up; `true` when all below is gone and the node itself may go.
    pub(super) fn free(&mut self, budget: &mut usize, model: AllocatorModel) -> bool {
        if *budget == 0 {
            return false;
        }
        if let Link::Inner(inner) = &mut self.link {
            if let Some(inner) = Arc::get_mut(inner) {
                while let Some(last) = inner.children.last_mut() {
                    if !last.free(budget, model) {
                        break;
                    }
                    inner.children.pop();
                }
                self.sums = inner.sums(model);
                if *budget == 0 {
                    return false;
                }
            }
        }
        *budget -= 1;
        true
    }

    /// Checks the subtree, and returns its depth.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, left_edge: bool, right_edge: bool, model: AllocatorModel) -> usize {
        let inner = match &self.link {
            Link::Leaf(leaf) => {
                let sums = Sums { len: leaf.len(), leaves: 1, charge: leaf_charge(leaf.as_ref(), model) };
                assert!(leaf.len() > 0, "I1: no leaf is empty");
                assert_eq!(self.sums, sums, "I3: a leaf's sums");
                assert!(self.mark == leaf.mark(), "I3: a leaf's mark");
                return 0;
            }
            Link::Inner(inner) => inner,
        };
        let count = inner.children.len();
        let least = if left_edge || right_edge { 1 } else { FANOUT_MIN };
        assert!((least..=FANOUT).contains(&count), "I2: {count} children, at least {least}");
        assert_eq!(self.sums, inner.sums(model), "I3: a node's sums");
        assert!(self.mark == inner.children[0].mark, "I3: a node's mark");
        assert!(inner.children.is_sorted_by(|a, b| a.mark <= b.mark), "I5: marks ascend");
        let last = count - 1;
        let depths: Vec<usize> = (inner.children.iter().enumerate())
            .map(|(at, child)| child.validate(left_edge && at == 0, right_edge && at == last, model))
            .collect();
        assert!(depths.iter().all(|depth| *depth == depths[0]), "I1: one depth, {depths:?}");
        depths[0] + 1
    }
}
