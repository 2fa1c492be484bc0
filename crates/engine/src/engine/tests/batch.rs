//! Batch functions: every key once, captured values, errors and panics, writes from inside.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Engine, Entry, ManualClock, OpError, SetOptions, StreamFields, ValueType};

fn engine_with(keys: u64) -> Engine {
    let engine = Engine::builder().seed(1).shards(4).build().unwrap();
    for n in 0..keys {
        engine.set(format!("n:{n}"), n.to_string()).unwrap();
    }
    engine.set("other", "x").unwrap();
    engine
}

#[test]
fn every_key_is_met_once_by_any_number_of_workers() {
    let engine = engine_with(5_000);
    for workers in [0, 1, 2, 5] {
        let met = Mutex::new(BTreeSet::new());
        engine
            .for_each("n:*", workers, |entry| {
                assert!(met.lock().unwrap().insert(entry.key().to_vec()), "once");
                Ok::<_, OpError>(())
            })
            .unwrap();
        assert_eq!(met.into_inner().unwrap().len(), 5_000);
        let sum = engine.map_reduce("n:*", workers, |entry| entry.value::<u64>().map(Some), |a, b| a + b);
        assert_eq!(sum.unwrap(), Some((0..5_000).sum()));
    }
    let none = engine.map_reduce("nothing*", 3, |_| Ok::<_, OpError>(Some(1)), |a: u64, b| a + b);
    assert_eq!(none.unwrap(), None);
}

#[test]
fn an_entry_shows_every_type_as_it_was() {
    let clock = ManualClock::default();
    let engine = Engine::builder().clock(clock).seed(1).shards(2).build().unwrap();
    engine.set_with("string", "7", SetOptions::new().ttl(std::time::Duration::from_secs(9))).unwrap();
    engine.typed::<(u8, String)>().set("typed", (1, "one".into())).unwrap();
    engine.list::<String>("list").extend_back(["a", "b"]).unwrap();
    engine.set_of::<u32>("set").add(3).unwrap();
    engine.hash::<String, u64>("hash").set("f", 5).unwrap();
    engine.sorted_set::<String>("sorted").add("m", 2.5).unwrap();
    let fields: StreamFields = [("f", "v")].into_iter().collect();
    engine.stream("stream").add(fields).unwrap();
    let look = |entry: &Entry| {
        let text = match entry.key() {
            b"string" => {
                assert!(entry.expires_at().is_some());
                // What is changed from inside is not seen.
                entry.engine().set("string", "changed")?;
                entry.value::<u64>()?.to_string()
            }
            b"typed" => format!("{:?}", entry.value::<(u8, String)>()?),
            b"list" => {
                entry.engine().list::<String>("list").push_back("c")?;
                entry.list::<String>()?.collect::<Result<Vec<_>, _>>()?.concat()
            }
            b"set" => entry.set::<u32>()?.collect::<Result<Vec<_>, _>>()?[0].to_string(),
            b"hash" => {
                let pairs = entry.hash::<String, u64>()?.collect::<Result<Vec<_>, _>>()?;
                assert_eq!(entry.field::<String, u64>("f")?, Some(pairs[0].1));
                assert_eq!(entry.field::<String, u64>("g")?, None);
                pairs[0].1.to_string()
            }
            b"sorted" => format!("{:?}", entry.sorted_set::<String>()?.collect::<Result<Vec<_>, _>>()?),
            _ => entry.stream()?.count().to_string(),
        };
        assert!(entry.value_type() == ValueType::List || entry.list::<String>().is_err());
        assert!(entry.value_type() == ValueType::String || entry.string().is_err());
        Ok::<_, OpError>(Some(BTreeSet::from([text])))
    };
    let all = engine.map_reduce("*", 2, look, |mut a, mut b| {
        a.append(&mut b);
        a
    });
    let expected = ["(1, \"one\")", "1", "3", "5", "7", "[(\"m\", 2.5)]", "ab"];
    assert_eq!(all.unwrap().unwrap().into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(engine.get("string").unwrap().unwrap(), "changed");
    engine.validate();
}

#[test]
fn the_first_error_stops_the_walk() {
    let engine = engine_with(20_000);
    let met = AtomicU64::new(0);
    let refused = engine.for_each("*", 3, |_| {
        met.fetch_add(1, Ordering::Relaxed);
        Err(OpError::Overflow)
    });
    assert!(matches!(refused, Err(OpError::Overflow)));
    assert!(met.into_inner() <= 3);
}

#[test]
fn a_panic_goes_on_in_the_caller() {
    let engine = engine_with(3_000);
    for workers in [1, 4] {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            engine.for_each("*", workers, |entry| {
                assert_ne!(entry.key(), b"n:77", "expected by this test");
                Ok::<_, OpError>(())
            })
        }));
        assert!(caught.is_err());
    }
    engine.validate();
    assert_eq!(engine.len().unwrap(), 3_001);
}

#[test]
fn closures_may_write_while_others_do() {
    let engine = engine_with(4_000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..4_000 {
                engine.incr(format!("n:{n}")).unwrap();
            }
        });
        let removed = engine.map_reduce(
            "n:*",
            3,
            |entry| Ok::<_, OpError>(engine.remove(entry.key())?.then_some(1u64)),
            |a, b| a + b,
        );
        assert_eq!(removed.unwrap(), Some(4_000));
    });
    engine.validate();
}

#[test]
fn inside_a_transaction_one_worker_does_it() {
    let engine = engine_with(100);
    let sum: Result<_, OpError> = engine.exclusive(|tx| {
        tx.set("n:0", "1000")?;
        tx.map_reduce("n:*", 4, |entry| entry.value::<u64>().map(Some), |a, b| a + b)
    });
    assert_eq!(sum.unwrap(), Some((0..100).sum::<u64>() + 1_000));
}
