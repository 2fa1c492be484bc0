//! Where larder differs from a server on purpose, or is newer than it: each with its reason.

use larder_testkit::resp::Reply;
use larder_testkit::servers::Kind;

use crate::compare::Call;
use crate::rules;

/// An option that a server does not have: lines with it are left out of its run.
struct Newer {
    servers: &'static [Kind],
    names: &'static [&'static str],
    words: &'static [&'static str],
}

const REDIS: &[Kind] = &[Kind::Redis];
const BOTH: &[Kind] = &[Kind::Redis, Kind::Valkey];

const NEWER: &[Newer] = &[
    // Redis 7.2.
    Newer { servers: REDIS, names: &["ZRANK", "ZREVRANK"], words: &["WITHSCORE"] },
    // Redis 7.4.
    Newer { servers: REDIS, names: &["HSCAN"], words: &["NOVALUES"] },
    Newer { servers: REDIS, names: &["XREAD"], words: &["+"] },
    // Valkey 8.1 and Redis 8.4.
    Newer { servers: REDIS, names: &["SET"], words: &["IFEQ"] },
    // Redis 8.2 and 8.4.
    Newer { servers: BOTH, names: &["SET"], words: &["IFNE", "IFDEQ", "IFDNE"] },
    Newer { servers: BOTH, names: &["BITOP"], words: &["DIFF", "DIFF1", "ANDOR", "ONE"] },
    Newer { servers: BOTH, names: &["XADD", "XTRIM"], words: &["KEEPREF", "DELREF", "ACKED"] },
    Newer { servers: BOTH, names: &["XREADGROUP"], words: &["CLAIM"] },
];

/// A line whose outcome nobody promises, or that a server gets wrong.
struct LeftOut {
    servers: &'static [Kind],
    names: &'static [&'static str],
    when: fn(&[Vec<u8>]) -> bool,
    reason: &'static str,
}

const LEFT_OUT: &[LeftOut] = &[
    LeftOut {
        servers: BOTH,
        names: &["SORT", "SORT_RO"],
        when: |line| {
            rules::has_free_order(line)
                && ["LIMIT", "STORE", "GET"].iter().any(|word| rules::says(line, word))
        },
        reason: "a part of an order that is not defined",
    },
    LeftOut {
        servers: REDIS,
        names: &["ZRANK", "ZREVRANK"],
        when: |line| line.len() > 3,
        reason: "newer than the server",
    },
    LeftOut {
        servers: BOTH,
        names: &["BITFIELD"],
        when: |line| line.iter().any(|word| word.starts_with(b"-92233720368547758")),
        reason: "what C makes of an integer out of range is not defined",
    },
    LeftOut {
        servers: BOTH,
        names: &["SETEX", "PSETEX", "EXPIRE", "PEXPIRE", "HEXPIRE", "HPEXPIRE"],
        when: |line| {
            line.get(2).is_some_and(|span| {
                is_short(span, !["SETEX", "EXPIRE", "HEXPIRE"].contains(&rules::name_of(line).as_str()))
            })
        },
        reason: "it would expire in the middle of the run",
    },
    LeftOut {
        servers: BOTH,
        names: &["SET", "GETEX", "MSETEX", "HSETEX", "HGETEX"],
        when: |line| {
            let short = |pair: &[Vec<u8>]| {
                let is = |word: &[u8]| pair[0].eq_ignore_ascii_case(word);
                (is(b"EX") && is_short(&pair[1], false)) || (is(b"PX") && is_short(&pair[1], true))
            };
            line.windows(2).any(short)
        },
        reason: "it would expire in the middle of the run",
    },
    LeftOut {
        servers: BOTH,
        names: PLACES,
        when: |line| {
            let stores = line[0].to_ascii_uppercase().ends_with(b"STORE")
                || rules::says(line, "STORE")
                || rules::says(line, "STOREDIST");
            stores && rules::says(line, "COUNT")
        },
        reason: "a part of an order that is not defined",
    },
    LeftOut {
        servers: VALKEY,
        names: &["HSETEX", "HGETEX"],
        when: |line| line.get(1).is_some_and(|key| key.eq_ignore_ascii_case(b"FIELDS")),
        reason: "Valkey takes a key named FIELDS for the word",
    },
];

