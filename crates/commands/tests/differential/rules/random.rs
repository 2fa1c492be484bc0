//! Choices by chance: both must be possible, and of the same form. What the server has popped, larder pops too.

use larder_testkit::resp::Reply;

use crate::compare::{Call, compare, same_number};
use crate::pair::Pair;
use crate::rules::{Rule, says};

/// Who chooses what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Key,
    Popped,
    Member,
    Field,
    Scored,
}

/// What there was to choose from: names, and what belongs to each.
pub(crate) type Before = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Looks at what larder has before it chooses.
pub(crate) fn before(pair: &mut Pair, choice: Choice, line: &[Vec<u8>]) -> Option<Before> {
    let key = line.get(1);
    let (all, step) = match (choice, key) {
        (Choice::Key, _) => (pair.our_reply(&["KEYS", "*"]), 1),
        (Choice::Popped | Choice::Member, Some(key)) => (pair.our_reply(&[b"SMEMBERS", key.as_slice()]), 1),
        (Choice::Field, Some(key)) => (pair.our_reply(&[b"HGETALL", key.as_slice()]), 2),
        (Choice::Scored, Some(key)) => {
            let line = [b"ZRANGE", key.as_slice(), b"0", b"-1", b"WITHSCORES"];
            (pair.our_reply(&line), 2)
        }
        (_, None) => return None,
    };
    let leaves = leaves(&all);
    Some(leaves.chunks(step).map(|part| (part[0].clone(), part.get(1).cloned())).collect())
}

/// Judges both replies, and makes the server's choice hold in larder.
pub(crate) fn settle(
    pair: &mut Pair,
    choice: Choice,
    call: &Call<'_>,
    before: &Before,
) -> Result<&'static str, String> {
    let (Ok(ours), Ok(theirs)) = (Reply::whole(call.ours), Reply::whole(call.theirs)) else {
        return Err("no reply".to_owned());
    };
    let chosen = |reply: &Reply| matches!(reply, Reply::Bulk(_) | Reply::Array(_) | Reply::Set(_));
    if !chosen(&ours) || !chosen(&theirs) {
        return compare(call, Rule::Exact);
    }
    if shape(&ours) != shape(&theirs) {
        return Err("another form".to_owned());
    }
    let step = if says(call.line, "WITHVALUES") || says(call.line, "WITHSCORES") { 2 } else { 1 };
    let distinct = !call.line.get(2).is_some_and(|count| count.starts_with(b"-"));
    for (who, reply) in [("larder", &ours), ("the server", &theirs)] {
        possible(call, &leaves(reply), step, distinct, before).map_err(|why| format!("{who} {why}"))?;
    }
    if choice == Choice::Popped {
        pop_the_same(pair, &call.line[1], &leaves(&ours), &leaves(&theirs));
    }
    Ok("chosen by chance")
}

fn possible(
    call: &Call<'_>,
    chosen: &[Vec<u8>],
    step: usize,
    distinct: bool,
    before: &Before,
) -> Result<(), String> {
    let mut names: Vec<&[u8]> = Vec::new();
    for part in chosen.chunks(step) {
        let known = before.iter().find(|(name, _)| *name == part[0]);
        let Some((_, value)) = known else { return Err(format!("chose {}", part[0].escape_ascii())) };
        if let (Some(given), Some(value)) = (part.get(1), value) {
            if given != value && !same_number(given, value, call.seen.distances) {
                return Err(format!("gave {} another value", part[0].escape_ascii()));
            }
        }
        names.push(&part[0]);
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    if distinct && names.len() < count { Err("chose one twice".to_owned()) } else { Ok(()) }
}

/// First what larder has popped comes back, so that the key, and its deadline, stay.
fn pop_the_same(pair: &mut Pair, key: &[u8], ours: &[Vec<u8>], theirs: &[Vec<u8>]) {
    let only = |these: &[Vec<u8>], those: &[Vec<u8>]| -> Vec<Vec<u8>> {
        these.iter().filter(|member| !those.contains(member)).cloned().collect()
    };
    for (command, members) in [("SADD", only(ours, theirs)), ("SREM", only(theirs, ours))] {
        if !members.is_empty() {
            let line: Vec<Vec<u8>> = [command.into(), key.to_vec()].into_iter().chain(members).collect();
            let reply = pair.our_reply(&line);
            assert!(reply.integer().is_some(), "{command}: {reply}");
        }
    }
}

/// How many items at the top, and in the first of them.
fn shape(reply: &Reply) -> (bool, usize, usize) {
    let items = reply.items();
    (matches!(reply, Reply::Bulk(_)), items.len(), items.first().map_or(0, |item| item.items().len()))
}

/// The texts of a reply, from left to right.
fn leaves(reply: &Reply) -> Vec<Vec<u8>> {
    match reply.bytes() {
        Some(bytes) if !reply.is_error() => vec![bytes.to_vec()],
        _ => reply.items().iter().flat_map(leaves).collect(),
    }
}
