//! Hit ratios of larder's policies, of the peers and of simulated policies, on recorded or generated traces.
//!
//! ```text
//! cargo run --release -p larder-benches --bin hit_ratio -- \
//!     --trace orm.txt.gz --trace web.txt.gz --capacity 1%,5%,10%,20% [--bytes] [--budget] [--json]
//! ```
//!
//! Without `--trace` the generators run. For each trace and capacity there is a table, at the end the means
//! over the traces and, for each contestant, how far it stays below the best of LRU, S3-FIFO and W-TinyLFU.
//! All ratios are of accesses, also with `--bytes`, where only the limit is in bytes.
//!
//! The exit code is 1 if anything lies above Belady's optimum (with `--bytes`: above an upper bound of it),
//! because that is a counting bug or a cache that holds more than its capacity; also, with `--budget`, if
//! larder's default policy misses the project's hit-ratio budget. It is 2 if the arguments or a trace are
//! bad.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;
use larder_benches::sim::{Contestant, Origin, Setup, belady, contestants};
use larder_benches::trace::{Generator, Trace};
use serde::Serialize;

/// Accesses of a generated trace unless `--limit` says otherwise.
const GENERATED_ACCESSES: usize = 200_000;
/// The policies whose best is the yardstick.
const YARDSTICKS: [&str; 3] = ["LRU", "S3-FIFO", "W-TinyLFU"];
/// The contestant that the budget is about.
const DEFAULT_POLICY: &str = "larder admission";
/// The budget: on the mean it must reach the better of these.
const BUDGET_MEAN: [&str; 2] = ["S3-FIFO", "quick_cache"];
/// The budget: never further below the best yardstick, in points.
const BUDGET_GAP: f64 = 3.0;

/// Hit ratios over traces, held against Belady's optimum.
#[derive(Debug, Parser)]
struct Args {
    /// Trace file, plain or gzip: `key [size] [ttl seconds]` a line. May be given more than once.
    #[arg(long)]
    trace: Vec<PathBuf>,
    /// Capacities: entries, bytes with --bytes, or a percentage of the trace's distinct keys or bytes.
    #[arg(long, value_delimiter = ',', default_value = "1%,5%,10%,20%")]
    capacity: Vec<Capacity>,
    /// Capacities are bytes, and entries weigh their size.
    #[arg(long)]
    bytes: bool,
    /// Generated traces; all of them if there is neither --trace nor --generate.
    #[arg(long, value_delimiter = ',')]
    generate: Vec<Generator>,
    /// Use this many accesses of each trace [default: all of a file, 200000 of a generator].
    #[arg(long)]
    limit: Option<usize>,
    /// Seed of the generators and of larder's sampling.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fail also if larder's default policy misses the hit-ratio budget.
    #[arg(long)]
    budget: bool,
    /// A smoke run: the first 5,000 accesses, one capacity
    #[arg(long)]
    quick: bool,
    /// Print one JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

/// One `--capacity`.
#[derive(Debug, Clone, Copy)]
enum Capacity {
    Units(u64),
    Percent(f64),
}

impl FromStr for Capacity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is neither a whole number above 0 nor a percentage above 0%");
        match text.strip_suffix('%') {
            Some(number) => {
                let percent: f64 = number.parse().map_err(|_| bad())?;
                if percent > 0.0 && percent <= 100.0 { Ok(Self::Percent(percent)) } else { Err(bad()) }
            }
            None => text.parse().ok().filter(|&units| units > 0).map(Self::Units).ok_or_else(bad),
        }
    }
}

impl Capacity {
    fn label(self) -> String {
        match self {
            Self::Units(units) => units.to_string(),
            Self::Percent(percent) => format!("{percent}%"),
        }
    }

    fn units_of(self, whole: u64) -> u64 {
        match self {
            Self::Units(units) => units,
            Self::Percent(percent) => ((whole as f64 * percent / 100.0) as u64).max(1),
        }
    }
}

/// One trace at one capacity.
#[derive(Debug, Serialize)]
struct Case {
    trace: String,
    accesses: u64,
    distinct_keys: u64,
    label: String,
    capacity: u64,
    /// Belady's hits, or with `--bytes` the upper bound's.
    optimum_hits: u64,
    /// By contestant.
    hits: Vec<u64>,
}

impl Case {
    fn percent(&self, hits: u64) -> f64 {
        100.0 * hits as f64 / self.accesses as f64
    }
}

/// A contestant's line of the summary.
#[derive(Debug, Serialize)]
struct Summary {
    name: String,
    origin: Option<Origin>,
    /// By capacity, over the traces.
    mean_percent: Vec<f64>,
    overall_percent: f64,
    /// Points below the best yardstick, over the cases; negative is above.
    mean_gap: f64,
    worst_gap: f64,
    worst_at: String,
}

