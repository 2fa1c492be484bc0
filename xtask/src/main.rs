//! `cargo xtask`: how this repository is tested, measured and fuzzed.
//!
//! Each command is a list of steps; a step is one child process, printed before it runs and timed.
//! Nothing here depends on a crate, so that `cargo xtask test` needs cargo and nothing else.
//!
//! - I1: a step that did not run is never counted as passed. It is `NOT RUN` (a failure under
//!   `--require-all`) or `SKIPPED` (a tool that no machine is obliged to have).
//! - I2: the exit code is 0 only when no step failed; 1 when one did; 2 for a misspelt command line.
//! - I3: children write standard error to our standard output, so a log keeps its order.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its terminal")]

mod args;
mod bench;
mod deep;
mod fuzz;
mod servers;
mod step;
mod test;
mod tools;

use std::process::ExitCode;

use args::{Args, Usage};

const HELP: &str = "\
cargo xtask <command>

  test     Formatting, lints, documentation, licences, package, examples, benches, all tests
  deep     AddressSanitizer, Miri, long property runs, fuzzing, stress: minutes to hours
  bench    Build the benchmarks in release mode and run them
  fuzz     Fuzz one target or all of them, or replay their corpora
  servers  Install the redis-server and valkey-server that the tests compare with

`cargo xtask <command> --help` tells a command's options.";

type Command = fn(Args) -> Result<ExitCode, Usage>;

fn main() -> ExitCode {
    match dispatch(Args::from_environment()) {
        Ok(code) => code,
        Err(Usage(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(mut args: Args) -> Result<ExitCode, Usage> {
    let Some(command) = args.next() else {
        return Err(Usage(format!("no command given\n\n{HELP}")));
    };
    let (help, run): (&str, Command) = match command.as_str() {
        "test" => (test::HELP, test::main),
        "deep" => (deep::HELP, deep::main),
        "bench" => (bench::HELP, bench::main),
        "fuzz" => (fuzz::HELP, fuzz::main),
        "servers" => (servers::HELP, servers::main),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        other => return Err(Usage(format!("unknown command `{other}`\n\n{HELP}"))),
    };
    if args.wants_help() {
        println!("{help}");
        return Ok(ExitCode::SUCCESS);
    }
    run(args).map_err(|Usage(message)| Usage(format!("{message}\n\n{help}")))
}
