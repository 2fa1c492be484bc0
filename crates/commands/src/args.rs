//! The words of a command, and reading numbers out of them as Redis does.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::CommandError;

/// The words of a command; word 0 is its name.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a>(&'a [&'a [u8]]);

impl<'a> Args<'a> {
    /// Wraps the words.
    #[must_use]
    pub fn new(words: &'a [&'a [u8]]) -> Self {
        Self(words)
    }

    /// Returns how many words there are, the name included.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always the name")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns a word.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.0.get(index).copied()
    }

    /// The same for a computed place.
    pub(crate) fn at(&self, index: i64) -> Option<&'a [u8]> {
        self.get(usize::try_from(index).ok()?)
    }

    /// Returns a word that must be there.
    ///
    /// # Errors
    /// `ERR syntax error` if it is not.
    pub fn bytes(&self, index: usize) -> Result<&'a [u8], CommandError> {
        self.get(index).ok_or_else(CommandError::syntax)
    }

    /// Returns a word as an integer.
    ///
    /// # Errors
    /// `ERR value is not an integer or out of range`; `ERR syntax error` if the word is not there.
    pub fn int(&self, index: usize) -> Result<i64, CommandError> {
        parse_integer(self.bytes(index)?).ok_or_else(CommandError::not_an_integer)
    }

    /// Returns a word as an integer of a range.
    ///
    /// # Errors
    /// As [`int`](Self::int); `ERR value is out of range, value must between <min> and <max>`, in Redis's words.
    pub fn int_in(&self, index: usize, range: RangeInclusive<i64>) -> Result<i64, CommandError> {
        let number = self.int(index)?;
        if range.contains(&number) {
            return Ok(number);
        }
        let (min, max) = (range.start(), range.end());
        Err(CommandError::new(format!("ERR value is out of range, value must between {min} and {max}")))
    }

    /// Returns a word as the number of a database, which may not exist.
    ///
    /// # Errors
    /// As [`int_in`](Self::int_in) for 32-bit integers; `ERR DB index is out of range` for what no database can have.
    pub fn database(&self, index: usize) -> Result<u16, CommandError> {
        let number = self.int_in(index, i64::from(i32::MIN)..=i64::from(i32::MAX))?;
        u16::try_from(number).map_err(|_| CommandError::new("ERR DB index is out of range"))
    }

    /// Returns a word as a number with a fraction; infinities are numbers, NaN is not.
    ///
    /// # Errors
    /// `ERR value is not a valid float`; `ERR syntax error` if the word is not there.
    pub fn float(&self, index: usize) -> Result<f64, CommandError> {
        parse_float(self.bytes(index)?).ok_or_else(CommandError::not_a_float)
    }

    /// Returns a word as the time that a command waits, in seconds; `None` for ever.
    ///
    /// # Errors
    /// `ERR timeout is not a float or out of range`, `ERR timeout is negative`; `ERR syntax error` if the word is not there.
    pub fn timeout(&self, index: usize) -> Result<Option<Duration>, CommandError> {
        let seconds = parse_float(self.bytes(index)?);
        let seconds =
            seconds.ok_or_else(|| CommandError::new("ERR timeout is not a float or out of range"))?;
        let span_ms = (seconds * 1_000.0).ceil();
        // What does not fit into 64 bits is negative to Redis.
        if !(0.0..9_223_372_036_854_775_808.0).contains(&span_ms) {
            return Err(CommandError::new("ERR timeout is negative"));
        }
        Ok(Some(Duration::from_secs_f64(span_ms / 1_000.0)).filter(|span| !span.is_zero()))
    }

    /// Returns whether there is a word and it is this one, in any case.
    #[must_use]
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.get(index).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Returns the words from `index` on.
    #[must_use]
    pub fn from(&self, index: usize) -> &'a [&'a [u8]] {
        self.0.get(index..).unwrap_or_default()
    }
}

