//! A sorted vector is the model; every test runs small, large, and across the conversion.

use proptest::prelude::*;

use super::*;
use crate::collections::rules::EncodingLimits;
use crate::random::Random;

/// Rules with this many members in a small set.
fn rules(entries: u32) -> Rules {
    let limits = EncodingLimits { zset_max_listpack_entries: entries, ..EncodingLimits::default() };
    Rules { limits, seed: 7, ..Rules::default() }
}

type Entry = (f64, Vec<u8>);

/// What a sorted set should hold.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model(Vec<Entry>);

impl Model {
    fn rank_of(&self, member: &[u8]) -> Option<usize> {
        self.0.iter().position(|(_, other)| other == member)
    }

    fn put(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let was = self.rank_of(member).map(|rank| self.0[rank].0);
        if was == Some(score) {
            return was;
        }
        if let Some(rank) = self.rank_of(member) {
            self.0.remove(rank);
        }
        let at =
            self.0.partition_point(|(other, name)| *other < score || (*other == score && &**name < member));
        self.0.insert(at, (score, member.to_vec()));
        was
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        self.rank_of(member).map(|rank| self.0.remove(rank).0)
    }
}

fn entries(order: &Order) -> Vec<Entry> {
    let mut entries = Vec::new();
    order.visit(0..order.len(), false, |member, score| {
        entries.push((score, member.to_vec()));
        true
    });
    entries
}

/// The entries to the bit, but for the sign of zero, which only large sets keep.
fn bits(entries: &[Entry]) -> Vec<(u64, &[u8])> {
    entries.iter().map(|(score, member)| (unsigned_zero(*score).to_bits(), &**member)).collect()
}

fn assert_same(set: &SortedSet, model: &Model, rules: &Rules) {
    set.validate(rules);
    assert_eq!(bits(&entries(set.order())), bits(&model.0));
    let mut backwards = Vec::new();
    set.order().visit(0..set.len(), true, |member, score| {
        backwards.push((score, member.to_vec()));
        true
    });
    backwards.reverse();
    assert_eq!(bits(&backwards), bits(&model.0));
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<u8>, f64),
    Remove(Vec<u8>),
    RemoveAt(usize),
    Capture,
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-3_i32..4).prop_map(f64::from),
        2 => proptest::num::f64::NORMAL,
        1 => prop_oneof![Just(-0.0), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(1e300)],
        1 => any::<i32>().prop_map(f64::from),
        1 => (-40_000_i32..40_000).prop_map(f64::from),
    ]
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0_u8..40).prop_map(|n| format!("m{n}").into_bytes()),
        2 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => (0_u8..8, 60_usize..5_000).prop_map(|(n, len)| vec![n; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (member(), score()).prop_map(|(member, score)| Step::Put(member, score)),
        2 => member().prop_map(Step::Remove),
        1 => (0_usize..60).prop_map(Step::RemoveAt),
        1 => Just(Step::Capture),
    ]
}

