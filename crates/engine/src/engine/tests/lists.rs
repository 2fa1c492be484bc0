//! The list handle against a vector, in both encodings; searches that race with writers; what was recorded, replayed.

use std::thread;

use bytes::Bytes;
use proptest::prelude::*;

use crate::{EncodingLimits, End, Engine, Inserted, OpError, Policy, PositionOptions};

const KEYS: [&str; 3] = ["a", "b", "c"];

type Model = [Vec<Bytes>; 3];

#[derive(Debug, Clone)]
enum Step {
    Push(usize, End, Vec<Bytes>),
    PushExisting(usize, End, Vec<Bytes>),
    Pop(usize, End, usize),
    PopAny(Vec<usize>, End, usize),
    Set(usize, i64, Bytes),
    Insert(usize, bool, Bytes, Bytes),
    Remove(usize, i64, Bytes),
    Trim(usize, i64, i64),
    Move(usize, usize, End, End),
    Positions(usize, Bytes, i64, usize, usize),
    Range(usize, i64, i64),
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Head), Just(End::Tail)]
}

/// Few values, so that searches find something, and a long one now and then.
fn element() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => (0..6u8).prop_map(|n| Bytes::from(vec![b'a' + n; usize::from(n)])),
        1 => (0..3u8).prop_map(|n| Bytes::from(vec![n; 3_000])),
    ]
}

fn index() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -12..12i64, 2 => -80..80i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..3usize;
    let many = || prop::collection::vec(element(), 1..12);
    prop_oneof![
        6 => (key(), end(), many()).prop_map(|(k, e, v)| Step::Push(k, e, v)),
        1 => (key(), end(), many()).prop_map(|(k, e, v)| Step::PushExisting(k, e, v)),
        2 => (key(), end(), 0..9usize).prop_map(|(k, e, n)| Step::Pop(k, e, n)),
        1 => (prop::collection::vec(key(), 0..4), end(), 0..9usize).prop_map(|(k, e, n)| Step::PopAny(k, e, n)),
        2 => (key(), index(), element()).prop_map(|(k, i, v)| Step::Set(k, i, v)),
        2 => (key(), any::<bool>(), element(), element()).prop_map(|(k, b, p, v)| Step::Insert(k, b, p, v)),
        2 => (key(), index(), element()).prop_map(|(k, i, v)| Step::Remove(k, i, v)),
        1 => (key(), index(), index()).prop_map(|(k, a, b)| Step::Trim(k, a, b)),
        2 => (key(), key(), end(), end()).prop_map(|(a, b, f, t)| Step::Move(a, b, f, t)),
        2 => (key(), element(), index(), 0..5usize, 0..30usize)
            .prop_map(|(k, v, r, c, m)| Step::Positions(k, v, r, c, m)),
        2 => (key(), index(), index()).prop_map(|(k, a, b)| Step::Range(k, a, b)),
    ]
}

fn push(list: &mut Vec<Bytes>, end: End, element: Bytes) {
    list.insert(if end == End::Head { 0 } else { list.len() }, element);
}

fn pop(list: &mut Vec<Bytes>, end: End, count: usize) -> Vec<Bytes> {
    let count = count.min(list.len());
    if end == End::Head {
        return list.drain(..count).collect();
    }
    list.drain(list.len() - count..).rev().collect()
}

/// `LRANGE`'s range, worked out with wide numbers.
fn range(start: i64, stop: i64, len: usize) -> std::ops::Range<usize> {
    let wide = |index: i64| i128::from(index) + if index < 0 { len as i128 } else { 0 };
    let (start, stop) = (wide(start).max(0), wide(stop).min(len as i128 - 1));
    if start > stop { 0..0 } else { usize::try_from(start).unwrap()..usize::try_from(stop).unwrap() + 1 }
}

fn at(index: i64, len: usize) -> Option<usize> {
    let wide = i128::from(index) + if index < 0 { len as i128 } else { 0 };
    usize::try_from(wide).ok().filter(|&at| at < len)
}

