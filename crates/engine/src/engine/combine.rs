//! Strings made of several strings: BITOP, PFMERGE.
//!
//! ```text
//! lock all (read, ascending) -> capture -> unlock -> compute -> lock all (write) -> still the same? put : again
//! ```
//! Invariants: I1: what is stored was computed from the sources as they are when it is stored. I2: nothing is computed under a
//! lock, unless writers changed the sources eight times in a row.

use std::sync::Arc;

use super::edit::StringRef;
use super::multi::OPTIMISTIC_TRIES;
use super::store::{grown_content_of, redraft};
use super::{Engine, check_key, check_value};
use crate::collections::bits::combine::BitOperation;
use crate::collections::sparse::BLOCK_BYTES;
use crate::error::OpError;
use crate::feed::event::{self, Event};
use crate::hash::KeyHash;
use crate::keyspace::blob::{Blob, BlobRef, Content, ValueRef};
use crate::keyspace::rope::{DENSE_BYTES_MAX, Rope};
use crate::keyspace::write::{Announce, ShardWrite};
use crate::memory::Amounts;
use crate::removal::RemovalCause;
use crate::value::integer_text;

/// A string taken out of its entry: a copy of a small one, the shared root of a large one.
#[derive(Debug, Clone)]
pub(crate) enum StringHeld {
    Flat(Box<[u8]>),
    Rope(Arc<Rope>),
}

impl StringHeld {
    /// `None` for a decoded object that has no bytes.
    fn of(blob: BlobRef<'_>, key: &[u8]) -> Result<Option<Self>, OpError> {
        Ok(Some(match blob.value() {
            ValueRef::Bytes(bytes) => Self::Flat(bytes.into()),
            ValueRef::Int(number) => Self::Flat(integer_text(number).as_bytes().into()),
            ValueRef::Large(rope) => Self::Rope(Arc::clone(rope)),
            ValueRef::Collection(held) => return Err(OpError::not_a_string(key, held)),
            ValueRef::Object(_) => return Ok(None),
        }))
    }

    pub(crate) fn as_ref(&self) -> StringRef<'_> {
        match self {
            Self::Flat(bytes) => StringRef::Flat(bytes),
            Self::Rope(rope) => StringRef::Rope(rope),
        }
    }

    /// Whether the entry still holds this very string. A root that is held here is not changed in place, so the same address
    /// means the same bytes.
    pub(crate) fn is_still(&self, string: StringRef<'_>) -> bool {
        match (self, string) {
            (Self::Flat(was), StringRef::Flat(now)) => **was == *now,
            (Self::Rope(was), StringRef::Rope(now)) => Arc::ptr_eq(was, now),
            _ => false,
        }
    }

    /// All bytes together.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        match self {
            Self::Flat(bytes) => bytes.to_vec(),
            Self::Rope(rope) => rope.to_vec(),
        }
    }
}

/// Strings of several keys, as they were at one moment.
#[derive(Debug)]
pub(crate) struct Captured {
    /// Those of the keys before the first that holds no string.
    pub(crate) strings: Vec<Option<StringHeld>>,
    /// What that one holds. It is told only after what is wrong with the strings before it.
    pub(crate) refused: Option<OpError>,
}

/// What becomes of the target.
#[derive(Debug)]
pub(crate) enum Derived {
    /// It goes.
    Nothing,
    /// It holds this, and what it was before is forgotten, its expiry included.
    New(StringHeld),
    /// It holds this, and keeps its expiry.
    Changed(StringHeld),
}

impl Engine {
    /// Strings of several keys at one moment.
    pub(crate) fn capture_strings<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Captured, OpError> {
        let core = &*self.core;
        let hashes: Vec<KeyHash> = keys.iter().map(|key| core.hash(key.as_ref())).collect();
        let shards = self.shards_of(&hashes);
        self.check_declared(keys)?;
        loop {
            // An object without bytes stops the run; it is encoded outside of the locks, and all is looked at anew.
            let run = core.read_many(&shards, |states| {
                let mut strings = Vec::with_capacity(keys.len());
                for (key, &hash) in keys.iter().zip(&hashes) {
                    let key = key.as_ref();
                    let at =
                        shards.binary_search(&core.shard_of(hash)).expect("I3: every key's shard was locked");
                    let blob = states[at].find(core.physical(self.db), hash, key);
                    let Some(blob) = blob.filter(|&blob| core.is_live(blob)) else {
                        strings.push(None);
                        continue;
                    };
                    core.touch(states[at], blob);
                    match StringHeld::of(blob, key) {
                        Ok(Some(held)) => strings.push(Some(held)),
                        Ok(None) => return Err(key),
                        Err(refused) => return Ok(Captured { strings, refused: Some(refused) }),
                    }
                }
                Ok(Captured { strings, refused: None })
            })?;
            match run {
                Ok(captured) => return Ok(captured),
                Err(key) => self.ensure_bytes(key)?,
            }
        }
    }

