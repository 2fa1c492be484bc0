//! MULTI and EXEC in several sessions, beside connections to a real server that do the same: transactions, watches, callers who
//! wait, and subscribers.
#![cfg(unix)]

mod stage;

use larder_testkit::resp::Reply;
use larder_testkit::servers::{Kind, Server};

use crate::stage::{Random, Stage};

/// Scripts by name: a session's number and its line, or how many milliseconds pass.
const SCRIPTS: &[(&str, &str)] = &[
    ("a queue", "0 MULTI|0 SET k 1|1 GET k|0 INCR k|0 GET k|1 SET k 9|0 EXEC|1 GET k|0 MULTI|0 EXEC|0 EXEC"),
    (
        "errors at execution",
        "0 MULTI|0 SET k v|0 LPUSH k 1|0 INCR k|0 GETEX k EX 0|0 EXPIRE k x|0 ZADD z x m|0 OBJECT ENCODING k|0 SET k w NX XX|\
         0 BLPOP k x|0 SELECT 99|0 SELECT x|0 XREAD COUNT|0 SORT k BY|0 COPY k k|0 RENAME none k|0 EXEC|0 GET k",
    ),
    (
        "errors at queueing",
        "0 MULTI|0 NOSUCH a b|0 SET k v|0 EXEC|0 EXISTS k|0 MULTI|0 GET|0 EXEC|0 MULTI|0 OBJECT NOSUCH k|0 EXEC|\
         0 MULTI|0 UNWATCH x|0 PING|0 EXEC|0 MULTI|0 DISCARD x|0 EXEC|0 MULTI|0 SET k v|0 NOSUCH|0 DISCARD|0 EXISTS k|\
         0 MULTI|0 CLIENT|0 CLIENT NOSUCH|0 CONFIG GET|0 EXEC",
    ),
    ("without MULTI", "0 EXEC|0 DISCARD|0 UNWATCH|0 EXEC x|0 DISCARD x|0 MULTI x|0 WATCH|0 UNWATCH x"),
    (
        "EXEC refused",
        "0 WATCH k|0 EXEC x|1 SET k v|0 MULTI|0 GET k|0 EXEC|0 MULTI|0 SET k w|0 EXEC x y|0 EXEC|0 GET k|0 WATCH k|\
         0 MULTI|1 SET k v|0 EXEC x|0 MULTI|0 GET k|0 EXEC",
    ),
    (
        "discarded",
        "0 WATCH k|0 MULTI|0 SET k v|0 DISCARD|1 SET k x|0 MULTI|0 GET k|0 EXEC|0 WATCH k|1 SET k y|0 MULTI|0 DISCARD|\
         0 MULTI|0 GET k|0 EXEC|0 WATCH k|0 MULTI|0 SET k v|0 RESET|0 EXEC|1 SET k z|0 MULTI|0 SET k 0|0 EXEC",
    ),
    (
        "touched",
        "0 SET k v|0 SET l v|0 WATCH k l m|1 SET l v|0 MULTI|0 SET k 1|0 EXEC|0 GET k|0 WATCH k|1 EXPIRE k 100|0 MULTI|\
         0 PING|0 EXEC|0 WATCH k|1 PERSIST k|0 MULTI|0 PING|0 EXEC|0 WATCH k|1 PERSIST k|0 MULTI|0 PING|0 EXEC|\
         0 WATCH none|1 DEL none|0 MULTI|0 PING|0 EXEC|0 WATCH none|1 SET none v|1 DEL none|0 MULTI|0 PING|0 EXEC|\
         0 WATCH k|1 GET k|1 TYPE k|1 TOUCH k|0 MULTI|0 PING|0 EXEC|0 WATCH k|1 RENAME k kk|0 MULTI|0 PING|0 EXEC|\
         0 WATCH k|1 RENAME kk k|0 MULTI|0 PING|0 EXEC|0 WATCH k|1 COPY l k REPLACE|0 MULTI|0 PING|0 EXEC|\
         0 WATCH k|1 MOVE k 3|0 MULTI|0 PING|0 EXEC",
    ),
    (
        "touched without change",
        "0 RPUSH l 1|0 SADD s m|0 ZADD z 1 m|0 HSET h f v|0 SET t v|0 WATCH l s z h t|1 LREM l 0 x|1 SREM s x|1 ZREM z x|\
         1 HDEL h x|1 ZADD z NX 2 m|1 SADD s m|1 LTRIM none 0 1|1 SETNX t x|1 ZADD z 1 m|0 MULTI|0 PING|0 EXEC|\
         0 WATCH h|1 HSET h f v|0 MULTI|0 PING|0 EXEC|0 WATCH t|1 APPEND t x|0 MULTI|0 PING|0 EXEC|0 WATCH l|\
         1 LSET l 0 1|0 MULTI|0 PING|0 EXEC|0 WATCH t|1 SETRANGE t 0 v|0 MULTI|0 PING|0 EXEC|0 WATCH l|1 LMOVE l l LEFT LEFT|\
         0 MULTI|0 PING|0 EXEC|0 WATCH t|1 GETDEL t|0 MULTI|0 PING|0 EXEC|0 WATCH t|1 EXPIRE t 5|0 MULTI|0 PING|0 EXEC|\
         0 WATCH l|1 SORT l STORE l|0 MULTI|0 PING|0 EXEC|0 WATCH z|1 ZUNIONSTORE z 1 none|0 MULTI|0 PING|0 EXEC|\
         0 WATCH hl|1 PFADD hl a|0 MULTI|0 PING|0 EXEC|0 WATCH hl|1 PFADD hl a|0 MULTI|0 PING|0 EXEC|\
         0 WATCH hl|1 PFCOUNT hl|0 MULTI|0 PING|0 EXEC|0 WATCH b|1 SETBIT b 7 1|0 MULTI|0 PING|0 EXEC",
    ),
    (
        "everything gone or exchanged",
        "0 SET k v|0 WATCH k|1 FLUSHALL|0 MULTI|0 PING|0 EXEC|0 WATCH k|1 FLUSHALL|0 MULTI|0 PING|0 EXEC|0 SET k v|\
         0 WATCH k|1 FLUSHDB|0 MULTI|0 PING|0 EXEC|0 SET k v|0 WATCH k|1 SELECT 1|1 FLUSHDB|0 MULTI|0 PING|0 EXEC|\
         0 WATCH k|1 SWAPDB 0 1|0 MULTI|0 GET k|0 EXEC|0 WATCH k|1 SWAPDB 0 1|0 MULTI|0 GET k|0 EXEC|0 WATCH none|\
         1 SWAPDB 0 1|0 MULTI|0 PING|0 EXEC|0 WATCH none|1 SET none v|0 MULTI|0 PING|0 EXEC|0 SELECT 2|0 WATCH none|\
         1 SWAPDB 1 2|0 MULTI|0 GET none|0 EXEC",
    ),
    (
        "keys that expire",
        "0 SET k v PX 30|0 WATCH k|80|0 MULTI|0 PING|0 EXEC|0 SET k v PX 30|80|0 WATCH k|0 MULTI|0 PING|0 EXEC|\
         0 WATCH k|0 SET l v PX 30|80|0 MULTI|0 GET l|0 EXEC|0 SET k v PX 30|0 WATCH k|80|1 GET k|0 MULTI|0 PING|0 EXEC|\
         0 MULTI|0 SET k v|0 EXPIRE k -1|0 GET k|0 SET k v PX 1|0 EXEC|30|0 EXISTS k",
    ),
    (
        "one's own touch",
        "0 WATCH k|0 SET k v|0 MULTI|0 PING|0 EXEC|0 WATCH k|0 SET k v|0 UNWATCH|0 MULTI|0 PING|0 EXEC|0 WATCH k|0 MULTI|\
         0 SET k w|0 EXEC|0 WATCH k|0 SET k v|0 MULTI|0 UNWATCH|0 EXEC|0 WATCH k|0 MULTI|0 UNWATCH|1 SET k x|0 EXEC|\
         0 WATCH k|0 SET k v|0 WATCH k|0 MULTI|0 PING|0 EXEC",
    ),
    (
        "databases",
        "0 MULTI|0 SET k 0|0 SELECT 3|0 SET k 3|0 EXEC|0 GET k|1 GET k|0 WATCH k|0 SELECT 0|1 SET k v|0 MULTI|0 PING|0 EXEC|\
         0 SELECT 3|0 WATCH k|0 SELECT 0|1 SELECT 3|1 SET k v|0 MULTI|0 PING|0 EXEC|0 MULTI|0 SELECT 5|0 DISCARD|0 DBSIZE|\
         0 MULTI|0 SELECT 4|0 SET a 4|0 MOVE a 5|0 SWAPDB 4 5|0 GET a|0 DBSIZE|0 COPY a b DB 6|0 SELECT 6|0 KEYS *|0 EXEC|\
         0 FLUSHALL|0 DBSIZE",
    ),
    (
        "the whole engine",
        "0 MULTI|0 MSET a 1 b 2 c 3|0 DBSIZE|0 FLUSHDB|0 DBSIZE|0 RANDOMKEY|0 SET k v|0 KEYS *|0 SCAN 0|0 RANDOMKEY|0 FLUSHALL|\
         0 EXISTS k|0 SET k v|0 EXEC|0 GET k|0 MULTI|0 RPUSH l b a|0 MSET w_a 2 w_b 1|0 SORT l BY w_* GET # GET w_*|\
         0 SORT l ALPHA STORE d|0 LRANGE d 0 -1|0 EXEC",
    ),
    (
        "nothing waits inside",
        "0 MULTI|0 BLPOP a 0|0 BRPOP a b 0|0 BLMOVE a b LEFT LEFT 0|0 BRPOPLPUSH a b 0|0 BLMPOP 0 1 a LEFT|0 BZPOPMIN z 0|\
         0 BZPOPMAX z 0|0 BZMPOP 0 1 z MIN|0 XREAD BLOCK 0 STREAMS s $|0 XREAD BLOCK 0 STREAMS s 0|0 XGROUP CREATE s g $ MKSTREAM|\
         0 XREADGROUP GROUP g c BLOCK 0 STREAMS s >|0 RPUSH a 1 2 3|0 BLPOP b a 0|0 BLMOVE a b LEFT LEFT 0|0 BLMPOP 0 2 z a RIGHT|\
         0 ZADD z 1 m|0 BZPOPMIN z 0|0 XADD s 1-1 f v|0 XREADGROUP GROUP g c BLOCK 0 STREAMS s >|0 EXEC|0 LRANGE b 0 -1",
    ),
    (
        "who waits is served after the whole",
        "1 BLPOP k 0|2 BLPOP k 0|0 MULTI|0 RPUSH k a|0 LLEN k|0 LPUSH k b|0 LRANGE k 0 -1|0 RPUSH k c|0 EXEC|0 LRANGE k 0 -1",
    ),
    (
        "who waits for what is gone again",
        "1 BLPOP k 0|0 MULTI|0 RPUSH k a|0 DEL k|0 EXEC|0 MULTI|0 RPUSH k a|0 LPOP k|0 EXEC|0 MULTI|0 RPUSH k a|0 DEL k|\
         0 SET k v|0 EXEC|0 MULTI|0 DEL k|0 RPUSH l x|0 RENAME l k|0 EXEC|1 BLPOP k 0|0 MULTI|0 RPUSH k 1 2|0 BLPOP k 0|0 EXEC",
    ),
    (
        "streams beside a transaction",
        "0 XGROUP CREATE s g $ MKSTREAM|1 XREAD BLOCK 0 STREAMS s $|2 XREADGROUP GROUP g a BLOCK 0 STREAMS s >|\
         3 XREAD BLOCK 0 STREAMS t 0|0 MULTI|0 XADD s 1-1 f v|0 XADD s 2-2 f v|0 XLEN s|0 XADD t 5-5 f v|0 EXEC|0 XPENDING s g",
    ),
    (
        "chains of moves after a transaction",
        "1 BLMOVE a b LEFT RIGHT 0|2 BRPOPLPUSH b c 0|3 BLPOP c 0|0 MULTI|0 RPUSH a 1|0 LLEN a|0 LLEN b|0 EXEC|0 LLEN a|0 LLEN c",
    ),
    (
        "watched and waited for",
        "0 WATCH k|1 BLPOP k 0|2 RPUSH k a|0 MULTI|0 PING|0 EXEC|0 WATCH k|2 RPUSH k a|0 MULTI|0 LLEN k|0 EXEC",
    ),
    (
        "publish inside",
        "1 SUBSCRIBE c|2 PSUBSCRIBE *|0 MULTI|0 PUBLISH c one|0 PUBLISH none two|0 PUBLISH d three|0 SPUBLISH c four|0 SET k v|\
         0 PUBSUB NUMSUB c|0 EXEC|0 MULTI|0 PUBLISH c five|0 DISCARD|0 WATCH k|0 SET k w|0 MULTI|0 PUBLISH c six|0 EXEC",
    ),
    (
        "subscribe inside",
        "0 MULTI|0 SUBSCRIBE a|0 PING|0 EXEC|0 PING|0 MULTI|0 EXEC|0 UNSUBSCRIBE|0 MULTI|0 SUBSCRIBE a b|0 UNSUBSCRIBE b|0 UNSUBSCRIBE|0 EXEC|\
         0 MULTI|0 PSUBSCRIBE *|0 EXEC|1 PUBLISH x y|0 RESET|0 MULTI|0 SSUBSCRIBE s|0 EXEC|1 SPUBLISH s m|0 SUNSUBSCRIBE",
    ),
];

