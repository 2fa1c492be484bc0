//! Short slices in turns.
//!
//! ```text
//! round     variant 0: slice | variant 1: slice | ...     next round: one further first
//! slice     every hand in a thread of its own: warm-up chunk | barrier | chunk [aside] chunk [aside] ... until the time is over
//! ```
//! A chunk is a number of operations between two readings of the clock; what a hand does aside (emptying queues) is timed for
//! itself. The machine is shared, so that a slice is short: one in which the threads were not running side by side for most of
//! its time is refused and run again, and a round whose slices were all refused has no figure for that variant.

use crate::peers::contest::Outcome;
use crate::timing::{Span, overlap, queue_wait_ns};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What one thread does.
pub struct Hand {
    run: Box<dyn FnMut(u64, u32) + Send>,
    aside: Option<Box<dyn FnMut() + Send>>,
    end: Option<Box<dyn FnOnce() + Send>>,
    done: u64,
}

impl Hand {
    /// Makes a hand that is called with the number of its first operation and how many to do.
    pub fn new(run: impl FnMut(u64, u32) + Send + 'static) -> Self {
        Self { run: Box::new(run), aside: None, end: None, done: 0 }
    }

    /// Makes a hand of one operation, which is called with its number.
    pub fn each(mut one: impl FnMut(u64) + Send + 'static) -> Self {
        Self::new(move |first, count| (first..first + u64::from(count)).for_each(&mut one))
    }

    /// Adds what is to be done after every chunk.
    pub fn with_aside(mut self, aside: impl FnMut() + Send + 'static) -> Self {
        self.aside = Some(Box::new(aside));
        self
    }

    /// Adds what is to be done when the hand is dropped, after everything else of it.
    pub fn at_end(mut self, end: impl FnOnce() + Send + 'static) -> Self {
        self.end = Some(Box::new(end));
        self
    }

    /// Returns how many operations it has done.
    pub fn done(&self) -> u64 {
        self.done
    }

    fn chunk(&mut self, count: u32) {
        (self.run)(self.done, count);
        self.done += u64::from(count);
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        (self.run, self.aside) = (Box::new(|_, _| {}), None);
        self.end.take().into_iter().for_each(|end| end());
    }
}

/// A row of a table.
pub struct Variant {
    /// Who it is.
    pub name: &'static str,
    /// One a thread.
    pub hands: Vec<Hand>,
    /// Operations between two readings of the clock.
    pub chunk: u32,
    /// The share of its time that a slice must have run undisturbed.
    pub least_overlap: f64,
}

impl Variant {
    /// Below this share of undisturbed time a slice does not count.
    pub const LEAST: f64 = 0.9;
    /// The same for who sleeps between operations: being woken takes a while in the scheduler's queue each time.
    pub const LEAST_ASLEEP: f64 = 0.6;

    /// Makes a variant whose hands run without sleeping.
    pub fn new(name: &'static str, chunk: u32, hands: Vec<Hand>) -> Self {
        Self { name, hands, chunk, least_overlap: Self::LEAST }
    }

    /// Makes one whose hand waits for somebody else in every operation.
    pub fn asleep(name: &'static str, chunk: u32, hand: Hand) -> Self {
        Self { name, hands: vec![hand], chunk, least_overlap: Self::LEAST_ASLEEP }
    }
}

/// How a cell is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Length of a slice.
    pub slice: Duration,
    /// Rounds that count; one goes before.
    pub rounds: usize,
    /// How often a slice is tried in a round.
    pub attempts: u32,
}

/// The figure of an outcome that is nanoseconds an operation, of one thread.
pub const NS: usize = 0;
/// The figure that is nanoseconds an operation of what was done aside.
pub const ASIDE_NS: usize = 1;

/// Lets the variants take turns.
pub fn measure(variants: &mut [Variant], plan: &Plan) -> Vec<Outcome> {
    let nothing = |variant: &Variant| Outcome {
        label: variant.name,
        rounds: Vec::new(),
        hit_share: f64::NAN,
        overlap: f64::NAN,
        refused: 0,
    };
    let mut outcomes: Vec<Outcome> = variants.iter().map(nothing).collect();
    let count = variants.len();
    for round in 0..=plan.rounds {
        for turn in 0..count {
            let place = (turn + round) % count;
            let (variant, outcome) = (&mut variants[place], &mut outcomes[place]);
            let mut figures = None;
            for _ in 0..if round > 0 { plan.attempts } else { 1 } {
                let (seen, shared) = slice(variant, plan.slice);
                if shared >= variant.least_overlap {
                    outcome.overlap = if round > 0 { outcome.overlap.min(shared) } else { outcome.overlap };
                    figures = Some(seen);
                    break;
                }
                outcome.refused += u32::from(round > 0);
                std::thread::sleep(Duration::from_millis(3));
            }
            if round > 0 {
                outcome.rounds.push(figures);
            }
        }
    }
    outcomes
}

