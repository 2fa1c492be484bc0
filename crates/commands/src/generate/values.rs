//! What goes into the slots of a line, by what the syntax calls them and by what stands around them.
//!
//! Keys are few and named after their type, so that commands meet: `s1` holds a string, `z2` a sorted set. Members,
//! fields and values come from one small pool, with numbers, long strings around the thresholds of the encodings, binary
//! bytes and nonsense mixed in. Each list begins with its plainest value (tape's T1).
//!
//! Deadlines are far away, long past or out of range, so that a run does not depend on how long it takes; offsets are
//! small or refused, so that nobody allocates half a gigabyte. Sorted sets of equal scores have keys of their own, `y1`.

use super::expand::Item;
use super::tape::Tape;

/// Where a slot stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The family: `sorted-set`.
    pub(super) group: &'static str,
    /// The command: `ZADD`.
    pub(super) name: &'static str,
    /// The whole line.
    pub(super) items: &'a [Item],
    /// Which of its items is to be filled.
    pub(super) at: usize,
    /// The words before it.
    pub(super) filled: &'a [Vec<u8>],
    /// How many of a hundred keys are drawn from all types.
    pub(super) stray_percent: usize,
}

/// Values around the edges of a signed 64-bit integer, of other integers, and of what counts as one.
const INTEGERS: &[&str] = &[
    "1000000",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775806",
    "-9223372036854775808",
    "-9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "-0",
    "+1",
    "01",
    " 1",
    "1 ",
    "",
    "1.0",
    "abc",
    "0x10",
    "1e3",
    "99999999999999999999999999",
];
const FLOATS: &[&str] = &[
    "1.5",
    "-2.25",
    "3.0",
    "0.1",
    "0.30000000000000004",
    "-0",
    "-0.0",
    "1e5",
    "1e17",
    "123456789012345678",
    "3.141592653589793238",
    "1e308",
    "-1e308",
    "1.7976931348623157e308",
    "4.9e-324",
    "inf",
    "-inf",
    "+inf",
    "Infinity",
    "1e-400",
    "1e400",
    "-1e400",
    "0x10",
    ".5",
    "5.",
    "nan",
    "1e",
    "abc",
    "",
    " 1",
    "1 ",
    "-",
];
const POOLS: &[&str] = &["s", "l", "h", "t", "z", "x", "b", "p", "g"];
const LETTERS: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h"];
const BINARY: &[&[u8]] = &[b"\0", b"a\0b", b"\r\n", b"a\r\nb", b"\xff\xfe", b"\"quoted\"", b"a b", b"\x80"];
const PATTERNS: &[&str] =
    &["*", "a*", "*1", "?", "[a-d]", "[^a]", "h*o", "s[12]", "\\*", "*a*b*", "[", "[a-", "", "m1?", "[d-a]"];
const SORT_BY: &[&str] = &["nosort", "s*", "h*->a", "h1->*", "b*", "*", "l*", "x*->f"];
const SORT_GET: &[&str] = &["#", "s*", "h*->a", "none*", "*", "*->a"];
const LONGITUDES: &[&str] = &[
    "13.361389",
    "15.087269",
    "0",
    "2.35",
    "-122.4",
    "180",
    "-180",
    "179.99",
    "180.1",
    "-181",
    "nan",
    "abc",
];
const LATITUDES: &[&str] = &[
    "38.115556",
    "37.502669",
    "0",
    "48.85",
    "37.8",
    "85.05112878",
    "-85.05112878",
    "0.001",
    "86",
    "inf",
    "x",
];
const SPANS: &[&str] = &["200", "100", "0", "0.5", "5000", "25000", "1e9", "-1", "1e30", "abc", "inf", "nan"];
const ENCODINGS: &[&str] =
    &["u8", "i8", "u1", "i5", "u16", "i16", "u63", "i64", "i32", "u64", "i65", "i0", "8", "x3"];
const TYPES: &[&str] = &["string", "list", "set", "zset", "hash", "stream", "nothing", "STRING"];
/// 2100-01-01 and the second after it, in seconds.
const FUTURE_SECONDS: &[&str] = &["4102444800", "4102444801", "5000000000", "4102444799"];
const FUTURE_MILLIS: &[&str] = &["4102444800000", "4102444800001", "5000000000000", "4102444799999"];

