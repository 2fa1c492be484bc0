//! What is stored from several keys (`derive`, `derive_string`) was computed from them as they are when it is stored.
//!
//! The computation is the test's own, so it can play the writer that comes between: outside of the locks by itself, and
//! after a run that was refused for want of room by the listener that hears of the evictions.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::doors::{elements, push};
use crate::collections::Body;
use crate::collections::list::List;
use crate::effect::End;
use crate::engine::combine::{Derived, StringHeld};
use crate::engine::multi::OPTIMISTIC_TRIES;
use crate::{Engine, ManualClock, OpError, Policy, RemovalCause, SetOptions, UnixMillis, ValueType};

/// So much that other entries must go for it.
const PADDING: usize = 200_000;

/// Stores the list `a` under `t`, with `between` called before each computation, and something large behind it.
fn store_list(engine: &Engine, padding: usize, mut between: impl FnMut()) -> Result<usize, OpError> {
    engine.derive(&["a"], &[ValueType::List], (b"t", crate::feed::event::SORTSTORE), |lists, rules| {
        between();
        let mut copy = List::empty(rules);
        let source = lists[0].as_ref().and_then(List::of);
        source.into_iter().for_each(|list| {
            list.elements(0..usize::MAX).for_each(|element| copy.push(End::Tail, element, rules));
        });
        let len = copy.len();
        if padding > 0 {
            copy.push(End::Tail, &vec![b'x'; padding], rules);
        }
        Ok((Some(copy.into_collection()).filter(|body| !body.is_vacant()), len))
    })
}

/// The same with strings.
fn store_string(engine: &Engine, padding: usize, mut between: impl FnMut()) -> Result<usize, OpError> {
    engine.derive_string(&["a"], (b"t", crate::feed::event::SET), |strings| {
        between();
        let mut bytes = strings[0].as_ref().map(StringHeld::to_vec).unwrap_or_default();
        let len = bytes.len();
        bytes.resize(len + padding, b'x');
        let derived =
            if bytes.is_empty() { Derived::Nothing } else { Derived::New(StringHeld::Flat(bytes.into())) };
        Ok((derived, len))
    })
}

fn string(engine: &Engine, key: &str) -> Vec<u8> {
    engine.get(key).unwrap().map_or_else(Vec::new, |bytes| bytes.to_vec())
}

