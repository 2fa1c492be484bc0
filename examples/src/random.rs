//! A seeded generator and a Zipf sampler: the same seed gives the same workload on every machine.
//!
//! Costs: a draw of [`Rng`] is a few multiplications; a draw of [`Zipf`] is a binary search over one `f64`
//! per rank. Neither is fit for secrets.

/// A small seeded generator (SplitMix64).
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// Starts a stream that depends on `seed` alone.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        // 53 bits are what an f64 holds exactly.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number in `0..bound`.
    ///
    /// # Panics
    ///
    /// Panics if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number lies below 0");
        let wide = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of a 128-bit product has 64 bits")
    }
}

/// Ranks drawn by Zipf's law: rank `r` (from 0) comes up in proportion to `1 / (r + 1)^exponent`.
#[derive(Debug, Clone)]
pub struct Zipf {
    /// `cumulative[r]` is the chance of a rank of at most `r`; the last is 1.0.
    cumulative: Vec<f64>,
}

impl Zipf {
    /// Prepares a law over the ranks `0..ranks`.
    ///
    /// # Panics
    ///
    /// Panics if `ranks` is 0 or `exponent` is not a finite number of at least 0.
    #[must_use]
    pub fn new(ranks: usize, exponent: f64) -> Self {
        assert!(ranks > 0, "a Zipf law needs at least one rank");
        assert!(exponent.is_finite() && exponent >= 0.0, "a Zipf exponent is finite and not negative");
        let mut cumulative = Vec::with_capacity(ranks);
        let mut sum = 0.0;
        for rank in 1..=ranks {
            sum += (rank as f64).powf(-exponent);
            cumulative.push(sum);
        }
        for chance in &mut cumulative {
            *chance /= sum;
        }
        Self { cumulative }
    }

    /// Draws a rank.
    pub fn sample(&self, rng: &mut Rng) -> usize {
        let point = rng.unit();
        // Rounding may leave the last entry a hair below 1.0; the clamp keeps the rank in range.
        self.cumulative.partition_point(|&chance| chance <= point).min(self.cumulative.len() - 1)
    }

    /// Returns the chance of one of the first `ranks` ranks.
    #[must_use]
    pub fn share_of_first(&self, ranks: usize) -> f64 {
        match ranks.min(self.cumulative.len()) {
            0 => 0.0,
            ranks => self.cumulative[ranks - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Rng, Zipf};

    #[test]
    fn the_same_seed_gives_the_same_draws() {
        let draws = |seed| {
            let mut rng = Rng::new(seed);
            (0..100).map(|_| rng.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
    }

    #[test]
    fn below_reaches_every_number_and_no_other() {
        let mut rng = Rng::new(1);
        let mut seen = [0_u32; 5];
        for _ in 0..10_000 {
            seen[usize::try_from(rng.below(5)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&count| (1_800..2_200).contains(&count)), "{seen:?}");
    }

    #[test]
    fn ranks_come_up_as_often_as_the_law_says() {
        let zipf = Zipf::new(1_000, 1.0);
        let mut rng = Rng::new(42);
        let mut seen = vec![0_u32; 1_000];
        for _ in 0..200_000 {
            seen[zipf.sample(&mut rng)] += 1;
        }
        // The harmonic number of 1,000 is 7.4855: the first rank has 13.36 % and the tenth a tenth of that.
        let share = |rank: usize| f64::from(seen[rank]) / 200_000.0;
        assert!((share(0) - 0.1336).abs() < 0.004, "{}", share(0));
        assert!((share(9) - 0.01336).abs() < 0.002, "{}", share(9));
        assert!((zipf.share_of_first(1) - 0.1336).abs() < 0.0001);
        assert!(seen[500..].iter().sum::<u32>() > 0, "the tail is never drawn");
    }

    #[test]
    fn an_exponent_of_zero_is_uniform() {
        let zipf = Zipf::new(4, 0.0);
        assert!((zipf.share_of_first(1) - 0.25).abs() < 1e-12);
        assert!((zipf.share_of_first(3) - 0.75).abs() < 1e-12);
        assert_eq!(zipf.share_of_first(0), 0.0);
        assert_eq!(zipf.share_of_first(9), 1.0);
    }
}
