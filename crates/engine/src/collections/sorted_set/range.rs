//! Which entries of a sorted set are meant: by rank, by score, by member; and the edges between entries that they become.
//!
//! ```text
//! RankRange 1..=2    ScoreRange (1, 3]    LexRange [b, c)        what a caller names
//!      `---------------- Range<u64> of ranks ----------------'   what every reader walks
//! ```
//! Invariants: I1: a range that no entry can lie in gives an empty range of ranks. I2: a NaN bound holds nothing.
//!
//! Cost: a range by rank O(1), by score or member two descents, O(log n).

use std::ops::{Bound, Range, RangeBounds};

use super::order::Order;
use super::run::View;
use crate::feed::event::{self, Event};

/// A cut between entries: what lies before it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edge<'a> {
    /// Scores less than this one.
    Below(f64),
    /// Scores up to this one.
    Above(f64),
    /// Entries less than this one.
    Before(f64, &'a [u8]),
    /// Entries up to this one.
    Past(f64, &'a [u8]),
    /// Members less than this one, in a set of one score.
    BelowMember(&'a [u8]),
    /// Members up to this one, in a set of one score.
    AboveMember(&'a [u8]),
}

impl Edge<'_> {
    /// How many of `count` ascending entries lie before the edge. Members are asked for only where scores are equal.
    #[inline]
    pub(super) fn partition<'m>(
        self,
        count: usize,
        score: impl Fn(usize) -> f64,
        member: impl Fn(usize) -> &'m [u8],
    ) -> usize {
        match self {
            Self::Below(edge) => search(0, count, |index| score(index) < edge),
            Self::Above(edge) => search(0, count, |index| score(index) <= edge),
            Self::BelowMember(edge) => search(0, count, |index| member(index) < edge),
            Self::AboveMember(edge) => search(0, count, |index| member(index) <= edge),
            Self::Before(edge, edge_member) | Self::Past(edge, edge_member) => {
                let low = search(0, count, |index| score(index) < edge);
                if low == count || score(low) > edge {
                    return low;
                }
                // Most scores are those of one member.
                let next = low + 1;
                let alone = next == count || score(next) > edge;
                let high = if alone { next } else { search(next, count, |index| score(index) <= edge) };
                if matches!(self, Self::Past(..)) {
                    search(low, high, |index| member(index) <= edge_member)
                } else {
                    search(low, high, |index| member(index) < edge_member)
                }
            }
        }
    }
}

/// The first index of `from..to` for which `before` no longer holds, without a branch on what it says.
#[inline]
fn search(from: usize, to: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut base, mut size) = (from, to - from);
    if size == 0 {
        return from;
    }
    while size > 1 {
        let half = size / 2;
        base += half * usize::from(before(base + half));
        size -= half;
    }
    base + usize::from(before(base))
}

/// Ranks from one to another, both included; 0 is the lowest score, -1 the highest.
///
/// # Examples
/// ```
/// use larder::RankRange;
/// assert_eq!(RankRange::from(0..10), RankRange { start: 0, stop: 9 });
/// assert_eq!(RankRange::from(-3..), RankRange { start: -3, stop: -1 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankRange {
    /// The first rank; negative counts from the end.
    pub start: i64,
    /// The last rank; negative counts from the end.
    pub stop: i64,
}

impl<R: RangeBounds<i64>> From<R> for RankRange {
    fn from(range: R) -> Self {
        const EMPTY: RankRange = RankRange { start: 0, stop: i64::MIN };
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&-1 | &i64::MAX) => return EMPTY,
            Bound::Excluded(&start) => start + 1,
            Bound::Unbounded => 0,
        };
        let stop = match range.end_bound() {
            Bound::Included(&stop) => stop,
            Bound::Excluded(&0 | &i64::MIN) => return EMPTY,
            Bound::Excluded(&stop) => stop - 1,
            Bound::Unbounded => -1,
        };
        Self { start, stop }
    }
}

/// Scores from one bound to another.
///
/// # Examples
/// ```
/// use larder::ScoreRange;
/// use std::ops::Bound;
/// assert_eq!(ScoreRange::from(1.0..), ScoreRange::new(Bound::Included(1.0), Bound::Unbounded));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreRange {
    /// Where it begins (`1.5`, `(1.5` or `-inf`).
    pub min: Bound<f64>,
    /// Where it ends.
    pub max: Bound<f64>,
}

