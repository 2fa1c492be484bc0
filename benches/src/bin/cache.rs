//! Speed beside the peers: throughput, one hot key, many keys at once, decoded hits, at capacity, and tails.
//!
//! `--scenario` picks among
//! - `grid`: 10 k and 2 M keys, even and Zipf 0.99, one and two threads, 100/0, 95/5 and 50/50 reads/writes
//!   of keys that are all held (limits are twice the keys);
//! - `hot`: one key read by one and by two threads;
//! - `many`: sixteen keys a call against one by one;
//! - `typed`: a decoded hit against a hit of bytes;
//! - `capacity`: two threads, writes that evict, operations a second;
//! - `tails`: the same at 95/5, every operation timed.
//!
//! Keys are 16 to 24 bytes, values 100. Rounds are interleaved, see `peers::contest`. One thread's figures
//! are nanoseconds an operation, where a ratio below 1 is faster; two threads' are million operations a
//! second together, where a ratio above 1 is faster. A plain name means the read that returns a value of
//! one's own.

use clap::{Parser, ValueEnum};
use larder_benches::peers::contest::{Field, LEAST_OVERLAP, Outcome, Row, Work};
use larder_benches::peers::keys::{Blend, Draw, KeyShape, Kind, Op, Zipf};
use larder_benches::peers::run::Slice;
use larder_benches::peers::{self, Face, Setup};
use larder_benches::report::{Machine, Table, count, duration, figure, ratio};
use larder_benches::timing::Ticks;
use serde_json::{Value, json};
use std::slice::from_ref;
use std::sync::OnceLock;
use std::time::Duration;

const VALUE_BYTES: usize = 100;
const MIXES: [(&str, f64); 3] = [("100/0", 0.0), ("95/5", 0.05), ("50/50", 0.5)];
const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];
/// Keys beyond the limit that writes at capacity are drawn from, as a multiple of it.
const COLD: u32 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    Grid,
    Hot,
    Many,
    Typed,
    Capacity,
    Tails,
}

#[derive(Parser, Debug)]
#[command(about = "Speed beside the peers")]
struct Options {
    /// Scenarios to run; all when none is given.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// Contestants, by parts of their names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rows that the ratios refer to, by name.
    #[arg(long, value_delimiter = ',', default_value = "quick_cache,unprotected-table")]
    baseline: Vec<String>,
    /// Rounds that count.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Milliseconds of a slice.
    #[arg(long, default_value_t = 60)]
    slice_ms: u64,
    /// Keys of the cache-resident cells.
    #[arg(long, default_value_t = 10_000)]
    small: u32,
    /// Keys of the memory-resident cells.
    #[arg(long, default_value_t = 2_000_000)]
    large: u32,
    /// Entries that the caches at capacity may hold.
    #[arg(long, default_value_t = 500_000)]
    capacity: u32,
    /// Prints JSON instead of Markdown.
    #[arg(long)]
    json: bool,
    /// A smoke run: few keys, one short round.
    #[arg(long)]
    quick: bool,
}

fn main() {
    let mut options = Options::parse();
    if options.quick {
        (options.rounds, options.slice_ms) = (1, 2);
        (options.small, options.large, options.capacity) = (500, 5_000, 1_000);
    }
    if options.scenario.is_empty() {
        options.scenario = Scenario::value_variants().to_vec();
    }
    let machine = Machine::read(clock().own_cost_ns());
    let mut bench = Bench { options, records: Vec::new() };
    if !bench.options.json {
        println!("{}", machine.line());
        if let Some(reason) = peers::left_out() {
            println!("{reason}\n");
        }
    }
    for scenario in bench.options.scenario.clone() {
        match scenario {
            Scenario::Grid => bench.grid(),
            Scenario::Hot => bench.hot(),
            Scenario::Many => bench.many(),
            Scenario::Typed => bench.typed(),
            Scenario::Capacity => bench.capacity(),
            Scenario::Tails => bench.tails(),
        }
    }
    if bench.options.json {
        let all = json!({
            "machine": machine, "rounds": bench.options.rounds, "slice_ms": bench.options.slice_ms,
            "value_bytes": VALUE_BYTES, "left_out": peers::left_out(), "records": bench.records,
        });
        println!("{all:#}");
    }
}

fn clock() -> &'static Ticks {
    static CLOCK: OnceLock<Ticks> = OnceLock::new();
    CLOCK.get_or_init(Ticks::calibrate)
}

