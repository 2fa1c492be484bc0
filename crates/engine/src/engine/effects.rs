//! Effects out, effects in, and a digest that tells whether two engines hold the same.

use xxhash_rust::xxh3::Xxh3;

use super::Engine;
use crate::clock::UnixMillis;
use crate::collections::Held;
use crate::effect::{Delta, Effect};
use crate::error::OpError;
use crate::keyspace::blob::{BlobRef, ValueRef};
use crate::keyspace::rope::Rope;
use crate::random::mix;
use crate::typed::Object;
use crate::value::integer_text;

/// What an entry is hashed from, taken out of the lock where hashing would be long or would run user code.
enum Content {
    Hashed(u64),
    Large(std::sync::Arc<Rope>),
    Collection(Held),
    Object(Object),
}

struct Hashed {
    key: Box<[u8]>,
    deadline_ms: Option<u64>,
    content: Content,
}

impl Engine {
    /// Takes what was recorded since the last call, in the order of the changes.
    ///
    /// **Complexity** O(1). Empty unless the engine was built with
    /// [`record_effects`](crate::Builder::record_effects).
    ///
    /// # Examples
    /// ```
    /// use larder::{Delta, Engine};
    /// let engine = Engine::builder().record_effects(true).build()?;
    /// engine.incr("n")?;
    /// let effects = engine.take_effects();
    /// assert!(matches!(&effects[0].delta, Delta::SetString { value, .. } if **value == *b"1"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn take_effects(&self) -> Vec<Effect> {
        self.core.take_effects()
    }

    /// Applies a change that another engine recorded; in their order they make its state.
    ///
    /// **Complexity** that of the one change. Neither the clock nor the byte limit is looked at: what is past its deadline
    /// stays until the recorder says that it went (or this engine's own maintenance removes it).
    ///
    /// # Errors
    /// [`OpError::NoSuchDatabase`] for a database that this engine does not have; [`OpError::KeyTooLong`].
    ///
    /// # Examples
    /// ```
    /// use larder::Engine;
    /// let (leader, follower) = (Engine::builder().record_effects(true).build()?, Engine::new());
    /// leader.set("k", "v")?;
    /// leader.take_effects().iter().try_for_each(|effect| follower.apply(effect))?;
    /// assert_eq!(leader.state_digest()?, follower.state_digest()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn apply(&self, effect: &Effect) -> Result<(), OpError> {
        super::check_key(&effect.key)?;
        if effect.database >= self.core.databases() {
            self.core.check_database(effect.database)?;
        }
        if let Delta::SwapDatabases { with } = effect.delta {
            return self.core.swap_databases(effect.database, with);
        }
        let weight = self.fresh_weight(&effect.key);
        self.core.write(effect.database, &effect.key, |write, hash| {
            write.apply(hash, &effect.key, &effect.delta, weight);
            Ok(())
        })
    }

    /// Returns a hash of everything that readers can see in all databases: keys, values and deadlines, whatever the
    /// encodings and the history. What is past its deadline does not count, whether it was removed or not.
    ///
    /// **Complexity** O(n), n the bytes of the whole engine; a lock is held for one shard's entries, large values are
    /// hashed outside of it. Shards are looked at one after the other: call it while nobody writes.
    ///
    /// # Errors
    /// [`OpError::Codec`] for a typed value that cannot be encoded.
    ///
    /// # Examples
    /// ```
    /// let (a, b) = (larder::Engine::new(), larder::Engine::new());
    /// a.set("n", "1")?;
    /// a.incr("n")?;
    /// b.set("n", "2")?;
    /// assert_eq!(a.state_digest()?, b.state_digest()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn state_digest(&self) -> Result<u64, OpError> {
        let core = &*self.core;
        let mut digest = 0u64;
        for db in 0..core.databases() {
            for shard in 0..core.shards.len() {
                let mut entries = Vec::new();
                core.read(shard, |state| {
                    if let Some(table) = state.table(core.physical(db)) {
                        entries.extend(table.iter().filter(|&blob| core.is_live(blob)).map(take));
                    }
                })?;
                for entry in entries {
                    digest = digest.wrapping_add(entry.digest(db, core.now_ms())?.unwrap_or(0));
                }
            }
        }
        Ok(digest)
    }
}

fn take(blob: BlobRef<'_>) -> Hashed {
    let content = match blob.value() {
        ValueRef::Bytes(bytes) => Content::Hashed(string_digest([bytes])),
        ValueRef::Int(number) => Content::Hashed(string_digest([integer_text(number).as_bytes()])),
        ValueRef::Large(rope) => Content::Large(std::sync::Arc::clone(rope)),
        ValueRef::Collection(held) => Content::Collection(held.clone()),
        ValueRef::Object(object) => Content::Object(object.clone()),
    };
    let hard = blob.idle().map_or(blob.deadline_ms(), |idle| Some(idle.hard_ms));
    let deadline_ms = hard.filter(|&hard| hard != UnixMillis::MAX.0);
    Hashed { key: blob.key().into(), deadline_ms, content }
}

/// The digest of a string that lies in pieces.
fn string_digest<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = Xxh3::with_seed(1);
    pieces.into_iter().for_each(|piece| hasher.update(piece));
    hasher.digest()
}

/// The same of a large string, whose gaps are zeros.
fn rope_digest(rope: &Rope) -> u64 {
    const ZEROS: [u8; 4_096] = [0; 4_096];
    let mut hasher = Xxh3::with_seed(1);
    let mut at = 0;
    let last = [(rope.len(), &[][..])];
    for (from, bytes) in rope.pieces(0..rope.len()).chain(last) {
        while at < from {
            let zeros = ZEROS.len().min(from - at);
            hasher.update(&ZEROS[..zeros]);
            at += zeros;
        }
        hasher.update(bytes);
        at = from + bytes.len();
    }
    hasher.digest()
}

impl Hashed {
    fn digest(self, db: u16, now_ms: u64) -> Result<Option<u64>, OpError> {
        let (kind, content) = match self.content {
            Content::Hashed(digest) => ("string", digest),
            Content::Large(rope) => ("string", rope_digest(&rope)),
            Content::Object(object) => {
                let bytes = object.encode().map_err(|error| OpError::codec(&self.key, error))?;
                ("string", string_digest([&bytes[..]]))
            }
            Content::Collection(held) => match held.body.digest_at(now_ms) {
                Some(digest) => (held.body.value_type().name(), digest),
                None => return Ok(None),
            },
        };
        let mut hasher = Xxh3::with_seed(u64::from(db));
        hasher.update(kind.as_bytes());
        hasher.update(&content.to_le_bytes());
        hasher.update(&self.deadline_ms.map_or(0, |deadline| deadline.wrapping_add(1)).to_le_bytes());
        hasher.update(&self.key);
        Ok(Some(mix(hasher.digest())))
    }
}
