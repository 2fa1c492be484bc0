//! Why there is no order, so that a person can see it.
//!
//! Histories are cut at the first return that makes them impossible: calls that began later are left out, those that had
//! not ended count as running. Leaving out anything else could make a violation of what was none.

use std::fmt::{self, Write};

use super::history::{Call, History};
use super::model::Model;
use super::search::{Found, Search};

/// A history without an order, explained.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Calls in the shortest part of the history that has no order.
    pub calls: usize,
    /// Calls of it that some order explains.
    pub explained: usize,
    text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub(super) fn explain<M: Model>(model: &M, history: &History<M::Op, M::Ret>, steps: u64) -> Violation {
    let calls = history.calls();
    let mut ends: Vec<u64> = calls.iter().map(Call::returned).filter(|&end| end != u64::MAX).collect();
    ends.sort_unstable();
    let is_impossible =
        |until: &u64| matches!(Search::new(model, calls, *until, steps).run(), Found::Nothing);
    // A part of a history with an order has one, so the parts without are the longer ones.
    let first = ends.partition_point(|until| !is_impossible(until));
    let until = ends.get(first).copied().unwrap_or(u64::MAX);
    let mut search = Search::new(model, calls, until, steps);
    search.run();
    let text = picture(model, calls, until, &search);
    let shown = calls.partition_point(|call| call.invoked <= until);
    Violation { calls: shown, explained: search.farthest.order.len(), text }
}

/// One row a call, one column an event; then the longest order and what stops it.
fn picture<M: Model>(model: &M, calls: &[Call<M::Op, M::Ret>], until: u64, search: &Search<'_, M>) -> String {
    let shown = &calls[..calls.partition_point(|call| call.invoked <= until)];
    let mut events: Vec<u64> = shown.iter().flat_map(|call| [call.invoked, call.returned()]).collect();
    events.retain(|&stamp| stamp <= until);
    events.sort_unstable();
    events.dedup();
    let mut text = String::from("not linearizable: no order of these calls explains what they returned\n");
    for (at, call) in shown.iter().enumerate() {
        let rank = search.farthest.order.iter().position(|&done| done == at);
        let rank = rank.map_or_else(|| "?".to_owned(), |rank| (rank + 1).to_string());
        let row = row(&events, call, until);
        line(
            &mut text,
            format_args!("{rank:>4}  thread {}  {row}  {}", call.thread, shown_call(call, until)),
        );
    }
    line(&mut text, format_args!("the longest order that the model allows:"));
    for (rank, &at) in search.farthest.order.iter().enumerate() {
        let call = &shown[at];
        line(&mut text, format_args!("{:>4}. thread {}  {}", rank + 1, call.thread, shown_call(call, until)));
    }
    let state = &search.farthest.state;
    line(&mut text, format_args!("it leaves {state:?}, and nothing goes on from there:"));
    for at in search.stuck() {
        let call = &shown[at];
        let expected = model.expected(state, &call.op);
        line(
            &mut text,
            format_args!("      thread {}  {}, expected {expected}", call.thread, shown_call(call, until)),
        );
    }
    text
}

fn line(text: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{arguments}");
}

fn row<Op, Ret>(events: &[u64], call: &Call<Op, Ret>, until: u64) -> String {
    let end = call.returned();
    let part = |&event: &u64| match event {
        event if event == call.invoked => '[',
        event if event == end => ']',
        event if event > call.invoked && event < end => '=',
        _ => '.',
    };
    let open = if end > until { '>' } else { ' ' };
    events.iter().map(part).chain([open]).collect()
}

fn shown_call<Op: fmt::Debug, Ret: fmt::Debug>(call: &Call<Op, Ret>, until: u64) -> String {
    match &call.outcome {
        Some((end, ret)) if *end <= until => format!("{:?} -> {ret:?}", call.op),
        _ => format!("{:?} (running)", call.op),
    }
}
