//! An engine under test: applies operations and says what came of each, in a form that can be compared.

use std::collections::BTreeMap;
use std::time::Duration;

use larder::{
    AllocatorModel, Budget, Builder, Clock, ConfigError, Engine, LoadError, ManualClock, OpError,
    ScanOptions, SetOptions, SetOutcome, Typed, UnixMillis,
};

use crate::operation::{Condition, DATABASES, Expiry, Key, NAMED, Operation};
use crate::sheet::Sheet;

/// What an operation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has no answer.
    Nothing,
    /// Whether it did.
    Flag(bool),
    /// A length, a count, a sum.
    Number(i64),
    /// A value, if there is one.
    Bytes(Option<Vec<u8>>),
    /// Several of them.
    Many(Vec<Option<Vec<u8>>>),
    /// Names, in the order in which they came.
    Keys(Vec<Vec<u8>>),
    /// Whether a conditional set took place, and the old value.
    Set(bool, Option<Vec<u8>>),
    /// A typed value.
    Sheet(Option<Sheet>),
    /// How long a key lives, or what maintenance left over.
    Text(String),
    /// The engine refused.
    Refused(OpError),
}

/// Everything that an engine shows: by database and name, value and deadline.
pub type State = BTreeMap<(u8, Vec<u8>), (Vec<u8>, Option<UnixMillis>)>;

/// An engine, its clock, and handles to the databases that operations use.
#[derive(Debug)]
pub struct Subject {
    engine: Engine,
    clock: ManualClock,
    databases: Vec<Engine>,
    sheets: Vec<Typed<Sheet>>,
}

impl Subject {
    /// Builds an engine on a manual clock.
    ///
    /// # Errors
    /// As [`Builder::build`].
    ///
    /// # Panics
    /// If the builder allows fewer than three databases.
    pub fn new(builder: Builder, model: AllocatorModel) -> Result<Self, ConfigError> {
        let clock = ManualClock::default();
        let engine = builder.allocator_model(model).clock(clock.clone()).build()?;
        let numbered = (0..DATABASES).map(|db| engine.select(u16::from(db)));
        let databases: Vec<Engine> = numbered
            .chain(std::iter::once_with(|| engine.keyspace(NAMED)))
            .map(|handle| handle.expect("the engine has these databases and takes a named one"))
            .collect();
        let weighed = |engine: &Engine| {
            engine.typed::<Sheet>().with_weigher(move |sheet: &Sheet| sheet.heap_bytes(model))
        };
        let sheets = databases.iter().map(weighed).collect();
        Ok(Self { engine, clock, databases, sheets })
    }

    /// Returns the engine, at database 0.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns its clock.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Makes the call that an operation stands for.
    pub fn apply(&self, operation: &Operation) -> Outcome {
        self.try_apply(operation).unwrap_or_else(Outcome::Refused)
    }

    /// Returns everything there is, read without a trace (but that a typed value that was never encoded is).
    ///
    /// # Panics
    /// If the engine refuses to scan or to peek.
    #[must_use]
    pub fn state(&self) -> State {
        let mut state = State::new();
        for (db, engine) in (0u8..).zip(&self.databases) {
            let keys = engine.keys("*").expect("a scan is never refused");
            for key in keys {
                let Some(value) = engine.peek(&key).expect("a peek is never refused") else { continue };
                let deadline = engine.expire_time(&key).expect("never refused").flatten();
                state.insert((db, key), (value.to_vec(), deadline));
            }
        }
        state
    }

    fn db(&self, db: u8) -> &Engine {
        &self.databases[usize::from(db)]
    }

    fn at(&self, key: Key) -> (&Engine, Vec<u8>) {
        (self.db(key.db), key.bytes())
    }

