use proptest::prelude::*;

use super::{Limit, List};
use crate::collections::Body;
use crate::collections::rules::Rules;
use crate::effect::{Delta, End};
use crate::engine::Encoding;

type Model = Vec<Vec<u8>>;

fn rules(list_max_listpack_size: i32) -> Rules {
    let mut rules = Rules::default();
    rules.limits.list_max_listpack_size = list_max_listpack_size;
    rules
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Head), Just(End::Tail)]
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    let sizes = prop_oneof![12 => 0..24usize, 4 => 100..400usize, 1 => 2_000..12_000usize];
    (sizes, any::<u8>()).prop_map(|(size, seed)| {
        (0..size).map(|at| seed.wrapping_add(u8::try_from(at % 251).expect("a byte"))).collect()
    })
}

#[derive(Debug, Clone)]
enum Step {
    Push(End, Vec<u8>),
    PushMany(End, Vec<u8>, usize),
    Insert(usize, Vec<u8>),
    InsertMany(usize, Vec<u8>, usize),
    Set(usize, Vec<u8>),
    Cut(usize, usize),
    Pop(End),
    Remove(usize),
    RemoveEvery(usize, usize),
    Capture,
}

fn step() -> impl Strategy<Value = Step> {
    let place = any::<usize>;
    prop_oneof![
        3 => (ends(), element()).prop_map(|(end, element)| Step::Push(end, element)),
        2 => (ends(), element(), 1..200usize).prop_map(|(end, element, count)| Step::PushMany(end, element, count)),
        3 => (place(), element()).prop_map(|(at, element)| Step::Insert(at, element)),
        2 => (place(), element(), 1..80usize).prop_map(|(at, element, count)| Step::InsertMany(at, element, count)),
        3 => (place(), element()).prop_map(|(at, element)| Step::Set(at, element)),
        3 => (place(), place()).prop_map(|(at, count)| Step::Cut(at, count)),
        2 => ends().prop_map(Step::Pop),
        3 => place().prop_map(Step::Remove),
        2 => (place(), 1..9usize).prop_map(|(at, each)| Step::RemoveEvery(at, each)),
        2 => Just(Step::Capture),
    ]
}

/// Applies one step to both, and returns the deltas that tell of it.
fn run(list: &mut List, model: &mut Model, step: &Step, rules: &Rules) -> Vec<Delta> {
    let mut deltas = Vec::new();
    let push = |list: &mut List, model: &mut Model, end: End, element: &[u8]| {
        list.push(end, element, rules);
        model.insert(if end == End::Head { 0 } else { model.len() }, element.to_vec());
        Delta::ListPush { end, element: element.into() }
    };
    let insert = |list: &mut List, model: &mut Model, index: usize, element: &[u8]| {
        list.insert(index, element, rules);
        model.insert(index, element.to_vec());
        Delta::ListInsert { index: index as u64, element: element.into() }
    };
    match step {
        Step::Push(end, element) => deltas.push(push(list, model, *end, element)),
        Step::PushMany(end, element, count) => {
            deltas.extend((0..*count).map(|_| push(list, model, *end, element)));
        }
        Step::Insert(at, element) => deltas.push(insert(list, model, at % (model.len() + 1), element)),
        Step::InsertMany(at, element, count) => {
            let at = at % (model.len() + 1);
            deltas.extend((0..*count).map(|_| insert(list, model, at, element)));
        }
        Step::Set(at, element) => {
            let at = at % (model.len() + 1);
            assert_eq!(list.set(at, element, rules), at < model.len());
            if at < model.len() {
                model[at].clone_from(element);
                deltas.push(Delta::ListSet { index: at as u64, element: element.as_slice().into() });
            }
        }
        Step::Cut(at, count) => {
            let at = at % (model.len() + 1);
            let range = at..at + count % (model.len() + 1 - at);
            let cut = list.cut(range.clone(), rules);
            let gone: Model = model.drain(range.clone()).collect();
            assert!(cut.elements(0..usize::MAX).eq(gone.iter()), "what was cut off");
            deltas.extend(range.map(|_| Delta::ListRemove { index: at as u64 }));
        }
        Step::Pop(end) if !model.is_empty() => {
            let at = if *end == End::Head { 0 } else { model.len() - 1 };
            assert_eq!(list.at_end(*end), Some(model[at].as_slice()));
            list.remove(at, rules);
            model.remove(at);
            deltas.push(Delta::ListPop { end: *end, count: 1 });
        }
        Step::Remove(at) if !model.is_empty() => {
            let at = at % model.len();
            list.remove(at, rules);
            model.remove(at);
            deltas.push(Delta::ListRemove { index: at as u64 });
        }
        Step::RemoveEvery(at, each) if !model.is_empty() => {
            let gone: Vec<usize> = (at % model.len()..model.len()).step_by(*each).collect();
            list.remove_all(&gone, rules);
            for &index in gone.iter().rev() {
                model.remove(index);
                deltas.push(Delta::ListRemove { index: index as u64 });
            }
        }
        _ => {}
    }
    deltas
}

