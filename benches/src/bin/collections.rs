//! Collections of 1,000 and of a million elements: nanoseconds an operation, bytes an element, and the stalls of a neighbour.
//!
//! Contestants are filled one after the other in one process and weighed by a counting allocator (chunks of glibc's size);
//! servers tell their own `MEMORY USAGE`. Then they take turns, operation by operation, and the median over rounds counts.
//! larder pays for a key, a lock and an expiry check in every operation; the maps do not.
//!
//! The second part asks what a large collection does to its neighbours: one thread gets and sets small keys of the only
//! shard of an engine, another captures and walks, changes, deletes or converts a collection of a million elements there (stall.rs).

use clap::Parser;
use larder_benches::alloc::CountingAllocator;
use larder_benches::collections::{Contestant, Kind, larder, maps, servers};
use larder_benches::report::{Machine, Table, count, duration, figure, ratio};
use larder_benches::stall;
use larder_benches::timing::{Ticks, median};
use larder_testkit::servers::{Kind as ServerKind, Server};
use serde::Serialize;
use std::rc::Rc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[derive(Parser, Debug)]
#[command(about = "Collections: time an operation, bytes an element, stalls of a neighbour")]
struct Options {
    /// Elements; several sizes after one another.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 1_000_000])]
    sizes: Vec<u64>,
    /// Types, by parts of their names (list, set, hash, sorted set, stream).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Operations a turn.
    #[arg(long, default_value_t = 100_000)]
    operations: u32,
    /// Leaves the servers out.
    #[arg(long)]
    no_servers: bool,
    /// Leaves the second part out.
    #[arg(long)]
    no_stalls: bool,
    /// Leaves the first part out.
    #[arg(long)]
    only_stalls: bool,
    /// Elements of the large neighbour in the second part.
    #[arg(long, default_value_t = 1_000_000)]
    neighbour: u64,
    /// Prints JSON instead of Markdown.
    #[arg(long)]
    json: bool,
    /// A smoke run.
    #[arg(long)]
    quick: bool,
}

