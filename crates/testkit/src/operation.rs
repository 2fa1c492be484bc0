//! One call of the engine, as data, and strategies that draw it.
//!
//! Keys are few, so that calls meet; values are short, long, numbers, or longer than what is kept inline. Which calls
//! are drawn is said by a [`Profile`].

use proptest::prelude::*;

/// Numbered databases that operations use.
pub const DATABASES: u8 = 3;
/// The named keyspace that operations use; it counts as database [`DATABASES`].
pub const NAMED: &str = "side";

/// A key: a name in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// 0 to [`DATABASES`], the last of which is the named keyspace.
    pub db: u8,
    /// The number of the name.
    pub name: u16,
}

impl Key {
    /// Returns the name's bytes; every 16th is longer than a cache line, the others differ in length.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = format!("key:{}", self.name).into_bytes();
        if self.name % 16 == 7 {
            bytes.resize(bytes.len() + 90, b'k');
        }
        bytes
    }
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// An integer's text.
    Number(i32),
    /// This byte, so many times.
    Fill(u8, u16),
}

impl Payload {
    /// Returns the value's bytes.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::Number(number) => number.to_string().into_bytes(),
            Self::Fill(byte, count) => vec![byte; usize::from(count)],
        }
    }
}

/// What a conditional set does to the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// As the engine's default says.
    Default,
    /// It keeps it.
    Keep,
    /// So many milliseconds from now.
    After(u32),
    /// So many milliseconds from now, given as a point in time; 0 has passed.
    At(u32),
    /// So many milliseconds without a read.
    Idle(u32),
}

/// When a conditional set takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Always,
    /// If the key is absent.
    IfAbsent,
    /// If it is there.
    IfPresent,
    /// If it has this value.
    IfEqual(Payload),
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the call of the same name, each field its argument")]
pub enum Operation {
    Get { key: Key },
    Peek { key: Key },
    GetMany { keys: [Key; 3] },
    GetRange { key: Key, start: i16, end: i16 },
    Strlen { key: Key },
    Exists { key: Key },
    Ttl { key: Key },
    RandomKey { db: u8 },
    Scan { db: u8, count: u8 },
    Set { key: Key, value: Payload },
    SetWith { key: Key, value: Payload, condition: Condition, expiry: Expiry, return_old: bool },
    SetMany { db: u8, pairs: Vec<(u16, Payload)>, if_absent: bool },
    GetSet { key: Key, value: Payload },
    GetDel { key: Key },
    Append { key: Key, value: Payload },
    SetRange { key: Key, offset: u16, value: Payload },
    IncrBy { key: Key, by: i32 },
    IncrByFloat { key: Key, by: i16 },
    Remove { key: Key },
    Del { keys: [Key; 3] },
    Expire { key: Key, millis: u32 },
    Persist { key: Key },
    Rename { from: Key, to: u16, if_absent: bool },
    Copy { from: Key, to: Key, replace: bool },
    MoveTo { key: Key, db: u8 },
    TypedSet { key: Key, cells: u16, expiry: Expiry },
    TypedGet { key: Key },
    TypedUpdate { key: Key, cells: u16 },
    Load { key: Key, cells: u16 },
    Pin { key: Key },
    Unpin { key: Key },
    Invalidate { key: Key },
    InvalidatePrefix { db: u8, name: u16 },
    Swap { a: u8, b: u8 },
    Flush { db: u8 },
    FlushAll {},
    SetMaxMemory { kib: u16 },
    Advance { millis: u32 },
    Maintain { keys: u16 },
}

/// Which operations are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// How many names a database has.
    pub names: u16,
    /// The longest value of the common kind.
    pub value_bytes_max: u16,
    /// Whether COPY is drawn: two entries then share one large string, and each is charged for it.
    pub copies: bool,
    /// Whether pins and loads are drawn: they have structures of their own, outside the accounts.
    pub extras: bool,
    /// Whether the clock moves, and keys have deadlines.
    pub time: bool,
    /// Whether the byte limit is changed, between 256 KiB and 1 MiB.
    pub limits: bool,
}

