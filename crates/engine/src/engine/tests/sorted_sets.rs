//! Sorted sets through their handle, beside an ordered map; what is recorded gives the same state elsewhere.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use crate::{
    Added, Aggregate, CombineOptions, EncodingLimits, Engine, LexRange, OpError, RankRange, ScanOptions,
    ScoreEnd, SortedRange, SortedSet, ZAddOptions,
};

fn at_most(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn engine(small: u32) -> Engine {
    let limits = EncodingLimits { zset_max_listpack_entries: small, ..EncodingLimits::default() };
    Engine::builder().seed(5).encoding_limits(limits).record_effects(true).build().expect("valid settings")
}

/// Applies what was recorded to an empty engine, which then holds the same.
fn assert_replays(engine: &Engine) {
    let copy = Engine::new();
    for effect in engine.take_effects() {
        copy.apply(&effect).expect("what was done can be done");
    }
    engine.validate();
    copy.validate();
    assert_eq!(copy.state_digest(), engine.state_digest());
}

#[derive(Debug, Clone)]
enum Step {
    Add(u8, f64, u8),
    Increment(u8, f64),
    Remove(u8),
    PopMin(u64),
    PopMax(u64),
    RemoveRanks(i64, i64),
    RemoveScores(f64, f64),
    Store(f64),
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![4 => (-5_i32..6).prop_map(f64::from), 1 => Just(f64::INFINITY), 1 => Just(0.5), 1 => Just(-1e9)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..30, score(), 0_u8..7).prop_map(|(member, score, options)| Step::Add(member, score, options)),
        2 => (0_u8..30, -3_i32..4).prop_map(|(member, by)| Step::Increment(member, f64::from(by))),
        2 => (0_u8..30).prop_map(Step::Remove),
        1 => (0_u64..4).prop_map(Step::PopMin),
        1 => (0_u64..4).prop_map(Step::PopMax),
        1 => (-10_i64..10, -10_i64..10).prop_map(|(start, stop)| Step::RemoveRanks(start, stop)),
        1 => (score(), score()).prop_map(|(min, max)| Step::RemoveScores(min, max)),
        1 => score().prop_map(Step::Store),
    ]
}

fn options(kind: u8) -> ZAddOptions {
    let new = ZAddOptions::new();
    match kind {
        1 => new.if_absent(),
        2 => new.if_present(),
        3 => new.if_greater(),
        4 => new.if_less(),
        5 => new.if_present().if_less(),
        _ => new,
    }
}

type Model = BTreeMap<u8, f64>;

fn in_order(model: &Model) -> Vec<(u8, f64)> {
    let mut entries: Vec<(u8, f64)> = model.iter().map(|(&member, &score)| (member, score)).collect();
    entries.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.to_string().cmp(&b.0.to_string())));
    entries
}

fn expected_add(model: &mut Model, member: u8, score: f64, kind: u8) -> Added {
    let Some(&old) = model.get(&member) else {
        if matches!(kind, 2 | 5) {
            return Added::Refused;
        }
        model.insert(member, score);
        return Added::Inserted;
    };
    let refused = kind == 1 || (kind == 3 && score <= old) || (matches!(kind, 4 | 5) && score >= old);
    if refused {
        return Added::Refused;
    }
    model.insert(member, score);
    if score == old { Added::Unchanged } else { Added::Updated }
}

fn run(engine: &Engine, set: &SortedSet<u8>, model: &mut Model, step: &Step) {
    let before = in_order(model);
    match *step {
        Step::Add(member, score, kind) => {
            let expected = expected_add(model, member, score, kind);
            assert_eq!(set.add_with(member, score, options(kind)), Ok(expected));
        }
        Step::Increment(member, by) => {
            let score = model.get(&member).copied().unwrap_or(0.0) + by;
            model.insert(member, score);
            assert_eq!(set.increment(member, by), Ok(score));
        }
        Step::Remove(member) => assert_eq!(set.remove(member), Ok(model.remove(&member).is_some())),
        Step::PopMin(count) => {
            let expected: Vec<_> = before.iter().copied().take(at_most(count)).collect();
            assert_eq!(set.pop(ScoreEnd::Lowest, count), Ok(expected.clone()));
            expected.iter().for_each(|(member, _)| assert!(model.remove(member).is_some()));
        }
        Step::PopMax(count) => {
            let expected: Vec<_> = before.iter().rev().copied().take(at_most(count)).collect();
            assert_eq!(set.pop(ScoreEnd::Highest, count), Ok(expected.clone()));
            expected.iter().for_each(|(member, _)| assert!(model.remove(member).is_some()));
        }
        Step::RemoveRanks(start, stop) => {
            let gone = set.range(RankRange { start, stop }).expect("it is a sorted set");
            assert_eq!(set.remove_range(RankRange { start, stop }), Ok(gone.len() as u64));
            gone.iter().for_each(|(member, _)| assert!(model.remove(member).is_some()));
        }
        Step::RemoveScores(min, max) => {
            let gone: Vec<u8> = before
                .iter()
                .filter(|(_, score)| *score >= min && *score <= max)
                .map(|(member, _)| *member)
                .collect();
            assert_eq!(set.remove_range(SortedRange::scores(min..=max)), Ok(gone.len() as u64));
            gone.iter().for_each(|member| assert!(model.remove(member).is_some()));
        }
        Step::Store(min) => {
            let expected: Vec<_> = before.iter().copied().filter(|(_, score)| *score >= min).collect();
            assert_eq!(set.store_range("stored", SortedRange::scores(min..)), Ok(expected.len() as u64));
            assert_eq!(engine.sorted_set::<u8>("stored").range(RankRange::from(..)), Ok(expected));
        }
    }
}

