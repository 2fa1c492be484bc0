//! An engine and the model side by side: each operation goes to both, and the answers must agree.

use std::time::Duration;

use larder::{
    Budget, Clock, Engine, ExpireCondition, ManualClock, OpError, Policy, ScanOptions, SetOptions, Ttl,
    UnixMillis,
};

use crate::model::{Answer, Model, Refusal};
use crate::operation::{
    Condition, Database, Expiry, Key, Limit, Operation, Place, Reading, Setup, When, pair_places, together,
};

const START: UnixMillis = UnixMillis(1_704_067_200_000);
/// The least limit that the builder takes, and what each step adds to it.
const MEMORY_MIN_BYTES: u64 = 64 * 1024;
const MEMORY_STEP_BYTES: u64 = 8 * 1024;
/// More than any input has keys: one round settles everything that is due.
const ALL_KEYS: u32 = 100_000;

#[derive(Debug)]
pub(crate) struct Driver {
    engine: Handles,
    clock: ManualClock,
    model: Model,
    /// With a limit, keys may vanish (F3).
    bounded: bool,
    /// The number of the operation, for messages.
    step: usize,
}

impl Driver {
    pub(crate) fn new(setup: Setup) -> Self {
        let clock = ManualClock::new(START);
        let mut builder = Engine::builder().clock(clock.clone()).seed(1).shards(1 << setup.shards_log2);
        match setup.limit {
            Limit::None => {}
            Limit::Entries(count) => builder = builder.max_entries(count.into()),
            Limit::Memory(steps) => {
                builder = builder.max_memory(MEMORY_MIN_BYTES + u64::from(steps) * MEMORY_STEP_BYTES);
            }
        }
        let bounded = setup.limit != Limit::None;
        if bounded {
            builder = builder.policy(Policy::ALL[usize::from(setup.policy) % Policy::ALL.len()]);
        }
        let engine = builder.build().expect("every setup of the fuzz format is a valid one");
        let handle = |db: u8| engine.select(db.into()).expect("there are sixteen databases");
        let engine = Handles((0..Database::COUNT).map(handle).collect());
        Self { engine, clock, model: Model::new(START.0), bounded, step: 0 }
    }

    /// Gives one operation to both and compares.
    pub(crate) fn run(&mut self, operation: &Operation) {
        let keys = operation.places();
        if self.bounded {
            keys.iter().for_each(|key| self.learn_of_eviction(key));
        }
        let answer = call(&self.engine, &self.clock, operation);
        match (&answer, operation) {
            (Err(Refusal::OutOfMemory), _) => {
                assert!(self.bounded, "step {}: {operation:?} is out of memory without a limit", self.step);
            }
            (Ok(Answer::Keys(found)), _) if self.bounded => self.learn_from_scan(found),
            _ => {
                let expected = self.model.apply(operation);
                assert_eq!(answer, expected, "step {}: {operation:?} (engine left, model right)", self.step);
            }
        }
        keys.iter().for_each(|key| self.compare(key));
        #[cfg(fuzzing)]
        self.engine.first().validate();
        self.step += 1;
    }

    /// Compares everything, settles what is due, and empties the engine.
    pub(crate) fn finish(&mut self) {
        self.model.places().iter().for_each(|key| self.compare(key));
        self.run(&Operation::Scan { page: 7 });
        while self.engine.first().maintain(Budget::keys(ALL_KEYS)).due {}
        let Ok(Answer::Keys(found)) = call(&self.engine, &self.clock, &Operation::Scan { page: 100 }) else {
            panic!("a scan is never refused")
        };
        // With nothing due any more, the count of keys is the count of living keys.
        let count = u64::try_from(found.len()).expect("few keys");
        assert_eq!(self.engine.len(), count, "the number of keys after maintenance");
        self.run(&Operation::Flush {});
        assert_eq!(self.engine.len(), 0, "the number of keys after a flush");
        let usage = self.engine.first().memory_usage();
        assert_eq!((usage.blobs, usage.objects), (0, 0), "an empty engine keeps no entries");
    }

    /// Before a call: a key that the engine has evicted leaves the model; one that the model does not
    /// have must not be there.
    fn learn_of_eviction(&mut self, key: &Place) {
        let there = self.engine.of(key).exists(&key.1).expect("EXISTS is never refused");
        let step = self.step;
        let name = shown(key);
        assert!(!there || self.model.entry(key).is_some(), "step {step}: {name} came back from the dead");
        if !there {
            self.model.forget(key);
        }
    }

