//! SCAN's promise: whatever comes, goes and grows meanwhile, a key that is there from the first call to the last is
//! returned exactly once. And scans in key order against a sorted map.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

use larder::{Engine, OpError, ScanOptions, SetOptions, ValueType};
use proptest::prelude::*;

fn engine(shards: usize) -> Engine {
    Engine::builder().shards(shards).seed(9).build().expect("valid settings")
}

/// Goes through a whole scan, with something between the pages; returns how often each key came.
fn scan(engine: &Engine, options: &ScanOptions, mut between: impl FnMut(usize)) -> BTreeMap<Vec<u8>, usize> {
    let (mut cursor, mut pages, mut seen) = (0, 0, BTreeMap::new());
    loop {
        let page = engine.scan(cursor, options).expect("a scan is never refused");
        for key in page.keys {
            *seen.entry(key).or_insert(0) += 1;
        }
        cursor = page.cursor;
        pages += 1;
        assert!(pages < 100_000, "a scan ends");
        if cursor == 0 {
            return seen;
        }
        between(pages);
    }
}

#[derive(Debug, Clone)]
enum Change {
    Grow(u16),
    Shrink(u16),
    Maintain,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (1..2_000u16).prop_map(Change::Grow),
        (1..3_000u16).prop_map(Change::Shrink),
        Just(Change::Maintain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_stays_is_returned_once(
        changes in prop::collection::vec(change(), 0..40),
        staying in 1..300usize,
        shards_log2 in 0..4u32,
        count in 1..200usize,
    ) {
        let engine = engine(1 << shards_log2);
        for i in 0..staying {
            engine.set(format!("stay:{i}"), "v").unwrap();
        }
        let (mut next, mut oldest) = (0u32, 0u32);
        let mut changes = changes.into_iter();
        let seen = scan(&engine, &ScanOptions::new().count(count), |_| match changes.next() {
            Some(Change::Grow(keys)) => {
                for _ in 0..keys {
                    engine.set(format!("passing:{next}"), "v").unwrap();
                    next += 1;
                }
            }
            Some(Change::Shrink(keys)) => {
                for _ in 0..u32::from(keys).min(next - oldest) {
                    engine.remove(format!("passing:{oldest}")).unwrap();
                    oldest += 1;
                }
            }
            Some(Change::Maintain) => {
                engine.maintain(larder::Budget::default());
            }
            None => {}
        });
        for i in 0..staying {
            prop_assert_eq!(seen.get(format!("stay:{i}").as_bytes()), Some(&1), "stay:{}", i);
        }
        for (key, times) in &seen {
            prop_assert_eq!(*times, 1, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn ordered_scans_agree_with_a_sorted_map(
        steps in prop::collection::vec((any::<bool>(), 0..3u8, "[ab\\x00\u{ff}]{0,4}"), 1..200),
        from in "[ab]{0,3}",
        to in "[ab]{0,3}",
        limit in 0..20usize,
    ) {
        let engine = Engine::builder().ordered_index(true).shards(4).seed(9).build().unwrap();
        let dbs = [0, 1, 2].map(|db| engine.select(db).unwrap());
        let mut models = [(); 3].map(|()| BTreeSet::new());
        for (insert, db, key) in &steps {
            let (db, key) = (usize::from(*db), key.as_bytes().to_vec());
            if *insert {
                dbs[db].set(&key, "v").unwrap();
                models[db].insert(key);
            } else {
                dbs[db].remove(&key).unwrap();
                models[db].remove(&key);
            }
        }
        for (db, model) in dbs.iter().zip(&models) {
            let expected: Vec<_> =
                model.iter().filter(|key| key.starts_with(from.as_bytes())).take(limit).cloned().collect();
            prop_assert_eq!(db.scan_prefix(&from, limit), Ok(expected));
            let bounds = [
                (Bound::Included(from.as_bytes()), Bound::Excluded(to.as_bytes())),
                (Bound::Excluded(from.as_bytes()), Bound::Included(to.as_bytes())),
                (Bound::Unbounded, Bound::Included(to.as_bytes())),
                (Bound::Included(from.as_bytes()), Bound::Unbounded),
            ];
            for (lower, upper) in bounds {
                let inside = |key: &[u8]| {
                    let above = match lower {
                        Bound::Included(start) => key >= start,
                        Bound::Excluded(start) => key > start,
                        Bound::Unbounded => true,
                    };
                    let below = match upper {
                        Bound::Included(end) => key <= end,
                        Bound::Excluded(end) => key < end,
                        Bound::Unbounded => true,
                    };
                    above && below
                };
                let expected: Vec<_> = model.iter().filter(|key| inside(key)).take(limit).cloned().collect();
                prop_assert_eq!(db.scan_range((lower, upper), limit), Ok(expected), "{:?} {:?}", lower, upper);
            }
            let all: BTreeSet<_> = db.keys("*").unwrap().into_iter().collect();
            prop_assert_eq!(&all, model);
        }
    }
}

#[test]
fn a_page_visits_about_as_many_as_asked_for() {
    let engine = engine(4);
    for i in 0..5_000 {
        engine.set(format!("k:{i}"), "v").unwrap();
    }
    for count in [1, 10, 333, 5_000, 1_000_000] {
        let options = ScanOptions::new().count(count);
        let (mut cursor, mut pages, mut keys) = (0, 0, 0);
        loop {
            let page = engine.scan(cursor, &options).unwrap();
            // Keys of equal hash bits come together, so a page may be a little longer.
            assert!(page.keys.len() <= count.saturating_add(8), "{} for {count}", page.keys.len());
            pages += 1;
            keys += page.keys.len();
            cursor = page.cursor;
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(keys, 5_000);
        assert!(pages <= 5_000 / count.min(5_000) + 5, "{pages} pages of {count}");
    }
    assert!(matches!(engine.scan(0, &ScanOptions::new().count(0)), Err(OpError::InvalidArgument(_))));
    assert!(matches!(engine.scan(u64::MAX, &ScanOptions::new()), Err(OpError::InvalidArgument(_))));
}

#[test]
fn match_and_type_filter_and_dead_keys_are_left_out() {
    let clock = larder::ManualClock::default();
    let engine = Engine::builder().clock(clock.clone()).shards(4).seed(1).build().unwrap();
    for i in 0..1_000 {
        let options = match i % 3 {
            0 => SetOptions::new(),
            _ => SetOptions::new().ttl(std::time::Duration::from_secs(i % 3)),
        };
        engine.set_with(format!("user:{i}"), "v", options).unwrap();
        engine.set(format!("job:{i}"), "v").unwrap();
    }
    clock.advance(std::time::Duration::from_secs(1));
    let seen = scan(&engine, &ScanOptions::new().matching("user:*7").of_type(ValueType::String), |_| ());
    let expected: BTreeSet<Vec<u8>> =
        (0..1_000).filter(|i| i % 3 != 1 && i % 10 == 7).map(|i| format!("user:{i}").into_bytes()).collect();
    assert_eq!(seen.into_keys().collect::<BTreeSet<_>>(), expected);
    assert!(scan(&engine, &ScanOptions::new().matching("nobody*"), |_| ()).is_empty());
}

#[test]
fn threads_that_write_hide_nothing() {
    let engine = engine(2);
    for i in 0..400 {
        engine.set(format!("stay:{i}"), "v").unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                let mut round = 0u32;
                while !done.load(Ordering::Relaxed) {
                    for i in 0..3_000 {
                        engine.set(format!("{writer}:{i}"), "v").unwrap();
                        engine.set(format!("stay:{}", i % 400), round.to_string()).unwrap();
                    }
                    for i in 0..3_000 {
                        engine.remove(format!("{writer}:{i}")).unwrap();
                    }
                    engine.maintain(larder::Budget::default());
                    round += 1;
                }
            });
        }
        for count in [3, 17, 100, 1_000, 3, 17, 100, 1_000] {
            let seen = scan(&engine, &ScanOptions::new().count(count), |_| std::thread::yield_now());
            for i in 0..400 {
                assert_eq!(seen.get(format!("stay:{i}").as_bytes()), Some(&1), "stay:{i} by {count}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn ordered_scans_beside_writers_stay_in_order_and_complete() {
    let engine = Engine::builder().ordered_index(true).shards(4).seed(9).build().unwrap();
    for i in 0..200 {
        engine.set(format!("k:{i:04}:stay"), "v").unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for i in 0..200 {
                    engine.set(format!("k:{i:04}:passing"), "v").unwrap();
                    engine.set(format!("k:{i:04}:stay"), "w").unwrap();
                }
                for i in 0..200 {
                    engine.remove(format!("k:{i:04}:passing")).unwrap();
                }
            }
        });
        for _ in 0..60 {
            let keys = engine.scan_prefix("k:", usize::MAX).unwrap();
            assert!(keys.is_sorted_by(|a, b| a < b), "in order, each once");
            assert_eq!(keys.iter().filter(|key| key.ends_with(b":stay")).count(), 200);
        }
        done.store(true, Ordering::Relaxed);
    });
}
