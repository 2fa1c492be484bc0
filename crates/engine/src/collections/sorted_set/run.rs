//! Members in order with their scores, in one block: the small encoding, and the leaf of the large one.
//!
//! ```text
//! [count u16][score width u8][end width u8] [count scores] [count ends] [member bytes, one after another] [spare]
//!                                              -2 17 17       3 8 9       bobalice7
//! ```
//! Whole scores that fit lie in 1, 2, 3 or 4 bytes, all in the width of the widest; one score that does not fit makes all of
//! them 8-byte floats. Ends are 2 bytes while the members' bytes fit in 65,535, else 4.
//!
//! Invariants: I1: entries ascend by (score, member), and no two are equal. I2: the widths hold every score and end; they
//! only grow until the block is built anew. I3: a block is the caller's alone before it is changed.
//!
//! Cost: n entries; search by score O(log n), by member O(n) over the ends, insert and remove one move of the bytes behind.
//! A block grows by an eighth at a time and shrinks when half of it is spare.

use std::ops::Range;
use std::sync::Arc;

use super::range::Edge;
use crate::collections::meter::{ARC_BYTES, Meter};
use crate::memory::AllocatorModel;

const HEAD_BYTES: usize = 4;
/// The width of a score that is kept as a float.
const FLOAT: usize = 8;
/// Spare bytes that a block is given at most.
const SPARE_MAX: usize = 512;
/// What new blocks are copied from.
static ZEROS: [u8; 4_096] = [0; 4_096];

/// A block of entries.
#[derive(Debug, Clone)]
pub(crate) struct Run(Arc<[u8]>);

/// A block as it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    bytes: &'a [u8],
    count: usize,
    score_width: usize,
    end_width: usize,
}

#[inline]
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("I2: a block is as long as its head says")
}

/// The bytes that a score needs: 1 to 4 if it is a whole number of that size, else 8. Minus zero is no whole number.
fn width_of(score: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "it saturates, and the next line compares")]
    let whole = score as i32;
    if f64::from(whole).to_bits() != score.to_bits() {
        return FLOAT;
    }
    match whole {
        -0x80..=0x7f => 1,
        -0x8000..=0x7fff => 2,
        -0x80_0000..=0x7f_ffff => 3,
        _ => 4,
    }
}

fn end_width_of(bytes: usize) -> usize {
    if bytes <= usize::from(u16::MAX) { 2 } else { 4 }
}

fn write_score(place: &mut [u8], score: f64) {
    if place.len() == FLOAT {
        place.copy_from_slice(&score.to_le_bytes());
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "I2: a whole number within 32 bits")]
        let whole = (score as i32).to_le_bytes();
        place.copy_from_slice(&whole[..place.len()]);
    }
}

fn write_end(place: &mut [u8], end: usize) {
    let end = u32::try_from(end).expect("I2: the members of a block have less than 4 GiB");
    place.copy_from_slice(&end.to_le_bytes()[..place.len()]);
}

/// The length of a block for this many bytes: an eighth more, and as much as the allocator rounds up to anyway.
fn capacity(bytes: usize) -> usize {
    (bytes + (bytes / 8).min(SPARE_MAX) + 8).next_multiple_of(16) - 8
}

fn zeroed(bytes: usize) -> Arc<[u8]> {
    match ZEROS.get(..bytes) {
        Some(zeros) => Arc::from(zeros),
        None => Arc::from(vec![0; bytes]),
    }
}

impl<'a> View<'a> {
    #[inline]
    pub(super) fn len(self) -> usize {
        self.count
    }

    /// The bytes of all members.
    #[inline]
    pub(super) fn member_bytes(self) -> usize {
        self.start(self.count)
    }

    #[inline]
    fn ends_at(self) -> usize {
        HEAD_BYTES + self.count * self.score_width
    }

    #[inline]
    fn members_at(self) -> usize {
        self.ends_at() + self.count * self.end_width
    }

    fn total(self) -> usize {
        self.members_at() + self.member_bytes()
    }

    #[inline]
    pub(super) fn score(self, index: usize) -> f64 {
        let at = HEAD_BYTES + index * self.score_width;
        let bytes = self.bytes;
        match self.score_width {
            FLOAT => f64::from_le_bytes(array(bytes, at)),
            4 => f64::from(i32::from_le_bytes(array(bytes, at))),
            3 => f64::from(i32::from_le_bytes([0, bytes[at], bytes[at + 1], bytes[at + 2]]) >> 8),
            2 => f64::from(i16::from_le_bytes(array(bytes, at))),
            _ => f64::from(i8::from_le_bytes(array(bytes, at))),
        }
    }