/// Draws the value of the slot at `place.at`.
pub(super) fn fill(place: Place<'_>, slot: &'static str, tape: &mut Tape) -> Vec<u8> {
    if is_key(slot) {
        return key(place, tape);
    }
    if let Some(text) = stream_value(place, slot, tape) {
        return text.into_bytes();
    }
    let text = match slot {
        // Lexical ranges are defined where all scores are the same.
        "score" if place.filled.iter().any(|word| word.starts_with(b"y")) => "0".to_owned(),
        "score" | "weight" => float(tape),
        "increment" if place.name.ends_with("FLOAT") || place.group == "sorted-set" => float(tape),
        "min" | "max" | "start" | "stop" | "end" => bound(place, tape),
        "seconds" | "milliseconds" => span(slot, tape),
        "unix-time-seconds" => deadline(FUTURE_SECONDS, tape),
        "unix-time-milliseconds" => deadline(FUTURE_MILLIS, tape),
        "pattern" => pattern(place, tape),
        "cursor" => text(tape, 97, &["0"], &["5", "-1", "abc", "18446744073709551616", "1.5"]),
        "longitude" => tape.pick(LONGITUDES).to_owned(),
        "latitude" => tape.pick(LATITUDES).to_owned(),
        "radius" | "width" | "height" => tape.pick(SPANS).to_owned(),
        "encoding" => tape.pick(ENCODINGS).to_owned(),
        "type" => tape.pick(TYPES).to_owned(),
        "offset" => offset(place, tape),
        "bit" => text(tape, 94, &["1", "0"], &["2", "-1", "abc", "", "01"]),
        "db" | "index1" | "index2" | "destination-db" => {
            text(tape, 92, &["0", "1", "2"], &["15", "16", "-1", "abc", "4294967296"])
        }
        "value" if place.group == "bitmap" => integer(tape),
        "field" | "member" | "element" | "value" | "pivot" | "message" | "member1" | "member2" => {
            return bytes(tape);
        }
        name if name.starts_with("num") && !name.contains('-') => following(place, tape),
        // Counts, ranks, lengths, limits: numbers, whatever they are called.
        _ => count(place, tape),
    };
    text.into_bytes()
}

/// Is the slot the name of a key?
pub(super) fn is_key(slot: &str) -> bool {
    let names = ["key", "key1", "key2", "newkey", "source", "destination", "dest", "destkey", "sourcekey"];
    names.contains(&slot)
}

fn key(place: Place<'_>, tape: &mut Tape) -> Vec<u8> {
    let stray = place.group == "generic" && !place.name.starts_with("SORT");
    let lexical = place.name.contains("LEX") || place.items.contains(&Item::Word("BYLEX"));
    let pools: &[&str] = match place.group {
        "sorted-set" if lexical && place.items.get(place.at) != Some(&Item::Slot("dst")) => &["y"],
        "sorted-set" if place.name == "ZADD" => &["z", "z", "z", "y"],
        _ if stray || tape.chance(place.stray_percent) => POOLS,
        "string" => &["s"],
        "list" => &["l"],
        "hash" => &["h"],
        "set" => &["t"],
        "sorted-set" if place.name.starts_with("ZUNION") || place.name.starts_with("ZINTER") => {
            &["z", "z", "t", "g"]
        }
        "sorted-set" => &["z"],
        "stream" => &["x"],
        "bitmap" => &["b", "b", "s"],
        "hyperloglog" => &["p"],
        "geo" => &["g", "g", "z"],
        _ => &["l", "t", "z"],
    };
    let pool = tape.pick(pools);
    match tape.weighted([30, 30, 30, 4, 1, 1].into_iter()) {
        3 => b"none".to_vec(),
        4 => b"k\0\r\n\xff".to_vec(),
        5 => Vec::new(),
        number => format!("{pool}{}", number + 1).into_bytes(),
    }
}

/// Draws one of the good ones in so many cases of a hundred, else one of the others.
fn text(tape: &mut Tape, good_percent: usize, good: &[&str], others: &[&str]) -> String {
    let list = if tape.chance(100 - good_percent) { others } else { good };
    tape.pick(list).to_owned()
}