    fn learn_from_scan(&mut self, found: &[Place]) {
        for key in found {
            let name = shown(key);
            assert!(self.model.entry(key).is_some(), "step {}: the scan invented {name}", self.step);
        }
        for key in self.model.places() {
            self.learn_of_eviction(&key);
            let missed = self.model.entry(&key).is_some() && !found.contains(&key);
            assert!(!missed, "step {}: the scan left out {}", self.step, shown(&key));
        }
    }

    /// After a call: value and deadline of a key are the model's, unless the key was evicted.
    fn compare(&mut self, key: &Place) {
        if self.bounded {
            self.learn_of_eviction(key);
        }
        let expected = self.model.entry(key);
        let found = self.engine.of(key).peek(&key.1).expect("a peek at a string is never refused");
        let name = shown(key);
        assert_eq!(
            found.as_deref(),
            expected.map(|entry| entry.value.as_slice()),
            "step {}: the value of {name} (engine left, model right)",
            self.step
        );
        let left_ms = expected.map(|entry| entry.deadline_ms.map(|deadline| deadline - self.model.now_ms));
        assert_eq!(
            time_left(self.engine.of(key), &key.1),
            Ok(Answer::Left(left_ms)),
            "step {}: the deadline of {name}",
            self.step
        );
    }
}

/// A key's name and a value.
type Pair = (Vec<u8>, Vec<u8>);

/// The databases of one engine.
#[derive(Debug)]
struct Handles(Vec<Engine>);

impl Handles {
    fn first(&self) -> &Engine {
        &self.0[0]
    }

    fn of(&self, place: &Place) -> &Engine {
        &self.0[usize::from(place.0)]
    }

    fn at(&self, key: Key) -> (&Engine, Vec<u8>) {
        (&self.0[usize::from(key.db())], key.bytes())
    }

    /// The handle that several keys share, and their names.
    fn all(&self, keys: &[Option<Key>; 3]) -> (&Engine, Vec<Vec<u8>>) {
        let places = together(keys);
        let engine = places.first().map_or(self.first(), |place| self.of(place));
        (engine, places.into_iter().map(|(_, name)| name).collect())
    }

    fn pairs(&self, pairs: &[Option<(Key, crate::operation::Value)>; 3]) -> (&Engine, Vec<Pair>) {
        let places = pair_places(pairs);
        let engine = places.first().map_or(self.first(), |(place, _)| self.of(place));
        (engine, places.into_iter().map(|((_, name), value)| (name, value)).collect())
    }

    fn db(&self, db: Database) -> &Engine {
        &self.0[usize::from(db.number())]
    }

    fn len(&self) -> u64 {
        self.0.iter().map(|db| db.len().expect("a count is never refused")).sum()
    }
}

fn shown(place: &Place) -> String {
    format!("{}/{}", place.0, place.1.escape_ascii())
}

/// Makes the engine call that an operation stands for, and reduces what it says to a plain answer.
fn call(handles: &Handles, clock: &ManualClock, operation: &Operation) -> Result<Answer, Refusal> {
    match operation {
        Operation::Get { key, how } => {
            let (engine, key) = handles.at(*key);
            read(engine, &key, how)
        }
        Operation::GetMany { keys } => {
            let (engine, keys) = handles.all(keys);
            let values = engine.get_many(&keys).map_err(refusal)?;
            Ok(Answer::Many(values.into_iter().map(|value| value.map(|value| value.to_vec())).collect()))
        }
        Operation::GetRange { key, start, end } => {
            let (engine, key) = handles.at(*key);
            let part = engine.get_range(key, start.value(), end.value()).map_err(refusal)?;
            Ok(Answer::Bytes(Some(part.to_vec())))
        }
        Operation::Strlen { key } => {
            let (engine, key) = handles.at(*key);
            number(engine.strlen(key))
        }
        Operation::Exists { key } => {
            let (engine, key) = handles.at(*key);
            flag(engine.exists(key))
        }
        Operation::Ttl { key } => {
            let (engine, key) = handles.at(*key);
            time_left(engine, &key)
        }
        Operation::Scan { page } => scan(handles, *page),
        Operation::Advance { span } => {
            clock.advance(Duration::from_millis(span.millis()));
            Ok(Answer::Nothing)
        }
        Operation::Maintain { keys } => {
            handles.first().maintain(Budget::keys(u32::from(*keys)));
            Ok(Answer::Nothing)
        }
        Operation::Flush {} => nothing(handles.first().flush_all()),
        Operation::Swap { a, b } => {
            nothing(handles.first().swap_databases(a.number().into(), b.number().into()))
        }
        Operation::SetMany { .. } | Operation::SetManyIfAbsent { .. } | Operation::Del { .. } => {
            batch(handles, operation)
        }
        Operation::Rename { .. } | Operation::Copy { .. } | Operation::MoveTo { .. } => {
            move_keys(handles, operation)
        }
        _ => write(handles, clock, operation),
    }
}

