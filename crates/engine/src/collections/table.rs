//! A hash table in segments of plain data: the large encoding of sets and hashes.
//!
//! ```text
//! hash of a key   [ .. | 16 bits for the slot | segment bits ]     low bits first: linear hashing
//! segments        0 1 2 3 | 4 5        six segments: 0 and 1 were split by the third bit, 2 and 3 come next
//! order           the hash with its bits reversed: a segment is a range of it, its slots ascend by it
//! ```
//! Segments are split one at a time, in turn, when the table has more than [`SEGMENT_ENTRIES`] entries or
//! [`SEGMENT_BYTES`] bytes a segment, and put together again, last first, at half of that. So no insert moves more than
//! one segment, and a write after a capture copies one segment. A scan's cursor is a place in the order, which no split
//! or merge changes.
//!
//! Invariants: I1: an entry lies in the segment that the low bits of its hash name, at the slot hash that the next sixteen
//! give. I2: `len`, `live` and `timed` are sums over the segments. I3: no segment has more entries than `longest`. I4: no
//! deadline lies before `soonest_ms`. I5: there is a segment, and its number has no holes.
//!
//! Cost: find one window of slots and, nearly always, one record; insert and remove that and a move of at most a few KiB,
//! sometimes a split (some 10 us); capture O(1); random O(1) expected; scan O(count). Keys whose hashes are all equal share
//! a segment that cannot be split: it stays right and grows slow, and its owner's seed is what keeps it from happening.
//!
//! It does not look at the clock and knows nothing of small encodings.

mod record;
mod segment;

#[cfg(test)]
mod tests;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::collections::cow::radix::RadixVec;
use crate::collections::meter::Meter;
use crate::memory::AllocatorModel;
use crate::random::Random;
pub(crate) use record::{Entry, Shape};
use segment::Segment;

/// Entries a segment, on average.
const SEGMENT_ENTRIES: usize = 256;
/// Bytes of arena a segment, on average, at most.
const SEGMENT_BYTES: usize = 24 * 1024;
/// Draws of a random entry before the segments are counted.
const TRIES: usize = 64;
/// A scan's cursor is the place in the order without its last bits.
const CURSOR_SHIFT: u32 = 16;

/// The table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    segments: RadixVec<Segment>,
    meter: Meter,
    seed: u64,
    len: usize,
    live: usize,
    timed: usize,
    longest: usize,
    soonest_ms: u64,
    shape: Shape,
    #[cfg(test)]
    hash_mask: u64,
}

/// How far a walk over the entries has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Position {
    segment: usize,
    slot: usize,
}

/// Where the entries of a hash lie.
#[derive(Debug, Clone, Copy)]
struct Home {
    segment: usize,
    /// How many bits of the hash name the segment.
    depth: u32,
}

impl Table {
    pub(crate) fn new(shape: Shape, seed: u64, model: AllocatorModel) -> Self {
        let (mut segments, mut meter) = (RadixVec::new(), Meter::new(model));
        segments.push(Segment::new(), &mut meter);
        Self {
            segments,
            meter,
            seed,
            len: 0,
            live: 0,
            timed: 0,
            longest: 0,
            soonest_ms: u64::MAX,
            shape,
            #[cfg(test)]
            hash_mask: u64::MAX,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether both are one capture's table, unchanged since.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.segments.is_same(&other.segments)
    }

    /// Entries that have a deadline.
    pub(crate) fn timed(&self) -> usize {
        self.timed
    }

    /// What its allocations cost, its own size apart.
    pub(crate) fn charged(&self) -> u64 {
        self.meter.bytes()
    }

    /// A time before which no entry expires; `None` if none ever does. It may be earlier than the earliest deadline:
    /// [`expire`](Self::expire) makes it exact.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        (self.timed > 0).then_some(self.soonest_ms)
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        let hash = xxh3_64_with_seed(key, self.seed);
        #[cfg(test)]
        let hash = hash & self.hash_mask;
        hash
    }

    #[inline]
    fn home(&self, hash: u64) -> Home {
        let count = self.segments.len();
        let level = count.ilog2();
        let low =
            |bits: u32| usize::try_from(hash & ((1 << bits) - 1)).expect("I1: fewer bits than segments");
        if low(level) < count - (1 << level) {
            return Home { segment: low(level + 1), depth: level + 1 };
        }
        Home { segment: low(level), depth: level }
    }

