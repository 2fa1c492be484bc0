//! Lists of timers, one for each bucket of the wheel, in one slab.
//!
//! ```text
//!   occupancy  level 0: 0010_0000_0001..   one bit a bucket
//!              level 1: 0000_1000_0000..
//!   heads      [ chunk of (0,2), chunk of (0,11), chunk of (1,4) ]   occupied buckets only, in bucket order
//!
//!   head chunk: 1..=7 timers --below--> full chunk --below--> full chunk
//!               above = tag(bucket, len)  <--above--           <--above--
//! ```
//!
//! - I1: `heads` has one entry for each set bit; a bucket's entry is found by counting the bits before it.
//! - I2: only the head chunk of a list may hold fewer than seven timers, and it holds at least one.
//! - I3: the chunks reached from the heads are all chunks of the slab, each once.
//! - I4: `before[level]` counts the set bits of the levels below `level`.
//! - I5: a sweep meets every timer that stayed in its bucket since the sweep began.
//!
//! Push, pop, sample: O(1), plus a shift of up to 704 four-byte heads when a bucket fills or empties. A
//! lone timer costs 64 bytes of chunk and 16 of heads. Nothing here knows what time a bucket means.

use super::Timer;
use super::slab::{CHUNK_TIMERS, Chunk, Slab};

/// Levels of the wheel: with six bits each, enough for every bit of a tick.
pub(super) const LEVELS: u32 = 11;
/// Bits of a tick that one level reads.
pub(super) const SLOT_BITS: u32 = 6;
/// Buckets of one level.
pub(super) const SLOTS: u32 = 1 << SLOT_BITS;

/// No chunk: the end of a list.
const NONE: u32 = u32::MAX;
/// Set in the `above` of a head chunk, beside its bucket and its number of timers.
const HEAD: u32 = 1 << 31;
const HEAD_LEN_SHIFT: u32 = 16;
const HEAD_BUCKET_MASK: u32 = (1 << HEAD_LEN_SHIFT) - 1;

/// A list by number: level by level, slot by slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bucket(u32);

impl Bucket {
    /// The bucket at `slot` (below 64) of `level`.
    pub(super) const fn new(level: u32, slot: u32) -> Self {
        Self(level << SLOT_BITS | slot)
    }

    pub(super) const fn level(self) -> u32 {
        self.0 >> SLOT_BITS
    }

    pub(super) const fn slot(self) -> u32 {
        self.0 & (SLOTS - 1)
    }
}

/// Where a sweep goes on: the timers of `chunk` below `index`, then the chunks below, then later buckets.
/// Without a chunk it goes on at the first occupied bucket from `bucket`.
#[derive(Clone, Copy, Debug)]
struct SweepPosition {
    bucket: Bucket,
    chunk: u32,
    index: usize,
}

impl SweepPosition {
    const START: Self = Self { bucket: Bucket(0), chunk: NONE, index: 0 };

    fn go_below(&mut self, below: u32) {
        self.chunk = below;
        self.index = CHUNK_TIMERS;
        if below == NONE {
            self.bucket.0 += 1;
        }
    }
}

/// The lists.
#[derive(Debug)]
pub(super) struct Buckets {
    slab: Slab,
    heads: Vec<u32>,
    occupancy: [u64; LEVELS as usize],
    before: [u16; LEVELS as usize],
    sweep: SweepPosition,
    len: usize,
}

