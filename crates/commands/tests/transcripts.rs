//! Sessions recorded from redis-server 7.0.15, replayed: every reply must be the same to the byte. `newer.txt` is the
//! exception: it holds what is documented of later commands.
//!
//! A file has two lines for a command: its words, and the reply with `|` for each line break. `""` is the empty word.

use larder::Engine;
use larder_commands::{RespSink, Session, execute};

fn replay(transcript: &str) {
    let engine = Engine::new();
    let mut session = Session::new();
    let mut lines = transcript.lines();
    let mut count = 0;
    while let (Some(command), Some(expected)) = (lines.next(), lines.next()) {
        let words: Vec<&[u8]> =
            command.split(' ').map(|word| if word == "\"\"" { b"" } else { word.as_bytes() }).collect();
        let mut reply = Vec::new();
        let outcome = execute(&engine, &mut session, &words, &mut RespSink::new(&mut reply));
        outcome.wait(&mut RespSink::new(&mut reply));
        let reply = String::from_utf8_lossy(&reply).replace("\r\n", "|");
        assert_eq!(reply, expected, "{command}");
        count += 1;
    }
    assert!(count > 50, "the transcript was read");
}

/// What tutorials show: counts of bits, of visitors, boards, queues, fruit, users, Sicily.
#[test]
fn tutorials() {
    replay(include_str!("transcripts/tutorials.txt"));
}

#[test]
fn lists() {
    replay(include_str!("transcripts/list.txt"));
}

#[test]
fn sorting() {
    replay(include_str!("transcripts/sort.txt"));
}

#[test]
fn sorted_sets() {
    replay(include_str!("transcripts/sorted_set.txt"));
}

#[test]
fn places() {
    replay(include_str!("transcripts/geo.txt"));
}

#[test]
fn streams() {
    replay(include_str!("transcripts/stream.txt"));
}

/// Nothing here was recorded: no server of these versions could be had. The replies are those that the documentation of Redis
/// 8.2 and its own tests tell of BITOP DIFF, DIFF1, ANDOR and ONE, XACKDEL and XDELEX.
#[test]
fn commands_newer_than_the_servers_keep_to_what_is_documented() {
    replay(include_str!("transcripts/newer.txt"));
}
