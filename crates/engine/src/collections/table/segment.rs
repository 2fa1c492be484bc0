//! One segment of a table: a few hundred entries in hash order, in two plain buffers.
//!
//! ```text
//! slots   [hash 16 | offset 16] [..] [..]      ascending by hash: the bits that follow the segment's own
//!                 `----------.
//! arena   [record][record]....[record][dead][record]       records in the order in which they came
//! far     [Arc][hole][Arc]                                 long records
//! ```
//! A slot's hash says about where in `slots` it is, so a search looks at a window of neighbours and nothing is wasted on
//! empty slots. Slots are twice as wide in a segment whose arena is longer than 64 KiB, which long runs of equal hashes
//! bring about, and nothing else.
//!
//! Invariants: I1: slots ascend by hash. I2: `live` is the bytes of the records that slots refer to; the arena has no more
//! than a quarter of others (and a little). I3: `holes` counts the empty places of `far`. I4: no deadline lies before
//! `soonest_ms`.

use std::sync::Arc;

use super::record::{self, Entry, Head, NEAR_BYTES_MAX, Shape};
use crate::collections::cow::radix::Chunk;
use crate::collections::meter::{ARC_BYTES, Meter};

/// Slots that a search looks at without a branch.
const WINDOW: usize = 32;
/// The dead bytes that are not worth a compaction.
const DEAD_BYTES_MIN: usize = 64;
/// A buffer grows by an eighth, within these bounds.
const GROWTH_BYTES: (usize, usize) = (64, 1_024);

/// A hash and an offset in one number, so that slots compare by their hashes.
trait Word: Copy + Ord {
    const OFFSET_BITS: u32;
    fn new(hash: u16, offset: usize) -> Self;
    fn hash(self) -> u16;
    fn offset(self) -> usize;
}

macro_rules! word {
    ($word:ty, $bits:expr) => {
        impl Word for $word {
            const OFFSET_BITS: u32 = $bits;

            #[inline]
            fn new(hash: u16, offset: usize) -> Self {
                let offset = Self::try_from(offset).expect("I2: the arena was measured before");
                (Self::from(hash) << $bits) | offset
            }

            #[inline]
            fn hash(self) -> u16 {
                u16::try_from(self >> $bits).expect("I1: sixteen bits are left")
            }

            #[inline]
            fn offset(self) -> usize {
                usize::try_from(self & ((1 << $bits) - 1)).expect("I2: an offset into an arena")
            }
        }
    };
}
word!(u32, 16);
word!(u64, 48);

#[derive(Debug)]
enum Slots {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

macro_rules! slots {
    ($slots:expr, $words:ident => $result:expr) => {
        match $slots {
            Slots::Narrow($words) => $result,
            Slots::Wide($words) => $result,
        }
    };
}

/// The segment.
#[derive(Debug)]
pub(super) struct Segment {
    slots: Slots,
    arena: Vec<u8>,
    far: Vec<Option<Arc<[u8]>>>,
    holes: usize,
    live: usize,
    soonest_ms: u64,
}

/// A buffer like another, with room for as much, so that the copy costs what the original did.
fn copy_of<T: Clone>(buffer: &Vec<T>) -> Vec<T> {
    let mut copy = Vec::with_capacity(buffer.capacity());
    copy.extend_from_slice(buffer);
    copy
}

impl Clone for Segment {
    fn clone(&self) -> Self {
        Self {
            slots: match &self.slots {
                Slots::Narrow(words) => Slots::Narrow(copy_of(words)),
                Slots::Wide(words) => Slots::Wide(copy_of(words)),
            },
            arena: copy_of(&self.arena),
            far: copy_of(&self.far),
            ..*self
        }
    }
}

impl Chunk for Segment {
    fn heap_bytes(&self, charge: &mut dyn FnMut(usize)) {
        self.buffers().into_iter().for_each(&mut *charge);
        for bytes in self.far.iter().flatten() {
            charge(ARC_BYTES + bytes.len());
        }
    }
}

/// Whether two keys of the same length are equal. Keys of 8 to 16 bytes are compared as two numbers that may overlap, without
/// a call.
#[inline]
fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() <= 16 {
        if let (Some(head), Some(tail)) = (one.first_chunk::<8>(), one.last_chunk::<8>()) {
            return other.starts_with(head) && other.ends_with(tail);
        }
    }
    one == other
}

