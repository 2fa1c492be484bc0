//! Linearizability: does every call of a concurrent history look as if it took effect at one moment between its
//! beginning and its end?
//!
//! ```text
//! thread 0  |--push 1--|      |--pop -> 2--|          an order that explains it:
//! thread 1     |--push 2--|                           push 2, push 1, pop -> 2
//! history.rs   Call, History, Log: calls with stamps of one counter that all threads share
//! record.rs    Plan, record: scripts drawn from a seed, run by threads that meet, spin and yield
//! model.rs     Model, Sequential: what one call may return and leave behind, one after the other
//! search.rs    check: looks for an order
//! explain.rs   a violation: the shortest part of the history that has no order, drawn, and how far one gets
//! campaign.rs  Campaign: many histories, how many overlapped, and the line that repeats a failure
//! ```
//! The definition is Herlihy and Wing's ("Linearizability: a correctness condition for concurrent objects", TOPLAS 12(3),
//! 1990). The search is Wing and Gong's ("Testing and verifying concurrent objects", J. Parallel Distrib. Comput. 17,
//! 1993) with Lowe's memory of pairs of calls done and state reached ("Testing for linearizability", Concurrency and
//! Computation 29(4), 2017). Histories of independent keys are checked key by key (Horn and Kroening, "Faster
//! linearizability checking via P-compositionality", FORTE 2015).
//!
//! Invariants: I1: stamps differ and grow; a call that ended before another began has smaller stamps. I2: a call without an
//! outcome may have taken effect at any moment after its beginning, or never. I3: no pair of calls done and state is
//! entered twice. I4: a search that ran out of steps says `Unknown`, which no test takes for success.
//! Cost: calls that overlap decide, not the length: with `w` of them at a time at most `2^w` sets for each place in the
//! history, times the states.
//! Deliberately absent: weaker conditions. What is no single moment (MGET, DEL of several keys) is split into the calls
//! that are ([`History::split`]).

mod campaign;
mod explain;
mod history;
mod model;
mod record;
mod search;
#[cfg(test)]
mod tests;

pub use campaign::{Campaign, Report, seed};
pub use explain::Violation;
pub use history::{Call, History, Log, Stamps};
pub use model::{Model, Sequential};
pub use record::{Dice, Plan, Slot, record, script};
pub use search::{STEPS, Verdict, check, check_by_key};