    /// Where the member of `index` begins among the members' bytes, which is where the one before it ends.
    #[inline]
    fn start(self, index: usize) -> usize {
        let Some(before) = index.checked_sub(1) else { return 0 };
        let at = self.ends_at() + before * self.end_width;
        if self.end_width == 2 {
            usize::from(u16::from_le_bytes(array(self.bytes, at)))
        } else {
            usize::try_from(u32::from_le_bytes(array(self.bytes, at))).expect("I2: within the block")
        }
    }

    #[inline]
    pub(super) fn member(self, index: usize) -> &'a [u8] {
        let base = self.members_at();
        &self.bytes[base + self.start(index)..base + self.start(index + 1)]
    }

    pub(super) fn entries(
        self,
        range: Range<usize>,
    ) -> impl DoubleEndedIterator<Item = (f64, &'a [u8])> + Clone + 'a {
        range.map(move |index| (self.score(index), self.member(index)))
    }

    /// How many entries lie before the edge.
    #[inline]
    pub(super) fn position(self, edge: Edge<'_>) -> usize {
        let member = |index| self.member(index);
        if self.score_width == FLOAT {
            let scores = &self.bytes[HEAD_BYTES..self.ends_at()];
            return edge.partition(
                self.count,
                |index| f64::from_le_bytes(array(scores, index * FLOAT)),
                member,
            );
        }
        edge.partition(self.count, |index| self.score(index), member)
    }

    /// Where a member is, whatever its score; O(n).
    pub(super) fn find(self, member: &[u8]) -> Option<usize> {
        let base = self.members_at();
        let mut start = 0;
        for index in 0..self.count {
            let end = self.start(index + 1);
            if end - start == member.len() && self.bytes[base + start..base + end] == *member {
                return Some(index);
            }
            start = end;
        }
        None
    }
}

impl Run {
    pub(super) fn new() -> Self {
        Self::collect(std::iter::empty())
    }