fn assert_same(set: &SortedSet<u8>, model: &Model) {
    let expected = in_order(model);
    assert_eq!(set.len(), Ok(expected.len() as u64));
    assert_eq!(set.range(RankRange::from(..)).as_ref(), Ok(&expected));
    let backwards: Result<Vec<_>, _> = set.iter().expect("it is a sorted set").rev().collect();
    assert_eq!(backwards, Ok(expected.iter().rev().copied().collect()));
    for (rank, (member, score)) in expected.iter().enumerate() {
        assert_eq!(set.rank_and_score(member), Ok(Some((rank as u64, *score))));
        assert_eq!(set.rev_rank(member), Ok(Some((expected.len() - 1 - rank) as u64)));
    }
    let mut page = set.scan(0, &ScanOptions::new().count(3)).expect("it is a sorted set");
    let mut scanned = page.members;
    while page.cursor != 0 {
        page = set.scan(page.cursor, &ScanOptions::new().count(3)).expect("it is a sorted set");
        scanned.append(&mut page.members);
    }
    assert_eq!(scanned.into_iter().collect::<Model>(), *model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn steps_agree_with_a_map(steps in proptest::collection::vec(step(), 1..80), small in prop_oneof![Just(0), Just(8), Just(128)]) {
        let engine = engine(small);
        let set = engine.sorted_set::<u8>("set").into_owned();
        let mut model = Model::new();
        for step in &steps {
            run(&engine, &set, &mut model, step);
            assert_same(&set, &model);
            prop_assert_eq!(engine.exists("set"), Ok(!model.is_empty()));
        }
        assert_replays(&engine);
    }

    #[test]
    fn algebra_agrees_with_maps(
        sources in proptest::collection::vec(proptest::collection::btree_map(0_u8..12, -4_i32..5, 0..12), 1..4),
        weights in proptest::collection::vec(-2_i32..3, 3),
        aggregate in prop_oneof![Just(Aggregate::Sum), Just(Aggregate::Min), Just(Aggregate::Max)],
        plain in 0_usize..4,
        small in prop_oneof![Just(0), Just(128)],
    ) {
        let engine = engine(small);
        let keys: Vec<String> = (0..sources.len()).map(|at| format!("k{at}")).collect();
        let mut models: Vec<Model> = Vec::new();
        for (at, source) in sources.iter().enumerate() {
            let weight = f64::from(weights[at]);
            let score = |score: i32| if at == plain { 1.0 } else { f64::from(score) };
            for (&member, &value) in source {
                if at == plain {
                    engine.set_of::<u8>(&keys[at]).add(member).expect("there is room");
                } else {
                    engine.sorted_set::<u8>(&keys[at]).add(member, score(value)).expect("there is room");
                }
            }
            models.push(source.iter().map(|(&member, &value)| (member, score(value) * weight)).collect());
        }
        let combine = |one: f64, other: f64| match aggregate {
            Aggregate::Sum => one + other,
            Aggregate::Min => one.min(other),
            Aggregate::Max => one.max(other),
        };
        let (mut union, mut inter) = (Model::new(), models[0].clone());
        for model in &models {
            for (&member, &score) in model {
                union.entry(member).and_modify(|all| *all = combine(*all, score)).or_insert(score);
            }
        }
        for model in &models[1..] {
            inter = inter.iter().filter_map(|(m, all)| Some((*m, combine(*all, *model.get(m)?)))).collect();
        }
        let weights = weights.iter().take(keys.len()).map(|&weight| f64::from(weight));
        let options = CombineOptions::new().weights(weights).aggregate(aggregate);
        let zeroed = |entries: Vec<(u8, f64)>| entries.into_iter().map(|(m, s)| (m, s + 0.0)).collect::<Model>();
        let positive = |model: &Model| model.iter().map(|(&m, &s)| (m, s + 0.0)).collect::<Model>();
        prop_assert_eq!(zeroed(engine.sorted_union(&keys, &options).expect("sets")), positive(&union));
        prop_assert_eq!(zeroed(engine.sorted_inter(&keys, &options).expect("sets")), positive(&inter));
        prop_assert_eq!(engine.sorted_inter_len(&keys, None), Ok(inter.len() as u64));
        prop_assert_eq!(engine.sorted_inter_len(&keys, Some(2)), Ok(inter.len().min(2) as u64));
        let rest: Vec<u8> = sources[0].keys().copied().filter(|m| !sources[1..].iter().any(|s| s.contains_key(m))).collect();
        let diff: Vec<(u8, f64)> = engine.sorted_diff(&keys).expect("sets");
        prop_assert_eq!(diff.iter().map(|(m, _)| *m).collect::<std::collections::BTreeSet<_>>(), rest.into_iter().collect());
        prop_assert_eq!(engine.store_sorted_union(&keys[0], &keys, &options), Ok(union.len() as u64));
        let stored = engine.sorted_set::<u8>(&keys[0]).range(RankRange::from(..)).expect("a sorted set");
        prop_assert_eq!(zeroed(stored), positive(&union));
        assert_replays(&engine);
    }
}

#[test]
fn another_type_is_refused_by_name() {
    let engine = engine(128);
    engine.set("text", "x").expect("there is room");
    let set = engine.sorted_set::<Bytes>("text");
    let Err(OpError::WrongType { key, expected, found }) = set.add(b"a", 1.0) else {
        panic!("a string is no sorted set")
    };
    assert_eq!((&*key, expected, found), (&b"text"[..], "zset", "string"));
    assert!(matches!(set.score(b"a"), Err(OpError::WrongType { .. })));
    assert!(matches!(
        engine.sorted_union::<Bytes, _>(&["text"], &CombineOptions::new()),
        Err(OpError::WrongType { .. })
    ));
    engine.sorted_set::<Bytes>("a").add(b"m", 1.0).expect("there is room");
    assert!(matches!(engine.get("a"), Err(OpError::WrongType { .. })));
}

#[test]
fn a_sum_that_is_no_number_changes_nothing() {
    let engine = engine(128);
    let set = engine.sorted_set::<Bytes>("set");
    set.add(b"a", f64::INFINITY).expect("there is room");
    assert_eq!(set.increment(b"a", f64::NEG_INFINITY), Err(OpError::ScoreNotANumber));
    assert_eq!(
        set.add_all([(b"b", 1.0), (b"c", f64::NAN)], ZAddOptions::new()),
        Err(OpError::ScoreNotANumber)
    );
    assert_eq!(set.range(RankRange::from(..)), Ok(vec![(Bytes::from_static(b"a"), f64::INFINITY)]));
    assert_eq!(engine.sorted_set::<Bytes>("new").add(b"a", f64::NAN), Err(OpError::ScoreNotANumber));
    assert_eq!(engine.exists("new"), Ok(false));
}

#[test]
fn a_walk_sees_one_moment() {
    let engine = engine(0);
    let set = engine.sorted_set::<u32>("set");
    set.add_all((0..5_000_u32).map(|n| (n, f64::from(n))), ZAddOptions::new()).expect("there is room");
    let mut walk = set.iter().expect("a sorted set");
    let first: Vec<u32> = walk.by_ref().take(100).map(|entry| entry.expect("a number").0).collect();
    for n in 0..5_000_u32 {
        set.add(n, f64::from(10_000 - n)).expect("there is room");
    }
    set.remove_range(RankRange::from(0..2_500)).expect("a sorted set");
    let rest: Vec<u32> = walk.map(|entry| entry.expect("a number").0).collect();
    assert_eq!(first.into_iter().chain(rest).collect::<Vec<_>>(), (0..5_000).collect::<Vec<_>>());
    engine.validate();
}

#[test]
fn members_of_one_score_have_ranges_of_bytes() {
    for small in [0, 128] {
        let engine = engine(small);
        let set = engine.sorted_set::<String>("words");
        set.add_all(["ant", "bee", "cat", "dog"].map(|word| (word, 0.0)), ZAddOptions::new())
            .expect("there is room");
        let words = |range: SortedRange| -> Vec<String> {
            set.range(range).expect("words").into_iter().map(|(word, _)| word).collect()
        };
        assert_eq!(words(LexRange::of("b".."d").into()), ["bee", "cat"]);
        assert_eq!(words(SortedRange::members(LexRange::of("bee"..)).rev().limit(1, 5)), ["cat", "bee"]);
        assert_eq!(set.count_members(LexRange::of::<&str>(..)), Ok(4));
        assert_eq!(set.remove_range(SortedRange::members(LexRange::of(..="bee"))), Ok(2));
        assert_eq!(words(SortedRange::ranks(..)), ["cat", "dog"]);
    }
}
