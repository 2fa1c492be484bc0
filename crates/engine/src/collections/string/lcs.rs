//! The longest common subsequence of two strings, and where it lies in them, as Redis's LCS reports it.
//!
//! With `L(i, j)` the length for the first `i` bytes of `a` and the first `j` of `b`, the step from
//! `L(i, j - 1)` to `L(i, j)` is 0 or 1, so one bit a cell tells all. A word holds 64 columns of one row, and
//! one addition with carry computes it from the row above (Hyyro's method); a clear bit is a step of one.
//!
//! ```text
//! steps:  block 0: row 1, row 2, .. row n | block 1: row 1, ..      (64 columns of b a block)
//! ```
//!
//! - I1: where `a[i-1] != b[j-1]`, Redis goes up when `L(i-1, j) > L(i, j-1)`. That is the case exactly when
//!   the step at (i, j) is one, so the bits are enough to walk its path, ties included.
//! - I2: columns past the end of `b` match nothing, so their bits stay set and count no step.
//!
//! Cost: time `a * b / 64`; memory one bit a cell, one byte a row when only the length is asked for. Input of
//! more than [`WORDS_MAX`] words is refused. That accepts every pair for which a matrix of 32-bit counters
//! takes up to 512 MiB, and most up to 16 GiB.

/// The most words of 64 cells in one computation: 512 MiB of them.
pub(crate) const WORDS_MAX: usize = 1 << 26;

/// Tells that the two strings are too long to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LcsTooLarge;

/// A run of bytes that both strings have in the subsequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LcsMatch {
    /// Index of its first byte in the first string.
    pub(crate) a_start: usize,
    /// Index of its first byte in the second string.
    pub(crate) b_start: usize,
    /// Its length in bytes, never 0.
    pub(crate) length: usize,
}

/// The answer to `LCS .. IDX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LcsMatches {
    /// The last match first.
    pub(crate) matches: Vec<LcsMatch>,
    /// The length of the whole subsequence, short matches included.
    pub(crate) length: usize,
}

/// The length of the longest common subsequence.
pub(crate) fn length(a: &[u8], b: &[u8]) -> Result<usize, LcsTooLarge> {
    check_size(a, b)?;
    Ok(run(a, b, |_| {}))
}

/// The longest common subsequence itself; of several equally long ones, Redis's choice.
pub(crate) fn subsequence(a: &[u8], b: &[u8]) -> Result<Vec<u8>, LcsTooLarge> {
    let steps = Steps::new(a, b)?;
    let mut text = Vec::with_capacity(steps.length);
    steps.walk(a, b, |i, _| text.push(a[i]));
    text.reverse();
    Ok(text)
}

/// The matching runs of at least `length_min` bytes, the last first.
pub(crate) fn matches(a: &[u8], b: &[u8], length_min: usize) -> Result<LcsMatches, LcsTooLarge> {
    let steps = Steps::new(a, b)?;
    let mut matches: Vec<LcsMatch> = Vec::new();
    steps.walk(a, b, |i, j| match matches.last_mut() {
        Some(run) if run.a_start == i + 1 && run.b_start == j + 1 => {
            *run = LcsMatch { a_start: i, b_start: j, length: run.length + 1 };
        }
        _ => matches.push(LcsMatch { a_start: i, b_start: j, length: 1 }),
    });
    matches.retain(|run| run.length >= length_min);
    Ok(LcsMatches { matches, length: steps.length })
}

/// One bit a cell, clear where the length grows by one along `b`.
struct Steps {
    words: Vec<u64>,
    rows: usize,
    length: usize,
}

impl Steps {
    fn new(a: &[u8], b: &[u8]) -> Result<Self, LcsTooLarge> {
        let mut words = Vec::new();
        words.try_reserve_exact(check_size(a, b)?).map_err(|_| LcsTooLarge)?;
        let length = run(a, b, |word| words.push(word));
        Ok(Self { words, rows: a.len(), length })
    }

    /// Calls `take` with the index pair of each byte of the subsequence, from the last to the first.
    fn walk(&self, a: &[u8], b: &[u8], mut take: impl FnMut(usize, usize)) {
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                i -= 1;
                j -= 1;
                take(i, j);
            } else if self.is_step(i - 1, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }

    fn is_step(&self, row: usize, column: usize) -> bool {
        self.words[column / 64 * self.rows + row] >> (column % 64) & 1 == 0
    }
}

