//! Calls with their stamps, and the histories that they make.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counter of which all threads of a history take their stamps.
#[derive(Debug, Default)]
pub struct Stamps(AtomicU64);

impl Stamps {
    /// A stamp that is greater than all before it.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// One call: what was asked, between which stamps, and what came back.
#[derive(Debug, Clone)]
pub struct Call<Op, Ret> {
    /// The thread that called.
    pub thread: usize,
    /// What was asked.
    pub op: Op,
    /// The stamp at the call's beginning.
    pub invoked: u64,
    /// The stamp at its end, and what came back; `None` if it never returned.
    pub outcome: Option<(u64, Ret)>,
}

impl<Op, Ret> Call<Op, Ret> {
    /// The stamp of the end, for ever away if there was none.
    #[must_use]
    pub fn returned(&self) -> u64 {
        self.outcome.as_ref().map_or(u64::MAX, |(stamp, _)| *stamp)
    }
}

/// What one thread writes down.
#[derive(Debug)]
pub struct Log<'s, Op, Ret> {
    stamps: &'s Stamps,
    thread: usize,
    calls: Vec<Call<Op, Ret>>,
}

impl<'s, Op, Ret> Log<'s, Op, Ret> {
    /// An empty log with room for so many calls.
    #[must_use]
    pub fn new(stamps: &'s Stamps, thread: usize, calls: usize) -> Self {
        Self { stamps, thread, calls: Vec::with_capacity(calls) }
    }

    /// Makes a call. Nothing but the call lies between its two stamps; if it panics, it stays without an outcome.
    pub fn call(&mut self, op: Op, run: impl FnOnce(&Op) -> Ret) {
        self.calls.push(Call { thread: self.thread, op, invoked: 0, outcome: None });
        let Some(call) = self.calls.last_mut() else { return };
        call.invoked = self.stamps.next();
        let ret = run(&call.op);
        call.outcome = Some((self.stamps.next(), ret));
    }

    /// The calls, in their order.
    #[must_use]
    pub fn into_calls(self) -> Vec<Call<Op, Ret>> {
        self.calls
    }
}

/// The calls of all threads, by their beginnings.
#[derive(Debug, Clone)]
pub struct History<Op, Ret> {
    calls: Vec<Call<Op, Ret>>,
}

impl<Op, Ret> History<Op, Ret> {
    /// Puts calls into their order.
    #[must_use]
    pub fn new(mut calls: Vec<Call<Op, Ret>>) -> Self {
        calls.sort_by_key(|call| call.invoked);
        Self { calls }
    }

    /// The calls, by their beginnings.
    #[must_use]
    pub fn calls(&self) -> &[Call<Op, Ret>] {
        &self.calls
    }

    /// How many calls began before an earlier one of another thread had ended.
    #[must_use]
    pub fn overlapping(&self) -> usize {
        let later = self.calls.iter().enumerate();
        later
            .filter(|(at, call)| {
                let mut before = self.calls[..*at].iter();
                before.any(|other| other.thread != call.thread && other.returned() > call.invoked)
            })
            .count()
    }

    /// Puts in the place of each call those that `parts` makes of it, for calls that promise no single moment.
    #[must_use]
    pub fn split(self, parts: impl FnMut(Call<Op, Ret>) -> Vec<Call<Op, Ret>>) -> Self {
        Self::new(self.calls.into_iter().flat_map(parts).collect())
    }

    /// The history of each key, for calls that touch one key each. Stamps stay, so the order in time does.
    #[must_use]
    pub fn by_key<K: Ord>(self, key: impl Fn(&Op) -> K) -> BTreeMap<K, Self> {
        let mut parts: BTreeMap<K, Self> = BTreeMap::new();
        for call in self.calls {
            let part = parts.entry(key(&call.op)).or_insert_with(|| Self { calls: Vec::new() });
            part.calls.push(call);
        }
        parts
    }
}
