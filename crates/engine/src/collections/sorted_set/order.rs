//! The order index: a counted B+tree over runs, shared with its captures.
//!
//! ```text
//! Inner  scores [1.0  7.5  9.0]  counts [62 40 51]      the first score below, and how many entries, of each child
//!           |        |       |
//!          Run      Run     Run                         up to 62 entries in one block: see run.rs
//! ```
//! A small set is one run and nothing else.
//!
//! Invariants: I1: all runs lie at one depth, and none but the only one is empty. I2: `scores[i]` is the first score below
//! child `i` (NaN behind the last one), `counts[i]` the number of entries. I3: a run in a tree has at most [`RUN_ENTRIES`] entries and
//! [`RUN_MEMBER_BYTES`] of members, or one entry. I4: no shared node is changed. I5: the meter holds every node and run.
//!
//! Cost: n entries; every search and change O(log n); a change copies the path that a capture shares, at most one run and
//! one node a level. Equal scores are told apart by the first member below each child they begin, which takes a descent.
//! Ascending (and descending) insertion leaves full runs behind; two neighbours that fit in three quarters of one become one.

use std::ops::Range;
use std::sync::Arc;

use super::range::Edge;
use super::run::{Run, metered};
use crate::collections::meter::{ARC_BYTES, Meter};

/// Children of a node.
const FAN: usize = 32;
/// Entries of a run in a tree.
pub(super) const RUN_ENTRIES: usize = 62;
/// Bytes of members of a run in a tree that has more than one entry.
pub(super) const RUN_MEMBER_BYTES: usize = 4_096;
/// A member of this size has a run of its own.
const LARGE_MEMBER_BYTES: usize = RUN_MEMBER_BYTES / 4;
/// Neighbours that have no more than this together become one.
const MERGED_ENTRIES: usize = RUN_ENTRIES * 3 / 4;
const MERGED_BYTES: usize = RUN_MEMBER_BYTES * 3 / 4;
const MERGED_CHILDREN: usize = FAN * 3 / 4;
/// What a node asks the allocator for.
const INNER_BYTES: usize = ARC_BYTES + size_of::<Inner>();
const CHILDREN_BYTES: usize = FAN * size_of::<Node>();

/// The entries of a sorted set in order. A clone is a capture.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    root: Node,
    len: u64,
}

#[derive(Debug, Clone)]
enum Node {
    Leaf(Run),
    Inner(Arc<Inner>),
}

#[derive(Debug)]
struct Inner {
    scores: [f64; FAN],
    counts: [u64; FAN],
    children: Vec<Node>,
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        // With room for all, so that a copy costs what the original did (I5).
        let mut children = Vec::with_capacity(FAN);
        children.extend_from_slice(&self.children);
        Self { scores: self.scores, counts: self.counts, children }
    }
}

/// A child has no room, and its parent has none for another child.
struct Full;

/// On which sides nothing lies further out than a node.
#[derive(Debug, Clone, Copy)]
struct Edges {
    first: bool,
    last: bool,
}

#[inline]
fn index(position: u64) -> usize {
    usize::try_from(position).expect("I2: what is counted lies in memory")
}

impl Node {
    fn first(&self) -> (f64, &[u8]) {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(run) => return (run.view().score(0), run.view().member(0)),
                Self::Inner(inner) => node = &inner.children[0],
            }
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Leaf(run) => run.view().len() as u64,
            Self::Inner(inner) => inner.counts[..inner.children.len()].iter().sum(),
        }
    }

    fn add_to(&self, meter: &mut Meter) {
        match self {
            Self::Leaf(run) => meter.add(run.allocated()),
            Self::Inner(_) => add_inner(meter),
        }
    }

    fn take_from(&self, meter: &mut Meter) {
        match self {
            Self::Leaf(run) => meter.sub(run.allocated()),
            Self::Inner(_) => {
                meter.sub(INNER_BYTES);
                meter.sub(CHILDREN_BYTES);
            }
        }
    }
}

fn add_inner(meter: &mut Meter) {
    meter.add(INNER_BYTES);
    meter.add(CHILDREN_BYTES);
}

impl Inner {
    fn of(children: impl IntoIterator<Item = Node>) -> Self {
        let mut inner = Self { scores: [f64::NAN; FAN], counts: [0; FAN], children: Vec::with_capacity(FAN) };
        for child in children {
            inner.put(inner.children.len(), child);
        }
        inner
    }

