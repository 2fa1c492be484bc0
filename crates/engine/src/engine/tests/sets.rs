//! Sets through their handle: against a model with effects applied elsewhere, several sets at once, popping many.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use proptest::prelude::*;

use crate::{At, Encoding, Engine, ManualClock, OpError, ScanOptions, Set, SetMembers, UnixMillis};

fn engine() -> Engine {
    let clock = ManualClock::new(UnixMillis(1_000_000));
    Engine::builder().clock(clock).seed(1).shards(4).record_effects(true).build().unwrap()
}

fn set<'a>(engine: &'a Engine, key: &'a str) -> Set<u32, At<'a>> {
    engine.set_of(key)
}

fn all(members: SetMembers<u32>) -> BTreeSet<u32> {
    let listed: Vec<u32> = members.map(Result::unwrap).collect();
    let unique: BTreeSet<u32> = listed.iter().copied().collect();
    assert_eq!(listed.len(), unique.len(), "none twice");
    unique
}

fn follow(follower: &Engine, engine: &Engine) {
    for effect in engine.take_effects() {
        follower.apply(&effect).unwrap();
    }
    engine.validate();
    assert_eq!(follower.state_digest(), engine.state_digest());
}

const KEYS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Step {
    Add(usize, Vec<u32>),
    Remove(usize, Vec<u32>),
    Pop(usize),
    PopMany(usize, usize),
    Move(usize, usize, u32),
    Store(usize, u8, Vec<usize>),
    Look(usize, Vec<u32>),
    Random(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0usize..3;
    let number = prop_oneof![0u32..30, 0u32..2_000];
    let some = prop::collection::vec(number.clone(), 0..60);
    let run = (0u32..2_000, 0u32..700).prop_map(|(from, count)| (from..from + count).collect());
    prop_oneof![
        4 => (key.clone(), prop_oneof![some.clone(), run]).prop_map(|(k, m)| Step::Add(k, m)),
        3 => (key.clone(), some.clone()).prop_map(|(k, m)| Step::Remove(k, m)),
        2 => key.clone().prop_map(Step::Pop),
        2 => (key.clone(), prop_oneof![0usize..10, 0usize..1_500]).prop_map(|(k, n)| Step::PopMany(k, n)),
        3 => (key.clone(), key.clone(), number).prop_map(|(a, b, m)| Step::Move(a, b, m)),
        2 => (key.clone(), 0u8..3, prop::collection::vec(0usize..3, 1..4))
            .prop_map(|(k, how, sources)| Step::Store(k, how, sources)),
        2 => (key.clone(), some).prop_map(|(k, m)| Step::Look(k, m)),
        1 => (key, 0usize..40).prop_map(|(k, n)| Step::Random(k, n)),
    ]
}

fn combined(how: u8, models: &[BTreeSet<u32>], sources: &[usize]) -> BTreeSet<u32> {
    let (first, others) = sources.split_first().unwrap();
    others.iter().fold(models[*first].clone(), |result, &other| match how {
        0 => result.intersection(&models[other]).copied().collect(),
        1 => result.union(&models[other]).copied().collect(),
        _ => result.difference(&models[other]).copied().collect(),
    })
}

fn perform(engine: &Engine, models: &mut [BTreeSet<u32>], step: &Step) {
    match step {
        Step::Add(key, members) => {
            let new = members.iter().filter(|&&member| models[*key].insert(member)).count() as u64;
            assert_eq!(set(engine, KEYS[*key]).add_many(members), Ok(new));
        }
        Step::Remove(key, members) => {
            let gone = members.iter().filter(|member| models[*key].remove(member)).count() as u64;
            assert_eq!(set(engine, KEYS[*key]).remove_many(members), Ok(gone));
        }
        Step::Pop(key) => {
            let popped = set(engine, KEYS[*key]).pop().unwrap();
            assert_eq!(popped.is_none(), models[*key].is_empty());
            assert!(popped.is_none_or(|member| models[*key].remove(&member)));
        }
        Step::PopMany(key, count) => {
            let popped = all(set(engine, KEYS[*key]).pop_many(*count).unwrap());
            assert_eq!(popped.len(), (*count).min(models[*key].len()));
            assert!(popped.iter().all(|member| models[*key].remove(member)));
        }
        Step::Move(from, to, member) => {
            let moved = set(engine, KEYS[*from]).move_to(KEYS[*to], *member).unwrap();
            assert_eq!(moved, models[*from].remove(member));
            if moved {
                models[*to].insert(*member);
            }
        }
        Step::Store(key, how, sources) => {
            let keys: Vec<&str> = sources.iter().map(|&source| KEYS[source]).collect();
            let result = combined(*how, models, sources);
            let (first, others) = (set(engine, keys[0]), keys[1..].iter().copied());
            let target = set(engine, KEYS[*key]);
            let (read, stored) = match how {
                0 => (first.intersection(others), target.store_intersection(keys.iter().copied())),
                1 => (first.union(others), target.store_union(keys.iter().copied())),
                _ => (first.difference(others), target.store_difference(keys.iter().copied())),
            };
            assert_eq!((all(read.unwrap()), stored), (result.clone(), Ok(result.len() as u64)));
            models[*key] = result;
        }
        Step::Look(key, members) => {
            let found = set(engine, KEYS[*key]).contains_many(members).unwrap();
            assert!(members.iter().zip(found).all(|(member, found)| models[*key].contains(member) == found));
        }
        Step::Random(key, count) => {
            let set = set(engine, KEYS[*key]);
            let sample = all(set.random_many(*count).unwrap());
            assert!(sample.len() == (*count).min(models[*key].len()) && sample.is_subset(&models[*key]));
            let repeated: Vec<u32> =
                set.random_repeating().unwrap().take(*count).map(Result::unwrap).collect();
            assert_eq!(repeated.len(), if models[*key].is_empty() { 0 } else { *count });
            assert!(repeated.iter().all(|member| models[*key].contains(member)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn handles_do_what_the_model_does_and_effects_repeat_it(steps in prop::collection::vec(step(), 0..40)) {
        let (engine, follower) = (engine(), Engine::builder().seed(9).build().unwrap());
        let mut models = vec![BTreeSet::new(); 3];
        for step in &steps {
            perform(&engine, &mut models, step);
            for (key, model) in KEYS.iter().zip(&models) {
                let set = set(&engine, key);
                prop_assert_eq!(&all(set.iter().unwrap()), model);
                prop_assert_eq!((set.len(), engine.exists(key)), (Ok(model.len() as u64), Ok(!model.is_empty())));
            }
            follow(&follower, &engine);
        }
    }
}

#[test]
fn another_type_is_refused_by_every_operation() {
    let engine = engine();
    engine.set("text", "x").unwrap();
    set(&engine, "s").add_many([1, 2]).unwrap();
    let text = set(&engine, "text");
    let wrong = |error: OpError| {
        assert!(matches!(&error, OpError::WrongType { expected: "set", found: "string", .. }), "{error:?}");
    };
    wrong(text.add(1).unwrap_err());
    wrong(text.add_many([1]).unwrap_err());
    wrong(text.remove(1).unwrap_err());
    wrong(text.remove_many([1]).unwrap_err());
    wrong(text.contains(1).unwrap_err());
    wrong(text.contains_many([1]).unwrap_err());
    wrong(text.len().unwrap_err());
    wrong(text.pop().unwrap_err());
    wrong(text.pop_many(0).unwrap_err());
    wrong(text.random().unwrap_err());
    wrong(text.random_many(0).unwrap_err());
    wrong(text.random_repeating().unwrap_err());
    wrong(text.iter().unwrap_err());
    wrong(text.scan(0, &ScanOptions::new()).unwrap_err());
    wrong(text.move_to("s", 1).unwrap_err());
    // The type of what is moved to counts as soon as there is a set to move from.
    wrong(set(&engine, "s").move_to("text", 1).unwrap_err());
    wrong(set(&engine, "s").move_to("text", 9).unwrap_err());
    assert_eq!(set(&engine, "none").move_to("text", 1), Ok(false));
    // One wrong key is told even where an absent one decides the result.
    wrong(set(&engine, "none").intersection(["text"]).unwrap_err());
    wrong(set(&engine, "none").difference(["text"]).unwrap_err());
    wrong(set(&engine, "s").union(["none", "text"]).unwrap_err());
    wrong(set(&engine, "s").store_intersection(["none", "text"]).unwrap_err());
    assert_eq!(all(set(&engine, "s").iter().unwrap()), BTreeSet::from([1, 2]));
    // What a result replaces may be of any type.
    assert_eq!(text.store_union(["s"]), Ok(2));
    engine.set("text", "x").unwrap();
    assert_eq!((text.store_intersection(["none"]), engine.exists("text")), (Ok(0), Ok(false)));
    engine.validate();
}

#[test]
fn what_cannot_be_decoded_names_the_key() {
    let engine = engine();
    engine.set_of::<Bytes>("words").add_many([&b"seven"[..], b"7"]).unwrap();
    let members: Vec<_> = set(&engine, "words").iter().unwrap().collect();
    assert_eq!(members.iter().filter(|member| matches!(member, Ok(7))).count(), 1);
    assert_eq!(members.iter().filter(|member| matches!(member, Err(OpError::Codec { .. }))).count(), 1);
    assert!(matches!(set(&engine, "words").scan(0, &ScanOptions::new()), Err(OpError::Codec { .. })));
}

#[test]
fn a_walk_does_not_see_what_is_written_meanwhile() {
    let engine = engine();
    let numbers = set(&engine, "numbers");
    numbers.add_many(0..5_000).unwrap();
    let walk = numbers.iter().unwrap();
    numbers.remove_many(0..4_000).unwrap();
    numbers.add_many(10_000..11_000).unwrap();
    assert_eq!(all(walk), (0..5_000).collect());
    engine.validate();
    let walk = numbers.iter().unwrap();
    engine.remove("numbers").unwrap();
    assert_eq!(walk.len(), 2_000);
    assert_eq!(all(walk), (4_000..5_000).chain(10_000..11_000).collect());
}

#[test]
fn pages_cover_a_set_that_grows_and_shrinks() {
    let engine = engine();
    let numbers = set(&engine, "numbers");
    numbers.add_many(0..3_000).unwrap();
    let options = ScanOptions::new().count(50);
    let (mut cursor, mut seen, mut round) = (0, BTreeSet::new(), 0);
    loop {
        let page = numbers.scan(cursor, &options).unwrap();
        for member in page.members {
            assert!(seen.insert(member), "{member} came twice");
        }
        cursor = page.cursor;
        if cursor == 0 {
            break;
        }
        let extra = 100_000..104_000;
        if round % 6 < 3 { numbers.add_many(extra) } else { numbers.remove_many(extra) }.unwrap();
        round += 1;
    }
    assert!(round > 20 && (0..3_000).all(|number| seen.contains(&number)));
}

#[test]
fn popping_most_of_a_set_leaves_a_small_one() {
    let engine = engine();
    let numbers = set(&engine, "numbers");
    numbers.add_many(0..10_000).unwrap();
    assert_eq!(engine.encoding("numbers"), Ok(Some(Encoding::Hashtable)));
    assert_eq!(numbers.pop_many(9_900).unwrap().len(), 9_900);
    assert_eq!(engine.encoding("numbers"), Ok(Some(Encoding::Intset)));
    engine.validate();
    let mixed = engine.set_of::<String>("mixed");
    mixed.add_many((0..200).map(|number| format!("m{number}"))).unwrap();
    assert_eq!(
        (mixed.pop_many(150).unwrap().len(), engine.encoding("mixed")),
        (150, Ok(Some(Encoding::Hashtable)))
    );
    assert_eq!(
        (mixed.pop_many(45).unwrap().len(), engine.encoding("mixed")),
        (45, Ok(Some(Encoding::Listpack)))
    );
    engine.validate();
    assert_eq!((numbers.pop_many(usize::MAX).unwrap().len(), engine.exists("numbers")), (100, Ok(false)));
    engine.validate();
}

#[test]
fn popping_many_loses_and_repeats_nothing_beside_writers() {
    let engine = Engine::builder().seed(3).build().unwrap();
    let numbers = set(&engine, "numbers");
    numbers.add_many(0..40_000).unwrap();
    let (stop, added) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut popped = BTreeSet::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 40_000..60_000 {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                assert_eq!(set(&engine, "numbers").add(number), Ok(true));
                added.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..20 {
            for member in all(numbers.pop_many(1_500).unwrap()) {
                assert!(popped.insert(member), "{member} was popped twice");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let rest = all(numbers.iter().unwrap());
    assert!(rest.is_disjoint(&popped));
    assert_eq!((rest.len() + popped.len()) as u64, 40_000 + added.load(Ordering::Relaxed));
    engine.validate();
}
