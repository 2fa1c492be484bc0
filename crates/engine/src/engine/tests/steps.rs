//! Generated steps: one flat struct, so that every operation shrinks in the same way.

use proptest::prelude::*;

/// Every public operation of an engine, and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Set,
    SetWith,
    SetEx,
    SetIfAbsent,
    Get,
    GetWith,
    GetInto,
    GetMany,
    Peek,
    GetSet,
    GetDel,
    GetEx,
    Append,
    Strlen,
    SetRange,
    GetRange,
    Lcs,
    Update,
    CompareAndSet,
    RemoveIfEqual,
    Incr,
    Decr,
    IncrBy,
    DecrBy,
    IncrByFloat,
    SetMany,
    SetManyIfAbsent,
    SetManyWith,
    Remove,
    Del,
    Exists,
    Touch,
    Rename,
    RenameIfAbsent,
    Copy,
    MoveTo,
    Swap,
    Describe,
    Expire,
    ExpireAt,
    Persist,
    Ttl,
    Scan,
    Keys,
    RandomKey,
    ScanPrefix,
    ScanRange,
    Flush,
    FlushAll,
    Token,
    InsertIf,
    TypedInsertIf,
    Lookup,
    TypedLookup,
    Invalidate,
    InvalidateTag,
    InvalidatePrefix,
    InvalidateConnection,
    InvalidateSlot,
    InvalidateCopies,
    Pin,
    Unpin,
    TypedSet,
    TypedSetWith,
    TypedGet,
    TypedGetWith,
    TypedUpdate,
    TypedLoad,
    TypedRemove,
    Maintain,
    Advance,
    StepBack,
}

impl Op {
    /// All of them, in the order of the enum.
    const ALL: [Self; 72] = [
        Self::Set,
        Self::SetWith,
        Self::SetEx,
        Self::SetIfAbsent,
        Self::Get,
        Self::GetWith,
        Self::GetInto,
        Self::GetMany,
        Self::Peek,
        Self::GetSet,
        Self::GetDel,
        Self::GetEx,
        Self::Append,
        Self::Strlen,
        Self::SetRange,
        Self::GetRange,
        Self::Lcs,
        Self::Update,
        Self::CompareAndSet,
        Self::RemoveIfEqual,
        Self::Incr,
        Self::Decr,
        Self::IncrBy,
        Self::DecrBy,
        Self::IncrByFloat,
        Self::SetMany,
        Self::SetManyIfAbsent,
        Self::SetManyWith,
        Self::Remove,
        Self::Del,
        Self::Exists,
        Self::Touch,
        Self::Rename,
        Self::RenameIfAbsent,
        Self::Copy,
        Self::MoveTo,
        Self::Swap,
        Self::Describe,
        Self::Expire,
        Self::ExpireAt,
        Self::Persist,
        Self::Ttl,
        Self::Scan,
        Self::Keys,
        Self::RandomKey,
        Self::ScanPrefix,
        Self::ScanRange,
        Self::Flush,
        Self::FlushAll,
        Self::Token,
        Self::InsertIf,
        Self::TypedInsertIf,
        Self::Lookup,
        Self::TypedLookup,
        Self::Invalidate,
        Self::InvalidateTag,
        Self::InvalidatePrefix,
        Self::InvalidateConnection,
        Self::InvalidateSlot,
        Self::InvalidateCopies,
        Self::Pin,
        Self::Unpin,
        Self::TypedSet,
        Self::TypedSetWith,
        Self::TypedGet,
        Self::TypedGetWith,
        Self::TypedUpdate,
        Self::TypedLoad,
        Self::TypedRemove,
        Self::Maintain,
        Self::Advance,
        Self::StepBack,
    ];
}

/// Those that fill an engine or let time pass come more often.
const FREQUENT: [Op; 12] = [
    Op::Set,
    Op::Set,
    Op::SetWith,
    Op::SetWith,
    Op::TypedSet,
    Op::Append,
    Op::SetRange,
    Op::SetMany,
    Op::InsertIf,
    Op::Copy,
    Op::Advance,
    Op::Expire,
];

/// Bytes by description, so that a failing case can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bytes {
    Text(&'static str),
    Integer(i64),
    Fill { len: usize, byte: u8 },
}

impl Bytes {
    pub(super) fn to_vec(&self) -> Vec<u8> {
        match *self {
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Integer(number) => number.to_string().into_bytes(),
            Self::Fill { len, byte } => (0..len).map(|i| byte ^ (i % 251).to_le_bytes()[0]).collect(),
        }
    }
}

/// One operation with more arguments than most of them need.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) db: usize,
    pub(super) to_db: usize,
    pub(super) key: usize,
    pub(super) to: usize,
    pub(super) value: Bytes,
    pub(super) number: i64,
    pub(super) span_ms: u64,
    pub(super) flags: usize,
}

impl Step {
    /// Whether the `bit`-th flag is up.
    pub(super) fn flag(&self, bit: u32) -> bool {
        self.flags >> bit & 1 == 1
    }
}

pub(super) fn bytes(len_max: usize) -> impl Strategy<Value = Bytes> {
    const TEXTS: [&str; 16] = [
        "",
        "v",
        "other",
        "42",
        "007",
        "-0",
        " 1",
        "+1",
        "3.0",
        "10.5",
        "-1e3",
        "inf",
        "9223372036854775808",
        "forty-four bytes of text are kept as embstr.",
        "forty-five bytes of text are kept as raw text",
        "é",
    ];
    prop_oneof![
        4 => prop::sample::select(&TEXTS[..]).prop_map(Bytes::Text),
        3 => prop::sample::select(vec![0, 1, -1, 42, i64::MAX, i64::MIN, i64::MAX - 1]).prop_map(Bytes::Integer),
        3 => (0..300usize, any::<u8>()).prop_map(|(len, byte)| Bytes::Fill { len, byte }),
        2 => (0..len_max, any::<u8>()).prop_map(|(len, byte)| Bytes::Fill { len, byte }),
    ]
}

fn numbers() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => -20..20i64,
        2 => -6_000..6_000i64,
        1 => prop::sample::select(vec![i64::MIN, i64::MAX, i64::MAX - 42, i64::MIN + 1]),
    ]
}

fn spans() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 1..200u64, 2 => 1..5_000u64, 1 => 1..100_000_000u64]
}

pub(super) fn step(len_max: usize) -> impl Strategy<Value = Step> {
    let op = prop_oneof![3 => prop::sample::select(&Op::ALL[..]), 1 => prop::sample::select(&FREQUENT[..])];
    let places = (0..4usize, 0..4usize, 0..12usize, 0..12usize);
    // Most steps meet in the first database.
    let db = prop_oneof![3 => Just(0usize), 1 => 0..4usize];
    (op, db, places, bytes(len_max), numbers(), spans(), any::<u16>()).prop_map(
        |(op, db, (_, to_db, key, to), value, number, span_ms, flags)| Step {
            op,
            db,
            to_db,
            key,
            to,
            value,
            number,
            span_ms,
            flags: usize::from(flags),
        },
    )
}

#[test]
fn every_operation_is_drawn() {
    for (i, op) in Op::ALL.into_iter().enumerate() {
        assert_eq!(op as usize, i, "the list is in the order of the enum, so nothing is left out");
    }
    assert_eq!(Op::ALL.last().copied(), Some(Op::StepBack), "the last one of the enum");
}
