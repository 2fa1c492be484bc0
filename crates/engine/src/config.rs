//! The builder: every setting of an engine, checked once.

use std::fmt;
use std::time::Duration;

use crate::clock::{Clock, SystemClock, UnixMillis};
use crate::collections::rules::EncodingLimits;
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::eviction::{Admission, Policy};
use crate::memory::AllocatorModel;
use crate::random;
use crate::removal::Removal;

/// The largest sample of a sampling policy.
pub(crate) const SAMPLES_MAX: usize = 1_000;
/// Shards of an engine that was told neither a limit nor how many keys to expect.
const SHARDS_DEFAULT: usize = 256;
const SHARDS_MAX: usize = 1 << 14;
/// Entries a shard holds when a limit is reached: enough to sample from, few enough that growing is short.
const SHARD_ENTRIES: u64 = 1_024;
/// Small caches have smaller shards, so that threads meet less often: this many entries, up to `SHARDS_SMALL` shards.
const SHARD_ENTRIES_SMALL: u64 = 256;
const SHARDS_SMALL: u64 = 64;
/// What an entry of a small cache may take, to guess the number of entries from a limit in bytes.
const ENTRY_BYTES_GUESS: u64 = 128;
/// Keys a shard holds when as many keys are there as were expected.
const SHARD_KEYS_EXPECTED: u64 = 4_096;
/// The smallest byte limit: below it an engine's fixed part would be most of it.
const MAX_MEMORY_MIN: u64 = 64 * 1024;

pub(crate) type Weigher = Box<dyn Fn(&[u8], &[u8]) -> u32 + Send + Sync>;
pub(crate) type Listener = Box<dyn Fn(&Removal<'_>) + Send + Sync>;

/// The time source: the wall clock without an indirect call, or one that was given.
pub(crate) enum TimeSource {
    System(SystemClock),
    Given(Box<dyn Clock>),
}

impl TimeSource {
    #[inline]
    pub(crate) fn now(&self) -> UnixMillis {
        match self {
            Self::System(clock) => clock.now(),
            Self::Given(clock) => clock.now(),
        }
    }

    /// A fine, monotonic reading, for measuring spans.
    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Self::System(clock) => clock.elapsed(),
            Self::Given(clock) => clock.elapsed(),
        }
    }
}

/// Checked settings, as the engine keeps them.
pub(crate) struct Settings {
    pub(crate) clock: TimeSource,
    pub(crate) seed: u64,
    pub(crate) shard_bits: u32,
    pub(crate) databases: u16,
    pub(crate) policy: Policy,
    pub(crate) max_memory: Option<u64>,
    pub(crate) max_entries: Option<u64>,
    pub(crate) max_weight: Option<u64>,
    pub(crate) weigher: Option<Weigher>,
    pub(crate) samples: usize,
    pub(crate) admission: Admission,
    pub(crate) model: AllocatorModel,
    pub(crate) time_to_live: Option<Duration>,
    pub(crate) time_to_idle: Option<Duration>,
    pub(crate) ttl_jitter: f64,
    pub(crate) ordered_index: bool,
    pub(crate) listener: Option<Listener>,
    pub(crate) measure_latency: bool,
    pub(crate) limits: EncodingLimits,
    pub(crate) record_effects: bool,
}

