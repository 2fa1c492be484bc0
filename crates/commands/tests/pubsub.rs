//! Publish and subscribe over several sessions of one engine, beside several connections of a real server: the same bytes to
//! everybody, replies and messages alike.
//!
//! After each line every party receives what there is for it. What a server orders by a hash is put in order on both sides.
#![cfg(unix)]

mod stage;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder::Engine;
use larder_commands::{RespSink, Session, execute};
use larder_testkit::resp::Reply;
use larder_testkit::servers::{Kind, Server};

use crate::stage::{Random, Stage};

const PARTIES: usize = 4;
const RANDOM_SCRIPTS: u64 = 12;
const RANDOM_LINES: usize = 120;

/// The replies and messages in some bytes.
fn frames(mut bytes: &[u8]) -> Vec<Reply> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, length) = Reply::read(bytes).expect("RESP").expect("whole");
        frames.push(frame);
        bytes = &bytes[length..];
    }
    frames
}

fn name_of(frame: &Reply) -> Vec<u8> {
    frame.items().first().and_then(|item| item.bytes().map(<[u8]>::to_vec)).unwrap_or_default()
}

/// Puts in order what a server keeps in hash tables: messages by patterns, confirmations of "all", lists of channels.
fn ordered(words: &[&str], bytes: &[u8], kind: Kind) -> Vec<Reply> {
    let mut frames = frames(bytes);
    let is = |names: &[&str]| names.iter().any(|name| words[0].eq_ignore_ascii_case(name));
    if is(&["HELLO"]) && kind == Kind::Valkey {
        // It greets by its own name and version.
        let proto = Reply::Bulk(b"proto".to_vec());
        for frame in frames.iter_mut().filter(|frame| !frame.is_error() && frame.items().contains(&proto)) {
            *frame =
                Reply::Array(frame.items().into_iter().skip_while(|item| *item != proto).take(4).collect());
        }
    } else if is(&["PUBSUB"]) {
        for frame in &mut frames {
            if let (Reply::Array(items), "CHANNELS" | "SHARDCHANNELS") = (frame, words[1]) {
                items.sort();
            }
        }
    } else if is(&["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"]) && words.len() == 1 {
        let mut names: Vec<Vec<Reply>> = frames.iter().map(Reply::items).collect();
        let counts: Vec<Reply> = names.iter_mut().filter_map(Vec::pop).collect();
        names.sort();
        return names
            .into_iter()
            .zip(counts)
            .map(|(mut items, count)| {
                items.push(count);
                Reply::Array(items)
            })
            .collect();
    } else if is(&["PUBLISH", "SPUBLISH"]) {
        // Valkey sends what a connection publishes to itself after the count, Redis 7.0 before it.
        if kind == Kind::Valkey {
            frames.sort_by_key(|frame| matches!(frame, Reply::Integer(_)));
        }
        let patterns: Vec<usize> =
            (0..frames.len()).filter(|&at| name_of(&frames[at]) == b"pmessage").collect();
        if let (Some(&first), Some(&last)) = (patterns.first(), patterns.last()) {
            frames[first..=last].sort();
        }
    }
    frames
}

/// Runs lines, each `who words..`, on both sides.
fn compare(server: &Server, name: &str, lines: &[String]) {
    let mut stage = Stage::new(server, PARTIES, name).with_form(ordered);
    for line in lines {
        let (who, line) = line.split_once(' ').expect("who speaks");
        stage.step(who.parse().expect("a number"), line);
    }
}

const SCRIPT: &str = "
0 UNSUBSCRIBE
0 PUNSUBSCRIBE
0 SUNSUBSCRIBE
0 UNSUBSCRIBE x y
0 PUNSUBSCRIBE x
0 SUNSUBSCRIBE x
0 SUBSCRIBE a b a
1 PUBLISH a one
1 PUBLISH none one
1 SPUBLISH a one
0 PING
0 PING hi
0 PING a b
0 GET k
0 GET
0 NOSUCH
0 ECHO x
0 HELLO 3
0 CLIENT ID
0 OBJECT ENCODING x
0 PUBLISH a 1
0 PUBSUB NUMPAT
0 SSUBSCRIBE s a
1 SPUBLISH a two
1 PUBLISH s two
0 UNSUBSCRIBE a
0 UNSUBSCRIBE
0 GET k
0 SUNSUBSCRIBE zz
0 SUNSUBSCRIBE
0 GET k
0 PSUBSCRIBE * a*
1 PUBLISH abc three
1 PUBSUB NUMPAT
0 PSUBSCRIBE *
2 PSUBSCRIBE * [ab]? a*
1 PUBSUB NUMPAT
1 PUBLISH ab four
0 PUNSUBSCRIBE * nosuch
0 RESET
0 GET k
1 PUBLISH ab five
2 RESET
1 PUBSUB NUMPAT
1 SELECT 3
0 SUBSCRIBE a
1 PUBLISH a six
1 HELLO 3
1 SUBSCRIBE a b
1 PSUBSCRIBE a
1 SSUBSCRIBE a
1 PING
1 PING hi
1 GET k
1 PUBLISH a seven
1 PUBLISH b eight
1 SPUBLISH a nine
1 PUBSUB CHANNELS
1 PUBSUB CHANNELS a*
1 PUBSUB CHANNELS a b
1 PUBSUB NUMSUB a b c a
1 PUBSUB NUMSUB
1 PUBSUB NUMPAT x
1 PUBSUB SHARDCHANNELS
1 PUBSUB SHARDCHANNELS x*
1 PUBSUB SHARDCHANNELS a b
1 PUBSUB SHARDNUMSUB a b
1 PUBSUB
1 PUBSUB nosuch
1 PUBLISH a
1 PUBLISH a b c
1 SPUBLISH a
1 SUBSCRIBE
1 PSUBSCRIBE
1 SSUBSCRIBE
0 PUBLISH a ten
1 HELLO 2
1 GET k
1 PING
0 UNSUBSCRIBE
0 PUBLISH a eleven
1 HELLO 3
1 RESET
1 UNSUBSCRIBE
1 HELLO 3
1 UNSUBSCRIBE
1 UNSUBSCRIBE a b
1 SUNSUBSCRIBE a
0 PUBLISH a twelve
";

