//! One entry in one allocation: header, optional fields, key, value.
//!
//! ```text
//! offset 0        4      5      6     7     8
//! +---------------+------+------+-----+-----+-------------------------------------------------------+
//! | access        |state |fields|klen |vlen | [long 8][deadline 8][idle 16][meta 16][object 24]     |
//! | freq 8|tick 24|      |      |     |     | [weight 8][word 8] key bytes, value bytes             |
//! +---------------+------+------+-----+-----+-------------------------------------------------------+
//! ```
//! `fields` says which of the bracketed parts are there, always in this order; every one of them is 8-aligned.
//! `long` holds both lengths as u32 when one of them exceeds 255. `word` holds an integer, or the root of a
//! large string or a collection, in place of value bytes. `object` holds a decoded value beside the bytes or instead of them.
//!
//! Invariants:
//! - I1: `fields`, the lengths, key and value bytes never change after construction, so a shared reference to
//!   them is valid for as long as the blob lives.
//! - I2: access, state, deadline and word (as an integer) change through atomics only; all but access (and the
//!   deadline of an entry with time-to-idle) only under the shard's write lock.
//! - I3: the offset of a field is `OFFSETS[fields & (bit - 1)]`, and the key lies at `OFFSETS[fields]`.
//! - I4: `size()` computed from the header equals the size that was allocated.
//!
//! Costs: construction is one allocation and two copies; reading the key is one load of the header and one table
//! look-up. It deliberately knows nothing of hashes, locks or accounting policy.
#![expect(unsafe_code, reason = "one allocation with a computed layout; the safe face is Blob and BlobRef")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::meta::CacheMeta;
use super::rope::Rope;
use crate::collections::Held;
use crate::typed::Object;

const LONG: u8 = 1;
const DEADLINE: u8 = 1 << 1;
const IDLE: u8 = 1 << 2;
const META: u8 = 1 << 3;
const OBJECT: u8 = 1 << 4;
const WEIGHT: u8 = 1 << 5;
const WORD: u8 = 1 << 6;
const FIELD_BYTES: [u8; 7] = [8, 8, 16, 16, 24, 8, 8];
const HEADER_BYTES: usize = 8;
const ALIGN: usize = 8;

/// The offset at which the key begins, for each combination of fields.
const OFFSETS: [u8; 128] = {
    let mut offsets = [8u8; 128];
    let mut fields = 0;
    while fields < 128 {
        let mut bit = 0;
        while bit < 7 {
            if fields & (1 << bit) != 0 {
                offsets[fields] += FIELD_BYTES[bit];
            }
            bit += 1;
        }
        fields += 1;
    }
    offsets
};

const KIND_MASK: u8 = 0b0000_1111;
const IN_RING: u8 = 1 << 6;
const PINNED: u8 = 1 << 7;

#[repr(C)]
struct Header {
    access: AtomicU32,
    state: AtomicU8,
    fields: u8,
    key_bytes: u8,
    value_bytes: u8,
}

/// How the value of an entry is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Bytes behind the key.
    Raw = 0,
    /// The same, after an APPEND or SETRANGE (`OBJECT ENCODING` says "raw").
    Grown = 1,
    /// A 64-bit integer in the word.
    Int = 2,
    /// A large string whose root is in the word.
    Large = 3,
    /// No bytes: the decoded object alone.
    Object = 4,
    /// A collection whose root is in the word.
    Collection = 5,
}

/// The value to put into a new blob.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    Raw(&'a [u8]),
    Grown(&'a [u8]),
    Int(i64),
    Large(Arc<Rope>),
    Collection(Box<Held>),
    /// Nothing: the draft carries an object.
    None,
}

/// The value of a blob, borrowed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ValueRef<'a> {
    Bytes(&'a [u8]),
    Int(i64),
    Large(&'a Arc<Rope>),
    Collection(&'a Held),
    Object(&'a Object),
}

/// Time-to-idle: every access moves the deadline to `idle_ms` later, never past `hard_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Idle {
    pub(crate) idle_ms: u64,
    pub(crate) hard_ms: u64,
}

/// Everything a new blob is made of.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) content: Content<'a>,
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) idle: Option<Idle>,
    pub(crate) meta: Option<CacheMeta>,
    pub(crate) object: Option<Object>,
    pub(crate) weight: Option<u32>,
    pub(crate) access: u32,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(key: &'a [u8], content: Content<'a>) -> Self {
        Self {
            key,
            content,
            deadline_ms: None,
            idle: None,
            meta: None,
            object: None,
            weight: None,
            access: 0,
        }
    }
}

