//! Where Redis would cut its nodes: how large a node's listpack would be, and how many nodes its radix tree would have.
//!
//! Blocks follow Redis's boundaries, because they show: `XTRIM ~` drops whole nodes only and tells how many entries went,
//! and `XINFO STREAM` counts the nodes. Nothing else is taken from that format.

use super::id::StreamId;
use crate::collections::string::number::parse_i64;

/// A listpack's header and its end mark.
pub(super) const FRAME_BYTES: u64 = 7;
/// What Redis allows in one node where no limit is set.
pub(super) const NODE_BYTES_MAX: u64 = 1 << 30;

/// Bytes of an integer's element, by its size class, with the length behind it.
pub(super) fn int_bytes(number: i64) -> u64 {
    match number {
        0..=127 => 2,
        -4_096..=4_095 => 3,
        -32_768..=32_767 => 4,
        -8_388_608..=8_388_607 => 5,
        -2_147_483_648..=2_147_483_647 => 6,
        _ => 10,
    }
}

/// Bytes of a text's element; a text that is an integer is kept as one.
pub(super) fn text_bytes(text: &[u8]) -> u64 {
    if text.len() <= 20 {
        if let Some(number) = parse_i64(text) {
            return int_bytes(number);
        }
    }
    let len = text.len() as u64;
    let body = match len {
        0..=63 => 1 + len,
        64..=4_095 => 2 + len,
        _ => 5 + len,
    };
    let behind = match body {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    };
    body + behind
}

/// How a signed difference of two unsigned numbers is written: it wraps around.
pub(super) fn delta(of: u64, to: u64) -> i64 {
    i64::from_le_bytes(of.wrapping_sub(to).to_le_bytes())
}

/// The nodes of a radix tree whose keys are these ids, sixteen bytes each, in ascending order.
pub(super) fn radix_nodes(keys: impl Iterator<Item = StreamId>) -> u64 {
    let keys: Vec<[u8; 16]> =
        keys.map(|id| ((u128::from(id.ms) << 64) | u128::from(id.seq)).to_be_bytes()).collect();
    if keys.is_empty() { 1 } else { below(&keys, 0) }
}

/// The nodes from byte `depth` of these keys on: a run of bytes without a branch, a branch, and a key's end are one each.
fn below(keys: &[[u8; 16]], depth: usize) -> u64 {
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return 0 };
    // The keys ascend, so what the outermost two share, all share; a single key shares all of itself.
    let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let children = if keys.len() == 1 {
        0
    } else {
        keys.chunk_by(|a, b| a[shared] == b[shared]).map(|under| below(under, shared + 1)).sum()
    };
    u64::from(shared > depth) + 1 + children
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_listpack_classes() {
        let cases: [(&str, u64); 10] = [
            ("0", 2),
            ("127", 2),
            ("128", 3),
            ("-1", 3),
            ("4096", 4),
            ("40000", 5),
            ("8388608", 6),
            ("2147483648", 10),
            ("007", 5),
            ("", 2),
        ];
        for (text, bytes) in cases {
            assert_eq!(text_bytes(text.as_bytes()), bytes, "{text}");
        }
        assert_eq!([63, 64, 126, 5_000].map(|len| text_bytes(&vec![b'x'; len])), [65, 67, 130, 5_007]);
        assert_eq!((delta(3, 5), delta(u64::MAX, 0)), (-2, -1));
    }

    /// The figures are those of a real server after `XADD` with one entry a node.
    #[test]
    fn radix_trees_are_counted() {
        let nodes = |ids: &[(u64, u64)]| radix_nodes(ids.iter().map(|&(ms, seq)| StreamId::new(ms, seq)));
        assert_eq!(nodes(&[]), 1);
        assert_eq!(nodes(&[(1, 1)]), 2);
        assert_eq!(nodes(&[(1, 1), (1, 2)]), 4);
        assert_eq!(nodes(&[(1, 1), (2, 1)]), 6);
        assert_eq!(nodes(&[(1, 1), (72_057_594_037_927_937, 1)]), 5);
        let many =
            [(1, 1), (1, 2), (2, 1), (3, 1), (300, 1), (300, 2), (70_000, 1), (70_000, 300), (70_000, 555)];
        assert_eq!(nodes(&many), 24);
    }
}
