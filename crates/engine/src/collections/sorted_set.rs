//! Sorted sets: members with scores, in order of (score, member).
//!
//! ```text
//! small   Order { one run }                      member by a walk over the run
//! large   Order { tree of runs } + Members       member -> hash -> score -> place in the order
//! ```
//! Readers capture the order alone; both encodings read the same way through it.
//!
//! Invariants: I1: a set is large if it has more entries, or a longer member, than the limits allow, and stays large until it
//! is built anew. I2: the map of a large set holds exactly the members of the order, with the same scores. I3: no score is
//! NaN. I4: zero and minus zero are one score. A large set keeps the sign that a member was given first, a small one has zero
//! alone, as Redis's listpack does.
//!
//! Cost: n members; by member O(n) small, O(log n) large; by rank or score O(log n); `clone` O(1).

mod members;
mod order;
mod range;
mod run;
mod score;
#[cfg(test)]
mod tests;
mod walk;

use xxhash_rust::xxh3::xxh3_64;

pub(crate) use order::Order;
pub use range::{LexBound, LexRange, RankRange, ScoreRange, SortedRange};
pub(crate) use score::Decision;
pub use score::{Added, ZAddOptions};
pub(crate) use walk::Walk;

use super::meter::Meter;
use super::{Body, Rules};
use crate::effect::Delta;
use crate::engine::{Encoding, ValueType};
use crate::memory::AllocatorModel;
use crate::random::mix;
use members::Members;
use range::Edge;
use run::Run;

/// A small set has no more entries than this, whatever the limits say.
const SMALL_ENTRIES_MAX: u64 = 60_000;
/// A small set has no more bytes of members than this, whatever the limits say.
const SMALL_MEMBER_BYTES_MAX: usize = 1 << 20;
/// Members of one score that a scan looks at for each one that it returns, at most.
const SCAN_WALK: u64 = 64;
/// Members that a page of a scan grows to, to keep to that.
const SCAN_PAGE_MAX: u64 = 1 << 14;

/// A sorted set.
#[derive(Debug, Clone)]
pub(crate) struct SortedSet {
    order: Order,
    large: Option<Box<Large>>,
}

#[derive(Debug, Clone)]
struct Large {
    members: Members,
    meter: Meter,
}

fn is_small(rules: &Rules, entries: u64, longest: usize, bytes: usize) -> bool {
    let limits = rules.limits;
    entries <= u64::from(limits.zset_max_listpack_entries).min(SMALL_ENTRIES_MAX)
        && longest as u64 <= u64::from(limits.zset_max_listpack_value)
        && bytes <= SMALL_MEMBER_BYTES_MAX
}

/// The same score; zero for minus zero (I4).
fn unsigned_zero(score: f64) -> f64 {
    score + 0.0
}

impl SortedSet {
    /// A set of these entries, which ascend by (score, member) without equals; small if it may be.
    pub(crate) fn from_ascending<'a>(
        entries: impl Iterator<Item = (f64, &'a [u8])> + Clone,
        rules: &Rules,
    ) -> Self {
        let (mut count, mut longest, mut bytes) = (0, 0, 0);
        for (_, member) in entries.clone() {
            count += 1;
            longest = member.len().max(longest);
            bytes += member.len();
        }
        if is_small(rules, count, longest, bytes) {
            let entries = entries.map(|(score, member)| (unsigned_zero(score), member));
            return Self { order: Order::of_run(Run::collect(entries)), large: None };
        }
        let mut set = Self::empty(rules);
        set.grow(rules);
        for (score, member) in entries {
            set.insert_new(member, score, rules);
        }
        set
    }

    pub(crate) fn len(&self) -> u64 {
        self.order.len()
    }

