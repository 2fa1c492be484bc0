//! RESP replies as bytes and as a tree: what a test client needs, and no more.
//!
//! ```text
//! ":7\r\n"              Integer(7)              "*2\r\n..."  Array        "%1\r\n..."  Map (RESP3)
//! "$2\r\nhi\r\n"        Bulk                    "_\r\n"      Null         ",1.5\r\n"   Double("1.5")
//! "-ERR no\r\n"         Error                   "$-1\r\n"    NullBulk     "*-1\r\n"    NullArray
//! ```
//! - I1: the tree loses nothing that a server may say in two ways: two replies have equal trees exactly if they have
//!   equal bytes. Doubles keep their text, and the three nulls are three.
//! - I2: a reply is cut off from a buffer only when it is there in full.
//!
//! Not done: attributes, streamed replies, limits on depth or size. The servers of a test are trusted.

use std::fmt;

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// `+OK`.
    Simple(Vec<u8>),
    /// `-ERR ...`.
    Error(Vec<u8>),
    /// `:1`.
    Integer(i64),
    /// `$2`, then the bytes.
    Bulk(Vec<u8>),
    /// `$-1`, RESP2's absent string.
    NullBulk,
    /// `*-1`, RESP2's absent array.
    NullArray,
    /// `_`, RESP3's absence of anything.
    Null,
    /// `*2`, then the items.
    Array(Vec<Reply>),
    /// `~2`, then the members.
    Set(Vec<Reply>),
    /// `>2`, then the items.
    Push(Vec<Reply>),
    /// `%1`, then keys and values in turn.
    Map(Vec<(Reply, Reply)>),
    /// `,1.5`: the text of the number.
    Double(Vec<u8>),
    /// `#t`.
    Boolean(bool),
    /// `(123...`: the digits.
    BigNumber(Vec<u8>),
    /// `=7`, then `txt:` and the text.
    Verbatim(Vec<u8>),
}

/// Bytes that are no RESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotResp(pub String);

impl fmt::Display for NotResp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not RESP: {}", self.0)
    }
}

impl std::error::Error for NotResp {}

impl Reply {
    /// Reads the first reply of `bytes` and says how long it was; `None` when its end is not there yet.
    ///
    /// # Errors
    /// The bytes are no RESP.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, NotResp> {
        let mut reader = Reader { bytes, at: 0 };
        match reader.reply() {
            Ok(reply) => Ok(Some((reply, reader.at))),
            Err(Stop::Short) => Ok(None),
            Err(Stop::Wrong(what)) => Err(NotResp(what)),
        }
    }

    /// Reads bytes that are one reply and nothing else.
    ///
    /// # Errors
    /// They are not: too short, too long, or no RESP.
    pub fn whole(bytes: &[u8]) -> Result<Self, NotResp> {
        match Self::read(bytes)? {
            Some((reply, length)) if length == bytes.len() => Ok(reply),
            Some((_, length)) => Err(NotResp(format!("{} bytes after the reply", bytes.len() - length))),
            None => Err(NotResp(format!("cut short: {}", bytes.escape_ascii()))),
        }
    }

    /// Is it an error?
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Returns the items of an array, set or push; those of a map as keys and values in turn; else nothing.
    #[must_use]
    pub fn items(&self) -> Vec<Self> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => items.clone(),
            Self::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns the bytes of whatever has bytes: strings, errors, doubles.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes)
            | Self::Error(bytes)
            | Self::Bulk(bytes)
            | Self::Double(bytes)
            | Self::BigNumber(bytes)
            | Self::Verbatim(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns the integer of an integer reply.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

impl fmt::Display for Reply {
    /// One line, strings quoted: for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &[Self], ends: [char; 2]| {
            write!(f, "{}", ends[0])?;
            for (index, item) in items.iter().enumerate() {
                write!(f, "{}{item}", if index == 0 { "" } else { " " })?;
            }
            write!(f, "{}", ends[1])
        };
        match self {
            Self::Simple(text) => write!(f, "{}", text.escape_ascii()),
            Self::Error(text) => write!(f, "(error) {}", text.escape_ascii()),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::NullBulk => f.write_str("(nil)"),
            Self::NullArray => f.write_str("(nil array)"),
            Self::Null => f.write_str("(null)"),
            Self::Array(items) => list(f, items, ['[', ']']),
            Self::Set(items) => list(f, items, ['{', '}']),
            Self::Push(items) => list(f, items, ['<', '>']),
            Self::Map(_) => {
                f.write_str("map")?;
                list(f, &self.items(), ['{', '}'])
            }
            Self::Double(text) => write!(f, "(double) {}", text.escape_ascii()),
            Self::Boolean(truth) => write!(f, "{truth}"),
            Self::BigNumber(digits) => write!(f, "(big) {}", digits.escape_ascii()),
            Self::Verbatim(text) => write!(f, "(verbatim) {}", text.escape_ascii()),
        }
    }
}

