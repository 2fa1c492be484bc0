//! The entries of a stream: a counted copy-on-write tree of blocks.
//!
//! ```text
//! Tree<Block>, by id:  [1-0 .. 9-3] [9-4 .. 20-0] .. [77-0 ..]     entries are appended to the last block
//! ```
//! Invariants: I1: the blocks' bases ascend, and every id of a block lies below the next block's base. I2: none is empty.
//!
//! Costs, n entries, b bytes of a block: append O(log n) and at most one copy of a block; find, remove O(log n + b); trim
//! O(log n + b), approximate trimming O(blocks that go); clone O(1).
//!
//! Block boundaries are Redis's, so that `XTRIM ~` takes the same entries, with two exceptions: a block has at most 64 KiB,
//! whatever the limits say; and a block without entries always goes, where Redis keeps a node that exact `MINID` trimming
//! emptied while its newest id, of a removed entry, is not below the bound.

use std::ops::RangeInclusive;

use super::super::cow::tree::{Leaf, Tree};
use super::block::{Block, EntryRef};
use super::fields::{StreamEntry, StreamFields};
use super::id::StreamId;
use super::nodes::radix_nodes;
use crate::collections::rules::EncodingLimits;
use crate::memory::AllocatorModel;

#[derive(Debug, Clone)]
pub(crate) struct Log {
    blocks: Tree<Block>,
}

/// Up to where a stream is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrimTo {
    /// `MAXLEN`: the newest entries that are kept, by number.
    Length(u64),
    /// `MINID`: the lowest id that is kept.
    Id(StreamId),
}

/// How a stream is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trimming {
    pub(crate) to: TrimTo,
    /// Whole blocks only.
    pub(crate) approximate: bool,
    /// The most entries that may go, in approximate trimming; zero for no limit.
    pub(crate) limit: u64,
}

impl Log {
    pub(super) fn new(model: AllocatorModel) -> Self {
        Self { blocks: Tree::new(model) }
    }

    pub(crate) fn len(&self) -> u64 {
        self.blocks.len() as u64
    }

    pub(super) fn charged(&self) -> u64 {
        self.blocks.charged()
    }

    pub(super) fn block_count(&self) -> usize {
        self.blocks.leaf_count()
    }

    /// How many nodes a radix tree over the blocks would have.
    pub(super) fn radix_nodes(&self) -> u64 {
        radix_nodes(self.blocks.leaves(0..usize::MAX).map(Block::base))
    }

    pub(super) fn first_id(&self) -> Option<StreamId> {
        self.blocks.first()?.walk().next().map(|entry| entry.id)
    }

    pub(super) fn last_id(&self) -> Option<StreamId> {
        self.blocks.last().map(Block::tail)
    }

    pub(super) fn contains(&self, id: StreamId) -> bool {
        self.find(id).is_some()
    }

    pub(crate) fn get(&self, id: StreamId) -> Option<StreamEntry> {
        self.find(id).map(EntryRef::to_entry)
    }

