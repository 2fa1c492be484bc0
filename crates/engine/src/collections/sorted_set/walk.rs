//! A walk over a captured order, from both ends.
//!
//! It holds the root and the run that it is in; the next run is found by rank, which costs one descent for some forty entries.

use std::ops::Range;

use super::order::Order;
use super::run::Run;

/// Entries of some ranks that are still to be visited.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    order: Order,
    ranks: Range<u64>,
    /// The run in which the walk is, and the rank of its first entry.
    current: Option<(Run, u64)>,
}

impl Walk {
    pub(crate) fn new(order: Order, ranks: Range<u64>) -> Self {
        let end = ranks.end.min(order.len());
        Self { order, ranks: ranks.start.min(end)..end, current: None }
    }

    pub(crate) fn len(&self) -> u64 {
        self.ranks.end - self.ranks.start
    }

    pub(crate) fn next_with<R>(&mut self, f: impl FnOnce(&[u8], f64) -> R) -> Option<R> {
        let rank = self.ranks.next()?;
        self.entry(rank, f)
    }

    pub(crate) fn next_back_with<R>(&mut self, f: impl FnOnce(&[u8], f64) -> R) -> Option<R> {
        let rank = self.ranks.next_back()?;
        self.entry(rank, f)
    }

    #[inline]
    fn entry<R>(&mut self, rank: u64, f: impl FnOnce(&[u8], f64) -> R) -> Option<R> {
        let inside = |(run, first): &&(Run, u64)| rank >= *first && rank - first < run.view().len() as u64;
        let (run, first) = match self.current.as_ref().filter(inside) {
            Some(current) => current,
            None => {
                let (run, at) = self.order.run_of(rank)?;
                self.current.insert((run.clone(), rank - at as u64))
            }
        };
        let (view, at) = (run.view(), usize::try_from(rank - first).ok()?);
        Some(f(view.member(at), view.score(at)))
    }
}
