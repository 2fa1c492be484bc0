//! The search for an order: depth first over the calls that may come next, never twice from the same place.
//!
//! ```text
//! place = (set of calls done, state)        next: every call, not done, that began before all ends of calls not done
//! ```
//! A call may come next unless another one ended before it began. Calls lie by their beginnings, so these are found by
//! walking from the first call that is not done until a beginning lies behind the earliest end seen.

use std::collections::HashSet;
use std::fmt;

use super::explain::{self, Violation};
use super::history::{Call, History};
use super::model::Model;

/// Steps of the model that a test allows: about a second's worth.
pub const STEPS: u64 = 1_000_000;

/// What a search has found.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// There is an order: the calls' places in the history, in that order.
    Linearizable(Vec<usize>),
    /// There is none.
    Violation(Violation),
    /// The steps did not suffice to tell.
    Unknown {
        /// How many were made.
        steps: u64,
    },
}

impl Verdict {
    /// Whether an order was found.
    #[must_use]
    pub fn is_linearizable(&self) -> bool {
        matches!(self, Self::Linearizable(_))
    }

    /// Whether it is certain that there is none.
    #[must_use]
    pub fn is_violation(&self) -> bool {
        matches!(self, Self::Violation(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable(order) => write!(f, "linearizable, {} calls in order", order.len()),
            Self::Violation(violation) => violation.fmt(f),
            Self::Unknown { steps } => write!(f, "unknown: no order found within {steps} steps"),
        }
    }
}

/// Looks for an order of the calls that the model allows, within so many steps of the model.
pub fn check<M: Model>(model: &M, history: &History<M::Op, M::Ret>, steps: u64) -> Verdict {
    let mut search = Search::new(model, history.calls(), u64::MAX, steps);
    match search.run() {
        Found::Order(order) => Verdict::Linearizable(order),
        Found::Nothing => Verdict::Violation(explain::explain(model, history, steps)),
        Found::OutOfSteps => Verdict::Unknown { steps },
    }
}

/// Checks the calls of each key by themselves; the first verdict that is no success, or the last one.
///
/// That is enough for calls that touch one key each (and only for those).
pub fn check_by_key<M: Model, K: Ord>(
    model: &M,
    history: History<M::Op, M::Ret>,
    key: impl Fn(&M::Op) -> K,
    steps: u64,
) -> Verdict {
    let mut verdict = Verdict::Linearizable(Vec::new());
    for part in history.by_key(key).into_values() {
        verdict = check(model, &part, steps);
        if !verdict.is_linearizable() {
            break;
        }
    }
    verdict
}

/// A set of calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Done(Box<[u64]>);

impl Done {
    fn none_of(calls: usize) -> Self {
        Self(vec![0; calls.div_ceil(64)].into())
    }

    fn has(&self, at: usize) -> bool {
        self.0[at / 64] & (1 << (at % 64)) != 0
    }

    fn with(&self, at: usize) -> Self {
        let mut more = self.clone();
        more.0[at / 64] |= 1 << (at % 64);
        more
    }

    fn first_missing(&self, calls: usize) -> usize {
        let full = self.0.iter().take_while(|&&word| word == u64::MAX).count();
        let bits = self.0.get(full).map_or(0, |word| word.trailing_ones() as usize);
        (full * 64 + bits).min(calls)
    }
}

/// How a search ends.
pub(super) enum Found {
    Order(Vec<usize>),
    Nothing,
    OutOfSteps,
}

/// A place on the way, and where to go on from it.
struct Place<S> {
    done: Done,
    /// Ended calls that are not done.
    left: usize,
    /// The next calls and what they leave, the one to try first at the end.
    next: Vec<(usize, S)>,
}

/// The farthest place: most ended calls done.
pub(super) struct Farthest<S> {
    /// The calls done, in order.
    pub(super) order: Vec<usize>,
    /// The state after them.
    pub(super) state: S,
    left: usize,
}

pub(super) struct Search<'a, M: Model> {
    model: &'a M,
    calls: &'a [Call<M::Op, M::Ret>],
    /// What lies behind this stamp is not known yet: later calls are left out, later ends have not come.
    until: u64,
    steps: u64,
    seen: HashSet<(Done, M::State)>,
    pub(super) farthest: Farthest<M::State>,
}

