//! A histogram of durations: fixed memory, quantiles within 1.6 %.
//!
//! A value below 64 ns has its own bucket. Above, each power of two is cut into 64 equal buckets, so a bucket
//! is at most 1/64 of its value wide. A quantile is reported as the upper end of its bucket: never better
//! than the truth.

use std::time::Duration;

/// Buckets to each power of two.
const SUB_BUCKETS: u64 = 64;
/// Its logarithm.
const SUB_BITS: u32 = SUB_BUCKETS.trailing_zeros();
/// Buckets for every possible `u64`.
const BUCKETS: usize = 64 * (64 - SUB_BITS as usize + 1);

/// Durations counted by size.
#[derive(Debug, Clone)]
pub struct Latency {
    counts: Box<[u64]>,
    count: u64,
    sum_ns: u64,
    max_ns: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into_boxed_slice(), count: 0, sum_ns: 0, max_ns: 0 }
    }
}

impl Latency {
    /// Counts one duration.
    pub fn record(&mut self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket_of(ns)] += 1;
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds what another histogram counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// Returns how many durations were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the mean in nanoseconds, or `None` when nothing was counted.
    #[must_use]
    pub fn mean_ns(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_ns as f64 / self.count as f64)
    }

    /// Returns the duration in nanoseconds that `per_mille` of a thousand did not exceed (500: the median),
    /// or `None` when nothing was counted.
    ///
    /// # Panics
    ///
    /// Panics if `per_mille` is above 1,000.
    #[must_use]
    pub fn quantile_ns(&self, per_mille: u64) -> Option<u64> {
        assert!(per_mille <= 1_000, "a quantile is at most 1,000 per mille");
        if self.count == 0 {
            return None;
        }
        let rank = (u128::from(self.count) * u128::from(per_mille)).div_ceil(1_000).max(1);
        let mut seen = 0_u128;
        for (bucket, &count) in self.counts.iter().enumerate() {
            seen += u128::from(count);
            if seen >= rank {
                return Some(upper_end(bucket).min(self.max_ns));
            }
        }
        Some(self.max_ns)
    }
}

/// The bucket that holds `ns`.
fn bucket_of(ns: u64) -> usize {
    let index = if ns < SUB_BUCKETS {
        ns
    } else {
        let shift = ns.ilog2() - SUB_BITS;
        u64::from(shift) * SUB_BUCKETS + (ns >> shift)
    };
    usize::try_from(index).expect("there are fewer than 4,000 buckets")
}

/// The largest value in a bucket.
fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * SUB_BUCKETS {
        return bucket;
    }
    let shift = bucket / SUB_BUCKETS - 1;
    let first = (bucket % SUB_BUCKETS + SUB_BUCKETS) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BUCKETS, Latency, bucket_of, upper_end};
    use crate::random::Rng;

    #[test]
    fn buckets_follow_each_other_without_gap() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        for bucket in 0..BUCKETS - 1 {
            let last = upper_end(bucket);
            assert_eq!(bucket_of(last), bucket);
            assert_eq!(bucket_of(last + 1), bucket + 1);
        }
    }

    #[test]
    fn quantiles_agree_with_a_sorted_list() {
        let mut rng = Rng::new(3);
        let mut all = Vec::new();
        let (mut left, mut right) = (Latency::default(), Latency::default());
        for index in 0..10_000_u64 {
            let magnitude = rng.below(30);
            let ns = rng.below(1 << magnitude);
            all.push(ns);
            let part = if index % 3 == 0 { &mut left } else { &mut right };
            part.record(Duration::from_nanos(ns));
        }
        left.merge(&right);
        all.sort_unstable();
        for per_mille in [1, 500, 990, 999, 1_000] {
            let exact = all[10 * per_mille - 1];
            let found = left.quantile_ns(per_mille as u64).unwrap();
            assert!(
                found >= exact && found as f64 <= exact as f64 * 1.016 + 1.0,
                "{per_mille}: {found} {exact}"
            );
        }
        let mean = all.iter().sum::<u64>() as f64 / 10_000.0;
        assert!((left.mean_ns().unwrap() - mean).abs() < 1e-6);
        assert_eq!(left.count(), 10_000);
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(Latency::default().quantile_ns(500), None);
        assert_eq!(Latency::default().mean_ns(), None);
    }

    #[test]
    fn one_duration_is_every_quantile() {
        let mut one = Latency::default();
        one.record(Duration::from_nanos(1_000_003));
        assert_eq!(one.quantile_ns(0), Some(1_000_003));
        assert_eq!(one.quantile_ns(999), Some(1_000_003));
    }
}
