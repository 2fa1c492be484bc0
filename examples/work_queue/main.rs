//! Work queues that a service can copy, one kind a module; none loses the job of a worker that dies or stalls.
//!
//! | module | what it adds | waits by |
//! |---|---|---|
//! | `simple` | first in, first out; a job's result and its end in one step | blocking move |
//! | `priority` | the most urgent first | a bell |
//! | `delayed` | not before a given time | a bell, until the next due time |
//! | `fair` | tenants take turns | blocking move in a ring |
//! | `workflow` | a step is ready when all that it needs is done | as `simple` |
//! | `retry` | exponential backoff with jitter, dead letters, replay | as `delayed` |
//! | `groups` | a stream's consumer group; leases of single entries, heartbeats | blocking read |
//!
//! `crew` is what they share: hearts that beat, and hands that are emptied when a heart stops. `bell` lets workers sleep.
//! Here the clock is the machine's and the stories are short; the tests move a clock by hand.
//!
//! ```text
//! cargo run --release --example work_queue
//! cargo test --example work_queue
//! ```

mod bell;
mod crew;
mod delayed;
mod fair;
mod groups;
mod priority;
mod retry;
mod simple;
mod workflow;

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use larder::Engine;

use crate::delayed::DelayedQueue;
use crate::fair::FairQueue;
use crate::groups::GroupQueue;
use crate::priority::PriorityQueue;
use crate::retry::{Backoff, RetryQueue};
use crate::simple::SimpleQueue;
use crate::workflow::Workflow;

type Story = fn(&Engine) -> Outcome;
type Outcome = Result<(), Box<dyn Error>>;

/// How long a heart may stand still in these stories; a service would say seconds.
const TTL: Duration = Duration::from_millis(150);
/// No worker in these stories waits longer for something that comes.
const SOON: Duration = Duration::from_secs(5);
/// It finds nothing unless it is there already.
const NOW: Duration = Duration::ZERO;

fn main() -> Outcome {
    let engine = Engine::new();
    let stories: [(&str, Story); 7] = [
        ("simple", simple),
        ("priority", priority),
        ("delayed", delayed),
        ("fair", fair),
        ("workflow", workflow),
        ("retry", retry),
        ("groups", groups),
    ];
    for (name, story) in stories {
        println!("{name}");
        story(&engine)?;
    }
    Ok(())
}

fn simple(engine: &Engine) -> Outcome {
    let queue = SimpleQueue::<String>::new(engine, "mails", TTL);
    thread::scope(|scope| -> Outcome {
        let worker = scope.spawn(|| queue.take("ann", SOON));
        queue.push(&"to Eve".to_owned())?;
        let taken = worker.join().map_err(|_| "the worker panicked")??.ok_or("a job came")?;
        println!("  Ann slept until {taken:?} came, and is killed in the middle of it.");
        Ok(())
    })?;
    let job = loop {
        queue.reclaim()?;
        if let Some(job) = queue.take("bob", TTL / 5)? {
            break job;
        }
    };
    queue.crew().beat("bob")?;
    let sent = queue.finish_with("bob", &job, &["sent"], |tx| tx.incr("sent").map(drop))?;
    println!("  Her heart stopped, Bob got {job:?}: finished {sent}, {} left.", queue.len()?);
    let late = queue.finish_with("ann", &job, &["sent"], |tx| tx.incr("sent").map(drop))?;
    println!(
        "  Had she only stalled, her finish would say {late}. Mails sent: {}.",
        engine.incr_by("sent", 0)?
    );
    Ok(())
}

fn priority(engine: &Engine) -> Outcome {
    let queue = PriorityQueue::new(engine, "calls", TTL);
    for (urgency, what) in [(5, "survey"), (1, "complaint"), (5, "advert"), (0, "alarm")] {
        queue.push(urgency, what)?;
    }
    while let Some(job) = queue.take("ann", NOW)? {
        println!("  {} (urgency {}): finished {}", job.what, job.urgency, queue.finish("ann", &job)?);
    }
    println!("  jobs to put back: {}", queue.reclaim()?);
    Ok(())
}

