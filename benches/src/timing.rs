//! Clocks, histograms and the proof that two threads really ran at the same time.
//!
//! - `Ticks` reads the processor's counter (a monotonic clock elsewhere) around one operation and is
//!   converted to nanoseconds once, when a figure is printed. What one pair of readings costs is measured and
//!   stated, never subtracted.
//! - `Histogram` keeps 64 steps per power of two, so a quantile is at most 1.6 % above the true value; the
//!   longest value is exact.
//! - `overlap` takes each thread's start and end, and the time it stood runnable in the scheduler's queue,
//!   which Linux counts per thread. Time spent waiting for a lock is the contestant's own and stays in.
//!
//! Invariants: I1 a histogram's count is the sum of its steps. I2 quantiles rise with q and never pass the
//! maximum.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A value keeps this many leading bits, the first of which is always set.
const STEP_BITS: u32 = 7;
/// Buckets per power of two.
const HALF: usize = 1 << (STEP_BITS - 1);
const BUCKETS: usize = (u64::BITS - STEP_BITS) as usize * HALF + 2 * HALF;

/// Converts counter readings to nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    ns_per_tick: f64,
}

impl Ticks {
    /// Holds the counter against the monotonic clock for 20 ms.
    pub fn calibrate() -> Ticks {
        let (start, first) = (Instant::now(), Ticks::now());
        while start.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let (last, ns) = (Ticks::now(), start.elapsed().as_nanos());
        Ticks { ns_per_tick: ns as f64 / last.saturating_sub(first).max(1) as f64 }
    }

    /// Reads the counter, after every earlier instruction has finished.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn now() -> u64 {
        use std::arch::x86_64::{_mm_lfence, _rdtsc};
        // SAFETY: both instructions are part of every x86-64 processor and touch no memory.
        unsafe {
            _mm_lfence();
            _rdtsc()
        }
    }

    /// Reads the monotonic clock in nanoseconds.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub fn now() -> u64 {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }

    /// Turns a difference of readings into nanoseconds.
    pub fn ns(&self, ticks: u64) -> f64 {
        ticks as f64 * self.ns_per_tick
    }

    /// Turns nanoseconds into a difference of readings.
    pub fn ticks(&self, ns: f64) -> u64 {
        (ns / self.ns_per_tick) as u64
    }

    /// Measures the median difference of two readings with nothing between them, in nanoseconds.
    pub fn own_cost_ns(&self) -> f64 {
        let mut seen = Histogram::new();
        for _ in 0..10_000 {
            let first = Ticks::now();
            seen.record(Ticks::now().saturating_sub(first));
        }
        self.ns(seen.quantile(0.5))
    }
}

/// Counts of values in steps of 1/64 of a power of two.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

impl Histogram {
    /// Makes an empty histogram.
    pub fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], count: 0, max: 0 }
    }

    /// Adds one value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        self.counts[bucket_of(value)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// Adds every value of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// Returns how many values were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the longest value, exactly.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Returns how many values lie above `limit`, as exactly as its bucket: values in the same bucket do not
    /// count.
    pub fn count_above(&self, limit: u64) -> u64 {
        self.counts[bucket_of(limit) + 1..].iter().sum()
    }

    /// Returns the value that a share `q` of all values does not pass; 0 when empty.
    pub fn quantile(&self, q: f64) -> u64 {
        if self.count == 0 {
            return 0;
        }
        let rank = ((q * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_end(bucket).min(self.max);
            }
        }
        self.max
    }
}

#[inline]
fn bucket_of(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(STEP_BITS);
    shift as usize * HALF + (value >> shift) as usize
}

fn upper_end(bucket: usize) -> u64 {
    if bucket < 2 * HALF {
        return bucket as u64;
    }
    let shift = bucket / HALF - 1;
    let step = (bucket - shift * HALF) as u64;
    // The last bucket's end is one below 2^64: the shift drops the bit and the subtraction wraps to the
    // maximum.
    ((step + 1) << shift).wrapping_sub(1)
}

/// One thread's part of a slice, in nanoseconds since a common start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// When its first operation began.
    pub start_ns: u64,
    /// When its last operation had ended.
    pub end_ns: u64,
    /// How long it stood runnable without a processor in between.
    pub waited_ns: u64,
}

/// Returns the share of the whole slice, 0 to 1, during which every thread was inside its loop and none was
/// kept waiting for a processor. Waits are added up, so the answer errs on the low side.
pub fn overlap(spans: &[Span]) -> f64 {
    let first = spans.iter().map(|s| s.start_ns).min().unwrap_or(0);
    let last = spans.iter().map(|s| s.end_ns).max().unwrap_or(0);
    let together_from = spans.iter().map(|s| s.start_ns).max().unwrap_or(0);
    let together_until = spans.iter().map(|s| s.end_ns).min().unwrap_or(0);
    let waited: u64 = spans.iter().map(|s| s.waited_ns).sum();
    let together = together_until.saturating_sub(together_from).saturating_sub(waited);
    if last > first { together as f64 / (last - first) as f64 } else { 0.0 }
}

/// A thread, as Linux tells about it; elsewhere nothing is known, and every answer is 0 or no.
#[derive(Clone, Debug)]
pub struct Task {
    folder: PathBuf,
}

impl Task {
    /// Names the calling thread, for any thread to ask about.
    pub fn current() -> Task {
        let name = std::fs::read_link("/proc/thread-self").unwrap_or_default();
        Task { folder: Path::new("/proc").join(name) }
    }

