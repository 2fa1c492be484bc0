//! The member map of a large sorted set: from a member's hash to its score, in segments that split one at a time.
//!
//! ```text
//! segments   0    1    2    3    4        5 segments: hashes by their low 3 bits if that segment is there, else by 2
//!            |
//!            [ - | 07 1.0 | 1c 7.5 | - | 2a 3.0 | ... ]      12 bytes a slot: hash u32, score f64
//!            home of a hash = its share of the slots; entries ascend by hash, with gaps
//! ```
//! Members themselves lie in the order index only. A look-up gives the scores of the members with this hash; the caller tells
//! by the order index which of them is meant (one of them nearly always).
//!
//! Invariants: I1: an entry is in the segment that its low bits choose. I2: in a segment entries ascend by hash, none lies
//! before its home, and no slot between is empty. I3: zero is no hash, it marks an empty slot. I4: `len` counts the entries.
//!
//! Cost: expected O(1); a change copies at most one segment that a capture shares (about 7 KB); growth splits one segment of
//! about a thousand slots at a time. Scan pages are ranges of the reversed hash, which no split or merge reorders.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::collections::cow::radix::{Chunk, RadixVec};
use crate::collections::meter::Meter;

/// Entries of a segment, in the mean, above which one is split.
const SPLIT_MEAN: usize = 512;
/// Entries of a segment, in the mean, below which two are merged.
const MERGE_MEAN: usize = 128;
/// Stands for a hash of zero.
const NO_ZERO: u32 = 0x9e37_79b9;

/// A hash, and the score's two halves; a hash of zero is an empty slot.
type Slot = [u32; 3];
const EMPTY: Slot = [0; 3];

#[inline]
fn slot(hash: u32, score: f64) -> Slot {
    let bits = score.to_bits();
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    [hash, bits as u32, (bits >> 32) as u32]
}

#[inline]
fn score([_, low, high]: Slot) -> f64 {
    f64::from_bits(u64::from(low) | (u64::from(high) << 32))
}

/// The map.
#[derive(Debug, Clone)]
pub(super) struct Members {
    segments: RadixVec<Segment>,
    len: usize,
    seed: u64,
}

#[derive(Debug, Clone)]
struct Segment {
    slots: Vec<Slot>,
    /// Slots that are a home; a few more follow, for those that found theirs taken.
    homes: usize,
    len: usize,
}

impl Chunk for Segment {
    fn heap_bytes(&self, charge: &mut dyn FnMut(usize)) {
        charge(self.slots.capacity() * size_of::<Slot>());
    }
}

#[inline]
fn home(hash: u32, homes: usize) -> usize {
    usize::try_from((u64::from(hash) * homes as u64) >> 32).expect("I2: below `homes`")
}

impl Segment {
    /// A segment of entries that ascend by hash, one fifth empty.
    fn of(entries: impl Iterator<Item = Slot> + Clone) -> Self {
        let len = entries.clone().count();
        let homes = len * 5 / 4 + 4;
        let place = |next: usize, entry: Slot| home(entry[0], homes).max(next);
        let end = entries.clone().fold(0, |next, entry| place(next, entry) + 1);
        let mut slots = vec![EMPTY; end.max(homes) + 2];
        let mut next = 0;
        for entry in entries {
            let at = place(next, entry);
            slots[at] = entry;
            next = at + 1;
        }
        Self { slots, homes, len }
    }

