//! What the operations mean: a map from key to value and deadline, and a clock.
//!
//! The plain twin of the engine. It forgets a key at its deadline, knows no limit and no encoding.

use std::collections::BTreeMap;

use crate::operation::{Condition, Expiry, Index, Operation, Place, When, pair_places, together};

/// What a call answers when it is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    Flag(bool),
    Number(i64),
    Typed(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Many(Vec<Option<Vec<u8>>>),
    /// `None` without the key, `Some(None)` without a deadline, else the milliseconds left.
    Left(Option<Option<u64>>),
    /// Sorted, each once.
    Keys(Vec<Place>),
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotAnInteger,
    Codec,
    Overflow,
    NoSuchKey,
    SameObject,
    OutOfMemory,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: Vec<u8>,
    pub(crate) deadline_ms: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Model {
    entries: BTreeMap<Place, Entry>,
    pub(crate) now_ms: u64,
}

impl Model {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self { entries: BTreeMap::new(), now_ms }
    }

    pub(crate) fn entry(&self, key: &Place) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Takes over that the engine has evicted a key.
    pub(crate) fn forget(&mut self, key: &Place) {
        self.entries.remove(key);
    }

    pub(crate) fn places(&self) -> Vec<Place> {
        self.entries.keys().cloned().collect()
    }

    pub(crate) fn apply(&mut self, operation: &Operation) -> Result<Answer, Refusal> {
        match operation {
            Operation::Get { key, .. } => Ok(Answer::Bytes(self.value(&key.place()))),
            Operation::GetMany { keys } => {
                Ok(Answer::Many(together(keys).iter().map(|place| self.value(place)).collect()))
            }
            Operation::GetRange { key, start, end } => {
                let value = self.value(&key.place()).unwrap_or_default();
                Ok(Answer::Bytes(Some(range(&value, *start, *end).to_vec())))
            }
            Operation::Strlen { key } => {
                Ok(Answer::Number(length(&self.value(&key.place()).unwrap_or_default())))
            }
            Operation::Exists { key } => Ok(Answer::Flag(self.entries.contains_key(&key.place()))),
            Operation::Ttl { key } => Ok(Answer::Left(self.left_ms(&key.place()))),
            Operation::Scan { .. } => Ok(Answer::Keys(self.places())),
            Operation::Advance { span } => {
                self.now_ms += span.millis();
                self.bury();
                Ok(Answer::Nothing)
            }
            Operation::Maintain { .. } => Ok(Answer::Nothing),
            _ => self.write(operation),
        }
    }

    fn write(&mut self, operation: &Operation) -> Result<Answer, Refusal> {
        match operation {
            Operation::Set { key, value } => self.set(key.place(), value.bytes(), None),
            Operation::SetWith { key, value, condition, expiry } => {
                Ok(Answer::Flag(self.set_with(key.place(), value.bytes(), condition, expiry)))
            }
            Operation::SetMany { pairs } => {
                for (place, value) in pair_places(pairs) {
                    self.set(place, value, None)?;
                }
                Ok(Answer::Nothing)
            }
            Operation::SetManyIfAbsent { pairs } => {
                let pairs = pair_places(pairs);
                let absent = pairs.iter().all(|(place, _)| !self.entries.contains_key(place));
                for (place, value) in pairs.into_iter().filter(|_| absent) {
                    self.set(place, value, None)?;
                }
                Ok(Answer::Flag(absent))
            }
            Operation::TypedSet { key, number } => {
                self.set(key.place(), number.to_string().into_bytes(), None)
            }
            Operation::TypedGet { key } => Ok(Answer::Typed(self.typed(&key.place())?)),
            Operation::TypedAdd { key, by } => {
                let sum = self.typed(&key.place())?.unwrap_or(0).wrapping_add(*by);
                self.or_empty(key.place()).value = sum.to_string().into_bytes();
                Ok(Answer::Typed(Some(sum)))
            }
            Operation::GetEx { key, expiry } => self.get_ex(&key.place(), expiry),
            Operation::GetSet { key, value } => {
                let before = self.value(&key.place());
                self.set(key.place(), value.bytes(), None)?;
                Ok(Answer::Bytes(before))
            }
            Operation::GetDel { key } => {
                Ok(Answer::Bytes(self.entries.remove(&key.place()).map(|entry| entry.value)))
            }
            Operation::Remove { key } => Ok(Answer::Flag(self.entries.remove(&key.place()).is_some())),
            Operation::Del { keys } => {
                let gone =
                    together(keys).iter().filter(|place| self.entries.remove(*place).is_some()).count();
                Ok(Answer::Number(i64::try_from(gone).expect("at most three keys")))
            }
            Operation::Append { key, value } => {
                let entry = self.or_empty(key.place());
                entry.value.extend(value.bytes());
                Ok(Answer::Number(length(&entry.value)))
            }
            Operation::SetRange { key, offset, value } => {
                Ok(Answer::Number(self.set_range(key.place(), usize::from(*offset), &value.bytes())))
            }
            Operation::IncrBy { key, by } => self.incr_by(key.place(), *by),
            Operation::Flush {} => {
                self.entries.clear();
                Ok(Answer::Nothing)
            }
            _ => self.change_keys(operation),
        }
    }

    /// The operations on deadlines and names.
    fn change_keys(&mut self, operation: &Operation) -> Result<Answer, Refusal> {
        match operation {
            Operation::Expire { key, span } => {
                let deadline_ms = self.now_ms + span.millis();
                let entry = self.entries.get_mut(&key.place());
                Ok(Answer::Flag(entry.map(|entry| entry.deadline_ms = Some(deadline_ms)).is_some()))
            }
            Operation::Persist { key } => {
                let entry = self.entries.get_mut(&key.place());
                Ok(Answer::Flag(entry.is_some_and(|entry| entry.deadline_ms.take().is_some())))
            }
            Operation::Rename { from, to } => {
                let entry = self.entries.remove(&from.place()).ok_or(Refusal::NoSuchKey)?;
                self.entries.insert(to.beside(*from), entry);
                Ok(Answer::Nothing)
            }
            Operation::Copy { from, to, replace } => self.copy(&from.place(), to.place(), *replace),
            Operation::MoveTo { key, db } => {
                let moved = self.copy(&key.place(), (db.number(), key.bytes()), false)?;
                if moved == Answer::Flag(true) {
                    self.entries.remove(&key.place());
                }
                Ok(moved)
            }
            Operation::ExpireAt { key, at, when } => {
                let acts = self.expire_at(&key.place(), at.at_ms(self.now_ms), when);
                Ok(Answer::Flag(acts))
            }
            Operation::Swap { a, b } => {
                let (a, b) = (a.number(), b.number());
                let entries = std::mem::take(&mut self.entries);
                let swapped = |db| {
                    if db == a {
                        b
                    } else if db == b {
                        a
                    } else {
                        db
                    }
                };
                self.entries = entries.into_iter().map(|((db, name), e)| ((swapped(db), name), e)).collect();
                Ok(Answer::Nothing)
            }
            other => unreachable!("{other:?} is handled before"),
        }
    }

    fn value(&self, key: &Place) -> Option<Vec<u8>> {
        self.entries.get(key).map(|entry| entry.value.clone())
    }

    fn left_ms(&self, key: &Place) -> Option<Option<u64>> {
        self.entries.get(key).map(|entry| entry.deadline_ms.map(|deadline| deadline - self.now_ms))
    }

    fn or_empty(&mut self, key: Place) -> &mut Entry {
        self.entries.entry(key).or_insert(Entry { value: Vec::new(), deadline_ms: None })
    }

    fn set(&mut self, key: Place, value: Vec<u8>, deadline_ms: Option<u64>) -> Result<Answer, Refusal> {
        self.entries.insert(key, Entry { value, deadline_ms });
        Ok(Answer::Nothing)
    }

    /// Tells whether the value was stored.
    fn set_with(&mut self, key: Place, value: Vec<u8>, condition: &Condition, expiry: &Expiry) -> bool {
        let before = self.entries.get(&key);
        let takes_place = match condition {
            Condition::Always {} => true,
            Condition::IfAbsent {} => before.is_none(),
            Condition::IfPresent {} => before.is_some(),
            Condition::IfEqual { value } => before.is_some_and(|entry| entry.value == value.bytes()),
            Condition::IfNotEqual { value } => before.is_none_or(|entry| entry.value != value.bytes()),
        };
        if takes_place {
            let deadline_ms = self.deadline(expiry, before.and_then(|entry| entry.deadline_ms));
            self.entries.insert(key, Entry { value, deadline_ms });
            self.bury();
        }
        takes_place
    }

    fn deadline(&self, expiry: &Expiry, before: Option<u64>) -> Option<u64> {
        match expiry {
            Expiry::None {} => None,
            Expiry::After { span } => Some(self.now_ms + span.millis()),
            Expiry::Keep {} => before,
            Expiry::At { at } => Some(at.at_ms(self.now_ms)),
        }
    }

    /// Removes what is past its deadline.
    fn bury(&mut self) {
        let now_ms = self.now_ms;
        self.entries.retain(|_, entry| entry.deadline_ms.is_none_or(|deadline| now_ms < deadline));
    }

    /// Tells whether the deadline was set; one that has passed removes the key.
    fn expire_at(&mut self, key: &Place, at_ms: u64, when: &When) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let acts = match (when, entry.deadline_ms) {
            (When::Always {}, _)
            | (When::IfNone {} | When::IfEarlier {}, None)
            | (When::IfAny {}, Some(_)) => true,
            (When::IfNone {}, Some(_)) | (When::IfAny {} | When::IfLater {}, None) => false,
            (When::IfLater {}, Some(before)) => at_ms > before,
            (When::IfEarlier {}, Some(before)) => at_ms < before,
        };
        if acts {
            entry.deadline_ms = Some(at_ms);
            self.bury();
        }
        acts
    }

    /// Reads, and sets the deadline; an expiry of the default kind leaves it.
    fn get_ex(&mut self, key: &Place, expiry: &Expiry) -> Result<Answer, Refusal> {
        let value = self.value(key);
        let before = self.entries.get(key).and_then(|entry| entry.deadline_ms);
        let after = if *expiry == (Expiry::None {}) { before } else { self.deadline(expiry, before) };
        if let Some(entry) = self.entries.get_mut(key) {
            entry.deadline_ms = after;
        }
        self.bury();
        Ok(Answer::Bytes(value))
    }

    fn typed(&self, key: &Place) -> Result<Option<i64>, Refusal> {
        let Some(entry) = self.entries.get(key) else { return Ok(None) };
        integer(&entry.value).map(Some).ok_or(Refusal::Codec)
    }

    /// The new length. An empty patch makes nothing longer and no key.
    fn set_range(&mut self, key: Place, offset: usize, patch: &[u8]) -> i64 {
        if patch.is_empty() {
            return length(&self.value(&key).unwrap_or_default());
        }
        let entry = self.or_empty(key);
        let end = offset + patch.len();
        if entry.value.len() < end {
            entry.value.resize(end, 0);
        }
        entry.value[offset..end].copy_from_slice(patch);
        length(&entry.value)
    }

    fn incr_by(&mut self, key: Place, by: i64) -> Result<Answer, Refusal> {
        let before = match self.entries.get(&key) {
            Some(entry) => integer(&entry.value).ok_or(Refusal::NotAnInteger)?,
            None => 0,
        };
        let after = before.checked_add(by).ok_or(Refusal::Overflow)?;
        self.or_empty(key).value = after.to_string().into_bytes();
        Ok(Answer::Number(after))
    }

    fn copy(&mut self, from: &Place, to: Place, replace: bool) -> Result<Answer, Refusal> {
        if *from == to {
            return Err(Refusal::SameObject);
        }
        let Some(entry) = self.entries.get(from).cloned() else { return Ok(Answer::Flag(false)) };
        if !replace && self.entries.contains_key(&to) {
            return Ok(Answer::Flag(false));
        }
        self.entries.insert(to, entry);
        Ok(Answer::Flag(true))
    }
}

