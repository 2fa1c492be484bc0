//! Changing a string in place: APPEND, SETRANGE, SETBIT, BITFIELD, PFADD.
//!
//! ```text
//! find -> look(what is there): done, or what will be written -> reserve -> apply -> accounts, effects
//!   up to 4 KiB: the bytes are copied, changed, and put back as a new entry
//!   above:       the rope is changed where it lies; what a reader holds of it is copied first
//! ```
//! Invariants: I1: room is reserved before a rope is changed, and then nothing fails. I2: expiry, time to idle and weight stay; a
//! decoded object and a cached copy's metadata go. I3: effects tell what was written, where, so that they can be applied twice.

use std::cell::Cell;
use std::sync::Arc;

use super::store::{content_of, grown_content_of, redraft};
use super::{Engine, check_key, check_value};
use crate::collections::bits::Piece;
use crate::collections::sparse::BLOCK_BYTES;
use crate::effect::Delta;
use crate::error::OpError;
use crate::feed::event::Event;
use crate::hash::KeyHash;
use crate::keyspace::Refusal;
use crate::keyspace::blob::{Blob, Content, ValueRef};
use crate::keyspace::rope::{DENSE_BYTES_MAX, Pieces, Rope};
use crate::keyspace::shard::Cost;
use crate::keyspace::write::{Announce, ShardWrite};
use crate::memory::{AllocatorModel, Amounts};
use crate::value::{Taken, integer_text};

/// A string, to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StringRef<'a> {
    Flat(&'a [u8]),
    Rope(&'a Arc<Rope>),
}

/// The parts of a string that are there.
pub(crate) enum StringPieces<'a> {
    Flat(Option<Piece<'a>>),
    Rope(Pieces<'a>),
}

impl<'a> Iterator for StringPieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        match self {
            Self::Flat(piece) => piece.take(),
            Self::Rope(pieces) => pieces.next(),
        }
    }
}

impl<'a> StringRef<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Flat(bytes) => bytes.len(),
            Self::Rope(rope) => rope.len(),
        }
    }

    /// The whole string, if it lies in one piece.
    pub(crate) fn as_slice(self) -> Option<&'a [u8]> {
        match self {
            Self::Flat(bytes) => Some(bytes),
            Self::Rope(rope) => rope.as_slice(),
        }
    }

    /// All bytes together.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        match self {
            Self::Flat(bytes) => bytes.to_vec(),
            Self::Rope(rope) => rope.to_vec(),
        }
    }

    /// Reads the bytes from `at` on; what lies behind the end is zero.
    pub(crate) fn read(self, at: usize, out: &mut [u8]) {
        match self {
            Self::Rope(rope) => rope.read(at, out),
            Self::Flat(bytes) => {
                let bytes = bytes.get(at..).unwrap_or_default();
                let inside = bytes.len().min(out.len());
                out[..inside].copy_from_slice(&bytes[..inside]);
                out[inside..].fill(0);
            }
        }
    }

    /// The parts of a range that are there; the rest is zero.
    pub(crate) fn pieces(self, range: std::ops::Range<usize>) -> StringPieces<'a> {
        match self {
            Self::Rope(rope) => StringPieces::Rope(rope.pieces(range)),
            Self::Flat(bytes) => {
                let end = range.end.min(bytes.len());
                let inside = bytes.get(range.start..end).filter(|inside| !inside.is_empty());
                StringPieces::Flat(inside.map(|inside| (range.start, inside)))
            }
        }
    }

    /// The bytes of a range, as they lie or copied into `spare`; `None` if all of them are absent.
    pub(crate) fn block(self, range: std::ops::Range<usize>, spare: &'a mut [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Rope(rope) => rope.block(range.start..range.end.min(rope.len()), spare),
            Self::Flat(_) => self.pieces(range).next().map(|(_, bytes)| bytes),
        }
    }

    /// The most that a write asks of the allocator; for a flat string it is found out later.
    pub(crate) fn room(self, offset: usize, bytes: usize) -> usize {
        match self {
            Self::Flat(_) => 0,
            Self::Rope(rope) => rope.room(offset, bytes, Arc::strong_count(rope) > 1),
        }
    }
}

/// A string, to be changed.
#[derive(Debug)]
pub(crate) struct StringMut<'a> {
    store: Store<'a>,
    model: AllocatorModel,
    /// What was written, if somebody records it.
    patches: Option<Vec<Delta>>,
}

