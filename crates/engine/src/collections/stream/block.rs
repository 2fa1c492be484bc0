//! A packed block of entries: ids as differences, names of fields once.
//!
//! ```text
//! [len][name] x shared_count | entry | entry | ..          names of the fields of the entry that opened the block
//! entry = head [seq] [count] texts
//!   head    varint: (ms - ms of the entry before) * 4 + 2 if `seq` follows + 1 if the names are its own
//!   seq     only if it is not the next one within the millisecond, nor 0 in a new millisecond
//!   texts   own names: count, then (field, value) pairs; shared names: the values alone
//! ```
//! Invariants: I1: ids ascend, and all lie from `base` to `newest`. I2: the first entry's id is a difference to the id
//! right before `base`, every other's to the entry before it; `tail` is the last one's id. I3: `live` counts the entries in
//! the bytes, `removed` those that were taken out; a block without entries does not exist. I4: `listpack` is what the
//! entries ever appended would take in Redis's format, both counters apart: it decides when a block is full.
//!
//! Costs, n bytes of the block (about 4 KiB): append O(entry); find, remove, walk O(n). An entry that is removed goes from
//! the bytes at once. Reading backwards decodes forwards first.

use super::super::cow::tree::Leaf;
use super::fields::{StreamEntry, StreamFields};
use super::id::StreamId;
use super::nodes::{FRAME_BYTES, NODE_BYTES_MAX, delta, int_bytes, text_bytes};
use super::varint::{put, put_text, size, take, take_text, take_u64, text_size};
use crate::collections::rules::EncodingLimits;

/// Entries of more bytes than this never share a block, whatever the limits say: a change copies a whole block.
const BLOCK_BYTES_MAX: usize = 64 * 1024;
/// Free room beyond twice the content that is given back.
const SLACK_BYTES: usize = 128;

const OWN_NAMES: u128 = 1;
const SEQ_FOLLOWS: u128 = 2;

#[derive(Debug, Clone)]
pub(super) struct Block {
    base: StreamId,
    newest: StreamId,
    tail: StreamId,
    live: u32,
    removed: u32,
    listpack: u64,
    shared_count: usize,
    /// Where the entries begin.
    entries_at: usize,
    bytes: Vec<u8>,
}

impl Leaf for Block {
    type Mark = StreamId;

    fn len(&self) -> usize {
        self.live as usize
    }

    fn mark(&self) -> StreamId {
        self.base
    }

    fn heap_bytes(&self, charge: &mut dyn FnMut(usize)) {
        charge(self.bytes.capacity());
    }
}

impl Block {
    /// A block that this entry opens.
    pub(super) fn open(id: StreamId, fields: &StreamFields) -> Self {
        let mut bytes = Vec::new();
        let mut listpack = int_bytes(count(fields)) + int_bytes(0);
        // An entry too large to be joined by others keeps its names to itself, or they would be kept twice.
        let shared_count = if fields.packed().len() > BLOCK_BYTES_MAX { 0 } else { fields.len() };
        for (name, _) in fields {
            listpack += text_bytes(name);
            if shared_count > 0 {
                put_text(&mut bytes, name);
            }
        }
        let entries_at = bytes.len();
        let (newest, tail) = (id, before(id));
        let mut block =
            Self { base: id, newest, tail, live: 0, removed: 0, listpack, shared_count, entries_at, bytes };
        block.append(id, fields);
        block.bytes.shrink_to(block.bytes.len() + SLACK_BYTES);
        block
    }

    pub(super) fn base(&self) -> StreamId {
        self.base
    }

    /// The id of the last entry appended, whether it is still there or not.
    pub(super) fn newest(&self) -> StreamId {
        self.newest
    }

    /// The id of the last entry that is there.
    pub(super) fn tail(&self) -> StreamId {
        self.tail
    }

    /// Whether an entry with this many bytes of fields and values is to go into this block, or to open the next one.
    pub(super) fn takes(&self, payload: usize, limits: &EncodingLimits) -> bool {
        let most = match u64::from(limits.stream_node_max_bytes) {
            0 => NODE_BYTES_MAX,
            bytes => bytes.min(NODE_BYTES_MAX),
        };
        let listpack = FRAME_BYTES + self.listpack + self.counters();
        let entries = u64::from(self.live) + u64::from(self.removed);
        let entries_max = u64::from(limits.stream_node_max_entries);
        listpack + (payload as u64) < most
            && (entries_max == 0 || entries < entries_max)
            && self.bytes.len() + payload <= BLOCK_BYTES_MAX
            && self.removed < u32::MAX / 2
    }

