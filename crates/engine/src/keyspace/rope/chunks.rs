//! The dense part of a large string: a list of chunks.
//!
//! ```text
//! chunks: [Arc<flat 1 MiB>, Arc<64 KiB>, Arc<64 KiB, half full>]   ends: [1 MiB, ..]   sizes: how many of each size behind the first
//! ```
//! Invariants: I1: `ends` are the running totals of the chunks' lengths, no chunk is empty. I2: a chunk that a capture holds is
//! never changed: it is copied first. I3: every chunk behind the first was made with one of the capacities of `SIZES`, and `sizes`
//! counts them, so the cost of all is known without a walk.
//!
//! Costs: append amortised O(bytes); a read of `n` bytes O(log chunks + n); cost O(1). It deliberately holds no gaps.

use std::sync::Arc;

use crate::collections::meter::ARC_BYTES;
use crate::memory::AllocatorModel;

/// The smallest chunk that an append starts.
const CHUNK_BYTES_MIN: usize = 4 * 1024;
/// The largest chunk that an append starts.
const CHUNK_BYTES_MAX: usize = 256 * 1024;
/// 4, 8, 16, 32, 64, 128 and 256 KiB.
const SIZES: usize = 7;
/// A larger chunk is not copied to change a few bytes of it.
const COPY_BYTES_MAX: usize = 64 * 1024;

/// A byte string in chunks.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunks {
    list: Vec<Arc<Vec<u8>>>,
    ends: Vec<usize>,
    sizes: [u32; SIZES],
}

impl Chunks {
    /// Takes the bytes as they are, without spare capacity.
    pub(super) fn from_vec(mut bytes: Vec<u8>) -> Self {
        bytes.shrink_to_fit();
        match bytes.len() {
            0 => Self::default(),
            end => Self { list: vec![Arc::new(bytes)], ends: vec![end], sizes: [0; SIZES] },
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The whole string, if it lies in one piece.
    pub(super) fn as_slice(&self) -> Option<&[u8]> {
        match self.list.as_slice() {
            [] => Some(&[]),
            [only] => Some(only),
            _ => None,
        }
    }

    /// The longest run of bytes in one chunk that begins at `at` and ends before `to`; both lie inside.
    pub(super) fn run(&self, at: usize, to: usize) -> &[u8] {
        let index = self.ends.partition_point(|&end| end <= at);
        let start = self.ends[index] - self.list[index].len();
        &self.list[index][at - start..(to - start).min(self.list[index].len())]
    }

    pub(super) fn append(&mut self, mut bytes: &[u8]) {
        if let (Some(last), Some(end)) = (self.list.last_mut(), self.ends.last_mut()) {
            if let Some(last) = Arc::get_mut(last) {
                let taken = bytes.len().min(last.capacity() - last.len());
                last.extend_from_slice(&bytes[..taken]);
                *end += taken;
                bytes = &bytes[taken..];
            }
        }
        while !bytes.is_empty() {
            let capacity = self.len().next_power_of_two().clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
            let mut chunk = Vec::with_capacity(capacity);
            let taken = bytes.len().min(capacity);
            chunk.extend_from_slice(&bytes[..taken]);
            self.ends.push(self.len() + taken);
            if !self.list.is_empty() {
                self.sizes[size_of_capacity(capacity)] += 1;
            }
            self.list.push(Arc::new(chunk));
            bytes = &bytes[taken..];
        }
    }

    /// The most bytes that an append of `bytes` may ask of the allocator.
    pub(super) fn append_room(&self, bytes: usize) -> usize {
        if bytes == 0 {
            return 0;
        }
        let chunks = bytes / CHUNK_BYTES_MIN + 2;
        let last = (self.len() + bytes).next_power_of_two().clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        bytes + last + (self.list.len() + chunks) * 64
    }

    /// Whether these bytes, which lie inside, can be overwritten without copying much; `shared` says that the whole list is
    /// about to be copied from a capture, which then holds every chunk.
    pub(super) fn is_writable(&self, from: usize, to: usize, shared: bool) -> bool {
        let first = self.ends.partition_point(|&end| end <= from);
        let chunks = self.list.iter().zip(&self.ends).skip(first);
        chunks.take_while(|(chunk, end)| *end - chunk.len() < to).all(|(chunk, _)| writable(chunk, shared))
    }

    /// Overwrites from `offset` on, inside the string.
    pub(super) fn overwrite(&mut self, offset: usize, bytes: &[u8]) {
        let mut done = 0;
        let first = self.ends.partition_point(|&end| end <= offset);
        for (chunk, &end) in self.list.iter_mut().zip(&self.ends).skip(first) {
            if done == bytes.len() {
                break;
            }
            let start = end - chunk.len();
            let chunk = unshared(chunk);
            let at = offset + done - start;
            let taken = (chunk.len() - at).min(bytes.len() - done);
            chunk[at..at + taken].copy_from_slice(&bytes[done..done + taken]);
            done += taken;
        }
    }

    /// What every allocation costs together.
    pub(super) fn charged(&self, model: AllocatorModel) -> u64 {
        let lists = model.charge(self.list.capacity() * size_of::<Arc<Vec<u8>>>())
            + model.charge(self.ends.capacity() * size_of::<usize>());
        let heads = self.list.len() as u64 * model.charge(ARC_BYTES + size_of::<Vec<u8>>());
        let first = self.list.first().map_or(0, |chunk| model.charge(chunk.capacity()));
        let others = self.sizes.iter().zip(0..);
        let others: u64 =
            others.map(|(&count, size)| u64::from(count) * model.charge(CHUNK_BYTES_MIN << size)).sum();
        lists + heads + first + others
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        let (mut total, mut sizes) = (0, [0; SIZES]);
        assert_eq!(self.list.len(), self.ends.len(), "I1");
        for (index, (chunk, &end)) in self.list.iter().zip(&self.ends).enumerate() {
            assert!(!chunk.is_empty(), "I1: no chunk is empty");
            total += chunk.len();
            assert_eq!(end, total, "I1: ends are running totals");
            if index > 0 {
                let size = size_of_capacity(chunk.capacity());
                assert_eq!(chunk.capacity(), CHUNK_BYTES_MIN << size, "I3");
                sizes[size] += 1;
            }
        }
        assert_eq!(self.sizes, sizes, "I3");
    }
}

/// The index in `sizes` of a capacity that `append` chooses.
fn size_of_capacity(capacity: usize) -> usize {
    (capacity / CHUNK_BYTES_MIN).trailing_zeros() as usize
}

fn writable(chunk: &Arc<Vec<u8>>, shared: bool) -> bool {
    chunk.capacity() <= COPY_BYTES_MAX || (!shared && Arc::strong_count(chunk) == 1)
}

/// The chunk for its owner alone. A copy has the capacity of the original (I3).
fn unshared(chunk: &mut Arc<Vec<u8>>) -> &mut Vec<u8> {
    if Arc::get_mut(chunk).is_none() {
        let mut copy = Vec::with_capacity(chunk.capacity());
        copy.extend_from_slice(chunk);
        *chunk = Arc::new(copy);
    }
    Arc::get_mut(chunk).expect("I2: nobody else holds a copy just made")
}