fn batch(handles: &Handles, operation: &Operation) -> Result<Answer, Refusal> {
    match operation {
        Operation::SetMany { pairs } => {
            let (engine, pairs) = handles.pairs(pairs);
            nothing(engine.set_many(&pairs))
        }
        Operation::SetManyIfAbsent { pairs } => {
            let (engine, pairs) = handles.pairs(pairs);
            flag(engine.set_many_if_absent(&pairs))
        }
        Operation::Del { keys } => {
            let (engine, keys) = handles.all(keys);
            number(engine.del(&keys))
        }
        other => unreachable!("{other:?} is handled before"),
    }
}

fn move_keys(handles: &Handles, operation: &Operation) -> Result<Answer, Refusal> {
    match operation {
        Operation::Rename { from, to } => {
            let (engine, from) = handles.at(*from);
            nothing(engine.rename(from, to.bytes()))
        }
        Operation::Copy { from, to, replace } => {
            let ((engine, from), (target, to)) = (handles.at(*from), handles.at(*to));
            flag(engine.copy(from, target, to, *replace))
        }
        Operation::MoveTo { key, db } => {
            let (engine, key) = handles.at(*key);
            flag(engine.move_to(key, handles.db(*db)))
        }
        other => unreachable!("{other:?} is handled before"),
    }
}

/// The calls that change one key.
fn write(handles: &Handles, clock: &ManualClock, operation: &Operation) -> Result<Answer, Refusal> {
    let place = operation.places().into_iter().next().expect("these operations name one key");
    let (engine, key) = (handles.of(&place), &place.1);
    let numbers = engine.typed::<i64>();
    match operation {
        Operation::Set { value, .. } => nothing(engine.set(key, value.bytes())),
        Operation::SetWith { value, condition, expiry, .. } => {
            let options = options(condition, expiry, clock);
            let outcome = engine.set_with(key, value.bytes(), options).map_err(refusal)?;
            Ok(Answer::Flag(outcome.is_stored()))
        }
        Operation::GetSet { value, .. } => bytes(engine.get_set(key, value.bytes())),
        Operation::GetDel { .. } => bytes(engine.get_del(key)),
        Operation::GetEx { expiry, .. } => {
            bytes(engine.get_ex(key, options(&Condition::Always {}, expiry, clock)))
        }
        Operation::Remove { .. } => flag(engine.remove(key)),
        Operation::Append { value, .. } => number(engine.append(key, value.bytes())),
        Operation::SetRange { offset, value, .. } => {
            number(engine.set_range(key, u64::from(*offset), value.bytes()))
        }
        Operation::IncrBy { by, .. } => number(engine.incr_by(key, *by)),
        Operation::Expire { span, .. } => flag(engine.expire(key, Duration::from_millis(span.millis()))),
        Operation::ExpireAt { at, when, .. } => {
            flag(engine.expire_at(key, UnixMillis(at.at_ms(clock.now().0)), expire_condition(when)))
        }
        Operation::Persist { .. } => flag(engine.persist(key)),
        Operation::TypedSet { number, .. } => nothing(numbers.set(key, *number)),
        Operation::TypedGet { .. } => typed(numbers.get(key)),
        Operation::TypedAdd { by, .. } => {
            typed(numbers.update(key, |old| Some(old.copied().unwrap_or(0).wrapping_add(*by))))
        }
        other => unreachable!("{other:?} is handled before"),
    }
}

