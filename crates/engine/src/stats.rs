//! Counters that every operation bumps, and the snapshot that users read.
//!
//! ```text
//! thread 0 -> [hits misses ...] 192 bytes    thread 1 -> [hits misses ...]    ... read: sum over all
//! ```
//! Each thread has a stripe of its own and adds by a plain load and store, so a count costs about a nanosecond and
//! no two threads share a line. Invariant: a stripe below `THREADS_MAX` is written by one thread at a time; threads
//! beyond that share the last stripe by atomic additions. So sums are exact once the writers are done.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::local::{self, THREADS_MAX};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    Hits,
    Misses,
    Loads,
    LoadFailures,
    LoadWaits,
    Insertions,
    Updates,
    Deletions,
    Expirations,
    EvictionsRing,
    EvictionsMain,
    EvictionsPolicy,
    Invalidations,
    Refusals,
    FillsRefused,
    Decodes,
    Encodes,
}

const COUNTERS: usize = 17;
/// Stripes of one page, made at a time.
const PAGE: usize = 16;
/// Latencies are counted in powers of two of nanoseconds.
const LATENCY_CLASSES: usize = 40;

type Stripe = CachePadded<[AtomicU64; COUNTERS]>;

/// Which operations a latency histogram belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Write,
}

/// The counters of one engine.
pub(crate) struct Counters {
    pages: [OnceLock<Box<[Stripe]>>; THREADS_MAX / PAGE],
    shared: Stripe,
    lag_max_ms: AtomicU64,
    /// Histograms of reads and writes, if they were asked for.
    latencies: Option<Box<[[AtomicU64; LATENCY_CLASSES]; 2]>>,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

impl Counters {
    pub(crate) fn new(measure_latency: bool) -> Self {
        Self {
            pages: [const { OnceLock::new() }; THREADS_MAX / PAGE],
            shared: Stripe::default(),
            lag_max_ms: AtomicU64::new(0),
            latencies: measure_latency
                .then(|| Box::new([const { [const { AtomicU64::new(0) }; LATENCY_CLASSES] }; 2])),
        }
    }