    fn find(&self, id: StreamId) -> Option<EntryRef<'_>> {
        self.blocks.leaf(self.blocks.seek(id)?)?.find(id)
    }

    /// The ids in a range, ascending.
    pub(super) fn ids(&self, range: RangeInclusive<StreamId>) -> impl Iterator<Item = StreamId> {
        let (first, last) = range.into_inner();
        let start = self.blocks.seek(first).unwrap_or(0);
        let ids = self.blocks.leaves(start..usize::MAX).flat_map(|block| block.walk().map(|entry| entry.id));
        ids.skip_while(move |&id| id < first).take_while(move |&id| id <= last)
    }

    /// Appends an entry whose id is above all others.
    pub(super) fn append(&mut self, id: StreamId, fields: &StreamFields, limits: &EncodingLimits) {
        let count = self.blocks.leaf_count();
        if let Some(last) = self.blocks.last() {
            if last.takes(fields.payload(), limits) {
                self.blocks.edit(count - 1, |block| block.append(id, fields));
                return;
            }
            if last.has_slack() {
                self.blocks.edit(count - 1, Block::close);
            }
        }
        self.blocks.push_back(Block::open(id, fields));
    }

    /// Takes an entry out; `false` if it is not there.
    pub(super) fn remove(&mut self, id: StreamId) -> bool {
        let Some(number) = self.blocks.seek(id) else { return false };
        let block = self.blocks.leaf(number).expect("I1: a number that was just found");
        if block.find(id).is_none() {
            return false;
        }
        if block.tail() == id && block.walk().nth(1).is_none() {
            self.blocks.remove(number);
            return true;
        }
        self.blocks.edit(number, |block| block.remove(id))
    }

    /// Takes entries out from the left. What went in whole blocks is handed back, to be dropped outside of any lock.
    pub(super) fn trim(&mut self, trimming: &Trimming) -> (u64, Option<Self>) {
        let before = self.len();
        let whole =
            if trimming.approximate { self.whole_blocks(trimming) } else { self.blocks_below(trimming.to) };
        let dropped = self.drop_front(whole);
        if !trimming.approximate && self.goes(trimming.to) {
            let excess = match trimming.to {
                TrimTo::Length(length) => usize::try_from(self.len() - length).unwrap_or(usize::MAX),
                TrimTo::Id(_) => usize::MAX,
            };
            self.blocks.edit(0, |block| {
                block.remove_while(|index, id| match trimming.to {
                    TrimTo::Length(_) => index < excess,
                    TrimTo::Id(least) => id < least,
                })
            });
        }
        (before - self.len(), dropped)
    }

    /// Whether the first entry is beyond what is kept.
    fn goes(&self, to: TrimTo) -> bool {
        match to {
            TrimTo::Length(length) => self.len() > length,
            TrimTo::Id(least) => self.first_id().is_some_and(|first| first < least),
        }
    }

    /// How many blocks approximate trimming takes, counted as Redis does it, removed entries at a block's end included.
    fn whole_blocks(&self, trimming: &Trimming) -> usize {
        let (mut blocks, mut entries) = (0, 0);
        for block in self.blocks.leaves(0..usize::MAX) {
            let more = block.len() as u64;
            let left = self.len() - entries;
            let goes = match trimming.to {
                TrimTo::Length(length) => left > length && left - more >= length,
                TrimTo::Id(least) => block.newest() < least,
            };
            if !goes || (trimming.limit > 0 && entries + more > trimming.limit) {
                break;
            }
            entries += more;
            blocks += 1;
        }
        blocks
    }

    /// How many blocks hold nothing that is kept.
    fn blocks_below(&self, to: TrimTo) -> usize {
        match to {
            TrimTo::Length(length) => {
                let excess = self.len().saturating_sub(length);
                let excess = usize::try_from(excess).unwrap_or(usize::MAX);
                self.blocks.locate(excess).map_or(self.blocks.leaf_count(), |(number, _)| number)
            }
            TrimTo::Id(least) => {
                let Some(number) = self.blocks.seek(least) else { return 0 };
                let kept = self.blocks.leaf(number).is_some_and(|block| block.tail() >= least);
                if kept { number } else { number + 1 }
            }
        }
    }

    fn drop_front(&mut self, blocks: usize) -> Option<Self> {
        if blocks == 0 {
            return None;
        }
        let rest = self.blocks.split_off(blocks);
        Some(Self { blocks: std::mem::replace(&mut self.blocks, rest) })
    }

    pub(super) fn free_some(&mut self, nodes: usize) -> bool {
        self.blocks.free_some(nodes)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        self.blocks.validate();
        let mut last = None;
        for block in self.blocks.leaves(0..usize::MAX) {
            block.validate();
            assert!(last < Some(block.base()), "I1: blocks follow one another");
            last = Some(block.newest());
        }
    }
}

/// Walks over the entries of a captured log, a part of a block at a time, in either direction.
#[derive(Debug, Clone)]
pub(crate) struct Entries {
    log: Log,
    /// What is left to be read; `None` when it is exhausted.
    range: Option<RangeInclusive<StreamId>>,
    backwards: bool,
    /// Entries to be read out at once: few at first, as often few are wanted.
    part: usize,
    ready: std::vec::IntoIter<StreamEntry>,
}

/// How many entries are read out first.
const FIRST_PART: usize = 8;

impl Entries {
    pub(crate) fn new(log: Log, range: RangeInclusive<StreamId>, backwards: bool) -> Self {
        let range = Some(range).filter(|range| !range.is_empty());
        Self { log, range, backwards, part: FIRST_PART, ready: Vec::new().into_iter() }
    }

    /// Reads the next entries in the range, all from one block.
    fn refill(&mut self) -> Option<()> {
        let (start, end) = self.range.take()?.into_inner();
        let blocks = &self.log.blocks;
        let mut number = if self.backwards { blocks.seek(end)? } else { blocks.seek(start).unwrap_or(0) };
        loop {
            let block = blocks.leaf(number)?;
            let inside =
                block.walk().skip_while(|entry| entry.id < start).take_while(|entry| entry.id <= end);
            let found: Vec<StreamEntry> = if self.backwards {
                let inside: Vec<EntryRef<'_>> = inside.collect();
                inside.into_iter().rev().take(self.part).map(EntryRef::to_entry).collect()
            } else {
                inside.take(self.part).map(EntryRef::to_entry).collect()
            };
            if let Some(last) = found.last() {
                let rest = if self.backwards {
                    last.id.previous().map(|end| start..=end)
                } else {
                    last.id.next().map(|start| start..=end)
                };
                self.range = rest.filter(|rest| !rest.is_empty());
                self.part = usize::MAX;
                self.ready = found.into_iter();
                return Some(());
            }
            // Nothing of the range in this block: it can only begin in the next one, or end in the one before.
            let beyond = if self.backwards { block.base() < start } else { block.newest() > end };
            if beyond {
                return None;
            }
            number = if self.backwards { number.checked_sub(1)? } else { number + 1 };
        }
    }
}

impl Iterator for Entries {
    type Item = StreamEntry;

    fn next(&mut self) -> Option<StreamEntry> {
        loop {
            if let Some(entry) = self.ready.next() {
                return Some(entry);
            }
            self.refill()?;
        }
    }
}
