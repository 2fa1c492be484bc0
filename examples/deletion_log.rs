//! The change feed: log every deletion under a prefix, whoever deletes, by whatever means.
//!
//! A subscriber gets the deletions in the order in which they were committed: `DEL`, expiry, eviction, the last element that
//! leaves a list. Its queue is bounded and writers never wait for it; should it fall behind, it is told how many it missed, and says
//! so in the log instead of pretending that nothing happened.
//!
//! ```text
//! cargo run --release --example deletion_log
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use larder::{ChangeFilter, Changes, Delivery, Engine, ManualClock, SetOptions};

/// Subscribes to whatever lets a key of the prefix go.
fn deletions(engine: &Engine, prefix: &str, capacity: usize) -> Changes {
    let gone = ChangeFilter::new().event("del").event("expired").event("evicted").event("rename_from");
    engine.changes(gone.prefix(prefix).capacity(capacity))
}

/// Writes a line for every deletion until the engine is gone.
fn log(changes: Changes, out: &mut impl Write) -> io::Result<()> {
    for delivery in changes {
        match delivery {
            Delivery::Change(change) => {
                let kind = change.value_type.map_or("key", |kind| kind.name());
                writeln!(
                    out,
                    "#{} {} {} ({kind})",
                    change.sequence,
                    change.event,
                    change.key.escape_ascii()
                )?;
            }
            Delivery::Lagged { missed } => writeln!(out, "... {missed} deletions were not logged")?,
            _ => {}
        }
    }
    Ok(())
}

fn work(engine: &Engine, clock: &ManualClock) -> Result<(), larder::OpError> {
    engine.set("session:ann", "1")?;
    engine.set_with("session:bob", "2", SetOptions::new().ttl(Duration::from_secs(60)))?;
    engine.list::<String>("session:queue").push_back("job")?;
    engine.set("page:1", "not of interest")?;
    engine.remove("session:ann")?;
    engine.remove("page:1")?;
    // The last element takes the list with it.
    engine.list::<String>("session:queue").pop_front()?;
    clock.advance(Duration::from_secs(61));
    engine.maintain(larder::Budget::default());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::default();
    let engine = Engine::builder().clock(clock.clone()).build()?;
    let changes = deletions(&engine, "session:", 1_024);
    let logger = thread::spawn(move || log(changes, &mut io::stdout()));
    work(&engine, &clock)?;
    // With the last handle the subscription ends, after what still waits.
    drop(engine);
    logger.join().expect("the logger does not panic")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(capacity: usize, work: impl FnOnce(&Engine, &ManualClock)) -> Vec<String> {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        let changes = deletions(&engine, "session:", capacity);
        work(&engine, &clock);
        drop(engine);
        let mut out = Vec::new();
        log(changes, &mut out).unwrap();
        let without_number = |line: &str| line.split_once(' ').unwrap().1.to_owned();
        String::from_utf8(out).unwrap().lines().map(without_number).collect()
    }

    #[test]
    fn every_way_of_going_is_logged_in_order() {
        let lines = logged(1_024, |engine, clock| work(engine, clock).unwrap());
        let expected =
            ["del session:ann (string)", "del session:queue (list)", "expired session:bob (string)"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_is_missed_is_said() {
        let lines = logged(2, |engine, _| {
            for n in 0..5 {
                engine.set(format!("session:{n}"), "v").unwrap();
                engine.remove(format!("session:{n}")).unwrap();
            }
        });
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2], "3 deletions were not logged");
    }
}
