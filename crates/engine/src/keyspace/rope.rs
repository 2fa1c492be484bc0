//! Large strings: a dense beginning, and blocks for what was written far behind it or beside a reader.
//!
//! ```text
//! Arc<Rope> -> chunks  |#########|                        dense, from 0 on: what was set or appended
//!              blocks  |   #     |     #          #  |    8 KiB each, where written; they hide what the chunks have there
//!                                 `- no block, no chunk: zeros, up to `len`
//! ```
//! A value that is set whole is one chunk, so readers share it without a copy. APPEND fills the last chunk while nobody else
//! holds it, else starts another one. Up to 64 KiB a string stays dense. Beyond, a write that leaves a gap of a block or more makes
//! blocks, and so does a write into a chunk above 64 KiB that a reader holds: no write copies more than that.
//!
//! Invariants: I1: a captured root never changes, nor anything below it. I2: with blocks, `len` is theirs and the chunks end at or
//! before it. I3: bytes of blocks behind `len` are zero. I4: a block that is there holds all of its 8 KiB, those of the chunks
//! included.
//!
//! Costs: capture O(1); append amortised O(bytes); a write O(bytes), plus a copy of at most 64 KiB and of the list of chunks after a
//! capture; a read of `n` bytes O(log + n), skipping what is absent; cost O(1).

mod chunks;

#[cfg(test)]
mod tests;

use std::ops::Range;

use chunks::Chunks;

use crate::collections::bits::Piece;
use crate::collections::meter::ARC_BYTES;
use crate::collections::sparse::{BLOCK_BYTES, Blocks};
use crate::memory::AllocatorModel;

/// Up to this length a string has no gaps.
pub(crate) const DENSE_BYTES_MAX: usize = 64 * 1024;

const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// A large byte string.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rope {
    chunks: Chunks,
    sparse: Option<Box<Sparse>>,
}

#[derive(Debug, Clone)]
struct Sparse {
    /// Of the whole string.
    len: usize,
    blocks: Blocks,
}

impl Rope {
    /// Takes the bytes as they are, without spare capacity.
    pub(crate) fn from_vec(bytes: Vec<u8>) -> Self {
        Self { chunks: Chunks::from_vec(bytes), sparse: None }
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize, model: AllocatorModel) -> Self {
        let mut rope = Self::default();
        rope.grow(len, model);
        rope
    }

    pub(crate) fn len(&self) -> usize {
        self.sparse.as_ref().map_or_else(|| self.chunks.len(), |sparse| sparse.len)
    }

    /// The whole string, if it lies in one piece.
    pub(crate) fn as_slice(&self) -> Option<&[u8]> {
        if self.sparse.is_some() { None } else { self.chunks.as_slice() }
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        if let Some(whole) = self.as_slice() {
            return whole.to_vec();
        }
        let mut out = vec![0; self.len()];
        for (at, bytes) in self.pieces(0..self.len()) {
            out[at..at + bytes.len()].copy_from_slice(bytes);
        }
        out
    }

    /// Appends the bytes `from..to` to `out`; the range lies inside the string.
    pub(crate) fn copy_range(&self, from: usize, to: usize, out: &mut Vec<u8>) {
        let start = out.len();
        for (at, bytes) in self.pieces(from..to) {
            out.resize(start + at - from, 0);
            out.extend_from_slice(bytes);
        }
        out.resize(start + to - from, 0);
    }

