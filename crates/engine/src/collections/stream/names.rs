//! Values by name, in the order of the names' bytes: a copy-on-write tree searched by halves.
//!
//! ```text
//! Tree<Shelf>, by position:  [("a", v) ("b", v)] [("c", v) ..] ..       16 to a shelf at most
//! ```
//! Invariants: I1: names ascend, within a shelf and across shelves, and none comes twice. I2: no shelf is empty or longer
//! than [`SHELF_MOST`].
//!
//! Costs, n names: find O(log² n), insert and remove besides one copy of a shelf; clone O(1). What a value owns is not
//! charged here, the names are.

use std::cmp::Ordering;
use std::sync::Arc;

use super::super::cow::tree::{Leaf, Tree};
use crate::collections::meter::ARC_BYTES;
use crate::memory::AllocatorModel;

const SHELF_MOST: usize = 16;

#[derive(Debug, Clone)]
struct Shelf<V>(Vec<(Arc<[u8]>, V)>);

impl<V: Clone> Leaf for Shelf<V> {
    type Mark = ();

    fn len(&self) -> usize {
        self.0.len()
    }

    fn mark(&self) {}

    fn heap_bytes(&self, charge: &mut dyn FnMut(usize)) {
        charge(self.0.capacity() * size_of::<(Arc<[u8]>, V)>());
        for (name, _) in &self.0 {
            // An `Arc`'s block is a whole number of its counters.
            charge((ARC_BYTES + name.len()).next_multiple_of(size_of::<usize>()));
        }
    }
}

#[derive(Debug)]
pub(super) struct Names<V: Clone> {
    shelves: Tree<Shelf<V>>,
}

impl<V: Clone> Clone for Names<V> {
    fn clone(&self) -> Self {
        Self { shelves: self.shelves.clone() }
    }
}

impl<V: Clone> Names<V> {
    pub(super) fn new(model: AllocatorModel) -> Self {
        Self { shelves: Tree::new(model) }
    }

    pub(super) fn len(&self) -> usize {
        self.shelves.len()
    }

    pub(super) fn charged(&self) -> u64 {
        self.shelves.charged()
    }

    /// The shelf and the place in it, or where the name would be.
    fn search(&self, name: &[u8]) -> Result<(usize, usize), (usize, usize)> {
        let (mut low, mut high) = (0, self.shelves.leaf_count());
        while low < high {
            let middle = low.midpoint(high);
            let shelf = self.shelves.leaf(middle).expect("I2: a number below the count");
            if *shelf.0[0].0 <= *name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let number = low.saturating_sub(1);
        let shelf = self.shelves.leaf(number).ok_or((0, 0))?;
        let place = shelf.0.binary_search_by(|(other, _)| Ord::cmp(&**other, name));
        place.map(|at| (number, at)).map_err(|at| (number, at))
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&V> {
        let (number, at) = self.search(name).ok()?;
        self.shelves.leaf(number).map(|shelf| &shelf.0[at].1)
    }

    /// Names and values, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<[u8]>, &V)> {
        self.shelves.leaves(0..usize::MAX).flat_map(|shelf| shelf.0.iter().map(|(name, value)| (name, value)))
    }

    /// Puts a name in that is not there.
    pub(super) fn insert(&mut self, name: Arc<[u8]>, value: V) {
        let Err((number, at)) = self.search(&name) else { panic!("I1: the caller looked for the name") };
        let Some(len) = self.shelves.leaf(number).map(Leaf::len) else {
            self.shelves.push_back(Shelf(vec![(name, value)]));
            return;
        };
        if len < SHELF_MOST {
            self.shelves.edit(number, |shelf| {
                shelf.0.reserve_exact(1);
                shelf.0.insert(at, (name, value));
            });
        } else if at == len {
            self.shelves.insert(number + 1, Shelf(vec![(name, value)]));
        } else {
            let right = self.shelves.edit(number, |shelf| {
                let mut right = shelf.0.split_off(SHELF_MOST / 2);
                let (half, at) = match at.cmp(&(SHELF_MOST / 2)) {
                    Ordering::Less => (&mut shelf.0, at),
                    _ => (&mut right, at - SHELF_MOST / 2),
                };
                half.insert(at, (name, value));
                shelf.0.shrink_to_fit();
                right
            });
            self.shelves.insert(number + 1, Shelf(right));
        }
    }

    pub(super) fn update<T>(&mut self, name: &[u8], change: impl FnOnce(&mut V) -> T) -> Option<T> {
        let (number, at) = self.search(name).ok()?;
        Some(self.shelves.edit(number, |shelf| change(&mut shelf.0[at].1)))
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<V> {
        let (number, at) = self.search(name).ok()?;
        let (value, len) = self.shelves.edit(number, |shelf| {
            let (_, value) = shelf.0.remove(at);
            shelf.0.shrink_to_fit();
            (value, shelf.0.len())
        });
        let neighbour = self.shelves.leaf(number + 1).map_or(SHELF_MOST, Leaf::len);
        if len > 0 && len + neighbour <= SHELF_MOST / 2 {
            let right = self.shelves.remove(number + 1);
            self.shelves.edit(number, |shelf| {
                shelf.0.reserve_exact(right.0.len());
                shelf.0.extend_from_slice(&right.0);
            });
        }
        Some(value)
    }

    /// The last name and its value, to change it.
    pub(super) fn update_last<T>(&mut self, change: impl FnOnce(&mut V) -> T) -> Option<T> {
        let number = self.shelves.leaf_count().checked_sub(1)?;
        self.shelves.edit(number, |shelf| shelf.0.last_mut().map(|(_, value)| change(value)))
    }

    pub(super) fn pop(&mut self) {
        if let Some(number) = self.shelves.leaf_count().checked_sub(1) {
            self.shelves.edit(number, |shelf| shelf.0.pop());
        }
    }

    pub(super) fn free_some(&mut self, nodes: usize) -> bool {
        self.shelves.free_some(nodes)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        self.shelves.validate();
        for shelf in self.shelves.leaves(0..usize::MAX) {
            assert!((1..=SHELF_MOST).contains(&shelf.0.len()), "I2: a shelf's length");
        }
        assert!(self.iter().map(|(name, _)| name).is_sorted_by(|a, b| a < b), "I1: names ascend");
    }
}
