//! The committed corpus of `operations`: small scripts, each for one part of the engine.
//!
//! The files in `corpus/operations` are these scripts in bytes, plus inputs that once failed. After a
//! change here, or of the byte format: `LARDER_WRITE_SEEDS=1 cargo test --manifest-path fuzz/Cargo.toml
//! --no-default-features`.

use crate::input::Field;
use crate::operation::{
    Condition, Database, Expiry, Index, Key, Limit, Moment, Operation, Reading, Setup, Span, Value, When,
};

const K1: Key = Key(1);
const K2: Key = Key(2);
const EMPTY_KEY: Key = Key(255);
const LONG_KEY: Key = Key(250);
/// The index of a value's first byte and of its last.
const FIRST: Index = Index(127);
const LAST: Index = Index(126);

/// Each seed's file name and bytes.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("strings", encoded(unbounded(0), &strings())),
        ("counters", encoded(unbounded(1), &counters())),
        ("deadlines", encoded(unbounded(2), &deadlines())),
        ("wheel", encoded(unbounded(0), &wheel())),
        ("names", encoded(unbounded(3), &names())),
        ("lengths", encoded(unbounded(0), &lengths())),
        ("conditions", encoded(unbounded(1), &conditions())),
        ("databases", encoded(unbounded(2), &databases())),
        ("typed", encoded(unbounded(0), &typed())),
        ("typed_evicted", encoded(bounded(Limit::Entries(3), 8), &typed())),
        ("evict_entries", encoded(bounded(Limit::Entries(8), 8), &crowd())),
        ("evict_memory", encoded(bounded(Limit::Memory(4), 1), &crowd())),
        ("evict_volatile", encoded(bounded(Limit::Entries(5), 7), &crowd())),
        ("refuse_memory", encoded(bounded(Limit::Memory(2), 0), &crowd())),
    ]
}

fn unbounded(shards_log2: u8) -> Setup {
    Setup { limit: Limit::None, policy: 0, shards_log2 }
}

fn bounded(limit: Limit, policy: u8) -> Setup {
    Setup { limit, policy, shards_log2: 1 }
}

fn encoded(setup: Setup, script: &[Operation]) -> Vec<u8> {
    let mut out = Vec::new();
    setup.encode(&mut out);
    script.iter().for_each(|operation| operation.encode(&mut out));
    out
}

fn raw(text: &str) -> Value {
    Value::Raw { bytes: text.as_bytes().to_vec() }
}

fn number(number: i64) -> Value {
    Value::Number { number }
}

fn strings() -> Vec<Operation> {
    vec![
        Operation::Get { key: K1, how: Reading::Get {} },
        Operation::Set { key: K1, value: raw("hello") },
        Operation::Get { key: K1, how: Reading::InPlace {} },
        Operation::Get { key: K1, how: Reading::IntoBuffer {} },
        Operation::Append { key: K1, value: raw(" world") },
        Operation::Strlen { key: K1 },
        Operation::GetRange { key: K1, start: FIRST, end: LAST },
        Operation::GetRange { key: K1, start: Index(254), end: Index(255) },
        Operation::SetRange { key: K1, offset: 20, value: raw("far") },
        Operation::SetRange { key: K2, offset: 9, value: raw("") },
        Operation::GetSet { key: K1, value: raw("") },
        Operation::SetMany { pairs: [Some((K1, raw("a"))), Some((K2, raw("b"))), Some((K1, raw("c")))] },
        Operation::GetMany { keys: [Some(K1), Some(Key(9)), Some(K1)] },
        Operation::Del { keys: [Some(K1), Some(K1), Some(K2)] },
        Operation::GetDel { key: K1 },
        Operation::Set { key: EMPTY_KEY, value: raw("the empty key") },
        Operation::Get { key: EMPTY_KEY, how: Reading::Peek {} },
        Operation::Remove { key: EMPTY_KEY },
    ]
}

fn counters() -> Vec<Operation> {
    vec![
        Operation::IncrBy { key: K1, by: 7 },
        Operation::IncrBy { key: K1, by: -8 },
        Operation::Append { key: K1, value: raw("0") },
        Operation::IncrBy { key: K1, by: 1 },
        Operation::Set { key: K2, value: number(i64::MAX) },
        Operation::IncrBy { key: K2, by: 1 },
        Operation::Set { key: K2, value: number(i64::MIN) },
        Operation::IncrBy { key: K2, by: -1 },
        Operation::IncrBy { key: K2, by: i64::MAX },
        Operation::Set { key: K1, value: raw("-0") },
        Operation::IncrBy { key: K1, by: 1 },
        Operation::Set { key: K1, value: raw("007") },
        Operation::IncrBy { key: K1, by: 1 },
    ]
}