    fn len(&self) -> usize {
        self.children.len()
    }

    fn is_full(&self) -> bool {
        self.len() == FAN
    }

    /// Puts a child before the one at `at`.
    fn put(&mut self, at: usize, child: Node) {
        let len = self.len();
        self.scores.copy_within(at..len, at + 1);
        self.counts.copy_within(at..len, at + 1);
        self.scores[at] = child.first().0;
        self.counts[at] = child.count();
        self.children.insert(at, child);
    }

    fn take(&mut self, at: usize) -> Node {
        let len = self.len();
        self.scores.copy_within(at + 1..len, at);
        self.scores[len - 1] = f64::NAN;
        self.counts.copy_within(at + 1..len, at);
        self.children.remove(at)
    }

    /// The children behind `at` in a node of their own.
    fn split_off(&mut self, at: usize) -> Self {
        self.scores[at..].fill(f64::NAN);
        Self::of(self.children.split_off(at))
    }

    /// Tells again of a child what has changed in it.
    fn refresh(&mut self, at: usize) {
        self.scores[at] = self.children[at].first().0;
        self.counts[at] = self.children[at].count();
    }

    /// The last child whose first entry lies before the edge; the first child if there is none.
    #[inline]
    fn child_before(&self, edge: Edge<'_>) -> usize {
        if let Edge::Before(score, _) | Edge::Past(score, _) = edge {
            // A few compares of all scores at once take less time than a search that waits for each of its steps.
            let lower: usize = self.scores.iter().map(|&other| usize::from(other < score)).sum();
            if lower == self.len() || self.scores[lower] > score {
                return lower.saturating_sub(1);
            }
        }
        let before =
            edge.partition(self.len(), |index| self.scores[index], |index| self.children[index].first().1);
        before.saturating_sub(1)
    }

    #[inline]
    fn rank_of_child(&self, at: usize) -> u64 {
        self.counts[..at].iter().sum()
    }

    /// The child that holds the entry of this rank, and the rank in it.
    #[inline]
    fn child_of_rank(&self, mut rank: u64) -> (usize, u64) {
        for (at, &count) in self.counts[..self.len() - 1].iter().enumerate() {
            if rank < count {
                return (at, rank);
            }
            rank -= count;
        }
        (self.len() - 1, rank)
    }
}

impl Order {
    pub(super) fn new() -> Self {
        Self::of_run(Run::new())
    }

    pub(super) fn of_run(run: Run) -> Self {
        let len = run.view().len() as u64;
        Self { root: Node::Leaf(run), len }
    }

    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The only run, of a small set (or of a tree that has shrunk to one).
    #[inline]
    pub(super) fn as_run(&self) -> Option<&Run> {
        match &self.root {
            Node::Leaf(run) => Some(run),
            Node::Inner(_) => None,
        }
    }

    /// Changes the only run of a small set.
    pub(super) fn change_run(&mut self, change: impl FnOnce(&mut Run)) {
        let Node::Leaf(run) = &mut self.root else { unreachable!("a small set is one run") };
        change(run);
        self.len = run.view().len() as u64;
    }

