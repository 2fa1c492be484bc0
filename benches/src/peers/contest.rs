//! Rounds in which the contestants take turns.
//!
//! A machine drifts: neighbours come and go, the clock rate moves. So every round gives each row one short
//! slice of the same work, the order is rotated from round to round, a figure is the median over the rounds,
//! and a ratio is the median of the rounds' own ratios. The first round warms up and is thrown away. A slice
//! whose threads did not run side by side for `LEAST_OVERLAP` of it is refused and run again; when it will
//! not come right, that round has no figure for that row.

use super::keys::Op;
use super::run::{Contestant, Plan, Slice};
use super::{Face, Setup, build};
use crate::timing::median;
use std::time::Duration;

/// Below this share of common running time a slice does not count.
pub const LEAST_OVERLAP: f64 = 0.9;

/// What a slice is boiled down to.
pub type Figures = fn(&Slice) -> Vec<f64>;

/// The contestants of a scenario, filled and ready.
#[allow(missing_debug_implementations, reason = "a contestant has no face to print")]
pub struct Field {
    contestants: Vec<Box<dyn Contestant>>,
}

/// One row: who, and how it reads.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    who: usize,
    face: Face,
    label: &'static str,
}

/// How a cell is measured.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// One stream a thread.
    pub streams: &'a [Vec<Op>],
    /// Bytes of the values written.
    pub value_len: usize,
    /// Length of a slice.
    pub slice: Duration,
    /// Rounds that count.
    pub rounds: usize,
    /// How often a slice is tried in a round before the round goes without; the warm-up is tried once.
    pub attempts: u32,
    /// Whether every single operation is timed.
    pub timed: bool,
    /// What to keep of a slice.
    pub figures: Figures,
}

/// What one row gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The row's name.
    pub label: &'static str,
    /// The figures of each round; none for a round without a valid slice.
    pub rounds: Vec<Option<Vec<f64>>>,
    /// Median share of reads that hit, 0 to 1.
    pub hit_share: f64,
    /// The least overlap among the slices that counted; not-a-number when none did.
    pub overlap: f64,
    /// Slices that did not count.
    pub refused: u32,
}

impl Outcome {
    /// Returns the median of one figure over the rounds.
    pub fn median(&self, figure: usize) -> f64 {
        let values: Vec<f64> = self.rounds.iter().flatten().map(|figures| figures[figure]).collect();
        median(&values)
    }

    /// Returns the median over the rounds of this row's figure divided by another's in the same round.
    pub fn ratio_to(&self, other: &Outcome, figure: usize) -> f64 {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let ratios: Vec<f64> = pairs
            .filter_map(|(mine, theirs)| Some(mine.as_ref()?[figure] / theirs.as_ref()?[figure]))
            .collect();
        median(&ratios)
    }
}

impl Field {
    /// Builds these contestants, fills each with `keys` entries and checks that it kept them, when its limit
    /// allows.
    ///
    /// # Panics
    ///
    /// When a contestant lost entries, since its hits would then be misses.
    pub fn new(names: &[&str], setup: &Setup, keys: u32) -> Field {
        let mut contestants = Vec::new();
        for name in names {
            let mut contestant = build(name, setup).unwrap_or_else(|| panic!("nobody is called {name}"));
            contestant.fill(0..keys, super::keys::KeyShape::Mixed, setup.value_len);
            let held = contestant.settle();
            let roomy = setup.limit.is_none_or(|limit| limit > u64::from(keys));
            assert!(!roomy || held == u64::from(keys), "{name} kept {held} of {keys} entries");
            contestants.push(contestant);
        }
        Field { contestants }
    }

    /// Returns the rows of all contestants with the ways of reading that `wanted` accepts.
    pub fn rows(&self, wanted: impl Fn(Face) -> bool) -> Vec<Row> {
        let faces = self.contestants.iter().enumerate().flat_map(|(who, contestant)| {
            contestant.faces().iter().map(move |&(face, label)| Row { who, face, label })
        });
        faces.filter(|row| wanted(row.face)).collect()
    }

