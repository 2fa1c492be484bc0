//! What left the cache, why, and how old it was: the listener of the engine.
//!
//! The listener runs on the thread whose request caused the removal, so it must be cheap: it counts, and
//! keeps an even sample (reservoir sampling) of at most [`SAMPLE_MAX`] removals a cause.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use larder::{Removal, RemovalCause};
use larder_examples::random::Rng;

/// Removals kept for each cause.
const SAMPLE_MAX: usize = 2_500;

/// One removal: the popularity rank of its key (from 1) and its age in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aged {
    pub(crate) rank: usize,
    pub(crate) age_ms: f64,
}

/// All removals of one cause.
#[derive(Debug, Default)]
pub(crate) struct Cause {
    count: AtomicU64,
    sample: Mutex<Vec<Aged>>,
}

impl Cause {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn sample(&self) -> Vec<Aged> {
        self.sample.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a removal; `aged` is asked only for those that are kept.
    fn record(&self, aged: impl FnOnce() -> Option<Aged>) {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        // The n-th removal stays with a chance of SAMPLE_MAX / n: so each has the same chance in the end.
        let place = usize::try_from(Rng::new(before).below(before + 1)).unwrap_or(usize::MAX);
        let in_first_batch = before < SAMPLE_MAX as u64;
        if !in_first_batch && place >= SAMPLE_MAX {
            return;
        }
        let Some(aged) = aged() else { return };
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        match sample.get_mut(place) {
            Some(slot) if !in_first_batch => *slot = aged,
            _ => sample.push(aged),
        }
    }
}

/// Listens to the engine.
#[derive(Debug)]
pub(crate) struct RemovalLog {
    start: Instant,
    rows: HashMap<Vec<u8>, usize>,
    /// When each row was last stored, in microseconds since `start`.
    stored_at_us: Vec<AtomicU64>,
    /// The row that is the most popular at present.
    shift: AtomicUsize,
    pub(crate) evicted: Cause,
    pub(crate) expired: Cause,
    pub(crate) replaced: Cause,
    pub(crate) deleted: Cause,
}

impl RemovalLog {
    pub(crate) fn new(keys: &[String]) -> Self {
        Self {
            start: Instant::now(),
            rows: keys.iter().enumerate().map(|(row, key)| (key.clone().into_bytes(), row)).collect(),
            stored_at_us: keys.iter().map(|_| AtomicU64::new(0)).collect(),
            shift: AtomicUsize::new(0),
            evicted: Cause::default(),
            expired: Cause::default(),
            replaced: Cause::default(),
            deleted: Cause::default(),
        }
    }

    pub(crate) fn set_shift(&self, row: usize) {
        self.shift.store(row, Ordering::Relaxed);
    }

    pub(crate) fn note_stored(&self, row: usize) {
        self.stored_at_us[row].store(self.now_us(), Ordering::Relaxed);
    }

    pub(crate) fn record(&self, removal: &Removal<'_>) {
        let cause = match removal.cause {
            RemovalCause::Evicted => &self.evicted,
            RemovalCause::Expired => &self.expired,
            RemovalCause::Replaced => &self.replaced,
            _ => &self.deleted,
        };
        cause.record(|| self.aged(removal.key));
    }

    fn aged(&self, key: &[u8]) -> Option<Aged> {
        let row = *self.rows.get(key)?;
        let count = self.stored_at_us.len();
        let rank = (row + count - self.shift.load(Ordering::Relaxed)) % count + 1;
        let age_us = self.now_us().saturating_sub(self.stored_at_us[row].load(Ordering::Relaxed));
        Some(Aged { rank, age_ms: age_us as f64 / 1_000.0 })
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