/// Bytes of every sort, mostly of a small pool.
fn bytes(tape: &mut Tape) -> Vec<u8> {
    match tape.weighted([40, 25, 14, 6, 4, 4, 2, 4, 1].into_iter()) {
        0 => tape.pick(LETTERS).into(),
        1 => tape.draw(21).to_string().into_bytes(),
        2 => format!("m{}", tape.draw(300)).into_bytes(),
        3 => tape.pick(INTEGERS).into(),
        4 => tape.pick(FLOATS).into(),
        5 => tape.pick(BINARY).to_vec(),
        6 => Vec::new(),
        7 => vec![b'v'; 62 + tape.draw(5)],
        _ => vec![b'w'; tape.draw(9_000)],
    }
}

fn integer(tape: &mut Tape) -> String {
    match tape.weighted([60, 15, 12].into_iter()) {
        0 => tape.draw(20).to_string(),
        1 => format!("-{}", 1 + tape.draw(20)),
        _ => tape.pick(INTEGERS).to_owned(),
    }
}

fn float(tape: &mut Tape) -> String {
    match tape.weighted([50, 10, 10, 30].into_iter()) {
        0 => tape.draw(12).to_string(),
        1 => format!("-{}", 1 + tape.draw(12)),
        2 => tape.draw(40_000).to_string(),
        _ => tape.pick(FLOATS).to_owned(),
    }
}

fn count(place: Place<'_>, tape: &mut Tape) -> String {
    // A negative count of random members is answered with so many: none of them may be huge.
    if place.name.contains("RAND") {
        return text(
            tape,
            96,
            &["1", "2", "3", "5", "0", "-1", "-3", "10", "-10", "40"],
            &["abc", "", "1.5"],
        );
    }
    match tape.weighted([60, 8, 8].into_iter()) {
        0 => tape.draw(7).to_string(),
        1 => format!("-{}", 1 + tape.draw(4)),
        _ => tape.pick(INTEGERS).to_owned(),
    }
}

/// The end of a range: an index, a score, or a member, as the command wants it.
fn bound(place: Place<'_>, tape: &mut Tape) -> String {
    let says = |word| place.name.contains(word) || place.items.contains(&Item::Word(word));
    if says("BYLEX") || says("LEXCOUNT") {
        return match tape.weighted([20, 20, 30, 30, 4].into_iter()) {
            0 => "-".to_owned(),
            1 => "+".to_owned(),
            2 => format!("[{}", tape.pick(LETTERS)),
            3 => format!("({}", tape.pick(LETTERS)),
            _ => tape.pick(&["", "a", "(", "[", "-inf", "(+"]).to_owned(),
        };
    }
    if says("BYSCORE") || place.name == "ZCOUNT" {
        return match tape.weighted([20, 20, 10, 30, 20].into_iter()) {
            0 => "-inf".to_owned(),
            1 => "+inf".to_owned(),
            2 => "0".to_owned(),
            3 => float(tape),
            _ => format!("({}", float(tape)),
        };
    }
    match tape.weighted([40, 40, 10].into_iter()) {
        0 => tape.draw(8).to_string(),
        1 => format!("-{}", 1 + tape.draw(8)),
        _ => tape.pick(INTEGERS).to_owned(),
    }
}

fn offset(place: Place<'_>, tape: &mut Tape) -> String {
    if place.name.starts_with("BITFIELD") {
        return match tape.weighted([50, 30, 6].into_iter()) {
            0 => tape.draw(130).to_string(),
            1 => format!("#{}", tape.draw(20)),
            _ => tape
                .pick(&["-1", "#-1", "#", "abc", "4294967296", "9223372036854775807", "#9223372036854775807"])
                .to_owned(),
        };
    }
    let far = place.group == "bitmap" || place.name == "SETRANGE";
    if !far {
        return count(place, tape);
    }
    match tape.weighted([60, 25, 5, 6].into_iter()) {
        0 => tape.draw(20).to_string(),
        1 => tape.draw(300).to_string(),
        2 => tape.draw(9_000).to_string(),
        _ => tape
            .pick(&["-1", "4294967296", "9223372036854775807", "-9223372036854775808", "abc", "1.5", ""])
            .to_owned(),
    }
}

