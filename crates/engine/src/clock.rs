//! Time as a parameter: the engine reads it through [`Clock`] alone.
//!
//! Deadlines are absolute Unix milliseconds, as Redis stores them, so they survive a restart and can be
//! compared between machines. With [`ManualClock`] a test moves time by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The latest point that an expiry may name (Redis's limit: what a signed 64-bit integer holds).
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());

    /// Returns the point `span` later, at most [`UnixMillis::MAX`].
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(span_ms).min(Self::MAX.0))
    }

    /// Returns how long it is from `earlier` to this point, zero if `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Gives the present time.
///
/// An implementation must be cheap: it is called by every read of a key that has a TTL, and by every write.
pub trait Clock: Send + Sync + 'static {
    /// Returns the present time.
    fn now(&self) -> UnixMillis;

    /// Returns a fine, monotonic reading from any origin, for measuring how long something took.
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now().0)
    }
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> UnixMillis {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn elapsed(&self) -> Duration {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
        let now = Instant::now();
        now.saturating_duration_since(*ORIGIN.get_or_init(|| now))
    }
}

/// A clock that moves only when told to; clones share the same time.
///
/// # Examples
/// ```
/// use larder::{Clock, Engine, ManualClock, SetOptions, UnixMillis};
/// use std::time::Duration;
/// let clock = ManualClock::new(UnixMillis(1_000));
/// let engine = Engine::builder().clock(clock.clone()).build()?;
/// engine.set_with("k", "v", SetOptions::new().ttl(Duration::from_secs(5)))?;
/// clock.advance(Duration::from_secs(5));
/// assert!(engine.get("k")?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    now_ms: Arc<AtomicU64>,
}

impl ManualClock {
    /// Makes a clock that stands at `now`.
    #[must_use]
    pub fn new(now: UnixMillis) -> Self {
        Self { now_ms: Arc::new(AtomicU64::new(now.0)) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, span: Duration) {
        self.set(self.now().saturating_add(span));
    }

    /// Moves the clock to `now`, forward or backward.
    pub fn set(&self, now: UnixMillis) {
        self.now_ms.store(now.0, Ordering::Relaxed);
    }
}

impl Default for ManualClock {
    /// Stands at 2024-01-01T00:00:00Z.
    fn default() -> Self {
        Self::new(UnixMillis(1_704_067_200_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.now_ms.load(Ordering::Relaxed))
    }
}
