//! The arithmetic of INCRBYFLOAT: C's `long double` as x86 has it, in software and so the same everywhere.
//!
//! Redis reads both operands with `strtold`, adds them with a mantissa of 64 bits, and prints the sum with
//! `%.17Lf` less the zeros at its end. That is why `0.1 + 0.2` gives `0.3` and not `0.30000000000000004`.
//!
//! ```text
//! value = +- mantissa * 2^exponent      mantissa 64 bits, exponent -16445 ..= 16320
//! ```
//!
//! - I1: the exponent lies between [`EXPONENT_MIN`] and [`EXPONENT_MAX`].
//! - I2: the top bit of the mantissa is set unless the exponent is [`EXPONENT_MIN`] (zero and the subnormals).
//! - I3: every operation rounds once, to nearest, ties to even; nothing is rounded on the way.
//!
//! Cost: a usual number is read, added and printed in 128-bit integers. Only a text of more than 19 digits or
//! an exponent beyond 10^19 takes numbers of any size, quadratic in at most [`TEXT_BYTES_MAX`] bytes.
//!
//! It has no other operation than the sum, and no NaN: neither reading nor a finite sum makes one.

use super::natural::Natural;

/// Texts of this length and more are no floats, as in Redis.
pub(crate) const TEXT_BYTES_MAX: usize = 5 * 1024;

const EXPONENT_MIN: i32 = -16_445;
const EXPONENT_MAX: i32 = 16_320;

/// What makes an addition impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloatSumError {
    /// One of the texts is not a float.
    NotAFloat,
    /// The sum is infinite or has no value.
    NotFinite,
}

/// Adds two numbers in text form and gives the text of the sum, as INCRBYFLOAT does.
///
/// A key that does not exist counts as `0`. To add a double, give its shortest text
/// ([`format_f64`](super::number::format_f64)), so that `0.1` means one tenth.
pub(crate) fn add_texts(current: &[u8], increment: &[u8]) -> Result<String, FloatSumError> {
    let current = LongDouble::parse(current).ok_or(FloatSumError::NotAFloat)?;
    let increment = LongDouble::parse(increment).ok_or(FloatSumError::NotAFloat)?;
    let sum = current.checked_add(increment).ok_or(FloatSumError::NotFinite)?;
    Ok(sum.to_text())
}

/// A number of 80 bits: sign, mantissa of 64 bits, exponent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LongDouble {
    /// `mantissa * 2^exponent`, with its sign; zero has one too.
    Finite {
        /// Whether it carries a minus.
        negative: bool,
        /// The digits.
        mantissa: u64,
        /// The weight of the lowest bit of the mantissa.
        exponent: i32,
    },
    /// Beyond every number.
    Infinite,
}

impl LongDouble {
    /// Reads what Redis accepts as a float: decimal, hexadecimal, or an infinity; no spaces, no NaN, nothing
    /// that overflows, and nothing but zero that vanishes.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] | rest => (false, rest),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::Infinite);
        }
        let number = match text {
            [b'0', b'x' | b'X', digits @ ..] => Number::split(digits, 16)?.to_binary_from_hex(),
            digits => Number::split(digits, 10)?.to_binary_from_decimal(),
        };
        match number {
            Magnitude::Zero => Some(Self::Finite { negative, mantissa: 0, exponent: EXPONENT_MIN }),
            Magnitude::OutOfRange => None,
            Magnitude::Near { bits, exponent, sticky } => {
                let rounded = round(negative, bits, exponent, sticky);
                rounded.filter(|number| !matches!(number, Self::Finite { mantissa: 0, .. }))
            }
        }
    }

    /// The sum, unless it is not finite.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        let (
            Self::Finite { negative, mantissa, exponent },
            Self::Finite { negative: other_negative, mantissa: other_mantissa, exponent: other_exponent },
        ) = (self, other)
        else {
            return None;
        };
        if exponent < other_exponent {
            return other.checked_add(self);
        }
        // 62 bits of room below the larger operand; a bit that falls out below them sets the lowest.
        let large = u128::from(mantissa) << 62;
        let small = u128::from(other_mantissa) << 62;
        let distance = exponent.abs_diff(other_exponent);
        let shifted = small.checked_shr(distance).unwrap_or(0);
        let small = shifted | u128::from(shifted.checked_shl(distance).unwrap_or(0) != small);
        if negative == other_negative {
            return round(negative, large + small, exponent - 62, false);
        }
        match large.checked_sub(small) {
            Some(0) => Some(Self::Finite { negative: false, mantissa: 0, exponent: EXPONENT_MIN }),
            Some(difference) => round(negative, difference, exponent - 62, false),
            None => round(other_negative, small - large, exponent - 62, false),
        }
    }

    /// The text as Redis prints it: 17 decimals, less the zeros at the end.
    pub(crate) fn to_text(self) -> String {
        let (negative, mantissa, exponent) = match self {
            Self::Finite { negative, mantissa, exponent } => (negative, mantissa, exponent),
            Self::Infinite => return "inf".to_owned(),
        };
        let text = if exponent >= 0 {
            let mut whole = Natural::from(mantissa);
            whole.shift_left(usize::try_from(exponent).expect("I1: an exponent is small"));
            whole.to_digits()
        } else {
            fraction_text(mantissa, exponent.unsigned_abs())
        };
        if negative && text != "0" { format!("-{text}") } else { text }
    }
}

