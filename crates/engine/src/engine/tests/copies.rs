//! Steps on cached copies and on typed values.

use std::time::Duration;

use super::model::{Copied, Entry, Form, Invalidation, Place, Times};
use super::steps::{Op, Step};
use super::world::{Drawn, World};
use crate::typed::Element;
use crate::{CacheOptions, Engine, LoadError, Lookup, OpError, Origin, SetOptions, UnixMillis, typed};

const TAGS: [&[u8]; 3] = [b"red", b"green", b"blue"];
/// Soft deadlines count in steps of this many milliseconds from the engine's start.
const SOFT_STEP_MS: u64 = 64;
const START_MS: u64 = 1_000_000;

/// A type that is stored as MessagePack.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Point {
    pub(super) x: i64,
    pub(super) label: String,
}

fn text(step: &Step) -> String {
    String::from_utf8_lossy(&step.value.to_vec()).into_owned()
}

fn point(step: &Step) -> Point {
    Point { x: step.number, label: text(step) }
}

impl World {
    pub(super) fn apply_copies(&mut self, step: &Step) -> bool {
        let engine = self.dbs[step.db].clone();
        let origin = Origin { connection: u16::from(step.flag(0)), slot: u16::from(step.flag(1)) };
        match step.op {
            Op::Token => {
                let token = engine.cache_token(&self.keys[step.key], origin);
                let since = self.model.invalidations.len();
                self.tokens.push(Drawn { token, key: step.key, origin, since });
            }
            Op::InsertIf | Op::TypedInsertIf => self.insert_if(step, &engine, origin),
            Op::Lookup => {
                let place = self.place(step);
                let got = engine.lookup(&place.1).unwrap();
                assert_lookup(self.model.entries.get(&place), &got, self.model.now, |value, entry| {
                    assert_eq!(*value, entry.bytes);
                });
            }
            Op::TypedLookup => {
                let place = self.place(step);
                let got = engine.typed::<String>().lookup(&place.1);
                match self.model.decoded::<String>(&place) {
                    Some(None) => self.assert_undecodable(got),
                    want => {
                        if let Some(got) = self.granted(got) {
                            assert_lookup(
                                self.model.entries.get(&place),
                                &got,
                                self.model.now,
                                |value, _| {
                                    assert_eq!(Some(Some((**value).clone())), want);
                                },
                            );
                        }
                    }
                }
            }
            Op::Invalidate => {
                let place = self.place(step);
                let got = engine.invalidate(&place.1).unwrap();
                assert_eq!(got, self.model.entries.contains_key(&place));
                self.model.invalidate(Invalidation::Key(place.1.clone()), |other, _| *other == place);
            }
            Op::InvalidatePrefix => {
                let prefix = &self.keys[step.key][..self.keys[step.key].len().min(1 + step.to)].to_vec();
                let hit = |place: &Place| place.0 == step.db && place.1.starts_with(prefix);
                let count = self.model.entries.keys().filter(|place| hit(place)).count();
                assert_eq!(engine.invalidate_prefix(prefix), Ok(count as u64));
                self.model.invalidate(Invalidation::AllFills, |place, _| hit(place));
            }
            _ => return self.apply_invalidation(step, &engine),
        }
        true
    }

    fn apply_invalidation(&mut self, step: &Step, engine: &Engine) -> bool {
        let number = u16::from(step.flag(2));
        let copied = |entry: &Entry, hit: &dyn Fn(&Copied) -> bool| entry.copied.as_ref().is_some_and(hit);
        match step.op {
            Op::InvalidateTag => {
                let tag = TAGS[step.flags % 3];
                engine.invalidate_tag(tag);
                self.model.invalidate(Invalidation::AllFills, |_, entry| {
                    copied(entry, &|copied| copied.tags.contains(&tag))
                });
            }
            Op::InvalidateConnection => {
                engine.invalidate_connection(number);
                self.model.invalidate(Invalidation::Connection(number), |_, entry| {
                    copied(entry, &|copied| copied.origin.connection == number)
                });
            }
            Op::InvalidateSlot => {
                engine.invalidate_slot(number);
                self.model.invalidate(Invalidation::Slot(number), |_, entry| {
                    copied(entry, &|copied| copied.origin.slot == number)
                });
            }
            Op::InvalidateCopies => {
                engine.invalidate_copies();
                self.model.invalidate(Invalidation::AllFills, |_, entry| entry.copied.is_some());
            }
            _ => return false,
        }
        true
    }

    fn insert_if(&mut self, step: &Step, engine: &Engine, origin: Origin) {
        // An old token, or a fresh one.
        let drawn = if step.flag(3) && !self.tokens.is_empty() {
            self.tokens.swap_remove(step.flags % self.tokens.len())
        } else {
            let token = engine.cache_token(&self.keys[step.key], origin);
            Drawn { token, key: step.key, origin, since: self.model.invalidations.len() }
        };
        let place = (step.db, self.keys[drawn.key].clone());
        let now = self.model.now;
        let tags: Vec<&'static [u8]> = TAGS
            .iter()
            .enumerate()
            .filter(|(i, _)| step.flags >> (4 + i) & 1 == 1)
            .map(|(_, &tag)| tag)
            .collect();
        let mut options = CacheOptions::new().tags(&tags);
        let mut times = Times::default();
        if step.flag(7) {
            options = options.ttl(Duration::from_millis(step.span_ms));
            times = Times::at(now + step.span_ms);
        }
        let stale_at = step.flag(8).then_some(now + step.span_ms / 2);
        if let Some(at) = stale_at {
            options = options.stale_at(UnixMillis(at));
        }
        let typed = step.op == Op::TypedInsertIf;
        let negative = step.flag(9) && step.flag(10) && !typed;
        if negative {
            options = options.negative();
        }
        let (got, bytes, form) = if typed {
            let value = text(step);
            let bytes = value.clone().into_bytes();
            (engine.typed::<String>().insert_if(drawn.token, &place.1, value, &options), bytes, Form::Object)
        } else {
            let bytes = step.value.to_vec();
            (engine.insert_if(drawn.token, &place.1, &bytes, &options), bytes, Form::Plain)
        };
        let admitted = self.model.admits(drawn.since, &place.1, drawn.origin);
        if self.check(got, admitted) && admitted {
            let bytes = if negative { Vec::new() } else { bytes };
            let stale_at =
                stale_at.map(|at| START_MS + at.saturating_sub(START_MS) / SOFT_STEP_MS * SOFT_STEP_MS);
            self.note_copy(
                &place,
                bytes,
                times,
                form,
                Copied { origin: drawn.origin, tags, stale_at, negative },
            );
        }
    }