/// It sends messages to oneself after the reply; Redis 7.0 puts them into it.
const SCRIPTS_OF_VALKEY: &[(&str, &str)] = &[(
    "messages to oneself",
    "0 MULTI|0 SUBSCRIBE c|0 PUBLISH c x|0 PING|0 EXEC|0 RESET|0 MULTI|0 PSUBSCRIBE c*|0 SUBSCRIBE cc|0 PUBLISH cc x|\
     0 PUBLISH c y|0 PUBLISH d z|0 EXEC|1 PUBLISH cc z",
)];

/// What Valkey answers otherwise.
const SCRIPTS_OF_REDIS: &[(&str, &str)] = &[
    (
        "several who wait for several keys",
        "1 BLPOP b a 0|2 BRPOP a b 0|3 BLMOVE c a LEFT LEFT 0|4 BZPOPMIN z 0|0 MULTI|0 RPUSH c x|0 RPUSH a 1|0 ZADD z 2 m|\
         0 RPUSH b 2|0 LLEN a|0 LLEN b|0 ZCARD z|0 EXEC|0 LRANGE a 0 -1|0 LRANGE b 0 -1|0 LRANGE c 0 -1",
    ),
    (
        "refusals that do not abort",
        "0 MULTI|0 MULTI|0 SET k v|0 EXEC|0 MULTI|0 WATCH k|0 SET k w|0 EXEC|0 GET k",
    ),
    (
        "RESP3",
        "0 HELLO 3|0 MULTI|0 HGETALL h|0 GET none|0 BLPOP a 0|0 BLMOVE a b LEFT LEFT 0|0 ZADD z 1.5 m|0 ZSCORE z m|0 NOSUCH|\
         0 DISCARD|0 MULTI|0 HGETALL h|0 GET none|0 BLPOP a 0|0 BLMOVE a b LEFT LEFT 0|0 ZADD z 1.5 m|0 ZSCORE z m|0 EXEC|\
         0 WATCH z|1 DEL z|0 MULTI|0 PING|0 EXEC|0 MULTI|0 HELLO 2|0 HGETALL h|0 HELLO 3|0 HGETALL h|0 EXEC|0 MULTI|\
         0 HELLO 2|0 DISCARD|0 HGETALL h|0 MULTI|0 HELLO 9|0 EXEC|1 MULTI|1 HELLO 3|1 GET none|1 EXEC|1 GET none|\
         0 SUBSCRIBE c|0 MULTI|0 PING|0 SUBSCRIBE d|0 UNSUBSCRIBE c|0 EXEC|1 PUBLISH d x|1 PUBLISH c x|0 MULTI|0 RESET|0 GET none",
    ),
];