#[derive(Debug)]
enum Store<'a> {
    Flat(&'a mut Vec<u8>),
    Rope(&'a mut Rope),
}

impl StringMut<'_> {
    pub(crate) fn len(&self) -> usize {
        match &self.store {
            Store::Flat(bytes) => bytes.len(),
            Store::Rope(rope) => rope.len(),
        }
    }

    /// Reads the bytes from `at` on; what lies behind the end is zero.
    pub(crate) fn read(&self, at: usize, out: &mut [u8]) {
        match &self.store {
            Store::Flat(bytes) => StringRef::Flat(bytes).read(at, out),
            Store::Rope(rope) => rope.read(at, out),
        }
    }

    /// Makes the string at least this long, with zeros.
    pub(crate) fn grow(&mut self, to: usize) {
        if to > self.len() {
            match &mut self.store {
                Store::Flat(bytes) => bytes.resize(to, 0),
                Store::Rope(rope) => rope.grow(to, self.model),
            }
            self.note(to - 1, &[0]);
        }
    }

    /// Writes from `offset` on, wherever that is; zeros fill a gap before it.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        match &mut self.store {
            Store::Rope(rope) => rope.write(offset, bytes, self.model),
            Store::Flat(value) => {
                let end = offset + bytes.len();
                if value.len() < end {
                    value.resize(end, 0);
                }
                value[offset..end].copy_from_slice(bytes);
            }
        }
        self.note(offset, bytes);
    }

    /// All bytes, to be changed at will: of a string that is put back as a whole.
    pub(crate) fn whole(&mut self) -> Option<&mut Vec<u8>> {
        match &mut self.store {
            Store::Flat(bytes) => Some(bytes),
            Store::Rope(_) => None,
        }
    }

    fn note(&mut self, offset: usize, bytes: &[u8]) {
        if let Some(patches) = &mut self.patches {
            patches.push(Delta::Patch { offset: offset as u64, bytes: bytes.into() });
        }
    }
}

/// What a change makes of what it saw.
#[derive(Debug)]
pub(crate) enum Plan<R> {
    /// Nothing is to be written.
    Done(R),
    /// This will be written.
    Write {
        /// The length that the string will have at least.
        len: usize,
        /// How many bytes are written, zeros that fill gaps apart.
        bytes: usize,
        /// The most that a rope may ask of the allocator for it.
        room: usize,
    },
    /// The bytes are changed as a whole, whatever their number; `apply` finds them by [`StringMut::whole`].
    Rewrite,
}

/// What an absent key becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fresh {
    /// What SET would make of the bytes.
    AsSet,
    /// Bytes, even if they are the text of an integer.
    Grown,
}