/// `mantissa / 2^shift`, rounded to 17 decimals.
fn fraction_text(mantissa: u64, shift: u32) -> String {
    const ONE: u128 = 100_000_000_000_000_000;
    // At most 121 bits, so whatever is shifted by 128 rounds to zero.
    let scaled = u128::from(mantissa) * ONE;
    let rounded = if shift < 128 { shift_right_to_even(scaled, shift, false) } else { 0 };
    let text = format!("{}.{:017}", rounded / ONE, rounded % ONE);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The number nearest to `bits * 2^exponent` (a little above it when `sticky`), `None` when that is infinite.
///
/// `sticky` asks for 66 bits at least, `bits` for 127 at most.
fn round(negative: bool, bits: u128, exponent: i32, sticky: bool) -> Option<LongDouble> {
    assert!(bits >> 127 == 0 && (!sticky || bits >> 65 != 0), "I3: one rounding needs its guard bits");
    let excess = 64 - signed(bits.leading_zeros());
    let shift = excess.max(EXPONENT_MIN - exponent);
    if shift <= 0 {
        // Exact: I2 holds, since the top bit moves to its place or the exponent is the smallest.
        let mantissa = bits << shift.unsigned_abs();
        return finite(negative, mantissa, exponent + shift);
    }
    let rounded = if shift < 128 { shift_right_to_even(bits, shift.unsigned_abs(), sticky) } else { 0 };
    // A carry out of the mantissa leaves a power of two.
    let carry = i32::from(rounded >> 64 != 0);
    finite(negative, rounded >> carry, exponent + shift + carry)
}

/// A count of bits as an exponent.
fn signed(bits: u32) -> i32 {
    i32::try_from(bits).expect("I1: counts of bits are small")
}

fn finite(negative: bool, mantissa: u128, exponent: i32) -> Option<LongDouble> {
    let mantissa = u64::try_from(mantissa).expect("I2: a mantissa has 64 bits");
    let exponent = if mantissa == 0 { EXPONENT_MIN } else { exponent };
    (exponent <= EXPONENT_MAX).then_some(LongDouble::Finite { negative, mantissa, exponent })
}

/// Shifts right by 1 to 127 bits, to nearest, ties to even.
fn shift_right_to_even(bits: u128, shift: u32, sticky: bool) -> u128 {
    let kept = bits >> shift;
    let half = 1 << (shift - 1);
    let lost = bits & ((half << 1) - 1);
    let up = lost > half || (lost == half && (sticky || kept & 1 == 1));
    kept + u128::from(up)
}

/// A number between reading and rounding.
enum Magnitude {
    Zero,
    /// Too large or too small for any rounding to matter.
    OutOfRange,
    /// `bits * 2^exponent`, or a little more when `sticky`.
    Near {
        bits: u128,
        exponent: i32,
        sticky: bool,
    },
}

/// The parts of a number in text form, `digits` with the point among them.
struct Number<'a> {
    digits: &'a [u8],
    /// How many of the digits lie after the point.
    decimals: i32,
    /// Of ten, or of two when hexadecimal.
    power: i32,
}

