//! Sets against a `BTreeSet`, in every encoding and across the conversions, with captures on the way.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

type Model = BTreeSet<Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    Add(Vec<u8>),
    /// Numbers from one on.
    AddRun(i64, u16),
    Remove(Vec<u8>),
    RemoveRun(i64, u16),
    RemoveRandom,
    Settle,
    Capture,
    Scan(usize),
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => -20i64..60,
        2 => -40_000i64..40_000,
        1 => any::<i64>(),
        1 => prop::sample::select(vec![i64::MIN, i64::MAX, i64::from(i32::MIN), 1 << 31, 32_768, -32_769]),
    ]
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => number().prop_map(|number| number.to_string().into_bytes()),
        2 => "[a-d]{0,3}".prop_map(String::into_bytes),
        1 => prop::sample::select(vec!["-0", "007", "+1", " 1", "1.0", "9223372036854775808", ""])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => (any::<u8>(), 8usize..80).prop_map(|(byte, bytes)| vec![byte; bytes]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => member().prop_map(Step::Add),
        2 => (number(), 1u16..60).prop_map(|(from, count)| Step::AddRun(from, count)),
        5 => member().prop_map(Step::Remove),
        1 => (number(), 1u16..60).prop_map(|(from, count)| Step::RemoveRun(from, count)),
        2 => Just(Step::RemoveRandom),
        1 => Just(Step::Settle),
        1 => Just(Step::Capture),
        1 => (1usize..20).prop_map(Step::Scan),
    ]
}

fn rules(intset: u32, listpack: u32, value: u32) -> Rules {
    let mut rules = Rules { seed: 9, ..Rules::default() };
    rules.limits.set_max_intset_entries = intset;
    rules.limits.set_max_listpack_entries = listpack;
    rules.limits.set_max_listpack_value = value;
    rules
}

fn all(set: &Set) -> Model {
    set.members().map(|member| member.as_bytes().to_vec()).collect()
}

fn owned(set: &Set) -> Model {
    let mut walk = set.clone().into_members();
    let mut found = Model::new();
    while let Some(member) = walk.next() {
        found.insert(member.as_bytes().to_vec());
    }
    assert_eq!(walk.left(), 0);
    found
}

fn run_of(from: i64, count: u16) -> impl Iterator<Item = Vec<u8>> {
    (0..i64::from(count))
        .map_while(move |i| from.checked_add(i))
        .map(|number| number.to_string().into_bytes())
}

