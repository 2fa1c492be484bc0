//! Steps on strings and numbers.

use std::time::Duration;

use super::model::{Entry, Form, Place, Times, get_range, integer, lcs_len};
use super::steps::{Op, Step};
use super::world::World;
use crate::collections::string::long_double::add_texts;
use crate::{Engine, OpError, SetOptions, SetOutcome, UnixMillis, Value};

/// The hard deadline and the idle span that options ask for, as model and engine see them.
struct Asked {
    options: SetOptions,
    times: Times,
}

fn bytes_of(value: Option<Value>) -> Option<Vec<u8>> {
    value.map(Vec::from)
}

fn milliseconds(span: u64) -> Duration {
    Duration::from_millis(span)
}

impl World {
    /// Options of a step: expiry by flags 4 to 6, idle by flag 7.
    fn asked(&self, step: &Step, place: &Place) -> Asked {
        let now = self.model.now;
        let kept = self.model.times(place);
        let idle = (step.flag(7) && step.flag(8)).then_some(step.span_ms / 2 + 1);
        let mut options = SetOptions::new();
        if let Some(idle) = idle {
            options = options.idle(milliseconds(idle));
        }
        let (options, hard, idle) = match step.flags >> 4 & 7 {
            0 | 1 => (options.ttl(milliseconds(step.span_ms)), Some(now + step.span_ms), idle),
            2 => {
                let at = (now + step.span_ms).saturating_sub(50);
                (options.expire_at(UnixMillis(at)), Some(at), idle)
            }
            3 | 4 => {
                let hard = kept.idle.map_or(kept.deadline, |idle| idle.hard);
                (options.keep_ttl(), hard, idle.or(kept.idle.map(|idle| idle.span)))
            }
            5 => (options.no_expiry(), None, idle),
            _ => (options, None, idle),
        };
        Asked { options, times: Times::new(hard, idle, now) }
    }

    /// The model of SET: the value as given, with these times.
    pub(super) fn store(&mut self, place: &Place, bytes: Vec<u8>, times: Times, form: Form) {
        self.model.put(place, Entry::new(bytes, times, form));
    }

    fn set_with(&mut self, step: &Step, engine: &Engine, place: &Place, value: Vec<u8>) {
        let asked = self.asked(step, place);
        let old = self.model.bytes(place);
        let other = step.number.to_string().into_bytes();
        let expected = if step.flag(9) { old.clone().unwrap_or_default() } else { other };
        let (mut options, holds) = match step.flags & 7 {
            0 => (asked.options.if_absent(), old.is_none()),
            1 => (asked.options.if_present(), old.is_some()),
            2 => (asked.options.if_equal(&expected), old.as_ref() == Some(&expected)),
            3 => (asked.options.if_not_equal(&expected), old.as_ref() != Some(&expected)),
            _ => (asked.options, true),
        };
        if step.flag(3) {
            options = options.return_old();
        }
        let shown = if step.flag(3) { old } else { None };
        let Some(got) = self.granted(engine.set_with(&place.1, &value, options)) else { return };
        let (stored, old) = match got {
            SetOutcome::Stored { old } => (true, old),
            SetOutcome::Refused { old } => (false, old),
        };
        assert_eq!((stored, bytes_of(old)), (holds, shown));
        if holds {
            self.store(place, value, asked.times, Form::Plain);
        }
    }

    pub(super) fn apply_string(&mut self, step: &Step) -> bool {
        let engine = self.dbs[step.db].clone();
        let (place, value) = (self.place(step), step.value.to_vec());
        let key = place.1.clone();
        let old = self.model.bytes(&place);
        let plain = |world: &mut Self, bytes| world.store(&place, bytes, Times::default(), Form::Plain);
        match step.op {
            Op::Set if self.check(engine.set(&key, &value), ()) => plain(self, value),
            Op::SetWith => self.set_with(step, &engine, &place, value),
            Op::SetEx if self.check(engine.set_ex(&key, milliseconds(step.span_ms), &value), ()) => {
                self.store(&place, value, Times::at(self.model.now + step.span_ms), Form::Plain);
            }
            Op::SetIfAbsent if self.check(engine.set_if_absent(&key, &value), old.is_none()) => {
                if old.is_none() {
                    plain(self, value);
                }
            }
            Op::GetSet if self.check(engine.get_set(&key, &value).map(bytes_of), old.clone()) => {
                plain(self, value)
            }
            Op::GetDel if self.check(engine.get_del(&key).map(bytes_of), old.clone()) => {
                // A negative copy is not there to be deleted.
                old.map(|_| self.model.entries.remove(&place));
            }
            Op::GetEx => self.get_ex(step, &engine, &place),
            Op::Update => self.update(step, &engine, &place, value),
            Op::CompareAndSet => {
                let expected = if step.flag(9) { old.clone().unwrap_or_default() } else { b"other".to_vec() };
                let same = old.as_ref() == Some(&expected);
                if self.check(engine.compare_and_set(&key, &expected, &value), same) && same {
                    self.replace(&place, value);
                }
            }
            Op::RemoveIfEqual => {
                let expected = if step.flag(9) { old.clone().unwrap_or_default() } else { b"other".to_vec() };
                let same = old.as_ref() == Some(&expected);
                if self.check(engine.remove_if_equal(&key, &expected), same) && same {
                    self.model.entries.remove(&place);
                }
            }
            Op::Append | Op::SetRange => self.edit(step, &engine, &place, old, value),
            Op::Set | Op::SetEx | Op::SetIfAbsent | Op::GetSet | Op::GetDel => {}
            _ => return self.apply_read(step),
        }
        true
    }

