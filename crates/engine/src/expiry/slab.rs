//! Store of 64-byte chunks by index, without holes.
//!
//! ```text
//!   index:   0 .. 63      64 .. 127           128 .. 128 + tail.len()
//!          [ segment 0 ] [ segment 1 ]  ...  [ tail, grows by an eighth of the whole ]
//! ```
//!
//! - I1: a segment holds exactly `SEGMENT_CHUNKS` chunks; the rest, at most as many, are in the tail.
//! - I2: an empty slab owns no memory.
//!
//! A chunk is freed by moving the last one into its place, so there is no free list, a random index always
//! finds a chunk, and memory is given back from the end. Whoever frees a chunk mends the links to the moved
//! one. Only the tail is ever reallocated, so no call copies more than 4 KiB of timers.
//!
//! Push and pop are O(1), amortised over the steps of the tail. The slab knows nothing of lists.

use super::Timer;

/// Timers in one chunk: with two links it fills a cache line.
pub(super) const CHUNK_TIMERS: usize = 7;
/// Chunks in one segment: 4 KiB.
pub(super) const SEGMENT_CHUNKS: usize = 64;
/// The tail grows by this part of the whole slab, so slack stays near one eighth.
const SLACK_DIVISOR: usize = 8;

/// Up to seven timers and the links of the list they are in. What the links mean is up to `Buckets`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) timers: [Timer; CHUNK_TIMERS],
    pub(super) above: u32,
    pub(super) below: u32,
}

const _: () = assert!(size_of::<Chunk>() == 64, "a chunk is one cache line");

/// How many chunks of room each part of a slab has; the one source for growing and for foretelling growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    segments: usize,
    segment_slots: usize,
    tail: usize,
}

impl Room {
    fn heap_bytes(self, charge: &impl Fn(usize) -> usize) -> usize {
        let part = |bytes: usize| if bytes == 0 { 0 } else { charge(bytes) };
        self.segments * part(SEGMENT_CHUNKS * size_of::<Chunk>())
            + part(self.segment_slots * size_of::<Box<[Chunk; SEGMENT_CHUNKS]>>())
            + part(self.tail * size_of::<Chunk>())
    }
}

/// The store.
#[derive(Debug)]
pub(super) struct Slab {
    segments: Vec<Box<[Chunk; SEGMENT_CHUNKS]>>,
    tail: Vec<Chunk>,
}

impl Slab {
    pub(super) const fn new() -> Self {
        Self { segments: Vec::new(), tail: Vec::new() }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.count()).expect("push admits only u32 indices")
    }

    pub(super) fn get(&self, index: u32) -> &Chunk {
        let index = index as usize;
        match self.segments.get(index / SEGMENT_CHUNKS) {
            Some(segment) => &segment[index % SEGMENT_CHUNKS],
            None => &self.tail[index - self.segments.len() * SEGMENT_CHUNKS],
        }
    }

    pub(super) fn get_mut(&mut self, index: u32) -> &mut Chunk {
        let index = index as usize;
        let tail_start = self.segments.len() * SEGMENT_CHUNKS;
        match self.segments.get_mut(index / SEGMENT_CHUNKS) {
            Some(segment) => &mut segment[index % SEGMENT_CHUNKS],
            None => &mut self.tail[index - tail_start],
        }
    }

    /// Stores `chunk` at the end and returns its index.
    pub(super) fn push(&mut self, chunk: Chunk) -> u32 {
        let index = self.len();
        let room = self.room_after_push();
        if room.segments > self.segments.len() {
            self.segments.reserve_exact(room.segment_slots - self.segments.len());
            let segment = std::mem::take(&mut self.tail).try_into();
            self.segments.push(segment.expect("I1: a tail is closed when it holds a segment's chunks"));
        }
        self.tail.reserve_exact(room.tail - self.tail.len());
        self.tail.push(chunk);
        index
    }

    /// Takes the chunk with the highest index.
    pub(super) fn pop(&mut self) -> Option<Chunk> {
        if self.tail.is_empty() {
            self.tail = (self.segments.pop()? as Box<[Chunk]>).into_vec();
        }
        let chunk = self.tail.pop();
        let (count, step) = (self.count(), self.step());
        if count == 0 {
            *self = Self::new();
        } else if self.tail.capacity() - self.tail.len() > 2 * step {
            self.tail.shrink_to(self.tail.len() + step);
        }
        if self.segments.capacity() > 2 * self.segments.len() + 8 {
            self.segments.shrink_to(self.segments.len() + 4);
        }
        chunk
    }

    /// Bytes asked of the allocator, each block through `charge`. O(1).
    pub(super) fn heap_bytes(&self, charge: &impl Fn(usize) -> usize) -> usize {
        self.room().heap_bytes(charge)
    }

    /// What `heap_bytes` will say after one more push. O(1).
    pub(super) fn heap_bytes_after_push(&self, charge: &impl Fn(usize) -> usize) -> usize {
        self.room_after_push().heap_bytes(charge)
    }

    fn count(&self) -> usize {
        self.segments.len() * SEGMENT_CHUNKS + self.tail.len()
    }

    fn step(&self) -> usize {
        self.count() / SLACK_DIVISOR + 1
    }

    fn room(&self) -> Room {
        Room {
            segments: self.segments.len(),
            segment_slots: self.segments.capacity(),
            tail: self.tail.capacity(),
        }
    }

    fn room_after_push(&self) -> Room {
        let mut room = self.room();
        if self.tail.len() == SEGMENT_CHUNKS {
            if room.segments == room.segment_slots {
                room.segment_slots += room.segments / SLACK_DIVISOR + 1;
            }
            room.segments += 1;
            room.tail = self.step().min(SEGMENT_CHUNKS);
        } else if self.tail.len() == room.tail {
            room.tail = (room.tail + self.step()).min(SEGMENT_CHUNKS);
        }
        room
    }

    /// Checks I1 and I2.
    #[cfg(test)]
    pub(super) fn validate(&self) {
        assert!(self.tail.len() <= SEGMENT_CHUNKS && self.tail.capacity() <= SEGMENT_CHUNKS, "I1: tail");
        assert!(self.count() > 0 || self.room() == Slab::new().room(), "I2: empty but owns memory");
    }
}
