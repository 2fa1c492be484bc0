//! Slices: a contestant works through a stream for a set time, alone or in two threads.
//!
//! Threads meet at a barrier, note when they start, work until the time is over and note when they end.
//! Between operations nothing happens except, every 256, a look at the clock. A read whose value belongs to
//! another key ends the program: a benchmark of wrong answers is worth nothing.

use super::keys::{KeyShape, Kind, Op, stamp};
use super::{Face, Store};
use crate::timing::{Histogram, Span, Ticks, overlap, queue_wait_ns};
use std::hint::black_box;
use std::ops::Range;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Operations between two looks at the clock; a multiple of `TOGETHER`.
const CHUNK: usize = 256;

/// Keys of one `get_many`.
pub const TOGETHER: usize = 16;

/// What to do in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// One stream of operations a thread.
    pub streams: &'a [Vec<Op>],
    /// Where in its stream each thread begins; the stream starts over when it ends.
    pub offset: usize,
    /// How long to work.
    pub length: Duration,
    /// Bytes of the values that are written.
    pub value_len: usize,
}

/// What happened in a slice.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Operations of all threads.
    pub ops: u64,
    /// Reads among them.
    pub gets: u64,
    /// Reads that found their key.
    pub hits: u64,
    /// Threads that took part.
    pub threads: usize,
    /// From the first start to the last end.
    pub span_ns: u64,
    /// Share of the span in which all threads ran, see `timing::overlap`.
    pub overlap: f64,
    /// Ticks of single reads and writes, when they were timed.
    pub timed: Option<(Histogram, Histogram)>,
}

impl Slice {
    /// Returns the time that one thread spent on one operation.
    pub fn ns_per_op(&self) -> f64 {
        self.span_ns as f64 * self.threads as f64 / self.ops.max(1) as f64
    }

    /// Returns the million operations that all threads together made in a second.
    pub fn mops(&self) -> f64 {
        self.ops as f64 * 1e3 / self.span_ns.max(1) as f64
    }

    /// Returns the share of reads that found their key, 0 to 1; 1 when there were none.
    pub fn hit_share(&self) -> f64 {
        if self.gets == 0 { 1.0 } else { self.hits as f64 / self.gets as f64 }
    }
}

/// The times of single inserts.
#[derive(Clone, Debug, Default)]
pub struct Growth {
    /// Ticks of every insert.
    pub ticks: Histogram,
    /// The longest inserts: their ticks, and how many keys had been inserted before.
    pub longest: Vec<(u64, u64)>,
}

impl Growth {
    const KEPT: usize = 8;

    /// Notes one insert.
    #[inline]
    pub fn record(&mut self, ticks: u64, keys_before: u64) {
        self.ticks.record(ticks);
        if self.longest.len() < Self::KEPT || self.longest.last().is_some_and(|&(least, _)| ticks > least) {
            self.longest.push((ticks, keys_before));
            self.longest.sort_by_key(|&(ticks, _)| std::cmp::Reverse(ticks));
            self.longest.truncate(Self::KEPT);
        }
    }
}

/// A contestant with its type hidden.
pub trait Contestant {
    /// Returns what tables call it.
    fn name(&self) -> &'static str;