/// The first of the words, which ascend, whose hash is not below this one.
#[inline]
fn lower_bound<W: Word>(words: &[W], hash: u16) -> usize {
    let target = W::new(hash, 0);
    let guess = (words.len() * usize::from(hash)) >> 16;
    let from = guess.saturating_sub(WINDOW / 2).min(words.len().saturating_sub(WINDOW));
    let Some(window) = words[from..].first_chunk::<WINDOW>() else {
        return words.partition_point(|&word| word < target);
    };
    // Hashes are spread evenly, so what is sought is nearly always among these. Counting has no branch to guess wrong.
    let begins_here = from == 0 || window[0] < target;
    let ends_here = from + WINDOW == words.len() || window[WINDOW - 1] >= target;
    if !(begins_here && ends_here) {
        return words.partition_point(|&word| word < target);
    }
    from + window.iter().map(|&word| u32::from(word < target)).sum::<u32>() as usize
}

fn insert_word<W: Word>(words: &mut Vec<W>, position: usize, word: W) {
    if words.len() == words.capacity() {
        words.reserve_exact(growth(words.len() * size_of::<W>()) / size_of::<W>());
    }
    words.insert(position, word);
}

/// By how much a buffer of so many bytes grows.
fn growth(bytes: usize) -> usize {
    (bytes / 8).clamp(GROWTH_BYTES.0, GROWTH_BYTES.1)
}

/// Gives back what a buffer has beyond twice its growth.
fn trim<T>(buffer: &mut Vec<T>) {
    let wanted = buffer.len() + 2 * growth(buffer.len() * size_of::<T>()) / size_of::<T>();
    if buffer.is_empty() || buffer.capacity() > wanted {
        buffer.shrink_to_fit();
    }
}

impl Segment {
    pub(super) fn new() -> Self {
        Self::with_room(0, 0)
    }

    /// An empty one that has room for so many entries and so many bytes of records.
    fn with_room(entries: usize, bytes: usize) -> Self {
        let slots = if bytes >> u32::OFFSET_BITS == 0 {
            Slots::Narrow(Vec::with_capacity(entries))
        } else {
            Slots::Wide(Vec::with_capacity(entries))
        };
        Self {
            slots,
            arena: Vec::with_capacity(bytes),
            far: Vec::new(),
            holes: 0,
            live: 0,
            soonest_ms: u64::MAX,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        slots!(&self.slots, words => words.len())
    }

    /// The bytes of its records in the arena.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn soonest_ms(&self) -> u64 {
        self.soonest_ms
    }

    fn buffers(&self) -> [usize; 3] {
        [
            slots!(&self.slots, words => words.capacity() * word_bytes(words)),
            self.arena.capacity(),
            self.far.capacity() * size_of::<Option<Arc<[u8]>>>(),
        ]
    }

    /// The hash of a slot.
    #[inline]
    pub(super) fn hash(&self, slot: usize) -> u16 {
        slots!(&self.slots, words => words[slot].hash())
    }

    /// The first slot whose hash is not below this one.
    pub(super) fn first_at(&self, hash: u16) -> usize {
        slots!(&self.slots, words => lower_bound(words, hash))
    }

    #[inline]
    fn offset(&self, slot: usize) -> usize {
        slots!(&self.slots, words => words[slot].offset())
    }