    /// Reads the bytes from `at` on; what lies behind the end is zero.
    pub(crate) fn read(&self, at: usize, out: &mut [u8]) {
        out.fill(0);
        for (from, bytes) in self.pieces(at..at.saturating_add(out.len())) {
            out[from - at..from - at + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Whether these are the bytes.
    pub(crate) fn equals(&self, bytes: &[u8]) -> bool {
        if self.len() != bytes.len() {
            return false;
        }
        let zero = |from: usize, to: usize| bytes[from..to].iter().all(|&byte| byte == 0);
        let mut at = 0;
        for (from, piece) in self.pieces(0..bytes.len()) {
            if !zero(at, from) || bytes[from..from + piece.len()] != *piece {
                return false;
            }
            at = from + piece.len();
        }
        zero(at, bytes.len())
    }

    /// The parts of a range that are there, ascending; the rest is zero. What is asked for behind the end is not there.
    pub(crate) fn pieces(&self, range: Range<usize>) -> Pieces<'_> {
        Pieces { rope: self, at: range.start, end: range.end.min(self.len()) }
    }

    /// The bytes of one block, which lies inside: as they are if they lie together, else copied into `spare`; `None` if they are
    /// zero for being absent.
    pub(crate) fn block<'a>(&'a self, range: Range<usize>, spare: &'a mut [u8]) -> Option<&'a [u8]> {
        let (at, first) = self.pieces(range.clone()).next()?;
        if at == range.start && first.len() == range.len() {
            return Some(first);
        }
        let spare = &mut spare[..range.len()];
        self.read(range.start, spare);
        Some(spare)
    }

    /// Appends bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let len = self.len();
        match &mut self.sparse {
            None => self.chunks.append(bytes),
            Some(sparse) => {
                sparse.len = len + bytes.len();
                self.overwrite_blocks(len, bytes);
            }
        }
    }

    /// Writes from `offset` on, wherever that is; zeros fill a gap before it.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8], model: AllocatorModel) {
        self.grow(offset, model);
        let inside = (self.len() - offset).min(bytes.len());
        self.overwrite(offset, &bytes[..inside], model);
        self.append(&bytes[inside..]);
    }

    /// Makes the string at least this long, with zeros.
    pub(crate) fn grow(&mut self, to: usize, model: AllocatorModel) {
        let len = self.len();
        if to <= len {
            return;
        }
        if self.grows_sparse(to) {
            self.sparse_mut(model).len = to;
        } else {
            let mut missing = to - len;
            while missing > 0 {
                let step = missing.min(ZEROS.len());
                self.chunks.append(&ZEROS[..step]);
                missing -= step;
            }
        }
    }

    /// Whether zeros up to `to` are left out instead of written.
    fn grows_sparse(&self, to: usize) -> bool {
        self.sparse.is_some() || (to > DENSE_BYTES_MAX && to - self.len() >= BLOCK_BYTES)
    }

    fn sparse_mut(&mut self, model: AllocatorModel) -> &mut Sparse {
        let len = self.chunks.len();
        self.sparse.get_or_insert_with(|| Box::new(Sparse { len, blocks: Blocks::new(model) }))
    }

    /// Overwrites from `offset` on, inside the string.
    fn overwrite(&mut self, offset: usize, bytes: &[u8], model: AllocatorModel) {
        if bytes.is_empty() {
            return;
        }
        if self.sparse.is_none() {
            if self.chunks.is_writable(offset, offset + bytes.len(), false) {
                return self.chunks.overwrite(offset, bytes);
            }
            self.sparse_mut(model);
        }
        self.overwrite_blocks(offset, bytes);
    }