    /// Returns its ways of reading, the main one first.
    fn faces(&self) -> &'static [(Face, &'static str)];

    /// Tells whether it evicts.
    fn bounded(&self) -> bool;

    /// Tells whether two threads may use it.
    fn shareable(&self) -> bool;

    /// Inserts the keys of these indices, in order.
    fn fill(&mut self, indices: Range<u32>, shape: KeyShape, value_len: usize);

    /// Inserts the keys of these indices and times each insert.
    fn grow(&mut self, indices: Range<u32>, shape: KeyShape, value_len: usize) -> Growth;

    /// Finishes what it has put off and returns how many entries it holds.
    fn settle(&mut self) -> u64;

    /// Works through a plan; nothing when it cannot be shared by that many threads.
    fn slice(&mut self, face: Face, plan: &Plan<'_>) -> Option<Slice>;

    /// The same, timing every single operation.
    fn timed_slice(&mut self, plan: &Plan<'_>) -> Option<Slice>;
}

/// Hides the type of a store.
pub(super) struct Runner<S> {
    store: S,
}

impl<S: Store> Runner<S> {
    pub(super) fn new(store: S) -> Runner<S> {
        Runner { store }
    }

    fn run(&mut self, plan: &Plan<'_>, work: impl Fn(&mut S, &[Op], &mut Tally) + Sync) -> Option<Slice> {
        let threads = plan.streams.len();
        if threads == 1 {
            return Some(run_threads(std::slice::from_mut(&mut self.store), plan, work));
        }
        let handles: Option<Vec<S>> = (0..threads).map(|_| self.store.fork()).collect();
        handles.map(|mut handles| run_threads(&mut handles, plan, work))
    }
}

impl<S: Store> Contestant for Runner<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn faces(&self) -> &'static [(Face, &'static str)] {
        S::FACES
    }

    fn bounded(&self) -> bool {
        S::BOUNDED
    }

    fn shareable(&self) -> bool {
        self.store.fork().is_some()
    }

    fn fill(&mut self, indices: Range<u32>, shape: KeyShape, value_len: usize) {
        let mut value = vec![0x5a; value_len];
        for index in indices {
            let op = Op::new(Kind::Set, index, shape);
            stamp(&mut value, op.index());
            self.store.set(op.key(), &value);
        }
    }

    fn grow(&mut self, indices: Range<u32>, shape: KeyShape, value_len: usize) -> Growth {
        let mut growth = Growth::default();
        let mut value = vec![0x5a; value_len];
        let first = indices.start;
        for index in indices {
            let op = black_box(Op::new(Kind::Set, index, shape));
            stamp(&mut value, op.index());
            let before = Ticks::now();
            self.store.set(op.key(), &value);
            growth.record(Ticks::now().saturating_sub(before), u64::from(index - first));
        }
        growth
    }

    fn settle(&mut self) -> u64 {
        self.store.settle()
    }

    fn slice(&mut self, face: Face, plan: &Plan<'_>) -> Option<Slice> {
        match face {
            Face::Owned => self.run(plan, |store, ops, tally| work_through(store, ops, tally, S::get)),
            Face::InPlace => self.run(plan, |store, ops, tally| work_through(store, ops, tally, S::view)),
            Face::Copied => self.run(plan, |store, ops, tally| work_through(store, ops, tally, S::copy)),
            Face::Many => self.run(plan, read_together),
        }
    }

    fn timed_slice(&mut self, plan: &Plan<'_>) -> Option<Slice> {
        self.run(plan, time_each)
    }
}

/// What one thread has counted, and its value to write.
struct Tally {
    gets: u64,
    hits: u64,
    sets: u64,
    value: Vec<u8>,
    timed: Option<(Histogram, Histogram)>,
}

impl Tally {
    #[inline]
    fn read(&mut self, op: &Op, found: Option<u64>) {
        self.gets += 1;
        if let Some(index) = black_box(found) {
            assert!(index == op.index(), "key {} came back with the value of key {index}", op.index());
            self.hits += 1;
        }
    }
}

fn work_through<S: Store>(
    store: &mut S,
    ops: &[Op],
    tally: &mut Tally,
    read: impl Fn(&mut S, &[u8]) -> Option<u64>,
) {
    for op in ops {
        match op.kind() {
            Kind::Get => {
                let found = read(store, op.key());
                tally.read(op, found);
            }
            Kind::Set => {
                stamp(&mut tally.value, op.index());
                store.set(op.key(), &tally.value);
                tally.sets += 1;
            }
        }
    }
}

fn read_together<S: Store>(store: &mut S, ops: &[Op], tally: &mut Tally) {
    for group in ops.chunks(TOGETHER) {
        store.get_many(group, |position, found| tally.read(&group[position], found));
    }
}

