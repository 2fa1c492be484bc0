//! Many histories: what a test runs.
//!
//! `LARDER_HISTORIES` says how many all tests make together (default 500), `LARDER_SEED` where their seeds start (default 1).
//! A seed determines the scripts and the pauses; how the machine runs the threads, it does not. A failing script fails
//! again within a few hundred runs as a rule, so the line that a failure prints asks for more than one.

use std::fmt;

use super::history::History;
use super::search::Verdict;

const HISTORIES: u64 = 500;

/// The histories of one test.
#[derive(Debug, Clone)]
pub struct Campaign {
    test: &'static str,
    histories: u64,
    seed: u64,
}

/// What a campaign has seen.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Histories checked.
    pub histories: u64,
    /// Those in which calls of two threads ran at the same time.
    pub overlapped: u64,
    /// Calls of all of them.
    pub calls: u64,
    /// Calls that began while one of another thread was running.
    pub overlapping_calls: u64,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Where the seeds of a run start: `LARDER_SEED`, or 1.
#[must_use]
pub fn seed() -> u64 {
    number("LARDER_SEED", 1)
}

impl Campaign {
    /// The campaign of one of `tests` tests that share the histories.
    #[must_use]
    pub fn new(test: &'static str, tests: u64) -> Self {
        Self {
            test,
            histories: number("LARDER_HISTORIES", HISTORIES).div_ceil(tests.max(1)).max(1),
            seed: seed(),
        }
    }

    /// Records and checks history after history.
    ///
    /// # Panics
    /// If one is not linearizable, or could not be decided, with an explanation and the line that repeats it; and if in no
    /// history any two calls overlapped: then nothing was tested.
    pub fn run<Op, Ret>(
        &self,
        record: impl Fn(u64) -> History<Op, Ret>,
        check: impl Fn(u64, History<Op, Ret>) -> Verdict,
    ) -> Report {
        let mut report = Report::default();
        for seed in (self.seed..).take(usize::try_from(self.histories).unwrap_or(usize::MAX)) {
            let history = record(seed);
            report.count(&history);
            let verdict = check(seed, history);
            let test = self.test;
            assert!(
                verdict.is_linearizable(),
                "{test}, seed {seed}: {verdict}\nrepeat: LARDER_SEED={seed} LARDER_HISTORIES=500 cargo test -p larder \
                 --test linearizable {test}"
            );
        }
        assert!(
            report.overlapped > 0,
            "{}: no calls overlapped in {} histories",
            self.test,
            report.histories
        );
        report
    }
}

impl Report {
    /// Counts a history in.
    pub fn count<Op, Ret>(&mut self, history: &History<Op, Ret>) {
        let overlapping = history.overlapping() as u64;
        self.histories += 1;
        self.calls += history.calls().len() as u64;
        self.overlapping_calls += overlapping;
        self.overlapped += u64::from(overlapping > 0);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} histories, {} with overlaps; {} calls, {} of them overlapping",
            self.histories, self.overlapped, self.calls, self.overlapping_calls
        )
    }
}
