//! Replies as redis-cli shows them to people.
//!
//! ```text
//! 1) "a"                    1# "k" => "v"              an aggregate's lines are indented by the width of its numbers;
//! 2) 1) (integer) 1         2# "l" =>                  a map's value of several lines begins on a line of its own
//!    2) (nil)                  1) "x"
//!                              2) "y"
//! ```
//! Not done: colours, CSV, JSON.

use crate::line::quote;
use crate::reply::{Reply, format_double};

/// Writes a reply as lines, each with its end.
///
/// # Examples
/// ```
/// use larder_commands::{Reply, print::pretty};
/// let reply = Reply::Array(vec![Reply::Bulk(b"a".to_vec()), Reply::Null]);
/// assert_eq!(pretty(&reply), b"1) \"a\"\n2) (nil)\n");
/// ```
#[must_use]
pub fn pretty(reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, reply, 0);
    out
}

/// Writes a reply's bare text, as redis-cli does for what is a text already ([`is_text`]).
#[must_use]
pub fn raw(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Bulk(text) | Reply::Verbatim(_, text) => text.clone(),
        Reply::Simple(text) => text.clone().into_bytes(),
        Reply::Error(text) => [until_nul(text), b"\n"].concat(),
        other => pretty(other),
    }
}

/// Returns whether redis-cli shows the reply of this command as it is: `CLIENT INFO`, `INFO`.
#[must_use]
pub fn is_text<W: AsRef<[u8]>>(words: &[W]) -> bool {
    let is = |at: usize, names: &[&str]| {
        let word = words.get(at).map(AsRef::as_ref).unwrap_or_default();
        names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
    };
    is(0, &["INFO"])
        || (is(0, &["CLIENT"]) && is(1, &["INFO", "LIST"]))
        || (is(0, &["MEMORY"]) && is(1, &["DOCTOR", "MALLOC-STATS"]))
        || (is(0, &["LATENCY"]) && is(1, &["DOCTOR", "GRAPH"]))
        || (is(0, &["CLUSTER"]) && is(1, &["INFO", "NODES"]))
}

/// redis-cli handles these texts as C strings.
fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn put(out: &mut Vec<u8>, reply: &Reply, indent: usize) {
    match reply {
        Reply::Simple(text) => line(out, until_nul(text.as_bytes())),
        Reply::Error(text) => {
            out.extend_from_slice(b"(error) ");
            line(out, until_nul(text));
        }
        Reply::Integer(number) => line(out, format!("(integer) {number}").as_bytes()),
        Reply::Decimal(digits) => line(out, format!("(double) {digits}").as_bytes()),
        Reply::Double(number) => line(out, format!("(double) {}", format_double(*number)).as_bytes()),
        Reply::BigNumber(digits) => line(out, format!("(big number) {digits}").as_bytes()),
        Reply::Bulk(bytes) => line(out, quote(bytes).as_bytes()),
        Reply::Verbatim(_, text) => line(out, text),
        Reply::Null | Reply::NullArray => line(out, b"(nil)"),
        Reply::Boolean(yes) => line(out, if *yes { b"(true)" } else { b"(false)" }),
        Reply::Array(items) => list(out, items, ')', "(empty array)", indent),
        Reply::Push(items) => list(out, items, ')', "(empty push)", indent),
        Reply::Set(items) => list(out, items, '~', "(empty set)", indent),
        Reply::Map(pairs) => map(out, pairs, indent),
    }
}

fn line(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// The number of an item; the first one stands where its aggregate began.
fn number(out: &mut Vec<u8>, at: usize, width: usize, mark: char, indent: usize) {
    let indent = if at == 0 { 0 } else { indent };
    out.extend_from_slice(format!("{:indent$}{:>width$}{mark} ", "", at + 1).as_bytes());
}

fn list(out: &mut Vec<u8>, items: &[Reply], mark: char, empty: &str, indent: usize) {
    if items.is_empty() {
        return line(out, empty.as_bytes());
    }
    let width = items.len().to_string().len();
    for (at, item) in items.iter().enumerate() {
        number(out, at, width, mark, indent);
        put(out, item, indent + width + 2);
    }
}

fn map(out: &mut Vec<u8>, pairs: &[(Reply, Reply)], indent: usize) {
    if pairs.is_empty() {
        return line(out, b"(empty hash)");
    }
    let width = pairs.len().to_string().len();
    let inner = indent + width + 2;
    for (at, (key, value)) in pairs.iter().enumerate() {
        number(out, at, width, '#', indent);
        put(out, key, inner);
        // The key's line goes on.
        out.pop();
        out.extend_from_slice(b" => ");
        if several(value) {
            out.extend_from_slice(format!("\n{:inner$}", "").as_bytes());
        }
        put(out, value, inner);
    }
}

fn several(reply: &Reply) -> bool {
    match reply {
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items.len() > 1,
        Reply::Map(pairs) => pairs.len() > 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(reply: &Reply) -> String {
        String::from_utf8(pretty(reply)).expect("text")
    }

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(text.as_bytes().to_vec())
    }

    #[test]
    fn scalars() {
        let rows = [
            (Reply::Simple("OK".into()), "OK\n"),
            (Reply::Error(b"ERR no\0such".to_vec()), "(error) ERR no\n"),
            (Reply::Integer(-1), "(integer) -1\n"),
            (Reply::Double(2.5), "(double) 2.5\n"),
            (bulk("a\"b\u{1}"), "\"a\\\"b\\x01\"\n"),
            (Reply::Verbatim("txt".into(), b"a\nb".to_vec()), "a\nb\n"),
            (Reply::Null, "(nil)\n"),
            (Reply::Boolean(true), "(true)\n"),
            (Reply::Array(vec![]), "(empty array)\n"),
            (Reply::Set(vec![]), "(empty set)\n"),
            (Reply::Map(vec![]), "(empty hash)\n"),
        ];
        for (reply, text) in rows {
            assert_eq!(shown(&reply), text);
        }
    }

    #[test]
    fn aggregates_are_numbered_and_indented() {
        let two = Reply::Array(vec![Reply::Integer(2), Reply::Array(vec![bulk("x"), Reply::Null])]);
        let mut items = vec![Reply::Integer(0); 9];
        items.push(two.clone());
        assert_eq!(
            shown(&Reply::Array(items)).lines().skip(8).collect::<Vec<_>>(),
            [" 9) (integer) 0", "10) 1) (integer) 2", "    2) 1) \"x\"", "       2) (nil)"]
        );
        let map = Reply::Map(vec![
            (bulk("a"), Reply::Array(vec![Reply::Integer(1), Reply::Integer(2)])),
            (bulk("b"), Reply::Map(vec![(bulk("c"), Reply::Set(vec![bulk("d")]))])),
        ]);
        assert_eq!(
            shown(&Reply::Array(vec![map, two])),
            "1) 1# \"a\" => \n      1) (integer) 1\n      2) (integer) 2\n   2# \"b\" => 1# \"c\" => 1~ \"d\"\n\
             2) 1) (integer) 2\n   2) 1) \"x\"\n      2) (nil)\n"
        );
    }

    #[test]
    fn texts_are_shown_as_they_are() {
        assert!(is_text(&["client", "Info"]) && !is_text(&["CLIENT", "ID"]) && is_text(&["info"]));
        assert_eq!(raw(&bulk("a\nb\n")), b"a\nb\n");
        assert_eq!(raw(&Reply::Error(b"ERR x".to_vec())), b"ERR x\n");
    }
}