/// What a thread has gathered in a slice.
struct Share {
    operations: u64,
    busy: Duration,
    aside: Duration,
    span: Span,
}

/// Runs one slice: its figures, and how much of it the threads were running side by side.
fn slice(variant: &mut Variant, length: Duration) -> (Vec<f64>, f64) {
    let (epoch, chunk, threads) = (Instant::now(), variant.chunk, variant.hands.len());
    let (barrier, ready, over) = (Barrier::new(threads), AtomicUsize::new(0), AtomicBool::new(false));
    let work = |hand: &mut Hand| {
        hand.chunk(chunk);
        hand.aside.iter_mut().for_each(|aside| aside());
        barrier.wait();
        let waited = queue_wait_ns();
        // The barrier has woken every thread; who is awake waits for the others without sleeping.
        ready.fetch_add(1, Ordering::AcqRel);
        while ready.load(Ordering::Acquire) < threads {
            std::hint::spin_loop();
        }
        let start = epoch.elapsed();
        let (mut now, mut busy, mut aside, first) = (start, Duration::ZERO, Duration::ZERO, hand.done);
        while now < start + length && !over.load(Ordering::Relaxed) {
            let before = now;
            hand.chunk(chunk);
            now = epoch.elapsed();
            busy += now - before;
            if let Some(work) = &mut hand.aside {
                work();
                let then = std::mem::replace(&mut now, epoch.elapsed());
                aside += now - then;
            }
        }
        over.store(true, Ordering::Relaxed);
        let waited_ns = queue_wait_ns().saturating_sub(waited);
        let span = Span { start_ns: nanos(start), end_ns: nanos(now), waited_ns };
        Share { operations: hand.done - first, busy, aside, span }
    };
    let shares: Vec<Share> = std::thread::scope(|scope| {
        let work = &work;
        let started: Vec<_> = variant.hands.iter_mut().map(|hand| scope.spawn(move || work(hand))).collect();
        started.into_iter().map(|thread| thread.join().expect("a contestant panicked")).collect()
    });
    let spans: Vec<Span> = shares.iter().map(|share| share.span).collect();
    let each = |time: fn(&Share) -> Duration| {
        let sum: f64 =
            shares.iter().map(|share| time(share).as_nanos() as f64 / share.operations.max(1) as f64).sum();
        sum / threads as f64
    };
    (vec![each(|share| share.busy), each(|share| share.aside)], overlap(&spans))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn operations_are_numbered_on_and_counted() {
        let (seen, emptied) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (count, aside) = (Arc::clone(&seen), Arc::clone(&emptied));
        let hand =
            Hand::each(move |i| assert_eq!(count.fetch_add(1, Ordering::Relaxed), i)).with_aside(move || {
                aside.fetch_add(1, Ordering::Relaxed);
            });
        let mut variants = [Variant::new("one", 10, vec![hand])];
        let plan = Plan { slice: Duration::from_micros(200), rounds: 3, attempts: 50 };
        let outcomes = measure(&mut variants, &plan);
        let done = variants[0].hands[0].done();
        assert_eq!((seen.load(Ordering::Relaxed), done % 10), (done, 0));
        assert_eq!(emptied.load(Ordering::Relaxed), done / 10);
        assert_eq!((outcomes[0].rounds.len(), outcomes[0].label), (3, "one"));
        for figures in outcomes[0].rounds.iter().flatten() {
            assert!(figures[NS] > 0.0 && figures[ASIDE_NS] >= 0.0, "{figures:?}");
        }
    }

    #[test]
    fn every_variant_gets_every_round_and_every_hand_works() {
        let idle = || {
            Hand::each(|i| {
                std::hint::black_box(i);
            })
        };
        let mut variants =
            [Variant::new("two", 100, vec![idle(), idle()]), Variant::new("one", 100, vec![idle()])];
        let outcomes =
            measure(&mut variants, &Plan { slice: Duration::from_micros(100), rounds: 2, attempts: 2 });
        assert!(outcomes.iter().all(|outcome| outcome.rounds.len() == 2));
        assert!(variants.iter().flat_map(|variant| &variant.hands).all(|hand| hand.done() > 0));
    }
}
