//! A batch function: delete every counter below zero, on several threads, without stopping anybody.
//!
//! `for_each` shows each key as it was at one moment, under no lock. Between that look and the deletion the counter may have
//! changed, so the closure does not simply remove the key: it removes it only if it still holds what was seen.
//!
//! ```text
//! cargo run --release --example remove_negative_counters
//! ```

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::{Engine, OpError};

/// Removes the counters whose value is negative; returns how many they were.
fn remove_negative(engine: &Engine, pattern: &str, workers: usize) -> Result<u64, OpError> {
    let removed = AtomicU64::new(0);
    engine.for_each(pattern, workers, |entry| {
        let seen = entry.string()?;
        let negative = entry.value::<i64>()? < 0;
        if negative && engine.remove_if_equal(entry.key(), &seen)? {
            removed.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, OpError>(())
    })?;
    Ok(removed.into_inner())
}

/// The same walk, only counting: what is mapped on each worker is added up.
fn sum(engine: &Engine, pattern: &str, workers: usize) -> Result<i64, OpError> {
    let sum = engine.map_reduce(pattern, workers, |entry| entry.value::<i64>().map(Some), |a, b| a + b)?;
    Ok(sum.unwrap_or(0))
}

fn fill(engine: &Engine) -> Result<(), OpError> {
    (0..10_000).try_for_each(|n| engine.incr_by(format!("stock:{n}"), (n % 7) - 2).map(|_| ()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::new();
    fill(&engine)?;
    println!("{} counters, together {}", engine.len()?, sum(&engine, "stock:*", 4)?);
    println!("{} of them were below zero and are gone", remove_negative(&engine, "stock:*", 4)?);
    println!("{} counters, together {}", engine.len()?, sum(&engine, "stock:*", 4)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_counters_go_and_others_stay() {
        let engine = Engine::new();
        fill(&engine).unwrap();
        engine.set("elsewhere", "-5").unwrap();
        let negative = (0..10_000).filter(|n| n % 7 < 2).count() as u64;
        assert_eq!(remove_negative(&engine, "stock:*", 3).unwrap(), negative);
        assert_eq!(remove_negative(&engine, "stock:*", 3).unwrap(), 0);
        assert_eq!(engine.len().unwrap(), 10_001 - negative);
    }

    #[test]
    fn a_counter_that_came_back_up_stays() {
        let engine = Engine::new();
        engine.set("stock:1", "-1").unwrap();
        engine
            .for_each("stock:*", 1, |entry| {
                let seen = entry.string()?;
                // Somebody delivers between the look and the deletion.
                engine.incr_by("stock:1", 10)?;
                assert!(!engine.remove_if_equal(entry.key(), &seen)?);
                Ok::<_, OpError>(())
            })
            .unwrap();
        assert_eq!(engine.get("stock:1").unwrap().unwrap(), "9");
    }
}
