//! Sets: a sorted array of integers or one packed block while small, a segmented hash table when large.
//!
//! ```text
//! Ints    [-3][5][70][4096]           all members integers, up to set-max-intset-entries
//! Packed  [len member nel] ..         up to set-max-listpack-entries members of set-max-listpack-value bytes
//! Table   segments of a few hundred members in hash order
//! ```
//! Conversions go one way as members come, as in Redis 7.2: Ints to Packed by the first member that is no integer, if the
//! limits of Packed allow it, else to Table; Packed to Table. A set of which most was popped begins anew with
//! [`settled`](Set::settled), as in Redis 7.0.
//!
//! Invariants: I1: Ints and Packed are within their limits. I2: no member occurs twice. I3: an integer member of Ints is one
//! whose text has one form only, so that equal texts are equal numbers.
//!
//! Cost, n members: contains, add, remove O(log n) in Ints, O(n) of at most a few KiB in Packed, O(1) in Table; a random
//! member O(1), in Packed O(n); `clone` of a Table O(1), of the others a copy.

pub(crate) mod algebra;
mod ints;
mod members;
#[cfg(test)]
mod tests;

use xxhash_rust::xxh3::xxh3_64;

use super::packed::Packed;
use super::rules::EncodingLimits;
use super::string::number::parse_i64;
use super::table::{Shape, Table};
use super::{Body, Rules};
use crate::effect::Delta;
use crate::engine::{Encoding, ValueType};
use crate::memory::AllocatorModel;
use crate::random::{Random, mix};
use ints::Ints;
pub(crate) use members::{Member, Members, OwnedMembers};

/// The value of a set's key.
#[derive(Debug, Clone)]
pub(crate) enum Set {
    Ints(Ints),
    Packed(Packed),
    Table(Box<Table>),
}

fn ints_max(limits: &EncodingLimits) -> usize {
    limits.set_max_intset_entries as usize
}

/// Whether so many members, of which the longest has so many bytes, may be packed.
fn packs(limits: &EncodingLimits, members: usize, longest: usize) -> bool {
    members <= limits.set_max_listpack_entries as usize && longest <= limits.set_max_listpack_value as usize
}

impl Set {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Ints(ints) => ints.len(),
            Self::Packed(packed) => packed.len(),
            Self::Table(table) => table.len(),
        }
    }

    #[inline]
    pub(crate) fn contains(&self, member: &[u8]) -> bool {
        match self {
            Self::Ints(ints) => parse_i64(member).is_some_and(|number| ints.contains(number)),
            Self::Packed(packed) => packed.find(member).is_some(),
            Self::Table(table) => table.contains(member),
        }
    }

    /// The members, in no order that means anything; integers of a small set ascend.
    pub(crate) fn members(&self) -> Members<'_> {
        Members::new(self)
    }

    /// The same, for as long as one likes.
    pub(crate) fn into_members(self) -> OwnedMembers {
        OwnedMembers::new(self)
    }

    /// A member, each with the same probability.
    pub(crate) fn random(&self, random: &mut Random) -> Option<Member<'_>> {
        match self {
            Self::Ints(ints) => ints.get(random.index_below(ints.len())).map(Member::number),
            Self::Packed(packed) => packed.get(random.index_below(packed.len())).map(Member::Bytes),
            Self::Table(table) => table.random(random).map(|entry| Member::Bytes(entry.key)),
        }
    }

    /// Visits about `count` members from `cursor` on; the next cursor, 0 when all were visited. A small set is visited whole.
    pub(crate) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        if let Self::Table(table) = self {
            return table.scan(cursor, count, |entry| visit(entry.key));
        }
        self.members().for_each(|member| visit(member.as_bytes()));
        0
    }

    /// Whether a walk over all members touches no more than a few KiB.
    pub(crate) fn is_small(&self) -> bool {
        !matches!(self, Self::Table(_))
    }

    /// Whether both are one capture's set, unchanged since. Small sets have nothing to tell by.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Table(one), Self::Table(other)) => one.is_same(other),
            _ => false,
        }
    }

    /// Chooses the encoding for a set that is about to get so many members, of which this is the first.
    pub(crate) fn prepare(&mut self, first: &[u8], count: usize, rules: &Rules) {
        let limits = &rules.limits;
        let (few_ints, few) = (count <= ints_max(limits), packs(limits, count, 0));
        let stays = match self {
            Self::Ints(ints) if ints.len() == 0 => {
                let stays = few_ints && parse_i64(first).is_some();
                if !stays && few {
                    *self = Self::Packed(Packed::new());
                }
                stays || few
            }
            Self::Ints(_) => few_ints,
            Self::Packed(_) => few,
            Self::Table(_) => true,
        };
        if !stays {
            self.enlarge(rules);
        }
    }

    /// `false` if it was there.
    pub(crate) fn add(&mut self, member: &[u8], rules: &Rules) -> bool {
        match self {
            Self::Ints(ints) => match parse_i64(member) {
                Some(number) => {
                    let is_new = ints.insert(number);
                    if ints.len() > ints_max(&rules.limits) {
                        self.enlarge(rules);
                    }
                    return is_new;
                }
                None => self.leave_ints(member.len(), rules),
            },
            Self::Packed(packed) => {
                if packed.find(member).is_some() {
                    return false;
                }
                if !packs(&rules.limits, packed.len() + 1, member.len()) {
                    self.enlarge(rules);
                }
            }
            Self::Table(_) => {}
        }
        match self {
            Self::Packed(packed) => {
                packed.push(member);
                true
            }
            Self::Table(table) => table.add(member),
            Self::Ints(_) => unreachable!("it was just converted"),
        }
    }

    /// Away from integers, because a member of so many bytes comes that is none.
    fn leave_ints(&mut self, member_bytes: usize, rules: &Rules) {
        let Self::Ints(ints) = self else { return };
        // The first or the last has the longest text.
        let ends = [ints.get(0), ints.len().checked_sub(1).and_then(|last| ints.get(last))];
        let texts = ends.into_iter().flatten().map(|number| Member::number(number).as_bytes().len());
        let longest = texts.max().unwrap_or(0).max(member_bytes);
        if !packs(&rules.limits, ints.len() + 1, longest) {
            return self.enlarge(rules);
        }
        let mut packed = Packed::new();
        self.members().for_each(|member| packed.push(member.as_bytes()));
        *self = Self::Packed(packed);
    }

    fn enlarge(&mut self, rules: &Rules) {
        let mut table = Table::new(Shape::Keys, rules.seed, rules.model);
        for member in self.members() {
            table.add(member.as_bytes());
        }
        *self = Self::Table(Box::new(table));
    }

    /// `false` if it was not there.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Self::Ints(ints) => parse_i64(member).is_some_and(|number| ints.remove(number)),
            Self::Packed(packed) => match packed.find(member) {
                Some(at) => {
                    packed.remove(at..at + 1);
                    true
                }
                None => false,
            },
            Self::Table(table) => table.remove(member),
        }
    }

    /// Begins anew, in the encoding that the members would have in a set of their own.
    pub(crate) fn settled(&mut self, rules: &Rules) {
        if !matches!(self, Self::Ints(_)) {
            *self = std::mem::replace(self, Self::empty(rules)).smallest(rules);
        }
    }
}

