//! Taking members off the ends of sorted sets, and members at random.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::super::beside::change_many;
use super::super::place::{At, change};
use super::super::{Engine, Place};
use super::{Body, SortedSet};
use crate::collections::sorted_set::Order;
use crate::effect::Delta;
use crate::error::OpError;
use crate::feed::event;
use crate::hash::KeyHash;
use crate::keyspace::collect::{Absent, Change, Room};
use crate::random::{Random, mix};
use crate::typed::{Element, decode};

/// Which end of a sorted set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScoreEnd {
    /// The lowest scores (`MIN`).
    Lowest,
    /// The highest scores (`MAX`).
    Highest,
}

/// Members with their scores, not decoded yet.
type Taken = Vec<(Vec<u8>, f64)>;

/// Takes up to `count` members off an end.
fn pop(change: &mut Change<'_, Body>, end: ScoreEnd, count: u64) -> Taken {
    change.name(if end == ScoreEnd::Lowest { event::ZPOPMIN } else { event::ZPOPMAX });
    let count = count.min(change.body.len());
    let mut taken = Vec::new();
    for _ in 0..count {
        let rank = if end == ScoreEnd::Lowest { 0 } else { change.body.len() - 1 };
        if let Some((member, score)) = change.body.remove_at(rank) {
            change.emit(|| Delta::SortedSetRemove { member: (&*member).into() });
            taken.push((member, score));
        }
    }
    taken
}

fn pop_at(place: &impl Place, end: ScoreEnd, count: u64) -> Result<Option<Taken>, OpError> {
    let touches = |body: &Body| body.len().min(count);
    change_many(place, Absent::Skip, 0, touches, |change| Ok(pop(change, end, count)))
}

fn decode_all<M: Element>(key: &[u8], taken: &[(Vec<u8>, f64)]) -> Result<Vec<(M, f64)>, OpError> {
    let decoded = taken.iter().map(|(member, score)| Ok((decode(member)?, *score)));
    decoded.collect::<Result<_, _>>().map_err(|source| OpError::codec(key, source))
}

/// Up to `count` different ranks below `len` in random order, every choice as likely as every other.
fn distinct_ranks(random: &mut Random, len: u64, count: u64) -> Vec<u64> {
    if count.saturating_mul(3) >= len {
        let mut ranks: Vec<u64> = (0..len).collect();
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(ranks.len());
        for at in 0..count {
            let other = at + random.index_below(ranks.len() - at);
            ranks.swap(at, other);
        }
        ranks.truncate(count);
        return ranks;
    }
    let (mut seen, mut ranks) = (HashTable::new(), Vec::new());
    while (ranks.len() as u64) < count {
        let rank = random.below(len);
        if let Entry::Vacant(place) = seen.entry(mix(rank), |&other| other == rank, |&other| mix(other)) {
            place.insert(rank);
            ranks.push(rank);
        }
    }
    ranks
}

impl Engine {
    /// Takes up to `count` members off an end of the first sorted set that is not empty, and tells which of the keys that
    /// was.
    ///
    /// **Command** `ZMPOP`. **Complexity** O(k + c log n), k keys looked at and c members taken off n.
    ///
    /// # Errors
    /// [`OpError::WrongType`] if a key looked at holds something else; [`OpError::Codec`] if a member is no `M`: it is gone
    /// then.
    ///
    /// # Examples
    /// ```
    /// use larder::ScoreEnd;
    /// let engine = larder::Engine::new();
    /// engine.sorted_set::<String>("b").add("x", 1.0)?;
    /// let popped = engine.pop_from_sorted_sets::<String, _>(&["a", "b"], ScoreEnd::Lowest, 10)?;
    /// assert_eq!(popped, Some((1, vec![("x".to_owned(), 1.0)])));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[expect(clippy::type_complexity, reason = "the index of a key, and what was popped")]
    pub fn pop_from_sorted_sets<M: Element, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        end: ScoreEnd,
        count: u64,
    ) -> Result<Option<(usize, Vec<(M, f64)>)>, OpError> {
        let popped = match keys {
            [key] => {
                let place = At::new(self, key.as_ref());
                pop_at(&place, end, count)?.map(|taken| (0, taken))
            }
            keys => self.pop_first(keys, end, count)?,
        };
        let Some((at, taken)) = popped else { return Ok(None) };
        Ok(Some((at, decode_all(keys[at].as_ref(), &taken)?)))
    }

    /// Looks at all keys at one moment.
    fn pop_first<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        end: ScoreEnd,
        count: u64,
    ) -> Result<Option<(usize, Taken)>, OpError> {
        let core = &*self.core;
        let hashes: Vec<KeyHash> = keys.iter().map(|key| core.hash(key.as_ref())).collect();
        let shards = self.shards_of(&hashes);
        self.check_declared(keys)?;
        core.write_many(self.db, &shards, |writes| {
            for (index, (key, &hash)) in keys.iter().zip(&hashes).enumerate() {
                let at = shards.binary_search(&core.shard_of(hash)).expect("every key's shard is locked");
                let (key, room) = (key.as_ref(), Room::new(0, None));
                let popped = writes[at]
                    .change_collection(hash, key, Absent::Skip, room, |change| Ok(pop(change, end, count)))?;
                if let Some(taken) = popped {
                    return Ok(Some((index, taken)));
                }
            }
            Ok(None)
        })
    }
}

