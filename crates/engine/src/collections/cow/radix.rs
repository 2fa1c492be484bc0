//! A copy-on-write vector of chunks with holes: a radix-64 tree whose nodes are shared with its captures.
//!
//! ```text
//! height 0   root = chunk 0                                    (one chunk needs no node)
//! height 1   root = node of 64 slots -> chunks                 index = [slot]            up to 64
//! height 2   root = node -> nodes -> chunks                    index = [slot][slot]      up to 4,096
//! ```
//! A slot is empty or an `Arc`. A missing subtree is an empty slot, so an index of four thousand million costs a path.
//!
//! Invariants: I1: no node is empty. I2: a root node has a slot in use beyond the first, so the height is the least that
//! reaches the last chunk. I3: `end` is one past the last chunk, `present` the number of chunks. I4: the meter holds
//! every node, every chunk's own allocation, and what a chunk says of its further ones.
//!
//! Cost: `clone` O(1); `get` one pointer a level; a change copies, of what a capture shares, one node of 64 pointers a
//! level and one chunk; `next_present`, `remove` O(64) a level.
//!
//! It does not count what captures keep alive: the meter is about what this root reaches.

use std::sync::Arc;

use crate::collections::meter::{ARC_BYTES, Meter};

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// Levels that reach every `usize`.
#[cfg(any(test, fuzzing))]
const HEIGHT_MAX: u32 = usize::BITS.div_ceil(BITS);

/// What a [`RadixVec`] holds. Its `clone` should be a plain copy of memory.
pub(crate) trait Chunk: Clone {
    /// Tells the sizes of the allocations that the chunk owns, itself apart.
    fn heap_bytes(&self, charge: &mut dyn FnMut(usize));
}

/// The vector.
#[derive(Debug, Clone)]
pub(crate) struct RadixVec<T> {
    root: Option<Root<T>>,
    height: u32,
    end: usize,
    present: usize,
}

#[derive(Debug, Clone)]
enum Root<T> {
    Chunk(Arc<T>),
    Node(Arc<Node<T>>),
}

#[derive(Debug, Clone)]
enum Node<T> {
    Inner([Option<Arc<Node<T>>>; SLOTS]),
    Last([Option<Arc<T>>; SLOTS]),
}

impl<T> Node<T> {
    const BYTES: usize = ARC_BYTES + size_of::<Self>();

    fn new(height: u32) -> Self {
        if height == 1 { Self::Last([const { None }; SLOTS]) } else { Self::Inner([const { None }; SLOTS]) }
    }

    /// How many slots are in use.
    fn used(&self) -> usize {
        match self {
            Self::Inner(slots) => slots.iter().flatten().count(),
            Self::Last(slots) => slots.iter().flatten().count(),
        }
    }
}

/// The slot of `index` in a node of this height.
#[inline]
fn slot(index: usize, height: u32) -> usize {
    (index >> (BITS * (height - 1))) & (SLOTS - 1)
}

/// Whether a tree of this height has a place for `index`.
#[inline]
fn reaches(height: u32, index: usize) -> bool {
    index.checked_shr(BITS * height).unwrap_or(0) == 0
}

fn add_chunk<T: Chunk>(meter: &mut Meter, chunk: &T) {
    meter.add(ARC_BYTES + size_of::<T>());
    chunk.heap_bytes(&mut |bytes| meter.add(bytes));
}

fn sub_chunk<T: Chunk>(meter: &mut Meter, chunk: &T) {
    meter.sub(ARC_BYTES + size_of::<T>());
    chunk.heap_bytes(&mut |bytes| meter.sub(bytes));
}

impl<T: Chunk> RadixVec<T> {
    pub(crate) const fn new() -> Self {
        Self { root: None, height: 0, end: 0, present: 0 }
    }