    fn entries(&self) -> impl Iterator<Item = Slot> + Clone + '_ {
        self.slots.iter().copied().filter(|slot| slot[0] != 0)
    }

    /// The slots from a hash's home on that have this hash, with their indices.
    #[inline]
    fn candidates(&self, hash: u32) -> impl Iterator<Item = (usize, Slot)> + '_ {
        let from = home(hash, self.homes);
        let chain = self.slots[from..].iter().take_while(move |slot| slot[0] != 0 && slot[0] <= hash);
        chain
            .enumerate()
            .filter(move |(_, slot)| slot[0] == hash)
            .map(move |(step, slot)| (from + step, *slot))
    }

    fn find(&self, entry: Slot) -> Option<usize> {
        self.candidates(entry[0]).find(|(_, slot)| *slot == entry).map(|(at, _)| at)
    }

    fn insert(&mut self, entry: Slot) {
        if self.len * 8 >= self.homes * 7 || !self.shift_in(entry) {
            let at = self.entries().take_while(|slot| slot[0] < entry[0]).count();
            let before = self.entries().take(at);
            *self = Self::of(before.chain(std::iter::once(entry)).chain(self.entries().skip(at)));
            return;
        }
        self.len += 1;
    }

    /// Puts an entry in its place and those behind it one further, up to the next gap, if there is one.
    fn shift_in(&mut self, entry: Slot) -> bool {
        let from = home(entry[0], self.homes);
        let behind = |slot: &Slot| slot[0] == 0 || slot[0] >= entry[0];
        let Some(at) = self.slots[from..].iter().position(behind).map(|step| from + step) else {
            return false;
        };
        let Some(gap) = self.slots[at..].iter().position(|slot| slot[0] == 0).map(|step| at + step) else {
            return false;
        };
        self.slots.copy_within(at..gap, at + 1);
        self.slots[at] = entry;
        true
    }

    fn remove(&mut self, entry: Slot) -> bool {
        let Some(at) = self.find(entry) else { return false };
        let homes = self.homes;
        let displaced = self.slots[at + 1..].iter().enumerate();
        let moved =
            displaced.take_while(|(step, slot)| slot[0] != 0 && home(slot[0], homes) <= at + step).count();
        self.slots.copy_within(at + 1..at + 1 + moved, at);
        self.slots[at + moved] = EMPTY;
        self.len -= 1;
        if self.len * 2 < self.homes && self.homes > 16 {
            *self = Self::of(self.entries());
        }
        true
    }
}

/// The highest power of two that is no more than `n`, which is not zero.
fn floor_power(n: usize) -> usize {
    1 << n.ilog2()
}

impl Members {
    pub(super) fn new(seed: u64, meter: &mut Meter) -> Self {
        let mut segments = RadixVec::new();
        segments.push(Segment::of(std::iter::empty()), meter);
        Self { segments, len: 0, seed }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low half of the hash")]
    pub(super) fn hash(&self, member: &[u8]) -> u32 {
        match xxh3_64_with_seed(member, self.seed) as u32 {
            0 => NO_ZERO,
            hash => hash,
        }
    }

    #[inline]
    fn segment_of(&self, hash: u32) -> usize {
        let mask = self.segments.len().next_power_of_two() - 1;
        let at = hash as usize & mask;
        if at < self.segments.len() { at } else { at & (mask >> 1) }
    }

    /// The scores of the members with this hash.
    #[inline]
    pub(super) fn scores(&self, hash: u32) -> impl Iterator<Item = f64> + '_ {
        let segment = self.segments.get(self.segment_of(hash)).expect("I1: every hash has a segment");
        segment.candidates(hash).map(|(_, slot)| score(slot))
    }

    pub(super) fn insert(&mut self, hash: u32, score: f64, meter: &mut Meter) {
        let at = self.segment_of(hash);
        self.segments.edit(at, meter, |segment| segment.insert(slot(hash, score)));
        self.len += 1;
        if self.len > self.segments.len() * SPLIT_MEAN {
            self.split(meter);
        }
    }

    /// Takes one entry out that has this hash and score; all such entries are alike.
    pub(super) fn remove(&mut self, hash: u32, score: f64, meter: &mut Meter) {
        let at = self.segment_of(hash);
        let found = self.segments.edit(at, meter, |segment| segment.remove(slot(hash, score)));
        assert_eq!(found, Some(true), "I1: what is in the order index is in the map");
        self.len -= 1;
        if self.segments.len() > 1 && self.len < self.segments.len() * MERGE_MEAN {
            self.merge(meter);
        }
    }

