//! The summary: tables, verdict and plots.

use std::fmt;
use std::time::Duration;

use larder::{MemoryUsage, Stats};
use larder_examples::latency::Latency;
use larder_examples::plot::{Axis, Chart, Guide, Mark, Panel, Series, colour};
use larder_examples::table::{Table, bytes, count, nanoseconds, percent};

use super::removals::Cause;
use super::watch::Sample;
use super::workload::{Tally, Workload};
use super::{SKEW, THREADS, TTL};

/// The limit may be passed by this many percent while a write is under way: what the engine promises.
const SLACK_PERCENT: u64 = 3;

/// Everything that a run has shown.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) requests: u64,
    pub(crate) limit_bytes: u64,
    pub(crate) database_bytes: u64,
    pub(crate) elapsed: Duration,
    pub(crate) tally: Tally,
    pub(crate) samples: Vec<Sample>,
    pub(crate) stats: Stats,
    pub(crate) memory: MemoryUsage,
    pub(crate) workload: &'a Workload,
}

impl Report<'_> {
    /// Whether every value was right and the limit was kept.
    pub(crate) fn passed(&self) -> bool {
        self.tally.wrong == 0 && self.limit_kept()
    }

    fn limit_kept(&self) -> bool {
        self.peak_bytes() <= self.limit_bytes + self.limit_bytes * SLACK_PERCENT / 100
    }

    fn peak_bytes(&self) -> u64 {
        self.samples.iter().map(|sample| sample.bytes_used).max().unwrap_or(0).max(self.memory.total())
    }

    fn latencies(&self) -> Table {
        let mut table = Table::new(["latency", "count", "mean", "p50", "p99", "p99.9"]);
        let mut row = |what: &str, latency: &Latency| {
            let quantile = |per_mille| {
                latency.quantile_ns(per_mille).map_or_else(|| "-".to_owned(), |ns| nanoseconds(ns as f64))
            };
            table.row([
                what.to_owned(),
                count(latency.count()),
                latency.mean_ns().map_or_else(|| "-".to_owned(), nanoseconds),
                quantile(500),
                quantile(990),
                quantile(999),
            ]);
        };
        row("hit", &self.tally.hits);
        row("miss (reads the database)", &self.tally.misses);
        row("all reads through the cache", &self.tally.cached_reads());
        row("direct database read", &self.tally.direct);
        row("write (database, then cache)", &self.tally.writes);
        table
    }

    fn summary(&self) -> Table {
        let (hits, misses) = (self.tally.hits.count(), self.tally.misses.count());
        let log = &self.workload.removals;
        let mut table = Table::new(["summary", ""]);
        let mut row = |what: &str, value: String| table.row([what.to_owned(), value]);
        row("hit ratio", percent(hits, hits + misses));
        row("database reads saved", format!("{} of {}", count(hits), count(hits + misses)));
        row("speed-up of the mean read", self.speed_up());
        row("reads that waited for the other's load", count(self.stats.load_waits));
        row("requests a second", count(per_second(self.requests, self.elapsed)));
        row("bytes used at the end", bytes(self.memory.total()));
        row("  entries and decoded objects", bytes(self.memory.blobs + self.memory.objects));
        row("  hash tables", bytes(self.memory.index));
        row("  expiry timers", bytes(self.memory.wheel));
        row("  eviction (ring, ghosts)", bytes(self.memory.eviction));
        row("bytes used at most (seen)", bytes(self.peak_bytes()));
        row("byte limit", bytes(self.limit_bytes));
        row(
            "keys held at the end",
            format!("{} of {}", count(self.stats.keys), count(self.workload.cities() as u64)),
        );
        row("evicted for room", count(log.evicted.count()));
        row("  never read again (left the ring)", count(self.stats.evicted_ring));
        row("  least useful of the main part", count(self.stats.evicted_main));
        row(&format!("expired after {} s", TTL.as_secs()), count(log.expired.count()));
        row("replaced by a write", count(log.replaced.count()));
        row("invalidated by a write", count(log.deleted.count()));
        table
    }

    fn speed_up(&self) -> String {
        match (self.tally.direct.mean_ns(), self.tally.cached_reads().mean_ns()) {
            (Some(direct), Some(cached)) if cached > 0.0 => format!("{:.1} x", direct / cached),
            _ => "-".to_owned(),
        }
    }

    /// Hit ratio of each tick, and the bytes in use.
    pub(crate) fn hits_and_memory(&self) -> Chart {
        let end = self.samples.last().map_or(1.0, |sample| sample.at_s);
        let time = || Axis::linear("time since the first request (s)", 0.0, end);
        let ratio = self.samples.windows(2).map(|pair| {
            let (hits, misses) = (pair[1].hits - pair[0].hits, pair[1].misses - pair[0].misses);
            // No reads within the tick: no ratio. The chart leaves out what is not finite.
            (pair[1].at_s, hits as f64 * 100.0 / (hits + misses) as f64)
        });
        let used = self.samples.iter().map(|sample| (sample.at_s, mebibytes(sample.bytes_used)));
        let moved = self.samples.iter().find(|sample| sample.half_done).map_or(end, |sample| sample.at_s);
        let line =
            |name: &str, colour, points| Series { name: name.to_owned(), colour, mark: Mark::Line, points };
        let limit = mebibytes(self.limit_bytes);
        Chart {
            title: "A cache under a byte limit, ahead of SQLite".to_owned(),
            subtitle: format!(
                "{} requests from {THREADS} threads, Zipf {SKEW} over {} cities, TTL {} s",
                count(self.requests),
                count(self.workload.cities() as u64),
                TTL.as_secs()
            ),
            panels: vec![
                Panel {
                    height: 230.0,
                    x: time(),
                    y: Axis::linear("hit ratio (%)", 0.0, 100.0),
                    series: vec![line("hits among the reads of each 0.1 s", colour::BLUE, ratio.collect())],
                    guides: vec![Guide::Down(moved, "the crowd moves to other cities".to_owned())],
                },
                Panel {
                    height: 170.0,
                    x: time(),
                    y: Axis::linear("memory (MiB)", 0.0, limit * 1.2),
                    series: vec![line(
                        "bytes that the cache accounts for",
                        colour::VERMILION,
                        used.collect(),
                    )],
                    guides: vec![Guide::Across(limit, format!("limit {}", bytes(self.limit_bytes)))],
                },
            ],
        }
    }

    /// How old keys were when they left, by their popularity.
    pub(crate) fn evictions_by_age(&self) -> Chart {
        let log = &self.workload.removals;
        let dots = |name: &str, colour, cause: &Cause| {
            let sample = cause.sample();
            Series {
                name: format!("{name} ({} of {})", count(sample.len() as u64), count(cause.count())),
                colour,
                mark: Mark::Dots,
                points: sample.iter().map(|aged| (aged.rank as f64, aged.age_ms)).collect(),
            }
        };
        let ttl_ms = TTL.as_secs_f64() * 1_000.0;
        let ages = log.evicted.sample().into_iter().chain(log.expired.sample()).map(|aged| aged.age_ms);
        // Most are older than 1 ms; a few evicted at once would stretch the axis over empty decades.
        let youngest_ms = ages.fold(1.0, f64::min).max(0.01);
        Chart {
            title: "Which keys left the cache, and how old they were".to_owned(),
            subtitle: "an even sample of the removals; age counts from the last time the key was stored"
                .to_owned(),
            panels: vec![Panel {
                height: 420.0,
                x: Axis::log(
                    "popularity rank of the key (1 is asked for most)",
                    1.0,
                    self.workload.cities() as f64,
                )
                .labelled(thousands),
                y: Axis::log("age when removed", youngest_ms, ttl_ms * 2.5).labelled(milliseconds),
                series: vec![
                    dots("evicted for room", colour::BLUE, &log.evicted),
                    dots("expired", colour::VERMILION, &log.expired),
                ],
                guides: vec![Guide::Across(ttl_ms, format!("TTL {} s", TTL.as_secs()))],
            }],
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} requests on {THREADS} threads in {:.1} s, ahead of a database of {}\n",
            count(self.requests),
            self.elapsed.as_secs_f64(),
            bytes(self.database_bytes)
        )?;
        writeln!(f, "{}", self.latencies())?;
        writeln!(f, "{}", self.summary())?;
        let note = "A lookup by primary key in an embedded database is the least that a cache can save.";
        writeln!(f, "  {note}\n")?;
        let word = |good| if good { "PASS" } else { "FAIL" };
        let tally = &self.tally;
        let right = word(tally.wrong == 0);
        writeln!(
            f,
            "  {right}  {} values checked, {} wrong or stale",
            count(tally.checked),
            count(tally.wrong)
        )?;
        for problem in &tally.shown {
            writeln!(f, "        {problem}")?;
        }
        let kept = word(self.limit_kept());
        let (peak, limit) = (bytes(self.peak_bytes()), bytes(self.limit_bytes));
        writeln!(f, "  {kept}  at most {peak} used under a limit of {limit} (slack {SLACK_PERCENT} %)")
    }
}

/// Writes a rank on an axis.
fn thousands(rank: f64) -> String {
    if rank < 1_000.0 { format!("{rank:.0}") } else { format!("{:.0},000", rank / 1_000.0) }
}

/// Writes an age on an axis.
fn milliseconds(ms: f64) -> String {
    if ms < 1_000.0 { format!("{ms} ms") } else { format!("{} s", ms / 1_000.0) }
}

fn mebibytes(number: u64) -> f64 {
    number as f64 / f64::from(1 << 20)
}

fn per_second(number: u64, time: Duration) -> u64 {
    let ms = time.as_millis().max(1);
    u64::try_from(u128::from(number) * 1_000 / ms).unwrap_or(u64::MAX)
}