    /// Adds `count` to a counter.
    #[inline]
    pub(crate) fn add(&self, counter: Counter, count: u64) {
        let thread = local::thread_number();
        let Some(page) = self.pages.get(thread / PAGE) else {
            self.shared[counter as usize].fetch_add(count, Ordering::Relaxed);
            return;
        };
        let page = page.get_or_init(|| (0..PAGE).map(|_| Stripe::default()).collect());
        let cell = &page[thread % PAGE][counter as usize];
        cell.store(cell.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    fn sum(&self, counter: Counter) -> u64 {
        let pages = self.pages.iter().filter_map(OnceLock::get).flat_map(|page| page.iter());
        let stripes = pages.chain(std::iter::once(&self.shared));
        stripes.map(|stripe| stripe[counter as usize].load(Ordering::Relaxed)).sum()
    }

    /// Notes how late after its deadline an expired key was removed.
    pub(crate) fn expired_late(&self, lag_ms: u64) {
        if lag_ms > self.lag_max_ms.load(Ordering::Relaxed) {
            self.lag_max_ms.fetch_max(lag_ms, Ordering::Relaxed);
        }
    }

    pub(crate) fn measures_latency(&self) -> bool {
        self.latencies.is_some()
    }

    pub(crate) fn took(&self, operation: Operation, span: Duration) {
        if let Some(latencies) = &self.latencies {
            let ns = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
            let class = (u64::BITS - ns.leading_zeros()) as usize;
            latencies[operation as usize][class.min(LATENCY_CLASSES - 1)].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn latency(&self, operation: Operation) -> Option<Latency> {
        let classes = &self.latencies.as_ref()?[operation as usize];
        let counts: Vec<u64> = classes.iter().map(|class| class.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let at = |share_in_thousand: u64| {
            let mut left = (total * share_in_thousand).div_ceil(1_000);
            let class = counts.iter().position(|&count| {
                let found = count >= left && left > 0;
                left = left.saturating_sub(count);
                found
            });
            Duration::from_nanos(class.map_or(0, |class| 1 << class))
        };
        Some(Latency { count: total, p50: at(500), p99: at(990), p999: at(999) })
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            hits: self.sum(Counter::Hits),
            misses: self.sum(Counter::Misses),
            loads: self.sum(Counter::Loads),
            load_failures: self.sum(Counter::LoadFailures),
            load_waits: self.sum(Counter::LoadWaits),
            insertions: self.sum(Counter::Insertions),
            updates: self.sum(Counter::Updates),
            deletions: self.sum(Counter::Deletions),
            expired_keys: self.sum(Counter::Expirations),
            evicted_ring: self.sum(Counter::EvictionsRing),
            evicted_main: self.sum(Counter::EvictionsMain),
            evicted_policy: self.sum(Counter::EvictionsPolicy),
            invalidated: self.sum(Counter::Invalidations),
            refused: self.sum(Counter::Refusals),
            fills_refused: self.sum(Counter::FillsRefused),
            decodes: self.sum(Counter::Decodes),
            encodes: self.sum(Counter::Encodes),
            expiry_lag_max_ms: self.lag_max_ms.load(Ordering::Relaxed),
            keys: 0,
            volatile_keys: 0,
            timers: 0,
            reads: self.latency(Operation::Read),
            writes: self.latency(Operation::Write),
        }
    }
}

/// What the engine counted since it was built, as [`Engine::stats`](crate::Engine::stats) tells it.
///
/// Counts are exact once the threads that made them have been joined; while they run, a snapshot is a little
/// behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Loaders that ran and gave a value.
    pub loads: u64,
    /// Loaders that failed or panicked.
    pub load_failures: u64,
    /// Callers that waited for another caller's loader.
    pub load_waits: u64,
    /// Keys added.
    pub insertions: u64,
    /// Keys whose value was replaced or changed.
    pub updates: u64,
    /// Keys deleted by a call.
    pub deletions: u64,
    /// Keys removed because their time was over.
    pub expired_keys: u64,
    /// Keys evicted from the admission ring: new and not used again.
    pub evicted_ring: u64,
    /// Keys evicted from the main part by the admission policy.
    pub evicted_main: u64,
    /// Keys evicted by one of Redis's policies.
    pub evicted_policy: u64,
    /// Cached copies removed because they, or what they came from, were invalidated.
    pub invalidated: u64,
    /// Writes refused for want of room.
    pub refused: u64,
    /// Fills refused because they raced an invalidation.
    pub fills_refused: u64,
    /// Typed reads that had to decode bytes.
    pub decodes: u64,
    /// Byte reads that had to encode an object.
    pub encodes: u64,
    /// The longest time between a deadline and the key's removal, in milliseconds.
    pub expiry_lag_max_ms: u64,
    /// Keys now, over all databases, those past their deadline and not yet removed included.
    pub keys: u64,
    /// Keys with a deadline now.
    pub volatile_keys: u64,
    /// Timers now, those of keys that are gone included.
    pub timers: u64,
    /// Latency of reads, if the engine was built to measure it.
    pub reads: Option<Latency>,
    /// Latency of writes, if the engine was built to measure it.
    pub writes: Option<Latency>,
}

impl Stats {
    /// Returns hits as a share of all reads, 0 if there were none.
    #[must_use]
    pub fn hit_ratio(&self) -> f64 {
        let reads = self.hits + self.misses;
        if reads == 0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let ratio = self.hits as f64 / reads as f64;
        ratio
    }

    /// Returns all evictions.
    #[must_use]
    pub fn evicted_keys(&self) -> u64 {
        self.evicted_ring + self.evicted_main + self.evicted_policy
    }
}

/// A latency distribution; the figures are upper bounds, exact to a factor of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Latency {
    /// Operations measured.
    pub count: u64,
    /// Half of them took at most this long.
    pub p50: Duration,
    /// 99 % of them took at most this long.
    pub p99: Duration,
    /// 99.9 % of them took at most this long.
    pub p999: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_many_threads_add_up() {
        let counters = Counters::new(false);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|_| counters.add(Counter::Hits, 1)));
            }
        });
        counters.add(Counter::Misses, 3);
        let stats = counters.snapshot();
        assert_eq!((stats.hits, stats.misses), (80_000, 3));
        assert!(stats.reads.is_none());
    }

    #[test]
    fn latencies_are_bounded_above() {
        let counters = Counters::new(true);
        for ns in 1..=1_000 {
            counters.took(Operation::Read, Duration::from_nanos(ns));
        }
        let latency = counters.snapshot().reads.expect("measured");
        assert_eq!(latency.count, 1_000);
        assert_eq!(latency.p50, Duration::from_nanos(512));
        assert_eq!(latency.p999, Duration::from_nanos(1_024));
    }
}
