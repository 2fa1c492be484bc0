//! Every line of words has one whole reply, whatever the words; and rules on the source.

use std::fs;
use std::path::Path;

use larder_commands::syntax::{self, Argument, Kind};
use larder_commands::table::{self, Found};
use larder_commands::{Reply, RespSink, Session, Tree, execute};

const LINES: u64 = 40_000;
const SEED: u64 = 0x1a2d_e200;

/// Numbers at the edges, words that are options somewhere, bytes that are no text.
const WORDS: [&[u8]; 34] = [
    b"",
    b"0",
    b"1",
    b"-1",
    b"2",
    b"3",
    b"10",
    b"1.5",
    b"-0",
    b"01",
    b"1e400",
    b"nan",
    b"inf",
    b"-inf",
    b"0x1p3",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"18446744073709551615",
    b"4294967296",
    b"key",
    b"other",
    b"\xff\x00\r\n",
    b"*",
    b"[a-",
    b"+",
    b"-",
    b"(1",
    b"[a",
    b"$",
    b"0-1",
    b"1-*",
    b">",
    b"u63",
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % n
    }
}

/// Words along the syntax, some of them wrong.
fn put(line: &mut Vec<Vec<u8>>, argument: &Argument, random: &mut Random) {
    if argument.optional && random.below(2) == 0 {
        return;
    }
    for _ in 0..if argument.multiple { 1 + random.below(3) } else { 1 } {
        match &argument.kind {
            Kind::Literal(word) => line.push(word.as_bytes().to_vec()),
            Kind::Value(_) if random.below(3) == 0 => line.push(WORDS[random.below(WORDS.len())].to_vec()),
            // As many keys as most lines have.
            Kind::Value("numkeys") => line.push(b"1".to_vec()),
            Kind::Value(_) if argument.type_name() == "integer" => {
                line.push(random.below(9).to_string().into_bytes())
            }
            Kind::Value(word) => line.push(format!("{word}{}", random.below(3)).into_bytes()),
            Kind::OneOf(parts) => put(line, &parts[random.below(parts.len())], random),
            Kind::Block(parts) => parts.iter().for_each(|part| put(line, part, random)),
        }
    }
}

fn line_of(found: &Found, random: &mut Random) -> Vec<Vec<u8>> {
    let mut line: Vec<Vec<u8>> = found.parent.map(|parent| parent.name.into()).into_iter().collect();
    line.push(found.spec.name.to_ascii_lowercase().into_bytes());
    syntax::parse(found.spec.syntax).iter().for_each(|argument| put(&mut line, argument, random));
    match random.below(8) {
        0 => line.truncate(1 + random.below(line.len())),
        1 => line.push(WORDS[random.below(WORDS.len())].to_vec()),
        2 => {
            let (a, b) = (random.below(line.len()), random.below(line.len()));
            line.swap(a, b);
        }
        _ => {}
    }
    line
}

#[test]
fn every_line_has_one_whole_reply() {
    let engine = larder::Engine::builder().max_memory(32 << 20).seed(SEED).build().expect("valid");
    let rows: Vec<Found> = table::commands()
        .flat_map(|found| found.subcommands().chain([found]).collect::<Vec<_>>())
        // A test of a fifth of a second.
        .filter(|found| found.spec.name != "PFSELFTEST")
        // One for each channel: tests/pubsub.rs.
        .filter(|found| !found.spec.name.ends_with("SUBSCRIBE"))
        // Then it would all be queued: see below.
        .filter(|found| found.spec.name != "MULTI")
        .collect();
    let (mut session, mut tree, mut out) = (Session::new(), Tree::new(), Vec::new());
    let mut random = Random(SEED);
    let mut answered = 0_u64;
    for _ in 0..LINES {
        let found = rows[random.below(rows.len())];
        let line = line_of(&found, &mut random);
        let words: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
        let shown = larder_commands::line::join(&words);
        execute(&engine, &mut session, &words, &mut tree).time_out(&mut tree);
        assert!(!tree.is_open(), "{shown}: the reply is not whole");
        let replies = tree.take();
        assert_eq!(replies.len(), 1, "{shown}: {replies:?}");
        answered += u64::from(!matches!(replies[0], Reply::Error(_)));
        out.clear();
        let outcome = execute(&engine, &mut session, &words, &mut RespSink::new(&mut out));
        outcome.time_out(&mut RespSink::new(&mut out));
        assert!(out.ends_with(b"\r\n"), "{shown}");
    }
    assert!(answered > LINES / 4, "{answered} of {LINES} lines were understood");
}