    fn counters(&self) -> u64 {
        int_bytes(i64::from(self.live)) + int_bytes(i64::from(self.removed))
    }

    /// Appends an entry whose id is above all that were in the block.
    pub(super) fn append(&mut self, id: StreamId, fields: &StreamFields) {
        let own = !self.names_equal(fields);
        let body = if own {
            size(fields.len() as u64) + fields.packed().len()
        } else {
            fields.iter().map(|(_, value)| text_size(value)).sum()
        };
        self.make_room(body + 2 * size(u64::MAX));
        put_head(&mut self.bytes, self.tail, id, own);
        if own {
            put(&mut self.bytes, fields.len() as u128);
            self.bytes.extend_from_slice(fields.packed());
        } else {
            for (_, value) in fields {
                put_text(&mut self.bytes, value);
            }
        }
        self.listpack += self.listpack_entry(id, fields);
        self.live += 1;
        self.newest = id;
        self.tail = id;
    }

    /// What the entry would take in Redis's format. Names are told apart as Redis does it, `BLOCK_BYTES_MAX` or not.
    fn listpack_entry(&self, id: StreamId, fields: &StreamFields) -> u64 {
        let same = id == self.base || self.names_equal(fields);
        let mut bytes = int_bytes(0);
        bytes += int_bytes(delta(id.ms, self.base.ms)) + int_bytes(delta(id.seq, self.base.seq));
        let mut elements = count(fields) + 3;
        if !same {
            bytes += int_bytes(count(fields));
            elements += count(fields) + 1;
        }
        for (name, value) in fields {
            bytes += text_bytes(value) + if same { 0 } else { text_bytes(name) };
        }
        bytes + int_bytes(elements)
    }

    fn names_equal(&self, fields: &StreamFields) -> bool {
        let mut at = 0;
        self.shared_count == fields.len()
            && self.shared_count > 0
            && fields.iter().all(|(name, _)| take_text(&self.bytes, &mut at) == name)
    }

    /// Room for more bytes, growing by less than doubling: most blocks are nearly full.
    fn make_room(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more {
            self.bytes.reserve_exact(more.max(self.bytes.len() / 2).max(SLACK_BYTES));
        }
    }

    /// Whether [`Block::close`] would give anything back.
    pub(super) fn has_slack(&self) -> bool {
        self.bytes.capacity() - self.bytes.len() >= 32
    }

    /// Nothing will be appended any more.
    pub(super) fn close(&mut self) {
        self.bytes.shrink_to_fit();
    }

    fn give_back(&mut self) {
        let len = self.bytes.len();
        if self.bytes.capacity() > 2 * len + SLACK_BYTES {
            self.bytes.shrink_to(len + SLACK_BYTES / 2);
        }
    }

    pub(super) fn walk(&self) -> Walk<'_> {
        Walk { block: self, before: before(self.base), at: self.entries_at }
    }

    pub(super) fn find(&self, id: StreamId) -> Option<EntryRef<'_>> {
        self.walk().find(|entry| entry.id >= id).filter(|entry| entry.id == id)
    }

    /// Takes an entry out; `false` if it is not there.
    pub(super) fn remove(&mut self, id: StreamId) -> bool {
        let mut walk = self.walk();
        let Some(entry) = walk.find(|entry| entry.id >= id).filter(|entry| entry.id == id) else {
            return false;
        };
        let (head, previous) = (entry.head, entry.before);
        let next = walk.next().map(|next| (next.id, next.own, next.body));
        self.cut(head, previous, next);
        self.live -= 1;
        self.removed += 1;
        true
    }

    /// Takes out the first entries, but not all; returns how many went.
    pub(super) fn remove_while(&mut self, mut goes: impl FnMut(usize, StreamId) -> bool) -> usize {
        let found = self.walk().enumerate().find(|(index, entry)| !goes(*index, entry.id));
        let (gone, first) = found.expect("the caller keeps at least one entry");
        let next = Some((first.id, first.own, first.body));
        if gone > 0 {
            self.cut(self.entries_at, before(self.base), next);
            let count = u32::try_from(gone).expect("I3: at most `live`");
            self.live -= count;
            self.removed += count;
        }
        gone
    }

    /// Drops the bytes from `head` up to the next entry, whose id becomes a difference to `previous`.
    fn cut(&mut self, head: usize, previous: StreamId, next: Option<(StreamId, bool, usize)>) {
        match next {
            None => {
                self.bytes.truncate(head);
                self.tail = previous;
            }
            Some((id, own, body)) => {
                let mut fresh = Vec::with_capacity(24);
                put_head(&mut fresh, previous, id, own);
                self.bytes.splice(head..body, fresh);
            }
        }
        self.give_back();
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        let (mut last, mut live) = (None, 0);
        for entry in self.walk() {
            assert!(last < Some(entry.id), "I1: ids ascend");
            assert!(entry.id >= self.base && entry.id <= self.newest, "I1: ids lie in the block");
            last = Some(entry.id);
            live += 1;
        }
        assert_eq!(live, self.live, "I3: live entries");
        assert!(live > 0, "I3: a block has entries");
        assert_eq!(last, Some(self.tail), "I2: the last entry");
        let entries = self.walk().last().map(|entry| entry.end);
        assert_eq!(entries, Some(self.bytes.len()), "the entries fill the bytes");
    }
}

