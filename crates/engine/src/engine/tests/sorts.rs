//! SORT over every type that it takes, and over the keys that its patterns name.

use bytes::Bytes;

use crate::{Engine, OpError, SortOptions};

fn shown(told: Result<Vec<Option<Bytes>>, OpError>) -> String {
    let words = told.expect("sorted").into_iter().map(|one| match one {
        Some(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
        None => "nil".to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn engine() -> Engine {
    let engine = Engine::new();
    engine.list::<u32>("list").extend_back([3, 1, 2, 10]).unwrap();
    for (key, weight, name) in [(1, 5, "one"), (2, 3, "two"), (10, 4, "ten")] {
        let hash = engine.hash::<String, String>(format!("h_{key}"));
        hash.set("weight", weight.to_string()).unwrap();
        hash.set("name", name).unwrap();
    }
    engine
}

#[test]
fn elements_themselves() {
    let engine = engine();
    let sort = |options| shown(engine.sort("list", options));
    assert_eq!(sort(SortOptions::new()), "1 2 3 10");
    assert_eq!(sort(SortOptions::new().alphabetical(true)), "1 10 2 3");
    assert_eq!(sort(SortOptions::new().descending(true).limit(1, 2)), "3 2");
    assert_eq!(sort(SortOptions::new().by("nosort").descending(true)), "10 2 1 3");
    assert_eq!(sort(SortOptions::new().limit(-3, 1)), "1");
    assert_eq!(sort(SortOptions::new().limit(i64::MAX, i64::MAX)), "");
    assert_eq!(shown(engine.sort("none", SortOptions::new())), "");
}

#[test]
fn fields_of_hashes_and_values_of_keys() {
    let engine = engine();
    let by = SortOptions::new().by("h_*->weight");
    let sort = |options| shown(engine.sort("list", options));
    assert_eq!(sort(by), "3 2 10 1", "what has no weight has the weight zero");
    assert_eq!(sort(by.get(&[b"#", b"h_*->name"])), "3 nil 2 two 10 ten 1 one");
    assert_eq!(sort(SortOptions::new().by("h_*->name").alphabetical(true)), "3 1 10 2");
    engine.set("h_3", "a string has no field").unwrap();
    assert_eq!(sort(by.get(&[b"h_*", b"h_*->name"]).limit(0, 2)), "a string has no field nil nil two");
    engine.set("w_2", "heavy").unwrap();
    assert_eq!(engine.sort("list", SortOptions::new().by("w_*")), Err(OpError::NotAFloat));
    assert_eq!(sort(SortOptions::new().by("w_*").alphabetical(true)), "3 1 10 2");
}

#[test]
fn sorted_sets_keep_their_order_where_nothing_is_sorted() {
    let engine = Engine::new();
    let set = engine.sorted_set::<String>("set");
    for (score, member) in [(3.0, "a"), (1.0, "b"), (2.0, "c"), (10.0, "d")] {
        set.add(member, score).unwrap();
    }
    let sort = |options| shown(engine.sort("set", options));
    let kept = SortOptions::new().by("nosort");
    assert_eq!(sort(kept), "b c a d");
    assert_eq!(sort(kept.limit(1, 2)), "c a");
    assert_eq!(sort(kept.descending(true).limit(1, 2)), "a c");
    assert_eq!(sort(SortOptions::new().alphabetical(true).descending(true)), "d c b a");
    assert_eq!(engine.sort("set", SortOptions::new()), Err(OpError::NotAFloat));
}

#[test]
fn stored_results_replace_whatever_was_there() {
    let engine = engine();
    engine.set("to", "a string").unwrap();
    let names = SortOptions::new().get(&[b"h_*->name"]);
    assert_eq!(engine.sort_store("list", names, "to"), Ok(4));
    assert_eq!(engine.list::<String>("to").range(0, -1).unwrap(), ["one", "two", "", "ten"]);
    assert_eq!(engine.sort_store("list", SortOptions::new(), "list"), Ok(4), "onto itself");
    assert_eq!(engine.list::<u32>("list").range(0, -1).unwrap(), [1, 2, 3, 10]);
    assert_eq!(engine.sort_store("none", SortOptions::new(), "to"), Ok(0));
    assert!(!engine.exists("to").unwrap());
    engine.set("string", "x").unwrap();
    assert!(matches!(engine.sort("string", SortOptions::new()), Err(OpError::WrongType { .. })));
    assert!(matches!(engine.sort_store("string", names, "to"), Err(OpError::WrongType { .. })));
    engine.validate();
}
