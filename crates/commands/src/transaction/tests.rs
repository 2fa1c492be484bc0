use std::time::Duration;

use larder::{Engine, ManualClock};

use super::{Line, Queued, check_allowed, reach};
use crate::args::Args;
use crate::execute::{Outcome, execute};
use crate::reply::RespSink;
use crate::session::Session;
use crate::spec::{CommandSpec, Flags};
use crate::table::{self, Found};

/// An engine and two sessions.
struct Stage {
    engine: Engine,
    clock: ManualClock,
    ann: Session,
    bob: Session,
}

impl Stage {
    fn new() -> Self {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).shards(8).build().expect("valid");
        Self { engine, clock, ann: Session::new(), bob: Session::with_id(2) }
    }

    fn ann(&mut self, line: &str) -> String {
        say(&self.engine, &mut self.ann, line)
    }

    fn bob(&mut self, line: &str) -> String {
        say(&self.engine, &mut self.bob, line)
    }

    /// Ann says lines, one after the other; gives the last answer.
    fn all(&mut self, lines: &[&str]) -> String {
        lines.iter().map(|line| self.ann(line)).last().expect("a line")
    }
}

/// The reply as RESP, its lines apart by a space.
fn say(engine: &Engine, session: &mut Session, line: &str) -> String {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let mut out = Vec::new();
    let outcome = execute(engine, session, &words, &mut RespSink::new(&mut out));
    assert!(outcome.is_done(), "{line} waits");
    String::from_utf8(out).expect("text").replace("\r\n", " ").trim_end().to_owned()
}

const EMPTY: &str = "*0";
const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.";
const UNTOUCHED: &str = "*1 +OK";
const TOUCHED: &str = "*-1";

#[test]
fn what_is_queued_runs_at_exec() {
    let mut stage = Stage::new();
    assert_eq!(stage.ann("MULTI"), "+OK");
    assert!(stage.ann.is_queueing());
    assert_eq!(stage.ann("SET k 5"), "+QUEUED");
    assert_eq!(stage.bob("EXISTS k"), ":0");
    assert_eq!(stage.all(&["INCR k", "GET k", "EXEC"]), "*3 +OK :6 $1 6");
    assert!(!stage.ann.is_queueing());
    assert_eq!(stage.ann("GET k"), "$1 6");
    assert_eq!(stage.all(&["MULTI", "EXEC"]), EMPTY);
}

#[test]
fn errors_at_execution_do_not_stop_the_others() {
    let mut stage = Stage::new();
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let replies = stage.all(&["MULTI", "SET k v", "LPUSH k 1", "INCR k", "SET k w", "EXEC"]);
    assert_eq!(replies, format!("*4 +OK {wrong} -ERR value is not an integer or out of range +OK"));
    assert_eq!(stage.ann("GET k"), "$1 w");
}

#[test]
fn errors_at_queueing_abort() {
    for wrong in ["NOSUCH x", "GET", "OBJECT NOSUCH k", "UNWATCH x", "DISCARD x", "MULTI x", "WATCH"] {
        let mut stage = Stage::new();
        stage.ann("MULTI");
        assert!(stage.ann(wrong).starts_with("-ERR "), "{wrong}");
        assert_eq!(stage.ann("SET k v"), "+QUEUED");
        assert_eq!(stage.ann("EXEC"), ABORTED, "{wrong}");
        assert_eq!(stage.ann("EXISTS k"), ":0");
        assert_eq!(stage.all(&["MULTI", "PING", "EXEC"]), "*1 +PONG", "the next one is clean");
    }
}

#[test]
fn refusals_that_do_not_abort() {
    let mut stage = Stage::new();
    assert_eq!(stage.ann("EXEC"), "-ERR EXEC without MULTI");
    assert_eq!(stage.ann("DISCARD"), "-ERR DISCARD without MULTI");
    stage.ann("MULTI");
    assert_eq!(stage.ann("MULTI"), "-ERR MULTI calls can not be nested");
    assert_eq!(stage.ann("WATCH k"), "-ERR WATCH inside MULTI is not allowed");
    assert_eq!(stage.all(&["SET k v", "EXEC"]), "*1 +OK");
}

#[test]
fn an_exec_that_is_refused_ends_the_transaction() {
    let text = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
    let mut stage = Stage::new();
    assert_eq!(stage.all(&["MULTI", "SET k v", "EXEC x"]), text);
    assert!(!stage.ann.is_queueing());
    assert_eq!(stage.all(&["WATCH k", "EXEC x"]), text);
    stage.bob("SET k w");
    assert_eq!(stage.all(&["MULTI", "GET k", "EXEC"]), "*1 $1 w", "the watch has ended too");
}