    #[inline]
    pub(super) fn entry(&self, slot: usize, shape: Shape) -> Entry<'_> {
        match record::head(&self.arena, self.offset(slot)) {
            Head::Near { key_bytes, key_at } => Entry::read(&self.arena, key_at, key_bytes, shape).0,
            Head::Far { index, .. } => self.far_entry(index, shape),
        }
    }

    fn far_entry(&self, index: usize, shape: Shape) -> Entry<'_> {
        let bytes = self.far[index].as_deref().expect("I3: a slot refers to no hole");
        match record::head(bytes, 0) {
            Head::Near { key_bytes, key_at } => Entry::read(bytes, key_at, key_bytes, shape).0,
            Head::Far { .. } => unreachable!("I2: a far record refers to nothing"),
        }
    }

    #[inline]
    fn key_is(&self, offset: usize, key: &[u8], shape: Shape) -> bool {
        match record::head(&self.arena, offset) {
            Head::Near { key_bytes, key_at } => {
                key_bytes == key.len() && same(&self.arena[key_at..key_at + key_bytes], key)
            }
            Head::Far { index, .. } => self.far_entry(index, shape).key == key,
        }
    }

    /// The slot of a key, or the one where it would go.
    #[inline]
    pub(super) fn find(&self, hash: u16, key: &[u8], shape: Shape) -> Result<usize, usize> {
        slots!(&self.slots, words => {
            let mut slot = lower_bound(words, hash);
            while let Some(word) = words.get(slot) {
                if word.hash() != hash {
                    break;
                }
                if self.key_is(word.offset(), key, shape) {
                    return Ok(slot);
                }
                slot += 1;
            }
            Err(slot)
        })
    }

    /// Runs a change and tells the meter what it did to the buffers.
    fn metered<R>(&mut self, meter: &mut Meter, f: impl FnOnce(&mut Self, &mut Meter) -> R) -> R {
        let before = self.buffers();
        let result = f(self, meter);
        for (was, now) in before.into_iter().zip(self.buffers()) {
            meter.resize(was, now);
        }
        result
    }

    /// Adds an entry that is not there, at the slot that [`find`](Self::find) told.
    pub(super) fn insert(
        &mut self,
        slot: usize,
        hash: u16,
        entry: Entry<'_>,
        shape: Shape,
        meter: &mut Meter,
    ) {
        self.metered(meter, |segment, meter| {
            segment.make_room(entry.bytes(shape).min(NEAR_BYTES_MAX), shape);
            let offset = segment.push_record(entry, shape, meter);
            slots!(&mut segment.slots, words => insert_word(words, slot, Word::new(hash, offset)));
        });
    }

    /// Gives the entry of a slot another value and deadline. `entry` repeats its key.
    pub(super) fn replace(&mut self, slot: usize, entry: Entry<'_>, shape: Shape, meter: &mut Meter) {
        self.metered(meter, |segment, meter| {
            if segment.overwrite(slot, entry, shape, meter) {
                segment.tidy(shape);
                return;
            }
            segment.forget_record(segment.offset(slot), shape, meter);
            // The slot must not be carried over by a compaction: its record is gone.
            let hash = segment.hash(slot);
            slots!(&mut segment.slots, words => { words.remove(slot); });
            segment.make_room(entry.bytes(shape).min(NEAR_BYTES_MAX), shape);
            let offset = segment.push_record(entry, shape, meter);
            slots!(&mut segment.slots, words => insert_word(words, slot, Word::new(hash, offset)));
            segment.tidy(shape);
        });
    }

    /// Replaces a record where it lies, if the new one fits.
    fn overwrite(&mut self, slot: usize, entry: Entry<'_>, shape: Shape, meter: &mut Meter) -> bool {
        let bytes = entry.bytes(shape);
        match record::head(&self.arena, self.offset(slot)) {
            Head::Near { key_bytes, key_at } => {
                let was = Entry::read(&self.arena, key_at, key_bytes, shape).0.bytes(shape);
                if bytes > was {
                    return false;
                }
                entry.overwrite_tail(&mut self.arena, key_at + key_bytes, shape);
                self.live -= was - bytes;
            }
            Head::Far { index, .. } => {
                if bytes <= NEAR_BYTES_MAX {
                    return false;
                }
                let place = self.far[index].as_mut().expect("I3: a slot refers to no hole");
                meter.sub(ARC_BYTES + place.len());
                *place = far_record(entry, shape);
                meter.add(ARC_BYTES + bytes);
            }
        }
        self.soonest_ms = self.soonest_ms.min(entry.deadline_ms.unwrap_or(u64::MAX));
        true
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, slot: usize, shape: Shape, meter: &mut Meter) {
        self.metered(meter, |segment, meter| {
            segment.drop_slot(slot, shape, meter);
            segment.tidy(shape);
        });
    }

    fn drop_slot(&mut self, slot: usize, shape: Shape, meter: &mut Meter) {
        self.forget_record(self.offset(slot), shape, meter);
        slots!(&mut self.slots, words => { words.remove(slot); });
    }

    /// Takes out up to `limit` entries whose deadline is not after `now_ms`, and learns the earliest of the others.
    pub(super) fn expire(
        &mut self,
        now_ms: u64,
        limit: usize,
        shape: Shape,
        meter: &mut Meter,
        gone: &mut dyn FnMut(Entry<'_>),
    ) {
        self.metered(meter, |segment, meter| {
            let (mut soonest_ms, mut left) = (u64::MAX, limit);
            for slot in (0..segment.len()).rev() {
                let entry = segment.entry(slot, shape);
                let deadline_ms = entry.deadline_ms.unwrap_or(u64::MAX);
                if left > 0 && deadline_ms <= now_ms {
                    left -= 1;
                    gone(entry);
                    segment.drop_slot(slot, shape, meter);
                } else {
                    soonest_ms = soonest_ms.min(deadline_ms);
                }
            }
            segment.soonest_ms = soonest_ms;
            segment.tidy(shape);
        });
    }

    /// Makes sure that so many more bytes of arena can be told by an offset, and are allocated.
    fn make_room(&mut self, bytes: usize, shape: Shape) {
        let fits = |end: usize| end >> u32::OFFSET_BITS == 0;
        if matches!(self.slots, Slots::Narrow(_)) && !fits(self.arena.len() + bytes) {
            if !fits(self.live + bytes) {
                self.widen();
            } else {
                self.compact(shape);
            }
        }
        if self.arena.capacity() - self.arena.len() < bytes {
            self.arena.reserve_exact(growth(self.arena.len()).max(bytes));
        }
    }

    fn widen(&mut self) {
        if let Slots::Narrow(words) = &self.slots {
            self.slots =
                Slots::Wide(words.iter().map(|word| Word::new(word.hash(), word.offset())).collect());
        }
    }

    /// Appends a record; room for it was made.
    fn push_record(&mut self, entry: Entry<'_>, shape: Shape, meter: &mut Meter) -> usize {
        let offset = self.arena.len();
        let bytes = entry.bytes(shape);
        if bytes <= NEAR_BYTES_MAX {
            entry.write(&mut self.arena, shape);
        } else {
            meter.add(ARC_BYTES + bytes);
            self.push_far(far_record(entry, shape));
        }
        self.live += self.arena.len() - offset;
        self.soonest_ms = self.soonest_ms.min(entry.deadline_ms.unwrap_or(u64::MAX));
        offset
    }

    /// Puts a far record into a hole or behind the others, and a reference to it into the arena.
    fn push_far(&mut self, bytes: Arc<[u8]>) {
        let hole = if self.holes == 0 { None } else { self.far.iter().position(Option::is_none) };
        let index = hole.unwrap_or(self.far.len());
        if hole.is_some() {
            self.far[index] = Some(bytes);
            self.holes -= 1;
        } else {
            if self.far.len() == self.far.capacity() {
                self.far.reserve_exact((self.far.len() / 4).max(2));
            }
            self.far.push(Some(bytes));
        }
        record::push_reference(&mut self.arena, index);
    }

    fn forget_record(&mut self, offset: usize, shape: Shape, meter: &mut Meter) {
        match record::head(&self.arena, offset) {
            Head::Near { key_bytes, key_at } => {
                self.live -= Entry::read(&self.arena, key_at, key_bytes, shape).0.bytes(shape);
            }
            Head::Far { index, bytes } => {
                let record = self.far[index].take().expect("I3: a slot refers to no hole");
                meter.sub(ARC_BYTES + record.len());
                self.holes += 1;
                self.live -= bytes;
            }
        }
    }

    /// Compacts if too much is dead, and gives back room that nobody needs.
    fn tidy(&mut self, shape: Shape) {
        let dead = self.arena.len() - self.live;
        if dead > DEAD_BYTES_MIN && dead * 4 > self.arena.len() || self.live == 0 {
            self.compact(shape);
        }
        slots!(&mut self.slots, words => trim(words));
        trim(&mut self.arena);
    }

    /// Writes the records anew, in slot order.
    fn compact(&mut self, shape: Shape) {
        let mut fresh = Self::with_room(self.len(), self.live);
        fresh.soonest_ms = self.soonest_ms;
        for slot in 0..self.len() {
            fresh.take_over(self, slot, self.hash(slot), shape);
        }
        *self = fresh;
    }

    /// Appends an entry of another segment behind the own ones, with this hash. Only for segments under construction: no
    /// meter hears of it.
    fn take_over(&mut self, from: &Self, slot: usize, hash: u16, shape: Shape) {
        let (offset, at) = (from.offset(slot), self.arena.len());
        match record::head(&from.arena, offset) {
            Head::Near { key_bytes, key_at } => {
                let (entry, _) = Entry::read(&from.arena, key_at, key_bytes, shape);
                let record = &from.arena[offset..offset + entry.bytes(shape)];
                self.arena.extend_from_slice(record);
                self.soonest_ms = self.soonest_ms.min(entry.deadline_ms.unwrap_or(u64::MAX));
            }
            Head::Far { index, .. } => {
                let entry = from.far_entry(index, shape);
                self.soonest_ms = self.soonest_ms.min(entry.deadline_ms.unwrap_or(u64::MAX));
                let record = from.far[index].clone().expect("I3: a slot refers to no hole");
                self.push_far(record);
            }
        }
        self.live += self.arena.len() - at;
        if self.arena.len() >> u32::OFFSET_BITS != 0 {
            self.widen();
        }
        slots!(&mut self.slots, words => words.push(Word::new(hash, at)));
    }

    /// Cuts the segment in two by the next bit of the hash. `next_hash` gives a key's hash at the new depth.
    pub(super) fn split(&self, shape: Shape, next_hash: impl Fn(&[u8]) -> u16) -> [Self; 2] {
        let cut = self.first_at(1 << 15);
        [0..cut, cut..self.len()].map(|range| {
            let bytes = range.clone().map(|slot| self.record_bytes(slot, shape)).sum();
            let mut hashed: Vec<(u16, usize)> =
                range.map(|slot| (next_hash(self.entry(slot, shape).key), slot)).collect();
            // Nearly sorted: only what was equal before can be out of order.
            hashed.sort_unstable();
            let mut half = Self::with_room(hashed.len(), bytes);
            for (hash, slot) in hashed {
                half.take_over(self, slot, hash, shape);
            }
            half
        })
    }

    /// Puts two halves together again: the reverse of [`split`](Self::split), and no hash is needed for it.
    pub(super) fn merge(low: &Self, high: &Self, shape: Shape) -> Self {
        let mut whole = Self::with_room(low.len() + high.len(), low.live + high.live);
        for (half, bit) in [(low, 0), (high, 1 << 15)] {
            for slot in 0..half.len() {
                whole.take_over(half, slot, bit | (half.hash(slot) >> 1), shape);
            }
        }
        whole
    }

    /// What a record takes of the arena.
    fn record_bytes(&self, slot: usize, shape: Shape) -> usize {
        match record::head(&self.arena, self.offset(slot)) {
            Head::Near { key_bytes, key_at } => {
                Entry::read(&self.arena, key_at, key_bytes, shape).0.bytes(shape)
            }
            Head::Far { index, .. } => record::reference_bytes(index),
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, shape: Shape) {
        let hashes: Vec<u16> = (0..self.len()).map(|slot| self.hash(slot)).collect();
        assert!(hashes.is_sorted(), "I1: slots ascend by hash");
        let live: usize = (0..self.len()).map(|slot| self.record_bytes(slot, shape)).sum();
        assert_eq!(self.live, live, "I2: live bytes");
        let dead = self.arena.len() - live;
        assert!(dead <= DEAD_BYTES_MIN || dead * 4 <= self.arena.len(), "I2: {dead} of {}", self.arena.len());
        assert_eq!(self.holes, self.far.iter().filter(|place| place.is_none()).count(), "I3: holes");
        let soonest = (0..self.len()).filter_map(|slot| self.entry(slot, shape).deadline_ms).min();
        assert!(
            soonest.is_none_or(|deadline_ms| self.soonest_ms <= deadline_ms),
            "I4: the earliest deadline"
        );
    }
}

fn word_bytes<W>(_: &[W]) -> usize {
    size_of::<W>()
}

fn far_record(entry: Entry<'_>, shape: Shape) -> Arc<[u8]> {
    let mut bytes = Vec::with_capacity(entry.bytes(shape));
    entry.write(&mut bytes, shape);
    bytes.into()
}