impl Body for Set {
    const TYPE: ValueType = ValueType::Set;

    fn empty(_: &Rules) -> Self {
        Self::Ints(Ints::new())
    }

    fn is_vacant(&self) -> bool {
        self.len() == 0
    }

    fn encoding(&self) -> Encoding {
        match self {
            Self::Ints(_) => Encoding::Intset,
            Self::Packed(_) => Encoding::Listpack,
            Self::Table(_) => Encoding::Hashtable,
        }
    }

    fn charged(&self, model: AllocatorModel) -> u64 {
        match self {
            Self::Ints(ints) => model.charge(ints.heap_bytes()),
            Self::Packed(packed) => model.charge(packed.heap_bytes()),
            Self::Table(table) => model.charge(size_of::<Table>()) + table.charged(),
        }
    }

    fn digest(&self) -> u64 {
        self.members().fold(0, |sum, member| sum.wrapping_add(mix(xxh3_64(member.as_bytes()))))
    }

    fn apply(&mut self, delta: &Delta, rules: &Rules) {
        match delta {
            Delta::SetAdd { member } => {
                self.add(member, rules);
            }
            Delta::SetRemove { member } => {
                self.remove(member);
            }
            _ => {}
        }
    }

    fn deltas(&self, emit: &mut dyn FnMut(Delta)) {
        for member in self.members() {
            emit(Delta::SetAdd { member: member.as_bytes().into() });
        }
    }

    fn free_some(&mut self, nodes: usize) -> bool {
        match self {
            Self::Table(table) => table.free_some(nodes),
            Self::Ints(_) | Self::Packed(_) => {
                *self = Self::Ints(Ints::new());
                true
            }
        }
    }

    #[cfg(any(test, fuzzing))]
    fn validate_between(&self, _narrowest: &Rules, rules: &Rules) {
        match self {
            Self::Ints(ints) => {
                ints.validate();
                assert!(ints.len() <= ints_max(&rules.limits), "I1");
            }
            Self::Packed(packed) => {
                packed.validate();
                let longest = packed.iter().map(<[u8]>::len).max().unwrap_or(0);
                assert!(packs(&rules.limits, packed.len(), longest), "I1");
                let unique: std::collections::BTreeSet<_> = packed.iter().collect();
                assert_eq!(unique.len(), packed.len(), "I2");
            }
            Self::Table(table) => table.validate(),
        }
    }

    arm!(Set);
}
