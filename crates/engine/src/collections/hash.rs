//! Hashes: fields with values, and a deadline for those that have one.
//!
//! ```text
//! small   packed pairs + TTL column                   up to hash-max-listpack-entries fields of hash-max-listpack-value bytes
//! large   hash-split segments in a radix directory    collections/table.rs
//! ```
//! A deadline does not change the encoding: the packed form takes 4 B a field for it, as soon as one field has one. A hash that
//! became large stays so, as in Redis.
//!
//! Invariants: I1: no field twice. I2: a field past its deadline is never served, counted as live or handed out by a walk; it
//! lies there until `expire_due` or a write takes it out. I3: a small hash is within both limits as they were when its last
//! field came.
//!
//! Cost: small O(n), n at most the limit; large O(1), a write copies one segment that a capture shares. The earliest deadline:
//! small O(n), large O(1) but perhaps too early: `expire_due` makes it exact.
//!
//! It reads no clock: whoever asks says what time it is.

mod small;
mod times;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64;

use super::Body;
use super::rules::Rules;
use crate::clock::UnixMillis;
use crate::collections::table::{self, Shape, Table};
use crate::effect::Delta;
use crate::engine::{Encoding, ValueType};
use crate::memory::AllocatorModel;
use crate::random::{Random, mix};
use small::Small;

/// A field as it lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) field: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) deadline_ms: Option<u64>,
}

impl<'a> From<table::Entry<'a>> for Entry<'a> {
    fn from(entry: table::Entry<'a>) -> Self {
        Self { field: entry.key, value: entry.value, deadline_ms: entry.deadline_ms }
    }
}

impl Entry<'_> {
    pub(crate) fn is_live(&self, now_ms: u64) -> bool {
        is_live(self.deadline_ms, now_ms)
    }
}

/// Whether something with this deadline is still there.
pub(crate) fn is_live(deadline_ms: Option<u64>, now_ms: u64) -> bool {
    deadline_ms.is_none_or(|at| at > now_ms)
}

/// A hash in either encoding.
#[derive(Debug, Clone)]
pub(crate) struct Hash {
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Small(Small),
    Large(Box<Table>),
}

/// Where a walk stands. Any change makes it void.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(At);

#[derive(Debug, Clone, Copy)]
enum At {
    Small(small::Place),
    Large(table::Position),
}

impl Hash {
    /// How many fields lie there, those past their deadline included.
    pub(crate) fn len(&self) -> usize {
        match &self.form {
            Form::Small(small) => small.len(),
            Form::Large(table) => table.len(),
        }
    }

    /// How many fields are not past their deadline. O(1) while none is, else O(n).
    pub(crate) fn live_len(&self, now_ms: u64) -> usize {
        if self.is_due(now_ms) {
            let mut place = self.start();
            let live = std::iter::from_fn(|| self.step(&mut place)).filter(|entry| entry.is_live(now_ms));
            return live.count();
        }
        self.len()
    }

