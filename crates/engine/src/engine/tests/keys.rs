//! Steps on whole keys, on time, and walks over keys.

use std::ops::Bound;
use std::time::Duration;

use super::model::{Copied, Form, Invalidation, Place, Times};
use super::steps::{Op, Step};
use super::world::World;
use crate::{Engine, ExpireCondition, OpError, ScanOptions, Ttl, UnixMillis, ValueType, glob};

const PATTERNS: [&str; 6] = ["*", "user:*", "user:?", "[ab]", "\\*x\\[", "nothing"];

impl World {
    pub(super) fn apply_key(&mut self, step: &Step) -> bool {
        let engine = self.dbs[step.db].clone();
        let place = self.place(step);
        let key = &place.1;
        let there = self.model.see(&place).is_some();
        match step.op {
            Op::Remove | Op::TypedRemove => {
                let got = match step.op {
                    Op::Remove => engine.remove(key),
                    _ => engine.typed::<u64>().remove(key),
                };
                assert_eq!(got, Ok(there));
                self.model.entries.remove(&place);
            }
            Op::Del => {
                let (mut count, mut keys) = (0, Vec::new());
                for place in self.batch(step) {
                    count += u64::from(self.model.see(&place).is_some());
                    self.model.entries.remove(&place);
                    keys.push(place.1);
                }
                assert_eq!(engine.del(&keys), Ok(count));
            }
            Op::Exists => assert_eq!(engine.exists(key), Ok(there)),
            Op::Touch => {
                let batch = self.batch(step);
                let keys: Vec<_> = batch.iter().map(|place| &place.1).collect();
                let count = batch.iter().filter(|place| self.model.see(place).is_some()).count();
                assert_eq!(engine.touch(&keys), Ok(count as u64));
            }
            Op::Rename | Op::RenameIfAbsent | Op::Copy | Op::MoveTo => self.transfer(step, &engine),
            Op::Swap => {
                let got = self
                    .engine()
                    .swap_databases(self.dbs[step.db.min(2)].database(), self.dbs[step.to_db].database());
                assert_eq!(got.is_ok(), step.to_db < 3);
                if got.is_ok() {
                    self.swap(step.db.min(2), step.to_db);
                }
            }
            Op::Describe => self.describe(&engine, &place),
            Op::Flush => {
                engine.flush().unwrap();
                assert_eq!(engine.len(), Ok(0));
                self.model.invalidate(Invalidation::AllFills, |place, _| place.0 == step.db);
            }
            Op::FlushAll if step.flags % 4 == 0 => {
                engine.flush_all().unwrap();
                self.model.invalidate(Invalidation::AllFills, |_, _| true);
            }
            Op::FlushAll => {}
            Op::Pin => {
                assert_eq!(engine.pin(key), Ok(there));
                if let Some(entry) = self.model.entries.get_mut(&place).filter(|_| there) {
                    entry.pins += 1;
                }
            }
            Op::Unpin => {
                let pinned = self.model.entries.get_mut(&place).filter(|entry| entry.pins > 0);
                assert_eq!(engine.unpin(key), Ok(pinned.is_some()));
                if let Some(entry) = pinned {
                    entry.pins -= 1;
                }
            }
            _ => return false,
        }
        true
    }

