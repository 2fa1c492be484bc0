//! Freshness of cached copies: epochs, tags, soft deadlines and the tokens of fills under way.
//!
//! ```text
//! entry:  stamp 4 | soft deadline and negative flag 4 | tag set 4 | connection 2 | slot 2      = 16 bytes
//! engine: clock 17; last invalidation: everything 3, connection[0] 9, slot[77] 17, tag set[5] 12
//! ```
//! There is one invalidation clock. Whatever is invalidated (everything, a connection, a slot, a tag) remembers the
//! clock's new value; an entry remembers the value at the time its fill began. So invalidating a million entries is
//! one store, and a hit compares a few integers.
//!
//! Invariants: I1: an entry is fresh iff its stamp is at least the last invalidation of everything, of its connection, of
//! its slot and of its tag set. I2: a fill is installed only if nothing that concerns it was invalidated since its
//! token was drawn, which is checked under the shard lock; an invalidation of the key bumps the key's counter
//! before it takes that lock. I3: a tag set's number is reused only when no entry carries it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use std::collections::BTreeMap;

use crate::hash::KeyHash;
use crate::memory::AllocatorModel;
use crate::sync::Mutex;

/// A key's counter is one of this many.
const KEY_COUNTERS: usize = 4_096;
/// Soft deadlines count in steps of this many milliseconds from the engine's start, rounded down.
const SOFT_STEP_MS: u64 = 64;
const NEGATIVE: u32 = 1 << 31;
const SOFT_NONE: u32 = NEGATIVE - 1;

/// Where a cached copy came from: numbers that the caller chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The remote connection (or server) that answered; 0 if there is only one.
    pub connection: u16,
    /// The cluster slot of the key; 0 without a cluster.
    pub slot: u16,
}

/// What an entry carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct CacheMeta {
    stamp: u32,
    soft: u32,
    tags: u32,
    connection: u16,
    slot: u16,
}

const _: () = assert!(size_of::<CacheMeta>() == 16);

impl CacheMeta {
    pub(crate) fn is_negative(self) -> bool {
        self.soft & NEGATIVE != 0
    }

    pub(crate) fn tags(self) -> u32 {
        self.tags
    }
}

/// Proof of the moment at which a fill began; see [`Engine::insert_if`](crate::Engine::insert_if).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a token is drawn before the remote is asked, and handed to insert_if afterwards"]
pub struct CacheToken {
    stamp: u32,
    key: u32,
    fills: u32,
    origin: Origin,
    hash: u64,
}

/// A table of last invalidations by number, made page by page.
struct Pages {
    pages: Box<[OnceLock<Box<[AtomicU32]>>]>,
}

const PAGE: usize = 256;

impl Pages {
    fn new(entries: usize) -> Self {
        Self { pages: (0..entries.div_ceil(PAGE)).map(|_| OnceLock::new()).collect() }
    }

    #[inline]
    fn get(&self, index: usize) -> u32 {
        let page = self.pages.get(index / PAGE).and_then(OnceLock::get);
        page.map_or(0, |page| page[index % PAGE].load(Ordering::Acquire))
    }

    fn cell(&self, index: usize) -> &AtomicU32 {
        let page = self.pages[index / PAGE].get_or_init(|| (0..PAGE).map(|_| AtomicU32::new(0)).collect());
        &page[index % PAGE]
    }
}

/// Tag sets that live at once.
const TAG_SETS_MAX: usize = 1 << 20;

/// Sorted and without repetition.
type TagSet = Box<[Box<[u8]>]>;

#[derive(Default)]
struct Tags {
    /// Sorted tags to the number of their set.
    sets: BTreeMap<TagSet, u32>,
    /// The sets that a tag occurs in.
    by_tag: BTreeMap<Box<[u8]>, Vec<u32>>,
    /// By number: the tags and how many entries carry the set.
    slots: Vec<Option<(TagSet, u32)>>,
    free: Vec<u32>,
}