fn perform(set: &mut Set, model: &mut Model, random: &mut Random, rules: &Rules, step: &Step) {
    let add = |set: &mut Set, model: &mut Model, member: Vec<u8>| {
        assert_eq!(set.add(&member, rules), model.insert(member.clone()));
        assert!(set.contains(&member));
    };
    let remove = |set: &mut Set, model: &mut Model, member: &[u8]| {
        assert_eq!(set.contains(member), model.contains(member));
        assert_eq!(set.remove(member), model.remove(member));
        assert!(!set.contains(member));
    };
    match step {
        Step::Add(member) => add(set, model, member.clone()),
        Step::AddRun(from, count) => run_of(*from, *count).for_each(|member| add(set, model, member)),
        Step::Remove(member) => remove(set, model, member),
        Step::RemoveRun(from, count) => run_of(*from, *count).for_each(|member| remove(set, model, &member)),
        Step::RemoveRandom => {
            let drawn = set.random(random).map(|member| member.as_bytes().to_vec());
            assert_eq!(drawn.is_none(), model.is_empty());
            drawn.into_iter().for_each(|member| remove(set, model, &member));
        }
        Step::Settle => set.settled(rules),
        Step::Scan(count) => {
            let (mut cursor, mut found) = (0, Model::new());
            loop {
                cursor = set.scan(cursor, *count, |member| assert!(found.insert(member.to_vec()), "once"));
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(&found, model);
        }
        Step::Capture => {}
    }
}

fn run(rules: &Rules, steps: &[Step]) {
    let mut set = Set::empty(rules);
    let (mut model, mut captures) = (Model::new(), Vec::new());
    let mut random = Random::new(3);
    for step in steps {
        if matches!(step, Step::Capture) {
            captures.push((set.clone(), model.clone(), set.digest()));
        }
        perform(&mut set, &mut model, &mut random, rules, step);
        set.validate(rules);
        assert_eq!(set.len(), model.len());
    }
    assert_eq!(all(&set), model);
    assert_eq!(owned(&set), model);
    for (capture, model, digest) in &captures {
        assert_eq!((&all(capture), capture.digest()), (model, *digest));
    }
    let mut copy = Set::empty(rules);
    set.deltas(&mut |delta| copy.apply(&delta, rules));
    assert_eq!((copy.digest(), all(&copy)), (set.digest(), model), "its deltas make it");
    while !set.free_some(1) {}
    assert!(set.is_vacant());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_a_set_across_conversions(
        steps in prop::collection::vec(step(), 0..80),
        (intset, listpack, value) in (0u32..40, 0u32..40, 0u32..20),
    ) {
        run(&rules(intset, listpack, value), &steps);
    }

    #[test]
    fn behaves_as_a_set_with_the_usual_limits(steps in prop::collection::vec(step(), 0..80)) {
        run(&rules(512, 128, 64), &steps);
    }

    #[test]
    fn behaves_as_a_set_in_a_table(steps in prop::collection::vec(step(), 0..80)) {
        run(&rules(0, 0, 0), &steps);
    }
}

fn of<T: ToString>(rules: &Rules, members: impl IntoIterator<Item = T>) -> Set {
    let mut set = Set::empty(rules);
    for member in members {
        set.add(member.to_string().as_bytes(), rules);
    }
    set
}

#[test]
fn encodings_change_where_redis_changes_them() {
    let rules = rules(512, 128, 64);
    assert_eq!(of(&rules, 0..512).encoding(), Encoding::Intset);
    assert_eq!(of(&rules, 0..513).encoding(), Encoding::Hashtable);
    assert_eq!(of(&rules, ["1", "2", "a"]).encoding(), Encoding::Listpack);
    let mut set = of(&rules, 0..127);
    set.add(b"text", &rules);
    assert_eq!(set.encoding(), Encoding::Listpack);
    set.add(b"more", &rules);
    assert_eq!(set.encoding(), Encoding::Hashtable);
    let mut set = of(&rules, 0..200);
    set.add(b"text", &rules);
    assert_eq!(set.encoding(), Encoding::Hashtable, "too many to be packed");
    let mut set = of(&rules, ["a"]);
    set.add(&[b'x'; 64], &rules);
    assert_eq!(set.encoding(), Encoding::Listpack);
    set.add(&[b'x'; 65], &rules);
    assert_eq!(set.encoding(), Encoding::Hashtable);
}

#[test]
fn the_number_of_members_to_come_chooses_the_encoding() {
    let rules = rules(512, 128, 64);
    for (first, count, encoding) in [
        ("1", 1, Encoding::Intset),
        ("1", 512, Encoding::Intset),
        ("1", 513, Encoding::Hashtable),
        ("a", 128, Encoding::Listpack),
        ("a", 129, Encoding::Hashtable),
    ] {
        let mut set = Set::empty(&rules);
        set.prepare(first.as_bytes(), count, &rules);
        set.add(first.as_bytes(), &rules);
        assert_eq!(set.encoding(), encoding, "{first} {count}");
    }
    let mut set = of(&rules, ["a"]);
    set.prepare(b"b", 129, &rules);
    assert_eq!((set.encoding(), set.contains(b"a")), (Encoding::Hashtable, true));
}

#[test]
fn equal_contents_have_equal_digests() {
    let (small, large) = (rules(512, 128, 64), rules(0, 0, 0));
    assert_eq!(of(&small, 0..100).digest(), of(&large, (0..100).rev()).digest());
    assert_ne!(of(&small, 0..100).digest(), of(&small, 0..101).digest());
    assert_eq!(of(&small, ["b", "a"]).digest(), of(&large, ["a", "b"]).digest());
}

#[test]
fn random_members_are_drawn_evenly_in_every_encoding() {
    for rules in [rules(512, 128, 64), rules(0, 128, 64), rules(0, 0, 0)] {
        let set = of(&rules, 0..50);
        let mut random = Random::new(1);
        let mut drawn = [0u32; 50];
        for _ in 0..50_000 {
            let member = set.random(&mut random).unwrap();
            drawn[usize::try_from(parse_i64(member.as_bytes()).unwrap()).unwrap()] += 1;
        }
        let chi: f64 = drawn.iter().map(|&n| (f64::from(n) - 1_000.0).powi(2) / 1_000.0).sum();
        // 49 degrees of freedom: five standard deviations are 49.5.
        assert!((chi - 49.0).abs() < 49.5, "{chi} {:?}", set.encoding());
    }
}

#[test]
fn a_capture_is_recognised_until_the_set_changes() {
    let rules = rules(0, 0, 0);
    for count in [10, 5_000] {
        let mut set = of(&rules, 0..count);
        let capture = set.clone();
        assert!(set.is_same(&capture));
        set.remove(b"7");
        assert!(!set.is_same(&capture));
        set.add(b"7", &rules);
        assert!(!set.is_same(&capture));
    }
}

#[test]
fn algebra_agrees_with_the_model() {
    let mut random = Random::new(11);
    for round in 0..300u32 {
        let rules = if round % 3 == 0 { rules(8, 8, 4) } else { rules(512, 128, 64) };
        let (mut sets, mut models) = (Vec::new(), Vec::new());
        for _ in 0..1 + random.below(4) {
            let (mut set, mut model) = (Set::empty(&rules), Model::new());
            let (count, spread) =
                (random.below(if round % 7 == 0 { 2_000 } else { 30 }), 1 + random.below(2_500));
            for _ in 0..count {
                let number = random.below(spread);
                let member = if number % 5 == 4 { format!("m{number}") } else { number.to_string() };
                set.add(member.as_bytes(), &rules);
                model.insert(member.into_bytes());
            }
            sets.push((random.below(12) > 0).then_some(set));
            models.push(if sets.last().unwrap().is_some() { model } else { Model::new() });
        }
        let lent: Vec<Option<&Set>> = sets.iter().map(Option::as_ref).collect();
        let (first, others) = models.split_first().unwrap();
        let both = |one: &Model, other: &Model| one.intersection(other).cloned().collect::<Model>();
        let (mut inter, mut union, mut diff) = (first.clone(), first.clone(), first.clone());
        for other in others {
            inter = both(&inter, other);
            union.extend(other.iter().cloned());
            diff.retain(|member| !other.contains(member));
        }
        for (result, wanted) in [
            (Set::intersection(&lent, &rules), &inter),
            (Set::union(&lent, &rules), &union),
            (Set::difference(&lent, &rules), &diff),
        ] {
            result.validate(&rules);
            assert_eq!(&all(&result), wanted);
            let ints = wanted.iter().all(|member| parse_i64(member).is_some());
            assert!(
                !(ints && wanted.len() <= ints_max(&rules.limits)) || result.encoding() == Encoding::Intset
            );
        }
        let mut seen = Model::new();
        algebra::subtract(&lent, |member| assert!(seen.insert(member.to_vec())));
        assert_eq!(seen, diff);
        let mut few = 0;
        algebra::intersect(&lent, |member| {
            few += 1;
            assert!(inter.contains(member));
            few < 3
        });
        assert_eq!(few, inter.len().min(3));
    }
}

#[test]
fn samples_are_even_and_never_repeat() {
    // Drawn one by one, by a walk, and from a small set.
    for (rules, count, wanted) in
        [(rules(0, 0, 0), 40, 10), (rules(0, 0, 0), 40, 20), (rules(512, 128, 64), 40, 10)]
    {
        let set = of(&rules, 0..count);
        let mut random = Random::new(2);
        let mut drawn = vec![0u32; 40];
        for _ in 0..20_000 {
            let sample = set.sample(wanted, &mut random);
            let unique: BTreeSet<_> = sample.iter().collect();
            assert_eq!((sample.len(), unique.len()), (wanted, wanted));
            for member in sample.iter() {
                drawn[usize::try_from(parse_i64(member).unwrap()).unwrap()] += 1;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (rate, rounds) = (wanted as f64 / 40.0, 20_000.0);
        let deviation = (rounds * rate * (1.0 - rate)).sqrt();
        for &times in &drawn {
            assert!((f64::from(times) - rounds * rate).abs() < 5.0 * deviation, "{drawn:?}");
        }
        assert_eq!(set.sample(1_000, &mut random).len(), 40);
    }
}
