//! The naive model: one ordered map, plain code, every rule written out.

use std::collections::BTreeMap;

use crate::typed::Element;
use crate::{Origin, typed};

/// How Redis would say that a string is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As SET keeps it: an integer if it looks like one.
    Plain,
    /// Never an integer.
    Text,
    /// Made by APPEND or SETRANGE.
    Grown,
    /// A decoded object, with or without bytes.
    Object,
}

/// When an entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Times {
    pub(super) deadline: Option<u64>,
    pub(super) idle: Option<Idle>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Idle {
    pub(super) span: u64,
    pub(super) hard: Option<u64>,
}

impl Times {
    pub(super) fn at(deadline: u64) -> Self {
        Self { deadline: Some(deadline), idle: None }
    }

    /// What a SET with these options gives, `kept` being what is there.
    pub(super) fn new(hard: Option<u64>, idle: Option<u64>, now: u64) -> Self {
        match idle {
            None => Self { deadline: hard, idle: None },
            Some(span) => {
                let first = now + span;
                let deadline = Some(hard.map_or(first, |hard| hard.min(first)));
                Self { deadline, idle: Some(Idle { span, hard }) }
            }
        }
    }

    /// After a read.
    pub(super) fn touched(self, now: u64) -> Self {
        let Some(idle) = self.idle else { return self };
        let moved = idle.hard.map_or(now + idle.span, |hard| hard.min(now + idle.span));
        Self { deadline: self.deadline.max(Some(moved)), ..self }
    }
}

/// What makes an entry a copy of something remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) origin: Origin,
    pub(super) tags: Vec<&'static [u8]>,
    pub(super) stale_at: Option<u64>,
    pub(super) negative: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) bytes: Vec<u8>,
    pub(super) times: Times,
    pub(super) form: Form,
    pub(super) copied: Option<Copied>,
    pub(super) pins: u32,
}

impl Entry {
    pub(super) fn new(bytes: Vec<u8>, times: Times, form: Form) -> Self {
        Self { bytes, times, form, copied: None, pins: 0 }
    }

    pub(super) fn is_negative(&self) -> bool {
        self.copied.as_ref().is_some_and(|copied| copied.negative)
    }
}

/// What was invalidated, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Invalidation {
    Key(Vec<u8>),
    Connection(u16),
    Slot(u16),
    AllFills,
}

pub(super) type Place = (usize, Vec<u8>);

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) now: u64,
    pub(super) entries: BTreeMap<Place, Entry>,
    pub(super) invalidations: Vec<Invalidation>,
}

impl Model {
    /// Forgets what is past its deadline.
    pub(super) fn pass_time(&mut self) {
        let now = self.now;
        self.entries.retain(|_, entry| entry.times.deadline.is_none_or(|deadline| deadline > now));
    }

    /// The entry that readers see.
    pub(super) fn see(&self, place: &Place) -> Option<&Entry> {
        self.entries.get(place).filter(|entry| !entry.is_negative())
    }

    pub(super) fn bytes(&self, place: &Place) -> Option<Vec<u8>> {
        self.see(place).map(|entry| entry.bytes.clone())
    }

    pub(super) fn times(&self, place: &Place) -> Times {
        self.see(place).map_or(Times::default(), |entry| entry.times)
    }

    /// Stores; an entry whose time is over deletes instead. Pins stay with the key.
    pub(super) fn put(&mut self, place: &Place, mut entry: Entry) {
        if entry.times.deadline.is_some_and(|deadline| deadline <= self.now) {
            self.entries.remove(place);
            return;
        }
        entry.pins = self.entries.get(place).map_or(0, |old| old.pins);
        self.entries.insert(place.clone(), entry);
    }

    /// Changes the value and keeps the expiry; the entry is a copy of nothing any more.
    pub(super) fn change(&mut self, place: &Place, bytes: Vec<u8>, form: Form) {
        self.put(place, Entry::new(bytes, self.times(place), form));
    }

    pub(super) fn set_times(&mut self, place: &Place, times: Times) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.times = times;
        }
        self.pass_time();
    }

    /// The keys of a database that readers see, in order.
    pub(super) fn keys(&self, db: usize) -> Vec<Vec<u8>> {
        let all = self.entries.iter().filter(|((at, _), entry)| *at == db && !entry.is_negative());
        all.map(|((_, key), _)| key.clone()).collect()
    }

    pub(super) fn invalidate(&mut self, what: Invalidation, hit: impl Fn(&Place, &Entry) -> bool) {
        self.invalidations.push(what);
        self.entries.retain(|place, entry| !hit(place, entry));
    }

    /// Whether a fill that began when `since` invalidations had happened may be installed.
    pub(super) fn admits(&self, since: usize, key: &[u8], origin: Origin) -> bool {
        !self.invalidations[since..].iter().any(|what| match what {
            Invalidation::Key(other) => other == key,
            Invalidation::Connection(connection) => *connection == origin.connection,
            Invalidation::Slot(slot) => *slot == origin.slot,
            Invalidation::AllFills => true,
        })
    }

    /// The value of a key as a typed read gives it: nothing, a value, or an error (`None` within).
    #[expect(clippy::option_option, reason = "absent, undecodable and decoded are three things")]
    pub(super) fn decoded<T: Element>(&self, place: &Place) -> Option<Option<T>> {
        self.see(place).map(|entry| typed::decode::<T>(&entry.bytes).ok())
    }
}

/// An integer as INCR reads it: the very text that it would be written as.
pub(super) fn integer(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

/// GETRANGE, step by step as its documentation tells it.
pub(super) fn get_range(bytes: &[u8], start: i64, end: i64) -> Vec<u8> {
    let len = i128::try_from(bytes.len()).unwrap();
    if start < 0 && end < 0 && start > end {
        return Vec::new();
    }
    let from_end = |index: i64| if index < 0 { (len + i128::from(index)).max(0) } else { i128::from(index) };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    let inside = (0i128..).zip(bytes).filter(|&(i, _)| start <= i && i <= end);
    inside.map(|(_, &byte)| byte).collect()
}

/// The length of the longest common subsequence, by the textbook.
pub(super) fn lcs_len(a: &[u8], b: &[u8]) -> u64 {
    let mut row = vec![0u64; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}