    fn transfer(&mut self, step: &Step, engine: &Engine) {
        let from = self.place(step);
        let target = self.dbs[step.to_db].clone();
        let to = match step.op {
            Op::Copy => self.to_place(step),
            Op::MoveTo => (step.to_db, from.1.clone()),
            _ => (step.db, self.keys[step.to].clone()),
        };
        let taken = self.model.see(&to).is_some();
        let replace = step.op == Op::Rename || (step.op == Op::Copy && step.flag(0));
        let keep = step.op == Op::Copy;
        let entry = self.model.see(&from).cloned();
        let rename = matches!(step.op, Op::Rename | Op::RenameIfAbsent);
        let want = match (&entry, rename) {
            _ if from == to && !rename => Err(OpError::SameObject),
            _ if step.op == Op::MoveTo && step.db == step.to_db => Err(OpError::SameObject),
            (None, true) => Err(OpError::NoSuchKey),
            (None, false) => Ok(false),
            (Some(_), _) => Ok(replace || !taken),
        };
        let got = match step.op {
            Op::Rename => engine.rename(&from.1, &to.1).map(|()| true),
            Op::RenameIfAbsent => engine.rename_if_absent(&from.1, &to.1),
            Op::Copy => engine.copy(&from.1, &target, &to.1, replace),
            _ => engine.move_to(&from.1, &target),
        };
        let source_left = engine.peek(&from.1).unwrap().is_some();
        if self.limited && want == Ok(true) && !source_left && !matches!(got, Ok(true)) {
            // The source was evicted to make room for its copy; compare() judges whether that may be.
            return;
        }
        if !self.check_result(got, want.clone()) || want != Ok(true) || from == to {
            return;
        }
        let mut entry = entry.unwrap();
        entry.pins = 0;
        self.model.put(&to, entry);
        if !keep {
            self.model.entries.remove(&from);
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        let entries = std::mem::take(&mut self.model.entries);
        let other = |db| {
            if db == a {
                b
            } else if db == b {
                a
            } else {
                db
            }
        };
        self.model.entries =
            entries.into_iter().map(|((db, key), entry)| ((other(db), key), entry)).collect();
    }

    fn describe(&self, engine: &Engine, (db, key): &Place) {
        let there = self.model.see(&(*db, key.clone())).is_some();
        assert_eq!(engine.value_type(key), Ok(there.then_some(ValueType::String)));
        assert_eq!(engine.entry_bytes(key).unwrap().is_some(), there);
        assert_eq!(engine.reference_count(key).unwrap().is_some(), there);
        let (frequency, idle) = (engine.frequency(key), engine.idle_time(key));
        if engine.policy().counts_accesses() {
            assert_eq!(frequency.unwrap().is_some(), there);
            assert!(matches!(idle, Err(OpError::NotEnabled(_))));
        } else {
            assert_eq!(idle.unwrap().is_some(), there);
            assert!(matches!(frequency, Err(OpError::NotEnabled(_))));
            assert_eq!(engine.set_idle_time(key, Duration::from_secs(90)), Ok(there));
        }
        let entries = self.model.entries.keys().filter(|place| place.0 == *db).count() as u64;
        assert!(engine.len().unwrap() >= entries);
        assert_eq!(engine.is_empty().unwrap(), engine.len().unwrap() == 0);
    }

    pub(super) fn apply_time(&mut self, step: &Step) -> bool {
        let engine = self.dbs[step.db].clone();
        let place = self.place(step);
        let (key, now) = (&place.1, self.model.now);
        let there = self.model.see(&place).is_some();
        match step.op {
            Op::Expire => {
                let span = if step.flags % 8 == 0 { 0 } else { step.span_ms };
                if self.check(engine.expire(key, Duration::from_millis(span)), there) && there {
                    self.expire(&place, now + span);
                }
            }
            Op::ExpireAt => self.expire_at(step, &engine, &place),
            Op::Persist => {
                let had = self.model.times(&place).deadline.is_some();
                if self.check(engine.persist(key), had) && had {
                    self.model.set_times(&place, Times::default());
                }
            }
            Op::Ttl => {
                let want = match (there, self.model.times(&place).deadline) {
                    (false, _) => Ttl::Absent,
                    (true, None) => Ttl::Never,
                    (true, Some(at)) => Ttl::After(Duration::from_millis(at - now)),
                };
                assert_eq!(engine.ttl(key), Ok(want));
            }
            Op::Maintain => {
                self.maintain_all(1 + u32::from(step.flag(0)) * 5_000);
                if step.flag(1) {
                    // A sweep that began before the last invalidation is finished first.
                    for _ in 0..2 {
                        self.engine().maintain(crate::Budget::keys(1_000_000));
                    }
                    let entries = self.model.entries.len() as u64;
                    assert_eq!(self.engine().stats().keys, entries, "what is dead is gone");
                }
            }
            Op::Advance => self.advance(step.span_ms),
            Op::StepBack if step.flag(0) => self.step_back(step.span_ms),
            Op::StepBack => {}
            _ => return false,
        }
        true
    }

    /// The hard deadline moves; an entry that idles keeps doing so below it.
    fn expire(&mut self, place: &Place, at: u64) {
        let now = self.model.now;
        let times = match self.model.times(place).idle {
            Some(idle) if at > now => Times::new(Some(at), Some(idle.span), now),
            _ => Times::at(at),
        };
        self.model.set_times(place, times);
    }

    fn expire_at(&mut self, step: &Step, engine: &Engine, place: &Place) {
        let times = self.model.times(place);
        let at = (self.model.now + step.span_ms).saturating_sub(50);
        let old = times.idle.map_or(times.deadline, |idle| idle.hard);
        let (condition, holds) = match step.flags % 6 {
            0 => (ExpireCondition::IfNone, old.is_none()),
            1 => (ExpireCondition::IfAny, old.is_some()),
            2 => (ExpireCondition::IfLater, old.is_some_and(|old| at > old)),
            3 => (ExpireCondition::IfEarlier, old.is_none_or(|old| at < old)),
            4 => (ExpireCondition::IfAnyEarlier, old.is_some_and(|old| at < old)),
            _ => (ExpireCondition::Always, true),
        };
        let want = holds && self.model.see(place).is_some();
        if self.check(engine.expire_at(&place.1, UnixMillis(at), condition), want) && want {
            self.expire(place, at);
        }
    }

    pub(super) fn apply_scan(&mut self, step: &Step) -> bool {
        let engine = self.dbs[step.db].clone();
        let all = self.model.keys(step.db);
        let pattern = PATTERNS[step.flags % 6].as_bytes();
        let matching = all.iter().filter(|key| glob::matches(pattern, key)).cloned();
        match step.op {
            Op::Scan => {
                let options =
                    ScanOptions::new().matching(pattern).count(1 + step.to).of_type(ValueType::String);
                let (mut found, mut cursor) = (Vec::new(), 0);
                loop {
                    let page = engine.scan(cursor, &options).unwrap();
                    found.extend(page.keys);
                    cursor = page.cursor;
                    if cursor == 0 {
                        break;
                    }
                }
                found.sort_unstable();
                assert_eq!(found, matching.collect::<Vec<_>>());
            }
            Op::Keys => {
                let mut found = engine.keys(pattern).unwrap();
                found.sort_unstable();
                assert_eq!(found, matching.collect::<Vec<_>>());
            }
            Op::RandomKey => match engine.random_key().unwrap() {
                Some(key) => assert!(all.contains(&key), "{key:?}"),
                None => assert!(all.is_empty()),
            },
            Op::ScanPrefix | Op::ScanRange if !self.ordered => {
                assert_eq!(engine.scan_prefix("", 1), Err(OpError::NotEnabled("ordered_index")));
            }
            Op::ScanPrefix => {
                let prefix = &self.keys[step.key][..self.keys[step.key].len().min(step.to)];
                let want: Vec<_> = all.into_iter().filter(|key| key.starts_with(prefix)).take(3).collect();
                assert_eq!(engine.scan_prefix(prefix, 3), Ok(want));
            }
            Op::ScanRange => {
                let (from, to) = (&self.keys[step.key], &self.keys[step.to]);
                let start =
                    if step.flag(0) { Bound::Included(&from[..]) } else { Bound::Excluded(&from[..]) };
                let end = if step.flag(1) { Bound::Included(&to[..]) } else { Bound::Unbounded };
                let after = |key: &Vec<u8>| if step.flag(0) { key >= from } else { key > from };
                let want: Vec<_> =
                    all.into_iter().filter(|key| after(key) && (!step.flag(1) || key <= to)).collect();
                assert_eq!(engine.scan_range((start, end), 100), Ok(want));
            }
            _ => return false,
        }
        true
    }

    /// Attaches what makes the entry at `place` a copy.
    pub(super) fn note_copy(
        &mut self,
        place: &Place,
        bytes: Vec<u8>,
        times: Times,
        form: Form,
        copied: Copied,
    ) {
        self.store(place, bytes, times, form);
        if let Some(entry) = self.model.entries.get_mut(place) {
            entry.copied = Some(copied);
        }
    }
}