    /// Stores under `target` what `compute` makes of several strings; returns what it told.
    pub(crate) fn derive_string<K: AsRef<[u8]>, R>(
        &self,
        sources: &[K],
        (target, event): (&[u8], Event),
        mut compute: impl FnMut(&[Option<StringHeld>]) -> Result<(Derived, R), OpError>,
    ) -> Result<R, OpError> {
        check_key(target)?;
        let core = &*self.core;
        core.check_declared(self.db, target)?;
        let weight = self.fresh_weight(target);
        let mut hashes: Vec<KeyHash> = sources.iter().map(|key| core.hash(key.as_ref())).collect();
        let target_hash = core.hash(target);
        hashes.push(target_hash);
        let shards = self.shards_of(&hashes);
        let at_of =
            |hash| shards.binary_search(&core.shard_of(hash)).expect("I3: every key's shard is locked");
        for attempt in 0.. {
            let Captured { strings: captured, refused } = self.capture_strings(sources)?;
            let optimistic = attempt < OPTIMISTIC_TRIES || refused.is_some();
            let mut prepared = if optimistic { Some(compute(&captured)?) } else { None };
            if let Some(refused) = refused {
                return Err(refused);
            }
            let stored = core.write_many(self.db, &shards, |writes| {
                let mut now = Vec::with_capacity(sources.len());
                for ((key, &hash), was) in sources.iter().zip(&hashes).zip(&captured) {
                    let blob = writes[at_of(hash)].find(hash, key.as_ref());
                    let held = match blob {
                        None => None,
                        Some(blob) => match StringHeld::of(blob, key.as_ref())? {
                            None => return Ok(false),
                            held => held,
                        },
                    };
                    let same = match (was, &held) {
                        (None, None) => true,
                        (Some(was), Some(held)) => was.is_still(held.as_ref()),
                        _ => false,
                    };
                    if !same && optimistic {
                        return Ok(false);
                    }
                    now.push(held);
                }
                let result = match &mut prepared {
                    Some(prepared) if optimistic => prepared,
                    // Anew in every run: one that was refused for want of room has let the locks go meanwhile.
                    _ => prepared.insert(compute(&now)?),
                };
                writes[at_of(target_hash)].name(event);
                self.store_derived(&mut writes[at_of(target_hash)], target_hash, (target, weight), &result.0)
                    .map(|()| true)
            })?;
            if let (true, Some((_, told))) = (stored, prepared) {
                return Ok(told);
            }
        }
        unreachable!(
            "the attempt under the locks fails only for objects that have no bytes, and they get them"
        )
    }

    fn store_derived(
        &self,
        write: &mut ShardWrite<'_>,
        hash: KeyHash,
        (key, weight): (&[u8], Option<u32>),
        result: &Derived,
    ) -> Result<(), crate::keyspace::Refusal> {
        let (held, keep) = match result {
            Derived::Nothing => {
                write.detach_flights(key);
                write.remove(hash, key, RemovalCause::Deleted);
                return Ok(());
            }
            Derived::New(held) => (held, false),
            Derived::Changed(held) => (held, true),
        };
        let content = match held {
            StringHeld::Flat(bytes) => grown_content_of(bytes),
            StringHeld::Rope(rope) => Content::Large(Arc::clone(rope)),
        };
        let now = write.now_ms();
        let mut scratch = Vec::new();
        let draft = match write.find(hash, key).filter(|_| keep) {
            Some(blob) => {
                let mut draft = redraft(blob, key, &mut scratch);
                (draft.content, draft.object, draft.meta) = (content, None, None);
                draft
            }
            None => self.fresh_draft(key, content, weight, now)?,
        };
        let blob = Blob::new(draft);
        let old = write.existing(hash, key);
        write.reserve(blob.get(), old.as_ref())?;
        write.put(hash, blob, Announce::Replaced);
        Ok(())
    }

