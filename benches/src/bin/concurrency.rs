//! Several keys at once, waiting without polling, telling others: what transactions, pipelines, hand-overs, messages and the
//! change feed cost, beside the same without them, beside channels and beside a server.
//!
//! Contestants take turns in short slices, and the median over rounds counts; a ratio is the median of the rounds' own ratios. A slice
//! in which a thread was kept from its processor is refused and run again (concurrency/slices.rs); hand-overs are timed one
//! by one (concurrency/handover.rs). A server that is missing is named, and its rows are left out.

use clap::{Parser, ValueEnum};
use larder_benches::concurrency::pipelines::What;
use larder_benches::concurrency::publish::Audience;
use larder_benches::concurrency::slices::{ASIDE_NS, NS, Plan, Variant};
use larder_benches::concurrency::{Layout, feed, handover, pipelines, publish, transactions};
use larder_benches::peers::contest::Outcome;
use larder_benches::report::{Machine, Table, duration, figure, ratio};
use larder_benches::timing::Ticks;
use larder_testkit::servers::{Kind, Server};
use std::time::Duration;

#[derive(Parser, Debug)]
#[command(about = "Transactions, pipelines, hand-overs, publish and the change feed: time an operation")]
struct Options {
    /// Parts; all unless some are named.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 25)]
    rounds: usize,
    /// Milliseconds of a slice.
    #[arg(long, default_value_t = 3)]
    slice_ms: u64,
    /// How often a disturbed slice is tried again in a round.
    #[arg(long, default_value_t = 40)]
    attempts: u32,
    /// Hand-overs of each contestant.
    #[arg(long, default_value_t = 5_000)]
    handovers: u64,
    /// Leaves the server out.
    #[arg(long)]
    no_server: bool,
    /// Prints JSON instead of Markdown.
    #[arg(long)]
    json: bool,
    /// A smoke run.
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Transactions,
    Pipelines,
    Handover,
    Publish,
    Feed,
}

/// One column of a table.
struct Cell {
    head: String,
    outcomes: Vec<Outcome>,
}

struct Report {
    options: Options,
    plan: Plan,
    server: Option<Server>,
    records: Vec<serde_json::Value>,
}

fn main() {
    let mut options = Options::parse();
    if options.quick {
        (options.rounds, options.attempts, options.handovers) = (2, 1, 30);
    }
    assert!(
        options.rounds > 0 && options.attempts > 0 && options.slice_ms > 0,
        "there is something to measure"
    );
    let machine = Machine::read(Ticks::calibrate().own_cost_ns());
    let plan = Plan {
        slice: Duration::from_millis(options.slice_ms),
        rounds: options.rounds,
        attempts: options.attempts,
    };
    let server = if options.no_server { None } else { Server::start(Kind::Redis) };
    let mut report = Report { options, plan, server, records: Vec::new() };
    if !report.options.json {
        println!("{}\n", machine.line());
    }
    for &part in Part::value_variants() {
        if report.options.only.is_empty() || report.options.only.contains(&part) {
            match part {
                Part::Transactions => report.transactions(),
                Part::Pipelines => report.pipelines(),
                Part::Handover => report.handover(),
                Part::Publish => report.publish(),
                Part::Feed => report.feed(),
            }
        }
    }
    if report.options.json {
        println!("{:#}", serde_json::json!({ "machine": machine, "records": report.records }));
    }
}

impl Report {
    fn print(&self, table: &Table) {
        if !self.options.json {
            println!("{}", table.markdown());
        }
    }

    fn record(&mut self, table: &str, cell: &Cell) {
        for outcome in &cell.outcomes {
            self.records.push(serde_json::json!({
                "table": table,
                "cell": cell.head,
                "name": outcome.label,
                "ns": outcome.median(NS),
                "aside_ns": outcome.median(ASIDE_NS),
                "rounds": outcome.rounds.iter().flatten().count(),
                "refused": outcome.refused,
                "overlap": outcome.overlap,
            }));
        }
    }

    fn transactions(&mut self) {
        for size in [2, 8] {
            let title = format!("{size} increments, ns for all of them");
            let mut cells = Vec::new();
            for layout in Layout::ALL {
                for threads in [1, 2] {
                    let outcomes =
                        transactions::measure_cell(layout, size, threads, self.server.as_ref(), &self.plan);
                    let thread = if threads == 1 { "1 thread" } else { "2 threads, each" };
                    let cell = Cell { head: format!("{}: {thread}", layout.name()), outcomes };
                    self.record(&title, &cell);
                    cells.push(cell);
                }
            }
            let mut table = compare(&title, &cells, transactions::PLAIN);
            table.note(
                "Each thread has 1,024 counters of its own. One shard: both threads at one lock. The server's row is its whole \
                 round trip over a Unix socket.",
            );
            self.print(&table);
        }
    }

    fn pipelines(&mut self) {
        let title = format!("{} operations, one thread, ns for all of them", pipelines::TOGETHER);
        let mut cells = Vec::new();
        for what in [What::Increments, What::Gets] {
            for layout in Layout::ALL {
                let outcomes = pipelines::measure_cell(layout, what, self.server.as_ref(), &self.plan);
                let cell = Cell { head: format!("{}, {}", what.name(), layout.name()), outcomes };
                self.record(&title, &cell);
                cells.push(cell);
            }
        }
        let mut table = compare(&title, &cells, pipelines::PLAIN);
        table.note("The server stands behind a Unix socket; its figure does not depend on larder's shards.");
        self.print(&table);
    }

