//! A counting allocator: the system's, plus how many bytes are out.
//!
//! Two sums are kept: the bytes asked for, and what glibc's allocator takes for them, `max(32, round16(n +
//! 8))` a block. A binary that wants the figures declares it as its own `#[global_allocator]`; the throughput
//! binary does not, because two threads adding to one counter would measure the counter.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

static ASKED: AtomicU64 = AtomicU64::new(0);
static CHUNKS: AtomicU64 = AtomicU64::new(0);
static BLOCKS: AtomicU64 = AtomicU64::new(0);

/// The system allocator with counters.
#[derive(Debug, Default)]
pub struct CountingAllocator;

/// Bytes and blocks that are out at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Sum of the sizes asked for.
    pub asked_bytes: u64,
    /// The same in glibc's chunks.
    pub chunk_bytes: u64,
    /// Number of blocks.
    pub blocks: u64,
}

/// Returns what is out now; all zero in a binary that did not install the allocator.
pub fn held() -> Held {
    Held {
        asked_bytes: ASKED.load(Ordering::Relaxed),
        chunk_bytes: CHUNKS.load(Ordering::Relaxed),
        blocks: BLOCKS.load(Ordering::Relaxed),
    }
}

/// Returns the bytes of the glibc chunk that holds `bytes` asked for.
pub const fn chunk_bytes(bytes: usize) -> u64 {
    let rounded = (bytes as u64 + 8).next_multiple_of(16);
    if rounded < 32 { 32 } else { rounded }
}

fn count_in(bytes: usize) {
    ASKED.fetch_add(bytes as u64, Ordering::Relaxed);
    CHUNKS.fetch_add(chunk_bytes(bytes), Ordering::Relaxed);
    BLOCKS.fetch_add(1, Ordering::Relaxed);
}

fn count_out(bytes: usize) {
    ASKED.fetch_sub(bytes as u64, Ordering::Relaxed);
    CHUNKS.fetch_sub(chunk_bytes(bytes), Ordering::Relaxed);
    BLOCKS.fetch_sub(1, Ordering::Relaxed);
}

// SAFETY: every call goes to `System` with the same arguments, and its answer comes back unchanged; the
// counters touch no memory of the caller's.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps `alloc`'s contract, which is `System`'s.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            count_in(layout.size());
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            count_in(layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from `System` with this layout, since every allocation above did.
        unsafe { System.dealloc(block, layout) };
        count_out(layout.size());
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as in `dealloc`; the caller vouches for `new_size`.
        let moved = unsafe { System.realloc(block, layout, new_size) };
        if !moved.is_null() {
            count_out(layout.size());
            count_in(new_size);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_rounded_as_glibc_does() {
        assert_eq!(chunk_bytes(0), 32);
        assert_eq!(chunk_bytes(24), 32);
        assert_eq!(chunk_bytes(25), 48);
        assert_eq!(chunk_bytes(40), 48);
        assert_eq!(chunk_bytes(41), 64);
    }

    #[test]
    fn blocks_are_counted_in_and_out() {
        let layout = Layout::from_size_align(100, 8).expect("a valid layout");
        let before = held();
        // SAFETY: the layout is not empty; the block is released below with the layout it then has.
        let block = unsafe { CountingAllocator.alloc(layout) };
        assert_eq!(held().asked_bytes - before.asked_bytes, 100);
        // SAFETY: `block` came from this allocator with `layout`.
        let block = unsafe { CountingAllocator.realloc(block, layout, 300) };
        assert_eq!(held().asked_bytes - before.asked_bytes, 300);
        assert_eq!(held().chunk_bytes - before.chunk_bytes, chunk_bytes(300));
        assert_eq!(held().blocks - before.blocks, 1);
        let grown = Layout::from_size_align(300, 8).expect("a valid layout");
        // SAFETY: `block` has this layout since the call above.
        unsafe { CountingAllocator.dealloc(block, grown) };
        assert_eq!(held(), before);
    }
}
