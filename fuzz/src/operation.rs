//! The operations that an input can ask for, and how their arguments are coded.

use crate::input::{Field, Input};

/// Writes an enum whose variants are coded as a number and their fields.
macro_rules! coded {
    ($(#[$doc:meta])* $name:ident, $($code:literal => $variant:ident { $($field:ident: $type:ty),* }),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($variant { $($field: $type),* }),+
        }

        impl $name {
            const COUNT: u8 = {
                let mut count = 0;
                $(assert!(count == $code, "the codes run from 0 without a gap"); count += 1;)+
                count
            };
        }

        impl Field for $name {
            fn decode(input: &mut Input<'_>) -> Option<Self> {
                match input.take::<u8>()? % Self::COUNT {
                    $($code => Some(Self::$variant { $($field: input.take()?),* }),)+
                    _ => unreachable!("a remainder is less than its divisor"),
                }
            }

            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant { $($field),* } => {
                        let code: u8 = $code;
                        code.encode(out);
                        $($field.encode(out);)*
                    })+
                }
            }
        }
    };
}

coded! {
    /// One engine call.
    Operation,
    0 => Get { key: Key, how: Reading },
    1 => GetMany { keys: [Option<Key>; 3] },
    2 => Set { key: Key, value: Value },
    3 => SetWith { key: Key, value: Value, condition: Condition, expiry: Expiry },
    4 => SetMany { pairs: [Option<(Key, Value)>; 3] },
    5 => Remove { key: Key },
    6 => Del { keys: [Option<Key>; 3] },
    7 => Append { key: Key, value: Value },
    8 => IncrBy { key: Key, by: i64 },
    9 => GetRange { key: Key, start: Index, end: Index },
    10 => SetRange { key: Key, offset: u16, value: Value },
    11 => Strlen { key: Key },
    12 => GetSet { key: Key, value: Value },
    13 => GetDel { key: Key },
    14 => Exists { key: Key },
    15 => Expire { key: Key, span: Span },
    16 => Persist { key: Key },
    17 => Ttl { key: Key },
    18 => Rename { from: Key, to: Key },
    19 => Copy { from: Key, to: Key, replace: bool },
    20 => Scan { page: u8 },
    21 => Advance { span: Span },
    22 => Maintain { keys: u8 },
    23 => Flush { },
    24 => ExpireAt { key: Key, at: Moment, when: When },
    25 => MoveTo { key: Key, db: Database },
    26 => Swap { a: Database, b: Database },
    27 => SetManyIfAbsent { pairs: [Option<(Key, Value)>; 3] },
    28 => TypedSet { key: Key, number: i64 },
    29 => TypedGet { key: Key },
    30 => TypedAdd { key: Key, by: i64 },
    31 => GetEx { key: Key, expiry: Expiry }
}

coded! {
    /// Which of the reading calls.
    Reading,
    0 => Get { },
    1 => Peek { },
    2 => InPlace { },
    3 => IntoBuffer { }
}

coded! {
    /// When a conditional set takes place.
    Condition,
    0 => Always { },
    1 => IfAbsent { },
    2 => IfPresent { },
    3 => IfEqual { value: Value },
    4 => IfNotEqual { value: Value }
}

coded! {
    /// On which present deadline an EXPIREAT acts.
    When,
    0 => Always { },
    1 => IfNone { },
    2 => IfAny { },
    3 => IfLater { },
    4 => IfEarlier { }
}

coded! {
    /// A point in time, seen from now.
    Moment,
    0 => Later { span: Span },
    1 => Now { },
    2 => Earlier { span: Span }
}

coded! {
    /// What a conditional set does to the deadline.
    Expiry,
    0 => None { },
    1 => After { span: Span },
    2 => Keep { },
    3 => At { at: Moment }
}

coded! {
    /// A value: free bytes, a counter, or something long.
    Value,
    0 => Raw { bytes: Vec<u8> },
    1 => Number { number: i64 },
    2 => Fill { byte: u8, length: u16 }
}

coded! {
    /// A length of time, never zero: milliseconds to months.
    Span,
    0 => Millis { count: u16 },
    1 => Seconds { count: u16 },
    2 => Hours { count: u16 }
}

impl Value {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Raw { bytes } => bytes.clone(),
            Self::Number { number } => number.to_string().into_bytes(),
            Self::Fill { byte, length } => vec![*byte; usize::from(*length)],
        }
    }
}

impl Span {
    pub(crate) fn millis(&self) -> u64 {
        let (count, unit) = match self {
            Self::Millis { count } => (count, 1),
            Self::Seconds { count } => (count, 1_000),
            Self::Hours { count } => (count, 3_600_000),
        };
        u64::from(*count).max(1) * unit
    }
}

impl Moment {
    pub(crate) fn at_ms(&self, now_ms: u64) -> u64 {
        match self {
            Self::Later { span } => now_ms + span.millis(),
            Self::Now {} => now_ms,
            Self::Earlier { span } => now_ms.saturating_sub(span.millis()),
        }
    }
}

/// One of the three databases that inputs use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Database(pub(crate) u8);