fn run(steps: &[Step], rules: &Rules) {
    let (mut set, mut model) = (SortedSet::empty(rules), Model::default());
    let mut captures = Vec::new();
    for step in steps {
        match step {
            Step::Put(member, score) => {
                assert_eq!(set.put(member, *score, rules), model.put(member, *score));
                assert!(set.score(member).is_some_and(|now| now == *score));
            }
            Step::Remove(member) => {
                assert_eq!(set.remove(member), model.remove(member));
                assert_eq!(set.find(member), None);
            }
            Step::RemoveAt(rank) => {
                let expected = (*rank < model.0.len()).then(|| model.0.remove(*rank));
                let removed = set.remove_at(*rank as u64).map(|(member, score)| (score, member));
                assert_eq!(removed, expected);
            }
            Step::Capture => captures.push((set.clone(), model.clone())),
        }
        assert_same(&set, &model, rules);
    }
    for (set, model) in captures {
        assert_same(&set, &model, rules);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn steps_agree_with_the_model(steps in proptest::collection::vec(step(), 1..120), small in prop_oneof![Just(0), Just(12), Just(1_000)]) {
        run(&steps, &rules(small));
    }

    #[test]
    fn ranges_agree_with_the_model(
        pairs in proptest::collection::vec((member(), score()), 0..80),
        from in (score(), 0..3), to in (score(), 0..3),
        small in prop_oneof![Just(0), Just(1_000)],
        offset in 0_u64..5, count in 0_u64..50, limited: bool, reverse: bool,
    ) {
        use std::ops::{Bound, RangeBounds};
        let rules = rules(small);
        let (mut set, mut model) = (SortedSet::empty(&rules), Model::default());
        for (member, score) in &pairs {
            set.put(member, *score, &rules);
            model.put(member, *score);
        }
        let bound = |(score, kind)| match kind {
            0 => Bound::Included(score),
            1 => Bound::Excluded(score),
            _ => Bound::Unbounded,
        };
        let range = (bound(from), bound(to));
        let mut expected: Vec<Entry> = model.0.iter().filter(|entry| range.contains(&entry.0)).cloned().collect();
        let mut selection = SortedRange::scores(range);
        if reverse {
            expected.reverse();
            selection = selection.rev();
        }
        if limited {
            let [skipped, taken] = [offset, count].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
            expected = expected.into_iter().skip(skipped).take(taken).collect();
            selection = selection.limit(offset, count);
        }
        let mut found = Vec::new();
        set.order().visit(selection.resolve(set.order()), reverse, |member, score| {
            found.push((score, member.to_vec()));
            true
        });
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn equal_states_have_equal_digests(pairs in proptest::collection::vec((member(), score()), 0..60), swap in any::<u64>()) {
        let (small, large) = (rules(1_000), rules(0));
        let (mut one, mut other) = (SortedSet::empty(&small), SortedSet::empty(&large));
        for (member, score) in &pairs {
            one.put(member, *score, &small);
        }
        let mut deltas = Vec::new();
        one.deltas(&mut |delta| deltas.push(delta));
        let mut random = Random::new(swap);
        for at in (1..deltas.len()).rev() {
            deltas.swap(at, random.index_below(at + 1));
        }
        for delta in &deltas {
            other.apply(delta, &large);
        }
        prop_assert_eq!(one.digest(), other.digest());
        other.put(b"another", 1.5, &large);
        prop_assert_ne!(one.digest(), other.digest());
        let again = SortedSet::from_ascending(entries(one.order()).iter().map(|(score, member)| (*score, &**member)), &small);
        again.validate(&small);
        prop_assert_eq!(one.digest(), again.digest());
    }
}

/// Thousands of members, so that nodes split, merge and are copied at several levels.
fn churn(seed: u64, scores: u64, count: usize, member_bytes: usize) {
    let rules = rules(128);
    let mut random = Random::new(seed);
    let mut set = SortedSet::empty(&rules);
    let mut scores_of = std::collections::BTreeMap::new();
    let mut captures: Vec<(SortedSet, Vec<Entry>)> = Vec::new();
    let name = |n: u64| format!("{n:0member_bytes$}").into_bytes();
    for round in 0..8 {
        let shrinking = round % 4 == 3;
        for _ in 0..count {
            let member = name(random.below(count as u64 * 2));
            if random.below(10) < if shrinking { 8 } else { 2 } {
                assert_eq!(set.remove(&member), scores_of.remove(&member));
            } else {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let score = random.below(scores) as f64 / 4.0;
                assert_eq!(set.put(&member, score, &rules), scores_of.insert(member, score));
            }
        }
        set.validate(&rules);
        let mut expected: Vec<Entry> =
            scores_of.iter().map(|(member, score)| (*score, member.clone())).collect();
        expected.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        assert!(entries(set.order()) == expected, "round {round} of seed {seed}");
        for (rank, (score, member)) in expected.iter().enumerate().step_by(37) {
            assert_eq!(set.find(member), Some((rank as u64, *score)));
            assert_eq!(set.order().entry(rank as u64), Some((&**member, *score)));
        }
        captures.push((set.clone(), expected));
    }
    for (mut set, expected) in captures {
        set.validate(&rules);
        assert!(entries(set.order()) == expected, "a capture does not change");
        let mut slices = 0;
        while !set.free_some(16) {
            slices += 1;
        }
        assert!(slices < 10_000 && set.is_vacant());
    }
    assert!(set.free_some(usize::MAX));
}

#[test]
fn many_members_of_many_scores() {
    churn(1, 1 << 40, 4_000, 6);
}

#[test]
fn many_members_of_few_scores() {
    churn(2, 5, 4_000, 6);
}

#[test]
fn many_members_of_one_score() {
    churn(3, 1, 3_000, 6);
}

#[test]
fn long_members() {
    churn(4, 100, 400, 900);
    churn(5, 100, 150, 5_000);
}

#[test]
fn ascending_and_descending_members_fill_their_runs() {
    for step in [1, -1] {
        let rules = rules(0);
        let mut set = SortedSet::empty(&rules);
        for n in 0..20_000 {
            set.put(format!("{n}").as_bytes(), f64::from(n * step), &rules);
        }
        set.validate(&rules);
        assert!(set.order().run_count() <= 20_000 / RUN_ENTRIES_NEARLY, "{}", set.order().run_count());
    }
}

/// Less than a full run's entries by one tenth.
const RUN_ENTRIES_NEARLY: usize = 56;

#[test]
fn removal_leaves_no_thin_runs() {
    let rules = rules(0);
    let mut set = SortedSet::empty(&rules);
    let mut random = Random::new(9);
    for n in 0..20_000 {
        set.put(format!("{n}").as_bytes(), f64::from(n), &rules);
    }
    let full = set.charged(rules.model);
    for _ in 0..19_000 {
        let rank = random.below(set.len());
        set.remove_at(rank);
    }
    set.validate(&rules);
    assert!(set.order().run_count() < 60, "{} runs for 1,000 members", set.order().run_count());
    assert!(set.charged(rules.model) < full / 8, "{} of {full}", set.charged(rules.model));
}

#[test]
fn thresholds_are_those_of_redis() {
    let rules = Rules::default();
    let mut set = SortedSet::empty(&rules);
    for n in 0..128_u8 {
        set.put(&[n], 1.0, &rules);
    }
    assert_eq!(set.encoding(), Encoding::Listpack);
    set.put(b"one too many", 1.0, &rules);
    assert_eq!(set.encoding(), Encoding::Skiplist);
    while set.len() > 1 {
        set.remove_at(0);
    }
    assert_eq!(set.encoding(), Encoding::Skiplist, "it does not go back");
    let mut set = SortedSet::empty(&rules);
    set.put(&[b'a'; 64], 1.0, &rules);
    assert_eq!(set.encoding(), Encoding::Listpack);
    set.put(&[b'a'; 65], 1.0, &rules);
    assert_eq!(set.encoding(), Encoding::Skiplist);
}

#[test]
fn only_large_sets_have_a_minus_zero() {
    for (small, sign) in [(0, true), (1, false)] {
        let rules = rules(small);
        let mut set = SortedSet::empty(&rules);
        set.put(b"a", -0.0, &rules);
        assert_eq!(set.score(b"a").map(f64::is_sign_negative), Some(sign));
        set.put(b"a", 0.0, &rules);
        assert_eq!(set.score(b"a").map(f64::is_sign_negative), Some(sign), "the score is the same one");
        let built = SortedSet::from_ascending([(-0.0, &b"a"[..])].into_iter(), &rules);
        assert_eq!(built.score(b"a").map(f64::is_sign_negative), Some(sign));
        assert_eq!(set.digest(), built.digest());
    }
}

/// Walks a whole scan while the set changes, and checks that what stayed was visited exactly once.
fn scan_while_changing(scores: u64, count: usize) {
    let rules = rules(128);
    let mut random = Random::new(11);
    let mut set = SortedSet::empty(&rules);
    let stays = |n: u64| format!("stays{n}").into_bytes();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let some_score = |random: &mut Random| random.below(scores) as f64;
    for n in 0..3_000 {
        let score = some_score(&mut random);
        set.put(&stays(n), score, &rules);
    }
    let mut seen = std::collections::BTreeMap::new();
    let (mut cursor, mut pages) = (0, 0);
    loop {
        let mut page = 0;
        cursor = set.scan(cursor, count, |member, _| {
            page += 1;
            *seen.entry(member.to_vec()).or_insert(0) += 1;
        });
        pages += 1;
        if cursor == 0 {
            break;
        }
        // Growth in the first part, shrinkage in the second, and scores that change all the time.
        for step in 0..50_u64 {
            let other = format!("other{}", random.below(20_000));
            if pages % 64 < 32 || step % 8 == 0 {
                let score = some_score(&mut random);
                set.put(other.as_bytes(), score, &rules);
            } else {
                set.remove(other.as_bytes());
            }
            let (mover, score) = (stays(random.below(3_000)), some_score(&mut random));
            set.put(&mover, score, &rules);
        }
    }
    set.validate(&rules);
    for n in 0..3_000 {
        assert_eq!(seen.get(&stays(n)), Some(&1), "member {n}, {pages} pages");
    }
    assert!(pages > 3);
}

#[test]
fn scans_return_what_stays_once() {
    scan_while_changing(1 << 40, 10);
    scan_while_changing(4, 100);
    scan_while_changing(1, 700);
}

#[test]
fn members_with_one_hash_are_told_apart() {
    let mut meter = Meter::new(AllocatorModel::Requested);
    let mut members = Members::new(0, &mut meter);
    for n in 0..3_000_u32 {
        members.insert(u32::MAX - n % 2, f64::from(n), &mut meter);
    }
    members.validate(&meter);
    assert_eq!(members.scores(u32::MAX).count(), 1_500);
    for n in (0..3_000_u32).rev() {
        members.remove(u32::MAX - n % 2, f64::from(n), &mut meter);
    }
    let (left, bytes) = members.validate(&meter);
    assert_eq!((left, bytes), (0, meter.bytes()));
}

#[test]
fn policy_is_that_of_zadd() {
    use Decision::{Insert, Keep, Refuse, Update};
    let new = ZAddOptions::new;
    let cases = [
        (new(), None, 1.0, false, Insert(1.0)),
        (new(), Some(1.0), 1.0, false, Keep(1.0)),
        (new(), Some(0.0), -0.0, false, Keep(-0.0)),
        (new(), Some(1.0), 2.0, true, Update(3.0)),
        (new().if_absent(), Some(1.0), 2.0, false, Refuse),
        (new().if_absent(), None, 2.0, true, Insert(2.0)),
        (new().if_present(), None, 2.0, false, Refuse),
        (new().if_present(), Some(1.0), 2.0, false, Update(2.0)),
        (new().if_greater(), None, -5.0, false, Insert(-5.0)),
        (new().if_greater(), Some(1.0), 1.0, false, Refuse),
        (new().if_greater(), Some(1.0), -1.0, true, Refuse),
        (new().if_less(), Some(1.0), -1.0, true, Update(0.0)),
        (new().if_less().if_present(), None, 1.0, false, Refuse),
    ];
    for (options, current, score, increment, expected) in cases {
        assert_eq!(
            options.decide(current, score, increment),
            Ok(expected),
            "{options:?} {current:?} {score}"
        );
    }
    assert_eq!(new().decide(None, f64::NAN, false), Err(crate::OpError::ScoreNotANumber));
    let sum = new().decide(Some(f64::INFINITY), f64::NEG_INFINITY, true);
    assert_eq!(sum, Err(crate::OpError::ScoreNotANumber));
}

#[test]
fn ranges_by_rank_count_from_both_ends() {
    let rules = rules(0);
    let mut set = SortedSet::empty(&rules);
    for n in 0..10_u8 {
        set.put(&[n], f64::from(n), &rules);
    }
    let resolve = |range: SortedRange| range.resolve(set.order());
    assert_eq!(resolve(SortedRange::ranks(0..3)), 0..3);
    assert_eq!(resolve(SortedRange::ranks(-3..)), 7..10);
    assert_eq!(resolve(SortedRange::ranks(0..3).rev()), 7..10);
    assert_eq!(resolve(SortedRange::ranks(..).limit(2, 3)), 2..5);
    assert_eq!(resolve(SortedRange::ranks(..).rev().limit(2, 3)), 5..8);
    assert!(resolve(SortedRange::ranks(0..0)).is_empty());
    assert!(resolve(SortedRange::ranks(12..)).is_empty());
    assert!(resolve(SortedRange::ranks(RankRange { start: i64::MIN, stop: i64::MAX })) == (0..10));
    assert!(resolve(SortedRange::scores(f64::NAN..)).is_empty());
    assert_eq!(resolve(SortedRange::members(LexRange::of([3].as_slice()..[5].as_slice()))), 3..5);
}