impl Buckets {
    pub(super) const fn new() -> Self {
        Self {
            slab: Slab::new(),
            heads: Vec::new(),
            occupancy: [0; LEVELS as usize],
            before: [0; LEVELS as usize],
            sweep: SweepPosition::START,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_occupied(&self, bucket: Bucket) -> bool {
        self.occupancy[bucket.level() as usize] >> bucket.slot() & 1 == 1
    }

    /// Whether all buckets of the levels below `level` are empty.
    pub(super) fn is_empty_below(&self, level: u32) -> bool {
        self.before[level as usize] == 0
    }

    /// The first occupied bucket that is not before `bucket`.
    pub(super) fn first_from(&self, bucket: Bucket) -> Option<Bucket> {
        let mut hidden = u64::MAX << bucket.slot();
        for level in bucket.level()..LEVELS {
            let bits = self.occupancy[level as usize] & hidden;
            if bits != 0 {
                return Some(Bucket::new(level, bits.trailing_zeros()));
            }
            hidden = u64::MAX;
        }
        None
    }

    /// The timer that `pop` would take.
    pub(super) fn top(&self, bucket: Bucket) -> Option<Timer> {
        let chunk = self.slab.get(self.head(bucket)?);
        Some(chunk.timers[chunk_len(chunk) - 1])
    }

    /// A timer chosen by `random`: a chunk by its high half, one of that chunk's timers by its low half.
    pub(super) fn sample(&self, random: u64) -> Option<Timer> {
        if self.len == 0 {
            return None;
        }
        let chunk = ((random >> 32) * u64::from(self.slab.len())) >> 32;
        let chunk = self.slab.get(u32::try_from(chunk).expect("a part of a u32 product's high half"));
        let index = (random & u64::from(u32::MAX)) % chunk_len(chunk) as u64;
        Some(chunk.timers[usize::try_from(index).expect("below seven")])
    }

    /// All timers with their buckets, in bucket order; within a bucket, chunk by chunk from the newest.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Bucket, Timer)> + '_ {
        self.heads.iter().flat_map(move |&head| {
            let bucket = tag_bucket(self.slab.get(head));
            self.chain(head).flat_map(move |index| {
                let chunk = self.slab.get(index);
                chunk.timers[..chunk_len(chunk)].iter().map(move |&timer| (bucket, timer))
            })
        })
    }

    /// Adds a timer to a bucket.
    pub(super) fn push(&mut self, bucket: Bucket, timer: Timer) {
        self.len += 1;
        let Some(head) = self.head(bucket) else {
            let index = self.push_chunk(bucket, timer, NONE);
            self.occupy(bucket, index);
            return;
        };
        let chunk = self.slab.get_mut(head);
        let len = chunk_len(chunk);
        if len < CHUNK_TIMERS {
            chunk.timers[len] = timer;
            chunk.above = tag(bucket, len + 1);
        } else {
            let index = self.push_chunk(bucket, timer, head);
            self.slab.get_mut(head).above = index;
            let rank = self.rank(bucket);
            self.heads[rank] = index;
        }
    }

    /// Takes the newest timer of a bucket.
    pub(super) fn pop(&mut self, bucket: Bucket) -> Option<Timer> {
        let head = self.head(bucket)?;
        let chunk = self.slab.get_mut(head);
        let (len, below) = (chunk_len(chunk), chunk.below);
        let timer = chunk.timers[len - 1];
        if len > 1 {
            chunk.above = tag(bucket, len - 1);
        } else {
            if below == NONE {
                self.vacate(bucket);
            } else {
                self.slab.get_mut(below).above = tag(bucket, CHUNK_TIMERS);
                let rank = self.rank(bucket);
                self.heads[rank] = below;
            }
            self.release(head);
        }
        self.len -= 1;
        Some(timer)
    }

    /// Shows up to `budget` timers to `keep` and drops those it refuses; goes on where the last call ended.
    /// Returns how many it showed and whether it came to the end.
    pub(super) fn sweep(&mut self, budget: u32, mut keep: impl FnMut(Timer) -> bool) -> (u32, bool) {
        let mut met = 0;
        loop {
            if self.sweep.chunk == NONE {
                let Some(bucket) = self.first_from(self.sweep.bucket) else {
                    self.sweep = SweepPosition::START;
                    return (met, true);
                };
                let chunk = self.head(bucket).expect("I1: an occupied bucket has a head");
                self.sweep = SweepPosition { bucket, chunk, index: CHUNK_TIMERS };
            }
            let SweepPosition { bucket, chunk: index, .. } = self.sweep;
            let chunk = self.slab.get(index);
            // Timers may have left from the top since the last call; those below `index` are as they were.
            let Some(at) = self.sweep.index.min(chunk_len(chunk)).checked_sub(1) else {
                self.sweep.go_below(chunk.below);
                continue;
            };
            if met == budget {
                return (met, false);
            }
            met += 1;
            let kept = keep(chunk.timers[at]);
            self.sweep.index = at;
            if !kept {
                // The list's newest timer fills the gap: it was met before, or armed since the sweep began.
                let newest = self.top(bucket).expect("I2: the bucket holds the timer just met");
                self.slab.get_mut(index).timers[at] = newest;
                self.pop(bucket);
            }
        }
    }

    /// Bytes asked of the allocator, each block through `charge`. O(1).
    pub(super) fn heap_bytes(&self, charge: &impl Fn(usize) -> usize) -> usize {
        self.slab.heap_bytes(charge) + heads_bytes(self.heads.capacity(), charge)
    }

    /// The most by which one push may raise `heap_bytes`, whichever bucket it goes to. O(1).
    pub(super) fn growth_of_push(&self, charge: &impl Fn(usize) -> usize) -> usize {
        let after =
            self.slab.heap_bytes_after_push(charge) + heads_bytes(self.heads_room_after_push(), charge);
        after.saturating_sub(self.heap_bytes(charge))
    }

    fn push_chunk(&mut self, bucket: Bucket, timer: Timer, below: u32) -> u32 {
        let mut timers = [Timer(0); CHUNK_TIMERS];
        timers[0] = timer;
        let index = self.slab.push(Chunk { timers, above: tag(bucket, 1), below });
        assert!(index < HEAD, "I3: links need the top bit of an index");
        index
    }

    /// Gives back a chunk that no list holds, by moving the last chunk of the slab into its place.
    fn release(&mut self, index: u32) {
        if self.sweep.chunk == index {
            // Only a head is released: what is left of its list begins at the new head, if at all.
            self.sweep.chunk = NONE;
        }
        let moved = self.slab.pop().expect("I3: the slab holds the chunk to release");
        let last = self.slab.len();
        if last == index {
            return;
        }
        *self.slab.get_mut(index) = moved;
        if moved.above & HEAD == 0 {
            self.slab.get_mut(moved.above).below = index;
        } else {
            let rank = self.rank(tag_bucket(&moved));
            self.heads[rank] = index;
        }
        if moved.below != NONE {
            self.slab.get_mut(moved.below).above = index;
        }
        if self.sweep.chunk == last {
            self.sweep.chunk = index;
        }
    }

    fn occupy(&mut self, bucket: Bucket, head: u32) {
        let rank = self.rank(bucket);
        self.heads.reserve_exact(self.heads_room_after_push() - self.heads.len());
        self.heads.insert(rank, head);
        let level = bucket.level() as usize;
        self.occupancy[level] |= 1 << bucket.slot();
        self.before[level + 1..].iter_mut().for_each(|count| *count += 1);
    }

    fn vacate(&mut self, bucket: Bucket) {
        let rank = self.rank(bucket);
        self.heads.remove(rank);
        if self.heads.is_empty() {
            self.heads = Vec::new();
        } else if self.heads.capacity() > 2 * self.heads.len() + 8 {
            self.heads.shrink_to(self.heads.len() + 4);
        }
        let level = bucket.level() as usize;
        self.occupancy[level] &= !(1 << bucket.slot());
        self.before[level + 1..].iter_mut().for_each(|count| *count -= 1);
    }

    fn heads_room_after_push(&self) -> usize {
        let (len, capacity) = (self.heads.len(), self.heads.capacity());
        if len < capacity { capacity } else { capacity + capacity / 4 + 4 }
    }

    fn head(&self, bucket: Bucket) -> Option<u32> {
        self.is_occupied(bucket).then(|| self.heads[self.rank(bucket)])
    }

    fn rank(&self, bucket: Bucket) -> usize {
        let level = bucket.level() as usize;
        let earlier = self.occupancy[level] & ((1 << bucket.slot()) - 1);
        usize::from(self.before[level]) + earlier.count_ones() as usize
    }

    fn chain(&self, head: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(Some(head), |&index| {
            Some(self.slab.get(index).below).filter(|&below| below != NONE)
        })
    }

    /// Checks I1 to I4.
    #[cfg(test)]
    pub(super) fn validate(&self) {
        self.slab.validate();
        let mut seen = vec![false; self.slab.len() as usize];
        let mut before = 0;
        let mut rank = 0;
        let mut timers = 0;
        for level in 0..LEVELS {
            assert_eq!(usize::from(self.before[level as usize]), before, "I4: level {level}");
            before += self.occupancy[level as usize].count_ones() as usize;
            for bucket in (0..SLOTS).map(|slot| Bucket::new(level, slot)).filter(|&b| self.is_occupied(b)) {
                let head = self.heads[rank];
                assert_eq!((self.head(bucket), tag_bucket(self.slab.get(head))), (Some(head), bucket), "I1");
                rank += 1;
                let mut above = None;
                for index in self.chain(head) {
                    let chunk = self.slab.get(index);
                    assert!(!std::mem::replace(&mut seen[index as usize], true), "I3: chunk twice");
                    match above {
                        None => assert!(chunk.above & HEAD != 0 && (1..=7).contains(&chunk_len(chunk)), "I2"),
                        Some(above) => assert_eq!(chunk.above, above, "I2: only a head has a tag"),
                    }
                    timers += chunk_len(chunk);
                    above = Some(index);
                }
            }
        }
        assert_eq!(rank, self.heads.len(), "I1: heads of empty buckets");
        assert!(seen.into_iter().all(|seen| seen), "I3: chunk of no list");
        assert_eq!(timers, self.len, "the count of timers");
        assert_eq!(self.iter().count(), self.len, "the walk over timers");
        assert!(self.len > 0 || self.heap_bytes(&|bytes| bytes) == 0, "empty but owns memory");
    }
}

fn heads_bytes(capacity: usize, charge: &impl Fn(usize) -> usize) -> usize {
    if capacity == 0 { 0 } else { charge(capacity * size_of::<u32>()) }
}

fn tag(bucket: Bucket, len: usize) -> u32 {
    let len = u32::try_from(len).expect("I2: at most seven");
    HEAD | len << HEAD_LEN_SHIFT | bucket.0
}

fn tag_bucket(head: &Chunk) -> Bucket {
    Bucket(head.above & HEAD_BUCKET_MASK)
}

fn chunk_len(chunk: &Chunk) -> usize {
    if chunk.above & HEAD == 0 { CHUNK_TIMERS } else { ((chunk.above & !HEAD) >> HEAD_LEN_SHIFT) as usize }
}