/// Runs a step that changes something on both.
fn write(engine: &Engine, model: &mut Model, step: &Step) {
    let list = |key: usize| engine.list::<Bytes>(KEYS[key]);
    match step {
        Step::Push(key, end, elements) => {
            elements.iter().for_each(|element| push(&mut model[*key], *end, element.clone()));
            let len = match (elements.as_slice(), end) {
                ([one], End::Head) => list(*key).push_front(one),
                ([one], End::Tail) => list(*key).push_back(one),
                (many, End::Head) => list(*key).extend_front(many),
                (many, End::Tail) => list(*key).extend_back(many),
            };
            assert_eq!(len, Ok(model[*key].len() as u64));
        }
        Step::PushExisting(key, end, elements) => {
            if !model[*key].is_empty() {
                elements.iter().for_each(|element| push(&mut model[*key], *end, element.clone()));
            }
            assert_eq!(list(*key).extend_existing(*end, elements), Ok(model[*key].len() as u64));
        }
        Step::Pop(key, end, count) => {
            let expected = (!model[*key].is_empty()).then(|| pop(&mut model[*key], *end, *count));
            assert_eq!(list(*key).pop_many(*end, *count), Ok(expected));
            let one = pop(&mut model[*key], *end, 1).pop();
            let popped = if *end == End::Head { list(*key).pop_front() } else { list(*key).pop_back() };
            assert_eq!(popped, Ok(one));
        }
        Step::PopAny(keys, end, count) => {
            let first = keys.iter().position(|&key| !model[key].is_empty());
            let expected = first.map(|first| (first, pop(&mut model[keys[first]], *end, *count)));
            let keys: Vec<&str> = keys.iter().map(|&key| KEYS[key]).collect();
            assert_eq!(engine.pop_from_lists(&keys, *end, *count), Ok(expected));
        }
        Step::Set(key, index, element) => {
            let expected = match (model[*key].len(), at(*index, model[*key].len())) {
                (0, _) => Err(OpError::NoSuchKey),
                (_, None) => Err(OpError::OutOfRange { offset: *index }),
                (_, Some(at)) => {
                    model[*key][at] = element.clone();
                    Ok(())
                }
            };
            assert_eq!(list(*key).set(*index, element), expected);
        }
        Step::Move(from, to, off, on) => {
            let moved = pop(&mut model[*from], *off, 1).pop();
            if let Some(element) = &moved {
                push(&mut model[*to], *on, element.clone());
            }
            assert_eq!(list(*from).move_to(KEYS[*to], *off, *on), Ok(moved));
        }
        _ => by_value(engine, model, step),
    }
}

fn by_value(engine: &Engine, model: &mut Model, step: &Step) {
    let list = |key: usize| engine.list::<Bytes>(KEYS[key]);
    match step {
        Step::Insert(key, before, pivot, element) => {
            let known = &mut model[*key];
            let expected = match known.iter().position(|known| known == pivot) {
                _ if known.is_empty() => Inserted::NoList,
                None => Inserted::NoPivot,
                Some(at) => {
                    known.insert(at + usize::from(!before), element.clone());
                    Inserted::Done(known.len() as u64)
                }
            };
            let list = list(*key);
            let inserted =
                if *before { list.insert_before(pivot, element) } else { list.insert_after(pivot, element) };
            assert_eq!(inserted, Ok(expected));
        }
        Step::Remove(key, count, element) => {
            let known = &mut model[*key];
            let hits: Vec<usize> = (0..known.len()).filter(|&at| known[at] == element).collect();
            let most = if *count == 0 { hits.len() } else { usize::try_from(count.unsigned_abs()).unwrap() };
            let most = most.min(hits.len());
            let gone = if *count < 0 { &hits[hits.len() - most..] } else { &hits[..most] };
            gone.iter().rev().for_each(|&at| drop(known.remove(at)));
            assert_eq!(list(*key).remove(*count, element), Ok(gone.len() as u64));
        }
        Step::Trim(key, start, stop) => {
            let kept = range(*start, *stop, model[*key].len());
            model[*key] = model[*key][kept].to_vec();
            assert_eq!(list(*key).trim(*start, *stop), Ok(()));
        }
        Step::Positions(key, element, rank, count, most) => {
            let known = &model[*key];
            let order: Vec<usize> =
                if *rank < 0 { (0..known.len()).rev().collect() } else { (0..known.len()).collect() };
            let hits = order.into_iter().take(*most).filter(|&at| known[at] == element);
            let skipped = usize::try_from(rank.unsigned_abs().saturating_sub(1)).unwrap();
            let expected: Vec<u64> = hits.skip(skipped).take(*count).map(|at| at as u64).collect();
            let options = PositionOptions::new().rank(*rank).count(*count).max_len(*most);
            let found = list(*key).positions(element, options);
            if *rank == 0 {
                assert!(matches!(found, Err(OpError::InvalidArgument(_))));
            } else {
                assert_eq!(found, Ok(expected));
            }
        }
        Step::Range(key, start, stop) => {
            let known = &model[*key];
            assert_eq!(
                list(*key).range(*start, *stop),
                Ok(known[range(*start, *stop, known.len())].to_vec())
            );
            assert_eq!(list(*key).get(*start), Ok(at(*start, known.len()).map(|at| known[at].clone())));
        }
        _ => unreachable!("the other half runs it"),
    }
}

fn engine(list_max_listpack_size: i32) -> Engine {
    let limits = EncodingLimits { list_max_listpack_size, ..EncodingLimits::default() };
    Engine::builder()
        .encoding_limits(limits)
        .record_effects(true)
        .shards(4)
        .seed(7)
        .build()
        .expect("an engine")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_handle_is_a_vector(
        setting in prop_oneof![Just(-2), Just(3), Just(1), Just(24)],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (engine, follower) = (engine(setting), Engine::new());
        let mut model = Model::default();
        for step in &steps {
            write(&engine, &mut model, step);
            for (key, known) in KEYS.iter().zip(&model) {
                let list = engine.list::<Bytes>(*key);
                prop_assert_eq!(list.len(), Ok(known.len() as u64));
                prop_assert_eq!(engine.exists(*key), Ok(!known.is_empty()));
                prop_assert_eq!(&list.iter().unwrap().collect::<Result<Vec<_>, _>>().unwrap(), known);
            }
            engine.validate();
        }
        for effect in engine.take_effects() {
            follower.apply(&effect).unwrap();
        }
        follower.validate();
        prop_assert_eq!(engine.state_digest(), follower.state_digest());
    }
}

