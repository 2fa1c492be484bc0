//! The operations of a profile without end, from a seed: for runs that are too long for proptest.

use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::operation::{Operation, Profile};

/// An endless iterator over operations; the same seed and profile give the same ones.
#[derive(Debug)]
pub struct Generator {
    runner: TestRunner,
    strategy: BoxedStrategy<Operation>,
}

impl Generator {
    /// Begins the sequence of a seed.
    #[must_use]
    pub fn new(seed: u64, profile: Profile) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        Self { runner: TestRunner::new_with_rng(Config::default(), rng), strategy: profile.operation() }
    }
}

impl Iterator for Generator {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        self.strategy.new_tree(&mut self.runner).ok().map(|tree| tree.current())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_sequence() {
        let draw = |seed| Generator::new(seed, Profile::default()).take(300).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_profile_leaves_out_what_it_says() {
        let profile = Profile { copies: false, extras: false, time: false, ..Profile::default() };
        for operation in Generator::new(3, profile).take(5_000) {
            let left_out = matches!(
                operation,
                Operation::Copy { .. }
                    | Operation::Pin { .. }
                    | Operation::Advance { .. }
                    | Operation::Load { .. }
            );
            assert!(!left_out, "{operation:?}");
        }
    }
}
