//! Sessions that block, beside connections to a real server that do the same: who gets what, and when.
#![cfg(unix)]

mod stage;

use larder_testkit::servers::{Kind, Server};

use crate::stage::{Random, Stage};

/// Scripts by name: a session's number and its line, or how many milliseconds pass.
const SCRIPTS: &[(&str, &str)] = &[
    ("in the order of coming", "1 BLPOP k 0|2 BRPOP k 0|3 BLPOP k 0|0 RPUSH k a b c d|0 LRANGE k 0 -1"),
    ("several keys", "1 BLPOP a b c 0|2 BLPOP c a 0|0 RPUSH c 1|0 RPUSH a 2|0 RPUSH b 3|0 LLEN b"),
    ("a string among the keys", "1 BLPOP a b 0|0 SET a x|0 RPUSH b 1|1 BLPOP a b 0|1 BLPOP none a 0"),
    (
        "types that change",
        "1 BZPOPMIN k 0|2 BLPOP k 0|3 XREAD BLOCK 0 STREAMS k $|0 SADD k m|0 DEL k|0 RPUSH k 1|\
      0 ZADD k 2.5 m|0 XADD k 1-1 f v|0 EXISTS k",
    ),
    (
        "chains of moves",
        "1 BLMOVE a b LEFT RIGHT 0|2 BRPOPLPUSH b c 0|3 BLPOP c 0|0 RPUSH a 1 2|0 LRANGE a 0 -1|0 LLEN b",
    ),
    ("a list moved into itself", "1 BLMOVE a a LEFT RIGHT 0|2 BLPOP a 0|0 RPUSH a 1 2|0 LRANGE a 0 -1"),
    (
        "a target of another type",
        "0 SET t x|1 BLMOVE k t LEFT LEFT 0|2 BLPOP k 0|0 RPUSH k 1|3 BLMOVE k t LEFT LEFT 0|\
      0 LPUSH k 2|0 LLEN k",
    ),
    (
        "counts",
        "1 BLMPOP 0 2 a b LEFT COUNT 2|2 BZMPOP 0 2 a b MAX COUNT 5|0 RPUSH a 1 2 3|0 DEL a|0 ZADD a 1 x 2 y|\
      1 BLMPOP 0 1 a RIGHT|0 DEL a|0 RPUSH a 7|1 BZMPOP 0 1 z MIN|0 ZADD z 1.5 m 2 n",
    ),
    (
        "both protocols",
        "1 HELLO 3|2 HELLO 3|1 BZPOPMAX z 0|0 ZADD z 1.5 m|1 BZMPOP 0 1 z MIN|0 ZADD z 1 a|\
      1 XREAD BLOCK 0 STREAMS s t $ $|2 BLMOVE a b LEFT LEFT 0.01|0 XADD t 5-5 f v|60|1 BLPOP k 0.01|60",
    ),
    (
        "times",
        "1 BLPOP k 0.02|2 BZPOPMIN k 0.02|3 XREAD BLOCK 20 STREAMS s 0|4 BLMOVE a b LEFT LEFT 0.01|100|\
      1 BLMPOP 0.01 1 k LEFT|2 BZMPOP 0.01 1 k MIN|3 BRPOPLPUSH a b 0.001|60|0 RPUSH k 1|0 LLEN k",
    ),
    (
        "refused at once",
        "1 BLPOP k -1|1 BLPOP k x|1 BLPOP k nan|1 BLPOP k inf|1 BLPOP k 1e20|1 BLPOP k 9223372036854776|\
      1 BLMPOP x 0 k LEFT|1 BLMPOP 0 1 k UP|1 BLMPOP 0 1 k LEFT COUNT 0|1 BLMPOP -1 1 k LEFT|1 BLMOVE a b LEFT UP x|\
      1 BLMOVE a b LEFT LEFT x|1 BZMPOP 0 1 k LEFT|1 BRPOPLPUSH a b|1 BLPOP k|\
      1 XREADGROUP GROUP g c BLOCK 0 STREAMS s >|0 SET s v|1 XREAD BLOCK 0 STREAMS s $|1 XREAD BLOCK 0 STREAMS s 0|\
      1 BZPOPMIN s 0|1 BLMOVE s b LEFT LEFT 0",
    ),
    (
        "readers of streams",
        "0 XADD s 1-1 f v|1 XREAD BLOCK 0 STREAMS s $|2 XREAD COUNT 1 BLOCK 0 STREAMS t s 0 5-0|\
      3 XREAD BLOCK 0 STREAMS s 0|0 XDEL s 1-1|0 XSETID s 3-0|0 XADD s 4-0 f v|0 XADD s 6-0 f v|0 XADD t 1-0 f v",
    ),
    (
        "readers of groups",
        "0 XGROUP CREATE s g $ MKSTREAM|0 XGROUP CREATE s h $|1 XREADGROUP GROUP g a BLOCK 0 STREAMS s >|\
      2 XREADGROUP GROUP g b BLOCK 0 STREAMS s >|3 XREADGROUP GROUP h c BLOCK 0 NOACK STREAMS s >|0 XADD s 1-1 f v|\
      0 XPENDING s g|0 XPENDING s h|0 XADD s 2-1 f v|0 XPENDING s g - + 10|1 XREADGROUP GROUP g a BLOCK 0 STREAMS s 0|\
      0 XINFO GROUPS s",
    ),
    (
        "groups that end",
        "0 XGROUP CREATE s g $ MKSTREAM|1 XREADGROUP GROUP g a BLOCK 0 STREAMS s >|0 XGROUP SETID s g 0|\
      0 XGROUP DESTROY s g|0 XGROUP CREATE s g $|1 XREADGROUP GROUP g a BLOCK 0 STREAMS s >|0 DEL s|\
      0 XGROUP CREATE s g $ MKSTREAM|1 XREADGROUP GROUP g a BLOCK 0 STREAMS s >|2 XREAD BLOCK 0 STREAMS s $|0 SET s x|\
      0 DEL s|0 XGROUP CREATE s g $ MKSTREAM|1 XREADGROUP GROUP g a BLOCK 0 STREAMS s >|0 RENAME s t|\
      1 XREADGROUP GROUP g a BLOCK 0 STREAMS t >|0 FLUSHALL|0 XADD s 1-1 f v",
    ),
    (
        "databases exchanged",
        "1 BLPOP k 0|2 SELECT 1|2 BLPOP k 0|3 SELECT 2|3 RPUSH k x|0 SWAPDB 0 2|3 RPUSH k y|0 SWAPDB 1 2|\
      0 SELECT 5|0 XGROUP CREATE s g $ MKSTREAM|1 SELECT 5|1 XREADGROUP GROUP g a BLOCK 0 STREAMS s >|0 SWAPDB 5 6",
    ),
    (
        "other ways to come into being",
        "1 BLPOP k 0|0 RPUSH l 1|0 RENAME l k|1 BLPOP k 0|0 RPUSH l 2|0 COPY l k|\
      1 BLPOP k 0|0 LMOVE l k LEFT LEFT|1 BLPOP k 0|0 RPUSH n 3 1 2|0 SORT n STORE k|0 LRANGE k 0 -1|0 DEL k|\
      1 BLPOP k 0|0 SELECT 3|0 RPUSH k 9|0 MOVE k 0|2 BZPOPMIN z 0|0 SELECT 0|0 ZADD y 1 a 2 b|0 ZUNIONSTORE z 1 y|\
      2 BZPOPMIN w 0|0 ZINCRBY w 4 m|2 BZPOPMAX g 0|0 GEOADD g 13 38 p",
    ),
];