/// Configures and builds an [`Engine`].
///
/// # Examples
/// ```
/// use larder::{Engine, Policy};
/// let engine = Engine::builder().max_memory(64 << 20).policy(Policy::AllKeysLfu).build()?;
/// engine.set("answer", "42")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct Builder {
    settings: Settings,
    policy: Option<Policy>,
    seed: Option<u64>,
    shards: Option<usize>,
    expected_keys: Option<u64>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("policy", &self.policy)
            .field("max_memory", &self.settings.max_memory)
            .field("max_entries", &self.settings.max_entries)
            .field("max_weight", &self.settings.max_weight)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            settings: Settings {
                clock: TimeSource::System(SystemClock),
                seed: 0,
                shard_bits: 0,
                databases: 16,
                policy: Policy::NoEviction,
                max_memory: None,
                max_entries: None,
                max_weight: None,
                weigher: None,
                samples: 8,
                admission: Admission::default(),
                model: AllocatorModel::default(),
                time_to_live: None,
                time_to_idle: None,
                ttl_jitter: 0.0,
                ordered_index: false,
                listener: None,
                measure_latency: false,
                limits: EncodingLimits::default(),
                record_effects: false,
            },
            policy: None,
            seed: None,
            shards: None,
            expected_keys: None,
        }
    }

    /// Limits the bytes that the engine uses, its own structures included (Redis: `maxmemory`).
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.settings.max_memory = Some(bytes);
        self
    }

    /// Limits the number of keys.
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.settings.max_entries = Some(entries);
        self
    }

    /// Limits the sum of the weights that `weigher` gives to key and value; it runs outside every lock.
    ///
    /// A typed object that has not been encoded weighs as the empty value.
    pub fn max_weight(
        mut self,
        weight: u64,
        weigher: impl Fn(&[u8], &[u8]) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.settings.max_weight = Some(weight);
        self.settings.weigher = Some(Box::new(weigher));
        self
    }

    /// Chooses who makes room. Default: [`Policy::Admission`] with a limit, [`Policy::NoEviction`] without one.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Says how many keys will come, so that no shard has to grow large.
    pub fn expected_keys(mut self, keys: u64) -> Self {
        self.expected_keys = Some(keys);
        self
    }

    /// Sets the number of shards, a power of two up to 16,384. The default follows the expected keys or the limit.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Sets how many numbered databases there are (default 16).
    pub fn databases(mut self, databases: u16) -> Self {
        self.settings.databases = databases;
        self
    }

    /// Gives the engine its time, for instance a [`ManualClock`](crate::ManualClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = TimeSource::Given(Box::new(clock));
        self
    }

    /// Fixes every random choice: with the same seed the same calls give the same state and the same evictions.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Gives every value that is set without an expiry of its own this time to live.
    pub fn time_to_live(mut self, span: Duration) -> Self {
        self.settings.time_to_live = Some(span);
        self
    }

    /// Lets every value that is set without an idle time of its own expire when it was not read for this long.
    pub fn time_to_idle(mut self, span: Duration) -> Self {
        self.settings.time_to_idle = Some(span);
        self
    }

    /// Shortens each relative TTL by a random share of up to `share` (0.1: up to ten percent), so that keys set
    /// together do not expire together.
    pub fn ttl_jitter(mut self, share: f64) -> Self {
        self.settings.ttl_jitter = share;
        self
    }

    /// Keeps keys in order as well, for [`Engine::scan_prefix`] and [`Engine::scan_range`]; about 43 bytes and a
    /// key's length more a key.
    pub fn ordered_index(mut self, on: bool) -> Self {
        self.settings.ordered_index = on;
        self
    }

    /// Sets how many entries a sampling policy compares (default 8; Redis: `maxmemory-samples`).
    pub fn samples(mut self, samples: u32) -> Self {
        self.settings.samples = samples as usize;
        self
    }

    /// Sets the constants of [`Policy::Admission`].
    pub fn admission(mut self, admission: Admission) -> Self {
        self.settings.admission = admission;
        self
    }

    /// Sets what an allocation is taken to cost (default: glibc's rounding).
    pub fn allocator_model(mut self, model: AllocatorModel) -> Self {
        self.settings.model = model;
        self
    }

    /// Calls `listener` for every entry that goes, outside every lock, on the thread that removed it.
    pub fn on_removal(mut self, listener: impl Fn(&Removal<'_>) + Send + Sync + 'static) -> Self {
        self.settings.listener = Some(Box::new(listener));
        self
    }

    /// Measures how long reads and writes take, at the price of two clock readings each.
    pub fn measure_latency(mut self, on: bool) -> Self {
        self.settings.measure_latency = on;
        self
    }

    /// Sets up to which size collections keep their small encodings (Redis: `hash-max-listpack-entries` and its like).
    pub fn encoding_limits(mut self, limits: EncodingLimits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Records every change as an [`Effect`](crate::Effect), for [`Engine::take_effects`] to take.
    ///
    /// What is recorded stays in memory, outside the byte limit, until it is taken. Typed values are encoded when they are
    /// set, because their bytes are recorded.
    pub fn record_effects(mut self, on: bool) -> Self {
        self.settings.record_effects = on;
        self
    }

    /// Builds the engine.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting whose value is impossible, and why.
    pub fn build(self) -> Result<Engine, ConfigError> {
        let shard_bits = self.shard_bits()?;
        self.check()?;
        let mut settings = self.settings;
        let limited =
            settings.max_memory.is_some() || settings.max_entries.is_some() || settings.max_weight.is_some();
        let fallback = if limited { Policy::Admission } else { Policy::NoEviction };
        settings.policy = self.policy.unwrap_or(fallback);
        settings.seed = self.seed.unwrap_or_else(random::unpredictable_seed);
        settings.shard_bits = shard_bits;
        Ok(Engine::from_settings(settings))
    }

    fn shard_bits(&self) -> Result<u32, ConfigError> {
        let shards = match self.shards {
            Some(shards) if shards.is_power_of_two() && shards <= SHARDS_MAX => shards,
            Some(shards) => {
                let reason = format!("{shards} is not a power of two from 1 to {SHARDS_MAX}");
                return Err(ConfigError::new("shards", reason));
            }
            None => self.shards_wanted(),
        };
        Ok(shards.trailing_zeros())
    }

    fn shards_wanted(&self) -> usize {
        let settings = &self.settings;
        let entries = [settings.max_entries, settings.max_memory.map(|bytes| bytes / ENTRY_BYTES_GUESS)];
        let by_limit =
            entries.into_iter().flatten().min().map(|entries| {
                (entries / SHARD_ENTRIES).max((entries / SHARD_ENTRIES_SMALL).min(SHARDS_SMALL))
            });
        let by_keys = self.expected_keys.map(|keys| keys / SHARD_KEYS_EXPECTED);
        let wanted = match (by_keys, by_limit) {
            (Some(keys), Some(limit)) => keys.min(limit),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return SHARDS_DEFAULT,
        };
        let wanted = usize::try_from(wanted).unwrap_or(SHARDS_MAX).clamp(1, SHARDS_MAX);
        wanted.next_power_of_two()
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, reason: &str| Err(ConfigError::new(setting, reason));
        let settings = &self.settings;
        if settings.max_memory.is_some_and(|bytes| bytes < MAX_MEMORY_MIN) {
            return refuse("max_memory", "a limit below 65,536 bytes leaves no room for entries");
        }
        if settings.max_entries == Some(0) {
            return refuse("max_entries", "no entry would ever be kept");
        }
        if settings.max_weight == Some(0) {
            return refuse("max_weight", "no entry would ever be kept");
        }
        if settings.databases == 0 {
            return refuse("databases", "an engine has at least one database");
        }
        if !(1..=SAMPLES_MAX).contains(&settings.samples) {
            return refuse("samples", "a sample has 1 to 1,000 entries");
        }
        if !(0.0..=1.0).contains(&settings.ttl_jitter) {
            return refuse("ttl_jitter", "the share lies between 0 and 1");
        }
        if settings.admission.ring_percent > 90 {
            return refuse("admission", "the ring takes at most 90 percent");
        }
        for (setting, span) in
            [("time_to_live", settings.time_to_live), ("time_to_idle", settings.time_to_idle)]
        {
            if span.is_some_and(|span| span.as_millis() == 0) {
                return refuse(setting, "the shortest span is one millisecond");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(builder: Builder) -> u32 {
        builder.shard_bits().expect("valid")
    }

    #[test]
    fn shards_follow_the_capacity() {
        assert_eq!(bits(Builder::new()), 8);
        assert_eq!(bits(Builder::new().max_entries(500)), 0);
        assert_eq!(bits(Builder::new().max_entries(10_000)), 6);
        assert_eq!(bits(Builder::new().max_memory(1 << 20)), 5);
        assert_eq!(bits(Builder::new().expected_keys(10_000_000)), 12);
        assert_eq!(bits(Builder::new().shards(64)), 6);
    }

    #[test]
    fn impossible_settings_are_named() {
        let refused = |builder: Builder| builder.build().expect_err("refused").setting;
        assert_eq!(refused(Builder::new().shards(3)), "shards");
        assert_eq!(refused(Builder::new().max_memory(10)), "max_memory");
        assert_eq!(refused(Builder::new().max_entries(0)), "max_entries");
        assert_eq!(refused(Builder::new().databases(0)), "databases");
        assert_eq!(refused(Builder::new().samples(0)), "samples");
        assert_eq!(refused(Builder::new().ttl_jitter(f64::NAN)), "ttl_jitter");
        assert_eq!(refused(Builder::new().time_to_idle(Duration::ZERO)), "time_to_idle");
    }
}
