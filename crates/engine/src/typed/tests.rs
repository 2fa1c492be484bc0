//! Typed values: what is decoded and encoded when, and loads of every kind under way at once.

mod loads;
mod tasks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{CodecErrorKind, Encoding, Engine, OpError, Policy, SetOptions};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct User {
    name: String,
    age: u32,
}

fn ann() -> User {
    User { name: "Ann".to_owned(), age: 30 }
}

#[test]
fn an_undecodable_value_names_its_key_and_the_type() {
    let engine = Engine::new();
    engine.set("user:7", "not a number").unwrap();
    let error = engine.typed::<u64>().get("user:7").unwrap_err();
    let OpError::Codec { key, source } = &error else { panic!("{error:?}") };
    assert_eq!(&**key, b"user:7");
    assert!(source.to_string().contains("u64"), "{source}");
    assert!(error.to_string().contains("user:7") && error.to_string().contains("u64"), "{error}");
    assert_eq!(engine.get("user:7").unwrap().unwrap(), "not a number", "and stays what it was");
    assert!(engine.typed::<User>().get("user:7").is_err());
    engine.typed::<User>().set("user:8", ann()).unwrap();
    let error = engine.typed::<u64>().get("user:8").unwrap_err();
    assert!(
        matches!(error, OpError::Codec { .. }),
        "an object of another type is judged by its bytes: {error}"
    );
    assert_eq!(*engine.typed::<User>().get("user:8").unwrap().unwrap(), ann());
    assert_eq!(source.kind(), CodecErrorKind::NotAnInteger);
}

#[test]
fn raw_bytes_are_decoded_once_and_then_kept() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    engine.set("n", "42").unwrap();
    let first = numbers.get("n").unwrap().unwrap();
    for _ in 0..10 {
        assert!(Arc::ptr_eq(&first, &numbers.get("n").unwrap().unwrap()));
    }
    assert_eq!((engine.stats().decodes, engine.stats().encodes), (1, 0));
    assert_eq!(engine.get("n").unwrap().unwrap(), "42", "the bytes are still there");
    engine.set("n", "43").unwrap();
    assert_eq!(numbers.get("n"), Ok(Some(Arc::new(43))));
    assert_eq!(engine.stats().decodes, 2);
    engine.incr("n").unwrap();
    assert_eq!(numbers.get("n"), Ok(Some(Arc::new(44))), "a change of the bytes is a change of the value");
}

#[test]
fn an_object_is_encoded_once_and_stays_decoded() {
    let engine = Engine::new();
    let users = engine.typed::<User>();
    users.set("u", ann()).unwrap();
    assert_eq!(engine.encoding("u"), Ok(Some(Encoding::Object)));
    let bytes = engine.get("u").unwrap().unwrap();
    for _ in 0..10 {
        assert_eq!(engine.get("u").unwrap().unwrap(), bytes);
        assert_eq!(engine.strlen("u"), Ok(bytes.len() as u64));
    }
    assert_eq!(users.get_with("u", |user| user.age), Ok(Some(30)));
    assert_eq!((engine.stats().encodes, engine.stats().decodes), (1, 0));
    engine.copy("u", &engine, "v", false).unwrap();
    assert_eq!(*users.get("v").unwrap().unwrap(), ann());
    assert_eq!(engine.stats().decodes, 0, "a copy takes the object along");
}

#[test]
fn bytes_of_an_object_are_read_without_room_for_them() {
    let engine = Engine::builder().max_entries(1).policy(Policy::NoEviction).build().unwrap();
    engine.typed::<String>().set("k", "x".repeat(5_000)).unwrap();
    engine.set_max_memory(Some(engine.memory_usage().total()));
    assert_eq!(engine.strlen("k"), Ok(5_000));
    assert_eq!(engine.get_range("k", 0, 2).unwrap(), "xxx");
    assert_eq!(engine.get("k").unwrap().unwrap().len(), 5_000);
    assert_eq!(engine.get_with("k", <[u8]>::len), Ok(Some(5_000)));
    assert_eq!(engine.encoding("k"), Ok(Some(Encoding::Object)), "there was no room");
    assert_eq!(engine.get_del("k").unwrap().unwrap().len(), 5_000, "and what makes room is not refused");
    assert_eq!(engine.len(), Ok(0));
}