    /// The same for a string that has blocks, or gets its first ones.
    fn overwrite_blocks(&mut self, offset: usize, mut bytes: &[u8]) {
        let Some(sparse) = self.sparse.as_deref_mut() else { return };
        let mut at = offset;
        while !bytes.is_empty() {
            let (index, inside) = (at / BLOCK_BYTES, at % BLOCK_BYTES);
            let (part, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - inside));
            let (here, end) = (at, at + part.len());
            (at, bytes) = (end, rest);
            if !sparse.blocks.has(index) {
                if end <= self.chunks.len() && self.chunks.is_writable(here, end, false) {
                    self.chunks.overwrite(here, part);
                    continue;
                }
                let absent = index * BLOCK_BYTES >= self.chunks.len();
                if absent && part.iter().all(|&byte| byte == 0) {
                    continue;
                }
            }
            let chunks = &self.chunks;
            let block = sparse.blocks.edit(index, |block| {
                let start = index * BLOCK_BYTES;
                let end = chunks.len().min(start + BLOCK_BYTES);
                let mut at = start;
                while at < end {
                    let run = chunks.run(at, end);
                    block[at - start..at - start + run.len()].copy_from_slice(run);
                    at += run.len();
                }
            });
            block[inside..inside + part.len()].copy_from_slice(part);
        }
    }

    /// The most that writing `bytes` bytes at `offset`, in one place, may ask of the allocator; `shared` if the root is captured.
    pub(crate) fn room(&self, offset: usize, bytes: usize, shared: bool) -> usize {
        let (len, end) = (self.len(), offset.saturating_add(bytes));
        let inside = offset.min(len)..end.min(len);
        let in_place = inside.is_empty()
            || (inside.end <= self.chunks.len() && self.chunks.is_writable(inside.start, inside.end, shared));
        let head = if self.sparse.is_none() { size_of::<Sparse>() + 64 } else { 0 };
        let blocks =
            || Blocks::room((end.saturating_sub(1) / BLOCK_BYTES).saturating_sub(offset / BLOCK_BYTES) + 1);
        if end <= len {
            let have = offset / BLOCK_BYTES == end.saturating_sub(1) / BLOCK_BYTES
                && self.sparse.as_ref().is_some_and(|sparse| sparse.blocks.has(offset / BLOCK_BYTES));
            return if in_place || have { 0 } else { head.saturating_add(blocks()) };
        }
        let sparse = self.sparse.is_some() || !in_place || self.grows_sparse(offset.max(len));
        let dense = self.chunks.append_room(end - len);
        if sparse { head.saturating_add(blocks()) } else { dense }
    }

    /// The most that making the string `to` bytes long may ask of the allocator.
    #[cfg(test)]
    pub(crate) fn grow_room(&self, to: usize) -> usize {
        if to <= self.len() {
            0
        } else if self.grows_sparse(to) {
            size_of::<Sparse>() + 64
        } else {
            self.chunks.append_room(to - self.len())
        }
    }

    /// What every allocation costs, the root's own included.
    pub(crate) fn charged(&self, model: AllocatorModel) -> u64 {
        let sparse = self.sparse.as_ref();
        let sparse = sparse.map_or(0, |sparse| model.charge(size_of::<Sparse>()) + sparse.blocks.charged());
        model.charge(ARC_BYTES + size_of::<Self>()) + self.chunks.charged(model) + sparse
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) {
        self.chunks.validate();
        if let Some(sparse) = &self.sparse {
            sparse.blocks.validate();
            assert!(self.chunks.len() <= sparse.len, "I2");
            let mut index = 0;
            while let Some((at, block)) = sparse.blocks.next(index) {
                let behind = sparse.len.saturating_sub(at * BLOCK_BYTES).min(BLOCK_BYTES);
                assert!(behind > 0, "I3: no block lies behind the end");
                assert!(block[behind..].iter().all(|&byte| byte == 0), "I3");
                index = at + 1;
            }
        }
    }
}

/// See [`Rope::pieces`].
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    rope: &'a Rope,
    at: usize,
    end: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        while self.at < self.end {
            let at = self.at;
            let block = self.rope.sparse.as_ref().and_then(|sparse| sparse.blocks.next(at / BLOCK_BYTES));
            let (start, bytes) = match block {
                Some((index, bytes)) => (index * BLOCK_BYTES, Some(bytes)),
                None => (usize::MAX, None),
            };
            let piece = match bytes {
                Some(bytes) if start <= at => &bytes[at - start..(self.end - start).min(BLOCK_BYTES)],
                _ => {
                    let to = self.end.min(start).min(self.rope.chunks.len());
                    if at >= to {
                        // A gap, up to the next block.
                        self.at = start;
                        continue;
                    }
                    self.rope.chunks.run(at, to)
                }
            };
            self.at += piece.len();
            return Some((at, piece));
        }
        None
    }
}
