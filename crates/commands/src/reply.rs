//! Replies: what a handler can say, how RESP2 and RESP3 write it, and the one place where engine errors get their text.
//!
//! ```text
//! handler --map(2)--> ReplySink --RESP3--> put(Map(2))     %2\r\n
//!                               --RESP2--> put(Array(4))   *4\r\n
//! ```
//! Invariants: I1: a sink's `put` gets only what its protocol has; the methods that handlers call degrade the rest. I2:
//! texts of simple strings and errors contain no CR or LF. I3: an aggregate is followed by exactly as many items as it
//! announced.
//!
//! What RESP2 does not have: a map becomes an array of keys and values in turn, sets and pushes become arrays, a double,
//! a big number and a verbatim string become bulk strings, a boolean becomes 1 or 0. RESP3 has one null.

mod tree;

use std::borrow::Cow;

use larder::OpError;

pub use tree::{Reply, Tree};

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// RESP2: what every client speaks.
    #[default]
    Resp2,
    /// RESP3: maps, sets, doubles, booleans and one null.
    Resp3,
}

/// One item of a reply, as the wire knows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item<'a> {
    /// `+text`.
    Simple(&'a [u8]),
    /// `-CODE text`.
    Error(&'a [u8]),
    /// `:number`.
    Integer(i64),
    /// `$length`, bytes.
    Bulk(&'a [u8]),
    /// `_`, in RESP2 `$-1`.
    Null,
    /// `*-1`, RESP2 only.
    NullArray,
    /// `*length`; that many items follow.
    Array(usize),
    /// `%length`, RESP3 only; that many pairs of items follow.
    Map(usize),
    /// `~length`, RESP3 only; that many items follow.
    Set(usize),
    /// `>length`, RESP3 only; that many items follow.
    Push(usize),
    /// `,number`, RESP3 only.
    Double(f64),
    /// `,digits`, RESP3 only: a number with a fraction that is written in a form of its own.
    Decimal(&'a str),
    /// `#t` or `#f`, RESP3 only.
    Boolean(bool),
    /// `(digits`, RESP3 only.
    BigNumber(&'a str),
    /// `=length`, three letters of format, a colon, bytes; RESP3 only.
    Verbatim(&'a str, &'a [u8]),
}

/// Takes a reply, item by item.
pub trait ReplySink {
    /// Returns the protocol that the reply is for.
    fn protocol(&self) -> Protocol;

    /// Changes it, from the next item on.
    fn set_protocol(&mut self, protocol: Protocol);

    /// Takes one item, which the protocol has.
    fn put(&mut self, item: Item<'_>);

    /// A short status: `OK`.
    fn simple(&mut self, text: &str) {
        self.put(Item::Simple(&one_line(text.as_bytes())));
    }

    /// An error with its code: `ERR no such key`.
    fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// An error that quotes bytes which need not be text.
    fn error_bytes(&mut self, text: &[u8]) {
        self.put(Item::Error(&one_line(text)));
    }

    /// An integer.
    fn integer(&mut self, number: i64) {
        self.put(Item::Integer(number));
    }

    /// A count, which never comes near the end of the range of integers.
    fn count(&mut self, number: u64) {
        self.integer(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Bytes.
    fn bulk(&mut self, bytes: &[u8]) {
        self.put(Item::Bulk(bytes));
    }

    /// Bytes, or nothing.
    fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// Nothing, where a string could be.
    fn null(&mut self) {
        self.put(Item::Null);
    }

    /// Nothing, where an array could be.
    fn null_array(&mut self) {
        match self.protocol() {
            Protocol::Resp2 => self.put(Item::NullArray),
            Protocol::Resp3 => self.put(Item::Null),
        }
    }

    /// Begins an array of `len` items.
    fn array(&mut self, len: usize) {
        self.put(Item::Array(len));
    }

    /// Begins a map of `len` pairs.
    fn map(&mut self, len: usize) {
        match self.protocol() {
            Protocol::Resp2 => self.put(Item::Array(len.saturating_mul(2))),
            Protocol::Resp3 => self.put(Item::Map(len)),
        }
    }

    /// Begins a set of `len` items.
    fn set(&mut self, len: usize) {
        match self.protocol() {
            Protocol::Resp2 => self.put(Item::Array(len)),
            Protocol::Resp3 => self.put(Item::Set(len)),
        }
    }

    /// Begins an out-of-band message of `len` items.
    fn push(&mut self, len: usize) {
        match self.protocol() {
            Protocol::Resp2 => self.put(Item::Array(len)),
            Protocol::Resp3 => self.put(Item::Push(len)),
        }
    }

    /// A number with a fraction.
    fn double(&mut self, number: f64) {
        match self.protocol() {
            Protocol::Resp2 => self.put(Item::Bulk(format_double(number).as_bytes())),
            Protocol::Resp3 => self.put(Item::Double(number)),
        }
    }

    /// A number with a fraction, in digits of its own.
    fn decimal(&mut self, digits: &str) {
        match self.protocol() {
            Protocol::Resp2 => self.put(Item::Bulk(digits.as_bytes())),
            Protocol::Resp3 => self.put(Item::Decimal(digits)),
        }
    }

    /// Yes or no.
    fn boolean(&mut self, yes: bool) {
        match self.protocol() {
            Protocol::Resp2 => self.put(Item::Integer(i64::from(yes))),
            Protocol::Resp3 => self.put(Item::Boolean(yes)),
        }
    }

    /// An integer of any size, in digits.
    fn big_number(&mut self, digits: &str) {
        match self.protocol() {
            Protocol::Resp2 => self.put(Item::Bulk(digits.as_bytes())),
            Protocol::Resp3 => self.put(Item::BigNumber(digits)),
        }
    }

    /// Text for people, in a format of three letters: `txt`, `mkd`.
    fn verbatim(&mut self, format: &str, text: &[u8]) {
        match self.protocol() {
            Protocol::Resp2 => self.put(Item::Bulk(text)),
            Protocol::Resp3 => self.put(Item::Verbatim(format, text)),
        }
    }
}

/// Replaces what would end a line (I2).
fn one_line(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }).collect())
}

/// Writes replies as the bytes of the wire, at the end of a buffer.
#[derive(Debug)]
pub struct RespSink<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> RespSink<'a> {
    /// Makes a sink that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, protocol: Protocol::Resp2 }
    }

    fn line(&mut self, mark: u8, text: &[u8]) {
        self.out.push(mark);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    fn number(&mut self, mark: u8, number: i64) {
        let mut digits = [0; 20];
        self.line(mark, decimal(number, &mut digits));
    }

    fn length(&mut self, mark: u8, length: usize) {
        self.number(mark, i64::try_from(length).unwrap_or(i64::MAX));
    }
}

/// The digits of a number, written from the end of the buffer.
fn decimal(number: i64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut rest = number.unsigned_abs();
    let mut start = buffer.len();
    let mut put = |byte: u8| {
        start -= 1;
        if let Some(place) = buffer.get_mut(start) {
            *place = byte;
        }
    };
    loop {
        put(b'0' + u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        put(b'-');
    }
    buffer.get(start..).unwrap_or_default()
}

impl ReplySink for RespSink<'_> {
    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    fn put(&mut self, item: Item<'_>) {
        match item {
            Item::Simple(text) => self.line(b'+', text),
            Item::Error(text) => self.line(b'-', text),
            Item::Integer(number) => self.number(b':', number),
            Item::Bulk(bytes) => {
                self.length(b'$', bytes.len());
                self.out.extend_from_slice(bytes);
                self.out.extend_from_slice(b"\r\n");
            }
            Item::Null => match self.protocol {
                Protocol::Resp2 => self.out.extend_from_slice(b"$-1\r\n"),
                Protocol::Resp3 => self.out.extend_from_slice(b"_\r\n"),
            },
            Item::NullArray => self.out.extend_from_slice(b"*-1\r\n"),
            Item::Array(len) => self.length(b'*', len),
            Item::Map(len) => self.length(b'%', len),
            Item::Set(len) => self.length(b'~', len),
            Item::Push(len) => self.length(b'>', len),
            Item::Double(number) => self.line(b',', format_double(number).as_bytes()),
            Item::Decimal(digits) => self.line(b',', digits.as_bytes()),
            Item::Boolean(yes) => self.line(b'#', if yes { b"t" } else { b"f" }),
            Item::BigNumber(digits) => self.line(b'(', digits.as_bytes()),
            Item::Verbatim(format, text) => {
                self.length(b'=', text.len().saturating_add(4));
                self.out.extend_from_slice(format.as_bytes());
                self.out.push(b':');
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// Significant digits that give any 64-bit number back.
const DIGITS: i32 = 17;

/// Writes a number as replies show it: 17 significant digits without the zeros at their end, an exponent where the
/// number is smaller than 0.0001 or needs more digits than that (C's `%.17g`).
///
/// # Examples
/// ```
/// use larder_commands::format_double;
/// assert_eq!(format_double(3.0), "3");
/// assert_eq!(format_double(0.1), "0.10000000000000001");
/// assert_eq!(format_double(1e20), "1e+20");
/// ```
#[must_use]
pub fn format_double(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let places = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
        return trimmed(&format!("{number:.places$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs())
}

/// A decimal number without zeros at the end of its fraction.
fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// The text of an engine's error, code included.
pub(crate) fn wire_text(error: &OpError) -> Cow<'static, str> {
    Cow::Borrowed(match error {
        OpError::WrongType { .. } => "WRONGTYPE Operation against a key holding the wrong kind of value",
        OpError::NotHyperLogLog { .. } => "WRONGTYPE Key is not a valid HyperLogLog string value.",
        OpError::CorruptHyperLogLog { .. } => "INVALIDOBJ Corrupted HLL object detected",
        OpError::NotAnInteger => "ERR value is not an integer or out of range",
        OpError::NotAFloat => "ERR value is not a valid float",
        OpError::Overflow => "ERR increment or decrement would overflow",
        OpError::KeyTooLong { .. } | OpError::ValueTooLong { .. } => {
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        }
        OpError::OutOfMemory { .. } => "OOM command not allowed when used memory > 'maxmemory'.",
        OpError::NoSuchDatabase { .. } => "ERR DB index is out of range",
        OpError::NoSuchKey => "ERR no such key",
        OpError::SameObject => "ERR source and destination objects are the same",
        OpError::StreamGone { .. } => "UNBLOCKED the stream key no longer exists",
        OpError::InvalidExpiry => "ERR invalid expire time",
        OpError::OutOfRange { .. } => "ERR offset is out of range",
        OpError::InvalidArgument(what) => return Cow::Owned(format!("ERR {what}")),
        other => return Cow::Owned(format!("ERR {other}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl Fn(&mut dyn ReplySink)) -> String {
        let mut out = Vec::new();
        let mut sink = RespSink::new(&mut out);
        sink.set_protocol(protocol);
        write(&mut sink);
        String::from_utf8(out).expect("text").replace("\r\n", "|")
    }

    #[test]
    fn each_protocol_writes_what_it_has() {
        let all = |sink: &mut dyn ReplySink| {
            sink.simple("O\nK");
            sink.error("ERR no\r\n");
            sink.integer(i64::MIN);
            sink.bulk(b"");
            sink.null();
            sink.null_array();
            sink.array(0);
            sink.map(1);
            sink.double(0.1);
            sink.boolean(true);
            sink.set(2);
            sink.big_number("12");
            sink.verbatim("txt", b"hi");
            sink.push(0);
        };
        assert_eq!(
            written(Protocol::Resp2, all),
            "+O K|-ERR no  |:-9223372036854775808|$0||$-1|*-1|*0|*2|$19|0.10000000000000001|:1|*2|$2|12|$2|hi|*0|"
        );
        assert_eq!(
            written(Protocol::Resp3, all),
            "+O K|-ERR no  |:-9223372036854775808|$0||_|_|*0|%1|,0.10000000000000001|#t|~2|(12|=6|txt:hi|>0|"
        );
    }

    #[test]
    fn doubles_are_written_as_c_writes_them() {
        let rows = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (100.0, "100"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (99_999_999_999_999_984.0, "99999999999999984"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::from_bits(1), "4.9406564584124654e-324"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (number, text) in rows {
            assert_eq!(format_double(number), text);
        }
    }

    #[test]
    fn decimal_digits() {
        for number in [0, 7, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
