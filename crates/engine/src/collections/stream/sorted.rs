//! Records in the order of a mark: a copy-on-write tree of short sorted runs.
//!
//! ```text
//! Tree<Run<R>>, by mark:  [r r r r ..] [r r ..] ..        about 2 KiB a run, plain data
//! ```
//! Invariants: I1: marks ascend, within a run and across runs, and none comes twice. I2: no run is empty or longer than
//! [`Run::MOST`].
//!
//! Costs, n records: every operation on one record O(log n) and at most one copy of a run; a run of records that fits
//! between two others O(log n) for each 2 KiB; clone O(1).

use std::fmt::Debug;

use super::super::cow::tree::{Leaf, Tree};
use crate::memory::AllocatorModel;

/// About how many bytes a run may have.
const RUN_BYTES: usize = 2_048;

pub(super) trait Record: Clone {
    type Mark: Copy + Ord + Debug;

    fn mark(&self) -> Self::Mark;

    /// Names the size of every allocation that it owns.
    fn heap_bytes(&self, _charge: &mut dyn FnMut(usize)) {}
}

#[derive(Debug, Clone)]
pub(super) struct Run<R>(Vec<R>);

impl<R: Record> Run<R> {
    const MOST: usize = {
        let fit = RUN_BYTES / size_of::<R>();
        if fit < 8 { 8 } else { fit }
    };

    fn search(&self, mark: R::Mark) -> Result<usize, usize> {
        self.0.binary_search_by(|record| record.mark().cmp(&mark))
    }

    fn insert(&mut self, at: usize, record: R) {
        let len = self.0.len();
        if len == self.0.capacity() {
            self.0.reserve_exact(len.clamp(2, Self::MOST / 2).min(Self::MOST - len));
        }
        self.0.insert(at, record);
    }

    fn give_back(&mut self) {
        if self.0.capacity() > 2 * self.0.len() + 4 {
            self.0.shrink_to(self.0.len() + 2);
        }
    }
}

impl<R: Record> Leaf for Run<R> {
    type Mark = R::Mark;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn mark(&self) -> R::Mark {
        self.0[0].mark()
    }

    fn heap_bytes(&self, charge: &mut dyn FnMut(usize)) {
        charge(self.0.capacity() * size_of::<R>());
        for record in &self.0 {
            record.heap_bytes(charge);
        }
    }
}

#[derive(Debug)]
pub(super) struct Sorted<R: Record> {
    runs: Tree<Run<R>>,
}

impl<R: Record> Clone for Sorted<R> {
    fn clone(&self) -> Self {
        Self { runs: self.runs.clone() }
    }
}