impl Default for Profile {
    /// Everything but changes of the limit, on 200 names.
    fn default() -> Self {
        Self { names: 200, value_bytes_max: 300, copies: true, extras: true, time: true, limits: false }
    }
}

impl Profile {
    fn db() -> BoxedStrategy<u8> {
        prop_oneof![6 => Just(0), 2 => Just(1), 1 => Just(2), 1 => Just(DATABASES)].boxed()
    }

    fn key(self) -> BoxedStrategy<Key> {
        (Self::db(), 0..self.names).prop_map(|(db, name)| Key { db, name }).boxed()
    }

    fn payload(self) -> BoxedStrategy<Payload> {
        let most = self.value_bytes_max;
        prop_oneof![
            3 => any::<i32>().prop_map(Payload::Number),
            8 => (any::<u8>(), 0..=most).prop_map(|(byte, count)| Payload::Fill(byte, count)),
            1 => (any::<u8>(), 3_900..=30_000u16).prop_map(|(byte, count)| Payload::Fill(byte, count)),
        ]
        .boxed()
    }

    fn millis(self) -> BoxedStrategy<u32> {
        prop_oneof![1..50u32, 1..5_000u32, 1..10_000_000u32].boxed()
    }

    fn expiry(self) -> BoxedStrategy<Expiry> {
        if !self.time {
            return prop_oneof![Just(Expiry::Default), Just(Expiry::Keep)].boxed();
        }
        prop_oneof![
            2 => Just(Expiry::Default),
            1 => Just(Expiry::Keep),
            4 => self.millis().prop_map(Expiry::After),
            1 => prop_oneof![Just(0), self.millis()].prop_map(Expiry::At),
            1 => self.millis().prop_map(Expiry::Idle),
        ]
        .boxed()
    }

    fn condition(self) -> BoxedStrategy<Condition> {
        prop_oneof![
            5 => Just(Condition::Always),
            1 => Just(Condition::IfAbsent),
            1 => Just(Condition::IfPresent),
            1 => self.payload().prop_map(Condition::IfEqual),
        ]
        .boxed()
    }

    fn reads(self) -> BoxedStrategy<Operation> {
        let (key, db) = (self.key(), Self::db());
        prop_oneof![
            10 => key.clone().prop_map(|key| Operation::Get { key }),
            1 => key.clone().prop_map(|key| Operation::Peek { key }),
            1 => [key.clone(), key.clone(), key.clone()].prop_map(|keys| Operation::GetMany { keys }),
            1 => (key.clone(), any::<(i16, i16)>())
                .prop_map(|(key, (start, end))| Operation::GetRange { key, start, end }),
            1 => key.clone().prop_map(|key| Operation::Strlen { key }),
            1 => key.clone().prop_map(|key| Operation::Exists { key }),
            1 => key.clone().prop_map(|key| Operation::Ttl { key }),
            2 => key.prop_map(|key| Operation::TypedGet { key }),
            1 => db.clone().prop_map(|db| Operation::RandomKey { db }),
            1 => (db, 1..100u8).prop_map(|(db, count)| Operation::Scan { db, count }),
        ]
        .boxed()
    }

    fn stores(self) -> BoxedStrategy<Operation> {
        let (key, value, names) = (self.key(), self.payload(), self.names);
        let pairs = prop::collection::vec((0..names, self.payload()), 0..12);
        prop_oneof![
            8 => (key.clone(), value.clone()).prop_map(|(key, value)| Operation::Set { key, value }),
            4 => (key.clone(), value.clone(), self.condition(), self.expiry(), any::<bool>()).prop_map(
                |(key, value, condition, expiry, return_old)| Operation::SetWith {
                    key, value, condition, expiry, return_old,
                }
            ),
            1 => (Self::db(), pairs, any::<bool>())
                .prop_map(|(db, pairs, if_absent)| Operation::SetMany { db, pairs, if_absent }),
            1 => (key.clone(), value.clone()).prop_map(|(key, value)| Operation::GetSet { key, value }),
            3 => (key.clone(), value.clone()).prop_map(|(key, value)| Operation::Append { key, value }),
            1 => (key.clone(), 0..9_000u16, value)
                .prop_map(|(key, offset, value)| Operation::SetRange { key, offset, value }),
            2 => (key.clone(), any::<i32>()).prop_map(|(key, by)| Operation::IncrBy { key, by }),
            1 => (key.clone(), any::<i16>()).prop_map(|(key, by)| Operation::IncrByFloat { key, by }),
            2 => (key.clone(), 0..200u16, self.expiry())
                .prop_map(|(key, cells, expiry)| Operation::TypedSet { key, cells, expiry }),
            1 => (key, 0..200u16).prop_map(|(key, cells)| Operation::TypedUpdate { key, cells }),
        ]
        .boxed()
    }

