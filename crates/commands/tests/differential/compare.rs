//! Two replies, by a rule.

use larder_testkit::resp::Reply;
use larder_testkit::servers::Kind;

use crate::rules::{self, Rule};

/// What a round has seen that lets the states differ a little.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// SORT has read a sorted set.
    pub(crate) sort: bool,
    /// A set has been popped from.
    pub(crate) pop: bool,
    /// Distances have become scores.
    pub(crate) distances: bool,
}

/// A command and what both said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) kind: Kind,
    /// In upper case.
    pub(crate) name: &'a str,
    pub(crate) line: &'a [Vec<u8>],
    pub(crate) ours: &'a [u8],
    pub(crate) theirs: &'a [u8],
    /// The type under the key that `OBJECT` looks at.
    pub(crate) held: &'a str,
    /// What the round has seen.
    pub(crate) seen: Seen,
    /// It reads by the alphabet what has different scores.
    pub(crate) mixed_scores: bool,
}

impl Call<'_> {
    fn is_about_distances(&self) -> bool {
        self.seen.distances || self.name.starts_with("GEO")
    }

    pub(crate) fn says(&self, word: &str) -> bool {
        rules::says(self.line, word)
    }
}

/// In what way they are the same, or why they are not.
pub(crate) fn compare(call: &Call<'_>, rule: Rule) -> Result<&'static str, String> {
    if call.ours == call.theirs {
        return Ok("same bytes");
    }
    let read = |bytes: &[u8]| Reply::whole(bytes).map_err(|error| error.to_string());
    let (ours, theirs) = (read(call.ours)?, read(call.theirs)?);
    if ours.is_error() || theirs.is_error() {
        return Err("byte for byte".to_owned());
    }
    let (same, how) = match rule {
        Rule::Exact | Rule::StreamId | Rule::Random(_) => (ours == theirs, "byte for byte"),
        Rule::Unordered => (sorted(&ours, 1) == sorted(&theirs, 1), "in any order"),
        Rule::UnorderedPairs => (sorted(&ours, 2) == sorted(&theirs, 2), "in any order"),
        Rule::Near(span) => (near(&ours, &theirs, span), "as times"),
        Rule::Numbers | Rule::Items => {
            (same_numbers(&ours, &theirs, call.is_about_distances()), "as numbers")
        }
        Rule::IdleInEntries => (without_idle(&ours) == without_idle(&theirs), "but for times"),
        Rule::StreamTimes => {
            let plain = |reply: &Reply| without_times(reply, newer(call.kind));
            (plain(&ours) == plain(&theirs), "but for times")
        }
    };
    let scan = rules::cursor_at(call.line).is_some()
        && matches!((&ours, &theirs), (Reply::Array(_), Reply::Array(_)));
    if scan && rule != Rule::Items {
        return Ok("a cursor of nobody's");
    }
    if same { Ok(how) } else { Err(how.to_owned()) }
}

/// The form of the reply, and its items sorted, so many together.
fn sorted(reply: &Reply, step: usize) -> (std::mem::Discriminant<Reply>, Vec<Vec<Reply>>) {
    let mut parts: Vec<Vec<Reply>> = reply.items().chunks(step).map(<[Reply]>::to_vec).collect();
    parts.sort();
    (std::mem::discriminant(reply), parts)
}

fn near(ours: &Reply, theirs: &Reply, span: i64) -> bool {
    match (ours, theirs) {
        (Reply::Integer(ours), Reply::Integer(theirs)) if *ours >= 0 && *theirs >= 0 => {
            ours.abs_diff(*theirs) <= span.unsigned_abs()
        }
        (Reply::Array(ours), Reply::Array(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(ours, theirs)| near(ours, theirs, span))
        }
        _ => ours == theirs,
    }
}

fn same_numbers(ours: &Reply, theirs: &Reply, nearly: bool) -> bool {
    match (ours, theirs) {
        (Reply::Bulk(ours), Reply::Bulk(theirs)) | (Reply::Double(ours), Reply::Double(theirs)) => {
            ours == theirs || same_number(ours, theirs, nearly)
        }
        (Reply::Array(ours), Reply::Array(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(ours, theirs)| same_numbers(ours, theirs, nearly))
        }
        _ => ours == theirs,
    }
}

/// Do both texts read as the same number? Nearly the same: but for the last bits, which sines and cosines may disagree on.
pub(crate) fn same_number(ours: &[u8], theirs: &[u8], nearly: bool) -> bool {
    let read = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    // A member that looks like a number is no score, and is not printed anew: `1.0` is not `1`.
    let plain = |text: &[u8]| text.iter().any(|byte| matches!(byte, b'.' | b'e'));
    match (read(ours), read(theirs)) {
        // Sorted sets lose the sign of a zero when they are packed.
        (Some(0.0), Some(0.0)) => true,
        (Some(a), Some(b)) if plain(ours) || plain(theirs) => {
            a == b || (nearly && (a - b).abs() <= 1e-14 * a.abs())
        }
        _ => false,
    }
}

/// `[id, consumer, idle, count]` without the third.
fn without_idle(reply: &Reply) -> Reply {
    let entries = reply.items().into_iter().map(|entry| match entry {
        Reply::Array(mut parts) if parts.len() == 4 && parts[2].integer().is_some() => {
            parts[2] = Reply::Null;
            Reply::Array(parts)
        }
        other => other,
    });
    if matches!(reply, Reply::Array(_)) { Reply::Array(entries.collect()) } else { reply.clone() }
}

/// What a server says of streams and larder does not, or counts in another way.
fn newer(kind: Kind) -> &'static [&'static [u8]] {
    match kind {
        Kind::Redis => &[],
        Kind::Valkey => &[b"inactive", b"active-time", b"entries-read", b"lag"],
    }
}

/// Are the replies about a stream the same, but for the number of its blocks?
pub(crate) fn is_same_but_for_nodes(call: &Call<'_>) -> bool {
    let left_out = [newer(call.kind), &[b"radix-tree-keys", b"radix-tree-nodes"]].concat();
    let plain = |bytes: &[u8]| Reply::whole(bytes).map(|reply| without_times(&reply, &left_out));
    plain(call.ours).is_ok_and(|ours| plain(call.theirs) == Ok(ours))
}

/// Without what follows `idle`, without integers that are points in time, and without what 7.2 has added or counts in
/// another way.
fn without_times(reply: &Reply, left_out: &[&[u8]]) -> Reply {
    let named = |name: &Reply, names: &[&[u8]]| name.bytes().is_some_and(|name| names.contains(&name));
    let is_newer = |name: &Reply| named(name, left_out);
    match reply {
        Reply::Integer(number) if *number > 1_000_000_000_000 => Reply::Null,
        Reply::Array(items) => {
            let mut out = Vec::new();
            let mut before: Option<&Reply> = None;
            for item in items {
                let follows = |is: &dyn Fn(&Reply) -> bool| before.is_some_and(is);
                if follows(&|name| named(name, &[b"idle"])) {
                    out.push(Reply::Null);
                } else if !is_newer(item) && !follows(&is_newer) {
                    out.push(without_times(item, left_out));
                }
                before = Some(item);
            }
            Reply::Array(out)
        }
        Reply::Map(pairs) => {
            let kept = pairs.iter().filter(|(name, _)| !is_newer(name)).map(|(name, value)| {
                let value =
                    if named(name, &[b"idle"]) { Reply::Null } else { without_times(value, left_out) };
                (name.clone(), value)
            });
            Reply::Map(kept.collect())
        }
        other => other.clone(),
    }
}