impl Database {
    pub(crate) const COUNT: u8 = 3;

    pub(crate) fn number(self) -> u8 {
        self.0 % Self::COUNT
    }
}

impl Field for Database {
    fn decode(input: &mut Input<'_>) -> Option<Self> {
        input.take().map(Self)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

/// A database's number and a key's name in it.
pub(crate) type Place = (u8, Vec<u8>);

/// A key by its number: few keys, so that operations meet; some of them long, one empty, some in other databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) u8);

impl Key {
    /// The database: 0 for numbers below 80 and for the odd ones at the end.
    pub(crate) fn db(self) -> u8 {
        match self.0 {
            240..=255 => 0,
            number => number / 80,
        }
    }

    pub(crate) fn place(self) -> Place {
        (self.db(), self.bytes())
    }

    /// The same name in the database of `other`, for calls that know only one.
    pub(crate) fn beside(self, other: Self) -> Place {
        (other.db(), self.bytes())
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        match self.0 {
            255 => Vec::new(),
            number @ 240..=254 => vec![b'K'; usize::from(number) * 2],
            number => format!("key:{}", number % 24).into_bytes(),
        }
    }
}

impl Field for Key {
    fn decode(input: &mut Input<'_>) -> Option<Self> {
        input.take().map(Self)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

/// An index into a value: near either end, or far outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index(pub(crate) u8);

impl Index {
    pub(crate) fn value(self) -> i64 {
        match self.0 {
            254 => i64::MIN,
            255 => i64::MAX,
            number => i64::from(number) - 127,
        }
    }
}

impl Field for Index {
    fn decode(input: &mut Input<'_>) -> Option<Self> {
        input.take().map(Self)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

/// The engine that an input asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) limit: Limit,
    /// Index into the engine's list of policies; matters only with a limit.
    pub(crate) policy: u8,
    /// The number of shards is 2 to this power, 1 to 8.
    pub(crate) shards_log2: u8,
}

/// What bounds the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    None,
    /// This many entries, 1 to 64.
    Entries(u8),
    /// The least limit and this many steps of 8 KiB, 1 to 64.
    Memory(u8),
}

impl Field for Setup {
    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let limit: u8 = input.take()?;
        let policy = input.take()?;
        let shards_log2 = input.take::<u8>()? % 4;
        let size = (limit >> 2) + 1;
        let limit = match limit & 3 {
            2 => Limit::Entries(size),
            3 => Limit::Memory(size),
            _ => Limit::None,
        };
        Some(Self { limit, policy, shards_log2 })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let limit = match self.limit {
            Limit::None => 0,
            Limit::Entries(size) => (size - 1) << 2 | 2,
            Limit::Memory(size) => (size - 1) << 2 | 3,
        };
        out.extend([limit, self.policy, self.shards_log2]);
    }
}

impl Operation {
    /// The keys that the operation reads or writes by name.
    pub(crate) fn places(&self) -> Vec<Place> {
        match self {
            Self::Get { key, .. }
            | Self::Set { key, .. }
            | Self::SetWith { key, .. }
            | Self::Remove { key }
            | Self::Append { key, .. }
            | Self::IncrBy { key, .. }
            | Self::GetRange { key, .. }
            | Self::SetRange { key, .. }
            | Self::Strlen { key }
            | Self::GetSet { key, .. }
            | Self::GetDel { key }
            | Self::Exists { key }
            | Self::Expire { key, .. }
            | Self::Persist { key }
            | Self::ExpireAt { key, .. }
            | Self::TypedSet { key, .. }
            | Self::TypedGet { key }
            | Self::TypedAdd { key, .. }
            | Self::GetEx { key, .. }
            | Self::Ttl { key } => vec![key.place()],
            Self::GetMany { keys } | Self::Del { keys } => together(keys),
            Self::SetMany { pairs } | Self::SetManyIfAbsent { pairs } => {
                pair_places(pairs).into_iter().map(|(place, _)| place).collect()
            }
            Self::Rename { from, to } => vec![from.place(), to.beside(*from)],
            Self::Copy { from, to, .. } => vec![from.place(), to.place()],
            Self::MoveTo { key, db } => vec![key.place(), (db.number(), key.bytes())],
            Self::Scan { .. }
            | Self::Advance { .. }
            | Self::Maintain { .. }
            | Self::Swap { .. }
            | Self::Flush {} => Vec::new(),
        }
    }
}

/// Several keys in the database of the first.
pub(crate) fn together(keys: &[Option<Key>; 3]) -> Vec<Place> {
    let Some(first) = keys.iter().flatten().next() else { return Vec::new() };
    keys.iter().flatten().map(|key| key.beside(*first)).collect()
}

/// Several pairs in the database of the first.
pub(crate) fn pair_places(pairs: &[Option<(Key, Value)>; 3]) -> Vec<(Place, Vec<u8>)> {
    let Some((first, _)) = pairs.iter().flatten().next() else { return Vec::new() };
    pairs.iter().flatten().map(|(key, value)| (key.beside(*first), value.bytes())).collect()
}