    /// Gives one entry that has this hash and score another score.
    pub(super) fn replace(&mut self, hash: u32, was: f64, now: f64, meter: &mut Meter) {
        let at = self.segment_of(hash);
        let segment = self.segments.get_mut(at, meter).expect("I1: every hash has a segment");
        let place = segment.find(slot(hash, was)).expect("I1: what is in the order index is in the map");
        segment.slots[place] = slot(hash, now);
    }

    fn split(&mut self, meter: &mut Meter) {
        let new = self.segments.len();
        let bit = u32::try_from(floor_power(new)).expect("I1: fewer segments than hashes");
        let source = new - floor_power(new);
        let stays = self.segments.edit(source, meter, |segment| {
            let goes = Segment::of(segment.entries().filter(|slot| slot[0] & bit != 0));
            *segment = Segment::of(segment.entries().filter(|slot| slot[0] & bit == 0));
            goes
        });
        self.segments.push(stays.expect("I1: the segments are without holes"), meter);
    }

    fn merge(&mut self, meter: &mut Meter) {
        let Some(last) = self.segments.pop(meter) else { return };
        let at = self.segments.len() - floor_power(self.segments.len());
        self.segments.edit(at, meter, |segment| {
            let mut entries: Vec<Slot> = segment.entries().chain(last.entries()).collect();
            entries.sort_unstable_by_key(|slot| slot[0]);
            *segment = Segment::of(entries.iter().copied());
        });
    }

    /// A part of a scan: the scores of about `want` entries whose reversed hash is `from` or more, and where the next part
    /// begins (2^32 at the end). Fewer than wanted if the segment ends.
    pub(super) fn page(&self, from: u32, want: usize, scores: &mut Vec<f64>) -> u64 {
        let count = self.segments.len();
        let at = self.segment_of(from.reverse_bits());
        // A segment that was split, or came from a split, is chosen by one bit more than the others.
        let low = floor_power(count);
        let is_split = at >= low || at < count - low;
        let bits = count.ilog2() + u32::from(is_split && count > 1);
        let end = (u64::from(from) | ((1_u64 << (32 - bits)) - 1)) + 1;
        let segment = self.segments.get(at).expect("I1: every hash has a segment");
        let span = (1_u64 << (32 - bits)).saturating_mul(want as u64) / (segment.len.max(1) as u64);
        let next = u64::from(from).saturating_add(span.max(1)).min(end);
        let inside = |slot: &Slot| (u64::from(from)..next).contains(&u64::from(slot[0].reverse_bits()));
        scores.extend(segment.entries().filter(inside).map(score));
        next
    }

    pub(super) fn free_some(&mut self, segments: usize, meter: &mut Meter) -> bool {
        self.segments.free_some(segments, meter)
    }

    /// Checks the invariants, counts what the meter should say, and returns the number of entries.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, meter: &Meter) -> (usize, u64) {
        let mut entries = 0;
        for (at, segment) in self.segments.iter_present() {
            assert_eq!(segment.entries().count(), segment.len, "I4");
            entries += segment.len;
            let mut last = 0;
            for (place, slot) in segment.slots.iter().enumerate().filter(|(_, slot)| slot[0] != 0) {
                assert_eq!(self.segment_of(slot[0]), at, "I1");
                let home = home(slot[0], segment.homes);
                assert!(home <= place && segment.slots[home..place].iter().all(|slot| slot[0] != 0), "I2");
                assert!(last <= slot[0], "I2");
                last = slot[0];
            }
        }
        assert_eq!(entries, self.len, "I4");
        assert_eq!(self.segments.present(), self.segments.len(), "no holes");
        (entries, self.segments.validate(meter.model()))
    }
}
