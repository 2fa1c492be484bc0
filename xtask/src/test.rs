//! `cargo xtask test`: what every change must pass.
//!
//! The unit and integration tests come last and nothing is printed after them when all went well, so
//! that a log closes on the test runner's own summary.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use crate::args::{self, Args, Usage};
use crate::fuzz;
use crate::servers;
use crate::step::{Outcome, Run, run};
use crate::tools::{self, CARGO_DENY, cargo};

pub(crate) const HELP: &str = "\
cargo xtask test [--require-all] [--install] [--fast]

Steps, in this order:
  formatting      cargo fmt --check, here and in fuzz
  lints           cargo clippy, all targets and features, warnings are errors
  servers         finds or installs the servers that the tests compare with
  documentation   cargo doc, all features, warnings are errors
  dependencies    cargo deny: licences, bans, sources, here and in fuzz
  advisories      cargo deny: RustSec; SKIPPED where its database cannot be fetched
  package         cargo package builds the crate as it would be published
  fuzz targets    they pass clippy, and their corpora replay as ordinary tests
  examples        the quick ones, a short tiered_cache, the fuzzed service
  benches         each benchmark once with --quick
  xtask tests     this program's own unit tests
  doc tests       the code in the documentation
  tests           unit and integration tests: cargo nextest if installed, else cargo test

  --require-all   A step that cannot run fails, missing tools are installed, and the checkout must be
                  clean and its lock files current. Environment CI=true does the same.
  --install       Install missing tools (cargo-deny) into the target directory
  --fast          Formatting, lints, doc tests and tests only

Needs cargo with rustfmt and clippy. Every step runs even when one before it failed.";

/// Every feature that some test needs.
pub(crate) const FEATURES: &str = "larder/metrics,larder-commands/arbitrary,larder-commands/proptest";
/// How long the advisory database may take before it counts as out of reach.
const FETCH_LIMIT: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
struct Options {
    /// Everything must run, and on exactly what is committed.
    strict: bool,
    install: bool,
    fast: bool,
}

pub(crate) fn main(mut args: Args) -> Result<ExitCode, Usage> {
    let options = parse(&mut args, env::var_os("CI").is_some_and(|value| value == "true"))?;
    let mut steps = Run::new(options.strict);
    steps.step("formatting", formatting);
    steps.step("lints", || lints(options));
    if !options.fast {
        steps.step("servers", servers::provide_all);
        slow_steps(&mut steps, options);
    }
    steps.step("doc tests", || run(&mut cargo(["test", "--workspace", "--features", FEATURES, "--doc"])));
    println!("{}", steps.summary());

    steps.closing_step("tests", tests);
    if steps.failed() {
        println!("{}", steps.summary());
    }
    Ok(steps.exit_code())
}

fn parse(args: &mut Args, ci: bool) -> Result<Options, Usage> {
    let mut options = Options { strict: ci, install: ci, fast: false };
    let mut require_all = false;
    while let Some(word) = args.next() {
        match word.as_str() {
            "--require-all" => require_all = true,
            "--install" => options.install = true,
            "--fast" => options.fast = true,
            other => {
                return Err(args::unknown(
                    other,
                    &["--require-all", "--install", "--fast"].map(str::to_owned),
                ));
            }
        }
    }
    args.finish()?;
    if require_all && options.fast {
        return Err(Usage("--fast leaves steps out and --require-all forbids that".to_owned()));
    }
    options.strict |= require_all;
    options.install |= require_all;
    Ok(options)
}

fn slow_steps(steps: &mut Run, options: Options) {
    steps.step("documentation", || {
        let mut command = cargo(["doc", "--workspace", "--no-deps", "--features", FEATURES]);
        run(command.env("RUSTDOCFLAGS", "-D warnings"))
    });
    steps.step("dependencies", || dependencies(options));
    steps.step("advisories", advisories);
    steps.step("package", || {
        // A developer packages what lies in the folder, CI what is committed.
        run(cargo(["package", "-p", "larder"]).args((!options.strict).then_some("--allow-dirty")))
    });
    steps.step("fuzz targets", || fuzz::lint(locked(options)).and_then(|| fuzz::replay(locked(options))));
    steps.step("examples", examples);
    steps.step("benches", benches);
    steps.step("models", || models(None));
    steps.step("xtask tests", || run(&mut cargo(["test", "-p", "xtask", "--bins"])));
}

