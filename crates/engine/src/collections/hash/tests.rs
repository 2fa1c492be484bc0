//! A map beside the hash, in each encoding and across the conversion.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Entry, Hash};
use crate::clock::UnixMillis;
use crate::collections::Body;
use crate::collections::rules::Rules;
use crate::effect::Delta;
use crate::engine::Encoding;
use crate::random::Random;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

const NOW: u64 = 1_700_000_000_000;

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<u8>, Vec<u8>, Option<u64>),
    Deadline(Vec<u8>, Option<u64>),
    Remove(Vec<u8>),
    Expire { after_ms: u64, budget: usize },
    Capture,
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        9 => (0_u8..24).prop_map(|n| format!("field:{n}").into_bytes()),
        1 => Just(Vec::new()),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        30 => proptest::collection::vec(any::<u8>(), 0..20),
        1 => (60_usize..300).prop_map(|len| vec![b'v'; len]),
    ]
}

fn deadline() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        3 => Just(None),
        3 => (NOW - 5..NOW + 100).prop_map(Some),
        1 => prop_oneof![Just(1), Just(NOW * 3), Just(UnixMillis::MAX.0)].prop_map(Some),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (field(), value(), deadline()).prop_map(|(field, value, at)| Step::Put(field, value, at)),
        3 => (field(), deadline()).prop_map(|(field, at)| Step::Deadline(field, at)),
        3 => field().prop_map(Step::Remove),
        1 => (0_u64..120, 0_usize..6).prop_map(|(after_ms, budget)| Step::Expire { after_ms, budget }),
        1 => Just(Step::Capture),
    ]
}

fn rules(entries: u32, value: u32) -> Rules {
    let mut rules = Rules::default();
    rules.limits.hash_max_listpack_entries = entries;
    rules.limits.hash_max_listpack_value = value;
    rules
}

fn entries(hash: &Hash) -> impl Iterator<Item = Entry<'_>> {
    let mut place = hash.start();
    std::iter::from_fn(move || hash.step(&mut place))
}

fn content(hash: &Hash) -> Model {
    let all = entries(hash).map(|entry| (entry.field.to_vec(), (entry.value.to_vec(), entry.deadline_ms)));
    all.collect()
}

/// Runs one step on both; every answer must be the same.
fn run(hash: &mut Hash, model: &mut Model, rules: &Rules, step: &Step) {
    match step {
        Step::Put(field, value, at) => {
            let had = model.insert(field.clone(), (value.clone(), *at));
            assert_eq!(hash.put(field, value, *at, rules), had.map(|(_, at)| at));
        }
        Step::Deadline(field, at) => {
            let found = model.get_mut(field).map(|entry| entry.1 = *at);
            assert_eq!(hash.set_deadline(field, *at), found.is_some());
        }
        Step::Remove(field) => {
            assert_eq!(hash.remove(field), model.remove(field).map(|(_, at)| at));
        }
        Step::Expire { after_ms, budget } => {
            let now = NOW + after_ms;
            let due: Vec<_> = model
                .iter()
                .filter(|(_, (_, at))| at.is_some_and(|at| at <= now))
                .map(|(field, _)| field.clone())
                .collect();
            let mut gone = Vec::new();
            let removed = hash.expire_due(now, *budget, rules, &mut |delta| match delta {
                Delta::HashRemove { field } => gone.push(field.to_vec()),
                other => panic!("{other:?}"),
            });
            assert_eq!((removed, gone.len()), ((*budget).min(due.len()), removed));
            for field in gone {
                assert!(due.contains(&field) && model.remove(&field).is_some());
            }
        }
        Step::Capture => {}
    }
}

