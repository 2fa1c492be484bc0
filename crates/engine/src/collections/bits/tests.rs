use proptest::prelude::*;

use super::combine::BitOperation;
use super::field::{BitInteger, BitOverflow, FieldAction, FieldStep, WINDOW_BYTES};
use super::{BitRange, Piece, count, position};

fn bit(bytes: &[u8], at: u64) -> bool {
    let at = usize::try_from(at).expect("small");
    bytes.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
}

/// The bytes cut at `cuts` into pieces; pieces of zeros are left out when `sparse`.
fn pieces<'a>(bytes: &'a [u8], cuts: &[usize], sparse: bool) -> Vec<Piece<'a>> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut from = 0;
    let mut pieces = Vec::new();
    for end in ends {
        let piece = &bytes[from..end];
        let is_gap = sparse && piece.iter().all(|&byte| byte == 0);
        if !piece.is_empty() && !is_gap {
            pieces.push((from, piece));
        }
        from = end;
    }
    pieces
}

/// Bytes with long runs of zeros and ones.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let run = (prop_oneof![Just(0_u8), Just(0xff), any::<u8>()], 1..100_usize);
    prop::collection::vec(run, 0..6)
        .prop_map(|runs| runs.into_iter().flat_map(|(byte, times)| vec![byte; times]).collect())
}

fn range() -> impl Strategy<Value = BitRange> {
    let near = prop_oneof![-700..700_i64, -90..90_i64, any::<i64>(), Just(i64::MIN), Just(i64::MAX)];
    prop_oneof![
        Just(BitRange::ALL),
        (near.clone(), near.clone()).prop_map(|(start, end)| BitRange::bytes(start, end)),
        (near.clone(), near.clone()).prop_map(|(start, end)| BitRange::bits(start, end)),
        near.prop_map(BitRange::bytes_from),
    ]
}

/// The bits that a range means, one by one.
fn meant(len: usize, range: BitRange) -> Vec<u64> {
    let unit = if range.in_bits { 1 } else { 8 };
    let total = i128::try_from(len).expect("small") * 8 / unit;
    let place = |index: i64| {
        let index = i128::from(index);
        if index < 0 { (total + index).max(0) } else { index }
    };
    let end = range.end.map_or(total - 1, place).min(total - 1);
    let (from, to) = (place(range.start) * unit, (end + 1) * unit);
    (0..u64::try_from(len).expect("small") * 8).filter(|&at| (from..to).contains(&i128::from(at))).collect()
}

proptest! {
    #[test]
    fn counting_and_searching_agree_with_single_bits(
        bytes in text(), cuts in prop::collection::vec(any::<usize>(), 0..6), sparse: bool, range in range(),
    ) {
        let bits = meant(bytes.len(), range);
        let parts = || pieces(&bytes, &cuts, sparse).into_iter();
        let backwards = range.end.is_some_and(|end| range.start < 0 && end < 0 && range.start > end);
        let expected = bits.iter().filter(|&&at| bit(&bytes, at)).count();
        let counted = range.resolve_to_count(bytes.len()).map_or(0, |bits| count(parts(), bits));
        prop_assert_eq!(counted, if backwards { 0 } else { expected as u64 });
        for wanted in [false, true] {
            let mut expected = bits.iter().copied().find(|&at| bit(&bytes, at) == wanted);
            if expected.is_none() && !wanted && range.end.is_none() && !bits.is_empty() {
                expected = Some(bytes.len() as u64 * 8);
            }
            let seen = position(bytes.len(), wanted, range, |_| parts());
            prop_assert_eq!(seen, expected, "bit {}", wanted);
        }
    }

    #[test]
    fn fields_are_read_and_written_bit_by_bit(
        bytes in any::<[u8; WINDOW_BYTES]>(), offset in 0..8_u64, signed: bool, width in 1..=64_u8, value: i64,
    ) {
        let Some(kind) = (if signed { BitInteger::signed(width) } else { BitInteger::unsigned(width) }) else {
            return Ok(());
        };
        prop_assert_eq!(kind.window(offset).len(), usize::try_from((offset + u64::from(width)).div_ceil(8)).expect("small"));
        let mut written = bytes;
        kind.store(&mut written, offset, value);
        for at in 0..72 {
            let from_end = offset + u64::from(width) - 1;
            let inside = (offset..=from_end).contains(&at);
            let expected = if inside { value >> (from_end - at) & 1 == 1 } else { bit(&bytes, at) };
            prop_assert_eq!(bit(&written, at), expected, "bit {}", at);
        }
        let back = kind.load(written, offset);
        let free = 64 - u32::from(width);
        prop_assert_eq!(back, if signed { value << free >> free } else { i64::from_le_bytes((u64::from_le_bytes((value << free).to_le_bytes()) >> free).to_le_bytes()) });
    }

    #[test]
    fn combinations_agree_with_single_bits(
        sources in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 1..5),
    ) {
        let present: Vec<Option<&[u8]>> = sources.iter().map(Option::as_deref).collect();
        for operation in [
            BitOperation::And, BitOperation::Or, BitOperation::Xor, BitOperation::Not, BitOperation::Diff,
            BitOperation::Diff1, BitOperation::AndOr, BitOperation::One,
        ] {
            if !operation.takes(sources.len()) {
                continue;
            }
            let (mut out, mut spare) = ([0xaa; 40], [0x55; 40]);
            let written = operation.combine(&present, &mut out, &mut spare);
            if !written {
                out = [0; 40];
            }
            for at in 0..320 {
                let set: Vec<bool> = present.iter().map(|source| bit(source.unwrap_or_default(), at)).collect();
                let others = set[1..].contains(&true);
                let expected = match operation {
                    BitOperation::And => !set.contains(&false),
                    BitOperation::Or => set.contains(&true),
                    BitOperation::Xor => set.iter().filter(|&&set| set).count() % 2 == 1,
                    BitOperation::Not => !set[0],
                    BitOperation::Diff => set[0] && !others,
                    BitOperation::Diff1 => !set[0] && others,
                    BitOperation::AndOr => set[0] && others,
                    BitOperation::One => set.iter().filter(|&&set| set).count() == 1,
                };
                prop_assert_eq!(bit(&out, at), expected, "{:?} bit {}", operation, at);
            }
        }
    }
}