/// An owned entry.
pub(crate) struct Blob {
    ptr: NonNull<u8>,
}

// SAFETY: a blob owns its allocation; what it may hold (Arc<Rope>, Box<Held>, Object of a Send + Sync type, plain data) is
// Send and Sync, and its mutable parts are atomics.
unsafe impl Send for Blob {}
// SAFETY: as above; shared access changes atomics only (I2).
unsafe impl Sync for Blob {}

/// A borrowed entry.
#[derive(Clone, Copy)]
pub(crate) struct BlobRef<'a> {
    ptr: NonNull<u8>,
    borrow: PhantomData<&'a Blob>,
}

impl Blob {
    pub(crate) fn new(draft: Draft<'_>) -> Self {
        let (kind, value): (Kind, &[u8]) = match &draft.content {
            Content::Raw(bytes) => (Kind::Raw, bytes),
            Content::Grown(bytes) => (Kind::Grown, bytes),
            Content::Int(_) => (Kind::Int, &[]),
            Content::Large(_) => (Kind::Large, &[]),
            Content::Collection(_) => (Kind::Collection, &[]),
            Content::None => (Kind::Object, &[]),
        };
        let key = draft.key;
        let lengths = (u8::try_from(key.len()), u8::try_from(value.len()));
        let mut fields = 0;
        fields |= if matches!(lengths, (Ok(_), Ok(_))) { 0 } else { LONG };
        fields |= if draft.deadline_ms.is_some() || draft.idle.is_some() { DEADLINE } else { 0 };
        fields |= if draft.idle.is_some() { IDLE } else { 0 };
        fields |= if draft.meta.is_some() { META } else { 0 };
        fields |= if draft.object.is_some() { OBJECT } else { 0 };
        fields |= if draft.weight.is_some() { WEIGHT } else { 0 };
        fields |= if matches!(kind, Kind::Int | Kind::Large | Kind::Collection) { WORD } else { 0 };
        assert!(kind != Kind::Object || draft.object.is_some(), "I5: a blob without bytes has an object");

        let key_at = usize::from(OFFSETS[usize::from(fields)]);
        let layout = layout(key_at + key.len() + value.len());
        // SAFETY: the layout's size is at least HEADER_BYTES, not zero.
        let Some(ptr) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        let header = Header {
            access: AtomicU32::new(draft.access),
            state: AtomicU8::new(kind as u8),
            fields,
            key_bytes: lengths.0.unwrap_or(0),
            value_bytes: lengths.1.unwrap_or(0),
        };
        let field = |bit: u8| usize::from(OFFSETS[usize::from(fields & (bit - 1))]);
        // SAFETY: the allocation is `key_at + key.len() + value.len()` bytes, aligned to 8; by I3 each field that
        // is written lies before `key_at`, at a multiple of 8, and does not overlap another; nothing is read.
        unsafe {
            ptr.cast::<Header>().write(header);
            if fields & LONG != 0 {
                let lengths = [length(key.len()), length(value.len())];
                ptr.add(field(LONG)).cast::<[u32; 2]>().write(lengths);
            }
            if fields & DEADLINE != 0 {
                let deadline = draft.deadline_ms.unwrap_or(u64::MAX);
                ptr.add(field(DEADLINE)).cast::<AtomicU64>().write(AtomicU64::new(deadline));
            }
            if let Some(idle) = draft.idle {
                ptr.add(field(IDLE)).cast::<Idle>().write(idle);
            }
            if let Some(meta) = draft.meta {
                ptr.add(field(META)).cast::<CacheMeta>().write(meta);
            }
            if let Some(object) = draft.object {
                ptr.add(field(OBJECT)).cast::<Object>().write(object);
            }
            if let Some(weight) = draft.weight {
                ptr.add(field(WEIGHT)).cast::<u64>().write(u64::from(weight));
            }
            match draft.content {
                Content::Int(number) => {
                    ptr.add(field(WORD)).cast::<AtomicI64>().write(AtomicI64::new(number));
                }
                Content::Large(root) => ptr.add(field(WORD)).cast::<Arc<Rope>>().write(root),
                Content::Collection(held) => ptr.add(field(WORD)).cast::<Box<Held>>().write(held),
                Content::Raw(_) | Content::Grown(_) | Content::None => {}
            }
            ptr.add(key_at).copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
            ptr.add(key_at + key.len()).copy_from_nonoverlapping(NonNull::from(value).cast(), value.len());
        }
        Self { ptr }
    }

