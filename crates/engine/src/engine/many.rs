//! Many keys in one call: batched reads, atomic batches of writes.
//!
//! A batch read walks in stages, each of which asks for the lines that the next one reads: shard, table, blob. So the
//! misses of sixteen keys overlap. Nothing but the last stage reads anything that matters, so a hint that is out of
//! date costs time only.

use super::store::{Incoming, SetOptions};
use super::{Engine, check_key, check_value};
use crate::error::OpError;
use crate::feed::event;
use crate::hash::KeyHash;
use crate::keyspace::Refusal;
use crate::keyspace::blob::{Blob, Draft};
use crate::keyspace::shard::Cost;
use crate::keyspace::shard::ShardState;
use crate::keyspace::write::Announce;
use crate::memory::Amounts;
use crate::prefetch::prefetch;
use crate::value::{Taken, Value};

/// Keys whose look-ups overlap.
const BATCH: usize = 16;
/// Buckets that, with their entries, fit the caches of a usual core.
const CACHED_ENTRIES: usize = 1 << 16;

impl Engine {
    /// Returns the values of many keys, in their order. Not a snapshot: each key is read at a moment of its own.
    ///
    /// **Command** `MGET`. **Complexity** O(k), k the keys; the memory accesses of sixteen keys overlap, so a batch
    /// that misses the caches takes much less than one read after the other.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("a", "1")?;
    /// let values = engine.get_many(&["a", "b"])?;
    /// assert!(values[0].as_ref().is_some_and(|v| v == "1") && values[1].is_none());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Value>>, OpError> {
        let mut values = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH) {
            let mut hashes = [KeyHash(0); BATCH];
            for (hash, key) in hashes.iter_mut().zip(batch) {
                *hash = self.core.hash(key.as_ref());
                prefetch(std::ptr::from_ref(&self.core.shards[self.core.shard_of(*hash)]).addr());
            }
            if self.outgrows_the_caches(hashes[0]) {
                self.warm(&hashes[..batch.len()])?;
            }
            for (key, &hash) in batch.iter().zip(&hashes) {
                let key = key.as_ref();
                let taken = self.core.with_hashed(self.db, hash, key, |blob| Taken::from(blob.value()))?;
                values.push(match taken {
                    Some(Taken::Value(value)) => Some(value),
                    Some(Taken::Collection(_)) | None => None,
                    Some(taken) => Some(self.finish(key, taken)?),
                });
            }
        }
        Ok(values)
    }

    /// Whether there are so many entries that a look-up probably misses the processor's caches; hints for lines that are
    /// there anyway would only cost time.
    fn outgrows_the_caches(&self, hash: KeyHash) -> bool {
        let shards = &self.core.shards;
        let buckets = shards[self.core.shard_of(hash)].whereabouts().mask + 1;
        shards.len().saturating_mul(buckets) > CACHED_ENTRIES
    }

    /// Asks for the table lines, then for the blobs, that these hashes probably need.
    fn warm(&self, hashes: &[KeyHash]) -> Result<(), OpError> {
        let core = &*self.core;
        if self.db != 0 || crate::local::in_section() {
            return Ok(());
        }
        for &hash in hashes {
            let shard = &core.shards[core.shard_of(hash)];
            let place = shard.whereabouts();
            if place.control != 0 {
                let bucket = usize::try_from(hash.table() & place.mask as u64).unwrap_or(0);
                prefetch(place.control.wrapping_add(bucket));
                prefetch(place.control.wrapping_sub((bucket + 1) * 8));
            }
        }
        let db = core.physical(self.db);
        for &hash in hashes {
            let likely = |state: &ShardState| state.table(db).and_then(|table| table.likely_address(hash));
            if let Some(address) = core.read(core.shard_of(hash), likely)? {
                prefetch(address);
                prefetch(address.wrapping_add(64));
            }
        }
        Ok(())
    }

    /// Stores many values at once: either all of them become visible together, or none is stored.
    ///
    /// **Command** `MSET`. **Complexity** O(k), k the pairs. If a key comes twice, its last value is stored.
    ///
    /// # Errors
    /// As [`set`](Self::set); then nothing has been stored.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_many(&[("a", "1"), ("b", "2")])?;
    /// assert_eq!(engine.len()?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(&self, pairs: &[(K, V)]) -> Result<(), OpError> {
        self.set_many_with(pairs, &SetOptions::new()).map(|_| ())
    }

    /// Stores many values only if none of the keys exists; tells whether it did.
    ///
    /// **Command** `MSETNX`. **Complexity** O(k), k the pairs.
    ///
    /// # Errors
    /// As [`set_many`](Self::set_many).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("b", "old")?;
    /// assert!(!engine.set_many_if_absent(&[("a", "1"), ("b", "2")])?);
    /// assert!(!engine.exists("a")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_many_if_absent<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: &[(K, V)],
    ) -> Result<bool, OpError> {
        self.set_many_with(pairs, &SetOptions::new().if_absent())
    }

    /// Stores many values with one expiry, under a condition on all of the keys; tells whether it did.
    ///
    /// **Command** `MSETEX`. **Complexity** O(k), k the pairs. `if_absent` asks that none of the keys exists,
    /// `if_present` that all do.
    ///
    /// # Errors
    /// As [`set_many`](Self::set_many); [`OpError::InvalidArgument`] for conditions on values and for `return_old`.
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, SetOptions};
    /// let engine = Engine::new();
    /// let minute = SetOptions::new().ttl(std::time::Duration::from_secs(60));
    /// assert!(engine.set_many_with(&[("a", "1"), ("b", "2")], &minute)?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_many_with<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: &[(K, V)],
        options: &SetOptions,
    ) -> Result<bool, OpError> {
        let Some(wanted) = options.presence() else {
            return Err(OpError::InvalidArgument("a batch takes conditions on presence only"));
        };
        let core = &*self.core;
        let mut items = Vec::with_capacity(pairs.len());
        let mut shards = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let (key, value) = (key.as_ref(), value.as_ref());
            check_key(key)?;
            check_value(value.len())?;
            core.check_declared(self.db, key)?;
            let incoming = Incoming::Bytes(value);
            let weight = self.weigh(key, &incoming);
            let hash = core.hash(key);
            let shard = core.shard_of(hash);
            shards.push(shard);
            items.push((shard, hash, key, incoming, weight));
        }
        shards.sort_unstable();
        shards.dedup();
        core.write_many(self.db, &shards, |writes| {
            // Every shard of an item is among the locked ones.
            let place = |shard: usize| shards.partition_point(|&locked| locked < shard);
            let now = core.now_ms();
            let mut needs = vec![Amounts::default(); writes.len()];
            let mut counts = vec![(0, 0, 0); writes.len()];
            let mut blobs = Vec::with_capacity(items.len());
            for (shard, hash, key, incoming, weight) in &items {
                let at = place(*shard);
                let old = writes[at].existing(*hash, key);
                if wanted.is_some_and(|wanted| old.is_some_and(|old| old.live) != wanted) {
                    return Ok(false);
                }
                let mut draft: Draft<'_> = incoming.draft(key);
                let kept = old.and_then(|old| old.kept);
                (draft.deadline_ms, draft.idle) = core.times(options, || now, kept)?;
                draft.weight = *weight;
                let blob = Blob::new(draft);
                let cost = Cost::of(blob.get(), core.settings.model).amounts();
                needs[at] = needs[at].and(Amounts { entries: u64::from(old.is_none()), ..cost });
                let (keys, deadlines, bytes) = counts[at];
                let deadlines = deadlines + usize::from(blob.get().deadline_ms().is_some());
                counts[at] = (keys + 1, deadlines, bytes + key.len());
                blobs.push((at, *hash, blob));
            }
            for ((write, need), (keys, deadlines, bytes)) in writes.iter().zip(&mut needs).zip(counts) {
                need.bytes = need.bytes.saturating_add(write.overhead_of_many(keys, deadlines, bytes));
            }
            let total = needs.iter().fold(Amounts::default(), |sum, &need| sum.and(need));
            core.check_fits(total)?;
            for at in 0..writes.len() {
                if !writes[at].try_reserve(needs[at]) {
                    writes.iter_mut().zip(&needs).for_each(|(write, need)| write.give_back_beyond(*need));
                }
                let (write, need) = (&mut writes[at], &needs[at]);
                let entries = write.state().len();
                // Room is looked for elsewhere for the batch as a whole; else one shard's share would be taken to make
                // room for another's, for ever.
                write.reserve_amounts(*need, None).map_err(|refusal| refusal.needing(total))?;
                if write.state().len() < entries {
                    // Perhaps a key that the batch took for present: look again.
                    return Err(Refusal::NoRoom { need: total, progress: true, spare: None });
                }
            }
            for (at, hash, blob) in blobs {
                if blob.get().deadline_ms().is_some_and(|deadline| deadline <= now) {
                    let key = blob.get().key();
                    writes[at].remove(hash, key, crate::RemovalCause::Deleted);
                } else {
                    let key: Option<Box<[u8]>> = options.expires().then(|| blob.get().key().into());
                    writes[at].put(hash, blob, Announce::Replaced);
                    if let Some(key) = key {
                        writes[at].notice(&key, event::EXPIRE);
                    }
                }
            }
            Ok::<_, Refusal>(true)
        })
    }
}