/// A time to live: far enough that nothing expires in a run, or none at all.
fn span(slot: &str, tape: &mut Tape) -> String {
    match tape.weighted([70, 8, 8, 8].into_iter()) {
        0 => {
            let seconds = 1_000 + tape.draw(60_000) * 16 + tape.draw(16);
            let unit = if slot == "seconds" { 1 } else { 1_000 };
            (seconds * unit).to_string()
        }
        1 => "0".to_owned(),
        2 => tape.pick(&["-1", "-1000", "-9223372036854775"]).to_owned(),
        _ => tape
            .pick(&[
                "9223372036854775807",
                "-9223372036854775808",
                "9223372036854775",
                "9223372036854776",
                "abc",
                "",
                "1.5",
                "9223372036854775808",
            ])
            .to_owned(),
    }
}

fn deadline(future: &[&str], tape: &mut Tape) -> String {
    match tape.weighted([70, 6, 6, 10].into_iter()) {
        0 => tape.pick(future).to_owned(),
        1 => "1".to_owned(),
        2 => tape.pick(&["0", "-1", "1000000000"]).to_owned(),
        _ => tape.pick(INTEGERS.get(6..).unwrap_or(INTEGERS)).to_owned(),
    }
}

fn pattern(place: Place<'_>, tape: &mut Tape) -> String {
    let before = place.at.checked_sub(1).and_then(|at| place.items.get(at));
    let list = match (place.name.starts_with("SORT"), before) {
        (true, Some(Item::Word("BY"))) => SORT_BY,
        (true, _) => SORT_GET,
        (false, _) => PATTERNS,
    };
    tape.pick(list).to_owned()
}

/// How many of the next slot follow; now and then a number that is wrong.
fn following(place: Place<'_>, tape: &mut Tape) -> String {
    let rest = place.items.get(place.at + 1..).unwrap_or_default();
    let count = match rest.first() {
        Some(counted @ Item::Slot(_)) => {
            let slots = rest.iter().take_while(|item| matches!(item, Item::Slot(_)));
            slots.filter(|item| *item == counted).count()
        }
        _ => 0,
    };
    match tape.weighted([92, 2, 2, 2, 2].into_iter()) {
        0 => count.to_string(),
        1 => (count + 1).to_string(),
        2 => count.saturating_sub(1).to_string(),
        3 => "0".to_owned(),
        _ => tape.pick(INTEGERS).to_owned(),
    }
}

/// The slots that only streams have, or that mean something else there.
fn stream_value(place: Place<'_>, slot: &str, tape: &mut Tape) -> Option<String> {
    if place.group != "stream" {
        return None;
    }
    Some(match slot {
        "group" | "groupname" => text(tape, 95, &["g1", "g2"], &["none", ""]),
        "consumer" | "consumername" => tape.pick(&["c1", "c2", "c3"]).to_owned(),
        "start" | "end" => match tape.weighted([20, 20, 30, 15].into_iter()) {
            0 => "-".to_owned(),
            1 => "+".to_owned(),
            2 => stream_id(tape),
            _ => format!("({}", stream_id(tape)),
        },
        "id" if place.name == "XREADGROUP" && !tape.chance(35) => ">".to_owned(),
        "id" if place.name.starts_with("XREAD") => text(tape, 60, &["0", "0-0"], &["$", "5", "20-1", "x"]),
        "id" if place.name == "XADD" && tape.chance(40) => format!("{}-*", tape.draw(60)),
        "id" | "last-id" | "lastid" | "max-deleted-id" | "start-id" => stream_id(tape),
        "threshold" if place.items.contains(&Item::Word("MINID")) => stream_id(tape),
        "min-idle-time" | "ms" => text(tape, 90, &["0"], &["1000000000", "-1", "abc", "9223372036854775807"]),
        "unix-time-milliseconds" => text(tape, 90, &["1000", "1700000000000"], &["0", "-1", "abc"]),
        _ => return None,
    })
}

fn stream_id(tape: &mut Tape) -> String {
    match tape.weighted([50, 20, 12, 8].into_iter()) {
        0 => format!("{}-{}", 1 + tape.draw(40), tape.draw(3)),
        1 => (1 + tape.draw(40)).to_string(),
        2 => format!("{}-{}", tape.draw(4_000), tape.draw(5)),
        _ => tape
            .pick(&[
                "0-0",
                "0",
                "18446744073709551615-18446744073709551615",
                "18446744073709551615",
                "18446744073709551616",
                "1-",
                "-1",
                "abc",
                "1-1-1",
                "",
                "5-18446744073709551615",
            ])
            .to_owned(),
    }
}
