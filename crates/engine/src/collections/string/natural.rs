//! Natural numbers of any size: only what exact conversion between decimal and binary needs.
//!
//! - I1: `limbs` is little-endian in base 2^32 and its last limb is not 0; zero has no limbs.
//!
//! Every operation is linear in the length, so a conversion is quadratic. Lengths stay under about 1,100
//! limbs, because the texts are bounded by the caller.

use std::cmp::Ordering;

/// A natural number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Natural {
    limbs: Vec<u32>,
}

impl Natural {
    /// The number with these decimal digits; bytes that are no digits are passed over.
    pub(super) fn from_digits(text: &[u8]) -> Self {
        let mut number = Self { limbs: Vec::new() };
        let (mut chunk, mut scale) = (0, 1);
        for byte in text.iter().filter(|byte| byte.is_ascii_digit()) {
            chunk = chunk * 10 + u32::from(byte - b'0');
            scale *= 10;
            if scale == 1_000_000_000 {
                number.multiply_add(scale, chunk);
                (chunk, scale) = (0, 1);
            }
        }
        number.multiply_add(scale, chunk);
        number
    }

    pub(super) fn power_of_ten(exponent: u32) -> Self {
        let mut number = Self { limbs: vec![1] };
        number.multiply_by_power_of_ten(exponent);
        number
    }

    pub(super) fn multiply_by_power_of_ten(&mut self, exponent: u32) {
        for _ in 0..exponent / 9 {
            self.multiply_add(1_000_000_000, 0);
        }
        self.multiply_add(10_u32.pow(exponent % 9), 0);
    }

    pub(super) fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    /// The number of bits up to the highest one that is set.
    pub(super) fn bit_length(&self) -> usize {
        let Some(last) = self.limbs.last() else { return 0 };
        self.limbs.len() * 32 - last.leading_zeros() as usize
    }

    /// The highest 96 to 127 bits, how many bits lie below them, and whether any of those is set.
    ///
    /// A number of fewer bits comes whole.
    pub(super) fn top_bits(&self) -> (u128, usize, bool) {
        let below = self.bit_length().saturating_sub(127).div_ceil(32);
        let (low, top) = self.limbs.split_at(below);
        let top = top.iter().rev().fold(0, |bits, &limb| bits << 32 | u128::from(limb));
        (top, below * 32, low.iter().any(|&limb| limb != 0))
    }

    /// Shifts left, which multiplies by 2^bits.
    pub(super) fn shift_left(&mut self, bits: usize) {
        if self.is_zero() {
            return;
        }
        self.multiply_add(1 << (bits % 32), 0);
        let zeros = bits / 32;
        self.limbs.splice(0..0, std::iter::repeat_n(0, zeros));
    }

    /// Subtracts, or gives back `false` and changes nothing when `other` is larger.
    pub(super) fn subtract_if_not_less(&mut self, other: &Self) -> bool {
        if self.compare(other) == Ordering::Less {
            return false;
        }
        let mut borrow = false;
        let padded = other.limbs.iter().copied().chain(std::iter::repeat(0));
        for (limb, sub) in self.limbs.iter_mut().zip(padded) {
            let (difference, under_sub) = limb.overflowing_sub(sub);
            let (difference, under_borrow) = difference.overflowing_sub(u32::from(borrow));
            *limb = difference;
            borrow = under_sub | under_borrow;
        }
        assert!(!borrow, "the minuend is not less than the subtrahend");
        self.trim();
        true
    }

    /// The decimal digits, `0` for zero.
    pub(super) fn to_digits(&self) -> String {
        let mut rest = self.clone();
        let mut groups = Vec::new();
        while !rest.is_zero() {
            groups.push(rest.split_off_group());
        }
        let first = groups.pop().unwrap_or(0).to_string();
        groups.iter().rev().fold(first, |text, group| text + &format!("{group:09}"))
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_length = self.limbs.len().cmp(&other.limbs.len());
        by_length.then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()))
    }

    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = addend;
        for limb in &mut self.limbs {
            let (high, low) = halves(u64::from(*limb) * u64::from(factor) + u64::from(carry));
            (carry, *limb) = (high, low);
        }
        if carry != 0 {
            self.limbs.push(carry);
        }
    }

    /// Takes the lowest nine decimal digits away.
    fn split_off_group(&mut self) -> u32 {
        const GROUP: u64 = 1_000_000_000;
        let mut remainder = 0;
        for limb in self.limbs.iter_mut().rev() {
            let value = u64::from(remainder) << 32 | u64::from(*limb);
            // The remainder is less than the group, so the quotient fits in one limb.
            *limb = halves(value / GROUP).1;
            remainder = halves(value % GROUP).1;
        }
        self.trim();
        remainder
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }
}

impl From<u64> for Natural {
    fn from(value: u64) -> Self {
        let (high, low) = halves(value);
        let mut number = Self { limbs: vec![low, high] };
        number.trim();
        number
    }
}

/// The upper and the lower 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "each half fits once shifted; the cut is the point")]
fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

#[cfg(test)]
mod tests {
    use super::Natural;
    use proptest::prelude::*;

    fn natural(value: u128) -> Natural {
        Natural::from_digits(value.to_string().as_bytes())
    }

    proptest! {
        #[test]
        fn agrees_with_u128(a: u128, b: u64, shift in 0_usize..64) {
            let number = natural(a);
            prop_assert_eq!(number.to_digits(), a.to_string());
            prop_assert_eq!(number.bit_length(), 128 - a.leading_zeros() as usize);
            let (top, below, sticky) = number.top_bits();
            prop_assert_eq!(top, a >> below);
            prop_assert_eq!(sticky, a.trailing_zeros() < below.try_into().expect("small"));
            prop_assert!(top < 1 << 127 && (below == 0 || top >= 1 << 95));

            let mut shifted = Natural::from(b);
            shifted.shift_left(shift);
            prop_assert_eq!(&shifted, &natural(u128::from(b) << shift));

            let mut less = natural(a);
            let small = Natural::from(b);
            prop_assert_eq!(less.subtract_if_not_less(&small), a >= u128::from(b));
            prop_assert_eq!(less, natural(a.checked_sub(u128::from(b)).unwrap_or(a)));
        }

        #[test]
        fn long_digits_survive(digits in "[1-9][0-9]{0,400}", zeros in 0_u32..60) {
            let mut number = Natural::from_digits(digits.as_bytes());
            prop_assert_eq!(number.to_digits(), digits.clone());
            number.multiply_by_power_of_ten(zeros);
            prop_assert_eq!(number.to_digits(), digits + &"0".repeat(zeros as usize));
        }
    }

    #[test]
    fn zero_has_no_limbs() {
        for mut zero in [Natural::from(0), Natural::from_digits(b"000"), Natural::from_digits(b"")] {
            zero.shift_left(100);
            assert!(zero.is_zero());
            assert_eq!(zero.bit_length(), 0);
            assert_eq!(zero.top_bits(), (0, 0, false));
            assert_eq!(zero.to_digits(), "0");
        }
        let mut one = Natural::power_of_ten(0);
        assert!(one.subtract_if_not_less(&Natural::from(1)));
        assert!(one.is_zero());
    }
}
