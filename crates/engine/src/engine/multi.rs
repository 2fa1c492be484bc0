//! Operations over several collections: captures of one moment, results stored from them, elements moved between two.
//!
//! ```text
//! capture_any: lock all (read, ascending) -> clone roots -> unlock                     SINTER, SUNION, ZDIFF ...
//! derive:      capture -> compute outside of any lock -> lock all (write) -> same stamps? put : again     ... STORE
//! move_between: lock both -> look, check, reserve -> take here, give there             LMOVE, SMOVE
//! ```
//! Invariants: I1: what `derive` stores was computed from the sources as they are when it is stored. I2: nothing is computed
//! under a lock, unless writers changed the sources eight times in a row.

use super::{Engine, ValueType, check_key};
use crate::collections::rules::Rules;
use crate::collections::{Body, Collection, Held};
use crate::error::OpError;
use crate::feed::event::{self, Event};
use crate::hash::KeyHash;
use crate::keyspace::blob::{Blob, BlobRef, Content, ValueRef};
use crate::keyspace::collect::{Absent, Change, Room};
use crate::keyspace::write::{Announce, ShardWrite};
use crate::keyspace::{Pair, Refusal};
use crate::removal::RemovalCause;

/// How often a result is computed outside of the locks before it is computed inside.
pub(super) const OPTIMISTIC_TRIES: u32 = 8;

/// The stamp of a key that does not exist; no collection has it.
const NO_STAMP: u64 = 0;

type Captured = Vec<Option<(u64, Collection)>>;

