//! The table against a `BTreeMap`: random steps with captures on the way, equal hashes, scans across growth and shrinkage.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

#[derive(Debug, Clone)]
enum Step {
    /// So many keys from a number on, with values of a length.
    Insert {
        from: u16,
        count: u16,
        value_bytes: usize,
        deadline_ms: Option<u64>,
    },
    Remove {
        from: u16,
        count: u16,
    },
    Deadline(u16, Option<u64>),
    Expire {
        now_ms: u64,
        limit: usize,
    },
    Capture,
    Look(u16),
}

fn value_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0usize..40, 2 => 100usize..500, 1 => 505usize..520, 1 => 600usize..3_000]
}

fn deadline() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 1 => (0u64..100).prop_map(Some)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u16..1_500, 1u16..200, value_bytes(), deadline()).prop_map(|(from, count, value_bytes, deadline_ms)| {
            Step::Insert { from, count, value_bytes, deadline_ms }
        }),
        4 => (0u16..1_500, 1u16..400).prop_map(|(from, count)| Step::Remove { from, count }),
        1 => (0u16..1_500, deadline()).prop_map(|(key, deadline_ms)| Step::Deadline(key, deadline_ms)),
        1 => (0u64..100, 1usize..200).prop_map(|(now_ms, limit)| Step::Expire { now_ms, limit }),
        1 => Just(Step::Capture),
        2 => (0u16..1_500).prop_map(Step::Look),
    ]
}

/// Keys of several lengths, some of them long enough to lie far.
fn key(number: u16) -> Vec<u8> {
    let mut key = number.to_be_bytes().to_vec();
    key.resize(2 + usize::from(number % 17) + if number % 97 == 0 { 700 } else { 0 }, b'k');
    key
}

fn value(number: u16, bytes: usize) -> Vec<u8> {
    number.to_le_bytes().iter().copied().cycle().take(bytes).collect()
}

fn weak(shape: Shape, hash_mask: u64) -> Table {
    let mut table = Table::new(shape, 7, AllocatorModel::Glibc);
    table.hash_mask = hash_mask;
    table
}

fn assert_same(table: &Table, model: &Model) {
    assert_eq!(table.len(), model.len());
    let found: Model =
        table.iter().map(|entry| (entry.key.to_vec(), (entry.value.to_vec(), entry.deadline_ms))).collect();
    assert_eq!(&found, model);
}

fn perform(table: &mut Table, model: &mut Model, step: &Step) {
    match *step {
        Step::Insert { from, count, value_bytes, deadline_ms } => {
            for number in from..from + count {
                let (key, value) = (key(number), value(number, value_bytes));
                if table.shape == Shape::Keys {
                    assert_eq!(table.add(&key), model.insert(key, (Vec::new(), None)).is_none());
                } else {
                    let is_new = table.insert(&key, &value, deadline_ms);
                    assert_eq!(is_new, model.insert(key, (value, deadline_ms)).is_none());
                }
            }
        }
        Step::Remove { from, count } => {
            for number in from..from + count {
                assert_eq!(table.remove(&key(number)), model.remove(&key(number)).is_some());
            }
        }
        Step::Deadline(number, deadline_ms) => {
            if table.shape == Shape::Pairs {
                let entry = model.get_mut(&key(number)).map(|entry| entry.1 = deadline_ms);
                assert_eq!(table.set_deadline(&key(number), deadline_ms), entry.is_some());
            }
        }
        Step::Expire { now_ms, limit } => {
            let due: BTreeSet<_> = model
                .iter()
                .filter(|(_, (_, deadline_ms))| deadline_ms.is_some_and(|at| at <= now_ms))
                .map(|(key, _)| key.clone())
                .collect();
            let mut gone = BTreeSet::new();
            let count = table.expire(now_ms, limit, &mut |entry| {
                assert!(gone.insert(entry.key.to_vec()), "told once");
            });
            assert_eq!(count, due.len().min(limit));
            assert_eq!(count, gone.len());
            assert!(gone.is_subset(&due));
            if count < limit {
                let earliest = model.iter().filter(|(key, _)| !gone.contains(*key)).filter_map(|(_, v)| v.1);
                let earliest = earliest.min();
                assert!(table.next_deadline_ms() <= earliest && earliest.is_none() == (table.timed() == 0));
            }
            model.retain(|key, _| !gone.contains(key));
        }
        Step::Look(number) => {
            let wanted = model.get(&key(number)).map(|(value, deadline_ms)| (value.as_slice(), *deadline_ms));
            assert_eq!(table.get(&key(number)).map(|entry| (entry.value, entry.deadline_ms)), wanted);
        }
        Step::Capture => {}
    }
}

