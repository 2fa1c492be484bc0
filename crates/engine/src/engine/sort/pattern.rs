//! The patterns of SORT, and the numbers that it sorts by.
//!
//! Both are C strings in Redis: a zero byte ends what is searched for `*` and `->`, and what is read as a number.

use crate::collections::hash::Hash;
use crate::collections::string::number::parse_f64;
use crate::engine::place::read;
use crate::engine::{At, Engine};
use crate::error::OpError;
use crate::value::Value;

/// Which value a pattern names for an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern<'a> {
    /// `#`: the element.
    Itself,
    /// No `*`: a fixed key makes no sense.
    Nothing,
    /// A string, or a field of a hash.
    Key { before: &'a [u8], behind: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    pub(super) fn parse(pattern: &'a [u8]) -> Self {
        let text = text_of(pattern);
        if text == b"#" {
            return Self::Itself;
        }
        let Some(star) = text.iter().position(|&byte| byte == b'*') else { return Self::Nothing };
        let arrow = text[star + 1..].windows(2).position(|pair| pair == b"->").map(|at| star + 1 + at);
        // An arrow with nothing behind it belongs to the key.
        let arrow = arrow.filter(|&at| at + 2 < text.len());
        let end = arrow.unwrap_or(pattern.len());
        Self::Key {
            before: &pattern[..star],
            behind: &pattern[star + 1..end],
            field: arrow.map(|at| &pattern[at + 2..]),
        }
    }

    /// The value for an element; none if there is no such key or field, or the key holds something else.
    pub(super) fn fetch(&self, engine: &Engine, element: &[u8]) -> Result<Option<Value>, OpError> {
        let Self::Key { before, behind, field } = *self else {
            return Ok((*self == Self::Itself).then(|| Value::copy(element)));
        };
        let key = [before, element, behind].concat();
        let found = match field {
            None => engine.get(&key),
            Some(field) => read(&At::new(engine, &key), |hash: &Hash, now_ms| {
                hash.get(field, now_ms).map(|entry| Value::copy(entry.value))
            })
            .map(Option::flatten),
        };
        match found {
            Err(OpError::WrongType { .. }) => Ok(None),
            found => found,
        }
    }
}

/// What lies before the first zero byte.
pub(super) fn text_of(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

/// A number as C's `strtod` reads one: spaces before it, hexadecimal and infinities are fine, nothing at all is zero; what is
/// too large or too small, or no number, is none.
pub(super) fn weight_of(bytes: &[u8]) -> Option<f64> {
    let text = text_of(bytes);
    let spaces = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let number = &text[spaces..];
    if number.is_empty() {
        // Spaces alone are not read as a number, and then they are left over.
        return (spaces == 0).then_some(0.0);
    }
    let (negative, size) = match number {
        [b'-', size @ ..] => (true, size),
        [b'+', size @ ..] => (false, size),
        size => (false, size),
    };
    if let [b'0', b'x' | b'X', digits @ ..] = size {
        let size = hexadecimal(digits)?;
        return Some(if negative { -size } else { size });
    }
    let value = parse_f64(number)?;
    let named = size.first().is_some_and(u8::is_ascii_alphabetic);
    let mantissa = size.split(|byte| byte.eq_ignore_ascii_case(&b'e')).next().unwrap_or_default();
    let vanished = value == 0.0 && mantissa.iter().any(|byte| matches!(byte, b'1'..=b'9'));
    (!vanished && (named || value.is_finite())).then_some(value)
}

/// The digits behind `0x`, with a point and a binary exponent.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let mut parts = text.splitn(2, |byte| byte.eq_ignore_ascii_case(&b'p'));
    let digits = parts.next().unwrap_or_default();
    let mut exponent = match parts.next() {
        Some(exponent) => i64::from(std::str::from_utf8(exponent).ok()?.parse::<i32>().ok()?),
        None => 0,
    };
    let (mut bits, mut point, mut count) = (0_u128, false, 0);
    for &byte in digits {
        if byte == b'.' && !point {
            point = true;
            continue;
        }
        let digit = char::from(byte).to_digit(16)?;
        count += 1;
        if bits >> 120 == 0 {
            bits = bits << 4 | u128::from(digit);
            exponent -= if point { 4 } else { 0 };
        } else {
            // Far below the last bit that counts: it only breaks ties.
            bits |= u128::from(digit != 0);
            exponent += if point { 0 } else { 4 };
        }
    }
    if count == 0 {
        return None;
    }
    if bits == 0 {
        return Some(0.0);
    }
    // In two steps, so that neither factor leaves the range while the product is in it.
    let exponent = i32::try_from(exponent.clamp(-4_000, 4_000)).ok()?;
    let value = bits as f64 * 2_f64.powi(exponent / 2) * 2_f64.powi(exponent - exponent / 2);
    let lost = value.is_infinite() || value == 0.0;
    (!lost).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<'a>(before: &'a str, behind: &'a str, field: Option<&'a str>) -> Pattern<'a> {
        let field = field.map(str::as_bytes);
        Pattern::Key { before: before.as_bytes(), behind: behind.as_bytes(), field }
    }

    #[test]
    fn patterns_are_read_as_redis_reads_them() {
        let cases = [
            ("#", Pattern::Itself),
            ("#\0*", Pattern::Itself),
            ("##", Pattern::Nothing),
            ("", Pattern::Nothing),
            ("nosort", Pattern::Nothing),
            ("x\0*", Pattern::Nothing),
            ("w_*", key("w_", "", None)),
            ("*", key("", "", None)),
            ("a*b*c", key("a", "b*c", None)),
            ("h_*->f", key("h_", "", Some("f"))),
            ("h_*_x->f->g", key("h_", "_x", Some("f->g"))),
            ("h_*->", key("h_", "->", None)),
            ("h->f_*", key("h->f_", "", None)),
            ("h_*->f\0x", key("h_", "", Some("f\0x"))),
        ];
        for (text, pattern) in cases {
            assert_eq!(Pattern::parse(text.as_bytes()), pattern, "{text:?}");
        }
    }

    #[test]
    fn weights_are_read_as_c_reads_them() {
        let good = [
            ("", 0.0),
            ("12", 12.0),
            (" \t\n-1.5e3", -1_500.0),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("-0x1.8p+1", -3.0),
            ("0x.8", 0.5),
            ("0X1P-3", 0.125),
            ("0x1ffffffffffffffffffffffffffffffffffff", 2_f64.powi(145)),
            ("7\0junk", 7.0),
            ("0e-999", 0.0),
            ("0x0p5000", 0.0),
        ];
        for (text, value) in good {
            assert_eq!(weight_of(text.as_bytes()), Some(value), "{text:?}");
        }
        for text in [
            " ", "1 ", "nan", "-nan", "1e", "1e400", "1e-400", "0x", "0x.", "0xg", "0x1p", "1_0", "--1",
            "0x1p5000",
        ] {
            assert_eq!(weight_of(text.as_bytes()), None, "{text:?}");
        }
    }
}
