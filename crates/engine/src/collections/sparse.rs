//! Blocks of a large string that were written one by one: the string is as long as it likes, a block that was never written
//! costs nothing.
//!
//! ```text
//! Blocks -> radix tree -> [block 0: -] [block 1: 8 KiB] [ -  .. ] [block 65,535: 8 KiB]
//! ```
//! Invariants: I1: the meter counts every block and every node. I2: a block that a capture shares is copied before it is changed.
//! Costs: capture O(1); a write O(levels) and, after a capture, one copied node a level and one copied block; the next block that
//! is there O(64 levels). It deliberately does not know the string's length, nor what lies where no block is.

use super::cow::radix::{Chunk, RadixVec};
use super::meter::Meter;
use crate::memory::AllocatorModel;

/// Bytes of a block.
pub(crate) const BLOCK_BYTES: usize = 8 * 1024;

/// What a block with the nodes above it may cost, for reservations.
const BLOCK_ROOM: usize = BLOCK_BYTES + 64;
const PATH_ROOM: usize = 4 * 640;

/// Eight KiB of a string.
#[derive(Debug, Clone)]
struct Block([u8; BLOCK_BYTES]);

impl Chunk for Block {
    fn heap_bytes(&self, _: &mut dyn FnMut(usize)) {}
}

/// The blocks.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    tree: RadixVec<Block>,
    meter: Meter,
}

impl Blocks {
    pub(crate) fn new(model: AllocatorModel) -> Self {
        Self { tree: RadixVec::new(), meter: Meter::new(model) }
    }

    /// What the blocks cost.
    pub(crate) fn charged(&self) -> u64 {
        self.meter.bytes()
    }

    pub(crate) fn has(&self, index: usize) -> bool {
        self.tree.get(index).is_some()
    }

    /// The first block at `index` or behind it.
    pub(crate) fn next(&self, index: usize) -> Option<(usize, &[u8; BLOCK_BYTES])> {
        self.tree.next_present(index).map(|(index, block)| (index, &block.0))
    }

    /// A block, to change it; one that was not there begins as `fill` leaves it, which is given zeros.
    pub(crate) fn edit(
        &mut self,
        index: usize,
        fill: impl FnOnce(&mut [u8; BLOCK_BYTES]),
    ) -> &mut [u8; BLOCK_BYTES] {
        let make = || {
            let mut bytes = [0; BLOCK_BYTES];
            fill(&mut bytes);
            Block(bytes)
        };
        &mut self.tree.get_or_insert_mut(index, &mut self.meter, make).0
    }

    /// The most that `blocks` new blocks side by side ask of the allocator.
    pub(crate) fn room(blocks: usize) -> usize {
        if blocks == 0 {
            0
        } else {
            blocks.saturating_mul(BLOCK_ROOM).saturating_add(PATH_ROOM + blocks * 10)
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) {
        assert_eq!(self.tree.validate(self.meter.model()), self.meter.bytes(), "I1");
    }
}