impl ScoreRange {
    /// Makes a range of two bounds.
    #[must_use]
    pub const fn new(min: Bound<f64>, max: Bound<f64>) -> Self {
        Self { min, max }
    }
}

impl<R: RangeBounds<f64>> From<R> for ScoreRange {
    fn from(range: R) -> Self {
        Self { min: range.start_bound().cloned(), max: range.end_bound().cloned() }
    }
}

/// A bound of a [`LexRange`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LexBound {
    /// Before every member (`-`).
    Lowest,
    /// Behind every member (`+`).
    Highest,
    /// This member and what lies inside (`[a`).
    Including(Box<[u8]>),
    /// What lies inside of this member (`(a`).
    Excluding(Box<[u8]>),
}

/// Members from one bound to another, by their bytes, of a set whose members all have one score.
///
/// # Examples
/// ```
/// use larder::{LexBound, LexRange};
/// assert_eq!(LexRange::of("a".."c").max, LexBound::Excluding(b"c"[..].into()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LexRange {
    /// Where it begins.
    pub min: LexBound,
    /// Where it ends.
    pub max: LexBound,
}

impl LexRange {
    /// Makes a range of two bounds.
    #[must_use]
    pub const fn new(min: LexBound, max: LexBound) -> Self {
        Self { min, max }
    }

    /// Makes a range of one of Rust's: `LexRange::of("a".."c")`.
    #[must_use]
    pub fn of<B: AsRef<[u8]>>(range: impl RangeBounds<B>) -> Self {
        let bound = |bound: Bound<&B>, open| match bound {
            Bound::Included(member) => LexBound::Including(member.as_ref().into()),
            Bound::Excluded(member) => LexBound::Excluding(member.as_ref().into()),
            Bound::Unbounded => open,
        };
        Self {
            min: bound(range.start_bound(), LexBound::Lowest),
            max: bound(range.end_bound(), LexBound::Highest),
        }
    }

    fn above_min(&self, member: &[u8]) -> bool {
        match &self.min {
            LexBound::Lowest => true,
            LexBound::Highest => false,
            LexBound::Including(min) => member >= &**min,
            LexBound::Excluding(min) => member > &**min,
        }
    }

    fn below_max(&self, member: &[u8]) -> bool {
        match &self.max {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Including(max) => member <= &**max,
            LexBound::Excluding(max) => member < &**max,
        }
    }
}

/// Which entries, in which order, and how many of them: the argument of `ZRANGE`.
///
/// # Examples
/// ```
/// use larder::SortedRange;
/// let top_ten = SortedRange::ranks(0..10).rev();
/// let page = SortedRange::scores(1.0..=5.0).limit(20, 10);
/// assert_ne!(top_ten, page);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct SortedRange {
    by: By,
    reverse: bool,
    offset: u64,
    count: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
enum By {
    Rank(RankRange),
    Score(ScoreRange),
    Lex(LexRange),
}

impl SortedRange {
    /// Redis's name for taking out what the range selects.
    pub(crate) fn removal_event(&self) -> Event {
        match self.by {
            By::Rank(_) => event::ZREMRANGEBYRANK,
            By::Score(_) => event::ZREMRANGEBYSCORE,
            By::Lex(_) => event::ZREMRANGEBYLEX,
        }
    }

    fn by(by: By) -> Self {
        Self { by, reverse: false, offset: 0, count: None }
    }

    /// Selects by rank.
    pub fn ranks(range: impl Into<RankRange>) -> Self {
        Self::by(By::Rank(range.into()))
    }

    /// Selects by score (Redis: `BYSCORE`).
    pub fn scores(range: impl Into<ScoreRange>) -> Self {
        Self::by(By::Score(range.into()))
    }

    /// Selects by member (Redis: `BYLEX`).
    pub fn members(range: LexRange) -> Self {
        Self::by(By::Lex(range))
    }