/// Why this line is not given to this server, if so.
pub(crate) fn left_out(kind: Kind, line: &[Vec<u8>]) -> Option<&'static str> {
    let name = rules::name_of(line);
    let newer = NEWER.iter().any(|newer| {
        newer.servers.contains(&kind)
            && newer.names.contains(&name.as_str())
            && newer.words.iter().any(|word| rules::says(line, word))
    });
    let other = LEFT_OUT.iter().find(|left| {
        left.servers.contains(&kind) && left.names.contains(&name.as_str()) && (left.when)(line)
    });
    if newer { Some("newer than the server") } else { other.map(|left| left.reason) }
}

/// A difference that is meant.
struct Deliberate {
    servers: &'static [Kind],
    names: &'static [&'static str],
    applies: fn(&Call<'_>) -> bool,
    /// The states differ too: the round ends here.
    parts: bool,
    reason: &'static str,
}

const VALKEY: &[Kind] = &[Kind::Valkey];

const DELIBERATE: &[Deliberate] = &[
    Deliberate {
        servers: VALKEY,
        names: &["SCAN"],
        applies: |call| call.says("TYPE") && refuses(call.theirs, "unknown type name"),
        parts: false,
        reason: "7.0 scans for types that there are not",
    },
    Deliberate {
        servers: VALKEY,
        names: &["SCAN", "SSCAN", "HSCAN", "ZSCAN"],
        applies: |call| refuses(call.theirs, "invalid cursor"),
        parts: false,
        reason: "7.0 takes negative cursors",
    },
    Deliberate {
        servers: VALKEY,
        names: &["OBJECT"],
        applies: |call| call.says("ENCODING") && is_short_or_long(call.ours) && is_short_or_long(call.theirs),
        parts: false,
        reason: "7.0 embeds strings up to 44 bytes, Valkey by the length of key and value",
    },
    Deliberate {
        servers: VALKEY,
        names: &["GETEX"],
        applies: |call| call.theirs.starts_with(b"-ERR "),
        parts: false,
        reason: "7.0 looks for the key before it looks at the time",
    },
    Deliberate {
        servers: BOTH,
        names: &["DBSIZE"],
        applies: |call| number(call.theirs) > number(call.ours) && number(call.ours).is_some(),
        parts: false,
        reason: "a server counts keys that have expired until it meets them",
    },
    Deliberate {
        servers: BOTH,
        names: &["OBJECT"],
        applies: |call| call.says("ENCODING") && is_list(call.ours) && is_list(call.theirs),
        parts: false,
        reason: "7.0 has one encoding for lists; Valkey's LSET counts an element too many",
    },
    Deliberate {
        servers: VALKEY,
        names: &["OBJECT"],
        applies: |call| call.says("ENCODING") && call.held == "hash" && call.theirs == b"$9\r\nhashtable\r\n",
        parts: false,
        reason: "Valkey has no small encoding for fields with deadlines",
    },
    Deliberate {
        servers: VALKEY,
        names: &["LREM", "LPOS"],
        applies: |call| refuses(call.theirs, "value is out of range"),
        parts: true,
        reason: "7.0 takes the least integer for a count",
    },
    Deliberate {
        servers: VALKEY,
        names: &["LSET"],
        applies: |call| call.line.get(2).is_some_and(|index| index.len() > 9),
        parts: true,
        reason: "Valkey cuts the index to 32 bits",
    },
    Deliberate {
        servers: BOTH,
        names: &["SORT", "SORT_RO"],
        applies: |call| refuses(call.theirs, "can't be converted into double"),
        parts: true,
        reason: "a server refuses subnormal numbers, and any after another command has left ERANGE in errno; \
                 Valkey refuses an empty text and one with a zero byte",
    },
    Deliberate {
        servers: BOTH,
        names: &["OBJECT"],
        applies: |call| call.seen.sort && call.says("ENCODING") && call.held == "zset",
        parts: false,
        reason: "a server's SORT converts the sorted set that it reads",
    },
    Deliberate {
        servers: VALKEY,
        names: SCORES,
        applies: |call| refuses(call.theirs, "float") && call.line.iter().any(|arg| is_odd_number(arg)),
        parts: true,
        reason: "7.0 reads hexadecimal numbers and skips spaces before a number",
    },
    Deliberate {
        servers: VALKEY,
        names: &["HSETEX"],
        applies: |call| {
            refuses(call.ours, "numfields")
                && call.line.iter().any(|word| word.starts_with(b"-92233720368547758"))
        },
        parts: true,
        reason: "Valkey doubles the number of fields, and a count far below zero wraps to a small one",
    },
    Deliberate {
        servers: VALKEY,
        names: &["HSETEX", "HGETEX"],
        applies: |call| call.ours.starts_with(b"-ERR ") && call.theirs.starts_with(b"-ERR "),
        parts: false,
        reason: "which of two faults is told first",
    },
    Deliberate {
        servers: BOTH,
        names: LEXICAL,
        applies: |call| call.mixed_scores,
        parts: true,
        reason: "a lexical range over different scores is not defined",
    },
    Deliberate {
        servers: VALKEY,
        names: &["BITCOUNT", "BITPOS"],
        applies: |call| call.theirs.starts_with(b"-ERR "),
        parts: false,
        reason: "7.0 looks at the key before it looks at the range",
    },
    Deliberate {
        servers: VALKEY,
        names: &["BITCOUNT"],
        applies: |call| refuses(call.ours, "syntax error") && number(call.theirs).is_some(),
        parts: false,
        reason: "7.0 refuses a range without an end",
    },
    Deliberate {
        servers: VALKEY,
        names: &["XREAD", "XREADGROUP"],
        applies: |call| refuses(call.ours, "ERR Unbalanced") && refuses(call.theirs, "ERR Unbalanced"),
        parts: false,
        reason: "Valkey's words name the command",
    },
    Deliberate {
        servers: VALKEY,
        names: &["GEOSEARCH", "GEOSEARCHSTORE", "GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO"],
        applies: |call| refuses(call.ours, "could not decode") && refuses(call.theirs, "does not exist"),
        parts: false,
        reason: "Valkey's words name the member",
    },
    Deliberate {
        servers: BOTH,
        names: PLACES,
        applies: |call| {
            // Larder does as servers do on x86-64.
            cfg!(not(target_arch = "x86_64")) && call.held == "zset with scores that are no places"
        },
        parts: true,
        reason: "what C makes of an integer out of range is not defined, and differs between processors",
    },
    Deliberate {
        servers: VALKEY,
        names: &["XSETID"],
        applies: |call| refuses(call.theirs, "smaller than current max_deleted_entry_id"),
        parts: true,
        reason: "7.0 does not look at the largest deleted id",
    },
    Deliberate {
        servers: VALKEY,
        names: &["OBJECT"],
        applies: |call| {
            let large: &[&[u8]] = &[b"$9\r\nhashtable\r\n", b"$8\r\nskiplist\r\n"];
            call.says("ENCODING") && ["set", "zset"].contains(&call.held) && large.contains(&call.theirs)
        },
        parts: false,
        reason: "Valkey chooses by the number of words, duplicates included",
    },
    Deliberate {
        servers: BOTH,
        names: &["OBJECT"],
        applies: |call| call.seen.pop && call.says("ENCODING") && call.held == "set",
        parts: false,
        reason: "what the server has popped leaves larder's set by another way",
    },
    Deliberate {
        servers: BOTH,
        names: &["SORT", "SORT_RO"],
        applies: |call| ["set", "zset"].contains(&call.held) && (call.says("BY") || call.says("ALPHA")),
        parts: true,
        reason: "a set has no order, and texts are the same up to a zero byte",
    },
    Deliberate {
        servers: VALKEY,
        names: &[
            "ZRANGE",
            "ZRANGESTORE",
            "ZRANGEBYSCORE",
            "ZREVRANGEBYSCORE",
            "ZRANGEBYLEX",
            "ZREVRANGEBYLEX",
        ],
        applies: |call| {
            let limit = call.line.iter().position(|word| word.eq_ignore_ascii_case(b"LIMIT"));
            limit.and_then(|at| call.line.get(at + 1)).is_some_and(|offset| offset.starts_with(b"-"))
        },
        parts: true,
        reason: "7.0 gives nothing from a negative offset on",
    },
    Deliberate {
        servers: BOTH,
        names: &["XINFO"],
        applies: crate::compare::is_same_but_for_nodes,
        parts: false,
        reason: "a server keeps a block that trimming has emptied",
    },
    Deliberate {
        servers: VALKEY,
        names: &["XAUTOCLAIM"],
        applies: |call| refuses(call.theirs, "COUNT too high"),
        parts: true,
        reason: "Valkey tries to allocate as much as was asked for",
    },
    Deliberate {
        servers: VALKEY,
        names: &["BITCOUNT"],
        applies: |call| call.line.len() == 3 && refuses(call.ours, "syntax error"),
        parts: false,
        reason: "Valkey takes a start alone",
    },
    Deliberate {
        servers: BOTH,
        names: PLACES,
        applies: |call| call.held == "places at the same distance",
        parts: false,
        reason: "the order of equals is not defined",
    },
];