impl Engine {
    /// Changes a string under its shard's lock; an absent one begins empty. Redis calls it `event`, as
    /// `look` left it. `look` and `apply` may run more than once.
    pub(crate) fn edit_string<R>(
        &self,
        key: &[u8],
        (fresh, event): (Fresh, &Cell<Event>),
        mut look: impl FnMut(Option<StringRef<'_>>) -> Result<Plan<R>, OpError>,
        mut apply: impl FnMut(&mut StringMut<'_>) -> Result<R, OpError>,
    ) -> Result<R, OpError> {
        check_key(key)?;
        let weight = self.fresh_weight(key);
        let model = self.core.settings.model;
        loop {
            let done = self.core.write(self.db, key, |write, hash| {
                let Some(blob) = write.find(hash, key) else {
                    let gap = match look(None)? {
                        Plan::Done(result) => return Ok(Some(result)),
                        Plan::Write { len, bytes, .. } => Gap::of(len, 0, bytes)?,
                        Plan::Rewrite => Gap::Small,
                    };
                    let (content, result) = changed(Vec::new(), gap, fresh, model, &mut apply)?;
                    let blob = Blob::new(self.fresh_draft(key, content.content(), weight, write.now_ms())?);
                    let old = write.existing(hash, key);
                    write.reserve(blob.get(), old.as_ref())?;
                    write.name(event.get());
                    write.put(hash, blob, Announce::Replaced);
                    return Ok(Some(result));
                };
                let text;
                let seen = match blob.value() {
                    ValueRef::Bytes(bytes) => StringRef::Flat(bytes),
                    ValueRef::Int(number) => {
                        text = integer_text(number);
                        StringRef::Flat(text.as_bytes())
                    }
                    ValueRef::Large(rope) => StringRef::Rope(rope),
                    ValueRef::Collection(held) => return Err(OpError::not_a_string(key, held).into()),
                    ValueRef::Object(_) => return Ok(None),
                };
                let bytes = match (look(Some(seen))?, seen) {
                    (Plan::Done(result), _) => return Ok(Some(result)),
                    (Plan::Write { len, room, .. }, StringRef::Rope(_)) => {
                        check_value(len)?;
                        write.name(event.get());
                        return self.edit_large(write, hash, key, room, &mut apply).map(Some);
                    }
                    (Plan::Write { len, bytes: written, .. }, StringRef::Flat(bytes)) => {
                        (bytes.to_vec(), Gap::of(len, bytes.len(), written)?)
                    }
                    (Plan::Rewrite, StringRef::Flat(bytes)) => (bytes.to_vec(), Gap::Small),
                    (Plan::Rewrite, StringRef::Rope(rope)) => (rope.to_vec(), Gap::Small),
                };
                let (content, result) = changed(bytes.0, bytes.1, Fresh::Grown, model, &mut apply)?;
                let mut scratch = Vec::new();
                let mut draft = redraft(blob, key, &mut scratch);
                (draft.content, draft.object, draft.meta) = (content.content(), None, None);
                let blob = Blob::new(draft);
                let old = write.existing(hash, key);
                write.reserve(blob.get(), old.as_ref())?;
                write.name(event.get());
                write.put(hash, blob, Announce::Replaced);
                Ok(Some(result))
            })?;
            match done {
                Some(result) => return Ok(result),
                None => self.ensure_bytes(key)?,
            }
        }
    }

    fn edit_large<R>(
        &self,
        write: &mut ShardWrite<'_>,
        hash: KeyHash,
        key: &[u8],
        room: usize,
        apply: &mut impl FnMut(&mut StringMut<'_>) -> Result<R, OpError>,
    ) -> Result<R, Refusal> {
        let model = self.core.settings.model;
        let old = write.existing(hash, key);
        let blob = write.find(hash, key).expect("I4: the entry was just found");
        // A captured part is copied before it is written; the copy belongs to the entry, the old part to its reader.
        let mut most = room as u64;
        // A decoded object would be another value from now on: the entry is rebuilt without it, but not before there is
        // room for everything.
        let mut rebuilt = None;
        if blob.object().is_some() || blob.meta().is_some() {
            let mut scratch = Vec::new();
            let mut draft = redraft(blob, key, &mut scratch);
            (draft.object, draft.meta) = (None, None);
            let blob = Blob::new(draft);
            most = most.saturating_add(Cost::of(blob.get(), model).bytes());
            rebuilt = Some(blob);
        }
        write.reserve_amounts(Amounts { bytes: most, ..Amounts::default() }, old.map(|old| old.address))?;
        if let Some(blob) = rebuilt {
            write.put(hash, blob, Announce::Rebuilt);
        }
        let recording = write.is_recording();
        let changed = write.change_large(hash, key, |rope| {
            let patches = recording.then(Vec::new);
            let mut string = StringMut { store: Store::Rope(rope), model, patches };
            (apply(&mut string), string.patches)
        });
        let (result, patches) = changed.expect("I4: the entry was just found, and is large");
        for patch in patches.into_iter().flatten() {
            write.record(key, patch);
        }
        Ok(result?)
    }

    /// Shows a string to `f`: a small one under the shard's lock, a large one outside of it unless `f` is `quick`.
    pub(crate) fn view_string<R>(
        &self,
        key: &[u8],
        quick: bool,
        f: impl FnOnce(StringRef<'_>) -> R,
    ) -> Result<Option<R>, OpError> {
        let mut f = Some(f);
        let seen = self.core.with_entry(self.db, key, |blob| {
            let mut show = |string: StringRef<'_>| f.take().map(|f| f(string));
            match blob.value() {
                ValueRef::Bytes(bytes) => Ok(show(StringRef::Flat(bytes))),
                ValueRef::Int(number) => Ok(show(StringRef::Flat(integer_text(number).as_bytes()))),
                ValueRef::Large(rope) if quick => Ok(show(StringRef::Rope(rope))),
                value => Err(Taken::from(value)),
            }
        })?;
        match (seen, f) {
            (None, _) => Ok(None),
            (Some(Ok(result)), _) => Ok(result),
            (Some(Err(Taken::Large(rope))), Some(f)) => Ok(Some(f(StringRef::Rope(&rope)))),
            (Some(Err(taken)), Some(f)) => {
                let value = self.finish(key, taken)?;
                Ok(Some(f(StringRef::Flat(&value))))
            }
            (Some(Err(_)), None) => unreachable!("a closure that has run has returned its result"),
        }
    }
}

/// The bytes of a changed string, on their way into an entry.
enum Made {
    Flat(Vec<u8>, Fresh),
    Large(Arc<Rope>),
}

impl Made {
    fn content(&self) -> Content<'_> {
        match self {
            Self::Flat(bytes, Fresh::AsSet) => content_of(bytes),
            Self::Flat(bytes, Fresh::Grown) => grown_content_of(bytes),
            Self::Large(rope) => Content::Large(rope.clone()),
        }
    }
}

/// Whether a change leaves so many zeros that they are better left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    Small,
    Wide,
}

impl Gap {
    /// A string of `old` bytes becomes one of at least `len`, of which `written` are written.
    fn of(len: usize, old: usize, written: usize) -> Result<Self, OpError> {
        check_value(len)?;
        let zeros = len.saturating_sub(old).saturating_sub(written);
        Ok(if len > DENSE_BYTES_MAX && zeros >= BLOCK_BYTES { Self::Wide } else { Self::Small })
    }
}

/// Applies a change to a copy.
fn changed<R>(
    mut bytes: Vec<u8>,
    gap: Gap,
    fresh: Fresh,
    model: AllocatorModel,
    apply: &mut impl FnMut(&mut StringMut<'_>) -> Result<R, OpError>,
) -> Result<(Made, R), OpError> {
    if gap == Gap::Wide {
        let mut rope = Rope::from_vec(bytes);
        let mut string = StringMut { store: Store::Rope(&mut rope), model, patches: None };
        let result = apply(&mut string)?;
        return Ok((Made::Large(Arc::new(rope)), result));
    }
    let mut string = StringMut { store: Store::Flat(&mut bytes), model, patches: None };
    let result = apply(&mut string)?;
    check_value(bytes.len())?;
    Ok((Made::Flat(bytes, fresh), result))
}
