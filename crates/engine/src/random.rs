//! A seeded generator (splitmix64) for sampling, jitter and random keys. Not for secrets.
//!
//! Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

/// A stream of 64-bit numbers that the seed determines.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

/// Mixes the bits of `x` (the finaliser of splitmix64).
#[inline]
pub(crate) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `n`, without bias that anybody could measure (128-bit multiply); zero for `n == 0`.
    #[inline]
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(n);
        u64::try_from(wide >> 64).expect("I1: the upper half of a 128-bit product fits 64 bits")
    }

    #[inline]
    pub(crate) fn index_below(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).expect("I2: below a usize")
    }
}

/// A seed that differs from run to run, for engines that were given none.
pub(crate) fn unpredictable_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    #[expect(clippy::disallowed_types, reason = "the one place where chance enters, when no seed was given")]
    let state = std::hash::RandomState::new();
    state.build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_covers_its_range_evenly() {
        let mut random = Random::new(1);
        let mut seen = [0u32; 10];
        for _ in 0..100_000 {
            seen[random.index_below(10)] += 1;
        }
        assert!(seen.iter().all(|&n| (9_500..10_500).contains(&n)), "{seen:?}");
    }
}