/// Inside EXEC a command may touch what its row says, and nothing of what it needs is missing.
#[test]
fn every_line_runs_inside_exec_too() {
    const LINES_EACH: usize = 60;
    let mut random = Random(SEED);
    let mut answered = 0;
    for found in table::commands().flat_map(|found| found.subcommands().chain([found]).collect::<Vec<_>>()) {
        // What is never queued, and what replies for each channel.
        let names = ["EXEC", "DISCARD", "MULTI", "WATCH", "QUIT", "RESET"];
        // A test of a fifth of a second.
        let times = if found.spec.name == "PFSELFTEST" { 2 } else { LINES_EACH };
        if names.contains(&found.spec.name) || found.spec.name.ends_with("SUBSCRIBE") {
            continue;
        }
        let builder = larder::Engine::builder().max_memory(32 << 20).seed(SEED).shards(64);
        let engine = builder.build().expect("valid");
        for _ in 0..times {
            let (mut session, mut tree) = (Session::new(), Tree::new());
            let line = line_of(&found, &mut random);
            let words: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
            let shown = larder_commands::line::join(&words);
            for words in [&[&b"MULTI"[..]][..], &words, &[b"EXEC"]] {
                assert!(execute(&engine, &mut session, words, &mut tree).is_done(), "{shown} waits");
            }
            assert!(!tree.is_open(), "{shown}: the reply is not whole");
            let replies = tree.take();
            assert_eq!(replies.len(), 3, "{shown}: {replies:?}");
            let Reply::Array(inner) = &replies[2] else { continue };
            assert_eq!(inner.len(), 1, "{shown}: {inner:?}");
            answered += usize::from(!matches!(inner[0], Reply::Error(_)));
            if let Reply::Error(text) = &inner[0] {
                let text = String::from_utf8_lossy(text).to_lowercase();
                assert!(!text.contains("transaction") && !text.contains("exclusive"), "{shown}: {text}");
            }
        }
    }
    assert!(answered > 3_000, "{answered} lines were understood");
}

#[test]
fn every_row_has_a_line_that_is_understood() {
    let engine = larder::Engine::builder().max_memory(32 << 20).seed(SEED).build().expect("valid");
    let mut random = Random(SEED);
    let mut never = Vec::new();
    for found in table::commands().flat_map(|found| found.subcommands().chain([found]).collect::<Vec<_>>()) {
        if !found.spec.subcommands.is_empty() && found.spec.arity != -1 {
            continue;
        }
        let understood = (0..300).any(|_| {
            let line = line_of(&found, &mut random);
            let words: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
            let mut tree = Tree::new();
            execute(&engine, &mut Session::new(), &words, &mut tree).time_out(&mut tree);
            match tree.take_one() {
                Some(Reply::Error(text)) => {
                    ![&b"ERR syntax"[..], b"ERR wrong number"].iter().any(|start| text.starts_with(start))
                }
                _ => true,
            }
        });
        if !understood {
            never.push(found.full_name());
        }
    }
    assert!(never.is_empty(), "no line along its syntax gets past the parser: {never:?}");
}

#[test]
fn files_stay_short() {
    fn walk(folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder of the crate") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let lines = fs::read_to_string(&path).expect("a readable file").lines().count();
                assert!(lines <= 800, "{} has {lines} lines: split it", path.display());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["src", "tests", "examples"].iter().for_each(|folder| walk(&root.join(folder)));
}
