//! Ids of stream entries, and their text.
//!
//! ```text
//! 1526919030474-55     milliseconds - sequence number within the millisecond
//! 1526919030474        the sequence number is what the place in the command implies
//! 1526919030474-*      the next free sequence number (XADD)        *   the next free id (XADD)
//! ```
//! Invariants: I1: ids are ordered by milliseconds, then by sequence number. I2: numbers are read as C's `strtoull` reads
//! them where they are not in the strict form, because Redis does so: `007-1` is `7-1`, a zero byte ends the text.

use std::fmt;
use std::str::FromStr;

use crate::collections::string::number::parse_i64;
use crate::error::OpError;

/// The longest text that may be an id.
const TEXT_BYTES_MAX: usize = 127;

/// The id of an entry of a stream.
///
/// # Examples
/// ```
/// use larder::StreamId;
/// let id: StreamId = "1526919030474-55".parse()?;
/// assert_eq!(id, StreamId::new(1_526_919_030_474, 55));
/// assert!(id < StreamId::MAX);
/// assert_eq!(id.to_string(), "1526919030474-55");
/// # Ok::<(), larder::OpError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Milliseconds since the Unix epoch, or any number that never decreases.
    pub ms: u64,
    /// Tells apart what came within one millisecond.
    pub seq: u64,
}

impl StreamId {
    /// `0-0`, the lowest; no entry has it.
    pub const MIN: Self = Self { ms: 0, seq: 0 };

    /// The highest.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// Makes an id from its two numbers.
    #[must_use]
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// Returns the id right after this one, if there is any.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match (self.ms, self.seq) {
            (u64::MAX, u64::MAX) => None,
            (ms, u64::MAX) => Some(Self { ms: ms + 1, seq: 0 }),
            (ms, seq) => Some(Self { ms, seq: seq + 1 }),
        }
    }

    /// Returns the id right before this one, if there is any.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        match (self.ms, self.seq) {
            (0, 0) => None,
            (ms, 0) => Some(Self { ms: ms - 1, seq: u64::MAX }),
            (ms, seq) => Some(Self { ms, seq: seq - 1 }),
        }
    }

    /// Reads `ms-seq`, or `ms` alone, which gets the sequence number `missing_seq`.
    ///
    /// # Examples
    /// ```
    /// use larder::StreamId;
    /// assert_eq!(StreamId::parse(b"5", 9), Some(StreamId::new(5, 9)));
    /// assert_eq!(StreamId::parse(b"5-x", 0), None);
    /// ```
    #[must_use]
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Self> {
        match parts(text)? {
            (ms, None) => Some(Self { ms: number(ms)?, seq: missing_seq }),
            (ms, Some(seq)) => Some(Self { ms: number(ms)?, seq: number(seq)? }),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for StreamId {
    type Err = OpError;

    fn from_str(text: &str) -> Result<Self, OpError> {
        Self::parse(text.as_bytes(), 0).ok_or(OpError::InvalidArgument("stream id"))
    }
}

/// The id that a new entry is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NewId {
    /// `*`: the present time, or right after the last id if that is later.
    #[default]
    Auto,
    /// `ms-*`: the next free sequence number of this millisecond.
    Sequence(u64),
    /// This one.
    Exact(StreamId),
}

impl NewId {
    /// Reads what `XADD` accepts: `*`, `ms-*`, `ms-seq`, or `ms`, which means `ms-0`.
    ///
    /// # Examples
    /// ```
    /// use larder::NewId;
    /// assert_eq!(NewId::parse(b"*"), Some(NewId::Auto));
    /// assert_eq!(NewId::parse(b"7-*"), Some(NewId::Sequence(7)));
    /// ```
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text == b"*" {
            return Some(Self::Auto);
        }
        match parts(text)? {
            (ms, Some(b"*")) => Some(Self::Sequence(number(ms)?)),
            _ => StreamId::parse(text, 0).map(Self::Exact),
        }
    }
}

impl From<StreamId> for NewId {
    fn from(id: StreamId) -> Self {
        Self::Exact(id)
    }
}

/// The text up to a zero byte, cut at its first `-`.
fn parts(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let text = text.split(|&byte| byte == 0).next()?;
    let mut halves = text.splitn(2, |&byte| byte == b'-');
    Some((halves.next()?, halves.next()))
}

/// A natural number, in the strict form or as `strtoull` reads it (I2).
fn number(text: &[u8]) -> Option<u64> {
    if let Some(strict) = parse_i64(text) {
        return u64::try_from(strict).ok();
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !blank(byte))?;
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for byte in digits {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64, seq: u64) -> Option<StreamId> {
        Some(StreamId::new(ms, seq))
    }

    #[test]
    fn text_is_read_as_redis_reads_it() {
        let cases: [(&[u8], Option<StreamId>); 16] = [
            (b"5", id(5, 77)),
            (b"5-6", id(5, 6)),
            (b"007-01", id(7, 1)),
            (b" 7-+1", id(7, 1)),
            (b"1--05", id(1, 18_446_744_073_709_551_611)),
            (b"1--5", None),
            (b"5\0-9", id(5, 77)),
            (b"18446744073709551615-18446744073709551615", id(u64::MAX, u64::MAX)),
            (b"18446744073709551616", None),
            (b"", None),
            (b"-", None),
            (b"-5", None),
            (b"5-", None),
            (b"5-*", None),
            (b"5 ", None),
            (b"+", None),
        ];
        for (text, expected) in cases {
            assert_eq!(StreamId::parse(text, 77), expected, "{}", text.escape_ascii());
        }
        assert_eq!(StreamId::parse(&[b'0'; 127], 1), id(0, 1));
        assert_eq!(StreamId::parse(&[b'0'; 128], 1), None);
    }

    #[test]
    fn new_ids_are_read() {
        assert_eq!(NewId::parse(b"*"), Some(NewId::Auto));
        assert_eq!(NewId::parse(b"12-*"), Some(NewId::Sequence(12)));
        assert_eq!(NewId::parse(b"12"), Some(NewId::Exact(StreamId::new(12, 0))));
        assert_eq!([b"*-*", b"-**", b"x-*"].map(|text| NewId::parse(text)), [None; 3]);
    }

    #[test]
    fn neighbours_carry_over() {
        assert_eq!(StreamId::new(3, u64::MAX).next(), id(4, 0));
        assert_eq!(StreamId::new(4, 0).previous(), id(3, u64::MAX));
        assert_eq!((StreamId::MAX.next(), StreamId::MIN.previous()), (None, None));
        assert_eq!(StreamId::MIN.next().and_then(StreamId::previous), Some(StreamId::MIN));
    }
}
