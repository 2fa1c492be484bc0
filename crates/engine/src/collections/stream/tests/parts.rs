//! The parts by themselves: names, sorted records, blocks, and what large streams cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{any, proptest};

use super::super::block::Block;
use super::super::fields::StreamFields;
use super::super::id::StreamId;
use super::super::names::Names;
use super::super::reading::Reading;
use super::super::sorted::{Record, Sorted};
use super::super::{Stream, Trimming};
use crate::collections::Body;
use crate::collections::rules::Rules;
use crate::collections::stream::log::TrimTo;
use crate::memory::AllocatorModel;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number([u64; 32]);

impl Record for Number {
    type Mark = u64;

    fn mark(&self) -> u64 {
        self.0[0]
    }
}

fn number(mark: u64, tag: u64) -> Number {
    let mut number = Number([tag; 32]);
    number.0[0] = mark;
    number
}

proptest! {
    #[test]
    fn sorted_records_are_a_map(ops in vec((0u8..6, 0u64..120, 1u64..40, any::<u64>()), 1..200)) {
        let mut sorted = Sorted::new(AllocatorModel::Glibc);
        let mut model = BTreeMap::new();
        let mut capture = (sorted.clone(), model.clone());
        for (kind, mark, span, tag) in ops {
            match kind {
                0 | 1 => {
                    sorted.put(number(mark, tag));
                    model.insert(mark, number(mark, tag));
                }
                2 => {
                    let all: Vec<Number> = (mark..mark + span).map(|mark| number(mark, tag)).collect();
                    model.extend(all.iter().map(|number| (number.mark(), *number)));
                    sorted.put_all(all);
                }
                3 => assert_eq!(sorted.remove(mark), model.remove(&mark)),
                4 if tag % 3 == 0 => {
                    sorted.remove_range(mark, mark + span);
                    model.retain(|&key, _| key < mark || key >= mark + span);
                }
                4 => {
                    sorted.retain(|number| number.mark() % span != 0);
                    model.retain(|key, _| key % span != 0);
                }
                _ => capture = (sorted.clone(), model.clone()),
            }
            sorted.validate();
            assert!(sorted.iter().eq(model.values()));
            assert!(sorted.from(mark).eq(model.range(mark..).map(|(_, number)| number)));
            assert_eq!(sorted.get(mark), model.get(&mark));
        }
        capture.0.validate();
        assert!(capture.0.iter().eq(capture.1.values()));
    }

    #[test]
    fn names_are_a_map(ops in vec((0u8..4, "[ab]{0,7}", any::<u32>()), 1..300)) {
        let mut names = Names::new(AllocatorModel::Glibc);
        let mut model: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        let capture = names.clone();
        for (kind, name, value) in ops {
            let name = name.into_bytes();
            match kind {
                0 => {
                    let updated = names.update(&name, |held| *held = value);
                    assert_eq!(updated.is_some(), model.contains_key(&name));
                    model.entry(name.clone()).and_modify(|held| *held = value);
                }
                1 => assert_eq!(names.remove(&name), model.remove(&name)),
                _ if names.get(&name).is_none() => {
                    names.insert(Arc::from(name.as_slice()), value);
                    model.insert(name.clone(), value);
                }
                _ => {}
            }
            names.validate();
            assert_eq!(names.get(&name), model.get(&name));
            assert!(names.iter().map(|(name, value)| (&**name, value)).eq(model.iter().map(|(n, v)| (&**n, v))));
        }
        assert_eq!(capture.len(), 0);
    }
}

#[test]
fn blocks_keep_ids_that_jump_and_wrap() {
    let ids = [(0, 1), (0, u64::MAX), (1, 0), (1, 1), (u64::MAX - 1, 5), (u64::MAX, 0), (u64::MAX, u64::MAX)];
    let ids = ids.map(|(ms, seq)| StreamId::new(ms, seq));
    let fields: StreamFields = [("f", "v")].into();
    for skip in 0..ids.len() {
        let mut block = Block::open(ids[0], &fields);
        for &id in &ids[1..] {
            block.append(id, &fields);
        }
        block.validate();
        assert!(block.remove(ids[skip]));
        assert!(!block.remove(ids[skip]));
        block.validate();
        let left: Vec<StreamId> = block.walk().map(|entry| entry.id).collect();
        let expected: Vec<StreamId> = ids.iter().copied().filter(|&id| id != ids[skip]).collect();
        assert_eq!(left, expected);
    }
}

fn stream_of(count: u64) -> Stream {
    let rules = Rules::default();
    let mut stream = Stream::empty(&rules);
    for n in 0..count {
        let values = [("temp", format!("{:08}", n % 7_919)), ("unit", format!("{:08}", n * 31 % 6_007))];
        stream.add(StreamId::new(1_700_000_000_000 + n * 3, 0), &values.into(), &rules);
    }
    stream
}

#[test]
fn an_entry_costs_little_beyond_its_values() {
    let count = 20_000;
    let stream = stream_of(count);
    let charged = stream.charged(AllocatorModel::Glibc);
    // Two values of eight bytes an entry.
    let overhead = charged / count - 16;
    assert!(overhead <= 8, "{overhead} bytes an entry above the values");
    assert_eq!(stream.node_counts().0, count / 100);
}

#[test]
fn a_pending_entry_costs_little() {
    let count = 20_000;
    let mut stream = stream_of(count);
    stream.create_group(b"g", StreamId::MIN, None);
    let before = stream.charged(AllocatorModel::Glibc);
    for reader in 0..2_000 {
        let consumer = format!("consumer-{}", reader % 5);
        let reading = Reading { count: 10, no_ack: false, now_ms: 5 };
        stream.read_new(b"g", consumer.as_bytes(), &reading).expect("the group");
    }
    stream.validate(&Rules::default());
    let each = (stream.charged(AllocatorModel::Glibc) - before) / count;
    assert!(each <= 96, "{each} bytes a pending entry");
}

/// Trimming a whole stream away touches no entry, and what is dropped is what was there.
#[test]
fn trimming_hands_whole_blocks_back() {
    let mut stream = stream_of(1_000);
    let trimmed = stream.trim(&Trimming { to: TrimTo::Length(250), approximate: false, limit: 0 });
    assert_eq!((trimmed.removed, stream.len()), (750, 250));
    assert_eq!(trimmed.dropped.map(|log| log.len()), Some(700));
    let trimmed = stream.trim(&Trimming { to: TrimTo::Length(0), approximate: true, limit: 50 });
    assert_eq!(trimmed.removed, 50, "the first block has fifty left");
    stream.validate(&Rules::default());
}