    /// Whether a field is past its deadline.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        !is_live(self.next_deadline_ms(), now_ms)
    }

    /// A field that is not past its deadline.
    #[inline]
    pub(crate) fn get(&self, field: &[u8], now_ms: u64) -> Option<Entry<'_>> {
        let entry = match &self.form {
            Form::Small(small) => small.get(field),
            Form::Large(table) => table.get(field).map(Entry::from),
        };
        entry.filter(|entry| entry.is_live(now_ms))
    }

    /// Where a walk over all fields begins.
    pub(crate) fn start(&self) -> Place {
        match &self.form {
            Form::Small(small) => Place(At::Small(small.start())),
            Form::Large(_) => Place(At::Large(table::Position::default())),
        }
    }

    /// The field here, past its deadline or not; the place moves on.
    #[inline]
    pub(crate) fn step(&self, place: &mut Place) -> Option<Entry<'_>> {
        match (&self.form, &mut place.0) {
            (Form::Small(small), At::Small(at)) => {
                let (entry, next) = small.read(*at)?;
                *at = next;
                Some(entry)
            }
            (Form::Large(table), At::Large(at)) => table.next(at).map(Entry::from),
            _ => None,
        }
    }

    /// Shows about `count` fields from a cursor on and returns the next one: 0 begins, and 0 ends. A small hash shows all.
    pub(crate) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Entry<'_>)) -> u64 {
        match &self.form {
            Form::Small(small) => {
                small.iter().for_each(&mut visit);
                0
            }
            Form::Large(table) => table.scan(cursor, count, |entry| visit(entry.into())),
        }
    }

    /// One of the fields, each with the same chance, past its deadline or not.
    pub(crate) fn random(&self, random: &mut Random) -> Option<Entry<'_>> {
        match &self.form {
            Form::Small(small) => small.nth(random.index_below(small.len())),
            Form::Large(table) => table.random(random).map(Entry::from),
        }
    }

    /// Shows `count` different fields, every choice of them with the same chance; all if there are no more.
    ///
    /// O(n) in the fields, or O(k log k) in the count if that is small.
    pub(crate) fn sample(&self, count: usize, random: &mut Random, mut visit: impl FnMut(Entry<'_>)) {
        let mut left = self.len();
        let mut wanted = count.min(left);
        if matches!(self.form, Form::Small(_)) || wanted > left / 4 {
            let mut place = self.start();
            while let Some(entry) = self.step(&mut place) {
                if random.index_below(left) < wanted {
                    visit(entry);
                    wanted -= 1;
                }
                left -= 1;
            }
            return;
        }
        let mut chosen = BTreeSet::new();
        while chosen.len() < wanted {
            if let Some(entry) = self.random(random) {
                if chosen.insert(entry.field) {
                    visit(entry);
                }
            }
        }
    }

    /// Gives a field this value and deadline; the deadline that it had, `None` for a field that was not there.
    pub(crate) fn put(
        &mut self,
        field: &[u8],
        value: &[u8],
        deadline_ms: Option<u64>,
        rules: &Rules,
    ) -> Option<Option<u64>> {
        let bytes_max = rules.limits.hash_max_listpack_value as usize;
        if field.len() > bytes_max || value.len() > bytes_max {
            self.enlarge(rules);
        }
        match &mut self.form {
            Form::Small(small) => {
                let had = small.put(field, value, deadline_ms);
                if small.len() > rules.limits.hash_max_listpack_entries as usize {
                    self.enlarge(rules);
                }
                had
            }
            Form::Large(table) => {
                let had = deadline_in(table, field);
                if table.insert(field, value, deadline_ms) { None } else { Some(had.flatten()) }
            }
        }
    }

    /// Makes the hash large; nothing makes it small again.
    fn enlarge(&mut self, rules: &Rules) {
        if let Form::Small(small) = &self.form {
            let mut table = Box::new(Table::new(Shape::Pairs, rules.seed, rules.model));
            for entry in small.iter() {
                table.insert(entry.field, entry.value, entry.deadline_ms);
            }
            self.form = Form::Large(table);
        }
    }

    /// Gives a field this deadline; tells whether there is such a field.
    pub(crate) fn set_deadline(&mut self, field: &[u8], deadline_ms: Option<u64>) -> bool {
        match &mut self.form {
            Form::Small(small) => small.set_deadline(field, deadline_ms),
            Form::Large(table) => table.set_deadline(field, deadline_ms),
        }
    }

    /// Takes a field out; the deadline that it had, `None` for a field that was not there.
    pub(crate) fn remove(&mut self, field: &[u8]) -> Option<Option<u64>> {
        match &mut self.form {
            Form::Small(small) => small.remove(field),
            Form::Large(table) => {
                let had = deadline_in(table, field);
                table.remove(field).then(|| had.flatten())
            }
        }
    }
}

