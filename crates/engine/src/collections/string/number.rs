//! Numbers in Redis's text form: 64-bit integers as INCR reads and writes them, and doubles as a score shows.
//!
//! - I1: an integer has exactly one text: no sign but `-`, no leading zero, no space, no `-0`. So two texts
//!   are equal exactly when the integers are.
//! - I2: a double is written with the fewest digits that read back as the same double, in the layout of Redis
//!   7.2 and later: `3`, `0.1`, `1e+21`, `inf`, `-0`.
//!
//! Writing needs no allocation: a text is at most [`TEXT_BYTES_MAX`] bytes and lives on the stack.

use std::fmt::{self, Write};

/// The longest text of a 64-bit integer or a double.
const TEXT_BYTES_MAX: usize = 32;

/// Doubles up to this size that are whole numbers are written as integers (2^62, Redis's limit).
const WHOLE_MAX: f64 = 4_611_686_018_427_387_904.0;

/// The text of a number, on the stack.
#[derive(Clone, Copy)]
pub(crate) struct NumberText {
    bytes: [u8; TEXT_BYTES_MAX],
    start: u8,
    end: u8,
}

impl NumberText {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..usize::from(self.end)]
    }

    const EMPTY: Self = Self { bytes: [0; TEXT_BYTES_MAX], start: 0, end: 0 };

    fn push(&mut self, bytes: &[u8]) {
        let end = usize::from(self.end) + bytes.len();
        self.bytes[usize::from(self.end)..end].copy_from_slice(bytes);
        self.end = u8::try_from(end).expect("I2: a text fits in 32 bytes");
    }

    fn push_zeros(&mut self, count: usize) {
        self.push(&[b'0'; TEXT_BYTES_MAX][..count]);
    }
}

impl Write for NumberText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl fmt::Debug for NumberText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

/// Reads an integer that INCR would accept.
pub(crate) fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let size = parse_u64(digits)?;
    match (negative, size) {
        (true, 0) => None,
        (true, size) => 0_i64.checked_sub_unsigned(size),
        (false, size) => i64::try_from(size).ok(),
    }
}

/// Reads a natural number in the same strict form.
pub(crate) fn parse_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    // Only a 20th digit can overflow.
    let (safe, last) = text.split_at(text.len().min(19));
    let mut value = 0;
    for &byte in safe {
        value = value * 10 + digit(byte)?;
    }
    match last {
        [byte] => value.checked_mul(10)?.checked_add(digit(*byte)?),
        _ => Some(value),
    }
}