/// The whole result.
#[derive(Debug, Serialize)]
struct Report {
    unit: &'static str,
    optimum: &'static str,
    seed: u64,
    capacities: Vec<String>,
    contestants: Vec<String>,
    cases: Vec<Case>,
    summary: Vec<Summary>,
    failures: Vec<String>,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if args.quick {
        args.limit = Some(args.limit.unwrap_or(usize::MAX).min(5_000));
        args.capacity.truncate(1);
    }
    let traces = match load(&args) {
        Ok(traces) => traces,
        Err(message) => {
            eprintln!("hit_ratio: {message}");
            return ExitCode::from(2);
        }
    };
    let contestants = contestants();
    let mut cases = Vec::new();
    for trace in &traces {
        for &capacity in &args.capacity {
            let case = measure(&args, trace, capacity, &contestants);
            if !args.json {
                print(&case_table(&args, &case, &contestants));
            }
            cases.push(case);
        }
    }
    let mut report = Report {
        unit: if args.bytes { "bytes" } else { "entries" },
        optimum: if args.bytes { "upper bound of the optimum (PFOO)" } else { "Belady with bypass" },
        seed: args.seed,
        capacities: args.capacity.iter().map(|capacity| capacity.label()).collect(),
        contestants: contestants.iter().map(|contestant| contestant.name.clone()).collect(),
        summary: summarise(&cases, args.capacity.len(), &contestants),
        failures: above_optimum(&cases, &contestants),
        cases,
    };
    if args.budget {
        report.failures.extend(missed_budget(&report.summary));
    }
    print(&if args.json {
        serde_json::to_string_pretty(&report).expect("numbers and strings serialise")
    } else {
        summary_table(&report)
    });
    for failure in &report.failures {
        eprintln!("hit_ratio: FAILED: {failure}");
    }
    ExitCode::from(u8::from(!report.failures.is_empty()))
}

/// Prints a text and a line end; whoever closed the pipe wants no more.
fn print(text: &str) {
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(2);
    }
}

fn load(args: &Args) -> Result<Vec<Trace>, String> {
    let mut traces = Vec::new();
    for path in &args.trace {
        let trace = Trace::read(path, args.limit.unwrap_or(usize::MAX)).map_err(|error| error.to_string())?;
        if args.bytes && !trace.sized {
            return Err(format!("{}: --bytes needs a size on every line", path.display()));
        }
        traces.push(trace);
    }
    let all: &[Generator] = <Generator as clap::ValueEnum>::value_variants();
    let is_bare = args.trace.is_empty() && args.generate.is_empty();
    for generator in if is_bare { all } else { &args.generate } {
        traces.push(generator.generate(args.limit.unwrap_or(GENERATED_ACCESSES), args.seed));
    }
    if traces.iter().any(|trace| trace.accesses.is_empty()) {
        return Err("--limit 0 leaves nothing to measure".to_owned());
    }
    Ok(traces)
}

fn measure(args: &Args, trace: &Trace, capacity: Capacity, contestants: &[Contestant]) -> Case {
    let whole = if args.bytes { trace.unique_bytes } else { trace.keys as u64 };
    let units = capacity.units_of(whole);
    let keys = trace.keys as u64;
    let items = if args.bytes {
        (u128::from(units) * u128::from(keys) / u128::from(whole)) as usize
    } else {
        units as usize
    };
    let setup = Setup {
        keys: trace.keys,
        capacity: units,
        items: items.max(1),
        is_weighed: args.bytes,
        seed: args.seed,
    };
    Case {
        trace: trace.name.clone(),
        accesses: trace.accesses.len() as u64,
        distinct_keys: keys,
        label: capacity.label(),
        capacity: units,
        optimum_hits: if args.bytes {
            belady::bound(&trace.accesses, units)
        } else {
            belady::optimum(&trace.accesses, units)
        },
        hits: contestants.iter().map(|contestant| contestant.hits(&setup, &trace.accesses)).collect(),
    }
}

/// The best yardstick's hits in a case.
fn yardstick(case: &Case, contestants: &[Contestant]) -> u64 {
    let named =
        contestants.iter().zip(&case.hits).filter(|(contestant, _)| YARDSTICKS.contains(&&*contestant.name));
    named.map(|(_, &hits)| hits).max().expect("the yardsticks always run")
}

