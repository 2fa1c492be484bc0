//! Strings seen as bits: counting, searching, fields of integers, combination of several strings.
//!
//! ```text
//! bit 0 is the highest bit of byte 0:    byte 0  7 6 5 4 3 2 1 0    byte 1  7 6 ..
//!                                        bit     0 1 2 3 4 5 6 7            8 9 ..
//! piece (offset, bytes)   a part of the string that is there; what no piece covers is zero
//! ```
//! The functions know nothing of how a string is kept: they are given its length and its pieces in ascending order, so they
//! serve flat, roped and sparse strings, and skip what is absent.
//!
//! Invariants: I1: pieces ascend, do not overlap and lie inside the string. I2: a resolved range lies inside the string.
//! Costs: O(bytes of the pieces inside the range). It deliberately does not write: see [`field`] for the nine bytes in which a
//! field of bits lies, and [`combine`] for BITOP.

pub(crate) mod combine;
pub(crate) mod field;

#[cfg(test)]
mod tests;

use std::ops::Range;

/// A part of a string: the offset of its first byte, and the bytes.
pub(crate) type Piece<'a> = (usize, &'a [u8]);

/// Which part of a string an operation looks at. Negative positions count from the end: -1 is the last one.
///
/// # Examples
/// ```
/// use larder::BitRange;
/// let engine = larder::Engine::new();
/// engine.set("k", "foobar")?;
/// assert_eq!(engine.bitmap("k").count_in(BitRange::bytes(1, 1))?, 6);
/// assert_eq!(engine.bitmap("k").count_in(BitRange::bits(5, 30))?, 17);
/// # Ok::<(), larder::OpError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitRange {
    start: i64,
    end: Option<i64>,
    in_bits: bool,
}

impl BitRange {
    /// The whole string.
    pub const ALL: Self = Self { start: 0, end: None, in_bits: false };

    /// Names the bytes from `start` to `end`, both included.
    #[must_use]
    pub const fn bytes(start: i64, end: i64) -> Self {
        Self { start, end: Some(end), in_bits: false }
    }

    /// Names the bytes from `start` to the end of the string. A search for a clear bit goes on past the end, where every bit
    /// is clear.
    #[must_use]
    pub const fn bytes_from(start: i64) -> Self {
        Self { start, end: None, in_bits: false }
    }

    /// Names the bits from `start` to `end`, both included.
    #[must_use]
    pub const fn bits(start: i64, end: i64) -> Self {
        Self { start, end: Some(end), in_bits: true }
    }

    /// The bits of a string of `len` bytes that are meant (I2); `None` if there are none.
    pub(crate) fn resolve(self, len: usize) -> Option<Range<u64>> {
        let unit = if self.in_bits { 1 } else { 8 };
        let total = i64::try_from(len).unwrap_or(i64::MAX).saturating_mul(8) / unit;
        let place = |index: i64| (if index < 0 { total.saturating_add(index) } else { index }).max(0);
        let start = place(self.start);
        let end = self.end.map_or(total, |end| place(end).saturating_add(1)).min(total);
        if start >= end {
            return None;
        }
        let bits = |index: i64| u64::try_from(index.saturating_mul(unit)).unwrap_or(0);
        Some(bits(start)..bits(end))
    }

    /// The same for BITCOUNT, for which a range that is named backwards from the end of the string is empty.
    pub(crate) fn resolve_to_count(self, len: usize) -> Option<Range<u64>> {
        let backwards = self.end.is_some_and(|end| self.start < 0 && end < 0 && self.start > end);
        if backwards { None } else { self.resolve(len) }
    }

    /// The bytes in which these bits lie.
    pub(crate) fn bytes_of(bits: &Range<u64>) -> Range<usize> {
        let byte = |bit: u64| usize::try_from(bit).unwrap_or(usize::MAX);
        byte(bits.start / 8)..byte(bits.end.div_ceil(8))
    }

    /// Whether every bit after the string counts as clear in a search.
    fn is_open(self) -> bool {
        self.end.is_none()
    }
}

/// Counts the bits that are set.
pub(crate) fn count<'a>(pieces: impl Iterator<Item = Piece<'a>>, bits: Range<u64>) -> u64 {
    pieces.map(|piece| Part::of(piece, &bits).map_or(0, |part| part.count())).sum()
}

/// Finds the first bit that is set.
pub(crate) fn first_set<'a>(pieces: impl Iterator<Item = Piece<'a>>, bits: Range<u64>) -> Option<u64> {
    pieces.filter_map(|piece| Part::of(piece, &bits)).find_map(|part| part.first(0))
}

/// Finds the first bit that is clear.
pub(crate) fn first_clear<'a>(pieces: impl Iterator<Item = Piece<'a>>, bits: Range<u64>) -> Option<u64> {
    // Up to here every bit is set.
    let mut at = bits.start;
    for part in pieces.filter_map(|piece| Part::of(piece, &bits)) {
        if part.start_bit() > at {
            break;
        }
        if let Some(found) = part.first(0xff) {
            return Some(found);
        }
        at = part.end_bit();
    }
    Some(at).filter(|&at| at < bits.end)
}

