//! Many threads over few keys, with invariants that a lost update, a torn value or a missing lock would break.
//!
//! `LARDER_STRESS_SECONDS` is the time of the whole file (default 2), shared out between the tests;
//! `LARDER_STRESS_SEED` moves the random choices. Each test runs by rounds and stops at the first end of a round after
//! its time is over, so slow machines check less and never hang.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "small numbers, known to fit"
)]

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use larder::{Budget, Clock, Engine, LoadError, ManualClock, OpError, Policy, SetOptions, UnixMillis};

const THREADS: usize = 4;
const TESTS: u32 = 12;

fn seed() -> u64 {
    std::env::var("LARDER_STRESS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Runs `round` with its number until the time of one test is over, at least once.
fn rounds(mut round: impl FnMut(u64)) {
    let seconds = std::env::var("LARDER_STRESS_SECONDS").ok().and_then(|text| text.parse::<f64>().ok());
    let share = Duration::from_secs_f64(seconds.unwrap_or(2.0)) / TESTS;
    #[expect(clippy::disallowed_methods, reason = "the test's own time limit")]
    let now = Instant::now;
    let begun = now();
    let mut number = seed();
    loop {
        round(number);
        number = number.wrapping_add(1);
        if now().duration_since(begun) >= share {
            return;
        }
    }
}

/// splitmix64, so that a round's number says what it does.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % n
    }
}

/// Runs `work` on several threads that start together.
fn together(threads: usize, work: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(threads);
    scope(|scope| {
        for thread in 0..threads {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(thread);
            });
        }
    });
}

fn engine() -> Engine {
    Engine::builder().shards(4).seed(seed()).build().expect("valid settings")
}

#[test]
fn stress_counters_sum_up() {
    rounds(|round| {
        let engine = engine();
        let sums: Vec<AtomicU64> = (0..3).map(|_| AtomicU64::new(0)).collect();
        together(THREADS, |thread| {
            let mut dice = Dice(round * 31 + thread as u64);
            for _ in 0..2_000 {
                let (key, by) = (dice.below(3), dice.below(10));
                engine.incr_by(format!("n:{key}"), by as i64).expect("a counter");
                sums[key as usize].fetch_add(by, Ordering::Relaxed);
            }
        });
        for (key, sum) in sums.iter().enumerate() {
            assert_eq!(
                engine.get(format!("n:{key}")).unwrap().unwrap(),
                sum.load(Ordering::Relaxed).to_string()
            );
        }
    });
}

#[test]
fn stress_no_update_is_lost() {
    rounds(|_| {
        let engine = engine();
        let lists = engine.typed::<Vec<u32>>();
        engine.set("cas", "0").unwrap();
        together(THREADS, |thread| {
            for i in 0..150u32 {
                loop {
                    let old = engine.get("cas").unwrap().expect("nobody removes it");
                    let new = (old.as_str().unwrap().parse::<u32>().unwrap() + 1).to_string();
                    if engine.compare_and_set("cas", &old, new).unwrap() {
                        break;
                    }
                }
                let add = |old: Option<&[u8]>| Some([old.unwrap_or_default(), b"x"].concat());
                engine.update("text", add).unwrap();
                let mark = thread as u32 * 1_000 + i;
                lists.update("list", |old| Some([old.map_or(&[][..], |v| v), &[mark]].concat())).unwrap();
                engine.append("log", [b'.'; 3]).unwrap();
            }
        });
        let total = THREADS * 150;
        assert_eq!(engine.get("cas").unwrap().unwrap(), total.to_string());
        assert_eq!(engine.strlen("text"), Ok(total as u64));
        assert_eq!(engine.strlen("log"), Ok(3 * total as u64));
        let list = lists.get("list").unwrap().unwrap();
        let distinct: BTreeSet<_> = list.iter().collect();
        assert_eq!((list.len(), distinct.len()), (total, total), "each mark once");
        for thread in 0..THREADS as u32 {
            let own: Vec<_> = list.iter().filter(|mark| *mark / 1_000 == thread).collect();
            assert!(own.is_sorted(), "a thread's updates keep their order");
        }
    });
}

