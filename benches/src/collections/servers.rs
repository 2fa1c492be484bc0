//! redis-server and valkey-server: the same collection behind a Unix socket, asked in pipelines of 100 commands. What a
//! figure holds is the server's work, and the socket's and the client's share of it: what a user pays who has a server.

use super::{Contestant, Kind, Operation, chosen, element, score, timed_fill};
use larder_testkit::resp::Reply;
use larder_testkit::servers::{Connection, Server};
use std::cell::RefCell;
use std::rc::Rc;

type Command = Vec<Vec<u8>>;

const PIPELINE: u32 = 100;
const FILL_PIPELINE: u64 = 1_000;

/// A server with its connection; the server stops when the last operation is dropped.
struct Remote {
    connection: Connection,
    _server: Rc<Server>,
}

/// Fills a collection in a server and tells what can be asked of it.
pub fn contestant(server: &Rc<Server>, kind: Kind, len: u64) -> Contestant {
    let mut connection = server.connect();
    connection.ask(&["FLUSHALL"]);
    let mut batch = Vec::new();
    let fill_ns = timed_fill(len, |i| {
        batch.push(filling(kind, i));
        if batch.len() as u64 == FILL_PIPELINE || i + 1 == len {
            connection.pipeline(&batch);
            batch.clear();
        }
    });
    let usage = connection.ask(&["MEMORY", "USAGE", "k", "SAMPLES", "0"]);
    #[expect(clippy::cast_precision_loss, reason = "a number of bytes")]
    let bytes = match usage {
        Reply::Integer(bytes) => bytes as f64 / len as f64,
        _ => f64::NAN,
    };
    let remote = Rc::new(RefCell::new(Remote { connection, _server: Rc::clone(server) }));
    let operations = commands(kind)
        .into_iter()
        .map(|(name, command)| (name, piped(Rc::clone(&remote), command, len)))
        .collect();
    Contestant { name: format!("{}, pipelined", server.kind()), fill_ns, bytes, operations, share: 10 }
}

fn piped(remote: Rc<RefCell<Remote>>, command: Commands, len: u64) -> Operation {
    Box::new(move |first, count| {
        let mut at = first;
        let end = first + u64::from(count);
        while at < end {
            let upto = end.min(at + u64::from(PIPELINE));
            let batch: Vec<Command> = (at..upto).flat_map(|i| command(i, len)).collect();
            remote.borrow_mut().connection.pipeline(&batch);
            at = upto;
        }
    })
}

fn words(words: &[&[u8]]) -> Command {
    words.iter().map(|word| word.to_vec()).collect()
}

fn filling(kind: Kind, i: u64) -> Command {
    let one = element(i);
    match kind {
        Kind::List => words(&[b"RPUSH", b"k", &one]),
        Kind::Set => words(&[b"SADD", b"k", &one]),
        Kind::Hash => words(&[b"HSET", b"k", &one, &element(!i)]),
        Kind::SortedSet => words(&[b"ZADD", b"k", score(i).to_string().as_bytes(), &one]),
        Kind::Stream => words(&[b"XADD", b"k", b"*", b"f", &one]),
    }
}

type Commands = fn(u64, u64) -> Vec<Command>;

fn commands(kind: Kind) -> Vec<(&'static str, Commands)> {
    fn number(i: u64) -> Vec<u8> {
        i.to_string().into_bytes()
    }
    match kind {
        Kind::List => vec![
            ("push + pop", |i, _| vec![words(&[b"RPUSH", b"k", &element(i)]), words(&[b"LPOP", b"k"])]),
            ("index", |i, len| vec![words(&[b"LINDEX", b"k", &number(chosen(i, len))])]),
            ("range of 100", |i, len| {
                let start = chosen(i, len);
                vec![words(&[b"LRANGE", b"k", &number(start), &number(start + 99)])]
            }),
        ],
        Kind::Set => vec![
            ("contains", |i, len| vec![words(&[b"SISMEMBER", b"k", &element(chosen(i, len))])]),
            ("add + remove", |i, len| {
                let one = element(len + i);
                vec![words(&[b"SADD", b"k", &one]), words(&[b"SREM", b"k", &one])]
            }),
            ("random", |_, _| vec![words(&[b"SRANDMEMBER", b"k"])]),
        ],
        Kind::Hash => vec![
            ("get", |i, len| vec![words(&[b"HGET", b"k", &element(chosen(i, len))])]),
            ("set", |i, len| vec![words(&[b"HSET", b"k", &element(chosen(i, len)), &element(i)])]),
            ("add + remove", |i, len| {
                let one = element(len + i);
                vec![words(&[b"HSET", b"k", &one, &element(i)]), words(&[b"HDEL", b"k", &one])]
            }),
        ],
        Kind::SortedSet => vec![
            ("score", |i, len| vec![words(&[b"ZSCORE", b"k", &element(chosen(i, len))])]),
            ("rank", |i, len| vec![words(&[b"ZRANK", b"k", &element(chosen(i, len))])]),
            ("move", |i, len| {
                let score = score(i).to_string();
                vec![words(&[b"ZADD", b"k", score.as_bytes(), &element(chosen(i, len))])]
            }),
            ("add + remove", |i, len| {
                let (one, score) = (element(len + i), score(i).to_string());
                vec![words(&[b"ZADD", b"k", score.as_bytes(), &one]), words(&[b"ZREM", b"k", &one])]
            }),
            ("range of 100", |i, len| {
                let start = chosen(i, len);
                vec![words(&[b"ZRANGE", b"k", &number(start), &number(start + 99), b"WITHSCORES"])]
            }),
        ],
        Kind::Stream => vec![
            ("add", |i, _| vec![words(&[b"XADD", b"k", b"*", b"f", &element(i)])]),
            ("length", |_, _| vec![words(&[b"XLEN", b"k"])]),
        ],
    }
}
