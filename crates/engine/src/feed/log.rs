//! What is changed under one set of locks, on its way to the feed.
//!
//! ```text
//! door: lock --> Changelog::new(recording?) --> ShardWrite::record.. , notice.. --> Core::commit(&log) --> unlock
//! ```
//! Invariants: I1: a log that does not record stays empty and has allocated nothing. I2: of the changes that one operation makes inside
//! a value under one name, the first alone is told as a keyspace event.
//!
//! A transaction has one log for all of its operations and calls `operation` before each of them.

use std::cell::{Cell, RefCell};

use super::Change;
use super::event::{self, Event};
use super::spread::Told;
use crate::ValueType;
use crate::clock::UnixMillis;
use crate::effect::Delta;
use crate::typed::Object;

/// Something on its way out.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A change, and whether it is told as a keyspace event.
    Change { change: Change, told: bool },
    /// A keyspace event without a change of its own.
    Notice(Told),
}

/// The changes of one set of locks, or of one transaction. While nobody listens it is an empty pointer (I1).
#[derive(Debug)]
pub(crate) struct Changelog(Option<Box<Pages>>);

/// What is recorded.
#[derive(Debug, Default)]
struct Pages {
    muted: Cell<bool>,
    name: Cell<Option<Event>>,
    /// How many of the next deltas tell of fields whose time was over.
    expired: Cell<usize>,
    /// A keyspace event that the change under way asks for, even if it changes nothing.
    noted: Cell<Option<Event>>,
    entries: RefCell<Vec<Entry>>,
    /// Which entries of the present operation are told.
    told: RefCell<Vec<usize>>,
}

impl Changelog {
    #[inline]
    pub(crate) fn new(recording: bool) -> Self {
        Self(recording.then(Box::default))
    }

    #[inline]
    pub(crate) fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    /// Begins another operation in the same transaction.
    pub(crate) fn operation(&self) {
        let Some(pages) = &self.0 else { return };
        pages.muted.set(false);
        pages.name.set(None);
        pages.noted.set(None);
        pages.expired.set(0);
        pages.told.borrow_mut().clear();
    }

    /// Gives what comes from here on this name, in place of the one that its deltas have; an entry that goes keeps its own.
    #[inline]
    pub(crate) fn name(&self, event: Event) {
        if let Some(pages) = &self.0 {
            pages.name.set(Some(event));
        }
    }

    /// The name that was given, if one was.
    pub(crate) fn named(&self) -> Option<Event> {
        self.0.as_ref()?.name.get()
    }

    /// Lets changes be told as keyspace events no more, or again.
    #[inline]
    pub(crate) fn mute(&self, on: bool) {
        if let Some(pages) = &self.0 {
            pages.muted.set(on);
        }
    }

    /// The next delta tells of a field whose time was over.
    pub(crate) fn expire_one(&self) {
        if let Some(pages) = &self.0 {
            pages.expired.set(pages.expired.get() + 1);
        }
    }

    pub(crate) fn take_expired(&self) -> usize {
        self.0.as_ref().map_or(0, |pages| pages.expired.take())
    }

    /// Asks for an event of the key under change, whether anything else is told of it or not.
    pub(crate) fn note(&self, event: Event) {
        if let Some(pages) = &self.0 {
            pages.noted.set(Some(event));
        }
    }

    pub(crate) fn take_note(&self) -> Option<Event> {
        self.0.as_ref()?.noted.take()
    }

    /// Takes over what another one was told of the change under way, its entries apart.
    pub(crate) fn adopt(&self, other: &Self) {
        let (Some(own), Some(other)) = (&self.0, &other.0) else { return };
        own.name.set(other.name.take().or(own.name.get()));
        own.expired.set(own.expired.get() + other.expired.take());
        own.noted.set(other.noted.take().or(own.noted.get()));
    }

    pub(crate) fn take(&self) -> Vec<Entry> {
        self.operation();
        self.0.as_ref().map_or_else(Vec::new, |pages| pages.entries.take())
    }

    pub(crate) fn change(&self, database: u16, key: &[u8], value_type: Option<ValueType>, delta: Delta) {
        let event = self.named().unwrap_or_else(|| event::of_delta(&delta));
        self.change_as(event, database, key, value_type, delta);
    }

    pub(crate) fn change_as(
        &self,
        event: Event,
        database: u16,
        key: &[u8],
        value_type: Option<ValueType>,
        delta: Delta,
    ) {
        if let Some(pages) = &self.0 {
            let again = event::is_inside(&delta) && pages.was_told(database, key, event);
            let value_type = value_type.or_else(|| event::type_of(&delta));
            pages.push(Change::new(database, key.into(), value_type, event, delta), !again);
        }
    }

    /// The key holds a typed value now that has no bytes yet.
    pub(crate) fn object(&self, database: u16, key: &[u8], object: Object, deadline: Option<UnixMillis>) {
        if let Some(pages) = &self.0 {
            let event = pages.name.get().unwrap_or(event::SET);
            pages.push(Change::of_object(database, key.into(), event, object, deadline), true);
        }
    }

    /// Two databases changed places.
    pub(crate) fn swap(&self, a: u16, b: u16) {
        self.change(a, &[], None, Delta::SwapDatabases { with: b });
    }

    /// A keyspace event without a change of its own; a muted log takes it, for it is asked for by name.
    pub(crate) fn notice(&self, database: u16, key: &[u8], event: Event) {
        if let Some(pages) = &self.0 {
            if pages.was_told(database, key, event) && event.class != event::Class::Generic {
                return;
            }
            let told = Told { database, key: key.into(), event };
            pages.told.borrow_mut().push(pages.entries.borrow().len());
            pages.entries.borrow_mut().push(Entry::Notice(told));
        }
    }
}

impl Pages {
    fn push(&self, change: Change, told: bool) {
        let told = told && !self.muted.get();
        let mut entries = self.entries.borrow_mut();
        if told {
            self.told.borrow_mut().push(entries.len());
        }
        entries.push(Entry::Change { change, told });
    }

    fn was_told(&self, database: u16, key: &[u8], event: Event) -> bool {
        let entries = self.entries.borrow();
        self.told.borrow().iter().rev().any(|&at| match entries.get(at) {
            Some(Entry::Change { change, .. }) => {
                change.event == event.name && change.database == database && *change.key == *key
            }
            Some(Entry::Notice(told)) => {
                told.event == event && told.database == database && *told.key == *key
            }
            None => false,
        })
    }
}
