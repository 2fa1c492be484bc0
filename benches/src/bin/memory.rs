//! Bytes per entry above key and value, by a counting allocator.
//!
//! Each contestant is filled in a process of its own, one key after the other, and looked at after every step
//! of 1/64 of the way between the two sizes. Counted are the bytes asked of the allocator since before it was
//! built, and the same in glibc's chunks (`max(32, round16(n + 8))`), per entry that it holds, less key and
//! value. Contestants with a limit get one a quarter above the larger size, so that nothing is evicted. The
//! average over the steps is the honest figure: a table that doubles is at its best just before it does.

use clap::Parser;
use larder_benches::alloc::{CountingAllocator, Held, held};
use larder_benches::peers::keys::KeyShape;
use larder_benches::peers::{self, Setup};
use larder_benches::report::{Machine, Table, count, figure, rerun};
use larder_benches::timing::Ticks;
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const KEY_BYTES: usize = 16;
const STEPS: u32 = 64;
const WITH_TTL: &str = "larder, TTL on every key";

#[derive(Parser, Debug)]
#[command(about = "Bytes per entry above key and value")]
struct Options {
    /// Keys at the first reading.
    #[arg(long, default_value_t = 1_000_000)]
    from: u32,
    /// Keys at the last reading.
    #[arg(long, default_value_t = 5_000_000)]
    to: u32,
    /// Bytes of a value.
    #[arg(long, default_value_t = 32)]
    value: usize,
    /// Adds a row for larder with a deadline on every key.
    #[arg(long)]
    ttl: bool,
    /// Contestants, by parts of their names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Prints JSON instead of Markdown.
    #[arg(long)]
    json: bool,
    /// A smoke run over 10 k to 50 k keys.
    #[arg(long)]
    quick: bool,
    /// Fills this one contestant and prints what it took: the child's side.
    #[arg(long, hide = true)]
    contestant: Option<String>,
    /// The child's contestant has no limit.
    #[arg(long, hide = true)]
    unlimited: bool,
}

/// One contestant's figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Reading {
    contestant: String,
    asked: Overhead,
    chunks: Overhead,
    /// Entries that it held at the end; below the keys inserted when it evicted.
    entries: u64,
    blocks_per_entry: f64,
}

/// Bytes per entry above key and value.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Overhead {
    at_first: f64,
    at_last: f64,
    mean: f64,
}

fn main() {
    let mut options = Options::parse();
    if options.quick {
        (options.from, options.to) = (10_000, 50_000);
    }
    assert!(0 < options.from && options.from < options.to, "--from lies below --to");
    assert!(options.value >= 8, "a value holds at least its 8 byte stamp");
    match &options.contestant {
        Some(name) => {
            let reading = measure(name, &options);
            println!("{}", serde_json::to_string(&reading).expect("a reading has a JSON form"));
        }
        None => compare(&options),
    }
}

/// The rows: a contestant's name, how the table calls it, and the child's further arguments.
fn rows(options: &Options) -> Vec<(&'static str, String, Vec<&'static str>)> {
    let mut rows = Vec::new();
    for &name in peers::ROSTER {
        // Its blobs have one size whatever the value, so its bytes would say nothing.
        if name == "unprotected-table" {
            continue;
        }
        rows.push((name, name.to_owned(), vec![]));
        if name == "larder" {
            rows.push((name, "larder, no limit".to_owned(), vec!["--unlimited"]));
            if options.ttl {
                rows.push((name, WITH_TTL.to_owned(), vec!["--ttl"]));
            }
        }
    }
    let wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|part| name.contains(&**part));
    rows.retain(|(name, ..)| wanted(name));
    rows
}