    /// How many entries lie before the edge.
    pub(super) fn count_before(&self, edge: Edge<'_>) -> u64 {
        let (mut node, mut before) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(run) => return before + run.view().position(edge) as u64,
                Node::Inner(inner) => {
                    let at = inner.child_before(edge);
                    before += inner.rank_of_child(at);
                    node = &inner.children[at];
                }
            }
        }
    }

    /// The rank of an entry, if it is there.
    pub(super) fn find(&self, score: f64, member: &[u8]) -> Option<u64> {
        let (mut node, mut before) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(run) => {
                    let view = run.view();
                    let at = view.position(Edge::Before(score, member));
                    let found = at < view.len() && view.score(at) == score && view.member(at) == member;
                    return found.then_some(before + at as u64);
                }
                Node::Inner(inner) => {
                    let at = inner.child_before(Edge::Past(score, member));
                    before += inner.rank_of_child(at);
                    node = &inner.children[at];
                }
            }
        }
    }

    /// The run that holds the entry of this rank, and the index in it.
    pub(super) fn run_of(&self, rank: u64) -> Option<(&Run, usize)> {
        if rank >= self.len {
            return None;
        }
        let (mut node, mut rank) = (&self.root, rank);
        loop {
            match node {
                Node::Leaf(run) => return Some((run, index(rank))),
                Node::Inner(inner) => {
                    let (at, rest) = inner.child_of_rank(rank);
                    (node, rank) = (&inner.children[at], rest);
                }
            }
        }
    }

    /// The entry of this rank.
    pub(crate) fn entry(&self, rank: u64) -> Option<(&[u8], f64)> {
        let (run, at) = self.run_of(rank)?;
        Some((run.view().member(at), run.view().score(at)))
    }

    /// Shows the entries of some ranks in order, or against it, until `visit` returns `false`.
    pub(crate) fn visit<'a>(
        &'a self,
        ranks: Range<u64>,
        reverse: bool,
        mut visit: impl FnMut(&'a [u8], f64) -> bool,
    ) {
        let (mut from, mut to) = (ranks.start, ranks.end.min(self.len));
        while from < to {
            let Some((run, at)) = self.run_of(if reverse { to - 1 } else { from }) else { return };
            let view = run.view();
            let wanted = index(to - from);
            if reverse {
                let first = (at + 1).saturating_sub(wanted);
                for (score, member) in view.entries(first..at + 1).rev() {
                    if !visit(member, score) {
                        return;
                    }
                }
                to -= (at + 1 - first) as u64;
            } else {
                let end = at.saturating_add(wanted).min(view.len());
                for (score, member) in view.entries(at..end) {
                    if !visit(member, score) {
                        return;
                    }
                }
                from += (end - at) as u64;
            }
        }
    }

    /// Puts an entry that is not there yet.
    pub(super) fn insert(&mut self, score: f64, member: &[u8], meter: &mut Meter) {
        let entry = Entry { score, member };
        loop {
            match &mut self.root {
                Node::Leaf(run) if entry.fits(run) => {
                    entry.put_into(run, meter);
                    break;
                }
                Node::Leaf(_) => self.heighten(meter),
                Node::Inner(inner) => {
                    let edges = Edges { first: true, last: true };
                    match insert_below(Arc::make_mut(inner), entry, edges, meter) {
                        Ok(()) => break,
                        Err(Full) => self.heighten(meter),
                    }
                }
            }
        }
        self.len += 1;
    }

    /// Puts a node over the root.
    fn heighten(&mut self, meter: &mut Meter) {
        let root = self.root.clone();
        // The old root is held twice only until the new one is in place.
        self.root = Node::Inner(Arc::new(Inner::of([root])));
        add_inner(meter);
    }

    /// Takes the entry of this rank out; it is there.
    pub(super) fn remove_at(&mut self, rank: u64, meter: &mut Meter) {
        match &mut self.root {
            Node::Leaf(run) => metered(run, meter, |run| run.remove(index(rank))),
            Node::Inner(inner) => {
                remove_below(Arc::make_mut(inner), rank, meter);
                while let Node::Inner(inner) = &mut self.root {
                    if inner.len() > 1 {
                        break;
                    }
                    let only = Arc::make_mut(inner).children.pop().expect("I1: a node has children");
                    self.root.take_from(meter);
                    self.root = only;
                }
            }
        }
        self.len -= 1;
    }

    /// Gives the entry of this rank another score if it keeps its place, and tells whether it does.
    pub(super) fn set_score(&mut self, rank: u64, score: f64, meter: &mut Meter) -> bool {
        let Some((run, at)) = self.run_of(rank) else { return false };
        let view = run.view();
        // Inside one run only, and off its first place, which the nodes above know.
        if at == 0 || at + 1 >= view.len() || view.score(at - 1) >= score || view.score(at + 1) <= score {
            return false;
        }
        let (mut node, mut rank) = (&mut self.root, rank);
        loop {
            match node {
                Node::Leaf(run) => {
                    metered(run, meter, |run| run.set_score(at, score));
                    return true;
                }
                Node::Inner(inner) => {
                    let inner = Arc::make_mut(inner);
                    let (child, rest) = inner.child_of_rank(rank);
                    (node, rank) = (&mut inner.children[child], rest);
                }
            }
        }
    }

    /// Frees up to `runs` runs of an index that nobody needs any more; `true` when nothing is left. What a capture holds
    /// too is let go at once.
    pub(super) fn free_some(&mut self, runs: usize, meter: &mut Meter) -> bool {
        let mut left = runs;
        if !free_below(&mut self.root, &mut left, meter) {
            return false;
        }
        *self = Self::new();
        true
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, meter: Option<&mut Meter>) {
        let mut recount = Meter::new(crate::memory::AllocatorModel::Requested);
        let in_tree = meter.is_some();
        let meter = meter.unwrap_or(&mut recount);
        let mut depths = Vec::new();
        validate_below(&self.root, in_tree, 0, &mut depths, meter);
        assert!(depths.windows(2).all(|pair| pair[0] == pair[1]), "I1: one depth");
        assert!(self.len == 0 || depths.len() as u64 <= self.len, "I1: no empty run");
        assert_eq!(self.root.count(), self.len, "I2");
        let mut last: Option<(f64, Vec<u8>)> = None;
        self.visit(0..self.len, false, |member, score| {
            if let Some((before, before_member)) = &last {
                assert!(*before < score || (*before == score && **before_member < *member), "entries ascend");
            }
            last = Some((score, member.to_vec()));
            true
        });
    }

    /// How many runs there are.
    #[cfg(test)]
    pub(super) fn run_count(&self) -> usize {
        fn below(node: &Node) -> usize {
            match node {
                Node::Leaf(_) => 1,
                Node::Inner(inner) => inner.children.iter().map(below).sum(),
            }
        }
        below(&self.root)
    }
}

