//! Numbers and byte strings as blocks keep them: seven bits a byte, lowest first, the top bit says that more follow.
//!
//! Only the engine's own blocks are read here, so a cut-off number is a broken invariant and not an error.

/// Appends a number.
pub(super) fn put(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push(low7(number) | 0x80);
        number >>= 7;
    }
    bytes.push(low7(number));
}

fn low7(number: u128) -> u8 {
    (number & 0x7f) as u8
}

/// How many bytes [`put`] appends.
pub(super) fn size(number: u64) -> usize {
    let bits = (u64::BITS - number.leading_zeros()).max(1);
    usize::try_from(bits.div_ceil(7)).expect("I1: ten bytes at most")
}

/// Reads a number at `at`, which moves behind it.
#[inline]
pub(super) fn take(bytes: &[u8], at: &mut usize) -> u128 {
    let first = bytes[*at];
    *at += 1;
    if first < 0x80 {
        return u128::from(first);
    }
    let mut number = u128::from(first & 0x7f);
    let mut shift = 7;
    loop {
        let byte = bytes[*at];
        *at += 1;
        number |= u128::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

/// Reads a number that was a `u64`.
#[inline]
pub(super) fn take_u64(bytes: &[u8], at: &mut usize) -> u64 {
    u64::try_from(take(bytes, at)).expect("I1: it was written from a u64")
}

/// Appends a byte string with its length before it.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    put(bytes, text.len() as u128);
    bytes.extend_from_slice(text);
}

/// Reads a byte string at `at`, which moves behind it.
#[inline]
pub(super) fn take_text<'a>(bytes: &'a [u8], at: &mut usize) -> &'a [u8] {
    let len = usize::try_from(take(bytes, at)).expect("I1: a length that was in memory");
    let start = *at;
    *at += len;
    &bytes[start..*at]
}

/// How many bytes [`put_text`] appends.
pub(super) fn text_size(text: &[u8]) -> usize {
    size(text.len() as u64) + text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_read_back() {
        let numbers = [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        let mut bytes = Vec::new();
        for number in numbers {
            let before = bytes.len();
            put(&mut bytes, u128::from(number));
            assert_eq!(bytes.len() - before, size(number), "{number}");
            put_text(&mut bytes, number.to_string().as_bytes());
        }
        put(&mut bytes, u128::from(u64::MAX) << 2);
        let mut at = 0;
        for number in numbers {
            assert_eq!(take_u64(&bytes, &mut at), number);
            assert_eq!(take_text(&bytes, &mut at), number.to_string().as_bytes());
        }
        assert_eq!(take(&bytes, &mut at), u128::from(u64::MAX) << 2);
        assert_eq!(at, bytes.len());
    }
}