/// Reads a 128-bit integer in the same strict form.
pub(crate) fn parse_i128(text: &[u8]) -> Option<i128> {
    if !is_integer(text) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads a 128-bit natural number in the same strict form.
pub(crate) fn parse_u128(text: &[u8]) -> Option<u128> {
    if !is_canonical(text) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Tells whether the text has the form of I1, whatever its size.
pub(crate) fn is_integer(text: &[u8]) -> bool {
    match text {
        [b'-', b'0', ..] => false,
        [b'-', digits @ ..] | digits => is_canonical(digits),
    }
}

fn is_canonical(digits: &[u8]) -> bool {
    match digits {
        [] => false,
        [b'0', _, ..] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

/// Writes an integer as INCR does.
#[inline]
pub(crate) fn format_i64(value: i64) -> NumberText {
    digits_of(value.unsigned_abs(), value < 0)
}

/// Writes a natural number in the same form.
#[inline]
pub(crate) fn format_u64(value: u64) -> NumberText {
    digits_of(value, false)
}

/// The decimal digits of 0 to 99, two bytes each.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut digits = [b'0'; 2];
    let mut index = 0;
    while index < 100 {
        pairs[index] = digits;
        digits[1] += 1;
        if digits[1] > b'9' {
            digits = [digits[0] + 1, b'0'];
        }
        index += 1;
    }
    pairs
};

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "each value cast is under 10,000")]
fn digits_of(mut value: u64, negative: bool) -> NumberText {
    // Filled in place: to move a text right after its bytes are written costs more than to write it.
    let mut text = NumberText { bytes: [0; TEXT_BYTES_MAX], start: 0, end: TEXT_BYTES_MAX as u8 };
    let mut start = TEXT_BYTES_MAX;
    // Each division waits for the one before it, so four digits at a time halve the wait.
    while value >= 10_000 {
        let group = (value % 10_000) as usize;
        value /= 10_000;
        start -= 4;
        text.bytes[start..start + 2].copy_from_slice(&PAIRS[group / 100]);
        text.bytes[start + 2..start + 4].copy_from_slice(&PAIRS[group % 100]);
    }
    while value >= 10 {
        start -= 2;
        text.bytes[start..start + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    // Zero has a digit too, though nothing is left of it.
    if value > 0 || start == TEXT_BYTES_MAX {
        start -= 1;
        text.bytes[start] = b'0' + value as u8;
    }
    if negative {
        start -= 1;
        text.bytes[start] = b'-';
    }
    text.start = start as u8;
    text
}

/// Reads a double: what Rust's own parser reads, except NaN.
///
/// It takes `inf` and `1e5`, and neither spaces nor hexadecimal.
pub(crate) fn parse_f64(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Reads a single-precision float in the same form, rounded once.
pub(crate) fn parse_f32(text: &[u8]) -> Option<f32> {
    let value: f32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Writes a double as Redis writes a score; NaN has no text.
pub(crate) fn format_f64(value: f64) -> Option<NumberText> {
    plain_f64(value).or_else(|| format_finite(value.is_finite().then_some(value)?))
}

/// Writes a single-precision float with the digits that it needs itself; NaN has no text.
pub(crate) fn format_f32(value: f32) -> Option<NumberText> {
    plain_f64(value.into()).or_else(|| format_finite(value.is_finite().then_some(value)?))
}

/// The text of infinities, zeros and whole numbers.
fn plain_f64(value: f64) -> Option<NumberText> {
    let mut text = NumberText::EMPTY;
    if value.is_infinite() {
        text.push(if value < 0.0 { b"-inf" } else { b"inf" });
        Some(text)
    } else if value == 0.0 {
        text.push(if value.is_sign_negative() { b"-0" } else { b"0" });
        Some(text)
    } else if value.abs() <= WHOLE_MAX && value.trunc() == value {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^62")]
        Some(format_i64(value as i64))
    } else {
        None
    }
}

/// The text of a finite number other than zero, from its shortest digits.
fn format_finite(value: impl fmt::LowerExp) -> Option<NumberText> {
    let mut shortest = NumberText::EMPTY;
    write!(shortest, "{value:e}").ok()?;
    let shortest = std::str::from_utf8(shortest.as_bytes()).ok()?;
    let (sign, shortest) = shortest.strip_prefix('-').map_or(("", shortest), |rest| ("-", rest));
    let (mantissa, power) = shortest.split_once('e')?;
    let power: i32 = power.parse().ok()?;
    let (first, others) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut text = NumberText::EMPTY;
    text.push(sign.as_bytes());
    lay_out(&mut text, first.as_bytes(), others.as_bytes(), power);
    Some(text)
}

/// Lays out the digits of `first.others x 10^power`: plain when that is short, else with an exponent.
fn lay_out(text: &mut NumberText, first: &[u8], others: &[u8], power: i32) {
    let size = usize::try_from(power.unsigned_abs()).unwrap_or(usize::MAX);
    let after_point = others.len().saturating_add_signed(-isize::try_from(power).unwrap_or(0));
    if power >= 0 && size >= others.len() && size < others.len() + 8 {
        text.push(first);
        text.push(others);
        text.push_zeros(size - others.len());
    } else if power < 0 && (after_point < 7 || size < 4) {
        text.push(b"0.");
        text.push_zeros(size - 1);
        text.push(first);
        text.push(others);
    } else if power >= 0 && size < others.len() && (after_point < 7 || size < 4) {
        let (whole, fraction) = others.split_at(size);
        text.push(first);
        text.push(whole);
        text.push(b".");
        text.push(fraction);
    } else {
        text.push(first);
        if !others.is_empty() {
            text.push(b".");
            text.push(others);
        }
        text.push(if power < 0 { b"e-" } else { b"e+" });
        text.push(format_u64(power.unsigned_abs().into()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{
        format_f32, format_f64, format_i64, format_u64, parse_f32, parse_f64, parse_i64, parse_i128,
        parse_u64, parse_u128,
    };
    use proptest::prelude::*;

    #[test]
    fn integers_have_one_text() {
        for text in ["0", "7", "-1", "42", "9223372036854775807", "-9223372036854775808", "100", "10"] {
            let value = parse_i64(text.as_bytes()).expect(text);
            assert_eq!(format_i64(value).as_bytes(), text.as_bytes());
        }
        let refused: [&[u8]; 16] = [
            b"",
            b"-",
            b"+1",
            b"-0",
            b"00",
            b"01",
            b"-01",
            b" 1",
            b"1 ",
            b"1.0",
            b"1e3",
            b"0x1",
            b"--1",
            b"9223372036854775808",
            b"-9223372036854775809",
            b"1\0",
        ];
        for text in refused {
            assert_eq!(parse_i64(text), None, "{}", text.escape_ascii());
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"99999999999999999999999"), None);
        assert_eq!(parse_u64(b"-1"), None);
        assert_eq!(parse_i128(b"-170141183460469231731687303715884105728"), Some(i128::MIN));
        assert_eq!(parse_i128(b"-170141183460469231731687303715884105729"), None);
        assert_eq!(parse_i128(b"+1"), None);
        assert_eq!(parse_i128(b"-0"), None);
        assert_eq!(parse_u128(b"340282366920938463463374607431768211455"), Some(u128::MAX));
        assert_eq!(parse_u128(b"+1"), None);
    }

    #[test]
    fn doubles_in_the_layout_of_redis() {
        let table: [(f64, &str); 26] = [
            (3.0, "3"),
            (-3.0, "-3"),
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (-0.1, "-0.1"),
            (1.5, "1.5"),
            (10.25, "10.25"),
            (123_456.789, "123456.789"),
            (1_700_000_000.123_456, "1700000000.123456"),
            (1_700_000_000.123_456_7, "1.7000000001234567e+9"),
            (0.001, "0.001"),
            (0.000_1, "0.0001"),
            (0.000_001, "0.000001"),
            (0.000_000_1, "1e-7"),
            (0.000_012_34, "1.234e-5"),
            (0.000_012, "0.000012"),
            (1.234_567_890_123e-5, "1.234567890123e-5"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (9_223_372_036_854_775_808.0, "9223372036854776000"),
            (1e21, "1e+21"),
            (1e25, "1e+25"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-5e-324, "-5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in table {
            let written = format_f64(value).expect("not NaN");
            assert_eq!(std::str::from_utf8(written.as_bytes()), Ok(text));
        }
        assert!(format_f64(f64::NAN).is_none());
        assert!(format_f32(f32::NAN).is_none());
        assert_eq!(format_f32(0.1).expect("not NaN").as_bytes(), b"0.1");
        assert_eq!(format_f32(16_777_216.0).expect("not NaN").as_bytes(), b"16777216");
    }

    #[test]
    fn what_is_no_double() {
        for text in ["", " 1", "1 ", "nan", "NaN", "-nan", "0x10", "1e", ".", "1,5", "1_0"] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
            assert_eq!(parse_f32(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_f64(b"+inf"), Some(f64::INFINITY));
        assert_eq!(parse_f64(b"5.0e3"), Some(5_000.0));
        assert_eq!(parse_f64(b"\xff"), None);
    }

    proptest! {
        #[test]
        fn integers_come_back(signed: i64, unsigned: u64, shift in 0_u32..64) {
            let (signed, unsigned) = (signed >> shift, unsigned >> shift);
            let (signed_text, unsigned_text) = (signed.to_string(), unsigned.to_string());
            prop_assert!(format_i64(signed).as_bytes() == signed_text.as_bytes());
            prop_assert!(format_u64(unsigned).as_bytes() == unsigned_text.as_bytes());
            prop_assert_eq!(parse_i64(signed_text.as_bytes()), Some(signed));
            prop_assert_eq!(parse_u64(unsigned_text.as_bytes()), Some(unsigned));
        }

        #[test]
        fn floats_come_back(double in proptest::num::f64::ANY, single in proptest::num::f32::ANY) {
            if let Some(text) = format_f64(double) {
                let back = parse_f64(text.as_bytes()).expect("it was just written");
                prop_assert_eq!(back.to_bits(), double.to_bits());
            }
            if let Some(text) = format_f32(single) {
                let back = parse_f32(text.as_bytes()).expect("it was just written");
                prop_assert_eq!(back.to_bits(), single.to_bits());
            }
            prop_assert_eq!(format_f64(double).is_none(), double.is_nan());
        }

        #[test]
        fn no_text_of_another_form_is_an_integer(text in "[-+ 0-9.e]{0,22}") {
            if let Some(value) = parse_i64(text.as_bytes()) {
                prop_assert_eq!(value.to_string(), text);
            }
        }
    }
}
