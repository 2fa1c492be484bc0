//! Large strings: a list of chunks under one shared root.
//!
//! ```text
//! Arc<Rope> -> chunks: [Arc<flat 1 MiB>, Arc<64 KiB>, Arc<64 KiB, half full>]   ends: [1 MiB, ..]
//! ```
//! A value that is set whole is one chunk, so readers share it without a copy. APPEND fills the last chunk while
//! nobody else holds it, else starts another one.
//!
//! Invariants: I1: `ends` are the running totals of the chunks' lengths, no chunk is empty. I2: a chunk that a reader holds is
//! never changed: it is copied first. Costs: capture O(1); append amortised O(bytes appended), plus one copy of
//! the list of chunks if the root is captured; a read of `n` bytes O(log chunks + n).

use std::sync::Arc;

/// The smallest chunk that an append starts.
const CHUNK_BYTES_MIN: usize = 4 * 1024;
/// The largest chunk that an append starts.
const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// A byte string in chunks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rope {
    chunks: Vec<Arc<Vec<u8>>>,
    ends: Vec<usize>,
}

impl Rope {
    /// Takes the bytes as they are, without spare capacity.
    pub(crate) fn from_vec(mut bytes: Vec<u8>) -> Self {
        bytes.shrink_to_fit();
        let end = bytes.len();
        if end == 0 { Self::default() } else { Self { chunks: vec![Arc::new(bytes)], ends: vec![end] } }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The whole string, if it lies in one piece.
    pub(crate) fn as_slice(&self) -> Option<&[u8]> {
        match self.chunks.as_slice() {
            [] => Some(&[]),
            [only] => Some(only),
            _ => None,
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        self.copy_range(0, self.len(), &mut out);
        out
    }

    /// Appends the bytes `from..to` to `out`; the range lies inside the string.
    pub(crate) fn copy_range(&self, from: usize, to: usize, out: &mut Vec<u8>) {
        let first = self.ends.partition_point(|&end| end <= from);
        for (chunk, &end) in self.chunks.iter().zip(&self.ends).skip(first) {
            let start = end - chunk.len();
            if start >= to {
                break;
            }
            out.extend_from_slice(&chunk[from.saturating_sub(start)..(to - start).min(chunk.len())]);
        }
    }

    /// Appends bytes at the end.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) {
        if let (Some(last), Some(end)) = (self.chunks.last_mut(), self.ends.last_mut()) {
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
            let taken = bytes.len().min(chunk.capacity());
            chunk.extend_from_slice(&bytes[..taken]);
            self.ends.push(self.len() + taken);
            self.chunks.push(Arc::new(chunk));
            bytes = &bytes[taken..];
        }
    }

    /// The most bytes that an append of `bytes` may ask of the allocator.
    pub(crate) fn append_bytes_max(&self, bytes: usize) -> usize {
        if bytes == 0 {
            return 0;
        }
        let chunks = bytes / CHUNK_BYTES_MIN + 2;
        let last = (self.len() + bytes).next_power_of_two().clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        bytes + last + (self.chunks.len() + chunks) * 64
    }

    /// Overwrites from `offset` on, inside the string.
    pub(crate) fn overwrite(&mut self, offset: usize, bytes: &[u8]) {
        let mut done = 0;
        let first = self.ends.partition_point(|&end| end <= offset);
        for (chunk, &end) in self.chunks.iter_mut().zip(&self.ends).skip(first) {
            if done == bytes.len() {
                break;
            }
            let start = end - chunk.len();
            let chunk = Arc::make_mut(chunk);
            let at = offset + done - start;
            let taken = (chunk.len() - at).min(bytes.len() - done);
            chunk[at..at + taken].copy_from_slice(&bytes[done..done + taken]);
            done += taken;
        }
    }

    /// Visits the size of every allocation below the root's own.
    pub(crate) fn allocations(&self, mut visit: impl FnMut(usize)) {
        /// An `Arc`'s two counters before its content.
        const COUNTERS_BYTES: usize = 16;
        visit(COUNTERS_BYTES + size_of::<Self>());
        visit(self.chunks.capacity() * size_of::<Arc<Vec<u8>>>());
        visit(self.ends.capacity() * size_of::<usize>());
        for chunk in &self.chunks {
            visit(COUNTERS_BYTES + size_of::<Vec<u8>>());
            visit(chunk.capacity());
        }
    }

    #[cfg(test)]
    fn validate(&self) {
        let mut total = 0;
        assert_eq!(self.chunks.len(), self.ends.len());
        for (chunk, &end) in self.chunks.iter().zip(&self.ends) {
            assert!(!chunk.is_empty(), "I1: no chunk is empty");
            total += chunk.len();
            assert_eq!(end, total, "I1: ends are running totals");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Append(Vec<u8>),
        Overwrite(usize, Vec<u8>),
        Capture,
        Read(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..9_000);
        prop_oneof![
            bytes().prop_map(Step::Append),
            (any::<usize>(), bytes()).prop_map(|(at, bytes)| Step::Overwrite(at, bytes)),
            Just(Step::Capture),
            (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Step::Read(from, to)),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_vector(
            start in prop::collection::vec(any::<u8>(), 0..9_000),
            steps in prop::collection::vec(step(), 0..40),
        ) {
            let mut model = start.clone();
            let mut rope = Arc::new(Rope::from_vec(start));
            let mut captured: Vec<(Arc<Rope>, Vec<u8>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Append(bytes) => {
                        Arc::make_mut(&mut rope).append(&bytes);
                        model.extend_from_slice(&bytes);
                    }
                    Step::Overwrite(at, bytes) => {
                        let at = at % (model.len() + 1);
                        let bytes = &bytes[..bytes.len().min(model.len() - at)];
                        Arc::make_mut(&mut rope).overwrite(at, bytes);
                        model[at..at + bytes.len()].copy_from_slice(bytes);
                    }
                    Step::Capture => captured.push((Arc::clone(&rope), model.clone())),
                    Step::Read(from, to) => {
                        let to = to % (model.len() + 1);
                        let from = from % (to + 1);
                        let mut out = Vec::new();
                        rope.copy_range(from, to, &mut out);
                        prop_assert_eq!(&out, &model[from..to]);
                    }
                }
                rope.validate();
                prop_assert_eq!(rope.len(), model.len());
                prop_assert_eq!(&rope.to_vec(), &model);
            }
            for (rope, model) in captured {
                prop_assert_eq!(rope.to_vec(), model, "I2: a captured root never changes");
            }
        }
    }
}
