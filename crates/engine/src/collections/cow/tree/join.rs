//! Cutting a tree in two and putting two together, both along one path.

use super::children::{Child, Inner, Link, unshared};
use super::{FANOUT, Leaf, Tree};
use crate::memory::AllocatorModel;

impl<L: Leaf> Tree<L> {
    /// Cuts off the leaves from this number on.
    pub(crate) fn split_off(&mut self, number: usize) -> Self {
        let mut right = Self::new(self.model);
        if let Some(root) = self.root.take() {
            (self.root, right.root) = split(root, number, self.model);
            self.shrink();
            right.shrink();
        }
        right
    }

    /// Puts the leaves of another tree behind the last one.
    pub(crate) fn append(&mut self, other: Self) {
        debug_assert_eq!(self.model, other.model, "one engine, one model");
        let Some(right) = other.root else { return };
        let Some(left) = self.root.take() else {
            self.root = Some(right);
            return;
        };
        let (high, low) = (height(&left), height(&right));
        let mut top = join(left, high, right, low, self.model).into_iter();
        self.root = top.next();
        if let Some(right) = top.next() {
            self.grow(right);
        }
        self.shrink();
    }
}

fn height<L: Leaf>(child: &Child<L>) -> usize {
    let (mut height, mut at) = (0, child);
    while let Link::Inner(inner) = &at.link {
        height += 1;
        at = &inner.children[0];
    }
    height
}

fn children<L: Leaf>(child: Child<L>) -> Vec<Child<L>> {
    match child.link {
        Link::Inner(inner) => unshared(inner).children,
        Link::Leaf(_) => panic!("I1: a node above the leaves is no leaf"),
    }
}

/// The part with the first `number` leaves, and the rest. The nodes along the cut become edges, which may be thin.
fn split<L: Leaf>(
    child: Child<L>,
    number: usize,
    model: AllocatorModel,
) -> (Option<Child<L>>, Option<Child<L>>) {
    if number == 0 {
        return (None, Some(child));
    }
    if number >= child.sums.leaves {
        return (Some(child), None);
    }
    let mut left = children(child);
    let mut rest = number;
    let at = left.iter().position(|below| {
        let here = rest < below.sums.leaves;
        rest -= if here { 0 } else { below.sums.leaves };
        here
    });
    let mut right = left.split_off(at.expect("I3: the number is below the sum"));
    let (before, behind) = split(right.remove(0), rest, model);
    left.extend(before);
    if let Some(behind) = behind {
        right.insert(0, behind);
    }
    let node =
        |children: Vec<Child<L>>| (!children.is_empty()).then(|| Child::of_inner(Inner { children }, model));
    (node(left), node(right))
}

/// One or two nodes of the greater height over all leaves of both. What was an edge and lies inside now is mended.
fn join<L: Leaf>(
    left: Child<L>,
    left_height: usize,
    right: Child<L>,
    right_height: usize,
    model: AllocatorModel,
) -> Vec<Child<L>> {
    if left_height.max(right_height) == 0 {
        return vec![left, right];
    }
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    let (mut near, mut far) = (left, right);
    let (mut near_height, mut far_height) = (left_height, right_height);
    if left_height >= right_height {
        before = children(near);
        near = before.pop().expect("I2: a node has a child");
        near_height -= 1;
    }
    if right_height >= left_height {
        behind = children(far);
        far = behind.remove(0);
        far_height -= 1;
    }
    let seam = join(near, near_height, far, far_height, model);
    let first = before.len();
    let mut inner = Inner { children: before };
    let seams = seam.len();
    inner.children.extend(seam);
    inner.children.extend(behind);
    // From the right, so that a merge does not move what is still to be looked at.
    for at in (first..first + seams).rev() {
        inner.mend(at.min(inner.children.len() - 1), model);
    }
    debug_assert!(inner.children.len() <= 2 * FANOUT, "two nodes' children, no more");
    Child::pack(inner.children, model)
}