    /// Borrows the entry.
    #[inline]
    pub(crate) fn get(&self) -> BlobRef<'_> {
        BlobRef { ptr: self.ptr, borrow: PhantomData }
    }

    /// Gives the allocation away; only [`Blob::from_raw`] takes it back.
    #[inline]
    pub(super) fn into_raw(self) -> NonNull<u8> {
        ManuallyDrop::new(self).ptr
    }

    /// Takes an allocation back.
    ///
    /// # Safety
    /// `ptr` comes from [`Blob::into_raw`] and is given back once.
    #[inline]
    pub(super) unsafe fn from_raw(ptr: NonNull<u8>) -> Self {
        Self { ptr }
    }

    /// The collection, to change it in place. The caller holds the shard's write lock.
    pub(crate) fn collection_mut(&mut self) -> Option<&mut Held> {
        if self.get().kind() != Kind::Collection {
            return None;
        }
        let at = self.get().offset(WORD);
        // SAFETY: a blob of kind Collection has a Box<Held> in its word (I3), and `&mut self` is exclusive.
        Some(unsafe { self.ptr.add(at).cast::<Box<Held>>().as_mut() })
    }

    /// The root of a large string, to change it in place. The caller holds the shard's write lock.
    pub(crate) fn large_mut(&mut self) -> Option<&mut Arc<Rope>> {
        if self.get().kind() != Kind::Large {
            return None;
        }
        let at = self.get().offset(WORD);
        // SAFETY: a blob of kind Large has an Arc<Rope> in its word (I3), and `&mut self` is exclusive.
        Some(unsafe { self.ptr.add(at).cast::<Arc<Rope>>().as_mut() })
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        let blob = self.get();
        let layout = layout(blob.size());
        let (kind, fields) = (blob.kind(), blob.fields());
        // SAFETY: this is the only owner; the fields that the header names were written by `new` (I3) and are
        // dropped once; the layout is the one of the allocation (I4).
        unsafe {
            if fields & OBJECT != 0 {
                self.ptr.add(blob.offset(OBJECT)).cast::<Object>().drop_in_place();
            }
            if kind == Kind::Large {
                self.ptr.add(blob.offset(WORD)).cast::<Arc<Rope>>().drop_in_place();
            }
            if kind == Kind::Collection {
                self.ptr.add(blob.offset(WORD)).cast::<Box<Held>>().drop_in_place();
            }
            dealloc(self.ptr.as_ptr(), layout);
        }
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

impl std::fmt::Debug for BlobRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({:?} '{}')", self.kind(), self.key().escape_ascii())
    }
}

impl<'a> BlobRef<'a> {
    /// Borrows what a tagged slot points to.
    ///
    /// # Safety
    /// `ptr` came from [`Blob::into_raw`], and the blob is not dropped during `'a`.
    #[inline]
    pub(super) unsafe fn from_raw(ptr: NonNull<u8>) -> Self {
        Self { ptr, borrow: PhantomData }
    }