    fn handover(&mut self) {
        let times = handover::measure(self.server.as_ref(), self.options.handovers);
        let title = "From a push to the popper that was asleep";
        let columns = [
            "contestant",
            "p50",
            "÷ larder",
            "p99, quiet turns",
            "p99, all turns",
            "the push, p50",
            "quiet turns",
        ];
        let mut table = Table::new(title, &columns);
        let larder = times.iter().find(|one| one.name == handover::LARDER);
        for one in &times {
            table.row(vec![
                one.name.to_owned(),
                duration(one.all_p50_ns),
                ratio(one.all_p50_ns / larder.map_or(f64::NAN, |larder| larder.all_p50_ns)),
                duration(one.p99_ns),
                duration(one.all_p99_ns),
                duration(one.push_ns),
                format!("{} of {}", one.quiet.0, one.quiet.1),
            ]);
        }
        table.note(
            "From before the push until the popper, which was seen asleep, has the value. Quiet: neither thread was kept from its \
             processor by another job; a server is one, so that its turns are rarely quiet, and its push is a round trip.",
        );
        self.records.extend(times.iter().map(|one| serde_json::json!({ "table": title, "times": one })));
        self.print(&table);
    }

    fn publish(&mut self) {
        let title = format!("Publish of {} B, one thread", publish::MESSAGE_BYTES);
        let cell = Cell { head: "publish".into(), outcomes: publish::measure_all(&self.plan) };
        self.record(&title, &cell);
        let columns = ["row", "ns a publish", "ns a receiver", "taking it, ns a message"];
        let mut table = Table::new(&title, &columns);
        for (outcome, (audience, _)) in cell.outcomes.iter().zip(Audience::ALL) {
            let each = |figure: f64| {
                if audience.receivers() > 0 { figure / audience.receivers() as f64 } else { f64::NAN }
            };
            let cells = [outcome.median(NS), each(outcome.median(NS)), each(outcome.median(ASIDE_NS))];
            table.row([outcome.label.to_owned()].into_iter().chain(cells.map(figure)).collect());
        }
        add_proof(&mut table, &[cell]);
        self.print(&table);
    }

    fn feed(&mut self) {
        let title = "What a change feed costs a write, one thread, ns";
        let (mut cells, mut behind) = (Vec::new(), Vec::new());
        for write in [feed::Write::Set, feed::Write::Add] {
            let (outcomes, (missed, all)) = feed::measure_cell(write, &self.plan);
            let cell = Cell { head: write.name().into(), outcomes };
            self.record(title, &cell);
            behind.push(format!("{} {missed} of {all}", write.name()));
            cells.push(cell);
        }
        let mut table = compare(title, &cells, feed::NEVER);
        let column = |cell: &Cell| {
            let reader = cell
                .outcomes
                .iter()
                .find(|outcome| outcome.label.starts_with("one that matches, drained between"));
            format!(
                "{} {} ns",
                cell.head,
                figure(reader.map_or(f64::NAN, |outcome| outcome.median(ASIDE_NS)))
            )
        };
        let taking: Vec<String> = cells.iter().map(column).collect();
        table.note(format!(
            "Taking a change, for one reader between the writes, is not in the row: {}.",
            taking.join(", ")
        ));
        table.note(format!(
            "What the reader of another thread missed because it fell behind: {}.",
            behind.join(", ")
        ));
        self.print(&table);
    }
}

/// A row a contestant, and for each cell its figure and its ratio.
fn compare(title: &str, cells: &[Cell], baseline: &str) -> Table {
    let mut columns = vec!["row".to_owned()];
    let mut labels: Vec<&str> = Vec::new();
    for cell in cells {
        columns.extend([cell.head.clone(), "÷".to_owned()]);
        for outcome in &cell.outcomes {
            if !labels.contains(&outcome.label) {
                labels.push(outcome.label);
            }
        }
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(title, &columns);
    for label in labels {
        let mut row = vec![label.to_owned()];
        for cell in cells {
            let find = |label: &str| cell.outcomes.iter().find(|outcome| outcome.label == label);
            let (mine, base) = (find(label), find(baseline));
            row.push(figure(mine.map_or(f64::NAN, |outcome| outcome.median(NS))));
            row.push(match (mine, base) {
                (Some(mine), Some(base)) => ratio(mine.ratio_to(base, NS)),
                _ => ratio(f64::NAN),
            });
        }
        table.row(row);
    }
    table.note(format!("÷: to \"{baseline}\" in the same rounds."));
    add_proof(&mut table, cells);
    table
}

/// Says how well the threads overlapped, and what was refused.
fn add_proof(table: &mut Table, cells: &[Cell]) {
    let outcomes = || cells.iter().flat_map(|cell| &cell.outcomes);
    let asleep = |outcome: &&Outcome| outcome.label.starts_with("redis-server");
    let least = |outcomes: &mut dyn Iterator<Item = &Outcome>| {
        figure(outcomes.map(|outcome| outcome.overlap).fold(f64::NAN, f64::min) * 100.0)
    };
    let refused: u32 = outcomes().map(|outcome| outcome.refused).sum();
    let empty = outcomes().flat_map(|outcome| &outcome.rounds).filter(|round| round.is_none()).count();
    table.note(format!(
        "Every slice that counts ran undisturbed, with two threads side by side, for at least {} % of its time (beside a server, where \
         every answer wakes a thread: {} %); {refused} slices below {:.0} % were refused, {empty} rounds of a row have no figure.",
        least(&mut outcomes().filter(|outcome| !asleep(outcome))),
        least(&mut outcomes().filter(asleep)),
        Variant::LEAST * 100.0
    ));
}
