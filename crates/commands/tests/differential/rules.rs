//! What counts as the same reply, command by command. Everything that is not named here is compared byte for byte.

pub(crate) mod random;

use larder_commands::table;

use self::random::Choice;

/// Left out of the run: what they answer is no business of ours, or not of the state.
///
/// Help texts are worded by each server for itself. `OBJECT REFCOUNT` counts Redis's shared integers. `PFSELFTEST` takes
/// a server seconds, and `PFDEBUG GETREG` is long; the bytes of a HyperLogLog are compared as a string.
pub(crate) const NOT_COMPARED: &[&str] = &[
    "object|help",
    "xinfo|help",
    "xgroup|help",
    "command|help",
    "object|refcount",
    "wait",
    "dump",
    "restore",
    "migrate",
    "pfselftest",
    "pfdebug",
];

/// How two replies of a command are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Byte for byte.
    Exact,
    /// The items in any order: the order of a hash table is nobody's promise.
    Unordered,
    /// The same, of pairs.
    UnorderedPairs,
    /// Times that are read from the clock: positive integers, so far apart at most.
    Near(i64),
    /// Numbers written in another way are the same number: 7.0 prints 17 digits, larder the shortest text that reads
    /// back.
    Numbers,
    /// What an iteration has collected: like `Numbers`, all of it strings.
    Items,
    /// Chosen by chance.
    Random(Choice),
    /// The server's clock may have made the id.
    StreamId,
    /// Milliseconds since a delivery, in the third place of each entry.
    IdleInEntries,
    /// Times of consumers and entries, here and there.
    StreamTimes,
}

pub(crate) fn name_of(line: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&line[0]).to_ascii_uppercase()
}

pub(crate) fn says(line: &[Vec<u8>], word: &str) -> bool {
    line.iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
}

pub(crate) fn rule_of(name: &str, line: &[Vec<u8>]) -> Rule {
    match name {
        "KEYS" | "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" | "HKEYS" | "HVALS" => Rule::Unordered,
        "SORT" | "SORT_RO" if has_free_order(line) => Rule::Unordered,
        "HGETALL" => Rule::UnorderedPairs,
        "TTL" | "EXPIRETIME" | "HTTL" | "HEXPIRETIME" => Rule::Near(3),
        "PTTL" | "PEXPIRETIME" | "HPTTL" | "HPEXPIRETIME" => Rule::Near(3_000),
        "OBJECT" if says(line, "IDLETIME") => Rule::Near(60),
        "RANDOMKEY" => Rule::Random(Choice::Key),
        "SPOP" => Rule::Random(Choice::Popped),
        "SRANDMEMBER" => Rule::Random(Choice::Member),
        "HRANDFIELD" => Rule::Random(Choice::Field),
        "ZRANDMEMBER" => Rule::Random(Choice::Scored),
        "XADD" => Rule::StreamId,
        "XPENDING" => Rule::IdleInEntries,
        "XINFO" => Rule::StreamTimes,
        _ => match table::lookup(name.as_bytes()).map(|found| found.group) {
            Some("sorted-set" | "geo") => Rule::Numbers,
            _ => Rule::Exact,
        },
    }
}

/// Is the order of a SORT undefined? By texts of other keys, equals stay as the sorting method leaves them; without a
/// star nothing is sorted, and a set has no order of its own.
pub(crate) fn has_free_order(line: &[Vec<u8>]) -> bool {
    let by = line.iter().position(|arg| arg.eq_ignore_ascii_case(b"BY"));
    let pattern = by.and_then(|at| line.get(at + 1));
    pattern.is_some_and(|pattern| {
        let unsorted = !pattern.contains(&b'*');
        let plain_list = line.get(1).is_some_and(|key| key.starts_with(b"l"));
        says(line, "ALPHA") || (unsorted && !plain_list)
    })
}

/// Where the cursor of a scan stands.
pub(crate) fn cursor_at(line: &[Vec<u8>]) -> Option<usize> {
    match name_of(line).as_str() {
        "SCAN" => Some(1),
        "SSCAN" | "HSCAN" | "ZSCAN" => Some(2),
        _ => None,
    }
}

/// Does the line begin an iteration? Other cursors mean nothing to another server; what they give is not compared.
pub(crate) fn is_iteration(line: &[Vec<u8>]) -> bool {
    cursor_at(line).is_some_and(|at| line.get(at).is_some_and(|cursor| cursor == b"0"))
}

/// Do the items of a scan come in pairs?
pub(crate) fn scans_pairs(line: &[Vec<u8>]) -> bool {
    matches!(name_of(line).as_str(), "HSCAN" | "ZSCAN") && !says(line, "NOVALUES")
}
