//! What every collection gets from the keyspace: type checks, room, stamps, captures, moves, results stored, slow frees,
//! effects. Lists stand for all of them.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::collections::list::List;
use crate::collections::{Body, Collection};
use crate::effect::{Delta, End};
use crate::engine::place::{At, capture, change, read};
use crate::keyspace::collect::Absent;
use crate::{Budget, Engine, ExpireCondition, ManualClock, OpError, Policy, UnixMillis, ValueType};

fn engine() -> Engine {
    let clock = ManualClock::new(UnixMillis(1_000_000));
    Engine::builder().clock(clock).seed(1).shards(4).record_effects(true).build().unwrap()
}

pub(super) fn push(engine: &Engine, key: &str, element: &str) -> Result<usize, OpError> {
    let pushed = change(&At::new(engine, key), Absent::Create, element.len() + 64, |change| {
        let (list, rules, _) = change.parts();
        let list: &mut List = list;
        list.push(End::Tail, element.as_bytes(), rules);
        let len = list.len();
        change.emit(|| Delta::ListPush { end: End::Tail, element: element.as_bytes().into() });
        Ok(len)
    });
    pushed.map(|len| len.expect("created"))
}

fn pop(engine: &Engine, key: &str) -> Result<Option<Vec<u8>>, OpError> {
    let popped = change(&At::new(engine, key), Absent::Skip, 0, |change| {
        let (list, rules, _) = change.parts();
        let list: &mut List = list;
        let element = list.get(0).map(<[u8]>::to_vec);
        list.cut(0..1, rules);
        change.emit(|| Delta::ListPop { end: End::Head, count: 1 });
        Ok(element)
    })?;
    Ok(popped.flatten())
}

pub(super) fn elements(engine: &Engine, key: &str) -> Vec<Vec<u8>> {
    let list: Option<List> = capture(&At::new(engine, key)).unwrap();
    list.map_or_else(Vec::new, |list| list.elements(0..usize::MAX).map(<[u8]>::to_vec).collect())
}

/// The effects so far, applied to an empty engine, make the same state.
fn check_effects(engine: &Engine) {
    let follower = Engine::builder().clock(ManualClock::new(UnixMillis(0))).seed(9).build().unwrap();
    for effect in engine.take_effects() {
        follower.apply(&effect).unwrap();
    }
    follower.validate();
    assert_eq!(follower.state_digest(), engine.state_digest());
}

#[test]
fn a_collection_comes_with_its_first_element_and_goes_with_its_last() {
    let engine = engine();
    assert_eq!(pop(&engine, "l"), Ok(None));
    assert_eq!((push(&engine, "l", "a"), push(&engine, "l", "b")), (Ok(1), Ok(2)));
    assert_eq!(engine.value_type("l"), Ok(Some(ValueType::List)));
    assert_eq!(engine.encoding("l").unwrap().unwrap().name(), "listpack");
    engine.validate();
    assert_eq!((pop(&engine, "l"), pop(&engine, "l")), (Ok(Some(b"a".to_vec())), Ok(Some(b"b".to_vec()))));
    assert_eq!(engine.exists("l"), Ok(false));
    engine.validate();
    check_effects(&engine);
}

