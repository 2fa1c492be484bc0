//! The measurement of a neighbour, in slices.
//!
//! ```text
//! worker     |call call call|turn|call|turn|call call call|turn|     every call timed; a slice ends with a call
//! neighbour  |..............|    |....|    |..............|          every operation timed: 7 beside the worker, 1 apart, and again
//! ```
//! The machine is shared. A slice in which the scheduler took the processor from either thread, or let one stand in the queue
//! for long after it was woken, says nothing about locks, so that only the others count ("quiet"); where there are none, all
//! of them do, and the figures say so.

use crate::collections::mix;
use crate::timing::{Histogram, Ticks, involuntary_switches, pin, queue_wait_ns};
use larder::Engine;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a slice is, if one call is not longer.
const SLICE: Duration = Duration::from_millis(2);
/// The epoch that ends the neighbour.
const END: u64 = 0;

/// The times of many slices.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) slices: u64,
    pub(super) span: Duration,
    pub(super) beside: Histogram,
    pub(super) apart: Histogram,
    pub(super) calls: Histogram,
}

impl Seen {
    fn merge(&mut self, span: Duration, theirs: &Slice, calls: &Histogram) {
        self.slices += 1;
        self.span += span;
        self.beside.merge(&theirs.beside);
        self.apart.merge(&theirs.apart);
        self.calls.merge(calls);
    }
}

/// What the neighbour saw in a slice.
#[derive(Default)]
struct Slice {
    beside: Histogram,
    apart: Histogram,
    lost: Lost,
}

/// What the scheduler has done to a thread since it began.
#[derive(Clone, Copy, Default)]
struct Lost {
    switches: u64,
    queued: Duration,
}

impl Lost {
    fn now() -> Self {
        Self { switches: involuntary_switches(), queued: Duration::from_nanos(queue_wait_ns()) }
    }

    fn since(self, before: Self) -> Self {
        Self { switches: self.switches - before.switches, queued: self.queued - before.queued }
    }

    fn is_quiet(self) -> bool {
        self.switches == 0 && self.queued < SLICE / 8
    }
}

/// Times the worker's calls, and cuts its time into slices.
pub(super) struct Calls<'a> {
    neighbour: Option<(&'a AtomicU64, mpsc::Receiver<Slice>)>,
    begun: Instant,
    lost: Lost,
    calls: Histogram,
    pub(super) quiet: Seen,
    pub(super) all: Seen,
}

impl Calls<'_> {
    pub(super) fn alone() -> Self {
        Self {
            neighbour: None,
            begun: Instant::now(),
            lost: Lost::now(),
            calls: Histogram::new(),
            quiet: Seen::default(),
            all: Seen::default(),
        }
    }

    /// Times a call.
    pub(super) fn time<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let start = Ticks::now();
        let result = call();
        self.calls.record(Ticks::now() - start);
        if self.begun.elapsed() >= SLICE {
            self.turn(true);
        }
        result
    }

    /// Leaves out of the figures what was done since the last slice ended.
    pub(super) fn forget(&mut self) {
        self.turn(false);
    }

    /// Ends a slice, and begins the next when the neighbour has taken notice.
    pub(super) fn turn(&mut self, counts: bool) {
        let mine = Lost::now().since(self.lost);
        let span = self.begun.elapsed();
        let theirs = self.neighbour.as_ref().map_or_else(Slice::default, |(epoch, slices)| {
            epoch.fetch_add(1, Ordering::Relaxed);
            // Spinning: a thread that sleeps is woken late.
            loop {
                if let Ok(slice) = slices.try_recv() {
                    return slice;
                }
                std::hint::spin_loop();
            }
        });
        if counts && self.calls.count() > 0 {
            self.all.merge(span, &theirs, &self.calls);
            if mine.is_quiet() && theirs.lost.is_quiet() {
                self.quiet.merge(span, &theirs, &self.calls);
            }
        }
        self.calls = Histogram::new();
        (self.lost, self.begun) = (Lost::now(), Instant::now());
    }

    /// The quiet slices, if there are any.
    pub(super) fn seen(&self) -> &Seen {
        if self.quiet.slices > 0 { &self.quiet } else { &self.all }
    }
}

/// Runs `work` beside a neighbour with small keys in `engine` and in one of its own.
pub(super) fn with_neighbour<R>(engine: &Engine, work: impl FnOnce(&mut Calls<'_>) -> R) -> R {
    let other = Engine::builder().seed(2).shards(1).build().expect("the settings are valid");
    let keys: Vec<String> = (0..1_000).map(|i| format!("small:{i}")).collect();
    for engine in [engine, &other] {
        keys.iter().for_each(|key| engine.set(key, "value").expect("there is no limit"));
    }
    pin(0);
    let epoch = AtomicU64::new(1);
    std::thread::scope(|scope| {
        let (tell, slices) = mpsc::channel();
        let (epoch, keys, other) = (&epoch, &keys, &other);
        scope.spawn(move || operate([engine, other], keys, epoch, &tell));
        let mut calls = Calls { neighbour: Some((epoch, slices)), ..Calls::alone() };
        // The first slice is for getting under way.
        calls.forget();
        let done = work(&mut calls);
        epoch.store(END, Ordering::Relaxed);
        done
    })
}

fn operate(engines: [&Engine; 2], keys: &[String], epoch: &AtomicU64, tell: &mpsc::Sender<Slice>) {
    pin(1);
    let (mut slice, mut seen, mut before) = (Slice::default(), 1, Lost::now());
    for i in 0u64.. {
        let now = epoch.load(Ordering::Relaxed);
        if now == END {
            return;
        }
        if now != seen {
            slice.lost = Lost::now().since(before);
            tell.send(std::mem::take(&mut slice)).expect("the worker listens");
            (seen, before) = (now, Lost::now());
        }
        let key = &keys[usize::try_from(mix(i) % 1_000).expect("small")];
        let apart = i.is_multiple_of(8);
        let engine = engines[usize::from(apart)];
        let start = Ticks::now();
        if mix(i).is_multiple_of(10) {
            engine.set(key, "other").expect("there is no limit");
        } else {
            engine.get_with(key, |value| black_box(value.len())).expect("the engine is sound");
        }
        let took = Ticks::now() - start;
        if apart { slice.apart.record(took) } else { slice.beside.record(took) }
    }
}