/// Names of connections' and servers' own are left out of greetings.
fn greetings(_: &[&str], bytes: &[u8], _: Kind) -> Vec<Reply> {
    fn strip(reply: Reply) -> Reply {
        match reply {
            Reply::Map(pairs) => Reply::Map(
                pairs
                    .into_iter()
                    .filter(|(key, _)| !matches!(key.bytes(), Some(b"id" | b"version")))
                    .collect(),
            ),
            Reply::Array(items) => Reply::Array(items.into_iter().map(strip).collect()),
            other => other,
        }
    }
    let (mut rest, mut replies) = (bytes, Vec::new());
    while let Some((reply, length)) = Reply::read(rest).expect("RESP") {
        replies.push(strip(reply));
        rest = &rest[length..];
    }
    replies
}

#[test]
fn scripts_are_played_as_redis_plays_them() {
    let Some(server) = Server::start(Kind::Redis) else { return };
    for (name, script) in SCRIPTS {
        Stage::new(&server, 5, name).play(script);
    }
    for (name, script) in SCRIPTS_OF_REDIS {
        Stage::new(&server, 5, name).with_form(greetings).play(script);
    }
}

#[test]
fn scripts_are_played_as_valkey_plays_them() {
    let Some(server) = Server::start(Kind::Valkey) else { return };
    for (name, script) in SCRIPTS.iter().chain(SCRIPTS_OF_VALKEY) {
        Stage::new(&server, 5, name).play(script);
    }
}

