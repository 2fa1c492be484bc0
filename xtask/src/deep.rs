//! `cargo xtask deep`: checks that take minutes to hours.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime};

use crate::args::{self, Args, Usage};
use crate::fuzz::{self, Campaign};
use crate::servers;
use crate::step::{Outcome, Run, run};
use crate::tools::{self, cargo, nightly_cargo};

pub(crate) const HELP: &str = "\
cargo xtask deep [asan|miri|model|histories|differential|fuzz|stress|all] [--minutes N] [--commands N] [--seed S]

  asan     The whole suites of the engine and of the commands under AddressSanitizer (nightly)
  miri     The engine's unit tests under Miri, few cases each (nightly with the component miri)
  model    Every property test with many cases, again and again with new seeds, for N minutes
  histories
           10,000 concurrent histories of the engine, each checked for linearizability
  differential
           Millions of random commands, every reply held against redis-server's and valkey-server's
  fuzz     Each fuzz target for N minutes (nightly)
  stress   The tests with `stress` in their name, in release mode, for N minutes
  all      All of them (also without a word)

  --minutes N   For model, fuzz and stress, each (default 5)
  --commands N  For differential, for each server (default 3000000)
  --seed S      Where the seeds start (default: from the clock, printed)

What needs a missing toolchain is SKIPPED with the reason. The seed is handed on as PROPTEST_RNG_SEED,
LARDER_SEED and LARDER_STRESS_SEED; a failing part prints the line that repeats it.";

const PARTS: [&str; 7] = ["asan", "miri", "model", "histories", "differential", "fuzz", "stress"];
const MINUTES_DEFAULT: u64 = 5;
const COMMANDS_DEFAULT: u64 = 3_000_000;
/// Concurrent histories, of all families together.
const HISTORIES: &str = "10000";
/// How many interleavings each model tries.
const INTERLEAVINGS: &str = "50000";
/// Cases for each property in one round of `model`.
const MODEL_CASES: &str = "4096";
/// Miri is some hundred times slower than the machine.
const MIRI_CASES: &str = "2";
const ENGINE_SUITE: [&str; 4] = ["-p", "larder", "--lib", "--tests"];
/// The engine's suite and that of the commands, which reaches every collection from outside.
const BOTH_SUITES: [&str; 6] = ["-p", "larder", "-p", "larder-commands", "--lib", "--tests"];
const BOTH_FEATURES: [&str; 2] = ["--features", "larder/metrics,larder-commands/proptest"];

#[derive(Clone, Copy, Debug)]
struct Options {
    minutes: u64,
    commands: u64,
    seed: u64,
}

pub(crate) fn main(mut args: Args) -> Result<ExitCode, Usage> {
    let mut options =
        Options { minutes: MINUTES_DEFAULT, commands: COMMANDS_DEFAULT, seed: seed_from_clock() };
    let mut parts: Vec<String> = Vec::new();
    while let Some(word) = args.next() {
        match word.as_str() {
            "--minutes" => options.minutes = args.number("--minutes")?,
            "--commands" => options.commands = args.number("--commands")?,
            "--seed" => options.seed = args.number("--seed")?,
            "all" => parts = PARTS.map(str::to_owned).to_vec(),
            part if PARTS.contains(&part) => parts.push(word),
            other => {
                let known: Vec<String> = PARTS.iter().copied().chain(["all"]).map(str::to_owned).collect();
                return Err(args::unknown(other, &known));
            }
        }
    }
    args.finish()?;
    if parts.is_empty() {
        parts = PARTS.map(str::to_owned).to_vec();
    }
    println!("seed {}, {} minutes for each timed part", options.seed, options.minutes);
    let mut steps = Run::new(false);
    for part in &parts {
        match part.as_str() {
            "asan" => {
                steps.step("servers", servers::provide_all);
                steps.step("asan", asan);
            }
            "miri" => steps.step("miri", miri),
            "model" => steps.step("model", || model(options)),
            "histories" => steps.step("histories", || histories(options)),
            "stress" => steps.step("stress", || stress(options)),
            "differential" => {
                steps.step("servers", servers::provide_all);
                steps.step("differential", || differential(options));
            }
            _ => fuzz_part(&mut steps, options),
        }
    }
    Ok(steps.close())
}

/// A seed that differs from run to run and is short enough to type.
fn seed_from_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_secs() % 1_000_000_000
}

