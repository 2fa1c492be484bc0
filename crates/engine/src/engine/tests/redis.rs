//! Rules of Redis 7 that are easily got wrong, one a line.

use std::time::Duration;

use crate::{Encoding, Engine, ExpireCondition, OpError, SetOptions, SetOutcome, Ttl, UnixMillis};

#[test]
fn numbers() {
    let engine = Engine::new();
    for text in ["007", "-0", " 1", "1 ", "+1", "", "1.0", "9223372036854775808", "0x1"] {
        engine.set("k", text).unwrap();
        assert_eq!(engine.incr("k"), Err(OpError::NotAnInteger), "{text:?}");
        assert_eq!(engine.get("k").unwrap().unwrap(), text, "and is what it was");
    }
    engine.set("k", i64::MAX.to_string()).unwrap();
    assert_eq!(engine.incr("k"), Err(OpError::Overflow));
    assert_eq!(engine.decr_by("k", i64::MIN), Err(OpError::Overflow));
    assert_eq!(engine.incr_by("k", -1), Ok(i64::MAX - 1));
    assert_eq!(engine.incr_by("min", i64::MIN), Ok(i64::MIN));
    assert_eq!(engine.decr("min"), Err(OpError::Overflow));
    assert_eq!(engine.incr_by_float("x", "3.0e2").unwrap(), "300");
    assert_eq!(engine.incr("x"), Ok(301), "INCRBYFLOAT leaves text that INCR reads");
    assert_eq!(engine.incr_by_float("x", "abc"), Err(OpError::NotAFloat));
    assert!(!engine.exists("y").unwrap() && engine.incr_by_float("y", " 1").is_err());
    assert!(!engine.exists("y").unwrap(), "a refused INCRBYFLOAT makes no key");
}

#[test]
fn encodings() {
    let engine = Engine::new();
    let encoding = |key: &str| engine.encoding(key).unwrap().map(Encoding::name);
    engine.set("int", "12345").unwrap();
    engine.set("embstr", "x".repeat(44)).unwrap();
    engine.set("raw", "x".repeat(45)).unwrap();
    assert_eq!(["int", "embstr", "raw"].map(encoding), [Some("int"), Some("embstr"), Some("raw")]);
    engine.append("int", "6").unwrap();
    assert_eq!((encoding("int"), engine.incr("int")), (Some("raw"), Ok(123_457)));
    assert_eq!(encoding("int"), Some("int"), "and INCR makes it an integer again");
    engine.append("fresh", "10").unwrap();
    assert_eq!(encoding("fresh"), Some("int"), "APPEND to nothing is SET");
    engine.set_range("range", 0, "10").unwrap();
    assert_eq!(encoding("range"), Some("raw"), "SETRANGE is not");
    engine.copy("range", &engine, "copy", false).unwrap();
    assert_eq!(encoding("copy"), Some("raw"));
}

#[test]
fn setrange() {
    let engine = Engine::new();
    assert_eq!(engine.set_range("k", 5, ""), Ok(0));
    assert!(!engine.exists("k").unwrap(), "nothing written makes nothing");
    assert_eq!(engine.set_range("k", 3, "ab"), Ok(5));
    assert_eq!(engine.get("k").unwrap().unwrap(), "\0\0\0ab");
    assert_eq!(engine.set_range("k", 100, ""), Ok(5), "and pads nothing");
    assert!(matches!(engine.set_range("k", 512 << 20, "x"), Err(OpError::ValueTooLong { .. })));
    assert!(matches!(engine.set_range("k", u64::MAX, "x"), Err(OpError::ValueTooLong { .. })));
    assert_eq!(engine.strlen("k"), Ok(5));
}

#[test]
fn times() {
    let engine = Engine::new();
    let past = UnixMillis(1);
    engine.set("k", "v").unwrap();
    let outcome = engine.set_with("k", "w", SetOptions::new().expire_at(past)).unwrap();
    assert_eq!((outcome, engine.exists("k")), (SetOutcome::Stored { old: None }, Ok(false)));
    engine.set("k", "v").unwrap();
    assert_eq!(engine.expire_at("k", past, ExpireCondition::IfLater), Ok(false), "no TTL is later than any");
    assert_eq!(engine.expire_at("k", past, ExpireCondition::Always), Ok(true));
    assert!(!engine.exists("k").unwrap(), "EXPIRE in the past deletes");
    engine.set_ex("k", Duration::from_secs(100), "1").unwrap();
    for (i, write) in [
        &(|| drop(engine.incr("k"))) as &dyn Fn(),
        &|| drop(engine.append("k", "1")),
        &|| drop(engine.set_range("k", 0, "2")),
        &|| drop(engine.incr_by_float("k", "1")),
        &|| drop(engine.set_with("k", "5", SetOptions::new().keep_ttl())),
        &|| drop(engine.rename("k", "other").and_then(|()| engine.rename("other", "k"))),
    ]
    .into_iter()
    .enumerate()
    {
        write();
        assert!(matches!(engine.ttl("k"), Ok(Ttl::After(_))), "write {i} keeps the expiry");
    }
    engine.get_set("k", "w").unwrap();
    assert_eq!(engine.ttl("k"), Ok(Ttl::Never), "GETSET takes it away");
}

#[test]
fn names() {
    let engine = Engine::new();
    assert_eq!(engine.rename("k", "k"), Err(OpError::NoSuchKey));
    engine.set("k", "v").unwrap();
    assert_eq!(engine.rename("k", "k"), Ok(()), "onto itself");
    assert_eq!(engine.rename_if_absent("k", "k"), Ok(false));
    assert_eq!(engine.copy("k", &engine, "k", true), Err(OpError::SameObject));
    assert_eq!(engine.move_to("k", &engine), Err(OpError::SameObject));
    let other = engine.select(1).unwrap();
    assert_eq!(engine.copy("k", &other, "k", false), Ok(true), "the same name in another database");
    assert_eq!(engine.move_to("k", &other), Ok(false), "taken there");
    assert!(matches!(engine.copy("k", &Engine::new(), "k", true), Err(OpError::InvalidArgument(_))));
    assert!(matches!(engine.select(16), Err(OpError::NoSuchDatabase { index: 16, databases: 16 })));
}