    /// A block of these entries, which ascend.
    pub(super) fn collect<'a>(entries: impl Iterator<Item = (f64, &'a [u8])> + Clone) -> Self {
        let (mut count, mut bytes, mut score_width) = (0, 0, 1);
        for (score, member) in entries.clone() {
            count += 1;
            bytes += member.len();
            score_width = width_of(score).max(score_width);
        }
        let end_width = end_width_of(bytes);
        let mut block = zeroed(capacity(HEAD_BYTES + count * (score_width + end_width) + bytes));
        let place = Arc::get_mut(&mut block).expect("I3: nobody else has a block just made");
        write_head(place, count, score_width, end_width);
        let (scores, rest) = place[HEAD_BYTES..].split_at_mut(count * score_width);
        let (ends, members) = rest.split_at_mut(count * end_width);
        let mut end = 0;
        let places = scores.chunks_exact_mut(score_width).zip(ends.chunks_exact_mut(end_width));
        for ((score, member), (score_place, end_place)) in entries.zip(places) {
            write_score(score_place, score);
            members[end..end + member.len()].copy_from_slice(member);
            end += member.len();
            write_end(end_place, end);
        }
        Self(block)
    }

    #[inline]
    pub(super) fn view(&self) -> View<'_> {
        let bytes = &*self.0;
        View {
            bytes,
            count: usize::from(u16::from_le_bytes(array(bytes, 0))),
            score_width: usize::from(bytes[2]),
            end_width: usize::from(bytes[3]),
        }
    }

    /// What the allocator is asked for.
    #[inline]
    pub(super) fn allocated(&self) -> usize {
        ARC_BYTES + self.0.len()
    }

    pub(super) fn charged(&self, model: AllocatorModel) -> u64 {
        model.charge(self.allocated())
    }

    /// Puts an entry before the one at `at`.
    pub(super) fn insert(&mut self, at: usize, score: f64, member: &[u8]) {
        let view = self.view();
        let bytes = view.member_bytes();
        if view.count == 0
            || width_of(score) > view.score_width
            || end_width_of(bytes + member.len()) > view.end_width
        {
            let before = view.entries(0..at);
            let behind = view.entries(at..view.count);
            *self = Self::collect(before.chain(std::iter::once((score, member))).chain(behind));
            return;
        }
        let (count, start) = (view.count, view.start(at));
        let (ends_at, members_at) = (view.ends_at(), view.members_at());
        let (score_width, end_width) = (view.score_width, view.end_width);
        let (total, entry) = (view.total(), score_width + end_width);
        if total + entry + member.len() > self.0.len() {
            self.resize(capacity(total + entry + member.len()), total);
        }
        let block = Arc::make_mut(&mut self.0);
        // From behind, so that nothing is overwritten before it has moved.
        block.copy_within(members_at + start..total, members_at + start + entry + member.len());
        block.copy_within(members_at..members_at + start, members_at + entry);
        block.copy_within(ends_at + at * end_width..members_at, ends_at + score_width + (at + 1) * end_width);
        block.copy_within(ends_at..ends_at + at * end_width, ends_at + score_width);
        block.copy_within(HEAD_BYTES + at * score_width..ends_at, HEAD_BYTES + (at + 1) * score_width);
        write_head(block, count + 1, score_width, end_width);
        write_score(&mut block[HEAD_BYTES + at * score_width..][..score_width], score);
        let ends = &mut block[ends_at + score_width..][..(count + 1) * end_width];
        write_end(&mut ends[at * end_width..][..end_width], start + member.len());
        shift_ends(&mut ends[(at + 1) * end_width..], end_width, |end| end + member.len());
        block[members_at + entry + start..][..member.len()].copy_from_slice(member);
    }

    /// Takes the entry at `at` out.
    pub(super) fn remove(&mut self, at: usize) {
        let view = self.view();
        let (count, start, end) = (view.count, view.start(at), view.start(at + 1));
        let (ends_at, members_at, total) = (view.ends_at(), view.members_at(), view.total());
        let (score_width, end_width) = (view.score_width, view.end_width);
        let entry = score_width + end_width;
        let block = Arc::make_mut(&mut self.0);
        let ends = &mut block[ends_at..members_at];
        shift_ends(&mut ends[(at + 1) * end_width..], end_width, |later| later - (end - start));
        block.copy_within(
            HEAD_BYTES + (at + 1) * score_width..ends_at + at * end_width,
            HEAD_BYTES + at * score_width,
        );
        block.copy_within(
            ends_at + (at + 1) * end_width..members_at + start,
            ends_at - score_width + at * end_width,
        );
        block.copy_within(members_at + end..total, members_at - entry + start);
        write_head(block, count - 1, score_width, end_width);
        let total = total - entry - (end - start);
        if self.0.len() > 2 * total + 64 {
            self.resize(capacity(total), total);
        }
    }

    /// Gives the entry at `at` another score that belongs in the same place.
    pub(super) fn set_score(&mut self, at: usize, score: f64) {
        let view = self.view();
        if width_of(score) > view.score_width {
            let entries = view.entries(0..view.count).enumerate();
            *self = Self::collect(
                entries.map(|(index, (old, member))| (if index == at { score } else { old }, member)),
            );
            return;
        }
        let width = view.score_width;
        let block = Arc::make_mut(&mut self.0);
        write_score(&mut block[HEAD_BYTES + at * width..][..width], score);
    }

    /// Another block of `bytes` bytes with the same first `total`.
    fn resize(&mut self, bytes: usize, total: usize) {
        let mut block = zeroed(bytes);
        let place = Arc::get_mut(&mut block).expect("I3: nobody else has a block just made");
        place[..total].copy_from_slice(&self.0[..total]);
        self.0 = block;
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        let view = self.view();
        assert!(view.total() <= self.0.len(), "I2");
        assert!(self.0.len() <= 2 * view.total() + 64 + SPARE_MAX, "no more than half is spare");
        let entries: Vec<_> = view.entries(0..view.count).collect();
        assert!(entries.iter().all(|(score, _)| width_of(*score) <= view.score_width), "I2");
        assert!(
            entries
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0 || (pair[0].0 == pair[1].0 && pair[0].1 < pair[1].1)),
            "I1"
        );
    }
}

/// Runs a change of a block and tells the meter what it did to its allocation.
pub(super) fn metered<R>(run: &mut Run, meter: &mut Meter, change: impl FnOnce(&mut Run) -> R) -> R {
    let was = run.allocated();
    let result = change(run);
    meter.resize(was, run.allocated());
    result
}

fn write_head(block: &mut [u8], count: usize, score_width: usize, end_width: usize) {
    let count = u16::try_from(count).expect("I2: a block has at most 65,535 entries");
    block[..2].copy_from_slice(&count.to_le_bytes());
    block[2] = u8::try_from(score_width).expect("I2: a width is at most 8");
    block[3] = u8::try_from(end_width).expect("I2: a width is at most 8");
}

/// Changes every end.
fn shift_ends(ends: &mut [u8], width: usize, shift: impl Fn(usize) -> usize) {
    if width == 2 {
        for place in ends.chunks_exact_mut(2) {
            let end = usize::from(u16::from_le_bytes([place[0], place[1]]));
            #[expect(clippy::cast_possible_truncation, reason = "I2: the ends of this width fit")]
            place.copy_from_slice(&(shift(end) as u16).to_le_bytes());
        }
    } else {
        for place in ends.chunks_exact_mut(4) {
            let end = usize::try_from(u32::from_le_bytes(array(place, 0))).expect("I2: within the block");
            write_end(place, shift(end));
        }
    }
}