/// A column group of a table: its head and what each row gave.
struct Cell {
    head: String,
    outcomes: Vec<Outcome>,
}

struct Bench {
    options: Options,
    records: Vec<Value>,
}

impl Bench {
    fn names(&self, more: &[&'static str], wanted: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let only = &self.options.only;
        let chosen = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(&**part));
        let all = peers::ROSTER.iter().chain(more).copied();
        all.filter(|name| wanted(name) && chosen(name)).collect()
    }

    fn field(&self, names: &[&str], keys: u32, limit: u64) -> Field {
        let setup = Setup { limit: Some(limit), expected: None, value_len: VALUE_BYTES, ttl: false };
        Field::new(names, &setup, keys)
    }

    fn streams(&self, blend: &Blend, threads: u64) -> Vec<Vec<Op>> {
        let length = if self.options.quick { 8_192 } else { 1 << 20 };
        (0..threads).map(|thread| blend.stream(length, 0x5eed + thread)).collect()
    }

    /// Measures one cell and keeps its records.
    fn cell(&mut self, name: [&str; 2], field: &mut Field, rows: &[Row], streams: &[Vec<Op>]) -> Cell {
        let [scenario, head] = name;
        let timed = head == Scenario::TIMED;
        let work = Work {
            streams,
            value_len: VALUE_BYTES,
            slice: Duration::from_millis(self.options.slice_ms),
            rounds: self.options.rounds,
            attempts: if self.options.quick { 1 } else { 10 },
            timed,
            figures: match (timed, streams.len()) {
                (true, _) => tail_figures,
                (false, 1) => |slice| vec![slice.ns_per_op()],
                (false, _) => |slice| vec![slice.mops()],
            },
        };
        let outcomes = field.measure(rows, &work);
        let unit = if timed || streams.len() == 1 { "ns" } else { "million operations per second" };
        for outcome in &outcomes {
            let figures: Vec<f64> = (0..if timed { 8 } else { 1 }).map(|at| outcome.median(at)).collect();
            let ratios: serde_json::Map<String, Value> = self
                .options
                .baseline
                .iter()
                .filter_map(|baseline| {
                    let base = outcomes.iter().find(|other| other.label == *baseline)?;
                    Some((baseline.clone(), json!(outcome.ratio_to(base, 0))))
                })
                .collect();
            self.records.push(json!({
                "scenario": scenario, "cell": head, "threads": streams.len(), "row": outcome.label,
                "unit": unit, "median": figures, "rounds": outcome.rounds, "ratio_to": ratios,
                "hit_share": outcome.hit_share, "least_overlap": outcome.overlap,
                "refused_slices": outcome.refused,
            }));
        }
        Cell { head: head.to_owned(), outcomes }
    }

    fn print(&self, table: &Table) {
        if !self.options.json {
            println!("{}", table.markdown());
        }
    }

    fn grid(&mut self) {
        for keys in [self.options.small, self.options.large] {
            let names = self.names(&[], |_| true);
            let mut field = self.field(&names, keys, u64::from(keys) * 2);
            let rows = field.rows(|face| face != Face::Many);
            for (draw, draw_name) in
                [(Draw::Uniform(keys), "even"), (Draw::Zipf(Zipf::new(keys)), "Zipf 0.99")]
            {
                for threads in [1, 2] {
                    let title =
                        format!("{} keys, {draw_name}, {}", count(keys.into()), threads_unit(threads));
                    let mut cells = Vec::new();
                    for (mix, writes) in MIXES {
                        let blend =
                            Blend { draw: draw.clone(), writes, cold_writes: None, shape: KeyShape::Mixed };
                        let streams = self.streams(&blend, threads);
                        cells.push(self.cell([&title, mix], &mut field, &rows, &streams));
                    }
                    let mut table = compare(title, &cells, &self.options.baseline);
                    add_misses(&mut table, &cells);
                    self.print(&table);
                }
            }
        }
    }