/// The number of words that the comparison computes, when it is allowed.
fn check_size(a: &[u8], b: &[u8]) -> Result<usize, LcsTooLarge> {
    a.len().checked_mul(b.len().div_ceil(64)).filter(|&words| words <= WORDS_MAX).ok_or(LcsTooLarge)
}

/// Computes the rows of each block of 64 columns, gives every word to `keep`, and counts the steps of the
/// last row, which is the length of the subsequence.
fn run(a: &[u8], b: &[u8], mut keep: impl FnMut(u64)) -> usize {
    let mut length = 0;
    // The carry that each row hands to the next block.
    let mut carries = vec![false; a.len()];
    let mut columns_of = [0_u64; 256];
    for block in b.chunks(64) {
        for (column, &byte) in block.iter().enumerate() {
            columns_of[usize::from(byte)] |= 1 << column;
        }
        let mut row = u64::MAX;
        for (&byte, carry) in a.iter().zip(&mut carries) {
            let hits = columns_of[usize::from(byte)];
            let (sum, over_hits) = row.overflowing_add(row & hits);
            let (sum, over_carry) = sum.overflowing_add(u64::from(*carry));
            *carry = over_hits | over_carry;
            row = sum | (row & !hits);
            keep(row);
        }
        length += row.count_zeros() as usize;
        for &byte in block {
            columns_of[usize::from(byte)] = 0;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::{LcsMatch, LcsMatches, LcsTooLarge, length, matches, subsequence};
    use proptest::prelude::*;

    /// The textbook matrix and Redis's walk over it.
    fn model(a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<(usize, usize)>) {
        let mut table = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] = if a[i - 1] == b[j - 1] {
                    table[i - 1][j - 1] + 1
                } else {
                    table[i - 1][j].max(table[i][j - 1])
                };
            }
        }
        let (mut i, mut j) = (a.len(), b.len());
        let (mut text, mut pairs) = (Vec::new(), Vec::new());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                i -= 1;
                j -= 1;
                text.insert(0, a[i]);
                pairs.push((i, j));
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        (text, pairs)
    }

    fn pairs_of(found: &LcsMatches) -> Vec<(usize, usize)> {
        let bytes = |run: &LcsMatch| {
            let run = *run;
            (0..run.length).rev().map(move |k| (run.a_start + k, run.b_start + k))
        };
        found.matches.iter().flat_map(bytes).collect()
    }

    #[test]
    fn the_example_of_the_manual() {
        let (a, b) = (b"ohmytext".as_slice(), b"mynewtext".as_slice());
        assert_eq!(subsequence(a, b).as_deref(), Ok(b"mytext".as_slice()));
        assert_eq!(length(a, b), Ok(6));
        let text = LcsMatch { a_start: 4, b_start: 5, length: 4 };
        let my = LcsMatch { a_start: 2, b_start: 0, length: 2 };
        assert_eq!(matches(a, b, 0), Ok(LcsMatches { matches: vec![text, my], length: 6 }));
        assert_eq!(matches(a, b, 3), Ok(LcsMatches { matches: vec![text], length: 6 }));
    }

    #[test]
    fn empty_sides() {
        for (a, b) in [("", ""), ("a", ""), ("", "a"), ("abc", "xyz")] {
            assert_eq!(length(a.as_bytes(), b.as_bytes()), Ok(0));
            assert_eq!(subsequence(a.as_bytes(), b.as_bytes()), Ok(Vec::new()));
            let none = LcsMatches { matches: Vec::new(), length: 0 };
            assert_eq!(matches(a.as_bytes(), b.as_bytes(), 0), Ok(none));
        }
    }

    #[test]
    fn too_large_is_an_error() {
        let long = vec![b'x'; 1 << 17];
        assert_eq!(length(&long, &long), Err(LcsTooLarge));
        assert_eq!(subsequence(&long, &long), Err(LcsTooLarge));
        assert_eq!(matches(&long, &long, 0), Err(LcsTooLarge));
        assert_eq!(length(&long, b"xyx"), Ok(2));
    }

    proptest! {
        #[test]
        fn agrees_with_the_matrix(
            a in proptest::collection::vec(proptest::sample::select(b"abcd".to_vec()), 0..200),
            b in proptest::collection::vec(proptest::sample::select(b"abcd".to_vec()), 0..200),
        ) {
            let (text, pairs) = model(&a, &b);
            prop_assert_eq!(length(&a, &b), Ok(text.len()));
            let found = matches(&a, &b, 0).expect("small input");
            prop_assert_eq!(found.length, text.len());
            prop_assert_eq!(pairs_of(&found), pairs);
            prop_assert_eq!(subsequence(&a, &b), Ok(text));
        }
    }
}