    /// Returns one row a contestant: its main way of reading.
    pub fn main_rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (who, contestant) in self.contestants.iter().enumerate() {
            let (face, label) = contestant.faces()[0];
            rows.push(Row { who, face, label });
        }
        rows
    }

    /// Measures a cell for these rows; rows that cannot be shared by so many threads are left out.
    pub fn measure(&mut self, rows: &[Row], work: &Work<'_>) -> Vec<Outcome> {
        let shared = |row: &&Row| work.streams.len() == 1 || self.contestants[row.who].shareable();
        let rows: Vec<Row> = rows.iter().filter(shared).copied().collect();
        let mut seen: Vec<Seen> = rows.iter().map(|_| Seen::default()).collect();
        for round in 0..=work.rounds {
            for turn in 0..rows.len() {
                let place = (turn + round) % rows.len();
                let slice = self.take(&rows[place], work, round, &mut seen[place]);
                if round > 0 {
                    seen[place].note(slice, work.figures);
                }
            }
        }
        rows.iter().zip(seen).map(|(row, seen)| seen.outcome(row.label)).collect()
    }

    /// Runs one slice until it counts.
    fn take(&mut self, row: &Row, work: &Work<'_>, round: usize, seen: &mut Seen) -> Option<Slice> {
        let contestant = &mut self.contestants[row.who];
        let least = work.streams.iter().map(Vec::len).min().unwrap_or(0);
        let plan = Plan {
            streams: work.streams,
            offset: least * round / (work.rounds + 1),
            length: work.slice,
            value_len: work.value_len,
        };
        for _ in 0..if round > 0 { work.attempts } else { 1 } {
            let slice =
                if work.timed { contestant.timed_slice(&plan) } else { contestant.slice(row.face, &plan) };
            match slice {
                Some(slice) if slice.overlap < LEAST_OVERLAP => seen.refused += u32::from(round > 0),
                other => return other,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

/// What a row has gathered so far.
#[derive(Default)]
struct Seen {
    rounds: Vec<Option<Vec<f64>>>,
    hit_shares: Vec<f64>,
    overlaps: Vec<f64>,
    refused: u32,
}

impl Seen {
    fn note(&mut self, slice: Option<Slice>, figures: Figures) {
        if let Some(slice) = &slice {
            self.hit_shares.push(slice.hit_share());
            self.overlaps.push(slice.overlap);
        }
        self.rounds.push(slice.as_ref().map(figures));
    }

    fn outcome(self, label: &'static str) -> Outcome {
        let overlap = self.overlaps.iter().copied().fold(f64::NAN, f64::min);
        let hit_share = median(&self.hit_shares);
        Outcome { label, rounds: self.rounds, hit_share, overlap, refused: self.refused }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{KeyShape, Kind};
    use super::*;

    fn outcome(rounds: &[Option<f64>]) -> Outcome {
        let rounds = rounds.iter().map(|round| round.map(|value| vec![value])).collect();
        Outcome { label: "x", rounds, hit_share: 1.0, overlap: 1.0, refused: 0 }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine was ten times slower in the second round: both were, so the ratio does not move.
        let mine = outcome(&[Some(10.0), Some(100.0), None, Some(14.0)]);
        let theirs = outcome(&[Some(20.0), Some(200.0), Some(5.0), Some(20.0)]);
        assert_eq!(mine.ratio_to(&theirs, 0), 0.5);
        assert_eq!(mine.median(0), 14.0);
        assert!(outcome(&[None]).median(0).is_nan());
    }

    #[test]
    fn a_cell_gives_every_row_every_round() {
        let setup = Setup { limit: Some(1_000), expected: None, value_len: 100, ttl: false };
        let mut field = Field::new(&["quick_cache", "dashmap", "unprotected-table"], &setup, 500);
        let stream: Vec<Op> = (0..512).map(|i| Op::new(Kind::Get, i % 500, KeyShape::Mixed)).collect();
        let rows = field.main_rows();
        let mut work = Work {
            streams: std::slice::from_ref(&stream),
            value_len: 100,
            slice: Duration::from_millis(1),
            rounds: 3,
            attempts: 2,
            timed: false,
            figures: |slice| vec![slice.ns_per_op()],
        };
        let outcomes = field.measure(&rows, &work);
        assert_eq!(outcomes.len(), 3);
        for outcome in &outcomes {
            assert_eq!(outcome.rounds.len(), 3);
            assert!(outcome.overlap.is_nan() || outcome.overlap >= LEAST_OVERLAP);
            assert!(outcome.hit_share.is_nan() || outcome.hit_share == 1.0);
        }
        let two = [stream.clone(), stream.clone()];
        work.streams = &two;
        assert_eq!(field.measure(&rows, &work).len(), 2, "the unprotected table has one owner");
    }
}
