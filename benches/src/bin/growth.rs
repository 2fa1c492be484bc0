//! Stalls of single inserts while a contestant grows from nothing.
//!
//! Every insert is timed with the processor's counter. What is long need not be the table's doing: fresh
//! pages and the allocator stall as well. So each contestant runs twice, growing and with room made
//! beforehand for every key; both make the same entries, and what the second run lacks is growth. The
//! difference at each quantile is the share of the table. A third run only makes the blocks that an entry
//! consists of, one (the engine's shape) or two (`Bytes` twice), and stores their addresses in a list that
//! has been touched before: the allocator and the pages alone. Every run has a process of its own, so none
//! inherits another's pages.
//!
//! dashmap, unprotected-map and larder can make room; quick_cache makes room in its shards. Where a shard
//! outgrows its part of the room, the "with room" run still grows a little.

use clap::Parser;
use larder_benches::peers::keys::{KeyShape, Kind, Op, stamp};
use larder_benches::peers::run::Growth;
use larder_benches::peers::{self, Setup};
use larder_benches::report::{Machine, Table, count, duration, rerun};
use larder_benches::timing::Ticks;
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::time::Instant;

const VALUE_BYTES: usize = 32;
const QUANTILES: [f64; 4] = [0.5, 0.99, 0.999, 0.9999];
const CONTESTANTS: [&str; 4] = ["larder", "dashmap", "unprotected-map", "quick_cache"];
const ONE_BLOCK: &str = "one-block";
const TWO_BLOCKS: &str = "two-blocks";

#[derive(Parser, Debug)]
#[command(about = "Stalls of single inserts while growing from nothing")]
struct Options {
    /// Keys to insert.
    #[arg(long, default_value_t = 10_000_000)]
    keys: u32,
    /// Contestants, by parts of their names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Prints JSON instead of Markdown.
    #[arg(long)]
    json: bool,
    /// A smoke run over 50 k keys.
    #[arg(long)]
    quick: bool,
    /// Runs this one contestant and prints its figures: the child's side.
    #[arg(long, hide = true)]
    contestant: Option<String>,
    /// The child's contestant makes room for all keys first.
    #[arg(long, hide = true)]
    with_room: bool,
}

/// What one run gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Run {
    contestant: String,
    with_room: bool,
    /// Nanoseconds at `QUANTILES`.
    quantiles_ns: [f64; QUANTILES.len()],
    longest_ns: f64,
    /// The longest inserts and how many keys there were before each.
    longest: Vec<(f64, u64)>,
    /// Inserts that took more than 10 and more than 100 microseconds.
    over_10_us: u64,
    over_100_us: u64,
    total_s: f64,
    /// How long the thread stood without a processor: another process's doing.
    waited_ms: f64,
}

fn main() {
    let mut options = Options::parse();
    if options.quick {
        options.keys = 50_000;
    }
    match &options.contestant {
        Some(name) => {
            let run = measure(name, options.with_room, options.keys);
            println!("{}", serde_json::to_string(&run).expect("a run has a JSON form"));
        }
        None => compare(&options),
    }
}

fn compare(options: &Options) {
    let wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|part| name.contains(&**part));
    let child = |name: &str, with_room: bool| -> Run {
        let mut arguments: Vec<String> =
            ["--contestant", name, "--keys"].iter().map(|&text| text.to_owned()).collect();
        arguments.push(options.keys.to_string());
        arguments.extend(with_room.then(|| "--with-room".to_owned()));
        rerun(&arguments)
    };
    let mut runs = Vec::new();
    for name in CONTESTANTS.into_iter().filter(|name| wanted(name)) {
        runs.extend([child(name, false), child(name, true)]);
    }
    runs.extend([child(ONE_BLOCK, false), child(TWO_BLOCKS, false)]);
    let machine = Machine::read(Ticks::calibrate().own_cost_ns());
    if options.json {
        let all = serde_json::json!({
            "machine": machine, "keys": options.keys, "value_bytes": VALUE_BYTES, "quantiles": QUANTILES,
            "runs": runs,
        });
        println!("{all:#}");
        return;
    }
    println!("{}", machine.line());
    println!("{}", quantile_table(options.keys, &runs).markdown());
    println!("{}", longest_table(&runs).markdown());
}

fn label(run: &Run) -> String {
    match (&*run.contestant, run.with_room) {
        (ONE_BLOCK, _) => "allocation only, one block".to_owned(),
        (TWO_BLOCKS, _) => "allocation only, two blocks".to_owned(),
        (name, true) => format!("{name}, with room"),
        (name, false) => name.to_owned(),
    }
}