    /// One past the last chunk.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.end
    }

    /// Whether both are one capture's vector, unchanged since: a change would have replaced the root that they share.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.root, &other.root) {
            (Some(Root::Chunk(one)), Some(Root::Chunk(other))) => Arc::ptr_eq(one, other),
            (Some(Root::Node(one)), Some(Root::Node(other))) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// How many chunks there are.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn present(&self) -> usize {
        self.present
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        if index >= self.end {
            return None;
        }
        let mut node = match self.root.as_ref()? {
            Root::Chunk(chunk) => return Some(chunk),
            Root::Node(node) => node,
        };
        let mut height = self.height;
        loop {
            match &**node {
                Node::Inner(slots) => node = slots[slot(index, height)].as_ref()?,
                Node::Last(slots) => return slots[slot(index, height)].as_deref(),
            }
            height -= 1;
        }
    }

    /// The first chunk at `from` or behind it, with its index.
    pub(crate) fn next_present(&self, from: usize) -> Option<(usize, &T)> {
        if from >= self.end {
            return None;
        }
        match self.root.as_ref()? {
            Root::Chunk(chunk) => Some((0, chunk)),
            Root::Node(node) => next_in(node, self.height, from),
        }
    }

    /// The chunks in order, with their indices.
    pub(crate) fn iter_present(&self) -> impl Iterator<Item = (usize, &T)> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let found = self.next_present(from)?;
            from = found.0 + 1;
            Some(found)
        })
    }

    /// The chunk, to change it. Who changes the sizes of its allocations tells the meter; see [`edit`](Self::edit).
    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize, meter: &mut Meter) -> Option<&mut T> {
        let chunk = self.arc_mut(index)?;
        Some(unshared(chunk, meter))
    }

    /// Changes a chunk and counts what the change did to its allocations.
    #[inline]
    pub(crate) fn edit<R>(
        &mut self,
        index: usize,
        meter: &mut Meter,
        f: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let chunk = self.arc_mut(index)?;
        chunk.heap_bytes(&mut |bytes| meter.sub(bytes));
        let chunk = Arc::make_mut(chunk);
        let result = f(chunk);
        chunk.heap_bytes(&mut |bytes| meter.add(bytes));
        Some(result)
    }

    #[inline]
    fn arc_mut(&mut self, index: usize) -> Option<&mut Arc<T>> {
        if index >= self.end {
            return None;
        }
        let mut node = match self.root.as_mut()? {
            Root::Chunk(chunk) => return Some(chunk),
            Root::Node(node) => node,
        };
        let mut height = self.height;
        loop {
            match Arc::make_mut(node) {
                Node::Inner(slots) => node = slots[slot(index, height)].as_mut()?,
                Node::Last(slots) => return slots[slot(index, height)].as_mut(),
            }
            height -= 1;
        }
    }

    /// The chunk, to change it; if there is none, one is made.
    pub(crate) fn get_or_insert_mut(
        &mut self,
        index: usize,
        meter: &mut Meter,
        make: impl FnOnce() -> T,
    ) -> &mut T {
        if self.get(index).is_none() {
            self.set(index, make(), meter);
        }
        self.get_mut(index, meter).expect("I3: it is there or was just put there")
    }

    /// Puts a chunk behind the last one.
    pub(crate) fn push(&mut self, chunk: T, meter: &mut Meter) {
        self.set(self.end, chunk, meter);
    }

    /// Puts a chunk at `index`, in place of another or where there was none.
    pub(crate) fn set(&mut self, index: usize, chunk: T, meter: &mut Meter) {
        add_chunk(meter, &chunk);
        let chunk = Arc::new(chunk);
        if self.root.is_none() {
            while !reaches(self.height, index) {
                self.height += 1;
            }
        }
        while !reaches(self.height, index) {
            self.heighten(meter);
        }
        let replaced = if self.height == 0 {
            let replaced = self.root.replace(Root::Chunk(chunk));
            replaced.map(|root| match root {
                Root::Chunk(chunk) => chunk,
                Root::Node(_) => unreachable!("I2: height 0 has no node"),
            })
        } else {
            let root = self.root.get_or_insert_with(|| {
                meter.add(Node::<T>::BYTES);
                Root::Node(Arc::new(Node::new(self.height)))
            });
            let Root::Node(node) = root else { unreachable!("I2: a height above 0 has a node") };
            put(node, self.height, index, chunk, meter)
        };
        match replaced {
            Some(old) => sub_chunk(meter, &*old),
            None => self.present += 1,
        }
        self.end = self.end.max(index + 1);
    }

    /// Puts a node over the root.
    fn heighten(&mut self, meter: &mut Meter) {
        let root = self.root.take().expect("I1: a tree that is too low is not empty");
        self.height += 1;
        let mut node = Node::new(self.height);
        match (&mut node, root) {
            (Node::Last(slots), Root::Chunk(chunk)) => slots[0] = Some(chunk),
            (Node::Inner(slots), Root::Node(below)) => slots[0] = Some(below),
            _ => unreachable!("I2: only height 0 has a chunk for a root"),
        }
        meter.add(Node::<T>::BYTES);
        self.root = Some(Root::Node(Arc::new(node)));
    }

    /// Takes the last chunk out.
    pub(crate) fn pop(&mut self, meter: &mut Meter) -> Option<Arc<T>> {
        self.remove(self.end.checked_sub(1)?, meter)
    }

    /// Takes a chunk out and leaves a hole.
    pub(crate) fn remove(&mut self, index: usize, meter: &mut Meter) -> Option<Arc<T>> {
        self.get(index)?;
        let taken = match self.root.as_mut()? {
            Root::Chunk(_) => match self.root.take()? {
                Root::Chunk(chunk) => Some(chunk),
                Root::Node(_) => None,
            },
            Root::Node(node) => {
                let taken = take(node, self.height, index, meter);
                if node.used() == 0 {
                    meter.sub(Node::<T>::BYTES);
                    self.root = None;
                }
                taken
            }
        }?;
        sub_chunk(meter, &*taken);
        self.present -= 1;
        if self.root.is_none() {
            *self = Self::new();
            return Some(taken);
        }
        if index + 1 == self.end {
            self.end = self.last_index() + 1;
        }
        while self.height > 0 && reaches(self.height - 1, self.end - 1) {
            self.lower(meter);
        }
        Some(taken)
    }

    /// Takes the root node away, of which only the first slot is in use.
    fn lower(&mut self, meter: &mut Meter) {
        let Some(Root::Node(node)) = self.root.take() else {
            unreachable!("I2: a height above 0 has a node")
        };
        let below = match &*node {
            Node::Inner(slots) => slots[0].clone().map(Root::Node),
            Node::Last(slots) => slots[0].clone().map(Root::Chunk),
        };
        meter.sub(Node::<T>::BYTES);
        self.root = below;
        self.height -= 1;
    }

    fn last_index(&self) -> usize {
        let mut node = match self.root.as_ref() {
            Some(Root::Node(node)) => node,
            _ => return 0,
        };
        let mut index = 0;
        loop {
            match &**node {
                Node::Inner(slots) => {
                    let last = slots.iter().rposition(Option::is_some).expect("I1: no node is empty");
                    index = (index << BITS) | last;
                    node = slots[last].as_ref().expect("I1: it was just found");
                }
                Node::Last(slots) => {
                    let last = slots.iter().rposition(Option::is_some).expect("I1: no node is empty");
                    return (index << BITS) | last;
                }
            }
        }
    }

    /// Frees up to `chunks` chunks of a vector that nobody needs any more; `true` when nothing is left. What a capture
    /// shares is let go at once, without a walk, so the meter is right only for what was not shared: who calls this sets
    /// it to nothing in the end.
    pub(crate) fn free_some(&mut self, chunks: usize, meter: &mut Meter) -> bool {
        let mut left = chunks;
        if let Some(Root::Node(node)) = self.root.as_mut() {
            if !free_in(node, &mut left, meter) {
                return false;
            }
        }
        *self = Self::new();
        true
    }

    /// Panics if an invariant is broken, and returns what the meter should say.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, model: crate::memory::AllocatorModel) -> u64 {
        let mut meter = Meter::new(model);
        let (mut present, mut end) = (0, 0);
        match &self.root {
            None => assert_eq!(self.height, 0, "I2"),
            Some(Root::Chunk(chunk)) => {
                assert_eq!(self.height, 0, "I2");
                add_chunk(&mut meter, &**chunk);
                (present, end) = (1, 1);
            }
            Some(Root::Node(node)) => {
                assert!(self.height >= 1 && self.height <= HEIGHT_MAX, "I2");
                count(node, self.height, 0, &mut |index, chunk| {
                    match chunk {
                        Some(chunk) => {
                            add_chunk(&mut meter, chunk);
                            present += 1;
                            end = index + 1;
                        }
                        None => meter.add(Node::<T>::BYTES),
                    };
                });
                assert!(!reaches(self.height - 1, end - 1), "I2: no higher than needed");
            }
        }
        assert_eq!((self.present, self.end), (present, end), "I3");
        meter.bytes()
    }
}

