//! Hierarchical timing wheel: finds the keys of one shard whose deadlines have come.
//!
//! A tick is one millisecond of the wheel's own time, which is the clock plus `offset_ms`. Each level reads
//! six bits of a tick. A timer lives at the level of the highest group of bits in which its tick differs
//! from the cursor, in the slot those bits name:
//!
//! ```text
//!   tick     ... | 6 bits  | 6 bits | 6 bits |
//!   level           2          1        0          level 0: this tick and the rest of its 64 ms
//!   a bucket is     4.1 s      64 ms    1 ms       levels 1..: later buckets of the cursor's 4.1 s, 262 s ..
//! ```
//!
//! - I1: a timer armed for a deadline sits in a bucket that starts no later than that deadline, or than the
//!   cursor if the deadline has passed. So the first occupied bucket is always the next to look at.
//! - I2: an occupied bucket of levels 1 and up that spans the cursor is being emptied (cascade). There is at
//!   most one, it is emptied first, and the cursor stands still meanwhile.
//! - I3: a timer met and not dropped goes to a bucket after `now`, so `advance` always ends.
//! - I4: once `advance(now)` says done, no timer is left whose deadline is `now` or earlier.
//!
//! A clock that jumps ahead skips empty buckets by bitmap. One that steps back moves the cursor back where
//! no bucket would change its meaning; otherwise `offset_ms` grows, so that timers come early and are
//! requeued. Times from 2^63 ms on mean never.
//!
//! Costs: arm O(1); advance O(1) a timer met, and a timer is met at most once a level on its way down (3.9
//! times for deadlines within an hour). The struct has 224 bytes and allocates nothing while empty. Heap
//! bytes a timer with 1, 10, 100, 1 k and 10 k of them: deadlines spread over an hour 80, 42, 15, 10.6, 9.5;
//! over 30 days 80, 36, 26, 12.2, 9.9.
//!
//! It does not know keys or deadlines, holds stale timers until it meets or sweeps them, and may grow while
//! it cascades: by one chunk and one head at most for each timer requeued.

use super::Timer;
use super::buckets::{Bucket, Buckets, LEVELS, SLOT_BITS, SLOTS};

/// Deadlines from here on never come; the clock is taken to stop one millisecond earlier.
const NEVER_MS: u64 = 1 << 63;
/// Room for offsets: `NEVER_MS` plus this is the last tick.
const OFFSET_MS_MAX: u64 = u64::MAX - NEVER_MS;
/// Phases stay below 35 years: enough to part the cascades of every level that a timer is likely to cross.
const PHASE_MASK: u64 = (1 << 40) - 1;

/// What to do with a timer that the wheel has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Forget it: its key is gone, has no deadline, or has just been removed.
    Drop,
    /// Come again at this deadline, in milliseconds of the clock. One that has passed comes again with the
    /// next tick.
    Requeue(u64),
}

/// How far a budgeted call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Timers shown to the callback.
    pub(crate) met: u32,
    /// Whether nothing is left to do: nothing due for `advance`, the end reached for `sweep`.
    pub(crate) done: bool,
}

/// The timers of one shard.
#[derive(Debug)]
pub(crate) struct ExpiryWheel {
    buckets: Buckets,
    /// The tick before which everything has been met.
    cursor: u64,
    /// What is added to the clock's milliseconds to get ticks.
    offset_ms: u64,
}

const _: () = assert!(size_of::<ExpiryWheel>() <= 224, "thousands of shards hold one each");

impl ExpiryWheel {
    /// Makes an empty wheel, which owns no memory. Wheels of different `phase` cascade at different times.
    pub(crate) const fn new(now_ms: u64, phase: u64) -> Self {
        let offset_ms = phase & PHASE_MASK;
        Self { buckets: Buckets::new(), cursor: clock_ms(now_ms) + offset_ms, offset_ms }
    }