/// Writes a command the way a client sends it.
pub fn write_command<A: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    args: impl IntoIterator<Item = A, IntoIter: ExactSizeIterator>,
) {
    let args = args.into_iter();
    out.extend(format!("*{}\r\n", args.len()).into_bytes());
    for arg in args {
        let arg = arg.as_ref();
        out.extend(format!("${}\r\n", arg.len()).into_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

enum Stop {
    Short,
    Wrong(String),
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn reply(&mut self) -> Result<Reply, Stop> {
        let line = self.line()?;
        let (&kind, text) = line.split_first().ok_or_else(|| Stop::Wrong("an empty line".to_owned()))?;
        Ok(match kind {
            b'+' => Reply::Simple(text.to_vec()),
            b'-' => Reply::Error(text.to_vec()),
            b':' => Reply::Integer(number(text)?),
            b',' => Reply::Double(text.to_vec()),
            b'(' => Reply::BigNumber(text.to_vec()),
            b'#' => Reply::Boolean(text == b"t"),
            b'_' => Reply::Null,
            b'$' => match number(text)? {
                -1 => Reply::NullBulk,
                length => Reply::Bulk(self.bulk(length)?),
            },
            b'=' => Reply::Verbatim(self.bulk(number(text)?)?),
            b'*' => match number(text)? {
                -1 => Reply::NullArray,
                count => Reply::Array(self.replies(count)?),
            },
            b'~' => Reply::Set(self.replies(number(text)?)?),
            b'>' => Reply::Push(self.replies(number(text)?)?),
            b'%' => {
                let mut items = self.replies(number(text)?.saturating_mul(2))?.into_iter();
                Reply::Map(std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect())
            }
            other => return Err(Stop::Wrong(format!("a reply that begins with {:?}", char::from(other)))),
        })
    }

    fn replies(&mut self, count: i64) -> Result<Vec<Reply>, Stop> {
        (0..count).map(|_| self.reply()).collect()
    }

    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or(Stop::Short)?;
        self.at += end + 2;
        Ok(&rest[..end])
    }

    fn bulk(&mut self, length: i64) -> Result<Vec<u8>, Stop> {
        let length =
            usize::try_from(length).map_err(|_| Stop::Wrong(format!("a string of {length} bytes")))?;
        let rest = &self.bytes[self.at..];
        let body = rest.get(..length).ok_or(Stop::Short)?;
        match rest.get(length..length + 2) {
            Some(b"\r\n") => self.at += length + 2,
            Some(_) => return Err(Stop::Wrong("a string without its line end".to_owned())),
            None => return Err(Stop::Short),
        }
        Ok(body.to_vec())
    }
}

fn number(text: &[u8]) -> Result<i64, Stop> {
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| Stop::Wrong(format!("a number written {}", text.escape_ascii())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[u8] = b"*9\r\n+OK\r\n-ERR no\r\n:-7\r\n$2\r\n\r\n\r\n$-1\r\n*-1\r\n%1\r\n$1\r\na\r\n,1.50\r\n~1\r\n#t\r\n_\r\n";

    #[test]
    fn a_reply_of_every_kind_is_read() {
        let reply = Reply::whole(ALL).unwrap();
        let text =
            "[OK (error) ERR no -7 \"\\r\\n\" (nil) (nil array) map{\"a\" (double) 1.50} {true} (null)]";
        assert_eq!(reply.to_string(), text);
        assert_eq!(reply.items()[2].integer(), Some(-7));
        assert!(reply.items()[1].is_error());
    }

    #[test]
    fn a_part_of_a_reply_is_no_reply_yet() {
        for end in 0..ALL.len() {
            assert_eq!(Reply::read(&ALL[..end]), Ok(None), "the first {end} bytes");
        }
        let twice = [ALL, ALL].concat();
        assert_eq!(Reply::read(&twice).unwrap().unwrap().1, ALL.len());
        assert!(Reply::whole(&twice).is_err());
    }

    #[test]
    fn other_bytes_are_refused() {
        for wrong in [&b"hello\r\n"[..], b":x\r\n", b"$-2\r\n", b"\r\n", b"$1\r\nabc"] {
            assert!(Reply::read(wrong).is_err(), "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn a_command_is_an_array_of_strings() {
        let mut out = Vec::new();
        write_command(&mut out, [&b"SET"[..], b"k", b"\r\n"]);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n");
    }
}