    fn apply_read(&mut self, step: &Step) -> bool {
        let engine = self.dbs[step.db].clone();
        let place = self.place(step);
        let (key, old) = (place.1.clone(), self.model.bytes(&place));
        match step.op {
            Op::Get => assert_eq!(bytes_of(engine.get(key).unwrap()), old),
            Op::GetWith => assert_eq!(engine.get_with(key, <[u8]>::to_vec).unwrap(), old),
            Op::GetInto => {
                let mut buffer = b"rest of another read".to_vec();
                assert_eq!(engine.get_into(key, &mut buffer).unwrap(), old.is_some());
                assert_eq!(buffer, old.unwrap_or_default());
            }
            Op::GetMany => {
                let batch = self.batch(step);
                let keys: Vec<_> = batch.iter().map(|place| &place.1).collect();
                let got: Vec<_> = engine.get_many(&keys).unwrap().into_iter().map(bytes_of).collect();
                for (place, got) in batch.iter().zip(got) {
                    // Bytes that one read of an object keeps may push out what the next one looks for.
                    let pushed_out = got.is_none() && self.was_evicted(place);
                    assert!(pushed_out || got == self.model.bytes(place), "{place:?}: {got:?}");
                }
            }
            Op::Peek => assert_eq!(bytes_of(engine.peek(key).unwrap()), old),
            Op::Strlen => {
                self.check(engine.strlen(key), old.map_or(0, |old| old.len() as u64));
            }
            Op::GetRange => {
                let (start, end) =
                    (step.number, step.number.wrapping_add(i64::try_from(step.span_ms).unwrap()));
                let end = if step.flag(0) { end } else { -3 };
                let want = get_range(&old.unwrap_or_default(), start, end);
                self.check(engine.get_range(key, start, end).map(Vec::from), want);
            }
            Op::Lcs => {
                let other = (step.db, self.keys[step.to].clone());
                let (a, b) = (old.unwrap_or_default(), self.model.bytes(&other).unwrap_or_default());
                if a.len() * b.len() < 100_000 && !self.limited {
                    let common = engine.lcs(&key, &other.1).unwrap();
                    assert_eq!(common.len() as u64, lcs_len(&a, &b));
                    assert_eq!(engine.lcs_len(&key, &other.1).unwrap(), lcs_len(&a, &b));
                    let runs = engine.lcs_runs(&key, &other.1, 0).unwrap();
                    let bytes: Vec<u8> =
                        runs.runs.iter().rev().flat_map(|r| a[r.first.0..=r.first.1].to_vec()).collect();
                    assert_eq!(bytes, &*common);
                }
            }
            _ => return false,
        }
        true
    }

    /// A new value with the old expiry; what idles begins to idle anew.
    fn replace(&mut self, place: &Place, bytes: Vec<u8>) {
        let times = match self.model.times(place) {
            Times { idle: Some(idle), .. } => Times::new(idle.hard, Some(idle.span), self.model.now),
            times => times,
        };
        self.store(place, bytes, times, Form::Plain);
    }

    fn get_ex(&mut self, step: &Step, engine: &Engine, place: &Place) {
        let old = self.model.bytes(place);
        if step.flag(10) {
            assert_eq!(bytes_of(engine.get_ex(&place.1, SetOptions::new()).unwrap()), old);
            return;
        }
        let asked = self.asked(step, place);
        let changes = old.is_some() && asked.options != SetOptions::new();
        if self.check(engine.get_ex(&place.1, asked.options).map(bytes_of), old) && changes {
            self.model.set_times(place, asked.times);
        }
    }

    fn update(&mut self, step: &Step, engine: &Engine, place: &Place, value: Vec<u8>) {
        let old = self.model.bytes(place);
        let new = (!step.flag(0)).then_some(value);
        let got = engine.update(&place.1, |seen| {
            assert_eq!(seen, old.as_deref());
            new.clone()
        });
        if !self.check(got.map(bytes_of), new.clone()) {
            return;
        }
        match (old, new) {
            (None, None) => {}
            (Some(_), None) => drop(self.model.entries.remove(place)),
            (None, Some(new)) => self.store(place, new, Times::default(), Form::Plain),
            (Some(_), Some(new)) => self.replace(place, new),
        }
    }

