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

/// A command that never succeeds is not tested: either its syntax or its slots are wrong.
#[test]
fn every_command_succeeds_now_and_then() {
    let generator = Generator::new().malformed(0);
    let engine = larder::Engine::new();
    let mut session = Session::new();
    let mut good: BTreeMap<String, bool> = generator.names().map(|name| (name, false)).collect();
    for command in generator.commands(11).take(60_000) {
        if !matches!(run(&engine, &mut session, &command), Reply::Error(_)) {
            let found = table::resolve(crate::Args::new(&command.words())).expect("a command of the table");
            good.insert(found.full_name(), true);
        }
    }
    let never: Vec<&String> = good.iter().filter(|(_, good)| !**good).map(|(name, _)| name).collect();
    assert!(never.is_empty(), "always refused: {never:?}");
}

#[test]
fn few_lines_are_refused_for_their_form() {
    let generator = Generator::new().malformed(0).stray_keys(0);
    let engine = larder::Engine::new();
    let mut session = Session::new();
    let mut refused: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut total: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for command in generator.commands(12).take(60_000) {
        let name = command.args()[0].to_ascii_uppercase();
        *total.entry(name.clone()).or_default() += 1;
        if let Reply::Error(text) = run(&engine, &mut session, &command) {
            let text = String::from_utf8_lossy(&text).into_owned();
            if text.contains("syntax error") || text.contains("wrong number") {
                *refused.entry(name).or_default() += 1;
            }
        }
    }
    for (name, refused) in refused {
        let total = total[&name];
        let name = String::from_utf8_lossy(&name).into_owned();
        assert!(refused * 4 < total * 3, "{name}: {refused} of {total} are no line");
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
        let keys = table::keys(&found, args).map_or(0, |keys| keys.len());
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
