//! An engine beside its model: runs a step on both, compares answers, then everything.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::model::{Entry, Model, Place};
use super::steps::{Op, Step};
use crate::{
    Builder, CacheToken, Clock, Encoding, Engine, ManualClock, OpError, Origin, Policy, RemovalCause, Stats,
    UnixMillis,
};

/// Databases of the world: three numbered ones and a named keyspace.
const DATABASES: usize = 4;

/// One call of the removal listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) database: u16,
    pub(super) key: Vec<u8>,
    pub(super) cause: RemovalCause,
}

/// A token that was drawn, and what the model needs to judge it.
#[derive(Debug, Clone)]
pub(super) struct Drawn {
    pub(super) token: CacheToken,
    pub(super) key: usize,
    pub(super) origin: Origin,
    pub(super) since: usize,
}

pub(super) struct World {
    pub(super) dbs: Vec<Engine>,
    pub(super) model: Model,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) tokens: Vec<Drawn>,
    pub(super) ordered: bool,
    /// Under limits keys may vanish and writes may be refused.
    pub(super) limited: bool,
    pub(super) clock: ManualClock,
    events: Arc<Mutex<Vec<Event>>>,
    before: Stats,
}

impl World {
    pub(super) fn new(builder: Builder, ordered: bool, limited: bool) -> Self {
        let clock = ManualClock::new(UnixMillis(1_000_000));
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&events);
        let engine = builder
            .clock(clock.clone())
            .seed(7)
            .databases(3)
            .ordered_index(ordered)
            .on_removal(move |removal| {
                let (database, key, cause) = (removal.database, removal.key.to_vec(), removal.cause);
                heard.lock().push(Event { database, key, cause });
            })
            .build()
            .unwrap();
        let mut dbs: Vec<Engine> = (0..3).map(|db| engine.select(db).unwrap()).collect();
        dbs.push(engine.keyspace("named").unwrap());
        let model = Model { now: clock.now().0, ..Model::default() };
        let before = engine.stats();
        let keys = keys();
        Self { dbs, model, keys, tokens: Vec::new(), ordered, limited, clock, events, before }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.dbs[0]
    }

    pub(super) fn place(&self, step: &Step) -> Place {
        (step.db, self.keys[step.key].clone())
    }

    pub(super) fn to_place(&self, step: &Step) -> Place {
        (step.to_db, self.keys[step.to].clone())
    }

    /// Gives `Some` of what an operation returned, or `None` where the limit refused it.
    pub(super) fn granted<R>(&self, result: Result<R, OpError>) -> Option<R> {
        match result {
            Ok(done) => Some(done),
            Err(OpError::OutOfMemory { .. }) if self.limited => None,
            Err(error) => panic!("unexpected: {error}"),
        }
    }

    /// Checks an answer; where the limit refused the operation, says so.
    pub(super) fn check<R: PartialEq + std::fmt::Debug>(&self, got: Result<R, OpError>, want: R) -> bool {
        match self.granted(got) {
            Some(got) => {
                assert_eq!(got, want);
                true
            }
            None => false,
        }
    }

    /// Checks an answer that may be an error, too.
    pub(super) fn check_result<R: PartialEq + std::fmt::Debug>(
        &self,
        got: Result<R, OpError>,
        want: Result<R, OpError>,
    ) -> bool {
        if self.limited && matches!(got, Err(OpError::OutOfMemory { .. })) {
            return false;
        }
        assert_eq!(got, want);
        true
    }

    /// Runs one step and compares everything.
    pub(super) fn run(&mut self, step: &Step) {
        let before = self.limited.then(|| self.model.clone());
        self.apply(step);
        self.engine().validate();
        self.compare(step, before.as_ref());
        self.check_events(step);
    }

    fn apply(&mut self, step: &Step) {
        let done = self.apply_string(step)
            || self.apply_number(step)
            || self.apply_key(step)
            || self.apply_time(step)
            || self.apply_scan(step)
            || self.apply_copies(step)
            || self.apply_typed(step);
        assert!(done, "nobody runs {:?}", step.op);
    }

    /// Every key of the model is in the engine and the other way round, with the same bytes and deadline.
    fn compare(&mut self, step: &Step, before: Option<&Model>) {
        for (db, engine) in self.dbs.clone().iter().enumerate() {
            let mut found = engine.keys("*").unwrap();
            found.sort_unstable();
            for key in self.model.keys(db) {
                if found.binary_search(&key).is_err() {
                    self.lose(step, (db, key), before);
                }
            }
            assert_eq!(found, self.model.keys(db), "keys of database {db}");
            if self.limited {
                self.lose_negatives(step, db, engine, before);
            }
            for key in found {
                let place = (db, key);
                let entry = self.model.entries.get_mut(&place).unwrap();
                assert_eq!(engine.peek(&place.1).unwrap().unwrap(), entry.bytes, "value of {place:?}");
                let deadline = engine.expire_time(&place.1).unwrap().unwrap().map(|at| at.0);
                // Whether an operation counts as a read is tested by name; here both are right.
                if entry.times.idle.is_some() && deadline == entry.times.touched(self.model.now).deadline {
                    entry.times = entry.times.touched(self.model.now);
                }
                assert_eq!(deadline, entry.times.deadline, "deadline of {place:?}");
                assert_form(engine, &place.1, entry);
            }
        }
    }

    /// Whether the operation under way has evicted this key.
    pub(super) fn was_evicted(&self, place: &Place) -> bool {
        self.events.lock().iter().any(|event| {
            let there = (usize::from(event.database), &event.key) == (place.0, &place.1);
            there && event.cause == RemovalCause::Evicted
        })
    }

    /// Forgets a key that the operation under way has evicted.
    pub(super) fn forget_evicted(&mut self, place: &Place) {
        let evicted = self.was_evicted(place);
        if let Some(lost) = self.model.entries.remove(place) {
            let policy = self.engine().policy();
            let may_go = lost.pins == 0 && (!policy.is_volatile() || lost.times.deadline.is_some());
            assert!(!evicted || may_go, "{place:?} was evicted under {policy}");
            if !evicted {
                self.model.entries.insert(place.clone(), lost);
            }
        }
    }

    /// Negative copies are not among the keys, and may be evicted like them.
    fn lose_negatives(&mut self, step: &Step, db: usize, engine: &Engine, before: Option<&Model>) {
        let negative =
            self.model.entries.iter().filter(|(place, entry)| place.0 == db && entry.is_negative());
        let places: Vec<Place> = negative.map(|(place, _)| place.clone()).collect();
        for place in places {
            if engine.lookup(&place.1).unwrap() == crate::Lookup::Miss {
                self.lose(step, place, before);
            }
        }
    }

    /// A key has vanished: only eviction may do that, and not to everybody.
    fn lose(&mut self, step: &Step, place: Place, before: Option<&Model>) {
        assert!(self.limited, "{place:?} has vanished");
        let policy = self.engine().policy();
        assert_ne!(policy, Policy::NoEviction, "{place:?} has vanished");
        let lost = self.model.entries.remove(&place).unwrap();
        let was = before.and_then(|before| before.entries.get(&place)).unwrap_or(&lost);
        assert!(lost.pins == 0 || was.pins == 0, "{place:?} was pinned");
        let volatile = lost.times.deadline.is_some() || was.times.deadline.is_some();
        // SWAPDB lets the key that was lost have another name than the one that was evicted.
        assert!(!policy.is_volatile() || volatile || step.op == Op::Swap, "{place:?} has no TTL");
    }

    /// Follows a change of the limits or of the policy, which may have evicted.
    pub(super) fn settle(&mut self) {
        self.engine().validate();
        for (place, entry) in std::mem::take(&mut self.model.entries) {
            // A peek changes nothing; it does not see negative copies.
            let engine = &self.dbs[place.0];
            let there = match entry.is_negative() {
                true => engine.lookup(&place.1).unwrap() == crate::Lookup::Negative,
                false => engine.peek(&place.1).unwrap().is_some(),
            };
            let policy = self.engine().policy();
            let may_go = entry.pins == 0 && (!policy.is_volatile() || entry.times.deadline.is_some());
            assert!(
                there || (may_go && policy != Policy::NoEviction),
                "{place:?} has vanished under {policy}"
            );
            if there {
                self.model.entries.insert(place, entry);
            }
        }
        self.events.lock().clear();
        self.before = self.engine().stats();
    }

    /// Every removal is told once, and counted.
    fn check_events(&mut self, step: &Step) {
        let events = std::mem::take(&mut *self.events.lock());
        let count = |cause| events.iter().filter(|event| event.cause == cause).count() as u64;
        let (before, after) = (self.before.clone(), self.engine().stats());
        // A key that moves is taken out of one place without an event.
        let moves = matches!(step.op, Op::Rename | Op::RenameIfAbsent | Op::MoveTo);
        let silent = after.deletions - before.deletions - count(RemovalCause::Deleted);
        assert!(silent <= u64::from(moves), "deletions");
        let removed = after.deletions + after.expired_keys + after.evicted_keys() + after.invalidated;
        assert_eq!(after.insertions - removed, after.keys, "what came in and did not go is there");
        assert_eq!(count(RemovalCause::Expired), after.expired_keys - before.expired_keys, "expirations");
        assert_eq!(count(RemovalCause::Evicted), after.evicted_keys() - before.evicted_keys(), "evictions");
        assert_eq!(count(RemovalCause::Invalidated), after.invalidated - before.invalidated, "invalidations");
        assert!(count(RemovalCause::Replaced) <= after.updates - before.updates, "updates");
        for event in &events {
            let gone = event.cause == RemovalCause::Evicted || event.cause == RemovalCause::Expired;
            // What a step evicted to make room for that very key may have come back with it.
            if gone && step.op != Op::Swap {
                let place = (usize::from(event.database), event.key.clone());
                let named = place.1 == self.keys[step.key] || place.1 == self.keys[step.to];
                let stored_now = named
                    || matches!(step.op, Op::InsertIf | Op::TypedInsertIf)
                    || self.batch(step).contains(&place);
                assert!(stored_now || self.model.see(&place).is_none(), "{event:?} is still there");
            }
        }
        self.before = after;
    }

    /// The places that a batch step names.
    pub(super) fn batch(&self, step: &Step) -> Vec<Place> {
        let count = 1 + step.flags % 5;
        (0..count).map(|i| (step.db, self.keys[(step.key + i * (step.to + 1)) % 12].clone())).collect()
    }

    /// Maintains until nothing is due.
    pub(super) fn maintain_all(&mut self, keys: u32) {
        for _ in 0..100_000 {
            let remaining = self.engine().maintain(crate::Budget::keys(keys));
            if !remaining.due {
                assert!(remaining.next.is_none_or(|next| next.0 > self.model.now));
                return;
            }
        }
        panic!("maintenance does not end");
    }

    pub(super) fn advance(&mut self, span_ms: u64) {
        self.clock.advance(Duration::from_millis(span_ms));
        self.model.now = self.clock.now().0;
        self.model.pass_time();
    }

    pub(super) fn step_back(&mut self, span_ms: u64) {
        // What the engine has not removed yet would come back to life.
        self.maintain_all(1_000);
        self.model.now -= span_ms.min(1_000);
        self.clock.set(UnixMillis(self.model.now));
    }
}