    /// The entries in order; a clone of it is a capture of them.
    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    /// The rank and score of a member.
    pub(crate) fn find(&self, member: &[u8]) -> Option<(u64, f64)> {
        if let Some(large) = &self.large {
            let mut scores = large.members.scores(large.members.hash(member));
            return scores.find_map(|score| Some((self.order.find(score, member)?, score)));
        }
        let view = self.order.as_run()?.view();
        let at = view.find(member)?;
        Some((at as u64, view.score(at)))
    }

    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        Some(self.find(member)?.1)
    }

    /// Gives a member a score, which is no NaN, and returns the one that it had.
    pub(crate) fn put(&mut self, member: &[u8], score: f64, rules: &Rules) -> Option<f64> {
        let found = self.find(member);
        self.put_found(found, member, score, rules);
        Some(found?.1)
    }

    /// The same for a member that was just looked up.
    pub(crate) fn put_found(&mut self, found: Option<(u64, f64)>, member: &[u8], score: f64, rules: &Rules) {
        debug_assert!(!score.is_nan(), "I3");
        match found {
            None => self.insert_new(member, score, rules),
            Some((_, was)) if was == score => {}
            Some((rank, was)) => self.move_to(rank, was, member, score),
        }
    }

    fn insert_new(&mut self, member: &[u8], score: f64, rules: &Rules) {
        if self.large.is_none() {
            let bytes = self.order.as_run().map_or(0, |run| run.view().member_bytes());
            if is_small(rules, self.len() + 1, member.len(), bytes + member.len()) {
                self.order.change_run(|run| {
                    let at = run.view().position(Edge::Before(score, member));
                    run.insert(at, unsigned_zero(score), member);
                });
                return;
            }
            self.grow(rules);
        }
        let large = self.large.as_deref_mut().expect("it was made large");
        self.order.insert(score, member, &mut large.meter);
        let hash = large.members.hash(member);
        large.members.insert(hash, score, &mut large.meter);
    }

    /// Moves the entry of this rank to another score.
    fn move_to(&mut self, rank: u64, was: f64, member: &[u8], score: f64) {
        let Some(large) = self.large.as_deref_mut() else {
            self.order.change_run(|run| {
                run.remove(usize::try_from(rank).expect("a rank in a run"));
                let at = run.view().position(Edge::Before(score, member));
                run.insert(at, unsigned_zero(score), member);
            });
            return;
        };
        if !self.order.set_score(rank, score, &mut large.meter) {
            self.order.remove_at(rank, &mut large.meter);
            self.order.insert(score, member, &mut large.meter);
        }
        let hash = large.members.hash(member);
        large.members.replace(hash, was, score, &mut large.meter);
    }

    /// Takes a member out and returns its score.
    pub(crate) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (rank, score) = self.find(member)?;
        self.remove_found(rank, member, score);
        Some(score)
    }

    /// Takes the entry of this rank out.
    pub(crate) fn remove_at(&mut self, rank: u64) -> Option<(Vec<u8>, f64)> {
        let (member, score) = self.order.entry(rank)?;
        let member = member.to_vec();
        self.remove_found(rank, &member, score);
        Some((member, score))
    }

    fn remove_found(&mut self, rank: u64, member: &[u8], score: f64) {
        match self.large.as_deref_mut() {
            None => {
                let at = usize::try_from(rank).expect("a rank in a run");
                self.order.change_run(|run| run.remove(at));
            }
            Some(large) => {
                self.order.remove_at(rank, &mut large.meter);
                let hash = large.members.hash(member);
                large.members.remove(hash, score, &mut large.meter);
            }
        }
    }

    /// Makes a small set large.
    fn grow(&mut self, rules: &Rules) {
        let small = std::mem::replace(&mut self.order, Order::new());
        let mut meter = Meter::new(rules.model);
        meter.add(size_of::<Large>());
        meter.add(self.order.as_run().map_or(0, Run::allocated));
        let mut members = Members::new(rules.seed, &mut meter);
        small.visit(0..small.len(), false, |member, score| {
            self.order.insert(score, member, &mut meter);
            members.insert(members.hash(member), score, &mut meter);
            true
        });
        self.large = Some(Box::new(Large { members, meter }));
    }

    /// Visits some members and returns the cursor of the next ones, 0 after the last. A member that is there from the first
    /// call to the last is visited once, whatever its score does meanwhile.
    pub(crate) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        let Some(large) = &self.large else {
            self.order.visit(0..self.len(), false, |member, score| {
                visit(member, score);
                true
            });
            return 0;
        };
        let Ok(from) = u32::try_from(cursor) else { return 0 };
        let (mut groups, mut next) = self.scan_groups(large, from, count.max(1));
        let walked: u64 = groups.iter().map(|ranks| ranks.end - ranks.start).sum();
        // Of many members with one score only a few may be wanted: more are taken at once, so that the whole scan does not
        // walk over all of them for each page.
        let wanted = (walked / SCAN_WALK).min(SCAN_PAGE_MAX);
        if wanted > (count as u64).max(SCAN_WALK) {
            (groups, next) = self.scan_groups(large, from, usize::try_from(wanted).unwrap_or(count));
        }
        let page = u64::from(from)..next;
        for ranks in groups {
            self.order.visit(ranks, false, |member, score| {
                if page.contains(&u64::from(large.members.hash(member).reverse_bits())) {
                    visit(member, score);
                }
                true
            });
        }
        if next > u64::from(u32::MAX) { 0 } else { next }
    }

    /// The ranks of the members of a scan's page and of all that have their scores, and where the next page begins.
    fn scan_groups(&self, large: &Large, from: u32, count: usize) -> (Vec<std::ops::Range<u64>>, u64) {
        let (mut scores, mut next) = (Vec::new(), u64::from(from));
        while let Ok(from) = u32::try_from(next) {
            if scores.len() >= count {
                break;
            }
            next = large.members.page(from, count - scores.len(), &mut scores);
        }
        scores.sort_unstable_by(f64::total_cmp);
        scores.dedup();
        let ranks = |&score: &f64| {
            self.order.count_before(Edge::Below(score))..self.order.count_before(Edge::Above(score))
        };
        (scores.iter().map(ranks).collect(), next)
    }
}

