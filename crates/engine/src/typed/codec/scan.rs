//! Checks the shape of MessagePack before anything is built from it.
//!
//! ```text
//! open: how many items each open container still waits for      [2, 5, 1]  at most 32 deep
//! ```
//!
//! - I1: after `Ok` the bytes are exactly one value: every length is borne out by bytes that are there, nothing
//!   follows, and no more than [`DEPTH_MAX`] containers lie in one another.
//!
//! So a count that a decoder takes as a hint for an allocation is never more than the number of bytes. The scan
//! needs no recursion and no memory. It does not look into text: UTF-8 is checked where it is read.
//!
//! Cost: a few instructions for each item.

use super::DEPTH_MAX;
use super::error::CodecErrorKind;

/// Checks that the bytes are one whole MessagePack value.
pub(super) fn check(bytes: &[u8]) -> Result<(), CodecErrorKind> {
    let mut scan = Scan::default();
    scan.advance(bytes, true)?;
    scan.finish(bytes)
}

/// A check that follows the bytes while they are written.
#[derive(Default)]
pub(super) struct Scan {
    open: [usize; DEPTH_MAX],
    depth: usize,
    /// The bytes up to here are whole markers with their data.
    at: usize,
    whole: bool,
}

impl Scan {
    /// Goes on to the end of `bytes`, or to the last item that is there as a whole.
    ///
    /// `all` tells that no more bytes will come.
    pub(super) fn advance(&mut self, bytes: &[u8], all: bool) -> Result<(), CodecErrorKind> {
        let mut rest = &bytes[self.at..];
        while !self.whole {
            let items = match next(&mut rest) {
                Err(CodecErrorKind::Truncated) if !all => return Ok(()),
                other => other?,
            };
            self.at = bytes.len() - rest.len();
            // Each item takes a byte at least.
            if all && items.is_some_and(|items| items > rest.len()) {
                return Err(CodecErrorKind::Truncated);
            }
            self.count(items)?;
        }
        if rest.is_empty() { Ok(()) } else { Err(CodecErrorKind::TrailingBytes) }
    }

    /// Tells whether `bytes`, over which it went, are a whole value.
    pub(super) fn finish(&self, bytes: &[u8]) -> Result<(), CodecErrorKind> {
        if self.whole && self.at == bytes.len() { Ok(()) } else { Err(CodecErrorKind::Truncated) }
    }

    /// Opens a container, or counts an item in the innermost one; closes what is complete.
    fn count(&mut self, items: Option<usize>) -> Result<(), CodecErrorKind> {
        if let Some(items) = items {
            *self.open.get_mut(self.depth).ok_or(CodecErrorKind::TooDeep)? = items;
            self.depth += 1;
        } else if self.depth > 0 {
            self.open[self.depth - 1] -= 1;
        }
        while self.depth > 0 && self.open[self.depth - 1] == 0 {
            self.depth -= 1;
            // A closed container is an item of the one around it.
            if self.depth > 0 {
                self.open[self.depth - 1] -= 1;
            }
        }
        self.whole = self.depth == 0;
        Ok(())
    }
}

/// Steps over one marker and its bytes. For a container gives the number of items that follow.
fn next(rest: &mut &[u8]) -> Result<Option<usize>, CodecErrorKind> {
    let marker = take(rest, 1)?[0];
    let low = usize::from(marker & 0x1f);
    let skip = match marker {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 0,
        0x80..=0x8f => return Ok(Some(2 * (low & 0x0f))),
        0x90..=0x9f => return Ok(Some(low & 0x0f)),
        0xa0..=0xbf => low,
        0xc1 => return Err(CodecErrorKind::Malformed),
        0xc4 | 0xd9 => length(rest, 1)?,
        0xc5 | 0xda => length(rest, 2)?,
        0xc6 | 0xdb => length(rest, 4)?,
        // An extension carries a byte for its type.
        0xc7 => length(rest, 1)?.saturating_add(1),
        0xc8 => length(rest, 2)?.saturating_add(1),
        0xc9 => length(rest, 4)?.saturating_add(1),
        0xcc | 0xd0 => 1,
        0xcd | 0xd1 => 2,
        0xca | 0xce | 0xd2 => 4,
        0xcb | 0xcf | 0xd3 => 8,
        0xd4 => 2,
        0xd5 => 3,
        0xd6 => 5,
        0xd7 => 9,
        0xd8 => 17,
        0xdc => return length(rest, 2).map(Some),
        0xdd => return length(rest, 4).map(Some),
        0xde => return length(rest, 2).map(|pairs| Some(pairs.saturating_mul(2))),
        0xdf => return length(rest, 4).map(|pairs| Some(pairs.saturating_mul(2))),
    };
    take(rest, skip)?;
    Ok(None)
}