fn length(value: &[u8]) -> i64 {
    i64::try_from(value.len()).expect("a value's length fits 63 bits")
}

/// The integer whose one text form this is: no sign for plus, no leading zero, no blank.
fn integer(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// Redis's GETRANGE: both ends included, negative indices count from the end.
fn range(value: &[u8], start: Index, end: Index) -> &[u8] {
    let (start, end) = (start.value(), end.value());
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let count = length(value);
    let from_front = |index: i64| if index < 0 { (count + index).max(0) } else { index };
    let (start, end) = (from_front(start), from_front(end).min(count - 1));
    if start > end {
        return &[];
    }
    let at = |index: i64| usize::try_from(index).expect("an index inside the value");
    &value[at(start)..=at(end)]
}

#[cfg(test)]
mod tests {
    use super::{integer, range};
    use crate::operation::Index;

    #[test]
    fn only_the_canonical_text_is_an_integer() {
        for (text, number) in [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX)] {
            assert_eq!(integer(text.as_bytes()), Some(number));
        }
        for text in ["", "-", "-0", "+1", "01", " 1", "1 ", "9223372036854775808", "1.0"] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn ranges_are_those_of_redis() {
        let slice = |start: i64, end: i64| {
            let index = |value: i64| Index(u8::try_from(value + 127).expect("a small index"));
            range(b"hello", index(start), index(end)).to_vec()
        };
        assert_eq!(slice(0, 1), b"he");
        assert_eq!(slice(-3, -1), b"llo");
        assert_eq!(slice(1, 100), b"ello");
        assert_eq!(slice(-100, 1), b"he");
        assert_eq!(slice(0, -100), b"h");
        assert_eq!(slice(3, 2), b"");
        assert_eq!(slice(7, 9), b"");
        assert_eq!(range(b"", Index(127), Index(126)), b"");
    }
}