#[test]
fn discard_and_reset_forget_all() {
    let mut stage = Stage::new();
    for end in ["DISCARD", "RESET"] {
        stage.all(&["WATCH k", "MULTI", "SET a 1", end]);
        assert!(!stage.ann.is_queueing());
        stage.bob("SET k v");
        assert_eq!(stage.all(&["MULTI", "SET k w", "EXEC"]), UNTOUCHED);
        assert_eq!(stage.ann("EXISTS a"), ":0");
    }
    assert_eq!(stage.all(&["MULTI", "QUIT"]), "+OK");
    assert!(stage.ann.is_quitting());
}

#[test]
fn a_session_that_ends_leaves_no_watch() {
    let mut stage = Stage::new();
    stage.all(&["WATCH k", "MULTI", "SET k v"]);
    stage.ann = Session::new();
    assert_eq!(stage.bob("SET k w"), "+OK");
    assert_eq!(stage.ann("GET k"), "$1 w");
}

#[test]
fn a_touched_key_makes_exec_a_null() {
    // What is there, what Bob does, whether that touches k.
    let cases = [
        ("SET k v", "SET k v", true),
        ("SET k v", "EXPIRE k 100", true),
        ("SET k v", "DEL k", true),
        ("SET k v", "GET k", false),
        ("SET k v", "SET other v", false),
        ("SET k v", "FLUSHALL", true),
        ("SET k v", "SWAPDB 0 1", true),
        ("SET k v", "SELECT 1", false),
        ("DEL k", "DEL k", false),
        ("DEL k", "FLUSHALL", false),
        ("DEL k", "SWAPDB 0 1", false),
        ("DEL k", "SET k v", true),
        ("RPUSH k 1", "LREM k 0 7", false),
    ];
    for (before, act, touches) in cases {
        let mut stage = Stage::new();
        stage.all(&[before, "WATCH x k"]);
        stage.bob(act);
        let expected = if touches { TOUCHED } else { UNTOUCHED };
        assert_eq!(stage.all(&["MULTI", "SET result 1", "EXEC"]), expected, "{before}, {act}");
        assert_eq!(stage.ann("EXISTS result"), if touches { ":0" } else { ":1" });
        assert_eq!(stage.all(&["MULTI", "SET result 1", "EXEC"]), UNTOUCHED, "one EXEC ends the watch");
    }
}

#[test]
fn one_s_own_changes_touch_too_and_errors_come_first() {
    let mut stage = Stage::new();
    assert_eq!(stage.all(&["WATCH k", "SET k v", "MULTI", "PING", "EXEC"]), TOUCHED);
    assert_eq!(stage.all(&["WATCH k", "SET k v", "UNWATCH", "MULTI", "SET k w", "EXEC"]), UNTOUCHED);
    assert_eq!(stage.all(&["WATCH k", "SET k v", "MULTI", "NOSUCH", "EXEC"]), ABORTED);
    // UNWATCH inside is queued, and too late.
    assert_eq!(stage.all(&["WATCH k", "SET k v", "MULTI", "UNWATCH", "EXEC"]), TOUCHED);
    assert_eq!(stage.all(&["WATCH k", "MULTI", "UNWATCH", "EXEC"]), UNTOUCHED);
}

#[test]
fn a_watched_key_that_expires_is_touched_unless_it_had_expired_before() {
    let mut stage = Stage::new();
    stage.all(&["SET k v EX 10", "WATCH k"]);
    stage.clock.advance(Duration::from_secs(11));
    assert_eq!(stage.all(&["MULTI", "SET a 1", "EXEC"]), TOUCHED);
    stage.ann("SET k v EX 10");
    stage.clock.advance(Duration::from_secs(11));
    assert_eq!(stage.all(&["WATCH k", "MULTI", "SET a 1", "EXEC"]), UNTOUCHED);
}

#[test]
fn watches_are_of_the_database_where_they_began() {
    let mut stage = Stage::new();
    stage.all(&["SELECT 1", "WATCH k", "SELECT 0"]);
    stage.bob("SET k v");
    assert_eq!(stage.all(&["MULTI", "SET k w", "EXEC"]), UNTOUCHED);
    stage.all(&["SELECT 1", "WATCH k k", "WATCH k", "SELECT 0", "WATCH k"]);
    stage.bob("SELECT 1");
    stage.bob("SET k v");
    assert_eq!(stage.all(&["MULTI", "SET k w", "EXEC"]), TOUCHED);
}

