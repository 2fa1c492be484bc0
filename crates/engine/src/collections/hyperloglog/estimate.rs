//! From registers to a count: Ertl's improved raw estimator ("New cardinality estimation algorithms for HyperLogLog sketches",
//! arXiv 1702.01284, algorithm 6), in the order of operations that gives Redis's numbers to the last digit.
//!
//! Costs: O(51) after the histogram is filled. It deliberately does not look at registers in their order: only how many there
//! are of each value counts.

use super::{RANK_MAX, REGISTERS};

/// 1 / (2 ln 2), the factor for infinitely many registers.
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// How many registers hold each value.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: [u32; 64],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; 64] }
    }
}

impl Histogram {
    /// Adds some registers of one value.
    pub(crate) fn add(&mut self, value: u8, registers: usize) {
        self.counts[usize::from(value & 63)] += u32::try_from(registers).expect("I4: at most all registers");
    }

    /// How many elements these registers speak of.
    pub(crate) fn estimate(&self) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "16,384 is exact")]
        let registers = REGISTERS as f64;
        let count = |value: usize| f64::from(self.counts[value]);
        let highest = usize::from(RANK_MAX);
        let mut sum = registers * tau((registers - count(highest)) / registers);
        for value in (1..highest).rev() {
            sum = (sum + count(value)) * 0.5;
        }
        sum += registers * sigma(count(0) / registers);
        let estimate = (ALPHA * registers * registers / sum).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, and the estimate is not negative"
        )]
        let estimate = estimate as u64;
        estimate
    }
}

/// What registers that are still zero add: `x + x^2 + 2 x^4 + 4 x^8 ..`
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum <= before {
            return sum;
        }
    }
}

/// What registers at the highest value take away.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut weight, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * weight;
        if sum >= before {
            return sum / 3.0;
        }
    }
}
