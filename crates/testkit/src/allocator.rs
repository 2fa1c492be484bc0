//! A global allocator that counts, a thread at a time, what was asked for and not given back.
//!
//! Invariant: the counts of a thread are those of the calls that this thread made, so memory that one thread allocates
//! and another one frees is counted once up and once down, on different threads. Measure single-threaded.

#![expect(unsafe_code, reason = "an allocator is an unsafe trait; every call goes on to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use larder::AllocatorModel;

thread_local! {
    // Without a destructor and constant: it can be used while a thread begins and ends.
    static HELD: Cell<Held> = const { Cell::new(Held { requested: 0, glibc: 0, blocks: 0 }) };
}

/// What a thread holds: the difference of what it allocated and what it freed, modulo 2^64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Bytes asked for.
    pub requested: u64,
    /// What those cost by glibc's rounding.
    pub glibc: u64,
    /// Allocations.
    pub blocks: u64,
}

impl Held {
    /// Returns what has come since `before`; the thread must hold no less than then.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            requested: self.requested.wrapping_sub(before.requested),
            glibc: self.glibc.wrapping_sub(before.glibc),
            blocks: self.blocks.wrapping_sub(before.blocks),
        }
    }

    /// Returns the bytes by a model; only what was asked for and glibc's rounding are counted.
    ///
    /// # Panics
    /// For any other model.
    #[must_use]
    pub fn bytes(self, model: AllocatorModel) -> u64 {
        match model {
            AllocatorModel::Requested => self.requested,
            AllocatorModel::Glibc => self.glibc,
            other => panic!("{other:?} is not counted"),
        }
    }

    fn plus(self, bytes: usize) -> Self {
        Self {
            requested: self.requested.wrapping_add(AllocatorModel::Requested.charge(bytes)),
            glibc: self.glibc.wrapping_add(AllocatorModel::Glibc.charge(bytes)),
            blocks: self.blocks.wrapping_add(1),
        }
    }

    fn minus(self, bytes: usize) -> Self {
        Self {
            requested: self.requested.wrapping_sub(AllocatorModel::Requested.charge(bytes)),
            glibc: self.glibc.wrapping_sub(AllocatorModel::Glibc.charge(bytes)),
            blocks: self.blocks.wrapping_sub(1),
        }
    }
}

/// The system's allocator, with counts; put it in a `#[global_allocator]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingAllocator;

impl CountingAllocator {
    /// Returns what this thread holds.
    #[must_use]
    pub fn held() -> Held {
        HELD.get()
    }
}

// SAFETY: every call is handed to the system's allocator unchanged; counting touches only a constant thread-local
// cell, which neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            HELD.set(HELD.get().plus(layout.size()));
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            HELD.set(HELD.get().plus(layout.size()));
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.set(HELD.get().minus(layout.size()));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`.
        let moved = unsafe { System.realloc(block, layout, new_size) };
        if !moved.is_null() {
            HELD.set(HELD.get().minus(layout.size()).plus(new_size));
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_leaves_nothing() {
        let allocator = CountingAllocator;
        let small = Layout::from_size_align(100, 8).expect("a layout");
        let before = CountingAllocator::held();
        // SAFETY: the layouts are those of the blocks, and no block is used after it is freed.
        unsafe {
            let block = allocator.alloc(small);
            let one = CountingAllocator::held().since(before);
            assert_eq!(one, Held { requested: 100, glibc: 112, blocks: 1 });
            let block = allocator.realloc(block, small, 25);
            let grown = CountingAllocator::held().since(before);
            assert_eq!(
                (grown.bytes(AllocatorModel::Requested), grown.bytes(AllocatorModel::Glibc)),
                (25, 48)
            );
            allocator.dealloc(block, Layout::from_size_align(25, 8).expect("a layout"));
        }
        assert_eq!(CountingAllocator::held().since(before), Held::default());
    }

    #[test]
    fn threads_count_apart() {
        let before = CountingAllocator::held();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let layout = Layout::from_size_align(64, 8).expect("a layout");
                // SAFETY: the block is freed with its own layout.
                unsafe {
                    let block = CountingAllocator.alloc(layout);
                    CountingAllocator.dealloc(block, layout);
                }
                assert_eq!(CountingAllocator::held(), Held::default());
            });
        });
        assert_eq!(CountingAllocator::held(), before);
    }
}