/// What is to be inserted.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    score: f64,
    member: &'a [u8],
}

impl Entry<'_> {
    #[inline]
    fn fits(self, run: &Run) -> bool {
        let view = run.view();
        let bytes = view.member_bytes() + self.member.len();
        view.len() == 0 || (view.len() < RUN_ENTRIES && bytes <= RUN_MEMBER_BYTES)
    }

    #[inline]
    fn put_into(self, run: &mut Run, meter: &mut Meter) {
        metered(run, meter, |run| {
            let at = run.view().position(Edge::Before(self.score, self.member));
            run.insert(at, self.score, self.member);
        });
    }
}

fn insert_below(inner: &mut Inner, entry: Entry<'_>, edges: Edges, meter: &mut Meter) -> Result<(), Full> {
    loop {
        let at = inner.child_before(Edge::Past(entry.score, entry.member));
        let edges = Edges { first: edges.first && at == 0, last: edges.last && at + 1 == inner.len() };
        let is_full = inner.is_full();
        match &mut inner.children[at] {
            Node::Leaf(run) if entry.fits(run) => entry.put_into(run, meter),
            Node::Leaf(_) if is_full => return Err(Full),
            Node::Leaf(_) => {
                if split_leaf(inner, at, entry, edges, meter) {
                    return Ok(());
                }
                continue;
            }
            Node::Inner(child) => match insert_below(Arc::make_mut(child), entry, edges, meter) {
                Ok(()) => {}
                Err(Full) if is_full => return Err(Full),
                Err(Full) => {
                    split_inner(inner, at, edges, meter);
                    continue;
                }
            },
        }
        inner.counts[at] += 1;
        if entry.score < inner.scores[at] {
            inner.scores[at] = entry.score;
        }
        return Ok(());
    }
}

/// Makes room for an entry that the leaf at `at` has none for: a new leaf with the entry alone (`true`), or two leaves.
fn split_leaf(inner: &mut Inner, at: usize, entry: Entry<'_>, edges: Edges, meter: &mut Meter) -> bool {
    let Node::Leaf(run) = &inner.children[at] else { unreachable!("only a leaf is split into leaves") };
    let view = run.view();
    let (count, position) = (view.len(), view.position(Edge::Before(entry.score, entry.member)));
    let apart = count == 1 || entry.member.len() > LARGE_MEMBER_BYTES;
    if (position == count && (edges.last || apart)) || (position == 0 && (edges.first || apart)) {
        let alone = Node::Leaf(Run::collect(std::iter::once((entry.score, entry.member))));
        alone.add_to(meter);
        inner.put(at + usize::from(position > 0), alone);
        return true;
    }
    let cut = if apart { position } else { count / 2 };
    let left = Node::Leaf(Run::collect(view.entries(0..cut)));
    let right = Node::Leaf(Run::collect(view.entries(cut..count)));
    left.add_to(meter);
    right.add_to(meter);
    inner.children[at].take_from(meter);
    inner.children[at] = left;
    inner.refresh(at);
    inner.put(at + 1, right);
    false
}