const WAITING: &[&str] =
    &["BLPOP # # 0", "BRPOP # 0", "BLMOVE # # LEFT RIGHT 0", "BLMPOP 0 2 # # LEFT COUNT 2", "BZPOPMIN # # 0"];

const WAITING_FOR_ONE: &[&str] = &["BLPOP # 0", "BRPOP # 0", "BLMOVE # # LEFT RIGHT 0", "BZPOPMIN # 0"];

const PLAIN: &[&str] = &[
    "MULTI",
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH #",
    "WATCH # #",
    "UNWATCH",
    "RPUSH # @",
    "RPUSH # @ b c",
    "LPUSH # @",
    "LLEN #",
    "LPOP #",
    "LMOVE # # LEFT LEFT",
    "ZADD # @ m",
    "ZPOPMIN #",
    "SET # @",
    "INCR #",
    "APPEND # x",
    "DEL #",
    "DEL # #",
    "EXPIRE # 100",
    "EXPIRE # -1",
    "PERSIST #",
    "RENAME # #",
    "COPY # # REPLACE",
    "TYPE #",
    "EXISTS # # #",
    "DBSIZE",
    "GET #",
    "GET",
    "NOSUCH #",
    "PING",
    "PUBLISH # @",
];

const RARE: &[&str] = &[
    "RESET",
    "FLUSHALL",
    "FLUSHDB",
    "SWAPDB 0 1",
    "SELECT 1",
    "SELECT 0",
    "MOVE # 1",
    "UNWATCH x",
    "EXEC x",
    "SELECT 99",
];

