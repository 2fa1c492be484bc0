//! An event function: raise a user's level when a field of his hash reaches 1,000.
//!
//! `engine.on` runs the handler for every change that its filter admits, on the thread that made the change, after the locks were
//! released. What the handler writes comes to it again, later and not from inside, so it must not react to its own writes without end:
//! here the points go back below 1,000, and nothing is left to do.
//!
//! ```text
//! cargo run --release --example level_up
//! ```

use std::error::Error;

use larder::{ChangeFilter, Delivery, Delta, Engine, HandlerGuard, OpError, ValueType};

const POINTS_A_LEVEL: i64 = 1_000;

/// Watches the points of all users for as long as the guard lives.
fn watch(engine: &Engine) -> HandlerGuard {
    let filter = ChangeFilter::new().prefix("user:").value_type(ValueType::Hash).capacity(1 << 16);
    engine.on(filter, |engine, delivery| {
        let outcome = match delivery {
            Delivery::Change(change) => match change.delta() {
                Delta::HashPut { field, .. } if **field == *b"points" => raise(engine, &change.key),
                _ => Ok(()),
            },
            // Some changes were not seen: look at everybody once.
            _ => engine.for_each("user:*", 1, |entry| raise(engine, entry.key())),
        };
        if let Err(error) = outcome {
            eprintln!("level not raised: {error}");
        }
    })
}

/// Turns points into levels. The transaction sees the points of now, not those that the change told of.
fn raise(engine: &Engine, user: &[u8]) -> Result<(), OpError> {
    engine.transaction([user], |tx| {
        let user = tx.hash::<String, i64>(user);
        let points = user.get("points")?.unwrap_or(0);
        let levels = points / POINTS_A_LEVEL;
        if levels > 0 {
            user.incr_by("points", -levels * POINTS_A_LEVEL)?;
            user.incr_by("level", levels)?;
        }
        Ok(())
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::new();
    let _guard = watch(&engine);
    let ann = engine.hash::<String, i64>("user:ann");
    for points in [400, 500, 250, 2_000] {
        ann.incr_by("points", points)?;
        println!(
            "+{points}: level {}, {} points",
            ann.get("level")?.unwrap_or(0),
            ann.get("points")?.unwrap_or(0)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_rise_and_no_point_is_lost() {
        let engine = Engine::new();
        let guard = watch(&engine);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..500).for_each(|n| {
                        drop(engine.hash::<String, i64>(format!("user:{}", n % 3)).incr_by("points", 7))
                    })
                });
            }
        });
        let total = |field: &str| {
            let of = |n| engine.hash::<String, i64>(format!("user:{n}")).get(field).unwrap().unwrap_or(0);
            (0..3).map(of).sum::<i64>()
        };
        assert_eq!(total("level") * POINTS_A_LEVEL + total("points"), 4 * 500 * 7);
        let points = (0..3).map(|n| engine.hash::<String, i64>(format!("user:{n}")).get("points").unwrap());
        assert!(points.flatten().all(|points| points < POINTS_A_LEVEL));
        drop(guard);
        engine.hash::<String, i64>("user:0").incr_by("points", 5_000).unwrap();
        assert!(engine.hash::<String, i64>("user:0").get("points").unwrap().unwrap() >= 5_000);
    }
}
