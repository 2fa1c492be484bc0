//! Watches the run: a progress bar on a terminal, plain lines elsewhere, and samples for the plot.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use larder::Engine;
use larder_examples::table::{bytes, count, percent};

use super::workload::Workload;

const TICK: Duration = Duration::from_millis(100);
/// Plain lines over a whole run.
const LINES: u64 = 10;

/// The state of the run at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at_s: f64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) bytes_used: u64,
    pub(crate) half_done: bool,
}

/// Takes a sample every tick until `done`, and shows how far the run is.
pub(crate) fn until_done(
    start: Instant,
    requests: u64,
    engine: &Engine,
    workload: &Workload,
    done: impl Fn() -> bool,
) -> Vec<Sample> {
    let mut display = Display::new(requests);
    let mut samples = Vec::new();
    loop {
        let finished = done();
        let sum =
            |part: fn(&super::workload::Progress) -> u64| workload.progress.iter().map(part).sum::<u64>();
        let served = sum(|thread| thread.requests.load(Ordering::Relaxed));
        let sample = Sample {
            at_s: start.elapsed().as_secs_f64(),
            hits: sum(|thread| thread.hits.load(Ordering::Relaxed)),
            misses: sum(|thread| thread.misses.load(Ordering::Relaxed)),
            bytes_used: engine.memory_usage().total(),
            half_done: served >= requests / 2,
        };
        display.show(served, &sample);
        samples.push(sample);
        if finished {
            display.finish();
            return samples;
        }
        thread::sleep(TICK);
    }
}

/// A bar where there is a terminal to draw it on.
enum Display {
    Bar(ProgressBar),
    Lines { requests: u64, shown: u64 },
}

impl Display {
    fn new(requests: u64) -> Self {
        if !stderr().is_terminal() {
            return Self::Lines { requests, shown: 0 };
        }
        let style = ProgressStyle::with_template("{elapsed:>4} [{bar:40}] {human_pos}/{human_len} {msg}");
        let style = style.expect("the template names known fields only");
        let bar = ProgressBar::with_draw_target(Some(requests), ProgressDrawTarget::stderr());
        Self::Bar(bar.with_style(style.progress_chars("=> ")))
    }

    fn show(&mut self, served: u64, sample: &Sample) {
        let state = format!(
            "hit ratio {}, {} used",
            percent(sample.hits, sample.hits + sample.misses),
            bytes(sample.bytes_used)
        );
        match self {
            Self::Bar(bar) => {
                bar.set_position(served);
                bar.set_message(state);
            }
            Self::Lines { requests, shown } => {
                let reached = served * LINES / *requests;
                if reached > *shown {
                    *shown = reached;
                    eprintln!("{:>5.1} s  {:>11} requests  {state}", sample.at_s, count(served));
                }
            }
        }
    }

    fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish();
        }
        eprintln!();
    }
}