impl Body for SortedSet {
    const TYPE: ValueType = ValueType::SortedSet;

    fn empty(_: &Rules) -> Self {
        Self { order: Order::new(), large: None }
    }

    fn is_vacant(&self) -> bool {
        self.order.len() == 0
    }

    fn encoding(&self) -> Encoding {
        if self.large.is_some() { Encoding::Skiplist } else { Encoding::Listpack }
    }

    fn charged(&self, model: AllocatorModel) -> u64 {
        match &self.large {
            Some(large) => large.meter.bytes(),
            None => self.order.as_run().map_or(0, |run| run.charged(model)),
        }
    }

    fn digest(&self) -> u64 {
        let mut digest = self.len();
        self.order.visit(0..self.len(), false, |member, score| {
            digest = mix(digest ^ mix(unsigned_zero(score).to_bits()).wrapping_add(xxh3_64(member)));
            true
        });
        digest
    }

    fn apply(&mut self, delta: &Delta, rules: &Rules) {
        match delta {
            Delta::SortedSetPut { member, score } if !score.is_nan() => {
                self.put(member, *score, rules);
            }
            Delta::SortedSetRemove { member } => {
                self.remove(member);
            }
            _ => {}
        }
    }

    fn deltas(&self, emit: &mut dyn FnMut(Delta)) {
        self.order.visit(0..self.len(), false, |member, score| {
            emit(Delta::SortedSetPut { member: member.into(), score });
            true
        });
    }

    fn free_some(&mut self, nodes: usize) -> bool {
        let Some(large) = self.large.as_deref_mut() else { return true };
        if !large.members.free_some(nodes.div_ceil(2), &mut large.meter) {
            return false;
        }
        if !self.order.free_some(nodes, &mut large.meter) {
            return false;
        }
        self.large = None;
        true
    }

    #[cfg(any(test, fuzzing))]
    fn validate_between(&self, _narrowest: &Rules, rules: &Rules) {
        let Some(large) = &self.large else {
            self.order.validate(None);
            let run = self.order.as_run().expect("a small set is one run").view();
            let longest = run.entries(0..run.len()).map(|(_, member)| member.len()).max().unwrap_or(0);
            assert!(is_small(rules, self.len(), longest, run.member_bytes()), "I1");
            return;
        };
        let mut recount = Meter::new(large.meter.model());
        recount.add(size_of::<Large>());
        self.order.validate(Some(&mut recount));
        let (entries, bytes) = large.members.validate(&large.meter);
        assert_eq!(large.meter.bytes(), recount.bytes() + bytes, "the meter holds every allocation");
        assert_eq!(entries as u64, self.len(), "I2");
        let mut seen = 0;
        self.order.visit(0..self.len(), false, |member, score| {
            assert_eq!(self.find(member), Some((seen, score)), "I2");
            seen += 1;
            true
        });
    }

    arm!(SortedSet);
}