/// Runs the examples that are quick, and the main one with few requests.
fn examples() -> Outcome {
    const QUICK: [&str; 15] = [
        "quickstart",
        "typed_collections",
        "leaderboard",
        "nearby",
        "unique_visitors",
        "remove_negative_counters",
        "weekly_averages",
        "deletion_log",
        "level_up",
        "work_queue",
        "lock",
        "rate_limiter",
        "sessions",
        "chat",
        "live_leaderboard",
    ];
    let quick = QUICK.iter().fold(Outcome::Passed, |before, name| {
        before.and_then(|| run(&mut cargo(["run", "-p", "larder-examples", "--example", name])))
    });
    quick.and_then(|| {
        let tiered = ["run", "-p", "larder-examples", "--example", "tiered_cache"];
        run(cargo(tiered).args(["--", "--requests", "20000"])).and_then(|| {
            let service = ["run", "-p", "larder-commands", "--features", "proptest"];
            run(cargo(service).args(["--example", "fuzz_a_service"]))
        })
    })
}

/// Runs the engine on a scheduler that tries out interleavings, each model as often as `runs` says.
pub(crate) fn models(runs: Option<&str>) -> Outcome {
    let mut command = cargo(["test", "-p", "larder", "--test", "models", "--test", "linearizable"]);
    command.env("RUSTFLAGS", "--cfg shuttle").env("CARGO_TARGET_DIR", tools::target_dir().join("shuttle"));
    if let Some(runs) = runs {
        command.env("LARDER_MODEL_RUNS", runs);
    }
    run(&mut command)
}

fn locked(options: Options) -> Option<&'static str> {
    options.strict.then_some("--locked")
}

fn formatting() -> Outcome {
    run(&mut cargo(["fmt", "--all", "--check"]))
        .and_then(|| run(&mut cargo(["fmt", "--manifest-path", fuzz::MANIFEST, "--check"])))
}

fn lints(options: Options) -> Outcome {
    let mut command = cargo(["clippy", "--workspace", "--all-targets", "--features", FEATURES]);
    run(command.args(locked(options)).args(["--", "-D", "warnings"]))
}

fn dependencies(options: Options) -> Outcome {
    if CARGO_DENY.find().is_none() && options.install {
        let installed = CARGO_DENY.install();
        if installed != Outcome::Passed {
            return Outcome::NotRun(format!("{} could not be installed", CARGO_DENY.name));
        }
    }
    let what = ["licenses", "bans", "sources"];
    deny("Cargo.toml", &what).and_then(|| deny(fuzz::MANIFEST, &what))
}

fn advisories() -> Outcome {
    if CARGO_DENY.find().is_none() {
        return Outcome::NotRun(CARGO_DENY.missing());
    }
    if !tools::works_within(cargo(["deny", "fetch", "db"]).env("PATH", tools::path_with_tools()), FETCH_LIMIT)
    {
        return Outcome::Skipped("the RustSec advisory database cannot be fetched from here".to_owned());
    }
    deny("Cargo.toml", &["advisories"])
}

/// Runs some of cargo-deny's checks over one workspace.
fn deny(manifest: &str, checks: &[&str]) -> Outcome {
    if CARGO_DENY.find().is_none() {
        return Outcome::NotRun(CARGO_DENY.missing());
    }
    let mut command = cargo(["deny", "--manifest-path", manifest, "--config", "deny.toml"]);
    command.args(["check", "--hide-inclusion-graph"]).args(checks);
    run(command.env("PATH", tools::path_with_tools()))
}

fn benches() -> Outcome {
    let names = crate::bench::names();
    if names.is_empty() {
        return Outcome::Failed(format!("{} holds no benchmark", crate::bench::FOLDER));
    }
    names.iter().fold(Outcome::Passed, |before, name| {
        before.and_then(|| run(&mut cargo(["run", "-p", "larder-benches", "--bin", name, "--", "--quick"])))
    })
}

fn tests() -> Outcome {
    // The test of the REPL runs the example, which the runner does not build for it.
    let workspace = ["--workspace", "--exclude", "xtask", "--features", FEATURES];
    let built = run(cargo(["build"]).args(workspace).args(["--example", "repl"]));
    if !matches!(built, Outcome::Passed) {
        return built;
    }
    let mut command = if tools::works(&mut cargo(["nextest", "--version"])) {
        cargo(["nextest", "run"])
    } else {
        cargo(["test"])
    };
    run(command.args(workspace).args(["--no-fail-fast", "--lib", "--bins", "--tests"]))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::args::{Args, Usage};

    fn args(line: &str) -> Args {
        Args::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn require_all_and_ci_are_strict_and_install() {
        for (line, ci) in [("--require-all", false), ("", true)] {
            let options = parse(&mut args(line), ci).expect("a known line");
            assert!(options.strict && options.install, "`{line}`, CI {ci}");
        }
        let options = parse(&mut args("--install"), false).expect("a known line");
        assert!(options.install && !options.strict);
    }

    #[test]
    fn nothing_may_be_left_out_of_all() {
        assert!(parse(&mut args("--require-all --fast"), false).is_err());
    }

    #[test]
    fn an_unknown_word_is_named() {
        let Err(Usage(message)) = parse(&mut args("--quick"), false) else {
            panic!("`--quick` was accepted")
        };
        assert!(message.contains("`--quick`"), "{message}");
    }
}
