//! HyperLogLog: how many different elements were seen, in at most 12 KiB, byte for byte as Redis keeps it in a string.
//!
//! ```text
//! "HYLL" | encoding 1 | 0 0 0 | cached count, 8 bytes LE; highest bit set: stale | registers
//! dense (0):   16,384 registers of 6 bits, lowest bits first                     12,304 bytes in all
//! sparse (1):  00nnnnnn            n + 1 registers are zero          (1..64)
//!              01nnnnnn nnnnnnnn   n + 1 registers are zero          (1..16,384)
//!              1vvvvvnn            n + 1 registers hold v + 1        (1..4 of 1..32)
//! ```
//! An element's hash gives a register (14 bits) and a rank (zeros below the lowest bit set, plus one); a register keeps the highest
//! rank. Invariants: I1: `check` has passed before anything else looks at the bytes. I2: no loop trusts the bytes: runs that lead
//! past the registers or past the end are `Corrupt`. I3: additions split and join runs in the order in which Redis does, so that
//! the bytes are equal.
//!
//! Costs: add O(1) dense, O(bytes) sparse; count O(registers), O(1) while the cached count is good; merge O(registers).
//! Error: 1.04 / sqrt(16,384) = 0.81 %. It deliberately does not know where the bytes are kept.

pub(crate) mod estimate;
mod sparse;

#[cfg(test)]
mod tests;

use std::ops::Range;

pub(crate) use sparse::{Run, runs, written_runs};

/// Registers of every HyperLogLog.
pub(crate) const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 14;
/// The highest rank: all hash bits that do not name the register are zero.
const RANK_MAX: u8 = 51;
const REGISTER_BITS: usize = 6;
const REGISTER_MAX: u8 = (1 << REGISTER_BITS) - 1;
pub(crate) const HEADER_BYTES: usize = 16;
pub(crate) const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * REGISTER_BITS / 8;

const MAGIC: &[u8] = b"HYLL";
const ENCODING_AT: usize = 4;
const COUNT_AT: usize = 8;
/// The byte and bit that say that the cached count is stale.
const STALE_AT: usize = 15;
const STALE: u8 = 0x80;
const HASH_SEED: u64 = 0xadc8_3b19;

/// How the registers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Dense,
    Sparse,
}

/// Why bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// They are no HyperLogLog at all.
    Foreign,
    /// They begin like one, and their registers make no sense.
    Corrupt,
}

/// An empty one, sparse.
pub(crate) fn empty() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + 2);
    bytes.extend_from_slice(MAGIC);
    bytes.resize(HEADER_BYTES, 0);
    bytes[ENCODING_AT] = 1;
    sparse::push_zeros(&mut bytes, REGISTERS);
    bytes
}

/// Looks at the header, and at the length of a dense one (I1).
pub(crate) fn check(bytes: &[u8]) -> Result<Form, Refused> {
    check_header(bytes, bytes.len())
}

/// The same, of a string of `len` bytes of which the first ones are at hand.
pub(crate) fn check_header(header: &[u8], len: usize) -> Result<Form, Refused> {
    if len < HEADER_BYTES || header.len() < HEADER_BYTES || !header.starts_with(MAGIC) {
        return Err(Refused::Foreign);
    }
    match header[ENCODING_AT] {
        0 if len == DENSE_BYTES => Ok(Form::Dense),
        1 => Ok(Form::Sparse),
        _ => Err(Refused::Foreign),
    }
}

/// The register and the rank of an element.
pub(crate) fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur64(element, HASH_SEED);
    let index = usize::try_from(hash % REGISTERS as u64).expect("I4: below the number of registers");
    let rest = (hash >> INDEX_BITS) | 1 << (RANK_MAX - 1);
    let rank = u8::try_from(rest.trailing_zeros() + 1).expect("I4: at most 51, by the bit that was set");
    (index, rank)
}