fn run(shape: Shape, hash_mask: u64, steps: &[Step]) {
    let mut table = weak(shape, hash_mask);
    let mut model = Model::new();
    let mut captures = Vec::new();
    for step in steps {
        if matches!(step, Step::Capture) {
            captures.push((table.clone(), model.clone()));
        }
        perform(&mut table, &mut model, step);
        table.validate();
    }
    assert_same(&table, &model);
    for (capture, model) in &captures {
        assert_same(capture, model);
        capture.validate();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn pairs_behave_as_a_map(steps in prop::collection::vec(step(), 0..50)) {
        run(Shape::Pairs, u64::MAX, &steps);
    }

    #[test]
    fn keys_behave_as_a_set(steps in prop::collection::vec(step(), 0..50)) {
        run(Shape::Keys, u64::MAX, &steps);
    }

    #[test]
    fn equal_hashes_stay_right(steps in prop::collection::vec(step(), 0..16), mask in 0u64..8) {
        run(Shape::Pairs, mask, &steps);
    }

    #[test]
    fn a_scan_meets_what_stays_exactly_once(
        stays in 1u16..3_000,
        count in 1usize..300,
        changes in prop::collection::vec((any::<bool>(), 1u16..4_000), 1..30),
        weak_hash in any::<bool>(),
    ) {
        let mut table = weak(Shape::Keys, if weak_hash { 0xfff } else { u64::MAX });
        for number in 0..stays {
            table.add(&number.to_be_bytes());
        }
        let mut changes = changes.iter().cycle();
        let mut seen: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        let mut cursor = 0;
        loop {
            let mut page = 0;
            cursor = table.scan(cursor, count, |entry| {
                *seen.entry(entry.key.to_vec()).or_default() += 1;
                page += 1;
            });
            if cursor == 0 {
                break;
            }
            assert!(page >= count);
            let &(grow, many) = changes.next().unwrap();
            for number in 0..many {
                let key = (u32::from(number) + 100_000).to_be_bytes();
                if grow { table.add(&key) } else { table.remove(&key) };
            }
        }
        for number in 0..stays {
            prop_assert_eq!(seen.get(number.to_be_bytes().as_slice()), Some(&1));
        }
        prop_assert!(seen.values().all(|&times| times == 1));
    }
}

fn numbered(count: u32) -> Table {
    let mut table = weak(Shape::Keys, u64::MAX);
    for number in 0..count {
        table.add(&number.to_be_bytes());
    }
    table
}

#[test]
fn any_cursor_is_answered() {
    let table = numbered(5_000);
    for cursor in [1, 12_345, 1 << 20, (1 << 48) - 1, 1 << 48, u64::MAX] {
        let mut page = 0;
        let next = table.scan(cursor, 10, |_| page += 1);
        assert!(next == 0 || next > cursor, "{cursor} {next}");
        assert!(page >= 10 || next == 0);
    }
    assert_eq!(weak(Shape::Keys, u64::MAX).scan(0, 10, |_| panic!("it is empty")), 0);
}

#[test]
fn a_page_is_about_as_long_as_asked() {
    let table = numbered(100_000);
    let (mut cursor, mut pages) = (0, 0);
    loop {
        let mut page = 0;
        cursor = table.scan(cursor, 10, |_| page += 1);
        pages += 1;
        assert!(page <= 20, "{page}");
        if cursor == 0 {
            break;
        }
    }
    assert!(pages > 9_000, "{pages}");
}

#[test]
fn every_entry_is_drawn_as_often_as_every_other() {
    // Segments 0 and 1 were split, 2 and 3 not: those are twice as full.
    for (mask, count) in [(u64::MAX, 2_000u32), (3, 700)] {
        let mut table = weak(Shape::Keys, mask);
        for number in 0..count {
            table.add(&number.to_be_bytes());
        }
        let mut random = Random::new(5);
        let mut drawn = BTreeMap::new();
        let rounds = count * 200;
        for _ in 0..rounds {
            *drawn.entry(table.random(&mut random).unwrap().key.to_vec()).or_insert(0u32) += 1;
        }
        assert_eq!(drawn.len(), table.len());
        // 200 expected each, with a standard deviation of 14.
        let chi: f64 = drawn.values().map(|&n| (f64::from(n) - 200.0).powi(2) / 200.0).sum();
        let freedom = f64::from(count - 1);
        assert!((chi - freedom).abs() < 5.0 * (2.0 * freedom).sqrt(), "{chi} for {freedom}");
    }
}

#[test]
fn a_small_rest_of_a_large_table_is_still_drawn_from() {
    let mut table = numbered(50_000);
    for number in 3u32..50_000 {
        table.remove(&number.to_be_bytes());
    }
    table.validate();
    assert_eq!(table.segments.len(), 1, "what was split is put together again");
    let mut random = Random::new(1);
    let drawn: BTreeSet<_> = (0..200).map(|_| table.random(&mut random).unwrap().key.to_vec()).collect();
    assert_eq!(drawn.len(), 3);
}

#[test]
fn memory_per_entry_keeps_within_its_budget() {
    let (mut keys, mut pairs) = (weak(Shape::Keys, u64::MAX), weak(Shape::Pairs, u64::MAX));
    let (mut keys_sum, mut pairs_sum, mut samples) = (0.0, 0.0, 0.0);
    #[expect(clippy::cast_precision_loss, reason = "a mean of a test")]
    let per_entry = |table: &Table| table.charged() as f64 / table.len() as f64;
    for number in 0..60_000u64 {
        let key = u128::from(number).to_be_bytes();
        keys.add(&key);
        pairs.insert(&key, &key, None);
        if number > 10_000 && number % 500 == 0 {
            keys_sum += per_entry(&keys) - 16.0;
            pairs_sum += per_entry(&pairs) - 32.0;
            samples += 1.0;
        }
    }
    assert!(keys_sum / samples < 8.0, "{}", keys_sum / samples);
    assert!(pairs_sum / samples < 12.0, "{}", pairs_sum / samples);
}

#[test]
fn a_long_value_lies_outside_what_a_change_copies() {
    let mut table = weak(Shape::Pairs, u64::MAX);
    for number in 0..200u16 {
        table.insert(&key(number), &value(number, 100_000), None);
    }
    table.validate();
    assert_eq!(table.segments.len(), 1);
    assert!(table.live < 3_000, "references alone: {}", table.live);
    for number in 0..200u16 {
        table.insert(&key(number), b"short", Some(9));
    }
    table.validate();
    assert!(table.charged() < 60_000, "{}", table.charged());
    assert_eq!(table.next_deadline_ms(), Some(9));
}

#[test]
fn many_equal_hashes_outgrow_narrow_slots() {
    let mut table = weak(Shape::Pairs, 0);
    for number in 0..1_000u16 {
        table.insert(&number.to_be_bytes(), &value(number, 200), None);
    }
    table.validate();
    for number in 0..1_000u16 {
        assert_eq!(table.get(&number.to_be_bytes()).unwrap().value, value(number, 200));
    }
    for number in 10..1_000u16 {
        assert!(table.remove(&number.to_be_bytes()));
    }
    table.validate();
    assert_eq!(table.len(), 10);
}

#[test]
fn freeing_goes_in_slices() {
    let mut table = numbered(100_000);
    let capture = table.clone();
    table.add(b"another");
    let mut slices = 1;
    while !table.free_some(10) {
        slices += 1;
    }
    assert!(slices < 10, "what the capture shares is let go: {slices}");
    assert_eq!((table.len(), capture.len()), (0, 100_000));
    let mut capture = capture;
    let mut slices = 1;
    while !capture.free_some(10) {
        slices += 1;
    }
    assert!(slices > 20, "{slices}");
    assert_eq!(capture.len(), 0);
    capture.validate();
}