/// Lines at random, for sessions of which some wait and some have open transactions.
#[test]
fn random_scripts_are_played_alike() {
    for kind in Kind::ALL {
        let Some(server) = Server::start(kind) else { continue };
        // Valkey looks at all keys again when it serves somebody, Redis 7.0 at the one that became ready.
        let waiting = if kind == Kind::Redis { WAITING } else { WAITING_FOR_ONE };
        for seed in 0..100 {
            let (mut random, mut stage) = (Random(seed), Stage::new(&server, 5, &format!("seed {seed}")));
            // One listens, and says nothing.
            stage.step(4, "SUBSCRIBE a b");
            let mut open = [false; 4];
            for count in 0..150 {
                let at = random.below(4);
                let at = if stage.is_blocked(at) { 0 } else { at };
                let form = match random.below(10) {
                    // Session 0 waits for nobody.
                    0 | 1 if at != 0 || open[0] => random.pick(waiting),
                    2 => random.pick(RARE),
                    _ => random.pick(PLAIN),
                };
                // Valkey lets these abort the transaction.
                if kind == Kind::Valkey && open[at] && (form == "MULTI" || form.starts_with("WATCH")) {
                    continue;
                }
                let line = random.fill(form, &["a", "b", "c"], count + 1);
                stage.step(at, &line);
                open[at] = match form {
                    "MULTI" => true,
                    "EXEC" | "DISCARD" | "RESET" | "EXEC x" => false,
                    _ => open[at],
                };
            }
        }
    }
}