/// The invalidation state of an engine.
pub(crate) struct Freshness {
    start_ms: u64,
    clock: AtomicU32,
    everything: AtomicU32,
    /// Counts what refuses every fill under way: invalidation by prefix.
    fills: AtomicU32,
    keys: OnceLock<Box<[AtomicU32]>>,
    connections: Pages,
    slots: Pages,
    tag_sets: OnceLock<Pages>,
    tags: Mutex<Tags>,
}

impl std::fmt::Debug for Freshness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Freshness").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Freshness {
    pub(crate) fn new(start_ms: u64) -> Self {
        Self {
            start_ms,
            clock: AtomicU32::new(0),
            everything: AtomicU32::new(0),
            fills: AtomicU32::new(0),
            keys: OnceLock::new(),
            connections: Pages::new(1 << 16),
            slots: Pages::new(1 << 16),
            tag_sets: OnceLock::new(),
            tags: Mutex::new(Tags::default()),
        }
    }

    /// What was asked of the allocator at the start; pages, key counters and tags come later, with what needs them.
    pub(crate) fn fixed_bytes(&self, model: AllocatorModel) -> u64 {
        [&self.connections, &self.slots].map(|table| model.charge(size_of_val(&*table.pages))).iter().sum()
    }

    fn key_counter(&self, hash: KeyHash) -> &AtomicU32 {
        let counters = self.keys.get_or_init(|| (0..KEY_COUNTERS).map(|_| AtomicU32::new(0)).collect());
        &counters[usize::try_from(hash.0 % KEY_COUNTERS as u64).expect("I4: below 4,096")]
    }

    /// Draws a token, before the remote is asked.
    pub(crate) fn token(&self, hash: KeyHash, origin: Origin) -> CacheToken {
        CacheToken {
            stamp: self.clock.load(Ordering::SeqCst),
            key: self.key_counter(hash).load(Ordering::SeqCst),
            fills: self.fills.load(Ordering::SeqCst),
            origin,
            hash: hash.0,
        }
    }

    /// Whether a fill may still be installed; called under the shard lock (I2).
    pub(crate) fn admits(&self, token: &CacheToken, hash: KeyHash, tags: u32) -> bool {
        let meta = CacheMeta {
            stamp: token.stamp,
            soft: SOFT_NONE,
            tags,
            connection: token.origin.connection,
            slot: token.origin.slot,
        };
        token.hash == hash.0
            && token.key == self.key_counter(hash).load(Ordering::SeqCst)
            && token.fills == self.fills.load(Ordering::SeqCst)
            && self.is_fresh(meta)
    }

    pub(crate) fn meta(
        &self,
        token: &CacheToken,
        soft_ms: Option<u64>,
        negative: bool,
        tags: u32,
    ) -> CacheMeta {
        let steps = soft_ms.map(|ms| ms.saturating_sub(self.start_ms) / SOFT_STEP_MS);
        let soft = steps.map_or(SOFT_NONE, |s| u32::try_from(s).unwrap_or(SOFT_NONE).min(SOFT_NONE));
        CacheMeta {
            stamp: token.stamp,
            soft: soft | if negative { NEGATIVE } else { 0 },
            tags,
            connection: token.origin.connection,
            slot: token.origin.slot,
        }
    }

    /// Whether nothing that concerns the entry was invalidated since its fill began (I1).
    #[inline]
    pub(crate) fn is_fresh(&self, meta: CacheMeta) -> bool {
        meta.stamp >= self.everything.load(Ordering::Acquire)
            && meta.stamp >= self.connections.get(usize::from(meta.connection))
            && meta.stamp >= self.slots.get(usize::from(meta.slot))
            && (meta.tags == 0 || meta.stamp >= self.tag_set(meta.tags))
    }

    fn tag_set(&self, number: u32) -> u32 {
        self.tag_sets.get().map_or(0, |pages| pages.get(number as usize))
    }

    /// Whether the entry is past its soft deadline.
    pub(crate) fn is_stale(&self, meta: CacheMeta, now_ms: u64) -> bool {
        let steps = u64::from(meta.soft & !NEGATIVE);
        steps != u64::from(SOFT_NONE) && now_ms >= self.start_ms.saturating_add(steps * SOFT_STEP_MS)
    }

    fn advance(&self) -> u32 {
        self.clock.fetch_add(1, Ordering::SeqCst).checked_add(1).expect("I5: fewer than 2^32 invalidations")
    }

    pub(crate) fn invalidate_everything(&self) {
        self.everything.fetch_max(self.advance(), Ordering::SeqCst);
    }

    pub(crate) fn invalidate_connection(&self, connection: u16) {
        self.connections.cell(usize::from(connection)).fetch_max(self.advance(), Ordering::SeqCst);
    }

    pub(crate) fn invalidate_slot(&self, slot: u16) {
        self.slots.cell(usize::from(slot)).fetch_max(self.advance(), Ordering::SeqCst);
    }

    /// Refuses the fills of this key that are under way; the caller then removes the entry.
    pub(crate) fn invalidate_key(&self, hash: KeyHash) {
        self.key_counter(hash).fetch_add(1, Ordering::SeqCst);
    }

    /// Refuses every fill under way.
    pub(crate) fn refuse_fills(&self) {
        self.fills.fetch_add(1, Ordering::SeqCst);
    }

    /// How often something was invalidated: entries may have become dead since this changed.
    pub(crate) fn clock(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Invalidates every entry that carries the tag. A fill under way that will carry it is refused, too, even
    /// if no entry carries it yet.
    pub(crate) fn invalidate_tag(&self, tag: &[u8]) {
        let tags = self.tags.lock();
        let now = self.advance();
        self.refuse_fills();
        let Some(pages) = self.tag_sets.get() else { return };
        for &set in tags.by_tag.get(tag).map_or(&[][..], Vec::as_slice) {
            pages.cell(set as usize).fetch_max(now, Ordering::SeqCst);
        }
    }

    /// Returns the number of a tag set for one more entry: 0 for no tags, `None` if too many sets live at once.
    pub(crate) fn acquire_tags(&self, wanted: &[&[u8]]) -> Option<u32> {
        if wanted.is_empty() {
            return Some(0);
        }
        let mut set: Vec<Box<[u8]>> = wanted.iter().map(|&tag| tag.into()).collect();
        set.sort_unstable();
        set.dedup();
        let set: TagSet = set.into();
        self.tag_sets.get_or_init(|| Pages::new(TAG_SETS_MAX));
        let tags = &mut *self.tags.lock();
        if let Some(&number) = tags.sets.get(&set) {
            let (_, count) = tags.slots[number as usize].as_mut().expect("I3: a listed set is alive");
            *count += 1;
            return Some(number);
        }
        if tags.slots.is_empty() {
            tags.slots.push(None); // number 0 means no tags
        }
        let number = match tags.free.pop() {
            Some(number) => number,
            None if tags.slots.len() < TAG_SETS_MAX => {
                tags.slots.push(None);
                u32::try_from(tags.slots.len() - 1).expect("I4: below 2^20")
            }
            None => return None,
        };
        for tag in &set {
            tags.by_tag.entry(tag.clone()).or_default().push(number);
        }
        tags.slots[number as usize] = Some((set.clone(), 1));
        tags.sets.insert(set, number);
        Some(number)
    }

    /// One more entry carries the set (a copy of an entry).
    pub(crate) fn retain_tags(&self, number: u32) {
        if number != 0 {
            let mut tags = self.tags.lock();
            let (_, count) = tags.slots[number as usize].as_mut().expect("I3: a carried set is alive");
            *count += 1;
        }
    }

    /// An entry that carried the set is gone.
    pub(crate) fn release_tags(&self, number: u32) {
        if number == 0 {
            return;
        }
        let tags = &mut *self.tags.lock();
        let slot = &mut tags.slots[number as usize];
        let (_, count) = slot.as_mut().expect("I3: a carried set is alive");
        *count -= 1;
        if *count > 0 {
            return;
        }
        let (set, _) = slot.take().expect("I3: just seen");
        for tag in &set {
            if let Some(sets) = tags.by_tag.get_mut(tag) {
                sets.retain(|&other| other != number);
                if sets.is_empty() {
                    tags.by_tag.remove(tag);
                }
            }
        }
        tags.sets.remove(&set);
        tags.free.push(number);
    }

    #[cfg(test)]
    pub(crate) fn live_tag_sets(&self) -> usize {
        self.tags.lock().sets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyHash = KeyHash(0x1234_5678_9abc_def0);

    fn entry(freshness: &Freshness, origin: Origin, tags: &[&[u8]]) -> CacheMeta {
        let token = freshness.token(KEY, origin);
        let tags = freshness.acquire_tags(tags).expect("room");
        assert!(freshness.admits(&token, KEY, tags));
        freshness.meta(&token, None, false, tags)
    }

    #[test]
    fn each_invalidation_hits_its_own_entries_only() {
        let freshness = Freshness::new(0);
        let origin = |connection, slot| Origin { connection, slot };
        let a = entry(&freshness, origin(1, 10), &[b"red"]);
        let b = entry(&freshness, origin(2, 10), &[b"red", b"blue"]);
        let c = entry(&freshness, origin(2, 20), &[]);
        let fresh = || [a, b, c].map(|meta| freshness.is_fresh(meta));
        assert_eq!(fresh(), [true; 3]);
        freshness.invalidate_tag(b"blue");
        assert_eq!(fresh(), [true, false, true]);
        freshness.invalidate_connection(1);
        assert_eq!(fresh(), [false, false, true]);
        freshness.invalidate_slot(10);
        assert_eq!(fresh(), [false, false, true]);
        freshness.invalidate_everything();
        assert_eq!(fresh(), [false; 3]);
        assert!(
            freshness.is_fresh(entry(&freshness, origin(1, 10), &[b"blue"])),
            "what comes later is fresh"
        );
    }

    #[test]
    fn a_fill_that_raced_an_invalidation_is_refused() {
        let freshness = Freshness::new(0);
        let invalidations: [&dyn Fn(); 6] = [
            &|| freshness.invalidate_key(KEY),
            &|| freshness.invalidate_everything(),
            &|| freshness.invalidate_connection(0),
            &|| freshness.invalidate_slot(0),
            &|| freshness.invalidate_tag(b"new"),
            &|| freshness.refuse_fills(),
        ];
        for (i, invalidate) in invalidations.iter().enumerate() {
            let token = freshness.token(KEY, Origin::default());
            assert!(freshness.admits(&token, KEY, 0));
            invalidate();
            assert!(!freshness.admits(&token, KEY, 0), "invalidation {i}");
        }
        let token = freshness.token(KEY, Origin::default());
        assert!(!freshness.admits(&token, KeyHash(KEY.0 + 1), 0), "a token belongs to one key");
    }

    #[test]
    fn soft_deadlines_and_negative_entries_keep_apart() {
        let freshness = Freshness::new(1_000_000);
        let token = freshness.token(KEY, Origin::default());
        let meta = freshness.meta(&token, Some(1_006_400), true, 0);
        assert!(meta.is_negative());
        assert!(!freshness.is_stale(meta, 1_006_399) && freshness.is_stale(meta, 1_006_400));
        let never = freshness.meta(&token, None, false, 0);
        assert!(!never.is_negative() && !freshness.is_stale(never, u64::MAX));
        let far = freshness.meta(&token, Some(u64::MAX), false, 0);
        assert!(!freshness.is_stale(far, 1 << 50), "beyond the range means never stale");
    }

    #[test]
    fn tag_sets_are_freed_with_their_last_entry() {
        let freshness = Freshness::new(0);
        let (red, both): (&[&[u8]], &[&[u8]]) = (&[b"red"], &[b"red", b"blue"]);
        let one = freshness.acquire_tags(red).expect("room");
        assert_eq!(freshness.acquire_tags(red), Some(one));
        let two = freshness.acquire_tags(both).expect("room");
        assert_ne!(one, two);
        freshness.release_tags(one);
        assert_eq!(freshness.live_tag_sets(), 2);
        freshness.release_tags(one);
        freshness.release_tags(two);
        assert_eq!(freshness.live_tag_sets(), 0);
    }
}
