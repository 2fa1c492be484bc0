//! Who survives a flood, under each eviction policy, and what a TTL has to do with it.
//!
//! For every policy: store 5,000 keys, read the first 1,000, then store 5,000 more while there is room for
//! about 5,500. The volatile policies evict only keys that have a TTL, so they run twice: with a TTL on every
//! key and on every second key. Then the clock passes the TTL and whatever had one is gone. Time is a
//! `ManualClock` and chance has a seed, so every run prints the same table.
//!
//! ```text
//! cargo run --release --example ttl_and_eviction [-- --seed N --out DIR]
//! ```

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use larder::{Budget, Engine, ManualClock, OpError, Policy, SetOptions};
use larder_examples::plot::{Group, Strip, Strips};
use larder_examples::table::{Table, count};

const READ: usize = 1_000;
const FILL: usize = 5_000;
const KEYS: usize = 10_000;
const ROOM: usize = 5_500;
/// Keys in one cell of the plot.
const CELL: usize = 100;
const VALUE_BYTES: usize = 100;
const SHARDS: usize = 4;
const TTL: Duration = Duration::from_secs(3_600);

#[derive(Debug, Parser)]
#[command(about = "Who survives a flood, under each eviction policy")]
struct Args {
    /// Seed of the engine's choices.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Directory for the plot.
    #[arg(long, default_value = "target/larder-examples")]
    out: PathBuf,
}

/// Which keys get a TTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timed {
    None,
    Half,
    All,
}

impl Timed {
    fn has(self, key: usize) -> bool {
        match self {
            Self::None => false,
            Self::Half => key.is_multiple_of(2),
            Self::All => true,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::None => "no TTL",
            Self::Half => "TTL on half",
            Self::All => "TTL on all",
        }
    }
}

/// What one policy did.
struct Outcome {
    label: String,
    alive: Vec<bool>,
    refused: u64,
    refusal: Option<OpError>,
    left_after_ttl: u64,
}

impl Outcome {
    fn survivors(&self, keys: std::ops::Range<usize>) -> u64 {
        self.alive[keys].iter().map(|&alive| u64::from(alive)).sum()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let limit_bytes = bytes_of_keys(ROOM)?;
    let mut outcomes = Vec::new();
    for policy in Policy::ALL {
        for &timed in cases(policy) {
            outcomes.push(experiment(policy, timed, limit_bytes, args.seed)?);
        }
    }
    println!(
        "Store {}, read the first {}, store {} more; room for about {} keys ({} bytes), seed {}\n",
        count(FILL as u64),
        count(READ as u64),
        count((KEYS - FILL) as u64),
        count(ROOM as u64),
        count(limit_bytes),
        args.seed
    );
    println!("{}", table(&outcomes));
    for outcome in &outcomes {
        if let Some(refusal) = &outcome.refusal {
            println!(
                "{} refused {} writes, the first with: {refusal}",
                outcome.label,
                count(outcome.refused)
            );
        }
    }
    fs::create_dir_all(&args.out)?;
    let path = args.out.join("eviction_survivors.svg");
    fs::write(&path, plot(&outcomes).to_svg())?;
    println!("\nPlot: {}", path.display());
    Ok(())
}

/// A volatile policy looks at keys with a TTL only, so it is shown with a TTL on all keys and on half.
fn cases(policy: Policy) -> &'static [Timed] {
    match policy {
        Policy::VolatileLru | Policy::VolatileLfu | Policy::VolatileRandom | Policy::VolatileTtl => {
            &[Timed::All, Timed::Half]
        }
        _ => &[Timed::None],
    }
}

/// How many bytes an engine uses that holds `keys` keys of this experiment.
fn bytes_of_keys(keys: usize) -> Result<u64, Box<dyn Error>> {
    let engine = Engine::builder().shards(SHARDS).clock(ManualClock::default()).build()?;
    for key in 0..keys {
        engine.set_with(name(key), value(key), options(Timed::Half, key))?;
    }
    Ok(engine.memory_usage().total())
}