/// Raises a register to `rank`; tells whether it was lower. The bytes may become dense.
pub(crate) fn raise(bytes: &mut Vec<u8>, index: usize, rank: u8, sparse_max: usize) -> Result<bool, Refused> {
    if check(bytes)? == Form::Dense {
        return Ok(raise_dense(bytes, index, rank));
    }
    match sparse::raise(bytes, index, rank, sparse_max)? {
        sparse::Raised::Yes => Ok(true),
        sparse::Raised::No => Ok(false),
        sparse::Raised::NoRoom => {
            promote(bytes)?;
            Ok(raise_dense(bytes, index, rank))
        }
    }
}

/// The same for a dense one, in place.
pub(crate) fn raise_dense(bytes: &mut [u8], index: usize, rank: u8) -> bool {
    let registers = &mut bytes[HEADER_BYTES..];
    if dense_get(registers, index) >= rank {
        return false;
    }
    dense_set(registers, index, rank);
    true
}

/// Whether any of these registers of a dense one is lower than the rank beside it.
pub(crate) fn dense_would_rise(bytes: &[u8], places: &[(usize, u8)]) -> bool {
    places.iter().any(|&(index, rank)| dense_get(&bytes[HEADER_BYTES..], index) < rank)
}

/// The bytes of a dense one in which a register lies.
pub(crate) fn dense_window(index: usize) -> Range<usize> {
    let at = HEADER_BYTES + index * REGISTER_BITS / 8;
    at..(at + 2).min(DENSE_BYTES)
}

/// Raises a register of which only the window is at hand.
pub(crate) fn raise_in_window(window: &mut [u8], index: usize, rank: u8) -> bool {
    // Four registers lie in three bytes, so a register's place in its first byte depends on its place among the four.
    let shift = index * REGISTER_BITS % 8;
    if get_at(window, 0, shift) >= rank {
        return false;
    }
    set_at(window, 0, shift, rank);
    true
}

/// The byte that says whether the cached count is good, and what it says when it is not.
pub(crate) const STALE_MARK: (usize, u8) = (STALE_AT, STALE);

/// Marks the cached count as stale.
pub(crate) fn mark_stale(bytes: &mut [u8]) {
    bytes[STALE_AT] |= STALE;
}

/// The cached count, if it is good.
pub(crate) fn cached(bytes: &[u8]) -> Option<u64> {
    let field = bytes[COUNT_AT..HEADER_BYTES].try_into().expect("I4: eight bytes of the header");
    (bytes[STALE_AT] & STALE == 0).then(|| u64::from_le_bytes(field))
}

/// The field of the cached count that says `count`, and where it lies.
pub(crate) fn cache_field(count: u64) -> (usize, [u8; 8]) {
    (COUNT_AT, count.to_le_bytes())
}

/// Makes a sparse one dense; a dense one stays.
pub(crate) fn promote(bytes: &mut Vec<u8>) -> Result<bool, Refused> {
    if check(bytes)? == Form::Dense {
        return Ok(false);
    }
    let mut dense = vec![0; DENSE_BYTES];
    dense[..HEADER_BYTES].copy_from_slice(&bytes[..HEADER_BYTES]);
    dense[ENCODING_AT] = 0;
    for run in runs(bytes) {
        let run = run?;
        if run.value > 0 {
            for index in run.registers() {
                dense_set(&mut dense[HEADER_BYTES..], index, run.value);
            }
        }
    }
    *bytes = dense;
    Ok(true)
}

/// Counts the elements of one.
pub(crate) fn count(bytes: &[u8]) -> Result<u64, Refused> {
    let mut histogram = estimate::Histogram::default();
    match check(bytes)? {
        Form::Dense => dense_each(&bytes[HEADER_BYTES..], |_, value| histogram.add(value, 1)),
        Form::Sparse => {
            for run in runs(bytes) {
                let run = run?;
                histogram.add(run.value, run.registers().len());
            }
        }
    }
    Ok(histogram.estimate())
}