/// Splits the full node at `at` in two; at the right end of the tree so that the left one stays nearly full, at the left end
/// the other way round.
fn split_inner(inner: &mut Inner, at: usize, edges: Edges, meter: &mut Meter) {
    let Node::Inner(child) = &mut inner.children[at] else { unreachable!("only a node is split into nodes") };
    let cut = match edges {
        Edges { last: true, .. } => FAN - 2,
        Edges { first: true, .. } => 2,
        _ => FAN / 2,
    };
    let right = Node::Inner(Arc::new(Arc::make_mut(child).split_off(cut)));
    add_inner(meter);
    inner.refresh(at);
    inner.put(at + 1, right);
}

fn remove_below(inner: &mut Inner, rank: u64, meter: &mut Meter) {
    let (at, rest) = inner.child_of_rank(rank);
    let small = match &mut inner.children[at] {
        Node::Leaf(run) => {
            metered(run, meter, |run| run.remove(index(rest)));
            run.view().len() < MERGED_ENTRIES / 2
        }
        Node::Inner(child) => {
            let child = Arc::make_mut(child);
            remove_below(child, rest, meter);
            child.len() < MERGED_CHILDREN / 2
        }
    };
    inner.counts[at] -= 1;
    if inner.counts[at] == 0 {
        inner.take(at).take_from(meter);
        return;
    }
    if rest == 0 {
        inner.scores[at] = inner.children[at].first().0;
    }
    if small && !(at + 1 < inner.len() && merge(inner, at, meter)) && at > 0 {
        merge(inner, at - 1, meter);
    }
}

/// Makes the children at `at` and behind it one, if they fit in one with room to spare.
fn merge(inner: &mut Inner, at: usize, meter: &mut Meter) -> bool {
    let merged = match (&inner.children[at], &inner.children[at + 1]) {
        (Node::Leaf(left), Node::Leaf(right)) => {
            let (left, right) = (left.view(), right.view());
            if left.len() + right.len() > MERGED_ENTRIES
                || left.member_bytes() + right.member_bytes() > MERGED_BYTES
            {
                return false;
            }
            let entries = left.entries(0..left.len()).chain(right.entries(0..right.len()));
            Node::Leaf(Run::collect(entries))
        }
        (Node::Inner(left), Node::Inner(right)) => {
            if left.len() + right.len() > MERGED_CHILDREN {
                return false;
            }
            Node::Inner(Arc::new(Inner::of(left.children.iter().chain(&right.children).cloned())))
        }
        _ => unreachable!("I1: one depth"),
    };
    merged.add_to(meter);
    inner.take(at + 1).take_from(meter);
    inner.children[at].take_from(meter);
    inner.children[at] = merged;
    inner.refresh(at);
    true
}

/// Empties a node as far as `left` goes; `true` if it may be dropped.
fn free_below(node: &mut Node, left: &mut usize, meter: &mut Meter) -> bool {
    let Node::Inner(inner) = node else {
        let free = *left > 0;
        *left = left.saturating_sub(1);
        return free;
    };
    let Some(inner) = Arc::get_mut(inner) else { return true };
    while let Some(child) = inner.children.last_mut() {
        if !free_below(child, left, meter) {
            return false;
        }
        child.take_from(meter);
        inner.children.pop();
    }
    true
}

#[cfg(any(test, fuzzing))]
fn validate_below(node: &Node, in_tree: bool, depth: usize, depths: &mut Vec<usize>, meter: &mut Meter) {
    node.add_to(meter);
    match node {
        Node::Leaf(run) => {
            run.validate();
            let view = run.view();
            if in_tree && view.len() > 1 {
                assert!(view.len() <= RUN_ENTRIES && view.member_bytes() <= RUN_MEMBER_BYTES, "I3");
            }
            assert!(depth == 0 || view.len() > 0, "I1");
            depths.push(depth);
        }
        Node::Inner(inner) => {
            assert!((1..=FAN).contains(&inner.len()) && inner.children.capacity() == FAN, "I5");
            assert!(depth > 0 || inner.len() > 1, "a root of one child is none");
            assert!(inner.scores[inner.len()..].iter().all(|score| score.is_nan()), "I2");
            for (at, child) in inner.children.iter().enumerate() {
                assert_eq!(inner.scores[at], child.first().0, "I2");
                assert_eq!(inner.counts[at], child.count(), "I2");
                validate_below(child, in_tree, depth + 1, depths, meter);
            }
        }
    }
}
