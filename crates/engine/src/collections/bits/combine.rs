//! BITOP: several strings combined bit by bit, one block at a time.
//!
//! A block of a source is its bytes there, fewer of them at its end, or none: what is missing is zero. Invariant: I1: a block of
//! zeros for all sources gives zeros, except for NOT. Costs: O(bytes present), and nothing for a block whose result is known
//! from what is absent.

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

    /// Writes one block of the result over `out`; `spare` is as long. Tells whether there may be a bit set in it: `false`
    /// leaves `out` as it was.
    pub(crate) fn combine(self, sources: &[Option<&[u8]>], out: &mut [u8], spare: &mut [u8]) -> bool {
        let Some((&first, others)) = sources.split_first() else { return false };
        match self {
            Self::Not => {
                out.fill(0xff);
                each(out, first, |out, byte| *out = !byte);
                true
            }
            Self::And => {
                if sources.iter().any(Option::is_none) {
                    return false;
                }
                copy(out, first);
                for &other in others {
                    and(out, other);
                }
                true
            }
            Self::Or | Self::Xor => {
                if sources.iter().all(Option::is_none) {
                    return false;
                }
                copy(out, first);
                for &other in others {
                    match self {
                        Self::Or => each(out, other, |out, byte| *out |= byte),
                        _ => each(out, other, |out, byte| *out ^= byte),
                    }
                }
                true
            }
            Self::Diff => {
                if first.is_none() {
                    return false;
                }
                copy(out, first);
                for &other in others {
                    each(out, other, |out, byte| *out &= !byte);
                }
                true
            }
            Self::Diff1 => {
                any(others, out) && {
                    each(out, first, |out, byte| *out &= !byte);
                    true
                }
            }
            Self::AndOr => {
                first.is_some() && any(others, out) && {
                    and(out, first);
                    true
                }
            }
            Self::One => one(sources, out, spare),
        }
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

/// The bits of any source; `false` if none has bytes here.
fn any(sources: &[Option<&[u8]>], out: &mut [u8]) -> bool {
    if sources.iter().all(Option::is_none) {
        return false;
    }
    out.fill(0);
    for &source in sources {
        each(out, source, |out, byte| *out |= byte);
    }
    true
}

fn one(sources: &[Option<&[u8]>], out: &mut [u8], spare: &mut [u8]) -> bool {
    if sources.iter().all(Option::is_none) {
        return false;
    }
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
    true
}
