//! Looking after an engine: limits and policies at run time, statistics, maintenance.
//!
//! Nobody has to maintain an engine: a dead key is never served, and a writer that needs room removes what is due
//! first. Maintenance gives memory back in time and announces expiry when it happens.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Engine;
use crate::clock::UnixMillis;
use crate::collections::rules::EncodingLimits;
use crate::config::SAMPLES_MAX;
use crate::eviction::Policy;
use crate::keyspace::Core;
use crate::keyspace::shard::ShardState;
use crate::keyspace::upkeep::EXPIRE_STEP;
use crate::local;
use crate::memory::{MemoryUsage, Resource};
use crate::stats::Stats;

/// Timers that one call meets when it is not told.
const BUDGET_DEFAULT: u32 = 10_000;
/// Entries that one look for invalidated copies visits.
const SWEEP_STEP: usize = 64;
/// Nodes of dead collections that one step frees.
const GRAVE_STEP: u32 = 64;
/// How long the maintenance thread sleeps at the most.
const PAUSE: Duration = Duration::from_millis(10);

/// How much work one [`maintain`](Engine::maintain) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Budget {
    keys: u32,
}

impl Budget {
    /// Looks at no more than about this many keys.
    pub fn keys(keys: u32) -> Self {
        Self { keys }
    }
}

impl Default for Budget {
    /// Ten thousand keys: about a millisecond.
    fn default() -> Self {
        Self { keys: BUDGET_DEFAULT }
    }
}

/// What a [`maintain`](Engine::maintain) left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Remaining {
    /// Whether the budget was too small for what is due.
    pub due: bool,
    /// When the next key may be due, at the earliest; `None` if no key has a deadline.
    pub next: Option<UnixMillis>,
}

impl Engine {
    /// Removes what is due, within a budget: keys past their deadline, invalidated copies, timers of keys that are
    /// gone, room in tables that have become too large.
    ///
    /// **Complexity** O(s + b), s the shards and b the budget; no lock is held for more than 64 keys.
    ///
    /// # Examples
    /// ```
    /// use larder::{Budget, Engine};
    /// assert!(!Engine::new().maintain(Budget::default()).due);
    /// ```
    pub fn maintain(&self, budget: Budget) -> Remaining {
        self.core.maintain(budget.keys)
    }