#[test]
fn scripts_are_played_as_redis_plays_them() {
    let Some(server) = Server::start(Kind::Redis) else { return };
    for (name, script) in SCRIPTS {
        Stage::new(&server, 5, name).play(script);
    }
}

const WAITING: &[&str] = &[
    "BLPOP # 0",
    "BLPOP # # 0",
    "BRPOP # # 0",
    "BLMOVE # # LEFT RIGHT 0",
    "BRPOPLPUSH # # 0",
    "BLMPOP 0 2 # # LEFT COUNT 2",
    "BZPOPMIN # # 0",
    "BZPOPMAX # 0",
    "BZMPOP 0 2 # # MIN COUNT 2",
    "XREAD BLOCK 0 STREAMS # $",
    "XREAD COUNT 1 BLOCK 0 STREAMS # # $ 0",
    "XREADGROUP GROUP g c@ BLOCK 0 STREAMS # >",
    "XREADGROUP GROUP g c@ COUNT 1 BLOCK 0 NOACK STREAMS # >",
];
const PLAIN: &[&str] = &[
    "RPUSH # @",
    "LPUSH # @ b",
    "RPUSH # @ b c",
    "ZADD # 1 @",
    "ZADD # 2 x 1 @",
    "XADD # @-1 f v",
    "XADD # @-1 f v",
    "DEL #",
    "DEL #",
    "SET # v",
    "RENAME # #",
    "COPY # #",
    "COPY # # REPLACE",
    "LMOVE # # LEFT LEFT",
    "LPOP #",
    "ZPOPMIN #",
    "XGROUP CREATE # g $",
    "XGROUP CREATE # g 0 MKSTREAM",
    "XGROUP CREATE # g $ MKSTREAM",
    "XGROUP DESTROY # g",
    "XREADGROUP GROUP g z STREAMS # >",
    "XDEL # @-1",
    "XTRIM # MAXLEN 0",
    "EXPIRE # -1",
    "FLUSHALL",
    "SADD # m",
    "XLEN #",
    "LRANGE # 0 -1",
    "ZRANGE # 0 -1 WITHSCORES",
    "TYPE #",
    "XINFO GROUPS #",
    "XSETID # 99999-0",
];

/// Lines at random, for sessions of which some wait; session 0 never does.
#[test]
fn random_scripts_are_played_as_redis_plays_them() {
    let Some(server) = Server::start(Kind::Redis) else { return };
    for seed in 0..150 {
        let (mut random, mut stage) = (Random(seed), Stage::new(&server, 5, &format!("seed {seed}")));
        for count in 0..120 {
            let at = random.below(5);
            let at = if stage.is_blocked(at) { 0 } else { at };
            let waits = at != 0 && random.below(2) == 0;
            let form = random.pick(if waits { WAITING } else { PLAIN });
            let line = random.fill(form, &["a", "b", "c"], count + 1);
            stage.step(at, &line);
        }
    }
}
