//! `cargo xtask fuzz`: runs the fuzz targets, or replays their corpora as ordinary tests.
//!
//! `fuzz/corpus/<target>` holds the committed seeds and is only read. What libFuzzer finds on the way
//! goes to `fuzz-corpus/<target>` in the target directory and is the start of the next run; an input
//! that fails goes to `fuzz/artifacts/<target>`.

use std::env;
use std::fs;
use std::process::ExitCode;

use crate::args::{self, Args, Usage};
use crate::step::{Outcome, Run, run};
use crate::tools::{self, CARGO_FUZZ, cargo};

pub(crate) const HELP: &str = "\
cargo xtask fuzz [TARGET] [--minutes N] [--seed S]
cargo xtask fuzz --replay

  TARGET        A file of fuzz/fuzz_targets; none means each of them in turn
  --minutes N   How long each target runs (default 5)
  --seed S      libFuzzer's seed (default: chosen by libFuzzer and printed)
  --replay      Replay the committed corpora on the stable toolchain and stop

Fuzzing needs the nightly toolchain, a C++ compiler, and cargo-fuzz, which is built into the target
directory when it is missing. To repeat a failure that it found:
  cargo +nightly fuzz run --fuzz-dir fuzz TARGET fuzz/artifacts/TARGET/crash-...";

/// The fuzz targets are a workspace of their own.
pub(crate) const MANIFEST: &str = "fuzz/Cargo.toml";

const TARGETS: &str = "fuzz/fuzz_targets";

const MINUTES_DEFAULT: u64 = 5;

/// How a campaign is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Campaign {
    pub(crate) minutes: u64,
    pub(crate) seed: Option<u64>,
}

pub(crate) fn main(mut args: Args) -> Result<ExitCode, Usage> {
    let names = targets();
    let mut chosen = Vec::new();
    let mut campaign = Campaign { minutes: MINUTES_DEFAULT, seed: None };
    let mut only_replay = false;
    while let Some(word) = args.next() {
        match word.as_str() {
            "--minutes" => campaign.minutes = args.number("--minutes")?,
            "--seed" => campaign.seed = Some(args.number("--seed")?),
            "--replay" => only_replay = true,
            name if names.iter().any(|known| known == name) => chosen.push(word),
            other => return Err(args::unknown(other, &names)),
        }
    }
    args.finish()?;
    // What was asked for by name must run: a missing tool is a failure here.
    let mut steps = Run::new(true);
    if only_replay {
        steps.step("replay", || replay(None));
    } else {
        let chosen = if chosen.is_empty() { names } else { chosen };
        run_campaign(&mut steps, &chosen, campaign);
    }
    Ok(steps.close())
}

/// The fuzz targets that exist.
pub(crate) fn targets() -> Vec<String> {
    tools::rust_files(TARGETS)
}

/// Runs each target for the campaign's minutes, one step each.
pub(crate) fn run_campaign(steps: &mut Run, targets: &[String], campaign: Campaign) {
    if targets.is_empty() {
        steps.step("fuzz", || Outcome::Failed(format!("{TARGETS} holds no target")));
        return;
    }
    if !tools::has_nightly() {
        steps.step("fuzz", || Outcome::NotRun("no nightly toolchain; `--replay` needs none".to_owned()));
        return;
    }
    if CARGO_FUZZ.find().is_none() {
        steps.step("install cargo-fuzz", || CARGO_FUZZ.install());
        if steps.failed() {
            return;
        }
    }
    for target in targets {
        steps.step(&format!("fuzz {target}"), || fuzz(target, campaign));
    }
}

fn fuzz(target: &str, campaign: Campaign) -> Outcome {
    let found = tools::target_dir().join("fuzz-corpus").join(target);
    if let Err(error) = fs::create_dir_all(&found) {
        return Outcome::Failed(format!("{}: {error}", found.display()));
    }
    let mut command = tools::nightly_cargo(["fuzz", "run", "--fuzz-dir", "fuzz", target]);
    command.arg(found).arg(format!("fuzz/corpus/{target}")).arg("--");
    // libFuzzer reads 0 as "for ever".
    command.arg(format!("-max_total_time={}", campaign.minutes.saturating_mul(60).max(1)));
    command.args(campaign.seed.map(|seed| format!("-seed={}", libfuzzer_seed(seed))));
    run(command.env("PATH", tools::path_with_tools()))
}

/// libFuzzer takes 32 bits and reads 0 as "choose one yourself".
fn libfuzzer_seed(seed: u64) -> u64 {
    match seed % (1 << 32) {
        0 => 1,
        seed => seed,
    }
}

/// Lints the fuzz workspace on the stable toolchain, the targets included. Without libFuzzer itself,
/// which needs a C++ compiler, they are checked and not linked.
pub(crate) fn lint(locked: Option<&str>) -> Outcome {
    let mut command = cargo(["clippy", "--manifest-path", MANIFEST, "--all-targets"]);
    command.args(["--no-default-features", "--features", "targets"]).args(locked);
    run(command.args(["--", "-D", "warnings"]).env("RUSTFLAGS", fuzzing_flags()))
}

/// Replays the committed corpora as ordinary tests.
pub(crate) fn replay(locked: Option<&str>) -> Outcome {
    let mut command = cargo(["test", "--manifest-path", MANIFEST, "--no-default-features"]);
    run(command.args(["--lib", "--tests"]).args(locked).env("RUSTFLAGS", fuzzing_flags()))
}

/// The user's flags, and the cfg that opens the engine's `validate()`, as cargo-fuzz sets it.
fn fuzzing_flags() -> String {
    let flags = env::var("RUSTFLAGS").unwrap_or_default();
    format!("{flags} --cfg fuzzing").trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{libfuzzer_seed, targets};
    use crate::tools;

    #[test]
    fn every_target_has_a_corpus() {
        let targets = targets();
        assert!(!targets.is_empty());
        for target in targets {
            let corpus = tools::root().join("fuzz/corpus").join(&target);
            let inputs = fs::read_dir(&corpus).map_or(0, Iterator::count);
            assert!(inputs > 0, "{} is empty", corpus.display());
        }
    }

    #[test]
    fn a_seed_never_asks_libfuzzer_to_choose() {
        assert_eq!(libfuzzer_seed(0), 1);
        assert_eq!(libfuzzer_seed(1 << 32), 1);
        assert_eq!(libfuzzer_seed((1 << 32) + 9), 9);
    }
}