#[test]
fn another_type_is_an_error_that_names_both() {
    let engine = engine();
    engine.set("s", "v").unwrap();
    push(&engine, "l", "a").unwrap();
    let wrong = |found: &'static str, expected: &'static str, key: &[u8]| OpError::WrongType {
        key: key.into(),
        expected,
        found,
    };
    assert_eq!(push(&engine, "s", "x"), Err(wrong("string", "list", b"s")));
    assert_eq!(read(&At::new(&engine, "s"), |_: &List, _| ()), Err(wrong("string", "list", b"s")));
    let string = Err(wrong("list", "string", b"l"));
    assert_eq!(engine.get("l").map(|_| ()), string);
    assert_eq!(engine.get_with("l", |_| ()).map(|_| ()), string);
    assert_eq!(engine.incr("l").map(|_| ()), string);
    assert_eq!(engine.append("l", "x").map(|_| ()), string);
    assert_eq!(engine.strlen("l").map(|_| ()), string);
    assert_eq!(engine.get_del("l").map(|_| ()), string);
    assert_eq!(engine.get_range("l", 0, -1).map(|_| ()), string);
    assert_eq!(engine.compare_and_set("l", "a", "b").map(|_| ()), string);
    assert_eq!(engine.remove_if_equal("l", "a").map(|_| ()), string);
    let typed = engine.typed::<String>().get("l");
    assert!(matches!(typed, Err(OpError::WrongType { found: "list", .. })), "{typed:?}");
    assert_eq!(
        engine.get_many(&["s", "l"]).unwrap().iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(elements(&engine, "l"), [b"a"], "nothing was changed");
    engine.set("l", "replaced").unwrap();
    assert_eq!(engine.get("l").unwrap().unwrap(), "replaced");
    engine.validate();
    check_effects(&engine);
}

#[test]
fn keys_of_collections_are_renamed_copied_moved_and_expire() {
    let engine = engine();
    for i in 0..3_000 {
        push(&engine, "big", &format!("element {i}")).unwrap();
    }
    push(&engine, "small", "a").unwrap();
    let before = elements(&engine, "big");
    engine.copy("big", &engine, "copy", false).unwrap();
    engine.copy("small", &engine.select(1).unwrap(), "small", false).unwrap();
    push(&engine, "copy", "more").unwrap();
    assert_eq!(elements(&engine, "big"), before, "a copy is its own");
    engine.rename("big", "other").unwrap();
    assert_eq!(elements(&engine, "other"), before);
    engine.expire_at("other", UnixMillis(2_000_000), ExpireCondition::Always).unwrap();
    assert_eq!(elements(&engine, "other"), before);
    push(&engine, "other", "and one").unwrap();
    assert_eq!(engine.expire_time("other"), Ok(Some(Some(UnixMillis(2_000_000)))));
    engine.validate();
    check_effects(&engine);
    engine.persist("other").unwrap();
    engine.swap_databases(0, 1).unwrap();
    assert_eq!(elements(&engine, "small"), [b"a"]);
    engine.validate();
}

#[test]
fn effects_of_whole_keys_make_the_same_state() {
    let engine = engine();
    push(&engine, "l", "a").unwrap();
    engine.copy("l", &engine, "m", false).unwrap();
    engine.rename("l", "n").unwrap();
    engine.expire_at("m", UnixMillis(5_000_000), ExpireCondition::Always).unwrap();
    engine.set_with("s", "v", crate::SetOptions::new().expire_at(UnixMillis(6_000_000))).unwrap();
    engine.append("s", "w".repeat(10_000)).unwrap();
    engine.set_range("s", 20_000, "end").unwrap();
    engine.incr("n2").unwrap();
    engine.incr("n2").unwrap();
    engine.typed::<(u8, String)>().set("t", (1, "x".into())).unwrap();
    engine.swap_databases(0, 2).unwrap();
    engine.set("after", "swap").unwrap();
    engine.persist("after").unwrap();
    engine.select(2).unwrap().persist("m").unwrap();
    check_effects(&engine);
}

#[test]
fn a_capture_is_not_changed_by_what_comes_after() {
    let engine = engine();
    for i in 0..5_000 {
        push(&engine, "l", &i.to_string()).unwrap();
    }
    let list: List = capture(&At::new(&engine, "l")).unwrap().unwrap();
    let before: Vec<Vec<u8>> = list.elements(0..usize::MAX).map(<[u8]>::to_vec).collect();
    (0..2_500).for_each(|_| drop(pop(&engine, "l").unwrap()));
    engine.validate();
    assert_eq!(list.elements(0..usize::MAX).map(<[u8]>::to_vec).collect::<Vec<_>>(), before);
    assert_eq!(elements(&engine, "l"), before[2_500..]);
}

#[test]
fn large_collections_are_freed_in_steps_and_counted_until_then() {
    let engine = engine();
    for i in 0..40_000 {
        push(&engine, "l", &format!("element number {i}")).unwrap();
    }
    let full = engine.memory_usage();
    assert!(engine.remove("l").unwrap());
    let after = engine.memory_usage();
    assert!(after.retired > 500_000, "{after:?}");
    assert!(after.total() <= full.total());
    engine.validate();
    while engine.maintain(Budget::keys(64)).due {
        assert!(engine.memory_usage().retired > 0);
    }
    assert_eq!(engine.memory_usage().retired, 0);
    engine.validate();
    // Writers do it, too, when nobody maintains.
    for i in 0..40_000 {
        push(&engine, "l", &format!("element number {i}")).unwrap();
    }
    engine.flush().unwrap();
    let writes =
        (0..).take_while(|_| engine.set("k", "v").is_ok() && engine.memory_usage().retired > 0).count();
    assert!((1..1_000).contains(&writes), "{writes}");
}

#[test]
fn the_limit_holds_while_lists_grow() {
    let limit = 1 << 20;
    let engine = Engine::builder().max_memory(limit).policy(Policy::AllKeysLru).seed(3).build().unwrap();
    for i in 0..20_000 {
        push(&engine, &format!("list {}", i % 50), &"x".repeat(i % 300)).unwrap();
        let used = engine.memory_usage().total();
        assert!(used <= limit + limit / 33, "{used} after {i}");
    }
    assert!(engine.stats().evicted_keys() > 0);
    engine.validate();
    let engine = Engine::builder().max_memory(limit).policy(Policy::NoEviction).seed(3).build().unwrap();
    let refused = (0..100_000).find_map(|i| push(&engine, &format!("{}", i % 9), &"y".repeat(100)).err());
    assert!(matches!(refused, Some(OpError::OutOfMemory { .. })));
    engine.validate();
}

fn move_one(engine: &Engine, from: &str, to: &str) -> Option<()> {
    let moved = engine.move_between::<List, Vec<u8>, ()>(
        (from.as_bytes(), to.as_bytes()),
        None,
        |list| list.get(0).map(<[u8]>::len),
        |change| {
            let (list, rules, _) = change.parts();
            let element = list.get(0).map(<[u8]>::to_vec);
            list.cut(0..1, rules);
            change.emit(|| Delta::ListPop { end: End::Head, count: 1 });
            element
        },
        |change, element| {
            let (list, rules, _) = change.parts();
            list.push(End::Tail, &element, rules);
            change.emit(|| Delta::ListPush { end: End::Tail, element: element.into() });
        },
    );
    moved.unwrap()
}

#[test]
fn an_element_moves_between_lists_and_around_one() {
    let engine = engine();
    for element in ["a", "b"] {
        push(&engine, "l", element).unwrap();
    }
    assert_eq!(move_one(&engine, "absent", "l"), None);
    assert_eq!(move_one(&engine, "l", "l"), Some(()));
    assert_eq!(elements(&engine, "l"), [b"b", b"a"]);
    assert_eq!((move_one(&engine, "l", "m"), move_one(&engine, "l", "m")), (Some(()), Some(())));
    assert_eq!(elements(&engine, "m"), [b"b", b"a"]);
    assert_eq!(engine.exists("l"), Ok(false));
    pop(&engine, "m").unwrap();
    engine.expire_at("m", UnixMillis(2_000_000), ExpireCondition::Always).unwrap();
    assert_eq!(move_one(&engine, "m", "m"), Some(()));
    assert_eq!(engine.expire_time("m"), Ok(Some(Some(UnixMillis(2_000_000)))), "a turn keeps the expiry");
    engine.set("s", "v").unwrap();
    let refused =
        engine.move_between::<List, (), ()>((b"m", b"s"), None, |_| Some(1), |_| Some(()), |_, ()| ());
    assert!(matches!(refused, Err(OpError::WrongType { .. })));
    engine.validate();
    check_effects(&engine);
}

/// Joins two lists under a third key.
fn join(engine: &Engine, sources: &[&str], target: &str) -> Result<usize, OpError> {
    engine.derive(
        sources,
        &[ValueType::List],
        (target.as_bytes(), crate::feed::event::SORTSTORE),
        |lists, rules| {
            let mut joined = List::empty(rules);
            for list in lists.iter().flatten().filter_map(List::of) {
                list.elements(0..usize::MAX).for_each(|element| joined.push(End::Tail, element, rules));
            }
            let len = joined.len();
            Ok((Some(joined.into_collection()).filter(|body: &Collection| !body.is_vacant()), len))
        },
    )
}

#[test]
fn a_derived_result_replaces_its_target_or_deletes_it() {
    let engine = engine();
    push(&engine, "a", "1").unwrap();
    push(&engine, "b", "2").unwrap();
    engine.set("t", "string").unwrap();
    assert_eq!(join(&engine, &["a", "b", "absent"], "t"), Ok(2));
    assert_eq!(elements(&engine, "t"), [b"1", b"2"]);
    assert_eq!(join(&engine, &["a", "t"], "a"), Ok(3), "a source may be the target");
    assert_eq!(elements(&engine, "a"), [b"1", b"1", b"2"]);
    assert_eq!(join(&engine, &["absent"], "t"), Ok(0));
    assert_eq!(engine.exists("t"), Ok(false));
    engine.set("s", "v").unwrap();
    assert!(matches!(join(&engine, &["a", "s"], "t"), Err(OpError::WrongType { .. })));
    engine.validate();
    check_effects(&engine);
}

#[test]
fn what_is_derived_is_of_one_moment_while_others_write() {
    // Writers keep the two lists equal in length, by moving a pair at a time through a third; what a join sees of both must
    // always add up.
    let engine = Engine::builder().shards(8).build().unwrap();
    for i in 0..100 {
        push(&engine, "a", &i.to_string()).unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = move_one(&engine, "a", "b");
                let _ = move_one(&engine, "b", "a");
            }
        });
        for _ in 0..2_000 {
            assert_eq!(join(&engine, &["a", "b"], "t"), Ok(100));
        }
        stop.store(true, Ordering::Relaxed);
    });
    engine.validate();
}
