//! Many callers, cancelled at random while others push: nothing is lost, nothing comes twice, and nobody is passed over.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::random::Random;
use crate::{End, Engine, Waiter};

/// What becomes of one caller's turn.
fn finish(waiter: Waiter<u32>, chance: u64) -> Option<Option<u32>> {
    match chance % 3 {
        // Drops it: what had come goes back.
        0 => {
            drop(waiter);
            None
        }
        _ => Some(waiter.cancel().expect("a list")),
    }
}

#[test]
fn a_thousand_callers_on_one_key() {
    for seed in 0..6 {
        let engine = Engine::builder().seed(seed).build().expect("valid");
        let total: u32 = 700;
        let pushed = AtomicUsize::new(0);
        let (mut taken, mut survivors) = (Vec::new(), Vec::new());
        let mut waiters: Vec<Option<Waiter<u32>>> =
            (0..1_000).map(|_| Some(engine.list::<u32>("q").pop_async(End::Head))).collect();
        engine.validate();
        thread::scope(|scope| {
            let (engine, pushed) = (&engine, &pushed);
            for pusher in 0..3 {
                scope.spawn(move || {
                    for i in (pusher..total).step_by(3) {
                        engine.list::<u32>("q").push_back(i).expect("a list");
                        pushed.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let blocked: Vec<_> = (0..8)
                .map(|i| {
                    let timeout = if i % 2 == 0 { Duration::from_millis(i) } else { Duration::from_secs(60) };
                    scope.spawn(move || engine.list::<u32>("q").pop_blocking(End::Head, Some(timeout)))
                })
                .collect();
            let mut random = Random::new(seed);
            for _ in 0..600 {
                let at = usize::try_from(random.below(1_000)).expect("small");
                let chance = random.next();
                if let Some(waiter) = waiters[at].take_if(|_| chance % 2 == 0) {
                    taken.extend(finish(waiter, chance / 2).flatten());
                }
            }
            // Whoever still waits on a thread gets something after the thousand.
            survivors = waiters.drain(..).flatten().collect();
            while pushed.load(Ordering::Relaxed) < total as usize {
                thread::yield_now();
            }
            let mut more = total;
            for thread in blocked {
                while !thread.is_finished() {
                    engine.list::<u32>("q").push_back(more).expect("a list");
                    more += 1;
                    thread::yield_now();
                }
                taken.extend(thread.join().expect("no panic").expect("a list"));
            }
            pushed.store(more as usize, Ordering::Relaxed);
        });
        engine.validate();
        let served: Vec<Option<u32>> =
            survivors.into_iter().map(|waiter| waiter.cancel().expect("a list")).collect();
        let first_unserved = served.iter().position(Option::is_none).unwrap_or(served.len());
        assert!(served[first_unserved..].iter().all(Option::is_none), "nobody is passed over");
        taken.extend(served.into_iter().flatten());
        taken.extend(engine.list::<u32>("q").range(0, -1).expect("a list"));
        let different: BTreeSet<u32> = taken.iter().copied().collect();
        assert_eq!(different.len(), taken.len(), "nothing comes twice");
        assert_eq!(taken.len(), pushed.into_inner(), "nothing is lost");
        engine.validate();
    }
}

/// One worker's part in the mixed world; returns what it took for good, and how many it pushed. Where strings come and go
/// nobody drops a delivery: there would be no place for what goes back.
fn work(engine: &Engine, worker: u32, seed: u64, strings: bool) -> (Vec<u32>, u32) {
    const KEYS: [&str; 4] = ["a", "b", "c", "d"];
    let mut random = Random::new(seed);
    let (mut taken, mut pushed) = (Vec::new(), 0);
    let mut popping: Vec<Waiter<(usize, Vec<u32>)>> = Vec::new();
    let mut moving: Vec<Waiter<u32>> = Vec::new();
    for _ in 0..400 {
        let key = KEYS[random.index_below(4)];
        let other = KEYS[random.index_below(4)];
        let end = if random.below(2) == 0 { End::Head } else { End::Tail };
        match random.below(8) {
            0..=2 => {
                // Refused while the key holds a string.
                let pair = [worker * 10_000 + pushed, worker * 10_000 + pushed + 1];
                if engine.list::<u32>(key).extend_back(pair).is_ok() {
                    pushed += 2;
                }
            }
            3 => popping.push(engine.pop_from_lists_async(&[key, other], end, 1 + random.index_below(3))),
            4 => moving.push(engine.list::<u32>(key).move_async(other, end, end)),
            5 if strings => drop(engine.set_if_absent(key, "text")),
            6 if strings => drop(engine.get_del(key)),
            _ if popping.is_empty() => drop(moving.pop()),
            _ => {
                let waiter = popping.swap_remove(random.index_below(popping.len()));
                if random.below(2) == 0 && !strings {
                    drop(waiter);
                } else if let Ok(Some((_, elements))) = waiter.cancel() {
                    taken.extend(elements);
                }
            }
        }
    }
    for key in KEYS {
        drop(engine.get_del(key));
    }
    drop(moving);
    for waiter in popping {
        if let Ok(Some((_, elements))) = waiter.cancel() {
            taken.extend(elements);
        }
    }
    (taken, pushed)
}

#[test]
fn several_keys_moves_and_changing_types() {
    for seed in 0..20 {
        let engine = Engine::builder().shards(2).seed(seed).build().expect("valid");
        let results: Vec<(Vec<u32>, u32)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|worker| {
                    let engine = &engine;
                    scope.spawn(move || work(engine, worker, seed * 3 + u64::from(worker), seed % 2 == 0))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        engine.validate();
        let pushed: u32 = results.iter().map(|(_, pushed)| pushed).sum();
        let mut all: Vec<u32> = results.into_iter().flat_map(|(taken, _)| taken).collect();
        for key in ["a", "b", "c", "d"] {
            if let Ok(elements) = engine.list::<u32>(key).range(0, -1) {
                all.extend(elements);
            }
        }
        let different: BTreeSet<u32> = all.iter().copied().collect();
        assert_eq!(different.len(), all.len(), "nothing comes twice");
        assert_eq!(all.len(), pushed as usize, "nothing is lost");
    }
}