    /// BITOP.
    pub(super) fn combine_bits<K: AsRef<[u8]>>(
        &self,
        operation: BitOperation,
        target: &[u8],
        sources: &[K],
    ) -> Result<u64, OpError> {
        if !operation.takes(sources.len()) {
            return Err(OpError::InvalidArgument("a bit operation needs one, or at least two sources"));
        }
        self.derive_string(sources, (target, event::SET), |strings| {
            let refs: Vec<Option<StringRef<'_>>> =
                strings.iter().map(|one| one.as_ref().map(StringHeld::as_ref)).collect();
            let len = refs.iter().flatten().map(|string| string.len()).max().unwrap_or(0);
            if len == 0 {
                return Ok((Derived::Nothing, 0));
            }
            check_value(len)?;
            let result = self.combined(operation, &refs, len)?;
            Ok((Derived::New(result), len as u64))
        })
    }

    fn combined(
        &self,
        operation: BitOperation,
        sources: &[Option<StringRef<'_>>],
        len: usize,
    ) -> Result<StringHeld, OpError> {
        // The blocks in which a source has anything; of NOT, all.
        let blocks = || {
            let mut at = 0;
            std::iter::from_fn(move || {
                let first = |source: &StringRef<'_>| source.pieces(at..len).next().map(|(from, _)| from);
                let next = match operation {
                    BitOperation::Not => Some(at).filter(|&at| at < len),
                    _ => sources.iter().flatten().filter_map(first).min(),
                }?;
                let from = next - next % BLOCK_BYTES;
                at = (from + BLOCK_BYTES).min(len);
                Some((from, at))
            })
        };
        let is_there = |index: usize, from: usize, to: usize| {
            let source: Option<StringRef<'_>> = sources[index];
            source.is_some_and(|source| source.pieces(from..to).next().is_some())
        };
        // At most this many blocks are not zero; if they are few, the others are left out.
        let lacks =
            |&(from, to): &(usize, usize)| operation.lacks(|index| is_there(index, from, to), sources.len());
        let sparse = len > DENSE_BYTES_MAX && {
            let written = blocks().filter(|block| !lacks(block)).count();
            written * 2 < len.div_ceil(BLOCK_BYTES)
        };
        if sparse {
            let model = self.core.settings.model;
            let mut rope = Rope::zeros(len, model);
            combine_blocks(operation, sources, blocks().filter(|block| !lacks(block)), |at, bytes| {
                rope.write(at, bytes, model);
            });
            return Ok(StringHeld::Rope(Arc::new(rope)));
        }
        self.core.check_fits(Amounts { bytes: len as u64, ..Amounts::default() })?;
        let mut out = vec![0; len];
        combine_blocks(operation, sources, blocks(), |at, bytes| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
        });
        Ok(StringHeld::from_vec(out))
    }
}

impl StringHeld {
    pub(crate) fn from_vec(bytes: Vec<u8>) -> Self {
        if bytes.len() > super::store::INLINE_BYTES_MAX {
            Self::Rope(Arc::new(Rope::from_vec(bytes)))
        } else {
            Self::Flat(bytes.into())
        }
    }
}

/// Combines block by block, and gives those to `put` that are not zero for what is missing.
fn combine_blocks(
    operation: BitOperation,
    sources: &[Option<StringRef<'_>>],
    blocks: impl Iterator<Item = (usize, usize)>,
    mut put: impl FnMut(usize, &[u8]),
) {
    let mut spares = vec![[0; BLOCK_BYTES]; sources.len()];
    let (mut out, mut twice) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    for (from, to) in blocks {
        let parts: Vec<Option<&[u8]>> = sources
            .iter()
            .zip(&mut spares)
            .map(|(source, spare)| source.and_then(|source| source.block(from..to, spare)))
            .collect();
        let (out, twice) = (&mut out[..to - from], &mut twice[..to - from]);
        if operation.combine(&parts, out, twice) {
            put(from, out);
        }
    }
}
