//! The wheel against a plain model: a map of deadlines and a count of timers for each key.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::buckets::LEVELS;
use super::wheel::Progress;
use super::{ExpiryWheel, Timer, Verdict};

const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 365 * 24 * HOUR_MS;
const START_MS: u64 = 1_750_000_000_123;
const PHASE: u64 = 77_777_777_777;

fn timer(key: u16) -> Timer {
    Timer::new(0xfeed_0000_0000 | u64::from(key), key % 3)
}

fn identity(bytes: usize) -> usize {
    bytes
}

/// Block sizes of an allocator with a header and 16-byte steps.
fn rounded(bytes: usize) -> usize {
    (bytes + 8).next_multiple_of(16).max(32)
}

/// Numbers that look random and are the same in every run.
fn scattered(index: u64) -> u64 {
    let mut bits = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits ^ (bits >> 29)
}

/// A wheel with timers for the given deadlines, in order, at `START_MS`.
fn wheel_of(deadlines: impl IntoIterator<Item = u64>) -> ExpiryWheel {
    let mut wheel = ExpiryWheel::new(START_MS, PHASE);
    for (key, deadline) in (0..).zip(deadlines) {
        wheel.arm(timer(key), deadline);
    }
    wheel
}

/// Keys as the engine would keep them, the wheel, and what is known of both.
struct Model {
    wheel: ExpiryWheel,
    now_ms: u64,
    deadlines: BTreeMap<Timer, u64>,
    timers: BTreeMap<Timer, usize>,
    /// Keys already dead when the sweep under way began, and not given a deadline since.
    doomed: Option<BTreeSet<Timer>>,
}

impl Model {
    fn new(now_ms: u64, phase: u64) -> Self {
        let (deadlines, timers) = (BTreeMap::new(), BTreeMap::new());
        Self { wheel: ExpiryWheel::new(now_ms, phase), now_ms, deadlines, timers, doomed: None }
    }

    /// What the engine does on EXPIRE: a later deadline is a store, all else arms.
    fn expire(&mut self, timer: Timer, deadline: u64) {
        let old = self.deadlines.insert(timer, deadline);
        if let Some(doomed) = &mut self.doomed {
            doomed.remove(&timer);
        }
        if old.is_none_or(|old| old > deadline) {
            let before = [self.wheel.heap_bytes(identity), self.wheel.heap_bytes(rounded)];
            let growth = [self.wheel.allocation_for_arm(identity), self.wheel.allocation_for_arm(rounded)];
            self.wheel.arm(timer, deadline);
            *self.timers.entry(timer).or_default() += 1;
            assert!(self.wheel.heap_bytes(identity) <= before[0] + growth[0], "growth was foretold");
            assert!(self.wheel.heap_bytes(rounded) <= before[1] + growth[1], "growth was foretold");
        }
    }

    fn advance(&mut self, budget: u32) -> Progress {
        let now_ms = self.now_ms;
        let mut met = 0;
        let progress = self.wheel.advance(now_ms, budget, |timer| {
            met += 1;
            match self.deadlines.get(&timer) {
                Some(&deadline) if deadline > now_ms => return Verdict::Requeue(deadline),
                Some(_) => drop(self.deadlines.remove(&timer)),
                None => {}
            }
            *self.timers.get_mut(&timer).expect("armed") -= 1;
            Verdict::Drop
        });
        assert_eq!(progress.met, met);
        assert!(met <= budget);
        assert!(progress.done || met == budget, "stops early only for the budget");
        if progress.done {
            let clock_ms = now_ms.min((1 << 63) - 1);
            let late = self.deadlines.values().find(|&&deadline| deadline <= clock_ms);
            assert_eq!(late, None, "done at {now_ms} with something due");
            assert!(self.wheel.next_due_ms().is_none_or(|due| due > clock_ms), "done, yet due");
        } else {
            assert!(self.wheel.next_due_ms().is_some_and(|due| due <= now_ms), "not done, yet not due");
        }
        progress
    }