/// The chunk for its owner alone; a copy that has other allocations is counted.
#[inline]
fn unshared<'a, T: Chunk>(chunk: &'a mut Arc<T>, meter: &mut Meter) -> &'a mut T {
    if Arc::get_mut(chunk).is_none() {
        chunk.heap_bytes(&mut |bytes| meter.sub(bytes));
        let copy = T::clone(chunk);
        copy.heap_bytes(&mut |bytes| meter.add(bytes));
        *chunk = Arc::new(copy);
    }
    Arc::get_mut(chunk).expect("I1: nobody else holds a copy just made")
}

fn next_in<T>(node: &Node<T>, height: u32, from: usize) -> Option<(usize, &T)> {
    let first = slot(from, height);
    match node {
        Node::Last(slots) => {
            let (step, chunk) =
                slots.iter().enumerate().skip(first).find_map(|(i, s)| Some((i, s.as_deref()?)))?;
            Some(((from & !(SLOTS - 1)) | step, chunk))
        }
        Node::Inner(slots) => {
            let span = BITS * (height - 1);
            let base = from & !(SLOTS - 1).checked_shl(span).map_or(0, |low| low | ((1 << span) - 1));
            slots.iter().enumerate().skip(first).find_map(|(i, below)| {
                let below = below.as_ref()?;
                next_in(below, height - 1, if i == first { from } else { base | (i << span) })
            })
        }
    }
}