fn quantile_table(keys: u32, runs: &[Run]) -> Table {
    let columns = [
        "inserts",
        "p50",
        "p99",
        "p99.9",
        "p99.99",
        "longest",
        "over 10 us",
        "over 100 us",
        "total",
        "kept waiting",
    ];
    let title = format!("Single inserts from 0 to {} keys of 16 to 24 B, values of 32 B", count(keys.into()));
    let mut table = Table::new(title, &columns);
    for run in runs {
        let mut cells = vec![label(run)];
        cells.extend(run.quantiles_ns.map(duration));
        cells.push(duration(run.longest_ns));
        cells.extend([run.over_10_us.to_string(), run.over_100_us.to_string()]);
        cells.extend([duration(run.total_s * 1e9), duration(run.waited_ms * 1e6)]);
        table.row(cells);
        let room = runs.iter().find(|other| other.with_room && other.contestant == run.contestant);
        if let Some(room) = room.filter(|_| !run.with_room) {
            let mut cells = vec![format!("{}: share of the table", run.contestant)];
            let shares = run.quantiles_ns.iter().zip(room.quantiles_ns).map(|(growing, with)| growing - with);
            cells.extend(shares.chain([run.longest_ns - room.longest_ns]).map(|ns| duration(ns.max(0.0))));
            cells.push(run.over_10_us.saturating_sub(room.over_10_us).to_string());
            cells.push(run.over_100_us.saturating_sub(room.over_100_us).to_string());
            table.row(cells);
        }
    }
    table.note("The share of the table is the growing run less the run with room, not below zero.");
    table.note(
        "Kept waiting is time without a processor in the whole run; it ends up in the longest inserts.",
    );
    table
}

fn longest_table(runs: &[Run]) -> Table {
    let mut table =
        Table::new("The longest inserts, and how many keys there were", &["inserts", "1", "2", "3", "4"]);
    for run in runs {
        let mut cells = vec![label(run)];
        for (ns, keys) in run.longest.iter().take(4) {
            cells.push(format!("{} at {keys}", duration(*ns)));
        }
        table.row(cells);
    }
    table
}

fn measure(name: &str, with_room: bool, keys: u32) -> Run {
    let clock = Ticks::calibrate();
    let waited = larder_benches::timing::queue_wait_ns();
    let start;
    let growth;
    match name {
        ONE_BLOCK | TWO_BLOCKS => {
            let mut blocks = touched_list(keys as usize * 2);
            start = Instant::now();
            growth = allocate_only(&mut blocks, keys, name == TWO_BLOCKS);
        }
        _ => {
            let setup = Setup {
                limit: (name == "quick_cache").then_some(u64::from(keys) * 2),
                expected: with_room.then_some(u64::from(keys)),
                value_len: VALUE_BYTES,
                ttl: false,
            };
            let mut contestant =
                peers::build(name, &setup).unwrap_or_else(|| panic!("nobody is called {name}"));
            start = Instant::now();
            growth = contestant.grow(0..keys, KeyShape::Mixed, VALUE_BYTES);
            assert_eq!(contestant.settle(), u64::from(keys), "{name} lost entries");
        }
    }
    let total_s = start.elapsed().as_secs_f64();
    Run {
        contestant: name.to_owned(),
        with_room,
        quantiles_ns: QUANTILES.map(|q| clock.ns(growth.ticks.quantile(q))),
        longest_ns: clock.ns(growth.ticks.max()),
        longest: growth.longest.iter().map(|&(ticks, at)| (clock.ns(ticks), at)).collect(),
        over_10_us: growth.ticks.count_above(clock.ticks(10e3)),
        over_100_us: growth.ticks.count_above(clock.ticks(100e3)),
        total_s,
        waited_ms: (larder_benches::timing::queue_wait_ns() - waited) as f64 / 1e6,
    }
}

/// A list whose memory has been written once, so that storing into it takes no fresh page.
fn touched_list(room: usize) -> Vec<Option<Box<[u8]>>> {
    let mut list: Vec<Option<Box<[u8]>>> = Vec::new();
    list.resize_with(room, || None);
    // Writing zeroes may be left to the system, which hands out pages only when they are touched: write
    // again.
    for slot in &mut list {
        *slot = black_box(None);
    }
    list
}

fn allocate_only(blocks: &mut [Option<Box<[u8]>>], keys: u32, two: bool) -> Growth {
    let mut growth = Growth::default();
    let mut value = vec![0x5a; VALUE_BYTES];
    for (index, pair) in (0..keys).zip(blocks.chunks_exact_mut(2)) {
        let op = black_box(Op::new(Kind::Set, index, KeyShape::Mixed));
        stamp(&mut value, op.index());
        let before = Ticks::now();
        if two {
            pair[0] = Some(op.key().into());
            pair[1] = Some((&*value).into());
        } else {
            // Eight bytes stand for a blob's header.
            let mut block = Vec::with_capacity(8 + op.key().len() + value.len());
            block.extend_from_slice(&op.index().to_le_bytes());
            block.extend_from_slice(op.key());
            block.extend_from_slice(&value);
            pair[0] = Some(block.into_boxed_slice());
        }
        growth.record(Ticks::now().saturating_sub(before), u64::from(index));
    }
    black_box(&*blocks);
    growth
}