    fn hot(&mut self) {
        let keys = self.options.small;
        let names = self.names(&[], |_| true);
        let mut field = self.field(&names, keys, u64::from(keys) * 2);
        let rows = field.rows(|face| face != Face::Many);
        let stream = vec![Op::new(Kind::Get, keys / 2, KeyShape::Mixed); 4_096];
        let one = self.cell(["hot", "one thread"], &mut field, &rows, from_ref(&stream));
        let two = self.cell(["hot", "two threads"], &mut field, &rows, &[stream.clone(), stream]);
        let columns =
            ["contestant", "1 thread, ns", "2 threads, ns", "2 to 1", "2 threads, M/s", "÷ quick_cache"];
        let mut table = Table::new("One hot key, reads, nanoseconds an operation for each thread", &columns);
        let quick_cache = two.outcomes.iter().find(|outcome| outcome.label == "quick_cache");
        for alone in &one.outcomes {
            let mut cells = vec![alone.label.to_owned(), figure(alone.median(0))];
            if let Some(shared) = two.outcomes.iter().find(|outcome| outcome.label == alone.label) {
                let each_ns = 2e3 / shared.median(0);
                let against = quick_cache.map_or(f64::NAN, |base| shared.ratio_to(base, 0));
                cells.extend([figure(each_ns), ratio(each_ns / alone.median(0))]);
                cells.extend([figure(shared.median(0)), ratio(against)]);
            }
            table.row(cells);
        }
        let cells = [one, two];
        add_proof(&mut table, &cells);
        add_misses(&mut table, &cells);
        self.print(&table);
    }

    fn many(&mut self) {
        for keys in [self.options.small, self.options.large] {
            let names = self.names(&[], |name| matches!(name, "larder" | "kevy-embedded"));
            let mut field = self.field(&names, keys, u64::from(keys) * 2);
            let rows = field.rows(|face| matches!(face, Face::Owned | Face::Many));
            let blend =
                Blend { draw: Draw::Uniform(keys), writes: 0.0, cold_writes: None, shape: KeyShape::Mixed };
            let streams = self.streams(&blend, 1);
            let title = format!("Sixteen keys a call, {} keys, even, ns a key", count(keys.into()));
            let cell = self.cell([&title, "reads"], &mut field, &rows, &streams);
            let cells = [cell];
            let mut table = compare(title, &cells, &["larder", "kevy-embedded"].map(str::to_owned));
            add_misses(&mut table, &cells);
            self.print(&table);
        }
    }

    fn typed(&mut self) {
        let keys = self.options.small;
        let names = self.names(&["larder-typed"], |name| name.starts_with("larder"));
        let mut field = self.field(&names, keys, u64::from(keys) * 2);
        let rows = field.rows(|face| matches!(face, Face::Owned | Face::InPlace));
        let blend =
            Blend { draw: Draw::Uniform(keys), writes: 0.0, cold_writes: None, shape: KeyShape::Mixed };
        let streams = self.streams(&blend, 1);
        let title = format!("Decoded hits, {} keys, even, one thread, ns", count(keys.into()));
        let cell = self.cell([&title, "reads"], &mut field, &rows, &streams);
        let cells = [cell];
        let mut table = compare(title, &cells, &["larder", "larder get_with"].map(str::to_owned));
        add_misses(&mut table, &cells);
        self.print(&table);
    }

    /// A field of caches that are full, and two streams whose writes evict.
    fn full_field(&self, writes: f64) -> (Field, Vec<Vec<Op>>) {
        let capacity = self.options.capacity;
        let setup = Setup { limit: Some(1_000), expected: None, value_len: VALUE_BYTES, ttl: false };
        let evicts = |name: &str| peers::build(name, &setup).is_some_and(|contestant| contestant.bounded());
        let field = self.field(&self.names(&[], evicts), capacity * 2, u64::from(capacity));
        (field, self.full_streams(writes))
    }

    fn full_streams(&self, writes: f64) -> Vec<Vec<Op>> {
        let keys = self.options.capacity * 2;
        let blend = Blend {
            draw: Draw::Zipf(Zipf::new(keys)),
            writes,
            cold_writes: Some(keys..keys + self.options.capacity * COLD),
            shape: KeyShape::Mixed,
        };
        self.streams(&blend, 2)
    }

    fn capacity(&mut self) {
        let limit = count(self.options.capacity.into());
        let title =
            format!("At capacity: {limit} entries, twice as many keys, Zipf 0.99, {}", threads_unit(2));
        let (mut field, mut streams) = self.full_field(MIXES[1].1);
        let rows = field.main_rows();
        let mut cells = Vec::new();
        for (mix, writes) in &MIXES[1..] {
            if !cells.is_empty() {
                streams = self.full_streams(*writes);
            }
            cells.push(self.cell([&title, mix], &mut field, &rows, &streams));
        }
        let mut table = compare(title, &cells, &self.options.baseline);
        table.note(WRITES_AT_CAPACITY);
        for cell in &cells {
            table.note(format!("Hits at {}: {}.", cell.head, hits(&cell.outcomes)));
        }
        self.print(&table);
    }

