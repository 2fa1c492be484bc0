//! Integers of any width inside a string: what BITFIELD reads, writes and adds to.
//!
//! ```text
//! u5 at bit 13:   byte 1 |.....xxx|  byte 2 |xx......|      the window of a field: at most nine bytes
//! ```
//! Invariants: I1: a field's window holds all of its bits. I2: what is stored is the low `bits` bits of a two's complement
//! number, highest bit first.
//!
//! Costs: O(1). It deliberately does not know where the window comes from, so flat and sparse strings are served alike.

use std::ops::Range;

/// The most bytes in which the bits of one field lie.
pub(crate) const WINDOW_BYTES: usize = 9;

/// The type of an integer in a bitmap: 1 to 64 bits signed, 1 to 63 unsigned.
///
/// # Examples
/// ```
/// use larder::BitInteger;
/// assert_eq!(BitInteger::unsigned(4), BitInteger::parse(b"u4"));
/// assert_eq!(BitInteger::unsigned(64), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BitInteger {
    signed: bool,
    bits: u8,
}

impl BitInteger {
    /// An unsigned byte.
    pub const U8: Self = Self { signed: false, bits: 8 };
    /// An unsigned integer of 16 bits.
    pub const U16: Self = Self { signed: false, bits: 16 };
    /// An unsigned integer of 32 bits.
    pub const U32: Self = Self { signed: false, bits: 32 };
    /// A signed byte.
    pub const I8: Self = Self { signed: true, bits: 8 };
    /// A signed integer of 16 bits.
    pub const I16: Self = Self { signed: true, bits: 16 };
    /// A signed integer of 32 bits.
    pub const I32: Self = Self { signed: true, bits: 32 };
    /// A signed integer of 64 bits.
    pub const I64: Self = Self { signed: true, bits: 64 };

    /// Returns the unsigned type of 1 to 63 bits.
    #[must_use]
    pub const fn unsigned(bits: u8) -> Option<Self> {
        if bits >= 1 && bits <= 63 { Some(Self { signed: false, bits }) } else { None }
    }

    /// Returns the signed type of 1 to 64 bits.
    #[must_use]
    pub const fn signed(bits: u8) -> Option<Self> {
        if bits >= 1 && bits <= 64 { Some(Self { signed: true, bits }) } else { None }
    }

    /// Returns the type that Redis writes like this: `u` or `i`, and the bits.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let (&sign, digits) = name.split_first()?;
        let bits = crate::collections::string::number::parse_i64(digits)?;
        let bits = u8::try_from(bits).ok()?;
        match sign {
            b'i' => Self::signed(bits),
            b'u' => Self::unsigned(bits),
            _ => None,
        }
    }

    /// Returns how many bits it has.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// The bytes in which a field of this type at a bit offset lies (I1).
    pub(crate) fn window(self, offset: u64) -> Range<usize> {
        let byte = |bit: u64| usize::try_from(bit).unwrap_or(usize::MAX);
        byte(offset / 8)..byte(offset.saturating_add(u64::from(self.bits)).div_ceil(8))
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - u32::from(self.bits))
    }

    fn shift(self, offset: u64) -> u64 {
        128 - offset % 8 - u64::from(self.bits)
    }

    /// The number at `offset`, of which `window` holds the bytes.
    pub(crate) fn load(self, window: [u8; WINDOW_BYTES], offset: u64) -> i64 {
        let raw = wide(window) >> self.shift(offset);
        #[expect(clippy::cast_possible_truncation, reason = "the mask keeps what belongs to the field")]
        let raw = raw as u64 & self.mask();
        self.number(raw)
    }

    /// Puts a number's low bits (I2) at `offset` into the window.
    pub(crate) fn store(self, window: &mut [u8; WINDOW_BYTES], offset: u64, number: i64) {
        let shift = self.shift(offset);
        let keep = !(u128::from(self.mask()) << shift);
        let bits = u128::from(bits_of(number) & self.mask()) << shift;
        let bytes = (wide(*window) & keep | bits).to_be_bytes();
        window.copy_from_slice(&bytes[..WINDOW_BYTES]);
    }

    /// What `raw` means: its sign is extended.
    fn number(self, raw: u64) -> i64 {
        let free = 64 - u32::from(self.bits);
        if self.signed { meaning_of(raw << free) >> free } else { meaning_of(raw) }
    }

    fn bounds(self) -> (i128, i128) {
        if self.signed {
            let half = 1_i128 << (self.bits - 1);
            (-half, half - 1)
        } else {
            (0, i128::from(self.mask()))
        }
    }

    /// What a field holds after `value` was set or reached; `None` if that is refused.
    fn fit(self, value: i128, overflow: BitOverflow) -> Option<i64> {
        let (least, most) = self.bounds();
        if let Some(value) = i64::try_from(value).ok().filter(|_| (least..=most).contains(&value)) {
            return Some(value);
        }
        match overflow {
            BitOverflow::Fail => None,
            BitOverflow::Saturate => i64::try_from(value.clamp(least, most)).ok(),
            BitOverflow::Wrap => {
                let low = u64::try_from(value & i128::from(self.mask())).unwrap_or(0);
                Some(self.number(low))
            }
        }
    }
}

