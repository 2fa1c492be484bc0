//! Random commands, executed by larder and by a real server: every reply must be the same, byte for byte.
//!
//! ```text
//! generator --commands--> server (a batch in one go) --replies--> compare.rs <--reply-- larder (one by one)
//!                                                        |           rules.rs: what counts as the same, by command
//!    every 250 commands: the whole state (state.rs)      |           known.rs: deliberate differences, with reasons
//!                                                        v
//!                              reduce.rs: the shortest history that still differs
//! ```
//! - D1: larder sees a command after the server, so that what the server chose by chance or by its clock can be
//!   checked and then be made to hold in larder too.
//! - D2: a round begins with an empty server and an empty engine; a seed gives the same rounds for ever.
//! - D3: nothing is left out in silence: a rule or a known difference names the command, and says why.
//!
//! Environment: `LARDER_SEED` (default 1), `LARDER_COMMANDS` (for each server, default 50,000), `LARDER_FAMILIES`
//! (`hash,list`), `LARDER_ONLY` (names of commands), `LARDER_MISMATCHES` (how many to look for before giving up, default
//! 5). A failure prints the line that repeats it.

#![cfg(unix)]
#![expect(clippy::print_stderr, reason = "a test that runs long says where it is")]

mod compare;
mod known;
mod pair;
mod reduce;
mod rules;
mod state;

use std::collections::BTreeMap;
use std::env;
use std::time::Instant;

use larder_commands::generate::{Command, Generator};
use larder_testkit::servers::{Kind, Server};

use crate::pair::{Mismatch, Pair, Setting};

/// Commands from one empty state to the next.
const ROUND: usize = 1_000;

#[test]
fn redis_server_answers_the_same() {
    run(Kind::Redis);
}

#[test]
fn valkey_server_answers_the_same() {
    run(Kind::Valkey);
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn words(name: &str) -> Option<Vec<String>> {
    let text = env::var(name).ok()?;
    Some(text.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

fn run(kind: Kind) {
    let Some(server) = Server::start(kind) else { return };
    let mut pair = Pair::new(&server);
    let generator = pair.shared_commands(generator());
    let (seed, total) = (number("LARDER_SEED", 1), number("LARDER_COMMANDS", 50_000));
    let wanted = usize::try_from(number("LARDER_MISMATCHES", 5)).expect("a small number");
    let start = Instant::now();
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    // What reducing compares does not count.
    let mut done = 0;
    for round in 0.. {
        if done >= total || found.len() >= wanted {
            break;
        }
        let round_seed = seed.wrapping_add(round);
        let setting = Setting::of_round(round_seed);
        let history: Vec<Command> = generator.commands(round_seed).take(ROUND).collect();
        let before = pair.compared();
        let mismatch = pair.round(setting, &history);
        done += pair.compared() - before;
        let Some(mismatch) = mismatch else { continue };
        if found.contains_key(&mismatch.signature()) {
            continue;
        }
        let (history, mismatch) = reduce::reduce(&mut pair, &generator, setting, history, mismatch);
        let text = report(kind, round_seed, setting, &history, &mismatch);
        eprintln!("{text}");
        found.insert(mismatch.signature(), text);
    }
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{kind}: {done} commands from seed {seed} in {seconds:.1} s, {}", pair.tally());
    pair.check_coverage(&generator, total);
    assert!(found.is_empty(), "{} mismatches with {kind}, printed above", found.len());
}

/// The commands to draw from: those that hold data, and a few on databases.
fn generator() -> Generator {
    let families = words("LARDER_FAMILIES");
    let only = words("LARDER_ONLY");
    let texts = |words: &[String]| -> Vec<String> { words.to_vec() };
    let generator = match (families, only) {
        (_, Some(only)) => Generator::new().only(&borrowed(&texts(&only))),
        (Some(families), None) => Generator::new().families(&borrowed(&texts(&families))),
        (None, None) => {
            Generator::new().with(&["SELECT", "DBSIZE"], 25).with(&["FLUSHDB", "SWAPDB", "PING", "ECHO"], 5)
        }
    };
    generator.without(rules::NOT_COMPARED)
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn report(kind: Kind, seed: u64, setting: Setting, history: &[Command], mismatch: &Mismatch) -> String {
    let mut text = format!("\n==== {kind}, seed {seed}, {setting}: a reply differs\n");
    for command in history {
        text.push_str(&format!("    {command}\n"));
    }
    text.push_str(&format!("  {mismatch}\n"));
    text.push_str(&format!(
        "  repeat: LARDER_SEED={seed} LARDER_COMMANDS={ROUND} cargo test -p larder-commands --features proptest --test differential\n"
    ));
    text
}