    /// Starts a thread that maintains the engine until the guard is dropped.
    ///
    /// **Complexity** O(s) every 10 ms when nothing is due, s the shards.
    ///
    /// # Panics
    /// If the system refuses the thread.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let maintenance = engine.spawn_maintenance();
    /// engine.set("k", "v")?;
    /// drop(maintenance);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn spawn_maintenance(&self) -> Maintenance {
        let signal = Arc::new((Mutex::new(false), Condvar::new()));
        let (core, theirs) = (self.core.share(), Arc::clone(&signal));
        let thread = std::thread::Builder::new()
            .name("larder-maintenance".to_owned())
            .spawn(move || run(&core, &theirs))
            .expect("the system starts a thread");
        Maintenance { signal, thread: Some(thread) }
    }

    /// Returns what was counted since the engine was built, and how many keys there are.
    ///
    /// **Command** `INFO`. **Complexity** O(s), s the shards.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.get("k")?;
    /// assert_eq!(engine.stats().misses, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.core.counters.snapshot();
        for shard in 0..self.core.shards.len() {
            self.core.inspect(shard, |state| {
                stats.keys += state.len() as u64;
                stats.volatile_keys += state.volatile as u64;
                stats.timers += state.timers() as u64;
            });
        }
        stats
    }

    /// Returns the bytes that the engine uses, by kind.
    ///
    /// **Command** `MEMORY STATS`. **Complexity** O(s), s the shards.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::builder().max_memory(1 << 20).build()?;
    /// engine.set("k", "v")?;
    /// let usage = engine.memory_usage();
    /// assert!(usage.blobs > 0 && usage.total() < 1 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn memory_usage(&self) -> MemoryUsage {
        self.core.memory_usage()
    }

    /// Changes the limit of bytes; what is over it goes at once, in steps, as far as the policy evicts.
    ///
    /// **Complexity** O(s + e), s the shards and e the entries evicted.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_max_memory(Some(1 << 20));
    /// assert_eq!(engine.memory_usage().limit, Some(1 << 20));
    /// ```
    pub fn set_max_memory(&self, bytes: Option<u64>) {
        self.core.set_limit(Resource::Bytes, bytes);
    }

    /// Changes the limit of entries; what is over it goes at once, in steps, as far as the policy evicts.
    ///
    /// **Complexity** O(s + e), s the shards and e the entries evicted.
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, Policy};
    /// let engine = Engine::new();
    /// engine.set_policy(Policy::AllKeysLru);
    /// engine.set_max_entries(Some(1));
    /// engine.set_many(&[("a", "1")])?;
    /// engine.set("b", "2")?;
    /// assert_eq!(engine.len()?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_max_entries(&self, entries: Option<u64>) {
        self.core.set_limit(Resource::Entries, entries);
    }

    /// Changes the limit of weight, for an engine that was built with a weigher.
    ///
    /// **Complexity** O(s + e), s the shards and e the entries evicted.
    ///
    /// # Errors
    /// [`OpError::NotEnabled`](crate::OpError::NotEnabled) without a weigher.
    ///
    /// # Examples
    /// ```
    /// assert!(larder::Engine::new().set_max_weight(Some(10)).is_err());
    /// ```
    pub fn set_max_weight(&self, weight: Option<u64>) -> Result<(), crate::OpError> {
        if self.core.settings.weigher.is_none() {
            return Err(crate::OpError::NotEnabled("max_weight with a weigher"));
        }
        self.core.set_limit(Resource::Weight, weight);
        Ok(())
    }

    /// Returns up to which size collections keep their small encodings.
    ///
    /// **Command** `CONFIG GET hash-max-listpack-entries` and its like. **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// assert_eq!(larder::Engine::new().encoding_limits().hash_max_listpack_entries, 512);
    /// ```
    #[must_use]
    pub fn encoding_limits(&self) -> EncodingLimits {
        self.core.rules().limits
    }

    /// Changes up to which size collections keep their small encodings; those that are there follow when they change.
    ///
    /// **Command** `CONFIG SET hash-max-listpack-entries` and its like. **Complexity** O(s), s the shards.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let mut limits = engine.encoding_limits();
    /// limits.zset_max_listpack_entries = 16;
    /// engine.set_encoding_limits(limits);
    /// assert_eq!(engine.encoding_limits(), limits);
    /// ```
    pub fn set_encoding_limits(&self, limits: EncodingLimits) {
        self.core.set_encoding_limits(limits);
    }

    /// Returns how many entries a sampling policy compares.
    ///
    /// **Command** `CONFIG GET maxmemory-samples`. **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// assert_eq!(larder::Engine::builder().samples(5).build()?.samples(), 5);
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    #[must_use]
    pub fn samples(&self) -> usize {
        self.core.samples()
    }

    /// Changes how many entries a sampling policy compares.
    ///
    /// **Command** `CONFIG SET maxmemory-samples`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::InvalidArgument`](crate::OpError::InvalidArgument) unless it is 1 to 1,000.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_samples(16)?;
    /// assert!(engine.set_samples(0).is_err());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_samples(&self, samples: usize) -> Result<(), crate::OpError> {
        if !(1..=SAMPLES_MAX).contains(&samples) {
            return Err(crate::OpError::InvalidArgument("a sample has 1 to 1,000 entries"));
        }
        self.core.set_samples(samples);
        Ok(())
    }

    /// Returns how many numbered databases the engine has.
    ///
    /// **Command** `CONFIG GET databases`. **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// assert_eq!(larder::Engine::new().databases(), 16);
    /// ```
    #[must_use]
    pub fn databases(&self) -> u16 {
        self.core.settings.databases
    }

    /// Returns the present time by the engine's clock.
    ///
    /// **Command** `TIME`. **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, ManualClock, UnixMillis};
    /// let engine = Engine::builder().clock(ManualClock::new(UnixMillis(5))).build()?;
    /// assert_eq!(engine.now(), UnixMillis(5));
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        UnixMillis(self.core.now_ms())
    }

    /// Returns the eviction policy.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.core.policy()
    }

    /// Changes the eviction policy; what is known of past accesses is read in the new policy's terms from now on.
    ///
    /// **Complexity** O(s + r), s the shards and r the entries in admission rings.
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, Policy};
    /// let engine = Engine::new();
    /// engine.set_policy(Policy::AllKeysLfu);
    /// assert_eq!(engine.policy(), Policy::AllKeysLfu);
    /// ```
    pub fn set_policy(&self, policy: Policy) {
        self.core.set_policy(policy);
    }
}

