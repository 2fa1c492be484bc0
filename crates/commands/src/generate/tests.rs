//! Lines are well formed, reach every command, repeat themselves, shrink, and can be typed.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{Reply, Session, Tree, execute};

fn run(engine: &larder::Engine, session: &mut Session, command: &Command) -> Reply {
    let mut tree = Tree::new();
    execute(engine, session, &command.words(), &mut tree);
    tree.take_one().expect("one reply")
}

#[test]
fn a_seed_gives_the_same_lines() {
    let generator = Generator::new();
    let lines = |seed| generator.commands(seed).take(500).collect::<Vec<_>>();
    assert_eq!(lines(4), lines(4));
    assert_ne!(lines(4), lines(5));
}

/// What becomes of many lines: for each command how many succeed, are no line of it, or fail for another reason.
fn outcomes(generator: &Generator, lines: usize) -> BTreeMap<String, [usize; 3]> {
    const LINES_OF_A_ROUND: usize = 1_000;
    let mut counts: BTreeMap<String, [usize; 3]> = generator.names().map(|name| (name, [0; 3])).collect();
    let all: Vec<Command> = generator.commands(11).take(lines).collect();
    for round in all.chunks(LINES_OF_A_ROUND) {
        let (engine, mut session) = (larder::Engine::new(), Session::new());
        for command in round {
            let outcome = match run(&engine, &mut session, command) {
                Reply::Error(text) => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    if text.contains("syntax error") || text.contains("wrong number") { 1 } else { 2 }
                }
                _ => 0,
            };
            let found = table::resolve(crate::Args::new(&command.words())).expect("a command of the table");
            counts.entry(found.full_name()).or_default()[outcome] += 1;
        }
    }
    counts
}

/// A command that never succeeds is not tested, nor is one whose lines are mostly none: its syntax, or the names of its
/// slots, are wrong. `PFSELFTEST` has nothing to draw and takes seconds.
#[test]
fn every_command_succeeds_now_and_then() {
    let generator = Generator::new().malformed(0).without(&["PFSELFTEST"]);
    for (name, [good, no_line, refused]) in outcomes(&generator, 40_000) {
        assert!(good > 0, "{name} never succeeds; {no_line} lines are no line, {refused} are refused");
        assert!(no_line * 4 < (good + no_line + refused) * 3, "{name}: {no_line} lines are no line");
    }
}

#[test]
fn keys_stand_where_the_key_specs_say() {
    let generator = Generator::new().malformed(0);
    for command in generator.commands(13).take(20_000) {
        let words = command.words();
        let args = crate::Args::new(&words);
        let found = table::resolve(args).expect("a command of the table");
        let first_slots = found.spec.syntax.split(' ').take_while(|word| values::is_key(word)).count();
        // A wrong number of keys hides them.
        let Ok(keys) = table::keys(&found, args).map(|keys| keys.len()) else { continue };
        assert!(keys >= first_slots, "{command}: {keys} keys, the syntax begins with {first_slots}");
    }
}

#[test]
fn simpler_lines_are_of_the_same_command_and_end() {
    let generator = Generator::new();
    for mut command in generator.commands(14).take(200) {
        let name = command.args()[0].to_ascii_uppercase();
        let mut steps = 0;
        while let Some(next) = generator.simpler(&command).into_iter().next() {
            assert_eq!(next.args()[0].to_ascii_uppercase(), name);
            command = next;
            steps += 1;
            assert!(steps < 10_000, "{command}");
        }
        assert!(command.args().len() <= 12, "the plainest is {command}");
    }
}

#[test]
fn odd_words_are_printed_so_that_they_can_be_typed() {
    let args = vec![b"SET".to_vec(), b"a b".to_vec(), b"\"\\\r\n\0\xff".to_vec(), Vec::new()];
    let command = Command { args, choices: Vec::new() };
    assert_eq!(command.to_string(), r#"SET "a b" "\"\\\r\n\x00\xff" """#);
    for command in Generator::new().commands(15).take(5_000) {
        assert_eq!(line::split(command.to_string().as_bytes()).as_deref(), Some(command.args()));
    }
}

#[test]
fn families_and_names_choose() {
    let names = |generator: Generator| generator.names().collect::<BTreeSet<_>>();
    let strings = names(Generator::new().families(&["string"]));
    assert!(strings.contains("append") && !strings.contains("del"));
    assert_eq!(names(Generator::new().only(&["get", "SET"])).len(), 2);
    assert!(!names(Generator::new().without(&["DEL"])).contains("del"));
    assert!(names(Generator::new().only(&["GET"]).with(&["PING"], 5)).contains("ping"));
    assert!(names(Generator::new()).contains("object|encoding"));
}

#[cfg(feature = "proptest")]
#[test]
fn proptest_finds_the_plainest_line() {
    use proptest::test_runner::{Config, TestError, TestRng, TestRunner};

    let rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&Generator::new().only(&["SET"]).malformed(0), |command| {
        let long = command.args().iter().any(|word| word == b"GET");
        if long { Err(proptest::test_runner::TestCaseError::fail("GET")) } else { Ok(()) }
    });
    match result {
        Err(TestError::Fail(_, command)) => assert_eq!(command.to_string(), "SET s1 a GET"),
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "arbitrary")]
#[test]
fn any_bytes_are_a_line() {
    use arbitrary::{Arbitrary as _, Unstructured};

    let bytes: Vec<u8> =
        (0..20_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    let mut rest = Unstructured::new(&bytes);
    let mut seen = BTreeSet::new();
    while !rest.is_empty() {
        let command = Command::arbitrary(&mut rest).expect("bytes");
        seen.insert(command.to_string());
    }
    assert!(seen.len() > 30, "{}", seen.len());
}
