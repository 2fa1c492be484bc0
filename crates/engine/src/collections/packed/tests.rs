//! A vector of vectors beside the packed one.

use super::Packed;
use proptest::prelude::*;

type Model = Vec<Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    Push(Vec<u8>),
    PushFront(Vec<u8>),
    Insert(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize, usize),
    SplitAndDrop(usize),
    SplitAndRejoin(usize),
    /// Taken off the head one by one, as a queue is.
    Dequeue(usize),
    /// Room for more than one entry, or for none.
    PushAhead(Vec<u8>),
    Fit,
    Clear,
}

fn entry() -> impl Strategy<Value = Vec<u8>> {
    let bytes = |len| proptest::collection::vec(any::<u8>(), len);
    prop_oneof![
        8 => bytes(0..12),
        2 => (120_usize..140).prop_map(|len| vec![7; len]),
        1 => (16_380_usize..16_390).prop_map(|len| vec![0x80; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => entry().prop_map(Step::Push),
        3 => entry().prop_map(Step::PushFront),
        4 => (any::<usize>(), entry()).prop_map(|(at, bytes)| Step::Insert(at, bytes)),
        4 => (any::<usize>(), entry()).prop_map(|(at, bytes)| Step::Replace(at, bytes)),
        3 => (any::<usize>(), 0_usize..4).prop_map(|(at, count)| Step::Remove(at, count)),
        1 => any::<usize>().prop_map(Step::SplitAndDrop),
        2 => any::<usize>().prop_map(Step::SplitAndRejoin),
        3 => (1_usize..8).prop_map(Step::Dequeue),
        2 => entry().prop_map(Step::PushAhead),
        1 => Just(Step::Fit),
        1 => Just(Step::Clear),
    ]
}

fn run(packed: &mut Packed, model: &mut Model, step: &Step) {
    let within = |at: usize| at % (model.len() + 1);
    match step {
        Step::Push(bytes) => {
            packed.push(bytes);
            model.push(bytes.clone());
        }
        Step::PushFront(bytes) => {
            packed.push_front(bytes);
            model.insert(0, bytes.clone());
        }
        Step::Insert(at, bytes) => {
            let at = within(*at);
            packed.insert(at, bytes);
            model.insert(at, bytes.clone());
        }
        Step::Replace(at, bytes) => {
            let at = within(*at);
            assert_eq!(packed.replace(at, bytes), at < model.len());
            if let Some(old) = model.get_mut(at) {
                old.clone_from(bytes);
            }
        }
        Step::Remove(at, count) => {
            let at = within(*at);
            packed.remove(at..at + count);
            model.drain(at..(at + count).min(model.len()));
        }
        Step::SplitAndDrop(at) => {
            let at = within(*at);
            assert!(packed.split_off(at).iter().eq(model.split_off(at).iter()));
        }
        Step::SplitAndRejoin(at) => {
            let mut tail = packed.split_off(within(*at));
            tail.validate();
            packed.append(&mut tail);
            assert!(tail.is_empty());
        }
        Step::Dequeue(count) => {
            for _ in 0..(*count).min(model.len()) {
                packed.remove(0..1);
                model.remove(0);
                packed.validate();
            }
        }
        Step::PushAhead(bytes) => {
            packed.make_room_ahead(bytes.len(), packed.content_bytes());
            let heap = packed.heap_bytes();
            packed.push(bytes);
            assert_eq!(packed.heap_bytes(), heap, "the room was there");
            model.push(bytes.clone());
        }
        Step::Fit => {
            packed.fit();
            assert_eq!(packed.heap_bytes(), packed.content_bytes());
        }
        Step::Clear => {
            packed.clear();
            model.clear();
        }
    }
}

fn check(packed: &Packed, model: &Model) {
    packed.validate();
    assert_eq!(packed.len(), model.len());
    assert_eq!(packed.is_empty(), model.is_empty());
    assert!(packed.iter().eq(model.iter()));
    assert!(packed.iter().rev().eq(model.iter().rev()));
    let mut both = packed.iter();
    let mut expected = model.iter();
    while let Some(front) = both.next() {
        assert_eq!(Some(front), expected.next().map(Vec::as_slice));
        assert_eq!(both.next_back(), expected.next_back().map(Vec::as_slice));
        assert_eq!(both.len(), expected.len());
    }
    let mut spot = packed.first();
    for (index, wanted) in model.iter().enumerate() {
        assert_eq!(packed.get(index), Some(wanted.as_slice()));
        assert_eq!(packed.seek(index), spot);
        assert_eq!(packed.find(wanted), model.iter().position(|entry| entry == wanted));
        let every_other = model.iter().step_by(2).position(|entry| entry == wanted);
        assert_eq!(packed.find_every(2, wanted).map(|(index, _)| index / 2), every_other);
        spot = packed.read(spot).expect("not yet at the end").1;
    }
    assert_eq!(packed.read(spot), None);
    assert_eq!(packed.get(model.len()), None);
    let content: usize = model.iter().map(|entry| Packed::entry_bytes(entry.len())).sum();
    assert_eq!(packed.content_bytes(), content);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn behaves_as_a_vector_of_vectors(steps in proptest::collection::vec(step(), 1..40)) {
        let (mut packed, mut model) = (Packed::new(), Model::new());
        for step in &steps {
            let before = (packed.clone(), model.clone());
            run(&mut packed, &mut model, step);
            check(&packed, &model);
            prop_assert!(before.0.iter().eq(before.1.iter()), "a clone is not touched");
        }
    }
}

#[test]
fn an_entry_costs_two_bytes_above_its_content_and_an_eighth_of_slack() {
    let mut packed = Packed::new();
    for _ in 0..400 {
        packed.push(&[b'x'; 127]);
    }
    assert_eq!(packed.content_bytes(), 400 * 129);
    assert!(packed.heap_bytes() <= 400 * 129 * 9 / 8);
    packed.push(&[b'x'; 128]);
    assert_eq!(packed.content_bytes(), 400 * 129 + 132);
    packed.remove(4..401);
    assert!(packed.heap_bytes() <= 4 * 129 * 9 / 8);
    packed.remove(0..4);
    assert_eq!(packed.heap_bytes(), 0);
}

#[test]
fn a_gap_at_the_head_is_no_content() {
    let entries: Vec<Vec<u8>> = (0..200_u8).map(|n| vec![n; 10]).collect();
    let plain: Packed = entries.iter().collect();
    let mut prepended = Packed::new();
    entries.iter().rev().for_each(|entry| prepended.push_front(entry));
    assert!(prepended == plain);
    assert!(prepended.heap_bytes() <= plain.content_bytes() * 9 / 8 + 12);
    // A queue of constant length stays in a buffer of about twice its size.
    let mut queue = plain.clone();
    for round in 0..10 {
        for entry in &entries {
            assert_eq!(queue.get(0), Some(entry.as_slice()));
            queue.remove(0..1);
            queue.push(entry);
            assert!(queue.heap_bytes() <= plain.content_bytes() * 5 / 2, "{} B", queue.heap_bytes());
        }
        assert!(queue == plain, "round {round}");
    }
}

#[test]
fn entries_are_found_behind_a_gap_at_the_head() {
    let mut packed = Packed::new();
    for entry in ["removed", "field", "value", "other", "value"] {
        packed.push(entry.as_bytes());
    }
    packed.remove(0..1);
    assert_eq!(packed.find_every(2, b"other").map(|(index, _)| index), Some(2));
    assert_eq!(packed.find_every(2, b"value"), None, "a value is no field");
    assert_eq!(packed.find_every(1, b"value"), Some((1, packed.seek(1))));
}