impl Core {
    fn maintain(&self, budget: u32) -> Remaining {
        let mut left = budget;
        let mut remaining = Remaining::default();
        while left > 0 && self.grave.bytes() > 0 {
            let nodes = left.min(GRAVE_STEP);
            if self.grave_free(nodes as usize) {
                break;
            }
            left -= nodes;
        }
        remaining.due = self.grave.bytes() > 0;
        let now = self.now_ms();
        let count = self.shards.len();
        let start = self.maintain_rotor.load(Ordering::Relaxed);
        for step in 0..count {
            let shard = (start + step) % count;
            // A poisoned shard is left alone, or what is due in it would be due for ever.
            let clock = self.freshness.clock();
            let seen = self.read(shard, |state| (state.next_due_ms(), state.has_work(clock)));
            let Ok((due, work)) = seen else { continue };
            if due.is_some_and(|due| due <= now) || work {
                if left == 0 {
                    remaining.due = true;
                    self.maintain_rotor.store(shard, Ordering::Relaxed);
                    break;
                }
                left = self.maintain_shard(shard, left);
            }
            let next = self.inspect(shard, ShardState::next_due_ms).map(UnixMillis);
            remaining.due |= next.is_some_and(|next| next.0 <= now);
            remaining.next = match (remaining.next, next) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        remaining
    }

    /// Does what is due in one shard; returns what is left of the budget.
    fn maintain_shard(&self, shard: usize, budget: u32) -> u32 {
        let mut left = budget;
        loop {
            let step = left.min(EXPIRE_STEP);
            let outcome = self.write_in(shard, 0, |write| {
                let (_, met, done) = write.expire(step);
                write.sweep_timers(step);
                Ok((met, done))
            });
            // A poisoned shard is left alone.
            let Ok((met, done)) = outcome else { return left };
            left = left.saturating_sub(met.max(1));
            if done {
                break;
            }
            if left == 0 {
                return 0;
            }
        }
        // At least one step, or the smallest budgets would never come to it.
        loop {
            let more = self.write_in(shard, 0, |write| Ok(write.clean(SWEEP_STEP)));
            left = left.saturating_sub(u32::try_from(SWEEP_STEP).unwrap_or(u32::MAX));
            if left == 0 || !matches!(more, Ok(true)) {
                return left;
            }
        }
    }
}

/// The maintenance thread of an engine; dropping it stops and joins the thread.
#[derive(Debug)]
#[must_use = "the thread stops when the guard is dropped"]
pub struct Maintenance {
    signal: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

fn run(core: &Core, signal: &(Mutex<bool>, Condvar)) {
    let (stop, wake) = signal;
    let mut stopped = stop.lock();
    while !*stopped {
        parking_lot::MutexGuard::unlocked(&mut stopped, || {
            while core.maintain(BUDGET_DEFAULT).due {
                std::thread::yield_now();
                if *stop.lock() {
                    break;
                }
            }
        });
        if !*stopped {
            wake.wait_for(&mut stopped, PAUSE);
        }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        let (stop, wake) = &*self.signal;
        *stop.lock() = true;
        wake.notify_all();
        // Inside a transaction it may wait for a shard that this thread holds: it ends by itself then.
        if let Some(thread) = self.thread.take().filter(|_| !local::in_section()) {
            // A panic of the thread (of a listener, that is) has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}
