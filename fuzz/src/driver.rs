//! An engine and the model side by side: each operation goes to both, and the answers must agree.

use std::time::Duration;

use larder::{
    Budget, CopyOptions, Engine, ManualClock, OpError, Policy, ScanOptions, SetOptions, Ttl, UnixMillis,
};

use crate::model::{Answer, Model, Refusal};
use crate::operation::{Condition, Expiry, Limit, Operation, Reading, Setup};

const START: UnixMillis = UnixMillis(1_704_067_200_000);
/// The least limit that the builder takes, and what each step adds to it.
const MEMORY_MIN_BYTES: u64 = 64 * 1024;
const MEMORY_STEP_BYTES: u64 = 8 * 1024;
/// More than any input has keys: one round settles everything that is due.
const ALL_KEYS: u64 = 100_000;

#[derive(Debug)]
pub(crate) struct Driver {
    engine: Engine,
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
        Self { engine, clock, model: Model::new(START.0), bounded, step: 0 }
    }

    /// Gives one operation to both and compares.
    pub(crate) fn run(&mut self, operation: &Operation) {
        let keys = operation.keys();
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
        self.engine.validate();
        self.step += 1;
    }

    /// Compares everything, settles what is due, and empties the engine.
    pub(crate) fn finish(&mut self) {
        self.model.keys().iter().for_each(|key| self.compare(key));
        self.run(&Operation::Scan { page: 7 });
        self.engine.maintain(Budget::keys(ALL_KEYS));
        let Ok(Answer::Keys(found)) = call(&self.engine, &self.clock, &Operation::Scan { page: 100 }) else {
            panic!("a scan is never refused")
        };
        // With nothing due any more, the count of keys is the count of living keys.
        let count = u64::try_from(found.len()).expect("few keys");
        assert_eq!(self.engine.len(), count, "the number of keys after maintenance");
        self.run(&Operation::Flush {});
        assert_eq!(self.engine.len(), 0, "the number of keys after a flush");
    }

    /// Before a call: a key that the engine has evicted leaves the model; one that the model does not
    /// have must not be there.
    fn learn_of_eviction(&mut self, key: &[u8]) {
        let there = self.engine.exists(key).expect("EXISTS is never refused");
        let step = self.step;
        let name = key.escape_ascii();
        assert!(!there || self.model.entry(key).is_some(), "step {step}: {name} came back from the dead");
        if !there {
            self.model.forget(key);
        }
    }

    fn learn_from_scan(&mut self, found: &[Vec<u8>]) {
        for key in found {
            let name = key.escape_ascii();
            assert!(self.model.entry(key).is_some(), "step {}: the scan invented {name}", self.step);
        }
        for key in self.model.keys() {
            self.learn_of_eviction(&key);
            let missed = self.model.entry(&key).is_some() && !found.contains(&key);
            assert!(!missed, "step {}: the scan left out {}", self.step, key.escape_ascii());
        }
    }

    /// After a call: value and deadline of a key are the model's, unless the key was evicted.
    fn compare(&mut self, key: &[u8]) {
        if self.bounded {
            self.learn_of_eviction(key);
        }
        let expected = self.model.entry(key);
        let found = self.engine.peek(key).expect("a peek at a string is never refused");
        let name = key.escape_ascii();
        assert_eq!(
            found.as_deref(),
            expected.map(|entry| entry.value.as_slice()),
            "step {}: the value of {name} (engine left, model right)",
            self.step
        );
        let left_ms = expected.map(|entry| entry.deadline_ms.map(|deadline| deadline - self.model.now_ms));
        assert_eq!(
            time_left(&self.engine, key),
            Ok(Answer::Left(left_ms)),
            "step {}: the deadline of {name}",
            self.step
        );
    }
}

/// Makes the engine call that an operation stands for, and reduces what it says to a plain answer.
fn call(engine: &Engine, clock: &ManualClock, operation: &Operation) -> Result<Answer, Refusal> {
    match operation {
        Operation::Get { key, how } => read(engine, &key.bytes(), how),
        Operation::GetMany { keys } => {
            let keys: Vec<_> = keys.iter().flatten().map(|key| key.bytes()).collect();
            let values = engine.get_many(&keys).map_err(refusal)?;
            Ok(Answer::Many(values.into_iter().map(|value| value.map(|value| value.to_vec())).collect()))
        }
        Operation::GetRange { key, start, end } => {
            let part = engine.get_range(key.bytes(), start.value(), end.value()).map_err(refusal)?;
            Ok(Answer::Bytes(Some(part.to_vec())))
        }
        Operation::Strlen { key } => number(engine.strlen(key.bytes())),
        Operation::Exists { key } => flag(engine.exists(key.bytes())),
        Operation::Ttl { key } => time_left(engine, &key.bytes()),
        Operation::Scan { page } => scan(engine, *page),
        Operation::Advance { span } => {
            clock.advance(Duration::from_millis(span.millis()));
            Ok(Answer::Nothing)
        }
        Operation::Maintain { keys } => {
            engine.maintain(Budget::keys(u64::from(*keys)));
            Ok(Answer::Nothing)
        }
        _ => write(engine, operation),
    }
}