/// BITPOS over a string of `len` bytes that exists: `pieces` gives those of a range of bytes.
pub(crate) fn position<'a, I: Iterator<Item = Piece<'a>>>(
    len: usize,
    bit: bool,
    range: BitRange,
    pieces: impl FnOnce(Range<usize>) -> I,
) -> Option<u64> {
    let bits = range.resolve(len)?;
    let end = bits.end;
    let pieces = pieces(BitRange::bytes_of(&bits));
    if bit {
        first_set(pieces, bits)
    } else {
        first_clear(pieces, bits).or_else(|| range.is_open().then_some(end))
    }
}

/// The bytes of a piece that lie in a range of bits, and what of the outer two is meant.
struct Part<'a> {
    offset: usize,
    bytes: &'a [u8],
    first_mask: u8,
    last_mask: u8,
}

impl<'a> Part<'a> {
    fn of((offset, bytes): Piece<'a>, bits: &Range<u64>) -> Option<Self> {
        let inside = BitRange::bytes_of(bits);
        let from = inside.start.max(offset);
        let to = inside.end.min(offset + bytes.len());
        if from >= to {
            return None;
        }
        let first_mask = if from == inside.start { 0xff >> (bits.start % 8) } else { 0xff };
        let cut = if to == inside.end { (8 - bits.end % 8) % 8 } else { 0 };
        Some(Self {
            offset: from,
            bytes: &bytes[from - offset..to - offset],
            first_mask,
            last_mask: 0xff << cut,
        })
    }

    fn start_bit(&self) -> u64 {
        self.offset as u64 * 8 + u64::from(self.first_mask.leading_zeros())
    }

    fn end_bit(&self) -> u64 {
        (self.offset + self.bytes.len()) as u64 * 8 - u64::from(self.last_mask.trailing_zeros())
    }

    fn count(&self) -> u64 {
        match self.bytes {
            [only] => u64::from((only & self.first_mask & self.last_mask).count_ones()),
            [first, middle @ .., last] => {
                u64::from((first & self.first_mask).count_ones())
                    + count_bytes(middle)
                    + u64::from((last & self.last_mask).count_ones())
            }
            [] => 0,
        }
    }

    /// The first bit whose byte differs there from `filler` (all clear, or all set).
    fn first(&self, filler: u8) -> Option<u64> {
        let last = self.bytes.len() - 1;
        let found =
            |index: usize, byte: u8| (self.offset + index) as u64 * 8 + u64::from(byte.leading_zeros());
        let mut mask = self.first_mask;
        if last == 0 {
            mask &= self.last_mask;
        }
        let byte = (self.bytes[0] ^ filler) & mask;
        if byte != 0 {
            return Some(found(0, byte));
        }
        let middle = &self.bytes[1.min(last)..last];
        if let Some(index) = first_other(middle, filler) {
            return Some(found(index + 1, middle[index] ^ filler));
        }
        let byte = (self.bytes[last] ^ filler) & self.last_mask;
        (last > 0 && byte != 0).then(|| found(last, byte))
    }
}

/// Counts the bits of whole bytes: eight words at a time, of which carry-save adders leave one count for every eight words.
fn count_bytes(bytes: &[u8]) -> u64 {
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("I3: chunks of eight bytes"));
    let add = |a: u64, b: u64, c: u64| {
        let half = a ^ b;
        (half ^ c, (a & b) | (half & c))
    };
    let (mut ones, mut twos, mut fours, mut eights) = (0, 0, 0, 0);
    let blocks = bytes.chunks_exact(64);
    let rest = blocks.remainder();
    for block in blocks {
        let at = |index: usize| word(&block[index * 8..index * 8 + 8]);
        let (sum, twos_a) = add(ones, at(0), at(1));
        let (sum, twos_b) = add(sum, at(2), at(3));
        let (two, fours_a) = add(twos, twos_a, twos_b);
        let (sum, twos_a) = add(sum, at(4), at(5));
        let (sum, twos_b) = add(sum, at(6), at(7));
        let (two, fours_b) = add(two, twos_a, twos_b);
        let (four, eight) = add(fours, fours_a, fours_b);
        (ones, twos, fours) = (sum, two, four);
        eights += u64::from(eight.count_ones());
    }
    let ends = [(ones, 1), (twos, 2), (fours, 4)];
    let words = rest.chunks_exact(8);
    let tail: u64 = words.remainder().iter().map(|byte| u64::from(byte.count_ones())).sum();
    eights * 8
        + ends.iter().map(|&(bits, worth)| u64::from(u64::count_ones(bits)) * worth).sum::<u64>()
        + words.map(|bytes| u64::from(word(bytes).count_ones())).sum::<u64>()
        + tail
}

/// The first byte that is not `filler`.
fn first_other(bytes: &[u8], filler: u8) -> Option<usize> {
    // Blocks are compared whole, which the compiler does with wide registers.
    let blocks = bytes.chunks(64);
    let mut at = 0;
    for block in blocks {
        if block.iter().fold(0, |different, &byte| different | (byte ^ filler)) != 0 {
            return block.iter().position(|&byte| byte != filler).map(|index| at + index);
        }
        at += block.len();
    }
    None
}
