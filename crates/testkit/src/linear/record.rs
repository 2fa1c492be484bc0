//! Threads that make calls and write them down.
//!
//! ```text
//! round       0        1        2
//! thread 0  | op ... | op     | spin, op |        | all meet here (in most rounds), spinning
//! thread 1  |  op    | op     | op       |
//! ```
//! Scripts are drawn before the threads start, and a stamp lies directly on either side of a call: what overlaps in a
//! history has run at the same time. Short histories and many of them find more than long ones: their searches are small,
//! and every one begins with an empty engine.

use std::hint;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::history::{History, Log, Stamps};

/// Seeded numbers (splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u32) -> u32 {
        u32::try_from(self.next() % u64::from(n.max(1))).unwrap_or(0)
    }

    /// Heads, once in `n` throws.
    pub fn once_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// One of them; there is one.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let at = self.below(u32::try_from(of.len()).unwrap_or(u32::MAX));
        of[at as usize]
    }
}

/// How large a history is.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Threads.
    pub threads: u32,
    /// Calls of each thread.
    pub calls: u32,
}

impl Plan {
    /// Two to four threads with six to twelve calls each.
    pub fn draw(dice: &mut Dice) -> Self {
        Self { threads: 2 + dice.below(3), calls: 6 + dice.below(7) }
    }
}

/// Which call of a script is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// The thread that will make it.
    pub thread: u32,
    /// Which of its calls it is.
    pub call: u32,
}

impl Slot {
    /// A number that no other call of the history has.
    #[must_use]
    pub fn unique(self) -> u32 {
        self.thread * 100 + self.call + 1
    }
}

#[derive(Debug, Clone, Copy)]
enum Pause {
    None,
    Spin(u32),
    Yield,
}

/// Where threads wait for each other, without sleeping, which would wake them one by one.
struct Meeting {
    arrived: AtomicUsize,
    broken: AtomicBool,
}

impl Meeting {
    fn wait_for(&self, arrivals: usize) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let mut turns = 0_u32;
        while self.arrived.load(Ordering::SeqCst) < arrivals && !self.broken.load(Ordering::Relaxed) {
            turns += 1;
            if turns < 2_000 {
                hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}

/// Lets the others go when a thread panics.
struct Attendance<'m>(&'m Meeting);

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}

struct Step<Op> {
    op: Op,
    /// After how many arrivals this round begins, if the threads meet before it.
    meet: Option<usize>,
    pause: Pause,
}

/// The calls that each thread would make, for threads that somebody else schedules.
pub fn script<Op>(seed: u64, plan: Plan, draw: impl Fn(&mut Dice, Slot) -> Op) -> Vec<Vec<Op>> {
    let scripts = scripts(&mut Dice::new(seed), plan, draw);
    scripts.into_iter().map(|steps| steps.into_iter().map(|step| step.op).collect()).collect()
}

/// Draws a script for each thread, runs them at the same time and returns what happened.
///
/// # Panics
/// If a call panics.
pub fn record<Op: Send, Ret: Send>(
    seed: u64,
    plan: Plan,
    draw: impl Fn(&mut Dice, Slot) -> Op,
    run: impl Fn(&Op) -> Ret + Sync,
) -> History<Op, Ret> {
    let mut dice = Dice::new(seed);
    let scripts = scripts(&mut dice, plan, draw);
    let stamps = Stamps::default();
    let meeting = Meeting { arrived: AtomicUsize::new(0), broken: AtomicBool::new(false) };
    let (start, run) = (Barrier::new(plan.threads as usize), &run);
    let mut calls = Vec::new();
    thread::scope(|scope| {
        let threads = scripts.into_iter().enumerate().map(|(thread, script)| {
            let (stamps, meeting, start) = (&stamps, &meeting, &start);
            scope.spawn(move || {
                let _attendance = Attendance(meeting);
                let mut log = Log::new(stamps, thread, script.len());
                start.wait();
                for Step { op, meet, pause } in script {
                    if let Some(arrivals) = meet {
                        meeting.wait_for(arrivals);
                    }
                    match pause {
                        Pause::None => {}
                        Pause::Spin(turns) => (0..turns).for_each(|_| hint::spin_loop()),
                        Pause::Yield => thread::yield_now(),
                    }
                    log.call(op, run);
                }
                log.into_calls()
            })
        });
        for thread in threads.collect::<Vec<_>>() {
            calls.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    History::new(calls)
}

fn scripts<Op>(dice: &mut Dice, plan: Plan, draw: impl Fn(&mut Dice, Slot) -> Op) -> Vec<Vec<Step<Op>>> {
    let mut meetings = 0;
    let rounds: Vec<Option<usize>> = (0..plan.calls)
        .map(|_| {
            let meet = !dice.once_in(4);
            meetings += usize::from(meet);
            meet.then_some(meetings * plan.threads as usize)
        })
        .collect();
    let scripts = (0..plan.threads).map(|thread| {
        let rounds = rounds.iter().zip(0..);
        let steps = rounds.map(|(&meet, call)| {
            let pause = match dice.below(8) {
                0..=3 => Pause::None,
                4..=6 => Pause::Spin(dice.below(40)),
                _ => Pause::Yield,
            };
            Step { op: draw(dice, Slot { thread, call }), meet, pause }
        });
        steps.collect()
    });
    scripts.collect()
}