    fn try_apply(&self, operation: &Operation) -> Result<Outcome, OpError> {
        match operation {
            Operation::Swap { a, b } => {
                self.engine.swap_databases(u16::from(*a), u16::from(*b)).map(|()| Outcome::Nothing)
            }
            Operation::Flush { db } => self.db(*db).flush().map(|()| Outcome::Nothing),
            Operation::FlushAll {} => self.engine.flush_all().map(|()| Outcome::Nothing),
            Operation::SetMaxMemory { kib } => {
                self.engine.set_max_memory(Some(u64::from(*kib) * 1_024));
                Ok(Outcome::Nothing)
            }
            Operation::Advance { millis } => {
                self.clock.advance(Duration::from_millis(u64::from(*millis)));
                Ok(Outcome::Nothing)
            }
            Operation::Maintain { keys } => {
                Ok(Outcome::Text(format!("{:?}", self.engine.maintain(Budget::keys(u32::from(*keys))))))
            }
            Operation::TypedSet { .. }
            | Operation::TypedGet { .. }
            | Operation::TypedUpdate { .. }
            | Operation::Load { .. } => self.typed(operation),
            Operation::Remove { .. }
            | Operation::Del { .. }
            | Operation::Expire { .. }
            | Operation::Persist { .. }
            | Operation::Rename { .. }
            | Operation::Copy { .. }
            | Operation::MoveTo { .. }
            | Operation::Pin { .. }
            | Operation::Unpin { .. }
            | Operation::Invalidate { .. }
            | Operation::InvalidatePrefix { .. } => self.whole_keys(operation),
            _ => self.strings(operation),
        }
    }