    /// Goes from the highest to the lowest; ranks count from the highest then (Redis: `REV`).
    pub fn rev(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// Leaves out the first `offset` and takes at most `count` (Redis: `LIMIT`).
    pub fn limit(mut self, offset: u64, count: u64) -> Self {
        self.offset = offset;
        self.count = Some(count);
        self
    }

    pub(crate) fn is_reverse(&self) -> bool {
        self.reverse
    }

    /// The ranks of what is selected; they are walked from the end if the selection is reversed.
    pub(crate) fn resolve(&self, order: &Order) -> Range<u64> {
        let found = match &self.by {
            By::Rank(range) => ranks(*range, order.len(), self.reverse),
            By::Score(range) => scores(*range, order),
            By::Lex(range) => members(range, order, self.reverse),
        };
        let (from, to) = (found.start, found.end.max(found.start));
        let count = self.count.unwrap_or(u64::MAX);
        if self.reverse {
            let to = to.saturating_sub(self.offset).max(from);
            to.saturating_sub(count).max(from)..to
        } else {
            let from = from.saturating_add(self.offset).min(to);
            from..from.saturating_add(count).min(to)
        }
    }
}

impl From<RankRange> for SortedRange {
    fn from(range: RankRange) -> Self {
        Self::ranks(range)
    }
}

impl From<ScoreRange> for SortedRange {
    fn from(range: ScoreRange) -> Self {
        Self::scores(range)
    }
}

impl From<LexRange> for SortedRange {
    fn from(range: LexRange) -> Self {
        Self::members(range)
    }
}

fn ranks(range: RankRange, len: u64, reverse: bool) -> Range<u64> {
    let signed = i64::try_from(len).unwrap_or(i64::MAX);
    let place = |rank: i64| if rank < 0 { rank.saturating_add(signed) } else { rank };
    let (start, stop) = (place(range.start).max(0), place(range.stop).min(signed - 1));
    let (Ok(start), Ok(stop)) = (u64::try_from(start), u64::try_from(stop)) else { return 0..0 };
    if start > stop {
        return 0..0;
    }
    if reverse { len - 1 - stop..len - start } else { start..stop + 1 }
}

/// The ranks of the scores in a range.
pub(super) fn scores(range: ScoreRange, order: &Order) -> Range<u64> {
    let is_nan = |bound| matches!(bound, Bound::Included(edge) | Bound::Excluded(edge) if f64::is_nan(edge));
    if is_nan(range.min) || is_nan(range.max) {
        return 0..0;
    }
    let from = match range.min {
        Bound::Included(min) => order.count_before(Edge::Below(min)),
        Bound::Excluded(min) => order.count_before(Edge::Above(min)),
        Bound::Unbounded => 0,
    };
    let to = match range.max {
        Bound::Included(max) => order.count_before(Edge::Above(max)),
        Bound::Excluded(max) => order.count_before(Edge::Below(max)),
        Bound::Unbounded => order.len(),
    };
    from..to.max(from)
}

/// The ranks of the members in a range. If scores differ, members do not ascend and Redis leaves open what it answers; in a
/// small set it looks at one after another, and so does this.
fn members(range: &LexRange, order: &Order, reverse: bool) -> Range<u64> {
    if let Some(run) = order.as_run() {
        let found = members_of_run(range, run.view(), reverse);
        return found.start as u64..found.end as u64;
    }
    let from = match &range.min {
        LexBound::Lowest => 0,
        LexBound::Highest => order.len(),
        LexBound::Including(min) => order.count_before(Edge::BelowMember(min)),
        LexBound::Excluding(min) => order.count_before(Edge::AboveMember(min)),
    };
    let to = match &range.max {
        LexBound::Lowest => 0,
        LexBound::Highest => order.len(),
        LexBound::Including(max) => order.count_before(Edge::AboveMember(max)),
        LexBound::Excluding(max) => order.count_before(Edge::BelowMember(max)),
    };
    from..to.max(from)
}

fn members_of_run(range: &LexRange, view: View<'_>, reverse: bool) -> Range<usize> {
    let count = view.len();
    if count == 0 || !range.above_min(view.member(count - 1)) || !range.below_max(view.member(0)) {
        return 0..0;
    }
    if reverse {
        let to =
            (0..count).rev().find(|&index| range.below_max(view.member(index))).map_or(0, |last| last + 1);
        let inside = (0..to).rev().take_while(|&index| range.above_min(view.member(index))).count();
        to - inside..to
    } else {
        let from = (0..count).find(|&index| range.above_min(view.member(index))).unwrap_or(count);
        let inside = (from..count).take_while(|&index| range.below_max(view.member(index))).count();
        from..from + inside
    }
}