/// Commands that may read a sorted set as if all scores were the same.
pub(crate) const LEXICAL: &[&str] =
    &["ZRANGE", "ZRANGESTORE", "ZRANGEBYLEX", "ZREVRANGEBYLEX", "ZLEXCOUNT", "ZREMRANGEBYLEX"];

const SCORES: &[&str] = &[
    "ZADD",
    "ZINCRBY",
    "ZCOUNT",
    "ZRANGE",
    "ZRANGESTORE",
    "ZRANGEBYSCORE",
    "ZREVRANGEBYSCORE",
    "ZREMRANGEBYSCORE",
    "ZUNION",
    "ZUNIONSTORE",
    "ZINTER",
    "ZINTERSTORE",
    "GEOADD",
    "GEORADIUS",
    "GEORADIUSBYMEMBER",
    "GEORADIUS_RO",
    "GEORADIUSBYMEMBER_RO",
    "GEOSEARCH",
    "GEOSEARCHSTORE",
];

const PLACES: &[&str] = &[
    "GEOPOS",
    "GEOHASH",
    "GEODIST",
    "GEOSEARCH",
    "GEOSEARCHSTORE",
    "GEORADIUS",
    "GEORADIUS_RO",
    "GEORADIUSBYMEMBER",
    "GEORADIUSBYMEMBER_RO",
];

