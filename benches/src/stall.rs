//! What a large collection does to the small keys beside it.
//!
//! ```text
//! the neighbour   get and set of small keys, every one timed: in the shard of the collection, and now and then in an engine of its own
//! the worker      walks, captures, changes, copies, fills, deletes a collection of n elements; every call timed
//! ```
//! The operations apart are the floor: what the machine and the other jobs on it take from the same thread at the same time.
//! The worker's calls are timed once more without a neighbour: nobody holds the lock longer than a call takes. The first row
//! of a type is a worker that computes and touches no engine. How it is measured: stall/slices.rs.

mod slices;

use self::slices::{Calls, with_neighbour};
use crate::collections::{Kind, element, larder::fill, mix, score};
use crate::timing::{Histogram, Ticks};
use bytes::Bytes;
use larder::Engine;
use serde::Serialize;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How the operations of the small keys went while the worker worked.
#[derive(Clone, Debug, Serialize)]
pub struct Stall {
    /// The type of the large collection.
    pub kind: &'static str,
    /// What was done with it.
    pub work: &'static str,
    /// How often that was done.
    pub times: u64,
    /// Slices of time in which neither thread lost its processor, and all of them. The others do not count, if there are any such.
    pub quiet: (u64, u64),
    /// Beside the collection, in its shard.
    pub beside: Times,
    /// In an engine of their own: the floor.
    pub apart: Times,
    /// A call of the worker, with nobody beside it.
    pub call: Times,
}

/// What a histogram says, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// The median.
    pub p50_ns: f64,
    /// One in a hundred takes longer.
    pub p99_ns: f64,
    /// One in a thousand takes longer.
    pub p999_ns: f64,
    /// The longest of all.
    pub longest_ns: f64,
}

impl Times {
    fn of(histogram: &Histogram, ticks: &Ticks) -> Self {
        let at = |q| ticks.ns(histogram.quantile(q));
        let longest_ns = ticks.ns(histogram.max());
        Self { p50_ns: at(0.5), p99_ns: at(0.99), p999_ns: at(0.999), longest_ns }
    }
}

