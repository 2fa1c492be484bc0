//! Keyspace events, held against those of a real server: the same names on the same channels in the same order, line by line.
//!
//! Left out: what expires by itself (it comes when the clock says so; the engine's own tests have it), and `GEORADIUS .. STORE`,
//! which is stored by the operation behind `GEOSEARCHSTORE` and told as such.
#![cfg(unix)]

use larder::{Received, Subscriber, SubscriberOptions};
use larder_commands::{RespSink, Session, execute};
use larder_testkit::resp::Reply;
use larder_testkit::servers::{Connection, Kind, Server};

/// A message on this channel ends the events of a line.
const END: &str = "__key-end";

/// The server's events of what was asked since the last call.
fn theirs(asker: &mut Connection, listener: &mut Connection) -> Vec<String> {
    assert_eq!(asker.ask(&["PUBLISH", END, "x"]), Reply::Integer(1));
    let mut events = Vec::new();
    loop {
        let items = listener.next_reply().items();
        let text = |at: usize| items[at].bytes().expect("a message has bytes").escape_ascii().to_string();
        if text(2) == END {
            return events;
        }
        events.push(format!("{} {}", text(2), text(3)));
    }
}

fn ours(subscriber: &Subscriber) -> Vec<String> {
    let text = |one: Received| {
        let channel = one.channel().expect("a message").escape_ascii().to_string();
        format!("{channel} {}", one.payload().expect("a message").escape_ascii())
    };
    subscriber.try_iter().map(text).collect()
}

fn same_events(kind: Kind, letters: &str, lines: &str) {
    let Some(server) = Server::start(kind) else { return };
    let (mut asker, mut listener) = (server.connect(), server.connect());
    assert_eq!(
        asker.ask(&["CONFIG", "SET", "notify-keyspace-events", letters]),
        Reply::Simple(b"OK".to_vec())
    );
    listener.ask(&["PSUBSCRIBE", "__key*"]);
    let engine = larder::Engine::new();
    engine.set_keyspace_events(letters).expect("known letters");
    let subscriber = engine.subscriber(SubscriberOptions::default());
    subscriber.psubscribe("__key*").expect("a subscription");
    let mut session = Session::new();
    let mut faults = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&[u8]> =
            line.split_whitespace().map(|word| word.trim_matches('\'').as_bytes()).collect();
        let mut out = Vec::new();
        execute(&engine, &mut session, &words, &mut RespSink::new(&mut out));
        let reply = asker.pipeline(&[words.iter().map(|word| word.to_vec()).collect()]).remove(0);
        let (ours, theirs) = (ours(&subscriber), theirs(&mut asker, &mut listener));
        if ours != theirs || out.first() != reply.first() {
            faults.push(format!(
                "{line}\n    ours   {ours:?} {}\n    theirs {theirs:?} {}",
                out.escape_ascii(),
                reply.escape_ascii()
            ));
        }
    }
    assert!(faults.is_empty(), "{} lines differ from {kind}:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn strings_and_keys_tell_what_redis_tells() {
    same_events(Kind::Redis, "KEA", include_str!("lines/events-strings.txt"));
}

#[test]
fn collections_tell_what_redis_tells() {
    same_events(Kind::Redis, "EA", include_str!("lines/events-collections.txt"));
}

#[test]
fn streams_tell_what_redis_tells() {
    same_events(Kind::Redis, "EA", include_str!("lines/events-streams.txt"));
}

#[test]
fn new_keys_and_misses_are_told_where_asked_for() {
    same_events(Kind::Redis, "Enm", include_str!("lines/events-new.txt"));
}

#[test]
fn letters_are_told_back_as_redis_does() {
    let Some(server) = Server::start(Kind::Redis) else { return };
    let mut connection = server.connect();
    let engine = larder::Engine::new();
    for letters in ["", "KEA", "Kx", "AKEn", "mEnl", "g$lshzxetdK", "Elh", "n", "KEAmn", "q", "K E"] {
        for words in [
            &["CONFIG", "SET", "notify-keyspace-events", letters][..],
            &["CONFIG", "GET", "notify-keyspace-events"],
        ] {
            let mut out = Vec::new();
            let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            execute(&engine, &mut Session::new(), &bytes, &mut RespSink::new(&mut out));
            let theirs = connection.pipeline(&[words.to_vec()]).remove(0);
            assert_eq!(out.escape_ascii().to_string(), theirs.escape_ascii().to_string(), "{words:?}");
        }
    }
}
