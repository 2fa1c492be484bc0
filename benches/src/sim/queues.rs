//! Doubly linked lists threaded through arrays indexed by dense key: the memory of every simulated policy.
//!
//! `LISTS` lists share one pair of link arrays, because a key is on at most one list at a time. Each list
//! has a sentinel behind the keys, so linking and unlinking never branch on an end.
//!
//! I1. `list[key]` is the list the key is on, or [`NOWHERE`].
//! I2. `weight_of(list)` is the sum of the weights of the keys on it.
//!
//! Every operation is O(1).

use crate::trace::Access;

/// The mark of a key on no list.
const NOWHERE: u8 = u8::MAX;

/// Several lists over one key space.
pub(super) struct Queues<const LISTS: usize> {
    towards_front: Vec<u32>,
    towards_back: Vec<u32>,
    list: Vec<u8>,
    weight: Vec<u32>,
    deadline_ms: Vec<u64>,
    weight_on: [u64; LISTS],
    keys: usize,
}

impl<const LISTS: usize> Queues<LISTS> {
    /// Empty lists for the keys `0..keys`.
    pub(super) fn new(keys: usize) -> Self {
        let end = u32::try_from(keys + LISTS).expect("dense keys are 32-bit");
        let itself: Vec<u32> = (0..end).collect();
        Self {
            towards_front: itself.clone(),
            towards_back: itself,
            list: vec![NOWHERE; keys],
            weight: vec![0; keys],
            deadline_ms: vec![0; keys],
            weight_on: [0; LISTS],
            keys,
        }
    }

    /// Which list the key is on.
    pub(super) fn list_of(&self, key: u32) -> Option<usize> {
        Some(self.list[key as usize]).filter(|&list| list != NOWHERE).map(usize::from)
    }

    /// Total weight on a list.
    pub(super) fn weight_of(&self, list: usize) -> u64 {
        self.weight_on[list]
    }

    /// Weight the key was pushed with last.
    pub(super) fn weight(&self, key: u32) -> u64 {
        u64::from(self.weight[key as usize])
    }

    /// Puts a key that is on no list at the front, with the access's weight and deadline.
    pub(super) fn push(&mut self, list: usize, access: &Access) {
        self.weight[access.key as usize] = access.size;
        self.deadline_ms[access.key as usize] = access.deadline_ms;
        self.link(list, access.key);
    }

    /// Moves a key from its list to the front of another (or the same).
    pub(super) fn transfer(&mut self, list: usize, key: u32) {
        self.remove(key);
        self.link(list, key);
    }

    /// Takes a key off its list.
    pub(super) fn remove(&mut self, key: u32) {
        let list = usize::from(self.list[key as usize]);
        let (front, back) = (self.towards_front[key as usize], self.towards_back[key as usize]);
        self.towards_back[front as usize] = back;
        self.towards_front[back as usize] = front;
        self.weight_on[list] -= self.weight(key);
        self.list[key as usize] = NOWHERE;
    }

    /// The key at the back of a list.
    pub(super) fn back(&self, list: usize) -> Option<u32> {
        self.key_at(self.towards_front[self.sentinel(list)])
    }

    /// The key before this one, towards the front.
    pub(super) fn before(&self, key: u32) -> Option<u32> {
        self.key_at(self.towards_front[key as usize])
    }

    /// Whether the version that was stored under the key has expired.
    pub(super) fn is_expired(&self, access: &Access) -> bool {
        self.deadline_ms[access.key as usize] <= access.now_ms
    }

    fn link(&mut self, list: usize, key: u32) {
        debug_assert!(self.list[key as usize] == NOWHERE, "I1: on one list at most");
        let sentinel = self.sentinel(list);
        let first = self.towards_back[sentinel];
        self.towards_back[key as usize] = first;
        self.towards_front[key as usize] = u32::try_from(sentinel).expect("checked in new");
        self.towards_front[first as usize] = key;
        self.towards_back[sentinel] = key;
        self.weight_on[list] += self.weight(key);
        self.list[key as usize] = u8::try_from(list).expect("a few lists");
    }

    fn sentinel(&self, list: usize) -> usize {
        self.keys + list
    }

    fn key_at(&self, link: u32) -> Option<u32> {
        ((link as usize) < self.keys).then_some(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(key: u32, size: u32) -> Access {
        Access { key, size, now_ms: 0, deadline_ms: 5 }
    }

    #[test]
    fn order_weights_and_moves() {
        let mut queues = Queues::<2>::new(4);
        for key in 0..3 {
            queues.push(0, &access(key, 10 + key));
        }
        assert_eq!((queues.back(0), queues.before(0), queues.before(2)), (Some(0), Some(1), None));
        assert_eq!((queues.weight_of(0), queues.weight_of(1)), (33, 0));
        queues.transfer(1, 1);
        assert_eq!((queues.list_of(0), queues.list_of(1), queues.list_of(3)), (Some(0), Some(1), None));
        assert_eq!((queues.weight_of(0), queues.weight_of(1)), (22, 11));
        queues.transfer(0, 0);
        assert_eq!(queues.back(0), Some(2));
        queues.remove(2);
        queues.remove(0);
        assert_eq!((queues.back(0), queues.weight_of(0), queues.list_of(0)), (None, 0, None));
        assert_eq!(queues.back(1), Some(1));
    }

    #[test]
    fn a_version_ends_at_its_deadline() {
        let mut queues = Queues::<1>::new(1);
        queues.push(0, &access(0, 1));
        let at = |now_ms| Access { now_ms, ..access(0, 1) };
        assert!(!queues.is_expired(&at(4)));
        assert!(queues.is_expired(&at(5)));
    }
}
