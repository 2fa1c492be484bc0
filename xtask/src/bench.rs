//! `cargo xtask bench`: builds the benchmarks in release mode and runs them.

use std::process::ExitCode;

use crate::args::{self, Args, Usage};
use crate::step::{Run, run};
use crate::tools::{self, cargo};

pub(crate) const HELP: &str = "\
cargo xtask bench [cache|collections|concurrency|growth|hit_ratio|memory|all] [-- arguments]

Builds the benchmarks in release mode and runs one of them, or all. What follows `--` goes to each
benchmark; `cargo xtask bench cache -- --help` tells what it knows.

A run on a busy machine measures the machine: stop other work first.";

/// One file, one benchmark.
pub(crate) const FOLDER: &str = "benches/src/bin";

pub(crate) fn names() -> Vec<String> {
    tools::rust_files(FOLDER)
}

pub(crate) fn main(mut args: Args) -> Result<ExitCode, Usage> {
    let (chosen, passed_on) = parse(&mut args, &names())?;
    let mut steps = Run::new(false);
    steps.step("build", || run(&mut cargo(["build", "--release", "-p", "larder-benches", "--bins"])));
    if !steps.failed() {
        for name in &chosen {
            let words = ["run", "--release", "-p", "larder-benches", "--bin", name, "--"];
            steps.step(name, || run(cargo(words).args(&passed_on)));
        }
    }
    Ok(steps.close())
}

/// The benchmarks to run, and the words that each of them gets.
fn parse(args: &mut Args, names: &[String]) -> Result<(Vec<String>, Vec<String>), Usage> {
    let mut chosen: Vec<String> = Vec::new();
    let mut passed_on = Vec::new();
    while let Some(word) = args.next() {
        match word.as_str() {
            "--" => passed_on = args.rest(),
            "all" => chosen = names.to_vec(),
            name if names.iter().any(|known| known == name) => {
                if !chosen.iter().any(|already| already == name) {
                    chosen.push(word);
                }
            }
            other => {
                let known: Vec<String> = names.iter().cloned().chain(["all".to_owned()]).collect();
                return Err(args::unknown(other, &known));
            }
        }
    }
    args.finish()?;
    if chosen.is_empty() {
        chosen = names.to_vec();
    }
    Ok((chosen, passed_on))
}

#[cfg(test)]
mod tests {
    use super::{names, parse};
    use crate::args::Args;

    fn parsed(line: &str) -> Option<(Vec<String>, Vec<String>)> {
        let names = ["cache", "growth"].map(str::to_owned);
        parse(&mut Args::new(line.split_whitespace().map(str::to_owned)), &names).ok()
    }

    #[test]
    fn no_name_and_all_mean_every_benchmark() {
        for line in ["", "all", "-- --quick"] {
            assert_eq!(parsed(line).expect("a known line").0, ["cache", "growth"], "`{line}`");
        }
    }

    #[test]
    fn words_after_the_double_dash_are_passed_on_untouched() {
        let (chosen, passed_on) = parsed("growth -- --keys=10 cache").expect("a known line");
        assert_eq!(chosen, ["growth"]);
        assert_eq!(passed_on, ["--keys=10", "cache"]);
    }

    #[test]
    fn an_unknown_benchmark_is_refused() {
        assert_eq!(parsed("cash"), None);
    }

    #[test]
    fn the_repository_has_benchmarks() {
        assert!(names().iter().any(|name| name == "cache"), "{:?}", names());
    }
}
