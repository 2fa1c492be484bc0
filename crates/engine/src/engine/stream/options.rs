//! What may be asked of adding and trimming.

use crate::collections::rules::Rules;
use crate::collections::stream::id::{NewId, StreamId};
use crate::collections::stream::log::{TrimTo, Trimming};

/// How a stream is trimmed; see [`Stream::trim`](crate::Stream::trim).
///
/// # Examples
/// ```
/// use larder::{StreamId, Trim};
/// let exactly = Trim::to_length(1_000);
/// let roughly = Trim::to_id(StreamId::new(1_526_919_030_474, 0)).approximate().limit(500);
/// assert_ne!(exactly, roughly);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    to: TrimTo,
    approximate: bool,
    limit: Option<u64>,
}

impl Trim {
    /// Keeps the newest entries, so many (`MAXLEN`).
    #[must_use]
    pub const fn to_length(entries: u64) -> Self {
        Self { to: TrimTo::Length(entries), approximate: false, limit: None }
    }

    /// Keeps the entries from this id on (`MINID`).
    #[must_use]
    pub const fn to_id(least: StreamId) -> Self {
        Self { to: TrimTo::Id(least), approximate: false, limit: None }
    }

    /// Removes whole blocks only, which is cheaper and may leave up to a block more than was asked for (`~`).
    #[must_use]
    pub const fn approximate(mut self) -> Self {
        self.approximate = true;
        self
    }

    /// Removes at most so many entries, zero for any number (`LIMIT`); it has a meaning in approximate trimming only, and is
    /// a hundred blocks' worth by default.
    #[must_use]
    pub const fn limit(mut self, entries: u64) -> Self {
        self.limit = Some(entries);
        self
    }

    pub(super) fn resolve(self, rules: &Rules) -> Trimming {
        let by_default = match u64::from(rules.limits.stream_node_max_entries) {
            0 => 10_000,
            entries => (100 * entries).min(1_000_000),
        };
        let limit = if self.approximate { self.limit.unwrap_or(by_default) } else { 0 };
        Trimming { to: self.to, approximate: self.approximate, limit }
    }
}

/// How an entry is added; see [`Stream::add_with`](crate::Stream::add_with).
///
/// # Examples
/// ```
/// use larder::{AddOptions, NewId, Trim};
/// let options = AddOptions::new().id(NewId::Sequence(7)).existing_only().trim(Trim::to_length(10));
/// assert_ne!(options, AddOptions::new());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddOptions {
    pub(super) id: NewId,
    pub(super) existing_only: bool,
    pub(super) trim: Option<Trim>,
}

impl AddOptions {
    /// Makes the options of a plain `XADD key *`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses the id.
    #[must_use]
    pub fn id(mut self, id: impl Into<NewId>) -> Self {
        self.id = id.into();
        self
    }

    /// Adds nothing if there is no stream (`NOMKSTREAM`).
    #[must_use]
    pub fn existing_only(mut self) -> Self {
        self.existing_only = true;
        self
    }

    /// Trims the stream afterwards.
    #[must_use]
    pub fn trim(mut self, trim: Trim) -> Self {
        self.trim = Some(trim);
        self
    }
}

/// What a stream is to say of itself; see [`Stream::set_last_id`](crate::Stream::set_last_id).
///
/// # Examples
/// ```
/// use larder::{StreamId, StreamMeta};
/// let meta = StreamMeta::new(StreamId::new(9, 0)).entries_added(12).max_deleted_id(StreamId::new(8, 0));
/// assert_ne!(meta, StreamMeta::new(StreamId::new(9, 0)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamMeta {
    pub(super) last_id: StreamId,
    pub(super) entries_added: Option<u64>,
    pub(super) max_deleted_id: Option<StreamId>,
}

impl StreamMeta {
    /// Sets the last id that was given; the next one will be above it.
    #[must_use]
    pub const fn new(last_id: StreamId) -> Self {
        Self { last_id, entries_added: None, max_deleted_id: None }
    }

    /// Sets how many entries were ever added (`ENTRIESADDED`).
    #[must_use]
    pub const fn entries_added(mut self, entries: u64) -> Self {
        self.entries_added = Some(entries);
        self
    }

    /// Sets the highest id of an entry that was removed (`MAXDELETEDID`); `0-0` leaves it as it is.
    #[must_use]
    pub const fn max_deleted_id(mut self, id: StreamId) -> Self {
        self.max_deleted_id = Some(id);
        self
    }
}
