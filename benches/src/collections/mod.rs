//! Contestants of the `collections` benchmark: one collection of `n` elements of 16 bytes, filled, weighed, then asked.
//!
//! ```text
//! larder.rs   the typed handles            maps.rs  what a user would pick from std and hashbrown, and the skip list
//! servers.rs  redis-server and valkey-server over a socket, in pipelines
//! ```

pub mod larder;
pub mod maps;
pub mod servers;

use std::time::Instant;

/// Bytes of an element, a member, a field or a value.
pub const ELEMENT_BYTES: usize = 16;

/// A type of collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ordered by position.
    List,
    /// Members.
    Set,
    /// Fields with values.
    Hash,
    /// Members by score.
    SortedSet,
    /// Entries by time.
    Stream,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::List, Self::Set, Self::Hash, Self::SortedSet, Self::Stream];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Set => "set",
            Self::Hash => "hash",
            Self::SortedSet => "sorted set",
            Self::Stream => "stream",
        }
    }

    /// Payload bytes of one element.
    pub fn payload_bytes(self) -> usize {
        match self {
            // Field and value; of a stream the one field's name, one byte, is shared.
            Self::Hash => 2 * ELEMENT_BYTES,
            _ => ELEMENT_BYTES,
        }
    }
}

/// One operation: runs `count` of them, numbered from `first`.
pub type Operation = Box<dyn FnMut(u64, u32)>;

/// A filled collection.
pub struct Contestant {
    /// Who it is.
    pub name: String,
    /// Nanoseconds an element while it was filled.
    pub fill_ns: f64,
    /// Bytes an element, payload included.
    pub bytes: f64,
    /// What can be asked of it, by name.
    pub operations: Vec<(&'static str, Operation)>,
    /// How many operations a turn takes: fewer of a server, whose turns are long.
    pub share: u32,
}

/// Mixes the bits of a number (splitmix64's finaliser), so that neighbours are strangers.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The element with this number: 16 hexadecimal digits in no order.
pub fn element(number: u64) -> [u8; ELEMENT_BYTES] {
    let mut digits = [0; ELEMENT_BYTES];
    let bits = mix(number);
    for (place, digit) in digits.iter_mut().enumerate() {
        let nibble = (bits >> (4 * place)) & 15;
        *digit = b"0123456789abcdef"[usize::try_from(nibble).expect("below 16")];
    }
    digits
}

/// The score of the element with this number: an integer below two million.
#[expect(clippy::cast_precision_loss, reason = "scores are below two million")]
pub fn score(number: u64) -> f64 {
    (mix(number ^ 0x5c0e) % 2_000_000) as f64
}

/// A number of an element that is there, chosen by the number of the operation.
pub fn chosen(operation: u64, len: u64) -> u64 {
    mix(operation ^ 0xc0de) % len
}

/// Fills something and tells the nanoseconds an element.
#[expect(clippy::cast_precision_loss, reason = "a number of nanoseconds")]
pub fn timed_fill(len: u64, mut fill: impl FnMut(u64)) -> f64 {
    let start = Instant::now();
    (0..len).for_each(&mut fill);
    start.elapsed().as_nanos() as f64 / len as f64
}