    fn removals(self) -> BoxedStrategy<Operation> {
        let (key, names) = (self.key(), self.names);
        prop_oneof![
            12 => key.clone().prop_map(|key| Operation::Remove { key }),
            3 => [key.clone(), key.clone(), key.clone()].prop_map(|keys| Operation::Del { keys }),
            3 => key.clone().prop_map(|key| Operation::GetDel { key }),
            8 => (key.clone(), 0..names, any::<bool>())
                .prop_map(|(from, to, if_absent)| Operation::Rename { from, to, if_absent }),
            4 => (key.clone(), Self::db()).prop_map(|(key, db)| Operation::MoveTo { key, db }),
            4 => key.prop_map(|key| Operation::Invalidate { key }),
            1 => (Self::db(), 0..names).prop_map(|(db, name)| Operation::InvalidatePrefix { db, name }),
        ]
        .boxed()
    }

    fn deadlines(self) -> BoxedStrategy<Operation> {
        let key = self.key();
        prop_oneof![
            4 => (key.clone(), self.millis()).prop_map(|(key, millis)| Operation::Expire { key, millis }),
            1 => key.prop_map(|key| Operation::Persist { key }),
            4 => self.millis().prop_map(|millis| Operation::Advance { millis: millis / 8 }),
            2 => (0..300u16).prop_map(|keys| Operation::Maintain { keys }),
        ]
        .boxed()
    }

    fn rare(self) -> BoxedStrategy<Operation> {
        let numbered = 0..DATABASES;
        prop_oneof![
            4 => (numbered.clone(), numbered).prop_map(|(a, b)| Operation::Swap { a, b }),
            2 => Self::db().prop_map(|db| Operation::Flush { db }),
            1 => Just(Operation::FlushAll {}),
        ]
        .boxed()
    }

    fn extra(self) -> BoxedStrategy<Operation> {
        let key = self.key();
        prop_oneof![
            key.clone().prop_map(|key| Operation::Pin { key }),
            key.clone().prop_map(|key| Operation::Unpin { key }),
            (key, 0..200u16).prop_map(|(key, cells)| Operation::Load { key, cells }),
        ]
        .boxed()
    }

    /// Returns a strategy for one operation.
    pub fn operation(self) -> BoxedStrategy<Operation> {
        let mut parts =
            vec![(300, self.reads()), (350, self.stores()), (100, self.removals()), (1, self.rare())];
        if self.time {
            parts.push((80, self.deadlines()));
        }
        if self.extras {
            parts.push((30, self.extra()));
        }
        if self.copies {
            let copy = (self.key(), self.key(), any::<bool>());
            parts.push((
                20,
                copy.prop_map(|(from, to, replace)| Operation::Copy { from, to, replace }).boxed(),
            ));
        }
        if self.limits {
            parts.push((1, (256..1_024u16).prop_map(|kib| Operation::SetMaxMemory { kib }).boxed()));
        }
        prop::strategy::Union::new_weighted(parts).boxed()
    }

    /// Returns a strategy for a list of operations.
    pub fn operations(self, most: usize) -> BoxedStrategy<Vec<Operation>> {
        prop::collection::vec(self.operation(), 1..=most).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_some_are_long() {
        let mut names: Vec<_> = (0..500).map(|name| Key { db: 0, name }.bytes()).collect();
        assert!(names.iter().any(|name| name.len() > 64));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 500);
    }
}