#[test]
fn a_database_and_a_protocol_chosen_inside_stay() {
    let mut stage = Stage::new();
    let replies = stage.all(&["MULTI", "SET k 0", "SELECT 3", "SET k 3", "HELLO 3", "HGETALL h", "EXEC"]);
    assert!(replies.starts_with("*5 +OK +OK +OK %7 ") && replies.ends_with(" %0"), "{replies}");
    assert_eq!((stage.ann.database(), stage.ann.resp3()), (3, true));
    assert_eq!(stage.ann("GET k"), "$1 3");
    assert_eq!(stage.bob("GET k"), "$1 0");
    stage.all(&["WATCH k", "SET k 4", "MULTI"]);
    assert_eq!(stage.ann("EXEC"), "_");
}

#[test]
fn nothing_waits_inside() {
    let mut stage = Stage::new();
    let lines = ["BLPOP a 0", "BLMOVE a b LEFT LEFT 0", "BRPOPLPUSH a b 0", "BLMPOP 0 1 a LEFT"];
    stage.ann("MULTI");
    lines.iter().for_each(|line| assert_eq!(stage.ann(line), "+QUEUED"));
    let more = ["BZPOPMIN z 0", "XREAD BLOCK 0 STREAMS s $", "RPUSH a 1", "BLPOP a 0", "EXEC"];
    assert_eq!(stage.all(&more), "*8 *-1 $-1 $-1 *-1 *-1 *-1 :1 *2 $1 a $1 1");
}

#[test]
fn who_waits_is_served_after_the_whole() {
    let mut stage = Stage::new();
    let mut out = Vec::new();
    let words = [&b"BLPOP"[..], b"k", b"0"];
    let outcome = execute(&stage.engine, &mut stage.bob, &words, &mut RespSink::new(&mut out));
    let Outcome::Blocked(mut blocked) = outcome else { panic!("there is nothing") };
    let replies = stage.all(&["MULTI", "RPUSH k a b", "LLEN k", "LPOP k", "RPUSH k c", "EXEC"]);
    assert_eq!(replies, "*4 :2 :2 $1 a :2");
    assert!(blocked.poll_reply(&mut RespSink::new(&mut out)));
    assert_eq!(out, b"*2\r\n$1\r\nk\r\n$1\r\nb\r\n");
    assert_eq!(stage.ann("LRANGE k 0 -1"), "*1 $1 c");
}

#[test]
fn what_looks_at_the_whole_engine_runs_inside() {
    let mut stage = Stage::new();
    let digest = stage.all(&["MSET a 1 b 2", "DEBUG DIGEST"]);
    let lines = [
        "CONFIG SET maxmemory 100mb",
        "CONFIG SET maxmemory-policy allkeys-lru",
        "CONFIG SET hash-max-listpack-entries 4",
    ];
    stage.ann("MULTI");
    let more = [
        "CONFIG GET nosuch",
        "CONFIG GET maxmemory",
        "DEBUG DIGEST",
        "DEBUG OBJECT a",
        "MEMORY USAGE a",
        "SCAN 0 COUNT 9",
    ];
    lines.iter().chain(&more).for_each(|line| assert_eq!(stage.ann(line), "+QUEUED", "{line}"));
    let replies = stage.ann("EXEC");
    let start = format!("*9 +OK +OK +OK *0 *2 $9 maxmemory $9 104857600 {digest} +Value ");
    assert!(replies.starts_with(&start) && !replies.contains('-'), "{replies}");
    // Less than there is: keys go.
    stage.ann(&format!("SET big {}", "x".repeat(200_000)));
    let replies =
        stage.all(&["MULTI", "CONFIG SET maxmemory 100kb", "SET c 3", "EXISTS big", "GET c", "EXEC"]);
    assert_eq!(replies, "*4 +OK +OK :0 $1 3");
}

#[test]
fn client_info_tells_of_transactions() {
    let mut stage = Stage::new();
    let flags =
        |text: String| text.split("flags=").nth(1).and_then(|rest| rest.split(' ').next().map(str::to_owned));
    assert_eq!(flags(stage.ann("CLIENT INFO")).as_deref(), Some("N"));
    assert_eq!(flags(stage.all(&["MULTI", "CLIENT INFO", "EXEC"])).as_deref(), Some("x"));
    assert_eq!(flags(stage.ann("CLIENT INFO")).as_deref(), Some("N"));
}

#[test]
fn what_no_transaction_may_have_is_refused() {
    let mut stage = Stage::new();
    let ping = table::lookup(b"PING").expect("a row");
    let spec = Box::leak(Box::new(CommandSpec { flags: Flags::NO_MULTI, ..*ping.spec }));
    let found = Found { spec, ..ping };
    assert!(check_allowed(&stage.ann, &found).is_ok());
    stage.ann("MULTI");
    let error = check_allowed(&stage.ann, &found).expect_err("it may not");
    assert_eq!(error.to_string(), "ERR Command not allowed inside a transaction");
}