impl<M: Element, P: Place> SortedSet<M, P> {
    /// Takes the member with the lowest score out.
    ///
    /// **Command** `ZPOPMIN`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`] if the member is no `M`: it is gone then.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let jobs = engine.sorted_set::<String>("jobs");
    /// jobs.add("later", 9.0)?;
    /// jobs.add("now", 1.0)?;
    /// assert_eq!(jobs.pop_min()?, Some(("now".to_owned(), 1.0)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_min(&self) -> Result<Option<(M, f64)>, OpError> {
        Ok(self.pop(ScoreEnd::Lowest, 1)?.pop())
    }

    /// Takes the member with the highest score out.
    ///
    /// **Command** `ZPOPMAX`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// As [`pop_min`](Self::pop_min).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let jobs = engine.sorted_set::<String>("jobs");
    /// assert_eq!(jobs.pop_max()?, None);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop_max(&self) -> Result<Option<(M, f64)>, OpError> {
        Ok(self.pop(ScoreEnd::Highest, 1)?.pop())
    }

    /// Takes up to `count` members off an end, the outermost first.
    ///
    /// **Command** `ZPOPMIN`, `ZPOPMAX`. **Complexity** O(m log n), m members taken off n.
    /// Of more than a thousand the lock is held only to put the result in place.
    ///
    /// # Errors
    /// As [`pop_min`](Self::pop_min).
    ///
    /// # Examples
    /// ```
    /// use larder::ScoreEnd;
    /// let engine = larder::Engine::new();
    /// let jobs = engine.sorted_set::<String>("jobs");
    /// jobs.add("now", 1.0)?;
    /// assert_eq!(jobs.pop(ScoreEnd::Highest, 5)?.len(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pop(&self, end: ScoreEnd, count: u64) -> Result<Vec<(M, f64)>, OpError> {
        let taken = pop_at(&self.place, end, count)?;
        decode_all(self.key(), &taken.unwrap_or_default())
    }

    /// A captured root, and chance that the engine's seed determines.
    fn with_chance(&self) -> Result<Option<(Order, Random)>, OpError> {
        change(&self.place, Absent::Skip, 0, |change: &mut Change<'_, Body>| {
            let (body, _, random) = change.parts();
            Ok((body.order().clone(), Random::new(random.next())))
        })
    }

    fn entries(&self, order: &Order, ranks: &[u64]) -> Result<Vec<(M, f64)>, OpError> {
        let entries = ranks.iter().filter_map(|&rank| order.entry(rank));
        entries.map(|(member, score)| Ok((self.decode(member)?, score))).collect()
    }

    /// Returns a member at random, each with the same probability.
    ///
    /// **Command** `ZRANDMEMBER`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; [`OpError::Codec`] if the member is no `M`.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let names = engine.sorted_set::<String>("names");
    /// names.add("ann", 1.0)?;
    /// assert_eq!(names.random()?, Some(("ann".to_owned(), 1.0)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn random(&self) -> Result<Option<(M, f64)>, OpError> {
        Ok(self.random_repeated(1)?.pop())
    }

    /// Returns up to `count` different members at random, in random order.
    ///
    /// **Command** `ZRANDMEMBER` with a positive count. **Complexity** O(m log n), m members drawn from n.
    ///
    /// # Errors
    /// As [`random`](Self::random).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let names = engine.sorted_set::<String>("names");
    /// names.add("ann", 1.0)?;
    /// assert_eq!(names.random_distinct(5)?.len(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn random_distinct(&self, count: u64) -> Result<Vec<(M, f64)>, OpError> {
        let Some((order, mut random)) = self.with_chance()? else { return Ok(Vec::new()) };
        let ranks = distinct_ranks(&mut random, order.len(), count);
        self.entries(&order, &ranks)
    }

    /// Returns `count` members at random; the same may come several times.
    ///
    /// **Command** `ZRANDMEMBER` with a negative count. **Complexity** O(m log n), m draws from n members.
    ///
    /// # Errors
    /// As [`random`](Self::random).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let names = engine.sorted_set::<String>("names");
    /// names.add("ann", 1.0)?;
    /// assert_eq!(names.random_repeated(5)?.len(), 5);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn random_repeated(&self, count: u64) -> Result<Vec<(M, f64)>, OpError> {
        let Some((order, mut random)) = self.with_chance()? else { return Ok(Vec::new()) };
        let draws = (0..count).map(|_| random.below(order.len()));
        let entries = draws.filter_map(|rank| order.entry(rank));
        entries.map(|(member, score)| Ok((self.decode(member)?, score))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_of_ranks_is_as_likely() {
        let mut random = Random::new(3);
        for (len, count) in [(5, 2), (12, 3), (5, 9)] {
            let mut drawn = vec![0_u32; usize::try_from(len).unwrap()];
            for _ in 0..20_000 {
                let ranks = distinct_ranks(&mut random, len, count);
                let different: std::collections::BTreeSet<u64> = ranks.iter().copied().collect();
                assert_eq!((different.len(), ranks.len() as u64), (ranks.len(), count.min(len)));
                for rank in ranks {
                    drawn[usize::try_from(rank).unwrap()] += 1;
                }
            }
            let expected = 20_000 * u32::try_from(count.min(len)).unwrap() / u32::try_from(len).unwrap();
            assert!(drawn.iter().all(|&n| n.abs_diff(expected) <= expected / 10), "{drawn:?}");
        }
    }
}
