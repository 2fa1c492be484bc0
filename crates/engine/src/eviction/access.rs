//! The access stamp: when, and how often, an entry was used.
//!
//! ```text
//! admission:   freq 8 | tick 24      a tick is 1/64 of the entries, counted in insertions of new keys
//! LFU:         freq 8 | seconds 24   wall-clock seconds; a count is lost for every minute without an access
//! LRU:         seconds 22 | turn 10  wall-clock seconds, and turns (1/64 of the entries, in accesses) within one
//! all others:  seconds 22 | 0        wall-clock seconds, for OBJECT IDLETIME
//! ```
//! A reader holds only the read lock, so the stamp and the clock are atomics written by plain stores: a race loses
//! a count, never more. A stamp is written at most once per entry and tick, so hits on a hot entry leave its line
//! clean. Invariant: within one engine the clock never goes back, except by wrapping.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::random::mix;

/// Ticks in which as many accesses (or insertions) happen as there are entries.
pub(crate) const TICKS_PER_TURNOVER: u32 = 64;
const TICK_BITS: u32 = 24;
const TICK_MASK: u32 = (1 << TICK_BITS) - 1;
const TURN_BITS: u32 = 10;
const TURN_MASK: u32 = (1 << TURN_BITS) - 1;
const SECONDS_MASK: u32 = u32::MAX >> TURN_BITS;
/// Redis's `LFU_INIT_VAL`: a new key is not the first to go.
const LFU_START: u8 = 5;
/// Redis's `lfu-log-factor`.
const LFU_LOG_FACTOR: u64 = 10;

/// How a policy uses the stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stamping {
    /// Seconds alone: nobody chooses victims by them.
    Seconds,
    /// Recency by seconds and turns.
    Recency,
    /// Redis's logarithmic counter.
    Lfu,
    /// The admission policy's counter: uses in different ticks, saturating.
    Admission,
}

/// One shard's clock of accesses.
#[derive(Debug, Default)]
pub(crate) struct AccessClock {
    /// What was counted since the tick began.
    accesses: AtomicU32,
    /// The present tick, or seconds and turn.
    now: AtomicU32,
    /// How many of them make a tick; changed under the write lock.
    tick_accesses: AtomicU32,
}

impl AccessClock {
    /// Adapts the length of a tick to the number of entries.
    pub(crate) fn resize(&self, entries: usize) {
        let accesses = u32::try_from(entries).unwrap_or(u32::MAX) / TICKS_PER_TURNOVER;
        self.tick_accesses.store(accesses, Ordering::Relaxed);
    }

    /// Begins anew, after a change of policy: stamps of the old one mean something else.
    pub(crate) fn reset(&self) {
        self.now.store(0, Ordering::Relaxed);
        self.accesses.store(0, Ordering::Relaxed);
    }

    /// Notes that a key is inserted: what the admission policy's ticks count.
    pub(crate) fn count_insertion(&self) {
        if self.counted() {
            let now = self.now.load(Ordering::Relaxed);
            self.now.store((now + 1) & TICK_MASK, Ordering::Relaxed);
        }
    }

    /// Counts one more; tells whether that completes a tick.
    #[inline]
    fn counted(&self) -> bool {
        let accesses = self.accesses.load(Ordering::Relaxed) + 1;
        let complete = accesses >= self.tick_accesses.load(Ordering::Relaxed);
        self.accesses.store(if complete { 0 } else { accesses }, Ordering::Relaxed);
        complete
    }

    /// The recency clock after one more access, in the second that the caller knows.
    #[inline]
    fn recency(&self, seconds: u64) -> u32 {
        let now = self.now.load(Ordering::Relaxed);
        let seconds = cut(seconds);
        let complete = self.counted();
        let next = if now >> TURN_BITS != seconds {
            seconds << TURN_BITS
        } else if complete && now & TURN_MASK < TURN_MASK {
            now + 1
        } else {
            return now;
        };
        self.now.store(next, Ordering::Relaxed);
        next
    }

    /// The stamp of a new entry.
    pub(crate) fn first(&self, stamping: Stamping, seconds: u64) -> u32 {
        match stamping {
            Stamping::Seconds => cut(seconds) << TURN_BITS,
            Stamping::Recency => self.recency(seconds),
            Stamping::Lfu => low24(seconds) | (u32::from(LFU_START) << TICK_BITS),
            Stamping::Admission => self.now.load(Ordering::Relaxed) & TICK_MASK,
        }
    }

    /// The stamp after one more access, `None` if it stays.
    #[inline]
    pub(crate) fn next(&self, stamping: Stamping, stamp: u32, seconds: impl FnOnce() -> u64) -> Option<u32> {
        match stamping {
            Stamping::Seconds => {
                let now = cut(seconds()) << TURN_BITS;
                (stamp != now).then_some(now)
            }
            Stamping::Recency => {
                let now = self.recency(seconds());
                (stamp != now).then_some(now)
            }
            Stamping::Lfu => {
                let seconds = seconds();
                self.counted();
                let freq = self.lfu_increment(decayed(stamp, seconds));
                let next = (u32::from(freq) << TICK_BITS) | low24(seconds);
                (next != stamp).then_some(next)
            }
            Stamping::Admission => {
                let now = self.now.load(Ordering::Relaxed);
                if frequency(stamp) != 0 && stamp & TICK_MASK == now & TICK_MASK {
                    return None;
                }
                let freq = u32::from(frequency(stamp).saturating_add(1));
                Some((freq << TICK_BITS) | (now & TICK_MASK))
            }
        }
    }

