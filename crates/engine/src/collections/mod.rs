//! The data structures behind the keys. They know nothing of keys, locks, clocks or logs.
//!
//! ```text
//! entry --word--> Box<Held> { stamp, body: Collection }
//!                                      `-- List | Set | Hash | SortedSet | Stream, each small (packed) or large (tree)
//! ```
//! Invariants every body keeps: I1: `clone` is a capture: O(1) for a large encoding (its nodes are shared, and a shared
//! node is copied before it is changed), a copy of at most a few KiB for a small one. I2: `charged` is O(1) and equals what
//! the allocator model says of every allocation that the body owns, the body's own size apart. I3: policy (NX, GT,
//! overflow, wrong arguments) lives above the encodings, once. I4: `digest` depends on the content alone, not on encoding or
//! history.

#[macro_use]
mod dispatch;

pub(crate) mod bits;
pub(crate) mod cow;
pub(crate) mod geo;
pub(crate) mod hash;
pub(crate) mod hyperloglog;
pub(crate) mod list;
pub(crate) mod meter;
pub(crate) mod packed;
pub(crate) mod partial_sort;
pub(crate) mod rules;
pub(crate) mod set;
pub(crate) mod sorted_set;
pub(crate) mod sparse;
pub(crate) mod stream;
pub(crate) mod string;
pub(crate) mod table;

pub(crate) use dispatch::{Collection, Held};

use crate::effect::Delta;
use crate::engine::{Encoding, ValueType};
use crate::memory::AllocatorModel;
use rules::Rules;

/// What every type of collection gives to the keyspace.
pub(crate) trait Body: Clone + Sized {
    /// The type's name.
    const TYPE: ValueType;

    /// An empty one, in its smallest encoding.
    fn empty(rules: &Rules) -> Self;

    /// Whether it holds nothing, so that its key goes (a stream stays).
    fn is_vacant(&self) -> bool;

    /// How it is kept.
    fn encoding(&self) -> Encoding;

    /// What its allocations cost by the model, its own `size_of` apart; O(1).
    fn charged(&self, model: AllocatorModel) -> u64;

    /// A hash of the content (I4).
    fn digest(&self) -> u64;

    /// The same of what readers see at this time; `None` if that is nothing.
    fn digest_at(&self, _now_ms: u64) -> Option<u64> {
        Some(self.digest())
    }

    /// Applies one recorded change; it cannot fail on what the engine itself recorded.
    fn apply(&mut self, delta: &Delta, rules: &Rules);

    /// The changes that make an empty body into this one.
    fn deltas(&self, emit: &mut dyn FnMut(Delta));

    /// The earliest deadline inside it, if something in it expires by itself.
    fn next_deadline_ms(&self) -> Option<u64> {
        None
    }

    /// Whether what readers see depends on the time, so that the clock must be read for them.
    fn reads_clock(&self) -> bool {
        self.next_deadline_ms().is_some()
    }

    /// Removes what is past its deadline inside it, at most about `budget` parts; tells how many went.
    fn expire_due(
        &mut self,
        _now_ms: u64,
        _budget: usize,
        _rules: &Rules,
        _emit: &mut dyn FnMut(Delta),
    ) -> usize {
        0
    }

    /// Frees about `nodes` nodes of a body that nobody needs any more; `true` when nothing is left to free. Nodes that a
    /// capture still holds are let go, not freed.
    fn free_some(&mut self, nodes: usize) -> bool;

    /// Panics if an invariant is broken. Collections follow the limits when they change, so what there is came about under
    /// limits between these two.
    #[cfg(any(test, fuzzing))]
    fn validate_between(&self, narrowest: &Rules, widest: &Rules);

    /// The same where the limits were always these.
    #[cfg(test)]
    fn validate(&self, rules: &Rules) {
        self.validate_between(rules, rules);
    }

    /// The body in a value's arm.
    fn into_collection(self) -> Collection;

    /// The body of a value, if it is of this type.
    fn of(collection: &Collection) -> Option<&Self>;

    /// The same, to change it.
    fn of_mut(collection: &mut Collection) -> Option<&mut Self>;
}
