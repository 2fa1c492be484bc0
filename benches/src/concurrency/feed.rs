//! What a change feed costs a write.
//!
//! Every row has an engine of its own with the same keys, so that rows differ in who listens alone. A reader of the same thread
//! takes what came between the chunks, which is timed for itself; a reader of another thread is woken, and shares the queue's
//! lock with the writer; a handler runs inside of the write. Nothing is missed, and that is checked, but for the reader of another
//! thread: it may fall behind, and what it missed is told.

use super::slices::{Hand, Plan, Variant, measure};
use crate::collections::{element, score};
use crate::peers::contest::Outcome;
use larder::{ChangeFilter, Delivery, Engine};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The row that the others are held against.
pub const NEVER: &str = "no feed ever built";
/// Bytes of a value that is set.
pub const VALUE_BYTES: usize = 100;
/// Keys, or members of the sorted set.
pub const KEYS: u64 = 1_000;
/// Writes between two times of taking the changes; fewer than a queue holds.
const CHUNK: u32 = 256;

/// Which write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// `set` of 100 bytes over a value of that length.
    Set,
    /// `sorted_set.add` of a member that is there, with another score.
    Add,
}

impl Write {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Set => "set of 100 B",
            Self::Add => "sorted_set.add",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listener {
    Never,
    Gone,
    Elsewhere,
    Reader,
    Readers(usize),
    Thread,
    Handler,
    Events,
}

const LISTENERS: [(Listener, &str); 8] = [
    (Listener::Never, NEVER),
    (Listener::Gone, "subscriber dropped"),
    (Listener::Elsewhere, "one whose filter does not match"),
    (Listener::Reader, "one that matches, drained between writes"),
    (Listener::Readers(10), "ten that match, drained between writes"),
    (Listener::Thread, "one that matches, drained by another thread"),
    (Listener::Handler, "a handler that counts"),
    (Listener::Events, "keyspace events on (KEA), nobody subscribed"),
];

/// Measures every row; and how many changes the reader of another thread missed, of how many.
pub fn measure_cell(write: Write, plan: &Plan) -> (Vec<Outcome>, (u64, u64)) {
    let (missed, taken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let variant = |(listener, name)| {
        let engine = Engine::builder().seed(1).build().expect("the settings are valid");
        let writes = writer(&engine, write);
        Variant::new(name, CHUNK, vec![listened(&engine, listener, writes, [&missed, &taken])])
    };
    let mut variants: Vec<Variant> = LISTENERS.into_iter().map(variant).collect();
    let outcomes = measure(&mut variants, plan);
    // The reader's thread has ended with the last handle of its engine.
    drop(variants);
    let missed = missed.load(Ordering::Acquire);
    (outcomes, (missed, missed + taken.load(Ordering::Acquire)))
}

fn writer(engine: &Engine, write: Write) -> Box<dyn FnMut(u64) + Send> {
    let refused = "there is no limit";
    match write {
        Write::Set => {
            let keys: Vec<String> = (0..KEYS).map(|i| format!("user:{i:06}")).collect();
            keys.iter().for_each(|key| engine.set(key, [b'a'; VALUE_BYTES]).expect(refused));
            let (engine, value) = (engine.clone(), [b'b'; VALUE_BYTES]);
            Box::new(move |i| {
                engine.set(&keys[usize::try_from(i % KEYS).expect("small")], value).expect(refused);
            })
        }
        Write::Add => {
            let board = engine.sorted_set::<bytes::Bytes>("user:board").into_owned();
            for i in 0..KEYS {
                board.add(&element(i), score(i)).expect(refused);
            }
            Box::new(move |i| {
                board.add(&element(i % KEYS), score(i + KEYS)).expect(refused);
            })
        }
    }
}

fn listened(
    engine: &Engine,
    listener: Listener,
    writes: Box<dyn FnMut(u64) + Send>,
    [missed, taken]: [&Arc<AtomicU64>; 2],
) -> Hand {
    let hand = Hand::each(writes);
    let all = || ChangeFilter::new().prefix("user:");
    match listener {
        Listener::Never => hand,
        Listener::Gone => {
            drop(engine.changes(all()));
            hand
        }
        Listener::Elsewhere => {
            let mut changes = engine.changes(ChangeFilter::new().prefix("order:"));
            hand.with_aside(move || assert!(changes.try_recv().is_none(), "it asked for others"))
        }
        Listener::Reader => drained(engine, hand, 1, &all),
        Listener::Readers(count) => drained(engine, hand, count, &all),
        Listener::Thread => {
            let mut changes = engine.changes(all().capacity(1 << 16));
            let (missed, taken) = (Arc::clone(missed), Arc::clone(taken));
            let reader = std::thread::spawn(move || {
                while let Some(delivery) = changes.recv() {
                    match delivery {
                        Delivery::Change(change) => {
                            black_box(change);
                            taken.fetch_add(1, Ordering::Release);
                        }
                        Delivery::Lagged { missed: some } => drop(missed.fetch_add(some, Ordering::Release)),
                        other => panic!("a change, or how many were missed, not {other:?}"),
                    }
                }
            });
            hand.at_end(move || reader.join().expect("the reader ends with the engine"))
        }
        Listener::Handler => {
            let (count, mut before) = (Arc::new(AtomicU64::new(0)), 0);
            let seen = Arc::clone(&count);
            let guard = engine.on(all(), move |_, delivery| {
                assert!(delivery.change().is_some(), "it does not fall behind");
                seen.fetch_add(1, Ordering::Relaxed);
            });
            hand.with_aside(move || {
                let _listens = &guard;
                let now = count.load(Ordering::Relaxed);
                assert_eq!(
                    now - std::mem::replace(&mut before, now),
                    u64::from(CHUNK),
                    "every write was told"
                );
            })
        }
        Listener::Events => {
            engine.set_keyspace_events("KEA").expect("known letters");
            hand
        }
    }
}

fn drained(engine: &Engine, hand: Hand, count: usize, filter: &impl Fn() -> ChangeFilter) -> Hand {
    let mut readers: Vec<_> = (0..count).map(|_| engine.changes(filter())).collect();
    hand.with_aside(move || {
        for changes in &mut readers {
            let mut seen = 0;
            while let Some(delivery) = changes.try_recv() {
                assert!(delivery.change().is_some(), "nothing is missed");
                black_box(delivery);
                seen += 1;
            }
            assert_eq!(seen, CHUNK, "every write was told");
        }
    })
}
