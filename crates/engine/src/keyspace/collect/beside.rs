//! A change that is made of a body outside of the lock, to be put in the place of the state it was made of.
//!
//! Invariant: I1: what is adopted was made of the very state in whose place it comes; whoever adopts compares the stamps.

use std::cell::Cell;

use super::super::Core;
use super::super::interest::Touch;
use super::{Change, run};
use crate::collections::Body;
use crate::collections::rules::Rules;
use crate::effect::Delta;
use crate::error::OpError;
use crate::feed::log::Changelog;

/// What a change made outside of the lock.
#[derive(Debug)]
pub(crate) struct Made<B, R> {
    body: B,
    deltas: Option<Vec<Delta>>,
    /// The names that the change gave to what it did.
    feed: Changelog,
    grown: bool,
    /// Whether there is anything to be put in.
    pub(crate) changed: bool,
    /// What the change answers.
    pub(crate) result: R,
}

impl<B: Body, R> Made<B, R> {
    /// Changes a body that nobody else sees. An error means what it means under the lock.
    pub(crate) fn new(
        core: &Core,
        rules: &Rules,
        mut body: B,
        f: &mut impl FnMut(&mut Change<'_, B>) -> Result<R, OpError>,
    ) -> Result<Self, OpError> {
        let feed = Changelog::new(core.is_recording());
        let deltas = feed.is_recording().then(Vec::new);
        let (now_ms, mut random) = (Cell::new(None), core.chance());
        let change = Change {
            body: &mut body,
            rules,
            core,
            feed: &feed,
            now_ms,
            random: &mut random,
            deltas,
            changed: false,
            grown: false,
            stamp: 0,
        };
        let outcome = run(change, f);
        let (changed, deltas) = (outcome.changed, outcome.deltas);
        let grown = outcome.touch == Touch::Grown;
        Ok(Self { result: outcome.result?, changed, grown, deltas, feed, body })
    }
}

impl<B> Change<'_, B> {
    /// The stamp of the state that is about to be changed; 0 if there was no collection.
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Whether what was made says all that is asked of a change now: somebody may have begun to listen meanwhile.
    pub(crate) fn is_told_by<R>(&self, made: &Made<B, R>) -> bool {
        self.deltas.is_none() || made.deltas.is_some()
    }

    /// Puts what was made of this state into its place (I1). The state itself is left in `made`, to be dropped when no lock
    /// is held.
    pub(crate) fn adopt<R>(&mut self, made: &mut Made<B, R>) {
        std::mem::swap(self.body, &mut made.body);
        self.changed |= made.changed;
        self.grown |= made.grown;
        self.feed.adopt(&made.feed);
        if let (Some(deltas), Some(others)) = (&mut self.deltas, &mut made.deltas) {
            deltas.append(others);
        }
    }
}