    /// Ticks since the stamp was written (counting policies), wrapping after 2^24.
    #[inline]
    pub(crate) fn age_ticks(&self, stamp: u32) -> u32 {
        self.now.load(Ordering::Relaxed).wrapping_sub(stamp) & TICK_MASK
    }

    /// How long ago the stamp was written, in an order that recency policies compare.
    #[inline]
    pub(crate) fn recency_age(&self, stamp: u32) -> u32 {
        self.now.load(Ordering::Relaxed).wrapping_sub(stamp)
    }

    /// Increments with a probability that falls with the counter (Redis's `LFULogIncr`).
    fn lfu_increment(&self, freq: u8) -> u8 {
        let base = u64::from(freq.saturating_sub(LFU_START));
        // The chance comes from a count of accesses, so that equal histories stay equal.
        let accesses = self.now.load(Ordering::Relaxed).wrapping_add(1);
        self.now.store(accesses, Ordering::Relaxed);
        let chance = mix(u64::from(accesses));
        if chance % (base * LFU_LOG_FACTOR + 1) == 0 { freq.saturating_add(1) } else { freq }
    }
}

/// Redis's LFU counter after its decay: one less for every minute without an access (`lfu-decay-time` 1).
pub(crate) fn decayed(stamp: u32, seconds: u64) -> u8 {
    let minutes = (low24(seconds).wrapping_sub(stamp) & TICK_MASK) / 60;
    frequency(stamp).saturating_sub(u8::try_from(minutes).unwrap_or(u8::MAX))
}

/// Seconds since an LFU stamp was written, modulo 194 days.
pub(crate) fn lfu_age_seconds(stamp: u32, seconds: u64) -> u32 {
    low24(seconds).wrapping_sub(stamp) & TICK_MASK
}

/// The frequency part of a counting policy's stamp.
#[inline]
pub(crate) fn frequency(stamp: u32) -> u8 {
    stamp.to_be_bytes()[0]
}

/// The stamp with another frequency.
#[inline]
pub(crate) fn with_frequency(stamp: u32, freq: u8) -> u32 {
    (stamp & TICK_MASK) | (u32::from(freq) << TICK_BITS)
}

/// Seconds since a recency stamp was written.
pub(crate) fn idle_seconds(stamp: u32, seconds: u64) -> u64 {
    u64::from(cut(seconds).wrapping_sub(stamp >> TURN_BITS) & SECONDS_MASK)
}

/// A recency stamp that lies `idle` seconds before `seconds`.
pub(crate) fn stamp_idle_for(seconds: u64, idle: u64) -> u32 {
    cut(seconds).wrapping_sub(cut(idle)) << TURN_BITS
}

fn low24(seconds: u64) -> u32 {
    u32::try_from(seconds & u64::from(TICK_MASK)).expect("I1: 24 bits")
}

fn cut(seconds: u64) -> u32 {
    u32::try_from(seconds & u64::from(SECONDS_MASK)).expect("I1: 22 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turnover_is_sixty_four_ticks() {
        let clock = AccessClock::default();
        clock.resize(6_400);
        let first = clock.first(Stamping::Admission, 0);
        (0..6_400).for_each(|_| clock.count_insertion());
        assert_eq!(clock.age_ticks(first), TICKS_PER_TURNOVER);
    }

    #[test]
    fn an_admission_stamp_changes_once_a_tick() {
        let clock = AccessClock::default();
        clock.resize(6_400);
        let next = |stamp| clock.next(Stamping::Admission, stamp, || unreachable!("needs no time"));
        let stamp = clock.first(Stamping::Admission, 0);
        assert_eq!(frequency(stamp), 0);
        let stamp = next(stamp).expect("the first use counts");
        assert_eq!(frequency(stamp), 1);
        assert_eq!(next(stamp), None);
        (0..100).for_each(|_| clock.count_insertion());
        assert_eq!(next(stamp).map(frequency), Some(2));
    }

    #[test]
    fn idle_time_is_told_in_seconds_across_the_wrap() {
        let clock = AccessClock::default();
        for stamping in [Stamping::Seconds, Stamping::Recency] {
            for start in [0, 1_700_000_000, (1 << 22) - 2] {
                let stamp = clock.first(stamping, start);
                assert_eq!(idle_seconds(stamp, start + 5), 5);
                assert_eq!(idle_seconds(stamp_idle_for(start, 1_000), start + 1), 1_001);
            }
        }
    }

    #[test]
    fn recency_orders_within_a_second() {
        let clock = AccessClock::default();
        clock.resize(640);
        let older = clock.first(Stamping::Recency, 100);
        let used = |n: u32| {
            for _ in 0..n {
                let _ = clock.next(Stamping::Recency, 0, || 100);
            }
        };
        used(50);
        let newer = clock.first(Stamping::Recency, 100);
        assert!(clock.recency_age(older) > clock.recency_age(newer));
        used(100_000);
        let last = clock.first(Stamping::Recency, 100);
        assert_eq!(idle_seconds(last, 100), 0, "turns never spill into seconds");
    }

    #[test]
    fn lfu_counts_logarithmically_and_decays_by_the_minute() {
        let clock = AccessClock::default();
        let mut stamp = clock.first(Stamping::Lfu, 1_000);
        for _ in 0..1_000 {
            stamp = clock.next(Stamping::Lfu, stamp, || 1_000).unwrap_or(stamp);
        }
        assert!((10..40).contains(&frequency(stamp)), "{}", frequency(stamp));
        assert_eq!(decayed(stamp, 1_059), frequency(stamp));
        assert_eq!(decayed(stamp, 1_180), frequency(stamp) - 3);
        assert_eq!(lfu_age_seconds(stamp, 1_180), 180);
    }
}