    fn strings(&self, operation: &Operation) -> Result<Outcome, OpError> {
        match operation {
            Operation::Set { key, value } => {
                let (engine, key) = self.at(*key);
                engine.set(key, value.bytes()).map(|()| Outcome::Nothing)
            }
            Operation::SetWith { key, value, condition, expiry, return_old } => {
                let (engine, key) = self.at(*key);
                let options = self.options(*expiry, *condition, *return_old);
                let outcome = engine.set_with(key, value.bytes(), options)?;
                let (stored, old) = match outcome {
                    SetOutcome::Stored { old } => (true, old),
                    SetOutcome::Refused { old } => (false, old),
                };
                Ok(Outcome::Set(stored, old.map(|old| old.to_vec())))
            }
            Operation::SetMany { db, pairs, if_absent } => {
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|&(name, value)| (Key { db: *db, name }.bytes(), value.bytes()))
                    .collect();
                let engine = self.db(*db);
                if *if_absent {
                    return engine.set_many_if_absent(&pairs).map(Outcome::Flag);
                }
                engine.set_many(&pairs).map(|()| Outcome::Nothing)
            }
            Operation::GetSet { key, value } => {
                let (engine, key) = self.at(*key);
                engine.get_set(key, value.bytes()).map(bytes)
            }
            Operation::GetDel { key } => {
                let (engine, key) = self.at(*key);
                engine.get_del(key).map(bytes)
            }
            Operation::Append { key, value } => {
                let (engine, key) = self.at(*key);
                engine.append(key, value.bytes()).map(number)
            }
            Operation::SetRange { key, offset, value } => {
                let (engine, key) = self.at(*key);
                engine.set_range(key, u64::from(*offset), value.bytes()).map(number)
            }
            Operation::IncrBy { key, by } => {
                let (engine, key) = self.at(*key);
                engine.incr_by(key, i64::from(*by)).map(Outcome::Number)
            }
            Operation::IncrByFloat { key, by } => {
                let (engine, key) = self.at(*key);
                engine.incr_by_float(key, format!("{by}.25")).map(|sum| bytes(Some(sum)))
            }
            _ => self.reads(operation),
        }
    }

    fn reads(&self, operation: &Operation) -> Result<Outcome, OpError> {
        match operation {
            Operation::Get { key } => {
                let (engine, key) = self.at(*key);
                engine.get(key).map(bytes)
            }
            Operation::Peek { key } => {
                let (engine, key) = self.at(*key);
                engine.peek(key).map(bytes)
            }
            Operation::GetMany { keys } => {
                let engine = self.db(keys[0].db);
                let values = engine.get_many(&keys.map(Key::bytes))?;
                Ok(Outcome::Many(values.into_iter().map(|value| value.map(|value| value.to_vec())).collect()))
            }
            Operation::GetRange { key, start, end } => {
                let (engine, key) = self.at(*key);
                engine.get_range(key, i64::from(*start), i64::from(*end)).map(|part| bytes(Some(part)))
            }
            Operation::Strlen { key } => {
                let (engine, key) = self.at(*key);
                engine.strlen(key).map(number)
            }
            Operation::Exists { key } => {
                let (engine, key) = self.at(*key);
                engine.exists(key).map(Outcome::Flag)
            }
            Operation::Ttl { key } => {
                let (engine, key) = self.at(*key);
                engine.ttl(key).map(|ttl| Outcome::Text(format!("{ttl:?}")))
            }
            Operation::RandomKey { db } => self.db(*db).random_key().map(Outcome::Bytes),
            Operation::Scan { db, count } => self.scan(*db, usize::from(*count)),
            other => unreachable!("{other:?} is handled before"),
        }
    }

    fn scan(&self, db: u8, count: usize) -> Result<Outcome, OpError> {
        let (mut keys, mut cursor) = (Vec::new(), 0);
        loop {
            let mut page = self.db(db).scan(cursor, &ScanOptions::new().count(count))?;
            keys.append(&mut page.keys);
            cursor = page.cursor;
            if cursor == 0 {
                return Ok(Outcome::Keys(keys));
            }
        }
    }

    fn whole_keys(&self, operation: &Operation) -> Result<Outcome, OpError> {
        match operation {
            Operation::Remove { key } => {
                let (engine, key) = self.at(*key);
                engine.remove(key).map(Outcome::Flag)
            }
            Operation::Del { keys } => self.db(keys[0].db).del(&keys.map(Key::bytes)).map(number),
            Operation::Expire { key, millis } => {
                let (engine, key) = self.at(*key);
                engine.expire(key, Duration::from_millis(u64::from(*millis))).map(Outcome::Flag)
            }
            Operation::Persist { key } => {
                let (engine, key) = self.at(*key);
                engine.persist(key).map(Outcome::Flag)
            }
            Operation::Rename { from, to, if_absent } => {
                let to = Key { name: *to, ..*from }.bytes();
                let (engine, from) = self.at(*from);
                if *if_absent {
                    return engine.rename_if_absent(from, to).map(Outcome::Flag);
                }
                engine.rename(from, to).map(|()| Outcome::Nothing)
            }
            Operation::Copy { from, to, replace } => {
                let (engine, from) = self.at(*from);
                engine.copy(from, self.db(to.db), to.bytes(), *replace).map(Outcome::Flag)
            }
            Operation::MoveTo { key, db } => {
                let (engine, key) = self.at(*key);
                engine.move_to(key, self.db(*db)).map(Outcome::Flag)
            }
            Operation::Pin { key } => {
                let (engine, key) = self.at(*key);
                engine.pin(key).map(Outcome::Flag)
            }
            Operation::Unpin { key } => {
                let (engine, key) = self.at(*key);
                engine.unpin(key).map(Outcome::Flag)
            }
            Operation::Invalidate { key } => {
                let (engine, key) = self.at(*key);
                engine.invalidate(key).map(Outcome::Flag)
            }
            Operation::InvalidatePrefix { db, name } => {
                self.db(*db).invalidate_prefix(Key { db: *db, name: *name }.bytes()).map(number)
            }
            other => unreachable!("{other:?} is handled elsewhere"),
        }
    }

    fn typed(&self, operation: &Operation) -> Result<Outcome, OpError> {
        let sheets = |key: &Key| &self.sheets[usize::from(key.db)];
        match operation {
            Operation::TypedSet { key, cells, expiry } => {
                let options = self.options(*expiry, Condition::Always, false);
                let outcome = sheets(key).set_with(key.bytes(), Sheet::new(*cells), options)?;
                Ok(Outcome::Flag(outcome.is_stored()))
            }
            Operation::TypedGet { key } => {
                let found = sheets(key).get(key.bytes())?;
                Ok(Outcome::Sheet(found.map(|sheet| sheet.as_ref().clone())))
            }
            Operation::TypedUpdate { key, cells } => {
                let updated = sheets(key).update(key.bytes(), |old| {
                    let before = old.map_or(0, |old| u16::try_from(old.cells.len().min(100)).unwrap_or(100));
                    let cells = cells / 2 + before;
                    (cells % 7 != 0).then(|| Sheet::new(cells))
                })?;
                Ok(Outcome::Sheet(updated.map(|sheet| sheet.as_ref().clone())))
            }
            Operation::Load { key, cells } => {
                let loaded = sheets(key).get_or_insert_with(key.bytes(), || {
                    if cells % 5 == 0 { Err(*cells) } else { Ok(Sheet::new(*cells)) }
                });
                match loaded {
                    Ok(sheet) => Ok(Outcome::Sheet(Some(sheet.as_ref().clone()))),
                    Err(LoadError::Op(error)) => Err(error),
                    Err(other) => Ok(Outcome::Text(other.to_string())),
                }
            }
            other => unreachable!("{other:?} is handled elsewhere"),
        }
    }

    fn options(&self, expiry: Expiry, condition: Condition, return_old: bool) -> SetOptions {
        let millis = |count: u32| Duration::from_millis(u64::from(count));
        let options = match expiry {
            Expiry::Default => SetOptions::new(),
            Expiry::Keep => SetOptions::new().keep_ttl(),
            Expiry::After(count) => SetOptions::new().ttl(millis(count)),
            Expiry::At(count) => SetOptions::new().expire_at(self.clock.now().saturating_add(millis(count))),
            Expiry::Idle(count) => SetOptions::new().idle(millis(count)),
        };
        let options = match condition {
            Condition::Always => options,
            Condition::IfAbsent => options.if_absent(),
            Condition::IfPresent => options.if_present(),
            Condition::IfEqual(value) => options.if_equal(value.bytes()),
        };
        if return_old { options.return_old() } else { options }
    }
}