    fn edit(&mut self, step: &Step, engine: &Engine, place: &Place, old: Option<Vec<u8>>, value: Vec<u8>) {
        let key = &place.1;
        let mut new = old.clone().unwrap_or_default();
        if step.op == Op::Append {
            new.extend_from_slice(&value);
            if self.check(engine.append(key, &value), new.len() as u64) {
                let form = if old.is_some() { Form::Grown } else { Form::Plain };
                self.model.change(place, new, form);
            }
            return;
        }
        let offset = usize::try_from(step.number.unsigned_abs() % 6_000).unwrap();
        if value.is_empty() {
            assert_eq!(self.granted(engine.set_range(key, offset as u64, &value)), Some(new.len() as u64));
            return;
        }
        new.resize(new.len().max(offset + value.len()), 0);
        new[offset..offset + value.len()].copy_from_slice(&value);
        if self.check(engine.set_range(key, offset as u64, &value), new.len() as u64) {
            self.model.change(place, new, Form::Grown);
        }
    }

    pub(super) fn apply_number(&mut self, step: &Step) -> bool {
        let engine = self.dbs[step.db].clone();
        let place = self.place(step);
        let (key, old) = (place.1.clone(), self.model.bytes(&place));
        let (got, by) = match step.op {
            Op::Incr => (engine.incr(key), Some(1)),
            Op::Decr => (engine.decr(key), Some(-1)),
            Op::IncrBy => (engine.incr_by(key, step.number), Some(step.number)),
            Op::DecrBy => (engine.decr_by(key, step.number), step.number.checked_neg()),
            Op::IncrByFloat => {
                self.incr_by_float(step, &engine, &place, old);
                return true;
            }
            Op::SetMany | Op::SetManyIfAbsent | Op::SetManyWith => {
                self.set_many(step, &engine);
                return true;
            }
            _ => return false,
        };
        let now = old.map_or(Some(0), |old| integer(&old));
        let want = match (by, now) {
            (None, _) => Err(OpError::Overflow),
            (_, None) => Err(OpError::NotAnInteger),
            (Some(by), Some(now)) => now.checked_add(by).ok_or(OpError::Overflow),
        };
        if self.check_result(got, want.clone()) {
            if let Ok(sum) = want {
                self.model.change(&place, sum.to_string().into_bytes(), Form::Plain);
            }
        }
        true
    }

    fn incr_by_float(&mut self, step: &Step, engine: &Engine, place: &Place, old: Option<Vec<u8>>) {
        let by = step.value.to_vec();
        // Adding itself is tested beside its code.
        let sum = add_texts(&old.unwrap_or_else(|| b"0".to_vec()), &by);
        let got = engine.incr_by_float(&place.1, &by).map(Vec::from);
        match sum {
            Ok(sum) => {
                if self.check(got, sum.as_bytes().to_vec()) {
                    self.model.change(place, sum.into_bytes(), Form::Text);
                }
            }
            Err(_) => {
                let refused = self.limited && matches!(got, Err(OpError::OutOfMemory { .. }));
                assert!(refused || matches!(got, Err(OpError::NotAFloat | OpError::Overflow)), "{got:?}");
            }
        }
    }

    fn set_many(&mut self, step: &Step, engine: &Engine) {
        let places = self.batch(step);
        let value = step.value.to_vec();
        let pairs: Vec<(Vec<u8>, Vec<u8>)> = (0u8..)
            .zip(&places)
            .map(|(i, place)| (place.1.clone(), [&value[..], &[b'0' + i]].concat()))
            .collect();
        let options = self.asked(step, &places[0]).options;
        let got = match (step.op, step.flags & 7) {
            (Op::SetMany, _) => engine.set_many(&pairs).map(|()| true),
            (Op::SetManyIfAbsent, _) => engine.set_many_if_absent(&pairs),
            (_, 0) => engine.set_many_with(&pairs, &options.if_absent()),
            (_, 1) => engine.set_many_with(&pairs, &options.if_present()),
            _ => engine.set_many_with(&pairs, &options),
        };
        // A batch may evict keys of its own to make room for the rest.
        places.iter().for_each(|place| self.forget_evicted(place));
        let present = places.iter().filter(|place| self.model.see(place).is_some()).count();
        let holds = match (step.op, step.flags & 7) {
            (Op::SetManyIfAbsent, _) | (Op::SetManyWith, 0) => present == 0,
            (Op::SetManyWith, 1) => present == places.len(),
            _ => true,
        };
        // What is kept is the expiry before the batch, even of a key that comes twice.
        let asked: Vec<Times> = places.iter().map(|place| self.asked(step, place).times).collect();
        if !self.check(got, holds) || !holds {
            return;
        }
        for ((place, (_, value)), times) in places.iter().zip(pairs).zip(asked) {
            let times = if step.op == Op::SetManyWith { times } else { Times::default() };
            self.store(place, value, times, Form::Plain);
        }
    }
}
