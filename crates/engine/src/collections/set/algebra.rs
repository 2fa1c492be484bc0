//! Intersection, union and difference of sets, and members drawn by chance, none of them twice.
//!
//! Results are fixed by the sets and their order. Where a result is kept, most of it may be shared with a source: a union
//! begins with the largest table, a difference with the first one, both captured in O(1).

use std::collections::BTreeSet;

use super::{Body, Packed, Rules, Set};
use crate::random::Random;

/// A part of a large set is drawn member by member if it is at most one in so many; else the set is walked.
const DRAWN_PART: usize = 3;

/// Shows the members that all sets have, until `visit` says that it has seen enough. A key that does not exist is an empty
/// set, and no set at all has no members.
pub(crate) fn intersect(sets: &[Option<&Set>], mut visit: impl FnMut(&[u8]) -> bool) {
    let mut present: Vec<&Set> = sets.iter().copied().flatten().collect();
    if present.len() < sets.len() {
        return;
    }
    present.sort_by_key(|set| set.len());
    let Some((least, others)) = present.split_first() else { return };
    for member in least.members() {
        let member = member.as_bytes();
        if others.iter().all(|set| set.contains(member)) && !visit(member) {
            return;
        }
    }
}

/// Shows the members of the first set that none of the others has.
pub(crate) fn subtract(sets: &[Option<&Set>], mut visit: impl FnMut(&[u8])) {
    let Some((Some(first), others)) = sets.split_first() else { return };
    for member in first.members() {
        let member = member.as_bytes();
        if !others.iter().flatten().any(|set| set.contains(member)) {
            visit(member);
        }
    }
}

impl Set {
    /// A set of the members that all sets have.
    pub(crate) fn intersection(sets: &[Option<&Self>], rules: &Rules) -> Self {
        let mut result = Self::empty(rules);
        intersect(sets, |member| {
            result.add(member, rules);
            true
        });
        result
    }

    /// A set of the members that some set has.
    pub(crate) fn union(sets: &[Option<&Self>], rules: &Rules) -> Self {
        let largest =
            sets.iter().copied().flatten().filter(|set| !set.is_small()).max_by_key(|set| set.len());
        let mut result = largest.map_or_else(|| Self::empty(rules), Self::clone);
        for set in sets.iter().copied().flatten() {
            if largest.is_none_or(|largest| !std::ptr::eq(largest, set)) {
                set.members().for_each(|member| {
                    result.add(member.as_bytes(), rules);
                });
            }
        }
        result.smallest(rules)
    }

    /// A set of the members of the first set that none of the others has.
    pub(crate) fn difference(sets: &[Option<&Self>], rules: &Rules) -> Self {
        let Some((Some(first), others)) = sets.split_first() else { return Self::empty(rules) };
        let to_remove: usize = others.iter().flatten().map(|set| set.len()).sum();
        if first.is_small() || to_remove > first.len() / 2 {
            let mut result = Self::empty(rules);
            subtract(sets, |member| {
                result.add(member, rules);
            });
            return result;
        }
        let mut result = Self::clone(first);
        for member in others.iter().flatten().flat_map(|set| set.members()) {
            result.remove(member.as_bytes());
        }
        result.smallest(rules)
    }

    /// The same members in the encoding that they would have in a set of their own.
    pub(super) fn smallest(self, rules: &Rules) -> Self {
        let small = rules.limits.set_max_intset_entries.max(rules.limits.set_max_listpack_entries);
        if self.len() > small as usize {
            return self;
        }
        let mut result = Self::empty(rules);
        self.members().for_each(|member| {
            result.add(member.as_bytes(), rules);
        });
        result
    }

    /// So many different members by chance, every choice with the same one; all if there are no more.
    pub(crate) fn sample(&self, count: usize, random: &mut Random) -> Packed {
        let len = self.len();
        let mut sample = Packed::new();
        if self.is_small() || count >= len / DRAWN_PART {
            let (mut left, mut wanted) = (len, count.min(len));
            for member in self.members() {
                if random.index_below(left) < wanted {
                    sample.push(member.as_bytes());
                    wanted -= 1;
                }
                left -= 1;
            }
            return sample;
        }
        let mut drawn: BTreeSet<&[u8]> = BTreeSet::new();
        while drawn.len() < count {
            if let Some(super::Member::Bytes(member)) = self.random(random) {
                if drawn.insert(member) {
                    sample.push(member);
                }
            }
        }
        sample
    }
}
