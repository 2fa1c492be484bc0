//! What the operations mean: a map from key to value and deadline, and a clock.
//!
//! The plain twin of the engine. It forgets a key at its deadline, knows no limit and no encoding.

use std::collections::BTreeMap;

use crate::operation::{Condition, Expiry, Index, Operation};

/// What a call answers when it is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    Flag(bool),
    Number(i64),
    Bytes(Option<Vec<u8>>),
    Many(Vec<Option<Vec<u8>>>),
    /// `None` without the key, `Some(None)` without a deadline, else the milliseconds left.
    Left(Option<Option<u64>>),
    /// Sorted, each once.
    Keys(Vec<Vec<u8>>),
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotAnInteger,
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
    entries: BTreeMap<Vec<u8>, Entry>,
    pub(crate) now_ms: u64,
}

impl Model {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self { entries: BTreeMap::new(), now_ms }
    }

    pub(crate) fn entry(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Takes over that the engine has evicted a key.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        self.entries.remove(key);
    }

    pub(crate) fn keys(&self) -> Vec<Vec<u8>> {
        self.entries.keys().cloned().collect()
    }

    pub(crate) fn apply(&mut self, operation: &Operation) -> Result<Answer, Refusal> {
        match operation {
            Operation::Get { key, .. } => Ok(Answer::Bytes(self.value(&key.bytes()))),
            Operation::GetMany { keys } => {
                Ok(Answer::Many(keys.iter().flatten().map(|key| self.value(&key.bytes())).collect()))
            }
            Operation::GetRange { key, start, end } => {
                let value = self.value(&key.bytes()).unwrap_or_default();
                Ok(Answer::Bytes(Some(range(&value, *start, *end).to_vec())))
            }
            Operation::Strlen { key } => {
                Ok(Answer::Number(length(&self.value(&key.bytes()).unwrap_or_default())))
            }
            Operation::Exists { key } => Ok(Answer::Flag(self.entries.contains_key(&key.bytes()))),
            Operation::Ttl { key } => Ok(Answer::Left(self.left_ms(&key.bytes()))),
            Operation::Scan { .. } => Ok(Answer::Keys(self.keys())),
            Operation::Advance { span } => {
                self.now_ms += span.millis();
                let now_ms = self.now_ms;
                self.entries.retain(|_, entry| entry.deadline_ms.is_none_or(|deadline| now_ms < deadline));
                Ok(Answer::Nothing)
            }
            Operation::Maintain { .. } => Ok(Answer::Nothing),
            _ => self.write(operation),
        }
    }

    fn write(&mut self, operation: &Operation) -> Result<Answer, Refusal> {
        match operation {
            Operation::Set { key, value } => self.set(key.bytes(), value.bytes(), None),
            Operation::SetWith { key, value, condition, expiry } => {
                Ok(Answer::Flag(self.set_with(key.bytes(), value.bytes(), condition, expiry)))
            }
            Operation::SetMany { pairs } => {
                for (key, value) in pairs.iter().flatten() {
                    self.set(key.bytes(), value.bytes(), None)?;
                }
                Ok(Answer::Nothing)
            }
            Operation::GetSet { key, value } => {
                let before = self.value(&key.bytes());
                self.set(key.bytes(), value.bytes(), None)?;
                Ok(Answer::Bytes(before))
            }
            Operation::GetDel { key } => {
                Ok(Answer::Bytes(self.entries.remove(&key.bytes()).map(|entry| entry.value)))
            }
            Operation::Remove { key } => Ok(Answer::Flag(self.entries.remove(&key.bytes()).is_some())),
            Operation::Del { keys } => {
                let keys = keys.iter().flatten();
                let gone = keys.filter(|key| self.entries.remove(&key.bytes()).is_some()).count();
                Ok(Answer::Number(i64::try_from(gone).expect("at most three keys")))
            }
            Operation::Append { key, value } => {
                let entry = self.or_empty(key.bytes());
                entry.value.extend(value.bytes());
                Ok(Answer::Number(length(&entry.value)))
            }
            Operation::SetRange { key, offset, value } => {
                Ok(Answer::Number(self.set_range(key.bytes(), usize::from(*offset), &value.bytes())))
            }
            Operation::IncrBy { key, by } => self.incr_by(key.bytes(), *by),
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
                let entry = self.entries.get_mut(&key.bytes());
                Ok(Answer::Flag(entry.map(|entry| entry.deadline_ms = Some(deadline_ms)).is_some()))
            }
            Operation::Persist { key } => {
                let entry = self.entries.get_mut(&key.bytes());
                Ok(Answer::Flag(entry.is_some_and(|entry| entry.deadline_ms.take().is_some())))
            }
            Operation::Rename { from, to } => {
                let entry = self.entries.remove(&from.bytes()).ok_or(Refusal::NoSuchKey)?;
                self.entries.insert(to.bytes(), entry);
                Ok(Answer::Nothing)
            }
            Operation::Copy { from, to, replace } => self.copy(&from.bytes(), to.bytes(), *replace),
            other => unreachable!("{other:?} is handled before"),
        }
    }

    fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.entries.get(key).map(|entry| entry.value.clone())
    }

    fn left_ms(&self, key: &[u8]) -> Option<Option<u64>> {
        self.entries.get(key).map(|entry| entry.deadline_ms.map(|deadline| deadline - self.now_ms))
    }

    fn or_empty(&mut self, key: Vec<u8>) -> &mut Entry {
        self.entries.entry(key).or_insert(Entry { value: Vec::new(), deadline_ms: None })
    }

    fn set(&mut self, key: Vec<u8>, value: Vec<u8>, deadline_ms: Option<u64>) -> Result<Answer, Refusal> {
        self.entries.insert(key, Entry { value, deadline_ms });
        Ok(Answer::Nothing)
    }

    /// Tells whether the value was stored.
    fn set_with(&mut self, key: Vec<u8>, value: Vec<u8>, condition: &Condition, expiry: &Expiry) -> bool {
        let before = self.entries.get(&key);
        let takes_place = match condition {
            Condition::Always {} => true,
            Condition::IfAbsent {} => before.is_none(),
            Condition::IfPresent {} => before.is_some(),
        };
        if takes_place {
            let deadline_ms = match expiry {
                Expiry::None {} => None,
                Expiry::After { span } => Some(self.now_ms + span.millis()),
                Expiry::Keep {} => before.and_then(|entry| entry.deadline_ms),
            };
            self.entries.insert(key, Entry { value, deadline_ms });
        }
        takes_place
    }

    /// The new length. An empty patch makes nothing longer and no key.
    fn set_range(&mut self, key: Vec<u8>, offset: usize, patch: &[u8]) -> i64 {
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

    fn incr_by(&mut self, key: Vec<u8>, by: i64) -> Result<Answer, Refusal> {
        let before = match self.entries.get(&key) {
            Some(entry) => integer(&entry.value).ok_or(Refusal::NotAnInteger)?,
            None => 0,
        };
        let after = before.checked_add(by).ok_or(Refusal::Overflow)?;
        self.or_empty(key).value = after.to_string().into_bytes();
        Ok(Answer::Number(after))
    }

    fn copy(&mut self, from: &[u8], to: Vec<u8>, replace: bool) -> Result<Answer, Refusal> {
        if *from == *to {
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