fn compare(options: &Options) {
    let mut readings = Vec::new();
    for (name, label, more) in rows(options) {
        let mut arguments: Vec<String> = vec!["--contestant".into(), name.into()];
        for (flag, value) in
            [("--from", options.from as usize), ("--to", options.to as usize), ("--value", options.value)]
        {
            arguments.extend([flag.to_owned(), value.to_string()]);
        }
        arguments.extend(more.into_iter().map(str::to_owned));
        let mut reading: Reading = rerun(&arguments);
        reading.contestant = label;
        readings.push(reading);
    }
    let machine = Machine::read(Ticks::calibrate().own_cost_ns());
    if options.json {
        let all = serde_json::json!({
            "machine": machine, "from": options.from, "to": options.to, "key_bytes": KEY_BYTES,
            "value_bytes": options.value, "readings": readings,
        });
        println!("{all:#}");
    } else {
        println!("{}", table(options, &readings).markdown());
    }
}

fn table(options: &Options, readings: &[Reading]) -> Table {
    let (from, to) = (count(options.from.into()), count(options.to.into()));
    let columns = [
        "contestant".to_owned(),
        format!("asked, {from}"),
        format!("asked, {to}"),
        "asked, mean".to_owned(),
        format!("glibc, {from}"),
        format!("glibc, {to}"),
        "glibc, mean".to_owned(),
        "blocks".to_owned(),
    ];
    let title = format!(
        "Bytes per entry above a {KEY_BYTES} B key and a {} B value, {from} to {to} keys",
        options.value
    );
    let mut table = Table::new(title, &columns.each_ref().map(String::as_str));
    for reading in readings {
        let mut cells = vec![reading.contestant.clone()];
        for overhead in [reading.asked, reading.chunks] {
            cells.extend([overhead.at_first, overhead.at_last, overhead.mean].map(figure));
        }
        cells.push(figure(reading.blocks_per_entry));
        table.row(cells);
        if reading.entries < u64::from(options.to) {
            let kept = count(reading.entries);
            table.note(format!("{} held {kept} of the {to} entries at the end.", reading.contestant));
        }
    }
    table.note(
        "Mean over 65 readings on the way; glibc is what its chunks take; blocks are allocations per entry.",
    );
    let find = |name| readings.iter().find(|reading| reading.contestant == name);
    if let (Some(with), Some(without)) = (find(WITH_TTL), find("larder")) {
        let (asked, chunks) = (with.asked.mean - without.asked.mean, with.chunks.mean - without.chunks.mean);
        let (asked, chunks) = (figure(asked), figure(chunks));
        table.note(format!(
            "A deadline costs larder {asked} bytes asked for, {chunks} in chunks, a key on average."
        ));
    }
    if let Some(reason) = peers::left_out() {
        table.note(reason);
    }
    table
}

fn measure(name: &str, options: &Options) -> Reading {
    let before = held();
    let setup = Setup {
        limit: (!options.unlimited).then_some(u64::from(options.to) * 5 / 4),
        expected: None,
        value_len: options.value,
        ttl: options.ttl,
    };
    let mut contestant = peers::build(name, &setup).unwrap_or_else(|| panic!("nobody is called {name}"));
    let (mut asked, mut chunks) = (Vec::new(), Vec::new());
    let (mut entries, mut blocks_per_entry) = (0, 0.0);
    let mut filled = 0;
    for step in 0..=STEPS {
        let way = u64::from(options.to - options.from) * u64::from(step) / u64::from(STEPS);
        let until = options.from + u32::try_from(way).expect("a part of a u32 fits one");
        contestant.fill(filled..until, KeyShape::Sixteen, options.value);
        filled = until;
        entries = contestant.settle();
        let now = held();
        let above = |out: fn(&Held) -> u64| {
            (out(&now) - out(&before)) as f64 / entries as f64 - (KEY_BYTES + options.value) as f64
        };
        asked.push(above(|held| held.asked_bytes));
        chunks.push(above(|held| held.chunk_bytes));
        blocks_per_entry = (now.blocks - before.blocks) as f64 / entries as f64;
    }
    let sum_up = |readings: &[f64]| Overhead {
        at_first: readings[0],
        at_last: readings[readings.len() - 1],
        mean: readings.iter().sum::<f64>() / readings.len() as f64,
    };
    Reading {
        contestant: name.to_owned(),
        asked: sum_up(&asked),
        chunks: sum_up(&chunks),
        entries,
        blocks_per_entry,
    }
}
