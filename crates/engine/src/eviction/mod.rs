//! Who makes room: policies, the admission ring with its ghosts, and the sampler.
//!
//! ```text
//! new key --ghost hit?--yes--> main <-----used in the ring-----+
//!              | no             |                              |
//!              +--> ring (12 % of the cost, FIFO) --not used--> evicted, remembered as a ghost (1.5 x entries)
//!                               main: sample 8, the least 64 log2(freq + 1) - age goes
//! ```
//! Invariants: I1: an entry's ring mark is set iff it is counted in `ring.cost`, and then the queue holds at least one
//! item for it. I2: the queue may hold items of keys that are gone or have left the ring; at most as many again as
//! the ring has entries, plus a few. I3: eviction never takes a pinned entry. I4: while the shard has room, what leaves
//! the ring goes to main whether used or not, so that a cache that is filling up is not a mere queue.
//! Costs: a victim costs one ring item, or a sample of eight neighbours in the table. The constants were chosen on
//! recorded traces by simulation; they can be set through [`Admission`].

mod access;
mod ghost;
mod policy;
mod ring;

pub(crate) use access::{
    AccessClock, Stamping, decayed, frequency, idle_seconds, lfu_age_seconds, stamp_idle_for, with_frequency,
};
pub(crate) use ghost::GhostTable;
pub use policy::Policy;
pub(crate) use ring::Ring;

use crate::keyspace::blob::BlobRef;

/// The constants of [`Policy::Admission`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admission {
    /// The ring's share of what the shard uses, in percent.
    pub ring_percent: u8,
    /// Ghosts per hundred entries.
    pub ghost_percent: u16,
    /// What a doubling of the frequency is worth, in 1/64 of a turnover of the entries.
    pub frequency_weight: u16,
    /// What a doubling of an entry's bytes costs, in the same unit; 0 ignores sizes.
    pub size_weight: u16,
}

impl Default for Admission {
    fn default() -> Self {
        Self { ring_percent: 12, ghost_percent: 150, frequency_weight: 64, size_weight: 24 }
    }
}

impl Policy {
    pub(crate) fn stamping(self) -> Stamping {
        match self {
            Self::AllKeysLfu | Self::VolatileLfu => Stamping::Lfu,
            Self::Admission => Stamping::Admission,
            Self::AllKeysLru | Self::VolatileLru => Stamping::Recency,
            _ => Stamping::Seconds,
        }
    }
}

/// `16 * log2(n)`, linear between powers of two.
fn log2_sixteenths(n: u64) -> i64 {
    let n = n.max(1);
    let whole = n.ilog2();
    // The four bits below the leading one.
    let fraction = if whole >= 4 { n >> (whole - 4) } else { n << (4 - whole) } & 15;
    i64::from(whole) * 16 + i64::try_from(fraction).expect("I5: four bits")
}

/// How much an entry is worth keeping to a policy: the least of a sample goes.
pub(crate) fn worth(
    policy: Policy,
    admission: &Admission,
    clock: &AccessClock,
    blob: BlobRef<'_>,
    cost: u64,
    seconds: u64,
) -> i64 {
    let stamp = blob.access();
    match policy {
        Policy::NoEviction | Policy::AllKeysRandom | Policy::VolatileRandom => 0,
        Policy::AllKeysLru | Policy::VolatileLru => -i64::from(clock.recency_age(stamp)),
        Policy::AllKeysLfu | Policy::VolatileLfu => {
            // Among equals the older goes.
            (i64::from(decayed(stamp, seconds)) << 24) - i64::from(lfu_age_seconds(stamp, seconds))
        }
        Policy::VolatileTtl => i64::try_from(blob.deadline_ms().unwrap_or(u64::MAX)).unwrap_or(i64::MAX),
        Policy::Admission => {
            let frequent = log2_sixteenths(u64::from(frequency(stamp)) + 1);
            let size = i64::from(admission.size_weight) * log2_sixteenths(cost);
            (i64::from(admission.frequency_weight) * frequent - size) / 16 - i64::from(clock.age_ticks(stamp))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::log2_sixteenths;

    #[test]
    fn logarithm_is_monotonic_and_exact_at_powers() {
        assert_eq!([1, 2, 4, 1024].map(log2_sixteenths), [0, 16, 32, 160]);
        assert!((1..100_000).all(|n| log2_sixteenths(n) <= log2_sixteenths(n + 1)));
        assert_eq!(log2_sixteenths(3), 24);
    }
}