fn length(rest: &mut &[u8], bytes: usize) -> Result<usize, CodecErrorKind> {
    Ok(take(rest, bytes)?.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)))
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], CodecErrorKind> {
    let (taken, after) = rest.split_at_checked(bytes).ok_or(CodecErrorKind::Truncated)?;
    *rest = after;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::{Scan, check};
    use crate::typed::codec::error::CodecErrorKind::{Malformed, TooDeep, TrailingBytes, Truncated};
    use proptest::prelude::*;

    #[test]
    fn every_marker_has_its_length() {
        let with = |marker: u8, bytes: usize| [vec![marker], vec![1; bytes]].concat();
        let mut whole: Vec<Vec<u8>> = [0x00, 0x7f, 0xe0, 0xff, 0xc0, 0xc2, 0xc3, 0x80, 0x90, 0xa0]
            .iter()
            .map(|&marker| with(marker, 0))
            .collect();
        let sized = [
            (0xa1, 1),
            (0xbf, 31),
            (0xc4, 2),
            (0xc5, 0x103),
            (0xc7, 3),
            (0xc8, 0x104),
            (0xcc, 1),
            (0xcd, 2),
            (0xce, 4),
            (0xcf, 8),
            (0xd0, 1),
            (0xd1, 2),
            (0xd2, 4),
            (0xd3, 8),
            (0xca, 4),
            (0xcb, 8),
            (0xd4, 2),
            (0xd5, 3),
            (0xd6, 5),
            (0xd7, 9),
            (0xd8, 17),
            (0xd9, 2),
            (0xda, 0x103),
            (0x91, 1),
            (0x9f, 15),
            (0x81, 2),
            (0x8f, 30),
            (0xdc, 0x103),
            (0xde, 0x204),
        ];
        whole.extend(sized.map(|(marker, bytes)| with(marker, bytes)));
        for marker in [0xc6, 0xdb, 0xdd] {
            whole.push([vec![marker, 0, 0, 0, 3], vec![1; 3]].concat());
        }
        whole.push([vec![0xc9, 0, 0, 0, 3], vec![1; 4]].concat());
        whole.push([vec![0xdf, 0, 0, 0, 3], vec![1; 6]].concat());
        for mut bytes in whole {
            assert_eq!(check(&bytes), Ok(()), "{bytes:02x?}");
            for end in 0..bytes.len() {
                assert_eq!(check(&bytes[..end]), Err(Truncated), "{:02x?}", &bytes[..end]);
            }
            bytes.push(0);
            assert_eq!(check(&bytes), Err(TrailingBytes), "{bytes:02x?}");
        }
        assert_eq!(check(&[0xc1]), Err(Malformed));
        assert_eq!(check(&[0x92, 1, 0xc1]), Err(Malformed));
    }

    #[test]
    fn lengths_that_are_not_borne_out() {
        for marker in [0xc6, 0xc9, 0xdb, 0xdd, 0xdf] {
            assert_eq!(check(&[marker, 0xff, 0xff, 0xff, 0xff, 1, 1]), Err(Truncated));
        }
    }

    #[test]
    fn depth() {
        let nested = |depth: usize| [vec![0x91; depth], vec![7]].concat();
        assert_eq!(check(&nested(32)), Ok(()));
        assert_eq!(check(&nested(33)), Err(TooDeep));
        assert_eq!(check(&nested(100_000)), Err(TooDeep));
        // Side by side is not in one another.
        assert_eq!(check(&[0x93, 0x91, 0x90, 0x81, 1, 0x90, 2]), Ok(()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_checked(bytes: Vec<u8>) {
            // A whole value is never a whole value with one more or one fewer byte.
            if check(&bytes).is_ok() {
                prop_assert_eq!(check(&bytes[..bytes.len() - 1]), Err(Truncated));
                let mut scan = Scan::default();
                for end in 0..=bytes.len() {
                    prop_assert_eq!(scan.advance(&bytes[..end], false), Ok(()));
                    prop_assert_eq!(scan.finish(&bytes[..end]).is_ok(), end == bytes.len());
                }
                prop_assert_eq!(check(&[bytes, vec![0]].concat()), Err(TrailingBytes));
            }
        }
    }
}
