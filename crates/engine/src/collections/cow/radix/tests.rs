//! The vector against a `BTreeMap`, with captures taken on the way.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::memory::AllocatorModel;

#[derive(Debug, Clone, PartialEq)]
struct Bytes(Vec<u8>);

impl Chunk for Bytes {
    fn heap_bytes(&self, charge: &mut dyn FnMut(usize)) {
        charge(self.0.capacity());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Set(usize, Vec<u8>),
    Push(Vec<u8>),
    Append(usize, Vec<u8>),
    GetOrInsert(usize),
    Remove(usize),
    Pop,
    Capture,
    DropCapture(usize),
}

fn index() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0usize..8,
        4 => 0usize..200,
        2 => 0usize..10_000,
        1 => 0usize..1 << 32,
        1 => Just(usize::MAX - 1),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (index(), bytes()).prop_map(|(i, b)| Step::Set(i, b)),
        4 => bytes().prop_map(Step::Push),
        3 => (index(), bytes()).prop_map(|(i, b)| Step::Append(i, b)),
        2 => index().prop_map(Step::GetOrInsert),
        4 => index().prop_map(Step::Remove),
        3 => Just(Step::Pop),
        1 => Just(Step::Capture),
        1 => (0usize..8).prop_map(Step::DropCapture),
    ]
}

type Model = BTreeMap<usize, Vec<u8>>;

fn assert_same(vector: &RadixVec<Bytes>, model: &Model) {
    assert_eq!(vector.present(), model.len());
    assert_eq!(vector.len(), model.last_key_value().map_or(0, |(&last, _)| last + 1));
    let found: Vec<_> = vector.iter_present().map(|(i, chunk)| (i, chunk.0.clone())).collect();
    let wanted: Vec<_> = model.iter().map(|(&i, bytes)| (i, bytes.clone())).collect();
    assert_eq!(found, wanted);
}

fn perform(vector: &mut RadixVec<Bytes>, model: &mut Model, meter: &mut Meter, step: Step) {
    match step {
        Step::Set(i, bytes) => {
            vector.set(i, Bytes(bytes.clone()), meter);
            model.insert(i, bytes);
        }
        Step::Push(bytes) => {
            let end = vector.len();
            if end < 1 << 40 {
                vector.push(Bytes(bytes.clone()), meter);
                model.insert(end, bytes);
            }
        }
        Step::Append(i, bytes) => {
            let done = vector.edit(i, meter, |chunk| chunk.0.extend_from_slice(&bytes));
            let entry = model.get_mut(&i).map(|chunk| chunk.extend_from_slice(&bytes));
            assert_eq!(done, entry);
        }
        Step::GetOrInsert(i) => {
            let chunk = vector.get_or_insert_mut(i, meter, || Bytes(vec![7]));
            if let Some(first) = chunk.0.first_mut() {
                *first = first.wrapping_add(1);
            }
            let chunk = model.entry(i).or_insert_with(|| vec![7]);
            if let Some(first) = chunk.first_mut() {
                *first = first.wrapping_add(1);
            }
        }
        Step::Remove(i) => {
            let taken = vector.remove(i, meter).map(|chunk| chunk.0.clone());
            assert_eq!(taken, model.remove(&i));
        }
        Step::Pop => {
            let taken = vector.pop(meter).map(|chunk| chunk.0.clone());
            assert_eq!(taken, model.pop_last().map(|(_, bytes)| bytes));
        }
        Step::Capture | Step::DropCapture(_) => {}
    }
}

proptest! {
    #[test]
    fn behaves_as_a_map_and_leaves_captures_alone(steps in prop::collection::vec(step(), 0..150)) {
        let mut vector = RadixVec::new();
        let mut model = Model::new();
        let mut meter = Meter::new(AllocatorModel::Glibc);
        let mut captures: Vec<(RadixVec<Bytes>, Model)> = Vec::new();
        for step in steps {
            match step {
                Step::Capture => captures.push((vector.clone(), model.clone())),
                Step::DropCapture(i) if i < captures.len() => drop(captures.swap_remove(i)),
                step => perform(&mut vector, &mut model, &mut meter, step),
            }
            prop_assert_eq!(vector.validate(AllocatorModel::Glibc), meter.bytes(), "I4");
        }
        assert_same(&vector, &model);
        for (index, bytes) in &model {
            prop_assert_eq!(&vector.get(*index).unwrap().0, bytes);
        }
        for (capture, model) in &captures {
            assert_same(capture, model);
        }
    }
}

#[test]
fn a_far_index_costs_a_path() {
    let mut vector = RadixVec::new();
    let mut meter = Meter::new(AllocatorModel::Glibc);
    vector.set(65_535, Bytes(Vec::new()), &mut meter);
    assert!(meter.bytes() < 2_000, "{}", meter.bytes());
    assert!(vector.get(0).is_none() && vector.get(65_535).is_some() && vector.get(65_536).is_none());
    vector.remove(65_535, &mut meter);
    assert_eq!(meter.bytes(), 0);
}

#[test]
fn freeing_goes_in_slices_and_ends_at_nothing() {
    let mut vector = RadixVec::new();
    let mut meter = Meter::new(AllocatorModel::Glibc);
    for i in 0..10_000usize {
        vector.push(Bytes(i.to_le_bytes().to_vec()), &mut meter);
    }
    let mut slices = 1;
    let mut before = meter.bytes();
    while !vector.free_some(100, &mut meter) {
        assert!(meter.bytes() < before, "each slice frees something");
        before = meter.bytes();
        slices += 1;
    }
    assert!((100..=101).contains(&slices), "{slices}");
    assert_eq!(meter.bytes(), 0);
    assert_eq!(vector.len(), 0);
}

#[test]
fn freeing_lets_go_of_what_a_capture_holds() {
    let mut vector = RadixVec::new();
    let mut meter = Meter::new(AllocatorModel::Glibc);
    for i in 0..1_000usize {
        vector.push(Bytes(i.to_le_bytes().to_vec()), &mut meter);
    }
    let capture = vector.clone();
    assert!(vector.free_some(1, &mut meter), "shared nodes are let go at once");
    assert_eq!(capture.present(), 1_000);
    assert_eq!(capture.iter_present().map(|(_, chunk)| chunk.0.len()).sum::<usize>(), 8_000);
}
