//! BITOP: several strings combined bit by bit, one block at a time.
//!
//! A block of a source is its bytes there, fewer of them at its end, or none: what is missing is zero. Costs: O(bytes present),
//! and nothing for a block whose result is known from what is absent.

/// How several bitmaps are combined (Redis: `BITOP`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BitOperation {
    /// Bits that are set in all sources.
    And,
    /// Bits that are set in one source at least.
    Or,
    /// Bits that are set in an odd number of sources.
    Xor,
    /// Bits that are clear in the only source.
    Not,
    /// Bits that are set in the first source and in no other.
    Diff,
    /// Bits that are set in some other source, and not in the first.
    Diff1,
    /// Bits that are set in the first source and in some other.
    AndOr,
    /// Bits that are set in exactly one source.
    One,
}

impl BitOperation {
    /// Returns whether the operation makes sense of this many sources.
    #[must_use]
    pub const fn takes(self, sources: usize) -> bool {
        match self {
            Self::Not => sources == 1,
            Self::Diff | Self::Diff1 | Self::AndOr => sources >= 2,
            Self::And | Self::Or | Self::Xor | Self::One => sources >= 1,
        }
    }

    /// Whether a block is zero for what its sources lack there.
    pub(crate) fn lacks(self, is_there: impl Fn(usize) -> bool, sources: usize) -> bool {
        let any_other = || (1..sources).any(&is_there);
        match self {
            Self::Not => false,
            Self::And => !(0..sources).all(&is_there),
            Self::Or | Self::Xor | Self::One => !(0..sources).any(&is_there),
            Self::Diff => !is_there(0),
            Self::Diff1 => !any_other(),
            Self::AndOr => !(is_there(0) && any_other()),
        }
    }

    /// Writes one block of the result over `out`; `spare` is as long. `false` says that it is zero for what is missing, and
    /// leaves `out` as it was.
    pub(crate) fn combine(self, sources: &[Option<&[u8]>], out: &mut [u8], spare: &mut [u8]) -> bool {
        let Some((&first, others)) = sources.split_first() else { return false };
        if self.lacks(|index| sources[index].is_some(), sources.len()) {
            return false;
        }
        match self {
            Self::Not => {
                out.fill(0xff);
                each(out, first, |out, byte| *out = !byte);
            }
            Self::And => {
                copy(out, first);
                others.iter().for_each(|&other| and(out, other));
            }
            Self::Or => {
                copy(out, first);
                or(out, others);
            }
            Self::Xor => {
                copy(out, first);
                others.iter().for_each(|&other| each(out, other, |out, byte| *out ^= byte));
            }
            Self::Diff => {
                copy(out, first);
                others.iter().for_each(|&other| each(out, other, |out, byte| *out &= !byte));
            }
            Self::Diff1 => {
                out.fill(0);
                or(out, others);
                each(out, first, |out, byte| *out &= !byte);
            }
            Self::AndOr => {
                out.fill(0);
                or(out, others);
                and(out, first);
            }
            Self::One => one(sources, out, spare),
        }
        true
    }
}

/// Applies `f` to each byte of `out` that `source` has a byte for.
#[inline]
fn each(out: &mut [u8], source: Option<&[u8]>, f: impl Fn(&mut u8, u8)) {
    for (out, &byte) in out.iter_mut().zip(source.unwrap_or_default()) {
        f(out, byte);
    }
}

fn copy(out: &mut [u8], source: Option<&[u8]>) {
    let source = source.unwrap_or_default();
    out[..source.len()].copy_from_slice(source);
    out[source.len()..].fill(0);
}

fn and(out: &mut [u8], source: Option<&[u8]>) {
    each(out, source, |out, byte| *out &= byte);
    out[source.map_or(0, <[u8]>::len)..].fill(0);
}

fn or(out: &mut [u8], sources: &[Option<&[u8]>]) {
    sources.iter().for_each(|&source| each(out, source, |out, byte| *out |= byte));
}

fn one(sources: &[Option<&[u8]>], out: &mut [u8], spare: &mut [u8]) {
    // `out` collects what was seen, `spare` what was seen twice.
    out.fill(0);
    spare.fill(0);
    for source in sources.iter().flatten() {
        for ((seen, twice), &byte) in out.iter_mut().zip(spare.iter_mut()).zip(*source) {
            *twice |= *seen & byte;
            *seen |= byte;
        }
    }
    each(out, Some(spare), |out, byte| *out &= !byte);
}