/// The deadline of a field; looked for only where some field has one.
fn deadline_in(table: &Table, field: &[u8]) -> Option<Option<u64>> {
    if table.timed() == 0 { None } else { table.get(field).map(|entry| entry.deadline_ms) }
}

impl Body for Hash {
    const TYPE: ValueType = ValueType::Hash;

    fn empty(_: &Rules) -> Self {
        Self { form: Form::Small(Small::default()) }
    }

    fn is_vacant(&self) -> bool {
        self.len() == 0
    }

    fn encoding(&self) -> Encoding {
        match self.form {
            Form::Small(_) => Encoding::Listpack,
            Form::Large(_) => Encoding::Hashtable,
        }
    }

    fn charged(&self, model: AllocatorModel) -> u64 {
        match &self.form {
            Form::Small(small) => small.heap_bytes().into_iter().map(|bytes| model.charge(bytes)).sum(),
            Form::Large(table) => model.charge(size_of::<Table>()) + table.charged(),
        }
    }

    fn digest(&self) -> u64 {
        self.digest_at(0).unwrap_or(0)
    }

    fn digest_at(&self, now_ms: u64) -> Option<u64> {
        let mut place = self.start();
        let mut sum = None;
        while let Some(entry) = self.step(&mut place) {
            if !entry.is_live(now_ms) {
                continue;
            }
            // The order of the fields is no part of the content, so their hashes are added up.
            let field = mix(xxh3_64(entry.field) ^ 1);
            let deadline = mix(entry.deadline_ms.map_or(0, |at| at.wrapping_add(1)));
            let entry = mix(field ^ xxh3_64(entry.value).rotate_left(21) ^ deadline);
            sum = Some(sum.map_or(entry, |sum: u64| sum.wrapping_add(entry)));
        }
        sum
    }

    fn apply(&mut self, delta: &Delta, rules: &Rules) {
        match delta {
            Delta::HashPut { field, value, deadline } => {
                self.put(field, value, deadline.map(|at| at.0), rules);
            }
            Delta::HashDeadline { field, deadline } => {
                self.set_deadline(field, deadline.map(|at| at.0));
            }
            Delta::HashRemove { field } => {
                self.remove(field);
            }
            _ => {}
        }
    }

    fn deltas(&self, emit: &mut dyn FnMut(Delta)) {
        let mut place = self.start();
        while let Some(entry) = self.step(&mut place) {
            emit(Delta::HashPut {
                field: entry.field.into(),
                value: entry.value.into(),
                deadline: entry.deadline_ms.map(UnixMillis),
            });
        }
    }

    fn reads_clock(&self) -> bool {
        match &self.form {
            Form::Small(small) => small.has_times(),
            Form::Large(table) => table.timed() > 0,
        }
    }

    fn next_deadline_ms(&self) -> Option<u64> {
        match &self.form {
            Form::Small(small) => small.next_deadline_ms(),
            Form::Large(table) => table.next_deadline_ms(),
        }
    }

    fn expire_due(
        &mut self,
        now_ms: u64,
        budget: usize,
        _rules: &Rules,
        emit: &mut dyn FnMut(Delta),
    ) -> usize {
        let mut gone = |field: &[u8]| emit(Delta::HashRemove { field: field.into() });
        match &mut self.form {
            Form::Small(small) => small.expire(now_ms, budget, &mut gone),
            Form::Large(table) => table.expire(now_ms, budget, &mut |entry| gone(entry.key)),
        }
    }

    fn free_some(&mut self, nodes: usize) -> bool {
        match &mut self.form {
            Form::Small(small) => {
                *small = Small::default();
                true
            }
            Form::Large(table) => table.free_some(nodes),
        }
    }

    #[cfg(any(test, fuzzing))]
    fn validate_between(&self, _narrowest: &Rules, rules: &Rules) {
        match &self.form {
            Form::Small(small) => small.validate(rules),
            Form::Large(table) => table.validate(),
        }
    }

    arm!(Hash);
}