/// The 64 bits of a signed number.
fn bits_of(number: i64) -> u64 {
    u64::from_le_bytes(number.to_le_bytes())
}

/// The signed number of 64 bits.
fn meaning_of(bits: u64) -> i64 {
    i64::from_le_bytes(bits.to_le_bytes())
}

/// The window as the upper bytes of a wide integer.
fn wide(window: [u8; WINDOW_BYTES]) -> u128 {
    let mut bytes = [0; 16];
    bytes[..WINDOW_BYTES].copy_from_slice(&window);
    u128::from_be_bytes(bytes)
}

/// What becomes of a number that does not fit its field (Redis: `OVERFLOW`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BitOverflow {
    /// Its low bits are kept.
    #[default]
    Wrap,
    /// It becomes the nearest number that fits.
    Saturate,
    /// The field stays as it is, and the reply is `None`.
    Fail,
}

/// One step of BITFIELD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FieldStep {
    pub(crate) kind: BitInteger,
    /// In bits.
    pub(crate) offset: u64,
    pub(crate) action: FieldAction,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldAction {
    Get,
    Set(i64, BitOverflow),
    Increment(i64, BitOverflow),
}

impl FieldStep {
    /// The length in bytes that the string must have for this step to write.
    pub(crate) fn needs_bytes(&self) -> Option<usize> {
        (self.action != FieldAction::Get).then(|| self.kind.window(self.offset).end)
    }

    /// What the step answers, and what it stores, if the field holds `old`.
    pub(crate) fn run(&self, old: i64) -> (Option<i64>, Option<i64>) {
        match self.action {
            FieldAction::Get => (Some(old), None),
            FieldAction::Set(value, overflow) => {
                // An unsigned field takes the number as 64 bits without a sign, as Redis does: -1 is too large, not too small.
                let value = if self.kind.signed { i128::from(value) } else { i128::from(bits_of(value)) };
                let most = self.kind.bounds().1;
                // Redis takes the distance to the greatest number in 64 bits: what lies that far below saturates upwards.
                let far_below =
                    self.kind.signed && self.kind.bits < 64 && most - value > i128::from(i64::MAX);
                let value = if far_below && overflow == BitOverflow::Saturate { most } else { value };
                match self.kind.fit(value, overflow) {
                    Some(new) => (Some(old), Some(new)),
                    None => (None, None),
                }
            }
            FieldAction::Increment(by, overflow) => {
                let new = self.kind.fit(i128::from(old) + i128::from(by), overflow);
                (new, new)
            }
        }
    }
}