fn time_each<S: Store>(store: &mut S, ops: &[Op], tally: &mut Tally) {
    let (mut reads, mut writes) = tally.timed.take().unwrap_or_default();
    for op in ops {
        match op.kind() {
            Kind::Get => {
                let before = Ticks::now();
                let found = black_box(store.get(op.key()));
                reads.record(Ticks::now().saturating_sub(before));
                tally.read(op, found);
            }
            Kind::Set => {
                stamp(&mut tally.value, op.index());
                let before = Ticks::now();
                store.set(op.key(), &tally.value);
                writes.record(Ticks::now().saturating_sub(before));
                tally.sets += 1;
            }
        }
    }
    tally.timed = Some((reads, writes));
}

fn run_threads<S: Store>(
    handles: &mut [S],
    plan: &Plan<'_>,
    work: impl Fn(&mut S, &[Op], &mut Tally) + Sync,
) -> Slice {
    let (epoch, barrier) = (Instant::now(), Barrier::new(handles.len()));
    let (ready, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let threads = handles.len();
    let one = |store: &mut S, ops: &[Op]| {
        let value = vec![0x5a; plan.value_len];
        let mut tally = Tally { gets: 0, hits: 0, sets: 0, value, timed: None };
        let mut at = plan.offset % ops.len() / CHUNK * CHUNK;
        barrier.wait();
        let waited = queue_wait_ns();
        // The barrier has woken every thread; those awake wait for the others' last preparations without
        // sleeping.
        ready.fetch_add(1, Ordering::AcqRel);
        while ready.load(Ordering::Acquire) < threads {
            std::hint::spin_loop();
        }
        let start = epoch.elapsed();
        loop {
            let until = (at + CHUNK).min(ops.len());
            work(store, &ops[at..until], &mut tally);
            at = if until == ops.len() { 0 } else { until };
            let now = epoch.elapsed();
            if now >= start + plan.length || over.load(Ordering::Relaxed) {
                over.store(true, Ordering::Relaxed);
                let waited_ns = queue_wait_ns().saturating_sub(waited);
                let span = Span { start_ns: nanos(start), end_ns: nanos(now), waited_ns };
                return (tally, span);
            }
        }
    };
    let done: Vec<(Tally, Span)> = std::thread::scope(|scope| {
        let one = &one;
        let workers: Vec<_> = handles
            .iter_mut()
            .zip(plan.streams)
            .map(|(store, ops)| scope.spawn(move || one(store, ops)))
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a contestant panicked")).collect()
    });
    sum_up(done)
}

fn sum_up(done: Vec<(Tally, Span)>) -> Slice {
    let spans: Vec<Span> = done.iter().map(|(_, span)| *span).collect();
    let first = spans.iter().map(|span| span.start_ns).min().unwrap_or(0);
    let last = spans.iter().map(|span| span.end_ns).max().unwrap_or(0);
    let mut slice = Slice {
        ops: 0,
        gets: 0,
        hits: 0,
        threads: done.len(),
        span_ns: last - first,
        overlap: overlap(&spans),
        timed: None,
    };
    for (tally, _) in done {
        slice.ops += tally.gets + tally.sets;
        slice.gets += tally.gets;
        slice.hits += tally.hits;
        if let Some((reads, writes)) = tally.timed {
            let (all_reads, all_writes) = slice.timed.get_or_insert_with(Default::default);
            all_reads.merge(&reads);
            all_writes.merge(&writes);
        }
    }
    slice
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_inserts_are_kept_in_order() {
        let mut growth = Growth::default();
        for key in 0..1_000_u64 {
            growth.record((key * 37) % 1_009, key);
        }
        let ticks: Vec<u64> = growth.longest.iter().map(|&(ticks, _)| ticks).collect();
        assert_eq!(ticks.len(), Growth::KEPT);
        assert!(ticks.windows(2).all(|pair| pair[0] >= pair[1]));
        assert_eq!(ticks[0], growth.ticks.max());
        assert!(growth.longest.iter().all(|&(ticks, key)| ticks == (key * 37) % 1_009));
    }

    #[test]
    fn figures_of_a_slice() {
        let slice = Slice {
            ops: 2_000,
            gets: 1_000,
            hits: 900,
            threads: 2,
            span_ns: 10_000,
            overlap: 1.0,
            timed: None,
        };
        assert_eq!(slice.ns_per_op(), 10.0);
        assert_eq!(slice.mops(), 200.0);
        assert_eq!(slice.hit_share(), 0.9);
    }
}