fn experiment(policy: Policy, timed: Timed, limit_bytes: u64, seed: u64) -> Result<Outcome, Box<dyn Error>> {
    let clock = ManualClock::default();
    let engine = Engine::builder()
        .shards(SHARDS)
        .max_memory(limit_bytes)
        .policy(policy)
        .clock(clock.clone())
        .seed(seed)
        .build()?;
    let (mut refused, mut refusal) = (0, None);
    let mut store = |keys: std::ops::Range<usize>| -> Result<(), OpError> {
        for key in keys {
            match engine.set_with(name(key), value(key), options(timed, key)) {
                Ok(_) => {}
                Err(error @ OpError::OutOfMemory { .. }) => {
                    refused += 1;
                    refusal.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
            // A request a millisecond: without time passing, "least recently used" means nothing.
            clock.advance(Duration::from_millis(1));
        }
        Ok(())
    };
    store(0..FILL)?;
    for key in 0..READ {
        engine.get(name(key))?;
        clock.advance(Duration::from_millis(1));
    }
    store(FILL..KEYS)?;

    // `peek` looks without counting as a use.
    let alive: Result<Vec<bool>, OpError> =
        (0..KEYS).map(|key| Ok(engine.peek(name(key))?.is_some())).collect();
    clock.advance(TTL + TTL);
    engine.maintain(Budget::default());
    let label = match timed {
        Timed::None => policy.to_string(),
        _ => format!("{policy}, {}", timed.words()),
    };
    let left_after_ttl = (0..KEYS)
        .try_fold(0, |left, key| engine.peek(name(key)).map(|found| left + u64::from(found.is_some())))?;
    Ok(Outcome { label, alive: alive?, refused, refusal, left_after_ttl })
}

fn name(key: usize) -> String {
    format!("key:{key:05}")
}

fn value(key: usize) -> Vec<u8> {
    vec![key.to_le_bytes()[0]; VALUE_BYTES]
}

/// TTLs lie between half an hour and an hour and have nothing to do with the order of the keys, so that
/// `volatile-ttl` has a choice of its own.
fn options(timed: Timed, key: usize) -> SetOptions {
    if timed.has(key) {
        let part = u32::try_from(key * 7_919 % 1_000).expect("below 1,000");
        SetOptions::new().ttl(TTL / 2 + TTL / 2 * part / 1_000)
    } else {
        SetOptions::new()
    }
}

fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new(["policy", "read", "not read", "flood", "refused", "left after TTL"]);
    for outcome in outcomes {
        let of = |keys: std::ops::Range<usize>| {
            let whole = keys.len() as u64;
            format!("{} / {}", count(outcome.survivors(keys)), count(whole))
        };
        table.row([
            outcome.label.clone(),
            of(0..READ),
            of(READ..FILL),
            of(FILL..KEYS),
            count(outcome.refused),
            count(outcome.left_after_ttl),
        ]);
    }
    table
}

fn plot(outcomes: &[Outcome]) -> Strips {
    let strip = |outcome: &Outcome| Strip {
        label: outcome.label.clone(),
        cells: outcome
            .alive
            .chunks(CELL)
            .map(|cell| cell.iter().filter(|&&alive| alive).count() as f64 / cell.len() as f64)
            .collect(),
        note: format!(
            "{} | {}",
            count(outcome.survivors(0..KEYS)),
            if outcome.refused == 0 { "-".to_owned() } else { count(outcome.refused) }
        ),
    };
    Strips {
        title: "Who survives the flood".to_owned(),
        subtitle: format!(
            "{} keys stored, the first {} of them read, {} more stored; room for about {}",
            count(FILL as u64),
            count(READ as u64),
            count((KEYS - FILL) as u64),
            count(ROOM as u64)
        ),
        groups: vec![
            Group { name: "read".to_owned(), cells: READ / CELL },
            Group { name: "stored before, not read".to_owned(), cells: (FILL - READ) / CELL },
            Group { name: "the flood".to_owned(), cells: (KEYS - FILL) / CELL },
        ],
        strips: outcomes.iter().map(strip).collect(),
        note_title: "alive | refused".to_owned(),
        x_title: "key, in the order of storing".to_owned(),
        cell_size: CELL,
        scale_title: format!("share of {CELL} neighbouring keys that is alive"),
    }
}