fn delayed(engine: &Engine) -> Outcome {
    let queue = DelayedQueue::<String>::new(engine, "reminders", TTL);
    let start = Instant::now();
    for (after_ms, what) in [(90, "tea"), (30, "call Bob"), (60, "go home")] {
        queue.push_after(Duration::from_millis(after_ms), &what.to_owned())?;
    }
    for _ in 0..3 {
        let what = queue.take("ann", SOON)?.ok_or("something is due")?;
        println!("  after {} ms: {what}", start.elapsed().as_millis() / 10 * 10);
        queue.finish("ann", &what)?;
    }
    println!("  jobs to put back: {}", queue.reclaim()?);
    Ok(())
}

fn fair(engine: &Engine) -> Outcome {
    let queue = FairQueue::new(engine, "renders", TTL);
    for frame in 1..=4 {
        queue.push("studio", &format!("frame {frame}"))?;
    }
    queue.push("student", "homework")?;
    queue.push("teacher", "slides")?;
    let mut order = Vec::new();
    while let Some(next) = queue.take("ann", NOW)? {
        queue.finish("ann", &next)?;
        order.push(format!("{}'s {}", next.tenant, next.what));
    }
    println!("  {}", order.join(", "));
    println!("  orders to put back: {}", queue.reclaim()?);
    Ok(())
}

fn workflow(engine: &Engine) -> Outcome {
    let flow = Workflow::new(engine, "release", TTL);
    flow.start(&[
        ("fetch", &[]),
        ("build", &["fetch"]),
        ("docs", &["fetch"]),
        ("test", &["build"]),
        ("ship", &["test", "docs"]),
    ])?;
    let mut order = Vec::new();
    while !flow.is_done()? {
        flow.reclaim()?;
        let Some(step) = flow.take("ann", SOON)? else { break };
        flow.finish("ann", &step)?;
        order.push(step);
    }
    println!("  {}", order.join(" -> "));
    Ok(())
}

fn retry(engine: &Engine) -> Outcome {
    let backoff = Backoff {
        base: Duration::from_millis(20),
        longest: Duration::from_millis(100),
        tries_max: 4,
        seed: 7,
    };
    let queue = RetryQueue::new(engine, "webhooks", SOON, backoff);
    queue.push("order 17 paid")?;
    let start = Instant::now();
    while queue.dead_letters()?.is_empty() {
        let attempt = queue.take("ann", SOON)?.ok_or("it is tried again")?;
        println!("  try {} after {} ms: no answer", attempt.tries + 1, start.elapsed().as_millis());
        queue.fail("ann", &attempt, "no answer")?;
    }
    for letter in queue.dead_letters()? {
        println!("  dead letter: {:?}, {}", letter.attempt.what, letter.error);
    }
    println!("  the other side is repaired, replayed: {}", queue.replay(100)?);
    let attempt = queue.take("ann", SOON)?.ok_or("it was replayed")?;
    println!("  try {}: succeeded {}", attempt.tries + 1, queue.succeed("ann", &attempt)?);
    println!("  jobs to put back: {}", queue.reclaim()?);
    Ok(())
}

fn groups(engine: &Engine) -> Outcome {
    let queue = GroupQueue::new(engine, "uploads", "thumbnails", TTL)?;
    queue.submit("cat.jpg")?;
    let entry = queue.take("ann", SOON)?.ok_or("it is there")?;
    for _ in 0..3 {
        thread::sleep(TTL / 3);
        queue.heartbeat("ann", entry.id)?;
    }
    println!(
        "  Ann works on {:?} for longer than a lease: her heartbeats extend it. Then she stalls.",
        entry.what
    );
    let claimed = queue.take("bob", SOON)?.ok_or("its lease is over")?;
    println!("  Bob claims {:?}, delivery {}.", claimed.what, claimed.times);
    println!("  Ann's heartbeat tells her: {}.", queue.heartbeat("ann", entry.id)?);
    println!(
        "  Bob's finish: {}, Ann's: {}",
        queue.finish("bob", claimed.id)?,
        queue.finish("ann", entry.id)?
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    //! What the tests of all kinds share.

    use larder::ManualClock;

    use super::*;

    pub(crate) const TTL: Duration = Duration::from_secs(10);

    /// An engine whose time the test moves.
    pub(crate) fn world() -> (ManualClock, Engine) {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        (clock, engine)
    }
}