fn check(hash: &Hash, model: &Model, rules: &Rules) {
    hash.validate(rules);
    assert_eq!(hash.len(), model.len());
    assert_eq!(hash.is_vacant(), model.is_empty());
    assert_eq!(content(hash), *model);
    let earliest = model.values().filter_map(|(_, at)| *at).min();
    match hash.encoding() {
        Encoding::Listpack => assert_eq!(hash.next_deadline_ms(), earliest),
        // It may be too early, never too late.
        _ => {
            assert_eq!(hash.next_deadline_ms().is_some(), earliest.is_some());
            assert!(hash.next_deadline_ms() <= earliest);
        }
    }
    for now in [0, NOW, NOW + 50] {
        let is_live = |at: Option<u64>| at.is_none_or(|at| at > now);
        assert_eq!(hash.live_len(now), model.values().filter(|(_, at)| is_live(*at)).count());
        for n in 0..24 {
            let field = format!("field:{n}").into_bytes();
            let found = hash.get(&field, now).map(|entry| (entry.value.to_vec(), entry.deadline_ms));
            assert_eq!(found, model.get(&field).filter(|(_, at)| is_live(*at)).cloned());
        }
    }
    let mut scanned = Model::new();
    let mut cursor = 0;
    loop {
        cursor = hash.scan(cursor, 3, |entry| {
            let entry = (entry.field.to_vec(), (entry.value.to_vec(), entry.deadline_ms));
            assert!(scanned.insert(entry.0, entry.1).is_none(), "once, while nothing changes");
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(scanned, *model);
}

fn rebuilt(hash: &Hash, rules: &Rules) -> Hash {
    let mut copy = Hash::empty(rules);
    hash.deltas(&mut |delta| copy.apply(&delta, rules));
    copy
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn behaves_as_a_map_in_each_encoding(
        steps in proptest::collection::vec(step(), 1..80),
        entries in prop_oneof![Just(0), 1_u32..16, Just(512)],
        value in prop_oneof![Just(64), Just(100_000)],
    ) {
        let rules = rules(entries, value);
        let (mut hash, mut model) = (Hash::empty(&rules), Model::new());
        let mut captures: Vec<(Hash, Model)> = Vec::new();
        for step in &steps {
            run(&mut hash, &mut model, &rules, step);
            check(&hash, &model, &rules);
            if matches!(step, Step::Capture) {
                captures.push((hash.clone(), model.clone()));
            }
            for (capture, then) in &captures {
                prop_assert_eq!(&content(capture), then);
            }
        }
        // I4: the digest knows neither history nor encoding.
        let other_rules = self::rules(u32::MAX, u32::MAX);
        for rules in [&rules, &other_rules] {
            let copy = rebuilt(&hash, rules);
            prop_assert_eq!(&content(&copy), &model);
            prop_assert_eq!(copy.digest(), hash.digest());
        }
        if let Some((field, (value, at))) = model.iter().next() {
            let digest = hash.digest();
            hash.set_deadline(field, Some(at.map_or(77, |at| at - 1)));
            prop_assert_ne!(hash.digest(), digest);
            hash.put(field, &[value.as_slice(), b"!"].concat(), *at, &rules);
            prop_assert_ne!(hash.digest(), digest);
        }
        while !hash.free_some(1) {}
        prop_assert!(hash.is_vacant());
    }

    #[test]
    fn samples_are_different_fields(size in 0_usize..60, count in 0_usize..80, entries in prop_oneof![Just(0), Just(512)], seed: u64) {
        let rules = rules(entries, 64);
        let mut hash = Hash::empty(&rules);
        for n in 0..size {
            hash.put(format!("f{n}").as_bytes(), b"v", None, &rules);
        }
        let mut seen = std::collections::BTreeSet::new();
        hash.sample(count, &mut Random::new(seed), |entry| assert!(seen.insert(entry.field.to_vec())));
        prop_assert_eq!(seen.len(), count.min(size));
    }
}

#[test]
fn choices_are_uniform() {
    for (entries, size, count) in [(512, 10, 1), (512, 10, 4), (0, 10, 9), (0, 100, 3), (0, 100, 1)] {
        let rules = rules(entries, 64);
        let mut hash = Hash::empty(&rules);
        for n in 0..size {
            hash.put(format!("{n}").as_bytes(), b"v", None, &rules);
        }
        let mut random = Random::new(7);
        let mut seen = vec![0_u32; size];
        let mut drawn = vec![0_u32; size];
        let rounds = 20_000 * size / 10;
        let number = |entry: Entry<'_>| -> usize {
            std::str::from_utf8(entry.field).expect("text").parse().expect("a number")
        };
        for _ in 0..rounds {
            hash.sample(count, &mut random, |entry| seen[number(entry)] += 1);
            drawn[number(hash.random(&mut random).expect("it is not empty"))] += 1;
        }
        for (counts, expected) in [(&seen, rounds * count / size), (&drawn, rounds / size)] {
            let (least, most) = (expected * 9 / 10, expected * 11 / 10);
            let even = counts.iter().all(|&n| (least..=most).contains(&(n as usize)));
            assert!(even, "{counts:?} are not near {expected}");
        }
    }
}

#[test]
fn both_limits_lead_to_the_large_encoding_and_nothing_leads_back() {
    let rules = rules(3, 4);
    let mut hash = Hash::empty(&rules);
    for field in ["a", "b", "c"] {
        hash.put(field.as_bytes(), b"1234", Some(NOW), &rules);
        assert_eq!(hash.encoding(), Encoding::Listpack);
    }
    let small = hash.clone();
    hash.put(b"d", b"", None, &rules);
    assert_eq!(hash.encoding(), Encoding::Hashtable);
    for field in ["a", "b", "c"] {
        hash.remove(field.as_bytes());
    }
    assert_eq!((hash.encoding(), hash.len()), (Encoding::Hashtable, 1));
    for (field, value) in [("a", "12345"), ("fivec", "1")] {
        let mut long = small.clone();
        long.put(field.as_bytes(), value.as_bytes(), None, &rules);
        assert_eq!(long.encoding(), Encoding::Hashtable);
        assert_eq!(long.next_deadline_ms(), Some(NOW), "deadlines move with their fields");
    }
}

#[test]
fn a_deadline_costs_four_bytes_in_the_packed_encoding() {
    let rules = Rules::default();
    let mut hash = Hash::empty(&rules);
    for n in 0..500_u64 {
        hash.put(format!("field:{n:04}").as_bytes(), b"0123456789", None, &rules);
    }
    let plain = hash.charged(rules.model);
    for n in 0..500_u64 {
        hash.set_deadline(format!("field:{n:04}").as_bytes(), Some(NOW + n * 1_000));
    }
    assert_eq!(hash.encoding(), Encoding::Listpack);
    let added = hash.charged(rules.model) - plain;
    assert!((2_000..2_064).contains(&added), "{added} B");
}
