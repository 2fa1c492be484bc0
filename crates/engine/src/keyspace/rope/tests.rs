use std::sync::Arc;

use proptest::prelude::*;

use super::Rope;
use crate::collections::sparse::BLOCK_BYTES;
use crate::memory::AllocatorModel;

const MODEL: AllocatorModel = AllocatorModel::Glibc;
/// Far enough for several blocks, near enough for a model in a vector.
const LEN_MAX: usize = 400 * 1024;

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u8>),
    Write(usize, Vec<u8>),
    Grow(usize),
    Capture,
    Forget,
    Read(usize, usize),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..9_000),
        prop::collection::vec(any::<u8>(), 0..9),
        (0..20_000_usize).prop_map(|len| vec![0; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => bytes().prop_map(Step::Append),
        6 => (0..LEN_MAX, bytes()).prop_map(|(at, bytes)| Step::Write(at, bytes)),
        1 => (0..LEN_MAX).prop_map(Step::Grow),
        2 => Just(Step::Capture),
        1 => Just(Step::Forget),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Step::Read(from, to)),
    ]
}

fn check(rope: &Rope, model: &[u8]) {
    rope.validate();
    assert_eq!(rope.len(), model.len());
    assert!(rope.equals(model));
    assert!(rope.to_vec() == model);
    if let Some(whole) = rope.as_slice() {
        assert!(whole == model);
    }
    let mut end = 0;
    for (at, piece) in rope.pieces(0..usize::MAX) {
        assert!(at >= end && !piece.is_empty(), "pieces ascend");
        assert!(model[end..at].iter().all(|&byte| byte == 0), "what is absent is zero");
        assert!(model[at..at + piece.len()] == *piece);
        end = at + piece.len();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn behaves_like_a_vector(
        start in prop_oneof![Just(vec![]), bytes(), (60_000..200_000_usize).prop_map(|len| vec![7; len])],
        steps in prop::collection::vec(step(), 0..24),
    ) {
        let mut model = start.clone();
        let mut rope = Arc::new(Rope::from_vec(start));
        let mut captured: Vec<(Arc<Rope>, Vec<u8>)> = Vec::new();
        for step in steps {
            let before = rope.charged(MODEL);
            let mut room = 0;
            match step {
                Step::Append(bytes) => {
                    room = rope.room(rope.len(), bytes.len(), Arc::strong_count(&rope) > 1);
                    Arc::make_mut(&mut rope).append(&bytes);
                    model.extend_from_slice(&bytes);
                }
                Step::Write(at, bytes) => {
                    if !bytes.is_empty() {
                        room = rope.room(at, bytes.len(), Arc::strong_count(&rope) > 1) + rope.grow_room(at);
                        Arc::make_mut(&mut rope).write(at, &bytes, MODEL);
                        model.resize(model.len().max(at + bytes.len()), 0);
                        model[at..at + bytes.len()].copy_from_slice(&bytes);
                    }
                }
                Step::Grow(to) => {
                    room = rope.grow_room(to);
                    Arc::make_mut(&mut rope).grow(to, MODEL);
                    model.resize(model.len().max(to), 0);
                }
                Step::Capture => captured.push((Arc::clone(&rope), model.clone())),
                Step::Forget => captured.clear(),
                Step::Read(from, to) => {
                    let to = to % (model.len() + 1);
                    let from = from % (to + 1);
                    let mut out = b"before".to_vec();
                    rope.copy_range(from, to, &mut out);
                    prop_assert!(out[6..] == model[from..to]);
                    let mut window = [9; 300];
                    rope.read(from, &mut window);
                    for (index, &byte) in window.iter().enumerate() {
                        prop_assert_eq!(byte, model.get(from + index).copied().unwrap_or(0));
                    }
                }
            }
            check(&rope, &model);
            let grown = rope.charged(MODEL).saturating_sub(before);
            prop_assert!(grown <= room as u64 + 256, "grown by {}, room for {}", grown, room);
        }
        for (rope, model) in captured {
            check(&rope, &model);
        }
    }
}

#[test]
fn a_far_write_costs_one_block() {
    let mut rope = Rope::default();
    rope.write(512 * 1024 * 1024 - 1, &[1], MODEL);
    assert_eq!(rope.len(), 512 * 1024 * 1024);
    assert!(rope.charged(MODEL) < 12_000, "{}", rope.charged(MODEL));
    assert_eq!(rope.pieces(0..usize::MAX).count(), 1);
    let mut last = [0; 2];
    rope.read(512 * 1024 * 1024 - 2, &mut last);
    assert_eq!(last, [0, 1]);
    rope.validate();
}

#[test]
fn a_write_beside_a_reader_copies_one_block_of_a_large_chunk() {
    let mut rope = Arc::new(Rope::from_vec(vec![5; 1 << 20]));
    let reader = Arc::clone(&rope);
    let before = rope.charged(MODEL);
    Arc::make_mut(&mut rope).write(500_000, b"new", MODEL);
    let more = rope.charged(MODEL) - before;
    assert!((BLOCK_BYTES as u64..12_000).contains(&more), "{more}");
    assert_eq!(reader.as_slice().map(|bytes| bytes[500_000]), Some(5), "a capture stays as it was");
    drop(reader);
    Arc::make_mut(&mut rope).write(700_000, b"new", MODEL);
    assert_eq!(rope.charged(MODEL) - before, more, "alone again, the chunk is written in place");
    rope.validate();
    let mut model = vec![5; 1 << 20];
    model[500_000..500_003].copy_from_slice(b"new");
    model[700_000..700_003].copy_from_slice(b"new");
    assert!(rope.equals(&model));
}