/// A mutual exclusion made of `SET NX` and a removal that checks the owner.
#[test]
fn stress_a_lock_has_one_owner() {
    rounds(|_| {
        let engine = engine();
        let inside = AtomicUsize::new(0);
        let taken = AtomicUsize::new(0);
        together(THREADS, |thread| {
            let me = format!("thread {thread}");
            for _ in 0..400 {
                if engine.set_if_absent("lock", &me).unwrap() {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "alone inside");
                    taken.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    assert!(engine.remove_if_equal("lock", &me).unwrap(), "still mine");
                }
            }
        });
        assert!(taken.load(Ordering::Relaxed) > 0);
        assert_eq!(engine.exists("lock"), Ok(false));
    });
}

#[test]
fn stress_batches_are_all_or_nothing() {
    rounds(|round| {
        let engine = engine();
        let winners = AtomicUsize::new(0);
        let done = AtomicBool::new(false);
        let names: Vec<String> = (0..6).map(|i| format!("{round}:{i}")).collect();
        let newest = AtomicU64::new(0);
        scope(|scope| {
            scope.spawn(|| {
                // Of a batch written whole, a later read of one key is never older than an earlier read of another.
                while !done.load(Ordering::Relaxed) {
                    let [early, late] = [&names[0], &names[5]].map(|name| {
                        engine.get(name).unwrap().map_or(0, |v| v.as_str().unwrap().parse::<u64>().unwrap())
                    });
                    assert!(early <= late, "the batch came in pieces: {early}, then {late}");
                }
            });
            together(THREADS, |thread| {
                let pairs: Vec<_> = names.iter().map(|name| (name, "0")).collect();
                // Different orders of the same keys must neither deadlock nor let two win.
                let mut pairs = pairs;
                pairs.rotate_left(thread % 6);
                winners.fetch_add(usize::from(engine.set_many_if_absent(&pairs).unwrap()), Ordering::Relaxed);
            });
            // One writer alone, so that versions grow.
            for version in 1..300u64 {
                let pairs: Vec<_> = names.iter().map(|name| (name, version.to_string())).collect();
                engine.set_many(&pairs).unwrap();
                newest.store(version, Ordering::Relaxed);
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(winners.load(Ordering::Relaxed), 1, "one batch wins");
        let values = engine.get_many(&names).unwrap();
        assert!(values.iter().all(|value| value.as_deref() == Some(b"299")), "{values:?}");
    });
}

/// A value that shows whether it is whole: its length, a byte repeated, and the byte once more as a check.
fn whole(byte: u8, length: usize) -> Vec<u8> {
    let mut value = (length as u32).to_le_bytes().to_vec();
    value.resize(length.max(5), byte);
    value
}

fn check_whole(value: &[u8]) {
    let length = u32::from_le_bytes(value[..4].try_into().expect("four bytes")) as usize;
    assert_eq!(value.len(), length.max(5), "a value of the length that it says");
    assert!(value[4..].iter().all(|&byte| byte == value[4]), "a value of one writer");
}

#[test]
fn stress_no_read_is_torn() {
    let lengths = [5, 40, 118, 119, 4_096, 4_097, 70_000];
    rounds(|round| {
        let engine = engine();
        let sheets = engine.typed::<(u32, Vec<u32>)>();
        together(THREADS, |thread| {
            let mut dice = Dice(round * 17 + thread as u64);
            let mut buffer = Vec::new();
            for i in 0..400 {
                let key = format!("v:{}", dice.below(3));
                let length = lengths[dice.below(7) as usize];
                match dice.below(6) {
                    0 | 1 => engine.set(&key, whole(i as u8, length)).unwrap(),
                    2 => engine.get_with(&key, check_whole).unwrap().unwrap_or(()),
                    3 => {
                        if engine.get_into(&key, &mut buffer).unwrap() {
                            check_whole(&buffer);
                        }
                    }
                    4 => engine.get(&key).unwrap().iter().for_each(|value| check_whole(value)),
                    _ => drop(engine.remove(&key).unwrap()),
                }
                let version = i * 4 + thread as u32;
                sheets.set("sheet", (version, vec![version; 1 + (version % 50) as usize])).unwrap();
                let seen =
                    sheets.get_with("sheet", |(version, cells)| cells.iter().all(|cell| cell == version));
                assert_eq!(seen, Ok(Some(true)), "an object of one writer");
                // The same object by its bytes, which are made on the way and kept beside it.
                let bytes = engine.get("sheet").unwrap().expect("nobody removes it");
                assert!(!bytes.is_empty());
            }
        });
    });
}

/// One token goes round by RENAME; whoever moves it, it is in one place.
#[test]
fn stress_a_renamed_key_is_kept_once() {
    rounds(|round| {
        let engine = engine();
        let other = engine.select(1).unwrap();
        engine.set("ring:0", "token").unwrap();
        together(THREADS, |thread| {
            let mut dice = Dice(round * 13 + thread as u64);
            for _ in 0..600 {
                let (from, to) = (dice.below(5), dice.below(5));
                let (from, to) = (format!("ring:{from}"), format!("ring:{to}"));
                match dice.below(4) {
                    0 => drop(engine.move_to(&from, &other)),
                    1 => drop(other.move_to(&from, &engine)),
                    2 => match engine.rename(&from, &to) {
                        Ok(()) | Err(OpError::NoSuchKey) => {}
                        Err(error) => panic!("{error}"),
                    },
                    _ => drop(engine.rename_if_absent(&from, &to)),
                }
            }
        });
        let places = [&engine, &other].map(|db| db.keys("ring:*").unwrap());
        assert_eq!(places.concat().len(), 1, "{places:?}");
        let held = [&engine, &other].map(|db| db.len().unwrap());
        assert_eq!(held.iter().sum::<u64>(), 1);
    });
}

#[test]
fn stress_one_loader_at_a_time() {
    rounds(|round| {
        let engine = engine();
        let numbers = engine.typed::<u64>();
        let running: Vec<AtomicUsize> = (0..4).map(|_| AtomicUsize::new(0)).collect();
        let (ran, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        together(THREADS, |thread| {
            let mut dice = Dice(round * 7 + thread as u64);
            for _ in 0..300 {
                let key = dice.below(4) as usize;
                let (fails, removes) = (dice.below(10) == 0, dice.below(5) == 0);
                let loaded = numbers.get_or_insert_with(format!("load:{key}"), || {
                    assert_eq!(running[key].fetch_add(1, Ordering::SeqCst), 0, "one loader a key");
                    ran.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                    running[key].fetch_sub(1, Ordering::SeqCst);
                    if fails { Err(failed.fetch_add(1, Ordering::Relaxed)) } else { Ok(key as u64) }
                });
                match loaded {
                    Ok(value) => assert_eq!(*value, key as u64),
                    Err(LoadError::Loader(_)) => {}
                    Err(error) => panic!("{error}"),
                }
                // Removing what is not there detaches no flight, so this alone never lets a second loader begin.
                if removes {
                    numbers.update(format!("load:{key}"), |_| None).unwrap();
                }
            }
        });
        let stats = engine.stats();
        assert_eq!(stats.loads + stats.load_failures, ran.load(Ordering::Relaxed), "every loader is counted");
        assert_eq!(stats.load_failures, failed.load(Ordering::Relaxed));
    });
}

/// Many callers of one absent key at once: one runs, all get its result.
#[test]
fn stress_a_stampede_loads_once() {
    rounds(|_| {
        let engine = engine();
        let numbers = engine.typed::<u64>();
        let ran = AtomicU64::new(0);
        for key in 0..20u64 {
            let before = ran.load(Ordering::Relaxed);
            together(2 * THREADS, |_| {
                let loaded = numbers.get_or_insert_with(key.to_le_bytes(), || {
                    ran.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                    Ok::<_, ()>(key)
                });
                assert_eq!(*loaded.unwrap(), key);
            });
            assert_eq!(ran.load(Ordering::Relaxed), before + 1, "one loader for key {key}");
        }
        // A leader that panics leaves nobody stuck, and the next one loads.
        together(2 * THREADS, |thread| {
            let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                numbers.get_or_insert_with("fragile", || {
                    if thread % 2 == 0 {
                        std::panic::resume_unwind(Box::new("a loader that fails badly"));
                    }
                    Ok::<_, ()>(1)
                })
            }));
            assert!(attempt.is_err() || *attempt.expect("checked").unwrap() == 1);
        });
        assert_eq!(numbers.get_or_insert_with("fragile", || Ok::<_, ()>(1)).map(|one| *one).ok(), Some(1));
    });
}

#[test]
fn stress_nothing_is_served_past_its_deadline() {
    rounds(|round| {
        let clock = ManualClock::new(UnixMillis(1_000_000));
        let engine = Engine::builder().clock(clock.clone()).shards(4).seed(seed()).build().unwrap();
        let done = AtomicBool::new(false);
        scope(|scope| {
            scope.spawn(|| {
                let mut dice = Dice(round);
                while !done.load(Ordering::Relaxed) {
                    clock.advance(Duration::from_millis(dice.below(3)));
                    if dice.below(10) == 0 {
                        engine.maintain(Budget::keys(50));
                    }
                    std::thread::yield_now();
                }
            });
            together(THREADS, |thread| {
                let mut dice = Dice(round * 5 + thread as u64);
                for _ in 0..1_500 {
                    let key = format!("t:{}", dice.below(6));
                    if dice.below(2) == 0 {
                        // The value says when it dies.
                        let dies = clock.now().saturating_add(Duration::from_millis(dice.below(20) + 1));
                        let options = SetOptions::new().expire_at(dies);
                        engine.set_with(&key, dies.0.to_string(), options).unwrap();
                    } else {
                        let before = clock.now();
                        if let Some(value) = engine.get(&key).unwrap() {
                            let dies: u64 = value.as_str().unwrap().parse().unwrap();
                            assert!(before.0 < dies, "served at {before:?} or later, dead at {dies}");
                        }
                    }
                }
            });
            done.store(true, Ordering::Relaxed);
        });
        clock.advance(Duration::from_secs(1));
        while engine.maintain(Budget::default()).due {}
        assert_eq!(engine.len(), Ok(0), "what is due is gone after maintenance");
    });
}

#[test]
fn stress_databases_are_swapped_at_once() {
    rounds(|_| {
        let engine = engine();
        let dbs = [0, 1].map(|db| engine.select(db).unwrap());
        for (db, handle) in dbs.iter().enumerate() {
            for i in 0..16 {
                handle.set(format!("k:{i}"), format!("home {db}")).unwrap();
            }
        }
        // A batch is atomic and so is a swap: whoever writes a pair in one batch finds it whole wherever it is.
        let swaps = AtomicU32::new(0);
        let done = AtomicBool::new(false);
        scope(|scope| {
            scope.spawn(|| {
                // Some swaps at least, even if the writers are done before this thread begins.
                while swaps.fetch_add(1, Ordering::Relaxed) < 20 || !done.load(Ordering::Relaxed) {
                    engine.swap_databases(0, 1).unwrap();
                    std::thread::yield_now();
                }
            });
            together(THREADS, |thread| {
                for i in 0..200 {
                    let mark = format!("{thread}:{i}");
                    let pairs: Vec<_> =
                        (0..8).map(|j| (format!("{thread}:pair:{j}"), mark.clone())).collect();
                    dbs[i % 2].set_many(&pairs).unwrap();
                }
            });
            done.store(true, Ordering::Relaxed);
        });
        for thread in 0..THREADS {
            for db in &dbs {
                let names: Vec<_> = (0..8).map(|j| format!("{thread}:pair:{j}")).collect();
                let values = db.get_many(&names).unwrap();
                assert!(
                    values.windows(2).all(|two| two[0] == two[1]),
                    "a batch in two databases: {values:?}"
                );
            }
        }
        let homes = dbs.each_ref().map(|db| db.get_many(&["k:0", "k:7", "k:15"]).unwrap());
        assert!(homes.iter().all(|home| home.iter().all(|value| value.is_some() && *value == home[0])));
        assert_ne!(homes[0], homes[1]);
    });
}

/// Everything at once under limits: nothing is used beyond them, and at the end the counters say where every key went.
#[test]
fn stress_limits_hold_and_the_books_balance() {
    let limit = 512 << 10;
    rounds(|round| {
        let policy = Policy::ALL[1..][(round % 8) as usize];
        let clock = ManualClock::default();
        let builder =
            Engine::builder().max_memory(limit).max_entries(3_000).policy(policy).shards(8).seed(round);
        let engine = builder.clock(clock.clone()).build().unwrap();
        let done = AtomicBool::new(false);
        scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let total = engine.memory_usage().total();
                    // Read shard by shard: a little may be seen twice on its way.
                    assert!(total <= limit + limit / 50, "{policy}: {total}");
                    std::thread::yield_now();
                }
            });
            together(THREADS, |thread| {
                let mut dice = Dice(round * 3 + thread as u64);
                for _ in 0..1_500 {
                    mixed_call(&engine, &mut dice);
                    if dice.below(50) == 0 {
                        clock.advance(Duration::from_millis(dice.below(2_000)));
                    }
                }
            });
            done.store(true, Ordering::Relaxed);
        });
        let (usage, stats) = (engine.memory_usage(), engine.stats());
        assert!(usage.total() <= limit, "{policy}: {usage:?}");
        let gone = stats.deletions + stats.evicted_keys() + stats.expired_keys + stats.invalidated;
        assert_eq!(stats.insertions, gone + stats.keys, "{policy}: {stats:?}");
        engine.flush_all().unwrap();
        let empty = engine.memory_usage();
        assert_eq!((empty.blobs, empty.objects, engine.stats().keys), (0, 0, 0));
    });
}