fn bytes(value: Option<larder::Value>) -> Outcome {
    Outcome::Bytes(value.map(|value| value.to_vec()))
}

fn number(count: u64) -> Outcome {
    Outcome::Number(i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Payload;

    fn subject() -> Subject {
        Subject::new(Engine::builder().seed(1), AllocatorModel::Glibc).expect("valid settings")
    }

    #[test]
    fn operations_reach_their_database() {
        let subject = subject();
        for db in 0..=DATABASES {
            let key = Key { db, name: 1 };
            assert_eq!(
                subject.apply(&Operation::Set { key, value: Payload::Number(db.into()) }),
                Outcome::Nothing
            );
        }
        let state = subject.state();
        assert_eq!(state.len(), 4);
        assert_eq!(state[&(DATABASES, b"key:1".to_vec())], (b"3".to_vec(), None));
    }

    #[test]
    fn refusals_are_outcomes() {
        let subject = subject();
        let key = Key { db: 0, name: 1 };
        subject.apply(&Operation::Set { key, value: Payload::Fill(b'x', 3) });
        let outcome = subject.apply(&Operation::IncrBy { key, by: 1 });
        assert_eq!(outcome, Outcome::Refused(OpError::NotAnInteger));
    }

    #[test]
    fn typed_values_and_deadlines_show_in_the_state() {
        let subject = subject();
        let key = Key { db: 1, name: 2 };
        subject.apply(&Operation::TypedSet { key, cells: 4, expiry: Expiry::After(50) });
        let sheet = Outcome::Sheet(Some(Sheet::new(4)));
        assert_eq!(subject.apply(&Operation::TypedGet { key }), sheet);
        let (_, deadline) = subject.state()[&(1, b"key:2".to_vec())].clone();
        assert_eq!(deadline, Some(subject.clock().now().saturating_add(Duration::from_millis(50))));
        subject.apply(&Operation::Advance { millis: 50 });
        assert_eq!(subject.apply(&Operation::TypedGet { key }), Outcome::Sheet(None));
    }
}