fn scripted(kind: Kind) {
    let Some(server) = Server::start(kind) else { return };
    let lines = SCRIPT.lines().filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    assert!(lines.len() > 80);
    compare(&server, "the script", &lines);
}

#[test]
fn sessions_receive_what_connections_of_redis_receive() {
    scripted(Kind::Redis);
}

#[test]
fn sessions_receive_what_connections_of_valkey_receive() {
    scripted(Kind::Valkey);
}

fn random_line(random: &mut Random) -> String {
    let names = ["a", "b", "ab", "*", "a*", "?", "[ab]", "x"];
    let (who, name) = (random.below(PARTIES), random.pick(&names));
    let mut several = |least: usize| {
        (0..least + random.below(3)).map(|_| format!(" {}", random.pick(&names))).collect::<String>()
    };
    let (some, any) = (several(1), several(0));
    let line = match random.below(24) {
        0..=2 => format!("SUBSCRIBE{some}"),
        3..=5 => format!("PSUBSCRIBE{some}"),
        6 => format!("SSUBSCRIBE{some}"),
        7 => format!("UNSUBSCRIBE{any}"),
        8 => format!("PUNSUBSCRIBE{any}"),
        9 => format!("SUNSUBSCRIBE{any}"),
        10 => "RESET".to_owned(),
        11 => random.pick(&["HELLO 2", "HELLO 3", "HELLO 3"]).to_owned(),
        12 => random.pick(&["PING", "PING x", "GET k", "CLIENT GETNAME", "NOSUCH", "GET"]).to_owned(),
        13 => format!("PUBSUB {}", random.pick(&["CHANNELS", "SHARDCHANNELS", "CHANNELS a*", "NUMPAT"])),
        14 => format!("PUBSUB {}{any}", random.pick(&["NUMSUB", "SHARDNUMSUB"])),
        15 | 16 => format!("SPUBLISH {name} m{}", random.below(100)),
        _ => format!("PUBLISH {name} m{}", random.below(100)),
    };
    format!("{who} {line}")
}

#[test]
fn random_scripts_are_received_alike() {
    for kind in Kind::ALL {
        let Some(server) = Server::start(kind) else { continue };
        for seed in 0..RANDOM_SCRIPTS {
            let mut random = Random(seed);
            let mut lines: Vec<String> = (0..RANDOM_LINES).map(|_| random_line(&mut random)).collect();
            lines.extend((0..PARTIES).map(|who| format!("{who} RESET")));
            compare(&server, &format!("seed {seed}"), &lines);
        }
    }
}

/// What a session that takes its messages too late is told: nothing more, and the connection closes.
#[test]
fn a_session_that_falls_behind_is_closed() {
    let engine = Engine::new();
    let mut session = Session::new();
    session.set_waiting_bytes(10);
    let mut out = Vec::new();
    execute(&engine, &mut session, &[b"SUBSCRIBE", b"c"], &mut RespSink::new(&mut out));
    for _ in 0..3 {
        engine.publish("c", "12345").expect("short");
    }
    out.clear();
    assert!(session.wait_pushes(Duration::ZERO));
    assert_eq!(session.poll_pushes(&mut RespSink::new(&mut out)), 1);
    assert!(session.is_quitting());
    assert_eq!((frames(&out).len(), session.subscriptions()), (1, 0));
}

/// Sessions in threads: pushes arrive whole and in order while the session subscribes to more, and unsubscribes.
#[test]
fn after_the_confirmation_no_message_of_a_channel_comes() {
    let (engine, stop) = (&Engine::new(), &AtomicBool::new(false));
    std::thread::scope(|scope| {
        let publisher = scope.spawn(move || {
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                engine.publish("c", number.to_string()).expect("short");
                number += 1;
            }
        });
        let mut session = Session::new();
        let (mut seen, mut rounds) = (0, 0);
        while rounds < 50 || seen == 0 {
            let mut out = Vec::new();
            execute(engine, &mut session, &[b"SUBSCRIBE", b"d", b"c"], &mut RespSink::new(&mut out));
            let _ = session.wait_pushes(Duration::from_secs(5));
            session.poll_pushes(&mut RespSink::new(&mut out));
            execute(engine, &mut session, &[b"UNSUBSCRIBE", b"c"], &mut RespSink::new(&mut out));
            session.poll_pushes(&mut RespSink::new(&mut out));
            let names: Vec<Vec<u8>> = frames(&out).iter().map(name_of).collect();
            assert_eq!(&names[..2], [b"subscribe".to_vec(), b"subscribe".to_vec()]);
            assert_eq!(names.last(), Some(&b"unsubscribe".to_vec()));
            assert!(names[2..names.len() - 1].iter().all(|name| name == b"message"));
            seen += names.len() - 3;
            rounds += 1;
        }
        stop.store(true, Ordering::Relaxed);
        publisher.join().expect("no panic");
    });
}
