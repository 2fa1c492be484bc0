//! A batch function over streams: the last seven days' average per customer, into a string each.
//!
//! Every customer has a stream of orders; the id of an entry is the time of the order. `for_each` hands out the streams as
//! they were captured, several threads read them, and each result is stored under a key of its own. A customer without orders in
//! these days loses the old result.
//!
//! ```text
//! cargo run --release --example weekly_averages
//! ```

use std::error::Error;
use std::time::Duration;

use larder::{Engine, Entry, ManualClock, OpError, StreamId, UnixMillis};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ORDERS: &str = "orders:";

fn order(engine: &Engine, customer: &str, cents: u64) -> Result<StreamId, OpError> {
    engine.stream(format!("{ORDERS}{customer}")).add([("cents", cents.to_string())])
}

/// The average order since then, if there was any.
fn average(entry: &Entry, since: UnixMillis) -> Result<Option<u64>, OpError> {
    let (mut sum, mut count) = (0, 0);
    for order in entry.stream()?.filter(|order| order.id.ms >= since.0) {
        let cents =
            order.fields.get(b"cents").and_then(|cents| std::str::from_utf8(cents).ok()?.parse::<u64>().ok());
        sum += cents.ok_or(OpError::NotAnInteger)?;
        count += 1;
    }
    Ok((count > 0).then(|| sum / count))
}

fn refresh(engine: &Engine, workers: usize) -> Result<(), OpError> {
    let week_ms = u64::try_from((7 * DAY).as_millis()).unwrap_or(u64::MAX);
    let since = UnixMillis(engine.now().0.saturating_sub(week_ms));
    engine.for_each(format!("{ORDERS}*"), workers, |entry| {
        let customer = &entry.key()[ORDERS.len()..];
        let result = [b"average:", customer].concat();
        match average(entry, since)? {
            Some(cents) => engine.set(result, cents.to_string()),
            None => engine.remove(result).map(|_| ()),
        }
    })
}

/// Days of orders by three customers; one of them stops after the second day.
fn trade(engine: &Engine, clock: &ManualClock, days: u64) -> Result<(), OpError> {
    for day in 0..days {
        order(engine, "ann", 1_000 + day * 100)?;
        order(engine, "bob", 500)?;
        if day < 2 {
            order(engine, "eve", 9_900)?;
        }
        refresh(engine, 2)?;
        clock.advance(DAY);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::default();
    let engine = Engine::builder().clock(clock.clone()).build()?;
    trade(&engine, &clock, 10)?;
    refresh(&engine, 2)?;
    for customer in ["ann", "bob", "eve"] {
        match engine.typed::<u64>().get(format!("average:{customer}"))? {
            Some(cents) => println!("{customer}: {cents} cents an order in the last seven days"),
            None => println!("{customer}: no order in the last seven days"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_those_of_seven_days() {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        trade(&engine, &clock, 9).unwrap();
        assert_eq!(engine.get("average:eve").unwrap().unwrap(), "9900", "seven days old at the last refresh");
        refresh(&engine, 3).unwrap();
        // Of the days 2 to 8.
        assert_eq!(engine.get("average:ann").unwrap().unwrap(), "1500");
        assert_eq!(engine.get("average:bob").unwrap().unwrap(), "500");
        assert!(!engine.exists("average:eve").unwrap());
    }
}