impl Engine {
    /// Captures of several keys at one moment; every one of them is absent or of an admitted type.
    pub(crate) fn capture_any<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        admitted: &[ValueType],
    ) -> Result<Vec<Option<Collection>>, OpError> {
        let captured = self.capture_stamped(keys, admitted)?;
        Ok(captured.into_iter().map(|one| one.map(|(_, body)| body)).collect())
    }

    /// The same for keys of one type.
    pub(crate) fn capture_many<B: Body>(&self, keys: &[impl AsRef<[u8]>]) -> Result<Vec<Option<B>>, OpError> {
        let captured = self.capture_any(keys, &[B::TYPE])?;
        Ok(captured.into_iter().map(|one| one.and_then(|body| B::of(&body).cloned())).collect())
    }

    fn capture_stamped<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        admitted: &[ValueType],
    ) -> Result<Captured, OpError> {
        let core = &*self.core;
        let hashes: Vec<KeyHash> = keys.iter().map(|key| core.hash(key.as_ref())).collect();
        let shards = self.shards_of(&hashes);
        self.check_declared(keys)?;
        core.read_many(&shards, |states| {
            let mut captured = Vec::with_capacity(keys.len());
            for (key, &hash) in keys.iter().zip(&hashes) {
                let at =
                    shards.binary_search(&core.shard_of(hash)).expect("I3: every key's shard was locked");
                let blob = states[at].find(core.physical(self.db), hash, key.as_ref());
                let Some(blob) = blob.filter(|&blob| core.is_live(blob)) else {
                    captured.push(None);
                    continue;
                };
                let held = admit(blob, key.as_ref(), admitted)?;
                core.touch(states[at], blob);
                captured.push(Some((held.stamp, held.body.clone())));
            }
            Ok(captured)
        })?
    }

    /// Stores what `compute` makes of several keys under another one, which Redis calls `event`; `None` deletes that key. Returns what `compute` told.
    pub(crate) fn derive<K: AsRef<[u8]>, R>(
        &self,
        sources: &[K],
        admitted: &[ValueType],
        (target, event): (&[u8], Event),
        mut compute: impl FnMut(&[Option<Collection>], &Rules) -> Result<(Option<Collection>, R), OpError>,
    ) -> Result<R, OpError> {
        check_key(target)?;
        let core = &*self.core;
        self.check_declared(sources)?;
        core.check_declared(self.db, target)?;
        let weight = self.fresh_weight(target);
        let mut hashes: Vec<KeyHash> = sources.iter().map(|key| core.hash(key.as_ref())).collect();
        let target_hash = core.hash(target);
        hashes.push(target_hash);
        let shards = self.shards_of(&hashes);
        let at_of =
            |hash| shards.binary_search(&core.shard_of(hash)).expect("I3: every key's shard is locked");
        let target_at = at_of(target_hash);
        for attempt in 0.. {
            let rules = core.rules();
            let mut prepared = None;
            let mut stamps = Vec::new();
            if attempt < OPTIMISTIC_TRIES {
                let captured = self.capture_stamped(sources, admitted)?;
                stamps =
                    captured.iter().map(|one| one.as_ref().map_or(NO_STAMP, |(stamp, _)| *stamp)).collect();
                let bodies: Vec<_> = captured.into_iter().map(|one| one.map(|(_, body)| body)).collect();
                prepared = Some(compute(&bodies, &rules)?);
            }
            let stored = core.write_many(self.db, &shards, |writes| {
                let mut now = Vec::with_capacity(sources.len());
                for (key, &hash) in sources.iter().zip(&hashes) {
                    let key = key.as_ref();
                    let blob = writes[at_of(hash)].find(hash, key);
                    let held = blob.map(|blob| admit(blob, key, admitted)).transpose()?;
                    now.push(held.map(|held| (held.stamp, held.body.clone())));
                }
                if attempt >= OPTIMISTIC_TRIES {
                    // Anew in every run: one that was refused for want of room has let the locks go meanwhile.
                    let bodies: Vec<_> =
                        now.iter().map(|one| one.as_ref().map(|(_, body)| body.clone())).collect();
                    prepared = Some(compute(&bodies, &rules)?);
                } else {
                    let same = now.iter().map(|one| one.as_ref().map_or(NO_STAMP, |(stamp, _)| *stamp));
                    if !same.eq(stamps.iter().copied()) {
                        return Ok(false);
                    }
                }
                drop(now);
                let result = &mut prepared.as_mut().expect("I4: it was prepared above").0;
                writes[target_at].name(event);
                self.store_result(&mut writes[target_at], target_hash, (target, weight), result)?;
                Ok(true)
            })?;
            if let (true, Some((_, told))) = (stored, prepared) {
                return Ok(told);
            }
        }
        unreachable!("the attempt under the locks does not fail")
    }

    fn store_result(
        &self,
        write: &mut ShardWrite<'_>,
        hash: KeyHash,
        (key, weight): (&[u8], Option<u32>),
        result: &mut Option<Collection>,
    ) -> Result<(), Refusal> {
        let Some(body) = result.as_ref().filter(|body| !body.is_vacant()) else {
            write.detach_flights(key);
            write.remove(hash, key, RemovalCause::Deleted);
            return Ok(());
        };
        let content = Content::Collection(Box::new(Held { stamp: NO_STAMP, body: body.clone() }));
        let blob = Blob::new(self.fresh_draft(key, content, weight, write.now_ms())?);
        let old = write.existing(hash, key);
        write.reserve(blob.get(), old.as_ref())?;
        write.put(hash, blob, Announce::Replaced);
        // The copy that is left shares every node; it goes before anybody could change them.
        *result = None;
        Ok(())
    }

    /// Moves something between two collections of a type. `look` tells how many bytes will move, or that nothing will; then
    /// `take` takes it out and `give` puts it in. Both keys may be the same one. Of `told` keyspace events the second is the
    /// source's, and is told last; without them the deltas speak for themselves.
    pub(crate) fn move_between<B: Body, T, R>(
        &self,
        (from, to): (&[u8], &[u8]),
        told: Option<[Event; 2]>,
        mut look: impl FnMut(&B) -> Option<usize>,
        mut take: impl FnMut(&mut Change<'_, B>) -> Option<T>,
        mut give: impl FnMut(&mut Change<'_, B>, T) -> R,
    ) -> Result<Option<R>, OpError> {
        check_key(to)?;
        let core = &*self.core;
        let weight = self.fresh_weight(to);
        let hashes = [core.hash(from), core.hash(to)];
        if from == to {
            return core.write(self.db, from, |write, hash| {
                let size = write.collection::<B>(hash, from)?.and_then(&mut look);
                let Some(size) = size else { return Ok(None) };
                write.mute(told.is_some());
                let moved =
                    write.change_collection(hash, from, Absent::Skip, Room::new(size, None), |change| {
                        Ok(take(change).map(|taken| give(change, taken)))
                    })?;
                write.mute(false);
                told.into_iter().flatten().for_each(|event| write.notice(from, event));
                Ok(moved.flatten())
            });
        }
        core.write_pair((self.db, from), (self.db, to), |mut pair: Pair<'_, '_, '_>| {
            let seen = pair.at_source(|source| {
                Ok::<_, Refusal>(source.collection::<B>(hashes[0], from)?.map(&mut look))
            })?;
            // Without a source nothing is asked of the target, not even its type.
            let Some(size) = seen else { return Ok(None) };
            let spare = pair.at_source(|source| source.existing(hashes[0], from).map(|old| old.address));
            pair.at_target(|target| target.collection::<B>(hashes[1], to).map(|_| ()))?;
            let Some(size) = size else { return Ok(None) };
            // Room for the target first: after it nothing is refused, and the source is not evicted to make it.
            pair.at_target(|target| {
                target.reserve_for_element(hashes[1], to, Room::new(size, weight), spare)
            })?;
            let nothing = Room::new(0, None).reserved();
            pair.at_source(|source| source.mute(told.is_some()));
            let taken = pair.at_source(|source| {
                source.change_collection(hashes[0], from, Absent::Skip, nothing, |change| Ok(take(change)))
            })?;
            let Some(taken) = taken.flatten() else { return Ok(None) };
            let mut taken = Some(taken);
            let given = pair.at_target(|target| {
                target.change_collection(
                    hashes[1],
                    to,
                    Absent::Create,
                    Room::new(size, weight).reserved(),
                    |change| Ok(taken.take().map(|taken| give(change, taken))),
                )
            });
            if let Some([given, taken]) = told {
                pair.at_target(|target| target.notice(to, given));
                pair.at_source(|source| {
                    source.mute(false);
                    source.notice(from, taken);
                    if source.find(hashes[0], from).is_none() {
                        source.notice(from, event::DEL);
                    }
                });
            }
            given.map(Option::flatten)
        })
    }

    /// Refuses keys that the transaction around this call, if there is one, did not declare.
    pub(super) fn check_declared<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<(), OpError> {
        keys.iter().try_for_each(|key| self.core.check_declared(self.db, key.as_ref()))
    }

    /// The shards of these hashes, ascending, each once.
    pub(super) fn shards_of(&self, hashes: &[KeyHash]) -> Vec<usize> {
        let mut shards: Vec<usize> = hashes.iter().map(|&hash| self.core.shard_of(hash)).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }
}

/// The collection of an entry, if its type is admitted.
fn admit<'a>(blob: BlobRef<'a>, key: &[u8], admitted: &[ValueType]) -> Result<&'a Held, OpError> {
    let expected = admitted.first().copied().unwrap_or(ValueType::String);
    match blob.value() {
        ValueRef::Collection(held) if admitted.contains(&held.body.value_type()) => Ok(held),
        _ => Err(OpError::wrong_type(key, expected, ValueType::of(blob))),
    }
}