/// A value whose end calls the engine.
struct Loud(u64);

static ENGINE: OnceLock<Engine> = OnceLock::new();
static DROPS: AtomicU64 = AtomicU64::new(0);

impl Drop for Loud {
    fn drop(&mut self) {
        DROPS.fetch_add(1, Ordering::Relaxed);
        if let Some(engine) = ENGINE.get() {
            engine.incr("drops").unwrap();
            engine.typed::<u64>().set("last", self.0).unwrap();
        }
    }
}

impl Serialize for Loud {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(engine) = ENGINE.get() {
            engine.peek("drops").unwrap();
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Loud {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self)
    }
}

#[test]
fn drop_and_serialize_of_a_value_may_call_the_engine() {
    let engine = ENGINE.get_or_init(|| {
        Engine::builder().shards(1).max_entries(6).policy(Policy::AllKeysLru).build().unwrap()
    });
    let loud = engine.typed::<Loud>();
    loud.set("a", Loud(1)).unwrap();
    loud.set("a", Loud(2)).unwrap();
    engine.set("a", "3").unwrap();
    loud.get("a").unwrap();
    engine.append("a", "0").unwrap();
    loud.set_with("a", Loud(4), SetOptions::new().if_absent()).unwrap();
    loud.update("a", |old| old.map(|old| Loud(old.0 + 1))).unwrap();
    engine.rename("a", "b").unwrap();
    engine.get("b").unwrap();
    engine.remove("b").unwrap();
    for i in 0..20 {
        loud.set(format!("k{i}"), Loud(i)).unwrap();
    }
    engine.flush().unwrap();
    engine.maintain(crate::Budget::default());
    assert!(DROPS.load(Ordering::Relaxed) >= 24);
    engine.validate();
}

#[test]
fn update_sees_every_form_and_keeps_the_expiry() {
    let engine = Engine::new();
    let numbers = engine.typed::<u64>();
    engine.set_with("n", "41", SetOptions::new().ttl(std::time::Duration::from_secs(60))).unwrap();
    assert_eq!(*numbers.update("n", |n| n.map(|n| n + 1)).unwrap().unwrap(), 42);
    assert!(matches!(engine.ttl("n"), Ok(crate::Ttl::After(_))));
    assert_eq!(engine.get("n").unwrap().unwrap(), "42");
    assert_eq!(numbers.update("n", |_| None), Ok(None));
    assert_eq!(engine.exists("n"), Ok(false));
    engine.set("n", "text").unwrap();
    assert!(matches!(numbers.update("n", |_| Some(1)), Err(OpError::Codec { .. })));
    let (threads, rounds) = (4, 500);
    engine.set("n", "0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope
                .spawn(|| (0..rounds).for_each(|_| drop(numbers.update("n", |n| n.map(|n| n + 1)).unwrap())));
        }
    });
    assert_eq!(numbers.get_with("n", |&n| n), Ok(Some(threads * rounds)), "none is lost");
}

#[test]
fn updates_without_a_key_are_weighed() {
    let engine =
        Engine::builder().shards(1).max_weight(10, |_, _| 4).policy(Policy::AllKeysLru).build().unwrap();
    for i in 0..5 {
        engine.typed::<u64>().update(format!("k{i}"), |_| Some(1)).unwrap();
    }
    assert_eq!(engine.len(), Ok(2));
}

#[test]
fn a_value_that_cannot_be_encoded_is_refused_and_changes_nothing() {
    let engine = Engine::new();
    engine.set("x", "1").unwrap();
    assert!(matches!(engine.typed::<f64>().set("x", f64::NAN), Err(OpError::Codec { .. })));
    assert_eq!(engine.get("x").unwrap().unwrap(), "1");
    let reentered = catch_unwind(AssertUnwindSafe(|| {
        engine.typed::<f64>().set("x", 2.5).unwrap();
        engine.typed::<f64>().get_with("x", |_| engine.exists("x")).map(drop)
    }));
    assert!(reentered.is_err(), "a typed closure in place must not call either");
    assert_eq!(engine.get("x").unwrap().unwrap(), "2.5");
}
