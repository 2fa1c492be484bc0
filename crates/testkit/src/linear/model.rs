//! What calls may do when they come one after the other.

use std::fmt::Debug;
use std::hash::Hash;

/// A sequential specification that may leave results open, as SPOP does.
pub trait Model {
    /// What is there between two calls.
    type State: Clone + Eq + Hash + Debug;
    /// What is asked.
    type Op: Debug;
    /// What comes back.
    type Ret: Debug;

    /// What is there before the first call.
    fn initial(&self) -> Self::State;

    /// The state after a call that returned `ret`; `None` if it cannot return that here. What came back determines what
    /// is left: a choice that cannot be seen in `ret` is no part of a model.
    fn step(&self, state: &Self::State, op: &Self::Op, ret: &Self::Ret) -> Option<Self::State>;

    /// Every state that the call may leave behind, for one whose return nobody saw.
    fn unseen(&self, state: &Self::State, op: &Self::Op) -> Vec<Self::State>;

    /// In words, what the call would return here, for explanations.
    fn expected(&self, state: &Self::State, op: &Self::Op) -> String;
}

/// A specification in which state and call determine everything.
pub trait Sequential {
    /// What is there between two calls.
    type State: Clone + Eq + Hash + Debug;
    /// What is asked.
    type Op: Debug;
    /// What comes back.
    type Ret: Debug + PartialEq;

    /// What is there before the first call.
    fn initial(&self) -> Self::State;

    /// Makes the call.
    fn apply(&self, state: &mut Self::State, op: &Self::Op) -> Self::Ret;
}

impl<S: Sequential> Model for S {
    type State = S::State;
    type Op = S::Op;
    type Ret = S::Ret;

    fn initial(&self) -> S::State {
        Sequential::initial(self)
    }

    fn step(&self, state: &S::State, op: &S::Op, ret: &S::Ret) -> Option<S::State> {
        let mut after = state.clone();
        (self.apply(&mut after, op) == *ret).then_some(after)
    }

    fn unseen(&self, state: &S::State, op: &S::Op) -> Vec<S::State> {
        let mut after = state.clone();
        self.apply(&mut after, op);
        vec![after]
    }

    fn expected(&self, state: &S::State, op: &S::Op) -> String {
        format!("{:?}", self.apply(&mut state.clone(), op))
    }
}