/// The id right before this one, in a ring: what the first entry is a difference to.
fn before(id: StreamId) -> StreamId {
    StreamId { ms: id.ms, seq: id.seq.wrapping_sub(1) }
}

fn count(fields: &StreamFields) -> i64 {
    i64::try_from(fields.len()).unwrap_or(i64::MAX)
}

fn put_head(bytes: &mut Vec<u8>, previous: StreamId, id: StreamId, own: bool) {
    let ms = id.ms - previous.ms;
    let seq = if ms == 0 { id.seq.wrapping_sub(previous.seq).wrapping_sub(1) } else { id.seq };
    let mut head = u128::from(ms) << 2;
    head |= if own { OWN_NAMES } else { 0 };
    head |= if seq > 0 { SEQ_FOLLOWS } else { 0 };
    put(bytes, head);
    if seq > 0 {
        put(bytes, u128::from(seq));
    }
}

/// An entry where it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryRef<'a> {
    pub(super) id: StreamId,
    block: &'a Block,
    before: StreamId,
    head: usize,
    body: usize,
    end: usize,
    own: bool,
}

impl EntryRef<'_> {
    /// The entry by itself.
    pub(super) fn to_entry(self) -> StreamEntry {
        let bytes = &self.block.bytes;
        let mut at = self.body;
        if self.own {
            let count = take_u64(bytes, &mut at);
            let count = usize::try_from(count).expect("a count that was in memory");
            let fields = StreamFields::from_parts(count, bytes[at..self.end].to_vec());
            return StreamEntry { id: self.id, fields };
        }
        let mut packed = Vec::with_capacity(self.block.entries_at + self.end - self.body);
        let mut name = 0;
        for _ in 0..self.block.shared_count {
            put_text(&mut packed, take_text(bytes, &mut name));
            put_text(&mut packed, take_text(bytes, &mut at));
        }
        StreamEntry { id: self.id, fields: StreamFields::from_parts(self.block.shared_count, packed) }
    }
}

/// The entries of a block in order.
#[derive(Debug, Clone)]
pub(super) struct Walk<'a> {
    block: &'a Block,
    before: StreamId,
    at: usize,
}

impl<'a> Iterator for Walk<'a> {
    type Item = EntryRef<'a>;

    fn next(&mut self) -> Option<EntryRef<'a>> {
        let bytes = &self.block.bytes;
        if self.at == bytes.len() {
            return None;
        }
        let (head, before) = (self.at, self.before);
        let word = take(bytes, &mut self.at);
        let ms = u64::try_from(word >> 2).expect("I2: a difference of two u64");
        let seq = if word & SEQ_FOLLOWS == 0 { 0 } else { take_u64(bytes, &mut self.at) };
        let id = if ms == 0 {
            StreamId { ms: before.ms, seq: before.seq.wrapping_add(1).wrapping_add(seq) }
        } else {
            StreamId { ms: before.ms + ms, seq }
        };
        let (own, body) = (word & OWN_NAMES != 0, self.at);
        let texts = if own { 2 * take(bytes, &mut self.at) } else { self.block.shared_count as u128 };
        for _ in 0..texts {
            take_text(bytes, &mut self.at);
        }
        self.before = id;
        Some(EntryRef { id, block: self.block, before, head, body, end: self.at, own })
    }
}