fn deadlines() -> Vec<Operation> {
    let short = Span::Millis { count: 10 };
    let after = Expiry::After { span: short.clone() };
    vec![
        Operation::SetWith {
            key: K1,
            value: raw("v"),
            condition: Condition::IfAbsent {},
            expiry: after.clone(),
        },
        Operation::Ttl { key: K1 },
        Operation::SetWith {
            key: K1,
            value: raw("w"),
            condition: Condition::IfAbsent {},
            expiry: after.clone(),
        },
        Operation::Append { key: K1, value: raw("w") },
        Operation::Advance { span: Span::Millis { count: 9 } },
        Operation::Get { key: K1, how: Reading::Get {} },
        Operation::SetWith {
            key: K1,
            value: number(5),
            condition: Condition::IfPresent {},
            expiry: Expiry::Keep {},
        },
        Operation::IncrBy { key: K1, by: 1 },
        Operation::Advance { span: Span::Millis { count: 1 } },
        Operation::Exists { key: K1 },
        Operation::IncrBy { key: K1, by: 1 },
        Operation::Ttl { key: K1 },
        Operation::Expire { key: K1, span: short.clone() },
        Operation::Persist { key: K1 },
        Operation::Persist { key: K1 },
        Operation::Advance { span: short.clone() },
        Operation::Expire { key: K1, span: short.clone() },
        Operation::Set { key: K1, value: raw("clears the deadline") },
        Operation::Advance { span: short },
        Operation::Get { key: K1, how: Reading::Peek {} },
        Operation::Expire { key: Key(5), span: Span::Hours { count: 1 } },
    ]
}

/// Deadlines on every level of a timing wheel, and leaps over them.
fn wheel() -> Vec<Operation> {
    let spans = [
        Span::Millis { count: 1 },
        Span::Millis { count: 300 },
        Span::Seconds { count: 70 },
        Span::Hours { count: 3 },
        Span::Hours { count: 800 },
        Span::Hours { count: u16::MAX },
    ];
    let mut script = Vec::new();
    for (key, span) in (0u8..).zip(&spans) {
        script.push(Operation::Set { key: Key(key), value: number(key.into()) });
        script.push(Operation::Expire { key: Key(key), span: span.clone() });
    }
    for span in spans {
        script.push(Operation::Advance { span });
        script.push(Operation::Maintain { keys: 1 });
        script.push(Operation::Scan { page: 2 });
    }
    script
}

fn names() -> Vec<Operation> {
    vec![
        Operation::Rename { from: K1, to: K2 },
        Operation::Set { key: K1, value: raw("one") },
        Operation::Expire { key: K1, span: Span::Seconds { count: 5 } },
        Operation::Copy { from: K1, to: K2, replace: false },
        Operation::Copy { from: K1, to: K2, replace: false },
        Operation::Copy { from: K1, to: K1, replace: true },
        Operation::Append { key: K2, value: raw("+") },
        Operation::Copy { from: K2, to: K1, replace: true },
        Operation::Rename { from: K1, to: K1 },
        Operation::Rename { from: K1, to: LONG_KEY },
        Operation::Ttl { key: LONG_KEY },
        Operation::Rename { from: K2, to: LONG_KEY },
        Operation::Advance { span: Span::Seconds { count: 5 } },
        Operation::Rename { from: LONG_KEY, to: K1 },
        Operation::Copy { from: LONG_KEY, to: K1, replace: true },
        Operation::Scan { page: 0 },
        Operation::Flush {},
        Operation::Scan { page: 1 },
    ]
}

/// Values around the lengths where a representation may change.
fn lengths() -> Vec<Operation> {
    let mut script = Vec::new();
    for length in [0, 1, 15, 16, 22, 23, 24, 63, 64, 255, 256, 4095, 4096, u16::MAX] {
        script.push(Operation::Set { key: K1, value: Value::Fill { byte: b'x', length } });
        script.push(Operation::Append { key: K1, value: raw("y") });
        script.push(Operation::GetRange { key: K1, start: Index(120), end: LAST });
        script.push(Operation::SetRange { key: K1, offset: length, value: raw("zz") });
        script.push(Operation::GetSet { key: K1, value: raw("short again") });
    }
    script
}

fn conditions() -> Vec<Operation> {
    let soon = Moment::Later { span: Span::Seconds { count: 9 } };
    let past = Moment::Earlier { span: Span::Seconds { count: 9 } };
    let set =
        |value: &str, condition, expiry| Operation::SetWith { key: K1, value: raw(value), condition, expiry };
    let expire_at = |at: &Moment, when| Operation::ExpireAt { key: K1, at: at.clone(), when };
    vec![
        set("a", Condition::IfEqual { value: raw("a") }, Expiry::None {}),
        set("a", Condition::IfNotEqual { value: raw("a") }, Expiry::At { at: soon.clone() }),
        set("b", Condition::IfEqual { value: raw("a") }, Expiry::Keep {}),
        set("c", Condition::IfNotEqual { value: raw("b") }, Expiry::Keep {}),
        expire_at(&soon, When::IfNone {}),
        expire_at(&soon, When::IfLater {}),
        expire_at(&Moment::Later { span: Span::Millis { count: 1 } }, When::IfEarlier {}),
        expire_at(&soon, When::IfAny {}),
        Operation::Persist { key: K1 },
        expire_at(&soon, When::IfLater {}),
        expire_at(&soon, When::IfEarlier {}),
        Operation::GetEx { key: K1, expiry: Expiry::Keep {} },
        Operation::GetEx { key: K1, expiry: Expiry::After { span: Span::Seconds { count: 3 } } },
        Operation::GetEx { key: K1, expiry: Expiry::At { at: past.clone() } },
        Operation::Exists { key: K1 },
        set("d", Condition::Always {}, Expiry::At { at: Moment::Now {} }),
        set("e", Condition::Always {}, Expiry::None {}),
        expire_at(&past, When::Always {}),
        Operation::SetManyIfAbsent {
            pairs: [Some((K1, raw("1"))), Some((K2, raw("2"))), Some((K1, raw("3")))],
        },
        Operation::SetManyIfAbsent { pairs: [Some((Key(3), raw("1"))), Some((K2, raw("2"))), None] },
        Operation::Scan { page: 1 },
    ]
}

