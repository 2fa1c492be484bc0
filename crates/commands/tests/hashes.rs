//! The hash commands: sessions recorded from redis-server 7.0.15 and valkey-server 9.1, replayed, and deadlines under a
//! clock that is moved by hand.
//!
//! A transcript has two lines for a command: its words, and the reply with `|` for each line break. `""` is the empty
//! word.

use std::time::Duration;

use larder::{Budget, Engine, ManualClock, UnixMillis};
use larder_commands::{RespSink, Session, execute};

struct Caller {
    engine: Engine,
    session: Session,
}

impl Caller {
    fn new(engine: Engine) -> Self {
        Self { engine, session: Session::new() }
    }

    fn ask(&mut self, line: &str) -> String {
        let words: Vec<&[u8]> =
            line.split(' ').map(|word| if word == "\"\"" { b"" } else { word.as_bytes() }).collect();
        let mut reply = Vec::new();
        execute(&self.engine, &mut self.session, &words, &mut RespSink::new(&mut reply));
        String::from_utf8_lossy(&reply).replace("\r\n", "|")
    }
}

fn replay(transcript: &str) {
    let mut caller = Caller::new(Engine::new());
    let mut lines = transcript.lines();
    let mut count = 0;
    while let (Some(line), Some(expected)) = (lines.next(), lines.next()) {
        let reply = caller.ask(line);
        // What HELLO tells is about the server, not about hashes.
        if !line.starts_with("HELLO") {
            assert_eq!(reply, expected, "{line}");
        }
        count += 1;
    }
    assert!(count > 100, "the transcript was read");
}

#[test]
fn replies_are_those_of_redis() {
    replay(include_str!("transcripts/hash.txt"));
}

#[test]
fn replies_about_deadlines_are_those_of_valkey() {
    replay(include_str!("transcripts/hash_expiry.txt"));
}

#[test]
fn deadlines_run_by_the_clock_of_the_engine() {
    let clock = ManualClock::new(UnixMillis(1_700_000_000_000));
    let mut caller = Caller::new(Engine::builder().clock(clock.clone()).build().expect("it is valid"));
    let mut expect = |line: &str, reply: &str| assert_eq!(caller.ask(line), reply, "{line}");
    expect("HSET h a 1 b 2 c 3 d 4", ":4|");
    expect("HPEXPIRE h 1499 FIELDS 1 a", "*1|:1|");
    expect("HEXPIRE h 2 FIELDS 2 b c", "*2|:1|:1|");
    expect("HPTTL h FIELDS 4 a b d e", "*4|:1499|:2000|:-1|:-2|");
    expect("HTTL h FIELDS 2 a b", "*2|:1|:2|");
    expect("HPEXPIRETIME h FIELDS 1 a", "*1|:1700000001499|");
    expect("HEXPIRETIME h FIELDS 1 a", "*1|:1700000001|");
    expect("HPEXPIRE h 1499 GT FIELDS 1 a", "*1|:0|");
    expect("OBJECT ENCODING h", "$8|listpack|");
    clock.advance(Duration::from_millis(1_499));
    expect("HMGET h a b", "*2|$-1|$1|2|");
    expect("HGETALL h", "*6|$1|b|$1|2|$1|c|$1|3|$1|d|$1|4|");
    expect("HLEN h", ":3|");
    expect("HINCRBY h b 5", ":7|");
    expect("HSET h c 9", ":0|");
    clock.advance(Duration::from_millis(501));
    expect("HGETALL h", "*4|$1|c|$1|9|$1|d|$1|4|");
    expect("HSETNX h a 1", ":1|");
    expect("HGETEX h PX 10 FIELDS 3 a c d", "*3|$1|1|$1|9|$1|4|");
    clock.advance(Duration::from_millis(10));
    expect("HLEN h", ":0|");
    expect("HRANDFIELD h 5", "*0|");
    while caller.engine.maintain(Budget::default()).due {}
    assert_eq!(caller.ask("EXISTS h"), ":0|");
}