/// One contestant's figures.
#[derive(Clone, Debug, Serialize)]
struct Reading {
    kind: &'static str,
    elements: u64,
    contestant: String,
    fill_ns: f64,
    bytes_per_element: f64,
    operations_ns: Vec<(&'static str, f64)>,
}

fn main() {
    let mut options = Options::parse();
    if options.quick {
        options.sizes = vec![200, 5_000];
        (options.rounds, options.operations, options.neighbour) = (1, 1_000, 20_000);
    }
    assert!(options.rounds > 0 && options.operations >= 10, "there is something to measure");
    let machine = Machine::read(Ticks::calibrate().own_cost_ns());
    let wanted = |kind: &Kind| options.only.is_empty() || options.only.iter().any(|part| kind.name() == part);
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(wanted).collect();
    if options.only_stalls {
        options.sizes.clear();
    }
    let without = options.no_servers || options.only_stalls;
    let servers: Vec<Rc<Server>> = if without { Vec::new() } else { start_servers() };
    let mut readings = Vec::new();
    for &kind in &kinds {
        for &elements in &options.sizes {
            readings.extend(measure(kind, elements, &servers, &options));
        }
    }
    let stalls =
        if options.no_stalls { Vec::new() } else { stall::measure(&kinds, options.neighbour, options.quick) };
    if options.json {
        let all = serde_json::json!({ "machine": machine, "readings": readings, "stalls": stalls });
        println!("{all:#}");
        return;
    }
    println!("{}\n", machine.line());
    for &kind in &kinds {
        for &elements in &options.sizes {
            println!("{}", table(kind, elements, &readings).markdown());
        }
    }
    if !stalls.is_empty() {
        println!("{}", stall_table(&stalls, options.neighbour).markdown());
    }
}

/// The servers that are there. One that is missing is named, so that nobody takes its silence for a result.
fn start_servers() -> Vec<Rc<Server>> {
    [ServerKind::Redis, ServerKind::Valkey].into_iter().filter_map(Server::start).map(Rc::new).collect()
}

fn measure(kind: Kind, elements: u64, servers: &[Rc<Server>], options: &Options) -> Vec<Reading> {
    let mut contestants = vec![larder::contestant(kind, elements)];
    contestants.extend(maps::contestants(kind, elements));
    contestants.extend(servers.iter().map(|server| servers::contestant(server, kind, elements)));
    let mut names: Vec<&'static str> = Vec::new();
    for contestant in &contestants {
        for (name, _) in &contestant.operations {
            if !names.contains(name) {
                names.push(name);
            }
        }
    }
    let mut times: Vec<Vec<(&'static str, Vec<f64>)>> =
        contestants.iter().map(|_| names.iter().map(|&name| (name, Vec::new())).collect()).collect();
    for round in 0..options.rounds {
        for (column, &name) in names.iter().enumerate() {
            for (row, contestant) in contestants.iter_mut().enumerate() {
                if let Some(ns) = turn(contestant, name, round, options.operations) {
                    times[row][column].1.push(ns);
                }
            }
        }
    }
    let finished = |(contestant, times): (Contestant, Vec<(&'static str, Vec<f64>)>)| Reading {
        kind: kind.name(),
        elements,
        contestant: contestant.name,
        fill_ns: contestant.fill_ns,
        bytes_per_element: contestant.bytes,
        operations_ns: times
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(name, values)| (name, median(&values)))
            .collect(),
    };
    contestants.into_iter().zip(times).map(finished).collect()
}

/// One turn of an operation: nanoseconds each.
fn turn(contestant: &mut Contestant, name: &str, round: u32, operations: u32) -> Option<f64> {
    let count = operations / contestant.share;
    let (_, operation) = contestant.operations.iter_mut().find(|(known, _)| *known == name)?;
    let first = u64::from(round) * u64::from(operations);
    let start = Instant::now();
    operation(first, count);
    #[expect(clippy::cast_precision_loss, reason = "a number of nanoseconds")]
    Some(start.elapsed().as_nanos() as f64 / f64::from(count))
}

fn table(kind: Kind, elements: u64, readings: &[Reading]) -> Table {
    let rows: Vec<&Reading> =
        readings.iter().filter(|one| one.kind == kind.name() && one.elements == elements).collect();
    let names: Vec<&'static str> = rows
        .first()
        .map_or_else(Vec::new, |larder| larder.operations_ns.iter().map(|(name, _)| *name).collect());
    let mut columns = vec!["contestant", "bytes", "fill"];
    names.iter().for_each(|name| columns.extend([*name, "÷ larder"]));
    let mut table = Table::new(format!("{} of {}", kind.name(), count(elements)), &columns);
    for row in &rows {
        let mut cells =
            vec![row.contestant.clone(), format!("{:.1}", row.bytes_per_element), figure(row.fill_ns)];
        for name in &names {
            let of = |reading: &Reading| {
                reading.operations_ns.iter().find(|(known, _)| known == name).map(|(_, ns)| *ns)
            };
            match (of(row), of(rows[0])) {
                (Some(ns), Some(larder)) => cells.extend([figure(ns), ratio(ns / larder)]),
                _ => cells.extend(["-".to_owned(), "-".to_owned()]),
            }
        }
        table.row(cells);
    }
    table.note(format!(
        "Nanoseconds an operation; bytes an element in glibc's chunks, the payload of {} included (servers: MEMORY USAGE).",
        kind.payload_bytes()
    ));
    table
}

fn stall_table(stalls: &[stall::Stall], neighbour: u64) -> Table {
    let columns = [
        "what the worker does",
        "quiet slices",
        "p50",
        "p99",
        "p99.9",
        "longest",
        "apart: p99.9",
        "longest",
        "the call alone: p99.9",
        "longest",
    ];
    let mut table = Table::new(format!("get and set beside a collection of {}", count(neighbour)), &columns);
    for stall in stalls {
        let (beside, apart, call) = (&stall.beside, &stall.apart, &stall.call);
        let mut cells = vec![
            format!("{}: {}", stall.kind, stall.work),
            format!("{} of {}", stall.quiet.0, stall.quiet.1),
        ];
        cells.extend([beside.p50_ns, beside.p99_ns, beside.p999_ns, beside.longest_ns].map(duration));
        cells.extend([apart.p999_ns, apart.longest_ns, call.p999_ns, call.longest_ns].map(duration));
        table.row(cells);
    }
    table.note(
        "One shard, one thread on each side; each operation of the small keys is timed. Quiet: neither thread lost its processor \
         to another job; only these count. Apart: the same thread now and then in another engine. The call alone: the worker's own \
         calls without a neighbour, which bound how long the lock is held.",
    );
    table
}