/// A number that only the C library's reader takes.
fn is_odd_number(arg: &[u8]) -> bool {
    let digits = arg.strip_prefix(b"(").unwrap_or(arg);
    digits.starts_with(b" ") || digits.starts_with(b"0x") || digits.starts_with(b"-0x")
}

fn is_list(reply: &[u8]) -> bool {
    reply == b"$8\r\nlistpack\r\n" || reply == b"$9\r\nquicklist\r\n"
}

/// May this span end while a round lasts? A spoilt line can have any number in its place.
fn is_short(span: &[u8], millis: bool) -> bool {
    let span = std::str::from_utf8(span).ok().and_then(|text| text.parse::<i64>().ok());
    span.is_some_and(|span| (1..if millis { 100_000 } else { 100 }).contains(&span))
}

fn number(reply: &[u8]) -> Option<i64> {
    Reply::whole(reply).ok()?.integer()
}

fn refuses(reply: &[u8], text: &str) -> bool {
    reply.starts_with(b"-") && String::from_utf8_lossy(reply).contains(text)
}

fn is_short_or_long(reply: &[u8]) -> bool {
    reply == b"$6\r\nembstr\r\n" || reply == b"$3\r\nraw\r\n"
}

/// Why the replies of this call may differ, if they may, and whether the states part.
pub(crate) fn reason(call: &Call<'_>) -> Option<(&'static str, bool)> {
    let known = DELIBERATE.iter().find(|known| {
        known.servers.contains(&call.kind) && known.names.contains(&call.name) && (known.applies)(call)
    });
    known.map(|known| (known.reason, known.parts))
}
