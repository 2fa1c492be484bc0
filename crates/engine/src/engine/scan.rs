//! Walking over keys: SCAN with Redis's guarantee, KEYS, RANDOMKEY, and scans in key order.
//!
//! ```text
//! cursor = shard << 20 | next kept hash bits (19)          0 begins, and 0 ends
//! ```
//! A page holds whole groups of equal hash bits in their order, which no growing or shrinking changes: a key that is
//! there from the first call to the last is returned, and at most once.

use std::ops::{Bound, RangeBounds};

use super::Engine;
use super::keys::ValueType;
use crate::error::OpError;
use crate::glob;
use crate::hash::KEPT_BITS;
use crate::keyspace::index::ShardIndex;
use crate::keyspace::shard::ShardState;
use crate::order::prefix_end;

const PLACE_BITS: u32 = KEPT_BITS + 1;
/// Keys that RANDOMKEY draws before it looks at all of them.
const TRIES: usize = 128;
/// How many keys a scan visits at a time when it is not told (Redis's default).
const COUNT_DEFAULT: usize = 10;

/// What a [`scan`](Engine::scan) returns, and how much at a time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct ScanOptions {
    pattern: Option<Box<[u8]>>,
    kind: Option<ValueType>,
    count: Option<usize>,
}

impl ScanOptions {
    /// Returns every key, about ten at a time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns only keys that match a glob (Redis: `MATCH`).
    pub fn matching(mut self, pattern: impl AsRef<[u8]>) -> Self {
        self.pattern = Some(pattern.as_ref().into());
        self
    }

    /// Returns only keys whose value has this type (Redis: `TYPE`).
    pub fn of_type(mut self, kind: ValueType) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Visits about this many keys a call (Redis: `COUNT`).
    pub fn count(mut self, count: usize) -> Self {
        self.count = Some(count);
        self
    }

    /// How many to visit a call.
    pub(super) fn page_len(&self) -> Result<usize, OpError> {
        let count = self.count.unwrap_or(COUNT_DEFAULT);
        if count == 0 {
            return Err(OpError::InvalidArgument("a scan visits at least one key a call"));
        }
        Ok(count)
    }

    /// Whether the pattern, if there is one, matches.
    pub(super) fn admits(&self, text: &[u8]) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, text))
    }
}

/// Part of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ScanPage {
    /// Where to go on; 0 when the scan is complete.
    pub cursor: u64,
    /// The keys of this page, in no particular order.
    pub keys: Vec<Vec<u8>>,
}