    /// The number of timers, stale ones included.
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether it holds no timer.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When `advance` will next meet a timer, at the earliest: exact for deadlines within 64 ms, the start
    /// of their bucket for later ones. A time that has passed means at once.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        let (start, _) = self.span(self.next_bucket()?);
        Some(start.max(self.cursor).saturating_sub(self.offset_ms))
    }

    /// Some timer, chosen by the random number `random`: nearly uniform, O(1).
    pub(crate) fn sample(&self, random: u64) -> Option<Timer> {
        self.buckets.sample(random)
    }

    /// Appends the first `count` timers in bucket order to `out`: soonest first, unordered within a bucket.
    pub(crate) fn soonest(&self, count: usize, out: &mut Vec<Timer>) {
        out.extend(self.buckets.iter().take(count).map(|(_, timer)| timer));
    }

    /// The heap bytes it owns: the sum of `charge(size)` over its blocks. O(1); the identity gives the bytes
    /// asked of the allocator.
    pub(crate) fn heap_bytes(&self, charge: impl Fn(usize) -> usize) -> usize {
        self.buckets.heap_bytes(&charge)
    }

    /// The most by which the next `arm` may raise `heap_bytes(charge)`. O(1).
    pub(crate) fn allocation_for_arm(&self, charge: impl Fn(usize) -> usize) -> usize {
        self.buckets.growth_of_push(&charge)
    }

    /// Adds a timer that `advance` will meet at `deadline_ms`, or at its next call if that has passed. O(1).
    pub(crate) fn arm(&mut self, timer: Timer, deadline_ms: u64) {
        if self.tick(deadline_ms) < self.cursor {
            // The clock went back, and nobody has advanced the wheel since: else the timer would come too late.
            self.turn_to(deadline_ms);
        }
        self.place(timer, self.tick(deadline_ms));
    }

    /// Meets what is due at `now_ms`: shows each timer to `visit` and obeys, at most `budget` times.
    ///
    /// Moving a timer to a lower level shows it to `visit` as well, for only the entry knows the deadline,
    /// so a verdict must compare that deadline with `now_ms`. A timer is taken out after `visit` returns.
    pub(crate) fn advance(
        &mut self,
        now_ms: u64,
        budget: u32,
        mut visit: impl FnMut(Timer) -> Verdict,
    ) -> Progress {
        let target = self.turn_to(now_ms);
        let mut met = 0;
        while let Some(bucket) = self.next_bucket() {
            let (start, end) = self.span(bucket);
            if start > target {
                break;
            }
            if start > self.cursor {
                // Going on to the end of what has passed spares requeued timers the levels in between.
                self.cursor = end.min(target);
            }
            while let Some(timer) = self.buckets.top(bucket) {
                if met == budget {
                    return Progress { met, done: false };
                }
                met += 1;
                let verdict = visit(timer);
                self.buckets.pop(bucket);
                if let Verdict::Requeue(deadline_ms) = verdict {
                    self.place(timer, self.tick(deadline_ms).max(target + 1));
                }
            }
        }
        self.cursor = target;
        Progress { met, done: true }
    }

    /// Shows timers to `keep`, at most `budget` of them, and drops those it refuses. The next call goes on
    /// from there, and the one after the end starts anew.
    ///
    /// By the end every timer has been shown that was there at the start and that `advance` has not met
    /// since; some may be shown twice.
    pub(crate) fn sweep(&mut self, budget: u32, keep: impl FnMut(Timer) -> bool) -> Progress {
        let (met, done) = self.buckets.sweep(budget, keep);
        Progress { met, done }
    }

    /// Drops all timers and frees the memory.
    pub(crate) fn clear(&mut self) {
        self.buckets = Buckets::new();
    }

    /// The tick of a deadline.
    fn tick(&self, deadline_ms: u64) -> u64 {
        deadline_ms.min(NEVER_MS) + self.offset_ms
    }

    fn place(&mut self, timer: Timer, tick: u64) {
        let tick = tick.max(self.cursor);
        let level = level_of(tick ^ self.cursor);
        self.buckets.push(bucket_at(level, tick), timer);
    }

    /// The occupied bucket to look at next: the one being cascaded, else the first.
    fn next_bucket(&self) -> Option<Bucket> {
        (1..LEVELS)
            .map(|level| bucket_at(level, self.cursor))
            .find(|&bucket| self.buckets.is_occupied(bucket))
            .or_else(|| self.buckets.first_from(Bucket::new(0, 0)))
    }

    /// The first and the last tick of a bucket.
    fn span(&self, bucket: Bucket) -> (u64, u64) {
        let shift = SLOT_BITS * bucket.level();
        let above = shift + SLOT_BITS;
        // The top level reads the last four bits: nothing is above it.
        let high = self.cursor.checked_shr(above).map_or(0, |high| high << above);
        let start = high | u64::from(bucket.slot()) << shift;
        (start, start | ((1 << shift) - 1))
    }

    /// The tick of `now_ms`, never before the cursor: a clock that went back moves the cursor or the offset.
    fn turn_to(&mut self, now_ms: u64) -> u64 {
        let now_ms = clock_ms(now_ms);
        let target = now_ms + self.offset_ms;
        if target >= self.cursor {
            return target;
        }
        if self.may_step_back(target) {
            self.cursor = target;
        } else if let Some(offset_ms) =
            self.offset_ms.checked_add(self.cursor - target).filter(|&offset| offset <= OFFSET_MS_MAX)
        {
            self.offset_ms = offset_ms;
        } else {
            self.rebase(now_ms);
        }
        self.cursor
    }

    /// Whether every timer means the same with the cursor at the earlier tick `target`: nothing waits at the
    /// cursor, where a deadline may have been before it, nor below the level where the two part.
    fn may_step_back(&self, target: u64) -> bool {
        let level = level_of(target ^ self.cursor);
        self.buckets.is_empty_below(level) && !self.buckets.is_occupied(bucket_at(0, self.cursor))
    }

    /// Starts over with a small offset, all timers due at once. O(n), and needed only after a clock has
    /// gone back by 292 million years in all.
    fn rebase(&mut self, now_ms: u64) {
        self.offset_ms &= PHASE_MASK;
        self.cursor = now_ms + self.offset_ms;
        let here = bucket_at(0, self.cursor);
        let old = std::mem::replace(&mut self.buckets, Buckets::new());
        old.iter().for_each(|(_, timer)| self.buckets.push(here, timer));
    }

    /// Every timer with the first tick at which it may be met.
    #[cfg(test)]
    pub(super) fn starts(&self) -> impl Iterator<Item = (Timer, u64)> + '_ {
        self.buckets.iter().map(|(bucket, timer)| (timer, self.span(bucket).0.max(self.cursor)))
    }

    /// The first tick at which a timer for `deadline_ms` must have been met.
    #[cfg(test)]
    pub(super) fn limit(&self, deadline_ms: u64) -> u64 {
        self.tick(deadline_ms).max(self.cursor)
    }

    /// Checks I1 and I2 as far as they can be seen from here, and the lists.
    #[cfg(test)]
    pub(crate) fn validate(&self) {
        self.buckets.validate();
        assert!(self.offset_ms <= OFFSET_MS_MAX && self.cursor >= self.offset_ms, "the clock's range");
        let mut cascading = None;
        for (bucket, _) in self.buckets.iter() {
            let (start, end) = self.span(bucket);
            assert!(end >= self.cursor, "I1: {bucket:?} lies behind the cursor");
            if bucket.level() > 0 && start <= self.cursor {
                assert_eq!(*cascading.get_or_insert(bucket), bucket, "I2: two cascades");
            }
        }
    }
}

/// The clock's time, stopped before `NEVER_MS`.
const fn clock_ms(now_ms: u64) -> u64 {
    if now_ms < NEVER_MS { now_ms } else { NEVER_MS - 1 }
}

/// The level of the highest group of bits set in `difference`.
const fn level_of(difference: u64) -> u32 {
    (difference | 1).ilog2() / SLOT_BITS
}

/// The bucket of `level` that `tick` falls into.
fn bucket_at(level: u32, tick: u64) -> Bucket {
    let slot = (tick >> (SLOT_BITS * level)) & u64::from(SLOTS - 1);
    Bucket::new(level, u32::try_from(slot).expect("six bits"))
}
