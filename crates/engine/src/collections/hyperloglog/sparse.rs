//! The sparse form: runs of equal registers, one or two bytes each.
//!
//! Invariants: I1: what is written covers the same registers as before. I2: a change keeps Redis's order: the run is split in
//! three at most, and then neighbours of equal value are joined, looking at five runs from the one before the change.
//! Costs: O(bytes) for a search, O(bytes behind it) for a change. It deliberately joins no runs of zeros, as Redis does not.

use std::ops::Range;

use super::{HEADER_BYTES, REGISTERS, Refused, mark_stale};

/// The highest value that a run can say.
const VALUE_MAX: u8 = 32;
/// The longest run of a value.
const VALUE_RUN_MAX: usize = 4;
/// The longest run of zeros in one byte.
const SHORT_ZEROS_MAX: usize = 64;
/// How many runs are looked at when neighbours are joined.
const JOIN_RUNS: usize = 5;

/// Registers of equal value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where its opcode lies in the string.
    at: usize,
    /// Bytes of its opcode.
    bytes: usize,
    first: usize,
    len: usize,
    pub(crate) value: u8,
}

impl Run {
    pub(crate) fn registers(&self) -> Range<usize> {
        self.first..self.first + self.len
    }

    /// Whether it is a run of zeros written in two bytes.
    pub(crate) fn is_long(&self) -> bool {
        self.bytes == 2
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The run that begins at `at` with register `first`; `None` behind the last one.
    fn read(bytes: &[u8], at: usize, first: usize) -> Result<Option<Self>, Refused> {
        let Some(&opcode) = bytes.get(at) else { return Ok(None) };
        let low = usize::from(opcode & 0x3f);
        let (bytes, len, value) = match opcode >> 6 {
            0 => (1, low + 1, 0),
            1 => (2, (low << 8 | usize::from(*bytes.get(at + 1).ok_or(Refused::Corrupt)?)) + 1, 0),
            _ => (1, usize::from(opcode & 3) + 1, (opcode >> 2 & 0x1f) + 1),
        };
        Ok(Some(Self { at, bytes, first, len, value }))
    }
}

/// All runs; `Corrupt` where they do not cover the registers exactly.
pub(crate) fn runs(bytes: &[u8]) -> impl Iterator<Item = Result<Run, Refused>> + '_ {
    let (mut at, mut first, mut failed) = (HEADER_BYTES, 0, false);
    std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let run = match Run::read(bytes, at, first) {
            Ok(Some(run)) if run.first + run.len <= REGISTERS => run,
            Ok(None) if first == REGISTERS => return None,
            _ => {
                failed = true;
                return Some(Err(Refused::Corrupt));
            }
        };
        (at, first) = (at + run.bytes, first + run.len);
        Some(Ok(run))
    })
}

/// The runs as they are written, whether or not they cover the registers; what is cut off at the end is left out.
pub(crate) fn written_runs(bytes: &[u8]) -> impl Iterator<Item = Run> + '_ {
    let mut at = HEADER_BYTES;
    std::iter::from_fn(move || {
        let run = Run::read(bytes, at, 0).ok().flatten()?;
        at += run.bytes;
        Some(run)
    })
}

/// What an attempt to raise a register did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raised {
    Yes,
    No,
    /// The value or the length is too much for the sparse form; nothing was changed.
    NoRoom,
}

/// Raises a register, keeping the string within `bytes_max`.
pub(super) fn raise(
    bytes: &mut Vec<u8>,
    index: usize,
    rank: u8,
    bytes_max: usize,
) -> Result<Raised, Refused> {
    if rank > VALUE_MAX {
        return Ok(Raised::NoRoom);
    }
    let (mut at, mut first, mut before) = (HEADER_BYTES, 0, None);
    let run = loop {
        let run = Run::read(bytes, at, first)?.ok_or(Refused::Corrupt)?;
        if index < run.first + run.len {
            break run;
        }
        before = Some(at);
        (at, first) = (at + run.bytes, first + run.len);
    };
    if run.value >= rank {
        return Ok(Raised::No);
    }
    let mut parts = Parts::default();
    if run.len == 1 && !run.is_long() {
        parts.value(rank, 1);
    } else {
        parts.run(run.value, index - run.first);
        parts.value(rank, 1);
        parts.run(run.value, run.first + run.len - 1 - index);
        let longer = bytes.len() - run.bytes + parts.len;
        if longer > bytes.len() && longer > bytes_max {
            return Ok(Raised::NoRoom);
        }
    }
    bytes.splice(run.at..run.at + run.bytes, parts.as_slice().iter().copied());
    join_from(bytes, before.unwrap_or(HEADER_BYTES));
    mark_stale(bytes);
    Ok(Raised::Yes)
}

/// Appends a run of zeros that covers `len` registers.
pub(super) fn push_zeros(bytes: &mut Vec<u8>, len: usize) {
    let mut parts = Parts::default();
    parts.run(0, len);
    bytes.extend_from_slice(parts.as_slice());
}

/// Joins neighbouring runs of one value, as far as a run can say it.
fn join_from(bytes: &mut Vec<u8>, mut at: usize) {
    let is_value = |byte: u8| byte & 0x80 != 0;
    for _ in 0..JOIN_RUNS {
        let Some(&opcode) = bytes.get(at) else { return };
        if !is_value(opcode) {
            at += usize::from(opcode >> 6) + 1;
            continue;
        }
        match bytes.get(at + 1) {
            Some(&next) if is_value(next) && next >> 2 == opcode >> 2 => {
                let len = usize::from(opcode & 3) + usize::from(next & 3) + 2;
                if len <= VALUE_RUN_MAX {
                    bytes.remove(at);
                    bytes[at] = value_opcode((opcode >> 2 & 0x1f) + 1, len);
                    // The joined run may join with the next one.
                    continue;
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
}

fn value_opcode(value: u8, len: usize) -> u8 {
    let len = u8::try_from(len - 1).expect("I4: a run of a value covers one to four registers");
    0x80 | (value - 1) << 2 | len
}

/// The opcodes that take the place of one run: five bytes at most.
#[derive(Debug, Default)]
struct Parts {
    bytes: [u8; 5],
    len: usize,
}

impl Parts {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn value(&mut self, value: u8, len: usize) {
        self.push(value_opcode(value, len));
    }

    /// A run of this value, or of zeros; nothing if it covers nothing.
    fn run(&mut self, value: u8, len: usize) {
        if len == 0 {
        } else if value > 0 {
            self.value(value, len);
        } else {
            let [high, low] = u16::try_from(len - 1).expect("I4: at most all registers").to_be_bytes();
            if len > SHORT_ZEROS_MAX {
                self.push(0x40 | high);
            }
            self.push(low);
        }
    }
}
