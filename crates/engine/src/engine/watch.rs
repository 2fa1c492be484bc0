//! Watching keys: WATCH, as a handle that knows whether one of them was touched.
//!
//! Any touch counts, as in Redis: a SET of the value that was there, EXPIRE, PERSIST, the expiry and the eviction of the key,
//! FLUSHDB, and SWAPDB if the key exists in either database. Attaching a decoded object to a value is none, nor is moving the
//! deadline of an entry with time-to-idle by a read. A key that had expired already when it was watched was absent then, and
//! its removal is no change.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Engine, check_key};
use crate::error::OpError;
use crate::keyspace::Left;
use crate::keyspace::section::Section;

/// Keys under watch; see [`Engine::watch`]. Dropping it ends the watch.
#[must_use = "dropping it ends the watch"]
pub struct Watch {
    engine: Engine,
    keys: Vec<Box<[u8]>>,
    flag: Arc<AtomicBool>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("keys", &self.keys.len())
            .field("flag", &self.flag)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Watches keys of this database: tells afterwards whether any of them was touched.
    ///
    /// **Command** `WATCH`. **Complexity** O(k), k keys; a touch costs O(w) for the w watches of the key.
    ///
    /// # Errors
    /// [`OpError::KeyTooLong`], [`OpError::InsideTransaction`]; nothing is watched then.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let watch = engine.watch(&["a", "b"])?;
    /// assert!(!watch.is_changed());
    /// engine.incr("b")?;
    /// assert!(watch.is_changed());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn watch<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Watch, OpError> {
        keys.iter().try_for_each(|key| check_key(key.as_ref()))?;
        if self.core.is_within() {
            return Err(OpError::InsideTransaction);
        }
        let flag = Arc::new(AtomicBool::new(false));
        let mut watch = Watch { engine: self.clone(), keys: Vec::with_capacity(keys.len()), flag };
        for key in keys {
            let key = key.as_ref();
            self.core.write(self.db, key, |write, hash| {
                // One that has expired goes now, so that its removal is not taken for a change later.
                write.find(hash, key);
                write.state().interest.watch(hash, self.db, key, &watch.flag);
                Ok(())
            })?;
            watch.keys.push(key.into());
        }
        Ok(watch)
    }
}

impl Watch {
    /// Returns whether one of the keys was touched since the watch began, or has expired. Keys of a shard that is served no more
    /// count as touched.
    ///
    /// **Complexity** O(k), k keys, each under its lock; O(1) once the answer is yes.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        if self.is_marked() {
            return true;
        }
        for key in &self.keys {
            // A key past its deadline is removed on the way, and that marks.
            let found = self.engine.core.write(self.engine.db, key, |write, hash| {
                write.find(hash, key);
                Ok(())
            });
            if found.is_err() || self.is_marked() {
                return true;
            }
        }
        false
    }

    /// The same under the locks of a section that holds the keys' shards.
    pub(super) fn is_changed_in(&self, section: &Section<'_>) -> bool {
        self.is_marked() || self.keys.iter().any(|key| section.is_expired(self.engine.db, key))
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|key| &**key)
    }

    /// Whether a touch was seen, without a look at the keys.
    fn is_marked(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let (keys, flag) = (std::mem::take(&mut self.keys), Arc::clone(&self.flag));
        self.engine.core.share().let_go(Left::Watch(self.engine.db, keys, flag));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{ManualClock, Policy, SetOptions};

    type Act = (&'static str, bool, fn(&Engine));

    /// Every way to touch a key, and some that are none.
    const ACTS: [Act; 20] = [
        ("SET", true, |engine| drop(engine.set("k", "1"))),
        ("SET of the same value", true, |engine| drop(engine.set("k", "5"))),
        ("INCR in place", true, |engine| drop(engine.incr("k"))),
        ("APPEND", true, |engine| drop(engine.append("k", "x"))),
        ("DEL", true, |engine| drop(engine.remove("k"))),
        ("EXPIRE", true, |engine| drop(engine.expire("k", Duration::from_secs(9)))),
        ("PERSIST", true, |engine| drop(engine.persist("timed"))),
        ("EXPIRE again", true, |engine| drop(engine.expire("timed", Duration::from_secs(9)))),
        ("HSET", true, |engine| drop(engine.hash::<String, String>("h").set("f", "w"))),
        ("RPUSH", true, |engine| drop(engine.list::<u32>("l").push_back(1))),
        ("a new key", true, |engine| drop(engine.set("absent", "v"))),
        ("RENAME to it", true, |engine| drop(engine.rename("other", "absent"))),
        ("FLUSHDB", true, |engine| drop(engine.flush())),
        ("SWAPDB", true, |engine| drop(engine.swap_databases(0, 1))),
        ("GET", false, |engine| drop(engine.get("k"))),
        ("a decoded object", false, |engine| drop(engine.typed::<u32>().get("k"))),
        ("DEL of nothing", false, |engine| drop(engine.remove("absent"))),
        ("LREM of nothing", false, |engine| drop(engine.list::<u32>("l").remove(0, 77))),
        ("another key", false, |engine| drop(engine.set("other", "v"))),
        ("another database", false, |engine| drop(engine.select(1).map(|db| db.set("k", "v")))),
    ];

    fn engine(clock: &ManualClock) -> Engine {
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        engine.set_many(&[("k", "5"), ("other", "v")]).unwrap();
        let ttl = SetOptions::new().ttl(Duration::from_secs(10));
        engine.set_with("timed", "v", ttl).unwrap();
        engine.hash::<String, String>("h").set("f", "v").unwrap();
        engine.list::<u32>("l").push_back(1).unwrap();
        engine
    }

    #[test]
    fn every_touch_is_seen_and_nothing_else() {
        for (name, touches, act) in ACTS {
            let engine = engine(&ManualClock::default());
            let watch = engine.watch(&["k", "timed", "absent", "h", "l"]).unwrap();
            let unaware = engine.watch(&["none"]).unwrap();
            assert!(!watch.is_changed());
            act(&engine);
            assert_eq!(watch.is_changed(), touches, "{name}");
            assert!(!unaware.is_changed(), "{name}");
            engine.validate();
        }
    }

    #[test]
    fn expiry_counts_unless_it_was_before() {
        let clock = ManualClock::default();
        let engine = engine(&clock);
        let watch = engine.watch(&["timed"]).unwrap();
        clock.advance(Duration::from_secs(11));
        let late = engine.watch(&["timed"]).unwrap();
        assert!(watch.is_changed());
        assert!(!late.is_changed());
        engine.maintain(crate::Budget::keys(1_000));
        engine.swap_databases(0, 1).unwrap();
        assert!(!late.is_changed(), "it is in neither database");
    }

    #[test]
    fn eviction_counts_and_a_dropped_watch_leaves_nothing() {
        let engine = Engine::builder().max_entries(2).policy(Policy::AllKeysLru).build().unwrap();
        engine.set("k", "v").unwrap();
        let watch = engine.watch(&["k", "k"]).unwrap();
        for i in 0..50 {
            engine.set(format!("{i}"), "v").unwrap();
        }
        assert!(watch.is_changed());
        drop(watch);
        engine.validate();
        let shards = &engine.core.shards;
        assert!(shards.iter().all(|shard| shard.state.read().interest.is_empty()));
    }
}
