//! What a large collection does to the small keys beside it.
//!
//! One thread gets and sets small keys of an engine with a single shard and times every operation; another works on a
//! collection of `n` elements in the same shard until its work was done often enough. The first row of a type is the
//! machine's own: the other thread computes, and touches no engine.

use crate::collections::{Kind, element, larder::fill, mix, score};
use crate::timing::{Histogram, Ticks};
use bytes::Bytes;
use larder::Engine;
use serde::Serialize;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How the operations of the small keys went while the neighbour worked.
#[derive(Clone, Debug, Serialize)]
pub struct Stall {
    /// The type of the large collection.
    pub kind: &'static str,
    /// What was done with it.
    pub work: &'static str,
    /// How often that was done.
    pub times: u64,
    /// The median.
    pub p50_ns: f64,
    /// One in a hundred takes longer.
    pub p99_ns: f64,
    /// One in a thousand takes longer.
    pub p999_ns: f64,
    /// The longest of all.
    pub longest_ns: f64,
}

type Work = fn(&Engine, Kind, u64);

/// Measures every type of the list.
pub fn measure(kinds: &[Kind], len: u64, quick: bool) -> Vec<Stall> {
    let span = if quick { Duration::from_millis(50) } else { Duration::from_secs(3) };
    let works: [(&str, Work); 5] = [
        ("nothing (the machine alone)", |_, _, _| {
            black_box((0..100_000).fold(0, |sum, i| mix(sum ^ i)));
        }),
        ("walk a capture", |engine, kind, _| walk(engine, kind)),
        ("change under a capture", change_under_capture),
        ("fill from nothing, small to large", |engine, kind, len| {
            fill(engine, "fresh", kind, len.min(20_000));
            engine.remove("fresh").expect("the engine is sound");
        }),
        ("copy, change and delete whole", |engine, kind, len| {
            engine.copy("large", engine, "copy", true).expect("there is no limit");
            touch(engine, "copy", kind, len);
            engine.remove("copy").expect("the engine is sound");
        }),
    ];
    let mut stalls = Vec::new();
    for &kind in kinds {
        let engine = Engine::builder().seed(1).shards(1).build().expect("the settings are valid");
        fill(&engine, "large", kind, len);
        for (name, work) in works {
            stalls.push(beside(&engine, kind, len, (name, work), span));
        }
        // The whole collection, every node its own: freed in steps.
        let delete: Work = |engine, _, _| {
            engine.remove("large").expect("the engine is sound");
            while engine.maintain(larder::Budget::keys(256)).due {}
        };
        stalls.push(beside(&engine, kind, len, ("delete, and free all of it", delete), Duration::ZERO));
    }
    stalls
}

fn beside(
    engine: &Engine,
    kind: Kind,
    len: u64,
    (name, work): (&'static str, Work),
    span: Duration,
) -> Stall {
    let ticks = Ticks::calibrate();
    let keys: Vec<String> = (0..1_000).map(|i| format!("small:{i}")).collect();
    keys.iter().for_each(|key| engine.set(key, "value").expect("there is no limit"));
    let (working, ready) = (AtomicBool::new(true), AtomicBool::new(false));
    let mut times = 0;
    let mut histogram = Histogram::new();
    std::thread::scope(|scope| {
        let (working, ready, keys) = (&working, &ready, &keys);
        let reader = scope.spawn(move || {
            let mut histogram = Histogram::new();
            let mut i = 0u64;
            while working.load(Ordering::Relaxed) {
                let key = &keys[usize::try_from(mix(i) % 1_000).expect("small")];
                let start = Ticks::now();
                if i.is_multiple_of(10) {
                    engine.set(key, "other").expect("there is no limit");
                } else {
                    engine.get_with(key, |value| black_box(value.len())).expect("the engine is sound");
                }
                histogram.record(Ticks::now() - start);
                i += 1;
                ready.store(true, Ordering::Relaxed);
            }
            histogram
        });
        while !ready.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        while times == 0 || start.elapsed() < span {
            work(engine, kind, len);
            times += 1;
        }
        working.store(false, Ordering::Relaxed);
        histogram.merge(&reader.join().expect("the reader ends well"));
    });
    let at = |q| ticks.ns(histogram.quantile(q));
    Stall {
        kind: kind.name(),
        work: name,
        times,
        p50_ns: at(0.5),
        p99_ns: at(0.99),
        p999_ns: at(0.999),
        longest_ns: ticks.ns(histogram.max()),
    }
}

fn walk(engine: &Engine, kind: Kind) {
    let sound = "the engine is sound";
    match kind {
        Kind::List => engine.list::<Bytes>("large").iter().expect(sound).for_each_bytes(|one| {
            black_box(one);
        }),
        Kind::Set => {
            let mut members = engine.set_of::<Bytes>("large").iter().expect(sound);
            while members.next_with(|one| black_box(one).len()).is_some() {}
        }
        Kind::Hash => {
            let mut entries = engine.hash::<Bytes, Bytes>("large").iter().expect(sound);
            while entries.next_with(|field, value| black_box((field, value)).0.len()).is_some() {}
        }
        Kind::SortedSet => {
            engine.sorted_set::<Bytes>("large").iter().expect(sound).for_each_bytes(|one, score| {
                black_box((one, score));
            });
        }
        Kind::Stream => {
            engine.stream("large").range(..).expect(sound).for_each(|entry| drop(black_box(entry)))
        }
    }
}

/// Changes a thousand elements while a capture holds every node, so that each change copies.
fn change_under_capture(engine: &Engine, kind: Kind, len: u64) {
    let sound = "the engine is sound";
    let held: Box<dyn Drop0> = match kind {
        Kind::List => Box::new(engine.list::<Bytes>("large").iter().expect(sound)),
        Kind::Set => Box::new(engine.set_of::<Bytes>("large").iter().expect(sound)),
        Kind::Hash => Box::new(engine.hash::<Bytes, Bytes>("large").iter().expect(sound)),
        Kind::SortedSet => Box::new(engine.sorted_set::<Bytes>("large").iter().expect(sound)),
        Kind::Stream => Box::new(engine.stream("large").range(..).expect(sound)),
    };
    touch(engine, "large", kind, len);
    drop(held);
}

/// Anything that is only held.
trait Drop0 {}

impl<T> Drop0 for T {}

fn touch(engine: &Engine, key: &str, kind: Kind, len: u64) {
    let sound = "there is no limit";
    for i in 0..1_000 {
        let number = mix(i ^ len) % len;
        match kind {
            Kind::List => {
                let index = i64::try_from(number).expect("small");
                engine.list::<Bytes>(key).set(index, &element(i)).expect(sound);
            }
            Kind::Set => {
                let set = engine.set_of::<Bytes>(key);
                set.remove(&element(number)).expect(sound);
                set.add(&element(number)).expect(sound);
            }
            Kind::Hash => {
                engine.hash::<Bytes, Bytes>(key).set(&element(number), &element(i)).expect(sound);
            }
            Kind::SortedSet => {
                engine.sorted_set::<Bytes>(key).add(&element(number), score(i)).expect(sound);
            }
            Kind::Stream => {
                engine.stream(key).add([("f", "v")]).expect(sound);
            }
        }
    }
}