#[test]
fn a_long_string_is_counted_in_words() {
    for len in [0, 1, 7, 8, 63, 64, 65, 127, 128, 1_000] {
        let bytes: Vec<u8> = (0..len).map(|i| u8::try_from(i * 37 % 251).expect("below 256")).collect();
        let expected: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        assert_eq!(super::count_bytes(&bytes), u64::from(expected), "{len} bytes");
    }
}

#[test]
fn what_does_not_fit_wraps_saturates_or_fails() {
    let run = |kind, old, action| FieldStep { kind, offset: 0, action }.run(old);
    let (u8, i8, i64) = (BitInteger::U8, BitInteger::I8, BitInteger::I64);
    use BitOverflow::{Fail, Saturate, Wrap};
    use FieldAction::{Increment, Set};
    assert_eq!(run(u8, 250, Increment(10, Wrap)), (Some(4), Some(4)));
    assert_eq!(run(u8, 250, Increment(10, Saturate)), (Some(255), Some(255)));
    assert_eq!(run(u8, 250, Increment(10, Fail)), (None, None));
    assert_eq!(run(u8, 5, Increment(-10, Wrap)), (Some(251), Some(251)));
    assert_eq!(run(u8, 5, Increment(-10, Saturate)), (Some(0), Some(0)));
    assert_eq!(run(i8, 127, Increment(1, Wrap)), (Some(-128), Some(-128)));
    assert_eq!(run(i8, -128, Increment(-1, Saturate)), (Some(-128), Some(-128)));
    assert_eq!(run(i64, i64::MAX, Increment(1, Wrap)), (Some(i64::MIN), Some(i64::MIN)));
    assert_eq!(run(i64, i64::MIN, Increment(i64::MIN, Saturate)), (Some(i64::MIN), Some(i64::MIN)));
    assert_eq!(run(u8, 7, Set(-1, Wrap)), (Some(7), Some(255)));
    assert_eq!(
        run(u8, 7, Set(-1, Saturate)),
        (Some(7), Some(255)),
        "minus one is too large for an unsigned field"
    );
    assert_eq!(run(u8, 7, Set(256, Fail)), (None, None));
    assert_eq!(run(i8, 7, Set(200, Wrap)), (Some(7), Some(-56)));
    assert_eq!(run(i8, 7, Set(-200, Saturate)), (Some(7), Some(-128)));
    let limit = i64::MIN + 128;
    assert_eq!(run(i8, 7, Set(limit, Saturate)), (Some(7), Some(-128)));
    assert_eq!(run(i8, 7, Set(limit - 1, Saturate)), (Some(7), Some(127)), "as Redis: so far below is above");
    assert_eq!(run(i64, 7, Set(i64::MIN, Saturate)), (Some(7), Some(i64::MIN)));
}

#[test]
fn names_of_integer_types_are_those_of_redis() {
    let bad: [&[u8]; 9] = [b"", b"u", b"i", b"u64", b"i65", b"u0", b"U8", b"u08", b"x8"];
    assert!(bad.iter().all(|name| BitInteger::parse(name).is_none()));
    assert_eq!(BitInteger::parse(b"i64"), Some(BitInteger::I64));
    assert_eq!(BitInteger::parse(b"u63").map(BitInteger::bits), Some(63));
}