/// Reads a 64-bit integer as Redis does: an optional minus, no plus, no leading zero, no space, no `-0`.
#[must_use]
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] if digits.len() == text.len() => return Some(0),
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {}
        _ => return None,
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads a number with a fraction as Redis does, that is as C's `strtod`, hexadecimal and infinities included; a text
/// that is too large or too small for a 64-bit number is none, nor is NaN.
#[must_use]
pub fn parse_float(text: &[u8]) -> Option<f64> {
    let unsigned = match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    };
    if let [b'0', b'x' | b'X', digits @ ..] = unsigned {
        let size = hexadecimal(digits)?;
        return Some(if text.starts_with(b"-") { -size } else { size });
    }
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if number.is_nan() {
        return None;
    }
    let named = unsigned.first().is_some_and(u8::is_ascii_alphabetic);
    let mantissa = unsigned.split(|byte| byte.eq_ignore_ascii_case(&b'e')).next().unwrap_or_default();
    let vanished = number == 0.0 && mantissa.iter().any(|byte| matches!(byte, b'1'..=b'9'));
    if (number.is_infinite() && !named) || vanished { None } else { Some(number) }
}

/// What follows `0x`: digits with a point, then `p` and an exponent of two.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let at = text.iter().position(|byte| byte.eq_ignore_ascii_case(&b'p'));
    let (digits, exponent) = match at {
        Some(at) => {
            let (digits, rest) = text.split_at(at);
            let exponent = std::str::from_utf8(rest.get(1..)?).ok()?;
            (digits, exponent.parse::<i64>().ok()?)
        }
        None => (text, 0),
    };
    let mut parts = digits.splitn(2, |&byte| byte == b'.');
    let (whole, fraction) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // Sixty-odd bits are kept, and whether anything was lost, so that the one rounding at the end is right.
    let (mut bits, mut dropped, mut lost) = (0_u64, 0_i64, false);
    for &byte in whole.iter().chain(fraction) {
        let digit = u64::from(char::from(byte).to_digit(16)?);
        if bits >> 60 == 0 {
            bits = bits << 4 | digit;
        } else {
            dropped = dropped.saturating_add(4);
            lost |= digit != 0;
        }
    }
    let places = i64::try_from(fraction.len()).ok()?.checked_mul(4)?;
    let exponent = exponent.saturating_add(dropped).saturating_sub(places);
    let number = scale(bits | u64::from(lost), exponent);
    if number.is_infinite() || (number == 0.0 && bits != 0) { None } else { Some(number) }
}

/// `bits` times two to the `exponent`, rounded once.
fn scale(bits: u64, exponent: i64) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    // The exponent of the highest bit, and from it how many bits a 64-bit number has room for.
    let zeros = bits.leading_zeros();
    let top = exponent.saturating_add(63 - i64::from(zeros));
    if top > 1023 {
        return f64::INFINITY;
    }
    let room = if top >= -1022 { 53 } else { (top + 1075).max(0) };
    let wide = u128::from(bits) << (64 + zeros);
    let cut = 128 - u32::try_from(room).unwrap_or(0);
    let (kept, rest) = if cut == 128 { (0, wide) } else { (wide >> cut, wide << (128 - cut)) };
    let half = 1_u128 << 127;
    let up = rest > half || (rest == half && kept & 1 == 1);
    let Ok(mantissa) = u64::try_from(kept + u128::from(up)) else { return f64::INFINITY };
    // The biased exponent field and the mantissa's fields lie so that a carry runs from one into the other.
    let bits = if top >= -1022 {
        let field = u64::try_from(top + 1022).unwrap_or(0);
        (field << 52).saturating_add(mantissa)
    } else {
        mantissa
    };
    f64::from_bits(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_spelling() {
        let good =
            [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)];
        for (text, number) in good {
            assert_eq!(parse_integer(text.as_bytes()), Some(number));
        }
        for text in ["", "-", "-0", "+1", "01", " 1", "1 ", "1.0", "9223372036854775808", "0x1"] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn floats_are_those_of_strtod() {
        let good = [
            ("1", 1.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("-1e3", -1000.0),
            ("inf", f64::INFINITY),
            ("-INFINITY", f64::NEG_INFINITY),
            ("0e-999", 0.0),
            ("0x10", 16.0),
            ("-0x1.8p1", -3.0),
            ("0x.8", 0.5),
            ("0x1p-1074", f64::from_bits(1)),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.00000000000008000000000001p0", 1.000_000_000_000_000_2),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("4.9e-324", f64::from_bits(1)),
        ];
        for (text, number) in good {
            assert_eq!(parse_float(text.as_bytes()), Some(number), "{text}");
        }
        for text in
            ["", "nan", "1e400", "1e-400", " 1", "1 ", "1e", "0x", "0xg", "0x1p1024", "0x1p-2000", "--1", "."]
        {
            assert_eq!(parse_float(text.as_bytes()), None, "{text}");
        }
    }
}