/// A line per contestant and one for the optimum; `capacities` cases in a row belong to one trace.
fn summarise(cases: &[Case], capacities: usize, contestants: &[Contestant]) -> Vec<Summary> {
    let line = |name: &str, origin, hits_of: &dyn Fn(&Case) -> u64| {
        let traces = (cases.len() / capacities) as f64;
        let mut mean_percent = vec![0.0; capacities];
        let (mut mean_gap, mut worst_gap, mut worst_at) = (0.0, f64::NEG_INFINITY, String::new());
        for (index, case) in cases.iter().enumerate() {
            let percent = case.percent(hits_of(case));
            mean_percent[index % capacities] += percent / traces;
            let gap = case.percent(yardstick(case, contestants)) - percent;
            mean_gap += gap / cases.len() as f64;
            if gap > worst_gap {
                (worst_gap, worst_at) = (gap, format!("{} at {}", case.trace, case.label));
            }
        }
        let overall_percent = mean_percent.iter().sum::<f64>() / capacities as f64;
        Summary {
            name: name.to_owned(),
            origin,
            mean_percent,
            overall_percent,
            mean_gap,
            worst_gap,
            worst_at,
        }
    };
    let rows = contestants.iter().enumerate();
    let mut lines: Vec<Summary> =
        rows.map(|(at, row)| line(&row.name, Some(row.origin), &|case| case.hits[at])).collect();
    lines.push(line("optimum", None, &|case| case.optimum_hits));
    lines
}

fn above_optimum(cases: &[Case], contestants: &[Contestant]) -> Vec<String> {
    let mut failures = Vec::new();
    for case in cases {
        for (contestant, &hits) in contestants.iter().zip(&case.hits) {
            if hits > case.optimum_hits {
                let (trace, label, most) = (&case.trace, &case.label, case.optimum_hits);
                let cause = match contestant.origin {
                    Origin::Peer => "the peer holds more than its capacity, or its hits are miscounted",
                    Origin::Larder | Origin::Simulated => {
                        "that is a bug in counting or in keeping to the capacity"
                    }
                };
                let name = &contestant.name;
                failures.push(format!(
                    "{name} on {trace} at {label}: {hits} hits, but {most} are possible; {cause}"
                ));
            }
        }
    }
    failures
}

fn missed_budget(summary: &[Summary]) -> Vec<String> {
    let find = |name: &str| summary.iter().find(|line| line.name == name).expect("all of them always run");
    let ours = find(DEFAULT_POLICY);
    let mut failures = Vec::new();
    for rival in BUDGET_MEAN.map(find) {
        if ours.overall_percent < rival.overall_percent {
            let (name, theirs) = (&rival.name, rival.overall_percent);
            failures
                .push(format!("budget: mean {:.2} % is below {name}'s {theirs:.2} %", ours.overall_percent));
        }
    }
    if ours.worst_gap > BUDGET_GAP {
        let (gap, at) = (ours.worst_gap, &ours.worst_at);
        failures.push(format!(
            "budget: {gap:.2} points below the best yardstick on {at}, {BUDGET_GAP} are allowed"
        ));
    }
    failures
}

fn case_table(args: &Args, case: &Case, contestants: &[Contestant]) -> String {
    let unit = if args.bytes { "bytes" } else { "entries" };
    let mut table = format!(
        "{}: {} accesses, {} keys; capacity {} = {} {unit}\n",
        case.trace, case.accesses, case.distinct_keys, case.label, case.capacity
    );
    let best = case.percent(yardstick(case, contestants));
    let optimum = case.percent(case.optimum_hits);
    let name = if args.bytes { "optimum, at most" } else { "optimum (Belady)" };
    let _ = writeln!(table, "  {:24} {:>8} {:>10} {:>14}", "", "hit %", "of optimum", "below best of 3");
    for (contestant, &hits) in contestants.iter().zip(&case.hits) {
        let percent = case.percent(hits);
        let share = if case.optimum_hits == 0 { 100.0 } else { 100.0 * percent / optimum };
        let _ =
            writeln!(table, "  {:24} {percent:8.2} {share:9.1}% {:14.2}", contestant.name, best - percent);
    }
    let _ = writeln!(table, "  {name:24} {optimum:8.2}");
    table
}

fn summary_table(report: &Report) -> String {
    let traces = report.cases.len() / report.capacities.len();
    let mut table = format!("mean over {traces} traces, hit %; capacities in {}\n  {:24}", report.unit, "");
    for label in &report.capacities {
        let _ = write!(table, " {label:>8}");
    }
    let _ = writeln!(table, " {:>8} {:>9} {:>9}", "all", "mean gap", "worst gap");
    for line in &report.summary {
        let _ = write!(table, "  {:24}", line.name);
        for percent in &line.mean_percent {
            let _ = write!(table, " {percent:8.2}");
        }
        let (all, mean, worst, at) = (line.overall_percent, line.mean_gap, line.worst_gap, &line.worst_at);
        let _ = writeln!(table, " {all:8.2} {mean:9.2} {worst:9.2}  {at}");
    }
    let _ = writeln!(table, "gap: points below the best of {}; negative is above", YARDSTICKS.join(", "));
    let _ = write!(table, "optimum: {}", report.optimum);
    table
}