fn read(engine: &Engine, key: &[u8], how: &Reading) -> Result<Answer, Refusal> {
    match how {
        Reading::Get {} => bytes(engine.get(key)),
        Reading::Peek {} => bytes(engine.peek(key)),
        Reading::InPlace {} => engine.get_with(key, <[u8]>::to_vec).map(Answer::Bytes).map_err(refusal),
        Reading::IntoBuffer {} => {
            let mut buffer = b"left over".to_vec();
            let found = engine.get_into(key, &mut buffer).map_err(refusal)?;
            Ok(Answer::Bytes(found.then_some(buffer)))
        }
    }
}

fn expire_condition(when: &When) -> ExpireCondition {
    match when {
        When::Always {} => ExpireCondition::Always,
        When::IfNone {} => ExpireCondition::IfNone,
        When::IfAny {} => ExpireCondition::IfAny,
        When::IfLater {} => ExpireCondition::IfLater,
        When::IfEarlier {} => ExpireCondition::IfEarlier,
    }
}

fn options(condition: &Condition, expiry: &Expiry, clock: &ManualClock) -> SetOptions {
    let options = match condition {
        Condition::Always {} => SetOptions::new(),
        Condition::IfAbsent {} => SetOptions::new().if_absent(),
        Condition::IfPresent {} => SetOptions::new().if_present(),
        Condition::IfEqual { value } => SetOptions::new().if_equal(value.bytes()),
        Condition::IfNotEqual { value } => SetOptions::new().if_not_equal(value.bytes()),
    };
    match expiry {
        Expiry::None {} => options,
        Expiry::After { span } => options.ttl(Duration::from_millis(span.millis())),
        Expiry::Keep {} => options.keep_ttl(),
        Expiry::At { at } => options.expire_at(UnixMillis(at.at_ms(clock.now().0))),
    }
}

fn time_left(engine: &Engine, key: &[u8]) -> Result<Answer, Refusal> {
    Ok(Answer::Left(match engine.ttl(key).map_err(refusal)? {
        Ttl::Absent => None,
        Ttl::Never => Some(None),
        Ttl::After(left) => Some(Some(u64::try_from(left.as_millis()).expect("the format's spans fit"))),
    }))
}

/// Every key of every database, by pages of a given size. Nothing changes between the pages, so each key comes once.
fn scan(handles: &Handles, page: u8) -> Result<Answer, Refusal> {
    let options = ScanOptions::new().count(usize::from(page).max(1));
    let mut keys: Vec<Place> = Vec::new();
    for (db, engine) in (0u8..).zip(&handles.0) {
        let mut cursor = 0;
        loop {
            let found = engine.scan(cursor, &options).map_err(refusal)?;
            keys.extend(found.keys.into_iter().map(|name| (db, name)));
            cursor = found.cursor;
            if cursor == 0 {
                break;
            }
        }
    }
    keys.sort();
    assert!(keys.is_sorted_by(|a, b| a < b), "a scan returned a key twice");
    Ok(Answer::Keys(keys))
}

fn typed(result: Result<Option<std::sync::Arc<i64>>, OpError>) -> Result<Answer, Refusal> {
    result.map(|number| Answer::Typed(number.map(|number| *number))).map_err(refusal)
}

fn nothing<T>(result: Result<T, OpError>) -> Result<Answer, Refusal> {
    result.map(|_| Answer::Nothing).map_err(refusal)
}

fn flag(result: Result<bool, OpError>) -> Result<Answer, Refusal> {
    result.map(Answer::Flag).map_err(refusal)
}

fn number<T: TryInto<i64, Error: std::fmt::Debug>>(result: Result<T, OpError>) -> Result<Answer, Refusal> {
    let number = result.map_err(refusal)?;
    Ok(Answer::Number(number.try_into().expect("lengths and counts are small")))
}

fn bytes<V: std::ops::Deref<Target = [u8]>>(result: Result<Option<V>, OpError>) -> Result<Answer, Refusal> {
    result.map(|value| Answer::Bytes(value.map(|value| value.to_vec()))).map_err(refusal)
}

/// The refusals that the format can provoke; any other is a finding.
fn refusal(error: OpError) -> Refusal {
    match error {
        OpError::NotAnInteger => Refusal::NotAnInteger,
        OpError::Codec { .. } => Refusal::Codec,
        OpError::Overflow => Refusal::Overflow,
        OpError::NoSuchKey => Refusal::NoSuchKey,
        OpError::SameObject => Refusal::SameObject,
        OpError::OutOfMemory { .. } => Refusal::OutOfMemory,
        other => panic!("an unexpected refusal: {other}"),
    }
}