fn asan() -> Outcome {
    let Some(host) = tools::nightly_host() else {
        return Outcome::Skipped("no nightly toolchain".to_owned());
    };
    if !(host.contains("linux-gnu") || host.contains("apple-darwin")) {
        return Outcome::Skipped(format!("no prebuilt AddressSanitizer for {host}"));
    }
    // An explicit target keeps the sanitizer out of build scripts and procedural macros.
    let sanitized = |words: &[&str]| {
        let mut command = nightly_cargo(words);
        command.args(["--target", &host]).args(BOTH_FEATURES);
        // Leaks are the counting allocator's business (tests/accounting.rs): the sanitizer does not see through the
        // tagged pointers of the tables, and takes the skip list's deferred garbage at exit for a leak.
        command.env("ASAN_OPTIONS", "detect_leaks=0");
        command.env("RUSTFLAGS", "-Zsanitizer=address");
        command.env("CARGO_TARGET_DIR", tools::target_dir().join("asan"));
        command
    };
    // A test runs an example, which cargo builds only for a `test` that names no targets.
    run(&mut sanitized(&["build", "-p", "larder", "-p", "larder-commands", "--example", "repl"]))
        .and_then(|| run(sanitized(&["test"]).args(BOTH_SUITES)))
}

fn miri() -> Outcome {
    if !tools::works(&mut nightly_cargo(["miri", "--version"])) {
        return Outcome::Skipped("the nightly toolchain's component miri is not installed".to_owned());
    }
    let mut command = nightly_cargo(["miri", "test", "-p", "larder", "--lib"]);
    // Proptest looks for its file of past failures, which Miri's isolation forbids.
    command.env("MIRIFLAGS", "-Zmiri-disable-isolation").env("PROPTEST_CASES", MIRI_CASES);
    run(command.env("CARGO_TARGET_DIR", tools::target_dir().join("miri")))
}

fn model(options: Options) -> Outcome {
    if let Outcome::Failed(why) = crate::test::models(Some(INTERLEAVINGS)) {
        return Outcome::Failed(why);
    }
    let limit = Duration::from_secs(options.minutes.saturating_mul(60));
    let start = Instant::now();
    let mut seed = options.seed;
    loop {
        let mut command = cargo(["test"]);
        command.args(ENGINE_SUITE).args(["--features", "larder/metrics"]);
        command.env("PROPTEST_CASES", MODEL_CASES).env("PROPTEST_RNG_SEED", seed.to_string());
        if let Outcome::Failed(why) = run(&mut command) {
            return Outcome::Failed(format!(
                "{why}; repeat: cargo xtask deep model --minutes 0 --seed {seed}"
            ));
        }
        if start.elapsed() >= limit {
            return Outcome::Passed;
        }
        seed = seed.wrapping_add(1);
    }
}

fn histories(options: Options) -> Outcome {
    let mut command = cargo(["test", "--release", "-p", "larder", "--test", "linearizable"]);
    command.args(["--", "--nocapture"]).env("LARDER_HISTORIES", HISTORIES);
    run(command.env("LARDER_SEED", options.seed.to_string()))
}

/// Without a server its test says NOT RUN and passes; the step before this one has said so too.
fn differential(options: Options) -> Outcome {
    let mut command = cargo(["test", "--release", "-p", "larder-commands", "--features", "proptest"]);
    command.args(["--test", "differential", "--", "--nocapture"]);
    command.env("LARDER_COMMANDS", options.commands.to_string());
    run(command.env("LARDER_SEED", options.seed.to_string()))
}

fn stress(options: Options) -> Outcome {
    let suite = |words: &[&str]| {
        let mut command = cargo(["test", "--release"]);
        command.args(ENGINE_SUITE).args(["--features", "larder/metrics", "--"]).args(words);
        command
    };
    // A filter that matches nothing passes: look before believing it.
    let Some(count) = count_tests(&mut suite(&["--list", "stress"])) else {
        return Outcome::Failed("the engine's tests do not build in release mode".to_owned());
    };
    if count == 0 {
        return Outcome::Failed("no test of the engine has `stress` in its name".to_owned());
    }
    let seconds = options.minutes.saturating_mul(60);
    let mut command = suite(&["--nocapture", "--include-ignored", "stress"]);
    command.env("LARDER_STRESS_SECONDS", seconds.to_string());
    match run(command.env("LARDER_STRESS_SEED", options.seed.to_string())) {
        Outcome::Failed(why) => Outcome::Failed(format!(
            "{why}; repeat: cargo xtask deep stress --minutes {} --seed {}",
            options.minutes, options.seed
        )),
        outcome => outcome,
    }
}

/// How many tests a `--list` run names.
fn count_tests(list: &mut Command) -> Option<usize> {
    Some(tools::output(list)?.lines().filter(|line| line.ends_with(": test")).count())
}

fn fuzz_part(steps: &mut Run, options: Options) {
    if !tools::has_nightly() {
        steps.step("fuzz", || Outcome::Skipped("no nightly toolchain; replaying the corpora".to_owned()));
        steps.step("fuzz replay", || fuzz::replay(None));
        return;
    }
    let campaign = Campaign { minutes: options.minutes, seed: Some(options.seed) };
    fuzz::run_campaign(steps, &fuzz::targets(), campaign);
}