fn check(list: &List, model: &Model, rules: &Rules) {
    list.validate(rules);
    assert_eq!(list.len(), model.len());
    assert!(list.elements(0..usize::MAX).eq(model.iter()), "the same elements, in order");
    assert_eq!(list.get(model.len()), None);
}

/// Ranges, through every walk.
fn check_walks(list: &List, model: &Model) {
    let (from, to) = (model.len() / 3, model.len() - model.len() / 5);
    let part = &model[from..to];
    assert!(list.elements(from..to).rev().eq(part.iter().rev()), "backwards");
    assert_eq!(list.elements(from..to).len(), part.len());
    for (index, element) in model.iter().enumerate().skip(from).step_by(17) {
        assert_eq!(list.get(index), Some(element.as_slice()));
    }
    let (mut borrowed, mut owned) = (list.elements(from..to), list.clone().into_elements(from..to));
    let (mut front, mut back) = (0, part.len());
    // Two from the head, one from the tail, until they meet.
    while front < back {
        let expected = Some(part[front].as_slice());
        assert_eq!(borrowed.next(), expected);
        assert_eq!(owned.next_with(<[u8]>::to_vec).as_deref(), expected);
        front += 1;
        if front % 2 == 0 && front < back {
            back -= 1;
            let expected = Some(part[back].as_slice());
            assert_eq!(borrowed.next_back(), expected);
            assert_eq!(owned.next_back_with(<[u8]>::to_vec).as_deref(), expected);
        }
        assert_eq!(owned.len(), back - front);
    }
    assert_eq!(borrowed.next(), None);
    assert_eq!(borrowed.next_back(), None);
    assert!(owned.next_with(|_| ()).is_none() && owned.next_back_with(|_| ()).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn it_is_a_vector_in_every_encoding(
        setting in prop_oneof![Just(-2), Just(-1), Just(-5), Just(0), Just(1), Just(6), Just(128)],
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let rules = rules(setting);
        let (mut list, mut model) = (List::empty(&rules), Model::new());
        let mut replayed = List::empty(&rules);
        let mut captures = Vec::new();
        for step in &steps {
            for delta in run(&mut list, &mut model, step, &rules) {
                replayed.apply(&delta, &rules);
            }
            check(&list, &model, &rules);
            check(&replayed, &model, &rules);
            prop_assert_eq!(list.digest(), replayed.digest());
            if matches!(step, Step::Capture) {
                check_walks(&list, &model);
                captures.push((list.clone(), model.clone()));
            }
        }
        for (list, model) in &captures {
            check(list, model, &rules);
        }
        let mut rebuilt = List::empty(&rules);
        list.deltas(&mut |delta| rebuilt.apply(&delta, &rules));
        check(&rebuilt, &model, &rules);
        prop_assert_eq!(list.digest(), rebuilt.digest());
        while !list.free_some(3) {}
        prop_assert!(list.is_vacant());
        prop_assert_eq!(list.charged(rules.model), 0);
        for (list, model) in &captures {
            check(list, model, &rules);
        }
    }
}

fn filled(count: u64, end: End, rules: &Rules) -> List {
    let mut list = List::empty(rules);
    for i in 0..count {
        list.push(end, format!("{i:016}").as_bytes(), rules);
    }
    list
}

#[test]
fn pushing_at_either_end_leaves_full_chunks() {
    let rules = rules(-2);
    for end in [End::Head, End::Tail] {
        let list = filled(100_000, end, &rules);
        list.validate(&rules);
        let each = list.charged(rules.model) as f64 / 100_000.0;
        assert!(each < 18.5, "{each} bytes an element of 16 bytes");
    }
}

#[test]
fn it_changes_its_encoding_both_ways_with_room_between() {
    for (setting, fits, half) in [(-2, 455, 227), (-1, 227, 113), (10, 10, 5), (128, 128, 64)] {
        let rules = rules(setting);
        let mut list = filled(fits, End::Tail, &rules);
        assert_eq!(list.encoding(), Encoding::Listpack, "{setting}");
        list.push(End::Head, b"0123456789abcdef", &rules);
        assert_eq!(list.encoding(), Encoding::Quicklist, "{setting}");
        while list.len() > half + 1 {
            list.remove(list.len() - 1, &rules);
            assert_eq!(list.encoding(), Encoding::Quicklist, "{setting} at {}", list.len());
        }
        list.remove(0, &rules);
        assert_eq!((list.len(), list.encoding()), (half, Encoding::Listpack), "{setting}");
        list.validate(&rules);
    }
}

#[test]
fn an_element_larger_than_a_chunk_has_its_own() {
    let rules = rules(-2);
    let mut list = filled(2_000, End::Tail, &rules);
    let large = vec![7; 100_000];
    list.insert(1_003, &large, &rules);
    list.set(5, &large, &rules);
    list.push(End::Head, &large, &rules);
    list.validate(&rules);
    assert_eq!(list.len(), 2_002);
    for index in [0, 6, 1_004] {
        assert_eq!(list.get(index), Some(large.as_slice()), "{index}");
    }
    assert_eq!(list.get(1_005), Some(format!("{:016}", 1_003).as_bytes()));
    for index in [1_004, 6, 0] {
        list.remove(index, &rules);
    }
    assert!(list.charged(rules.model) < 60_000);
}

#[test]
fn removals_join_what_is_left() {
    let rules = rules(-2);
    let mut list = filled(100_000, End::Tail, &rules);
    let gone: Vec<usize> = (0..100_000).filter(|index| index % 20 != 0).collect();
    list.remove_all(&gone, &rules);
    list.validate(&rules);
    assert_eq!(list.len(), 5_000);
    let each = list.charged(rules.model) as f64 / 5_000.0;
    assert!(each < 48.0, "{each} bytes an element that is left");
}

#[test]
fn settings_mean_what_redis_says() {
    let limits = [(-1, 4_096), (-2, 8_192), (-3, 16_384), (-4, 32_768), (-5, 65_536), (-9, 65_536)];
    for (setting, bytes) in limits {
        assert_eq!(Limit::of(&rules(setting)), Limit { bytes, entries: usize::MAX });
    }
    assert_eq!(Limit::of(&rules(0)), Limit { bytes: 8_192, entries: 1 });
    assert_eq!(Limit::of(&rules(512)), Limit { bytes: 8_192, entries: 512 });
}

#[test]
fn order_and_borders_of_elements_are_part_of_the_digest() {
    let rules = rules(-2);
    let digest = |elements: &[&str]| {
        let mut list = List::empty(&rules);
        for element in elements {
            list.push(End::Tail, element.as_bytes(), &rules);
        }
        list.digest()
    };
    let all =
        [&["a", "b"][..], &["b", "a"], &["ab"], &["a"], &["", "ab"], &["ab", ""], &[""], &[], &["", ""]];
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            assert_ne!(digest(one), digest(other), "{one:?} {other:?}");
        }
    }
}
