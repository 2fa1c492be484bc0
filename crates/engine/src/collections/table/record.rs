//! How an entry of a table lies in its segment's arena.
//!
//! ```text
//! inline   [varint 2 * key length][key]                                                  a table of keys
//!          [varint 2 * key length][key][varint 2 * value length + timed][deadline 8]?[value]   a table of pairs
//! far      [varint 2 * index + 1]         the same bytes, but in an allocation of their own: `far[index]`
//! ```
//! Numbers are little-endian, varints have seven bits a byte, least first. Records longer than [`NEAR_BYTES_MAX`] lie far,
//! so that what a change copies stays small.

/// The longest record that lies in the arena itself.
pub(super) const NEAR_BYTES_MAX: usize = 512;
const DEADLINE_BYTES: usize = 8;

/// What a table's entries consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Keys alone: a set.
    Keys,
    /// Keys with values, some of them with a deadline: a hash.
    Pairs,
}

/// An entry, as it lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a [u8],
    /// Empty in a table of keys.
    pub(crate) value: &'a [u8],
    /// Unix milliseconds.
    pub(crate) deadline_ms: Option<u64>,
}

/// The first thing in a record.
pub(super) enum Head {
    /// The key's length, and where the key begins.
    Near { key_bytes: usize, key_at: usize },
    /// The index of the far record, and how many bytes the reference takes.
    Far { index: usize, bytes: usize },
}

#[inline]
fn varint_bytes(number: u64) -> usize {
    usize::try_from((u64::BITS - (number | 1).leading_zeros()).div_ceil(7)).expect("I1: at most ten")
}

fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).expect("I1: seven bits");
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// The number at `at`, and where it ends.
#[inline]
fn varint(bytes: &[u8], at: usize) -> (u64, usize) {
    let first = bytes[at];
    if first < 0x80 {
        return (u64::from(first), at + 1);
    }
    let (mut number, mut shift, mut next) = (u64::from(first & 0x7f), 7, at + 1);
    loop {
        let byte = bytes[next];
        next += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (number, next);
        }
        shift += 7;
    }
}

#[inline]
fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("I1: it was a usize when it was written")
}

#[inline]
pub(super) fn head(bytes: &[u8], at: usize) -> Head {
    let (number, next) = varint(bytes, at);
    if number & 1 == 0 {
        Head::Near { key_bytes: to_usize(number >> 1), key_at: next }
    } else {
        Head::Far { index: to_usize(number >> 1), bytes: next - at }
    }
}

/// How many bytes a reference to a far record takes.
pub(super) fn reference_bytes(index: usize) -> usize {
    varint_bytes(((index as u64) << 1) | 1)
}

pub(super) fn push_reference(out: &mut Vec<u8>, index: usize) {
    push_varint(out, ((index as u64) << 1) | 1);
}

impl<'a> Entry<'a> {
    /// The entry whose key lies at `key_at`, and where its record ends.
    #[inline]
    pub(super) fn read(bytes: &'a [u8], key_at: usize, key_bytes: usize, shape: Shape) -> (Self, usize) {
        let key_end = key_at + key_bytes;
        let key = &bytes[key_at..key_end];
        if shape == Shape::Keys {
            return (Self { key, value: &[], deadline_ms: None }, key_end);
        }
        let (number, mut at) = varint(bytes, key_end);
        let deadline_ms = (number & 1 == 1).then(|| {
            let raw = bytes[at..at + DEADLINE_BYTES].try_into().expect("I1: eight bytes");
            at += DEADLINE_BYTES;
            u64::from_le_bytes(raw)
        });
        let end = at + to_usize(number >> 1);
        (Self { key, value: &bytes[at..end], deadline_ms }, end)
    }

    /// How many bytes the record takes where it lies, near or far.
    #[inline]
    pub(super) fn bytes(&self, shape: Shape) -> usize {
        varint_bytes((self.key.len() as u64) << 1) + self.key.len() + self.tail_bytes(shape)
    }

    /// The bytes behind the key.
    fn tail_bytes(&self, shape: Shape) -> usize {
        if shape == Shape::Keys {
            return 0;
        }
        let deadline = if self.deadline_ms.is_some() { DEADLINE_BYTES } else { 0 };
        varint_bytes((self.value.len() as u64) << 1) + deadline + self.value.len()
    }

    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>, shape: Shape) {
        push_varint(out, (self.key.len() as u64) << 1);
        out.extend_from_slice(self.key);
        self.write_tail(out, shape);
    }

    fn write_tail(&self, out: &mut Vec<u8>, shape: Shape) {
        if shape == Shape::Keys {
            return;
        }
        push_varint(out, ((self.value.len() as u64) << 1) | u64::from(self.deadline_ms.is_some()));
        if let Some(deadline_ms) = self.deadline_ms {
            out.extend_from_slice(&deadline_ms.to_le_bytes());
        }
        out.extend_from_slice(self.value);
    }

    /// Writes what lies behind the key over the bytes from `at` on, which are enough.
    pub(super) fn overwrite_tail(&self, bytes: &mut [u8], at: usize, shape: Shape) {
        let mut tail = Vec::with_capacity(self.tail_bytes(shape));
        self.write_tail(&mut tail, shape);
        bytes[at..at + tail.len()].copy_from_slice(&tail);
    }
}
