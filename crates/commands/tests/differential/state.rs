//! The whole state, looked at from outside: every key's type, encoding, deadline and content, in every database in use.

use larder_commands::table;
use larder_testkit::resp::Reply;

use crate::pair::{Mismatch, Pair};

/// The databases that commands reach.
const DATABASES: [&str; 4] = ["0", "1", "2", "15"];

pub(crate) fn compare(pair: &mut Pair) -> Option<Mismatch> {
    let selected = pair.database().to_string();
    let found = DATABASES.iter().find_map(|database| compare_database(pair, database));
    let back = pair.batch(&[line(&["SELECT", &selected])]);
    found.or_else(|| back.err().map(|(_, mismatch)| *mismatch)).map(Mismatch::in_state)
}

fn compare_database(pair: &mut Pair, database: &str) -> Option<Mismatch> {
    let lines = [line(&["SELECT", database]), line(&["KEYS", "*"])];
    if let Err((_, mismatch)) = pair.batch(&lines) {
        return Some(*mismatch);
    }
    let keys = pair.our_reply(&["KEYS", "*"]).items();
    let mut lines = Vec::new();
    for key in keys.iter().filter_map(Reply::bytes) {
        let kind = pair.our_reply(&[b"TYPE", key]);
        lines.extend(looks(key, kind.bytes().unwrap_or_default()));
    }
    lines.retain(|line| table::lookup(&line[0]).is_some());
    pair.batch(&lines).err().map(|(_, mismatch)| *mismatch)
}

/// The commands that show all there is to a key.
fn looks(key: &[u8], kind: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let with_key = |before: &[&str], after: &[&str]| -> Vec<Vec<u8>> {
        let mut line = line(before);
        line.push(key.to_vec());
        line.extend(after.iter().map(|word| word.as_bytes().to_vec()));
        line
    };
    let mut lines = vec![
        with_key(&["TYPE"], &[]),
        with_key(&["OBJECT", "ENCODING"], &[]),
        with_key(&["PEXPIRETIME"], &[]),
    ];
    match kind {
        b"string" => lines.push(with_key(&["GET"], &[])),
        b"list" => lines.push(with_key(&["LRANGE"], &["0", "-1"])),
        b"set" => lines.push(with_key(&["SMEMBERS"], &[])),
        b"hash" => lines.push(with_key(&["HGETALL"], &[])),
        b"zset" => lines.push(with_key(&["ZRANGE"], &["0", "-1", "WITHSCORES"])),
        b"stream" => {
            lines.push(with_key(&["XRANGE"], &["-", "+"]));
            lines.push(with_key(&["XINFO", "STREAM"], &["FULL", "COUNT", "0"]));
        }
        _ => {}
    }
    lines
}

fn line(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}