    fn sweep(&mut self, budget: u32) {
        let dead = |timer: &Timer| !self.deadlines.contains_key(timer);
        let doomed = self.doomed.get_or_insert_with(|| self.timers.keys().copied().filter(dead).collect());
        let mut met = 0;
        let progress = self.wheel.sweep(budget, |timer| {
            met += 1;
            let keep = self.deadlines.contains_key(&timer);
            if !keep {
                *self.timers.get_mut(&timer).expect("armed") -= 1;
            }
            keep
        });
        assert_eq!(progress.met, met);
        assert!(met <= budget && (progress.done || met == budget));
        if progress.done {
            for timer in &*doomed {
                assert_eq!(self.timers.get(timer).copied().unwrap_or(0), 0, "swept, yet dead {timer:?}");
            }
            self.doomed = None;
        }
    }

    fn check(&self) {
        self.wheel.validate();
        let mut found = BTreeMap::new();
        let mut earliest = BTreeMap::new();
        for (timer, start) in self.wheel.starts() {
            *found.entry(timer).or_insert(0) += 1;
            let first = earliest.entry(timer).or_insert(start);
            *first = start.min(*first);
        }
        let expected =
            self.timers.iter().filter(|(_, count)| **count > 0).map(|(&timer, &count)| (timer, count));
        assert_eq!(found, expected.collect(), "the timers held");
        for (timer, &deadline) in &self.deadlines {
            assert!(earliest[timer] <= self.wheel.limit(deadline), "{timer:?} would come late");
        }
        if let Some(&first) = self.deadlines.values().min() {
            let due = self.wheel.next_due_ms().expect("a key with a deadline has a timer");
            assert!(due <= first.max(self.now_ms), "next_due_ms is a lower bound");
        }
        match self.wheel.sample(scattered(self.now_ms)) {
            Some(timer) => assert!(found.contains_key(&timer)),
            None => assert!(found.is_empty()),
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Expire { first: u16, count: u16, deadline: Span },
    Remove { first: u16, count: u16 },
    Advance { clock: Span, budget: u32 },
    Step { budget: u32 },
    Due,
    Sweep { budget: u32 },
    Clear,
}

/// A time relative to now, or an absolute one.
#[derive(Clone, Copy, Debug)]
enum Span {
    Ahead(u64),
    Back(u64),
    At(u64),
}

impl Span {
    fn from(self, now_ms: u64) -> u64 {
        match self {
            Self::Ahead(ms) => now_ms.saturating_add(ms),
            Self::Back(ms) => now_ms.saturating_sub(ms),
            Self::At(ms) => ms,
        }
    }
}

fn span() -> impl Strategy<Value = Span> {
    let width =
        prop_oneof![Just(3u64), Just(70), Just(5_000), Just(300_000), Just(YEAR_MS), Just(90 * YEAR_MS)];
    let near = width.prop_flat_map(|width| 0..width);
    prop_oneof![
        12 => near.clone().prop_map(Span::Ahead),
        3 => near.prop_map(Span::Back),
        1 => prop_oneof![Just(0), Just(u64::MAX), Just(1 << 63), any::<u64>()].prop_map(Span::At),
    ]
}

fn operation() -> impl Strategy<Value = Op> {
    let budget = || prop_oneof![Just(0u32), 1..5u32, Just(64), Just(u32::MAX)];
    prop_oneof![
        60 => (0..60u16, 1..25u16, span()).prop_map(|(first, count, deadline)| Op::Expire { first, count, deadline }),
        20 => (0..60u16, 1..25u16).prop_map(|(first, count)| Op::Remove { first, count }),
        40 => (span(), budget()).prop_map(|(clock, budget)| Op::Advance { clock, budget }),
        30 => budget().prop_map(|budget| Op::Step { budget }),
        20 => Just(Op::Due),
        30 => budget().prop_map(|budget| Op::Sweep { budget }),
        1 => Just(Op::Clear),
    ]
}

fn run(start_ms: u64, phase: u64, operations: Vec<Op>) {
    let mut model = Model::new(start_ms, phase);
    for operation in operations {
        match operation {
            Op::Expire { first, count, deadline } => {
                let deadline = deadline.from(model.now_ms);
                (first..first + count).for_each(|key| model.expire(timer(key), deadline));
            }
            Op::Remove { first, count } => {
                (first..first + count).for_each(|key| {
                    model.deadlines.remove(&timer(key));
                });
            }
            Op::Advance { clock, budget } => {
                model.now_ms = clock.from(model.now_ms);
                model.advance(budget);
            }
            Op::Step { budget } => {
                model.advance(budget);
            }
            Op::Due => {
                model.advance(u32::MAX);
                let due = model.wheel.next_due_ms().filter(|&due| due < 1 << 63);
                if let Some(due) = due {
                    model.now_ms = due - 1;
                    assert_eq!(
                        model.advance(1),
                        Progress { met: 0, done: true },
                        "nothing before next_due_ms"
                    );
                    model.now_ms = due;
                    assert_eq!(model.advance(1).met, 1, "something at next_due_ms");
                }
            }
            Op::Sweep { budget } => model.sweep(budget),
            Op::Clear => {
                model.wheel.clear();
                (model.deadlines, model.timers, model.doomed) = Default::default();
            }
        }
        model.check();
    }
    // In the end each key goes at its very millisecond, whatever the clock has done before.
    while model.now_ms < 1 << 62 && !model.wheel.is_empty() {
        assert!(model.advance(u32::MAX).done);
        model.check();
        let next = model.wheel.next_due_ms().filter(|&due| due < 1 << 63);
        let Some(due) = next else { break };
        model.now_ms = due;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_the_model(
        start_ms in prop_oneof![4 => Just(START_MS), 1 => Just(0), 1 => any::<u64>()],
        phase in any::<u64>(),
        operations in prop::collection::vec(operation(), 1..60),
    ) {
        run(start_ms, phase, operations);
    }
}

#[test]
fn a_timer_keeps_48_bits_and_the_database() {
    let timer = Timer::new(0xabcd_1234_5678_9abc, 0xfedc);
    assert_eq!((timer.hash48(), timer.db()), (0x1234_5678_9abc, 0xfedc));
    assert_eq!(size_of::<Timer>(), 8);
}

#[test]
fn an_empty_wheel_owns_nothing() {
    const EMPTY: ExpiryWheel = ExpiryWheel::new(START_MS, u64::MAX);
    let mut wheel = EMPTY;
    assert_eq!((wheel.len(), wheel.is_empty(), wheel.heap_bytes(identity)), (0, true, 0));
    assert_eq!((wheel.sample(7), wheel.next_due_ms()), (None, None));
    let nobody = |_| unreachable!("an empty wheel meets nothing");
    assert_eq!(wheel.advance(u64::MAX, 64, nobody), Progress { met: 0, done: true });
    assert_eq!(wheel.sweep(64, |_| unreachable!("nothing to sweep")), Progress { met: 0, done: true });
    wheel.arm(timer(1), START_MS + 5);
    wheel.clear();
    assert_eq!((wheel.len(), wheel.heap_bytes(identity)), (0, 0));
}

#[test]
fn each_deadline_comes_at_its_millisecond() {
    let mut widths = vec![0, 1, 2, 63, 64, 65];
    widths.extend((1..LEVELS).flat_map(|level| {
        let width = 1u64 << (6 * level);
        [width - 1, width, width + 1, 63 * (width >> 6)]
    }));
    // Starts on, before and after the borders of buckets, with no phase so that they are where they seem.
    for start in [0, 1, 63, 64, 4_095, 4_096, 1 << 36, START_MS] {
        for width in widths.iter().copied().filter(|width| width + start < 1 << 63) {
            let mut wheel = ExpiryWheel::new(start, 0);
            let deadline = start + width;
            wheel.arm(timer(9), deadline);
            wheel.validate();
            let mut visits = 0;
            while let Some(due) = wheel.next_due_ms() {
                assert!(due <= deadline);
                let before = wheel.advance(due.saturating_sub(1).max(start).min(due), 0, |_| Verdict::Drop);
                assert_eq!(before.met, 0);
                visits +=
                    wheel
                        .advance(due, 9, |_| {
                            if due < deadline { Verdict::Requeue(deadline) } else { Verdict::Drop }
                        })
                        .met;
                wheel.validate();
            }
            assert!((1..=LEVELS).contains(&visits), "{visits} visits from {start} for {width}");
        }
    }
}

#[test]
fn extreme_deadlines() {
    let mut wheel = wheel_of([0, START_MS - 1, START_MS, u64::MAX, 1 << 63, (1 << 63) - 1]);
    let mut met = Vec::new();
    let progress = wheel.advance(START_MS, 64, |timer| {
        met.push(timer);
        Verdict::Drop
    });
    assert_eq!(progress, Progress { met: 3, done: true });
    met.sort_unstable();
    assert_eq!(met, {
        let mut three = [timer(0), timer(1), timer(2)];
        three.sort_unstable();
        three
    });
    // At the end of time the last finite deadline comes; those that mean never stay.
    let never = [timer(3), timer(4)];
    let progress = wheel.advance(u64::MAX, 64, |timer| {
        if never.contains(&timer) { Verdict::Requeue(u64::MAX) } else { Verdict::Drop }
    });
    assert!(progress.done);
    assert_eq!(wheel.len(), 2);
    wheel.validate();
}

#[test]
fn a_deadline_already_past_comes_at_the_next_call() {
    let mut wheel = wheel_of([]);
    for _ in 0..3 {
        assert!(wheel.advance(START_MS + 500, 64, |_| Verdict::Drop).done);
        wheel.arm(timer(1), START_MS + 3);
        assert!(wheel.next_due_ms().is_some_and(|due| due <= START_MS + 500));
        assert_eq!(wheel.advance(START_MS + 500, 64, |_| Verdict::Drop), Progress { met: 1, done: true });
    }
}

#[test]
fn a_requeue_for_a_time_past_waits_for_the_next_tick() {
    let mut wheel = wheel_of([START_MS; 20]);
    let progress = wheel.advance(START_MS, u32::MAX, |_| Verdict::Requeue(0));
    assert_eq!(progress, Progress { met: 20, done: true });
    assert_eq!(wheel.next_due_ms(), Some(START_MS + 1));
    assert_eq!(wheel.advance(START_MS + 1, 64, |_| Verdict::Drop).met, 20);
}

#[test]
fn a_cascade_keeps_to_its_budget_and_goes_on() {
    let deadline = START_MS + 5 * HOUR_MS;
    let mut wheel = wheel_of(std::iter::repeat_n(deadline, 10_000));
    let mut holds = 0;
    let mut now = START_MS;
    while !wheel.is_empty() {
        now = wheel.next_due_ms().expect("not empty").max(now);
        let progress = wheel
            .advance(now, 64, |_| if now >= deadline { Verdict::Drop } else { Verdict::Requeue(deadline) });
        assert!(progress.met <= 64);
        holds += 1;
    }
    assert_eq!(now, deadline);
    // 157 holds move 10 000 timers; they cross at most the levels of five hours, and fire.
    assert!(holds <= 157 * 5, "{holds} holds");
}

#[test]
fn a_leap_of_years_costs_one_visit_a_timer() {
    let mut wheel = wheel_of((0..5_000).map(|key| START_MS + scattered(key) % (3 * YEAR_MS)));
    let progress = wheel.advance(START_MS + 80 * YEAR_MS, u32::MAX, |_| Verdict::Drop);
    assert_eq!(progress, Progress { met: 5_000, done: true });
    assert_eq!(wheel.heap_bytes(identity), 0);
}

#[test]
fn clocks_that_go_back_and_forth_lose_nothing_and_fire_nothing_late() {
    let mut model = Model::new(START_MS, PHASE);
    model.expire(timer(1), START_MS + HOUR_MS);
    model.expire(timer(2), u64::MAX);
    for round in 0..300 {
        model.now_ms = if round % 2 == 0 { 0 } else { u64::MAX - round };
        model.advance(u32::MAX);
        model.expire(timer(3), model.now_ms.saturating_add(10));
        model.check();
    }
    model.now_ms = START_MS;
    model.expire(timer(4), START_MS + 10);
    model.now_ms += 9;
    model.advance(u32::MAX);
    assert!(model.deadlines.contains_key(&timer(4)));
    model.now_ms += 1;
    model.advance(u32::MAX);
    assert!(!model.deadlines.contains_key(&timer(4)));
}

#[test]
fn small_steps_back_within_a_window_make_no_extra_visits() {
    let mut wheel = wheel_of([]);
    let first = (START_MS + PHASE).next_multiple_of(64) - PHASE;
    wheel.advance(first + 9, 9, |_| Verdict::Drop);
    wheel.arm(timer(1), first + 40);
    for now in [8, 12, 11, 30, 2, 39] {
        assert_eq!(wheel.advance(first + now, 9, |_| Verdict::Drop).met, 0);
        wheel.validate();
    }
    assert_eq!(wheel.advance(first + 40, 9, |_| Verdict::Drop).met, 1);
}

#[test]
fn a_visit_that_panics_keeps_its_timer() {
    let mut wheel = wheel_of([START_MS; 8]);
    let visit = |_| panic!("a listener failed");
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wheel.advance(START_MS, 9, visit)));
    assert!(caught.is_err());
    wheel.validate();
    assert_eq!(wheel.len(), 8);
}

#[test]
fn a_leap_into_a_far_bucket_spares_the_levels_between() {
    // The last tick of the level 3 bucket before 2^24: each level's slot differs from the cursor's.
    let deadline = (1 << 24) - 1;
    let mut wheel = ExpiryWheel::new(0, 0);
    wheel.arm(timer(1), deadline);
    assert_eq!(
        wheel.advance(deadline - 1, 64, |_| Verdict::Requeue(deadline)),
        Progress { met: 1, done: true }
    );
    assert_eq!(wheel.next_due_ms(), Some(deadline), "it is at the lowest level now");
}

#[test]
fn a_sweep_leaves_the_living_and_shrinks() {
    for (count, bytes_max) in [(200u16, 25 * 40), (10_000, 1_250 * 18)] {
        let deadline = |key: u16| START_MS + 1 + scattered(u64::from(key)) % HOUR_MS;
        let mut wheel = wheel_of((0..count).map(deadline));
        let lives = |timer: Timer| timer.hash48() % 8 == 0;
        let mut shown = 0;
        loop {
            let progress = wheel.sweep(64, lives);
            shown += progress.met;
            wheel.validate();
            if progress.done {
                break;
            }
        }
        assert_eq!(shown, u32::from(count), "each once while nothing else happens");
        assert_eq!(wheel.len(), usize::from(count / 8));
        assert!(wheel.starts().all(|(timer, _)| lives(timer)));
        assert!(wheel.heap_bytes(identity) <= bytes_max, "{} bytes at {count}", wheel.heap_bytes(identity));
    }
}

#[test]
fn soonest_comes_in_bucket_order() {
    let wheel = wheel_of([5, 90_000, 1, 3_000, 2].map(|ms| START_MS + ms));
    let mut out = vec![timer(99)];
    wheel.soonest(4, &mut out);
    assert_eq!(out, [99, 2, 4, 0, 3].map(timer));
    out.clear();
    wheel.soonest(100, &mut out);
    assert_eq!(out.len(), 5);
    assert_eq!(out[4], timer(1));
}

#[test]
fn samples_reach_every_timer_about_evenly() {
    let wheel = wheel_of((0..70).map(|_| START_MS + HOUR_MS));
    let mut hits = BTreeMap::new();
    for draw in 0..70_000 {
        *hits.entry(wheel.sample(scattered(draw)).expect("not empty")).or_insert(0) += 1;
    }
    assert_eq!(hits.len(), 70);
    assert!(hits.values().all(|hits| (800..1_200).contains(hits)), "{hits:?}");
    assert!(wheel.sample(0).is_some() && wheel.sample(u64::MAX).is_some());
}

#[test]
fn memory_is_what_the_doc_says() {
    let counts = [1, 10, 100, 1_000, 10_000];
    for (spread_ms, bytes) in
        [(HOUR_MS, [80, 420, 1_468, 10_600, 94_508]), (720 * HOUR_MS, [80, 356, 2_556, 12_152, 98_888])]
    {
        for (count, bytes) in counts.into_iter().zip(bytes) {
            let wheel = wheel_of((0..count).map(|key| START_MS + 1_000 + scattered(key) % spread_ms));
            assert_eq!(wheel.heap_bytes(identity), bytes, "{count} timers over {spread_ms} ms");
        }
    }
}
