//! The scripts of these tests on shuttle's scheduler, which tries out orders of critical sections and replays a failure.
//!
//! `LARDER_MODEL_RUNS` sets how many interleavings each test tries (default 300), ten of each script.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::Engine;
use larder_testkit::linear::{Dice, History, Log, Model, Plan, Slot, Stamps, Verdict, script, seed};
use shuttle::thread;

use crate::{Ret, engine};

const RUNS: usize = 300;
const RUNS_OF_A_SCRIPT: usize = 10;

pub(crate) fn campaign<M: Model<Ret = Ret> + Send + Sync + 'static>(
    test: &'static str,
    model: M,
    draw: impl Fn(&mut Dice, Slot) -> M::Op + Send + Sync + 'static,
    run: impl Fn(&Engine, &M::Op) -> Ret + Send + Sync + 'static,
    judge: impl Fn(&M, History<M::Op, Ret>) -> Verdict + Send + Sync + 'static,
) -> String
where
    M::Op: Send,
{
    let runs = std::env::var("LARDER_MODEL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let (parts, overlapped) = (Arc::new((model, draw, run, judge)), Arc::new(AtomicU64::new(0)));
    for seed in (seed()..).take(runs.div_ceil(RUNS_OF_A_SCRIPT)) {
        let (parts, overlapped) = (Arc::clone(&parts), Arc::clone(&overlapped));
        let one = move || {
            let (model, draw, run, judge) = &*parts;
            let mut dice = Dice::new(seed);
            let plan = Plan { threads: 2 + dice.below(2), calls: 2 + dice.below(3) };
            let history = interleaved(seed, script(seed, plan, draw), run);
            overlapped.fetch_add(u64::from(history.overlapping() > 0), Ordering::Relaxed);
            let verdict = judge(model, history);
            assert!(verdict.is_linearizable(), "{test}, seed {seed}: {verdict}\nrepeat: LARDER_SEED={seed}");
        };
        shuttle::check_random_with_seed(one, seed, RUNS_OF_A_SCRIPT);
    }
    let overlapped = overlapped.load(Ordering::Relaxed);
    assert!(overlapped > 0, "{test}: no calls overlapped in {runs} interleavings");
    format!("{test}: {runs} interleavings, {overlapped} with overlaps")
}

fn interleaved<Op: Send>(
    seed: u64,
    scripts: Vec<Vec<Op>>,
    run: &(impl Fn(&Engine, &Op) -> Ret + Sync),
) -> History<Op, Ret> {
    let (engine, stamps) = (engine(seed), Stamps::default());
    let mut calls = Vec::new();
    thread::scope(|scope| {
        let threads = scripts.into_iter().enumerate().map(|(number, script)| {
            let (engine, stamps) = (&engine, &stamps);
            scope.spawn(move || {
                let mut log = Log::new(stamps, number, script.len());
                for op in script {
                    log.call(op, |op| run(engine, op));
                    // After a call too, so that threads do not leave it to the locks alone who goes on.
                    thread::yield_now();
                }
                log.into_calls()
            })
        });
        for thread in threads.collect::<Vec<_>>() {
            calls.extend(thread.join().expect("no call panics"));
        }
    });
    History::new(calls)
}
