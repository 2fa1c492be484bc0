//! The table and the replies of the families beside the types, held against real servers.
//!
//! Lines run on both sides and the bytes of their replies are compared. What the other side does not have, or tells of
//! itself, is not among the lines.
#![cfg(unix)]

use std::collections::BTreeSet;

use larder_commands::syntax::{self, Argument, Kind};
use larder_commands::table::{self, Found};
use larder_commands::{RespSink, Session, execute};
use larder_testkit::resp::Reply;
use larder_testkit::servers::{self, Connection, Server};

/// This side: an engine behind the command language.
struct Ours {
    engine: larder::Engine,
    session: Session,
}

impl Ours {
    fn new() -> Self {
        Self { engine: larder::Engine::new(), session: Session::new() }
    }

    fn ask(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        let outcome = execute(&self.engine, &mut self.session, &words, &mut RespSink::new(&mut out));
        outcome.wait(&mut RespSink::new(&mut out));
        out
    }

    fn tree(&mut self, words: &[&str]) -> Reply {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        Reply::whole(&self.ask(&words)).expect("RESP")
    }
}

/// Words by spaces; `''` is an empty word, `\0` and `\n` are those bytes.
fn words(line: &str) -> Vec<Vec<u8>> {
    let word = |word: &str| match word {
        "''" => Vec::new(),
        word => word.replace("\\0", "\0").replace("\\n", "\n").replace("\\s", " ").into_bytes(),
    };
    line.split_whitespace().map(word).collect()
}

/// Runs the lines on both sides; tells where the replies differ.
fn compare(connection: &mut Connection, ours: &mut Ours, lines: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words = words(line);
        let theirs = connection.pipeline(std::slice::from_ref(&words)).remove(0);
        let ours = ours.ask(&words);
        if ours != theirs {
            faults.push(format!(
                "{line}\n    ours   {}\n    theirs {}",
                ours.escape_ascii(),
                theirs.escape_ascii()
            ));
        }
    }
    faults
}