/// Registers of a union, one byte each.
#[derive(Debug, Clone)]
pub(crate) struct Registers {
    values: Box<[u8; REGISTERS]>,
    any_dense: bool,
}

impl Registers {
    pub(crate) fn new() -> Self {
        Self { values: Box::new([0; REGISTERS]), any_dense: false }
    }

    /// Takes what another one has seen. After an error the registers are of no use.
    pub(crate) fn merge(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        match check(bytes)? {
            Form::Dense => {
                self.any_dense = true;
                let values = &mut self.values;
                dense_each(&bytes[HEADER_BYTES..], |index, value| values[index] = values[index].max(value));
            }
            Form::Sparse => {
                for run in runs(bytes) {
                    let run = run?;
                    for value in &mut self.values[run.registers()] {
                        *value = (*value).max(run.value);
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) fn values(&self) -> &[u8; REGISTERS] {
        &self.values
    }

    pub(crate) fn count(&self) -> u64 {
        let mut histogram = estimate::Histogram::default();
        self.values.iter().for_each(|&value| histogram.add(value, 1));
        histogram.estimate()
    }

    /// Raises the registers of `bytes` to these, as PFMERGE does to its destination: one after the other.
    pub(crate) fn write_to(&self, bytes: &mut Vec<u8>, sparse_max: usize) -> Result<(), Refused> {
        if self.any_dense {
            promote(bytes)?;
        }
        for (index, &value) in self.values.iter().enumerate() {
            if value > 0 {
                raise(bytes, index, value, sparse_max)?;
            }
        }
        mark_stale(bytes);
        Ok(())
    }
}

fn dense_get(registers: &[u8], index: usize) -> u8 {
    get_at(registers, index * REGISTER_BITS / 8, index * REGISTER_BITS % 8)
}

fn dense_set(registers: &mut [u8], index: usize, value: u8) {
    set_at(registers, index * REGISTER_BITS / 8, index * REGISTER_BITS % 8, value);
}

fn get_at(registers: &[u8], byte: usize, shift: usize) -> u8 {
    let pair = u16::from(registers[byte]) | u16::from(registers.get(byte + 1).copied().unwrap_or(0)) << 8;
    u8::try_from((pair >> shift) & u16::from(REGISTER_MAX)).expect("I4: six bits")
}

fn set_at(registers: &mut [u8], byte: usize, shift: usize, value: u8) {
    let keep = (!(u16::from(REGISTER_MAX) << shift)).to_le_bytes();
    let bits = (u16::from(value) << shift).to_le_bytes();
    registers[byte] = registers[byte] & keep[0] | bits[0];
    if let Some(next) = registers.get_mut(byte + 1) {
        *next = *next & keep[1] | bits[1];
    }
}

/// Visits all registers: four of them lie in three bytes.
fn dense_each(registers: &[u8], mut visit: impl FnMut(usize, u8)) {
    for (group, bytes) in registers.chunks_exact(3).enumerate() {
        let [a, b, c] = [bytes[0], bytes[1], bytes[2]];
        let at = group * 4;
        visit(at, a & REGISTER_MAX);
        visit(at + 1, a >> 6 | (b & 15) << 2);
        visit(at + 2, b >> 4 | (c & 3) << 4);
        visit(at + 3, c >> 2);
    }
}

/// MurmurHash64A over little-endian words, the same on every machine.
fn murmur64(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let words = bytes.chunks_exact(8);
    let tail = words.remainder();
    for word in words {
        let word =
            u64::from_le_bytes(word.try_into().expect("I4: chunks of eight bytes")).wrapping_mul(FACTOR);
        hash = (hash ^ (word ^ word >> SHIFT).wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    }
    if !tail.is_empty() {
        let mut word = [0; 8];
        word[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(FACTOR);
    hash ^ hash >> SHIFT
}