    fn tails(&mut self) {
        let limit = count(self.options.capacity.into());
        let title = format!("Single operations at capacity: {limit} entries, two threads, 95/5");
        let (mut field, streams) = self.full_field(0.05);
        let rows = field.main_rows();
        let cell = self.cell([&title, Scenario::TIMED], &mut field, &rows, &streams);
        let columns = [
            "contestant",
            "get p50",
            "get p99",
            "get p99.9",
            "get max",
            "set p50",
            "set p99",
            "set p99.9",
            "set max",
        ];
        let mut table = Table::new(title, &columns);
        for outcome in &cell.outcomes {
            let mut cells = vec![outcome.label.to_owned()];
            cells.extend((0..8).map(|at| duration(outcome.median(at))));
            table.row(cells);
        }
        table.note("Medians over the rounds of each round's quantile; the maximum likewise.");
        table.note(WRITES_AT_CAPACITY);
        table.note(format!("Hits: {}.", hits(&cell.outcomes)));
        add_proof(&mut table, &[cell]);
        self.print(&table);
    }
}

const WRITES_AT_CAPACITY: &str = "Half the writes go to keys drawn evenly from sixteen times the capacity, \
                                  which are almost never held, so each evicts; half follow the reads.";

impl Scenario {
    /// The head of a cell whose operations are timed one by one.
    const TIMED: &'static str = "each timed";
}

fn threads_unit(threads: u64) -> String {
    let unit =
        if threads == 1 { "one thread, ns an operation" } else { "two threads, million operations a second" };
    unit.to_owned()
}

/// Four figures of the reads, then four of the writes, in nanoseconds.
fn tail_figures(slice: &Slice) -> Vec<f64> {
    let mut figures = Vec::new();
    if let Some((reads, writes)) = &slice.timed {
        for seen in [reads, writes] {
            figures.extend(QUANTILES.iter().map(|&q| clock().ns(seen.quantile(q))));
            figures.push(clock().ns(seen.max()));
        }
    }
    figures
}

/// A row a contestant, and for each cell its figure and its ratios.
fn compare(title: String, cells: &[Cell], baselines: &[String]) -> Table {
    let mut columns = vec!["contestant".to_owned()];
    let mut labels: Vec<&str> = Vec::new();
    for cell in cells {
        columns.push(cell.head.clone());
        let present = |baseline: &&String| cell.outcomes.iter().any(|outcome| outcome.label == **baseline);
        columns.extend(baselines.iter().filter(present).map(|baseline| format!("÷ {baseline}")));
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
            let mine = find(label);
            row.push(figure(mine.map_or(f64::NAN, |outcome| outcome.median(0))));
            for base in baselines.iter().filter_map(|baseline| find(baseline)) {
                row.push(ratio(mine.map_or(f64::NAN, |outcome| outcome.ratio_to(base, 0))));
            }
        }
        table.row(row);
    }
    add_proof(&mut table, cells);
    table
}

/// Says how well the threads overlapped, what was refused, and who missed.
fn add_proof(table: &mut Table, cells: &[Cell]) {
    let outcomes = || cells.iter().flat_map(|cell| &cell.outcomes);
    let least = outcomes().map(|outcome| outcome.overlap).fold(f64::NAN, f64::min) * 100.0;
    let refused: u32 = outcomes().map(|outcome| outcome.refused).sum();
    let empty = outcomes().flat_map(|outcome| &outcome.rounds).filter(|round| round.is_none()).count();
    table.note(format!(
        "Every slice that counts ran undisturbed, two threads side by side, for at least {} % of its time; \
         {refused} slices below {:.0} % were refused, {empty} rounds of a row have no figure.",
        figure(least),
        LEAST_OVERLAP * 100.0
    ));
}

/// Names whoever missed in a cell where every key is held.
fn add_misses(table: &mut Table, cells: &[Cell]) {
    for cell in cells {
        for outcome in cell.outcomes.iter().filter(|outcome| outcome.hit_share < 1.0) {
            let share = figure(outcome.hit_share * 100.0);
            table.note(format!("{} hit only {share} % at {}.", outcome.label, cell.head));
        }
    }
}

fn hits(outcomes: &[Outcome]) -> String {
    let each =
        outcomes.iter().map(|outcome| format!("{} {} %", outcome.label, figure(outcome.hit_share * 100.0)));
    each.collect::<Vec<_>>().join(", ")
}