    /// Returns how long it has stood runnable without a processor.
    pub fn queue_wait_ns(&self) -> u64 {
        let text = std::fs::read_to_string(self.folder.join("schedstat")).unwrap_or_default();
        text.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
    }

    /// Returns how often the scheduler took the processor from it.
    pub fn involuntary_switches(&self) -> u64 {
        let text = std::fs::read_to_string(self.folder.join("status")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Tells whether it sleeps until somebody wakes it.
    pub fn is_asleep(&self) -> bool {
        let text = std::fs::read_to_string(self.folder.join("stat")).unwrap_or_default();
        // The name before it, in parentheses, may hold anything.
        text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
    }
}

/// Returns how long the calling thread has stood runnable without a processor, as Linux counts it; 0
/// elsewhere.
pub fn queue_wait_ns() -> u64 {
    Task { folder: PathBuf::from("/proc/thread-self") }.queue_wait_ns()
}

/// Returns how often the scheduler took the processor from the calling thread, as Linux counts it; 0 elsewhere.
pub fn involuntary_switches() -> u64 {
    Task { folder: PathBuf::from("/proc/thread-self") }.involuntary_switches()
}

/// Keeps the calling thread on one processor, where there is a `taskset`: two threads that take turns on one do not meet at
/// a lock.
pub fn pin(processor: u32) {
    let Ok(thread) = std::fs::read_link("/proc/thread-self") else { return };
    let Some(id) = thread.file_name() else { return };
    let mut taskset = std::process::Command::new("taskset");
    // Where it is missing, the scheduler decides.
    let _ = taskset.args(["--cpu-list", "--pid", &processor.to_string()]).arg(id).output();
}

/// Returns the middle value (the mean of the two middle ones for an even count); not-a-number when empty.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_fine() {
        let mut previous = bucket_of(0);
        assert_eq!(previous, 0);
        for value in 1..200_000_u64 {
            let bucket = bucket_of(value);
            assert!(bucket == previous || bucket == previous + 1, "gap before {value}");
            assert!(upper_end(bucket) >= value, "{value} lies above its bucket's end");
            assert!((upper_end(bucket) - value) as f64 <= value as f64 / 63.0, "{value} is too coarse");
            previous = bucket;
        }
        assert!(bucket_of(u64::MAX) < BUCKETS);
        assert_eq!(upper_end(bucket_of(u64::MAX)), u64::MAX);
    }

    #[test]
    fn quantiles_match_a_sorted_list() {
        let mut random = 7_u64;
        let (mut seen, mut list) = (Histogram::new(), Vec::new());
        for _ in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = (random >> 33) % 1_000_000;
            seen.record(value);
            list.push(value);
        }
        list.sort_unstable();
        for q in [0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = list[((q * list.len() as f64).ceil() as usize).max(1) - 1];
            let got = seen.quantile(q);
            assert!(
                got >= exact && (got - exact) as f64 <= 1.0 + exact as f64 / 63.0,
                "q {q}: {got} for {exact}"
            );
        }
        assert_eq!(seen.max(), list[list.len() - 1]);
        assert_eq!(seen.quantile(1.0), seen.max());
        assert_eq!(seen.count(), 10_000);
        let above = list.iter().filter(|&&value| bucket_of(value) > bucket_of(500_000)).count();
        assert_eq!(seen.count_above(500_000), above as u64);
        assert_eq!(seen.count_above(u64::MAX), 0);
    }

    #[test]
    fn merging_is_the_same_as_recording_together() {
        let (mut left, mut right, mut both) = (Histogram::new(), Histogram::new(), Histogram::new());
        for value in 0..5_000_u64 {
            if value % 3 == 0 {
                left.record(value * 7)
            } else {
                right.record(value * 7)
            }
            both.record(value * 7);
        }
        left.merge(&right);
        assert_eq!(left.counts, both.counts);
        assert_eq!((left.count(), left.max()), (both.count(), both.max()));
        assert_eq!(Histogram::new().quantile(0.5), 0);
    }

    #[test]
    fn overlap_counts_only_common_running_time() {
        let span = |start_ns, end_ns, waited_ns| Span { start_ns, end_ns, waited_ns };
        assert_eq!(overlap(&[span(0, 100, 0), span(0, 100, 0)]), 1.0);
        assert_eq!(overlap(&[span(0, 100, 0), span(50, 100, 0)]), 0.5);
        assert_eq!(overlap(&[span(0, 100, 0), span(20, 80, 10)]), 0.5);
        assert_eq!(overlap(&[span(0, 50, 0), span(50, 100, 0)]), 0.0, "one after the other");
        assert_eq!(overlap(&[span(0, 40, 0), span(60, 100, 0)]), 0.0);
        assert_eq!(overlap(&[span(0, 100, 25)]), 0.75, "one thread: its share of a processor");
        assert_eq!(overlap(&[]), 0.0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_that_sleeps_is_seen_from_outside() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(Task::current()).expect("the test listens");
            ended.recv().expect_err("it is told to end");
        });
        let task = told.recv().expect("the thread tells");
        while !task.is_asleep() {
            std::thread::yield_now();
        }
        assert!(!Task::current().is_asleep());
        drop(end);
        thread.join().expect("it ends");
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ticks_run_at_the_clock_s_pace() {
        let ticks = Ticks::calibrate();
        let (start, first) = (Instant::now(), Ticks::now());
        while start.elapsed() < Duration::from_millis(5) {}
        let ns = ticks.ns(Ticks::now() - first);
        assert!((4.0e6..1.0e9).contains(&ns), "{ns} ns for 5 ms");
    }
}