impl<'a> Number<'a> {
    /// Splits digits, point and exponent; `None` unless that is the whole text.
    fn split(text: &'a [u8], radix: u32) -> Option<Self> {
        let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
        let is_mark = |byte: &u8| byte.eq_ignore_ascii_case(if radix == 16 { &b'p' } else { &b'e' });
        let end = text.iter().position(is_mark).unwrap_or(text.len());
        let (digits, tail) = text.split_at(end);
        let mut halves = digits.splitn(2, |&byte| byte == b'.');
        let (whole, fraction) = (halves.next().unwrap_or(b""), halves.next().unwrap_or(b""));
        if !whole.iter().chain(fraction).all(is_digit) || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let power = match tail {
            [] => 0,
            [_, b'-', tail @ ..] => -exponent_of(tail)?,
            [_, b'+', tail @ ..] | [_, tail @ ..] => exponent_of(tail)?,
        };
        let leading = digits.iter().take_while(|byte| b"0.".contains(byte)).count();
        let decimals = i32::try_from(fraction.len()).ok()?;
        Some(Self { digits: &digits[leading..], decimals, power })
    }

    fn each_digit(&self) -> impl Iterator<Item = u32> {
        self.digits.iter().filter_map(|&byte| char::from(byte).to_digit(16))
    }

    fn to_binary_from_hex(&self) -> Magnitude {
        let (mut bits, mut sticky, mut exponent) = (0_u128, false, self.power - 4 * self.decimals);
        for digit in self.each_digit() {
            if bits >> 120 == 0 {
                bits = bits << 4 | u128::from(digit);
            } else {
                sticky |= digit != 0;
                exponent += 4;
            }
        }
        if bits == 0 { Magnitude::Zero } else { Magnitude::Near { bits, exponent, sticky } }
    }

    fn to_binary_from_decimal(&self) -> Magnitude {
        let count = i32::try_from(self.each_digit().count()).unwrap_or(i32::MAX);
        if count == 0 {
            return Magnitude::Zero;
        }
        let power = self.power - self.decimals;
        if !(-4_970..=4_940).contains(&(count + power)) {
            return Magnitude::OutOfRange;
        }
        if count <= 19 && (-19..=19).contains(&power) {
            let bits = self.each_digit().fold(0, |bits, digit| bits * 10 + u128::from(digit));
            let scale = 10_u128.pow(power.unsigned_abs());
            return if power < 0 { divide(bits, scale) } else { scaled(bits * scale) };
        }
        let mut whole = Natural::from_digits(self.digits);
        if power < 0 {
            return divide_long(whole, Natural::power_of_ten(power.unsigned_abs()));
        }
        whole.multiply_by_power_of_ten(power.unsigned_abs());
        let (bits, below, sticky) = whole.top_bits();
        Magnitude::Near { bits, exponent: i32::try_from(below).unwrap_or(i32::MAX), sticky }
    }
}

/// The exponent after its sign, held at a size past which nothing changes.
fn exponent_of(digits: &[u8]) -> Option<i32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |value, byte| (value * 10 + i32::from(byte - b'0')).min(1_000_000)))
}

/// A whole number under 2^127.
fn scaled(bits: u128) -> Magnitude {
    Magnitude::Near { bits, exponent: 0, sticky: false }
}

/// `bits / divisor` to at least 66 bits, for `bits` under 2^64 and a divisor from 10 to 10^19.
fn divide(bits: u128, divisor: u128) -> Magnitude {
    if bits == 0 {
        return Magnitude::Zero;
    }
    let shift = bits.leading_zeros();
    let dividend = bits << shift;
    // 2^127 / 10^19 has 64 bits; two more come from the remainder.
    let (quotient, remainder) = (dividend / divisor, dividend % divisor);
    let bits = (quotient << 2) | (remainder * 4 / divisor);
    let sticky = remainder * 4 % divisor != 0;
    Magnitude::Near { bits, exponent: -signed(shift) - 2, sticky }
}

/// The first 100 bits of a quotient, one by one.
fn divide_long(mut dividend: Natural, mut divisor: Natural) -> Magnitude {
    let (up, down) = (divisor.bit_length(), dividend.bit_length());
    dividend.shift_left(up.saturating_sub(down));
    divisor.shift_left(down.saturating_sub(up));
    let mut bits = u128::from(dividend.subtract_if_not_less(&divisor));
    for _ in 0..99 {
        dividend.shift_left(1);
        bits = bits << 1 | u128::from(dividend.subtract_if_not_less(&divisor));
    }
    let length = |bits: usize| i32::try_from(bits).expect("texts are bounded");
    Magnitude::Near { bits, exponent: length(down) - length(up) - 99, sticky: !dividend.is_zero() }
}

#[cfg(test)]
mod tests;