impl<'a, M: Model> Search<'a, M> {
    pub(super) fn new(model: &'a M, calls: &'a [Call<M::Op, M::Ret>], until: u64, steps: u64) -> Self {
        let calls = &calls[..calls.partition_point(|call| call.invoked <= until)];
        let farthest = Farthest { order: Vec::new(), state: model.initial(), left: usize::MAX };
        Self { model, calls, until, steps, seen: HashSet::new(), farthest }
    }

    /// The end of a call as far as it is known.
    fn end(&self, at: usize) -> u64 {
        let returned = self.calls[at].returned();
        if returned <= self.until { returned } else { u64::MAX }
    }

    pub(super) fn run(&mut self) -> Found {
        let ended = (0..self.calls.len()).filter(|&at| self.end(at) != u64::MAX).count();
        let (mut way, mut order) = (Vec::new(), Vec::new());
        let Some(first) = self.place(Done::none_of(self.calls.len()), &self.model.initial(), ended, &order)
        else {
            return Found::OutOfSteps;
        };
        way.push(first);
        while let Some(place) = way.last_mut() {
            if place.left == 0 {
                return Found::Order(order);
            }
            let Some((call, state)) = place.next.pop() else {
                way.pop();
                order.pop();
                continue;
            };
            let (done, left) = (place.done.with(call), place.left);
            let left = left - usize::from(self.end(call) != u64::MAX);
            if !self.seen.insert((done.clone(), state.clone())) {
                continue;
            }
            order.push(call);
            match self.place(done, &state, left, &order) {
                Some(place) => way.push(place),
                None => return Found::OutOfSteps,
            }
        }
        Found::Nothing
    }

    /// A place with the ways that go on from it; `None` if there are no steps left.
    fn place(
        &mut self,
        done: Done,
        state: &M::State,
        left: usize,
        order: &[usize],
    ) -> Option<Place<M::State>> {
        if left < self.farthest.left {
            self.farthest = Farthest { order: order.to_vec(), state: state.clone(), left };
        }
        let mut candidates = candidates(self.calls.len(), &done, |at| (self.calls[at].invoked, self.end(at)));
        // The one that ended first is the best guess; those that never did come last.
        candidates.sort_by_key(|&at| std::cmp::Reverse(self.end(at)));
        let mut next = Vec::with_capacity(candidates.len());
        for at in candidates {
            self.steps = self.steps.checked_sub(1)?;
            let call = &self.calls[at];
            match &call.outcome {
                Some((end, ret)) if *end <= self.until => {
                    next.extend(self.model.step(state, &call.op, ret).map(|after| (at, after)));
                }
                _ => next.extend(self.model.unseen(state, &call.op).into_iter().map(|after| (at, after))),
            }
        }
        Some(Place { done, left, next })
    }

    /// The calls that could come next at the farthest place, none of which the model allows.
    pub(super) fn stuck(&self) -> Vec<usize> {
        let done =
            self.farthest.order.iter().fold(Done::none_of(self.calls.len()), |done, &at| done.with(at));
        let mut stuck = candidates(self.calls.len(), &done, |at| (self.calls[at].invoked, self.end(at)));
        stuck.retain(|&at| self.end(at) != u64::MAX);
        stuck
    }
}

fn candidates(calls: usize, done: &Done, times: impl Fn(usize) -> (u64, u64)) -> Vec<usize> {
    let (mut found, mut earliest) = (Vec::new(), u64::MAX);
    for at in done.first_missing(calls)..calls {
        if done.has(at) {
            continue;
        }
        let (begin, end) = times(at);
        if begin > earliest {
            break;
        }
        found.push(at);
        earliest = earliest.min(end);
    }
    found
}
