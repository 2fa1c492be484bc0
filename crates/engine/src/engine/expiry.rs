//! Deadlines: EXPIRE and its kin, TTL, PERSIST.

use std::time::Duration;

use super::{Engine, check_key};
use crate::clock::UnixMillis;
use crate::error::OpError;
use crate::keyspace::blob::Idle;

/// On which present deadline an EXPIRE acts; a key without one counts as living for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ExpireCondition {
    /// On any.
    #[default]
    Always,
    /// Only if there is none (Redis: `NX`).
    IfNone,
    /// Only if there is one (Redis: `XX`).
    IfAny,
    /// Only if the new one is later (Redis: `GT`).
    IfLater,
    /// Only if the new one is earlier (Redis: `LT`).
    IfEarlier,
    /// Only if there is one and the new one is earlier (Redis: `XX LT`).
    IfAnyEarlier,
}

impl ExpireCondition {
    /// Whether a deadline may come in the place of another.
    pub(crate) fn admits(self, old_ms: Option<u64>, new_ms: u64) -> bool {
        match self {
            Self::Always => true,
            Self::IfNone => old_ms.is_none(),
            Self::IfAny => old_ms.is_some(),
            Self::IfLater => old_ms.is_some_and(|old| new_ms > old),
            Self::IfEarlier => old_ms.is_none_or(|old| new_ms < old),
            Self::IfAnyEarlier => old_ms.is_some_and(|old| new_ms < old),
        }
    }
}

/// How long a key lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// The key does not exist.
    Absent,
    /// It has no deadline.
    Never,
    /// It expires after this time.
    After(Duration),
}

impl Engine {
    /// Lets a key expire after `span`; tells whether the key exists.
    ///
    /// **Command** `PEXPIRE`. **Complexity** O(1); the first expiry of a key rebuilds its entry, O(n) in its bytes.
    ///
    /// # Errors
    /// [`OpError::InvalidExpiry`] for a span that leads beyond the range of milliseconds.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert!(engine.expire("k", Duration::from_secs(10))?);
    /// assert!(!engine.expire("other", Duration::from_secs(10))?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn expire(&self, key: impl AsRef<[u8]>, span: Duration) -> Result<bool, OpError> {
        let span_ms = u64::try_from(span.as_millis()).map_err(|_| OpError::InvalidExpiry)?;
        let at = self.core.now_ms().checked_add(span_ms).ok_or(OpError::InvalidExpiry)?;
        self.expire_at(key, UnixMillis(at), ExpireCondition::Always)
    }

    /// Lets a key expire at a point in time, under a condition; one that has passed deletes the key. Tells whether it
    /// did.
    ///
    /// **Command** `PEXPIREAT` with `NX`, `XX`, `GT`, `LT`. **Complexity** as [`expire`](Self::expire).
    ///
    /// # Errors
    /// [`OpError::InvalidExpiry`] for a point beyond [`UnixMillis::MAX`].
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, ExpireCondition, UnixMillis};
    /// let engine = Engine::new();
    /// engine.set("k", "v")?;
    /// let far = UnixMillis(4_000_000_000_000);
    /// assert!(engine.expire_at("k", far, ExpireCondition::IfNone)?);
    /// assert!(!engine.expire_at("k", far, ExpireCondition::IfLater)?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn expire_at(
        &self,
        key: impl AsRef<[u8]>,
        at: UnixMillis,
        condition: ExpireCondition,
    ) -> Result<bool, OpError> {
        let key = key.as_ref();
        check_key(key)?;
        if at > UnixMillis::MAX {
            return Err(OpError::InvalidExpiry);
        }
        self.core.write(self.db, key, |write, hash| {
            let now = write.now_ms();
            let Some(blob) = write.find(hash, key) else { return Ok(false) };
            let old = blob.idle().map_or(blob.deadline_ms(), |idle| {
                // The deadline of an idle entry moves with every read; what EXPIRE compares is the hard one.
                Some(idle.hard_ms).filter(|&hard| hard != UnixMillis::MAX.0)
            });
            if !condition.admits(old, at.0) {
                return Ok(false);
            }
            let idle = blob.idle().map(|idle| Idle { hard_ms: at.0, ..idle });
            let deadline = idle.map_or(at.0, |idle| now.saturating_add(idle.idle_ms).min(at.0));
            let deadline = if at.0 <= now { at.0 } else { deadline };
            self.rebuild_times(write, hash, key, Some(deadline), idle, now)
        })
    }

    /// Takes a key's expiry away; tells whether it had one.
    ///
    /// **Command** `PERSIST`. **Complexity** O(n), n the entry's bytes: it is rebuilt without the field.
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert!(!engine.persist("k")?);
    /// engine.expire("k", std::time::Duration::from_secs(1))?;
    /// assert!(engine.persist("k")?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn persist(&self, key: impl AsRef<[u8]>) -> Result<bool, OpError> {
        let key = key.as_ref();
        self.core.write(self.db, key, |write, hash| {
            let now = write.now_ms();
            let had = write.find(hash, key).is_some_and(|blob| blob.deadline_ms().is_some());
            if had {
                self.rebuild_times(write, hash, key, None, None, now)?;
            }
            Ok(had)
        })
    }

    /// Returns how long a key will live.
    ///
    /// **Command** `PTTL`. **Complexity** O(1).
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// use larder::Ttl;
    /// let engine = larder::Engine::new();
    /// engine.set("k", "v")?;
    /// assert_eq!((engine.ttl("k")?, engine.ttl("other")?), (Ttl::Never, Ttl::Absent));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn ttl(&self, key: impl AsRef<[u8]>) -> Result<Ttl, OpError> {
        let key = key.as_ref();
        Ok(match self.deadline(key)? {
            None => {
                self.core.tell_of_miss(self.db, key);
                Ttl::Absent
            }
            Some(None) => Ttl::Never,
            Some(Some(at)) => Ttl::After(at.saturating_since(UnixMillis(self.core.now_ms()))),
        })
    }

    /// Returns the point in time at which a key expires: `None` for an absent key, `Some(None)` for one that lives
    /// for ever.
    ///
    /// **Command** `PEXPIRETIME`. **Complexity** O(1).
    ///
    /// # Errors
    /// None but [`OpError::Poisoned`].
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, SetOptions, UnixMillis};
    /// let engine = Engine::new();
    /// let at = UnixMillis(4_000_000_000_000);
    /// engine.set_with("k", "v", SetOptions::new().expire_at(at))?;
    /// assert_eq!(engine.expire_time("k")?, Some(Some(at)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn expire_time(&self, key: impl AsRef<[u8]>) -> Result<Option<Option<UnixMillis>>, OpError> {
        let key = key.as_ref();
        let found = self.deadline(key)?;
        if found.is_none() {
            self.core.tell_of_miss(self.db, key);
        }
        Ok(found)
    }
}