fn mixed_call(engine: &Engine, dice: &mut Dice) {
    let key = format!("m:{}", dice.below(4_000));
    let value = vec![b'x'; dice.below(400) as usize];
    let ttl = SetOptions::new().ttl(Duration::from_millis(dice.below(5_000) + 1));
    let outcome = match dice.below(12) {
        0..=3 => engine.set(&key, value),
        4 | 5 => engine.set_with(&key, value, ttl).map(drop),
        6 => engine.get(&key).map(drop),
        7 => engine.remove(&key).map(drop),
        8 => engine.append(&key, value).map(drop),
        9 => {
            let pairs: Vec<_> = (0..5).map(|_| (format!("m:{}", dice.below(4_000)), "batch")).collect();
            engine.set_many_with(&pairs, &ttl).map(drop)
        }
        10 => engine.invalidate(&key).map(drop),
        _ => engine.expire(&key, Duration::from_millis(dice.below(3_000))).map(drop),
    };
    match outcome {
        Ok(()) | Err(OpError::OutOfMemory { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// A key that moves is deleted under its old name and inserted, or updated, under its new one.
#[test]
fn stress_moved_keys_balance_too() {
    rounds(|round| {
        let engine = engine();
        let other = engine.select(2).unwrap();
        together(THREADS, |thread| {
            let mut dice = Dice(round * 11 + thread as u64);
            for _ in 0..500 {
                let (from, to) = (format!("{}", dice.below(40)), format!("{}", dice.below(40)));
                match dice.below(5) {
                    0 | 1 => engine.set(&from, "v").unwrap(),
                    2 => drop(engine.rename(&from, &to)),
                    3 => drop(engine.move_to(&from, &other)),
                    _ => drop(other.remove(&to)),
                }
            }
        });
        let stats = engine.stats();
        assert_eq!(stats.insertions, stats.deletions + stats.keys, "{stats:?}");
        assert_eq!(stats.keys, engine.len().unwrap() + other.len().unwrap());
    });
}