/// Keys of the same names in three databases.
fn databases() -> Vec<Operation> {
    let [first, second, third] = [Key(1), Key(97), Key(169)];
    vec![
        Operation::Set { key: first, value: raw("first") },
        Operation::Set { key: second, value: raw("second") },
        Operation::MoveTo { key: second, db: Database(0) },
        Operation::MoveTo { key: second, db: Database(2) },
        Operation::Get { key: third, how: Reading::Get {} },
        Operation::Copy { from: third, to: first, replace: true },
        Operation::Expire { key: first, span: Span::Seconds { count: 2 } },
        Operation::Swap { a: Database(0), b: Database(1) },
        Operation::Get { key: second, how: Reading::Get {} },
        Operation::Ttl { key: second },
        Operation::Scan { page: 2 },
        Operation::Advance { span: Span::Seconds { count: 2 } },
        Operation::Maintain { keys: 9 },
        Operation::Swap { a: Database(2), b: Database(2) },
        Operation::Set { key: Key(80), value: raw("x") },
        Operation::Flush {},
    ]
}

/// One number as bytes, as an object, and changed through both.
fn typed() -> Vec<Operation> {
    vec![
        Operation::TypedSet { key: K1, number: -7 },
        Operation::TypedGet { key: K1 },
        Operation::Get { key: K1, how: Reading::Get {} },
        Operation::IncrBy { key: K1, by: 8 },
        Operation::TypedAdd { key: K1, by: 41 },
        Operation::Append { key: K1, value: raw("0") },
        Operation::TypedGet { key: K1 },
        Operation::TypedAdd { key: K2, by: i64::MIN },
        Operation::TypedAdd { key: K2, by: -1 },
        Operation::Copy { from: K2, to: K1, replace: true },
        Operation::Expire { key: K1, span: Span::Seconds { count: 4 } },
        Operation::TypedAdd { key: K1, by: 1 },
        Operation::SetRange { key: K1, offset: 1, value: raw("x") },
        Operation::TypedGet { key: K1 },
        Operation::Rename { from: K2, to: Key(3) },
        Operation::GetSet { key: Key(3), value: number(5) },
        Operation::TypedGet { key: Key(3) },
        Operation::GetDel { key: Key(3) },
        Operation::TypedSet { key: K2, number: i64::MAX },
        Operation::IncrBy { key: K2, by: 1 },
        Operation::SetWith {
            key: K2,
            value: raw("6"),
            condition: Condition::IfEqual { value: number(i64::MAX) },
            expiry: Expiry::None {},
        },
        Operation::Scan { page: 3 },
    ]
}

/// More keys and bytes than any limit of the seeds holds, with reads in between.
fn crowd() -> Vec<Operation> {
    let mut script = Vec::new();
    for round in 0u8..3 {
        for key in 0u8..24 {
            let length = 1_500 * (u16::from(key % 5) + u16::from(round));
            let value = Value::Fill { byte: b'a' + key, length };
            if key % 3 == 0 {
                let expiry = Expiry::After { span: Span::Seconds { count: u16::from(key) + 1 } };
                let condition = Condition::Always {};
                script.push(Operation::SetWith { key: Key(key), value, condition, expiry });
            } else {
                script.push(Operation::Set { key: Key(key), value });
            }
            script.push(Operation::Get { key: Key(key / 2), how: Reading::Get {} });
        }
        script.push(Operation::Append { key: Key(23), value: Value::Fill { byte: b'+', length: 9_000 } });
        script.push(Operation::Copy { from: Key(22), to: Key(3), replace: true });
        script.push(Operation::Scan { page: 5 });
        script.push(Operation::Advance { span: Span::Seconds { count: 4 } });
        script.push(Operation::Maintain { keys: 3 });
    }
    script
}

#[cfg(test)]
mod tests {
    use super::seeds;
    use crate::input::{Field, Input};
    use crate::operation::{Operation, Setup};

    #[test]
    fn a_seed_decodes_to_what_was_encoded() {
        for (name, bytes) in seeds() {
            let mut input = Input::new(&bytes);
            let mut again = Vec::new();
            input.take::<Setup>().expect("a seed has a header").encode(&mut again);
            while let Some(operation) = input.take::<Operation>() {
                operation.encode(&mut again);
            }
            assert_eq!(again, bytes, "{name}");
        }
    }
}