    pub(super) fn apply_typed(&mut self, step: &Step) -> bool {
        match step.flags % 3 {
            0 => self.typed_step(step, step.number.unsigned_abs()),
            1 => self.typed_step(step, text(step)),
            _ => self.typed_step(step, point(step)),
        }
    }

    fn typed_step<T>(&mut self, step: &Step, value: T) -> bool
    where
        T: Element + Clone + PartialEq + std::fmt::Debug,
    {
        let place = self.place(step);
        let key = &place.1;
        let typed = self.dbs[step.db].typed::<T>();
        let old = self.model.decoded::<T>(&place);
        let bytes = typed::encode(&value).unwrap();
        match step.op {
            Op::TypedSet => {
                if self.check(typed.set(key, value), ()) {
                    self.store(&place, bytes, Times::default(), Form::Object);
                }
            }
            Op::TypedSetWith => {
                let options = SetOptions::new().ttl(Duration::from_millis(step.span_ms)).if_absent();
                let got = typed.set_with(key, value, options).map(|outcome| outcome.is_stored());
                if self.check(got, old.is_none()) && old.is_none() {
                    self.store(&place, bytes, Times::at(self.model.now + step.span_ms), Form::Object);
                }
            }
            Op::TypedGet => {
                let got = typed.get(key).map(|value| value.map(|value| (*value).clone()));
                self.check_typed(got, old);
            }
            Op::TypedGetWith => {
                let got = typed.get_with(key, T::clone);
                self.check_typed(got, old);
            }
            Op::TypedUpdate => {
                let new = (!step.flag(4)).then(|| value.clone());
                let got = typed.update(key, |seen| {
                    assert_eq!(seen, old.clone().flatten().as_ref());
                    new.clone()
                });
                let got = got.map(|value| value.map(|value| (*value).clone()));
                match (old, new) {
                    (Some(None), _) => self.assert_undecodable(got),
                    (old, None) => {
                        if self.check(got, None) && old.is_some() {
                            self.model.entries.remove(&place);
                        }
                    }
                    (_, new @ Some(_)) => {
                        if self.check(got, new) {
                            self.model.change(&place, bytes, Form::Object);
                        }
                    }
                }
            }
            Op::TypedLoad => {
                let got = typed.get_or_insert_with(key, || Ok::<_, std::convert::Infallible>(value.clone()));
                match old {
                    Some(old) => {
                        let got = got.map(|value| Some((*value).clone())).map_err(|error| match error {
                            LoadError::Op(error) => error,
                            error => panic!("{error}"),
                        });
                        self.check_typed(got, Some(old));
                    }
                    None => {
                        assert_eq!(*got.unwrap(), value);
                        // A value that finds no room is given and not kept.
                        if !self.limited || self.dbs[step.db].peek(key).unwrap().is_some() {
                            self.store(&place, bytes, Times::default(), Form::Object);
                        }
                    }
                }
            }
            _ => return false,
        }
        self.note_object(&place);
        true
    }

    /// A typed access may have attached an object; how an object is kept is not the model's business.
    fn note_object(&mut self, place: &Place) {
        if let Some(entry) = self.model.entries.get_mut(place) {
            if entry.form == Form::Plain {
                entry.form = Form::Object;
            }
        }
    }

    /// Without room for its bytes, an object of another type cannot even be judged.
    fn assert_undecodable<R: std::fmt::Debug>(&self, got: Result<R, OpError>) {
        let refused = self.limited && matches!(got, Err(OpError::OutOfMemory { .. }));
        assert!(refused || matches!(got, Err(OpError::Codec { .. })), "{got:?}");
    }

    fn check_typed<T: PartialEq + std::fmt::Debug>(
        &self,
        got: Result<Option<T>, OpError>,
        want: Option<Option<T>>,
    ) {
        match want {
            Some(None) => self.assert_undecodable(got),
            want => drop(self.check(got, want.flatten())),
        }
    }
}

fn assert_lookup<T: std::fmt::Debug>(
    entry: Option<&Entry>,
    got: &Lookup<T>,
    now: u64,
    same: impl Fn(&T, &Entry),
) {
    let copied = entry.and_then(|entry| entry.copied.as_ref());
    let stale = copied.is_some_and(|copied| copied.stale_at.is_some_and(|at| at <= now));
    match (entry, got) {
        (None, Lookup::Miss) => {}
        (Some(entry), Lookup::Negative) => assert!(entry.is_negative()),
        (Some(entry), Lookup::Stale(value)) if stale && !entry.is_negative() => same(value, entry),
        (Some(entry), Lookup::Hit(value)) if !stale && !entry.is_negative() => same(value, entry),
        _ => panic!("{entry:?} is looked up as {got:?}"),
    }
}