    #[inline]
    fn segment(&self, index: usize) -> &Segment {
        self.segments.get(index).expect("I5: there are no holes")
    }

    /// Where a key lies, or where it would.
    #[inline]
    fn find(&self, key: &[u8]) -> (Home, u16, Result<usize, usize>) {
        let hash = self.hash(key);
        let home = self.home(hash);
        let slot_hash = slot_hash(hash, home.depth);
        (home, slot_hash, self.segment(home.segment).find(slot_hash, key, self.shape))
    }

    #[inline]
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.find(key).2.is_ok()
    }

    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<Entry<'_>> {
        let (home, _, found) = self.find(key);
        Some(self.segment(home.segment).entry(found.ok()?, self.shape))
    }

    /// Adds a key to a table of keys; `false` if it was there.
    pub(crate) fn add(&mut self, key: &[u8]) -> bool {
        debug_assert_eq!(self.shape, Shape::Keys);
        let (home, slot_hash, found) = self.find(key);
        let Err(slot) = found else { return false };
        self.insert_at(home, slot, slot_hash, Entry { key, value: &[], deadline_ms: None });
        true
    }

    /// Gives a key this value and deadline; `true` if the key is new.
    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8], deadline_ms: Option<u64>) -> bool {
        debug_assert_eq!(self.shape, Shape::Pairs);
        let entry = Entry { key, value, deadline_ms };
        let (home, slot_hash, found) = self.find(key);
        match found {
            Ok(slot) => self.replace_at(home, slot, entry),
            Err(slot) => self.insert_at(home, slot, slot_hash, entry),
        }
        found.is_err()
    }

    /// Gives a key this deadline, or none, and leaves its value; `false` if it is not there.
    pub(crate) fn set_deadline(&mut self, key: &[u8], deadline_ms: Option<u64>) -> bool {
        let (home, _, Ok(slot)) = self.find(key) else { return false };
        let was = self.segment(home.segment).entry(slot, self.shape);
        if was.deadline_ms != deadline_ms {
            let value = was.value.to_vec();
            self.replace_at(home, slot, Entry { key, value: &value, deadline_ms });
        }
        true
    }

    fn insert_at(&mut self, home: Home, slot: usize, slot_hash: u16, entry: Entry<'_>) {
        let segment = self.segments.get_mut(home.segment, &mut self.meter).expect("I5: it was just read");
        let live = segment.live();
        segment.insert(slot, slot_hash, entry, self.shape, &mut self.meter);
        self.live += segment.live() - live;
        self.longest = self.longest.max(segment.len());
        self.len += 1;
        self.timed += usize::from(entry.deadline_ms.is_some());
        self.soonest_ms = self.soonest_ms.min(entry.deadline_ms.unwrap_or(u64::MAX));
        if !fits(self.len, self.live, self.segments.len()) {
            self.split_next();
        }
    }

    fn replace_at(&mut self, home: Home, slot: usize, entry: Entry<'_>) {
        let segment = self.segments.get_mut(home.segment, &mut self.meter).expect("I5: it was just read");
        let live = segment.live();
        self.timed -= usize::from(segment.entry(slot, self.shape).deadline_ms.is_some());
        self.timed += usize::from(entry.deadline_ms.is_some());
        segment.replace(slot, entry, self.shape, &mut self.meter);
        self.live = self.live - live + segment.live();
        self.soonest_ms = self.soonest_ms.min(entry.deadline_ms.unwrap_or(u64::MAX));
        if !fits(self.len, self.live, self.segments.len()) {
            self.split_next();
        }
    }

    /// Takes a key out; `false` if it was not there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let (home, _, Ok(slot)) = self.find(key) else { return false };
        let segment = self.segments.get_mut(home.segment, &mut self.meter).expect("I5: it was just read");
        let live = segment.live();
        self.timed -= usize::from(segment.entry(slot, self.shape).deadline_ms.is_some());
        segment.remove(slot, self.shape, &mut self.meter);
        self.live -= live - segment.live();
        self.len -= 1;
        self.merge_last();
        true
    }

    /// Takes out up to `limit` entries whose deadline is not after `now_ms`, and tells each; the number of them. Less than
    /// `limit` means that all are gone, and that [`next_deadline_ms`](Self::next_deadline_ms) is exact.
    pub(crate) fn expire(&mut self, now_ms: u64, limit: usize, gone: &mut dyn FnMut(Entry<'_>)) -> usize {
        let before = self.len;
        if self.timed == 0 || self.soonest_ms > now_ms {
            return 0;
        }
        let mut soonest_ms = u64::MAX;
        for index in 0..self.segments.len() {
            if self.segment(index).soonest_ms() <= now_ms {
                let left = limit - (before - self.len);
                let segment = self.segments.get_mut(index, &mut self.meter).expect("I5: no holes");
                let (len, live) = (segment.len(), segment.live());
                segment.expire(now_ms, left, self.shape, &mut self.meter, gone);
                self.len -= len - segment.len();
                self.timed -= len - segment.len();
                self.live -= live - segment.live();
            }
            soonest_ms = soonest_ms.min(self.segment(index).soonest_ms());
            if before - self.len == limit {
                // Those behind were not looked at: the old bound stays.
                soonest_ms = self.soonest_ms;
                break;
            }
        }
        self.soonest_ms = soonest_ms;
        for _ in self.len..before {
            self.merge_last();
        }
        before - self.len
    }

    /// Cuts the segment whose turn it is.
    fn split_next(&mut self) {
        let count = self.segments.len();
        let level = count.ilog2();
        let low = count - (1 << level);
        let halves = {
            let next_hash = |key: &[u8]| slot_hash(self.hash(key), level + 1);
            self.segment(low).split(self.shape, next_hash)
        };
        let [stays, moves] = halves;
        self.live = self.live - self.segment(low).live() + stays.live() + moves.live();
        self.segments.set(low, stays, &mut self.meter);
        self.segments.push(moves, &mut self.meter);
    }

    /// Puts the last segment back to where it was split off, if the table has become so small.
    fn merge_last(&mut self) {
        let count = self.segments.len();
        if count == 1 || !fits(2 * self.len, 2 * self.live, count - 1) {
            return;
        }
        let last = count - 1;
        let low = last - (1 << last.ilog2());
        let taken = self.segments.pop(&mut self.meter).expect("I5: there are no holes");
        let whole = Segment::merge(self.segment(low), &taken, self.shape);
        self.live = self.live - self.segment(low).live() - taken.live() + whole.live();
        self.longest = self.longest.max(whole.len());
        self.segments.set(low, whole, &mut self.meter);
        if last == 1 {
            self.longest = self.len;
        }
    }

    /// The next entry of a walk over all of them, in no order that means anything. The table must not change meanwhile.
    pub(crate) fn next<'a>(&'a self, position: &mut Position) -> Option<Entry<'a>> {
        loop {
            let segment = self.segments.get(position.segment)?;
            if position.slot < segment.len() {
                position.slot += 1;
                return Some(segment.entry(position.slot - 1, self.shape));
            }
            *position = Position { segment: position.segment + 1, slot: 0 };
        }
    }

    /// All entries.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut position = Position::default();
        std::iter::from_fn(move || self.next(&mut position))
    }

    /// An entry, each with the same probability.
    pub(crate) fn random(&self, random: &mut Random) -> Option<Entry<'_>> {
        if self.len == 0 {
            return None;
        }
        // A segment and a slot that the longest of them has: drawn again where this one is shorter, so that every entry
        // is as likely as every other.
        for _ in 0..TRIES {
            let segment = self.segment(random.index_below(self.segments.len()));
            let slot = random.index_below(self.longest);
            if slot < segment.len() {
                return Some(segment.entry(slot, self.shape));
            }
        }
        let mut nth = random.index_below(self.len);
        for (_, segment) in self.segments.iter_present() {
            if nth < segment.len() {
                return Some(segment.entry(nth, self.shape));
            }
            nth -= segment.len();
        }
        None
    }

    /// Visits at least `count` entries from `cursor` on (0 begins), if there are so many, and returns where to go on: 0 when
    /// all were visited. An entry that is there from the first call to the last is visited exactly once, however often the
    /// table grows or shrinks between the calls.
    pub(crate) fn scan<'a>(&'a self, cursor: u64, count: usize, mut visit: impl FnMut(Entry<'a>)) -> u64 {
        if cursor >= 1 << (u64::BITS - CURSOR_SHIFT) {
            return 0;
        }
        let mut place = cursor << CURSOR_SHIFT;
        let mut visited = 0;
        loop {
            let (seen, next) = self.scan_segment(place, count.max(1) - visited, &mut visit);
            visited += seen;
            match next {
                None => return 0,
                Some(next) => place = next,
            }
            if visited >= count.max(1) {
                return place >> CURSOR_SHIFT;
            }
        }
    }

    /// Visits entries of one segment from `place` in the order on, in whole groups of equal slot hashes; tells how many, and
    /// the place behind them.
    fn scan_segment<'a>(
        &'a self,
        place: u64,
        count: usize,
        visit: &mut impl FnMut(Entry<'a>),
    ) -> (usize, Option<u64>) {
        let home = self.home(place.reverse_bits());
        let segment = self.segment(home.segment);
        let first_hash = slot_hash(place.reverse_bits(), home.depth);
        // The first group may have been visited in part, when the table was larger and its groups smaller.
        let starts_within = place << (home.depth + 16) != 0;
        let begin = place & !(u64::MAX >> home.depth);
        let mut visited = 0;
        let mut slot = segment.first_at(first_hash);
        while slot < segment.len() {
            let hash = segment.hash(slot);
            while slot < segment.len() && segment.hash(slot) == hash {
                let entry = segment.entry(slot, self.shape);
                slot += 1;
                if starts_within && hash == first_hash && self.hash(entry.key).reverse_bits() < place {
                    continue;
                }
                visit(entry);
                visited += 1;
            }
            if visited >= count && slot < segment.len() {
                let behind = begin + ((u64::from(hash) + 1) << (48 - home.depth));
                return (visited, Some(behind));
            }
        }
        let span = 1u64.checked_shl(u64::BITS - home.depth);
        (visited, span.and_then(|span| begin.checked_add(span)))
    }

    /// Frees about `segments` segments of a table that nobody needs any more; `true` when nothing is left.
    pub(crate) fn free_some(&mut self, segments: usize) -> bool {
        let done = self.segments.free_some(segments, &mut self.meter);
        if done {
            *self = Self::new(self.shape, self.seed, self.meter.model());
        }
        done
    }

    /// Panics if an invariant is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) {
        let count = self.segments.len();
        assert!(count > 0 && self.segments.present() == count, "I5");
        let (mut len, mut live, mut timed) = (0, 0, 0);
        for (index, segment) in self.segments.iter_present() {
            segment.validate(self.shape);
            for slot in 0..segment.len() {
                let entry = segment.entry(slot, self.shape);
                let hash = self.hash(entry.key);
                let home = self.home(hash);
                assert_eq!((home.segment, slot_hash(hash, home.depth)), (index, segment.hash(slot)), "I1");
                assert_eq!(
                    segment.find(segment.hash(slot), entry.key, self.shape),
                    Ok(slot),
                    "each key once"
                );
                timed += usize::from(entry.deadline_ms.is_some());
            }
            (len, live) = (len + segment.len(), live + segment.live());
            assert!(segment.len() <= self.longest, "I3");
            assert!(segment.soonest_ms() >= self.soonest_ms, "I4");
        }
        assert_eq!((self.len, self.live, self.timed), (len, live, timed), "I2");
        assert_eq!(self.segments.validate(self.meter.model()), self.meter.bytes(), "the meter is right");
    }
}

/// The sixteen bits of a hash behind its segment's, the next one highest.
#[inline]
fn slot_hash(hash: u64, depth: u32) -> u16 {
    u16::try_from((hash >> depth) & 0xffff).expect("I1: sixteen bits").reverse_bits()
}

/// Whether so many segments are enough.
#[inline]
fn fits(entries: usize, bytes: usize, segments: usize) -> bool {
    entries <= segments * SEGMENT_ENTRIES && bytes <= segments * SEGMENT_BYTES
}
