//! The packed encoding of a hash: field and value by turns in one buffer, deadlines beside them if there are any.
//!
//! ```text
//! pairs   [field][value][field][value]...     oldest field first
//! times   None, or a column of 4 B a field     (times.rs)
//! ```
//! Invariants: I1: the buffer holds an even number of entries, no field twice. I2: the column, if there is one, has a slot for
//! every field and a deadline in at least one.
//!
//! Cost: finding a field is O(n) over at most `hash-max-listpack-entries` fields; a change moves the bytes behind it.

use super::times::Times;
use super::{Entry, is_live};
use crate::collections::packed::{Packed, Spot};
#[cfg(any(test, fuzzing))]
use crate::collections::rules::Rules;

#[derive(Debug, Clone, Default)]
pub(super) struct Small {
    pairs: Packed,
    times: Option<Times>,
}

/// Where a walk stands: the index of the next field, and where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    index: usize,
    spot: Spot,
}

impl Small {
    pub(super) fn len(&self) -> usize {
        self.pairs.len() / 2
    }

    /// The sizes of the allocations.
    pub(super) fn heap_bytes(&self) -> [usize; 2] {
        [self.pairs.heap_bytes(), self.times.as_ref().map_or(0, Times::heap_bytes)]
    }

    pub(super) fn has_times(&self) -> bool {
        self.times.is_some()
    }

    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        self.times.as_ref().and_then(Times::earliest)
    }

    fn deadline_ms(&self, index: usize) -> Option<u64> {
        self.times.as_ref().and_then(|times| times.get(index))
    }

    fn find(&self, field: &[u8]) -> Option<Place> {
        self.pairs.find_every(2, field).map(|(entry, spot)| Place { index: entry / 2, spot })
    }

    pub(super) fn get(&self, field: &[u8]) -> Option<Entry<'_>> {
        self.find(field).and_then(|place| self.read(place)).map(|(entry, _)| entry)
    }

    pub(super) fn nth(&self, index: usize) -> Option<Entry<'_>> {
        self.read(Place { index, spot: self.pairs.seek(2 * index) }).map(|(entry, _)| entry)
    }

    /// Where the first field is.
    pub(super) fn start(&self) -> Place {
        Place { index: 0, spot: self.pairs.first() }
    }

    /// The field here, and where the next one is.
    #[inline]
    pub(super) fn read(&self, place: Place) -> Option<(Entry<'_>, Place)> {
        let (field, after) = self.pairs.read(place.spot)?;
        let (value, spot) = self.pairs.read(after)?;
        let entry = Entry { field, value, deadline_ms: self.deadline_ms(place.index) };
        Some((entry, Place { index: place.index + 1, spot }))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut place = self.start();
        std::iter::from_fn(move || {
            let (entry, next) = self.read(place)?;
            place = next;
            Some(entry)
        })
    }

    /// Gives a field this value and deadline; the deadline that it had, `None` for a new field.
    pub(super) fn put(
        &mut self,
        field: &[u8],
        value: &[u8],
        deadline_ms: Option<u64>,
    ) -> Option<Option<u64>> {
        if let Some(place) = self.find(field) {
            let had = self.deadline_ms(place.index);
            let at = self.pairs.skip(place.spot, 1);
            self.pairs.replace_at(at, value);
            self.set_time(place.index, deadline_ms);
            return Some(had);
        }
        self.pairs.push(field);
        self.pairs.push(value);
        match self.times.take() {
            Some(times) => self.times = times.with_new(deadline_ms),
            None => self.set_time(self.len() - 1, deadline_ms),
        }
        None
    }

    /// Gives a field this deadline; tells whether there is such a field.
    pub(super) fn set_deadline(&mut self, field: &[u8], deadline_ms: Option<u64>) -> bool {
        let Some(place) = self.find(field) else { return false };
        self.set_time(place.index, deadline_ms);
        true
    }

    fn set_time(&mut self, index: usize, deadline_ms: Option<u64>) {
        match self.times.take() {
            Some(times) => self.times = times.with(index, deadline_ms),
            None if deadline_ms.is_some() => {
                let mut deadlines = vec![None; self.len()];
                deadlines[index] = deadline_ms;
                self.times = Times::new(&deadlines);
            }
            None => {}
        }
    }

    /// Takes a field out; the deadline that it had, `None` for a field that was not there.
    pub(super) fn remove(&mut self, field: &[u8]) -> Option<Option<u64>> {
        let place = self.find(field)?;
        let had = self.deadline_ms(place.index);
        self.pairs.remove_at(place.spot, 2);
        self.times = self.times.take().and_then(|times| times.without(place.index));
        Some(had)
    }

    /// Removes up to `budget` fields whose time is over, in one pass; tells how many went.
    pub(super) fn expire(&mut self, now_ms: u64, budget: usize, gone: &mut dyn FnMut(&[u8])) -> usize {
        if is_live(self.next_deadline_ms(), now_ms) {
            return 0;
        }
        let mut kept = Self::default();
        let mut deadlines = Vec::with_capacity(self.len());
        let mut left = budget;
        for entry in self.iter() {
            if left > 0 && !entry.is_live(now_ms) {
                gone(entry.field);
                left -= 1;
            } else {
                kept.pairs.push(entry.field);
                kept.pairs.push(entry.value);
                deadlines.push(entry.deadline_ms);
            }
        }
        kept.times = Times::new(&deadlines);
        *self = kept;
        budget - left
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, rules: &Rules) {
        self.pairs.validate();
        assert!(self.len() <= rules.limits.hash_max_listpack_entries as usize, "I3: few fields");
        assert_eq!(self.pairs.len() % 2, 0, "I1: fields and values come in pairs");
        let fields: Vec<_> = self.iter().map(|entry| entry.field).collect();
        for (index, field) in fields.iter().enumerate() {
            assert!(!fields[..index].contains(field), "I1: no field twice");
        }
        if let Some(times) = &self.times {
            times.validate(self.len());
        }
    }
}