/// A piece of work, and what has to be there before each.
struct Work {
    name: &'static str,
    prepare: Option<fn(&Engine, Kind, u64)>,
    run: fn(&Engine, Kind, u64, &mut Calls<'_>),
}

const WORKS: [Work; 7] = [
    Work {
        name: "nothing (the machine alone)",
        prepare: None,
        run: |_, _, _, calls| {
            calls.time(|| black_box((0..100_000).fold(0, |sum, i| mix(sum ^ i))));
        },
    },
    Work {
        name: "walk a capture",
        prepare: None,
        run: |engine, kind, _, calls| calls.time(|| walk(engine, kind)),
    },
    Work { name: "change under a capture", prepare: None, run: change_under_capture },
    Work {
        name: "fill from nothing, small to large",
        prepare: None,
        run: |engine, kind, len, calls| {
            (0..len.min(20_000)).for_each(|i| calls.time(|| put(engine, "fresh", kind, i)));
            calls.time(|| engine.remove("fresh").expect("the engine is sound"));
        },
    },
    Work {
        name: "copy, change and delete whole",
        prepare: None,
        run: |engine, kind, len, calls| {
            calls.time(|| engine.copy("large", engine, "copy", true).expect("there is no limit"));
            touch(engine, "copy", kind, len, calls);
            calls.time(|| engine.remove("copy").expect("the engine is sound"));
        },
    },
    Work { name: "20 k in one call in, and in one call out", prepare: None, run: many_at_once },
    // The whole collection, every node its own: freed in steps.
    Work {
        name: "delete, and free all of it",
        prepare: Some(refill),
        run: |engine, _, _, calls| {
            calls.time(|| engine.remove("large").expect("the engine is sound"));
            while calls.time(|| engine.maintain(larder::Budget::keys(256))).due {}
        },
    },
];

/// Measures every type of the list.
pub fn measure(kinds: &[Kind], len: u64, quick: bool) -> Vec<Stall> {
    let span = if quick { Duration::from_millis(50) } else { Duration::from_secs(1) };
    let mut stalls = Vec::new();
    for &kind in kinds {
        let engine = Engine::builder().seed(1).shards(1).build().expect("the settings are valid");
        refill(&engine, kind, len);
        stalls.extend(WORKS.iter().map(|work| measure_one(&engine, kind, len, work, span)));
    }
    stalls
}

fn measure_one(engine: &Engine, kind: Kind, len: u64, work: &Work, span: Duration) -> Stall {
    let ticks = Ticks::calibrate();
    let mut alone = Calls::alone();
    repeat(&mut alone, engine, kind, len, work, span / 4);
    with_neighbour(engine, |calls| {
        let times = repeat(calls, engine, kind, len, work, span);
        let (seen, of) = (calls.seen(), |histogram: &Histogram| Times::of(histogram, &ticks));
        Stall {
            kind: kind.name(),
            work: work.name,
            times,
            quiet: (calls.quiet.slices, calls.all.slices),
            beside: of(&seen.beside),
            apart: of(&seen.apart),
            call: of(&alone.seen().calls),
        }
    })
}

/// Works for a while: until half of the span was quiet, or five times of it are over.
fn repeat(calls: &mut Calls<'_>, engine: &Engine, kind: Kind, len: u64, work: &Work, span: Duration) -> u64 {
    let (start, mut times) = (Instant::now(), 0);
    while times == 0 || (calls.quiet.span < span / 2 && start.elapsed() < span * 5) {
        if let Some(prepare) = work.prepare {
            prepare(engine, kind, len);
            calls.forget();
        }
        (work.run)(engine, kind, len, calls);
        if work.prepare.is_some() {
            calls.turn(true);
        }
        times += 1;
    }
    times
}

/// A new collection in the place of the large one.
fn refill(engine: &Engine, kind: Kind, len: u64) {
    engine.remove("large").expect("the engine is sound");
    fill(engine, "large", kind, len);
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
fn change_under_capture(engine: &Engine, kind: Kind, len: u64, calls: &mut Calls<'_>) {
    let sound = "the engine is sound";
    let held: Box<dyn Drop0> = match kind {
        Kind::List => Box::new(engine.list::<Bytes>("large").iter().expect(sound)),
        Kind::Set => Box::new(engine.set_of::<Bytes>("large").iter().expect(sound)),
        Kind::Hash => Box::new(engine.hash::<Bytes, Bytes>("large").iter().expect(sound)),
        Kind::SortedSet => Box::new(engine.sorted_set::<Bytes>("large").iter().expect(sound)),
        Kind::Stream => Box::new(engine.stream("large").range(..).expect(sound)),
    };
    touch(engine, "large", kind, len, calls);
    drop(held);
}

/// Anything that is only held.
trait Drop0 {}

impl<T> Drop0 for T {}

fn touch(engine: &Engine, key: &str, kind: Kind, len: u64, calls: &mut Calls<'_>) {
    let sound = "there is no limit";
    for i in 0..1_000 {
        let number = mix(i ^ len) % len;
        match kind {
            Kind::List => {
                let index = i64::try_from(number).expect("small");
                calls.time(|| engine.list::<Bytes>(key).set(index, &element(i)).expect(sound));
            }
            Kind::Set => {
                let set = engine.set_of::<Bytes>(key);
                calls.time(|| set.remove(&element(number)).expect(sound));
                calls.time(|| set.add(&element(number)).expect(sound));
            }
            Kind::Hash => {
                let hash = engine.hash::<Bytes, Bytes>(key);
                calls.time(|| hash.set(&element(number), &element(i)).expect(sound));
            }
            Kind::SortedSet => {
                let sorted = engine.sorted_set::<Bytes>(key);
                calls.time(|| sorted.add(&element(number), score(i)).expect(sound));
            }
            Kind::Stream => {
                calls.time(|| engine.stream(key).add([("f", "v")]).expect(sound));
            }
        }
    }
}

/// Adds very many elements in one call, and takes them out in one call; a group of a stream reads and forgets them.
fn many_at_once(engine: &Engine, kind: Kind, len: u64, calls: &mut Calls<'_>) {
    const MANY: u64 = 20_000;
    let (sound, new) = ("there is no limit", (len..len + MANY).map(element).collect::<Vec<_>>());
    match kind {
        Kind::List => {
            let list = engine.list::<Bytes>("large");
            calls.time(|| list.extend_back(&new).expect(sound));
            calls.time(|| list.trim(0, -1 - i64::try_from(MANY).expect("small")).expect(sound));
        }
        Kind::Set => {
            let set = engine.set_of::<Bytes>("large");
            calls.time(|| set.add_many(&new).expect(sound));
            calls.time(|| set.remove_many(&new).expect(sound));
        }
        Kind::Hash => {
            let hash = engine.hash::<Bytes, Bytes>("large");
            calls.time(|| hash.set_many(new.iter().zip(&new)).expect(sound));
            calls.time(|| hash.remove_many(&new).expect(sound));
        }
        Kind::SortedSet => {
            let sorted = engine.sorted_set::<Bytes>("large");
            let scored = new.iter().map(|member| (member, 3_000_000.0));
            calls.time(|| sorted.add_all(scored, larder::ZAddOptions::new()).expect(sound));
            calls.time(|| sorted.remove_range(larder::ScoreRange::from(2_500_000.0..)).expect(sound));
        }
        Kind::Stream => {
            let stream = engine.stream("large");
            let back = usize::try_from(MANY.min(len - 1)).expect("small");
            let from = stream.range_reversed(..).expect(sound).nth(back).expect("there are more").id;
            stream.group("all").create(from).expect(sound);
            calls.time(|| stream.group("all").read("one").expect(sound).len());
            calls.time(|| stream.group("all").remove_consumer("one").expect(sound));
            stream.group("all").destroy().expect(sound);
        }
    }
}

/// Adds the element with this number.
fn put(engine: &Engine, key: &str, kind: Kind, i: u64) {
    let refused = "there is no limit";
    match kind {
        Kind::List => drop(engine.list::<Bytes>(key).push_back(&element(i)).expect(refused)),
        Kind::Set => drop(engine.set_of::<Bytes>(key).add(&element(i)).expect(refused)),
        Kind::Hash => drop(engine.hash::<Bytes, Bytes>(key).set(&element(i), &element(!i)).expect(refused)),
        Kind::SortedSet => {
            engine.sorted_set::<Bytes>(key).add(&element(i), score(i)).expect(refused);
        }
        Kind::Stream => drop(engine.stream(key).add([(&b"f"[..], &element(i)[..])]).expect(refused)),
    }
}