    #[inline]
    fn header(self) -> &'a Header {
        // SAFETY: every blob begins with a header; by the borrow it lives for 'a.
        unsafe { self.ptr.cast::<Header>().as_ref() }
    }

    #[inline]
    fn fields(self) -> u8 {
        // The mask lets the compiler see that the offset table is never left.
        self.header().fields & 127
    }

    #[inline]
    fn offset(self, bit: u8) -> usize {
        usize::from(OFFSETS[usize::from(self.fields() & (bit - 1))])
    }

    #[inline]
    fn lengths(self) -> (usize, usize) {
        let header = self.header();
        if header.fields & LONG == 0 {
            return (usize::from(header.key_bytes), usize::from(header.value_bytes));
        }
        // SAFETY: the LONG field follows the header (I3).
        let [key, value] = unsafe { self.ptr.add(HEADER_BYTES).cast::<[u32; 2]>().read() };
        (key as usize, value as usize)
    }

    /// Where this entry is; two entries that live at the same time differ.
    #[inline]
    pub(crate) fn address(self) -> usize {
        self.ptr.as_ptr().addr()
    }

    /// Bytes asked of the allocator for the blob itself.
    #[inline]
    pub(crate) fn size(self) -> usize {
        let (key, value) = self.lengths();
        usize::from(OFFSETS[usize::from(self.fields())]) + key + value
    }

    #[inline]
    pub(crate) fn key(self) -> &'a [u8] {
        let (key, _) = self.lengths();
        let at = usize::from(OFFSETS[usize::from(self.fields())]);
        // SAFETY: `key` initialised bytes lie at `at` (I3) and never change (I1).
        unsafe { slice::from_raw_parts(self.ptr.add(at).as_ptr(), key) }
    }

    #[inline]
    fn inline_value(self) -> &'a [u8] {
        let (key, value) = self.lengths();
        let at = usize::from(OFFSETS[usize::from(self.fields())]) + key;
        // SAFETY: `value` initialised bytes lie behind the key (I3) and never change (I1).
        unsafe { slice::from_raw_parts(self.ptr.add(at).as_ptr(), value) }
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        match self.header().state.load(Ordering::Relaxed) & KIND_MASK {
            0 => Kind::Raw,
            1 => Kind::Grown,
            2 => Kind::Int,
            3 => Kind::Large,
            4 => Kind::Object,
            _ => Kind::Collection,
        }
    }

    #[inline]
    pub(crate) fn value(self) -> ValueRef<'a> {
        match self.kind() {
            Kind::Raw | Kind::Grown => ValueRef::Bytes(self.inline_value()),
            // SAFETY: a blob of kind Int has an AtomicI64 in its word (I3).
            Kind::Int => ValueRef::Int(unsafe { self.integer_cell() }.load(Ordering::Relaxed)),
            Kind::Large => {
                // SAFETY: a blob of kind Large has an Arc<Rope> in its word (I3).
                ValueRef::Large(unsafe { self.ptr.add(self.offset(WORD)).cast::<Arc<Rope>>().as_ref() })
            }
            Kind::Collection => {
                // SAFETY: a blob of kind Collection has a Box<Held> in its word (I3); it is changed only through
                // `Blob::collection_mut`, which is exclusive.
                ValueRef::Collection(unsafe { self.ptr.add(self.offset(WORD)).cast::<Box<Held>>().as_ref() })
            }
            Kind::Object => ValueRef::Object(self.object().expect("I5: a blob without bytes has an object")),
        }
    }

    /// # Safety
    /// The blob's kind is `Int`.
    #[inline]
    unsafe fn integer_cell(self) -> &'a AtomicI64 {
        // SAFETY: the word of an integer blob is an AtomicI64 (I3), which lives for 'a.
        unsafe { self.ptr.add(self.offset(WORD)).cast::<AtomicI64>().as_ref() }
    }

    /// Replaces the integer; the caller holds the shard's write lock.
    ///
    /// # Panics
    /// If the value is no integer.
    #[inline]
    pub(crate) fn set_integer(self, number: i64) {
        assert_eq!(self.kind(), Kind::Int, "only an integer blob is changed in place");
        // SAFETY: the kind has just been checked.
        unsafe { self.integer_cell() }.store(number, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn object(self) -> Option<&'a Object> {
        if self.header().fields & OBJECT == 0 {
            return None;
        }
        // SAFETY: the header says that the OBJECT field is there (I3); it never changes (I1).
        Some(unsafe { self.ptr.add(self.offset(OBJECT)).cast::<Object>().as_ref() })
    }

    /// Whether the entry is served without a further check: it has neither a deadline nor cache metadata.
    #[inline]
    pub(crate) fn is_plain(self) -> bool {
        self.header().fields & (DEADLINE | META) == 0
    }

    #[inline]
    fn deadline_cell(self) -> Option<&'a AtomicU64> {
        if self.header().fields & DEADLINE == 0 {
            return None;
        }
        // SAFETY: the header says that the DEADLINE field is there, an AtomicU64 (I3).
        Some(unsafe { self.ptr.add(self.offset(DEADLINE)).cast::<AtomicU64>().as_ref() })
    }

    #[inline]
    pub(crate) fn deadline_ms(self) -> Option<u64> {
        self.deadline_cell().map(|cell| cell.load(Ordering::Relaxed))
    }

    /// Moves the deadline, if there is a field for it; tells whether there was.
    #[inline]
    pub(crate) fn set_deadline_ms(self, deadline_ms: u64) -> bool {
        self.deadline_cell().map(|cell| cell.store(deadline_ms, Ordering::Relaxed)).is_some()
    }

    #[inline]
    pub(crate) fn idle(self) -> Option<Idle> {
        if self.header().fields & IDLE == 0 {
            return None;
        }
        // SAFETY: the header says that the IDLE field is there, plain data (I3).
        Some(unsafe { self.ptr.add(self.offset(IDLE)).cast::<Idle>().read() })
    }

    #[inline]
    pub(crate) fn meta(self) -> Option<CacheMeta> {
        if self.header().fields & META == 0 {
            return None;
        }
        // SAFETY: the header says that the META field is there, plain data (I3).
        Some(unsafe { self.ptr.add(self.offset(META)).cast::<CacheMeta>().read() })
    }

    #[inline]
    pub(crate) fn weight(self) -> Option<u32> {
        if self.header().fields & WEIGHT == 0 {
            return None;
        }
        // SAFETY: the header says that the WEIGHT field is there, a u64 that came from a u32 (I3).
        let weight = unsafe { self.ptr.add(self.offset(WEIGHT)).cast::<u64>().read() };
        u32::try_from(weight).ok()
    }

    #[inline]
    pub(crate) fn access(self) -> u32 {
        self.header().access.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_access(self, access: u32) {
        self.header().access.store(access, Ordering::Relaxed);
    }

    #[inline]
    fn set_state_bit(self, bit: u8, on: bool) {
        let state = &self.header().state;
        let old = state.load(Ordering::Relaxed);
        state.store(if on { old | bit } else { old & !bit }, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn in_ring(self) -> bool {
        self.header().state.load(Ordering::Relaxed) & IN_RING != 0
    }

    /// Marks the entry as waiting in the admission ring; the caller holds the shard's write lock.
    #[inline]
    pub(crate) fn set_in_ring(self, on: bool) {
        self.set_state_bit(IN_RING, on);
    }

    #[inline]
    pub(crate) fn pinned(self) -> bool {
        self.header().state.load(Ordering::Relaxed) & PINNED != 0
    }

    /// Protects the entry from eviction; the caller holds the shard's write lock.
    #[inline]
    pub(crate) fn set_pinned(self, on: bool) {
        self.set_state_bit(PINNED, on);
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("I4: lengths are checked before a blob is built")
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("I4: lengths are checked before a blob is built")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_draft(check: impl Fn(&Blob, &[u8], &[u8])) {
        for key_bytes in [0, 1, 16, 255, 256, 70_000] {
            for value_bytes in [0, 1, 100, 255, 256, 4_096] {
                for mask in 0..16u8 {
                    let (key, value) = (vec![7; key_bytes], vec![9; value_bytes]);
                    let mut draft = Draft::new(&key, Content::Raw(&value));
                    draft.deadline_ms = (mask & 1 != 0).then_some(1_234);
                    draft.idle = (mask & 2 != 0).then_some(Idle { idle_ms: 5, hard_ms: 99 });
                    draft.weight = (mask & 4 != 0).then_some(77);
                    draft.object = (mask & 8 != 0).then(|| Object::new(Arc::new(mask), 3));
                    draft.access = 0xabcd_1234;
                    check(&Blob::new(draft), &key, &value);
                }
            }
        }
    }

    #[test]
    fn every_combination_of_fields_reads_back() {
        every_draft(|blob, key, value| {
            let blob = blob.get();
            assert_eq!(blob.key(), key);
            assert!(matches!(blob.value(), ValueRef::Bytes(bytes) if bytes == value));
            assert_eq!(blob.access(), 0xabcd_1234);
            if let Some(idle) = blob.idle() {
                assert_eq!(idle, Idle { idle_ms: 5, hard_ms: 99 });
                assert!(blob.deadline_ms().is_some());
            } else if let Some(deadline) = blob.deadline_ms() {
                assert_eq!(deadline, 1_234);
            }
            assert!(blob.weight().is_none_or(|weight| weight == 77));
            assert!(blob.object().is_none_or(|object| object.weight() == 3));
        });
    }

    #[test]
    fn state_bits_are_independent_of_the_kind() {
        let blob = Blob::new(Draft::new(b"k", Content::Int(-5)));
        let blob = blob.get();
        blob.set_in_ring(true);
        blob.set_pinned(true);
        blob.set_in_ring(false);
        assert!(blob.pinned() && !blob.in_ring());
        blob.set_integer(i64::MIN);
        assert!(matches!(blob.value(), ValueRef::Int(i64::MIN)));
        assert_eq!(blob.key(), b"k");
    }

    #[test]
    fn a_large_root_and_an_object_are_dropped_with_the_blob() {
        let root = Arc::new(Rope::from_vec(vec![1; 10_000]));
        let object = Arc::new(String::from("decoded"));
        let mut draft = Draft::new(b"key", Content::Large(Arc::clone(&root)));
        draft.object = Some(Object::new(Arc::clone(&object), 0));
        let blob = Blob::new(draft);
        assert_eq!((Arc::strong_count(&root), Arc::strong_count(&object)), (2, 2));
        drop(blob);
        assert_eq!((Arc::strong_count(&root), Arc::strong_count(&object)), (1, 1));
    }
}