/// Threads that count together, each over a watch, lose nothing; and nobody sees half of a transfer.
#[test]
fn threads_that_watch_and_transfer_agree() {
    const THREADS: u64 = 4;
    const ROUNDS: usize = 200;
    let engine = &Engine::builder().shards(16).build().expect("valid");
    let run = |session: &mut Session, lines: &[&str]| -> String {
        lines.iter().map(|line| say(engine, session, line)).last().expect("a line")
    };
    run(&mut Session::new(), &["MSET n 0 a 100 b 100"]);
    std::thread::scope(|scope| {
        for id in 0..THREADS {
            scope.spawn(move || {
                let session = &mut Session::with_id(id);
                for _ in 0..ROUNDS {
                    loop {
                        let seen = run(session, &["WATCH n", "GET n"]);
                        let seen: u64 =
                            seen.rsplit(' ').next().and_then(|text| text.parse().ok()).expect("a number");
                        let set = format!("SET n {}", seen + 1);
                        if run(session, &["MULTI", &set, "EXEC"]) == UNTOUCHED {
                            break;
                        }
                    }
                    run(session, &["MULTI", "DECR a", "INCR b", "EXEC"]);
                    let seen = run(session, &["MULTI", "INCRBY a 0", "INCRBY b 0", "EXEC"]);
                    let sum: i64 = seen
                        .split(':')
                        .skip(1)
                        .map(|part| part.trim().parse::<i64>().expect("a number"))
                        .sum();
                    assert_eq!(sum, 200, "{seen}");
                }
            });
        }
    });
    assert_eq!(run(&mut Session::new(), &["GET n"]), "$3 800");
}

#[test]
fn messages_go_out_after_exec() {
    let mut stage = Stage::new();
    stage.bob("SUBSCRIBE c");
    assert_eq!(stage.all(&["MULTI", "PUBLISH c 1", "SET k v"]), "+QUEUED");
    let mut out = Vec::new();
    assert_eq!(stage.bob.poll_pushes(&mut RespSink::new(&mut out)), 0);
    assert_eq!(stage.ann("EXEC"), "*2 :1 +OK");
    assert_eq!(stage.bob.poll_pushes(&mut RespSink::new(&mut out)), 1);
    let text = "-ERR Can't execute 'multi': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
                context";
    assert_eq!(stage.bob("MULTI"), text);
    let text = text.replace("-ERR", "-EXECABORT Transaction discarded because of:").replace("multi", "exec");
    assert_eq!(stage.bob("EXEC"), text);
    assert_eq!(stage.all(&["MULTI", "SUBSCRIBE d", "EXEC"]), "*1 *3 $9 subscribe $1 d :1");
    stage.ann("RESET");
    let refused = "*1 -ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client";
    assert_eq!(stage.all(&["MULTI", "SSUBSCRIBE s", "EXEC"]), refused);
}

#[test]
fn the_words_and_the_row_tell_what_a_line_can_reach() {
    let reached = |line: &str| {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let found = table::resolve(Args::new(&words)).expect("a command");
        let queued = Queued { found, words: words.iter().map(|&word| word.into()).collect() };
        let keys =
            reach(&[Line::new(&queued)])?.iter().map(|key| String::from_utf8_lossy(key).into()).collect();
        Some::<Vec<String>>(keys)
    };
    for (line, keys) in [
        ("GET k", "k"),
        ("MSET a 1 b 2", "a b"),
        ("ZUNIONSTORE d 2 a b", "d a b"),
        ("XREAD BLOCK 0 STREAMS s t 0 0", "s t"),
        ("GEORADIUS g 1 2 3 m STORE d", "g d"),
        ("MEMORY USAGE k", "k"),
        ("OBJECT FREQ k", "k"),
        ("COPY a b DB 3", "a b"),
        ("PING", ""),
        ("TIME", ""),
        ("HELLO 3", ""),
        ("SELECT 3", ""),
        ("SPUBLISH c m", ""),
        ("COMMAND COUNT", ""),
        ("UNWATCH", ""),
    ] {
        let keys: Vec<&str> = keys.split(' ').filter(|key| !key.is_empty()).collect();
        assert_eq!(reached(line).expect(line), keys, "{line}");
    }
    let everything = [
        "DBSIZE",
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "RANDOMKEY",
        "SCAN 0",
        "SWAPDB 0 1",
        "CONFIG GET *",
        "DEBUG DIGEST",
        "SORT k BY w_*",
        "SORT_RO k GET v_*",
        "ZUNION x a",
    ];
    everything.iter().for_each(|line| assert_eq!(reached(line), None, "{line}"));
}