#[test]
fn walks_see_the_list_as_it_was() {
    let engine = engine(4);
    let list = engine.list::<u32>("a");
    list.extend_back(0..1_000).unwrap();
    let (all, part) = (list.iter().unwrap(), list.iter_range(-3, -1).unwrap());
    list.trim(500, 600).unwrap();
    list.extend_front(0..50).unwrap();
    engine.remove("a").unwrap();
    assert_eq!(all.map(Result::unwrap).collect::<Vec<_>>(), (0..1_000).collect::<Vec<_>>());
    assert_eq!(part.rev().map(Result::unwrap).collect::<Vec<_>>(), [999, 998, 997]);
    engine.validate();
}

#[test]
fn typed_elements_and_those_of_others() {
    let engine = Engine::new();
    let numbers = engine.list::<u64>("n").into_owned();
    numbers.extend_back([1, 2]).unwrap();
    assert_eq!(engine.list::<Bytes>("n").range(0, -1).unwrap(), ["1", "2"]);
    engine.list::<String>("n").push_back("three").unwrap();
    assert!(matches!(numbers.range(0, -1), Err(OpError::Codec { key, .. }) if *key == *b"n"));
    assert!(matches!(numbers.pop_back(), Err(OpError::Codec { .. })));
    assert_eq!(numbers.len(), Ok(2), "what is no number is gone");
    engine.set("s", "text").unwrap();
    let wrong = engine.list::<String>("s").push_back("x");
    assert!(matches!(&wrong, Err(OpError::WrongType { expected: "list", found: "string", .. })), "{wrong:?}");
    assert!(numbers.move_to("s", End::Head, End::Tail).is_err());
    assert_eq!(engine.list::<u64>("none").move_to("s", End::Head, End::Tail), Ok(None));
    assert_eq!(numbers.range(0, -1), Ok(vec![1, 2]), "a refused move moves nothing");
}

/// Searches run outside of the lock; writers that come between must neither lose nor double anything.
#[test]
fn searches_race_with_writers() {
    const EACH: u64 = 400;
    let engine = engine(8);
    let list = engine.list::<String>("a");
    list.extend_back((0..200).map(|i| format!("stay{i}"))).unwrap();
    list.push_back("pivot").unwrap();
    thread::scope(|scope| {
        for thread in 0..2 {
            let list = &list;
            scope.spawn(move || {
                for i in 0..EACH {
                    list.push_front(format!("x{thread}.{i}")).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for i in 0..EACH {
                assert!(matches!(list.insert_before("pivot", format!("i{i}")), Ok(Inserted::Done(_))));
            }
        });
        scope.spawn(|| {
            let mut gone = 0;
            while gone < EACH {
                let first = list.position("x0.0").unwrap();
                let start = gone;
                for i in start..EACH {
                    gone += list.remove(0, format!("x0.{i}")).unwrap();
                    if gone <= i {
                        break;
                    }
                }
                assert!(first.is_none() || gone > 0);
            }
        });
    });
    let all = list.range(0, -1).unwrap();
    let with =
        |mark: char| all.iter().filter(|element| element.starts_with(mark)).cloned().collect::<Vec<_>>();
    assert_eq!(with('s'), (0..200).map(|i| format!("stay{i}")).collect::<Vec<_>>());
    assert_eq!(with('i'), (0..EACH).map(|i| format!("i{i}")).collect::<Vec<_>>());
    assert_eq!(with('x'), (0..EACH).rev().map(|i| format!("x1.{i}")).collect::<Vec<_>>());
    assert_eq!(all.last().map(String::as_str), Some("pivot"));
    engine.validate();
    let follower = Engine::new();
    engine.take_effects().iter().for_each(|effect| follower.apply(effect).unwrap());
    assert_eq!(engine.state_digest(), follower.state_digest());
}

#[test]
fn a_full_engine_still_gives_elements_away() {
    let engine = Engine::builder().max_memory(1 << 20).policy(Policy::NoEviction).shards(1).build().unwrap();
    let list = engine.list::<Bytes>("a");
    let refused = loop {
        if let Err(refused) = list.push_back([7; 100].as_slice()) {
            break refused;
        }
    };
    assert!(matches!(refused, OpError::OutOfMemory { .. }));
    let full = list.len().unwrap();
    assert!(full > 5_000, "{full} elements of 100 bytes in a MiB");
    assert!(list.pop_front().unwrap().is_some() && list.pop_back().unwrap().is_some());
    assert_eq!(list.pop_many(End::Head, 500).unwrap().map(|gone| gone.len()), Some(500));
    list.trim(100, -1).unwrap();
    assert_eq!(list.remove(3, [7; 100].as_slice()), Ok(3));
    assert_eq!(list.len(), Ok(full - 605));
    assert!(list.push_front([7; 100].as_slice()).is_ok());
    engine.validate();
}