fn same_replies(kind: servers::Kind, lines: &str) {
    let Some(server) = Server::start(kind) else { return };
    let mut connection = server.connect();
    let Reply::Integer(id) = connection.ask(&["CLIENT", "ID"]) else { panic!("a connection has a number") };
    // HELLO tells it.
    let session = Session::with_id(id.unsigned_abs());
    let faults = compare(&mut connection, &mut Ours { session, ..Ours::new() }, lines);
    assert!(faults.is_empty(), "{} lines differ from {kind}:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn strings_reply_as_redis_does() {
    same_replies(servers::Kind::Redis, include_str!("lines/strings.txt"));
}

#[test]
fn keys_reply_as_redis_does() {
    same_replies(servers::Kind::Redis, include_str!("lines/keys.txt"));
}

#[test]
fn the_connection_and_the_server_reply_as_redis_does() {
    same_replies(servers::Kind::Redis, include_str!("lines/server.txt"));
}

#[test]
fn newer_strings_reply_as_valkey_does() {
    same_replies(servers::Kind::Valkey, include_str!("lines/newer.txt"));
}

/// Maps and sets as arrays in order, without the notes that people read.
fn plain(reply: &Reply) -> Reply {
    match reply {
        Reply::Array(items) => {
            let notes = Reply::Bulk(b"notes".to_vec());
            let items: Vec<Reply> = match items.as_slice() {
                [first, _, rest @ ..] if *first == notes => rest.to_vec(),
                items => items.to_vec(),
            };
            Reply::Array(items.iter().map(plain).collect())
        }
        other => other.clone(),
    }
}

/// The row with its subcommands in order of their names.
fn row(reply: &Reply) -> (Vec<Reply>, Vec<Reply>) {
    let Reply::Array(fields) = plain(reply) else { return (Vec::new(), Vec::new()) };
    let Some((Reply::Array(subcommands), fields)) = fields.split_last() else { panic!("{fields:?}") };
    (fields.to_vec(), subcommands.clone())
}

/// Rows that go beyond the server's on purpose: an option that came later.
const NEWER: [&str; 2] = ["zrank", "zrevrank"];

#[test]
fn rows_are_those_of_redis() {
    let Some(server) = Server::start(servers::Kind::Redis) else { return };
    let (mut connection, mut ours) = (server.connect(), Ours::new());
    let mut faults = Vec::new();
    let mut compared = 0;
    for found in table::commands().flat_map(|found| found.subcommands().chain([found]).collect::<Vec<_>>()) {
        let line = ["COMMAND", "INFO", &found.full_name()];
        let Reply::Array(theirs) = connection.ask(&line) else { panic!("COMMAND INFO is an array") };
        let Reply::Array(mine) = ours.tree(&line) else { panic!("COMMAND INFO is an array") };
        // What is newer than the server.
        let (Some(theirs @ Reply::Array(_)), Some(mine)) = (theirs.first(), mine.first()) else { continue };
        compared += 1;
        let ((theirs, _), (mine, _)) = (row(theirs), row(mine));
        if NEWER.contains(&found.full_name().as_str()) {
            assert_ne!(mine, theirs, "{}: no longer an exception", found.full_name());
        } else if mine != theirs {
            let place =
                mine.iter().zip(&theirs).position(|(mine, theirs)| mine != theirs).unwrap_or(mine.len());
            faults.push(format!(
                "{}, field {place}:\n    ours   {:?}\n    theirs {:?}",
                found.full_name(),
                mine.get(place),
                theirs.get(place)
            ));
        }
    }
    assert!(compared > 150, "{compared} rows were compared");
    assert!(faults.is_empty(), "{} of {compared} rows differ:\n{}", faults.len(), faults.join("\n"));
}

/// The shortest line that a syntax allows, or a longer one with every optional part.
fn line_of(found: &Found, whole: bool) -> Vec<String> {
    fn put(line: &mut Vec<String>, argument: &Argument, whole: bool) {
        if argument.optional && !whole {
            return;
        }
        for _ in 0..1 + usize::from(whole && argument.multiple) {
            match &argument.kind {
                Kind::Literal(word) => line.push((*word).to_owned()),
                Kind::Value(word) => line.push(match *word {
                    "numkeys" => if whole { "2" } else { "1" }.to_owned(),
                    _ if argument.type_name() == "integer" => "1".to_owned(),
                    word => format!("{word}{}", line.len()),
                }),
                Kind::OneOf(parts) => parts.iter().take(1).for_each(|part| put(line, part, whole)),
                Kind::Block(parts) => parts.iter().for_each(|part| put(line, part, whole)),
            }
        }
    }
    let mut line: Vec<String> = found.parent.map(|parent| parent.name.to_owned()).into_iter().collect();
    line.push(found.spec.name.to_owned());
    syntax::parse(found.spec.syntax).iter().for_each(|argument| put(&mut line, argument, whole));
    line
}

#[test]
fn keys_of_lines_are_those_of_redis() {
    let Some(server) = Server::start(servers::Kind::Redis) else { return };
    let (mut connection, mut ours) = (server.connect(), Ours::new());
    let mut faults = Vec::new();
    let mut with_keys = BTreeSet::new();
    for found in table::commands().flat_map(|found| found.subcommands().chain([found]).collect::<Vec<_>>()) {
        let name = found.full_name();
        let known = connection.ask(&["COMMAND", "INFO", &name]);
        if known == Reply::Array(vec![Reply::NullBulk]) || !found.spec.subcommands.is_empty() {
            continue;
        }
        if NEWER.contains(&name.as_str()) {
            continue;
        }
        for (whole, subcommand) in [(false, "GETKEYS"), (true, "GETKEYS"), (true, "GETKEYSANDFLAGS")] {
            let mut line = vec!["COMMAND".to_owned(), subcommand.to_owned()];
            line.extend(line_of(&found, whole));
            let words: Vec<Vec<u8>> = line.iter().map(|word| word.clone().into_bytes()).collect();
            let theirs = connection.pipeline(std::slice::from_ref(&words)).remove(0);
            let mine = ours.ask(&words);
            if theirs.starts_with(b"*") {
                with_keys.insert(name.clone());
            }
            if mine != theirs {
                faults.push(format!(
                    "{}\n    ours   {}\n    theirs {}",
                    line.join(" "),
                    mine.escape_ascii(),
                    theirs.escape_ascii()
                ));
            }
        }
    }
    assert!(with_keys.len() > 100, "{} commands have keys", with_keys.len());
    assert!(faults.is_empty(), "{} lines differ:\n{}", faults.len(), faults.join("\n"));
}