fn assert_form(engine: &Engine, key: &[u8], entry: &Entry) {
    use super::model::Form;
    let short = entry.bytes.len() <= 44;
    let text = if short { Encoding::Embstr } else { Encoding::Raw };
    let plain = if super::model::integer(&entry.bytes).is_some() { Encoding::Int } else { text };
    let found = engine.encoding(key).unwrap().unwrap();
    match entry.form {
        Form::Plain => assert_eq!(found, plain, "{key:?}"),
        Form::Text => assert_eq!(found, text, "{key:?}"),
        Form::Grown => assert_eq!(found, Encoding::Raw, "{key:?}"),
        Form::Object => assert!(found == Encoding::Object || found == plain, "{key:?}: {found:?}"),
    }
}

/// Short, long, binary, empty, with glob characters, with common prefixes.
fn keys() -> Vec<Vec<u8>> {
    let texts =
        ["a", "b", "", "user:1", "user:2", "user:10", "*x[", "n", "key of middling length, not inline"];
    let mut keys: Vec<Vec<u8>> = texts.iter().map(|key| key.as_bytes().to_vec()).collect();
    keys.extend([vec![0, 255, 10], vec![b'k'; 300], vec![b'k'; 299]]);
    keys
}

#[test]
fn keys_do_not_share_a_fill_counter() {
    let world = World::new(Engine::builder(), false, false);
    let mut counters: Vec<u64> =
        world.keys.iter().map(|key| world.engine().core.hash(key).0 % 4_096).collect();
    counters.sort_unstable();
    counters.dedup();
    assert_eq!(counters.len(), world.keys.len(), "the model judges tokens exactly only then");
    assert_eq!(world.dbs.len(), DATABASES);
}