impl Engine {
    /// Returns a page of keys and the cursor of the next one; begin with cursor 0 and go on until it is 0 again.
    ///
    /// **Command** `SCAN`. **Complexity** O(m + c) a call, m the keys of a shard (a few thousand) and c the count. Every key
    /// that is there from the first call to the last is returned once; one that comes or goes meanwhile may be.
    ///
    /// # Errors
    /// [`OpError::InvalidArgument`] for a cursor that no scan returned, or a count of 0.
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, ScanOptions};
    /// let engine = Engine::new();
    /// engine.set_many(&[("user:1", "a"), ("user:2", "b"), ("job:1", "c")])?;
    /// let (mut cursor, mut users) = (0, 0);
    /// loop {
    ///     let page = engine.scan(cursor, &ScanOptions::new().matching("user:*"))?;
    ///     users += page.keys.len();
    ///     cursor = page.cursor;
    ///     if cursor == 0 { break }
    /// }
    /// assert_eq!(users, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn scan(&self, cursor: u64, options: &ScanOptions) -> Result<ScanPage, OpError> {
        let core = &*self.core;
        let count = options.page_len()?;
        let mut shard = usize::try_from(cursor >> PLACE_BITS).unwrap_or(usize::MAX);
        let mut place = cursor & ((1 << PLACE_BITS) - 1);
        if shard >= core.shards.len() {
            return Err(OpError::InvalidArgument("no scan returned this cursor"));
        }
        let mut page = ScanPage::default();
        let mut visited = 0;
        loop {
            let next = core.read(shard, |state| {
                state.table(core.physical(self.db)).and_then(|table| {
                    table.page(place, count - visited, |blob| {
                        visited += 1;
                        let wanted = options.kind.is_none_or(|kind| kind == ValueType::of(blob))
                            && options.admits(blob.key());
                        if wanted && core.is_live(blob) {
                            page.keys.push(blob.key().to_vec());
                        }
                    })
                })
            })?;
            place = next.unwrap_or(0);
            shard += usize::from(next.is_none());
            if shard == core.shards.len() {
                return Ok(page);
            }
            if visited >= count {
                page.cursor = ((shard as u64) << PLACE_BITS) | place;
                return Ok(page);
            }
        }
    }

    /// Returns all keys that match a glob.
    ///
    /// **Command** `KEYS`. **Complexity** O(n), n the keys of the database (with the ordered index: those
    /// that begin as the pattern does); other callers wait for one shard at most.
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_many(&[("hello", "1"), ("hallo", "2"), ("world", "3")])?;
    /// assert_eq!(engine.keys("h?llo")?.len(), 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn keys(&self, pattern: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>, OpError> {
        let pattern = pattern.as_ref();
        let prefix = glob::literal_prefix(pattern);
        if self.core.order.is_some() && !prefix.is_empty() {
            let mut keys = self.scan_prefix(&prefix, usize::MAX)?;
            keys.retain(|key| glob::matches(pattern, key));
            return Ok(keys);
        }
        let options = ScanOptions::new().matching(pattern).count(4_096);
        let (mut keys, mut cursor) = (Vec::new(), 0);
        loop {
            let mut page = self.scan(cursor, &options)?;
            keys.append(&mut page.keys);
            cursor = page.cursor;
            if cursor == 0 {
                return Ok(keys);
            }
        }
    }

    /// Returns a key at random, each with the same probability; `None` if there is none.
    ///
    /// **Command** `RANDOMKEY`. **Complexity** O(s), s the shards; O(n) where nearly all keys are past their deadline or
    /// negative copies.
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert!(engine.random_key()?.is_none());
    /// engine.set("only", "1")?;
    /// assert_eq!(engine.random_key()?.unwrap(), b"only");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn random_key(&self) -> Result<Option<Vec<u8>>, OpError> {
        let core = &*self.core;
        let mut chance = core.chance();
        for _ in 0..TRIES {
            let mut counts = Vec::with_capacity(core.shards.len());
            for shard in 0..core.shards.len() {
                let table_len =
                    |state: &ShardState| state.table(core.physical(self.db)).map_or(0, ShardIndex::len);
                counts.push(core.read(shard, table_len)? as u64);
            }
            let total: u64 = counts.iter().sum();
            if total == 0 {
                return Ok(None);
            }
            let mut nth = chance.below(total);
            let chosen = counts.iter().position(|&count| {
                let here = nth < count;
                nth = if here { nth } else { nth - count };
                here
            });
            // `nth` lies below the sum of the counts, so there is one.
            let Some(shard) = chosen else { continue };
            let drawn = core.read(shard, |state| {
                let blob = state.table(core.physical(self.db))?.choose(|| chance.next())?;
                Some((blob.key().to_vec(), core.is_live(blob)))
            })?;
            let Some((key, live)) = drawn else { continue };
            if live {
                return Ok(Some(key));
            }
            // A dead key is taken away. A negative copy stays, and another one is drawn.
            core.write(self.db, &key, |write, hash| Ok(write.find(hash, &key).is_some()))?;
        }
        let mut keys = self.keys("*")?;
        let nth = chance.index_below(keys.len());
        Ok((!keys.is_empty()).then(|| keys.swap_remove(nth)))
    }

    /// Returns the keys that begin with `prefix`, in byte order, at most `limit` of them.
    ///
    /// **Complexity** O(log n + k), n the keys and k those returned. Needs
    /// [`ordered_index`](crate::Builder::ordered_index).
    ///
    /// # Errors
    /// [`OpError::NotEnabled`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::builder().ordered_index(true).build()?;
    /// engine.set_many(&[("user:2", "b"), ("user:1", "a"), ("x", "c")])?;
    /// assert_eq!(engine.scan_prefix("user:", 10)?, [b"user:1", b"user:2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, OpError> {
        let prefix = prefix.as_ref();
        let end = prefix_end(prefix);
        self.walk(Bound::Included(prefix), end.as_ref().map(Vec::as_slice), limit)
    }

    /// Returns the keys within `range`, in byte order, at most `limit` of them.
    ///
    /// **Complexity** O(log n + k), n the keys and k those returned. Needs
    /// [`ordered_index`](crate::Builder::ordered_index).
    ///
    /// # Errors
    /// [`OpError::NotEnabled`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::builder().ordered_index(true).build()?;
    /// engine.set_many(&[("a", "1"), ("b", "2"), ("c", "3")])?;
    /// assert_eq!(engine.scan_range(&b"b"[..].., 10)?, [b"b", b"c"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_range<'r>(
        &self,
        range: impl RangeBounds<&'r [u8]>,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, OpError> {
        self.walk(range.start_bound().cloned(), range.end_bound().cloned(), limit)
    }

    fn walk(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, OpError> {
        let order = self.core.order.as_ref().ok_or(OpError::NotEnabled("ordered_index"))?;
        let mut keys = Vec::new();
        let mut failed = None;
        if limit == 0 {
            return Ok(keys);
        }
        order.walk(self.core.physical(self.db), from, to, |key| {
            match self.core.peek_entry(self.db, key, |_| ()) {
                Ok(Some(())) => keys.push(key.to_vec()),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
            failed.is_none() && keys.len() < limit
        });
        failed.map_or(Ok(keys), Err)
    }
}