fn put<T>(
    node: &mut Arc<Node<T>>,
    height: u32,
    index: usize,
    chunk: Arc<T>,
    meter: &mut Meter,
) -> Option<Arc<T>>
where
    T: Clone,
{
    match Arc::make_mut(node) {
        Node::Last(slots) => slots[slot(index, height)].replace(chunk),
        Node::Inner(slots) => {
            let below = slots[slot(index, height)].get_or_insert_with(|| {
                meter.add(Node::<T>::BYTES);
                Arc::new(Node::new(height - 1))
            });
            put(below, height - 1, index, chunk, meter)
        }
    }
}

/// Takes a chunk out, and every node below `node` that it leaves empty.
fn take<T: Clone>(node: &mut Arc<Node<T>>, height: u32, index: usize, meter: &mut Meter) -> Option<Arc<T>> {
    match Arc::make_mut(node) {
        Node::Last(slots) => slots[slot(index, height)].take(),
        Node::Inner(slots) => {
            let place = &mut slots[slot(index, height)];
            let below = place.as_mut()?;
            let taken = take(below, height - 1, index, meter);
            if below.used() == 0 {
                *place = None;
                meter.sub(Node::<T>::BYTES);
            }
            taken
        }
    }
}

/// Empties a node as far as `left` goes; `true` if it may be dropped.
fn free_in<T: Chunk>(node: &mut Arc<Node<T>>, left: &mut usize, meter: &mut Meter) -> bool {
    let Some(node) = Arc::get_mut(node) else { return true };
    match node {
        Node::Inner(slots) => {
            for place in slots {
                let Some(below) = place else { continue };
                if *left == 0 || !free_in(below, left, meter) {
                    return false;
                }
                *place = None;
            }
        }
        Node::Last(slots) => {
            for place in slots {
                let Some(chunk) = place else { continue };
                if *left == 0 {
                    return false;
                }
                *left -= 1;
                sub_chunk(meter, &**chunk);
                *place = None;
            }
        }
    }
    meter.sub(Node::<T>::BYTES);
    true
}

/// Visits every node (`None`) and every chunk with its index.
#[cfg(any(test, fuzzing))]
fn count<'a, T>(node: &'a Node<T>, height: u32, base: usize, visit: &mut dyn FnMut(usize, Option<&'a T>)) {
    visit(base, None);
    assert!(node.used() > 0, "I1: no node is empty");
    match node {
        Node::Inner(slots) => {
            for (i, below) in slots.iter().enumerate() {
                if let Some(below) = below {
                    count(below, height - 1, base | (i << (BITS * (height - 1))), visit);
                }
            }
        }
        Node::Last(slots) => {
            assert_eq!(height, 1, "I2");
            for (i, chunk) in slots.iter().enumerate() {
                if let Some(chunk) = chunk {
                    visit(base | i, Some(chunk));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