impl<R: Record> Sorted<R> {
    pub(super) fn new(model: AllocatorModel) -> Self {
        Self { runs: Tree::new(model) }
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn charged(&self) -> u64 {
        self.runs.charged()
    }

    pub(super) fn first(&self) -> Option<&R> {
        self.runs.first()?.0.first()
    }

    pub(super) fn last(&self) -> Option<&R> {
        self.runs.last()?.0.last()
    }

    pub(super) fn get(&self, mark: R::Mark) -> Option<&R> {
        let run = self.runs.leaf(self.runs.seek(mark)?)?;
        run.search(mark).ok().map(|at| &run.0[at])
    }

    /// The records from this mark on.
    pub(super) fn from(&self, mark: R::Mark) -> impl Iterator<Item = &R> {
        let start = self.runs.seek(mark).unwrap_or(0);
        let records = self.runs.leaves(start..usize::MAX).flat_map(|run| run.0.iter());
        records.skip_while(move |record| record.mark() < mark)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn iter(&self) -> impl Iterator<Item = &R> {
        self.runs.leaves(0..usize::MAX).flat_map(|run| run.0.iter())
    }

    /// Puts a record in; one with the same mark gives way to it.
    pub(super) fn put(&mut self, record: R) {
        let mark = record.mark();
        let Some(number) = self.runs.seek(mark).or_else(|| self.runs.first().map(|_| 0)) else {
            self.runs.push_back(Run(vec![record]));
            return;
        };
        let run = self.runs.leaf(number).expect("I2: a run that was just found");
        let (len, place) = (run.0.len(), run.search(mark));
        match place {
            Ok(at) => self.runs.edit(number, |run| run.0[at] = record),
            Err(at) if len < Run::<R>::MOST => self.runs.edit(number, |run| run.insert(at, record)),
            Err(at) if at == len => self.runs.insert(number + 1, Run(vec![record])),
            Err(at) => self.split_and_insert(number, at, record),
        }
    }

    /// The full run becomes two. What is inserted near the end tends to be followed by more, so the cut lies there.
    fn split_and_insert(&mut self, number: usize, at: usize, record: R) {
        let most = Run::<R>::MOST;
        let cut = if at > most / 4 * 3 { at } else { most / 2 };
        let right = self.runs.edit(number, |run| {
            let mut right = run.0.split_off(cut);
            run.0.shrink_to(cut + 1);
            if at <= cut {
                run.insert(at, record);
            } else {
                right.insert(at - cut, record);
            }
            right
        });
        self.runs.insert(number + 1, Run(right));
    }

    /// Puts many records in, in ascending order.
    pub(super) fn put_all(&mut self, records: Vec<R>) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        let (low, high) = (first.mark(), last.mark());
        let between = self.from(low).next().is_none_or(|after| after.mark() > high);
        if records.len() < 4 || !between {
            for record in records {
                self.put(record);
            }
            return;
        }
        let mut number = self.cut_at(low);
        if let Some(left) = number.checked_sub(1) {
            let room = self.runs.leaf(left).map_or(0, |run| Run::<R>::MOST - run.0.len());
            if room > 0 {
                let head = records.len().min(room);
                self.runs.edit(left, |run| {
                    run.0.reserve_exact(head);
                    run.0.extend_from_slice(&records[..head]);
                });
                self.put_runs(&mut number, &records[head..]);
                return;
            }
        }
        self.put_runs(&mut number, &records);
    }

    fn put_runs(&mut self, number: &mut usize, records: &[R]) {
        for chunk in records.chunks(Run::<R>::MOST) {
            self.runs.insert(*number, Run(chunk.to_vec()));
            *number += 1;
        }
    }

    /// Makes a run begin at the first record from this mark on; returns its number.
    fn cut_at(&mut self, mark: R::Mark) -> usize {
        let Some(number) = self.runs.seek(mark) else { return 0 };
        let run = self.runs.leaf(number).expect("I2: a run that was just found");
        let at = run.search(mark).unwrap_or_else(|at| at);
        if at == run.0.len() {
            return number + 1;
        }
        if at == 0 {
            return number;
        }
        let right = self.runs.edit(number, |run| {
            let right = run.0.split_off(at);
            run.0.shrink_to_fit();
            right
        });
        self.runs.insert(number + 1, Run(right));
        number + 1
    }

    /// Changes a record, not its mark; `None` if it is not there.
    pub(super) fn update<T>(&mut self, mark: R::Mark, change: impl FnOnce(&mut R) -> T) -> Option<T> {
        let number = self.runs.seek(mark)?;
        let at = self.runs.leaf(number)?.search(mark).ok()?;
        Some(self.runs.edit(number, |run| change(&mut run.0[at])))
    }

    pub(super) fn remove(&mut self, mark: R::Mark) -> Option<R> {
        let number = self.runs.seek(mark)?;
        let at = self.runs.leaf(number)?.search(mark).ok()?;
        let (record, len) = self.runs.edit(number, |run| {
            let record = run.0.remove(at);
            run.give_back();
            (record, run.0.len())
        });
        if len > 0 {
            self.merge(number, len);
        }
        Some(record)
    }

    /// Joins a run that has become short with a neighbour, if both stay well below a full one.
    fn merge(&mut self, number: usize, len: usize) {
        let most = Run::<R>::MOST;
        if len > most / 4 {
            return;
        }
        let fits = |other: Option<&Run<R>>| other.is_some_and(|other| other.0.len() + len <= most / 4 * 3);
        let left = if fits(self.runs.leaf(number + 1)) {
            number
        } else if number > 0 && fits(self.runs.leaf(number - 1)) {
            number - 1
        } else {
            return;
        };
        let right = self.runs.remove(left + 1);
        self.runs.edit(left, |run| {
            run.0.reserve_exact(right.0.len());
            run.0.extend_from_slice(&right.0);
        });
    }

    /// Keeps the records that `keeps` says, run by run.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&R) -> bool) {
        let mut number = 0;
        while let Some(run) = self.runs.leaf(number) {
            if run.0.iter().all(&mut keeps) {
                number += 1;
                continue;
            }
            let left = self.runs.edit(number, |run| {
                run.0.retain(&mut keeps);
                run.give_back();
                run.0.len()
            });
            number += usize::from(left > 0);
        }
    }

    /// Takes out the records from `low` to before `high`.
    pub(super) fn remove_range(&mut self, low: R::Mark, high: R::Mark) {
        let (start, end) = (self.cut_at(low), self.cut_at(high));
        for number in (start..end).rev() {
            self.runs.remove(number);
        }
    }

    pub(super) fn free_some(&mut self, nodes: usize) -> bool {
        self.runs.free_some(nodes)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        self.runs.validate();
        for run in self.runs.leaves(0..usize::MAX) {
            assert!((1..=Run::<R>::MOST).contains(&run.0.len()), "I2: a run's length");
        }
        assert!(self.iter().map(Record::mark).is_sorted_by(|a, b| a < b), "I1: marks ascend");
    }
}