#[test]
fn a_list_that_changed_during_the_computation_is_read_anew() {
    let changes: [fn(&Engine); 3] = [
        |engine| {
            push(engine, "a", "more").unwrap();
        },
        |engine| assert!(engine.remove("a").unwrap()),
        |engine| {
            assert!(engine.remove("a").unwrap());
            push(engine, "a", "another").unwrap();
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let engine = Engine::builder().seed(1).build().unwrap();
        push(&engine, "a", "1").unwrap();
        let computed = Cell::new(0);
        let told = store_list(&engine, 0, || {
            computed.set(computed.get() + 1);
            if computed.get() == 1 {
                change(&engine);
            }
        });
        assert_eq!(computed.get(), 2, "change {number}");
        assert_eq!(elements(&engine, "t"), elements(&engine, "a"), "change {number}");
        assert_eq!(told, Ok(elements(&engine, "a").len()), "change {number}");
    }
    // One that was not there may have come.
    let engine = Engine::builder().seed(1).build().unwrap();
    let told = store_list(&engine, 0, || {
        if !engine.exists("a").unwrap() {
            push(&engine, "a", "1").unwrap();
        }
    });
    assert_eq!((told, elements(&engine, "t")), (Ok(1), vec![b"1".to_vec()]));
}

#[test]
fn a_string_that_changed_during_the_computation_is_read_anew() {
    let engine = Engine::builder().seed(1).build().unwrap();
    engine.set("a", "some").unwrap();
    for change in ["append", "remove", "set"] {
        let computed = Cell::new(0);
        let told = store_string(&engine, 0, || {
            computed.set(computed.get() + 1);
            match change {
                _ if computed.get() > 1 => {}
                "append" => assert!(engine.append("a", "more").unwrap() > 4),
                "remove" => assert!(engine.remove("a").unwrap()),
                _ => assert!(engine.set("a", "new").is_ok()),
            }
        });
        assert_eq!(computed.get(), 2, "{change}");
        assert_eq!(string(&engine, "t"), string(&engine, "a"), "{change}");
        assert_eq!(told, Ok(string(&engine, "a").len()), "{change}");
    }
}

/// `store_list` or `store_string`.
type Storing = fn(&Engine, usize, &mut dyn FnMut()) -> Result<usize, OpError>;

/// An engine that is full of what may be evicted. When it evicts something after `armed` was set, `rival` is called, once.
struct Crowd {
    engine: Arc<OnceLock<Engine>>,
    armed: Arc<AtomicBool>,
}

impl Crowd {
    fn new(rival: fn(&Engine)) -> Self {
        let (engine, armed) = (Arc::new(OnceLock::<Engine>::new()), Arc::new(AtomicBool::new(false)));
        let (inner, asked) = (Arc::clone(&engine), Arc::clone(&armed));
        let made = Engine::builder()
            .clock(ManualClock::new(UnixMillis(1_000_000)))
            .seed(1)
            .shards(4)
            .max_memory(1 << 20)
            .policy(Policy::VolatileLru)
            .on_removal(move |removal| {
                if removal.cause == RemovalCause::Evicted && asked.swap(false, Ordering::Relaxed) {
                    rival(inner.get().expect("evictions begin after it was made"));
                }
            })
            .build()
            .unwrap();
        let filled = engine.get_or_init(|| made);
        let mortal = || SetOptions::new().expire_at(UnixMillis(9_000_000));
        for i in 0..2_000 {
            filled.set_with(format!("{i}"), "y".repeat(1_000), mortal()).unwrap();
        }
        Self { engine, armed }
    }

    fn engine(&self) -> &Engine {
        self.engine.get().expect("`new` made it")
    }

    /// Lets a writer win until the result is computed under the locks, and then the rival when that is refused.
    fn store(&self, write: fn(&Engine), store: Storing) -> usize {
        let mut computed = 0;
        let told = store(self.engine(), PADDING, &mut || {
            computed += 1;
            if computed <= OPTIMISTIC_TRIES {
                write(self.engine());
            } else if computed == OPTIMISTIC_TRIES + 1 {
                self.armed.store(true, Ordering::Relaxed);
            }
        });
        assert!(!self.armed.load(Ordering::Relaxed), "the result was refused, and the rival has written");
        assert!(computed > OPTIMISTIC_TRIES + 1, "computed {computed} times");
        self.engine().validate();
        told.unwrap()
    }
}

#[test]
fn a_list_computed_under_the_locks_is_computed_anew_when_it_was_refused() {
    let crowd = Crowd::new(|engine| {
        push(engine, "a", "late").unwrap();
    });
    push(crowd.engine(), "a", "1").unwrap();
    let told = crowd.store(
        |engine| {
            push(engine, "a", "more").unwrap();
        },
        |engine, padding, between| store_list(engine, padding, between),
    );
    let (mut stored, source) = (elements(crowd.engine(), "t"), elements(crowd.engine(), "a"));
    assert_eq!(stored.pop().map(|last| last.len()), Some(PADDING));
    assert_eq!(source.last().map(Vec::as_slice), Some(b"late".as_slice()));
    assert_eq!((stored.len(), stored), (told, source));
}

#[test]
fn a_string_computed_under_the_locks_is_computed_anew_when_it_was_refused() {
    let crowd = Crowd::new(|engine| {
        engine.append("a", " late").unwrap();
    });
    crowd.engine().set("a", "1").unwrap();
    let told = crowd.store(
        |engine| {
            engine.append("a", " more").unwrap();
        },
        |engine, padding, between| store_string(engine, padding, between),
    );
    let (stored, source) = (string(crowd.engine(), "t"), string(crowd.engine(), "a"));
    assert!(source.ends_with(b" late"));
    assert_eq!((&stored[..told], stored.len() - told), (source.as_slice(), PADDING));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "threads must come between each other")]
fn a_stored_result_never_gives_way_to_an_older_one() {
    const ROUNDS: usize = 150;
    // The source only grows, so a copy that becomes shorter was made from a source that was none any more. Each rival
    // takes another time over its computation.
    let engine = Engine::builder().shards(8).build().unwrap();
    push(&engine, "a", "0").unwrap();
    let seen = AtomicUsize::new(0);
    let (engine, seen) = (&engine, &seen);
    std::thread::scope(|scope| {
        let rivals = [10, 200, 700].map(|micros| {
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    store_list(engine, 0, || std::thread::sleep(Duration::from_micros(micros))).unwrap();
                    let before = seen.load(Ordering::SeqCst);
                    let len = elements(engine, "t").len();
                    assert!(len >= before, "{len} elements after {before}");
                    seen.fetch_max(len, Ordering::SeqCst);
                }
            })
        });
        while rivals.iter().any(|rival| !rival.is_finished()) {
            push(engine, "a", "more").unwrap();
            std::thread::sleep(Duration::from_micros(300));
        }
    });
    engine.validate();
}