fn write(engine: &Engine, operation: &Operation) -> Result<Answer, Refusal> {
    match operation {
        Operation::Set { key, value } => nothing(engine.set(key.bytes(), value.bytes())),
        Operation::SetWith { key, value, condition, expiry } => {
            let options = options(condition, expiry);
            let outcome = engine.set_with(key.bytes(), value.bytes(), options).map_err(refusal)?;
            Ok(Answer::Flag(outcome.is_stored()))
        }
        Operation::SetMany { pairs } => {
            let pairs: Vec<_> =
                pairs.iter().flatten().map(|(key, value)| (key.bytes(), value.bytes())).collect();
            nothing(engine.set_many(&pairs))
        }
        Operation::GetSet { key, value } => bytes(engine.get_set(key.bytes(), value.bytes())),
        Operation::GetDel { key } => bytes(engine.get_del(key.bytes())),
        Operation::Remove { key } => flag(engine.remove(key.bytes())),
        Operation::Del { keys } => {
            let keys: Vec<_> = keys.iter().flatten().map(|key| key.bytes()).collect();
            number(engine.del(&keys))
        }
        Operation::Append { key, value } => number(engine.append(key.bytes(), value.bytes())),
        Operation::SetRange { key, offset, value } => {
            number(engine.set_range(key.bytes(), u64::from(*offset), value.bytes()))
        }
        Operation::IncrBy { key, by } => number(engine.incr_by(key.bytes(), *by)),
        Operation::Expire { key, span } => {
            flag(engine.expire(key.bytes(), Duration::from_millis(span.millis())))
        }
        Operation::Persist { key } => flag(engine.persist(key.bytes())),
        Operation::Rename { from, to } => nothing(engine.rename(from.bytes(), to.bytes())),
        Operation::Copy { from, to, replace } => {
            flag(engine.copy(from.bytes(), to.bytes(), CopyOptions::new().replace(*replace)))
        }
        Operation::Flush {} => nothing(engine.flush()),
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

fn options(condition: &Condition, expiry: &Expiry) -> SetOptions {
    let options = match condition {
        Condition::Always {} => SetOptions::new(),
        Condition::IfAbsent {} => SetOptions::new().if_absent(),
        Condition::IfPresent {} => SetOptions::new().if_present(),
    };
    match expiry {
        Expiry::None {} => options,
        Expiry::After { span } => options.ttl(Duration::from_millis(span.millis())),
        Expiry::Keep {} => options.keep_ttl(),
    }
}

fn time_left(engine: &Engine, key: &[u8]) -> Result<Answer, Refusal> {
    Ok(Answer::Left(match engine.ttl(key).map_err(refusal)? {
        Ttl::NoKey => None,
        Ttl::NoExpiry => Some(None),
        Ttl::Left(left) => Some(Some(u64::try_from(left.as_millis()).expect("the format's spans fit"))),
    }))
}

/// Every key, by pages of a given size. Nothing changes between the pages, so each key comes.
fn scan(engine: &Engine, page: u8) -> Result<Answer, Refusal> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut cursor = Default::default();
    loop {
        let options = ScanOptions::new().count(usize::from(page).max(1));
        let found = engine.scan(cursor, options).map_err(refusal)?;
        keys.extend(found.keys.iter().map(|key| key.to_vec()));
        cursor = found.cursor;
        if cursor == Default::default() {
            break;
        }
    }
    keys.sort();
    keys.dedup();
    Ok(Answer::Keys(keys))
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
        OpError::Overflow => Refusal::Overflow,
        OpError::NoSuchKey => Refusal::NoSuchKey,
        OpError::SameObject => Refusal::SameObject,
        OpError::OutOfMemory { .. } => Refusal::OutOfMemory,
        other => panic!("an unexpected refusal: {other}"),
    }
}
