//! Unique visitors of a site, counted two ways: a bit a visitor, exact, and a HyperLogLog, within a percent in 12 KB.
//!
//! Thirty days of visits by up to two million people. The bitmap of a day answers who came, how many, who came on both of
//! two days and who came every day of a week; the HyperLogLog answers how many, and merges days into weeks.
//!
//! ```text
//! cargo run --release --example unique_visitors
//! ```

use std::error::Error;

use larder::{BitOperation, Engine};
use larder_examples::random::Rng;
use larder_examples::table::Table;

const DAYS: u64 = 30;
const VISITS_A_DAY: u64 = 100_000;
const VISITORS: u64 = 2_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::builder().seed(1).build()?;
    visit(&engine)?;

    let mut table =
        Table::new(["day", "exact (bitmap)", "bytes", "estimate (HyperLogLog)", "bytes", "error"]);
    for day in [1, 7, 14, 30] {
        let exact = engine.bitmap(bits(day)).count()?;
        let estimate = engine.hyperloglog::<u64>(sketch(day)).count()?;
        table.row([
            day.to_string(),
            exact.to_string(),
            bytes(&engine, &bits(day))?.to_string(),
            estimate.to_string(),
            bytes(&engine, &sketch(day))?.to_string(),
            format!("{:+.2} %", error(exact, estimate)),
        ]);
    }
    println!("{table}");

    let week: Vec<String> = (1..=7).map(bits).collect();
    engine.bitmap("bits:week").combine(BitOperation::Or, &week)?;
    engine.bitmap("bits:faithful").combine(BitOperation::And, &week)?;
    let sketches: Vec<String> = (1..=7).map(sketch).collect();
    engine.hyperloglog::<u64>("sketch:week").merge(&sketches)?;
    let exact = engine.bitmap("bits:week").count()?;
    let estimate = engine.hyperloglog::<u64>("sketch:week").count()?;
    println!(
        "Came in the first week: {exact} exactly, {estimate} estimated ({:+.2} %)",
        error(exact, estimate)
    );
    println!("Came on each of its days: {}", engine.bitmap("bits:faithful").count()?);
    let first = engine.bitmap("bits:faithful").position(true)?;
    println!(
        "The first of them: {}",
        first.map_or_else(|| "nobody".to_owned(), |id| format!("visitor {id}"))
    );

    // A number far out costs what is written, not what lies before it.
    engine.bitmap("bits:far").set(u64::from(u32::MAX), true)?;
    println!(
        "Bit {} alone: {} bytes used, {} bytes long",
        u32::MAX,
        bytes(&engine, "bits:far")?,
        engine.strlen("bits:far")?
    );
    Ok(())
}

fn bits(day: u64) -> String {
    format!("bits:{day}")
}

fn sketch(day: u64) -> String {
    format!("sketch:{day}")
}

/// A month of visits: regulars come more often than others.
fn visit(engine: &Engine) -> Result<(), Box<dyn Error>> {
    let mut random = Rng::new(3);
    for day in 1..=DAYS {
        let (bits, sketch) = (engine.bitmap(bits(day)), engine.hyperloglog::<u64>(sketch(day)));
        for _ in 0..VISITS_A_DAY {
            let regular = random.below(4) > 0;
            let visitor = random.below(if regular { VISITORS / 40 } else { VISITORS });
            bits.set(visitor, true)?;
            sketch.add(visitor)?;
        }
    }
    Ok(())
}

fn bytes(engine: &Engine, key: &str) -> Result<u64, Box<dyn Error>> {
    Ok(engine.entry_bytes(key)?.ok_or("the key was just written")?)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for the eye")]
fn error(exact: u64, estimate: u64) -> f64 {
    (estimate as f64 - exact as f64) / exact.max(1) as f64 * 100.0
}
